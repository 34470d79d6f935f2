package sandbox

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"rpdb"
)

// Direction says who asks. The zero value is Outbound.
type Direction uint8

// Outbound probes are asked by the host and answered by the outside, inbound
// ones the other way round. What is observed is the host's packets in both: those
// that it sends, or with [Probe.Inside] those that it forwards.
const (
	Outbound Direction = 0
	Inbound  Direction = 1
)

// String returns "outbound" or "inbound".
func (d Direction) String() string {
	if d == Inbound {
		return "inbound"
	}
	return "outbound"
}

// MarshalText writes "outbound" or "inbound".
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Direction) UnmarshalText(text []byte) error {
	switch string(text) {
	case "outbound":
		*d = Outbound
	case "inbound":
		*d = Inbound
	default:
		return fmt.Errorf("parse direction %q: unknown word", text)
	}
	return nil
}

// defaultTimeout is how long an answer is waited for: hundreds of times what
// one takes in a namespace, and less than the first retransmission of TCP.
const defaultTimeout = 500 * time.Millisecond

// Probe is one question to a [World], asked in real packets: a TCP connection
// or a UDP datagram with a few bytes of data echoed, or an ICMP echo request.
// Fields that are zero are left to [World.Prepare], which says what they
// become. It is comparable, and can be sent any number of times.
type Probe struct {
	Direction Direction `json:"direction"`
	// Protocol is rpdb.TCP, rpdb.UDP or rpdb.ICMP; in IPv6 the last is the
	// same as rpdb.ICMPv6.
	Protocol rpdb.IPProto `json:"protocol"`
	// Family may be left out where Local or Remote tell it.
	Family rpdb.Family `json:"family,omitzero"`
	// Uplink is the name of the uplink by which an inbound question comes.
	Uplink string `json:"uplink,omitzero"`
	// Local is the address of the host: the one asked, which an inbound probe
	// must have, or the one that the host's socket is bound to. Invalid: not
	// bound.
	Local netip.Addr `json:"local,omitzero"`
	// Inside is the interface behind which an inside host is that asks or is asked
	// instead of this host, Local being an address of its blocks ([Extra.Inside]);
	// empty: none. Remote may be an address of another inside host then.
	Inside rpdb.LinkName `json:"inside,omitzero"`
	// Asked is the address that an inbound question to an inside host is sent to,
	// where this host maps it; invalid: Local.
	Asked netip.Addr `json:"asked,omitzero"`
	// Device is the interface that the host's socket is bound to
	// (SO_BINDTODEVICE); empty: none.
	Device rpdb.LinkName `json:"device,omitzero"`
	// Mark is the mark of the host's socket (SO_MARK), and TOS its DS field
	// (IP_TOS, IPV6_TCLASS). The kernel answers pings without a socket, and so
	// without either.
	Mark uint32 `json:"mark,omitzero"`
	TOS  uint8  `json:"tos,omitzero"`
	// UID is the owner of the host's socket; absent: who this process is. In a
	// user namespace there may be one id only, see [World.CanBe].
	UID rpdb.Opt[uint32] `json:"uid,omitzero"`
	// Remote is the address of the outside; invalid: its first one.
	Remote netip.Addr `json:"remote,omitzero"`
	// LocalPort is the port of the host, or the identifier of the echo
	// request, and RemotePort is the port of the outside; 0: one that no other
	// probe of this world has. Probes that share a port are sent one after
	// another.
	LocalPort  uint16 `json:"local_port,omitzero"`
	RemotePort uint16 `json:"remote_port,omitzero"`
	// Timeout is how long to wait for the answer; 0: half a second. Time in
	// which this process does not get to run counts only a little.
	Timeout time.Duration `json:"timeout,omitzero"`

	link rpdb.LinkName // of the uplink, in a prepared inbound probe
}

// noUID is the user id of the kernel's own packets in a user namespace that
// does not know root: no rule on user ids matches it.
const noUID = ^uint32(0)

// ICMP types in the place where a flow has its destination port (struct flowi4,
// fl4_icmp_type): the type is the high byte, the code the low one.
const (
	echoRequest4 = 8 << 8
	echoRequest6 = 128 << 8
	echoReply6   = 129 << 8
)

