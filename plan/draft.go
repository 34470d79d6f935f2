package plan

import (
	"slices"

	"rpdb"
)

// draft is a policy as it will stand in a block that no packet comes to. What
// stands there already, or in the twins of tables, is kept where it fits: what a
// trial replaced stands ready to come back, and what was begun is finished.
type draft struct {
	to    side
	moved tableMap
	// shared are the changes of tables that cannot be moved.
	shared routeChanges
	// wanted are all rules of the policy, with their priorities; block are those
	// that stand in the block, and what stays there for what waits, in order.
	wanted, block []rpdb.DesiredRule
	// routes and rules are what has to be written.
	routes, rules []Step
}

// live is the block that counts in the end.
func (n *draft) live() side {
	if len(n.block) == 0 {
		return none
	}
	return n.to
}

// target is where the gate has to lead.
func (n *draft) target() rpdb.Priority {
	if len(n.block) == 0 {
		return end
	}
	return n.block[0].Rule.Priority
}

func (n *draft) needsTail(g *gateState) bool { return n.live() == first && !g.tail }

// before counts the messages that come before the gate turns.
func (n *draft) before(g *gateState) int {
	count := len(n.routes) + len(n.rules) + g.needs(n.target())
	if n.needsTail(g) {
		count++
	}
	return count
}

// draft returns the generation in the block that is not live; where none is, in
// the one that it takes less to write.
func (d *differ) draft(shared routeChanges) *draft {
	moved, rest, fill := d.moveTables(shared)
	var best *draft
	for _, to := range []side{first, second} {
		if to == d.layout.live {
			continue
		}
		if best != nil && len(d.layout.dead) == 0 {
			break // it takes as much there
		}
		n := &draft{to: to, moved: moved, shared: rest, routes: fill}
		d.placeRules(n)
		if best == nil || len(n.rules) < len(best.rules) {
			best = n
		}
	}
	return best
}

// placeRules gives the rules their places in the block, and plans what is not
// there.
func (d *differ) placeRules(n *draft) {
	there := d.layout.deadIn(n.to)
	n.wanted = d.wantedIn(n, there)
	n.block = make([]rpdb.DesiredRule, 0, len(n.wanted)+len(d.waiting))
	for _, w := range n.wanted {
		if !w.Pinned {
			n.block = append(n.block, w)
		}
	}
	for _, r := range d.waiting {
		n.block = append(n.block, rpdb.DesiredRule{Rule: d.moveRule(r, n)})
	}
	byPriority(n.block)
	if len(n.block) == 0 {
		return
	}
	missing, left := d.unmatched(n.block, there)
	var drops []Step
	for _, r := range left {
		drops = append(drops, ruleStep(rpdb.Delete, r, "left over"))
	}
	adds, removals := orderRules(missing, nil, drops)
	for i := range adds {
		if adds[i].Change.Op == rpdb.Add {
			adds[i].Reason = "the new generation"
		}
	}
	n.rules = slices.Concat(adds, removals)
}

// wantedIn returns the rules as they stand in the block of a draft: in the
// places of those that are there, or else in those that correspond to the places
// in the live block.
func (d *differ) wantedIn(n *draft, there []rpdb.Rule) []rpdb.DesiredRule {
	wanted := slices.Clone(d.wanted)
	for i := range wanted {
		wanted[i].Rule = d.moveRule(wanted[i].Rule, n)
	}
	if len(there) == 0 || len(d.waiting) > 0 {
		return wanted
	}
	rules := slices.Clone(d.desired.Rules)
	for i := range rules {
		rules[i].Rule = n.moved.rule(rules[i].Rule)
	}
	if fitted, err := number(rules, there, n.to); err == nil {
		return fitted
	}
	return wanted
}

// moveRule returns a rule of the live block as it stands in that of a draft.
func (d *differ) moveRule(r rpdb.Rule, n *draft) rpdb.Rule {
	from := d.layout.live.base()
	shift := func(p rpdb.Priority) rpdb.Priority {
		if sideOf(p) == none {
			return p
		}
		return p - from + n.to.base()
	}
	r.Priority = shift(r.Priority)
	if r.Action.Type() == rpdb.ActionGoto {
		r.Action = rpdb.Goto(shift(r.Action.Target()))
	}
	return n.moved.rule(r)
}

