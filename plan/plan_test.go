package plan_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/plan"
)

const table rpdb.TableID = 82000

// from is a rule of ours that sends a source to a table.
func from(prefix string, t rpdb.TableID) rpdb.Rule {
	p := netip.MustParsePrefix(prefix)
	return rpdb.Rule{
		Family: rpdb.FamilyOf(p.Addr()), Selector: rpdb.Selector{From: p},
		Action: rpdb.ToTable(t), Protocol: rpdb.ProtocolRPDB,
	}
}

func at(p rpdb.Priority, r rpdb.Rule) rpdb.Rule { r.Priority = p; return r }

func foreign(r rpdb.Rule) rpdb.Rule { r.Protocol = rpdb.ProtocolStatic; return r }

// route is a route of ours in the test's table.
func route(dst, via string, link rpdb.LinkIndex) rpdb.Route {
	p := netip.MustParsePrefix(dst)
	hop := rpdb.Nexthop{Link: link}
	if via != "" {
		hop.Via = netip.MustParseAddr(via)
	}
	return rpdb.Route{
		Family: rpdb.FamilyOf(p.Addr()), Table: table, Dst: p, Type: rpdb.RouteUnicast,
		Protocol: rpdb.ProtocolRPDB, Nexthops: []rpdb.Nexthop{hop},
	}
}

func wantRules(rules ...rpdb.Rule) rpdb.Desired {
	var d rpdb.Desired
	for i, r := range rules {
		d.Rules = append(d.Rules, rpdb.DesiredRule{Rule: r, Name: fmt.Sprintf("rule %d", i)})
	}
	return d
}

func wantRoutes(routes ...rpdb.Route) rpdb.Desired {
	d := rpdb.Desired{Tables: []rpdb.DesiredTable{{ID: table}}}
	for i, r := range routes {
		d.Routes = append(d.Routes, rpdb.DesiredRoute{Route: r, Name: fmt.Sprintf("route %d", i)})
	}
	return d
}

// steps spells what a plan changes: one "op object" for each change.
func steps(p plan.Plan) []string {
	var out []string
	for _, s := range p.Changes {
		out = append(out, s.Change.String())
	}
	return out
}

func mustDiff(t *testing.T, s *rpdb.Snapshot, d rpdb.Desired) plan.Plan {
	t.Helper()
	p, err := plan.Diff(s, d)
	if err != nil {
		t.Fatalf("diff: %v", err)
	}
	return p
}

func expect(t *testing.T, p plan.Plan, want ...string) {
	t.Helper()
	if got := steps(p); !slices.Equal(got, want) {
		t.Errorf("steps:\n  got  %s\n  want %s", strings.Join(got, "\n       "), strings.Join(want, "\n       "))
	}
}

// carryOut applies a plan to a snapshot the obvious way.
func carryOut(t *testing.T, s *rpdb.Snapshot, p plan.Plan, inverse bool) *rpdb.Snapshot {
	t.Helper()
	state := *s // with its interfaces and settings, on which the fate of packets depends
	out := &state
	out.Rules, out.Routes = slices.Clone(s.Rules), slices.Clone(s.Routes)
	list := slices.Clone(p.Steps)
	if inverse {
		slices.Reverse(list)
	}
	for _, step := range list {
		c := step.Change
		if inverse {
			c = step.Inverse
		}
		if c.Rule != nil {
			carryRule(t, out, c)
		} else {
			carryRoute(t, out, c)
		}
	}
	slices.SortStableFunc(out.Rules, rpdb.Rule.Compare)
	return out
}

// visible returns the rules of a state without the scaffolding.
func visible(s *rpdb.Snapshot) []rpdb.Rule {
	return slices.DeleteFunc(slices.Clone(s.Rules), plan.IsScaffold)
}

func carryRule(t *testing.T, s *rpdb.Snapshot, c rpdb.Change) {
	t.Helper()
	if c.Op == rpdb.Add {
		s.Rules = append(s.Rules, *c.Rule)
		return
	}
	i := slices.IndexFunc(s.Rules, func(r rpdb.Rule) bool { return r.Canonical() == c.Rule.Canonical() })
	switch {
	case c.Op == rpdb.Delete && i >= 0:
		s.Rules = slices.Delete(s.Rules, i, i+1)
	default:
		t.Fatalf("cannot %v", c)
	}
}

