package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
)

// uplinkPart is an uplink in one family that can be resolved now.
type uplinkPart struct {
	uplink  Uplink
	family  rpdb.Family
	link    rpdb.Link
	table   rpdb.TableID
	usable  []rpdb.Address // at least one, the primary ones first
	gateway netip.Addr
	onlink  bool // the gateway is on the link though no network holds it
}

// resolveUplinks finds the parts that can be resolved, and adds their routes.
func (r *resolver) resolveUplinks() {
	for i, u := range r.doc.Uplinks {
		table := r.tables.uplinks[i]
		link, ok := r.host.LinkByName(u.Interface)
		if !ok {
			r.wait("uplink "+u.Name, 0, table, "interface %s does not exist", u.Interface)
			continue
		}
		for _, f := range rpdb.Families() {
			if gw := u.Gateway(f); gw.IsSet() {
				r.resolvePart(uplinkPart{uplink: u, family: f, link: link, table: table, gateway: gw.Value.Addr}, gw)
			}
		}
	}
}

// resolvePart checks one family of an uplink against the host. Errors come
// before waiting: what is wrong for good is said at once.
func (r *resolver) resolvePart(p uplinkPart, gw Located[Gateway]) {
	live := r.liveAddresses(p.family, p.link)
	p.onlink = p.uplink.Onlink && !inNetwork(p.gateway, live)
	noGateway := ""
	if gw.Value.IsAuto() {
		p.gateway, p.onlink, noGateway = r.hostGateway(p, live)
	} else if why := r.gatewayWrong(p, live); why != nil {
		if !r.inForce {
			r.reportAt(gw.Position, "gateway", gw.Text, why)
			return
		}
		noGateway = fmt.Sprintf("gateway %v is %s", p.gateway, why.reason)
	}
	chosen, reasons := p.choose(live)
	p.usable = usableFirst(chosen)
	reasons = append(reasons, p.unusable(chosen)...)
	ready := len(p.usable) > 0 && noGateway == "" && p.reaches(live) && p.link.IsUp()
	if ready {
		r.parts = append(r.parts, p)
	}
	switch {
	case !p.link.IsUp():
		// The kernel drops routes and IPv6 addresses with the link: the rest
		// of the reasons follows from this one.
		reasons = []string{fmt.Sprintf("interface %s is down", p.link.Name)}
	case p.family == rpdb.IPv6 && r.host.Sysctls.Links[p.link.Name].DisableIPv6:
		reasons = []string{fmt.Sprintf("IPv6 is disabled on %s", p.link.Name)}
	case ready:
		r.uplinkRoutes(p)
	case len(p.usable) > 0 && noGateway != "":
		reasons = append(reasons, noGateway)
	case len(reasons) == 0 && len(p.usable) > 0:
		reasons = append(reasons, fmt.Sprintf("the network of gateway %v on %s is not usable yet", p.gateway, p.link.Name))
	case len(reasons) == 0:
		reasons = append(reasons, fmt.Sprintf("no %v address on %s", p.family, p.link.Name))
	}
	if len(reasons) > 0 {
		r.wait(fmt.Sprintf("uplink %s (%v)", p.uplink.Name, p.family), p.family, p.table, "%s", strings.Join(reasons, ", "))
	}
}

// liveAddresses returns the addresses of an interface that packets to the
// world may carry, now or once they are no longer tentative.
func (r *resolver) liveAddresses(f rpdb.Family, l rpdb.Link) []rpdb.Address {
	addrs := r.host.AddressesOf(f, l.Index)
	return slices.DeleteFunc(addrs, func(a rpdb.Address) bool {
		return a.Scope >= rpdb.ScopeHost || f == rpdb.IPv6 && (a.Scope >= rpdb.ScopeLink || a.Prefix.Addr().IsLinkLocalUnicast())
	})
}

