package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"rpdb"
	"rpdb/apply/journal"
	"rpdb/plan"
)

// Proposal is a generation to be applied.
type Proposal struct {
	// Policy is the text that Desired was resolved from, and File where it is
	// from; both "" to take everything away.
	Policy, File string
	Desired      rpdb.Desired
	// Before is the state that Desired was resolved on.
	Before          *rpdb.Snapshot
	Author, Message string
	// To is the generation whose policy this is once more, 0 for none: what later ones
	// adopted is given back. To take everything away gives back what the policy holds.
	To uint64
	// Confirm is how long the generation waits to be confirmed, before it is
	// rolled back; 0 confirms it as soon as it is verified.
	Confirm time.Duration
	// Guard, if not nil, is called when the record is on disk and nothing else
	// is done, if the generation has to be confirmed: it starts what rolls it
	// back even if this process is no more, see [Guard].
	Guard func(p journal.Pending) error
	// Check, if not nil, may refuse the plan.
	Check func(p plan.Plan) error

	owed []journal.Owed // what stays adopted
}

// Outcome is what became of a proposal.
type Outcome struct {
	Plan   plan.Plan
	Result Result
	// Entry is the generation that was made; its ID is 0 if none was needed, or
	// if it failed before it was recorded.
	Entry journal.Entry
	// Pending is the trial that has begun, nil if there is none.
	Pending *journal.Pending
	// Withheld, if not nil, says why nothing of others was given back.
	Withheld error
	// Before is the state that a repair looked at; nil from all else.
	Before *rpdb.Snapshot
}

