package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Restored says what became of the rules of a restore.
type Restored struct {
	Added int // were missing
	There int // were there already
	Moved int // of all that were there, those that stand elsewhere now
}

// RestoreError says which rule of a restore could not be added. It unwraps to
// the cause.
type RestoreError struct {
	Index int // in the rules that were to be restored
	Rule  rpdb.Rule
	Err   error
}

// Error names the rule and the cause.
func (e *RestoreError) Error() string { return opError("restore", e.Rule.String(), e.Err).Error() }

// Unwrap returns the cause as an [*OpError].
func (e *RestoreError) Unwrap() error { return opError("restore", e.Rule.String(), e.Err) }

// RestoreRules adds the rules that are not there yet, all of them or none. A
// rule is there if one has the same priority and meaning
// ([rpdb.Rule.Canonical]); two alike in rules want two. State that the kernel
// computes is not taken over.
//
// Those of one priority end up in their order; others of the priority stay
// where they are. What was there in another order is added once more behind
// and then deleted in front, so that no rule is missing for a moment. A rule
// with attributes that are not known is not moved: then nothing is restored.
//
// They are added in their order. Only where many are missing from priorities that
// have no rules, as after a flush of a long list, the last one of these comes
// first, by [Conn.AddRules]: the list is then whole in a hundredth of the time.
//
// Every addition and deletion is compared with what the kernel says it did,
// and the result is read back. If something goes wrong the rules are put back
// as they were before, in their order; what others changed meanwhile stays. A
// rule that cannot be added is a [*RestoreError].
func (c *Conn) RestoreRules(ctx context.Context, rules []rpdb.Rule) (Restored, error) {
	for i, r := range rules {
		if err := restorable(r); err != nil {
			return Restored{}, &RestoreError{i, r, err}
		}
	}
	done, err := (&restoration{kernel: c, rules: rules, many: manyRestored}).run(ctx)
	var one *RestoreError
	if err != nil && !errors.As(err, &one) {
		err = opError("restore", "rules", err)
	}
	return done, err
}

// restorable refuses what cannot be restored as it is.
func restorable(r rpdb.Rule) error {
	if a := r.Action; a.Type() == rpdb.ActionTable && a.Table() == 0 && !r.Selector.L3MDev {
		return &netlink.Error{Errno: unix.EINVAL, Message: "a rule that looks up no table"}
	}
	return expressible(r)
}

// manyRestored is from how many rules on the order in which they are added gives
// way to the time that it takes.
const manyRestored = 256

// ruleKeeper is what a restoration needs of a kernel.
type ruleKeeper interface {
	// rules returns the rules of a family in order.
	rules(ctx context.Context, f rpdb.Family) ([]rpdb.Rule, error)
	// appendRule adds a rule behind all of its priority, whatever is there, and
	// returns what is stored.
	appendRule(ctx context.Context, r rpdb.Rule) ([]rpdb.Rule, error)
	// takeRule deletes the first rule that agrees with r and returns it.
	takeRule(ctx context.Context, r rpdb.Rule) ([]rpdb.Rule, error)
	// AddRules adds many to places where none stands, all or none.
	AddRules(ctx context.Context, rules []rpdb.Rule) error
}

func (c *Conn) appendRule(ctx context.Context, r rpdb.Rule) ([]rpdb.Rule, error) {
	return echoed(ctx, c.nl, encodeRule(unix.RTM_NEWRULE, netlink.Create|netlink.Echo, r), unix.RTM_NEWRULE, decodeRule)
}

func (c *Conn) takeRule(ctx context.Context, r rpdb.Rule) ([]rpdb.Rule, error) {
	return echoed(ctx, c.nl, encodeRuleDeletion(r), unix.RTM_DELRULE, decodeRule)
}

// place is a priority of a family: what has an order of its own.
type place struct {
	family   rpdb.Family
	priority rpdb.Priority
}

