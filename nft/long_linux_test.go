package nft_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"rpdb"
	"rpdb/kernel/kerneltest"
	"rpdb/nft"
)

// TestLongLists: what does not go into one message is refused in words, with nothing
// written. Who is privileged over the machine can write it.
func TestLongLists(t *testing.T) {
	c := open(t, kerneltest.Namespace(t))
	const size = 40 << 20 // what some twelve thousand maps take
	err := asNobody(func() error { return c.MakeRoom(size) })
	if !errors.Is(err, nft.ErrTooMany) || !strings.Contains(err.Error(), "one message of 41943040 bytes, and a process without privilege over the machine can send ") {
		t.Errorf("without privilege: %v", err)
	}
	list := maps(rpdb.TranslateStateless, 1000)
	if c.MakeRoom(size) != nil { // an ordinary user's namespace
		longer := maps(rpdb.TranslateStateless, 12000)
		if err := c.Replace(t.Context(), longer); !errors.Is(err, nft.ErrTooMany) || !strings.HasPrefix(err.Error(), "replace 12000 translations: too many for one transaction") {
			t.Errorf("without privilege: %v", err)
		}
		list = nil
	} else {
		must(t, c.Replace(t.Context(), list))
	}
	s, err := c.Read(t.Context())
	if err != nil || len(s.Translations) != len(list) || len(s.Unknown) > 0 {
		t.Errorf("%d stand, want %d; %q, %v", len(s.Translations), len(list), s.Unknown, err)
	}
}

// TestClash: looking at neighbours alone finds out the same as looking at every two.
func TestClash(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	clashes := 0
	for range 20000 {
		var list []rpdb.Translation
		for range 1 + r.IntN(6) {
			bits := 22 + r.IntN(4)
			block := func(first byte) netip.Prefix {
				return netip.PrefixFrom(netip.AddrFrom4([4]byte{first, 0, byte(r.IntN(16)), byte(r.IntN(256))}), bits).Masked()
			}
			list = append(list, rpdb.Translation{
				Family: rpdb.IPv4, Kind: rpdb.TranslateBlock + rpdb.TranslationKind(r.IntN(2)), From: block(10), To: block(100),
				Inbound: r.IntN(3) > 0, Realm: uint16(1 + r.IntN(40)),
			})
			if r.IntN(4) == 0 { // the map of another generation
				again := list[r.IntN(len(list))]
				again.Realm += 100
				list = append(list, again)
			}
		}
		err := nft.Clashing(list)
		if got := nft.Clash(list); got != (err != nil) {
			t.Fatalf("%v: got %v, want %v", list, got, err)
		}
		if err != nil {
			clashes++
		}
	}
	if clashes < 2000 || clashes > 18000 {
		t.Errorf("%d of 20000 lists clash", clashes)
	}
}
