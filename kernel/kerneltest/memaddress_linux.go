package kerneltest

import (
	"net/netip"
	"slices"
	"syscall"

	"rpdb"
	"rpdb/kernel"
)

func (m *Memory) addressesOf(f rpdb.Family, i rpdb.LinkIndex) (list []rpdb.Address) {
	for _, a := range m.addresses {
		if a.Link == i && rpdb.FamilyOf(a.Prefix.Addr()) == f {
			list = append(list, a)
		}
	}
	return list
}

func (m *Memory) addAddress(c AddressAdd) error {
	l := m.linkByName(c.Link)
	if l == nil {
		return syscall.ENODEV
	}
	a := rpdb.Address{Link: l.Index, Prefix: c.Prefix, Peer: c.Options.Peer, Flags: rpdb.AddressPermanent}
	if scope, ok := c.Options.Scope.Get(); ok {
		a.Scope = scope
	} else if a.Prefix.Addr().IsLoopback() {
		a.Scope = rpdb.ScopeHost
	} else if a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast() {
		a.Scope = rpdb.ScopeLink
	}
	if c.Options.NoDAD && a.Prefix.Addr().Is6() {
		a.Flags |= rpdb.AddressNoDAD
	}
	if c.Options.NoPrefixRoute {
		a.Flags |= noPrefixRoute
	}
	if a.Prefix.Addr().Is6() {
		return m.addAddress6(*l, a)
	}
	for _, o := range m.addressesOf(rpdb.IPv4, l.Index) {
		if o.Prefix == a.Prefix {
			return refuse(syscall.EEXIST, "ipv4: Address already assigned")
		}
		if sameSubnet(o, a) {
			a.Flags |= rpdb.AddressSecondary
		}
	}
	at := len(m.addresses)
	if a.Flags&rpdb.AddressSecondary == 0 { // the secondary ones stand behind
		if i := slices.IndexFunc(m.addresses, func(o rpdb.Address) bool {
			return o.Link == a.Link && o.Prefix.Addr().Is4() && o.Flags&rpdb.AddressSecondary != 0
		}); i >= 0 {
			at = i
		}
	}
	m.addresses = slices.Insert(slices.Clone(m.addresses), at, a)
	m.tell(kernel.Event{Type: kernel.EventAddress, Address: a})
	if l.IsUp() {
		m.addRoutes4(a)
	}
	return nil
}

// noPrefixRoute is IFA_F_NOPREFIXROUTE.
const noPrefixRoute rpdb.AddressFlags = 0x200

func sameSubnet(a, b rpdb.Address) bool {
	return a.Link == b.Link && a.Prefix.Masked() == b.Prefix.Masked()
}

func (m *Memory) addAddress6(l memoryLink, a rpdb.Address) error {
	if m.sysctls.Links[l.Name].DisableIPv6 {
		return refuse(syscall.EACCES, "IPv6 is disabled on this device")
	}
	for _, o := range m.addressesOf(rpdb.IPv6, l.Index) {
		if o.Prefix.Addr() == a.Prefix.Addr() {
			return refuse(syscall.EEXIST, "address already assigned")
		}
	}
	m.addresses = append(m.addresses, a)
	m.tell(kernel.Event{Type: kernel.EventAddress, Address: a})
	if l.IsUp() {
		m.addRoutes6(a)
	}
	return nil
}

// addRoutes4 adds the routes of an address (fib_add_ifaddr): the address
// itself, the connected network, and its broadcast address.
func (m *Memory) addRoutes4(a rpdb.Address) {
	src := a.Prefix.Addr()
	for _, o := range m.addressesOf(rpdb.IPv4, a.Link) {
		if a.Flags&rpdb.AddressSecondary != 0 && o.Flags&rpdb.AddressSecondary == 0 && sameSubnet(o, a) {
			src = o.Prefix.Addr()
		}
	}
	for _, r := range m.routesOf4(a, src) {
		m.put(r)
	}
}

