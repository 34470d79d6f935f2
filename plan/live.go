package plan

import (
	"slices"

	"rpdb"
)

// Unseen are the rules and routes of ours that no packet comes to: what a trial
// replaced and keeps ready, and what was left over. The zero Unseen holds none.
// They decide nothing, but the kernel counts some of what stands anywhere, as
// realms: ask for a decision in a state that has them.
type Unseen struct {
	rules  map[rpdb.Rule]bool
	tables map[familyTable]leads
}

// UnseenIn finds them in a state.
func UnseenIn(s *rpdb.Snapshot) Unseen {
	u := Unseen{rules: map[rpdb.Rule]bool{}, tables: map[familyTable]leads{}}
	for _, f := range rpdb.Families() {
		rules := s.RulesOf(f)
		for i, reached := range reachedRules(rules) {
			r := rules[i]
			t := familyTable{f, r.Action.Table()}
			to := u.tables[t]
			if reached || !IsOwnRule(r) {
				to.reached = true
			} else {
				u.rules[r], to.passed = true, true
			}
			u.tables[t] = to
		}
	}
	for _, l := range s.Links {
		for _, f := range rpdb.Families() {
			u.tables[familyTable{f, l.VRFTable}] = leads{reached: true}
		}
	}
	return u
}

// HasRule reports whether no packet comes to a rule.
func (u Unseen) HasRule(r rpdb.Rule) bool { return u.rules[r] }

// HasRoute reports whether a route is in a table of ours that no packet comes to,
// though a rule that it does not come to leads there, or one that it comes to leads
// to the table's twin.
func (u Unseen) HasRoute(r rpdb.Route) bool {
	twin, ok := TwinOfTable(r.Table)
	to := u.tables[familyTable{r.Family, r.Table}]
	return ok && r.Protocol == rpdb.ProtocolRPDB && !to.reached && (to.passed || u.tables[familyTable{r.Family, twin}].reached)
}

// Live returns a state without what is unseen in it. It shares everything else,
// and is s itself where there is nothing to leave out.
func Live(s *rpdb.Snapshot) *rpdb.Snapshot {
	u := UnseenIn(s)
	if len(u.rules) == 0 && !slices.ContainsFunc(s.Routes, u.HasRoute) {
		return s
	}
	out := *s
	out.Rules = slices.DeleteFunc(slices.Clone(s.Rules), u.HasRule)
	out.Routes = slices.DeleteFunc(slices.Clone(s.Routes), u.HasRoute)
	return &out
}

type familyTable struct {
	family rpdb.Family
	table  rpdb.TableID
}

// leads says which rules lead to a table: some that packets come to, some of ours
// that they are led past.
type leads struct{ reached, passed bool }

// reachedRules reports which of a family's rules some packet can come to, in the
// order of the walk: only a goto that every packet follows leads past others.
func reachedRules(rules []rpdb.Rule) []bool {
	reached := make([]bool, len(rules)+1)
	reached[0] = true
	at := map[rpdb.Priority]int{}
	for i, r := range slices.Backward(rules) {
		at[r.Priority] = i
	}
	for i, r := range rules {
		if !reached[i] {
			continue
		}
		to, stands := at[r.Action.Target()]
		jumps := r.Action.Type() == rpdb.ActionGoto && stands && to > i && r.Flags&rpdb.RuleUnresolved == 0
		if jumps {
			reached[to] = true
		}
		if !jumps || r.Selector.Canonical() != (rpdb.Selector{}) || r.Unknown != "" {
			reached[i+1] = true
		}
	}
	return reached[:len(rules)]
}
