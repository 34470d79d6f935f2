package bundle_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/cli/bundle"
	"rpdb/fib"
	"rpdb/format/iptext"
)

func parse(s string) netip.Addr { return netip.MustParseAddr(s) }

// describe writes a result down.
func describe(r *bundle.Result) string {
	text, err := json.MarshalIndent(struct {
		Assumed  []string
		Snapshot *rpdb.Snapshot
	}{r.Assumed, r.Snapshot}, "", " ")
	if err != nil {
		panic(err)
	}
	return string(text) + "\n"
}

// golden compares with a file, or writes it where UPDATE_GOLDEN is set.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("%s differs, %v: UPDATE_GOLDEN=1 rewrites it, read the diff", file, err)
	}
}

const stock = "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n"

// What is wrong is named by its place, and nothing comes of it.
func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":           "1:1: the text holds no listing",
		"# a\n\n":    "1:1: the text holds no listing",
		"nonsense":   `1:1: the line is of no listing of ip and no setting: "nonsense"`,
		"> " + stock: `1:1: the line is of no listing`,
		// cut off
		"0:\tfrom all lookup":   `1:1: the line stops short`,
		"0:\tfrom all":          "1:12: the rule stops short",
		"0:\tfrom all look":     `1:13: field "action": bad value: "look"`,
		"default via 192.0.2.1": "1:1: the route stops short: it leads to no interface",
		"198.51.100.0/24\n\tnexthop via 192.0.2.1 dev eth0 weight 1": "1:1: the route stops short: it has a list of one nexthop",
		"198.51.100.0/24 proto static":                               "1:1: the route stops short: it leads nowhere",
		"default via 192.0.2.1 dev eth0 proto ker":                   `1:38: no protocol has this name here: "ker"`,
		"default via 192.0.2. dev eth0":                              `1:13: `,
		"2: eth0: <UP":                                               `1:10: not the flags of an interface: "<UP"`,
		"2: eth0: <UP> mt":                                           "1:17: the listing of the interface stops short",
		"2: eth0: <UP> qdisc mq":                                     "1:23: the listing of the interface stops short",
		"2:":                                                         "1:3: the listing of the interface stops short",
		"2: eth0: <UP> mtu 1500\n    inet 192.0.2.1/24 br":           `2:25: the listing of the interface stops short`,
		"2: eth0: <UP> mtu 1500\n    inet 192.0.2.1/24 scope gl":     `2:29: no scope has this name here: "gl"`,
		"2: eth0: <UP> mtu 1500\n    inet 192.0.2.1/24 scope global eth0\n       valid_lft 3": "3:19: the listing of the interface stops short",
		"192.0.2.1 dev eth0 lladdr 02:00:00:00:00:01":                                         "1:44: the listing of the neighbour stops short",
		"id 7 via 192.0.2.1":                        "1:1: the nexthop object stops short",
		"id 9 group 7,":                             "1:12: not a value of group of a nexthop object",
		`[{"priority":0,"src":"all"`:                "1:1: the JSON array has no end",
		`[{"ifindex":2,"ifname":"eth0","mtu":"x"}]`: "1:39: not the JSON of ip",
		`[{"dst":"default","gateway":"192.0.2.1","dev":"eth0","flags":[],"x":1}]`: `1:2: field "x": unknown`,
		`[{"a":1}]`:   `1:1: the JSON array is of no listing of ip`,
		`[{"a":1}] x`: `1:11: text behind a JSON array: "x"`,
		// damaged
		"    inet 192.0.2.1/24 scope global eth0":                       "1:5: the line is of no listing",
		"\tnexthop via 192.0.2.1 dev eth0 weight 1":                     "1:2: the line is of no listing",
		"0:\tfrom all lookup vpn\n32767:\tfrom all lookup default":      `1:20: no table has this name here: "vpn"`,
		"default via 192.0.2.1 dev eth0 mangled 7":                      `1:32: a word that no listing of ip has: "mangled"`,
		"2: eth0: <UP,UNHEARD> mtu 1500":                                `1:10: flags of an interface that are not known`,
		"2: eth0: <UP> mtu 1500 group servers":                          `1:30: no interface group has this name here: "servers"`,
		"2: eth0: <UP> mtu 1500\n    what is this":                      `2:5: not a line of the listing of an interface: "what"`,
		"192.0.2.1 dev eth0 STALE DEAD STALE":                           `1:26: not a word of the listing of a neighbour: "DEAD"`,
		"net.ipv4.ip_forward = on":                                      `1:23: not a value of the setting net/ipv4/ip_forward: "on"`,
		"inet eth0 forwarding maybe rp_filter off":                      `1:22: not a value of the setting forwarding: "maybe"`,
		"Deleted default via 192.0.2.1 dev eth0":                        "1:1: the line is of no listing",
		"8.8.8.8 via 192.0.2.1 dev eth0 src 192.0.2.2 uid 0\n    cache": "1:1: an answer of \"ip route get\" is no route",
		// contradicting
		"# ip rule\n" + stock + "# ip rule\n0:\tfrom all lookup local\n7:\tfrom all lookup main\n":        "7:1: the rules are listed twice, and not alike",
		"# ip rule\n0:\tfrom 2001:db8::1 lookup main":                                                     "2:1: a rule of IPv6 in a listing of IPv4",
		"# ip -4 rule\n" + stock + "# ip route\ndefault dev a\n# ip route show table main\ndefault dev b": "8:1: the table is listed twice, and not alike",
		"2: eth0: <UP> mtu 1500\n3: eth0: <UP> mtu 1500":                                                  `2:1: the interface is listed before under another name or number`,
		"0:\tfrom all lookup local\n32766:\tfrom all lookup main":                                         `1:1: rules of which family`,
		"# ip route show table vpn\ndefault dev eth0":                                                     `1:1: no table has this name here: "vpn"`,
	} {
		r, err := bundle.Read(text, rpdb.Names{})
		var at *iptext.Error
		if r != nil || !errors.As(err, &at) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

// read reads a text that is in order.
func read(t *testing.T, text string) *bundle.Result {
	t.Helper()
	r, err := bundle.Read(text, rpdb.Names{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func assumes(t *testing.T, r *bundle.Result, want ...string) {
	t.Helper()
	for _, w := range want {
		if !slices.ContainsFunc(r.Assumed, func(a string) bool { return strings.HasPrefix(a, w) }) {
			t.Errorf("no %q in %q", w, r.Assumed)
		}
	}
}

// A command line says what its listing is of, where the listing does not.
func TestCommandsSayWhatIsListed(t *testing.T) {
	r := read(t, `[root@fw ~]# ip -6 rule
0:	from all lookup local
32766:	from all lookup main
[root@fw ~]# ip route show table 100
default via 10.10.0.1 dev eth1
[root@fw ~]# ip route list
default via 192.0.2.1 dev eth0
[root@fw ~]# ip -f inet6 route show table 7
Error: ipv6: FIB table does not exist.
Dump terminated
[root@fw ~]# ip route show dev eth0
192.0.2.0/24 proto kernel scope link
[root@fw ~]# ip route get 8.8.8.8
8.8.8.8 via 192.0.2.1 dev eth0 src 192.0.2.2 uid 0
    cache
[root@fw ~]# ip maddress
1:	lo
	inet  224.0.0.1
[root@fw ~]#
`)
	var got []string
	for _, x := range r.Snapshot.Routes {
		got = append(got, x.String())
	}
	if want := []string{"route default table 100 (IPv4)", "route default table 254 (IPv4)"}; !slices.Equal(got, want) {
		t.Errorf("routes %q", got)
	}
	if !slices.Equal(r.Snapshot.RulesOf(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv4)) || !slices.Equal(r.Snapshot.RulesOf(rpdb.IPv6), rpdb.DefaultRules(rpdb.IPv6)) {
		t.Errorf("rules %+v", r.Snapshot.Rules)
	}
	assumes(t, r, `line 11: "ip route show dev eth0" lists only a part`, "no IPv4 rules (ip rule)", "IPv4 tables not listed (ip route show table all): default, local:",
		"IPv6 tables not listed (ip -6 route show table all): main, local:", "not listed (ip link): eth0, eth1:", "no IPv4 addresses", "no IPv6 addresses")
}

// A table local that is not listed is what the addresses make of it.
func TestLocalOfAddresses(t *testing.T) {
	r := read(t, "# ip rule\n"+stock+`# ip route
default via 192.0.2.1 dev eth0
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10
# ip addr
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536
    inet 127.0.0.1/8 scope host lo
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0
`)
	assumes(t, r, "IPv4 table local is not listed")
	f := fib.Compile(r.Snapshot)
	for dst, want := range map[string]rpdb.Disposition{
		"192.0.2.10": rpdb.Local, "127.5.5.5": rpdb.Local, "192.0.2.99": rpdb.Sent, "203.0.113.1": rpdb.Sent, "192.0.2.255": rpdb.Sent,
	} {
		if d := f.Lookup(rpdb.Flow{Dst: parse(dst)}); d.Disposition != want || dst == "192.0.2.255" && d.Type != rpdb.RouteBroadcast {
			t.Errorf("%s: %+v", dst, d)
		}
	}
}

// The bundles of testdata, as ip 6.1 and others wrote them, give the snapshots
// beside them.
// TestRouteThatIsOver: ip lists a route of a silent router for half a minute after
// its life time, and no packet takes it.
func TestRouteThatIsOver(t *testing.T) {
	for _, text := range []string{
		"$ ip -6 route show table all\ndefault via fe80::1 dev eth1 proto ra metric 1024 expires -5sec pref medium\n" +
			"default via fe80::2 dev eth1 proto ra metric 1024 expires 5sec pref medium\n",
		`$ ip -6 -j route show table all
[{"dst":"default","gateway":"fe80::1","dev":"eth1","protocol":"ra","metric":1024,"flags":[],"expires":-5,"pref":"medium"},{"dst":"default","gateway":"fe80::2","dev":"eth1","protocol":"ra","metric":1024,"flags":[],"expires":5,"pref":"medium"}]
`,
	} {
		read, err := bundle.Read(text+"$ ip link\n2: eth1: <UP> mtu 1500 state UP\n", rpdb.Names{})
		if err != nil {
			t.Error(err)
			continue
		}
		var via []string
		for _, r := range read.Snapshot.Table(rpdb.IPv6, rpdb.TableMain) {
			via = append(via, r.Nexthops[0].Via.String())
		}
		if !slices.Equal(via, []string{"fe80::2"}) {
			t.Errorf("default routes via %v in\n%s", via, text)
		}
	}
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "-json.txt") { // of the same host
			file = strings.TrimSuffix(file, "-json.txt") + ".txt"
		}
		golden(t, strings.TrimSuffix(file, ".txt")+".golden", describe(read(t, string(text))))
	}
}

// Listings that follow each other in another order, and twice, are the same host.
func TestOrderAndRepetition(t *testing.T) {
	text, err := os.ReadFile("testdata/vrf.txt")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitAfter(string(text), "\n\n")
	want := read(t, string(text))
	slices.Reverse(parts)
	back := read(t, strings.Join(parts, "\n"))
	twice := read(t, string(text)+"\n"+strings.Join(parts, "\n"))
	for name, r := range map[string]*bundle.Result{"backwards": back, "twice": twice} {
		if !reflect.DeepEqual(r.Snapshot, want.Snapshot) {
			t.Errorf("%s:\n%s\nwant\n%s", name, describe(r), describe(want))
		}
	}
}

// Wherever a bundle is cut, what is left of it is refused or is a part of the
// host; where the cut may have left something else of the last line, that is said.
func TestCuts(t *testing.T) {
	data, err := os.ReadFile("testdata/ip-6.1.txt")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	whole := read(t, text).Snapshot
	refused := 0
	for i := 1; i <= len(text); i++ {
		if text[i-1] != '\n' && i%7 != 0 {
			continue
		}
		r, err := bundle.Read(text[:i], rpdb.Names{})
		if err != nil {
			refused++
			continue
		}
		if text[i-1] != '\n' {
			assumes(t, r, "the text ends in the middle of a line")
			continue
		}
		for _, x := range r.Snapshot.Routes {
			// Without a listing of the interfaces they have other numbers.
			if !slices.ContainsFunc(whole.Routes, func(r rpdb.Route) bool { return numberless(r).Equal(numberless(x)) }) {
				t.Errorf("cut at %d: %+v is not of the host", i, x)
			}
		}
		for _, x := range r.Snapshot.Addresses {
			if !slices.ContainsFunc(whole.Addresses, func(a rpdb.Address) bool { return a.Prefix == x.Prefix && a.Peer == x.Peer && a.Scope == x.Scope }) {
				t.Errorf("cut at %d: %+v is not of the host", i, x)
			}
		}
	}
	if refused < 100 {
		t.Errorf("%d cuts were seen", refused)
	}
}

// Between two lines a cut shows in table local, which comes late.
func TestCutBetweenRoutes(t *testing.T) {
	const lines = `# ip -4 rule
0:	from all lookup local
32766:	from all lookup main
32767:	from all lookup default
# ip -4 route show table all
default via 192.0.2.1 dev eth0
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.2
198.51.100.0/24 dev eth1 proto kernel scope link src 198.51.100.2
local 192.0.2.2 dev eth0 table local proto kernel scope host src 192.0.2.2
local 198.51.100.2 dev eth1 table local proto kernel scope host src 198.51.100.2
`
	local := rpdb.TableRef{Family: rpdb.IPv4, Table: rpdb.TableLocal}
	cuts := strings.SplitAfter(lines, "\n")
	for n := 6; n < len(cuts); n++ {
		r := read(t, strings.Join(cuts[:n], ""))
		whole := n == len(cuts)-1
		if slices.Contains(r.Snapshot.MissingTables, local) == whole {
			t.Errorf("cut behind line %d: table local is whole: %v; %q", n, !whole, r.Assumed)
		}
		if !whole {
			assumes(t, r, "IPv4 table local lacks addresses of this host: the listing of routes may be cut off")
		}
	}
	r := read(t, strings.Join(cuts[:8], "")+"# ip addr\n2: eth0: <UP,LOWER_UP> mtu 1500\n    inet 192.0.2.2/24 scope global eth0\n")
	assumes(t, r, "IPv4 table local is not listed: taken to hold what the kernel makes of the addresses")
}

func numberless(r rpdb.Route) rpdb.Route {
	r.Nexthops = slices.Clone(r.Nexthops)
	for i := range r.Nexthops {
		r.Nexthops[i].Link = 0
	}
	return r
}

// Whatever the text is, there is an answer: an error inside of it, or a snapshot
// that can be compiled and asked.
func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
		for _, part := range strings.SplitAfter(string(text), "\n") {
			f.Add(part)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := bundle.Read(text, rpdb.Names{})
		if err != nil {
			var at *iptext.Error
			if !errors.As(err, &at) || at.Line < 1 || at.Column < 1 || at.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		// No part of a snapshot is longer than the text that it is from, but for
		// what two families, every interface and every address add.
		s := r.Snapshot
		if n := len(s.Rules) + len(s.Routes) + len(s.Links) + len(s.Addresses) + len(s.Neighbours) + len(s.Nexthops); n > 16+4*len(text) {
			t.Fatalf("%q: %d entries", text, n)
		}
		fib.Compile(s).Lookup(rpdb.Flow{Dst: parse("192.0.2.1")})
		if again, err := bundle.Read(text, rpdb.Names{}); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q: another answer for the same text: %v", text, err)
		}
	})
}
