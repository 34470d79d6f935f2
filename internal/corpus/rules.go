package corpus

import (
	"net/netip"
	"slices"

	"rpdb"
)

// tables are the tables that routes live in and rules name; 300 stays empty.
func tables() []rpdb.TableID {
	return []rpdb.TableID{rpdb.TableLocal, rpdb.TableMain, rpdb.TableDefault, 100, 200, 70000, 300}
}

// destinations are the prefixes that routes and rules use: nested, and several
// with the same first address.
func destinations(f rpdb.Family) []netip.Prefix {
	if f == rpdb.IPv6 {
		return prefixes("::/0", "2000::/3", "2001:db9::/32", "2001:db9::/48", "2001:db9:0:1::/64", "2001:db9::1/128",
			"2001:db9::/127", "2001:db9:8000::/33", "2001:db8::/32", "::/1")
	}
	return prefixes("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8", "10.0.0.0/16", "10.9.0.0/16", "10.9.9.0/24",
		"10.9.9.9/32", "10.9.9.8/31", "20.0.0.0/8", "198.18.0.0/15")
}

func sources(f rpdb.Family) []netip.Prefix {
	list := hosts4()
	if f == rpdb.IPv6 {
		list = hosts6()
	}
	for _, p := range list {
		list = append(list, p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	}
	return append(list, destinations(f)...)
}

// rules makes the list of one family: the default rules, most of the time all
// of them, with others in between.
func (g *Generator) rules(f rpdb.Family) []rpdb.Rule {
	list := rpdb.DefaultRules(f)
	if g.chance(6) {
		i := g.r.IntN(len(list))
		list = slices.Delete(list, i, i+1)
	}
	if !g.chance(8) {
		for range g.r.IntN(21) {
			list = append(list, g.rule(f))
		}
	}
	for range g.r.IntN(7) {
		list = append(list, g.first(f))
	}
	if g.chance(4) {
		list = append(list, g.trap(f))
	}
	if g.chance(3) {
		list = append(list, g.crowd(f)...)
	}
	slices.SortStableFunc(list, rpdb.Rule.Compare)
	return markUnresolved(list)
}

func markUnresolved(list []rpdb.Rule) []rpdb.Rule {
	for i, r := range list {
		at := func(o rpdb.Rule) bool { return o.Priority == r.Action.Target() }
		if r.Action.Type() == rpdb.ActionGoto && !slices.ContainsFunc(list, at) {
			list[i].Flags |= rpdb.RuleUnresolved
		}
	}
	return list
}

func (g *Generator) rule(f rpdb.Family) rpdb.Rule {
	r := rpdb.Rule{Family: f, Priority: rpdb.Priority(1 + g.r.IntN(30)*10), Protocol: rpdb.ProtocolStatic}
	if g.chance(10) {
		r.Priority = pick(g, []rpdb.Priority{0, 32765, 32766, 32767, 40000, 4294967295})
	}
	r.Selector = g.selector(f)
	r.Action = g.action(f, r.Priority)
	if g.chance(4) {
		r.Suppress.PrefixLength = rpdb.Some(pick(g, []int32{0, 1, 8, 15, 16, 23, 24, 32, 64, 128, -2, 200}))
	}
	if g.chance(6) {
		r.Suppress.IfGroup = rpdb.Some(uint32(g.r.IntN(3)))
	}
	if f == rpdb.IPv4 && g.chance(6) {
		r.Realms = rpdb.NewRealms(uint16(g.r.IntN(3)), uint16(g.r.IntN(3)))
	}
	return r
}

// first makes a rule near the head of the list, where most flows come by. It
// has one selector, of any kind, so that it is what decides, and so few flows
// match it that the rules behind it are asked too.
func (g *Generator) first(f rpdb.Family) rpdb.Rule {
	r := rpdb.Rule{Family: f, Priority: rpdb.Priority(1 + g.r.IntN(6)), Protocol: rpdb.ProtocolStatic}
	k := Kind(g.r.IntN(int(Kinds)))
	for !k.Of(&r.Selector) && (k != FlowLabel || f == rpdb.IPv6) {
		r.Selector = rpdb.Selector{}
		switch k {
		case From, To:
			g.selectAddress(f, &r.Selector)
		case Mark, TOS, DSCP, FlowLabel:
			g.selectPacket(f, &r.Selector)
		case IIF, OIF, UIDRange, TunID:
			g.selectOrigin(&r.Selector)
		default:
			g.selectTransport(&r.Selector)
		}
	}
	r.Selector.Not = r.Selector == rpdb.Selector{} || g.chance(12)
	r.Action = g.action(f, r.Priority)
	return r
}

// trap makes a rule near the head of the list about what is easily forgotten:
// an IPv6 prefix that holds the unspecified address, which a flow without a
// source must not match; and a mark on the way back to a source of IPv4, where
// most packets have none.
func (g *Generator) trap(f rpdb.Family) rpdb.Rule {
	r := rpdb.Rule{Family: f, Priority: rpdb.Priority(1 + g.r.IntN(3)), Protocol: rpdb.ProtocolStatic}
	if f == rpdb.IPv6 {
		r.Selector.From = pick(g, prefixes("::/1", "::/3", "::/64", "::/64", "::/96"))
	} else {
		r.Selector.To = pick(g, hosts4()).Masked()
		r.Selector.Mark = rpdb.Mark{Value: uint32(1 + g.r.IntN(3)), Mask: 0xff}
	}
	r.Action = g.action(f, r.Priority)
	return r
}

// crowd makes several rules of one shape, which differ in their values alone. Of
// others no world has as many as the engine wants to find them by a hash.
func (g *Generator) crowd(f rpdb.Family) (list []rpdb.Rule) {
	like := g.first(f)
	for range 5 + g.r.IntN(6) {
		r := like
		r.Priority = rpdb.Priority(1 + g.r.IntN(60))
		r.Action = g.action(f, r.Priority)
		g.another(f, &r.Selector)
		list = append(list, r)
	}
	return list
}

// another puts other values into the one selector that there is.
func (g *Generator) another(f rpdb.Family, s *rpdb.Selector) {
	prefix := func(p *netip.Prefix) {
		if p.IsValid() {
			n := p.Bits()
			*p = pick(g, slices.DeleteFunc(slices.Clone(g.sources[f]), func(o netip.Prefix) bool { return o.Bits() != n }))
		}
	}
	prefix(&s.From)
	prefix(&s.To)
	s.Mark.Value = uint32(g.r.IntN(4)) & s.Mark.Mask
	if d, ok := s.DSCP.Get(); ok {
		s.DSCP = rpdb.Some(rpdb.DSCP{Value: pick(g, []uint8{0, 4, 46, 36}) & d.Mask, Mask: d.Mask})
	}
	if s.TOS != 0 {
		s.TOS = pick(g, []uint8{0x04, 0x08, 0x10, 0x1c})
	}
	if s.FlowLabel.Mask != 0 {
		s.FlowLabel.Value = pick(g, []uint32{5, 4, 0x15}) & s.FlowLabel.Mask
	}
	g.anotherOrigin(s)
}

func (g *Generator) anotherOrigin(s *rpdb.Selector) {
	links := []rpdb.LinkName{"lo", "e0", "e1", "e2", "gone0"}
	if s.IIF != "" {
		s.IIF = pick(g, links)
	}
	if s.OIF != "" {
		s.OIF = pick(g, links[1:])
	}
	if u, ok := s.UIDRange.Get(); ok {
		first := pick(g, []uint32{0, 0, 1, 999, 1000})
		s.UIDRange = rpdb.Some(rpdb.UIDRange{First: first, Last: first + u.Last - u.First})
	}
	if s.TunID != 0 {
		s.TunID = uint64(1 + g.r.IntN(2))
	}
	if s.IPProto != 0 {
		s.IPProto = pick(g, []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP, rpdb.ICMPv6, 47})
	}
	for _, p := range []*rpdb.Ports{&s.SPort, &s.DPort} {
		switch n := p.Last - p.First; {
		case *p == rpdb.Ports{}:
		case p.Mask != 0:
			p.First = pick(g, []uint16{0x1001, 0x1fff, 0x2000, 0xfffe}) & p.Mask
			p.Last = p.First
		case n < 0x8000:
			p.First = pick(g, []uint16{1, 52, 53, 54, 1000})
			p.Last = p.First + n
		}
	}
}

