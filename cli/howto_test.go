package cli

import (
	"context"
	"fmt"
	"os"
	"testing"

	"rpdb"
	"rpdb/apply"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
	"rpdb/policy"
	"rpdb/sandbox"
)

// rehearsedHost is a host of the sandbox with a policy, in a namespace of the
// test's own.
type rehearsedHost struct {
	t     *testing.T
	world *sandbox.World
	conn  *kernel.Conn
	doc   *policy.Document
}

func newRehearsedHost(t *testing.T, file string, rpFilter uint8) *rehearsedHost {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(file, data)
	if err != nil {
		t.Fatal(err)
	}
	spec := trySpec(doc)
	spec.RPFilter = rpFilter
	spec.Host = kerneltest.Namespace(t)
	world, err := sandbox.Build(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { world.Close() })
	conn, err := kernel.Open(kernel.Options{NetNS: world.Host()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rehearsedHost{t: t, world: world, conn: conn, doc: doc}
}

// apply applies the policy and returns how many messages that took.
func (h *rehearsedHost) apply() int {
	h.t.Helper()
	s, err := h.conn.Snapshot(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	desired, err := h.doc.Resolve(s, rpdb.Names{})
	if err != nil {
		h.t.Fatal(err)
	}
	p, err := plan.Diff(s, desired)
	if err != nil {
		h.t.Fatal(err)
	}
	counted := &countingKernel{Conn: h.conn}
	if _, err := apply.Run(h.t.Context(), counted, p, desired, apply.Options{}); err != nil {
		h.t.Fatal(err)
	}
	return counted.sent
}

// countingKernel counts the changes that pass through it.
type countingKernel struct {
	*kernel.Conn
	sent int
}

func (k *countingKernel) Do(ctx context.Context, c rpdb.Change) error {
	k.sent++
	return k.Conn.Do(ctx, c)
}

// expect sends the standard probes: the engine must be right about each, and
// of the required ones just the named uplinks may stay silent.
func (h *rehearsedHost) expect(silent ...string) {
	h.t.Helper()
	run := runner{world: h.world, conn: h.conn}
	results, err := run.send(h.t.Context(), standardProbes(h.world))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range results {
		if !r.Agrees {
			h.t.Errorf("%s (protocol %d): engine said %s, seen %+v", r.Name, r.Probe.Protocol, foretold(r.Predicted), r.Outcome)
		}
		if r.Probe.Direction != sandbox.Inbound {
			continue
		}
		mayBeSilent := false
		for _, uplink := range silent {
			mayBeSilent = mayBeSilent || r.Probe.Uplink == uplink
		}
		if r.Outcome.Answered == mayBeSilent {
			h.t.Errorf("%s (protocol %d): answered is %v", r.Name, r.Probe.Protocol, r.Outcome.Answered)
		}
	}
}

// TestHowto lives the howto through with real packets: the fault, the cure,
// idempotence, and the repair after a link went down and came up.
func TestHowto(t *testing.T) {
	for _, rpFilter := range []uint8{0, 1} {
		for _, uplinks := range []int{2, 3} {
			t.Run(fmt.Sprintf("%d uplinks, rp_filter %d", uplinks, rpFilter), func(t *testing.T) {
				file := map[int]string{2: "../examples/two-uplinks.yaml", 3: "../examples/three-uplinks.yaml"}[uplinks]
				h := newRehearsedHost(t, file, rpFilter)
				var others []string
				for _, u := range h.doc.Uplinks[1:] {
					others = append(others, u.Name)
				}
				h.expect(others...)
				if n := h.apply(); n == 0 {
					t.Error("apply sent nothing")
				}
				h.expect()
				if n := h.apply(); n != 0 {
					t.Errorf("the second apply sent %d messages", n)
				}
				h.flap(h.doc.Uplinks[1])
			})
		}
	}
}

// flap takes an uplink down and up again: its routes are gone, and apply
// repairs just those.
func (h *rehearsedHost) flap(u policy.Uplink) {
	h.t.Helper()
	if err := h.world.LinkDown(u.Interface); err != nil {
		h.t.Fatal(err)
	}
	if err := h.world.LinkUp(h.t.Context(), u.Interface); err != nil {
		h.t.Fatal(err)
	}
	h.expect(u.Name)
	if n := h.apply(); n != 4 { // connected and default route of two families
		h.t.Errorf("the repair sent %d messages, want 4", n)
	}
	h.expect()
}

// TestWhatAWaitingUplinkHasIsKept: while the link is down its rules stay, and
// the other uplink works on.
func TestWhatAWaitingUplinkHasIsKept(t *testing.T) {
	h := newRehearsedHost(t, "../examples/two-uplinks.yaml", 0)
	h.apply()
	before, err := h.conn.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.world.LinkDown("eth1"); err != nil {
		t.Fatal(err)
	}
	if n := h.apply(); n != 0 {
		t.Errorf("apply sent %d messages while the uplink waits", n)
	}
	after, err := h.conn.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Rules) != len(before.Rules) {
		t.Errorf("%d rules, before %d", len(after.Rules), len(before.Rules))
	}
}
