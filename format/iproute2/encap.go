package iproute2

import (
	"strconv"
	"strings"

	"rpdb"
)

// encapKind is one kind: its word, and its fields in the order of the listing.
type encapKind struct {
	word   string
	fields []lineField
}

// encapKinds are all that ip knows, by number.
var encapKinds = [...]encapKind{
	{word: "unknown"},
	encapMPLS:      {"mpls", mplsFields},
	encapIP:        {"ip", ipFields},
	encapILA:       {"ila", ilaFields},
	encapIP6:       {"ip6", ip6Fields},
	encapSeg6:      {"seg6", seg6Fields},
	encapBPF:       {"bpf", bpfFields},
	encapSeg6Local: {"seg6local", seg6LocalFields},
	encapRPL:       {"rpl", rplFields},
	encapIOAM6:     {"ioam6", ioam6Fields},
	encapXfrm:      {"xfrm", xfrmFields},
}

// encap appends the lightweight tunnel of a nexthop. Attributes that are not
// of the length they must have are left out.
func (l *line) encap() bool {
	if l.hop == nil || l.hop.EncapType == 0 {
		return false
	}
	kind := encapKinds[0]
	if int(l.hop.EncapType) < len(encapKinds) {
		kind = encapKinds[l.hop.EncapType]
	}
	l.tunnel.read(l.hop.Encap)
	l.open("encap", objectPart)
	l.named("encap_type", " encap % ", kind.word)
	l.fields(kind.fields)
	if l.view.Exact {
		l.numbered("type_raw", "", uint64(l.hop.EncapType))
		l.fields(rawEncapFields)
	}
	l.close()
	return true
}

var rawEncapFields = []lineField{
	{key: "raw", get: func(l *line) bool { return l.raw(l.hop.Encap) }},
}

// The constructors below make a field of a tunnel that is one attribute.

func byteField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, kind: numberField, get: func(l *line) bool {
		n, ok := l.tunnel.uint8(typ)
		return ok && l.number(uint64(n))
	}}
}

func uint32Field(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, kind: numberField, get: func(l *line) bool {
		n, ok := l.tunnel.uint32(typ)
		return ok && l.number(uint64(n))
	}}
}

// coloredField is an address whose colour covers the word in front.
func coloredField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, whole: true, get: func(l *line) bool {
		a, ok := l.tunnel.address(typ)
		return ok && l.address(a)
	}}
}

// addressField is an address without a colour.
func addressField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, get: func(l *line) bool {
		a, ok := l.tunnel.address(typ)
		if ok {
			l.buf = appendAddress(l.buf, a)
		}
		return ok
	}}
}

func linkField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, get: func(l *line) bool {
		i, ok := l.tunnel.uint32(typ)
		return ok && l.link(rpdb.LinkIndex(i))
	}}
}

func tableField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, get: func(l *line) bool {
		t, ok := l.tunnel.uint32(typ)
		return ok && l.tableName(rpdb.TableID(t))
	}}
}

// wordField is a byte with a word for each value; "" is no word.
func wordField(key, text string, typ uint16, words []string) lineField {
	return lineField{key: key, text: text, get: func(l *line) bool {
		n, ok := l.tunnel.uint8(typ)
		if int(n) < len(words) && words[n] != "" {
			return ok && l.word(words[n])
		}
		return ok && l.word("unknown")
	}}
}

// mplsFields are MPLS_IPTUNNEL_*.
var mplsFields = []lineField{
	{key: "dst", text: " % ", get: (*line).labels},
	byteField("ttl", "ttl % ", 2),
}

const mplsDst = 1

// labels appends a stack of MPLS labels; the last one says that it is.
func (l *line) labels() bool {
	b, _ := l.tunnel.get(mplsDst)
	for i := 0; i+4 <= len(b); i += 4 {
		if i > 0 {
			l.word("/")
		}
		l.number(uint64(b[i])<<12 | uint64(b[i+1])<<4 | uint64(b[i+2])>>4)
		if b[i+2]&1 != 0 {
			return true
		}
	}
	return len(b) >= 4
}

// ilaFields are ILA_ATTR_*.
var ilaFields = []lineField{
	{key: "locator", text: " % ", get: (*line).locator},
	wordField("csum_mode", " csum-mode % ", 7, ilaCsumModes),
	wordField("ident_type", " ident-type % ", 8, ilaIdentTypes),
	wordField("hook_type", " hook-type % ", 9, ilaHookTypes),
}

// The words of ILA, by number (ILA_CSUM_*, ILA_ATYPE_*, ILA_HOOK_*). Of the
// types of identifiers only two can be typed.
var (
	ilaCsumModes   = []string{"adj-transport", "neutral-map", "no-action", "neutral-map-auto"}
	ilaIdentTypes  = []string{"iid", "luid", "virt-v4", "virt-uni-v6", "virt-multi-v6", "nonlocal-addr", 32: "use-format"}
	ilaTypedIdents = []string{1: "luid", 32: "use-format"}
	ilaHookTypes   = []string{"output", "input"}
)

const ilaLocatorAttribute = 1

// locator appends the first half of an IPv6 address.
func (l *line) locator() bool {
	n, ok := l.tunnel.big(ilaLocatorAttribute, 8)
	if !ok {
		return false
	}
	for i := 48; i >= 0; i -= 16 {
		l.buf = strconv.AppendUint(l.buf, n>>i&0xffff, 16)
		if i > 0 {
			l.word(":")
		}
	}
	return true
}

// xfrmFields are LWT_XFRM_*.
var xfrmFields = []lineField{
	uint32Field("if_id", "if_id % ", 1),
	linkField("link_dev", "link_dev % ", 2),
}

// bpfFields are LWT_BPF_*.
var bpfFields = []lineField{
	programField("in", "in ", 1),
	programField("out", "out ", 2),
	programField("xmit", "xmit ", 3),
	uint32Field("headroom", " % ", 4),
}

const bpfProgramName = 2

// programField is a BPF program, which need not have a name.
func programField(key, word string, typ uint16) lineField {
	return lineField{kind: treeField, get: func(l *line) bool {
		program, ok := l.tunnel.nested(typ)
		if !ok {
			return false
		}
		name, named := program.get(bpfProgramName)
		l.text(word)
		if named {
			l.named(key, "% ", strings.TrimRight(name, "\x00"))
		} else {
			l.named(key, "", "<unknown>")
		}
		return true
	}}
}
