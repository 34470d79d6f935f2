package apply_test

import (
	"errors"
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

// TestBlocked: what others have put in the way is named, and what has drifted
// besides. A generation is neither applied nor repaired then.
func TestBlocked(t *testing.T) {
	s := newTemplate(t, false, "A").site(t)
	scriptOn(t, s, "ip route del 198.51.100.0/24 table 82001", "ip route add 198.51.100.0/24 via 192.0.2.9 table 82001 proto static",
		"ip rule add pref 10500 from 192.0.2.77 lookup 7", "ip -6 rule add pref 10501 from 2001:db8::77 lookup 7")
	s.loseRule(t)
	state, c := s.state(t)
	_, p, err := apply.Drift(c, state, must(s.Memory.Snapshot(t.Context())))
	var blocked *apply.BlockedError
	if !errors.As(err, &blocked) || len(blocked.By) != 2 || len(p.Changes) != 1 {
		t.Errorf("%v, drifted %v", err, p.Changes)
	}
	var rule *plan.RangeError
	var route *plan.ConflictError
	if !errors.As(err, &rule) || rule.Rule.Priority != 10500 || !errors.As(err, &route) || route.Foreign.Protocol != rpdb.ProtocolStatic {
		t.Errorf("by %v", err)
	}
	if _, err := s.repair(t); !errors.As(err, new(*plan.RangeError)) {
		t.Errorf("repair: %v", err)
	}
}
