package networkd

import (
	"fmt"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
)

// leases writes by which way interfaces get addresses, and the routes by the
// gateways that come with them.
func (w *writer) leases(leases []format.Lease) {
	network := map[rpdb.LinkName]*keys{}
	var said []format.Lease
	for _, l := range leases {
		name := w.snapshot.LinkName(l.Link)
		if !isMatchName(string(name)) {
			w.lose(fmt.Sprintf("the leases of %s (%v)", quoted(name), l.Family), noMatch)
			l.Routes, l.Rules = nil, nil
			continue
		}
		if network[name] == nil {
			network[name] = &keys{}
		}
		if l.Family == rpdb.IPv4 {
			network[name].add("DHCP", "ipv4")
		} else {
			network[name].add("IPv6AcceptRA", "yes")
		}
		said = append(said, l)
	}
	for _, l := range said {
		if name := w.snapshot.LinkName(l.Link); network[name] != nil {
			w.section(name, "Network", network[name])
			delete(network, name)
		}
	}
	for _, l := range said {
		if k := mainKeys(l); k.Len() > 0 {
			title := map[rpdb.Family]string{rpdb.IPv4: "DHCPv4", rpdb.IPv6: "IPv6AcceptRA"}[l.Family]
			w.section(w.snapshot.LinkName(l.Link), title, k)
		}
	}
	w.losses = append(w.losses, iproute2.LeaseLosses(w.snapshot, w.names, said, "networkd", leadsToGateway)...)
	for _, l := range said {
		for _, r := range l.Routes {
			if leadsToGateway(r) {
				w.section(w.snapshot.LinkName(l.Link), "Route", w.gatewayKeys(r))
			}
		}
	}
}

// mainKeys says what table main has of a lease where it is not what networkd makes of
// one by itself.
func mainKeys(l format.Lease) *keys {
	k := &keys{}
	switch {
	case !l.Default:
		k.add("UseGateway", "no")
	case l.Metric != 1024:
		k.add("RouteMetric", "%d", l.Metric)
	}
	return k
}

// leadsToGateway reports whether a route is nothing but a default route by one
// gateway: networkd fills in that of a lease.
func leadsToGateway(r rpdb.Route) bool {
	plain := rpdb.Route{Family: r.Family, Table: r.Table, Dst: r.Family.Default(), Type: rpdb.RouteUnicast, Metric: r.Metric, Protocol: r.Protocol, Nexthops: r.Nexthops}
	return len(r.Nexthops) == 1 && r.Nexthops[0].Via.IsValid() && r.Equal(plain)
}

// gatewayKeys returns the section of a route by the gateway of a lease. The metric
// is always there: without one it is that of the lease's own routes.
func (w *writer) gatewayKeys(r rpdb.Route) *keys {
	r = r.Canonical()
	k := &keys{}
	if r.Family == rpdb.IPv4 {
		k.add("Gateway", "_dhcp4")
	} else {
		k.add("Gateway", "_ipv6ra")
	}
	if r.Nexthops[0].Flags&rpdb.NexthopOnlink != 0 {
		k.add("GatewayOnLink", "yes")
	}
	k.add("Metric", "%d", r.Metric)
	k.add("Table", "%s", w.table(r.Table))
	return k
}
