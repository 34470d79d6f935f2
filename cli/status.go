package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/plan"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "is this host as it was applied, and is something unfinished?",
		Long: `status compares the host with the generation that is in force: what its policy
means here and now. It says what has drifted, whether a generation waits to be
confirmed and the one before stands ready to come back, which parts of the policy
wait for an interface or an address, and whether the generation comes back at boot
("rpdb enable") and is repaired with each change. It changes nothing, so "last seen
in sync" is when apply, repair or a rollback last looked, to a minute. What an
uplink has stays while it waits, for when it comes back. Another rpdb that is
changing the host is waited for.

Exit codes: 0 in sync, and nothing is unfinished; 1 an error; 3 drifted, or blocked
by a rule or route of others that stands where one of the policy has to, or a rule
made by hand that translates is not whole; 4 in sync, but a generation waits to be
confirmed, or a part of the policy waits; or the host is still being changed when
--wait is over.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	}
	a.waitFlag(cmd)
	a.stateFlag(cmd)
	return cmd
}

// statusDocument is the JSON of status.
type statusDocument struct {
	Version int `json:"version"`
	// State is "in sync", "drifted", "nothing applied", "blocked" if others have
	// put something where rules or routes of the policy have to be, or "being changed"
	// if another rpdb has been at it for as long as was waited.
	State string `json:"state"`
	// Generation is the one in force, confirmed or on trial; absent if there is
	// none.
	Generation *journal.Entry `json:"generation,omitempty"`
	Pending    *pendingJSON   `json:"pending,omitempty"`
	// SeenInSync is when a command that changes something last found the host in
	// sync with the generation, to a minute; absent if that is not known.
	SeenInSync *time.Time `json:"seen_in_sync,omitempty"`
	// Drift are the changes that would put it right, and Leftovers counts the
	// rules and routes of an interrupted run, which decide nothing. What a trial
	// replaced is neither: it stands ready to come back.
	Drift     []plan.Step    `json:"drift"`
	Leftovers int            `json:"leftovers,omitzero"`
	Kept      int            `json:"kept"`
	Waiting   []rpdb.Waiting `json:"waiting"`
	// Lasting says what brings the generation back, at boot and after changes.
	Lasting lasting `json:"lasting"`
	// Blocked are the objects of others that keep the generation from being put
	// right, and any other from being applied; absent if there are none.
	Blocked []blocker `json:"blocked,omitempty"`
	// ByHand are the changes that would put right what belongs to rules made by hand
	// that translate, and NATNotes say what cannot be.
	ByHand   []plan.Step `json:"by_hand,omitempty"`
	NATNotes []string    `json:"by_hand_notes,omitempty"`

	record  journal.State
	pending *journal.Pending
	left    time.Duration
	host    *rpdb.Snapshot
	// by is the process that is changing the host; nil if there is none.
	by *journal.LockedError
}

func (a *app) status(ctx context.Context) error {
	s, err := a.openSite(true)
	if err != nil {
		return err
	}
	defer s.close()
	d, err := s.statusAtRest(ctx)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(d)
	} else {
		err = a.viewStatus(d)
	}
	switch {
	case err != nil:
		return err
	case len(d.Drift) > 0 || d.Leftovers > 0 || len(d.Blocked) > 0 || len(d.ByHand)+len(d.NATNotes) > 0:
		return &codeError{code: exitWaiting}
	case d.Pending != nil || len(d.Waiting) > 0 || d.by != nil:
		return &codeError{code: exitOpen}
	}
	return nil
}

// statusAtRest is the status while no other rpdb changes the host, which is waited for:
// what is seen in the middle of a change is neither the old state nor the new one.
// One that takes too long is named, and nothing is said of what it may have to do yet.
func (s *site) statusAtRest(ctx context.Context) (statusDocument, error) {
	for end := time.Now().Add(s.app.wait); ; {
		d, err := s.status(ctx)
		if err != nil || d.rests() {
			return d, err
		}
		by := s.journal.Locked()
		now, err := s.journal.Read()
		switch {
		case err != nil:
			return d, err
		case by == nil && reflect.DeepEqual(now, d.record): // nobody has anything to do with it
			return d, nil
		case time.Now().After(end) && by == nil:
			return d, nil
		case time.Now().After(end):
			d.by, d.State = by, "being changed"
			d.Drift, d.Leftovers, d.ByHand = []plan.Step{}, 0, nil
			return d, nil
		}
		select {
		case <-ctx.Done():
			return d, fmt.Errorf("status: %w: another rpdb is changing this host", context.Cause(ctx))
		case <-time.After(statusPoll):
		}
	}
}

// statusPoll is how often a status looks whether another rpdb is done.
const statusPoll = 50 * time.Millisecond

// rests reports whether nothing looks like a change that is under way.
func (d statusDocument) rests() bool {
	return len(d.Drift)+d.Leftovers+len(d.ByHand) == 0 && (d.pending == nil || d.pending.Phase == journal.Waiting)
}

func (s *site) status(ctx context.Context) (statusDocument, error) {
	d := statusDocument{Version: 1, State: "in sync"}
	state, err := s.journal.Read()
	if err != nil {
		return d, err
	}
	d.record = state
	if d.host, err = s.kernel().Snapshot(ctx); err != nil {
		return d, err
	}
	entry, p, err := apply.Drift(s.config(), state, withoutHandLeft(d.host))
	var blocked *apply.BlockedError
	if errors.As(err, &blocked) {
		d.Blocked = blockersOf(blocked)
	} else if err != nil {
		return d, err
	}
	if byHand, err := plan.RepairNATRules(d.host); err == nil && d.host.NAT.Foreign == "" {
		d.ByHand, d.NATNotes = byHand.Steps, byHand.Notes
	}
	d.Lasting = s.lasting()
	d.Drift, d.Kept, d.Waiting = list(p.Changes), p.Kept, list(p.Waiting)
	if len(d.Drift) == 0 {
		d.Leftovers = len(p.Steps)
	}
	if entry.ID != 0 {
		d.Generation = &entry
	}
	if seen, ok := s.journal.Seen(); ok && seen.ID == entry.ID && !seen.Time.After(time.Now()) {
		d.SeenInSync = &seen.Time
	}
	switch {
	case len(d.Blocked) > 0:
		d.State = "blocked"
	case !p.Empty():
		d.State = "drifted"
	case entry.ID == 0:
		d.State = "nothing applied"
	}
	if d.pending = state.Pending; d.pending != nil {
		if d.left, err = timeLeft(d.pending); err != nil {
			return d, err
		}
		d.Pending = newPendingJSON(d.pending, max(d.left, 0), s.guards(*d.pending))
		if d.Pending.Back, err = s.wayBack(state, d.host); err != nil {
			return d, err
		}
	}
	return d, nil
}

// withoutHandLeft is a host without the translations of rules made by hand that are
// gone. A policy clears them away, too, but they are told with those rules.
func withoutHandLeft(host *rpdb.Snapshot) *rpdb.Snapshot {
	left := map[rpdb.Translation]bool{}
	for _, n := range host.NATRules() {
		if len(n.Rules) == 0 {
			left[n.Translation] = true
		}
	}
	if len(left) == 0 {
		return host
	}
	seen := *host
	seen.NAT.Translations = slices.DeleteFunc(slices.Clone(host.NAT.Translations), func(t rpdb.Translation) bool { return left[t] })
	return &seen
}

// wayBack returns how the generation before the one on trial would come back; nil
// where that cannot be planned now.
func (s *site) wayBack(state journal.State, host *rpdb.Snapshot) (*wayBack, error) {
	_, p, err := apply.Return(s.config(), state, host)
	var damaged *journal.Error
	switch {
	case errors.As(err, &damaged):
		return nil, err
	case err != nil:
		return nil, nil
	}
	way := wayOf(p)
	return &way, nil
}

func (a *app) viewStatus(d statusDocument) error {
	w := newPrinter(a.Out)
	if d.Generation == nil {
		w.printf("Nothing was applied here.\n")
	} else {
		w.generation(*d.Generation)
	}
	switch n := len(d.Drift); {
	case d.by != nil:
		w.say("", "Being changed: %v. What holds is seen when that is done.", d.by)
	case n > 0 && d.Generation == nil:
		w.say("", "Drifted: %d %s of ours, of no recorded generation. \"rpdb remove\" would do this:", n, plural(n, "object is", "objects are"))
	case n > 0 && d.SeenInSync != nil:
		w.say("", "Drifted after %s, when it was last seen in sync: %d %s would put it right:", clock(*d.SeenInSync, time.Now()), n, plural(n, "change", "changes"))
	case n > 0:
		w.say("", "Drifted, at some time since then: %d %s would put it right:", n, plural(n, "change", "changes"))
	case d.Leftovers > 0:
		w.say("", "Drifted: %d %s to be put right, which change no decision.", d.Leftovers, plural(d.Leftovers, "leftover is", "leftovers are"))
	case d.Generation != nil && len(d.Blocked) == 0:
		w.printf("In sync: %d %s as the policy wants.\n", d.Kept, plural(d.Kept, "rule or route is", "rules and routes are"))
	}
	v := newWords(d.host.LinkName, a.loadNames())
	for _, step := range d.Drift {
		w.step(v, step)
	}
	if d.State == "drifted" && d.Generation != nil && d.pending == nil {
		w.printf("To put it right, apply the policy again, or: %s\n", a.callAgain("repair"))
	}
	w.byHand(v, d.ByHand, d.NATNotes)
	w.blocked(v, d.Blocked)
	w.waiting(d.Waiting)
	switch p := d.pending; {
	case p == nil:
	case p.Phase == journal.Writing && d.by != nil:
		w.printf("Generation %d is being written.\n", p.ID)
	case p.Phase == journal.Returning && d.by != nil:
		w.printf("Generation %d is being taken back.\n", p.ID)
	case p.Phase == journal.Writing:
		w.say("", "Generation %d was not written to its end, and whoever wrote it is no more: %s with the next apply, confirm or rollback.", p.ID, comesBack(p.Old))
	case p.Phase == journal.Returning:
		w.say("", "Generation %d was not taken back to its end, and whoever did that is no more: %s with the next apply, confirm or rollback.", p.ID, comesBack(p.Old))
	case d.left <= 0:
		w.say("", "Generation %d was not confirmed in time: %s with the next apply, confirm or rollback.", p.ID, comesBack(p.Old))
	default:
		how := ""
		if back := d.Pending.Back; back != nil {
			how = back.ready(p.Old)
		}
		a.viewPending(w, *p, d.left, how)
		if g := d.Pending.Guards.String(); g != "" {
			w.printf("Watched by %s.\n", g)
		} else {
			w.say("", "Nothing watches it any more: after that time %s with the next apply, confirm or rollback.", comesBack(p.Old))
		}
	}
	w.lasting(d.Lasting, d.Generation != nil)
	return w.err
}

// generation is the line of the generation in force.
func (p *printer) generation(e journal.Entry) {
	p.printf("Generation %d, %s, of %s by %s", e.ID, e.Status, e.Time.Local().Format(time.DateTime), safe(e.Author))
	if e.Message != "" {
		p.printf(": %s", safe(e.Message))
	}
	p.printf("\n")
}

// byHand shows what is not as it should be with rules made by hand that translate.
func (p *printer) byHand(v words, steps []plan.Step, notes []string) {
	if n := len(steps); n > 0 {
		p.say("", "Of rules made by hand that translate, %d %s not as %s should be; \"rpdb repair\" would do this:", n, plural(n, "part is", "parts are"), plural(n, "it", "they"))
	} else if len(notes) > 0 {
		p.say("", "Of rules made by hand that translate, this is not as it should be:")
	}
	for _, step := range steps {
		p.step(v, step)
	}
	for _, n := range notes {
		p.printf("  # %s\n", safe(n))
	}
}

// blocker is a rule or route of others that stands where one of a policy has to.
type blocker struct {
	Why   string      `json:"why"`
	Rule  *rpdb.Rule  `json:"rule,omitempty"`
	Route *rpdb.Route `json:"route,omitempty"`
}

func blockersOf(e *apply.BlockedError) []blocker {
	var all []blocker
	for _, err := range e.By {
		b := blocker{Why: err.Error()}
		var rule *plan.RangeError
		var route *plan.ConflictError
		if errors.As(err, &rule) {
			b.Rule = &rule.Rule
		} else if errors.As(err, &route) {
			b.Route = &route.Foreign
		}
		all = append(all, b)
	}
	return all
}

// blocked shows what is in the way.
func (p *printer) blocked(v words, all []blocker) {
	if len(all) == 0 {
		return
	}
	p.say("", "Blocked by what others have put there; nothing can be applied or repaired before it goes:")
	for _, b := range all {
		switch {
		case b.Rule != nil:
			p.printf("  %v: %s\n", *b.Rule, v.rule(*b.Rule))
		case b.Route != nil:
			p.printf("  %v: %s\n", *b.Route, v.route(*b.Route))
		}
		p.printf("      # %s\n", safe(b.Why))
	}
}
