package iproute2

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// seg6Fields are SEG6_IPTUNNEL_*.
var seg6Fields = []lineField{
	{key: "mode", text: "mode % ", get: (*line).seg6Mode},
	coloredField("tunsrc", "tunsrc % ", 2),
	{kind: treeField, get: (*line).seg6Header},
}

const (
	seg6SRH  = 1
	seg6Mode = 4 // bytes in front of the header
)

// seg6ModeWords are SEG6_IPTUN_MODE_*.
var seg6ModeWords = []string{"inline", "encap", "l2encap", "encap.red", "l2encap.red"}

func (l *line) seg6Mode() bool {
	b, _ := l.tunnel.get(seg6SRH)
	if len(b) < seg6Mode {
		return false
	}
	return l.word(wordOf(seg6ModeWords, native32(b)))
}

func (l *line) seg6Header() bool {
	b, _ := l.tunnel.get(seg6SRH)
	return len(b) > seg6Mode && l.routingHeader(b[seg6Mode:])
}

// A segment routing header (RFC 8754): eight bytes, segments of sixteen, and
// behind them perhaps an HMAC of forty.
const (
	srhHeader   = 8
	segmentSize = 16
	hmacSize    = 40
	srhFlagHMAC = 8 // of its flags
)

// routingHeader appends the segments, which are stored backwards.
func (l *line) routingHeader(b string) bool {
	if len(b) < srhHeader {
		return false
	}
	l.segments(b[srhHeader:], int(b[4])+1)
	end := (int(b[1]) + 1) * 8
	if b[5]&srhFlagHMAC != 0 && end >= srhHeader+hmacSize && end <= len(b) {
		id := binary.BigEndian.Uint32([]byte(b[end-hmacSize+4:]))
		l.special("hmac", "hmac % ", hex(id), fmt.Sprintf("%X", id))
	}
	return true
}

// special appends a field that people see in another way than programs.
func (l *line) special(key, text, value, shown string) {
	from := len(l.buf)
	l.word(value)
	l.instead()
	l.word(shown)
	l.tint = noTint
	l.add(part{key: key, text: text, kind: stringField, from: from})
}

// segments appends a list of n addresses, the last one first. It is not longer
// than the bytes are.
func (l *line) segments(b string, n int) {
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
}

// seg6LocalFields are SEG6_LOCAL_*.
var seg6LocalFields = []lineField{
	{key: "action", text: "action % ", get: (*line).localAction},
	{kind: treeField, get: (*line).localHeader},
	tableField("table", "table % ", 3),
	tableField("vrftable", "vrftable % ", 9),
	addressField("nh4", "nh4 % ", 4),
	addressField("nh6", "nh6 % ", 5),
	linkField("iif", "iif % ", 6),
	linkField("oif", "oif % ", 7),
	programField("endpoint", "endpoint ", 8),
	{kind: treeField, get: (*line).localCounters},
	{kind: treeField, get: (*line).localFlavors},
}

const (
	localAction   = 1
	localSRH      = 2
	localCounters = 10
	localFlavors  = 11
)

// localActions are SEG6_LOCAL_ACTION_*.
var localActions = []string{
	"", "End", "End.X", "End.T", "End.DX2", "End.DX6", "End.DX4", "End.DT6", "End.DT4", "End.B6",
	"End.B6.Encaps", "End.BM", "End.S", "End.AS", "End.AM", "End.BPF", "End.DT46",
}

func (l *line) localAction() bool {
	n, ok := l.tunnel.uint32(localAction)
	if n >= uint32(len(localActions)) {
		return l.word("<invalid>")
	}
	return ok && l.word(wordOf(localActions, n))
}

func (l *line) localHeader() bool {
	b, ok := l.tunnel.get(localSRH)
	if !ok || len(b) < srhHeader {
		return false
	}
	l.open("srh", objectPart)
	l.routingHeader(b)
	l.close()
	return true
}

