package iproute2_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

// readJSON reads entries out of what "ip -j route" writes.
func readJSON(c iproute2.RouteContext, text string) (entries []iproute2.RouteEntry, err error) {
	var b *iproute2.RouteBuilder
	err = ipjson.ReadTrees([]byte(text), func() ipjson.Tree {
		b = iproute2.NewRouteBuilder(c)
		return b
	}, func(ipjson.Tree) error {
		e, err := b.Entry()
		entries = append(entries, e)
		return err
	})
	return entries, err
}

// encap makes a tunnel of some kind, as the kernel tells one.
func (g generator) encap() (uint16, rpdb.Raw) {
	maybe := func(b rpdb.Raw) rpdb.Raw {
		if g.chance() {
			return ""
		}
		return b
	}
	v4, v6 := string(g.addr(rpdb.IPv4).AsSlice()), string(g.addr(rpdb.IPv6).AsSlice())
	byteOf := func() string { return string([]byte{byte(g.Uint32())}) }
	segments := []string{g.addr(rpdb.IPv6).String(), g.addr(rpdb.IPv6).String()}[:1+g.IntN(2)]
	header := srh(pick(g, "", "", be32(g.Uint32())), segments...)
	ip := func(a string) rpdb.Raw {
		return join(maybe(attr(1, be64(g.Uint64()))), maybe(attr(2, a)), maybe(attr(3, a)), maybe(attr(5, byteOf())), maybe(attr(4, byteOf())),
			attr(6, be16(pick[uint16](g, 0, 1, 4, 5, 8, 13))), maybe(g.options()))
	}
	kind := uint16(1 + g.IntN(10))
	switch kind {
	case encapMPLS:
		return kind, join(attr(1, be32(g.Uint32N(1<<20)<<12), be32(g.Uint32N(1<<20)<<12|1<<8)), maybe(attr(2, byteOf())))
	case encapIP:
		return kind, ip(v4)
	case encapIP6:
		return kind, ip(v6)
	case encapILA:
		return kind, join(attr(1, be64(g.Uint64())), maybe(attr(7, pick(g, "\x00", "\x03"))), maybe(attr(8, pick(g, "\x01", "\x20"))), maybe(attr(9, "\x01")))
	case encapSeg6:
		return kind, join(attr(1, native32(g.Uint32N(5)), header), maybe(attr(2, v6)))
	case encapBPF:
		return kind, join(maybe(nest(1, attr(2, "prog.o:[in]\x00"))), nest(2, attr(2, "out\x00")), maybe(attr(4, native32(g.Uint32()))))
	case encapRPL:
		return kind, attr(1, string([]byte{0, byte(2 * len(segments)), 3, byte(len(segments)), 0, 0, 0, 0}), header[8:8+16*len(segments)])
	case encapIOAM6:
		trace := attr(3, be16(uint16(g.Uint32())), "\x00", string([]byte{byte(g.IntN(128)) << 1}), be32(g.Uint32()<<8))
		if g.chance() {
			return kind, join(attr(4, native32(1)), attr(5, native32(9)), attr(1, "\x01"), trace)
		}
		return kind, join(attr(4, native32(1)), attr(5, native32(9)), attr(1, "\x02"), maybe(attr(6, v6)), attr(2, v6), trace)
	case encapXFRM:
		return kind, join(attr(1, native32(g.Uint32())), maybe(attr(2, native32(3))))
	}
	return kind, join(attr(1, native32(1+g.Uint32N(16))), maybe(attr(2, header)), maybe(attr(3, native32(1+g.Uint32N(300)))), maybe(attr(4, v4)), maybe(attr(5, v6)),
		maybe(attr(6, native32(2))), maybe(attr(7, native32(99))), maybe(nest(8|0x8000, attr(2, "ep\x00"))), maybe(attr(9, native32(100))),
		maybe(nest(11|0x8000, attr(1, native32(1<<4)), attr(2, byteOf()), attr(3, byteOf()))))
}

