package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Do makes one change and compares what the kernel says it did with what was
// meant, by [rpdb.Rule.Canonical] and [rpdb.Route.Canonical]. The error is an
// [*OpError]; its cause is a syscall.Errno where the kernel refused.
//
// Add refuses an object that is there (EEXIST), Replace (routes only) takes
// the place of the route with the same key, Delete takes away exactly the
// object given and answers ENOENT (rules) or ESRCH (routes) if it is not
// there. A second identical Add or Delete thus is an error and changes
// nothing.
//
// A kernel that does not know an attribute stores a broader rule and says
// yes. Then the rule is taken away again and the cause is an
// [*UnsupportedError]; only a Replace is not taken back.
//
// Deletion gives every attribute of the object, but the kernel deletes the
// first object that matches what it looks at, which is not everything. When
// that would be another one, nothing is done and the cause is an
// [*OtherRuleError] or [*OtherRouteError]. Should somebody slip such an object
// in at the very moment, it is put back, behind others of its priority, and
// the error is the same.
//
// When ctx ends underway the change may or may not have been made.
func (c *Conn) Do(ctx context.Context, ch rpdb.Change) error {
	return opError(ch.Op.String(), ch.Object(), c.do(ctx, ch))
}

func (c *Conn) do(ctx context.Context, ch rpdb.Change) error {
	switch {
	case (ch.Rule == nil) == (ch.Route == nil):
		return &netlink.Error{Errno: unix.EINVAL, Message: "a change is about one rule or one route"}
	case ch.Rule != nil && ch.Op == rpdb.Add:
		return c.addRule(ctx, *ch.Rule)
	case ch.Rule != nil && ch.Op == rpdb.Delete:
		return c.deleteRule(ctx, *ch.Rule)
	case ch.Route != nil && (ch.Op == rpdb.Add || ch.Op == rpdb.Replace):
		return c.putRoute(ctx, ch.Op, *ch.Route)
	case ch.Route != nil && ch.Op == rpdb.Delete:
		return c.deleteRoute(ctx, *ch.Route)
	}
	return &netlink.Error{Errno: unix.EINVAL, Message: "no such operation"}
}

// echoed sends a change and collects what the kernel tells everybody about it,
// decoded by decode. That is the object as the kernel stored it, read in the
// same moment.
func echoed[T any](ctx context.Context, nl *netlink.Conn, e *netlink.Encoder, want uint16,
	decode func([]byte) (T, error),
) ([]T, error) {
	var told []T
	err := nl.Execute(ctx, e, func(m netlink.Message) error {
		if m.Type != want {
			return nil
		}
		v, err := decode(m.Data)
		if err == nil {
			told = append(told, v)
		}
		return err
	})
	return told, err
}

// addRule adds a rule and takes it back if the kernel made another one of it.
func (c *Conn) addRule(ctx context.Context, r rpdb.Rule) error {
	if err := expressible(&r); err != nil {
		return err
	}
	e := encodeRule(unix.RTM_NEWRULE, netlink.Create|netlink.Excl|netlink.Echo, r)
	stored, err := echoed(ctx, c.nl, e, unix.RTM_NEWRULE, decodeRule)
	if errors.Is(err, unix.EEXIST) {
		return c.explainExists(ctx, r, err)
	}
	if err != nil {
		return err
	}
	if len(stored) == 0 {
		if stored, err = c.findRule(ctx, r); err != nil {
			return err
		}
	}
	for _, s := range stored {
		if sameRule(&r, &s) {
			return nil
		}
	}
	lost := &UnsupportedError{Feature: "an attribute of the rule"}
	if len(stored) > 0 {
		lost.Feature, lost.Since = missingInRule(r, stored[0])
		if err := c.deleteRule(context.WithoutCancel(ctx), stored[0]); err != nil {
			return fmt.Errorf("%w, and what it stored instead remains: %w", lost, err)
		}
	}
	return lost
}

// findRule returns the rule, if it is there.
func (c *Conn) findRule(ctx context.Context, r rpdb.Rule) (found []rpdb.Rule, err error) {
	err = c.withRules(ctx, r.Family, func(rules []rpdb.Rule) error {
		if i := slices.IndexFunc(rules, func(s rpdb.Rule) bool { return sameRule(&r, &s) }); i >= 0 {
			found = []rpdb.Rule{rules[i]}
		}
		return nil
	})
	return found, err
}

// explainExists adds to EEXIST what the errno does not say: the kernel compares
// neither "not" nor the target of a goto, and takes an absent prefix for any.
func (c *Conn) explainExists(ctx context.Context, r rpdb.Rule, exists error) error {
	same, err := c.findRule(ctx, r)
	if err != nil || len(same) > 0 {
		return exists
	}
	return &netlink.Error{
		Errno:   unix.EEXIST,
		Message: "another rule of this priority is the same in all that the kernel compares",
	}
}

