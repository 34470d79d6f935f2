package differential

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

var (
	stateful = flag.Int("steps", 2000, "how many changes a follower is put through")
	patience = flag.Duration("patience", 30*time.Second, "how long a follower may differ from the kernel: a change of carrier becomes an event up to a second later")
	makeLess = flag.Bool("shrink", true, "look for the fewest changes after which a follower is wrong")
)

const (
	stepsPerHost = 150 // changes of one namespace
	stepsPerLook = 6   // on average
	flowsPerLook = 40  // of each family
	// haste is how long a follower may differ from the kernel while the fewest
	// changes are looked for.
	haste = 500 * time.Millisecond
)

// TestFollower puts a namespace through random changes. Every few of them, what a
// follower made of the events must be what a fresh reading says, and the engine
// with it must decide as the kernel decides.
func TestFollower(t *testing.T) {
	var all statefulTally
	began := time.Now()
	for seed := *firstSeed; all.changes < *stateful; seed++ {
		failed := !t.Run("", func(t *testing.T) {
			lines, fault := statefulRun(t, seed, &all)
			if fault != nil {
				t.Errorf("seed %d: %s\n%s", seed, fault.text, tellSteps(t, lines, fault))
			}
		})
		if failed {
			break
		}
		all.hosts++
	}
	t.Log(all.String(), time.Since(began).Round(time.Second))
	if all.changes >= 2000 && (all.accepted < all.changes/3 || all.flows < all.looks) {
		t.Errorf("nothing much was tried: %v", &all)
	}
	if all.changes >= 2000 && all.stats.Events < all.lists {
		t.Errorf("%d lists were read for %d events: what is followed is not the events", all.lists, all.stats.Events)
	}
}

// statefulTally counts what was tried.
type statefulTally struct {
	hosts, changes, accepted, looks, flows int
	lists                                  uint64 // read because of events
	stats                                  kernel.FollowStats
}

func (n *statefulTally) String() string {
	return fmt.Sprintf("%d hosts, %d changes, %d accepted, %d looks, %d decisions; %d events, for which %d lists were read, %d overflows",
		n.hosts, n.changes, n.accepted, n.looks, n.flows, n.stats.Events, n.lists, n.stats.Overflows)
}

// statefulRun makes the changes of one seed. If the follower is found wrong it
// says how, and returns the changes until then.
func statefulRun(t *testing.T, seed uint64, n *statefulTally) (lines []string, fault *fault) {
	s := newScript(corpus.New(seed))
	s.begin()
	h := newHost(t, n)
	h.flows = s.flows
	defer h.close()
	for changes := 0; ; {
		for _, line := range s.lines {
			lines = append(lines, line)
			if line != look {
				n.changes++
				changes++
			} else if fault = h.check(*patience); fault != nil {
				return lines, fault
			}
			h.run(line)
		}
		if changes >= stepsPerHost || n.changes >= *stateful {
			break
		}
		s.lines = nil
		s.step()
		if s.chance(stepsPerLook) {
			s.add(look)
		}
	}
	return lines, h.check(*patience)
}

// fault is something that a follower has wrong, and the flow about which the
// engine is wrong for it, if it is that.
type fault struct {
	text  string
	flows []rpdb.Flow
}

// kind is what it is about.
func (f *fault) kind() string {
	kind, _, _ := strings.Cut(f.text, ":")
	return kind
}

// host is a namespace and its follower.
type host struct {
	t        *testing.T
	kernel   *kerneltest.Kernel
	follower *kernel.Follower
	seen     *rpdb.Snapshot
	marks    rpdb.Priority
	flows    func() []rpdb.Flow
	n        *statefulTally
}

func newHost(t *testing.T, n *statefulTally) *host {
	t.Helper()
	k := kerneltest.Real(t)
	f, err := k.Follow(t.Context())
	must(t, err)
	return &host{t: t, kernel: k, follower: f, n: n, flows: func() []rpdb.Flow { return nil }}
}

