package nmkeyfile_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/nmkeyfile"
	"rpdb/internal/corpus"
	"rpdb/internal/formattest"
)

// The loopback profile of the policy by which notations are compared, and that of
// the first uplink.
const loopback = `[connection]
id=rpdb-lo
type=loopback
interface-name=lo

[ipv4]
method=auto
routing-rule1=priority 1000 from 0.0.0.0/0 suppress_prefixlength 0 table 254
routing-rule2=priority 1010 from 192.0.2.10 table 101
routing-rule3=priority 1020 from 198.51.100.10 table 102
routing-rule4=priority 1021 from 198.51.100.10 type unreachable
routing-rule5=priority 1030 from 0.0.0.0/0 fwmark 0x20/0xff table 101
routing-rule6=priority 1040 from 0.0.0.0/0 ipproto 6 dport 25 table 102
routing-rule7=priority 1050 from 0.0.0.0/0 iif lan0 table 102
routing-rule8=priority 1060 from 0.0.0.0/0 uidrange 2000-2999 table 102

[ipv6]
method=auto
routing-rule1=priority 1000 from ::/0 suppress_prefixlength 0 table 254
routing-rule2=priority 1010 from 2001:db8:a::10 table 101
routing-rule3=priority 1020 from 2001:db8:b::10 table 102
routing-rule4=priority 1021 from 2001:db8:b::10 type unreachable
routing-rule5=priority 1030 from ::/0 fwmark 0x20/0xff table 101
routing-rule6=priority 1040 from ::/0 ipproto 6 dport 25 table 102
routing-rule7=priority 1050 from ::/0 iif lan0 table 102
routing-rule8=priority 1060 from ::/0 uidrange 2000-2999 table 102
`

const uplink = `[connection]
id=rpdb-eth0
type=ethernet
interface-name=eth0

[ipv4]
method=manual
address1=192.0.2.10/24
route1=0.0.0.0/0,192.0.2.1,100
route1_options=table=254
route2=192.0.2.0/24,0.0.0.0,0
route2_options=src=192.0.2.10,table=101
route3=0.0.0.0/0,192.0.2.1,0
route3_options=table=101

[ipv6]
method=manual
address1=2001:db8:a::10/64
route1=::/0,2001:db8:a::1,100
route1_options=table=254
route2=2001:db8:a::/64,::,1024
route2_options=table=101
route3=::/0,2001:db8:a::1,1024
route3_options=table=101
`

func TestDualUplink(t *testing.T) {
	want := corpus.DualUplink()
	files, losses := nmkeyfile.Write(want, rpdb.Names{Tables: map[rpdb.TableID]string{101: "isp-a"}}, nmkeyfile.Options{})
	if len(losses) != 0 || len(files) != 4 {
		t.Fatalf("%d files, losses %v", len(files), losses)
	}
	if files[0].Path != nmkeyfile.Directory+"/rpdb-lo.nmconnection" || files[0].Text != loopback || files[1].Text != uplink {
		t.Errorf("got\n%s%s", files[0].Text, files[1].Text)
	}
	got, names, err := nmkeyfile.Read(files)
	if err != nil || names.Tables[101] != "isp-a" {
		t.Fatalf("names %v, error %v", names, err)
	}
	formattest.Compare(t, got, want)
	formattest.CompareAddresses(t, got, want)
}

// static gives rules and routes the protocol that NetworkManager gives them.
func static(s *rpdb.Snapshot) *rpdb.Snapshot {
	c := *s
	c.Rules, c.Routes = slices.Clone(s.Rules), slices.Clone(s.Routes)
	for i := range c.Rules {
		c.Rules[i].Protocol = rpdb.ProtocolStatic
	}
	for i := range c.Routes {
		c.Routes[i] = c.Routes[i].Canonical() // where the protocol decides on the metric
		c.Routes[i].Protocol = rpdb.ProtocolStatic
	}
	return &c
}

