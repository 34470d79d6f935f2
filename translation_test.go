package rpdb_test

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"testing"

	"rpdb"
)

var _ = []func(){comparableNoun[rpdb.Translation]}

func TestTranslationWords(t *testing.T) {
	checkWords(t, map[rpdb.TranslationKind]string{
		0: "none", 1: "block", 2: "stateless", 3: "checksum-neutral", 4: "address", 5: "masquerade",
	})
}

func block4(from, to string) rpdb.Translation {
	return rpdb.Translation{
		Family: rpdb.IPv4, Kind: rpdb.TranslateBlock, From: prefix(from), To: prefix(to),
		Inbound: true, Realm: 10010, Rule: 10010,
	}
}

func block6(from, to string) rpdb.Translation {
	return rpdb.Translation{
		Family: rpdb.IPv6, Kind: rpdb.TranslateNeutral, From: prefix(from), To: prefix(to),
		Inbound: true, Realm: 10510, Rule: 10010,
	}
}

// TestTranslationMaps: what an address becomes, and that the inbound map is the
// way back. The first case of IPv6 is the example of RFC 6296.
func TestTranslationMaps(t *testing.T) {
	address := rpdb.Translation{Family: rpdb.IPv4, Kind: rpdb.TranslateAddress, To: prefix("203.0.113.7/32"), Realm: 1}
	for _, c := range []struct {
		name     string
		of       rpdb.Translation
		in, want string
	}{
		{"first of a block", block4("10.1.0.0/16", "198.18.0.0/16"), "10.1.0.0", "198.18.0.0"},
		{"middle of a block", block4("10.1.0.0/16", "198.18.0.0/16"), "10.1.128.7", "198.18.128.7"},
		{"last of a block", block4("10.1.0.0/16", "198.18.0.0/16"), "10.1.255.255", "198.18.255.255"},
		{"a block between bytes", block4("10.1.0.64/27", "198.18.5.32/27"), "10.1.0.95", "198.18.5.63"},
		{"not of the block", block4("10.1.0.0/16", "198.18.0.0/16"), "10.2.0.0", ""},
		{"all to one", address, "10.9.9.9", "203.0.113.7"},
		{"example of the RFC", block6("fd01:203:405::/48", "2001:db8:1::/48"), "fd01:203:405:1::1234", "2001:db8:1:d550::1234"},
		{"a subnet that has no image", block6("fd01:203:405::/48", "2001:db8:1::/48"), "fd01:203:405:ffff::1", ""},
		{"behind a long prefix", block6("fd01:203:405:7::/64", "2001:db8:1:7::/64"), "fd01:203:405:7::1", "2001:db8:1:7:d54f::1"},
		{"the next word", block6("fd01:203:405:7::/64", "2001:db8:1:7::/64"), "fd01:203:405:7:ffff::1", "2001:db8:1:7:ffff:d54f:0:1"},
		{"no word at all", block6("fd01:203:405:7::/64", "2001:db8:1:7::/64"), "fd01:203:405:7:ffff:ffff:ffff:ffff", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.of.Valid(); err != nil {
				t.Fatal(err)
			}
			got, ok := c.of.Source(addr(c.in))
			if !ok && c.want == "" {
				return
			}
			if got != addr(c.want) {
				t.Fatalf("got %v, want %s", got, c.want)
			}
			if back, ok := c.of.Target(got); c.of.Inbound && (!ok || back != addr(c.in)) {
				t.Errorf("the way back: %v, want %s", back, c.in)
			}
		})
	}
}

// TestTranslationNeutral: the sum of the words of an address stays what it was,
// which is all that a checksum sees of it.
func TestTranslationNeutral(t *testing.T) {
	r := rand.New(rand.NewPCG(6296, 82))
	sum := func(a netip.Addr) uint64 {
		b, n := a.As16(), uint64(0)
		for i := 0; i < 16; i += 2 {
			n += uint64(binary.BigEndian.Uint16(b[i:]))
		}
		return n % 0xffff
	}
	random := func(bits int) netip.Prefix {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], r.Uint64())
		return netip.PrefixFrom(netip.AddrFrom16(b), bits).Masked()
	}
	for range 20_000 {
		bits := 1 + r.IntN(64)
		x := block6("fd00::/8", "fd00::/8")
		x.From, x.To = random(bits), random(bits)
		b := x.From.Addr().As16()
		var host [16]byte
		binary.BigEndian.PutUint64(host[:], r.Uint64()>>bits)
		binary.BigEndian.PutUint64(host[8:], r.Uint64())
		for i := range b {
			b[i] |= host[i]
		}
		a := netip.AddrFrom16(b)
		out, ok := x.Source(a)
		if !ok || !x.To.Contains(out) || sum(out) != sum(a) {
			t.Fatalf("%v of %v to %v: %v, %v", a, x.From, x.To, out, ok)
		}
		if back, ok := x.Target(out); !ok || back != a {
			t.Fatalf("%v of %v to %v: back comes %v", a, x.From, x.To, back)
		}
	}
}

