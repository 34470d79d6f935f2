package policy

import (
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v4"

	"rpdb"
)

// natKeys is what the key nat holds, as it was written.
type natKeys struct {
	key       string // as it was called
	to        Located[natTarget]
	stateless bool
	neutral   bool
	notrack   bool
	inbound   rpdb.Opt[bool]
}

// natTarget is where a translation leads: an address, with the length that was
// written behind it, -1 for none. The zero natTarget is the word masquerade.
type natTarget struct {
	addr netip.Addr
	bits int
}

const masqueradeWord = "masquerade"

func natShape() shape {
	return shape{"`ADDRESS`, `ADDRESS/32` (`/128`), `masquerade`, or a mapping", map[string]any{"anyOf": []any{
		natTo().schema, map[string]any{"$ref": "#/$defs/nat"},
	}}}
}

// natTo is the address that a block begins with, or the word masquerade.
func natTo() scalar[natTarget] {
	return scalar[natTarget]{
		shape: shape{"`ADDRESS`, `ADDRESS/32` (`/128`) or `masquerade`", map[string]any{
			"type": "string", "pattern": `^(masquerade|[0-9A-Fa-f:.]+(/[0-9]{1,3})?)$`,
		}},
		parse: parseNATTo,
	}
}

func parseNATTo(text string) (natTarget, *problem) {
	if text == masqueradeWord {
		return natTarget{}, nil
	}
	p, why := parsePrefix(text)
	a := p.Addr()
	switch {
	case why != nil && !strings.ContainsAny(text, ".:"):
		return natTarget{}, bad("neither an address nor the word masquerade")
	case why != nil:
		return natTarget{}, why
	case a.IsUnspecified():
		return natTarget{}, bad("not an address that packets can have").try("write masquerade for the one that the interface has")
	case a.IsMulticast() || a.IsLoopback() || a.Is6() && a.IsLinkLocalUnicast() || a.Is4In6() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return natTarget{}, bad("not an address that packets to the world can have")
	case !strings.Contains(text, "/"):
		return natTarget{a, -1}, nil
	}
	return natTarget{a, p.Bits()}, nil
}

func natFields() []field[natKeys] {
	return []field[natKeys]{
		{"to", "What takes the place of the source: of each address in `from` the one at its place in the block that begins at ADDRESS; of all of them the one address that has `/32` behind it, in IPv6 `/128`; or the address of the interface that the packet leaves by", natTo().shape, true, placed(natTo(), func(n *natKeys) *Located[natTarget] { return &n.to })},
		{"stateless", "Maps each packet by itself, without state", boolean().shape, false, one(boolean(), func(n *natKeys) *bool { return &n.stateless })},
		{"checksum-neutral", "Maps IPv6 prefixes of at most /64 so that checksums stay right as they are, by a change to one more word of the address; without state (NPTv6, RFC 6296)", boolean().shape, false, one(boolean(), func(n *natKeys) *bool { return &n.neutral })},
		{"notrack", "Takes packets of both blocks out of connection tracking, also those of other rules; only with `stateless` or `checksum-neutral`", boolean().shape, false, one(boolean(), func(n *natKeys) *bool { return &n.notrack })},
		{"inbound", "Maps also the destination of packets that come for the block from outside; by default true for a block, and impossible for the rest", boolean().shape, false, optional(boolean(), func(n *natKeys) *rpdb.Opt[bool] { return &n.inbound })},
	}
}

func checkNATKeys(p *parser, m entries, n *natKeys) {
	if n.notrack && !n.stateless && !n.neutral {
		p.fail(m.values["notrack"], "notrack", bad("needs stateless or checksum-neutral: the rest of the translations are made by connection tracking"))
	}
	if n.to.IsSet() && !n.to.Value.addr.IsValid() {
		for _, k := range []string{"stateless", "checksum-neutral", "inbound"} {
			if m.has(k) && m.values[k].Value != "false" {
				p.fail(m.values[k], k, bad("needs a block to map, and masquerade has none"))
			}
		}
	}
}

// readNAT reads an address, the word masquerade, or a mapping.
func readNAT(p *parser, key string, n *yaml.Node, r *Rule) {
	keys := natKeys{key: key}
	if n.Kind == yaml.MappingNode {
		decode(p, n, p.keys.nat, &keys)
	} else if v, ok := natTo().read(p, key, n); ok {
		keys.to = Located[natTarget]{Value: v, Position: p.at(n), Text: n.Value}
	}
	if keys.to.IsSet() {
		r.nat = &keys
	}
}
