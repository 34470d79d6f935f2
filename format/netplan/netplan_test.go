package netplan_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/netplan"
	"rpdb/internal/corpus"
	"rpdb/internal/formattest"
)

// dualUplink is a host with two uplinks, as somebody wrote it: what netplan has
// words for of [corpus.DualUplink].
func dualUplink(tb testing.TB) []format.File {
	tb.Helper()
	text, err := os.ReadFile("testdata/dual-uplink.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return []format.File{{Path: "/etc/netplan/10-uplinks.yaml", Text: string(text)}}
}

// file is one definition of eth0.
func file(text string) []format.File {
	return []format.File{{Path: "a.yaml", Text: "network:\n  version: 2\n  ethernets:\n    eth0:\n" + indented(text)}}
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("      " + line)
	}
	return b.String()
}

func read(tb testing.TB, files []format.File) *rpdb.Snapshot {
	tb.Helper()
	s, n, err := netplan.Read(files)
	if err != nil {
		tb.Fatal(err)
	}
	if len(n.Tables) > 0 {
		tb.Errorf("names %v", n)
	}
	return s
}

func TestDualUplink(t *testing.T) {
	want := corpus.DualUplink()
	files, losses := netplan.Write(want, rpdb.Names{}, netplan.Options{})
	if len(losses) != 12 { // six rules, each in both families
		for _, l := range losses {
			t.Logf("lost %v", l)
		}
		t.Errorf("%d losses", len(losses))
	}
	gone := map[string]bool{}
	for _, l := range losses {
		gone[l.Object] = true
	}
	want.Rules = slices.DeleteFunc(want.Rules, func(r rpdb.Rule) bool { return gone[iproute2.RuleCommand(rpdb.Add, r, rpdb.Names{})] })
	got := read(t, files)
	formattest.Compare(t, got, want)
	formattest.CompareAddresses(t, got, want)
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []format.File
		want  []string
	}{
		{"rules", file(`routing-policy:
  - {from: 192.0.2.0/24, to: 198.51.100.7, table: 101, priority: 7, mark: 5, type-of-service: 8}
  - {to: "2001:db8::/32", priority: 8}
  - {from: 0.0.0.0/0, priority: 9, table: 2147483647}
`), []string{
			"ip -4 rule add pref 7 from 192.0.2.0/24 to 198.51.100.7 tos 0x08 fwmark 0x5 lookup 101 protocol static",
			"ip -4 rule add pref 9 lookup 2147483647 protocol static",
			"ip -6 rule add pref 8 to 2001:db8::/32 lookup main protocol static",
		}},
		{"routes", file(`dhcp4: true
dhcp4-overrides: {route-metric: 200, use-dns: false}
nameservers: {addresses: [192.0.2.53]}
gateway4: 192.0.2.1
gateway6: 2001:db8::1
routes:
  - {to: default, via: 192.0.2.1, on-link: true, metric: 100, table: 101}
  - {to: 192.0.2.0/24, scope: link, table: 101, from: 192.0.2.10}
  - {to: "::/0", via: "2001:db8::1", mtu: 1400, congestion-window: 10, advertised-receive-window: 20, table: 101}
  - {to: "2001:db8::/64", scope: link, table: 101}
  - {to: 10.0.0.0/8, type: throw, table: 101}
  - {to: 10.4.0.1, type: local, table: 102}
`), []string{
			"ip -4 route add 192.0.2.0/24 dev eth0 src 192.0.2.10 table 101 proto static",
			"ip -4 route add default via 192.0.2.1 dev eth0 onlink metric 100 table 101 proto static",
			"ip -4 route add default via 192.0.2.1 dev eth0 proto static",
			"ip -4 route add local 10.4.0.1 dev eth0 table 102 proto static",
			"ip -4 route add throw 10.0.0.0/8 table 101 proto static",
			"ip -6 route add 2001:db8::/64 dev eth0 metric 1024 table 101 proto static",
			"ip -6 route add default via 2001:db8::1 dev eth0 metric 1024 proto static",
			"ip -6 route add default via 2001:db8::1 dev eth0 metric 1024 table 101 proto static mtu 1400 initcwnd 10 initrwnd 20",
		}},
		{"matched by name, renamed, and in two files", []format.File{
			{Path: "b.yaml", Text: "network: {ethernets: {up: {routes: [{to: 0.0.0.0/0, scope: link}]}}}"},
			{Path: "a.yaml", Text: "network: {version: 2, ethernets: {up: {match: {name: eth7}}, down: {match: {macaddress: 02:00:00:00:00:01}, set-name: eth8, gateway4: 192.0.2.1}}}"},
			{Path: "c.yaml", Text: "# nothing\n"},
		}, []string{"ip -4 route add default dev eth7 proto static", "ip -4 route add default via 192.0.2.1 dev eth8 proto static"}},
		{"a VRF", []format.File{{Path: "a.yaml", Text: "network: {vrfs: {red: {table: 50, interfaces: [eth0], routes: [{to: default, via: 192.0.2.1}], routing-policy: [{from: 192.0.2.7, priority: 5}]}}}"}}, []string{
			"ip -4 rule add pref 5 from 192.0.2.7 lookup 50 protocol static", "ip -4 route add default via 192.0.2.1 dev red table 50 proto static",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := formattest.Meaning(read(t, c.files)); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestReadAddresses(t *testing.T) {
	s := read(t, file("addresses:\n  - 192.0.2.10/24\n  - \"2001:db8::5/64\": {lifetime: 0, label: x}\n  - fe80::7/64\n"))
	want := []rpdb.Address{
		{Link: 2, Prefix: s.Addresses[0].Prefix, Flags: rpdb.AddressPermanent},
		{Link: 2, Prefix: s.Addresses[1].Prefix, Flags: rpdb.AddressPermanent | rpdb.AddressDeprecated},
		{Link: 2, Prefix: s.Addresses[2].Prefix, Flags: rpdb.AddressPermanent, Scope: rpdb.ScopeLink},
	}
	if !slices.Equal(s.Addresses, want) {
		t.Errorf("got %+v", s.Addresses)
	}
}

func TestReadRefuses(t *testing.T) {
	rule := func(text string) []format.File { return file("routing-policy:\n  - {" + text + "}\n") }
	route := func(text string) []format.File { return file("routes:\n  - {" + text + "}\n") }
	whole := func(text string) []format.File { return []format.File{{Path: "a.yaml", Text: text}} }
	for _, c := range []struct {
		files []format.File
		want  string
	}{
		{whole("network: {"), "a.yaml:2:1: syntax: "},
		{whole("network: {}\n---\nnetwork: {}\n"), "a.yaml: syntax: there is more than one document"},
		{whole("netwrok: {}"), `a.yaml:1:1: key "netwrok": netplan has no such key here`},
		{whole("network: 7"), `a.yaml:1:10: network "7": it is no mapping of keys to values`},
		{whole("network: {version: 1}"), `a.yaml:1:20: version "1": it is not 2`},
		{whole("network: {ethernet: {}}"), `a.yaml:1:11: key "ethernet": netplan has no such key in network`},
		{whole("network: {ethernets: {a: {}}, bridges: {a: {}}}"), "a.yaml:1:44: definition a: it is of another kind in a.yaml"},
		{whole("network: {ethernets: {a: {mtu: 1, mtu: 2}}}"), "a.yaml:1:35: "},
		{whole("network: {ethernets: {any: {match: {name: \"eth*\"}, gateway4: 192.0.2.1}}}"), `a.yaml:1:52: key "gateway4": which interface it is for is not known here: match has no plain name`},
		{file("colour: blue\n"), `a.yaml:5:7: key "colour": netplan has no such key in ethernets`},
		{file("activation-mode: manual\n"), `a.yaml:5:24: activation-mode "manual": whether somebody brings the interface up cannot be told from the file`},
		{file("activation-mode: off\n"), `a.yaml:5:24: activation-mode "off": whether somebody brings the interface up cannot be told from the file`},
		{file("dhcp4-overrides: {route-table: 7}\n"), `a.yaml:5:38: dhcp4-overrides route-table "7": the routes of a lease are not in the file, so that nothing would fill the table`},
		{file("dhcp6-overrides: {use-routes: false, colour: blue}\n"), `a.yaml:5:44: key "colour": netplan has no such key in dhcp6-overrides`},
		{file("dhcp6-overrides: 7\n"), `a.yaml:5:24: dhcp6-overrides "7": it is no mapping of keys to values`},
		{file("table: 7\n"), `a.yaml:5:7: key "table": netplan has no such key in ethernets`},
		{file("addresses: [192.0.2.1]\n"), `a.yaml:5:19: address "192.0.2.1": it is no address with the length of its prefix`},
		{file("addresses: 192.0.2.1/24\n"), `a.yaml:5:18: addresses "192.0.2.1/24": it is no list`},
		{file("gateway4: \"::1\"\n"), `a.yaml:5:17: gateway4 "::1": it is no address of this family`},
		{rule("iif: eth0, from: 192.0.2.1, priority: 1"), `a.yaml:6:12: key "iif": netplan has no such key in a rule`},
		{rule("table: 7, priority: 1"), "a.yaml:6:11: rule: it has neither from nor to"},
		{rule("from: 192.0.2.1, table: 7"), "a.yaml:6:11: rule: it has no priority, and is given one that is free at each start"},
		{rule("from: 192.0.2.1, to: \"::1\", priority: 1"), "a.yaml:6:11: rule: its addresses are of two families"},
		{rule("from: 192.0.2.1, mark: 0, priority: 1"), `a.yaml:6:35: mark "0": it is less than 1`},
		{rule("from: 192.0.2.1, mark: 4294967295, priority: 1"), `mark "4294967295": netplan hands on numbers up to 2147483647, and -1 for those that are larger`},
		{rule("from: 192.0.2.1, table: main, priority: 1"), `table "main": it is no number`},
		{rule("from: 192.0.2.1, priority: 010"), `priority "010": it is no number`},
		{route("to: default, scope: link"), "a.yaml:6:11: route: the family of default is that of via, and there is none: write 0.0.0.0/0 or ::/0"},
		{route("to: 10.0.0.0/8"), "a.yaml:6:11: route: a global route needs via: without one it has scope: link"},
		{route("to: 10.0.0.0/8, via: \"::1\""), "a.yaml:6:11: route: its addresses are of two families"},
		{route("via: 192.0.2.1"), "a.yaml:6:11: route: it has no to"},
		{route("to: 10.0.0.0/8, via: 192.0.2.1, type: throw"), "a.yaml:6:11: route: a route of its type leads to no gateway"},
		{route("to: 10.0.0.0/8, via: 192.0.2.1, scope: site"), "a.yaml:6:11: route: its scope is none of global, link, host"},
		{route("to: 10.0.0.0/8, via: 192.0.2.1, on-link: maybe"), `on-link "maybe": it is neither true nor false`},
		{route("to: 10.0.0.0/8, via: 192.0.2.1, advmss: 7"), `key "advmss": netplan has no such key in a route`},
	} {
		s, _, err := netplan.Read(c.files)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.files[0].Text, err, c.want)
		}
		if s != nil {
			t.Errorf("%s: a snapshot beside an error", c.files[0].Text)
		}
	}
}

func FuzzRead(f *testing.F) {
	// Short ones: long ones keep the engine busy with making them shorter.
	f.Add("network: {ethernets: {eth0: {addresses: [192.0.2.10/24], routes: [{to: 0.0.0.0/0, via: 192.0.2.1, metric: 100, table: 101}]}}}")
	f.Add("network: {ethernets: {eth0: {dhcp4: true, dhcp4-overrides: {use-dns: no}, routes: [{to: \"2001:db8::/64\", scope: link}]}}}")
	f.Add("network: {version: 2, vrfs: {red: {table: 5, routes: [{to: default, via: 192.0.2.1, type: local}]}}}")
	f.Add("network: {ethernets: {a: {match: {name: b}, addresses: [192.0.2.1/24: {lifetime: 0}], gateway6: \"::1\"}}}")
	f.Add("network:\n  ethernets:\n    lo:\n      routing-policy:\n        - {to: 10.0.0.0/8, priority: 5, mark: 7}\n")
	f.Fuzz(func(t *testing.T, text string) {
		files := []format.File{{Path: "a.yaml", Text: text}}
		s, n, err := netplan.Read(files)
		if (s == nil) != (err != nil) {
			t.Fatalf("a snapshot %v, and the error %v", s != nil, err)
		}
		if err != nil {
			return
		}
		written, losses := netplan.Write(s, n, netplan.Options{})
		again, _, err := netplan.Read(written)
		if err != nil {
			t.Fatalf("what is written cannot be read: %v\n%s", err, written[0].Text)
		}
		if len(again.Rules)+len(again.Routes)+len(again.Addresses)+len(losses) < len(s.Rules)+len(s.Routes)+len(s.Addresses) {
			t.Fatalf("something is lost, and it is not said: %v\n%v", losses, written)
		}
	})
}
