package kernel

import "encoding/binary"

// fixed lays the fixed part of a message out: bytes, then numbers of 32 bits
// in the host's order.
func fixed(bytes []byte, words ...uint32) []byte {
	b := append([]byte(nil), bytes...)
	for _, w := range words {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

func nativeUint16(b []byte, v uint16) []byte { return binary.NativeEndian.AppendUint16(b, v) }

func uint32At(b []byte, i int) uint32 { return binary.NativeEndian.Uint32(b[i:]) }

func uint16At(b []byte, i int) uint16 { return binary.NativeEndian.Uint16(b[i:]) }
