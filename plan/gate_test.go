package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/plan"
)

// spell spells the messages of a phase.
func spell(p plan.Plan, phase plan.Phase) []string {
	var out []string
	for _, s := range p.Steps {
		if s.Phase == phase {
			out = append(out, s.Change.String())
		}
	}
	return out
}

func expectPhase(t *testing.T, p plan.Plan, phase plan.Phase, want ...string) {
	t.Helper()
	if got := spell(p, phase); !slices.Equal(got, want) {
		t.Errorf("%s:\n  got  %s\n  want %s", phase, strings.Join(got, "\n       "), strings.Join(want, "\n       "))
	}
}

func TestGenerationsTakeTurns(t *testing.T) {
	s := &rpdb.Snapshot{}
	p := mustDiff(t, s, wantRules(from("10.0.0.1/32", 1), from("10.0.0.2/32", 2)))
	expectPhase(t, p, plan.Prepare,
		"add rule 29999 (IPv4)", "add rule 10001 (IPv4)", "add rule 10010 (IPv4)", "add rule 10020 (IPv4)", "add rule 19999 (IPv4)")
	expectPhase(t, p, plan.Switch, "add rule 10000 (IPv4)")
	expectPhase(t, p, plan.Clean, "delete rule 10001 (IPv4)")
	s = carryOut(t, s, p, false)

	// Two rules change: all of them are written anew, behind the same gate.
	d := wantRules(from("10.0.0.1/32", 3), from("10.0.0.2/32", 4))
	p = mustDiff(t, s, d)
	expectPhase(t, p, plan.Prepare, "add rule 20011 (IPv4)", "add rule 20022 (IPv4)", "add rule 10001 (IPv4)")
	expectPhase(t, p, plan.Switch, "delete rule 10000 (IPv4)")
	expectPhase(t, p, plan.Clean, "delete rule 10010 (IPv4)", "delete rule 10020 (IPv4)", "delete rule 19999 (IPv4)")
	s = carryOut(t, s, p, false)

	// One more behind the others is one message.
	d.Rules = append(d.Rules, wantRules(from("10.0.0.3/32", 1)).Rules...)
	p = mustDiff(t, s, d)
	if expectPhase(t, p, plan.Switch, "add rule 20032 (IPv4)"); len(p.Steps) != 1 {
		t.Errorf("%d messages", len(p.Steps))
	}
	s = carryOut(t, s, p, false)

	p = mustDiff(t, s, rpdb.Desired{})
	expectPhase(t, p, plan.Switch, "add rule 10000 (IPv4)")
	if s = carryOut(t, s, p, false); len(s.Rules) != 0 {
		t.Errorf("left: %v", s.Rules)
	}
}

func TestTableOfSeveralChangesGetsItsTwin(t *testing.T) {
	d := wantRoutes(route("10.1.0.0/16", "", 3), route("10.2.0.0/16", "", 3))
	d.Rules = wantRules(from("10.0.0.1/32", table)).Rules
	s := carryOut(t, &rpdb.Snapshot{}, mustDiff(t, &rpdb.Snapshot{}, d), false)

	one := wantRoutes(route("10.1.0.0/16", "", 4), route("10.2.0.0/16", "", 3))
	one.Rules = d.Rules
	p := mustDiff(t, s, one)
	expectPhase(t, p, plan.Switch, "replace route 10.1.0.0/16 table 82000 (IPv4)")
	if len(p.Steps) != 1 {
		t.Errorf("%d messages for one change", len(p.Steps))
	}

	two := wantRoutes(route("10.1.0.0/16", "", 4), route("10.2.0.0/16", "", 4))
	two.Rules = d.Rules
	p = mustDiff(t, s, two)
	expect(t, p, "replace route 10.1.0.0/16 table 83000 (IPv4)", "replace route 10.2.0.0/16 table 83000 (IPv4)")
	expectPhase(t, p, plan.Prepare,
		"add route 10.1.0.0/16 table 83000 (IPv4)", "add route 10.2.0.0/16 table 83000 (IPv4)",
		"add rule 20010 (IPv4)", "add rule 10001 (IPv4)")
	expectPhase(t, p, plan.Switch, "delete rule 10000 (IPv4)")
	if len(p.Transient) != 0 {
		t.Errorf("transient %q", p.Transient)
	}
	s = carryOut(t, s, p, false)
	expect(t, mustDiff(t, s, two))

	// A table with a route of somebody else stays where it is, and the plan
	// says what that means.
	theirs := route("10.7.0.0/16", "", 4)
	theirs.Table, theirs.Protocol = 83000, rpdb.ProtocolStatic
	s.Routes = append(s.Routes, theirs)
	p = mustDiff(t, s, d)
	expectPhase(t, p, plan.Switch, "replace route 10.1.0.0/16 table 83000 (IPv4)", "replace route 10.2.0.0/16 table 83000 (IPv4)")
	if len(p.Transient) != 1 || !strings.Contains(p.Transient[0], "table 83000 (IPv4) changes where it stands, in 2 messages") {
		t.Errorf("transient %q", p.Transient)
	}
}

