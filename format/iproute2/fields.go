package iproute2

import (
	"net/netip"
	"strconv"

	"rpdb"
)

// fieldKind says what the value of a field is for programs.
type fieldKind uint8

const (
	stringField fieldKind = iota
	numberField
	nullField // a field that is there or not
)

// ruleFields are all fields in the order of the listing (print_rule of ip). It
// names every key once, for writing and for reading.
var ruleFields = []lineField{
	{key: "deleted", group: groupHead, text: "Deleted ", kind: trueField, get: (*line).deleted},
	{key: "family", group: groupHead, text: "% ", get: (*line).ruleFamily},
	{key: "priority", text: "%:\t", kind: numberField, get: (*line).priority, setRule: (*RuleBuilder).priority},
	{key: "not", group: groupOthers, text: "not ", kind: nullField, get: func(l *line) bool { return l.rule.Selector.Not }, setRule: (*RuleBuilder).not},
	{key: "src", text: "from %", get: (*line).ruleSrc, setRule: (*RuleBuilder).src},
	{key: "srclen", group: groupLengths, text: "/%", kind: numberField, get: (*line).srcLen, setRule: (*RuleBuilder).srcLen},
	{key: "dst", group: groupTo, text: " to %", get: (*line).ruleDst, setRule: (*RuleBuilder).dst},
	{key: "dstlen", group: groupLengths, text: "/%", kind: numberField, get: (*line).dstLen, setRule: (*RuleBuilder).dstLen},
	{key: "tos", group: groupMarks, text: " tos %", get: (*line).ruleTOS, setRule: (*RuleBuilder).tos},
	{key: "fwmark", group: groupMarks, text: " fwmark %", get: (*line).fwmark, setRule: (*RuleBuilder).fwmark},
	{key: "fwmask", group: groupMarks, text: "/%", get: (*line).fwmask, setRule: (*RuleBuilder).fwmask},
	{key: "iif", group: groupLinks, text: " iif %", get: (*line).ruleIIF, setRule: (*RuleBuilder).iif},
	{key: "iif_detached", group: groupLinks, text: " [detached]", kind: nullField, get: (*line).iifDetached, setRule: (*RuleBuilder).iifDetached},
	{key: "oif", group: groupLinks, text: " oif %", get: (*line).ruleOIF, setRule: (*RuleBuilder).oif},
	{key: "oif_detached", group: groupLinks, text: " [detached]", kind: nullField, get: (*line).oifDetached, setRule: (*RuleBuilder).oifDetached},
	{key: "l3mdev", group: groupOthers, text: " lookup [l3mdev-table]", kind: nullField, get: func(l *line) bool { return l.rule.Selector.L3MDev }, setRule: (*RuleBuilder).l3mdev},
	{key: "uid_start", group: groupOthers, text: " uidrange %", kind: numberField, get: (*line).uidStart, setRule: (*RuleBuilder).uidStart},
	{key: "uid_end", group: groupOthers, text: "-%", kind: numberField, get: (*line).uidEnd, setRule: (*RuleBuilder).uidEnd},
	{key: "ipproto", group: groupOthers, text: " ipproto %", get: (*line).ipProto, setRule: (*RuleBuilder).ipProto},
	{key: "sport", group: groupPorts, text: " sport %", kind: numberField, get: (*line).sport, setRule: (*RuleBuilder).sport},
	{key: "sport_mask", group: groupPorts, text: "%", get: (*line).sportMask, setRule: (*RuleBuilder).sportMask},
	{key: "sport_start", group: groupPorts, text: " sport %", kind: numberField, get: (*line).sportStart, setRule: (*RuleBuilder).sportStart},
	{key: "sport_end", group: groupPorts, text: "-%", kind: numberField, get: (*line).sportEnd, setRule: (*RuleBuilder).sportEnd},
	{key: "dport", group: groupPorts, text: " dport %", kind: numberField, get: (*line).dport, setRule: (*RuleBuilder).dport},
	{key: "dport_mask", group: groupPorts, text: "%", get: (*line).dportMask, setRule: (*RuleBuilder).dportMask},
	{key: "dport_start", group: groupPorts, text: " dport %", kind: numberField, get: (*line).dportStart, setRule: (*RuleBuilder).dportStart},
	{key: "dport_end", group: groupPorts, text: "-%", kind: numberField, get: (*line).dportEnd, setRule: (*RuleBuilder).dportEnd},
	{key: "tun_id", group: groupOthers, text: " tun_id %", kind: numberField, get: (*line).tunID, setRule: (*RuleBuilder).tunID},
	{key: "table", text: " lookup %", get: (*line).ruleTable, setRule: (*RuleBuilder).table},
	{key: "suppress_prefixlen", group: groupSuppress, text: " suppress_prefixlength %", kind: numberField, get: (*line).suppressLen, setRule: (*RuleBuilder).suppressLen},
	{key: "suppress_ifgroup", group: groupSuppress, text: " suppress_ifgroup %", get: (*line).suppressGroup, setRule: (*RuleBuilder).suppressGroup},
	{key: "flow_from", group: groupRealms, text: " realms %/", get: (*line).flowFrom, setRule: (*RuleBuilder).flowFrom},
	{kind: textPart, group: groupRealms, text: " realms ", get: func(l *line) bool { return l.rule.Realms != 0 && l.rule.Realms.From() == 0 }},
	{key: "flow_to", group: groupRealms, text: "%", get: (*line).flowTo, setRule: (*RuleBuilder).flowTo},
	{key: "masquerade", group: groupActions, text: " masquerade", kind: nullField, get: func(l *line) bool { return l.acts(rpdb.ActionNAT) }, setRule: (*RuleBuilder).masquerade},
	{key: "goto", group: groupActions, text: " goto %", kind: numberField, get: (*line).jump, setRule: (*RuleBuilder).jump},
	{key: "goto", group: groupActions, text: " goto %", get: (*line).jumpNowhere, setRule: (*RuleBuilder).jump},
	{key: "unresolved", group: groupActions, text: " [unresolved]", kind: nullField, get: (*line).unresolved, setRule: (*RuleBuilder).unresolved},
	{key: "nop", group: groupActions, text: " nop", kind: nullField, get: func(l *line) bool { return l.acts(rpdb.ActionNop) }, setRule: (*RuleBuilder).nop},
	{key: "action", group: groupActions, text: " %", get: (*line).action, setRule: (*RuleBuilder).action},
	{key: "protocol", text: " proto %", get: (*line).ruleProtocol, setRule: (*RuleBuilder).protocol},
	{key: "dscp", group: groupMarks, text: " dscp %", get: (*line).dscp, setRule: (*RuleBuilder).dscp},
	{key: "dscp_mask", group: groupMarks, text: "%", get: (*line).dscpMask, setRule: (*RuleBuilder).dscpMask},
	{key: "flowlabel", group: groupMarks, text: " flowlabel %", get: (*line).flowLabel, setRule: (*RuleBuilder).flowLabel},
	{key: "flowlabel_mask", group: groupMarks, text: "%", get: (*line).flowMask, setRule: (*RuleBuilder).flowMask},
}

