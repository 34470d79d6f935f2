package formattest

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/internal/corpus"
)

// Meaning returns what a snapshot says of rules and routes, as commands of ip: the
// rules of each family in their order, then the routes in any. Numbers of
// interfaces, doubles and what has no effect make no difference.
func Meaning(s *rpdb.Snapshot) []string {
	var rules, routes []string
	for _, f := range rpdb.Families() {
		for _, r := range s.RulesOf(f) {
			rules = append(rules, iproute2.RuleCommand(rpdb.Add, iproute2.PlainRule(r), rpdb.Names{}))
		}
	}
	for _, r := range s.Routes {
		routes = append(routes, iproute2.RouteCommand(rpdb.Add, r.Canonical(), iproute2.RouteView{LinkName: s.LinkName}))
	}
	slices.Sort(routes)
	return append(slices.Compact(rules), slices.Compact(routes)...)
}

// Addresses returns the addresses of a snapshot with their interfaces, in order.
func Addresses(s *rpdb.Snapshot) []string {
	var list []string
	for _, a := range s.Addresses {
		list = append(list, a.Prefix.String()+" dev "+string(s.LinkName(a.Link)))
	}
	slices.Sort(list)
	return list
}

// Compare fails the test where two snapshots mean different things.
func Compare(t testing.TB, got, want *rpdb.Snapshot) {
	t.Helper()
	compareLines(t, Meaning(got), Meaning(want))
}

// CompareAddresses fails the test where two snapshots have different addresses.
func CompareAddresses(t testing.TB, got, want *rpdb.Snapshot) {
	t.Helper()
	compareLines(t, Addresses(got), Addresses(want))
}

func compareLines(t testing.TB, got, want []string) {
	t.Helper()
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("not wanted: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	if !t.Failed() && !slices.Equal(got, want) {
		t.Errorf("in this order\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Policy returns what of a snapshot is neither the kernel's own nor that of the
// link-local networks which come and go with interfaces.
func Policy(s *rpdb.Snapshot) *rpdb.Snapshot {
	p := *s
	p.Rules = slices.DeleteFunc(slices.Clone(s.Rules), func(r rpdb.Rule) bool {
		return slices.ContainsFunc(rpdb.DefaultRules(r.Family), func(o rpdb.Rule) bool { return o.Canonical() == r.Canonical() })
	})
	p.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool {
		return r.Protocol == rpdb.ProtocolKernel || r.Dst == netip.MustParsePrefix("ff00::/8")
	})
	p.Addresses = slices.DeleteFunc(slices.Clone(s.Addresses), func(a rpdb.Address) bool {
		return a.Prefix.Addr().IsLinkLocalUnicast() || a.Prefix.Addr().IsLoopback()
	})
	return &p
}

// AllActions returns rules and routes with what commands of ip say and other
// notations may not, for the interfaces of [rpdb/internal/corpus.DualUplink]: in
// words that iproute2 knows since 5.0.
func AllActions(t testing.TB) *rpdb.Snapshot {
	t.Helper()
	setup := iproute2.Setup{}
	for line := range strings.Lines(`
		link set lo up
		route add blackhole default metric 4000000 table 103 proto static
		route add throw 203.0.113.0/24 table 103 proto static
		route add 203.0.113.128/25 tos 0x10 via 192.0.2.7 dev eth0 realms 1/2 mtu lock 1400 initcwnd 9 table 103 proto static
		route add 198.18.0.0/15 via 10.1.1.1 dev eth1 onlink table 103 proto static
		route add local 198.51.100.128/25 dev lo table 103 proto static
		route add 203.0.113.0/25 table 103 proto static nexthop via 192.0.2.7 dev eth0 weight 3 nexthop via 192.0.2.8 dev eth0
		rule add pref 2000 not from 10.0.0.0/8 to 203.0.113.0/24 fwmark 0/0xff iif lo oif eth1 lookup 103 suppress_ifgroup 7
		rule add pref 2000 tos 0x10 lookup 103 realms 3/4 protocol 82
		rule add pref 2001 ipproto udp sport 1024-2047 dport 53 goto 2010
		rule add pref 2002 tun_id 5 prohibit
		rule add pref 2005 lookup 103 protocol static
		rule add pref 2005 not fwmark 0x1 lookup 103 protocol static
		rule add pref 2005 from 10.1.0.0/16 lookup 103 protocol static
		rule add pref 2003 l3mdev protocol static
		rule add pref 2010 nop
		rule add pref 2011 iif eth0 blackhole
		-6 route add prohibit 2001:db8:9::/48 metric 77 table 103 proto static
		-6 route add 2001:db8:8::/48 from 2001:db8:a::/64 via 2001:db8:a::9 dev eth0 table 103 proto static pref high
		-6 route add default via fe80::9 dev eth1 metric 7 table 103 proto static
		-6 rule add pref 2000 from 2001:db8::/32 fwmark 0x20 lookup 103 suppress_prefixlength 8 protocol static
		-6 rule add pref 2001 oif eth0 goto 2002
		-6 rule add pref 2002 unreachable`) {
		words, f := strings.Fields(line), rpdb.IPv4
		if len(words) == 0 {
			continue
		}
		if words[0] == "-6" {
			words, f = words[1:], rpdb.IPv6
		}
		if _, err := setup.Run(f, words); err != nil {
			t.Fatalf("%s: %v", strings.TrimSpace(line), err)
		}
	}
	return &setup.Snapshot
}

// Everything returns [rpdb/internal/corpus.DualUplink] with what [AllActions] adds.
func Everything(t testing.TB) *rpdb.Snapshot {
	t.Helper()
	s, more := corpus.DualUplink(), AllActions(t)
	s.Rules = append(s.Rules, more.Rules...)
	for _, r := range more.Routes {
		for i, n := range r.Nexthops {
			l, _ := s.LinkByName(more.LinkName(n.Link))
			r.Nexthops[i].Link = l.Index
		}
		s.Routes = append(s.Routes, r)
	}
	return s
}
