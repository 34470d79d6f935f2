package policy

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"rpdb"
)

// Merged is a policy document with an adoption added to it.
type Merged struct {
	Text string // the whole document
	// Tables and Rules are what was added, Present the rules of the adoption that
	// were in the document already.
	Tables         []rpdb.TableID
	Rules, Present []rpdb.Rule
}

// AdoptInto adds the rules and tables of a live adoption to a policy document, as
// text: each rule where it is walked, behind the last line of the one before it,
// each table at the end of the list. Every byte that was there stays, in its
// order. The file name is only used in messages.
//
// Afterwards the document means on the host what it meant, and exactly the
// adoption besides; it is an error if it cannot, or if its lists are not written
// as lines that begin with a dash. Rules that it has pinned already are not added
// again, nor are tables of which it has all routes; one of which it lacks some is
// an error.
//
// The errors are an [ErrorList] with places in the document, an [*AdoptError] as
// of [Adopt], or one that says why the two do not go together. The result is a
// function of the arguments, which are neither modified nor kept.
func AdoptInto(file string, data []byte, s *rpdb.Snapshot, n rpdb.Names, a Adoption) (Merged, error) {
	m := merger{reporter: reporter{file: file}, host: s, names: n}
	var err error
	if m.old, err = Parse(file, data); err != nil {
		return Merged{}, err
	}
	if m.before, err = m.old.Resolve(s, n); err != nil {
		return Merged{}, err
	}
	out := Merged{Text: string(data)}
	a.Head, a.Left = nil, nil
	a.Rules, out.Present = m.newRules(a.Rules)
	a.Tables = m.newTables(a)
	if err := m.err(); err != nil || len(a.Rules)+len(a.Tables) == 0 {
		return out, err
	}
	out.Rules, out.Tables = a.Rules, a.Tables
	addition, err := Adopt(s, n, a)
	if err != nil {
		return Merged{}, err
	}
	if out.Text, err = m.add(data, addition); err != nil {
		return Merged{}, err
	}
	return out, m.verify(out.Text, addition)
}

// merger adds one document to another.
type merger struct {
	reporter
	host   *rpdb.Snapshot
	names  rpdb.Names
	old    *Document
	before rpdb.Desired // what it meant

	lines []string // of the old document, with their ends
	first int      // the line that its keys begin in, from 1
	eol   string
	added map[int]string // behind which lines, counted from 1, what is added
	tail  string         // the keys that are added, at the end
}

// newRules divides rules into those that the document does not have, and those
// that it has pinned.
func (m *merger) newRules(rules []rpdb.Rule) (fresh, present []rpdb.Rule) {
	has := map[rpdb.Rule]bool{}
	for _, r := range m.before.Rules {
		if r.Pinned {
			has[r.Rule.Meaning()] = true
		}
	}
	for _, r := range rules {
		if has[r.Meaning()] {
			present = append(present, r)
		} else {
			fresh = append(fresh, r)
		}
	}
	return fresh, present
}

// newTables returns the tables that the document does not have, and reports those
// of which it has a part.
func (m *merger) newTables(a Adoption) (fresh []rpdb.TableID) {
	w := &adopter{Adoption: a}
	for _, t := range a.Tables {
		if !slices.ContainsFunc(m.before.Tables, func(d rpdb.DesiredTable) bool { return d.ID == t }) {
			fresh = append(fresh, t)
			continue
		}
		lacks := 0
		for _, r := range m.host.Routes {
			if r.Table != t || w.leaveRoute(r) != "" {
				continue
			}
			r.Protocol = rpdb.ProtocolRPDB
			if !slices.ContainsFunc(m.before.Routes, func(d rpdb.DesiredRoute) bool { return d.Route.Equal(r) }) {
				lacks++
			}
		}
		if lacks > 0 {
			m.reportAt(m.placeOf(t), "table", fmt.Sprint(t), bad("is in the file already, without %d of the routes that it has on the host", lacks).
				try("add them there: rpdb adopt prints them"))
		}
	}
	return fresh
}

// placeOf returns where the document has a table.
func (m *merger) placeOf(t rpdb.TableID) Position {
	for _, u := range m.old.Uplinks {
		if u.Table.Number == t {
			return u.Table.Position
		}
	}
	for _, d := range m.old.Tables {
		if d.Number == t {
			return d.Position
		}
	}
	return Position{1, 1}
}

