package policy

import (
	"fmt"
	"math"
	"strings"

	"rpdb"
)

// maskable is a value with an optional mask behind a slash. A value without
// one has the mask full.
func maskable(words string, most uint64, plain string) scalar[[2]uint64] {
	return scalar[[2]uint64]{
		shape: shape{words, map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 0, "maximum": most},
			map[string]any{"type": "string", "pattern": plain},
		}}},
		form: eitherForm,
		parse: func(text string) ([2]uint64, *problem) {
			value, mask, masked := strings.Cut(text, "/")
			v, why := number(value, most)
			if why != nil || !masked {
				return [2]uint64{v, most}, why
			}
			m, why := number(mask, most)
			switch {
			case why != nil:
				why.reason = "the mask is " + strings.TrimPrefix(why.reason, "is ")
			case m == 0:
				why = bad("the mask 0 selects everything").try("leave the key out")
			case v&^m != 0:
				why = bad("the value has bits outside the mask").try("write 0x%x/0x%x for the same", v&m, m)
			}
			return [2]uint64{v, m}, why
		},
	}
}

const maskedPattern = `^(0|[1-9][0-9]*|0[xX][0-9A-Fa-f]+)(/(0|[1-9][0-9]*|0[xX][0-9A-Fa-f]+))?$`

// convert makes a scalar of another type from one.
func convert[V, W any](s scalar[V], f func(text string, v V) (W, *problem)) scalar[W] {
	return scalar[W]{shape: s.shape, form: s.form, parse: func(text string) (w W, why *problem) {
		v, why := s.parse(text)
		if why != nil {
			return w, why
		}
		return f(text, v)
	}}
}

func fwmark() scalar[rpdb.Mark] {
	s := maskable("`VALUE` or `VALUE/MASK`", math.MaxUint32, maskedPattern)
	return convert(s, func(text string, v [2]uint64) (rpdb.Mark, *problem) {
		if v[0] == 0 && !strings.Contains(text, "/") {
			return rpdb.Mark{}, bad("the kernel takes the mark 0 without a mask as no selector").try("write 0/0xffffffff for packets without a mark")
		}
		return rpdb.Mark{Value: uint32(v[0]), Mask: uint32(v[1])}, nil
	})
}

func flowLabel() scalar[rpdb.FlowLabel] {
	return convert(maskable("`VALUE` or `VALUE/MASK`, 20 bits", 0xfffff, maskedPattern), func(_ string, v [2]uint64) (rpdb.FlowLabel, *problem) {
		return rpdb.FlowLabel{Value: uint32(v[0]), Mask: uint32(v[1])}, nil
	})
}

// dscpNames are the per-hop behaviours of the IANA registry.
func dscpNames() map[string]uint8 {
	names := map[string]uint8{"ef": 46, "va": 44, "le": 1}
	for class := range uint8(8) {
		names[fmt.Sprintf("cs%d", class)] = class << 3
	}
	for class := uint8(1); class <= 4; class++ {
		for drop := uint8(1); drop <= 3; drop++ {
			names[fmt.Sprintf("af%d%d", class, drop)] = class<<3 | drop<<1
		}
	}
	return names
}

func dscp() scalar[rpdb.DSCP] {
	names := dscpNames()
	s := maskable("0 to 63, `VALUE/MASK`, or a name such as CS1, AF41, EF, VA, LE", 63, `^([A-Za-z]{2}[0-9]{0,2}|`+maskedPattern[1:len(maskedPattern)-1]+`)$`)
	return scalar[rpdb.DSCP]{shape: s.shape, form: s.form, parse: func(text string) (rpdb.DSCP, *problem) {
		if v, ok := names[strings.ToLower(text)]; ok {
			return rpdb.DSCP{Value: v, Mask: 63}, nil
		}
		v, why := s.parse(text)
		if why != nil && why.reason == "not a number" {
			why = bad("neither a number nor the name of a DSCP").try("write 0 to 63, CS0 to CS7, AF11 to AF43, EF, VA or LE")
		}
		return rpdb.DSCP{Value: uint8(v[0]), Mask: uint8(v[1])}, why
	}}
}

// tos is the DS field with the ECN bits clear; what IPv4 takes of it depends
// on the rule's family and is checked with it.
func tos() scalar[uint8] {
	s := unsigned[uint8]("0x04 to 0xfc in steps of 4", 0, 255)
	return convert(s, func(_ string, v uint8) (uint8, *problem) {
		switch {
		case v == 0:
			return 0, bad("the kernel takes tos 0 as no selector").try("write dscp: 0 for packets without one")
		case v&3 != 0:
			return 0, bad("the bits 0x03 are ECN, which no rule can select").try("write 0x%02x", v&^3)
		}
		return v, nil
	})
}