// routesOf4 lists the routes that the kernel makes for an address.
func (m *Memory) routesOf4(a rpdb.Address, src netip.Addr) []rpdb.Route {
	base := rpdb.Route{
		Family: rpdb.IPv4, Protocol: rpdb.ProtocolKernel, PrefSrc: src,
		Nexthops: []rpdb.Nexthop{{Link: a.Link, Weight: 1}},
	}
	local := base
	local.Type, local.Table, local.Scope = rpdb.RouteLocal, rpdb.TableLocal, rpdb.ScopeHost
	local.Dst = netip.PrefixFrom(a.Prefix.Addr(), 32)
	routes := []rpdb.Route{local}
	net := a.Prefix.Masked()
	if a.Peer.IsValid() {
		net = netip.PrefixFrom(a.Peer, net.Bits()).Masked()
	}
	if a.Flags&rpdb.AddressSecondary != 0 || (net.IsSingleIP() && net.Addr() == a.Prefix.Addr()) {
		return routes
	}
	if a.Flags&noPrefixRoute == 0 {
		connected := base
		connected.Type, connected.Table, connected.Scope, connected.Dst = rpdb.RouteUnicast, rpdb.TableMain, rpdb.ScopeLink, net
		if m.link(a.Link).IsLoopback() {
			connected.Type, connected.Table, connected.Scope = rpdb.RouteLocal, rpdb.TableLocal, rpdb.ScopeHost
		}
		routes = append(routes, connected)
	}
	if net.Bits() < 31 {
		broadcast := base
		broadcast.Type, broadcast.Table, broadcast.Scope = rpdb.RouteBroadcast, rpdb.TableLocal, rpdb.ScopeLink
		broadcast.Dst = netip.PrefixFrom(last4(net), 32)
		routes = append(routes, broadcast)
	}
	return routes
}

