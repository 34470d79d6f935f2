package iproute2

import (
	"fmt"
	"strings"

	"rpdb"
)

// ParseListing reads one line of "ip rule show", without its newline, with or
// without the family in front that [RuleView] can write. The family of the
// context counts where the line says none. Names are read as they were
// printed; a line printed with -N has none.
//
// Not every listing holds the whole rule: suppressors of rules without a table
// are left out, the kernel's own protocol number is that of a rule without
// one, and names may be ambiguous. What is there is read strictly; the error
// names the line.
func (c RuleContext) ParseListing(line string) (rpdb.Rule, error) {
	p := listing{b: NewRuleBuilder(c.Family, c.Names)}
	head, rest, ok := strings.Cut(line, ":\t")
	if f, priority, hasFamily := strings.Cut(head, " "); hasFamily {
		word := map[string]string{rpdb.IPv4.String(): "inet", rpdb.IPv6.String(): "inet6"}[f]
		p.b.String("family", "", word)
		head = priority
	}
	if !ok {
		return rpdb.Rule{}, fmt.Errorf("read listing %q: no priority", line)
	}
	p.b.Number("priority", "", head)
	p.words = strings.Split(rest, " ")
	for len(p.words) > 0 {
		p.field(p.next())
	}
	r, err := p.b.Rule()
	if err != nil {
		return rpdb.Rule{}, fmt.Errorf("read listing %q: %w", line, err)
	}
	return r, nil
}

// listing turns the words of a line into fields.
type listing struct {
	words []string
	b     *RuleBuilder
	last  string // the field that a word in brackets belongs to
}

// next takes a word, "" if there is none.
func (p *listing) next() string {
	if len(p.words) == 0 {
		p.b.fail("the line stops short")
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

// field reads one word, and its value if it has one.
func (p *listing) field(word string) {
	switch word {
	case "not", "nop", "masquerade":
		p.b.Null(word, "")
	case "from":
		p.pair("src", "srclen")
	case "to":
		p.pair("dst", "dstlen")
	case "fwmark":
		p.strings("fwmark", "fwmask")
	case "flowlabel":
		p.strings("flowlabel", "flowlabel_mask")
	case "tos", "ipproto":
		p.b.String(word, "", p.next())
	case "iif", "oif":
		p.b.String(word, "", p.next())
		p.last = word + "_detached"
	case "[detached]", "[unresolved]":
		p.b.Null(p.last, "")
		p.last = ""
	case "uidrange":
		first, last, _ := strings.Cut(p.next(), "-")
		p.b.Number("uid_start", "", first)
		p.b.Number("uid_end", "", last)
	case "sport", "dport":
		p.ports(word)
	case "proto":
		p.b.String("protocol", "", p.next())
	case "dscp":
		p.dscp()
	default:
		p.action(word)
	}
}

// action reads the words of the action and what goes with it.
func (p *listing) action(word string) {
	switch word {
	case "lookup":
		if table := p.next(); table == "[l3mdev-table]" {
			p.b.Null("l3mdev", "")
		} else {
			p.b.String("table", "", table)
		}
	case "suppress_prefixlength":
		p.b.Number("suppress_prefixlen", "", p.next())
	case "suppress_ifgroup":
		p.b.String(word, "", p.next())
	case "tun_id":
		p.b.Number(word, "", p.next())
	case "realms":
		realms := p.next()
		from, to, isPair := strings.Cut(realms, "/")
		if isPair {
			p.b.String("flow_from", "", from)
			realms = to
		}
		p.b.String("flow_to", "", realms)
	case "goto":
		if target := p.next(); target == gotoNone {
			p.b.String(word, "", target)
		} else {
			p.b.Number(word, "", target)
		}
		p.last = "unresolved"
	default:
		p.b.String("action", "", word)
	}
}

// pair reads an address and its length.
func (p *listing) pair(addr, length string) {
	a, n, hasLength := strings.Cut(p.next(), "/")
	p.b.String(addr, "", a)
	if hasLength {
		p.b.Number(length, "", n)
	}
}

// strings reads a value and its mask, both hexadecimal.
func (p *listing) strings(value, mask string) {
	v, m, hasMask := strings.Cut(p.next(), "/")
	p.b.String(value, "", v)
	if hasMask {
		p.b.String(mask, "", m)
	}
}

// ports reads a port, a port in hexadecimal with its mask, or a range. A port
// that is alone has the full mask.
func (p *listing) ports(key string) {
	word := p.next()
	if first, last, isRange := strings.Cut(word, "-"); isRange {
		p.b.Number(key+"_start", "", first)
		p.b.Number(key+"_end", "", last)
		return
	}
	value, mask, hasMask := strings.Cut(word, "/")
	if !hasMask {
		mask = "0xffff"
	} else {
		value = p.fromHex(value)
	}
	p.b.Number(key, "", value)
	p.b.String(key+"_mask", "", mask)
}

// dscp reads a name or a number, or both parts in hexadecimal.
func (p *listing) dscp() {
	value, mask, hasMask := strings.Cut(p.next(), "/")
	if !hasMask {
		p.b.String("dscp", "", value)
		return
	}
	p.b.String("dscp", "", p.fromHex(value))
	p.b.String("dscp_mask", "", mask)
}

// fromHex writes a hexadecimal number in decimal.
func (p *listing) fromHex(s string) string {
	var n uint32
	if !setHex(&n, s, 32) {
		p.b.fail("%q: not a hexadecimal number", s)
	}
	return decimal(n)
}
