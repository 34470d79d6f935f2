package fib_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// A world for tests is written as commands of ip, on top of three interfaces
//
//	e0 192.0.2.1/24      2001:db8::1/64
//	e1 198.51.100.1/24   2001:db8:1::1/64
//	e2 203.0.113.1/24    2001:db8:2::1/64
//
// that forward, without reverse-path check. Neighbours .9 are usual gateways:
// the default route leads to e0's, table 100 to e1's and table 200 to e2's.
func world(t *testing.T, commands ...string) *rpdb.Snapshot {
	t.Helper()
	const up = rpdb.LinkUp | rpdb.LinkRunning | rpdb.LinkLowerUp
	s := &rpdb.Snapshot{
		Custom4: rpdb.CustomisedYes, Custom6: rpdb.CustomisedYes,
		Links:   []rpdb.Link{{Index: 1, Name: "lo", Flags: up | rpdb.LinkLoopback}},
		Sysctls: rpdb.Sysctls{IPv4Forward: true, IPv6Forward: true, Links: map[rpdb.LinkName]rpdb.LinkSysctls{}},
	}
	s.Addresses = []rpdb.Address{
		{Link: 1, Prefix: netip.MustParsePrefix("127.0.0.1/8"), Scope: rpdb.ScopeHost},
		{Link: 1, Prefix: netip.MustParsePrefix("::1/128")},
	}
	for i, a := range []string{"192.0.2.1/24 2001:db8::1/64", "198.51.100.1/24 2001:db8:1::1/64", "203.0.113.1/24 2001:db8:2::1/64"} {
		l := rpdb.Link{Index: rpdb.LinkIndex(i + 2), Name: rpdb.LinkName(fmt.Sprintf("e%d", i)), Flags: up}
		s.Links = append(s.Links, l)
		s.Sysctls.Links[l.Name] = rpdb.LinkSysctls{Forwarding4: true, Forwarding6: true}
		for _, p := range strings.Fields(a) {
			s.Addresses = append(s.Addresses, rpdb.Address{Link: l.Index, Prefix: netip.MustParsePrefix(p)})
		}
	}
	for _, f := range rpdb.Families() {
		s.Rules = append(s.Rules, rpdb.DefaultRules(f)...)
	}
	run(t, s, "route add local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1")
	for i, net := range []string{"192.0.2", "198.51.100", "203.0.113"} {
		run(t, s,
			fmt.Sprintf("route add local %s.1 dev e%d table local proto kernel scope host src %[1]s.1", net, i),
			fmt.Sprintf("route add broadcast %s.255 dev e%d table local proto kernel scope link src %[1]s.1", net, i),
			fmt.Sprintf("route add %s.0/24 dev e%d proto kernel scope link src %[1]s.1", net, i))
	}
	for i, net := range []string{"2001:db8", "2001:db8:1", "2001:db8:2"} {
		run(t, s,
			fmt.Sprintf("-6 route add local %s::1 dev e%d table local proto kernel metric 0", net, i),
			fmt.Sprintf("-6 route add %s::/64 dev e%d proto kernel metric 256", net, i))
	}
	run(t, s,
		"route add default via 192.0.2.9 dev e0",
		"route add default via 198.51.100.9 dev e1 table 100",
		"route add default via 203.0.113.9 dev e2 table 200",
		"-6 route add default via 2001:db8::9 dev e0",
		"-6 route add default via 2001:db8:1::9 dev e1 table 100",
		"-6 route add default via 2001:db8:2::9 dev e2 table 200")
	run(t, s, commands...)
	return s
}

// run applies commands to a snapshot: "[-6] rule add ...", "[-6] route
// add|append ...", "route flush TABLE", "rule flush", "neigh ADDR dev NAME
// STATE".
func run(t *testing.T, s *rpdb.Snapshot, commands ...string) {
	t.Helper()
	for _, c := range commands {
		words := strings.Fields(c)
		family := rpdb.IPv4
		if words[0] == "-6" {
			family, words = rpdb.IPv6, words[1:]
		}
		switch words[0] + " " + words[1] {
		case "rule flush":
			s.Rules = nil
		case "route flush":
			s.Routes = slices.DeleteFunc(s.Routes, func(r rpdb.Route) bool { return fmt.Sprint(r.Table) == words[2] })
		case "rule add":
			addRule(t, s, family, words[2:])
		case "route add", "route append":
			addRoute(t, s, family, words[2:])
		default:
			addNeighbour(t, s, words)
		}
	}
}

