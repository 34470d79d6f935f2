package iproute2

import (
	"encoding/binary"
	hexbytes "encoding/hex"
)

// tunnelFields are LWTUNNEL_IP_* and LWTUNNEL_IP6_*, which differ in two words.
func tunnelFields(ttl, tos string) []lineField {
	return []lineField{
		{key: "id", text: "id % ", kind: numberField, get: (*line).tunnelID, set: (*RouteBuilder).setTunnelID},
		coloredField("src", "src % ", 3),
		coloredField("dst", "dst % ", 2),
		byteField(ttl, ttl+" % ", 4),
		byteField(tos, tos+" % ", 5),
		flagField("key", tunnelKey),
		flagField("csum", tunnelCsum),
		flagField("seq", tunnelSeq),
		geneveField, vxlanField, erspanField,
	}
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

func (b *RouteBuilder) setTunnelID(s string) bool {
	id, ok := digits(s, 64)
	return ok && b.tunnel.put(tunnelID, binary.BigEndian.AppendUint64(nil, id))
}

// flagField is one bit of a tunnel's flags (TUNNEL_*).
func flagField(key string, bit uint16) lineField {
	return lineField{key: key, text: key + " ", kind: trueField, get: func(l *line) bool {
		flags, _ := l.tunnel.big(tunnelFlags, 2)
		return uint16(flags)&bit != 0
	}, set: func(b *RouteBuilder, _ string) bool {
		b.tunnel.flags |= bit
		return true
	}}
}

// What a packet of the tunnel carries besides stands on a line of its own. ip
// shows one kind of options.
var (
	geneveField = lineField{key: "geneve_opts", kind: treeField, get: (*line).geneve, tree: &geneveTree}
	vxlanField  = lineField{key: "vxlan_opts", kind: treeField, tree: &vxlanTree, get: func(l *line) bool {
		return l.tunnelOptions("vxlan_opts", "\tvxlan_opts ", optsVXLAN, vxlanFields())
	}}
	erspanField = lineField{key: "erspan_opts", kind: treeField, tree: &erspanTree, get: func(l *line) bool {
		return l.tunnelOptions("erspan_opts", "\terspan_opts ", optsERSPAN, erspanFields())
	}}

	geneveTree = tree{
		array: true, fields: geneveFields,
		end: func(b *RouteBuilder) { b.tunnel.addOption(optsGeneve, true, geneveClass, geneveType, geneveData) },
	}
	vxlanTree = tree{
		array: true, fields: vxlanFields,
		end: func(b *RouteBuilder) { b.tunnel.addOption(optsVXLAN, false, vxlanGBP) },
	}
	erspanTree = tree{array: true, fields: erspanFields, end: (*RouteBuilder).endERSPAN}
)

// tunnelOptions appends options that are one object.
func (l *line) tunnelOptions(key, text string, kind uint16, list []lineField) bool {
	options, _ := l.tunnel.nested(tunnelOptions)
	inner, ok := options.nested(kind)
	if !ok {
		return false
	}
	l.option = inner
	l.newline()
	l.text(text)
	l.open(key, arrayPart)
	l.open("", objectPart)
	l.fields(list)
	l.close()
	l.close()
	return true
}

// Attributes of options (LWTUNNEL_IP_OPT_GENEVE_*, LWTUNNEL_IP_OPT_VXLAN_*,
// LWTUNNEL_IP_OPT_ERSPAN_*).
const (
	geneveClass = 1
	geneveType  = 2
	geneveData  = 3

	vxlanGBP = 1

	erspanVersion   = 1
	erspanIndex     = 2
	erspanDirection = 3
	erspanHardware  = 4
)

// geneve appends options that follow each other, each of a class, a type and
// data.
func (l *line) geneve() bool {
	options, _ := l.tunnel.nested(tunnelOptions)
	rest, ok := options.get(optsGeneve)
	if !ok {
		return false
	}
	l.newline()
	l.text("\tgeneve_opts ")
	l.open("geneve_opts", arrayPart)
	l.option = attributes{}
	for {
		typ, value, next, ok := nextAttribute(rest)
		if !ok {
			break
		}
		rest = next
		if typ > geneveData {
			continue
		}
		l.option.values[typ] = value
		l.option.there |= 1 << typ
		if typ == geneveData {
			l.open("", objectPart)
			l.fields(geneveFields())
			l.close()
			if rest != "" {
				l.text(",")
			} else {
				l.text(" ")
			}
			l.option = attributes{}
		}
	}
	l.close()
	return true
}

func geneveFields() []lineField {
	return []lineField{
		{key: "class", text: "%", kind: numberField, get: func(l *line) bool {
			n, _ := l.option.big(geneveClass, 2)
			return l.number(n)
		}, set: func(b *RouteBuilder, s string) bool {
			var n uint16
			return setNumber(&n, s, 16) && b.tunnel.option(geneveClass, binary.BigEndian.AppendUint16(nil, n))
		}},
		{key: "type", text: ":%", kind: numberField, get: func(l *line) bool {
			n, _ := l.option.uint8(geneveType)
			return l.number(uint64(n))
		}, set: func(b *RouteBuilder, s string) bool { return b.tunnel.optionByte(geneveType, s) }},
		{key: "data", text: ":%", get: func(l *line) bool {
			data, _ := l.option.get(geneveData)
			l.buf = hexbytes.AppendEncode(l.buf, []byte(data))
			return true
		}, set: func(b *RouteBuilder, s string) bool {
			data, err := hexbytes.DecodeString(s)
			return err == nil && b.tunnel.option(geneveData, data)
		}},
	}
}

func vxlanFields() []lineField {
	return []lineField{
		{key: "gbp", text: "% ", kind: numberField, get: func(l *line) bool {
			n, ok := l.option.uint32(vxlanGBP)
			return ok && l.number(uint64(n))
		}, set: func(b *RouteBuilder, s string) bool {
			var n uint32
			return setNumber(&n, s, 32) && b.tunnel.option(vxlanGBP, binary.NativeEndian.AppendUint32(nil, n))
		}},
	}
}

// The first version of ERSPAN has an index, the second a direction and a number
// of the hardware. ip shows all, as 0 where there is none.
func erspanFields() []lineField {
	return []lineField{
		{key: "ver", text: "%", kind: numberField, get: func(l *line) bool {
			n, _ := l.option.uint8(erspanVersion)
			return l.number(uint64(n))
		}, set: func(b *RouteBuilder, s string) bool { return b.tunnel.optionByte(erspanVersion, s) }},
		{key: "index", text: ":%", kind: numberField, get: func(l *line) bool {
			n, _ := l.option.big(erspanIndex, 4)
			return l.erspan(n, true)
		}, set: func(b *RouteBuilder, s string) bool {
			var n uint32
			return setNumber(&n, s, 32) && b.tunnel.option(erspanIndex, binary.BigEndian.AppendUint32(nil, n))
		}},
		erspanByte("dir", ":%", erspanDirection),
		erspanByte("hwid", ":% ", erspanHardware),
	}
}

// erspanByte is a byte that the second version has.
func erspanByte(key, text string, typ uint16) lineField {
	return lineField{key: key, text: text, kind: numberField, get: func(l *line) bool {
		n, _ := l.option.uint8(typ)
		return l.erspan(uint64(n), false)
	}, set: func(b *RouteBuilder, s string) bool { return b.tunnel.optionByte(typ, s) }}
}

// erspan appends a number that belongs to the first version or to the others.
func (l *line) erspan(n uint64, first bool) bool {
	if v, _ := l.option.uint8(erspanVersion); (v == 1) != first {
		n = 0
	}
	return l.number(n)
}

// endERSPAN drops what the version does not have.
func (b *RouteBuilder) endERSPAN() {
	if b.tunnel.options[erspanVersion] == "\x01" {
		b.tunnel.addOption(optsERSPAN, false, erspanVersion, erspanIndex)
	} else {
		b.tunnel.addOption(optsERSPAN, false, erspanVersion, erspanDirection, erspanHardware)
	}
}
