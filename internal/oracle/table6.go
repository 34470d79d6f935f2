package oracle

import (
	"cmp"
	"net/netip"
	"slices"

	"rpdb"
)

// place is a destination and source prefix of an IPv6 table.
type place struct{ dst, src netip.Prefix }

// places lists where routes for a packet may stand, in the order of search:
// the longest destination first, in it the longest source, plain routes last.
// At the start, a destination with source routes of which none fits is left
// out, unless it is the default.
func (w world) places(table rpdb.TableID, p packet) (list []place) {
	sourced, fits := map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
	for i := range w.Routes {
		r := &w.Routes[i]
		if r.Family != rpdb.IPv6 || tableID(r) != table || !r.Dst.Masked().Contains(p.Dst) {
			continue
		}
		at := place{dst: r.Dst.Masked()}
		if r.Src.IsValid() && r.Src.Bits() > 0 {
			at.src = r.Src.Masked()
			sourced[at.dst] = true
			if !at.src.Contains(p.source()) {
				continue
			}
			fits[at.dst] = true
		}
		if !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	slices.SortFunc(list, func(a, b place) int {
		return cmp.Or(cmp.Compare(b.dst.Bits(), a.dst.Bits()), cmp.Compare(b.src.Bits(), a.src.Bits()))
	})
	for len(list) > 0 && sourced[list[0].dst] && !fits[list[0].dst] && list[0].dst.Bits() > 0 {
		list = list[1:]
	}
	return list
}

// table6 looks a table up. A throw route is found as any other; no route at
// all is a miss.
func (w world) table6(table rpdb.TableID, p packet) answer {
	places := w.places(table, p)
	careful := []bool{false}
	if !w.Sysctls.IPv6Forward {
		careful = []bool{true, false}
	}
	for _, reach := range careful {
		for _, at := range places {
			routes := w.at(table, at)
			same := func(r *rpdb.Route) bool { return metric6(r) == metric6(routes[0]) }
			n := 0
			for n < len(routes) && same(routes[n]) {
				n++
			}
			for _, group := range [][]*rpdb.Route{routes[:n], routes[n:]} {
				if a, ok := w.best6(group, p, reach); ok {
					return a
				}
			}
		}
	}
	return answer{}
}

// at returns the routes that stand at a place, by metric.
func (w world) at(table rpdb.TableID, at place) (list []*rpdb.Route) {
	for i := range w.Routes {
		r := &w.Routes[i]
		src := netip.Prefix{}
		if r.Src.IsValid() && r.Src.Bits() > 0 {
			src = r.Src.Masked()
		}
		if r.Family == rpdb.IPv6 && tableID(r) == table && r.Dst.Masked() == at.dst && src == at.src {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b *rpdb.Route) int { return cmp.Compare(metric6(a), metric6(b)) })
	return list
}

func metric6(r *rpdb.Route) uint32 {
	if r.Metric == 0 && r.Protocol != rpdb.ProtocolKernel {
		return 1024
	}
	return r.Metric
}

// best6 takes the route of the highest score.
func (w world) best6(routes []*rpdb.Route, p packet, reach bool) (a answer, ok bool) {
	best := -1
	for _, r := range routes {
		if w.blackhole(r) {
			return answer{route: r, errno: rpdb.EINVAL}, true
		}
		hops, known := w.nexthops(r)
		if !known {
			return answer{route: r, unknown: true}, true
		}
		for _, n := range hops {
			score := w.score6(r, n, p, reach)
			if w.dead(n, r) || w.ignored(n, r) || score <= best {
				continue
			}
			best, a = score, answer{route: r, hop: n}
			if r.NexthopID != 0 {
				break
			}
		}
	}
	if a.route == nil {
		return a, false
	}
	switch a.route.Type {
	case rpdb.RouteBlackhole:
		a.errno = rpdb.EINVAL
	case rpdb.RouteUnreachable:
		a.errno = rpdb.EHOSTUNREACH
	case rpdb.RouteProhibit:
		a.errno = rpdb.EACCES
	case rpdb.RouteThrow:
	default:
		a.hop, a.either = w.multipath6(a, p)
	}
	return a, true
}

// score6 rates a nexthop, -1: not to be used.
func (w world) score6(r *rpdb.Route, n rpdb.Nexthop, p packet, reach bool) int {
	score := map[rpdb.RouterPreference]int{rpdb.PreferenceLow: 4, rpdb.PreferenceMedium: 8, rpdb.PreferenceHigh: 12}[r.Pref]
	switch {
	case p.prefer == "" || p.prefer == w.LinkName(n.Link):
		score += 2
	case p.strict:
		return -1
	}
	if reach && w.neighbour(n) == rpdb.NeighbourFailed {
		return -1
	}
	return score
}

func (w world) multipath6(a answer, p packet) (rpdb.Nexthop, []rpdb.Hop) {
	hops, _ := w.nexthops(a.route)
	if len(hops) < 2 {
		return a.hop, nil
	}
	group, reach := a.route.NexthopID != 0, !w.Sysctls.IPv6Forward
	hash, ok := w.hash(p)
	ok = ok && !w.resilient(a.route)
	if ok && group {
		return w.member(a.route, hops, hash), nil
	}
	if !ok {
		able := filter(hops, func(n rpdb.Nexthop) bool {
			if group {
				return w.sane(n)
			}
			return w.share(a.route, hops, slices.Index(hops, n)) >= 0 && w.score6(a.route, n, p, reach) >= 0
		})
		switch {
		case len(able) > 1 && group:
			return able[0], w.choices(able)
		case len(able) > 1:
			return a.hop, w.choices(able)
		case group:
			return append(able, hops[0])[0], nil
		}
		return a.hop, nil
	}
	for i, n := range hops {
		if hash > w.share(a.route, hops, i) {
			continue
		}
		if w.score6(a.route, n, p, reach) >= 0 {
			return n, nil
		}
		break
	}
	return a.hop, nil
}