func (g generator) options() rpdb.Raw {
	switch g.IntN(4) {
	case 0:
		one := join(attr(1, be16(uint16(g.Uint32()))), attr(2, "\x80"), attr(3, be64(g.Uint64())))
		return nest(8, nest(1, one, join(attr(1, be16(3)), attr(2, "\x00"), attr(3, "abcd"))))
	case 1:
		return nest(8, nest(2, attr(1, native32(g.Uint32()))))
	case 2:
		return nest(8, nest(3, attr(1, "\x01"), attr(2, be32(g.Uint32()))))
	}
	return nest(8, nest(3, attr(1, "\x02"), attr(3, "\x01"), attr(4, "\x05")))
}

// entry makes an entry with every part that a listing can show. Its link names
// are those that a listing leaves as they are.
func (g generator) entry() iproute2.RouteEntry {
	e := iproute2.RouteEntry{Route: g.route()}
	e.Src = e.Src.Masked()
	e.Dst = e.Dst.Masked()
	if e.NexthopID == 0 && len(e.Nexthops) == 0 && g.chance() {
		e.Nexthops = []rpdb.Nexthop{{Link: 2}}
	}
	for i := range e.Nexthops {
		n := &e.Nexthops[i]
		n.Link = pick[rpdb.LinkIndex](g, 1, 2, 3, 77)
		if n.EncapType, n.Encap = 0, ""; g.chance() { // in the order of the kernel, not of who types
			n.EncapType, n.Encap = g.encap()
		}
		if g.chance() && len(e.Nexthops) > 1 {
			n.Realms = rpdb.Realms(g.Uint32N(3) << 16 * g.Uint32N(2))
		}
		n.Flags |= rpdb.NexthopFlags(pick[uint8](g, 0, 0, 1, 0x10, 0x5a))
	}
	for i := range e.Metrics {
		if m := &e.Metrics[i]; m.Value == 0 && m.Text == "" {
			m.Value = 1
		}
	}
	if e.Family == rpdb.IPv6 && g.chance() {
		e.Expires = 1 + g.Uint32N(10000)
	}
	if g.chance() {
		e.Route.Flags = rpdb.RouteFlags(pick[uint32](g, 0x100, 0x4000, 0xc000, 0x20000000))
	}
	return e
}

// stored is an entry as it comes back out of a listing: all bits of its flags in
// one place, and its life time in ticks.
func stored(e iproute2.RouteEntry) iproute2.RouteEntry {
	e.RouteDetails.Flags |= uint32(e.Route.Flags)
	if len(e.Nexthops) == 1 {
		e.RouteDetails.Flags |= uint32(e.Nexthops[0].Flags)
	}
	if e.Expires != 0 && !e.Cache.IsSet() {
		e.Cache = rpdb.Some(rpdb.RouteCache{Expires: int32(e.Expires) * 100})
	}
	return e
}

// whole does to metrics what people see of them: times in milliseconds.
func whole(e iproute2.RouteEntry) iproute2.RouteEntry {
	for i := range e.Metrics {
		switch m := &e.Metrics[i]; m.Type {
		case rpdb.MetricRTT:
			m.Value = min(m.Value, 8000) / 8 * 8
		case rpdb.MetricRTTVar:
			m.Value = min(m.Value, 4000) / 4 * 4
		}
	}
	return e
}

func sameEntry(t *testing.T, shown string, got, want iproute2.RouteEntry, err error) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%s\n read %+v, %v\n want %+v", shown, got, err, want)
	}
}

// What ip tells programs is all of the route but for locks and the family; with
// our own keys it is all.
func TestRouteJSONRoundTrip(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(11, 12))}
	plain := rawView()
	exact := rawView()
	exact.Exact = true
	for range 1000 {
		e := g.entry()
		e.Unknown = pick(g, "", "", attr(19, "abcd")+attr(26, "\x01"), attr(99, "abc"))
		text := routeJSON(exact, e)
		got, err := readJSON(context(), "["+text+"]")
		sameEntry(t, text, append(got, iproute2.RouteEntry{})[0], stored(e), err)

		e = whole(e)
		e.Unknown = ""
		if len(e.Metrics) > 0 && e.Metrics[0].Type == rpdb.MetricLock {
			e.Metrics = e.Metrics[1:]
		}
		text = routeJSON(plain, e)
		c := context()
		c.Family = e.Family
		got, err = readJSON(c, "["+text+"]")
		sameEntry(t, text, append(got, iproute2.RouteEntry{})[0], stored(e), err)
	}
}

