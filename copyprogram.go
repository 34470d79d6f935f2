package rpdb

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// The lightweight tunnel of a nexthop that runs a program on packets as they leave
// (LWTUNNEL_ENCAP_BPF, LWT_BPF_OUT, LWT_BPF_PROG_NAME), and how the program of a
// copy is called. The kernel lists no more of a program than its name, so that
// the name says which one it is.
const (
	encapBPF    = 6
	lwtOut      = 2
	programName = 2

	copyProgram = "rpdb-nat-"
)

// The bits of a packet's priority that are a copy's, and the first copy's value of
// them. As the handle of a traffic class, whose upper half has no common use from
// there on, it would be 6000:0.
const (
	copyPriorityMask  uint32 = 0xfff00000
	copyPriorityShift        = 20
	firstCopyPriority uint32 = 0x600
)

// CopyPriority returns what the program of a copy ([CopyProgram]) writes into the
// priority of packets, and the bits that it writes: the rest stays, so that a
// class of traffic that somebody has chosen before, up to f:ffff, is not lost. It
// is false for tables that cannot be a copy.
func CopyPriority(t TableID) (value, mask uint32, ok bool) {
	if _, ok := RealmOfCopy(t); !ok {
		return 0, 0, false
	}
	return (firstCopyPriority + uint32(t-firstCopy)) << copyPriorityShift, copyPriorityMask, true
}

// CopyOfPriority returns the copy whose program has written a priority, and whether
// there is one.
func CopyOfPriority(priority uint32) (TableID, bool) {
	t := firstCopy + TableID(priority>>copyPriorityShift) - TableID(firstCopyPriority)
	_, ok := RealmOfCopy(t)
	return t, ok
}

// CopyProgram returns the name of the program that the IPv6 routes of a copy
// carry, and false for tables that cannot be one.
//
// IPv6 has no realms. In their place each nexthop of a copy has a lightweight
// tunnel whose program leaves a packet as it is, but for the priority that the
// kernel keeps beside it: there it writes [CopyPriority]. Whoever loads the program
// must see to it that this is what it does.
func CopyProgram(t TableID) (name string, ok bool) {
	_, ok = RealmOfCopy(t)
	return copyProgram + strconv.FormatUint(uint64(t), 10), ok
}

// WithCopyProgram returns the nexthop with the program of a copy in the place of
// the tunnel that it has. For a table that cannot be a copy it is the nexthop
// itself.
func (n Nexthop) WithCopyProgram(t TableID) Nexthop {
	if name, ok := CopyProgram(t); ok {
		n.EncapType, n.Encap = encapBPF, programAttributes(name)
	}
	return n
}

// CopyTable returns the copy whose program a nexthop carries, and whether it
// carries one.
func (n Nexthop) CopyTable() (TableID, bool) {
	const head = 8 // of the two attributes around the name
	if n.EncapType != encapBPF || len(n.Encap) < head {
		return 0, false
	}
	digits, ok := strings.CutPrefix(strings.TrimRight(string(n.Encap[head:]), "\x00"), copyProgram)
	number, err := strconv.ParseUint(digits, 10, 32)
	name, isCopy := CopyProgram(TableID(number))
	return TableID(number), ok && err == nil && isCopy && n.Encap == programAttributes(name)
}

// programAttributes are those of a tunnel with a program, as the kernel lists them.
func programAttributes(name string) Raw {
	inner := len(name) + 1
	padded := (inner + 3) &^ 3
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+4+padded))
	b = binary.NativeEndian.AppendUint16(b, lwtOut)
	b = binary.NativeEndian.AppendUint16(b, uint16(4+inner))
	b = binary.NativeEndian.AppendUint16(b, programName)
	b = append(b, name...)
	return Raw(append(b, make([]byte, padded-len(name))...))
}
