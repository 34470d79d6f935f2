package cost

import (
	"rpdb"
	"rpdb/analysis"
)

// applies reports whether a rule applies to a packet that no selector is for: one that
// matches all, or all but some.
func applies(s *rpdb.Snapshot, r rpdb.Rule) bool {
	switch analysis.RuleMatch(s, r) {
	case analysis.MatchesAll:
		return true
	case analysis.MatchesNone:
		return false
	}
	return r.Selector.Not
}

// path returns the rules that a typical packet asks, in order: one that no selector is
// for, to a destination that the first default route on the way leads to.
func path(s *rpdb.Snapshot, ends map[rpdb.TableID]bool, rules []rpdb.Rule) []int {
	var asked []int
	for i := 0; i < len(rules); {
		asked = append(asked, i)
		r := rules[i]
		if i++; !applies(s, r) {
			continue
		}
		switch {
		case analysis.Denies(r.Action):
			return asked
		case r.Action.Type() == rpdb.ActionTable && ends[r.Action.Table()] && r.Suppress == rpdb.Suppressor{}:
			return asked
		case r.Action.Type() == rpdb.ActionGoto:
			if target := analysis.GotoTarget(rules, r); target >= 0 {
				i = target
			}
		}
	}
	return asked
}

func typical(s *rpdb.Snapshot, f rpdb.Family, rules []rpdb.Rule) Walk {
	asked := path(s, analysis.EndingTables(s, f), rules)
	w := Walk{Rules: len(asked)}
	for _, i := range asked {
		if rules[i].Action.Type() == rpdb.ActionTable && applies(s, rules[i]) {
			w.Tables++
		}
	}
	return w
}

// worst returns the longest walk that a packet can have: through all rules that it
// cannot be kept from. A default route does not end it, since packets that are bound to
// another interface pass.
func worst(rules []rpdb.Rule, s *rpdb.Snapshot) Walk {
	targets := targetsOf(rules)
	walks := make([]Walk, len(rules)+1)
	for i := len(rules) - 1; i >= 0; i-- {
		r := rules[i]
		m := analysis.RuleMatch(s, r)
		w := walks[i+1]
		target, jumps := targets[r.Action.Target()]
		switch {
		case m == analysis.MatchesNone:
		case analysis.Denies(r.Action) && m == analysis.MatchesAll:
			w = Walk{}
		case r.Action.Type() == rpdb.ActionTable && m == analysis.MatchesAll:
			w.Tables++
		case r.Action.Type() == rpdb.ActionGoto && jumps && target > i:
			if m == analysis.MatchesAll || walks[target].Rules > w.Rules {
				w = walks[target]
			}
		}
		w.Rules++
		walks[i] = w
	}
	return walks[0]
}

// targetsOf returns the first rule of each priority: where a goto leads.
func targetsOf(rules []rpdb.Rule) map[rpdb.Priority]int {
	targets := map[rpdb.Priority]int{}
	for i, r := range rules {
		if _, ok := targets[r.Priority]; !ok {
			targets[r.Priority] = i
		}
	}
	return targets
}
