package networkd

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/format"
)

// routeReader collects what one [Route] says.
type routeReader struct {
	*reader
	route  rpdb.Route
	dst    netip.Prefix // invalid: not said
	via    netip.Addr
	device bool // a gateway that says: on the link itself
	onlink bool
	scope  rpdb.Opt[rpdb.Scope]
	table  rpdb.Opt[rpdb.TableID]
	hops   []rpdb.Nexthop // of MultiPathRoute=
}

func newRoute(r *reader) *routeReader {
	return &routeReader{reader: r, route: rpdb.Route{Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic}}
}

// route reads [Route].
func (h *host) route() {
	b := newRoute(h.reader)
	before := len(h.errs)
	for _, a := range h.distinct(h.section, "MultiPathRoute") {
		set, ok := routeKeys()[a.key]
		if !ok {
			h.refuseAt(h.section, a, errors.New("[Route] has no such key"))
			continue
		}
		h.refuseAt(h.section, a, set(b, a.value))
	}
	if len(h.errs) > before {
		return
	}
	r, err := b.finish()
	if err != nil {
		h.refuse(h.section.file, h.section.line, "section", h.section.name, err.Error())
		return
	}
	h.routes = append(h.routes, r)
}

func routeKeys() map[string]func(*routeReader, string) error {
	keys := map[string]func(*routeReader, string) error{
		"Destination":     func(b *routeReader, v string) error { return setTo(&b.dst, v, prefix) },
		"Source":          func(b *routeReader, v string) error { return setTo(&b.route.Src, v, prefix) },
		"Gateway":         (*routeReader).setGateway,
		"GatewayOnLink":   func(b *routeReader, v string) error { return setTo(&b.onlink, v, boolean) },
		"MultiPathRoute":  (*routeReader).setHop,
		"Metric":          func(b *routeReader, v string) error { return setTo(&b.route.Metric, v, upTo[uint32](1<<32-1)) },
		"IPv6Preference":  (*routeReader).setPreference,
		"Scope":           func(b *routeReader, v string) error { return setOpt(&b.scope, v, scopeWord) },
		"PreferredSource": func(b *routeReader, v string) error { return setTo(&b.route.PrefSrc, v, address) },
		"Table":           func(b *routeReader, v string) error { return setOpt(&b.table, v, b.reader.table) },
		"Type":            (*routeReader).setType,
		"Protocol":        func(b *routeReader, v string) error { return setTo(&b.route.Protocol, v, protocol) },
		"TCPCongestionControlAlgorithm": func(b *routeReader, v string) error {
			return b.setMetric(rpdb.Metric{Type: rpdb.MetricCongCtl, Text: v})
		},
	}
	for key, m := range numberMetrics() {
		keys[key] = func(b *routeReader, v string) error {
			n, err := m.read(v)
			if err != nil {
				return err
			}
			return b.setMetric(rpdb.Metric{Type: m.typ, Value: n})
		}
	}
	return keys
}

// numberMetric is a key of [Route] for a metric that is a number, from the
// version on that has it.
type numberMetric struct {
	typ   rpdb.MetricType
	since int
	read  func(string) (uint32, error)
}

func numberMetrics() map[string]numberMetric {
	flag := func(v string) (uint32, error) {
		on, err := boolean(v)
		if err != nil || !on {
			return 0, err
		}
		return 1, nil
	}
	from1 := func(high uint64) func(string) (uint32, error) {
		return func(v string) (uint32, error) { return number[uint32](v, 1, high) }
	}
	return map[string]numberMetric{
		"MTUBytes":                        {rpdb.MetricMTU, 0, bytesOf},
		"TCPAdvertisedMaximumSegmentSize": {rpdb.MetricAdvMSS, 0, bytesOf},
		"InitialCongestionWindow":         {rpdb.MetricInitCWnd, 0, from1(1023)},
		"InitialAdvertisedReceiveWindow":  {rpdb.MetricInitRWnd, 0, from1(1023)},
		"QuickAck":                        {rpdb.MetricQuickAck, 0, flag},
		"FastOpenNoCookie":                {rpdb.MetricFastOpenNoCookie, 0, flag},
		"HopLimit":                        {rpdb.MetricHopLimit, 255, from1(255)},
	}
}

