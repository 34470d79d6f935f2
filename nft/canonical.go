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
		for i := range all {
			o := &all[i]
			if err := together(o, &t); err != nil {
				return nil, fmt.Errorf("%q and %q (%v): %w", headOf(*o), headOf(t), t.Family, err)
			}
		}
		all = append(all, t)
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
