package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"rpdb"
)

// image is a flow as it is hashed and compared: words of which shapes and rules mask
// out what they look at.
type image [9]uint64

// The words of an image. In IPv4 both addresses are in the first.
const (
	wordSrc   = 0 // and the next
	wordDst   = 2 // and the next
	wordMark  = 4 // and the user
	wordLinks = 5
	wordPorts = 6 // and the protocol and the DS field
	wordLabel = 7
	wordTun   = 8
)

func newImage(k *key) image {
	im := image{
		wordMark:  uint64(k.mark)<<32 | uint64(k.uid),
		wordLinks: uint64(k.iif)<<32 | uint64(k.oif),
		wordPorts: uint64(k.sport)<<48 | uint64(k.dport)<<32 | uint64(k.ds)<<8 | uint64(k.proto),
		wordLabel: uint64(k.label),
		wordTun:   k.tun,
	}
	if k.dst.Is4() {
		im[wordSrc] = uint64(number4(k.src))<<32 | uint64(number4(k.dst))
		return im
	}
	im[wordSrc], im[wordSrc+1] = words6(k.src)
	im[wordDst], im[wordDst+1] = words6(k.dst)
	return im
}

func words6(a netip.Addr) (high, low uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// masks returns what of an image the shape looks at.
func (s *shape) masks(v6 bool) image {
	m := image{
		wordMark:  uint64(s.mark)<<32 | uint64(s.uid),
		wordLinks: when(s.iif, 0xffffffff<<32) | when(s.oif, 0xffffffff),
		wordPorts: uint64(s.sport)<<48 | uint64(s.dport)<<32 | uint64(s.ds)<<8 | when(s.proto, 0xff),
		wordLabel: uint64(s.label),
		wordTun:   when(s.tun, ^uint64(0)),
	}
	if !v6 {
		m[wordSrc] = uint64(^uint32(0)<<(32-s.from))<<32 | uint64(^uint32(0)<<(32-s.to))
		return m
	}
	m[wordSrc], m[wordSrc+1] = masks6(s.from)
	m[wordDst], m[wordDst+1] = masks6(s.to)
	return m
}

func when(set bool, v uint64) uint64 {
	if set {
		return v
	}
	return 0
}

// masks6 returns the mask of a prefix length.
func masks6(length uint8) (high, low uint64) {
	return ^uint64(0) << (64 - min(length, 64)), ^uint64(0) << (128 - max(length, 64))
}

// parts are the masks of a shape that are not empty.
type parts struct {
	list [len(image{})]part
	n    int
}

// part is the mask of one word.
type part struct {
	mask uint64
	word uint8
}

func (s *shape) parts(v6 bool) (p parts) {
	for word, mask := range s.masks(v6) {
		if mask != 0 {
			p.list[p.n] = part{mask, uint8(word)}
			p.n++
		}
	}
	return p
}

// hash hashes what the shape looks at.
func (p *parts) hash(im *image) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for i := range p.list[:p.n] {
		h = mix(h, im[p.list[i].word]&p.list[i].mask)
	}
	return h
}

// mix folds a word into a hash, by the product of both in full.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^v, 0xd6e8feb86659fd93)
	return hi ^ lo ^ h<<7
}

// fit is all that a rule wants of a flow, if that can be said in so few words: what
// it has in common with the others of its shape, and the values.
type fit struct {
	list [2]wanted
	n    int8
	all  bool // that is all, else [rule.mismatch] is to be asked
}

// wanted is the value of a part.
type wanted struct {
	part
	value uint64
}

func (f *fit) fits(im *image) bool {
	for i := range f.list[:f.n] {
		if im[f.list[i].word]&f.list[i].mask != f.list[i].value {
			return false
		}
	}
	return true
}

// newFit returns what a rule wants.
func (r *rule) newFit() (f fit) {
	d, k := r.kindOf()
	p, im := d.parts(r.v6), newImage(&k)
	if f.all = p.n <= len(f.list) && r.shapeTellsAll(&d); !f.all {
		return f
	}
	for _, part := range p.list[:p.n] {
		f.list[f.n] = wanted{part, im[part.word] & part.mask}
		f.n++
	}
	return f
}

// shapeTellsAll reports whether the shape of a rule and its hash leave out nothing that the
// rule compares.
func (r *rule) shapeTellsAll(d *kind) bool {
	s := &r.Selector
	switch {
	case s.Not || s.L3MDev || d.ranged != noRange || r.Flags&rpdb.RuleFindSaddr != 0:
		return false
	case s.TOS != 0 || r.hasDSCP: // in which bits beside the field count
		return false
	}
	return r.from.IsValid() == (d.from != 0) && r.to.IsValid() == (d.to != 0) && r.iif.set == d.iif && r.oif.set == d.oif && r.hasUID == (d.uid != 0) &&
		(s.SPort != rpdb.Ports{}) == (d.sport != 0) && (s.DPort != rpdb.Ports{}) == (d.dport != 0)
}
