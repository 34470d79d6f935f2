package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// routeShapes lists routes for the namespace of [uplinks], with the interfaces
// of the given indexes.
func routeShapes(eth0, eth1 rpdb.LinkIndex) []rpdb.Route {
	v4 := func(dst string, change func(*rpdb.Route)) rpdb.Route {
		r := rpdb.Route{
			Family: rpdb.IPv4, Table: 100, Dst: prefix(dst), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB,
			Nexthops: []rpdb.Nexthop{{Via: addr("192.0.2.254"), Link: eth0}},
		}
		change(&r)
		return r
	}
	v6 := func(dst string, change func(*rpdb.Route)) rpdb.Route {
		r := rpdb.Route{
			Family: rpdb.IPv6, Table: 100, Dst: prefix(dst), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB,
			Nexthops: []rpdb.Nexthop{{Via: addr("2001:db8::fe"), Link: eth0}},
		}
		change(&r)
		return r
	}
	plain := func(r *rpdb.Route) {}
	link := func(r *rpdb.Route) { r.Nexthops = []rpdb.Nexthop{{Link: eth1}} }
	typed := func(t rpdb.RouteType) func(*rpdb.Route) {
		return func(r *rpdb.Route) { r.Type, r.Nexthops = t, nil }
	}
	metrics := func(r *rpdb.Route) {
		r.Metrics = []rpdb.Metric{
			{Type: rpdb.MetricLock, Value: 1 << rpdb.MetricMTU},
			{Type: rpdb.MetricMTU, Value: 1400},
			{Type: rpdb.MetricAdvMSS, Value: 1360},
			{Type: rpdb.MetricInitCWnd, Value: 20},
			{Type: rpdb.MetricCongCtl, Text: "cubic"},
		}
	}
	return []rpdb.Route{
		v4("0.0.0.0/0", plain),
		v4("0.0.0.0/0", func(r *rpdb.Route) { r.Metric = 4294967295 }),
		v4("203.0.113.0/24", func(r *rpdb.Route) { link(r); r.Scope = rpdb.ScopeLink; r.PrefSrc = addr("198.51.100.1") }),
		v4("203.0.113.0/25", func(r *rpdb.Route) { r.TOS = 0x10 }),
		v4("203.0.113.1/32", func(r *rpdb.Route) { r.Table = 4294967295 }),
		v4("203.0.113.2/32", typed(rpdb.RouteBlackhole)),
		v4("203.0.113.3/32", typed(rpdb.RouteUnreachable)),
		v4("203.0.113.4/32", typed(rpdb.RouteProhibit)),
		v4("203.0.113.5/32", typed(rpdb.RouteThrow)),
		v4("203.0.113.6/32", func(r *rpdb.Route) { link(r); r.Type, r.Scope = rpdb.RouteLocal, rpdb.ScopeHost }),
		v4("203.0.113.7/32", func(r *rpdb.Route) { link(r); r.Type, r.Scope = rpdb.RouteBroadcast, rpdb.ScopeLink }),
		v4("203.0.113.8/32", metrics),
		v4("203.0.113.9/32", func(r *rpdb.Route) {
			r.Metrics = []rpdb.Metric{{Type: rpdb.MetricMTU, Value: 70000}, {Type: rpdb.MetricHopLimit, Value: 300}}
		}),
		v4("203.0.113.10/32", func(r *rpdb.Route) { r.Nexthops[0].Via = addr("2001:db8::fe") }),
		v4("203.0.113.11/32", func(r *rpdb.Route) {
			r.Nexthops[0] = rpdb.Nexthop{Via: addr("10.9.9.9"), Link: eth1, Flags: rpdb.NexthopOnlink}
		}),
		v4("203.0.113.12/32", func(r *rpdb.Route) {
			r.Nexthops = []rpdb.Nexthop{
				{Via: addr("192.0.2.254"), Link: eth0, Weight: 1},
				{Via: addr("198.51.100.254"), Link: eth1, Weight: 256},
				{Via: addr("10.9.9.9"), Link: eth1, Weight: 2, Flags: rpdb.NexthopOnlink},
				{Via: addr("2001:db8:1::fe"), Link: eth1, Weight: 7},
			}
		}),
		v4("203.0.113.13/32", func(r *rpdb.Route) { r.Nexthops[0].Link = 0 }),
		v4("203.0.113.14/32", func(r *rpdb.Route) { r.Protocol = 0 }),
		v4("203.0.113.15/32", func(r *rpdb.Route) { r.Nexthops, r.NexthopID = nil, 1 }),
		v4("203.0.113.16/32", func(r *rpdb.Route) { r.Nexthops, r.NexthopID = nil, 10 }),
		v4("203.0.113.17/32", func(r *rpdb.Route) { r.Nexthops, r.NexthopID = nil, 4 }), // listed as a blackhole
		v6("::/0", plain),
		v6("::/0", func(r *rpdb.Route) { r.Metric = 5; r.Pref = rpdb.PreferenceHigh }),
		v6("2001:db8:a::/48", func(r *rpdb.Route) { link(r); r.PrefSrc = addr("2001:db8:1::1") }),
		v6("2001:db8:b::/48", func(r *rpdb.Route) { r.Src = prefix("2001:db8:1::/64") }),
		v6("2001:db8:c::2/128", typed(rpdb.RouteBlackhole)),
		v6("2001:db8:c::3/128", typed(rpdb.RouteUnreachable)),
		v6("2001:db8:c::4/128", typed(rpdb.RouteProhibit)),
		v6("2001:db8:c::5/128", typed(rpdb.RouteThrow)),
		v6("2001:db8:c::6/128", metrics),
		v6("2001:db8:c::7/128", func(r *rpdb.Route) { r.Pref = rpdb.PreferenceLow }),
		v6("2001:db8:c::8/128", func(r *rpdb.Route) { r.Expires = 3600 }),
		v6("2001:db8:c::9/128", func(r *rpdb.Route) {
			r.Nexthops = []rpdb.Nexthop{
				{Via: addr("2001:db8:1::fe"), Link: eth1, Weight: 2},
				{Via: addr("2001:db8::fe"), Link: eth0, Weight: 1},
				{Via: addr("fe80::1"), Link: eth0, Weight: 16},
			}
		}),
		v6("2001:db8:c::a/128", func(r *rpdb.Route) { r.Protocol = 0 }),
		v6("2001:db8:c::b/128", func(r *rpdb.Route) { r.Nexthops, r.NexthopID = nil, 2 }),
		v6("2001:db8:c::c/128", func(r *rpdb.Route) { link(r); r.Type = rpdb.RouteLocal }),
		v6("2001:db8:c::d/127", plain), // host bits: IPv6 clears them
		v6("2001:db8:c::10/128", func(r *rpdb.Route) {
			r.Nexthops[0] = rpdb.Nexthop{Via: addr("2001:db8:ffff::1"), Link: eth1, Flags: rpdb.NexthopOnlink}
		}),
	}
}

