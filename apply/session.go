package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rpdb"
	"rpdb/apply/journal"
	"rpdb/plan"
)

// Config is what a [Session] stands on. Kernel, Journal and Machine must be set.
type Config struct {
	Kernel  Kernel
	Journal *journal.Journal
	Machine journal.Machine
	// NetNS is the number of the network namespace that Kernel is the door to;
	// 0 where it is not known.
	NetNS uint64
	// Chosen says that somebody chose the directory of Journal, so that it may
	// be another namespace's. It is then refused while one is on trial there.
	// Otherwise a namespace with another number is the same, made anew.
	Chosen bool
	// Wait is how long another session is waited for.
	Wait time.Duration
	// Ended, if not nil, is called under the lock when a generation is not on
	// trial any more, and that is on disk, so that what its guard has started
	// can go.
	Ended func(p journal.Pending)
	// Relieved, if not nil, reports to [Guard] whether something else watches the
	// generation, too.
	Relieved func(p journal.Pending) bool
	// Resolve returns what the policy of a generation means on the host now. If
	// nil, a generation means for ever what it meant when it was applied.
	Resolve func(b journal.Body, host *rpdb.Snapshot) (rpdb.Desired, error)
}

// Session is the only writer to one network namespace, from [Begin] to Close.
// Its methods must not be called at once. Whenever the process ends, and however,
// [Begin] of the next session leads to one generation, the old or the new one:
// the record on disk is always ahead of the kernel.
type Session struct {
	Config
	state     journal.State
	unlock    func()
	boot      string
	recovered *Recovered
	uncleared error
	bodies    map[string]journal.Body // that were read or written, by their hash
}

// Recovered is what [Begin] found left by a session that ended early, and ended
// itself.
type Recovered struct {
	// Entry is the generation that was on trial.
	Entry journal.Entry
	// Result is what was done to the kernel.
	Result Result
}

// PendingError says that a generation waits to be confirmed, so that no other
// can be applied.
type PendingError struct {
	ID   uint64
	Left time.Duration // until it is rolled back
}

// Error names the generation and its deadline.
func (e *PendingError) Error() string {
	return fmt.Sprintf("generation %d waits to be confirmed, for %v more", e.ID, e.Left.Round(time.Second))
}

// Hint says how to end the wait.
func (e *PendingError) Hint() string {
	return fmt.Sprintf("rpdb confirm %d keeps it, rpdb rollback takes it back", e.ID)
}

// StaleError says that the state changed between plan and apply, so that the
// plan would be another one now.
type StaleError struct{}

// Error says so.
func (*StaleError) Error() string {
	return "the rules or routes changed after the plan was made: nothing was changed"
}

// Hint says that a new attempt plans anew.
func (*StaleError) Hint() string {
	return "try again; if it happens each time, another program changes what is planned here"
}

// Begin locks the namespace, and ends what a session before left unfinished: a
// generation that was being written, or that was not confirmed in time or in the
// same boot, gives way to the one before it. One that can still be confirmed is
// left on trial, with the one before it, which stands ready to come back. What an
// earlier session could not clear away is cleared away. The caller must Close the
// session.
//
// The errors are those of package journal, and those of [Run] where the
// generation before could not be restored; then nothing else is done, and the
// next Begin tries again.
func Begin(ctx context.Context, c Config) (*Session, error) {
	unlock, err := c.Journal.Lock(ctx, c.Wait)
	if err != nil {
		return nil, err
	}
	begun := false
	defer func() {
		if !begun {
			unlock()
		}
	}()
	s := &Session{Config: c, unlock: unlock}
	if s.state, err = c.Journal.Read(); err != nil {
		return nil, err
	}
	if err := s.recover(ctx); err != nil {
		return nil, err
	}
	c.Journal.Prune(s.state) // what a session before has left
	begun = true
	return s, nil
}

// Close lets others write.
func (s *Session) Close() { s.unlock() }

