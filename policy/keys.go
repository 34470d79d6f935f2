package policy

import (
	"fmt"
	"math"
	"net/netip"

	"go.yaml.in/yaml/v4"

	"rpdb"
)

// keys is the key table: every mapping of the format. The parser, the schema
// and the reference are made from it. The pointers let mappings hold others.
type keys struct {
	document    *mapping[draft]
	uplink      *mapping[Uplink]
	uplinkTable *mapping[TableRef]
	table       *mapping[Table]
	route       *mapping[Route]
	nexthop     *mapping[Hop]
	rule        *mapping[Rule]
	nat         *mapping[natKeys]
}

func newKeys() keys {
	return keys{
		document:    &mapping[draft]{"a policy", documentFields(), checkDocument},
		uplink:      &mapping[Uplink]{"an uplink", uplinkFields(), checkUplink},
		uplinkTable: &mapping[TableRef]{"an uplink's table", uplinkTableFields(), checkUplinkTable},
		table:       &mapping[Table]{"a table", tableFields(), checkTable},
		route:       &mapping[Route]{"a route", routeFields(), checkRoute},
		nexthop:     &mapping[Hop]{"a nexthop", nexthopFields(), checkNexthop},
		rule:        &mapping[Rule]{"a rule", ruleFields(), checkRule},
		nat:         &mapping[natKeys]{"a translation", natFields(), checkNATKeys},
	}
}

func listOf(words, def string) shape {
	return shape{words, map[string]any{"type": "array", "items": map[string]any{"$ref": "#/$defs/" + def}}}
}

func documentFields() []field[draft] {
	rules := shape{"list of rules, and the word `uplinks`", map[string]any{"type": "array", "items": map[string]any{
		"anyOf": []any{map[string]any{"const": "uplinks"}, map[string]any{"$ref": "#/$defs/rule"}},
	}}}
	version := unsigned[uint8]("1", 1, 1)
	return []field[draft]{
		{"version", "The version of the format", version.shape, false, readVersion(version)},
		{"uplinks", "Interfaces with gateways of their own; each becomes a table and rules", listOf("list of uplinks", "uplink"), false, readUplinks},
		{"tables", "Further routing tables and their routes", listOf("list of tables", "table"), false, readTables},
		{"rules", "The rules, in the order in which they are walked; `uplinks` marks where those of the uplinks stand, by default before all that are not pinned in front of them", rules, false, readRules},
	}
}

// readVersion checks the version and keeps nothing: there is only one.
func readVersion(s scalar[uint8]) func(*parser, string, *yaml.Node, *draft) {
	return func(p *parser, key string, n *yaml.Node, _ *draft) {
		if n.Kind == yaml.ScalarNode && n.Tag == "!!int" && n.Value != "1" {
			p.fail(n, key, bad("not a version of the format").try("this program knows version 1"))
			return
		}
		s.read(p, key, n)
	}
}

func readUplinks(p *parser, key string, n *yaml.Node, d *draft) {
	list(p, key, n, maxUplinks, func(item *yaml.Node) {
		u := Uplink{Position: p.at(item)}
		decode(p, item, p.keys.uplink, &u)
		d.Uplinks = append(d.Uplinks, u)
	})
}

func readTables(p *parser, key string, n *yaml.Node, d *draft) {
	list(p, key, n, maxTables, func(item *yaml.Node) {
		t := Table{TableRef: TableRef{Position: p.at(item)}}
		decode(p, item, p.keys.table, &t)
		d.Tables = append(d.Tables, t)
	})
}

func readRules(p *parser, key string, n *yaml.Node, d *draft) {
	list(p, key, n, maxRules, func(item *yaml.Node) {
		if item.Kind == yaml.ScalarNode && item.Value == "uplinks" {
			if d.markerNode != nil {
				p.fail(item, "rules", bad("stands there twice, first in line %d", d.markerNode.Line))
				return
			}
			d.marker, d.markerNode = len(d.Rules), item
			return
		}
		if item.Kind == yaml.ScalarNode {
			p.fail(item, "rules", bad("neither a rule nor the word uplinks"))
			return
		}
		r := Rule{Position: p.at(item)}
		decode(p, item, p.keys.rule, &r)
		d.Rules = append(d.Rules, r)
	})
}

