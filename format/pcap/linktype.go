package pcap

import "fmt"

// LinkType says what the bytes of a captured packet begin with: a number of
// the registry of link-layer header types (LINKTYPE_*, tcpdump.org). The zero
// value is the loopback encapsulation of BSD.
type LinkType uint16

// The link types that [Packet.Frame] reads. Writers of old files gave raw IP
// packets the number 12.
const (
	LinkNull     LinkType = 0   // four bytes of address family, in the order of the host
	LinkEthernet LinkType = 1   // Ethernet
	linkRawOld   LinkType = 12  // as LinkRaw
	LinkRaw      LinkType = 101 // an IP packet of either family
	LinkLoop     LinkType = 108 // four bytes of address family, in network order
	LinkSLL      LinkType = 113 // "cooked" packets of Linux, with direction
	LinkIPv4     LinkType = 228 // an IPv4 packet
	LinkIPv6     LinkType = 229 // an IPv6 packet
	LinkSLL2     LinkType = 276 // "cooked" packets of Linux, with direction and interface
)

// name returns the name of a type, "" for one without.
func (t LinkType) name() string {
	switch t {
	case LinkNull:
		return "loopback of BSD"
	case LinkEthernet:
		return "Ethernet"
	case linkRawOld, LinkRaw:
		return "raw IP"
	case LinkLoop:
		return "loopback of OpenBSD"
	case LinkSLL:
		return "Linux cooked"
	case LinkIPv4:
		return "raw IPv4"
	case LinkIPv6:
		return "raw IPv6"
	case LinkSLL2:
		return "Linux cooked v2"
	case 6:
		return "Token Ring"
	case 9:
		return "PPP"
	case 50:
		return "PPP in HDLC"
	case 51:
		return "PPPoE"
	case 105:
		return "802.11"
	case 119:
		return "802.11 with Prism header"
	case 127:
		return "802.11 with radiotap header"
	case 163:
		return "802.11 with AVS header"
	case 189:
		return "USB"
	case 192:
		return "PPI"
	case 195:
		return "802.15.4"
	case 203:
		return "IPNET of Solaris"
	case 220:
		return "USB of Linux"
	case 227:
		return "CAN"
	case 239:
		return "netfilter log"
	case 253:
		return "netlink"
	}
	return ""
}

// String returns the number and, where it is known, the name: "105 (802.11)".
func (t LinkType) String() string {
	if name := t.name(); name != "" {
		return fmt.Sprintf("%d (%s)", uint16(t), name)
	}
	return fmt.Sprintf("%d", uint16(t))
}

// readable reports whether [Packet.Frame] reads the type.
func (t LinkType) readable() bool {
	switch t {
	case LinkNull, LinkEthernet, linkRawOld, LinkRaw, LinkLoop, LinkSLL, LinkIPv4, LinkIPv6, LinkSLL2:
		return true
	}
	return false
}

const readableTypes = "Ethernet, Linux cooked, raw IP and loopback captures can be read"
