package iproute2

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// encapKind is one kind of lightweight tunnels: its word, its fields in the
// order of the listing, and its attributes in the order in which the kernel
// tells them.
type encapKind struct {
	word   string
	fields func() []lineField
	order  []uint16
}

// encapKinds are all that ip knows, by number (LWTUNNEL_ENCAP_*). Their fields are
// made when the first tunnel is met: a program that lists rules does not wait for
// them when it starts.
var encapKinds = [...]encapKind{
	{word: "unknown", fields: func() []lineField { return nil }},
	encapMPLS:      {"mpls", mplsFields, []uint16{1, 2}},
	encapIP:        {"ip", func() []lineField { return tunnelFields("ttl", "tos") }, []uint16{1, 2, 3, 5, 4, 6, 8}},
	encapILA:       {"ila", ilaFields, []uint16{1, 7, 8, 9}},
	encapIP6:       {"ip6", func() []lineField { return tunnelFields("hoplimit", "tc") }, []uint16{1, 2, 3, 5, 4, 6, 8}},
	encapSeg6:      {"seg6", seg6Fields, []uint16{1, 2}},
	encapBPF:       {"bpf", bpfFields, []uint16{1, 2, 3, 4}},
	encapSeg6Local: {"seg6local", seg6LocalFields, []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	encapRPL:       {"rpl", rplFields, []uint16{1}},
	encapIOAM6:     {"ioam6", ioam6Fields, []uint16{4, 5, 1, 6, 2, 3}},
	encapXfrm:      {"xfrm", xfrmFields, []uint16{1, 2}},
}

// kindOfEncap returns what is known of a kind.
func kindOfEncap(n uint16) encapKind {
	if int(n) < len(encapKinds) {
		return encapKinds[n]
	}
	return encapKinds[0]
}

// encap appends the lightweight tunnel of a nexthop. Attributes that are not
// of the length they must have are left out.
func (l *line) encap() bool {
	if l.hop == nil || l.hop.EncapType == 0 {
		return false
	}
	kind := kindOfEncap(l.hop.EncapType)
	l.tunnel.read(l.hop.Encap)
	l.open("encap", objectPart)
	l.named("encap_type", " encap % ", kind.word)
	l.fields(l.kindFields(l.hop.EncapType))
	l.fields(rawEncapFields)
	l.close()
	return true
}

// kindFields returns the fields of a kind, made once for all entries.
func (l *line) kindFields(n uint16) []lineField {
	list, made := l.ofKind[n]
	if !made {
		if l.ofKind == nil {
			l.ofKind = map[uint16][]lineField{}
		}
		list = kindOfEncap(n).fields()
		l.ofKind[n] = list
	}
	return list
}

// rawEncapFields are for those who want the tunnel byte for byte.
var rawEncapFields = []lineField{
	{key: "type_raw", kind: numberField, get: func(l *line) bool {
		return l.view.Exact && l.number(uint64(l.hop.EncapType))
	}, set: (*RouteBuilder).setEncapNumber},
	{key: "raw", get: func(l *line) bool { return l.view.Exact && l.raw(l.hop.Encap) }, set: (*RouteBuilder).setEncapBytes},
}

// encapTree is the object of a tunnel; the fields of its kind go before these.
var encapTree = tree{fields: func() []lineField {
	return append([]lineField{{key: "encap_type", set: (*RouteBuilder).setEncapType}}, rawEncapFields...)
}, end: (*RouteBuilder).endEncap}

// The constructors below make a field of a tunnel that is one attribute.

func byteField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, kind: numberField, get: func(l *line) bool {
		n, ok := l.tunnel.uint8(typ)
		return ok && l.number(uint64(n))
	}, set: func(b *RouteBuilder, s string) bool {
		var n uint8
		return setNumber(&n, s, 8) && b.tunnel.put(typ, []byte{n})
	}}
}

func uint32Field(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, kind: numberField, get: func(l *line) bool {
		n, ok := l.tunnel.uint32(typ)
		return ok && l.number(uint64(n))
	}, set: func(b *RouteBuilder, s string) bool {
		var n uint32
		return setNumber(&n, s, 32) && b.tunnel.put32(typ, n)
	}}
}

// coloredField is an address whose colour covers the word in front.
func coloredField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, whole: true, get: func(l *line) bool {
		a, ok := l.tunnel.address(typ)
		return ok && l.address(a)
	}, set: setTunnelAddress(typ)}
}

