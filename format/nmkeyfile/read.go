package nmkeyfile

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
)

// Read returns what profiles make of a host when all of them are up: interfaces,
// static addresses, routes and rules, and the default routes of gateways. What a
// DHCP server or a router gives is not known. Rules of one priority stand in the
// order of the files; NetworkManager itself adds them in no certain order. A rule
// that several profiles have is there once.
//
// Keyfiles have numbers; names of tables are those of the files called rt_tables, or
// in a directory rt_tables.d, that are among the files.
//
// The error joins everything that is not understood, each of type *[format.Error].
func Read(files []format.File) (*rpdb.Snapshot, rpdb.Names, error) {
	names, files, err := rttables.Beside(files)
	r := reader{snapshot: &rpdb.Snapshot{}, rules: map[rpdb.Rule]bool{}, routes: map[rpdb.RouteKey][]rpdb.Route{}, errs: []error{err}}
	for _, f := range files {
		list, err := entries(f)
		if err != nil {
			r.errs = append(r.errs, err)
			continue
		}
		r.profile(f, list)
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, rpdb.Names{}, err
	}
	slices.SortStableFunc(r.snapshot.Rules, rpdb.Rule.Compare)
	return r.snapshot, names, nil
}

// reader reads profiles into a snapshot.
type reader struct {
	snapshot *rpdb.Snapshot
	rules    map[rpdb.Rule]bool // those of the snapshot, canonical
	routes   map[rpdb.RouteKey][]rpdb.Route
	errs     []error
}

// profile is one file.
type profile struct {
	typ  string
	link rpdb.LinkIndex // 0 if none is named
}

// family is what a profile has of a family.
type family struct {
	profile
	rpdb.Family
	entries   []entry
	byKey     map[string]entry
	gateway   netip.Addr
	gatewayAt entry
}

func (r *reader) fail(e entry, reason string) { r.errs = append(r.errs, e.fail(reason)) }

func (r *reader) profile(f format.File, list []entry) {
	var p profile
	sections := map[string][]entry{}
	for _, e := range list {
		sections[e.section] = append(sections[e.section], e)
		switch {
		case e.section == "connection" || e.section == "ipv4" || e.section == "ipv6":
		case !slices.Contains(sectionsWithoutRoutes(), e.section):
			r.fail(e, "this section is not understood")
		}
	}
	for _, e := range sections["connection"] {
		switch {
		case e.key == "type":
			p.typ = e.value
		case e.key == "interface-name":
			name, err := linkName(e.value)
			if err != nil {
				r.fail(e, err.Error())
				continue
			}
			p.link = format.Link(r.snapshot, name)
		case e.key == "autoconnect":
			if err := boolean(e.value); err != nil {
				r.fail(e, err.Error())
			} else if e.value == "false" {
				r.fail(e, "whether somebody brings the profile up cannot be told from the file")
			}
		case !slices.Contains(keysOfConnections(), e.key):
			r.fail(e, "this key is not understood")
		}
	}
	switch p.typ {
	case "":
		r.errs = append(r.errs, &format.Error{File: f.Path, Object: "connection.type", Reason: "missing"})
	case "vpn", "wireguard", "vrf":
		r.errs = append(r.errs, &format.Error{File: f.Path, Object: "connection.type", Text: p.typ, Reason: "it makes routes and rules that are not written in the profile"})
	}
	r.family(&family{profile: p, Family: rpdb.IPv4, entries: sections["ipv4"]})
	r.family(&family{profile: p, Family: rpdb.IPv6, entries: sections["ipv6"]})
}

// sectionsWithoutRoutes are the sections that say nothing of routes and rules.
func sectionsWithoutRoutes() []string {
	return []string{
		"ethernet", "802-3-ethernet", "wifi", "802-11-wireless", "wifi-security", "802-11-wireless-security", "802-1x", "infiniband",
		"bridge", "bridge-port", "bond", "bond-port", "team", "team-port", "vlan", "macvlan", "dummy", "veth", "loopback", "link",
		"ethtool", "sriov", "dcb", "tc", "proxy", "hostname", "user", ".nmmeta",
	}
}