func carryRoute(t *testing.T, s *rpdb.Snapshot, c rpdb.Change) {
	t.Helper()
	key := c.Route.Key()
	i := slices.IndexFunc(s.Routes, func(r rpdb.Route) bool { return r.Key() == key && (c.Op != rpdb.Delete || r.Equal(*c.Route)) })
	switch {
	case c.Op == rpdb.Add && i < 0:
		s.Routes = append(s.Routes, *c.Route)
	case c.Op == rpdb.Replace && i >= 0:
		s.Routes[i] = *c.Route
	case c.Op == rpdb.Delete && i >= 0:
		s.Routes = slices.Delete(s.Routes, i, i+1)
	default:
		t.Fatalf("cannot %v", c)
	}
}

func TestRoutesStandBeforeTheRulesThatLeadToThem(t *testing.T) {
	d := wantRoutes(route("0.0.0.0/0", "10.10.0.1", 3), route("10.10.0.0/24", "", 3))
	d.Rules = wantRules(from("10.10.0.10/32", table)).Rules
	p := mustDiff(t, &rpdb.Snapshot{}, d)
	expect(t, p,
		"add route 10.10.0.0/24 table 82000 (IPv4)", // the network of the gateway first
		"add route default table 82000 (IPv4)",
		"add rule 10010 (IPv4)",
	)
}

func TestOldGoesAfterNewCame(t *testing.T) {
	s := &rpdb.Snapshot{
		Rules:  []rpdb.Rule{at(10010, from("10.10.0.10/32", table))},
		Routes: []rpdb.Route{route("10.20.0.0/24", "", 3), route("0.0.0.0/0", "10.20.0.1", 3)},
	}
	d := wantRoutes(route("10.10.0.0/24", "", 3))
	d.Rules = wantRules(from("10.10.0.11/32", table)).Rules
	expect(t, mustDiff(t, s, d),
		"add route 10.10.0.0/24 table 83000 (IPv4)", // the twin, since several routes change
		"add rule 20011 (IPv4)",                     // the other block
		"delete rule 10010 (IPv4)",
		"delete route default table 82000 (IPv4)", // by a gateway of the network that goes last
		"delete route 10.20.0.0/24 table 82000 (IPv4)",
	)
}

func TestChangedRouteIsReplacedWithReason(t *testing.T) {
	s := &rpdb.Snapshot{Routes: []rpdb.Route{route("0.0.0.0/0", "10.10.0.1", 3)}}
	p := mustDiff(t, s, wantRoutes(route("0.0.0.0/0", "10.10.0.2", 3)))
	expect(t, p, "replace route default table 82000 (IPv4)")
	if got := p.Changes[0].Reason; got != "differs: leads elsewhere" {
		t.Errorf("reason %q", got)
	}
	if got := p.Changes[0].Inverse.Route.Nexthops[0].Via; got != netip.MustParseAddr("10.10.0.1") {
		t.Errorf("inverse leads to %v", got)
	}
}

func TestPrioritiesStayWhereTheyAre(t *testing.T) {
	a, b, c, x := from("10.0.0.1/32", 1), from("10.0.0.2/32", 2), from("10.0.0.3/32", 3), from("10.0.0.9/32", 9)
	have := []rpdb.Rule{at(10010, a), at(10020, b), at(10030, c)}
	tests := []struct {
		name  string
		want  []rpdb.Rule
		steps []string
	}{
		{"nothing new", []rpdb.Rule{a, b, c}, nil},
		{"one between", []rpdb.Rule{a, x, b, c}, []string{"add rule 10015 (IPv4)"}},
		{"one in front", []rpdb.Rule{x, a, b, c}, []string{"add rule 20005 (IPv4)"}}, // where the gate leads to
		{"one behind", []rpdb.Rule{a, b, c, x}, []string{"add rule 10040 (IPv4)"}},
		{"one gone", []rpdb.Rule{a, c}, []string{"delete rule 10020 (IPv4)"}},
		{"last moves to the front", []rpdb.Rule{c, a, b}, []string{"add rule 20005 (IPv4)", "delete rule 10030 (IPv4)"}},
		{"first two swap", []rpdb.Rule{b, a, c}, []string{"add rule 20015 (IPv4)", "delete rule 10020 (IPv4)"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p := mustDiff(t, &rpdb.Snapshot{Rules: have}, wantRules(tc.want...))
			if got := steps(p); len(got) != len(tc.steps) {
				t.Fatalf("got %q, want %q", got, tc.steps)
			}
			after := carryOut(t, &rpdb.Snapshot{Rules: have}, p, false)
			for i, r := range visible(after) {
				if r.Selector != tc.want[i].Selector {
					t.Errorf("place %d holds %v, want %v", i, r.Selector.From, tc.want[i].Selector.From)
				}
			}
			if tc.name != "first two swap" { // either of the two may move
				expect(t, p, tc.steps...)
			}
		})
	}
}

