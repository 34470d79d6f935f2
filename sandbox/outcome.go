package sandbox

import (
	"net/netip"
	"slices"
	"time"

	"rpdb"
)

// Outcome is what became of a [Probe]. Whoever got it owns it.
//
// Not answered, no Errno and no Departures means that nothing came out of any
// interface: the question was dropped on its way in (rp_filter), a rule
// refused the answer, or the host asked for the hardware address of somebody
// who is not there, as it does for the whole Internet when a socket is bound
// to an interface that has no route.
type Outcome struct {
	Probe    Probe `json:"probe"` // prepared
	Answered bool  `json:"answered"`
	// Errno is how the host's own bind, connect or send failed; 0: it did not.
	Errno rpdb.Errno `json:"errno,omitzero"`
	// Departures says by which interfaces the host's packets left, in the
	// order of the [Spec]. Interfaces without any are left out.
	Departures []Departure `json:"departures"`
	// Source is the source address of the first of these packets; invalid if
	// there was none.
	Source netip.Addr `json:"source,omitzero"`
	// RTT is the time from the question to its answer, 0 without one. For TCP
	// it includes the handshake.
	RTT time.Duration `json:"rtt,omitzero"`
}

// Departure counts packets of one probe that left the host by one interface,
// as the gateway behind it saw them.
type Departure struct {
	// Uplink is the name of the uplink, or the interface's for an [Extra].
	Uplink string        `json:"uplink"`
	Link   rpdb.LinkName `json:"link"`
	// Legal packets have a source that the gateway passes on. Spoofed ones
	// have another, and are dropped by it.
	Legal   int `json:"legal"`
	Spoofed int `json:"spoofed"`
}

// Link returns the interface by which all packets left, "" if there was none
// or several.
func (o Outcome) Link() rpdb.LinkName {
	if len(o.Departures) != 1 {
		return ""
	}
	return o.Departures[0].Link
}

// Spoofed reports whether a gateway dropped a packet for its source.
func (o Outcome) Spoofed() bool {
	return slices.ContainsFunc(o.Departures, func(d Departure) bool { return d.Spoofed > 0 })
}
