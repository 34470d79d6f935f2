package iproute2

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
)

// RouteFilter selects routes as the words after "ip route list", "flush" and
// "save" do. It is comparable. The zero filter selects every route of every
// family and table that was not cloned; see [RouteContext.ParseRouteFilter].
type RouteFilter struct {
	family   rpdb.Family // of the options; 0 selects both
	table    rpdb.TableID
	cloned   bool
	flush    bool
	vrf      bool // without what belongs to the host itself
	protocol rpdb.Opt[rpdb.Protocol]
	scope    rpdb.Opt[rpdb.Scope]
	typ      rpdb.Opt[rpdb.RouteType]
	tos      rpdb.Opt[uint8]
	metric   rpdb.Opt[uint32]
	mark     rpdb.Opt[uint32]
	iif, oif rpdb.Opt[rpdb.LinkIndex]
	realms   rpdb.Realms
	realmsIn rpdb.Realms // the bits of realms that count

	via, src RouteAddress // of family 0 they select every route

	// Routes inside of the first prefix, and those that cover the second. One
	// of family 0 is the default of every family.
	dstRoot, dstCovers rpdb.Opt[RouteAddress]
	srcRoot, srcCovers rpdb.Opt[RouteAddress]

	members bool // the nexthops of a multipath route count too
}

// ParseRouteFilter reads the words after "ip route list", "flush" or "save",
// exactly as ip does: the last value of a keyword counts, table main is meant
// where none is named, and "all" and "any" select everything while "default"
// is the prefix 0/0. The error is of type *[ParseError].
func (c RouteContext) ParseRouteFilter(v RouteVerb, words []string) (RouteFilter, error) {
	p := routeFilterParser{routeReader: c.reader(words)}
	p.f = RouteFilter{family: c.Family, table: rpdb.TableMain, flush: v == RouteFlush}
	if p.f.flush && len(words) == 0 {
		p.refuse("", `"ip route flush" requires arguments.`)
	}
	for p.more() {
		p.keyword = p.next()
		if o, ok := lookUpRoute(routeListWords, p.keyword); ok {
			p.means = o.name
			o.match(&p)
		} else {
			p.inOrCovering(p.keyword, &p.f.dstRoot, &p.f.dstCovers)
		}
	}
	if i := p.find(p.in); p.in.typed {
		p.f.iif = rpdb.Some(i)
	}
	if i := p.find(p.out); p.out.typed {
		p.f.oif = rpdb.Some(i)
	}
	if p.err != nil {
		return RouteFilter{}, p.err
	}
	return p.f, nil
}

// routeFilterParser reads the words of a filter. Its methods are the match
// column of [routeOptions]; each is called with its keyword taken. The family
// stays that of the options.
type routeFilterParser struct {
	routeReader
	f       RouteFilter
	in, out lateLink // of iif and dev
}

// prefix reads a prefix in the family of the options; "all" is none where
// there is no family.
func (p *routeFilterParser) prefix(word string) rpdb.Opt[RouteAddress] {
	a := p.read(word, p.family)
	if a.Family == 0 && word != "default" {
		return rpdb.Opt[RouteAddress]{}
	}
	return rpdb.Some(a)
}

// read reads a prefix in a family without deciding that of the others.
func (p *routeFilterParser) read(word string, f rpdb.Family) RouteAddress {
	family := p.family
	a := p.prefixIn(word, f)
	p.family = family
	return a
}

// inOrCovering reads [root | match | exact] PREFIX, whose first word is given, and
// keeps what routes have to be inside of and what they have to cover.
func (p *routeFilterParser) inOrCovering(word string, root, covers *rpdb.Opt[RouteAddress]) {
	switch lookUp(matchWords, word) {
	case "root":
		*root = p.prefix(p.next())
	case "match":
		*covers = p.prefix(p.next())
	case "exact":
		word = p.next()
		fallthrough
	default:
		*root = p.prefix(word)
		*covers = *root
	}
}

