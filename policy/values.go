package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"rpdb"
)

// form is how a single value may be spelled in YAML.
type form uint8

const (
	textForm   form = iota // text, quoted or not; a bare number or true is none
	numberForm             // a bare number
	eitherForm             // a bare number, or text
	boolForm               // true or false
)

// scalar is one kind of single value: how it is spelled, what it means, and
// what the reference and the schema say of it.
type scalar[V any] struct {
	shape
	form  form
	parse func(text string) (V, *problem)
}

// one makes the read function of a key with a single value.
func one[T, V any](s scalar[V], into func(*T) *V) func(*parser, string, *yaml.Node, *T) {
	return func(p *parser, key string, n *yaml.Node, t *T) {
		if v, ok := s.read(p, key, n); ok {
			*into(t) = v
		}
	}
}

// placed is one for a value whose place is kept.
func placed[T, V any](s scalar[V], into func(*T) *Located[V]) func(*parser, string, *yaml.Node, *T) {
	return func(p *parser, key string, n *yaml.Node, t *T) {
		if v, ok := s.read(p, key, n); ok {
			*into(t) = Located[V]{Value: v, Position: p.at(n), Text: n.Value}
		}
	}
}

// optional is one for a value that may be absent.
func optional[T any, V comparable](s scalar[V], into func(*T) *rpdb.Opt[V]) func(*parser, string, *yaml.Node, *T) {
	return func(p *parser, key string, n *yaml.Node, t *T) {
		if v, ok := s.read(p, key, n); ok {
			*into(t) = rpdb.Some(v)
		}
	}
}

// read returns the value of a node, or reports why it is none.
func (s scalar[V]) read(p *parser, key string, n *yaml.Node) (v V, ok bool) {
	if n.Kind != yaml.ScalarNode {
		p.wrongType(n, key, s.words)
		return v, false
	}
	why := s.form.refuses(n, s.words)
	if why == nil || why.reason == numberIsNoText {
		// What is wrong with the value itself says more than its spelling.
		var worse *problem
		if v, worse = s.parse(n.Value); worse != nil {
			why = worse
		}
	}
	if why != nil {
		p.fail(n, key, why)
		return v, false
	}
	return v, true
}

const numberIsNoText = "YAML reads this as a number, not as text"

// refuses says why a single value is not spelled right, nil if it is.
func (f form) refuses(n *yaml.Node, words string) *problem {
	bare := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0
	switch {
	case isNull(n) && bare:
		return bad("has no value").try("leave the key out, or give it %s", words)
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return bad("a block of text where %s should be", words)
	case f == boolForm && (!bare || n.Tag != "!!bool"):
		return bad("neither true nor false")
	case f == numberForm && !bare:
		return bad("quoted text where a number should be").try("write it without quotes")
	case f != boolForm && n.Tag == "!!bool":
		return bad("YAML reads this as true or false, not as %s", words).try("put it in quotes if it is a name")
	case f == textForm && bare && (n.Tag == "!!int" || n.Tag == "!!float"):
		return bad(numberIsNoText).try("put it in quotes if it is a name")
	}
	return nil
}

// number reads a number from 0 to max, decimal or with 0x hexadecimal.
func number(text string, most uint64) (uint64, *problem) {
	digits, base := text, 10
	if strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X") {
		digits, base = text[2:], 16
	}
	switch {
	case strings.HasPrefix(text, "-") && isDigits(text[1:]):
		return 0, bad("a negative number")
	case digits == "" || !isDigits(digits) && base == 10:
		return 0, bad("not a number").try("write it with the digits 0 to 9, or 0x and the digits 0 to f")
	case base == 10 && len(digits) > 1 && digits[0] == '0':
		return 0, bad("a number with a leading zero, which some read as octal").try("write %s", decimalOr0(digits))
	}
	n, err := strconv.ParseUint(digits, base, 64)
	switch {
	case err != nil && !isHex(digits):
		return 0, bad("not a number").try("write it with the digits 0 to 9, or 0x and the digits 0 to f")
	case err != nil || n > most:
		return 0, bad("greater than %d", most)
	}
	return n, nil
}