// sameRule reports whether the kernel stored what was meant. IPv4 gives a rule
// that looks up table 0 a table of its own.
func sameRule(meant, stored *rpdb.Rule) bool {
	if *meant == *stored {
		return true // as a rule, and for a tenth of the time
	}
	m, s := meant.Canonical(), stored.Canonical()
	if a := m.Action; m.Family == rpdb.IPv4 && a.Type() == rpdb.ActionTable && a.Table() == 0 {
		s.Action = rpdb.RawAction(s.Action.Type(), 0, s.Action.Target())
	}
	return m == s
}

// deleteRule deletes exactly r.
func (c *Conn) deleteRule(ctx context.Context, r rpdb.Rule) error {
	want := r.Canonical()
	var stored rpdb.Rule // has the host bits that the kernel compares
	err := c.withRules(ctx, r.Family, func(rules []rpdb.Rule) error {
		i := slices.IndexFunc(rules, func(s rpdb.Rule) bool { return s.Canonical() == want })
		if i < 0 {
			return unix.ENOENT
		}
		stored = rules[i]
		if hit, ok := firstHit(stored, rules); ok && hit.Canonical() != want {
			return &OtherRuleError{Hit: hit}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return deleteStored(ctx, c.nl, stored)
}

// deleteStored sends the deletion and looks at what went.
func deleteStored(ctx context.Context, nl *netlink.Conn, r rpdb.Rule) error {
	gone, err := echoed(ctx, nl, encodeRuleDeletion(r), unix.RTM_DELRULE, decodeRule)
	if err != nil {
		return err
	}
	for _, g := range gone {
		if g.Canonical() == r.Canonical() {
			continue
		}
		wrong := &OtherRuleError{Hit: g}
		// Without Excl: the kernel compares less than the whole rule.
		back := encodeRule(unix.RTM_NEWRULE, netlink.Create, g)
		if err := nl.Execute(context.WithoutCancel(ctx), back, nil); err != nil {
			return fmt.Errorf("%w, and did: %w", wrong, err)
		}
		return wrong
	}
	return nil
}

// encodeRuleDeletion writes the request that deletes r. Realms are given even
// when they are 0: without the attribute the kernel takes any.
func encodeRuleDeletion(r rpdb.Rule) *netlink.Encoder {
	e := encodeRule(unix.RTM_DELRULE, netlink.Echo, r)
	if r.Realms == 0 && r.Family == rpdb.IPv4 {
		e.Uint32(fraFlow, 0)
	}
	return e
}

// firstHit returns the rule that the kernel would delete when asked to delete
// r: the first that agrees in all that it looks at (rule_find, fib4_rule_compare
// and fib6_rule_compare). Zero and absent criteria match everything.
func firstHit(r rpdb.Rule, rules []rpdb.Rule) (rpdb.Rule, bool) {
	for _, c := range rules {
		if hit(r, c) {
			return c, true
		}
	}
	return rpdb.Rule{}, false
}

func hit(r, c rpdb.Rule) bool {
	return r.Priority == c.Priority && hitByAction(r, c) && hitBySelector(r.Selector, c.Selector)
}

func hitByAction(r, c rpdb.Rule) bool {
	return given(r.Action.Type(), c.Action.Type()) && given(r.Action.Table(), c.Action.Table()) &&
		given(r.Protocol, c.Protocol) && given(r.Suppress.PrefixLength, c.Suppress.PrefixLength) &&
		given(r.Suppress.IfGroup, c.Suppress.IfGroup) && (r.Family == rpdb.IPv6 || r.Realms == c.Realms)
}

func hitBySelector(r, c rpdb.Selector) bool {
	port := func(a, b rpdb.Ports) bool { // the mask of a range stands for itself
		return given(rpdb.Ports{First: a.First, Last: a.Last}, rpdb.Ports{First: b.First, Last: b.Last}) &&
			given(a.Mask, b.Mask)
	}
	return given(r.From, c.From) && given(r.To, c.To) && given(r.TOS, c.TOS) && given(r.DSCP, c.DSCP) &&
		given(r.Mark.Value, c.Mark.Value) && given(r.Mark.Mask, c.Mark.Mask) &&
		given(r.IIF, c.IIF) && given(r.OIF, c.OIF) && given(r.L3MDev, c.L3MDev) &&
		given(r.UIDRange, c.UIDRange) && given(r.IPProto, c.IPProto) &&
		port(r.SPort, c.SPort) && port(r.DPort, c.DPort) &&
		given(r.FlowLabel, c.FlowLabel) && given(r.TunID, c.TunID)
}

// given reports whether a criterion agrees; the zero value is not given.
func given[T comparable](criterion, value T) bool {
	var zero T
	return criterion == zero || criterion == value
}
