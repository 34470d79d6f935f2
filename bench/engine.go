package main

import (
	"fmt"
	"runtime"
	"time"

	"rpdb"
	"rpdb/fib"
)

func engineRows() []row {
	return []row{
		{"engine-flat", "decisions among 100,000 rules, against 100", (*env).engineFlat},
		{"engine-rule", "one rule more among 100,000 rules and a full table", (*env).engineRule},
		{"engine-compile", "compile 100,000 rules and a full table", (*env).engineCompile},
	}
}

func (e *env) engineFlat() []Line {
	many, few := e.size(100_000), e.size(100)
	what := fmt.Sprintf("one decision, %s rules of 1 mask shape against %s", count(many), count(few))
	table, err := e.table(rpdb.IPv4)
	if err != nil {
		return fail(what, err)
	}
	k := kinds()[0]
	var all []contestant
	for _, n := range []int{many, few} {
		engine, flows := fib.Compile(hostOf(k, n, table)), k.flows(flowCount, n, table)
		for _, f := range flows {
			if d := engine.Lookup(f); d.Disposition != rpdb.Sent {
				return fail(what, fmt.Errorf("%+v is not sent: %+v", f, d))
			}
		}
		all = append(all, contestant{name: count(n) + " rules", turn: func() (float64, error) { return perLookup(engine, flows), nil }})
	}
	series, err := e.contest(Seconds, e.rounds, all...)
	if err != nil {
		return fail(what, err)
	}
	return versus(what, Bar{kind: share, limit: 4}, series)
}

// ruleBurst is how many rules are added for one figure, each to the same version.
const ruleBurst = 100

func (e *env) engineRule() []Line {
	n := e.size(100_000)
	table, err := e.table(rpdb.IPv4)
	what := fmt.Sprintf("one rule added to an engine of %s rules and %s routes", count(n), count(len(table)))
	if err != nil {
		return fail(what, err)
	}
	k := kinds()[1]
	engine := fib.Compile(hostOf(k, n, table))
	added := k.make(n / 2)
	series, err := e.contest(Seconds, e.rounds, contestant{name: "fib.WithRule", turn: func() (float64, error) {
		start := time.Now()
		for range ruleBurst {
			engine.WithRule(added)
		}
		return time.Since(start).Seconds() / ruleBurst, nil
	}})
	if err != nil {
		return fail(what, err)
	}
	if without, ok := engine.WithRule(added).WithoutRule(added); !ok || without == nil {
		return fail(what, fmt.Errorf("the rule that was added is not there"))
	}
	return versus(what, Bar{kind: atMost, limit: 1e-3}, series)
}

func (e *env) engineCompile() []Line {
	n := e.size(100_000)
	table, err := e.table(rpdb.IPv4)
	if err != nil {
		return fail("compile", err)
	}
	what := fmt.Sprintf("compile %s rules and %s routes", count(n), count(len(table)))
	k := kinds()[1]
	s := hostOf(k, n, table)
	series, err := e.contest(Seconds, e.rounds, contestant{name: "fib.Compile", turn: func() (float64, error) {
		start := time.Now()
		f := fib.Compile(s)
		took := time.Since(start).Seconds()
		runtime.KeepAlive(f)
		return took, nil
	}})
	if err != nil {
		return fail(what, err)
	}
	lines := versus(what, Bar{kind: atMost, limit: 1.5}, series)
	base := footprint(hostOf(k, 0, nil))
	size := func(what string, of *rpdb.Snapshot, objects int) Line {
		each := (footprint(of) - base) / float64(objects)
		return Line{What: what, Ours: Series{Name: "fib.FIB", Unit: Bytes, Values: []float64{each}}}
	}
	return append(lines,
		size("memory of a compiled rule", hostOf(k, n, nil), n),
		size("memory of a compiled route", hostOf(k, 0, table), len(table)))
}

// footprint returns how much memory a compiled snapshot holds.
func footprint(s *rpdb.Snapshot) float64 {
	before := heap()
	f := fib.Compile(s)
	after := heap()
	runtime.KeepAlive(f)
	runtime.KeepAlive(s)
	return after - before
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
