package oracle

import (
	"slices"

	"rpdb"
)

// nexthops returns where a route leads, through its nexthop object if it has
// one. Not ok: the object is not in the snapshot.
func (w world) nexthops(r *rpdb.Route) (hops []rpdb.Nexthop, ok bool) {
	if r.Family == rpdb.IPv6 && (r.Type.IsError() || r.Type == rpdb.RouteThrow) {
		return []rpdb.Nexthop{{Link: 1}}, true
	}
	o, found := w.object(r.NexthopID)
	switch {
	case r.NexthopID == 0:
		return r.Nexthops, true
	case !found:
		return r.Nexthops, len(r.Nexthops) > 0
	case len(o.Group) == 0:
		return []rpdb.Nexthop{o.Nexthop}, true
	}
	for _, m := range o.Group {
		member, found := w.object(m.ID)
		if !found {
			return r.Nexthops, len(r.Nexthops) > 0
		}
		member.Nexthop.Weight = m.Weight
		hops = append(hops, member.Nexthop)
	}
	return hops, true
}

func (w world) object(id uint32) (rpdb.NexthopObject, bool) {
	for _, o := range w.Nexthops {
		if o.ID == id {
			return o, true
		}
	}
	return rpdb.NexthopObject{}, false
}

// blackhole reports whether the route's nexthop object drops packets.
func (w world) blackhole(r *rpdb.Route) bool {
	o, ok := w.object(r.NexthopID)
	if !ok {
		return false
	}
	hole := o.Blackhole
	for _, m := range o.Group {
		member, _ := w.object(m.ID)
		hole = hole || member.Blackhole
	}
	return hole
}

// ignored reports whether a nexthop has no carrier and its interface says to
// ignore such ones.
func (w world) ignored(n rpdb.Nexthop, r *rpdb.Route) bool {
	l, _ := w.Link(n.Link)
	y := w.Sysctls.Links[l.Name]
	ignore := y.IgnoreLinkdown6
	if r.Family == rpdb.IPv4 {
		ignore = y.IgnoreLinkdown4 || w.Sysctls.All.IgnoreLinkdown4
	}
	local := r.Type == rpdb.RouteLocal || r.Type == rpdb.RouteAnycast || r.Scope == rpdb.ScopeHost
	down := n.Flags&rpdb.NexthopLinkdown != 0 || !local && l.IsUp() && !l.HasCarrier()
	return ignore && down && l.Index != 0
}

func (w world) dead(n rpdb.Nexthop, r *rpdb.Route) bool {
	return n.Flags&rpdb.NexthopDead != 0 && !w.ignored(n, r)
}

// sane reports whether the neighbour of a nexthop is not known to be missing.
func (w world) sane(n rpdb.Nexthop) bool {
	state := w.neighbour(n)
	return state == 0 || state.Valid()
}

// share is the upper bound of the hashes that lead to the hop at an index, -1
// for a hop that takes no part.
func (w world) share(r *rpdb.Route, hops []rpdb.Nexthop, at int) int64 {
	out := func(n rpdb.Nexthop) bool { return r.NexthopID == 0 && (w.dead(n, r) || w.ignored(n, r)) }
	if out(hops[at]) {
		return -1
	}
	total, upTo := 0.0, 0.0
	for i, n := range hops {
		if out(n) {
			continue
		}
		total += float64(max(n.Weight, 1))
		if i <= at {
			upTo += float64(max(n.Weight, 1))
		}
	}
	return int64(upTo*(1<<31)/total+0.5) - 1
}

// resilient reports whether a route's group spreads flows over buckets.
func (w world) resilient(r *rpdb.Route) bool {
	o, _ := w.object(r.NexthopID)
	return len(o.Group) > 0 && o.GroupType != 0
}

// member chooses from a nexthop group by hash: the first good member whose
// share holds it, else the first good one, else the first.
func (w world) member(r *rpdb.Route, hops []rpdb.Nexthop, hash int64) rpdb.Nexthop {
	for i, n := range hops {
		if w.sane(n) && hash <= w.share(r, hops, i) {
			return n
		}
	}
	if i := slices.IndexFunc(hops, w.sane); i >= 0 {
		return hops[i]
	}
	return hops[0]
}

// choices names the hops of a list.
func (w world) choices(hops []rpdb.Nexthop) (list []rpdb.Hop) {
	for _, n := range hops {
		list = append(list, w.hop(n))
	}
	return list
}

// filter returns the hops that fulfil a condition.
func filter(hops []rpdb.Nexthop, ok func(rpdb.Nexthop) bool) (list []rpdb.Nexthop) {
	for _, n := range hops {
		if ok(n) {
			list = append(list, n)
		}
	}
	return list
}
