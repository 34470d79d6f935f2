package iproute2

import (
	"fmt"
	"net/netip"
	"strings"

	"rpdb"
)

// Given says which parts of a rule were typed, where the rule itself cannot
// tell: without a priority the kernel chooses one, and a delete compares only
// what it is given.
type Given struct {
	Priority bool
	Table    bool // a table, not the one that an add without any means
	Action   bool // an action other than a table lookup
	Goto     bool // a goto target, also where another action came after it
}

// ParseRule reads the words after "ip rule add" in the grammar of iproute2
// 7.1, abbreviations included: the last value of a keyword wins, and a rule
// without an action looks up table main. The family is that of -4 or -6; with
// none it is IPv4, whatever the addresses are, as for ip. The rule is as it
// was typed: host bits stay, and nothing is checked that the kernel checks.
//
// Errors are of type *[ParseError].
func ParseRule(f rpdb.Family, words []string, n rpdb.Names) (rpdb.Rule, Given, error) {
	p := ruleParser{reader: reader{words: words, names: n}, family: f}
	rule, given := p.parse()
	if !p.tableDone && p.err == nil {
		a := rule.Action
		rule.Action = rpdb.RawAction(a.Type(), rpdb.TableMain, a.Target())
	}
	return rule, given, p.failure()
}

// ParseRuleDelete reads the words after "ip rule del". What was not typed is
// zero: the type of the action is [rpdb.ActionUnspec], the table 0.
func ParseRuleDelete(f rpdb.Family, words []string, n rpdb.Names) (rpdb.Rule, Given, error) {
	p := ruleParser{reader: reader{words: words, names: n}, family: f, del: true}
	rule, given := p.parse()
	return rule, given, p.failure()
}

// ruleKeywords is the order of `ip rule add`; "type" and the actions follow.
func ruleKeywords() []keyword {
	return []keyword{
		{"not", false, "not"}, {"from", false, "from"}, {"to", false, "to"},
		{"preference", true, "pref"}, {"order", true, "pref"}, {"priority", true, "pref"},
		{"tos", false, "tos"}, {"dsfield", true, "tos"}, {"fwmark", false, "fwmark"},
		{"realms", true, "realms"}, {"protocol", true, "protocol"}, {"tun_id", true, "tun_id"},
		{"table", true, "table"}, {"lookup", false, "table"},
		{"suppress_prefixlength", true, "suppress_prefixlength"}, {"sup_pl", false, "suppress_prefixlength"},
		{"suppress_ifgroup", true, "suppress_ifgroup"}, {"sup_group", false, "suppress_ifgroup"},
		{"dev", false, "iif"}, {"iif", false, "iif"}, {"oif", false, "oif"},
		{"l3mdev", false, "l3mdev"}, {"uidrange", false, "uidrange"},
		{"nat", false, "nat"}, {"map-to", true, "nat"}, {"ipproto", false, "ipproto"},
		{"sport", false, "sport"}, {"dport", false, "dport"},
		{"dscp", false, "dscp"}, {"flowlabel", false, "flowlabel"},
	}
}

// routeTypeKeywords is the order in which ip tries the types of routes, which
// are also the actions of rules.
func routeTypeKeywords() []keyword {
	return []keyword{
		{"local", false, "local"}, {"nat", false, "nat"}, {"broadcast", true, "broadcast"},
		{"brd", false, "broadcast"}, {"anycast", true, "anycast"}, {"multicast", true, "multicast"},
		{"prohibit", true, "prohibit"}, {"unreachable", true, "unreachable"},
		{"blackhole", true, "blackhole"}, {"xresolve", true, "xresolve"}, {"unicast", true, "unicast"},
		{"throw", false, "throw"},
	}
}

// routeType reads the type of a route: a word, a beginning of one, or a
// number.
func routeType(word string) (rpdb.RouteType, bool) {
	if means := lookUp(routeTypeKeywords(), word); means != "" {
		var t rpdb.RouteType
		return t, t.UnmarshalText([]byte(means)) == nil
	}
	n, err := parseUint(word, 0, 8)
	return rpdb.RouteType(n), err == nil
}

type ruleParser struct {
	reader
	family    rpdb.Family
	del       bool
	tableDone bool // main is not to be filled in
	hasMask   bool // a mask was typed with some fwmark
	given     Given

	rule   rpdb.Rule
	typ    rpdb.ActionType
	table  rpdb.TableID
	target rpdb.Priority
}

