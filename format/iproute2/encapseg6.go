package iproute2

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"rpdb"
)

// seg6Fields are SEG6_IPTUNNEL_*.
func seg6Fields() []lineField {
	return []lineField{
		{key: "mode", text: "mode % ", get: (*line).seg6Mode, set: (*RouteBuilder).setSeg6Mode},
		coloredField("tunsrc", "tunsrc % ", 2),
		segmentsField(), hmacField(),
	}
}

const (
	seg6SRH  = 1
	seg6Mode = 4 // bytes in front of the header
)

// seg6ModeWords are SEG6_IPTUN_MODE_*.
var seg6ModeWords = []string{"inline", "encap", "l2encap", "encap.red", "l2encap.red"}

// wordOf returns the word of a number, and one for all that have none.
func wordOf(words []string, n uint32) string {
	if n < uint32(len(words)) && words[n] != "" {
		return words[n]
	}
	return "<unknown>"
}

func (l *line) seg6Mode() bool {
	b, _ := l.tunnel.get(seg6SRH)
	if l.header = ""; len(b) < seg6Mode {
		return false
	}
	l.header = b[seg6Mode:]
	return l.word(wordOf(seg6ModeWords, native32(b)))
}

func (b *RouteBuilder) setSeg6Mode(s string) bool {
	n := slices.Index(seg6ModeWords, s)
	b.tunnel.mode = uint32(n)
	return n >= 0
}

// A segment routing header (RFC 8754) has segments, which are stored backwards,
// and perhaps an HMAC behind them.
func segmentsField() lineField {
	return lineField{key: "segs", kind: treeField, get: (*line).srhSegments, tree: segmentsTree()}
}

func segmentsTree() *tree {
	return &tree{array: true, item: func(b *RouteBuilder, word string) bool {
		a, ok := plainAddr(word)
		b.tunnel.segments = append(b.tunnel.segments, a)
		return ok && a.Is6() && len(b.tunnel.segments) <= maxSegments
	}}
}

func hmacField() lineField {
	return lineField{key: "hmac", text: "hmac % ", get: (*line).srhHMAC, set: (*RouteBuilder).setHMAC}
}

// maxSegments is what the length of a header can say.
const maxSegments = 127

const (
	srhHeader   = 8
	segmentSize = 16
	hmacSize    = 40
	srhFlagHMAC = 8
)

func (l *line) srhSegments() bool {
	return len(l.header) >= srhHeader && l.segments(l.header[srhHeader:], int(l.header[4])+1)
}

// segments appends a list of n addresses, the last one first. It is not longer
// than the bytes are.
func (l *line) segments(b string, n int) bool {
	l.text("segs ")
	l.text(decimal(n))
	l.text(" [ ")
	l.open("segs", arrayPart)
	for i := min(n, len(b)/segmentSize) - 1; i >= 0; i-- {
		from := len(l.buf)
		l.shown = -1
		l.address(netip.AddrFrom16([16]byte([]byte(b[i*segmentSize:][:segmentSize]))))
		l.add(part{text: "% ", kind: stringField, from: from})
	}
	l.close()
	l.text("] ")
	return true
}

func (l *line) srhHMAC() bool {
	b := l.header
	if len(b) < srhHeader || b[5]&srhFlagHMAC == 0 {
		return false
	}
	end := (int(b[1]) + 1) * 8
	if end < srhHeader+hmacSize || end > len(b) {
		return false
	}
	id := binary.BigEndian.Uint32([]byte(b[end-hmacSize+4:]))
	l.word(hex(id))
	l.instead()
	return l.word(fmt.Sprintf("%X", id))
}

func (b *RouteBuilder) setHMAC(s string) bool {
	b.tunnel.signed = true
	return setHex(&b.tunnel.hmac, s, 32)
}

