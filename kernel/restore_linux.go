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
	var t ruleTrial
	for i := range rules {
		if err := t.restorable(&rules[i]); err != nil {
			return Restored{}, &RestoreError{i, rules[i], err}
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
func (t *ruleTrial) restorable(r *rpdb.Rule) error {
	if a := r.Action; a.Type() == rpdb.ActionTable && a.Table() == 0 && !r.Selector.L3MDev {
		return &netlink.Error{Errno: unix.EINVAL, Message: "a rule that looks up no table"}
	}
	return t.expressible(r)
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
	// addMany adds those of the rules that walk has, in the order of walkOf, to places
	// where none stands, all or none. Back takes them away again, or what is left
	// of them after a [*LeftError].
	addMany(ctx context.Context, rules []rpdb.Rule, walk []int) (back func(context.Context) error, err error)
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

func placeOf(r *rpdb.Rule) place { return place{r.Family, r.Priority} }

// placeAt returns the place of one of the rules.
func placeAt(rules []rpdb.Rule, i int) place { return placeOf(&rules[i]) }

// compare orders places as a list does.
func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.family, q.family), cmp.Compare(p.priority, q.priority))
}

func (c *Conn) addMany(ctx context.Context, rules []rpdb.Rule, walk []int) (back func(context.Context) error, err error) {
	w := newBulk(c, rules, walk)
	return w.back, w.write(ctx)
}

// restoration is a restore under way.
type restoration struct {
	kernel ruleKeeper
	rules  []rpdb.Rule // what is to be restored
	many   int         // from how many missing rules on they are added at once

	places []place // of the rules that are not added at once, in order
	want   map[place][]rpdb.Rule
	before map[place][]rpdb.Rule
	ours   map[place][]rpdb.Rule // as it should look by what was done
	doubt  *doubt
	// back takes away what was added at once, nil if nothing was.
	back func(context.Context) error
}

// doubt is a request without an answer: it may have been carried out or not.
type doubt struct {
	rule    rpdb.Rule
	deleted bool
}

// run restores, and takes everything back if that fails.
func (r *restoration) run(ctx context.Context) (Restored, error) {
	there, err := r.read(ctx)
	if err != nil {
		return Restored{}, err
	}
	done, err := r.restore(ctx, there)
	if err != nil {
		return Restored{}, errors.Join(err, r.undo(context.WithoutCancel(ctx)))
	}
	return done, nil
}

// restore adds at once what goes to places without rules, if that is much, and
// brings the others into order one by one.
func (r *restoration) restore(ctx context.Context, there []rpdb.Rule) (done Restored, err error) {
	todo := r.split(there)
	added, rest, err := r.addMany(ctx, todo)
	if err != nil {
		return done, err
	}
	r.choose(rest, there)
	done, changed, err := r.write(ctx)
	done.Added += added
	done.There += len(r.rules) - len(todo.all)
	if err == nil && changed { // what was added at once is read back
		err = r.verify(ctx)
	}
	return done, err
}

// todo are the rules that may be missing, as they will stand.
type todo struct {
	all   []int // both of these
	fresh []int // that go to places without rules
	rest  []int // that go to others
}

// split looks what is to be done. Of a list that is whole, or gone, most rules are
// of one kind: places that begin with what is wanted there are left out, which is
// found without making anything of them.
func (r *restoration) split(there []rpdb.Rule) (t todo) {
	walk := walkOf(r.rules)
	for len(walk) > 0 {
		p := placeAt(r.rules, walk[0])
		n := 1
		for n < len(walk) && placeAt(r.rules, walk[n]) == p {
			n++
		}
		for len(there) > 0 && placeOf(&there[0]).compare(p) < 0 {
			there = there[1:]
		}
		switch want := walk[:n]; {
		case len(there) == 0 || placeOf(&there[0]) != p:
			t.fresh, t.all = append(t.fresh, want...), append(t.all, want...)
		case !r.beginsWith(there, want):
			t.rest, t.all = append(t.rest, want...), append(t.all, want...)
		}
		walk = walk[n:]
	}
	return t
}

// beginsWith reports whether a list begins with the rules of some numbers.
func (r *restoration) beginsWith(list []rpdb.Rule, numbers []int) bool {
	if len(list) < len(numbers) {
		return false
	}
	for i, n := range numbers {
		if list[i] != r.rules[n] && !same(list[i], r.rules[n]) {
			return false
		}
	}
	return true
}