func (g *Generator) action(f rpdb.Family, own rpdb.Priority) rpdb.Action {
	switch g.r.IntN(12) {
	case 0:
		return rpdb.Blackhole()
	case 1:
		return rpdb.Unreachable()
	case 2:
		return rpdb.Prohibit()
	case 3:
		return rpdb.Nop()
	case 4, 5:
		if own < 4000000000 {
			return rpdb.Goto(own + rpdb.Priority(10*(1+g.r.IntN(6))))
		}
	case 6:
		return rpdb.RawAction(rpdb.ActionType(pick(g, []uint8{0, 4, 5, 9, 10, 200})), rpdb.TableMain, 0)
	}
	return rpdb.ToTable(pick(g, tables()))
}

// selector makes a conjunction of few selectors, so that it is often met.
func (g *Generator) selector(f rpdb.Family) (s rpdb.Selector) {
	for range g.r.IntN(3) {
		switch g.r.IntN(4) {
		case 0:
			g.selectAddress(f, &s)
		case 1:
			g.selectPacket(f, &s)
		case 2:
			g.selectOrigin(&s)
		case 3:
			g.selectTransport(&s)
		}
	}
	s.Not = g.chance(5)
	return s
}

func (g *Generator) selectAddress(f rpdb.Family, s *rpdb.Selector) {
	if g.chance(2) {
		s.From = pick(g, g.sources[f])
	} else {
		s.To = pick(g, g.sources[f])
	}
}