// srh writes a segment routing header.
func (t *tunnelParts) srh() []byte {
	n := len(t.segments)
	size := srhHeader + n*segmentSize
	if t.signed {
		size += hmacSize
	}
	b := make([]byte, size)
	b[1], b[2], b[3], b[4] = byte(size/8-1), routingSegments, byte(n-1), byte(n-1)
	t.writeSegments(b[srhHeader:])
	if t.signed {
		b[5] = srhFlagHMAC
		tlv := b[size-hmacSize:]
		tlv[0], tlv[1] = tlvHMAC, hmacSize-2
		binary.BigEndian.PutUint32(tlv[4:], t.hmac)
	}
	return b
}

func (t *tunnelParts) writeSegments(b []byte) {
	for i, a := range t.segments {
		copy(b[(len(t.segments)-1-i)*segmentSize:], a.AsSlice())
	}
}

// seg6LocalFields are SEG6_LOCAL_*.
func seg6LocalFields() []lineField {
	return []lineField{
		{key: "action", text: "action % ", get: (*line).localAction, set: (*RouteBuilder).setLocalAction},
		{key: "srh", kind: treeField, get: (*line).localHeader, tree: localHeaderTree()},
		tableField("table", "table % ", localTable),
		tableField("vrftable", "vrftable % ", localVRFTable),
		addressField("nh4", "nh4 % ", localNH4),
		addressField("nh6", "nh6 % ", localNH6),
		linkField("iif", "iif % ", localIIF),
		linkField("oif", "oif % ", localOIF),
		programField("endpoint", localBPF),
		{key: "stats64", kind: treeField, get: (*line).localCounters, tree: countersTree()},
		{key: "flavors", kind: treeField, get: (*line).localFlavors, tree: flavorsTree()},
		flavorField("lblen", flavorBlockBits),
		flavorField("nflen", flavorFunctionBits),
	}
}

const (
	localAction   = 1
	localSRH      = 2
	localBPF      = 8
	localCounters = 10
	localFlavors  = 11

	counterPackets = 2
	counterErrors  = 4
)

func (l *line) localAction() bool {
	n, ok := l.tunnel.uint32(localAction)
	if n >= uint32(len(localActions)) {
		return l.word("<invalid>")
	}
	return ok && l.word(wordOf(localActions, n))
}

// localActions are SEG6_LOCAL_ACTION_*.
var localActions = []string{
	"", "End", "End.X", "End.T", "End.DX2", "End.DX6", "End.DX4", "End.DT6", "End.DT4", "End.B6",
	"End.B6.Encaps", "End.BM", "End.S", "End.AS", "End.AM", "End.BPF", "End.DT46",
}

func (b *RouteBuilder) setLocalAction(s string) bool {
	n := slices.Index(localActions, s)
	return n > 0 && b.tunnel.put32(localAction, uint32(n))
}

func (l *line) localHeader() bool {
	var ok bool
	if l.header, ok = l.tunnel.get(localSRH); !ok || len(l.header) < srhHeader {
		return false
	}
	l.open("srh", objectPart)
	l.fields(localHeaderFields())
	l.close()
	return true
}

func localHeaderFields() []lineField { return []lineField{segmentsField(), hmacField()} }

func localHeaderTree() *tree {
	return &tree{fields: localHeaderFields, end: func(b *RouteBuilder) { b.tunnel.put(localSRH, b.tunnel.srh()) }}
}

func (l *line) localCounters() bool {
	var ok bool
	if l.option, ok = l.tunnel.nested(localCounters); !ok || !l.view.Stats {
		return false
	}
	l.open("stats64", objectPart)
	l.fields(counterFields())
	l.close()
	return true
}

func counterFields() []lineField {
	return []lineField{counterField("packets", 2), counterField("bytes", 3), counterField("errors", 4)}
}

