package iproute2

import (
	"encoding/binary"
	"slices"
	"strings"

	"rpdb"
)

// Attributes of in-situ OAM (IOAM6_IPTUNNEL_*).
const (
	ioam6Mode  = 1
	ioam6Dst   = 2
	ioam6Trace = 3
	ioam6FreqK = 4
	ioam6FreqN = 5
	ioam6Src   = 6
)

const (
	ioam6Inline       = 1
	ioam6MaxFrequency = 1000000
	ioam6MaxTrace     = 244 // bytes
)

// ioam6 reads the words of in-situ OAM, which have an order: how often, in
// what mode, from and to where, and what is collected.
func (p *encapParser) ioam6() {
	k, n := uint32(1), uint32(1)
	if p.ifNext("freq") {
		k, n = p.ioam6Frequency()
	}
	mode := p.ioam6Mode()
	var src, dst RouteAddress
	hasSrc := p.ioam6Tunnel("tunsrc", mode)
	if hasSrc {
		src = p.addressIn(p.next(), rpdb.IPv6)
	}
	switch {
	case p.ioam6Tunnel("tundst", mode):
		dst = p.addressIn(p.next(), rpdb.IPv6)
	case mode != ioam6Inline:
		p.endsHere()
		p.missing("tundst")
	}
	for _, word := range []string{"trace", "prealloc"} {
		if !p.ifNext(word) {
			p.endsHere()
			p.missing(word)
		}
	}
	trace := p.ioam6Trace()
	p.attrs.uint32(ioam6FreqK, uint32(k))
	p.attrs.uint32(ioam6FreqN, uint32(n))
	p.attrs.attribute(ioam6Mode, []byte{mode})
	if mode != ioam6Inline {
		if hasSrc {
			p.attrs.attribute(ioam6Src, []byte(src.Bytes))
		}
		p.attrs.attribute(ioam6Dst, []byte(dst.Bytes))
	}
	p.attrs.attribute(ioam6Trace, trace)
}

// ifNext takes the next word if it is the one given.
func (p *encapParser) ifNext(word string) bool {
	if p.peek() != word {
		return false
	}
	p.word = p.next()
	return true
}

// endsHere complains if there are no more words.
func (p *encapParser) endsHere() {
	if p.err == nil && p.pos >= len(p.words) {
		p.next()
	}
}

func (p *encapParser) ioam6Mode() uint8 {
	if !p.ifNext("mode") {
		return ioam6Inline
	}
	word := p.next()
	mode := slices.Index(ioam6ModeWords, word)
	if mode < ioam6Inline && p.err == nil {
		p.fail(BadArgument, word, "Invalid mode")
	}
	return uint8(mode)
}

// ioam6Tunnel takes a word that the inline mode has no use for.
func (p *encapParser) ioam6Tunnel(word string, mode uint8) bool {
	if !p.ifNext(word) {
		return false
	}
	if mode == ioam6Inline {
		p.fail(BadArgument, word, "Inline mode does not need "+word)
	}
	return true
}

// ioam6Frequency reads K/N: K packets of every N.
func (p *encapParser) ioam6Frequency() (k, n uint32) {
	word := p.next()
	if p.err != nil {
		return 0, 0
	}
	first, second, _ := strings.Cut(word, "/")
	kk, errK := parseUint(first, 10, 32)
	nn, errN := parseUint(second, 10, 32)
	switch {
	case len(word) > 15:
		p.fail(BadArgument, word, "Invalid frequency (too long)")
	case errK != nil || errN != nil:
		p.fail(BadArgument, word, "Invalid frequency (malformed)")
	case kk < 1 || kk > ioam6MaxFrequency:
		p.fail(BadArgument, word, `Out of bound "k" frequency`)
	case nn < 1 || nn > ioam6MaxFrequency:
		p.fail(BadArgument, word, `Out of bound "n" frequency`)
	case kk > nn:
		p.fail(BadArgument, word, "Frequency with k > n is forbidden")
	}
	return uint32(kk), uint32(nn)
}

// ioam6Trace reads the type, the namespace and the size of a trace, in any
// order, and writes its header (struct ioam6_trace_hdr).
func (p *encapParser) ioam6Trace() []byte {
	var typ, size uint32
	var ns uint16
	p.options([]encapOption{
		{"type", func(p *encapParser) {
			typ = uint32(p.ioam6Number(32, "Invalid trace type"))
			if typ == 0 {
				p.fail(BadArgument, p.words[p.pos-1], "Invalid trace type")
			}
			if typ > 0xffffff {
				p.doubt("trace type %#x has bits beyond the 24 that there are", typ)
			}
		}},
		{"ns", func(p *encapParser) { ns = uint16(p.ioam6Number(16, "Invalid namespace ID")) }},
		{"size", func(p *encapParser) {
			size = uint32(p.ioam6Number(16, "Invalid trace size"))
			p.ioam6Size(size)
		}},
	})
	for _, word := range []string{"type", "ns", "size"} {
		if !p.seen[word] {
			p.missing(word)
		}
	}
	b := binary.BigEndian.AppendUint16(nil, ns)
	b = append(b, 0, byte(size/4))
	return binary.BigEndian.AppendUint32(b, typ<<8)
}

func (p *encapParser) ioam6Number(bits int, reason string) uint64 {
	word := p.value()
	n, err := parseUint(word, 0, bits)
	if err != nil && p.err == nil {
		p.fail(BadArgument, word, reason)
	}
	return n
}

func (p *encapParser) ioam6Size(size uint32) {
	word := p.words[p.pos-1]
	switch {
	case size == 0:
		p.fail(BadArgument, word, "Invalid trace size")
	case size%4 != 0:
		p.fail(BadArgument, word, "Trace size must be a 4-octet multiple")
	case size > ioam6MaxTrace:
		p.fail(BadArgument, word, "Trace size is too big")
	}
}