// PolicyHash is how a record names the text of a policy.
func PolicyHash(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Apply makes a proposal the new generation: it plans, records old and new
// generation and the deadline on disk, starts the guard, carries out the plan,
// reads the state back and records that. Whatever fails, the generation before
// is restored, and the error says so; the outcome holds what was planned in any
// case that it could be planned.
//
// What it replaces is cleared away when the generation is confirmed; while it is
// on trial, that stands ready to come back. Something that could not be cleared
// away is no error, see Uncleared.
//
// If nothing is to be done and the policy is that of the confirmed generation,
// nothing is recorded either. If nothing is to be done for another policy, it is
// confirmed without a trial.
//
// Where something of others cannot be made again, it is applied without that, see
// Outcome.Withheld.
//
// The errors are [*PendingError], [*StaleError], what Guard and Check return,
// those of package journal, of plan.Diff and of [Run].
func (s *Session) Apply(ctx context.Context, prop Proposal) (Outcome, error) {
	returning, due := s.giving(prop)
	out, err := s.apply(ctx, returning)
	if due.IsZero() || s.state.Pending != nil || !ofOthers(err) {
		return out, err
	}
	prop.owed = s.owed(prop.Before)
	withheld := err
	out, err = s.apply(ctx, prop)
	out.Withheld = withheld
	return out, err
}

func (s *Session) apply(ctx context.Context, prop Proposal) (Outcome, error) {
	var out Outcome
	if err := s.Free(); err != nil {
		return out, err
	}
	k := blinkered{Kernel: s.Kernel}
	p, desired, err := s.plan(prop.Before, prop.Desired)
	if prop.Policy == "" {
		k, p, desired, err = s.planAround(prop.Before, prop.Desired)
	}
	if err != nil {
		return out, err
	}
	out.Plan = p
	if prop.Check != nil {
		if err := prop.Check(p); err != nil {
			return out, err
		}
	}
	if p.Empty() && s.isConfirmed(prop) {
		s.saw()
		return out, nil
	}
	if p.OnlyCleans() {
		prop.Confirm, prop.Guard = 0, nil
	}
	if err := s.canGoBack(prop); err != nil {
		return out, err
	}
	if err := s.record(prop, p, &out); err != nil {
		return out, err
	}
	err = s.arm(prop)
	if err == nil {
		err = s.stillTrue(ctx, k, prop, p)
	}
	if err == nil {
		if out.Result, err = Run(ctx, k, p, desired, Options{Keep: true}); err != nil && !s.untouched(prop, p, out.Result) {
			err = s.restore(ctx, err, &out)
		}
	}
	if err = s.settle(ctx, prop, err, &out); err == nil {
		s.saw()
	}
	return out, err
}

// untouched reports whether the kernel is as it was before a run that failed, so
// that the same plan would still lead to the proposal. A change whose
// acknowledgement was lost is none that Run knows of.
func (s *Session) untouched(prop Proposal, p plan.Plan, r Result) bool {
	if r.After == nil {
		return false
	}
	again, _, err := s.plan(r.After, prop.Desired)
	return err == nil && reflect.DeepEqual(messages(p), messages(again))
}

// isConfirmed reports whether the confirmed generation is of the same policy.
// Where there is none, that is the policy of nothing.
func (s *Session) isConfirmed(prop Proposal) bool {
	e, ok := s.state.Confirmed()
	return ok && e.PolicyHash == PolicyHash(prop.Policy) || !ok && prop.Policy == ""
}

// canGoBack refuses a trial that nothing could end, as the generation to go back
// to cannot be read. Without a trial that is the way out, and not refused.
func (s *Session) canGoBack(prop Proposal) error {
	e, ok := s.state.Confirmed()
	if !ok || prop.Confirm == 0 {
		return nil
	}
	if _, err := s.Journal.Body(e); err != nil {
		return fmt.Errorf("nothing could take generation %d back: %w", s.state.Next+1, err)
	}
	return nil
}

// record writes the generation, on trial, and nothing else has happened.
func (s *Session) record(prop Proposal, p plan.Plan, out *Outcome) error {
	boot, since, err := s.Machine.Boot()
	if err != nil {
		return err
	}
	body := journal.Body{Policy: prop.Policy, File: prop.File, Desired: prop.Desired}
	for _, c := range p.Changes {
		body.Changes = append(body.Changes, c.Change)
	}
	body.Adopted = adopted(p)
	body.Owed = owedBesides(body.Adopted, prop.owed)
	body.Links = linksOf(body, prop.Before)
	sum, err := s.Journal.WriteBody(s.state.Next+1, body)
	if err != nil {
		return err
	}
	s.knowBody(sum, body)
	entry := journal.Entry{
		Time: s.Machine.Now().UTC().Round(0), Author: prop.Author, Message: prop.Message,
		PolicyHash: PolicyHash(prop.Policy), BodyHash: sum,
	}
	entry.Changed.Add, entry.Changed.Change, entry.Changed.Remove = p.Count()
	pending := journal.Pending{BootID: boot, NetNS: s.NetNS}
	if prop.Confirm > 0 {
		pending.Deadline = since + prop.Confirm
	}
	stored, err := s.commit(s.state.Begin(entry, pending))
	if err != nil {
		if stored {
			_, _ = s.commit(s.state.RollBack("its record could not be stored for sure")) // else the next Begin does
		}
		return err
	}
	out.Entry = s.entry()
	return nil
}

// entry is the newest generation.
func (s *Session) entry() journal.Entry { return s.state.Generations[len(s.state.Generations)-1] }

func (s *Session) arm(prop Proposal) error {
	if prop.Confirm == 0 || prop.Guard == nil {
		return nil
	}
	if err := prop.Guard(*s.state.Pending); err != nil {
		return fmt.Errorf("start the guard that would roll back: %w", err)
	}
	return nil
}

// stillTrue reads the state once more and refuses a plan that was made for
// another one.
func (s *Session) stillTrue(ctx context.Context, k blinkered, prop Proposal, p plan.Plan) error {
	if p.Empty() {
		return nil
	}
	now, err := k.Snapshot(ctx)
	if err != nil {
		return err
	}
	if sameState(prop.Before, now) {
		return nil
	}
	again, _, err := s.plan(now, prop.Desired)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(messages(p), messages(again)) {
		return &StaleError{}
	}
	return nil
}

// sameState reports whether two states have the same rules and routes in the same
// order, and translate the same, and so one plan: nothing else goes into it.
func sameState(a, b *rpdb.Snapshot) bool {
	return slices.Equal(a.Rules, b.Rules) && slices.EqualFunc(a.Routes, b.Routes, rpdb.Route.Equal) &&
		reflect.DeepEqual(a.NAT, b.NAT) && a.Missing.Has(rpdb.PartNAT) == b.Missing.Has(rpdb.PartNAT)
}

// messages are what a plan sends.
func messages(p plan.Plan) []rpdb.Change {
	var all []rpdb.Change
	for _, s := range p.Steps {
		all = append(all, s.Change)
	}
	return all
}

// settle ends what Apply began: a failed generation is recorded as that, one that
// is verified is confirmed or waits for it.
func (s *Session) settle(ctx context.Context, prop Proposal, failed error, out *Outcome) error {
	if failed == nil {
		failed = s.keep(ctx, prop, out)
	} else if s.state.Pending != nil && !errors.As(failed, new(*RollbackError)) {
		if _, err := s.commit(s.state.RollBack(failed.Error())); err != nil {
			failed = errors.Join(failed, err) // and the next Begin does it
		}
	}
	out.Entry, out.Pending = s.entry(), s.state.Pending
	s.Journal.Prune(s.state)
	return failed
}

// keep records that the generation is in force, or takes it back if that cannot
// be recorded.
func (s *Session) keep(ctx context.Context, prop Proposal, out *Outcome) error {
	next := s.state.Confirm()
	if len(out.Result.Left) > 0 {
		next = next.Leaving(s.here())
	}
	if prop.Confirm > 0 {
		next = s.state.Written()
	}
	stored, err := s.commit(next)
	switch {
	case !stored:
		return s.restore(ctx, err, out)
	case err != nil: // what was in force before is needed, if the cut comes
		return fmt.Errorf("generation %d is in force, but its record may be lost in a power cut: %w", out.Entry.ID, err)
	case prop.Confirm == 0:
		s.clear(ctx, s.Kernel, &out.Result)
	}
	return nil
}

// restore restores the generation before, and returns why that was needed. What
// it cannot restore is left on trial, and to the next Begin.
func (s *Session) restore(ctx context.Context, why error, out *Outcome) error {
	var left *RollbackError
	if errors.As(why, &left) {
		why = left.Cause
	}
	_, result, err := s.goBack(ctx, why.Error())
	out.Result = Result{RolledBack: true, After: result.After}
	var record *journal.Error
	switch {
	case errors.As(err, &record) && record.Op == "write": // the last thing that is done
		return fmt.Errorf("%w; what was done is taken back, but to record that: %w", why, err)
	case err != nil:
		return &RollbackError{Cause: why, Left: []error{err}}
	}
	return why
}
