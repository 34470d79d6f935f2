package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rpdb"
	"rpdb/apply/journal"
	"rpdb/plan"
)

// goBack restores the generation before the one on trial, records that, and then
// clears the trial away. It may be stopped and repeated anywhere.
func (s *Session) goBack(ctx context.Context, why string) (plan.Plan, Result, error) {
	ctx = context.WithoutCancel(ctx)
	p := s.state.Pending
	actual, err := s.Kernel.Snapshot(ctx)
	if err != nil {
		return plan.Plan{}, Result{}, err
	}
	targets, err := s.meanings(*p, actual)
	if err != nil {
		return plan.Plan{}, Result{}, err
	}
	targets = s.giveBack(*p, s.readyFirst(*p, actual, targets), actual)
	s.returns(why)
	var w way
	var result Result
	var errs []error
	for _, target := range targets {
		if w, err = s.wayTo(actual, target); err == nil {
			result, err = Run(ctx, w.kernel, w.plan, w.desired, Options{Keep: true})
		}
		if err == nil {
			break
		}
		errs = append(errs, err)
		if actual, err = s.Kernel.Snapshot(ctx); err != nil {
			return w.plan, Result{}, errors.Join(append(errs, err)...)
		}
	}
	if len(errs) == len(targets) {
		s.stays()
		return w.plan, result, errors.Join(errs...)
	}
	next := s.state.RollBack(why)
	if len(result.Left) > 0 {
		next = next.Leaving(s.here())
	}
	if _, err = s.commit(next); err == nil {
		s.clear(ctx, w.kernel, &result)
		s.saw()
	}
	return w.plan, result, err
}

// returns records that a generation that waits is taken back, so that whoever comes
// after this process goes on with that, and does not take the trial for what is in
// force. Where that cannot be stored it goes back all the same.
func (s *Session) returns(why string) {
	if s.state.Pending.Phase == journal.Waiting {
		_, _ = s.commit(s.state.Returns(why))
	}
}

// stays takes that back, where going back has failed: the generation is in force as it
// was, and may be confirmed.
func (s *Session) stays() {
	if s.state.Pending.Phase == journal.Returning {
		_, _ = s.commit(s.state.Written())
	}
}

// way is how to reach a state.
type way struct {
	kernel  Kernel
	plan    plan.Plan
	desired rpdb.Desired
}

// wayTo plans how to make the kernel equal to a desired state.
func (s *Session) wayTo(actual *rpdb.Snapshot, desired rpdb.Desired) (way, error) {
	k, p, wanted, err := s.planAround(actual, desired)
	return way{k, p, wanted}, err
}

// readyFirst prefers, within a boot, the meaning of a generation that stands ready
// to come back, whichever that is: its policy may have come to mean something else
// before the trial began.
func (s *Session) readyFirst(p journal.Pending, actual *rpdb.Snapshot, meanings []rpdb.Desired) []rpdb.Desired {
	if p.BootID != s.boot || len(meanings) < 2 {
		return meanings
	}
	isReady := func(d rpdb.Desired) bool {
		w, err := s.wayTo(actual, d)
		return err == nil && ready(w.plan)
	}
	if !isReady(meanings[0]) && isReady(meanings[1]) {
		meanings[0], meanings[1] = meanings[1], meanings[0]
	}
	return meanings
}

// ready reports whether nothing has to be written before the first message that
// packets see.
func ready(p plan.Plan) bool {
	return !slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Phase == plan.Prepare })
}

// Return returns the plan by which the generation on trial would be taken back
// now, and the generation that would come back, with ID 0 for none. Where nothing
// is on trial both are zero. It changes nothing, and needs no session.
func Return(c Config, state journal.State, host *rpdb.Snapshot) (journal.Entry, plan.Plan, error) {
	s := &Session{Config: c, state: state}
	p := state.Pending
	if p == nil {
		return journal.Entry{}, plan.Plan{}, nil
	}
	old, _ := state.Find(p.Old)
	var err error
	if s.boot, _, err = c.Machine.Boot(); err != nil {
		return old, plan.Plan{}, err
	}
	targets, err := s.meanings(*p, host)
	if err != nil {
		return old, plan.Plan{}, err
	}
	w, err := s.wayTo(host, s.giveBack(*p, s.readyFirst(*p, host, targets), host)[0])
	return old, w.plan, err
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

// planAround is plan where what others have put into our ranges is no reason not
// to: to go back, and to take everything away. Their rules stay, and the kernel
// that it returns does not show them; where a route of theirs stands there is
// none of ours, and where a table of nftables has our name nothing is translated.
func (s *Session) planAround(actual *rpdb.Snapshot, desired rpdb.Desired) (blinkered, plan.Plan, rpdb.Desired, error) {
	k := blinkered{s.Kernel, map[rpdb.Rule]bool{}}
	for {
		p, wanted, err := s.plan(k.look(actual), desired)
		var rule *plan.RangeError
		var route *plan.ConflictError
		var nat *plan.NATError
		switch {
		case errors.As(err, &rule) && !k.hidden[rule.Rule]:
			k.hidden[rule.Rule] = true
		case errors.As(err, &route):
			before := len(desired.Routes)
			if desired.Routes = withoutRoute(desired.Routes, route.Wanted); len(desired.Routes) == before {
				return k, p, wanted, err
			}
		case errors.As(err, &nat) && translates(desired):
			desired = untranslated(desired)
		default:
			return k, p, wanted, err
		}
	}
}

// translates reports whether a state translates packets of a rule.
func translates(d rpdb.Desired) bool {
	return slices.ContainsFunc(d.Rules, func(w rpdb.DesiredRule) bool { return w.Translation != rpdb.Translation{} })
}

// untranslated leaves out all translations.
func untranslated(d rpdb.Desired) rpdb.Desired {
	d.Rules = slices.Clone(d.Rules)
	for i := range d.Rules {
		d.Rules[i].Translation = rpdb.Translation{}
	}
	return d
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
