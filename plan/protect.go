package plan

import (
	"fmt"
	"slices"

	"rpdb"
	"rpdb/fib"
)

// Cut is a state between the steps of a plan, or at its end, in which a flow
// does not get through that does so now.
type Cut struct {
	Flow rpdb.Flow `json:"flow"`
	// Step is the step after which it is so, from 0.
	Step int `json:"step"`
	// Change is what that step does.
	Change rpdb.Change `json:"change"`
	// Last reports that the flow is cut at the end of the plan as well.
	Last bool `json:"last"`
	// Decision is what becomes of the flow then, with the rule that decides.
	Decision rpdb.Decision `json:"decision"`
}

// Error says which step cuts the flow, what becomes of it, and which rule
// decides that.
func (c *Cut) Error() string {
	f := fmt.Sprintf("to %v", c.Flow.Dst)
	if c.Flow.Src.IsValid() {
		f += fmt.Sprintf(" from %v", c.Flow.Src)
	}
	if c.Flow.IsInput() {
		f += fmt.Sprintf(" iif %q", string(c.Flow.IIF))
	}
	when := "at the end"
	if !c.Last {
		when = "for a moment"
	}
	why := fmt.Sprintf("%v", c.Decision.Disposition)
	if c.Decision.Errno != 0 {
		why += " with " + c.Decision.Errno.String()
	}
	if p, ok := c.Decision.Rule.Get(); ok {
		why += fmt.Sprintf(" by rule %d", p)
	}
	if c.Decision.Note != "" {
		why += ": " + c.Decision.Note
	}
	return fmt.Sprintf("the flow %s is cut %s, after %v (step %d): %s", f, when, c.Change, c.Step+1, why)
}

// manySteps is from how many steps on the states are looked at in which
// packets can see something new, and not all of them.
const manySteps = 256

// Cuts returns for each flow that gets through now the first state of the plan
// in which it does not. The flow gets through if it is sent or delivered; what
// cannot be known counts as getting through. Actual is the state that the plan
// was made for. Of plans of more than 256 steps the states between two
// preparations, or between two removals at the end, are left out: by
// construction no packet comes to what they change.
//
// The routes that are looked at are those that concern the flows, so a long table
// costs no more than to be read once.
func (p Plan) Cuts(actual *rpdb.Snapshot, flows []rpdb.Flow) []*Cut {
	if len(p.Steps) == 0 || len(flows) == 0 {
		return nil
	}
	w := watch{flows: flows, s: concerning(actual, flows, p.Steps)}
	var open []rpdb.Flow
	for _, f := range flows {
		if w.current().Lookup(f).Disposition.Delivered() && !slices.Contains(open, f) {
			open = append(open, f)
		}
	}
	found := map[rpdb.Flow]*Cut{}
	for i, step := range p.Steps {
		w.carry(step.Change)
		last := i == len(p.Steps)-1
		if len(p.Steps) > manySteps && step.Phase != Switch && !last && p.Steps[i+1].Phase == step.Phase {
			continue
		}
		for _, f := range open {
			d := w.current().Lookup(f)
			cut := d.Disposition != rpdb.DispositionUnknown && !d.Disposition.Delivered()
			if cut && found[f] == nil {
				found[f] = &Cut{Flow: f, Step: i, Change: step.Change, Decision: d}
			}
			if cut && last {
				found[f].Last = true
			}
		}
	}
	var cuts []*Cut
	for _, f := range open {
		if c := found[f]; c != nil {
			cuts = append(cuts, c)
		}
	}
	return cuts
}

// watch follows what some flows can see of a state that changes.
type watch struct {
	flows  []rpdb.Flow
	s      *rpdb.Snapshot
	engine *fib.FIB // of the state before since
	since  []rpdb.Change
}

// carry makes a change.
func (w *watch) carry(c rpdb.Change) {
	if c.Rule != nil || c.Route != nil && concerns(w.flows, *c.Route) { // no decision depends on the rest
		carry(w.s, c)
		w.since = append(w.since, c)
	}
}

