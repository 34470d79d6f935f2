package plan

import (
	"fmt"
	"slices"

	"rpdb"
)

// step is the distance between the priorities of a new list, so that rules can
// be put between without moving any.
const step = 10

// number gives the rules of one family that have no priority of their own one
// of our range, in their order. A rule that is there already keeps its
// priority wherever the order allows it: most rules do not move when one is
// added, removed or put elsewhere.
func number(actual *rpdb.Snapshot, desired rpdb.Desired, family rpdb.Family) ([]rpdb.DesiredRule, error) {
	var rules []rpdb.DesiredRule
	for _, w := range desired.Rules {
		if w.Rule.Family == family {
			rules = append(rules, w)
		}
	}
	floating := floatingIndexes(rules)
	capacity := int(LastPriority - FirstPriority)
	if len(floating) > capacity {
		return nil, fmt.Errorf("plan rules (%v): %d rules, and the range %d-%d has room for %d",
			family, len(floating), FirstPriority, LastPriority, capacity)
	}
	fixed := keep(rules, floating, ownByIdentity(actual, family))
	priorities, ok := fill(fixed)
	if !ok {
		priorities, _ = fill(make([]rpdb.Priority, len(floating)))
	}
	for i, at := range floating {
		rules[at].Rule.Priority = priorities[i]
	}
	return resolveGotos(rules)
}

// floatingIndexes returns where the rules stand that want a priority.
func floatingIndexes(rules []rpdb.DesiredRule) []int {
	var at []int
	for i, w := range rules {
		if !w.Pinned {
			at = append(at, i)
		}
	}
	return at
}

func ownByIdentity(actual *rpdb.Snapshot, family rpdb.Family) map[rpdb.Rule][]rpdb.Priority {
	own := map[rpdb.Rule][]rpdb.Priority{}
	for _, r := range actual.RulesOf(family) {
		if IsOwnRule(r) {
			own[identity(r)] = append(own[identity(r)], r.Priority)
		}
	}
	return own
}

// keep returns for each floating rule the priority that it has now, or 0 if it
// has none or cannot keep it: what is kept is a longest increasing run.
func keep(rules []rpdb.DesiredRule, floating []int, own map[rpdb.Rule][]rpdb.Priority) []rpdb.Priority {
	now := make([]rpdb.Priority, len(floating))
	for i, at := range floating {
		id := identity(rules[at].Rule)
		if have := own[id]; len(have) > 0 {
			now[i], own[id] = have[0], have[1:]
		}
	}
	kept := make([]rpdb.Priority, len(now))
	for _, i := range longestIncreasing(now) {
		kept[i] = now[i]
	}
	return kept
}

// longestIncreasing returns the indexes of a longest strictly increasing
// subsequence of the non-zero values, by patience sorting.
func longestIncreasing(values []rpdb.Priority) []int {
	var tails []int // tails[k]: index of the smallest value that ends a run of length k+1
	before := make([]int, len(values))
	for i, v := range values {
		if v == 0 {
			continue
		}
		k, _ := slices.BinarySearchFunc(tails, v, func(t int, v rpdb.Priority) int { return int(values[t]) - int(v) })
		before[i] = -1
		if k > 0 {
			before[i] = tails[k-1]
		}
		tails = append(tails[:k], append([]int{i}, tails[min(k+1, len(tails)):]...)...)
	}
	if len(tails) == 0 {
		return nil
	}
	run := make([]int, 0, len(tails))
	for i := tails[len(tails)-1]; i >= 0; i = before[i] {
		run = append(run, i)
	}
	slices.Reverse(run)
	return run
}

// fill gives the zeros of an increasing list priorities between their
// neighbours. It reports false if a gap is too narrow.
func fill(fixed []rpdb.Priority) ([]rpdb.Priority, bool) {
	out := slices.Clone(fixed)
	below := FirstPriority
	for i := 0; i < len(out); {
		if out[i] != 0 {
			below = out[i]
			i++
			continue
		}
		end := i
		for end < len(out) && out[end] == 0 {
			end++
		}
		above := LastPriority + 1
		if end < len(out) {
			above = out[end]
		}
		if !spread(out[i:end], below, above, end == len(out)) {
			return nil, false
		}
		i = end
	}
	return out, true
}

// spread fills a gap between two priorities, both excluded. At the end of the
// list the rules follow each other closely, to leave room behind them.
func spread(gap []rpdb.Priority, below, above rpdb.Priority, atEnd bool) bool {
	n := rpdb.Priority(len(gap))
	room := above - below - 1
	if room < n {
		return false
	}
	distance := max((room+1)/(n+1), 1)
	if atEnd {
		distance = min(distance, step)
	}
	for i := range gap {
		gap[i] = below + distance*rpdb.Priority(i+1)
	}
	return true
}

// resolveGotos writes the priorities of named targets into the gotos.
func resolveGotos(rules []rpdb.DesiredRule) ([]rpdb.DesiredRule, error) {
	for i, w := range rules {
		if w.GotoName == "" {
			continue
		}
		target := slices.IndexFunc(rules, func(t rpdb.DesiredRule) bool { return t.Name == w.GotoName })
		if target < 0 {
			return nil, fmt.Errorf("plan %s: goto %q: no such rule (%v)", w.Name, w.GotoName, w.Rule.Family)
		}
		to := rules[target].Rule.Priority
		if to <= w.Rule.Priority {
			return nil, fmt.Errorf("plan %s: goto %q: target %d does not stand behind %d", w.Name, w.GotoName, to, w.Rule.Priority)
		}
		rules[i].Rule.Action = rpdb.Goto(to)
	}
	return rules, nil
}
