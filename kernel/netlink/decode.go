package netlink

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Decoder iterates over attributes. An attribute that does not fit its
// container, or a value of the wrong length, makes an error that sticks: Next
// is false from then on, and Err says why. It allocates nothing but that
// error, keeps a reference to the bytes it reads, and never changes them. The
// zero Decoder holds no attributes. It is not safe for concurrent use.
//
//	d := netlink.NewDecoder(b)
//	for d.Next() {
//		switch d.Type() {
//		case 6:
//			priority = d.Uint32()
//		}
//	}
//	return d.Err()
type Decoder struct {
	rest []byte
	attr []byte // the current attribute with its header, without padding
	err  error
}

const attrHeaderLen = 4

// NewDecoder returns a decoder of the attributes in b.
func NewDecoder(b []byte) Decoder { return Decoder{rest: b} }

// Next advances to the next attribute and reports whether there is one.
func (d *Decoder) Next() bool {
	d.attr = nil
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	if len(d.rest) < attrHeaderLen {
		d.err = fmt.Errorf("decode attributes: %d bytes left over", len(d.rest))
		return false
	}
	n := int(binary.NativeEndian.Uint16(d.rest))
	if n < attrHeaderLen || n > len(d.rest) {
		d.err = fmt.Errorf("decode attribute %d: length %d of %d bytes",
			binary.NativeEndian.Uint16(d.rest[2:])&0x3fff, n, len(d.rest))
		return false
	}
	d.attr = d.rest[:n:n]
	d.rest = d.rest[min(align(n), len(d.rest)):]
	return true
}

// Err returns the first error, nil if there was none.
func (d *Decoder) Err() error { return d.err }

// Type returns the type of the current attribute without its flag bits.
func (d *Decoder) Type() uint16 {
	if len(d.attr) < attrHeaderLen {
		return 0
	}
	return binary.NativeEndian.Uint16(d.attr[2:]) & 0x3fff
}

// Data returns the value of the current attribute.
func (d *Decoder) Data() []byte {
	if len(d.attr) < attrHeaderLen {
		return nil
	}
	return d.attr[attrHeaderLen:]
}

// Raw appends the current attribute to b as it stands, with its header, and
// pads it. That is what [Encoder.Raw] writes back.
func (d *Decoder) Raw(b []byte) []byte {
	b = append(b, d.attr...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Uint8 returns the value of a one-byte attribute.
func (d *Decoder) Uint8() uint8 {
	if b := d.sized(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 returns the value of a two-byte attribute in host order.
func (d *Decoder) Uint16() uint16 {
	if b := d.sized(2); b != nil {
		return binary.NativeEndian.Uint16(b)
	}
	return 0
}

// Uint32 returns the value of a four-byte attribute in host order.
func (d *Decoder) Uint32() uint32 {
	if b := d.sized(4); b != nil {
		return binary.NativeEndian.Uint32(b)
	}
	return 0
}

// Uint64 returns the value of an eight-byte attribute in host order.
func (d *Decoder) Uint64() uint64 {
	if b := d.sized(8); b != nil {
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

// Uint16Pair returns the values of an attribute of two two-byte numbers in
// host order.
func (d *Decoder) Uint16Pair() (first, second uint16) {
	if b := d.sized(4); b != nil {
		return binary.NativeEndian.Uint16(b), binary.NativeEndian.Uint16(b[2:])
	}
	return 0, 0
}

// Uint32Pair returns the values of an attribute of two four-byte numbers in
// host order.
func (d *Decoder) Uint32Pair() (first, second uint32) {
	if b := d.sized(8); b != nil {
		return binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
	}
	return 0, 0
}

// NetUint32 returns the value of a four-byte attribute in network order.
func (d *Decoder) NetUint32() uint32 {
	if b := d.sized(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// NetUint64 returns the value of an eight-byte attribute in network order.
func (d *Decoder) NetUint64() uint64 {
	if b := d.sized(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// String returns the text of the current attribute up to the first NUL byte.
func (d *Decoder) String() string { return string(d.Text()) }

// Text is String as bytes of what is decoded.
func (d *Decoder) Text() []byte {
	b := d.Data()
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}

// Addr returns the address that the current attribute holds, of 4 or 16 bytes.
func (d *Decoder) Addr() netip.Addr {
	a, ok := netip.AddrFromSlice(d.Data())
	if !ok {
		d.Fail("%d bytes, want an address", len(d.Data()))
	}
	return a
}

// AddrOf returns the address that the current attribute holds, of as many bits
// as given.
func (d *Decoder) AddrOf(bits int) netip.Addr {
	if d.sized(bits/8) == nil {
		return netip.Addr{}
	}
	return d.Addr()
}

// Nest returns a decoder of the attributes in the current attribute. Its error
// is its own: hand it back with [Decoder.Join].
func (d *Decoder) Nest() Decoder { return NewDecoder(d.Data()) }

// Join takes over the error of a nested decoder.
func (d *Decoder) Join(nested *Decoder) {
	if d.err == nil {
		d.err = nested.err
	}
}

// Fail makes an error about the current attribute, unless there is one.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("decode attribute %d: %s", d.Type(), fmt.Sprintf(format, args...))
	}
}

// sized returns the value if it has n bytes, nil and an error if not.
func (d *Decoder) sized(n int) []byte {
	b := d.Data()
	if len(b) != n || n == 0 {
		d.Fail("%d bytes, want %d", len(b), n)
		return nil
	}
	return b
}
