package cost

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"rpdb"
)

// leastSkip is how many rules a goto must lead past to be worth its own cost, and
// leastParts from how many on a run of rules is worth several.
const leastSkip, leastParts = 16, 64

// skips finds runs of rules that all want the same of a packet, so that one goto in
// front of them leads all others past.
func (l *list) skips() []Saving {
	var all []Saving
	for i := 0; i < len(l.rules); {
		end, guards := l.guards(i)
		if len(guards) > 0 {
			all = append(all, l.skipping(i, end, guards)...)
		}
		i = max(end, i+1)
	}
	return all
}

// guards returns the gotos for the longest run that begins at rule i, and where it
// ends.
func (l *list) guards(i int) (end int, guards []rpdb.Rule) {
	if !l.roomBefore(i) {
		return i, nil
	}
	for _, w := range []want{{prefix: from}, {prefix: to}, {plain: iif}, {plain: oif}, {plain: mark}} {
		last := i
		common := rpdb.Selector{}
		for ; last < len(l.rules); last++ {
			next, ok := w.join(common, l.rules[last], last > i)
			if !ok {
				break
			}
			common = next
		}
		// What a goto leads to must be the first of its priority.
		for last > i && (last == len(l.rules) || l.rules[last].Priority == l.rules[last-1].Priority) {
			last--
		}
		if last-i >= leastSkip && last > end {
			if g := l.partition(w, i, last); len(g) > 0 {
				end, guards = last, g
			}
		}
	}
	return end, guards
}

// want is one field of selectors: a prefix, of which a run has a common one, or what
// all must have in common.
type want struct {
	prefix func(*rpdb.Selector) *netip.Prefix
	plain  func(common, next rpdb.Selector, some bool) (rpdb.Selector, bool)
}

func from(s *rpdb.Selector) *netip.Prefix { return &s.From }
func to(s *rpdb.Selector) *netip.Prefix   { return &s.To }

func iif(common, next rpdb.Selector, some bool) (rpdb.Selector, bool) {
	return rpdb.Selector{IIF: next.IIF}, next.IIF != "" && (!some || common.IIF == next.IIF)
}

func oif(common, next rpdb.Selector, some bool) (rpdb.Selector, bool) {
	return rpdb.Selector{OIF: next.OIF}, next.OIF != "" && (!some || common.OIF == next.OIF)
}

func mark(common, next rpdb.Selector, some bool) (rpdb.Selector, bool) {
	mask, value := next.Mark.Mask, next.Mark.Value
	if some {
		mask &= common.Mark.Mask &^ (common.Mark.Value ^ value)
	}
	return rpdb.Selector{Mark: rpdb.Mark{Value: value & mask, Mask: mask}}, mask != 0
}

// join adds a rule to a run: it returns what all of the run want, and whether the rule
// wants it too.
func (w want) join(common rpdb.Selector, r rpdb.Rule, some bool) (rpdb.Selector, bool) {
	x := r.Selector.Canonical()
	if x.Not || r.Unknown != "" || r.Flags&rpdb.RuleFindSaddr != 0 {
		return common, false
	}
	if w.plain != nil {
		return w.plain(common, x, some)
	}
	p := *w.prefix(&x)
	if !p.IsValid() {
		return common, false
	}
	if some {
		p = covering(*w.prefix(&common), p)
	}
	var joined rpdb.Selector
	*w.prefix(&joined) = p
	return joined, true
}

// covering returns the longest prefix that holds both, the zero prefix if that is
// everything.
func covering(a, b netip.Prefix) netip.Prefix {
	if !a.IsValid() || !b.IsValid() {
		return netip.Prefix{}
	}
	p := a
	for p.IsValid() && (p.Bits() > b.Bits() || !p.Contains(b.Addr())) {
		p = shorter(p)
	}
	return p
}

