package fib

import (
	"net/netip"
	"slices"

	"rpdb"
)

// tableView is what one table has for the flow, whichever rule looks it up.
type tableView struct {
	answer result // what the kernel finds
	node   *node  // of the route as wished, nil if there is none
	route  *route
	hop    *hop
}

// view looks a table up once.
func (q *inquiry) view(t *table) *tableView {
	if v := q.tables[t]; v != nil {
		return v
	}
	v := &tableView{}
	k := q.tape.key
	if q.rs.v6 {
		t.find6(q.f, &k, &v.answer, nil)
	} else if t.find4(&k, &v.answer, nil); v.answer.outcome == hit && v.answer.route.typ != rpdb.RouteLocal {
		q.f.path4(t, &k, &v.answer)
	}
	if q.wish.isHop() {
		for n := range covering(t, &k) {
			if q.wished(n, v) {
				break
			}
		}
	}
	q.tables[t] = v
	return v
}

// covering yields the nodes of a table whose routes lead to the destination,
// the longest prefix first.
func covering(t *table, k *key) func(func(*node) bool) {
	return func(yield func(*node) bool) {
		n := t.lookup(k.dst)
		for ; n != nil; n = n.up {
			var s *node
			if n.sub != nil {
				s, _ = n.sub.Lookup(k.src)
			}
			for ; s != nil; s = s.up {
				if !yield(s) {
					return
				}
			}
			if !yield(n) {
				return
			}
		}
	}
}

// wished notes the first route of a node that leads where the wish says.
func (q *inquiry) wished(n *node, v *tableView) bool {
	for i := range n.routes {
		r := n.routes[i]
		if r.typ == rpdb.RouteThrow || typeError(r.typ, q.rs.v6) != 0 {
			continue
		}
		for j := range r.hops {
			h := &r.hops[j]
			if q.wish.isOf(q.outOf(r, h)) {
				v.node, v.route, v.hop = n, r, h
				return true
			}
		}
	}
	return false
}

// outOf is where a nexthop leads, which for local routes is loopback.
func (q *inquiry) outOf(r *route, h *hop) rpdb.Hop {
	if isLocal6(r.typ) {
		return q.f.localHop(h.link)
	}
	return h.out()
}

// lookedUp returns the table of a rule as lookups see it, nil if it is absent.
func (q *inquiry) lookedUp(r *rule) *table {
	if q.rs.merged != nil && r.Action.Table() != rpdb.TableDefault {
		return q.rs.merged
	}
	if r.isVRFLookup && q.tape.key.l3mdev == 0 && !r.Selector.Not {
		return q.tableOfVRF()
	}
	t, _ := q.f.tableOf(q.rs, r, &q.tape.key)
	return t
}

// tableOfVRF returns the table of the VRF that the flow would have to be in,
// which is in none: that of the wished interface, or with the wished table.
func (q *inquiry) tableOfVRF() *table {
	for _, l := range q.f.links {
		isTable := q.wish.Table != 0 && l.VRFTable == q.wish.Table
		if isTable || q.wish.Link != "" && l.Name == q.wish.Link && l.vrf != nil {
			return q.rs.tables[l.vrf.VRFTable]
		}
	}
	return nil
}

// leads reports whether a rule could lead to the wish.
func (q *inquiry) leads(r *rule) bool {
	w := q.wish
	if w.Rule.IsSet() && w.Rule != rpdb.Some(r.Priority) {
		return false
	}
	if !w.isHop() && w.Table == 0 {
		return true
	}
	if r.Action.Type() != rpdb.ActionTable {
		return false
	}
	t := q.lookedUp(r)
	id := r.Action.Table()
	if r.isVRFLookup && t != nil {
		id = t.id
	}
	if w.Table != 0 && w.Table != id {
		return false
	}
	return !w.isHop() || t != nil && q.view(t).route != nil
}

