package iproute2

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"rpdb"
)

// routeParser reads the words of a change. Its methods are the add column of
// [routeOptions]; each is called with its keyword taken.
type routeParser struct {
	routeReader
	q       RouteRequest
	out     lateLink // behind the last "dev"
	hasHops bool     // "nexthop" was read: the rest is nexthops
	locks   uint32
}

// ParseRequest reads the words after "ip route add", "change", "replace",
// "append", "prepend", "test" or "delete" in the grammar of iproute2 7.1,
// abbreviations included, and fills in what ip does: the table, protocol
// boot, the scope. The last value of a keyword wins. Nothing is checked that
// the kernel checks, and host bits stay. The error is of type *[ParseError].
//
// It does the right thing where ip drops words: what follows "encap xfrm ..."
// belongs to the route.
func (c RouteContext) ParseRequest(v RouteVerb, words []string) (RouteRequest, error) {
	var p RouteParser
	q, err := p.Parse(c, v, words)
	return *q, err
}

// RouteParser reads one command after the other in the memory of the one before, for
// batches of a million lines. The zero value is ready. It is not safe for concurrent
// use.
type RouteParser struct {
	p     routeParser
	known []knownWord
}

// knownWord is a keyword as it was typed before, and what it means.
type knownWord struct {
	word   string
	option routeOption
}

// mostKnown bounds how many words are known: few share a batch.
const mostKnown = 8

// lookUp is lookUpRoute of the words of a change.
func (r *RouteParser) lookUp(word string) (routeOption, bool) {
	for i := range r.known {
		if k := &r.known[i]; k.word == word {
			return k.option, true
		}
	}
	o, ok := lookUpRoute(routeAddWords, word)
	if ok && len(r.known) < mostKnown {
		r.known = append(r.known, knownWord{strings.Clone(word), o})
	}
	return o, ok
}

// Parse is [RouteContext.ParseRequest]. The request is valid until the next call; on
// an error it has what was read so far.
func (r *RouteParser) Parse(c RouteContext, v RouteVerb, words []string) (*RouteRequest, error) {
	sent, typed := r.p.q.sent[:0], r.p.q.typed[:0]
	if sent == nil {
		sent, typed = make(wire, 0, 48), make([]string, 0, 8) // two addresses of IPv6; most commands have no more
	}
	r.p = routeParser{routeReader: c.reader(words), q: RouteRequest{Verb: v, sent: sent, typed: typed}}
	err := r.p.parse(r.lookUp)
	return &r.p.q, err
}

func (p *routeParser) parse(lookUp func(word string) (routeOption, bool)) error {
	p.q.Table, p.q.Scope = uint8(rpdb.TableMain), rpdb.ScopeNowhere
	if !p.q.Deletes() {
		p.q.Protocol, p.q.Scope, p.q.Type = rpdb.ProtocolBoot, rpdb.ScopeGlobal, rpdb.RouteUnicast
	}
	for p.more() && !p.hasHops {
		p.keyword = p.next()
		if o, ok := lookUp(p.keyword); ok {
			p.option(o)
		} else {
			p.destination(p.keyword)
		}
	}
	if !p.q.To.IsSet() && p.err == nil {
		p.usage("")
	}
	p.q.Hop.Link = p.find(p.out)
	p.hops()
	p.finish()
	return p.failure()
}

func (p *routeParser) option(o routeOption) {
	p.means = o.name
	p.note(o.name)
	o.add(p)
}

// note remembers what was typed, and what a strict reader complains about:
// keywords given twice. Two destinations are an error anyhow.
func (p *routeParser) note(name string) {
	switch {
	case !p.q.has(name):
		p.q.typed = append(p.q.typed, name)
	case name != "to" && name != "via":
		p.doubt("%q is given twice, only the last one would count", name)
	}
}

// finish fills in what was not typed.
func (p *routeParser) finish() {
	q := &p.q
	q.doubts = p.doubts
	if p.locks != 0 {
		m := rpdb.Metric{Type: rpdb.MetricLock, Value: p.locks}
		q.Metrics = append(q.Metrics, m)
		q.metrics.metric(m)
	}
	slices.SortFunc(q.Metrics, func(a, b rpdb.Metric) int { return cmp.Compare(a.Type, b.Type) })
	if q.Family = p.family; q.Family == 0 {
		q.Family = rpdb.IPv4
	}
	if !q.has("table") && !q.has("vrf") {
		q.Table = uint8(defaultTable(q.Type))
	}
	if !q.has("scope") {
		q.Scope = q.scope()
	}
	if q.Family == familyMPLS && !q.has("type") {
		q.Type = rpdb.RouteUnicast
	}
}

// scope returns the scope of a route that is typed without one.
func (q *RouteRequest) scope() rpdb.Scope {
	switch {
	case q.Family == rpdb.IPv6, q.Family == familyMPLS:
		return rpdb.ScopeGlobal
	case q.Deletes() && (q.Type == rpdb.RouteUnicast || q.Type == 0):
		return rpdb.ScopeNowhere
	}
	id, _ := q.NexthopID.Get()
	leads := q.Hop.Gateway.IsSet() || q.Hop.Via.IsSet() || len(q.Hops) > 0 || id != 0
	if s := typeScope(q.Type, leads); s != rpdb.ScopeGlobal || !q.Deletes() {
		return s
	}
	return rpdb.ScopeNowhere
}