func setTunnelAddress(typ uint16) func(*RouteBuilder, string) bool {
	return func(b *RouteBuilder, s string) bool {
		a, ok := plainAddr(s)
		return ok && b.tunnel.put(typ, a.AsSlice())
	}
}

// addressField is an address without a colour.
func addressField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, get: func(l *line) bool {
		a, ok := l.tunnel.address(typ)
		if ok {
			l.buf = appendAddress(l.buf, a)
		}
		return ok
	}, set: setTunnelAddress(typ)}
}

func linkField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, get: func(l *line) bool {
		i, ok := l.tunnel.uint32(typ)
		return ok && l.link(rpdb.LinkIndex(i))
	}, set: func(b *RouteBuilder, s string) bool {
		i, ok := b.link(s)
		return ok && b.tunnel.put32(typ, uint32(i))
	}}
}

func tableField(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, get: func(l *line) bool {
		t, ok := l.tunnel.uint32(typ)
		return ok && l.tableName(rpdb.TableID(t))
	}, set: func(b *RouteBuilder, s string) bool {
		t, ok := b.context.Names.TableByName(s)
		return ok && b.tunnel.put32(typ, uint32(t))
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
	}, set: func(b *RouteBuilder, s string) bool {
		n := slices.Index(words, s)
		return s != "" && n >= 0 && b.tunnel.put(typ, []byte{byte(n)})
	}}
}

// mplsFields are MPLS_IPTUNNEL_*.
func mplsFields() []lineField {
	return []lineField{
		{key: "dst", text: " % ", get: (*line).labels, set: (*RouteBuilder).setLabels},
		byteField("ttl", "ttl % ", 2),
	}
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

func (b *RouteBuilder) setLabels(s string) bool {
	var stack []byte
	words := strings.Split(s, "/")
	for i, word := range words {
		n, ok := digits(word, labelBits)
		if !ok {
			return false
		}
		entry := uint32(n) << 12
		if i == len(words)-1 {
			entry |= 1 << 8
		}
		stack = binary.BigEndian.AppendUint32(stack, entry)
	}
	return b.tunnel.put(mplsDst, stack)
}

// ilaFields are ILA_ATTR_*.
func ilaFields() []lineField {
	return []lineField{
		{key: "locator", text: " % ", get: (*line).locator, set: (*RouteBuilder).setLocator},
		wordField("csum_mode", " csum-mode % ", 7, ilaCsumModes),
		wordField("ident_type", " ident-type % ", 8, ilaIdentTypes),
		wordField("hook_type", " hook-type % ", 9, ilaHookTypes),
	}
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

func (b *RouteBuilder) setLocator(s string) bool {
	var locator []byte
	words := strings.Split(s, ":")
	for _, word := range words {
		n, err := strconv.ParseUint(word, 16, 16)
		if err != nil {
			return false
		}
		locator = binary.BigEndian.AppendUint16(locator, uint16(n))
	}
	return len(words) == 4 && b.tunnel.put(ilaLocatorAttribute, locator)
}

// xfrmFields are LWT_XFRM_*.
func xfrmFields() []lineField {
	return []lineField{
		uint32Field("if_id", "if_id % ", 1),
		linkField("link_dev", "link_dev % ", 2),
	}
}

// bpfFields are LWT_BPF_*.
func bpfFields() []lineField {
	return []lineField{
		programField("in", 1),
		programField("out", 2),
		programField("xmit", 3),
		uint32Field("headroom", " % ", 4),
	}
}

const bpfProgramName = 2

// programField is a BPF program. People see nothing behind the word of one that
// has no name.
func programField(key string, typ uint16) lineField {
	return lineField{key: key, text: key + " %", get: func(l *line) bool {
		program, ok := l.tunnel.nested(typ)
		if name, named := program.get(bpfProgramName); named {
			name = strings.TrimRight(name, "\x00")
			l.word(name)
			l.instead()
			l.word(l.names.safe(name) + " ")
		} else {
			l.word(noProgram)
			l.instead()
		}
		return ok
	}, set: func(b *RouteBuilder, s string) bool {
		var program wire
		if s != noProgram {
			program.attribute(bpfProgramName, append([]byte(s), 0))
		}
		if b.tunnel.kind == encapSeg6Local {
			return b.tunnel.put(typ|attrNested, program)
		}
		return b.tunnel.put(typ, program)
	}}
}

const noProgram = "<unknown>"
