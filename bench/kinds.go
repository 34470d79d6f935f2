package main

import (
	"math/rand/v2"
	"net/netip"

	"rpdb"
)

// The decision worlds: main with the full table stands at mainPriority, behind all
// rules that are tried, and what they select goes by a table with one default route.
const (
	mainPriority rpdb.Priority = 1 << 20
	otherTable   rpdb.TableID  = 100
)

// kind is a kind of rules, and flows of which every second fits one of them.
type kind struct {
	words  string
	family rpdb.Family
	rule   func(i int) rpdb.Rule
	bar    Bar
	// none says that no flow fits any rule, or all fit all.
	none bool
	note string
}

// make returns the i-th rule with its place.
func (k kind) make(i int) rpdb.Rule {
	r := k.rule(i)
	r.Family, r.Priority, r.Protocol = k.family, rpdb.Priority(1+i), rpdb.ProtocolBoot
	if r.Action == (rpdb.Action{}) {
		r.Action = rpdb.ToTable(otherTable)
	}
	if r.Priority >= rpdb.PriorityMain {
		r.Priority += 2 // the kernel's own two
	}
	return r
}

// shapes returns rules of a number of mask shapes: sources of several lengths, and from
// seven shapes on marks of several masks too.
func shapes(f rpdb.Family, n int) func(i int) rpdb.Rule {
	return func(i int) (r rpdb.Rule) {
		shape := i % n
		r.Selector.From = netip.PrefixFrom(source(f, uint32(i)<<6), f.Bits()-shape%6).Masked()
		if shape >= 6 {
			mask := ^uint32(0) >> (shape / 6)
			r.Selector.Mark = rpdb.Mark{Value: uint32(i) & mask, Mask: mask}
		}
		return r
	}
}

func kinds() []kind {
	quick, slow := Bar{kind: faster, limit: 100, aim: 200}, Bar{kind: faster, limit: 20}
	v4 := rpdb.IPv4
	return []kind{
		{words: "of 1 mask shape", family: v4, rule: shapes(v4, 1), bar: quick},
		{words: "of 4 mask shapes", family: v4, rule: shapes(v4, 4), bar: quick},
		{words: "of 4 mask shapes", family: rpdb.IPv6, rule: shapes(rpdb.IPv6, 4), bar: quick},
		{words: "of 16 mask shapes", family: v4, rule: shapes(v4, 16), bar: slow},
		{words: "of 32 mask shapes", family: v4, rule: shapes(v4, 32), bar: slow},
		{words: "with a range of ports", family: v4, rule: portRanges, bar: slow},
		{
			words: "with a range of users", family: v4, rule: userRanges, bar: slow, none: true,
			note: "The kernel counts what comes in to user 0, so no flow of the rules with ranges of users fits one.",
		},
		{words: "that are inverted, and all apply", family: v4, rule: inverted, bar: slow, none: true},
		{words: "with gotos, of which one applies", family: v4, rule: gotos, bar: slow},
		{words: "in a chain of gotos, which all apply", family: v4, rule: chain, bar: slow, none: true},
	}
}

func portRanges(i int) (r rpdb.Rule) {
	first := uint16(i * 6)
	r.Selector.IPProto, r.Selector.DPort = rpdb.TCP, rpdb.PortRange(first+1, first+5)
	return r
}

func userRanges(i int) (r rpdb.Rule) {
	r.Selector.UIDRange = rpdb.Some(rpdb.UIDRange{First: uint32(i*100 + 1), Last: uint32(i*100 + 98)})
	return r
}

// inverted rules are for all but a host that sends nothing.
func inverted(i int) (r rpdb.Rule) {
	r.Selector.Not, r.Selector.From = true, host(source(rpdb.IPv4, 1<<23|uint32(i)))
	r.Action = rpdb.Nop()
	return r
}

func gotos(i int) rpdb.Rule {
	r := shapes(rpdb.IPv4, 1)(i)
	r.Action = rpdb.Goto(mainPriority)
	return r
}

func chain(i int) (r rpdb.Rule) {
	r.Action = rpdb.Goto(mainPriority)
	if next := rpdb.Priority(2 + i); next < rpdb.PriorityMain {
		r.Action = rpdb.Goto(next)
	}
	return r
}

// flows returns flows that come in by d1 to destinations all over the full table. Every
// second is one that a rule is for, and these are spread over all n rules.
func (k kind) flows(number, n int, table []netip.Prefix) []rpdb.Flow {
	random := rand.New(rand.NewPCG(3, 4))
	flows := make([]rpdb.Flow, number)
	for i := range flows {
		at := uint32(i * n / number)
		f := &flows[i]
		f.Dst = within(random, table[random.IntN(len(table))])
		f.IIF, f.IPProto, f.SPort, f.DPort = "d1", rpdb.TCP, 40_000, uint16(at*6)+1
		f.Src, f.Mark = source(k.family, at<<6), at
		if i%2 == 1 {
			// Between two ranges, and a source that no rule has.
			f.DPort, f.Src = uint16(at*6), source(k.family, 3<<22|at)
		}
		if k.none {
			f.Mark = 0
		}
	}
	return flows
}

// within returns an address of a prefix.
func within(random *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As16()
	offset := 128 - p.Addr().BitLen()
	for bit := offset + p.Bits(); bit < 128; bit++ {
		b[bit/8] |= byte(random.IntN(2)) << (7 - bit%8)
	}
	if addr := netip.AddrFrom16(b); p.Addr().Is4() {
		return addr.Unmap()
	} else {
		return addr
	}
}