// Everything that is written is read back, and nothing else.
func TestRoundTrip(t *testing.T) {
	kept := 0
	for seed := range uint64(30) {
		world := corpus.New(seed).Snapshot()
		files, losses := nmkeyfile.Write(world, rpdb.Names{}, nmkeyfile.Options{})
		got, _, err := nmkeyfile.Read(files)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want, back := formattest.Meaning(static(world)), formattest.Meaning(got)
		for _, line := range back {
			if !slices.Contains(want, line) {
				t.Errorf("seed %d: not wanted: %s", seed, line)
			}
		}
		if len(back)+len(losses) < len(want) {
			t.Errorf("seed %d: %d objects, %d read back, %d lost", seed, len(want), len(back), len(losses))
		}
		kept += len(back)
	}
	if kept < 800 {
		t.Errorf("only %d objects were kept", kept)
	}
}

// TestAddressLosses: an address that a profile cannot have is lost, and said to be;
// those of lo are written too.
func TestAddressLosses(t *testing.T) {
	s := corpus.DualUplink()
	p, permanent := netip.MustParsePrefix("203.0.113.7/32"), rpdb.AddressPermanent
	s.Addresses = append(s.Addresses,
		rpdb.Address{Link: 2, Prefix: p, Peer: p.Addr().Next(), Flags: permanent},
		rpdb.Address{Link: 2, Prefix: p, Scope: rpdb.ScopeLink, Flags: permanent},
		rpdb.Address{Link: 3, Prefix: p, Flags: permanent | rpdb.AddressDeprecated},
		rpdb.Address{Link: 1, Prefix: netip.MustParsePrefix("127.0.0.1/8"), Scope: rpdb.ScopeHost, Flags: permanent},
		rpdb.Address{Link: 1, Prefix: p, Flags: permanent},
	)
	files, losses := nmkeyfile.Write(s, rpdb.Names{}, nmkeyfile.Options{})
	var got []string
	for _, l := range losses {
		got = append(got, l.String())
	}
	if want := []string{
		"address add 203.0.113.7/32 dev eth0: NetworkManager has no addresses with a peer",
		"address add 203.0.113.7/32 dev eth0: NetworkManager has no scopes of addresses",
		"address add 203.0.113.7/32 dev eth1: NetworkManager has no deprecated addresses",
	}; !slices.Equal(got, want) {
		t.Errorf("lost\n%s", strings.Join(got, "\n"))
	}
	back, _, err := nmkeyfile.Read(files)
	if err != nil {
		t.Fatal(err)
	}
	s.Addresses = append(s.Addresses[:4:4], rpdb.Address{Link: 1, Prefix: p})
	formattest.CompareAddresses(t, back, s)
}

func TestLosses(t *testing.T) {
	_, losses := nmkeyfile.Write(formattest.Everything(t), rpdb.Names{}, nmkeyfile.Options{})
	var got []string
	for _, l := range losses {
		got = append(got, l.String())
	}
	want := strings.Split(strings.TrimSpace(`
-4 rule add pref 2000 not from 10.0.0.0/8 to 203.0.113.0/24 fwmark 0/0xff iif lo oif eth1 lookup 103 suppress_ifgroup 7: NetworkManager has no suppress_ifgroup
-4 rule add pref 2000 tos 0x10 lookup 103 realms 3/4 protocol 82: NetworkManager has no realms
-4 rule add pref 2001 ipproto udp sport 1024-2047 dport 53 goto 2010: NetworkManager has neither goto nor nop
-4 rule add pref 2002 tun_id 5 prohibit: NetworkManager has no tun_id
-4 rule add pref 2003 l3mdev protocol static: NetworkManager has no rules of VRFs (l3mdev)
-4 rule add pref 2005 lookup 103 protocol static: NetworkManager adds rules of one priority, 2005, in no certain order
-4 rule add pref 2005 from 10.1.0.0/16 lookup 103 protocol static: NetworkManager adds rules of one priority, 2005, in no certain order
-4 rule add pref 2010 nop: NetworkManager has neither goto nor nop
-6 rule add pref 2001 oif eth0 goto 2002: NetworkManager has neither goto nor nop
-4 route add 203.0.113.128/25 tos 0x10 via 192.0.2.7 dev eth0 table 103 proto static realms 1/2 mtu lock 1400 initcwnd 9: NetworkManager has no realms
-4 route add 203.0.113.0/25 table 103 proto static nexthop via 192.0.2.7 dev eth0 weight 3 nexthop via 192.0.2.8 dev eth0 weight 1: NetworkManager has no route by several gateways
-6 route add 2001:db8:8::/48 from 2001:db8:a::/64 via 2001:db8:a::9 dev eth0 table 103 proto static pref high: NetworkManager has no preference of routes`), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestEqualPriorities: of rules of one priority that select a flow alike and do
// something else with it none is written, whichever comes first; that they do the same
// with it, or that a rule is there twice, is no loss.
func TestEqualPriorities(t *testing.T) {
	rule := func(p rpdb.Priority, from string, table rpdb.TableID) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: rpdb.ToTable(table), Selector: rpdb.Selector{From: netip.MustParsePrefix(from)}}
	}
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{
		rule(5, "10.0.0.0/8", 1), rule(5, "10.1.0.0/16", 2), rule(5, "192.0.2.0/24", 3),
		rule(6, "10.0.0.0/8", 1), rule(6, "10.1.0.0/16", 1), rule(6, "10.0.0.0/8", 1),
	}}
	files, losses := nmkeyfile.Write(s, rpdb.Names{}, nmkeyfile.Options{})
	var got []string
	for _, l := range losses {
		got = append(got, l.Object)
	}
	if want := []string{"-4 rule add pref 5 from 10.0.0.0/8 lookup 1", "-4 rule add pref 5 from 10.1.0.0/16 lookup 2"}; !slices.Equal(got, want) {
		t.Errorf("lost %v", got)
	}
	const want = "routing-rule1=priority 5 from 192.0.2.0/24 table 3\nrouting-rule2=priority 6 from 10.0.0.0/8 table 1\nrouting-rule3=priority 6 from 10.1.0.0/16 table 1\n"
	if len(files) != 1 || !strings.Contains(files[0].Text, "method=auto\n"+want+"\n[ipv6]") {
		t.Errorf("got %v", files)
	}
}

