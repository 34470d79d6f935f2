package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"rpdb"
)

// hash4 returns the 31-bit hash by which the kernel chooses among the hops of
// an IPv4 route, if it can be foreseen: the seed is set and the policy is 0
// (addresses) or 1 (with ports) (fib_multipath_hash).
func (f *FIB) hash4(k *key) (int64, bool) {
	if f.sysctls.hashSeed == 0 || k.randomPort(f.sysctls.hashPolicy4) {
		return 0, false
	}
	switch f.sysctls.hashPolicy4 {
	case 0:
		return flowHash(f.sysctls.hashSeed, k.src, k.dst, hashFields{}), true
	case 1:
		fields := hashFields{proto: k.proto, sport: k.sport, dport: k.dport}
		return flowHash(f.sysctls.hashSeed, k.src, k.dst, fields), true
	}
	return 0, false
}

// hash6 is hash4 for IPv6 (rt6_multipath_hash).
func (f *FIB) hash6(k *key) (int64, bool) {
	if f.sysctls.hashSeed == 0 || k.randomPort(f.sysctls.hashPolicy6) {
		return 0, false
	}
	switch f.sysctls.hashPolicy6 {
	case 0:
		return flowHash(f.sysctls.hashSeed, k.src, k.dst, hashFields{proto: k.proto, label: k.label}), true
	case 1:
		fields := hashFields{proto: k.proto, sport: k.sport, dport: k.dport}
		return flowHash(f.sysctls.hashSeed, k.src, k.dst, fields), true
	}
	return 0, false
}

// randomPort reports whether the hash covers a source port that is not chosen
// yet (FLOWI_FLAG_ANY_SPORT).
func (k *key) randomPort(policy uint8) bool {
	return k.anySPort && k.sport == 0 && policy == 1
}

// hashFields are the parts of a flow besides its addresses that are hashed.
type hashFields struct {
	proto        rpdb.IPProto
	sport, dport uint16
	label        uint32
}

// flowHash hashes the flow keys as the kernel lays them out in memory on a
// little-endian machine (fib_multipath_hash_from_keys): addresses and ports
// in order of size, so that both directions hash alike.
func flowHash(seed uint32, src, dst netip.Addr, h hashFields) int64 {
	var buf [72]byte
	buf[2] = byte(h.proto)
	binary.BigEndian.PutUint32(buf[4:], h.label)
	var sport, dport [2]byte
	binary.BigEndian.PutUint16(sport[:], h.sport)
	binary.BigEndian.PutUint16(dport[:], h.dport)
	if binary.LittleEndian.Uint16(dport[:]) < binary.LittleEndian.Uint16(sport[:]) {
		sport, dport = dport, sport
	}
	copy(buf[28:], sport[:])
	copy(buf[30:], dport[:])
	n := 48
	if src.Is4() {
		a, b := src.As4(), dst.As4()
		if binary.LittleEndian.Uint32(b[:]) < binary.LittleEndian.Uint32(a[:]) {
			a, b = b, a
		}
		copy(buf[36:], a[:])
		copy(buf[40:], b[:])
	} else {
		n = 72
		if dst.Less(src) {
			src, dst = dst, src
		}
		a, b := src.As16(), dst.As16()
		copy(buf[36:], a[:])
		copy(buf[52:], b[:])
	}
	key := uint64(seed)<<32 | uint64(seed)
	hash := uint32(siphash(key, key, buf[:n]))
	return int64(max(hash, 1) >> 1)
}

// siphash is SipHash-2-4 of a message whose length is a multiple of 8.
func siphash(k0, k1 uint64, msg []byte) uint64 {
	s := sipState{
		k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
		k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573,
	}
	for i := 0; i+8 <= len(msg); i += 8 {
		m := binary.LittleEndian.Uint64(msg[i:])
		s[3] ^= m
		s.round()
		s.round()
		s[0] ^= m
	}
	last := uint64(len(msg)) << 56
	s[3] ^= last
	s.round()
	s.round()
	s[0] ^= last
	s[2] ^= 0xff
	for range 4 {
		s.round()
	}
	return s[0] ^ s[1] ^ s[2] ^ s[3]
}

type sipState [4]uint64

func (s *sipState) round() {
	s[0] += s[1]
	s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
	s[0] = bits.RotateLeft64(s[0], 32)
	s[2] += s[3]
	s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
	s[0] += s[3]
	s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
	s[2] += s[1]
	s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
	s[2] = bits.RotateLeft64(s[2], 32)
}
