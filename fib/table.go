package fib

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"rpdb"
)

// table is one routing table of one family. The structure of a table is a
// longest-prefix match of nodes; each node knows the next shorter prefix, so that
// going on after an unusable route needs no second search.
type table struct {
	id rpdb.TableID
	// Its routes before the table is finished; then its nodes by prefix, how they are
	// found, and the routes that ranges name by their number.
	pending  []placed
	sourced  []sourced // IPv6: the routes that have a source prefix; pending are only the places
	nodes    []node
	ranges   *ranges  // IPv4
	ranges6  *ranges6 // IPv6
	numbered []*route
	size     int
	defaults int             // number of IPv4 routes of length 0 (tb_num_default)
	choice   []defaultChoice // which of them output takes
	missing  bool            // what it holds is not in the snapshot
}

// placed is a route with its prefix; without a route, a prefix that needs a node.
type placed struct {
	prefix netip.Prefix
	route  *route
}

// sourced is a route with its prefixes.
type sourced struct {
	placed
	src netip.Prefix
}

// node is one destination prefix of a table, or in IPv6 one source prefix
// below a destination prefix.
type node struct {
	prefix netip.Prefix
	routes []*route // none of them twice
	up     *node    // next shorter prefix of the same trie
	// IPv6: sub holds the routes to this destination that have a source
	// prefix, owner leads back from there.
	sub   *bart.Table[*node]
	owner *node
}

// route is a compiled route without its prefix. Those of one nexthop that differ in
// nothing else are one: of the million routes of a full table there are few.
type route struct {
	traits
	hops   []hop // shared between routes that lead the same way
	multi  *multipath
	number uint32 // among the shared routes, 0 for one that is not
}

// traits are what two routes that lead the same way may differ in.
type traits struct {
	table    rpdb.TableID
	metric   uint32
	nhid     uint32
	realms   rpdb.Realms
	prefsrc  netip.Addr
	typ      rpdb.RouteType
	tos      uint8
	scope    rpdb.Scope
	protocol rpdb.Protocol
	pref     rpdb.RouterPreference
	hole     bool // its nexthop object is a blackhole
	blind    bool // its nexthop object is not in the snapshot
	unsure   bool // whether a nexthop without carrier is used is not
}

// describe gives the route back in the words of the model, without what
// decides nothing: metrics, expiry, flags.
func (n *node) describe(r *route) rpdb.Route {
	out := rpdb.Route{
		Family: rpdb.FamilyOf(n.prefix.Addr()), Table: r.table, Dst: n.prefix, Type: r.typ, TOS: r.tos,
		Metric: r.metric, Protocol: r.protocol, Scope: r.scope, PrefSrc: r.prefsrc, Realms: r.realms,
		Pref: r.pref, NexthopID: r.nhid,
	}
	if n.owner != nil {
		out.Dst, out.Src = n.owner.prefix, n.prefix
	}
	for i := range r.hops {
		out.Nexthops = append(out.Nexthops, r.hops[i].nexthop)
	}
	return out
}

// destination returns the destination prefix of the routes in n.
func (n *node) destination() netip.Prefix {
	if n.owner != nil {
		return n.owner.prefix
	}
	return n.prefix
}

// outcome is the kind of answer that a table gives.
type outcome uint8

const (
	miss    outcome = iota // no usable route
	thrown                 // a throw route: as a miss, but says so
	hit                    // a route and a nexthop
	denied                 // an error route: errno
	unclear                // the snapshot does not tell
)

// result is the answer of one table.
type result struct {
	outcome outcome
	length  uint8 // of the destination prefix
	node    *node // where a route was found; to look into it costs more than all the rest
	route   *route
	hop     *hop
	errno   rpdb.Errno
	either  []rpdb.Hop // all hops that may be taken, if not foreseeable
	note    string
}

// typeError returns the error that routes of a type answer with, 0 for those
// that lead somewhere (fib_props, fib6_prop). Throw is none of them.
func typeError(t rpdb.RouteType, v6 bool) rpdb.Errno {
	switch t {
	case rpdb.RouteBlackhole:
		return rpdb.EINVAL
	case rpdb.RouteUnreachable:
		return rpdb.EHOSTUNREACH
	case rpdb.RouteProhibit:
		return rpdb.EACCES
	case rpdb.RouteNAT, rpdb.RouteXResolve:
		if !v6 { // IPv6 forwards by them as if they were unicast
			return rpdb.EINVAL
		}
	}
	return 0
}

// lookup returns the node of the longest prefix that covers an address, nil if none
// does.
func (t *table) lookup(a netip.Addr) *node {
	if t.ranges6 != nil {
		return t.node(t.ranges6.lookup(a).node)
	}
	return t.node(t.ranges.lookup(a).node)
}

// node returns the node that a range names, nil if it names none.
func (t *table) node(number uint32) *node {
	if number == 0 {
		return nil
	}
	return &t.nodes[number-1]
}

// only returns the route that a range names as the only one that there is, and the
// length of its prefix. Nothing but its nexthop can keep a flow from taking it, and
// its node need not be looked into. Nil: there is none.
func (t *table) only(of uint32) (*route, uint8) {
	return t.numbered[of>>lengthBits], uint8(of & (1<<lengthBits - 1))
}

// makeNodes makes nodes of the routes, in order. They lie in one piece, since most of
// what a lookup costs is the memory that it touches.
func (t *table) makeNodes() {
	byPrefix := func(a, b placed) int { return a.prefix.Compare(b.prefix) }
	if !slices.IsSortedFunc(t.pending, byPrefix) { // as the kernel lists them
		slices.SortStableFunc(t.pending, byPrefix)
	}
	prefixes := 0
	for i, p := range t.pending {
		if i == 0 || t.pending[i-1].prefix != p.prefix {
			prefixes++
		}
	}
	t.nodes = make([]node, 0, prefixes)
	routes := make([]*route, 0, len(t.pending))
	for _, p := range t.pending {
		if last := len(t.nodes) - 1; last < 0 || t.nodes[last].prefix != p.prefix {
			t.nodes = append(t.nodes, node{prefix: p.prefix, routes: routes[len(routes):]})
		}
		if n := &t.nodes[len(t.nodes)-1]; p.route != nil {
			n.add(p.route)
			routes = routes[:len(routes)+1]
		}
	}
	t.pending = nil
}

// add adds a route to a node, or a copy of one that it has already.
func (n *node) add(r *route) {
	if slices.Contains(n.routes, r) {
		own := *r
		r = &own
	}
	n.routes = append(n.routes, r)
}

// nodeIn returns the node of a prefix, making it if needed.
func nodeIn(lpm *bart.Table[*node], p netip.Prefix, owner *node) *node {
	n, ok := lpm.Get(p)
	if !ok {
		n = &node{prefix: p, owner: owner}
		lpm.Insert(p, n)
	}
	return n
}

// connect sets the up pointers of all nodes of a trie.
func connect(lpm *bart.Table[*node]) {
	for p, n := range lpm.All() {
		if p.Bits() > 0 {
			n.up, _ = lpm.LookupPrefix(netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked())
		}
		if n.sub != nil {
			connect(n.sub)
		}
	}
}