// TestLeases: a profile of an interface with a lease gets addresses by it, beside the
// static ones, and the metric that the gateway has in table main. What hangs on the
// lease is lost.
func TestLeases(t *testing.T) {
	s, leases := formattest.Leased()
	s.Routes = corpus.DualUplink().Routes
	s.Addresses = corpus.DualUplink().Addresses
	leases[1].Default = false
	files, losses := nmkeyfile.Write(s, rpdb.Names{}, nmkeyfile.Options{Leases: leases})
	var text string
	for _, f := range files {
		if strings.Contains(f.Text, "interface-name=eth1\n") {
			text = f.Text
		}
	}
	for _, want := range []string{"[ipv4]\nmethod=auto\nroute-metric=200\naddress1=198.51.100.10/24\n", "[ipv6]\nmethod=auto\nnever-default=true\naddress1=2001:db8:b::10/64\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if len(losses) != 6 || losses[1].Reason != "its gateway is one that eth1 has for a time, and NetworkManager has no word for whichever it is" {
		t.Errorf("lost %v", losses)
	}
}

func TestMoreLosses(t *testing.T) {
	route := func(change func(*rpdb.Snapshot)) *rpdb.Snapshot {
		s := corpus.DualUplink()
		s.Rules, s.Routes = nil, s.Routes[1:2]
		change(s)
		return s
	}
	for want, s := range map[string]*rpdb.Snapshot{
		"a profile of eth0, which is a bridge, would have to say how it is made": route(func(s *rpdb.Snapshot) { s.Links[1].Kind = "bridge" }),
		"it is no plain name of an interface":                                    route(func(s *rpdb.Snapshot) { s.Links[1].Name = "a;b" }),
		"the interface that it leads to is not known":                            route(func(s *rpdb.Snapshot) { s.Links = nil }),
		"NetworkManager has no routes of type anycast":                           route(func(s *rpdb.Snapshot) { s.Routes[0].Type = rpdb.RouteAnycast }),
		"NetworkManager has no words for it":                                     route(func(s *rpdb.Snapshot) { s.Routes[0].Nexthops = nil }),
		"NetworkManager adds routes of one prefix and metric in no certain order": route(func(s *rpdb.Snapshot) {
			s.Routes = append(s.Routes, s.Routes[0])
			s.Routes[1].PrefSrc = s.Routes[1].Dst.Addr().Next()
		}),
	} {
		_, losses := nmkeyfile.Write(s, rpdb.Names{}, nmkeyfile.Options{})
		if len(losses) != 1 || losses[0].Reason != want {
			t.Errorf("losses %v, want %q", losses, want)
		}
	}
}