// last4 returns the last address of an IPv4 prefix.
func last4(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// addRoutes6 adds the routes of an address: itself, the connected prefix, and
// on a router the anycast address of the prefix.
func (m *Memory) addRoutes6(a rpdb.Address) {
	for _, r := range m.routesOf6(a) {
		m.put(r)
	}
	if m.sysctls.Links[m.link(a.Link).Name].Forwarding6 {
		m.addAnycast(a)
	}
}

func (m *Memory) routesOf6(a rpdb.Address) []rpdb.Route {
	base := rpdb.Route{Family: rpdb.IPv6, Protocol: rpdb.ProtocolKernel, Nexthops: []rpdb.Nexthop{{Link: a.Link, Weight: 1}}}
	local, connected := base, base
	local.Type, local.Table, local.Dst = rpdb.RouteLocal, rpdb.TableLocal, netip.PrefixFrom(a.Prefix.Addr(), 128)
	connected.Type, connected.Table, connected.Dst, connected.Metric = rpdb.RouteUnicast, rpdb.TableMain, a.Prefix.Masked(), 256
	if a.Flags&noPrefixRoute != 0 || a.Prefix.Addr().IsLoopback() {
		return []rpdb.Route{local}
	}
	return []rpdb.Route{local, connected}
}

// addAnycast adds the subnet-router anycast address of an address's prefix.
func (m *Memory) addAnycast(a rpdb.Address) {
	l := m.link(a.Link)
	if !l.IsUp() || l.IsLoopback() || a.Prefix.Bits() >= 127 {
		return
	}
	m.put(rpdb.Route{
		Family: rpdb.IPv6, Table: rpdb.TableLocal, Type: rpdb.RouteAnycast, Protocol: rpdb.ProtocolKernel,
		Dst: netip.PrefixFrom(a.Prefix.Masked().Addr(), 128), Nexthops: []rpdb.Nexthop{{Link: a.Link, Weight: 1}},
	})
}

func (m *Memory) deleteAddress(c AddressDelete) error {
	l := m.linkByName(c.Link)
	if l == nil {
		return syscall.ENODEV
	}
	for _, a := range m.addressesOf(rpdb.FamilyOf(c.Prefix.Addr()), l.Index) {
		if a.Prefix != c.Prefix {
			continue
		}
		m.removeAddress(a)
		for _, o := range m.addressesOf(rpdb.IPv4, l.Index) { // without promote_secondaries
			if a.Prefix.Addr().Is4() && a.Flags&rpdb.AddressSecondary == 0 && sameSubnet(o, a) {
				m.removeAddress(o)
			}
		}
		return nil
	}
	return refuse(syscall.EADDRNOTAVAIL, "address not found")
}

// removeAddress takes an address and what stood on it: its own routes, and the
// routes whose source it was (IPv6 routes stay, without their source).
func (m *Memory) removeAddress(a rpdb.Address) {
	m.addresses = slices.DeleteFunc(m.addresses, func(o rpdb.Address) bool { return o == a })
	f := rpdb.FamilyOf(a.Prefix.Addr())
	own := m.routesOf6(a)
	if f == rpdb.IPv4 {
		own = m.routesOf4(a, a.Prefix.Addr())
	} else {
		anycast := own[0]
		anycast.Type, anycast.Dst = rpdb.RouteAnycast, netip.PrefixFrom(a.Prefix.Masked().Addr(), 128)
		own = append(own, anycast)
	}
	for _, r := range own {
		if !m.stillMade(r) {
			m.removeKernels(r)
		}
	}
	m.tell(kernel.Event{Type: kernel.EventAddress, Deleted: true, Address: a})
	m.forgetSource(f, a.Prefix.Addr())
	if f == rpdb.IPv4 && len(m.addressesOf(f, a.Link)) == 0 { // IPv4 is off (fib_disable_ip)
		m.dropRoutes(a.Link, func(r rpdb.Route) bool { return r.Family == rpdb.IPv6 })
	}
}

// stillMade reports whether another address makes the same route.
func (m *Memory) stillMade(r rpdb.Route) bool {
	for _, a := range m.addresses {
		if a.Link != r.Nexthops[0].Link || rpdb.FamilyOf(a.Prefix.Addr()) != r.Family || !m.isUp(a.Link) {
			continue
		}
		made := m.routesOf6(a)
		if r.Family == rpdb.IPv4 {
			made = m.routesOf4(a, a.Prefix.Addr())
		}
		if slices.ContainsFunc(made, func(o rpdb.Route) bool { return o.Key() == r.Key() && o.Type == r.Type && o.PrefSrc == r.PrefSrc }) {
			return true
		}
	}
	return false
}

// removeKernels deletes a route that the kernel made for an address.
func (m *Memory) removeKernels(r rpdb.Route) {
	for _, o := range slices.Clone(m.routes[index(r.Family)]) {
		if o.Key() == r.Key() && o.Type == r.Type && o.Protocol == rpdb.ProtocolKernel &&
			len(o.Nexthops) == 1 && o.Nexthops[0].Link == r.Nexthops[0].Link {
			m.remove(o, true)
			return
		}
	}
}

// forgetSource deals with the routes that name a source which is gone. IPv4
// drops those of table main, without an event (fib_sync_down_addr); IPv6 takes
// the source out of them.
func (m *Memory) forgetSource(f rpdb.Family, src netip.Addr) {
	if slices.ContainsFunc(m.addresses, func(a rpdb.Address) bool { return a.Prefix.Addr() == src }) {
		return
	}
	for i, r := range m.routes[index(f)] {
		if r.PrefSrc == src && f == rpdb.IPv6 {
			m.routes[1][i].PrefSrc = netip.Addr{}
		}
	}
	if f == rpdb.IPv4 {
		m.routes[0] = slices.DeleteFunc(slices.Clone(m.routes[0]), func(r rpdb.Route) bool {
			return r.PrefSrc == src && r.Table == rpdb.TableMain
		})
	}
}
