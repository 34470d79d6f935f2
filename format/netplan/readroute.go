package netplan

import (
	"errors"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v4"

	"rpdb"
)

// routeReader collects what one entry of routes says.
type routeReader struct {
	*device
	route        rpdb.Route
	everywhere   bool // to: default
	via          netip.Addr
	onlink       bool
	table, scope *yaml.Node
}

// route reads an entry of routes.
func (b *device) route(node *yaml.Node) {
	r := &routeReader{device: b, route: rpdb.Route{Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic}}
	before := len(b.errs)
	for key, value := range b.mapping(b.file, node, "route") {
		if known, err := r.set(key.Value, value); err != nil {
			b.refuse(b.file, value, key.Value, err.Error())
		} else if !known {
			b.refuse(b.file, key, "key", "netplan has no such key in a route")
		}
	}
	if len(b.errs) > before {
		return
	}
	if err := r.finish(); err != nil {
		b.refuse(b.file, node, "route", err.Error())
		return
	}
	b.snapshot.Routes = append(b.snapshot.Routes, r.route)
}

// set reads one key. It reports false for one that is not known.
func (r *routeReader) set(key string, value *yaml.Node) (known bool, err error) {
	switch key {
	case "to":
		if r.everywhere = value.Value == "default"; !r.everywhere {
			r.route.Dst, err = prefix(value)
		}
	case "via":
		r.via, err = address(value)
	case "from":
		r.route.PrefSrc, err = address(value)
	case "on-link":
		r.onlink, err = boolean(value)
	case "metric":
		r.route.Metric, err = number(value, 0)
	case "table":
		r.table = value
	case "scope":
		r.scope = value
	case "type":
		err = r.setType(value.Value)
	case "mtu":
		err = r.setMetric(rpdb.MetricMTU, value)
	case "congestion-window":
		err = r.setMetric(rpdb.MetricInitCWnd, value)
	case "advertised-receive-window":
		err = r.setMetric(rpdb.MetricInitRWnd, value)
	default:
		return false, nil
	}
	return true, err
}

func address(node *yaml.Node) (netip.Addr, error) {
	a, err := netip.ParseAddr(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Addr{}, errors.New("it is no address")
	}
	return a, nil
}

func boolean(node *yaml.Node) (bool, error) {
	switch {
	case slices.Contains([]string{"true", "on", "yes", "y"}, node.Value):
		return true, nil
	case slices.Contains([]string{"false", "off", "no", "n"}, node.Value):
		return false, nil
	}
	return false, errors.New("it is neither true nor false")
}

// setType reads a type of routes: all but those that netplan has no word for.
func (r *routeReader) setType(word string) error {
	var t rpdb.RouteType
	if err := t.UnmarshalText([]byte(word)); err != nil || t < rpdb.RouteUnicast || t > rpdb.RouteXResolve || word != t.String() {
		return errors.New("it is no type of a route")
	}
	r.route.Type = t
	return nil
}

func (r *routeReader) setMetric(t rpdb.MetricType, value *yaml.Node) error {
	n, err := number(value, 1)
	r.route.Metrics = append(r.route.Metrics, rpdb.Metric{Type: t, Value: n})
	slices.SortFunc(r.route.Metrics, func(a, b rpdb.Metric) int { return int(a.Type) - int(b.Type) })
	return err
}

// finish puts the route together.
func (r *routeReader) finish() error {
	switch {
	case r.everywhere && !r.via.IsValid(): // netplan 0.106 and 1.1 end at it
		return errors.New("the family of default is that of via, and there is none: write 0.0.0.0/0 or ::/0")
	case r.everywhere:
		r.route.Dst = anywhere(rpdb.FamilyOf(r.via))
	case !r.route.Dst.IsValid():
		return errors.New("it has no to")
	}
	r.route.Dst = r.route.Dst.Masked()
	r.route.Family = rpdb.FamilyOf(r.route.Dst.Addr())
	for _, a := range []netip.Addr{r.via, r.route.PrefSrc} {
		if a.IsValid() && rpdb.FamilyOf(a) != r.route.Family {
			return errors.New("its addresses are of two families")
		}
	}
	if err := r.finishTable(); err != nil {
		return err
	}
	if err := r.finishScope(); err != nil {
		return err
	}
	return r.finishHop()
}

func (r *routeReader) finishTable() error {
	r.route.Table = r.device.table
	if r.table != nil {
		n, err := number(r.table, 1)
		r.route.Table = rpdb.TableID(n)
		return err
	}
	switch r.route.Type {
	case rpdb.RouteLocal, rpdb.RouteBroadcast, rpdb.RouteAnycast, rpdb.RouteNAT: // networkd's choice
		if r.route.Table == rpdb.TableMain {
			r.route.Table = rpdb.TableLocal
		}
	}
	return nil
}

// finishScope takes the scope that netplan does where none is said.
func (r *routeReader) finishScope() error {
	scope := defaultScope(r.route.Type)
	if r.scope != nil {
		if err := scope.UnmarshalText([]byte(r.scope.Value)); err != nil || !slices.Contains(scopes(), r.scope.Value) {
			return errors.New("its scope is none of global, link, host")
		}
	}
	if scope == rpdb.ScopeGlobal && r.route.Type == rpdb.RouteUnicast && !r.via.IsValid() {
		return errors.New("a global route needs via: without one it has scope: link")
	}
	if r.route.Family == rpdb.IPv4 {
		r.route.Scope = scope
	}
	return nil
}

func scopes() []string { return []string{"global", "link", "host"} }

func defaultScope(t rpdb.RouteType) rpdb.Scope {
	switch t {
	case rpdb.RouteLocal, rpdb.RouteNAT:
		return rpdb.ScopeHost
	case rpdb.RouteBroadcast, rpdb.RouteAnycast, rpdb.RouteMulticast:
		return rpdb.ScopeLink
	}
	return rpdb.ScopeGlobal
}

// leadsNowhere reports whether routes of a type have no nexthop.
func leadsNowhere(t rpdb.RouteType) bool { return t.IsError() || t == rpdb.RouteThrow }

func (r *routeReader) finishHop() error {
	switch {
	case leadsNowhere(r.route.Type) && r.via.IsValid():
		return errors.New("a route of its type leads to no gateway")
	case leadsNowhere(r.route.Type):
		return nil
	case r.onlink && !r.via.IsValid():
		return errors.New("on-link has no meaning without via")
	}
	hop := rpdb.Nexthop{Via: r.via, Link: r.link, Weight: 1}
	if r.onlink {
		hop.Flags = rpdb.NexthopOnlink
	}
	r.route.Nexthops = []rpdb.Nexthop{hop}
	return nil
}
