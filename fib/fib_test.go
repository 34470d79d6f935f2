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
	for range 20 {
		f := fib.Compile(g.Snapshot())
		for _, family := range rpdb.Families() {
			for range 50 {
				flow := g.Flow(family)
				for _, call := range []rpdb.SocketCall{rpdb.RouteGet, rpdb.SendTo, rpdb.Connect} {
					flow.Socket = call
					if n := testing.AllocsPerRun(1, func() { f.Lookup(flow) }); n != 0 {
						t.Fatalf("%v allocations for %+v", n, flow)
					}
				}
			}
		}
	}
}