func TestRuleOfOthersInOurRange(t *testing.T) {
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{at(10500, foreign(from("10.0.0.0/8", 9)))}}
	_, err := plan.Diff(s, wantRules(from("10.0.0.1/32", 1)))
	if err == nil || !strings.Contains(err.Error(), "rule 10500 (IPv4) of protocol 4 stands among the priorities 10000 to 29999") {
		t.Errorf("got %v", err)
	}
	expect(t, mustDiff(t, s, wantRules(from("2001:db8::1/128", 1))), "add rule 10010 (IPv6)")
	if p := mustDiff(t, s, rpdb.Desired{}); !p.Empty() || len(p.Notes) != 1 {
		t.Errorf("%v, notes %q", steps(p), p.Notes)
	}
}

// TestRulesOfOldWithoutGate: what stood in the range before there were gates,
// or lost its gate, counts until the gate turns.
func TestRulesOfOldWithoutGate(t *testing.T) {
	a, b := from("10.0.0.1/32", 1), from("10.0.0.2/32", 2)
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{at(10010, a), at(10020, b)}}
	p := mustDiff(t, s, wantRules(a, b))
	expect(t, p)
	expectPhase(t, p, plan.Prepare, "add rule 29999 (IPv4)", "add rule 19999 (IPv4)", "add rule 10001 (IPv4)")
	if got := p.Steps[2].Change.Rule.Action; got != rpdb.Goto(10010) {
		t.Errorf("the gate leads to %v", got)
	}
}

// hosts is where random policies are carried out: one interface in, five out.
func host() *rpdb.Snapshot {
	s := &rpdb.Snapshot{Sysctls: rpdb.Sysctls{IPv4Forward: true, IPv6Forward: true}, Custom4: rpdb.CustomisedYes, Custom6: rpdb.CustomisedYes}
	for i := range 6 {
		name := rpdb.LinkName(fmt.Sprintf("eth%d", i))
		s.Links = append(s.Links, rpdb.Link{Index: rpdb.LinkIndex(i + 2), Name: name, Flags: rpdb.LinkUp | rpdb.LinkRunning | rpdb.LinkLowerUp})
	}
	for _, f := range rpdb.Families() {
		s.Rules = append(s.Rules, rpdb.DefaultRules(f)...)
		r := route(map[rpdb.Family]string{rpdb.IPv4: "0.0.0.0/0", rpdb.IPv6: "::/0"}[f], "", 7)
		r.Table, r.Protocol = rpdb.TableMain, rpdb.ProtocolStatic
		s.Routes = append(s.Routes, r)
	}
	return s
}

