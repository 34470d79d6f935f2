package corpus

import (
	"net/netip"
	"slices"

	"rpdb"
)

// routes adds the tables of one family.
func (g *Generator) routes(s *rpdb.Snapshot, f rpdb.Family) {
	for _, a := range s.Addresses {
		if rpdb.FamilyOf(a.Prefix.Addr()) == f {
			s.Routes = append(s.Routes, kernelRoutes(s, a)...)
		}
	}
	if f == rpdb.IPv6 {
		s.Routes = append(s.Routes, multicastRoutes()...)
	}
	g.objects(s, f)
	seen := map[rpdb.RouteKey][]rpdb.Route{}
	crowded := g.chance(4) // routes in table local, which most flows find before all rules
	for range g.r.IntN(61) {
		r := g.route(s, f)
		if r.Table == rpdb.TableLocal && !crowded {
			r.Table = rpdb.TableMain
		}
		for ok := true; ok; ok = g.chance(4) {
			if equals := seen[r.Key()]; f == rpdb.IPv4 || !joined(r, equals) {
				seen[r.Key()] = append(equals, r)
				s.Routes = append(s.Routes, r)
			}
			r = g.equal(s, r)
		}
	}
	slices.SortStableFunc(s.Routes, func(a, b rpdb.Route) int { return int(a.Family) - int(b.Family) })
}

// joined reports whether the kernel would refuse an IPv6 route beside others of
// its key, or make one of both: two with gateways, two by one interface, and
// those by nexthop objects.
func joined(r rpdb.Route, equals []rpdb.Route) bool {
	return slices.ContainsFunc(equals, func(o rpdb.Route) bool {
		if r.NexthopID != 0 || o.NexthopID != 0 || len(r.Nexthops) == 0 && len(o.Nexthops) == 0 {
			return true
		}
		if len(r.Nexthops) == 0 || len(o.Nexthops) == 0 {
			return false
		}
		a, b := r.Nexthops[0], o.Nexthops[0]
		return a.Via.IsValid() && b.Via.IsValid() || a.Link == b.Link && a.Via == b.Via
	})
}

// equal makes a route of the same key that leads elsewhere, of IPv6 mostly by
// an interface alone, where the router preferences decide.
func (g *Generator) equal(s *rpdb.Snapshot, r rpdb.Route) rpdb.Route {
	o := g.route(s, r.Family)
	o.Table, o.Dst, o.Src, o.Metric, o.TOS = r.Table, r.Dst, r.Src, r.Metric, r.TOS
	if o.NexthopID != 0 {
		o.Src = netip.Prefix{} // the kernel refuses both together
	}
	if r.Family == rpdb.IPv6 && o.Type == rpdb.RouteUnicast && o.NexthopID == 0 && !g.chance(3) {
		i := rpdb.LinkIndex(2 + g.r.IntN(3))
		o.Nexthops = []rpdb.Nexthop{{Link: i, Flags: hopFlags(s, r.Family, i)}}
		o.Pref = pick(g, []rpdb.RouterPreference{rpdb.PreferenceMedium, rpdb.PreferenceHigh, rpdb.PreferenceLow})
	}
	return o
}

