package bundle_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rpdb"
	"rpdb/cli/bundle"
	"rpdb/fib"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// hosts are what the listings are made of.
func hosts() map[string][]string {
	uplinks := []string{
		"ip link add eth0 type veth peer name gw0", "ip link add eth1 type veth peer name gw1",
		"ip link set eth0 up", "ip link set gw0 up", "ip link set eth1 up group 7", "ip link set gw1 up",
		"ip addr add 192.0.2.10/24 dev eth0", "ip addr add 198.51.100.10/24 dev eth1",
		"ip addr add 2001:db8:a::10/64 dev eth0 nodad", "ip addr add 2001:db8:b::10/64 dev eth1 nodad",
	}
	add := func(more ...string) []string { return slices.Concat(uplinks, more) }
	return map[string][]string{
		"stock": uplinks,
		"two gateways": add("ip route add default via 192.0.2.1 dev eth0", "ip route add default via 198.51.100.1 dev eth1 table 100",
			"ip -6 route add default via 2001:db8:a::1 dev eth0", "ip -6 route add default via 2001:db8:b::1 dev eth1 table 100",
			"ip rule add pref 90 lookup main suppress_prefixlength 0", "ip rule add pref 100 from 198.51.100.10 lookup 100",
			"ip rule add pref 110 oif eth1 lookup 100", "ip -6 rule add pref 100 from 2001:db8:b::/64 lookup 100 protocol static",
			"ip rule add pref 120 fwmark 0x10/0xf0 ipproto tcp dport 80-90 lookup 100", "ip rule add pref 130 not iif eth0 lookup 100 suppress_ifgroup 7",
			"ip rule add pref 140 uidrange 0-0 tos 0x10 goto 32766", "ip rule add pref 150 oif gone0 prohibit",
			"ip neigh add 192.0.2.1 dev eth0 lladdr 02:00:00:00:00:01 nud permanent"),
		"ways": add("ip nexthop add id 7 via 192.0.2.5 dev eth0", "ip nexthop add id 8 via 198.51.100.6 dev eth1",
			"ip nexthop add id 9 group 7,3/8", "ip nexthop add id 10 blackhole", "ip nexthop add id 11 via 2001:db8:a::5 dev eth0",
			"ip route add 203.0.113.0/25 nhid 9", "ip route add 203.0.113.128/25 nhid 7", "ip route add 203.0.114.0/24 nhid 10",
			"ip route add 203.0.115.0/24 nexthop via 192.0.2.3 weight 2 nexthop via 198.51.100.4",
			"ip -6 route add 2001:db8:9::/48 nexthop via 2001:db8:a::3 nexthop via 2001:db8:b::4 weight 3", "ip -6 route add 2001:db8:8::/48 nhid 11"),
		"kinds of routes": add("ip -6 route add default via 2001:db8:a::1 dev eth0 pref high metric 7", "ip -6 route add default via 2001:db8:b::1 dev eth1 pref low metric 8",
			"ip -6 route add unreachable 2001:db8:f::/48", "ip -6 route add 2001:db8:e::/48 from 2001:db8:b::/64 via 2001:db8:b::9",
			"ip route add throw 203.0.113.0/24 table 7", "ip route add blackhole 203.0.114.0/24", "ip route add 203.0.115.0/24 tos 0x10 via 192.0.2.9 realms 1/2",
			"ip route add 203.0.116.0/24 via 192.0.2.9 mtu lock 1400 proto static src 192.0.2.10 metric 5", "ip route append 203.0.116.0/24 via 192.0.2.8 mtu 1300 metric 5",
			"ip route add 203.0.117.0/24 via 10.9.9.9 dev eth0 onlink", "ip route add 203.0.118.0/24 via inet6 2001:db8:a::1 dev eth0",
			"ip route add local 203.0.119.0/24 dev lo table 7", "ip rule add pref 50 lookup 7 realms 3/4", "ip -6 rule add pref 50 to 2001:db8:f::/32 unreachable"),
		"no carrier": add("ip addr add 10.9.0.1/32 peer 10.9.0.2 dev eth0", "ip route add default via 192.0.2.1", "ip route add 203.0.113.0/24 via 198.51.100.1",
			"ip route add 203.0.115.0/24 nexthop via 192.0.2.3 nexthop via 198.51.100.4", "ip -6 route add 2001:db8:9::/48 via 2001:db8:b::4", "ip link set gw1 down"),
	}
}

