package kernel

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// dump sends a dump request and gives the payload of every message of the
// type want to each. It returns how many datagrams brought objects. A family
// or kind of object that the kernel was built without has none.
func (c *Conn) dump(ctx context.Context, e *netlink.Encoder, want uint16, each func([]byte) error) (int, error) {
	n, err := c.nl.Dump(ctx, e, func(m netlink.Message) error {
		if m.Type != want {
			return nil
		}
		return each(m.Data)
	})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return n, nil
	}
	return n, err
}

// dumpRules reads the rules of a family in order. The kernel keeps them sorted
// by priority, so a list that is not is torn and reported as interrupted.
func (c *Conn) dumpRules(ctx context.Context, f rpdb.Family) ([]rpdb.Rule, int, error) {
	var rules []rpdb.Rule
	n, err := c.eachRule(ctx, f, func(r *rpdb.Rule) error {
		if len(rules) > 0 && r.Priority < rules[len(rules)-1].Priority {
			return netlink.InterruptedError{}
		}
		if len(rules) == cap(rules) { // append would grow a long list by a quarter
			rules = slices.Grow(rules, max(16, len(rules)))
		}
		rules = append(rules, *r)
		return nil
	})
	return rules, n, err
}

// eachRule gives the rules of a family to each as they are read. The rule is valid
// only during the call, but for what it refers to.
func (c *Conn) eachRule(ctx context.Context, f rpdb.Family, each func(*rpdb.Rule) error) (datagrams int, err error) {
	var d RuleDecoder
	return c.dump(ctx, dumpOfRules(byte(f)), unix.RTM_NEWRULE, func(b []byte) error {
		r, err := d.Decode(b)
		if err != nil || r.Family != f {
			return err
		}
		return each(r)
	})
}

// routeFilter limits a dump of routes. The zero value of a field is no limit.
type routeFilter struct {
	family   rpdb.Family
	table    rpdb.TableID
	protocol rpdb.Protocol
	choose   func(rpdb.Route) bool // and may keep nothing of the route
	living   bool                  // without routes whose life time is over
}

func (f routeFilter) admits(r rpdb.Route) bool {
	return r.Family == f.family && r.Flags&routeCloned == 0 &&
		(f.table == 0 || r.Table == f.table) && (f.protocol == 0 || r.Protocol == f.protocol) &&
		(f.choose == nil || f.choose(r))
}

// payload asks for what the filter admits, as far as the kernel filters.
func (f routeFilter) payload(strict bool) []byte {
	head := make([]byte, unix.SizeofRtMsg)
	head[0] = byte(f.family)
	if strict {
		head[5] = byte(f.protocol)
	}
	e := netlink.NewEncoder(nil, unix.RTM_GETROUTE, 0, head)
	if strict && f.table != 0 {
		e.Uint32(unix.RTA_TABLE, uint32(f.table))
	}
	return e.Payload()
}

// dumpRoutes reads the routes that the filter admits. The kernel applies it
// where it can; it is applied here again. Others are not held.
func (c *Conn) dumpRoutes(ctx context.Context, f routeFilter) ([]rpdb.Route, int, error) {
	var routes []rpdb.Route
	e := netlink.NewEncoder(nil, unix.RTM_GETROUTE, 0, f.payload(c.nl.Strict()))
	var d RouteDecoder
	n, err := c.dump(ctx, e, unix.RTM_NEWROUTE, func(b []byte) error {
		if len(b) > 0 && b[0] != byte(f.family) {
			return nil // a kernel without the family answers for all it has
		}
		r, details, err := d.Decode(b)
		if err == nil && f.admits(r) && !(f.living && isOver(details)) {
			r.Nexthops, r.Metrics = slices.Clone(r.Nexthops), slices.Clone(r.Metrics)
			if len(routes) == cap(routes) {
				routes = slices.Grow(routes, max(16, len(routes)))
			}
			routes = append(routes, r)
		}
		return err
	})
	if f.table != 0 && errors.Is(err, unix.ENOENT) {
		err = nil // no such table
	}
	return mergeSiblings(routes), n, err
}

// dumpLinks reads the interfaces, and their settings.
func (c *Conn) dumpLinks(ctx context.Context) ([]rpdb.Link, map[rpdb.LinkName]rpdb.LinkSysctls, int, error) {
	var links []rpdb.Link
	settings := map[rpdb.LinkName]rpdb.LinkSysctls{}
	e := netlink.NewEncoder(nil, unix.RTM_GETLINK, 0, make([]byte, unix.SizeofIfInfomsg))
	e.Uint32(unix.IFLA_EXT_MASK, extMaskSkipStats)
	n, err := c.dump(ctx, e, unix.RTM_NEWLINK, func(b []byte) error {
		l, conf, err := decodeLink(b)
		links = append(links, l)
		settings[l.Name] = conf
		return err
	})
	return links, settings, n, err
}

// dumpAddresses reads the addresses of both families.
func (c *Conn) dumpAddresses(ctx context.Context) ([]rpdb.Address, int, error) {
	var addrs []rpdb.Address
	e := netlink.NewEncoder(nil, unix.RTM_GETADDR, 0, make([]byte, unix.SizeofIfAddrmsg))
	n, err := c.dump(ctx, e, unix.RTM_NEWADDR, func(b []byte) error {
		if len(b) > 0 && rpdb.Family(b[0]).Bits() == 0 {
			return nil // another family that the kernel has
		}
		a, err := decodeAddress(b)
		addrs = append(addrs, a)
		return err
	})
	return addrs, n, err
}

// dumpNeighbours reads the neighbours of both families.
func (c *Conn) dumpNeighbours(ctx context.Context) ([]rpdb.Neighbour, error) {
	var neighbours []rpdb.Neighbour
	e := netlink.NewEncoder(nil, unix.RTM_GETNEIGH, 0, make([]byte, sizeofNdMsg))
	_, err := c.dump(ctx, e, unix.RTM_NEWNEIGH, func(b []byte) error {
		n, ok, err := decodeNeighbour(b)
		if ok {
			neighbours = append(neighbours, n)
		}
		return err
	})
	if errors.Is(err, netlink.InterruptedError{}) {
		err = nil // neighbours come and go with traffic
	}
	return neighbours, err
}

// dumpNexthops reads the nexthop objects; kernels before 5.3 have none.
func (c *Conn) dumpNexthops(ctx context.Context) ([]rpdb.NexthopObject, int, error) {
	var objects []rpdb.NexthopObject
	e := netlink.NewEncoder(nil, rtmGetNexthop, 0, make([]byte, sizeofNhMsg))
	n, err := c.dump(ctx, e, rtmNewNexthop, func(b []byte) error {
		o, err := decodeNexthop(b)
		objects = append(objects, o)
		return err
	})
	return objects, n, err
}

// routes reads the routes that the filter admits as they were at one moment.
func (c *Conn) routes(ctx context.Context, f routeFilter) ([]rpdb.Route, error) {
	var routes []rpdb.Route
	err := c.steady(ctx, ofFamily(f.family, classRoutes4, classRoutes6), func() (n int, err error) {
		routes, n, err = c.dumpRoutes(ctx, f)
		return n, err
	})
	return routes, err
}
