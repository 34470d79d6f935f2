package networkd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/networkd"
)

// dualUplink is a host with two uplinks, as somebody wrote it.
func dualUplink(tb testing.TB) []format.File {
	tb.Helper()
	names, err := filepath.Glob("testdata/dual-uplink/*")
	if err != nil || len(names) == 0 {
		tb.Fatalf("testdata: %v %v", names, err)
	}
	var files []format.File
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, format.File{Path: "/etc/systemd/network/" + filepath.Base(name), Text: string(text)})
	}
	return files
}

// told is a snapshot in the words of ip: addresses, routes, rules.
func told(s *rpdb.Snapshot, n rpdb.Names) string {
	var b strings.Builder
	view := iproute2.RouteView{Names: n, LinkName: s.LinkName}
	for _, l := range s.Links {
		if l.Group != 0 {
			b.WriteString(string(l.Name) + " group " + n.Group(l.Group) + "\n")
		}
	}
	for _, a := range s.Addresses {
		b.WriteString(a.Prefix.String() + " dev " + string(s.LinkName(a.Link)) + " scope " + a.Scope.String())
		if a.Peer.IsValid() {
			b.WriteString(" peer " + a.Peer.String())
		}
		if a.Flags&rpdb.AddressDeprecated != 0 {
			b.WriteString(" deprecated")
		}
		if a.Flags&rpdb.AddressNoDAD != 0 {
			b.WriteString(" nodad")
		}
		b.WriteString("\n")
	}
	for _, r := range s.Routes {
		b.WriteString(iproute2.RouteCommand(rpdb.Add, r, view) + "\n")
	}
	for _, r := range s.Rules {
		b.WriteString(iproute2.RuleCommand(rpdb.Add, r, n) + "\n")
	}
	return b.String()
}

const dualUplinkTold = `192.0.2.10/24 dev eth0 scope global
2001:db8:a::10/64 dev eth0 scope global
198.51.100.10/24 dev eth1 scope global
2001:db8:b::10/64 dev eth1 scope global
ip -4 route add default via 192.0.2.1 dev eth0 metric 100 proto static
ip -6 route add default via 2001:db8:a::1 dev eth0 metric 100 proto static
ip -4 route add 192.0.2.0/24 dev eth0 src 192.0.2.10 table 101 proto static
ip -4 route add default via 192.0.2.1 dev eth0 table 101 proto static
ip -6 route add 2001:db8:a::/64 dev eth0 table 101 proto static
ip -6 route add default via 2001:db8:a::1 dev eth0 table 101 proto static
ip -4 route add default via 198.51.100.1 dev eth1 metric 200 proto static
ip -6 route add default via 2001:db8:b::1 dev eth1 metric 200 proto static
ip -4 route add 198.51.100.0/24 dev eth1 src 198.51.100.10 table 102 proto static
ip -4 route add default via 198.51.100.1 dev eth1 table 102 proto static
ip -6 route add 2001:db8:b::/64 dev eth1 table 102 proto static
ip -6 route add default via 2001:db8:b::1 dev eth1 table 102 proto static
ip -4 rule add pref 1000 lookup main suppress_prefixlength 0 protocol static
ip -4 rule add pref 1010 from 192.0.2.10 lookup 101 protocol static
ip -4 rule add pref 1020 from 198.51.100.10 lookup 102 protocol static
ip -4 rule add pref 1021 from 198.51.100.10 unreachable protocol static
ip -4 rule add pref 1030 fwmark 0x20/0xff lookup 101 protocol static
ip -4 rule add pref 1040 ipproto tcp dport 25 lookup 102 protocol static
ip -4 rule add pref 1050 iif lan0 lookup 102 protocol static
ip -4 rule add pref 1060 uidrange 2000-2999 lookup 102 protocol static
ip -6 rule add pref 1000 lookup main suppress_prefixlength 0 protocol static
ip -6 rule add pref 1010 from 2001:db8:a::10 lookup 101 protocol static
ip -6 rule add pref 1020 from 2001:db8:b::10 lookup 102 protocol static
ip -6 rule add pref 1021 from 2001:db8:b::10 unreachable protocol static
ip -6 rule add pref 1030 fwmark 0x20/0xff lookup 101 protocol static
ip -6 rule add pref 1040 ipproto tcp dport 25 lookup 102 protocol static
ip -6 rule add pref 1050 iif lan0 lookup 102 protocol static
ip -6 rule add pref 1060 uidrange 2000-2999 lookup 102 protocol static
`

