package plan

import (
	"cmp"
	"fmt"
	"slices"

	"rpdb"
)

// step is the distance between the priorities of a new list, so that rules can
// be put between without moving any.
const step = 10

// number gives rules that have no priority of their own one of a block, in their
// order. A rule that is present there already keeps its priority wherever the
// order allows it: most rules do not move when one is added, removed or put
// elsewhere. The others get numbers at which no rule stands, as long as there are
// enough: the kernel refuses some rules beside others of one priority.
func number(rules []rpdb.DesiredRule, present []rpdb.Rule, in side) ([]rpdb.DesiredRule, error) {
	rules = slices.Clone(rules)
	floating := floatingIndexes(rules)
	if n := len(floating); n > Capacity {
		return nil, fmt.Errorf("plan rules (%v): %d rules, and there is room for %d", rules[floating[0]].Rule.Family, n, Capacity)
	}
	kept := keep(rules, floating, present)
	if slices.Contains(kept, 0) {
		kept = allot(kept, present, in.base())
	}
	for i, p := range kept {
		rules[floating[i]].Rule.Priority = p
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

func byIdentity(present []rpdb.Rule) map[rpdb.Rule][]rpdb.Rule {
	own := make(map[rpdb.Rule][]rpdb.Rule, len(present))
	for _, r := range present {
		id := identity(r)
		own[id] = append(own[id], r)
	}
	return own
}

// keep returns for each floating rule the priority that it has now, or 0 if it
// has none or cannot keep it: what is kept is a longest increasing run, but
// for gotos that lead elsewhere from now on.
func keep(rules []rpdb.DesiredRule, floating []int, present []rpdb.Rule) []rpdb.Priority {
	now := make([]rpdb.Priority, len(floating))
	leads := make([]rpdb.Priority, len(floating))
	first := 0 // that is not the same on both sides
	for first < min(len(floating), len(present)) && identity(rules[floating[first]].Rule) == identity(present[first]) {
		now[first], leads[first] = present[first].Priority, present[first].Action.Target()
		first++
	}
	own := byIdentity(present[first:])
	for i, at := range floating {
		if i < first || len(own) == 0 {
			continue
		}
		id := identity(rules[at].Rule)
		if have := own[id]; len(have) > 0 {
			now[i], leads[i], own[id] = have[0].Priority, have[0].Action.Target(), have[1:]
		}
	}
	kept := make([]rpdb.Priority, len(now))
	for _, i := range longestIncreasing(now) {
		kept[i] = now[i]
	}
	dropGotos(rules, floating, kept, leads)
	return kept
}

// dropGotos clears the kept priority of gotos that lead elsewhere than they
// did. The last rule comes first: a goto leads to a later rule, which may be
// such a goto itself.
func dropGotos(rules []rpdb.DesiredRule, floating []int, kept, leads []rpdb.Priority) {
	if !slices.ContainsFunc(rules, isGoto) && !slices.ContainsFunc(rules, named) {
		return
	}
	stands := map[string]rpdb.Priority{}
	i := len(floating) - 1
	for _, w := range slices.Backward(rules) {
		to := w.Rule.Action.Target()
		if w.GotoName != "" {
			to = stands[w.GotoName]
		}
		if w.Pinned {
			stands[w.Name] = w.Rule.Priority
			continue
		}
		if w.Rule.Action.Type() == rpdb.ActionGoto && leads[i] != to {
			kept[i] = 0
		}
		stands[w.Name] = kept[i]
		i--
	}
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
		k, _ := slices.BinarySearchFunc(tails, v, func(t int, v rpdb.Priority) int { return cmp.Compare(values[t], v) })
		before[i] = -1
		if k > 0 {
			before[i] = tails[k-1]
		}
		if k == len(tails) {
			tails = append(tails, i)
		}
		tails[k] = i
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

// allot gives the zeros of an increasing list priorities between their
// neighbours, at numbers of the block where no rule stands. Where a gap is too
// narrow, all move to such numbers; where there are too few of these, numbers of
// rules that stand there now have to do.
func allot(kept []rpdb.Priority, present []rpdb.Rule, base rpdb.Priority) []rpdb.Priority {
	none := make([]rpdb.Priority, len(kept))
	for _, avoided := range [][]rpdb.Rule{present, nil} {
		numbers := numbersOf(base, avoided)
		for _, fixed := range [][]rpdb.Priority{kept, none} {
			if out, ok := fill(fixed, numbers, base); ok {
				return out
			}
		}
	}
	return none // not reached: the block has room for every list that number takes
}

// numbersOf returns the numbers of a block at which none of some rules stands.
func numbersOf(base rpdb.Priority, rules []rpdb.Rule) []rpdb.Priority {
	taken := make([]rpdb.Priority, 0, len(rules))
	for _, r := range rules {
		if r.Priority >= base+firstOffset {
			taken = append(taken, r.Priority)
		}
	}
	slices.Sort(taken)
	taken = slices.Compact(taken)
	numbers := make([]rpdb.Priority, 0, Capacity)
	for p := base + firstOffset; p <= base+lastOffset; p++ {
		if len(taken) > 0 && taken[0] == p {
			taken = taken[1:]
			continue
		}
		numbers = append(numbers, p)
	}
	return numbers
}

// fill gives the zeros of an increasing list some of the numbers, which are
// in order too. It reports false if a gap is too narrow.
func fill(fixed, numbers []rpdb.Priority, base rpdb.Priority) ([]rpdb.Priority, bool) {
	out := slices.Clone(fixed)
	below := base
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
		above := base + lastOffset + 1
		if end < len(out) {
			above = out[end]
		}
		skipped := 0 // of the priorities below the block's first, so that lists start at a round number
		if below == base {
			skipped = int(firstOffset) - 1
		}
		if !spread(out[i:end], between(numbers, below, above), skipped, end == len(out)) {
			return nil, false
		}
		i = end
	}
	return out, true
}

// between returns the numbers between two others, both excluded.
func between(numbers []rpdb.Priority, below, above rpdb.Priority) []rpdb.Priority {
	first, _ := slices.BinarySearch(numbers, below+1)
	end, _ := slices.BinarySearch(numbers, above)
	return numbers[first:end]
}

// spread fills a gap with numbers at equal distances. At the end of the list
// the rules follow each other closely, to leave room behind them. Skipped says
// how many numbers are missing in front of the first one.
func spread(gap, numbers []rpdb.Priority, skipped int, atEnd bool) bool {
	if len(numbers) < len(gap) {
		return false
	}
	distance := max((len(numbers)+skipped+1)/(len(gap)+1), 1)
	if atEnd {
		distance = min(distance, step)
	}
	for i := range gap {
		gap[i] = numbers[max(distance*(i+1)-1-skipped, i)]
	}
	return true
}

// named reports whether a rule leads to another one by its name.
func named(w rpdb.DesiredRule) bool { return w.GotoName != "" }

// resolveGotos writes the priorities of named targets into the gotos.
func resolveGotos(rules []rpdb.DesiredRule) ([]rpdb.DesiredRule, error) {
	if !slices.ContainsFunc(rules, named) {
		return rules, nil
	}
	stands := map[string]rpdb.Priority{}
	for _, w := range slices.Backward(rules) {
		stands[w.Name] = w.Rule.Priority // the first of the name, in the end
	}
	for i, w := range rules {
		if w.GotoName == "" {
			continue
		}
		to, ok := stands[w.GotoName]
		if !ok {
			return nil, fmt.Errorf("plan %s: goto %q: no such rule (%v)", w.Name, w.GotoName, w.Rule.Family)
		}
		if to <= w.Rule.Priority {
			return nil, fmt.Errorf("plan %s: goto %q: target %d does not stand behind %d", w.Name, w.GotoName, to, w.Rule.Priority)
		}
		rules[i].Rule.Action = rpdb.Goto(to)
	}
	return rules, nil
}
