package cost

import (
	"cmp"
	"fmt"
	"slices"

	"rpdb"
	"rpdb/analysis"
)

// Way is how a walk is made shorter.
type Way string

// The ways.
const (
	Drop  Way = "drop"  // a rule says what an earlier one has said
	Merge Way = "merge" // rules are one with a wider selector
	Move  Way = "move"  // a rule comes before others that are for other packets
	Skip  Way = "skip"  // a goto leads packets past rules of which none is for them
)

// Saving is a change of the rules that makes walks shorter and changes no decision,
// whatever the routes are.
type Saving struct {
	Way Way `json:"way"`
	// Message is a verb phrase, as in "drop rule 200", and Reason says why no packet
	// can tell.
	Message string `json:"message"`
	Reason  string `json:"reason"`
	// Before and After are the rules that packets ask; Who says which packets.
	Before int    `json:"asked_before"`
	After  int    `json:"asked_after"`
	Who    string `json:"packets"`
	// Changes are made in this order.
	Changes []rpdb.Change `json:"changes"`
}

// list is the rules of a family, with what is asked of them again and again.
type list struct {
	snapshot *rpdb.Snapshot
	family   rpdb.Family
	rules    []rpdb.Rule
	ends     map[rpdb.TableID]bool // tables that a walk ends with
	typical  int                   // rules that a typical packet asks
	// jumps are the places that gotos lead to, in order, each with the first goto
	// that leads there.
	jumps []jump
	// wanted are the priorities that some goto names, there or not.
	wanted map[rpdb.Priority]bool
}

type jump struct{ from, to int }

// savings returns what can be saved in a family: each stands alone.
func savings(s *rpdb.Snapshot, f rpdb.Family) []Saving {
	l := newList(s, f)
	return slices.Concat(l.drops(), l.merges(), l.moves(), l.skips())
}

// saving counts what typical packets save by changes, and returns them if it is
// something.
func (l *list) saving(x Saving) []Saving {
	x.Who, x.Before = "packets that no selector is for", l.typical
	x.After = len(path(l.snapshot, l.ends, Apply(l.rules, x.Changes)))
	if x.After >= x.Before {
		return nil
	}
	return []Saving{x}
}

// Apply returns the rules of a family as they are after changes of rules, in the order
// of the kernel: one that is added stands behind those of its priority, and of equal
// ones the first is deleted. The rules stay as they are.
func Apply(rules []rpdb.Rule, changes []rpdb.Change) []rpdb.Rule {
	gone := map[rpdb.Rule]int{}
	after := slices.Clone(rules)
	for _, c := range changes {
		if c.Op == rpdb.Add {
			after = append(after, *c.Rule)
		} else {
			gone[*c.Rule]++
		}
	}
	after = slices.DeleteFunc(after, func(r rpdb.Rule) bool {
		gone[r]--
		return gone[r] >= 0
	})
	slices.SortStableFunc(after, rpdb.Rule.Compare)
	return after
}

func newList(s *rpdb.Snapshot, f rpdb.Family) *list {
	rules := s.RulesOf(f)
	l := &list{snapshot: s, family: f, rules: rules, ends: analysis.EndingTables(s, f), wanted: map[rpdb.Priority]bool{}}
	l.typical = len(path(s, l.ends, rules))
	targets := targetsOf(rules)
	sources := map[int]int{} // of targets: the first goto
	for i, r := range rules {
		if r.Action.Type() != rpdb.ActionGoto {
			continue
		}
		p := r.Action.Target()
		l.wanted[p] = true
		if at, ok := targets[p]; ok && at > i {
			if _, seen := sources[at]; !seen {
				sources[at] = i
			}
		}
	}
	for to, from := range sources {
		l.jumps = append(l.jumps, jump{from, to})
	}
	slices.SortFunc(l.jumps, func(a, b jump) int { return cmp.Compare(a.to, b.to) })
	return l
}

// landed reports whether a goto leads behind rule i and not behind rule j: then packets
// may come to the second that have not been asked by the first.
func (l *list) landed(i, j int) bool {
	at, _ := slices.BinarySearchFunc(l.jumps, i+1, func(g jump, to int) int { return cmp.Compare(g.to, to) })
	for ; at < len(l.jumps) && l.jumps[at].to <= j; at++ {
		if l.jumps[at].from < i {
			return true
		}
	}
	return false
}

