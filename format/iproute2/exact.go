package iproute2

import (
	"errors"
	"fmt"
	"slices"

	"rpdb"
	"rpdb/format"
)

// Exact are the rules and routes of a family that commands of ip say exactly, in
// the order of the snapshot, each once, and what is lost of the others. The objects of losses
// are commands without "ip". A rule that jumps to one that is lost is lost as well:
// without its target it would let packets through to rules that it jumps over.
// Alright, if it is not nil, says what else is wrong with the words behind "ip".
func Exact(s *rpdb.Snapshot, f rpdb.Family, alright func(command string) error) (rules []rpdb.Rule, routes []rpdb.Route, losses []format.Loss) {
	judge := func(command string, err error) error {
		if err == nil && alright != nil {
			err = alright(command)
		}
		return err
	}
	view := RouteView{LinkName: s.LinkName}
	saidRules, saidRoutes := map[rulePlace][]rpdb.Rule{}, map[rpdb.RouteKey][]rpdb.Route{}
	for _, r := range s.Routes {
		if r.Family != f {
			continue
		}
		if err := judge(ExactRoute(rpdb.Add, r, view)); err != nil {
			losses = append(losses, format.Loss{Object: RouteCommand(rpdb.Add, r, view)[len("ip "):], Reason: err.Error()})
			continue
		}
		if key := r.Key(); !slices.ContainsFunc(saidRoutes[key], r.Equal) {
			routes, saidRoutes[key] = append(routes, r), append(saidRoutes[key], r)
		}
	}
	lose := func(r rpdb.Rule, reason string) {
		losses = append(losses, format.Loss{Object: RuleCommand(rpdb.Add, r, rpdb.Names{})[len("ip "):], Reason: reason})
	}
	for _, r := range s.RulesOf(f) {
		if err := judge(ExactRule(rpdb.Add, r, rpdb.Names{})); err != nil {
			lose(r, err.Error())
			continue
		}
		plain, place := PlainRule(r), placeOf(r)
		if slices.Contains(saidRules[place], plain) {
			continue
		}
		if slices.ContainsFunc(saidRules[place], func(o rpdb.Rule) bool { return TakenFor(plain, o) }) {
			lose(r, "the kernel takes it for one in front of it, of the same priority, and refuses to add it")
			continue
		}
		rules, saidRules[place] = append(rules, r), append(saidRules[place], plain)
	}
	return WithoutLostTargets(s.RulesOf(f), rules, lose), routes, losses
}

// WithoutLostTargets drops the rules that jump to a priority at which rules were
// and none is left: without its target a goto lets packets through to rules that it
// jumps over. All are the rules of a family, and left are those of them that can be
// said, in order; lose is told each that goes, with the reason. It reuses left.
func WithoutLostTargets(all, left []rpdb.Rule, lose func(rpdb.Rule, string)) []rpdb.Rule {
	were, are := map[rpdb.Priority]int{}, map[rpdb.Priority]int{}
	for _, r := range all {
		were[r.Priority]++
	}
	for _, r := range left {
		are[r.Priority]++
	}
	// A goto leads to a greater priority, so what the last rules lose is known
	// before those that jump to them are looked at.
	for i := len(left) - 1; i >= 0; i-- {
		r := left[i]
		if to := r.Action.Target(); r.Action.Type() == rpdb.ActionGoto && were[to] > 0 && are[to] == 0 {
			lose(r, fmt.Sprintf("the rule that it jumps to, %d, cannot be said", to))
			are[r.Priority]--
			left = slices.Delete(left, i, i+1)
		}
	}
	return left
}

// PlainRule returns a rule in its canonical form and without what has no effect:
// the table and the suppressors of an action that looks none up, marks and DSCPs
// with an empty mask, bits of a mark outside of its mask, and the state that the
// kernel computes. Kernels keep and list all of that; two rules whose plain forms
// are equal decide alike.
func PlainRule(r rpdb.Rule) rpdb.Rule {
	r = r.Canonical()
	r.Selector.Mark.Value &= r.Selector.Mark.Mask
	if d, ok := r.Selector.DSCP.Get(); ok && d.Mask == 0 {
		r.Selector.DSCP = rpdb.Opt[rpdb.DSCP]{}
	}
	if a := r.Action; a.Type() != rpdb.ActionTable {
		r.Action = rpdb.RawAction(a.Type(), 0, a.Target())
		r.Suppress = rpdb.Suppressor{}
	}
	return r
}

