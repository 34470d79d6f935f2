package analysis

import (
	"slices"

	"rpdb"
)

// Match says which flows a rule's selector matches. The zero value is some.
type Match uint8

// The cases that can be told without looking at a flow.
const (
	MatchesSome Match = iota
	MatchesAll
	MatchesNone
)

// RuleMatch tells whether a rule matches all flows or none. A selector that
// cannot fail, as fwmark with an empty mask, counts as absent; one for an
// interface that does not exist matches nothing. A rule with attributes that
// this program does not know matches some.
func RuleMatch(s *rpdb.Snapshot, r rpdb.Rule) Match {
	if r.Unknown != "" {
		return MatchesSome
	}
	m := MatchesSome
	switch {
	case Detached(s, r) != "":
		m = MatchesNone
	case WithoutInert(r).Selector == rpdb.Selector{}:
		m = MatchesAll
	}
	if !r.Selector.Not || m == MatchesSome {
		return m
	}
	return MatchesAll + MatchesNone - m
}

// WithoutInert returns the rule in canonical form, without "not" and without
// the selectors that match every flow.
func WithoutInert(r rpdb.Rule) rpdb.Rule {
	r = r.Canonical()
	r.Selector.Not = false
	if r.Selector.Mark.Mask == 0 {
		r.Selector.Mark = rpdb.Mark{}
	}
	if d, ok := r.Selector.DSCP.Get(); ok && d.Mask == 0 {
		r.Selector.DSCP = rpdb.Opt[rpdb.DSCP]{}
	}
	// 4294967295 is no user id, so this range is all of them.
	if u, ok := r.Selector.UIDRange.Get(); ok && u.First == 0 && u.Last >= 1<<32-2 {
		r.Selector.UIDRange = rpdb.Opt[rpdb.UIDRange]{}
	}
	return r
}

// Detached returns the interface name that a rule selects and that no
// interface has, "" if there is none. In a snapshot of a kernel the kernel's
// word counts for a name that is not in the list: it may be an alternative
// name, which attaches a rule (measured on 6.18) and which no snapshot holds.
func Detached(s *rpdb.Snapshot, r rpdb.Rule) rpdb.LinkName {
	gone := func(name rpdb.LinkName, flag rpdb.RuleFlags) bool {
		if name == "" || r.Flags&flag != 0 {
			return name != ""
		}
		_, ok := s.LinkByName(name)
		return !ok && s.Kernel == ""
	}
	switch {
	case gone(r.Selector.IIF, rpdb.RuleIIFDetached):
		return r.Selector.IIF
	case gone(r.Selector.OIF, rpdb.RuleOIFDetached):
		return r.Selector.OIF
	}
	return ""
}

// IsKernelRule reports whether a rule is one of those that the kernel makes
// with a namespace. The protocol does not count: kernels before 4.17 know
// none.
func IsKernelRule(r rpdb.Rule) bool {
	r = r.Canonical()
	r.Protocol = rpdb.ProtocolKernel
	return slices.Contains(rpdb.DefaultRules(r.Family), r)
}

// Denies reports whether an action drops every packet that reaches it. The
// kernel does so for every action that it does not know, too.
func Denies(a rpdb.Action) bool {
	switch a.Type() {
	case rpdb.ActionTable, rpdb.ActionGoto, rpdb.ActionNop:
		return false
	}
	return true
}

// Asked says for which flows a rule is asked at all. The zero value is never.
type Asked uint8

// AskedBound rules stand behind a table with a default route: only a flow that
// is bound to an interface which the default does not lead to passes it. In
// IPv6 packets to link-local addresses are bound to where they came in.
const (
	AskedNever Asked = iota
	AskedBound
	AskedAlways
)

// Place is a rule in its list, and who is asked before it.
type Place struct {
	Rule  rpdb.Rule
	Asked Asked
	// Enders are the rules that keep flows from this one, in order; none if
	// Asked is AskedAlways. If it is AskedNever, the last one leaves nothing.
	Enders []rpdb.Rule
}

// Walk returns the rules of a family in order, and which of them are asked if
// the list is walked; the kernel does not while nobody has changed it. What a
// rule with a selector does to later rules is not followed.
func Walk(s *rpdb.Snapshot, f rpdb.Family) []Place {
	rules := s.RulesOf(f)
	places := make([]Place, len(rules))
	tables := EndingTables(s, f)
	var enders []rpdb.Rule
	for i, r := range rules {
		at := &places[i]
		at.Rule = r
		if i == 0 {
			at.Asked = AskedAlways
		}
		if at.Asked == AskedAlways {
			enders = nil
		}
		at.Enders = slices.Clip(enders)
		if at.Asked == AskedNever {
			continue
		}
		next, target := leave(s, rules, i, tables)
		if target >= 0 {
			places[target].Asked = max(places[target].Asked, at.Asked)
		}
		if next != AskedAlways {
			enders = append(at.Enders, r)
		}
		if i+1 < len(places) {
			places[i+1].Asked = max(places[i+1].Asked, min(next, at.Asked))
		}
	}
	return places
}

// leave returns for which of the flows that reach rule i the next rule is
// asked, and the index of the rule that a goto leads to, -1 for none.
func leave(s *rpdb.Snapshot, rules []rpdb.Rule, i int, ending map[rpdb.TableID]bool) (next Asked, target int) {
	r, m := rules[i], RuleMatch(s, rules[i])
	target = -1
	if m == MatchesNone {
		return AskedAlways, target
	}
	if r.Action.Type() == rpdb.ActionGoto {
		target = GotoTarget(rules, r)
	}
	switch all := m == MatchesAll; {
	case all && (Denies(r.Action) || target >= 0):
		return AskedNever, target
	case all && r.Action.Type() == rpdb.ActionTable && r.Suppress == rpdb.Suppressor{} && ending[r.Action.Table()]:
		return AskedBound, target
	}
	return AskedAlways, target
}

// GotoTarget returns the index of the rule that a goto continues at, -1 if it
// is unresolved. The rules are those of one family in order.
func GotoTarget(rules []rpdb.Rule, r rpdb.Rule) int {
	return slices.IndexFunc(rules, func(t rpdb.Rule) bool {
		return t.Priority == r.Action.Target() && t.Priority > r.Priority
	})
}
