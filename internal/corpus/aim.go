package corpus

import (
	"net/netip"
	"slices"

	"rpdb"
)

// Kind is one of the selectors that a rule may have. There is no VRF in the
// worlds, so l3mdev is not among them.
type Kind uint8

// The selectors, in the order of ip-rule(8); Kinds is their number.
const (
	From Kind = iota
	To
	IIF
	OIF
	Mark
	TOS
	DSCP
	UIDRange
	IPProto
	SPort
	DPort
	FlowLabel
	TunID
	Kinds
)

// Of reports whether a rule with the selectors s has this one.
func (k Kind) Of(s *rpdb.Selector) bool {
	switch k {
	case From:
		return s.From.Bits() > 0
	case To:
		return s.To.Bits() > 0
	case IIF:
		return s.IIF != ""
	case OIF:
		return s.OIF != ""
	case Mark:
		return s.Mark.Mask != 0
	case TOS:
		return s.TOS != 0
	case DSCP:
		d, _ := s.DSCP.Get()
		return d.Mask != 0
	case UIDRange:
		return s.UIDRange.IsSet()
	case IPProto:
		return s.IPProto != 0
	case SPort:
		return s.SPort != rpdb.Ports{}
	case DPort:
		return s.DPort != rpdb.Ports{}
	case FlowLabel:
		return s.FlowLabel.Mask != 0
	case TunID:
		return s.TunID != 0
	}
	return false
}

// Aimed makes a flow that one of the rules just matches or just misses: every
// selector of that rule holds, or every one but k. All kinds come equally
// often, however seldom the rules have them. Where that cannot be, it is a flow
// as any other; whether the rule is asked about it at all, nobody promises.
func (g *Generator) Aimed(f rpdb.Family, rules []rpdb.Rule) (flow rpdb.Flow, k Kind, hold bool) {
	k, hold = Kind(g.r.IntN(int(Kinds))), g.chance(2)
	var able []*rpdb.Selector
	for i := range rules {
		if rules[i].Family == f && k.Of(&rules[i].Selector) {
			able = append(able, &rules[i].Selector)
		}
	}
	if len(able) == 0 {
		return g.Flow(f), k, hold
	}
	s := pick(g, able)
	flow = g.towards(f, s, k, hold)
	for other := range Kinds {
		if other.Of(s) {
			g.aim(&flow, s, other, other != k || hold)
		}
	}
	return flow, k, hold
}

// towards makes a flow of the direction that the selectors ask for, any if they
// do not.
func (g *Generator) towards(f rpdb.Family, s *rpdb.Selector, k Kind, hold bool) rpdb.Flow {
	input := g.chance(2)
	switch {
	case s.IIF == "lo" && (k != IIF || hold), s.OIF != "" && (k != OIF || hold):
		input = false
	case s.IIF != "" && s.IIF != "lo" && (k != IIF || hold):
		input = true
	}
	flow := g.Flow(f)
	for flow.IsInput() != input {
		flow = g.Flow(f)
	}
	return flow
}

// aim makes one selector hold for a flow, or not.
func (g *Generator) aim(f *rpdb.Flow, s *rpdb.Selector, k Kind, hold bool) {
	switch k {
	case From:
		f.Src = g.source(f, s.From, hold)
	case To:
		f.Dst = g.border(s.To, hold)
	case IIF, OIF:
		g.aimLink(f, s, k, hold)
	case Mark:
		f.Mark = uint32(g.bits(uint64(s.Mark.Value), uint64(s.Mark.Mask), 32, hold))
	case TOS:
		mask := uint64(0x1c)
		if f.Family() == rpdb.IPv6 {
			mask = 0xfc
		}
		f.TOS = uint8(g.bits(uint64(s.TOS), mask, 8, hold))
	case DSCP:
		d, _ := s.DSCP.Get()
		f.TOS = uint8(g.bits(uint64(d.Value)<<2, uint64(d.Mask)<<2, 8, hold))
	case FlowLabel:
		f.FlowLabel = uint32(g.bits(uint64(s.FlowLabel.Value), uint64(s.FlowLabel.Mask), 20, hold))
	case UIDRange:
		if r, ok := s.UIDRange.Get(); ok && !f.IsInput() {
			f.UID = uint32(g.within(uint64(r.First), uint64(r.Last), 1<<32-2, hold))
		}
	case IPProto:
		f.IPProto = g.proto(f.Family(), s.IPProto, hold)
	case SPort:
		f.SPort = g.portOf(f, s.SPort, hold)
	case DPort:
		f.DPort = g.portOf(f, s.DPort, hold)
	}
	if f.IPProto == rpdb.ICMP || f.IPProto == rpdb.ICMPv6 {
		f.SPort, f.DPort = 0, 0
	}
}