// kernelRoutes are what the kernel makes of an address.
func kernelRoutes(s *rpdb.Snapshot, a rpdb.Address) []rpdb.Route {
	f := rpdb.FamilyOf(a.Prefix.Addr())
	host := netip.PrefixFrom(a.Prefix.Addr(), a.Prefix.Addr().BitLen())
	hop := []rpdb.Nexthop{{Link: a.Link, Flags: hopFlags(s, f, a.Link)}}
	local := rpdb.Route{Family: f, Table: rpdb.TableLocal, Dst: host, Type: rpdb.RouteLocal, Protocol: rpdb.ProtocolKernel, Nexthops: hop}
	connected := rpdb.Route{Family: f, Table: rpdb.TableMain, Dst: a.Prefix.Masked(), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolKernel, Nexthops: hop}
	if f == rpdb.IPv6 {
		connected.Metric = 256
		if a.Link == 1 {
			return []rpdb.Route{local}
		}
		return []rpdb.Route{local, connected}
	}
	local.PrefSrc, local.Scope = a.Prefix.Addr(), rpdb.ScopeHost
	connected.PrefSrc, connected.Scope = a.Prefix.Addr(), rpdb.ScopeLink
	if a.Link == 1 {
		connected.Table, connected.Type, connected.Scope = rpdb.TableLocal, rpdb.RouteLocal, rpdb.ScopeHost
		return []rpdb.Route{local, connected}
	}
	if a.Flags&rpdb.AddressSecondary != 0 {
		return []rpdb.Route{local}
	}
	broadcast := local
	broadcast.Dst = netip.PrefixFrom(last(a.Prefix), 32)
	broadcast.Type, broadcast.Scope = rpdb.RouteBroadcast, rpdb.ScopeLink
	return []rpdb.Route{local, broadcast, connected}
}

func multicastRoutes() (list []rpdb.Route) {
	for link := range 3 {
		list = append(list, rpdb.Route{
			Family: rpdb.IPv6, Table: rpdb.TableLocal, Dst: netip.MustParsePrefix("ff00::/8"), Type: rpdb.RouteMulticast,
			Metric: 256, Protocol: rpdb.ProtocolKernel, Nexthops: []rpdb.Nexthop{{Link: rpdb.LinkIndex(link + 2)}},
		})
	}
	return list
}

// hopFlags is the state that the kernel lists for nexthops on a link.
func hopFlags(s *rpdb.Snapshot, f rpdb.Family, i rpdb.LinkIndex) rpdb.NexthopFlags {
	l, _ := s.Link(i)
	if l.HasCarrier() {
		return 0
	}
	y := s.Sysctls.Links[l.Name]
	if f == rpdb.IPv4 && (y.IgnoreLinkdown4 || s.Sysctls.All.IgnoreLinkdown4) || f == rpdb.IPv6 && y.IgnoreLinkdown6 {
		return rpdb.NexthopLinkdown | rpdb.NexthopDead
	}
	return rpdb.NexthopLinkdown
}

func (g *Generator) route(s *rpdb.Snapshot, f rpdb.Family) rpdb.Route {
	r := rpdb.Route{
		Family: f, Table: pick(g, tables()[:6]), Dst: pick(g, g.targets[f]), Type: rpdb.RouteUnicast,
		Protocol: rpdb.ProtocolStatic, Metric: pick(g, []uint32{1, 2, 100, 1024}),
	}
	if f == rpdb.IPv4 {
		r.Metric = pick(g, []uint32{0, 0, 10, 20})
		if g.chance(5) {
			r.TOS = pick(g, []uint8{0x04, 0x10, 0x1c, 0xb8})
		}
		if g.chance(6) {
			r.Realms = rpdb.NewRealms(uint16(g.r.IntN(3)), uint16(g.r.IntN(3)))
		}
	} else {
		r.Pref = pick(g, []rpdb.RouterPreference{rpdb.PreferenceMedium, rpdb.PreferenceMedium, rpdb.PreferenceHigh, rpdb.PreferenceLow})
		if g.chance(5) {
			r.Src = pick(g, append(hosts6(), prefixes("2001:db8::/32", "2000::/3")...)).Masked()
		}
	}
	if g.chance(5) {
		r.Type = pick(g, []rpdb.RouteType{rpdb.RouteBlackhole, rpdb.RouteUnreachable, rpdb.RouteProhibit, rpdb.RouteThrow})
		r.Realms, r.Pref = 0, 0
		return r
	}
	if g.chance(8) {
		r.NexthopID, r.Realms, r.Pref = objectID(f)+uint32(g.r.IntN(6)), 0, 0
		r.Nexthops = objectHops(s, r.NexthopID)
		if f == rpdb.IPv6 {
			r.Src = netip.Prefix{} // the kernel refuses both together
		}
		return r
	}
	g.hops(s, &r)
	return r
}

