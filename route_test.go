package rpdb_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rpdb"
)

// viaGateway is the default route of an uplink.
func viaGateway() rpdb.Route {
	return rpdb.Route{
		Family: rpdb.IPv4, Table: 1001, Dst: prefix("0.0.0.0/0"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB,
		PrefSrc: addr("192.0.2.10"), Nexthops: []rpdb.Nexthop{{Via: addr("192.0.2.1"), Link: 2, Weight: 1}},
	}
}

// viaRouter is the same in IPv6.
func viaRouter() rpdb.Route {
	return rpdb.Route{
		Family: rpdb.IPv6, Table: 1001, Dst: prefix("::/0"), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB, Metric: 1024,
		Nexthops: []rpdb.Nexthop{{Via: addr("2001:db8::1"), Link: 2, Weight: 1}},
	}
}

// routeCase is a change to a route, whether it still means the same, and
// whether it still has the same key.
type routeCase struct {
	name           string
	change         func(*rpdb.Route)
	equal, sameKey bool
}

func (c routeCase) run(t *testing.T, base func() rpdb.Route) {
	t.Run(c.name, func(t *testing.T) {
		changed := base()
		c.change(&changed)
		if got := base().Equal(changed); got != c.equal {
			t.Errorf("equal: %v", got)
		}
		if got := changed.Equal(base()); got != c.equal {
			t.Errorf("equal the other way round: %v", got)
		}
		if got := base().Key() == changed.Key(); got != c.sameKey {
			t.Errorf("same key: %v (%+v)", got, changed.Key())
		}
	})
}

func TestRouteEqual4(t *testing.T) {
	for _, c := range []routeCase{
		{"nothing", func(*rpdb.Route) {}, true, true},
		{"state of the route", func(r *rpdb.Route) { r.Flags, r.Expires = 0x200, 300 }, true, true},
		{"state of the nexthop", func(r *rpdb.Route) { r.Nexthops[0].Flags = rpdb.NexthopDead | rpdb.NexthopLinkdown }, true, true},
		{"weight left out", func(r *rpdb.Route) { r.Nexthops[0].Weight = 0 }, true, true},
		{"type left out", func(r *rpdb.Route) { r.Type = 0 }, true, true},
		{"router preference", func(r *rpdb.Route) { r.Pref = rpdb.PreferenceHigh }, true, true},

		{"family", func(r *rpdb.Route) { r.Family = rpdb.IPv6 }, false, false},
		{"table", func(r *rpdb.Route) { r.Table = 1001 + 256 }, false, false},
		{"prefix", func(r *rpdb.Route) { r.Dst = prefix("192.0.2.0/24") }, false, false},
		{"tos", func(r *rpdb.Route) { r.TOS = 4 }, false, false},
		{"metric", func(r *rpdb.Route) { r.Metric = 10 }, false, false},

		{"type", func(r *rpdb.Route) { r.Type = rpdb.RouteLocal }, false, true},
		{"error type", func(r *rpdb.Route) { r.Type, r.Nexthops = rpdb.RouteProhibit, nil }, false, true},
		{"protocol", func(r *rpdb.Route) { r.Protocol = rpdb.ProtocolStatic }, false, true},
		{"scope", func(r *rpdb.Route) { r.Scope = rpdb.ScopeLink }, false, true},
		{"source", func(r *rpdb.Route) { r.PrefSrc = addr("192.0.2.11") }, false, true},
		{"realms", func(r *rpdb.Route) { r.Realms = 5 }, false, true},
		{"gateway", func(r *rpdb.Route) { r.Nexthops[0].Via = addr("192.0.2.2") }, false, true},
		{"interface", func(r *rpdb.Route) { r.Nexthops[0].Link = 3 }, false, true},
		{"onlink", func(r *rpdb.Route) { r.Nexthops[0].Flags = rpdb.NexthopOnlink }, false, true},
		{"weight", func(r *rpdb.Route) { r.Nexthops[0].Weight = 2 }, false, true},
		{"realm of the nexthop", func(r *rpdb.Route) { r.Nexthops[0].Realms = 5 }, false, true},
		{"tunnel", func(r *rpdb.Route) { r.Nexthops[0].EncapType = 1 }, false, true},
		{"a second nexthop", func(r *rpdb.Route) { r.Nexthops = append(r.Nexthops, rpdb.Nexthop{Link: 3}) }, false, true},
		{"no nexthop", func(r *rpdb.Route) { r.Nexthops = nil }, false, true},
		{"nexthop object", func(r *rpdb.Route) { r.NexthopID = 5 }, false, true},
		{"mtu", func(r *rpdb.Route) { r.Metrics = []rpdb.Metric{{Type: rpdb.MetricMTU, Value: 1400}} }, false, true},
		{"an unknown attribute", func(r *rpdb.Route) { r.Unknown = "\x01" }, false, true},
	} {
		c.run(t, viaGateway)
	}
}

func TestRouteEqual6(t *testing.T) {
	for _, c := range []routeCase{
		{"metric left out", func(r *rpdb.Route) { r.Metric = 0 }, true, true},
		{"scope", func(r *rpdb.Route) { r.Scope = rpdb.ScopeLink }, true, true},
		{"realms", func(r *rpdb.Route) { r.Realms = 5 }, true, true},
		{"realm of the nexthop", func(r *rpdb.Route) { r.Nexthops[0].Realms = 5 }, true, true},
		{"source prefix of length 0", func(r *rpdb.Route) { r.Src = prefix("::/0") }, true, true},
		{"source prefix", func(r *rpdb.Route) { r.Src = prefix("2001:db8::/32") }, false, false},
		{"metric", func(r *rpdb.Route) { r.Metric = 1 }, false, false},
		{"router preference", func(r *rpdb.Route) { r.Pref = rpdb.PreferenceLow }, false, true},
	} {
		c.run(t, viaRouter)
	}
}

func TestRouteCanonical(t *testing.T) {
	for _, c := range []struct {
		name string
		in   rpdb.Route
		want rpdb.Route
	}{
		{
			"host bits, table and type left out",
			rpdb.Route{Family: rpdb.IPv4, Dst: prefix("192.0.2.77/24")},
			rpdb.Route{Family: rpdb.IPv4, Table: rpdb.TableMain, Dst: prefix("192.0.2.0/24"), Type: rpdb.RouteUnicast},
		},
		{
			"the loopback interface of IPv6 error routes",
			rpdb.Route{Family: rpdb.IPv6, Table: 5, Dst: prefix("::/0"), Type: rpdb.RouteUnreachable, Nexthops: []rpdb.Nexthop{{Link: 1}}},
			rpdb.Route{Family: rpdb.IPv6, Table: 5, Dst: prefix("::/0"), Type: rpdb.RouteUnreachable, Metric: 1024},
		},
		{
			"and of throw",
			rpdb.Route{Family: rpdb.IPv6, Table: 5, Dst: prefix("::/0"), Type: rpdb.RouteThrow, Metric: 7, Nexthops: []rpdb.Nexthop{{Link: 1}}},
			rpdb.Route{Family: rpdb.IPv6, Table: 5, Dst: prefix("::/0"), Type: rpdb.RouteThrow, Metric: 7},
		},
		{
			"the kernel's own IPv6 routes keep metric 0",
			rpdb.Route{Family: rpdb.IPv6, Table: 255, Dst: prefix("2001:db8::/128"), Type: rpdb.RouteAnycast, Protocol: rpdb.ProtocolKernel},
			rpdb.Route{Family: rpdb.IPv6, Table: 255, Dst: prefix("2001:db8::/128"), Type: rpdb.RouteAnycast, Protocol: rpdb.ProtocolKernel},
		},
		{
			"a local route that somebody added does not",
			rpdb.Route{Family: rpdb.IPv6, Table: 100, Dst: prefix("::/0"), Type: rpdb.RouteLocal, Nexthops: []rpdb.Nexthop{{Link: 1, Weight: 1}}},
			rpdb.Route{Family: rpdb.IPv6, Table: 100, Dst: prefix("::/0"), Type: rpdb.RouteLocal, Metric: 1024, Nexthops: []rpdb.Nexthop{{Link: 1, Weight: 1}}},
		},
		{
			"state",
			rpdb.Route{Family: rpdb.IPv4, Table: 5, Dst: prefix("0.0.0.0/0"), Type: 1, Expires: 300, Flags: 0x200, Nexthops: []rpdb.Nexthop{{Link: 2, Flags: rpdb.NexthopOnlink | rpdb.NexthopDead}}},
			rpdb.Route{Family: rpdb.IPv4, Table: 5, Dst: prefix("0.0.0.0/0"), Type: 1, Nexthops: []rpdb.Nexthop{{Link: 2, Weight: 1, Flags: rpdb.NexthopOnlink}}},
		},
		{
			"what a nexthop object led to",
			rpdb.Route{Family: rpdb.IPv4, Table: 5, Dst: prefix("0.0.0.0/0"), Type: rpdb.RouteUnicast, NexthopID: 9, Nexthops: []rpdb.Nexthop{{Link: 2}}},
			rpdb.Route{Family: rpdb.IPv4, Table: 5, Dst: prefix("0.0.0.0/0"), Type: rpdb.RouteUnicast, NexthopID: 9},
		},
		{
			"the order of metrics",
			rpdb.Route{Family: rpdb.IPv4, Table: 5, Dst: prefix("0.0.0.0/0"), Type: 1, Metrics: []rpdb.Metric{{Type: 8, Value: 1}, {Type: 2, Value: 2}}},
			rpdb.Route{Family: rpdb.IPv4, Table: 5, Dst: prefix("0.0.0.0/0"), Type: 1, Metrics: []rpdb.Metric{{Type: 2, Value: 2}, {Type: 8, Value: 1}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.in.Canonical()
			if len(got.Nexthops) == 0 {
				got.Nexthops = nil
			}
			if diff := cmp.Diff(c.want, got, compare); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRouteCanonicalProperties: once is enough, the meaning stays, and the
// slices of the original are left alone.
func TestRouteCanonicalProperties(t *testing.T) {
	eachRound(t, func(t *testing.T, g generator) {
		r := random[rpdb.Route](g)
		hops, metrics := slices.Clone(r.Nexthops), slices.Clone(r.Metrics)
		c := r.Canonical()
		if diff := cmp.Diff(c, c.Canonical(), compare); diff != "" {
			t.Errorf("not idempotent: %s", diff)
		}
		if !r.Equal(c) || !c.Equal(r) || r.Key() != c.Key() {
			t.Errorf("%+v is not its canonical form %+v", r, c)
		}
		for i := range c.Nexthops {
			c.Nexthops[i].Link++
		}
		for i := range c.Metrics {
			c.Metrics[i].Value++
		}
		if !slices.Equal(r.Nexthops, hops) || !slices.Equal(r.Metrics, metrics) {
			t.Error("the canonical form shares slices with the original")
		}
	})
}

func TestIsDefault(t *testing.T) {
	for in, want := range map[string]bool{"0.0.0.0/0": true, "::/0": true, "0.0.0.0/1": false, "::1/128": false} {
		if got := (rpdb.Route{Dst: prefix(in)}).IsDefault(); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
	if (rpdb.Route{}).IsDefault() {
		t.Error("the zero Route is a default route")
	}
}

func TestIsError(t *testing.T) {
	for typ := range rpdb.RouteType(255) {
		want := typ == rpdb.RouteBlackhole || typ == rpdb.RouteUnreachable || typ == rpdb.RouteProhibit
		if got := typ.IsError(); got != want {
			t.Errorf("%v: %v", typ, got)
		}
	}
}

// TestEquivalent: the nexthops of IPv6 are a set, those of IPv4 a list, and what each
// of them carries counts.
func TestEquivalent(t *testing.T) {
	route := func(f rpdb.Family, hops ...rpdb.Nexthop) rpdb.Route {
		return rpdb.Route{Family: f, Table: 84500, Nexthops: hops}
	}
	one, two := rpdb.Nexthop{Via: addr("2001:db8::1"), Link: 2}, rpdb.Nexthop{Via: addr("2001:db8::2"), Link: 2, Weight: 3}
	for name, c := range map[string]struct {
		a, b rpdb.Route
		want bool
	}{
		"the same":         {route(rpdb.IPv6, one, two), route(rpdb.IPv6, one, two), true},
		"in another order": {route(rpdb.IPv6, one, two), route(rpdb.IPv6, two, one), true},
		"of IPv4":          {route(rpdb.IPv4, one, two), route(rpdb.IPv4, two, one), false},
		"one is missing":   {route(rpdb.IPv6, one, two), route(rpdb.IPv6, two), false},
		"a program":        {route(rpdb.IPv6, one, two), route(rpdb.IPv6, two, one.WithCopyProgram(84500)), false},
	} {
		before := []rpdb.Nexthop{c.a.Nexthops[0], c.a.Nexthops[1]}
		if got := c.a.Equivalent(c.b); got != c.want || c.b.Equivalent(c.a) != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
		if !slices.Equal(before, c.a.Nexthops) {
			t.Errorf("%s: the route was changed", name)
		}
	}
}