// randomGeneration is a policy of both families with several tables of ours,
// gotos, inverted rules, throws and denials.
func randomGeneration(rng *rand.Rand) rpdb.Desired {
	var d rpdb.Desired
	for t := range rpdb.TableID(3) {
		d.Tables = append(d.Tables, rpdb.DesiredTable{ID: table + t})
	}
	for _, f := range rpdb.Families() {
		net := map[rpdb.Family]string{rpdb.IPv4: "10.0.0.%d/%d", rpdb.IPv6: "2001:db8::%x/%d"}[f]
		host := map[rpdb.Family]int{rpdb.IPv4: 32, rpdb.IPv6: 128}[f]
		n := rng.IntN(6)
		for i := range n {
			r := from(fmt.Sprintf(net, 0, host-rng.IntN(5)), table+rpdb.TableID(rng.IntN(3)))
			r.Selector.From = r.Selector.From.Masked()
			r.Selector.Not = rng.IntN(4) == 0
			w := rpdb.DesiredRule{Rule: r, Name: fmt.Sprintf("rule %d", i)}
			switch rng.IntN(5) {
			case 0:
				if i < n-1 {
					w.Rule.Action, w.GotoName = rpdb.Goto(0), fmt.Sprintf("rule %d", i+1+rng.IntN(n-1-i))
				}
			case 1:
				w.Rule.Action = rpdb.Prohibit()
			}
			d.Rules = append(d.Rules, w)
		}
		for t := range rpdb.TableID(3) {
			for _, length := range rng.Perm(4)[:rng.IntN(4)] {
				r := route(netip.MustParsePrefix(fmt.Sprintf(net, 0, host-length)).Masked().String(), "", rpdb.LinkIndex(3+rng.IntN(4)))
				r.Table += t
				d.Routes = append(d.Routes, rpdb.DesiredRoute{Route: r, Name: "r"})
			}
		}
	}
	return d
}

// packets that come in by eth0, of which random policies tell many apart.
func packets() []rpdb.Flow {
	var flows []rpdb.Flow
	for src := range 16 {
		for dst := range 8 {
			for _, net := range []string{"10.0.0.%d", "2001:db8::%x"} {
				flows = append(flows, rpdb.Flow{
					Src: netip.MustParseAddr(fmt.Sprintf(net, src+1)), Dst: netip.MustParseAddr(fmt.Sprintf(net, dst)), IIF: "eth0",
				})
			}
		}
	}
	return flows
}

// fate is what a sender can tell of a decision.
type fate struct {
	is    rpdb.Disposition
	hop   rpdb.Hop
	errno rpdb.Errno
}

func fates(s *rpdb.Snapshot, flows []rpdb.Flow) []fate {
	f := fib.Compile(s)
	out := make([]fate, len(flows))
	for i, flow := range flows {
		d := f.Lookup(flow)
		out[i] = fate{d.Disposition, d.Hop, d.Errno}
	}
	return out
}

// TestNoPacketSeesAThirdPolicy: after every message between two random policies
// each packet has the fate that it had before, or the one that it has after, and
// where the gate turns all packets of a family have the same of the two. From there, as after a
// crash, both policies can be reached, and nothing is left.
func TestNoPacketSeesAThirdPolicy(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	flows, s, old := packets(), host(), rpdb.Desired{}
	different := map[fate]bool{}
	for round := range 25 {
		d := randomGeneration(rng)
		p := mustDiff(t, s, d)
		if len(p.Transient) > 0 {
			t.Fatalf("round %d: transient %q", round, p.Transient)
		}
		after := carryOut(t, s, p, false)
		was, will := fates(s, flows), fates(after, flows)
		for _, f := range will {
			different[f] = true
		}
		for n := range p.Steps {
			now := carryOut(t, s, plan.Plan{Steps: p.Steps[:n+1]}, false)
			checkBetween(t, flows, turns(p), was, will, fates(now, flows), fmt.Sprintf("round %d, after %v (%s)", round, p.Steps[n].Change, p.Steps[n].Phase))
			if n%4 != round%4 { // all of them takes too long
				continue
			}
			checkReaches(t, now, d, after)
			checkReaches(t, now, old, s)
		}
		s, old = after, d
	}
	if len(different) < 5 {
		t.Errorf("packets have these fates only: %v", different)
	}
}

// turns says of which families a plan changes all in one message.
func turns(p plan.Plan) map[rpdb.Family]bool {
	count := map[rpdb.Family]int{}
	for _, s := range p.Steps {
		if s.Phase == plan.Switch && s.Change.Rule != nil {
			count[s.Change.Rule.Family]++
		} else if s.Phase == plan.Switch {
			count[s.Change.Route.Family]++
		}
	}
	return map[rpdb.Family]bool{rpdb.IPv4: count[rpdb.IPv4] < 2, rpdb.IPv6: count[rpdb.IPv6] < 2}
}

