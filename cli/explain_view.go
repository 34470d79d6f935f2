package cli

import (
	"fmt"
	"slices"
	"strings"

	"rpdb"
	"rpdb/fib"
)

func (a *app) viewExplain(s *rpdb.Snapshot, e explanation) error {
	if e.WhyNot != nil {
		return a.viewWhyNot(s, e)
	}
	w := newPrinter(a.Out)
	v := newWords(s.LinkName, a.loadNames())
	v.hideProtocol = true
	if e.Title != "" {
		w.printf("%s\n", safe(e.Title))
	}
	for i, l := range e.Trace.Lookups {
		if len(e.Trace.Lookups) > 1 || l.Purpose != fib.Output {
			w.printf("%s\n", purposeLine(i, l))
		}
		w.ruleSteps(v, a.shownSteps(l.Steps()))
	}
	w.printf("%s\n", safe(verdictLine(e.Trace.Decision)))
	w.kernelLine(e)
	w.assumed(s, e)
	return w.err
}

// purposeLine says what a lookup is for, where there are several.
func purposeLine(i int, l fib.LookupTrace) string {
	word := map[fib.Purpose]string{
		fib.Output:      "the packet, sent by this host",
		fib.Repeat:      "asked again with the source that was found",
		fib.Input:       "the packet, coming in by " + safe(l.Flow.IIF),
		fib.ReversePath: "the way back to its source (reverse-path check)",
	}[l.Purpose]
	return fmt.Sprintf("%d. %s: to %v%s", i+1, word, l.Flow.Dst, fromWord(l.Flow))
}

func fromWord(f rpdb.Flow) string {
	if !f.Src.IsValid() {
		return ""
	}
	return fmt.Sprintf(" from %v", f.Src)
}

// maxRuleColumn is the widest that the column of rules gets.
const maxRuleColumn = 48

// ruleColumn returns the width of the column of rules.
func ruleColumn(v words, steps []fib.Step) int {
	width := 0
	for _, s := range steps {
		width = max(width, len(v.rule(s.Rule)))
	}
	return min(width, maxRuleColumn)
}

// ruleSteps prints the rules of one walk and what became of each; the one that
// decided has a mark in front.
func (p *printer) ruleSteps(v words, steps []fib.Step) {
	width := ruleColumn(v, steps)
	for _, s := range steps {
		mark := " "
		if decided(s) {
			mark = ">"
		}
		p.printf("%s%7d  %s  %s\n", mark, s.Rule.Priority, pad(v.rule(s.Rule), width), safe(v.detail(s.Detail)))
	}
}

// decided reports whether a step ended its walk.
func decided(s fib.Step) bool {
	switch s.Detail.(type) {
	case fib.Chosen, fib.Denied, fib.Unknown:
		return true
	}
	return false
}

// detail spells what a rule did, with tables by name.
func (w words) detail(d fib.Detail) string {
	switch d := d.(type) {
	case fib.NotMatched:
		return d.Words(safe[string])
	case fib.Miss:
		return "no route in " + w.table(d.Table)
	case fib.NoTable:
		return w.table(d.Table) + " is empty"
	case fib.Throw:
		return fmt.Sprintf("throw %s in %s", destination(d.Route), w.table(d.Table))
	case fib.Suppressed:
		return destination(d.Route) + ", suppressed"
	case fib.Chosen:
		return fmt.Sprintf("%s %s", destination(d.Route), hopWords(d.Route.Type, d.Hop))
	case fib.Denied:
		if d.Table != 0 {
			return fmt.Sprintf("%v %s in %s: %v", d.Route.Type, destination(d.Route), w.table(d.Table), d.Errno)
		}
		return fmt.Sprintf("denies: %v", d.Errno)
	}
	return d.String()
}

func destination(r rpdb.Route) string {
	if r.IsDefault() {
		return "default"
	}
	return r.Dst.String()
}

func hopWords(t rpdb.RouteType, h rpdb.Hop) string {
	var parts []string
	if t != rpdb.RouteUnicast {
		parts = append(parts, t.String())
	}
	if h.Via.IsValid() {
		parts = append(parts, "via "+h.Via.String())
	}
	if h.Link != "" {
		parts = append(parts, "dev "+safe(h.Link))
	}
	return strings.Join(parts, " ")
}

