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

// ssh is the session that a change is made from: answers to a client behind
// eth5, the way of table main.
func ssh() rpdb.Flow {
	return rpdb.Flow{
		Dst: netip.MustParseAddr("10.9.9.9"), Src: netip.MustParseAddr("10.0.0.1"),
		IPProto: rpdb.TCP, SPort: 22, DPort: 50000,
	}
}

func serverHost() *rpdb.Snapshot {
	s := host()
	s.Addresses = append(s.Addresses, rpdb.Address{Link: 2, Prefix: netip.MustParsePrefix("10.0.0.1/24")})
	local := route("10.0.0.1/32", "", 2)
	local.Table, local.Type, local.Protocol, local.Scope = rpdb.TableLocal, rpdb.RouteLocal, rpdb.ProtocolKernel, rpdb.ScopeHost
	s.Routes = append(s.Routes, local)
	return s
}

func TestPlanThatCutsTheBranchOneSitsOn(t *testing.T) {
	s := serverHost()
	d := wantRules(from("10.0.0.1/32", table))
	d.Rules[0].Rule.Action = rpdb.Prohibit()
	p := mustDiff(t, s, d)
	cuts := p.Cuts(s, []rpdb.Flow{ssh(), ssh()})
	if len(cuts) != 1 || !cuts[0].Last || cuts[0].Decision.Errno != rpdb.EACCES {
		t.Fatalf("got %v", cuts)
	}
	if got := cuts[0].Error(); !strings.Contains(got, "to 10.9.9.9 from 10.0.0.1 is cut at the end, after add rule 10000 (IPv4)") ||
		!strings.Contains(got, "EACCES by rule 10010") {
		t.Errorf("got %q", got)
	}

	// Through another interface is through.
	d = wantRoutes(route("0.0.0.0/0", "", 3))
	d.Rules = wantRules(from("10.0.0.1/32", table)).Rules
	if cuts := mustDiff(t, s, d).Cuts(s, []rpdb.Flow{ssh()}); len(cuts) != 0 {
		t.Errorf("got %v", cuts)
	}

	// What does not get through now is nobody's loss.
	s.Routes = s.Routes[len(s.Routes)-1:]
	if cuts := p.Cuts(s, []rpdb.Flow{ssh()}); len(cuts) != 0 {
		t.Errorf("got %v", cuts)
	}
}

// TestCutForAMoment: a pinned rule that is replaced by another, and cannot stand
// beside it, leaves a moment without either.
func TestCutForAMoment(t *testing.T) {
	s := serverHost()
	s.Routes = append([]rpdb.Route{}, s.Routes[1:]...) // without the way of main
	pinned := wantRoutes(route("0.0.0.0/0", "", 3))
	rule := at(100, from("10.0.0.1/32", table))
	pinned.Rules = []rpdb.DesiredRule{{Rule: rule, Name: "pinned", Pinned: true}}
	s = carryOut(t, s, mustDiff(t, s, pinned), false)
	wider := rule
	wider.Selector.From = netip.Prefix{}
	pinned.Rules[0].Rule = wider
	p := mustDiff(t, s, pinned)
	cuts := p.Cuts(s, []rpdb.Flow{ssh()})
	if len(cuts) != 1 || cuts[0].Last || !strings.Contains(cuts[0].Error(), "is cut for a moment, after delete rule 100 (IPv4) (step 1)") {
		t.Fatalf("got %v", cuts)
	}
}

// TestCutsOfAManyStepsPlan looks at the states that count, and at the same
// ones that a short plan is looked at in.
func TestCutsOfAManyStepsPlan(t *testing.T) {
	s := serverHost()
	rules := []rpdb.Rule{from("10.0.0.1/32", table)}
	rules[0].Action = rpdb.Unreachable()
	for i := range 300 {
		rules = append(rules, from(fmt.Sprintf("10.7.%d.%d/32", i>>8, i&255), table))
	}
	p := mustDiff(t, s, wantRules(rules...))
	if cuts := p.Cuts(s, []rpdb.Flow{ssh()}); len(cuts) != 1 || !cuts[0].Last || p.Steps[cuts[0].Step].Phase != plan.Switch {
		t.Errorf("got %v", cuts)
	}
}

