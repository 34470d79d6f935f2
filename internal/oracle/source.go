package oracle

import (
	"cmp"
	"net/netip"
	"slices"

	"rpdb"
)

// byLink lists the addresses by interface, in each as the snapshot has them.
func (w world) byLink() []rpdb.Address {
	list := slices.Clone(w.Addresses)
	slices.SortStableFunc(list, func(a, b rpdb.Address) int { return cmp.Compare(a.Link, b.Link) })
	return list
}

// address4 is the address that an interface offers toward a gateway.
func (w world) address4(n rpdb.Nexthop, scope rpdb.Scope) netip.Addr {
	l, _ := w.Link(n.Link)
	limit := rpdb.ScopeHost
	if w.Sysctls.All.RouteLocalnet || w.Sysctls.Links[l.Name].RouteLocalnet {
		limit = rpdb.ScopeLink
	}
	var best netip.Addr
	for _, a := range w.AddressesOf(rpdb.IPv4, n.Link) {
		if a.Flags&rpdb.AddressSecondary != 0 || min(a.Scope, limit) > scope {
			continue
		}
		network := a.Prefix
		if a.Peer.IsValid() {
			network = netip.PrefixFrom(a.Peer, a.Prefix.Bits())
		}
		if !n.Via.IsValid() || network.Masked().Contains(n.Via) {
			return a.Prefix.Addr()
		}
		if !best.IsValid() {
			best = a.Prefix.Addr()
		}
	}
	if best.IsValid() {
		return best
	}
	return w.elsewhere4(w.vrfOf(l.Name), scope)
}

// elsewhere4 is the first address of another interface of the same VRF, the
// VRF's own before all.
func (w world) elsewhere4(vrf rpdb.LinkName, scope rpdb.Scope) netip.Addr {
	for _, own := range []bool{true, false} {
		for _, a := range w.byLink() {
			name := w.LinkName(a.Link)
			if w.vrfOf(name) != vrf || own && (vrf == "" || name != vrf) || !a.Prefix.Addr().Is4() {
				continue
			}
			if a.Flags&rpdb.AddressSecondary == 0 && a.Scope != rpdb.ScopeLink && a.Scope <= scope {
				return a.Prefix.Addr()
			}
		}
	}
	return netip.Addr{}
}

// owner4 returns the interface that an address of this host is on: assigned to
// it, or by table local.
func (w world) owner4(a netip.Addr) (rpdb.LinkName, bool) {
	for _, x := range w.byLink() {
		if x.Prefix.Addr() == a {
			return w.LinkName(x.Link), true
		}
	}
	tables := []rpdb.TableID{rpdb.TableLocal}
	if w.pristine(rpdb.IPv4) {
		tables = append(tables, rpdb.TableMain)
	}
	found := w.table4(tables, packet{Flow: rpdb.Flow{Dst: a}})
	ok := found.route != nil && found.found() && routeType(found.route) == rpdb.RouteLocal
	return w.LinkName(found.hop.Link), ok
}

// source6 is the best source toward a destination by RFC 6724, if the snapshot
// tells: the addresses are compared one by one, and the first of equals stays.
func (w world) source6(dst netip.Addr, r *rpdb.Route, by rpdb.LinkName) (netip.Addr, bool) {
	if r != nil && r.PrefSrc.IsValid() {
		return r.PrefSrc, true
	}
	out, _ := w.LinkByName(by)
	var able []rpdb.Address
	for _, a := range w.byLink() {
		addr := a.Prefix.Addr()
		switch {
		case !addr.Is6() || !a.Usable() || addr.IsMulticast() || addr.IsUnspecified():
		case by != "" && (dst.IsMulticast() || reach6(dst) <= 2) && a.Link != out.Index:
		case w.vrfOf(w.LinkName(a.Link)) != w.vrfOf(by):
		default:
			able = append(able, a)
		}
	}
	for i, best := range able {
		wins := true
		for j, a := range able {
			x, y := w.merits(best, dst, out), w.merits(a, dst, out)
			k := 0
			for k < len(x) && x[k] == y[k] {
				k++
			}
			wins = wins && (k == len(x) && i <= j || k < len(x) && k != temporary && x[k] > y[k])
		}
		if wins {
			return best.Prefix.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// temporary is the place among the merits that a setting outside the snapshot
// decides about.
const temporary = 5

// merits rates an address, the most important first.
func (w world) merits(a rpdb.Address, dst netip.Addr, out rpdb.Link) []int {
	addr := a.Prefix.Addr()
	scope := reach6(addr) - 128
	if reach6(addr) >= reach6(dst) {
		scope = -reach6(addr)
	}
	common := 0
	x, y := addr.As16(), dst.As16()
	for common < a.Prefix.Bits() && x[common/8]>>(7-common%8)&1 == y[common/8]>>(7-common%8)&1 {
		common++
	}
	return []int{
		one(addr == dst), scope, one(a.Flags&rpdb.AddressDeprecated == 0 || addr.IsLoopback()),
		one(out.Index == 0 || a.Link == out.Index), one(label(addr) == label(dst)),
		one(a.Flags&rpdb.AddressSecondary != 0), one(isOrchid(addr) == isOrchid(dst)), common,
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// label looks an address up in the kernel's label table.
func label(a netip.Addr) int {
	switch {
	case a.IsLoopback():
		return 0 // ::1/128
	case a.Is4In6():
		return 4 // ::ffff:0:0/96
	case begins(a, 96):
		return 3
	case begins(a, 32, 0x20, 0x01, 0, 0):
		return 6
	case isOrchid(a):
		return 7
	case begins(a, 16, 0x20, 0x02):
		return 2
	case begins(a, 16, 0x3f, 0xfe):
		return 12
	case isSiteLocal(a):
		return 11
	case begins(a, 7, 0xfc):
		return 5
	}
	return 1
}

// begins reports whether an address is in a prefix that begins with some bytes, all
// others of it being zero. To parse prefixes takes longer than all the rest.
func begins(a netip.Addr, bits int, first ...byte) bool {
	var b [16]byte
	copy(b[:], first)
	return netip.PrefixFrom(netip.AddrFrom16(b), bits).Contains(a)
}

func isOrchid(a netip.Addr) bool { return begins(a, 28, 0x20, 0x01, 0x00, 0x10) }

func isSiteLocal(a netip.Addr) bool { return begins(a, 10, 0xfe, 0xc0) }

// reach6 is the scope of an address as multicast addresses number it.
func reach6(a netip.Addr) int {
	switch {
	case a.IsMulticast():
		return int(a.As16()[1] & 15)
	case a.IsUnspecified():
		return -1
	case a.IsLoopback(), a.IsLinkLocalUnicast():
		return 2
	case isSiteLocal(a):
		return 5
	}
	return 14
}
