package apply

import (
	"fmt"
	"slices"

	"rpdb"
	"rpdb/apply/journal"
	"rpdb/plan"
)

// diff is [plan.Diff] for a host on which the former generations may stand.
// What carries our protocol number outside our ranges is ours only if the
// record says so: rules that a former generation pinned, and tables that it
// named there. It returns the desired state with these tables, for the verification.
func diff(actual *rpdb.Snapshot, desired rpdb.Desired, former []journal.Body) (plan.Plan, rpdb.Desired, error) {
	desired.Tables = slices.Clone(desired.Tables)
	for _, b := range former {
		for _, t := range b.Desired.Tables {
			_, inRange := plan.TwinOfTable(t.ID)
			if !inRange && !slices.ContainsFunc(desired.Tables, func(d rpdb.DesiredTable) bool { return d.ID == t.ID }) {
				desired.Tables = append(desired.Tables, t)
			}
		}
	}
	pinned := pinnedBefore(actual, desired, former)
	if len(pinned) == 0 {
		p, err := plan.Diff(actual, desired)
		showReturned(&p, actual)
		return p, desired, err
	}
	without := *actual
	without.Rules = slices.DeleteFunc(slices.Clone(actual.Rules), func(r rpdb.Rule) bool { return slices.Contains(pinned, r) })
	p, err := plan.Diff(&without, desired)
	if err != nil {
		return p, desired, err
	}
	dropPinned(&p, pinned)
	showReturned(&p, actual)
	return p, desired, nil
}

// showReturned brings what a plan gives back, or takes back from others, into the
// phase that packets see, unless something stands there that means the same.
func showReturned(p *plan.Plan, actual *rpdb.Snapshot) {
	var before, shown, rest []plan.Step
	for _, s := range p.Steps {
		switch {
		case s.Phase != plan.Prepare:
			rest = append(rest, s)
		case isShown(s, actual):
			s.Phase = plan.Switch
			shown = append(shown, s)
			object := any(s.Change.Route)
			family := rpdb.Family(0)
			if r := s.Change.Rule; r != nil {
				object, family = *r, r.Family
			} else {
				family = s.Change.Route.Family
			}
			p.Transient = append(p.Transient, fmt.Sprintf("%v changes hands: it changes by itself, before the others", object))
			countBack(p, family)
		default:
			before = append(before, s)
		}
	}
	p.Steps = slices.Concat(before, shown, rest)
}

// isShown reports whether packets see that something comes to or from others.
func isShown(s plan.Step, actual *rpdb.Snapshot) bool {
	if r := s.Change.Rule; r != nil {
		return s.Change.Op == rpdb.Add && r.Protocol != rpdb.ProtocolRPDB &&
			!slices.ContainsFunc(actual.Rules, func(o rpdb.Rule) bool { return o.Priority == r.Priority && o.Meaning() == r.Meaning() })
	}
	if s.Change.Route == nil {
		return false
	}
	r, was := *s.Change.Route, s.Inverse.Route
	if s.Change.Op == rpdb.Replace {
		mine, theirs := r, *was
		mine.Protocol, theirs.Protocol = 0, 0
		return r.Protocol != was.Protocol && !mine.Equal(theirs)
	}
	return s.Change.Op == rpdb.Add && r.Protocol != rpdb.ProtocolRPDB
}

// pinnedBefore returns the rules outside our range that a former generation
// pinned and that are not wanted any more. Where a rule is pinned at the same
// number, plan knows what is ours there.
func pinnedBefore(actual *rpdb.Snapshot, desired rpdb.Desired, former []journal.Body) []rpdb.Rule {
	type place struct {
		family   rpdb.Family
		priority rpdb.Priority
	}
	wanted, ours := map[place]bool{}, map[rpdb.Rule]bool{}
	for _, w := range desired.Rules {
		if w.Pinned {
			wanted[place{w.Rule.Family, w.Rule.Priority}] = true
		}
	}
	for _, b := range former {
		for _, w := range b.Desired.Rules {
			if w.Pinned && !wanted[place{w.Rule.Family, w.Rule.Priority}] {
				ours[withoutTarget(w.Rule)] = true
			}
		}
	}
	var found []rpdb.Rule
	for _, r := range actual.Rules {
		if r.Protocol == rpdb.ProtocolRPDB && !plan.IsOwnRule(r) && ours[withoutTarget(r)] {
			found = append(found, r)
		}
	}
	return found
}

