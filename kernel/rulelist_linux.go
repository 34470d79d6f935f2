package kernel

import (
	"context"
	"errors"
	"slices"
	"sort"
	"sync"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// ruleList knows the rules of both families without reading them for every
// deletion: it reads them once and then follows the kernel's events, which
// tell every addition and deletion. Whatever does not fit, an overflow or the
// deletion of a rule that it does not know, makes it read anew.
type ruleList struct {
	mu    sync.Mutex
	mon   *netlink.Conn
	known map[rpdb.Family][]rpdb.Rule
}

// ruleListBuffer holds the events of some 1000 rules between two deletions.
const ruleListBuffer = 1 << 20

// close ends the list's socket.
func (l *ruleList) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mon == nil {
		return nil
	}
	return l.mon.Close()
}

// forget ends the list's socket, so that many changes do not fill it for nothing.
// The rules are read anew when they are next asked for.
func (l *ruleList) forget() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mon == nil {
		return nil
	}
	mon := l.mon
	l.mon, l.known = nil, nil
	return mon.Close()
}

// withRules gives the rules of a family to use, in order, as they are now. The
// flags that the kernel computes may be out of date. Nobody else has the list
// meanwhile: use must neither keep nor change it, nor ask for it again.
func (c *Conn) withRules(ctx context.Context, f rpdb.Family, use func([]rpdb.Rule) error) error {
	l := &c.list
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mon == nil {
		mon, err := netlink.Dial(netlink.Options{
			NetNS: c.ns.FD(), ReceiveBuffer: ruleListBuffer,
			Groups: []uint32{unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE},
		})
		if err != nil {
			return err
		}
		l.mon, l.known = mon, map[rpdb.Family][]rpdb.Rule{}
	}
	if _, err := l.follow(); err != nil {
		return err
	}
	rules, ok := l.known[f]
	if !ok {
		var err error
		if rules, err = c.readList(ctx, f); err != nil {
			return err
		}
	}
	return use(rules)
}

// readList reads the rules until no event came meanwhile, and those that take
// several datagrams until two readings agree, as [agreed] does.
func (c *Conn) readList(ctx context.Context, f rpdb.Family) ([]rpdb.Rule, error) {
	l := &c.list
	for range maxReadings {
		rules, n, err := c.dumpRules(ctx, f)
		torn := false
		if err == nil && n > 1 {
			var again []rpdb.Rule
			again, _, err = c.dumpRules(ctx, f)
			torn = !slices.Equal(rules, again)
		}
		if err != nil && !errors.Is(err, netlink.InterruptedError{}) {
			return nil, err
		}
		events, ferr := l.follow()
		if ferr != nil {
			return nil, ferr
		}
		if err == nil && !torn && events == 0 {
			l.known[f] = rules
			return rules, nil
		}
	}
	return nil, &UnstableError{Class: "rules (" + f.String() + ")", Attempts: maxReadings}
}

// follow takes in the events that are there and returns how many.
func (l *ruleList) follow() (events int, err error) {
	for {
		more, err := l.mon.Poll(func(m netlink.Message) error {
			events++
			l.take(m)
			return nil
		})
		switch {
		case errors.Is(err, netlink.OverflowError{}):
			events++
			clear(l.known)
		case err != nil || !more:
			return events, err
		}
	}
}

// take applies one event. Kernels after 6.18 may tell late what a reading had
// already: a rule that comes once more, or one of two alike that goes, is reason
// to read anew.
func (l *ruleList) take(m netlink.Message) {
	r, err := decodeRule(m.Data)
	if err != nil {
		if len(m.Data) == 0 || rpdb.Family(m.Data[0]).Bits() != 0 {
			clear(l.known)
		}
		return // the multicast families share the groups
	}
	rules, ok := l.known[r.Family]
	if !ok {
		return
	}
	first := sort.Search(len(rules), func(i int) bool { return rules[i].Priority >= r.Priority })
	behind := first + sort.Search(len(rules)-first, func(i int) bool { return rules[first+i].Priority > r.Priority })
	var alike []int
	for i := first; i < behind; i++ {
		if withoutState(rules[i]) == withoutState(r) {
			alike = append(alike, i)
		}
	}
	switch added := m.Type == unix.RTM_NEWRULE; {
	case added && len(alike) == 0: // behind all of the same priority, as the kernel puts it
		l.known[r.Family] = slices.Insert(rules, behind, r)
	case !added && len(alike) == 1:
		l.known[r.Family] = slices.Delete(rules, alike[0], alike[0]+1)
	default:
		delete(l.known, r.Family)
	}
}

// withoutState returns the rule as it is stored, host bits and all.
func withoutState(r rpdb.Rule) rpdb.Rule {
	r.Flags &^= r.State()
	return r
}
