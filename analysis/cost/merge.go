package cost

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
)

// reach is how many rules are looked at in front of one for another that it may be
// merged with: fewer in long lists, which would take long.
func (l *list) reach() int { return min(max(640_000/(len(l.rules)+1), 4), 64) }

// group is rules that are to be one, which stands where the first of them does.
type group struct {
	rule, does rpdb.Rule
	members    []int
}

// merges finds rules that do the same to the two halves of something, such as two
// prefixes or two ranges of ports.
func (l *list) merges() []Saving {
	groups := make([]*group, 0, len(l.rules))
	for i, r := range l.rules {
		r.Selector = r.Selector.Canonical()
		groups = append(groups, &group{r, does(r), []int{i}})
	}
	for merged := true; merged; {
		merged = false
		kept := groups[:0:0]
		for _, g := range groups {
			if l.join(kept, g) {
				merged = true
				continue
			}
			kept = append(kept, g)
		}
		groups = kept
	}
	return l.merging(groups)
}

// join merges a group into one of those before it, if it may come there.
func (l *list) join(before []*group, g *group) bool {
	if !l.mergeable(g) {
		return false
	}
	for k := len(before) - 1; k >= max(len(before)-l.reach(), 0); k-- {
		o := before[k]
		if l.mergeable(o) && same(o, g) && l.alone(o.members[0]) && !l.landsBetween(o.members[0], g.members) {
			if u, ok := union(o.rule.Selector, g.rule.Selector); ok {
				o.rule.Selector = u
				o.members = append(o.members, g.members...)
				return true
			}
		}
		if !commute(o.rule, g.rule) {
			return false
		}
	}
	return false
}

func (l *list) mergeable(g *group) bool {
	return !g.rule.Selector.Not && !slices.ContainsFunc(g.members, func(i int) bool { return !l.movable(i) })
}

// same reports whether two groups differ in nothing but priority and selector.
func same(a, b *group) bool {
	return a.does == b.does && a.rule.Protocol == b.rule.Protocol && a.rule.Flags == b.rule.Flags
}

// alone reports whether a rule is the only one of its priority: one that is added there
// then stands where it does.
func (l *list) alone(i int) bool {
	p := l.rules[i].Priority
	return (i == 0 || l.rules[i-1].Priority != p) && (i+1 == len(l.rules) || l.rules[i+1].Priority != p)
}

// landsBetween reports whether a goto leads behind the first rule of a group and not
// behind the last one.
func (l *list) landsBetween(first int, members []int) bool {
	last := slices.Max(members)
	return slices.ContainsFunc(l.jumps, func(g jump) bool { return g.to > first && g.to <= last })
}

func (l *list) merging(groups []*group) []Saving {
	var changes []rpdb.Change
	var example *group
	count, into := 0, 0
	for _, g := range groups {
		if len(g.members) < 2 {
			continue
		}
		if example == nil {
			example = g
		}
		count, into = count+len(g.members), into+1
		changes = append(changes, rpdb.RuleChange(rpdb.Add, g.rule))
		for _, i := range g.members {
			changes = append(changes, rpdb.RuleChange(rpdb.Delete, l.rules[i]))
		}
	}
	if example == nil {
		return nil
	}
	return l.saving(Saving{
		Way: Merge, Changes: changes, Message: fmt.Sprintf("merge %d rules into %d", count, into),
		Reason: fmt.Sprintf("rules %d and %d do the same to neighbouring packets, and what stands between them is for others or does the same",
			l.rules[example.members[0]].Priority, l.rules[example.members[1]].Priority),
	})
}

// mostMoves is how many moves are named, and leastMove how far one must go.
const mostMoves, leastMove = 3, 8

// moves finds rules for many packets that stand behind rules for others.
func (l *list) moves() []Saving {
	var all []Saving
	for j, r := range l.rules {
		if len(all) == mostMoves {
			break
		}
		if !l.movable(j) || !wide(r) {
			continue
		}
		to := j
		for to > 0 && !wide(l.rules[to-1]) && l.rules[to-1].Selector.Disjoint(r.Selector) {
			to--
		}
		for to < j && !l.roomBefore(to) {
			to++
		}
		if j-to < leastMove || slices.ContainsFunc(l.jumps, func(g jump) bool { return g.to >= to && g.to <= j }) {
			continue
		}
		moved := r
		moved.Priority = l.rules[to].Priority - 1
		all = append(all, Saving{
			Way: Move, Who: fmt.Sprintf("packets of rule %d", r.Priority), Before: j + 1, After: to + 1,
			Message: fmt.Sprintf("move rule %d to %d", r.Priority, moved.Priority),
			Reason:  fmt.Sprintf("it is for many packets, and none of them is for one of the %d rules in front of it", j-to),
			Changes: []rpdb.Change{rpdb.RuleChange(rpdb.Add, moved), rpdb.RuleChange(rpdb.Delete, r)},
		})
	}
	return all
}

// wide reports whether a rule is for what may well be most of the traffic: a large
// network, or an interface.
func wide(r rpdb.Rule) bool {
	limit := 16
	if r.Family == rpdb.IPv6 {
		limit = 48
	}
	x := r.Selector.Canonical()
	from, to, iif := x.From, x.To, x.IIF
	x.From, x.To, x.IIF = netip.Prefix{}, netip.Prefix{}, ""
	large := func(p netip.Prefix) bool { return p.IsValid() && p.Bits() <= limit }
	switch {
	case x != rpdb.Selector{}:
		return false
	case iif != "":
		return !from.IsValid() && !to.IsValid()
	}
	return large(from) && !to.IsValid() || large(to) && !from.IsValid()
}

// roomBefore reports whether a rule can be added that stands right in front of rule i:
// its priority is behind those before, and no goto names it, which would then lead there.
func (l *list) roomBefore(i int) bool {
	p := l.rules[i].Priority
	switch {
	case p < 2 || i > 0 && l.rules[i-1].Priority == p:
		return false
	case l.wanted[p-1]:
		return i > 0 && l.rules[i-1].Priority == p-1 // it leads to what is there already
	}
	return true
}

func trimmed(s string) string {
	if n := len(s); n > 0 && s[n-1] == ',' {
		return s[:n-1]
	}
	return s
}