func (p *ruleParser) parse() (rpdb.Rule, Given) {
	p.rule.Family = p.family
	if p.family == 0 {
		p.rule.Family = rpdb.IPv4
	}
	if !p.del {
		p.typ = rpdb.ActionTable
	}
	for p.more() {
		word := p.next()
		means := lookUp(ruleKeywords(), word)
		if !p.selector(means) && !p.rest(means) {
			p.action(word)
		}
	}
	if p.rule.Selector.L3MDev && p.table != 0 && p.err == nil {
		p.fail(BadCommand, "", "table can not be specified for l3mdev rules")
	}
	p.rule.Action = rpdb.RawAction(p.typ, p.table, p.target)
	return p.rule, p.given
}

// selector reads the value of a selector, and reports whether it is one.
func (p *ruleParser) selector(key string) bool {
	s := &p.rule.Selector
	switch key {
	case "not":
		s.Not = true
	case "from":
		s.From = p.prefix()
	case "to":
		s.To = p.prefix()
	case "tos":
		s.TOS = p.tos("TOS value is invalid")
	case "fwmark":
		p.fwmark()
	case "iif":
		s.IIF = p.linkName(p.words[p.pos-1])
	case "oif":
		s.OIF = p.linkName("oif")
	case "l3mdev":
		s.L3MDev, p.tableDone = true, true
	case "uidrange":
		s.UIDRange = p.uidRange()
	case "ipproto":
		s.IPProto = p.ipProto()
	case "sport":
		s.SPort = p.ports()
	case "dport":
		s.DPort = p.ports()
	case "dscp":
		s.DSCP = p.dscp()
	case "flowlabel":
		s.FlowLabel = p.flowLabel()
	case "tun_id":
		s.TunID = p.tunID()
	default:
		return false
	}
	return true
}

// rest reads what is neither selector nor action, and reports whether it is
// that.
func (p *ruleParser) rest(key string) bool {
	r := &p.rule
	switch key {
	case "pref":
		r.Priority, p.given.Priority = rpdb.Priority(p.number(32, "preference value is invalid")), true
	case "realms":
		r.Realms = p.realms("invalid realms")
	case "protocol":
		r.Protocol = p.protocol(`"protocol" value is invalid`)
	case "table":
		p.table, p.tableDone, p.given.Table = p.table32(), true, true
	case "suppress_prefixlength":
		r.Suppress.PrefixLength = p.suppressLength()
	case "suppress_ifgroup":
		r.Suppress.IfGroup = p.group()
	case "nat":
		word := p.next()
		if _, ok := parseIPv4(word); !ok && p.err == nil {
			p.fail(BadCommand, word, fmt.Sprintf("an IP address is expected rather than %q", word))
		}
		p.typ, p.given.Action = rpdb.ActionNAT, true
	default:
		return false
	}
	return true
}

// action reads the words that come last in the grammar: goto, nop and the
// types of routes, whose numbers actions share.
func (p *ruleParser) action(word string) {
	if word == "type" {
		word = p.next()
	}
	switch {
	case p.err != nil:
		return
	case abbreviates(word, "help"):
		p.fail(BadCommand, word, "help is not part of a rule")
		return
	case abbreviates(word, "goto"):
		p.typ, p.target = rpdb.ActionGoto, rpdb.Priority(p.number(32, "invalid target"))
		p.given.Goto = true
	case abbreviates(word, "nop"):
		p.typ = rpdb.ActionNop
	default:
		t, ok := routeType(word)
		if !ok {
			p.fail(BadArgument, word, "Failed to parse rule type")
			return
		}
		p.typ = rpdb.ActionType(t)
	}
	p.tableDone, p.given.Action = true, true
}

func (p *ruleParser) prefix() netip.Prefix {
	word := p.next()
	prefix, ok := parsePrefix(word, p.family)
	if !ok && p.err == nil {
		p.fail(BadPrefix, word, familyWord(p.family))
	}
	return prefix
}

// familyWord names the family that a prefix was expected in.
func familyWord(f rpdb.Family) string {
	if f == 0 {
		return "any valid"
	}
	text, _ := f.MarshalText() // a family always has a word
	return string(text)
}