// profile is a file with sections ipv4 and ipv6 as given.
func profile(ipv4, ipv6 string) format.File {
	const head = "[connection]\nid=a\nuuid=d557c29e-3f62-4893-9bdf-23e8b53a8426\ntype=ethernet\ninterface-name=eth0\n"
	return format.File{Path: "p", Text: head + "[ipv4]\n" + ipv4 + "\n[ipv6]\n" + ipv6 + "\n"}
}

func TestRead(t *testing.T) {
	s, _, err := nmkeyfile.Read([]format.File{profile(`method=manual
address1=192.0.2.10/24,192.0.2.1
dns=192.0.2.1;
route1=10.0.0.0/8,192.0.2.2
route1_options=table=7,tos=16,mtu=1400,lock-mtu=true,onlink=false
route2=10.0.0.0/9
route-metric=50
routing-rule1=pref 5 from all lookup main
routing-rule2=order 0x6 not to 10.0.0.0/8 dsfield 10 blackhole`, `method=manual
address=2001:db8::5/64
route-table=9
gateway=fe80::1
routing-rule=priority 6 from 2001:db8::/32 sport 5-5 dport 1-2 uidrange 7 fwmark 8 iif a oif b ipproto 0x11 table 8`)})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(append(formattest.Meaning(s), formattest.Addresses(s)...), "\n")
	want := strings.TrimSpace(`
ip -4 rule add pref 5 lookup main protocol static
ip -4 rule add pref 6 not to 10.0.0.0/8 tos 0x10 blackhole protocol static
ip -6 rule add pref 6 from 2001:db8::/32 fwmark 0x8 iif a oif b uidrange 7-7 ipproto udp sport 5 dport 1-2 lookup 8 protocol static
ip -4 route add 10.0.0.0/8 tos 0x10 via 192.0.2.2 dev eth0 metric 50 table 7 proto static mtu lock 1400
ip -4 route add 10.0.0.0/9 dev eth0 metric 50 proto static
ip -4 route add default via 192.0.2.1 dev eth0 metric 50 proto static
ip -6 route add default via fe80::1 dev eth0 metric 100 table 9 proto static
192.0.2.10/24 dev eth0
2001:db8::5/64 dev eth0`)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"routing-rule1=from 10.0.0.0/8 table 7":                          `ipv4.routing-rule1 "from 10.0.0.0/8 table 7": a rule needs a priority`,
		"routing-rule1=priority 5 from all goto 7":                       `ipv4.routing-rule1 "priority 5 from all goto 7": NetworkManager has no word "goto" in rules`,
		"routing-rule1=priority 5 priority 6 table 7":                    `ipv4.routing-rule1 "priority 5 priority 6 table 7": "priority" stands there twice`,
		"routing-rule1=priority 5 table":                                 `ipv4.routing-rule1 "priority 5 table": a value is missing behind "table"`,
		"routing-rule1=priority 5 table isp":                             `ipv4.routing-rule1 "priority 5 table isp": table "isp": a table is a number from 1, or main, local or default`,
		"routing-rule1=priority 5 fwmark 0 table 7":                      `ipv4.routing-rule1 "priority 5 fwmark 0 table 7": fwmark "0": it selects every packet`,
		"routing-rule1=priority 5 fwmark 3/1 table 7":                    `ipv4.routing-rule1 "priority 5 fwmark 3/1 table 7": fwmark "3/1": bits of the mark are outside of the mask, and would be ignored`,
		"routing-rule1=priority 5 sport 0 table 7":                       `ipv4.routing-rule1 "priority 5 sport 0 table 7": sport "0": port 0 is none`,
		"routing-rule1=priority 5 sport 2-1 table 7":                     `ipv4.routing-rule1 "priority 5 sport 2-1 table 7": sport "2-1": a range goes from the lower number to the higher one, and the highest of all is none`,
		"routing-rule1=priority 5 from 10.0.0.0/0 table 7":               `ipv4.routing-rule1 "priority 5 from 10.0.0.0/0 table 7": from "10.0.0.0/0": a prefix of length 0 selects every address`,
		"routing-rule1=priority 5 from ::/0 table 7":                     `ipv4.routing-rule1 "priority 5 from ::/0 table 7": from "::/0": a prefix of IPv4 is expected`,
		"routing-rule1=priority 5 ipproto 0 table 7":                     `ipv4.routing-rule1 "priority 5 ipproto 0 table 7": a selector of 0 selects everything`,
		"routing-rule1=priority 5 table 7 type blackhole":                `ipv4.routing-rule1 "priority 5 table 7 type blackhole": a rule has one action, a table or a type`,
		"routing-rule1=priority 5 type nop":                              `ipv4.routing-rule1 "priority 5 type nop": type "nop": only blackhole, unreachable and prohibit are actions`,
		"routing-rule1=priority 5 suppress_prefixlength 33":              `ipv4.routing-rule1 "priority 5 suppress_prefixlength 33": suppress_prefixlength "33": no prefix is that long`,
		"routing-rule1=priority 5 suppress_prefixlength 0 type prohibit": `ipv4.routing-rule1 "priority 5 suppress_prefixlength 0 type prohibit": suppress_prefixlength counts only for rules that look a table up`,
		"route1=10.0.0.1":                                       `ipv4.route1 "10.0.0.1": the length of the prefix is missing, and NetworkManager would guess it`,
		"route1=10.0.0.1/8":                                     `ipv4.route1 "10.0.0.1/8": it has bits set beyond its length: write 10.0.0.0/8`,
		"route1=10.0.0.0/8,::1":                                 `ipv4.route1 "10.0.0.0/8,::1": "::1": a gateway of IPv4 is expected`,
		"route1=10.0.0.0/8,,x":                                  `ipv4.route1 "10.0.0.0/8,,x": metric "x": a number is expected`,
		"route1=10.0.0.0/8,,1,2":                                `ipv4.route1 "10.0.0.0/8,,1,2": a prefix, a gateway and a metric are expected, and nothing else`,
		"route1=10.0.0.0/8\nroute1_options=table=0x7":           `ipv4.route1 "10.0.0.0/8": option "table=0x7": a number is expected`,
		"route1=10.0.0.0/8\nroute1_options=weight=7":            `ipv4.route1 "10.0.0.0/8": option "weight=7": it is not understood here`,
		"route1=10.0.0.0/8,10.0.0.1\nroute1_options=type=throw": `ipv4.route1 "10.0.0.0/8,10.0.0.1": a route of type throw leads nowhere`,
		"route1=10.0.0.0/8\nroute1_options=from=::/1":           `ipv4.route1 "10.0.0.0/8": option "from=::/1": IPv4 has no routes by source`,
		"route1=10.0.0.0/8\nroute2=10.0.0.0/8":                  `ipv4.route2 "10.0.0.0/8": the same route is there already`,
		"route2_options=table=7":                                `ipv4.route2_options "table=7": the options of no route`,
		"address1=10.0.0.1":                                     `ipv4.address1 "10.0.0.1": the length of its network is missing`,
		"address1=2001:db8::1/64":                               `ipv4.address1 "2001:db8::1/64": it is no address of IPv4`,
		"address1=10.0.0.1/8,10.0.0.2\ngateway=10.0.0.3":        `ipv4.gateway "10.0.0.3": a profile has one gateway, and there is another`,
		"method=shared":                                         `ipv4.method "shared": only auto, manual, disabled, link-local are understood`,
		"method=manual":                                         `ipv4.method "manual": it needs an address`,
		"method=disabled\nroute1=10.0.0.0/8":                    `ipv4.method "disabled": the family is off, and whether NetworkManager heeds route1 then cannot be told from the file`,
		"method=disabled\nrouting-rule1=priority 5 table 7":     `ipv4.method "disabled": the family is off, and whether NetworkManager heeds routing-rule1 then cannot be told from the file`,
		"method=auto\nroute-table=7":                            `ipv4.route-table "7": with method=auto leases or advertisements fill the table, and their routes are not in the file`,
		"replace-local-rule=1":                                  `ipv4.replace-local-rule "1": this key is not understood`,
		"never-default=1":                                       `ipv4.never-default "1": true or false is expected`,
	} {
		_, _, err := nmkeyfile.Read([]format.File{profile(text, "method=auto")})
		line := "7"
		if strings.HasPrefix(text, "route1=10.0.0.0/8\nroute2") || strings.Contains(text, "\ngateway") || strings.Contains(text, "\nroute-table") {
			line = "8"
		}
		if want = "p:" + line + ": " + want; err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestErrorsOfProfiles(t *testing.T) {
	for text, want := range map[string]string{
		"a":                                `p:1: line "a": a key, = and a value are expected`,
		"a=b":                              `p:1: key "a=b": it stands in no section`,
		"[ipv4]\nmethod=auto\nmethod=auto": `p:3: key "method=auto": it stands there twice`,
		"[connection]\nid=a":               `p: connection.type: missing`,
		"[connection]\ntype=wireguard":     `p: connection.type "wireguard": it makes routes and rules that are not written in the profile`,
		"[connection]\ntype=ethernet\n[match]\ndriver=x":                                                         `p:4: match.driver "x": this section is not understood`,
		"[connection]\ntype=ethernet\nautoconnect=false":                                                         `p:3: connection.autoconnect "false": whether somebody brings the profile up cannot be told from the file`,
		"[connection]\ntype=ethernet\nautoconnect=maybe":                                                         `p:3: connection.autoconnect "maybe": true or false is expected`,
		"[connection]\ntype=ethernet\ninterface-name=d\n[ipv6]\nmethod=ignore\nrouting-rule1=priority 5 table 7": `p:5: ipv6.method "ignore": the family is off, and whether NetworkManager heeds routing-rule1 then cannot be told from the file`,
		"[connection]\ntype=ethernet\ninterface-name=d\n[ipv6]\nmethod=dhcp\nroute-table=7":                      `p:6: ipv6.route-table "7": with method=dhcp leases or advertisements fill the table, and their routes are not in the file`,
		"[connection]\ntype=ethernet\nmaster=x":                                                                  `p:3: connection.master "x": this key is not understood`,
		"[connection]\ntype=ethernet\ninterface-name=a b":                                                        `p:3: connection.interface-name "a b": it is no plain name of an interface`,
		"[connection]\ntype=ethernet\n[ipv4]\nroute1=10.0.0.0/8":                                                 `p:4: ipv4.route1 "10.0.0.0/8": no interface is named: connection.interface-name`,
		"[connection]\ntype=dummy\ninterface-name=d\n[ipv4]\nroute1=10.0.0.0/8":                                  `p:5: ipv4.route1 "10.0.0.0/8": which metric a route of a profile of type dummy has is not known: say it by route-metric`,
	} {
		_, _, err := nmkeyfile.Read([]format.File{{Path: "p", Text: text}})
		if err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// FuzzRead: what is read can be written, and means the same when it is read again.
func FuzzRead(f *testing.F) {
	// Short ones: long ones keep the engine busy with making them shorter.
	f.Add("[connection]\ntype=loopback\ninterface-name=lo\n[ipv4]\nmethod=auto\nrouting-rule1=priority 1 from 192.0.2.1 fwmark 1/3 table 7\nrouting-rule2=priority 2 ipproto 6 dport 25 type unreachable\n")
	f.Add("[connection]\ntype=ethernet\ninterface-name=e\n[ipv4]\nmethod=manual\naddress1=192.0.2.10/24,192.0.2.1\nroute1=0.0.0.0/0,192.0.2.1,5\nroute1_options=src=192.0.2.10,table=7\n")
	f.Add("[connection]\ntype=ethernet\ninterface-name=e\n[ipv6]\nmethod=auto\nroute=::/0,fe80::1,0\nroute_options=type=local,mtu=5,lock-cwnd=true,from=::/1\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, names, err := nmkeyfile.Read([]format.File{{Path: "p", Text: text}})
		if err != nil {
			return
		}
		files, losses := nmkeyfile.Write(s, names, nmkeyfile.Options{})
		back, _, err := nmkeyfile.Read(files)
		if err != nil {
			t.Fatalf("%v\n%v", err, files)
		}
		if len(losses) == 0 {
			formattest.Compare(t, back, s)
		}
	})
}
