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
// struct fib_rule_hdr and the attributes as they were typed, in the byte order
// of this machine. An attribute that was typed twice is there twice: the kernel
// counts the last, and checks all.
// The message is of type RTM_NEWRULE or RTM_DELRULE.
func (q RuleRequest) Payload() []byte {
	from, _ := q.From.Get()
	to, _ := q.To.Get()
	w := append(make(wire, 0, 12+len(q.sent)), byte(q.Family), to.Bits, from.Bits, q.TOS, q.Table, 0, 0, byte(q.Action))
	flags := uint32(0)
	if q.Not {
		flags = ruleInvert
	}
	w = binary.NativeEndian.AppendUint32(w, flags)
	return append(w, q.sent...)
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

func (w *wire) uint8(typ uint16, v uint8) { w.attribute(typ, []byte{v}) }

func (w *wire) uint16(typ uint16, v uint16) {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	w.attribute(typ, b[:])
}

func (w *wire) uint32(typ uint16, v uint32) {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], v)
	w.attribute(typ, b[:])
}

// text appends an attribute whose value is a text or the bytes in one.
func (w *wire) text(typ uint16, value rpdb.Raw) {
	b := binary.NativeEndian.AppendUint16(*w, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	*w = b
}

func (w *wire) name(typ uint16, name rpdb.LinkName) { w.attribute(typ, append([]byte(name), 0)) }

// RuleDump returns the payload of the dump request of a family: a header with
// nothing else in it. The message is of type RTM_GETRULE.
func RuleDump(f rpdb.Family) []byte { return append([]byte{byte(f)}, make([]byte, 11)...) }