// State is the record as it is now.
func (s *Session) State() journal.State { return s.state }

// Recovered is what Begin had to end, nil if there was nothing.
func (s *Session) Recovered() *Recovered { return s.recovered }

// Uncleared says why something of an earlier generation may still be there, where
// no packet comes to it; nil if nothing is. It changes nothing in what is in
// force, and the next session tries again.
func (s *Session) Uncleared() error { return s.uncleared }

// recover ends a trial that cannot be confirmed any more.
func (s *Session) recover(ctx context.Context) error {
	boot, since, err := s.Machine.Boot()
	if err != nil {
		return err
	}
	s.boot = boot
	p := s.state.Pending
	if p == nil {
		s.sweep(ctx)
		return nil
	}
	if s.Chosen && p.BootID == boot && p.NetNS != s.NetNS {
		return fmt.Errorf("generation %d is on trial in another network namespace: the state directory is that one's", p.ID)
	}
	why := s.overdue(*p, boot, since)
	if why == "" {
		return nil
	}
	_, result, err := s.goBack(ctx, why)
	if err != nil {
		return fmt.Errorf("roll back generation %d (%s): %w", p.ID, why, err)
	}
	e, _ := s.state.Find(p.ID)
	s.recovered = &Recovered{Entry: e, Result: result}
	return nil
}

// overdue says why a generation cannot be confirmed any more, "" if it can. The
// caller has the lock, so nobody is writing it.
func (c Config) overdue(p journal.Pending, boot string, since time.Duration) string {
	switch {
	case p.BootID != boot:
		return "the machine was booted before it was confirmed"
	case p.NetNS != c.NetNS:
		return "its network namespace was made anew before it was confirmed"
	case p.Phase == journal.Writing:
		return "rpdb ended while it was written"
	case p.Phase == journal.Returning:
		return p.Why
	case since >= p.Deadline:
		return "not confirmed in time"
	}
	return ""
}

// Free returns a [*PendingError] if a generation is on trial, so that no other
// can be applied.
func (s *Session) Free() error {
	p := s.state.Pending
	if p == nil {
		return nil
	}
	_, since, err := s.Machine.Boot()
	if err != nil {
		return err
	}
	return &PendingError{ID: p.ID, Left: max(p.Deadline-since, 0)}
}

// Confirm keeps the generation on trial, for good, and clears away the one before,
// which stood ready to come back. An id of 0 means whichever it is. To confirm what
// is confirmed changes nothing and is no error; nor is it one that something could
// not be cleared away, see Uncleared.
func (s *Session) Confirm(ctx context.Context, id uint64) (journal.Entry, error) {
	p := s.state.Pending
	if p != nil && id != 0 && p.ID != id {
		return journal.Entry{}, fmt.Errorf("generation %d is on trial, not %d", p.ID, id)
	}
	if p == nil {
		e, ok := s.state.Find(id)
		switch {
		case ok && e.Status == journal.Confirmed:
			return e, nil
		case ok && e.Why != "":
			return e, fmt.Errorf("generation %d cannot be confirmed: it was rolled back (%s)", id, e.Why)
		case ok:
			return e, fmt.Errorf("generation %d cannot be confirmed: it is %s", id, e.Status)
		case id != 0:
			return e, fmt.Errorf("there is no generation %d", id)
		}
		return e, errors.New("no generation waits to be confirmed")
	}
	stored, err := s.commit(s.state.Confirm().Leaving(s.here()))
	e, _ := s.state.Find(p.ID)
	switch {
	case !stored:
		return e, err
	case err != nil: // what stands ready is needed, if the cut comes
		s.uncleared = err
		return e, fmt.Errorf("generation %d is confirmed, but may not be after a power cut: %w", p.ID, err)
	}
	s.sweep(ctx)
	return e, nil
}

