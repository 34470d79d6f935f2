package fib

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"rpdb"
)

// table is one routing table of one family. The structure of a table is a
// longest-prefix-match trie of nodes; each node knows the next shorter prefix,
// so that going on after an unusable route needs no second search.
type table struct {
	id       rpdb.TableID
	lpm      *bart.Table[*node]
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

// get returns the node of a prefix, making it if needed.
func (t *table) get(p netip.Prefix) *node { return nodeOf(t.lpm, p, nil) }

func nodeOf(lpm *bart.Table[*node], p netip.Prefix, owner *node) *node {
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
