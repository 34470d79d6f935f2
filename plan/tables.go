package plan

import (
	"cmp"
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
		return r.MoveCopy(m.of(r.Action.Table()))
	}
	return r
}

// liveTables finds for each table of ours that the policy or the host has the
// number that counts.
func liveTables(actual *rpdb.Snapshot, desired rpdb.Desired, l *layout) tableMap {
	n := numbers{
		asked: map[rpdb.TableID]bool{}, ready: map[rpdb.TableID]bool{}, filled: map[rpdb.TableID]bool{}, wanted: map[rpdb.TableID]bool{},
		far: distances(actual, desired, l.family),
	}
	for _, t := range lookups(actual, l) {
		n.asked[t] = true
	}
	for _, r := range l.dead {
		n.ready[r.Action.Table()] = true
	}
	for _, r := range actual.Routes {
		if r.Family == l.family && r.Protocol == rpdb.ProtocolRPDB {
			n.filled[r.Table] = true
		}
	}
	for _, w := range desired.Rules {
		if w.Rule.Family == l.family {
			n.wanted[w.Rule.Action.Table()] = true
		}
	}
	for _, w := range desired.Waiting {
		n.wanted[w.Table] = n.wanted[w.Table] || waitsIn(w, l.family, w.Table)
	}
	m := tableMap{}
	note := func(t rpdb.TableID) {
		t = LogicalTable(t)
		if twin, ok := TwinOfTable(t); ok && n.twinCounts(t, twin) {
			m[t] = twin
		}
	}
	for _, marks := range []map[rpdb.TableID]bool{n.asked, n.ready, n.filled} {
		for t := range marks {
			note(t)
		}
	}
	for _, t := range desired.Tables {
		note(t.ID)
	}
	return m
}

// numbers is what is known of the two numbers of each table of ours.
type numbers struct {
	// asked are those that packets are led to, and ready those that rules look up
	// to which packets do not come. Filled are those that hold routes.
	asked, ready, filled map[rpdb.TableID]bool
	// wanted are the tables, by the policy's number, that its rules look up, or
	// those of parts that wait.
	wanted map[rpdb.TableID]bool
	// far says how much each differs from what the policy wants.
	far map[rpdb.TableID]int
}

// twinCounts reports whether the twin of a table counts. A table that packets are
// led to stays what it is. Where no rule says so, it is the one that holds more of
// what the policy wants, then the one that stands ready. A table that no rule of
// the policy looks up is rather written anew than that another generation lose it.
func (n *numbers) twinCounts(t, twin rpdb.TableID) bool {
	only := func(has func(rpdb.TableID) bool) int {
		switch {
		case has(t) == has(twin):
			return 0
		case has(t):
			return -1
		}
		return 1
	}
	in := func(marks map[rpdb.TableID]bool) int { return only(func(t rpdb.TableID) bool { return marks[t] }) }
	if n.wanted[t] {
		return cmp.Or(in(n.asked), cmp.Compare(n.far[t], n.far[twin]), in(n.ready), in(n.filled)) > 0
	}
	fits := func(t rpdb.TableID) bool { return n.far[t] == 0 }
	free := func(t rpdb.TableID) bool { return !n.asked[t] && !n.ready[t] }
	return cmp.Or(only(fits), only(free), cmp.Compare(n.far[t], n.far[twin]), in(n.filled)) > 0
}

// distances counts for each number of a table of ours what is missing there and
// what is too much. Where a part of the policy waits, nothing is too much.
func distances(actual *rpdb.Snapshot, desired rpdb.Desired, f rpdb.Family) map[rpdb.TableID]int {
	far := map[rpdb.TableID]int{}
	wanted := map[rpdb.RouteKey]rpdb.Route{}
	for _, w := range desired.Routes {
		if twin, ok := TwinOfTable(w.Route.Table); ok && w.Route.Family == f {
			wanted[w.Route.Key()] = w.Route
			far[w.Route.Table]++
			far[twin]++
		}
	}
	for _, r := range actual.Routes {
		t := r.Table
		if _, ok := TwinOfTable(t); !ok || r.Family != f || r.Protocol != rpdb.ProtocolRPDB {
			continue
		}
		r = r.MoveCopy(LogicalTable(t))
		w, ok := wanted[r.Key()]
		switch {
		case ok && w.Equivalent(r):
			far[t]--
		case !ok && !slices.ContainsFunc(desired.Waiting, func(w rpdb.Waiting) bool { return waitsIn(w, f, r.Table) }):
			far[t]++
		}
	}
	return far
}

// lookups returns the tables of the rules that packets can come to: those of
// the live block, and all that are not ours or stand outside our range.
func lookups(actual *rpdb.Snapshot, l *layout) []rpdb.TableID {
	var tables []rpdb.TableID
	leadsTo := func(a rpdb.Action) {
		if t := a.Table(); a.Type() == rpdb.ActionTable && (len(tables) == 0 || tables[len(tables)-1] != t) {
			tables = append(tables, t)
		}
	}
	for i := range l.rules {
		leadsTo(l.rules[i].Action)
	}
	for i := range actual.Rules {
		if r := &actual.Rules[i]; r.Family == l.family && !IsOwnRule(*r) {
			leadsTo(r.Action)
		}
	}
	return tables
}

// outside returns the rules of a family that are not those of a block of ours.
func outside(actual *rpdb.Snapshot, f rpdb.Family) []rpdb.Rule {
	var rules []rpdb.Rule
	for i := range actual.Rules {
		if r := &actual.Rules[i]; r.Family == f && !IsOwnRule(*r) {
			rules = append(rules, *r)
		}
	}
	return rules
}

// inLiveTables returns what a policy wants of one family, in the tables that
// are live.
func inLiveTables(desired rpdb.Desired, f rpdb.Family, m tableMap) rpdb.Desired {
	out := rpdb.Desired{Rules: make([]rpdb.DesiredRule, 0, len(desired.Rules))}
	for _, w := range desired.Rules {
		if w.Rule.Family == f {
			w.Rule = m.rule(w.Rule)
			out.Rules = append(out.Rules, w)
		}
	}
	for _, w := range desired.Routes {
		if w.Route.Family == f {
			w.Route = w.Route.MoveCopy(m.of(w.Route.Table))
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

// use says which rules lead to a table, those before a plan and those after it,
// and whether the policy wants routes in it.
type use struct{ before, after, wanted bool }

// usesOf returns the use of each table of ours, of which only rules know.
// Every other table may be used in ways that are not seen here, by a VRF for
// one.
func (d *differ) usesOf() func(rpdb.TableID) use {
	before, after, wanted := map[rpdb.TableID]bool{}, map[rpdb.TableID]bool{}, map[rpdb.TableID]bool{}
	for _, t := range lookups(d.actual, &d.layout) {
		before[t] = true
	}
	for _, r := range slices.Concat(d.waiting, outside(d.actual, d.family)) {
		after[r.Action.Table()] = true
	}
	for _, w := range d.wanted {
		after[w.Rule.Action.Table()] = true
	}
	for _, w := range d.desired.Routes {
		wanted[w.Route.Table] = true
	}
	return func(t rpdb.TableID) use {
		if _, ok := TwinOfTable(t); !ok {
			return use{true, true, true}
		}
		return use{before[t], after[t], wanted[t]}
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
