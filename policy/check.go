package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"rpdb"
)

// The ranges that belong to this program; package plan allots the priorities.
// Uplinks and other tables are numbered from different ends so that a new
// uplink moves no other table.
const (
	firstPriority, lastPriority rpdb.Priority = 10000, 29999

	firstUplinkTable, lastUplinkTable rpdb.TableID = 82000, 82499
	firstOtherTable, lastOtherTable   rpdb.TableID = 82500, 82999

	// Each of these tables has a second number, at which the routes of every
	// other generation may stand.
	twinDistance rpdb.TableID = 1000
)

// logical returns the number that a policy knows a table of ours by.
func logical(t rpdb.TableID) rpdb.TableID {
	if firstUplinkTable+twinDistance <= t && t <= lastOtherTable+twinDistance {
		return t - twinDistance
	}
	return t
}

func checkUplink(p *parser, m entries, u *Uplink) {
	if u.Interface == "lo" {
		p.fail(m.values["interface"], "interface", bad("the loopback interface leads nowhere"))
	}
	said := Position{}
	for _, g := range u.Gateways {
		f := g.Value.Family
		if first := u.Gateway(f); first.Position != g.Position && said != g.Position {
			why := bad("a second gateway of %v, after %s", f, first.Text)
			if first.Text == autoWord || g.Text == autoWord {
				why = why.try("auto is for both families, auto4 for IPv4 and auto6 for IPv6 alone")
			}
			p.reportAt(g.Position, "gateway", g.Text, why)
			said = g.Position
		}
		if g.Value.Addr.IsLoopback() {
			p.reportAt(g.Position, "gateway", g.Text, bad("a loopback address is this host itself"))
		}
	}
	if m.has("onlink") && u.Onlink && len(u.Gateways) > 0 && !slices.ContainsFunc(u.Gateways, canBeOffNetwork) {
		p.fail(m.values["onlink"], "onlink", bad("says nothing of these gateways").
			try("it is for one that is given as an address: auto finds it out, and a link-local address is on the link anyway"))
	}
	checkUplinkAddresses(p, u)
	if u.Name == "" && !m.has("name") {
		u.Name = string(u.Interface)
	}
	if u.Table.Position == (Position{}) {
		u.Table.Position = u.Position
	}
	if u.Table.Name == "" {
		u.Table.Name = u.Name
	}
}

// canBeOffNetwork reports whether a gateway is one that onlink says something of.
func canBeOffNetwork(g Located[Gateway]) bool {
	return !g.Value.IsAuto() && !isLinkLocal6(g.Value.Addr)
}

func isLinkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

func checkUplinkAddresses(p *parser, u *Uplink) {
	seen := map[netip.Addr]bool{}
	for _, a := range u.Addresses {
		f := rpdb.FamilyOf(a.Value.Addr())
		switch {
		case seen[a.Value.Addr()]:
			p.reportAt(a.Position, "address", a.Text, bad("stands there twice"))
		case len(u.Gateways) > 0 && !u.Gateway(f).IsSet():
			p.reportAt(a.Position, "address", a.Text, bad("the uplink has no %v gateway, so the address would not be used", f))
		}
		seen[a.Value.Addr()] = true
	}
}

func checkUplinkTable(p *parser, m entries, _ *TableRef) {
	if len(m.values) == 0 && len(m.node.Content) == 0 {
		p.fail(m.node, "table", bad("neither a name nor a number"))
	}
}

func checkTable(p *parser, m entries, _ *Table) {
	if m.anyOf("name", "number") == "" {
		p.fail(m.node, "table", bad("neither a name nor a number"))
	}
}

func checkDocument(p *parser, _ entries, d *draft) {
	checkUplinkNames(p, d)
	checkTableRefs(p, d)
	nameRules(p, d)
	placeMarker(p, d)
	checkOrder(p, d)
	checkGotos(p, d)
	checkNATs(p, d)
}

