package fib

import (
	"fmt"

	"rpdb"
)

// Candidate is a route, or one nexthop of a route, that a table considered, or
// never came to, beside the one that it answered with. The nexthops of a
// multipath route that was taken are all candidates, also the one taken.
type Candidate struct {
	// Route has only the nexthop that this is about, or none if it is about all.
	Route  rpdb.Route `json:"route"`
	Hop    rpdb.Hop   `json:"hop,omitzero"` // that nexthop
	Reason Reason     `json:"reason"`
	// Why says in a clause what the reason means here.
	Why string `json:"why"`
	// Share is the part of all flows that the hash gives to the nexthop of a
	// multipath route, 0 to 1.
	Share float64 `json:"share,omitzero"`
}

// String returns the prefix and the clause.
func (c Candidate) String() string { return destination(c.Route) + ": " + c.Why }

// Reason is why a candidate was passed over.
type Reason string

// The reasons. The last four are about the nexthops of a multipath route, and
// about equal default routes of IPv4.
const (
	ReasonTOS        Reason = "tos"         // not the TOS of the packet
	ReasonDead       Reason = "dead"        // the nexthop is dead
	ReasonLinkdown   Reason = "linkdown"    // no carrier, and such links are to be ignored
	ReasonDevice     Reason = "device"      // not by the interface that the flow is bound to, or prefers
	ReasonNeighbour  Reason = "neighbour"   // the gateway is known to be dead
	ReasonPreference Reason = "preference"  // IPv6: a lower router preference
	ReasonMetric     Reason = "metric"      // a higher metric
	ReasonOrder      Reason = "order"       // equal, and listed behind
	ReasonSource     Reason = "source"      // IPv6: for other sources
	ReasonHidden     Reason = "hidden"      // IPv6: routes for other sources hide it
	ReasonObject     Reason = "object"      // behind a nexthop object without a usable member
	ReasonLastResort Reason = "last-resort" // taken though its gateway is known to be dead: nothing else is left
	ReasonTaken      Reason = "taken"       // the hash leads here
	ReasonHash       Reason = "hash"        // the hash leads elsewhere
	ReasonEither     Reason = "either"      // taken or not: it cannot be foreseen
	ReasonTurns      Reason = "turns"       // equal default routes, tried by the state of their gateways
)

// candidates tells what a table passed over for an answer; taken says that the
// walk ended with it.
func (t *tape) candidates(f *fact, taken bool) []Candidate {
	v := teller{t, f, taken && f.outcome == hit && len(f.route.hops) > 1, nil}
	for i := range f.passed {
		v.addPassed(&f.passed[i])
	}
	switch {
	case v.members:
		v.addMembers()
	case taken && f.outcome == hit && f.second && f.hop.unreachable():
		v.add(f.node, f.route, f.hop, ReasonLastResort, "taken though its neighbour is FAILED: nothing else is left")
	}
	return v.list
}

// teller collects the candidates of one consultation.
type teller struct {
	*tape
	fact    *fact
	members bool // the route taken has several nexthops, which are told together
	list    []Candidate
}

func (v *teller) add(n *node, r *route, h *hop, reason Reason, why string) *Candidate {
	c := Candidate{Route: n.describe(r), Reason: reason, Why: why}
	if h == nil && len(r.hops) == 1 {
		h = &r.hops[0]
	}
	if h != nil {
		c.Route.Nexthops, c.Hop = []rpdb.Nexthop{h.nexthop}, h.out()
	}
	v.list = append(v.list, c)
	return &v.list[len(v.list)-1]
}

func (v *teller) addPassed(p *passed) {
	switch {
	case p.why == passedSource:
		v.addSources(p.node)
	case p.rest:
		v.addRest(p)
	case v.members && p.route == v.fact.route:
	default:
		reason, why := v.reason(p)
		v.add(p.node, p.route, p.hop, reason, why)
	}
}

// addSources tells the routes for other sources below a destination.
func (v *teller) addSources(n *node) {
	for source, s := range n.sub.AllSorted() {
		for i := range s.routes {
			v.add(s, s.routes[i], nil, ReasonSource, "only for sources in "+source.String())
		}
	}
}

// addRest tells the routes of a node that were not looked at.
func (v *teller) addRest(p *passed) {
	begun := false
	for i := range p.node.routes {
		r := p.node.routes[i]
		begun = begun || r == p.route
		if !begun || r == v.fact.route {
			continue
		}
		switch p.why {
		case passedHidden:
			v.add(p.node, r, nil, ReasonHidden, "hidden by routes of the same prefix for other sources")
		case passedObject:
			v.add(p.node, r, nil, ReasonObject, "behind a route whose nexthop object has no usable member")
		default:
			reason, why := v.behind(r)
			v.add(p.node, r, nil, reason, why)
		}
	}
}

// reason tells why a route or nexthop that was looked at was passed over.
func (v *teller) reason(p *passed) (Reason, string) {
	switch p.why {
	case passedTOS:
		return ReasonTOS, fmt.Sprintf("tos %s, packet has %s", hex(uint32(p.route.tos)), hex(uint32(v.key.ds&legacyTOS)))
	case passedDead:
		return ReasonDead, "dead nexthop"
	case passedLinkdown:
		return ReasonLinkdown, "no carrier, and ignore_routes_with_linkdown is set"
	case passedDevice:
		return ReasonDevice, v.device()
	case passedNeighbour:
		return ReasonNeighbour, "neighbour FAILED"
	}
	return v.worse(p)
}

