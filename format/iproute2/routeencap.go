package iproute2

import (
	"encoding/binary"
	hexbytes "encoding/hex"
	"fmt"
	"slices"
	"strings"

	"rpdb"
)

// Kinds of lightweight tunnels (LWTUNNEL_ENCAP_*).
const (
	encapMPLS      = 1
	encapIP        = 2
	encapILA       = 3
	encapIP6       = 4
	encapSeg6      = 5
	encapBPF       = 6
	encapSeg6Local = 7
	encapRPL       = 8
	encapIOAM6     = 9
	encapXfrm      = 10
)

// Attributes of the small kinds, beside those that the listing names
// (MPLS_IPTUNNEL_*, ILA_ATTR_*, LWT_BPF_*, LWT_XFRM_*).
const (
	mplsTTL      = 2
	ilaCsumMode  = 7
	ilaIdentType = 8
	ilaHookType  = 9
	bpfHeadroom  = 4
	xfrmIfID     = 1
	xfrmLink     = 2
)

// encapParser reads the words of one tunnel. A kind is a table of words; a word
// that is none of them belongs to the route.
type encapParser struct {
	*routeReader
	attrs  wire
	seen   map[string]bool
	word   string // the keyword that is being read
	flags  uint16 // of ip and ip6
	segs   string // of a segment routing header, with commas between
	hmac   uint32
	mode   int32 // of seg6, -1 for none
	action uint32
}

// encapOption is one word of a tunnel: what it does with its value, which is
// still to be taken.
type encapOption struct {
	word string
	read func(*encapParser)
}

// encap reads TYPE and the words of that kind, behind "encap".
func (p *routeReader) encap() RouteEncap {
	kinds := map[string]struct {
		typ  uint16
		read func(*encapParser)
	}{
		"mpls": {encapMPLS, (*encapParser).mpls},
		"ip":   {encapIP, (*encapParser).ip},
		"ila":  {encapILA, (*encapParser).ila},
		"ip6":  {encapIP6, (*encapParser).ip6},
		"seg6": {encapSeg6, (*encapParser).seg6},
		"bpf":  {encapBPF, (*encapParser).bpf},

		"seg6local": {encapSeg6Local, (*encapParser).seg6Local},
		"rpl":       {encapRPL, (*encapParser).rpl},
		"ioam6":     {encapIOAM6, (*encapParser).ioam6},
		"xfrm":      {encapXfrm, (*encapParser).xfrm},
	}
	word := p.next()
	kind, ok := kinds[word]
	switch {
	case p.err != nil:
		return RouteEncap{}
	case word == "help":
		p.fail(Usage, word, encapUsage)
		return RouteEncap{}
	case !ok:
		p.fail(BadArgument, word, "\"encap type\" value is invalid\n")
		return RouteEncap{}
	}
	p.encapStarts()
	tunnel := encapParser{routeReader: p, seen: map[string]bool{}, mode: -1}
	if p.err == nil {
		kind.read(&tunnel)
	}
	return RouteEncap{Type: kind.typ, Attrs: rpdb.Raw(tunnel.attrs)}
}

// encapStarts complains where ip does: behind the kind there have to be two
// more words, whatever they are.
func (p *routeReader) encapStarts() {
	switch left := len(p.words) - p.pos; left {
	case 0:
		p.next()
	case 1:
		p.missing("encap type")
	}
}

// missing complains about a word that is not there.
func (p *routeReader) missing(word string) {
	p.fail(BadCommand, "", fmt.Sprintf("Error: argument \"%s\" is required", word))
}

const encapUsage = `Usage: ip route ... encap TYPE [ OPTIONS ] [...]
mpls TYPE := 
ip       
ila       
ip6       
seg6       
bpf       
seg6local       
rpl       
ioam6       
xfrm       
`

// options reads words of a table as far as they go.
func (p *encapParser) options(table []encapOption) {
	for p.more() {
		o, ok := encapWord(table, p.peek())
		if !ok {
			return
		}
		p.word = p.next()
		o.read(p)
	}
}

func encapWord(table []encapOption, word string) (encapOption, bool) {
	for _, o := range table {
		if o.word == word {
			return o, true
		}
	}
	return encapOption{}, false
}

// value takes the value of the word that is being read, which may be given
// once.
func (p *encapParser) value() string {
	v := p.next()
	p.once(p.word, v)
	return v
}

// once complains if a keyword was read before.
func (p *encapParser) once(keyword, word string) {
	if p.seen[keyword] && p.err == nil {
		p.garbage(keyword, word)
	}
	p.seen[keyword] = true
}

// invalid complains about a value in the words that most of the options use.
func (p *encapParser) invalid(word string) {
	p.fail(BadArgument, word, "\""+p.word+"\" value is invalid\n")
}

