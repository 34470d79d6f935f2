package analysis

import (
	"net/netip"
	"slices"
	"testing"

	"rpdb"
)

func snapshot(rules ...rpdb.Rule) *rpdb.Snapshot {
	for i := range rules {
		if rules[i].Family == 0 {
			rules[i].Family = rpdb.IPv4
		}
	}
	return &rpdb.Snapshot{Rules: rules, Links: []rpdb.Link{
		{Index: 1, Name: "lo", Flags: rpdb.LinkUp | rpdb.LinkLowerUp | rpdb.LinkLoopback},
		{Index: 2, Name: "eth0", Flags: rpdb.LinkUp | rpdb.LinkLowerUp},
		{Index: 3, Name: "eth1", Flags: rpdb.LinkUp},
		{Index: 4, Name: "eth2"},
	}}
}

func TestRuleMatch(t *testing.T) {
	from := netip.MustParsePrefix("10.0.0.0/8")
	cases := []struct {
		name string
		sel  rpdb.Selector
		want Match
	}{
		{"from all", rpdb.Selector{}, MatchesAll},
		{"not", rpdb.Selector{Not: true}, MatchesNone},
		{"from 0.0.0.0/0", rpdb.Selector{From: netip.MustParsePrefix("0.0.0.0/0")}, MatchesAll},
		{"from 10.0.0.0/8", rpdb.Selector{From: from}, MatchesSome},
		{"not from 10.0.0.0/8", rpdb.Selector{Not: true, From: from}, MatchesSome},
		{"fwmark 0x5/0", rpdb.Selector{Mark: rpdb.Mark{Value: 5}}, MatchesAll},
		{"fwmark 0/1", rpdb.Selector{Mark: rpdb.Mark{Mask: 1}}, MatchesSome},
		{"dscp 0", rpdb.Selector{DSCP: rpdb.Some(rpdb.DSCP{Mask: 63})}, MatchesSome},
		{"dscp 0/0", rpdb.Selector{DSCP: rpdb.Some(rpdb.DSCP{})}, MatchesAll},
		{"uidrange 0-0", rpdb.Selector{UIDRange: rpdb.Some(rpdb.UIDRange{})}, MatchesSome},
		{"uidrange 0-4294967294", rpdb.Selector{UIDRange: rpdb.Some(rpdb.UIDRange{Last: 1<<32 - 2})}, MatchesAll},
		{"l3mdev", rpdb.Selector{L3MDev: true}, MatchesSome},
		{"iif lo", rpdb.Selector{IIF: "lo"}, MatchesSome},
		{"iif gone0", rpdb.Selector{IIF: "gone0"}, MatchesNone},
		{"not oif gone0", rpdb.Selector{Not: true, OIF: "gone0"}, MatchesAll},
		{"not oif gone0 from 10.0.0.0/8", rpdb.Selector{Not: true, OIF: "gone0", From: from}, MatchesAll},
	}
	for _, c := range cases {
		s := snapshot(rpdb.Rule{Selector: c.sel, Action: rpdb.Nop()})
		if got := RuleMatch(s, s.Rules[0]); got != c.want {
			t.Errorf("%s: match %d, want %d", c.name, got, c.want)
		}
	}
	if got := RuleMatch(snapshot(), rpdb.Rule{Family: rpdb.IPv4, Unknown: "x"}); got != MatchesSome {
		t.Errorf("unknown attribute: match %d", got)
	}
}

// TestDetached checks who is believed: the kernel's flag, then in a snapshot
// of a kernel the lack of it, then the list of links.
func TestDetached(t *testing.T) {
	alt := rpdb.Rule{Selector: rpdb.Selector{IIF: "altname"}}
	s := snapshot()
	if got := Detached(s, alt); got != "altname" {
		t.Errorf("without a kernel: %q", got)
	}
	s.Kernel = "6.18.0"
	if got := Detached(s, alt); got != "" {
		t.Errorf("the kernel did not say so: %q", got)
	}
	alt.Flags = rpdb.RuleIIFDetached
	if got := Detached(s, alt); got != "altname" {
		t.Errorf("the kernel said so: %q", got)
	}
}

