package kernel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// save returns the payloads of all routes, as a saved stream has them.
func save(t testing.TB, ns *NetNS, f rpdb.Family, table rpdb.TableID) (payloads [][]byte) {
	t.Helper()
	s := openSocket(t, ns)
	_, err := s.ListRoutes(t.Context(), dumpPayload(f, table), func(m RouteMessage) error {
		payloads = append(payloads, slices.Clone(m.Payload))
		return nil
	})
	must(t, err)
	return payloads
}

// saved puts payloads into a stream, 100 bytes each.
func saved(t testing.TB, payloads ...[]byte) *SavedRoutes {
	t.Helper()
	var s SavedRoutes
	for i, p := range payloads {
		must(t, s.Add(unix.RTM_NEWROUTE, int64(4+100*i), p))
	}
	return &s
}

// restore restores and compares the figures.
func restore(t testing.TB, c *Conn, s *SavedRoutes, want RoutesRestored) {
	t.Helper()
	got, err := c.RestoreRoutes(t.Context(), s)
	must(t, err)
	if got != want {
		t.Errorf("restored %+v, want %+v", got, want)
	}
}

func wordsOf(routes ...rpdb.Route) (payloads [][]byte) {
	for _, r := range routes {
		payloads = append(payloads, encodeRoute(unix.RTM_NEWROUTE, 0, r).Payload())
	}
	return payloads
}

