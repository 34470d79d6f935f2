package netplan

import (
	"fmt"
	"slices"

	"rpdb"
	"rpdb/format/iproute2"
)

// routes writes the routes.
func (w *writer) routes() {
	for _, r := range w.snapshot.Routes {
		r = r.Canonical()
		if reason := w.routeLoss(r); reason != "" {
			w.lose(iproute2.RouteCommand(rpdb.Add, r, iproute2.RouteView{LinkName: w.snapshot.LinkName}), reason)
			continue
		}
		name := loopback
		if len(r.Nexthops) > 0 {
			name = w.snapshot.LinkName(r.Nexthops[0].Link)
		}
		d := w.device(name)
		d.routes = append(d.routes, routeEntry(r).String())
	}
}

// routeLoss says why a route cannot be written as it is, "" if it can.
func (w *writer) routeLoss(r rpdb.Route) string {
	switch {
	case r.Unknown != "":
		return "it has attributes that are not known here"
	case r.NexthopID != 0, len(r.Nexthops) > 1:
		return "netplan has routes with one gateway only"
	case r.TOS != 0, r.Realms != 0, r.Src.IsValid(), r.Pref != rpdb.PreferenceMedium:
		return "netplan has no TOS, realms, sources and preferences of routes"
	case r.Type < rpdb.RouteUnicast || r.Type > rpdb.RouteXResolve:
		return "netplan has no such type of route"
	case r.Metric > highest, r.Table > highest:
		return fmt.Sprintf("netplan hands on numbers up to %d, and -1 for those that are larger", highest)
	case len(r.Nexthops) == 0 && !leadsNowhere(r.Type):
		return "it leads nowhere"
	case r.Family == rpdb.IPv4 && !slices.Contains(scopes(), r.Scope.String()):
		return "netplan has no scopes but global, link and host"
	}
	for _, m := range r.Metrics {
		if metricKey(m.Type) == "" || m.Value == 0 || m.Value > highest {
			return "netplan has no word for one of its metrics"
		}
	}
	if len(r.Nexthops) == 0 {
		return ""
	}
	return w.hopLoss(r)
}

func (w *writer) hopLoss(r rpdb.Route) string {
	hop := r.Nexthops[0]
	if reason := w.reasonOfLink(hop.Link); reason != "" {
		return reason
	}
	switch {
	case hop.EncapType != 0 || hop.Encap != "" || hop.Realms != 0 || hop.Flags&^rpdb.NexthopOnlink != 0:
		return "netplan has no word for what its nexthop has besides the gateway"
	case hop.Flags != 0 && !hop.Via.IsValid():
		return "netplan has on-link for gateways alone"
	case hop.Via.IsValid() && rpdb.FamilyOf(hop.Via) != r.Family:
		return "netplan has no gateways of the other family"
	case r.Type == rpdb.RouteUnicast && !hop.Via.IsValid() && r.Family == rpdb.IPv4 && r.Scope == rpdb.ScopeGlobal:
		return "netplan has no global routes without a gateway"
	}
	return ""
}

func metricKey(t rpdb.MetricType) string {
	switch t {
	case rpdb.MetricMTU:
		return "mtu"
	case rpdb.MetricInitCWnd:
		return "congestion-window"
	case rpdb.MetricInitRWnd:
		return "advertised-receive-window"
	}
	return ""
}

// routeEntry returns the entry of a route that nothing of is lost.
func routeEntry(r rpdb.Route) *flow {
	f := &flow{}
	f.add("to", "%q", r.Dst)
	if r.Type != rpdb.RouteUnicast {
		f.add("type", "%v", r.Type)
	}
	bare := true
	if len(r.Nexthops) > 0 && r.Nexthops[0].Via.IsValid() {
		bare = false
		f.add("via", "%q", r.Nexthops[0].Via)
		if r.Nexthops[0].Flags != 0 {
			f.add("on-link", "true")
		}
	}
	switch {
	case r.Family == rpdb.IPv6 && r.Type == rpdb.RouteUnicast && bare: // it means nothing, and netplan wants it
		f.add("scope", "link")
	case r.Family == rpdb.IPv4 && r.Scope != defaultScope(r.Type):
		f.add("scope", "%v", r.Scope)
	}
	if r.PrefSrc.IsValid() {
		f.add("from", "%q", r.PrefSrc)
	}
	if r.Metric != 0 && (r.Family != rpdb.IPv6 || r.Metric != 1024) { // what a route without one has
		f.add("metric", "%d", r.Metric)
	}
	for _, m := range r.Metrics {
		f.add(metricKey(m.Type), "%d", m.Value)
	}
	f.add("table", "%d", r.Table)
	return f
}
