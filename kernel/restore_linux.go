package kernel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// RestoreRules adds the rules that are not there yet, in their order, all of
// them or none. A rule is there if one has the same priority and meaning
// ([rpdb.Rule.Canonical]); two alike in rules want two. State that the kernel
// computes is not taken over. Every rule is compared with what the kernel says
// it stored. If one cannot be added, those added before are taken away again,
// and the error says which one and why.
func (c *Conn) RestoreRules(ctx context.Context, rules []rpdb.Rule) (added int, err error) {
	for _, r := range rules {
		if err := expressible(r); err != nil {
			return 0, opError("restore", r.String(), err)
		}
	}
	missing, err := c.notThere(ctx, rules)
	if err != nil {
		return 0, opError("restore", "rules", err)
	}
	before, err := c.listsOf(ctx, missing)
	if err != nil {
		return 0, opError("restore", "rules", err)
	}
	for i, r := range missing {
		if err := c.restoreRule(ctx, r); err != nil {
			err = opError("restore", r.String(), err)
			return 0, errors.Join(err, c.unrestore(context.WithoutCancel(ctx), missing[:i], before))
		}
	}
	return len(missing), nil
}

// notThere returns the rules without those that the kernel has.
func (c *Conn) notThere(ctx context.Context, rules []rpdb.Rule) ([]rpdb.Rule, error) {
	lists, err := c.listsOf(ctx, rules)
	if err != nil {
		return nil, err
	}
	there := map[rpdb.Rule]int{}
	for _, list := range lists {
		for _, r := range list {
			there[r.Canonical()]++
		}
	}
	var missing []rpdb.Rule
	for _, r := range rules {
		if key := r.Canonical(); there[key] > 0 {
			there[key]--
		} else {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// listsOf reads the rules of the families that rules are of.
func (c *Conn) listsOf(ctx context.Context, rules []rpdb.Rule) (map[rpdb.Family][]rpdb.Rule, error) {
	lists := map[rpdb.Family][]rpdb.Rule{}
	for _, r := range rules {
		if _, ok := lists[r.Family]; ok {
			continue
		}
		list, err := c.rules(ctx, r.Family)
		if err != nil {
			return nil, err
		}
		lists[r.Family] = append([]rpdb.Rule(nil), list...)
	}
	return lists, nil
}

// restoreRule adds a rule beside any that the kernel takes for the same, and
// takes it back if the kernel made another one of it.
func (c *Conn) restoreRule(ctx context.Context, r rpdb.Rule) error {
	e := encodeRule(unix.RTM_NEWRULE, netlink.Create|netlink.Echo, r)
	stored, err := echoed(ctx, c.nl, e, unix.RTM_NEWRULE, decodeRule)
	if err != nil {
		return err
	}
	for _, s := range stored {
		if sameRule(r, s) {
			continue
		}
		lost := &UnsupportedError{}
		lost.Feature, lost.Since = missingInRule(r, s)
		if err := c.deleteRule(context.WithoutCancel(ctx), s); err != nil {
			return fmt.Errorf("%w, and what it stored instead remains: %w", lost, err)
		}
		return lost
	}
	return nil
}

// unrestore takes the added rules away again, the last one first. Where the
// kernel would delete another rule of the priority in its place, the rules of
// that priority are written anew in their old order.
func (c *Conn) unrestore(ctx context.Context, added []rpdb.Rule, before map[rpdb.Family][]rpdb.Rule) error {
	for i := len(added) - 1; i >= 0; i-- {
		r := added[i]
		err := c.deleteRule(ctx, r)
		var other *OtherRuleError
		if errors.As(err, &other) {
			err = c.rewritePriority(ctx, r, before[r.Family])
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return opError("undo restoring", r.String(), err)
		}
	}
	return nil
}

// rewritePriority makes the rules of r's priority those of the list again.
func (c *Conn) rewritePriority(ctx context.Context, r rpdb.Rule, list []rpdb.Rule) error {
	now, err := c.rules(ctx, r.Family)
	if err != nil {
		return err
	}
	for _, x := range append([]rpdb.Rule(nil), now...) {
		if x.Priority != r.Priority {
			continue
		}
		if err := c.nl.Execute(ctx, encodeRuleDeletion(x), nil); err != nil {
			return err
		}
	}
	for _, x := range list {
		if x.Priority != r.Priority {
			continue
		}
		if err := c.nl.Execute(ctx, encodeRule(unix.RTM_NEWRULE, netlink.Create, x), nil); err != nil {
			return err
		}
	}
	return nil
}
