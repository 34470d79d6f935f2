package fib

import (
	"cmp"
	"slices"

	"rpdb"
)

// find4 looks a destination up in an IPv4 table (fib_table_lookup): the
// longest prefix first, in it by TOS and metric, and on from every route that
// cannot be used. It puts what it finds into res, which is empty.
func (t *table) find4(k *key, res *result, rec *recorder) {
	in := t.ranges.lookup(k.dst)
	if r, length := t.only(in.only); r != nil && r.hops[0].unfit4(k) == fits {
		res.outcome, res.length, res.node, res.route, res.hop = hit, length, t.node(in.node), r, &r.hops[0]
		return
	}
	n := t.node(in.node)
	for n != nil {
		found, skipKey := n.find4(k, rec)
		if found.outcome != miss {
			*res = found
			res.length = uint8(n.prefix.Bits())
			return
		}
		up := n.up
		// The trie keeps the prefixes of one address in one list, and an
		// unusable nexthop object ends the list.
		for skipKey && up != nil && up.prefix.Addr() == n.prefix.Addr() {
			rec.rest(up, up.routes, passedObject)
			up = up.up
		}
		n = up
	}
}

// find4 tries the routes of one prefix. skipKey says that the search must not
// go on with shorter prefixes of the same address.
func (n *node) find4(k *key, rec *recorder) (res result, skipKey bool) {
	for i := range n.routes {
		r := n.routes[i]
		if r.tos != 0 && r.tos != k.ds&legacyTOS {
			rec.pass(n, r, nil, passedTOS)
			continue
		}
		if r.typ == rpdb.RouteThrow {
			return result{outcome: thrown, node: n, route: r}, false
		}
		if e := typeError(r.typ, false); e != 0 || r.hole {
			return result{outcome: denied, node: n, route: r, errno: cmp.Or(e, rpdb.EINVAL)}, false
		}
		if r.blind || r.unsure {
			return result{outcome: unclear, node: n, route: r, note: r.doubt()}, false
		}
		if h := n.usable4(k, r, rec); h != nil {
			if i+1 < len(n.routes) {
				rec.rest(n, n.routes[i:], passedOrder)
			}
			return result{outcome: hit, node: n, route: r, hop: h}, false
		}
		if r.nhid != 0 {
			rec.rest(n, n.routes[i+1:], passedObject)
			return result{}, true
		}
	}
	return result{}, false
}

const noteNexthopObject = "the nexthop object of the route is not in the snapshot"

// usable4 returns the first nexthop of a route that the flow may use, nil if
// there is none.
func (n *node) usable4(k *key, r *route, rec *recorder) *hop {
	for i := range r.hops {
		h := &r.hops[i]
		why := h.unfit4(k)
		if why == fits {
			return h
		}
		rec.pass(n, r, h, why)
	}
	return nil
}

// unfit4 returns why the flow may not use a nexthop (fib_lookup_good_nhc).
func (h *hop) unfit4(k *key) why {
	switch {
	case h.dead:
		return passedDead
	case h.ignored && !k.peek:
		return passedLinkdown
	case k.oif != 0 && k.oif != h.nexthop.Link:
		return passedDevice
	}
	return fits
}

// finish4 makes the nodes of an IPv4 table, and how they are found.
func (t *table) finish4() {
	t.makeNodes()
	for i := range t.nodes {
		n := &t.nodes[i]
		n.sort4()
		if n.prefix.Bits() == 0 && t.defaults > 1 {
			t.prepareDefaults(n)
		}
	}
	t.ranges = newRanges(t.nodes)
}

// sort4 puts the routes of one prefix into the order in which they are tried.
// In the merged trie of a namespace whose rules were never changed, the table
// with the greater number comes first.
func (n *node) sort4() {
	slices.SortStableFunc(n.routes, func(a, b *route) int {
		return cmp.Or(cmp.Compare(b.table, a.table), cmp.Compare(b.tos, a.tos), cmp.Compare(a.metric, b.metric))
	})
}

// path4 chooses the nexthop after a hit (fib_select_path): by hash, or on
// output between default routes by the state of their gateways.
func (f *FIB) path4(t *table, k *key, res *result) {
	switch {
	case k.oif != 0:
	case len(res.route.hops) > 1:
		res.hop, res.either = f.multipath4(k, res.route, res.hop)
	case k.output && res.length == 0 && t.defaults > 1 && res.route.typ == rpdb.RouteUnicast:
		t.chooseDefault(k, res)
	}
}