func uplinkFields() []field[Uplink] {
	addresses := shape{"list of addresses with length", map[string]any{"type": "array", "minItems": 1, "items": hostPrefix().schema}}
	gateways := shape{"list of one or two, each an address, `auto`, `auto4` or `auto6`", map[string]any{"type": "array", "minItems": 1, "maxItems": 2, "items": map[string]any{
		"anyOf": []any{map[string]any{"enum": []string{autoWord, auto4Word, auto6Word}}, address().schema},
	}}}
	table := shape{"a name, a number, or a mapping of both", map[string]any{"anyOf": []any{
		tableNumber().schema, name().schema, map[string]any{"$ref": "#/$defs/uplinkTable"},
	}}}
	return []field[Uplink]{
		{"interface", "The interface", interfaceName().shape, true, one(interfaceName(), func(u *Uplink) *rpdb.LinkName { return &u.Interface })},
		{"name", "What messages and rules call it; by default the interface's name", name().shape, false, one(name(), func(u *Uplink) *string { return &u.Name })},
		{"gateways", "The gateways, at most one per family; the uplink serves the families that it has a gateway of. `auto4` and `auto6` are the gateway that the host has, by DHCP or router advertisement; `auto` is both", gateways, true, readGateways},
		{"onlink", "Gateways that are given as addresses are on the link, though no network of the interface holds them", boolean().shape, false, one(boolean(), func(u *Uplink) *bool { return &u.Onlink })},
		{"addresses", "Use these addresses only, in the families that they are of; by default all that the interface has", addresses, false, readAddresses},
		{"table", "Its table; by default the uplink's name, and a number that the tool chooses", table, false, readUplinkTable},
	}
}

func readGateways(p *parser, key string, n *yaml.Node, u *Uplink) {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		p.fail(n, key, bad("an uplink has at least one gateway"))
	}
	list(p, key, n, 2, func(item *yaml.Node) {
		all, ok := gateway().read(p, "gateway", item)
		for _, g := range all {
			if ok {
				u.Gateways = append(u.Gateways, Located[Gateway]{g, p.at(item), item.Value})
			}
		}
	})
}

func readAddresses(p *parser, key string, n *yaml.Node, u *Uplink) {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		p.fail(n, key, bad("an empty list leaves the uplink without addresses").try("leave the key out to use those of the interface"))
	}
	kind := hostPrefix()
	list(p, key, n, maxNexthops, func(item *yaml.Node) {
		if a, ok := kind.read(p, "address", item); ok {
			u.Addresses = append(u.Addresses, Located[netip.Prefix]{a, p.at(item), item.Value})
		}
	})
}

// readUplinkTable reads a mapping, or a name or number alone.
func readUplinkTable(p *parser, key string, n *yaml.Node, u *Uplink) {
	u.Table.Position = p.at(n)
	switch {
	case n.Kind == yaml.MappingNode:
		decode(p, n, p.keys.uplinkTable, &u.Table)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!int":
		u.Table.Number, _ = tableNumber().read(p, key, n)
	default:
		u.Table.Name, _ = name().read(p, key, n)
	}
}

func tableNumber() scalar[rpdb.TableID] {
	return unsigned[rpdb.TableID]("1 to 4294967295, but not 253 to 255", 1, math.MaxUint32)
}

func uplinkTableFields() []field[TableRef] {
	return []field[TableRef]{
		{"name", "The name that `lookup` knows it by; by default the uplink's", name().shape, false, one(name(), func(t *TableRef) *string { return &t.Name })},
		{"number", "The number that the kernel knows it by; by default one from 82000 up", tableNumber().shape, false, one(tableNumber(), func(t *TableRef) *rpdb.TableID { return &t.Number })},
	}
}

