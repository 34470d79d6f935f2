package fib

import (
	"iter"
	"slices"

	"rpdb"
)

// list is rules in order, in parts of which a change copies one. It never changes.
type list struct {
	parts [][]*rule // none of them empty
	n     int
}

// perPart is how many rules a part is made for; one of twice as many is cut.
const perPart = 512

func newList(rules []*rule) list {
	return list{slices.Collect(slices.Chunk(rules, perPart)), len(rules)}
}

// flat returns all rules; the caller may keep it.
func (l list) flat() []*rule { return slices.Concat(l.parts...) }

// from yields the rules from an order on.
func (l list) from(at order) iter.Seq[*rule] {
	return func(yield func(*rule) bool) {
		part := l.part(at)
		for first := true; part < len(l.parts); part++ {
			rules := l.parts[part]
			if first {
				rules = rules[seek(rules, at):]
				first = false
			}
			for _, r := range rules {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// at yields the rules of a priority.
func (l list) at(p rpdb.Priority) iter.Seq[*rule] {
	return func(yield func(*rule) bool) {
		for r := range l.from(orderOf(p)) {
			if r.Priority != p || !yield(r) {
				return
			}
		}
	}
}

// part returns the place of the part that an order belongs to: the last that does
// not begin behind it.
func (l list) part(at order) int {
	i, found := slices.BinarySearchFunc(l.parts, at, func(part []*rule, at order) int { return compareOrder(part[0], at) })
	if !found && i > 0 {
		i--
	}
	return i
}

// last returns the last rule of a priority, nil if there is none.
func (l list) last(p rpdb.Priority) *rule {
	end := orderOf(p) | (1<<32 - 1)
	if l.n == 0 {
		return nil
	}
	part := l.parts[l.part(end)]
	if i := seek(part, end); i > 0 && part[i-1].Priority == p {
		return part[i-1]
	}
	return nil
}

// with returns the list with one rule more, in its order.
func (l list) with(r *rule) list {
	if l.n == 0 {
		return newList([]*rule{r})
	}
	at := l.part(r.at)
	part := l.parts[at]
	part = slices.Insert(slices.Clip(part), seek(part, r.at), r)
	if len(part) < 2*perPart {
		return l.replace(at, l.n+1, part)
	}
	return l.replace(at, l.n+1, part[:perPart:perPart], part[perPart:])
}

// without returns the list with one rule less.
func (l list) without(r *rule) list {
	at := l.part(r.at)
	part := drop(l.parts[at], r)
	if len(part) == 0 {
		return l.replace(at, l.n-1)
	}
	return l.replace(at, l.n-1, part)
}

// replace puts parts in place of one, n rules being in all.
func (l list) replace(at, n int, parts ...[]*rule) list {
	return list{slices.Replace(slices.Clone(l.parts), at, at+1, parts...), n}
}
