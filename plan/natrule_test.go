package plan_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rpdb"
	"rpdb/plan"
)

// like returns what stands for an IPv4 prefix or address of these tests in a family.
func like(f rpdb.Family, text string) string {
	switch {
	case f == rpdb.IPv4 || text == "":
		return text
	case text == "0.0.0.0/0":
		return "::/0"
	}
	text, bits, isPrefix := strings.Cut(text, "/")
	b := netip.MustParseAddr(text).As4()
	subnet := map[byte]int{10: 0, 203: 5, 192: 6, 198: 7}[b[0]]
	out := fmt.Sprintf("2001:db8:%x::%x:%x", subnet, b[2], b[3])
	if subnet > 0 {
		out = fmt.Sprintf("2001:db8:%x%02x::%x", subnet, b[2], b[3])
	}
	if n, err := strconv.Atoi(bits); isPrefix && err == nil {
		out = fmt.Sprintf("%s/%d", out, n+96)
	}
	return out
}

// handHost is a host whose table 100 leads elsewhere than main.
func handHost() *rpdb.Snapshot {
	s := host()
	for _, f := range rpdb.Families() {
		to := func(s string) string { return like(f, s) }
		for _, r := range []rpdb.Route{route(to("0.0.0.0/0"), to("192.0.2.1"), 3), route(to("192.0.2.0/24"), "", 3), route(to("198.51.100.0/24"), "", 4)} {
			r.Table, r.Protocol = 100, rpdb.ProtocolStatic
			s.Routes = append(s.Routes, r)
		}
	}
	return s
}

// byHand is a rule as somebody types it, and its translation. In IPv6 it is that which
// is like the one of IPv4.
func byHand(f rpdb.Family, p rpdb.Priority, inside, outside string) (rpdb.Rule, rpdb.Translation) {
	inside, outside = like(f, inside), like(f, outside)
	r := rpdb.Rule{Family: f, Priority: p, Selector: rpdb.Selector{From: netip.MustParsePrefix(inside)}, Action: rpdb.ToTable(100), Protocol: rpdb.ProtocolBoot}
	var to netip.Addr
	bits := -1
	if outside != "" {
		p := netip.MustParsePrefix(outside)
		to, bits = p.Addr(), p.Bits()
	}
	t, err := plan.SettleNAT(f, r.Selector.From, to, bits)
	if err != nil {
		panic(err)
	}
	return r, t
}