func nexthopObjects(eth0, eth1 rpdb.LinkIndex) []rpdb.NexthopObject {
	return []rpdb.NexthopObject{
		{ID: 1, Family: rpdb.IPv4, Protocol: rpdb.ProtocolRPDB, Nexthop: rpdb.Nexthop{Via: addr("192.0.2.254"), Link: eth0}},
		{ID: 2, Family: rpdb.IPv6, Nexthop: rpdb.Nexthop{Via: addr("2001:db8:1::fe"), Link: eth1}},
		{ID: 3, Family: rpdb.IPv4, Nexthop: rpdb.Nexthop{Link: eth1}},
		{ID: 4, Family: rpdb.IPv4, Blackhole: true},
		{ID: 5, Family: rpdb.IPv4, Nexthop: rpdb.Nexthop{Via: addr("198.51.100.254"), Link: eth1, Flags: rpdb.NexthopOnlink}},
		{ID: 10, Group: []rpdb.GroupMember{{ID: 1, Weight: 1}, {ID: 5, Weight: 256}}},
	}
}

// TestRouteThatIsOver: the kernel still lists a route whose life time is over, and
// no packet takes it.
func TestRouteThatIsOver(t *testing.T) {
	_, c := uplinks(t)
	dst := netip.MustParsePrefix("2001:db8:99::/48")
	must(t, do(c, addRoute(rpdb.Route{
		Family: rpdb.IPv6, Table: rpdb.TableMain, Dst: dst, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRA, Expires: 1,
		Nexthops: []rpdb.Nexthop{{Link: index(t, c, "eth0")}},
	})))
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		d, err := c.RouteGet(t.Context(), rpdb.Flow{Dst: dst.Addr().Next()})
		must(t, err)
		if d.Disposition != rpdb.Sent {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the route does not end: %+v", d)
		}
	}
	// The kernel lists the time since in ticks of 10 ms, and none as no end at all.
	time.Sleep(50 * time.Millisecond)
	listed := false
	_, err := c.EachRoute(t.Context(), rpdb.IPv6, rpdb.TableMain, func(r rpdb.Route) error {
		listed = listed || r.Dst == dst
		return nil
	})
	must(t, err)
	for _, r := range snapshot(t, c).Routes {
		if r.Dst == dst {
			t.Errorf("in the snapshot (and in the list: %v): %+v", listed, r)
		}
	}
}

