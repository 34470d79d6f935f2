package plan

import (
	"fmt"
	"slices"

	"rpdb"
)

// List returns the rules of a policy as a plain list, for hosts that do not
// keep generations: without a gate and the ends of blocks, each with its final
// priority and target, IPv4 before IPv6. Rules without a priority of their own get those
// that an empty host would: from 10010, ten apart as long as there is room. The
// rules of one name, one of each family, share theirs. The argument is not
// modified.
//
// The numbers are a function of the list: a rule that is put between others
// moves those behind it. The errors are those of [Diff] about the numbers of a
// policy: more rules than [Capacity], a goto that does not lead forward.
func List(desired rpdb.Desired) ([]rpdb.DesiredRule, error) {
	groups := 0
	group := make([]int, len(desired.Rules)) // of each rule that wants a number
	var families []rpdb.Family               // in the last group
	for i, w := range desired.Rules {
		if w.Pinned {
			continue
		}
		if i == 0 || desired.Rules[i-1].Pinned || desired.Rules[i-1].Name != w.Name || slices.Contains(families, w.Rule.Family) {
			groups, families = groups+1, nil
		}
		group[i], families = groups-1, append(families, w.Rule.Family)
	}
	if groups > Capacity {
		return nil, fmt.Errorf("list rules: %d rules, and there is room for %d", groups, Capacity)
	}
	numbers := allot(make([]rpdb.Priority, groups), nil, FirstPriority)
	var list []rpdb.DesiredRule
	for _, f := range rpdb.Families() {
		var own []rpdb.DesiredRule
		for i, w := range desired.Rules {
			if w.Rule.Family != f {
				continue
			}
			if !w.Pinned {
				w.Rule.Priority = numbers[group[i]]
			}
			own = append(own, w)
		}
		own, err := resolveGotos(own)
		if err != nil {
			return nil, err
		}
		list = append(list, own...)
	}
	slices.SortStableFunc(list, func(a, b rpdb.DesiredRule) int { return a.Rule.Compare(b.Rule) })
	return list, nil
}
