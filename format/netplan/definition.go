package netplan

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"rpdb"
	"rpdb/format"
)

// device is one definition on its way into the snapshot.
type device struct {
	*reader
	file    string
	name    rpdb.LinkName
	unknown error // why it is not known which interface it is
	table   rpdb.TableID
	link    rpdb.LinkIndex
}

// definition reads a definition, all its parts.
func (r *reader) definition(d *definition) {
	b := &device{reader: r, name: rpdb.LinkName(d.name), table: rpdb.TableMain}
	for _, p := range d.parts {
		b.file = p.file
		for key, value := range r.mapping(p.file, p.node, d.name) {
			b.identify(d, key.Value, value)
		}
	}
	for _, p := range d.parts {
		b.file = p.file
		if p.node.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(p.node.Content); i += 2 {
			b.entry(d, p.node.Content[i], p.node.Content[i+1])
		}
	}
}

// identify reads what says which interface a definition is for, and in which
// table its routes are.
func (b *device) identify(d *definition, key string, value *yaml.Node) {
	switch {
	case key == "set-name":
		b.name, b.unknown = rpdb.LinkName(value.Value), nil
	case key == "match":
		b.match(value)
	case key == "table" && d.kind == "vrfs":
		t, err := number(value, 1)
		if err != nil {
			b.refuse(b.file, value, "table", err.Error())
		}
		b.table = rpdb.TableID(t)
	}
}

// match reads a match: that of a name without a pattern is as good as no match.
func (b *device) match(node *yaml.Node) {
	name := ""
	for key, value := range b.mapping(b.file, node, "match") {
		switch key.Value {
		case "name":
			name = value.Value
		case "macaddress", "driver":
		default:
			b.refuse(b.file, key, "key", "netplan has no such key in match")
		}
	}
	if strings.ContainsAny(name, "*?[]!") {
		name = ""
	}
	if name == "" && string(b.name) == "" {
		return
	}
	if name != "" {
		b.name = rpdb.LinkName(name)
		return
	}
	b.unknown = errors.New("which interface it is for is not known here: match has no plain name")
}

// entry reads one key of a definition.
func (b *device) entry(d *definition, key, value *yaml.Node) {
	switch key.Value {
	case "addresses":
		if items := b.items(b.file, value, key.Value); b.local(key, items) {
			for _, item := range items {
				b.address(item)
			}
		}
	case "routes":
		if items := b.items(b.file, value, key.Value); b.local(key, items) {
			for _, item := range items {
				b.route(item)
			}
		}
	case "routing-policy":
		for _, item := range b.items(b.file, value, key.Value) {
			b.rule(item)
		}
	case "gateway4", "gateway6":
		if b.local(key, []*yaml.Node{value}) {
			b.gateway(key.Value, value)
		}
	case "activation-mode":
		b.refuse(b.file, value, key.Value, "whether somebody brings the interface up cannot be told from the file")
	case "dhcp4-overrides", "dhcp6-overrides":
		b.overrides(key.Value, value)
	case "match", "set-name":
	case "table":
		if d.kind != "vrfs" {
			b.refuse(b.file, key, "key", "netplan has no such key in "+d.kind)
			return
		}
		b.vrf()
	default:
		if !slices.Contains(otherKeys(), key.Value) {
			b.refuse(b.file, key, "key", "netplan has no such key in "+d.kind)
		}
	}
}

// overrides reads what is to become of a lease. Where its routes go matters: they
// are not in the file, so that nothing would fill a table of their own.
func (b *device) overrides(object string, node *yaml.Node) {
	for key, value := range b.mapping(b.file, node, object) {
		switch {
		case key.Value == "route-table":
			b.refuse(b.file, value, object+" "+key.Value, "the routes of a lease are not in the file, so that nothing would fill the table")
		case !slices.Contains(overrideKeys(), key.Value):
			b.refuse(b.file, key, "key", "netplan has no such key in "+object)
		}
	}
}

// vrf makes the interface a VRF.
func (b *device) vrf() {
	b.link = format.Link(b.snapshot, b.name)
	for i := range b.snapshot.Links {
		if l := &b.snapshot.Links[i]; l.Index == b.link {
			l.Kind, l.VRFTable = "vrf", b.table
		}
	}
}

// local reports whether entries that belong to the interface can be read: there
// are some, and it is known.
func (b *device) local(key *yaml.Node, items []*yaml.Node) bool {
	if len(items) == 0 {
		return false
	}
	if b.unknown == nil && !isLinkName(b.name) {
		b.unknown = errors.New("its name is that of no interface")
	}
	if b.unknown != nil {
		b.refuse(b.file, key, "key", b.unknown.Error())
		return false
	}
	b.link = format.Link(b.snapshot, b.name)
	return true
}

// isLinkName reports whether a name can be that of an interface.
func isLinkName(n rpdb.LinkName) bool {
	return len(n) >= 1 && len(n) <= 15 && !strings.ContainsAny(string(n), "/ \t\n\v\f\r\x00") && n != "." && n != ".."
}

// address reads an address, or one with options.
func (b *device) address(node *yaml.Node) {
	a := rpdb.Address{Link: b.link, Flags: rpdb.AddressPermanent}
	text := node
	if node.Kind == yaml.MappingNode && len(node.Content) == 2 {
		text = node.Content[0]
		for key, value := range b.mapping(b.file, node.Content[1], "address") {
			switch {
			case key.Value == "label":
			case key.Value == "lifetime" && value.Value == "0":
				a.Flags |= rpdb.AddressDeprecated
			case key.Value == "lifetime" && value.Value == "forever":
			case key.Value == "lifetime":
				b.refuse(b.file, value, "lifetime", "it is neither 0 nor forever")
			default:
				b.refuse(b.file, key, "key", "netplan has no such option of an address")
			}
		}
	}
	p, err := netip.ParsePrefix(text.Value)
	if text.Kind != yaml.ScalarNode || err != nil || p.Addr().Is4In6() || p.Addr().IsUnspecified() {
		b.refuse(b.file, text, "address", "it is no address with the length of its prefix")
		return
	}
	a.Prefix = p
	switch ip := p.Addr(); {
	case ip.IsLoopback():
		a.Scope = rpdb.ScopeHost
	case ip.IsLinkLocalUnicast():
		a.Scope = rpdb.ScopeLink
	}
	b.snapshot.Addresses = append(b.snapshot.Addresses, a)
}

// gateway reads gateway4 or gateway6, of which netplan says that they are
// obsolete.
func (b *device) gateway(key string, value *yaml.Node) {
	a, err := netip.ParseAddr(value.Value)
	if err != nil || a.Is4() != (key == "gateway4") || a.Is4In6() || a.Zone() != "" {
		b.refuse(b.file, value, key, "it is no address of this family")
		return
	}
	b.snapshot.Routes = append(b.snapshot.Routes, rpdb.Route{
		Family: rpdb.FamilyOf(a), Table: rpdb.TableMain, Dst: anywhere(rpdb.FamilyOf(a)), Type: rpdb.RouteUnicast,
		Protocol: rpdb.ProtocolStatic, Nexthops: []rpdb.Nexthop{{Via: a, Link: b.link, Weight: 1}},
	})
}

// anywhere is the prefix of length 0.
func anywhere(f rpdb.Family) netip.Prefix {
	if f == rpdb.IPv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}
