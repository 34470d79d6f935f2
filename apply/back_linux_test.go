package apply_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/kernel/kerneltest"
)

// TestTrialThatNothingCouldEnd is refused: the generation to go back to cannot
// be read. Without a trial it is applied.
func TestTrialThatNothingCouldEnd(t *testing.T) {
	s := newTemplate(t, false, "A").site(t)
	if err := syscall.Truncate(filepath.Join(s.dir, "generation-1"), 100); err != nil {
		t.Fatal(err)
	}
	s.meanwhile = func() { t.Error("a change was sent") }
	if err := s.apply(t, "B", time.Minute); !journal.Damaged(err) {
		t.Errorf("got %v", err)
	}
	s.oneOf(t, "refused", "A")
	s.meanwhile = nil
	if err := s.apply(t, "B", 0); err != nil {
		t.Errorf("without a trial: %v", err)
	}
	s.oneOf(t, "applied", "B")
}

// TestForeignRouteWhereOneOfOursWas is no reason to leave a generation in force
// that nobody has confirmed: what can be restored is, and the route stays.
func TestForeignRouteWhereOneOfOursWas(t *testing.T) {
	s := onTrial(t)
	if err := kerneltest.Script(t.Context(), s.Memory, "ip route add 198.51.100.0/24 via 192.0.2.9 table 82000 proto static"); err != nil {
		t.Fatal(err)
	}
	foreign := s.foreign(t)
	s.machine.since += time.Hour
	_, err := s.session(t, func(session *apply.Session) error {
		if r := session.Recovered(); r == nil || r.Entry.ID != 2 {
			t.Errorf("recovered %+v", r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.foreign(t); got != foreign {
		t.Errorf("foreign objects are now\n%s\nwere\n%s", got, foreign)
	}
	if got, want := s.ours(t), countOf(t, "A")-1; got != want {
		t.Errorf("%d objects of ours, want all of A but the route: %d", got, want)
	}
	if err := kerneltest.Script(t.Context(), s.Memory, "ip route del 198.51.100.0/24 via 192.0.2.9 table 82000 proto static"); err != nil {
		t.Fatal(err)
	}
	if err := s.apply(t, "A", 0); err != nil {
		t.Fatal(err)
	}
	s.oneOf(t, "when the foreign route is gone", "A")
}

// TestGuardReadsAgain what it could not read once.
func TestGuardReadsAgain(t *testing.T) {
	s := onTrial(t)
	failed := false
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(s.dir, "", journal.Options{Fault: func(c journal.Call) error {
			if c.Op == "read" && !failed {
				failed = true
				return syscall.EIO
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		began := time.Now().Add(-time.Hour)
		if err := apply.Guard(t.Context(), apply.Config{Kernel: s.Memory, Journal: j, Machine: bubble{began}, NetNS: 7}, 2); err != nil {
			t.Error(err)
		}
	})
	if !failed {
		t.Error("nothing was read")
	}
	s.oneOf(t, "nobody confirmed", "A")
}

// TestStoppedOnTheWayBack: a trial that was being taken back is not confirmed any
// more, though its time is not over; the next session takes it back to the end.
func TestStoppedOnTheWayBack(t *testing.T) {
	for stop := 1; ; stop++ {
		s := onTrial(t)
		changes := 0
		s.meanwhile = func() {
			if changes++; changes == stop {
				panic(killed{})
			}
		}
		stopped, err := s.session(t, func(session *apply.Session) error {
			_, err := session.RollBack(t.Context(), "asked")
			return err
		})
		s.meanwhile = nil
		if !stopped {
			if err != nil || stop < 3 {
				t.Errorf("%d changes, and %v", stop-1, err)
			}
			return
		}
		_, err = s.session(t, func(session *apply.Session) error {
			_, err := session.Confirm(t.Context(), 2)
			return err
		})
		if got, want := fmt.Sprint(err), "generation 2 cannot be confirmed: it was rolled back (asked)"; got != want {
			t.Errorf("stopped at change %d, then confirm: %s, want %s", stop, got, want)
		}
		s.oneOf(t, fmt.Sprintf("stopped at change %d", stop), "A")
	}
}

// TestWayBackThatFails leaves the trial as it was: it can be confirmed.
func TestWayBackThatFails(t *testing.T) {
	s := onTrial(t)
	s.refuse = func(rpdb.Change) bool { return true }
	_, err := s.session(t, func(session *apply.Session) error {
		_, err := session.RollBack(t.Context(), "asked")
		return err
	})
	if err == nil {
		t.Error("the kernel refused, and it is no error")
	}
	s.refuse = nil
	_, err = s.session(t, func(session *apply.Session) error {
		_, err := session.Confirm(t.Context(), 2)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	s.oneOf(t, "confirmed after all", "B")
}
