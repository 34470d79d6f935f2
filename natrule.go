package rpdb

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// The tables that can be copies for rules made by hand. Those below are for
// policies.
const (
	FirstHandCopy, lastHandCopy TableID = 84000, 84499
)

// HandCopies is how many rules made by hand can translate at once.
const HandCopies = int(lastHandCopy - FirstHandCopy + 1)

// IsHandCopy reports whether a table can be the copy that a rule made by hand has
// for itself whose packets are translated.
func IsHandCopy(t TableID) bool { return FirstHandCopy <= t && t <= lastHandCopy }

// NATRule is a rule that was made by hand and whose packets are translated, with
// all that belongs to it, or what is left of one. The rule may have any priority
// and protocol; that it looks up a table of which [IsHandCopy] is true makes it
// one. No record tells of it but the kernel. IPv4 only. The zero NATRule is
// nothing.
type NATRule struct {
	// Copy is the table that the rule has for itself, and Routes are those of ours
	// in it. They carry the realm by which nftables knows the packets.
	Copy   TableID
	Routes []Route
	// Rules look the copy up: none of what is left over, and more than one only
	// if somebody has added it.
	Rules []Rule
	// Translation is what nftables does; the zero value if it has lost that.
	Translation Translation
}

// NATRules returns what there is of rules made by hand that translate, in the
// order of their copies.
func (s *Snapshot) NATRules() []NATRule {
	var all []NATRule
	of := func(t TableID) *NATRule {
		i := slices.IndexFunc(all, func(n NATRule) bool { return n.Copy == t })
		if i < 0 {
			all, i = append(all, NATRule{Copy: t}), len(all)
		}
		return &all[i]
	}
	for _, r := range s.Rules {
		if t := r.Action.Table(); r.Family == IPv4 && r.Action.Type() == ActionTable && IsHandCopy(t) {
			n := of(t)
			n.Rules = append(n.Rules, r)
		}
	}
	for _, t := range s.NAT.Translations {
		if c, ok := CopyOfRealm(t.Realm); ok && t.Family == IPv4 && IsHandCopy(c) {
			of(c).Translation = t
		}
	}
	for _, r := range s.Routes {
		if r.Family == IPv4 && IsHandCopy(r.Table) && r.Protocol == ProtocolRPDB {
			n := of(r.Table)
			n.Routes = append(n.Routes, r)
		}
	}
	slices.SortFunc(all, func(a, b NATRule) int { return cmp.Compare(a.Copy, b.Copy) })
	return all
}

// Meant returns the translation as it is in a rule that is complete: the map of a
// block has the way in.
func (n NATRule) Meant() Translation {
	t := n.Translation
	t.Inbound = t.Kind == TranslateBlock
	return t
}

// CopyTable returns the routes of one IPv4 table as they stand in a copy of it: as
// ours, each by nexthops of its own, since nexthop objects carry no realms, with
// the realm of the copy, and without ways that are dead. The error names a route
// that cannot be copied.
func (s *Snapshot) CopyTable(from, to TableID) ([]Route, error) {
	var all []Route
	realm, _ := RealmOfCopy(to)
	for _, r := range s.Table(IPv4, from) {
		if err := r.notCopied(); err != nil {
			return nil, fmt.Errorf("%v %w", r, err)
		}
		hops := slices.DeleteFunc(slices.Clone(r.Nexthops), func(n Nexthop) bool { return n.Flags&NexthopDead != 0 })
		if len(hops) == 0 && len(r.Nexthops) > 0 {
			continue
		}
		r.NexthopID, r.Nexthops = 0, hops
		r = r.Canonical()
		r.Table, r.Protocol = to, ProtocolRPDB
		if len(r.Nexthops) == 1 {
			r.Realms = NewRealms(0, realm)
		}
		for i := range r.Nexthops {
			if len(r.Nexthops) > 1 {
				r.Nexthops[i].Realms = NewRealms(0, realm)
			}
		}
		all = append(all, r)
	}
	return all, nil
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
	}
	return nil
}
