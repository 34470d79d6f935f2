package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"rpdb"
)

// number is an address with its first bit on top; one of IPv4 is in the upper half of
// the first word.
type number struct{ high, low uint64 }

func numberOf(a netip.Addr) number {
	if a.Is4() {
		return number{high: uint64(number4(a)) << 32}
	}
	high, low := words6(a)
	return number{high, low}
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func (n number) less(o number) bool { return n.high < o.high || n.high == o.high && n.low < o.low }

// next returns the number behind n; not ok if there is none.
func (n number) next() (_ number, ok bool) {
	low, carry := bits.Add64(n.low, 1, 0)
	high, over := bits.Add64(n.high, 0, carry)
	return number{high, low}, over == 0
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) number {
	n := numberOf(p.Addr())
	high, low := masks6(uint8(p.Bits()))
	return number{n.high | ^high, n.low | ^low}
}

// sweep goes through all addresses and tells from where on which prefix is the longest
// that covers them: by the index of its node plus one, 0 for none. The last word about
// an address counts. It takes nodes in the order of their prefixes, the shorter of those
// with the same address first, and sets their up pointers.
func sweep(sorted []node, begin func(from number, node uint32)) {
	up := make([]uint32, len(sorted)) // the next shorter prefix of each, as it is told
	open := uint32(0)                 // the longest that covers the address that it is at
	leave := func(last number) {
		open = up[open-1]
		if behind, ok := last.next(); ok {
			begin(behind, open)
		}
	}
	for i := range sorted {
		n := &sorted[i]
		from := numberOf(n.prefix.Addr())
		for open != 0 {
			last := lastOf(sorted[open-1].prefix)
			if !last.less(from) {
				n.up = &sorted[open-1]
				break
			}
			leave(last)
		}
		up[i], open = open, uint32(i)+1
		begin(from, open)
	}
	for open != 0 {
		leave(lastOf(sorted[open-1].prefix))
	}
}

// lengthBits is how many bits the length of a prefix takes.
const lengthBits = 8

// only returns what ranges note of the routes of a node.
func (n *node) only(v6 bool) uint32 {
	length := uint32(n.prefix.Bits())
	if len(n.routes) != 1 || n.sub != nil {
		return length
	}
	r := n.routes[0]
	if len(r.hops) != 1 || r.number >= 1<<(32-lengthBits) || r.tos != 0 || r.hole || r.blind || r.unsure ||
		r.typ == rpdb.RouteThrow || typeError(r.typ, v6) != 0 {
		return length
	}
	return r.number<<lengthBits | length
}