// objectID is the number of a family's first nexthop object. Three lead to the
// gateways .3 of the networks, two are groups, the last is a blackhole.
func objectID(f rpdb.Family) uint32 { return uint32(f) * 10 }

func (g *Generator) objects(s *rpdb.Snapshot, f rpdb.Family) {
	hosts, id := hosts4(), objectID(f)
	if f == rpdb.IPv6 {
		hosts = hosts6()
	}
	for i, p := range hosts {
		s.Nexthops = append(s.Nexthops, rpdb.NexthopObject{
			ID: id + uint32(i), Family: f, Nexthop: rpdb.Nexthop{Link: rpdb.LinkIndex(i + 2), Via: gateways(p)[0]},
		})
	}
	for i, members := range [][]uint32{{0, 1}, {2, 1, 0}} {
		o := rpdb.NexthopObject{ID: id + 3 + uint32(i)}
		for _, m := range members {
			o.Group = append(o.Group, rpdb.GroupMember{ID: id + m, Weight: uint32(1 + g.r.IntN(3))})
		}
		s.Nexthops = append(s.Nexthops, o)
	}
	s.Nexthops = append(s.Nexthops, rpdb.NexthopObject{ID: id + 5, Family: f, Blackhole: true, Nexthop: rpdb.Nexthop{Link: 1}})
}

// objectHops is what the kernel lists for a route by a nexthop object.
func objectHops(s *rpdb.Snapshot, id uint32) (hops []rpdb.Nexthop) {
	for _, o := range s.Nexthops {
		if o.ID != id {
			continue
		}
		if len(o.Group) == 0 {
			return []rpdb.Nexthop{o.Nexthop}
		}
		for _, m := range o.Group {
			n := objectHops(s, m.ID)[0]
			n.Weight = m.Weight
			hops = append(hops, n)
		}
	}
	return hops
}

// hops leads a route somewhere: one gateway, a device, or several gateways.
func (g *Generator) hops(s *rpdb.Snapshot, r *rpdb.Route) {
	n := 1
	if g.chance(4) {
		n = 2 + g.r.IntN(2)
	}
	for range n {
		i := g.r.IntN(3)
		host := hosts4()[i]
		if r.Family == rpdb.IPv6 {
			host = hosts6()[i]
		}
		h := rpdb.Nexthop{Link: rpdb.LinkIndex(i + 2), Via: pick(g, gateways(host)), Flags: hopFlags(s, r.Family, rpdb.LinkIndex(i+2))}
		if r.Family == rpdb.IPv4 && g.chance(10) {
			h.Via = pick(g, gateways(hosts6()[i])) // RFC 5549
		}
		if n > 1 {
			h.Weight = uint32(1 + g.r.IntN(3))
		}
		if r.Family == rpdb.IPv4 && g.chance(8) {
			h.Realms = r.Realms
		}
		r.Nexthops = append(r.Nexthops, h)
	}
	if n > 1 {
		r.Realms = 0
		r.Nexthops = slices.CompactFunc(sorted(r.Nexthops), func(a, b rpdb.Nexthop) bool { return a.Via == b.Via })
	}
	if n == 1 && g.chance(4) {
		r.Nexthops[0].Via = netip.Addr{}
		if r.Family == rpdb.IPv4 {
			r.Scope = rpdb.ScopeLink
		}
	}
	if g.chance(6) {
		r.PrefSrc = pick(g, hosts4()).Addr()
		if r.Family == rpdb.IPv6 {
			r.PrefSrc = pick(g, hosts6()).Addr()
		}
	}
	if len(r.Nexthops) == 1 {
		r.Nexthops[0].Realms, r.Nexthops[0].Weight = 0, 0
	}
}

func sorted(list []rpdb.Nexthop) []rpdb.Nexthop {
	slices.SortStableFunc(list, func(a, b rpdb.Nexthop) int { return a.Via.Compare(b.Via) })
	return list
}

// last returns the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