func checkUplinkNames(p *parser, d *draft) {
	interfaces, names := map[rpdb.LinkName]Position{}, map[string]Position{}
	for _, u := range d.Uplinks {
		first, ok := interfaces[u.Interface]
		switch {
		case ok && u.Interface != "":
			p.reportAt(u.Position, "uplink", string(u.Interface), bad("a second uplink on this interface, the first is in line %d", first.Line))
			continue // the name and table are then doubled as well
		case u.Name != "" && names[u.Name] != (Position{}):
			p.reportAt(u.Position, "uplink", u.Name, bad("a second uplink of this name, the first is in line %d", names[u.Name].Line))
		}
		interfaces[u.Interface], names[u.Name] = u.Position, u.Position
	}
}

// reportAt reports a problem with a value whose node is gone.
func (r *reporter) reportAt(at Position, object, text string, why *problem) {
	r.report(Error{Position: at, Object: object, Text: text, Reason: why.reason, Hint: why.hint})
}

// checkTableRefs refuses reserved names and numbers, and doubled ones. A name
// that an uplink's table has from its uplink counts like a written one.
func checkTableRefs(p *parser, d *draft) {
	names, numbers := map[string]Position{}, map[rpdb.TableID]Position{}
	doubled := map[rpdb.LinkName]bool{}
	check := func(t TableRef) {
		switch t.Name {
		case "main", "local", "default", "unspec", "all":
			p.reportAt(t.Position, "table", t.Name, bad("the name is reserved").try("give the uplink or the table another name"))
		}
		if t.Number >= rpdb.TableDefault && t.Number <= rpdb.TableLocal {
			p.reportAt(t.Position, "table", strconv.Itoa(int(t.Number)), bad("the kernel's own table %v", rpdb.Names{}.Table(t.Number)))
		}
		if first, ok := names[t.Name]; ok && t.Name != "" {
			p.reportAt(t.Position, "table", t.Name, bad("a second table of this name, the first is in line %d", first.Line))
		}
		if first, ok := numbers[t.Number]; ok && t.Number != 0 {
			p.reportAt(t.Position, "table", fmt.Sprint(t.Number), bad("a second table of this number, the first is in line %d", first.Line))
		}
		names[t.Name], numbers[t.Number] = t.Position, t.Position
	}
	for _, u := range d.Uplinks {
		if !doubled[u.Interface] {
			check(u.Table)
		}
		doubled[u.Interface] = true
	}
	for _, t := range d.Tables {
		check(t.TableRef)
	}
}

func checkNexthop(p *parser, m entries, _ *Hop) {
	if m.anyOf("via", "dev") == "" {
		p.fail(m.node, "nexthop", bad("neither via nor dev"))
	}
}

func checkRoute(p *parser, m entries, r *Route) {
	checkRouteFamily(p, m, r)
	where := m.anyOf("via", "dev", "nexthops")
	switch {
	case m.has("nexthops") && (m.has("via") || m.has("dev")):
		p.fail(m.values[m.anyOf("via", "dev")], m.anyOf("via", "dev"), bad("a route has either nexthops, or via and dev"))
	case r.Type == rpdb.RouteUnicast && where == "" && (!m.has("type") || m.values["type"].Value == "unicast"):
		p.fail(m.node, "route", bad("says neither via nor dev").try("add one of them, or a type that needs none: blackhole, unreachable, prohibit, throw"))
	case r.Type == rpdb.RouteLocal && (!m.has("dev") || m.has("via")):
		p.fail(m.values["type"], "type", bad("a local route has dev, and no via or nexthops"))
	case (r.Type.IsError() || r.Type == rpdb.RouteThrow) && where != "":
		p.fail(m.values[where], where, bad("a %v route leads nowhere", r.Type))
	}
	if m.has("onlink") && r.Onlink && !onlinkMakesSense(r) {
		p.fail(m.values["onlink"], "onlink", bad("needs dev and via"))
	}
	checkRouteIPv4(p, m, r)
	if m.has("mtu") && r.MTU > 0 && r.MTU < 1280 && r.Family == rpdb.IPv6 {
		p.fail(m.values["mtu"], "mtu", bad("IPv6 needs at least 1280"))
	}
	for _, k := range []string{"src", "mtu", "advmss", "initcwnd", "initrwnd", "scope"} {
		if m.has(k) && (r.Type.IsError() || r.Type == rpdb.RouteThrow) {
			p.fail(m.values[k], k, bad("a %v route leads nowhere", r.Type))
		}
	}
}