// What people see is all of the route but for what is finer than milliseconds.
func TestRouteListingRoundTrip(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(13, 14))}
	for range 1000 {
		e := whole(g.entry())
		e.Unknown = pick(g, "", "", attr(19, "abcd"))
		v := rawView()
		v.Details, v.OneLine, v.Family = g.chance(), g.chance(), g.chance()
		v.Nexthop = func(id uint32) (rpdb.NexthopObject, bool) {
			return rpdb.NexthopObject{ID: id, Nexthop: rpdb.Nexthop{EncapType: encapIP, Encap: g.options()}}, true
		}
		c := context()
		if !v.Family {
			c.Family = e.Family
		}
		text := v.Entry(e)
		got, err := c.ParseListing(text)
		sameEntry(t, text, got, stored(e), err)
	}
}

// Answers to questions come back as well, with all that ip tells of them.
func TestRouteAnswersReadBack(t *testing.T) {
	onward := "203.0.113.8 from 10.0.1.55 via 10.0.0.254 dev v0 src 10.0.0.1 realms 1/2 mtu lock 1400"
	cache := rpdb.Some(rpdb.RouteCache{Users: 1, Age: 200, Used: 7, Expires: 59900, Error: -101})
	for _, e := range []iproute2.RouteEntry{
		gotten(t, onward, rpdb.RouteDetails{}),
		gotten(t, onward, rpdb.RouteDetails{Flags: 0x90020000, Mark: 100, UID: rpdb.Some[uint32](7), IIF: 3, Cache: cache}),
		gotten(t, "local 10.0.0.1 dev lo table 100", rpdb.RouteDetails{Flags: 0x80000000, Mark: 1}),
	} {
		want := e
		want.RouteDetails.Flags |= uint32(e.Nexthops[0].Flags)
		want.Route.Flags = rpdb.RouteFlags(want.RouteDetails.Flags &^ 0xff)
		if c, ok := e.Cache.Get(); ok {
			want.Expires = uint32(c.Expires / 100)
		}
		v := rawView()
		v.Stats, v.Exact = true, true
		for _, v.OneLine = range []bool{false, true} {
			text := v.Entry(e)
			got, err := context().ParseListing(text)
			sameEntry(t, text, got, want, err)
		}
		text := routeJSON(v, e)
		got, err := readJSON(context(), "["+text+"]")
		sameEntry(t, text, append(got, iproute2.RouteEntry{})[0], want, err)
	}
}

// Releases before 6.15 wrote the fields of a tunnel among those of the route,
// two of one name included.
func TestRouteJSONWithFlatTunnels(t *testing.T) {
	flat := `[{"dst":"198.51.120.0/24","encap":"ip","id":42,"src":"10.9.9.9","dst":"10.9.9.1","ttl":64,"tos":4,"key":true,"tos":"0x10","gateway":"10.0.0.3","dev":"v0","flags":[]},` +
		`{"dst":"fc08::/64","encap":"seg6local","action":"End.B6.Encaps","srh":{"segs":["fc00::c","fc00::d"]},"table":"100","dev":"v0","table":"300","metric":1024,"flags":[],"pref":"medium"},` +
		`{"dst":"fc01::/64","encap":"seg6","mode":"encap","segs":["fc00::a"],"metric":1024,"flags":[],"pref":"medium"}]`
	nested := `[{"dst":"198.51.120.0/24","encap":{"encap_type":"ip","id":42,"src":"10.9.9.9","dst":"10.9.9.1","ttl":64,"tos":4,"key":true},"tos":"0x10","gateway":"10.0.0.3","dev":"v0","flags":[]},` +
		`{"dst":"fc08::/64","encap":{"encap_type":"seg6local","action":"End.B6.Encaps","srh":{"segs":["fc00::c","fc00::d"]},"table":"100"},"dev":"v0","table":"300","metric":1024,"flags":[],"pref":"medium"},` +
		`{"dst":"fc01::/64","encap":{"encap_type":"seg6","mode":"encap","segs":["fc00::a"]},"metric":1024,"flags":[],"pref":"medium"}]`
	a, err := readJSON(context(), flat)
	if err != nil {
		t.Fatal(err)
	}
	b, err := readJSON(context(), nested)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) || len(a) != 3 || a[0].Nexthops[0].EncapType != encapIP || a[0].TOS != 0x10 {
		t.Errorf("read %+v\n and %+v", a, b)
	}
}