func TestReadDualUplink(t *testing.T) {
	s, n, err := networkd.Read(dualUplink(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := told(s, n); got != dualUplinkTold {
		t.Errorf("got:\n%s\nwant:\n%s", got, dualUplinkTold)
	}
}

// file is one .network file for eth0, with more behind what names it.
func file(text string) []format.File {
	return []format.File{{Path: "a.network", Text: "[Match]\nName=eth0\n" + text}}
}

// readCases are what keys mean, in the words of ip.
func readCases() []struct{ name, text, want string } {
	return []struct{ name, text, want string }{
		{"a rule with everything", `[RoutingPolicyRule]
Family=ipv4
Priority=0x10
From=192.0.2.7/24
To=198.51.100.0/24
FirewallMark=0/0xf
TypeOfService=8
IncomingInterface=a!b
OutgoingInterface=eth1
SourcePort=1-5
DestinationPort=25
IPProtocol=sctp
InvertRule=yes
User=0-5
SuppressPrefixLength=0
SuppressInterfaceGroup=0
Table=main
`, "ip -4 rule add pref 16 not from 192.0.2.7/24 to 198.51.100.0/24 tos 0x08 fwmark 0/0xf iif 'a!b' oif eth1 uidrange 0-5 ipproto sctp sport 1-5 dport 25 lookup main suppress_prefixlength 0 suppress_ifgroup 0 protocol static\n"},
		{"actions", `[RoutingPolicyRule]
Priority=1
GoTo=7
[RoutingPolicyRule]
Priority=2
Type=goto
GoTo=7
[RoutingPolicyRule]
Priority=3
Type=nop
[RoutingPolicyRule]
Priority=4
Type=blackhole
[RoutingPolicyRule]
Priority=5
Type=prohibit
Table=7
[RoutingPolicyRule]
Priority=6
Family=ipv6
L3MasterDevice=yes
`, `ip -4 rule add pref 1 goto 7 protocol static
ip -4 rule add pref 2 goto 7 protocol static
ip -4 rule add pref 3 nop protocol static
ip -4 rule add pref 4 blackhole protocol static
ip -4 rule add pref 5 prohibit protocol static
ip -6 rule add pref 6 l3mdev protocol static
`},
		{"without Family= and addresses it is IPv4", "[RoutingPolicyRule]\nPriority=1\nTable=7\n", "ip -4 rule add pref 1 lookup 7 protocol static\n"},
		{"comments, blanks, long lines", "; one\n\n[RoutingPolicyRule]\n Priority = \\\n# two\n  1\nTable=7\n", "ip -4 rule add pref 1 lookup 7 protocol static\n"},
		{"addresses", `[Network]
Address=192.0.2.10/24
DHCP=yes
[Address]
Address=10.9.0.1/32
Peer=10.9.0.2
Label=x
[Address]
Address=2001:db8::5/64
PreferredLifetime=0
DuplicateAddressDetection=none
[Address]
Address=198.51.100.1/24
Scope=link
`, `192.0.2.10/24 dev eth0 scope global
10.9.0.1/32 dev eth0 scope global peer 10.9.0.2
2001:db8::5/64 dev eth0 scope global deprecated nodad
198.51.100.1/24 dev eth0 scope link
`},
		{"a group, and a gateway in short", "[Link]\nGroup=7\nMACAddress=02:00:00:00:00:01\n[Network]\nGateway=192.0.2.1\nGateway=2001:db8::1\nDefaultRouteOnDevice=yes\n", `eth0 group 7
ip -4 route add default via 192.0.2.1 dev eth0 proto static
ip -6 route add default via 2001:db8::1 dev eth0 proto static
ip -4 route add default dev eth0 proto static
`},
		{"routes", `[Route]
Destination=203.0.113.0/24
Type=unreachable
Table=7
[Route]
Destination=2001:db8::/48
Source=2001:db8:a::/48
Gateway=fe80::1
GatewayOnLink=yes
IPv6Preference=high
MTUBytes=1400
PreferredSource=2001:db8::5
Protocol=dhcp
Metric=5
[Route]
Destination=10.2.0.0/16
MultiPathRoute=192.0.2.1 3
MultiPathRoute=192.0.2.2@eth1
Scope=site
QuickAck=no
TCPCongestionControlAlgorithm=cubic
[Route]
Destination=10.3.0.0/16
Gateway=2001:db8::1
[Route]
Destination=10.4.0.1
Type=local
`, `ip -4 route add unreachable 203.0.113.0/24 table 7 proto static
ip -6 route add 2001:db8::/48 from 2001:db8:a::/48 via fe80::1 dev eth0 onlink src 2001:db8::5 metric 5 proto dhcp pref high mtu 1400
ip -4 route add 10.2.0.0/16 proto static scope site quickack 0 congctl cubic nexthop via 192.0.2.1 dev eth0 weight 3 nexthop via 192.0.2.2 dev eth1 weight 1
ip -4 route add 10.3.0.0/16 via inet6 2001:db8::1 dev eth0 proto static
ip -4 route add local 10.4.0.1 dev eth0 proto static
`},
		{"sections of no importance", "[DHCPv4]\nRouteTable=main\nWhatever=1\n[X-Mine]\na=b\n[Bridge]\nCost=1\n", ""},
		{"conditions that are taken back, an interface that is up", "Host=\nDriver=x\n[Link]\nActivationPolicy=always-up\nRequiredForOnline=no\n[DHCPv4]\nRouteTable=\n[IPv6AcceptRA]\nRouteTable=254\n", ""},
	}
}

func TestRead(t *testing.T) {
	for _, c := range readCases() {
		t.Run(c.name, func(t *testing.T) {
			s, n, err := networkd.Read(file(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := told(s, n); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestReadNamesAndDropIns(t *testing.T) {
	s, n, err := networkd.Read([]format.File{
		{Path: "/etc/systemd/network/10-a.network.d/more.conf", Text: "[RoutingPolicyRule]\nPriority=2\nTable=blue\n"},
		{Path: "/etc/systemd/network/10-a.network", Text: "[Match]\nName=eth0 eth1\n[RoutingPolicyRule]\nPriority=1\nTable=red\n[Route]\nDestination=::/0\nTable=red\n"},
		{Path: "/etc/systemd/networkd.conf.d/names.conf", Text: "[Network]\nRouteTable=red:101 blue:0x66\nManageForeignRoutes=no\n[DHCPv4]\nDUIDType=vendor\n"},
		{Path: "/etc/systemd/networkd.conf", Text: "[Network]\nRouteTable=gone:7\nRouteTable=\n"},
		{Path: "/etc/systemd/network/20-any.network", Text: "[Match]\nType=ether\n[Network]\nDHCP=yes\n[RoutingPolicyRule]\nPriority=3\nFrom=2001:db8::/32\nTable=red\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `ip -6 route add default dev eth0 table red proto static
ip -6 route add default dev eth1 table red proto static
ip -4 rule add pref 1 lookup red protocol static
ip -4 rule add pref 2 lookup blue protocol static
ip -6 rule add pref 3 from 2001:db8::/32 lookup red protocol static
`
	if got := told(s, n); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if len(n.Tables) != 2 || n.Tables[101] != "red" || n.Tables[102] != "blue" {
		t.Errorf("names %v", n.Tables)
	}
}

// TestReadMatchesAnew: an empty Name= takes back those before it, so that another file
// may have them.
func TestReadMatchesAnew(t *testing.T) {
	const route = "[Route]\nDestination=192.0.2.0/24\nTable=7\n"
	s, n, err := networkd.Read([]format.File{
		{Path: "a.network", Text: "[Match]\nName=eth0 eth1\nName=\nName=eth2\n" + route},
		{Path: "b.network", Text: "[Match]\nName=eth0\n" + route},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "ip -4 route add 192.0.2.0/24 dev eth0 table 7 proto static\nip -4 route add 192.0.2.0/24 dev eth2 table 7 proto static\n"
	if got := sortedLines(told(s, n)); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// Reasons that several keys share.
const (
	notTold   = "whether it holds where networkd runs, and with it the whole file, cannot be told from the file"
	notUp     = "whether the interface is up, and its routes are there, cannot be told from the file"
	notFilled = "the routes that networkd learns are not in the file, so that nothing would fill the table"
)

func TestReadRefuses(t *testing.T) {
	rule := func(keys string) []format.File {
		return file("[RoutingPolicyRule]\nPriority=1\n" + keys + "\n")
	}
	route := func(keys string) []format.File { return file("[Route]\n" + keys + "\n") }
	for _, c := range []struct {
		files []format.File
		want  string
	}{
		{[]format.File{{Path: "x.link"}}, "x.link: file: it is neither a .network file nor networkd.conf, nor a drop-in of one"},
		{[]format.File{{Path: "a.network", Text: "[Network]\n"}}, "a.network: file: it has no section [Match]"},
		{[]format.File{{Path: "a.network", Text: "Name=eth0\n[Match]\nName=eth0"}}, `a.network:1: line "Name=eth0": it stands in no section`},
		{append(file(""), format.File{Path: "b.network.d/c.conf"}), "b.network.d/c.conf: file: it is a drop-in of b.network, which was not given"},
		{append(file(""), format.File{Path: "lib/a.network"}), "lib/a.network: file: networkd reads one file of this name, and there is a.network too"},
		{append(file(""), format.File{Path: "b.network", Text: "[Match]\nName=eth0"}), `b.network:2: Name= "eth0": networkd takes one file for an interface, and a.network comes first`},
		{[]format.File{{Path: "a.network", Text: "[Match]\nType=ether\n[Network]\nAddress=192.0.2.1/24"}}, `a.network:3: section "Network": which interface it is for is not said by [Match] Name=`},
		{[]format.File{{Path: "a.network", Text: "[Match]\nName=eth*\n[Route]\nGateway=192.0.2.1"}}, `a.network:3: section "Route": which interfaces it is for is not known here: Name=eth* is a pattern`},
		{[]format.File{{Path: "a.network", Text: "[Match]\nName=eth0\nColour=blue"}}, `a.network:3: Colour= "blue": [Match] has no such key`},
		{file("[Netwrok]\n"), `a.network:3: section "Netwrok": a .network file has no such section`},
		{file("[NextHop]\nId=1\n"), `a.network:3: section "NextHop": nexthop objects are not read`},
		{file("[Network\n"), `a.network:3: section "[Network": it has no name in brackets`},
		{file("[Network]\nDHCP\n"), `a.network:4: line "DHCP": it is neither a section, nor KEY=VALUE, nor a comment`},
		{file("[Network]\nColour=blue\n"), `a.network:4: Colour= "blue": [Network] has no such key`},
		{file("[Network]\nVRF=blue\n"), `a.network:4: VRF= "blue": the table of its routes is in a .netdev file, and these are not read`},
		{file("[Network]\nAddress=192.0.2.1\n"), `a.network:4: Address= "192.0.2.1": it is no address with the length of its prefix`},
		{file("[Network]\nAddress=0.0.0.0/24\n"), `a.network:4: Address= "0.0.0.0/24": networkd takes an address that is free when it starts`},
		{file("[Address]\nLabel=x\n"), `a.network:3: section "Address": it has no Address= that can be read`},
		{rule("GoTo"), `a.network:5: line "GoTo": it is neither a section, nor KEY=VALUE, nor a comment`},
		{rule("Goto=7"), `a.network:5: Goto= "7": [RoutingPolicyRule] has no such key`},
		{rule("Table=red"), `a.network:5: Table= "red": it is neither the number of a table nor a name that RouteTable= of networkd.conf gives to one`},
		{rule("Table=0"), `a.network:5: Table= "0": it is neither the number of a table nor a name that RouteTable= of networkd.conf gives to one`},
		{rule("Priority=2"), `a.network:5: Priority= "2": it is there twice, and networkd takes the last`},
		{rule("From="), `a.network:5: From=: it has no value`},
		{file("[Link]\nUnmanaged=yes\n"), `a.network:4: Unmanaged= "yes": networkd does nothing of a file of an interface that it leaves alone`},
		{file("[Link]\nActivationPolicy=manual\n"), `a.network:4: ActivationPolicy= "manual": ` + notUp},
		{file("[Link]\nActivationPolicy=bound\n"), `a.network:4: ActivationPolicy= "bound": ` + notUp},
		{file("[Link]\nColour=blue\n"), `a.network:4: Colour= "blue": [Link] has no such key`},
		{file("Host=here\n"), `a.network:3: Host= "here": ` + notTold},
		{[]format.File{{Path: "a.network", Text: "[Match]\nName=eth*\nHost=here\n[RoutingPolicyRule]\nPriority=1\n"}}, `a.network:3: Host= "here": ` + notTold},
		{file("KernelCommandLine=!quiet\n"), `a.network:3: KernelCommandLine= "!quiet": ` + notTold},
		{file("KernelVersion=>=6\n"), `a.network:3: KernelVersion= ">=6": ` + notTold},
		{file("Virtualization=vm\n"), `a.network:3: Virtualization= "vm": ` + notTold},
		{file("Architecture=arm64\n"), `a.network:3: Architecture= "arm64": ` + notTold},
		{file("Credential=x\n"), `a.network:3: Credential= "x": ` + notTold},
		{file("Firmware=uefi\n"), `a.network:3: Firmware= "uefi": ` + notTold},
		{file("[DHCP]\nRouteTable=7\n"), `a.network:4: RouteTable= "7": ` + notFilled},
		{file("[DHCPv4]\nRouteTable=7\n"), `a.network:4: RouteTable= "7": ` + notFilled},
		{file("[DHCPv6]\nRouteTable=local\n"), `a.network:4: RouteTable= "local": ` + notFilled},
		{file("[IPv6AcceptRA]\nRouteTable=7\n"), `a.network:4: RouteTable= "7": ` + notFilled},
		{file("[IPv6AcceptRA]\nRouteTable=red\n"), `a.network:4: RouteTable= "red": it is neither the number of a table nor a name that RouteTable= of networkd.conf gives to one`},
		{rule("User="), `a.network:5: User=: it has no value`},
		{route("MultiPathRoute="), `a.network:4: MultiPathRoute=: it has no value`},
		{rule("FirewallMark=0"), `a.network:5: FirewallMark= "0": it matches every mark: leave it out, or give a mask`},
		{rule("FirewallMark=1_0"), `a.network:5: FirewallMark= "1_0": it is no mark, as in 7 or 7/255`},
		{rule("IPProtocol=253"), `a.network:5: IPProtocol= "253": networkd takes no protocol without a name of its own, and would leave the selector out`},
		{rule("SourcePort=0-5"), `a.network:5: SourcePort= "0-5": it is neither a number from 1 to 65535 nor a range of them`},
		{rule("SourcePort=9-5"), `a.network:5: SourcePort= "9-5": its end is in front of its beginning`},
		{rule("User=nobody"), `a.network:5: User= "nobody": which number the user has is not known here`},
		{rule("User=5-65535"), `a.network:5: User= "5-65535": networkd takes 65535 for no user, and would leave the selector out`},
		{rule("IncomingInterface=all"), `a.network:5: IncomingInterface= "all": networkd takes it for no name of an interface, and would leave it out`},
		{rule("Type=nat"), `a.network:5: Type= "nat": it is none of table, goto, nop, blackhole, unreachable, prohibit`},
		{rule("GoTo=1"), `a.network:3: section "RoutingPolicyRule": GoTo=1 is not behind Priority=1`},
		{rule("Type=goto"), `a.network:3: section "RoutingPolicyRule": a goto needs GoTo=`},
		{rule("Type=nop\nGoTo=7"), `a.network:3: section "RoutingPolicyRule": GoTo= has no meaning beside Type=nop`},
		{rule("From=192.0.2.1\nTo=2001:db8::1"), `a.network:3: section "RoutingPolicyRule": its addresses are of two families`},
		{rule("From=192.0.2.1\nFamily=both"), `a.network:3: section "RoutingPolicyRule": its addresses are of another family than Family= says`},
		{file("[RoutingPolicyRule]\nTable=7\n"), `a.network:3: section "RoutingPolicyRule": it has no Priority=, and networkd then takes one that is free when it starts`},
		{file("[RoutingPolicyRule]\n"), `a.network:3: section "RoutingPolicyRule": it says nothing`},
		{route("Metric=1"), `a.network:3: section "Route": it has neither Destination= nor Gateway=`},
		{route("Gateway=_dhcp4"), `a.network:4: Gateway= "_dhcp4": the gateway of a lease or an advertisement is not known here`},
		{route("NextHop=1"), `a.network:4: NextHop= "1": [Route] has no such key`},
		{route("Destination=::/0\nScope=link"), `a.network:3: section "Route": it has Scope=, which has no meaning for IPv6`},
		{route("Destination=::/0\nGateway=192.0.2.1"), `a.network:3: section "Route": its gateway is of IPv4`},
		{route("Destination=192.0.2.0/24\nGateway=192.0.2.1\nType=throw"), `a.network:3: section "Route": a route of the type throw leads to no gateway`},
		{route("Destination=192.0.2.0/24\nMultiPathRoute=192.0.2.1@eth0 300"), `a.network:5: MultiPathRoute= "192.0.2.1@eth0 300": it is no gateway with a weight from 1 to 256`},
		{append(file(""), format.File{Path: "networkd.conf", Text: "[Network]\nRouteTable=red\n"}), `networkd.conf:2: RouteTable= "red": "red" is not NAME:NUMBER`},
		{append(file(""), format.File{Path: "networkd.conf", Text: "[Network]\nRouteTable=main:7\n"}), `networkd.conf:2: RouteTable= "main:7": the table main has a number`},
	} {
		s, _, err := networkd.Read(c.files)
		if err == nil || !strings.Contains("\n"+err.Error()+"\n", "\n"+c.want+"\n") {
			t.Errorf("%q: got %v, want %s", c.files[len(c.files)-1].Text, err, c.want)
		}
		if s != nil {
			t.Errorf("%q: a snapshot beside an error", c.files[len(c.files)-1].Text)
		}
	}
}

func FuzzRead(f *testing.F) {
	// Short ones, each of some sections: long ones keep the engine busy with making
	// them shorter.
	f.Add("[Match]\nName=eth0\n[Network]\nAddress=192.0.2.10/24\nGateway=192.0.2.1\n[DHCPv4]\nRouteTable=main\n", "")
	f.Add("[Match]\nName=eth0\n[Route]\nGateway=fe80::1\nMetric=100\nTable=101\n", "")
	f.Add("[Match]\nName=lo\n[RoutingPolicyRule]\nPriority=1\nFrom=::1\nFirewallMark=2/3\nType=unreachable\n", "")
	f.Add("[Match]\nName=lo\n[RoutingPolicyRule]\nPriority=1\nDestinationPort=25\nIPProtocol=tcp\nTable=7\nSuppressPrefixLength=0\n", "")
	f.Add("[Match]\nName=eth0 eth1\n[Route]\nMultiPathRoute=192.0.2.1@eth2 5\nTable=red\n", "[Network]\nRouteTable=red:7\n")
	f.Add("[Match]\nName=lo\n[RoutingPolicyRule]\nPriority=5\nGoTo=7\nFamily=both\nUser=0-5\n[Link]\nGroup=1", "")
	f.Add("[Match]\nName=a\n[Address]\nAddress=10.0.0.1/32\nPeer=10.0.0.2\n[Network]\nGateway=::\n", "")
	f.Add("[Match]\nName=a\n[RoutingPolicyRule]\nUser=\n[Route]\nMultiPathRoute=\n", "")
	f.Fuzz(func(t *testing.T, network, manager string) {
		files := []format.File{{Path: "a.network", Text: network}, {Path: "networkd.conf", Text: manager}}
		s, n, err := networkd.Read(files)
		if (s == nil) != (err != nil) {
			t.Fatalf("a snapshot %v, and the error %v", s != nil, err)
		}
		if err != nil {
			return
		}
		again, _, err := networkd.Read(files)
		if err != nil || told(again, n) != told(s, n) {
			t.Fatalf("read again it is another: %v", err)
		}
	})
}