// add returns the text with the tables and rules of an addition.
func (m *merger) add(data []byte, addition string) (string, error) {
	p := &parser{reporter: reporter{file: m.file}, src: newSource(data)}
	root := p.load(data)
	addend, err := Parse("", []byte(addition))
	if root == nil || err != nil {
		return "", p.err() // both have been read before
	}
	m.lines, m.eol, m.added = slices.Collect(strings.Lines(string(data))), "\n", map[int]string{}
	m.first = root.Line
	if strings.HasSuffix(m.lines[0], "\r\n") {
		m.eol = "\r\n"
	}
	if root.Style&yaml.FlowStyle != 0 {
		m.refuse(root, "document")
		return "", m.err()
	}
	tables, rules := itemsOf(addition)
	m.addList(root, "tables", tables, func(_ int, content []*yaml.Node) int { return len(content) })
	m.addList(root, "rules", rules, func(i int, content []*yaml.Node) int { return m.walkedAt(addend.Rules[i], content) })
	return m.text(), m.err()
}

func (m *merger) refuse(n *yaml.Node, object string) {
	m.reportAt(Position{n.Line, n.Column}, object, "", bad("is written in brackets, where lines cannot be added").
		try("write it as lines that begin with a dash, or add by hand what rpdb adopt prints"))
}

// item is an item of a list, and the comment before it that is about it and those
// that follow.
type item struct{ comment, text string }

// itemsOf returns the items of what Adopt has written.
func itemsOf(text string) (tables, rules []item) {
	var list *[]item
	about, fresh := "", false
	for line := range strings.Lines(text) {
		switch {
		case line == "tables:\n":
			list, about = &tables, ""
		case line == "rules:\n":
			list, about = &rules, ""
		case list == nil || line == "\n":
		case strings.HasPrefix(line, "  #"):
			if !fresh {
				about = ""
			}
			about, fresh = about+line, true
		case strings.HasPrefix(line, "  - "):
			*list, fresh = append(*list, item{about, line}), false
		default:
			(*list)[len(*list)-1].text += line
		}
	}
	return tables, rules
}

// walkedAt returns before which item of the list of rules one is walked.
func (m *merger) walkedAt(r Rule, content []*yaml.Node) int {
	pin, _ := r.Priority.Get() // which every rule of a live adoption has
	rules := m.old.Rules
	for i, n := range content {
		at := firstPriority // of what the tool numbers
		if n.Kind == yaml.MappingNode {
			if p, ok := rules[0].Priority.Get(); ok {
				at = p
			}
			rules = rules[1:]
		}
		if at > pin {
			return i
		}
	}
	return len(content)
}

// addList adds items to the list of a key, each before the item of it that place
// says, or adds the key.
func (m *merger) addList(root *yaml.Node, key string, items []item, place func(int, []*yaml.Node) int) {
	if len(items) == 0 {
		return
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != key {
			continue
		}
		end := m.end()
		if i+2 < len(root.Content) {
			end = root.Content[i+2].Line
		}
		m.addItems(root.Content[i], root.Content[i+1], items, end, place)
		return
	}
	indent := strings.Repeat(" ", root.Content[0].Column-1)
	text, about := "\n"+indent+key+":\n", ""
	if m.tail == "" && strings.TrimSpace(m.lines[m.end()-2]) == "" {
		text = text[1:]
	}
	for _, it := range items {
		if it.comment != about {
			text += indented(it.comment, indent+"  ")
		}
		about = it.comment
		text += indented(it.text, indent+"  ")
	}
	m.tail += text
}

// addItems adds items to a list that ends before a line.
func (m *merger) addItems(key, list *yaml.Node, items []item, end int, place func(int, []*yaml.Node) int) {
	if list.Style&yaml.FlowStyle != 0 {
		m.refuse(list, key.Value)
		return
	}
	indent := strings.Repeat(" ", list.Column-1)
	starts := make([]int, 0, len(list.Content)+1)
	for _, n := range list.Content {
		line := n.Line
		for line > key.Line && !strings.HasPrefix(m.lines[line-1], indent+"-") {
			line-- // the dash stands alone, before a comment
		}
		starts = append(starts, line)
	}
	starts = append(starts, end)
	last, about := -1, ""
	for i, it := range items {
		at := place(i, list.Content)
		line := key.Line
		if at > 0 {
			line = m.lastLine(starts[at-1], starts[at], indent)
		}
		if line != last || it.comment != about {
			m.added[line] += indented(it.comment, indent)
		}
		last, about = line, it.comment
		m.added[line] += indented(it.text, indent)
	}
}

