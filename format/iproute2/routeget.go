package iproute2

import (
	"encoding/binary"
	"fmt"

	"rpdb"
)

// RouteGetRequest is the question behind "ip route get", as ip sends it. Opts are
// absent where ip sends no attribute. The zero value asks for nothing; see
// [RouteContext.ParseGet]. Its methods do not modify it.
type RouteGetRequest struct {
	Family    rpdb.Family // of the header: IPv4 if nothing says another
	TOS       uint8
	To, From  rpdb.Opt[RouteAddress]
	IIF, OIF  rpdb.LinkIndex // 0: none
	Mark      rpdb.Opt[uint32]
	UID       rpdb.Opt[uint32]
	NewDst    rpdb.Opt[RouteAddress]
	IPProto   rpdb.Opt[rpdb.IPProto]
	SPort     rpdb.Opt[uint16]
	DPort     rpdb.Opt[uint16]
	FlowLabel rpdb.Opt[uint32]
	Notify    bool
	FibMatch  bool // the route as it stands in the table is wanted
	Connected bool // ask once more, see Again

	iif, oif rpdb.LinkName // as typed
	sent     wire          // the attributes, one after the other as they were typed
	warnings []string
}

// ParseGet reads the words after "ip route get", in the grammar of iproute2
// 7.1. The last value of a keyword wins, and the last address. The error is of
// type *[ParseError].
func (c RouteContext) ParseGet(words []string) (RouteGetRequest, error) {
	p := routeGetParser{routeReader: c.reader(words)}
	for p.more() {
		p.keyword = p.next()
		if o, ok := lookUpRoute(routeGetWords, p.keyword); ok {
			p.means = o.name
			o.get(&p)
		} else {
			p.destination(p.keyword)
		}
	}
	if !p.g.To.IsSet() {
		p.refuse("", "need at least a destination address")
	}
	p.g.IIF, p.g.iif = p.find(p.in), rpdb.LinkName(p.in.name)
	p.g.OIF, p.g.oif = p.find(p.out), rpdb.LinkName(p.out.name)
	if p.g.Family = p.family; p.family == 0 {
		p.g.Family = rpdb.IPv4
	}
	return p.g, p.failure()
}

// routeGetParser reads the words of a question. Its methods are the get column
// of [routeOptions]; each is called with its keyword taken.
type routeGetParser struct {
	routeReader
	g       RouteGetRequest
	in, out lateLink // of iif and oif
}

func (p *routeGetParser) to() {
	if word := p.next(); p.err == nil {
		p.destination(word)
	}
}

// destination reads an address; a length other than the full one is ignored,
// with a warning.
func (p *routeGetParser) destination(word string) {
	if p.err == nil && abbreviates(word, "help") {
		p.usage(word)
		return
	}
	a := p.prefixIn(word, p.family)
	if full := p.family.Bits(); p.err == nil && full > 0 && int(a.Bits) != full {
		text := fmt.Sprintf("Warning: /%d as prefix is invalid, only /%d (or none) is supported.", a.Bits, full)
		p.g.warnings = append(p.g.warnings, text)
		p.warning += text + "\n"
		a.Bits = uint8(full)
	}
	p.g.To = rpdb.Some(a)
	p.g.sent.prefix(rtaDst, a)
}

func (p *routeGetParser) from() {
	word := p.next()
	if p.err == nil && abbreviates(word, "help") {
		p.usage(word)
		return
	}
	a := p.prefixIn(word, p.family)
	p.g.From = rpdb.Some(a)
	p.g.sent.prefix(rtaSrc, a)
}

func (p *routeGetParser) as() {
	a := p.newDst()
	p.g.NewDst = rpdb.Some(a)
	p.g.sent.attribute(rtaNewDst, []byte(a.Bytes))
}

func (p *routeGetParser) tos() { p.g.TOS = p.reader.tos("TOS value is invalid\n") }

func (p *routeGetParser) iif() { p.in = p.lateLink() }

func (p *routeGetParser) oif() { p.out = p.lateLink() }

// vrf binds to the interface of a VRF.
func (p *routeGetParser) vrf() {
	word := p.next()
	if _, ok := p.vrfTable(word); !ok && p.err == nil {
		p.fail(BadArgument, word, "Invalid VRF\n")
	}
	p.out = lateLink{word, true}
}