// ip returns what the ip of this machine prints in a namespace.
func ip(t *testing.T, ns *kernel.NetNS, args string) string {
	t.Helper()
	var out bytes.Buffer
	err := ns.Do(func() error {
		cmd := exec.Command("ip", strings.Fields(args)...)
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, &out)
	}
	return out.String()
}

// listings are the commands whose output makes a bundle, in several forms.
func listings() map[string][]string {
	full := []string{"-d rule", "-d -6 rule", "-d route show table all", "-6 -d route show table all", "addr", "-d link", "neigh", "nexthop"}
	each := func(option string) (list []string) {
		for _, c := range full {
			list = append(list, option+" "+c)
		}
		return list
	}
	return map[string][]string{
		"as asked":    full,
		"JSON":        each("-j"),
		"pretty JSON": each("-j -p"),
		"one line":    {"-o rule", "-o -6 rule", "-o route show table all", "-o -6 route show table all", "-o addr", "-o -d link", "-o neigh", "-o nexthop"},
		"counters":    {"-s rule", "-s -6 rule", "-s route show table all", "-s -6 route show table all", "-s addr", "-s -s -d link", "-s neigh", "-s nexthop"},
		"mixed":       {"nexthop", "-j neigh", "-d -6 rule", "-j -d addr", "link", "-6 route show table all", "-j rule", "route show table all", "addr"},
	}
}