// choose returns the addresses that the uplink uses, and why others that the
// document wants are not among them.
func (p uplinkPart) choose(live []rpdb.Address) (chosen []rpdb.Address, missing []string) {
	listed := false
	for _, want := range p.uplink.Addresses {
		if rpdb.FamilyOf(want.Value.Addr()) != p.family {
			continue
		}
		listed = true
		at := slices.IndexFunc(live, func(a rpdb.Address) bool { return a.Prefix.Addr() == want.Value.Addr() })
		switch {
		case at < 0:
			missing = append(missing, fmt.Sprintf("address %v is not on %s", want.Value, p.link.Name))
		case live[at].Prefix.Bits() != want.Value.Bits():
			missing = append(missing, fmt.Sprintf("address %v has the prefix length %d on %s", want.Value, live[at].Prefix.Bits(), p.link.Name))
		default:
			chosen = append(chosen, live[at])
		}
	}
	if !listed {
		return live, nil
	}
	return chosen, missing
}

// usableFirst returns the usable addresses, primary ones before secondary.
func usableFirst(addrs []rpdb.Address) []rpdb.Address {
	var primary, secondary []rpdb.Address
	for _, a := range addrs {
		switch {
		case !a.Usable():
		case a.Flags&rpdb.AddressSecondary == 0:
			primary = append(primary, a)
		default:
			secondary = append(secondary, a)
		}
	}
	return append(primary, secondary...)
}

// unusable says which addresses cannot be used yet. Those of a network that a
// usable address has are not needed: IPv6 selects by the network.
func (p uplinkPart) unusable(addrs []rpdb.Address) []string {
	var reasons []string
	for _, a := range addrs {
		covered := slices.ContainsFunc(p.usable, func(u rpdb.Address) bool { return networkOf(u) == networkOf(a) })
		if !a.Usable() && !covered {
			reasons = append(reasons, fmt.Sprintf("address %v on %s is %s", a.Prefix.Addr(), p.link.Name, unusableWord(a)))
		}
	}
	return reasons
}

// reaches reports whether the gateway is on a network of the interface now. It
// is not while the address that connects it is missing or tentative.
func (p uplinkPart) reaches(live []rpdb.Address) bool {
	if p.onlink || p.family == rpdb.IPv6 && p.gateway.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(live, func(a rpdb.Address) bool { return a.Usable() && networkOf(a).Contains(p.gateway) })
}

// uplinkRoutes adds the connected networks and the default route. IPv4 routes
// carry the source that the uplink's provider expects.
func (r *resolver) uplinkRoutes(p uplinkPart) {
	route := rpdb.Route{Family: p.family, Table: p.table, Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolRPDB}
	seen := map[netip.Prefix]bool{}
	src := p.usable[0].Prefix.Addr()
	for _, a := range slices.Backward(p.usable) {
		if networkOf(a).Contains(p.gateway) {
			src = a.Prefix.Addr() // in the end the first of them
		}
	}
	for _, a := range p.usable {
		n := networkOf(a)
		if seen[n] || n.Bits() == p.family.Bits() && n.Addr() == a.Prefix.Addr() {
			continue // an address that is its own network connects nothing
		}
		seen[n] = true
		connected, whose := route, n
		connected.Dst, connected.Nexthops = n, []rpdb.Nexthop{{Link: p.link.Index}}
		if p.family == rpdb.IPv4 {
			connected.Scope, connected.PrefSrc = rpdb.ScopeLink, a.Prefix.Addr()
			whose = netip.PrefixFrom(a.Prefix.Addr(), p.family.Bits())
		}
		r.addRoute(fmt.Sprintf("uplink %s: network %v", p.uplink.Name, n), connected)
		r.out.Routes[len(r.out.Routes)-1].Leased = p.leased(whose)
	}
	hop := rpdb.Nexthop{Via: p.gateway, Link: p.link.Index}
	if p.onlink {
		hop.Flags = rpdb.NexthopOnlink
	}
	route.Dst, route.Nexthops = p.family.Default(), []rpdb.Nexthop{hop}
	if p.family == rpdb.IPv4 {
		route.PrefSrc = src
	}
	r.addRoute(fmt.Sprintf("uplink %s: default", p.uplink.Name), route)
	last := &r.out.Routes[len(r.out.Routes)-1]
	last.Learned = p.uplink.Gateway(p.family).Value.IsAuto()
	last.Leased = p.family == rpdb.IPv4 && p.leased(netip.PrefixFrom(src, p.family.Bits()))
}

