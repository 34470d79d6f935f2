package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// ranges is the longest-prefix match of IPv4 prefixes that do not change any more.
// The addresses fall into ranges of which all addresses have the same longest
// prefix, so a lookup is a search among the bounds, in memory that lies together:
// among a million prefixes a trie costs many times as much, and most of that for
// the pages that it touches.
type ranges struct {
	starts []uint32 // the first address of each range, ascending from 0
	nodes  []*node  // of each range; nil if no prefix covers it
	// first is the range of the first address with each value of the upper bits;
	// behind them stands the last range.
	first []uint32
	shift uint // that leaves the upper bits
}

// newRanges takes nodes in the order of their prefixes, the shorter of those with
// the same address first, and sets their up pointers.
func newRanges(sorted []*node) *ranges {
	r := &ranges{starts: []uint32{0}, nodes: []*node{nil}}
	var open *node // the innermost prefix that covers the address that the sweep is at
	closeBefore := func(end uint64) {
		for open != nil && lastOf(open.prefix) < end {
			last := lastOf(open.prefix)
			open = open.up
			if last < 1<<32-1 {
				r.begin(uint32(last+1), open)
			}
		}
	}
	for _, n := range sorted {
		start := number4(n.prefix.Addr())
		closeBefore(uint64(start))
		n.up, open = open, n
		r.begin(start, n)
	}
	closeBefore(1 << 32)
	r.index()
	return r
}

// begin starts a range; the last word about an address counts.
func (r *ranges) begin(start uint32, n *node) {
	if last := len(r.starts) - 1; r.starts[last] == start {
		r.nodes[last] = n
		return
	}
	r.starts, r.nodes = append(r.starts, start), append(r.nodes, n)
}

// index makes the table of the upper bits, with four ranges to an entry in the mean.
func (r *ranges) index() {
	width := uint(max(bits.Len(uint(len(r.starts)))-2, 0))
	r.shift = 32 - width
	r.first = make([]uint32, 1<<width+1)
	at := 0
	for upper := range 1 << width {
		for at+1 < len(r.starts) && uint64(r.starts[at+1]) <= uint64(upper)<<r.shift {
			at++
		}
		r.first[upper] = uint32(at)
	}
	r.first[1<<width] = uint32(len(r.starts) - 1)
}

// lookup returns the node of the longest prefix that covers an IPv4 address, nil if
// none does.
func (r *ranges) lookup(a netip.Addr) *node {
	n := number4(a)
	upper := uint64(n) >> r.shift
	from, end := int(r.first[upper]), int(r.first[upper+1])
	for from < end {
		if middle := (from + end + 1) / 2; r.starts[middle] <= n {
			from = middle
		} else {
			end = middle - 1
		}
	}
	return r.nodes[from]
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) uint64 {
	return uint64(number4(p.Addr())) | (1<<(32-p.Bits()) - 1)
}
