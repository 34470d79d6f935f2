package snapshot

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

// TestRedactedDecisions puts flows to a world and to its redacted copy: the
// answers must be the same, under the new names.
func TestRedactedDecisions(t *testing.T) {
	for seed := range uint64(12) {
		g := corpus.New(seed)
		s := g.Snapshot()
		moveAway(s)
		s.Sysctls.HashSeed = 0
		r := NewRedactor(Key{byte(seed)}, seed%2 == 0)
		plain, redacted := fib.Compile(s), fib.Compile(r.Snapshot(s))
		for range 100 {
			for _, f := range rpdb.Families() {
				flow := away(g.Flow(f))
				want := decision(r, plain.Lookup(flow))
				if got := redacted.Lookup(r.Flow(flow)); !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, %+v\n got %+v\nwant %+v", seed, flow, got, want)
				}
			}
		}
	}
}

// The worlds of the corpus live in networks for documentation, which are kept.
// moveAway and away put them where real hosts live.
func moveAway(s *rpdb.Snapshot) {
	for i := range s.Rules {
		sel := &s.Rules[i].Selector
		sel.From, sel.To = awayPrefix(sel.From), awayPrefix(sel.To)
	}
	for i := range s.Routes {
		r := &s.Routes[i]
		r.Dst, r.Src, r.PrefSrc = awayPrefix(r.Dst), awayPrefix(r.Src), awayAddr(r.PrefSrc)
		r.Nexthops = slices.Clone(r.Nexthops)
		for j := range r.Nexthops {
			r.Nexthops[j].Via = awayAddr(r.Nexthops[j].Via)
		}
	}
	for i := range s.Addresses {
		s.Addresses[i].Prefix = awayPrefix(s.Addresses[i].Prefix)
	}
	for i := range s.Neighbours {
		s.Neighbours[i].Addr = awayAddr(s.Neighbours[i].Addr)
	}
	for i := range s.Nexthops {
		s.Nexthops[i].Nexthop.Via = awayAddr(s.Nexthops[i].Nexthop.Via)
	}
}

func away(f rpdb.Flow) rpdb.Flow {
	f.Dst, f.Src = awayAddr(f.Dst), awayAddr(f.Src)
	return f
}

func awayPrefix(p netip.Prefix) netip.Prefix {
	if !p.IsValid() {
		return p
	}
	return netip.PrefixFrom(awayAddr(p.Addr()), p.Bits())
}

func awayAddr(a netip.Addr) netip.Addr {
	b := a.AsSlice()
	switch {
	case !a.IsValid():
		return a
	case a.Is4() && slices.Contains([]byte{192, 198, 203}, b[0]):
		b[0] -= 10
	case strings.HasPrefix(a.String(), "2001:db"):
		b[1] = 3
	}
	out, _ := netip.AddrFromSlice(b)
	return out
}

// decision is what the redacted engine should say.
func decision(r *Redactor, d rpdb.Decision) rpdb.Decision {
	hop := func(h rpdb.Hop) rpdb.Hop { return rpdb.Hop{Link: r.Link(h.Link), Via: r.Addr(h.Via)} }
	d.Hop, d.Src, d.Prefix = hop(d.Hop), r.Addr(d.Src), r.Prefix(d.Prefix)
	d.Either = each(d.Either, hop)
	return d
}

