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
	// IPv4: its nodes, by prefix once the table is finished, and how they are found.
	nodes    []*node
	ranges   *ranges
	lpm      *bart.Table[*node] // IPv6
	size     int
	defaults int  // number of IPv4 routes of length 0 (tb_num_default)
	missing  bool // what it holds is not in the snapshot
}

// node is one destination prefix of a table, or in IPv6 one source prefix
// below a destination prefix.
type node struct {
	prefix netip.Prefix
	routes []route
	up     *node // next shorter prefix of the same trie
	// IPv6: sub holds the routes to this destination that have a source
	// prefix, owner leads back from there.
	sub    *bart.Table[*node]
	owner  *node
	choice []defaultChoice // IPv4 default routes: which one output takes
}

// route is a compiled route. Small, since there may be a million of them.
type route struct {
	hops     []hop // shared between routes that lead the same way
	multi    *multipath
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
	node    *node
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
	if t.ranges != nil {
		return t.ranges.lookup(a)
	}
	n, _ := t.lpm.Lookup(a)
	return n
}

// get4 returns a node of an IPv4 prefix to add a route to, before the table is
// finished. Routes of one prefix mostly come together; where they do not there are
// several nodes until then.
func (t *table) get4(p netip.Prefix) *node {
	if last := len(t.nodes) - 1; last >= 0 && t.nodes[last].prefix == p {
		return t.nodes[last]
	}
	n := newNode(p, nil)
	t.nodes = append(t.nodes, n)
	return n
}

// finish4 brings the nodes and their routes into order, and links them.
func (t *table) finish4() {
	byPrefix := func(a, b *node) int { return a.prefix.Compare(b.prefix) }
	if !slices.IsSortedFunc(t.nodes, byPrefix) { // as the kernel lists them
		slices.SortStableFunc(t.nodes, byPrefix)
	}
	kept := t.nodes[:0]
	for _, n := range t.nodes {
		if last := len(kept) - 1; last >= 0 && kept[last].prefix == n.prefix {
			kept[last].routes = append(kept[last].routes, n.routes...)
			continue
		}
		kept = append(kept, n)
	}
	clear(t.nodes[len(kept):])
	t.nodes = kept
	for _, n := range t.nodes {
		n.sort4()
		if n.prefix.Bits() == 0 && t.defaults > 1 {
			n.prepareDefaults(t.id)
		}
	}
	t.ranges = newRanges(t.nodes)
}

// nodeOf returns the node of a prefix, making it if needed.

func nodeOf(lpm *bart.Table[*node], p netip.Prefix, owner *node) *node {
	n, ok := lpm.Get(p)
	if !ok {
		n = newNode(p, owner)
		lpm.Insert(p, n)
	}
	return n
}

// newNode makes a node with room for one route beside it: most have no more, and
// a lookup then finds both in one place.
func newNode(p netip.Prefix, owner *node) *node {
	both := &struct {
		node
		first [1]route
	}{node: node{prefix: p, owner: owner}}
	both.routes = both.first[:0]
	return &both.node
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