func addRule(t *testing.T, s *rpdb.Snapshot, f rpdb.Family, words []string) {
	t.Helper()
	r, _, err := iproute2.ParseRule(f, words, rpdb.Names{})
	if err != nil {
		t.Fatal(err)
	}
	s.Rules = append(s.Rules, r)
	slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
}

func addRoute(t *testing.T, s *rpdb.Snapshot, f rpdb.Family, words []string) {
	t.Helper()
	context := iproute2.RouteContext{LinkIndex: func(name rpdb.LinkName) (rpdb.LinkIndex, bool) {
		l, ok := s.LinkByName(name)
		return l.Index, ok
	}}
	r, err := iproute2.ParseRoute(f, words, context)
	if err != nil {
		t.Fatal(err)
	}
	s.Routes = append(s.Routes, r)
}

func addNeighbour(t *testing.T, s *rpdb.Snapshot, words []string) {
	t.Helper()
	states := map[string]rpdb.NeighbourState{
		"reachable": rpdb.NeighbourReachable, "stale": rpdb.NeighbourStale, "failed": rpdb.NeighbourFailed,
		"permanent": rpdb.NeighbourPermanent, "incomplete": rpdb.NeighbourIncomplete,
	}
	l, ok := s.LinkByName(rpdb.LinkName(words[3]))
	if words[0] != "neigh" || !ok || states[words[4]] == 0 {
		t.Fatalf("bad command %q", words)
	}
	s.Neighbours = append(s.Neighbours, rpdb.Neighbour{Link: l.Index, Addr: netip.MustParseAddr(words[1]), State: states[words[4]]})
}

// flow reads "DST [from SRC] [iif NAME] [oif NAME] [mark N] [uid N] [tos N]
// [proto N] [sport N] [dport N] [label N] [tun N] [sendto|connect]".
func flow(t testing.TB, text string) rpdb.Flow {
	t.Helper()
	words := strings.Fields(text)
	f := rpdb.Flow{Dst: netip.MustParseAddr(words[0])}
	for words = words[1:]; len(words) > 0; words = words[1:] {
		switch words[0] {
		case "sendto":
			f.Socket = rpdb.SendTo
			continue
		case "connect":
			f.Socket = rpdb.Connect
			continue
		}
		var number uint64
		if _, err := fmt.Sscan(words[1], &number); err != nil {
			number = 0
		}
		switch words[0] {
		case "from":
			f.Src = netip.MustParseAddr(words[1])
		case "iif":
			f.IIF = rpdb.LinkName(words[1])
		case "oif":
			f.OIF = rpdb.LinkName(words[1])
		case "mark":
			f.Mark = uint32(number)
		case "uid":
			f.UID = uint32(number)
		case "tos":
			f.TOS = uint8(number)
		case "proto":
			f.IPProto = rpdb.IPProto(number)
		case "sport":
			f.SPort = uint16(number)
		case "dport":
			f.DPort = uint16(number)
		case "label":
			f.FlowLabel = uint32(number)
		case "tun":
			f.TunID = number
		default:
			t.Fatalf("bad word %q in flow %q", words[0], text)
		}
		words = words[1:]
	}
	return f
}

// brief writes a decision as "DISPOSITION [ERRNO] [TYPE] [dev NAME] [via ADDR]
// [src ADDR] [table N] [rule N] [icmp T/C] [realms N] [either NAME,NAME]"; a
// unicast type is left out.
func brief(d rpdb.Decision) string {
	var b strings.Builder
	b.WriteString(d.Disposition.String())
	add := func(on bool, format string, v any) {
		if on {
			fmt.Fprintf(&b, " "+format, v)
		}
	}
	add(d.Errno != 0, "%v", d.Errno)
	add(d.Disposition == rpdb.Sent && d.Type != rpdb.RouteUnicast, "%v", d.Type)
	add(d.Link != "", "dev %v", d.Link)
	add(d.Via.IsValid(), "via %v", d.Via)
	add(d.Src.IsValid(), "src %v", d.Src)
	add(d.Table != 0, "table %d", d.Table)
	priority, ok := d.Rule.Get()
	add(ok, "rule %d", priority)
	add(d.ICMP != rpdb.ICMPError{}, "icmp %v", d.ICMP)
	add(d.Realms != 0, "realms %v", fmt.Sprintf("%d/%d", d.Realms.From(), d.Realms.To()))
	var names []string
	for _, h := range d.Either {
		names = append(names, string(h.Link))
	}
	add(len(names) > 0, "either %s", strings.Join(names, ","))
	return b.String()
}
