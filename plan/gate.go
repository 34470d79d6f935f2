package plan

import (
	"slices"

	"rpdb"
)

func scaffoldStep(op rpdb.ChangeOp, r rpdb.Rule) Step { return ruleStep(op, r, "scaffolding") }

// gateState follows what the scaffolding of a family is at one point of a plan.
type gateState struct {
	family rpdb.Family
	// at is the priority of the gate that counts, and leads where it leads; at
	// is 0 if there is none. Spare is where a second gate behind it leads, 0 if
	// there is none.
	at, leads, spare rpdb.Priority
	tail, end        bool
}

// gateState returns what the scaffolding is.
func (l *layout) gateState() gateState {
	g := gateState{family: l.family, spare: l.spare, tail: l.tail, end: l.end}
	for i, to := range l.gates {
		if to != 0 {
			g.at, g.leads = firstGate+rpdb.Priority(i), to
		}
	}
	return g
}

// repair plans what is wrong with the scaffolding, so that the live rules stand
// behind one gate. Where there are no rules it leads packets past the place where
// some are to be.
func (d *differ) repair(ph *phases, g *gateState) {
	l := &d.layout
	if len(l.rules) == 0 && len(floatingIndexes(d.wanted)) == 0 {
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
	// One of them could count when the gate in front of it goes.
	for _, r := range l.odd {
		ph.add(Prepare, ruleStep(rpdb.Delete, r, "left over"))
	}
	l.broken, l.odd = nil, nil
}

// needs counts the messages that have to come before turn.
func (g *gateState) needs(to rpdb.Priority) int {
	switch {
	case g.at == secondGate || g.spare == to:
		return 0
	case g.spare != 0:
		return 2
	}
	return 1
}

// turn leads the packets elsewhere, in one message: a gate that is added in
// front of the one that counts, or the removal of that one when the new one
// stands behind it. The gate that does not count any more, or not yet, is spare.
func (g *gateState) turn(ph *phases, to rpdb.Priority) {
	if g.at == secondGate {
		ph.add(Switch, scaffoldStep(rpdb.Add, gate(g.family, firstGate, to)))
		g.at, g.spare = firstGate, g.leads
	} else {
		if g.spare != to {
			g.dropSpare(ph, Prepare)
			ph.add(Prepare, scaffoldStep(rpdb.Add, gate(g.family, secondGate, to)))
		}
		ph.add(Switch, scaffoldStep(rpdb.Delete, gate(g.family, g.at, g.leads)))
		g.at, g.spare = secondGate, 0
	}
	g.leads = to
}

func (g *gateState) dropSpare(ph *phases, when Phase) {
	if g.spare != 0 {
		ph.add(when, scaffoldStep(rpdb.Delete, gate(g.family, secondGate, g.spare)))
		g.spare = 0
	}
}

// clearRules plans the end of the rules that no packet comes to any more, when
// those of one block are live, or none. Turned says that the gate has turned to
// that block, in which nothing is left over then.
func (d *differ) clearRules(ph *phases, g *gateState, live side, turned bool) {
	l := &d.layout
	g.dropSpare(ph, Clean)
	if turned {
		for _, r := range l.rules {
			ph.add(Clean, ruleStep(rpdb.Delete, r, "the old generation"))
		}
	}
	for _, r := range l.dead {
		if !turned || sideOf(r.Priority) != live {
			ph.add(Clean, ruleStep(rpdb.Delete, r, "left over"))
		}
	}
	if g.tail && live != first {
		ph.add(Clean, scaffoldStep(rpdb.Delete, tailRule(d.family)))
	}
	if live != none {
		return
	}
	for _, r := range slices.Concat(l.broken, l.odd) {
		ph.add(Clean, ruleStep(rpdb.Delete, r, "left over"))
	}
	if g.at != 0 {
		ph.add(Clean, scaffoldStep(rpdb.Delete, gate(g.family, g.at, g.leads)))
	}
	if g.end {
		ph.add(Clean, scaffoldStep(rpdb.Delete, endRule(g.family)))
	}
}

// sweep plans the end of what no packet comes to as things are, and nothing
// else. Where the scaffolding does not hold them off, packets come to all rules.
func (d *differ) sweep() phases {
	ph := phases{steps: map[Phase][]Step{}}
	l := &d.layout
	g := l.gateState()
	live := l.live
	switch {
	case len(l.rules) > 0 && (g.at == 0 || live == first && !g.tail):
		return ph
	case len(l.rules) == 0 && len(floatingIndexes(d.wanted)) > 0:
		live = first // some are to come: the gate stays
	case len(l.rules) == 0:
		live = none
	}
	wanted := map[rpdb.RouteKey]bool{}
	for _, w := range d.desired.Routes {
		wanted[w.Route.Key()] = true
	}
	d.dropRoutes(wanted)
	d.oldRoutes = inLookupOrder(d.oldRoutes)
	slices.Reverse(d.oldRoutes)
	r := d.sortRoutes(&ph)
	clear(ph.steps)
	d.clearRules(&ph, &g, live, false)
	ph.add(Clean, r.left...)
	d.strikeInOrder(&ph)
	return ph
}
