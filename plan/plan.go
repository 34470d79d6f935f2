package plan

import (
	"errors"
	"fmt"
	"slices"

	"rpdb"
)

// Phase says when a step of a plan is made, and what packets see of it.
type Phase string

// The phases, in their order. What is prepared and what is cleaned away no
// packet sees; of each family's part of a switch it sees everything or nothing,
// but for what Plan.Transient names.
const (
	Prepare Phase = "prepare"
	Switch  Phase = "switch"
	Clean   Phase = "clean"
)

// Step is one change to the kernel: one message.
type Step struct {
	Change rpdb.Change `json:"change"`
	// Name is the part of the policy that the object belongs to, "" if it
	// belongs to none any more.
	Name string `json:"name,omitzero"`
	// Reason says in a clause why the step is needed.
	Reason string `json:"reason"`
	// Inverse takes the step back.
	Inverse rpdb.Change `json:"inverse"`
	// Phase is empty in Plan.Changes.
	Phase Phase `json:"phase,omitzero"`
}

// Plan is the way from what is to what should be. The zero Plan changes
// nothing. It refers to nothing that Diff was given.
type Plan struct {
	// Changes are what becomes different: the rules and routes that come,
	// change and go, as if each were one message. Rules stand at the
	// priorities, and routes in the tables, that they will have.
	Changes []Step `json:"changes"`
	// Steps are the messages to the kernel, in the order in which they must be
	// sent. There are more of them than changes where a whole generation is
	// written anew, and there may be some where nothing changes: what an
	// earlier run left is cleaned away.
	Steps []Step `json:"steps"`
	// Transient are sentences on what a packet can see that is neither the old
	// policy nor the new one; none if each family changes in one message.
	Transient []string `json:"transient,omitempty"`
	// Back says of each family that changes what it takes to go back while the
	// last phase has not been carried out; those of which packets see nothing are
	// left out.
	Back []Back `json:"back,omitempty"`
	// Kept counts the rules and routes of the policy that are there already.
	Kept int `json:"kept"`
	// Waiting repeats the parts of the policy that cannot be resolved yet.
	Waiting []rpdb.Waiting `json:"waiting,omitempty"`
	// Notes are sentences on what was seen and left alone.
	Notes []string `json:"notes,omitempty"`
}

// Back is how a family comes back to what was before a plan, as long as that was
// not cleaned away: as it is with a host on which nothing else has changed since.
type Back struct {
	Family rpdb.Family `json:"family"`
	// Messages are those that packets see the effect of, 1 if it is one flip of
	// the gate, or a single change where it stands.
	Messages int `json:"messages"`
	// Rewrites reports that others must come before them, as what was changed
	// where it stands has to be written anew.
	Rewrites bool `json:"rewrites,omitzero"`
}

// WithoutClean returns the plan without its last phase. Carried out, it leaves
// what it leads away from where it is, ready to come back: [Diff] towards that
// state finds it there.
func (p Plan) WithoutClean() Plan {
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Phase == Clean })
	return p
}

// OnlyCleans reports whether nothing is left to do that a packet could ever come
// to see.
func (p Plan) OnlyCleans() bool {
	return !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Phase != Clean })
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Count returns how many changes add, change and remove an object.
func (p Plan) Count() (add, change, remove int) {
	for _, s := range p.Changes {
		switch s.Change.Op {
		case rpdb.Add:
			add++
		case rpdb.Replace:
			change++
		case rpdb.Delete:
			remove++
		}
	}
	return add, change, remove
}

// ConflictError says that a foreign route stands where a route of the policy
// must be, or one of ours that we do not fully understand. Nothing can be planned until one of them goes.
type ConflictError struct {
	Name    string     // the part of the policy
	Wanted  rpdb.Route // the route of the policy
	Foreign rpdb.Route // the route that is there
}

// Error names the part of the policy, the route and the owner of the other.
func (e *ConflictError) Error() string {
	if e.Foreign.Protocol == rpdb.ProtocolRPDB {
		return fmt.Sprintf("plan %s: %v: a route with attributes that are not known here stands there already", e.Name, e.Wanted)
	}
	return fmt.Sprintf("plan %s: %v: a route of protocol %d stands there already", e.Name, e.Wanted, e.Foreign.Protocol)
}

