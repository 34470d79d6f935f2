package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"rpdb"
	"rpdb/plan"
)

// fewChanges returns a policy of which a few routes are gone or lead elsewhere.
func fewChanges(rng *rand.Rand, d rpdb.Desired) rpdb.Desired {
	d.Routes = slices.Clone(d.Routes)
	for range 1 + rng.IntN(3) {
		if len(d.Routes) == 0 {
			return d
		}
		i := rng.IntN(len(d.Routes))
		if rng.IntN(2) == 0 {
			d.Routes = slices.Delete(d.Routes, i, i+1)
			continue
		}
		old := d.Routes[i].Route
		d.Routes[i].Route = route(old.Dst.String(), "", rpdb.LinkIndex(3+rng.IntN(4)))
		d.Routes[i].Route.Table = old.Table
	}
	return d
}

// somePinned returns a policy some of whose rules have places of their own, in
// front of our range or behind it.
func somePinned(rng *rand.Rand, d rpdb.Desired) rpdb.Desired {
	d.Rules = slices.Clone(d.Rules)
	for i := range d.Rules {
		w := &d.Rules[i]
		if rng.IntN(6) == 0 && w.GotoName == "" {
			w.Pinned, w.Name = true, fmt.Sprint("pinned ", i)
			w.Rule.Priority = []rpdb.Priority{400, 30000}[rng.IntN(2)] + rpdb.Priority(i)
		}
	}
	return d
}

// TestPlansSayWhatPacketsSee: where a plan says nothing of a mix, no packet has
// a fate that is neither the old nor the new one, also if little changes, rules
// are pinned, and routes are only added.
func TestPlansSayWhatPacketsSee(t *testing.T) {
	t.Parallel()
	checked, flows := 0, packets()
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 4))
		s, d := host(), randomGeneration(rng)
		for round := range 25 {
			d = fewChanges(rng, d)
			if round%2 == 0 {
				d = randomGeneration(rng)
			}
			wanted := somePinned(rng, d)
			p, err := plan.Diff(s, wanted)
			if err != nil {
				continue // a goto to a pinned rule in front of it
			}
			after := carryOut(t, s, p, false)
			if again := mustDiff(t, after, wanted); !again.Empty() {
				t.Fatalf("seed %d, round %d: a second plan has %v", seed, round, again.Steps)
			}
			if len(p.Transient) == 0 && !p.Empty() {
				was, will := fates(s, flows), fates(after, flows)
				for n, step := range p.Steps {
					now := carryOut(t, s, plan.Plan{Steps: p.Steps[:n+1]}, false)
					checkBetween(t, flows, nil, was, will, fates(now, flows), fmt.Sprintf("seed %d, round %d, after %v (%s)", seed, round, step.Change, step.Phase))
				}
				checked++
			}
			s = after
		}
	}
	if checked < 100 {
		t.Errorf("%d plans without a mix", checked)
	}
}
