package answers

import (
	"net/netip"
	"slices"

	"rpdb"
)

// Witness returns an address of a family that stands for the outside: no route
// but a default covers it, no rule selects it, and it is not the host's own.
// Documentation addresses are tried first. If every candidate is covered, it
// returns the first of them.
func Witness(s *rpdb.Snapshot, f rpdb.Family) netip.Addr {
	inside := insidePrefixes(s, f)
	all := candidates(f)
	for _, a := range all {
		if !slices.ContainsFunc(inside, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return a
		}
	}
	return all[0]
}

// insidePrefixes returns the destinations that routes and rules name.
func insidePrefixes(s *rpdb.Snapshot, f rpdb.Family) []netip.Prefix {
	var inside []netip.Prefix
	for _, r := range s.Routes {
		if r.Family == f && !isWide(r.Dst) {
			inside = append(inside, r.Dst)
		}
	}
	for _, r := range s.Rules {
		if to := r.Selector.To; r.Family == f && to.IsValid() && !isWide(to) {
			inside = append(inside, to)
		}
	}
	return inside
}

// isWide reports whether a prefix is meant as a default: VPN clients write
// 0.0.0.0/1 and 128.0.0.0/1 to leave the default route alone, and 2000::/3 is
// all of IPv6 that is in use.
func isWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() <= 2
	}
	return p.Bits() <= 3
}

func candidates(f rpdb.Family) []netip.Addr {
	var all []netip.Addr
	if f == rpdb.IPv6 {
		// Down from 2001:db8:ffff::, as examples use the low networks.
		for net := 0xff; net > 0; net-- {
			all = append(all, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(net), byte(net), 15: 0x10}))
		}
		for high := range 0x10 {
			all = append(all, netip.AddrFrom16([16]byte{0x20 | byte(high), 0xf0, 15: 0x10}))
		}
		return all
	}
	all = append(all,
		netip.AddrFrom4([4]byte{203, 0, 113, 10}), netip.AddrFrom4([4]byte{198, 51, 100, 10}),
		netip.AddrFrom4([4]byte{192, 0, 2, 10}), netip.AddrFrom4([4]byte{192, 88, 99, 1}))
	for first := 1; first < 224; first++ {
		switch first {
		case 10, 100, 127, 169, 172, 192: // private and special networks
			continue
		}
		all = append(all, netip.AddrFrom4([4]byte{byte(first), 0, 113, 10}))
	}
	return all
}
