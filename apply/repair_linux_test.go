package apply_test

import (
	"testing"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/plan"
)

func (s *site) repair(t *testing.T) (apply.Outcome, error) {
	t.Helper()
	var out apply.Outcome
	_, err := s.session(t, func(session *apply.Session) error {
		var err error
		out, err = session.Repair(t.Context())
		return err
	})
	return out, err
}

// loseOne deletes the first route of ours that a packet can take.
func (s *site) loseOne(t *testing.T) {
	t.Helper()
	for _, r := range plan.Live(must(s.Memory.Snapshot(t.Context()))).Routes {
		if r.Protocol == rpdb.ProtocolRPDB {
			if err := s.Memory.Do(t.Context(), rpdb.RouteChange(rpdb.Delete, r)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("nothing to lose")
}

// TestRepair restores the generation in force, confirmed or on trial, and records
// nothing; one whose trial is over gives way first.
func TestRepair(t *testing.T) {
	s := newSite(t, t.TempDir())
	if out, err := s.repair(t); err != nil || out.Entry.ID != 0 || len(out.Result.Done) != 0 {
		t.Errorf("nothing applied: %+v, %v", out, err)
	}
	for _, c := range []struct {
		name  string
		after func(*site)
		want  string
		id    uint64
	}{
		{"in the window", func(*site) {}, "B", 2},
		{"after it", func(s *site) { s.machine.since += 24 * time.Hour }, "A", 1},
		{"after a boot", func(s *site) { s.machine.boot = "boot 2" }, "A", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := onTrial(t)
			s.loseOne(t)
			c.after(s)
			out, err := s.repair(t)
			if err != nil || out.Entry.ID != c.id {
				t.Errorf("generation %d, %v", out.Entry.ID, err)
			}
			if got := s.alive(t); got != countOf(t, c.want) {
				t.Errorf("%d objects of ours, want those of %s", got, c.want)
			}
			if out, err = s.repair(t); err != nil || len(out.Plan.Steps) != 0 {
				t.Errorf("once more: %v, %v", out.Plan.Changes, err)
			}
		})
	}
}

// TestRepairIsStopped at every call: the next one does the rest.
func TestRepairIsStopped(t *testing.T) {
	made := newTemplate(t, false, "A")
	for at := 1; ; at++ {
		s := made.site(t)
		s.loseOne(t)
		s.faults = faults{at: at, after: at%2 == 0}
		stopped, err := s.session(t, func(session *apply.Session) error {
			_, err := session.Repair(t.Context())
			return err
		})
		if !stopped {
			if err != nil || at < 4 {
				t.Errorf("call %d: %v", at, err)
			}
			return
		}
		s.faults = faults{}
		if _, err := s.repair(t); err != nil {
			t.Fatalf("after call %d: %v", at, err)
		}
		if got := s.ours(t); got != countOf(t, "A") {
			t.Errorf("after call %d: %d objects of ours", at, got)
		}
	}
}
