package analysis

import (
	"fmt"
	"slices"

	"rpdb"
)

// Severity says how bad a finding is; see the package comment. The zero value
// is Note, and the worse is the greater.
type Severity uint8

// The severities, from the mildest.
const (
	Note Severity = iota
	Warning
	Error
)

func severityWords() []string { return []string{"note", "warning", "error"} }

// String returns "note", "warning" or "error".
func (s Severity) String() string {
	if words := severityWords(); int(s) < len(words) {
		return words[s]
	}
	return fmt.Sprintf("severity %d", uint8(s))
}

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Severity) UnmarshalText(text []byte) error {
	i := slices.Index(severityWords(), string(text))
	if i < 0 {
		return fmt.Errorf("parse severity %q: unknown word", text)
	}
	*s = Severity(i)
	return nil
}

// Diagnostic is one finding. It owns what it points to.
type Diagnostic struct {
	Check    string   `json:"check"` // the name of the analyzer
	Severity Severity `json:"severity"`
	// Family is the family concerned, 0 for both.
	Family  rpdb.Family `json:"family,omitzero"`
	Subject Subject     `json:"subject,omitzero"`
	// Message says in one clause what is odd. It names the subject, is ASCII
	// and safe to print; so is Reason.
	Message string `json:"message"`
	// Reason says in a clause what led to it or what follows from it; "" when
	// the message says all.
	Reason string `json:"reason,omitzero"`
	// Fixes are alternatives: each stands alone and puts the finding right.
	// None means that only the owner of the host can know the cure.
	Fixes []SuggestedFix `json:"fixes,omitempty"`
}

// SuggestedFix is one way to put a finding right.
type SuggestedFix struct {
	// Message is a verb phrase, as in "delete rule 200".
	Message string `json:"message"`
	// Changes are made in this order.
	Changes []rpdb.Change `json:"changes"`
}

// Subject is what a finding is about: exactly one of a rule, a route, a link
// and an address, which is named together with its link. The zero Subject is
// the family as a whole.
type Subject struct {
	Rule    *rpdb.Rule    `json:"rule,omitempty"`
	Route   *rpdb.Route   `json:"route,omitempty"`
	Link    *rpdb.Link    `json:"link,omitempty"`
	Address *rpdb.Address `json:"address,omitempty"`
}

// OfRule returns the subject that is a rule.
func OfRule(r rpdb.Rule) Subject { return Subject{Rule: &r} }

// OfRoute returns the subject that is a route.
func OfRoute(r rpdb.Route) Subject { return Subject{Route: &r} }

// OfLink returns the subject that is an interface.
func OfLink(l rpdb.Link) Subject { return Subject{Link: &l} }

// OfAddress returns the subject that is an address of an interface.
func OfAddress(a rpdb.Address, l rpdb.Link) Subject { return Subject{Address: &a, Link: &l} }

// String names the subject, as in "rule 100 (IPv4)", "eth1" or
// "10.10.0.10/24 on eth1"; it is safe to print. The zero Subject is "".
func (s Subject) String() string {
	switch {
	case s.Rule != nil:
		return s.Rule.String()
	case s.Route != nil:
		return s.Route.String()
	case s.Address != nil && s.Link != nil:
		return fmt.Sprintf("%v on %s", s.Address.Prefix, Name(s.Link.Name))
	case s.Link != nil:
		return Name(s.Link.Name)
	}
	return ""
}

// HasErrors reports whether a finding is an Error.
func HasErrors(found []Diagnostic) bool {
	return slices.ContainsFunc(found, func(d Diagnostic) bool { return d.Severity == Error })
}

// DeleteRule returns the fix that deletes a rule. There is none for a rule
// that is permanent, that carries attributes which this program does not know,
// or that a goto leads to: without it, the goto would do nothing.
func DeleteRule(s *rpdb.Snapshot, r rpdb.Rule) []SuggestedFix {
	if r.Unknown != "" || r.Flags&rpdb.RulePermanent != 0 || isTarget(s, r) {
		return nil
	}
	return []SuggestedFix{{
		Message: fmt.Sprintf("delete rule %d", r.Priority),
		Changes: []rpdb.Change{rpdb.RuleChange(rpdb.Delete, r)},
	}}
}

// isTarget reports whether a goto leads to a rule and to no other.
func isTarget(s *rpdb.Snapshot, r rpdb.Rule) bool {
	targeted, others := false, -1
	for i := range s.Rules {
		switch o := &s.Rules[i]; {
		case o.Family != r.Family:
		case o.Priority == r.Priority:
			others++
		case o.Action.Type() == rpdb.ActionGoto && o.Action.Target() == r.Priority:
			targeted = true
		}
	}
	return targeted && others < 1
}
