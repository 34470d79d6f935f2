package rpdb

import "slices"

// NAT is what our table of nftables holds. No decision depends on it. The zero
// NAT is a host without that table.
type NAT struct {
	// Translations stand in the order of [Translation.Compare].
	Translations []Translation `json:"translations,omitempty"`
	// Foreign says whose the table of our name is, where it is not ours; "" if it
	// is, or if there is none.
	Foreign string `json:"foreign,omitzero"`
	// Unknown describes what stands in our table and is no translation.
	Unknown []string `json:"unknown,omitempty"`
}

// IsZero reports whether there is nothing, and so nothing to be written.
func (n NAT) IsZero() bool { return len(n.Translations)+len(n.Unknown) == 0 && n.Foreign == "" }

// SortTranslations returns translations in canonical form and in order, each
// once.
func SortTranslations(list []Translation) []Translation {
	var all []Translation
	for _, t := range list {
		all = append(all, t.Canonical())
	}
	slices.SortFunc(all, Translation.Compare)
	return slices.Compact(all)
}
