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
// stateful before the stateless ones, otherwise in the order given. Where no
// realm tells whose a packet is, in IPv6, the first that matches translates it.
// The error says what nf_tables cannot do, or why two of the list cannot both be.
func Canonical(list []rpdb.Translation) ([]rpdb.Translation, error) {
	var all []rpdb.Translation
	seen := map[rpdb.Translation]bool{}
	for _, t := range list {
		t = t.Canonical()
		if err := errors.Join(t.Valid(), unusable(t)); err != nil {
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

// unusable says what of the selector nf_tables cannot tell of a forwarded packet.
func unusable(t rpdb.Translation) error {
	s := t.Match
	ported := s.IPProto == rpdb.TCP || s.IPProto == rpdb.UDP || s.IPProto == 33 || s.IPProto == 132 // DCCP, SCTP
	switch {
	case len(t.Out) > 15 || len(s.IIF) > 15:
		return errors.New("the name of an interface has at most 15 bytes")
	case s.Not:
		return errors.New("an inverted selector cannot be repeated in nf_tables")
	case s.UIDRange.IsSet() || s.OIF != "" || s.IIF == "lo":
		return errors.New("the selector is about packets of the host itself, which are not translated")
	case s.TOS != 0:
		return errors.New("tos beside dscp cannot be repeated in nf_tables")
	case s.L3MDev:
		return errors.New("l3mdev cannot be repeated in nf_tables")
	case s.TunID != 0:
		return errors.New("tun_id cannot be repeated in nf_tables")
	case (s.SPort != rpdb.Ports{} || s.DPort != rpdb.Ports{}) && !ported:
		return errors.New("ports without ipproto tcp, udp, sctp or dccp cannot be repeated in nf_tables")
	}
	return nil
}

// together says why two translations cannot stand side by side.
func together(a, b *rpdb.Translation) error {
	switch {
	case a.Family != b.Family:
		return nil
	case a.Realm != 0 && a.Realm == b.Realm:
		return fmt.Errorf("both have realm %d", a.Realm)
	case a.Inbound && b.Inbound && a.To.Overlaps(b.To) && (a.To != b.To || a.From != b.From || a.Kind != b.Kind):
		return errors.New("the inbound maps overlap")
	}
	return nil
}
