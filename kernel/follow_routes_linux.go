package kernel

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sort"

	"rpdb"
)

// routeTables are the routes of both families, each table in the order of
// [compareRoutes]; routes that it calls equal stand as the kernel tries them.
// Tables without routes are not there.
type routeTables struct {
	tables map[part]*lent[rpdb.Route]
	all    []rpdb.Route // of the last snapshot; tables that did not change since are parts of it
	same   bool         // none of them did
}

// give returns the routes for a snapshot: IPv4 first, the tables by number.
func (t *routeTables) give() []rpdb.Route {
	if t.same {
		return t.all
	}
	parts := slices.SortedFunc(maps.Keys(t.tables), func(a, b part) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.table, b.table))
	})
	n := 0
	for _, u := range parts {
		n += len(t.tables[u].items)
	}
	t.all, t.same = make([]rpdb.Route, 0, n), true
	for _, u := range parts {
		first := len(t.all)
		t.all = append(t.all, t.tables[u].items...)
		t.tables[u] = &lent[rpdb.Route]{items: slices.Clip(t.all[first:]), given: true}
	}
	return t.all
}

// set replaces a table.
func (t *routeTables) set(u part, routes []rpdb.Route) {
	t.same = false
	if len(routes) == 0 {
		delete(t.tables, u)
		return
	}
	t.tables[u] = &lent[rpdb.Route]{items: routes}
}

// compareRoutes orders routes by prefix, IPv4 TOS, source prefix and metric, which
// is how the kernel lists them but for source prefixes: sorting what it lists is
// quick. Routes that it calls equal have one key.
func compareRoutes(a, b rpdb.Route) int {
	if c := comparePrefixes(a.Family, a.Dst, b.Dst); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(b.TOS, a.TOS), comparePrefixes(a.Family, a.Src, b.Src), cmp.Compare(a.Metric, b.Metric))
}

// comparePrefixes puts a prefix behind the longer ones with its address, and in
// IPv6 behind all that it contains.
func comparePrefixes(f rpdb.Family, a, b netip.Prefix) int {
	switch {
	case a == b:
		return 0
	case f == rpdb.IPv6 && a.Overlaps(b), a.Addr() == b.Addr():
		return cmp.Compare(b.Bits(), a.Bits())
	}
	return a.Addr().Compare(b.Addr())
}

// route takes in a route. Which of several with one key was replaced or deleted,
// and where a new one stands among them, an event does not tell.
func (s *followed) route(r rpdb.Route, deleted, replaces bool) {
	s.switched(&r)
	u := tablePart(r.Family, r.Table)
	if s.open(u) {
		return
	}
	t := s.routes.tables[u]
	if t == nil {
		t = &lent[rpdb.Route]{}
	}
	at, n := 0, 0
	at = sort.Search(len(t.items), func(i int) bool { return compareRoutes(t.items[i], r) >= 0 })
	for at+n < len(t.items) && compareRoutes(t.items[at+n], r) == 0 {
		n++
	}
	switch {
	case !deleted && n == 0:
		t.own()
		t.items = slices.Insert(t.items, at, r)
	case !deleted && n == 1 && sameEntry(t.items[at], r):
		return
	case !deleted && n == 1 && replaces:
		t.own()
		t.items[at] = r
	case deleted && n == 1 && t.items[at].Equal(r):
		t.own()
		t.items = slices.Delete(t.items, at, at+1)
	default:
		s.dirty(u)
		return
	}
	s.changed, s.routes.same = true, false
	if len(t.items) == 0 {
		delete(s.routes.tables, u)
		return
	}
	s.routes.tables[u] = t
}

// switched tells from the route to ff00::/8, which each interface with IPv6 has,
// that IPv6 was switched on or off on one. Members of multipath routes die and come
// back with it, and nothing else may tell of that.
func (s *followed) switched(r *rpdb.Route) {
	if r.Type != rpdb.RouteMulticast || r.Protocol != rpdb.ProtocolKernel || r.Family != rpdb.IPv6 || len(r.Nexthops) != 1 {
		return
	}
	member := func(o *rpdb.Route) bool { return len(o.Nexthops) != 1 && leadsThrough(o, r.Nexthops[0].Link) }
	if s.touch(rpdb.IPv6, member) {
		s.dirty(part{class: classLinks})
	}
}

// touch has the tables of a family read that hold a route which may have changed
// without an event, and those that are being read, which may come to hold one. It
// reports whether there are any.
func (s *followed) touch(f rpdb.Family, affects func(*rpdb.Route) bool) (found bool) {
	all := tablePart(f, 0)
	if s.doing.classes.has(all.class) {
		s.dirty(all)
		return true
	}
	for u := range s.doing.tables {
		if u.class == all.class {
			s.dirty(u)
			found = true
		}
	}
	for u, t := range s.routes.tables {
		if u.class != all.class {
			continue
		}
		for i := range t.items {
			if affects(&t.items[i]) {
				s.dirty(u)
				found = true
				break
			}
		}
	}
	return found
}

// leadsThrough reports whether a route may lead through an interface. With
// nexthop_compat_mode off, the kernel does not say where one with a nexthop object
// leads.
func leadsThrough(r *rpdb.Route, i rpdb.LinkIndex) bool {
	for h := range r.Nexthops {
		if r.Nexthops[h].Link == i {
			return true
		}
	}
	return r.NexthopID != 0 && len(r.Nexthops) == 0
}

// putRoutes takes in the routes of a table, or of all tables of a family.
func (s *followed) putRoutes(u part, routes []rpdb.Route) {
	if u.table != 0 {
		s.putTable(u, routes)
		return
	}
	tables := map[part][]rpdb.Route{}
	for first := 0; first < len(routes); {
		of, end := tablePart(u.family(), routes[first].Table), first+1
		for end < len(routes) && routes[end].Table == routes[first].Table {
			end++
		}
		// IPv4's local and main tables may take turns in the list.
		if tables[of] == nil {
			tables[of] = routes[first:end:end]
		} else {
			tables[of] = append(tables[of], routes[first:end]...)
		}
		first = end
	}
	for known := range s.routes.tables {
		if known.class == u.class && tables[known] == nil {
			s.putTable(known, nil)
		}
	}
	for of, list := range tables {
		s.putTable(of, list)
	}
}

func (s *followed) putTable(u part, routes []rpdb.Route) {
	if !slices.IsSortedFunc(routes, compareRoutes) {
		slices.SortStableFunc(routes, compareRoutes)
	}
	var known []rpdb.Route
	if t := s.routes.tables[u]; t != nil {
		known = t.items
	}
	if !slices.EqualFunc(known, routes, sameEntry) {
		s.routes.set(u, routes)
		s.changed = true
	}
}
