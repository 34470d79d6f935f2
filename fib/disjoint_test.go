package fib_test

import (
	"net/netip"
	"testing"

	"rpdb"
	"rpdb/internal/corpus"
	"rpdb/internal/oracle"
)

// TestDisjointSelectors: no flow, however it is aimed, is selected by both of two
// selectors that are said to be disjoint; and many of those that are tried are.
func TestDisjointSelectors(t *testing.T) {
	t.Parallel()
	disjoint, selected := 0, 0
	for seed := range uint64(150) {
		g := corpus.New(seed)
		s := g.Snapshot()
		s.Custom4, s.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
		rules := s.Rules
		selects := func(r rpdb.Rule, flow rpdb.Flow) bool {
			r.Priority, r.Action = 1, rpdb.Prohibit()
			s.Rules = []rpdb.Rule{r}
			d := oracle.Decide(s, flow)
			p, ok := d.Rule.Get()
			return ok && p == 1
		}
		for i, a := range rules {
			for _, b := range rules[:i] {
				if a.Family != b.Family || !a.Selector.Disjoint(b.Selector) {
					continue
				}
				if disjoint++; !b.Selector.Disjoint(a.Selector) {
					t.Fatalf("%+v and %+v: disjoint one way only", a.Selector, b.Selector)
				}
				for range 4 {
					flow, _, _ := g.Aimed(a.Family, []rpdb.Rule{a})
					if !selects(a, flow) {
						continue
					}
					if selected++; selects(b, flow) {
						t.Fatalf("seed %d: %+v is selected by %+v and by %+v", seed, flow, a.Selector, b.Selector)
					}
				}
			}
		}
	}
	if disjoint < 300 || selected < 300 {
		t.Errorf("%d pairs and %d flows say little", disjoint, selected)
	}
}

func TestDisjoint(t *testing.T) {
	from := func(p string) rpdb.Selector { return rpdb.Selector{From: netip.MustParsePrefix(p)} }
	mark := func(v, m uint32) rpdb.Selector { return rpdb.Selector{Mark: rpdb.Mark{Value: v, Mask: m}} }
	port := func(p rpdb.Ports) rpdb.Selector { return rpdb.Selector{DPort: p} }
	not := from("10.0.0.0/8")
	not.Not = true
	for _, c := range []struct {
		a, b rpdb.Selector
		want bool
	}{
		{from("10.0.0.1/32"), from("10.0.0.2/32"), true},
		{from("10.0.0.1/32"), from("10.0.0.0/24"), false},
		{from("0.0.0.0/0"), from("10.0.0.0/24"), false},
		{rpdb.Selector{}, rpdb.Selector{}, false},
		{from("10.0.0.1/32"), rpdb.Selector{IIF: "eth0"}, false},
		{rpdb.Selector{IIF: "eth1"}, rpdb.Selector{IIF: "eth0"}, true},
		{mark(1, 0xff), mark(2, 0xff), true},
		{mark(1, 0x0f), mark(0x10, 0xf0), false},
		{not, from("192.0.2.0/24"), false},
		{port(rpdb.Port(80)), port(rpdb.Port(443)), true},
		{port(rpdb.PortRange(1, 100)), port(rpdb.Port(80)), false},
		{port(rpdb.PortRange(1, 100)), port(rpdb.PortRange(101, 200)), true},
		{port(rpdb.Ports{First: 0x1000, Last: 0x1000, Mask: 0xf000}), port(rpdb.PortRange(1, 100)), false},
		{port(rpdb.Ports{First: 0x1000, Last: 0x1000, Mask: 0xf000}), port(rpdb.Port(80)), true},
		{rpdb.Selector{DSCP: rpdb.Some(rpdb.DSCP{Mask: 63})}, rpdb.Selector{DSCP: rpdb.Some(rpdb.DSCP{Value: 46, Mask: 63})}, true},
		{rpdb.Selector{UIDRange: rpdb.Some(rpdb.UIDRange{})}, rpdb.Selector{UIDRange: rpdb.Some(rpdb.UIDRange{First: 1, Last: 9})}, true},
	} {
		if got := c.a.Disjoint(c.b); got != c.want || c.b.Disjoint(c.a) != got {
			t.Errorf("%+v and %+v: disjoint %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