func (h *host) close() {
	st := h.follower.Stats()
	h.n.stats.Events += st.Events
	h.n.stats.Readings += st.Readings
	h.n.stats.Overflows += st.Overflows
	h.follower.Close()
}

// quick answers the questions of a script about interfaces without reading
// anything else.
type quick struct{ *kerneltest.Kernel }

func (q quick) Snapshot(ctx context.Context) (*rpdb.Snapshot, error) {
	links, err := q.Links(ctx)
	return &rpdb.Snapshot{Links: links}, err
}

// run makes one change; the kernel may refuse it.
func (h *host) run(line string) {
	ctx := context.Background()
	if line == look {
		return
	}
	var err error
	if strings.Contains(line, " flush") || strings.Contains(line, "nexthop replace") {
		err = h.kernel.NetNS().Do(func() error { return exec.Command("ip", strings.Fields(line)[1:]...).Run() })
	} else {
		err = kerneltest.Script(ctx, quick{h.kernel}, line)
	}
	if err == nil {
		h.n.accepted++
		return
	}
	var refused *kernel.OpError
	var exit *exec.ExitError
	switch {
	case errors.As(err, &refused), errors.As(err, &exit), strings.Contains(err.Error(), "annot find device"):
	case errors.Is(err, exec.ErrNotFound): // no ip here, so nothing is flushed
	default:
		h.t.Fatal(err)
	}
}

// mark makes a change that everything before has come before, and waits until the
// follower has it.
func (h *host) mark() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	h.marks++
	r := rpdb.Rule{Family: rpdb.IPv4, Priority: 20000 + h.marks%7, Action: rpdb.Nop(), Protocol: rpdb.Protocol(100 + h.marks%50)}
	must(h.t, h.kernel.Do(ctx, rpdb.RuleChange(rpdb.Add, r)))
	for h.seen == nil || !slices.Contains(h.seen.Rules, r) {
		s, err := h.follower.Next(ctx, h.seen)
		must(h.t, err)
		h.seen = s
	}
	must(h.t, h.kernel.Do(ctx, rpdb.RuleChange(rpdb.Delete, r)))
	for slices.Contains(h.seen.Rules, r) {
		s, err := h.follower.Next(ctx, h.seen)
		must(h.t, err)
		h.seen = s
	}
}

// check compares what the follower knows with a fresh reading, first by events
// alone, then with what it reads besides, and puts flows to the engine and the
// kernel. It says what is wrong.
func (h *host) check(patience time.Duration) *fault {
	h.t.Helper()
	h.n.looks++
	before := h.follower.Stats().Readings
	h.mark()
	events := func(ctx context.Context) (*rpdb.Snapshot, error) { return h.follower.Next(ctx, nil) }
	if d := h.same(h.seen, true, patience, events); d != "" {
		return &fault{text: "by its events the follower is wrong about " + d}
	}
	h.n.lists += h.follower.Stats().Readings - before
	s, err := h.follower.Refresh(h.t.Context())
	must(h.t, err)
	if d := h.same(s, false, patience, h.follower.Refresh); d != "" {
		return &fault{text: "after a refresh the follower is wrong about " + d}
	}
	return h.decide(h.flows(), patience)
}

// decide puts flows to the engine and to the kernel until they agree or have had
// their time: a carrier may have come or gone in between.
func (h *host) decide(flows []rpdb.Flow, patience time.Duration) *fault {
	h.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		s, err := h.follower.Refresh(h.t.Context())
		must(h.t, err)
		found := h.decisions(s, flows)
		if found == nil || time.Now().After(end) {
			return found
		}
		flows = found.flows
	}
}

// same compares a snapshot with fresh readings until both are the same, or nothing
// has happened for so long that they will not be. It says what differs.
func (h *host) same(s *rpdb.Snapshot, told bool, patience time.Duration, again func(context.Context) (*rpdb.Snapshot, error)) string {
	h.t.Helper()
	for end := time.Now().Add(patience); ; {
		fresh, err := h.kernel.Snapshot(h.t.Context())
		must(h.t, err)
		d := differsFrom(s, fresh, told)
		if d == "" {
			h.seen = s
			return ""
		}
		if time.Now().After(end) {
			return d
		}
		time.Sleep(10 * time.Millisecond)
		s, err = again(h.t.Context())
		must(h.t, err)
	}
}

