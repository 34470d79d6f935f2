package oracle

import (
	"cmp"
	"net/netip"
	"slices"

	"rpdb"
)

// candidates4 are the routes of some tables that cover an address, in the
// order in which they are tried.
func (w world) candidates4(tables []rpdb.TableID, dst netip.Addr) (list []*rpdb.Route) {
	for i := range w.Routes {
		r := &w.Routes[i]
		if r.Family == rpdb.IPv4 && slices.Contains(tables, tableID(r)) && r.Dst.Masked().Contains(dst) {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b *rpdb.Route) int {
		return cmp.Or(cmp.Compare(b.Dst.Bits(), a.Dst.Bits()), cmp.Compare(tableID(b), tableID(a)),
			cmp.Compare(b.TOS, a.TOS), cmp.Compare(a.Metric, b.Metric))
	})
	return list
}

// table4 looks a table up, or two that are one trie: the first route that can
// be used and its first usable hop. A throw route is found as any other; no
// route at all is a miss.
func (w world) table4(tables []rpdb.TableID, p packet) answer {
	var skip netip.Addr // an unusable nexthop object ends all prefixes of its address
	for _, r := range w.candidates4(tables, p.Dst) {
		if r.Dst.Masked().Addr() == skip || r.TOS != 0 && r.TOS != p.TOS&0x1c {
			continue
		}
		switch routeType(r) {
		case rpdb.RouteThrow:
			return answer{route: r}
		case rpdb.RouteUnreachable:
			return answer{route: r, errno: rpdb.EHOSTUNREACH}
		case rpdb.RouteProhibit:
			return answer{route: r, errno: rpdb.EACCES}
		case rpdb.RouteBlackhole, rpdb.RouteNAT, rpdb.RouteXResolve:
			return answer{route: r, errno: rpdb.EINVAL}
		}
		if w.blackhole(r) {
			return answer{route: r, errno: rpdb.EINVAL}
		}
		hops, ok := w.nexthops(r)
		if !ok {
			return answer{route: r, unknown: true}
		}
		for _, n := range hops {
			if !w.dead(n, r) && !w.ignored(n, r) && (p.OIF == "" || p.OIF == w.LinkName(n.Link)) {
				return answer{route: r, hop: n}
			}
		}
		if r.NexthopID != 0 {
			skip = r.Dst.Masked().Addr()
		}
	}
	return answer{}
}

// choose4 picks the path after the walk.
func (w world) choose4(a answer, p packet) answer {
	hops, _ := w.nexthops(a.route)
	switch {
	case p.OIF != "":
	case len(hops) > 1:
		a.hop, a.either = w.multipath4(a, hops, p)
	case p.output && a.route.Dst.Bits() == 0 && routeType(a.route) == rpdb.RouteUnicast:
		return w.default4(a, p)
	}
	return a
}

func (w world) multipath4(a answer, hops []rpdb.Nexthop, p packet) (rpdb.Nexthop, []rpdb.Hop) {
	group := a.route.NexthopID != 0
	hash, ok := w.hash(p)
	usable := func(n rpdb.Nexthop) bool {
		i := slices.Index(hops, n)
		return w.share(a.route, hops, i) >= 0 && (w.sane(n) || !group && !w.Sysctls.UseNeigh)
	}
	pinned := func(n rpdb.Nexthop) bool {
		return p.output && !p.sourceless() && !group && w.address4(n, a.route.Scope) == p.Src
	}
	able := filter(hops, usable)
	if some := filter(able, pinned); len(some) > 0 {
		able = some
	}
	switch {
	case ok && !w.resilient(a.route) && group:
		return w.member(a.route, hops, hash), nil
	case ok && !w.resilient(a.route):
		for _, n := range able {
			if hash <= w.share(a.route, hops, slices.Index(hops, n)) {
				return n, nil
			}
		}
	case len(able) > 1:
		return able[0], w.choices(able)
	}
	if group {
		able = append(able, hops[0])
	}
	if len(able) > 0 {
		return able[0], nil
	}
	return a.hop, nil
}

// default4 picks one of several default routes by the state of their gateways.
// All results are collected that some earlier choice may lead to.
func (w world) default4(a answer, p packet) answer {
	tables := []rpdb.TableID{a.table}
	defaults := 0
	for i := range w.Routes {
		r := &w.Routes[i]
		if r.Family == rpdb.IPv4 && tableID(r) == a.table && r.Dst.Bits() == 0 {
			defaults++
		}
	}
	if defaults < 2 {
		return a
	}
	group := w.group4(w.candidates4(tables, netip.IPv4Unspecified()), a.route, p)
	if len(group) < 2 {
		return a
	}
	var chosen []*rpdb.Route
	if a.table == rpdb.TableLocal {
		chosen = group[:1:1] // the kernel may have lost count of them, and not choose
	}
	for last := -1; last < len(group); last++ {
		if r := w.pick4(group, last); !slices.Contains(chosen, r) {
			chosen = append(chosen, r)
		}
	}
	hops, _ := w.nexthops(chosen[0])
	a.route, a.hop, a.either = chosen[0], hops[0], nil
	if len(chosen) == 1 {
		return a
	}
	a.turns = chosen
	for _, r := range chosen {
		hops, _ := w.nexthops(r)
		a.either = append(a.either, w.hop(hops[0]))
	}
	return a
}

// group4 lists the routes that are compared with the one found.
func (w world) group4(all []*rpdb.Route, first *rpdb.Route, p packet) (group []*rpdb.Route) {
	metric, tos := first.Metric, uint8(0)
	for _, r := range all {
		if r.Dst.Bits() != 0 || r.TOS != 0 && r.TOS != p.TOS&0x1c {
			continue
		}
		if r.Metric > metric && r.TOS == tos {
			if tos == 0 {
				return group
			}
			continue
		}
		hops, _ := w.nexthops(r)
		if len(filter(hops, func(n rpdb.Nexthop) bool { return !w.dead(n, r) })) == 0 {
			continue
		}
		metric, tos = r.Metric, r.TOS
		if r.Scope != first.Scope || routeType(r) != rpdb.RouteUnicast || !w.hop(hops[0]).Via.IsValid() {
			continue
		}
		if len(group) == 0 && r != first {
			return nil
		}
		group = append(group, r)
	}
	return group
}

// pick4 picks from a group, knowing what was picked last.
func (w world) pick4(group []*rpdb.Route, last int) *rpdb.Route {
	resort := -1
	for i, r := range group {
		hops, _ := w.nexthops(r)
		state := w.neighbour(hops[0])
		if state == 0 || state == rpdb.NeighbourReachable {
			return r
		}
		if state.Valid() && i != last {
			return r
		}
		if state.Valid() {
			resort = i
		} else if resort < 0 && i > last && state != rpdb.NeighbourIncomplete {
			resort = i
		}
	}
	return group[max(resort, 0)]
}
