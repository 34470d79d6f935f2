package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// class is a kind of object with a dump and events of its own.
type class uint8

const (
	classLinks class = iota
	classAddresses
	classNexthops
	classRules4
	classRules6
	classRoutes4
	classRoutes6

	classes = 7
)

func (c class) String() string {
	return [classes]string{
		"links", "addresses", "nexthop objects",
		"rules (IPv4)", "rules (IPv6)", "routes (IPv4)", "routes (IPv6)",
	}[c]
}

// ofFamily returns the class of one family.
func ofFamily(f rpdb.Family, four, six class) class {
	if f == rpdb.IPv6 {
		return six
	}
	return four
}

// classSet is a set of classes.
type classSet uint16

const allClasses classSet = 1<<classes - 1

func (s classSet) with(c class) classSet { return s | 1<<c }
func (s classSet) has(c class) bool      { return s&(1<<c) != 0 }

// mark adds what an event touches.
func (s *classSet) mark(m netlink.Message) error {
	*s |= touched(m)
	return nil
}

// first returns the class with the smallest number.
func (s classSet) first() class {
	for c := range class(classes) {
		if s.has(c) {
			return c
		}
	}
	return 0
}

// groupNexthop is RTNLGRP_NEXTHOP, which kernels before 5.3 do not know.
const groupNexthop = 32

// watchedGroups are the multicast groups of all classes.
func watchedGroups() []uint32 {
	return []uint32{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	}
}

// monitor opens a socket that hears the events of all classes.
func (c *Conn) monitor(buffer int) (*netlink.Conn, error) {
	mon, err := netlink.Dial(netlink.Options{NetNS: c.ns.FD(), Groups: watchedGroups(), ReceiveBuffer: buffer})
	if err != nil {
		return nil, err
	}
	if err := mon.Join(groupNexthop); err != nil && !errors.Is(err, unix.EINVAL) {
		mon.Close()
		return nil, err
	}
	return mon, nil
}

// touched returns the classes that an event says may have changed. An
// interface that changes takes nexthop objects and routes with it without an
// event of theirs (IPv6 routes under skip_notify_on_dev_down), as an address
// does routes of its family, which also lose it as their source; rules say whether their interfaces exist, and routes lead
// where their nexthop objects lead.
//
// The event comes before those silent deletions. The kernel makes both under
// one lock, which the reading of links waits for; links are the first class,
// so an event that takes others silently has them read again behind it.
func touched(m netlink.Message) classSet {
	v6 := len(m.Data) > 0 && m.Data[0] == unix.AF_INET6
	switch m.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return allClasses &^ classSet(0).with(classAddresses)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		routes := classRoutes4
		if v6 {
			routes = classRoutes6
		}
		return classSet(0).with(classLinks).with(classAddresses).with(routes)
	case rtmNewNexthop, rtmDelNexthop:
		return classSet(0).with(classNexthops).with(classRoutes4).with(classRoutes6)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		if v6 {
			return classSet(0).with(classRules6)
		}
		return classSet(0).with(classRules4)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if v6 {
			return classSet(0).with(classRoutes6)
		}
		return classSet(0).with(classRoutes4)
	}
	return 0
}

const (
	// maxReadings bounds how often a class is read before others are told to
	// hold still.
	maxReadings = 25
	// settleTime is how long the event of a change may come after the dump
	// that it disturbed; 2 ms were seen.
	settleTime = 4 * time.Millisecond
)

// steady reads one class, and only if that took several datagrams goes to the
// trouble of [Conn.settled].
func (c *Conn) steady(ctx context.Context, cl class, read func() (int, error)) error {
	if n, err := read(); n <= 1 && err == nil {
		return nil
	}
	return c.settled(ctx, classSet(0).with(cl), func(class) (int, error) { return read() })
}

// settled has the classes read until none of them changed between its reading
// and the end, so that all together are the state of one moment. Only what
// changed is read again. Read returns the number of datagrams that it took; a
// reading of one datagram is made in one piece and needs no time to settle.
func (c *Conn) settled(ctx context.Context, todo classSet, read func(class) (int, error)) error {
	mon, err := c.monitor(0)
	if err != nil {
		return err
	}
	defer mon.Close()
	var dirty classSet
	wanted := todo
	for range maxReadings {
		torn := false
		for cl := range class(classes) {
			if !todo.has(cl) {
				continue
			}
			n, err := read(cl)
			switch {
			case errors.Is(err, netlink.InterruptedError{}) || errors.Is(err, netlink.OverflowError{}):
				dirty = dirty.with(cl)
			case err != nil:
				return fmt.Errorf("read %v: %w", cl, err)
			}
			torn = torn || n > 1
		}
		if torn {
			if err := settle(ctx, mon, &dirty, wanted); err != nil {
				return err
			}
		}
		if err := pollAll(mon, &dirty); err != nil {
			return err
		}
		if todo = dirty & wanted; todo == 0 {
			return nil
		}
		dirty = 0
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return &UnstableError{Class: todo.first().String(), Attempts: maxReadings}
}

// settle listens for a short time, or until an event touches what is wanted.
func settle(ctx context.Context, mon *netlink.Conn, dirty *classSet, wanted classSet) error {
	wait, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for *dirty&wanted == 0 {
		err := mon.Receive(wait, dirty.mark)
		switch {
		case errors.Is(err, netlink.OverflowError{}):
			*dirty = allClasses
		case err != nil && ctx.Err() == nil && wait.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// pollAll reads the events that are there.
func pollAll(mon *netlink.Conn, dirty *classSet) error {
	for {
		more, err := mon.Poll(dirty.mark)
		switch {
		case errors.Is(err, netlink.OverflowError{}):
			*dirty = allClasses
		case err != nil || !more:
			return err
		}
	}
}
