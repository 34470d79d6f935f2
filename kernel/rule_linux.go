package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Attributes of a rule (FRA_*, include/uapi/linux/fib_rules.h). Numbers 5, 7,
// 8 and 9 are unused; x/sys stops at 24.
const (
	fraDst         = 1
	fraSrc         = 2
	fraIIFName     = 3
	fraGoto        = 4
	fraPriority    = 6
	fraFwmark      = 10
	fraFlow        = 11
	fraTunID       = 12
	fraSuppressGrp = 13
	fraSuppressLen = 14
	fraTable       = 15
	fraFwmask      = 16
	fraOIFName     = 17
	fraPad         = 18
	fraL3MDev      = 19
	fraUIDRange    = 20
	fraProtocol    = 21
	fraIPProto     = 22
	fraSPortRange  = 23
	fraDPortRange  = 24
	fraDSCP        = 25
	fraFlowLabel   = 26
	fraFlowMask    = 27
	fraSPortMask   = 28
	fraDPortMask   = 29
	fraDSCPMask    = 30
)

const (
	sizeofRuleHdr = 12
	ruleInvert    = 0x2 // FIB_RULE_INVERT
	unset         = 1<<32 - 1

	fullDSCPMask = 0x3f
	fullPortMask = 0xffff

	tableCompat = 252 // RT_TABLE_COMPAT: the table is in its attribute
)

// decodeRule reads a struct fib_rule_hdr with its attributes. Addresses keep
// their host bits, which the kernel stores and compares.
func decodeRule(b []byte) (rpdb.Rule, error) {
	var d RuleDecoder
	r, err := d.Decode(b)
	if err != nil {
		return rpdb.Rule{}, err
	}
	return *r, nil
}

// ruleParts is a rule while it is read, and what only together makes fields of
// it. It can be used for one rule after the other, and then allocates only for
// the name of an interface that the rule before did not have.
type ruleParts struct {
	rule     rpdb.Rule
	table    rpdb.TableID
	target   rpdb.Priority
	dst, src netip.Addr
	dscp     rpdb.DSCP
	hasDSCP  bool
	unknown  []byte
	iif, oif rpdb.LinkName // the last that were seen
}

// decode reads the message into the rule, which holds nothing of use if there
// is an error.
func (p *ruleParts) decode(b []byte) error {
	if len(b) < sizeofRuleHdr {
		return fmt.Errorf("%d bytes", len(b))
	}
	bits := rpdb.Family(b[0]).Bits()
	if bits == 0 || int(b[1]) > bits || int(b[2]) > bits {
		return fmt.Errorf("family %d, prefix lengths %d and %d", b[0], b[1], b[2])
	}
	flags := uint32At(b, 8)
	*p = ruleParts{table: rpdb.TableID(b[4]), dscp: rpdb.DSCP{Mask: fullDSCPMask}, unknown: p.unknown[:0], iif: p.iif, oif: p.oif}
	p.rule.Family = rpdb.Family(b[0])
	p.rule.Selector.TOS = b[3]
	p.rule.Selector.Not = flags&ruleInvert != 0
	p.rule.Flags = rpdb.RuleFlags(flags &^ ruleInvert)

	d := netlink.NewDecoder(b[sizeofRuleHdr:])
	for d.Next() {
		if !p.action(&d) && !p.selector(&d) && !p.mask(&d) {
			p.unknown = d.Raw(p.unknown)
		}
	}
	if err := d.Err(); err != nil {
		return err
	}
	return p.finish(b[1], b[2], rpdb.ActionType(b[7]))
}

// named returns the name of an interface as the last one if it is the same.
func named(last *rpdb.LinkName, text []byte) rpdb.LinkName {
	if string(*last) != string(text) {
		*last = rpdb.LinkName(text)
	}
	return *last
}

