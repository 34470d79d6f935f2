package fib

import (
	"net/netip"

	"rpdb"
)

// hop is a compiled nexthop.
type hop struct {
	nexthop rpdb.Nexthop
	link    *link
	// via is the gateway that packets are sent to, invalid if there is none:
	// IPv4 ignores a gateway that is an address of this host.
	via       netip.Addr
	src       netip.Addr // IPv4: the source that the interface offers for this gateway
	srcBy     SourceBy
	program   rpdb.Realms // IPv6: of the copy whose program it carries
	dead      bool        // not usable at all
	ignored   bool        // without carrier, and such links are to be ignored
	unsure    bool        // without carrier, and it is not known whether they are
	neighbour rpdb.NeighbourState
	bound     int64 // of the 31-bit hashes that lead here, -1: none
}

// out returns the hop as a decision names it.
func (h *hop) out() rpdb.Hop {
	if h.link == nil {
		return rpdb.Hop{Via: h.via}
	}
	return rpdb.Hop{Link: h.link.Name, Via: h.via}
}

// sane reports whether multipath selection that looks at neighbours takes the
// hop (fib_good_nh, nexthop_is_good_nh).
func (h *hop) sane() bool { return h.neighbour == 0 || h.neighbour.Valid() }

// multipath is what the choice between several hops needs.
type multipath struct {
	group     bool // a nexthop object: neighbours always count
	resilient bool // hashed into buckets that cannot be read
	// sets lists the hops that may be taken when the hash cannot be foreseen,
	// by what narrows them down: the source (IPv4) or the interface (IPv6).
	// The first set is for all other flows.
	sets []hopSet
}

type hopSet struct {
	src    netip.Addr
	link   rpdb.LinkIndex
	either []rpdb.Hop
	hop    *hop // the first of them
}

// setBounds divides the range of hashes among the usable hops by weight
// (fib_rebalance, rt6_multipath_rebalance; nexthop groups leave nobody out).
func setBounds(hops []hop, group bool) {
	usable := func(h *hop) bool { return group || !h.dead && !h.ignored }
	var total, sum uint64
	for i := range hops {
		if usable(&hops[i]) {
			total += uint64(max(hops[i].nexthop.Weight, 1))
		}
	}
	for i := range hops {
		h := &hops[i]
		if !usable(h) {
			h.bound = -1
			continue
		}
		sum += uint64(max(h.nexthop.Weight, 1))
		h.bound = int64((sum<<31+total/2)/total) - 1
	}
}

// multipath4 chooses among the hops of an IPv4 route (fib_select_multipath);
// found is the one that the lookup came to.
func (f *FIB) multipath4(k *key, r *route, found *hop) (*hop, []rpdb.Hop) {
	hash, ok := f.hash4(k)
	if k.output && k.hasSrc && f.gaps.parts.Has(rpdb.PartAddresses) {
		ok = false // which hop has the source is not known
	}
	switch {
	case r.multi.group && (!ok || r.multi.resilient):
		return r.multi.sets[0].choice(&r.hops[0])
	case !ok:
		return r.multi.set4(k, found)
	case r.multi.group:
		return groupMember(r.hops, hash), nil
	}
	best, top := found, -1
	for i := range r.hops {
		h := &r.hops[i]
		if h.bound < 0 || f.sysctls.useNeigh && !h.sane() {
			continue
		}
		score := 0
		if k.output && k.hasSrc && h.src == k.src {
			score = 2
		}
		if hash <= h.bound {
			score++
		}
		if score > top {
			best, top = h, score
		}
	}
	return best, nil
}

// set4 is multipath4 for a hash that is not known.
func (m *multipath) set4(k *key, found *hop) (*hop, []rpdb.Hop) {
	if k.output && k.hasSrc {
		for i := range m.sets {
			if m.sets[i].src == k.src {
				return m.sets[i].choice(found)
			}
		}
	}
	return m.sets[0].choice(found)
}

func (s *hopSet) choice(found *hop) (*hop, []rpdb.Hop) {
	switch len(s.either) {
	case 0:
		return found, nil
	case 1:
		return s.hop, nil
	}
	return s.hop, s.either
}

// groupMember chooses a member of a nexthop group (nexthop_select_path_hthr).
func groupMember(hops []hop, hash int64) *hop {
	first := &hops[0]
	seen := false
	for i := range hops {
		h := &hops[i]
		if !h.sane() {
			continue
		}
		if !seen {
			first, seen = h, true
		}
		if hash <= h.bound {
			return h
		}
	}
	return first
}

// multipath6 chooses among the hops of an IPv6 route (fib6_select_path).
func (f *FIB) multipath6(k *key, r *route, found *hop) (*hop, []rpdb.Hop) {
	hash, ok := f.hash6(k)
	switch {
	case r.multi.group && (!ok || r.multi.resilient):
		return r.multi.sets[0].choice(&r.hops[0])
	case !ok:
		return r.multi.set6(k, found)
	case r.multi.group:
		return groupMember(r.hops, hash), nil
	}
	for i := range r.hops {
		h := &r.hops[i]
		if hash > h.bound {
			continue
		}
		if h.fits6(k, r, k.reach) {
			return h, nil
		}
		break
	}
	return found, nil
}

// set6 is multipath6 for a hash that is not known.
func (m *multipath) set6(k *key, found *hop) (*hop, []rpdb.Hop) {
	if k.strict && k.want != 0 {
		for i := range m.sets {
			if m.sets[i].link == k.want {
				return m.sets[i].narrowed(found)
			}
		}
		return found, nil
	}
	return m.sets[0].narrowed(found)
}

// narrowed is choice for IPv6, where the hop found is always possible: a
// member chosen by the hash that does not qualify leaves it in place.
func (s *hopSet) narrowed(found *hop) (*hop, []rpdb.Hop) {
	if len(s.either) < 2 {
		return found, nil
	}
	return found, s.either
}