// Flow returns what the kernel asks the RPDB for the packet of the host, or of the
// inside host, as it is before any translation of its source: the
// question of an outbound probe or the answer of an inbound one. The probe
// must be prepared ([World.Prepare]), or the flow lacks what the world would
// have chosen.
func (p Probe) Flow() rpdb.Flow {
	if p.Inside != "" {
		return p.forwarded()
	}
	if p.Direction == Inbound && p.isEcho() {
		return p.echoReply()
	}
	uid, _ := p.UID.Get()
	flow := rpdb.Flow{
		Dst: p.Remote, Src: p.Local, OIF: p.Device, Mark: p.Mark, UID: uid, TOS: p.TOS,
		IPProto: p.Protocol, SPort: p.LocalPort, DPort: p.RemotePort, Socket: rpdb.SendTo,
	}
	switch p.Protocol {
	case rpdb.ICMP:
		flow.SPort, flow.DPort = 0, echoRequest4
	case rpdb.ICMPv6:
		flow.SPort, flow.DPort = 0, echoRequest6
	case rpdb.TCP:
		flow.Socket = rpdb.Connect
		if p.Direction == Inbound { // the SYN-ACK: one lookup, with the address asked as its source
			flow.Socket = rpdb.RouteGet
			if p.Family == rpdb.IPv6 { // inet6_csk_route_req leaves the traffic class out
				flow.TOS = 0
			}
		}
	}
	return flow
}

// forwarded is the flow of a packet of the inside host. Pings have no ports there.
func (p Probe) forwarded() rpdb.Flow {
	flow := rpdb.Flow{Dst: p.Remote, Src: p.Local, IIF: p.Inside, TOS: p.TOS, IPProto: p.Protocol}
	if !p.isEcho() {
		flow.SPort, flow.DPort = p.LocalPort, p.RemotePort
	}
	return flow
}

// Asks returns the address that the question of an inbound probe is sent to.
func (p Probe) Asks() netip.Addr {
	if p.Asked.IsValid() {
		return p.Asked
	}
	return p.Local
}

// echoReply is the flow of the kernel's answer to a ping (icmp_reply,
// icmpv6_echo_reply): no socket, and so no mark, and root as its user. IPv6
// asks for the interface by which the question came, without insisting.
func (p Probe) echoReply() rpdb.Flow {
	uid, _ := p.UID.Get()
	flow := rpdb.Flow{Dst: p.Remote, Src: p.Local, TOS: p.TOS, UID: uid, IPProto: p.Protocol}
	if p.Protocol == rpdb.ICMPv6 {
		flow.OIF, flow.DPort = p.link, echoReply6
	}
	return flow
}

// isEcho reports whether the probe is a ping.
func (p Probe) isEcho() bool { return p.Protocol == rpdb.ICMP || p.Protocol == rpdb.ICMPv6 }

// String describes the probe, as in "inbound TCP to 192.0.2.10 by isp-a" or
// "outbound UDP from 192.0.2.10 with mark 0x1". It is fit for a terminal
// whatever the names are.
func (p Probe) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", p.Direction, p.protocolName())
	switch {
	case p.Direction == Inbound:
		fmt.Fprintf(&b, " to %v by %s", p.Asks(), word(p.Uplink))
	case p.Local.IsValid():
		fmt.Fprintf(&b, " from %v", p.Local)
	default:
		fmt.Fprintf(&b, " (%v)", p.Family)
	}
	if p.Inside != "" {
		fmt.Fprintf(&b, " behind %s", word(string(p.Inside)))
	}
	if p.Device != "" {
		fmt.Fprintf(&b, " by device %s", word(string(p.Device)))
	}
	if p.Mark != 0 {
		fmt.Fprintf(&b, " with mark %#x", p.Mark)
	}
	if uid, _ := p.UID.Get(); uid != 0 && uid != noUID {
		fmt.Fprintf(&b, " as user %d", uid)
	}
	return b.String()
}

func (p Probe) protocolName() string {
	switch p.Protocol {
	case rpdb.TCP:
		return "TCP"
	case rpdb.UDP:
		return "UDP"
	}
	return "ping"
}

// word quotes a name that could be taken for something else.
func word(s string) string {
	if q := strconv.QuoteToASCII(s); s == "" || strings.ContainsRune(s, ' ') || len(q) != len(s)+2 {
		return q
	}
	return s
}
