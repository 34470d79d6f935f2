package plan

import (
	"slices"

	"rpdb"
)

// tableMap says which of the two numbers of a table of ours is meant by the
// number that the policy knows. Tables that are not in it are themselves.
type tableMap map[rpdb.TableID]rpdb.TableID

func (m tableMap) of(t rpdb.TableID) rpdb.TableID {
	if to, ok := m[t]; ok {
		return to
	}
	return t
}

// rule returns a rule that looks up the table meant.
func (m tableMap) rule(r rpdb.Rule) rpdb.Rule {
	if r.Action.Type() == rpdb.ActionTable {
		r.Action = rpdb.ToTable(m.of(r.Action.Table()))
	}
	return r
}

// liveTables finds for each table of ours that the policy or the host has the
// number that packets are led to: that which the live rules look up, else that
// which holds routes.
func liveTables(actual *rpdb.Snapshot, desired rpdb.Desired, l *layout) tableMap {
	asked, filled := map[rpdb.TableID]bool{}, map[rpdb.TableID]bool{}
	for _, r := range lookups(actual, l) {
		asked[r] = true
	}
	for _, r := range actual.Routes {
		if r.Family == l.family && r.Protocol == rpdb.ProtocolRPDB {
			filled[r.Table] = true
		}
	}
	m := tableMap{}
	note := func(t rpdb.TableID) {
		t = LogicalTable(t)
		if twin, ok := TwinOfTable(t); ok && twinIsLive(t, twin, asked, filled) {
			m[t] = twin
		}
	}
	for t := range asked {
		note(t)
	}
	for t := range filled {
		note(t)
	}
	for _, t := range desired.Tables {
		note(t.ID)
	}
	return m
}

func twinIsLive(t, twin rpdb.TableID, asked, filled map[rpdb.TableID]bool) bool {
	if asked[t] != asked[twin] {
		return asked[twin]
	}
	return !asked[t] && filled[twin] && !filled[t]
}

// lookups returns the tables of the rules that packets can come to: those of
// the live block, and all that are not ours or stand outside our range.
func lookups(actual *rpdb.Snapshot, l *layout) []rpdb.TableID {
	var tables []rpdb.TableID
	for _, r := range slices.Concat(l.rules, outside(actual, l.family)) {
		if r.Action.Type() == rpdb.ActionTable {
			tables = append(tables, r.Action.Table())
		}
	}
	return tables
}

// outside returns the rules of a family that are not those of a block of ours.
func outside(actual *rpdb.Snapshot, f rpdb.Family) []rpdb.Rule {
	return slices.DeleteFunc(actual.RulesOf(f), IsOwnRule)
}

// inLiveTables returns what a policy wants of one family, in the tables that
// are live.
func inLiveTables(desired rpdb.Desired, f rpdb.Family, m tableMap) rpdb.Desired {
	out := rpdb.Desired{}
	for _, w := range desired.Rules {
		if w.Rule.Family == f {
			w.Rule = m.rule(w.Rule)
			out.Rules = append(out.Rules, w)
		}
	}
	for _, w := range desired.Routes {
		if w.Route.Family == f {
			w.Route.Table = m.of(w.Route.Table)
			out.Routes = append(out.Routes, w)
		}
	}
	for _, t := range desired.Tables {
		t.ID = m.of(t.ID)
		out.Tables = append(out.Tables, t)
	}
	for _, w := range desired.Waiting {
		if w.Family == 0 || w.Family == f {
			w.Table = m.of(w.Table)
			out.Waiting = append(out.Waiting, w)
		}
	}
	return out
}

// use says which rules lead to a table: those before a plan, those after it.
type use struct{ before, after bool }

// usesOf returns the use of each table of ours, of which only rules know.
// Every other table may be used in ways that are not seen here, by a VRF for
// one.
func (d *differ) usesOf() func(rpdb.TableID) use {
	before, after := map[rpdb.TableID]bool{}, map[rpdb.TableID]bool{}
	for _, t := range lookups(d.actual, &d.layout) {
		before[t] = true
	}
	for _, r := range slices.Concat(d.waiting, outside(d.actual, d.family)) {
		after[r.Action.Table()] = true
	}
	for _, w := range d.wanted {
		after[w.Rule.Action.Table()] = true
	}
	return func(t rpdb.TableID) use {
		if _, ok := TwinOfTable(t); !ok {
			return use{true, true}
		}
		return use{before[t], after[t]}
	}
}

// canMove reports whether a new generation can have the table's routes in its
// twin: nobody else has routes in it, no rule leads to it but those of the
// block, and these lead to one of the two only: after damage they may lead to
// both, and then the twin is not empty.
func (d *differ) canMove(t rpdb.TableID) bool {
	twin, ok := TwinOfTable(t)
	if !ok || slices.Contains(lookups(d.actual, &d.layout), twin) {
		return false
	}
	foreign := func(r rpdb.Route) bool {
		return r.Family == d.family && (r.Table == t || r.Table == twin) && (r.Protocol != rpdb.ProtocolRPDB || r.Unknown != "")
	}
	leads := func(r rpdb.Rule) bool {
		return r.Action.Type() == rpdb.ActionTable && (r.Action.Table() == t || r.Action.Table() == twin)
	}
	pinned := func(w rpdb.DesiredRule) bool { return w.Pinned && leads(w.Rule) }
	return !slices.ContainsFunc(d.actual.Routes, foreign) && !slices.ContainsFunc(outside(d.actual, d.family), leads) &&
		!slices.ContainsFunc(d.wanted, pinned)
}

// copyOf returns the steps that fill the twin of a table with what the table
// is to hold.
func (d *differ) copyOf(t rpdb.TableID) []Step {
	twin, _ := TwinOfTable(t)
	var routes []rpdb.DesiredRoute
	for _, w := range d.desired.Routes {
		if w.Route.Table == t {
			routes = append(routes, w)
		}
	}
	for _, r := range d.actual.Routes {
		if r.Family == d.family && r.Table == t && r.Protocol == rpdb.ProtocolRPDB && !wants(routes, r) && d.routeWaits(r) {
			routes = append(routes, rpdb.DesiredRoute{Route: r})
		}
	}
	var steps []Step
	for _, w := range routes {
		w.Route.Table = twin
		steps = append(steps, Step{
			Change: rpdb.RouteChange(rpdb.Add, w.Route), Name: w.Name, Reason: "the new generation's table",
			Inverse: rpdb.RouteChange(rpdb.Delete, w.Route),
		})
	}
	return inLookupOrder(steps)
}

func wants(routes []rpdb.DesiredRoute, r rpdb.Route) bool {
	return slices.ContainsFunc(routes, func(w rpdb.DesiredRoute) bool { return w.Route.Key() == r.Key() })
}

// emptied returns the steps that take our routes out of a table.
func (d *differ) emptied(t rpdb.TableID) []Step {
	var steps []Step
	for _, r := range d.actual.Routes {
		if r.Family == d.family && r.Table == t && r.Protocol == rpdb.ProtocolRPDB {
			steps = append(steps, Step{
				Change: rpdb.RouteChange(rpdb.Delete, r), Reason: "the old generation's table", Inverse: rpdb.RouteChange(rpdb.Add, r),
			})
		}
	}
	steps = inLookupOrder(steps)
	slices.Reverse(steps)
	return steps
}