// keysOfConnections are the keys of [connection] that say nothing of routes.
func keysOfConnections() []string {
	return []string{
		"id", "uuid", "autoconnect-priority", "autoconnect-retries", "autoconnect-slaves", "autoconnect-ports", "timestamp",
		"permissions", "zone", "metered", "lldp", "mdns", "llmnr", "dns-over-tls", "stable-id", "read-only", "secondaries", "auth-retries",
		"gateway-ping-timeout", "wait-device-timeout", "wait-activation-delay", "down-on-poweroff",
	}
}

// ignorable reports whether a key of [ipv4] or [ipv6] says nothing of static routes.
func ignorable(key string) bool {
	for _, prefix := range []string{"dns", "dhcp-", "ignore-auto-", "ip6-privacy", "addr-gen-mode", "ra-timeout", "dad-timeout", "required-timeout", "token", "mtu", "temp-"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return key == "may-fail" || key == "link-local"
}

// family reads [ipv4] or [ipv6].
func (r *reader) family(f *family) {
	f.byKey = map[string]entry{}
	for _, e := range f.entries {
		f.byKey[e.key] = e
	}
	method := f.value("method")
	r.switchedOff(f, method)
	known := []string{"auto", "manual", "disabled", "link-local"}
	if f.Family == rpdb.IPv6 {
		known = append(known, "dhcp", "ignore")
	}
	addresses := len(r.snapshot.Addresses)
	for _, e := range f.entries {
		if err := r.entry(f, e, known); err != nil {
			r.fail(e, err.Error())
		}
	}
	if method.value == "manual" && len(r.snapshot.Addresses) == addresses {
		r.fail(method, "it needs an address")
	}
	if err := r.gateway(f); err != nil {
		r.fail(f.gatewayAt, err.Error())
	}
}

// switchedOff refuses a method by which the family is off, where the profile has
// anything of it that would then have to be there or not.
func (r *reader) switchedOff(f *family, method entry) {
	if method.value != "disabled" && method.value != "ignore" {
		return
	}
	for _, e := range f.entries {
		_, address := numbered(e.key, "address")
		_, route := numbered(e.key, "route")
		_, rule := numbered(e.key, "routing-rule")
		if address || route || rule || e.key == "gateway" {
			r.fail(method, fmt.Sprintf("the family is off, and whether NetworkManager heeds %s then cannot be told from the file", e.key))
			return
		}
	}
}

// value returns the entry with a key, the zero entry if there is none.
func (f *family) value(key string) entry { return f.byKey[key] }

// entry reads one key of a family.
func (r *reader) entry(f *family, e entry, methods []string) error {
	if _, ok := numbered(e.key, "address"); ok {
		return r.address(f, e)
	}
	if _, ok := numbered(e.key, "routing-rule"); ok {
		rule, err := parseRule(f.Family, e.value)
		if c := rule.Canonical(); err == nil && !r.rules[c] {
			r.snapshot.Rules, r.rules[c] = append(r.snapshot.Rules, rule), true
		}
		return err
	}
	if digits, ok := numbered(e.key, "route"); ok {
		return r.route(f, e, f.value("route"+digits+"_options").value)
	}
	switch e.key {
	case "method":
		if !slices.Contains(methods, e.value) {
			return fmt.Errorf("only %s are understood", strings.Join(methods, ", "))
		}
	case "gateway":
		return f.setGateway(e, e.value)
	case "route-metric":
		if e.value == "-1" {
			return nil
		}
		_, err := number[uint32](e.value, 10, 32)
		return err
	case "route-table":
		t, err := number[rpdb.TableID](e.value, 10, 32)
		method := f.value("method").value
		if err == nil && t != 0 && t != rpdb.TableMain && (method == "auto" || method == "dhcp") {
			return fmt.Errorf("with method=%s leases or advertisements fill the table, and their routes are not in the file", method)
		}
		return err
	case "never-default":
		return boolean(e.value)
	default:
		if digits, ok := numbered(strings.TrimSuffix(e.key, "_options"), "route"); ok && strings.HasSuffix(e.key, "_options") {
			if f.value("route"+digits) == (entry{}) {
				return errors.New("the options of no route")
			}
			return nil
		}
		if !ignorable(e.key) {
			return errors.New("this key is not understood")
		}
	}
	return nil
}

// address reads an address, which may have the gateway behind it.
func (r *reader) address(f *family, e entry) error {
	text, gateway, hasGateway := strings.Cut(e.value, ",")
	p, err := iproute2.ParseAddress(text)
	switch {
	case err != nil:
		return err
	case rpdb.FamilyOf(p.Addr()) != f.Family:
		return fmt.Errorf("it is no address of %v", f.Family)
	case !strings.Contains(text, "/"):
		return errors.New("the length of its network is missing")
	case f.link == 0:
		return errors.New("no interface is named: connection.interface-name")
	}
	a := iproute2.NewAddress(f.link, p)
	if slices.Contains(r.snapshot.Addresses, a) {
		return errors.New("the interface has it already")
	}
	r.snapshot.Addresses = append(r.snapshot.Addresses, a)
	if hasGateway {
		return f.setGateway(e, gateway)
	}
	return nil
}

func (f *family) setGateway(e entry, text string) error {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || rpdb.FamilyOf(a) != f.Family || a.Zone() != "":
		return fmt.Errorf("%q: a gateway of %v is expected", text, f.Family)
	case f.gateway.IsValid() && f.gateway != a:
		return errors.New("a profile has one gateway, and there is another")
	}
	f.gateway, f.gatewayAt = a, e
	return nil
}