// bytesOf reads a number of bytes, with K, M or G for powers of 1024.
func bytesOf(value string) (uint32, error) {
	digits, shift := value, 0
	if at := strings.IndexAny(value, "KMG"); at >= 0 && at == len(value)-1 {
		digits, shift = value[:at], 10*(1+strings.IndexByte("KMG", value[at]))
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n<<shift == 0 || n<<shift > 1<<32-2 {
		return 0, errors.New("it is no number of bytes")
	}
	return uint32(n << shift), nil
}

// setMetric adds a metric, in the order of the types.
func (b *routeReader) setMetric(m rpdb.Metric) error {
	at := 0
	for at < len(b.route.Metrics) && b.route.Metrics[at].Type < m.Type {
		at++
	}
	b.route.Metrics = append(b.route.Metrics[:at:at], append([]rpdb.Metric{m}, b.route.Metrics[at:]...)...)
	return nil
}

func (b *routeReader) setGateway(value string) error {
	if strings.HasPrefix(value, "_") {
		return errors.New("the gateway of a lease or an advertisement is not known here")
	}
	if err := setTo(&b.via, value, address); err != nil {
		return err
	}
	if b.via.IsUnspecified() {
		b.device = true
	}
	return nil
}

// setHop reads ADDRESS[@INTERFACE] [WEIGHT].
func (b *routeReader) setHop(value string) error {
	fields := strings.Fields(value)
	hop := rpdb.Nexthop{Weight: 1}
	var err error
	if len(fields) == 2 {
		hop.Weight, err = number[uint32](fields[1], 1, 256)
	}
	via, name, named := strings.Cut(fields[0], "@")
	if err != nil || len(fields) > 2 {
		return errors.New("it is no gateway with a weight from 1 to 256")
	}
	if err := setTo(&hop.Via, via, address); err != nil {
		return err
	}
	if named {
		name, err := linkName(name)
		if err != nil {
			return err
		}
		hop.Link = format.Link(b.snapshot, name)
	}
	b.hops = append(b.hops, hop)
	return nil
}

func (b *routeReader) setPreference(value string) error {
	if value != "low" && value != "medium" && value != "high" {
		return errors.New("it is none of low, medium, high")
	}
	return b.route.Pref.UnmarshalText([]byte(value))
}

func (b *routeReader) setType(value string) error {
	t := rpdb.RouteType(0)
	if err := t.UnmarshalText([]byte(value)); err != nil || t < rpdb.RouteUnicast || t > rpdb.RouteXResolve || value != t.String() {
		return errors.New("it is no type of a route")
	}
	b.route.Type = t
	return nil
}

func protocol(value string) (rpdb.Protocol, error) {
	for _, p := range protocolsWithNames() {
		if (rpdb.Names{}).Protocol(p) == value {
			return p, nil
		}
	}
	return upTo[rpdb.Protocol](255)(value)
}

// protocolsWithNames are the originators that Protocol= has words for, which
// are those of ip.
func protocolsWithNames() []rpdb.Protocol {
	return []rpdb.Protocol{rpdb.ProtocolKernel, rpdb.ProtocolBoot, rpdb.ProtocolStatic, rpdb.ProtocolRA, rpdb.ProtocolDHCP}
}

// finish puts the route together. A nexthop without an interface leaves by that
// of the file.
func (b *routeReader) finish() (rpdb.Route, error) {
	if err := b.finishFamily(); err != nil {
		return rpdb.Route{}, err
	}
	b.finishTable()
	if err := b.finishHops(); err != nil {
		return rpdb.Route{}, err
	}
	scope, said := b.scope.Get()
	switch {
	case b.route.Family == rpdb.IPv6 && said:
		return rpdb.Route{}, errors.New("it has Scope=, which has no meaning for IPv6")
	case !said:
		scope = defaultScope(b.route)
	}
	b.route.Scope = scope
	if b.route.Family == rpdb.IPv4 && b.route.Pref != rpdb.PreferenceMedium {
		return rpdb.Route{}, errors.New("it has IPv6Preference=, which has no meaning for IPv4")
	}
	return b.route, nil
}

// finishFamily finds the family and the destination: without Destination= it is
// everything that the gateway's family has.
func (b *routeReader) finishFamily() error {
	family := rpdb.FamilyOf(b.dst.Addr())
	if !b.dst.IsValid() {
		switch {
		case b.via.IsValid():
			family = rpdb.FamilyOf(b.via)
		case len(b.hops) > 0:
			family = rpdb.FamilyOf(b.hops[0].Via)
		default:
			return errors.New("it has neither Destination= nor Gateway=")
		}
		b.dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if family == rpdb.IPv6 {
			b.dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	b.route.Family, b.route.Dst = family, b.dst.Masked()
	for _, a := range []netip.Addr{b.route.Src.Addr(), b.route.PrefSrc} {
		if a.IsValid() && rpdb.FamilyOf(a) != family {
			return fmt.Errorf("%v is not of the family of the destination", a)
		}
	}
	if b.route.Src.IsValid() && family == rpdb.IPv4 {
		return errors.New("it has Source=, which is for IPv6")
	}
	for _, h := range append([]rpdb.Nexthop{{Via: b.via}}, b.hops...) {
		if h.Via.IsValid() && family == rpdb.IPv6 && h.Via.Is4() {
			return errors.New("its gateway is of IPv4")
		}
	}
	return nil
}

// finishTable takes the table that networkd does where none is said.
func (b *routeReader) finishTable() {
	t, said := b.table.Get()
	if !said {
		t = defaultTable(b.route.Type)
	}
	b.route.Table = t
}

func defaultTable(t rpdb.RouteType) rpdb.TableID {
	switch t {
	case rpdb.RouteLocal, rpdb.RouteBroadcast, rpdb.RouteAnycast, rpdb.RouteNAT:
		return rpdb.TableLocal
	}
	return rpdb.TableMain
}

// defaultScope returns the scope that networkd gives to a route.
func defaultScope(r rpdb.Route) rpdb.Scope {
	if r.Family == rpdb.IPv6 {
		return rpdb.ScopeGlobal
	}
	switch r.Type {
	case rpdb.RouteLocal, rpdb.RouteNAT:
		return rpdb.ScopeHost
	case rpdb.RouteBroadcast, rpdb.RouteAnycast, rpdb.RouteMulticast:
		return rpdb.ScopeLink
	case rpdb.RouteUnicast:
		if len(r.Nexthops) == 1 && !r.Nexthops[0].Via.IsValid() {
			return rpdb.ScopeLink
		}
	}
	return rpdb.ScopeGlobal
}

// leadsNowhere reports whether routes of a type have no nexthop.
func leadsNowhere(t rpdb.RouteType) bool { return t.IsError() || t == rpdb.RouteThrow }

func (b *routeReader) finishHops() error {
	hasGateway := b.via.IsValid() && !b.device
	switch {
	case leadsNowhere(b.route.Type) && (hasGateway || len(b.hops) > 0):
		return fmt.Errorf("a route of the type %v leads to no gateway", b.route.Type)
	case leadsNowhere(b.route.Type):
		return nil
	case b.via.IsValid() && len(b.hops) > 0:
		return errors.New("it has both Gateway= and MultiPathRoute=")
	case b.onlink && !hasGateway:
		return errors.New("GatewayOnLink= has no meaning without Gateway=")
	case len(b.hops) > 0:
		b.route.Nexthops = b.hops
		return nil
	}
	hop := rpdb.Nexthop{Weight: 1}
	if hasGateway {
		hop.Via = b.via
	}
	if b.onlink {
		hop.Flags = rpdb.NexthopOnlink
	}
	b.route.Nexthops = []rpdb.Nexthop{hop}
	return nil
}
