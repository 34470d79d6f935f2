package kernel

import (
	"bytes"
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
	e, err := c.encodeNew(flags, r)
	if err != nil {
		return err
	}
	told, err := echoed(ctx, c.nl, e, unix.RTM_NEWROUTE, decodeRoute)
	if err != nil {
		return refusedProgram(r, err)
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
	lost.Feature, lost.Since = missingInRoute(lenient(r, told[0]))
	if op == rpdb.Add {
		if err := c.deleteRoute(context.WithoutCancel(ctx), told[0]); err != nil {
			return fmt.Errorf("%w, and what it stored instead remains: %w", lost, err)
		}
	}
	return lost
}

// encodeNew writes a request that makes a route.
func (c *Conn) encodeNew(flags netlink.Flags, r rpdb.Route) (*netlink.Encoder, error) {
	r, err := c.copy.equip(r)
	return encodeRoute(unix.RTM_NEWROUTE, flags, r), err
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
	m, s := lenient(meant, stored)
	return m.Equal(s)
}

func compareHops(a, b rpdb.Nexthop) int {
	return cmp.Or(a.Via.Compare(b.Via), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Weight, b.Weight))
}

// defaultMetric6 is the metric of an IPv6 route that was given none, of any
// type (IP6_RT_PRIO_USER).
const defaultMetric6 = 1024

// lenient returns the canonical forms of what was meant, with the choices that
// it left to the kernel filled in from what the kernel stored, and of what the
// kernel stored.
func lenient(meant, stored rpdb.Route) (m, s rpdb.Route) {
	m, s = meant.Canonical(), stored.Canonical()
	if m.Family == rpdb.IPv6 {
		if m.Metric == 0 && s.Metric == defaultMetric6 {
			m.Metric = s.Metric
		}
		if m.Protocol == rpdb.ProtocolUnspec && s.Protocol == rpdb.ProtocolBoot {
			m.Protocol = s.Protocol
		}
		slices.SortFunc(m.Nexthops, compareHops) // the siblings are a set
		slices.SortFunc(s.Nexthops, compareHops)
	}
	if m.NexthopID != 0 && m.NexthopID == s.NexthopID {
		m.Nexthops, s.Nexthops = nil, nil // those are the object's
		if leadsNowhere(s) {
			m.Type = s.Type // as is this
		}
	}
	if len(m.Nexthops) == 1 {
		// Neither has a place in the message of a single nexthop.
		m.Nexthops[0].Weight, m.Nexthops[0].Realms = 1, 0
	}
	if len(m.Nexthops) == len(s.Nexthops) {
		for i := range m.Nexthops {
			lenientHop(&m.Nexthops[i], s.Nexthops[i])
		}
	}
	m.Metrics = slices.DeleteFunc(m.Metrics, func(x rpdb.Metric) bool { return x.Value == 0 && x.Text == "" })
	for i := range m.Metrics {
		m.Metrics[i].Value = clamped(m.Metrics[i])
	}
	return m, s
}

func lenientHop(m *rpdb.Nexthop, s rpdb.Nexthop) {
	if m.Link == 0 {
		m.Link = s.Link // found by the gateway
	}
	if m.EncapType == s.EncapType && includes(s.Encap, m.Encap) {
		m.Encap = s.Encap // the kernel lists the defaults too
	}
}

// includes reports whether all has every one of the attributes of some.
func includes(all, some rpdb.Raw) bool {
	d := netlink.NewDecoder([]byte(some))
	for d.Next() {
		if !hasAttribute(all, d.Type(), d.Data()) {
			return false
		}
	}
	return d.Err() == nil
}

func hasAttribute(raw rpdb.Raw, typ uint16, value []byte) bool {
	d := netlink.NewDecoder([]byte(raw))
	for d.Next() {
		if d.Type() == typ && bytes.Equal(d.Data(), value) {
			return true
		}
	}
	return false
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
	return c.routes(ctx, routeFilter{
		family: r.Family, table: key.Table, protocol: r.Protocol,
		choose: func(s rpdb.Route) bool {
			return s.Dst == key.Dst && s.Src == key.Src && s.TOS == key.TOS
		},
	})
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
	_, err = c.deleteAmong(ctx, r, routes)
	return err
}

// deleteAmong deletes exactly r, of the routes to its destination, and returns those
// that are left of them.
func (c *Conn) deleteAmong(ctx context.Context, r rpdb.Route, routes []rpdb.Route) ([]rpdb.Route, error) {
	i := slices.IndexFunc(routes, func(s rpdb.Route) bool { return sameRoute(r, s) })
	if i < 0 {
		return routes, unix.ESRCH
	}
	for _, s := range routes[:i] {
		if routeHit(routes[i], s) {
			return routes, &OtherRouteError{Hit: s}
		}
	}
	if err := c.deleteStoredRoute(ctx, routes[i]); err != nil {
		return routes, err
	}
	return slices.Delete(routes, i, i+1), nil
}

