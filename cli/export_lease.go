package cli

import (
	"cmp"
	"slices"

	"rpdb"
	"rpdb/format"
)

// leaseFinder sorts what hangs on the leases of a host.
type leaseFinder struct {
	host  *rpdb.Snapshot
	found []*format.Lease
}

// of returns the lease of an interface in a family, nil if it has none that is known
// as one: an address for a time, with no static one beside it or with a default route
// that comes by such a way, which in IPv6 is enough.
func (l *leaseFinder) of(f rpdb.Family, link rpdb.LinkIndex) *format.Lease {
	if at := slices.IndexFunc(l.found, func(o *format.Lease) bool { return o.Link == link && o.Family == f }); at >= 0 {
		return l.found[at]
	}
	static, given := l.addresses(f, link)
	offers := l.defaults(f, link)
	if !given && (f == rpdb.IPv4 || len(offers) == 0) || static && len(offers) == 0 {
		return nil
	}
	lease := &format.Lease{Link: link, Family: f, Default: len(offers) > 0}
	if lease.Default {
		lease.Metric = slices.MinFunc(offers, func(a, b rpdb.Route) int { return cmp.Compare(a.Metric, b.Metric) }).Metric
	}
	l.found = append(l.found, lease)
	return l.found[len(l.found)-1]
}

// addresses reports whether an interface has static addresses, and such that are
// there for a time.
func (l *leaseFinder) addresses(f rpdb.Family, link rpdb.LinkIndex) (static, given bool) {
	for _, a := range l.host.AddressesOf(f, link) {
		if isGlobal(a.Prefix.Addr()) {
			static = static || isStatic(a)
			given = given || !isStatic(a)
		}
	}
	return static, given
}

// has reports whether something other than addresses hangs on a lease of an
// interface.
func (l *leaseFinder) has(link rpdb.Link) bool {
	return slices.ContainsFunc(l.found, func(o *format.Lease) bool { return o.Link == link.Index && len(o.Rules)+len(o.Routes) > 0 })
}

// defaults returns the default routes that table main has by an interface from a
// lease or an advertisement: in IPv4 also those of no protocol where no address is
// static, since clients of DHCP that are scripts say none.
func (l *leaseFinder) defaults(f rpdb.Family, link rpdb.LinkIndex) []rpdb.Route {
	static, _ := l.addresses(f, link)
	return slices.DeleteFunc(slices.Clone(l.host.Table(f, rpdb.TableMain)), func(r rpdb.Route) bool {
		given := r.Protocol == rpdb.ProtocolDHCP || r.Protocol == rpdb.ProtocolBoot && !static
		if f == rpdb.IPv6 {
			given = r.Protocol == rpdb.ProtocolRA
		}
		return !given || !r.IsDefault() || !slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool { return n.Link == link })
	})
}

// ofRule returns the lease that a rule selects by, nil if it selects by none.
func (l *leaseFinder) ofRule(r rpdb.DesiredRule) *format.Lease {
	if !r.Leased {
		return nil
	}
	for _, a := range l.host.Addresses {
		if r.Rule.Selector.From.Contains(a.Prefix.Addr()) && !isStatic(a) {
			return l.of(r.Rule.Family, a.Link)
		}
	}
	return nil
}

// ofRoute returns the lease that brings the gateway or the network of a route, nil
// if none does. A source by a lease goes: the kernel takes the one in the network of
// the gateway, as the policy does.
func (l *leaseFinder) ofRoute(r *rpdb.DesiredRoute) *format.Lease {
	if len(r.Route.Nexthops) != 1 {
		return nil
	}
	hop := r.Route.Nexthops[0]
	if r.Leased && hop.Via.IsValid() {
		r.Route.PrefSrc = r.Route.Src.Addr() // which is none
	}
	switch {
	case r.Leased && !hop.Via.IsValid():
		return l.of(r.Route.Family, hop.Link)
	case !r.Learned:
		return nil
	}
	offers := l.defaults(r.Route.Family, hop.Link)
	if len(offers) != 1 || len(offers[0].Nexthops) != 1 || offers[0].Nexthops[0].Via != hop.Via {
		return nil // of several, a system that follows leases takes all
	}
	return l.of(r.Route.Family, hop.Link)
}

// isMains reports whether no packet comes to a route of a lease to its network,
// since table main has the network too and is asked first, but for its default
// routes, before any rule that leads to the table of the route.
func (l *leaseFinder) isMains(r rpdb.Route, rules []rpdb.DesiredRule) bool {
	if r.Nexthops[0].Via.IsValid() {
		return false
	}
	mains := func(o rpdb.Route) bool {
		return o.Dst == r.Dst && o.Type == rpdb.RouteUnicast && o.TOS == 0 && len(o.Nexthops) == 1 && !o.Nexthops[0].Via.IsValid() && o.Nexthops[0].Link == r.Nexthops[0].Link
	}
	if !slices.ContainsFunc(l.host.Table(r.Family, rpdb.TableMain), mains) {
		return false
	}
	mainFirst := rpdb.Rule{Family: r.Family, Action: rpdb.ToTable(rpdb.TableMain), Suppress: rpdb.Suppressor{PrefixLength: rpdb.Some[int32](0)}}
	for _, rule := range rules {
		o := rule.Rule.Canonical()
		o.Priority, o.Protocol = 0, 0
		switch {
		case o.Family != r.Family:
		case o == mainFirst.Canonical():
			return true
		case o.Action.Type() == rpdb.ActionGoto, o.Selector.L3MDev, o.Action == rpdb.ToTable(r.Table):
			return false
		}
	}
	return true
}
