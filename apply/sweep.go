package apply

import (
	"context"
	"fmt"

	"rpdb"
	"rpdb/apply/journal"
	"rpdb/plan"
)

// here is where something is left over.
func (s *Session) here() *journal.Remains { return &journal.Remains{BootID: s.boot, NetNS: s.NetNS} }

// clear makes the steps that a run has left, and records that nothing is left.
// What fails is told by Uncleared, as the generation in force is what it should be.
func (s *Session) clear(ctx context.Context, k Kernel, r *Result) {
	if s.uncleared = r.clean(ctx, k, Options{}); s.uncleared == nil {
		s.cleared()
	}
}

// cleared records that nothing is left.
func (s *Session) cleared() {
	if s.state.Remains == nil {
		return
	}
	if _, err := s.commit(s.state.Leaving(nil)); err != nil {
		s.uncleared = fmt.Errorf("record that nothing is left: %w", err)
	}
}

// sweep clears away what an earlier generation has left, while none is on trial.
func (s *Session) sweep(ctx context.Context) {
	r := s.state.Remains
	if r == nil {
		return
	}
	if *r != *s.here() { // it went with the machine's or the namespace's end
		s.cleared()
		return
	}
	ctx = context.WithoutCancel(ctx)
	host, err := s.Kernel.Snapshot(ctx)
	if err != nil {
		s.uncleared = err
		return
	}
	desired, err := s.confirmed(host)
	if err != nil {
		s.uncleared = err
		return
	}
	s.clear(ctx, s.Kernel, &Result{Left: plan.Sweep(host, desired).Steps})
}

// confirmed is what the confirmed generation means.
func (s *Session) confirmed(host *rpdb.Snapshot) (rpdb.Desired, error) {
	e, ok := s.state.Confirmed()
	if !ok {
		return rpdb.Desired{}, nil
	}
	body, err := s.Journal.Body(e)
	if err != nil {
		return rpdb.Desired{}, err
	}
	if desired, err := s.resolve(body, plan.Live(host)); err == nil {
		return desired, nil
	}
	return relink(body, host), nil
}
