package apply_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/fib"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
)

// bothFamilies are two policies of both families that differ in rules and in two
// routes of each table.
func bothFamilies() (old, trial rpdb.Desired) {
	both := twoPolicies([2]rpdb.LinkIndex{3, 4})
	return both[0], both[1]
}

// watched is a kernel that counts its changes, and notes with which of them the
// decisions of a family become those of a policy.
type watched struct {
	*site
	sent  []rpdb.Change
	ways  map[rpdb.Family][]rpdb.LinkName // after each change of the family
	flows map[rpdb.Family]rpdb.Flow
}

func (w *watched) look(t *testing.T) {
	t.Helper()
	engine := fib.Compile(must(w.Memory.Snapshot(t.Context())))
	for f, flow := range w.flows {
		w.ways[f] = append(w.ways[f], engine.Lookup(flow).Link)
	}
}

// TestRollbackIsOneMessage counts: of all messages of a rollback the first of each
// family leads its packets back, and those behind it change nothing for them. None
// comes before.
func TestRollbackIsOneMessage(t *testing.T) {
	s := newSite(t, t.TempDir())
	scriptOn(t, s, "ip link add eth1 type veth peer name gw1", "ip link set eth1 up", "ip link set gw1 up",
		"ip route del 203.0.113.99 table 82000", "ip route del 2001:db8:99::/48 table 82001") // a table of ours alone has a twin
	old, trial := bothFamilies()
	host := must(s.Memory.Snapshot(t.Context()))
	links := [2]rpdb.LinkName{host.LinkName(3), host.LinkName(4)}
	for i, d := range []rpdb.Desired{old, trial} {
		_, err := s.session(t, func(session *apply.Session) error {
			prop := s.proposal(t, "A")
			prop.Policy, prop.Desired = fmt.Sprint("policy ", i), d
			if i == 1 {
				prop.Confirm = time.Minute
			}
			out, err := session.Apply(t.Context(), prop)
			if i == 1 && fmt.Sprint(out.Plan.Back) != "[{IPv4 1 false} {IPv6 1 false}]" {
				t.Errorf("the plan says %v of going back", out.Plan.Back)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &watched{site: s, ways: map[rpdb.Family][]rpdb.LinkName{}, flows: map[rpdb.Family]rpdb.Flow{
		rpdb.IPv4: {Dst: netip.MustParseAddr("203.0.113.5")}, rpdb.IPv6: {Dst: netip.MustParseAddr("2001:db8:1::5")},
	}}
	w.look(t)
	s.meanwhile = func() { w.look(t) } // before each change: after the one before
	_, err := s.session(t, func(session *apply.Session) error {
		out, err := session.RollBack(t.Context(), "by eve")
		for _, step := range out.Result.Done {
			w.sent = append(w.sent, step.Change)
		}
		return err
	})
	s.meanwhile = nil
	if err != nil {
		t.Fatal(err)
	}
	w.look(t)
	for f, ways := range w.ways {
		ways = ways[1:] // asked twice before the first message
		first := slices.IndexFunc(w.sent, func(c rpdb.Change) bool { return c.Rule != nil && c.Rule.Family == f })
		for n, way := range ways { // after n messages
			if want := links[1]; n <= first && way != want || n > first && way != links[0] {
				t.Errorf("%v: after %d messages, of which the first is %v, the way is by %s", f, n, w.sent[first], way)
			}
		}
		if first > 1 {
			t.Errorf("%v: message %d of %v is the first of the family", f, first, w.sent)
		}
	}
	if left := must(plan.Diff(must(s.Memory.Snapshot(t.Context())), old)); !left.Empty() {
		t.Errorf("left: %v", left.Steps)
	}
}

func scriptOn(t *testing.T, s *site, lines ...string) {
	t.Helper()
	if err := kerneltest.Script(t.Context(), s.Memory, lines...); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedWhileOnTrial: what somebody took from the generation that stands
// ready is written anew, and the plan says how much.
func TestDamagedWhileOnTrial(t *testing.T) {
	s := onTrial(t)
	state, c := s.state(t)
	_, before, err := apply.Return(c, state, must(s.Memory.Snapshot(t.Context())))
	if err != nil || len(before.Changes) == 0 || slices.ContainsFunc(before.Steps, isPrepared) {
		t.Errorf("before: %v, %v", before.Steps, err)
	}
	scriptOn(t, s, "ip rule del pref 10010", "ip route del 198.51.100.0/24 table 82001",
		"ip -6 rule del pref 10010", "ip route del 2001:db8:51::/48 table 82000")
	if _, p, err := apply.Drift(c, state, must(s.Memory.Snapshot(t.Context()))); err != nil || !p.Empty() {
		t.Errorf("drift: %v, %v", p.Steps, err)
	}
	old, after, err := apply.Return(c, state, must(s.Memory.Snapshot(t.Context())))
	if n := len(slices.DeleteFunc(slices.Clone(after.Steps), func(s plan.Step) bool { return !isPrepared(s) })); err != nil || n != 4 || old.ID != 1 {
		t.Errorf("after: %d written anew, to %d: %v, %v", n, old.ID, after.Steps, err)
	}
	s.machine.since += time.Hour
	s.oneOf(t, "damaged", "A")
}

func isPrepared(s plan.Step) bool { return s.Phase == plan.Prepare }

// TestPlanSaysWhatGoingBackTakes, of pinned rules and tables that change where they
// stand, too: as many messages as the way back then has.
func TestPlanSaysWhatGoingBackTakes(t *testing.T) {
	for _, names := range [][2]string{{"A", "B"}, {"A", "C"}, {"C", "A"}, {"B", ""}} {
		s := newTemplate(t, false, names[0]).site(t)
		said, takes := 0, 0
		_, err := s.session(t, func(session *apply.Session) error {
			prop := s.proposal(t, names[1])
			prop.Confirm = time.Minute
			out, err := session.Apply(t.Context(), prop)
			for _, b := range out.Plan.Back {
				if said += b.Messages; b.Rewrites {
					t.Errorf("%q: %+v", names, b)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		state, c := s.state(t)
		host := must(s.Memory.Snapshot(t.Context()))
		if p, err := apply.Preview(c, state, host, policies()[names[1]]); err != nil || !p.Empty() {
			t.Errorf("%q: on trial, to plan the same once more has %v, %v", names, p.Steps, err)
		}
		_, p, err := apply.Return(c, state, host)
		if err != nil || slices.ContainsFunc(p.Steps, isPrepared) {
			t.Errorf("%q: %v, %v", names, p.Steps, err)
		}
		for _, step := range p.Steps {
			if step.Phase == plan.Switch {
				takes++
			}
		}
		if said != takes || said == 0 {
			t.Errorf("%q: the plan said %d, and it takes %d: %v", names, said, takes, p.Steps)
		}
		s.machine.since += time.Hour
		s.oneOf(t, fmt.Sprint(names), names[0])
	}
}

// TestConfirmThatCannotClean is a confirm, says what is left, and the next session
// clears it away. A rollback is as well.
func TestConfirmThatCannotClean(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *apply.Session) error{
		"B": func(t *testing.T, session *apply.Session) error {
			_, err := session.Confirm(t.Context(), 2)
			return err
		},
		"A": func(t *testing.T, session *apply.Session) error {
			_, err := session.RollBack(t.Context(), "by eve")
			return err
		},
	} {
		s := onTrial(t)
		s.refuse = func(c rpdb.Change) bool { return c.Op == rpdb.Delete && c.Rule != nil && plan.IsOwnRule(*c.Rule) }
		if name == "A" {
			s.refuse = func(c rpdb.Change) bool { return c.Op == rpdb.Delete && c.Rule != nil && c.Rule.Priority > 20000 }
		}
		_, err := s.session(t, func(session *apply.Session) error {
			if err := end(t, session); err != nil {
				return err
			}
			var left *apply.CleanError
			if err := session.Uncleared(); !errors.As(err, &left) || !strings.Contains(err.Error(), "that no packet comes to could not be cleared away: ") {
				t.Errorf("%s: left: %v", name, err)
			}
			if e, ok := session.State().Confirmed(); !ok || e.PolicyHash != apply.PolicyHash(name) {
				t.Errorf("%s: %+v is confirmed", name, e)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s.alive(t) != countOf(t, name) || s.ours(t) == countOf(t, name) {
			t.Errorf("%s: %d in force, %d in all", name, s.alive(t), s.ours(t))
		}
		s.refuse = nil
		s.oneOf(t, "next session", name)
	}
}

// TestWhatARepairChangedComesBack: what the generation before came to mean, and not
// what it meant once.
func TestWhatARepairChangedComesBack(t *testing.T) {
	s := newTemplate(t, false, "A").site(t)
	meant := policies()["A"]
	meant.Routes = slices.Clone(meant.Routes)
	meant.Routes[2].Route.Nexthops = []rpdb.Nexthop{{Via: netip.MustParseAddr("192.0.2.7"), Link: 3}}
	added := meant.Rules[0]
	added.Rule.Selector.From = netip.MustParsePrefix("192.0.2.77/32")
	meant.Rules = append(slices.Clone(meant.Rules), added)
	s.means = map[string]rpdb.Desired{"A": meant, "B": policies()["B"]}
	if out, err := s.repair(t); err != nil || len(out.Plan.Changes) != 2 {
		t.Fatalf("repair: %v, %v", out.Plan.Changes, err)
	}
	if err := s.apply(t, "B", time.Minute); err != nil {
		t.Fatal(err)
	}
	_, err := s.session(t, func(session *apply.Session) error {
		out, err := session.RollBack(t.Context(), "by eve")
		if slices.ContainsFunc(out.Plan.Steps, isPrepared) {
			t.Errorf("written anew: %v", out.Plan.Steps)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := must(plan.Diff(must(s.Memory.Snapshot(t.Context())), meant)); !left.Empty() {
		t.Errorf("left: %v", left.Steps)
	}
}

// TestRepairOfATrialKeepsTheWayBack where one change is enough; where a generation
// has to be written, the one before gives its place, and is written anew.
func TestRepairOfATrialKeepsTheWayBack(t *testing.T) {
	for _, f := range rpdb.Families() {
		for _, n := range []int{1, 2} {
			repairsATrial(t, f, n)
		}
	}
}

func repairsATrial(t *testing.T, f rpdb.Family, n int) {
	t.Helper()
	s := onTrial(t)
	for range n {
		s.loseRule(t, f)
	}
	if _, err := s.repair(t); err != nil {
		t.Fatal(err)
	}
	if got := s.alive(t); got != countOf(t, "B") {
		t.Errorf("%v: %d lost: %d in force", f, n, got)
	}
	state, c := s.state(t)
	_, p, err := apply.Return(c, state, must(s.Memory.Snapshot(t.Context())))
	if anew := slices.ContainsFunc(p.Steps, isPrepared); err != nil || anew != (n > 1) {
		t.Errorf("%v: %d lost: to go back takes %v, %v", f, n, p.Steps, err)
	}
	s.machine.since += time.Hour
	s.oneOf(t, fmt.Sprint(f, n, " lost"), "A")
}

// loseRule deletes the last rule of ours of a family that a packet can come to.
func (s *site) loseRule(t *testing.T, f rpdb.Family) {
	t.Helper()
	for _, r := range slices.Backward(plan.Live(must(s.Memory.Snapshot(t.Context()))).RulesOf(f)) {
		if plan.IsOwnRule(r) && !plan.IsScaffold(r) {
			if err := s.Memory.Do(t.Context(), rpdb.RuleChange(rpdb.Delete, r)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("nothing to lose")
}

// TestRebootWhileClearing: what was left went with the boot.
func TestRebootWhileClearing(t *testing.T) {
	s := onTrial(t)
	s.refuse = func(rpdb.Change) bool { return true }
	if _, err := s.session(t, func(session *apply.Session) error {
		_, err := session.Confirm(t.Context(), 2)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if state, _ := s.state(t); state.Remains == nil {
		t.Error("nothing is said to be left")
	}
	s.machine.boot = "boot 2"
	if _, err := s.session(t, func(session *apply.Session) error { return session.Uncleared() }); err != nil {
		t.Error(err)
	}
	if state, _ := s.state(t); state.Remains != nil {
		t.Errorf("left: %+v", state.Remains)
	}
}
