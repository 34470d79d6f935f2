package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"rpdb"
)

// The registers that rules use: one to match and to change an address in, and
// one for the second address of a range.
const (
	regWork reg = 0 // to 3
	regLast reg = 4 // to 7
)

// Where addresses stand in the header of a family, and how long they are.
type layout struct {
	source, destination, length uint32
	sumOff, sum                 uint32 // the header's own checksum, if it has one
}

func layoutOf(f rpdb.Family) layout {
	if f == rpdb.IPv4 {
		return layout{source: 12, destination: 16, length: 4, sumOff: 10, sum: sumInet}
	}
	return layout{source: 8, destination: 24, length: 16}
}

// icmpHead is the length of the header of an ICMP error, behind which the header
// of the packet stands that it is about.
const icmpHead = 8

func (l layout) of(source bool) uint32 {
	if source {
		return l.source
	}
	return l.destination
}

func loadAddr(l layout, source bool) payload {
	return payload{reg: regWork, base: baseNetwork, off: l.of(source), len: l.length}
}

func loadEmbedded(l layout, source bool) payload {
	return payload{reg: regWork, base: baseTransport, off: icmpHead + l.of(source), len: l.length}
}

// inBlock matches if what x loads lies in the block.
func inBlock(x payload, p netip.Prefix) []expr {
	return masked(x, netMask(p.Bits(), int(x.len)), addrBytes(p.Addr()))
}

// masked matches if what load loads, under the mask, is the value.
func masked(load expr, mask, value string) []expr {
	if mask == all1(len(mask)) {
		return []expr{load, compare{regWork, opEqual, value}}
	}
	return []expr{load, and(mask), compare{regWork, opEqual, value}}
}

func and(mask string) expr { return maskXor(mask, zeros(len(mask))) }

func maskXor(mask, xor string) expr {
	return bitwise{from: regWork, to: regWork, len: uint32(len(mask)), mask: mask, xor: xor}
}

func netMask(bits, length int) string {
	b := make([]byte, length)
	for i := range b {
		b[i] = 0xff << (8 - min(max(bits-8*i, 0), 8))
	}
	return string(b)
}

func addrBytes(a netip.Addr) string { return string(a.AsSlice()) }

func inverse(mask string) string {
	b := []byte(mask)
	for i := range b {
		b[i] = ^b[i]
	}
	return string(b)
}

func zeros(n int) string { return string(make([]byte, n)) }

func all1(n int) string { return inverse(zeros(n)) }

// tie matches the packets that the rule of a translation has routed, and that the
// host forwards: those of its own come in by no interface.
func tie(t rpdb.Translation) []expr {
	return append(routedBy(t), meta{regWork, metaIIF}, compare{regWork, opNotEqual, host32(0)})
}

// routedBy matches the packets that have taken a route of the rule's table: by the
// realm of the route, and in IPv6 by what its program has written.
func routedBy(t rpdb.Translation) []expr {
	if t.Family == rpdb.IPv4 {
		return masked(rt{regWork, rtClassID}, host32(0xffff), host32(uint32(t.Realm)))
	}
	table, _ := rpdb.CopyOfRealm(t.Realm)
	value, mask, _ := rpdb.CopyPriority(table)
	return masked(meta{regWork, metaPriority}, host32(mask), host32(value))
}

// restored gives a packet of IPv6 that the rule has routed the priority back that it
// came with.
func restored(t rpdb.Translation) rule {
	table, _ := rpdb.CopyOfRealm(t.Realm)
	_, mask, _ := rpdb.CopyPriority(table)
	back := []expr{meta{regWork, metaPriority}, and(host32(^mask)), setMeta{regWork, metaPriority}}
	return rule{"restore", fmt.Sprintf("priority of realm %d", t.Realm), append(routedBy(t), back...)}
}

// selector is the way back from tie: it adds to t what the expressions match, and
// returns those behind. It need not be strict, since what it makes is expanded
// again and compared.
func (r rule) selector(t *rpdb.Translation) (rest []expr) {
	rest = r.exprs
	for len(rest) >= 2 {
		load, mask, n := rest[0], "", 1
		if b, ok := rest[1].(bitwise); ok && b.xor == zeros(len(b.xor)) && len(rest) > 2 {
			mask, n = b.mask, 2
		}
		x, ok := rest[n].(compare)
		if !ok {
			return rest
		}
		if mask == "" {
			mask = all1(len(x.data))
		}
		take(t, load, mask, x.data)
		rest = rest[n+1:]
	}
	return rest
}

// take adds one match to the translation.
func take(t *rpdb.Translation, load expr, mask, data string) {
	switch x := load.(type) {
	case rt:
		t.Realm = uint16(number(data))
	case meta:
		if x.key == metaPriority {
			table, _ := rpdb.CopyOfPriority(number(data))
			t.Realm, _ = rpdb.RealmOfCopy(table)
		}
	case payload:
		if l := layoutOf(t.Family); x.base == baseNetwork && x.off == l.source && x.len == l.length {
			t.From = blockOf(mask, data)
		}
	}
}

// blockOf returns the block of a mask and an address, the zero prefix if the mask
// is none of a block.
func blockOf(mask, data string) netip.Prefix {
	a, ok := netip.AddrFromSlice([]byte(data))
	if !ok {
		return netip.Prefix{}
	}
	for bits := range a.BitLen() + 1 {
		if mask == netMask(bits, len(data)) {
			return netip.PrefixFrom(a, bits)
		}
	}
	return netip.Prefix{}
}

func number(data string) uint32 {
	if len(data) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32([]byte(data))
}
