package iproute2

import (
	"encoding/binary"
	"net/netip"

	"rpdb"
)

// attributes are the netlink attributes of an object by their number, as far as
// one knows that number. What is cut off or too long ends the list, and of
// attributes with one number the first counts, as it does for ip. The zero
// value has none.
type attributes struct {
	values [highestAttribute + 1]string
	there  uint32
}

// highestAttribute is the highest number that anything here looks at.
const highestAttribute = 11

const (
	attributeHeader = 4
	attributeType   = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
)

// read takes the attributes of b.
func (a *attributes) read(b rpdb.Raw) {
	a.there = 0
	for rest := string(b); ; {
		typ, value, next, ok := nextAttribute(rest)
		if !ok {
			return
		}
		if typ <= highestAttribute && a.there&(1<<typ) == 0 {
			a.values[typ] = value
			a.there |= 1 << typ
		}
		rest = next
	}
}

// findAttribute returns the first attribute with the number.
func findAttribute(b rpdb.Raw, number uint16) (value string, ok bool) {
	for rest := string(b); ; {
		typ, value, next, ok := nextAttribute(rest)
		if !ok || typ == number {
			return value, ok
		}
		rest = next
	}
}

// nextAttribute cuts the first attribute off.
func nextAttribute(b string) (typ uint16, value, rest string, ok bool) {
	if len(b) < attributeHeader {
		return 0, "", "", false
	}
	n := int(native16(b))
	if n < attributeHeader || n > len(b) {
		return 0, "", "", false
	}
	return native16(b[2:]) & attributeType, b[attributeHeader:n], b[min((n+3)&^3, len(b)):], true
}

func (a *attributes) get(typ uint16) (value string, ok bool) {
	if a.there&(1<<typ) == 0 {
		return "", false
	}
	return a.values[typ], true
}

func (a *attributes) uint8(typ uint16) (uint8, bool) {
	b, ok := a.get(typ)
	if !ok || len(b) != 1 {
		return 0, false
	}
	return b[0], true
}

func (a *attributes) uint32(typ uint16) (uint32, bool) {
	b, ok := a.get(typ)
	if !ok || len(b) != 4 {
		return 0, false
	}
	return native32(b), true
}

func (a *attributes) uint64(typ uint16) (uint64, bool) {
	b, ok := a.get(typ)
	if !ok || len(b) != 8 {
		return 0, false
	}
	return binary.NativeEndian.Uint64([]byte(b)), true
}

// big reads a number in network byte order, of as many bytes as given.
func (a *attributes) big(typ uint16, size int) (n uint64, ok bool) {
	b, ok := a.get(typ)
	if !ok || len(b) != size {
		return 0, false
	}
	for i := range size {
		n = n<<8 | uint64(b[i])
	}
	return n, true
}

// address reads an address of either family.
func (a *attributes) address(typ uint16) (netip.Addr, bool) {
	b, _ := a.get(typ)
	return netip.AddrFromSlice([]byte(b))
}

// nested returns the attributes in an attribute.
func (a *attributes) nested(typ uint16) (inner attributes, ok bool) {
	b, ok := a.get(typ)
	inner.read(rpdb.Raw(b))
	return inner, ok
}

func native16(b string) uint16 { return binary.NativeEndian.Uint16([]byte(b[:2])) }

func native32(b string) uint32 { return binary.NativeEndian.Uint32([]byte(b[:4])) }
