package fib

import (
	"math/bits"
	"net/netip"
	"slices"
)

// ranges6 is what ranges is, for IPv6. The addresses in use lie close together in few
// places, so the table of the upper bits has two stages.
type ranges6 struct {
	all []span6 // ascending from the one that begins with ::
	// heads is by the first bits of an address, as many as shift leaves; each has its
	// stretch of first, by the bits that follow.
	heads []head6
	shift uint
	// first is the range of the first address with each value of those bits; behind
	// the last value stands the range of the last address.
	first []uint32
}

// span6 is a range: up to where the next one begins. The rest is as in span4.
type span6 struct {
	start      number
	node, only uint32
}

type head6 struct {
	first uint32 // where its stretch begins
	shift uint32 // that leaves the bits that choose from the stretch
}

// newRanges6 is newRanges for IPv6.
func newRanges6(sorted []node) *ranges6 {
	all := make([]span6, 1, 1+len(sorted)+len(sorted)/2)
	sweep(sorted, func(from number, node uint32) {
		r := span6{start: from, node: node}
		if node != 0 {
			r.only = sorted[node-1].only(true)
		}
		if last := len(all) - 1; all[last].start == from {
			all[last] = r
			return
		}
		all = append(all, r)
	})
	r := &ranges6{all: slices.Clip(all)}
	r.index()
	return r
}

// manyRanges is how many ranges are worth heads of sixteen bits.
const manyRanges = 1 << 12

func (r *ranges6) index() {
	r.shift = 64
	if len(r.all) >= manyRanges {
		r.shift = 48
	}
	r.heads = make([]head6, uint64(1)<<(64-r.shift))
	begin := 0 // the first range of the head
	for i := range r.heads {
		end := begin
		for end < len(r.all) && r.all[end].start.high>>r.shift == uint64(i) {
			end++
		}
		if begin == end && r.heads[i-1].shift == 64 && r.first[len(r.first)-2] == uint32(begin-1) {
			r.heads[i] = r.heads[i-1] // all of both is in one range
		} else {
			r.stretch(uint64(i), begin, end)
		}
		begin = end
	}
}

// stretch makes the stretch of a head, in which the ranges from begin to end begin.
func (r *ranges6) stretch(head uint64, begin, end int) {
	width := uint(max(bits.Len(uint(end-begin))-1, 0))
	r.heads[head] = head6{uint32(len(r.first)), uint32(64 - width)}
	at := max(begin-1, 0)
	for value := range uint64(1) << width {
		from := number{high: head<<r.shift | value<<(64-width)>>(64-r.shift)}
		for at+1 < end && !from.less(r.all[at+1].start) {
			at++
		}
		r.first = append(r.first, uint32(at))
	}
	r.first = append(r.first, uint32(end-1))
}

// lookup returns the range of an IPv6 address.
func (r *ranges6) lookup(a netip.Addr) *span6 {
	n := numberOf(a)
	head := &r.heads[n.high>>r.shift]
	at := uint64(head.first) + n.high<<(64-r.shift)>>head.shift
	from, end := int(r.first[at]), int(r.first[at+1])
	for from < end {
		if middle := (from + end + 1) / 2; !n.less(r.all[middle].start) {
			from = middle
		} else {
			end = middle - 1
		}
	}
	return &r.all[from]
}
