package rpdb

import "net/netip"

// SocketCall says how a local flow reaches the routing code, which decides
// how often the RPDB is asked and how hard a bound interface binds.
type SocketCall uint8

// RouteGet is the zero value: one lookup, as RTM_GETROUTE makes it. SendTo is
// a datagram from an unconnected socket: one lookup, and in IPv6 a bound
// interface binds strictly. Connect is connect(2): IPv4 asks again with the
// source that the first answer picked.
const (
	RouteGet SocketCall = 0
	SendTo   SocketCall = 1
	Connect  SocketCall = 2
)

var socketCallWords = wordTable[SocketCall]{kind: "socket call", words: []wordOf[SocketCall]{
	{RouteGet, "route-get"}, {SendTo, "sendto"}, {Connect, "connect"},
}}

// String returns "route-get", "sendto" or "connect".
func (c SocketCall) String() string { return socketCallWords.word(c) }

// MarshalText writes the word.
func (c SocketCall) MarshalText() ([]byte, error) { return socketCallWords.marshal(c) }

// UnmarshalText reads what MarshalText writes.
func (c *SocketCall) UnmarshalText(text []byte) error { return socketCallWords.unmarshal(text, c) }

// Flow is what the kernel knows of a packet when it asks the RPDB (struct
// flowi4, flowi6). Dst decides the family and must be valid; the zero value of
// every other field is what a plain local packet has: no source yet, no mark,
// user 0, no ports. It is comparable.
type Flow struct {
	Dst netip.Addr `json:"dst"`
	// Src is the source, invalid if the sender left the choice to the kernel.
	Src netip.Addr `json:"src,omitzero"`
	// IIF is the interface that the packet came in by. Empty or "lo": the
	// packet is generated here.
	IIF LinkName `json:"iif,omitzero"`
	// OIF is the interface that the sender is bound to; empty: none.
	OIF     LinkName `json:"oif,omitzero"`
	Mark    uint32   `json:"mark,omitzero"`
	UID     uint32   `json:"uid,omitzero"`
	TOS     uint8    `json:"tos,omitzero"` // the full DS field with ECN
	IPProto IPProto  `json:"ipproto,omitzero"`
	SPort   uint16   `json:"sport,omitzero"`
	DPort   uint16   `json:"dport,omitzero"`
	// FlowLabel is the 20-bit label of an IPv6 packet.
	FlowLabel uint32     `json:"flowlabel,omitzero"`
	TunID     uint64     `json:"tun_id,omitzero"`
	Socket    SocketCall `json:"socket,omitzero"`
}

// Family returns the family of the destination.
func (f Flow) Family() Family { return FamilyOf(f.Dst) }

// IsInput reports whether the packet came in by an interface, and so is to be
// forwarded or delivered, rather than generated here.
func (f Flow) IsInput() bool { return f.IIF != "" && f.IIF != "lo" }