func placeOf(r rpdb.Rule) place { return place{r.Family, r.Priority} }

// restoration is a restore under way.
type restoration struct {
	kernel ruleKeeper
	rules  []rpdb.Rule // what is to be restored
	many   int         // from how many missing rules on they are added at once
	places []place     // of the rules, in order
	before map[place][]rpdb.Rule
	ours   map[place][]rpdb.Rule // as it should look by what was done
	doubt  *doubt
	// verified says that all that was done is read back already.
	verified bool
}

// doubt is a request without an answer: it may have been carried out or not.
type doubt struct {
	rule    rpdb.Rule
	deleted bool
}

// run restores, and takes everything back if that fails.
func (r *restoration) run(ctx context.Context) (Restored, error) {
	want := byPlace(r.rules)
	for p := range want {
		r.places = append(r.places, p)
	}
	slices.SortFunc(r.places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.priority, b.priority))
	})
	var err error
	if r.before, err = r.read(ctx); err != nil {
		return Restored{}, err
	}
	r.ours = map[place][]rpdb.Rule{}
	done, err := r.write(ctx, want)
	if err == nil && !r.verified {
		err = r.verify(ctx, want)
	}
	if err != nil {
		return Restored{}, errors.Join(err, r.undo(context.WithoutCancel(ctx)))
	}
	return done, nil
}

// write brings every place into the order that is wanted: first everything
// that is to be added, which is what a kernel refuses, then the deletions.
func (r *restoration) write(ctx context.Context, want map[place][]rpdb.Rule) (done Restored, err error) {
	added, deleted := make([]rpdb.Rule, 0, len(r.rules)), []rpdb.Rule(nil)
	for _, p := range r.places {
		have := r.before[p]
		if len(have) == 0 {
			added = append(added, want[p]...)
			done.Added += len(want[p])
			continue
		}
		r.ours[p] = slices.Clone(have)
		add, del := rewriting(have, restored(have, want[p]))
		added, deleted = append(added, add...), append(deleted, del...)
		missing := len(without(want[p], have))
		done.Added += missing
		done.There += len(want[p]) - missing
		done.Moved += len(add) - missing
	}
	if i := slices.IndexFunc(deleted, func(x rpdb.Rule) bool { return x.Unknown != "" }); i >= 0 {
		return done, fmt.Errorf("%v would have to move, and has an attribute that is not known", deleted[i])
	}
	if added, err = r.addMany(ctx, added); err != nil {
		return done, err
	}
	for _, x := range added {
		if err := r.add(ctx, x); err != nil {
			at := slices.IndexFunc(r.rules, func(w rpdb.Rule) bool { return same(w, x) })
			return done, &RestoreError{at, x, err}
		}
	}
	for _, x := range deleted {
		if err := r.take(ctx, x); err != nil {
			return done, err
		}
	}
	return done, nil
}

// addMany adds what goes to places without rules, if that is much, and returns
// what is still to be added. If it fails all of it is, and will tell why.
func (r *restoration) addMany(ctx context.Context, added []rpdb.Rule) (rest []rpdb.Rule, err error) {
	fresh := make([]rpdb.Rule, 0, len(added))
	for _, x := range added {
		if len(r.before[placeOf(x)]) == 0 {
			fresh = append(fresh, x)
		} else {
			rest = append(rest, x)
		}
	}
	if len(fresh) < r.many {
		return added, nil
	}
	err = r.kernel.AddRules(ctx, fresh)
	left := errors.As(err, new(*LeftError))
	if err == nil || left {
		for _, x := range fresh {
			r.ours[placeOf(x)] = append(r.ours[placeOf(x)], x)
		}
	}
	switch {
	case err == nil:
		r.verified = len(rest) == 0 // else nothing was added but these, which are read back
		return rest, nil
	case left || ctx.Err() != nil:
		return nil, err
	}
	return added, nil
}