func TestRoutesThroughTheKernel(t *testing.T) {
	_, c := uplinks(t)
	eth0, eth1 := index(t, c, "eth0"), index(t, c, "eth1")
	for _, n := range nexthopObjects(eth0, eth1) {
		must(t, c.AddNexthop(n))
	}
	shapes := routeShapes(eth0, eth1)
	for _, r := range shapes {
		if err := do(c, addRoute(r)); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	s := snapshot(t, c)
	for _, r := range shapes {
		i := slices.IndexFunc(s.Routes, func(x rpdb.Route) bool { return sameRoute(r, x) })
		if i < 0 {
			t.Errorf("not in the dump: %+v", r)
			continue
		}
		if got := s.Routes[i].Expires; r.Expires != 0 && (got == 0 || got > r.Expires) {
			t.Errorf("%v expires in %d s", r, got)
		}
	}
	for _, r := range shapes {
		if err := do(c, addRoute(r)); !errors.Is(err, syscall.EEXIST) {
			t.Errorf("second add %v: %v", r, err)
		}
	}
	for _, r := range shapes {
		must(t, do(c, delRoute(r)))
	}
	for _, r := range snapshot(t, c).Routes {
		if r.Table != rpdb.TableMain && r.Table != rpdb.TableLocal {
			t.Errorf("left behind: %+v", r)
		}
	}
}

// Codec alone: what is read back is what was written.
func TestRouteCodecRoundTrip(t *testing.T) {
	for _, r := range routeShapes(2, 3) {
		got, err := decodeRoute(encodeRoute(unix.RTM_NEWROUTE, 0, r).Payload())
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if r.Metrics != nil && r.Metrics[0].Value == 70000 {
			continue // the kernel clamps, the codec does not
		}
		if !sameRoute(r, got) {
			t.Errorf("decode(encode(route)) is another route\n got %+v\nwant %+v", got, r)
		}
	}
}

func TestRouteKeepsEncapAndUnknown(t *testing.T) {
	e := netlink.NewEncoder(nil, 0, 0, nil)
	e.Uint32(1, 42)
	encap := rpdb.Raw(e.Payload())
	e = netlink.NewEncoder(nil, 0, 0, nil)
	e.Uint8(unix.RTA_TTL_PROPAGATE, 1)
	r := rpdb.Route{
		Family: rpdb.IPv4, Table: 7, Dst: prefix("203.0.113.0/24"), Type: rpdb.RouteUnicast,
		Unknown:  rpdb.Raw(e.Payload()),
		Nexthops: []rpdb.Nexthop{{Link: 2, EncapType: 2, Encap: encap}},
	}
	two := r
	two.Nexthops = []rpdb.Nexthop{{Link: 2, EncapType: 2, Encap: encap, Weight: 3}, {Link: 3, Weight: 1, Realms: 5}}
	for _, r := range []rpdb.Route{r, two} {
		got, err := decodeRoute(encodeRoute(unix.RTM_NEWROUTE, 0, r).Payload())
		must(t, err)
		if !got.Equal(r) {
			t.Errorf("got %+v, want %+v", got, r)
		}
	}
}

// What only one member of a multipath route has, and we do not know, marks the
// route.
func TestRouteKeepsTheUnknownOfItsMembers(t *testing.T) {
	strange := netlink.NewEncoder(nil, 0, 0, nil)
	strange.Uint8(unix.RTA_TTL_PROPAGATE, 1)
	e := netlink.NewEncoder(nil, 0, 0, []byte{unix.AF_INET, 0, 0, 0, 7, 4, 0, 1, 0, 0, 0, 0})
	e.Nest(unix.RTA_MULTIPATH, func() {
		e.Record([]byte{0, 0, 0, 0, 2, 0, 0, 0}, func() { e.Raw(strange.Payload()) })
		e.Record([]byte{0, 0, 0, 0, 3, 0, 0, 0}, func() { e.Uint32(unix.RTA_FLOW, 5) })
	})
	r, err := decodeRoute(e.Payload())
	must(t, err)
	if r.Unknown != rpdb.Raw(strange.Payload()) || len(r.Nexthops) != 2 || r.Nexthops[1].Realms != 5 {
		t.Errorf("got %+v", r)
	}
}

func TestEncapThroughTheKernel(t *testing.T) {
	_, c := uplinks(t)
	e := netlink.NewEncoder(nil, 0, 0, nil)
	e.NetUint64(1, 99)             // LWTUNNEL_IP_ID
	e.Addr(2, addr("203.0.113.1")) // LWTUNNEL_IP_DST
	const lwtunnelIP = 2           // LWTUNNEL_ENCAP_IP
	hop := rpdb.Nexthop{Link: index(t, c, "eth0"), EncapType: lwtunnelIP, Encap: rpdb.Raw(e.Payload())}
	r := rpdb.Route{
		Family: rpdb.IPv4, Table: 7, Dst: prefix("203.0.113.0/24"), Type: rpdb.RouteUnicast,
		Scope: rpdb.ScopeLink, Nexthops: []rpdb.Nexthop{hop},
	}
	err := do(c, addRoute(r))
	if errors.Is(err, syscall.EOPNOTSUPP) {
		t.Skip("the kernel has no lightweight tunnels")
	}
	must(t, err) // though the kernel lists more attributes of the tunnel than were given
	must(t, do(c, delRoute(r)))
}

func TestEncapIsComparedByWhatWasGiven(t *testing.T) {
	e := netlink.NewEncoder(nil, 0, 0, nil)
	e.Uint32(1, 42)
	given := rpdb.Raw(e.Payload())
	e.Uint8(5, 64)
	stored := rpdb.Raw(e.Payload())
	route := func(encap rpdb.Raw) rpdb.Route {
		return rpdb.Route{
			Family: rpdb.IPv4, Dst: prefix("203.0.113.0/24"),
			Nexthops: []rpdb.Nexthop{{Link: 2, EncapType: 2, Encap: encap}},
		}
	}
	if !sameRoute(route(given), route(stored)) {
		t.Error("defaults that the kernel adds count as a difference")
	}
	if sameRoute(route(stored), route(given)) {
		t.Error("an attribute that the kernel dropped counts for nothing")
	}
}

func TestRealmsThroughTheKernel(t *testing.T) {
	_, c := uplinks(t)
	r := rpdb.Route{
		Family: rpdb.IPv4, Table: 7, Dst: prefix("203.0.113.0/24"), Type: rpdb.RouteUnicast,
		Realms: rpdb.NewRealms(0, 9), Nexthops: []rpdb.Nexthop{{Via: addr("192.0.2.254"), Link: index(t, c, "eth0")}},
	}
	err := do(c, addRoute(r))
	var lost *UnsupportedError
	if errors.As(err, &lost) && strings.HasPrefix(lost.Feature, "realms") {
		if _, err := c.Snapshot(t.Context()); err != nil {
			t.Error(err)
		}
		t.Skip("the kernel has no realms")
	}
	must(t, err)
	must(t, do(c, delRoute(r)))
}

func TestReplaceRoute(t *testing.T) {
	_, c := uplinks(t)
	for _, f := range []struct {
		dst   string
		first string
		then  []string
	}{
		{"203.0.113.0/24", "192.0.2.2", []string{"192.0.2.3"}},
		{"203.0.113.0/24", "192.0.2.2", []string{"192.0.2.3", "192.0.2.4"}},
		{"2001:db8:a::/48", "2001:db8::2", []string{"2001:db8::3"}},
		{"2001:db8:a::/48", "2001:db8::2", []string{"2001:db8::3", "2001:db8::4"}},
	} {
		r := rpdb.Route{
			Family: rpdb.FamilyOf(prefix(f.dst).Addr()), Table: 50, Dst: prefix(f.dst), Metric: 7,
			Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB,
			Nexthops: []rpdb.Nexthop{{Via: addr(f.first), Link: index(t, c, "eth0")}},
		}
		put := func(r rpdb.Route) { must(t, do(c, rpdb.RouteChange(rpdb.Replace, r))) }
		put(r)
		put(r)
		r.Nexthops = nil
		for _, via := range f.then {
			r.Nexthops = append(r.Nexthops, rpdb.Nexthop{Via: addr(via), Link: index(t, c, "eth0"), Weight: 1})
		}
		put(r)
		if got := snapshot(t, c).Table(r.Family, 50); len(got) != 1 || !sameRoute(r, got[0]) {
			t.Errorf("got %+v, want %+v", got, r)
		}
		must(t, do(c, delRoute(r)))
	}
}

// A route without metric, protocol or gateway is no licence to delete one that
// has them.
func TestRouteDeletionNeverHitsAnother(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	for _, f := range []struct {
		family   rpdb.Family
		dst, via string
	}{{rpdb.IPv4, "203.0.113.0/24", "192.0.2.2"}, {rpdb.IPv6, "2001:db8:a::/48", "2001:db8::2"}} {
		r := rpdb.Route{
			Family: f.family, Table: 50, Dst: prefix(f.dst), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic,
			Metric: 700, Nexthops: []rpdb.Nexthop{{Via: addr(f.via), Link: eth0}},
		}
		must(t, do(c, addRoute(r)))
		for name, change := range map[string]func(*rpdb.Route){
			"metric":   func(r *rpdb.Route) { r.Metric = 0 },
			"protocol": func(r *rpdb.Route) { r.Protocol = rpdb.ProtocolRPDB },
			"none":     func(r *rpdb.Route) { r.Protocol = 0 },
			"gateway":  func(r *rpdb.Route) { r.Nexthops = []rpdb.Nexthop{{Link: eth0}} },
			"type":     func(r *rpdb.Route) { r.Type, r.Nexthops = rpdb.RouteBlackhole, nil },
			"mtu":      func(r *rpdb.Route) { r.Metrics = []rpdb.Metric{{Type: rpdb.MetricMTU, Value: 1400}} },
			"table":    func(r *rpdb.Route) { r.Table = 51 },
		} {
			other := r
			change(&other)
			if err := do(c, delRoute(other)); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("%v, other %s: got %v", f.family, name, err)
			}
		}
		if got := snapshot(t, c).Table(f.family, 50); len(got) != 1 {
			t.Errorf("the route is gone: %+v", got)
		}
		must(t, do(c, delRoute(r)))
	}
}

