package iproute2

import (
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
)

// FieldSink takes the fields of an object one after the other, in the order in
// which listings print them. text is what a listing prints for the field,
// separators included, "" for a field that only JSON shows; value is the value
// alone, for a number its digits. A writer of JSON is one, and so is
// [RuleBuilder].
type FieldSink interface {
	String(key, text, value string)
	Number(key, text, value string)
	Null(key, text string) // a field that is there or not
	Bool(key, text string, value bool)
}

// fieldKind says which method of a FieldSink a field is for.
type fieldKind uint8

const (
	stringField fieldKind = iota
	numberField
	nullField
)

// ruleField is one field of a listing of rules: its key in JSON, how it is
// found in a rule and printed, and how it is put back.
type ruleField struct {
	key  string
	kind fieldKind
	get  func(*ruleLine) (text, value string, ok bool)
	set  func(*RuleBuilder, string) bool // false: a bad value
}

// ruleFields are all fields in the order of the listing (print_rule of ip). It
// names every key once, for writing and for reading.
var ruleFields = []ruleField{
	{"priority", numberField, (*ruleLine).priority, (*RuleBuilder).priority},
	{"not", nullField, (*ruleLine).not, (*RuleBuilder).not},
	{"src", stringField, (*ruleLine).src, (*RuleBuilder).src},
	{"srclen", numberField, (*ruleLine).srcLen, (*RuleBuilder).srcLen},
	{"dst", stringField, (*ruleLine).dst, (*RuleBuilder).dst},
	{"dstlen", numberField, (*ruleLine).dstLen, (*RuleBuilder).dstLen},
	{"tos", stringField, (*ruleLine).tos, (*RuleBuilder).tos},
	{"fwmark", stringField, (*ruleLine).fwmark, (*RuleBuilder).fwmark},
	{"fwmask", stringField, (*ruleLine).fwmask, (*RuleBuilder).fwmask},
	{"iif", stringField, (*ruleLine).iif, (*RuleBuilder).iif},
	{"iif_detached", nullField, (*ruleLine).iifDetached, (*RuleBuilder).iifDetached},
	{"oif", stringField, (*ruleLine).oif, (*RuleBuilder).oif},
	{"oif_detached", nullField, (*ruleLine).oifDetached, (*RuleBuilder).oifDetached},
	{"l3mdev", nullField, (*ruleLine).l3mdev, (*RuleBuilder).l3mdev},
	{"uid_start", numberField, (*ruleLine).uidStart, (*RuleBuilder).uidStart},
	{"uid_end", numberField, (*ruleLine).uidEnd, (*RuleBuilder).uidEnd},
	{"ipproto", stringField, (*ruleLine).ipProto, (*RuleBuilder).ipProto},
	{"sport", numberField, (*ruleLine).sport, (*RuleBuilder).sport},
	{"sport_mask", stringField, (*ruleLine).sportMask, (*RuleBuilder).sportMask},
	{"sport_start", numberField, (*ruleLine).sportStart, (*RuleBuilder).sportStart},
	{"sport_end", numberField, (*ruleLine).sportEnd, (*RuleBuilder).sportEnd},
	{"dport", numberField, (*ruleLine).dport, (*RuleBuilder).dport},
	{"dport_mask", stringField, (*ruleLine).dportMask, (*RuleBuilder).dportMask},
	{"dport_start", numberField, (*ruleLine).dportStart, (*RuleBuilder).dportStart},
	{"dport_end", numberField, (*ruleLine).dportEnd, (*RuleBuilder).dportEnd},
	{"tun_id", numberField, (*ruleLine).tunID, (*RuleBuilder).tunID},
	{"table", stringField, (*ruleLine).table, (*RuleBuilder).table},
	{"suppress_prefixlen", numberField, (*ruleLine).suppressLen, (*RuleBuilder).suppressLen},
	{"suppress_ifgroup", stringField, (*ruleLine).suppressGroup, (*RuleBuilder).suppressGroup},
	{"flow_from", stringField, (*ruleLine).flowFrom, (*RuleBuilder).flowFrom},
	{"flow_to", stringField, (*ruleLine).flowTo, (*RuleBuilder).flowTo},
	{"masquerade", nullField, (*ruleLine).masquerade, (*RuleBuilder).masquerade},
	{"goto", numberField, (*ruleLine).jump, (*RuleBuilder).jump},
	{"unresolved", nullField, (*ruleLine).unresolved, (*RuleBuilder).unresolved},
	{"nop", nullField, (*ruleLine).nop, (*RuleBuilder).nop},
	{"action", stringField, (*ruleLine).action, (*RuleBuilder).action},
	{"protocol", stringField, (*ruleLine).protocol, (*RuleBuilder).protocol},
	{"dscp", stringField, (*ruleLine).dscp, (*RuleBuilder).dscp},
	{"dscp_mask", stringField, (*ruleLine).dscpMask, (*RuleBuilder).dscpMask},
	{"flowlabel", stringField, (*ruleLine).flowLabel, (*RuleBuilder).flowLabel},
	{"flowlabel_mask", stringField, (*ruleLine).flowMask, (*RuleBuilder).flowMask},
}

