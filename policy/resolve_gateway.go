package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
)

// offer is a default route of the host's table main, as one of its nexthops by
// an uplink's interface has it.
type offer struct {
	via     netip.Addr // invalid: the route has no gateway
	onlink  bool       // the host reaches it, though it is in no network
	reached bool       // the host reaches it now
	metric  uint32
	rank    int // by the preference that the router gave itself
}

// hostGateway finds the gateway that the host has by an uplink's interface, and
// whether it is on the link though no network holds it; or says why there is
// none. The best default route is the one of the least metric, then of the
// highest preference, then the one that the uplink's table has already, then the
// one that the host lists first. One whose gateway cannot be reached, as it is
// left from a former address, gives way to any that can.
func (r *resolver) hostGateway(p uplinkPart, live []rpdb.Address) (gw netip.Addr, onlink bool, why string) {
	var usable []offer
	why = fmt.Sprintf("table main has no default route by %s", p.link.Name)
	for _, o := range r.offers(p, live) {
		switch {
		case !o.via.IsValid():
			why = fmt.Sprintf("the default route by %s in table main has no gateway", p.link.Name)
		case rpdb.FamilyOf(o.via) != p.family:
			why = fmt.Sprintf("the default route by %s in table main has the gateway %v", p.link.Name, o.via)
		case r.ownAddress(p, o.via):
			why = fmt.Sprintf("the gateway %v in table main is an address of this host itself", o.via)
		default:
			usable = append(usable, o)
		}
	}
	if len(usable) == 0 {
		return netip.Addr{}, false, why
	}
	had := r.defaultVia(p)
	best := slices.MinFunc(usable, func(a, b offer) int {
		return cmp.Or(falseLast(a.reached, b.reached), cmp.Compare(a.metric, b.metric), cmp.Compare(a.rank, b.rank), falseLast(a.via == had, b.via == had))
	})
	return best.via, best.onlink, ""
}

// falseLast orders what is so before what is not.
func falseLast(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// offers lists the default routes in table main by the interface of an uplink,
// but for those of a policy.
func (r *resolver) offers(p uplinkPart, live []rpdb.Address) []offer {
	var all []offer
	for _, route := range r.host.Routes {
		if !isDefaultOf(route, p.family, rpdb.TableMain) || route.Protocol == rpdb.ProtocolRPDB {
			continue
		}
		for _, n := range route.Nexthops {
			if n.Link != p.link.Index || n.Flags&rpdb.NexthopDead != 0 {
				continue
			}
			o := offer{via: n.Via, metric: route.Metric, rank: preferenceRank(route.Pref)}
			if !o.via.IsValid() {
				o.via = peerOn(r.host, n.Link, p.family)
			}
			connected := inNetwork(o.via, live)
			o.onlink = !connected && (n.Flags&rpdb.NexthopOnlink != 0 || r.onLinkRoute(o.via, p.link, p.table))
			o.reached = connected || o.onlink
			all = append(all, o)
		}
	}
	return all
}

// inNetwork reports whether a gateway is in a network of an interface, or in the
// link-local one of IPv6, that every interface has.
func inNetwork(gw netip.Addr, live []rpdb.Address) bool {
	return isLinkLocal6(gw) || slices.ContainsFunc(live, func(a rpdb.Address) bool { return networkOf(a).Contains(gw) })
}

// isDefaultOf reports whether packets of any kind follow a route by default.
func isDefaultOf(r rpdb.Route, f rpdb.Family, t rpdb.TableID) bool {
	return r.Family == f && r.Table == t && r.IsDefault() && r.Type == rpdb.RouteUnicast && r.TOS == 0 && r.Src.Bits() <= 0
}

// preferenceRank orders routers by the preference of their advertisements.
func preferenceRank(p rpdb.RouterPreference) int {
	switch p {
	case rpdb.PreferenceHigh:
		return 0
	case rpdb.PreferenceLow:
		return 2
	}
	return 1
}

// peerOn returns the other end of a point-to-point link.
func peerOn(s *rpdb.Snapshot, l rpdb.LinkIndex, f rpdb.Family) netip.Addr {
	for _, a := range s.AddressesOf(f, l) {
		if a.Peer.IsValid() && a.Peer != a.Prefix.Addr() {
			return a.Peer
		}
	}
	return netip.Addr{}
}

// defaultVia returns the gateway that the uplink's table has on the host now, in
// whichever of its two numbers.
func (r *resolver) defaultVia(p uplinkPart) netip.Addr {
	for _, route := range r.host.Routes {
		if route.Protocol == rpdb.ProtocolRPDB && isDefaultOf(route, p.family, route.Table) && logical(route.Table) == p.table && len(route.Nexthops) > 0 {
			return route.Nexthops[0].Via
		}
	}
	return netip.Addr{}
}

// ownAddress reports whether the host itself has an address: on any interface,
// or a link-local one on that of the uplink.
func (r *resolver) ownAddress(p uplinkPart, gw netip.Addr) bool {
	return slices.ContainsFunc(r.host.Addresses, func(a rpdb.Address) bool {
		return a.Prefix.Addr() == gw && (a.Link == p.link.Index || !gw.IsLinkLocalUnicast())
	})
}

// gatewayWrong says why the gateway that the document gives can never be one,
// nil if it can: an address of this host, or outside every network that the
// interface has or that the document expects it to get.
func (r *resolver) gatewayWrong(p uplinkPart, live []rpdb.Address) *problem {
	for _, a := range r.host.Addresses {
		if a.Prefix.Addr() == p.gateway && (a.Link == p.link.Index || !p.gateway.IsLinkLocalUnicast()) {
			return bad("an address of this host itself, on %s", r.host.LinkName(a.Link))
		}
	}
	if p.onlink {
		return nil
	}
	networks := make([]string, 0, len(live))
	for _, a := range live {
		n := networkOf(a)
		if n.Contains(p.gateway) {
			return edgeAddress(n, p.gateway)
		}
		networks = append(networks, n.String())
	}
	for _, a := range p.uplink.Addresses {
		if a.Value.Masked().Contains(p.gateway) {
			return edgeAddress(a.Value.Masked(), p.gateway)
		}
	}
	if len(live) == 0 || p.family == rpdb.IPv6 && p.gateway.IsLinkLocalUnicast() {
		return nil
	}
	return bad("in no network of %s, which has %s", p.link.Name, joinSorted(networks)).
		try("write onlink: true if the gateway is on the link all the same")
}

// edgeAddress refuses the first and the last address of an IPv4 network.
func edgeAddress(n netip.Prefix, a netip.Addr) *problem {
	if !a.Is4() || n.Bits() >= 31 {
		return nil
	}
	if a == n.Addr() {
		return bad("the address of the network %v itself", n)
	}
	if !n.Contains(a.Next()) {
		return bad("the broadcast address of %v", n)
	}
	return nil
}
