package formattest

import (
	"net/netip"

	"rpdb"
	"rpdb/format"
	"rpdb/internal/corpus"
)

// Leased returns a host whose second interface, eth1, has leases of both families,
// and what hangs on them: rules by its addresses, and routes of the table 102 to the
// network and by the gateway.
func Leased() (*rpdb.Snapshot, []format.Lease) {
	s := &rpdb.Snapshot{Links: corpus.DualUplink().Links}
	eth1, _ := s.LinkByName("eth1")
	lease := func(f rpdb.Family, from, network, gateway string, metric uint32) format.Lease {
		route := rpdb.Route{Family: f, Table: 102, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic}
		connected, def := route, route
		connected.Dst, connected.Nexthops = netip.MustParsePrefix(network), []rpdb.Nexthop{{Link: eth1.Index}}
		def.Dst, def.Nexthops = f.Default(), []rpdb.Nexthop{{Link: eth1.Index, Via: netip.MustParseAddr(gateway)}}
		rule := rpdb.Rule{Family: f, Priority: 10030, Action: rpdb.ToTable(102), Protocol: rpdb.ProtocolStatic}
		rule.Selector.From = netip.MustParsePrefix(from)
		return format.Lease{Link: eth1.Index, Family: f, Default: true, Metric: metric, Rules: []rpdb.Rule{rule}, Routes: []rpdb.Route{connected, def}}
	}
	return s, []format.Lease{
		lease(rpdb.IPv4, "198.51.100.50/32", "198.51.100.0/24", "198.51.100.1", 200),
		lease(rpdb.IPv6, "2001:db8:b::/64", "2001:db8:b::/64", "fe80::1", 1024),
	}
}
