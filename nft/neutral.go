package nft

import (
	"slices"

	"rpdb"
)

// neutral returns the rules that change the prefix and one more word of the
// address at a place, so that what a checksum sees of it stays the same: the
// arithmetic of [rpdb.Translation]. nf_tables cannot add, but it can write bytes
// and correct a checksum by what changes: the word is told to be that checksum,
// and becomes what makes up for the prefix.
//
// A checksum is never corrected to 0, as the word of RFC 6296 never becomes
// 0xffff; the one word for which that is the question has a rule of its own. An
// address that has no image is dropped, as the RFC wants it; in an embedded header
// it is left.
func (s side) neutral(at payload) []rule {
	word, last := uint32(3), uint32(3)
	if s.to.Bits() > 48 {
		word, last = 4, 7
	}
	fixed := at // all words that the prefix has a part in
	fixed.len = 2 * word
	to := addrBytes(s.to.Addr())[:fixed.len]
	change := []expr{fixed, maskXor(inverse(netMask(s.to.Bits(), int(fixed.len))), to)}
	none := net16(^rpdb.Adjustment(s.from, s.to))

	var all []rule
	var before []expr // the words that cannot be changed
	for ; word <= last; word++ {
		w := payload{reg: regWork, base: at.base, off: at.off + 2*word, len: 2}
		plain, sum := fixed, fixed
		plain.store, sum.store = true, true
		sum.sum, sum.sumOff = sumInet, w.off
		zero := w
		zero.store = true
		if none != net16(0xffff) {
			only := append(slices.Clone(before), w, compare{regWork, opEqual, none})
			all = append(all, s.rule(slices.Concat(only, change, []expr{plain, immediate{regWork, net16(0)}, zero})))
		}
		others := append(slices.Clone(before), w, compare{regWork, opNotEqual, net16(0xffff)})
		all = append(all, s.rule(slices.Concat(others, change, []expr{sum})))
		before = append(before, w, compare{regWork, opEqual, net16(0xffff)})
	}
	if !s.inner {
		all = append(all, rule{s.chain, s.head, slices.Concat(s.match, before, []expr{verdict{verdictDrop}})})
	}
	return all
}
