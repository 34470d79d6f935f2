package plan

import (
	"errors"
	"fmt"
	"slices"

	"rpdb"
)

// diffRules fills wanted, waiting, newRules and oldRules.
func (d *differ) diffRules() error {
	wanted, err := number(d.desired.Rules, d.layout.rules, d.layout.live)
	if err != nil {
		return err
	}
	d.wanted = wanted
	if err := d.rangeIsOurs(); err != nil {
		return err
	}
	missing, left := d.unmatched(wanted, d.ownRules(wanted))
	d.plan.Kept += len(wanted) - len(missing)
	drops := d.dropRules(left, wanted)
	d.newRules, d.oldRules = orderRules(missing, left, drops)
	return nil
}

// rangeIsOurs refuses rules of others in our range, if ours are to go there.
func (d *differ) rangeIsOurs() error {
	if len(floatingIndexes(d.wanted)) == 0 {
		for _, r := range d.layout.strange {
			d.note("%v stands in our range and is not ours: left alone", r)
		}
		return nil
	}
	var errs []error
	for _, r := range d.layout.strange {
		errs = append(errs, &RangeError{Rule: r})
	}
	return errors.Join(errs...)
}

// unmatched pairs the rules wanted with those that are there, and returns what
// remains of both. Of equal rules the first ones are paired.
func (d *differ) unmatched(wanted []rpdb.DesiredRule, present []rpdb.Rule) (missing []rpdb.DesiredRule, left []rpdb.Rule) {
	for len(wanted) > 0 && len(present) > 0 && wanted[0].Rule.Canonical() == present[0] {
		wanted, present = wanted[1:], present[1:]
	}
	if len(present) == 0 {
		return slices.Clone(wanted), nil
	}
	count := make(map[rpdb.Rule]int, len(present))
	for _, r := range present {
		count[r]++
	}
	for _, w := range wanted {
		if c := w.Rule.Canonical(); count[c] > 0 {
			count[c]--
			continue
		}
		missing = append(missing, w)
	}
	for _, r := range slices.Backward(present) {
		if count[r] > 0 {
			count[r]--
			left = append(left, r)
		}
	}
	slices.Reverse(left)
	return missing, left
}

// ownRules returns our rules, canonical: those of the live block, and of those
// outside our range with our protocol number the ones that the policy accounts
// for, as it pins a rule at that number or wants the same rule elsewhere.
func (d *differ) ownRules(wanted []rpdb.DesiredRule) []rpdb.Rule {
	return slices.Concat(d.layout.rules, d.ownPinned(wanted, true))
}

func (d *differ) ownPinned(wanted []rpdb.DesiredRule, notes bool) []rpdb.Rule {
	elsewhere := func(r rpdb.Rule) bool {
		return r.Family == d.family && r.Protocol == rpdb.ProtocolRPDB && !inRange(r.Priority)
	}
	if !slices.ContainsFunc(d.actual.Rules, elsewhere) {
		return nil
	}
	pinned, known := map[rpdb.Priority]bool{}, make(map[rpdb.Rule]bool, len(wanted))
	for _, w := range wanted {
		known[identity(w.Rule)] = true
		if w.Pinned {
			pinned[w.Rule.Priority] = true
		}
	}
	var own []rpdb.Rule
	for _, r := range d.actual.Rules {
		switch {
		case !elsewhere(r):
		case r.Unknown == "" && (pinned[r.Priority] || known[identity(r)]):
			own = append(own, r.Canonical())
		case notes && r.Unknown != "":
			d.note("%v carries our protocol number and attributes that are not known here: left alone", r)
		case notes:
			d.note("%v carries our protocol number outside our range: left alone; if a policy pinned it, delete it by hand", r)
		}
	}
	return own
}

// orderRules plans the missing rules in the order of the walk, but the target of
// a goto before the goto, which would do nothing without it. With the removal
// of old rules in the opposite order, a packet is decided by the old list or
// by the new one all the time, gotos aside.
//
// Drops are the removals to come. One of a rule that the kernel takes for the
// same as a new one has to come before it.
func orderRules(missing []rpdb.DesiredRule, present []rpdb.Rule, drops []Step) (adds, removals []Step) {
	byPriority(missing)
	at := map[rpdb.Priority][]int{} // where gotos may lead
	if slices.ContainsFunc(missing, isGoto) {
		for i, w := range missing {
			at[w.Rule.Priority] = append(at[w.Rule.Priority], i)
		}
	}
	old := map[rpdb.Priority][]int{}
	for i, s := range drops {
		old[s.Change.Rule.Priority] = append(old[s.Change.Rule.Priority], i)
	}
	places := placesOf(present)
	done, early := make([]bool, len(missing)), make([]bool, len(drops))
	adds = make([]Step, 0, len(missing))
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
				adds = append(adds, drops[j])
			}
		}
		s := ruleStep(rpdb.Add, w.Rule, addReason(w, places))
		s.Name = w.Name
		adds = append(adds, s)
	}
	for i := range missing {
		add(i)
	}
	for j, s := range slices.Backward(drops) {
		if !early[j] {
			removals = append(removals, s)
		}
	}
	return adds, removals
}

func isGoto(w rpdb.DesiredRule) bool { return w.Rule.Action.Type() == rpdb.ActionGoto }

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
	if len(places) == 0 {
		return "missing"
	}
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
	if len(left) == 0 {
		return nil
	}
	moved := make(map[rpdb.Rule]rpdb.Priority, len(wanted))
	for _, w := range slices.Backward(wanted) {
		moved[identity(w.Rule)] = w.Rule.Priority
	}
	var drops []Step
	for _, r := range left {
		reason := notInPolicy
		switch to, ok := moved[identity(r)]; {
		case ok && to == r.Priority && r.Action.Type() == rpdb.ActionGoto:
			reason = "leads elsewhere, or stands there twice"
		case ok && to == r.Priority:
			reason = "stands there twice"
		case ok:
			reason = fmt.Sprintf("moved to %d", to)
		case d.ruleWaits(r):
			d.plan.Kept++
			d.waiting = append(d.waiting, r)
			continue
		}
		drops = append(drops, ruleStep(rpdb.Delete, r, reason))
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