// Two routes of one key: the kernel takes the first that matches, and the
// first has what the second lacks.
func TestRouteDeletionRefusesTheWrongTwin(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	first := rpdb.Route{
		Family: rpdb.IPv4, Table: 50, Dst: prefix("203.0.113.0/24"), Type: rpdb.RouteUnicast,
		Protocol: rpdb.ProtocolStatic, PrefSrc: addr("192.0.2.1"), Nexthops: []rpdb.Nexthop{{Via: addr("192.0.2.2"), Link: eth0}},
	}
	second := first
	second.Protocol, second.PrefSrc = rpdb.ProtocolUnspec, netip.Addr{}
	must(t, do(c, addRoute(first)))
	must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create|netlink.Append, second), nil))
	var other *OtherRouteError
	if err := do(c, delRoute(second)); !errors.As(err, &other) || !other.Hit.Equal(first) {
		t.Errorf("got %v", err)
	}
	if err := do(c, delRoute(second)); err == nil || !strings.HasPrefix(err.Error(), "delete route 203.0.113.0/24 table 50 (IPv4): the kernel would delete another route") {
		t.Errorf("got %v", err)
	}
	must(t, do(c, delRoute(first)))
	must(t, do(c, delRoute(second)))
}

func TestSnapshotOrderOfEqualRoutes(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	for i, flags := range []netlink.Flags{netlink.Create, netlink.Create | netlink.Append, netlink.Create | netlink.Append} {
		r := rpdb.Route{
			Family: rpdb.IPv4, Table: 50, Dst: prefix("0.0.0.0/0"), Type: rpdb.RouteUnicast,
			Nexthops: []rpdb.Nexthop{{Via: addr(fmt.Sprintf("192.0.2.%d", 9-i)), Link: eth0}},
		}
		must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, flags, r), nil))
	}
	var vias []string
	for _, r := range snapshot(t, c).Table(rpdb.IPv4, 50) {
		vias = append(vias, r.Nexthops[0].Via.String())
	}
	if got := strings.Join(vias, " "); got != "192.0.2.9 192.0.2.8 192.0.2.7" {
		t.Errorf("order is %s", got)
	}
}

