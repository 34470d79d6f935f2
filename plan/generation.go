package plan

import (
	"cmp"
	"slices"

	"rpdb"
)

// phases is the work for one family. The four lists are what changes, and
// steps are the messages.
type phases struct {
	newRoutes, newRules, oldRules, oldRoutes []Step
	steps                                    map[Phase][]Step
}

func (ph *phases) add(p Phase, steps ...Step) { ph.steps[p] = append(ph.steps[p], steps...) }

// schedule makes messages of the differences. A single one is made where it
// stands, and so are routes that are only missing, as after a link was down: they
// are added in the order in which they are compared, so that each packet takes
// the old way or the new one. Everything else is made where no packet comes, in
// the other block and in the twins of tables, and one message at the gate leads
// the packets there.
func (d *differ) schedule() phases {
	ph := phases{
		newRoutes: d.newRoutes, newRules: d.newRules, oldRules: d.oldRules, oldRoutes: d.oldRoutes,
		steps: map[Phase][]Step{},
	}
	shared, forsaken := d.routeSteps(&ph)
	g := gateState{family: d.family}
	d.repair(&ph, &g)
	if d.needsGeneration(shared) {
		d.replaceGeneration(&ph, &g, shared)
	} else {
		d.changeInPlace(&ph, &g, shared)
	}
	ph.add(Clean, forsaken...)
	d.strikeInOrder(&ph)
	return ph
}

// changeInPlace makes a single change, or changes that no gate can switch.
func (d *differ) changeInPlace(ph *phases, g *gateState, shared routeChanges) {
	if n := len(shared.new) + len(shared.old) + len(d.newRules) + len(d.oldRules); n > 1 && !(n == len(shared.new) && d.addsInPlace(shared.new)) {
		d.tellTransient(shared)
		d.tellPinned(slices.Concat(d.newRules, d.oldRules))
	}
	ph.add(Switch, shared.new...)
	ph.add(Switch, d.newRules...)
	ph.add(Switch, d.oldRules...)
	ph.add(Switch, shared.old...)
	if len(d.layout.rules) == 0 && len(floatingIndexes(d.wanted)) == 0 {
		g.remove(ph)
	}
}

// tellPinned names pinned rules that change by themselves.
func (d *differ) tellPinned(steps []Step) {
	for _, s := range steps {
		if s.Change.Op == rpdb.Add || len(steps) == 1 {
			d.transient("%v is pinned to its place: it changes by itself, before or after the others", *s.Change.Rule)
		}
	}
}

// routeChanges are changes of routes in tables that packets are led to before
// a plan and after it.
type routeChanges struct{ new, old []Step }

// routeSteps puts the changes of tables that packets do not come to yet into
// their phase, and returns those of tables that they come to all the time, and
// the removals from tables that they are not led to any more.
func (d *differ) routeSteps(ph *phases) (shared routeChanges, forsaken []Step) {
	uses := d.usesOf()
	for _, s := range d.oldRoutes {
		switch u := uses(s.Change.Route.Table); {
		case !u.before:
			ph.add(Prepare, s)
		case u.after:
			shared.old = append(shared.old, s)
		default:
			forsaken = append(forsaken, s)
		}
	}
	for _, s := range d.newRoutes {
		switch u := uses(s.Change.Route.Table); {
		case !u.before:
			ph.add(Prepare, s)
		case u.after:
			shared.new = append(shared.new, s)
		default:
			ph.add(Clean, s)
		}
	}
	return shared, forsaken
}

// needsGeneration reports whether the rules are to be written anew.
func (d *differ) needsGeneration(shared routeChanges) bool {
	var block []Step
	for _, s := range slices.Concat(d.newRules, d.oldRules) {
		if sideOf(s.Change.Rule.Priority) != none {
			block = append(block, s)
		}
	}
	all := len(d.newRules) + len(d.oldRules) + len(shared.new) + len(shared.old)
	movable := slices.ContainsFunc(slices.Concat(shared.new, shared.old), func(s Step) bool { return d.canMove(s.Change.Route.Table) })
	switch {
	case all == len(shared.new) && d.addsInPlace(shared.new):
		return false
	case len(block) == 0:
		return all > 1 && movable
	case all > 1:
		return true
	}
	return d.movesFirst(block[0].Change)
}

