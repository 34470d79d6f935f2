package kernel

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// randomRoutes makes routes of few prefixes, so that many stand beside others
// that the kernel hardly tells them from.
type randomRoutes struct {
	*rand.Rand
	eth0, eth1 rpdb.LinkIndex
}

func one[T any](g randomRoutes, of ...T) T { return of[g.IntN(len(of))] }

func (g randomRoutes) route() rpdb.Route {
	if g.IntN(2) == 0 {
		return g.route4()
	}
	return g.route6()
}

func (g randomRoutes) route4() rpdb.Route {
	r := rpdb.Route{
		Family: rpdb.IPv4, Table: 100, Dst: one(g, prefix("0.0.0.0/0"), prefix("203.0.113.0/24"), prefix("203.0.113.0/25")),
		Type: rpdb.RouteUnicast, TOS: one[uint8](g, 0, 0, 8), Metric: one[uint32](g, 0, 0, 5),
		Protocol: one(g, rpdb.ProtocolUnspec, rpdb.ProtocolBoot, rpdb.ProtocolStatic),
		PrefSrc:  one(g, netip.Addr{}, netip.Addr{}, addr("192.0.2.1"), addr("198.51.100.1")),
	}
	hop := func() rpdb.Nexthop {
		return one(g, rpdb.Nexthop{Via: addr("192.0.2.7"), Link: g.eth0}, rpdb.Nexthop{Via: addr("192.0.2.8"), Link: g.eth0},
			rpdb.Nexthop{Via: addr("198.51.100.7"), Link: g.eth1}, rpdb.Nexthop{Via: addr("2001:db8::7"), Link: g.eth0})
	}
	switch g.IntN(7) {
	case 0:
		r.Type, r.PrefSrc = one(g, rpdb.RouteBlackhole, rpdb.RouteUnreachable, rpdb.RouteThrow), netip.Addr{}
	case 1:
		r.NexthopID = one[uint32](g, 1, 3, 4, 10)
	case 2:
		r.Scope, r.Nexthops = rpdb.ScopeLink, []rpdb.Nexthop{{Link: one(g, g.eth0, g.eth1)}}
	case 3:
		r.Nexthops = []rpdb.Nexthop{hop(), hop(), hop()}
	default:
		r.Nexthops = []rpdb.Nexthop{hop()}
	}
	if g.IntN(4) == 0 {
		r.Metrics = []rpdb.Metric{{Type: rpdb.MetricMTU, Value: one[uint32](g, 1300, 1400)}}
	}
	return r
}

// route6 gives routes of one prefix and metric the same attributes: of those
// that become members of one route only the first tells them. Other kinds have
// metrics of their own, since the kernel does not list what stands between two
// members.
func (g randomRoutes) route6() rpdb.Route {
	r := rpdb.Route{
		Family: rpdb.IPv6, Table: 100, Dst: one(g, prefix("::/0"), prefix("2001:db8:a::/48"), prefix("2001:db8:a::/64")),
		Type: rpdb.RouteUnicast, Metric: one[uint32](g, 5, 1024), Protocol: rpdb.ProtocolStatic,
		Src: one(g, netip.Prefix{}, netip.Prefix{}, prefix("2001:db8:1::/64")),
	}
	if r.Metric == 5 {
		r.Protocol, r.PrefSrc = rpdb.ProtocolBoot, addr("2001:db8::1")
	}
	hop := func() rpdb.Nexthop {
		return one(g, rpdb.Nexthop{Via: addr("2001:db8::7"), Link: g.eth0}, rpdb.Nexthop{Via: addr("2001:db8::8"), Link: g.eth0},
			rpdb.Nexthop{Via: addr("2001:db8:1::7"), Link: g.eth1}, rpdb.Nexthop{Via: addr("fe80::7"), Link: g.eth1})
	}
	switch g.IntN(6) {
	case 0:
		r.Type, r.Metric = one(g, rpdb.RouteBlackhole, rpdb.RouteUnreachable, rpdb.RouteThrow), 7
	case 1:
		r.NexthopID, r.Metric, r.Src = 2, 9, netip.Prefix{} // the kernel takes no source prefix with it
	case 2:
		r.Metric, r.Nexthops = 7, []rpdb.Nexthop{{Link: one(g, g.eth0, g.eth1)}}
	case 3:
		r.Nexthops = []rpdb.Nexthop{hop(), hop(), hop()}
	default:
		r.Nexthops = []rpdb.Nexthop{hop()}
	}
	return r
}

