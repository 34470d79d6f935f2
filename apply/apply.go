package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"rpdb"
	"rpdb/plan"
)

// Kernel is the door to the rules and routes of one network namespace, and to
// our table of nftables there. Do makes one change and returns only when it has
// been read back; its error unwraps to the kernel's errno.
type Kernel interface {
	Snapshot(ctx context.Context) (*rpdb.Snapshot, error)
	Do(ctx context.Context, c rpdb.Change) error
}

// Options adjust a run. The zero value is what most callers want.
type Options struct {
	// Progress, if not nil, is called before each step, in the goroutine of
	// Run; for many steps that were made at once, after them.
	Progress func(plan.Step)
	// Keep leaves out the last phase of the plan: what the plan leads away from
	// stays where it is, and one message leads back.
	Keep bool
}

// tell calls Progress for each step.
func (o Options) tell(steps []plan.Step) {
	if o.Progress == nil {
		return
	}
	for _, s := range steps {
		o.Progress(s)
	}
}

// Result is what a run did.
type Result struct {
	// Done are the steps that were made and stand; none after a rollback.
	Done []plan.Step `json:"done"`
	// Left are the steps of the last phase that are still to be made, as they are
	// with Keep. Of what they take away no packet sees anything.
	Left []plan.Step `json:"-"`
	// RolledBack reports that steps were made and taken back.
	RolledBack bool `json:"rolled_back,omitzero"`
	// After is the state that was read back at the end; nil if that failed.
	After *rpdb.Snapshot `json:"-"`
}

// StepError is a step that the kernel refused.
type StepError struct {
	Index int // of the step in the plan, from 0
	Step  plan.Step
	Err   error
}

// Error says which step of the plan failed and why.
func (e *StepError) Error() string { return fmt.Sprintf("apply step %d: %v", e.Index+1, e.Err) }

// Unwrap returns the kernel's error.
func (e *StepError) Unwrap() error { return e.Err }

// VerifyError is a state that is not what the plan promised, though every step
// was accepted. Left holds the steps that would still be needed.
type VerifyError struct{ Left plan.Plan }

// Error names the first difference and counts the others.
func (e *VerifyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "verify: %v is still needed", e.Left.Steps[0].Change)
	if more := len(e.Left.Steps) - 1; more > 0 {
		fmt.Fprintf(&b, ", and %d changes more", more)
	}
	return b.String()
}

// CleanError is a change that could not be made when the new state was in force
// and verified: of the old one something is left, of which no packet sees
// anything.
type CleanError struct {
	Left []plan.Step // what is still to be done, in order
	Err  error
}

// Error says how much is left, and why.
func (e *CleanError) Error() string {
	objects := "1 rule or route"
	if n := len(e.Left); n > 1 {
		objects = fmt.Sprintf("%d rules and routes", n)
	}
	return fmt.Sprintf("%s that no packet comes to could not be cleared away: %v", objects, e.Err)
}

// Unwrap returns the kernel's error.
func (e *CleanError) Unwrap() error { return e.Err }

// RollbackError is a change that could not be taken back. What it wraps is the
// reason for the rollback and the errors of the changes that remain.
type RollbackError struct {
	Cause error   // why a rollback was needed
	Left  []error // one for each change that could not be taken back
}

// Error says what remains.
func (e *RollbackError) Error() string {
	return fmt.Sprintf("%v; and the rollback left %d changes: %v", e.Cause, len(e.Left), errors.Join(e.Left...))
}

// Unwrap returns the cause and the errors of the rollback.
func (e *RollbackError) Unwrap() []error { return append([]error{e.Cause}, e.Left...) }

// Run carries out a plan that was made for the desired state. It verifies the new
// state before it takes away, in the last phase, what no packet comes to any more:
// a new plan would have nothing else to do. If a step fails before, if the result
// differs, or if ctx ends, it undoes in reverse order what it did, so that the
// message which led the packets away is the first to be taken back; a step that
// has begun, the rollback and the last phase do not heed ctx. A step that somebody
// else made first is neither an error nor undone. Running an empty plan sends
// nothing and reads nothing.
//
// The errors are *StepError, *VerifyError, the error of ctx, and *RollbackError
// around them; and *CleanError, with which the new state is in force.
//
// Run must not be called twice at once for one namespace.
func Run(ctx context.Context, k Kernel, p plan.Plan, desired rpdb.Desired, o Options) (Result, error) {
	return Make(ctx, k, p, func(s *rpdb.Snapshot) (plan.Plan, error) { return plan.Diff(s, desired) }, o)
}

// Make is [Run] for a plan that was not made for a policy: again makes it anew for
// the state that was reached.
func Make(ctx context.Context, k Kernel, p plan.Plan, again func(*rpdb.Snapshot) (plan.Plan, error), o Options) (Result, error) {
	if p.Empty() {
		return Result{}, nil
	}
	ran, err := runSteps(ctx, k, p.WithoutClean().Steps, o)
	var after *rpdb.Snapshot
	var left []plan.Step
	if err == nil {
		after, left, err = verify(ctx, k, again)
	}
	if err != nil {
		result, err := rollback(context.WithoutCancel(ctx), k, ran.undo, err)
		result.RolledBack = len(ran.done) > 0
		return result, err
	}
	r := Result{Done: ran.done, After: after, Left: left}
	if !o.Keep {
		err = r.clean(ctx, k, o)
	}
	return r, err
}

