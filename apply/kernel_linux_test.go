package apply_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"rpdb"
	"rpdb/apply"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
)

// TestEveryPolicyCanBecomeEveryOther on a kernel that refuses and deletes as
// Linux does: by less than the whole rule. Gotos, inverted and pinned rules
// and empty selectors change into each other.
func TestEveryPolicyCanBecomeEveryOther(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	k := kerneltest.NewMemory()
	for round := range 400 {
		d := randomRules(rng)
		for again := range 2 {
			s, err := k.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p, err := plan.Diff(s, d)
			if err != nil {
				t.Fatal(err)
			}
			if again == 1 && !p.Empty() {
				t.Fatalf("round %d: applied, and still %v is needed", round, p.Steps[0].Change)
			}
			if _, err := apply.Run(t.Context(), k, p, d, apply.Options{}); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	}
}

// randomRules is a policy of few words, so that most of its rules resemble
// each other.
func randomRules(rng *rand.Rand) rpdb.Desired {
	var d rpdb.Desired
	for _, f := range rpdb.Families() {
		n := 1 + rng.IntN(7)
		for i := range n {
			r := rpdb.Rule{Family: f, Action: rpdb.ToTable(rpdb.TableID(1 + rng.IntN(2))), Protocol: rpdb.ProtocolRPDB}
			r.Selector.IIF = "lan0"
			if rng.IntN(2) == 0 {
				r.Selector.From = netip.MustParsePrefix(map[rpdb.Family]string{rpdb.IPv4: "10.0.0.0/8", rpdb.IPv6: "2001:db8::/32"}[f])
			}
			r.Selector.Not = rng.IntN(3) == 0
			w := rpdb.DesiredRule{Rule: r, Name: fmt.Sprintf("rule %d", i)}
			switch {
			case i < n-1 && rng.IntN(3) == 0:
				w.Rule.Action, w.GotoName = rpdb.Goto(0), fmt.Sprintf("rule %d", i+1+rng.IntN(n-1-i))
			case i == n-1 && rng.IntN(2) == 0:
				w.Rule.Priority, w.Pinned = 30000, true
			}
			d.Rules = append(d.Rules, w)
		}
	}
	return d
}