// decisions puts flows to the engine and to the kernel, and returns the first about
// which they do not agree.
func (h *host) decisions(s *rpdb.Snapshot, flows []rpdb.Flow) (found *fault) {
	h.t.Helper()
	if torn(s) {
		return nil
	}
	f := fib.Compile(sinceBirth(s))
	flows = slices.DeleteFunc(flows, func(flow rpdb.Flow) bool { return beyondKernel(s, flow) })
	err := h.kernel.RouteGets(h.t.Context(), flows, false, func(i int, want rpdb.Decision, err error) error {
		if err != nil {
			return nil
		}
		h.n.flows++
		got := f.Lookup(flows[i])
		if found == nil && !hangsOnPast(s, flows[i], got) && !agree(flows[i], got, want, false) {
			found = &fault{
				text: fmt.Sprintf("the engine with it and the kernel do not agree: %s\nengine %s\nkernel %s\ntrace  %s",
					question(flows[i]), js(got), js(want), steps(f.Trace(flows[i]))),
				flows: flows[i : i+1],
			}
		}
		return nil
	})
	must(h.t, err)
	return found
}

// hangsOnPast reports whether a decision hangs on what no dump shows. How often each
// member of a route is taken is reckoned when a carrier comes or goes, not when
// ignore_routes_with_linkdown changes; with a source, IPv4 prefers members by the
// source that each had when it was looked at last; and whether several default routes
// of table local take turns depends on when they were added (6.18, fib_trie_unmerge).
func hangsOnPast(s *rpdb.Snapshot, f rpdb.Flow, got rpdb.Decision) bool {
	noCarrier := func(n rpdb.Nexthop) bool { return n.Flags&rpdb.NexthopLinkdown != 0 }
	routes := 0
	for _, r := range s.Table(f.Family(), got.Table) {
		if r.Dst != got.Prefix {
			continue
		}
		if routes++; len(r.Nexthops) > 1 && (f.Dst.Is4() && f.Src.IsValid() && !f.IsInput() || slices.ContainsFunc(r.Nexthops, noCarrier)) {
			return true
		}
	}
	return routes > 1 && f.Dst.Is4() && got.Table == rpdb.TableLocal && got.Prefix.Bits() == 0
}

// sinceBirth adds to a snapshot what only somebody knows who has followed the
// namespace from its beginning: that its rules have never been changed.
func sinceBirth(s *rpdb.Snapshot) *rpdb.Snapshot {
	known := *s
	for _, c := range []*rpdb.Customised{&known.Custom4, &known.Custom6} {
		if *c == rpdb.CustomisedUnknown {
			*c = rpdb.CustomisedNo
		}
	}
	return &known
}

// tellSteps leaves out of the changes what is not needed for the follower to be
// wrong, and tells the rest in commands that can be pasted.
func tellSteps(t *testing.T, lines []string, first *fault) string {
	wrong := func(lines []string) (found *fault) {
		t.Run("", func(t *testing.T) {
			h := newHost(t, &statefulTally{})
			defer h.close()
			h.flows = func() []rpdb.Flow { return first.flows }
			for _, line := range lines {
				if line == look {
					h.mark()
				}
				h.run(line)
			}
			found = h.check(haste)
		})
		if found != nil && found.kind() != first.kind() {
			return nil
		}
		return found
	}
	if !*makeLess {
		return strings.Join(lines, "\n")
	}
	if wrong(lines) == nil {
		return "(it was right when it was tried again)\n" + strings.Join(lines, "\n")
	}
	for before := -1; before != len(lines); {
		before = len(lines)
		leaveOut(&lines, func() bool { return wrong(lines) != nil })
	}
	story := fmt.Sprintf("unshare -n sh <<'END'\nip link set lo up\n%s\nEND", strings.Join(lines, "\n"))
	if last := wrong(lines); last != nil {
		story += "\n" + last.text
	}
	return story
}