// action reads the attributes of the action and reports whether d is one.
func (p *ruleParts) action(d *netlink.Decoder) bool {
	r := &p.rule
	switch d.Type() {
	case fraPriority:
		r.Priority = rpdb.Priority(d.Uint32())
	case fraTable:
		p.table = rpdb.TableID(d.Uint32())
	case fraGoto:
		p.target = rpdb.Priority(d.Uint32())
	case fraFlow:
		r.Realms = rpdb.Realms(d.Uint32())
	case fraSuppressGrp:
		if v := d.Uint32(); v != unset {
			r.Suppress.IfGroup = rpdb.Some(v)
		}
	case fraSuppressLen:
		if v := d.Uint32(); v != unset {
			r.Suppress.PrefixLength = rpdb.Some(int32(v))
		}
	case fraProtocol:
		r.Protocol = rpdb.Protocol(d.Uint8())
	case fraPad:
	default:
		return false
	}
	return true
}

// selector reads the attributes of the selector that stand alone.
func (p *ruleParts) selector(d *netlink.Decoder) bool {
	s := &p.rule.Selector
	bits := p.rule.Family.Bits()
	switch d.Type() {
	case fraDst:
		p.dst = d.AddrOf(bits)
	case fraSrc:
		p.src = d.AddrOf(bits)
	case fraIIFName:
		s.IIF = named(&p.iif, d.Text())
	case fraOIFName:
		s.OIF = named(&p.oif, d.Text())
	case fraTunID:
		s.TunID = d.NetUint64()
	case fraL3MDev:
		s.L3MDev = d.Uint8() != 0
	case fraUIDRange:
		first, last := d.Uint32Pair()
		s.UIDRange = rpdb.Some(rpdb.UIDRange{First: first, Last: last})
	case fraIPProto:
		s.IPProto = rpdb.IPProto(d.Uint8())
	default:
		return false
	}
	return true
}

// mask reads the attributes of the selector that are values with masks.
func (p *ruleParts) mask(d *netlink.Decoder) bool {
	s := &p.rule.Selector
	switch d.Type() {
	case fraFwmark:
		s.Mark.Value = d.Uint32()
	case fraFwmask:
		s.Mark.Mask = d.Uint32()
	case fraSPortRange:
		s.SPort.First, s.SPort.Last = d.Uint16Pair()
	case fraDPortRange:
		s.DPort.First, s.DPort.Last = d.Uint16Pair()
	case fraSPortMask:
		s.SPort.Mask = d.Uint16()
	case fraDPortMask:
		s.DPort.Mask = d.Uint16()
	case fraDSCP:
		p.dscp.Value, p.hasDSCP = d.Uint8(), true
	case fraDSCPMask:
		p.dscp.Mask, p.hasDSCP = d.Uint8(), true
	case fraFlowLabel:
		s.FlowLabel.Value = d.NetUint32()
	case fraFlowMask:
		s.FlowLabel.Mask = d.NetUint32()
	default:
		return false
	}
	return true
}

// finish joins the parts.
func (p *ruleParts) finish(dstLen, srcLen byte, action rpdb.ActionType) error {
	s := &p.rule.Selector
	if dstLen > 0 && !p.dst.IsValid() || srcLen > 0 && !p.src.IsValid() {
		return fmt.Errorf("prefix length without an address")
	}
	if dstLen > 0 {
		s.To = netip.PrefixFrom(p.dst, int(dstLen))
	}
	if srcLen > 0 {
		s.From = netip.PrefixFrom(p.src, int(srcLen))
	}
	if p.hasDSCP {
		s.DSCP = rpdb.Some(p.dscp)
	}
	p.rule.Action = rpdb.RawAction(action, p.table, p.target)
	p.rule.Unknown = rpdb.Raw(p.unknown)
	return nil
}

// encodeRule writes a request about a rule with every attribute that the rule
// has.
func encodeRule(typ uint16, flags netlink.Flags, r rpdb.Rule) *netlink.Encoder {
	e := new(netlink.Encoder)
	encodeRuleIn(e, typ, flags, &r)
	return e
}

