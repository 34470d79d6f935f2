package kernel

import (
	"context"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// RoutePut is a way to put a route into its table that is no [rpdb.ChangeOp]:
// it has no inverse, so that no plan has it. The zero value is none.
type RoutePut uint8

// The verbs of ip-route(8).
const (
	AppendRoute  RoutePut = 1 + iota // behind the routes of the same key
	PrependRoute                     // before them
	ChangeRoute                      // in the place of the first of them
)

// String returns the verb of ip-route(8), and "put" for none.
func (p RoutePut) String() string {
	switch p {
	case AppendRoute:
		return "append"
	case PrependRoute:
		return "prepend"
	case ChangeRoute:
		return "change"
	}
	return "put"
}

func (p RoutePut) flags() netlink.Flags {
	switch p {
	case AppendRoute:
		return netlink.Create | netlink.Append
	case PrependRoute:
		return netlink.Create
	}
	return netlink.Replace
}

// PutRoute puts a route into its table and compares what the kernel says it
// did with what was meant, as [Conn.Do] does. A route that is there already is
// EEXIST, and a change of one that is not ENOENT. Nothing is taken back.
//
// IPv6 has no order among routes of one key: those with a gateway are joined
// into one multipath route, whichever of append and prepend was asked for, and
// what counts is that it has the nexthops that were meant.
func (c *Conn) PutRoute(ctx context.Context, how RoutePut, r rpdb.Route) error {
	return opError(how.String(), r.String(), c.putBeside(ctx, how, r))
}

func (c *Conn) putBeside(ctx context.Context, how RoutePut, r rpdb.Route) error {
	if how.String() == "put" {
		return &netlink.Error{Errno: unix.EINVAL, Message: "no such operation"}
	}
	if err := routeExpressible(r); err != nil {
		return err
	}
	e, err := c.encodeNew(how.flags()|netlink.Echo, r)
	if err != nil {
		return err
	}
	told, err := echoed(ctx, c.nl, e, unix.RTM_NEWROUTE, decodeRoute)
	if err != nil {
		return err
	}
	told = mergeSiblings(told)
	if len(told) == 0 {
		if told, err = c.routesOfPrefix(ctx, r); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(told, func(s rpdb.Route) bool { return sameRoute(r, s) || how != ChangeRoute && joined(r, s) }) {
		return nil
	}
	lost := &UnsupportedError{Feature: "an attribute of the route"}
	if len(told) == 1 {
		lost.Feature, lost.Since = missingInRoute(lenient(r, told[0]))
	}
	return lost
}

// joined reports whether a route became a part of a multipath route of IPv6.
func joined(part, whole rpdb.Route) bool {
	if part.Family != rpdb.IPv6 || len(whole.Nexthops) < 2 || part.Key() != whole.Key() {
		return false
	}
	return !slices.ContainsFunc(part.Nexthops, func(p rpdb.Nexthop) bool {
		return !slices.ContainsFunc(whole.Nexthops, func(w rpdb.Nexthop) bool {
			p := p.Canonical()
			lenientHop(&p, w)
			return p == w.Canonical()
		})
	})
}

// SameRoute reports whether a route of the kernel is the one that was meant:
// equal by [rpdb.Route.Equal], but for what was left to the kernel to fill in:
// the interface that a gateway is reached by, the metric of IPv6, what a
// nexthop object leads to, and the clamping of metrics.
func SameRoute(meant, stored rpdb.Route) bool { return sameRoute(meant, stored) }