// leased reports whether all addresses of the uplink in a network are there for a
// time: neither permanent nor named by the document.
func (p uplinkPart) leased(n netip.Prefix) bool {
	return !slices.ContainsFunc(p.usable, func(a rpdb.Address) bool {
		named := slices.ContainsFunc(p.uplink.Addresses, func(want Located[netip.Prefix]) bool { return want.Value.Addr() == a.Prefix.Addr() })
		return n.Contains(a.Prefix.Addr()) && (named || a.Flags&rpdb.AddressPermanent != 0)
	})
}

func (r *resolver) addRoute(name string, route rpdb.Route) {
	r.out.Routes = append(r.out.Routes, rpdb.DesiredRoute{Route: route, Name: name})
}

// uplinkRules adds the recipe: main without its default routes, then by
// source, then by bound interface. Everything that main knows better than by
// default keeps its way, so a network behind another interface is not lost.
func (r *resolver) uplinkRules() {
	for _, f := range rpdb.Families() {
		main := rpdb.Rule{
			Family: f, Action: rpdb.ToTable(rpdb.TableMain), Protocol: rpdb.ProtocolRPDB,
			Suppress: rpdb.Suppressor{PrefixLength: rpdb.Some[int32](0)},
		}
		if r.needsMain(main) {
			r.addRule("uplinks: main without default", main)
		}
	}
	for _, p := range r.parts {
		for _, from := range r.sources(p) {
			text := from.String()
			if from.IsSingleIP() {
				text = from.Addr().String()
			}
			r.addRule(fmt.Sprintf("uplink %s: from %s", p.uplink.Name, text), rpdb.Rule{
				Family: p.family, Selector: rpdb.Selector{From: from}, Action: rpdb.ToTable(p.table),
			})
			r.out.Rules[len(r.out.Rules)-1].Leased = p.leased(from)
		}
	}
	for _, p := range r.parts {
		r.addRule(fmt.Sprintf("uplink %s: oif", p.uplink.Name), rpdb.Rule{
			Family: p.family, Selector: rpdb.Selector{OIF: p.link.Name}, Action: rpdb.ToTable(p.table),
		})
	}
}

// needsMain reports whether the rule that all uplinks of a family share has to
// be there: for an uplink that can be resolved, and where it stands already
// for one that waits and keeps what it has.
func (r *resolver) needsMain(main rpdb.Rule) bool {
	if slices.ContainsFunc(r.parts, func(p uplinkPart) bool { return p.family == main.Family }) {
		return true
	}
	stands := slices.ContainsFunc(r.host.RulesOf(main.Family), func(have rpdb.Rule) bool {
		have.Priority = main.Priority
		return have.Canonical() == main.Canonical()
	})
	return stands && slices.ContainsFunc(r.doc.Uplinks, func(u Uplink) bool { return u.Gateway(main.Family).IsSet() })
}

func (r *resolver) addRule(name string, rule rpdb.Rule) {
	rule.Protocol = rpdb.ProtocolRPDB
	r.out.Rules = append(r.out.Rules, rpdb.DesiredRule{Rule: rule, Name: name})
}

// sources returns what the uplink's rules select by: IPv4 addresses, and IPv6
// networks, so that new and temporary addresses in them are covered. A network
// that another uplink has as well is selected by its addresses, since the
// network would send both the same way.
func (r *resolver) sources(p uplinkPart) []netip.Prefix {
	var sources []netip.Prefix
	for _, a := range p.usable {
		from := a.Prefix.Masked()
		if p.family == rpdb.IPv4 || r.shared(p, from) {
			from = netip.PrefixFrom(a.Prefix.Addr(), p.family.Bits())
		}
		if !slices.Contains(sources, from) {
			sources = append(sources, from)
		}
	}
	return sources
}

// shared reports whether another uplink has an address in the network too.
func (r *resolver) shared(p uplinkPart, n netip.Prefix) bool {
	return slices.ContainsFunc(r.parts, func(o uplinkPart) bool {
		return o.link.Index != p.link.Index && o.family == p.family &&
			slices.ContainsFunc(o.usable, func(a rpdb.Address) bool { return a.Prefix.Masked().Overlaps(n) })
	})
}

func joinSorted(words []string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ", ")
}
