package pcap

import (
	"encoding/binary"
	"net/netip"

	"rpdb"
)

// IP is what the routing code can see of a packet. It is comparable; the zero
// value is not a packet.
type IP struct {
	Src, Dst netip.Addr
	TOS      uint8 // the full DS field with ECN
	// TTL is the time to live, or the hop limit.
	TTL uint8
	// FlowLabel is the label of an IPv6 packet.
	FlowLabel uint32
	// NextHeader is the protocol in the fixed header.
	NextHeader rpdb.IPProto
	// Protocol is the one that the kernel's flow dissector ends at: the same in
	// IPv4; in IPv6 what follows the hop-by-hop, routing and destination
	// options and the fragment header.
	Protocol rpdb.IPProto
	// Fragment is any fragment, the first included; Later one that is not the
	// first.
	Fragment, Later bool
	// SPort and DPort are what the dissector takes for ports: those of TCP,
	// UDP, UDP-Lite, SCTP and DCCP, and the two halves of the SPI of ESP and
	// AH. They are also read from a first fragment, for which the kernel does
	// not look for them.
	SPort, DPort uint16
	// Type and Code are those of an ICMP or ICMPv6 message.
	Type, Code uint8
	// Cut says that the capture kept too little to tell the protocol, the
	// ports or the type, which are then 0.
	Cut bool
}

// HeaderError says why the kernel, or this package, can do nothing with a
// packet: one of the constants of this type.
type HeaderError string

// The reasons for which there is no flow.
const (
	ErrNotIP   HeaderError = "not an IP packet"
	ErrCut     HeaderError = "the capture cut the packet within its IP header"
	ErrDamaged HeaderError = "the IP header is damaged, and the kernel drops the packet"
)

// Error returns the reason.
func (e HeaderError) Error() string { return string(e) }

// IP reads the headers of the packet in a frame, as far as the kernel dissects
// them for the rules (fib4_rules_early_flow_dissect). The error is a
// [HeaderError].
func (f Frame) IP() (IP, error) {
	b := f.Payload
	switch {
	case f.Type != EtherIPv4 && f.Type != EtherIPv6:
		return IP{}, ErrNotIP
	case len(b) == 0:
		return IP{}, ErrCut
	}
	switch version := b[0] >> 4; {
	case version == 4 && f.Type == EtherIPv4:
		return ip4(b, f.Length)
	case version == 6 && f.Type == EtherIPv6:
		return ip6(b, f.Length)
	}
	return IP{}, ErrDamaged
}