// clean makes the steps that are left, each of which is read back.
func (r *Result) clean(ctx context.Context, k Kernel, o Options) error {
	ran, err := runSteps(context.WithoutCancel(ctx), k, r.Left, o)
	r.Done = append(r.Done, ran.done...)
	r.Left = ran.left
	if err != nil {
		var failed *StepError
		errors.As(err, &failed)
		return &CleanError{Left: r.Left, Err: failed.Err}
	}
	return nil
}

// ran is what became of some steps. One that somebody else made first is in none of
// the lists.
type ran struct {
	done []plan.Step // were made
	undo []plan.Step // are to be taken back: these, and one that may have been made in part
	left []plan.Step // are still to be made, where one failed
}

// runSteps makes the changes. Where one fails, those behind it may be among the ones
// that were made, at once.
func runSteps(ctx context.Context, k Kernel, steps []plan.Step, o Options) (r ran, err error) {
	var at atOnce
	for i := 0; i < len(steps); i++ {
		s := steps[i]
		if err := ctx.Err(); err != nil {
			r.end(at, steps, i, o)
			return r, fmt.Errorf("apply step %d: %w", i+1, err)
		}
		if i >= at.end {
			if at, err = runMany(context.WithoutCancel(ctx), k, steps, i); err != nil {
				r.end(atOnce{}, steps, i, o)
				r.undo = append(r.undo, steps[i:at.end]...)
				return r, &StepError{Index: i, Step: s, Err: err}
			}
		}
		o.tell(steps[i : i+1])
		switch {
		case at.made[i]:
			r.done, r.undo = append(r.done, s), append(r.undo, s)
			continue
		case at.gone[i]:
			continue
		}
		// The end of ctx between sending and acknowledgement would leave it
		// open whether the change was made.
		err := k.Do(context.WithoutCancel(ctx), s.Change)
		switch {
		case err == nil:
			r.done, r.undo = append(r.done, s), append(r.undo, s)
		case overtaken(err) && stands(ctx, k, s.Change):
		default:
			if s.Change.Op == rpdb.Replace {
				r.undo = append(r.undo, s)
			}
			r.left = append(r.left, s)
			r.end(at, steps, i+1, o)
			return r, &StepError{Index: i, Step: s, Err: err}
		}
	}
	return r, nil
}

// end sorts the steps from one on, which are not tried any more.
func (r *ran) end(at atOnce, steps []plan.Step, from int, o Options) {
	for i, s := range steps[from:] {
		switch i += from; {
		case at.made[i]:
			o.tell(steps[i : i+1])
			r.done, r.undo = append(r.done, s), append(r.undo, s)
		case !at.gone[i]:
			r.left = append(r.left, s)
		}
	}
}

// overtaken reports whether an error may mean that somebody else made the
// change first.
func overtaken(err error) bool {
	return errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH)
}

// stands reports whether the state is as if a change had been made: exactly
// the object is there, or it is not.
func stands(ctx context.Context, k Kernel, c rpdb.Change) bool {
	s, err := k.Snapshot(ctx)
	if err != nil {
		return false
	}
	var there bool
	switch {
	case c.NAT != nil:
		return slices.Equal(s.NAT.Translations, c.NAT.Translations) && len(s.NAT.Unknown) == 0 && s.NAT.Foreign == ""
	case c.Rule != nil:
		there = slices.ContainsFunc(s.Rules, func(r rpdb.Rule) bool { return r.Canonical() == c.Rule.Canonical() })
	default:
		there = slices.ContainsFunc(s.Routes, func(r rpdb.Route) bool { return r.Equal(*c.Route) })
	}
	return there == (c.Op != rpdb.Delete)
}

// verify reads the state back and plans again: a plan that does more than to
// clean is a difference between what was promised and what is. It returns the
// steps that clean.
func verify(ctx context.Context, k Kernel, again func(*rpdb.Snapshot) (plan.Plan, error)) (*rpdb.Snapshot, []plan.Step, error) {
	after, err := k.Snapshot(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("verify: %w", err)
	}
	left, err := again(after)
	if err != nil {
		return nil, nil, fmt.Errorf("verify: %w", err)
	}
	if !left.OnlyCleans() {
		return nil, nil, &VerifyError{Left: left.WithoutClean()}
	}
	return after, left.Steps, nil
}

// rollback takes the steps back, the last one first.
func rollback(ctx context.Context, k Kernel, undo []plan.Step, cause error) (Result, error) {
	var left []error
	for len(undo) > 0 {
		rest, ones := undoMany(ctx, k, undo)
		for undo = rest; ones > 0; ones-- {
			s := undo[len(undo)-1]
			undo = undo[:len(undo)-1]
			if err := k.Do(ctx, s.Inverse); err != nil && !stands(ctx, k, s.Inverse) {
				left = append(left, fmt.Errorf("take back %v: %w", s.Change, err))
			}
		}
	}
	var result Result
	if after, err := k.Snapshot(ctx); err == nil {
		result.After = after
	}
	if len(left) > 0 {
		return result, &RollbackError{Cause: cause, Left: left}
	}
	return result, cause
}
