package cost_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"rpdb"
	"rpdb/analysis/cost"
)

// TestModel holds the model against the measurements that it was fitted to: ns per
// lookup behind rules that do not match, by sources, destinations, marks, ports and
// interfaces, of a kernel 6.18.
func TestModel(t *testing.T) {
	for _, c := range []struct {
		family   rpdb.Family
		rules    int
		measured []float64
	}{
		{rpdb.IPv4, 0, []float64{93, 109, 155, 132, 144}},
		{rpdb.IPv4, 10, []float64{159, 178, 178, 234, 208}},
		{rpdb.IPv4, 100, []float64{956, 762, 598, 965, 534}},
		{rpdb.IPv4, 1000, []float64{8823, 7190, 8301, 11986, 8314}},
		{rpdb.IPv4, 10_000, []float64{200_211, 132_223, 196_286, 191_936, 186_880}},
		{rpdb.IPv4, 100_000, []float64{747_547, 719_439, 1_201_695, 802_760}},
		{rpdb.IPv6, 0, []float64{219, 312, 290}},
		{rpdb.IPv6, 10, []float64{392, 333, 341}},
		{rpdb.IPv6, 100, []float64{651, 605, 1601}},
		{rpdb.IPv6, 1000, []float64{9613, 8501, 13_228}},
		{rpdb.IPv6, 10_000, []float64{256_518, 332_141, 280_650}},
		{rpdb.IPv6, 100_000, []float64{916_168, 1_306_138, 892_894}},
	} {
		got := cost.Lookup(c.family, c.rules+2, 2)
		if c.rules <= 1000 {
			if w := of(host(c.family, c.rules), c.family).Typical; w.Rules != c.rules+2 || w.Tables != 2 || w.Lookup != got {
				t.Errorf("%v, %d rules: a packet meets %+v", c.family, c.rules, w)
			}
		}
		for _, ns := range c.measured {
			if ns < got.Low*0.99 || ns > got.High*1.01 {
				t.Errorf("%v, %d rules: measured %.0f, foretold %.0f to %.0f", c.family, c.rules, ns, got.Low, got.High)
			}
		}
		if got.High > 5*got.Low {
			t.Errorf("%v, %d rules: %.0f to %.0f says little", c.family, c.rules, got.Low, got.High)
		}
	}
	for n := 1; n < 1_000_000; n += n/10 + 1 {
		for _, f := range rpdb.Families() {
			a, b := cost.Rules(f, n), cost.Rules(f, n+n/10+1)
			if b.High < a.High {
				t.Errorf("%v: %d rules cost up to %.0f, and more of them %.0f", f, n, a.High, b.High)
			}
		}
	}
}

func of(s *rpdb.Snapshot, f rpdb.Family) cost.Family {
	for _, c := range cost.Of(s) {
		if c.Family == f {
			return c
		}
	}
	return cost.Family{}
}

// host has n rules for single sources in front of main, which has a default route.
func host(f rpdb.Family, n int, more ...rpdb.Rule) *rpdb.Snapshot {
	s := &rpdb.Snapshot{
		Custom4: rpdb.CustomisedYes, Custom6: rpdb.CustomisedYes,
		Links: []rpdb.Link{{Index: 1, Name: "lo", Flags: rpdb.LinkUp | rpdb.LinkLoopback}, {Index: 2, Name: "eth0", Flags: rpdb.LinkUp | rpdb.LinkLowerUp}},
	}
	rules := rpdb.DefaultRules(f)
	s.Rules = append(s.Rules, rules[0])
	for i := range n {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if f == rpdb.IPv6 {
			from = netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		}
		s.Rules = append(s.Rules, rpdb.Rule{
			Family: f, Priority: rpdb.Priority(100 + i*2), Selector: rpdb.Selector{From: netip.PrefixFrom(from, f.Bits())},
			Action: rpdb.ToTable(rpdb.TableID(100 + i%16)),
		})
	}
	s.Rules = append(s.Rules, more...)
	for _, r := range rules[1:] {
		r.Priority += 1 << 20
		s.Rules = append(s.Rules, r)
	}
	via := netip.MustParseAddr("192.0.2.1")
	if f == rpdb.IPv6 {
		via = netip.MustParseAddr("2001:db8::1")
	}
	s.Routes = []rpdb.Route{{
		Family: f, Type: rpdb.RouteUnicast, Table: rpdb.TableMain, Dst: netip.PrefixFrom(f.Unspecified(), 0),
		Nexthops: []rpdb.Nexthop{{Link: 2, Via: via}},
	}}
	return s
}

