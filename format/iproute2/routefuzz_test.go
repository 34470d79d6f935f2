package iproute2_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// checkAttributes checks that a payload is a struct rtmsg with attributes
// behind it that fill it to the end.
func checkAttributes(t *testing.T, line string, payload []byte) {
	t.Helper()
	if len(payload) < 12 || len(payload)%4 != 0 {
		t.Fatalf("%q: payload of %d bytes", line, len(payload))
	}
	for b := payload[12:]; len(b) > 0; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || (n+3)&^3 > len(b) {
			t.Fatalf("%q: attribute of %d in %d bytes", line, n, len(b))
		}
		b = b[(n+3)&^3:]
	}
}

// checkFailure checks that a complaint is one of ip's.
func checkFailure(t *testing.T, line string, err error) {
	t.Helper()
	var p *iproute2.ParseError
	if !errors.As(err, &p) || p.Stderr() == "" || p.Error() == "" || p.ExitCode() != 1 && p.ExitCode() != 255 {
		t.Fatalf("%q: %v", line, err)
	}
}

func fuzzWords(f *testing.F, use func(*testing.T, iproute2.RouteContext, string, []string)) {
	f.Fuzz(func(t *testing.T, family uint8, line string) {
		words, err := iproute2.Split(line)
		if err != nil {
			return
		}
		c := vrfContext()
		c.Family = [...]rpdb.Family{0, rpdb.IPv4, rpdb.IPv6, 28, 7, 17}[family%6]
		use(t, c, line, words)
	})
}

// Whatever is typed is sent or complained about, and what this program would
// carry out can be typed again from its own words.
func FuzzParseRouteRequest(f *testing.F) {
	f.Add(uint8(0), "default via 192.0.2.1 dev v0 metric 5 mtu lock 1400 rtt 1.5s features ecn congctl cubic")
	f.Add(uint8(2), "2001:db8::/32 encap seg6 mode inline segs ::1,::2 hmac 5 nexthop via fe80::1 dev v0 weight 2 nexthop encap ip6 id 5 dst ::1 dev w0")
	f.Add(uint8(0), "10.0.0.0/8 encap seg6local action End.B6 srh segs ::1 hmac 7 flavors next-csid lblen 32 nflen 16 count dev v0")
	f.Add(uint8(1), "10.0.0.0/8 encap ioam6 freq 1/2 mode encap tundst ::1 trace prealloc type 1 ns 2 size 8 via inet6 fe80::1 dev v0")
	f.Add(uint8(3), "100 as to 200/300 via inet 192.0.2.1 ttl-propagate enabled")
	f.Add(uint8(0), "198.51.100.0/24 encap ip id 5 geneve_opts 1:2:ab,3:4:cd key csum dst 192.0.2.1 table 300 encap ila 1:2:3:4 csum-mode no-action via link 1:2")
	f.Add(uint8(0), "default encap xfrm if_id 5 link_dev v0 dev v0 encap rpl segs ::1 encap mpls 5/6 ttl 7 vrf w0")
	fuzzWords(f, func(t *testing.T, c iproute2.RouteContext, line string, words []string) {
		q, err := c.ParseRequest(iproute2.RouteAdd, words)
		if err != nil {
			checkFailure(t, line, err)
			return
		}
		checkAttributes(t, line, q.Payload())
		r, err := q.Strict()
		if err != nil {
			return
		}
		command := iproute2.RouteCommand(rpdb.Add, r, view())
		again, err := iproute2.Split(command)
		if err != nil {
			t.Fatalf("%q: %s: %v", line, command, err)
		}
		own := context()
		own.Family = r.Family
		back, err := own.ParseRequest(iproute2.RouteAdd, again[4:])
		if err != nil || !back.Is(r) {
			t.Fatalf("%q is written %s, and read as %+v, %v", line, command, back.Route(), err)
		}
	})
}

func FuzzParseRouteGet(f *testing.F) {
	f.Add(uint8(0), "192.0.2.1 from 192.0.2.2 iif v0 mark 5 uid 7 ipproto tcp sport 5 dport 6 tos 10 fibmatch connected")
	f.Add(uint8(2), "default flowlabel 5 vrf w0 as to ::1")
	f.Add(uint8(3), "100 notify")
	fuzzWords(f, func(t *testing.T, c iproute2.RouteContext, line string, words []string) {
		g, err := c.ParseGet(words)
		if err != nil {
			checkFailure(t, line, err)
			return
		}
		checkAttributes(t, line, g.Payload())
		if flow := g.Flow(); g.Family.Bits() > 0 && flow.Family() != g.Family {
			t.Fatalf("%q: a flow of %v in a question of %v", line, flow.Family(), g.Family)
		}
	})
}

func FuzzParseRouteFilter(f *testing.F) {
	f.Add(uint8(0), "table all root 10.0.0.0/8 match default via inet6 fe80::/16 dev v0 realms 1/2 proto all scope link type local")
	f.Add(uint8(2), "from exact ::/0 cached mark 5 metric 6 iif lo src all tos 10")
	f.Add(uint8(3), "100 vrf w0")
	fuzzWords(f, func(t *testing.T, c iproute2.RouteContext, line string, words []string) {
		filter, err := c.ParseRouteFilter(iproute2.RouteList, words)
		if err != nil {
			checkFailure(t, line, err)
			return
		}
		checkAttributes(t, line, filter.Dump())
		for _, r := range listedRoutes {
			e := iproute2.RouteEntry{Route: mustRoute(t, 0, r[2:])}
			if filter.Match(e) && !filter.WithMembers().Match(e) {
				t.Fatalf("%q selects %s only without its members", line, r)
			}
		}
		if filter.Hidden()&iproute2.ColumnTable != 0 != (filter.Table() != 0) {
			t.Fatalf("%q: table %d, hidden columns %b", line, filter.Table(), filter.Hidden())
		}
	})
}
