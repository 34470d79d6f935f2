package cli

import (
	"fmt"
	"net/netip"
	"testing"

	"rpdb"
	"rpdb/format"
)

// TestExportOfALearnedGateway is a loss: no file of today holds it tomorrow.
func TestExportOfALearnedGateway(t *testing.T) {
	e := exportable{
		host: &rpdb.Snapshot{Links: []rpdb.Link{{Index: 2, Name: "eth0"}}},
		desired: rpdb.Desired{Routes: []rpdb.DesiredRoute{{Learned: true, Route: rpdb.Route{
			Family: rpdb.IPv4, Table: 101, Dst: rpdb.IPv4.Default(), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB,
			Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr("192.0.2.1"), Link: 2}},
		}}}},
	}
	out, err := e.set(notation{})
	losses := out.losses
	if err != nil || len(losses) != 1 || losses[0].Object != "ip -4 route add default via 192.0.2.1 dev eth0 table 101 proto static" {
		t.Errorf("lost %v, %v", losses, err)
	}
}

// What goes along with a policy of an interface, and what does not.
func TestExportable(t *testing.T) {
	prefix := netip.MustParsePrefix
	hop := func(via string, link rpdb.LinkIndex) []rpdb.Nexthop {
		return []rpdb.Nexthop{{Via: netip.MustParseAddr(via), Link: link}}
	}
	e := exportable{
		host: &rpdb.Snapshot{
			Links: []rpdb.Link{{Index: 1, Name: "lo", Flags: rpdb.LinkLoopback}, {Index: 2, Name: "eth0", Group: 5}, {Index: 3, Name: "eth1", Group: 7}, {Index: 4, Name: "eth2"}},
			Addresses: []rpdb.Address{
				{Link: 1, Prefix: prefix("127.0.0.1/8"), Flags: rpdb.AddressPermanent},
				{Link: 1, Prefix: prefix("203.0.113.7/32"), Flags: rpdb.AddressPermanent},
				{Link: 2, Prefix: prefix("192.0.2.10/24"), Flags: rpdb.AddressPermanent},
				{Link: 2, Prefix: prefix("192.0.2.20/24"), Valid: 600},
				{Link: 2, Prefix: prefix("fe80::1/64"), Flags: rpdb.AddressPermanent},
				{Link: 3, Prefix: prefix("198.51.100.10/24"), Flags: rpdb.AddressPermanent},
				{Link: 3, Prefix: prefix("2001:db8::7/64"), Valid: 600},
				{Link: 4, Prefix: prefix("203.0.113.10/24"), Flags: rpdb.AddressPermanent},
			},
			Routes: []rpdb.Route{
				{Family: rpdb.IPv4, Table: 254, Dst: prefix("0.0.0.0/0"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolBoot, Nexthops: hop("192.0.2.1", 2)},
				{Family: rpdb.IPv4, Table: 254, Dst: prefix("10.3.0.0/16"), Type: rpdb.RouteBlackhole, Protocol: rpdb.ProtocolBoot},
				{Family: rpdb.IPv4, Table: 254, Dst: prefix("10.0.0.0/8"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolDHCP, Nexthops: hop("192.0.2.1", 2)},
				{Family: rpdb.IPv4, Table: 254, Dst: prefix("10.1.0.0/16"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolBoot, Nexthops: hop("203.0.113.1", 4)},
				{Family: rpdb.IPv4, Table: 254, Dst: prefix("10.2.0.0/16"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic, Nexthops: hop("192.0.2.1", 2)},
			},
		},
		desired: rpdb.Desired{
			Rules: []rpdb.DesiredRule{{Name: "a", Rule: rpdb.Rule{Family: rpdb.IPv4, Action: rpdb.ToTable(101), Suppress: rpdb.Suppressor{IfGroup: rpdb.Some[uint32](7)}, Protocol: rpdb.ProtocolRPDB}}},
			Routes: []rpdb.DesiredRoute{
				{Route: rpdb.Route{Family: rpdb.IPv4, Table: 101, Dst: prefix("0.0.0.0/0"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB, Nexthops: hop("192.0.2.1", 2)}},
				{Route: rpdb.Route{Family: rpdb.IPv4, Table: 254, Dst: prefix("10.2.0.0/16"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB, Nexthops: hop("192.0.2.7", 2)}},
			},
			Waiting: []rpdb.Waiting{{Name: "uplink wlan0", Reason: "no such interface"}},
		},
	}
	told := func(s *rpdb.Snapshot) string {
		text := ""
		for _, l := range s.Links {
			text += fmt.Sprintf("%s %d, ", l.Name, l.Group)
		}
		for _, a := range s.Addresses {
			text += fmt.Sprintf("%v, ", a.Prefix)
		}
		for _, r := range s.Routes {
			if len(r.Nexthops) == 0 {
				text += fmt.Sprintf("%v %v %d, ", r.Type, r.Dst, r.Table)
				continue
			}
			text += fmt.Sprintf("%v %d via %v %d, ", r.Dst, r.Table, r.Nexthops[0].Via, r.Protocol)
		}
		for _, r := range s.Rules {
			text += fmt.Sprintf("%d %d", r.Priority, r.Protocol)
		}
		return text
	}
	waits := format.Loss{Object: "uplink wlan0", Reason: "no such interface"}
	for _, c := range []struct {
		whole  bool
		want   string
		losses int
	}{
		{true, "lo 0, eth0 0, eth1 7, 203.0.113.7/32, 192.0.2.10/24, 198.51.100.10/24, 0.0.0.0/0 101 via 192.0.2.1 4, 10.2.0.0/16 254 via 192.0.2.7 4, blackhole 10.3.0.0/16 254, 0.0.0.0/0 254 via 192.0.2.1 4, 10010 4", 2},
		{false, "eth0 0, eth1 7, 192.0.2.10/24, 198.51.100.10/24, 0.0.0.0/0 101 via 192.0.2.1 4, 10.2.0.0/16 254 via 192.0.2.7 4, 10010 4", 1},
	} {
		out, err := e.set(notation{whole: c.whole})
		s, losses := out.snapshot, out.losses
		if err != nil {
			t.Fatal(err)
		}
		if got := told(s); got != c.want {
			t.Errorf("whole %t: got  %s\nwant %s", c.whole, got, c.want)
		}
		if len(losses) != c.losses || losses[0] != waits {
			t.Errorf("whole %t: lost %v", c.whole, losses)
		}
		if len(out.leases) != 1 || out.leases[0].Link != 3 || out.leases[0].Family != rpdb.IPv6 {
			t.Errorf("whole %t: leases %v", c.whole, out.leases)
		}
		if c.losses == 2 && losses[1].Object != "ip address add 192.0.2.20/24 dev eth0" {
			t.Errorf("lost %v", losses[1])
		}
	}
}