// mark is not sent if it is 0.
func (p *routeGetParser) mark() {
	n := uint32(p.number(32, "invalid mark value"))
	if p.g.Mark = rpdb.Some(n); n == 0 {
		p.g.Mark = rpdb.Opt[uint32]{}
	}
}

func (p *routeGetParser) uid() {
	n := uint32(p.number(32, "invalid UID\n"))
	p.g.UID = rpdb.Some(n)
	p.g.sent.uint32(rtaUID, n)
}

func (p *routeGetParser) sport() { p.port(&p.g.SPort, rtaSPort, "invalid sport\n") }

func (p *routeGetParser) dport() { p.port(&p.g.DPort, rtaDPort, "invalid dport\n") }

func (p *routeGetParser) port(o *rpdb.Opt[uint16], typ uint16, reason string) {
	n := uint16(p.number(16, reason))
	*o = rpdb.Some(n)
	p.g.sent.attribute(typ, binary.BigEndian.AppendUint16(nil, n))
}

func (p *routeGetParser) ipProto() {
	proto := p.ipProtocol()
	p.g.IPProto = rpdb.Some(proto)
	p.g.sent.uint8(rtaIPProto, uint8(proto))
}

func (p *routeGetParser) flowLabel() {
	n := uint32(p.number(32, "invalid flowlabel"))
	p.g.FlowLabel = rpdb.Some(n)
	p.g.sent.attribute(rtaFlowLabel, binary.BigEndian.AppendUint32(nil, n))
}

func (p *routeGetParser) notify() { p.g.Notify = true }

func (p *routeGetParser) connected() { p.g.Connected = true }

func (p *routeGetParser) fibMatch() { p.g.FibMatch = true }

// Warnings returns the lines that ip prints to its standard error before it
// asks, without newlines.
func (g RouteGetRequest) Warnings() []string { return g.warnings }

// Bits of rtm_flags in a question (RTM_F_*).
const (
	routeLookupTable = 0x1000 // the table that answered is wanted
	routeFibMatch    = 0x2000
)

// Payload returns the question as ip sends it, behind the message header. The
// message is of type RTM_GETROUTE and has no flag but NLM_F_REQUEST.
func (g RouteGetRequest) Payload() []byte {
	to, _ := g.To.Get()
	from, _ := g.From.Get()
	w := wire{byte(g.Family), to.Bits, from.Bits, g.TOS, 0, 0, 0, 0}
	var flags uint32
	if g.Family == rpdb.IPv4 { // the others refuse it
		flags |= routeLookupTable
	}
	if g.FibMatch {
		flags |= routeFibMatch
	}
	if g.Notify {
		flags |= uint32(routeNotify)
	}
	w = binary.NativeEndian.AppendUint32(w, flags)
	w = append(w, g.sent...)
	w.link(rtaIIF, g.IIF)
	w.link(rtaOIF, g.OIF)
	if mark, ok := g.Mark.Get(); ok {
		w.uint32(rtaMark, mark)
	}
	return w
}

// Again reports whether ip asks once more, given the answer: what was meant is a
// question with the source that was chosen, what is sent is the same question.
// The second result is false if the answer names no source, which ip takes for a
// failure.
func (g RouteGetRequest) Again(answer rpdb.Route) (again, hasSource bool) {
	return g.Connected && !g.From.IsSet(), answer.PrefSrc.IsValid() || answer.Src.IsValid()
}

// Flow returns the flow that the question is about. Interfaces are named as
// they were typed. Where no protocol was typed it is UDP in IPv4, as it is for
// the kernel; where no user was, it is 0, though the kernel takes the asker.
func (g RouteGetRequest) Flow() rpdb.Flow {
	to, _ := g.To.Get()
	from, _ := g.From.Get()
	f := rpdb.Flow{Dst: to.Addr(), Src: from.Addr(), IIF: g.iif, OIF: g.oif, TOS: g.TOS}
	if !f.Dst.IsValid() {
		f.Dst = g.Family.Unspecified()
	}
	f.Mark, _ = g.Mark.Get()
	f.UID, _ = g.UID.Get()
	proto, ok := g.IPProto.Get()
	if f.IPProto = proto; !ok && g.Family == rpdb.IPv4 {
		f.IPProto = rpdb.UDP
	}
	f.SPort, _ = g.SPort.Get()
	f.DPort, _ = g.DPort.Get()
	f.FlowLabel, _ = g.FlowLabel.Get()
	return f
}
