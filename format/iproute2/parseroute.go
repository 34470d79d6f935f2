package iproute2

import (
	"net/netip"
	"slices"
	"strings"

	"rpdb"
)

// RouteContext is what the words of a route are read with. The zero value has
// built-in names and knows no interface.
type RouteContext struct {
	Names rpdb.Names
	// LinkIndex returns the interface with the name, and whether there is one.
	LinkIndex func(rpdb.LinkName) (rpdb.LinkIndex, bool)
}

// ParseRoute reads the words after "ip route add", "replace", "append" and so
// on, in the grammar of iproute2 7.1, and fills in what ip does: table main or
// local, protocol boot, the scope. With family 0 the first address decides,
// and IPv4 if there is none. Host bits stay, and nothing is checked that the
// kernel checks. Lightweight tunnels ("encap"), "as", "vrf", "ttl-propagate"
// and the legacy "expires" of IPv4 are not part of this grammar; they are
// errors like any unknown word.
//
// Errors are of type *[ParseError].
func ParseRoute(f rpdb.Family, words []string, c RouteContext) (rpdb.Route, error) {
	p := newRouteParser(f, words, c)
	r := p.parse()
	if !p.hasProtocol {
		r.Protocol = rpdb.ProtocolBoot
	}
	if r.Type == 0 {
		r.Type = rpdb.RouteUnicast
	}
	if !p.hasScope && r.Family == rpdb.IPv4 {
		r.Scope = defaultScope(r)
	}
	return r, p.failure()
}

// ParseRouteDelete reads the words after "ip route del". What was not typed
// stands for anything: the type and protocol are zero, the scope is nowhere.
func ParseRouteDelete(f rpdb.Family, words []string, c RouteContext) (rpdb.Route, error) {
	p := newRouteParser(f, words, c)
	r := p.parse()
	if !p.hasScope {
		r.Scope = rpdb.ScopeNowhere
	}
	return r, p.failure()
}

type routeParser struct {
	reader
	linkIndex   func(rpdb.LinkName) (rpdb.LinkIndex, bool)
	route       rpdb.Route
	hop         rpdb.Nexthop // of a route without "nexthop"
	hops        []rpdb.Nexthop
	locks       uint32
	hasProtocol bool
	hasScope    bool
	hasTable    bool
	hasDst      bool
	onlink      bool
}

func newRouteParser(f rpdb.Family, words []string, c RouteContext) *routeParser {
	return &routeParser{
		reader: reader{words: words, names: c.Names}, linkIndex: c.LinkIndex,
		route: rpdb.Route{Family: f},
	}
}

// routeKeywords is the order of `ip route add`.
func routeKeywords() []keyword {
	return []keyword{
		{"src", false, "src"},
		{"via", false, "via"},
		{"from", false, "from"},
		{"tos", false, "tos"},
		{"dsfield", true, "tos"},
		{"expires", false, "expires"},
		{"metric", true, "metric"},
		{"priority", true, "metric"},
		{"preference", false, "metric"},
		{"scope", false, "scope"},
		{"mtu", false, "mtu"},
		{"hoplimit", false, "hoplimit"},
		{"advmss", false, "advmss"},
		{"reordering", true, "reordering"},
		{"rtt", false, "rtt"},
		{"rto_min", false, "rto_min"},
		{"window", true, "window"},
		{"cwnd", true, "cwnd"},
		{"initcwnd", true, "initcwnd"},
		{"initrwnd", true, "initrwnd"},
		{"features", true, "features"},
		{"quickack", true, "quickack"},
		{"congctl", true, "congctl"},
		{"rttvar", true, "rttvar"},
		{"ssthresh", true, "ssthresh"},
		{"realms", true, "realms"},
		{"onlink", false, "onlink"},
		{"nexthop", false, "nexthop"},
		{"nhid", false, "nhid"},
		{"protocol", true, "protocol"},
		{"table", true, "table"},
		{"dev", false, "dev"},
		{"oif", false, "dev"},
		{"pref", true, "pref"},
		{"fastopen_no_cookie", true, "fastopen_no_cookie"},
	}
}

func (p *routeParser) parse() rpdb.Route {
	for p.more() {
		word := p.next()
		means := lookUp(routeKeywords(), word)
		if !p.attribute(means) && !p.hopWord(means) && !p.metric(means) {
			p.destination(word)
		}
	}
	if !p.hasDst && p.err == nil {
		p.pos = len(p.words)
		p.next() // complains that the line is not complete
	}
	return p.finish()
}