func rule(p rpdb.Priority, x rpdb.Selector, a rpdb.Action) rpdb.Rule {
	return rpdb.Rule{Family: rpdb.IPv4, Priority: p, Selector: x, Action: a}
}

func fromPrefix(p string) rpdb.Selector { return rpdb.Selector{From: netip.MustParsePrefix(p)} }

func kinds(c cost.Family) string {
	var words []string
	for _, f := range c.Facts {
		words = append(words, string(f.Kind))
	}
	return strings.Join(words, " ")
}

// TestFacts tells why a host costs what it does.
func TestFacts(t *testing.T) {
	port := rule(5000, rpdb.Selector{IPProto: rpdb.TCP, DPort: rpdb.Port(443)}, rpdb.ToTable(7))
	own := port
	own.Selector.IIF = "lo"
	realms := rule(5000, rpdb.Selector{Mark: rpdb.Mark{Value: 7, Mask: 7}}, rpdb.ToTable(7))
	realms.Realms = rpdb.NewRealms(0, 3)
	without := rule(5000, rpdb.Selector{}, rpdb.ToTable(rpdb.TableMain))
	without.Suppress.PrefixLength = rpdb.Some[int32](0)
	for _, c := range []struct {
		name  string
		s     *rpdb.Snapshot
		set   func(*rpdb.Snapshot)
		facts string
		walks int
	}{
		{"rules", host(rpdb.IPv4, 3), nil, "second-walk", 2},
		{"accept_local", host(rpdb.IPv4, 3), func(s *rpdb.Snapshot) { s.Sysctls.All.AcceptLocal = true }, "no-second", 1},
		{"accept_local and rp_filter", host(rpdb.IPv4, 3), func(s *rpdb.Snapshot) {
			s.Sysctls.All.AcceptLocal, s.Sysctls.All.RPFilter = true, 2
		}, "second-walk", 2},
		{"accept_local and realms of a rule", host(rpdb.IPv4, 3, realms), func(s *rpdb.Snapshot) { s.Sysctls.All.AcceptLocal = true }, "second-walk", 2},
		{"accept_local and realms of a route", host(rpdb.IPv4, 3), func(s *rpdb.Snapshot) {
			s.Sysctls.All.AcceptLocal, s.Routes[0].Nexthops[0].Realms = true, rpdb.NewRealms(0, 3)
		}, "second-walk", 2},
		{"a port", host(rpdb.IPv4, 3, port), nil, "second-walk dissection", 2},
		{"a port of this host", host(rpdb.IPv4, 3, own), nil, "second-walk", 2},
		{"main without its default", host(rpdb.IPv4, 3, without), nil, "second-walk missed-table", 2},
		{"behind a denial", host(rpdb.IPv4, 0, rule(9, rpdb.Selector{}, rpdb.Prohibit()), rule(10, rpdb.Selector{}, rpdb.Blackhole())), nil, "second-walk not-asked", 2},
	} {
		if c.set != nil {
			c.set(c.s)
		}
		got := of(c.s, rpdb.IPv4)
		if kinds(got) != c.facts || got.Walks != c.walks {
			t.Errorf("%s: %q and %d walks, want %q and %d", c.name, kinds(got), got.Walks, c.facts, c.walks)
		}
	}
}

