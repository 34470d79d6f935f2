package fib

import (
	"net/netip"

	"rpdb"
)

// compiler holds what only compilation needs.
type compiler struct {
	*FIB
	objects    map[uint32]rpdb.NexthopObject
	neighbours map[neighbourKey]rpdb.NeighbourState
	hops       map[hopKey][]hop
	routes     map[routeKey]*route
	numbered   []*route            // of each family's, by number; none has number 0
	users      map[uint32][]uint32 // objects of IPv6 routes, to their nexthops
	lengths    map[uint32]span     // of the IPv6 routes by a nexthop
}

// span is a range of prefix lengths.
type span struct{ min, max int }

type neighbourKey struct {
	link rpdb.LinkIndex
	addr netip.Addr
}

// routeKey tells routes of at most one nexthop apart.
type routeKey struct {
	traits
	nexthop rpdb.Nexthop
	hops    int
	v6      bool
}

// hopKey tells nexthops of single-hop routes apart that differ for lookups;
// routes with the same one share it.
type hopKey struct {
	nexthop rpdb.Nexthop
	scope   rpdb.Scope
	typ     rpdb.RouteType
	v6      bool
}

func newCompiler(f *FIB) compiler {
	return compiler{
		FIB: f, objects: map[uint32]rpdb.NexthopObject{}, neighbours: map[neighbourKey]rpdb.NeighbourState{},
		hops: map[hopKey][]hop{}, routes: map[routeKey]*route{}, numbered: []*route{nil}, users: map[uint32][]uint32{}, lengths: map[uint32]span{},
	}
}

func (c *compiler) index(s *rpdb.Snapshot) {
	for _, o := range s.Nexthops {
		c.objects[o.ID] = o
	}
	for _, n := range s.Neighbours {
		c.neighbours[neighbourKey{n.Link, n.Addr.WithZone("")}] = n.State
	}
}

// addRoute puts a route into its table.
func (c *compiler) addRoute(in *rpdb.Route) {
	rs := &c.v4
	switch {
	case in.Family == rpdb.IPv6:
		rs = &c.v6
	case in.Family != rpdb.IPv4:
		return
	}
	if !in.Dst.IsValid() || in.Dst.Addr().BitLen() != in.Family.Bits() {
		return
	}
	r := c.route(in)
	if rs.v6 && r.nhid != 0 {
		c.noteObject(r, in.Dst.Bits())
	}
	t := rs.tableFor(r.table)
	t.size++
	if in.Dst.Bits() == 0 && r.table == t.id {
		t.defaults++
	}
	if !rs.v6 {
		c.noteRoute4(r, in)
	}
	p := placed{in.Dst.Masked(), r}
	if src := selective(in.Src); rs.v6 && src.IsValid() {
		t.sourced = append(t.sourced, sourced{p, src})
		p.route = nil
	}
	t.pending = append(t.pending, p)
}

// noteObject notes the prefix length of an IPv6 route under all nexthops of its
// object.
func (c *compiler) noteObject(r *route, length int) {
	c.users[r.nhid] = nil
	for _, id := range c.members(r.nhid) {
		was, seen := c.lengths[id]
		if !seen {
			was = span{length, length}
		}
		c.lengths[id] = span{min(was.min, length), max(was.max, length)}
		c.users[r.nhid] = append(c.users[r.nhid], id)
	}
}

// members returns the ids of the nexthops that an object leads to.
func (c *compiler) members(id uint32) []uint32 {
	group := c.objects[id].Group
	if len(group) == 0 {
		return []uint32{id}
	}
	var ids []uint32
	for _, m := range group {
		ids = append(ids, m.ID)
	}
	return ids
}

// noteShared works out, for every object that IPv6 routes use, the range of
// prefix lengths of all routes that share a nexthop with it.
func (c *compiler) noteShared() {
	c.shared = make(map[uint32]span, len(c.users))
	for id, members := range c.users {
		all := c.lengths[members[0]]
		for _, m := range members[1:] {
			all = span{min(all.min, c.lengths[m].min), max(all.max, c.lengths[m].max)}
		}
		c.shared[id] = all
	}
}

// noteRoute4 notes what makes incoming packets subject to the full check of
// their source.
func (c *compiler) noteRoute4(r *route, in *rpdb.Route) {
	c.realms = c.realms || r.realms != 0
	for i := range r.hops {
		c.realms = c.realms || r.hops[i].nexthop.Realms != 0
	}
	c.customLocal = c.customLocal || r.typ == rpdb.RouteLocal && in.Protocol != rpdb.ProtocolKernel
}

// newTraits copies a route without its nexthops, with the values that the
// kernel puts for those left out.
func newTraits(in *rpdb.Route) traits {
	r := traits{
		table: in.Table, metric: in.Metric, nhid: in.NexthopID, realms: in.Realms, prefsrc: in.PrefSrc,
		typ: in.Type, tos: in.TOS, scope: in.Scope, protocol: in.Protocol, pref: in.Pref,
	}
	if r.table == rpdb.TableUnspec {
		r.table = rpdb.TableMain
	}
	if r.typ == 0 {
		r.typ = rpdb.RouteUnicast
	}
	if in.Family == rpdb.IPv6 && r.metric == 0 && r.protocol != rpdb.ProtocolKernel {
		r.metric = 1024
	}
	return r
}

