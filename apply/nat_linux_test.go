package apply_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/plan"
)

// natPolicy translates the sources of one block into another, beside a rule that
// translates nothing. What it maps is the same block for all of them, so that two
// of these policies disagree about packets that come in.
func natPolicy(outside string, table rpdb.TableID) rpdb.Desired {
	realm, _ := rpdb.RealmOfCopy(table)
	r := ruleFrom("192.0.2.0/24")
	r.Selector.From = netip.MustParsePrefix("10.1.0.0/24")
	r.Action, r.Realms = rpdb.ToTable(table), rpdb.NewRealms(0, realm)
	plain := ruleFrom("192.0.2.14/32")
	plain.Action = rpdb.ToTable(82000)
	route := func(t rpdb.TableID, dst, via string, realms rpdb.Realms) rpdb.DesiredRoute {
		return rpdb.DesiredRoute{Name: dst, Route: rpdb.Route{
			Family: rpdb.IPv4, Table: t, Dst: netip.MustParsePrefix(dst), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB, Realms: realms,
			Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr(via), Link: 3}},
		}}
	}
	return rpdb.Desired{
		Rules: []rpdb.DesiredRule{{Rule: plain, Name: "plain"}, {
			Rule: r, Name: "translated", CopyOf: 82000,
			Translation: rpdb.Translation{
				Family: rpdb.IPv4, Kind: rpdb.TranslateBlock, From: r.Selector.From, To: netip.MustParsePrefix(outside), Inbound: true,
			},
		}},
		Routes: []rpdb.DesiredRoute{
			route(82000, "0.0.0.0/0", "192.0.2.1", 0),
			route(table, "0.0.0.0/0", "192.0.2.1", r.Realms), route(table, "198.51.100.0/24", "192.0.2.2", r.Realms),
		},
		Tables: []rpdb.DesiredTable{{ID: 82000}, {ID: table}},
	}
}

// TestTranslationsGoWithTheirGeneration: a trial has the new translation and the
// old one ready, and confirmed or taken back, only its own; nftables that somebody
// emptied is put right.
func TestTranslationsGoWithTheirGeneration(t *testing.T) {
	translations := func(s *site) (outside []string) {
		for _, t := range must(s.Memory.Snapshot(t.Context())).NAT.Translations {
			outside = append(outside, t.To.String())
		}
		slices.Sort(outside)
		return outside
	}
	both, old, young := []string{"198.18.5.0/24", "203.0.113.0/24"}, []string{"203.0.113.0/24"}, []string{"198.18.5.0/24"}
	for _, confirm := range []bool{true, false} {
		s := newSite(t, t.TempDir())
		if err := s.apply(t, "N", 0); err != nil || !slices.Equal(translations(s), old) {
			t.Fatalf("first: %v, %v", err, translations(s))
		}
		if err := s.apply(t, "M", time.Minute); err != nil || !slices.Equal(translations(s), both) {
			t.Fatalf("on trial: %v, %v", err, translations(s))
		}
		want := old
		_, err := s.session(t, func(session *apply.Session) error {
			if confirm {
				want = young
				_, err := session.Confirm(t.Context(), 0)
				return err
			}
			_, err := session.RollBack(t.Context(), "by eve")
			return err
		})
		if err != nil || !slices.Equal(translations(s), want) {
			t.Errorf("confirm %t: %v, %v, want %v", confirm, err, translations(s), want)
		}
		if err := s.Memory.Do(t.Context(), rpdb.NATChange(rpdb.Replace, nil)); err != nil {
			t.Fatal(err)
		}
		state, c := s.state(t)
		_, drift, err := apply.Drift(c, state, must(s.Memory.Snapshot(t.Context())))
		if err != nil || len(drift.Changes) != 1 || drift.Changes[0].Change.NAT == nil {
			t.Errorf("confirm %t: drift %v, %v", confirm, drift.Changes, err)
		}
		_, err = s.session(t, func(session *apply.Session) error {
			_, err := session.Repair(t.Context())
			return err
		})
		if err != nil || !slices.Equal(translations(s), want) {
			t.Errorf("confirm %t: repaired: %v, %v", confirm, err, translations(s))
		}
		if err := s.apply(t, "", 0); err != nil || len(translations(s)) > 0 {
			t.Errorf("confirm %t: removed: %v, %v", confirm, err, translations(s))
		}
	}
}

// TestForeignTableDoesNotKeepATrial: where somebody took the name of our table
// meanwhile, the generation before comes back without its translations.
func TestForeignTableDoesNotKeepATrial(t *testing.T) {
	s := newSite(t, t.TempDir())
	if err := s.apply(t, "N", 0); err != nil {
		t.Fatal(err)
	}
	if err := s.apply(t, "B", time.Minute); err != nil {
		t.Fatal(err)
	}
	state, c := s.state(t)
	host := must(s.Memory.Snapshot(t.Context()))
	host.NAT = rpdb.NAT{Foreign: "table ip rpdb"}
	e, back, err := apply.Return(c, state, host)
	if err != nil || e.ID != 1 || back.Empty() {
		t.Errorf("back to generation %d in %d steps, %v", e.ID, len(back.Steps), err)
	}
	if slices.ContainsFunc(back.Steps, func(s plan.Step) bool { return s.Change.NAT != nil }) {
		t.Error("going back touches a table that is not ours")
	}
	state.Pending, state.Generations[1].Status = nil, journal.RolledBack
	state.Generations[0].Status = journal.Confirmed
	_, _, err = apply.Drift(c, state, host)
	if blocked, ok := err.(*apply.BlockedError); !ok || len(blocked.By) != 1 {
		t.Errorf("drift: %v", err)
	}
}

// TestTranslationMadeAfterThePlan is not lost: the plan writes the whole table, as
// it was when it was made.
func TestTranslationMadeAfterThePlan(t *testing.T) {
	s := newSite(t, t.TempDir())
	if err := s.apply(t, "N", 0); err != nil {
		t.Fatal(err)
	}
	realm, _ := rpdb.RealmOfCopy(rpdb.FirstHandCopy(rpdb.IPv4))
	var byHand []rpdb.Translation
	_, err := s.session(t, func(session *apply.Session) error {
		prop := s.proposal(t, "M")
		byHand = rpdb.SortTranslations(append(slices.Clone(prop.Before.NAT.Translations), rpdb.Translation{
			Family: rpdb.IPv4, Kind: rpdb.TranslateMasquerade, Realm: realm, Rule: 500, CopyOf: 100,
		}))
		if err := s.Memory.Do(t.Context(), rpdb.NATChange(rpdb.Replace, byHand)); err != nil {
			t.Fatal(err)
		}
		_, err := session.Apply(t.Context(), prop)
		return err
	})
	if !errors.As(err, new(*apply.StaleError)) {
		t.Errorf("got %v", err)
	}
	if now := must(s.Memory.Snapshot(t.Context())).NAT.Translations; !slices.Equal(now, byHand) {
		t.Errorf("nftables holds %v, and held %v", now, byHand)
	}
}