// partition returns one goto for a run, or some for parts of it if these are for
// different networks: a packet then asks the gotos, and the rules of one part.
func (l *list) partition(w want, first, end int) []rpdb.Rule {
	if w.prefix != nil && end-first >= leastParts {
		if g := l.gotos(w, l.parts(w, first, end), end); apart(w, g) {
			return g
		}
	}
	g := l.gotos(w, []int{first}, end)
	if g[0].Selector == (rpdb.Selector{Not: true}) {
		return nil
	}
	return g
}

// parts returns where the parts of a run begin, if it is cut by the first bits of its
// prefixes: by so many that gotos and rules of a part together are fewest.
func (l *list) parts(w want, first, end int) []int {
	prefixes := make([]netip.Prefix, end-first)
	shortest := l.family.Bits()
	for i := range prefixes {
		x := l.rules[first+i].Selector.Canonical()
		prefixes[i] = *w.prefix(&x)
		shortest = min(shortest, prefixes[i].Bits())
	}
	best := []int{first}
	fewest := len(prefixes)
	for length := 1; length <= shortest; length++ {
		starts := []int{first}
		for i := 1; i < len(prefixes); i++ {
			if commonBits(prefixes[i-1].Addr(), prefixes[i].Addr()) < length && l.roomBefore(first+i) {
				starts = append(starts, first+i)
			}
		}
		if n := len(starts) + len(prefixes)/len(starts); n < fewest {
			best, fewest = starts, n
		}
	}
	return best
}

// commonBits returns with how many equal bits two addresses of a family begin.
func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return i*8 + bits.LeadingZeros8(d) - (128 - a.BitLen())
		}
	}
	return a.BitLen()
}

// gotos returns a goto in front of each part, which leads to the next, the last one
// behind the run.
func (l *list) gotos(w want, starts []int, end int) []rpdb.Rule {
	guards := make([]rpdb.Rule, len(starts))
	for k := len(starts) - 1; k >= 0; k-- {
		stop, next := end, l.rules[end].Priority
		if k+1 < len(starts) {
			stop, next = starts[k+1], guards[k+1].Priority
		}
		var common rpdb.Selector
		for i := starts[k]; i < stop; i++ {
			common, _ = w.join(common, l.rules[i], i > starts[k])
		}
		common.Not = true
		r := l.rules[starts[k]]
		guards[k] = rpdb.Rule{Family: l.family, Priority: r.Priority - 1, Selector: common, Action: rpdb.Goto(next), Protocol: r.Protocol}
	}
	return guards
}

// apart reports whether no packet is for two parts, and so more than one is of use.
func apart(w want, guards []rpdb.Rule) bool {
	prefixes := make([]netip.Prefix, len(guards))
	for i, g := range guards {
		prefixes[i] = *w.prefix(&g.Selector)
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	for i, p := range prefixes {
		if !p.IsValid() || i > 0 && prefixes[i-1].Overlaps(p) {
			return false
		}
	}
	return len(guards) > 1
}

func (l *list) skipping(first, end int, guards []rpdb.Rule) []Saving {
	var changes []rpdb.Change
	for _, g := range guards {
		changes = append(changes, rpdb.RuleChange(rpdb.Add, g))
	}
	x := Saving{
		Way: Skip, Changes: changes,
		Message: fmt.Sprintf("lead packets past the %d rules %d to %d by a goto", end-first, l.rules[first].Priority, l.rules[end-1].Priority),
		Reason:  "all of them want the same of a packet, and the goto is for what does not have it",
	}
	if len(guards) > 1 {
		x.Message = fmt.Sprintf("lead packets past the %d rules %d to %d by %d gotos", end-first, l.rules[first].Priority, l.rules[end-1].Priority, len(guards))
		x.Reason = fmt.Sprintf("they are for %d networks that have nothing in common, so that a packet for one of them asks the gotos and some %d rules", len(guards), (end-first)/len(guards))
	}
	return l.saving(x)
}