// destination reads [to] [TYPE] PREFIX, whose first word is given.
func (p *routeParser) destination(word string) {
	// A word that begins with a digit is an address, though it might be the
	// number of a type.
	if word == "" || digit(word[0]) > 9 {
		if t, ok := routeType(word); ok {
			p.q.Type = t
			p.note("type")
			word = p.next()
		}
	}
	switch {
	case p.err != nil:
	case abbreviates(word, "help"):
		p.usage(word)
	case p.q.To.IsSet():
		p.garbage("to", word)
	default:
		p.note("to")
		a := p.prefixIn(word, p.family)
		p.q.To = rpdb.Some(a)
		p.q.sent.prefix(rtaDst, a)
	}
}

func (p *routeParser) to() {
	if word := p.next(); p.err == nil {
		p.destination(word)
	}
}

func (p *routeParser) src() {
	a := p.address()
	p.q.PrefSrc = rpdb.Some(a)
	p.q.sent.text(rtaPrefSrc, a.Bytes)
}

func (p *routeParser) from() {
	a := p.prefixIn(p.next(), p.family)
	p.q.From = rpdb.Some(a)
	p.q.sent.prefix(rtaSrc, a)
}

func (p *routeParser) as() {
	a := p.newDst()
	p.q.Hop.NewDst = rpdb.Some(a)
	p.q.sent.text(rtaNewDst, a.Bytes)
}

// newDst reads [to] ADDRESS.
func (p *routeReader) newDst() RouteAddress {
	if p.peek() == "to" {
		p.next()
	}
	return p.address()
}

// via takes one gateway; more of them are nexthops.
func (p *routeParser) via() {
	if p.q.Hop.Gateway.IsSet() || p.q.Hop.Via.IsSet() {
		p.fail(BadArgument, p.keyword, "use nexthop syntax to specify multiple via\n")
		return
	}
	p.setGateway(&p.q.Hop, &p.q.sent)
}

// setGateway reads a gateway, which travels in one attribute if it is of the
// route's family, and in another one if not.
func (p *routeReader) setGateway(h *RouteHop, w *wire) {
	a := p.gateway()
	if a.Family == p.family {
		setFirst(&h.Gateway, a)
		w.text(rtaGateway, a.Bytes)
		return
	}
	setFirst(&h.Via, a)
	w.attribute(rtaVia, append(binary.NativeEndian.AppendUint16(nil, uint16(a.Family)), a.Bytes...))
}

// setFirst sets a value unless it is set: of two attributes of a nexthop the
// kernel takes the first.
func setFirst[T comparable](o *rpdb.Opt[T], v T) {
	if !o.IsSet() {
		*o = rpdb.Some(v)
	}
}

func (p *routeParser) tos() { p.q.TOS = p.reader.tos("\"tos\" value is invalid\n") }

// uint32 keeps a number and writes it down.
func (p *routeParser) uint32(o *rpdb.Opt[uint32], typ uint16, n uint32) {
	*o = rpdb.Some(n)
	p.q.sent.uint32(typ, n)
}

func (p *routeParser) expires() {
	p.uint32(&p.q.Expires, rtaExpires, uint32(p.number(32, "\"expires\" value is invalid\n")))
}

func (p *routeParser) priority() {
	p.uint32(&p.q.Metric, rtaPriority, uint32(p.number(32, "\"metric\" value is invalid\n")))
}

func (p *routeParser) scope() { p.q.Scope = p.routeReader.scope("invalid \"scope\" value\n") }

func (p *routeParser) realms() {
	r := p.reader.realms("\"realm\" value is invalid\n")
	p.q.Hop.Realms = rpdb.Some(r)
	p.q.sent.uint32(rtaFlow, uint32(r))
}

func (p *routeParser) onlink() { p.q.Hop.Flags |= rpdb.NexthopOnlink }

func (p *routeParser) nexthops() { p.hasHops = true }

func (p *routeParser) nexthopID() {
	p.uint32(&p.q.NexthopID, rtaNHID, uint32(p.number(32, "\"id\" value is invalid\n")))
}

func (p *routeParser) protocol() {
	p.q.Protocol = p.reader.protocol("\"protocol\" value is invalid\n")
}

func (p *routeParser) table() { p.setTable(p.reader.table("\"table\" value is invalid\n")) }

func (p *routeParser) vrf() { p.setTable(p.routeReader.vrf()) }

// setTable keeps a table. One of 256 and more travels in an attribute, which
// then wins over any smaller one typed after it.
func (p *routeParser) setTable(t rpdb.TableID) {
	if t > math.MaxUint8 {
		p.q.Table, p.q.LongTable = 0, rpdb.Some(t)
		p.q.sent.uint32(rtaTable, uint32(t))
	} else {
		p.q.Table = uint8(t)
	}
}

func (p *routeParser) dev() { p.out = p.lateLink() }

