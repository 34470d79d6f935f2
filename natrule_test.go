package rpdb_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	heavy := via("192.0.2.1", 2)
	heavy.Weight = 5
	groups := []rpdb.NexthopObject{
		{ID: 7, Group: []rpdb.GroupMember{{ID: 1, Weight: 256}, {ID: 2, Weight: 1}}},
		{ID: 8, Group: []rpdb.GroupMember{{ID: 1, Weight: 257}, {ID: 2, Weight: 1}}},
	}
	realm := rpdb.NewRealms(0, 12003)
	carries := func(n rpdb.Nexthop) rpdb.Nexthop { n.Realms = realm; return n }
	for name, c := range map[string]struct {
		is, want rpdb.Route
		err      string
	}{
		"one way":         {rpdb.Route{Metric: 7, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, rpdb.Route{Metric: 7, Realms: realm, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, ""},
		"two ways":        {rpdb.Route{Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2), via("198.51.100.1", 3)}}, rpdb.Route{Nexthops: []rpdb.Nexthop{carries(via("192.0.2.1", 2)), carries(via("198.51.100.1", 3))}}, ""},
		"one is dead":     {rpdb.Route{Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2), dead}}, rpdb.Route{Realms: realm, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, ""},
		"one is left":     {rpdb.Route{Nexthops: []rpdb.Nexthop{heavy, dead}}, rpdb.Route{Realms: realm, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, ""},
		"all are dead":    {rpdb.Route{Nexthops: []rpdb.Nexthop{dead}}, rpdb.Route{}, ""},
		"nexthop object":  {rpdb.Route{NexthopID: 5, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, rpdb.Route{Realms: realm, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, ""},
		"object unknown":  {rpdb.Route{NexthopID: 5}, rpdb.Route{}, "of which no way is known"},
		"group":           {rpdb.Route{NexthopID: 7, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2), via("198.51.100.1", 3)}}, rpdb.Route{Nexthops: []rpdb.Nexthop{carries(via("192.0.2.1", 2)), carries(via("198.51.100.1", 3))}}, ""},
		"heavy group":     {rpdb.Route{NexthopID: 8, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2), via("198.51.100.1", 3)}}, rpdb.Route{}, "has a way of weight 257, and without a nexthop object it can have 256 at most"},
		"one of it left":  {rpdb.Route{NexthopID: 8, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2), dead}}, rpdb.Route{Realms: realm, Nexthops: []rpdb.Nexthop{via("192.0.2.1", 2)}}, ""},
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
		copied, err := (&rpdb.Snapshot{Routes: []rpdb.Route{other, r}, Nexthops: groups}).CopyTable(rpdb.IPv4, 100, 84003)
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