func TestNoRoomBetweenRenumbersAll(t *testing.T) {
	a, b, x := from("10.0.0.1/32", 1), from("10.0.0.2/32", 2), from("10.0.0.9/32", 9)
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{at(10010, a), at(10011, b)}}
	p := mustDiff(t, s, wantRules(a, x, b))
	after := carryOut(t, s, p, false)
	for i, want := range []rpdb.Rule{a, x, b} {
		if got := visible(after)[i]; got.Selector != want.Selector {
			t.Fatalf("place %d holds %v", i, got.Selector.From)
		}
	}
}

func TestTooManyRulesAreRefused(t *testing.T) {
	var rules []rpdb.Rule
	for i := range 10000 {
		rules = append(rules, rpdb.Rule{Family: rpdb.IPv4, Selector: rpdb.Selector{Mark: rpdb.Mark{Value: uint32(i), Mask: ^uint32(0)}}, Action: rpdb.ToTable(1)})
	}
	if _, err := plan.Diff(&rpdb.Snapshot{}, wantRules(rules...)); err == nil || !strings.Contains(err.Error(), "room for 9997") {
		t.Errorf("got %v", err)
	}
	if _, err := plan.Diff(&rpdb.Snapshot{}, wantRules(rules[:9997]...)); err != nil {
		t.Errorf("9997 rules: %v", err)
	}
}