// addsInPlace reports whether the steps only add routes, and whether each packet
// has its old way or its new one between any two of them: in a table the longest
// prefix comes first, and the table that packets come to first before others. It
// brings the tables into that order. Where packets come to tables in different
// orders, or a route sends them on to the next table, there is none.
func (d *differ) addsInPlace(steps []Step) bool {
	count := map[rpdb.TableID]int{}
	last := map[rpdb.TableID]rpdb.Route{}
	sendsOn := false
	for _, s := range steps {
		r := *s.Change.Route
		if before, ok := last[r.Table]; s.Change.Op != rpdb.Add || ok && compareLookup(before, r) > 0 {
			return false
		}
		last[r.Table] = r
		count[r.Table]++
		sendsOn = sendsOn || r.Type == rpdb.RouteThrow
	}
	if len(count) < 2 {
		return true
	}
	var walk []rpdb.TableID // the tables of steps, as the rules lead to them
	for _, r := range d.actual.RulesOf(d.family) {
		t := r.Action.Table()
		if count[t] == 0 || sideOf(r.Priority) == d.layout.live.other() && IsOwnRule(r) {
			continue
		}
		if len(walk) == 0 || walk[len(walk)-1] != t {
			walk = append(walk, t)
		}
		sendsOn = sendsOn || r.Suppress != rpdb.Suppressor{}
	}
	if sendsOn || len(walk) > len(count) {
		return false
	}
	slices.SortStableFunc(steps, func(a, b Step) int {
		return cmp.Compare(slices.Index(walk, a.Change.Route.Table), slices.Index(walk, b.Change.Route.Table))
	})
	return true
}

// movesFirst reports whether a change of one rule of the block is one of the
// place that the gate leads to.
func (d *differ) movesFirst(c rpdb.Change) bool {
	rules := d.layout.rules
	if len(rules) == 0 || c.Op == rpdb.Add {
		return len(rules) == 0 || c.Rule.Priority < rules[0].Priority
	}
	return c.Rule.Priority == rules[0].Priority && (len(rules) == 1 || rules[1].Priority != c.Rule.Priority)
}

// replaceGeneration writes the rules into the block that is not live, and
// leads the packets there.
func (d *differ) replaceGeneration(ph *phases, g *gateState, shared routeChanges) {
	moved := d.moveTables(ph, &shared)
	to := d.layout.live.other()
	if d.layout.live == none {
		to = first
	}
	block := d.finalBlock(to, moved)
	wanted := d.moveWanted(to, moved)
	pinnedNew, pinnedOld := d.pinnedSteps(wanted)

	adds, _ := orderRules(block, nil, nil)
	for i := range adds {
		adds[i].Reason = "the new generation"
	}
	ph.add(Prepare, adds...)
	if to == first && len(block) > 0 && !g.tail {
		ph.add(Prepare, scaffoldStep(rpdb.Add, tailRule(d.family)))
		g.tail = true
	}
	if len(pinnedNew)+len(pinnedOld)+len(shared.new)+len(shared.old) > 0 {
		d.tellTransient(shared)
		d.tellPinned(slices.Concat(pinnedNew, pinnedOld))
	}
	ph.add(Switch, shared.new...)
	ph.add(Switch, pinnedNew...)
	target := end
	if len(block) > 0 {
		target = slices.MinFunc(block, func(a, b rpdb.DesiredRule) int { return cmp.Compare(a.Rule.Priority, b.Rule.Priority) }).Rule.Priority
	}
	g.turn(ph, target)
	ph.add(Switch, pinnedOld...)
	ph.add(Switch, shared.old...)
	for _, r := range d.layout.rules {
		ph.add(Clean, ruleStep(rpdb.Delete, r, "the old generation"))
	}
	if g.tail && (to == second || len(block) == 0) {
		ph.add(Clean, scaffoldStep(rpdb.Delete, tailRule(d.family)))
	}
	if len(block) == 0 {
		g.remove(ph)
	}
	for _, t := range sortedTables(moved) {
		ph.add(Clean, d.emptied(t)...)
	}
	d.showMoved(ph, to, moved)
}

