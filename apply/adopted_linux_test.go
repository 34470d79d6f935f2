package apply_test

import (
	"slices"
	"testing"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/kernel/kerneltest"
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