func decimalOr0(digits string) string {
	if d := strings.TrimLeft(digits, "0"); d != "" {
		return d
	}
	return "0"
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdefABCDEF") == "" }

// unsigned is a bare number in a range.
func unsigned[V ~uint8 | ~uint32 | ~uint64 | ~int32](words string, least, most uint64) scalar[V] {
	return scalar[V]{
		shape: shape{words, map[string]any{"type": "integer", "minimum": least, "maximum": most}},
		form:  numberForm,
		parse: func(text string) (V, *problem) {
			n, why := number(text, most)
			if why == nil && n < least {
				why = bad("less than %d", least)
			}
			return V(n), why
		},
	}
}

func boolean() scalar[bool] {
	return scalar[bool]{
		shape: shape{"true or false", map[string]any{"type": "boolean"}},
		form:  boolForm,
		parse: func(text string) (bool, *problem) { return text == "true" || text == "True" || text == "TRUE", nil },
	}
}

// word is one of a few words.
func word[V any](article string, words []string, value func(string) V) scalar[V] {
	return scalar[V]{
		shape: shape{strings.Join(words, ", "), map[string]any{"enum": words}},
		parse: func(text string) (V, *problem) {
			for _, w := range words {
				if w == text {
					return value(w), nil
				}
			}
			var none V
			why := bad("not %s", article)
			if near := nearest(text, words); near != "" {
				return none, why.try("did you mean %q?", near)
			}
			return none, why.try("write one of %s", strings.Join(words, ", "))
		},
	}
}

const namePattern = `^[A-Za-z][A-Za-z0-9._-]{0,62}$`

// name is the name of an uplink, a table or a rule. It begins with a letter so
// that it cannot be taken for a number.
func name() scalar[string] {
	return scalar[string]{
		shape: shape{"a name", map[string]any{"type": "string", "pattern": namePattern}},
		parse: parseName,
	}
}

func parseName(text string) (string, *problem) {
	letters := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	switch {
	case text == "":
		return "", bad("an empty name")
	case len(text) > 63:
		return "", bad("a name of more than 63 characters")
	case !strings.Contains(letters, text[:1]):
		return "", bad("a name begins with a letter")
	case strings.Trim(text, letters+"0123456789._-") != "" || strings.ContainsAny(text, " \t\n"):
		return "", bad("a name has only letters, digits, dots, dashes and underscores")
	}
	for _, r := range text {
		if !strings.ContainsRune(letters+"0123456789._-", r) {
			return "", bad("a name has only letters, digits, dots, dashes and underscores")
		}
	}
	return text, nil
}

// interfaceName is what the kernel takes as one (dev_valid_name).
func interfaceName() scalar[rpdb.LinkName] {
	return scalar[rpdb.LinkName]{
		shape: shape{"an interface name", map[string]any{"type": "string", "minLength": 1, "maxLength": 15, "pattern": `^[^\s/:]+$`}},
		parse: func(text string) (rpdb.LinkName, *problem) {
			switch {
			case text == "":
				return "", bad("an empty interface name")
			case len(text) > 15:
				return "", bad("an interface name has at most 15 bytes, this one has %d", len(text))
			case text == "." || text == "..":
				return "", bad("not a name that an interface can have")
			case strings.ContainsAny(text, "/: \t\n\v\f\r\x00\u0085\u00a0"):
				return "", bad("an interface name has no white space, slash or colon")
			}
			return rpdb.LinkName(text), nil
		},
	}
}

func familyWord() scalar[rpdb.Family] {
	return word("a family", []string{"ipv4", "ipv6"}, func(w string) rpdb.Family {
		if w == "ipv4" {
			return rpdb.IPv4
		}
		return rpdb.IPv6
	})
}

// address is the address of a host: a gateway, or a source.
func address() scalar[netip.Addr] {
	return scalar[netip.Addr]{
		shape: shape{"an address", map[string]any{"type": "string", "pattern": `^[0-9A-Fa-f:.]+$`}},
		parse: parseAddress,
	}
}

// gateway is an address, or a word that stands for the gateway of one family or
// of both.
func gateway() scalar[[]Gateway] {
	return scalar[[]Gateway]{
		shape: shape{words: "an address, auto, auto4 or auto6"},
		parse: func(text string) ([]Gateway, *problem) {
			switch text {
			case autoWord:
				return []Gateway{{Family: rpdb.IPv4}, {Family: rpdb.IPv6}}, nil
			case auto4Word:
				return []Gateway{{Family: rpdb.IPv4}}, nil
			case auto6Word:
				return []Gateway{{Family: rpdb.IPv6}}, nil
			}
			a, why := parseAddress(text)
			if why != nil && why.hint == "" && !strings.ContainsAny(text, ".:") {
				why = why.try("write auto for the gateway that the host has, by DHCP or router advertisement")
			}
			return []Gateway{{rpdb.FamilyOf(a), a}}, why
		},
	}
}

func parseAddress(text string) (netip.Addr, *problem) {
	if strings.Contains(text, "/") {
		return netip.Addr{}, bad("a prefix where an address should be").try("write it without %q", text[strings.Index(text, "/"):])
	}
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return netip.Addr{}, badAddress("an address", text)
	case a.Zone() != "":
		return netip.Addr{}, bad("an address with a zone").try("write it without %q: the interface is said by its own key", "%"+a.Zone())
	case a.Is4In6():
		return netip.Addr{}, bad("an IPv4-mapped IPv6 address, which routing does not know").try("write %v", a.Unmap())
	case a.IsUnspecified():
		return netip.Addr{}, bad("the unspecified address belongs to no host")
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.Addr{}, bad("a multicast or broadcast address belongs to no host")
	}
	return a, nil
}

