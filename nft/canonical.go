package nft

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"rpdb"
)

// Canonical returns the list as [Conn.Read] gives it back: each translation in
// its canonical form and none twice, those of IPv4 first and of each family the
// stateful before the stateless ones, otherwise in the order given. The error says
// what is no translation, or why two of the list cannot both be.
func Canonical(list []rpdb.Translation) ([]rpdb.Translation, error) {
	var all []rpdb.Translation
	seen := map[rpdb.Translation]bool{}
	for _, t := range list {
		t = t.Canonical()
		if err := t.Valid(); err != nil {
			return nil, fmt.Errorf("%q (%v): %w", headOf(t), t.Family, err)
		}
		if seen[t] {
			continue
		}
		seen[t] = true
		all = append(all, t)
	}
	if clash(all) {
		return nil, clashing(all)
	}
	slices.SortStableFunc(all, func(a, b rpdb.Translation) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), order(a)-order(b))
	})
	return all, nil
}

func order(t rpdb.Translation) int {
	if t.Kind.Stateless() {
		return 1
	}
	return 0
}

// clash reports whether two of a list cannot stand side by side, without looking
// at every two of it.
func clash(list []rpdb.Translation) bool {
	type tie struct {
		family rpdb.Family
		realm  uint16
	}
	ties := map[tie]bool{}
	var inbound []*rpdb.Translation
	for i := range list {
		t := &list[i]
		of := tie{t.Family, t.Realm}
		if ties[of] {
			return true
		}
		if ties[of] = true; t.Inbound {
			inbound = append(inbound, t)
		}
	}
	// Blocks overlap where one holds the other, so that, in order, one that
	// overlaps any before it overlaps the last.
	slices.SortFunc(inbound, func(a, b *rpdb.Translation) int { return a.To.Compare(b.To) })
	for i := 1; i < len(inbound); i++ {
		if together(inbound[i-1], inbound[i]) != nil {
			return true
		}
	}
	return false
}

// clashing names the first two of a list that cannot stand side by side.
func clashing(list []rpdb.Translation) error {
	for i := range list {
		for j := range i {
			a, b := &list[j], &list[i]
			if err := together(a, b); err != nil {
				return fmt.Errorf("%q and %q (%v): %w", headOf(*a), headOf(*b), b.Family, err)
			}
		}
	}
	return nil
}

// together says why two translations cannot stand side by side.
func together(a, b *rpdb.Translation) error {
	switch {
	case a.Family != b.Family:
		return nil
	case a.Realm == b.Realm:
		return fmt.Errorf("both have realm %d", a.Realm)
	case a.Inbound && b.Inbound && a.To.Overlaps(b.To) && (a.To != b.To || a.From != b.From || a.Kind != b.Kind):
		return errors.New("the inbound maps overlap")
	}
	return nil
}
