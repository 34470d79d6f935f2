package bundle

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
	"rpdb/format/iptext"
)

// tableState is a table with its routes in their order.
type tableState struct {
	routes []placedRoute
	last   map[rpdb.RouteKey]int32 // of the routes with a key, by its place from 1
	before []int32                 // of each route, the one of its key before it; 0: none
}

// placedRoute is a route and where it stands.
type placedRoute struct {
	rpdb.Route
	entry iptext.Entry
}

func (t *tableState) has(r rpdb.Route) bool {
	for i := t.last[r.Key()]; i != 0; i = t.before[i-1] {
		if t.routes[i-1].Equal(r) {
			return true
		}
	}
	return false
}

// add puts a route behind the others unless it is there: no table holds one
// twice, and listings may follow each other.
func (t *tableState) add(r placedRoute) {
	if t.has(r.Route) {
		return
	}
	if t.last == nil {
		t.last = map[rpdb.RouteKey]int32{}
	}
	key := r.Key()
	t.routes, t.before = append(t.routes, r), append(t.before, t.last[key])
	t.last[key] = int32(len(t.routes))
}

// readRoutes takes a section of routes.
func (b *builder) readRoutes(s iptext.Section) error {
	only := rpdb.TableUnspec
	if s.Command.Table != "" {
		t, ok := b.names.TableByName(s.Command.Table)
		if !ok {
			return &iptext.Error{Line: s.Command.Line, Column: 1, Text: s.Command.Table, Reason: UnknownTable}
		}
		only = t
	}
	found := map[rpdb.TableRef]*tableState{}
	var order []rpdb.TableRef
	for _, e := range s.Entries {
		routes, err := b.parseRoutes(s, e)
		if err != nil {
			return err
		}
		for _, r := range routes {
			if only != 0 {
				r.Table = only
			}
			ref := rpdb.TableRef{Family: r.Family, Table: r.Table}
			if found[ref] == nil {
				found[ref] = &tableState{}
				order = append(order, ref)
			}
			found[ref].add(placedRoute{r, e})
		}
	}
	b.cover(s.Command, only, order)
	for _, ref := range order {
		if err := b.addTable(ref, found[ref]); err != nil {
			return err
		}
	}
	return nil
}

// cover notes which tables a listing is of: as the command says, or if there is
// none, all if it shows others than main, for then it is of no single one.
func (b *builder) cover(c iptext.Command, only rpdb.TableID, found []rpdb.TableRef) {
	if c.Line != 0 {
		for _, f := range rpdb.Families() {
			switch {
			case c.All && (c.Family == 0 || c.Family == f):
				b.all[f] = true
			case !c.All && (c.Family == f || c.Family == 0 && f == rpdb.IPv4):
				b.covered[rpdb.TableRef{Family: f, Table: cmp.Or(only, rpdb.TableMain)}] = true
			}
		}
		return
	}
	for _, ref := range found {
		b.covered[ref] = true
		if ref.Table != rpdb.TableMain {
			b.all[ref.Family] = true
		}
	}
}

// addTable takes a table of a section; if it was listed before, it must be the
// same.
func (b *builder) addTable(ref rpdb.TableRef, t *tableState) error {
	const reason = "the table is listed twice, and not alike"
	was := b.tables[ref]
	if was == nil {
		b.tables[ref] = t
		b.order = append(b.order, ref)
		return nil
	}
	for _, r := range t.routes {
		if !was.has(r.Route) {
			return r.entry.FailWord("", reason)
		}
	}
	for _, r := range was.routes {
		if !t.has(r.Route) {
			return r.entry.FailWord("", reason)
		}
	}
	return nil
}

func (b *builder) routeContext(f rpdb.Family) iproute2.RouteContext {
	return iproute2.RouteContext{Family: f, Names: b.names, LinkIndex: func(name rpdb.LinkName) (rpdb.LinkIndex, bool) {
		return b.link(name), name != "*"
	}}
}

// isOver reports whether a route is listed though its life time is over: no packet
// takes it any more.
func isOver(entry iproute2.RouteEntry) bool {
	cache, _ := entry.Cache.Get()
	return cache.Expires < 0
}

