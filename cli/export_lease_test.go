package cli

import (
	"fmt"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/policy"
)

// leasedHost is a host whose second uplink has an address by DHCP, and in IPv6 a
// static one, with gateways of these protocols.
func leasedHost(t *testing.T, address4 string, protocol4, protocol6 rpdb.Protocol) exportable {
	t.Helper()
	setup := iproute2.Setup{}
	for _, line := range []string{
		"link set lo up", "addr add 192.168.0.10/24 dev eth0", "route add default via 192.168.0.1 dev eth0",
		"addr add " + address4 + " dev eth1", "route add 10.10.0.0/24 dev eth1 src 10.10.0.50 metric 200 scope link proto kernel",
		fmt.Sprintf("route add default via 10.10.0.1 dev eth1 metric 200 proto %d", protocol4),
		"addr add 2001:db8:b::10/64 dev eth1",
		fmt.Sprintf("route add default via fe80::1 dev eth1 metric 100 proto %d", protocol6),
	} {
		words, f := strings.Fields(line), rpdb.IPv4
		if strings.Contains(line, "::") {
			f = rpdb.IPv6
		}
		if _, err := setup.Run(f, words); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	s := &setup.Snapshot
	for i, a := range s.Addresses {
		if a.Prefix.Addr().String() == "10.10.0.50" {
			s.Addresses[i].Flags &^= rpdb.AddressPermanent
			s.Addresses[i].Valid = 600
		}
	}
	for i := range s.Links {
		s.Links[i].Flags |= rpdb.LinkUp
	}
	doc, err := policy.Parse("policy.yaml", []byte("uplinks:\n  - {interface: eth0, gateways: [192.168.0.1]}\n  - {interface: eth1, gateways: [auto]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	desired, err := doc.Resolve(s, rpdb.Names{})
	if err != nil {
		t.Fatal(err)
	}
	return exportable{host: s, desired: desired}
}

// TestLeases: what hangs on a lease is told apart from what stays, and who gives a
// gateway is taken from the route of table main alone where it says so.
func TestLeases(t *testing.T) {
	const none, dhcp, static, ra = rpdb.ProtocolBoot, rpdb.ProtocolDHCP, rpdb.ProtocolStatic, rpdb.ProtocolRA
	for _, c := range []struct {
		name                 string
		address              string
		protocol4, protocol6 rpdb.Protocol
		mainFirst            bool
		leases, losses       string
	}{
		{
			"DHCP and advertisements", "10.10.0.50/24", dhcp, ra, true,
			"eth1 IPv4 main true 200: from 10.10.0.50/32, 0.0.0.0/0 via 10.10.0.1 src invalid IP; eth1 IPv6 main true 100: ::/0 via fe80::1 src invalid IP; ", "",
		},
		{
			"a target that cannot ask main first needs the network", "10.10.0.50/24", dhcp, ra, false,
			"eth1 IPv4 main true 200: from 10.10.0.50/32, 10.10.0.0/24 via invalid IP src 10.10.0.50, 0.0.0.0/0 via 10.10.0.1 src invalid IP; eth1 IPv6 main true 100: ::/0 via fe80::1 src invalid IP; ", "",
		},
		{
			"scripts say no protocol", "10.10.0.50/24", none, ra, true,
			"eth1 IPv4 main true 200: from 10.10.0.50/32, 0.0.0.0/0 via 10.10.0.1 src invalid IP; eth1 IPv6 main true 100: ::/0 via fe80::1 src invalid IP; ", "",
		},
		{
			"gateways that somebody wrote down", "10.10.0.50/24", static, static, true,
			"eth1 IPv4 main false 0: from 10.10.0.50/32; ",
			"default via 10.10.0.1 dev eth1 table 82001 proto static: the gateway is whichever; default via fe80::1 dev eth1 table 82001 proto static: the gateway is whichever; ",
		},
		{
			"a static address", "10.10.0.51/24", none, static, true, "",
			"default via 10.10.0.1 dev eth1 src 10.10.0.51 table 82001 proto static: the gateway is whichever; default via fe80::1 dev eth1 table 82001 proto static: the gateway is whichever; ",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := leasedHost(t, c.address, c.protocol4, c.protocol6)
			out, err := e.set(notation{whole: true, mainFirst: c.mainFirst})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, l := range out.leases {
				var parts []string
				for _, r := range l.Rules {
					parts = append(parts, fmt.Sprintf("from %v", r.Selector.From))
				}
				for _, r := range l.Routes {
					parts = append(parts, fmt.Sprintf("%v via %v src %v", r.Dst, r.Nexthops[0].Via, r.PrefSrc))
				}
				got += fmt.Sprintf("%s %v main %t %d: %s; ", e.host.LinkName(l.Link), l.Family, l.Default, l.Metric, strings.Join(parts, ", "))
			}
			if got != c.leases {
				t.Errorf("leases\n%s\nwant\n%s", got, c.leases)
			}
			got = ""
			for _, l := range out.losses {
				_, route, _ := strings.Cut(l.Object, " add ")
				got += route + ": " + l.Reason[:min(len(l.Reason), len("the gateway is whichever"))] + "; "
			}
			if got != c.losses {
				t.Errorf("losses\n%s\nwant\n%s", got, c.losses)
			}
			for _, r := range out.snapshot.Routes {
				leases := r.Protocol != rpdb.ProtocolStatic || r.Table == rpdb.TableMain && r.Metric == 200 && c.protocol4 != static && c.leases != ""
				if leases {
					t.Errorf("what a lease brings is said to stay: %v", r)
				}
			}
		})
	}
}