// TestRedirects is a host that looks at the way back of those packets only that
// turn back.
func TestRedirects(t *testing.T) {
	for _, c := range []struct {
		all, own, twice bool
	}{{false, false, true}, {true, false, true}, {false, true, true}, {true, true, false}} {
		s := host(rpdb.IPv4, 3)
		s.Sysctls.All = rpdb.LinkSysctls{AcceptLocal: true, NoSendRedirects: c.all}
		s.Sysctls.Links = map[rpdb.LinkName]rpdb.LinkSysctls{"eth0": {NoSendRedirects: c.own}}
		got := of(s, rpdb.IPv4)
		if kinds(got) != "no-second" || strings.Contains(got.Facts[0].Reason, "send_redirects") != c.twice {
			t.Errorf("%+v: %q, %+v", c, kinds(got), got.Facts)
		}
	}
}

// TestPristine is a namespace whose rules nobody, or somebody, has changed.
func TestPristine(t *testing.T) {
	s := &rpdb.Snapshot{Rules: append(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6)...)}
	for _, c := range []struct {
		custom rpdb.Customised
		facts  string
		walks  int
	}{
		{rpdb.CustomisedNo, "shortcut", 0},
		{rpdb.CustomisedUnknown, "split", 1},
		{rpdb.CustomisedYes, "was-split second-walk", 2},
	} {
		s.Custom4 = c.custom
		if got := of(s, rpdb.IPv4); kinds(got) != c.facts || got.Walks != c.walks {
			t.Errorf("%v: %q and %d walks, want %q and %d", c.custom, kinds(got), got.Walks, c.facts, c.walks)
		}
	}
	// IPv6 has no check of the way back.
	if got := of(host(rpdb.IPv6, 3), rpdb.IPv6); got.Walks != 1 || kinds(got) != "" {
		t.Errorf("IPv6: %q and %d walks", kinds(got), got.Walks)
	}
}

// TestWalks counts rules by hand.
func TestWalks(t *testing.T) {
	not := fromPrefix("10.0.0.0/8")
	not.Not = true
	for _, c := range []struct {
		name           string
		rules          []rpdb.Rule
		typical, worst int
	}{
		{"none", nil, 2, 3},
		{"one for a source", []rpdb.Rule{rule(9, fromPrefix("10.0.0.0/8"), rpdb.Prohibit())}, 3, 4},
		{"one for all but a source", []rpdb.Rule{rule(9, not, rpdb.Prohibit())}, 2, 4},
		{"a denial", []rpdb.Rule{rule(9, rpdb.Selector{}, rpdb.Prohibit())}, 2, 2},
		{"a goto", []rpdb.Rule{rule(8, rpdb.Selector{}, rpdb.Goto(10)), rule(9, rpdb.Selector{}, rpdb.Nop()), rule(10, rpdb.Selector{}, rpdb.Nop())}, 4, 5},
		{"a goto for some", []rpdb.Rule{rule(8, fromPrefix("10.0.0.0/8"), rpdb.Goto(10)), rule(9, rpdb.Selector{}, rpdb.Nop()), rule(10, rpdb.Selector{}, rpdb.Nop())}, 5, 6},
		{"a goto to nowhere", []rpdb.Rule{rule(8, rpdb.Selector{}, rpdb.Goto(11)), rule(9, rpdb.Selector{}, rpdb.Nop())}, 4, 5},
		{"a goto past a denial", []rpdb.Rule{rule(8, fromPrefix("10.0.0.0/8"), rpdb.Goto(10)), rule(9, rpdb.Selector{}, rpdb.Prohibit()), rule(10, rpdb.Selector{}, rpdb.Nop())}, 3, 5},
	} {
		got := of(host(rpdb.IPv4, 0, c.rules...), rpdb.IPv4)
		if got.Typical.Rules != c.typical || got.Worst.Rules != c.worst {
			t.Errorf("%s: %d and %d rules, want %d and %d", c.name, got.Typical.Rules, got.Worst.Rules, c.typical, c.worst)
		}
	}
}

