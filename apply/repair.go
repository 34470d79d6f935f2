package apply

import (
	"context"
	"errors"
	"fmt"

	"rpdb"
	"rpdb/apply/journal"
	"rpdb/plan"
)

// Drift returns the generation in force, on trial or confirmed, and the plan that
// would make the host equal to what its policy means now. While it is on trial that
// plan leaves the one before where it stands. Where there is none the ID is 0, and
// the plan takes away whatever is ours. It changes nothing, and needs no session.
//
// With a [*BlockedError] generation and plan are there all the same: the plan goes
// around what others have put there, and could not be carried out.
func Drift(c Config, state journal.State, host *rpdb.Snapshot) (journal.Entry, plan.Plan, error) {
	s := &Session{Config: c, state: state}
	e, ok := s.inForce()
	if !ok {
		_, p, _, err := s.planAround(host, rpdb.Desired{})
		return e, p, err
	}
	p, desired, err := s.repairs(e, host)
	by := blockers(err)
	if len(by) == 0 {
		return e, p, err
	}
	if _, p, _, err = s.planAround(host, desired); err != nil {
		return e, p, err
	}
	if s.state.Pending != nil {
		p = p.WithoutClean()
	}
	return e, p, &BlockedError{By: by}
}

// BlockedError says that rules or routes of others stand where those of a policy
// have to be, or a table of nftables, so that it can neither be applied nor
// repaired. It unwraps to them.
type BlockedError struct {
	By []error // each a *plan.RangeError, a *plan.ConflictError or a *plan.NATError
}

// Error names all of them.
func (e *BlockedError) Error() string { return errors.Join(e.By...).Error() }

// Unwrap returns them.
func (e *BlockedError) Unwrap() []error { return e.By }

// blockers returns the errors that a plan has failed with; none if another one is
// among them.
func blockers(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, err := range joined.Unwrap() {
			by := blockers(err)
			if len(by) == 0 {
				return nil
			}
			all = append(all, by...)
		}
		return all
	}
	switch err.(type) {
	case *plan.RangeError, *plan.ConflictError, *plan.NATError:
		return []error{err}
	}
	return nil
}

// inForce returns the generation on trial, else the one that is confirmed.
func (s *Session) inForce() (journal.Entry, bool) {
	if p := s.state.Pending; p != nil {
		return s.state.Find(p.ID)
	}
	return s.state.Confirmed()
}

// repairs returns the plan that makes the host equal to what the policy of a
// generation means now.
func (s *Session) repairs(e journal.Entry, host *rpdb.Snapshot) (plan.Plan, rpdb.Desired, error) {
	body, err := s.Journal.Body(e)
	if err != nil {
		return plan.Plan{}, rpdb.Desired{}, err
	}
	desired, err := s.resolve(body, plan.Live(host))
	if err != nil {
		return plan.Plan{}, rpdb.Desired{}, fmt.Errorf("what generation %d means now: %w", e.ID, err)
	}
	p, desired, err := s.plan(host, desired)
	if s.state.Pending != nil {
		p = p.WithoutClean()
	}
	return p, desired, err
}

// Repair makes the host equal to what the policy of the generation in force means
// now: what went with a link or an address comes back, and what follows from
// them follows. A generation on trial leaves the one before where it stands, ready
// to come back, unless its place is needed. Repair records nothing, as no generation
// is made. The outcome's Entry is the generation, with ID 0 if there is none; then
// nothing is done.
//
// The errors are those of [Run], and a policy that cannot be resolved any more;
// then nothing is changed, or what was is taken back. To repair what is in order
// sends nothing.
func (s *Session) Repair(ctx context.Context) (Outcome, error) {
	var out Outcome
	e, ok := s.inForce()
	if !ok {
		return out, nil
	}
	out.Entry, out.Pending = e, s.state.Pending
	host, err := s.Kernel.Snapshot(ctx)
	if err != nil {
		return out, err
	}
	out.Before = host
	p, desired, err := s.repairs(e, host)
	if err != nil {
		return out, err
	}
	out.Plan = p
	if out.Result, err = Run(ctx, s.Kernel, p, desired, Options{Keep: true}); err == nil && s.state.Pending == nil {
		s.clear(ctx, s.Kernel, &out.Result)
	}
	if err == nil {
		s.saw()
	}
	return out, err
}

// saw writes down that the host is as the generation in force wants it. If that
// fails, it is not known later, and nothing else is wrong.
func (s *Session) saw() {
	if e, ok := s.inForce(); ok {
		_ = s.Journal.Saw(journal.Seen{ID: e.ID, Time: s.Machine.Now().UTC().Round(0)})
	}
}
