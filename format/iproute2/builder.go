package iproute2

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// RuleBuilder puts a rule together from the fields of a listing: it undoes
// [RuleView.Fields], for output of "ip -j rule" in particular. It is strict: a field that it does not know, one that comes
// twice, a value of the wrong kind or out of range is an error, and the first
// error sticks. Use [NewRuleBuilder]; it is not safe for concurrent use.
type RuleBuilder struct {
	names  rpdb.Names
	family rpdb.Family
	seen   map[string]bool
	err    error

	rule   rpdb.Rule
	from   builtPrefix
	to     builtPrefix
	dsMask uint8
	act    rpdb.ActionType
	tbl    rpdb.TableID
	target rpdb.Priority
	uids   rpdb.UIDRange
	sp, dp rpdb.Ports
	value  uint8 // of dscp
}

// builtPrefix is a prefix whose address and length come one after the other.
type builtPrefix struct {
	addr netip.Addr
	bits int // -1: the full length
}

// NewRuleBuilder returns a builder of one rule. The listings do not say which
// family they are of, so the family is given, or 0 to take what the addresses
// or a field "family" say, and IPv4 where nothing does.
func NewRuleBuilder(f rpdb.Family, n rpdb.Names) *RuleBuilder {
	return &RuleBuilder{
		names: n, family: f, seen: map[string]bool{}, dsMask: 0x3f,
		from: builtPrefix{bits: -1}, to: builtPrefix{bits: -1},
		rule: rpdb.Rule{Selector: rpdb.Selector{Mark: rpdb.Mark{Mask: 0xffffffff}, FlowLabel: rpdb.FlowLabel{Mask: 0xfffff}}},
	}
}

// String takes a field whose value is a text.
func (b *RuleBuilder) String(key, _, value string) {
	switch {
	case key == "family":
		b.setFamily(value)
	case key == "goto" && value == gotoNone:
		b.field(key, numberField, "0")
	default:
		b.field(key, stringField, value)
	}
}

// Number takes a field whose value is a number, in digits.
func (b *RuleBuilder) Number(key, _, value string) { b.field(key, numberField, value) }

// Null takes a field that is merely there.
func (b *RuleBuilder) Null(key, _ string) { b.field(key, nullField, "") }

// Bool takes "deleted", which says nothing about the rule itself.
func (b *RuleBuilder) Bool(key, _ string, value bool) {
	if key != "deleted" || !value {
		b.fail("field %q: unknown", key)
	}
}

func (b *RuleBuilder) field(key string, kind fieldKind, value string) {
	i := slices.IndexFunc(ruleFields, func(f lineField) bool { return f.key == key && f.setRule != nil })
	switch {
	case i < 0:
		b.fail("field %q: unknown", key)
	case b.seen[key]:
		b.fail("field %q: given twice", key)
	case ruleFields[i].kind != kind:
		b.fail("field %q: value %q is of the wrong kind", key, value)
	case !ruleFields[i].setRule(b, value):
		b.fail("field %q: bad value %q", key, value)
	}
	b.seen[key] = true
}

func (b *RuleBuilder) setFamily(word string) {
	var f rpdb.Family
	if err := f.UnmarshalText([]byte(word)); err != nil || f.Bits() == 0 || b.seen["family"] {
		b.fail("field %q: bad value %q", "family", word)
	}
	b.seen["family"] = true
	b.agree(f)
}

// agree takes over the family that something says.
func (b *RuleBuilder) agree(f rpdb.Family) {
	if b.family == 0 {
		b.family = f
	}
	if f != b.family {
		b.fail("%v in a rule of %v", f, b.family)
	}
}

