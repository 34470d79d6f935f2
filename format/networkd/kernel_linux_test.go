package networkd_test

import (
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/networkd"
	"rpdb/internal/networkdtest"
)

// TestNetworkd has the kernel show what systemd-networkd makes of files: of those
// that somebody wrote, as they are read, and of those that are written.
func TestNetworkd(t *testing.T) {
	version := networkdtest.Version(t)
	for _, c := range []struct {
		name  string
		files []format.File
	}{
		{"dual uplink", dualUplink(t)},
		{"everything", everything(version)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, n, err := networkd.Read(c.files)
			if err != nil {
				t.Fatal(err)
			}
			written, losses := networkd.Write(s, n, networkd.Options{Version: version})
			for _, l := range losses {
				t.Errorf("lost %v", l)
			}
			links := []rpdb.LinkName{"eth0", "eth1", "lan0"}
			t.Run("read", func(t *testing.T) {
				t.Parallel()
				networkdtest.Start(t, links, c.files).Expect(s)
			})
			t.Run("written", func(t *testing.T) {
				t.Parallel()
				networkdtest.Start(t, links, written).Expect(s)
			})
		})
	}
}

// everything is a host with all that this package has keys for, as far as a
// version of systemd knows them.
func everything(version int) []format.File {
	files := []format.File{
		{Path: "/etc/systemd/networkd.conf.d/tables.conf", Text: "[Network]\nRouteTable=red:101 blue.2:0x10000\n"},
		{Path: "/etc/systemd/network/10-eth0.network", Text: everythingEth0},
		{Path: "/etc/systemd/network/10-lo.network", Text: everythingLo},
	}
	if version >= 257 {
		files[2].Text += `
[RoutingPolicyRule]
Priority=300
From=10.0.0.0/8
FirewallMark=0/0xf
GoTo=400

[RoutingPolicyRule]
Family=both
Priority=301
Type=nop

[RoutingPolicyRule]
Family=both
Priority=302
Type=goto
GoTo=303

[RoutingPolicyRule]
Family=both
Priority=303
L3MasterDevice=yes
`
		files[1].Text += "\n[Route]\nDestination=10.8.0.0/16\nHopLimit=9\nTable=102\n"
	}
	return files
}

const everythingEth0 = `[Match]
Name=eth0

[Link]
Group=7

[Network]
LinkLocalAddressing=no
Address=192.0.2.10/24
Address=2001:db8:a::10/64

[Address]
Address=10.9.0.1/32
Peer=10.9.0.2/32

[Address]
Address=10.9.1.1/24
Scope=link
PreferredLifetime=0

[Address]
Address=169.254.7.7/16

[Address]
Address=2001:db8::5/64
DuplicateAddressDetection=none
PreferredLifetime=0

[Route]
Gateway=192.0.2.1
GatewayOnLink=yes
Table=red

[Route]
Destination=0.0.0.0/0
Table=blue.2

[Route]
Destination=198.51.100.0/24
Scope=global
Metric=7
Table=102

[Route]
Destination=10.0.0.0/8
Type=unreachable
Table=102

[Route]
Destination=10.1.0.0/16
Type=throw
Table=102

[Route]
Destination=10.2.0.0/16
MultiPathRoute=192.0.2.1@eth0 3
MultiPathRoute=192.0.2.2@eth0 256
Table=102

[Route]
Destination=2001:db8:c::/64
MultiPathRoute=2001:db8:a::1@eth0 3
MultiPathRoute=2001:db8:a::2@eth0 2
Table=102

[Route]
Destination=10.3.0.0/16
Gateway=2001:db8:a::1
PreferredSource=192.0.2.10
Table=102
MTUBytes=1400
TCPAdvertisedMaximumSegmentSize=1300
InitialCongestionWindow=10
InitialAdvertisedReceiveWindow=20
QuickAck=yes
FastOpenNoCookie=yes
TCPCongestionControlAlgorithm=cubic

[Route]
Destination=10.4.0.1
Type=local
Table=102

[Route]
Destination=2001:db8:b::/63
Source=2001:db8::/32
Gateway=2001:db8:a::1
IPv6Preference=high
Protocol=82
Table=102

[Route]
Destination=2001:db8:9::/64
Type=prohibit
Metric=5
Table=red
`

const everythingLo = `[Match]
Name=lo

[Route]
Destination=0.0.0.0/0
Type=local
Table=103

[Route]
Destination=10.0.0.0/8
Type=blackhole
Table=103

[Route]
Destination=::/0
Type=unreachable
Table=103

[RoutingPolicyRule]
Priority=100
From=192.0.2.7/32
To=198.51.100.0/24
FirewallMark=0x20/0xff
TypeOfService=8
IncomingInterface=lo
OutgoingInterface=eth1
SourcePort=1-5
DestinationPort=25
IPProtocol=sctp
InvertRule=yes
User=0-5
SuppressPrefixLength=0
SuppressInterfaceGroup=0
Table=red

[RoutingPolicyRule]
Priority=101
Family=ipv6
FirewallMark=7
TypeOfService=252
IPProtocol=58
SuppressPrefixLength=128
Table=blue.2

[RoutingPolicyRule]
Family=both
Priority=102
Type=blackhole
User=65536-4294967294

[RoutingPolicyRule]
Priority=103
To=0.0.0.0/8
Type=prohibit

[RoutingPolicyRule]
Priority=104
To=::/16
Table=local

[RoutingPolicyRule]
Priority=4294967295
Family=both
IncomingInterface=lan0
Table=4294967295

[RoutingPolicyRule]
Priority=0
From=10.7.0.0/16
Table=7
`