// ip4 reads an IPv4 packet of which b was kept and that, with padding, had wire
// bytes.
func ip4(b []byte, wire int) (IP, error) {
	if len(b) < 20 {
		return IP{}, short(wire, 20)
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 { // a packet for the card to cut into segments, of 64 KiB or more
		total = wire
	}
	if header < 20 || total < header || wire < total {
		return IP{}, ErrDamaged
	}
	if len(b) < header {
		return IP{}, ErrCut
	}
	flags := binary.BigEndian.Uint16(b[6:])
	ip := IP{
		Src: netip.AddrFrom4([4]byte(b[12:16])), Dst: netip.AddrFrom4([4]byte(b[16:20])),
		TOS: b[1], TTL: b[8], NextHeader: rpdb.IPProto(b[9]), Protocol: rpdb.IPProto(b[9]),
		Fragment: flags&0x3fff != 0, // all but "don't fragment"
		Later:    flags&0x1fff != 0,
	}
	ip.transport(rest{b[header:min(len(b), total)], total - header})
	return ip, nil
}

// short says why a header is not there.
func short(wire, need int) error {
	if wire < need {
		return ErrDamaged
	}
	return ErrCut
}

// rest is the part of a packet that is not read yet.
type rest struct {
	kept []byte
	wire int // bytes that it had
}

// need returns the first n bytes. If they are not there, cut says whether it is
// the capture that lacks them, or the packet.
func (r rest) need(n int) (b []byte, cut bool) {
	if len(r.kept) >= n {
		return r.kept[:n], false
	}
	return nil, r.wire >= n
}

func (r *rest) drop(n int) {
	r.kept, r.wire = r.kept[min(n, len(r.kept)):], max(0, r.wire-n)
}

// The extension headers that the dissector steps over.
const (
	extHopByHop = 0
	extRouting  = 43
	extFragment = 44
	extOptions  = 60
)

// ip6 is ip4 for IPv6.
func ip6(b []byte, wire int) (IP, error) {
	if len(b) < 40 {
		return IP{}, short(wire, 40)
	}
	first, length := binary.BigEndian.Uint32(b), int(binary.BigEndian.Uint16(b[4:]))
	if length == 0 { // a jumbo packet, or one for the card to cut
		length = wire - 40
	}
	if wire < 40+length {
		return IP{}, ErrDamaged
	}
	ip := IP{
		Src: netip.AddrFrom16([16]byte(b[8:24])), Dst: netip.AddrFrom16([16]byte(b[24:40])),
		TOS: uint8(first >> 20), TTL: b[7], FlowLabel: first & 0xfffff,
		NextHeader: rpdb.IPProto(b[6]), Protocol: rpdb.IPProto(b[6]),
	}
	r := rest{b[40:min(len(b), 40+length)], length}
	if ip.extensions(&r) {
		ip.transport(r)
	}
	return ip, nil
}

// maxExtensions is how many headers the dissector steps through
// (MAX_FLOW_DISSECT_HDRS).
const maxExtensions = 15

// extensions steps over extension headers. It reports whether a transport
// header may follow.
func (ip *IP) extensions(r *rest) bool {
	for range maxExtensions {
		switch ip.Protocol {
		case extHopByHop, extRouting, extOptions, extFragment:
		default:
			return true
		}
		size := 2 // the dissector reads no more of options
		if ip.Protocol == extFragment {
			size = 8
		}
		b, cut := r.need(size)
		if b == nil {
			ip.Cut = cut
			return false
		}
		fragment := ip.Protocol == extFragment
		ip.Protocol = rpdb.IPProto(b[0])
		if fragment {
			ip.Fragment, ip.Later = true, binary.BigEndian.Uint16(b[2:])&0xfff8 != 0
			r.drop(size)
			return !ip.Later
		}
		r.drop((int(b[1]) + 1) * 8)
	}
	return false
}

// The protocols that the dissector finds ports in, beside TCP and UDP.
const (
	dccp    = 33
	esp     = 50
	ah      = 51
	sctp    = 132
	udpLite = 136
)

// transport reads what stands at the head of the transport protocol.
func (ip *IP) transport(r rest) {
	if ip.Later {
		return
	}
	at, size := 0, 4
	switch ip.Protocol {
	case rpdb.TCP, rpdb.UDP, dccp, esp, sctp, udpLite:
	case ah:
		at, size = 4, 8
	case rpdb.ICMP, rpdb.ICMPv6:
		size = 2
	default:
		return
	}
	b, cut := r.need(size)
	switch {
	case b == nil:
		ip.Cut = cut
	case size == 2:
		ip.Type, ip.Code = b[0], b[1]
	default:
		ip.SPort, ip.DPort = binary.BigEndian.Uint16(b[at:]), binary.BigEndian.Uint16(b[at+2:])
	}
}

// IsICMPError reports whether the packet is an ICMP or ICMPv6 error, which
// quotes the packet that it is about. Among several nexthops the kernel may send
// it the way of that packet.
func (ip IP) IsICMPError() bool {
	switch {
	case ip.Later:
		return false
	case ip.Protocol == rpdb.ICMP:
		return ip.Type >= 3 && ip.Type <= 5 || ip.Type == 11 || ip.Type == 12
	case ip.Protocol == rpdb.ICMPv6:
		return ip.Type >= 1 && ip.Type <= 4
	}
	return false
}

// Input returns the flow of the packet coming in by an interface. Fragments
// have no ports there, the first included, and ICMP messages have none. The
// mark, which no packet carries, is 0.
func (ip IP) Input(iif rpdb.LinkName) rpdb.Flow {
	f := rpdb.Flow{Dst: ip.Dst, Src: ip.Src, IIF: iif, TOS: ip.TOS, IPProto: ip.Protocol, FlowLabel: ip.FlowLabel}
	if !ip.Fragment {
		f.SPort, f.DPort = ip.SPort, ip.DPort
	}
	return f
}

// Output returns the flow of the packet as the kernel sought a route for it when
// this host sent it, from a socket bound to the source. Of a datagram sent in
// fragments it is that of the first; the others had no lookup of their own. The
// type and code of an ICMP message stand in the place of the destination port.
// The flow label is 0: the kernel mostly makes one up after the lookup. Mark and
// user, which no packet carries, are 0.
func (ip IP) Output() rpdb.Flow {
	f := rpdb.Flow{Dst: ip.Dst, Src: ip.Src, TOS: ip.TOS, IPProto: ip.Protocol, SPort: ip.SPort, DPort: ip.DPort}
	switch ip.Protocol {
	case rpdb.ICMP, rpdb.ICMPv6:
		f.DPort = uint16(ip.Type)<<8 | uint16(ip.Code)
	case esp, ah:
		f.SPort, f.DPort = 0, 0
	}
	return f
}
