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
	v.hideProtocol, v.nat = true, s.NAT.Translations
	look := a.look()
	w.arrival(look, e)
	for i := range e.Trace.Lookups {
		l := &e.Trace.Lookups[i]
		if len(e.Trace.Lookups) > 1 || l.Purpose != fib.Output {
			w.lines(look, "", purposeLine(i, l))
		}
		walk := newWalkView(look, v, a.shownSteps(s, l.Steps()))
		for _, line := range walk.lines() {
			w.printf("%s\n", line)
		}
	}
	w.outcome(look, e)
	w.assumed(look, s, e)
	return w.err
}

// lines prints running text, broken to fit; further lines are indented.
func (p *printer) lines(l look, attribute, text string) {
	indent := ""
	for _, line := range breakLines(text, l.width-2) {
		p.printf("%s%s\n", indent, l.paint(attribute, line))
		indent = "  "
	}
}

// purposeLine says what a lookup is for, where there are several.
func purposeLine(i int, l *fib.LookupTrace) string {
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

// outcome says what becomes of the packet, and why.
func (p *printer) outcome(l look, e explanation) {
	d := e.Trace.Decision
	attribute := alarm
	if d.Disposition.Delivered() {
		attribute = strong
	}
	p.lines(l, attribute, safe(fateLine(e.Trace.Flow, d)))
	if s, ok := lastSource(e.Trace); ok && d.Disposition.Delivered() {
		p.source(l, s)
	}
	p.translation(l, e)
	for _, c := range e.Trace.ReverseChecks {
		p.lines(l, "", "reverse path: "+reverseWords(c, e.Trace.Flow))
	}
	p.kernelLine(l, e)
}

// lastSource is how the source of the packet was chosen.
func lastSource(tr fib.Trace) (fib.Source, bool) {
	for i := len(tr.Lookups) - 1; i >= 0; i-- {
		if tr.Lookups[i].Purpose == fib.Output || tr.Lookups[i].Purpose == fib.Repeat {
			return tr.Lookups[i].Source()
		}
	}
	return fib.Source{}, false
}

// source says why the packet carries its source; that the sender gave it needs
// no words.
func (p *printer) source(l look, s fib.Source) {
	if s.By == fib.SourceGiven {
		return
	}
	p.lines(l, "", fmt.Sprintf("source %v: %s", s.Addr, sourceWords(s)))
	if l.all {
		for _, r := range s.Rivals {
			p.lines(l, "", fmt.Sprintf("  not %v (%s): %s", r.Addr, safe(r.Link), rivalRule(r)))
		}
	}
}

func (p *printer) kernelLine(l look, e explanation) {
	switch {
	case e.Unasked != "":
		p.lines(l, "", "kernel not asked: "+safe(e.Unasked))
	case *e.Agrees:
		p.printf("kernel agrees (route get)\n")
	default:
		p.lines(l, alarm, "KERNEL DISAGREES (route get): "+safe(fateLine(e.Trace.Flow, *e.Kernel)))
	}
}

// maxAsked is how many rules are listed that look at what was assumed.
const maxAsked = 10

// assumed says what the flow leaves open, and which rules look at it.
func (p *printer) assumed(l look, s *rpdb.Snapshot, e explanation) {
	f := e.Trace.Flow
	open := openFields(f)
	if e.known != nil {
		open = slices.DeleteFunc(open, func(o openField) bool { return e.known(o.name) })
	}
	if len(open) == 0 {
		return
	}
	var words, asked []string
	more := 0
	for _, field := range open {
		words = append(words, field.word)
		last := rpdb.Priority(0)
		for i, r := range s.RulesOf(f.Family()) {
			switch {
			case !field.selects(r.Selector) || i > 0 && r.Priority == last:
				continue
			case len(asked) < maxAsked:
				asked = append(asked, fmt.Sprintf("rule %d looks at %s", r.Priority, field.name))
			default:
				more++
			}
			last = r.Priority
		}
	}
	text := "assumed: " + strings.Join(words, ", ")
	switch {
	case len(asked) == 0:
		text += "; no rule looks at any of these"
	case more > 0:
		text += fmt.Sprintf("; %s, and so on, %s more", strings.Join(asked, ", "), thousands(more))
	default:
		text += "; " + strings.Join(asked, ", ")
	}
	width := lineWidth
	if l.width > 0 {
		width = min(l.width, lineWidth)
	}
	p.fill("", strings.Fields(text), width)
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
