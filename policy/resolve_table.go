package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
)

// resolveTables adds the routes of the tables that the document lists.
func (r *resolver) resolveTables() {
	written := map[rpdb.RouteKey]Position{}
	for i, t := range r.doc.Tables {
		before := len(r.out.Routes)
		for _, route := range t.Routes {
			for _, f := range route.Families() {
				r.resolveRoute(t.TableRef, r.tables.others[i], route, f, written)
			}
		}
		if adopts := r.protocols(t.Adopt); len(adopts) > 0 {
			for j := before; j < len(r.out.Routes); j++ {
				r.out.Routes[j].Adopts = adopts
			}
		}
	}
}

func hasGateway(doc Route) bool {
	return slices.ContainsFunc(doc.Hops, func(h Hop) bool { return h.Via.IsSet() })
}

// resolveRoute adds one route in one family, or says what it waits for.
func (r *resolver) resolveRoute(t TableRef, id rpdb.TableID, doc Route, f rpdb.Family, written map[rpdb.RouteKey]Position) {
	route := doc.bare(id, f)
	name := fmt.Sprintf("%s: %s", tableText(t, id), destinationText(route))
	if first, ok := written[route.Key()]; ok {
		r.reportAt(doc.Position, "route", destinationText(route), bad("stands there twice in %v, first in line %d", f, first.Line).try("give one of them another metric"))
		return
	}
	written[route.Key()] = doc.Position
	why := r.sourceWaits(doc.Src)
	for _, h := range doc.Hops {
		hop, waits := r.resolveHop(h, route, doc.Onlink)
		why = firstText(why, waits)
		route.Nexthops = append(route.Nexthops, hop)
	}
	if why != "" {
		r.out.Waiting = append(r.out.Waiting, rpdb.Waiting{
			Name: fmt.Sprintf("%s (%v)", name, f), Reason: printable(why), Family: f, Table: id, Dst: route.Dst,
		})
		return
	}
	r.addRoute(name, route)
}

// bare returns what a document says of a route in one family, without where it
// leads.
func (r Route) bare(id rpdb.TableID, f rpdb.Family) rpdb.Route {
	route := rpdb.Route{
		Family: f, Table: id, Dst: r.To, Type: r.Type, Metric: r.Metric, TOS: r.TOS,
		Protocol: rpdb.ProtocolRPDB, PrefSrc: r.Src.Value, Scope: scopeOf(r, f),
	}
	if !route.Dst.IsValid() {
		route.Dst = f.Default()
	}
	for _, m := range []rpdb.Metric{
		{Type: rpdb.MetricMTU, Value: r.MTU},
		{Type: rpdb.MetricAdvMSS, Value: r.AdvMSS},
		{Type: rpdb.MetricInitCWnd, Value: r.InitCWnd},
		{Type: rpdb.MetricInitRWnd, Value: r.InitRWnd},
	} {
		if m.Value != 0 {
			route.Metrics = append(route.Metrics, m)
		}
	}
	return route
}

func destinationText(r rpdb.Route) string {
	if r.IsDefault() {
		return "default"
	}
	return r.Dst.String()
}

// scopeOf returns the scope that ip-route(8) gives a route: IPv6 has none.
func scopeOf(doc Route, f rpdb.Family) rpdb.Scope {
	said, ok := doc.Scope.Get()
	switch {
	case ok:
		return said
	case f == rpdb.IPv6 || doc.Type != rpdb.RouteUnicast && doc.Type != rpdb.RouteLocal:
		return rpdb.ScopeGlobal
	case doc.Type == rpdb.RouteLocal:
		return rpdb.ScopeHost
	case hasGateway(doc):
		return rpdb.ScopeGlobal
	}
	return rpdb.ScopeLink
}

// sourceWaits says why a source cannot be used now, "" if it can.
func (r *resolver) sourceWaits(src Located[netip.Addr]) string {
	if !src.IsSet() {
		return ""
	}
	why := fmt.Sprintf("address %v is on no interface", src.Value)
	for _, a := range r.host.Addresses {
		switch {
		case a.Prefix.Addr() != src.Value:
		case a.Usable():
			return ""
		default:
			why = fmt.Sprintf("address %v on %s is %s", src.Value, r.host.LinkName(a.Link), unusableWord(a))
		}
	}
	return why
}