// Diff returns the steps that lead from the actual state to the desired one.
// It is deterministic and reads its arguments only. The errors are
// [*ConflictError], [*RangeError] and [*NATError], several of them joined, and a
// policy with more rules than [Capacity].
func Diff(actual *rpdb.Snapshot, desired rpdb.Desired) (Plan, error) {
	// Never nil, which JSON writes as null.
	p := Plan{Changes: []Step{}, Steps: []Step{}, Waiting: slices.Clone(desired.Waiting)}
	hands := newHandOver(actual, desired, &p)
	if len(hands.before) > 0 {
		actual = After(actual, hands.before)
	}
	var all []phases
	var errs []error
	for _, f := range rpdb.Families() {
		d := newDiffer(actual, desired, f, &p)
		errs = append(errs, d.diffRoutes(), d.diffRules())
		if errors.Join(errs...) == nil {
			all = append(all, d.schedule())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Plan{}, err
	}
	for _, part := range []func(phases) []Step{
		func(ph phases) []Step { return ph.newRoutes },
		func(ph phases) []Step { return ph.newRules },
		func(ph phases) []Step { return ph.oldRules },
		func(ph phases) []Step { return ph.oldRoutes },
	} {
		for _, ph := range all {
			p.Changes = append(p.Changes, part(ph)...)
		}
	}
	p.Steps = inPhases(all)
	for _, ph := range all {
		if ph.back.Messages > 0 {
			p.Back = append(p.Back, ph.back)
		}
	}
	if err := p.translate(actual, all); err != nil {
		return Plan{}, err
	}
	hands.around()
	return p, nil
}

// Sweep returns the plan that takes away what is left over: rules and routes of
// ours that no packet comes to, and that no rule of the desired state leads to.
// And rules of others go whose place a rule has taken that adopts them. Unlike
// [Diff] it touches nothing else, however much that differs, and knows no
// error: every step of it is of the phase [Clean].
func Sweep(actual *rpdb.Snapshot, desired rpdb.Desired) Plan {
	p := Plan{Changes: []Step{}, Steps: []Step{}}
	var all []phases
	for _, f := range rpdb.Families() {
		d := newDiffer(actual, desired, f, &p)
		d.wanted = d.desired.Rules
		all = append(all, d.sweep())
	}
	hands := newHandOver(actual, desired, &p)
	p.Steps = append(inPhases(all), hands.swept()...)
	p.sweepNAT(actual)
	p.Notes = nil
	return p
}

// inPhases returns the steps of all families, phase by phase.
func inPhases(all []phases) []Step {
	steps := []Step{} // never nil, which JSON writes as null
	for _, phase := range []Phase{Prepare, Switch, Clean} {
		for _, ph := range all {
			for _, s := range ph.steps[phase] {
				s.Phase = phase
				steps = append(steps, s)
			}
		}
	}
	return steps
}

// differ finds the differences of one family, as if every rule and route could
// be changed where it stands: rules in the block that is live, routes in those
// of the twin tables that its rules look up.
type differ struct {
	actual  *rpdb.Snapshot
	desired rpdb.Desired // of the family, in the tables that are live
	family  rpdb.Family
	layout  layout
	plan    *Plan // for what it counts and notes

	// wanted are the rules with their priorities, in order.
	wanted []rpdb.DesiredRule
	// waiting are rules of the block that stay for parts of the policy that
	// wait.
	waiting []rpdb.Rule

	newRoutes, newRules, oldRules, oldRoutes []Step
}

func newDiffer(actual *rpdb.Snapshot, desired rpdb.Desired, f rpdb.Family, p *Plan) *differ {
	d := &differ{actual: actual, family: f, layout: readLayout(actual, f), plan: p}
	d.desired = inLiveTables(desired, f, liveTables(actual, desired, &d.layout))
	return d
}

// routeWaits reports whether a route is of a part of the policy that waits, so
// that it must stay.
func (d *differ) routeWaits(r rpdb.Route) bool {
	return slices.ContainsFunc(d.desired.Waiting, func(w rpdb.Waiting) bool {
		return waitsIn(w, r.Family, r.Table) && (!w.Dst.IsValid() || w.Dst.Masked() == r.Dst.Masked())
	})
}

// ruleWaits reports whether a rule is of a part of the policy that waits: one
// that a waiting uplink's recipe makes. Rules of the policy's list never wait.
func (d *differ) ruleWaits(r rpdb.Rule) bool {
	s := r.Selector
	recipe := r.Realms == 0 && (s == rpdb.Selector{From: s.From} || s == rpdb.Selector{OIF: s.OIF})
	return recipe && r.Action.Type() == rpdb.ActionTable && r.Suppress == rpdb.Suppressor{} &&
		slices.ContainsFunc(d.desired.Waiting, func(w rpdb.Waiting) bool {
			return !w.Dst.IsValid() && waitsIn(w, r.Family, r.Action.Table())
		})
}

func waitsIn(w rpdb.Waiting, f rpdb.Family, t rpdb.TableID) bool {
	return t != 0 && w.Table == t && (w.Family == 0 || w.Family == f)
}

func (d *differ) note(format string, args ...any) {
	d.plan.Notes = append(d.plan.Notes, fmt.Sprintf(format, args...))
}

func (d *differ) transient(format string, args ...any) {
	d.plan.Transient = append(d.plan.Transient, fmt.Sprintf(format, args...))
}
