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
// left on trial. The caller must Close the session.
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

// recover ends a trial that cannot be confirmed any more.
func (s *Session) recover(ctx context.Context) error {
	boot, since, err := s.Machine.Boot()
	if err != nil {
		return err
	}
	s.boot = boot
	p := s.state.Pending
	if p == nil {
		return nil
	}
	if s.Chosen && p.BootID == boot && p.NetNS != s.NetNS {
		return fmt.Errorf("generation %d is on trial in another network namespace: the state directory is that one's", p.ID)
	}
	why := s.overdue(*p, boot, since)
	if why == "" {
		return nil
	}
	result, err := s.goBack(ctx, why)
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

// Confirm keeps the generation on trial, for good. An id of 0 means whichever it
// is. To confirm what is confirmed changes nothing and is no error.
func (s *Session) Confirm(id uint64) (journal.Entry, error) {
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
	stored, err := s.commit(s.state.Confirm())
	e, _ := s.state.Find(p.ID)
	if stored && err != nil {
		err = fmt.Errorf("generation %d is confirmed, but may not be after a power cut: %w", p.ID, err)
	}
	return e, err
}

// RollBack takes the generation on trial back. Why says in a clause who wants
// that.
func (s *Session) RollBack(ctx context.Context, why string) (Result, error) {
	if s.state.Pending == nil {
		return Result{}, errors.New("no generation waits to be confirmed")
	}
	return s.goBack(ctx, why)
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
	return slices.EqualFunc(a.Generations, b.Generations, func(a, b journal.Entry) bool { return a.ID == b.ID && a.Status == b.Status })
}

// goBack restores the generation before the one on trial, and records that. It
// may be stopped and repeated anywhere.
func (s *Session) goBack(ctx context.Context, why string) (Result, error) {
	ctx = context.WithoutCancel(ctx)
	p := s.state.Pending
	actual, err := s.Kernel.Snapshot(ctx)
	if err != nil {
		return Result{}, err
	}
	targets, err := s.meanings(*p, actual)
	if err != nil {
		return Result{}, err
	}
	var result Result
	var errs []error
	for _, target := range targets {
		if result, err = s.lead(ctx, actual, target); err == nil {
			break
		}
		errs = append(errs, err)
		if actual, err = s.Kernel.Snapshot(ctx); err != nil {
			return Result{}, errors.Join(append(errs, err)...)
		}
	}
	if len(errs) == len(targets) {
		return result, errors.Join(errs...)
	}
	_, err = s.commit(s.state.RollBack(why))
	return result, err
}

// meanings returns what the generation to go back to means, the best first.
// Within a boot that is what it meant when it was applied: going back then
// restores what was there. After a boot, or where the host has changed so that
// this is impossible, it is what its policy means now.
func (s *Session) meanings(p journal.Pending, host *rpdb.Snapshot) ([]rpdb.Desired, error) {
	if p.Old == 0 {
		return []rpdb.Desired{{}}, nil
	}
	e, ok := s.state.Find(p.Old)
	if !ok {
		return nil, fmt.Errorf("generation %d is not recorded", p.Old)
	}
	body, err := s.Journal.Body(e)
	if err != nil {
		return nil, err
	}
	all := []rpdb.Desired{relink(body, host)}
	if now, err := s.resolve(body, host); err == nil {
		all = append(all, now)
	}
	if p.BootID != s.boot || p.NetNS != s.NetNS {
		slices.Reverse(all)
	}
	return all, nil
}

func (s *Session) resolve(body journal.Body, host *rpdb.Snapshot) (rpdb.Desired, error) {
	if s.Resolve == nil || body.Policy == "" {
		return relink(body, host), nil
	}
	return s.Resolve(body, host)
}

// lead makes the kernel equal to a desired state.
func (s *Session) lead(ctx context.Context, actual *rpdb.Snapshot, desired rpdb.Desired) (Result, error) {
	k, p, wanted, err := s.planAround(actual, desired)
	if err != nil {
		return Result{}, err
	}
	return Run(ctx, k, p, wanted, Options{})
}

// planAround is plan where what others have put into our ranges is no reason not
// to: to go back, and to take everything away. Their rules stay, and the kernel
// that it returns does not show them; where a route of theirs stands there is
// none of ours.
func (s *Session) planAround(actual *rpdb.Snapshot, desired rpdb.Desired) (blinkered, plan.Plan, rpdb.Desired, error) {
	k := blinkered{s.Kernel, map[rpdb.Rule]bool{}}
	for {
		p, wanted, err := s.plan(k.look(actual), desired)
		var rule *plan.RangeError
		var route *plan.ConflictError
		switch {
		case errors.As(err, &rule) && !k.hidden[rule.Rule]:
			k.hidden[rule.Rule] = true
		case errors.As(err, &route):
			before := len(desired.Routes)
			if desired.Routes = withoutRoute(desired.Routes, route.Wanted); len(desired.Routes) == before {
				return k, p, wanted, err
			}
		default:
			return k, p, wanted, err
		}
	}
}

// withoutRoute leaves out the route that a plan has wanted in either of the two
// tables that can be meant.
func withoutRoute(routes []rpdb.DesiredRoute, wanted rpdb.Route) []rpdb.DesiredRoute {
	key := func(r rpdb.Route) rpdb.RouteKey {
		r.Table = plan.LogicalTable(r.Table)
		return r.Key()
	}
	return slices.DeleteFunc(slices.Clone(routes), func(w rpdb.DesiredRoute) bool { return key(w.Route) == key(wanted) })
}

// blinkered is a kernel some of whose rules are not looked at.
type blinkered struct {
	Kernel
	hidden map[rpdb.Rule]bool
}

// Snapshot is that of the kernel, without the hidden rules.
func (b blinkered) Snapshot(ctx context.Context) (*rpdb.Snapshot, error) {
	s, err := b.Kernel.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return b.look(s), nil
}

func (b blinkered) look(s *rpdb.Snapshot) *rpdb.Snapshot {
	if len(b.hidden) == 0 {
		return s
	}
	seen := *s
	seen.Rules = slices.DeleteFunc(slices.Clone(s.Rules), func(r rpdb.Rule) bool { return b.hidden[r] })
	return &seen
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
		b, err := s.Journal.Body(e)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%v: what generation %d has outside our ranges is left alone", err, e.ID))
			continue
		}
		bodies = append(bodies, b)
	}
	return bodies, notes
}

// Preview returns the plan that a session would carry out to lead the host to a
// desired state. Unlike plan.Diff it knows what earlier generations have pinned,
// which goes with them. It changes nothing, and needs no session.
func Preview(c Config, state journal.State, host *rpdb.Snapshot, desired rpdb.Desired) (plan.Plan, error) {
	s := &Session{Config: c, state: state}
	p, _, err := s.plan(host, desired)
	return p, err
}
