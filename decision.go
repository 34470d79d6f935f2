package rpdb

import (
	"fmt"
	"net/netip"
	"slices"
)

// Errno is a Linux error number as a lookup returns it, independent of the
// operating system this runs on. Zero is success.
type Errno uint16

// The errors that routing decisions end in.
const (
	EPERM         Errno = 1
	ENODEV        Errno = 19
	EACCES        Errno = 13
	EINVAL        Errno = 22
	EEXIST        Errno = 17
	ENOENT        Errno = 2
	ENETDOWN      Errno = 100
	ENETUNREACH   Errno = 101
	EHOSTUNREACH  Errno = 113
	EXDEV         Errno = 18
	EADDRNOTAVAIL Errno = 99
)

var errnoWords = wordTable[Errno]{kind: "errno", words: []wordOf[Errno]{
	{0, ""},
	{EPERM, "EPERM"},
	{ENODEV, "ENODEV"},
	{EACCES, "EACCES"},
	{EINVAL, "EINVAL"},
	{EEXIST, "EEXIST"},
	{ENOENT, "ENOENT"},
	{ENETDOWN, "ENETDOWN"},
	{ENETUNREACH, "ENETUNREACH"},
	{EHOSTUNREACH, "EHOSTUNREACH"},
	{EXDEV, "EXDEV"},
	{EADDRNOTAVAIL, "EADDRNOTAVAIL"},
}}

// String returns the symbol of errno(3), or the number.
func (e Errno) String() string { return errnoWords.word(e) }

// MarshalText writes the symbol of errno(3), or the number.
func (e Errno) MarshalText() ([]byte, error) { return errnoWords.marshal(e) }

// UnmarshalText reads what MarshalText writes.
func (e *Errno) UnmarshalText(text []byte) error { return errnoWords.unmarshal(text, e) }

// Disposition is what becomes of a packet. The zero value is unknown: the
// snapshot does not hold what the answer depends on.
type Disposition uint8

// Sent packets leave by an interface; local ones are delivered here. The
// others do not arrive.
const (
	DispositionUnknown Disposition = iota
	Sent                           // leaves by Decision.Link, to Decision.Via if valid
	Local                          // delivered on this host
	Refused                        // no route, or a rule or route that denies; Decision.Errno says which error
	Martian                        // dropped before or after the lookup: bad source, reverse-path check, forwarding off
)

var dispositionWords = wordTable[Disposition]{kind: "disposition", words: []wordOf[Disposition]{
	{DispositionUnknown, "unknown"}, {Sent, "sent"}, {Local, "local"}, {Refused, "refused"}, {Martian, "martian"},
}}

// String returns the word.
func (d Disposition) String() string { return dispositionWords.word(d) }

// MarshalText writes the word.
func (d Disposition) MarshalText() ([]byte, error) { return dispositionWords.marshal(d) }

// UnmarshalText reads what MarshalText writes.
func (d *Disposition) UnmarshalText(text []byte) error { return dispositionWords.unmarshal(text, d) }

// Delivered reports whether the packet goes somewhere: out or to this host.
func (d Disposition) Delivered() bool { return d == Sent || d == Local }

// Hop is one way a packet may leave: interface and gateway.
type Hop struct {
	Link LinkName   `json:"link,omitzero"`
	Via  netip.Addr `json:"via,omitzero"` // invalid: the destination is on the link
}

// Decision is the answer for one flow, made by the engine or by the kernel
// (RTM_GETROUTE). The zero Decision is unknown. Where the kernel's choice
// depends on something outside the snapshot, Either lists all it may choose
// from and the embedded Hop is one of them.
type Decision struct {
	Disposition Disposition `json:"disposition"`
	// Table is the table that answered, 0 if none did: an error, or the
	// on-link fallback of a bound IPv4 socket.
	Table TableID   `json:"table,omitzero"`
	Type  RouteType `json:"type,omitzero"` // of the route that answered
	// Prefix is the destination of that route; the kernel's own answer does
	// not tell it.
	Prefix netip.Prefix `json:"prefix,omitzero"`
	Hop
	// Src is the source that the packet carries, invalid if unknown.
	Src   netip.Addr `json:"src,omitzero"`
	Errno Errno      `json:"errno,omitzero"` // for a local sender
	ICMP  ICMPError  `json:"icmp,omitzero"`  // for the sender of a forwarded packet
	// Realms are those that the packet gets; in IPv6, which has none, that of the
	// copy whose program the route carries ([CopyProgram]).
	Realms Realms `json:"realms,omitzero"`
	Either []Hop  `json:"either,omitempty"`
	// Rule is the priority of the rule that decided; absent where no rule
	// did, and in the kernel's own answer, which does not tell it.
	Rule Opt[Priority] `json:"rule,omitzero"`
	// Note says in a clause why the packet is dropped, why the answer is
	// unknown, or what the answer depends on; empty when there is nothing to
	// add.
	Note string `json:"note,omitzero"`
}

// ICMPError is the type and code of an ICMP or ICMPv6 error; the zero value is
// none, a silent drop.
type ICMPError struct {
	Type uint8 `json:"type"`
	Code uint8 `json:"code"`
}

// String returns "type/code" as in "3/13", and "" for none.
func (e ICMPError) String() string {
	if e == (ICMPError{}) {
		return ""
	}
	return fmt.Sprintf("%d/%d", e.Type, e.Code)
}

// Agrees reports whether the kernel's answer k is one that d allows. Only what
// both can say is compared: disposition, table, type, error, interface,
// gateway and source. An unknown decision agrees with everything.
func (d Decision) Agrees(k Decision) bool {
	switch {
	case d.Disposition == DispositionUnknown || k.Disposition == DispositionUnknown:
		return true
	case d.Disposition.Delivered() != k.Disposition.Delivered():
		return false
	case !d.Disposition.Delivered():
		return d.Errno == k.Errno
	}
	if d.Disposition != k.Disposition || d.Type != k.Type || d.Table != k.Table {
		return false
	}
	if len(d.Either) > 0 {
		return slices.Contains(d.Either, k.Hop)
	}
	sameSrc := d.Src == k.Src || !d.Src.IsValid() || !k.Src.IsValid()
	return d.Hop == k.Hop && sameSrc
}
