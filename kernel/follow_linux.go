package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Follower keeps a snapshot of a namespace current by the kernel's events, which
// costs far less than reading all of it after every change. What an event tells
// it takes in; what an event only hints at, because the kernel changes other
// things along without a word, it reads again, and nothing else: the routes of an
// interface that went down, of the tables that have any, for instance.
//
// A follower does its work in the calls of its methods and has no goroutine of
// its own. While nobody calls it, events wait in a buffer of the kernel; when
// that overflows, the next call reads everything again. It is safe for concurrent
// use by any number of callers. It uses the connection that it came from, which
// must stay open, and needs no privilege.
//
// The kernel does not tell everything. Only [Follower.Refresh] sees
//   - settings other than forwarding, rp_filter and ignore_routes_with_linkdown,
//   - neighbours that were never reachable,
//   - IPv6 addresses before they have been checked for duplicates,
//   - the group of an interface that is down,
//   - that IPv6 was switched off on an interface without addresses, with
//     skip_notify_on_dev_down or if its route to ff00::/8 has been deleted.
//
// All else is as [Conn.Snapshot] says, and Custom4 and Custom6 say more: that rules
// have been changed while it followed.
type Follower struct {
	conn  *Conn
	mon   *netlink.Conn
	turn  turns // the caller that has it has state, and reads from mon
	state followed
	now   atomic.Pointer[rpdb.Snapshot]

	events, readings, overflows atomic.Uint64
}

// FollowStats counts what a [Follower] did so far.
type FollowStats struct {
	Events    uint64 // messages taken in
	Readings  uint64 // lists read, of one class of objects or one table
	Overflows uint64 // times that events were lost and everything was read again
}

// followGroups are the multicast groups that a follower hears besides
// [watchedGroups].
func followGroups() []uint32 {
	return []uint32{unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF}
}

// Follow subscribes to the events of the namespace, reads it, and returns what
// keeps it current. The caller closes it. [UnstableError] says that the namespace
// never held still for long enough to be read.
func (c *Conn) Follow(ctx context.Context) (*Follower, error) { return c.follow(ctx, watchBuffer) }

func (c *Conn) follow(ctx context.Context, buffer int) (*Follower, error) {
	mon, err := c.monitor(buffer)
	if err != nil {
		return nil, opError("follow", "network namespace", err)
	}
	f := &Follower{conn: c, mon: mon, turn: newTurns(), state: newFollowed()}
	for _, g := range followGroups() {
		if err := mon.Join(g); err != nil && !errors.Is(err, unix.EINVAL) {
			mon.Close()
			return nil, opError("follow", "network namespace", err)
		}
	}
	if f.state.kernel, err = release(); err == nil {
		err = f.catchUp(ctx)
	}
	if err != nil {
		mon.Close()
		return nil, opError("follow", "network namespace", err)
	}
	return f, nil
}

// Close ends the follower and the calls that wait on it, which return
// os.ErrClosed. Snapshots that were handed out stay valid.
func (f *Follower) Close() error { return f.mon.Close() }

// Snapshot returns the snapshot as the last Next or Refresh of anybody left it,
// at once. It is never nil and never changes: all callers share it, and later
// snapshots may share memory with it, so it must not be modified.
func (f *Follower) Snapshot() *rpdb.Snapshot { return f.now.Load() }

// Next waits until there is a snapshot other than after, takes in all that the
// kernel has told meanwhile, and returns it as [Follower.Snapshot] does. With nil
// it does not wait. Several callers may wait, each for its own: none misses a
// change, but a caller that is slow sees several changes as one. When ctx ends it
// returns the error of ctx, and nothing is lost. On [UnstableError] too the next
// call goes on where this one stopped.
func (f *Follower) Next(ctx context.Context, after *rpdb.Snapshot) (*rpdb.Snapshot, error) {
	for {
		if err := f.turn.await(ctx); err != nil {
			return nil, err
		}
		err := f.catchUp(ctx)
		s := f.now.Load()
		if err == nil && s == after {
			err = f.turn.idle(ctx, f.receive)
		}
		f.turn.end()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, opError("follow", "network namespace", err)
		case s != after:
			return s, nil
		}
	}
}

// Refresh takes in all that the kernel has told, reads what it does not tell, and
// returns the snapshot as [Follower.Snapshot] does: everything that was done
// before the call is in it. It does not wait for a change. Callers that wait in
// Next have what it found.
func (f *Follower) Refresh(ctx context.Context) (*rpdb.Snapshot, error) {
	if err := f.turn.claim(ctx); err != nil {
		return nil, err
	}
	defer f.turn.end()
	f.state.untold()
	if err := f.catchUp(ctx); err != nil {
		return nil, opError("follow", "network namespace", err)
	}
	return f.now.Load(), nil
}

