package analysis

import (
	"maps"
	"net/netip"
	"slices"

	"rpdb"
)

// EndingTables returns the tables of a family that answer every unbound flow:
// those with a usable default route and without a throw, which gives some
// flows back to the rules, as in IPv4 a nexthop object does that cannot be
// used: it hides the shorter prefixes that begin with the same address.
func EndingTables(s *rpdb.Snapshot, f rpdb.Family) map[rpdb.TableID]bool {
	ending, throwing := map[rpdb.TableID]bool{}, map[rpdb.TableID]bool{}
	for _, r := range s.Routes {
		switch {
		case r.Family != f:
		case r.Type == rpdb.RouteThrow, r.NexthopID != 0 && !usable(s, r):
			throwing[r.Table] = true
		case IsPlainDefault(r) && (r.Type.IsError() || usable(s, r)):
			ending[r.Table] = true
		}
	}
	maps.DeleteFunc(ending, func(t rpdb.TableID, _ bool) bool { return throwing[t] })
	return ending
}

// IsPlainDefault reports whether a route answers for every destination and
// every source: a default route without source prefix and TOS, that is not a
// throw.
func IsPlainDefault(r rpdb.Route) bool {
	return r.IsDefault() && !r.Src.IsValid() && r.TOS == 0 && r.Type != rpdb.RouteThrow
}

func usable(s *rpdb.Snapshot, r rpdb.Route) bool {
	return slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool { return HopState(s, r.Family, n).Used })
}

// NexthopState is what keeps a nexthop from carrying packets. The zero value
// is a nexthop in order, but for Used.
type NexthopState struct {
	Dead     bool // the interface is down or gone
	Linkdown bool // the interface has no carrier
	Used     bool // lookups choose it all the same
}

// HopState returns the state of a nexthop of a family's routes. Nexthops
// without carrier are chosen unless ignore_routes_with_linkdown is set, which
// IPv4 honours in conf.all as well and IPv6 on the interface alone.
func HopState(s *rpdb.Snapshot, f rpdb.Family, n rpdb.Nexthop) NexthopState {
	var st NexthopState
	link, ok := s.Link(n.Link)
	st.Dead = n.Flags&rpdb.NexthopDead != 0 || n.Link != 0 && (!ok || !link.IsUp())
	st.Linkdown = !st.Dead && (n.Flags&rpdb.NexthopLinkdown != 0 || ok && !link.HasCarrier())
	conf := s.Sysctls.Links[link.Name]
	ignore := conf.IgnoreLinkdown6
	if f == rpdb.IPv4 {
		ignore = conf.IgnoreLinkdown4 || s.Sysctls.All.IgnoreLinkdown4
	}
	st.Used = !st.Dead && !(st.Linkdown && ignore)
	return st
}

// DefaultsBy returns for each interface the tables of a family that have a
// default route by it, in ascending order. Interfaces without one are not in
// the map, which belongs to the caller.
func DefaultsBy(s *rpdb.Snapshot, f rpdb.Family) map[rpdb.LinkIndex][]rpdb.TableID {
	tables := map[rpdb.LinkIndex][]rpdb.TableID{}
	for _, r := range s.Routes {
		if r.Family != f || !r.IsDefault() || r.Type != rpdb.RouteUnicast {
			continue
		}
		for _, n := range r.Nexthops {
			if !slices.Contains(tables[n.Link], r.Table) {
				tables[n.Link] = append(tables[n.Link], r.Table)
			}
		}
	}
	for _, t := range tables {
		slices.Sort(t)
	}
	return tables
}

// Forwards reports whether the host forwards packets of a family, on any
// interface, or may do so where the snapshot does not tell.
func Forwards(s *rpdb.Snapshot, f rpdb.Family) bool {
	on, setting := s.Sysctls.IPv6Forward, rpdb.SettingForwarding6
	if f == rpdb.IPv4 {
		on, setting = s.Sysctls.IPv4Forward, rpdb.SettingForwarding4
	}
	on = on || s.Sysctls.All.Unknown.Has(setting)
	for _, conf := range s.Sysctls.Links {
		on = on || f == rpdb.IPv4 && conf.Forwarding4 || f == rpdb.IPv6 && conf.Forwarding6
	}
	return on
}

// IsLocal reports whether an address belongs to the host: to an interface, or
// to a route of type local.
func IsLocal(s *rpdb.Snapshot, a netip.Addr) bool {
	return slices.ContainsFunc(s.Addresses, func(own rpdb.Address) bool { return own.Prefix.Addr() == a }) ||
		slices.ContainsFunc(s.Routes, func(r rpdb.Route) bool { return r.Type == rpdb.RouteLocal && r.Dst.Contains(a) })
}
