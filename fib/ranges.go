package fib

import (
	"math/bits"
	"net/netip"
	"slices"
)

// ranges is the longest-prefix match of IPv4 prefixes that do not change any more.
// The addresses fall into ranges of which all addresses have the same longest
// prefix, so a lookup is a search among the bounds, in memory that lies together:
// among a million prefixes a trie costs many times as much, and most of that for
// the pages that it touches.
type ranges struct {
	all []span4 // ascending from the one that begins with address 0
	// first is the range of the first address with each value of the upper bits;
	// behind them stands the last range.
	first []uint32
	shift uint // that leaves the upper bits
}

// span4 is a range: up to where the next one begins.
type span4 struct {
	start uint32 // the first address
	node  uint32 // of the longest prefix, the index plus one; 0 if no prefix covers it
	// only is the number of the route, if it is the only one of the node and every
	// flow may take it that may take its nexthop, else 0; in the lowest bits is the
	// length of the prefix.
	only uint32
}

// newRanges takes nodes in the order of their prefixes, the shorter of those with
// the same address first, and sets their up pointers.
func newRanges(sorted []node) *ranges {
	all := make([]span4, 1, 1+len(sorted)+len(sorted)/4)
	sweep(sorted, func(from number, node uint32) {
		r := span4{start: uint32(from.high >> 32), node: node}
		if node != 0 {
			r.only = sorted[node-1].only(false)
		}
		if last := len(all) - 1; all[last].start == r.start {
			all[last] = r
			return
		}
		all = append(all, r)
	})
	r := &ranges{all: slices.Clip(all)}
	r.index()
	return r
}

// index makes the table of the upper bits, with four ranges to an entry in the mean.
func (r *ranges) index() {
	width := uint(max(bits.Len(uint(len(r.all)))-2, 0))
	r.shift = 32 - width
	r.first = make([]uint32, 1<<width+1)
	at := 0
	for upper := range 1 << width {
		for at+1 < len(r.all) && uint64(r.all[at+1].start) <= uint64(upper)<<r.shift {
			at++
		}
		r.first[upper] = uint32(at)
	}
	r.first[1<<width] = uint32(len(r.all) - 1)
}

// lookup returns the range of an IPv4 address.
func (r *ranges) lookup(a netip.Addr) *span4 {
	n := number4(a)
	upper := uint64(n) >> r.shift
	from, end := int(r.first[upper]), int(r.first[upper+1])
	for from < end {
		if middle := (from + end + 1) / 2; r.all[middle].start <= n {
			from = middle
		} else {
			end = middle - 1
		}
	}
	return &r.all[from]
}