// badAddress says more about a text that is no address or prefix, where it can.
func badAddress(what, text string) *problem {
	host, _, _ := strings.Cut(text, "/")
	for part := range strings.SplitSeq(host, ".") {
		if len(part) > 1 && part[0] == '0' && isDigits(part) && !strings.Contains(host, ":") {
			return bad("not %s: a part has a leading zero, which some read as octal", what).try("write %s instead of %s", decimalOr0(part), part)
		}
	}
	if strings.Trim(host, "0123456789.") == "" && strings.Count(host, ".") != 3 {
		return bad("not %s: an IPv4 address has four parts", what)
	}
	return bad("not %s", what)
}

// prefix is a network: no bits behind its length.
func prefix() scalar[netip.Prefix] {
	return scalar[netip.Prefix]{
		shape: shape{"a prefix, or an address for it alone", map[string]any{"type": "string", "pattern": `^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`}},
		parse: func(text string) (netip.Prefix, *problem) {
			if text == "all" || text == "any" {
				return netip.Prefix{}, bad("selects everything").try("leave the key out, or write 0.0.0.0/0 or ::/0 for one family")
			}
			p, why := parsePrefix(text)
			if why == nil && p != p.Masked() {
				why = bad("has bits behind its length").try("write %v for the network, or %v for the address", p.Masked(), p.Addr())
			}
			return p, why
		},
	}
}