func (p *routeParser) preference() {
	word := p.next()
	var pref rpdb.RouterPreference
	if p.err == nil && (digit(firstByte(word)) <= 9 || pref.UnmarshalText([]byte(word)) != nil) {
		pref = rpdb.RouterPreference(p.numberIn(word, 8, "\"pref\" value is invalid\n"))
	}
	p.q.Pref = rpdb.Some(pref)
	p.q.sent.uint8(rtaPref, uint8(pref))
}

// firstByte returns the first byte of a word, 0 for none.
func firstByte(word string) byte {
	if word == "" {
		return 0
	}
	return word[0]
}

func (p *routeParser) ttlPropagate() {
	v, word := uint8(0), p.next()
	switch {
	case abbreviates(word, "enabled"):
		v = 1
	case !abbreviates(word, "disabled"):
		p.fail(BadArgument, word, "\"ttl-propagate\" value is invalid\n")
	}
	p.q.TTLPropagate = rpdb.Some(v)
	p.q.sent.uint8(rtaTTLPropagate, v)
}

func (p *routeParser) encap() { p.q.Hop.Encap = rpdb.Some(p.tunnel(&p.q.sent)) }

// tunnel reads a lightweight tunnel and writes it down.
func (p *routeReader) tunnel(w *wire) RouteEncap {
	e := p.encap()
	w.attribute(rtaEncap|attrNested, []byte(e.Attrs))
	w.uint16(rtaEncapType, e.Type)
	return e
}

// metric reads [lock] VALUE of the metric that the option is called after.
func (p *routeParser) metric() {
	t := metricType(p.means)
	if p.peek() == "lock" && lockable(t) {
		p.next()
		p.locks |= 1 << t
	}
	if t == rpdb.MetricRTOMin {
		p.locks |= 1 << t
	}
	m := p.metricValue(t)
	p.q.metrics.metric(m)
	p.q.Metrics = slices.DeleteFunc(p.q.Metrics, func(o rpdb.Metric) bool { return o.Type == t })
	p.q.Metrics = append(p.q.Metrics, m)
}

// metricType returns the metric of a name, 0 if it has none.
func metricType(name string) rpdb.MetricType {
	for t := rpdb.MetricMTU; t <= rpdb.MetricFastOpenNoCookie; t++ {
		if metricWord(t) == name {
			return t
		}
	}
	return 0
}

// lockable reports whether "lock" may stand before the value.
func lockable(t rpdb.MetricType) bool {
	switch t {
	case rpdb.MetricRTOMin, rpdb.MetricFeatures, rpdb.MetricQuickAck, rpdb.MetricFastOpenNoCookie:
		return false
	}
	return true
}

func (p *routeParser) metricValue(t rpdb.MetricType) rpdb.Metric {
	m := rpdb.Metric{Type: t}
	reason := "\"" + metricWord(t) + "\" value is invalid\n"
	switch t {
	case rpdb.MetricCongCtl:
		m.Text = p.next()
	case rpdb.MetricFeatures:
		m.Value = p.features()
	case rpdb.MetricRTT:
		m.Value = p.time(8, reason)
	case rpdb.MetricRTTVar:
		m.Value = p.time(4, reason)
	case rpdb.MetricRTOMin:
		m.Value = p.time(1, reason)
	case rpdb.MetricHopLimit:
		m.Value = uint32(p.number(8, reason))
	case rpdb.MetricQuickAck, rpdb.MetricFastOpenNoCookie:
		m.Value = p.bool(reason, fmt.Sprintf("%q value should be 0 or 1\n", metricWord(t)))
	case rpdb.MetricAdvMSS:
		m.Value = uint32(p.number(32, "\"mss\" value is invalid\n"))
	default:
		m.Value = uint32(p.number(32, reason))
	}
	return m
}

func (p *routeParser) bool(invalid, tooLarge string) uint32 {
	n := p.number(32, invalid)
	if n > 1 {
		p.fail(BadArgument, p.words[p.pos-1], tooLarge)
	}
	return uint32(n)
}

// features reads the words of features as far as they go.
func (p *routeParser) features() uint32 {
	bits := uint32(0)
	for {
		switch p.peek() {
		case "ecn":
			bits |= featureECN
		case "tcp_usec_ts":
			bits |= featureTCPUsecTS
		default:
			if bits == 0 {
				word := p.next()
				p.fail(BadArgument, word, "\"features\" value not valid\n")
			}
			return bits
		}
		p.next()
	}
}

// time reads a raw number, or one with a unit, which the kernel keeps scaled.
func (p *routeParser) time(scale uint32, reason string) uint32 {
	word := p.next()
	if p.err != nil {
		return 0
	}
	t, ok := routeTime(word)
	if !ok {
		p.fail(BadArgument, word, reason)
		return 0
	}
	if !t.hasUnit {
		scale = 1
	}
	if !t.exact || uint64(t.ms)*uint64(scale) > math.MaxUint32 {
		p.doubt("%s %s: not a whole number of milliseconds that fits, ip would send %d", p.means, word, t.ms*scale)
	}
	return t.ms * scale
}
