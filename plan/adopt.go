package plan

import (
	"fmt"
	"slices"

	"rpdb"
)

// handOver plans what changes hands: rules and routes of others that the policy
// adopts, and those that are to be theirs again. Packets see none of it. A rule
// that means the same is added behind the one that is there, at its priority,
// and when everything else is done the other one goes; a route is replaced by one
// that differs in its protocol alone.
type handOver struct {
	actual  *rpdb.Snapshot
	desired rpdb.Desired
	plan    *Plan // for what it notes
	// before and after come before and after all other steps, and gone when the
	// others are in force. Of after, those of late are of rules whose place is taken
	// already.
	before, gone, after, late []Step
	// adopted counts what the policy finds there in the end, and is no less a
	// change.
	adopted int
}

func newHandOver(actual *rpdb.Snapshot, desired rpdb.Desired, p *Plan) *handOver {
	h := &handOver{actual: actual, desired: desired, plan: p}
	for _, w := range desired.Rules {
		if len(w.Adopts) > 0 {
			h.adoptRule(w)
		}
	}
	for _, w := range desired.Routes {
		if len(w.Adopts) > 0 {
			h.adoptRoute(w)
		}
	}
	for _, r := range desired.ForeignRules {
		h.returnRule(r)
	}
	for _, r := range desired.ForeignRoutes {
		h.returnRoute(r)
	}
	for _, r := range desired.GoneRules {
		h.takeRule(r)
	}
	for _, r := range desired.GoneRoutes {
		h.takeRoute(r)
	}
	return h
}

// AdoptsRule reports whether a policy means a rule that takes the place of one of
// others.
func AdoptsRule(d rpdb.Desired, r rpdb.Rule) bool {
	return slices.ContainsFunc(d.Rules, func(w rpdb.DesiredRule) bool { return adopts(w, r) })
}

// AdoptsRoute is [AdoptsRule] for a route.
func AdoptsRoute(d rpdb.Desired, r rpdb.Route) bool {
	return slices.ContainsFunc(d.Routes, func(w rpdb.DesiredRoute) bool { return adoptsRoute(w, r) })
}

func adoptsRoute(w rpdb.DesiredRoute, r rpdb.Route) bool {
	return w.Route.Family == r.Family && w.Route.Table == r.Table && w.Route.Key() == r.Key() &&
		slices.Contains(w.Adopts, r.Protocol) && r.Unknown == "" && sameButProtocol(r, w.Route)
}

// adopts reports whether a wanted rule takes the place of one that is there.
func adopts(w rpdb.DesiredRule, r rpdb.Rule) bool {
	return w.Pinned && r.Protocol != rpdb.ProtocolRPDB && r.Unknown == "" && slices.Contains(w.Adopts, r.Protocol) && r.Meaning() == w.Rule.Meaning()
}

// adoptRule plans that a rule takes the place of others.
func (h *handOver) adoptRule(w rpdb.DesiredRule) {
	var there, old []rpdb.Rule // at its priority
	have := false
	for _, r := range h.actual.RulesOf(w.Rule.Family) {
		if r.Priority != w.Rule.Priority {
			continue
		}
		there = append(there, r)
		have = have || r.Canonical() == w.Rule.Canonical()
		if adopts(w, r) {
			old = append(old, r)
		}
	}
	if _, twin := TwinOfTable(w.Rule.Action.Table()); twin || len(old) == 0 {
		return
	}
	if why := notAdopted(there, old); why != "" {
		h.plan.Notes = append(h.plan.Notes, fmt.Sprintf("%v of protocol %d is not adopted: at the same priority %s", old[0], old[0].Protocol, why))
		return
	}
	inTheWay := slices.ContainsFunc(there, func(r rpdb.Rule) bool { return collide(w.Rule, r) })
	if !have && !inTheWay { // else it comes with the others, when that one is gone
		s := ruleStep(rpdb.Add, w.Rule, adoptReason(old[0].Protocol))
		s.Name = w.Name
		h.before = append(h.before, s)
		h.adopted++
	}
	for _, r := range old {
		s := ruleStep(rpdb.Delete, r, fmt.Sprintf("the policy's takes its place: %s", adoptReason(r.Protocol)))
		if have {
			h.late = append(h.late, s)
		} else {
			h.after = append(h.after, s)
		}
	}
}

