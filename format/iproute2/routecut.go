package iproute2

import "encoding/binary"

// route cuts the payload of a message about a route around its destination. It is
// false for default routes, and for messages that have no good destination.
func (c *cutting) route(payload []byte) bool {
	size := addressSize(payload)
	if size == 0 || payload[1] == 0 || int(payload[1]) > 8*size {
		return false
	}
	c.head = binary.LittleEndian.Uint64(payload) &^ 0xff00
	c.flags = binary.LittleEndian.Uint32(payload[8:])
	attrs := payload[sizeofFixed:]
	for i := 0; len(attrs)-i >= attributeHeader; {
		n := int(binary.NativeEndian.Uint16(attrs[i:]))
		next := i + (n+3)&^3
		if n < attributeHeader || next > len(attrs) {
			return false
		}
		if binary.NativeEndian.Uint16(attrs[i+2:]) == rtaDst {
			c.kinds[0], c.values[0] = destinationValue, cutValue{data: attrs[i+attributeHeader : next], bits: payload[1]}
			c.around[0], c.around[1], c.n = attrs[:i], attrs[next:], 2
			return n == attributeHeader+size
		}
		i = next
	}
	return false
}

// hasAnother reports whether the message has another destination, which counts.
func (c *cutting) hasAnother() bool {
	return hasDestination(c.around[0]) || hasDestination(c.around[1])
}

func hasDestination(attrs []byte) bool {
	for len(attrs) >= attributeHeader {
		n := int(binary.NativeEndian.Uint16(attrs))
		if n < attributeHeader || binary.NativeEndian.Uint16(attrs[2:])&attributeType == rtaDst {
			return true
		}
		attrs = attrs[min((n+3)&^3, len(attrs)):]
	}
	return false
}
