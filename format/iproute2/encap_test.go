package iproute2_test

import (
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// attr is a netlink attribute in the byte order of this machine.
func attr(typ uint16, values ...string) rpdb.Raw {
	value := strings.Join(values, "")
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return rpdb.Raw(b)
}

func base64Of(b rpdb.Raw) string { return base64.StdEncoding.EncodeToString([]byte(b)) }

// Values of attributes, in the byte order of this machine or in network order.
func native32(n uint32) string { return string(binary.NativeEndian.AppendUint32(nil, n)) }
func native64(n uint64) string { return string(binary.NativeEndian.AppendUint64(nil, n)) }
func be16(n uint16) string     { return string(binary.BigEndian.AppendUint16(nil, n)) }
func be32(n uint32) string     { return string(binary.BigEndian.AppendUint32(nil, n)) }
func be64(n uint64) string     { return string(binary.BigEndian.AppendUint64(nil, n)) }
func inet(a string) string     { return string(netip.MustParseAddr(a).AsSlice()) }

func nest(typ uint16, inner ...rpdb.Raw) rpdb.Raw { return attr(typ, string(join(inner...))) }

func join(list ...rpdb.Raw) (all rpdb.Raw) {
	for _, b := range list {
		all += b
	}
	return all
}

// srh is a segment routing header; the segments come last one first.
func srh(hmac string, segments ...string) string {
	n := len(segments)
	flags := byte(0)
	if hmac != "" {
		flags = 8
		hmac = "\x05\x26\x00\x00" + hmac + strings.Repeat("\x00", 32)
	}
	b := string([]byte{0, byte((16*n + len(hmac)) / 8), 4, byte(n - 1), byte(n - 1), flags, 0, 0})
	for _, s := range segments {
		b += inet(s)
	}
	return b + hmac
}

// tunnel is a route into a tunnel.
func tunnel(kind uint16, encap ...rpdb.Raw) iproute2.RouteEntry {
	return iproute2.RouteEntry{Route: rpdb.Route{
		Family: rpdb.IPv4, Table: 254, Type: 1, Protocol: 3, Dst: netip.MustParsePrefix("192.0.2.0/24"),
		Nexthops: []rpdb.Nexthop{{Link: 1, EncapType: kind, Encap: join(encap...)}},
	}}
}

const (
	encapMPLS = iota + 1
	encapIP
	encapILA
	encapIP6
	encapSeg6
	encapBPF
	encapSeg6Local
	encapRPL
	encapIOAM6
	encapXFRM
)

func ioam6(mode string, more ...rpdb.Raw) iproute2.RouteEntry {
	list := append([]rpdb.Raw{attr(4, native32(2)), attr(5, native32(9)), attr(1, mode)}, more...)
	return tunnel(encapIOAM6, append(list, attr(3, be16(123), "\x00\x06", be32(0x92345600)))...)
}

// Tunnels as the kernel tells them, and what ip prints of them.
func TestEncap(t *testing.T) {
	labels := attr(1, be32(100<<12), be32(200<<12|1<<8))
	segments := srh("", "fc00::b", "fc00::a")
	geneve := nest(8, nest(1, attr(1, be16(0x102)), attr(2, "\x80"), attr(3, "\x11\x22\x33\x44"), attr(1, be16(3)), attr(2, "\x04"), attr(3, "\xaa\xbb\xcc\xdd\x01\x02\x03\x04")))
	for _, c := range []struct {
		entry      iproute2.RouteEntry
		text, json string
	}{
		{tunnel(encapMPLS, labels, attr(2, "\x07")), "mpls  100/200 ttl 7", `"mpls","dst":"100/200","ttl":7`},
		{
			tunnel(encapIP, attr(1, be64(42)), attr(2, inet("10.9.9.1")), attr(3, inet("10.9.9.9")), attr(5, "\x04"), attr(4, "\x40"), attr(6, be16(13))),
			"ip id 42 src 10.9.9.9 dst 10.9.9.1 ttl 64 tos 4 key csum seq",
			`"ip","id":42,"src":"10.9.9.9","dst":"10.9.9.1","ttl":64,"tos":4,"key":true,"csum":true,"seq":true`,
		},
		{
			tunnel(encapIP6, attr(1, be64(42)), attr(2, inet("fc00::2")), attr(3, inet("fc00::1")), attr(5, "\x04"), attr(4, "\x40"), attr(6, be16(4))),
			"ip6 id 42 src fc00::1 dst fc00::2 hoplimit 64 tc 4 key", `"ip6","id":42,"src":"fc00::1","dst":"fc00::2","hoplimit":64,"tc":4,"key":true`,
		},
		{
			tunnel(encapIP, attr(1, be64(5)), geneve), "ip id 5 \n\tgeneve_opts 258:128:11223344,3:4:aabbccdd01020304",
			`"ip","id":5,"geneve_opts":[{"class":258,"type":128,"data":"11223344"},{"class":3,"type":4,"data":"aabbccdd01020304"}]`,
		},
		{tunnel(encapIP6, nest(8, nest(2, attr(1, native32(77))))), "ip6 \n\tvxlan_opts 77", `"ip6","vxlan_opts":[{"gbp":77}]`},
		{
			tunnel(encapIP, nest(8, nest(3, attr(1, "\x01"), attr(2, be32(99))))), "ip \n\terspan_opts 1:99:0:0",
			`"ip","erspan_opts":[{"ver":1,"index":99,"dir":0,"hwid":0}]`,
		},
		{
			tunnel(encapIP, nest(8, nest(3, attr(1, "\x02"), attr(3, "\x01"), attr(4, "\x05")))), "ip \n\terspan_opts 2:0:1:5",
			`"ip","erspan_opts":[{"ver":2,"index":0,"dir":1,"hwid":5}]`,
		},
		{
			tunnel(encapILA, attr(1, be64(0x20010db800010002)), attr(7, "\x00"), attr(8, "\x00"), attr(9, "\x00")),
			"ila  2001:db8:1:2  csum-mode adj-transport  ident-type iid  hook-type output",
			`"ila","locator":"2001:db8:1:2","csum_mode":"adj-transport","ident_type":"iid","hook_type":"output"`,
		},
		{
			tunnel(encapILA, attr(1, be64(1)), attr(7, "\x03"), attr(8, "\x20"), attr(9, "\x02")),
			"ila  0:0:0:1  csum-mode neutral-map-auto  ident-type use-format  hook-type unknown",
			`"ila","locator":"0:0:0:1","csum_mode":"neutral-map-auto","ident_type":"use-format","hook_type":"unknown"`,
		},
		{tunnel(encapSeg6, attr(1, native32(1), segments)), "seg6 mode encap segs 2 [ fc00::a fc00::b ]", `"seg6","mode":"encap","segs":["fc00::a","fc00::b"]`},
		{
			tunnel(encapSeg6, attr(1, native32(0), srh(be32(0xab), "::", "fc00::a"))), "seg6 mode inline segs 2 [ fc00::a :: ] hmac AB",
			`"seg6","mode":"inline","segs":["fc00::a","::"],"hmac":"0xab"`,
		},
		{
			tunnel(encapSeg6, attr(1, native32(4), segments), attr(2, inet("fc00::9"))), "seg6 mode l2encap.red tunsrc fc00::9 segs 2 [ fc00::a fc00::b ]",
			`"seg6","mode":"l2encap.red","tunsrc":"fc00::9","segs":["fc00::a","fc00::b"]`,
		},
		{tunnel(encapSeg6, attr(1, native32(5), segments)), "seg6 mode <unknown> segs 2 [ fc00::a fc00::b ]", `"seg6","mode":"<unknown>","segs":["fc00::a","fc00::b"]`},
		{
			tunnel(encapBPF, nest(1, attr(1, native32(3)), attr(2, "prog.o:[in]\x00")), nest(2, attr(2, "out\x00")), nest(3, attr(1, native32(2))), attr(4, native32(20))),
			"bpf in prog.o:[in] out out xmit  20", `"bpf","in":"prog.o:[in]","out":"out","xmit":"<unknown>","headroom":20`,
		},
		{
			tunnel(encapSeg6Local, attr(1, native32(10)), attr(2, segments), attr(3, native32(254)), attr(4, inet("10.0.0.1")), attr(5, inet("fc00::5")), attr(6, native32(1)),
				attr(7, native32(99)), nest(8, attr(1, native32(3)), attr(2, "ep\x00")), attr(9, native32(100)), nest(11, attr(1, native32(0xff)), attr(2, "\x20"), attr(3, "\x10"))),
			"seg6local action End.B6.Encaps segs 2 [ fc00::a fc00::b ] table main vrftable 100 nh4 10.0.0.1 nh6 fc00::5 iif lo oif if99 endpoint ep " +
				"flavors psp,usp,usd,next-csid lblen 32 nflen 16",
			`"seg6local","action":"End.B6.Encaps","srh":{"segs":["fc00::a","fc00::b"]},"table":"main","vrftable":"100","nh4":"10.0.0.1","nh6":"fc00::5","iif":"lo","oif":"if99",` +
				`"endpoint":"ep","flavors":["psp","usp","usd","next-csid"],"lblen":32,"nflen":16`,
		},
		{tunnel(encapSeg6Local, attr(1, native32(0))), "seg6local action <unknown>", `"seg6local","action":"<unknown>"`},
		{tunnel(encapSeg6Local, attr(1, native32(17))), "seg6local action <invalid>", `"seg6local","action":"<invalid>"`},
		{
			tunnel(encapRPL, attr(1, "\x00\x04\x03\x02\x00\x00\x00\x00", inet("fc00::1"), inet("fc00::2"))), "rpl segs 2 [ fc00::2 fc00::1 ]",
			`"rpl","segs":["fc00::2","fc00::1"]`,
		},
		{
			ioam6("\x02", attr(6, inet("fc00::6")), attr(2, inet("fc00::7"))),
			"ioam6 freq 2/9 mode encap tunsrc fc00::6 tundst fc00::7 trace prealloc type 0x923456 ns 123 size 12",
			`"ioam6","freqk":2,"freqn":9,"mode":"encap","tunsrc":"fc00::6","tundst":"fc00::7","trace":null,"prealloc":null,"type":"923456","ns":123,"size":12`,
		},
		{
			ioam6("\x01"), "ioam6 freq 2/9 mode inline trace prealloc type 0x923456 ns 123 size 12",
			`"ioam6","freqk":2,"freqn":9,"mode":"inline","trace":null,"prealloc":null,"type":"923456","ns":123,"size":12`,
		},
		{ioam6("\x01", attr(6, inet("fc00::6"))), "ioam6 freq 2/9", `"ioam6","freqk":2,"freqn":9`},
		{tunnel(encapXFRM, attr(1, native32(0x1f)), attr(2, native32(1))), "xfrm if_id 31 link_dev lo", `"xfrm","if_id":31,"link_dev":"lo"`},
		{tunnel(11), "unknown", `"unknown"`},
		{tunnel(200, attr(1, "abcd")), "unknown", `"unknown"`},
	} {
		if got, want := rawView().Entry(c.entry), "192.0.2.0/24  encap "+c.text+" dev lo "; got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
		if got, want := routeJSON(rawView(), c.entry), `{"dst":"192.0.2.0/24","encap":{"encap_type":`+c.json+`},"dev":"lo","flags":[]}`; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

func TestEncapViews(t *testing.T) {
	counted := tunnel(encapSeg6Local, attr(1, native32(6)), attr(4, inet("10.0.0.7")), nest(10, attr(2, native64(1)), attr(3, native64(2)), attr(4, native64(3))))
	v := rawView()
	if got, want := v.Entry(counted), "192.0.2.0/24  encap seg6local action End.DX4 nh4 10.0.0.7 dev lo "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	v.Stats = true
	if got, want := v.Entry(counted), "192.0.2.0/24  encap seg6local action End.DX4 nh4 10.0.0.7 packets 1 bytes 2 errors 3 dev lo "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := routeJSON(v, counted), `{"dst":"192.0.2.0/24","encap":{"encap_type":"seg6local","action":"End.DX4","nh4":"10.0.0.7",`+
		`"stats64":{"packets":1,"bytes":2,"errors":3}},"dev":"lo","flags":[]}`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	v.OneLine, v.Color = true, iproute2.LightBackground
	options := tunnel(encapIP, attr(2, inet("10.9.9.1")), nest(8, nest(2, attr(1, native32(77)))))
	if got, want := v.Entry(options), "\x1b[35m192.0.2.0/24 \x1b[0m encap ip \x1b[35mdst 10.9.9.1 \x1b[0m\\\tvxlan_opts 77 dev \x1b[36mlo \x1b[0m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	members := tunnel(encapMPLS, attr(1, be32(100<<12|1<<8)))
	members.Nexthops = append(members.Nexthops, members.Nexthops[0])
	if got, want := rawView().Entry(members), "192.0.2.0/24 \n\tnexthop  encap mpls  100 dev lo weight 1 \n\tnexthop  encap mpls  100 dev lo weight 1 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	exact := rawView()
	exact.Exact = true
	raw := attr(1, native32(0x1f))
	if got, want := routeJSON(exact, tunnel(encapXFRM, raw)), `{"family":"inet","dst":"192.0.2.0/24","encap":{"encap_type":"xfrm","if_id":31,"type_raw":10,"raw":"`+
		base64Of(raw)+`"},"dev":"lo","flags":[]}`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// Whatever the bytes of a tunnel are, they can be listed, in a length that they
// justify.
func FuzzEncap(f *testing.F) {
	f.Add(uint16(encapSeg6), string(attr(1, native32(1), srh(be32(5), "fc00::b"))))
	f.Add(uint16(encapIP), string(nest(8, nest(1, attr(1, be16(1)), attr(2, "\x01"), attr(3, "abcd")))))
	f.Add(uint16(encapSeg6Local), string(join(attr(1, native32(1)), nest(11, attr(1, native32(0xff)), attr(2, "\x20")), nest(8, attr(2, "ep\x00")))))
	f.Add(uint16(encapIOAM6), string(join(attr(1, "\x01"), attr(4, native32(1)), attr(5, native32(1)), attr(3, be16(1), "\x00\x06", be32(256)))))
	f.Fuzz(func(t *testing.T, kind uint16, encap string) {
		e := tunnel(kind, rpdb.Raw(encap))
		v := view()
		v.Stats, v.Exact = true, true
		text, json := v.Entry(e), routeJSON(v, e)
		if limit := 4096 + 64*len(encap); len(text) > limit || len(json) > limit {
			t.Fatalf("%d bytes of tunnel are %d of text and %d of JSON", len(encap), len(text), len(json))
		}
	})
}
