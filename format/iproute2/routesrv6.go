package iproute2

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"

	"rpdb"
)

// seg6Modes are the modes of SRv6 encapsulation (SEG6_IPTUN_MODE_*).
func seg6Modes() map[string]int32 {
	return map[string]int32{"inline": seg6Inline, "encap": 1, "l2encap": 2, "encap.red": 3, "l2encap.red": 4}
}

const seg6Inline = 0

// seg6 reads a mode and the segments of the header that the packet gets.
func (p *encapParser) seg6() {
	const srh = 1 // SEG6_IPTUNNEL_SRH
	p.options([]encapOption{
		{"mode", (*encapParser).seg6Mode},
		{"segs", (*encapParser).seg6Segs},
		{"hmac", (*encapParser).seg6HMAC},
	})
	if !p.seen["segs"] {
		p.doubt("encap seg6 without segs sends to the unspecified address")
	}
	head := binary.NativeEndian.AppendUint32(nil, uint32(p.mode))
	p.attrs.attribute(srh, append(head, p.srh(p.mode != seg6Inline)...))
}

func (p *encapParser) seg6Mode() {
	word := p.value()
	mode, ok := seg6Modes()[word]
	if !ok && p.err == nil {
		p.invalid(word)
	}
	p.mode = mode
}

func (p *encapParser) seg6Segs() {
	p.segs = p.value()
	if p.mode < 0 {
		p.fail(BadArgument, p.segs, "\"segs\" provided before \"mode\"\n")
	}
}

// seg6HMAC reads a key; ip takes what is no number for no key.
func (p *encapParser) seg6HMAC() {
	word := p.value()
	n, err := parseUint(word, 0, 32)
	if err != nil && p.err == nil {
		p.doubt("hmac %q is no number, ip would sign nothing", word)
	}
	p.hmac = uint32(n)
}

// Lengths and types of a segment routing header (struct ipv6_sr_hdr).
const (
	srhHead    = 8
	srhSegment = 16
	srhHMAC    = 40 // of its TLV
	srhFlag    = 0x08

	routingSegments = 4 // type of the routing header
	routingRPL      = 3
	tlvHMAC         = 5
)

// srh writes a segment routing header: the last segment comes first, and one
// that is inserted keeps room for the destination that the packet had. Empty
// words between commas count for places, but stay zero at the end.
func (p *encapParser) srh(encapsulates bool) []byte {
	n := strings.Count(p.segs, ",") + 1
	if !encapsulates {
		n++
	}
	if n > math.MaxUint8/2 {
		p.fail(BadCommand, p.segs, "Error: too many segments")
		return nil
	}
	size := srhHead + n*srhSegment
	if p.hmac != 0 {
		size += srhHMAC
	}
	b := make([]byte, size)
	b[1], b[2], b[3], b[4] = byte(size/8-1), routingSegments, byte(n-1), byte(n-1)
	if p.hmac != 0 {
		b[5] = srhFlag
		tlv := b[size-srhHMAC:]
		tlv[0], tlv[1] = tlvHMAC, srhHMAC-2
		binary.BigEndian.PutUint32(tlv[4:], p.hmac)
	}
	p.segments(b[srhHead:], n-1)
	return b
}

// segments writes the segments, the first one at place last, the others before
// it.
func (p *encapParser) segments(b []byte, last int) {
	for word := range strings.SplitSeq(p.segs, ",") {
		if word == "" {
			continue
		}
		a := p.addressIn(word, rpdb.IPv6)
		copy(b[last*srhSegment:], a.Bytes)
		last--
	}
}

// rpl reads the segments of an RPL source route (RFC 6554).
func (p *encapParser) rpl() {
	const srh = 1 // RPL_IPTUNNEL_SRH
	p.options([]encapOption{{"segs", func(p *encapParser) { p.segs = p.value() }}})
	n := strings.Count(p.segs, ",") + 1
	if n > math.MaxUint8/2 {
		p.fail(BadCommand, p.segs, "Error: too many segments")
		return
	}
	if !p.seen["segs"] {
		p.doubt("encap rpl without segs sends to the unspecified address")
	}
	b := make([]byte, srhHead+n*srhSegment)
	b[1], b[2], b[3] = byte(len(b)/8-1), routingRPL, byte(n)
	p.segments(b[srhHead:], n-1)
	p.attrs.attribute(srh, b)
}

// Attributes of local SRv6 processing (SEG6_LOCAL_*).
const (
	seg6LocalAction   = 1
	seg6LocalSRH      = 2
	seg6LocalTable    = 3
	seg6LocalNH4      = 4
	seg6LocalNH6      = 5
	seg6LocalIIF      = 6
	seg6LocalOIF      = 7
	seg6LocalVRFTable = 9
	seg6LocalCounters = 10
	seg6LocalFlavors  = 11
)

