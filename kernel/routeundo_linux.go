package kernel

import (
	"context"
	"errors"
	"slices"

	"rpdb"
	"rpdb/kernel/netlink"
)

// undo deletes what was added, and no other route.
func (r *routeRestore) undo(ctx context.Context) error {
	found := newBitset(len(r.index.units))
	if err := r.find(ctx, found); err != nil {
		return err
	}
	f := routeFlush{nl: r.c.nl, limit: flushBatch, chosen: func(m RouteMessage) (rpdb.Route, bool) {
		return r.added(m, found)
	}}
	_, err := f.run(ctx, func(each func(RouteMessage) error) error { return r.list(ctx, each) })
	var other *OtherRouteError
	if errors.As(err, &other) {
		return r.rewrite(ctx, found)
	}
	return err
}

// added returns the part of a route of the kernel that was added: what means
// the same as a unit that was sent, or, if there is none, what the kernel made
// of it.
func (r *routeRestore) added(m RouteMessage, found bitset) (part rpdb.Route, ok bool) {
	part = m.Route
	var ours []rpdb.Nexthop
	last := -1
	r.index.each(m, func(x unitMatch) {
		if !r.sent.has(x.unit) || !x.exact && found.has(x.unit) || x.hop == last {
			return
		}
		ok, last = true, x.hop
		if x.hop < len(part.Nexthops) {
			ours = append(ours, part.Nexthops[x.hop])
		}
	})
	if unitsOf(part) > 1 {
		// Each member has a protocol of its own, of which only the first is
		// told; its gateway says which one is meant.
		part.Nexthops, part.Protocol = ours, rpdb.ProtocolUnspec
	}
	return part, ok
}

// rewrite takes away what is left of what was added. The kernel would delete
// another route before it, so all routes of its key go, and those of others are
// written anew in their old order.
func (r *routeRestore) rewrite(ctx context.Context, found bitset) error {
	keys := map[rpdb.RouteKey]bool{}
	if err := r.list(ctx, func(m RouteMessage) error {
		if _, ok := r.added(m, found); ok {
			keys[m.Route.Key()] = true
		}
		return nil
	}); err != nil {
		return err
	}
	var gone, back netlink.Batch
	err := r.list(ctx, func(m RouteMessage) error {
		if !keys[m.Route.Key()] {
			return nil
		}
		if err := gone.Add(encodeDeletion(m.Route, 0)); err != nil {
			return err
		}
		part, ours := r.added(m, found)
		theirs := m.Route
		if ours {
			theirs.Nexthops = slices.DeleteFunc(slices.Clone(theirs.Nexthops), func(h rpdb.Nexthop) bool {
				return slices.Contains(part.Nexthops, h)
			})
			if len(theirs.Nexthops) == 0 {
				return nil
			}
		}
		e, err := r.c.encodeNew(netlink.Create|netlink.Append, theirs)
		if err != nil {
			return err
		}
		return back.Add(e)
	})
	if err != nil {
		return err
	}
	stop := func(_ int, err error) error { return err }
	if _, err := r.c.nl.ExecuteBatch(ctx, &gone, stop); err != nil {
		return err
	}
	_, err = r.c.nl.ExecuteBatch(ctx, &back, stop)
	return err
}
