package kerneltest

import (
	"net/netip"
	"slices"
	"syscall"

	"rpdb"
	"rpdb/kernel"
)

// memoryLink is an interface and the other end of its cable, 0 for loopback.
type memoryLink struct {
	rpdb.Link
	peer rpdb.LinkIndex
}

const (
	loopback  rpdb.LinkIndex = 1
	linkBcast rpdb.LinkFlags = 0x2    // IFF_BROADCAST
	linkMcast rpdb.LinkFlags = 0x1000 // IFF_MULTICAST
)

// newLink gives a link its index and the settings of a new interface.
func (m *Memory) newLink(l memoryLink) rpdb.LinkIndex {
	m.lastIndex++
	l.Index = m.lastIndex
	m.links = append(m.links, l)
	m.sysctls.Links[l.Name] = m.defaults()
	return l.Index
}

// link returns the interface with the index, nil if there is none.
func (m *Memory) link(i rpdb.LinkIndex) *memoryLink {
	for n := range m.links {
		if m.links[n].Index == i {
			return &m.links[n]
		}
	}
	return nil
}

func (m *Memory) linkByName(name rpdb.LinkName) *memoryLink {
	for n := range m.links {
		if m.links[n].Name == name {
			return &m.links[n]
		}
	}
	return nil
}

func (m *Memory) isUp(i rpdb.LinkIndex) bool {
	l := m.link(i)
	return l != nil && l.IsUp()
}

func (m *Memory) addVeth(c LinkAdd) error {
	if m.linkByName(c.A) != nil || m.linkByName(c.B) != nil || c.A == c.B {
		return syscall.EEXIST
	}
	for _, name := range []rpdb.LinkName{c.A, c.B} {
		if name == "" || len(name) > 15 {
			return syscall.EINVAL
		}
	}
	veth := rpdb.Link{Flags: linkBcast | linkMcast, MTU: 1500, Kind: "veth"}
	// The kernel makes the peer first.
	veth.Name = c.B
	b := m.newLink(memoryLink{Link: veth})
	veth.Name = c.A
	a := m.newLink(memoryLink{Link: veth, peer: b})
	m.link(b).peer = a
	m.tellLink(b)
	m.tellLink(a)
	return nil
}

func (m *Memory) tellLink(i rpdb.LinkIndex) {
	m.tell(kernel.Event{Type: kernel.EventLink, Link: m.link(i).Link})
}

func (m *Memory) setLink(name rpdb.LinkName, ch kernel.LinkChange) error {
	l := m.linkByName(name)
	switch {
	case l == nil:
		return syscall.ENODEV
	case ch.Up && ch.Down:
		return refuse(syscall.EINVAL, "up and down exclude each other")
	case ch.NewName != "" && m.linkByName(ch.NewName) != nil:
		return syscall.EEXIST
	}
	if g, ok := ch.Group.Get(); ok {
		l.Group = g
	}
	if ch.MTU != 0 {
		l.MTU = ch.MTU
	}
	if ch.NewName != "" {
		m.sysctls.Links[ch.NewName] = m.sysctls.Links[l.Name]
		delete(m.sysctls.Links, l.Name)
		l.Name = ch.NewName
	}
	switch {
	case ch.Up && !l.IsUp():
		l.Flags |= rpdb.LinkUp
		m.cameUp(*l)
	case ch.Down && l.IsUp():
		l.Flags &^= rpdb.LinkUp
		m.wentDown(*l)
	}
	m.tellLink(l.Index)
	return nil
}

// carrier sets the flags of a link that follow from both ends, and reports
// whether it has carrier now and had none before.
func (m *Memory) carrier(i rpdb.LinkIndex) (gained bool) {
	l := m.link(i)
	if l == nil {
		return false
	}
	had := l.HasCarrier()
	l.Flags &^= rpdb.LinkLowerUp | rpdb.LinkRunning
	if l.IsUp() && (l.IsLoopback() || m.isUp(l.peer)) {
		l.Flags |= rpdb.LinkLowerUp | rpdb.LinkRunning
	}
	return l.HasCarrier() && !had
}

// cameUp gives a link back what it has only while it is up.
func (m *Memory) cameUp(l memoryLink) {
	if l.IsLoopback() && !slices.ContainsFunc(m.addresses, func(a rpdb.Address) bool { return a.Link == l.Index }) {
		m.addresses = append(m.addresses, rpdb.Address{
			Link: l.Index, Prefix: netip.MustParsePrefix("127.0.0.1/8"),
			Scope: rpdb.ScopeHost, Flags: rpdb.AddressPermanent,
		})
	}
	for _, a := range m.addressesOf(rpdb.IPv4, l.Index) {
		m.addRoutes4(a)
	}
	for _, i := range []rpdb.LinkIndex{l.Index, l.peer} {
		if m.carrier(i) {
			m.start6(*m.link(i))
			if i != l.Index {
				m.tellLink(i)
			}
		}
	}
}