// Every shape of a route comes back, in whatever order the messages stand, and
// a second time adds nothing.
func TestRestoreRoutesOfEveryShape(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	addShapes(t, c)
	want := routeLines(t, c)
	stream := slices.Concat(save(t, ns, rpdb.IPv4, 0), save(t, ns, rpdb.IPv6, 0))
	reversed := slices.Clone(stream)
	slices.Reverse(reversed)
	shuffled := slices.Clone(stream)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for name, payloads := range map[string][][]byte{"forwards": stream, "backwards": reversed, "shuffled": shuffled} {
		deleted, err := flushAll(t, s, func(r rpdb.Route) bool { return r.Table != rpdb.TableLocal && !comesByItself(r) })
		must(t, err)
		restore(t, c, saved(t, payloads...), RoutesRestored{Added: deleted, There: len(payloads) - deleted})
		if got := routeLines(t, c); !sameLines(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
		restore(t, c, saved(t, payloads...), RoutesRestored{There: len(payloads)})
	}
}

func sameLines(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// IPv4 routes of one key stand in the order of the stream, behind those that
// are there, also if some need others to lead to their gateways.
func TestRestoreRoutesKeepsTheOrderOfEquals(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	there, remote := gateway("203.0.113.0/24", eth0), gateway("10.7.0.0/16", eth0)
	there.Nexthops[0].Via = addr("192.0.2.9")
	must(t, do(c, addRoute(there)))
	remote.Table, remote.Scope, remote.Nexthops[0].Via = rpdb.TableMain, rpdb.ScopeLink, netip.Addr{}
	want := []rpdb.Route{there}
	for _, via := range []string{"10.7.0.1", "192.0.2.8", "", "10.7.0.2", "192.0.2.7"} {
		r := gateway("203.0.113.0/24", eth0)
		if via == "" {
			r.Scope, r.Nexthops[0].Via = rpdb.ScopeLink, netip.Addr{}
		} else {
			r.Nexthops[0].Via = addr(via)
		}
		want = append(want, r)
	}
	stream := append(wordsOf(want[1:]...), wordsOf(remote)...)
	restore(t, c, saved(t, stream...), RoutesRestored{Added: 6})
	if got := routesOf(t, c, 100); !slices.EqualFunc(got, want, sameRoute) {
		t.Errorf("\n got %q\nwant %+v", routeLines(t, c), want)
	}
}

// Of a multipath route of IPv6 only the members that are missing are added,
// and they alone are taken back.
func TestRestoreRoutesJoinsMembers(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	hop := func(last int) rpdb.Nexthop {
		return rpdb.Nexthop{Via: addr(fmt.Sprintf("2001:db8::f%d", last)), Link: eth0, Weight: 1}
	}
	r := gateway("2001:db8:a::/48", eth0)
	r.Nexthops = []rpdb.Nexthop{hop(1), hop(2)}
	must(t, do(c, addRoute(r)))
	before := routeLines(t, c)
	more := r
	more.Protocol, more.Nexthops = rpdb.ProtocolBoot, []rpdb.Nexthop{hop(2), hop(3), hop(4)}
	single := r
	single.Protocol, single.Nexthops = rpdb.ProtocolBoot, []rpdb.Nexthop{hop(5)}
	stream := wordsOf(more, single, r)
	bad := r
	bad.Dst, bad.Nexthops = prefix("2001:db8:b::/48"), []rpdb.Nexthop{{Via: addr("2001:db8:ffff::1")}}
	if _, err := c.RestoreRoutes(t.Context(), saved(t, append(slices.Clone(stream), wordsOf(bad)...)...)); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("got %v", err)
	}
	if got := routeLines(t, c); !sameLines(got, before) {
		t.Errorf("\n got %q\nwant %q", got, before)
	}
	restore(t, c, saved(t, stream...), RoutesRestored{Added: 2, There: 1})
	if got := routesOf(t, c, 100); len(got) != 1 || len(got[0].Nexthops) != 5 {
		t.Errorf("got %q", routeLines(t, c))
	}
	restore(t, c, saved(t, stream...), RoutesRestored{There: 3})
}

// A route that cannot be added, wherever it stands, takes all others back, and
// is named. Routes of others stay where they are.
func TestRestoreRoutesAllOrNothing(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	addShapes(t, c)
	stream := slices.Concat(save(t, ns, rpdb.IPv4, 0), save(t, ns, rpdb.IPv6, 0))
	_, err := flushAll(t, s, func(r rpdb.Route) bool { return r.Table == 100 })
	must(t, err)
	eth0 := index(t, c, "eth0")
	for _, r := range snapshotOf(t, c, rpdb.TableMain) { // theirs, beside ours in the same tables
		r.Table, r.Metric, r.Protocol = 100, 77, rpdb.ProtocolBoot
		must(t, do(c, addRoute(r)))
	}
	before := routeLines(t, c)
	lost := gateway("203.0.113.200/32", eth0)
	lost.Nexthops[0].Via = addr("10.200.0.1")
	for k := range len(stream) + 1 {
		payloads := slices.Insert(slices.Clone(stream), k, wordsOf(lost)[0])
		got, err := c.RestoreRoutes(t.Context(), saved(t, payloads...))
		want := fmt.Sprintf("restore message %d (offset %d), route 203.0.113.200/32 table 100 (IPv4): ", k+1, 4+100*k)
		if !errors.Is(err, unix.ENETUNREACH) || !strings.HasPrefix(err.Error(), want) || got != (RoutesRestored{}) {
			t.Fatalf("at %d: %+v, %v", k, got, err)
		}
		if after := routeLines(t, c); !slices.Equal(after, before) {
			t.Fatalf("at %d:\n got %q\nwant %q", k, after, before)
		}
	}
}

// What the kernel cannot be made to delete without another one before it is
// taken back all the same, and the others keep their order.
func TestRestoreRoutesTakesBackWhatStandsBehindItsLike(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	for i, change := range []func(*rpdb.Route){
		func(r *rpdb.Route) { r.Protocol = rpdb.ProtocolBoot },
		func(r *rpdb.Route) { r.PrefSrc = addr("192.0.2.1") },
		func(r *rpdb.Route) { r.Metric = 5 },
	} {
		r := gateway("203.0.113.0/24", eth0)
		change(&r)
		must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create|netlink.Append, r), nil))
		if i == 0 {
			must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create, gateway("203.0.112.0/24", eth0)), nil))
		}
	}
	before := routeLines(t, c)
	vague, lost := gateway("203.0.113.0/24", eth0), gateway("203.0.113.200/32", eth0)
	vague.Protocol, lost.Nexthops[0].Via = rpdb.ProtocolUnspec, addr("10.200.0.1")
	_, err := c.RestoreRoutes(t.Context(), saved(t, wordsOf(vague, lost)...))
	if !errors.Is(err, unix.ENETUNREACH) || strings.Contains(err.Error(), "undo") {
		t.Errorf("got %v", err)
	}
	if got := routeLines(t, c); !slices.Equal(got, before) {
		t.Errorf("\n got %q\nwant %q", got, before)
	}
}

