package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// dumpPayload asks for the routes of a family, of one table if it is not 0.
func dumpPayload(f rpdb.Family, table rpdb.TableID) []byte {
	e := netlink.NewEncoder(nil, unix.RTM_GETROUTE, 0, fixed([]byte{byte(f), 0, 0, 0, 0, 0, 0, 0}, 0))
	if table != 0 {
		e.Uint32(unix.RTA_TABLE, uint32(table))
	}
	return e.Payload()
}

// gateway is a route to dst in table 100 by the first uplink.
func gateway(dst string, eth0 rpdb.LinkIndex) rpdb.Route {
	p := prefix(dst)
	via := "192.0.2.254"
	if p.Addr().Is6() {
		via = "2001:db8::fe"
	}
	return rpdb.Route{
		Family: rpdb.FamilyOf(p.Addr()), Table: 100, Dst: p, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic,
		Nexthops: []rpdb.Nexthop{{Via: addr(via), Link: eth0}},
	}
}

// fill puts n routes into table 100, each 203.0.0.0/8 or 2001:db8:a::/48 deep.
func fill(t testing.TB, c *Conn, f rpdb.Family, n int) {
	t.Helper()
	eth0 := index(t, c, "eth0")
	for i := range n {
		r := gateway(fmt.Sprintf("203.%d.%d.0/24", i>>8, i&255), eth0)
		if f == rpdb.IPv6 {
			r = gateway(fmt.Sprintf("2001:db8:a:%x::/64", i), eth0)
		}
		must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create, r), nil))
	}
}

func request(typ uint16, flags netlink.Flags, r rpdb.Route) RouteRequest {
	return RouteRequest{Type: typ, Flags: uint16(flags), Payload: encodeRoute(typ, 0, r).Payload()}
}

// Routes are sent as they are worded: appended, and deleted by what is given.
func TestSocketSendsRoutes(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	r := gateway("203.0.113.0/24", index(t, c, "eth0"))
	for _, protocol := range []rpdb.Protocol{rpdb.ProtocolStatic, rpdb.ProtocolBoot} {
		r.Protocol = protocol
		m := request(unix.RTM_NEWROUTE, netlink.Create|netlink.Append, r)
		m.Echo = true
		told, err := s.SendRoute(t.Context(), m)
		must(t, err)
		if len(told) != 1 || told[0].Deleted() || !told[0].Route.Equal(r) {
			t.Fatalf("added %+v, want %+v", told, r)
		}
		if back, _, err := DecodeRoute(told[0].Payload); err != nil || !back.Equal(r) {
			t.Errorf("payload is %+v, %v", back, err)
		}
	}
	vague := rpdb.Route{Family: rpdb.IPv4, Table: 100, Dst: r.Dst, Scope: rpdb.ScopeNowhere}
	m := request(unix.RTM_DELROUTE, 0, vague)
	m.Payload[7], m.Echo = 0, true // of any type
	told, err := s.SendRoute(t.Context(), m)
	must(t, err)
	if len(told) != 1 || !told[0].Deleted() || told[0].Route.Protocol != rpdb.ProtocolStatic {
		t.Errorf("deleted %+v, want the first", told)
	}
	m.Echo = false
	if told, err := s.SendRoute(t.Context(), m); err != nil || len(told) != 0 {
		t.Errorf("without echo: %v, %v", told, err)
	}
	_, err = s.SendRoute(t.Context(), m)
	var refused *Refusal
	if !errors.As(err, &refused) || refused.Errno != unix.ESRCH {
		t.Errorf("deleting what is gone: %v", err)
	}
}