func (b *RuleBuilder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// Rule returns the rule, or the first error.
func (b *RuleBuilder) Rule() (rpdb.Rule, error) {
	r := b.rule
	r.Selector.From, r.Selector.To = b.prefix("src", b.from), b.prefix("dst", b.to)
	if b.family == 0 {
		b.family = rpdb.IPv4
	}
	r.Family = b.family
	b.needs("priority", "priority")
	b.needs("src", "src")
	b.pair("srclen", "src")
	b.pair("dstlen", "dst")
	b.pair("iif_detached", "iif")
	b.pair("oif_detached", "oif")
	b.pair("uid_start", "uid_end")
	b.pair("uid_end", "uid_start")
	b.pair("flowlabel_mask", "flowlabel")
	b.pair("fwmask", "fwmark")
	b.pair("dscp_mask", "dscp")
	b.pair("unresolved", "goto")
	b.pair("suppress_prefixlen", "table")
	b.pair("suppress_ifgroup", "table")
	b.pair("flow_from", "flow_to")
	b.masked(&r)
	r.Selector.SPort, r.Selector.DPort = b.ports("sport", b.sp), b.ports("dport", b.dp)
	b.finishAction(&r)
	if b.err != nil {
		return rpdb.Rule{}, fmt.Errorf("read rule: %w", b.err)
	}
	return r, nil
}

// masked joins the values that have masks.
func (b *RuleBuilder) masked(r *rpdb.Rule) {
	s := &r.Selector
	if !b.seen["fwmark"] {
		s.Mark = rpdb.Mark{}
	}
	if !b.seen["flowlabel"] {
		s.FlowLabel = rpdb.FlowLabel{}
	}
	if b.seen["dscp"] {
		s.DSCP = rpdb.Some(rpdb.DSCP{Value: b.value, Mask: b.dsMask})
	}
	if b.seen["uid_start"] {
		s.UIDRange = rpdb.Some(b.uids)
	}
}

func (b *RuleBuilder) needs(key, what string) {
	if !b.seen[key] {
		b.fail("field %q is missing", what)
	}
}

// pair complains about a field that stands without the one it belongs to.
func (b *RuleBuilder) pair(key, with string) {
	if b.seen[key] {
		b.needs(with, with)
	}
}

func (b *RuleBuilder) prefix(key string, p builtPrefix) netip.Prefix {
	if !p.addr.IsValid() {
		if p.bits >= 0 {
			b.fail("field %q: a length without an address", key)
		}
		return netip.Prefix{}
	}
	b.agree(rpdb.FamilyOf(p.addr))
	if p.bits < 0 {
		p.bits = p.addr.BitLen()
	}
	if p.bits > p.addr.BitLen() {
		b.fail("field %q: length %d", key, p.bits)
		return netip.Prefix{}
	}
	return netip.PrefixFrom(p.addr, p.bits)
}

// ports checks that a port is single or a range, and complete.
func (b *RuleBuilder) ports(key string, p rpdb.Ports) rpdb.Ports {
	single, ranged := b.seen[key], b.seen[key+"_start"] || b.seen[key+"_end"]
	switch {
	case single && ranged, b.seen[key+"_start"] != b.seen[key+"_end"], b.seen[key+"_mask"] && !single:
		b.fail("field %q: neither a port nor a range", key)
	case single:
		p.Last = p.First
	}
	return p
}

// finishAction joins what is one action: at most one of four fields names it.
func (b *RuleBuilder) finishAction(r *rpdb.Rule) {
	named := 0
	for _, key := range []string{"masquerade", "goto", "nop", "action"} {
		if b.seen[key] {
			named++
		}
	}
	switch {
	case named == 0:
		b.act = rpdb.ActionTable
	case named > 1:
		b.fail("more than one action")
	}
	r.Action = rpdb.RawAction(b.act, b.tbl, b.target)
}

// The methods below are the setRule column of ruleFields.

func (b *RuleBuilder) priority(s string) bool { return setNumber(&b.rule.Priority, s, 32) }

func (b *RuleBuilder) not(string) bool { b.rule.Selector.Not = true; return true }

func (b *RuleBuilder) src(s string) bool { return b.from.address(s, "all") }

func (b *RuleBuilder) dst(s string) bool { return b.to.address(s, "") }

func (p *builtPrefix) address(s, all string) bool {
	if s == all && all != "" {
		return true
	}
	a, err := netip.ParseAddr(s)
	p.addr = a
	return err == nil && a.Zone() == ""
}

func (b *RuleBuilder) srcLen(s string) bool { return b.from.length(s) }

func (b *RuleBuilder) dstLen(s string) bool { return b.to.length(s) }

// length takes what listings have: never 0.
func (p *builtPrefix) length(s string) bool {
	n, err := strconv.ParseUint(s, 10, 8)
	p.bits = int(n)
	return err == nil && n > 0 && n <= 128
}

func (b *RuleBuilder) tos(s string) bool {
	v, ok := dsByName(b.names, s)
	if !ok {
		ok = setHex(&v, s, 8)
	}
	b.rule.Selector.TOS = v
	return ok && v != 0
}

func dsByName(n rpdb.Names, s string) (uint8, bool) {
	for v := range 256 {
		if name := n.DSFields[uint8(v)]; name == s && name != "" {
			return uint8(v), true
		}
	}
	return 0, false
}

func (b *RuleBuilder) fwmark(s string) bool { return setHex(&b.rule.Selector.Mark.Value, s, 32) }

func (b *RuleBuilder) fwmask(s string) bool { return setHex(&b.rule.Selector.Mark.Mask, s, 32) }

func (b *RuleBuilder) iif(s string) bool {
	b.rule.Selector.IIF = rpdb.LinkName(s)
	return isLinkName(s)
}

func (b *RuleBuilder) oif(s string) bool {
	b.rule.Selector.OIF = rpdb.LinkName(s)
	return isLinkName(s)
}

// isLinkName reports whether the kernel could hold the name in a rule.
func isLinkName(s string) bool { return s != "" && len(s) < 16 && !strings.Contains(s, "\x00") }

func (b *RuleBuilder) iifDetached(string) bool { b.rule.Flags |= rpdb.RuleIIFDetached; return true }

func (b *RuleBuilder) oifDetached(string) bool { b.rule.Flags |= rpdb.RuleOIFDetached; return true }

func (b *RuleBuilder) l3mdev(string) bool { b.rule.Selector.L3MDev = true; return true }

func (b *RuleBuilder) uidStart(s string) bool { return setNumber(&b.uids.First, s, 32) }

func (b *RuleBuilder) uidEnd(s string) bool { return setNumber(&b.uids.Last, s, 32) }

func (b *RuleBuilder) ipProto(s string) bool {
	p := &b.rule.Selector.IPProto
	if digits, ok := strings.CutPrefix(s, "ipproto-"); ok {
		return setNumber(p, digits, 8) && *p != 0
	}
	n, ok := ParseIPProto(s)
	*p = n
	return ok && n != 0 && digit(s[0]) > 9
}

func (b *RuleBuilder) sport(s string) bool { return setNumber(&b.sp.First, s, 16) }

func (b *RuleBuilder) dport(s string) bool { return setNumber(&b.dp.First, s, 16) }

func (b *RuleBuilder) sportMask(s string) bool { return setHex(&b.sp.Mask, s, 16) }

func (b *RuleBuilder) dportMask(s string) bool { return setHex(&b.dp.Mask, s, 16) }

func (b *RuleBuilder) sportStart(s string) bool { return setNumber(&b.sp.First, s, 16) }

func (b *RuleBuilder) sportEnd(s string) bool { return setNumber(&b.sp.Last, s, 16) }

func (b *RuleBuilder) dportStart(s string) bool { return setNumber(&b.dp.First, s, 16) }

func (b *RuleBuilder) dportEnd(s string) bool { return setNumber(&b.dp.Last, s, 16) }

func (b *RuleBuilder) tunID(s string) bool {
	id, ok := digits(s, 64)
	b.rule.Selector.TunID = id
	return ok && id != 0
}

func (b *RuleBuilder) table(s string) bool {
	t, ok := b.names.TableByName(s)
	b.tbl = t
	return ok && t != 0
}

func (b *RuleBuilder) suppressLen(s string) bool {
	n, err := strconv.ParseInt(s, 10, 32)
	b.rule.Suppress.PrefixLength = rpdb.Some(int32(n))
	return err == nil && s[0] != '+' && n != -1
}

func (b *RuleBuilder) suppressGroup(s string) bool {
	g, ok := b.names.GroupByName(s)
	b.rule.Suppress.IfGroup = rpdb.Some(g)
	return ok && g != noGroup
}

func (b *RuleBuilder) flowFrom(s string) bool {
	n, ok := b.names.RealmByName(s)
	b.rule.Realms |= rpdb.NewRealms(n, 0)
	return ok && n != 0
}

func (b *RuleBuilder) flowTo(s string) bool {
	n, ok := b.names.RealmByName(s)
	if s == "unknown" && !ok { // realm 0 without a file
		ok = true
	}
	b.rule.Realms |= rpdb.NewRealms(0, n)
	return ok
}

func (b *RuleBuilder) masquerade(string) bool { b.act = rpdb.ActionNAT; return true }

func (b *RuleBuilder) jump(s string) bool {
	b.act = rpdb.ActionGoto
	return setNumber(&b.target, s, 32)
}

func (b *RuleBuilder) unresolved(string) bool { b.rule.Flags |= rpdb.RuleUnresolved; return true }

func (b *RuleBuilder) nop(string) bool { b.act = rpdb.ActionNop; return true }

func (b *RuleBuilder) action(s string) bool {
	var t rpdb.RouteType
	err := t.UnmarshalText([]byte(s))
	b.act = rpdb.ActionType(t)
	switch b.act {
	case rpdb.ActionTable, rpdb.ActionGoto, rpdb.ActionNop, rpdb.ActionNAT: // have fields of their own
		return false
	}
	return err == nil
}

func (b *RuleBuilder) protocol(s string) bool {
	p, ok := b.names.ProtocolByName(s)
	b.rule.Protocol = p
	return ok
}

func (b *RuleBuilder) dscp(s string) bool {
	if field, ok := dsByName(b.names, s); ok {
		b.value = field >> 2
		return true
	}
	return setNumber(&b.value, s, 8)
}

func (b *RuleBuilder) dscpMask(s string) bool { return setHex(&b.dsMask, s, 8) }

func (b *RuleBuilder) flowLabel(s string) bool {
	return setHex(&b.rule.Selector.FlowLabel.Value, s, 32)
}

func (b *RuleBuilder) flowMask(s string) bool { return setHex(&b.rule.Selector.FlowLabel.Mask, s, 32) }

// digits reads decimal digits and nothing else.
func digits(s string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil && s[0] != '+'
}

func setNumber[T ~uint8 | ~uint16 | ~uint32](v *T, s string, bits int) bool {
	n, ok := digits(s, bits)
	*v = T(n)
	return ok
}

// setHex reads what %#x prints: "0", or 0x and digits.
func setHex[T ~uint8 | ~uint16 | ~uint32](v *T, s string, bits int) bool {
	if s == "0" {
		*v = 0
		return true
	}
	text, ok := strings.CutPrefix(s, "0x")
	n, err := strconv.ParseUint(text, 16, bits)
	*v = T(n)
	return ok && err == nil
}