// hostPrefix is an address with the length of its network.
func hostPrefix() scalar[netip.Prefix] {
	return scalar[netip.Prefix]{
		shape: shape{"an address with the length of its network", map[string]any{"type": "string", "pattern": `^[0-9A-Fa-f:.]+/[0-9]{1,3}$`}},
		parse: func(text string) (netip.Prefix, *problem) {
			p, why := parsePrefix(text)
			switch {
			case why != nil:
				return p, why
			case !strings.Contains(text, "/"):
				return p, bad("has no prefix length").try("write it as the interface has it, such as %v/%d", p.Addr(), p.Addr().BitLen()/4*3)
			case p.Addr().IsUnspecified() || p.Addr().IsMulticast() || p.Addr().IsLoopback():
				return p, bad("not an address that an uplink can have")
			case p.Addr().Is6() && p.Addr().IsLinkLocalUnicast():
				return p, bad("a link-local address cannot be a source beyond the link")
			}
			return p, nil
		},
	}
}

// destination is where a route leads: a prefix, or "default" as the zero
// prefix.
func destination() scalar[netip.Prefix] {
	inner := prefix()
	return scalar[netip.Prefix]{
		shape: shape{`a prefix, or "default"`, map[string]any{"type": "string", "pattern": `^(default|[0-9A-Fa-f:.]+(/[0-9]{1,3})?)$`}},
		parse: func(text string) (netip.Prefix, *problem) {
			if text == "default" {
				return netip.Prefix{}, nil
			}
			return inner.parse(text)
		},
	}
}

// parsePrefix reads a prefix; an address stands for itself alone.
func parsePrefix(text string) (netip.Prefix, *problem) {
	host, length, hasLength := strings.Cut(text, "/")
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return netip.Prefix{}, badAddress("a prefix", text)
	case a.Zone() != "":
		return netip.Prefix{}, bad("a prefix with a zone")
	case a.Is4In6():
		return netip.Prefix{}, bad("an IPv4-mapped IPv6 prefix, which routing does not know").try("write it with %v", a.Unmap())
	case !hasLength:
		return netip.PrefixFrom(a, a.BitLen()), nil
	case strings.Contains(length, "."):
		return netip.Prefix{}, bad("a netmask where a prefix length should be")
	}
	n, why := number(length, uint64(a.BitLen()))
	switch {
	case why != nil && isDigits(length) && length[0] != '0':
		return netip.Prefix{}, bad("the prefix length %s is greater than %d", shorten(length), a.BitLen())
	case why != nil || strings.ContainsAny(length, "xX"):
		return netip.Prefix{}, bad("the prefix length %q is not a decimal number", shorten(length))
	}
	return netip.PrefixFrom(a, int(n)), nil
}

// reference is the name of something, or its number from least to most.
func reference(words string, least, most uint64) scalar[string] {
	return scalar[string]{
		shape: shape{words, map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": least, "maximum": most},
			map[string]any{"type": "string", "minLength": 1, "pattern": `^\S+$`},
		}}},
		form: eitherForm,
		parse: func(text string) (string, *problem) {
			switch {
			case text == "":
				return "", bad("empty")
			case strings.ContainsAny(text, " \t\n"):
				return "", bad("a name has no white space")
			case text[0] >= '0' && text[0] <= '9' || text[0] == '-' || text[0] == '+':
				n, why := number(text, most)
				if why == nil && n < least {
					why = bad("less than %d", least)
				}
				return strconv.FormatUint(n, 10), why
			}
			return text, nil
		},
	}
}

// realmsText is "to" or "from/to".
func realmsText() scalar[string] {
	half := reference("", 0, 65535)
	return scalar[string]{
		shape: shape{"`TO` or `FROM/TO`, names or numbers", map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 1, "maximum": 65535},
			map[string]any{"type": "string", "pattern": `^[^\s/]+(/[^\s/]+)?$`},
		}}},
		form: eitherForm,
		parse: func(text string) (string, *problem) {
			from, to, both := strings.Cut(text, "/")
			f, why := half.parse(from)
			if why == nil && both {
				to, why = half.parse(to)
				f = fmt.Sprintf("%s/%s", f, to)
			}
			if why == nil && (f == "0" || f == "0/0") {
				why = bad("realm 0 is none")
			}
			return f, why
		},
	}
}
