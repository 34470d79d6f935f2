package plan

import (
	"fmt"
	"slices"

	"rpdb"
)

// strikeInOrder sees to it that each deletion of a rule takes the one that is
// meant. Of the rules of one priority the kernel deletes the first that agrees in
// what it compares, and it does not compare where a goto leads. A rule that stands
// in the way goes first, and comes back behind, unless the same phase deletes it
// anyway. One that means the same comes back before the other one goes, so that
// packets see nothing of it.
func (d *differ) strikeInOrder(ph *phases) {
	strikes := false
	for _, steps := range ph.steps {
		strikes = strikes || slices.ContainsFunc(steps, func(s Step) bool { return s.Change.Rule != nil && s.Change.Op == rpdb.Delete })
	}
	if !strikes {
		return
	}
	rules := make(standing, len(d.actual.Rules))
	for _, r := range d.actual.Rules {
		if r.Family == d.family {
			rules[r.Priority] = append(rules[r.Priority], r.Canonical())
		}
	}
	for _, phase := range []Phase{Prepare, Switch, Clean} {
		out := make([]Step, 0, len(ph.steps[phase]))
		rest := slices.Clone(ph.steps[phase])
		for len(rest) > 0 {
			s := rest[0]
			rest = rest[1:]
			var back []rpdb.Rule
			if s.Change.Rule != nil && s.Change.Op == rpdb.Delete {
				for _, r := range rules.inTheWay(s.Change.Rule.Canonical()) {
					first := []Step{ruleStep(rpdb.Delete, r, fmt.Sprintf("the kernel would delete it in the place of %v", *s.Change.Rule))}
					switch i := slices.IndexFunc(rest, func(s Step) bool { return deletes(s, r) }); {
					case i >= 0:
						first[0] = rest[i]
						rest = slices.Delete(rest, i, i+1)
					case r.Meaning() == s.Change.Rule.Meaning():
						first = append(first, ruleStep(rpdb.Add, r, comesBack))
					default:
						back = append(back, r)
					}
					out = append(out, first...)
					for _, s := range first {
						rules.carry(s)
					}
				}
			}
			out = append(out, s)
			rules.carry(s)
			for _, r := range back {
				again := ruleStep(rpdb.Add, r, comesBack)
				out = append(out, again)
				rules.carry(again)
				d.transient("%v goes for a moment: the kernel would delete it in the place of another one", r)
			}
		}
		ph.steps[phase] = out
	}
}

const comesBack = "stood in the way of a deletion"

func deletes(s Step, r rpdb.Rule) bool {
	return s.Change.Op == rpdb.Delete && s.Change.Rule != nil && s.Change.Rule.Canonical() == r
}

// standing are canonical rules by priority, in order.
type standing map[rpdb.Priority][]rpdb.Rule

// carry makes a step.
func (rules standing) carry(s Step) {
	if s.Change.Rule == nil {
		return
	}
	r := s.Change.Rule.Canonical()
	if at := rules[r.Priority]; s.Change.Op != rpdb.Delete {
		rules[r.Priority] = append(at, r)
	} else if i := slices.Index(at, r); i >= 0 {
		rules[r.Priority] = slices.Delete(at, i, i+1)
	}
}

// inTheWay returns the rules of ours before a rule that the kernel would delete
// in its place.
func (rules standing) inTheWay(r rpdb.Rule) []rpdb.Rule {
	var before []rpdb.Rule
	for _, c := range rules[r.Priority] {
		if c == r {
			return before
		}
		if c.Unknown == "" && strikes(r, c) {
			before = append(before, c)
		}
	}
	return nil
}

// strikes reports whether the kernel takes c for the rule r that is to be
// deleted (rule_find): it compares neither "not" nor the target of a goto, and
// what r does not say agrees with anything.
func strikes(r, c rpdb.Rule) bool {
	s, t := r.Selector, c.Selector
	ports := func(a, b rpdb.Ports) bool {
		return agrees(rpdb.Ports{First: a.First, Last: a.Last}, rpdb.Ports{First: b.First, Last: b.Last}) && agrees(a.Mask, b.Mask)
	}
	return agrees(r.Action.Type(), c.Action.Type()) && agrees(r.Action.Table(), c.Action.Table()) && agrees(r.Protocol, c.Protocol) &&
		agrees(r.Suppress.PrefixLength, c.Suppress.PrefixLength) && agrees(r.Suppress.IfGroup, c.Suppress.IfGroup) &&
		(r.Family == rpdb.IPv6 || r.Realms == c.Realms) &&
		agrees(s.From, t.From) && agrees(s.To, t.To) && agrees(s.TOS, t.TOS) && agrees(s.DSCP, t.DSCP) &&
		agrees(s.Mark.Value, t.Mark.Value) && agrees(s.Mark.Mask, t.Mark.Mask) &&
		agrees(s.IIF, t.IIF) && agrees(s.OIF, t.OIF) && agrees(s.L3MDev, t.L3MDev) &&
		agrees(s.UIDRange, t.UIDRange) && agrees(s.IPProto, t.IPProto) && ports(s.SPort, t.SPort) && ports(s.DPort, t.DPort) &&
		agrees(s.FlowLabel, t.FlowLabel) && agrees(s.TunID, t.TunID)
}

func agrees[T comparable](criterion, value T) bool {
	var zero T
	return criterion == zero || criterion == value
}
