package sandbox

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
)

// allocator makes addresses up, from the ranges reserved for documentation and
// tests (RFC 5737, RFC 2544, RFC 3849), outside of every prefix in use.
type allocator struct {
	used   []netip.Prefix
	blocks []netip.Prefix // no address of the host is in one of them
}

// completeUplink makes up the gateways that the host learns, then the addresses.
func (a *allocator) completeUplink(u Uplink) (gateways []netip.Addr, addresses []netip.Prefix, err error) {
	gateways, addresses = slices.Clone(u.Gateways), slices.Clone(u.Addresses)
	for _, f := range u.Learned {
		if f == rpdb.IPv6 { // routers advertise themselves by such an address
			gateways = append(gateways, linkLocal(1).Addr())
			continue
		}
		g, p, err := a.learned(f, addresses)
		if err != nil {
			return nil, nil, err
		}
		gateways = append(gateways, g)
		if p.IsValid() {
			addresses = append(addresses, p)
		}
	}
	if u.Onlink {
		addresses, err = a.apart(u.Gateways, addresses)
	}
	if err == nil {
		addresses, err = a.complete(gateways, addresses)
	}
	if err != nil {
		return nil, nil, err
	}
	return gateways, addresses, checkGateways(gateways, addresses, u.Onlink)
}

// learned returns a gateway in the network of an address of the family and, where
// there is no address, one for the host.
func (a *allocator) learned(f rpdb.Family, addresses []netip.Prefix) (g netip.Addr, host netip.Prefix, err error) {
	at := slices.IndexFunc(addresses, func(p netip.Prefix) bool { return rpdb.FamilyOf(p.Addr()) == f })
	if at < 0 {
		if host, err = a.network(f); err != nil {
			return g, host, err
		}
		return host.Masked().Addr().Next(), host, nil
	}
	network := addresses[at].Masked()
	if network.IsSingleIP() { // it faces its gateway
		return network.Addr().Next(), netip.Prefix{}, nil
	}
	for g = network.Addr(); network.Contains(g); g = g.Next() {
		edge := isEdge(network, g) && network.Bits() < f.Bits()-1
		if !edge && !slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return p.Addr() == g }) {
			return g, netip.Prefix{}, nil
		}
	}
	return g, host, fmt.Errorf("address %v: no room in its network for the gateway that the host learns", addresses[at])
}

// apart adds an address that is its own network for each family that has a gateway
// and no address.
func (a *allocator) apart(gateways []netip.Addr, addresses []netip.Prefix) ([]netip.Prefix, error) {
	for _, g := range gateways {
		f := rpdb.FamilyOf(g)
		if hasFamily(addresses, f) {
			continue
		}
		p, err := a.network(f)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, single(p.Addr()))
	}
	return addresses, nil
}

// complete adds an address for each family that has a gateway and no address.
func (a *allocator) complete(gateways []netip.Addr, addresses []netip.Prefix) ([]netip.Prefix, error) {
	addresses = slices.Clone(addresses)
	for _, p := range addresses {
		if !p.IsValid() || p.Addr().Zone() != "" {
			return nil, fmt.Errorf("address %v: not valid", p)
		}
	}
	for _, g := range gateways {
		if hasFamily(addresses, rpdb.FamilyOf(g)) {
			continue
		}
		p, err := a.beside(g)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, p)
	}
	a.used = append(a.used, addresses...)
	return addresses, nil
}

// completeExtra adds addresses beside next hops that are in no network, and
// one for each family without any.
func (a *allocator) completeExtra(e Extra) ([]netip.Prefix, error) {
	addresses, err := a.complete(nil, e.Addresses)
	if err != nil {
		return nil, err
	}
	for _, g := range e.Gateways {
		if onLink(g, addresses) {
			continue
		}
		p, err := a.beside(g)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, p)
	}
	for _, f := range rpdb.Families() {
		if hasFamily(addresses, f) {
			continue
		}
		p, err := a.network(f)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, p)
	}
	a.used = append(a.used, addresses...)
	return addresses, nil
}