// verdictLine says in one sentence what becomes of the packet.
func verdictLine(d rpdb.Decision) string {
	var line string
	switch d.Disposition {
	case rpdb.Sent:
		line = "leaves by " + hopSentence(d.Hop)
		if len(d.Either) > 1 {
			line = "leaves by one of: " + joinHops(d.Either)
		}
		if d.Src.IsValid() {
			line += ", source " + d.Src.String()
		}
	case rpdb.Local:
		line = "is delivered on this host"
	case rpdb.Refused:
		line = "is not sent: " + d.Errno.String()
		if icmp := d.ICMP.String(); icmp != "" {
			line += ", the sender gets ICMP " + icmp
		}
	case rpdb.Martian:
		line = "is dropped on arrival"
	default:
		line = "unknown"
	}
	if d.Note != "" {
		line += " (" + d.Note + ")"
	}
	return line
}

func hopSentence(h rpdb.Hop) string {
	if h.Via.IsValid() {
		return fmt.Sprintf("%s via %v", safe(h.Link), h.Via)
	}
	return safe(h.Link)
}

func joinHops(hops []rpdb.Hop) string {
	var words []string
	for _, h := range hops {
		words = append(words, hopSentence(h))
	}
	return strings.Join(words, "; ")
}

func (p *printer) kernelLine(e explanation) {
	switch {
	case e.Unasked != "":
		p.printf("kernel not asked: %s\n", safe(e.Unasked))
	case *e.Agrees:
		p.printf("kernel agrees (route get)\n")
	default:
		p.printf("KERNEL DISAGREES (route get): %s\n", safe(verdictLine(*e.Kernel)))
	}
}

// maxAsked is how many rules are listed that look at what was assumed.
const maxAsked = 10

// assumed says what the flow leaves open, and which rules look at it.
func (p *printer) assumed(s *rpdb.Snapshot, e explanation) {
	f := e.Trace.Flow
	open := openFields(f)
	if e.known != nil {
		open = slices.DeleteFunc(open, func(o openField) bool { return e.known(o.name) })
	}
	if len(open) == 0 {
		return
	}
	var words, asked []string
	for _, field := range open {
		words = append(words, field.word)
		for _, r := range s.RulesOf(f.Family()) {
			word := fmt.Sprintf("rule %d looks at %s", r.Priority, field.name)
			if field.selects(r.Selector) && (len(asked) == 0 || asked[len(asked)-1] != word) {
				asked = append(asked, word)
			}
		}
	}
	text := "assumed: " + strings.Join(words, ", ")
	if len(asked) == 0 {
		p.wrap(text + "; no rule looks at any of these")
		return
	}
	if more := len(asked) - maxAsked; more > 0 {
		asked = append(asked[:maxAsked], fmt.Sprintf("and so on, %d more", more))
	}
	p.wrap(text + "; " + strings.Join(asked, ", "))
}

// openField is a part of a flow that was not given.
type openField struct {
	name, word string
	selects    func(rpdb.Selector) bool
}

// carried reports whether packets tell a field themselves. The flow label of a
// packet of this host is made up after the lookup.
func carried(field string, f rpdb.Flow) bool {
	return field != "uid" && field != "fwmark" && (field != "flowlabel" || f.IsInput())
}

func openFields(f rpdb.Flow) []openField {
	var open []openField
	add := func(is bool, name, word string, selects func(rpdb.Selector) bool) {
		if is {
			open = append(open, openField{name, word, selects})
		}
	}
	add(f.UID == 0 && !f.IsInput(), "uid", "uid 0", func(s rpdb.Selector) bool { return s.UIDRange.IsSet() })
	add(f.Mark == 0, "fwmark", "no mark", func(s rpdb.Selector) bool { return s.Mark.Mask != 0 })
	add(f.TOS == 0, "tos or dscp", "no tos", func(s rpdb.Selector) bool { return s.TOS != 0 || s.DSCP.IsSet() })
	add(f.IPProto == 0, "ipproto", "no protocol", func(s rpdb.Selector) bool { return s.IPProto != 0 })
	add(f.SPort == 0, "sport", "no source port", func(s rpdb.Selector) bool { return s.SPort != rpdb.Ports{} })
	add(f.DPort == 0, "dport", "no destination port", func(s rpdb.Selector) bool { return s.DPort != rpdb.Ports{} })
	add(f.Family() == rpdb.IPv6 && f.FlowLabel == 0, "flowlabel", "no flow label", func(s rpdb.Selector) bool { return s.FlowLabel.Mask != 0 })
	return open
}