func TestIsKernelRule(t *testing.T) {
	main := rpdb.Rule{Family: rpdb.IPv4, Priority: 32766, Action: rpdb.ToTable(rpdb.TableMain)}
	elsewhere, suppressing, v6 := main, main, main
	elsewhere.Priority = 100
	suppressing.Suppress.PrefixLength = rpdb.Some[int32](0)
	v6.Family, v6.Priority, v6.Action = rpdb.IPv6, 32767, rpdb.ToTable(rpdb.TableDefault)
	if !IsKernelRule(main) || IsKernelRule(elsewhere) || IsKernelRule(suppressing) || IsKernelRule(v6) {
		t.Error("not the kernel's own rules")
	}
}

func TestDenies(t *testing.T) {
	for a := range 256 {
		typ := rpdb.ActionType(a)
		goes := typ == rpdb.ActionTable || typ == rpdb.ActionGoto || typ == rpdb.ActionNop
		if Denies(rpdb.RawAction(typ, 0, 0)) == goes {
			t.Errorf("action %v: denies is %v", typ, goes)
		}
	}
}

// TestWalk reads a list as "who is asked, and who keeps flows away".
func TestWalk(t *testing.T) {
	rule := func(p rpdb.Priority, a rpdb.Action, sel rpdb.Selector) rpdb.Rule {
		return rpdb.Rule{Priority: p, Action: a, Selector: sel}
	}
	some := rpdb.Selector{IIF: "eth0"}
	s := snapshot(
		rule(0, rpdb.ToTable(255), rpdb.Selector{}),
		rule(10, rpdb.Goto(50), some),
		rule(20, rpdb.ToTable(100), rpdb.Selector{}), // with a default
		rule(30, rpdb.Prohibit(), rpdb.Selector{}),
		rule(40, rpdb.Nop(), rpdb.Selector{}),
		rule(50, rpdb.ToTable(100), rpdb.Selector{}),
		rule(60, rpdb.ToTable(100), rpdb.Selector{}),
		rule(70, rpdb.Goto(90), rpdb.Selector{}),
		rule(80, rpdb.Nop(), rpdb.Selector{}),
		rule(90, rpdb.Nop(), rpdb.Selector{}),
	)
	s.Routes = []rpdb.Route{{
		Family: rpdb.IPv4, Table: 100, Dst: rpdb.IPv4.Default(), Type: rpdb.RouteUnicast, Nexthops: []rpdb.Nexthop{{Link: 2}},
	}}
	want := []struct {
		asked  Asked
		enders []rpdb.Priority
	}{
		{AskedAlways, nil},                    // 0
		{AskedAlways, nil},                    // 10
		{AskedAlways, nil},                    // 20
		{AskedBound, []rpdb.Priority{20}},     // 30
		{AskedNever, []rpdb.Priority{20, 30}}, // 40
		{AskedAlways, nil},                    // 50: by the goto
		{AskedBound, []rpdb.Priority{50}},     // 60
		{AskedBound, []rpdb.Priority{50, 60}},
		{AskedNever, []rpdb.Priority{50, 60, 70}},
		{AskedBound, []rpdb.Priority{50, 60, 70}},
	}
	for i, at := range Walk(s, rpdb.IPv4) {
		var enders []rpdb.Priority
		for _, e := range at.Enders {
			enders = append(enders, e.Priority)
		}
		if at.Asked != want[i].asked || !slices.Equal(enders, want[i].enders) {
			t.Errorf("%v: asked %d, enders %v; want %d, %v", at.Rule, at.Asked, enders, want[i].asked, want[i].enders)
		}
	}
	if got := Walk(s, rpdb.IPv6); len(got) != 0 {
		t.Errorf("IPv6: %v", got)
	}
}