func tableFields() []field[Table] {
	return []field[Table]{
		{"name", "The name that `lookup` knows it by", name().shape, false, one(name(), func(t *Table) *string { return &t.Name })},
		{"number", "The number that the kernel knows it by; by default one from 82500 up", tableNumber().shape, false, one(tableNumber(), func(t *Table) *rpdb.TableID { return &t.Number })},
		{"routes", "What it holds; routes of others in it are left alone", listOf("list of routes", "route"), false, readRoutes},
		{"adopt", "Whose routes become the policy's where they are the same as one of `routes`", adoptShape(), false, readAdopt(func(t *Table) *[]Located[string] { return &t.Adopt })},
	}
}

func readRoutes(p *parser, key string, n *yaml.Node, t *Table) {
	list(p, key, n, maxRoutes, func(item *yaml.Node) {
		r := Route{Position: p.at(item), Type: rpdb.RouteUnicast}
		decode(p, item, p.keys.route, &r)
		t.Routes = append(t.Routes, r)
	})
}

// maxMTU is the largest MTU that the kernel stores (ip_metrics_convert): of a
// larger one it makes this.
const maxMTU = 65535 - 15

// maxAdvMSS is the largest MSS that the kernel stores (ip_metrics_convert).
const maxAdvMSS = 65535 - 40

// amount is a bare number of something, none of which is not said.
func amount(most uint64) scalar[uint32] {
	return unsigned[uint32](fmt.Sprintf("1 to %d", most), 1, most)
}

// routeTOS is a TOS as routes have it: the bits that IPv4 looks at.
func routeTOS() scalar[uint8] {
	return convert(unsigned[uint8]("0x04 to 0x1c in steps of 4", 4, 0x1c), func(_ string, v uint8) (uint8, *problem) {
		if v&3 != 0 {
			return 0, bad("the bits 0x03 are ECN, which no route can select").try("write 0x%02x", v&^3)
		}
		return v, nil
	})
}

func scopeWord() scalar[rpdb.Scope] {
	return word("a scope", []string{"global", "site", "link", "host"}, func(w string) (s rpdb.Scope) {
		_ = s.UnmarshalText([]byte(w)) // each of the words is one
		return s
	})
}

// adoptShape is the shape of a list of protocols.
func adoptShape() shape {
	return shape{"list of protocols, names or numbers", map[string]any{"type": "array", "minItems": 1, "items": protocolRef().schema}}
}

// protocolRef is the name or the number of who makes rules and routes.
func protocolRef() scalar[string] { return reference("the name or number of a protocol", 0, 255) }

// readAdopt reads a list of protocols.
func readAdopt[T any](into func(*T) *[]Located[string]) func(*parser, string, *yaml.Node, *T) {
	return func(p *parser, key string, n *yaml.Node, t *T) {
		if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			p.fail(n, key, bad("an empty list").try("leave the key out"))
		}
		list(p, key, n, 256, func(item *yaml.Node) {
			if v, ok := protocolRef().read(p, key, item); ok {
				*into(t) = append(*into(t), Located[string]{v, p.at(item), item.Value})
			}
		})
	}
}

func routeTypeWord() scalar[rpdb.RouteType] {
	words := []string{"unicast", "local", "blackhole", "unreachable", "prohibit", "throw"}
	return word("a type that a route of a policy can have", words, func(w string) (t rpdb.RouteType) {
		_ = t.UnmarshalText([]byte(w)) // each of the words is one
		return t
	})
}

// theHop returns the hop that the keys via and dev of a plain route fill.
func theHop(r *Route) *Hop {
	if len(r.Hops) == 0 {
		r.Hops = []Hop{{Position: r.Position}}
	}
	return &r.Hops[0]
}