// RuleLister lists one rule after the other in the same memory, as the methods
// of its view do: once it has seen the longest line, it allocates nothing. It
// is not safe for concurrent use.
type RuleLister struct {
	line line
	// chosen are the fields that an entry may have which lacks what
	// the last one did, as most of a list do.
	chosen []*lineField
	lacks  group
}

// NewRuleLister returns a lister with a view.
func NewRuleLister(v RuleView) *RuleLister {
	l := &RuleLister{line: newLine(RouteView{Raw: v.Raw, Color: v.Color, Details: v.Details, Family: v.Family}, v)}
	l.line.entry.Deleted = v.Deleted
	return l
}

// AppendText appends what [RuleView.Rule] returns.
func (l *RuleLister) AppendText(b []byte, r *rpdb.Rule) []byte {
	l.ofRule(r)
	return l.line.appendText(b)
}

// Fields does what [RuleView.Fields] does.
func (l *RuleLister) Fields(r *rpdb.Rule, to Sink) {
	l.ofRule(r)
	l.line.send(to)
}

// ofRule makes the parts of a rule.
func (l *RuleLister) ofRule(r *rpdb.Rule) {
	l.line.parts, l.line.buf = l.line.parts[:0], l.line.buf[:0]
	l.line.rule = r
	l.line.lackOfRule()
	if l.chosen == nil || l.lacks != l.line.lacks {
		l.choose(ruleFields)
	}
	for _, f := range l.chosen {
		l.line.field(f)
	}
}

