package kernel

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// addShapes puts every shape of a route, and the nexthop objects that some of
// them use, into the namespace.
func addShapes(t testing.TB, c *Conn) []rpdb.Route {
	t.Helper()
	eth0, eth1 := index(t, c, "eth0"), index(t, c, "eth1")
	for _, n := range nexthopObjects(eth0, eth1) {
		must(t, c.AddNexthop(n))
	}
	shapes := routeShapes(eth0, eth1)
	for _, r := range shapes {
		must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create, r), nil))
	}
	return shapes
}

// flushAll flushes what is chosen of all tables of both families.
func flushAll(t testing.TB, s *Socket, doomed func(rpdb.Route) bool) (deleted int, err error) {
	t.Helper()
	for _, f := range rpdb.Families() {
		rounds, ferr := s.FlushRoutes(t.Context(), dumpPayload(f, 0), func(m RouteMessage) bool { return doomed(m.Route) })
		err = errors.Join(err, ferr)
		for _, n := range rounds {
			deleted += n
		}
	}
	return deleted, err
}

// comesByItself reports whether the kernel makes a route in its own time: those
// of a link-local address come when nobody on the link has it.
func comesByItself(r rpdb.Route) bool {
	return r.Family == rpdb.IPv6 && r.Protocol == rpdb.ProtocolKernel
}

// routeLines are the routes of a namespace in words that can be compared, but
// for those that come by themselves.
func routeLines(t testing.TB, c *Conn) (lines []string) {
	t.Helper()
	for _, r := range snapshot(t, c).Routes {
		if comesByItself(r) {
			continue
		}
		lines = append(lines, lineOf(t, r))
	}
	return lines
}

func lineOf(t testing.TB, r rpdb.Route) string {
	t.Helper()
	r = r.Canonical()
	slices.SortFunc(r.Nexthops, compareHops)
	line, err := json.Marshal(r)
	must(t, err)
	return string(line)
}

func TestFlushRoutesOfEveryShape(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	before := routeLines(t, c)
	shapes := addShapes(t, c)
	deleted, err := flushAll(t, s, func(r rpdb.Route) bool { return r.Table != rpdb.TableMain && r.Table != rpdb.TableLocal })
	must(t, err)
	if deleted != len(shapes) {
		t.Errorf("deleted %d routes of %d", deleted, len(shapes))
	}
	if after := routeLines(t, c); !slices.Equal(before, after) {
		t.Errorf("\n got %q\nwant %q", after, before)
	}
	rounds, err := s.FlushRoutes(t.Context(), dumpPayload(rpdb.IPv4, 0), func(RouteMessage) bool { return false })
	if err != nil || len(rounds) != 0 {
		t.Errorf("nothing to flush: %v, %v", rounds, err)
	}
}

// One route after the other of every shape goes, and each time only that one.
func TestFlushRoutesLeavesOthers(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	addShapes(t, c)
	left := routeLines(t, c)
	for _, victim := range snapshot(t, c).Routes {
		if victim.Protocol == rpdb.ProtocolKernel {
			continue // some of them come back by themselves
		}
		deleted, err := flushAll(t, s, func(r rpdb.Route) bool { return sameRoute(victim, r) })
		if err != nil || deleted != 1 {
			t.Errorf("%+v: deleted %d, %v", victim, deleted, err)
		}
		now := routeLines(t, c)
		gone := slices.DeleteFunc(slices.Clone(left), func(line string) bool { return slices.Contains(now, line) })
		if len(now) != len(left)-1 || len(gone) != 1 {
			t.Fatalf("instead of\n%+v\n%q\nwent", victim, gone)
		}
		left = now
	}
}

