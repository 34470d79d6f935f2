package rpdb_test

import (
	"net/netip"
	"testing"

	"rpdb"
)

// TestZeroSelectorsMatchAll is the promise that zero values keep: no
// constraint.
func TestZeroSelectorsMatchAll(t *testing.T) {
	for port := range 1 << 16 {
		if !(rpdb.Ports{}).Matches(uint16(port)) {
			t.Fatalf("the zero Ports does not match %d", port)
		}
	}
	eachRound(t, func(t *testing.T, g generator) {
		n := uint32(g.number(32))
		if !(rpdb.Mark{}).Matches(n) || !(rpdb.FlowLabel{}).Matches(n) || !(rpdb.DSCP{}).Matches(uint8(n)) {
			t.Errorf("a zero selector does not match %#x", n)
		}
	})
	if (rpdb.Selector{}).Canonical() != (rpdb.Selector{}) {
		t.Error("the zero Selector is not canonical")
	}
}

// TestMasked compares the masked selectors with their slow twin, which asks
// bit by bit.
func TestMasked(t *testing.T) {
	slow := func(value, mask, v uint32) bool {
		for bit := range 32 {
			if mask>>bit&1 == 1 && value>>bit&1 != v>>bit&1 {
				return false
			}
		}
		return true
	}
	eachRound(t, func(t *testing.T, g generator) {
		value, mask, v := uint32(g.number(32)), uint32(g.number(32)), uint32(g.number(32))
		if g.IntN(2) == 0 {
			v = value ^ v&^mask // differs only where the mask does not look
		}
		want := slow(value, mask, v)
		if got := (rpdb.Mark{Value: value, Mask: mask}).Matches(v); got != want {
			t.Errorf("mark %#x/%#x matches %#x: %v", value, mask, v, got)
		}
		if got := (rpdb.FlowLabel{Value: value, Mask: mask}).Matches(v); got != want {
			t.Errorf("flow label %#x/%#x matches %#x: %v", value, mask, v, got)
		}
		want = slow(value&0x3f, mask&0x3f, v&0x3f)
		if got := (rpdb.DSCP{Value: uint8(value & 0x3f), Mask: uint8(mask & 0x3f)}).Matches(uint8(v & 0x3f)); got != want {
			t.Errorf("dscp %#x/%#x matches %#x: %v", value&0x3f, mask&0x3f, v&0x3f, got)
		}
	})
}

func TestMatches(t *testing.T) {
	type matcher[N any] interface{ Matches(N) bool }
	ports := func(p rpdb.Ports, yes, no []uint16) {
		t.Helper()
		check(t, matcher[uint16](p), yes, no)
	}
	ports(rpdb.Port(53), []uint16{53}, []uint16{0, 52, 54, 65535})
	ports(rpdb.Port(0), []uint16{0}, []uint16{1, 65535})
	ports(rpdb.Port(65535), []uint16{65535}, []uint16{0, 65534})
	ports(rpdb.PortRange(1000, 2000), []uint16{1000, 1001, 1999, 2000}, []uint16{0, 999, 2001, 65535})
	ports(rpdb.PortRange(7, 7), []uint16{7}, []uint16{6, 8})
	ports(rpdb.PortRange(0, 65535), []uint16{0, 1, 65535}, nil)
	ports(rpdb.PortRange(2000, 1000), nil, []uint16{0, 1000, 1500, 2000})
	ports(rpdb.Ports{First: 80, Last: 80, Mask: 0xfff0}, []uint16{80, 95}, []uint16{79, 96})
	ports(rpdb.Ports{First: 1, Last: 1, Mask: 1}, []uint16{1, 3, 65535}, []uint16{0, 2, 65534})

	check(t, matcher[uint32](rpdb.UIDRange{}), []uint32{0}, []uint32{1, 4294967295})
	check(t, matcher[uint32](rpdb.UIDRange{First: 1000, Last: 1999}), []uint32{1000, 1999}, []uint32{0, 999, 2000})
	check(t, matcher[uint32](rpdb.UIDRange{First: 5, Last: 4}), nil, []uint32{4, 5})
	check(t, matcher[uint32](rpdb.Mark{Value: 0x10, Mask: 0xff}), []uint32{0x10, 0xff10}, []uint32{0, 0x11})
	check(t, matcher[uint32](rpdb.Mark{Value: 7}), []uint32{0, 7, 8}, nil) // "fwmark 7/0"
	check(t, matcher[uint8](rpdb.DSCP{Mask: 0x3f}), []uint8{0}, []uint8{1, 63})
}

func check[N any](t *testing.T, m interface{ Matches(N) bool }, yes, no []N) {
	t.Helper()
	for _, n := range yes {
		if !m.Matches(n) {
			t.Errorf("%+v does not match %v", m, n)
		}
	}
	for _, n := range no {
		if m.Matches(n) {
			t.Errorf("%+v matches %v", m, n)
		}
	}
}

