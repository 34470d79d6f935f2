package kernel

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// RoutesRestored says what became of saved routes.
type RoutesRestored struct {
	// Added is how many messages brought something new.
	Added int
	// There is how many were there already, or had the place taken by a route
	// that the kernel does not tell from them.
	There int
	// Left is how many were left out: routes that the kernel makes by itself
	// along with addresses and that it would not take from us, cached routes,
	// and those whose time was over.
	Left int
}

// RestoreRoutes adds the saved routes that are not there yet, all of them or
// none. A route is there if one means the same ([rpdb.Route.Equal]). They may
// come in any order: gateways wait for the routes that lead to them. IPv4
// routes that differ in nothing that orders them keep their order, and stand
// behind those that are there. Of a route that uses a nexthop object only the
// id is taken, and of a multipath route in IPv6 the members that are missing.
//
// In the end the routes are read back. If one cannot be added, or the kernel
// made another one of it, those that were added are taken away again, and the
// error, an [*OpError], says which message it was, where it stood in its stream
// and why. The same happens when ctx ends.
func (c *Conn) RestoreRoutes(ctx context.Context, saved *SavedRoutes) (RoutesRestored, error) {
	r := &routeRestore{c: c, saved: saved, index: newSavedIndex(saved), state: make([]savedState, saved.Len())}
	r.there, r.sent = newBitset(len(r.index.units)), newBitset(len(r.index.units))
	if err := r.look(ctx); err != nil {
		return RoutesRestored{}, opError("restore", "routes", err)
	}
	r.order()
	err := r.add(ctx)
	if err == nil {
		err = r.verify(ctx)
	}
	if err != nil {
		return RoutesRestored{}, errors.Join(err, opError("undo restoring", "routes", r.undo(context.WithoutCancel(ctx))))
	}
	return r.result(), nil
}

// savedState is how far a message is.
type savedState uint8

// A message waits in one of three ranks: what depends on nothing, what depends
// on an address, and what depends on a way to its gateway.
const (
	waitsForNothing savedState = iota
	waitsForAddress
	waitsForGateway
	stateAdded
	stateThere
	stateLeft
)

// routeRestore is a restoring under way.
type routeRestore struct {
	c     *Conn
	saved *SavedRoutes
	index *savedIndex
	state []savedState
	// there and sent are the units that were there before, and those that
	// belong to an addition that the kernel took.
	there, sent bitset
	batch       netlink.Batch
	batched     []uint32  // the messages in the batch
	scratch     [256]byte // for one of them
	errs        map[uint32]error
}

// list gives the routes of the kernel that the messages may be about.
func (r *routeRestore) list(ctx context.Context, each func(RouteMessage) error) error {
	families := map[rpdb.Family]rpdb.TableID{} // 0 for several tables
	for i := range r.saved.Len() {
		x, _ := r.saved.route(i)
		table, ok := families[x.Family]
		if !ok {
			families[x.Family] = x.Table
		} else if table != x.Table {
			families[x.Family] = rpdb.TableUnspec
		}
	}
	s := &Socket{nl: r.c.nl}
	for f, table := range families {
		_, err := s.ListRoutes(ctx, routeFilter{family: f, table: table}.payload(r.c.nl.Strict()), each)
		if err != nil && !(table != 0 && errors.Is(err, unix.ENOENT)) {
			return err
		}
	}
	return nil
}

// look finds what is there already. That the list may be torn does not matter:
// the kernel itself refuses what is there.
func (r *routeRestore) look(ctx context.Context) error {
	err := r.find(ctx, r.there)
	for i := range r.state {
		x, details := r.saved.route(i)
		switch {
		case r.missing(i) == 0:
			r.state[i] = stateThere
		case x.Flags&routeCloned != 0, isOver(details), isImplied(x):
			r.state[i] = stateLeft
		default:
			r.state[i] = rank(x)
		}
	}
	return err
}

// find adds the units that the kernel has to a set.
func (r *routeRestore) find(ctx context.Context, found bitset) error {
	return r.list(ctx, func(m RouteMessage) error {
		r.index.each(m, func(x unitMatch) {
			if x.exact {
				found.add(x.unit)
			}
		})
		return nil
	})
}

// missing returns how many units of a message were not there.
func (r *routeRestore) missing(i int) (n int) {
	for u := r.index.first[i]; u < r.index.first[i+1]; u++ {
		if !r.there.has(u) {
			n++
		}
	}
	return n
}

// isOver reports whether the life time of a route was over.
func isOver(d rpdb.RouteDetails) bool {
	cache, _ := d.Cache.Get()
	return cache.Expires < 0
}

// isImplied reports whether only the kernel can make a route: IPv6 takes none
// without a metric from others.
func isImplied(r rpdb.Route) bool {
	return r.Family == rpdb.IPv6 && r.Protocol == rpdb.ProtocolKernel && r.Metric == 0
}

// rank says what a route waits for. One of a nexthop object waits for no other,
// but Linux 6.18 makes one without metrics share what it finds of one that
// differs in nothing else, metrics too: it must come first.
func rank(r rpdb.Route) savedState {
	switch {
	case r.NexthopID != 0 && len(r.Metrics) == 0:
		return waitsForNothing
	case slices.ContainsFunc(r.Nexthops, func(h rpdb.Nexthop) bool { return h.Via.IsValid() }):
		return waitsForGateway
	case r.PrefSrc.IsValid() && r.PrefSrc != r.Dst.Addr():
		return waitsForAddress
	}
	return waitsForNothing
}

