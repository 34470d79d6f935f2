package fib_test

import (
	"reflect"
	"slices"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
	"rpdb/internal/oracle"
)

// The engine and its slow twin decide alike in random worlds; a decision that
// differs is named with the seed of its world.
func TestEngineAgainstOracle(t *testing.T) {
	t.Parallel()
	first, worlds, flows := uint64(100), uint64(150), 40 // among them is a source that depends on a choice
	if testing.Short() {
		worlds = 50
	}
	for seed := first; seed < first+worlds; seed++ {
		g := corpus.New(seed)
		s := g.Snapshot()
		if seed%10 == 0 {
			neverChanged(s)
		}
		f := fib.Compile(s)
		for i := range flows {
			for _, family := range rpdb.Families() {
				flow := g.Flow(family)
				if i%2 == 0 {
					flow, _, _ = g.Aimed(family, s.Rules)
				}
				flow.Socket = rpdb.SocketCall(g.Number(3))
				got, want := f.Lookup(flow), oracle.Decide(s, flow)
				got.Note = ""
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, %+v\nengine %+v\noracle %+v", seed, flow, got, want)
				}
			}
		}
	}
}

// neverChanged gives a world the rules of a new namespace, of which random ones have
// too few to tell anything.
func neverChanged(s *rpdb.Snapshot) {
	s.Rules = append(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6)...)
	s.Custom4, s.Custom6 = rpdb.CustomisedNo, rpdb.CustomisedNo
}

// Routes that do not concern a flow decide nothing about it.
func TestConcernedRoutesAreEnough(t *testing.T) {
	t.Parallel()
	worlds, flows := 40, 15
	for seed := range uint64(worlds) {
		g := corpus.New(seed)
		s := g.Snapshot()
		f := fib.Compile(s)
		for range flows {
			for _, family := range rpdb.Families() {
				flow := g.Flow(family)
				flow.Socket = rpdb.SocketCall(g.Number(3))
				few := *s
				concern := flow.Concern()
				few.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool { return !concern.Has(r) })
				got, want := fib.Compile(&few).Lookup(flow), f.Lookup(flow)
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, %+v\nwith few routes %+v\nwith all %+v", seed, flow, got, want)
				}
			}
		}
	}
}

// IPv6 packets get the realm of the copy whose program their route carries, and
// no other.
func TestProgramsAgainstOracle(t *testing.T) {
	t.Parallel()
	const worlds, flows = 60, 40
	marked := map[rpdb.Realms]int{}
	for seed := range uint64(worlds) {
		g := corpus.New(seed)
		s := g.Snapshot()
		for i, r := range s.Routes {
			if r.Family != rpdb.IPv6 || i%2 == 0 {
				continue
			}
			hops := slices.Clone(r.Nexthops)
			for j := range hops {
				hops[j] = hops[j].WithCopyProgram(rpdb.TableID(82500 + i%3))
			}
			s.Routes[i].Nexthops = hops
		}
		f := fib.Compile(s)
		for range flows {
			flow := g.Flow(rpdb.IPv6)
			flow.Socket = rpdb.SocketCall(g.Number(3))
			got, want := f.Lookup(flow), oracle.Decide(s, flow)
			got.Note = ""
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, %+v\nengine %+v\noracle %+v", seed, flow, got, want)
			}
			marked[got.Realms]++
		}
	}
	if len(marked) != 4 {
		t.Errorf("packets have the realms %v", marked)
	}
}