func (p *routeParser) finish() rpdb.Route {
	r := &p.route
	if r.Family == 0 {
		r.Family = rpdb.IPv4
	}
	if !r.Dst.IsValid() {
		r.Dst = r.Family.Default()
	}
	if r.Table == 0 {
		r.Table = rpdb.TableMain
	}
	if !p.hasTable {
		r.Table = defaultTable(r.Type)
	}
	if p.onlink {
		p.hop.Flags |= rpdb.NexthopOnlink
	}
	switch {
	case len(p.hops) > 0:
		r.Nexthops = p.hops
	case p.hop != (rpdb.Nexthop{}):
		r.Nexthops = []rpdb.Nexthop{p.hop}
	}
	if p.locks != 0 {
		r.Metrics = append(r.Metrics, rpdb.Metric{Type: rpdb.MetricLock, Value: p.locks})
	}
	slices.SortFunc(r.Metrics, func(a, b rpdb.Metric) int { return int(a.Type) - int(b.Type) })
	return *r
}

// attribute reads what belongs to the route as a whole, and reports whether
// the keyword is one of those.
func (p *routeParser) attribute(key string) bool {
	r := &p.route
	switch key {
	case "src":
		r.PrefSrc = p.addr()
	case "from":
		r.Src = p.prefix(p.next())
	case "tos":
		r.TOS = p.tos(`"tos" value is invalid`)
	case "expires":
		r.Expires = uint32(p.number(32, `"expires" value is invalid`))
	case "metric":
		r.Metric = uint32(p.number(32, `"metric" value is invalid`))
	case "scope":
		r.Scope, p.hasScope = p.scope(), true
	case "realms":
		r.Realms = p.realms(`"realm" value is invalid`)
	case "nhid":
		r.NexthopID = uint32(p.number(32, `"id" value is invalid`))
	case "protocol":
		r.Protocol, p.hasProtocol = p.protocol(`"protocol" value is invalid`), true
	case "table":
		r.Table, p.hasTable = p.table(`"table" value is invalid`), true
	case "pref":
		r.Pref = p.preference()
	default:
		return false
	}
	return true
}

// hopWord reads what belongs to a nexthop, and reports whether the keyword is
// one of those.
func (p *routeParser) hopWord(key string) bool {
	switch key {
	case "via":
		p.hop.Via = p.via()
	case "dev":
		p.hop.Link = p.link()
	case "onlink":
		p.onlink = true
	case "nexthop":
		p.nexthops()
	default:
		return false
	}
	return true
}

// nexthops reads the rest of the line: each nexthop up to the next "nexthop".
func (p *routeParser) nexthops() {
	for p.err == nil {
		hop := rpdb.Nexthop{Weight: 1}
		for p.more() && p.peek() != "nexthop" {
			p.nexthopWord(&hop)
		}
		p.hops = append(p.hops, hop)
		if !p.more() {
			return
		}
		p.next()
	}
}

func (p *routeParser) nexthopWord(hop *rpdb.Nexthop) {
	switch word := p.next(); {
	case word == "via":
		hop.Via = p.via()
	case word == "dev":
		hop.Link = p.link()
	case word == "weight":
		n := p.number(32, `"weight" is invalid`)
		if n < 1 || n > 256 {
			p.fail(BadArgument, p.words[p.pos-1], `"weight" is invalid`)
		}
		hop.Weight = uint32(n)
	case word == "onlink":
		hop.Flags |= rpdb.NexthopOnlink
	case abbreviates(word, "realms"):
		hop.Realms = p.realms(`"realm" value is invalid`)
	default:
		p.fail(BadArgument, word, `"nexthop" or end of line is expected instead of this`)
	}
}

// destination reads [to] [TYPE] PREFIX, whose first word is given.
func (p *routeParser) destination(word string) {
	if word == "to" {
		word = p.next()
	}
	// A word that begins with a digit or holds a colon is an address, though
	// it might be the number of a type.
	if p.err == nil && (word == "" || word[0] < '0' || word[0] > '9') {
		if t, ok := routeType(word); ok {
			p.route.Type = t
			word = p.next()
		}
	}
	if p.err != nil {
		return
	}
	if p.hasDst {
		p.fail(BadArgument, word, `either "to" is duplicate, or this is garbage`)
		return
	}
	p.route.Dst, p.hasDst = p.prefix(word), true
}

