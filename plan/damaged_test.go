package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"rpdb"
	"rpdb/plan"
)

// damaged returns a random part of what is ours in some states, all at once,
// with some rules doubled, and all that is foreign in the first one.
func damaged(rng *rand.Rand, states ...*rpdb.Snapshot) *rpdb.Snapshot {
	out := host()
	out.Rules, out.Routes = nil, nil
	for i, s := range states {
		for _, r := range s.Rules {
			isOurs := r.Protocol == rpdb.ProtocolRPDB
			if !isOurs && i == 0 || isOurs && rng.IntN(4) > 0 && !slices.Contains(out.Rules, r) {
				out.Rules = append(out.Rules, r)
			}
			if isOurs && rng.IntN(12) == 0 {
				out.Rules = append(out.Rules, r)
			}
		}
		for _, r := range s.Routes {
			isOurs := r.Protocol == rpdb.ProtocolRPDB
			there := slices.ContainsFunc(out.Routes, func(have rpdb.Route) bool { return have.Key() == r.Key() })
			if !there && (!isOurs && i == 0 || isOurs && rng.IntN(4) > 0) {
				out.Routes = append(out.Routes, r)
			}
		}
	}
	slices.SortStableFunc(out.Rules, rpdb.Rule.Compare)
	return out
}

// TestOnePlanPutsRightWhatIsDamaged: from any part of two or three generations,
// gates, ends and tables included, one plan leads to the policy, and its inverse
// leads back.
func TestOnePlanPutsRightWhatIsDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	flows := packets()
	for round := range 100 {
		var wanted []rpdb.Desired
		states := []*rpdb.Snapshot{host()}
		for range 2 + rng.IntN(2) {
			d := randomGeneration(rng)
			s := states[len(states)-1]
			states = append(states, carryOut(t, s, mustDiff(t, s, d), false))
			wanted = append(wanted, d)
		}
		s := damaged(rng, states...)
		wanted = append(wanted, rpdb.Desired{})
		d := wanted[rng.IntN(len(wanted))]
		when := fmt.Sprintf("round %d", round)
		p, err := plan.Diff(s, d)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		after := carryOut(t, s, p, false)
		if again := mustDiff(t, after, d); !again.Empty() {
			t.Fatalf("%s: a second plan has %d steps: %v\nfrom %v\nthen %v", when, len(again.Steps), again.Steps, s.Rules, after.Rules)
		}
		clean := host()
		clean = carryOut(t, clean, mustDiff(t, clean, d), false)
		if a, b := visible(after), visible(clean); len(a) != len(b) || len(after.Routes) != len(clean.Routes) {
			t.Fatalf("%s: %d rules and %d routes, want %d and %d", when, len(a), len(after.Routes), len(b), len(clean.Routes))
		}
		if len(after.Rules)-len(visible(after)) > 3*2 {
			t.Fatalf("%s: too much scaffolding: %v", when, after.Rules)
		}
		if round%8 == 0 && !slices.Equal(fates(after, flows), fates(clean, flows)) {
			t.Fatalf("%s: packets do not have the fates of the policy", when)
		}
		back := carryOut(t, after, p, true)
		if !slices.Equal(sortedRules(back), sortedRules(s)) {
			t.Fatalf("%s: the inverse leads elsewhere", when)
		}
	}
}

func sortedRules(s *rpdb.Snapshot) []string {
	var out []string
	for _, r := range s.Rules {
		out = append(out, fmt.Sprintf("%+v", r.Canonical()))
	}
	slices.Sort(out)
	return out
}

// TestDeletionTakesTheRuleMeant where the kernel would take another one, which
// goes first then: doubled gates, and pinned rules of one priority.
func TestDeletionTakesTheRuleMeant(t *testing.T) {
	a := from("10.0.0.1/32", 1)
	s := carryOut(t, &rpdb.Snapshot{}, mustDiff(t, &rpdb.Snapshot{}, wantRules(a)), false)
	other := at(10000, rpdb.Rule{Family: rpdb.IPv4, Action: rpdb.Goto(29999), Protocol: rpdb.ProtocolRPDB})
	s.Rules = append(s.Rules, other)
	slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
	p := mustDiff(t, s, wantRules(a))
	expect(t, p)
	expectPhase(t, p, plan.Prepare, "delete rule 10000 (IPv4)", "delete rule 10000 (IPv4)", "add rule 10000 (IPv4)")
	if got := p.Steps[1].Change.Rule.Action; got != rpdb.Goto(29999) || p.Steps[2].Change.Rule.Action != rpdb.Goto(10010) || len(p.Transient) != 1 {
		t.Errorf("second: %v; transient %q", got, p.Transient)
	}
	if s = carryOut(t, s, p, false); !mustDiff(t, s, wantRules(a)).Empty() {
		t.Error("a second plan is not empty")
	}

	narrow, all := at(400, a), at(400, rpdb.Rule{Family: rpdb.IPv4, Action: rpdb.ToTable(1), Protocol: rpdb.ProtocolRPDB})
	s = &rpdb.Snapshot{Rules: []rpdb.Rule{narrow, all}}
	d := rpdb.Desired{Rules: []rpdb.DesiredRule{{Rule: at(400, from("10.0.0.2/32", 2)), Name: "pinned", Pinned: true}}}
	p = mustDiff(t, s, d)
	if got := p.Steps[1].Change; got.Op != rpdb.Delete || got.Rule.Selector.From != a.Selector.From || len(p.Steps) != 3 {
		t.Errorf("%v comes second of %d", got, len(p.Steps))
	}
}
