package iproute2

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"rpdb"
)

const seg6Inline = 0 // of the modes

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
	p.mode = int32(slices.Index(seg6ModeWords, word))
	if p.mode < 0 && p.err == nil {
		p.invalid(word)
	}
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

// Types of routing headers, and of what follows one.
const (
	routingSegments = 4
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
	size := srhHeader + n*segmentSize
	if p.hmac != 0 {
		size += hmacSize
	}
	b := make([]byte, size)
	b[1], b[2], b[3], b[4] = byte(size/8-1), routingSegments, byte(n-1), byte(n-1)
	if p.hmac != 0 {
		b[5] = srhFlagHMAC
		tlv := b[size-hmacSize:]
		tlv[0], tlv[1] = tlvHMAC, hmacSize-2
		binary.BigEndian.PutUint32(tlv[4:], p.hmac)
	}
	p.segments(b[srhHeader:], n-1)
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
		copy(b[last*segmentSize:], a.Bytes)
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
	b := make([]byte, srhHeader+n*segmentSize)
	b[1], b[2], b[3] = byte(len(b)/8-1), routingRPL, byte(n)
	p.segments(b[srhHeader:], n-1)
	p.attrs.attribute(srh, b)
}

// Attributes of local SRv6 processing, beside those that the listing names
// (SEG6_LOCAL_*).
const (
	localTable    = 3
	localNH4      = 4
	localNH6      = 5
	localIIF      = 6
	localOIF      = 7
	localVRFTable = 9

	flavorOperation    = 1 // SEG6_LOCAL_FLV_*
	flavorBlockBits    = 2
	flavorFunctionBits = 3
)

const b6Encaps = "End.B6.Encaps" // the action whose packets get a header of their own

// seg6Local reads an action and its parameters.
func (p *encapParser) seg6Local() {
	p.options([]encapOption{
		{"action", (*encapParser).seg6Action},
		{"table", seg6Table(localTable, "invalid table id\n")},
		{"vrftable", seg6Table(localVRFTable, "invalid vrf table id\n")},
		{"nh4", encapAddress(localNH4, rpdb.IPv4)},
		{"nh6", encapAddress(localNH6, rpdb.IPv6)},
		{"iif", encapLink(localIIF)},
		{"oif", encapLink(localOIF)},
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
		p.attrs.attribute(localSRH, p.srh(localActions[p.action] == b6Encaps))
	}
}

func (p *encapParser) seg6Action() {
	word := p.value()
	n := slices.Index(localActions, word)
	if n < 1 && p.err == nil {
		p.invalid(word)
	}
	p.action = uint32(max(n, 0))
	p.attrs.uint32(localAction, uint32(p.action))
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
	p.attrs.nest(localCounters|attrNested, func(w *wire) {
		for typ := uint16(packets); typ <= errors; typ++ {
			w.attribute(typ, make([]byte, 8))
		}
	})
}

// seg6Flavors reads OPERATION[,OPERATION]... and the lengths that only one of
// them has, in this order.
func (p *encapParser) seg6Flavors() {
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
	p.attrs.nest(localFlavors|attrNested, func(w *wire) {
		w.uint32(flavorOperation, uint32(ops))
		if ops&seg6NextCSID != 0 {
			length(w, "lblen", "locator-block length", flavorBlockBits)
			length(w, "nflen", "locator-node function length", flavorFunctionBits)
		}
	})
}

const seg6NextCSID = 1 << 4 // the flavor that has lengths

// seg6Operations reads names of flavors with commas between, each once.
func seg6Operations(word string) (ops uint32, ok bool) {
	for part := range strings.SplitSeq(word, ",") {
		known := part == "" // ip passes over it
		if i := slices.Index(flavors, part); i > 0 && ops&(1<<i) == 0 {
			ops |= 1 << i
			known = true
		}
		if !known {
			return 0, false
		}
	}
	return ops, ops != 0
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
