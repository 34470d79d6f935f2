package iproute2

import (
	"fmt"

	"rpdb"
)

// hopParser reads the words behind one "nexthop". Its methods are the hop
// column of [routeOptions].
type hopParser struct {
	*routeReader
	hop   RouteHop
	attrs wire
}

// hops reads the rest of the line: each nexthop up to the next "nexthop".
func (p *routeParser) hops() {
	for p.hasHops && p.err == nil {
		if !p.more() {
			p.fail(BadCommand, "", "Error: unexpected end of line after \"nexthop\"")
			return
		}
		h := hopParser{routeReader: &p.routeReader}
		h.parse()
		p.q.Hops = append(p.q.Hops, h.hop)
		p.q.multipath.nexthop(h.hop, h.attrs)
		if !p.more() {
			return
		}
		if word := p.next(); word != "nexthop" {
			p.fail(BadCommand, word, fmt.Sprintf("Error: \"nexthop\" or end of line is expected instead of \"%s\"", word))
		}
	}
}

// parse reads up to the first word that no nexthop has.
func (p *hopParser) parse() {
	seen := map[string]bool{}
	for p.more() {
		o, ok := lookUpRoute(routeHopWords, p.peek())
		if !ok {
			return
		}
		p.keyword, p.means = p.next(), o.name
		if seen[o.name] {
			p.doubt("%q is given twice in a nexthop", o.name)
		}
		seen[o.name] = true
		o.hop(p)
	}
}

func (p *hopParser) via() { p.setGateway(&p.hop, &p.attrs) }

// dev looks the interface up at once: ip leaves with another code here.
func (p *hopParser) dev() {
	p.hop.Link = p.link()
	if p.err != nil && p.err.Kind == UnknownDevice {
		p.err.exit, p.err.trailer = exitUsage, "Error: cannot parse nexthop\n"
	}
}

func (p *hopParser) weight() {
	const reason = "\"weight\" is invalid\n"
	n := p.number(32, reason)
	if n < 1 || n > 256 {
		p.fail(BadArgument, p.words[max(p.pos-1, 0)], reason)
		return
	}
	p.hop.Hops = uint8(n - 1)
}

func (p *hopParser) onlink() { p.hop.Flags |= rpdb.NexthopOnlink }

func (p *hopParser) realms() {
	r := p.reader.realms("\"realm\" value is invalid\n")
	setFirst(&p.hop.Realms, r)
	p.attrs.uint32(rtaFlow, uint32(r))
}

// as does not decide the family, which other addresses do.
func (p *hopParser) as() {
	family := p.family
	a := p.newDst()
	p.family = family
	setFirst(&p.hop.NewDst, a)
	p.attrs.attribute(rtaNewDst, []byte(a.Bytes))
}

func (p *hopParser) encap() { setFirst(&p.hop.Encap, p.tunnel(&p.attrs)) }