// addMany adds the fresh rules, if they are many, and returns how many it added and
// what is still to be looked at. If it fails that is all, and will tell why.
func (r *restoration) addMany(ctx context.Context, t todo) (added int, left []int, err error) {
	if len(t.fresh) < r.many {
		return 0, t.all, nil
	}
	back, err := r.kernel.addMany(ctx, r.rules, t.fresh)
	remain := errors.As(err, new(*LeftError))
	if err == nil || remain {
		r.back = back
	}
	switch {
	case err == nil:
		return len(t.fresh), t.rest, nil
	case remain || ctx.Err() != nil:
		return 0, nil, err
	}
	return 0, t.all, nil
}

// choose makes some of the rules, as they will stand, those that are brought into
// order one by one.
func (r *restoration) choose(some []int, there []rpdb.Rule) {
	if len(some) == 0 {
		return
	}
	chosen := make([]rpdb.Rule, len(some))
	for i, n := range some {
		chosen[i] = r.rules[n]
	}
	r.want, r.before, r.ours = byPlace(chosen), byPlace(there), map[place][]rpdb.Rule{}
	for i := range chosen {
		if p := placeOf(&chosen[i]); len(r.places) == 0 || r.places[len(r.places)-1] != p {
			r.places = append(r.places, p)
		}
	}
}

// write brings every place into the order that is wanted: first everything
// that is to be added, which is what a kernel refuses, then the deletions.
func (r *restoration) write(ctx context.Context) (done Restored, changed bool, err error) {
	var added, deleted []rpdb.Rule
	for _, p := range r.places {
		have, want := r.before[p], r.want[p]
		r.ours[p] = slices.Clone(have)
		add, del := rewriting(have, restored(have, want))
		added, deleted = append(added, add...), append(deleted, del...)
		missing := len(without(want, have))
		done.Added += missing
		done.There += len(want) - missing
		done.Moved += len(add) - missing
	}
	if i := slices.IndexFunc(deleted, func(x rpdb.Rule) bool { return x.Unknown != "" }); i >= 0 {
		return done, false, fmt.Errorf("%v would have to move, and has an attribute that is not known", deleted[i])
	}
	for _, x := range added {
		if err := r.add(ctx, x); err != nil {
			at := slices.IndexFunc(r.rules, func(w rpdb.Rule) bool { return same(w, x) })
			return done, true, &RestoreError{at, x, err}
		}
	}
	for _, x := range deleted {
		if err := r.take(ctx, x); err != nil {
			return done, true, err
		}
	}
	return done, len(added)+len(deleted) > 0, nil
}

// add adds a rule and compares what the kernel made of it.
func (r *restoration) add(ctx context.Context, x rpdb.Rule) error {
	stored, err := r.kernel.appendRule(ctx, x)
	r.note(x, false, err)
	for _, s := range stored {
		r.ours[placeOf(&s)] = append(r.ours[placeOf(&s)], s)
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
		p := placeOf(&g)
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
	p, x := placeOf(&d.rule), []rpdb.Rule{d.rule}
	switch {
	case d.deleted && len(without(x, without(r.ours[p], now[p]))) == 0:
		r.ours[p] = without(r.ours[p], x)
	case !d.deleted && len(without(x, without(now[p], r.ours[p]))) == 0:
		r.ours[p] = append(r.ours[p], d.rule)
	}
}

// verify reads back whether all that is wanted is there, in its order.
func (r *restoration) verify(ctx context.Context) error {
	list, err := r.read(ctx)
	if err != nil {
		return err
	}
	now := byPlace(list)
	for _, p := range r.places {
		if !inOrder(now[p], r.want[p]) {
			return fmt.Errorf("somebody else changed the rules of priority %d (%v) meanwhile", p.priority, p.family)
		}
	}
	return nil
}

// undo puts every place back into the order of before.
func (r *restoration) undo(ctx context.Context) error {
	list, err := r.read(ctx)
	now := byPlace(list)
	r.resolve(now)
	for _, p := range r.places {
		if err == nil {
			err = r.undoPlace(ctx, p, now[p])
		}
	}
	if r.back != nil {
		err = errors.Join(err, r.back(ctx))
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

// read returns the rules of the families that a restore is about, in order.
func (r *restoration) read(ctx context.Context) (all []rpdb.Rule, err error) {
	for _, f := range familiesOf(r.rules) {
		list, err := r.kernel.rules(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

func byPlace(rules []rpdb.Rule) map[place][]rpdb.Rule {
	m := make(map[place][]rpdb.Rule, len(rules))
	for i := range rules {
		p := placeOf(&rules[i])
		m[p] = append(m[p], rules[i])
	}
	return m
}