// What the kernel is asked for it filters; a table that does not exist is an
// error of a strict socket only.
func TestListRoutes(t *testing.T) {
	ns, c := uplinks(t)
	fill(t, c, rpdb.IPv4, 3)
	strict := openSocket(t, ns)
	lenient, err := OpenSocket(Options{NetNS: ns, Lenient: true})
	must(t, err)
	defer lenient.Close()
	count := func(s *Socket, f rpdb.Family, table rpdb.TableID) (n int, err error) {
		consistent, err := s.ListRoutes(t.Context(), dumpPayload(f, table), func(m RouteMessage) error {
			if m.Flags&uint16(netlink.Multi) == 0 || m.Route.Family != f || len(m.Payload) < unix.SizeofRtMsg {
				t.Errorf("got %+v", m)
			}
			n++
			return nil
		})
		if consistent != (err == nil) {
			t.Errorf("consistent %v, %v", consistent, err)
		}
		return n, err
	}
	if n, err := count(strict, rpdb.IPv4, 100); n != 3 || err != nil {
		t.Errorf("%d routes, %v", n, err)
	}
	all, err := count(strict, rpdb.IPv4, 0)
	must(t, err)
	if n, err := count(lenient, rpdb.IPv4, 77); n != all || err != nil {
		t.Errorf("lenient: %d routes, %v, want the unfiltered %d", n, err, all)
	}
	for f, want := range map[rpdb.Family]string{
		rpdb.IPv4: "ipv4: FIB table does not exist", rpdb.IPv6: "ipv6: FIB table does not exist",
	} {
		_, err := count(strict, f, 77)
		var refused *Refusal
		if !errors.As(err, &refused) || refused.Errno != unix.ENOENT || refused.Message != want {
			t.Errorf("no such table: %v", err)
		}
	}
	stop := errors.New("enough")
	if _, err := strict.ListRoutes(t.Context(), dumpPayload(rpdb.IPv4, 0), func(RouteMessage) error { return stop }); err != stop {
		t.Errorf("got %v", err)
	}
	if n, err := count(strict, rpdb.IPv4, 100); n != 3 || err != nil {
		t.Errorf("after a list that was ended: %d routes, %v", n, err)
	}
}

// A list holds one route, whatever it lists.
func TestListRoutesAllocatesNothingPerRoute(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	for _, f := range rpdb.Families() {
		fill(t, c, f, 2000)
		n, payload := 0, dumpPayload(f, 100)
		each := func(m RouteMessage) error {
			n += len(m.Route.Nexthops)
			return nil
		}
		allocs := testing.AllocsPerRun(10, func() {
			n = 0
			if _, err := s.ListRoutes(context.Background(), payload, each); err != nil {
				t.Fatal(err)
			}
		})
		if n != 2000 || allocs > 40 { // for each datagram, and the request
			t.Errorf("%v: %v allocations for %d routes", f, allocs, n)
		}
	}
}

// Unread messages are those of the other list, of few routes and of many, in order.
func TestRouteMessages(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	for _, f := range rpdb.Families() {
		fill(t, c, f, manyBlocks)
		for _, table := range []rpdb.TableID{rpdb.TableMain, 100} {
			var want [][]byte
			_, err := s.ListRoutes(t.Context(), dumpPayload(f, table), func(m RouteMessage) error {
				want = append(want, bytes.Clone(m.Payload))
				return nil
			})
			must(t, err)
			i := 0
			consistent, err := s.RouteMessages(t.Context(), dumpPayload(f, table), func(m *Message) error {
				if i >= len(want) || m.Type != unix.RTM_NEWROUTE || m.Flags&uint16(netlink.Multi) == 0 || !bytes.Equal(m.Payload, want[i]) {
					return fmt.Errorf("message %d of %d is %+v", i, len(want), m)
				}
				i++
				return nil
			})
			if err != nil || !consistent || i != len(want) || table == 100 && i != manyBlocks {
				t.Errorf("%v, table %d: %d messages of %d, %v, %v", f, table, i, len(want), consistent, err)
			}
		}
	}
	_, err := s.RouteMessages(t.Context(), dumpPayload(rpdb.IPv4, 77), func(*Message) error { return errors.New("there is one") })
	var refused *Refusal
	if !errors.As(err, &refused) || refused.Errno != unix.ENOENT {
		t.Errorf("no such table: %v", err)
	}
}