// device says which interface a nexthop has to be on.
func (v *teller) device() string {
	switch {
	case v.key.oif != 0:
		return "wrong device: the sender is bound to " + quoted(v.link(v.key.oif))
	case v.key.output:
		return "wrong device"
	}
	return "wrong device: the packet came in by " + quoted(v.link(v.key.want))
}

// worse tells why an IPv6 nexthop has the worse score.
func (v *teller) worse(p *passed) (Reason, string) {
	best := &v.fact.verdict
	if best.route == nil {
		return ReasonOrder, "listed behind"
	}
	if a, b := p.route.pref, best.route.pref; preference6(a) != preference6(b) {
		return ReasonPreference, fmt.Sprintf("preference %v, behind %v", a, b)
	}
	if v.key.want != 0 && p.hop.nexthop.Link != v.key.want && best.hop != nil && best.hop.nexthop.Link == v.key.want {
		return ReasonDevice, "not by " + quoted(v.link(v.key.want)) + ", which is preferred"
	}
	return v.behind(p.route)
}

// behind tells why a route of the same prefix comes after the one taken.
func (v *teller) behind(r *route) (Reason, string) {
	best := v.fact.route
	switch {
	case best == nil || best.table != r.table:
		return ReasonOrder, "listed behind"
	case best.tos != r.tos:
		return ReasonTOS, fmt.Sprintf("tos %s, behind %s", hex(uint32(r.tos)), hex(uint32(best.tos)))
	case best.metric != r.metric:
		return ReasonMetric, fmt.Sprintf("metric %d, behind %d", r.metric, best.metric)
	case !v.rs.v6 && v.key.output && v.fact.length == 0 && len(r.hops) == 1 && r.hops[0].via.IsValid():
		return ReasonTurns, "equal: gateways are tried by the state of their neighbours" + state(&r.hops[0])
	}
	return ReasonOrder, "equal, listed behind"
}

// state is the state of a gateway, behind a comma, "" if there is none.
func state(h *hop) string {
	if h.neighbour == 0 {
		return ""
	}
	return ", this is " + stateWord(h.neighbour)
}

func stateWord(s rpdb.NeighbourState) string {
	for _, w := range []struct {
		state rpdb.NeighbourState
		word  string
	}{
		{rpdb.NeighbourIncomplete, "INCOMPLETE"},
		{rpdb.NeighbourReachable, "REACHABLE"},
		{rpdb.NeighbourStale, "STALE"},
		{rpdb.NeighbourDelay, "DELAY"},
		{rpdb.NeighbourProbe, "PROBE"},
		{rpdb.NeighbourFailed, "FAILED"},
		{rpdb.NeighbourNoARP, "NOARP"},
		{rpdb.NeighbourPermanent, "PERMANENT"},
	} {
		if s&w.state != 0 {
			return w.word
		}
	}
	return "unknown"
}

// addMembers tells the nexthops of the route taken.
func (v *teller) addMembers() {
	f := v.fact
	var below int64 = -1
	for i := range f.route.hops {
		h := &f.route.hops[i]
		share := 0.0
		if h.bound >= 0 {
			share, below = float64(h.bound-below)/(1<<31), h.bound
		}
		reason, why := v.member(h)
		v.add(f.node, f.route, h, reason, fmt.Sprintf("weight %d, %s", max(h.nexthop.Weight, 1), why)).Share = share
	}
}

// member tells why a nexthop of the multipath route taken is it or not.
func (v *teller) member(h *hop) (Reason, string) {
	f := v.fact
	switch {
	case h == f.hop && len(f.either) == 0 && h.bound >= 0:
		return ReasonTaken, "taken"
	case h.dead:
		return ReasonDead, "dead nexthop"
	case h.ignored:
		return ReasonLinkdown, "no carrier, and ignore_routes_with_linkdown is set"
	case v.barred(h):
		return ReasonDevice, v.device()
	case h == f.hop && len(f.either) == 0:
		return ReasonTaken, "taken"
	case len(f.either) > 0 && h.isAmong(f.either):
		return ReasonEither, "the hash cannot be foreseen"
	case !v.fib.eligible(h, f.route.nhid != 0, v.rs.v6):
		return ReasonNeighbour, "neighbour " + stateWord(h.neighbour)
	}
	return ReasonHash, "the hash leads elsewhere"
}

// barred reports whether a nexthop is on another interface than it has to be.
func (v *teller) barred(h *hop) bool {
	if v.rs.v6 {
		return v.key.strict && v.key.want != 0 && v.key.want != h.nexthop.Link
	}
	return v.key.oif != 0 && v.key.oif != h.nexthop.Link
}

func (h *hop) isAmong(hops []rpdb.Hop) bool {
	for _, one := range hops {
		if one == h.out() {
			return true
		}
	}
	return false
}

func quoted(name string) string { return fmt.Sprintf("%q", name) }
