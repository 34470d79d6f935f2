package fib_test

import (
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

// Lookup allocates nothing, whatever the world and the flow.
func TestLookupAllocatesNothing(t *testing.T) {
	g := corpus.New(1)
	for range 30 {
		f := fib.Compile(g.Snapshot())
		var flows []rpdb.Flow
		for range 100 {
			for _, family := range rpdb.Families() {
				flow := g.Flow(family)
				flow.Socket = rpdb.SocketCall(g.Number(3))
				flows = append(flows, flow)
			}
		}
		all := func() {
			for _, flow := range flows {
				f.Lookup(flow)
			}
		}
		if n := testing.AllocsPerRun(1, all); n != 0 {
			t.Fatalf("%v allocations for %d flows", n, len(flows))
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, family := range rpdb.Families() {
		g := corpus.New(3)
		f := fib.Compile(g.Snapshot())
		var flows []rpdb.Flow
		for range 1024 {
			flows = append(flows, g.Flow(family))
		}
		b.Run(family.String(), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f.Lookup(flows[i%len(flows)])
			}
		})
	}
}
