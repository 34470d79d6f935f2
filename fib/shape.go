package fib

import (
	"math/bits"
	"net/netip"

	"rpdb"
)

// shape says what of a flow rules look at: rules of one shape are told apart by
// one hash of those parts. The zero shape looks at nothing. Only what a hash can
// tell is in it; the rest of a rule is compared when its hash is right.
type shape struct {
	from, to     uint8 // prefix lengths
	mark, label  uint32
	sport, dport uint16 // masks
	uid          uint32 // mask
	ds           uint8  // mask
	proto        bool
	iif, oif     bool
	tun          bool
	// not is what rules that say not have in common: all of it. They fit
	// together or not at all.
	not rpdb.Selector
}

// kind is the shape of a rule before its range is cut into blocks, each of which
// has a mask of its own: rules of one kind are put into tables together.
type kind struct {
	shape
	ranged dimension
}

// shard mixes what kinds differ in.
func (d kind) shard() uint64 {
	h := uint64(d.ranged)
	for _, mask := range d.masks(true) {
		h = mix(h, mask)
	}
	if !d.not.Not {
		return h
	}
	s := &d.not
	for _, p := range []netip.Prefix{s.From, s.To} {
		if p.IsValid() {
			high, low := words6(p.Addr())
			h = mix(mix(h, high), low^uint64(p.Bits()))
		}
	}
	for _, b := range []byte(s.IIF + s.OIF) {
		h = mix(h, uint64(b))
	}
	uids, _ := s.UIDRange.Get()
	h = mix(h, uint64(s.Mark.Value)<<32|uint64(s.Mark.Mask))
	h = mix(h, uint64(uids.First)<<32|uint64(uids.Last))
	h = mix(h, uint64(s.SPort.First)<<32|uint64(s.SPort.Last)<<16|uint64(s.DPort.First))
	return mix(h, s.TunID^uint64(s.FlowLabel.Value)<<32)
}

// dimension is a field of which a rule wants a range.
type dimension uint8

const (
	noRange dimension = iota
	rangeOfDPort
	rangeOfSPort
	rangeOfUID
)

// entry is one place in the tables by which a rule is found.
type entry struct {
	shape shape
	hash  uint64
}

// kindOf returns the kind of a rule and the flow that fits it best, whose hash is
// the rule's. A rule that looks at nothing has the zero kind.
func (r *rule) kindOf() (kind, key) {
	var d kind
	k := key{dst: r.Family.Unspecified(), src: r.Family.Unspecified()}
	s := &r.Selector
	if s.Not && r.Flags&rpdb.RuleFindSaddr == 0 {
		d.not = s.Canonical()
	}
	if s.Not {
		return d, k
	}
	if r.ofFamily(r.to) {
		d.to, k.dst = uint8(r.to.Bits()), r.to.Addr()
	}
	// A rule that finds the source itself fits flows that have none.
	if r.ofFamily(r.from) && r.Flags&rpdb.RuleFindSaddr == 0 {
		d.from, k.src = uint8(r.from.Bits()), r.from.Addr()
	}
	d.mark, k.mark = s.Mark.Mask, s.Mark.Value
	d.label, k.label = s.FlowLabel.Mask, s.FlowLabel.Value
	d.proto, k.proto = s.IPProto != 0, s.IPProto
	d.tun, k.tun = s.TunID != 0, s.TunID
	d.iif, k.iif = r.iif.exact()
	d.oif, k.oif = r.oif.exact()
	d.ds, k.ds = r.dsBits()
	d.sport, k.sport = portBits(s.SPort)
	d.dport, k.dport = portBits(s.DPort)
	if r.hasUID && r.uids.First == r.uids.Last {
		d.uid, k.uid = ^uint32(0), r.uids.First
	}
	switch {
	case isRange(s.DPort):
		d.ranged = rangeOfDPort
	case isRange(s.SPort):
		d.ranged = rangeOfSPort
	case r.hasUID && r.uids.First < r.uids.Last:
		d.ranged = rangeOfUID
	}
	return d, k
}

// ofFamily reports whether a prefix is one of the rule's family. One of the other,
// which no kernel has, fits no flow, and no hash tells it from others.
func (r *rule) ofFamily(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is4() == !r.v6 }

// noLink is the index of an interface that is not there, which no flow has.
const noLink = ^rpdb.LinkIndex(0)

// exact reports whether the selector fits one interface and no other, and which.
func (m ifmatch) exact() (bool, rpdb.LinkIndex) {
	if m.index == 0 {
		return m.set, noLink
	}
	return m.set && !m.vrf, m.index
}

// dsBits returns which bits of the DS field the rule compares, and with what.
func (r *rule) dsBits() (mask, value uint8) {
	if r.Selector.TOS != 0 {
		mask = legacyTOS
		if r.v6 {
			mask = 0xfc
		}
		value = r.Selector.TOS & mask
	}
	if r.hasDSCP {
		mask |= r.dscp.Mask << 2
		value |= r.dscp.Value & r.dscp.Mask << 2
	}
	return mask, value
}

func isRange(p rpdb.Ports) bool { return p.Mask == 0 && p.First < p.Last }

func portBits(p rpdb.Ports) (mask, value uint16) {
	switch {
	case p.Mask != 0:
		return p.Mask, p.First
	case p.First == p.Last && p.First != 0:
		return 0xffff, p.First
	}
	return 0, 0
}

// entries yields the places by which a rule of the kind is found: one, or one for
// each block of its range.
func (r *rule) entries(d kind, k key, yield func(entry)) {
	at := func() {
		p, im := d.parts(r.v6), newImage(&k)
		yield(entry{d.shape, p.hash(&im)})
	}
	s := &r.Selector
	switch d.ranged {
	case noRange:
		at()
	case rangeOfDPort:
		blocks(uint64(s.DPort.First), uint64(s.DPort.Last), func(first, size uint64) {
			d.dport, k.dport = -uint16(size), uint16(first)
			at()
		})
	case rangeOfSPort:
		blocks(uint64(s.SPort.First), uint64(s.SPort.Last), func(first, size uint64) {
			d.sport, k.sport = -uint16(size), uint16(first)
			at()
		})
	case rangeOfUID:
		blocks(uint64(r.uids.First), uint64(r.uids.Last), func(first, size uint64) {
			d.uid, k.uid = -uint32(size), uint32(first)
			at()
		})
	}
}

// blocks cuts a range into the fewest blocks whose size is a power of two and
// whose beginning is a multiple of it.
func blocks(first, last uint64, yield func(first, size uint64)) {
	for first <= last {
		size := uint64(1) << min(bits.Len64(last-first+1)-1, bits.TrailingZeros64(first))
		yield(first, size)
		first += size
	}
}
