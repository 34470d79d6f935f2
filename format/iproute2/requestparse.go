package iproute2

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
)

// requestParser reads the words of an add or a delete. Its methods are the
// add column of [ruleOptions]; each is called with its keyword taken.
type requestParser struct {
	reader
	family    rpdb.Family // of the options
	q         RuleRequest
	keyword   string       // the word that is being read, as typed
	tableDone bool         // main is not to be filled in
	lastTable rpdb.TableID // of the last keyword table
	seen      []string
	translate bool // of RuleContext
}

func (p *requestParser) parse(del bool) {
	p.q.Delete, p.q.Family, p.q.familyGiven = del, p.family, p.family != 0
	if p.family == 0 {
		p.q.Family = rpdb.IPv4
	}
	if !del {
		p.q.Action = rpdb.ActionTable
	}
	p.q.sent, p.seen = make(wire, 0, 64), make([]string, 0, 8) // most commands have no more
	for p.more() {
		p.keyword = p.next()
		means := lookUp(addWords, p.keyword)
		if means == "" {
			means = p.actionName(p.keyword)
		}
		p.note(means)
		option(means).add(p)
	}
	switch {
	case p.err != nil:
	case p.q.L3MDev && p.lastTable != 0:
		p.fail(BadCommand, "", "table can not be specified for l3mdev rules")
		p.err.exit = exitInvalid
	case !p.tableDone && !del:
		p.q.Table = uint8(rpdb.TableMain)
	}
}

// actionName returns the option that an action's word belongs to.
func (p *requestParser) actionName(word string) string {
	if means := lookUp(otherWords, word); means != "" {
		return means
	}
	return "action"
}

// note remembers what a strict reader complains about: keywords given twice,
// but for those that say the same then, and for actions, which have a complaint
// of their own.
func (p *requestParser) note(means string) {
	switch seen := slices.Contains(p.seen, means); {
	case !seen:
		p.seen = append(p.seen, means)
	case !slices.Contains([]string{"not", "l3mdev", "goto", "nop", "action"}, means):
		p.doubt("%q is given twice, only the last one would count", means)
	}
	if means == "tun_id" && len(p.keyword) < len("tun") {
		p.doubt("%q means tun_id, not table: spell it out", p.keyword)
	}
}

func (p *requestParser) doubt(format string, args ...any) {
	p.q.doubts = append(p.q.doubts, fmt.Sprintf(format, args...))
}

func (p *requestParser) not() { p.q.Not = true }

func (p *requestParser) from() { p.q.From = p.prefix(fraSrc) }

func (p *requestParser) to() { p.q.To = p.prefix(fraDst) }

func (p *requestParser) prefix(typ uint16) rpdb.Opt[RuleAddress] {
	word := p.next()
	a, ok := sentAddress(word, p.family)
	switch {
	case p.err != nil:
	case p.family == familyPacket:
		p.fail(BadCommand, word, fmt.Sprintf("Error: \"%s\" may be inet prefix, but it is not allowed in this context.", word))
		p.err.exit = exitFailed
	case !ok:
		p.fail(BadPrefix, word, familyWord(p.family))
	}
	if a.Addr.Is4() && p.family != familyMPLS && !isDottedQuad(word) {
		p.doubt("%q is read as %v/%d: write four decimal numbers, and the length", word, a.Addr, a.Bits)
	}
	p.q.sent.attribute(typ, a.Addr.AsSlice())
	return rpdb.Some(a)
}

// sentAddress reads a prefix as it is sent: "all" and "any" are no address,
// and so is "default" where no family is known.
func sentAddress(word string, f rpdb.Family) (RuleAddress, bool) {
	prefix, ok := parsePrefix(word, f)
	if word == "default" && ok {
		prefix = f.Default()
	}
	if !prefix.IsValid() {
		return RuleAddress{}, ok
	}
	return RuleAddress{Addr: prefix.Addr(), Bits: uint8(prefix.Bits())}, ok
}

// isDottedQuad reports whether a word means to everybody what it means to ip:
// decimal numbers without leading zeros, all four of them or a length.
func isDottedQuad(word string) bool {
	text, length, hasLength := strings.Cut(word, "/")
	if isAll(text) || (text == "0" && hasLength) {
		return true
	}
	if _, plain := plainIPv4(text); plain {
		return len(length) < 2 || length[0] != '0'
	}
	parts := 0
	for part := range strings.SplitSeq(text, ".") {
		parts++
		if strings.Trim(part, "0123456789") != "" || (len(part) > 1 && part[0] == '0') {
			return false
		}
	}
	return (parts == 4 || hasLength) && (len(length) < 2 || length[0] != '0')
}