// Stats returns what the follower did so far.
func (f *Follower) Stats() FollowStats {
	return FollowStats{Events: f.events.Load(), Readings: f.readings.Load(), Overflows: f.overflows.Load()}
}

// catchUp takes in the events that are there and reads what they leave open,
// until nothing is, and publishes the result.
func (f *Follower) catchUp(ctx context.Context) error {
	for range maxReadings {
		if err := f.poll(); err != nil {
			return err
		}
		if f.state.todo.empty() {
			if s := f.state.publish(f.now.Load()); s != nil {
				f.now.Store(s)
			}
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.read(ctx); err != nil {
			f.state.abandon()
			return err
		}
	}
	return &UnstableError{Class: f.state.todo.String(), Attempts: maxReadings}
}

// receive waits for events and takes them in.
func (f *Follower) receive(ctx context.Context) error {
	err := f.mon.Receive(ctx, f.take)
	if errors.Is(err, netlink.OverflowError{}) {
		f.overflow()
		return nil
	}
	return err
}

// poll takes in the events that are there. After an overflow the kernel tells
// nothing until all have been read, so whatever is read again is read behind this.
func (f *Follower) poll() error {
	for {
		more, err := f.mon.Poll(f.take)
		switch {
		case errors.Is(err, netlink.OverflowError{}):
			f.overflow()
		case err != nil || !more:
			return err
		}
	}
}

func (f *Follower) overflow() {
	f.overflows.Add(1)
	f.state.lost()
}

func (f *Follower) take(m netlink.Message) error {
	f.events.Add(1)
	f.state.take(m)
	return nil
}

// read makes one round: it reads what is to be read, in an order in which nothing
// that the kernel changes along is read before the lock under which it does so
// has been free once (see [touched]). What an event is about that comes meanwhile
// is left to be read again.
func (f *Follower) read(ctx context.Context) error {
	torn := false
	for {
		u, ok := f.state.begin()
		if !ok {
			break
		}
		n, err := f.readPart(ctx, u)
		switch {
		case errors.Is(err, netlink.InterruptedError{}) || errors.Is(err, netlink.OverflowError{}):
			f.state.again = f.state.again.with(u)
		case err != nil:
			return fmt.Errorf("read %v: %w", u, err)
		}
		torn = torn || n > 1
	}
	if torn {
		if err := f.settle(ctx); err != nil {
			return err
		}
	}
	if err := f.poll(); err != nil {
		return err
	}
	f.state.finish()
	return nil
}

// readPart reads one part and returns the number of datagrams that it took.
func (f *Follower) readPart(ctx context.Context, u part) (n int, err error) {
	f.readings.Add(1)
	s := &f.state
	switch u.class {
	case classLinks:
		var links []rpdb.Link
		var conf map[rpdb.LinkName]rpdb.LinkSysctls
		if links, conf, n, err = f.conn.dumpLinks(ctx); err == nil {
			s.putLinks(links, conf)
		}
	case classSettings:
		var settings rpdb.Sysctls
		if settings, err = f.conn.sysctls(); err == nil {
			s.putSettings(settings)
		}
	case classAddresses:
		var list []rpdb.Address
		if list, n, err = f.conn.dumpAddresses(ctx); err == nil {
			put(s, &s.addresses, list, sameAddress)
		}
	case classNexthops:
		var list []rpdb.NexthopObject
		if list, n, err = f.conn.dumpNexthops(ctx); err == nil {
			put(s, &s.nexthops, list, sameNexthops)
		}
	case classRules4, classRules6:
		var list []rpdb.Rule
		if list, n, err = f.conn.dumpRules(ctx, u.family()); err == nil {
			s.putRules(u.family(), list)
		}
	case classRoutes4, classRoutes6:
		var list []rpdb.Route
		if list, n, err = f.conn.dumpRoutes(ctx, routeFilter{family: u.family(), table: u.table}); err == nil {
			s.putRoutes(u, list)
		}
	case classNeighbours:
		var list []rpdb.Neighbour
		if list, err = f.conn.dumpNeighbours(ctx); err == nil {
			s.putNeighbours(list)
		}
	}
	return n, err
}

// settle listens for a short time to whether a list was torn while it was read
// ([settleTime]).
func (f *Follower) settle(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for f.state.again.empty() {
		err := f.receive(wait)
		switch {
		case err != nil && ctx.Err() == nil && wait.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}
