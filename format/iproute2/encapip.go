package iproute2

import "fmt"

// ipFields are LWTUNNEL_IP_*.
var ipFields = []lineField{
	{key: "id", text: "id % ", kind: numberField, get: (*line).tunnelID},
	coloredField("src", "src % ", 3),
	coloredField("dst", "dst % ", 2),
	byteField("ttl", "ttl % ", 4),
	byteField("tos", "tos % ", 5),
	flagField("key", 4),
	flagField("csum", 1),
	flagField("seq", 8),
	{kind: treeField, get: (*line).tunnelOptions},
}

// ip6Fields are LWTUNNEL_IP6_*, which are the same in other words.
var ip6Fields = []lineField{
	{key: "id", text: "id % ", kind: numberField, get: (*line).tunnelID},
	coloredField("src", "src % ", 3),
	coloredField("dst", "dst % ", 2),
	byteField("hoplimit", "hoplimit % ", 4),
	byteField("tc", "tc % ", 5),
	flagField("key", 4),
	flagField("csum", 1),
	flagField("seq", 8),
	{kind: treeField, get: (*line).tunnelOptions},
}

const (
	tunnelID      = 1
	tunnelFlags   = 6
	tunnelOptions = 8
)

func (l *line) tunnelID() bool {
	id, ok := l.tunnel.big(tunnelID, 8)
	return ok && l.number(id)
}

// flagField is one bit of a tunnel's flags (TUNNEL_*).
func flagField(key string, bit uint64) lineField {
	return lineField{key: key, text: key + " ", kind: trueField, get: func(l *line) bool {
		flags, _ := l.tunnel.big(tunnelFlags, 2)
		return flags&bit != 0
	}}
}

// tunnelOptions appends what a packet of the tunnel carries besides, on a line
// of its own. There is one kind of options in a tunnel.
func (l *line) tunnelOptions() bool {
	options, ok := l.tunnel.nested(tunnelOptions)
	if !ok {
		return false
	}
	switch geneve, isGeneve := options.get(1); {
	case isGeneve:
		l.beginOptions("geneve_opts", "\tgeneve_opts ")
		l.geneve(geneve)
	case l.nestedOptions(&options, 2):
		l.beginOptions("vxlan_opts", "\tvxlan_opts ")
		l.open("", objectPart)
		l.fields(vxlanFields)
		l.close()
	case l.nestedOptions(&options, 3):
		l.beginOptions("erspan_opts", "\terspan_opts ")
		l.open("", objectPart)
		l.fields(erspanFields)
		l.close()
	default:
		return false
	}
	l.close()
	return true
}

// nestedOptions makes the attributes of one kind of options the subject.
func (l *line) nestedOptions(options *attributes, kind uint16) bool {
	inner, ok := options.nested(kind)
	if ok {
		l.tunnel = inner
	}
	return ok
}

func (l *line) beginOptions(key, text string) {
	l.newline()
	l.text(text)
	l.open(key, arrayPart)
}

// geneve appends options that follow each other, each of a class, a type and
// data (LWTUNNEL_IP_OPT_GENEVE_*).
func (l *line) geneve(b string) {
	var option attributes
	for {
		typ, value, rest, ok := nextAttribute(b)
		if !ok {
			return
		}
		b = rest
		if typ > 3 {
			continue
		}
		option.values[typ] = value
		option.there |= 1 << typ
		if typ != 3 {
			continue
		}
		class, _ := option.big(1, 2)
		kind, _ := option.uint8(2)
		l.open("", objectPart)
		l.numbered("class", "%", class)
		l.numbered("type", ":%", uint64(kind))
		if len(b) > 0 {
			l.named("data", ":%,", fmt.Sprintf("%x", value))
		} else {
			l.named("data", ":% ", fmt.Sprintf("%x", value))
		}
		l.close()
		option = attributes{}
	}
}

// vxlanFields are LWTUNNEL_IP_OPT_VXLAN_*.
var vxlanFields = []lineField{
	uint32Field("gbp", "% ", 1),
}

// erspanFields are LWTUNNEL_IP_OPT_ERSPAN_*. The first version has an index,
// the second a direction and a number of the hardware; ip shows all, as 0 where
// there is none.
var erspanFields = []lineField{
	{key: "ver", text: "%", kind: numberField, get: func(l *line) bool { return l.number(uint64(l.erspanVersion())) }},
	{key: "index", text: ":%", kind: numberField, get: (*line).erspanIndex},
	{key: "dir", text: ":%", kind: numberField, get: func(l *line) bool { return l.erspanByte(3) }},
	{key: "hwid", text: ":% ", kind: numberField, get: func(l *line) bool { return l.erspanByte(4) }},
}

func (l *line) erspanVersion() uint8 {
	n, _ := l.tunnel.uint8(1)
	return n
}

func (l *line) erspanIndex() bool {
	n, _ := l.tunnel.big(2, 4)
	if l.erspanVersion() != 1 {
		n = 0
	}
	return l.number(n)
}

func (l *line) erspanByte(typ uint16) bool {
	n, _ := l.tunnel.uint8(typ)
	if l.erspanVersion() == 1 {
		n = 0
	}
	return l.number(uint64(n))
}