// readTable is a table, and of which protocol (0 for all), of which the routes were
// read for their deletion.
type readTable struct {
	family   rpdb.Family
	table    rpdb.TableID
	protocol rpdb.Protocol
}

// destination is that of routes among which the kernel may confuse one with another.
type destination struct {
	dst, src netip.Prefix
	tos      uint8
}

// DeleteRoutes deletes many routes in their order, each as [Conn.Do] does, but reads
// a table once for all of its routes and not for each. Those that cannot be deleted
// do not keep it from the others: the error is that of the first, and if any were
// deleted, it is in a [*PartError]. No routes are no work.
func (c *Conn) DeleteRoutes(ctx context.Context, routes []rpdb.Route) error {
	read := map[readTable]map[destination][]rpdb.Route{}
	var first error
	var gone []int
	for i, r := range routes {
		if err := ctx.Err(); err != nil {
			first = cmp.Or(first, err)
			break
		}
		err := c.deleteOneOf(ctx, r, read)
		if err == nil {
			gone = append(gone, i)
			continue
		}
		first = cmp.Or(first, opError("delete", r.String(), err))
	}
	if first != nil && len(gone) > 0 {
		return &PartError{gone, first}
	}
	return first
}

// deleteOneOf deletes a route of a table, which is read if it was not.
func (c *Conn) deleteOneOf(ctx context.Context, r rpdb.Route, read map[readTable]map[destination][]rpdb.Route) error {
	if err := routeExpressible(r); err != nil {
		return err
	}
	key := r.Key()
	of := readTable{r.Family, key.Table, r.Protocol}
	there := read[of]
	if there == nil {
		list, err := c.routes(ctx, routeFilter{family: of.family, table: of.table, protocol: of.protocol})
		if err != nil {
			return err
		}
		there = make(map[destination][]rpdb.Route, len(list))
		for _, s := range list {
			d := destination{s.Dst, s.Src, s.TOS}
			there[d] = append(there[d], s)
		}
		read[of] = there
	}
	d := destination{key.Dst, key.Src, key.TOS}
	left, err := c.deleteAmong(ctx, r, there[d])
	there[d] = left
	return err
}

// deleteStoredRoute sends the deletion and looks at what went.
func (c *Conn) deleteStoredRoute(ctx context.Context, r rpdb.Route) error {
	if r.Family == rpdb.IPv6 && len(r.Nexthops) > 1 {
		// The kernel deletes the members one by one and tells each time what
		// is left of them, more than fits a receive buffer. Their gateways
		// make the request exact.
		return c.nl.Execute(ctx, encodeDeletion(r, 0), nil)
	}
	gone, err := echoed(ctx, c.nl, encodeDeletion(r, netlink.Echo), unix.RTM_DELROUTE, decodeRoute)
	if err != nil {
		return err
	}
	for _, g := range gone {
		if sameRoute(r, g) {
			continue
		}
		wrong := &OtherRouteError{Hit: g}
		back, err := c.encodeNew(netlink.Create|netlink.Append, g)
		if err == nil {
			err = c.nl.Execute(context.WithoutCancel(ctx), back, nil)
		}
		if err != nil {
			return fmt.Errorf("%w, and did: %w", wrong, err)
		}
		return wrong
	}
	return nil
}

// routeHit reports whether the kernel, asked to delete r, might delete s
// instead: it agrees in what the kernel looks at (fib_table_delete,
// ip6_route_del), or nearly; in doubt it does.
func routeHit(r, s rpdb.Route) bool {
	if !given(r.Metric, s.Metric) || !given(r.Protocol, s.Protocol) {
		return false
	}
	if r.Family == rpdb.IPv4 && (r.Type != s.Type && !leadsNowhere(r) || r.Scope != s.Scope || !given(r.PrefSrc, s.PrefSrc) || !hasMetrics(s, r.Metrics)) {
		return false
	}
	if r.NexthopID != 0 || s.NexthopID != 0 {
		return given(r.NexthopID, s.NexthopID)
	}
	if len(r.Nexthops) == 0 || r.Family == rpdb.IPv4 && (r.Type.IsError() || r.Type == rpdb.RouteThrow) {
		return true
	}
	return slices.ContainsFunc(r.Nexthops, func(h rpdb.Nexthop) bool {
		return slices.ContainsFunc(s.Nexthops, func(x rpdb.Nexthop) bool {
			return given(h.Link, x.Link) && (h.Via == netip.Addr{} || h.Via == x.Via)
		})
	})
}

// hasMetrics reports whether a route has all of the metrics (fib_metrics_match,
// since Linux 4.15).
func hasMetrics(r rpdb.Route, metrics []rpdb.Metric) bool {
	for _, m := range metrics {
		if !slices.Contains(r.Metrics, m) {
			return false
		}
	}
	return true
}