// start6 begins IPv6 on a link that has carrier now (addrconf_dev_config).
func (m *Memory) start6(l memoryLink) {
	if m.sysctls.Links[l.Name].DisableIPv6 {
		return
	}
	if l.IsLoopback() {
		m.giveAddress6(rpdb.Address{
			Link: l.Index, Prefix: netip.MustParsePrefix("::1/128"),
			Scope: rpdb.ScopeHost, Flags: rpdb.AddressPermanent,
		})
		return
	}
	for _, a := range m.addressesOf(rpdb.IPv6, l.Index) {
		m.addRoutes6(a)
	}
	m.put(rpdb.Route{
		Family: rpdb.IPv6, Table: rpdb.TableLocal, Dst: netip.MustParsePrefix("ff00::/8"), Type: rpdb.RouteMulticast,
		Protocol: rpdb.ProtocolKernel, Metric: 256, Nexthops: []rpdb.Nexthop{{Link: l.Index, Weight: 1}},
	})
	// Any link-local address will do; the real one follows from the MAC.
	local := netip.MustParseAddr("fe80::200:ff:fe00:0").As16()
	local[14], local[15] = byte(l.Index>>8), byte(l.Index)
	m.giveAddress6(rpdb.Address{
		Link: l.Index, Prefix: netip.PrefixFrom(netip.AddrFrom16(local), 64),
		Scope: rpdb.ScopeLink, Flags: rpdb.AddressPermanent,
	})
}

func (m *Memory) giveAddress6(a rpdb.Address) {
	if !slices.ContainsFunc(m.addresses, func(o rpdb.Address) bool { return o.Link == a.Link && o.Prefix == a.Prefix }) {
		m.addresses = append(m.addresses, a)
		m.tell(kernel.Event{Type: kernel.EventAddress, Address: a})
	}
	m.addRoutes6(a)
}

// wentDown takes what a link has only while it is up: IPv4 keeps its addresses
// and their local routes, IPv6 keeps nothing.
func (m *Memory) wentDown(l memoryLink) {
	for _, i := range []rpdb.LinkIndex{l.Index, l.peer} {
		m.carrier(i)
	}
	if l.peer != 0 && m.link(l.peer) != nil {
		m.tellLink(l.peer)
	}
	m.dropNexthops(l.Index)
	m.dropRoutes(l.Index, func(r rpdb.Route) bool { return r.Family == rpdb.IPv4 && r.Scope >= rpdb.ScopeHost })
	for _, a := range m.addressesOf(rpdb.IPv6, l.Index) {
		m.removeAddress(a)
	}
	m.neighbours = slices.DeleteFunc(m.neighbours, func(n rpdb.Neighbour) bool { return n.Link == l.Index })
}

// dropRoutes deletes the routes that lead nowhere without the link, but for
// those that keep says stay. A multipath route goes with its last member.
func (m *Memory) dropRoutes(i rpdb.LinkIndex, keep func(rpdb.Route) bool) {
	for _, f := range rpdb.Families() {
		routes := slices.Clone(m.routes[index(f)])
		for _, r := range routes {
			uses := slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool { return n.Link == i })
			other := slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool { return n.Link != i && m.isUp(n.Link) })
			if uses && !other && !keep(r) && !isReject(r) {
				m.remove(r, f == rpdb.IPv6)
			}
		}
	}
}

// isReject reports whether a route leads to an error; IPv6 shows those on the
// loopback interface.
func isReject(r rpdb.Route) bool { return r.Type.IsError() || r.Type == rpdb.RouteThrow }

func (m *Memory) deleteLink(name rpdb.LinkName) error {
	l := m.linkByName(name)
	if l == nil {
		return syscall.ENODEV
	}
	if l.IsLoopback() {
		return syscall.EOPNOTSUPP
	}
	for _, i := range []rpdb.LinkIndex{l.Index, l.peer} {
		m.dropLink(*m.link(i))
	}
	return nil
}

func (m *Memory) dropLink(l memoryLink) {
	if l.IsUp() {
		m.link(l.Index).Flags &^= rpdb.LinkUp
		m.wentDown(*m.link(l.Index))
	}
	for _, f := range rpdb.Families() {
		for _, a := range m.addressesOf(f, l.Index) {
			m.removeAddress(a)
		}
	}
	for _, f := range rpdb.Families() { // members of multipath routes too
		for _, r := range slices.Clone(m.routes[index(f)]) {
			if slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool { return n.Link == l.Index }) {
				m.remove(r, f == rpdb.IPv6)
			}
		}
	}
	m.links = slices.DeleteFunc(m.links, func(o memoryLink) bool { return o.Index == l.Index })
	delete(m.sysctls.Links, l.Name)
	m.tell(kernel.Event{Type: kernel.EventLink, Deleted: true, Link: l.Link})
}