// TestCopyTableOfIPv6: there each way of a copy has its program. What has a tunnel of
// its own has no place for that.
func TestCopyTableOfIPv6(t *testing.T) {
	via := func(s string) rpdb.Nexthop { return rpdb.Nexthop{Via: netip.MustParseAddr(s), Link: 2, Weight: 1} }
	one, two := via("2001:db8::1"), via("fe80::1")
	dead, tunnel := via("2001:db8::9"), via("2001:db8::1")
	dead.Flags, tunnel.EncapType, tunnel.Encap = rpdb.NexthopDead, 5, "x"
	onLink := rpdb.Nexthop{Link: 2, Weight: 1}
	const copied = 84503
	for name, c := range map[string]struct {
		is, want rpdb.Route
		err      string
	}{
		"one way":        {rpdb.Route{Metric: 7, Nexthops: []rpdb.Nexthop{one}}, rpdb.Route{Metric: 7, Nexthops: []rpdb.Nexthop{one.WithCopyProgram(copied)}}, ""},
		"two ways":       {rpdb.Route{Nexthops: []rpdb.Nexthop{one, two}}, rpdb.Route{Metric: 1024, Nexthops: []rpdb.Nexthop{one.WithCopyProgram(copied), two.WithCopyProgram(copied)}}, ""},
		"on the link":    {rpdb.Route{Protocol: rpdb.ProtocolKernel, Nexthops: []rpdb.Nexthop{onLink}}, rpdb.Route{Metric: 1024, Nexthops: []rpdb.Nexthop{onLink.WithCopyProgram(copied)}}, ""},
		"one is dead":    {rpdb.Route{Metric: 7, Nexthops: []rpdb.Nexthop{dead, two}}, rpdb.Route{Metric: 7, Nexthops: []rpdb.Nexthop{two.WithCopyProgram(copied)}}, ""},
		"object":         {rpdb.Route{Metric: 7, NexthopID: 5, Nexthops: []rpdb.Nexthop{one}}, rpdb.Route{Metric: 7, Nexthops: []rpdb.Nexthop{one.WithCopyProgram(copied)}}, ""},
		"by its source":  {rpdb.Route{Metric: 7, Src: prefix("2001:db8:1::/64"), Nexthops: []rpdb.Nexthop{one}}, rpdb.Route{Metric: 7, Src: prefix("2001:db8:1::/64"), Nexthops: []rpdb.Nexthop{one.WithCopyProgram(copied)}}, ""},
		"expires":        {rpdb.Route{Metric: 7, Expires: 600, Pref: rpdb.PreferenceLow, Nexthops: []rpdb.Nexthop{one}}, rpdb.Route{Metric: 7, Pref: rpdb.PreferenceLow, Nexthops: []rpdb.Nexthop{one.WithCopyProgram(copied)}}, ""},
		"unreachable":    {rpdb.Route{Metric: 7, Type: rpdb.RouteUnreachable, Nexthops: []rpdb.Nexthop{{Link: 1}}}, rpdb.Route{Metric: 7, Type: rpdb.RouteUnreachable}, ""},
		"local":          {rpdb.Route{Metric: 7, Type: rpdb.RouteLocal, Nexthops: []rpdb.Nexthop{onLink}}, rpdb.Route{Metric: 7, Type: rpdb.RouteLocal, Nexthops: []rpdb.Nexthop{onLink}}, ""},
		"tunnel":         {rpdb.Route{Nexthops: []rpdb.Nexthop{tunnel}}, rpdb.Route{}, "has a tunnel (encap) in the place of the program"},
		"tunnel of one":  {rpdb.Route{Nexthops: []rpdb.Nexthop{two, tunnel}}, rpdb.Route{}, "has a tunnel (encap) in the place of the program"},
		"another's copy": {rpdb.Route{Nexthops: []rpdb.Nexthop{one.WithCopyProgram(82999)}}, rpdb.Route{}, "has a tunnel (encap) in the place of the program"},
		"object unknown": {rpdb.Route{NexthopID: 5}, rpdb.Route{}, "of which no way is known"},
	} {
		full := func(r rpdb.Route, table rpdb.TableID, p rpdb.Protocol) rpdb.Route {
			r.Family, r.Table, r.Dst = rpdb.IPv6, table, prefix("2001:db8:9::/48")
			if r.Type = max(r.Type, rpdb.RouteUnicast); r.Protocol == 0 {
				r.Protocol = p
			}
			return r
		}
		is, want := full(c.is, 100, rpdb.ProtocolStatic), full(c.want, copied, rpdb.ProtocolRPDB)
		four := is
		four.Family, four.Dst = rpdb.IPv4, prefix("10.0.0.0/8")
		got, err := (&rpdb.Snapshot{Routes: []rpdb.Route{four, is}}).CopyTable(rpdb.IPv6, 100, copied)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", name, err, c.err)
			}
			continue
		}
		if err != nil || len(got) != 1 || !got[0].Equal(want) || got[0].Metric != want.Metric || got[0].Expires != 0 {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

// TestCopyTableOfManyLinks: the routes that each interface has to addresses that nothing
// is forwarded to are left out. Another route that stands twice, as by two routers that
// announce themselves, cannot be copied.
func TestCopyTableOfManyLinks(t *testing.T) {
	var s rpdb.Snapshot
	add := func(f rpdb.Family, dst string, link rpdb.LinkIndex, via string) {
		r := rpdb.Route{Family: f, Table: 254, Dst: prefix(dst), Type: rpdb.RouteUnicast, Metric: 256, Protocol: rpdb.ProtocolKernel, Nexthops: []rpdb.Nexthop{{Link: link}}}
		if via != "" {
			r.Nexthops[0].Via = addr(via)
		}
		s.Routes = append(s.Routes, r)
	}
	for link := range rpdb.LinkIndex(3) {
		add(rpdb.IPv6, "fe80::/64", link, "")
		add(rpdb.IPv6, "ff00::/8", link, "")
	}
	add(rpdb.IPv6, "::/0", 1, "fe80::1")
	add(rpdb.IPv6, "2001:db8::/64", 1, "")
	add(rpdb.IPv4, "224.0.0.0/4", 1, "")
	add(rpdb.IPv4, "169.254.0.0/16", 1, "")
	six, err := s.CopyTable(rpdb.IPv6, 254, 84500)
	four, err4 := s.CopyTable(rpdb.IPv4, 254, 84000)
	if err := errors.Join(err, err4); err != nil || len(six) != 2 || len(four) != 2 {
		t.Errorf("%v and %v, %v", six, four, err)
	}
	add(rpdb.IPv6, "::/0", 2, "fe80::2")
	add(rpdb.IPv4, "169.254.0.0/16", 2, "")
	for f, want := range map[rpdb.Family]string{rpdb.IPv4: "route 169.254.0.0/16", rpdb.IPv6: "route default"} {
		_, err := s.CopyTable(f, 254, rpdb.FirstHandCopy(f))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "stands there twice") {
			t.Errorf("%v: %v", f, err)
		}
	}
}