func checkBetween(t *testing.T, flows []rpdb.Flow, turns map[rpdb.Family]bool, was, will, is []fate, when string) {
	t.Helper()
	for _, f := range rpdb.Families() {
		isOld, isNew := true, true
		for i, flow := range flows {
			if flow.Family() == f {
				isOld, isNew = isOld && is[i] == was[i], isNew && is[i] == will[i]
				if is[i] != was[i] && is[i] != will[i] {
					t.Fatalf("%s: %+v has the fate %+v, before %+v, then %+v", when, flow, is[i], was[i], will[i])
				}
			}
		}
		if turns[f] && !isOld && !isNew {
			t.Fatalf("%s: %v is neither as before nor as after", when, f)
		}
	}
}

// checkReaches plans from a state to a policy, and compares with a state that
// holds it: the same rules of ours by order, and as many of everything.
func checkReaches(t *testing.T, s *rpdb.Snapshot, d rpdb.Desired, like *rpdb.Snapshot) {
	t.Helper()
	got := carryOut(t, s, mustDiff(t, s, d), false)
	if again := mustDiff(t, got, d); !again.Empty() {
		t.Fatalf("a second plan has %q", steps(again))
	}
	a, b := visible(got), visible(like)
	if len(a) != len(b) || len(got.Routes) != len(like.Routes) {
		t.Fatalf("%d rules and %d routes, want %d and %d", len(a), len(got.Routes), len(b), len(like.Routes))
	}
	for i := range a {
		if a[i].Selector != b[i].Selector || a[i].Action.Type() != b[i].Action.Type() {
			t.Fatalf("place %d holds %v, want %v", i, a[i], b[i])
		}
	}
}

// TestRoutesAddedToSeveralTables: in place they are added first where packets
// come first. Where there is no such order, all packets turn at once.
func TestRoutesAddedToSeveralTables(t *testing.T) {
	in := func(n rpdb.TableID, link rpdb.LinkIndex) rpdb.DesiredRoute {
		r := route("10.0.0.0/8", "", link)
		r.Table = n
		return rpdb.DesiredRoute{Route: r, Name: "r"}
	}
	throw := in(table+1, 0)
	throw.Route.Type, throw.Route.Nexthops = rpdb.RouteThrow, nil
	onLink, inside := in(table, 4), in(table, 5)
	onLink.Route.Dst, inside.Route.Dst = netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.0.7/32")
	inside.Route.Nexthops[0].Via = netip.MustParseAddr("10.0.0.1")
	a, b := from("10.0.0.0/24", table+1), from("10.0.0.0/25", table)
	for name, test := range map[string]struct {
		rules  []rpdb.Rule
		routes []rpdb.DesiredRoute
		turns  bool
	}{
		"in order":              {[]rpdb.Rule{a, b}, []rpdb.DesiredRoute{in(table, 4), in(table+1, 5)}, false},
		"in both orders":        {[]rpdb.Rule{b, a, from("10.0.0.0/26", table)}, []rpdb.DesiredRoute{in(table, 4), in(table+1, 5)}, true},
		"sent on":               {[]rpdb.Rule{a, b}, []rpdb.DesiredRoute{in(table, 4), throw}, true},
		"gateway on the link":   {[]rpdb.Rule{b}, []rpdb.DesiredRoute{onLink, inside}, true},
		"one table, two routes": {[]rpdb.Rule{b}, []rpdb.DesiredRoute{onLink, in(table, 5)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := wantRules(test.rules...)
			d.Tables = []rpdb.DesiredTable{{ID: table}, {ID: table + 1}}
			s := carryOut(t, host(), mustDiff(t, host(), d), false)
			d.Routes = test.routes
			p := mustDiff(t, s, d)
			if got := len(p.Steps) > len(test.routes); got != test.turns || len(p.Transient) > 0 {
				t.Errorf("a new generation: %v; transient %q", got, p.Transient)
			}
			was, will := fates(s, packets()), fates(carryOut(t, s, p, false), packets())
			for n := range p.Steps {
				now := carryOut(t, s, plan.Plan{Steps: p.Steps[:n+1]}, false)
				checkBetween(t, packets(), nil, was, will, fates(now, packets()), fmt.Sprint(p.Steps[n].Change))
			}
		})
	}
}