// world fills a namespace with what the kernel takes of n random routes.
func (g *randomRoutes) world(t *testing.T, n int) (*Socket, *Conn, *NetNS) {
	t.Helper()
	ns, c := uplinks(t)
	g.eth0, g.eth1 = index(t, c, "eth0"), index(t, c, "eth1")
	for _, o := range nexthopObjects(g.eth0, g.eth1) {
		must(t, c.AddNexthop(o))
	}
	taken := 0
	for range n {
		r := g.route()
		flags := netlink.Create
		if r.Family == rpdb.IPv4 {
			flags |= netlink.Append
		}
		if c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, flags, r), nil) == nil {
			taken++
		}
	}
	if taken < n/4 {
		t.Fatalf("the kernel takes only %d of %d routes", taken, n)
	}
	return openSocket(t, ns), c, ns
}

// coin chooses half of all routes, the same ones each time.
func coin(t *testing.T, seed uint64) func(rpdb.Route) bool {
	return func(r rpdb.Route) bool {
		if r.Table != 100 {
			return false
		}
		sum := seed
		for _, b := range []byte(lineOf(t, r)) {
			sum = (sum ^ uint64(b)) * 0x100000001b3
		}
		return sum>>40&1 == 1
	}
}

// eachWorld tries a property on several random worlds.
func eachWorld(t *testing.T, property func(g randomRoutes, s *Socket, c *Conn, ns *NetNS, seed uint64)) {
	for seed := range uint64(25) {
		g := randomRoutes{Rand: rand.New(rand.NewPCG(seed, 4))}
		s, c, ns := g.world(t, 60)
		if property(g, s, c, ns, seed); t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// difference is what stands in one list only, or where the order begins to
// differ.
func difference(got, want []string) (text string) {
	for _, line := range got {
		if !slices.Contains(want, line) {
			text += "\n  not wanted " + line
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			text += "\n  missing    " + line
		}
	}
	for i := 0; text == "" && i < min(len(got), len(want)); i++ {
		if got[i] != want[i] {
			text = "\n  got in the place of another " + got[i] + "\n  wanted there                " + want[i]
		}
	}
	return text
}

// Of any routes any half can be flushed, and nothing of the other half goes.
func TestFlushRoutesAtRandom(t *testing.T) {
	spared := 0
	eachWorld(t, func(_ randomRoutes, s *Socket, c *Conn, _ *NetNS, seed uint64) {
		doomed := coin(t, seed)
		before := snapshot(t, c).Routes
		_, err := flushAll(t, s, doomed)
		after := routeLines(t, c)
		for _, r := range before {
			if line := lineOf(t, r); !comesByItself(r) && !doomed(r) && !slices.Contains(after, line) {
				t.Errorf("gone, though not chosen: %s", line)
			}
		}
		var other *OtherRouteError
		if errors.As(err, &other) {
			spared++
			return
		}
		must(t, err)
		for _, r := range snapshot(t, c).Routes {
			if doomed(r) {
				t.Errorf("chosen, and still there: %s", lineOf(t, r))
			}
		}
	})
	t.Logf("in %d of 25 worlds something could not be told from its like", spared)
}

// What is flushed and restored is what it was, in its order if all is gone
// before, whatever half of it is there already.
func TestRestoreRoutesAtRandom(t *testing.T) {
	eachWorld(t, func(_ randomRoutes, s *Socket, c *Conn, ns *NetNS, seed uint64) {
		want := routeLines(t, c)
		stream := saved(t, slices.Concat(save(t, ns, rpdb.IPv4, 100), save(t, ns, rpdb.IPv6, 100))...)
		_, err := flushAll(t, s, func(r rpdb.Route) bool { return r.Table == 100 })
		must(t, err)
		_, err = c.RestoreRoutes(t.Context(), stream)
		must(t, err)
		if got := routeLines(t, c); !slices.Equal(got, want) {
			t.Errorf("all flushed:%s", difference(got, want))
		}
		_, _ = flushAll(t, s, coin(t, seed)) // what it cannot tell apart stays
		_, err = c.RestoreRoutes(t.Context(), stream)
		must(t, err)
		if got := routeLines(t, c); !sameLines(got, want) {
			t.Errorf("half flushed:%s", difference(got, want))
		}
	})
}

// A restore that fails leaves what was there, in its order, whatever that is.
func TestRestoreRoutesFailsAtRandom(t *testing.T) {
	eachWorld(t, func(g randomRoutes, s *Socket, c *Conn, _ *NetNS, seed uint64) {
		before := routeLines(t, c)
		var routes []rpdb.Route
		for range 40 {
			routes = append(routes, g.route())
		}
		lost := gateway("203.0.113.200/32", g.eth0)
		lost.Nexthops, lost.NexthopID = nil, 4711
		_, err := c.RestoreRoutes(t.Context(), saved(t, wordsOf(append(routes, lost)...)...))
		if err == nil {
			t.Error("restored what cannot be")
		}
		if got := routeLines(t, c); !slices.Equal(got, before) {
			t.Errorf("%v%s", err, difference(got, before))
		}
	})
}