func TestRedactedIsGone(t *testing.T) {
	const secret, tunnel = "185.199.108.153", "\xb9\xc7\x6c\x99"
	a := netip.MustParseAddr(secret)
	own := netip.MustParsePrefix("2a01:4f8:c17:b0f::2/64")
	s := &rpdb.Snapshot{
		Links: []rpdb.Link{{Index: 7, Name: "customer-a"}},
		Rules: []rpdb.Rule{{Family: rpdb.IPv4, Selector: rpdb.Selector{From: netip.PrefixFrom(a, 32), IIF: "customer-a"}, Unknown: tunnel}},
		Routes: []rpdb.Route{{
			Family: rpdb.IPv4, Dst: netip.PrefixFrom(a, 32), PrefSrc: a,
			Nexthops: []rpdb.Nexthop{{Via: a, EncapType: 2, Encap: tunnel}}, Unknown: tunnel,
		}},
		Addresses:  []rpdb.Address{{Link: 7, Prefix: netip.PrefixFrom(a, 24), Peer: a}, {Link: 7, Prefix: own}},
		Neighbours: []rpdb.Neighbour{{Link: 7, Addr: a}, {Link: 7, Addr: netip.MustParseAddr("ff02::1:ff00:2")}},
		Nexthops:   []rpdb.NexthopObject{{ID: 1, Nexthop: rpdb.Nexthop{Via: a}, Unknown: tunnel}},
		NAT: rpdb.NAT{
			Translations: []rpdb.Translation{{Family: rpdb.IPv4, From: netip.PrefixFrom(a, 32), To: netip.PrefixFrom(a, 32)}},
			Unknown:      []string{"a rule with " + secret},
		},
		Sysctls: rpdb.Sysctls{HashSeed: 5, Links: map[rpdb.LinkName]rpdb.LinkSysctls{"customer-a": {RPFilter: 1}}},
	}
	out := NewRedactor(Key{1}, true).Snapshot(s)
	file := string(written(t, out))
	back, err := Read(strings.NewReader(file), limit)
	if err != nil {
		t.Fatal(err)
	}
	text := toJSON(t, back)
	for _, word := range []string{secret, "customer", "2a01:4f8:c17", "ff02::1:ff"} {
		if strings.Contains(text, word) {
			t.Errorf("%q is still there:\n%s", word, text)
		}
	}
	if strings.Contains(text, toJSON(t, rpdb.Raw(tunnel))) {
		t.Error("raw attributes are still there")
	}
	if out.Links[0].Name != "if7" || out.Sysctls.Links["if7"].RPFilter != 1 || out.Sysctls.HashSeed != 0 {
		t.Errorf("got %+v", out)
	}
	if s.Links[0].Name != "customer-a" || s.Routes[0].Nexthops[0].Via != a {
		t.Error("the original has changed")
	}
}

// What the kernel treats in a way of its own keeps its kind.
func TestSpecialAddressesStayWhatTheyAre(t *testing.T) {
	r := NewRedactor(Key{9}, false)
	for _, text := range []string{"127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "::", "::1", "ff02::1"} {
		if a := netip.MustParseAddr(text); r.Addr(a) != a {
			t.Errorf("%v became %v", a, r.Addr(a))
		}
	}
	for _, p := range special() {
		for _, a := range []netip.Addr{p.Addr(), p.Addr().Next().Next(), p.Addr().Prev()} {
			if a.IsValid() && p.Contains(a) != p.Contains(r.Addr(a)) {
				t.Errorf("%v: %v became %v", p, a, r.Addr(a))
			}
		}
	}
	if a, b := netip.MustParseAddr("10.1.2.3"), NewRedactor(Key{8}, false); r.Addr(a) == b.Addr(a) {
		t.Error("two keys make the same address")
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRedactedCopies: by the program on its routes a rule of IPv6 that translates is still
// known for whole, and its packets for translated.
func TestRedactedCopies(t *testing.T) {
	s := &rpdb.Snapshot{
		Rules: []rpdb.Rule{{Family: rpdb.IPv6, Priority: 500, Selector: rpdb.Selector{From: netip.MustParsePrefix("2a00:1:1::/64")}, Action: rpdb.ToTable(84500)}},
		Routes: []rpdb.Route{{
			Family: rpdb.IPv6, Table: 100, Dst: netip.MustParsePrefix("::/0"), Type: rpdb.RouteUnicast, Metric: 7,
			Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr("2a00:2::1"), Link: 2, Weight: 1}},
		}},
		NAT: rpdb.NAT{Translations: []rpdb.Translation{{
			Family: rpdb.IPv6, Kind: rpdb.TranslateBlock, From: netip.MustParsePrefix("2a00:1:1::/64"), To: netip.MustParsePrefix("2a00:3::/64"), Realm: 12500, Rule: 500, CopyOf: 100,
		}}},
	}
	copied, err := s.CopyTable(rpdb.IPv6, 100, 84500)
	if err != nil {
		t.Fatal(err)
	}
	s.Routes = append(s.Routes, copied...)
	out := NewRedactor(Key{7}, false).Snapshot(s)
	want, err := out.CopyTable(rpdb.IPv6, 100, 84500)
	if n := out.NATRules(); err != nil || len(n) != 1 || len(n[0].Routes) != 1 || !n[0].Routes[0].Equivalent(want[0]) {
		t.Errorf("%v, %+v, want the copy %+v", err, n, want)
	}
	if text := toJSON(t, out); strings.Contains(text, "2a00:1:1:") || strings.Contains(text, "2a00:2:") || strings.Contains(text, "2a00:3:") {
		t.Errorf("shown is %s", text)
	}
}
