package rpdb

import "net/netip"

// LinkIndex is the number of an interface in its namespace, from 1; 1 is the
// loopback interface. Zero is no interface.
type LinkIndex uint32

// LinkFlags are the flag bits of an interface (IFF_*, netdevice(7)).
type LinkFlags uint32

// The flags that routing looks at.
const (
	LinkUp       LinkFlags = 0x1     // set up by the administrator
	LinkLoopback LinkFlags = 0x8     // the loopback interface
	LinkP2P      LinkFlags = 0x10    // point to point
	LinkRunning  LinkFlags = 0x40    // operational
	LinkNoARP    LinkFlags = 0x80    // no neighbour resolution
	LinkLowerUp  LinkFlags = 0x10000 // has carrier
)

// Link is a network interface as policy routing sees it. It is comparable.
type Link struct {
	Index LinkIndex `json:"index"`
	Name  LinkName  `json:"name"`
	Flags LinkFlags `json:"flags,omitzero"`
	MTU   uint32    `json:"mtu,omitzero"` // bytes
	// Group is the interface group that suppress_ifgroup compares; 0 is the
	// default group.
	Group  uint32    `json:"group,omitzero"`
	Kind   string    `json:"kind,omitzero"`   // of virtual interfaces: "veth", "vrf", ...
	Master LinkIndex `json:"master,omitzero"` // bridge, bond or VRF it belongs to
	// VRFTable is the table of an interface that is a VRF; 0 for all others.
	VRFTable TableID `json:"vrf_table,omitzero"`
}

// IsUp reports whether the administrator set the interface up.
func (l Link) IsUp() bool { return l.Flags&LinkUp != 0 }

// HasCarrier reports whether the interface is up and has carrier.
func (l Link) HasCarrier() bool { return l.IsUp() && l.Flags&LinkLowerUp != 0 }

// IsLoopback reports whether the interface is the loopback interface.
func (l Link) IsLoopback() bool { return l.Flags&LinkLoopback != 0 }

// AddressFlags are the flag bits of an address (IFA_F_*).
type AddressFlags uint32

// The flags that decide whether an address can be used.
const (
	AddressSecondary  AddressFlags = 0x1  // IPv4: not the first of its prefix; IPv6: temporary
	AddressNoDAD      AddressFlags = 0x2  // not checked for duplicates
	AddressDADFailed  AddressFlags = 0x8  // a duplicate exists: not used
	AddressDeprecated AddressFlags = 0x20 // not chosen for new flows
	AddressTentative  AddressFlags = 0x40 // still being checked for duplicates: not usable yet
	AddressPermanent  AddressFlags = 0x80 // without a life time
)

// Address is an address of an interface. It is comparable.
type Address struct {
	Link LinkIndex `json:"link"`
	// Prefix is the address with the length of the connected network; host
	// bits are the point of it.
	Prefix netip.Prefix `json:"prefix"`
	// Peer is the other end of a point-to-point address; invalid: none.
	Peer  netip.Addr   `json:"peer,omitzero"`
	Scope Scope        `json:"scope,omitzero"`
	Flags AddressFlags `json:"flags,omitzero"`
	// Preferred is the time in seconds for which new flows may choose the
	// address, and Valid the time it has left; 0 stands for no end.
	Preferred uint32 `json:"preferred,omitzero"`
	Valid     uint32 `json:"valid,omitzero"`
}

// Usable reports whether packets may carry the address: duplicate address
// detection has ended, and well.
func (a Address) Usable() bool { return a.Flags&(AddressTentative|AddressDADFailed) == 0 }

// NeighbourState is the state of a neighbour entry (NUD_*). Zero is none.
type NeighbourState uint16

// The states of ip-neighbour(8).
const (
	NeighbourIncomplete NeighbourState = 0x01
	NeighbourReachable  NeighbourState = 0x02
	NeighbourStale      NeighbourState = 0x04
	NeighbourDelay      NeighbourState = 0x08
	NeighbourProbe      NeighbourState = 0x10
	NeighbourFailed     NeighbourState = 0x20
	NeighbourNoARP      NeighbourState = 0x40
	NeighbourPermanent  NeighbourState = 0x80
)

// Valid reports whether packets can be sent by the entry now.
func (s NeighbourState) Valid() bool {
	return s&(NeighbourPermanent|NeighbourNoARP|NeighbourReachable|NeighbourProbe|NeighbourStale|NeighbourDelay) != 0
}

// Neighbour is an entry of the ARP or neighbour discovery table. It is
// comparable.
type Neighbour struct {
	Link  LinkIndex      `json:"link"`
	Addr  netip.Addr     `json:"addr"`
	State NeighbourState `json:"state,omitzero"`
}