// parseRoutes reads the routes of an entry.
func (b *builder) parseRoutes(s iptext.Section, e iptext.Entry) ([]rpdb.Route, error) {
	c := b.routeContext(s.Command.Family)
	if !s.JSON {
		entry, err := c.ParseListing(strings.TrimRight(e.Text, "\n"))
		if err != nil {
			return nil, failed(e, err)
		}
		r, err := whole(e, entry)
		if err == nil && r.NexthopID == 0 && isCutList(e.Text) {
			err = e.FailWord("", "the route stops short: it has a list of one nexthop")
		}
		if isOver(entry) {
			return nil, err
		}
		return []rpdb.Route{r}, err
	}
	var routes []rpdb.Route
	err := ipjson.ReadTrees([]byte(e.Text), func() ipjson.Tree { return iproute2.NewRouteBuilder(c) }, func(t ipjson.Tree) error {
		entry, err := t.(*iproute2.RouteBuilder).Entry()
		if err != nil {
			return err
		}
		r, err := whole(e, entry)
		if !isOver(entry) {
			routes = append(routes, r)
		}
		return err
	})
	if at := (*iptext.Error)(nil); asError(err, &at) {
		return nil, at
	}
	if err != nil {
		return nil, failed(e, err)
	}
	return routes, nil
}

// isCutList reports whether a text has a list of nexthops with a single one,
// which ip lists in the line of the route.
func isCutList(text string) bool {
	members := 0
	for _, word := range strings.Fields(text) {
		if word == "nexthop" {
			members++
		}
	}
	return members == 1
}

// whole checks that an entry is a route of a table, and all of it.
func whole(e iptext.Entry, entry iproute2.RouteEntry) (rpdb.Route, error) {
	r := entry.Route
	const cloned = 0x200 // RTM_F_CLONED
	switch {
	case entry.Deleted:
		return r, e.FailWord("", "a route that was deleted is none")
	case entry.RouteDetails.Flags&cloned != 0:
		return r, e.FailWord("", "an answer of \"ip route get\" is no route")
	case r.Type.IsError() || r.Type == rpdb.RouteThrow || r.NexthopID != 0:
		return r, nil
	}
	for _, n := range r.Nexthops {
		if n.Link == 0 && n.Flags&rpdb.NexthopDead == 0 && n.EncapType == 0 {
			return r, e.FailWord("", "the route stops short: it leads to no interface")
		}
	}
	if len(r.Nexthops) == 0 {
		return r, e.FailWord("", "the route stops short: it leads nowhere")
	}
	return r, nil
}

// finishRoutes puts the routes into the snapshot, and says which tables are not
// known.
func (b *builder) finishRoutes() {
	for _, f := range rpdb.Families() {
		for _, ref := range b.order {
			for _, r := range b.tables[ref].routes {
				if ref.Family == f {
					b.snap.Routes = append(b.snap.Routes, r.Route)
				}
			}
		}
		b.missingTables(f)
	}
}

func (b *builder) missingTables(f rpdb.Family) {
	if b.all[f] {
		b.missingLocal(f)
		return
	}
	covered := false
	for ref := range b.covered {
		covered = covered || ref.Family == f
	}
	if !covered {
		part := rpdb.PartRoutes4
		if f == rpdb.IPv6 {
			part = rpdb.PartRoutes6
		}
		b.snap.Missing |= part
		if !b.assumesRules(f) {
			b.assume("no %v routes (ip %sroute show table all): every decision is unknown", f, map[rpdb.Family]string{rpdb.IPv6: "-6 "}[f])
		} else {
			b.assume("nothing about %v: every decision is unknown", f)
		}
		return
	}
	var missing []string
	for _, t := range b.asked(f) {
		ref := rpdb.TableRef{Family: f, Table: t}
		switch {
		case b.covered[ref]:
		case t == rpdb.TableLocal && b.addresses[familyIndex(f)]:
			b.deriveLocal(f)
		default:
			b.snap.MissingTables = append(b.snap.MissingTables, ref)
			missing = append(missing, b.names.Table(t))
		}
	}
	if len(missing) > 0 {
		b.assume("%v tables not listed (ip %sroute show table all): %s: decisions that ask them are unknown", f,
			map[rpdb.Family]string{rpdb.IPv6: "-6 "}[f], strings.Join(missing, ", "))
	}
}

