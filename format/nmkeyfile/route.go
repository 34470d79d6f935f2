package nmkeyfile

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
)

// routeTypes are the types that NetworkManager has.
func routeTypes() []rpdb.RouteType {
	return []rpdb.RouteType{rpdb.RouteUnicast, rpdb.RouteLocal, rpdb.RouteBlackhole, rpdb.RouteUnreachable, rpdb.RouteProhibit, rpdb.RouteThrow}
}

// leadsNowhere reports whether routes of a type have no interface.
func leadsNowhere(t rpdb.RouteType) bool { return t.IsError() || t == rpdb.RouteThrow }

// metricKey is a metric of routes and what its options are called.
type metricKey struct {
	typ  rpdb.MetricType
	name string
	lock bool // whether it can be locked
}

func metricKeys() []metricKey {
	return []metricKey{
		{rpdb.MetricMTU, "mtu", true},
		{rpdb.MetricWindow, "window", true},
		{rpdb.MetricCWnd, "cwnd", true},
		{rpdb.MetricAdvMSS, "advmss", false},
		{rpdb.MetricInitCWnd, "initcwnd", true},
		{rpdb.MetricInitRWnd, "initrwnd", true},
	}
}

// parseRoute reads the value of a route key, and that of its options. What the
// profile fills in, the table and the metric, is 0 and not given where it is missing.
func parseRoute(f rpdb.Family, text, options string) (r rpdb.Route, hasMetric bool, err error) {
	r = rpdb.Route{Family: f, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic}
	parts := strings.Split(text, ",")
	if !strings.Contains(parts[0], "/") {
		return r, false, errors.New("the length of the prefix is missing, and NetworkManager would guess it")
	}
	if r.Dst, err = prefix(f, parts[0]); err != nil {
		return r, false, err
	}
	if r.Dst != r.Dst.Masked() {
		return r, false, fmt.Errorf("it has bits set beyond its length: write %v", r.Dst.Masked())
	}
	hop := rpdb.Nexthop{}
	if len(parts) > 1 && parts[1] != "" {
		hop.Via, err = netip.ParseAddr(parts[1])
		if err != nil || rpdb.FamilyOf(hop.Via) != f || hop.Via.Zone() != "" {
			return r, false, fmt.Errorf("%q: a gateway of %v is expected", parts[1], f)
		}
		if hop.Via.IsUnspecified() {
			hop.Via = netip.Addr{}
		}
	}
	if len(parts) > 2 && parts[2] != "" {
		if r.Metric, err = number[uint32](parts[2], 10, 32); err != nil {
			return r, false, fmt.Errorf("metric %q: %w", parts[2], err)
		}
		hasMetric = true
	}
	if len(parts) > 3 {
		return r, false, errors.New("a prefix, a gateway and a metric are expected, and nothing else")
	}
	o := optionReader{route: &r, hop: &hop}
	if err := o.read(options); err != nil {
		return r, false, err
	}
	if !leadsNowhere(r.Type) {
		r.Nexthops = []rpdb.Nexthop{hop}
	} else if hop != (rpdb.Nexthop{}) {
		return r, false, fmt.Errorf("a route of type %v leads nowhere", r.Type)
	}
	r.Scope = defaultScope(r)
	if v, ok := o.scope.Get(); ok {
		r.Scope = v
	}
	return r, hasMetric, nil
}

// defaultScope is the scope that NetworkManager gives to an IPv4 route without one.
func defaultScope(r rpdb.Route) rpdb.Scope {
	switch {
	case r.Family == rpdb.IPv6:
	case r.Type == rpdb.RouteLocal:
		return rpdb.ScopeHost
	case len(r.Nexthops) == 0 || !r.Nexthops[0].Via.IsValid(): // also one that leads nowhere
		return rpdb.ScopeLink
	}
	return rpdb.ScopeGlobal
}

// optionReader reads the options of a route.
type optionReader struct {
	route *rpdb.Route
	hop   *rpdb.Nexthop
	scope rpdb.Opt[rpdb.Scope]
	locks uint32 // bits of metrics
}

