package cli

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
)

// translated is what our table of nftables does to a packet: a step that no
// rule decides about, and that only forwarded packets come to.
type translated struct {
	// Arrived is the destination that the packet came in with, where it was mapped
	// before the rules were asked; absent if it was not.
	Arrived netip.Addr `json:"arrived,omitzero"`
	// Translation changes the source when the packet leaves, and Source is what
	// the world sees then, absent where that is not known.
	Translation rpdb.Translation `json:"translation,omitzero"`
	Source      netip.Addr       `json:"source,omitzero"`
	// Untold says that nftables could not be read.
	Untold bool `json:"untold,omitzero"`
	// Own says that the rule translates forwarded packets, and this is one of the
	// host's own.
	Own bool `json:"own,omitzero"`
}

// arrive returns a flow as the rules get to see it: with the destination that the
// inbound map makes of the one that it came with.
func arrive(nat rpdb.NAT, flow rpdb.Flow) (mapped rpdb.Flow, arrived netip.Addr) {
	if !flow.IsInput() {
		return flow, netip.Addr{}
	}
	if t, ok := inboundMap(nat, flow.Dst); ok {
		arrived = flow.Dst
		flow.Dst, _ = t.Target(arrived)
	}
	return flow, arrived
}

// inboundMap returns the translation that maps packets that come in for an address.
func inboundMap(nat rpdb.NAT, a netip.Addr) (rpdb.Translation, bool) {
	for _, t := range nat.Translations {
		if _, ok := t.Target(a); ok {
			return t, true
		}
	}
	return rpdb.Translation{}, false
}

// leave adds what becomes of the source when the packet leaves; nil if nothing
// becomes of the packet at all.
func leave(s *rpdb.Snapshot, flow rpdb.Flow, d rpdb.Decision, arrived netip.Addr) *translated {
	out := translated{Arrived: arrived}
	i := slices.IndexFunc(s.NAT.Translations, func(t rpdb.Translation) bool { return d.Disposition == rpdb.Sent && ofRule(t, flow, d) })
	switch {
	case i >= 0 && !flow.IsInput():
		out.Own = true
	case i >= 0:
		out.Translation = s.NAT.Translations[i]
		out.Source, _ = out.Translation.Source(flow.Src)
		if out.Translation.Kind == rpdb.TranslateMasquerade {
			out.Source = addressOn(s, d)
		}
	case d.Disposition == rpdb.Sent && s.Missing.Has(rpdb.PartNAT) && rpdb.IsCopyRealm(d.Realms.To()):
		out.Untold = true
	case !arrived.IsValid():
		return nil
	}
	return &out
}

// ofRule reports whether a packet is one of the rule that a translation is of.
func ofRule(t rpdb.Translation, flow rpdb.Flow, d rpdb.Decision) bool {
	return t.Family == flow.Family() && t.Realm != 0 && t.Realm == d.Realms.To() && (!t.From.IsValid() || t.From.Contains(flow.Src))
}

// addressOn returns the address that masquerade gives a packet: the first of its
// interface, one of the gateway's network before others (inet_select_addr). It
// is invalid where there is none, or where several ways are possible. In IPv6 it is
// the only one that is not of the link alone, and invalid if there are more, since
// the kernel compares them with the destination (ipv6_dev_get_saddr).
func addressOn(s *rpdb.Snapshot, d rpdb.Decision) (best netip.Addr) {
	link, ok := s.LinkByName(d.Link)
	if !ok || len(d.Either) > 1 {
		return best
	}
	if d.Prefix.Addr().Is6() {
		return onlyAddress(s.AddressesOf(rpdb.IPv6, link.Index))
	}
	for _, a := range s.AddressesOf(rpdb.IPv4, link.Index) {
		switch addr := a.Prefix.Addr(); {
		case a.Scope >= rpdb.ScopeLink || a.Flags&rpdb.AddressSecondary != 0:
		case d.Via.IsValid() && a.Prefix.Contains(d.Via):
			return addr
		case !best.IsValid():
			best = addr
		}
	}
	return best
}

func onlyAddress(list []rpdb.Address) (only netip.Addr) {
	for _, a := range list {
		addr := a.Prefix.Addr()
		if addr.IsLinkLocalUnicast() || !a.Usable() || a.Flags&rpdb.AddressDeprecated != 0 {
			continue
		}
		if only.IsValid() {
			return netip.Addr{}
		}
		only = addr
	}
	return only
}

// translation prints what our table of nftables does to the packet.
func (p *printer) translation(l look, e explanation) {
	t := e.NAT
	if t == nil {
		return
	}
	switch {
	case t.Untold:
		p.lines(l, "", "translation: its rule has one, and what nftables holds is not known here (it takes CAP_NET_ADMIN)")
	case t.Own:
		p.lines(l, "", "translation: none, as this host sends the packet itself")
	case t.Source.IsValid():
		p.lines(l, strong, fmt.Sprintf("translation: the world sees it come from %v (%s)", t.Source, translationWords(t.Translation)))
	case t.Translation != rpdb.Translation{}:
		p.lines(l, strong, fmt.Sprintf("translation: the world sees it come from an address of its interface (%s)", translationWords(t.Translation)))
	}
}

// arrival says how a packet came in, where its destination was mapped.
func (p *printer) arrival(l look, e explanation) {
	if e.NAT != nil && e.NAT.Arrived.IsValid() {
		p.lines(l, "", fmt.Sprintf("translation: it comes in for %v, which is %v before the rules are asked", e.NAT.Arrived, e.Trace.Flow.Dst))
	}
}
