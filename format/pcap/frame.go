package pcap

import (
	"encoding/binary"
	"fmt"

	"rpdb"
)

// Direction says on which way a packet was when it was captured. The zero value
// is unknown.
type Direction uint8

// Incoming packets came in by the interface, outgoing ones left by it. Foreign
// ones are for the address of another host, and the kernel drops them before it
// asks for a route.
const (
	DirectionUnknown Direction = iota
	Incoming
	Outgoing
	Foreign
)

// EtherType says what a frame carries (IEEE 802 numbers).
type EtherType uint16

// The types of IP packets and of tags.
const (
	EtherIPv4    EtherType = 0x0800
	EtherIPv6    EtherType = 0x86dd
	etherVLAN    EtherType = 0x8100
	etherQinQ    EtherType = 0x88a8
	etherQinQOld EtherType = 0x9100 // of older switches
)

// name returns the name of a type, "" for one without.
func (t EtherType) name() string {
	switch t {
	case EtherIPv4:
		return "IPv4"
	case EtherIPv6:
		return "IPv6"
	case 0x0806:
		return "ARP"
	case 0x8035:
		return "RARP"
	case 0x8847:
		return "MPLS"
	case 0x8848:
		return "MPLS multicast"
	case 0x8863:
		return "PPPoE discovery"
	case 0x8864:
		return "PPPoE session"
	case 0x888e:
		return "EAPOL"
	case 0x88cc:
		return "LLDP"
	case 0x88e5:
		return "MACsec"
	case 0x88f7:
		return "PTP"
	case 0x8902:
		return "CFM"
	case 0x9000:
		return "loopback test"
	case etherVLAN, etherQinQ, etherQinQOld:
		return "VLAN tag"
	case 0x4305:
		return "batman-adv"
	}
	return ""
}

// String returns the name, or "ethertype 0x1234" for one without.
func (t EtherType) String() string {
	if name := t.name(); name != "" {
		return name
	}
	switch {
	case t == 0:
		return "no network packet"
	case t < 0x600: // a length: IEEE 802.3
		return "802.2"
	}
	return fmt.Sprintf("ethertype 0x%04x", uint16(t))
}

// Frame is a packet without its link layer.
type Frame struct {
	Direction Direction
	// Index is the interface, where the frame tells it (Linux cooked v2); 0 if
	// not. It is a number of the host, and of the time, of the capture.
	Index rpdb.LinkIndex
	// VLANs are the tags, the outer first; 0 for none and for a tag that only
	// carries a priority.
	VLANs [2]uint16
	// Type says what Payload is.
	Type EtherType
	// Payload is what was kept of the inner packet and of any padding after
	// it. It shares memory with [Packet.Data].
	Payload []byte
	// Length is the number of bytes that Payload had before the capture cut
	// it.
	Length int
}

// Frame takes off the link layer. Not ok: the capture kept too little even of
// that.
func (p Packet) Frame() (f Frame, ok bool) {
	f = Frame{Direction: p.Direction, Payload: p.Data, Length: p.Length}
	switch p.Link {
	case LinkEthernet:
		if b := f.take(14); b != nil {
			f.Type, ok = etherTypeAt(b[12:]), true
		}
	case LinkSLL:
		if b := f.take(16); b != nil {
			f.cooked(etherTypeAt(b[14:]), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b))
			ok = true
		}
	case LinkSLL2:
		if b := f.take(20); b != nil {
			f.Index = rpdb.LinkIndex(binary.BigEndian.Uint32(b[4:]))
			f.cooked(etherTypeAt(b), binary.BigEndian.Uint16(b[8:]), uint16(b[10]))
			ok = true
		}
	case LinkNull, LinkLoop:
		ok = f.take(4) != nil
		f.Type = versionType(f.Payload)
	case LinkIPv4:
		f.Type, ok = EtherIPv4, true
	case LinkIPv6:
		f.Type, ok = EtherIPv6, true
	case LinkRaw, linkRawOld:
		f.Type, ok = versionType(f.Payload), len(f.Payload) > 0
	}
	return f, ok && f.takeTags()
}

// take removes a header of n bytes from the payload and returns it, nil if it
// is not all there.
func (f *Frame) take(n int) []byte {
	if len(f.Payload) < n {
		return nil
	}
	b := f.Payload[:n]
	f.Payload, f.Length = f.Payload[n:], f.Length-n
	return b
}

func etherTypeAt(b []byte) EtherType { return EtherType(binary.BigEndian.Uint16(b)) }

// arpNetlink is the hardware type of captures of netlink messages, whose
// protocol number is none of Ethernet.
const arpNetlink = 824

// cooked reads the fields of a header that Linux writes for every kind of
// interface (LINUX_SLL): the kind of packet is PACKET_* of packet(7).
func (f *Frame) cooked(t EtherType, hardware, kind uint16) {
	f.Type = t
	if hardware == arpNetlink {
		f.Type = 0
	}
	switch kind {
	case 0, 1, 2: // to us, to all, to a group
		f.Direction = Incoming
	case 3:
		f.Direction = Foreign
	case 4:
		f.Direction = Outgoing
	}
}

// takeTags removes up to two VLAN tags.
func (f *Frame) takeTags() bool {
	outer := 0
	for range 2 {
		if f.Type != etherVLAN && f.Type != etherQinQ && f.Type != etherQinQOld {
			break
		}
		b := f.take(4)
		if b == nil {
			return false
		}
		if id := binary.BigEndian.Uint16(b) & 0xfff; id != 0 {
			f.VLANs[outer] = id
			outer++
		}
		f.Type = etherTypeAt(b[2:])
	}
	return true
}

// versionType tells the type of a packet from its first byte, where there is no
// header that says it, or one that every system writes in another way.
func versionType(b []byte) EtherType {
	if len(b) == 0 {
		return 0
	}
	switch b[0] >> 4 {
	case 4:
		return EtherIPv4
	case 6:
		return EtherIPv6
	}
	return 0
}