// Routes of one prefix that the kernel tells apart are told apart; where it
// does not, the one that was not chosen and the one behind it stay.
func TestFlushRoutesOfOnePrefix(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	eth0 := index(t, c, "eth0")
	put := func(dst string, change func(*rpdb.Route)) rpdb.Route {
		r := gateway(dst, eth0)
		change(&r)
		must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create|netlink.Append, r), nil))
		return r
	}
	const four, six = "203.0.113.0/24", "2001:db8:a::/48"
	kept := []rpdb.Route{
		put(four, func(r *rpdb.Route) {}),
		put(four, func(r *rpdb.Route) { r.TOS = 8; r.Protocol = rpdb.ProtocolBoot }),
		put(four, func(r *rpdb.Route) { r.Metric = 5; r.PrefSrc = addr("192.0.2.1") }),
		put(six, func(r *rpdb.Route) {}),
		put(six, func(r *rpdb.Route) { r.Metric = 5; r.Src = prefix("2001:db8::/64") }),
	}
	for n, change := range []func(*rpdb.Route){
		func(r *rpdb.Route) { r.Protocol = rpdb.ProtocolBoot },
		func(r *rpdb.Route) { r.Nexthops[0].Via = r.Nexthops[0].Via.Prev() },
		func(r *rpdb.Route) { r.Nexthops[0].Via, r.Scope = netip.Addr{}, rpdb.ScopeLink },
		func(r *rpdb.Route) { r.Metric = 6 },
		func(r *rpdb.Route) { r.Type, r.Nexthops = rpdb.RouteBlackhole, nil },
		func(r *rpdb.Route) { r.Metrics = []rpdb.Metric{{Type: rpdb.MetricMTU, Value: 1400}} },
	} {
		for i, dst := range []string{four, six} {
			r := kept[3*i]
			r.Nexthops = slices.Clone(r.Nexthops)
			change(&r)
			if r.Family == rpdb.IPv6 {
				r.Scope, r.Metric = rpdb.ScopeGlobal, uint32(10+n) // no members of one route
			}
			put(dst, func(x *rpdb.Route) { *x = r })
		}
	}
	_, err := flushAll(t, s, func(r rpdb.Route) bool {
		return r.Table == 100 && !slices.ContainsFunc(kept, func(k rpdb.Route) bool { return sameRoute(k, r) })
	})
	must(t, err)
	if got := routesOf(t, c, 100); len(got) != len(kept) || !slices.ContainsFunc(got, func(r rpdb.Route) bool { return sameRoute(kept[0], r) }) {
		t.Errorf("left %q", routeLines(t, c))
	}
	// Nothing that the kernel compares tells the second from the first.
	vague := put(four, func(r *rpdb.Route) { r.Protocol = rpdb.ProtocolUnspec })
	var other *OtherRouteError
	deleted, err := flushAll(t, s, func(r rpdb.Route) bool { return sameRoute(vague, r) })
	if !errors.As(err, &other) || !sameRoute(kept[0], other.Hit) || deleted != 0 {
		t.Errorf("deleted %d, %v", deleted, err)
	}
	deleted, err = flushAll(t, s, func(r rpdb.Route) bool { return r.Table == 100 })
	if err != nil || deleted != len(kept)+1 || len(routesOf(t, c, 100)) != 0 {
		t.Errorf("deleted %d, %v", deleted, err)
	}
}

// routesOf returns the routes of a table, IPv4 first.
func routesOf(t testing.TB, c *Conn, table rpdb.TableID) []rpdb.Route {
	t.Helper()
	s := snapshot(t, c)
	return slices.Concat(s.Table(rpdb.IPv4, table), s.Table(rpdb.IPv6, table))
}

// A route and its nexthop object are two things: the object stays.
func TestFlushRoutesLeavesNexthopObjects(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	addShapes(t, c)
	objects := len(snapshot(t, c).Nexthops)
	deleted, err := flushAll(t, s, func(r rpdb.Route) bool { return r.NexthopID != 0 })
	if err != nil || deleted != 4 || len(snapshot(t, c).Nexthops) != objects {
		t.Errorf("deleted %d, %v, %d objects of %d", deleted, err, len(snapshot(t, c).Nexthops), objects)
	}
}

// Many routes go, in both families, and those among them that are not chosen
// stay.
func TestFlushManyRoutes(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	eth0 := index(t, c, "eth0")
	const n = 10000
	for _, f := range rpdb.Families() {
		load(t, c, n, func(i int) rpdb.Route {
			r := numbered(f, i, eth0)
			if i%1000 == 0 {
				r.Protocol = rpdb.ProtocolBoot
			}
			return r
		})
		rounds, err := s.FlushRoutes(t.Context(), dumpPayload(f, 100), func(m RouteMessage) bool {
			return m.Route.Protocol == rpdb.ProtocolStatic
		})
		must(t, err)
		if !slices.Equal(rounds, []int{n - n/1000}) {
			t.Errorf("%v: rounds %v", f, rounds)
		}
		left := 0
		_, err = s.ListRoutes(t.Context(), dumpPayload(f, 100), func(m RouteMessage) error {
			left++
			if m.Route.Protocol != rpdb.ProtocolBoot {
				t.Errorf("left %+v", m.Route)
			}
			return nil
		})
		if err != nil || left != n/1000 {
			t.Errorf("%v: %d routes are left, %v", f, left, err)
		}
	}
}