// assemble makes a bundle of the output of commands: bare, or with what comes
// between and around them.
func assemble(t *testing.T, ns *kernel.NetNS, commands []string, g *rand.Rand) string {
	t.Helper()
	var b strings.Builder
	style := g.IntN(5)
	for _, c := range commands {
		head := []string{"", "# ip " + c, "root@host:~# ip " + c, "=== ip " + c + " ===", "$ /sbin/ip " + c}[style]
		if head != "" {
			b.WriteString(head + "\n")
		}
		b.WriteString(ip(t, ns, c))
		if g.IntN(2) == 0 {
			b.WriteString("\n")
		}
	}
	text := b.String()
	if g.IntN(3) == 0 {
		text = "    " + strings.ReplaceAll(text, "\n", "\n    ")
	}
	if g.IntN(3) == 0 {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

// sysctls are the settings as sysctl -a prints them.
func sysctls(t *testing.T, ns *kernel.NetNS, s *rpdb.Snapshot) string {
	t.Helper()
	var b strings.Builder
	keys := []string{
		"ipv4.ip_forward", "ipv4.fib_multipath_hash_policy", "ipv6.fib_multipath_hash_policy", "ipv4.fib_multipath_hash_seed",
		"ipv4.fib_multipath_use_neigh", "ipv4.fwmark_reflect", "ipv6.fwmark_reflect", "ipv4.tcp_fwmark_accept",
	}
	names := []rpdb.LinkName{"all"}
	for _, l := range s.Links {
		names = append(names, l.Name)
	}
	for _, name := range names {
		for _, key := range []string{
			"ipv4.conf.%s.forwarding", "ipv6.conf.%s.forwarding", "ipv4.conf.%s.rp_filter", "ipv4.conf.%s.src_valid_mark", "ipv4.conf.%s.accept_local",
			"ipv4.conf.%s.route_localnet", "ipv4.conf.%s.ignore_routes_with_linkdown", "ipv6.conf.%s.ignore_routes_with_linkdown", "ipv6.conf.%s.disable_ipv6", "ipv4.conf.%s.send_redirects",
		} {
			keys = append(keys, fmt.Sprintf(key, name))
		}
	}
	for _, key := range keys {
		if value, err := ns.Sysctl("net." + key); err == nil {
			fmt.Fprintf(&b, "net.%s = %s\n", key, strings.TrimSpace(value))
		}
	}
	b.WriteString("net.ipv4.conf.all.arp_ignore = 0\nnet.ipv4.icmp_echo_ignore_all = 0\nnet.ipv4.tcp_rmem = 4096\t131072\t6291456\n")
	return b.String()
}

// still returns a snapshot, and what make makes, while nothing changed: IPv6
// takes seconds to be content with its addresses.
func still(t *testing.T, ns *kernel.NetNS, make func(*rpdb.Snapshot)) *rpdb.Snapshot {
	t.Helper()
	c, err := kernel.Open(kernel.Options{NetNS: ns})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := func() *rpdb.Snapshot {
		s, err := c.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return listed(s)
	}
	for {
		before := read()
		make(before)
		if after := read(); reflect.DeepEqual(before, after) && !slices.ContainsFunc(after.Addresses, func(a rpdb.Address) bool { return !a.Usable() }) {
			return after
		}
		select {
		case <-t.Context().Done():
			t.Fatal(context.Cause(t.Context()))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// listed returns what the listings can tell of a snapshot of the kernel.
func listed(s *rpdb.Snapshot) *rpdb.Snapshot {
	out := *s
	out.Kernel, out.Custom4, out.Custom6 = "", 0, 0
	out.Missing, out.MissingTables = 0, nil
	out.Addresses = slices.Clone(s.Addresses)
	slices.SortStableFunc(out.Addresses, func(a, b rpdb.Address) int { return int(a.Link) - int(b.Link) })
	out.Neighbours = slices.DeleteFunc(slices.Clone(s.Neighbours), func(n rpdb.Neighbour) bool { return n.State == rpdb.NeighbourNoARP })
	slices.SortFunc(out.Neighbours, func(a, b rpdb.Neighbour) int { return a.Addr.Compare(b.Addr) })
	out.Nexthops = slices.Clone(s.Nexthops)
	for i := range out.Nexthops {
		o := &out.Nexthops[i]
		o.Unknown, o.Family, o.Nexthop = "", 0, o.Nexthop.Canonical()
	}
	out.Routes = slices.Clone(s.Routes)
	for i := range out.Routes {
		r := &out.Routes[i]
		r.Expires = 0
		if len(r.Nexthops) == 0 {
			r.Nexthops = nil
		}
		if len(r.Metrics) == 0 {
			r.Metrics = nil
		}
	}
	if len(out.Neighbours) == 0 {
		out.Neighbours = nil
	}
	if len(out.Nexthops) == 0 {
		out.Nexthops = nil
	}
	return &out
}

// What ip prints of a host reads as the host itself, in every form, and the
// engine decides the same for both. What is left out is unknown, not guessed.
func TestHostsByTheirListings(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed")
	}
	g := rand.New(rand.NewPCG(5, 6))
	for name, script := range hosts() {
		t.Run(name, func(t *testing.T) {
			k := kerneltest.Real(t)
			if err := kerneltest.Script(t.Context(), k, script...); err != nil {
				t.Fatal(err)
			}
			ns := k.NetNS()
			texts := map[string]string{}
			settings := ""
			want := still(t, ns, func(s *rpdb.Snapshot) {
				settings = sysctls(t, ns, s)
				for form, commands := range listings() {
					texts[form] = assemble(t, ns, commands, g)
				}
			})
			for form, text := range texts {
				whole, err := bundle.Read(text+"\n"+settings, rpdb.Names{})
				if err != nil {
					t.Fatalf("%s: %v\n%s", form, err, text)
				}
				compare(t, form, text, listed(whole.Snapshot), want)
				// Without a heading, no output is no listing.
				if len(want.Neighbours) == 0 {
					whole.Snapshot.Missing &^= rpdb.PartNeighbours
				}
				if len(want.Nexthops) == 0 {
					whole.Snapshot.Missing &^= rpdb.PartNexthops
				}
				if whole.Snapshot.Missing != 0 || len(whole.Snapshot.MissingTables) > 0 {
					t.Errorf("%s: %q, missing %v", form, whole.Assumed, whole.Snapshot.Missing)
				}
				part, err := bundle.Read(text, rpdb.Names{})
				if err != nil {
					t.Fatal(err)
				}
				decide(t, form, want, whole.Snapshot, part.Snapshot)
			}
		})
	}
}

func compare(t *testing.T, form, text string, got, want *rpdb.Snapshot) {
	t.Helper()
	if form == "mixed" { // which has no details of interfaces
		for i := range got.Links {
			got.Links[i].Kind = want.Links[i].Kind
		}
	}
	for _, part := range []struct {
		name      string
		got, want any
	}{
		{"rules", got.Rules, want.Rules},
		{"routes", got.Routes, want.Routes},
		{"links", got.Links, want.Links},
		{"addresses", got.Addresses, want.Addresses},
		{"neighbours", got.Neighbours, want.Neighbours},
		{"nexthops", got.Nexthops, want.Nexthops},
		{"sysctls", got.Sysctls, want.Sysctls},
	} {
		if !reflect.DeepEqual(part.got, part.want) {
			t.Errorf("%s: %s\n got %+v\nwant %+v\n%s", form, part.name, part.got, part.want, text)
		}
	}
}

// decide compares the decisions for flows of all kinds.
func decide(t *testing.T, form string, host, whole, part *rpdb.Snapshot) {
	t.Helper()
	g := rand.New(rand.NewPCG(7, 8))
	want, got, less := fib.Compile(host), fib.Compile(whole), fib.Compile(part)
	known := 0
	const flows = 400
	for range flows {
		flow := randomFlow(g, host)
		d := want.Lookup(flow)
		if e := got.Lookup(flow); !reflect.DeepEqual(d, e) {
			t.Fatalf("%s: %+v\nby the listings %+v\nby the host     %+v", form, flow, e, d)
		}
		l := less.Lookup(flow)
		if l.Disposition == rpdb.DispositionUnknown {
			continue
		}
		known++
		if len(l.Either) > 0 {
			continue
		}
		if !l.Src.IsValid() { // it is not known
			d.Src = l.Src
		}
		if l.Note = d.Note; !reflect.DeepEqual(d, l) {
			t.Fatalf("%s: %+v\nwithout settings %+v\nby the host      %+v", form, flow, l, d)
		}
	}
	if known < flows/4 {
		t.Errorf("%s: without settings %d of %d decisions are known", form, known, flows)
	}
}

// randomFlow picks addresses that the tables and the interfaces know.
func randomFlow(g *rand.Rand, s *rpdb.Snapshot) rpdb.Flow {
	r := s.Routes[g.IntN(len(s.Routes))]
	f := rpdb.Flow{Dst: r.Dst.Addr(), Socket: rpdb.SocketCall(g.IntN(3))}
	if g.IntN(2) == 0 {
		f.Dst = f.Dst.Next()
	}
	if f.Dst.IsUnspecified() || r.IsDefault() {
		f.Dst = map[rpdb.Family]netip.Addr{rpdb.IPv4: netip.MustParseAddr("9.9.9.9"), rpdb.IPv6: netip.MustParseAddr("2001:db9::9")}[r.Family]
	}
	var own []netip.Addr
	for _, a := range s.Addresses {
		if rpdb.FamilyOf(a.Prefix.Addr()) == r.Family {
			own = append(own, a.Prefix.Addr())
		}
	}
	link := s.Links[g.IntN(len(s.Links))].Name
	switch g.IntN(4) {
	case 0:
		f.Src = own[g.IntN(len(own))]
	case 1:
		f.Src, f.IIF, f.Socket = own[g.IntN(len(own))].Next(), link, rpdb.RouteGet
	case 2:
		f.OIF = link
	}
	if g.IntN(3) == 0 {
		f.Mark, f.IPProto, f.DPort, f.TOS = 0x10, rpdb.TCP, uint16(80+g.IntN(20)), uint8(g.IntN(2)*16)
	}
	return f
}