// choose chooses the fields of a list that the entry may have.
func (l *RuleLister) choose(list []lineField) {
	l.lacks, l.chosen = l.line.lacks, l.chosen[:0]
	for i := range list {
		if list[i].group&l.lacks == 0 {
			l.chosen = append(l.chosen, &list[i])
		}
	}
}

// lackOfRule notes what the rule has nothing of.
func (l *line) lackOfRule() {
	l.lacks = 0
	r, sel := l.rule, &l.rule.Selector
	l.lack(groupHead, !l.entry.Deleted && !l.view.Family)
	l.lack(groupTo, sel.To.Bits() <= 0)
	l.lack(groupLengths, isWhole(sel.From) && isWhole(sel.To))
	l.lack(groupLinks, sel.IIF == "" && sel.OIF == "")
	l.lack(groupPorts, sel.SPort == rpdb.Ports{} && sel.DPort == rpdb.Ports{})
	l.lack(groupMarks, sel.Mark == rpdb.Mark{} && sel.TOS == 0 && !sel.DSCP.IsSet() && sel.FlowLabel == rpdb.FlowLabel{})
	l.lack(groupOthers, !sel.Not && !sel.L3MDev && !sel.UIDRange.IsSet() && sel.IPProto == 0 && sel.TunID == 0)
	l.lack(groupSuppress, r.Suppress == rpdb.Suppressor{})
	l.lack(groupRealms, r.Realms == 0)
	l.lack(groupActions, r.Action.Type() == rpdb.ActionTable)
}

// isWhole reports whether the length of a prefix goes without saying.
func isWhole(p netip.Prefix) bool { return p.Bits() <= 0 || p.IsSingleIP() }

// Fields gives every field of a rule to a sink, in the order of the listing.
// The keys are those of "ip -j rule", and "family" where the view has it.
func (v RuleView) Fields(r rpdb.Rule, to Sink) { NewRuleLister(v).Fields(&r, to) }

// ruleFamily is a word for programs.
func (l *line) ruleFamily() bool {
	if !l.view.Family {
		return false
	}
	l.word(familyWord(l.rule.Family))
	l.instead()
	return l.word(l.rule.Family.String())
}

func (l *line) priority() bool { return l.number(uint64(l.rule.Priority)) }

func (l *line) ruleSrc() bool {
	if p := l.rule.Selector.From; p.Bits() > 0 {
		return l.address(p.Addr())
	}
	return l.word("all")
}

func (l *line) srcLen() bool { return l.length(l.rule.Selector.From) }

func (l *line) ruleDst() bool {
	p := l.rule.Selector.To
	return p.Bits() > 0 && l.address(p.Addr())
}

func (l *line) dstLen() bool { return l.length(l.rule.Selector.To) }

// length appends the length of a prefix, unless that goes without saying.
func (l *line) length(p netip.Prefix) bool {
	return !isWhole(p) && l.number(uint64(p.Bits()))
}

// address prints an address as inet_ntop(3) does, which writes IPv6 addresses
// of the first 2^32 with a dotted quad at their end.
func address(a netip.Addr) string { return string(appendAddress(nil, a)) }

func appendAddress(dst []byte, a netip.Addr) []byte {
	if a.Is4() {
		return a.AppendTo(dst)
	}
	if b := a.As16(); [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
		return netip.AddrFrom4([4]byte(b[12:])).AppendTo(append(dst, "::"...))
	}
	return a.AppendTo(dst)
}

