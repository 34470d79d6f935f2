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

var linkTypeNames = map[LinkType]string{
	LinkNull: "loopback of BSD", LinkEthernet: "Ethernet", linkRawOld: "raw IP", LinkRaw: "raw IP", LinkLoop: "loopback of OpenBSD",
	LinkSLL: "Linux cooked", LinkIPv4: "raw IPv4", LinkIPv6: "raw IPv6", LinkSLL2: "Linux cooked v2",
	6: "Token Ring", 9: "PPP", 50: "PPP in HDLC", 51: "PPPoE", 105: "802.11", 119: "802.11 with Prism header", 127: "802.11 with radiotap header",
	163: "802.11 with AVS header", 189: "USB", 192: "PPI", 195: "802.15.4", 203: "IPNET of Solaris", 220: "USB of Linux", 227: "CAN",
	239: "netfilter log", 253: "netlink",
}

// String returns the number and, where it is known, the name: "105 (802.11)".
func (t LinkType) String() string {
	if name, ok := linkTypeNames[t]; ok {
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
