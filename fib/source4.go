package fib

import (
	"net/netip"
	"slices"

	"rpdb"
)

// selectAddr4 picks the address of an interface that packets to a gateway (or
// to any, if dst is invalid) carry as their source: the first of a scope that
// reaches far enough, better one whose network holds dst, else one of another
// interface (inet_select_addr). Invalid: there is none.
func (f *FIB) selectAddr4(l *link, dst netip.Addr, scope rpdb.Scope) (netip.Addr, SourceBy) {
	if l != nil {
		if scope == rpdb.ScopeLink && l.unknown.Has(rpdb.SettingRouteLocalnet) && l.hasHostScope4() {
			return netip.Addr{}, SourceNone // the setting says whether the address is one for the link
		}
		if a, by := l.selectAddr4(dst, scope); a.IsValid() {
			return a, by
		}
	}
	vrf := l.vrfIndex()
	if vrf != 0 {
		if a := l.vrf.globalAddr4(scope); a.IsValid() {
			return a, SourceVRF
		}
	}
	for _, other := range f.links {
		if other.vrfIndex() != vrf {
			continue
		}
		if a := other.globalAddr4(scope); a.IsValid() {
			return a, SourceOther
		}
	}
	return netip.Addr{}, SourceNone
}

func (l *link) selectAddr4(dst netip.Addr, scope rpdb.Scope) (found netip.Addr, by SourceBy) {
	farthest := rpdb.ScopeHost
	if l.localnet {
		farthest = rpdb.ScopeLink
	}
	for i := range l.addrs4 {
		a := &l.addrs4[i]
		if a.Flags&rpdb.AddressSecondary != 0 || min(a.Scope, farthest) > scope {
			continue
		}
		switch {
		case !dst.IsValid():
			return a.Prefix.Addr(), SourcePrimary
		case connected4(a, dst):
			return a.Prefix.Addr(), SourceNetwork
		case !found.IsValid():
			found, by = a.Prefix.Addr(), SourcePrimary
		}
	}
	return found, by
}

func (l *link) hasHostScope4() bool {
	return slices.ContainsFunc(l.addrs4, func(a rpdb.Address) bool { return a.Scope == rpdb.ScopeHost })
}

// globalAddr4 returns the first address of a scope wide enough, but never one
// of scope link (in_dev_select_addr).
func (l *link) globalAddr4(scope rpdb.Scope) netip.Addr {
	for i := range l.addrs4 {
		a := &l.addrs4[i]
		if a.Flags&rpdb.AddressSecondary == 0 && a.Scope != rpdb.ScopeLink && a.Scope <= scope {
			return a.Prefix.Addr()
		}
	}
	return netip.Addr{}
}

// connected4 reports whether dst is in the network of an address, which is
// that of the other end if it has one (inet_ifa_match).
func connected4(a *rpdb.Address, dst netip.Addr) bool {
	if a.Peer.IsValid() {
		return netip.PrefixFrom(a.Peer, a.Prefix.Bits()).Contains(dst)
	}
	return a.Prefix.Contains(dst)
}

// isLocal4 reports whether an address may be the source of a local packet:
// assigned to an interface, or local by table local (__ip_dev_find).
func (f *FIB) isLocal4(a netip.Addr) bool { return f.local4[a] || f.localRoute4(a) != nil }

// localRoute4 returns the nexthop by which table local has an address, nil if
// it does not.
func (f *FIB) localRoute4(a netip.Addr) *hop {
	t := f.v4.merged
	if t == nil {
		t = f.v4.tables[rpdb.TableLocal]
	}
	if t == nil {
		return nil
	}
	var res result
	t.find4(&key{dst: a}, &res, nil)
	if res.outcome != hit || res.route.typ != rpdb.RouteLocal {
		return nil
	}
	return res.hop
}

// source4 returns the source that a route gives to a packet without one.
func source4(r *route, h *hop) (netip.Addr, SourceBy) {
	if r.prefsrc.IsValid() {
		return r.prefsrc, SourceRoute
	}
	return h.src, h.srcBy
}

// The IPv4 addresses that are special to the kernel.
func broadcast4() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }
func loopback4() netip.Addr  { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// isLocalMulticast4 reports whether an address is in 224.0.0.0/24.
func isLocalMulticast4(a netip.Addr) bool {
	b := a.As4()
	return b[0] == 224 && b[1] == 0 && b[2] == 0
}