// read reads the value of a route's options.
func (o *optionReader) read(text string) error {
	seen := map[string]bool{}
	for _, part := range strings.Split(text, ",") {
		if text == "" {
			break
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok || seen[key] {
			return fmt.Errorf("option %q: a key, = and a value are expected, once", part)
		}
		seen[key] = true
		if err := o.option(key, value); err != nil {
			return fmt.Errorf("option %q: %w", part, err)
		}
	}
	if o.locks != 0 {
		o.route.Metrics = append(o.route.Metrics, rpdb.Metric{Type: rpdb.MetricLock, Value: o.locks})
	}
	slices.SortFunc(o.route.Metrics, func(a, b rpdb.Metric) int { return int(a.Type) - int(b.Type) })
	return nil
}

// option reads one option.
func (o *optionReader) option(key, value string) (err error) {
	r := o.route
	switch key {
	case "table":
		if r.Table, err = number[rpdb.TableID](value, 10, 32); err == nil && r.Table == 0 {
			err = errors.New("table 0 is none")
		}
		return err
	case "src":
		if r.PrefSrc, err = netip.ParseAddr(value); err != nil || rpdb.FamilyOf(r.PrefSrc) != r.Family || r.PrefSrc.Zone() != "" {
			return fmt.Errorf("an address of %v is expected", r.Family)
		}
		return nil
	case "from":
		if r.Family == rpdb.IPv4 {
			return errors.New("IPv4 has no routes by source")
		}
		if r.Src, err = prefix(r.Family, value); err == nil && r.Src != r.Src.Masked() {
			err = errors.New("it has bits set beyond its length")
		}
		return err
	case "type":
		i := slices.IndexFunc(routeTypes(), func(t rpdb.RouteType) bool { return t.String() == value })
		if i < 0 {
			return errors.New("NetworkManager has no routes of this type")
		}
		r.Type = routeTypes()[i]
		return nil
	case "scope":
		v, err := number[uint8](value, 10, 8)
		o.scope = rpdb.Some(rpdb.Scope(v))
		if r.Family == rpdb.IPv6 {
			err = errors.New("IPv6 routes have none")
		}
		return err
	case "tos":
		r.TOS, err = number[uint8](value, 10, 8)
		if r.Family == rpdb.IPv6 {
			err = errors.New("IPv6 routes have none")
		}
		return err
	case "onlink":
		if value == "true" {
			o.hop.Flags |= rpdb.NexthopOnlink
		}
		return boolean(value)
	}
	return o.metric(key, value)
}

// metric reads an option that is a metric.
func (o *optionReader) metric(key, value string) error {
	for _, m := range metricKeys() {
		switch {
		case key == m.name:
			n, err := number[uint32](value, 10, 32)
			if err == nil && n == 0 {
				err = errors.New("0 sets nothing")
			}
			o.route.Metrics = append(o.route.Metrics, rpdb.Metric{Type: m.typ, Value: n})
			return err
		case key == "lock-"+m.name && m.lock:
			if value == "true" {
				o.locks |= 1 << m.typ
			}
			return boolean(value)
		}
	}
	return errors.New("it is not understood here")
}

func boolean(value string) error {
	if value != "true" && value != "false" {
		return errors.New("true or false is expected")
	}
	return nil
}

// routeText writes a route and its options, or says what of it NetworkManager has no
// words for. The metric is always written, since a profile would fill one in.
func routeText(r rpdb.Route) (text, options string, err error) {
	r = r.Canonical()
	via := netip.Addr{}
	for _, n := range r.Nexthops {
		via = n.Via
	}
	unspecified := netip.IPv4Unspecified()
	if r.Family == rpdb.IPv6 {
		unspecified = netip.IPv6Unspecified()
	}
	if !via.IsValid() {
		via = unspecified
	}
	text = fmt.Sprintf("%v,%v,%d", r.Dst, via, r.Metric)
	var words []string
	add := func(key string, value any) { words = append(words, fmt.Sprintf("%s=%v", key, value)) }
	locks := uint32(0)
	for _, m := range r.Metrics {
		if m.Type == rpdb.MetricLock {
			locks = m.Value
		}
		for _, k := range metricKeys() {
			if k.typ == m.Type {
				add(k.name, m.Value)
			}
		}
	}
	for _, k := range metricKeys() {
		if locks&(1<<k.typ) != 0 && k.lock {
			add("lock-"+k.name, true)
		}
	}
	if len(r.Nexthops) == 1 && r.Nexthops[0].Flags&rpdb.NexthopOnlink != 0 {
		add("onlink", true)
	}
	if r.Src.IsValid() {
		add("from", r.Src)
	}
	if r.Family == rpdb.IPv4 && r.Scope != defaultScope(r) {
		add("scope", uint8(r.Scope))
	}
	if r.PrefSrc.IsValid() {
		add("src", r.PrefSrc)
	}
	add("table", uint32(r.Table))
	if r.TOS != 0 {
		add("tos", r.TOS)
	}
	if r.Type != rpdb.RouteUnicast {
		add("type", r.Type)
	}
	slices.Sort(words)
	options = strings.Join(words, ",")
	return text, options, unsaidRoute(r, text, options)
}

// unsaidRoute says what of a route its text lacks.
func unsaidRoute(r rpdb.Route, text, options string) error {
	switch {
	case r.NexthopID != 0:
		return fmt.Errorf("it leads to the nexthop object %d, which somebody else makes", r.NexthopID)
	case len(r.Nexthops) > 1:
		return errors.New("NetworkManager has no route by several gateways")
	case !slices.Contains(routeTypes(), r.Type):
		return fmt.Errorf("NetworkManager has no routes of type %v", r.Type)
	case r.Pref != rpdb.PreferenceMedium:
		return errors.New("NetworkManager has no preference of routes")
	case r.Realms != 0:
		return errors.New("NetworkManager has no realms")
	}
	for _, n := range r.Nexthops {
		if n.EncapType != 0 {
			return errors.New("NetworkManager has no tunnels in routes")
		}
	}
	back, _, err := parseRoute(r.Family, text, options)
	if err != nil {
		return err
	}
	back.Protocol = r.Protocol
	if len(back.Nexthops) == 1 && len(r.Nexthops) == 1 {
		back.Nexthops[0].Link = r.Nexthops[0].Link
	}
	if !back.Equal(r) {
		return errors.New("NetworkManager has no words for it")
	}
	return nil
}