// Fields gives every field of a rule to a sink, in the order of the listing.
// The keys are those of "ip -j rule", and "family" where the view has it.
func (v RuleView) Fields(r rpdb.Rule, to FieldSink) {
	if v.Deleted {
		to.Bool("deleted", "Deleted ", true)
	}
	if v.Family {
		word, _ := r.Family.MarshalText() // every family has a word
		to.String("family", r.Family.String()+" ", string(word))
	}
	v.fields(ruleFields, r, to)
}

func (v RuleView) fields(fields []ruleField, r rpdb.Rule, to FieldSink) {
	l := ruleLine{v: v, r: r}
	for _, f := range fields {
		text, value, ok := f.get(&l)
		switch {
		case !ok:
		case f.kind == nullField:
			to.Null(f.key, text)
		case f.kind == numberField && value != gotoNone:
			to.Number(f.key, text, value)
		default:
			to.String(f.key, text, value)
		}
	}
}

// gotoNone is in the place of the target of a goto that has none.
const gotoNone = "none"

// ruleLine is one rule that is being listed. Its methods are the get column of
// ruleFields.
type ruleLine struct {
	v RuleView
	r rpdb.Rule
}

func (l *ruleLine) priority() (text, value string, ok bool) {
	value = decimal(l.r.Priority)
	return value + ":\t", value, true
}

func (l *ruleLine) not() (text, value string, ok bool) { return "not ", "", l.r.Selector.Not }

func (l *ruleLine) src() (text, value string, ok bool) {
	value = addrText(l.r.Selector.From, "all")
	return "from " + value, value, true
}

func (l *ruleLine) srcLen() (text, value string, ok bool) { return lengthText(l.r.Selector.From) }

func (l *ruleLine) dst() (text, value string, ok bool) {
	if value = addrText(l.r.Selector.To, ""); value == "" {
		return "", "", false
	}
	return " to " + value, value, true
}

func (l *ruleLine) dstLen() (text, value string, ok bool) { return lengthText(l.r.Selector.To) }

// addrText returns the address of a prefix, or the word for a prefix that
// selects every address.
func addrText(p netip.Prefix, zero string) string {
	if !p.IsValid() || p.Bits() == 0 {
		return zero
	}
	return address(p.Addr())
}

// address prints an address as inet_ntop(3) does, which writes IPv6 addresses
// of the first 2^32 with a dotted quad at their end.
func address(a netip.Addr) string { return string(appendAddress(nil, a)) }

func appendAddress(dst []byte, a netip.Addr) []byte {
	if b := a.As16(); a.Is6() && [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
		return netip.AddrFrom4([4]byte(b[12:])).AppendTo(append(dst, "::"...))
	}
	return a.AppendTo(dst)
}

func lengthText(p netip.Prefix) (text, value string, ok bool) {
	if !p.IsValid() || p.Bits() == 0 || p.IsSingleIP() {
		return "", "", false
	}
	value = decimal(p.Bits())
	return "/" + value, value, true
}

func (l *ruleLine) tos() (text, value string, ok bool) {
	tos := l.r.Selector.TOS
	if tos == 0 {
		return "", "", false
	}
	value = l.v.dsfield(tos)
	return " tos " + l.v.safe(value), value, true
}

func (l *ruleLine) fwmark() (text, value string, ok bool) {
	return hexText(" fwmark ", l.r.Selector.Mark.Value, l.r.Selector.Mark != rpdb.Mark{})
}

func (l *ruleLine) fwmask() (text, value string, ok bool) {
	m := l.r.Selector.Mark
	return hexText("/", m.Mask, m != rpdb.Mark{} && m.Mask != 0xffffffff)
}

// hexText prints a field in hexadecimal, if it is there.
func hexText(key string, n uint32, there bool) (text, value string, ok bool) {
	if !there {
		return "", "", false
	}
	value = hex(n)
	return key + value, value, true
}

// numberText prints a field in decimal, if it is there.
func numberText[T ~int | ~uint8 | ~uint16 | ~uint32](key string, n T, there bool) (text, value string, ok bool) {
	if !there {
		return "", "", false
	}
	value = decimal(n)
	return key + value, value, true
}

func (l *ruleLine) iif() (text, value string, ok bool) {
	return l.link(" iif ", l.r.Selector.IIF)
}

