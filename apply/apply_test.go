package apply_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rpdb"
	"rpdb/apply"
	"rpdb/plan"
)

// fakeKernel holds rules and routes and can be told to misbehave.
type fakeKernel struct {
	state   rpdb.Snapshot
	sent    []string
	failAt  int                  // refuse the n-th change, from 1
	lie     func(rpdb.Rule) bool // acknowledge the adding of this rule, and do nothing
	onSend  func(n int)
	failing error
	// stuck refuses every change after the first failure.
	stuck bool
	// heeds makes a change that ctx ends underway, and returns the error of ctx.
	heeds bool
}

func (k *fakeKernel) Snapshot(context.Context) (*rpdb.Snapshot, error) {
	s := k.state
	s.Rules, s.Routes = slices.Clone(s.Rules), slices.Clone(s.Routes)
	return &s, nil
}

func (k *fakeKernel) Do(ctx context.Context, c rpdb.Change) error {
	k.sent = append(k.sent, c.String())
	n := len(k.sent)
	if k.onSend != nil {
		k.onSend(n)
	}
	if n == k.failAt || k.stuck && k.failAt > 0 && n > k.failAt {
		return k.failing
	}
	do := k.doRoute
	if c.Rule != nil {
		do = k.doRule
	}
	if err := do(c); err != nil || !k.heeds {
		return err
	}
	return ctx.Err()
}

func (k *fakeKernel) doRule(c rpdb.Change) error {
	i := slices.IndexFunc(k.state.Rules, func(r rpdb.Rule) bool { return r.Canonical() == c.Rule.Canonical() })
	switch {
	case c.Op == rpdb.Add && i >= 0:
		return syscall.EEXIST
	case c.Op == rpdb.Add:
		if k.lie == nil || !k.lie(*c.Rule) {
			k.state.Rules = append(k.state.Rules, *c.Rule)
		}
		return nil
	case i < 0:
		return syscall.ENOENT
	}
	k.state.Rules = slices.Delete(k.state.Rules, i, i+1)
	return nil
}

func (k *fakeKernel) doRoute(c rpdb.Change) error {
	i := slices.IndexFunc(k.state.Routes, func(r rpdb.Route) bool { return r.Key() == c.Route.Key() })
	switch {
	case c.Op == rpdb.Delete && i < 0:
		return syscall.ESRCH
	case c.Op == rpdb.Delete:
		k.state.Routes = slices.Delete(k.state.Routes, i, i+1)
	case i >= 0 && c.Op == rpdb.Add:
		return syscall.EEXIST
	case i >= 0:
		k.state.Routes[i] = *c.Route
	default:
		k.state.Routes = append(k.state.Routes, *c.Route)
	}
	return nil
}

func ruleFrom(prefix string) rpdb.Rule {
	return rpdb.Rule{
		Family: rpdb.IPv4, Selector: rpdb.Selector{From: netip.MustParsePrefix(prefix)},
		Action: rpdb.ToTable(82000), Protocol: rpdb.ProtocolRPDB,
	}
}

// howto is a policy with a route that changes, and two rules of which one is
// new and one goes.
func howto() (*fakeKernel, rpdb.Desired) {
	old, foreign := ruleFrom("10.10.0.9/32"), ruleFrom("10.0.0.0/8")
	old.Priority, foreign.Priority, foreign.Protocol = 10010, 50, rpdb.ProtocolStatic
	route := rpdb.Route{
		Family: rpdb.IPv4, Table: 82000, Dst: netip.MustParsePrefix("0.0.0.0/0"), Type: rpdb.RouteUnicast,
		Protocol: rpdb.ProtocolRPDB, Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr("10.10.0.1"), Link: 3}},
	}
	k := &fakeKernel{failing: syscall.EBUSY, state: rpdb.Snapshot{Rules: []rpdb.Rule{foreign, old}, Routes: []rpdb.Route{route}}}
	changed := route
	changed.Nexthops = []rpdb.Nexthop{{Via: netip.MustParseAddr("10.10.0.2"), Link: 3}}
	return k, rpdb.Desired{
		Rules: []rpdb.DesiredRule{
			{Rule: ruleFrom("10.10.0.10/32"), Name: "uplink eth1: from"},
			{Rule: rpdb.Rule{Family: rpdb.IPv4, Selector: rpdb.Selector{OIF: "eth1"}, Action: rpdb.ToTable(82000), Protocol: rpdb.ProtocolRPDB}, Name: "uplink eth1: oif"},
		},
		Routes: []rpdb.DesiredRoute{{Route: changed, Name: "uplink eth1"}},
		Tables: []rpdb.DesiredTable{{ID: 82000}},
	}
}