func TestTranslationValid(t *testing.T) {
	plain4, plain6 := block4("10.1.0.0/16", "198.18.0.0/16"), block6("fd01:203:405::/48", "2001:db8:1::/48")
	masquerade := rpdb.Translation{Family: rpdb.IPv4, Kind: rpdb.TranslateMasquerade, Realm: 7}
	for name, of := range map[string]rpdb.Translation{"block": plain4, "checksum-neutral": plain6, "masquerade": masquerade} {
		if err := of.Valid(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		of     rpdb.Translation
		change func(*rpdb.Translation)
	}{
		"nothing at all":         {rpdb.Translation{}, func(*rpdb.Translation) {}},
		"no kind":                {plain4, func(x *rpdb.Translation) { x.Kind = 0 }},
		"a kind without a name":  {plain4, func(x *rpdb.Translation) { x.Kind, x.Inbound = 99, false }},
		"no realm":               {plain4, func(x *rpdb.Translation) { x.Realm = 0 }},
		"no realm of IPv6":       {plain6, func(x *rpdb.Translation) { x.Realm = 0 }},
		"a realm of no program":  {plain6, func(x *rpdb.Translation) { x.Realm = 7 }},
		"host bits inside":       {plain4, func(x *rpdb.Translation) { x.From = prefix("10.1.0.1/16") }},
		"host bits outside":      {plain4, func(x *rpdb.Translation) { x.To = prefix("198.18.0.1/16") }},
		"blocks of two lengths":  {plain4, func(x *rpdb.Translation) { x.To = prefix("198.18.0.0/15") }},
		"blocks of two families": {plain4, func(x *rpdb.Translation) { x.To = prefix("2001:db8::/16") }},
		"mapped addresses":       {plain6, func(x *rpdb.Translation) { x.From = prefix("::ffff:0:0/112") }},
		"no inside block":        {plain4, func(x *rpdb.Translation) { x.From = netip.Prefix{} }},
		"a block of everything":  {plain4, func(x *rpdb.Translation) { x.From, x.To = prefix("0.0.0.0/0"), prefix("0.0.0.0/0") }},
		"untracked state":        {plain4, func(x *rpdb.Translation) { x.NoTrack = true }},
		"inbound masquerade":     {masquerade, func(x *rpdb.Translation) { x.Inbound = true }},
		"masquerade to a block":  {masquerade, func(x *rpdb.Translation) { x.To = prefix("198.18.0.0/16") }},
		"one address of many":    {masquerade, func(x *rpdb.Translation) { x.Kind, x.To = rpdb.TranslateAddress, prefix("198.18.0.0/16") }},
		"neutral IPv4":           {plain4, func(x *rpdb.Translation) { x.Kind = rpdb.TranslateNeutral }},
		"neutral behind 65 bits": {plain6, func(x *rpdb.Translation) { x.From, x.To = prefix("fd00::/65"), prefix("fd01::/65") }},
	} {
		of := c.of
		if c.change(&of); of.Valid() == nil {
			t.Errorf("%s is taken: %+v", name, of)
		}
		if got, ok := of.Source(addr("10.1.0.5")); ok && of.Valid() != nil {
			t.Errorf("%s makes %v of an address", name, got)
		}
	}
}

func TestTranslationForm(t *testing.T) {
	for _, c := range []struct {
		of         rpdb.Translation
		text, json string
	}{
		{
			block4("10.1.0.0/16", "198.18.0.0/16"), "nat 198.18.0.0/16",
			`{"family":"inet","kind":"block","from":"10.1.0.0/16","to":"198.18.0.0/16","inbound":true,"realm":10010,"rule":10010}`,
		},
		{
			block6("fd01:203:405::/48", "2001:db8:1::/48"), "nat 2001:db8:1::/48 checksum-neutral",
			`{"family":"inet6","kind":"checksum-neutral","from":"fd01:203:405::/48","to":"2001:db8:1::/48","inbound":true,"realm":10510,"rule":10010}`,
		},
		{
			rpdb.Translation{Family: rpdb.IPv4, Kind: rpdb.TranslateMasquerade, Realm: 7, Rule: 7},
			"nat masquerade",
			`{"family":"inet","kind":"masquerade","realm":7,"rule":7}`,
		},
		{
			rpdb.Translation{Family: rpdb.IPv4, Kind: rpdb.TranslateAddress, To: prefix("203.0.113.7/32"), Realm: 7, Rule: 7},
			"nat 203.0.113.7",
			`{"family":"inet","kind":"address","to":"203.0.113.7/32","realm":7,"rule":7}`,
		},
	} {
		data, err := json.Marshal(c.of)
		if err != nil || string(data) != c.json {
			t.Errorf("%v:\n%s\n%s", err, data, c.json)
		}
		if c.of.String() != c.text {
			t.Errorf("%q, want %q", c.of, c.text)
		}
	}
}
