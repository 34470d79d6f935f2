package kernel

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// What a race makes the kernel delete in the place of another is put back.
func TestWronglyDeletedRuleComesBack(t *testing.T) {
	_, c := namespace(t)
	plain := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(1)}
	foreign := plain
	foreign.Selector.Not, foreign.Selector.From = true, prefix("192.0.2.7/24")
	force(t, c, foreign)
	force(t, c, plain)
	var other *OtherRuleError
	if err := deleteStored(t.Context(), c.nl, plain); !errors.As(err, &other) || other.Hit != foreign {
		t.Errorf("got %v", err)
	}
	for _, want := range []rpdb.Rule{plain, foreign} {
		if !slices.Contains(snapshot(t, c).Rules, want) {
			t.Errorf("%+v is gone", want)
		}
	}
}

func TestWronglyDeletedRouteComesBack(t *testing.T) {
	_, c := uplinks(t)
	first := rpdb.Route{
		Family: rpdb.IPv4, Table: 50, Dst: prefix("203.0.113.0/24"), Type: rpdb.RouteUnicast,
		Protocol: rpdb.ProtocolStatic, PrefSrc: addr("192.0.2.1"),
		Nexthops: []rpdb.Nexthop{{Via: addr("192.0.2.2"), Link: index(t, c, "eth0")}},
	}
	second := first
	second.Protocol, second.PrefSrc = 0, netip.Addr{}
	must(t, do(c, addRoute(first)))
	must(t, c.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create|netlink.Append, second), nil))
	var other *OtherRouteError
	if err := c.deleteStoredRoute(t.Context(), second); !errors.As(err, &other) || !other.Hit.Equal(first) {
		t.Errorf("got %v", err)
	}
	if got := snapshot(t, c).Table(rpdb.IPv4, 50); len(got) != 2 {
		t.Errorf("the table has %+v", got)
	}
}

func TestDroppedRouteAttributeIsTakenBack(t *testing.T) {
	_, c := uplinks(t)
	e := netlink.NewEncoder(nil, 0, 0, nil)
	e.Uint32(60, 7)
	for _, f := range []struct{ dst, via string }{{"203.0.113.0/24", "192.0.2.2"}, {"2001:db8:a::/48", "2001:db8::2"}} {
		r := rpdb.Route{
			Family: rpdb.FamilyOf(addr(f.via)), Table: 50, Dst: prefix(f.dst), Type: rpdb.RouteUnicast,
			Nexthops: []rpdb.Nexthop{{Via: addr(f.via), Link: index(t, c, "eth0")}}, Unknown: rpdb.Raw(e.Payload()),
		}
		var lost *UnsupportedError
		if err := do(c, addRoute(r)); !errors.As(err, &lost) || lost.Feature != "attribute 60" {
			t.Errorf("got %v", err)
		}
		if got := snapshot(t, c).Table(r.Family, 50); len(got) != 0 {
			t.Errorf("left behind: %+v", got)
		}
	}
}

func TestMissingRouteFeatureIsNamed(t *testing.T) {
	plain := rpdb.Route{Family: rpdb.IPv6, Dst: prefix("2001:db8::/32")}
	for want, change := range map[string]func(*rpdb.Route){
		"nhid": func(r *rpdb.Route) { r.NexthopID = 5 },
		"pref": func(r *rpdb.Route) { r.Pref = rpdb.PreferenceHigh },
		"the source prefix (option IPV6_SUBTREES)": func(r *rpdb.Route) { r.Src = prefix("2001:db8::/64") },
		"src":                              func(r *rpdb.Route) { r.PrefSrc = addr("2001:db8::1") },
		"a metric":                         func(r *rpdb.Route) { r.Metrics = []rpdb.Metric{{Type: rpdb.MetricMTU, Value: 1400}} },
		"nexthops":                         func(r *rpdb.Route) { r.Nexthops = []rpdb.Nexthop{{Link: 1}} },
		"realms (option IP_ROUTE_CLASSID)": func(r *rpdb.Route) { r.Realms = 7 },
		"an attribute of the route":        func(r *rpdb.Route) { r.Metric = 7 },
	} {
		r := plain
		change(&r)
		if got, _ := missingInRoute(r, plain); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
