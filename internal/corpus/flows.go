package corpus

import (
	"net/netip"

	"rpdb"
)

// Flow makes a flow of a family for a world: addresses at the edges of
// prefixes, marks, users, ports and DS fields at the edges of selectors. A
// third of the flows come in by an interface.
func (g *Generator) Flow(f rpdb.Family) rpdb.Flow {
	flow := rpdb.Flow{
		Dst:     g.edge(pick(g, g.sources[f])),
		IPProto: pick(g, []rpdb.IPProto{rpdb.UDP, rpdb.UDP, rpdb.TCP, icmp(f)}),
		UID:     pick(g, []uint32{0, 0, 1, 2, 999, 1000, 1001, 4294967294}),
		Mark:    pick(g, []uint32{0, 0, 1, 2, 3, 0x101, 0xffffffff}),
		TOS:     pick(g, []uint8{0, 0, 0x04, 0x08, 0x10, 0x13, 0x1c, 0x90, 0xb8, 0xff}),
	}
	if flow.IPProto != icmp(f) {
		flow.SPort, flow.DPort = g.port(), g.port()
	}
	if f == rpdb.IPv6 && g.chance(3) {
		flow.FlowLabel = pick(g, []uint32{5, 0x15, 0xfffff, 4})
	}
	if g.chance(40) {
		flow.Dst = g.odd(f)
	}
	links := []rpdb.LinkName{"e0", "e1", "e2"}
	if g.chance(3) {
		flow.IIF, flow.UID = pick(g, links), 0
		flow.Src = g.edge(pick(g, g.sources[f]))
		return flow
	}
	if g.chance(2) {
		flow.Src = g.ownAddress(f)
	}
	if g.chance(3) {
		flow.OIF = pick(g, append(links, "lo"))
	}
	if g.chance(40) {
		flow.Src = g.edge(pick(g, g.sources[f]))
	}
	return flow
}

func icmp(f rpdb.Family) rpdb.IPProto {
	if f == rpdb.IPv6 {
		return rpdb.ICMPv6
	}
	return rpdb.ICMP
}

func (g *Generator) port() uint16 {
	return pick(g, []uint16{1, 52, 53, 54, 999, 1000, 1001, 0x0fff, 0x1000, 0x1fff, 0x2000, 65534, 65535})
}

func (g *Generator) ownAddress(f rpdb.Family) netip.Addr { return pick(g, g.hosts[f]).Addr() }

// edge returns an address at or next to a border of a prefix, or inside.
func (g *Generator) edge(p netip.Prefix) netip.Addr {
	first, end := p.Masked().Addr(), last(p)
	a := first
	switch g.r.IntN(6) {
	case 0:
		a = end
	case 1:
		a = first.Prev()
	case 2:
		a = end.Next()
	case 3:
		a = p.Addr()
	case 4:
		a = first.Next()
	case 5:
		a = p.Addr().Next()
	}
	if !a.IsValid() || a.IsUnspecified() {
		return p.Addr().Next()
	}
	return a
}

// odd returns an address that the kernel treats in a way of its own.
func (g *Generator) odd(f rpdb.Family) netip.Addr {
	if f == rpdb.IPv6 {
		return pick(g, addrs("::1", "fe80::1", "ff02::1", "ff05::1", "::", "fc00::1", "2002::1"))
	}
	return pick(g, addrs("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "224.0.0.1", "224.0.1.1", "239.255.255.255",
		"240.0.0.1", "255.255.255.255", "169.254.0.1"))
}

func addrs(texts ...string) (list []netip.Addr) {
	for _, t := range texts {
		list = append(list, netip.MustParseAddr(t))
	}
	return list
}