// route reads a route.
func (r *reader) route(f *family, e entry, options string) error {
	route, hasMetric, err := parseRoute(f.Family, e.value, options)
	switch {
	case err != nil:
		return err
	case len(route.Nexthops) > 0 && f.link == 0:
		return errors.New("no interface is named: connection.interface-name")
	}
	for i := range route.Nexthops {
		route.Nexthops[i].Link = f.link
	}
	return r.addRoute(f, route, hasMetric)
}

// addRoute fills in what the profile says of all of its routes.
func (r *reader) addRoute(f *family, route rpdb.Route, hasMetric bool) error {
	if route.Table == 0 {
		route.Table = rpdb.TableMain
		if t, err := number[rpdb.TableID](f.value("route-table").value, 10, 32); err == nil && t != 0 {
			route.Table = t
		}
	}
	if !hasMetric {
		metric, err := f.metric()
		if err != nil {
			return err
		}
		route.Metric = metric
	}
	key := route.Key()
	if slices.ContainsFunc(r.routes[key], route.Equal) {
		return errors.New("the same route is there already")
	}
	r.snapshot.Routes, r.routes[key] = append(r.snapshot.Routes, route), append(r.routes[key], route)
	return nil
}

// metric is that of routes that have none: the profile's, or that of its type.
func (f *family) metric() (uint32, error) {
	if text := f.value("route-metric").value; text != "" && text != "-1" {
		return number[uint32](text, 10, 32)
	}
	switch f.typ {
	case "ethernet", "802-3-ethernet", "veth":
		return 100, nil
	case "bond":
		return 300, nil
	case "vlan":
		return 400, nil
	case "bridge":
		return 425, nil
	case "wifi", "802-11-wireless":
		return 600, nil
	}
	return 0, fmt.Errorf("which metric a route of a profile of type %s has is not known: say it by route-metric", f.typ)
}

// gateway adds the default route.
func (r *reader) gateway(f *family) error {
	if !f.gateway.IsValid() || f.value("never-default").value == "true" {
		return nil
	}
	if f.link == 0 {
		return errors.New("no interface is named: connection.interface-name")
	}
	all := netip.PrefixFrom(f.gateway, 0).Masked()
	return r.addRoute(f, rpdb.Route{
		Family: f.Family, Dst: all, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic,
		Nexthops: []rpdb.Nexthop{{Link: f.link, Via: f.gateway}},
	}, false)
}