// TestAfterIsWhatTheStepsMake compares with the other way to carry steps out.
func TestAfterIsWhatTheStepsMake(t *testing.T) {
	s := host()
	d := wantRoutes(route("10.1.0.0/16", "", 3), route("10.2.0.0/16", "", 3))
	d.Rules = wantRules(from("10.0.0.1/32", table), from("10.0.0.2/32", table), from("2001:db8::1/128", 1)).Rules
	p := mustDiff(t, s, d)
	got, want := plan.After(s, p.Steps), carryOut(t, s, p, false)
	for _, f := range rpdb.Families() {
		a, b := got.RulesOf(f), want.RulesOf(f)
		if len(a) != len(b) {
			t.Fatalf("%v: %d rules, want %d", f, len(a), len(b))
		}
		for i := range a {
			if a[i] != b[i] {
				t.Errorf("%v rule %d: %v, want %v", f, i, a[i], b[i])
			}
		}
	}
	if !sameRoutes(got.Routes, want.Routes) {
		t.Errorf("routes %v", got.Routes)
	}
	if len(s.Routes) != 2 {
		t.Error("the state given was changed")
	}
}

// slowCuts compiles every state whole, and looks at all of them.
func slowCuts(p plan.Plan, actual *rpdb.Snapshot, flows []rpdb.Flow) []string {
	states := []*fib.FIB{fib.Compile(actual)}
	for n := range p.Steps {
		states = append(states, fib.Compile(plan.After(actual, p.Steps[:n+1])))
	}
	var out []string
	for _, f := range flows {
		if !states[0].Lookup(f).Disposition.Delivered() {
			continue
		}
		var cut []bool
		for _, engine := range states {
			d := engine.Lookup(f)
			cut = append(cut, d.Disposition != rpdb.DispositionUnknown && !d.Disposition.Delivered())
		}
		if first := slices.Index(cut, true); first > 0 {
			out = append(out, fmt.Sprint(f, first-1, cut[len(cut)-1]))
		}
	}
	return out
}

// TestCutsAreThoseOfEveryState compares with the slow way, on plans between random
// policies some of whose rules are pinned, where many a flow is cut for a moment.
func TestCutsAreThoseOfEveryState(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	flows := packets()
	s, cuts := host(), 0
	for round := range 30 {
		d := randomGeneration(rng)
		if round%3 > 0 {
			d = somePinned(rng, d)
		}
		p, err := plan.Diff(s, d)
		if err != nil {
			continue // a goto to a pinned rule in front of it
		}
		some := []rpdb.Flow{flows[rng.IntN(len(flows))], flows[rng.IntN(len(flows))], flows[rng.IntN(len(flows))]}
		if some[0] == some[1] || some[1] == some[2] || some[0] == some[2] {
			continue
		}
		var got []string
		for _, c := range p.Cuts(s, some) {
			got = append(got, fmt.Sprint(c.Flow, c.Step, c.Last))
		}
		if want := slowCuts(p, s, some); !slices.Equal(got, want) {
			t.Fatalf("round %d: cuts\n%v, want\n%v", round, got, want)
		}
		cuts += len(got)
		s = carryOut(t, s, p, false)
	}
	if cuts < 3 {
		t.Errorf("only %d flows were cut", cuts)
	}
}

// BenchmarkCuts watches two flows of a host with a long table while a policy
// of 200 rules takes the place of another.
func BenchmarkCuts(b *testing.B) {
	s := serverHost()
	for i := range 200_000 {
		r := route(fmt.Sprintf("%d.%d.%d.0/24", 20+i>>16, i>>8&255, i&255), "", 3)
		r.Table, r.Protocol = rpdb.TableMain, rpdb.ProtocolStatic
		s.Routes = append(s.Routes, r)
	}
	var rules []rpdb.Rule
	for i := range 200 {
		rules = append(rules, from(fmt.Sprintf("10.7.%d.%d/32", i>>8, i&255), table))
	}
	p, err := plan.Diff(s, wantRules(rules...))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p.Cuts(s, []rpdb.Flow{ssh(), {Dst: netip.MustParseAddr("20.1.2.3")}})
	}
}