func countersTree() *tree {
	return &tree{fields: counterFields, end: func(b *RouteBuilder) {
		var counters wire
		for typ := uint16(counterPackets); typ <= counterErrors; typ++ {
			counters.attribute(typ, []byte(b.tunnel.options[typ]))
		}
		b.tunnel.put(localCounters|attrNested, counters)
		b.tunnel.options = nil
	}}
}

func counterField(key string, typ uint16) lineField {
	return lineField{key: key, text: key + " % ", kind: numberField, get: func(l *line) bool {
		n, _ := l.option.uint64(typ)
		return l.number(n)
	}, set: func(b *RouteBuilder, s string) bool {
		n, ok := digits(s, 64)
		return ok && b.tunnel.option(typ, binary.NativeEndian.AppendUint64(nil, n))
	}}
}

// flavors are SEG6_LOCAL_FLV_OP_*, by bit.
var flavors = []string{"", "psp", "usp", "usd", "next-csid"}

func (l *line) localFlavors() bool {
	attrs, _ := l.tunnel.nested(localFlavors)
	bits, ok := attrs.uint32(flavorOperation)
	if !ok {
		return false
	}
	l.text("flavors ")
	l.open("flavors", arrayPart)
	text := "%"
	for i, name := range flavors {
		if name != "" && bits&(1<<i) != 0 {
			l.item(text, name)
			text = ",%"
		}
	}
	l.close()
	l.text(" ")
	return true
}

func flavorsTree() *tree {
	return &tree{array: true, item: func(b *RouteBuilder, word string) bool {
		n := slices.Index(flavors, word)
		if n < 1 {
			return false
		}
		b.tunnel.flavors |= 1 << n
		return b.tunnel.flavor(flavorOperation, binary.NativeEndian.AppendUint32(nil, b.tunnel.flavors))
	}}
}

func flavorField(key string, typ uint16) lineField {
	return lineField{key: key, text: key + " % ", kind: numberField, get: func(l *line) bool {
		attrs, _ := l.tunnel.nested(localFlavors)
		n, ok := attrs.uint8(typ)
		return ok && l.number(uint64(n))
	}, set: func(b *RouteBuilder, s string) bool {
		var n uint8
		return setNumber(&n, s, 8) && b.tunnel.flavor(typ, []byte{n})
	}}
}

// rplFields are RPL_IPTUNNEL_*: a header that is much like that of segment
// routing (RFC 6554).
func rplFields() []lineField {
	return []lineField{
		{key: "segs", kind: treeField, get: (*line).rplSegments, tree: segmentsTree()},
	}
}

const rplSRH = 1

func (l *line) rplSegments() bool {
	b, _ := l.tunnel.get(rplSRH)
	return len(b) >= srhHeader && l.segments(b[srhHeader:], int(b[3]))
}

func (t *tunnelParts) rpl() []byte {
	n := len(t.segments)
	b := make([]byte, srhHeader+n*segmentSize)
	b[1], b[2], b[3] = byte(len(b)/8-1), routingRPL, byte(n)
	t.writeSegments(b[srhHeader:])
	return b
}

// ioam6Fields are IOAM6_IPTUNNEL_*.
func ioam6Fields() []lineField {
	return []lineField{
		{key: "freqk", text: "freq %", kind: numberField, get: func(l *line) bool { return l.ioam6Number(ioam6FreqK) }, set: setIOAM6(ioam6FreqK)},
		{key: "freqn", text: "/% ", kind: numberField, get: func(l *line) bool { return l.ioam6Number(ioam6FreqN) }, set: setIOAM6(ioam6FreqN)},
		{key: "mode", text: "mode % ", get: (*line).ioam6Mode, set: (*RouteBuilder).setIOAM6Mode},
		ioam6Address("tunsrc", "tunsrc % ", ioam6Src),
		ioam6Address("tundst", "tundst % ", ioam6Dst),
		{key: "trace", text: "trace ", kind: nullField, get: (*line).ioam6Consistent, set: func(b *RouteBuilder, _ string) bool { return true }},
		{key: "prealloc", text: "prealloc ", kind: nullField, get: (*line).ioam6Consistent, set: func(b *RouteBuilder, _ string) bool { return true }},
		{key: "type", text: "type % ", get: (*line).ioam6Type, set: (*RouteBuilder).setIOAM6Type},
		{key: "ns", text: "ns % ", kind: numberField, get: (*line).ioam6Namespace, set: (*RouteBuilder).setIOAM6Namespace},
		{key: "size", text: "size % ", kind: numberField, get: (*line).ioam6Size, set: (*RouteBuilder).setIOAM6Size},
	}
}