// uint reads a number of at most the given bits.
func (p *encapParser) uint(bits int) uint64 {
	word := p.value()
	n, err := parseUint(word, 0, bits)
	if err != nil && p.err == nil {
		p.invalid(word)
	}
	return n
}

// uint8 returns the reader of a number of eight bits.
func encapUint8(typ uint16) func(*encapParser) {
	return func(p *encapParser) { p.attrs.attribute(typ, []byte{byte(p.uint(8))}) }
}

// encapAddress returns the reader of an address.
func encapAddress(typ uint16, f rpdb.Family) func(*encapParser) {
	return func(p *encapParser) {
		a := p.addressIn(p.value(), f)
		p.attrs.attribute(typ, []byte(a.Bytes))
	}
}

// encapField returns the reader of a DS field.
func encapField(typ uint16) func(*encapParser) {
	return func(p *encapParser) {
		if p.seen[p.word] && p.more() {
			p.garbage(p.word, p.peek())
		}
		p.seen[p.word] = true
		v := p.reader.tos("\"" + p.word + "\" value is invalid\n")
		p.attrs.attribute(typ, []byte{v})
	}
}

func (p *encapParser) mpls() {
	a := p.addressIn(p.next(), familyMPLS)
	p.attrs.attribute(mplsDst, []byte(a.Bytes))
	p.options([]encapOption{{"ttl", encapUint8(mplsTTL)}})
}

// Attributes that ip and ip6 tunnels have alike, beside those that the listing
// names (LWTUNNEL_IP_*, LWTUNNEL_IP6_*).
const (
	tunnelDst = 2
	tunnelSrc = 3
	tunnelTTL = 4
	tunnelTOS = 5
)

// Flags of a tunnel, in network byte order (TUNNEL_*).
const (
	tunnelCsum = 0x01
	tunnelKey  = 0x04
	tunnelSeq  = 0x08
)

func (p *encapParser) ip() { p.ipTunnel(rpdb.IPv4, "tos", "ttl") }

func (p *encapParser) ip6() { p.ipTunnel(rpdb.IPv6, "tc", "hoplimit") }

func (p *encapParser) ipTunnel(f rpdb.Family, tos, ttl string) {
	p.options([]encapOption{
		{"id", (*encapParser).tunnelID},
		{"dst", encapAddress(tunnelDst, f)},
		{"src", encapAddress(tunnelSrc, f)},
		{tos, encapField(tunnelTOS)},
		{ttl, encapUint8(tunnelTTL)},
		{"geneve_opts", (*encapParser).tunnelOptions},
		{"vxlan_opts", (*encapParser).tunnelOptions},
		{"erspan_opts", (*encapParser).tunnelOptions},
		{"key", tunnelFlag(tunnelKey)},
		{"csum", tunnelFlag(tunnelCsum)},
		{"seq", tunnelFlag(tunnelSeq)},
	})
	if p.flags != 0 {
		p.attrs.attribute(tunnelFlags, binary.BigEndian.AppendUint16(nil, p.flags))
	}
}

func (p *encapParser) tunnelID() {
	p.attrs.attribute(tunnelID, binary.BigEndian.AppendUint64(nil, p.uint(64)))
}

func tunnelFlag(bit uint16) func(*encapParser) {
	return func(p *encapParser) {
		p.once(p.word, p.word)
		p.flags |= bit
	}
}

// Attributes of tunnel options (LWTUNNEL_IP_OPTS_*).
const (
	optsGeneve = 1
	optsVXLAN  = 2
	optsERSPAN = 3
)

// tunnelOptions reads the options of one kind of tunnel. See
// [RouteRequest.Strict] for why they should not be sent.
func (p *encapParser) tunnelOptions() {
	p.once("opts", p.word)
	word := p.next()
	if p.err != nil {
		return
	}
	var opts wire
	ok := true
	switch p.word {
	case "geneve_opts":
		for one := range strings.SplitSeq(word, ",") {
			ok = ok && opts.geneve(one)
		}
	case "vxlan_opts":
		n, err := parseUint(word, 0, 32)
		ok = err == nil
		opts.nest(optsVXLAN|attrNested, func(w *wire) { w.uint32(1, uint32(n)) })
	case "erspan_opts":
		ok = opts.erspan(word)
	}
	if !ok {
		p.invalid(word)
	}
	p.attrs.attribute(tunnelOptions|attrNested, opts)
}

// geneve writes CLASS:TYPE:DATA, parts of which may be missing.
func (w *wire) geneve(word string) bool {
	parts := strings.Split(word, ":")
	ok := len(parts) <= 3
	w.nest(optsGeneve|attrNested, func(w *wire) {
		for i, part := range parts {
			typ := uint16(i + 1)
			switch {
			case part == "" || !ok:
			case i == 0:
				n, err := parseUint(part, 0, 16)
				w.attribute(typ, binary.BigEndian.AppendUint16(nil, uint16(n)))
				ok = err == nil
			case i == 1:
				n, err := parseUint(part, 0, 8)
				w.attribute(typ, []byte{byte(n)})
				ok = err == nil
			default:
				data, err := hexbytes.DecodeString(part[:len(part)&^1])
				w.attribute(typ, data)
				ok = err == nil
			}
		}
	})
	return ok
}