func TestSiblingsAreMerged(t *testing.T) {
	hop := func(via string) rpdb.Route {
		return rpdb.Route{
			Family: rpdb.IPv6, Table: 254, Dst: prefix("::/0"), Type: rpdb.RouteUnicast, Metric: 1024,
			Protocol: rpdb.ProtocolStatic, Nexthops: []rpdb.Nexthop{{Via: addr(via), Link: 2, Weight: 1}},
		}
	}
	ra := func(via string) rpdb.Route { r := hop(via); r.Protocol = rpdb.ProtocolRA; return r }
	other := hop("fe80::9")
	other.Metric = 5
	got := mergeSiblings([]rpdb.Route{hop("fe80::1"), hop("fe80::2"), hop("fe80::3"), other, ra("fe80::4"), ra("fe80::5")})
	var shape []int
	for _, r := range got {
		shape = append(shape, len(r.Nexthops))
	}
	if !slices.Equal(shape, []int{3, 1, 1, 1}) {
		t.Errorf("got %v", shape)
	}
}

func TestMultipathOfManyHops(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	for _, f := range []struct{ dst, via string }{{"203.0.113.0/24", "192.0.2.%d"}, {"2001:db8:a::/48", "2001:db8::%x"}} {
		r := rpdb.Route{Family: rpdb.FamilyOf(prefix(f.dst).Addr()), Table: 50, Dst: prefix(f.dst), Type: rpdb.RouteUnicast}
		for i := range 200 {
			r.Nexthops = append(r.Nexthops, rpdb.Nexthop{Via: addr(fmt.Sprintf(f.via, i+2)), Link: eth0, Weight: uint32(i + 1)})
		}
		must(t, c.Do(context.Background(), addRoute(r)))
		if got := snapshot(t, c).Table(r.Family, 50); len(got) != 1 || !sameRoute(r, got[0]) {
			t.Errorf("%d routes, want the one of 200 nexthops", len(got))
		}
		must(t, do(c, delRoute(r)))
		if got := snapshot(t, c).Table(r.Family, 50); len(got) != 0 {
			t.Errorf("left behind: %d routes", len(got))
		}
	}
}