// Who uses the messages may say no; then nothing more is used, and the socket is fit
// for the next request.
func TestRouteMessagesEndWithTheirUse(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	fill(t, c, rpdb.IPv4, manyBlocks)
	for _, table := range []rpdb.TableID{rpdb.TableLocal, 100} {
		no, used := errors.New("no"), 0
		consistent, err := s.RouteMessages(t.Context(), dumpPayload(rpdb.IPv4, table), func(*Message) error {
			used++
			if used == 2 {
				return no
			}
			return nil
		})
		if err != no || used != 2 || consistent {
			t.Errorf("table %d: %v, %v after %d messages", table, consistent, err, used)
		}
	}
	n := 0
	if _, err := s.RouteMessages(t.Context(), dumpPayload(rpdb.IPv4, 100), func(*Message) error { n++; return nil }); err != nil || n != manyBlocks {
		t.Errorf("afterwards: %d routes, %v", n, err)
	}
}

// A list holds a few blocks of messages, whatever it lists.
func TestRouteMessagesMemory(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	fill(t, c, rpdb.IPv4, manyBlocks)
	payload := dumpPayload(rpdb.IPv4, 100)
	allocs := testing.AllocsPerRun(10, func() {
		if _, err := s.RouteMessages(context.Background(), payload, func(*Message) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 100 { // for each datagram, and the blocks
		t.Errorf("%v allocations for %d routes", allocs, manyBlocks)
	}
}

// The decision is the kernel's answer with what it tells of the flow.
func TestGetRoute(t *testing.T) {
	ns, _ := uplinks(t)
	s := openSocket(t, ns)
	get := func(flags uint32, write func(*netlink.Encoder)) (RouteMessage, error) {
		e := netlink.NewEncoder(nil, unix.RTM_GETROUTE, 0, fixed([]byte{unix.AF_INET, 32, 0, 0, 0, 0, 0, 0}, flags))
		write(e)
		return s.GetRoute(t.Context(), e.Payload())
	}
	m, err := get(routeLookupTable, func(e *netlink.Encoder) {
		e.Addr(unix.RTA_DST, addr("192.0.2.77"))
		e.Uint32(unix.RTA_MARK, 7)
		e.Uint32(unix.RTA_UID, 0)
	})
	must(t, err)
	uid, ok := m.Details.UID.Get()
	if m.Route.Dst != netip.PrefixFrom(addr("192.0.2.77"), 32) || m.Route.Table != rpdb.TableMain || m.Details.Mark != 7 || uid != 0 || !ok {
		t.Errorf("got %+v", m)
	}
	if m.Details.Flags&routeCloned == 0 || !m.Details.Cache.IsSet() || m.Route.Unknown != "" {
		t.Errorf("got %+v", m)
	}
	m, err = get(0x2000, func(e *netlink.Encoder) { e.Addr(unix.RTA_DST, addr("192.0.2.77")) }) // RTM_F_FIB_MATCH
	must(t, err)
	if m.Route.Dst != prefix("192.0.2.0/24") || m.Details.Cache.IsSet() {
		t.Errorf("the route behind it is %+v", m)
	}
	var refused *Refusal
	_, err = get(0, func(e *netlink.Encoder) { e.Addr(unix.RTA_DST, addr("203.0.113.1")) })
	if !errors.As(err, &refused) || refused.Errno != unix.ENETUNREACH {
		t.Errorf("no route: %v", err)
	}
	_, err = get(0, func(e *netlink.Encoder) {
		e.Addr(unix.RTA_DST, addr("192.0.2.77"))
		e.NetUint32(rtaFlowLabel, 5)
	})
	if !errors.As(err, &refused) || refused.Message == "" {
		t.Errorf("a flow label: %v", err)
	}
}

func TestLinkNamesOfASocket(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	eth0 := index(t, c, "eth0")
	if got, ok := s.LinkIndex("eth0"); got != eth0 || !ok {
		t.Errorf("eth0 is %d, %v", got, ok)
	}
	for name, want := range map[rpdb.LinkName]rpdb.LinkIndex{"if77": 77, "if0": 0, "if": 0, "nosuch": 0, "": 0, "eth0:1": 0} {
		if got, ok := s.LinkIndex(name); got != want || ok != (want != 0) {
			t.Errorf("%q is %d, %v", name, got, ok)
		}
	}
	names := s.LinkNames()
	if got := names.Name(eth0); got != "eth0" {
		t.Errorf("got %q", got)
	}
	must(t, c.SetLink("eth0", LinkChange{Down: true}))
	must(t, c.SetLink("eth0", LinkChange{NewName: "wan0"}))
	if got := names.Name(eth0); got != "eth0" {
		t.Errorf("asked again: %q", got)
	}
	if got := s.LinkNames().Name(eth0); got != "wan0" {
		t.Errorf("the next list says %q", got)
	}
	if names.Name(4711) != "" || names.Name(0) != "" || s.LinkName(eth0) != "wan0" {
		t.Error("a name for what is not there, or none for what is")
	}
	if n := testing.AllocsPerRun(10, func() { names.Name(eth0); names.Name(4711) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A decoder that is used again gives the same as a fresh one, and nothing of
// the route before.
func TestRouteDecoderIsUsedAgain(t *testing.T) {
	var d RouteDecoder
	for range 2 {
		for _, r := range routeShapes(2, 3) {
			payload := encodeRoute(unix.RTM_NEWROUTE, 0, r).Payload()
			fresh, details, err := DecodeRoute(payload)
			must(t, err)
			again, againDetails, err := d.Decode(payload)
			must(t, err)
			if !fresh.Equal(again) || fresh.Expires != again.Expires || details != againDetails {
				t.Errorf("\n got %+v\nwant %+v", again, fresh)
			}
			e, err := EncodeRoute(again)
			must(t, err)
			if !bytes.Equal(e, payload) {
				t.Errorf("%v is encoded otherwise", r)
			}
		}
	}
	if _, _, err := d.Decode([]byte{2}); err == nil {
		t.Error("one byte is a route")
	}
}

func TestRouteDetails(t *testing.T) {
	e := netlink.NewEncoder(nil, unix.RTM_NEWROUTE, 0, fixed([]byte{unix.AF_INET6, 128, 0, 0, 254, 2, 0, 1}, 0x44000210))
	e.Addr(unix.RTA_DST, addr("2001:db8::1"))
	e.Uint32(unix.RTA_IIF, 5)
	e.Uint32(unix.RTA_MARK, 6)
	e.Uint32(unix.RTA_UID, 0)
	e.Uint32s(unix.RTA_CACHEINFO, 1, 2, 250, 0xffffff9b, 3, 4, 5, 6)
	e.Addr(unix.RTA_NEWDST, addr("2001:db8::2"))
	r, details, err := DecodeRoute(e.Payload())
	must(t, err)
	want := rpdb.RouteDetails{
		Flags: 0x44000210, IIF: 5, Mark: 6, UID: rpdb.Some(uint32(0)),
		Cache: rpdb.Some(rpdb.RouteCache{Users: 1, Age: 2, Expires: 250, Error: -101, Used: 3, ID: 4, TS: 5, TSAge: 6}),
	}
	if details != want || r.Flags != 0x44000200 || r.Expires != 3 {
		t.Errorf("got %+v of %+v, want %+v", details, r, want)
	}
	if !hasAttribute(r.Unknown, unix.RTA_NEWDST, addr("2001:db8::2").AsSlice()) {
		t.Errorf("unknown is %x", r.Unknown)
	}
}

// The members of a multipath route of IPv6 are deleted one by one, each with an
// echo.
func TestSocketHearsManyEchoes(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	r := gateway("2001:db8:a::/48", index(t, c, "eth0"))
	hop := r.Nexthops[0]
	r.Nexthops = nil
	for i := range 200 {
		hop.Via = addr(fmt.Sprintf("2001:db8::%x", 0x1000+i))
		r.Nexthops = append(r.Nexthops, hop)
	}
	must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create, r), nil))
	m := request(unix.RTM_DELROUTE, 0, r)
	m.Echo = true
	told, err := s.SendRoute(t.Context(), m)
	if err != nil || len(told) != len(r.Nexthops) {
		t.Errorf("%d echoes, %v", len(told), err)
	}
	if left := routesOf(t, c, 100); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}
