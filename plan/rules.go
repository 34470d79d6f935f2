package plan

import (
	"cmp"
	"fmt"
	"slices"

	"rpdb"
)

// diffRules fills newRules and oldRules.
func (d *differ) diffRules() error {
	for _, family := range rpdb.Families() {
		if err := d.diffFamily(family); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) diffFamily(family rpdb.Family) error {
	wanted, err := number(d.actual, d.desired, family)
	if err != nil {
		return err
	}
	present := d.ownRules(family, wanted)
	var missing []rpdb.DesiredRule
	for _, w := range wanted {
		if i := slices.Index(present, w.Rule.Canonical()); i >= 0 {
			present = slices.Delete(present, i, i+1)
			d.plan.Kept++
			continue
		}
		missing = append(missing, w)
	}
	d.addRules(missing, present)
	d.dropRules(present, wanted)
	return nil
}

// ownRules returns our rules of a family, canonical: those of our range, and
// those outside it that stand where the policy pins one of its own.
func (d *differ) ownRules(family rpdb.Family, wanted []rpdb.DesiredRule) []rpdb.Rule {
	var own []rpdb.Rule
	for _, r := range d.actual.RulesOf(family) {
		c := r.Canonical()
		pinned := slices.ContainsFunc(wanted, func(w rpdb.DesiredRule) bool { return w.Pinned && w.Rule.Canonical() == c })
		switch {
		case IsOwnRule(r) || pinned:
			own = append(own, c)
		case r.Protocol == rpdb.ProtocolRPDB:
			d.plan.Notes = append(d.plan.Notes, fmt.Sprintf("%v carries our protocol number outside our range: left alone", r))
		}
	}
	return own
}

// addRules plans the missing rules in the order of the walk, but the target of
// a goto before the goto, which would do nothing without it.
func (d *differ) addRules(missing []rpdb.DesiredRule, present []rpdb.Rule) {
	slices.SortStableFunc(missing, func(a, b rpdb.DesiredRule) int { return cmp.Compare(a.Rule.Priority, b.Rule.Priority) })
	done := make([]bool, len(missing))
	var add func(i int)
	add = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		if a := missing[i].Rule.Action; a.Type() == rpdb.ActionGoto {
			for j := range missing {
				if missing[j].Rule.Priority == a.Target() {
					add(j)
				}
			}
		}
		w := missing[i]
		d.newRules = append(d.newRules, Step{
			Change: rpdb.RuleChange(rpdb.Add, w.Rule), Name: w.Name, Reason: addReason(w, present),
			Inverse: rpdb.RuleChange(rpdb.Delete, w.Rule),
		})
	}
	for i := range missing {
		add(i)
	}
}

// addReason tells a rule that moves from one that is new.
func addReason(w rpdb.DesiredRule, present []rpdb.Rule) string {
	for _, r := range present {
		if identity(r) == identity(w.Rule) {
			return fmt.Sprintf("moves from %d", r.Priority)
		}
	}
	return "missing"
}

// dropRules plans the removal of our rules that the policy does not want.
func (d *differ) dropRules(present []rpdb.Rule, wanted []rpdb.DesiredRule) {
	for _, r := range present {
		if d.waits(r.Family, r.Action.Table()) {
			d.plan.Kept++
			continue
		}
		reason := "not in the policy"
		for _, w := range wanted {
			if identity(w.Rule) == identity(r) {
				reason = fmt.Sprintf("moved to %d", w.Rule.Priority)
				if w.Rule.Priority == r.Priority {
					reason = "stands there twice"
				}
			}
		}
		d.oldRules = append(d.oldRules, Step{
			Change: rpdb.RuleChange(rpdb.Delete, r), Reason: reason, Inverse: rpdb.RuleChange(rpdb.Add, r),
		})
	}
}

// identity is what makes a rule the same rule wherever it stands: everything
// but its priority and the priority that it jumps to.
func identity(r rpdb.Rule) rpdb.Rule {
	r = r.Canonical()
	r.Priority = 0
	if r.Action.Type() == rpdb.ActionGoto {
		r.Action = rpdb.Goto(0)
	}
	return r
}
