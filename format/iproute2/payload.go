package iproute2

import (
	"encoding/binary"

	"rpdb"
)

// Attributes of a rule (FRA_*, include/uapi/linux/fib_rules.h).
const (
	fraDst         = 1
	fraSrc         = 2
	fraIIFName     = 3
	fraGoto        = 4
	fraGateway     = 5 // RTA_GATEWAY: rules have no attribute of this number
	fraPriority    = 6
	fraFwmark      = 10
	fraFlow        = 11
	fraTunID       = 12
	fraSuppressGrp = 13
	fraSuppressLen = 14
	fraTable       = 15
	fraFwmask      = 16
	fraOIFName     = 17
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

	ruleInvert = 2 // FIB_RULE_INVERT
)

// Payload returns the request as ip sends it, behind the message header: a
// struct fib_rule_hdr and the attributes, in the byte order of this machine.
// The message is of type RTM_NEWRULE or RTM_DELRULE.
func (q RuleRequest) Payload() []byte {
	from, _ := q.From.Get()
	to, _ := q.To.Get()
	w := wire{byte(q.Family), to.Bits, from.Bits, q.TOS, q.Table, 0, 0, byte(q.Action)}
	flags := uint32(0)
	if q.Not {
		flags = ruleInvert
	}
	w = binary.NativeEndian.AppendUint32(w, flags)
	w.address(fraSrc, q.From)
	w.address(fraDst, q.To)
	wireUint32(&w, fraPriority, q.Priority)
	wireUint32(&w, fraFwmark, q.Mark)
	wireUint32(&w, fraFwmask, q.MarkMask)
	wireUint32(&w, fraFlow, q.Realms)
	wireUint8(&w, fraProtocol, q.Protocol)
	if id, ok := q.TunID.Get(); ok {
		w.attribute(fraTunID, binary.BigEndian.AppendUint64(nil, id))
	}
	wireUint32(&w, fraTable, q.LongTable)
	wireUint32(&w, fraSuppressLen, q.SuppressLen)
	wireUint32(&w, fraSuppressGrp, q.SuppressGroup)
	w.name(fraIIFName, q.IIF)
	w.name(fraOIFName, q.OIF)
	q.selectors(&w)
	wireUint32(&w, fraGoto, q.Goto)
	if a, ok := q.Gateway.Get(); ok {
		w.attribute(fraGateway, a.AsSlice())
	}
	return w
}

// selectors writes the younger ones.
func (q RuleRequest) selectors(w *wire) {
	if q.L3MDev {
		w.attribute(fraL3MDev, []byte{1})
	}
	if u, ok := q.UIDRange.Get(); ok {
		w.attribute(fraUIDRange, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, u.First), u.Last))
	}
	wireUint8(w, fraIPProto, q.IPProto)
	w.ports(fraSPortRange, q.SPort)
	w.ports(fraDPortRange, q.DPort)
	wireUint16(w, fraSPortMask, q.SPortMask)
	wireUint16(w, fraDPortMask, q.DPortMask)
	wireUint8(w, fraDSCP, q.DSCP)
	wireUint8(w, fraDSCPMask, q.DSCPMask)
	if l, ok := q.FlowLabel.Get(); ok {
		w.attribute(fraFlowLabel, binary.BigEndian.AppendUint32(nil, l.Value))
		w.attribute(fraFlowMask, binary.BigEndian.AppendUint32(nil, l.Mask))
	}
}

// wire is a payload under construction.
type wire []byte

// attribute appends one attribute and pads it to four bytes.
func (w *wire) attribute(typ uint16, value []byte) {
	b := binary.NativeEndian.AppendUint16(*w, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	*w = b
}

func wireUint8[T ~uint8](w *wire, typ uint16, v rpdb.Opt[T]) {
	if v, ok := v.Get(); ok {
		w.attribute(typ, []byte{byte(v)})
	}
}

func wireUint16[T ~uint16](w *wire, typ uint16, v rpdb.Opt[T]) {
	if v, ok := v.Get(); ok {
		w.attribute(typ, binary.NativeEndian.AppendUint16(nil, uint16(v)))
	}
}

func wireUint32[T ~uint32](w *wire, typ uint16, v rpdb.Opt[T]) {
	if v, ok := v.Get(); ok {
		w.attribute(typ, binary.NativeEndian.AppendUint32(nil, uint32(v)))
	}
}

func (w *wire) address(typ uint16, a rpdb.Opt[RuleAddress]) {
	if a, ok := a.Get(); ok {
		w.attribute(typ, a.Addr.AsSlice())
	}
}

func (w *wire) name(typ uint16, name rpdb.Opt[rpdb.LinkName]) {
	if name, ok := name.Get(); ok {
		w.attribute(typ, append([]byte(name), 0))
	}
}

func (w *wire) ports(typ uint16, ports rpdb.Opt[RulePorts]) {
	if p, ok := ports.Get(); ok {
		w.attribute(typ, binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, p.First), p.Last))
	}
}

// RuleDump returns the payload of the dump request of a family: a header with
// nothing else in it. The message is of type RTM_GETRULE.
func RuleDump(f rpdb.Family) []byte { return append([]byte{byte(f)}, make([]byte, 11)...) }