func run(t *testing.T, ctx context.Context, k *fakeKernel, d rpdb.Desired) (apply.Result, error) {
	t.Helper()
	s, _ := k.Snapshot(ctx)
	p, err := plan.Diff(s, d)
	if err != nil {
		t.Fatal(err)
	}
	return apply.Run(ctx, k, p, d, apply.Options{})
}

func sameState(a, b rpdb.Snapshot) bool {
	byPriority := func(rules []rpdb.Rule) []rpdb.Rule {
		rules = slices.Clone(rules)
		slices.SortStableFunc(rules, rpdb.Rule.Compare)
		return rules
	}
	return slices.Equal(byPriority(a.Rules), byPriority(b.Rules)) && slices.EqualFunc(a.Routes, b.Routes, rpdb.Route.Equal)
}

func TestApplyTwiceSendsNothingTheSecondTime(t *testing.T) {
	k, d := howto()
	result, err := run(t, t.Context(), k, d)
	if err != nil || len(result.Done) != 10 || result.After == nil {
		t.Fatalf("first: %d steps, %v", len(result.Done), err)
	}
	k.sent = nil
	result, err = run(t, t.Context(), k, d)
	if err != nil || len(k.sent) != 0 || len(result.Done) != 0 {
		t.Errorf("second: sent %q, %v", k.sent, err)
	}
}

// TestFailureAtEveryStepLeavesTheOldState refuses the k-th change for every k. When
// the new state is verified, the old one does not come back for what cannot be
// cleared away.
func TestFailureAtEveryStepLeavesTheOldState(t *testing.T) {
	const verified = 7 // changes
	for n := 1; ; n++ {
		k, d := howto()
		before := k.state
		before.Rules, before.Routes = slices.Clone(before.Rules), slices.Clone(before.Routes)
		k.failAt = n
		result, err := run(t, t.Context(), k, d)
		if err == nil {
			if n != 11 {
				t.Fatalf("step %d was never reached", n)
			}
			return
		}
		if n > verified {
			var left *apply.CleanError
			if !errors.As(err, &left) || !errors.Is(err, syscall.EBUSY) || len(left.Left) != 11-n || result.RolledBack {
				t.Errorf("step %d: %v, %+v", n, err, result)
			}
			again, err := run(t, t.Context(), k, d)
			if err != nil || len(again.Done) != 11-n {
				t.Errorf("step %d, once more: %v, %d changes", n, err, len(again.Done))
			}
			continue
		}
		var step *apply.StepError
		if !errors.As(err, &step) || step.Index != n-1 || !errors.Is(err, syscall.EBUSY) {
			t.Errorf("step %d: %v", n, err)
		}
		if result.RolledBack != (n > 1) || len(result.Done) != 0 {
			t.Errorf("step %d: result %+v", n, result)
		}
		if !sameState(before, k.state) {
			t.Errorf("step %d: not the old state: %v", n, k.state.Rules)
		}
	}
}

func TestAcknowledgedButNotDoneIsTakenBack(t *testing.T) {
	k, d := howto()
	before, _ := k.Snapshot(t.Context())
	k.lie = func(r rpdb.Rule) bool { return r.Selector.OIF == "eth1" }
	_, err := run(t, t.Context(), k, d)
	var verify *apply.VerifyError
	if !errors.As(err, &verify) || len(verify.Left.Steps) != 1 {
		t.Fatalf("got %v", err)
	}
	if !sameState(*before, k.state) {
		t.Errorf("not the old state: %v", k.state.Rules)
	}
}

