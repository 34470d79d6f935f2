package oracle

import (
	"bytes"
	"encoding/binary"
)

// hash is the 31-bit multipath hash of a packet, if it can be foreseen.
func (w world) hash(p packet) (int64, bool) {
	policy := w.Sysctls.HashPolicy4
	if p.Dst.Is6() {
		policy = w.Sysctls.HashPolicy6
	}
	if w.Sysctls.HashSeed == 0 || policy > 1 || policy == 1 && p.anyPort && p.SPort == 0 {
		return 0, false
	}
	var proto byte
	var label uint32
	sport, dport := []byte{0, 0}, []byte{0, 0}
	if policy == 1 {
		proto = byte(p.IPProto)
		sport, dport = binary.BigEndian.AppendUint16(nil, p.SPort), binary.BigEndian.AppendUint16(nil, p.DPort)
	} else if p.Dst.Is6() {
		proto, label = byte(p.IPProto), p.FlowLabel&0xfffff
	}
	src, dst := p.source().AsSlice(), p.Dst.AsSlice()
	swap := bytes.Compare(dst, src) < 0
	if p.Dst.Is4() {
		swap = binary.LittleEndian.Uint32(dst) < binary.LittleEndian.Uint32(src)
	}
	if swap {
		src, dst = dst, src
	}
	if binary.LittleEndian.Uint16(dport) < binary.LittleEndian.Uint16(sport) {
		sport, dport = dport, sport
	}
	var msg []byte
	msg = append(msg, 0, 0, proto, 0)
	msg = binary.BigEndian.AppendUint32(msg, label)
	msg = append(msg, make([]byte, 20)...)
	msg = append(append(msg, sport...), dport...)
	msg = append(msg, 0, 0, 0, 0)
	msg = append(append(msg, src...), dst...)
	msg = append(msg, 0, 0, 0, 0)
	seed := uint64(w.Sysctls.HashSeed)
	h := uint32(sip24(seed<<32|seed, msg))
	if h == 0 {
		h = 1
	}
	return int64(h >> 1), true
}

// sip24 is SipHash-2-4 under a key of two equal halves, after its authors'
// paper.
func sip24(k uint64, msg []byte) uint64 {
	a, b, c, d := k^0x736f6d6570736575, k^0x646f72616e646f6d, k^0x6c7967656e657261, k^0x7465646279746573
	rot := func(x uint64, n uint) uint64 { return x<<n | x>>(64-n) }
	rounds := func(n int) {
		for range n {
			a, c = a+b, c+d
			b, d = rot(b, 13)^a, rot(d, 16)^c
			a = rot(a, 32)
			c, a = c+b, a+d
			b, d = rot(b, 17)^c, rot(d, 21)^a
			c = rot(c, 32)
		}
	}
	tail := make([]byte, 8-len(msg)%8)
	tail[len(tail)-1] = byte(len(msg))
	for m := append(bytes.Clone(msg), tail...); len(m) > 0; m = m[8:] {
		v := binary.LittleEndian.Uint64(m)
		d ^= v
		rounds(2)
		a ^= v
	}
	c ^= 0xff
	rounds(4)
	return a ^ b ^ c ^ d
}