// TestNATRules: the parts of a rule made by hand are found by the number of its copy,
// and those of policies are none.
func TestNATRules(t *testing.T) {
	const four, six = rpdb.IPv4, rpdb.IPv6
	rule := func(f rpdb.Family, table rpdb.TableID) rpdb.Rule {
		return rpdb.Rule{Family: f, Priority: 5, Action: rpdb.ToTable(table)}
	}
	route := func(f rpdb.Family, table rpdb.TableID, p rpdb.Protocol) rpdb.Route {
		return rpdb.Route{Family: f, Table: table, Protocol: p, Type: rpdb.RouteUnicast}
	}
	nat := func(f rpdb.Family, realm uint16) rpdb.Translation {
		return rpdb.Translation{Family: f, Kind: rpdb.TranslateMasquerade, Realm: realm}
	}
	s := &rpdb.Snapshot{
		Rules: []rpdb.Rule{
			rule(six, 84999), rule(six, 84001), rule(six, 85000),
			rule(four, 84001), rule(four, 82999), rule(four, 84499), rule(four, 84500),
		},
		Routes: []rpdb.Route{
			route(four, 84000, rpdb.ProtocolRPDB), route(four, 84001, rpdb.ProtocolRPDB), route(four, 84001, rpdb.ProtocolStatic),
			route(four, 83999, rpdb.ProtocolRPDB), route(six, 84500, rpdb.ProtocolRPDB), route(six, 84002, rpdb.ProtocolRPDB), route(four, 84501, rpdb.ProtocolRPDB),
		},
		NAT: rpdb.NAT{Translations: []rpdb.Translation{
			nat(four, 10999), nat(four, 12001), nat(four, 12002), nat(four, 12500), nat(six, 12500), nat(six, 12001), nat(six, 12999),
		}},
	}
	var got []string
	for _, n := range s.NATRules() {
		got = append(got, fmt.Sprintf("%v %d %s%s%v", n.Family, n.Copy, strings.Repeat("rule ", len(n.Rules)), strings.Repeat("route ", len(n.Routes)), n.Translation.Kind))
	}
	want := "IPv4 84000 route none, IPv4 84001 rule route masquerade, IPv4 84002 masquerade, IPv4 84499 rule none, " +
		"IPv6 84500 route masquerade, IPv6 84999 rule masquerade"
	if strings.Join(got, ", ") != want {
		t.Errorf("%q, want %s", got, want)
	}
	for _, r := range s.Rules {
		if got := slices.ContainsFunc(s.NATRules(), func(n rpdb.NATRule) bool { return slices.Contains(n.Rules, r) }); got != r.IsHandNAT() {
			t.Errorf("%v translates: %t", r, r.IsHandNAT())
		}
	}
}

// TestForwardsNothing: where one interface forwards, or one is not known, it is not said.
func TestForwardsNothing(t *testing.T) {
	links := func(l rpdb.LinkSysctls) map[rpdb.LinkName]rpdb.LinkSysctls {
		return map[rpdb.LinkName]rpdb.LinkSysctls{"eth0": {}, "eth1": l}
	}
	const four, six = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"
	for name, c := range map[string]struct {
		is        rpdb.Sysctls
		four, six string
	}{
		"nothing":      {rpdb.Sysctls{Links: links(rpdb.LinkSysctls{})}, four, six},
		"IPv4":         {rpdb.Sysctls{IPv4Forward: true}, "", six},
		"IPv6":         {rpdb.Sysctls{IPv6Forward: true}, four, ""},
		"one link":     {rpdb.Sysctls{Links: links(rpdb.LinkSysctls{Forwarding4: true})}, "", six},
		"one in IPv6":  {rpdb.Sysctls{Links: links(rpdb.LinkSysctls{Forwarding6: true})}, four, ""},
		"unknown":      {rpdb.Sysctls{All: rpdb.LinkSysctls{Unknown: rpdb.AllSettings}}, "", ""},
		"link unknown": {rpdb.Sysctls{Links: links(rpdb.LinkSysctls{Unknown: rpdb.SettingForwarding6})}, four, ""},
	} {
		s := &rpdb.Snapshot{Sysctls: c.is}
		if got4, got6 := s.ForwardsNothing(rpdb.IPv4), s.ForwardsNothing(rpdb.IPv6); got4 != c.four || got6 != c.six {
			t.Errorf("%s: %q and %q, want %q and %q", name, got4, got6, c.four, c.six)
		}
	}
}
