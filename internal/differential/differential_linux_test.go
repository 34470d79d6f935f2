package differential

import (
	"context"
	"encoding/json"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
	"rpdb/kernel/kerneltest"
)

var (
	budget    = flag.Duration("budget", 4*time.Second, "how long each family is compared")
	firstSeed = flag.Uint64("seed", 1, "seed of the first world")
	worlds    = flag.Uint64("worlds", math.MaxUint64, "how many worlds at most")
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

// flowsPerWorld is large, since building a world costs as much as thousands of
// lookups.
const flowsPerWorld = 3000

func TestIPv4AgainstKernel(t *testing.T) { compare(t, rpdb.IPv4) }

func TestIPv6AgainstKernel(t *testing.T) { compare(t, rpdb.IPv6) }

// tally counts what was compared, so that a run which compared nothing much
// does not pass.
type tally struct {
	flows, worlds, known, sent, local, refused, errors, torn int
}

func compare(t *testing.T, family rpdb.Family) {
	var n tally
	deadline := time.Now().Add(*budget)
	for seed := *firstSeed; time.Now().Before(deadline) && seed-*firstSeed < *worlds; seed++ {
		n.worlds++
		t.Run("", func(t *testing.T) { compareWorld(t, family, seed, &n) })
		if t.Failed() {
			break
		}
	}
	t.Logf("%+v", n)
	if n.known < n.flows*8/10 {
		t.Errorf("only %d of %d decisions were known", n.known, n.flows)
	}
}

// compareWorld puts flows to the kernel and to the engine, until the first few
// do not agree.
func compareWorld(t *testing.T, family rpdb.Family, seed uint64, n *tally) {
	g := corpus.New(seed)
	w := build(t, g.Snapshot())
	s := w.snapshot()
	if torn(s) {
		n.torn++
		return
	}
	f := fib.Compile(s)
	bad := 0
	for range flowsPerWorld {
		flow := g.Flow(family)
		if beyondKernel(s, flow) {
			continue
		}
		got := f.Lookup(flow)
		want, err := w.kernel.RouteGet(context.Background(), flow)
		if err != nil {
			n.errors++
			continue
		}
		if flow.Src.IsValid() {
			want.Src = flow.Src // IPv6 names the source it would have chosen
		}
		n.count(got)
		if got.Agrees(want) {
			continue
		}
		if bad++; bad == 1 {
			t.Errorf("seed %d, %v", seed, s.Kernel)
			t.Log("\n" + strings.Join(w.lines, "\n"))
			t.Logf("rules and routes:\n%s", dump(s, family))
		}
		t.Logf("flow     %s\n  engine %s\n  kernel %s\n  trace %s", js(flow), js(got), js(want), steps(f.Trace(flow)))
		if bad == 3 {
			return
		}
	}
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

func js(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func dump(s *rpdb.Snapshot, f rpdb.Family) string {
	var b strings.Builder
	for _, r := range s.RulesOf(f) {
		b.WriteString(js(r) + "\n")
	}
	for _, r := range s.Routes {
		if r.Family == f {
			b.WriteString(js(r) + "\n")
		}
	}
	b.WriteString(js(s.Addresses) + "\n" + js(s.Neighbours) + "\n" + js(s.Sysctls) + "\n")
	return b.String()
}

func steps(tr fib.Trace) string {
	var b strings.Builder
	for _, l := range tr.Lookups {
		b.WriteString("\n    " + string(l.Purpose) + " " + js(l.Flow))
		for _, s := range l.Steps {
			b.WriteString("\n      " + s.Rule.String() + ": " + s.Detail.String())
		}
	}
	return b.String()
}
