package nfttest

import (
	"math/rand/v2"
	"net/netip"

	"rpdb"
)

// Block4 returns the plainest translation: a block of IPv4.
func Block4() rpdb.Translation {
	return rpdb.Translation{
		Family: rpdb.IPv4, Kind: rpdb.TranslateBlock, Inbound: true, Realm: 10010, Rule: 10010,
		From: netip.MustParsePrefix("10.1.0.0/24"), To: netip.MustParsePrefix("203.0.113.0/24"),
	}
}

// Block6 returns the plainest one of IPv6.
func Block6() rpdb.Translation {
	return rpdb.Translation{
		Family: rpdb.IPv6, Kind: rpdb.TranslateBlock, Inbound: true, Realm: 10510, Rule: 10010,
		From: netip.MustParsePrefix("fd00:1::/64"), To: netip.MustParsePrefix("2001:db8:5::/64"),
	}
}

// Random returns n translations of any kind that nf_tables can do, each by itself.
func Random(r *rand.Rand, n int) []rpdb.Translation {
	var all []rpdb.Translation
	for range n {
		t := rpdb.Translation{Family: rpdb.Families()[r.IntN(2)], Rule: rpdb.Priority(r.Uint32() >> (8 * r.IntN(5)))}
		for t.Kind = randomKind(r); t.Kind == rpdb.TranslateNeutral && t.Family == rpdb.IPv4; {
			t.Kind = randomKind(r)
		}
		if r.IntN(3) == 0 {
			t.CopyOf = rpdb.TableID(r.Uint32() >> (8 * r.IntN(4)))
		}
		bits := 1 + r.IntN(t.Family.Bits())
		if t.Kind == rpdb.TranslateNeutral {
			bits = 1 + r.IntN(64)
		}
		if t.Kind.Maps() {
			t.From, t.To, t.Inbound = randomBlock(r, t.Family, bits), randomBlock(r, t.Family, bits), r.IntN(3) > 0
			t.NoTrack = t.Kind.Stateless() && r.IntN(2) == 0
		} else if r.IntN(2) == 0 {
			t.From = randomBlock(r, t.Family, bits)
		}
		if t.Kind == rpdb.TranslateAddress {
			t.To = randomBlock(r, t.Family, t.Family.Bits())
		}
		if t.Realm = uint16(1 + r.IntN(0xffff)); t.Family == rpdb.IPv6 {
			t.Realm, _ = rpdb.RealmOfCopy(rpdb.TableID(82500 + r.IntN(2500)))
		}
		all = append(all, t)
	}
	return all
}

func randomKind(r *rand.Rand) rpdb.TranslationKind { return rpdb.TranslationKind(1 + r.IntN(5)) }

func randomBlock(r *rand.Rand, f rpdb.Family, bits int) netip.Prefix {
	b := make([]byte, f.Bits()/8)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(a, bits).Masked()
}