// route compiles a route, or returns the one that there is already.
func (c *compiler) route(in *rpdb.Route) *route {
	v6, t := in.Family == rpdb.IPv6, newTraits(in)
	nexthops, resilient := c.expand(&t, in)
	if v6 && (t.typ.IsError() || t.typ == rpdb.RouteThrow) {
		// Error routes of IPv6 lead to the loopback interface.
		nexthops = []rpdb.Nexthop{{Link: loopback}}
	}
	if len(nexthops) > 1 {
		r := &route{traits: t}
		for _, n := range nexthops {
			h := c.newHop(n, &t, v6)
			r.hops, r.unsure = append(r.hops, h), r.unsure || h.unsure
		}
		setBounds(r.hops, r.nhid != 0)
		r.multi = c.newMultipath(r, v6, resilient)
		return r
	}
	key := routeKey{traits: t, hops: len(nexthops), v6: v6}
	if len(nexthops) == 1 {
		key.nexthop = nexthops[0]
	}
	r := c.routes[key]
	if r == nil {
		r = &route{traits: t, number: uint32(len(c.numbered))}
		if len(nexthops) == 1 {
			r.hops = c.hop(nexthops[0], &t, v6)
			r.unsure = r.hops[0].unsure
		}
		c.routes[key], c.numbered = r, append(c.numbered, r)
	}
	return r
}

// hop compiles the nexthop of a route that has one, or returns the one that there
// is already.
func (c *compiler) hop(n rpdb.Nexthop, t *traits, v6 bool) []hop {
	key := hopKey{n, t.scope, t.typ, v6}
	if c.hops[key] == nil {
		c.hops[key] = []hop{c.newHop(n, t, v6)}
	}
	return c.hops[key]
}

// expand returns the nexthops of a route: what its nexthop object leads to if
// that is in the snapshot, else what was read with the route.
func (c *compiler) expand(r *traits, in *rpdb.Route) (nexthops []rpdb.Nexthop, resilient bool) {
	if r.nhid == 0 {
		return in.Nexthops, false
	}
	object, ok := c.objects[r.nhid]
	switch {
	case !ok:
		r.blind = len(in.Nexthops) == 0
		return in.Nexthops, false
	case object.Blackhole:
		r.hole = true
		return in.Nexthops, false
	case len(object.Group) == 0:
		return []rpdb.Nexthop{object.Nexthop}, false
	}
	for _, m := range object.Group {
		member, ok := c.objects[m.ID]
		if !ok {
			r.blind = len(in.Nexthops) == 0
			return in.Nexthops, object.GroupType != 0
		}
		n := member.Nexthop
		n.Weight = m.Weight
		nexthops = append(nexthops, n)
		r.hole = r.hole || member.Blackhole
	}
	return nexthops, object.GroupType != 0
}

func (c *compiler) newHop(n rpdb.Nexthop, r *traits, v6 bool) hop {
	h := hop{nexthop: n, link: c.byIndex[n.Link], via: n.Via}
	ignore, noCarrier := false, n.Flags&rpdb.NexthopLinkdown != 0
	if l := h.link; l != nil {
		ignore = l.ignore4 && !v6 || l.ignore6 && v6 || l.ignoresLinkdown(n, v6)
		// A route planned, not read, does not carry the flag yet. Local
		// routes never do.
		noCarrier = noCarrier || l.IsUp() && !l.HasCarrier() && !r.isLocal()
		h.unsure = noCarrier && l.unsureOf(n, v6)
	}
	h.ignored = ignore && noCarrier
	// The kernel also lists an ignored link without carrier as dead.
	h.dead = n.Flags&rpdb.NexthopDead != 0 && !h.ignored
	if n.Via.IsValid() {
		h.neighbour = c.neighbours[neighbourKey{n.Link, n.Via.WithZone("")}]
	}
	if v6 {
		h.program = realmOfProgram(n)
	} else {
		if n.Via.Is4() && c.local4[n.Via] {
			h.via = netip.Addr{}
		}
		h.src, h.srcBy = c.selectAddr4(h.link, gateway4(n.Via), r.scope)
	}
	return h
}

// realmOfProgram is the realm that an IPv6 nexthop gives to packets: none of its
// own, which the family does not have, but that of the copy whose program it
// carries.
func realmOfProgram(n rpdb.Nexthop) rpdb.Realms {
	if n.EncapType == 0 {
		return 0
	}
	table, _ := n.CopyTable()
	realm, _ := rpdb.RealmOfCopy(table)
	return rpdb.NewRealms(0, realm)
}

// isLocal reports whether the route delivers to this host.
func (r *traits) isLocal() bool { return isLocal6(r.typ) || r.scope == rpdb.ScopeHost }

// gateway4 is the gateway as the source selection of IPv4 reads it: of an IPv6
// gateway, the first four bytes.
func gateway4(via netip.Addr) netip.Addr {
	if !via.Is6() {
		return via
	}
	b := via.As16()
	return netip.AddrFrom4([4]byte(b[:4]))
}

// finish brings the routes of all tables into order and links the nodes.
func (c *compiler) finish(rs *ruleset) {
	for _, t := range rs.tables {
		t.numbered = c.numbered
		t.finish(rs.v6)
	}
	if rs.merged != nil {
		rs.merged.numbered = c.numbered
		rs.merged.finish(rs.v6)
	}
}

func (t *table) finish(v6 bool) {
	if !v6 {
		t.finish4()
		return
	}
	t.finish6()
}

func (n *node) sortSources() {
	for _, s := range n.sub.All() {
		s.sort6()
	}
}
