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
	// translations are those of the policy, by the tables that its rules look up
	// in the end.
	translations []wantedTranslation
	steps        map[Phase][]Step
	back         Back
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
		steps: map[Phase][]Step{}, back: Back{Family: d.family},
	}
	r := d.sortRoutes(&ph)
	g := d.layout.gateState()
	d.repair(&ph, &g)
	live, moved := d.layout.live, tableMap{}
	draft := d.drafted(&g, r.shared)
	ph.translations = translationsOf(d.wanted)
	if draft != nil {
		d.replaceGeneration(&ph, &g, draft)
		live, moved = draft.live(), draft.moved
		ph.translations = translationsOf(draft.wanted)
	} else {
		if len(d.layout.rules) == 0 {
			live = none
		}
		d.changeInPlace(&ph, r.shared)
	}
	ph.add(Switch, r.unseen...)
	ph.back.Rewrites = ph.back.Rewrites || r.rewrites
	d.clearRules(&ph, &g, live, draft != nil)
	for _, t := range sortedTables(moved) {
		ph.add(Clean, d.emptied(t)...)
	}
	ph.add(Clean, r.forsaken...)
	for _, s := range r.left {
		if twin, _ := TwinOfTable(s.Change.Route.Table); moved[twin] == 0 { // else it is of the twin that was filled
			ph.add(Clean, s)
		}
	}
	d.strikeInOrder(&ph)
	return ph
}

// drafted returns the generation to be written into a block; nil if everything
// is changed where it stands, as that takes fewer messages.
func (d *differ) drafted(g *gateState, shared routeChanges) *draft {
	needed, block := d.needsGeneration(shared), len(d.blockSteps())
	movable := len(slices.DeleteFunc(shared.all(), func(s Step) bool { return !d.canMove(s.Change.Route.Table) }))
	if !needed && (block+movable == 0 || len(d.layout.dead) == 0) {
		return nil
	}
	draft := d.draft(shared)
	if !needed && draft.before(g)+1 > block+movable {
		return nil
	}
	return draft
}

// changeInPlace makes a single change, or changes that no gate can switch.
func (d *differ) changeInPlace(ph *phases, shared routeChanges) {
	n := len(shared.all()) + len(d.newRules) + len(d.oldRules)
	adds := n == len(shared.new) && d.addsInPlace(shared.new)
	if n > 1 && !adds {
		d.tellTransient(shared)
		d.tellPinned(slices.Concat(d.newRules, d.oldRules))
	}
	ph.back.Messages = n
	if n > 1 && adds && d.moves(shared) {
		ph.back.Messages, ph.back.Rewrites = 1, true
	}
	ph.add(Switch, shared.new...)
	ph.add(Switch, d.newRules...)
	ph.add(Switch, d.oldRules...)
	ph.add(Switch, shared.old...)
}

// tellPinned names pinned rules that change by themselves.
func (d *differ) tellPinned(steps []Step) {
	for _, s := range steps {
		if s.Change.Op == rpdb.Add || len(steps) == 1 {
			d.transient("%v is pinned to its place: it changes by itself, before or after the others", *s.Change.Rule)
		}
	}
}

// blockSteps returns the changes of rules in the blocks.
func (d *differ) blockSteps() []Step {
	return slices.DeleteFunc(slices.Concat(d.newRules, d.oldRules), func(s Step) bool { return sideOf(s.Change.Rule.Priority) == none })
}

// moves reports whether one of the tables that change can be the twin of itself.
func (d *differ) moves(shared routeChanges) bool {
	return slices.ContainsFunc(shared.all(), func(s Step) bool { return d.canMove(s.Change.Route.Table) })
}

// needsGeneration reports whether the rules are to be written anew.
func (d *differ) needsGeneration(shared routeChanges) bool {
	block := d.blockSteps()
	all := len(d.newRules) + len(d.oldRules) + len(shared.all())
	switch {
	case all == len(shared.new) && d.addsInPlace(shared.new):
		return false
	case len(block) == 0:
		return all > 1 && d.moves(shared)
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
func (d *differ) replaceGeneration(ph *phases, g *gateState, n *draft) {
	pinnedNew, pinnedOld := d.pinnedSteps(n.wanted)
	ph.add(Prepare, n.routes...)
	ph.add(Prepare, n.rules...)
	if n.needsTail(g) {
		ph.add(Prepare, scaffoldStep(rpdb.Add, tailRule(d.family)))
		g.tail = true
	}
	apart := len(pinnedNew) + len(pinnedOld) + len(n.shared.all())
	if apart > 0 {
		d.tellTransient(n.shared)
		d.tellPinned(slices.Concat(pinnedNew, pinnedOld))
	}
	ph.back.Messages = 1 + apart
	ph.add(Switch, n.shared.new...)
	ph.add(Switch, pinnedNew...)
	g.turn(ph, n.target())
	ph.add(Switch, pinnedOld...)
	ph.add(Switch, n.shared.old...)
	d.showMoved(ph, n)
}

// pinnedSteps returns the changes of pinned rules: also a goto of theirs into
// the block has to lead elsewhere.
func (d *differ) pinnedSteps(wanted []rpdb.DesiredRule) (adds, removals []Step) {
	pinned := slices.DeleteFunc(slices.Clone(wanted), func(w rpdb.DesiredRule) bool { return !w.Pinned })
	missing, left := d.unmatched(pinned, d.ownPinned(wanted, false))
	var drops []Step
	for _, r := range left {
		drops = append(drops, ruleStep(rpdb.Delete, r, notInPolicy))
	}
	return orderRules(missing, left, drops)
}

// showMoved corrects the changes shown: what is new stands in the new block,
// and in the twins of the tables that moved.
func (d *differ) showMoved(ph *phases, n *draft) {
	place := make(map[rpdb.Rule]int, len(d.wanted))
	for i, w := range d.wanted {
		place[w.Rule] = i
	}
	ph.newRules, ph.newRoutes = slices.Clone(ph.newRules), slices.Clone(ph.newRoutes)
	for i, s := range ph.newRules {
		if s.Change.Op == rpdb.Add {
			r := &n.wanted[place[*s.Change.Rule]].Rule
			ph.newRules[i].Change, ph.newRules[i].Inverse = rpdb.Change{Op: rpdb.Add, Rule: r}, rpdb.Change{Op: rpdb.Delete, Rule: r}
		}
	}
	for i, s := range ph.newRoutes {
		if twin, ok := n.moved[s.Change.Route.Table]; ok {
			r := s.Change.Route.MoveCopy(twin)
			ph.newRoutes[i].Change = rpdb.RouteChange(s.Change.Op, r)
		}
	}
}

// tellTransient names the tables that change under the eyes of packets.
func (d *differ) tellTransient(shared routeChanges) {
	count := map[rpdb.TableID]int{}
	m := tableMap{}
	for _, s := range shared.all() {
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
	// Both are of one rule, which nobody changes.
	return Step{Change: rpdb.Change{Op: op, Rule: &r}, Reason: reason, Inverse: rpdb.Change{Op: inverse, Rule: &r}}
}
