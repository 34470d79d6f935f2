package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// manyRoutes are routes of both families in two tables, up to three of a prefix.
func manyRoutes(n int) []rpdb.Route {
	var routes []rpdb.Route
	for i := range n {
		for _, f := range rpdb.Families() {
			r := rpdb.Route{
				Family: f, Table: rpdb.TableID(50 + i%2), Type: rpdb.RouteBlackhole, Protocol: rpdb.ProtocolRPDB,
				Metric: uint32(10 + i%3), Dst: prefix(fmt.Sprintf("10.%d.0.0/16", i/3)),
			}
			if f == rpdb.IPv6 {
				r.Dst = prefix(fmt.Sprintf("2001:db8:%x::/48", i/3))
			}
			routes = append(routes, r)
		}
	}
	return routes
}

// Many routes go as they do one by one, and no others.
func TestDeleteRoutes(t *testing.T) {
	_, c := uplinks(t)
	routes := manyRoutes(120)
	var chosen, kept []rpdb.Route
	for i, r := range routes {
		must(t, do(c, addRoute(r)))
		if i%5 == 0 {
			kept = append(kept, r)
		} else {
			chosen = append(chosen, r)
		}
	}
	must(t, c.DeleteRoutes(t.Context(), nil))
	must(t, c.DeleteRoutes(t.Context(), chosen))
	left := slices.Concat(routesOf(t, c, 50), routesOf(t, c, 51))
	if len(left) != len(kept) {
		t.Errorf("%d routes are left, want %d", len(left), len(kept))
	}
	for _, r := range kept {
		if !slices.ContainsFunc(left, func(s rpdb.Route) bool { return s.Equal(r) }) {
			t.Errorf("%v is gone", r)
		}
	}
	if err := c.DeleteRoutes(t.Context(), chosen[:3]); !errors.Is(err, unix.ESRCH) || errors.As(err, new(*PartError)) {
		t.Errorf("routes that are gone: %v", err)
	}
}

// What cannot be deleted does not keep the others.
func TestDeleteRoutesOfWhichSomeGo(t *testing.T) {
	_, c := uplinks(t)
	routes := manyRoutes(40)
	for i, r := range routes {
		if i != 7 {
			must(t, do(c, addRoute(r)))
		}
	}
	// The kernel would take the first of these for the second.
	first := rpdb.Route{
		Family: rpdb.IPv4, Table: 50, Dst: prefix("203.0.113.0/24"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic,
		PrefSrc: addr("192.0.2.1"), Nexthops: []rpdb.Nexthop{{Via: addr("192.0.2.2"), Link: index(t, c, "eth0")}},
	}
	second := first
	second.Protocol, second.PrefSrc = rpdb.ProtocolUnspec, netip.Addr{}
	must(t, do(c, addRoute(first)))
	must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create|netlink.Append, second), nil))

	all := slices.Insert(slices.Clone(routes), 20, second)
	err := c.DeleteRoutes(t.Context(), all)
	var part *PartError
	if !errors.As(err, &part) || !errors.Is(err, unix.ESRCH) {
		t.Fatalf("got %v", err)
	}
	var want []int
	for i := range all {
		if i != 7 && i != 20 {
			want = append(want, i)
		}
	}
	if got := part.Deleted(); !slices.Equal(got, want) {
		t.Errorf("deleted %v, want %v", got, want)
	}
	if left := routesOf(t, c, 50); len(left) != 2 {
		t.Errorf("left are %v", left)
	}
	var other *OtherRouteError
	if err := c.DeleteRoutes(t.Context(), all[20:21]); !errors.As(err, &other) || !other.Hit.Equal(first) {
		t.Errorf("got %v", err)
	}
	must(t, c.DeleteRoutes(t.Context(), []rpdb.Route{first, second})) // in their order they can go
	if left := slices.Concat(routesOf(t, c, 50), routesOf(t, c, 51)); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}
