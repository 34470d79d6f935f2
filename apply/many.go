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

// atOnce is what became of steps that were made at once, by their numbers. The zero
// value is of none.
type atOnce struct {
	from, end int          // the first, and behind the last
	made      map[int]bool // were made
	gone      map[int]bool // are of what was gone, deleted by somebody else
}

// runMany makes the steps from one on at once, if the first are many of one kind: all
// of them, or some deletions, or none. The others are to be made one by one, and that
// will say what is wrong. With an error all of them may stand, or none.
func runMany(ctx context.Context, k Kernel, steps []plan.Step, from int) (atOnce, error) {
	rest := steps[from:]
	if b := bulkOf[bulkRoutes](k); b != nil {
		routes := deletedRoutes(len(rest), func(i int) rpdb.Change { return rest[i].Change })
		if n := len(routes); n > 0 {
			made := deleted(n, b.DeleteRoutes(ctx, routes))
			return settle(ctx, k, from, made, changesOf(rest[:n])), nil
		}
	}
	run := manyOf(rest)
	at := atOnce{from: from, end: from + len(run)}
	b := bulkOf[bulk](k)
	if b == nil || len(run) == 0 {
		return at, nil
	}
	if run[0].Change.Op == rpdb.Delete {
		made := deleted(len(run), b.DeleteRules(ctx, rulesOf(run)))
		return settle(ctx, k, from, made, changesOf(run)), nil
	}
	err := b.AddRules(ctx, rulesOf(run))
	// Two reasons: what was written could not be taken away.
	if _, left := err.(interface{ Unwrap() []error }); left {
		return at, fmt.Errorf("add %d rules: %w", len(run), err)
	}
	return settle(ctx, k, from, deleted(len(run), err), changesOf(run)), nil
}

func changesOf(steps []plan.Step) []rpdb.Change {
	changes := make([]rpdb.Change, len(steps))
	for i, s := range steps {
		changes[i] = s.Change
	}
	return changes
}

// settle returns what became of changes that were made at once, given the numbers of
// those that were. What others have deleted meanwhile is known by one reading of the
// host: to ask for each would be one for each.
func settle(ctx context.Context, k Kernel, from int, made []int, changes []rpdb.Change) atOnce {
	at := atOnce{from, from + len(changes), map[int]bool{}, map[int]bool{}}
	for _, i := range made {
		at.made[from+i] = true
	}
	if len(made) == len(changes) || changes[0].Op != rpdb.Delete {
		return at
	}
	host, err := k.Snapshot(ctx)
	if err != nil {
		return at
	}
	rules, routes := map[rpdb.Rule]bool{}, map[rpdb.RouteKey][]rpdb.Route{}
	for _, r := range host.Rules {
		rules[r.Canonical()] = true
	}
	for _, r := range host.Routes {
		routes[r.Key()] = append(routes[r.Key()], r)
	}
	for i, c := range changes {
		var there bool
		if c.Rule != nil {
			there = rules[c.Rule.Canonical()]
		} else {
			there = slices.ContainsFunc(routes[c.Route.Key()], c.Route.Equal)
		}
		at.gone[from+i] = !there && !at.made[from+i]
	}
	return at
}

// undoMany takes the last steps back at once, if they are many additions of routes, or
// of rules that prepared. It returns those that are left, in their order, and how many
// of the last ones are to be taken back one by one. It never fails: that will say what
// is wrong.
func undoMany(ctx context.Context, k Kernel, undo []plan.Step) (left []plan.Step, ones int) {
	if b := bulkOf[bulkRoutes](k); b != nil {
		last := len(undo) - 1
		inverse := func(i int) rpdb.Change { return undo[last-i].Inverse }
		routes := deletedRoutes(len(undo), inverse)
		if n := len(routes); n > 0 {
			changes := make([]rpdb.Change, n)
			for i := range changes {
				changes[i] = inverse(i)
			}
			at := settle(ctx, k, 0, deleted(n, b.DeleteRoutes(ctx, routes)), changes)
			return at.leaves(undo, func(i int) int { return last - i })
		}
	}
	b := bulkOf[bulk](k)
	if b == nil {
		return undo, 1
	}
	from := len(undo)
	for from > 0 && unseen(undo[from-1]) && undo[from-1].Change.Op == rpdb.Add {
		from--
	}
	// In their order: of those of one priority the first is to go first.
	run := manyOf(undo[from:])
	if len(run) == 0 {
		return undo, 1
	}
	changes := make([]rpdb.Change, len(run))
	for i, s := range run {
		changes[i] = s.Inverse
	}
	at := settle(ctx, k, from, deleted(len(run), b.DeleteRules(ctx, rulesOf(run))), changes)
	return at.leaves(undo, func(i int) int { return i })
}

// leaves returns the steps without those that are settled, and how many of the last
// ones were tried and are not. Number says which a step has.
func (at atOnce) leaves(undo []plan.Step, number func(i int) int) (left []plan.Step, ones int) {
	for i, s := range undo {
		n := number(i)
		if at.made[n] || at.gone[n] {
			continue
		}
		left = append(left, s)
		if at.from <= n && n < at.end {
			ones++
		}
	}
	return left, ones
}
