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
	count := map[rpdb.Rule]int{}
	for _, r := range present {
		count[r]++
	}
	var missing []rpdb.DesiredRule
	for _, w := range wanted {
		if c := w.Rule.Canonical(); count[c] > 0 {
			count[c]--
			d.plan.Kept++
			continue
		}
		missing = append(missing, w)
	}
	// What is left over stands there once too often, the last ones of equals.
	var left []rpdb.Rule
	for _, r := range slices.Backward(present) {
		if count[r] > 0 {
			count[r]--
			left = append(left, r)
		}
	}
	slices.Reverse(left)
	drops := d.dropRules(left, wanted)
	d.addRules(missing, left, drops)
	return nil
}

// ownRules returns our rules of a family, canonical: those of our range, and
// of those outside it with our protocol number the ones that the policy
// accounts for, as it pins a rule at that number or wants the same rule
// elsewhere.
func (d *differ) ownRules(family rpdb.Family, wanted []rpdb.DesiredRule) []rpdb.Rule {
	pinned, known := map[rpdb.Priority]bool{}, map[rpdb.Rule]bool{}
	for _, w := range wanted {
		known[identity(w.Rule)] = true
		if w.Pinned {
			pinned[w.Rule.Priority] = true
		}
	}
	var own []rpdb.Rule
	for _, r := range d.actual.RulesOf(family) {
		switch {
		case r.Protocol != rpdb.ProtocolRPDB:
			if FirstPriority <= r.Priority && r.Priority <= LastPriority {
				d.note("%v of protocol %d stands in our range: it is asked among the policy's rules, and left alone", r, r.Protocol)
			}
		case IsOwnRule(r), r.Unknown == "" && (pinned[r.Priority] || known[identity(r)]):
			own = append(own, r.Canonical())
		case r.Unknown != "":
			d.note("%v carries our protocol number and attributes that are not known here: left alone", r)
		default:
			d.note("%v carries our protocol number outside our range: left alone; if a policy pinned it, delete it by hand", r)
		}
	}
	return own
}

// addRules plans the missing rules in the order of the walk, but the target of
// a goto before the goto, which would do nothing without it. With the removal
// of old rules in the opposite order, a packet is decided by the old list or
// by the new one all the time, gotos aside.
//
// Drops are the removals to come. One of a rule that the kernel takes for the
// same as a new one has to come before it.
func (d *differ) addRules(missing []rpdb.DesiredRule, present []rpdb.Rule, drops []Step) {
	slices.SortStableFunc(missing, func(a, b rpdb.DesiredRule) int { return cmp.Compare(a.Rule.Priority, b.Rule.Priority) })
	at := map[rpdb.Priority][]int{}
	for i, w := range missing {
		at[w.Rule.Priority] = append(at[w.Rule.Priority], i)
	}
	old := map[rpdb.Priority][]int{}
	for i, s := range drops {
		old[s.Change.Rule.Priority] = append(old[s.Change.Rule.Priority], i)
	}
	places := placesOf(present)
	done, early := make([]bool, len(missing)), make([]bool, len(drops))
	var add func(i int)
	add = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		w := missing[i]
		if a := w.Rule.Action; a.Type() == rpdb.ActionGoto {
			for _, j := range at[a.Target()] {
				add(j)
			}
		}
		for _, j := range old[w.Rule.Priority] {
			if !early[j] && collide(w.Rule, *drops[j].Change.Rule) {
				early[j] = true
				drops[j].Reason += ", and the kernel does not take the new rule beside it"
				d.newRules = append(d.newRules, drops[j])
			}
		}
		d.newRules = append(d.newRules, Step{
			Change: rpdb.RuleChange(rpdb.Add, w.Rule), Name: w.Name, Reason: addReason(w, places),
			Inverse: rpdb.RuleChange(rpdb.Delete, w.Rule),
		})
	}
	for i := range missing {
		add(i)
	}
	for j, s := range slices.Backward(drops) {
		if !early[j] {
			d.oldRules = append(d.oldRules, s)
		}
	}
}

// collide reports whether the kernel refuses to add a rule beside an old one
// of its priority (rule_exists): it compares neither "not" nor the target of a
// goto, and takes what the new rule does not say for anything.
func collide(added, old rpdb.Rule) bool {
	a, o := added.Canonical(), old.Canonical()
	a.Selector.Not, a.Flags = o.Selector.Not, o.Flags
	if a.Action.Type() == rpdb.ActionGoto && o.Action.Type() == rpdb.ActionGoto {
		a.Action = o.Action
	}
	if !a.Selector.From.IsValid() {
		a.Selector.From = o.Selector.From
	}
	if !a.Selector.To.IsValid() {
		a.Selector.To = o.Selector.To
	}
	if a.Selector.TOS == 0 {
		a.Selector.TOS = o.Selector.TOS
	}
	if !a.Selector.DSCP.IsSet() {
		a.Selector.DSCP = o.Selector.DSCP
	}
	if a.Selector.FlowLabel == (rpdb.FlowLabel{}) {
		a.Selector.FlowLabel = o.Selector.FlowLabel
	}
	if a.Realms == 0 {
		a.Realms = o.Realms
	}
	return a == o
}

// placesOf returns the first priority of each rule.
func placesOf(rules []rpdb.Rule) map[rpdb.Rule]rpdb.Priority {
	places := map[rpdb.Rule]rpdb.Priority{}
	for _, r := range slices.Backward(rules) {
		places[identity(r)] = r.Priority
	}
	return places
}

// addReason tells a rule that moves from one that is new.
func addReason(w rpdb.DesiredRule, places map[rpdb.Rule]rpdb.Priority) string {
	from, ok := places[identity(w.Rule)]
	switch {
	case !ok:
		return "missing"
	case from == w.Rule.Priority:
		return "led elsewhere"
	}
	return fmt.Sprintf("moves from %d", from)
}

// dropRules returns the removal of our rules that the policy does not want, in
// the order of the walk.
func (d *differ) dropRules(left []rpdb.Rule, wanted []rpdb.DesiredRule) []Step {
	moved := map[rpdb.Rule]rpdb.Priority{}
	for _, w := range slices.Backward(wanted) {
		moved[identity(w.Rule)] = w.Rule.Priority
	}
	var drops []Step
	for _, r := range left {
		reason := "not in the policy"
		switch to, ok := moved[identity(r)]; {
		case ok && to == r.Priority && r.Action.Type() == rpdb.ActionGoto:
			reason = "leads elsewhere, or stands there twice"
		case ok && to == r.Priority:
			reason = "stands there twice"
		case ok:
			reason = fmt.Sprintf("moved to %d", to)
		case d.ruleWaits(r):
			d.plan.Kept++
			continue
		}
		drops = append(drops, Step{
			Change: rpdb.RuleChange(rpdb.Delete, r), Reason: reason, Inverse: rpdb.RuleChange(rpdb.Add, r),
		})
	}
	return drops
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
