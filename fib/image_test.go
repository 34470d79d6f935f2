package fib

import (
	"testing"

	"rpdb"
	"rpdb/internal/corpus"
)

// What a rule wants in few words says the same as its selectors one by one, and a flow
// that fits has the hash of the rule.
func TestFitAgainstSelectors(t *testing.T) {
	t.Parallel()
	short, yes, no := 0, 0, 0
	for seed := range uint64(100) {
		g := corpus.New(seed)
		f := Compile(g.Snapshot())
		for _, family := range rpdb.Families() {
			for _, r := range f.ruleset(family).rules.flat() {
				if !r.fit.all {
					continue
				}
				short++
				for range 10 {
					flow, _, _ := g.Aimed(family, []rpdb.Rule{r.Rule})
					k := f.plainKey(flow)
					if r.v6 && !k.hasSrc {
						continue // which only the selectors are asked about
					}
					im := newImage(&k)
					if fits, word := r.fit.fits(&im), r.mismatch(&k); fits != (word == "") {
						t.Fatalf("seed %d: %+v of %+v: fits %v, selectors %q", seed, flow, r.Rule, fits, word)
					} else if !fits {
						no++
						continue
					}
					yes++
					d, own := r.kindOf()
					p, of := d.parts(r.v6), newImage(&own)
					if p.hash(&im) != p.hash(&of) {
						t.Fatalf("seed %d: %+v fits %+v and has another hash", seed, flow, r.Rule)
					}
				}
			}
		}
	}
	if short < 200 || yes < 200 || no < 200 {
		t.Errorf("%d rules, %d flows that fit and %d that do not say little", short, yes, no)
	}
}