// seg6Actions are the words of the actions; the number of one is its place,
// from 1 (SEG6_LOCAL_ACTION_*).
func seg6Actions() []string {
	return []string{
		"End", "End.X", "End.T", "End.DX2", "End.DX6", "End.DX4", "End.DT6", "End.DT4", "End.B6", "End.B6.Encaps",
		"End.BM", "End.S", "End.AS", "End.AM", "End.BPF", "End.DT46",
	}
}

const seg6B6Encaps = 10

// seg6Local reads an action and its parameters.
func (p *encapParser) seg6Local() {
	p.options([]encapOption{
		{"action", (*encapParser).seg6Action},
		{"table", seg6Table(seg6LocalTable, "invalid table id\n")},
		{"vrftable", seg6Table(seg6LocalVRFTable, "invalid vrf table id\n")},
		{"nh4", encapAddress(seg6LocalNH4, rpdb.IPv4)},
		{"nh6", encapAddress(seg6LocalNH6, rpdb.IPv6)},
		{"iif", encapLink(seg6LocalIIF)},
		{"oif", encapLink(seg6LocalOIF)},
		{"count", (*encapParser).seg6Count},
		{"flavors", (*encapParser).seg6Flavors},
		{"srh", (*encapParser).seg6SRH},
		{"endpoint", func(p *encapParser) {
			p.fail(BadCommand, p.word, "encap seg6local endpoint: loading BPF programs is not part of this program")
		}},
	})
	if p.action == 0 {
		p.fail(BadCommand, "", "Missing action type")
	}
	if p.seen["srh"] && p.err == nil {
		p.attrs.attribute(seg6LocalSRH, p.srh(p.action == seg6B6Encaps))
	}
}

func (p *encapParser) seg6Action() {
	word := p.value()
	for i, name := range seg6Actions() {
		if name == word {
			p.action = uint32(i + 1)
		}
	}
	if p.action == 0 && p.err == nil {
		p.invalid(word)
	}
	p.attrs.uint32(seg6LocalAction, uint32(p.action))
}

func seg6Table(typ uint16, reason string) func(*encapParser) {
	return func(p *encapParser) {
		if p.seen[p.word] && p.more() {
			p.garbage(p.word, p.peek())
		}
		p.seen[p.word] = true
		p.attrs.uint32(typ, uint32(p.reader.table(reason)))
	}
}

// seg6Count asks for counters, which begin at zero.
func (p *encapParser) seg6Count() {
	const packets, errors = 2, 4 // SEG6_LOCAL_CNT_*
	p.once("count", p.word)
	p.attrs.nest(seg6LocalCounters|attrNested, func(w *wire) {
		for typ := uint16(packets); typ <= errors; typ++ {
			w.attribute(typ, make([]byte, 8))
		}
	})
}

// seg6Flavors reads OPERATION[,OPERATION]... and the lengths that only one of
// them has, in this order.
func (p *encapParser) seg6Flavors() {
	const operation, blockBits, functionBits = 1, 2, 3 // SEG6_LOCAL_FLV_*
	word := p.value()
	ops, ok := seg6Operations(word)
	if !ok {
		p.fail(BadArgument, word, "invalid \"flavors\" attribute\n")
	}
	length := func(w *wire, keyword, name string, typ uint16) {
		if p.peek() == keyword {
			p.next()
			n := p.number(8, "\""+name+"\" value is invalid\n")
			w.attribute(typ, []byte{byte(n)})
		}
	}
	p.attrs.nest(seg6LocalFlavors|attrNested, func(w *wire) {
		w.uint32(operation, uint32(ops))
		if ops&seg6NextCSID != 0 {
			length(w, "lblen", "locator-block length", blockBits)
			length(w, "nflen", "locator-node function length", functionBits)
		}
	})
}

// seg6FlavorNames are the words of the flavors; the bit of one is its place,
// from 1 (SEG6_LOCAL_FLV_OP_*).
func seg6FlavorNames() []string { return []string{"psp", "usp", "usd", "next-csid"} }

const seg6NextCSID = 1 << 4

// seg6Operations reads names of flavors with commas between, each once.
func seg6Operations(word string) (ops uint32, ok bool) {
	for part := range strings.SplitSeq(word, ",") {
		known := part == "" // ip passes over it
		for i, name := range seg6FlavorNames() {
			if bit := uint32(2 << i); name == part && ops&bit == 0 {
				ops |= bit
				known = true
			}
		}
		if !known {
			return 0, false
		}
	}
	return ops, bits.OnesCount32(ops) > 0
}

// seg6SRH reads "segs SEGMENTS [hmac KEY]".
func (p *encapParser) seg6SRH() {
	word := p.value()
	if word != "segs" {
		p.fail(BadArgument, word, "missing \"segs\" attribute for srh\n")
		return
	}
	p.segs = p.next()
	if p.peek() == "hmac" {
		p.word = p.next()
		p.seg6HMAC()
	}
}