// resolveHop returns a nexthop, and what it waits for, "" if for nothing.
func (r *resolver) resolveHop(h Hop, route rpdb.Route, onlink bool) (hop rpdb.Nexthop, waits string) {
	hop = rpdb.Nexthop{Via: h.Via.Value, Weight: h.Weight}
	link, ok := r.host.LinkByName(h.Dev)
	switch {
	case h.Dev == "":
		link, ok = r.linkOf(h.Via.Value)
		if !ok {
			return hop, fmt.Sprintf("no interface has a network with %v", h.Via.Value)
		}
	case !ok:
		return hop, fmt.Sprintf("interface %s does not exist", h.Dev)
	}
	hop.Link = link.Index
	switch {
	case !link.IsUp():
		return hop, fmt.Sprintf("interface %s is down", link.Name)
	case route.Family == rpdb.IPv6 && r.host.Sysctls.Links[link.Name].DisableIPv6:
		return hop, fmt.Sprintf("IPv6 is disabled on %s", link.Name)
	case !h.Via.IsSet():
		return hop, ""
	case onlink:
		hop.Flags |= rpdb.NexthopOnlink
		return hop, ""
	}
	return hop, r.gatewayWaits(h.Via, link, route.Table)
}

// linkOf returns the interface with the most precise network that holds a
// gateway.
func (r *resolver) linkOf(gw netip.Addr) (rpdb.Link, bool) {
	best, at := -1, rpdb.LinkIndex(0)
	for _, a := range r.host.Addresses {
		if n := networkOf(a); n.Contains(gw) && n.Bits() > best && a.Usable() {
			best, at = n.Bits(), a.Link
		}
	}
	return r.host.Link(at)
}

// gatewayWaits says what a gateway waits for, "" if for nothing, and reports
// one that the interface cannot reach.
func (r *resolver) gatewayWaits(gw Located[netip.Addr], l rpdb.Link, t rpdb.TableID) string {
	f := rpdb.FamilyOf(gw.Value)
	if f == rpdb.IPv6 && gw.Value.IsLinkLocalUnicast() {
		return ""
	}
	live := r.liveAddresses(f, l)
	var networks []string
	tentative := ""
	for _, a := range live {
		switch n := networkOf(a); {
		case n.Contains(gw.Value) && a.Usable():
			return ""
		case n.Contains(gw.Value):
			tentative = fmt.Sprintf("address %v on %s is %s", a.Prefix.Addr(), l.Name, unusableWord(a))
		default:
			networks = append(networks, n.String())
		}
	}
	switch {
	case r.onLinkRoute(gw.Value, l, t): // asked late: it looks at all routes
		return ""
	case tentative != "":
		return tentative
	case len(live) == 0:
		return fmt.Sprintf("no %v address on %s", f, l.Name)
	}
	if r.inForce {
		return fmt.Sprintf("gateway %v is in no network of %s, which has %s", gw.Value, l.Name, joinSorted(networks))
	}
	r.reportAt(gw.Position, "via", gw.Text, bad("in no network of %s, which has %s", l.Name, joinSorted(networks)).
		try("write onlink: true if the gateway is on the link all the same"))
	return ""
}

// onLinkRoute reports whether a route without a gateway leads to an address by
// an interface: one on the host in the same table or in main, or one of the
// document in the same table.
func (r *resolver) onLinkRoute(a netip.Addr, l rpdb.Link, t rpdb.TableID) bool {
	leads := func(route rpdb.Route) bool {
		return (route.Table == t || route.Table == rpdb.TableMain) && !route.IsDefault() && route.Dst.Contains(a) &&
			slices.ContainsFunc(route.Nexthops, func(n rpdb.Nexthop) bool { return n.Link == l.Index && !n.Via.IsValid() })
	}
	listed := func(doc Route) bool {
		return doc.Type == rpdb.RouteUnicast && doc.To.Contains(a) &&
			slices.ContainsFunc(doc.Hops, func(h Hop) bool { return h.Dev == l.Name && !h.Via.IsSet() })
	}
	at := slices.Index(r.tables.others, t)
	return at >= 0 && slices.ContainsFunc(r.doc.Tables[at].Routes, listed) || slices.ContainsFunc(r.host.Routes, leads)
}
