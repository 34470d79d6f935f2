package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpdb"
	"rpdb/fib"
)

// walkView lays one walk of the rules out: a line for each rule, with what
// became of it, below it what its table passed over, and in the left margin an
// arrow from each goto that was followed to its target.
type walkView struct {
	look
	words     words
	steps     []fib.Step
	arrow     []arrowPart // of each step
	rows      []stepRange // what each line is about
	priority  int         // width of the column of priorities
	rule      int         // width of the column of rules
	hasArrows bool
}

// stepRange is a step that is shown, or several that are folded into one line.
type stepRange struct{ at, n int }

// arrowPart is the piece of an arrow that stands in front of a rule.
type arrowPart uint8

const (
	arrowNone    arrowPart = iota
	arrowBegins            // at a goto
	arrowGoesOn            // past a rule
	arrowEnds              // at a target
	arrowEndsAnd           // at a target that is a goto itself
)

// Columns of the view, where there is room for them.
const (
	maxRuleColumn   = 48 // the widest that the column of rules gets on a terminal
	maxTextColumn   = 96 // and elsewhere, where no rule gets lines of its own
	minRuleColumn   = 24 // below that, each rule has lines of its own
	minDetailColumn = 26
)

func newWalkView(l look, w words, steps []fib.Step) *walkView {
	v := &walkView{look: l, words: w, steps: steps, arrow: make([]arrowPart, len(steps)), priority: len("32766")}
	for i, s := range steps {
		if d, ok := s.Detail.(fib.GotoFollowed); ok {
			v.drawArrow(i, d.Target)
		}
	}
	for i := 0; i < len(steps); i += v.rows[len(v.rows)-1].n {
		n := 1
		if !v.all {
			n = v.run(i)
		}
		if n <= foldOver {
			n = 1
			v.priority = max(v.priority, len(fmt.Sprint(steps[i].Rule.Priority)))
			v.rule = max(v.rule, columnsOf(w.rule(steps[i].Rule)))
		}
		v.rows = append(v.rows, stepRange{i, n})
	}
	v.rule = min(v.rule, maxTextColumn)
	if l.width > 0 {
		v.rule = min(v.rule, maxRuleColumn, l.width-v.margin()-2-minDetailColumn)
		if v.rule < minRuleColumn {
			v.rule = 0
		}
	}
	return v
}

// drawArrow draws the arrow of a goto to the next rule of a priority, if that is
// shown.
func (v *walkView) drawArrow(from int, target rpdb.Priority) {
	if !slices.ContainsFunc(v.steps[from:], func(s fib.Step) bool { return s.Rule.Priority == target }) {
		return
	}
	v.hasArrows = true
	if v.arrow[from] == arrowEnds {
		v.arrow[from] = arrowEndsAnd
	} else {
		v.arrow[from] = arrowBegins
	}
	for i := from + 1; i < len(v.steps); i++ {
		if v.steps[i].Rule.Priority == target {
			v.arrow[i] = arrowEnds
			return
		}
		v.arrow[i] = arrowGoesOn
	}
}

// margin is the width of what stands in front of the rules.
func (v *walkView) margin() int { return columnsOf(v.head(" ", arrowNone, "")) }

// head is what stands in front of a rule: the mark of the one that decided, a
// piece of an arrow, the priority.
func (v *walkView) head(mark string, part arrowPart, priority string) string {
	arrow := ""
	if v.hasArrows {
		pieces := []string{"   ", "+- ", "|  ", "+> ", "+> "}
		if v.arrows {
			pieces = []string{"   ", "\u250c\u2500 ", "\u2502  ", "\u2514\u25ba ", "\u251c\u25ba "}
		}
		arrow = pieces[part]
	} else {
		arrow = "  "
	}
	return mark + arrow + strings.Repeat(" ", v.priority-len(priority)) + priority + "  "
}

// lines returns the walk as it is printed.
func (v *walkView) lines() []string {
	var lines []string
	for _, r := range v.rows {
		if r.n > 1 {
			lines = append(lines, v.folded(r.at, r.n)...)
		} else {
			lines = append(lines, v.step(r.at)...)
		}
	}
	return lines
}

// foldOver is how many rules in a row that tell nothing are all listed.
const foldOver = 20

// run returns how many steps from i on are of one kind that can be folded: not
// asked, or passed without anything that a table had to say.
func (v *walkView) run(i int) int {
	kind, n := foldKind(v.steps[i]), 0
	for kind != "" && i+n < len(v.steps) && foldKind(v.steps[i+n]) == kind && (n == 0 || v.arrow[i+n] == v.arrow[i]) {
		n++
	}
	return n
}

func foldKind(s fib.Step) string {
	switch s.Detail.(type) {
	case fib.NotAsked:
		return "not asked"
	case fib.NotMatched, fib.NoTable, fib.NopPassed, fib.GotoUnresolved:
		return "passed"
	case fib.Miss:
		if len(s.Candidates) == 0 {
			return "passed"
		}
	}
	return ""
}