// ioam6ModeWords are IOAM6_IPTUNNEL_MODE_*.
var ioam6ModeWords = []string{"", "inline", "encap", "auto"}

const ioam6TraceSize = 8

// ioam6Whole reports whether the tunnel has all that ip wants to see.
func (l *line) ioam6Whole() bool {
	_, hasMode := l.tunnel.uint8(ioam6Mode)
	trace, _ := l.tunnel.get(ioam6Trace)
	_, hasK := l.tunnel.uint32(ioam6FreqK)
	_, hasN := l.tunnel.uint32(ioam6FreqN)
	return hasMode && len(trace) >= ioam6TraceSize && hasK && hasN
}

// ioam6Consistent reports whether there is an outer header exactly where the
// mode has one. ip shows nothing behind the frequency otherwise.
func (l *line) ioam6Consistent() bool {
	mode, _ := l.tunnel.uint8(ioam6Mode)
	_, hasDst := l.tunnel.address(ioam6Dst)
	_, hasSrc := l.tunnel.address(ioam6Src)
	if mode == ioam6Inline {
		return l.ioam6Whole() && !hasSrc
	}
	return l.ioam6Whole() && hasDst
}

func (l *line) ioam6Number(typ uint16) bool {
	n, _ := l.tunnel.uint32(typ)
	return l.ioam6Whole() && l.number(uint64(n))
}

func setIOAM6(typ uint16) func(*RouteBuilder, string) bool {
	return func(b *RouteBuilder, s string) bool {
		var n uint32
		return setNumber(&n, s, 32) && b.tunnel.put32(typ, n)
	}
}

func (l *line) ioam6Mode() bool {
	mode, _ := l.tunnel.uint8(ioam6Mode)
	return l.ioam6Consistent() && l.word(wordOf(ioam6ModeWords, uint32(mode)))
}

func (b *RouteBuilder) setIOAM6Mode(s string) bool {
	n := slices.Index(ioam6ModeWords, s)
	return n > 0 && b.tunnel.put(ioam6Mode, []byte{byte(n)})
}

func ioam6Address(key, text string, typ uint16) lineField {
	f := coloredField(key, text, typ)
	address := f.get
	f.get = func(l *line) bool {
		mode, _ := l.tunnel.uint8(ioam6Mode)
		return mode != ioam6Inline && l.ioam6Consistent() && address(l)
	}
	return f
}

// ioam6Trace returns what is collected: a namespace, a length and a type
// (struct ioam6_trace_hdr).
func (l *line) ioam6Trace() string {
	trace, _ := l.tunnel.get(ioam6Trace)
	if !l.ioam6Consistent() {
		return "\x00\x00\x00\x00\x00\x00\x00\x00"
	}
	return trace
}

func (l *line) ioam6Type() bool {
	typ := binary.BigEndian.Uint32([]byte(l.ioam6Trace()[4:8])) >> 8
	l.buf = strconv.AppendUint(l.buf, uint64(typ), 16)
	l.instead()
	return l.word(fmt.Sprintf("0x%06x", typ)) && l.ioam6Consistent()
}

func (b *RouteBuilder) setIOAM6Type(s string) bool {
	n, err := strconv.ParseUint(s, 16, 24)
	binary.BigEndian.PutUint32(b.tunnel.trace[4:], uint32(n)<<8)
	return err == nil && b.tunnel.put(ioam6Trace, b.tunnel.trace[:])
}

