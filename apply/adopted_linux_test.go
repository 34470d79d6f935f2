package apply_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
)

// TestTrialGivesBackWhatItAdopted: a rule and a route that somebody made by hand
// become ours for the time of a trial, and are his again when nobody confirms it.
func TestTrialGivesBackWhatItAdopted(t *testing.T) {
	s := newTemplate(t, false, "A").site(t)
	err := kerneltest.Script(t.Context(), s.Memory,
		"ip rule add from 203.0.113.7 pref 100 table 100",
		"ip route add 203.0.113.0/24 via 192.0.2.9 table 100")
	if err != nil {
		t.Fatal(err)
	}
	before := s.foreign(t)
	host := must(s.Memory.Snapshot(t.Context()))
	desired := policies()["A"]
	by := []rpdb.Protocol{rpdb.ProtocolBoot}
	for _, r := range host.Rules {
		if r.Priority == 100 {
			r.Protocol = rpdb.ProtocolRPDB
			desired.Rules = slices.Concat([]rpdb.DesiredRule{{Rule: r, Name: "adopted", Pinned: true, Adopts: by}}, desired.Rules)
		}
	}
	for _, r := range host.Table(rpdb.IPv4, 100) {
		r.Protocol = rpdb.ProtocolRPDB
		desired.Routes = append(slices.Clone(desired.Routes), rpdb.DesiredRoute{Route: r, Name: "adopted", Adopts: by})
	}
	desired.Tables = append(slices.Clone(desired.Tables), rpdb.DesiredTable{ID: 100})
	_, err = s.session(t, func(session *apply.Session) error {
		_, err := session.Apply(t.Context(), apply.Proposal{Policy: "adopting", Desired: desired, Before: host, Confirm: time.Minute})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.ours(t); got != countOf(t, "A")+2 || s.foreign(t) == before {
		t.Errorf("%d objects of ours; those of others are\n%s", got, s.foreign(t))
	}
	s.machine.since += time.Hour
	s.oneOf(t, "not confirmed", "A")
	if got := s.foreign(t); got != before {
		t.Errorf("those of others are\n%s\nwere\n%s", got, before)
	}
}

// TestEveryOperationEndsWhereItShould, without a fault.
func TestEveryOperationEndsWhereItShould(t *testing.T) {
	for _, op := range operations(t) {
		if op.run(t, faults{at: 1 << 30}) {
			t.Errorf("%s: a fault was reached", op.name)
		}
	}
}

// propose applies a policy as it is, or as that of an earlier generation.
func (s *site) propose(t *testing.T, name string, to uint64) apply.Outcome {
	t.Helper()
	var out apply.Outcome
	_, err := s.session(t, func(session *apply.Session) (err error) {
		prop := s.proposal(t, name)
		prop.To = to
		out, err = session.Apply(t.Context(), prop)
		return err
	})
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return out
}

// TestWhoIsOwed: who takes a rule out of his policy has decided so, and what was
// given back is its maker's to delete. Only a rollback to before makes it again,
// once.
func TestWhoIsOwed(t *testing.T) {
	had := asOf(t, "").foreign(t)
	s := newTemplate(t, false, "A", "D").site(t)
	s.propose(t, "B", 0) // 3
	if s.foreign(t) == had {
		t.Error("a policy without it gives it back")
	}
	s.propose(t, "", 0) // 4
	if s.foreign(t) == had || s.ours(t) != 0 {
		t.Error("what the policy did not hold any more is given back")
	}
	s.propose(t, "A", 1) // 5
	if got := s.foreign(t); got != had {
		t.Errorf("back before the adoption others have\n%s\nand had\n%s", got, had)
	}
	scriptOn(t, s, "ip rule del pref 200", "ip -6 rule del pref 200")
	less := s.foreign(t)
	s.propose(t, "B", 0)
	s.propose(t, "A", 1)
	s.propose(t, "", 0)
	if got := s.foreign(t); got != less {
		t.Errorf("what somebody has deleted comes again:\n%s\nand not\n%s", got, less)
	}
}

// TestWhatOthersMadeAgainStays: a trial that was to give it back has not made it, and
// its end takes nothing of it away.
func TestWhatOthersMadeAgainStays(t *testing.T) {
	s := newTemplate(t, false, "A", "D").site(t)
	s.propose(t, "B", 0)
	scriptOn(t, s, "ip rule add pref 200 from 192.0.2.96 lookup 8", "ip route add 203.0.113.0/24 via 192.0.2.9 table 8")
	before := s.foreign(t)
	_, err := s.session(t, func(session *apply.Session) error {
		prop := s.proposal(t, "A")
		prop.To, prop.Confirm = 1, time.Minute
		if _, err := session.Apply(t.Context(), prop); err != nil {
			return err
		}
		if s.foreign(t) == before {
			t.Error("what nobody has made again is not given back")
		}
		_, err := session.RollBack(t.Context(), "by eve")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.foreign(t); got != before {
		t.Errorf("others have\n%s\nand had\n%s", got, before)
	}
}

// TestWhatCannotBeGivenBack is no reason to keep ours in force, and said.
func TestWhatCannotBeGivenBack(t *testing.T) {
	had := asOf(t, "").foreign(t)
	for name, to := range map[string]uint64{"": 0, "A": 1} {
		s := newTemplate(t, false, "A", "D").site(t)
		s.refuse = func(c rpdb.Change) bool {
			return c.Op == rpdb.Add && c.Rule != nil && c.Rule.Family == rpdb.IPv6 && c.Rule.Protocol != rpdb.ProtocolRPDB
		}
		out := s.propose(t, name, to)
		if out.Withheld == nil || out.Entry.Status != journal.Confirmed || s.ours(t) != countOf(t, name) {
			t.Errorf("%q: withheld: %v, %+v, %d objects of ours", name, out.Withheld, out.Entry, s.ours(t))
		}
		s.refuse = nil
		if out := s.propose(t, "A", 1); name == "" && (s.foreign(t) != had || out.Withheld != nil) {
			t.Errorf("%q: when it can, others have\n%s\nand had\n%s", name, s.foreign(t), had)
		}
	}
}

// TestWhenPacketsSeeWhatIsGivenBack: not where ours stands beside it, and at the
// switch where the policy has changed it.
func TestWhenPacketsSeeWhatIsGivenBack(t *testing.T) {
	for _, made := range [][]string{{"A", "D"}, {"A", "D", "E"}} {
		s := newTemplate(t, false, made...).site(t)
		want := plan.Prepare
		if len(made) == 3 {
			want = plan.Switch
		}
		n := 0
		for _, step := range s.propose(t, "A", 1).Plan.Steps {
			c := step.Change
			if c.Op != rpdb.Delete && (c.Rule != nil && c.Rule.Protocol != rpdb.ProtocolRPDB || c.Route != nil && c.Route.Protocol != rpdb.ProtocolRPDB) {
				n++
				if step.Phase != want {
					t.Errorf("%q: %v is in the phase %s, want %s", made, c, step.Phase, want)
				}
			}
		}
		if n != 4 {
			t.Errorf("%q: %d are given back", made, n)
		}
	}
}

// TestAdoptedTwice: what is adopted, taken out of the policy, made again by its maker
// and adopted again is given back once.
func TestAdoptedTwice(t *testing.T) {
	had := asOf(t, "").foreign(t)
	s := newTemplate(t, false, "A", "D").site(t)
	s.propose(t, "B", 0)
	scriptOn(t, s, hostLines()[9:13]...)
	if got := s.foreign(t); got != had {
		t.Fatalf("made again:\n%s\nwant\n%s", got, had)
	}
	s.propose(t, "D", 0)
	seen := map[string]int{}
	for _, c := range s.propose(t, "A", 1).Plan.Changes {
		if seen[string(must(json.Marshal(c.Change)))]++; seen[string(must(json.Marshal(c.Change)))] > 1 {
			t.Errorf("twice: %v", c.Change)
		}
	}
	if got := s.foreign(t); got != had {
		t.Errorf("others have\n%s\nand had\n%s", got, had)
	}
}