// fwmark reads MARK or MARK/MASK. A mark without a mask means all bits, but
// for mark 0, which then selects nothing. A mask stays for marks after it.
func (p *ruleParser) fwmark() {
	value, mask, hasMask := strings.Cut(p.next(), "/")
	if p.err != nil {
		return
	}
	m := &p.rule.Selector.Mark
	m.Value = uint32(p.numberIn(value, 32, "fwmark value is invalid"))
	if hasMask && p.err == nil {
		m.Mask, p.hasMask = uint32(p.numberIn(mask, 32, "fwmask value is invalid")), true
	}
	if !p.hasMask {
		m.Mask = 0
		if m.Value != 0 {
			m.Mask = 0xffffffff
		}
	}
}

func (p *ruleParser) uidRange() rpdb.Opt[rpdb.UIDRange] {
	word := p.next()
	first, rest, ok := scanUint32(word)
	if rest, dash := strings.CutPrefix(rest, "-"); ok && dash {
		if last, _, ok := scanUint32(rest); ok {
			return rpdb.Some(rpdb.UIDRange{First: first, Last: last})
		}
	}
	p.fail(BadArgument, word, "invalid UID range")
	return rpdb.Opt[rpdb.UIDRange]{}
}

func (p *ruleParser) ipProto() rpdb.IPProto {
	word := p.next()
	proto, ok := ParseIPProto(word)
	if !ok && p.err == nil {
		p.fail(BadArgument, word, `Invalid "ipproto" value`)
	}
	return proto
}

// ports reads N, N/MASK or A-B. A port without a mask has the full one.
func (p *ruleParser) ports() rpdb.Ports {
	word := p.next()
	if p.err != nil {
		return rpdb.Ports{}
	}
	if first, last, isRange := strings.Cut(word, "-"); isRange {
		from := p.numberIn(first, 16, "invalid port range start")
		to := p.numberIn(last, 16, "invalid port range end")
		return rpdb.PortRange(uint16(from), uint16(to))
	}
	value, mask, hasMask := strings.Cut(word, "/")
	port := rpdb.Port(uint16(p.numberIn(value, 16, "invalid port")))
	if hasMask {
		port.Mask = uint16(p.numberIn(mask, 16, "invalid mask"))
	}
	return port
}

// dscp reads N[/MASK] or NAME[/MASK]; numbers are cut to 8 bits as ip does.
func (p *ruleParser) dscp() rpdb.Opt[rpdb.DSCP] {
	value, mask, hasMask := strings.Cut(p.next(), "/")
	if p.err != nil {
		return rpdb.Opt[rpdb.DSCP]{}
	}
	d := rpdb.DSCP{Mask: 0x3f}
	if n, err := parseUint(value, 0, 32); err == nil {
		d.Value = uint8(n)
	} else if field, ok := p.dsfieldByName(value); ok {
		d.Value = field >> 2
	} else {
		p.fail(BadArgument, value, "invalid dscp")
	}
	if hasMask && p.err == nil {
		d.Mask = uint8(p.numberIn(mask, 32, "invalid dscp mask"))
	}
	return rpdb.Some(d)
}

func (p *ruleParser) flowLabel() rpdb.FlowLabel {
	value, mask, hasMask := strings.Cut(p.next(), "/")
	if p.err != nil {
		return rpdb.FlowLabel{}
	}
	l := rpdb.FlowLabel{Value: uint32(p.numberIn(value, 32, "invalid flowlabel")), Mask: 0xfffff}
	if hasMask && p.err == nil {
		l.Mask = uint32(p.numberIn(mask, 32, "invalid flowlabel mask"))
	}
	return l
}

func (p *ruleParser) tunID() uint64 {
	word := p.next()
	n, err := parseUint64(word)
	if err != nil && p.err == nil {
		p.fail(BadArgument, word, `"tun_id" value is invalid`)
	}
	return n
}

// table32 reads a table. One of 256 and more travels in an attribute, which
// then wins over any smaller one typed after it.
func (p *ruleParser) table32() rpdb.TableID {
	t := p.reader.table("invalid table ID")
	if p.table > 255 && t < 256 {
		return p.table
	}
	return t
}

func (p *ruleParser) suppressLength() rpdb.Opt[int32] {
	return rpdb.Some(int32(p.number(31, "suppress_prefixlength value is invalid")))
}

func (p *ruleParser) group() rpdb.Opt[uint32] {
	word := p.next()
	if p.err != nil {
		return rpdb.Opt[uint32]{}
	}
	g, ok := p.names.GroupByName(word)
	if !ok {
		g = uint32(p.numberIn(word, 31, `Invalid "suppress_ifgroup" value`))
	}
	return rpdb.Some(g)
}