// checkRouteIPv4 refuses in other routes what only those of IPv4 have.
func checkRouteIPv4(p *parser, m entries, r *Route) {
	for _, k := range []string{"tos", "scope"} {
		if m.has(k) && r.Family != rpdb.IPv4 {
			p.fail(m.values[k], k, bad("only IPv4 routes have one").try("write family: ipv4 if the route is for IPv4 alone"))
		}
	}
}

// onlinkMakesSense reports whether every hop with a gateway names its
// interface, and there is one.
func onlinkMakesSense(r *Route) bool {
	gateways := 0
	for _, h := range r.Hops {
		if h.Via.IsSet() {
			gateways++
			if h.Dev == "" {
				return false
			}
		}
	}
	return gateways > 0
}

// checkRouteFamily finds the family, by to, family, src and via in this order,
// and refuses what disagrees.
func checkRouteFamily(p *parser, m entries, r *Route) {
	to, src := rpdb.FamilyOf(r.To.Addr()), rpdb.FamilyOf(r.Src.Value)
	if to != 0 && r.Family != 0 && to != r.Family {
		p.fail(m.values["family"], "family", bad("the prefix %v is %v", r.To, to))
		return
	}
	for _, f := range []rpdb.Family{to, src, gatewayFamily(r)} {
		if r.Family == 0 {
			r.Family = f
		}
	}
	if src != 0 && src != r.Family {
		p.fail(m.values["src"], "src", bad("an %v source in an %v route", src, r.Family))
	}
	for _, h := range r.Hops {
		if r.Family == rpdb.IPv6 && h.Via.Value.Is4() {
			p.reportAt(h.Via.Position, "via", h.Via.Text, bad("an IPv6 route cannot have an IPv4 gateway"))
		}
		if h.Via.Value.IsLoopback() {
			p.reportAt(h.Via.Position, "via", h.Via.Text, bad("a loopback address is this host itself"))
		}
		if h.Via.Value.Is6() && h.Via.Value.IsLinkLocalUnicast() && h.Dev == "" {
			p.reportAt(h.Via.Position, "via", h.Via.Text, bad("a link-local gateway needs dev"))
		}
	}
}

// gatewayFamily returns the family of the first gateway, 0 if there is none.
func gatewayFamily(r *Route) rpdb.Family {
	for _, h := range r.Hops {
		if h.Via.IsSet() {
			return rpdb.FamilyOf(h.Via.Value)
		}
	}
	return 0
}

// placeMarker finds where the uplinks' rules stand.
func placeMarker(p *parser, d *draft) {
	if d.markerNode != nil && len(d.Uplinks) == 0 {
		p.fail(d.markerNode, "rules", bad("the policy has no uplinks whose rules could stand here"))
	}
	if d.marker >= 0 {
		d.UplinksAt = d.marker
		return
	}
	for _, r := range d.Rules {
		if pin, ok := r.Priority.Get(); !ok || pin > lastPriority {
			break
		}
		d.UplinksAt++
	}
}

// ruleText names a rule for messages.
func ruleText(i int, r Rule) string {
	if r.Name != "" {
		return r.Name
	}
	return fmt.Sprintf("rule %d", i+1)
}

// scalarNode is the node of a key if it is a single value, else that of the
// mapping: where a message about the value points.
func (e entries) scalarNode(key string) *yaml.Node {
	if n := e.values[key]; n != nil {
		return n
	}
	return e.node
}