// notAdopted says why rules cannot be adopted without harm to others of their
// priority, "" if they can.
func notAdopted(there, old []rpdb.Rule) string {
	for _, r := range there[slices.Index(there, old[0]):] {
		if r.Protocol != rpdb.ProtocolRPDB && r.Meaning() != old[0].Meaning() && !r.Selector.Disjoint(old[0].Selector) {
			return "another rule stands behind it, which would come first"
		}
	}
	return othersStruck(there, old)
}

// othersStruck says why rules cannot be deleted without that of another, which is
// not ours to move, "" if they can.
func othersStruck(there, doomed []rpdb.Rule) string {
	for i, o := range there {
		if !slices.Contains(doomed, o) {
			continue
		}
		for _, r := range there[:i] {
			if r.Protocol != rpdb.ProtocolRPDB && !slices.Contains(doomed, r) && strikes(o.Canonical(), r.Canonical()) {
				return fmt.Sprintf("one of protocol %d stands before it, which the kernel would delete in its place", r.Protocol)
			}
		}
	}
	return ""
}

func adoptReason(p rpdb.Protocol) string { return fmt.Sprintf("adopted from protocol %d", p) }

// adoptRoute plans that the route of another becomes the policy's.
func (h *handOver) adoptRoute(w rpdb.DesiredRoute) {
	present := h.routesAt(w.Route)
	if len(present) != 1 || !adoptsRoute(w, present[0]) {
		return
	}
	h.adopted++
	h.before = append(h.before, Step{
		Change: rpdb.RouteChange(rpdb.Replace, w.Route), Name: w.Name, Reason: adoptReason(present[0].Protocol),
		Inverse: rpdb.RouteChange(rpdb.Replace, present[0]),
	})
}

func (h *handOver) routesAt(r rpdb.Route) []rpdb.Route {
	var present []rpdb.Route
	if _, twin := TwinOfTable(r.Table); twin {
		return nil // a table of ours is nobody else's
	}
	for _, p := range h.actual.Routes {
		if p.Family == r.Family && p.Table == r.Table && p.Key() == r.Key() {
			present = append(present, p)
		}
	}
	return present
}

const returnReason = "its maker's again"

// returnRule plans that a rule of another is there.
func (h *handOver) returnRule(r rpdb.Rule) {
	same := func(o rpdb.Rule) bool { return o.Canonical() == r.Canonical() }
	if slices.ContainsFunc(h.actual.Rules, same) || AdoptsRule(h.desired, r) {
		return
	}
	h.before = append(h.before, ruleStep(rpdb.Add, r, returnReason))
}

// returnRoute plans that a route of another is there, unless a third one stands
// in its place or the policy has one.
func (h *handOver) returnRoute(r rpdb.Route) {
	_, wanted := h.wantedAt(r)
	present := h.routesAt(r)
	switch {
	case wanted || len(present) > 1:
	case len(present) == 0:
		h.before = append(h.before, Step{
			Change: rpdb.RouteChange(rpdb.Add, r), Reason: returnReason, Inverse: rpdb.RouteChange(rpdb.Delete, r),
		})
	case present[0].Protocol == rpdb.ProtocolRPDB && present[0].Unknown == "":
		h.before = append(h.before, Step{
			Change: rpdb.RouteChange(rpdb.Replace, r), Reason: returnReason, Inverse: rpdb.RouteChange(rpdb.Replace, present[0]),
		})
	}
}

// wantedAt returns the policy's route in the place of another.
func (h *handOver) wantedAt(r rpdb.Route) (rpdb.DesiredRoute, bool) {
	i := slices.IndexFunc(h.desired.Routes, func(w rpdb.DesiredRoute) bool {
		return w.Route.Family == r.Family && w.Route.Table == r.Table && w.Route.Key() == r.Key()
	})
	if i < 0 {
		return rpdb.DesiredRoute{}, false
	}
	return h.desired.Routes[i], true
}