// hasFamily reports whether there is an address of the family that packets to
// the outside can carry.
func hasFamily(addresses []netip.Prefix, f rpdb.Family) bool {
	return slices.ContainsFunc(addresses, func(p netip.Prefix) bool {
		return rpdb.FamilyOf(p.Addr()) == f && !isLinkLocal6(p.Addr())
	})
}

func isLinkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// beside returns an address for the host in the network that a gateway is
// usually in, and for a link-local gateway one in a network of its own.
func (a *allocator) beside(g netip.Addr) (netip.Prefix, error) {
	if isLinkLocal6(g) {
		return a.network(rpdb.IPv6)
	}
	bits := 24
	if g.Is6() {
		bits = 64
	}
	p, err := g.Prefix(bits)
	for err == nil && isEdge(p, g) && bits > 8 {
		bits--
		p, err = g.Prefix(bits)
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("gateway %v: %w", g, err)
	}
	for n := byte(10); n < 100; n++ {
		host := hostAddress(p, n)
		taken := slices.ContainsFunc(a.used, func(u netip.Prefix) bool { return u.Addr() == host.Addr() }) ||
			slices.ContainsFunc(a.blocks, func(b netip.Prefix) bool { return b.Contains(host.Addr()) })
		if host.Addr() != g && !taken {
			return host, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("make an address beside gateway %v up: all are in use", g)
}

// isEdge reports whether an address is the first or the last of an IPv4 network,
// which no host can have: its gateway is in a larger one then.
func isEdge(p netip.Prefix, a netip.Addr) bool {
	return a.Is4() && (a == p.Masked().Addr() || !p.Contains(a.Next()))
}

// hostAddress returns the n-th address of a network, with its length.
func hostAddress(network netip.Prefix, n byte) netip.Prefix {
	addr := network.Addr()
	if addr.Is4() {
		b := addr.As4()
		b[3] = n
		return netip.PrefixFrom(netip.AddrFrom4(b), network.Bits())
	}
	b := addr.As16()
	b[14], b[15] = 0, n/10<<4|n%10 // ::10 is written as IPv4's .10 is
	return netip.PrefixFrom(netip.AddrFrom16(b), network.Bits())
}

// network returns an unused network, as the host's address in it.
func (a *allocator) network(f rpdb.Family) (netip.Prefix, error) {
	if f == rpdb.IPv4 {
		return a.pick("198.18.0.0/24")
	}
	return a.pick("2001:db8:e000::/64")
}

// outside returns an address for the outside world.
func (a *allocator) outside(f rpdb.Family) (netip.Addr, error) {
	candidates := []string{"203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "198.19.0.0/24"}
	if f == rpdb.IPv6 {
		candidates = []string{"2001:db8:ffff::/64", "2001:db8:f000::/64"}
	}
	p, err := a.pick(candidates...)
	return p.Addr(), err
}

// pick returns the host's address in the first unused network of those given
// and, if need be, of those that follow the last one. It marks the network as
// used.
func (a *allocator) pick(networks ...string) (netip.Prefix, error) {
	var p netip.Prefix
	for n := range 64 {
		if n < len(networks) {
			p = netip.MustParsePrefix(networks[n])
		} else {
			p = following(p)
		}
		if !slices.ContainsFunc(a.used, p.Overlaps) {
			a.used = append(a.used, p)
			return hostAddress(p, 10), nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("make an address up: all networks from %s to %v are in use", networks[0], p)
}

// following returns the next network of the same length, counting in the third
// byte of IPv4 and the third group of IPv6.
func following(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		b[2]++
		return netip.PrefixFrom(netip.AddrFrom4(b), p.Bits())
	}
	b := p.Addr().As16()
	b[5]++
	return netip.PrefixFrom(netip.AddrFrom16(b), p.Bits())
}