func (p *routeFilterParser) to() {
	word := p.next()
	p.inOrCovering(word, &p.f.dstRoot, &p.f.dstCovers)
}

func (p *routeFilterParser) from() {
	word := p.next()
	p.inOrCovering(word, &p.f.srcRoot, &p.f.srcCovers)
}

// table also takes "all" and "cache", unless there is a table of that name.
func (p *routeFilterParser) table() {
	word := p.peek()
	before := p.reader
	t := p.reader.table("table id value is invalid\n")
	if p.err == nil {
		p.f.table = t
		return
	}
	switch word {
	case "all":
		p.accept(before)
		p.f.table = 0
	case "cache":
		p.accept(before)
		p.f.cloned = true
	case "help":
		p.accept(before)
		p.usage(word)
	}
}

// accept takes a word that turned out to be a good one.
func (p *routeFilterParser) accept(before reader) {
	p.reader = before
	p.next()
}

func (p *routeFilterParser) vrf() {
	p.f.table, p.f.vrf, p.f.typ = p.routeReader.vrf(), true, rpdb.Opt[rpdb.RouteType]{}
}

func (p *routeFilterParser) cached() { p.f.cloned = true }

func (p *routeFilterParser) tos() { p.f.tos = rpdb.Some(p.reader.tos("TOS value is invalid\n")) }

// protocol also takes "all", unless there is one of that name.
func (p *routeFilterParser) protocol() {
	word, before := p.peek(), p.reader
	p.f.protocol = rpdb.Some(p.reader.protocol("invalid \"protocol\"\n"))
	if p.err != nil && word == "all" {
		p.accept(before)
		p.f.protocol = rpdb.Opt[rpdb.Protocol]{}
	}
}

// scope also takes "all", unless there is one of that name.
func (p *routeFilterParser) scope() {
	word, before := p.peek(), p.reader
	p.f.scope = rpdb.Some(p.routeReader.scope("invalid \"scope\"\n"))
	if p.err != nil && word == "all" {
		p.accept(before)
		p.f.scope = rpdb.Opt[rpdb.Scope]{}
	}
}

func (p *routeFilterParser) typ() {
	word := p.next()
	t, ok := routeType(word)
	if !ok && p.err == nil {
		p.fail(BadArgument, word, "node type value is invalid\n")
	}
	p.f.typ, p.f.vrf = rpdb.Some(t), false
}

func (p *routeFilterParser) iif() { p.in = p.lateLink() }

func (p *routeFilterParser) oif() { p.out = p.lateLink() }

func (p *routeFilterParser) mark() {
	p.f.mark = rpdb.Some(uint32(p.number(32, "invalid mark value")))
}

func (p *routeFilterParser) metric() {
	p.f.metric = rpdb.Some(uint32(p.number(32, "\"metric\" value is invalid\n")))
}

func (p *routeFilterParser) via() {
	word, f := p.gatewayFamily()
	p.f.via = p.read(word, f)
}

func (p *routeFilterParser) src() { p.f.src = p.read(p.next(), p.family) }

// realms reads realms of which both count, or the half that was typed: "3/"
// means from 3, and a number without a slash means to.
func (p *routeFilterParser) realms() {
	word := p.peek()
	p.f.realms = p.reader.realms("invalid realms\n")
	p.f.realmsIn = rpdb.NewRealms(0xffff, 0xffff)
	if p.f.realms.To() == 0 && strings.HasSuffix(word, "/") {
		p.f.realmsIn = rpdb.NewRealms(0xffff, 0)
	}
	if p.f.realms.From() == 0 && !strings.Contains(strings.TrimPrefix(word, "/"), "/") {
		p.f.realmsIn = rpdb.NewRealms(0, p.f.realmsIn.To())
	}
}

// Table returns the table that is listed, 0 for all of them.
func (f RouteFilter) Table() rpdb.TableID { return f.table }

