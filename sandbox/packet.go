package sandbox

import (
	"encoding/binary"
	"net/netip"

	"rpdb"
)

// packet is what the gateways look at in a packet that the host sent.
type packet struct {
	src, dst netip.Addr
	protocol rpdb.IPProto
	// sport and dport are the ports of TCP and UDP. For a ping sport is the
	// identifier and dport is 0.
	sport, dport uint16
}

// parsePacket reads an IP packet from its first byte. It knows what probes
// send: TCP, UDP and echo messages, not fragmented, without IPv6 extension
// headers. Everything else is not ok.
func parsePacket(b []byte) (p packet, ok bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return parsePacket4(b)
	case len(b) >= 40 && b[0]>>4 == 6:
		p.src, p.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		p.protocol = rpdb.IPProto(b[6])
		return p, p.parseTransport(b[40:])
	}
	return packet{}, false
}

func parsePacket4(b []byte) (p packet, ok bool) {
	header := int(b[0]&0xf) * 4
	fragment := binary.BigEndian.Uint16(b[6:8]) & 0x3fff // all but "don't fragment"
	if header < 20 || len(b) < header || fragment != 0 {
		return packet{}, false
	}
	p.src, p.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.protocol = rpdb.IPProto(b[9])
	return p, p.parseTransport(b[header:])
}

// parseTransport reads the ports, or the identifier of an echo message.
func (p *packet) parseTransport(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	switch p.protocol {
	case rpdb.TCP, rpdb.UDP:
		p.sport, p.dport = binary.BigEndian.Uint16(b[0:2]), binary.BigEndian.Uint16(b[2:4])
		return true
	case rpdb.ICMP, rpdb.ICMPv6:
		m, ok := parseEcho(p.protocol, b)
		p.sport = m.id
		return ok
	}
	return false
}

// echo is an ICMP or ICMPv6 echo message.
type echo struct {
	request bool
	id      uint16
	data    []byte
}

// Types of the messages.
const (
	typeEchoReply4   = 0
	typeEchoRequest4 = 8
	typeEchoRequest6 = 128
	typeEchoReply6   = 129
)

// parseEcho reads an echo message from the first byte of its ICMP header.
func parseEcho(protocol rpdb.IPProto, b []byte) (m echo, ok bool) {
	if len(b) < 8 || b[1] != 0 {
		return echo{}, false
	}
	m = echo{id: binary.BigEndian.Uint16(b[4:6]), data: b[8:]}
	switch {
	case protocol == rpdb.ICMP && b[0] == typeEchoRequest4, protocol == rpdb.ICMPv6 && b[0] == typeEchoRequest6:
		m.request = true
		return m, true
	case protocol == rpdb.ICMP && b[0] == typeEchoReply4, protocol == rpdb.ICMPv6 && b[0] == typeEchoReply6:
		return m, true
	}
	return echo{}, false
}

// append writes the message with its sequence number 1. The kernel fills in
// the checksum of ICMPv6, which covers addresses that are not known here.
func (m echo) append(protocol rpdb.IPProto) []byte {
	b := make([]byte, 8, 8+len(m.data))
	switch {
	case protocol == rpdb.ICMPv6 && m.request:
		b[0] = typeEchoRequest6
	case protocol == rpdb.ICMPv6:
		b[0] = typeEchoReply6
	case m.request:
		b[0] = typeEchoRequest4
	}
	binary.BigEndian.PutUint16(b[4:], m.id)
	binary.BigEndian.PutUint16(b[6:], 1)
	b = append(b, m.data...)
	if protocol == rpdb.ICMP {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// checksum is the Internet checksum (RFC 1071) of a message whose checksum
// field is zero.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
