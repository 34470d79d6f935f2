package iproute2

import (
	"encoding/binary"

	"rpdb"
)

// RuleStream lists the rules of a dump, message after message, as many as a filter
// selects. Most rules of a long list differ from one in front of them in nothing but
// priority and addresses: those are neither read nor laid out again, but repeated with
// their own. Like a [RouteStream], it holds a few hundred such patterns, and is not
// safe for concurrent use.
type RuleStream struct {
	filter   RuleFilter
	state    *NameState
	read     namesRead // by the time of the patterns
	printer  RulePrinter
	patterns patterns
	cut      cutting // around the values of the last message
	whole    bool    // nothing is repeated
}

// RulePrinter is what a [RuleStream] works with. What is given and returned is valid
// until the next call.
type RulePrinter interface {
	// Read reads the payload of a message, a struct fib_rule_hdr with attributes.
	Read(payload []byte) (*rpdb.Rule, error)
	// Print prints a rule and returns what it printed, which in the view of the
	// stream depends on nothing but the rule, or nil if it does not know that.
	Print(r *rpdb.Rule) (printed []byte, err error)
	// Repeat prints what Print would have printed.
	Repeat(text []byte) error
}

// NewRuleStream returns a stream of the rules that a filter selects, which the printer
// prints as text or as objects of JSON. Of the view, the state counts.
func NewRuleStream(v RuleView, f RuleFilter, p RulePrinter) *RuleStream {
	return &RuleStream{filter: f, state: v.State, printer: p, patterns: newPatterns(), whole: !f.Empty()}
}

// Forget forgets how rules look, because the view changed.
func (s *RuleStream) Forget() { s.patterns.forget() }

// Add lists the rule of a message, RTM_NEWRULE, if the filter selects it. The first
// error of the printer is returned.
func (s *RuleStream) Add(payload []byte) error {
	c := &s.cut
	if s.whole || s.patterns.isResting() || !c.rule(payload) {
		_, err := s.print(payload)
		return err
	}
	if s.state != nil && s.state.namesRead != s.read {
		s.read = s.state.namesRead
		s.Forget()
	}
	if p := s.patterns.find(c); p != nil {
		return s.printer.Repeat(s.patterns.fill(p, c))
	}
	printed, err := s.print(payload)
	if err == nil && printed != nil {
		s.patterns.keep(c, printed, true)
	}
	return err
}

// print reads a message, and prints it if the filter selects it.
func (s *RuleStream) print(payload []byte) (printed []byte, err error) {
	r, err := s.printer.Read(payload)
	if err != nil || s.whole && !s.filter.Match(*r) {
		return nil, err
	}
	return s.printer.Print(r)
}

// Places of the values of a rule, in the order in which they are printed.
const (
	rulePriority = iota
	ruleFrom
	ruleTo
)

// rule cuts the payload of a message about a rule around its priority and addresses,
// as many of them as it has. It is false for a message that has one of them twice, or
// not as it should be.
func (c *cutting) rule(payload []byte) bool {
	size := addressSize(payload)
	if size == 0 {
		return false
	}
	c.head, c.flags = binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint32(payload[8:])
	c.kinds, c.n = [maxValues]valueKind{}, 0
	attrs := payload[sizeofFixed:]
	for i := 0; len(attrs)-i >= attributeHeader; {
		n := int(binary.NativeEndian.Uint16(attrs[i:]))
		next := i + (n+3)&^3
		if n < attributeHeader || next > len(attrs) {
			return false
		}
		value := attrs[i+attributeHeader : i+n]
		var kind valueKind
		var at, want int
		switch binary.NativeEndian.Uint16(attrs[i+2:]) & attributeType {
		case fraPriority:
			kind, at, want = priorityValue, rulePriority, 4
		case fraSrc:
			kind, at, want = fromValue, ruleFrom, size
		case fraDst:
			kind, at, want = toValue, ruleTo, size
		default:
			i = next
			continue
		}
		if len(value) != want || c.kinds[at] != noValue {
			return false
		}
		c.kinds[at], c.values[at].data = kind, value
		c.around[c.n] = attrs[:i]
		c.n++
		attrs, i = attrs[next:], 0
	}
	c.around[c.n] = attrs
	c.n++
	return true
}