// findWays lists the rules that could lead to the wish.
func (q *inquiry) findWays() []Way {
	notes := q.notes
	end := deciding(notes)
	if end < 0 {
		end = len(notes)
	}
	jump := -1       // the goto taken last
	var landed order // where it led
	var ways []Way
	for i := range q.rules {
		r := q.rules[i]
		if i < len(notes) && notes[i].kind == stepGoto {
			jump = i
			to, _ := q.rs.jumpOf(r)
			landed = to.first
		}
		if !q.leads(r) {
			continue
		}
		q.ways = append(q.ways, i)
		way := Way{Rule: r.Rule, Obstacles: q.selectors(r)}
		switch {
		case len(notes) == 0: // the rules were not asked
		case i > end:
			taker := q.rules[end].Rule
			way.add(Obstacle{Kind: ObstacleTaken, Rule: &taker})
		case jump >= 0 && i > jump && r.at < landed:
			jumper := q.rules[jump].Rule
			way.add(Obstacle{Kind: ObstacleJumped, Rule: &jumper})
		case len(way.Obstacles) == 0 && notes[i].kind == stepNotMatched:
			// IPv6 compares a source that it looked for only after the lookup.
			way.add(Obstacle{Kind: ObstacleSelector, Selectors: []NotMatched{q.tape.mismatch(r, notes[i].word)}})
		}
		way.add(q.result(r)...)
		if t := q.lookedUp(r); t != nil && q.wish.isHop() && q.view(t).route != nil {
			v := q.view(t)
			described := v.node.describe(v.route)
			way.Route = &described
		}
		ways = append(ways, way)
	}
	return ways
}

func (w *Way) add(o ...Obstacle) { w.Obstacles = append(w.Obstacles, o...) }

// selectors returns the selectors of a rule that are in the way.
func (q *inquiry) selectors(r *rule) []Obstacle {
	failing := r.failures(&q.tape.key)
	switch {
	case r.Selector.Not && len(failing) == 0:
		return []Obstacle{{Kind: ObstacleNot}}
	case r.Selector.Not || len(failing) == 0:
		return nil
	}
	o := Obstacle{Kind: ObstacleSelector}
	for _, field := range failing {
		o.Selectors = append(o.Selectors, q.tape.mismatch(r, field))
	}
	return []Obstacle{o}
}

// failures returns all selectors of a rule that are false for k, whether or
// not the rule inverts them.
func (r *rule) failures(k *key) []string {
	field := r.failing(k)
	if field == "" {
		return nil
	}
	var all []string
	for rest := r.copied(); field != ""; field = rest.failing(k) {
		all = append(all, field)
		rest.drop(field)
	}
	return all
}

// drop takes one selector out of a compiled rule.
func (r *rule) drop(field string) {
	s := &r.Selector
	switch field {
	case "iif":
		r.iif = ifmatch{}
	case "oif":
		r.oif = ifmatch{}
	case "fwmark":
		s.Mark = rpdb.Mark{}
	case "tun_id":
		s.TunID = 0
	case "l3mdev":
		s.L3MDev = false
	case "uidrange":
		r.hasUID = false
	case "to":
		r.to = netip.Prefix{}
	case "from":
		r.from = netip.Prefix{}
	case "tos":
		s.TOS = 0
	case "dscp":
		r.hasDSCP = false
	case "flowlabel":
		s.FlowLabel = rpdb.FlowLabel{}
	case "ipproto":
		s.IPProto = 0
	case "sport":
		s.SPort = rpdb.Ports{}
	default:
		s.DPort = rpdb.Ports{}
	}
}

// result says what a rule's action has against the wish.
func (q *inquiry) result(r *rule) []Obstacle {
	var found []Obstacle
	if r.Unknown != "" {
		found = append(found, Obstacle{Kind: ObstacleUnknown, Note: noteUnknownRule})
	}
	switch r.Action.Type() {
	case rpdb.ActionGoto, rpdb.ActionNop:
		return append(found, Obstacle{Kind: ObstaclePassive})
	case rpdb.ActionTable:
	default:
		return found
	}
	t := q.lookedUp(r)
	switch {
	case r.isVRFLookup && q.tape.key.l3mdev == 0:
		return found
	case t == nil || t.size == 0:
		return append(found, Obstacle{Kind: ObstacleNoTable, Table: r.Action.Table()})
	}
	return append(found, q.inTable(r, t)...)
}