// snapshotOf returns the routes of IPv4 in a table.
func snapshotOf(t testing.TB, c *Conn, table rpdb.TableID) []rpdb.Route {
	return snapshot(t, c).Table(rpdb.IPv4, table)
}

// endsAfter is a context that ends when it has been asked a number of times.
type endsAfter struct {
	context.Context
	left int
}

func (e *endsAfter) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

// A restore that is ended leaves nothing, whenever that is.
func TestRestoreRoutesEnds(t *testing.T) {
	ns, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	load(t, c, 1200, func(i int) rpdb.Route { return numbered(rpdb.IPv4, i, eth0) })
	stream := saved(t, save(t, ns, rpdb.IPv4, 100)...)
	_, err := flushAll(t, openSocket(t, ns), func(r rpdb.Route) bool { return r.Table == 100 })
	must(t, err)
	before := routeLines(t, c)
	for after := 0; ; after++ {
		_, err := c.RestoreRoutes(&endsAfter{t.Context(), after}, stream)
		if err == nil {
			if after < 12 { // 1200 requests, a hundred at a time
				t.Errorf("asked only %d times", after)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if got := routeLines(t, c); !slices.Equal(got, before) {
			t.Fatalf("ended at %d: %d routes, want %d", after, len(got), len(before))
		}
	}
}

// What the kernel makes along with addresses, and will not take from us
// without, does not hinder the rest.
func TestRestoreRoutesWithoutTheirAddresses(t *testing.T) {
	ns, c := uplinks(t)
	eth1 := index(t, c, "eth1")
	r := gateway("203.0.113.0/24", eth1)
	r.Nexthops[0].Via = addr("198.51.100.9")
	must(t, do(c, addRoute(r)))
	stream := slices.Concat(save(t, ns, rpdb.IPv4, 0), save(t, ns, rpdb.IPv6, 0))
	must(t, c.DeleteAddress("eth1", prefix("198.51.100.1/24")))
	must(t, c.DeleteAddress("eth1", prefix("2001:db8:1::1/64")))
	got, err := c.RestoreRoutes(t.Context(), saved(t, stream...))
	must(t, err)
	if got.Added+got.There+got.Left != len(stream) || got.Left == 0 {
		t.Errorf("restored %+v of %d", got, len(stream))
	}
	for _, x := range snapshot(t, c).Routes {
		if x.Type == rpdb.RouteLocal && x.Family == rpdb.IPv6 && x.Metric != 0 {
			t.Errorf("made up %+v", x)
		}
	}
}

// State that the kernel tells along is not asked for: a member without carrier,
// a life time that is over.
func TestRestoreRoutesWithoutState(t *testing.T) {
	ns, c := uplinks(t)
	eth0, eth1 := index(t, c, "eth0"), index(t, c, "eth1")
	r := gateway("203.0.113.0/24", eth0)
	r.Nexthops = append(r.Nexthops, rpdb.Nexthop{Via: addr("198.51.100.9"), Link: eth1})
	must(t, do(c, addRoute(r)))
	payloads := save(t, ns, rpdb.IPv4, 100)
	must(t, do(c, delRoute(r)))
	back, _, err := DecodeRoute(payloads[0])
	must(t, err)
	back.Nexthops[1].Flags |= rpdb.NexthopLinkdown | rpdb.NexthopDead
	e := netlink.NewEncoder(nil, 0, 0, payloads[0][:unix.SizeofRtMsg])
	e.Uint32(unix.RTA_TABLE, 100)
	e.Addr(unix.RTA_DST, r.Dst.Addr())
	e.Nest(unix.RTA_MULTIPATH, func() {
		for _, h := range back.Nexthops {
			e.Record(fixed([]byte{0, 0, byte(h.Flags), 0}, uint32(h.Link)), func() { e.Addr(unix.RTA_GATEWAY, h.Via) })
		}
	})
	over := netlink.NewEncoder(nil, 0, 0, wordsOf(gateway("2001:db8:a::/48", eth0))[0])
	over.Uint32s(unix.RTA_CACHEINFO, 0, 0, 0xffffffff, 0, 0, 0, 0, 0)
	cached := gateway("2001:db8:a::1/128", eth0)
	words := wordsOf(cached)[0]
	copy(words[8:], fixed(nil, routeCloned))
	restore(t, c, saved(t, e.Payload(), over.Payload(), words), RoutesRestored{Added: 1, Left: 2})
	if got := routesOf(t, c, 100); len(got) != 1 || !got[0].Equal(r) {
		t.Errorf("got %q", routeLines(t, c))
	}
}

// What the kernel stores otherwise is taken back, like what it refuses.
func TestRestoreRoutesComparesWhatWasStored(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	strange := gateway("203.0.113.0/24", eth0)
	e := netlink.NewEncoder(nil, 0, 0, nil)
	e.Uint32(60, 7)
	strange.Unknown = rpdb.Raw(e.Payload())
	var lost *UnsupportedError
	_, err := c.RestoreRoutes(t.Context(), saved(t, wordsOf(gateway("203.0.112.0/24", eth0), strange)...))
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "message 2 (offset 104)") {
		t.Errorf("got %v", err)
	}
	if got := routesOf(t, c, 100); len(got) != 0 {
		t.Errorf("left %q", routeLines(t, c))
	}
	gone := gateway("203.0.113.1/32", eth0)
	gone.Nexthops, gone.NexthopID = nil, 4711
	if _, err := c.RestoreRoutes(t.Context(), saved(t, wordsOf(gone)...)); err == nil || !strings.Contains(err.Error(), "exthop id") {
		t.Errorf("got %v", err)
	}
	restore(t, c, saved(t), RoutesRestored{})
}

// What cannot be restored is not taken into the stream.
func TestSavedRoutesRefuse(t *testing.T) {
	var s SavedRoutes
	good := wordsOf(gateway("203.0.113.0/24", 2))[0]
	e := netlink.NewEncoder(nil, 0, 0, nil)
	e.NetUint64(1, 99)
	e.Nest(encapOptions|netlink.Nested, func() {})
	tunnel := gateway("203.0.113.0/24", 2)
	tunnel.Nexthops[0].EncapType, tunnel.Nexthops[0].Encap = encapIP, rpdb.Raw(e.Payload())
	for name, m := range map[string]struct {
		typ     uint16
		payload []byte
	}{
		"a rule":              {unix.RTM_NEWRULE, good},
		"a deletion":          {unix.RTM_DELROUTE, good},
		"nothing":             {unix.RTM_NEWROUTE, nil},
		"half a route":        {unix.RTM_NEWROUTE, good[:len(good)-3]},
		"another family":      {unix.RTM_NEWROUTE, append([]byte{129}, good[1:]...)},
		"a prefix too long":   {unix.RTM_NEWROUTE, append([]byte{2, 33}, good[2:]...)},
		"options of a tunnel": {unix.RTM_NEWROUTE, wordsOf(tunnel)[0]},
	} {
		if err := s.Add(m.typ, 4, m.payload); err == nil || s.Len() != 0 {
			t.Errorf("%s: %v, %d messages", name, err, s.Len())
		}
	}
	for i := range 2*pieceMessages + 1 {
		must(t, s.Add(unix.RTM_NEWROUTE, int64(i), wordsOf(numbered(rpdb.IPv4, i, 2))[0]))
	}
	for _, i := range []int{0, 1, pieceMessages - 1, pieceMessages, 2 * pieceMessages} {
		r, _ := s.route(i)
		if want := numbered(rpdb.IPv4, i, 2); !r.Equal(want) || !strings.Contains(s.object(i), fmt.Sprintf("message %d (offset %d)", i+1, i)) {
			t.Errorf("message %d is %+v, %s", i, r, s.object(i))
		}
	}
}
