package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rpdb"
	"rpdb/plan"
)

// bulk is a Kernel that adds and deletes many rules at once, in a fraction of the
// time. AddRules adds all or none to priorities at which no rule stands, the last
// one first; DeleteRules deletes in the order that is given, and may have deleted
// some where it fails: then the error is, or wraps, one that says which, as the
// numbers of the rules, by a method Deleted() []int. Both read back. An error of
// AddRules that unwraps to two says that some may stand after all.
type bulk interface {
	AddRules(ctx context.Context, rules []rpdb.Rule) error
	DeleteRules(ctx context.Context, rules []rpdb.Rule) error
}

// bulkRoutes is a Kernel that deletes many routes in their order, and reads each table
// once for that. Its error is that of bulk's DeleteRules, but it deletes what it can.
type bulkRoutes interface {
	DeleteRoutes(ctx context.Context, routes []rpdb.Route) error
}

// many is from how many rules on they are written, or deleted, at once. Below it
// that gains nothing: it takes two more readings.
const many = 64

// bulkOf returns what the kernel can do at once, as a bulk or a bulkRoutes; nil if
// that is nothing.
func bulkOf[B any](k Kernel) (b B) {
	if k, ok := k.(blinkered); ok {
		b, _ = k.Kernel.(B)
		return b
	}
	b, _ = k.(B)
	return b
}

// deletedRoutes returns the routes that the first of some changes delete, if they are
// many.
func deletedRoutes(n int, change func(i int) rpdb.Change) []rpdb.Route {
	var routes []rpdb.Route
	for i := range n {
		c := change(i)
		if c.Route == nil || c.Op != rpdb.Delete {
			break
		}
		routes = append(routes, *c.Route)
	}
	if len(routes) < many {
		return nil
	}
	return routes
}

// deleted returns which of n were deleted at once, as their numbers in order.
func deleted(n int, err error) []int {
	var part interface {
		error
		Deleted() []int
	}
	switch {
	case errors.As(err, &part):
		return slices.Sorted(slices.Values(part.Deleted()))
	case err != nil:
		return nil
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// manyOf returns the first steps that do the same to rules that no packet comes to,
// additions that prepare or deletions that clean, if they are many.
func manyOf(steps []plan.Step) []plan.Step {
	n := 0
	for n < len(steps) && unseen(steps[n]) && steps[n].Change.Op == steps[0].Change.Op {
		n++
	}
	if n < many {
		return nil
	}
	return steps[:n]
}

// unseen reports whether packets come to the rule of a step neither before nor
// after it, whatever is done to its neighbours first. The scaffolding is none such:
// it has to stand before the rules that it leads packets past, and until they are
// gone.
func unseen(s plan.Step) bool {
	return s.Change.Rule != nil && !plan.IsScaffold(*s.Change.Rule) && (s.Phase == plan.Prepare && s.Change.Op == rpdb.Add || s.Phase == plan.Clean && s.Change.Op == rpdb.Delete)
}

func rulesOf(steps []plan.Step) []rpdb.Rule {
	rules := make([]rpdb.Rule, len(steps))
	for i, s := range steps {
		rules[i] = *s.Change.Rule
	}
	return rules
}

// runMany makes the first steps at once, if they are many of one kind. It returns
// these, and the numbers of those that are made: all, or some deletions, or none. The
// others are to be made one by one, and that will say what is wrong. With an error
// all of them may stand, or none.
func runMany(ctx context.Context, k Kernel, steps []plan.Step) (run []plan.Step, made []int, err error) {
	if b := bulkOf[bulkRoutes](k); b != nil {
		routes := deletedRoutes(len(steps), func(i int) rpdb.Change { return steps[i].Change })
		if n := len(routes); n > 0 {
			return steps[:n], deleted(n, b.DeleteRoutes(ctx, routes)), nil
		}
	}
	run = manyOf(steps)
	b := bulkOf[bulk](k)
	if b == nil || len(run) == 0 {
		return run, nil, nil
	}
	if run[0].Change.Op == rpdb.Delete {
		err = b.DeleteRules(ctx, rulesOf(run))
	} else {
		err = b.AddRules(ctx, rulesOf(run))
		// Two reasons: what was written could not be taken away.
		if _, left := err.(interface{ Unwrap() []error }); left {
			return run, nil, fmt.Errorf("add %d rules: %w", len(run), err)
		}
	}
	return run, deleted(len(run), err), nil
}

// undoMany takes the last steps back at once, if they are many additions of routes, or
// of rules that prepared, and returns those that are left, in their order. It never
// fails: what it does not take back is taken back one by one.
func undoMany(ctx context.Context, k Kernel, undo []plan.Step) []plan.Step {
	if b := bulkOf[bulkRoutes](k); b != nil {
		last := len(undo) - 1
		routes := deletedRoutes(len(undo), func(i int) rpdb.Change { return undo[last-i].Inverse })
		if n := len(routes); n > 0 {
			taken := make([]bool, len(undo))
			for _, i := range deleted(n, b.DeleteRoutes(ctx, routes)) {
				taken[last-i] = true
			}
			var left []plan.Step
			for i, s := range undo {
				if !taken[i] {
					left = append(left, s)
				}
			}
			return left
		}
	}
	b := bulkOf[bulk](k)
	if b == nil {
		return undo
	}
	from := len(undo)
	for from > 0 && unseen(undo[from-1]) && undo[from-1].Change.Op == rpdb.Add {
		from--
	}
	// In their order: of those of one priority the first is to go first.
	run := manyOf(undo[from:])
	if len(run) == 0 || b.DeleteRules(ctx, rulesOf(run)) != nil {
		return undo
	}
	return undo[:len(undo)-len(run)]
}