// familyWord names the family that a prefix was expected in.
func familyWord(f rpdb.Family) string {
	switch f {
	case 0:
		return "any valid"
	case rpdb.IPv4: // without an allocation: listings say it of each route
		return "inet"
	case rpdb.IPv6:
		return "inet6"
	case familyMPLS:
		return "mpls"
	case familyBridge:
		return "bridge"
	case familyPacket:
		return "link"
	}
	text, _ := f.MarshalText() // a family always has a word
	return string(text)
}

func (p *requestParser) tos() { p.q.TOS = p.reader.tos("TOS value is invalid\n") }

func (p *requestParser) pref() {
	n := p.number(32, "preference value is invalid\n")
	p.q.Priority, p.q.given.Priority = rpdb.Some(rpdb.Priority(n)), true
	p.q.sent.uint32(fraPriority, uint32(n))
}

// fwmark keeps the mask of an earlier mark, as ip does.
func (p *requestParser) fwmark() {
	value, mask := p.mark()
	p.q.Mark = rpdb.Some(value)
	p.q.sent.uint32(fraFwmark, value)
	if m, ok := mask.Get(); ok {
		p.q.MarkMask = mask
		p.q.sent.uint32(fraFwmask, m)
	}
}

func (p *requestParser) realms() {
	r := p.reader.realms("invalid realms\n")
	p.q.Realms = rpdb.Some(r)
	p.q.sent.uint32(fraFlow, uint32(r))
}

func (p *requestParser) protocol() {
	proto := p.reader.protocol("\"protocol\" value is invalid\n")
	p.q.Protocol = rpdb.Some(proto)
	p.q.sent.uint8(fraProtocol, uint8(proto))
}

func (p *requestParser) tunID() {
	id := p.tunnel()
	p.q.TunID = rpdb.Some(id)
	p.q.sent.attribute(fraTunID, binary.BigEndian.AppendUint64(nil, id))
}

// lookup reads a table. One of 256 and more travels in an attribute, which
// then wins over any smaller one typed after it.
func (p *requestParser) lookup() {
	t := p.table("invalid table ID\n")
	p.lastTable, p.tableDone, p.q.given.Table = t, true, true
	if t > math.MaxUint8 {
		p.q.Table, p.q.LongTable = 0, rpdb.Some(t)
		p.q.sent.uint32(fraTable, uint32(t))
	} else {
		p.q.Table = uint8(t)
	}
}

func (p *requestParser) suppressLength() {
	n := uint32(p.signed("suppress_prefixlength value is invalid\n"))
	p.q.SuppressLen = rpdb.Some(n)
	p.q.sent.uint32(fraSuppressLen, n)
}

func (p *requestParser) suppressGroup() {
	g := p.group()
	p.q.SuppressGroup = rpdb.Some(g)
	p.q.sent.uint32(fraSuppressGrp, g)
}

func (p *requestParser) iif() {
	name := p.linkName(`"iif"/"dev" not a valid ifname`)
	p.q.IIF = rpdb.Some(name)
	p.q.sent.name(fraIIFName, name)
}

func (p *requestParser) oif() {
	name := p.linkName(`"oif" not a valid ifname`)
	p.q.OIF = rpdb.Some(name)
	p.q.sent.name(fraOIFName, name)
}

func (p *requestParser) l3mdev() {
	p.q.L3MDev, p.tableDone = true, true
	p.q.sent.uint8(fraL3MDev, 1)
}

func (p *requestParser) uidRange() {
	word := p.peek()
	u := p.uids()
	p.q.UIDRange = rpdb.Some(u)
	p.q.sent.attribute(fraUIDRange, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, u.First), u.Last))
	if p.err == nil && fmt.Sprintf("%d-%d", u.First, u.Last) != word {
		p.doubt("uidrange %q is read as %d-%d", word, u.First, u.Last)
	}
}

func (p *requestParser) ipProto() {
	proto := p.ipProtocol()
	p.q.IPProto = rpdb.Some(proto)
	p.q.sent.uint8(fraIPProto, uint8(proto))
}

func (p *requestParser) sport() { p.q.SPort = p.ports(fraSPortRange, fraSPortMask, &p.q.SPortMask) }

func (p *requestParser) dport() { p.q.DPort = p.ports(fraDPortRange, fraDPortMask, &p.q.DPortMask) }

// ports keeps the mask of an earlier range.
func (p *requestParser) ports(rangeType, maskType uint16, mask *rpdb.Opt[uint16]) rpdb.Opt[RulePorts] {
	r, m := p.portRange()
	p.q.sent.attribute(rangeType, binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, r.First), r.Last))
	if v, ok := m.Get(); ok && v != 0xffff {
		*mask = m
		p.q.sent.uint16(maskType, v)
	}
	return rpdb.Some(r)
}