func (l *ruleLine) link(key string, name rpdb.LinkName) (text, value string, ok bool) {
	if name == "" {
		return "", "", false
	}
	return key + linkText(name, l.v.Raw), string(name), true
}

func (l *ruleLine) iifDetached() (text, value string, ok bool) {
	return " [detached]", "", l.r.Selector.IIF != "" && l.r.Flags&rpdb.RuleIIFDetached != 0
}

func (l *ruleLine) oif() (text, value string, ok bool) {
	return l.link(" oif ", l.r.Selector.OIF)
}

func (l *ruleLine) oifDetached() (text, value string, ok bool) {
	return " [detached]", "", l.r.Selector.OIF != "" && l.r.Flags&rpdb.RuleOIFDetached != 0
}

func (l *ruleLine) l3mdev() (text, value string, ok bool) {
	return " lookup [l3mdev-table]", "", l.r.Selector.L3MDev
}

func (l *ruleLine) uidStart() (text, value string, ok bool) {
	u, ok := l.r.Selector.UIDRange.Get()
	return numberText(" uidrange ", u.First, ok)
}

func (l *ruleLine) uidEnd() (text, value string, ok bool) {
	u, ok := l.r.Selector.UIDRange.Get()
	return numberText("-", u.Last, ok)
}

func (l *ruleLine) ipProto() (text, value string, ok bool) {
	p := l.r.Selector.IPProto
	if p == 0 {
		return "", "", false
	}
	value = l.v.ipProto(p)
	return " ipproto " + l.v.safe(value), value, true
}

func (l *ruleLine) sport() (text, value string, ok bool) {
	return portText(" sport ", l.r.Selector.SPort)
}

func (l *ruleLine) dport() (text, value string, ok bool) {
	return portText(" dport ", l.r.Selector.DPort)
}

func (l *ruleLine) sportMask() (text, value string, ok bool) { return portMaskText(l.r.Selector.SPort) }

func (l *ruleLine) dportMask() (text, value string, ok bool) { return portMaskText(l.r.Selector.DPort) }

// portText prints a single port, in hexadecimal if it has a mask.
func portText(key string, p rpdb.Ports) (text, value string, ok bool) {
	text, value, ok = numberText(key, p.First, p != rpdb.Ports{} && p.First == p.Last)
	if ok && hasPortMask(p) {
		text = key + hex(uint32(p.First))
	}
	return text, value, ok
}

func portMaskText(p rpdb.Ports) (text, value string, ok bool) {
	text, value, ok = hexText("/", uint32(p.Mask), p.First == p.Last && p.Mask != 0)
	if !hasPortMask(p) {
		text = ""
	}
	return text, value, ok
}

func hasPortMask(p rpdb.Ports) bool { return p.Mask != 0 && p.Mask != 0xffff }

func (l *ruleLine) sportStart() (text, value string, ok bool) {
	p := l.r.Selector.SPort
	return numberText(" sport ", p.First, p.First != p.Last)
}

func (l *ruleLine) sportEnd() (text, value string, ok bool) {
	p := l.r.Selector.SPort
	return numberText("-", p.Last, p.First != p.Last)
}

func (l *ruleLine) dportStart() (text, value string, ok bool) {
	p := l.r.Selector.DPort
	return numberText(" dport ", p.First, p.First != p.Last)
}

func (l *ruleLine) dportEnd() (text, value string, ok bool) {
	p := l.r.Selector.DPort
	return numberText("-", p.Last, p.First != p.Last)
}

func (l *ruleLine) tunID() (text, value string, ok bool) {
	if l.r.Selector.TunID == 0 {
		return "", "", false
	}
	value = strconv.FormatUint(l.r.Selector.TunID, 10)
	return " tun_id " + value, value, true
}

func (l *ruleLine) table() (text, value string, ok bool) {
	t := l.r.Action.Table()
	if t == 0 {
		return "", "", false
	}
	value = l.v.table(t)
	return " lookup " + l.v.safe(value), value, true
}

// suppressLen and suppressGroup are not listed for rules without a table.
func (l *ruleLine) suppressLen() (text, value string, ok bool) {
	n, ok := l.r.Suppress.PrefixLength.Get()
	return numberText(" suppress_prefixlength ", int(n), ok && n != -1 && l.r.Action.Table() != 0)
}

func (l *ruleLine) suppressGroup() (text, value string, ok bool) {
	g, ok := l.r.Suppress.IfGroup.Get()
	if !ok || l.r.Action.Table() == 0 || g == noGroup {
		return "", "", false
	}
	value = l.v.group(g)
	return " suppress_ifgroup " + l.v.safe(value), value, true
}

// noGroup is what the kernel takes for no suppressor.
const noGroup = 1<<32 - 1