// OrderCounts reports of which rules it matters how they and the others of their
// family and priority follow one another, for a program that adds those in no
// order: those that may select the same flow as another and do something else with
// it, and those of which the kernel takes one for another ([TakenFor]), so that only
// the first is there. The rules are sorted by [rpdb.Rule.Compare]. Of rules that decide
// alike ([PlainRule]), whoever made them, it says so of all but the first. Its time
// grows with the square of the number of rules that share a priority.
func OrderCounts(rules []rpdb.Rule) []bool {
	plain, counts := slices.Clone(rules), make([]bool, len(rules))
	for i := range plain {
		plain[i] = PlainRule(plain[i])
		plain[i].Protocol = 0
	}
	for j, r := range plain {
		for i := j - 1; i >= 0 && plain[i].Compare(r) == 0; i-- {
			switch {
			case counts[i] && counts[j]:
			case plain[i] == r:
				counts[j] = true
			case TakenFor(plain[i], r), TakenFor(r, plain[i]), !actAlike(plain[i], r) && !plain[i].Selector.Disjoint(r.Selector):
				counts[i], counts[j] = true, true
			}
		}
	}
	return counts
}

// actAlike reports whether it makes no difference to a flow that two rules select
// which of them it meets first.
func actAlike(a, b rpdb.Rule) bool {
	return a.Action == b.Action && a.Suppress == b.Suppress && a.Realms == b.Realms && a.Flags == b.Flags && a.Unknown == b.Unknown
}

// ExactRule returns the words after "ip" that make or delete a rule, as
// [RuleCommand] writes them, or an error that says what of the rule they cannot
// say. What has no effect ([PlainRule]) is left
// out.
func ExactRule(op rpdb.ChangeOp, r rpdb.Rule, n rpdb.Names) (string, error) {
	r = PlainRule(r)
	switch {
	case r.Flags&rpdb.RulePermanent != 0:
		return "", errors.New("ip cannot make a rule that nobody can delete")
	case r.Flags != 0:
		return "", errors.New("ip has no word for flags of rules")
	case r.Unknown != "":
		return "", errors.New("it has attributes that nobody here knows")
	}
	command := RuleCommand(op, r, n)
	words, err := Split(command)
	if err != nil {
		return "", err
	}
	q, err := RuleContext{Family: r.Family, Names: n}.ParseAdd(words[4:]) // behind "ip", the family, "rule" and the verb
	if err != nil {
		return "", err
	}
	back, err := q.Strict()
	switch {
	case err != nil:
		return "", err
	case PlainRule(back) != r:
		return "", fmt.Errorf("the words of ip would make another rule of it: %s", RuleText(back, rpdb.Names{}))
	}
	return command[len("ip "):], nil
}

// ExactRoute returns the words after "ip" that make or delete a route, as
// [RouteCommand] writes them, or an error that says what of the route they cannot
// say. A route by a nexthop object is an
// error: who made the object is not known. State is no part of the route, and
// neither is when it expires.
func ExactRoute(op rpdb.ChangeOp, r rpdb.Route, v RouteView) (string, error) {
	r = r.Canonical()
	switch {
	case r.NexthopID != 0:
		return "", fmt.Errorf("it leads to the nexthop object %d, which somebody else makes", r.NexthopID)
	case r.Unknown != "":
		return "", errors.New("it has attributes that nobody here knows")
	}
	command := RouteCommand(op, r, v)
	words, err := Split(command)
	if err != nil {
		return "", err
	}
	links := RouteContext{Family: r.Family, Names: v.Names, LinkIndex: func(name rpdb.LinkName) (rpdb.LinkIndex, bool) {
		for _, n := range r.Nexthops {
			if n.Link != 0 && v.LinkName != nil && v.LinkName(n.Link) == name {
				return n.Link, true
			}
		}
		return 0, false
	}}
	q, err := links.ParseRequest(RouteAdd, words[4:])
	if err != nil {
		return "", err
	}
	back, err := q.Strict()
	switch {
	case err != nil:
		return "", err
	case !withPlainTunnels(back).Equal(withPlainTunnels(r)):
		return "", errors.New("the words of ip would make another route of it")
	}
	return command[len("ip "):], nil
}
