package kernel

import (
	"context"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// FlushRoutes deletes the routes that doomed chooses among those that the
// payload of a dump request asks for, and no other: whole tables or parts of
// them, of both families, multipath routes and routes of nexthop objects too.
// It lists and deletes in rounds, until a list has nothing to delete, and
// returns how many routes each round deleted. Doomed may be asked about a route
// more than once; what its message refers to is valid during the call only.
//
// The kernel deletes the first route of a prefix that agrees with a request. A
// chosen route that it cannot be made to delete without one before it that is
// not chosen is left, and the error is an [*OtherRouteError] about the first of
// them. The first refusal ends the flush with a [*Refusal]; what was deleted
// before stays deleted. Cached routes of IPv4 cannot be deleted and are passed
// over. Nobody can spare what is not listed: Linux 6.18 leaves out IPv6 routes
// that stand between the members of a multipath route.
func (s *Socket) FlushRoutes(ctx context.Context, payload []byte, doomed func(RouteMessage) bool) (rounds []int, err error) {
	f := routeFlush{nl: s.nl, limit: flushBatch, chosen: func(m RouteMessage) (rpdb.Route, bool) {
		return m.Route, doomed(m)
	}}
	return f.run(ctx, func(each func(RouteMessage) error) error {
		_, err := s.ListRoutes(ctx, payload, each)
		return err
	})
}

// flushBatch is how many deletions are held before they are sent. A list must
// be ended for that, and is then begun anew.
const flushBatch = 1 << 16

// errBatchFull ends a list.
var errBatchFull = errors.New("enough deletions for one batch")

// routeFlush is a flush under way.
type routeFlush struct {
	nl *netlink.Conn
	// chosen returns the part of a route that is to be deleted: the whole, or
	// in IPv6 some members of a multipath route.
	chosen  func(RouteMessage) (rpdb.Route, bool)
	batch   netlink.Batch
	limit   int       // of the batch
	scratch [256]byte // for one request
	kept    keptRoutes
	spared  error // nil, or the first [*OtherRouteError] of a round
}

// run makes rounds of what list gives until one finds nothing.
func (f *routeFlush) run(ctx context.Context, list func(each func(RouteMessage) error) error) (rounds []int, err error) {
	for range flushRounds {
		n, err := f.round(ctx, list)
		if n > 0 {
			rounds = append(rounds, n)
		}
		if err != nil {
			return rounds, err
		}
		if n == 0 {
			return rounds, f.spared
		}
	}
	return rounds, &UnstableError{Class: "routes", Attempts: flushRounds}
}

// round goes over all routes once and returns how many it deleted.
func (f *routeFlush) round(ctx context.Context, list func(func(RouteMessage) error) error) (deleted int, err error) {
	for {
		f.spared = nil
		f.kept.reset()
		f.batch.Reset()
		listErr := list(f.take)
		if listErr != nil && !errors.Is(listErr, errBatchFull) {
			return deleted, listErr
		}
		n, err := f.delete(ctx)
		deleted += n
		if err != nil || listErr == nil || n == 0 {
			return deleted, err
		}
	}
}

// take puts the deletion of a route into the batch if it is chosen.
func (f *routeFlush) take(m RouteMessage) error {
	if m.Route.Family == rpdb.IPv4 && m.Route.Flags&routeCloned != 0 {
		return nil
	}
	part, ok := f.chosen(m)
	if !ok {
		f.kept.add(m)
		return nil
	}
	if hit, ok := f.kept.hitBy(part); ok {
		if f.spared == nil {
			f.spared = &OtherRouteError{Hit: hit}
		}
		f.kept.add(m)
		return nil
	}
	if len(part.Nexthops) < len(m.Route.Nexthops) {
		f.kept.add(m)
	}
	if err := f.batch.Add(appendDeletion(f.scratch[:], part, 0)); err != nil {
		return err
	}
	if f.batch.Len() >= f.limit {
		return errBatchFull
	}
	return nil
}

// delete sends the deletions and returns how many of them the kernel made.
func (f *routeFlush) delete(ctx context.Context) (int, error) {
	gone := 0 // before it was our turn
	done, err := f.nl.ExecuteBatch(ctx, &f.batch, func(_ int, err error) error {
		gone++
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return err
	})
	return done - gone, err
}

// keptRoutes are the routes of one prefix that stand before the one at hand
// and are to stay, as the kernel told them. They are read only when they are
// needed, since few prefixes have several routes.
type keptRoutes struct {
	prefix routePrefix
	b      []byte
	ends   []int
}

// routePrefix is what the routes that the kernel searches for a deletion have
// in common. An IPv4 route with another TOS is not searched.
type routePrefix struct {
	family   rpdb.Family
	table    rpdb.TableID
	dst, src netip.Prefix
	tos      uint8
}

func prefixOf(r rpdb.Route) routePrefix { return routePrefix{r.Family, r.Table, r.Dst, r.Src, r.TOS} }

func (k *keptRoutes) reset() { k.b, k.ends = k.b[:0], k.ends[:0] }

func (k *keptRoutes) add(m RouteMessage) {
	if p := prefixOf(m.Route); p != k.prefix {
		k.reset()
		k.prefix = p
	}
	k.b = append(k.b, m.Payload...)
	k.ends = append(k.ends, len(k.b))
}

// hitBy returns the first of the routes that the kernel might delete when it is
// asked to delete r.
func (k *keptRoutes) hitBy(r rpdb.Route) (rpdb.Route, bool) {
	if len(k.ends) == 0 || prefixOf(r) != k.prefix {
		return rpdb.Route{}, false
	}
	start := 0
	for _, end := range k.ends {
		s, err := decodeRoute(k.b[start:end])
		if err == nil && routeHit(r, s) {
			return s, true
		}
		start = end
	}
	return rpdb.Route{}, false
}