func (m *Memory) neighbour(c Command) error {
	set, isSet := c.(NeighbourSet)
	if !isSet {
		d := c.(NeighbourDelete)
		set = NeighbourSet{Link: d.Link, Addr: d.Addr}
	}
	l := m.linkByName(set.Link)
	if l == nil {
		return syscall.ENODEV
	}
	if isSet && !l.IsUp() {
		return syscall.ENETDOWN
	}
	i := slices.IndexFunc(m.neighbours, func(n rpdb.Neighbour) bool { return n.Link == l.Index && n.Addr == set.Addr })
	switch {
	case !isSet && i < 0:
		return syscall.ENOENT
	case !isSet:
		m.neighbours = slices.Delete(m.neighbours, i, i+1)
	case i < 0:
		m.neighbours = append(m.neighbours, rpdb.Neighbour{Link: l.Index, Addr: set.Addr, State: set.State})
	default:
		m.neighbours[i].State = set.State
	}
	return nil
}

func (m *Memory) addNexthop(n rpdb.NexthopObject) error {
	switch {
	case n.ID == 0:
		return syscall.EINVAL
	case m.nexthop(n.ID) != nil:
		return syscall.EEXIST
	case len(n.Group) == 0 && !n.Blackhole && m.link(n.Nexthop.Link) == nil:
		return syscall.ENODEV
	case len(n.Group) == 0 && !n.Blackhole && !m.isUp(n.Nexthop.Link):
		return refuse(syscall.ENETDOWN, "Carrier for nexthop device is down")
	}
	for _, g := range n.Group {
		if m.nexthop(g.ID) == nil {
			return refuse(syscall.EINVAL, "Invalid nexthop id")
		}
	}
	if len(n.Group) == 0 {
		n.Nexthop.Weight = 0
	}
	if n.Nexthop.Via.IsValid() && n.Scope == 0 && n.Nexthop.Via.Is4() {
		r := rpdb.Route{Family: rpdb.IPv4, Table: rpdb.TableMain}
		if _, err := m.checkHop4(r, n.Nexthop); err != nil {
			return err
		}
	}
	m.nexthops = append(m.nexthops, n)
	m.tell(kernel.Event{Type: kernel.EventNexthop, Nexthop: n})
	return nil
}

func (m *Memory) nexthop(id uint32) *rpdb.NexthopObject {
	for i := range m.nexthops {
		if m.nexthops[i].ID == id {
			return &m.nexthops[i]
		}
	}
	return nil
}

// deleteNexthop deletes an object, its membership in groups, and the routes
// that use it, which are not told.
func (m *Memory) deleteNexthop(id uint32) error {
	n := m.nexthop(id)
	if n == nil {
		return syscall.ENOENT
	}
	gone := *n
	m.nexthops = slices.DeleteFunc(m.nexthops, func(o rpdb.NexthopObject) bool { return o.ID == id })
	for i := range m.nexthops {
		o := &m.nexthops[i]
		was := len(o.Group)
		o.Group = slices.DeleteFunc(slices.Clone(o.Group), func(g rpdb.GroupMember) bool { return g.ID == id })
		if was > 0 && len(o.Group) == 0 {
			_ = m.deleteNexthop(o.ID) // it is there
			break
		}
	}
	for f := range m.routes {
		m.routes[f] = slices.DeleteFunc(slices.Clone(m.routes[f]), func(r rpdb.Route) bool { return r.NexthopID == id })
	}
	m.tell(kernel.Event{Type: kernel.EventNexthop, Deleted: true, Nexthop: gone})
	return nil
}

// dropNexthops deletes the objects that lead out by a link that goes down.
func (m *Memory) dropNexthops(i rpdb.LinkIndex) {
	for _, n := range slices.Clone(m.nexthops) {
		if n.Nexthop.Link == i && len(n.Group) == 0 {
			_ = m.deleteNexthop(n.ID) // it is there
		}
	}
}

// hops returns where a nexthop object leads.
func (m *Memory) hops(id uint32) []rpdb.Nexthop {
	n := m.nexthop(id)
	switch {
	case n == nil || n.Blackhole:
		return nil
	case len(n.Group) == 0:
		hop := n.Nexthop
		hop.Weight = 1
		return []rpdb.Nexthop{hop}
	}
	var list []rpdb.Nexthop
	for _, g := range n.Group {
		for _, hop := range m.hops(g.ID) {
			hop.Weight = g.Weight
			list = append(list, hop)
		}
	}
	return list
}
