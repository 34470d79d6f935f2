package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"rpdb"
	"rpdb/plan"
)

// onTrial carries out a plan but for its last phase.
func onTrial(t *testing.T, s *rpdb.Snapshot, p plan.Plan) *rpdb.Snapshot {
	t.Helper()
	return carryOut(t, s, p.WithoutClean(), false)
}

// TestWhatATrialReplacedStandsReady: rules, and routes in a table, are replaced;
// one message leads back, the rest is cleaned, and to stay is to clean as well.
func TestWhatATrialReplacedStandsReady(t *testing.T) {
	generation := func(link rpdb.LinkIndex, n rpdb.TableID) rpdb.Desired {
		d := wantRoutes(route("10.1.0.0/16", "", link), route("10.2.0.0/16", "", link))
		d.Rules = wantRules(from("10.0.0.1/32", table), from("10.0.0.2/32", n)).Rules
		return d
	}
	old, trial := generation(3, 1), generation(4, 2)
	s := carryOut(t, &rpdb.Snapshot{}, mustDiff(t, &rpdb.Snapshot{}, old), false)
	forth := mustDiff(t, s, trial)
	expectPhase(t, forth, plan.Switch, "delete rule 10000 (IPv4)")
	if len(forth.Back) != 1 || forth.Back[0] != (plan.Back{Family: rpdb.IPv4, Messages: 1}) {
		t.Errorf("going back is said to take %+v", forth.Back)
	}
	h := onTrial(t, s, forth)

	stay := mustDiff(t, h, trial)
	expect(t, stay)
	cleans := []string{
		"delete rule 10010 (IPv4)", "delete rule 10020 (IPv4)", "delete rule 19999 (IPv4)",
		"delete route 10.2.0.0/16 table 82000 (IPv4)", "delete route 10.1.0.0/16 table 82000 (IPv4)",
	}
	if expectPhase(t, stay, plan.Clean, cleans...); !stay.OnlyCleans() || !slices.Equal(spell(plan.Sweep(h, trial), plan.Clean), cleans) {
		t.Errorf("to stay takes %v; what is swept is %v", stay.Steps, plan.Sweep(h, trial).Steps)
	}

	back := mustDiff(t, h, old)
	expectPhase(t, back, plan.Prepare)
	expectPhase(t, back, plan.Switch, "add rule 10000 (IPv4)")
	if got := carryOut(t, h, back, false); !slices.Equal(sortedRules(got), sortedRules(s)) || !sameRoutes(got.Routes, s.Routes) {
		t.Errorf("came back to %v", got.Rules)
	}

	// What somebody took from it is all that is written anew.
	h.Rules = slices.DeleteFunc(h.Rules, func(r rpdb.Rule) bool { return r.Priority == 10020 })
	h.Routes = slices.DeleteFunc(h.Routes, func(r rpdb.Route) bool { return r.Table == table && r.Dst.Bits() == 16 && r.Dst.Addr().As4()[1] == 2 })
	if !mustDiff(t, h, trial).OnlyCleans() {
		t.Error("the trial is said to have changed")
	}
	back = mustDiff(t, h, old)
	expectPhase(t, back, plan.Prepare, "add route 10.2.0.0/16 table 82000 (IPv4)", "add rule 10020 (IPv4)")
	expectPhase(t, back, plan.Switch, "add rule 10000 (IPv4)")
}

// TestEveryTrialGoesBack: from whatever policy to whatever other, what is left of
// the one after the other is on trial stands ready as the plan said, also where
// it was damaged, and no packet sees a third one on the way back.
func TestEveryTrialGoesBack(t *testing.T) {
	t.Parallel()
	flows, flips := packets(), 0
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 9))
		next := func() rpdb.Desired {
			if d := randomGeneration(rng); seed%2 == 0 {
				return d
			} else {
				return lookedUp(d)
			}
		}
		d := next()
		s := carryOut(t, host(), mustDiff(t, host(), d), false)
		for round := range 10 {
			when := fmt.Sprintf("seed %d, round %d", seed, round)
			old := d
			if d = next(); round%2 == 0 {
				d = fewChanges(rng, old)
			}
			forth := mustDiff(t, s, d)
			h, after := onTrial(t, s, forth), carryOut(t, s, forth, false)
			checkStays(t, h, d, after, when)
			checkLive(t, h, after, flows, when)
			back := mustDiff(t, h, old)
			flips += checkBack(t, forth, back, when)
			came := carryOut(t, h, back, false)
			if !slices.Equal(sortedRules(came), sortedRules(s)) || !sameRoutes(logical(came.Routes), logical(s.Routes)) {
				t.Fatalf("%s: came back to\n%v, not to\n%v", when, came.Rules, s.Rules)
			}
			if round%3 == 0 {
				h = lost(rng, h, came, after)
				back = mustDiff(t, h, old)
			}
			was, will := fates(h, flows), fates(s, flows)
			for n, step := range back.Steps {
				if step.Phase != plan.Switch && n%4 != round%4 { // all of them takes too long
					continue
				}
				now := carryOut(t, h, plan.Plan{Steps: back.Steps[:n+1]}, false)
				checkBetween(t, flows, nil, was, will, fates(now, flows), fmt.Sprintf("%s, back, after %v (%s)", when, step.Change, step.Phase))
				if again := mustDiff(t, carryOut(t, now, mustDiff(t, now, old), false), old); !again.Empty() {
					t.Fatalf("%s: stopped after %v, a second plan has %v", when, step.Change, again.Steps)
				}
			}
			s = after
		}
	}
	t.Logf("%d families came back by one message", flips)
	if flips < 40 {
		t.Errorf("only %d families came back by one message", flips)
	}
}