func TestHopState(t *testing.T) {
	s := snapshot()
	s.Sysctls.Links = map[rpdb.LinkName]rpdb.LinkSysctls{}
	cases := []struct {
		name string
		hop  rpdb.Nexthop
		want NexthopState
	}{
		{"in order", rpdb.Nexthop{Link: 2}, NexthopState{Used: true}},
		{"no carrier", rpdb.Nexthop{Link: 3}, NexthopState{Linkdown: true, Used: true}},
		{"no carrier says the route", rpdb.Nexthop{Link: 2, Flags: rpdb.NexthopLinkdown}, NexthopState{Linkdown: true, Used: true}},
		{"down", rpdb.Nexthop{Link: 4}, NexthopState{Dead: true}},
		{"gone", rpdb.Nexthop{Link: 9}, NexthopState{Dead: true}},
		{"dead says the route", rpdb.Nexthop{Link: 2, Flags: rpdb.NexthopDead | rpdb.NexthopLinkdown}, NexthopState{Dead: true}},
		{"no interface", rpdb.Nexthop{}, NexthopState{Used: true}},
	}
	for _, c := range cases {
		for _, f := range rpdb.Families() {
			if got := HopState(s, f, c.hop); got != c.want {
				t.Errorf("%s, %v: %+v, want %+v", c.name, f, got, c.want)
			}
		}
	}
	// conf.all counts in IPv4 alone.
	s.Sysctls.All = rpdb.LinkSysctls{IgnoreLinkdown4: true, IgnoreLinkdown6: true}
	used4, used6 := HopState(s, rpdb.IPv4, rpdb.Nexthop{Link: 3}).Used, HopState(s, rpdb.IPv6, rpdb.Nexthop{Link: 3}).Used
	if used4 || !used6 {
		t.Errorf("ignored by conf.all: used %v in IPv4, %v in IPv6", used4, used6)
	}
	s.Sysctls.Links["eth1"] = rpdb.LinkSysctls{IgnoreLinkdown6: true}
	if HopState(s, rpdb.IPv6, rpdb.Nexthop{Link: 3}).Used {
		t.Error("ignored on the interface: used in IPv6")
	}
}

func TestForwards(t *testing.T) {
	s := snapshot()
	check := func(name string, want4, want6 bool) {
		t.Helper()
		if Forwards(s, rpdb.IPv4) != want4 || Forwards(s, rpdb.IPv6) != want6 {
			t.Errorf("%s: not %v, %v", name, want4, want6)
		}
	}
	check("stock", false, false)
	s.Sysctls.Links = map[rpdb.LinkName]rpdb.LinkSysctls{"eth0": {Forwarding6: true}}
	check("one link", false, true)
	s.Sysctls.IPv4Forward = true
	check("all", true, true)
}

func TestDefaultsBy(t *testing.T) {
	s := snapshot()
	add := func(f rpdb.Family, table rpdb.TableID, typ rpdb.RouteType, links ...rpdb.LinkIndex) {
		r := rpdb.Route{Family: f, Table: table, Dst: f.Default(), Type: typ}
		for _, l := range links {
			r.Nexthops = append(r.Nexthops, rpdb.Nexthop{Link: l})
		}
		s.Routes = append(s.Routes, r)
	}
	add(rpdb.IPv4, 254, rpdb.RouteUnicast, 2, 3)
	add(rpdb.IPv4, 100, rpdb.RouteUnicast, 2)
	add(rpdb.IPv4, 100, rpdb.RouteUnicast, 2)
	add(rpdb.IPv4, 101, rpdb.RouteBlackhole)
	add(rpdb.IPv6, 102, rpdb.RouteUnicast, 2)
	got := DefaultsBy(s, rpdb.IPv4)
	if len(got) != 2 || !slices.Equal(got[2], []rpdb.TableID{100, 254}) || !slices.Equal(got[3], []rpdb.TableID{254}) {
		t.Errorf("defaults %v", got)
	}
}