// encodeRuleIn is encodeRule in an encoder that may have been used before. A rule
// is long: of many none is copied.
func encodeRuleIn(e *netlink.Encoder, typ uint16, flags netlink.Flags, r *rpdb.Rule) {
	s, a := &r.Selector, r.Action
	bits := uint32(r.Flags &^ (rpdb.RuleUnresolved | rpdb.RuleIIFDetached | rpdb.RuleOIFDetached))
	if s.Not {
		bits |= ruleInvert
	}
	head := [sizeofRuleHdr]byte{
		byte(r.Family), prefixBits(s.To), prefixBits(s.From), s.TOS,
		shortTable(a.Table()), 0, 0, byte(a.Type()),
	}
	binary.NativeEndian.PutUint32(head[8:], bits)
	e.Reset(typ, flags, head[:])
	e.Uint32(fraPriority, uint32(r.Priority))
	if t := a.Table(); t != 0 {
		e.Uint32(fraTable, uint32(t))
	}
	if a.Type() == rpdb.ActionGoto || a.Target() != 0 {
		e.Uint32(fraGoto, uint32(a.Target()))
	}
	if r.Protocol != 0 {
		e.Uint8(fraProtocol, uint8(r.Protocol))
	}
	if r.Realms != 0 {
		e.Uint32(fraFlow, uint32(r.Realms))
	}
	if v, ok := r.Suppress.PrefixLength.Get(); ok {
		e.Uint32(fraSuppressLen, uint32(v))
	}
	if v, ok := r.Suppress.IfGroup.Get(); ok {
		e.Uint32(fraSuppressGrp, v)
	}
	encodeSelector(e, s)
	encodeMasks(e, s)
	if r.Unknown != "" {
		e.Raw([]byte(r.Unknown))
	}
}

func encodeSelector(e *netlink.Encoder, s *rpdb.Selector) {
	if prefixBits(s.To) > 0 {
		e.Addr(fraDst, s.To.Addr())
	}
	if prefixBits(s.From) > 0 {
		e.Addr(fraSrc, s.From.Addr())
	}
	if s.IIF != "" {
		e.String(fraIIFName, string(s.IIF))
	}
	if s.OIF != "" {
		e.String(fraOIFName, string(s.OIF))
	}
	if s.TunID != 0 {
		e.NetUint64(fraTunID, s.TunID)
	}
	if s.L3MDev {
		e.Uint8(fraL3MDev, 1)
	}
	if u, ok := s.UIDRange.Get(); ok {
		e.Uint32s(fraUIDRange, u.First, u.Last)
	}
	if s.IPProto != 0 {
		e.Uint8(fraIPProto, uint8(s.IPProto))
	}
}

// encodeMasks writes values with masks. Full masks of ports are what the kernel
// adds itself, so they are left out. That of DSCP is given: without it the
// kernel takes a rule with any mask for the same, and deletes it. A kernel that
// does not know the attribute ignores it, and has full masks only.
func encodeMasks(e *netlink.Encoder, s *rpdb.Selector) {
	if s.Mark != (rpdb.Mark{}) {
		e.Uint32(fraFwmark, s.Mark.Value)
		e.Uint32(fraFwmask, s.Mark.Mask)
	}
	if d, ok := s.DSCP.Get(); ok {
		e.Uint8(fraDSCP, d.Value)
		e.Uint8(fraDSCPMask, d.Mask)
	}
	if l := s.FlowLabel; l != (rpdb.FlowLabel{}) {
		e.NetUint32(fraFlowLabel, l.Value)
		e.NetUint32(fraFlowMask, l.Mask)
	}
	encodePorts(e, s.SPort, fraSPortRange, fraSPortMask)
	encodePorts(e, s.DPort, fraDPortRange, fraDPortMask)
}

func encodePorts(e *netlink.Encoder, p rpdb.Ports, ports, mask uint16) {
	if p == (rpdb.Ports{}) {
		return
	}
	e.Uint16s(ports, p.First, p.Last)
	if p.Mask != 0 && (p.Mask != fullPortMask || p.First != p.Last) {
		e.Uint16(mask, p.Mask)
	}
}

// prefixBits returns the length of a prefix, 0 for none.
func prefixBits(p netip.Prefix) byte {
	if !p.IsValid() {
		return 0
	}
	return byte(p.Bits())
}

// shortTable returns what the 8-bit field of a header says of a table.
func shortTable(t rpdb.TableID) byte {
	if t > 255 {
		return tableCompat
	}
	return byte(t)
}
