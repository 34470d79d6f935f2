package corpus

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"rpdb"
)

// Generator makes worlds and flows. It is not safe for concurrent use.
type Generator struct {
	r       *rand.Rand
	hosts   map[rpdb.Family][]netip.Prefix // made once: parsing them costs more than a lookup
	sources map[rpdb.Family][]netip.Prefix
	targets map[rpdb.Family][]netip.Prefix
}

// New returns a generator whose output depends on the seed alone.
func New(seed uint64) *Generator {
	g := &Generator{r: rand.New(rand.NewPCG(seed, 0x72706462))}
	g.hosts = map[rpdb.Family][]netip.Prefix{rpdb.IPv4: hosts4(), rpdb.IPv6: hosts6()}
	g.sources, g.targets = map[rpdb.Family][]netip.Prefix{}, map[rpdb.Family][]netip.Prefix{}
	for _, f := range rpdb.Families() {
		g.sources[f], g.targets[f] = sources(f), destinations(f)
	}
	return g
}

// chance is true once in n times.
func (g *Generator) chance(n int) bool { return g.r.IntN(n) == 0 }

func pick[T any](g *Generator, from []T) T { return from[g.r.IntN(len(from))] }

// Hosts are the interfaces of every world, e0 to e2, besides loopback. Their
// addresses end in .1 or ::1.
func hosts4() []netip.Prefix {
	return prefixes("192.0.2.1/24", "198.51.100.1/24", "203.0.113.1/24")
}

func hosts6() []netip.Prefix {
	return prefixes("2001:db8::1/64", "2001:db8:1::1/64", "2001:db8:2::1/64")
}

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

// Snapshot makes a world. Interface 1 is lo, 2 to 4 are e0 to e2. Routes of
// protocol kernel are what the kernel would make of the addresses; everything
// else stands in an order in which the kernel would accept it.
func (g *Generator) Snapshot() *rpdb.Snapshot {
	s := &rpdb.Snapshot{Kernel: "6.18.0"}
	g.links(s)
	g.addresses(s)
	g.sysctls(s)
	g.neighbours(s)
	for _, f := range rpdb.Families() {
		s.Rules = append(s.Rules, g.rules(f)...)
		g.routes(s, f)
	}
	if g.chance(3) {
		g.unfiltered(s)
	}
	if g.chance(8) {
		s.Custom4, s.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
	}
	return s
}

func (g *Generator) links(s *rpdb.Snapshot) {
	const up = rpdb.LinkUp | rpdb.LinkRunning | rpdb.LinkLowerUp
	s.Links = []rpdb.Link{{Index: 1, Name: "lo", Flags: up | rpdb.LinkLoopback, MTU: 65536}}
	for i, name := range []rpdb.LinkName{"e0", "e1", "e2"} {
		l := rpdb.Link{Index: rpdb.LinkIndex(i + 2), Name: name, Flags: up, MTU: 1500, Kind: "veth"}
		if g.chance(3) {
			l.Group = uint32(g.r.IntN(3))
		}
		if g.chance(10) {
			l.Flags &^= rpdb.LinkLowerUp | rpdb.LinkRunning
		}
		s.Links = append(s.Links, l)
	}
}

func (g *Generator) addresses(s *rpdb.Snapshot) {
	s.Addresses = []rpdb.Address{
		{Link: 1, Prefix: netip.MustParsePrefix("127.0.0.1/8"), Scope: rpdb.ScopeHost, Flags: rpdb.AddressPermanent},
		{Link: 1, Prefix: netip.MustParsePrefix("::1/128"), Scope: rpdb.ScopeHost, Flags: rpdb.AddressPermanent},
	}
	for i := range hosts4() {
		link := rpdb.LinkIndex(i + 2)
		s.Addresses = append(s.Addresses, rpdb.Address{Link: link, Prefix: hosts4()[i], Flags: rpdb.AddressPermanent})
		if g.chance(3) {
			a := rpdb.Address{Link: link, Prefix: second(hosts4()[i]), Flags: rpdb.AddressPermanent | rpdb.AddressSecondary}
			s.Addresses = append(s.Addresses, a)
		}
		// The kernel lists the address added last first.
		if g.chance(3) {
			s.Addresses = append(s.Addresses, rpdb.Address{Link: link, Prefix: second(hosts6()[i]), Flags: rpdb.AddressPermanent | rpdb.AddressNoDAD})
		}
		s.Addresses = append(s.Addresses, rpdb.Address{Link: link, Prefix: hosts6()[i], Flags: rpdb.AddressPermanent | rpdb.AddressNoDAD})
	}
}

// second returns the next address of a network.
func second(p netip.Prefix) netip.Prefix { return netip.PrefixFrom(p.Addr().Next(), p.Bits()) }

func (g *Generator) sysctls(s *rpdb.Snapshot) {
	forward := !g.chance(6)
	y := rpdb.Sysctls{IPv4Forward: forward, IPv6Forward: !g.chance(6), Links: map[rpdb.LinkName]rpdb.LinkSysctls{}}
	if !g.chance(4) {
		y.HashSeed = g.r.Uint32()
	}
	y.HashPolicy4, y.HashPolicy6 = uint8(g.r.IntN(2)), uint8(g.r.IntN(2))
	y.UseNeigh = g.chance(6)
	y.All.NoSendRedirects = g.chance(2)
	for _, l := range s.Links {
		y.Links[l.Name] = rpdb.LinkSysctls{
			Forwarding4: forward, Forwarding6: y.IPv6Forward, RPFilter: pick(g, []uint8{0, 0, 1, 2}),
			SrcValidMark: g.chance(4), AcceptLocal: g.chance(4), RouteLocalnet: g.chance(8),
			IgnoreLinkdown4: g.chance(2), IgnoreLinkdown6: g.chance(2), NoSendRedirects: g.chance(2),
		}
	}
	s.Sysctls = y
}

// unfiltered takes away what makes the kernel look at the way back of every IPv4
// packet that came in: almost every world has a realm or a filter somewhere, and
// what lets it leave that out would hardly ever decide.
func (g *Generator) unfiltered(s *rpdb.Snapshot) {
	for i := range s.Rules {
		s.Rules[i].Realms = 0
	}
	for i := range s.Routes {
		r := &s.Routes[i]
		r.Realms = 0
		for j := range r.Nexthops {
			r.Nexthops[j].Realms = 0
		}
	}
	accept := g.chance(2)
	for _, l := range s.Links {
		c := s.Sysctls.Links[l.Name]
		c.RPFilter, c.AcceptLocal = 0, accept || c.AcceptLocal
		s.Sysctls.Links[l.Name] = c
	}
}

func (g *Generator) neighbours(s *rpdb.Snapshot) {
	states := []rpdb.NeighbourState{
		rpdb.NeighbourReachable, rpdb.NeighbourStale, rpdb.NeighbourFailed, rpdb.NeighbourPermanent, rpdb.NeighbourNoARP,
	}
	for i := range hosts4() {
		for _, gw := range slices.Concat(gateways(hosts4()[i]), gateways(hosts6()[i])) {
			if g.chance(2) {
				s.Neighbours = append(s.Neighbours, rpdb.Neighbour{Link: rpdb.LinkIndex(i + 2), Addr: gw, State: pick(g, states)})
			}
		}
	}
}

// gateways returns the routers of a network.
func gateways(p netip.Prefix) []netip.Addr {
	var list []netip.Addr
	a := p.Addr().Next()
	for range 3 {
		a = a.Next()
		list = append(list, a)
	}
	return list
}

// Number returns a number from 0 to below n.
func (g *Generator) Number(n int) int { return g.r.IntN(n) }