func TestSelectorCanonical(t *testing.T) {
	for _, c := range []struct {
		name      string
		in, canon rpdb.Selector
	}{
		{"host bits", rpdb.Selector{From: prefix("192.0.2.7/24"), To: prefix("2001:db8::7/32")}, rpdb.Selector{From: prefix("192.0.2.0/24"), To: prefix("2001:db8::/32")}},
		{"from all", rpdb.Selector{From: prefix("0.0.0.0/0"), To: prefix("2001:db8::1/0")}, rpdb.Selector{}},
		{"a prefix that is none", rpdb.Selector{From: netip.PrefixFrom(addr("192.0.2.1"), 99)}, rpdb.Selector{}},
		{"one port as a range", rpdb.Selector{SPort: rpdb.PortRange(53, 53), DPort: rpdb.PortRange(1, 2)}, rpdb.Selector{SPort: rpdb.Port(53), DPort: rpdb.PortRange(1, 2)}},
		{"a port with a mask", rpdb.Selector{DPort: rpdb.Ports{First: 80, Last: 80, Mask: 0xfff0}}, rpdb.Selector{DPort: rpdb.Ports{First: 80, Last: 80, Mask: 0xfff0}}},
		{"a flow label of no bits", rpdb.Selector{FlowLabel: rpdb.FlowLabel{Value: 5}}, rpdb.Selector{}},
		{"a mark of no bits is listed", rpdb.Selector{Mark: rpdb.Mark{Value: 5}}, rpdb.Selector{Mark: rpdb.Mark{Value: 5}}},
		{"zeros that are values", rpdb.Selector{DSCP: rpdb.Some(rpdb.DSCP{}), UIDRange: rpdb.Some(rpdb.UIDRange{})}, rpdb.Selector{DSCP: rpdb.Some(rpdb.DSCP{}), UIDRange: rpdb.Some(rpdb.UIDRange{})}},
		{"not alone", rpdb.Selector{Not: true, From: prefix("0.0.0.0/0")}, rpdb.Selector{Not: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.in.Canonical(); got != c.canon {
				t.Errorf("got %+v, want %+v", got, c.canon)
			}
		})
	}
}

// TestCanonicalSelectsTheSame: writing a selector differently must not change
// which flows it takes.
func TestCanonicalSelectsTheSame(t *testing.T) {
	eachRound(t, func(t *testing.T, g generator) {
		s := random[rpdb.Selector](g)
		c := s.Canonical()
		if c.Canonical() != c {
			t.Errorf("%+v is not canonical", c)
		}
		port, label := uint16(g.number(16)), uint32(g.number(20))
		if s.SPort.First == s.SPort.Last || s.SPort.Mask == 0 { // else the kernel takes no such selector
			if s.SPort.Matches(port) != c.SPort.Matches(port) {
				t.Errorf("%+v and %+v do not agree on port %d", s.SPort, c.SPort, port)
			}
		}
		if s.FlowLabel.Matches(label) != c.FlowLabel.Matches(label) || s.Mark.Matches(label) != c.Mark.Matches(label) {
			t.Errorf("%+v and %+v do not agree on %#x", s, c, label)
		}
		a := g.addr().WithZone("")
		for _, p := range [][2]netip.Prefix{{s.From, c.From}, {s.To, c.To}} {
			if p[1].IsValid() && p[0].Contains(a) != p[1].Contains(a) {
				t.Errorf("%v and %v do not agree on %v", p[0], p[1], a)
			}
		}
	})
}

func TestAction(t *testing.T) {
	for _, c := range []struct {
		action rpdb.Action
		typ    rpdb.ActionType
		table  rpdb.TableID
		target rpdb.Priority
	}{
		{rpdb.Action{}, rpdb.ActionUnspec, 0, 0},
		{rpdb.ToTable(4294967295), rpdb.ActionTable, 4294967295, 0},
		{rpdb.Goto(4294967295), rpdb.ActionGoto, 0, 4294967295},
		{rpdb.Nop(), rpdb.ActionNop, 0, 0},
		{rpdb.Blackhole(), rpdb.ActionBlackhole, 0, 0},
		{rpdb.Unreachable(), rpdb.ActionUnreachable, 0, 0},
		{rpdb.Prohibit(), rpdb.ActionProhibit, 0, 0},
		{rpdb.RawAction(rpdb.ActionNop, 254, 0), rpdb.ActionNop, 254, 0},
	} {
		if c.action.Type() != c.typ || c.action.Table() != c.table || c.action.Target() != c.target {
			t.Errorf("%v: type %v, table %d, target %d", c.action, c.action.Type(), c.action.Table(), c.action.Target())
		}
		if back := rpdb.RawAction(c.typ, c.table, c.target); back != c.action {
			t.Errorf("%v is not %v", back, c.action)
		}
	}
}