func (l *line) ioam6Namespace() bool {
	trace := l.ioam6Trace()
	return l.number(uint64(trace[0])<<8|uint64(trace[1])) && l.ioam6Consistent()
}

func (b *RouteBuilder) setIOAM6Namespace(s string) bool {
	var n uint16
	ok := setNumber(&n, s, 16)
	binary.BigEndian.PutUint16(b.tunnel.trace[:], n)
	return ok && b.tunnel.put(ioam6Trace, b.tunnel.trace[:])
}

func (l *line) ioam6Size() bool {
	return l.number(uint64(l.ioam6Trace()[3]>>1)*4) && l.ioam6Consistent()
}

func (b *RouteBuilder) setIOAM6Size(s string) bool {
	var n uint16
	ok := setNumber(&n, s, 16)
	b.tunnel.trace[3] = byte(n / 4 << 1)
	return ok && n%4 == 0 && n/4 < 128 && b.tunnel.put(ioam6Trace, b.tunnel.trace[:])
}

// tunnelParts are a tunnel while it is read.
type tunnelParts struct {
	kind     uint16
	attrs    map[uint16]rpdb.Raw // by number, with the bit that says there are more in it
	flags    uint16
	options  map[uint16]string // of one object of options
	mode     uint32
	segments []netip.Addr
	signed   bool
	hmac     uint32
	flavors  uint32
	inner    wire // of the flavors
	trace    [ioam6TraceSize]byte
}

func (t *tunnelParts) put(typ uint16, value []byte) bool {
	if t.attrs == nil {
		t.attrs = map[uint16]rpdb.Raw{}
	}
	var w wire
	w.attribute(typ, value)
	t.attrs[typ&attributeType] = rpdb.Raw(w)
	return true
}

func (t *tunnelParts) put32(typ uint16, n uint32) bool {
	return t.put(typ, binary.NativeEndian.AppendUint32(nil, n))
}

// option takes an attribute of the object of options that is open.
func (t *tunnelParts) option(typ uint16, value []byte) bool {
	if t.options == nil {
		t.options = map[uint16]string{}
	}
	t.options[typ] = string(value)
	return true
}

func (t *tunnelParts) optionByte(typ uint16, s string) bool {
	var n uint8
	return setNumber(&n, s, 8) && t.option(typ, []byte{n})
}

// addOption ends an object of options of a kind, of which there may be several
// if it is a list.
func (t *tunnelParts) addOption(kind uint16, list bool, order ...uint16) {
	var inner wire
	if list {
		inner = wire(t.inner)
	}
	for _, typ := range order {
		if value, ok := t.options[typ]; ok {
			inner.attribute(typ, []byte(value))
		}
	}
	t.inner, t.options = inner, nil
	var options wire
	options.attribute(kind, inner)
	t.put(tunnelOptions, options)
}

// flavor takes an attribute of the flavors, which come in order.
func (t *tunnelParts) flavor(typ uint16, value []byte) bool {
	if typ == flavorOperation { // grows with each word
		t.inner = nil
	}
	t.inner.attribute(typ, value)
	return t.put(localFlavors|attrNested, t.inner)
}

// encap returns the attributes of the tunnel, as the kernel would tell them.
func (t *tunnelParts) encap() (b rpdb.Raw) {
	switch t.kind {
	case encapSeg6:
		t.put(seg6SRH, append(binary.NativeEndian.AppendUint32(nil, t.mode), t.srh()...))
	case encapRPL:
		t.put(rplSRH, t.rpl())
	case encapIP, encapIP6: // whose flags the kernel tells even if there are none
		t.put(tunnelFlags, binary.BigEndian.AppendUint16(nil, t.flags))
	}
	for _, typ := range encapKinds[t.kind].order {
		b += t.attrs[typ]
	}
	return b
}
