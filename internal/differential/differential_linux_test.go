package differential

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
	"rpdb/kernel/kerneltest"
)

var (
	lookups   = flag.Int64("lookups", fullRun, "how many decisions are compared in each family")
	chunk     = flag.Int64("chunk", fullRun, "after how many of them the run is written down")
	firstSeed = flag.Uint64("seed", 1, "seed of the first world; 0: the one after the last in the report")
	workers   = flag.Int("workers", runtime.GOMAXPROCS(0), "how many worlds at a time")
	writeTo   = flag.String("report", "", "the folder with fidelity.csv and fidelity.md, where the run is written down")
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

const (
	// fullRun is how many decisions of each family make a run whose coverage
	// is demanded.
	fullRun = 2_000_000
	// wantedPerCell is how often such a run must have tried each selector,
	// matched and missed, in each family and direction.
	wantedPerCell = 10_000
	// flowsPerWorld is large, since building a world costs as much as
	// thousands of lookups.
	flowsPerWorld = 4000
)

// tally counts what was compared, so that a run which compared nothing much
// does not pass.
type tally struct {
	flows, known, sent, local, refused, prefixes int64 // of a family
	coverage                                     coverage
}

// campaign is a comparison of many worlds, by several workers.
type campaign struct {
	t      *testing.T
	first  uint64 // seed
	wanted int64  // decisions of each family
	began  time.Time
	mu     sync.Mutex
	of     map[rpdb.Family]*tally
	worlds int64
	torn   int64
	kernel string
	next   atomic.Uint64
	failed atomic.Bool
}

// TestAgainstKernel puts random flows in random worlds to the engine and to the
// kernel. The worlds and flows depend on the seeds alone.
func TestAgainstKernel(t *testing.T) {
	kerneltest.Real(t) // or skip
	seed := *firstSeed
	if seed == 0 {
		seed = nextSeed(readRuns(t, *writeTo), fingerprint())
	}
	for done := int64(0); done < *lookups && !t.Failed(); {
		c := &campaign{t: t, first: seed, wanted: min(*chunk, *lookups-done), began: time.Now(), of: map[rpdb.Family]*tally{}}
		for _, f := range rpdb.Families() {
			c.of[f] = &tally{}
		}
		c.run()
		if *writeTo != "" {
			appendRun(t, *writeTo, c.row())
		}
		done += min(c.of[rpdb.IPv4].flows, c.of[rpdb.IPv6].flows)
		seed += c.next.Load()
	}
}

func (c *campaign) run() {
	var wg sync.WaitGroup
	for range *workers {
		wg.Go(func() {
			for c.more() {
				seed := c.first + c.next.Add(1) - 1
				if !c.t.Run("", func(t *testing.T) { c.world(t, seed) }) {
					c.failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	c.report()
}

// more reports whether another world is wanted: a run of full length goes on
// until every selector was tried often enough. That it does so three times as
// long, or that most worlds are torn, makes it void.
func (c *campaign) more() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	enough, most := true, c.wanted
	for f, n := range c.of {
		enough = enough && n.flows >= c.wanted && len(c.missing(f)) == 0
		most = max(most, n.flows)
	}
	return !enough && !c.failed.Load() && most < 3*c.wanted && c.torn < 100+9*c.worlds && !c.late()
}

// late reports whether the time that the tests may take is half over, and
// everything demanded of the run but its length is there. A machine that is
// busy with other things compares less then, and says so.
func (c *campaign) late() bool {
	deadline, ok := c.t.Deadline()
	if !ok || time.Now().Before(c.began.Add(deadline.Sub(c.began)/2)) {
		return false
	}
	for f := range c.of {
		if len(c.missing(f)) > 0 {
			return false
		}
	}
	return true
}

// missing lists what a run of full length has tried too seldom.
func (c *campaign) missing(f rpdb.Family) []string {
	if c.wanted < fullRun {
		return nil
	}
	list, _, _ := c.of[f].coverage.missing(f, wantedPerCell)
	return list
}

// world compares one world.
func (c *campaign) world(t *testing.T, seed uint64) {
	g := corpus.New(seed)
	plan := g.Snapshot()
	w := build(t, plan)
	s := w.snapshot()
	if !w.settled || torn(s) {
		c.tear()
		return
	}
	run := comparison{world: w, plan: plan, snapshot: s, fib: fib.Compile(s), of: map[rpdb.Family]*tally{}}
	for _, f := range rpdb.Families() {
		run.of[f] = &tally{}
		run.family(g, f)
	}
	if run.err != nil {
		t.Errorf("seed %d: %v", seed, run.err)
	}
	if run.found && moved(s, w.snapshot()) {
		c.tear()
		return
	}
	if run.found && !c.failed.Swap(true) { // one is enough, the others tell the same
		t.Errorf("seed %d, %v: engine and kernel do not agree about\n%s\n%s\nalone:\n%s",
			seed, s.Kernel, question(run.flow), run.answers, explain(t, plan, run.flow))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.worlds++
	c.kernel, _, _ = strings.Cut(s.Kernel, "-")
	for f, n := range run.of {
		c.of[f].add(n)
	}
}

// tear counts a world whose state moved while it was looked at.
func (c *campaign) tear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.torn++
}

func (n *tally) add(o *tally) {
	n.flows += o.flows
	n.known += o.known
	n.sent += o.sent
	n.local += o.local
	n.refused += o.refused
	n.prefixes += o.prefixes
	n.coverage.add(&o.coverage)
}

// report prints what was compared, and fails if that was not enough.
func (c *campaign) report() {
	for _, f := range rpdb.Families() {
		n := c.of[f]
		_, least, tried := n.coverage.missing(f, 0)
		c.say("%v: %d lookups in %d worlds (%d torn), %d known, %d sent, %d local, %d refused, %d prefixes; tried least: %s, %d times",
			f, n.flows, c.worlds, c.torn, n.known, n.sent, n.local, n.refused, n.prefixes, least, tried)
		switch missing := c.missing(f); {
		case c.failed.Load(): // and so it was cut short
		case n.known < n.flows*8/10:
			c.t.Errorf("%v: only %d of %d decisions were known", f, n.known, n.flows)
		case len(missing) > 0:
			c.t.Errorf("%v: the run is void, it tried too seldom:\n%s", f, strings.Join(missing, "\n"))
		case n.flows < c.wanted:
			c.say("%v: %d lookups less than wanted, since half of the time for the tests is over", f, c.wanted-n.flows)
		}
	}
	row := c.row()
	c.say("seeds %d to %d, %.0f s, %.0f lookups a second", row.first, row.last, row.seconds, row.perSecond())
}

// row is the campaign as it is written down.
func (c *campaign) row() run {
	r := run{
		generator: fingerprint(), kernel: c.kernel, first: c.first, last: c.first + c.next.Load() - 1,
		worlds: c.worlds, torn: c.torn, mismatches: int64(number(c.failed.Load())),
		seconds: time.Since(c.began).Seconds(), tried: math.MaxInt64,
	}
	for i, f := range rpdb.Families() {
		n := c.of[f]
		r.lookups[i], r.open[i] = n.flows, n.flows-n.known
		if _, least, tried := n.coverage.missing(f, 0); tried < r.tried {
			r.least, r.tried = least, tried
		}
	}
	return r
}

// say tells a person, who may not want to see every world.
func (c *campaign) say(format string, args ...any) {
	if testing.Verbose() {
		c.t.Logf(format, args...)
		return
	}
	fmt.Printf(format+"\n", args...)
}

// comparison is one world, compared.
type comparison struct {
	world    *world
	plan     *rpdb.Snapshot // what was to be built
	snapshot *rpdb.Snapshot // what was
	fib      *fib.FIB
	of       map[rpdb.Family]*tally
	found    bool      // a flow about which they do not agree
	flow     rpdb.Flow // the first of them
	answers  string    // to it
	err      error
}

// family puts flows of one family to the kernel and to the engine.
func (c *comparison) family(g *corpus.Generator, f rpdb.Family) {
	n, rules := c.of[f], c.snapshot.RulesOf(f)
	var said verdicts
	flows := make([]rpdb.Flow, 0, flowsPerWorld)
	for i := range flowsPerWorld {
		flow := g.Flow(f)
		if i%2 == 0 {
			flow = c.aimed(g, f, rules, &said)
		}
		if !beyondKernel(c.snapshot, flow) {
			flows = append(flows, flow)
		}
	}
	compare := func(prefixes bool) func(int, rpdb.Decision, error) error {
		return func(i int, want rpdb.Decision, err error) error {
			if err != nil {
				return nil // a question that the kernel does not take
			}
			got := c.fib.Lookup(flows[i])
			if prefixes {
				n.prefixes++
			} else {
				n.count(got)
				n.coverage.count(&said, decided{c.fib, rules, &flows[i], got})
			}
			if !c.found && !agree(flows[i], got, want, prefixes) {
				c.found, c.flow, c.answers = true, flows[i], "engine "+js(got)+"\nkernel "+js(want)
			}
			return nil
		}
	}
	ask := func(flows []rpdb.Flow, prefixes bool) {
		if err := c.world.kernel.RouteGets(context.Background(), flows, prefixes, compare(prefixes)); err != nil && c.err == nil {
			c.err = err
		}
	}
	ask(flows, false)
	ask(flows[:len(flows)/8], true)
}

// aimed makes a flow for which one selector decides. A few tries find one where
// there is one; if there is none, any flow is good enough.
func (c *comparison) aimed(g *corpus.Generator, f rpdb.Family, rules []rpdb.Rule, said *verdicts) (flow rpdb.Flow) {
	for range 8 {
		var kind corpus.Kind
		var hold bool
		flow, kind, hold = g.Aimed(f, c.plan.Rules)
		var reached coverage
		reached.count(said, decided{c.fib, rules, &flow, c.fib.Lookup(flow)})
		if *reached.at(cell{kind, flow.IsInput(), hold}) > 0 && !beyondKernel(c.snapshot, flow) {
			break
		}
	}
	return flow
}

// agree reports whether the engine's answer allows the kernel's; with prefixes
// the kernel was asked for the route that it found, before it chose a path.
func agree(f rpdb.Flow, got, want rpdb.Decision, prefixes bool) bool {
	if f.Src.IsValid() {
		want.Src = f.Src // IPv6 names the source it would have chosen
	}
	if !prefixes {
		return got.Agrees(want) && sameRealms(got, want)
	}
	if !got.Disposition.Delivered() || !want.Disposition.Delivered() || got.Table == 0 {
		return got.Disposition == rpdb.DispositionUnknown || got.Disposition.Delivered() == want.Disposition.Delivered() || got.Table == 0
	}
	return got.Table == want.Table && got.Prefix == want.Prefix
}

// sameRealms reports whether the realms agree where no route was used. The
// kernel keeps what it made for a nexthop, with the realms of the rule that led
// there first, for all that lead there later.
func sameRealms(got, want rpdb.Decision) bool {
	return got.Disposition != rpdb.Sent || got.Table != 0 || got.Realms == want.Realms
}

// beyondKernel reports whether a route lookup for the flow differs from what
// becomes of a packet: IPv6 checks sources and forwarding only later.
func beyondKernel(s *rpdb.Snapshot, flow rpdb.Flow) bool {
	if !flow.IsInput() || flow.Dst.Is4() {
		return false
	}
	return !s.Sysctls.IPv6Forward || flow.Src.IsLinkLocalUnicast() || flow.Src.IsLoopback() || flow.Src.IsMulticast() ||
		flow.Dst.IsLoopback() || flow.Dst.IsUnspecified()
}

func (n *tally) count(d rpdb.Decision) {
	n.flows++
	if d.Disposition != rpdb.DispositionUnknown && len(d.Either) == 0 {
		n.known++
	}
	switch d.Disposition {
	case rpdb.Sent:
		n.sent++
	case rpdb.Local:
		n.local++
	case rpdb.Refused, rpdb.Martian:
		n.refused++
	}
}
