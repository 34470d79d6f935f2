package kernel

import (
	"cmp"
	"maps"
	"slices"

	"rpdb"
)

// put replaces a list by what was read, if that is another.
func put[T any](s *followed, l *lent[T], list []T, same func(a, b T) bool) {
	if !slices.EqualFunc(l.items, list, same) {
		l.items, l.given, s.changed = list, false, true
	}
}

func equal[T comparable](a, b T) bool { return a == b }

// sameAddress leaves out how long an address has to live, which changes by itself.
func sameAddress(a, b rpdb.Address) bool {
	a.Preferred, a.Valid = min(a.Preferred, 1), min(a.Valid, 1)
	b.Preferred, b.Valid = min(b.Preferred, 1), min(b.Valid, 1)
	return a == b
}

// sameNexthops leaves out how long a group has been out of balance.
func sameNexthops(a, b rpdb.NexthopObject) bool {
	a.Resilient.UnbalancedTime, b.Resilient.UnbalancedTime = 0, 0
	return slices.Equal(a.Group, b.Group) && a.ID == b.ID && a.Family == b.Family && a.Protocol == b.Protocol &&
		a.Scope == b.Scope && a.Nexthop == b.Nexthop && a.Blackhole == b.Blackhole && a.FDB == b.FDB &&
		a.GroupType == b.GroupType && a.Resilient == b.Resilient && a.Unknown == b.Unknown
}

// sameEntry compares all of two routes, state too, but for how long they have to
// live.
func sameEntry(a, b rpdb.Route) bool {
	return a.Family == b.Family && a.Table == b.Table && a.Dst == b.Dst && a.Src == b.Src && a.Type == b.Type &&
		a.TOS == b.TOS && a.Metric == b.Metric && a.Protocol == b.Protocol && a.Scope == b.Scope &&
		a.PrefSrc == b.PrefSrc && a.Realms == b.Realms && a.Pref == b.Pref && slices.Equal(a.Nexthops, b.Nexthops) &&
		a.NexthopID == b.NexthopID && min(a.Expires, 1) == min(b.Expires, 1) && slices.Equal(a.Metrics, b.Metrics) &&
		a.Flags == b.Flags && a.Unknown == b.Unknown
}

// putLinks takes in the list of interfaces. What changed since the last one has
// the same consequences as its event, which may come behind it and tell nothing
// new.
func (s *followed) putLinks(links []rpdb.Link, conf map[rpdb.LinkName]rpdb.LinkSysctls) {
	slices.SortFunc(links, func(a, b rpdb.Link) int { return cmp.Compare(a.Index, b.Index) })
	was := map[rpdb.LinkIndex]rpdb.Link{}
	for _, l := range s.links.items {
		was[l.Index] = l
	}
	for _, l := range links {
		old, had := was[l.Index]
		delete(was, l.Index)
		before, now := s.settings.Links[old.Name], conf[l.Name]
		if !had || old != l || before.DisableIPv6 != now.DisableIPv6 {
			s.along(l.Index, !had || old.Name != l.Name)
		}
		s.ignored(rpdb.IPv4, l.Index, before.IgnoreLinkdown4 != now.IgnoreLinkdown4)
		s.ignored(rpdb.IPv6, l.Index, before.IgnoreLinkdown6 != now.IgnoreLinkdown6)
	}
	for i := range was {
		s.along(i, true)
		s.forget(i)
	}
	put(s, &s.links, links, equal)
	if !maps.Equal(s.settings.Links, conf) {
		s.settings.Links, s.changed = conf, true
	}
}

// ignored has routes read again whose state hangs on whether an interface without
// carrier is ignored. Index 0 is any.
func (s *followed) ignored(f rpdb.Family, i rpdb.LinkIndex, changed bool) {
	if !changed {
		return
	}
	s.touch(f, func(r *rpdb.Route) bool {
		return slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool {
			return (i == 0 || n.Link == i) && n.Flags&rpdb.NexthopLinkdown != 0
		})
	})
}

// putSettings takes in the settings that are not of one interface.
func (s *followed) putSettings(now rpdb.Sysctls) {
	was := s.settings
	s.ignored(rpdb.IPv4, 0, was.All.IgnoreLinkdown4 != now.All.IgnoreLinkdown4)
	s.ignored(rpdb.IPv6, 0, was.All.IgnoreLinkdown6 != now.All.IgnoreLinkdown6)
	now.Links = was.Links
	s.changed = s.changed || !sameSettings(was, now)
	s.settings = now
}

// sameSettings compares settings that are not of one interface.
func sameSettings(a, b rpdb.Sysctls) bool {
	return a.IPv4Forward == b.IPv4Forward && a.IPv6Forward == b.IPv6Forward &&
		a.HashPolicy4 == b.HashPolicy4 && a.HashPolicy6 == b.HashPolicy6 && a.HashSeed == b.HashSeed &&
		a.UseNeigh == b.UseNeigh && a.ReflectMark4 == b.ReflectMark4 && a.ReflectMark6 == b.ReflectMark6 &&
		a.TCPMarkAccept == b.TCPMarkAccept && a.All == b.All
}

// putRules takes in the rules of a family.
func (s *followed) putRules(f rpdb.Family, list []rpdb.Rule) {
	put(s, s.rules[f], list, equal)
	s.customise(f, customised(f, list))
}

// putNeighbours takes in the neighbours. Events that come late do no harm.
func (s *followed) putNeighbours(list []rpdb.Neighbour) {
	slices.SortFunc(list, compareNeighbours)
	put(s, &s.neighbours, slices.CompactFunc(list, func(a, b rpdb.Neighbour) bool { return compareNeighbours(a, b) == 0 }), equal)
}