// erspan writes VERSION:INDEX:DIRECTION:HWID, parts of which may be missing.
func (w *wire) erspan(word string) bool {
	const index = 1 // the only one of four bytes, in network byte order
	parts := strings.Split(word, ":")
	ok := len(parts) <= 4
	w.nest(optsERSPAN|attrNested, func(w *wire) {
		for i, part := range parts {
			bits := 8
			if i == index {
				bits = 32
			}
			n, err := parseUint(part, 0, bits)
			switch typ := uint16(i + 1); {
			case part == "" || !ok:
				continue
			case i == index:
				w.attribute(typ, binary.BigEndian.AppendUint32(nil, uint32(n)))
			default:
				w.attribute(typ, []byte{byte(n)})
			}
			ok = err == nil
		}
	})
	return ok
}

// nest appends an attribute that holds attributes.
func (w *wire) nest(typ uint16, fill func(*wire)) {
	var inner wire
	fill(&inner)
	w.attribute(typ, inner)
}

// ila reads LOCATOR and how the identifier behind it is treated.
func (p *encapParser) ila() {
	word := p.next()
	bytes, ok := ilaLocator(word)
	if !ok {
		p.refuse(word, "Bad locator: "+word)
	}
	p.attrs.attribute(ilaLocatorAttribute, bytes)
	p.options([]encapOption{
		{"csum-mode", encapName(ilaCsumMode, ilaCsumModes)},
		{"ident-type", encapName(ilaIdentType, ilaTypedIdents)},
		{"hook-type", encapName(ilaHookType, ilaHookTypes)},
	})
}

// encapName returns the reader of a word that stands for its place in a list.
// The last one counts.
func encapName(typ uint16, words []string) func(*encapParser) {
	return func(p *encapParser) {
		word := p.next()
		n := slices.Index(words, word)
		if (n < 0 || word == "") && p.err == nil {
			p.invalid(word)
		}
		p.attrs.attribute(typ, []byte{byte(n)})
	}
}

// ilaLocator reads up to four hexadecimal numbers of 16 bits with colons
// between.
func ilaLocator(word string) ([]byte, bool) {
	var locator []byte
	for part := range strings.SplitSeq(word, ":") {
		n, err := parseUint(part, 16, 16)
		if err != nil || len(locator) == 8 {
			return nil, false
		}
		locator = binary.BigEndian.AppendUint16(locator, uint16(n))
	}
	return append(locator, make([]byte, 8-len(locator))...), true
}

// bpf reads the only part of a BPF tunnel that is no program. Programs are
// loaded by ip itself, and this program loads none.
func (p *encapParser) bpf() {
	load := func(p *encapParser) {
		p.fail(BadCommand, p.word, fmt.Sprintf("encap bpf %s: loading BPF programs is not part of this program", p.word))
	}
	p.options([]encapOption{
		{"in", load},
		{"out", load},
		{"xmit", load},
		{"headroom", func(p *encapParser) {
			n := p.number(32, "headroom is invalid\n")
			if n == 0 {
				p.fail(BadArgument, p.words[p.pos-1], "headroom is invalid\n")
			}
			if !p.seen["headroom"] {
				p.attrs.uint32(bpfHeadroom, uint32(n))
			}
			p.seen["headroom"] = true
		}},
		{"help", func(p *encapParser) { p.fail(Usage, "help", bpfUsage) }},
	})
}

const bpfUsage = `Usage: ip route ... encap bpf [ in BPF ] [ out BPF ] [ xmit BPF ] [...]
BPF := obj FILE [ section NAME ] [ verbose ]
`

func (p *encapParser) xfrm() {
	p.options([]encapOption{
		{"if_id", func(p *encapParser) {
			word := p.peek()
			n := uint32(p.uint(32))
			if n == 0 && p.err == nil {
				p.invalid(word)
			}
			p.attrs.uint32(xfrmIfID, uint32(n))
		}},
		{"link_dev", encapLink(xfrmLink)},
	})
	if !p.seen["if_id"] {
		p.fail(Usage, "", "Usage: ip route ... encap xfrm if_id IF_ID [ link_dev LINK ]\n")
	}
}

// encapLink returns the reader of an interface.
func encapLink(typ uint16) func(*encapParser) {
	return func(p *encapParser) {
		word := p.value()
		i, ok := p.index(word)
		if !ok && p.err == nil {
			p.fail(UnknownDevice, word, "")
			p.err.exit = exitUsage
		}
		p.attrs.uint32(typ, uint32(i))
	}
}