// moveTables finds the tables that change in more than a packet may see. It
// returns where they move, the changes of those that cannot, and the steps that
// fill the twins.
func (d *differ) moveTables(shared routeChanges) (moved tableMap, rest routeChanges, fill []Step) {
	moved = tableMap{}
	for _, s := range shared.all() {
		t := s.Change.Route.Table
		if _, done := moved[t]; !done && d.canMove(t) {
			moved[t], _ = TwinOfTable(t)
		}
	}
	for _, t := range sortedTables(moved) {
		fill = append(fill, d.fillTwin(t)...)
	}
	in := func(s Step) bool { _, ok := moved[s.Change.Route.Table]; return ok }
	rest.new = slices.DeleteFunc(slices.Clone(shared.new), in)
	rest.old = slices.DeleteFunc(slices.Clone(shared.old), in)
	return moved, rest, fill
}

func sortedTables(m tableMap) []rpdb.TableID {
	var tables []rpdb.TableID
	for t := range m {
		tables = append(tables, t)
	}
	slices.Sort(tables)
	return tables
}

// fillTwin returns the steps after which the twin of a table holds what the table
// is to hold.
func (d *differ) fillTwin(t rpdb.TableID) []Step {
	twin, _ := TwinOfTable(t)
	there := d.ownRoutesByKey(twin)
	var writes, drops []Step
	for _, w := range d.contentOf(t) {
		w.Route = w.Route.MoveCopy(twin)
		own := there[w.Route.Key()]
		delete(there, w.Route.Key())
		keep := max(slices.IndexFunc(own, func(r rpdb.Route) bool { return r.Equivalent(w.Route) }), 0)
		for i, r := range own {
			if i != keep {
				drops = append(drops, routeStep(rpdb.Delete, r, "left over"))
			}
		}
		switch {
		case len(own) == 0:
			s := routeStep(rpdb.Add, w.Route, "the new generation's table")
			s.Name = w.Name
			writes = append(writes, s)
		case !own[keep].Equivalent(w.Route):
			writes = append(writes, Step{
				Change: rpdb.RouteChange(rpdb.Replace, w.Route), Name: w.Name, Reason: "the new generation's table",
				Inverse: rpdb.RouteChange(rpdb.Replace, own[keep]),
			})
		}
	}
	for _, r := range d.actual.Routes {
		if len(there[r.Key()]) > 0 && r.Family == d.family && r.Table == twin {
			drops = append(drops, routeStep(rpdb.Delete, r, "left over"))
		}
	}
	drops = inLookupOrder(drops)
	slices.Reverse(drops)
	return append(drops, inLookupOrder(writes)...)
}

// ownRoutesByKey returns our routes in a table that holds no others.
func (d *differ) ownRoutesByKey(t rpdb.TableID) map[rpdb.RouteKey][]rpdb.Route {
	byKey := map[rpdb.RouteKey][]rpdb.Route{}
	for _, r := range d.actual.Routes {
		if r.Family == d.family && r.Table == t {
			byKey[r.Key()] = append(byKey[r.Key()], r)
		}
	}
	return byKey
}

// contentOf returns what a table is to hold, with what stays for what waits.
func (d *differ) contentOf(t rpdb.TableID) []rpdb.DesiredRoute {
	var routes []rpdb.DesiredRoute
	wanted := map[rpdb.RouteKey]bool{}
	for _, w := range d.desired.Routes {
		if w.Route.Table == t {
			routes = append(routes, w)
			wanted[w.Route.Key()] = true
		}
	}
	for _, r := range d.actual.Routes {
		if r.Family == d.family && r.Table == t && r.Protocol == rpdb.ProtocolRPDB && !wanted[r.Key()] && d.routeWaits(r) {
			routes = append(routes, rpdb.DesiredRoute{Route: r})
		}
	}
	return routes
}

// emptied returns the steps that take our routes out of a table.
func (d *differ) emptied(t rpdb.TableID) []Step {
	var steps []Step
	for _, r := range d.actual.Routes {
		if r.Family == d.family && r.Table == t && r.Protocol == rpdb.ProtocolRPDB {
			steps = append(steps, routeStep(rpdb.Delete, r, "the old generation's table"))
		}
	}
	steps = inLookupOrder(steps)
	slices.Reverse(steps)
	return steps
}
