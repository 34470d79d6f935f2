package apply_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
)

// onTrial is a host where A is confirmed and B waits for a minute.
func onTrial(t *testing.T) *site {
	t.Helper()
	return newTemplate(t, true, "A", "B").site(t)
}

func TestApplyTwiceRecordsNothingTheSecondTime(t *testing.T) {
	s := newSite(t, t.TempDir())
	for range 2 {
		if err := s.apply(t, "A", 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.apply(t, "", 0); err != nil {
		t.Fatal(err)
	}
	_, err := s.session(t, func(session *apply.Session) error {
		if got := session.State().Next; got != 2 {
			t.Errorf("%d generations", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNothingToRemove makes no generation of an empty host.
func TestNothingToRemove(t *testing.T) {
	s := newSite(t, t.TempDir())
	if err := s.apply(t, "", 0); err != nil {
		t.Fatal(err)
	}
	_, err := s.session(t, func(session *apply.Session) error {
		if got := session.State().Next; got != 0 {
			t.Errorf("%d generations", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAnotherApplyIsRefusedWhileOnePends, and names it.
func TestAnotherApplyIsRefusedWhileOnePends(t *testing.T) {
	s := onTrial(t)
	s.machine.since += 18 * time.Second
	err := s.apply(t, "C", 0)
	var pending *apply.PendingError
	if !errors.As(err, &pending) || err.Error() != "generation 2 waits to be confirmed, for 42s more" {
		t.Errorf("got %v", err)
	}
	s.machine.since += time.Minute
	s.oneOf(t, "after the deadline", "A")
}

// TestWallClockDoesNotCount: ten years forth and back (E7).
func TestWallClockDoesNotCount(t *testing.T) {
	for _, years := range []int{10, -10} {
		s := onTrial(t)
		s.machine.wall = s.machine.wall.AddDate(years, 0, 0)
		s.machine.since += 59 * time.Second
		_, err := s.session(t, func(session *apply.Session) error {
			if session.Recovered() != nil {
				t.Errorf("%d years: rolled back before the deadline", years)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		s.machine.since += time.Second
		s.oneOf(t, fmt.Sprintf("%d years", years), "A")
	}
}

// TestReboot in the window: another boot id, a kernel without anything of ours,
// and interfaces with other numbers (E5). The clock since boot may be anything.
func TestReboot(t *testing.T) {
	tmpl := newTemplate(t, true, "A", "B")
	for n := range 100 {
		s := tmpl.site(t)
		s.Memory = kerneltest.NewMemory()
		lines := hostLines()
		if n%2 == 0 {
			lines = append([]string{"ip link add other0 type veth peer name other1"}, lines...)
		}
		if err := kerneltest.Script(t.Context(), s.Memory, lines...); err != nil {
			t.Fatal(err)
		}
		s.machine.boot, s.machine.since = fmt.Sprintf("boot 2.%d", n), time.Duration(n)*time.Minute
		_, err := s.session(t, func(session *apply.Session) error {
			r := session.Recovered()
			if r == nil || r.Entry.ID != 2 || r.Entry.Why != "the machine was booted before it was confirmed" || len(r.Result.Done) < countOf(t, "A") {
				t.Errorf("recovered %+v", r.Entry)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n%2 != 0 {
			s.oneOf(t, "after the boot", "A")
		}
		now := must(s.Memory.Snapshot(t.Context()))
		for _, r := range now.Routes {
			if r.Protocol == rpdb.ProtocolRPDB && now.LinkName(r.Nexthops[0].Link) != "eth0" {
				t.Errorf("%v leads to %s", r, now.LinkName(r.Nexthops[0].Link))
			}
		}
	}
}

// TestPolicyIsReadAnew after a boot, where the host may mean something else by
// it, and in the same boot only if the old meaning has become impossible.
func TestPolicyIsReadAnew(t *testing.T) {
	for _, boots := range []bool{false, true} {
		s := onTrial(t)
		s.machine.since += time.Hour
		if boots {
			s.machine.boot = "boot 2"
		}
		c := s.config(t)
		defer c.Journal.Close()
		c.Resolve = func(b journal.Body, _ *rpdb.Snapshot) (rpdb.Desired, error) {
			if b.Policy != "A" || b.File != "A.yaml" {
				t.Errorf("asked for %q", b.Policy)
			}
			return policies()["C"], nil
		}
		session, err := apply.Begin(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		session.Close()
		want := "A"
		if boots {
			want = "C"
		}
		if got := s.ours(t); got != countOf(t, want) {
			t.Errorf("boots %v: %d objects of ours, want %s", boots, got, want)
		}
	}
	s := onTrial(t)
	if err := kerneltest.Script(t.Context(), s.Memory, "ip addr del 192.0.2.10/24 dev eth0"); err != nil {
		t.Fatal(err)
	}
	s.machine.since += time.Hour
	c := s.config(t)
	defer c.Journal.Close()
	c.Resolve = func(journal.Body, *rpdb.Snapshot) (rpdb.Desired, error) {
		d := policies()["A"]
		d.Routes = nil
		return d, nil
	}
	session, err := apply.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
}

// TestConfirm early, twice, late, and of another (E14).
func TestConfirm(t *testing.T) {
	s := onTrial(t)
	confirm := func(id uint64, want string) {
		t.Helper()
		_, err := s.session(t, func(session *apply.Session) error {
			_, err := session.Confirm(t.Context(), id)
			return err
		})
		if got := fmt.Sprint(err); got != want {
			t.Errorf("confirm %d: %s, want %s", id, got, want)
		}
	}
	confirm(1, "generation 2 is on trial, not 1")
	confirm(2, "<nil>")
	confirm(7, "there is no generation 7")
	confirm(2, "<nil>")
	confirm(1, "generation 1 cannot be confirmed: it is superseded")
	confirm(0, "no generation waits to be confirmed")
	s.machine.since += time.Hour
	s.oneOf(t, "long after it was confirmed", "B")

	late := onTrial(t)
	late.machine.since += time.Minute
	_, err := late.session(t, func(session *apply.Session) error {
		if session.Recovered() == nil {
			t.Error("not rolled back at the deadline")
		}
		_, err := session.Confirm(t.Context(), 2)
		return err
	})
	if got := fmt.Sprint(err); got != "generation 2 cannot be confirmed: it was rolled back (not confirmed in time)" {
		t.Errorf("late: %s", got)
	}
	late.oneOf(t, "late", "A")
}

// TestChangedAfterThePlan refuses what was planned for another state (C1).
func TestChangedAfterThePlan(t *testing.T) {
	s := newTemplate(t, false, "A").site(t)
	_, err := s.session(t, func(session *apply.Session) error {
		prop := s.proposal(t, "B")
		prop.Confirm = time.Minute
		prop.Guard = func(journal.Pending) error {
			return s.Memory.Do(t.Context(), rpdb.RuleChange(rpdb.Delete, s.oneOfOurs(t)))
		}
		out, err := session.Apply(t.Context(), prop)
		if out.Pending != nil || out.Entry.Status != journal.RolledBack {
			t.Errorf("outcome %+v", out)
		}
		return err
	})
	if !errors.As(err, new(*apply.StaleError)) {
		t.Errorf("got %v", err)
	}
	if got := s.ours(t); got != countOf(t, "A")-1 {
		t.Errorf("%d objects of ours: something was changed", got)
	}
}

func (s *site) oneOfOurs(t *testing.T) rpdb.Rule {
	t.Helper()
	for _, r := range must(s.Memory.Snapshot(t.Context())).Rules {
		if r.Protocol == rpdb.ProtocolRPDB && r.Priority != 301 && r.Selector.From.IsValid() {
			return r
		}
	}
	t.Fatal("none")
	return rpdb.Rule{}
}

// TestOtherProgramInTheMiddle deletes one of our rules before the k-th change,
// for every k (C2): old or new, never between. When the new one is verified, and
// only what no packet comes to is cleared away, that is for the next session.
func TestOtherProgramInTheMiddle(t *testing.T) {
	tmpl := newTemplate(t, false, "A")
	p := must(plan.Diff(must(tmpl.site(t).Memory.Snapshot(t.Context())), policies()["B"]))
	verified := len(p.WithoutClean().Steps)
	for k := 1; ; k++ {
		s, n := tmpl.site(t), 0
		s.meanwhile = func() {
			if n++; n == k {
				if err := s.Memory.Do(t.Context(), rpdb.RuleChange(rpdb.Delete, s.oneOfOurs(t))); err != nil {
					t.Error(err)
				}
			}
		}
		err := s.apply(t, "B", 0)
		s.meanwhile = nil
		if n < k {
			if k < 5 {
				t.Fatalf("%d changes only", n)
			}
			return
		}
		want := "B"
		if err != nil {
			want = "A"
		}
		if k > verified {
			if _, err := s.repair(t); err != nil || want != "B" {
				t.Errorf("change %d: %v", k, err)
			}
		}
		s.oneOf(t, fmt.Sprintf("change %d: %v", k, err), want)
	}
}

func TestGuardThatCannotStart(t *testing.T) {
	s := newTemplate(t, false, "A").site(t)
	_, err := s.session(t, func(session *apply.Session) error {
		prop := s.proposal(t, "B")
		prop.Confirm = time.Minute
		prop.Guard = func(journal.Pending) error { return syscall.EAGAIN }
		_, err := session.Apply(t.Context(), prop)
		return err
	})
	if !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("got %v", err)
	}
	s.oneOf(t, "no guard", "A")
}

// TestAnotherNamespacesDirectory is not believed.
func TestAnotherNamespacesDirectory(t *testing.T) {
	s := onTrial(t)
	c := s.config(t)
	defer c.Journal.Close()
	c.NetNS, c.Chosen = 8, true
	_, err := apply.Begin(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "another network namespace") {
		t.Errorf("got %v", err)
	}
}

// TestNamespaceIsMadeAnew under its old name: nothing is on trial in it.
func TestNamespaceIsMadeAnew(t *testing.T) {
	s := onTrial(t)
	c := s.config(t)
	defer c.Journal.Close()
	c.NetNS = 8
	session, err := apply.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if r := session.Recovered(); r == nil || r.Entry.Why != "its network namespace was made anew before it was confirmed" {
		t.Errorf("recovered %+v", r)
	}
}

// TestForeignRulesInOurRange that came in the window are no reason not to go
// back or to remove everything, in either block and at the gate. A new generation
// is refused for them.
func TestForeignRulesInOurRange(t *testing.T) {
	s := onTrial(t)
	lines := []string{
		"ip rule add pref 10015 from 192.0.2.77 lookup 7", "ip rule add pref 20015 from 192.0.2.77 lookup 7",
		"ip rule add pref 10000 from 192.0.2.77 lookup 7", "ip -6 rule add pref 10500 from 2001:db8::77 lookup 7",
	}
	if err := kerneltest.Script(t.Context(), s.Memory, lines...); err != nil {
		t.Fatal(err)
	}
	foreign := s.foreign(t)
	s.machine.since += time.Hour
	_, err := s.session(t, func(session *apply.Session) error {
		if r := session.Recovered(); r == nil || r.Entry.Why != "not confirmed in time" {
			t.Errorf("recovered %+v", r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.ours(t); got != countOf(t, "A") || s.foreign(t) != foreign {
		t.Errorf("%d objects of ours, foreign:\n%s\nand before\n%s", got, s.foreign(t), foreign)
	}
	if err := s.apply(t, "B", 0); !errors.As(err, new(*plan.RangeError)) {
		t.Errorf("a new generation: %v", err)
	}
	if err := s.apply(t, "", 0); err != nil || s.ours(t) != 0 || s.foreign(t) != foreign {
		t.Errorf("remove: %v, %d objects of ours, foreign:\n%s", err, s.ours(t), s.foreign(t))
	}
}

// TestWhatWaitedIsNotKept: going back takes away what a later generation made
// for a part that waited.
func TestWhatWaitedIsNotKept(t *testing.T) {
	s := newSite(t, t.TempDir())
	_, err := s.session(t, func(session *apply.Session) error {
		prop := s.proposal(t, "A")
		prop.Desired.Waiting = []rpdb.Waiting{{Name: "uplink eth1", Reason: "no address", Table: 82000, Family: rpdb.IPv4}}
		_, err := session.Apply(t.Context(), prop)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.apply(t, "B", time.Minute); err != nil {
		t.Fatal(err)
	}
	s.machine.since += time.Hour
	s.oneOf(t, "rolled back", "A")
}

// TestDamagedRecordIsRefused before anything is sent.
func TestDamagedRecordIsRefused(t *testing.T) {
	s := onTrial(t)
	s.meanwhile = func() { t.Error("a change was sent") }
	s.machine.since += time.Hour
	c := s.config(t)
	defer c.Journal.Close()
	if err := syscall.Truncate(filepath.Join(s.dir, "journal"), 100); err != nil {
		t.Fatal(err)
	}
	if _, err := apply.Begin(t.Context(), c); !journal.Damaged(err) {
		t.Errorf("got %v", err)
	}
}

// TestStateDirectoryIsDeleted in the window (D7): a guard ends quietly, nothing
// is sent, and the next session makes the directory anew.
func TestStateDirectoryIsDeleted(t *testing.T) {
	s := onTrial(t)
	c := s.config(t)
	defer c.Journal.Close()
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	s.meanwhile = func() { t.Error("a change was sent") }
	s.machine.since += time.Hour
	if err := apply.Guard(t.Context(), c, 2); err != nil {
		t.Errorf("guard: %v", err)
	}
	if _, err := apply.Begin(t.Context(), c); err == nil {
		t.Error("a session began in a directory that is gone")
	}
	s.meanwhile = nil
	if err := s.apply(t, "A", 0); err != nil {
		t.Fatal(err)
	}
	s.oneOf(t, "made anew", "A")
}

// bubble is a clock of a [synctest] bubble.
type bubble struct{ start time.Time }

func (b bubble) Boot() (string, time.Duration, error) { return "boot 1", time.Since(b.start), nil }
func (b bubble) Now() time.Time                       { return time.Now() }

// guarded runs a guard of generation 2, which has a minute, beside something
// else, and returns when the guard ended.
func guarded(t *testing.T, s *site, beside func(ctx context.Context, c apply.Config, cancel func()), with ...func(*apply.Config)) (ended time.Duration, err error) {
	t.Helper()
	start := time.Now().Add(-time.Hour) // as the trial began
	var configs [2]apply.Config         // without faults, whose counter is for one program
	for i := range configs {
		j, err := journal.Open(s.dir, "", journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		configs[i] = apply.Config{Kernel: s.Memory, Journal: j, Machine: bubble{start}, NetNS: 7}
	}
	c, own := configs[0], configs[1]
	for _, with := range with {
		with(&c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go beside(ctx, own, cancel)
	err = apply.Guard(ctx, c, 2)
	ended = time.Since(start) - time.Hour
	synctest.Wait()
	return ended, err
}

// TestGuard has the time of a bubble: at the deadline, when it is confirmed,
// when it is told to end, and with another program that has the lock.
func TestGuard(t *testing.T) {
	begin := func(t *testing.T, c apply.Config, do func(*apply.Session)) {
		session, err := apply.Begin(context.WithoutCancel(t.Context()), c)
		if err != nil {
			t.Error(err)
			return
		}
		do(session)
		session.Close()
	}
	for name, test := range map[string]struct {
		beside func(t *testing.T, c apply.Config, cancel func())
		want   string
		at     time.Duration
		late   time.Duration
	}{
		"nobody confirms": {func(*testing.T, apply.Config, func()) {}, "A", time.Minute, 0},
		"confirmed": {func(t *testing.T, c apply.Config, _ func()) {
			time.Sleep(20 * time.Second)
			begin(t, c, func(s *apply.Session) { _, _ = s.Confirm(context.Background(), 2) })
		}, "B", 20 * time.Second, time.Second},
		"told to end": {func(_ *testing.T, _ apply.Config, cancel func()) {
			time.Sleep(20500 * time.Millisecond)
			cancel()
		}, "A", 20500 * time.Millisecond, 0},
		"locked at the deadline": {func(t *testing.T, c apply.Config, _ func()) {
			begin(t, c, func(*apply.Session) { time.Sleep(70 * time.Second) })
		}, "A", 70 * time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := onTrial(t)
			synctest.Test(t, func(t *testing.T) {
				ended, err := guarded(t, s, func(_ context.Context, c apply.Config, cancel func()) { test.beside(t, c, cancel) })
				if err != nil {
					t.Error(err)
				}
				if ended < test.at || ended > test.at+test.late {
					t.Errorf("ended after %v, want %v", ended, test.at)
				}
			})
			s.oneOf(t, name, test.want)
		})
	}
}
