package nfttest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"rpdb"
	"rpdb/nft"
)

// Tables is what [nft.Conn] and [Memory] have in common.
type Tables interface {
	Read(ctx context.Context) (nft.State, error)
	Replace(ctx context.Context, list []rpdb.Translation) error
	Delete(ctx context.Context) error
}

// World is one of them for one test, and what others could do to it.
type World struct {
	Tables
	// Disturb puts something into a table of ours; there is one.
	Disturb func(t *testing.T)
	// Changes counts the changes of nf_tables.
	Changes func(t *testing.T) int
}

// Conformance is what both must pass. Make returns a fresh one.
func Conformance(t *testing.T, make func(t *testing.T) World) {
	t.Run("nothing", func(t *testing.T) { nothing(t, make(t)) })
	t.Run("round trip", func(t *testing.T) { roundTrip(t, make(t)) })
	t.Run("twice is once", func(t *testing.T) { twice(t, make(t)) })
	t.Run("two generations", func(t *testing.T) { generations(t, make(t)) })
	t.Run("bad lists", func(t *testing.T) { badLists(t, make(t)) })
	t.Run("disturbed", func(t *testing.T) { disturbed(t, make(t)) })
	t.Run("ended", func(t *testing.T) { ended(t, make(t)) })
}

func nothing(t *testing.T, w World) {
	expect(t, w, nil)
	ok(t, w.Delete(t.Context()))
	ok(t, w.Replace(t.Context(), nil))
	if w.Changes(t) != 0 {
		t.Error("something was changed")
	}
}

// roundTrip: what is put comes back, in canonical form and order.
func roundTrip(t *testing.T, w World) {
	r := rand.New(rand.NewPCG(9, 82))
	for range 40 {
		list := Random(r, r.IntN(12))
		want, err := nft.Canonical(list)
		if err != nil {
			continue // two of the list are not for each other
		}
		ok(t, w.Replace(t.Context(), list))
		if expect(t, w, want); t.Failed() {
			t.Fatalf("of %+v", list)
		}
	}
	ok(t, w.Delete(t.Context()))
	expect(t, w, nil)
}

func twice(t *testing.T, w World) {
	list := []rpdb.Translation{Block4(), Block6()}
	ok(t, w.Replace(t.Context(), list))
	before := w.Changes(t)
	ok(t, w.Replace(t.Context(), list))
	ok(t, w.Replace(t.Context(), append(list, list...)))
	if after := w.Changes(t); after != before {
		t.Errorf("%d changes for what stands", after-before)
	}
}

// generations: the packets of two generations of one rule are told apart by their
// realms, and the inbound map is that of one of them.
func generations(t *testing.T, w World) {
	before, after := Block4(), Block4()
	before.Rule, after.Rule, after.Realm, after.Inbound = 0, 0, 10020, false
	list := []rpdb.Translation{before, after}
	ok(t, w.Replace(t.Context(), list))
	expect(t, w, list)
	list[0].Inbound, list[1].Inbound = false, true
	ok(t, w.Replace(t.Context(), list))
	expect(t, w, list)
	list[0].Inbound = true // both want the same map
	ok(t, w.Replace(t.Context(), list))
	expect(t, w, list)
	ok(t, w.Replace(t.Context(), list[1:]))
	expect(t, w, list[1:])
}

func badLists(t *testing.T, w World) {
	stands := []rpdb.Translation{Block4()}
	ok(t, w.Replace(t.Context(), stands))
	other := Block4()
	other.From, other.Rule = netip.MustParsePrefix("10.9.0.0/24"), 10020
	overlap := other
	overlap.Realm = 10020
	unmarked, again := Block6(), Block6()
	unmarked.Realm = 10010
	again.From, again.Inbound = netip.MustParsePrefix("fd00:9::/64"), false
	for name, list := range map[string][]rpdb.Translation{
		"the zero value":        {{}},
		"one realm twice":       {Block4(), other},
		"overlapping inbound":   {Block4(), overlap},
		"a realm of no program": {unmarked},
		"one program twice":     {Block6(), again},
	} {
		var failed *nft.Error
		if err := w.Replace(t.Context(), list); !errors.As(err, &failed) || failed.Op != "replace" {
			t.Errorf("%s: %v", name, err)
		}
	}
	expect(t, w, stands)
}

// disturbed: what is not ours is told, and goes with the next change.
func disturbed(t *testing.T, w World) {
	list := []rpdb.Translation{Block4(), Block6()}
	ok(t, w.Replace(t.Context(), list))
	w.Disturb(t)
	if s, err := w.Read(t.Context()); err != nil || len(s.Unknown) == 0 {
		t.Errorf("it is not seen: %+v, %v", s, err)
	}
	ok(t, w.Replace(t.Context(), list))
	expect(t, w, list)
}

func ended(t *testing.T, w World) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Replace(ctx, []rpdb.Translation{Block4()}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := w.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	expect(t, w, nil)
}

func expect(t *testing.T, w World, want []rpdb.Translation) {
	t.Helper()
	s, err := w.Read(t.Context())
	if err != nil || len(s.Unknown) > 0 || s.Foreign != "" || !slices.Equal(s.Translations, want) {
		t.Errorf("got %+v, %v\nwant %+v", s, err, want)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
