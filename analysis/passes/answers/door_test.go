package answers

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"rpdb"
	"rpdb/fib"
)

// twoUplinks is the howto's host before the cure, in IPv4.
func twoUplinks() *rpdb.Snapshot {
	up := rpdb.LinkUp | rpdb.LinkLowerUp
	s := &rpdb.Snapshot{
		Rules: rpdb.DefaultRules(rpdb.IPv4),
		Links: []rpdb.Link{
			{Index: 3, Name: "eth1", Flags: up},
			{Index: 2, Name: "eth0", Flags: up},
			{Index: 1, Name: "lo", Flags: up | rpdb.LinkLoopback},
		},
	}
	address := func(link rpdb.LinkIndex, prefix string) {
		p := netip.MustParsePrefix(prefix)
		s.Addresses = append(s.Addresses, rpdb.Address{Link: link, Prefix: p})
		hop := []rpdb.Nexthop{{Link: link}}
		s.Routes = append(s.Routes,
			rpdb.Route{Family: rpdb.IPv4, Table: 255, Dst: netip.PrefixFrom(p.Addr(), 32), Type: rpdb.RouteLocal, Nexthops: hop},
			rpdb.Route{Family: rpdb.IPv4, Table: 254, Dst: p.Masked(), Type: rpdb.RouteUnicast, Scope: rpdb.ScopeLink, Nexthops: hop})
	}
	address(1, "127.0.0.1/8")
	address(3, "10.10.0.10/24")
	address(2, "192.168.0.10/24")
	address(2, "169.254.7.7/16")
	s.Routes = append(s.Routes, rpdb.Route{
		Family: rpdb.IPv4, Table: 254, Dst: rpdb.IPv4.Default(), Type: rpdb.RouteUnicast,
		Nexthops: []rpdb.Nexthop{{Link: 2, Via: netip.MustParseAddr("192.168.0.1")}},
	})
	return s
}

func TestDoors(t *testing.T) {
	s := twoUplinks()
	for _, custom := range []rpdb.Customised{rpdb.CustomisedNo, rpdb.CustomisedYes} {
		s.Custom4 = custom
		doors := Doors(s, fib.Compile(s), Options{})
		if len(doors) != 2 {
			t.Fatalf("%d doors: %v", len(doors), doors)
		}
		ok, wrong := doors[0], doors[1]
		if ok.Link.Name != "eth0" || ok.Verdict != OK || ok.Reason != "" || ok.To != netip.MustParseAddr("203.0.113.10") {
			t.Errorf("eth0: %+v", ok)
		}
		if wrong.Verdict != WrongDoor || wrong.Message != "answers leave by eth0 via 192.168.0.1" {
			t.Errorf("eth1: %v, %s", wrong.Verdict, wrong.Message)
		}
		if wrong.Rule == nil || *wrong.Rule != s.Rules[1] || wrong.Reason != "decided by rule 32766; 192.168.0.1 may drop them" {
			t.Errorf("customised %v: rule %v, reason %q", custom, wrong.Rule, wrong.Reason)
		}
	}
}

// TestDoorsTo asks about a destination that is not the outside.
func TestDoorsTo(t *testing.T) {
	s := twoUplinks()
	s.Custom4 = rpdb.CustomisedYes
	to := netip.MustParseAddr("10.10.0.77")
	for _, d := range Doors(s, fib.Compile(s), Options{To4: to}) {
		want := WrongDoor
		if d.Link.Name == "eth1" {
			want = OK
		}
		if d.Verdict != want || d.To != to || d.Message != "answers leave by eth1" {
			t.Errorf("%s: %v, %s", d.Link.Name, d.Verdict, d.Message)
		}
	}
}

// TestDeciding tells rules of one priority apart.
func TestDeciding(t *testing.T) {
	s := twoUplinks()
	s.Custom4 = rpdb.CustomisedYes
	rule := func(a rpdb.Action, from string) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: a, Selector: rpdb.Selector{From: netip.MustParsePrefix(from)}}
	}
	prohibit := rule(rpdb.Prohibit(), "10.10.0.10/32")
	s.Rules = []rpdb.Rule{s.Rules[0], rule(rpdb.ToTable(7), "10.10.0.0/16"), prohibit, s.Rules[1]}
	d := Doors(s, fib.Compile(s), Options{})[1]
	if d.Verdict != Denied || d.Rule == nil || *d.Rule != prohibit || d.Message != "answers are refused (EACCES)" {
		t.Errorf("%v by %+v: %s", d.Verdict, d.Rule, d.Message)
	}
}

func TestDoorJSON(t *testing.T) {
	s := twoUplinks()
	for _, d := range Doors(s, fib.Compile(s), Options{}) {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back Door
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, d) {
			t.Errorf("%s\nread back as %+v", text, back)
		}
		if !strings.Contains(string(text), `"verdict":"`+d.Verdict.String()+`"`) {
			t.Errorf("no verdict in %s", text)
		}
	}
	var v Verdict
	if err := v.UnmarshalText([]byte("fine")); err == nil || err.Error() != `parse verdict "fine": unknown words` {
		t.Errorf("verdict fine: %v", err)
	}
	if got := Verdict(99).String(); got != "verdict 99" {
		t.Errorf("Verdict(99) is %q", got)
	}
}

func TestWitness(t *testing.T) {
	route := func(p string) rpdb.Route {
		dst := netip.MustParsePrefix(p)
		return rpdb.Route{Family: rpdb.FamilyOf(dst.Addr()), Table: 9, Dst: dst, Type: rpdb.RouteUnicast}
	}
	cases := []struct {
		name   string
		routes []string
		want4  string
		want6  string
	}{
		{"nothing", nil, "203.0.113.10", "2001:db8:ffff::10"},
		{"defaults and their like", []string{"0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "2000::/3"}, "203.0.113.10", "2001:db8:ffff::10"},
		{"the first is taken", []string{"203.0.113.0/24", "2001:db8:ffff::/48"}, "198.51.100.10", "2001:db8:fefe::10"},
		{
			"all documentation is taken",
			[]string{"203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "192.88.99.0/24", "2001:db8::/32"},
			"1.0.113.10", "20f0::10",
		},
		{"all is taken", []string{"0.0.0.0/3", "32.0.0.0/3", "64.0.0.0/3", "96.0.0.0/3", "128.0.0.0/3", "160.0.0.0/3", "192.0.0.0/3", "2000::/4", "3000::/4"}, "203.0.113.10", "2001:db8:ffff::10"},
	}
	for _, c := range cases {
		s := &rpdb.Snapshot{}
		for _, p := range c.routes {
			s.Routes = append(s.Routes, route(p))
		}
		got4, got6 := Witness(s, rpdb.IPv4), Witness(s, rpdb.IPv6)
		if got4.String() != c.want4 || got6.String() != c.want6 {
			t.Errorf("%s: %v and %v, want %s and %s", c.name, got4, got6, c.want4, c.want6)
		}
	}
}