// missingLocal finds that a listing of all tables was cut off between two lines,
// as far as that shows: table local comes late in it, and has every address of
// the host that is up.
func (b *builder) missingLocal(f rpdb.Family) {
	local := rpdb.TableRef{Family: f, Table: rpdb.TableLocal}
	switch {
	case !b.lacksOwn(f, b.tables[local] == nil):
	case b.tables[local] == nil && b.addresses[familyIndex(f)]:
		b.deriveLocal(f)
	default:
		b.snap.MissingTables = append(b.snap.MissingTables, local)
		b.assume("%v table local lacks addresses of this host: the listing of routes may be cut off, and decisions that ask the table are unknown", f)
	}
}

// lacksOwn reports whether there are routes that the kernel has made for an
// address and none to that address itself, or, with all, any routes.
func (b *builder) lacksOwn(f rpdb.Family, all bool) bool {
	own := map[netip.Addr]bool{}
	var wanted []netip.Addr
	for ref, t := range b.tables {
		if ref.Family != f {
			continue
		}
		for _, r := range t.routes {
			switch {
			case all:
				return true
			case r.Type == rpdb.RouteLocal:
				own[r.Dst.Addr()] = true
			case r.Protocol == rpdb.ProtocolKernel && r.PrefSrc.IsValid():
				wanted = append(wanted, r.PrefSrc)
			}
		}
	}
	return slices.ContainsFunc(wanted, func(a netip.Addr) bool { return !own[a] })
}

// asked returns the tables that rules and VRFs lead to, and that of the host's
// own addresses, in order.
func (b *builder) asked(f rpdb.Family) []rpdb.TableID {
	list := []rpdb.TableID{rpdb.TableLocal, rpdb.TableMain}
	for _, r := range b.snap.Rules {
		if t := r.Action.Table(); r.Family == f && t != 0 {
			list = append(list, t)
		}
	}
	for _, l := range b.links {
		list = append(list, l.VRFTable, l.table)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(t rpdb.TableID) bool { return t == 0 })
}

// deriveLocal puts the routes into table local that the kernel makes for the
// addresses of interfaces that are up.
func (b *builder) deriveLocal(f rpdb.Family) {
	b.assume("%v table local is not listed: taken to hold what the kernel makes of the addresses", f)
	for _, a := range b.snap.Addresses {
		st := b.links[a.Link]
		if rpdb.FamilyOf(a.Prefix.Addr()) != f || st.known && !st.IsUp() {
			continue
		}
		b.snap.Routes = append(b.snap.Routes, localRoutes(a)...)
	}
	if f == rpdb.IPv4 {
		return
	}
	for _, i := range b.indices() {
		if st := b.links[i]; !st.IsLoopback() && (!st.known || st.IsUp()) {
			b.snap.Routes = append(b.snap.Routes, rpdb.Route{
				Family: f, Table: rpdb.TableLocal, Dst: netip.MustParsePrefix("ff00::/8"), Type: rpdb.RouteMulticast,
				Metric: 256, Protocol: rpdb.ProtocolKernel, Nexthops: []rpdb.Nexthop{{Link: i}},
			})
		}
	}
}

// localRoutes returns the routes of table local for an address (fib_add_ifaddr,
// addrconf_dst_alloc).
func localRoutes(a rpdb.Address) []rpdb.Route {
	addr := a.Prefix.Addr()
	own := rpdb.Route{
		Family: rpdb.FamilyOf(addr), Table: rpdb.TableLocal, Dst: netip.PrefixFrom(addr, addr.BitLen()), Type: rpdb.RouteLocal,
		Protocol: rpdb.ProtocolKernel, Nexthops: []rpdb.Nexthop{{Link: a.Link}},
	}
	if addr.Is6() {
		return []rpdb.Route{own}
	}
	own.Scope, own.PrefSrc = rpdb.ScopeHost, addr
	routes := []rpdb.Route{own}
	if a.Flags&rpdb.AddressSecondary != 0 || a.Peer.IsValid() {
		return routes
	}
	if addr.IsLoopback() {
		net := own
		net.Dst = a.Prefix.Masked()
		routes = append(routes, net)
	}
	if a.Prefix.Bits() < 31 {
		last := a.Prefix.Masked().Addr().As4()
		for i := a.Prefix.Bits(); i < 32; i++ {
			last[i/8] |= 0x80 >> (i % 8)
		}
		all := own
		all.Dst, all.Type, all.Scope = netip.PrefixFrom(netip.AddrFrom4(last), 32), rpdb.RouteBroadcast, rpdb.ScopeLink
		routes = append(routes, all)
	}
	return routes
}