// order has the routes of one key wait for each other, so that they come in
// their order.
func (r *routeRestore) order() {
	r.index.keys(func(units []savedUnit) {
		last := waitsForNothing
		for _, u := range units {
			if s := r.state[u.message]; s <= waitsForGateway {
				last = max(last, s)
			}
		}
		for _, u := range units {
			if r.state[u.message] <= waitsForGateway {
				r.state[u.message] = last
			}
		}
	})
}

// add sends what is missing, rank by rank, and each rank again as long as that
// helps: what was refused may depend on what came after it.
func (r *routeRestore) add(ctx context.Context) error {
	for rank := waitsForNothing; rank <= waitsForGateway; rank++ {
		var pending []uint32
		for i, s := range r.state {
			if s == rank {
				pending = append(pending, uint32(i))
			}
		}
		for len(pending) > 0 {
			r.errs = map[uint32]error{}
			if err := r.round(ctx, pending); err != nil {
				return err
			}
			still := slices.DeleteFunc(pending, func(i uint32) bool { return r.state[i] != rank })
			if len(still) == len(pending) {
				if err := r.giveUp(still); err != nil {
					return err
				}
				break
			}
			pending = still
		}
	}
	return nil
}

// giveUp leaves out what the kernel makes by itself, and fails for the rest.
func (r *routeRestore) giveUp(refused []uint32) error {
	for _, i := range refused {
		if x, _ := r.saved.route(int(i)); x.Protocol != rpdb.ProtocolKernel {
			return opError("restore", r.saved.object(int(i)), r.errs[i])
		}
		r.state[i] = stateLeft
	}
	return nil
}

// restoreBatch is how many messages are encoded before they are sent.
const restoreBatch = 1 << 10

// round sends the pending messages once.
func (r *routeRestore) round(ctx context.Context, pending []uint32) error {
	for _, i := range pending {
		flags := netlink.Create
		x, _ := r.saved.route(int(i))
		if x.Family == rpdb.IPv4 {
			flags |= netlink.Append
		} else if r.missing(int(i)) < unitsOf(x) {
			x.Nexthops = r.missingHops(i, x)
		}
		x, err := r.c.copy.equip(x)
		if err == nil {
			err = r.batch.Add(appendRoute(r.scratch[:], unix.RTM_NEWROUTE, flags, x))
		}
		if err != nil {
			return opError("restore", r.saved.object(int(i)), err)
		}
		if r.batched = append(r.batched, i); len(r.batched) == restoreBatch {
			if err := r.send(ctx); err != nil {
				return err
			}
		}
	}
	return r.send(ctx)
}

// missingHops are those that were not there.
func (r *routeRestore) missingHops(i uint32, x rpdb.Route) (hops []rpdb.Nexthop) {
	for hop, h := range x.Nexthops {
		if !r.there.has(r.index.first[i] + uint32(hop)) {
			hops = append(hops, h)
		}
	}
	return hops
}

// send sends the batch and notes what became of each message.
func (r *routeRestore) send(ctx context.Context) error {
	refused := map[int]error{}
	done, err := r.c.nl.ExecuteBatch(ctx, &r.batch, func(n int, err error) error {
		refused[n] = err
		if isFinal(err) {
			if x, _ := r.saved.route(int(r.batched[n])); x.Protocol != rpdb.ProtocolKernel {
				return opError("restore", r.saved.object(int(r.batched[n])), err)
			}
		}
		return nil
	})
	for n, i := range r.batched[:done] {
		switch err := refused[n]; {
		case err == nil:
			r.state[i] = stateAdded
			for u := r.index.first[i]; u < r.index.first[i+1]; u++ {
				if !r.there.has(u) {
					r.sent.add(u)
				}
			}
		case errors.Is(err, unix.EEXIST):
			r.state[i] = stateThere
		default:
			r.errs[i] = err
		}
	}
	r.batch.Reset()
	r.batched = r.batched[:0]
	var op *OpError
	if err == nil || errors.As(err, &op) {
		return err
	}
	return opError("restore", "routes", err)
}

// isFinal reports whether a refusal cannot depend on other routes.
func isFinal(err error) bool {
	return !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) &&
		!errors.Is(err, unix.EINVAL)
}

// verify reads back and compares what was added.
func (r *routeRestore) verify(ctx context.Context) error {
	found := newBitset(len(r.index.units))
	if err := r.find(ctx, found); err != nil {
		return opError("restore", "routes", err)
	}
	for i, s := range r.state {
		for u := r.index.first[i]; s == stateAdded && u < r.index.first[i+1]; u++ {
			if x, _ := r.saved.route(i); !found.has(u) && x.Protocol != rpdb.ProtocolKernel {
				return opError("restore", r.saved.object(i), r.lost(ctx, u))
			}
		}
	}
	return nil
}

// lost says what became of a unit that is not as it was meant.
func (r *routeRestore) lost(ctx context.Context, unit uint32) error {
	var lost error
	err := r.list(ctx, func(m RouteMessage) error {
		r.index.each(m, func(x unitMatch) {
			if x.unit == unit && !x.exact {
				meant, _ := r.saved.route(int(x.message))
				e := &UnsupportedError{}
				e.Feature, e.Since = missingInRoute(lenient(meant, m.Route))
				lost = e
			}
		})
		return nil
	})
	if lost == nil && err == nil {
		lost = &netlink.Error{Errno: unix.ESRCH, Message: "the kernel took it, and has another in its place"}
	}
	return errors.Join(lost, err)
}

func (r *routeRestore) result() (done RoutesRestored) {
	for _, s := range r.state {
		switch s {
		case stateAdded:
			done.Added++
		case stateThere:
			done.There++
		case stateLeft:
			done.Left++
		}
	}
	return done
}