func (g *Generator) aimLink(f *rpdb.Flow, s *rpdb.Selector, k Kind, hold bool) {
	links := []rpdb.LinkName{"e0", "e1", "e2"}
	other := func(than rpdb.LinkName) rpdb.LinkName {
		return pick(g, slices.DeleteFunc(links, func(n rpdb.LinkName) bool { return n == than }))
	}
	switch {
	case k == IIF && f.IsInput() && hold && s.IIF != "lo" && s.IIF != "gone0":
		f.IIF = s.IIF
	case k == IIF && f.IsInput() && !hold:
		f.IIF = other(s.IIF)
	case k == OIF && !f.IsInput() && hold && s.OIF != "gone0":
		f.OIF = s.OIF
	case k == OIF && !f.IsInput() && !hold:
		f.OIF = pick(g, []rpdb.LinkName{"", other(s.OIF)})
	}
}

// source returns a source at the border of a prefix, within or outside. What
// IPv4 sends itself carries an address of this host, or no rule is asked.
func (g *Generator) source(f *rpdb.Flow, p netip.Prefix, hold bool) netip.Addr {
	if f.Dst.Is6() || f.IsInput() {
		return g.border(p, hold)
	}
	var own []netip.Addr
	for _, h := range g.hosts[rpdb.IPv4] {
		if p.Contains(h.Addr()) == hold {
			own = append(own, h.Addr())
		}
	}
	if len(own) == 0 {
		return g.border(p, hold)
	}
	return pick(g, own)
}

// border returns an address just within or just outside of a prefix.
func (g *Generator) border(p netip.Prefix, hold bool) netip.Addr {
	first, end := p.Masked().Addr(), last(p)
	list := []netip.Addr{first.Prev(), end.Next()}
	if hold {
		list = []netip.Addr{first, first.Next(), end, end.Prev(), p.Addr()}
	}
	list = slices.DeleteFunc(list, func(a netip.Addr) bool {
		return !a.IsValid() || a.IsUnspecified() || p.Contains(a) != hold
	})
	if len(list) == 0 {
		return p.Addr()
	}
	return pick(g, list)
}

// bits returns a number that agrees with value in the bits of mask, or in all
// of them but one; the other bits are anything.
func (g *Generator) bits(value, mask uint64, width int, hold bool) uint64 {
	n := value&mask | g.r.Uint64()&^mask
	for !hold {
		if b := uint64(1) << g.r.IntN(width); mask&b != 0 {
			n ^= b
			break
		}
	}
	return n & (1<<width - 1)
}

// within returns a number at an end of a range or inside, or just outside.
func (g *Generator) within(first, last, most uint64, hold bool) uint64 {
	if hold {
		return pick(g, []uint64{first, last, first + g.r.Uint64N(last-first+1)})
	}
	switch {
	case first > 0 && (last >= most || g.chance(2)):
		return first - 1
	case last < most:
		return last + 1
	}
	return first // everything is within
}

func (g *Generator) proto(f rpdb.Family, p rpdb.IPProto, hold bool) rpdb.IPProto {
	list := []rpdb.IPProto{rpdb.UDP, rpdb.TCP, icmp(f)}
	if hold && slices.Contains(list, p) {
		return p
	}
	return pick(g, slices.DeleteFunc(list, func(o rpdb.IPProto) bool { return o == p }))
}

// portOf returns a port that a selector takes or just does not take. Flows of
// ICMP have none.
func (g *Generator) portOf(f *rpdb.Flow, p rpdb.Ports, hold bool) uint16 {
	if f.IPProto == icmp(f.Family()) {
		f.IPProto = rpdb.UDP
	}
	if p.Mask != 0 {
		return uint16(max(1, g.bits(uint64(p.First), uint64(p.Mask), 16, hold)))
	}
	return uint16(max(1, g.within(uint64(p.First), uint64(p.Last), 65535, hold)))
}