// moveTables fills the twins of the tables that change in more than a packet
// may see, and takes their changes out of shared.
func (d *differ) moveTables(ph *phases, shared *routeChanges) tableMap {
	moved := tableMap{}
	for _, s := range slices.Concat(shared.new, shared.old) {
		t := s.Change.Route.Table
		if _, done := moved[t]; !done && d.canMove(t) {
			moved[t], _ = TwinOfTable(t)
		}
	}
	for _, t := range sortedTables(moved) {
		ph.add(Prepare, d.copyOf(t)...)
	}
	in := func(s Step) bool { _, ok := moved[s.Change.Route.Table]; return ok }
	shared.new = slices.DeleteFunc(slices.Clone(shared.new), in)
	shared.old = slices.DeleteFunc(slices.Clone(shared.old), in)
	return moved
}

func sortedTables(m tableMap) []rpdb.TableID {
	var tables []rpdb.TableID
	for t := range m {
		tables = append(tables, t)
	}
	slices.Sort(tables)
	return tables
}

// finalBlock returns the rules that are to stand in a block, and those that
// stay there for what waits, in order.
func (d *differ) finalBlock(to side, moved tableMap) []rpdb.DesiredRule {
	var block []rpdb.DesiredRule
	for _, w := range d.wanted {
		if !w.Pinned {
			w.Rule = d.moveRule(w.Rule, to, moved)
			block = append(block, w)
		}
	}
	for _, r := range d.waiting {
		block = append(block, rpdb.DesiredRule{Rule: d.moveRule(r, to, moved)})
	}
	byPriority(block)
	return block
}

// moveRule returns a rule of the live block as it stands in another one.
func (d *differ) moveRule(r rpdb.Rule, to side, moved tableMap) rpdb.Rule {
	from := d.layout.live.base()
	shift := func(p rpdb.Priority) rpdb.Priority {
		if to == none || sideOf(p) == none {
			return p
		}
		return p - from + to.base()
	}
	r.Priority = shift(r.Priority)
	if r.Action.Type() == rpdb.ActionGoto {
		r.Action = rpdb.Goto(shift(r.Action.Target()))
	}
	return moved.rule(r)
}

func (d *differ) moveWanted(to side, moved tableMap) []rpdb.DesiredRule {
	wanted := slices.Clone(d.wanted)
	for i := range wanted {
		wanted[i].Rule = d.moveRule(wanted[i].Rule, to, moved)
	}
	return wanted
}

// pinnedSteps returns the changes of pinned rules: also a goto of theirs into
// the block has to lead elsewhere.
func (d *differ) pinnedSteps(wanted []rpdb.DesiredRule) (adds, removals []Step) {
	pinned := slices.DeleteFunc(slices.Clone(wanted), func(w rpdb.DesiredRule) bool { return !w.Pinned })
	missing, left := d.unmatched(pinned, d.ownPinned(wanted, false))
	var drops []Step
	for _, r := range left {
		drops = append(drops, ruleStep(rpdb.Delete, r, "not in the policy"))
	}
	return orderRules(missing, left, drops)
}

// showMoved corrects the changes shown: what is new stands in the new block,
// and in the twins of the tables that moved.
func (d *differ) showMoved(ph *phases, to side, moved tableMap) {
	ph.newRules, ph.newRoutes = slices.Clone(ph.newRules), slices.Clone(ph.newRoutes)
	for i, s := range ph.newRules {
		if s.Change.Op == rpdb.Add {
			r := d.moveRule(*s.Change.Rule, to, moved)
			ph.newRules[i].Change, ph.newRules[i].Inverse = rpdb.RuleChange(rpdb.Add, r), rpdb.RuleChange(rpdb.Delete, r)
		}
	}
	for i, s := range ph.newRoutes {
		if twin, ok := moved[s.Change.Route.Table]; ok {
			r := *s.Change.Route
			r.Table = twin
			ph.newRoutes[i].Change = rpdb.RouteChange(s.Change.Op, r)
		}
	}
}