// TestSavings reads what is proposed for rules that can be written down.
func TestSavings(t *testing.T) {
	run := func(n int, x func(i int) rpdb.Selector) (rules []rpdb.Rule) {
		for i := range n {
			rules = append(rules, rule(rpdb.Priority(1000+i), x(i), rpdb.ToTable(rpdb.TableID(100+i%16))))
		}
		return rules
	}
	sources := func(i int) rpdb.Selector {
		return rpdb.Selector{From: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)}
	}
	for _, c := range []struct {
		name  string
		rules []rpdb.Rule
		want  string
	}{
		{"nothing", []rpdb.Rule{rule(9, fromPrefix("10.0.0.0/8"), rpdb.ToTable(5))}, ""},
		{"a copy", []rpdb.Rule{rule(9, fromPrefix("10.0.0.0/8"), rpdb.ToTable(5)), rule(11, fromPrefix("10.0.0.0/8"), rpdb.ToTable(5))}, "drop rule 11 4>3"},
		{"a narrower one behind", []rpdb.Rule{rule(9, fromPrefix("10.0.0.0/8"), rpdb.ToTable(5)), rule(11, fromPrefix("10.1.0.0/16"), rpdb.ToTable(5))}, "drop rule 11 4>3"},
		{"a narrower one to another table", []rpdb.Rule{rule(9, fromPrefix("10.0.0.0/8"), rpdb.ToTable(5)), rule(11, fromPrefix("10.1.0.0/16"), rpdb.ToTable(6))}, ""},
		{"a nop", []rpdb.Rule{rule(9, rpdb.Selector{}, rpdb.Nop())}, "drop rule 9 3>2"},
		{"a nop that is a target", []rpdb.Rule{rule(8, fromPrefix("10.0.0.0/8"), rpdb.Goto(9)), rule(9, rpdb.Selector{}, rpdb.Nop())}, ""},
		{"two halves", []rpdb.Rule{rule(9, fromPrefix("10.0.0.0/9"), rpdb.ToTable(5)), rule(11, fromPrefix("10.128.0.0/9"), rpdb.ToTable(5))}, "merge 2 rules into 1 4>3"},
		{"two halves around one for both", []rpdb.Rule{
			rule(9, fromPrefix("10.0.0.0/9"), rpdb.ToTable(5)), rule(10, rpdb.Selector{Mark: rpdb.Mark{Value: 1, Mask: 1}}, rpdb.ToTable(6)), rule(11, fromPrefix("10.128.0.0/9"), rpdb.ToTable(5)),
		}, ""},
		{"two halves with a goto between", []rpdb.Rule{
			rule(8, rpdb.Selector{Mark: rpdb.Mark{Value: 1, Mask: 1}}, rpdb.Goto(10)), rule(9, fromPrefix("10.0.0.0/9"), rpdb.ToTable(5)),
			rule(10, fromPrefix("192.0.2.0/24"), rpdb.ToTable(6)), rule(11, fromPrefix("10.128.0.0/9"), rpdb.ToTable(5)),
		}, ""},
		{"a wide one behind narrow ones", append(run(12, func(i int) rpdb.Selector {
			x := sources(i * 2)
			x.From = netip.PrefixFrom(x.From.Addr(), 31)
			return x
		}), rule(2000, fromPrefix("172.16.0.0/12"), rpdb.ToTable(5))), "move rule 2000 to 999 14>2"},
		{"many of one network", run(200, sources), "lead packets past the 200 rules 1000 to 1199 by 13 gotos 202>27"},
		{"many of an interface", run(20, func(i int) rpdb.Selector {
			return rpdb.Selector{IIF: "eth0", To: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + i*8), 1, 1, 1}), 32)}
		}), "lead packets past the 20 rules 1000 to 1019 by a goto 22>3"},
	} {
		var got []string
		for _, x := range of(host(rpdb.IPv4, 0, c.rules...), rpdb.IPv4).Savings {
			got = append(got, x.Message+" "+number(x.Before)+">"+number(x.After))
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func number(n int) string { return strconv.Itoa(n) }