// inTable says what a table, and the rule's suppressors, have against the
// wish.
func (q *inquiry) inTable(r *rule, t *table) []Obstacle {
	v := q.view(t)
	res := v.answer
	o := Obstacle{Table: t.id}
	if res.route != nil {
		described := res.node.describe(res.route)
		o.Route = &described
	}
	switch res.outcome {
	case unclear:
		return []Obstacle{{Kind: ObstacleUnknown, Note: res.note}}
	case miss:
		if v.route != nil {
			return []Obstacle{{Kind: ObstacleUnusable, Note: q.trouble(v)}}
		}
		return []Obstacle{{Kind: ObstacleNoRoute, Table: t.id}}
	case thrown:
		o.Kind = ObstacleThrow
		return []Obstacle{o}
	case denied:
		if !q.wish.isHop() {
			return nil
		}
		o.Kind = ObstacleOther
		return []Obstacle{o}
	}
	var found []Obstacle
	if q.wish.isHop() {
		switch q.wish.fulfilledBy(q.outOf(res.route, res.hop), res.either) {
		case FulfilledNo:
			o.Kind = ObstacleOther
			found = append(found, o)
			if note := q.trouble(v); note != "" {
				found = append(found, Obstacle{Kind: ObstacleUnusable, Note: note})
			}
		case FulfilledMaybe:
			found = append(found, Obstacle{Kind: ObstacleEither, Note: res.note})
		}
	}
	by, doubt := q.f.suppresses(q.rs, r, &res)
	switch {
	case doubt != "":
		found = append(found, Obstacle{Kind: ObstacleUnknown, Note: doubt})
	case by != "":
		o.Kind, o.Note = ObstacleSuppressed, by
		found = append(found, o)
	}
	return found
}

// trouble says why the route as wished cannot be used by this flow, "" if it
// can.
func (q *inquiry) trouble(v *tableView) string {
	if v.hop == nil {
		return ""
	}
	k, h := &q.tape.key, v.hop
	name := string(q.f.name(h.nexthop.Link))
	switch {
	case h.link == nil:
		return "its interface is not there"
	case !h.link.IsUp():
		return name + " is down"
	case h.ignored:
		return name + " has no carrier, and such routes are ignored"
	case h.dead:
		return "the nexthop is dead"
	case !q.rs.v6 && v.route.tos != 0 && v.route.tos != k.ds&legacyTOS:
		return "the route is for packets with another tos"
	case !q.rs.v6 && k.oif != 0 && k.oif != h.nexthop.Link:
		return "the sender is bound to " + string(q.f.name(k.oif))
	case q.rs.v6 && k.strict && k.want != 0 && k.want != h.nexthop.Link:
		return "the flow is bound to " + string(q.f.name(k.want))
	case q.rs.v6 && k.reach && h.neighbour&rpdb.NeighbourFailed != 0 && !h.neighbour.Valid():
		return "its gateway does not answer"
	case v.route.nhid != 0 && v.route.hole:
		return "its nexthop object is a blackhole"
	}
	return ""
}

// unaskedTables lists the tables that have a route as wished and that no rule
// looks up.
func (q *inquiry) unaskedTables() []rpdb.TableID {
	if q.wish.Rule.IsSet() {
		return nil
	}
	asked := map[*table]bool{q.rs.merged: true}
	for i := range q.rules {
		if r := q.rules[i]; r.Action.Type() == rpdb.ActionTable {
			asked[q.lookedUp(r)] = true
		}
	}
	var list []rpdb.TableID
	for id, t := range q.rs.tables {
		if asked[t] || q.wish.Table != 0 && q.wish.Table != id {
			continue
		}
		if v := q.view(t); v.route != nil || !q.wish.isHop() && v.answer.outcome == hit {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}
