package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/plan"
)

func TestExceptionStandsBeforeTheDefaultThatItIsFrom(t *testing.T) {
	blackhole := rpdb.Route{Family: rpdb.IPv4, Table: table, Dst: netip.MustParsePrefix("10.0.0.0/8"), Type: rpdb.RouteBlackhole, Protocol: rpdb.ProtocolRPDB}
	last := rpdb.Route{Family: rpdb.IPv4, Table: table, Dst: netip.MustParsePrefix("0.0.0.0/0"), Type: rpdb.RouteProhibit, Metric: 9, Protocol: rpdb.ProtocolRPDB}
	d := wantRoutes(last, route("0.0.0.0/0", "192.0.2.1", 3), blackhole, route("192.0.2.0/24", "", 3), route("198.51.100.7/32", "192.0.2.1", 3))
	p := mustDiff(t, &rpdb.Snapshot{}, d)
	expect(t, p,
		"add route 192.0.2.0/24 table 82000 (IPv4)", // the gateway's network
		"add route 198.51.100.7/32 table 82000 (IPv4)",
		"add route 10.0.0.0/8 table 82000 (IPv4)",
		"add route default table 82000 (IPv4)",
		"add route default table 82000 (IPv4)",
	)
	if got := p.Changes[4].Change.Route.Type; got != rpdb.RouteProhibit {
		t.Errorf("the last resort is added first, before %v", got)
	}
}

// TestRuleThatTheKernelTakesForAnother: a pinned rule cannot be added beside a
// predecessor that differs in what the kernel does not compare.
func TestRuleThatTheKernelTakesForAnother(t *testing.T) {
	pinned := at(100, from("10.0.0.0/8", 1))
	not, wider := pinned, pinned
	not.Selector.Not, wider.Selector.From = true, netip.Prefix{}
	for _, changed := range []rpdb.Rule{not, wider} {
		d := wantRules(changed)
		d.Rules[0].Pinned = true
		p := mustDiff(t, &rpdb.Snapshot{Rules: []rpdb.Rule{pinned}}, d)
		expect(t, p, "delete rule 100 (IPv4)", "add rule 100 (IPv4)")
	}
	d := wantRules(at(100, from("10.0.0.0/8", 2)))
	d.Rules[0].Pinned = true
	p := mustDiff(t, &rpdb.Snapshot{Rules: []rpdb.Rule{pinned}}, d)
	expect(t, p, "add rule 100 (IPv4)", "delete rule 100 (IPv4)")
}

// TestFloatingRulesNeverCollide: what has no number of its own gets one at
// which the predecessor does not stand.
func TestFloatingRulesNeverCollide(t *testing.T) {
	r := from("10.0.0.0/8", 1)
	not := r
	not.Selector.Not = true
	expect(t, mustDiff(t, &rpdb.Snapshot{Rules: []rpdb.Rule{at(10010, r)}}, wantRules(not)),
		"add rule 20011 (IPv4)", "delete rule 10010 (IPv4)")
}

func TestGotoThatLeadsElsewhereMoves(t *testing.T) {
	jump := rpdb.Rule{Family: rpdb.IPv4, Selector: rpdb.Selector{IIF: "lan0"}, Action: rpdb.Goto(0), Protocol: rpdb.ProtocolRPDB}
	d := wantRules(jump, from("10.0.0.1/32", 1), from("10.0.0.2/32", 2))
	d.Rules[0].GotoName = "rule 1"
	s := carryOut(t, &rpdb.Snapshot{}, mustDiff(t, &rpdb.Snapshot{}, d), false)
	expect(t, mustDiff(t, s, d))
	d.Rules[0].GotoName = "rule 2"
	p := mustDiff(t, s, d)
	expect(t, p, "add rule 20009 (IPv4)", "delete rule 10010 (IPv4)")
	expect(t, mustDiff(t, carryOut(t, s, p, false), d))
}

func TestPinnedRuleThatChangesOrMovesLeavesNothingBehind(t *testing.T) {
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{at(100, from("10.0.0.1/32", 1))}}
	d := wantRules(at(200, from("10.0.0.1/32", 1)))
	d.Rules[0].Pinned = true
	expect(t, mustDiff(t, s, d), "add rule 200 (IPv4)", "delete rule 100 (IPv4)")
	expect(t, mustDiff(t, s, wantRules(from("10.0.0.1/32", 1))), "add rule 10010 (IPv4)", "delete rule 100 (IPv4)")
	p := mustDiff(t, s, rpdb.Desired{})
	expect(t, p)
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "rule 100 (IPv4)") {
		t.Errorf("notes %q", p.Notes)
	}
}

