package corpus

import (
	"net/netip"

	"rpdb"
)

// DualUplink returns the policy by which notations of other systems are compared:
// two uplinks, each with a table of its own, in both families, and rules with the
// selectors that those systems differ in. The interfaces are eth0 and eth1, beside
// lan0, which a rule names.
func DualUplink() *rpdb.Snapshot {
	s := &rpdb.Snapshot{Links: []rpdb.Link{
		{Index: 1, Name: "lo", Flags: rpdb.LinkUp | rpdb.LinkLoopback},
		{Index: 2, Name: "eth0", Flags: rpdb.LinkUp},
		{Index: 3, Name: "eth1", Flags: rpdb.LinkUp},
	}}
	for _, u := range []struct {
		link            rpdb.LinkIndex
		table           rpdb.TableID
		address, router string
	}{
		{2, 101, "192.0.2.10/24", "192.0.2.1"},
		{3, 102, "198.51.100.10/24", "198.51.100.1"},
		{2, 101, "2001:db8:a::10/64", "2001:db8:a::1"},
		{3, 102, "2001:db8:b::10/64", "2001:db8:b::1"},
	} {
		addUplink(s, u.link, u.table, netip.MustParsePrefix(u.address), netip.MustParseAddr(u.router))
	}
	for _, f := range rpdb.Families() {
		s.Rules = append(s.Rules, dualUplinkRules(f)...)
	}
	return s
}

// addUplink adds the address of an uplink, its default route in main, and its
// table: the network that it is in, and the default route.
func addUplink(s *rpdb.Snapshot, link rpdb.LinkIndex, table rpdb.TableID, address netip.Prefix, router netip.Addr) {
	f := rpdb.FamilyOf(router)
	all := netip.PrefixFrom(router, 0).Masked()
	s.Addresses = append(s.Addresses, rpdb.Address{Link: link, Prefix: address, Flags: rpdb.AddressPermanent})
	network := rpdb.Route{
		Family: f, Table: table, Dst: address.Masked(), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic,
		Nexthops: []rpdb.Nexthop{{Link: link}},
	}
	if f == rpdb.IPv4 {
		network.Scope, network.PrefSrc = rpdb.ScopeLink, address.Addr()
	}
	way := rpdb.Route{
		Family: f, Table: table, Dst: all, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic,
		Nexthops: []rpdb.Nexthop{{Link: link, Via: router}},
	}
	inMain := way
	inMain.Table, inMain.Metric = rpdb.TableMain, uint32(link-1)*100
	s.Routes = append(s.Routes, inMain, network, way)
}

// dualUplinkRules are the rules of one family.
func dualUplinkRules(f rpdb.Family) []rpdb.Rule {
	first, second := netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("198.51.100.10/32")
	if f == rpdb.IPv6 {
		first, second = netip.MustParsePrefix("2001:db8:a::10/128"), netip.MustParsePrefix("2001:db8:b::10/128")
	}
	rules := []rpdb.Rule{
		{Priority: 1000, Action: rpdb.ToTable(rpdb.TableMain), Suppress: rpdb.Suppressor{PrefixLength: rpdb.Some[int32](0)}},
		{Priority: 1010, Selector: rpdb.Selector{From: first}, Action: rpdb.ToTable(101)},
		{Priority: 1020, Selector: rpdb.Selector{From: second}, Action: rpdb.ToTable(102)},
		{Priority: 1021, Selector: rpdb.Selector{From: second}, Action: rpdb.Unreachable()},
		{Priority: 1030, Selector: rpdb.Selector{Mark: rpdb.Mark{Value: 0x20, Mask: 0xff}}, Action: rpdb.ToTable(101)},
		{Priority: 1040, Selector: rpdb.Selector{IPProto: rpdb.TCP, DPort: rpdb.Port(25)}, Action: rpdb.ToTable(102)},
		{Priority: 1050, Selector: rpdb.Selector{IIF: "lan0"}, Action: rpdb.ToTable(102)},
		{Priority: 1060, Selector: rpdb.Selector{UIDRange: rpdb.Some(rpdb.UIDRange{First: 2000, Last: 2999})}, Action: rpdb.ToTable(102)},
	}
	for i := range rules {
		rules[i].Family, rules[i].Protocol = f, rpdb.ProtocolStatic
	}
	return rules
}