func (l *line) localCounters() bool {
	counters, ok := l.tunnel.nested(localCounters)
	if !ok || !l.view.Stats {
		return false
	}
	l.open("stats64", objectPart)
	for i, key := range []string{"packets", "bytes", "errors"} {
		n, _ := counters.uint64(uint16(2 + i))
		l.text(key)
		l.numbered(key, " % ", n)
	}
	l.close()
	return true
}

// flavors are SEG6_LOCAL_FLV_OP_*, by bit.
var flavors = []string{"", "psp", "usp", "usd", "next-csid"}

func (l *line) localFlavors() bool {
	attrs, ok := l.tunnel.nested(localFlavors)
	if !ok {
		return false
	}
	if bits, ok := attrs.uint32(1); ok {
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
	}
	if n, ok := attrs.uint8(2); ok {
		l.numbered("lblen", "lblen % ", uint64(n))
	}
	if n, ok := attrs.uint8(3); ok {
		l.numbered("nflen", "nflen % ", uint64(n))
	}
	return true
}

// rplFields are RPL_IPTUNNEL_*.
var rplFields = []lineField{
	{kind: treeField, get: (*line).rplHeader},
}

const rplSRH = 1

func (l *line) rplHeader() bool {
	b, _ := l.tunnel.get(rplSRH)
	if len(b) < srhHeader {
		return false
	}
	l.segments(b[srhHeader:], int(b[3]))
	return true
}

// ioam6Fields are IOAM6_IPTUNNEL_*.
var ioam6Fields = []lineField{
	{kind: treeField, get: (*line).ioam6},
}

// ioam6ModeWords are IOAM6_IPTUNNEL_MODE_*.
var ioam6ModeWords = []string{"", "inline", "encap", "auto"}

// wordOf returns the word of a number, and one for all that have none.
func wordOf(words []string, n uint32) string {
	if n < uint32(len(words)) && words[n] != "" {
		return words[n]
	}
	return "<unknown>"
}

// ioam6 appends what ip finds consistent: nothing without a mode, a trace and a
// frequency, and an outer header exactly where the mode has one.
func (l *line) ioam6() bool {
	mode, hasMode := l.tunnel.uint8(ioam6Mode)
	trace, _ := l.tunnel.get(ioam6Trace)
	k, hasK := l.tunnel.uint32(ioam6FreqK)
	n, hasN := l.tunnel.uint32(ioam6FreqN)
	if !hasMode || len(trace) < srhHeader || !hasK || !hasN {
		return false
	}
	l.numbered("freqk", "freq %", uint64(k))
	l.numbered("freqn", "/% ", uint64(n))
	_, hasDst := l.tunnel.address(ioam6Dst)
	_, hasSrc := l.tunnel.address(ioam6Src)
	if inline := mode == ioam6Inline; inline && hasSrc || !inline && !hasDst {
		return true
	}
	l.named("mode", "mode % ", wordOf(ioam6ModeWords, uint32(mode)))
	if mode != ioam6Inline {
		l.fields(ioam6OuterFields)
	}
	typ := binary.BigEndian.Uint32([]byte(trace[4:8])) >> 8
	l.fields(ioam6TraceFields)
	l.special("type", "type % ", fmt.Sprintf("%x", typ), fmt.Sprintf("0x%06x", typ))
	l.numbered("ns", "ns % ", uint64(trace[0])<<8|uint64(trace[1]))
	l.numbered("size", "size % ", uint64(trace[3])>>1*4)
	return true
}

var ioam6OuterFields = []lineField{
	coloredField("tunsrc", "tunsrc % ", ioam6Src),
	coloredField("tundst", "tundst % ", ioam6Dst),
}

var ioam6TraceFields = []lineField{
	{key: "trace", text: "trace ", kind: nullField},
	{key: "prealloc", text: "prealloc ", kind: nullField},
}
