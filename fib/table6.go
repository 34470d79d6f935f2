package fib

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"rpdb"
)

// find6 looks a destination up in an IPv6 table (fib6_table_lookup): the
// longest prefix first, and on from every prefix without a usable route. If
// nothing is left, gateways known to be dead get a second chance.
// It puts what it finds into res, which is empty.
func (t *table) find6(f *FIB, k *key, res *result, rec *recorder) {
	in := t.ranges6.lookup(k.dst)
	if r, length := t.only(in.only); r != nil {
		if _, why := r.hops[0].score6(k, r, k.reach); why == fits {
			res.outcome, res.length, res.node, res.route, res.hop = hit, length, t.node(in.node), r, &r.hops[0]
			return
		}
	}
	start := t.node(in.node).start6(k, rec)
	reach := k.reach
	for {
		for n := start; n != nil; n = n.next6(k, rec) {
			if n.select6(k, reach, res, rec); res.outcome != miss {
				res.length = uint8(n.destination().Bits())
				f.conclude6(k, res)
				return
			}
		}
		if !reach {
			return
		}
		reach = false
		rec.again()
	}
}

// start6 returns the node at which the search begins, n being that of the longest
// prefix, nil if there is none (fib6_node_lookup). A
// destination with source-specific routes of which none fits is left out,
// plain routes included, unless it is the default.
func (n *node) start6(k *key, rec *recorder) *node {
	for n != nil && n.sub != nil {
		if s, ok := n.sub.Lookup(k.src); ok {
			return s
		}
		rec.pass(n, nil, nil, passedSource)
		if n.prefix.Bits() == 0 {
			return n
		}
		rec.rest(n, n.routes, passedHidden)
		n = n.up
	}
	return n
}

// next6 returns the node to search after n (fib6_backtrack): shorter sources
// of the same destination, then its plain routes, then the next shorter
// destination. Unlike the start, plain routes are not left out here.
func (n *node) next6(k *key, rec *recorder) *node {
	if n.owner != nil {
		if n.up != nil {
			return n.up
		}
		return n.owner
	}
	m := n.up
	if m != nil && m.sub != nil {
		if s, ok := m.sub.Lookup(k.src); ok {
			return s
		}
		rec.pass(m, nil, nil, passedSource)
	}
	return m
}

// select6 picks the best route of a node (find_rr_leaf): the best score among
// the routes of the lowest metric, and if none of them can be used, among all
// others together.
func (n *node) select6(k *key, reach bool, res *result, rec *recorder) {
	end := 0
	for end < len(n.routes) && n.routes[end].metric == n.routes[0].metric {
		end++
	}
	if *res = n.best6(n.routes[:end], k, reach, rec); res.outcome != miss {
		rec.rest(n, n.routes[end:], passedOrder)
		return
	}
	*res = n.best6(n.routes[end:], k, reach, rec)
}

// best6 returns the route and nexthop of the highest score, the first of
// equals (__find_rr_leaf).
func (n *node) best6(routes []*route, k *key, reach bool, rec *recorder) (best result) {
	top := -1
	for _, r := range routes {
		if r.hole || r.blind || r.unsure {
			return n.object6(r)
		}
		for j := range r.hops {
			h := &r.hops[j]
			score, why := h.score6(k, r, reach)
			if why == fits && score <= top {
				why = passedScore
			}
			if why != fits {
				rec.pass(n, r, h, why)
				continue
			}
			if top >= 0 {
				rec.pass(n, best.route, best.hop, passedScore)
			}
			top = score
			best = result{outcome: hit, node: n, route: r, hop: h}
			if r.nhid != 0 {
				break
			}
		}
	}
	return best
}

// object6 is the answer of a route by a nexthop object that is a blackhole or
// not known, and of one of which it is not known whether it is used.
func (n *node) object6(r *route) result {
	if r.hole {
		return result{outcome: denied, node: n, route: r, errno: rpdb.EINVAL}
	}
	return result{outcome: unclear, node: n, route: r, note: r.doubt()}
}

// score6 rates a nexthop (rt6_score_route), or says why it is not to be used.
func (h *hop) score6(k *key, r *route, reach bool) (score int, why why) {
	switch {
	case h.dead:
		return 0, passedDead
	case h.ignored:
		return 0, passedLinkdown
	case k.want == 0 || k.want == h.nexthop.Link:
		score = 2
	case k.strict:
		return 0, passedDevice
	}
	if reach && h.nexthop.Via.IsValid() && h.unreachable() {
		return 0, passedNeighbour
	}
	return score | preference6(r.pref)<<2, fits
}

// fits6 reports whether a multipath choice may end with a nexthop; those that
// are dead or ignored it never comes to.
func (h *hop) fits6(k *key, r *route, reach bool) bool {
	_, why := h.score6(k, r, reach)
	return why == fits
}

// unreachable reports whether the gateway is known to be dead.
func (h *hop) unreachable() bool {
	return h.neighbour&rpdb.NeighbourFailed != 0 && !h.neighbour.Valid()
}

// preference6 orders the router preferences of RFC 4191 (IPV6_DECODE_PREF).
func preference6(p rpdb.RouterPreference) int { return int(p^2) & 3 }

// conclude6 turns the route selected into an answer: errors of its type, or the
// member of a multipath route.
func (f *FIB) conclude6(k *key, res *result) {
	if res.outcome != hit {
		return
	}
	switch e := typeError(res.route.typ, true); {
	case res.route.typ == rpdb.RouteThrow:
		res.outcome = thrown
	case e != 0:
		res.outcome, res.errno = denied, e
	case len(res.route.hops) > 1:
		res.hop, res.either = f.multipath6(k, res.route, res.hop)
	}
}

// finish6 makes the nodes of an IPv6 table, and how they are found.
func (t *table) finish6() {
	t.makeNodes()
	for _, s := range t.sourced {
		at, _ := slices.BinarySearchFunc(t.nodes, s.prefix, func(n node, p netip.Prefix) int { return n.prefix.Compare(p) })
		n := &t.nodes[at]
		if n.sub == nil {
			n.sub = new(bart.Table[*node])
		}
		nodeIn(n.sub, s.src, n).add(s.route)
	}
	t.sourced = nil
	for i := range t.nodes {
		n := &t.nodes[i]
		n.sort6()
		if n.sub != nil {
			connect(n.sub)
			n.sortSources()
		}
	}
	t.ranges6 = newRanges6(t.nodes)
}

// sort6 puts the routes of one node into the order in which they are tried.
func (n *node) sort6() {
	slices.SortStableFunc(n.routes, func(a, b *route) int { return cmp.Compare(a.metric, b.metric) })
}
