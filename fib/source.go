package fib

import (
	"net/netip"
	"strconv"

	"rpdb"
)

// SourceBy is how the source of a packet of this host is chosen. The zero value
// is that there is none, or that it cannot be told.
type SourceBy uint8

// The ways, with the kernel's function where there is one.
const (
	SourceNone        SourceBy = iota
	SourceGiven                // the sender gave it
	SourceRoute                // "src" of the route (fib_result_prefsrc)
	SourceNetwork              // the address of the interface whose network holds the gateway (inet_select_addr)
	SourcePrimary              // the first primary address of the interface (inet_select_addr)
	SourceVRF                  // the first address of the VRF
	SourceOther                // the first address of another interface: the one that sends has none
	SourceDestination          // the destination itself, which is of this host
	SourceRules6               // the best by the rules of RFC 6724 (ipv6_dev_get_saddr)
)

// String returns a word for programs, such as "route".
func (b SourceBy) String() string {
	return [...]string{"none", "given", "route", "network", "primary", "vrf", "other-interface", "destination", "rfc6724"}[min(b, SourceRules6)]
}

// MarshalText writes the word.
func (b SourceBy) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Source is the source that a packet of this host carries, and why that one.
type Source struct {
	Addr netip.Addr `json:"addr"`
	By   SourceBy   `json:"by"`
	// Link is the interface that has the address, "" if none has.
	Link rpdb.LinkName `json:"link,omitzero"`
	// Rivals are the other addresses that came into question, where IPv6 chose
	// by the rules of RFC 6724, in the kernel's order.
	Rivals []SourceRival `json:"rivals,omitempty"`
}

// SourceRival is an IPv6 address that was not chosen.
type SourceRival struct {
	Addr netip.Addr    `json:"addr"`
	Link rpdb.LinkName `json:"link"`
	// Rule is the rule of RFC 6724 by which the address chosen is better, 1 to
	// 8; 0 where it is none of them: Linux prefers native addresses to ORCHIDs,
	// and the first of equals.
	Rule int `json:"rule,omitzero"`
	// Why says in a clause what the rule wants.
	Why string `json:"why"`
}

// chosenBy is what was taken down of the choice of a source.
type chosenBy struct {
	fib *FIB
	by  SourceBy
	out *link
}

// Source returns how the source of the packet was chosen, and whether it was: it
// is not for packets that came in, and for those that are not sent.
func (l *LookupTrace) Source() (Source, bool) {
	addr := l.Decision.Src
	if l.source.by == SourceNone || !l.Decision.Disposition.Delivered() || !addr.IsValid() {
		return Source{}, false
	}
	s := Source{Addr: addr, By: l.source.by}
	if owner := l.source.fib.ownerOf(addr); owner != nil {
		s.Link = owner.Name
	}
	if s.By == SourceRules6 {
		s.Rivals = l.source.rivals(l.Flow.Dst, addr)
	}
	return s, true
}

// ownerOf returns the interface that an address is assigned to, nil if there is
// none.
func (f *FIB) ownerOf(a netip.Addr) *link {
	if a.Is4() {
		for _, l := range f.links {
			for i := range l.addrs4 {
				if l.addrs4[i].Prefix.Addr() == a {
					return l
				}
			}
		}
		return nil
	}
	for i := range f.addrs6 {
		if f.addrs6[i].addr == a {
			return f.addrs6[i].link
		}
	}
	return nil
}

// rivals lists the addresses that were not chosen, each with the rule.
func (c *chosenBy) rivals(dst, chosen netip.Addr) []SourceRival {
	w := newWanted6(dst.WithZone(""), c.out)
	best := c.fib.chosen6(&w, chosen)
	if best == nil {
		return nil
	}
	var rivals []SourceRival
	for i := range c.fib.addrs6 {
		a := &c.fib.addrs6[i]
		if a == best || !w.admits(a) {
			continue
		}
		_, by := w.prefers(best, a)
		r := SourceRival{Addr: a.addr, Link: a.link.Name, Why: by.words()}
		if by <= ruleLongest {
			r.Rule = int(by)
		}
		rivals = append(rivals, r)
	}
	return rivals
}

// chosen6 returns the entry of the address that was chosen: one address may be
// on several interfaces.
func (f *FIB) chosen6(w *wanted6, chosen netip.Addr) *address6 {
	var best *address6
	for i := range f.addrs6 {
		a := &f.addrs6[i]
		if a.addr != chosen || !w.admits(a) {
			continue
		}
		if best == nil {
			best = a
		} else if better, _ := w.prefers(a, best); better {
			best = a
		}
	}
	return best
}

// words says what a rule wants of a source.
func (r sourceRule6) words() string {
	switch r {
	case ruleSame:
		return "the destination itself"
	case ruleScope:
		return "appropriate scope"
	case ruleDeprecated:
		return "not deprecated"
	case ruleInterface:
		return "on the outgoing interface"
	case ruleLabel:
		return "label of the destination"
	case ruleTemporary:
		return "temporary or public"
	case ruleLongest:
		return "longest matching prefix"
	case ruleOrchid:
		return "native, not ORCHID"
	}
	return "first of equals"
}

// String returns "rule 8, longest matching prefix", or the clause alone.
func (r SourceRival) String() string {
	if r.Rule == 0 {
		return r.Why
	}
	return "rule " + strconv.Itoa(r.Rule) + ", " + r.Why
}