func routeFields() []field[Route] {
	weight := listOf("list of nexthops", "nexthop")
	return []field[Route]{
		{"to", "Where it leads", destination().shape, true, one(destination(), func(r *Route) *netip.Prefix { return &r.To })},
		{"via", "The gateway; an IPv4 route may have an IPv6 gateway", address().shape, false, placed(address(), func(r *Route) *Located[netip.Addr] { return &theHop(r).Via })},
		{"dev", "The interface; by default the one on whose network the gateway is", interfaceName().shape, false, one(interfaceName(), func(r *Route) *rpdb.LinkName { return &theHop(r).Dev })},
		{"src", "The source of packets that have none", address().shape, false, placed(address(), func(r *Route) *Located[netip.Addr] { return &r.Src })},
		{"metric", "Orders routes to the same prefix, the smallest first", unsigned[uint32]("0 to 4294967295", 0, math.MaxUint32).shape, false, one(unsigned[uint32]("a number", 0, math.MaxUint32), func(r *Route) *uint32 { return &r.Metric })},
		{"tos", "Leads packets with this TOS only, before routes without one; IPv4 alone", routeTOS().shape, false, one(routeTOS(), func(r *Route) *uint8 { return &r.TOS })},
		{"type", "What it does with packets; by default unicast", routeTypeWord().shape, false, one(routeTypeWord(), func(r *Route) *rpdb.RouteType { return &r.Type })},
		{"onlink", "The gateway is on the link, though no network of the interface holds it", boolean().shape, false, one(boolean(), func(r *Route) *bool { return &r.Onlink })},
		{"mtu", "The largest packet, in bytes", unsigned[uint32]("68 to 65520", 68, maxMTU).shape, false, one(unsigned[uint32]("a number of bytes", 68, maxMTU), func(r *Route) *uint32 { return &r.MTU })},
		{"advmss", "The largest TCP segment that is asked for, in bytes", amount(maxAdvMSS).shape, false, one(amount(maxAdvMSS), func(r *Route) *uint32 { return &r.AdvMSS })},
		{"initcwnd", "The first congestion window of TCP, in packets", amount(math.MaxUint32).shape, false, one(amount(math.MaxUint32), func(r *Route) *uint32 { return &r.InitCWnd })},
		{"initrwnd", "The first receive window of TCP, in packets", amount(math.MaxUint32).shape, false, one(amount(math.MaxUint32), func(r *Route) *uint32 { return &r.InitRWnd })},
		{"scope", "How near an IPv4 destination is; by default global with `via`, host for local, else link", scopeWord().shape, false, optional(scopeWord(), func(r *Route) *rpdb.Opt[rpdb.Scope] { return &r.Scope })},
		{"family", "The family, where `to`, `via` and `src` do not say it; without it a default route is for both", familyWord().shape, false, one(familyWord(), func(r *Route) *rpdb.Family { return &r.Family })},
		{"nexthops", "Several ways, among which flows are shared by weight", weight, false, readNexthops},
	}
}

func readNexthops(p *parser, key string, n *yaml.Node, r *Route) {
	if n.Kind == yaml.SequenceNode && len(n.Content) < 2 {
		p.fail(n, key, bad("fewer than two nexthops").try("write via and dev for a single one"))
		return
	}
	r.Hops = nil
	list(p, key, n, maxNexthops, func(item *yaml.Node) {
		h := Hop{Position: p.at(item)}
		decode(p, item, p.keys.nexthop, &h)
		r.Hops = append(r.Hops, h)
	})
}

func nexthopFields() []field[Hop] {
	weight := unsigned[uint32]("1 to 256", 1, 256)
	return []field[Hop]{
		{"via", "The gateway", address().shape, false, placed(address(), func(h *Hop) *Located[netip.Addr] { return &h.Via })},
		{"dev", "The interface; by default the one on whose network the gateway is", interfaceName().shape, false, one(interfaceName(), func(h *Hop) *rpdb.LinkName { return &h.Dev })},
		{"weight", "Its share; by default 1", weight.shape, false, one(weight, func(h *Hop) *uint32 { return &h.Weight })},
	}
}
