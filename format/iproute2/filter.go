package iproute2

import (
	"fmt"
	"net/netip"

	"rpdb"
)

// RuleFilter selects rules as the words after "ip rule list" and "ip rule
// flush" do. The zero filter selects every rule. It is comparable; see
// [RuleContext.ParseFilter].
type RuleFilter struct {
	priority rpdb.Opt[rpdb.Priority]
	not      bool
	from, to netip.Prefix // the zero prefix and length 0 select every rule
	tos      rpdb.Opt[uint8]
	mark     uint32 // 0 selects every mark
	markMask uint32 // 0 selects every mask
	iif, oif rpdb.LinkName
	l3mdev   bool
	uids     rpdb.Opt[rpdb.UIDRange]
	ipProto  rpdb.IPProto // 0 selects every one, as do the next
	tunID    uint64
	table    rpdb.TableID
	protocol rpdb.Opt[rpdb.Protocol]
	sport    rpdb.Ports // without a mask it selects every rule, as do the next
	dport    rpdb.Ports
	dscp     dscpFilter
	label    rpdb.FlowLabel

	// Only this program's own.
	realms        rpdb.Opt[rpdb.Realms]
	action        rpdb.Opt[rpdb.ActionType]
	target        rpdb.Opt[rpdb.Priority]
	suppressLen   rpdb.Opt[int32]
	suppressGroup rpdb.Opt[uint32]
}

// dscpFilter is a DSCP and its mask as they were typed. One of more bits than
// they have selects no rule.
type dscpFilter struct{ value, mask uint32 }

// ParseFilter reads the words after "ip rule list" or "ip rule flush", exactly
// as ip does: the last value of a keyword counts, and list accepts a protocol
// but does not select by it. The error is of type *[ParseError].
func (c RuleContext) ParseFilter(verb RuleVerb, words []string) (RuleFilter, error) {
	return c.filter(words, false, verb == RuleFlush)
}

// ParseWideFilter reads what [RuleContext.ParseFilter] reads, selects by
// protocol, and takes the keywords of [WideFilterKeywords] as well. The error
// is of type *[ParseError].
func (c RuleContext) ParseWideFilter(words []string) (RuleFilter, error) {
	return c.filter(words, true, true)
}

func (c RuleContext) filter(words []string, wide, byProtocol bool) (RuleFilter, error) {
	if len(words) == 0 {
		return RuleFilter{}, nil
	}
	p := filterParser{reader: c.reader(words), family: c.Family}
	if p.family == 0 {
		p.family = rpdb.IPv4
	}
	for p.more() {
		p.keyword = p.next()
		means := ""
		if wide {
			means = lookUp(wideWords, p.keyword)
		}
		if means == "" {
			means = lookUp(listWords, p.keyword)
		}
		if means == "" { // a bare destination
			p.f.to = p.prefix(p.keyword)
			continue
		}
		option(means).match(&p)
	}
	if !byProtocol {
		p.f.protocol = rpdb.Opt[rpdb.Protocol]{}
	}
	if p.err != nil {
		return RuleFilter{}, p.err
	}
	return p.f, nil
}

// filterParser reads the words of a filter. Its methods are the match column
// of [ruleOptions]; each is called with its keyword taken.
type filterParser struct {
	reader
	family  rpdb.Family
	keyword string
	f       RuleFilter
}

func (p *filterParser) prefix(word string) netip.Prefix {
	prefix, ok := parsePrefix(word, p.family)
	switch {
	case p.err != nil:
	case p.family == familyPacket:
		p.fail(BadCommand, word, fmt.Sprintf("Error: \"%s\" may be inet prefix, but it is not allowed in this context.", word))
		p.err.exit = exitFailed
	case !ok:
		p.fail(BadPrefix, word, familyWord(p.family))
	}
	return prefix
}

func (p *filterParser) not() { p.f.not = true }

func (p *filterParser) from() { p.f.from = p.prefix(p.next()) }

func (p *filterParser) to() { p.f.to = p.prefix(p.next()) }

func (p *filterParser) tos() { p.f.tos = rpdb.Some(p.reader.tos("TOS value is invalid\n")) }

func (p *filterParser) pref() {
	p.f.priority = rpdb.Some(rpdb.Priority(p.number(32, "preference value is invalid\n")))
}

func (p *filterParser) fwmark() {
	value, mask := p.mark()
	p.f.mark = value
	if m, ok := mask.Get(); ok {
		p.f.markMask = m
	}
}

func (p *filterParser) iif() { p.f.iif = p.linkName(`"iif"/"dev" not a valid ifname`) }

func (p *filterParser) oif() { p.f.oif = p.linkName(`"oif" not a valid ifname`) }

func (p *filterParser) l3mdev() { p.f.l3mdev = true }

func (p *filterParser) uidRange() { p.f.uids = rpdb.Some(p.uids()) }

func (p *filterParser) ipProto() { p.f.ipProto = p.ipProtocol() }

func (p *filterParser) tunID() { p.f.tunID = p.tunnel() }

func (p *filterParser) lookup() { p.f.table = p.table("table id value is invalid\n") }

// protocol also takes "all".
func (p *filterParser) protocol() {
	if p.peek() == "all" {
		p.next()
		p.f.protocol = rpdb.Opt[rpdb.Protocol]{}
		return
	}
	p.f.protocol = rpdb.Some(p.reader.protocol("invalid \"protocol\"\n"))
}

