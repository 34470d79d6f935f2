package fib

import (
	"net/netip"

	"rpdb"
)

// newMultipath prepares the choice between the hops of a route; setBounds has
// been called.
func (f *FIB) newMultipath(r *route, v6, resilient bool) *multipath {
	m := &multipath{group: r.nhid != 0, resilient: resilient}
	m.sets = append(m.sets, f.hopSet(r, v6, func(*hop) bool { return true }))
	if m.group {
		return m
	}
	seenSrc, seenLink := map[netip.Addr]bool{}, map[rpdb.LinkIndex]bool{}
	for i := range r.hops {
		h := &r.hops[i]
		if src := h.src; !v6 && src.IsValid() && !seenSrc[src] {
			seenSrc[src] = true
			set := f.hopSet(r, v6, func(h *hop) bool { return h.src == src })
			set.src = src
			m.add(set)
		}
		if i := h.nexthop.Link; v6 && !seenLink[i] {
			seenLink[i] = true
			set := f.hopSet(r, v6, func(h *hop) bool { return h.nexthop.Link == i })
			set.link = i
			m.add(set)
		}
	}
	return m
}

// add appends a set that holds something; an IPv4 source that only unusable
// hops have narrows nothing down.
func (m *multipath) add(s hopSet) {
	if len(s.either) > 0 {
		m.sets = append(m.sets, s)
	}
}

// hopSet collects the hops that the multipath choice may end with.
func (f *FIB) hopSet(r *route, v6 bool, include func(*hop) bool) (s hopSet) {
	for i := range r.hops {
		h := &r.hops[i]
		if h.bound < 0 || !include(h) || !f.eligible(h, r.nhid != 0, v6) {
			continue
		}
		if s.hop == nil {
			s.hop = h
		}
		s.either = append(s.either, h.out())
	}
	return s
}

// eligible reports whether the state of its neighbour lets a multipath choice
// take the hop.
func (f *FIB) eligible(h *hop, group, v6 bool) bool {
	switch {
	case group:
		return h.sane()
	case !v6:
		return !f.sysctls.useNeigh || h.sane()
	case f.sysctls.forward6:
		return true
	}
	return !h.nexthop.Via.IsValid() || h.neighbour&rpdb.NeighbourFailed == 0
}