func addByHand(t *testing.T, s *rpdb.Snapshot, f rpdb.Family, p rpdb.Priority, inside, outside string) plan.Plan {
	t.Helper()
	rule, nat := byHand(f, p, inside, outside)
	made, err := plan.AddNATRule(s, rule, nat, rpdb.Names{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func remaining(s *rpdb.Snapshot) string {
	var all []string
	for _, n := range s.NATRules() {
		all = append(all, fmt.Sprintf("table %d: %d rules, %d routes, %v", n.Copy, len(n.Rules), len(n.Routes), n.Translation))
	}
	return strings.Join(all, "; ")
}

// TestRuleByHand: what is written, in which order, and that doing it again changes
// nothing.
func TestRuleByHand(t *testing.T) {
	for f, want := range map[rpdb.Family]struct {
		routes []string
		first  rpdb.TableID
		realms rpdb.Realms // of the rule
		realm  uint16
	}{
		rpdb.IPv4: {
			[]string{"add route 192.0.2.0/24 table 84000 (IPv4)", "add route 198.51.100.0/24 table 84000 (IPv4)", "add route default table 84000 (IPv4)"},
			84000, rpdb.NewRealms(0, 12000), 12000,
		},
		rpdb.IPv6: {
			[]string{"add route 2001:db8:602::/120 table 84500 (IPv6)", "add route 2001:db8:764::/120 table 84500 (IPv6)", "add route default table 84500 (IPv6)"},
			84500, 0, 12500,
		},
	} {
		s := handHost()
		p := addByHand(t, s, f, 500, "10.0.0.0/30", "203.0.113.0/30")
		expectPhase(t, p, plan.Prepare, append([]string{"replace table rpdb of nftables"}, want.routes...)...)
		expectPhase(t, p, plan.Switch, fmt.Sprintf("add rule 500 (%v)", f), "replace table rpdb of nftables")
		expectPhase(t, p, plan.Clean)
		after := plan.After(s, p.Steps)
		rules := after.NATRules()
		if len(rules) != 1 || len(rules[0].Rules) != 1 || rules[0].Rules[0].Realms != want.realms || rules[0].Copy != want.first {
			t.Fatalf("%+v", rules)
		}
		for _, r := range rules[0].Routes {
			if of, ok := r.Nexthops[0].CopyTable(); ok != (f == rpdb.IPv6) || ok && of != want.first {
				t.Errorf("%v has the program of %d, %t", r, of, ok)
			}
		}
		if tr := rules[0].Translation; !tr.Inbound || tr.CopyOf != 100 || tr.Rule != 500 || tr.Realm != want.realm || tr.Valid() != nil {
			t.Errorf("%+v, %v", tr, tr.Valid())
		}
		if again := addByHand(t, after, f, 500, "10.0.0.0/30", "203.0.113.0/30"); !again.Empty() {
			t.Errorf("again: %q", steps(again))
		}
		second := plan.After(after, addByHand(t, after, f, 500, "10.0.1.0/30", "").Steps)
		if got := second.NATRules(); len(got) != 2 || got[1].Copy != want.first+1 {
			t.Errorf("a second one: %s", remaining(second))
		}
		rule, other := byHand(f, 500, "10.0.0.0/30", "203.0.113.4/30")
		var is *plan.OtherNATError
		if _, err := plan.AddNATRule(after, rule, other, rpdb.Names{}); !errors.As(err, &is) {
			t.Errorf("another translation of the same: %v", err)
		}
	}
}

// TestCopiesByHandAreTaken: what somebody uses of a copy's number, its realm, or its
// program, is not used for another one.
func TestCopiesByHandAreTaken(t *testing.T) {
	program := route("2001:db8:99::/48", "", 3)
	program.Table = 7
	program.Nexthops[0] = program.Nexthops[0].WithCopyProgram(84500)
	for name, take := range map[string]func(s *rpdb.Snapshot, n *rpdb.Names){
		"program": func(s *rpdb.Snapshot, _ *rpdb.Names) { s.Routes = append(s.Routes, program) },
		"name":    func(_ *rpdb.Snapshot, n *rpdb.Names) { n.Tables = map[rpdb.TableID]string{84500: "theirs"} },
		"realm": func(s *rpdb.Snapshot, _ *rpdb.Names) {
			s.NAT.Translations = append(s.NAT.Translations, rpdb.Translation{Family: rpdb.IPv6, Kind: rpdb.TranslateMasquerade, Realm: 12500})
			s.Rules = append(s.Rules, rpdb.Rule{Family: rpdb.IPv6, Priority: 7, Action: rpdb.ToTable(84500)})
		},
	} {
		s, names := handHost(), rpdb.Names{}
		take(s, &names)
		rule, nat := byHand(rpdb.IPv6, 500, "10.0.0.0/30", "203.0.113.0/30")
		p, err := plan.AddNATRule(s, rule, nat, names)
		if err != nil {
			t.Fatal(err)
		}
		after := plan.After(s, p.Steps).NATRules()
		if last := after[len(after)-1]; last.Copy != 84501 || len(last.Rules) != 1 {
			t.Errorf("%s: %+v", name, after)
		}
	}
}

// TestRuleByHandInterrupted: after each message of making, renewing and deleting
// a rule, every packet is seen as before or as after, nothing is mapped inward without
// the rule, and from there everything can be reached: the rule whole, and nothing.
func TestRuleByHandInterrupted(t *testing.T) {
	for _, f := range rpdb.Families() {
		t.Run(f.String(), func(t *testing.T) { byHandInterrupted(t, f) })
	}
}

func byHandInterrupted(t *testing.T, f rpdb.Family) {
	bare, flows := handHost(), natFlowsOf(f)
	made := plan.After(bare, addByHand(t, bare, f, 500, "10.0.0.0/30", "203.0.113.0/30").Steps)
	changed := plan.After(made, nil)
	gone := func(r rpdb.Route) bool {
		return r.Table == 100 && r.Dst == netip.MustParsePrefix(like(f, "198.51.100.0/24"))
	}
	changed.Routes = slices.DeleteFunc(slices.Clone(made.Routes), gone)
	renewed, err := plan.RepairNATRules(changed)
	if err != nil || len(renewed.Steps) != 1 {
		t.Fatalf("renew: %q, %v", steps(renewed), err)
	}
	remove, err := plan.RemoveNATRules(made, made.NATRules()[0].Rules...)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from *rpdb.Snapshot
		plan plan.Plan
	}{"make": {bare, addByHand(t, bare, f, 500, "10.0.0.0/30", "203.0.113.0/30")}, "renew": {changed, renewed}, "delete": {made, remove}} {
		was, will := worldSees(c.from, flows), worldSees(plan.After(c.from, c.plan.Steps), flows)
		if name != "renew" && slices.Equal(was, will) {
			t.Errorf("%s: nothing changes", name)
		}
		for n := range len(c.plan.Steps) + 1 {
			now := plan.After(c.from, c.plan.Steps[:n])
			when := fmt.Sprintf("%s, after %d steps", name, n)
			for i, is := range worldSees(now, flows) {
				if is != was[i] && is != will[i] {
					t.Errorf("%s: %v is seen as %+v", when, flows[i], is)
				}
			}
			for _, r := range now.NATRules() {
				if r.Translation.Inbound && len(r.Rules) == 0 {
					t.Errorf("%s: mapped inward without a rule", when)
				}
				if r.Translation == (rpdb.Translation{}) {
					t.Errorf("%s: nobody can tell what is left: %s", when, remaining(now))
				}
			}
			whole := plan.After(now, addByHand(t, now, f, 500, "10.0.0.0/30", "203.0.113.0/30").Steps)
			if got := whole.NATRules(); len(got) != 1 || !got[0].Translation.Inbound || len(got[0].Rules) != 1 {
				t.Errorf("%s: completed to %s", when, remaining(whole))
			}
			var rules []rpdb.Rule
			for _, r := range now.NATRules() {
				rules = append(rules, r.Rules...)
			}
			cleared, err := plan.RemoveNATRules(now, rules...)
			if got := remaining(plan.After(now, cleared.Steps)); err != nil || got != "" {
				t.Errorf("%s: deleted to %s, %v", when, got, err)
			}
			repair, err := plan.RepairNATRules(now)
			after := plan.After(now, repair.Steps)
			if again, _ := plan.RepairNATRules(after); err != nil || !again.Empty() {
				t.Errorf("%s: repair twice: %q, %v", when, steps(again), err)
			}
			for _, r := range after.NATRules() {
				if len(r.Rules) == 0 || !r.Translation.Inbound {
					t.Errorf("%s: repaired to %s", when, remaining(after))
				}
			}
		}
	}
}

// TestRulesByHandBesidePolicies: generations come and go, and what was made by
// hand stands after every message as it stood; and the other way round.
func TestRulesByHandBesidePolicies(t *testing.T) {
	for _, f := range rpdb.Families() {
		t.Run(f.String(), func(t *testing.T) { byHandBesidePolicies(t, f) })
	}
}

func byHandBesidePolicies(t *testing.T, f rpdb.Family) {
	rng := rand.New(rand.NewPCG(9, 5))
	s, old := handHost(), rpdb.Desired{}
	s = plan.After(s, addByHand(t, s, f, 500, "10.0.0.16/30", "198.18.7.0/30").Steps)
	s = plan.After(s, addByHand(t, s, f, 501, "10.0.0.20/30", "").Steps)
	byHand := func(s *rpdb.Snapshot) string { return fmt.Sprintf("%+v", s.NATRules()) }
	want := byHand(s)
	for round := range 8 {
		d := randomNAT(rng, f)
		if round == 7 {
			d = rpdb.Desired{}
		}
		p := mustDiff(t, s, d)
		for n := range p.Steps {
			now := plan.After(s, p.Steps[:n+1])
			if got := byHand(now); got != want {
				t.Fatalf("round %d, after %v: %s, want %s", round, p.Steps[n].Change, got, want)
			}
			for _, to := range []rpdb.Desired{old, d} {
				if got := byHand(plan.After(now, mustDiff(t, now, to).Steps)); got != want {
					t.Fatalf("round %d: %s, want %s", round, got, want)
				}
			}
			rules := []rpdb.Rule{now.NATRules()[0].Rules[0]}
			remove, err := plan.RemoveNATRules(now, rules...)
			after := plan.After(now, remove.Steps)
			if err != nil || len(after.NATRules()) != 1 || len(after.NAT.Translations) != len(now.NAT.Translations)-1 {
				t.Fatalf("round %d: deleted: %s, %v", round, remaining(after), err)
			}
		}
		s, old = plan.After(s, p.Steps), d
		if len(p.Notes) > 0 {
			t.Errorf("round %d: %q", round, p.Notes)
		}
	}
}

// TestLeftoversByHandAreInNoWay of a policy that maps the same block, nor does a rule
// that stands keep one from coming.
func TestLeftoversByHandAreInNoWay(t *testing.T) {
	for _, f := range rpdb.Families() {
		t.Run(f.String(), func(t *testing.T) { leftoversByHand(t, f) })
	}
}

func leftoversByHand(t *testing.T, f rpdb.Family) {
	d := natRule(like(f, "10.0.0.0/30"), like(f, "203.0.113.0/30"), 82999, 3)
	bare := handHost()
	made := plan.After(bare, addByHand(t, bare, f, 500, "10.0.0.16/29", "203.0.113.0/29").Steps)
	left := plan.After(made, nil)
	left.Rules = slices.DeleteFunc(left.Rules, func(r rpdb.Rule) bool { return r.Priority == 500 })
	for name, s := range map[string]*rpdb.Snapshot{"left": left, "standing": made} {
		p := mustDiff(t, s, d)
		after := plan.After(s, p.Steps)
		inward := 0
		for _, w := range after.NAT.Translations {
			if w.Inbound {
				inward++
			}
		}
		if stands := len(after.NAT.Translations) == 2; inward != 1 || stands != (name == "standing") || stands != (len(p.Notes) == 1) {
			t.Errorf("%s: %+v, notes %q", name, after.NAT.Translations, p.Notes)
		}
		if again := mustDiff(t, after, d); !again.Empty() {
			t.Errorf("%s: again %q", name, steps(again))
		}
		if repair, err := plan.RepairNATRules(after); err != nil || name == "standing" && !repair.Empty() {
			t.Errorf("%s: repair %q, %v", name, steps(repair), err)
		}
	}
}

func lastRoute(s *rpdb.Snapshot, f rpdb.Family) *rpdb.Route {
	for i := len(s.Routes) - 1; ; i-- {
		if s.Routes[i].Family == f {
			return &s.Routes[i]
		}
	}
}

// TestRefusedByHand: what a host cannot have is refused with the reason.
func TestRefusedByHand(t *testing.T) {
	for want, change := range map[string]func(s *rpdb.Snapshot, r *rpdb.Rule, n *rpdb.Translation){
		"holds 203.0.113.2, an address of this host on eth1": func(s *rpdb.Snapshot, _ *rpdb.Rule, _ *rpdb.Translation) {
			s.Addresses = append(s.Addresses, rpdb.Address{Link: 3, Prefix: netip.MustParsePrefix("203.0.113.2/24")})
		},
		"has realms of its own": func(s *rpdb.Snapshot, _ *rpdb.Rule, _ *rpdb.Translation) {
			lastRoute(s, rpdb.IPv4).Realms = 7
		},
		"attributes that are not known here": func(s *rpdb.Snapshot, _ *rpdb.Rule, _ *rpdb.Translation) {
			lastRoute(s, rpdb.IPv4).Unknown = "x"
		},
		"is not ours": func(s *rpdb.Snapshot, _ *rpdb.Rule, _ *rpdb.Translation) { s.NAT.Foreign = "table ip rpdb" },
		"takes CAP_NET_ADMIN": func(s *rpdb.Snapshot, _ *rpdb.Rule, _ *rpdb.Translation) {
			s.Missing |= rpdb.PartNAT
		},
		"table local":                    func(_ *rpdb.Snapshot, r *rpdb.Rule, _ *rpdb.Translation) { r.Action = rpdb.ToTable(255) },
		"the copy that another rule has": func(_ *rpdb.Snapshot, r *rpdb.Rule, _ *rpdb.Translation) { r.Action = rpdb.ToTable(84003) },
		"is mapped already": func(s *rpdb.Snapshot, _ *rpdb.Rule, _ *rpdb.Translation) {
			s.NAT.Translations = []rpdb.Translation{{Family: rpdb.IPv4, Kind: rpdb.TranslateBlock, Inbound: true, Realm: 10999, From: netip.MustParsePrefix("10.9.0.0/24"), To: netip.MustParsePrefix("203.0.113.0/24")}}
		},
		"out of connection tracking": func(s *rpdb.Snapshot, _ *rpdb.Rule, _ *rpdb.Translation) {
			s.NAT.Translations = []rpdb.Translation{{Family: rpdb.IPv4, Kind: rpdb.TranslateStateless, NoTrack: true, Realm: 10999, From: netip.MustParsePrefix("10.0.0.0/24"), To: netip.MustParsePrefix("198.18.0.0/24")}}
		},
	} {
		s := handHost()
		rule, nat := byHand(rpdb.IPv4, 500, "10.0.0.0/30", "203.0.113.0/30")
		change(s, &rule, &nat)
		if _, err := plan.AddNATRule(s, rule, nat, rpdb.Names{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestRefusedByHandOfIPv6: the same, of what IPv6 has in other places.
func TestRefusedByHandOfIPv6(t *testing.T) {
	for want, change := range map[string]func(s *rpdb.Snapshot, r *rpdb.Rule){
		"holds 2001:db8:571::2, an address of this host on eth1": func(s *rpdb.Snapshot, _ *rpdb.Rule) {
			s.Addresses = append(s.Addresses, rpdb.Address{Link: 3, Prefix: netip.MustParsePrefix("2001:db8:571::2/64")})
		},
		"has a tunnel (encap)": func(s *rpdb.Snapshot, _ *rpdb.Rule) {
			lastRoute(s, rpdb.IPv6).Nexthops[0].EncapType = 5
		},
		"the copy that another rule has": func(_ *rpdb.Snapshot, r *rpdb.Rule) { r.Action = rpdb.ToTable(84503) },
		"is mapped already": func(s *rpdb.Snapshot, _ *rpdb.Rule) {
			s.NAT.Translations = []rpdb.Translation{{
				Family: rpdb.IPv6, Kind: rpdb.TranslateNeutral, Inbound: true, Realm: 10999,
				From: netip.MustParsePrefix("fd00:9::/48"), To: netip.MustParsePrefix("2001:db8:571::/48"),
			}}
		},
	} {
		s := handHost()
		rule, nat := byHand(rpdb.IPv6, 500, "10.0.0.0/30", "203.0.113.0/30")
		change(s, &rule)
		if _, err := plan.AddNATRule(s, rule, nat, rpdb.Names{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestSettleNAT: what an address behind nat comes to.
func TestSettleNAT(t *testing.T) {
	for _, c := range []struct {
		from, to string
		bits     int
		want     string
	}{
		{"fd00:1::/64", "2001:db8:c::", -1, "nat 2001:db8:c::/64 true"},
		{"fd00:1::/64", "2001:db8:c::", 64, "nat 2001:db8:c::/64 true"},
		{"fd00:1::7/128", "2001:db8:c::7", -1, "nat 2001:db8:c::7/128 true"},
		{"fd00:1::/64", "2001:db8:c::7", 128, "nat 2001:db8:c::7 false"},
		{"fd00:1::/64", "", 0, "nat masquerade false"},
		{"fd00:1::/64", "2001:db8:c::7", -1, "bits behind the length /64 of from: write 2001:db8:c:: for the block 2001:db8:c::/64, or 2001:db8:c::7/128"},
		{"fd00:1::/64", "2001:db8:c::", 48, "a block of length /64 cannot be mapped onto one of /48: leave the length out, or write /128"},
		{"::/0", "2001:db8:c::", -1, "there is no from"},
		{"fd00:1::/64", "fd00:1::", -1, "overlaps"},
		{"fd00:1::/64", "ff02::", -1, "not an address that packets to the world can have"},
		{"fd00:1::/64", "fe80::", -1, "not an address that packets to the world can have"},
		{"fd00:1::/64", "::ffff:203.0.113.0", -1, "not an address that packets to the world can have"},
		{"fd00:1::/64", "::1", 128, "not an address that packets to the world can have"},
		{"fd00:1::/64", "203.0.113.0", -1, "an IPv4 address in a rule for IPv6"},
		{"10.1.0.0/24", "2001:db8:c::", -1, "an IPv6 address in a rule for IPv4"},
		{"10.1.0.0/24", "203.0.113.0", -1, "nat 203.0.113.0/24 true"},
		{"10.1.0.0/24", "203.0.113.0", 24, "nat 203.0.113.0/24 true"},
		{"10.1.0.7/32", "203.0.113.7", -1, "nat 203.0.113.7/32 true"},
		{"10.1.0.0/24", "203.0.113.7", 32, "nat 203.0.113.7 false"},
		{"", "203.0.113.7", 32, "nat 203.0.113.7 false"},
		{"10.1.0.0/24", "", 0, "nat masquerade false"},
		{"", "", 0, "nat masquerade false"},
		{"10.1.0.0/24", "203.0.113.7", -1, "bits behind the length /24 of from: write 203.0.113.0 for"},
		{"10.1.0.0/24", "203.0.112.0", 23, "a block of length /24 cannot be mapped onto one of /23"},
		{"", "203.0.113.0", -1, "there is no from"},
		{"0.0.0.0/0", "203.0.113.0", -1, "there is no from"},
		{"10.1.0.0/24", "10.1.0.0", -1, "overlaps"},
		{"10.1.0.0/24", "224.0.0.0", -1, "not an address that packets to the world can have"},
		{"10.1.0.0/24", "255.255.255.255", 32, "not an address"},
	} {
		var from netip.Prefix
		var to netip.Addr
		if c.from != "" {
			from = netip.MustParsePrefix(c.from)
		}
		if c.to != "" {
			to = netip.MustParseAddr(c.to)
		}
		family := rpdb.IPv4
		if strings.Contains(c.from, ":") {
			family = rpdb.IPv6
		}
		tr, err := plan.SettleNAT(family, from, to, c.bits)
		got := fmt.Sprintf("%v %t", tr, tr.Inbound)
		if err != nil {
			got = err.Error()
		} else if tr.Realm = 12500; tr.Valid() != nil {
			t.Errorf("%s to %s/%d: %v", c.from, c.to, c.bits, tr.Valid())
		}
		if err == nil && got != c.want || !strings.Contains(got, c.want) {
			t.Errorf("%s to %s/%d: %s, want %s", c.from, c.to, c.bits, got, c.want)
		}
	}
}