// A list that is ended to send what was found goes on where it matters.
func TestFlushRoutesInBatches(t *testing.T) {
	ns, c := uplinks(t)
	for _, f := range rpdb.Families() {
		fill(t, c, f, 1000)
		s := openSocket(t, ns)
		flush := routeFlush{nl: s.nl, limit: 300, chosen: func(m RouteMessage) (rpdb.Route, bool) {
			return m.Route, m.Route.Dst.Addr().AsSlice()[1]%2 == 1 || f == rpdb.IPv6
		}}
		rounds, err := flush.run(t.Context(), func(each func(RouteMessage) error) error {
			_, err := s.ListRoutes(t.Context(), dumpPayload(f, 100), each)
			return err
		})
		want := 1000
		if f == rpdb.IPv4 {
			want = 256 + 1000 - 3*256 // those of 203.1 and 203.3
		}
		if err != nil || !slices.Equal(rounds, []int{want}) {
			t.Errorf("%v: rounds %v, %v, want %d", f, rounds, err, want)
		}
	}
}

// numbered is the i-th of four million routes of a family. They do not follow
// each other: the kernel is slow to delete from a dense block.
func numbered(f rpdb.Family, i int, link rpdb.LinkIndex) rpdb.Route {
	i = int(uint32(i) * 0x9e3779b1 & (1<<22 - 1))
	r := rpdb.Route{Family: f, Table: 100, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic}
	if f == rpdb.IPv4 {
		r.Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(16 + i>>16), byte(i >> 8), byte(i), 0}), 24)
		r.Nexthops = []rpdb.Nexthop{{Via: addr("192.0.2.254"), Link: link}}
		return r
	}
	r.Dst = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 10, byte(i >> 16), byte(i >> 8), byte(i)}), 64)
	r.Nexthops = []rpdb.Nexthop{{Via: addr("2001:db8::fe"), Link: link}}
	return r
}

// load adds n routes.
func load(t testing.TB, c *Conn, n int, route func(i int) rpdb.Route) {
	t.Helper()
	var b netlink.Batch
	for i := range n {
		must(t, b.Add(encodeRoute(unix.RTM_NEWROUTE, netlink.Create, route(i))))
	}
	_, err := c.nl.ExecuteBatch(t.Context(), &b, func(i int, err error) error {
		t.Errorf("add %+v: %v", route(i), err)
		return err
	})
	must(t, err)
}

func TestDeletionOfWhatIsListed(t *testing.T) {
	cached := gateway("2001:db8:a::1/128", 2)
	cached.Flags = routeCloned
	if flags := uint32At(encodeDeletion(cached, 0).Payload(), 8); flags != routeCloned {
		t.Errorf("a cached route: flags %#x", flags)
	}
	e := netlink.NewEncoder(nil, 0, 0, nil)
	e.NetUint64(1, 99)
	e.Nest(encapOptions|netlink.Nested, func() {})
	tunnel := gateway("203.0.113.0/24", 2)
	tunnel.Nexthops[0].EncapType, tunnel.Nexthops[0].Encap = encapIP, rpdb.Raw(e.Payload())
	two := tunnel
	two.Nexthops = append(slices.Clone(tunnel.Nexthops), rpdb.Nexthop{Link: 3, EncapType: 5, Encap: tunnel.Nexthops[0].Encap})
	for _, r := range []rpdb.Route{tunnel, two} {
		back, err := decodeRoute(encodeDeletion(r, 0).Payload())
		must(t, err)
		if h := back.Nexthops[0]; h.EncapType != 0 || h.Encap != "" || h.Via != tunnel.Nexthops[0].Via {
			t.Errorf("got %+v", back)
		}
		if n := len(back.Nexthops); n != len(r.Nexthops) || n == 2 && back.Nexthops[1].Encap == "" {
			t.Errorf("got %+v", back)
		}
	}
	if tunnel.Nexthops[0].Encap == "" {
		t.Error("the route itself was changed")
	}
}