func protocolNames() map[string]rpdb.IPProto {
	return map[string]rpdb.IPProto{
		"icmp": rpdb.ICMP, "igmp": 2, "ipip": 4, "tcp": rpdb.TCP, "udp": rpdb.UDP, "dccp": 33, "ipv6": 41,
		"gre": 47, "esp": 50, "ah": 51, "icmpv6": rpdb.ICMPv6, "ipv6-icmp": rpdb.ICMPv6, "ospf": 89, "pim": 103,
		"vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136,
	}
}

func ipProto() scalar[rpdb.IPProto] {
	names := protocolNames()
	return scalar[rpdb.IPProto]{
		shape: shape{"1 to 255, or a name such as tcp, udp, icmp, icmpv6, sctp, gre, esp", map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 1, "maximum": 255},
			map[string]any{"type": "string", "pattern": `^([a-z][a-z0-9-]*|[1-9][0-9]{0,2})$`},
		}}},
		form: eitherForm,
		parse: func(text string) (rpdb.IPProto, *problem) {
			if v, ok := names[text]; ok {
				return v, nil
			}
			n, why := number(text, 255)
			switch {
			case why != nil && why.reason == "not a number":
				words := make([]string, 0, len(names))
				for w := range names {
					words = append(words, w)
				}
				why = bad("neither a number nor the name of a protocol")
				if near := nearestSorted(text, words); near != "" {
					why = why.try("did you mean %q?", near)
				}
			case why == nil && n == 0:
				why = bad("the kernel takes protocol 0 as no selector")
			}
			return rpdb.IPProto(n), why
		},
	}
}

// numberRange reads "FIRST-LAST" or one number.
func numberRange(text string, most uint64) (first, last uint64, why *problem) {
	a, b, isRange := strings.Cut(text, "-")
	if a == "" {
		return 0, 0, bad("not a number or a range of numbers")
	}
	if first, why = number(a, most); why != nil {
		return 0, 0, why
	}
	if !isRange {
		return first, first, nil
	}
	last, why = number(b, most)
	if why == nil && first > last {
		why = bad("the range ends before it begins").try("write %d-%d", last, first)
	}
	return first, last, why
}

func uidRange() scalar[rpdb.UIDRange] {
	return scalar[rpdb.UIDRange]{
		shape: shape{"`UID` or `FIRST-LAST`", map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 0, "maximum": uint64(math.MaxUint32 - 1)},
			map[string]any{"type": "string", "pattern": `^[0-9A-Fa-fxX]+(-[0-9A-Fa-fxX]+)?$`},
		}}},
		form: eitherForm,
		parse: func(text string) (rpdb.UIDRange, *problem) {
			first, last, why := numberRange(text, math.MaxUint32)
			if why == nil && last == math.MaxUint32 {
				why = bad("%d is not a user id, it stands for none", uint32(math.MaxUint32))
			}
			return rpdb.UIDRange{First: uint32(first), Last: uint32(last)}, why
		},
	}
}

// ports is one port, a range, or a value with a mask. The kernel refuses 0
// and 65535.
func ports() scalar[rpdb.Ports] {
	return scalar[rpdb.Ports]{
		shape: shape{"`PORT`, `FIRST-LAST` or `VALUE/MASK`, 1 to 65534", map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 1, "maximum": 65534},
			map[string]any{"type": "string", "pattern": `^[0-9A-Fa-fxX]+([-/][0-9A-Fa-fxX]+)?$`},
		}}},
		form:  eitherForm,
		parse: parsePorts,
	}
}

func parsePorts(text string) (rpdb.Ports, *problem) {
	value, mask, masked := strings.Cut(text, "/")
	if masked && strings.Contains(value, "-") {
		return rpdb.Ports{}, bad("a range cannot have a mask")
	}
	first, last, why := numberRange(value, math.MaxUint16)
	switch {
	case why != nil:
		return rpdb.Ports{}, why
	case first == 0:
		return rpdb.Ports{}, bad("the kernel knows no rule for port 0")
	case last == math.MaxUint16:
		return rpdb.Ports{}, bad("the kernel knows no rule for port 65535")
	case !masked && first == last:
		return rpdb.Port(uint16(first)), nil
	case !masked:
		return rpdb.PortRange(uint16(first), uint16(last)), nil
	}
	m, why := number(mask, math.MaxUint16)
	switch {
	case why != nil:
		why.reason = "the mask is " + why.reason
	case first&^m != 0: // the mask 0 among them, as the port is not
		why = bad("the value has bits outside the mask")
	}
	return rpdb.Ports{First: uint16(first), Last: uint16(first), Mask: uint16(m)}, why
}