// prefix reads a prefix, which decides the family if nothing did so far.
func (p *routeParser) prefix(word string) netip.Prefix {
	prefix, ok := parsePrefix(word, p.route.Family)
	if !ok && p.err == nil {
		p.fail(BadPrefix, word, familyWord(p.route.Family))
	}
	p.infer(prefix.Addr())
	return prefix
}

func (p *routeParser) infer(a netip.Addr) {
	if p.route.Family == 0 {
		p.route.Family = rpdb.FamilyOf(a)
	}
}

func (p *routeParser) addr() netip.Addr { return p.addrOf(p.next(), p.route.Family) }

func (p *routeParser) addrOf(word string, f rpdb.Family) netip.Addr {
	addr, ok := parseAddr(word, f)
	if !ok && p.err == nil {
		p.fail(BadAddress, word, familyWord(f))
	}
	p.infer(addr)
	return addr
}

// via reads [FAMILY] ADDR: with the word of a family, the gateway may be of
// another one than the route.
func (p *routeParser) via() netip.Addr {
	if p.hop.Via.IsValid() && len(p.hops) == 0 {
		p.next()
		p.fail(BadArgument, p.words[p.pos-1], "use nexthop syntax to specify multiple via")
		return netip.Addr{}
	}
	word := p.next()
	f := p.route.Family
	if word == "inet" || word == "inet6" {
		_ = f.UnmarshalText([]byte(word)) // both words are known
		word = p.next()
	}
	return p.addrOf(word, f)
}

func (p *routeParser) link() rpdb.LinkIndex {
	word := p.next()
	if p.err != nil {
		return 0
	}
	if p.linkIndex != nil {
		if i, ok := p.linkIndex(rpdb.LinkName(word)); ok {
			return i
		}
	}
	p.fail(UnknownDevice, word, "")
	return 0
}

func (p *routeParser) scope() rpdb.Scope {
	word := p.next()
	var s rpdb.Scope
	if p.err == nil && s.UnmarshalText([]byte(word)) != nil {
		s = rpdb.Scope(p.numberIn(word, 8, `invalid "scope" value`))
	}
	return s
}

func (p *routeParser) preference() rpdb.RouterPreference {
	word := p.next()
	var pref rpdb.RouterPreference
	if p.err == nil && pref.UnmarshalText([]byte(word)) != nil {
		pref = rpdb.RouterPreference(p.numberIn(word, 8, `"pref" value is invalid`))
	}
	return pref
}

// metric reads [lock] VALUE, and reports whether the keyword is a metric.
func (p *routeParser) metric(key string) bool {
	for t, name := range metricNames() {
		if key != name {
			continue
		}
		if p.peek() == "lock" && lockable(t) {
			p.next()
			p.locks |= 1 << t
		}
		if t == rpdb.MetricRTOMin {
			p.locks |= 1 << t
		}
		p.setMetric(t)
		return true
	}
	return false
}

// lockable reports whether "lock" may stand before the value.
func lockable(t rpdb.MetricType) bool {
	switch t {
	case rpdb.MetricInitCWnd, rpdb.MetricInitRWnd, rpdb.MetricFeatures, rpdb.MetricQuickAck, rpdb.MetricFastOpenNoCookie:
		return false
	}
	return true
}

func (p *routeParser) setMetric(t rpdb.MetricType) {
	m := rpdb.Metric{Type: t}
	reason := `"` + metricNames()[t] + `" value is invalid`
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
	default:
		m.Value = uint32(p.number(32, reason))
	}
	p.route.Metrics = slices.DeleteFunc(p.route.Metrics, func(o rpdb.Metric) bool { return o.Type == t })
	p.route.Metrics = append(p.route.Metrics, m)
}

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
				p.fail(BadArgument, p.next(), `"features" value not valid`)
			}
			return bits
		}
		p.next()
	}
}

// time reads a raw number, or one with the unit ms or s, in milliseconds,
// which the kernel keeps scaled.
func (p *routeParser) time(scale uint64, reason string) uint32 {
	word := p.next()
	if p.err != nil {
		return 0
	}
	digits, factor := word, uint64(1)
	if s, ok := strings.CutSuffix(word, "ms"); ok {
		digits, factor = s, scale
	} else if s, ok := strings.CutSuffix(strings.TrimSuffix(word, "ec"), "s"); ok {
		digits, factor = s, 1000*scale
	}
	n, err := parseUint(digits, 0, 32)
	if n *= factor; err != nil || n > 1<<32-1 {
		p.fail(BadArgument, word, reason)
	}
	return uint32(n)
}