// Cached reports whether cloned routes are wanted, and no others.
func (f RouteFilter) Cached() bool { return f.cloned }

// WithMembers returns the filter that finds a multipath route by the gateway of
// each of its nexthops as well, which ip does not, and by gateway and interface
// of the same one.
func (f RouteFilter) WithMembers() RouteFilter {
	f.members = true
	return f
}

// Family returns the family that the kernel is asked for: that of the options,
// IPv4 where a table is listed, else 0 for all.
func (f RouteFilter) Family() rpdb.Family {
	if f.family == 0 && f.table != 0 {
		return rpdb.IPv4
	}
	return f.family
}

// Dump returns the payload of the dump request, behind the message header, with
// what the kernel filters by if it checks strictly: the table, the protocol,
// the interface. The message is of type RTM_GETROUTE.
func (f RouteFilter) Dump() []byte {
	protocol, _ := f.protocol.Get()
	w := wire{byte(f.Family()), 0, 0, 0, 0, byte(protocol), 0, 0}
	var flags uint32
	if f.cloned {
		flags = routeCloned
	}
	w = binary.NativeEndian.AppendUint32(w, flags)
	if f.table != 0 {
		w.uint32(rtaTable, uint32(f.table))
	}
	if i, ok := f.oif.Get(); ok {
		w.link(rtaOIF, i)
	}
	return w
}

const routeCloned = 0x200 // RTM_F_CLONED

// Hidden returns the columns that say nothing new where the filter selects.
func (f RouteFilter) Hidden() RouteColumns {
	var hidden RouteColumns
	for _, c := range []struct {
		hide   bool
		column RouteColumns
	}{
		{f.table != 0, ColumnTable},
		{f.protocol.IsSet(), ColumnProtocol},
		{f.scope.IsSet(), ColumnScope},
		{f.tos.IsSet(), ColumnTOS},
		{f.via.isHost(), ColumnVia},
		{f.oif.IsSet(), ColumnDev},
		{f.src.isHost(), ColumnSrc},
		{f.metric.IsSet(), ColumnMetric},
		{f.realmsIn == rpdb.NewRealms(0xffff, 0xffff), ColumnRealms},
	} {
		if c.hide {
			hidden |= c.column
		}
	}
	return hidden
}

// isHost reports whether the address is one of a host, of full length.
func (a RouteAddress) isHost() bool { return len(a.Bytes) > 0 && int(a.Bits) == 8*len(a.Bytes) }

// Match reports whether the filter selects a route.
func (f RouteFilter) Match(e RouteEntry) bool { return f.match(&e) }

func (f *RouteFilter) match(e *RouteEntry) bool {
	return f.matchTable(e) && is(f.protocol, e.Protocol) && is(f.scope, e.Scope) && f.matchType(e.Type) &&
		is(f.tos, e.TOS) && is(f.metric, e.Metric) && is(f.mark, e.Mark) && is(f.iif, e.IIF) &&
		(e.Realms^f.realms)&f.realmsIn == 0 && f.matchHops(&e.Route) &&
		f.src.matches(sourceOf(&e.Route)) && f.matchDestination(e.Family, e.Dst) &&
		holds(f.srcRoot, e.Family, e.Src) && isCovered(f.srcCovers, e.Family, e.Src) && !f.spares(&e.Route)
}

// matchDestination checks the destination.
func (f *RouteFilter) matchDestination(family rpdb.Family, dst netip.Prefix) bool {
	return holds(f.dstRoot, family, dst) && isCovered(f.dstCovers, family, dst)
}

// byDestination reports whether some destinations are not selected.
func (f *RouteFilter) byDestination() bool { return f.dstRoot.IsSet() || f.dstCovers.IsSet() }

