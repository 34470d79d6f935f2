package kerneltest

import (
	"net/netip"
	"slices"
	"syscall"

	"rpdb"
	"rpdb/kernel"
)

// check6 is the validation of ip6_route_info_create.
func (m *Memory) check6(r rpdb.Route) (rpdb.Route, error) {
	if r.TOS != 0 {
		return r, refuse(syscall.EINVAL, "Invalid dsfield (tos): option not available for IPv6")
	}
	r.Dst, r.Scope, r.Realms = r.Dst.Masked(), 0, 0
	if r.Src = r.Src.Masked(); r.Src.Bits() <= 0 {
		r.Src = netip.Prefix{}
	}
	if r.Metric == 0 {
		r.Metric = 1024
	}
	if r.Protocol == rpdb.ProtocolUnspec {
		r.Protocol = rpdb.ProtocolBoot
	}
	switch {
	case isReject(r):
		r.Nexthops = []rpdb.Nexthop{{Link: loopback, Weight: 1}}
		return r, nil
	case r.NexthopID != 0:
		return r, nil
	case len(r.Nexthops) == 0:
		return r, syscall.ENODEV
	}
	for i, n := range r.Nexthops {
		checked, err := m.checkHop6(r, n)
		if err != nil {
			return r, err
		}
		r.Nexthops[i] = checked
	}
	if r.PrefSrc.IsValid() && !m.isLocal6(r.PrefSrc) {
		return r, refuse(syscall.EINVAL, "Invalid source address")
	}
	return r, nil
}

func (m *Memory) isLocal6(a netip.Addr) bool {
	return slices.ContainsFunc(m.addresses, func(o rpdb.Address) bool { return o.Prefix.Addr() == a })
}

// checkHop6 is ip6_validate_gw and what surrounds it in fib6_nh_init.
func (m *Memory) checkHop6(r rpdb.Route, n rpdb.Nexthop) (rpdb.Nexthop, error) {
	l := m.link(n.Link)
	switch {
	case n.Link != 0 && l == nil, n.Link == 0 && !n.Via.IsValid():
		return n, syscall.ENODEV
	case n.Via.IsValid() && m.isLocal6(n.Via):
		return n, refuse(syscall.EINVAL, "Gateway can not be a local address")
	case n.Via.IsLinkLocalUnicast() && l == nil:
		return n, refuse(syscall.EINVAL, "Egress device not specified")
	case n.Via.IsMulticast():
		return n, refuse(syscall.EINVAL, "Invalid gateway address")
	case n.Via.IsValid() && !n.Via.IsLinkLocalUnicast() && n.Flags&rpdb.NexthopOnlink == 0:
		link, ok := m.resolve6(n.Via, n.Link, r.Table)
		if !ok {
			return n, syscall.EHOSTUNREACH
		}
		n.Link = link
	}
	if !m.isUp(n.Link) {
		return n, refuse(syscall.ENETDOWN, "Nexthop device is not up")
	}
	return n, nil
}

// ecmp reports whether a route may be a sibling of others: it has a gateway
// (rt6_qualify_for_ecmp).
func ecmp(r rpdb.Route) bool {
	return r.NexthopID == 0 && len(r.Nexthops) > 0 &&
		!slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool { return !n.Via.IsValid() })
}

// insert6 is fib6_add_rt2node: at one node, routes stand by rising metric;
// those of equal metric that have gateways are one multipath route.
func (m *Memory) insert6(verb RouteVerb, r rpdb.Route) error {
	list := m.routes[1]
	at, found := len(list), -1
	for i, o := range list {
		switch {
		case !sameNode(o, r):
		case o.Metric > r.Metric:
			at = min(at, i)
		case o.Metric == r.Metric && verb == RouteAdd:
			return syscall.EEXIST
		case o.Metric == r.Metric && (verb == RouteReplace || verb == RouteChange):
			if found < 0 || (ecmp(list[found]) != ecmp(r) && ecmp(o) == ecmp(r)) {
				found = i
			}
		case o.Metric == r.Metric && sharesHop(o, r):
			return syscall.EEXIST
		case o.Metric == r.Metric && ecmp(o) && ecmp(r):
			found = i
		}
	}
	list = slices.Clone(list)
	switch {
	case found < 0 && verb == RouteChange:
		return syscall.ENOENT
	case found < 0:
		list = slices.Insert(list, at, r)
	case verb == RouteReplace || verb == RouteChange:
		list[found] = r
	default:
		list[found].Nexthops = slices.Concat(list[found].Nexthops, r.Nexthops)
	}
	m.routes[1] = list
	return nil
}

// sharesHop reports whether a nexthop of one is among those of the other.
func sharesHop(a, b rpdb.Route) bool {
	return slices.ContainsFunc(a.Nexthops, func(n rpdb.Nexthop) bool {
		return slices.ContainsFunc(b.Nexthops, func(o rpdb.Nexthop) bool { return n.Link == o.Link && n.Via == o.Via })
	})
}

// deleteRoute6 is ip6_route_del: what is given must agree; with a gateway only
// that member of a multipath route goes.
func (m *Memory) deleteRoute6(r rpdb.Route) error {
	r.Dst = r.Dst.Masked()
	if r.Src = r.Src.Masked(); r.Src.Bits() <= 0 {
		r.Src = netip.Prefix{}
	}
	if isReject(r) {
		r.Nexthops = nil
	}
	for i, o := range m.routes[1] {
		if !sameNode(o, r) || !agrees(r.Metric, o.Metric) || !agrees(r.Protocol, o.Protocol) || !agrees(r.NexthopID, o.NexthopID) {
			continue
		}
		if len(r.Nexthops) == 0 {
			m.remove(o, true)
			return nil
		}
		left := slices.DeleteFunc(slices.Clone(o.Nexthops), func(n rpdb.Nexthop) bool {
			return slices.ContainsFunc(r.Nexthops, func(g rpdb.Nexthop) bool { return agrees(g.Link, n.Link) && agrees(g.Via, n.Via) })
		})
		switch {
		case len(left) == len(o.Nexthops):
			continue
		case len(left) == 0 || !r.Nexthops[0].Via.IsValid():
			m.remove(o, true)
		default:
			m.routes[1][i].Nexthops = left
			m.tell(kernel.Event{Type: kernel.EventRoute, Route: m.routes[1][i]})
		}
		return nil
	}
	if !slices.ContainsFunc(m.routes[1], func(o rpdb.Route) bool { return o.Table == r.Table }) {
		return refuse(syscall.ESRCH, "FIB table does not exist")
	}
	return syscall.ESRCH
}
