package differential

import (
	"flag"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

var traced = flag.Int("traced", 4000, "of how many decisions the way through the tables is compared")

// tracedPerWorld is how many are of one world.
const tracedPerWorld = 500

// TestTablesVisited compares the tables that the kernel looks at for a flow, in
// order, with the steps that the engine tells.
func TestTablesVisited(t *testing.T) {
	c := &tracing{tracer: newTracer(t)}
	for seed := *firstSeed; c.asked < *traced; seed++ {
		ok := t.Run("", func(t *testing.T) { c.world(t, seed) })
		if !ok {
			break
		}
	}
	t.Logf("%d decisions in %d worlds (%d torn), %d tables looked at, %d flows that cannot be foreseen, %d events ignored, %d asked again",
		c.asked, c.worlds, c.torn, c.visits, c.open, c.tracer.ignored, c.again)
	if c.asked >= 4000 && c.visits < c.asked {
		t.Errorf("%d tables were looked at for %d decisions", c.visits, c.asked)
	}
}

// tracing is a comparison of ways.
type tracing struct {
	tracer                                   *tracer
	worlds, torn, asked, visits, open, again int
}

// world compares the ways of the flows of one world.
func (c *tracing) world(t *testing.T, seed uint64) {
	g := corpus.New(seed)
	plan := g.Snapshot()
	w := build(t, plan)
	s := w.snapshot()
	if torn(s) {
		c.torn++
		return
	}
	c.worlds++
	var flows []rpdb.Flow
	for range tracedPerWorld / 4 {
		for _, f := range rpdb.Families() {
			aimed, _, _ := g.Aimed(f, plan.Rules)
			flows = append(flows, g.Flow(f), aimed)
		}
	}
	wrong := c.compare(t, w, s, flows)
	if wrong == nil {
		return
	}
	if !reflect.DeepEqual(w.snapshot(), s) {
		c.torn++
		return
	}
	disagree := func(s *rpdb.Snapshot, f rpdb.Flow) (differs bool) {
		t.Run("", func(t *testing.T) {
			w := build(t, s)
			now := w.snapshot()
			differs = !torn(now) && c.compare(t, w, now, []rpdb.Flow{f}) != nil
		})
		return differs
	}
	small, flow := shrink(plan, wrong.flow, disagree)
	w = build(t, small)
	if last := c.compare(t, w, w.snapshot(), []rpdb.Flow{flow}); last != nil {
		wrong = last
	}
	t.Errorf("seed %d: the kernel takes another way\nunshare -n sh -e <<'END'\n%s\n%s\nEND\n%v",
		seed, strings.Join(w.lines, "\n"), question(wrong.flow), wrong)
}

// otherWay is a flow for which the kernel looks at other tables.
type otherWay struct {
	flow  rpdb.Flow
	steps []expected
	went  []visit
	trace fib.Trace
}

func (o *otherWay) String() string {
	return fmt.Sprintf("engine %v\nkernel %v\ntrace  %s\n%s", o.steps, o.went, js(o.trace.Decision), steps(o.trace))
}

// compare returns the first flow for which the kernel looks at other tables than
// the engine. Whatever comes in between while the machine is busy does not come
// every time: a flow counts when it has gone wrong several times.
func (c *tracing) compare(t *testing.T, w *world, s *rpdb.Snapshot, flows []rpdb.Flow) (wrong *otherWay) {
	t.Helper()
	onThread(t, func() error {
		if err := c.tracer.hear(); err != nil {
			return err
		}
		f := fib.Compile(s)
		for _, flow := range flows {
			if beyondKernel(s, flow) {
				continue
			}
			o, err := c.ask(w, s, f, flow)
			if err != nil || o != nil {
				wrong = o
				return err
			}
		}
		return nil
	})
	return wrong
}

// tries is how often a flow must go wrong.
const tries = 8

// ask compares one flow.
func (c *tracing) ask(w *world, s *rpdb.Snapshot, f *fib.FIB, flow rpdb.Flow) (wrong *otherWay, err error) {
	trace := f.Trace(flow)
	want, foreseen := way(s, trace)
	if !foreseen || flow.Src == flow.Dst && !flow.IsInput() { // that a source is of this host, IPv4 may ask table local
		c.open++
		return nil, nil
	}
	for try := range tries {
		if _, _, err := c.tracer.visits(); err != nil {
			return nil, err
		}
		if _, err := w.kernel.RouteGet(w.t.Context(), flow); err != nil {
			return nil, nil // a question that the kernel does not take
		}
		about := []netip.Addr{flow.Dst}
		if flow.IsInput() {
			about = append(about, flow.Src)
		}
		went, lost, err := c.tracer.visits(about...)
		if err != nil {
			return nil, err
		}
		went = withoutHint(s, flow, went)
		if !lost && goes(want, went) {
			c.asked++
			c.visits += len(went)
			c.again += try
			return nil, nil
		}
		wrong = &otherWay{flow, want, went, trace}
		if lost {
			wrong = nil
		}
	}
	return wrong, nil
}

// expected is a table that the engine says is looked at, and what comes of it.
type expected struct {
	table rpdb.TableID
	// maybe: whether a table without routes is there at all, no dump shows.
	maybe   bool
	outcome outcome
}

// outcome is what an event says of it.
type outcome uint8

const (
	none   outcome = iota // no route, or throw
	found                 // one that may be taken
	denies                // one that says no
)

func (e expected) String() string {
	text := fmt.Sprintf("%d %s", e.table, [...]string{"none", "found", "error"}[e.outcome])
	if e.maybe {
		text += " (maybe)"
	}
	return text
}

// way returns the tables that a trace says are looked at; ok is false if that
// cannot be known.
func way(s *rpdb.Snapshot, trace fib.Trace) (list []expected, ok bool) {
	if trace.Decision.Disposition == rpdb.DispositionUnknown || len(trace.Lookups) > 2 && trace.Flow.IsInput() {
		return nil, false // the latter: a way back for each of several ways on
	}
	merged := trace.Flow.Dst.Is4() && s.Custom4 == rpdb.CustomisedNo
	for _, l := range trace.Lookups {
		var tables []expected
		for _, step := range l.Steps() {
			e := expected{}
			switch d := step.Detail.(type) {
			case fib.Miss:
				e = expected{table: d.Table}
			case fib.NoTable:
				e = expected{table: d.Table, maybe: true}
			case fib.Throw:
				e = expected{table: d.Table}
			case fib.Suppressed:
				e = expected{table: d.Table, outcome: found}
			case fib.Chosen:
				e = expected{table: d.Table, outcome: found}
			case fib.Denied:
				e = expected{table: d.Table, outcome: denies}
			case fib.Unknown:
				return nil, false
			}
			if e.table != 0 {
				tables = append(tables, e)
			}
		}
		if merged {
			tables = asOne(tables)
		}
		list = append(list, tables...)
	}
	return list, true
}

// asOne joins IPv4's local and main tables, which are one until the rules are
// changed for the first time: then main is looked at alone.
func asOne(tables []expected) []expected {
	local := func(e expected) bool { return e.table == rpdb.TableLocal }
	main := func(e expected) bool { return e.table == rpdb.TableMain }
	if i := slices.IndexFunc(tables, local); i >= 0 {
		if slices.ContainsFunc(tables, main) {
			return slices.Delete(tables, i, i+1)
		}
		tables[i].table = rpdb.TableMain
	}
	return tables
}

// withoutHint leaves out a lookup that decides nothing: when the way back to a source
// leads out by another interface than the packet came in by, IPv4 asks once more,
// bound to that one, to learn whether the source is next to it.
func withoutHint(s *rpdb.Snapshot, f rpdb.Flow, went []visit) []visit {
	l, _ := s.LinkByName(f.IIF)
	return slices.DeleteFunc(went, func(v visit) bool { return f.IsInput() && f.Dst.Is4() && v.oif == l.Index && v.dst == f.Src })
}

// goes reports whether the kernel went the way.
func goes(want []expected, went []visit) bool {
	if len(want) == 0 {
		return len(went) == 0
	}
	if len(went) > 0 && want[0].table == went[0].table && cameOf(went[0], want[0].outcome) && goes(want[1:], went[1:]) {
		return true
	}
	return want[0].maybe && goes(want[1:], went)
}

// cameOf reports whether an event may tell the outcome. An IPv6 table without a
// route answers with its null entry, which looks like an unreachable route.
func cameOf(v visit, o outcome) bool {
	switch {
	case v.errno == 0:
		return o == found
	case v.errno == -int(unix.EAGAIN):
		return o == none
	case v.dst.Is6() && v.errno == -int(unix.EHOSTUNREACH):
		return o != found
	}
	return o == denies
}

// A way is not gone if a table is missing, is another, comes too early or too often,
// or has another answer.
func TestGoes(t *testing.T) {
	want := []expected{{table: 255}, {table: 100, maybe: true}, {table: 254, outcome: found}}
	local, hundred, main := visit{table: 255, errno: -11}, visit{table: 100, errno: -11}, visit{table: 254}
	for _, went := range [][]visit{{local, main}, {local, hundred, main}} {
		if !goes(want, went) {
			t.Errorf("%v is not the way", went)
		}
	}
	for _, went := range [][]visit{
		{},
		{local},
		{main},
		{main, local},
		{local, main, main},
		{local, local, main},
		{hundred, local, main},
		{local, {table: 7, errno: -11}, main},
		{{table: 255}, main},
		{local, {table: 254, errno: -11}},
		{local, {table: 254, errno: -101}},
	} {
		if goes(want, went) {
			t.Errorf("%v is the way", went)
		}
	}
	if joined := asOne([]expected{{table: 255}, {table: 254, outcome: found}, {table: 253}}); len(joined) != 2 || joined[0].table != 254 || joined[0].outcome != found {
		t.Errorf("joined %v", joined)
	}
}
