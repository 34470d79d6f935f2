package kernel

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// putRoute adds or replaces a route, and takes an added one back if the kernel
// made another one of it.
func (c *Conn) putRoute(ctx context.Context, op rpdb.ChangeOp, r rpdb.Route) error {
	if err := routeExpressible(r); err != nil {
		return err
	}
	flags := netlink.Create | netlink.Excl | netlink.Echo
	if op == rpdb.Replace {
		flags = netlink.Create | netlink.Replace | netlink.Echo
	}
	told, err := echoed(ctx, c.nl, encodeRoute(unix.RTM_NEWROUTE, flags, r), unix.RTM_NEWROUTE, decodeRoute)
	if err != nil {
		return err
	}
	told = mergeSiblings(told)
	if len(told) == 0 {
		if told, err = c.routesOfPrefix(ctx, r); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(told, func(s rpdb.Route) bool { return sameRoute(r, s) }) {
		return nil
	}
	lost := &UnsupportedError{Feature: "an attribute of the route"}
	if len(told) != 1 {
		return lost
	}
	lost.Feature, lost.Since = missingInRoute(lenient(r, told[0]), told[0].Canonical())
	if op == rpdb.Add {
		if err := c.deleteRoute(context.WithoutCancel(ctx), told[0]); err != nil {
			return fmt.Errorf("%w, and what it stored instead remains: %w", lost, err)
		}
	}
	return lost
}

// routeExpressible refuses what a request cannot say.
func routeExpressible(r rpdb.Route) error {
	invalid := func(format string, args ...any) error {
		return &netlink.Error{Errno: unix.EINVAL, Message: fmt.Sprintf(format, args...)}
	}
	bits := r.Family.Bits()
	switch {
	case bits == 0:
		return invalid("no family")
	case !r.Dst.IsValid() || r.Dst.Addr().BitLen() != bits:
		return invalid("no destination of the family")
	case r.Src.IsValid() && r.Src.Addr().BitLen() != bits:
		return invalid("source prefix of another family")
	case r.PrefSrc.IsValid() && r.PrefSrc.BitLen() != bits:
		return invalid("src of another family")
	}
	for _, h := range r.Nexthops {
		if h.Weight > 256 {
			return invalid("weight %d, at most 256", h.Weight)
		}
	}
	if _, err := encodeRoute(unix.RTM_NEWROUTE, 0, r).Message(); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// sameRoute reports whether the kernel stored what was meant.
func sameRoute(meant, stored rpdb.Route) bool {
	m, s := lenient(meant, stored), stored.Canonical()
	if m.NexthopID != 0 && m.NexthopID == s.NexthopID {
		m.Nexthops, s.Nexthops = nil, nil // those are the object's
	}
	if m.Family == rpdb.IPv6 { // the siblings are a set
		slices.SortFunc(m.Nexthops, compareHops)
		slices.SortFunc(s.Nexthops, compareHops)
	}
	return m.Equal(s)
}

func compareHops(a, b rpdb.Nexthop) int {
	return cmp.Or(a.Via.Compare(b.Via), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Weight, b.Weight))
}

// lenient returns the canonical form of what was meant, with the choices that
// it left to the kernel filled in from what the kernel stored.
func lenient(meant, stored rpdb.Route) rpdb.Route {
	m, s := meant.Canonical(), stored.Canonical()
	if m.Family == rpdb.IPv6 && meant.Metric == 0 {
		m.Metric = s.Metric
	}
	if m.Family == rpdb.IPv6 && m.Protocol == rpdb.ProtocolUnspec {
		m.Protocol = s.Protocol // boot
	}
	if len(m.Nexthops) == 1 {
		// Neither has a place in the message of a single nexthop.
		m.Nexthops[0].Weight, m.Nexthops[0].Realms = 1, 0
	}
	if len(m.Nexthops) == len(s.Nexthops) {
		for i := range m.Nexthops {
			if m.Nexthops[i].Link == 0 {
				m.Nexthops[i].Link = s.Nexthops[i].Link // found by the gateway
			}
		}
	}
	m.Metrics = slices.DeleteFunc(m.Metrics, func(x rpdb.Metric) bool { return x.Value == 0 && x.Text == "" })
	for i := range m.Metrics {
		m.Metrics[i].Value = clamped(m.Metrics[i])
	}
	return m
}

// clamped returns the value of a metric as the kernel stores it
// (ip_metrics_convert).
func clamped(m rpdb.Metric) uint32 {
	switch m.Type {
	case rpdb.MetricMTU:
		return min(m.Value, 65535-15)
	case rpdb.MetricAdvMSS:
		return min(m.Value, 65535-40)
	case rpdb.MetricHopLimit:
		return min(m.Value, 255)
	}
	return m.Value
}

// routesOfPrefix returns the routes to the destination of r in its table, of
// its originator if it names one, in the kernel's order.
func (c *Conn) routesOfPrefix(ctx context.Context, r rpdb.Route) ([]rpdb.Route, error) {
	key := r.Key()
	routes, err := c.routes(ctx, routeFilter{family: r.Family, table: key.Table, protocol: r.Protocol})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(routes, func(s rpdb.Route) bool {
		k := s.Key()
		return k.Dst != key.Dst || k.Src != key.Src || k.TOS != key.TOS
	}), nil
}

// deleteRoute deletes exactly r.
func (c *Conn) deleteRoute(ctx context.Context, r rpdb.Route) error {
	if err := routeExpressible(r); err != nil {
		return err
	}
	routes, err := c.routesOfPrefix(ctx, r)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(routes, func(s rpdb.Route) bool { return sameRoute(r, s) })
	if i < 0 {
		return unix.ESRCH
	}
	target := routes[i]
	for _, s := range routes {
		if sameRoute(r, s) {
			break
		}
		if routeHit(target, s) {
			return &OtherRouteError{Hit: s}
		}
	}
	return c.deleteStoredRoute(ctx, target)
}

// deleteStoredRoute sends the deletion and looks at what went. IPv6 tells the
// members of a multipath route one by one.
func (c *Conn) deleteStoredRoute(ctx context.Context, r rpdb.Route) error {
	r.Expires = 0 // not a criterion
	gone, err := echoed(ctx, c.nl, encodeRoute(unix.RTM_DELROUTE, netlink.Echo, r), unix.RTM_DELROUTE, decodeRoute)
	if err != nil {
		return err
	}
	for _, g := range gone {
		if belongsTo(g, r) {
			continue
		}
		wrong := &OtherRouteError{Hit: g}
		back := encodeRoute(unix.RTM_NEWROUTE, netlink.Create|netlink.Append, g)
		if err := c.nl.Execute(context.WithoutCancel(ctx), back, nil); err != nil {
			return fmt.Errorf("%w, and did: %w", wrong, err)
		}
		return wrong
	}
	return nil
}

// belongsTo reports whether what the kernel says is gone is r or, in IPv6, a
// part of it.
func belongsTo(gone, r rpdb.Route) bool {
	if sameRoute(r, gone) {
		return true
	}
	if r.Family != rpdb.IPv6 {
		return false
	}
	for _, h := range gone.Nexthops {
		if !slices.ContainsFunc(r.Nexthops, func(x rpdb.Nexthop) bool { return sameWay(h, x) }) {
			return false
		}
	}
	gone.Nexthops, r.Nexthops = nil, nil
	return gone.Equal(r)
}

func sameWay(a, b rpdb.Nexthop) bool { return a.Link == b.Link && a.Via == b.Via }

// routeHit reports whether the kernel, asked to delete r, might delete s
// instead: it agrees in what the kernel looks at (fib_table_delete,
// ip6_route_del), or nearly; in doubt it does.
func routeHit(r, s rpdb.Route) bool {
	if !given(r.Metric, s.Metric) || !given(r.Protocol, s.Protocol) {
		return false
	}
	if r.Family == rpdb.IPv4 && (r.Type != s.Type || r.Scope != s.Scope || !given(r.PrefSrc, s.PrefSrc)) {
		return false
	}
	if r.NexthopID != 0 || s.NexthopID != 0 {
		return given(r.NexthopID, s.NexthopID)
	}
	if r.Type.IsError() || r.Type == rpdb.RouteThrow || len(r.Nexthops) == 0 {
		return true
	}
	return slices.ContainsFunc(r.Nexthops, func(h rpdb.Nexthop) bool {
		return slices.ContainsFunc(s.Nexthops, func(x rpdb.Nexthop) bool {
			return given(h.Link, x.Link) && (h.Via == netip.Addr{} || h.Via == x.Via)
		})
	})
}