func (p *filterParser) sport() { p.f.sport = p.ports() }

func (p *filterParser) dport() { p.f.dport = p.ports() }

// ports gives a filter without a mask the full one. An empty mask selects every
// rule.
func (p *filterParser) ports() rpdb.Ports {
	r, mask := p.portRange()
	switch m, ok := mask.Get(); {
	case !ok:
		return rpdb.Ports{First: r.First, Last: r.Last, Mask: 0xffff}
	case m == 0:
		return rpdb.Ports{}
	default:
		return rpdb.Ports{First: r.First, Last: r.Last, Mask: m}
	}
}

func (p *filterParser) dscp() {
	value, mask := p.dscpMask()
	switch m, ok := mask.Get(); {
	case !ok:
		p.f.dscp = dscpFilter{value, 0x3f}
	case m == 0:
		p.f.dscp = dscpFilter{}
	default:
		p.f.dscp = dscpFilter{value, m}
	}
}

func (p *filterParser) flowLabel() {
	if p.f.label = p.label(); p.f.label.Mask == 0 {
		p.f.label = rpdb.FlowLabel{}
	}
}

func (p *filterParser) realms() { p.f.realms = rpdb.Some(p.reader.realms("invalid realms\n")) }

func (p *filterParser) jump() {
	p.f.target = rpdb.Some(rpdb.Priority(p.number(32, "invalid target\n")))
	p.f.action = rpdb.Some(rpdb.ActionGoto)
}

func (p *filterParser) suppressLength() {
	p.f.suppressLen = rpdb.Some(p.signed("suppress_prefixlength value is invalid\n"))
}

func (p *filterParser) suppressGroup() { p.f.suppressGroup = rpdb.Some(p.group()) }

func (p *filterParser) typeWord() {
	p.keyword = p.next()
	p.action()
}

// action reads the word of an action: table, goto, nop, or a type of routes.
func (p *filterParser) action() {
	var a rpdb.ActionType
	if p.err != nil {
		return
	}
	if a.UnmarshalText([]byte(p.keyword)) != nil {
		t, ok := routeType(p.keyword)
		if !ok {
			p.fail(BadArgument, p.keyword, "Failed to parse rule type")
		}
		a = rpdb.ActionType(t)
	}
	p.f.action = rpdb.Some(a)
}

// Empty reports whether the filter selects every rule.
func (f RuleFilter) Empty() bool {
	if f.from.Bits() <= 0 {
		f.from = netip.Prefix{}
	}
	if f.to.Bits() <= 0 {
		f.to = netip.Prefix{}
	}
	return f == RuleFilter{}
}

// Match reports whether the filter selects a rule: from and to select rules
// whose prefix lies inside theirs, a mark of 0 selects all rules, everything
// else has to be equal.
func (f RuleFilter) Match(r rpdb.Rule) bool {
	s := r.Selector
	table := r.Action.Table()
	return is(f.priority, r.Priority) && (!f.not || s.Not) &&
		inside(s.From, f.from) && inside(s.To, f.to) && is(f.tos, s.TOS) &&
		isOrZero(f.mark, s.Mark.Value) && isOrZero(f.markMask, s.Mark.Mask) &&
		isOrZero(f.iif, s.IIF) && isOrZero(f.oif, s.OIF) && (!f.l3mdev || s.L3MDev) &&
		(!f.uids.IsSet() || f.uids == s.UIDRange) && isOrZero(f.ipProto, s.IPProto) &&
		isOrZero(f.tunID, s.TunID) && isOrZero(f.table, table) &&
		isOrZero(f.sport, withMask(s.SPort)) && isOrZero(f.dport, withMask(s.DPort)) &&
		isOrZero(f.dscp, dscpOf(s.DSCP)) && isOrZero(f.label, s.FlowLabel) && f.matchWide(r)
}

// dscpOf returns the filter that selects what a rule has; none does if it has
// nothing.
func dscpOf(d rpdb.Opt[rpdb.DSCP]) dscpFilter {
	v, ok := d.Get()
	if !ok {
		return dscpFilter{value: 1 << 8}
	}
	return dscpFilter{uint32(v.Value), uint32(v.Mask)}
}

// matchWide is the part that list of ip cannot do.
func (f RuleFilter) matchWide(r rpdb.Rule) bool {
	return is(f.protocol, r.Protocol) && is(f.realms, r.Realms) && is(f.action, r.Action.Type()) &&
		is(f.target, r.Action.Target()) && (!f.suppressLen.IsSet() || f.suppressLen == r.Suppress.PrefixLength) &&
		(!f.suppressGroup.IsSet() || f.suppressGroup == r.Suppress.IfGroup)
}

func is[T comparable](want rpdb.Opt[T], got T) bool {
	w, ok := want.Get()
	return !ok || w == got
}

func isOrZero[T comparable](want, got T) bool {
	var zero T
	return want == zero || want == got
}

// inside reports whether the prefix of a rule lies inside that of a filter,
// where host bits count for nothing.
func inside(p, filter netip.Prefix) bool {
	if filter.Bits() <= 0 {
		return true
	}
	return p.IsValid() && p.Bits() >= filter.Bits() && filter.Masked().Contains(p.Addr())
}

// withMask writes the mask out that ports without one count as having.
func withMask(p rpdb.Ports) rpdb.Ports {
	if p != (rpdb.Ports{}) && p.Mask == 0 {
		p.Mask = 0xffff
	}
	return p
}