// withoutTarget is a rule in canonical form; where a goto leads was allotted.
func withoutTarget(r rpdb.Rule) rpdb.Rule {
	r = r.Canonical()
	if r.Action.Type() == rpdb.ActionGoto {
		r.Action = rpdb.Goto(0)
	}
	return r
}

// dropPinned adds the removal of rules to a plan that was made as if they were
// not there: when the new generation is live, and before the routes go that
// nothing else leads to.
func dropPinned(p *plan.Plan, rules []rpdb.Rule) {
	tables := map[rpdb.TableID]bool{}
	var drops []plan.Step
	for _, r := range rules {
		if r.Action.Type() == rpdb.ActionTable {
			tables[r.Action.Table()] = true
		}
		drops = append(drops, plan.Step{
			Change: rpdb.RuleChange(rpdb.Delete, r), Inverse: rpdb.RuleChange(rpdb.Add, r),
			Reason: "pinned by an earlier generation, and not in the policy",
		})
		p.Transient = append(p.Transient, fmt.Sprintf("%v is pinned to its place: it goes by itself, after the others", r))
		countBack(p, r.Family)
	}
	p.Changes = append(p.Changes, drops...)
	for i := range drops {
		drops[i].Phase = plan.Switch
	}
	var before, last, clean []plan.Step
	for _, s := range p.Steps {
		leads := s.Change.Op == rpdb.Delete && s.Change.Route != nil && tables[s.Change.Route.Table]
		switch {
		case s.Phase == plan.Clean:
			clean = append(clean, s)
		case leads:
			s.Phase = plan.Switch
			last = append(last, s)
		default:
			before = append(before, s)
		}
	}
	p.Steps = slices.Concat(before, drops, last, clean)
}

// countBack counts one more message that a family needs to come back.
func countBack(p *plan.Plan, f rpdb.Family) {
	i := slices.IndexFunc(p.Back, func(b plan.Back) bool { return b.Family == f })
	if i < 0 {
		p.Back = append(slices.Clone(p.Back), plan.Back{Family: f, Messages: 1})
		return
	}
	p.Back = slices.Clone(p.Back)
	p.Back[i].Messages++
}

// linksOf names the interfaces that a generation speaks of by number.
func linksOf(b journal.Body, host *rpdb.Snapshot) map[rpdb.LinkIndex]rpdb.LinkName {
	links := map[rpdb.LinkIndex]rpdb.LinkName{}
	add := func(r rpdb.Route) {
		for _, n := range r.Nexthops {
			if name := host.LinkName(n.Link); name != "" {
				links[n.Link] = name
			}
		}
	}
	for _, w := range b.Desired.Routes {
		add(w.Route)
	}
	for _, o := range b.Owed {
		for _, r := range o.Routes {
			add(r)
		}
	}
	for _, c := range b.Changes {
		if c.Route != nil {
			add(*c.Route)
		}
	}
	return links
}

// relink returns what a generation meant, with the numbers that its interfaces
// have now. Routes by an interface that is gone are left out, and what waited
// then is not there: nothing of a later generation is kept for it.
func relink(b journal.Body, host *rpdb.Snapshot) rpdb.Desired {
	d := b.Desired
	d.Routes, d.Waiting = nil, nil
	d.ForeignRules, d.ForeignRoutes = nil, nil // given back once, and theirs since
	for _, w := range b.Desired.Routes {
		var ok bool
		if w.Route, ok = relinkRoute(w.Route, b, host); ok {
			d.Routes = append(d.Routes, w)
		}
	}
	return d
}

// relinkRoute is relink for one route; false if an interface is gone.
func relinkRoute(r rpdb.Route, b journal.Body, host *rpdb.Snapshot) (rpdb.Route, bool) {
	r.Nexthops = slices.Clone(r.Nexthops)
	there := true
	for i, n := range r.Nexthops {
		if n.Link == 0 {
			continue
		}
		l, ok := host.LinkByName(b.Links[n.Link])
		r.Nexthops[i].Link = l.Index
		there = there && ok
	}
	return r, there
}
