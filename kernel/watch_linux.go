package kernel

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// EventType says what an [Event] is about. The zero value is nothing.
type EventType uint8

// Rule, route, interface, address and nexthop object events carry their
// object. An overflow says that events were lost, all that were queued among
// them: read everything anew. What happens after it was told is told again.
const (
	EventRule EventType = iota + 1
	EventRoute
	EventLink
	EventAddress
	EventNexthop
	EventOverflow
)

// String returns the word of ip-monitor(8), or "overflow".
func (t EventType) String() string {
	words := [...]string{"none", "rule", "route", "link", "address", "nexthop", "overflow"}
	if int(t) < len(words) {
		return words[t]
	}
	return "unknown"
}

// Event is one change in the namespace. Of the objects the one that Type names
// is set, as it is now, or if Deleted as it was.
//
// What the kernel does not tell: IPv4 routes and nexthop objects that go with an
// interface, IPv4 routes that go with an address, the source that an IPv6 route
// loses with its address, members of multipath routes that die and come back,
// routes that go with their nexthop object, gotos that find or lose their target,
// and rules whose interface comes or goes. A [Follower] knows.
type Event struct {
	Type    EventType
	Deleted bool
	// Own is set for what the connection that the watcher came from did.
	Own     bool
	Rule    rpdb.Rule
	Route   rpdb.Route
	Details rpdb.RouteDetails // of the route
	Link    rpdb.Link
	Address rpdb.Address
	Nexthop rpdb.NexthopObject
}

// watchBuffer is the kernel's buffer for events in bytes: some 10 000 of them.
// Without privilege the kernel gives less.
const watchBuffer = 8 << 20

// Watcher is a queue of events. It is safe for concurrent use.
type Watcher struct {
	next  func(context.Context) (Event, error)
	close func() error
}

// NewWatcher returns a watcher of events that next returns one by one, for
// kernels that are not the real one. Both functions must be safe for
// concurrent use.
func NewWatcher(next func(context.Context) (Event, error), close func() error) *Watcher {
	return &Watcher{next: next, close: close}
}

// Next waits for the next event, and for other callers. When ctx ends it
// returns the error of ctx and loses nothing. After Close the error is os.ErrClosed.
func (w *Watcher) Next(ctx context.Context) (Event, error) { return w.next(ctx) }

// Close ends the watcher and the calls that wait on it.
func (w *Watcher) Close() error { return w.close() }

// Watch subscribes to the events of rules and routes of both families,
// interfaces, addresses and nexthop objects. Everything that happens after it
// returns is told; so take the Snapshot afterwards. It needs no privilege.
func (c *Conn) Watch(ctx context.Context) (*Watcher, error) {
	return c.watch(ctx, watchBuffer)
}

func (c *Conn) watch(ctx context.Context, buffer int) (*Watcher, error) {
	if err := ctx.Err(); err != nil {
		return nil, opError("watch", "network namespace", err)
	}
	mon, err := c.monitor(buffer)
	if err != nil {
		return nil, opError("watch", "network namespace", err)
	}
	return watcherOf(mon, c.nl.Port()), nil
}

// watcherOf returns a watcher of the events that a socket hears. Those that
// the socket of the port caused are its own.
func watcherOf(mon *netlink.Conn, port uint32) *Watcher {
	s := &eventSource{mon: mon, port: port, turn: make(chan struct{}, 1)}
	return NewWatcher(s.next, mon.Close)
}

// eventSource reads events off a socket, a datagram at a time.
type eventSource struct {
	mon  *netlink.Conn
	port uint32
	turn chan struct{} // full while a caller has what is below
	// queue holds what was read and not yet told; lost is set from an overflow
	// until it is told.
	queue []Event
	lost  bool
}

func (s *eventSource) next(ctx context.Context) (Event, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
	defer func() { <-s.turn }()
	for len(s.queue) == 0 && !s.lost {
		s.queue = s.queue[:0:0]
		err := s.mon.Receive(ctx, s.take)
		if errors.Is(err, netlink.OverflowError{}) {
			s.lost = true
		} else if err != nil {
			return Event{}, err
		}
	}
	if s.lost {
		return s.overflow(ctx)
	}
	ev := s.queue[0]
	s.queue = s.queue[1:]
	return ev, nil
}

// take queues what a message tells.
func (s *eventSource) take(m netlink.Message) error {
	ev, ok, err := decodeEvent(m)
	if err != nil {
		// What cannot be read is lost like what never came.
		ev, ok = Event{Type: EventOverflow}, true
	}
	if ok {
		ev.Own = m.PID == s.port && m.Seq != 0
		s.queue = append(s.queue, ev)
	}
	return nil
}

// overflow empties the socket and tells the overflow. The kernel reports it
// once and then drops events in silence until the socket is empty, so telling
// it before would lose what happens in between.
func (s *eventSource) overflow(ctx context.Context) (Event, error) {
	for {
		more, err := s.mon.Poll(func(netlink.Message) error { return nil })
		switch {
		case ctx.Err() != nil:
			return Event{}, ctx.Err()
		case errors.Is(err, netlink.OverflowError{}):
		case err != nil:
			return Event{}, err
		case !more:
			s.queue, s.lost = nil, false
			return Event{Type: EventOverflow}, nil
		}
	}
}

// decodeEvent reads an event; ok is false for what is none of ours.
func decodeEvent(m netlink.Message) (ev Event, ok bool, err error) {
	if len(m.Data) > 0 && m.Data[0] != unix.AF_INET && m.Data[0] != unix.AF_INET6 && m.Data[0] != unix.AF_UNSPEC {
		return ev, false, nil // bridge ports, multicast routing
	}
	switch m.Type {
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		ev.Type, ev.Deleted = EventRule, m.Type == unix.RTM_DELRULE
		ev.Rule, err = decodeRule(m.Data)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		ev.Type, ev.Deleted = EventRoute, m.Type == unix.RTM_DELROUTE
		ev.Route, ev.Details, err = DecodeRoute(m.Data)
		if ev.Route.Flags&routeCloned != 0 {
			return ev, false, err
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		ev.Type, ev.Deleted = EventLink, m.Type == unix.RTM_DELLINK
		ev.Link, _, err = decodeLink(m.Data)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		ev.Type, ev.Deleted = EventAddress, m.Type == unix.RTM_DELADDR
		ev.Address, err = decodeAddress(m.Data)
	case rtmNewNexthop, rtmDelNexthop:
		ev.Type, ev.Deleted = EventNexthop, m.Type == rtmDelNexthop
		ev.Nexthop, err = decodeNexthop(m.Data)
	default:
		return ev, false, nil
	}
	return ev, err == nil, err
}