func TestEqualRouteAmongSeveralStays(t *testing.T) {
	stale, good := route("0.0.0.0/0", "10.10.0.9", 3), route("0.0.0.0/0", "10.10.0.1", 3)
	p := mustDiff(t, &rpdb.Snapshot{Routes: []rpdb.Route{stale, good}}, wantRoutes(good))
	expect(t, p, "delete route default table 82000 (IPv4)")
	if !p.Changes[0].Change.Route.Equal(stale) {
		t.Errorf("deletes the good one")
	}
}

func TestOrderOfIPv6NexthopsDoesNotMatter(t *testing.T) {
	r := route("::/0", "2001:db8:a::1", 2)
	r.Nexthops = append(r.Nexthops, rpdb.Nexthop{Via: netip.MustParseAddr("2001:db8:b::1"), Link: 3})
	listed := r
	listed.Nexthops = []rpdb.Nexthop{r.Nexthops[1], r.Nexthops[0]}
	expect(t, mustDiff(t, &rpdb.Snapshot{Routes: []rpdb.Route{listed}}, wantRoutes(r)))
}

func TestRouteThatIsNotUnderstoodIsLeftAlone(t *testing.T) {
	strange := route("0.0.0.0/0", "10.10.0.9", 3)
	strange.Unknown = "\x08\x00\x63\x00abcd"
	s := &rpdb.Snapshot{Routes: []rpdb.Route{strange}}
	if _, err := plan.Diff(s, wantRoutes(route("0.0.0.0/0", "10.10.0.1", 3))); err == nil || !strings.Contains(err.Error(), "not known here") {
		t.Errorf("got %v", err)
	}
	if p := mustDiff(t, s, rpdb.Desired{}); !p.Empty() || len(p.Notes) != 1 {
		t.Errorf("steps %q, notes %q", steps(p), p.Notes)
	}
}

// TestOnlyWhatWaitsIsKept: a single route that waits keeps its predecessor and
// nothing else of the table.
func TestOnlyWhatWaitsIsKept(t *testing.T) {
	s := &rpdb.Snapshot{
		Rules:  []rpdb.Rule{at(10010, from("10.0.0.1/32", table))},
		Routes: []rpdb.Route{route("10.8.0.0/16", "", 3), route("10.9.0.0/16", "", 3)},
	}
	d := rpdb.Desired{
		Tables:  []rpdb.DesiredTable{{ID: table}},
		Waiting: []rpdb.Waiting{{Name: "vpn", Family: rpdb.IPv4, Table: table, Dst: netip.MustParsePrefix("10.8.0.0/16")}},
	}
	p := mustDiff(t, s, d)
	expect(t, p, "delete rule 10010 (IPv4)", "delete route 10.9.0.0/16 table 82000 (IPv4)")
	if p.Kept != 1 {
		t.Errorf("kept %d", p.Kept)
	}
	// An uplink that waits keeps the rules of its recipe, and none that the
	// policy's own list made for its table.
	marked := at(10020, from("10.0.0.0/8", table))
	marked.Selector.Mark = rpdb.Mark{Value: 1, Mask: 1}
	s.Rules = append(s.Rules, marked)
	d.Waiting[0].Dst = netip.Prefix{}
	expect(t, mustDiff(t, s, d), "delete rule 10020 (IPv4)")
}

// TestManyRules plans 3,000 rules, all of them new, all the same, all replaced,
// and all moved: BenchmarkDiff says how long that takes.
func TestManyRules(t *testing.T) {
	many := func(first int) []rpdb.Rule {
		rules := make([]rpdb.Rule, 3000)
		for i := range rules {
			n := first + i
			rules[i] = from(fmt.Sprintf("10.%d.%d.%d/32", n>>16, n>>8&255, n&255), table)
		}
		return rules
	}
	s := &rpdb.Snapshot{}
	s = carryOut(t, s, mustDiff(t, s, wantRules(many(0)...)), false)
	expect(t, mustDiff(t, s, wantRules(many(0)...)))
	mustDiff(t, s, wantRules(many(3000)...))
	turned := many(0)
	slices.Reverse(turned)
	if p := mustDiff(t, s, wantRules(turned...)); p.Empty() {
		t.Error("turning all rules round changes nothing")
	}
}

// BenchmarkDiff replaces 9,000 rules by others.
func BenchmarkDiff(b *testing.B) {
	s, d := &rpdb.Snapshot{}, rpdb.Desired{}
	for i := range 9000 {
		r := from(fmt.Sprintf("10.0.%d.%d/32", i>>8, i&255), table)
		s.Rules = append(s.Rules, at(rpdb.Priority(10001+i), r))
		r.Selector.IIF = "lan0"
		d.Rules = append(d.Rules, rpdb.DesiredRule{Rule: r, Name: "r"})
	}
	for b.Loop() {
		if _, err := plan.Diff(s, d); err != nil {
			b.Fatal(err)
		}
	}
}