func (l *line) ruleTOS() bool {
	tos := l.rule.Selector.TOS
	return tos != 0 && l.name(l.names.dsfield(tos))
}

func (l *line) fwmark() bool {
	m := l.rule.Selector.Mark
	return m != rpdb.Mark{} && l.sharp(m.Value)
}

func (l *line) fwmask() bool {
	m := l.rule.Selector.Mark
	return m != rpdb.Mark{} && m.Mask != 0xffffffff && l.sharp(m.Mask)
}

func (l *line) ruleIIF() bool { return l.linkName(l.rule.Selector.IIF) }

func (l *line) ruleOIF() bool { return l.linkName(l.rule.Selector.OIF) }

func (l *line) linkName(name rpdb.LinkName) bool {
	l.tint = linkTint
	return name != "" && l.name(string(name))
}

func (l *line) iifDetached() bool {
	return l.rule.Selector.IIF != "" && l.rule.Flags&rpdb.RuleIIFDetached != 0
}

func (l *line) oifDetached() bool {
	return l.rule.Selector.OIF != "" && l.rule.Flags&rpdb.RuleOIFDetached != 0
}

func (l *line) uidStart() bool {
	u, ok := l.rule.Selector.UIDRange.Get()
	return ok && l.number(uint64(u.First))
}

func (l *line) uidEnd() bool {
	u, ok := l.rule.Selector.UIDRange.Get()
	return ok && l.number(uint64(u.Last))
}

func (l *line) ipProto() bool {
	p := l.rule.Selector.IPProto
	return p != 0 && l.name(l.names.ipProto(p))
}

func (l *line) sport() bool { return l.port(l.rule.Selector.SPort) }

func (l *line) dport() bool { return l.port(l.rule.Selector.DPort) }

// port appends a single port, which people see in hexadecimal if it has a mask.
func (l *line) port(p rpdb.Ports) bool {
	if p == (rpdb.Ports{}) || p.First != p.Last {
		return false
	}
	l.number(uint64(p.First))
	if p.Mask != 0 && p.Mask != 0xffff {
		l.instead()
		l.sharp(uint32(p.First))
	}
	return true
}

func (l *line) sportMask() bool { return l.portMask(l.rule.Selector.SPort) }

func (l *line) dportMask() bool { return l.portMask(l.rule.Selector.DPort) }

func (l *line) portMask(p rpdb.Ports) bool {
	return p.First == p.Last && p.Mask != 0 && l.mask(uint32(p.Mask), 0xffff)
}

// mask appends a mask, of which people see nothing if it is the full one.
func (l *line) mask(mask, full uint32) bool {
	l.sharp(mask)
	l.instead()
	if mask != full {
		l.word("/")
		l.sharp(mask)
	}
	return true
}

func (l *line) sportStart() bool {
	return l.ofRange(l.rule.Selector.SPort, l.rule.Selector.SPort.First)
}

func (l *line) sportEnd() bool { return l.ofRange(l.rule.Selector.SPort, l.rule.Selector.SPort.Last) }

func (l *line) dportStart() bool {
	return l.ofRange(l.rule.Selector.DPort, l.rule.Selector.DPort.First)
}

func (l *line) dportEnd() bool { return l.ofRange(l.rule.Selector.DPort, l.rule.Selector.DPort.Last) }

// ofRange appends an end of a range of several ports.
func (l *line) ofRange(p rpdb.Ports, port uint16) bool {
	return p.First != p.Last && l.number(uint64(port))
}

func (l *line) tunID() bool {
	id := l.rule.Selector.TunID
	return id != 0 && l.number(id)
}

func (l *line) ruleTable() bool {
	t := l.rule.Action.Table()
	return t != 0 && l.tableName(t)
}

// suppressLen and suppressGroup are not listed for rules without a table.
func (l *line) suppressLen() bool {
	n, ok := l.rule.Suppress.PrefixLength.Get()
	return ok && n != -1 && l.rule.Action.Table() != 0 && l.word(decimal(int(n)))
}

