package apply_test

import (
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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
