package apply_test

import (
	"errors"
	"fmt"
	"slices"
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
// besides, each of its own family. A generation is neither applied nor repaired
// then.
func TestBlocked(t *testing.T) {
	others := map[rpdb.Family][]string{
		rpdb.IPv4: {
			"ip route del 198.51.100.0/24 table 82001", "ip route add 198.51.100.0/24 via 192.0.2.9 table 82001 proto static",
			"ip rule add pref 10500 from 192.0.2.77 lookup 7",
		},
		rpdb.IPv6: {
			"ip route del 2001:db8:51::/48 table 82000", "ip route add 2001:db8:51::/48 via 2001:db8::9 table 82000 proto static",
			"ip -6 rule add pref 10500 from 2001:db8::77 lookup 7",
		},
	}
	for f, lines := range others {
		for _, drifted := range [][]rpdb.Family{nil, {rpdb.IPv4}, {rpdb.IPv6}, {rpdb.IPv4, rpdb.IPv6}} {
			what := fmt.Sprintf("%v blocked, %v drifted", f, drifted)
			s := newTemplate(t, false, "A").site(t)
			scriptOn(t, s, lines...)
			for _, f := range drifted {
				s.loseRule(t, f)
			}
			state, c := s.state(t)
			_, p, err := apply.Drift(c, state, must(s.Memory.Snapshot(t.Context())))
			var blocked *apply.BlockedError
			var rule *plan.RangeError
			var route *plan.ConflictError
			if !errors.As(err, &blocked) || len(blocked.By) != 2 || !errors.As(err, &rule) || !errors.As(err, &route) {
				t.Fatalf("%s: by %v", what, err)
			}
			if r := rule.Rule; r.Family != f || r.Priority != 10500 || route.Foreign.Family != f || route.Foreign.Protocol != rpdb.ProtocolStatic {
				t.Errorf("%s: by %v", what, err)
			}
			var got []rpdb.Family
			for _, s := range p.Changes {
				if s.Change.Op == rpdb.Add && s.Change.Rule != nil {
					got = append(got, s.Change.Rule.Family)
				}
			}
			if len(got) != len(p.Changes) || !slices.Equal(got, drifted) {
				t.Errorf("%s: drift is %v", what, p.Changes)
			}
			if _, err := s.repair(t); !errors.As(err, new(*plan.RangeError)) {
				t.Errorf("%s: repair: %v", what, err)
			}
		}
	}
}