func TestForeignIsSacred(t *testing.T) {
	s := &rpdb.Snapshot{
		Rules: []rpdb.Rule{
			at(0, foreign(from("0.0.0.0/0", rpdb.TableLocal))),
			at(10010, foreign(from("10.0.0.1/32", table))), // in our range, not our protocol
			at(100, from("10.0.0.2/32", table)),            // our protocol, not our range
			{Family: rpdb.IPv4, Priority: 10020, Action: rpdb.ToTable(9), Protocol: rpdb.ProtocolRPDB, Unknown: "\x08\x00\x63\x00abcd"},
		},
		Routes: []rpdb.Route{
			{Family: rpdb.IPv4, Table: 254, Dst: netip.MustParsePrefix("0.0.0.0/0"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB},
			{Family: rpdb.IPv4, Table: table, Dst: netip.MustParsePrefix("10.9.0.0/16"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolBoot},
			{Family: rpdb.IPv4, Table: 777, Dst: netip.MustParsePrefix("10.9.0.0/16"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB},
		},
	}
	expect(t, mustDiff(t, s, rpdb.Desired{Tables: []rpdb.DesiredTable{{ID: table}}}))
}

func TestTableOfOurRuleIsOursWhenThePolicyForgetsIt(t *testing.T) {
	stale := route("10.9.0.0/16", "", 3)
	stale.Table = 1
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{at(10010, from("10.0.0.1/32", 1))}, Routes: []rpdb.Route{stale}}
	expect(t, mustDiff(t, s, rpdb.Desired{}), "delete rule 10010 (IPv4)", "delete route 10.9.0.0/16 table 1 (IPv4)")
}

func TestForeignRouteInTheWay(t *testing.T) {
	theirs := route("0.0.0.0/0", "10.10.0.2", 3)
	theirs.Protocol = rpdb.ProtocolBoot
	s := &rpdb.Snapshot{Routes: []rpdb.Route{theirs}}
	_, err := plan.Diff(s, wantRoutes(route("0.0.0.0/0", "10.10.0.1", 3)))
	var conflict *plan.ConflictError
	if !errors.As(err, &conflict) || conflict.Foreign.Protocol != rpdb.ProtocolBoot {
		t.Errorf("got %v", err)
	}
	theirs.Nexthops[0].Via = netip.MustParseAddr("10.10.0.1") // the same but for its owner
	p := mustDiff(t, s, wantRoutes(route("0.0.0.0/0", "10.10.0.1", 3)))
	expect(t, p)
	if p.Kept != 1 || len(p.Notes) != 1 {
		t.Errorf("kept %d, notes %q", p.Kept, p.Notes)
	}
}

func TestWhatWaitsIsKept(t *testing.T) {
	s := &rpdb.Snapshot{
		Rules:  []rpdb.Rule{at(10010, from("10.10.0.10/32", table)), at(10020, from("2001:db8:b::/64", table))},
		Routes: []rpdb.Route{route("10.10.0.0/24", "", 3), route("2001:db8:b::/64", "", 3)},
	}
	d := rpdb.Desired{
		Tables:  []rpdb.DesiredTable{{ID: table}},
		Waiting: []rpdb.Waiting{{Name: "uplink eth1 (IPv6)", Reason: "no address", Family: rpdb.IPv6, Table: table}},
	}
	expect(t, mustDiff(t, s, d), "delete rule 10010 (IPv4)", "delete route 10.10.0.0/24 table 82000 (IPv4)")
}

func TestGotoFollowsItsTarget(t *testing.T) {
	jump := rpdb.Rule{Family: rpdb.IPv4, Selector: rpdb.Selector{IIF: "lan0"}, Action: rpdb.Goto(0), Protocol: rpdb.ProtocolRPDB}
	d := wantRules(jump, from("10.0.0.1/32", 1), from("10.0.0.2/32", 2))
	d.Rules[0].GotoName = "rule 2"
	p := mustDiff(t, &rpdb.Snapshot{}, d)
	expect(t, p, "add rule 10030 (IPv4)", "add rule 10010 (IPv4)", "add rule 10020 (IPv4)")
	if got := p.Changes[1].Change.Rule.Action; got != rpdb.Goto(10030) {
		t.Errorf("goto leads to %v", got)
	}
	d.Rules[0], d.Rules[2] = d.Rules[2], d.Rules[0]
	if _, err := plan.Diff(&rpdb.Snapshot{}, d); err == nil {
		t.Error("a goto backwards was planned")
	}
}

func TestPinnedRuleKeepsItsNumber(t *testing.T) {
	d := wantRules(at(100, from("10.0.0.1/32", 1)))
	d.Rules[0].Pinned = true
	p := mustDiff(t, &rpdb.Snapshot{}, d)
	expect(t, p, "add rule 100 (IPv4)")
	s := carryOut(t, &rpdb.Snapshot{}, p, false)
	expect(t, mustDiff(t, s, d))
}

func TestDuplicateOfOursGoes(t *testing.T) {
	r := at(10010, from("10.0.0.1/32", 1))
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{r, r}}
	p := mustDiff(t, s, wantRules(r))
	expect(t, p, "delete rule 10010 (IPv4)")
}

// TestRandomPoliciesConverge changes one random policy into another many times
// over: the result is the policy in its order, a second plan is empty, and the
// inverses lead back.
func TestRandomPoliciesConverge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{at(5015, foreign(from("10.0.0.77/32", 1)))}}
	for round := range 200 {
		d := randomPolicy(rng)
		p := mustDiff(t, s, d)
		after := carryOut(t, s, p, false)
		if again := mustDiff(t, after, d); !again.Empty() {
			t.Fatalf("round %d: a second plan has %q", round, steps(again))
		}
		var order []netip.Prefix
		for _, r := range after.Rules {
			if r.Protocol == rpdb.ProtocolRPDB && !plan.IsScaffold(r) {
				order = append(order, r.Selector.From)
			}
		}
		for i, w := range d.Rules {
			if order[i] != w.Rule.Selector.From {
				t.Fatalf("round %d: place %d holds %v, want %v", round, i, order[i], w.Rule.Selector.From)
			}
		}
		back := carryOut(t, after, p, true)
		if len(back.Rules) != len(s.Rules) || !sameRoutes(back.Routes, s.Routes) {
			t.Fatalf("round %d: the inverses do not lead back", round)
		}
		s = after
	}
}

func randomPolicy(rng *rand.Rand) rpdb.Desired {
	var rules []rpdb.Rule
	for _, i := range rng.Perm(12)[:rng.IntN(12)] {
		rules = append(rules, from(fmt.Sprintf("10.0.0.%d/32", i), table))
	}
	d := wantRules(rules...)
	for _, i := range rng.Perm(6)[:rng.IntN(6)] {
		r := route(fmt.Sprintf("10.%d.0.0/16", i), fmt.Sprintf("10.10.0.%d", 1+rng.IntN(3)), 3)
		d.Routes = append(d.Routes, rpdb.DesiredRoute{Route: r, Name: "r"})
	}
	d.Tables = []rpdb.DesiredTable{{ID: table}}
	return d
}

func sameRoutes(a, b []rpdb.Route) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(r rpdb.Route) bool {
		return !slices.ContainsFunc(b, func(o rpdb.Route) bool { return r.Equal(o) })
	})
}
