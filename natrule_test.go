package rpdb_test

import (
	"net/netip"
	"strings"
	"testing"

	"rpdb"
)

// TestCopyTable: a copy has the routes of its table as ours, by nexthops of its own
// that carry its realm, and none by ways that are dead.
func TestCopyTable(t *testing.T) {
	via := func(s string, link rpdb.LinkIndex) rpdb.Nexthop {
		return rpdb.Nexthop{Via: netip.MustParseAddr(s), Link: link, Weight: 1}
	}
	dead := via("192.0.2.9", 2)
	dead.Flags = rpdb.NexthopDead | rpdb.NexthopLinkdown
	realm := rpdb.NewRealms(0, 12003)
	carries := func(n rpdb.Nexthop) rpdb.Nexthop { n.Realms = realm; return n }
	for name, c := range map[string]struct {
		is, want rpdb.Route
		err      string
	}{
		"one way":         {rpdb.Route{Metric: 7, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, rpdb.Route{Metric: 7, Realms: realm, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, ""},
		"two ways":        {rpdb.Route{Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2), via("198.51.100.1", 3)}}, rpdb.Route{Nexthops: []rpdb.Nexthop{carries(via("192.0.2.1", 2)), carries(via("198.51.100.1", 3))}}, ""},
		"one is dead":     {rpdb.Route{Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2), dead}}, rpdb.Route{Realms: realm, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, ""},
		"all are dead":    {rpdb.Route{Nexthops: []rpdb.Nexthop{dead}}, rpdb.Route{}, ""},
		"nexthop object":  {rpdb.Route{NexthopID: 5, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, rpdb.Route{Realms: realm, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, ""},
		"object unknown":  {rpdb.Route{NexthopID: 5}, rpdb.Route{}, "of which no way is known"},
		"blackhole":       {rpdb.Route{Type: rpdb.RouteBlackhole}, rpdb.Route{Type: rpdb.RouteBlackhole}, ""},
		"realms":          {rpdb.Route{Realms: 3, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, rpdb.Route{}, "has realms of its own"},
		"realms of a way": {rpdb.Route{Nexthops: []rpdb.Nexthop{{Link: 2, Realms: 3}}}, rpdb.Route{}, "has realms of its own"},
		"unknown":         {rpdb.Route{Unknown: "x"}, rpdb.Route{}, "not known here"},
	} {
		r := c.is
		r.Family, r.Table, r.Dst, r.Protocol = rpdb.IPv4, 100, netip.MustParsePrefix("10.0.0.0/8"), rpdb.ProtocolStatic
		if r.Type == 0 {
			r.Type = rpdb.RouteUnicast
		}
		other := r
		other.Table, other.Unknown = 101, "not of this table"
		copied, err := (&rpdb.Snapshot{Routes: []rpdb.Route{other, r}}).CopyTable(100, 84003)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "route 10.0.0.0/8 table 100") {
				t.Errorf("%s: %v, want %s", name, err, c.err)
			}
			continue
		}
		want := c.want
		if want.Family, want.Table, want.Dst, want.Protocol = rpdb.IPv4, 84003, r.Dst, rpdb.ProtocolRPDB; want.Type == 0 {
			want.Type = rpdb.RouteUnicast
		}
		all := name != "all are dead"
		if err != nil || len(copied) == 1 != all || all && !copied[0].Equal(want) {
			t.Errorf("%s: %+v, %v, want %+v", name, copied, err, want)
		}
	}
}

// TestNATRules: the parts of a rule made by hand are found by the number of its copy,
// and those of policies are none.
func TestNATRules(t *testing.T) {
	rule := func(table rpdb.TableID) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: 5, Action: rpdb.ToTable(table)}
	}
	route := func(table rpdb.TableID, p rpdb.Protocol) rpdb.Route {
		return rpdb.Route{Family: rpdb.IPv4, Table: table, Protocol: p, Type: rpdb.RouteUnicast}
	}
	nat := func(realm uint16) rpdb.Translation {
		return rpdb.Translation{Family: rpdb.IPv4, Kind: rpdb.TranslateMasquerade, Realm: realm}
	}
	s := &rpdb.Snapshot{
		Rules: []rpdb.Rule{rule(84001), rule(82999), rule(84499), rule(84500), {Family: rpdb.IPv6, Action: rpdb.ToTable(84001)}},
		Routes: []rpdb.Route{
			route(84000, rpdb.ProtocolRPDB), route(84001, rpdb.ProtocolRPDB), route(84001, rpdb.ProtocolStatic), route(83999, rpdb.ProtocolRPDB),
		},
		NAT: rpdb.NAT{Translations: []rpdb.Translation{nat(10999), nat(12001), nat(12002), nat(12500)}},
	}
	var got []string
	for _, n := range s.NATRules() {
		got = append(got, strings.Repeat("rule ", len(n.Rules))+strings.Repeat("route ", len(n.Routes))+n.Translation.Kind.String())
	}
	if want := "route none, rule route masquerade, masquerade, rule none"; strings.Join(got, ", ") != want {
		t.Errorf("%q, want %s", got, want)
	}
}
