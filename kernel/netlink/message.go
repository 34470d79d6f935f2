package netlink

import (
	"encoding/binary"
	"fmt"
)

// Flags are the flag bits of a message header (NLM_F_*). Several numbers have
// two meanings, one for requests that read and one for requests that write.
type Flags uint16

// Flags of netlink(7).
const (
	Request         Flags = 0x1  // set on every message to the kernel
	Multi           Flags = 0x2  // part of an answer that ends with a done message
	Ack             Flags = 0x4  // asks for an acknowledgement
	Echo            Flags = 0x8  // asks for the notification that the change causes
	DumpInterrupted Flags = 0x10 // the dump is known to be inconsistent
	DumpFiltered    Flags = 0x20 // the kernel applied the filter of the dump request

	Dump    Flags = 0x300 // of a request that reads: all objects
	Replace Flags = 0x100 // of a request that writes: put in the place of an existing object
	Excl    Flags = 0x200 // refuse an object that exists
	Create  Flags = 0x400 // make an object that does not
	Append  Flags = 0x800 // put behind existing objects

	capped    Flags = 0x100 // of an acknowledgement: the request is not repeated in full
	extAttrs  Flags = 0x200 // of an acknowledgement: attributes of the extended report follow
	headerLen       = 16
)

// Types of control messages; those of NETLINK_ROUTE start at 16.
const (
	typeNoop    = 1
	typeError   = 2
	typeDone    = 3
	typeOverrun = 4
)

// Message is one netlink message. Data is what follows the header; it is a
// part of the buffer that the message was read from and is valid only as long
// as that. The zero Message is an empty one of type 0.
type Message struct {
	Type  uint16
	Flags Flags
	// Seq is the number of the request that this answers, or that caused it.
	Seq uint32
	// PID is the port id of the socket of that request, 0 for the kernel.
	PID  uint32
	Data []byte
}

// Messages iterates over the messages of one datagram. It allocates nothing.
// The zero value holds none.
//
//	ms := netlink.ParseMessages(b)
//	for ms.Next() {
//		use(ms.Message())
//	}
//	return ms.Err()
type Messages struct {
	rest []byte
	m    Message
	err  error
}

// ParseMessages returns an iterator over the messages in b, which must not
// change while it is used.
func ParseMessages(b []byte) Messages { return Messages{rest: b} }

// Next advances to the next message and reports whether there is one. It stops
// for good at the first malformed one.
func (ms *Messages) Next() bool {
	if ms.err != nil || len(ms.rest) == 0 {
		return false
	}
	if len(ms.rest) < headerLen {
		ms.err = fmt.Errorf("decode message: %d bytes left, header needs %d", len(ms.rest), headerLen)
		return false
	}
	length := uint64(binary.NativeEndian.Uint32(ms.rest))
	if length < headerLen || length > uint64(len(ms.rest)) {
		ms.err = fmt.Errorf("decode message: length %d of %d bytes", length, len(ms.rest))
		return false
	}
	ms.m = Message{
		Type:  binary.NativeEndian.Uint16(ms.rest[4:]),
		Flags: Flags(binary.NativeEndian.Uint16(ms.rest[6:])),
		Seq:   binary.NativeEndian.Uint32(ms.rest[8:]),
		PID:   binary.NativeEndian.Uint32(ms.rest[12:]),
		Data:  ms.rest[headerLen:length:length],
	}
	ms.rest = ms.rest[min(align(int(length)), len(ms.rest)):]
	return true
}

// Message returns the current message.
func (ms *Messages) Message() Message { return ms.m }

// Err returns what made Next stop, nil at the regular end.
func (ms *Messages) Err() error { return ms.err }

// align rounds up to the alignment of messages and attributes, 4 bytes.
func align(n int) int { return (n + 3) &^ 3 }