func (g *Generator) selectPacket(f rpdb.Family, s *rpdb.Selector) {
	switch g.r.IntN(4) {
	case 0:
		s.Mark = rpdb.Mark{Value: uint32(g.r.IntN(4)), Mask: pick(g, []uint32{0xffffffff, 0xff, 1, 0})}
	case 1:
		if !s.DSCP.IsSet() {
			s.TOS = pick(g, []uint8{0x04, 0x08, 0x10, 0x1c})
		}
	case 2:
		if s.TOS == 0 {
			value := pick(g, []uint8{0, 4, 46})
			s.DSCP = rpdb.Some(rpdb.DSCP{Value: value, Mask: pick(g, []uint8{0x3f, value | 0x20})})
		}
	case 3:
		if f == rpdb.IPv6 {
			s.FlowLabel = rpdb.FlowLabel{Value: 5, Mask: pick(g, []uint32{0xfffff, 0xf, 5})}
		}
	}
}

func (g *Generator) selectOrigin(s *rpdb.Selector) {
	names := []rpdb.LinkName{"lo", "lo", "e0", "e1", "e2", "e0", "e1", "e2", "gone0"}
	switch g.r.IntN(5) {
	case 0:
		s.IIF = pick(g, names)
	case 1:
		s.OIF = pick(g, names[1:])
	case 2, 4: // of which an ordinary user can use few
		first := pick(g, []uint32{0, 0, 1, 1000})
		s.UIDRange = rpdb.Some(rpdb.UIDRange{First: first, Last: first + pick(g, []uint32{0, 0, 1, 4294966000})})
	case 3:
		s.TunID = uint64(g.r.IntN(2))
	}
}

func (g *Generator) selectTransport(s *rpdb.Selector) {
	ports := []rpdb.Ports{
		rpdb.Port(53), rpdb.Port(1), rpdb.Port(65534), rpdb.PortRange(53, 1000), rpdb.PortRange(1, 65534),
		{First: 0x1000, Last: 0x1000, Mask: 0xf000},
	}
	switch g.r.IntN(3) {
	case 0:
		s.IPProto = pick(g, []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP, rpdb.ICMPv6, 47})
	case 1:
		s.SPort = pick(g, ports)
	case 2:
		s.DPort = pick(g, ports)
	}
}