// TestCancelInTheMiddleIsTakenBack, also where the kernel has made the change
// and the end of the context cuts its acknowledgement off.
func TestCancelInTheMiddleIsTakenBack(t *testing.T) {
	for _, heeds := range []bool{false, true} {
		k, d := howto()
		k.heeds = heeds
		before, _ := k.Snapshot(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		k.onSend = func(n int) {
			if n == 2 {
				cancel()
			}
		}
		result, err := run(t, ctx, k, d)
		if !errors.Is(err, context.Canceled) || !result.RolledBack {
			t.Errorf("got %v, %+v", err, result)
		}
		if !sameState(*before, k.state) {
			t.Errorf("not the old state: %v", k.state.Rules)
		}
	}
}

func TestRollbackThatFailsSaysWhatIsLeft(t *testing.T) {
	k, d := howto()
	k.failAt, k.stuck = 3, true
	_, err := run(t, t.Context(), k, d)
	var left *apply.RollbackError
	if !errors.As(err, &left) || len(left.Left) != 2 || !errors.Is(err, syscall.EBUSY) {
		t.Errorf("got %v", err)
	}
}

// TestWhatOthersDidMeanwhileIsNeitherFailureNorUndone: the old rule is deleted,
// or the new one is added, just before we come to it.
func TestWhatOthersDidMeanwhileIsNeitherFailureNorUndone(t *testing.T) {
	oif := func(r rpdb.Rule) bool { return r.Selector.OIF == "eth1" }
	for _, fails := range []bool{false, true} {
		k, d := howto()
		k.lie = func(r rpdb.Rule) bool { return fails && r.Selector.From == netip.MustParsePrefix("10.10.0.10/32") }
		k.onSend = func(n int) {
			switch n {
			case 3:
				s, _ := k.Snapshot(t.Context())
				p, _ := plan.Diff(s, d)
				for _, s := range p.Steps {
					if s.Change.Rule != nil && oif(*s.Change.Rule) {
						k.state.Rules = append(k.state.Rules, *s.Change.Rule)
					}
				}
			case 4:
				k.state.Rules = slices.DeleteFunc(k.state.Rules, func(r rpdb.Rule) bool {
					return r.Selector.From == netip.MustParsePrefix("10.10.0.9/32")
				})
			}
		}
		result, err := run(t, t.Context(), k, d)
		if fails != (err != nil) {
			t.Errorf("fails %v: %v", fails, err)
		}
		if !fails && len(result.Done) != 8 {
			t.Errorf("says that %d steps were made", len(result.Done))
		}
		if !slices.ContainsFunc(k.state.Rules, oif) {
			t.Errorf("fails %v: the rule that somebody else added is gone", fails)
		}
		if slices.ContainsFunc(k.state.Rules, func(r rpdb.Rule) bool { return r.Selector.From == netip.MustParsePrefix("10.10.0.9/32") }) {
			t.Errorf("fails %v: the rule that somebody else deleted is back", fails)
		}
	}
}

// TestReplacementThatFailsHalfway: the kernel stores something and refuses. A
// single route that changes is replaced where it stands.
func TestReplacementThatFailsHalfway(t *testing.T) {
	k, d := howto()
	before, _ := k.Snapshot(t.Context())
	d.Rules = []rpdb.DesiredRule{{Rule: ruleFrom("10.10.0.9/32"), Name: "as it is"}}
	k.failing = syscall.EOPNOTSUPP
	k.onSend = func(int) {
		if k.failAt == 0 && strings.HasPrefix(k.sent[len(k.sent)-1], "replace") {
			k.failAt = len(k.sent)
			k.state.Routes = slices.Clone(k.state.Routes)
			k.state.Routes[0].Nexthops = []rpdb.Nexthop{{Via: netip.MustParseAddr("10.10.0.99"), Link: 3}}
		}
	}
	if _, err := run(t, t.Context(), k, d); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("got %v", err)
	}
	if !sameState(*before, k.state) {
		t.Errorf("not the old state: %v", k.state.Routes)
	}
}
