package rpdb

import (
	"net/netip"
	"slices"
)

// Concern chooses, from the routes of a host one after the other, those that
// can have a say about a flow: the decision is the same without all others.
// They are few, however many routes there are. It is not safe for concurrent
// use; see [Flow.Concern].
//
// Most of them cover an address of the flow. But the kernel also lets routes
// anywhere in its tables change what it checks, and of such a kind one is
// enough.
type Concern struct {
	addrs  []netip.Addr
	shared map[uint32]lengths // of IPv6 routes, by nexthop object
	realms bool               // an IPv4 route with realms was taken
	local  bool               // an IPv4 route of type local that is not the kernel's was taken
}

// lengths are the shortest and the longest prefix of some routes.
type lengths struct{ shortest, longest int }

// Concern returns a new choice of the routes that concern the flow.
func (f Flow) Concern() *Concern {
	c := &Concern{addrs: []netip.Addr{f.Dst, f.Src}, shared: map[uint32]lengths{}}
	switch { // no destination means this host
	case f.Dst == netip.IPv4Unspecified():
		c.addrs = append(c.addrs, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	case f.Dst == netip.IPv6Unspecified():
		c.addrs = append(c.addrs, netip.IPv6Loopback())
	}
	return c
}

// Has reports whether a route is among those that concern the flow, given the
// routes that it was asked about before.
func (c *Concern) Has(r Route) bool {
	for _, a := range c.addrs {
		if r.Dst.Contains(a) { // which no prefix does with the invalid address
			return true
		}
	}
	if r.Family == IPv6 {
		return r.NexthopID != 0 && c.widens(r.NexthopID, r.Dst.Bits())
	}
	return first(&c.realms, hasRealms(r)) || first(&c.local, r.Type == RouteLocal && r.Protocol != ProtocolKernel)
}

// widens reports whether a prefix is the first of its nexthop object, or
// shorter or longer than those before: the kernel confuses the prefixes of
// routes that share one.
func (c *Concern) widens(nhid uint32, n int) bool {
	known, ok := c.shared[nhid]
	if ok && known.shortest <= n && n <= known.longest {
		return false
	}
	if !ok {
		known = lengths{n, n}
	}
	c.shared[nhid] = lengths{min(known.shortest, n), max(known.longest, n)}
	return true
}

// first reports whether it is so for the first time.
func first(before *bool, so bool) bool {
	is := so && !*before
	*before = *before || so
	return is
}

func hasRealms(r Route) bool {
	return r.Realms != 0 || slices.ContainsFunc(r.Nexthops, func(n Nexthop) bool { return n.Realms != 0 })
}
