package rpdb

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// The tables that can be copies for rules made by hand, those of IPv6 behind those of
// IPv4. Those below are for policies.
const firstHandCopy TableID = 84000

// HandCopies is how many rules of a family, made by hand, can translate at once.
const HandCopies = 500

// FirstHandCopy returns the first of the tables, [HandCopies] in number, that can be
// copies for rules of a family that were made by hand.
func FirstHandCopy(f Family) TableID {
	if f == IPv6 {
		return firstHandCopy + HandCopies
	}
	return firstHandCopy
}

// IsHandCopy reports whether a table can be the copy that a rule of a family, made by
// hand, has for itself whose packets are translated.
func IsHandCopy(f Family, t TableID) bool {
	first := FirstHandCopy(f)
	return first <= t && t < first+HandCopies
}

// NATRule is a rule that was made by hand and whose packets are translated, with
// all that belongs to it, or what is left of one. The rule may have any priority
// and protocol; that it looks up a table of which [IsHandCopy] is true makes it
// one. No record tells of it but the kernel. The zero NATRule is nothing.
type NATRule struct {
	Family Family
	// Copy is the table that the rule has for itself, and Routes are those of ours
	// in it. They carry the realm, or in IPv6 the program, by which nftables knows
	// the packets.
	Copy   TableID
	Routes []Route
	// Rules look the copy up: none of what is left over, and more than one only
	// if somebody has added it.
	Rules []Rule
	// Translation is what nftables does; the zero value if it has lost that.
	Translation Translation
}

// NATRules returns what there is of rules made by hand that translate, in the
// order of their copies: first those of IPv4.
func (s *Snapshot) NATRules() []NATRule {
	var all []NATRule
	of := func(f Family, t TableID) *NATRule {
		i := slices.IndexFunc(all, func(n NATRule) bool { return n.Copy == t })
		if i < 0 {
			all, i = append(all, NATRule{Family: f, Copy: t}), len(all)
		}
		return &all[i]
	}
	for _, r := range s.Rules {
		if r.IsHandNAT() {
			n := of(r.Family, r.Action.Table())
			n.Rules = append(n.Rules, r)
		}
	}
	for _, t := range s.NAT.Translations {
		if c, ok := CopyOfRealm(t.Realm); ok && IsHandCopy(t.Family, c) {
			of(t.Family, c).Translation = t
		}
	}
	for _, r := range s.Routes {
		if IsHandCopy(r.Family, r.Table) && r.Protocol == ProtocolRPDB {
			n := of(r.Family, r.Table)
			n.Routes = append(n.Routes, r)
		}
	}
	slices.SortFunc(all, func(a, b NATRule) int { return cmp.Compare(a.Copy, b.Copy) })
	return all
}

// IsHandNAT reports whether a rule was made by hand and its packets are translated,
// or were meant to be.
func (r Rule) IsHandNAT() bool {
	return r.Action.Type() == ActionTable && IsHandCopy(r.Family, r.Action.Table())
}

// Meant returns the translation as it is in a rule that is complete: the map of a
// block has the way in.
func (n NATRule) Meant() Translation {
	t := n.Translation
	t.Inbound = t.Kind == TranslateBlock
	return t
}

// ForwardsNothing returns the setting that keeps a host from forwarding packets of a
// family, "" where it forwards some or that is not known. Only what is forwarded is
// translated.
func (s *Snapshot) ForwardsNothing(f Family) (setting string) {
	setting, on, known := "net.ipv4.ip_forward", s.Sysctls.IPv4Forward, SettingForwarding4
	if f == IPv6 {
		setting, on, known = "net.ipv6.conf.all.forwarding", s.Sysctls.IPv6Forward, SettingForwarding6
	}
	if on || s.Sysctls.All.Unknown.Has(known) {
		return ""
	}
	for _, l := range s.Sysctls.Links {
		if f == IPv4 && l.Forwarding4 || f == IPv6 && l.Forwarding6 || l.Unknown.Has(known) {
			return ""
		}
	}
	return setting
}

// CopyTable returns the routes of one table of a family as they stand in a copy of
// it: as ours, each by nexthops of its own, since nexthop objects carry neither
// realms nor programs, with those of the copy, and without ways that are dead. What
// nothing is forwarded by is left out: each interface has a route to link-local
// addresses, all with one key. The error names a route that cannot be copied.
func (s *Snapshot) CopyTable(f Family, from, to TableID) ([]Route, error) {
	var all []Route
	seen := map[RouteKey]bool{}
	for _, r := range s.Table(f, from) {
		if r.Family == IPv6 && !r.IsDefault() && (r.Dst.Addr().IsLinkLocalUnicast() || r.Dst.Addr().IsMulticast()) {
			continue
		}
		if err := r.notCopied(); err != nil {
			return nil, fmt.Errorf("%v %w", r, err)
		}
		hops := slices.DeleteFunc(slices.Clone(r.Nexthops), func(n Nexthop) bool { return n.Flags&NexthopDead != 0 })
		if len(hops) == 0 && len(r.Nexthops) > 0 {
			continue
		}
		if len(hops) == 1 {
			hops[0].Weight = 1 // a single way has no share
		} else if w := s.heaviest(r); w > maxWeight {
			return nil, fmt.Errorf("%v has a way of weight %d, and without a nexthop object it can have %d at most", r, w, maxWeight)
		}
		r.NexthopID, r.Nexthops, r.Protocol = 0, hops, ProtocolRPDB
		copied := r.Canonical().AsCopy(to)
		if seen[copied.Key()] {
			return nil, fmt.Errorf("%v stands there twice, and a copy can have it once", r)
		}
		seen[copied.Key()] = true
		all = append(all, copied)
	}
	return all, nil
}

// maxWeight is the largest share that a route can say itself.
const maxWeight = 256

// heaviest returns the largest weight of a route's ways. Those of a nexthop group are
// asked of the group: a route shows the last eight bits of them.
func (s *Snapshot) heaviest(r Route) (w uint32) {
	for _, n := range r.Nexthops {
		w = max(w, n.Weight)
	}
	for _, o := range s.Nexthops {
		if r.NexthopID != 0 && o.ID == r.NexthopID {
			for _, m := range o.Group {
				w = max(w, m.Weight)
			}
		}
	}
	return w
}

// notCopied says why a route cannot be one of a copy.
func (r Route) notCopied() error {
	switch {
	case r.Realms != 0 || slices.ContainsFunc(r.Nexthops, func(n Nexthop) bool { return n.Realms != 0 }):
		return errors.New("has realms of its own, and nftables could not tell the packets of the rule from others")
	case r.Unknown != "":
		return errors.New("has attributes that are not known here")
	case r.NexthopID != 0 && r.Type == RouteUnicast && len(r.Nexthops) == 0:
		return errors.New("leads by a nexthop object of which no way is known")
	case r.Family == IPv6 && r.Type == RouteUnicast && slices.ContainsFunc(r.Nexthops, func(n Nexthop) bool { return n.EncapType != 0 }):
		return errors.New("has a tunnel (encap) in the place of the program by which nftables knows the packets of the rule")
	}
	return nil
}