func (l *line) suppressGroup() bool {
	g, ok := l.rule.Suppress.IfGroup.Get()
	return ok && l.rule.Action.Table() != 0 && g != noGroup && l.name(l.names.group(g))
}

// noGroup is what the kernel takes for no suppressor.
const noGroup = 1<<32 - 1

func (l *line) flowFrom() bool {
	from := l.rule.Realms.From()
	return from != 0 && l.name(l.names.realm(from))
}

func (l *line) flowTo() bool {
	return l.rule.Realms != 0 && l.name(l.names.realm(l.rule.Realms.To()))
}

// acts reports whether the action is of a type.
func (l *line) acts(t rpdb.ActionType) bool { return l.rule.Action.Type() == t }

func (l *line) jump() bool {
	to := l.rule.Action.Target()
	return to != 0 && l.acts(rpdb.ActionGoto) && l.number(uint64(to))
}

// jumpNowhere is a goto without a target.
func (l *line) jumpNowhere() bool {
	return l.rule.Action.Target() == 0 && l.acts(rpdb.ActionGoto) && l.word(gotoNone)
}

// gotoNone is in the place of the target of a goto that has none.
const gotoNone = "none"

func (l *line) unresolved() bool {
	return l.acts(rpdb.ActionGoto) && l.rule.Flags&rpdb.RuleUnresolved != 0
}

// action appends any other action with the word of the type of routes that has
// its number.
func (l *line) action() bool {
	switch typ := l.rule.Action.Type(); typ {
	case rpdb.ActionTable, rpdb.ActionNAT, rpdb.ActionGoto, rpdb.ActionNop:
		return false
	default:
		return l.word(l.names.number(uint64(typ), rpdb.RouteType(typ).String()))
	}
}

func (l *line) ruleProtocol() bool {
	p := l.rule.Protocol
	if !l.view.Details && (p == rpdb.ProtocolUnspec || p == rpdb.ProtocolKernel) {
		return false
	}
	return l.name(l.names.protocol(p))
}

// dscp appends a name, and for people a value with a mask in hexadecimal.
func (l *line) dscp() bool {
	d, ok := l.rule.Selector.DSCP.Get()
	if !ok {
		return false
	}
	l.name(l.names.dscp(d.Value))
	if d.Mask != 0x3f {
		l.instead()
		l.sharp(uint32(d.Value))
	}
	return true
}

func (l *line) dscpMask() bool {
	d, ok := l.rule.Selector.DSCP.Get()
	return ok && l.mask(uint32(d.Mask), 0x3f)
}

func (l *line) flowLabel() bool {
	f := l.rule.Selector.FlowLabel
	return f != rpdb.FlowLabel{} && l.sharp(f.Value)
}

func (l *line) flowMask() bool {
	f := l.rule.Selector.FlowLabel
	return f != rpdb.FlowLabel{} && l.mask(f.Mask, 0xfffff)
}

func decimal[T ~int | ~uint8 | ~uint16 | ~uint32](n T) string {
	return strconv.FormatInt(int64(n), 10)
}

// Palette says which colours a listing has, if any.
type Palette uint8

// The palettes of ip. The zero value has no colours.
const (
	NoColor         Palette = iota
	DarkBackground          // bright colours; ip's choice unless COLORFGBG says otherwise
	LightBackground         // dark colours
)

const colorOff = "\x1b[0m"

// tint says what a value names, and so its colour.
type tint uint8

const (
	noTint tint = iota
	linkTint
	ipv4Tint
	ipv6Tint
)

// escape returns what switches the colour of a value on, "" for none.
func (p Palette) escape(t tint) string {
	switch p {
	case DarkBackground:
		return [...]string{"", "\x1b[1;36m", "\x1b[1;35m", "\x1b[1;94m"}[t]
	case LightBackground:
		return [...]string{"", "\x1b[36m", "\x1b[35m", "\x1b[34m"}[t]
	}
	return ""
}