// The output of one host, both families, as ip prints it in one piece.
const wholeListing = "default via 10.0.1.254 dev w0 table 100 onlink \n" +
	"198.51.100.0/24 \n\tnexthop via 10.0.0.3 dev v0 weight 1 \n\tnexthop via 10.0.1.3 dev w0 weight 2 onlink \n" +
	"unicast 198.51.108.0/24 nhid 20 table main proto boot scope global \n\tnh_info id 20 group 10,3/11 scope global proto unspec \n" +
	"\tnexthop via 10.0.0.5 dev v0 weight 3 \n\tnexthop via 10.0.0.6 dev v0 weight 1 onlink \n" +
	"203.0.113.8 via 10.0.0.254 dev v0 src 10.0.0.1 uid 0 \n    cache \n" +
	"broadcast 127.255.255.255 dev lo table local proto kernel scope link src 127.0.0.1 \n" +
	"fc02::/64  encap seg6 mode inline segs 2 [ fc00::a :: ] hmac 5 dev v0 metric 1024 pref medium\n" +
	"unreachable default dev lo metric 9999 pref medium\n"

func TestRouteEntries(t *testing.T) {
	var got []string
	for entry := range iproute2.RouteEntries(wholeListing) {
		e, err := context().ParseListing(entry)
		if err != nil {
			t.Error(err)
		}
		got = append(got, e.String())
	}
	want := []string{
		"route default table 100 (IPv4)", "route 198.51.100.0/24 table 254 (IPv4)", "route 198.51.108.0/24 table 254 (IPv4)",
		"route 203.0.113.8/32 table 254 (IPv4)", "route 127.255.255.255/32 table 255 (IPv4)", "route fc02::/64 table 254 (IPv6)", "route default table 254 (IPv6)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	spent := "203.0.113.8 via 10.0.0.254 dev v0 \n    cache expires 0sec users 2 age 0sec "
	v := rawView()
	v.Stats = true
	if e, err := context().ParseListing(spent); err != nil || v.Entry(e) != spent {
		t.Errorf("got %q, %v, want %q", v.Entry(e), err, spent)
	}
	if n := len(slices.Collect(iproute2.RouteEntries("\n\n"))); n != 0 {
		t.Errorf("%d entries in nothing", n)
	}
	for first := range iproute2.RouteEntries(wholeListing) {
		if !strings.HasPrefix(first, "default via") {
			t.Errorf("first: %q", first)
		}
		break
	}
}

func TestRouteReadRefuses(t *testing.T) {
	for _, text := range []string{
		`{}x`, `{"dst":"default"`, `{"dst":"192.0.2.0/33"}`, `{"dst":"192.0.2.0/+8"}`, `{"dst":"default","dst":"default"}`, `{"dst":"default","nosuch":1}`,
		`{"dst":5}`, `{"dst":null}`, `{"dst":{}}`, `{"dst":["default"]}`, `{"dst":"default","metric":"5"}`, `{"dst":"default","metric":5.5}`,
		`{"dst":"default","metric":4294967296}`, `{"dst":"default","dev":"nosuch"}`, `{"dst":"default","dev":"if0"}`, `{"dst":"default","dev":"*"}`,
		`{"dst":"default","gateway":"192.0.2.1","prefsrc":"x"}`, `{"dst":"2001:db8::/32","gateway":"192.0.2.1"}`, `{"dst":"192.0.2.0/24","pref":"medium"}`,
		`{"dst":"default","via":{"family":"inet6","host":"192.0.2.1"}}`, `{"dst":"default","via":{"family":"inet6"}}`, `{"dst":"default","via":"192.0.2.1"}`,
		`{"dst":"default","flags":["nosuch"]}`, `{"dst":"default","flags":[null]}`, `{"dst":"default","flags":{}}`, `{"dst":"default","flags":[[]]}`,
		`{"dst":"default","nexthops":[{"dev":"v0"}]}`, `{"dst":"default","nexthops":["v0"]}`, `{"dst":"default","nexthops":[{"dev":"v0","weight":0}]}`,
		`{"dst":"default","dev":"v0","nexthops":[{"dev":"v0","weight":1}]}`, `{"dst":"default","nexthops":[{"dev":"v0","weight":1,"flags":["notify"]}]}`,
		`{"dst":"default","metrics":[{"mtu":"1"}]}`, `{"dst":"default","metrics":[{"nosuch":1}]}`, `{"dst":"default","metrics":[{"rtt":4294967295}]}`,
		`{"dst":"default","metrics":[{"ecn":1}]}`, `{"dst":"default","metrics":[{"rtt_raw":1}]}`, `{"dst":"default","metrics":{"mtu":1}}`,
		`{"dst":"default","encap":"nosuch"}`, `{"dst":"default","encap":"unknown"}`, `{"dst":"default","encap":{"encap_type":"unknown"}}`, `{"dst":"default","encap":{}}x`,
		`{"dst":"default","encap":{"encap_type":"seg6","mode":"encap"}}`, `{"dst":"default","encap":{"encap_type":"seg6","mode":"encap","segs":["192.0.2.1"]}}`,
		`{"dst":"default","encap":{"encap_type":"mpls","dst":"1048576"}}`, `{"dst":"default","encap":{"encap_type":"ip","key":false}}`,
		`{"dst":"default","encap":{"encap_type":"ip","nosuch":1}}`, `{"dst":"default","tos":"0"}`, `{"dst":"default","expires":99999999}`, `{"dst":"default","unknown":"?"}`,
	} {
		if got, err := readJSON(context(), "["+text+"]"); err == nil {
			t.Errorf("%s: read %+v", text, got)
		}
	}
	for _, text := range []string{
		"", "unicast", "default via", "default via x", "default dev nosuch", "default nosuch", "192.0.2.0/24 via inet6 192.0.2.1", "nosuch default",
		"default dev v0 dev v0", "default expires 5", "default metric x", "default nexthop dev v0", "default dev v0 nexthop dev v0 weight 1",
		"default cache <local", "default cache <nosuch>", "default mtu lock x", "default rtt 5", "default rtt 0.5s", "default as 192.0.2.1",
		"default encap nosuch", "default encap seg6 mode encap segs 3 [ fc00::1 ] dev v0", "default encap seg6 mode encap segs 1 ( fc00::1 ]",
		"default encap ip geneve_opts 1:2 dev v0", "default encap seg6local action End packets 1 errors 2", "default ttl-propogate maybe", "default pref 300",
		"IPv4 2001:db8::/32 dev v0", "192.0.2.0/24 from 2001:db8::/32",
	} {
		if got, err := context().ParseListing(text); err == nil {
			t.Errorf("%q: read %+v", text, got)
		}
	}
}

// Whatever a text is, reading it ends with an entry or an error; and an entry
// comes back out of the text that it is printed as.
func FuzzRouteJSON(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(15, 16))}
	v := rawView()
	for i := range 30 {
		v.Exact = i%2 == 0
		f.Add("[" + routeJSON(v, g.entry()) + "]")
	}
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := readJSON(context(), text)
		if err != nil {
			return
		}
		v := rawView()
		v.Exact, v.Stats = true, true
		for _, e := range entries {
			again := routeJSON(v, e)
			back, err := readJSON(context(), "["+again+"]")
			if err != nil || len(back) != 1 || routeJSON(v, back[0]) != again {
				t.Fatalf("%s\n read back as %+v, %v", again, back, err)
			}
		}
	})
}

func FuzzRouteListing(f *testing.F) {
	f.Add(wholeListing)
	g := generator{rand.New(rand.NewPCG(17, 18))}
	for range 20 {
		f.Add(rawView().Entry(g.entry()))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for entry := range iproute2.RouteEntries(text) {
			e, err := context().ParseListing(entry)
			if err != nil {
				continue
			}
			v := rawView()
			v.Stats, v.Family = true, true
			again := v.Entry(e)
			back, err := context().ParseListing(again)
			if err != nil || v.Entry(back) != again {
				t.Fatalf("%q\n of %q\n read back as %+v, %v", again, entry, back, err)
			}
		}
	})
}