// lookedUp returns a policy without the routes that none of its rules leads to.
func lookedUp(d rpdb.Desired) rpdb.Desired {
	d.Routes = slices.DeleteFunc(slices.Clone(d.Routes), func(w rpdb.DesiredRoute) bool {
		return !slices.ContainsFunc(d.Rules, func(r rpdb.DesiredRule) bool {
			return r.Rule.Family == w.Route.Family && r.Rule.Action.Table() == w.Route.Table
		})
	})
	return d
}

// logical returns routes in the tables that the policy knows: those that no rule
// leads to may come back in either of the two.
func logical(routes []rpdb.Route) []rpdb.Route {
	routes = slices.Clone(routes)
	for i := range routes {
		routes[i].Table = plan.LogicalTable(routes[i].Table)
	}
	return routes
}

// checkLive wants to see of a trial what is there when it is confirmed, and each
// packet to have the fate that it has then.
func checkLive(t *testing.T, h, after *rpdb.Snapshot, flows []rpdb.Flow, when string) {
	t.Helper()
	live := plan.Live(h)
	a, b := visible(live), visible(after)
	if !slices.Equal(a, b) || !slices.Equal(fates(live, flows), fates(h, flows)) {
		t.Fatalf("%s: live are\n%v, not\n%v", when, a, b)
	}
	if got := plan.Live(after); got != after {
		t.Fatalf("%s: of what is confirmed this is left out: %v", when, got.Rules)
	}
}

// checkStays wants nothing but cleaning between a trial and its end.
func checkStays(t *testing.T, h *rpdb.Snapshot, d rpdb.Desired, after *rpdb.Snapshot, when string) {
	t.Helper()
	stay := mustDiff(t, h, d)
	if !stay.OnlyCleans() || len(stay.Changes) > 0 {
		t.Fatalf("%s: on trial, these are wanted: %v", when, stay.Steps)
	}
	for _, p := range []plan.Plan{stay, plan.Sweep(h, d)} {
		got := carryOut(t, h, p, false)
		if !slices.Equal(sortedRules(got), sortedRules(after)) || !sameRoutes(got.Routes, after.Routes) {
			t.Fatalf("%s: cleaned to\n%v\n%v, not to\n%v\n%v", when, got.Rules, got.Routes, after.Rules, after.Routes)
		}
	}
}

// checkBack compares what a plan says of going back with the plan back, and
// counts the families that come back by one message.
func checkBack(t *testing.T, forth, back plan.Plan, when string) (flips int) {
	t.Helper()
	for _, f := range rpdb.Families() {
		count := map[plan.Phase]int{}
		for _, s := range back.Steps {
			if s.Change.Rule != nil && s.Change.Rule.Family == f || s.Change.Route != nil && s.Change.Route.Family == f {
				count[s.Phase]++
			}
		}
		i := slices.IndexFunc(forth.Back, func(b plan.Back) bool { return b.Family == f })
		if i < 0 {
			continue
		}
		b := forth.Back[i]
		if !b.Rewrites && (count[plan.Switch] != b.Messages || count[plan.Prepare] > 0) {
			t.Fatalf("%s: %+v, and going back has %v after %v", when, b, back.Steps, forth.Steps)
		}
		if b == (plan.Back{Family: f, Messages: 1}) {
			flips++
		}
	}
	return flips
}

// lost takes some of what stands ready away: what came back and does not stay.
func lost(rng *rand.Rand, h, came, after *rpdb.Snapshot) *rpdb.Snapshot {
	out := *h
	out.Rules = slices.DeleteFunc(slices.Clone(h.Rules), func(r rpdb.Rule) bool {
		return slices.Contains(came.Rules, r) && !slices.Contains(after.Rules, r) && !plan.IsScaffold(r) && rng.IntN(3) == 0
	})
	in := func(s *rpdb.Snapshot, r rpdb.Route) bool { return slices.ContainsFunc(s.Routes, r.Equal) }
	out.Routes = slices.DeleteFunc(slices.Clone(h.Routes), func(r rpdb.Route) bool {
		return in(came, r) && !in(after, r) && rng.IntN(3) == 0
	})
	return &out
}
