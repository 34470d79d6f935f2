package answers

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/fib"
)

// Options adjust the question. The zero value asks about destinations of its
// own choice.
type Options struct {
	// To4 and To6 are the outside destinations that answers go to; invalid: an
	// address that no route but a default covers is picked.
	To4, To6 netip.Addr
}

// Verdict says what is to be thought of the way that answers take.
type Verdict uint8

// The verdicts. Unknown is the zero value: the way depends on what the
// snapshot does not hold.
const (
	Unknown   Verdict = iota
	OK                // by the address's own link, or its own network
	Inside            // the address is not one for the outside
	NotInUse          // the link is down or without carrier, or the address is not usable yet
	NoRoute           // there is none
	Denied            // a rule or route drops them
	Tunnel            // by a tunnel that takes all traffic
	WrongDoor         // by another uplink
)

func verdictWords() []string {
	return []string{"unknown", "ok", "inside", "not in use", "no route", "denied", "tunnel", "wrong door"}
}

// String returns the verdict in lower case words.
func (v Verdict) String() string {
	if words := verdictWords(); int(v) < len(words) {
		return words[v]
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// MarshalText writes the words.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (v *Verdict) UnmarshalText(text []byte) error {
	i := slices.Index(verdictWords(), string(text))
	if i < 0 {
		return fmt.Errorf("parse verdict %q: unknown words", text)
	}
	*v = Verdict(i)
	return nil
}

// Door is the way by which answers from one address leave the host.
type Door struct {
	Address rpdb.Address `json:"address"`
	Link    rpdb.Link    `json:"link"` // that the address belongs to
	// To is the outside destination, and Decision the engine's answer for it.
	// The zero Decision goes with the verdict NotInUse.
	To       netip.Addr    `json:"to"`
	Decision rpdb.Decision `json:"decision"`
	Verdict  Verdict       `json:"verdict"`
	// Rule is the rule that decided, nil if none did.
	Rule *rpdb.Rule `json:"rule,omitempty"`
	// Message is a clause such as "answers leave by eth0 via 192.168.0.1",
	// and Reason what explains the verdict, "" for OK. Both are ASCII and safe
	// to print.
	Message string `json:"message"`
	Reason  string `json:"reason,omitzero"`

	vrf rpdb.LinkName // that the link belongs to
}

// Family returns the family of the door's address.
func (d Door) Family() rpdb.Family { return rpdb.FamilyOf(d.Address.Prefix.Addr()) }

// flow returns the flow of an answer. Sockets of a VRF are bound to it.
func (d Door) flow() rpdb.Flow {
	return rpdb.Flow{Dst: d.To, Src: d.Address.Prefix.Addr(), OIF: d.vrf}
}

// Doors returns the doors of all unicast addresses that the outside may know:
// not those of the loopback interface, and not those of link or host scope.
// IPv4 comes before IPv6, then the links stand in the order of their indexes,
// and the addresses of a link in that of the snapshot. The FIB must have been
// compiled from the snapshot.
func Doors(s *rpdb.Snapshot, f *fib.FIB, o Options) []Door {
	links := slices.Clone(s.Links)
	slices.SortStableFunc(links, func(a, b rpdb.Link) int { return int(a.Index) - int(b.Index) })
	var doors []Door
	for _, family := range rpdb.Families() {
		j := newJudge(s, f, family, o)
		for _, l := range links {
			if l.IsLoopback() {
				continue
			}
			for _, a := range s.AddressesOf(family, l.Index) {
				if isPublic(a) {
					doors = append(doors, j.door(a, l))
				}
			}
		}
	}
	return doors
}

// isPublic reports whether answers from an address may go further than its
// link.
func isPublic(a rpdb.Address) bool {
	ip := a.Prefix.Addr()
	return ip.IsGlobalUnicast() && (a.Scope == rpdb.ScopeGlobal || a.Scope == rpdb.ScopeSite)
}
