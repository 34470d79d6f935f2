package analysis_test

import (
	"testing"

	"rpdb"
	"rpdb/analysis"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

// TestWalkAgainstEngine asks the engine about random flows in random worlds:
// a rule that Walk says is never asked never decides, and one that is asked
// for bound flows only decides no other.
func TestWalkAgainstEngine(t *testing.T) {
	g := corpus.New(1)
	refuted, tried := 0, 0
	for range 300 {
		s := g.Snapshot()
		s.Custom4, s.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes // so that the list is walked
		engine := fib.Compile(s)
		for _, f := range rpdb.Families() {
			asked := map[rpdb.Priority]analysis.Asked{}
			for _, at := range analysis.Walk(s, f) {
				asked[at.Rule.Priority] = max(asked[at.Rule.Priority], at.Asked)
				if at.Asked != analysis.AskedAlways {
					tried++
				}
			}
			for range 20 {
				flow := g.Flow(f)
				decision := engine.Lookup(flow)
				p, ok := decision.Rule.Get()
				if !ok || decision.Disposition == rpdb.DispositionUnknown {
					continue
				}
				a := asked[p]
				bound := flow.OIF != "" || f == rpdb.IPv6 && !flow.Dst.IsGlobalUnicast()
				if a == analysis.AskedNever || a == analysis.AskedBound && !bound {
					refuted++
					t.Errorf("rule %d decided %+v, though it is asked %d: %+v", p, flow, a, decision)
					for _, r := range s.RulesOf(f) {
						t.Logf("%+v", r)
					}
				}
			}
			if refuted > 3 {
				t.FailNow()
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d rules in the shadow of others: the test says nothing", tried)
	}
}