// tellTransient names the tables that change under the eyes of packets.
func (d *differ) tellTransient(shared routeChanges) {
	count := map[rpdb.TableID]int{}
	m := tableMap{}
	for _, s := range slices.Concat(shared.new, shared.old) {
		t := s.Change.Route.Table
		count[t]++
		m[t] = t
	}
	for _, t := range sortedTables(m) {
		d.transient("table %d (%v) changes where it stands, in %d messages: it is not a table of ours alone", t, d.family, count[t])
	}
}

func ruleStep(op rpdb.ChangeOp, r rpdb.Rule, reason string) Step {
	inverse := rpdb.Delete
	if op == rpdb.Delete {
		inverse = rpdb.Add
	}
	return Step{Change: rpdb.RuleChange(op, r), Reason: reason, Inverse: rpdb.RuleChange(inverse, r)}
}

func scaffoldStep(op rpdb.ChangeOp, r rpdb.Rule) Step { return ruleStep(op, r, "scaffolding") }

// gateState follows what the scaffolding of a family is at one point of a plan.
type gateState struct {
	family rpdb.Family
	// at is the priority of the gate that counts, and leads where it leads; at
	// is 0 if there is none.
	at, leads rpdb.Priority
	tail, end bool
}

// repair plans what is wrong with the scaffolding and with the rules that no
// packet is meant to see, so that the live rules stand behind one gate. Where
// there are no rules it leads packets past the place where some are to be.
func (d *differ) repair(ph *phases, g *gateState) {
	l := &d.layout
	g.tail, g.end = l.tail, l.end
	for i, to := range l.gates {
		if to != 0 && g.at == 0 {
			g.at, g.leads = firstGate+rpdb.Priority(i), to
		}
	}
	wantsBlock := len(floatingIndexes(d.wanted)) > 0
	if len(l.rules) == 0 && !wantsBlock {
		for _, r := range slices.Concat(l.broken, l.dead) {
			ph.add(Clean, ruleStep(rpdb.Delete, r, "left over"))
		}
		if g.tail {
			ph.add(Clean, scaffoldStep(rpdb.Delete, tailRule(d.family)))
		}
		return
	}
	// First, since what comes now could be the target that they lack.
	for _, r := range l.broken {
		ph.add(Prepare, ruleStep(rpdb.Delete, r, "left over"))
	}
	if !g.end {
		ph.add(Prepare, scaffoldStep(rpdb.Add, endRule(d.family)))
		g.end = true
	}
	if l.live == first && !g.tail {
		ph.add(Prepare, scaffoldStep(rpdb.Add, tailRule(d.family)))
		g.tail = true
	}
	if g.at == 0 {
		g.at, g.leads = secondGate, end
		if len(l.rules) > 0 {
			g.leads = l.rules[0].Priority
		}
		ph.add(Prepare, scaffoldStep(rpdb.Add, gate(d.family, g.at, g.leads)))
	}
	for _, r := range l.dead {
		ph.add(Prepare, ruleStep(rpdb.Delete, r, "left over"))
	}
}

// turn leads the packets elsewhere, in one message: a gate that is added in
// front of the one that counts, or the removal of that one when the new one
// stands behind it.
func (g *gateState) turn(ph *phases, to rpdb.Priority) {
	old := scaffoldStep(rpdb.Delete, gate(g.family, g.at, g.leads))
	if g.at == secondGate {
		ph.add(Switch, scaffoldStep(rpdb.Add, gate(g.family, firstGate, to)))
		ph.add(Clean, old)
		g.at = firstGate
	} else {
		ph.add(Prepare, scaffoldStep(rpdb.Add, gate(g.family, secondGate, to)))
		ph.add(Switch, old)
		g.at = secondGate
	}
	g.leads = to
}

// remove plans the end of the scaffolding, when there is nothing behind it.
func (g *gateState) remove(ph *phases) {
	if g.at != 0 {
		ph.add(Clean, scaffoldStep(rpdb.Delete, gate(g.family, g.at, g.leads)))
	}
	if g.end {
		ph.add(Clean, scaffoldStep(rpdb.Delete, endRule(g.family)))
	}
}
