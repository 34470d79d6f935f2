package kernel

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"rpdb"
)

// viaOf returns the first gateway of each route to the destination, in order.
func viaOf(t *testing.T, c *Conn, r rpdb.Route) (list []string) {
	t.Helper()
	routes, err := c.routesOfPrefix(t.Context(), r)
	must(t, err)
	for _, x := range routes {
		for _, h := range x.Nexthops {
			list = append(list, h.Via.String())
		}
	}
	return list
}

func TestPutRoute(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	ctx := t.Context()
	to := func(via string) rpdb.Route {
		return rpdb.Route{
			Family: rpdb.IPv4, Table: 7, Dst: prefix("203.0.113.0/24"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB,
			Nexthops: []rpdb.Nexthop{{Via: addr(via), Link: eth0}},
		}
	}
	if err := c.PutRoute(ctx, ChangeRoute, to("192.0.2.250")); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("change of nothing: %v", err)
	}
	must(t, c.PutRoute(ctx, AppendRoute, to("192.0.2.251")))
	must(t, c.PutRoute(ctx, AppendRoute, to("192.0.2.252")))
	must(t, c.PutRoute(ctx, PrependRoute, to("192.0.2.253")))
	if err := c.PutRoute(ctx, AppendRoute, to("192.0.2.252")); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("append of what is there: %v", err)
	}
	must(t, c.PutRoute(ctx, ChangeRoute, to("192.0.2.254")))
	want := []string{"192.0.2.254", "192.0.2.251", "192.0.2.252"}
	if got := viaOf(t, c, to("192.0.2.254")); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := c.PutRoute(ctx, 0, to("192.0.2.1")); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("put nowhere: %v", err)
	}
}

// IPv6 joins what is appended and what is prepended.
func TestPutRouteJoins(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	ctx := t.Context()
	to := func(hops ...rpdb.Nexthop) rpdb.Route {
		return rpdb.Route{
			Family: rpdb.IPv6, Table: 7, Dst: prefix("2001:db8:7::/48"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB,
			Nexthops: hops,
		}
	}
	via := func(a string) rpdb.Nexthop { return rpdb.Nexthop{Via: addr(a), Link: eth0} }
	must(t, c.PutRoute(ctx, AppendRoute, to(via("2001:db8::a"))))
	must(t, c.PutRoute(ctx, AppendRoute, to(via("2001:db8::b"), via("2001:db8::c"))))
	must(t, c.PutRoute(ctx, PrependRoute, to(via("2001:db8::d"))))
	if err := c.PutRoute(ctx, AppendRoute, to(via("2001:db8::b"))); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("append of a member: %v", err)
	}
	got := viaOf(t, c, to())
	slices.Sort(got)
	if want := []string{"2001:db8::a", "2001:db8::b", "2001:db8::c", "2001:db8::d"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	must(t, c.PutRoute(ctx, ChangeRoute, to(via("2001:db8::e"))))
	if got := viaOf(t, c, to()); !slices.Equal(got, []string{"2001:db8::e"}) {
		t.Errorf("after the change: %v", got)
	}
	if joined(to(via("2001:db8::f")), to(via("2001:db8::a"), via("2001:db8::b"))) {
		t.Error("a gateway that is not there counts as joined")
	}
}
