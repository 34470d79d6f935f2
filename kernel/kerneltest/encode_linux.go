package kerneltest

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// The requests of ip(8), written without package kernel: unlike a
// [rpdb.Change] they may leave out the priority of a rule, and delete by a
// part of a key.

// encodeRule writes a rule request with what was typed.
func encodeRule(c RuleCommand) *netlink.Encoder {
	r, s, a := c.Rule, c.Rule.Selector, c.Rule.Action
	typ, flags := uint16(unix.RTM_NEWRULE), netlink.Create|netlink.Excl
	if c.Delete {
		typ, flags = unix.RTM_DELRULE, 0
	}
	table := uint8(0)
	if a.Table() < 256 {
		table = uint8(a.Table())
	}
	head := []byte{byte(r.Family), bits(s.To), bits(s.From), s.TOS, table, 0, 0, byte(a.Type())}
	invert := uint32(0)
	if s.Not {
		invert = 2
	}
	e := netlink.NewEncoder(nil, typ, flags, binary.NativeEndian.AppendUint32(head, invert|uint32(r.Flags)))
	if s.To.IsValid() {
		e.Addr(1, s.To.Addr())
	}
	if s.From.IsValid() {
		e.Addr(2, s.From.Addr())
	}
	encodeNames(e, s)
	if c.Given.Goto || a.Target() != 0 {
		e.Uint32(4, uint32(a.Target()))
	}
	if c.Given.Priority {
		e.Uint32(6, uint32(r.Priority))
	}
	encodeRest(e, r)
	encodeMatches(e, s)
	return e
}

func encodeNames(e *netlink.Encoder, s rpdb.Selector) {
	if s.IIF != "" {
		e.String(3, string(s.IIF))
	}
	if s.OIF != "" {
		e.String(17, string(s.OIF))
	}
	if s.L3MDev {
		e.Uint8(19, 1)
	}
}

func encodeRest(e *netlink.Encoder, r rpdb.Rule) {
	if r.Realms != 0 {
		e.Uint32(11, uint32(r.Realms))
	}
	if v, ok := r.Suppress.IfGroup.Get(); ok {
		e.Uint32(13, v)
	}
	if v, ok := r.Suppress.PrefixLength.Get(); ok {
		e.Uint32(14, uint32(v))
	}
	if t := r.Action.Table(); t > 255 {
		e.Uint32(15, uint32(t))
	}
	if r.Protocol != 0 {
		e.Uint8(21, uint8(r.Protocol))
	}
}

func encodeMatches(e *netlink.Encoder, s rpdb.Selector) {
	if m := s.Mark; m != (rpdb.Mark{}) {
		e.Uint32(10, m.Value)
		e.Uint32(16, m.Mask)
	}
	if s.TunID != 0 {
		e.NetUint64(12, s.TunID)
	}
	if u, ok := s.UIDRange.Get(); ok {
		e.Uint32s(20, u.First, u.Last)
	}
	if s.IPProto != 0 {
		e.Uint8(22, uint8(s.IPProto))
	}
	if d, ok := s.DSCP.Get(); ok {
		e.Uint8(25, d.Value)
		if d.Mask != 0x3f {
			e.Uint8(30, d.Mask)
		}
	}
	if l := s.FlowLabel; l != (rpdb.FlowLabel{}) {
		e.NetUint32(26, l.Value)
		e.NetUint32(27, l.Mask)
	}
	for _, p := range []struct {
		ports      rpdb.Ports
		pair, mask uint16
	}{{ports: s.SPort, pair: 23, mask: 28}, {ports: s.DPort, pair: 24, mask: 29}} {
		if p.ports == (rpdb.Ports{}) {
			continue
		}
		e.Uint16s(p.pair, p.ports.First, p.ports.Last)
		if p.ports.Mask != 0 && p.ports.Mask != 0xffff {
			e.Uint16(p.mask, p.ports.Mask)
		}
	}
}

// encodeRoute writes a route request with what was typed.
func encodeRoute(c RouteCommand) *netlink.Encoder {
	r := c.Route
	typ, flags := uint16(unix.RTM_NEWROUTE), netlink.Flags(0)
	switch c.Verb {
	case RouteAdd:
		flags = netlink.Create | netlink.Excl
	case RouteReplace:
		flags = netlink.Create | netlink.Replace
	case RouteChange:
		flags = netlink.Replace
	case RouteAppend:
		flags = netlink.Create | netlink.Append
	case RoutePrepend:
		flags = netlink.Create
	case RouteDelete:
		typ = unix.RTM_DELROUTE
	}
	table := uint8(0)
	if r.Table < 256 {
		table = uint8(r.Table)
	}
	head := []byte{byte(r.Family), bits(r.Dst), bits(r.Src), r.TOS, table, byte(r.Protocol), byte(r.Scope), byte(r.Type)}
	hopFlags := uint32(0)
	if len(r.Nexthops) == 1 {
		hopFlags = uint32(r.Nexthops[0].Flags)
	}
	e := netlink.NewEncoder(nil, typ, flags, binary.NativeEndian.AppendUint32(head, hopFlags))
	if bits(r.Dst) > 0 {
		e.Addr(unix.RTA_DST, r.Dst.Addr())
	}
	if bits(r.Src) > 0 {
		e.Addr(unix.RTA_SRC, r.Src.Addr())
	}
	if r.PrefSrc.IsValid() {
		e.Addr(unix.RTA_PREFSRC, r.PrefSrc)
	}
	for _, a := range []struct {
		typ uint16
		v   uint32
	}{{unix.RTA_PRIORITY, r.Metric}, {unix.RTA_FLOW, uint32(r.Realms)}, {30, r.NexthopID}, {unix.RTA_EXPIRES, r.Expires}} {
		if a.v != 0 {
			e.Uint32(a.typ, a.v)
		}
	}
	if r.Table > 255 {
		e.Uint32(unix.RTA_TABLE, uint32(r.Table))
	}
	if r.Pref != 0 {
		e.Uint8(unix.RTA_PREF, uint8(r.Pref))
	}
	encodeHops(e, r)
	return e
}

func encodeHops(e *netlink.Encoder, r rpdb.Route) {
	via := func(n rpdb.Nexthop) {
		switch f := rpdb.FamilyOf(n.Via); f {
		case 0:
		case r.Family:
			e.Addr(unix.RTA_GATEWAY, n.Via)
		default:
			e.Bytes(unix.RTA_VIA, append(binary.NativeEndian.AppendUint16(nil, uint16(f)), n.Via.AsSlice()...))
		}
	}
	if len(r.Nexthops) == 1 {
		if n := r.Nexthops[0]; n.Link != 0 {
			e.Uint32(unix.RTA_OIF, uint32(n.Link))
		}
		via(r.Nexthops[0])
	}
	if len(r.Nexthops) < 2 {
		return
	}
	e.Nest(unix.RTA_MULTIPATH, func() {
		for _, n := range r.Nexthops {
			head := []byte{0, 0, byte(n.Flags), byte(max(n.Weight, 1) - 1)}
			e.Record(binary.NativeEndian.AppendUint32(head, uint32(n.Link)), func() { via(n) })
		}
	})
}

func bits(p netip.Prefix) byte { return byte(max(p.Bits(), 0)) }