// add adds a rule and compares what the kernel made of it.
func (r *restoration) add(ctx context.Context, x rpdb.Rule) error {
	stored, err := r.kernel.appendRule(ctx, x)
	r.note(x, false, err)
	for _, s := range stored {
		r.ours[placeOf(s)] = append(r.ours[placeOf(s)], s)
		if err == nil && !same(x, s) {
			lost := &UnsupportedError{}
			lost.Feature, lost.Since = missingInRule(x, s)
			err = lost
		}
	}
	return err
}

// take deletes the first copy of a rule and looks at what went.
func (r *restoration) take(ctx context.Context, x rpdb.Rule) error {
	gone, err := r.kernel.takeRule(ctx, x)
	r.note(x, true, err)
	for _, g := range gone {
		p := placeOf(g)
		if i := slices.IndexFunc(r.ours[p], func(c rpdb.Rule) bool { return same(c, g) }); i >= 0 {
			r.ours[p] = cut(r.ours[p], i)
		}
		if err == nil && !same(x, g) {
			err = &OtherRuleError{Hit: g}
		}
	}
	return err
}

// note remembers a request that the kernel did not answer.
func (r *restoration) note(x rpdb.Rule, deleted bool, err error) {
	var refused *netlink.Error
	if r.doubt = nil; err != nil && !errors.As(err, &refused) {
		r.doubt = &doubt{x, deleted}
	}
}

// resolve clears a doubt up with the rules as they are now.
func (r *restoration) resolve(now map[place][]rpdb.Rule) {
	d := r.doubt
	if d == nil {
		return
	}
	p, x := placeOf(d.rule), []rpdb.Rule{d.rule}
	switch {
	case d.deleted && len(without(x, without(r.ours[p], now[p]))) == 0:
		r.ours[p] = without(r.ours[p], x)
	case !d.deleted && len(without(x, without(now[p], r.ours[p]))) == 0:
		r.ours[p] = append(r.ours[p], d.rule)
	}
}

// verify reads back whether all that is wanted is there, in its order.
func (r *restoration) verify(ctx context.Context, want map[place][]rpdb.Rule) error {
	now, err := r.read(ctx)
	if err != nil {
		return err
	}
	for _, p := range r.places {
		if !inOrder(now[p], want[p]) {
			return fmt.Errorf("somebody else changed the rules of priority %d (%v) meanwhile", p.priority, p.family)
		}
	}
	return nil
}

// undo puts every place back into the order of before.
func (r *restoration) undo(ctx context.Context) error {
	now, err := r.read(ctx)
	r.resolve(now)
	for _, p := range r.places {
		if err == nil {
			err = r.undoPlace(ctx, p, now[p])
		}
	}
	if err != nil {
		return fmt.Errorf("and could not put everything back: %w", err)
	}
	return nil
}

func (r *restoration) undoPlace(ctx context.Context, p place, now []rpdb.Rule) error {
	add, del := rewriting(now, unrestored(r.before[p], r.ours[p], now))
	for _, x := range add {
		if err := r.add(ctx, x); err != nil {
			return err
		}
	}
	for _, x := range del {
		if err := r.take(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// read returns the rules of the places that a restore is about.
func (r *restoration) read(ctx context.Context) (map[place][]rpdb.Rule, error) {
	all := map[place][]rpdb.Rule{}
	for _, f := range rpdb.Families() {
		if !slices.ContainsFunc(r.places, func(p place) bool { return p.family == f }) {
			continue
		}
		list, err := r.kernel.rules(ctx, f)
		if err != nil {
			return nil, err
		}
		for p, rules := range byPlace(list) {
			all[p] = rules
		}
	}
	return all, nil
}

func byPlace(rules []rpdb.Rule) map[place][]rpdb.Rule {
	m := make(map[place][]rpdb.Rule, len(rules))
	for _, r := range rules {
		m[placeOf(r)] = append(m[placeOf(r)], r)
	}
	return m
}
