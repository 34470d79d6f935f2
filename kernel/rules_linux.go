package kernel

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Rules reads the rules of one family in the order of their list, as they were
// at one moment, and nothing else: what a listing needs. It needs no
// privilege. The caller owns the result.
func (c *Conn) Rules(ctx context.Context, f rpdb.Family) ([]rpdb.Rule, error) {
	rules, err := c.rules(ctx, f)
	return rules, opError("read", "rules ("+f.String()+")", err)
}

// RuleMessages is [Conn.Rules] with what the kernel said word by word: what
// saving needs.
func (c *Conn) RuleMessages(ctx context.Context, f rpdb.Family) (RuleList, error) {
	var list RuleList
	blocks, err := agreed(ctx, c, f, func() (blocks [][]byte, n int, err error) {
		list = RuleList{}
		n, err = c.nl.Dump(ctx, dumpOfRules(uint8(f)), list.add)
		return list.blocks, n, err
	}, bytes.Equal)
	list.blocks = blocks
	return list, opError("read", "rules ("+f.String()+")", err)
}

// Links reads the interfaces as they were at one moment, and nothing else. It
// needs no privilege. The caller owns the result.
func (c *Conn) Links(ctx context.Context) ([]rpdb.Link, error) {
	var links []rpdb.Link
	err := c.steady(ctx, classLinks, func() (n int, err error) {
		links, _, n, err = c.dumpLinks(ctx)
		return n, err
	})
	return links, opError("read", "interfaces", err)
}

// rules reads the rules of a family as they were at one moment.
func (c *Conn) rules(ctx context.Context, f rpdb.Family) ([]rpdb.Rule, error) {
	return agreed(ctx, c, f, func() ([]rpdb.Rule, int, error) { return c.dumpRules(ctx, f) },
		func(a, b rpdb.Rule) bool { return a == b })
}

// dumpOfRules is the request for the rules of a family, which may be any
// number.
func dumpOfRules(family uint8) *netlink.Encoder {
	return netlink.NewEncoder(nil, unix.RTM_GETRULE, 0, append([]byte{family}, make([]byte, sizeofRuleHdr-1)...))
}

// agreed reads the rules of a family once if they fit one datagram, which is
// made in one piece, and otherwise until two readings agree and no event came
// during the second. Either alone is not enough: kernels after 6.18 let others
// at the rules before they tell of a change, so that the event may come after
// the end of the reading that it tore; and one who adds and deletes a rule over
// and over may tear two readings alike.
func agreed[T any](ctx context.Context, c *Conn, f rpdb.Family, read func() ([]T, int, error), same func(a, b T) bool) ([]T, error) {
	last, n, err := read()
	if n <= 1 && err == nil {
		return last, nil
	}
	mon, merr := netlink.Dial(netlink.Options{NetNS: c.ns.FD(), Groups: []uint32{eventGroup(EventRule, f)}})
	if merr != nil {
		return nil, merr
	}
	defer mon.Close()
	for range maxReadings {
		if err != nil && !errors.Is(err, netlink.InterruptedError{}) {
			return nil, err
		}
		var list []T
		if list, _, err = read(); err == nil && slices.EqualFunc(last, list, same) {
			var dirty classSet
			if err := pollAll(mon, &dirty); err != nil || dirty == 0 {
				return list, err
			}
		}
		last = list
		if err := pollAll(mon, new(classSet)); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nil, &UnstableError{Class: "rules (" + f.String() + ")", Attempts: maxReadings}
}