func (p *requestParser) dscp() {
	word, _, _ := strings.Cut(p.peek(), "/")
	value, mask := p.dscpMask()
	p.q.DSCP = rpdb.Some(uint8(value)) // ip cuts what it sends
	p.q.sent.uint8(fraDSCP, uint8(value))
	if value > 0x3f {
		p.doubt("dscp %d is more than the 63 that six bits hold", value)
	}
	if _, err := parseUint(word, 0, 32); err != nil && p.err == nil {
		if _, ok := p.dsfieldByName(word); !ok {
			p.doubt("dscp %q is read as the DS field 0x%02x: write the six bits, %d", word, value<<2, value)
		}
	}
	if m, ok := mask.Get(); ok && uint8(m) != 0x3f {
		p.q.DSCPMask = rpdb.Some(uint8(m))
		p.q.sent.uint8(fraDSCPMask, uint8(m))
	}
}

func (p *requestParser) flowLabel() {
	l := p.label()
	p.q.FlowLabel = rpdb.Some(l)
	p.q.sent.attribute(fraFlowLabel, binary.BigEndian.AppendUint32(nil, l.Value))
	p.q.sent.attribute(fraFlowMask, binary.BigEndian.AppendUint32(nil, l.Mask))
}

// translation reads what is behind nat where that translates.
func (p *requestParser) translation() {
	word := p.next()
	text, length, hasLength := strings.Cut(word, "/")
	addr, err := netip.ParseAddr(text)
	n := RuleNAT{Addr: addr, Family: rpdb.FamilyOf(addr), Bits: -1, Word: word, Position: p.pos - 1}
	if hasLength {
		bits, err := parseUint(length, 10, 8)
		if n.Bits = int(bits); err != nil || n.Bits > addr.BitLen() {
			p.fail(BadArgument, word, "the length behind the address is wrong")
		}
	}
	switch {
	case word == "masquerade", word == "0", err == nil && addr.IsUnspecified() && !hasLength:
		n.Addr = netip.Addr{}
	case err != nil || addr.Zone() != "":
		p.fail(BadArgument, word, "neither an address nor the word masquerade")
	}
	p.q.NAT = rpdb.Some(n)
}

func (p *requestParser) nat() {
	if p.translate {
		p.translation()
		return
	}
	word := p.next()
	if p.err == nil {
		p.q.nats++
		p.warning += natWarning + "\n"
	}
	a, ok := parseIPv4(word)
	if isAll(word) {
		a, ok = netip.IPv4Unspecified(), true
	}
	if !ok && p.err == nil {
		p.fail(BadCommand, word, fmt.Sprintf("Error: an IP address is expected rather than \"%s\"", word))
		p.err.exit = exitFailed
	}
	p.q.Gateway = rpdb.Some(a)
	p.q.sent.attribute(fraGateway, a.AsSlice())
	p.q.Action, p.q.given.Action = rpdb.ActionNAT, true
}

// typeWord takes the word after "type".
func (p *requestParser) typeWord() {
	p.keyword = p.next()
	switch means := p.actionName(p.keyword); {
	case p.err != nil:
	case means == "help":
		p.help()
	case means == "goto":
		p.jump()
	case means == "nop":
		p.nop()
	default:
		p.action()
	}
}

func (p *requestParser) help() { p.fail(Usage, p.keyword, "") }

func (p *requestParser) jump() {
	n := p.number(32, "invalid target\n")
	p.q.Goto, p.q.given.Goto = rpdb.Some(rpdb.Priority(n)), true
	p.q.sent.uint32(fraGoto, uint32(n))
	p.act(rpdb.ActionGoto)
}

func (p *requestParser) nop() { p.act(rpdb.ActionNop) }

// action reads a route type; the kernel takes its number for an action.
func (p *requestParser) action() {
	t, ok := routeType(p.keyword)
	if !ok {
		p.fail(BadArgument, p.keyword, "Failed to parse rule type")
		return
	}
	p.act(rpdb.ActionType(t))
	switch word := p.q.Action.String(); p.q.Action {
	case rpdb.ActionTable:
	case rpdb.ActionBlackhole, rpdb.ActionUnreachable, rpdb.ActionProhibit:
		if !abbreviates(p.keyword, word) {
			p.doubt("%q is the number of %s: write the word", p.keyword, word)
		}
	default:
		p.doubt("%q is a type of routes, as a rule it would be stored as %q", p.keyword, word)
	}
}

func (p *requestParser) act(t rpdb.ActionType) {
	name := p.keyword
	if t == rpdb.ActionGoto && p.q.given.Goto {
		target, _ := p.q.Goto.Get()
		name = fmt.Sprintf("goto %d", target)
	}
	p.q.actions = append(p.q.actions, name)
	p.q.Action, p.q.given.Action, p.tableDone = t, true, true
}

// routeType reads the type of a route: a word, a beginning of one, or a
// number.
func routeType(word string) (rpdb.RouteType, bool) {
	if means := lookUp(routeTypeWords, word); means != "" {
		var t rpdb.RouteType
		return t, t.UnmarshalText([]byte(means)) == nil
	}
	n, err := parseUint(word, 0, 8)
	return rpdb.RouteType(n), err == nil
}