// matchTable checks where the route stands. Of IPv6 ip lists no route of this
// host as one of table main, wherever it stands.
func (f *RouteFilter) matchTable(e *RouteEntry) bool {
	switch {
	case f.family != 0 && e.Family != f.family, f.cloned != (e.RouteDetails.Flags&routeCloned != 0):
		return false
	case f.table == rpdb.TableMain && e.Family == rpdb.IPv6 && e.Type == rpdb.RouteLocal:
		return false
	}
	return f.table == 0 || f.table == e.Table
}

func (f *RouteFilter) matchType(t rpdb.RouteType) bool {
	return is(f.typ, t) && !(f.vrf && (t == rpdb.RouteLocal || t == rpdb.RouteBroadcast))
}

// spares reports whether a flush leaves the route alone: the one that stands
// for no route at all in IPv6.
func (f *RouteFilter) spares(r *rpdb.Route) bool {
	return f.flush && r.Family == rpdb.IPv6 && r.IsDefault() && r.Type == rpdb.RouteUnreachable && r.Metric == 0xffffffff
}

// matchHops checks interface and gateway. For ip a multipath route has the
// interfaces of its members, and no gateway.
func (f *RouteFilter) matchHops(r *rpdb.Route) bool {
	if f.members && len(r.Nexthops) > 0 {
		return slices.ContainsFunc(r.Nexthops, func(n rpdb.Nexthop) bool {
			return is(f.oif, n.Link) && f.matchVia(r.Family, n.Via)
		})
	}
	var via netip.Addr
	if len(r.Nexthops) == 1 {
		via = r.Nexthops[0].Via
	}
	return f.matchLink(r.Nexthops) && f.matchVia(r.Family, via)
}

func (f *RouteFilter) matchLink(hops []rpdb.Nexthop) bool {
	return is(f.oif, 0) || slices.ContainsFunc(hops, func(n rpdb.Nexthop) bool { return is(f.oif, n.Link) })
}

func (f *RouteFilter) matchVia(family rpdb.Family, via netip.Addr) bool {
	if !via.IsValid() {
		via = family.Unspecified()
	}
	return f.via.matches(via)
}

// sourceOf returns the preferred source, the unspecified address if there is
// none.
func sourceOf(r *rpdb.Route) netip.Addr {
	if r.PrefSrc.IsValid() {
		return r.PrefSrc
	}
	return r.Family.Unspecified()
}

// matches reports whether an address is inside of the filter's prefix.
func (a RouteAddress) matches(addr netip.Addr) bool {
	if a.Family == 0 {
		return true
	}
	return rpdb.FamilyOf(addr) == a.Family && a.agrees(addr, int(a.Bits))
}

// agrees reports whether the first bits of both addresses are the same.
func (a RouteAddress) agrees(addr netip.Addr, bits int) bool {
	own := a.Addr()
	if !own.IsValid() {
		own = a.Family.Unspecified()
	}
	return netip.PrefixFrom(own, bits).Contains(addr) || bits == 0
}

// holds reports whether the prefix of a route lies inside of a filter's.
func holds(want rpdb.Opt[RouteAddress], family rpdb.Family, p netip.Prefix) bool {
	a, ok := want.Get()
	if !ok || a.Family == 0 {
		return true
	}
	addr, bits := prefixParts(family, p)
	return family == a.Family && bits >= int(a.Bits) && a.agrees(addr, int(a.Bits))
}

// isCovered reports whether the prefix of a route covers a filter's.
func isCovered(want rpdb.Opt[RouteAddress], family rpdb.Family, p netip.Prefix) bool {
	a, ok := want.Get()
	addr, bits := prefixParts(family, p)
	switch {
	case !ok:
		return true
	case a.Family == 0:
		return bits == 0
	}
	return family == a.Family && bits <= int(a.Bits) && a.agrees(addr, bits)
}

func prefixParts(family rpdb.Family, p netip.Prefix) (netip.Addr, int) {
	if !p.IsValid() {
		return family.Unspecified(), 0
	}
	return p.Addr(), p.Bits()
}
