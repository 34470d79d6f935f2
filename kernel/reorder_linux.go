package kernel

import (
	"slices"

	"rpdb"
)

// The kernel puts a new rule behind all of its priority, and of a deletion it
// takes the first rule that agrees. So rules of one priority are put in another
// order by adding copies in the right order and then deleting the first ones:
// none of them is missing for a moment. All lists here are of one priority and
// one family, and rules are the same if their canonical forms are.

// restored returns the order in which a priority that has some rules is to
// have those of want as well: the rules of want in their order, and the others
// where they are. Of two alike in want there will be two. What is in order
// stays as it is, with nothing but what is missing behind.
func restored(have, want []rpdb.Rule) []rpdb.Rule {
	if all := slices.Concat(have, without(want, have)); inOrder(all, want) {
		return all
	}
	// More copies than wanted are as good as none behind those that are wanted.
	wanted := counts(want)
	want = slices.Concat(want, without(only(have, wanted), want))
	var stay []rpdb.Rule
	for _, r := range have {
		switch {
		case len(want) > 0 && same(r, want[0]):
			stay, want = append(stay, r), want[1:]
		case wanted[r.Canonical()] == 0:
			stay = append(stay, r)
		}
	}
	return slices.Concat(stay, want)
}

// inOrder reports whether list has the rules of want in their order. Further
// copies do not matter behind the first one of their kind.
func inOrder(list, want []rpdb.Rule) bool {
	if !slices.EqualFunc(firsts(only(list, counts(want))), firsts(want), same) {
		return false
	}
	for _, r := range list {
		if len(want) > 0 && same(r, want[0]) {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// rewriting returns what turns one list into another: what is to be added, in
// order, and after that deleted, in order. No rule that is in both is missing
// for a moment. As little as possible is touched, but where a deletion would
// take another rule than the one meant the whole list is written anew: then the
// first one is always to go, and nothing before it can agree.
func rewriting(from, to []rpdb.Rule) (added, deleted []rpdb.Rule) {
	added = to
	for _, r := range from {
		if len(added) > 0 && same(r, added[0]) {
			added = added[1:]
		} else {
			deleted = append(deleted, r)
		}
	}
	for range 2 {
		if slices.EqualFunc(deletedFrom(slices.Concat(from, added), deleted), to, same) {
			return added, deleted
		}
		slices.Reverse(deleted)
	}
	return to, from
}

// deletedFrom returns the list after deletions, as the kernel makes them, nil
// if one of them takes another rule.
func deletedFrom(list, deleted []rpdb.Rule) []rpdb.Rule {
	for _, r := range deleted {
		i := slices.IndexFunc(list, func(c rpdb.Rule) bool { return hit(r, c) })
		if i < 0 || !same(list[i], r) {
			return nil
		}
		list = cut(list, i)
	}
	return list
}

// cut takes one rule out of a list, which it may change. In front it is free.
func cut(list []rpdb.Rule, i int) []rpdb.Rule {
	if i == 0 {
		return list[1:]
	}
	return slices.Delete(list, i, i+1)
}

// unrestored returns the order in which a priority is to be left when
// restoring it failed: as it was before, but for what others have added and
// deleted meanwhile. Ours is what it should look like by what we did, now is
// what it looks like.
func unrestored(before, ours, now []rpdb.Rule) []rpdb.Rule {
	return slices.Concat(without(before, without(ours, now)), without(now, ours))
}

func same(a, b rpdb.Rule) bool { return a.Canonical() == b.Canonical() }

// counts returns how many copies a list has of each rule.
func counts(list []rpdb.Rule) map[rpdb.Rule]int {
	n := map[rpdb.Rule]int{}
	for _, r := range list {
		n[r.Canonical()]++
	}
	return n
}

// without returns the list without one copy for each of the others.
func without(list, others []rpdb.Rule) (rest []rpdb.Rule) {
	n := counts(others)
	for _, r := range list {
		if key := r.Canonical(); n[key] > 0 {
			n[key]--
		} else {
			rest = append(rest, r)
		}
	}
	return rest
}

// only returns the rules of a list that are counted.
func only(list []rpdb.Rule, counted map[rpdb.Rule]int) (rest []rpdb.Rule) {
	for _, r := range list {
		if counted[r.Canonical()] > 0 {
			rest = append(rest, r)
		}
	}
	return rest
}

// firsts returns the first copy of each rule.
func firsts(list []rpdb.Rule) (rest []rpdb.Rule) {
	seen := map[rpdb.Rule]bool{}
	for _, r := range list {
		if key := r.Canonical(); !seen[key] {
			seen[key] = true
			rest = append(rest, r)
		}
	}
	return rest
}
