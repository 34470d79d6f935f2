package nft_test

import (
	"net/netip"
	"testing"

	"rpdb"
	"rpdb/kernel/kerneltest"
)

// translation is one of the rule of the worlds.
func translation(k rpdb.TranslationKind, to string) rpdb.Translation {
	t := rpdb.Translation{Family: rpdb.IPv4, Kind: k, From: prefix(block4), Realm: 10010, Rule: 10010, Inbound: k.Maps()}
	if to != "" {
		t.To = prefix(to)
	}
	if t.To.Addr().Is6() || k == rpdb.TranslateNeutral {
		t = six(t)
	}
	return t
}

func six(t rpdb.Translation) rpdb.Translation {
	t.Family, t.From, t.Realm = rpdb.IPv6, prefix(block6), 10510
	return t
}

func untracked(t rpdb.Translation) rpdb.Translation {
	t.NoTrack = true
	return t
}

// TestPackets puts real packets of every kind through each form of translation.
func TestPackets(t *testing.T) {
	for _, c := range []struct {
		name string
		of   rpdb.Translation
		seen string // for what Source does not tell
	}{
		{"block", translation(rpdb.TranslateBlock, "203.0.113.0/24"), ""},
		{"stateless", translation(rpdb.TranslateStateless, "203.0.113.0/24"), ""},
		{"untracked", untracked(translation(rpdb.TranslateStateless, "203.0.113.0/24")), ""},
		{"address", translation(rpdb.TranslateAddress, "203.0.113.7/32"), ""},
		{"masquerade", translation(rpdb.TranslateMasquerade, ""), "192.0.2.1"},
		{"block6", translation(rpdb.TranslateBlock, "2001:db8:5::/64"), ""},
		{"stateless6", translation(rpdb.TranslateStateless, "2001:db8:5::/64"), ""},
		{"untracked6", untracked(translation(rpdb.TranslateStateless, "2001:db8:5::/64")), ""},
		{"neutral6", translation(rpdb.TranslateNeutral, "2001:db8:5::/64"), ""},
		{"address6", translation(rpdb.TranslateAddress, "2001:db8:5::7/128"), ""},
		{"masquerade6", six(translation(rpdb.TranslateMasquerade, "")), "2001:db8::1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.of.Family == rpdb.IPv6 {
				kerneltest.NeedPrograms(t)
			}
			must(t, w.nft.Replace(t.Context(), []rpdb.Translation{c.of}))
			w.outward(c.of, c.seen)
			if c.of.Inbound {
				w.inward(c.of)
			}
			w.untouched(c.of.Family)
		})
	}
}

// addresses returns the first, the last and others of a block.
func addresses(p netip.Prefix) []string {
	if p.Addr().Is4() {
		return []string{"10.1.0.0", "10.1.0.42", "10.1.0.255"}
	}
	return []string{"fd00:1::", "fd00:1::1:42", "fd00:1::ffff:1:2:3", "fd00:1::ffff:ffff:ffff:fffe"}
}

func servers(f rpdb.Family) (server, uplink, other, own string) {
	if f == rpdb.IPv4 {
		return server4, uplink4, "10.2.0.42", "10.1.0.254"
	}
	return server6, uplink6, "fd00:2::42", "fd00:1::aaaa"
}

// outward: every kind of packet leaves with the address that the translation
// tells, and its answer comes back.
func (w *world) outward(of rpdb.Translation, seen string) {
	t := w.inside.t
	server, _, _, _ := servers(of.Family)
	for _, from := range addresses(of.From) {
		want := seen
		if a, ok := of.Source(netip.MustParseAddr(from)); ok {
			want = a.String()
		}
		udp := w.inside.dialUDP(from, server, echoPort)
		for what, got := range map[string]string{
			"UDP":       exchange(t, udp, 64),
			"UDP again": exchange(t, udp, 65),
			"fragments": exchange(t, udp, 5000),
			"TCP":       w.inside.tcp(from, server, echoPort),
			"ICMP echo": w.ping(from, server),
		} {
			if got != want {
				t.Errorf("%s of %s is seen from %s, want %s", what, from, got, want)
			}
		}
		w.inside.refused(from, server)
	}
}

// inward: whoever sends to an outside address reaches the inside one, and takes
// answer and error for those of the outside address.
func (w *world) inward(of rpdb.Translation) {
	t := w.inside.t
	server, _, _, _ := servers(of.Family)
	for _, at := range addresses(of.From) {
		out, ok := of.Source(netip.MustParseAddr(at))
		if !ok {
			t.Fatal(at)
		}
		w.inside.echoUDP(at, echoPort)
		w.inside.echoTCP(at, echoPort)
		udp := w.outside.dialUDP(server, out.String(), echoPort)
		for what, got := range map[string]string{
			"UDP": exchange(t, udp, 64), "fragments": exchange(t, udp, 5000),
			"TCP": w.outside.tcp(server, out.String(), echoPort),
		} {
			if got != server {
				t.Errorf("%s to %v is seen from %s", what, out, got)
			}
		}
		w.outside.refused(server, out.String())
	}
}

// untouched: what another rule routes, and what the host itself sends.
func (w *world) untouched(f rpdb.Family) {
	t := w.inside.t
	server, uplink, other, own := servers(f)
	if got := w.seen(other, server); got != other {
		t.Errorf("%s is seen as %s", other, got)
	}
	if got := exchange(t, w.router.dialUDP(own, server, echoPort), 64); got != own {
		t.Errorf("the router's own %s is seen as %s", own, got)
	}
	inside := map[rpdb.Family]string{rpdb.IPv4: block4, rpdb.IPv6: block6}
	if from := addresses(prefix(inside[f]))[1]; w.seen(from, uplink) != from {
		t.Errorf("%s is translated to where the main table leads", from)
	}
}