// RollBack takes the generation on trial back: where the one before still stands
// as it stood, by one message for each family that changed, but for what changed
// where it stands. Then it clears the trial away; that this could not be done is no
// error, see Uncleared. Why says in a clause who wants to go back. The outcome's
// Plan is the way back.
func (s *Session) RollBack(ctx context.Context, why string) (Outcome, error) {
	if s.state.Pending == nil {
		return Outcome{}, errors.New("no generation waits to be confirmed")
	}
	out := Outcome{}
	id := s.state.Pending.ID
	var err error
	out.Plan, out.Result, err = s.goBack(ctx, why)
	out.Entry, _ = s.state.Find(id)
	out.Pending = s.state.Pending
	return out, err
}

// commit makes another record the one on disk. It tries twice, with another
// file: after an error the first may or may not be stored. Stored reports
// whether the record is there in the end; with an error it may be lost in a
// power cut.
func (s *Session) commit(next journal.State) (stored bool, err error) {
	before := s.state.Pending
	stored, err = s.store(next)
	if before != nil && s.state.Pending == nil && s.Ended != nil {
		s.Ended(*before)
	}
	return stored, err
}

func (s *Session) store(next journal.State) (stored bool, err error) {
	for range 2 {
		if err = s.Journal.Write(next); err == nil {
			s.state = next
			return true, nil
		}
	}
	if now, readErr := s.Journal.Read(); readErr == nil {
		s.state = now
	}
	return sameRecord(s.state, next), err
}

// sameRecord compares what can differ between a record and its successor.
func sameRecord(a, b journal.State) bool {
	if a.Next != b.Next || (a.Pending == nil) != (b.Pending == nil) || a.Pending != nil && *a.Pending != *b.Pending {
		return false
	}
	return (a.Remains == nil) == (b.Remains == nil) &&
		slices.EqualFunc(a.Generations, b.Generations, func(a, b journal.Entry) bool { return a.ID == b.ID && a.Status == b.Status })
}

// plan is [plan.Diff] with what the record knows to be ours besides.
func (s *Session) plan(actual *rpdb.Snapshot, desired rpdb.Desired) (plan.Plan, rpdb.Desired, error) {
	former, notes := s.former()
	p, desired, err := diff(actual, desired, former)
	p.Notes = append(p.Notes, notes...)
	return p, desired, err
}

// former returns the generations that what is in the kernel may be of.
func (s *Session) former() (bodies []journal.Body, notes []string) {
	var entries []journal.Entry
	if e, ok := s.state.Confirmed(); ok {
		entries = append(entries, e)
	}
	if p := s.state.Pending; p != nil {
		e, _ := s.state.Find(p.ID)
		entries = append(entries, e)
	}
	for _, e := range entries {
		b, err := s.body(e)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%v: what generation %d has outside our ranges is left alone", err, e.ID))
			continue
		}
		bodies = append(bodies, b)
	}
	return bodies, notes
}

// body is [journal.Journal.Body], read once: what is recorded does not change.
func (s *Session) body(e journal.Entry) (journal.Body, error) {
	if b, ok := s.bodies[e.BodyHash]; ok {
		return b, nil
	}
	b, err := s.Journal.Body(e)
	if err == nil {
		s.knowBody(e.BodyHash, b)
	}
	return b, err
}

func (s *Session) knowBody(hash string, b journal.Body) {
	if s.bodies == nil {
		s.bodies = map[string]journal.Body{}
	}
	s.bodies[hash] = b
}

// Preview returns the plan that a session would carry out to lead the host to a
// desired state. Unlike plan.Diff it knows what earlier generations have pinned,
// which goes with them, and that while one is on trial the one before stays where
// it stands. It changes nothing, and needs no session.
func Preview(c Config, state journal.State, host *rpdb.Snapshot, desired rpdb.Desired) (plan.Plan, error) {
	s := &Session{Config: c, state: state}
	p, _, err := s.plan(host, desired)
	if state.Pending != nil && p.OnlyCleans() {
		p = p.WithoutClean()
	}
	return p, err
}