func (l *ruleLine) flowFrom() (text, value string, ok bool) {
	from := l.r.Realms.From()
	if from == 0 {
		return "", "", false
	}
	value = l.v.realm(from)
	return " realms " + l.v.safe(value) + "/", value, true
}

func (l *ruleLine) flowTo() (text, value string, ok bool) {
	if l.r.Realms == 0 {
		return "", "", false
	}
	value = l.v.realm(l.r.Realms.To())
	text = l.v.safe(value)
	if l.r.Realms.From() == 0 {
		text = " realms " + text
	}
	return text, value, true
}

func (l *ruleLine) masquerade() (text, value string, ok bool) {
	return " masquerade", "", l.r.Action.Type() == rpdb.ActionNAT
}

func (l *ruleLine) jump() (text, value string, ok bool) {
	text, value, ok = numberText(" goto ", l.r.Action.Target(), l.r.Action.Type() == rpdb.ActionGoto)
	if ok && l.r.Action.Target() == 0 {
		text, value = " goto "+gotoNone, gotoNone
	}
	return text, value, ok
}

func (l *ruleLine) unresolved() (text, value string, ok bool) {
	return " [unresolved]", "", l.r.Action.Type() == rpdb.ActionGoto && l.r.Flags&rpdb.RuleUnresolved != 0
}

func (l *ruleLine) nop() (text, value string, ok bool) {
	return " nop", "", l.r.Action.Type() == rpdb.ActionNop
}

// action prints any other action with the word of the type of routes that has
// its number.
func (l *ruleLine) action() (text, value string, ok bool) {
	switch typ := l.r.Action.Type(); typ {
	case rpdb.ActionTable, rpdb.ActionNAT, rpdb.ActionGoto, rpdb.ActionNop:
		return "", "", false
	default:
		value = l.v.number(uint64(typ), rpdb.RouteType(typ).String())
		return " " + value, value, true
	}
}

func (l *ruleLine) protocol() (text, value string, ok bool) {
	p := l.r.Protocol
	if !l.v.Details && (p == rpdb.ProtocolUnspec || p == rpdb.ProtocolKernel) {
		return "", "", false
	}
	value = l.v.protocol(p)
	return " proto " + l.v.safe(value), value, true
}

// dscp prints a value with a mask in hexadecimal, for JSON by name all the
// same.
func (l *ruleLine) dscp() (text, value string, ok bool) {
	d, ok := l.r.Selector.DSCP.Get()
	if !ok {
		return "", "", false
	}
	value = l.v.dscp(d.Value)
	text = " dscp " + l.v.safe(value)
	if d.Mask != 0x3f {
		text = " dscp " + hex(uint32(d.Value))
	}
	return text, value, true
}

func (l *ruleLine) dscpMask() (text, value string, ok bool) {
	d, ok := l.r.Selector.DSCP.Get()
	text, value, ok = hexText("/", uint32(d.Mask), ok)
	if d.Mask == 0x3f {
		text = ""
	}
	return text, value, ok
}

func (l *ruleLine) flowLabel() (text, value string, ok bool) {
	f := l.r.Selector.FlowLabel
	return hexText(" flowlabel ", f.Value, f != rpdb.FlowLabel{})
}

func (l *ruleLine) flowMask() (text, value string, ok bool) {
	f := l.r.Selector.FlowLabel
	text, value, ok = hexText("/", f.Mask, f != rpdb.FlowLabel{})
	if f.Mask == 0xfffff {
		text = ""
	}
	return text, value, ok
}

func decimal[T ~int | ~uint8 | ~uint16 | ~uint32](n T) string {
	return strconv.FormatInt(int64(n), 10)
}

// textSink builds the line of a listing.
type textSink struct {
	strings.Builder
	palette Palette
}

// String writes a text; addresses and interface names may have a colour.
func (t *textSink) String(key, text, value string) {
	color := t.palette.escape(tintOf(key, value))
	if color != "" {
		blank := 1 + strings.IndexByte(text[1:], ' ') // the one behind the keyword
		text = text[:blank+1] + color + text[blank+1:] + colorOff
	}
	t.WriteString(text)
}

func (t *textSink) Number(_, text, _ string) { t.WriteString(text) }

func (t *textSink) Null(_, text string) { t.WriteString(text) }

func (t *textSink) Bool(_, text string, _ bool) { t.WriteString(text) }

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

// tintOf is the tint of a field of a rule.
func tintOf(key, value string) tint {
	switch {
	case key == "iif", key == "oif":
		return linkTint
	case key != "src" && key != "dst", value == "all":
		return noTint
	case strings.Contains(value, ":"):
		return ipv6Tint
	}
	return ipv4Tint
}
