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
func (p Plan) Cuts(actual *rpdb.Snapshot, flows []rpdb.Flow) []*Cut {
	open := flowsThrough(actual, flows)
	found := map[rpdb.Flow]*Cut{}
	if len(p.Steps) == 0 || len(open) == 0 {
		return nil
	}
	s := clone(actual)
	for i, step := range p.Steps {
		carry(s, step.Change)
		last := i == len(p.Steps)-1
		if len(p.Steps) > manySteps && step.Phase != Switch && !last && p.Steps[i+1].Phase == step.Phase {
			continue
		}
		engine := fib.Compile(s)
		for _, f := range open {
			d := engine.Lookup(f)
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

func flowsThrough(s *rpdb.Snapshot, flows []rpdb.Flow) []rpdb.Flow {
	engine := fib.Compile(s)
	var open []rpdb.Flow
	for _, f := range flows {
		if engine.Lookup(f).Disposition.Delivered() && !slices.Contains(open, f) {
			open = append(open, f)
		}
	}
	return open
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
	if c.Rule != nil {
		carryRule(s, c.Op, *c.Rule)
	} else if c.Route != nil {
		carryRoute(s, c.Op, *c.Route)
	}
}

func carryRule(s *rpdb.Snapshot, op rpdb.ChangeOp, r rpdb.Rule) {
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