// current is the engine of the state as it is. A single rule more or less makes
// another version of the one before, which costs next to nothing.
func (w *watch) current() *fib.FIB {
	one := w.engine != nil && len(w.since) == 1 && w.since[0].Rule != nil
	switch {
	case w.engine != nil && len(w.since) == 0:
	case one && w.since[0].Op == rpdb.Add:
		w.engine = w.engine.WithRule(*w.since[0].Rule)
	case one && w.since[0].Op == rpdb.Delete:
		w.engine, _ = w.engine.WithoutRule(*w.since[0].Rule)
	default:
		w.engine = fib.Compile(w.s)
	}
	w.since = w.since[:0]
	return w.engine
}

// concerning returns a state with the routes alone that can have a say about
// flows. Of some kinds one route is enough, however many there are: it has to be
// one that stays, so those that steps change are looked at each by itself.
func concerning(actual *rpdb.Snapshot, flows []rpdb.Flow, steps []Step) *rpdb.Snapshot {
	tables, changed := map[rpdb.TableID]bool{}, map[rpdb.RouteKey]bool{}
	for _, s := range steps {
		if r := s.Change.Route; r != nil {
			tables[r.Table], changed[r.Key()] = true, true
		}
	}
	var choices []*rpdb.Concern
	for _, f := range flows {
		choices = append(choices, f.Concern())
	}
	out := *actual
	out.Rules, out.Routes = slices.Clone(actual.Rules), nil
	for _, r := range actual.Routes {
		has := func(c *rpdb.Concern) bool { return c.Has(r) }
		if tables[r.Table] && changed[r.Key()] && concerns(flows, r) || slices.ContainsFunc(choices, has) {
			out.Routes = append(out.Routes, r)
		}
	}
	return &out
}

// concerns reports whether a route can have a say about one of the flows.
func concerns(flows []rpdb.Flow, r rpdb.Route) bool {
	return slices.ContainsFunc(flows, func(f rpdb.Flow) bool { return f.Concern().Has(r) })
}

// After returns the state that steps lead to from another one, which is not
// changed. Changes that do not fit the state, a removal of what is not there,
// do nothing.
func After(s *rpdb.Snapshot, steps []Step) *rpdb.Snapshot {
	out := clone(s)
	for _, step := range steps {
		carry(out, step.Change)
	}
	return out
}

func clone(s *rpdb.Snapshot) *rpdb.Snapshot {
	out := *s
	out.Rules, out.Routes = slices.Clone(s.Rules), slices.Clone(s.Routes)
	return &out
}

// carry makes a change in a snapshot, as the kernel would.
func carry(s *rpdb.Snapshot, c rpdb.Change) {
	switch {
	case c.Rule != nil:
		carryRule(s, c.Op, *c.Rule)
	case c.Route != nil:
		carryRoute(s, c.Op, *c.Route)
	case c.NAT != nil && c.Op == rpdb.Replace:
		s.NAT = *c.NAT
	}
}

func carryRule(s *rpdb.Snapshot, op rpdb.ChangeOp, r rpdb.Rule) {
	if r.Family == rpdb.IPv4 {
		s.Custom4 = rpdb.CustomisedYes
	} else {
		s.Custom6 = rpdb.CustomisedYes
	}
	if op == rpdb.Delete {
		c := r.Canonical()
		if i := slices.IndexFunc(s.Rules, func(have rpdb.Rule) bool { return have.Canonical() == c }); i >= 0 {
			s.Rules = slices.Delete(s.Rules, i, i+1)
		}
		return
	}
	// Behind those of equal priority; where the families stand among each other
	// does not matter.
	i := slices.IndexFunc(s.Rules, func(have rpdb.Rule) bool { return have.Family == r.Family && have.Priority > r.Priority })
	if i < 0 {
		i = len(s.Rules)
	}
	s.Rules = slices.Insert(s.Rules, i, r)
}

func carryRoute(s *rpdb.Snapshot, op rpdb.ChangeOp, r rpdb.Route) {
	key := r.Key()
	i := slices.IndexFunc(s.Routes, func(have rpdb.Route) bool {
		return have.Table == r.Table && have.Key() == key && (op != rpdb.Delete || have.Equal(r))
	})
	switch {
	case op == rpdb.Delete && i >= 0:
		s.Routes = slices.Delete(s.Routes, i, i+1)
	case op == rpdb.Replace && i >= 0:
		s.Routes[i] = r
	case op != rpdb.Delete:
		s.Routes = append(s.Routes, r)
	}
}
