package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"

	"rpdb"
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

// lengthBits is how many bits the length of an IPv4 prefix takes.
const lengthBits = 6

// newRanges takes nodes in the order of their prefixes, the shorter of those with
// the same address first, and sets their up pointers.
func newRanges(sorted []node) *ranges {
	s := sweep{sorted: sorted, all: make([]span4, 1, 1+len(sorted)+len(sorted)/4)}
	for i := range sorted {
		n := &sorted[i]
		start := number4(n.prefix.Addr())
		s.closeBefore(uint64(start))
		if s.open != 0 {
			n.up = &sorted[s.open-1]
		}
		s.up = append(s.up, s.open)
		s.open = uint32(i) + 1
		s.begin(start)
	}
	s.closeBefore(1 << 32)
	r := &ranges{all: slices.Clip(s.all)}
	r.index()
	return r
}

// sweep goes through all addresses.
type sweep struct {
	sorted []node
	all    []span4
	up     []uint32 // of each prefix it has come to, the next shorter one as in span4
	open   uint32   // the innermost prefix that covers the address that it is at
}

// closeBefore leaves the prefixes that end before an address.
func (s *sweep) closeBefore(end uint64) {
	for s.open != 0 {
		last := lastOf(s.sorted[s.open-1].prefix)
		if last >= end {
			return
		}
		s.open = s.up[s.open-1]
		if last < 1<<32-1 {
			s.begin(uint32(last + 1))
		}
	}
}

// begin starts a range; the last word about an address counts.
func (s *sweep) begin(start uint32) {
	r := span4{start: start, node: s.open}
	if r.node != 0 {
		r.only = s.sorted[r.node-1].only()
	}
	if last := len(s.all) - 1; s.all[last].start == start {
		s.all[last] = r
		return
	}
	s.all = append(s.all, r)
}

// only returns what ranges note of the routes of a node.
func (n *node) only() uint32 {
	length := uint32(n.prefix.Bits())
	if len(n.routes) != 1 {
		return length
	}
	r := n.routes[0]
	if len(r.hops) != 1 || r.number >= 1<<(32-lengthBits) || r.tos != 0 || r.hole || r.blind || r.unsure ||
		r.typ == rpdb.RouteThrow || typeError(r.typ, false) != 0 {
		return length
	}
	return r.number<<lengthBits | length
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

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) uint64 {
	return uint64(number4(p.Addr())) | (1<<(32-p.Bits()) - 1)
}
