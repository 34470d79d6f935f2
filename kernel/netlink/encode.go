package netlink

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Nested marks the type of an attribute that holds attributes (NLA_F_NESTED);
// newer parts of the kernel ask for it.
const Nested = 0x8000

// Encoder writes one message by appending to a buffer. The first value that
// cannot be written makes an error that [Encoder.Message] returns; the calls
// after it do nothing. The zero Encoder is not ready: see [NewEncoder]. It is
// not safe for concurrent use.
type Encoder struct {
	b   []byte
	err error
}

// emptyHeader is a header that nothing is written into yet.
const emptyHeader = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// NewEncoder returns an encoder of a message of the given type and flags whose
// payload begins with the fixed part of the type, such as a struct rtmsg. It
// appends to buf[:0] if buf is not nil.
func NewEncoder(buf []byte, typ uint16, flags Flags, fixed []byte) *Encoder {
	e := &Encoder{b: buf}
	e.Reset(typ, flags, fixed)
	return e
}

// Reset makes the encoder one of another message, as [NewEncoder] does, in the
// memory of the last one. The zero Encoder is ready after it.
func (e *Encoder) Reset(typ uint16, flags Flags, fixed []byte) {
	e.b, e.err = append(e.b[:0], emptyHeader...), nil
	binary.NativeEndian.PutUint16(e.b[4:], typ)
	binary.NativeEndian.PutUint16(e.b[6:], uint16(flags))
	e.b = append(e.b, fixed...)
	e.pad()
}

// Message returns the finished message. It belongs to the encoder until the
// encoder is no longer used.
func (e *Encoder) Message() ([]byte, error) {
	if e.err != nil {
		return nil, e.err
	}
	binary.NativeEndian.PutUint32(e.b, uint32(len(e.b)))
	return e.b, nil
}

// Payload returns what follows the header of the message so far.
func (e *Encoder) Payload() []byte { return e.b[headerLen:] }

// Bytes writes an attribute that holds b.
func (e *Encoder) Bytes(typ uint16, b []byte) {
	start := e.begin(typ)
	e.b = append(e.b, b...)
	e.end(start)
}

// String writes an attribute that holds s and the NUL byte that ends it. It is
// an error if s has one itself: the kernel would read no further.
func (e *Encoder) String(typ uint16, s string) {
	if i := strings.IndexByte(s, 0); i >= 0 {
		e.fail(fmt.Errorf("encode attribute %d: %q has a NUL byte", typ, s))
		return
	}
	start := e.begin(typ)
	e.b = append(append(e.b, s...), 0)
	e.end(start)
}

// Uint8 writes an attribute of one byte.
func (e *Encoder) Uint8(typ uint16, v uint8) {
	start := e.begin(typ)
	e.b = append(e.b, v)
	e.end(start)
}

// Uint16 writes an attribute of two bytes in host order.
func (e *Encoder) Uint16(typ uint16, v uint16) {
	start := e.begin(typ)
	e.b = binary.NativeEndian.AppendUint16(e.b, v)
	e.end(start)
}

// Uint32 writes an attribute of four bytes in host order.
func (e *Encoder) Uint32(typ uint16, v uint32) {
	start := e.begin(typ)
	e.b = binary.NativeEndian.AppendUint32(e.b, v)
	e.end(start)
}

// Uint32s writes an attribute of several four-byte numbers in host order.
func (e *Encoder) Uint32s(typ uint16, vs ...uint32) {
	start := e.begin(typ)
	for _, v := range vs {
		e.b = binary.NativeEndian.AppendUint32(e.b, v)
	}
	e.end(start)
}

// Uint16s writes an attribute of several two-byte numbers in host order.
func (e *Encoder) Uint16s(typ uint16, vs ...uint16) {
	start := e.begin(typ)
	for _, v := range vs {
		e.b = binary.NativeEndian.AppendUint16(e.b, v)
	}
	e.end(start)
}

// NetUint16 writes an attribute of two bytes in network order.
func (e *Encoder) NetUint16(typ uint16, v uint16) {
	start := e.begin(typ)
	e.b = binary.BigEndian.AppendUint16(e.b, v)
	e.end(start)
}

// NetUint32 writes an attribute of four bytes in network order.
func (e *Encoder) NetUint32(typ uint16, v uint32) {
	start := e.begin(typ)
	e.b = binary.BigEndian.AppendUint32(e.b, v)
	e.end(start)
}

// NetUint64 writes an attribute of eight bytes in network order.
func (e *Encoder) NetUint64(typ uint16, v uint64) {
	start := e.begin(typ)
	e.b = binary.BigEndian.AppendUint64(e.b, v)
	e.end(start)
}

// Addr writes an attribute that holds an address, 4 or 16 bytes, without its
// zone. An invalid address is an error.
func (e *Encoder) Addr(typ uint16, a netip.Addr) {
	if !a.IsValid() {
		e.fail(fmt.Errorf("encode attribute %d: no address", typ))
		return
	}
	start := e.begin(typ)
	if a.Is4() {
		v := a.As4()
		e.b = append(e.b, v[:]...)
	} else {
		v := a.As16()
		e.b = append(e.b, v[:]...)
	}
	e.end(start)
}

// Nest writes an attribute that holds what f writes. The flag [Nested] is part
// of typ where the kernel wants it.
func (e *Encoder) Nest(typ uint16, f func()) {
	start := e.begin(typ)
	f()
	e.end(start)
}

// Record writes a structure without an attribute header whose first two bytes
// are its length, followed by what f writes: a struct rtnexthop. The length is
// filled in.
func (e *Encoder) Record(fixed []byte, f func()) {
	start := len(e.b)
	e.Fixed(fixed)
	f()
	e.setLength(start)
}

// Fixed writes bytes without an attribute header, and pads them.
func (e *Encoder) Fixed(b []byte) {
	e.b = append(e.b, b...)
	e.pad()
}

// Raw writes attributes that are encoded already, each with header and
// padding. It is an error if they are not well formed: their lengths are the
// one thing that the kernel does not check reliably.
func (e *Encoder) Raw(attrs []byte) {
	d := NewDecoder(attrs)
	for d.Next() {
	}
	if err := d.Err(); err != nil {
		e.fail(err)
		return
	}
	e.Fixed(attrs)
}

// begin appends an attribute header and returns where it stands.
func (e *Encoder) begin(typ uint16) int {
	start := len(e.b)
	e.b = append(e.b, 0, 0, 0, 0)
	binary.NativeEndian.PutUint16(e.b[start+2:], typ)
	return start
}

func (e *Encoder) end(start int) {
	e.setLength(start)
	e.pad()
}

func (e *Encoder) setLength(start int) {
	n := len(e.b) - start
	if n > 0xffff {
		e.fail(fmt.Errorf("encode attribute %d: %d bytes, at most 65535 fit",
			binary.NativeEndian.Uint16(e.b[start+2:])&^Nested, n))
		return
	}
	binary.NativeEndian.PutUint16(e.b[start:], uint16(n))
}

func (e *Encoder) pad() {
	for len(e.b)%4 != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *Encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}