// folded is the line that stands for n steps.
func (v *walkView) folded(i, n int) []string {
	what, first, last := "not asked", v.steps[i].Rule.Priority, v.steps[i+n-1].Rule.Priority
	if foldKind(v.steps[i]) == "passed" {
		what = "passed: " + passedWords(v.steps[i:i+n])
	}
	part := v.arrow[i]
	if part != arrowGoesOn {
		part = arrowNone
	}
	text := fmt.Sprintf("... %s rules %s (%d to %d; --all lists them)", thousands(n), what, first, last)
	attribute := ""
	if what == "not asked" {
		attribute = faint
	}
	return v.hang(v.head(" ", part, ""), text, attribute)
}

// passedWords counts what became of steps, by the selector that failed.
func passedWords(steps []fib.Step) string {
	fields := map[string]int{}
	missed, idle, inverted := 0, 0, 0
	for _, s := range steps {
		switch d := s.Detail.(type) {
		case fib.NotMatched:
			if d.Field == "not" {
				inverted++
				continue
			}
			fields[d.Field]++
		case fib.Miss, fib.NoTable:
			missed++
		default:
			idle++
		}
	}
	names := slices.SortedFunc(maps.Keys(fields), func(a, b string) int {
		if fields[a] != fields[b] {
			return fields[b] - fields[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, name := range names {
		verb := "do"
		if fields[name] == 1 {
			verb = "does"
		}
		parts = append(parts, fmt.Sprintf("%s %s not match %s", thousands(fields[name]), verb, name))
	}
	if inverted > 0 {
		parts = append(parts, thousands(inverted)+" would match but for \"not\"")
	}
	if missed > 0 {
		parts = append(parts, thousands(missed)+" found no route")
	}
	if idle > 0 {
		parts = append(parts, thousands(idle)+" did nothing")
	}
	return strings.Join(parts, ", ")
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// step is a rule and what became of it.
func (v *walkView) step(i int) []string {
	s := v.steps[i]
	mark, attribute := " ", ""
	switch s.Detail.(type) {
	case fib.Chosen:
		mark, attribute = ">", strong
	case fib.Denied, fib.Unknown:
		mark, attribute = ">", alarm
	case fib.NotAsked:
		attribute = faint
	}
	if mark == ">" && v.arrows {
		mark = "\u25ba"
	}
	lines := v.row(v.head(mark, v.arrow[i], fmt.Sprint(s.Rule.Priority)), v.words.rule(s.Rule), v.words.detail(s.Detail), attribute)
	return append(lines, v.candidates(i)...)
}

// row is a line in columns, or several where they are too narrow.
func (v *walkView) row(head, rule, detail, attribute string) []string {
	margin := columnsOf(head)
	blank := strings.Repeat(" ", margin)
	column := margin + v.rule + 2
	if v.rule == 0 { // too narrow for two columns
		column = margin + 2
	}
	var lines []string
	room := 0
	if v.width > 0 {
		room = v.width - column
	}
	details := breakLines(detail, room)
	switch {
	case v.width == 0 || v.rule > 0 && columnsOf(rule) <= v.rule:
		lines = append(lines, head+padded(rule, v.rule)+"  "+details[0])
		details = details[1:]
	default:
		for _, part := range breakLines(rule, v.width-margin) {
			lines = append(lines, head+part)
			head = blank
		}
	}
	for _, d := range details {
		lines = append(lines, strings.Repeat(" ", column)+d)
	}
	for i := range lines {
		lines[i] = v.paint(attribute, lines[i])
	}
	return lines
}

// hang is text behind a head, further lines below its beginning.
func (v *walkView) hang(head, text, attribute string) []string {
	room := 0
	if v.width > 0 {
		room = max(v.width-columnsOf(head), minDetailColumn)
	}
	lines := breakLines(text, room)
	for i := range lines {
		lines[i] = v.paint(attribute, head+lines[i])
		head = strings.Repeat(" ", columnsOf(head))
	}
	return lines
}

// candidates lists what the table of a rule passed over.
func (v *walkView) candidates(i int) []string {
	part := arrowNone
	if v.arrow[i] == arrowBegins || v.arrow[i] == arrowGoesOn {
		part = arrowGoesOn
	}
	head := v.head(" ", part, "") + "- "
	var lines []string
	for n, c := range v.steps[i].Candidates {
		if n == foldOver && !v.all {
			text := fmt.Sprintf("... and %s more (--all lists them)", thousands(len(v.steps[i].Candidates)-n))
			return append(lines, v.hang(head, text, "")...)
		}
		lines = append(lines, v.hang(head, candidateWords(c), "")...)
	}
	return lines
}