// lastLine returns the last line of an item that begins at a line, the next one at
// another: comments that stand no deeper than the dash are about what follows.
func (m *merger) lastLine(start, next int, indent string) int {
	for line := next - 1; line > start; line-- {
		text := strings.TrimLeft(m.lines[line-1], " ")
		deep := len(m.lines[line-1])-len(text) > len(indent)
		if strings.TrimSpace(text) != "" && (deep || text[0] != '#') {
			return line
		}
	}
	return start
}

// end returns the line behind the last one of the document. Before its first one dots
// end nothing.
func (m *merger) end() int {
	for i := m.first - 1; i < len(m.lines); i++ {
		if line := m.lines[i]; strings.HasPrefix(line, "...") && strings.Fields(line)[0] == "..." {
			return i + 1
		}
	}
	return len(m.lines) + 1
}

// indented moves lines that stand two columns in.
func indented(lines, indent string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString(indent + strings.TrimPrefix(line, "  "))
	}
	return b.String()
}

// text returns the old lines with what is added behind them.
func (m *merger) text() string {
	var b strings.Builder
	end := m.end()
	for i, line := range m.lines {
		b.WriteString(line)
		more := m.added[i+1]
		if i+2 == end {
			more += m.tail
		}
		if more != "" && !strings.HasSuffix(line, "\n") {
			b.WriteString(m.eol)
		}
		b.WriteString(strings.ReplaceAll(more, "\n", m.eol))
	}
	return b.String()
}

// verify checks that a text means what the old document meant, and exactly the
// addition besides.
func (m *merger) verify(text, addition string) error {
	doc, err := Parse(m.file, []byte(text))
	var after, besides rpdb.Desired
	if err == nil {
		after, err = doc.Resolve(m.host, m.names)
	}
	if err != nil {
		e := err.(ErrorList)[0] // which is what both return; its place is in no file
		return fmt.Errorf("%s: what is added does not go with what is there: %s %q: %s", m.file, e.Object, e.Text, e.Reason)
	}
	addend, err := Parse("", []byte(addition))
	if err == nil {
		besides, err = addend.Resolve(m.host, m.names)
	}
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(apart(nameless(after.Rules), nameless(m.before.Rules)), nameless(besides.Rules)) ||
		!reflect.DeepEqual(apart(after.Routes, m.before.Routes), copyOf(besides.Routes)) ||
		!reflect.DeepEqual(apart(after.Tables, m.before.Tables), copyOf(besides.Tables)) ||
		!reflect.DeepEqual(apart(after.Waiting, m.before.Waiting), copyOf(besides.Waiting)) {
		return fmt.Errorf("%s: with what is added it would mean something else than before, and that besides: add by hand what is printed without a file", m.file)
	}
	return nil
}

// nameless returns rules without the names that say their places, which those have
// that were given none. No goto can have such a name, as it has a space.
func nameless(rules []rpdb.DesiredRule) []rpdb.DesiredRule {
	madeUp := regexp.MustCompile(`^rule [0-9]+$`) // not made when the program starts
	out := copyOf(rules)
	for i := range out {
		if madeUp.MatchString(out[i].Name) {
			out[i].Name = ""
		}
	}
	return out
}

// apart returns a list without the items of another that stand in it in the
// same order. What is not there in that order is not taken out, nor is what
// follows.
func apart[T any](list, others []T) []T {
	out := []T{}
	for _, v := range list {
		if len(others) > 0 && reflect.DeepEqual(v, others[0]) {
			others = others[1:]
			continue
		}
		out = append(out, v)
	}
	return append(out, others...)
}

// copyOf returns a copy of a list that is never nil.
func copyOf[T any](l []T) []T { return append([]T{}, l...) }