// ours reports whether a rule may be changed at all: it is understood whole, is not the
// kernel's, and can be deleted.
func ours(r rpdb.Rule) bool {
	return r.Unknown == "" && r.Flags&(rpdb.RulePermanent|rpdb.RuleFindSaddr) == 0 && (r.Selector != rpdb.Selector{} || !analysis.IsKernelRule(r))
}

// movable reports whether a rule may go to another place: no goto leads to it, and it
// leads nowhere itself.
func (l *list) movable(i int) bool {
	r := l.rules[i]
	return ours(r) && !l.wanted[r.Priority] && r.Action.Type() != rpdb.ActionGoto && !r.Selector.L3MDev && l.deletable(i)
}

// mostEqual is how many rules of one priority are looked at, so that long lists do not
// take long.
const mostEqual = 256

// deletable reports whether it is rule i that goes when it is deleted. The kernel takes
// the first that agrees: a copy in front of it, which then must not matter.
func (l *list) deletable(i int) bool {
	r := l.rules[i]
	apart := false // what stands between the two would matter
	for k := i - 1; k >= 0 && l.rules[k].Priority == r.Priority; k-- {
		if i-k > mostEqual {
			return false
		}
		if apart && l.rules[k].Meaning() == r.Meaning() {
			return false
		}
		apart = apart || !commute(l.rules[k], r)
	}
	return true
}

// does is what a rule does to the packets that it selects, and who made it.
func does(r rpdb.Rule) rpdb.Rule {
	r = r.Meaning()
	r.Priority, r.Selector, r.Flags = 0, rpdb.Selector{}, 0
	return r
}

// commute reports whether two rules may stand in either order.
func commute(a, b rpdb.Rule) bool {
	return a.Selector.Disjoint(b.Selector) || does(a) == does(b) && a.Action.Type() != rpdb.ActionGoto && !a.Selector.L3MDev && !b.Selector.L3MDev && a.Unknown+b.Unknown == ""
}

// drops finds rules that an earlier one makes useless: all its packets have been asked
// the same before. Those of a table have missed it, and will again.
func (l *list) drops() []Saving {
	earlier := map[rpdb.Rule]int{} // by what it does and selects
	var dropped []int
	by := map[int]int{}
	for j, r := range l.rules {
		r.Selector = analysis.WithoutInert(r).Selector
		switch {
		case r.Unknown != "" || r.Selector.Not || l.rules[j].Selector.Not || r.Flags&rpdb.RuleFindSaddr != 0:
			continue
		case r.Action.Type() == rpdb.ActionNop:
			if l.movable(j) {
				dropped = append(dropped, j)
			}
			continue
		case r.Action.Type() == rpdb.ActionGoto:
			continue
		}
		if l.movable(j) && !r.Selector.L3MDev {
			if i, ok := l.covering(earlier, r, j); ok {
				dropped, by[j] = append(dropped, j), i
				continue
			}
		}
		key := keyOf(r)
		if _, ok := earlier[key]; !ok {
			earlier[key] = j
		}
	}
	return l.dropping(dropped, by)
}

// keyOf is a rule for the map of earlier ones.
func keyOf(r rpdb.Rule) rpdb.Rule {
	key := does(r)
	key.Selector = r.Selector
	return key
}

// covering returns an earlier rule that does the same to all packets of r and more.
func (l *list) covering(earlier map[rpdb.Rule]int, r rpdb.Rule, j int) (found int, ok bool) {
	key := keyOf(r)
	for wider := range widerThan(key.Selector) {
		key.Selector = wider
		if i, there := earlier[key]; there && !l.landed(i, j) {
			return i, true
		}
	}
	return 0, false
}

// dropping makes one saving of all rules that can be dropped: each is dropped by one
// that stays.
func (l *list) dropping(dropped []int, by map[int]int) []Saving {
	if len(dropped) == 0 {
		return nil
	}
	var numbers []rpdb.Priority
	var changes []rpdb.Change
	for _, j := range dropped {
		numbers = append(numbers, l.rules[j].Priority)
		changes = append(changes, rpdb.RuleChange(rpdb.Delete, l.rules[j]))
	}
	reason := "a nop that no goto leads to does nothing"
	if i, ok := by[dropped[0]]; ok {
		reason = fmt.Sprintf("what rule %d selects has been asked the same by rule %d before", l.rules[dropped[0]].Priority, l.rules[i].Priority)
	}
	if len(dropped) > 1 {
		reason += ", and so on"
	}
	return l.saving(Saving{Way: Drop, Message: "drop " + trimmed(numbered(numbers)), Reason: reason, Changes: changes})
}