const goneReason = "was given back, and that is undone"

// takeRule plans that a rule of another goes, unless the policy takes its place.
func (h *handOver) takeRule(r rpdb.Rule) {
	same := func(o rpdb.Rule) bool { return o.Canonical() == r.Canonical() }
	there := slices.DeleteFunc(h.actual.RulesOf(r.Family), func(o rpdb.Rule) bool {
		goes := slices.ContainsFunc(h.desired.GoneRules, func(g rpdb.Rule) bool { return g.Canonical() == o.Canonical() })
		return o.Priority != r.Priority || goes && !same(o)
	})
	i := slices.IndexFunc(there, same)
	if i < 0 || AdoptsRule(h.desired, r) {
		return
	}
	if why := othersStruck(there, there[i:i+1]); why != "" {
		h.plan.Notes = append(h.plan.Notes, fmt.Sprintf("%v was given back and stays: at the same priority %s", r, why))
		return
	}
	h.gone = append(h.gone, ruleStep(rpdb.Delete, r, goneReason))
	h.plan.Transient = append(h.plan.Transient, fmt.Sprintf("%v goes by itself, after the others", r))
}

// takeRoute plans that a route of another goes, or that the policy's takes its
// place.
func (h *handOver) takeRoute(r rpdb.Route) {
	present := h.routesAt(r)
	if len(present) != 1 || !present[0].Equal(r) || AdoptsRoute(h.desired, r) {
		return
	}
	if w, wanted := h.wantedAt(r); wanted {
		h.adopted++
		h.before = append(h.before, Step{
			Change: rpdb.RouteChange(rpdb.Replace, w.Route), Name: w.Name, Reason: goneReason, Inverse: rpdb.RouteChange(rpdb.Replace, r),
		})
		return
	}
	h.gone = append(h.gone, Step{Change: rpdb.RouteChange(rpdb.Delete, r), Reason: goneReason, Inverse: rpdb.RouteChange(rpdb.Add, r)})
}

// around puts the steps before and after those of a plan that was made for the
// state behind the first ones.
func (h *handOver) around() {
	if len(h.before)+len(h.gone)+len(h.after)+len(h.late) == 0 {
		return
	}
	h.plan.Kept -= h.adopted
	in := slices.IndexFunc(h.plan.Steps, func(s Step) bool { return s.Phase == Clean })
	if in < 0 {
		in = len(h.plan.Steps)
	}
	force, clean := h.plan.Steps[:in], h.plan.Steps[in:]
	gone := inPhase(Switch, h.inOrder(After(h.actual, slices.Concat(h.before, force)), h.gone))
	all := slices.Concat(inPhase(Prepare, h.before), force, gone, clean)
	end := inPhase(Clean, h.inOrder(After(h.actual, all), slices.Concat(h.after, h.late)))
	h.plan.Changes = slices.Concat(h.before, h.plan.Changes, h.gone, h.after)
	h.plan.Steps = append(all, end...)
}

func inPhase(p Phase, steps []Step) []Step {
	steps = slices.Clone(steps)
	for i := range steps {
		steps[i].Phase = p
	}
	return steps
}

// swept returns the steps that are left when the policy is in force: the others'
// rules go whose place is taken.
func (h *handOver) swept() []Step {
	return inPhase(Clean, h.inOrder(After(h.actual, h.plan.Steps), h.late))
}

// inOrder returns the deletions so that each takes the rule that is meant.
func (h *handOver) inOrder(state *rpdb.Snapshot, deletions []Step) []Step {
	var all []Step
	for _, s := range deletions {
		if s.Change.Rule == nil {
			all = append(all, s)
		}
	}
	for _, f := range rpdb.Families() {
		ph := phases{steps: map[Phase][]Step{}}
		for _, s := range deletions {
			if s.Change.Rule != nil && s.Change.Rule.Family == f {
				ph.add(Clean, s)
			}
		}
		d := differ{actual: state, family: f, plan: h.plan}
		d.strikeInOrder(&ph)
		all = append(all, ph.steps[Clean]...)
	}
	return all
}
