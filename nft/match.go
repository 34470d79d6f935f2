package nft

import (
	"encoding/binary"
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
	forwarded := []expr{meta{regWork, metaIIF}, compare{regWork, opNotEqual, host32(0)}}
	if t.Family == rpdb.IPv4 {
		return append(masked(rt{regWork, rtClassID}, host32(0xffff), host32(uint32(t.Realm))), forwarded...)
	}
	out := []expr{meta{regWork, metaOIFName}, compare{regWork, opEqual, linkBytes(t.Out)}}
	return append(append(forwarded, out...), selected(t.Match)...)
}

// selected matches what a selector of IPv6 selects.
func selected(s rpdb.Selector) []expr {
	var all []expr
	add := func(wanted bool, more ...expr) {
		if wanted {
			all = append(all, more...)
		}
	}
	network := func(off, length uint32) expr { return payload{reg: regWork, base: baseNetwork, off: off, len: length} }
	if s.To.IsValid() {
		all = append(all, inBlock(loadAddr(layoutOf(rpdb.IPv6), false), s.To)...)
	}
	dscp, hasDSCP := s.DSCP.Get()
	add(hasDSCP, masked(network(0, 2), net16(uint16(dscp.Mask)<<6), net16(uint16(dscp.Value)<<6))...)
	add(s.FlowLabel.Mask != 0, masked(network(0, 4), net32(s.FlowLabel.Mask), net32(s.FlowLabel.Value))...)
	add(s.Mark.Mask != 0, masked(meta{regWork, metaMark}, host32(s.Mark.Mask), host32(s.Mark.Value))...)
	add(s.IIF != "", meta{regWork, metaIIFName}, compare{regWork, opEqual, linkBytes(s.IIF)})
	add(s.IPProto != 0, meta{regWork, metaL4Proto}, compare{regWork, opEqual, string([]byte{byte(s.IPProto)})})
	add(s.SPort != rpdb.Ports{}, ports(0, s.SPort)...)
	add(s.DPort != rpdb.Ports{}, ports(2, s.DPort)...)
	return all
}

func ports(off uint32, p rpdb.Ports) []expr {
	load := payload{reg: regWork, base: baseTransport, off: off, len: 2}
	if p.Mask != 0 {
		return masked(load, net16(p.Mask), net16(p.First))
	}
	return []expr{load, between{regWork, opEqual, net16(p.First), net16(p.Last)}}
}

// linkBytes is a name as the kernel compares it, all of its room.
func linkBytes(name rpdb.LinkName) string {
	return string(append([]byte(name), make([]byte, 16-len(name))...))
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
		switch x := rest[n].(type) {
		case compare:
			if mask == "" {
				mask = all1(len(x.data))
			}
			take(t, load, mask, x.data)
		case between:
			takePorts(t, load, rpdb.PortRange(port(x.first), port(x.last)))
		default:
			return rest
		}
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
		takeMeta(t, x.key, mask, data)
	case payload:
		l := layoutOf(t.Family)
		switch {
		case x.base == baseTransport:
			takePorts(t, x, rpdb.Ports{First: port(data), Last: port(data), Mask: port(mask)})
		case x.off == l.source && x.len == l.length:
			t.From = blockOf(mask, data)
		case x.off == l.destination && x.len == l.length:
			t.Match.To = blockOf(mask, data)
		case x.off == 0 && x.len == 2:
			t.Match.DSCP = rpdb.Some(rpdb.DSCP{Value: uint8(port(data) >> 6), Mask: uint8(port(mask) >> 6)})
		case x.off == 0 && x.len == 4:
			t.Match.FlowLabel = rpdb.FlowLabel{Value: netNumber(data), Mask: netNumber(mask)}
		}
	}
}

func takeMeta(t *rpdb.Translation, key uint32, mask, data string) {
	switch key {
	case metaOIFName:
		t.Out = linkOf(data)
	case metaIIFName:
		t.Match.IIF = linkOf(data)
	case metaMark:
		t.Match.Mark = rpdb.Mark{Value: number(data), Mask: number(mask)}
	case metaL4Proto:
		if len(data) == 1 {
			t.Match.IPProto = rpdb.IPProto(data[0])
		}
	}
}

func takePorts(t *rpdb.Translation, load expr, p rpdb.Ports) {
	switch x, _ := load.(payload); x.off {
	case 0:
		t.Match.SPort = p
	case 2:
		t.Match.DPort = p
	}
}

func linkOf(data string) rpdb.LinkName {
	for i := range len(data) {
		if data[i] == 0 {
			return rpdb.LinkName(data[:i])
		}
	}
	return rpdb.LinkName(data)
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

func netNumber(data string) uint32 {
	if len(data) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32([]byte(data))
}

func port(data string) uint16 {
	if len(data) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16([]byte(data))
}
