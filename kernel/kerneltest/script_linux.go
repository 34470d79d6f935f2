package kerneltest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// Script runs command lines against a target, in order, and stops at the first
// that fails; its error names the line and unwraps to the errno. Lines are
//
//	ip [-4|-6] rule add|del ...
//	ip [-4|-6] route add|replace|change|append|prepend|del ...
//	ip link add NAME type veth peer name NAME
//	ip link set NAME [up|down] [group N] [mtu N] [name NAME]
//	ip link del NAME
//	ip addr add|del PREFIX dev NAME [nodad] [noprefixroute] [peer ADDR]
//	ip neigh add|replace|del ADDR dev NAME [lladdr MAC] [nud STATE]
//	ip nexthop add|del id N [via ADDR] [dev NAME] [group N[,W]/...] [blackhole]
//	sysctl KEY=VALUE
//
// and empty lines and comments, which begin with #.
func Script(ctx context.Context, t Target, lines ...string) error {
	for _, line := range lines {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		c, err := Parse(ctx, t, line)
		if err == nil {
			err = t.Execute(ctx, c)
		}
		if err != nil {
			return fmt.Errorf("run %q: %w", line, err)
		}
	}
	return nil
}

// Parse reads one command line. The target is asked only for the indices of
// interfaces that the line names.
func Parse(ctx context.Context, t Target, line string) (Command, error) {
	words, err := iproute2.Split(line)
	if err != nil {
		return nil, err
	}
	p := &scriptParser{ctx: ctx, target: t, words: words}
	c := p.parse()
	if p.err == nil && len(p.words) > 0 {
		p.fail("unexpected %q", p.words[0])
	}
	return c, p.err
}

type scriptParser struct {
	ctx    context.Context
	target Target
	words  []string
	err    error
}

func (p *scriptParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.words = nil
}

func (p *scriptParser) next() string {
	if len(p.words) == 0 {
		p.fail("incomplete command")
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

// rest takes all words that are left.
func (p *scriptParser) rest() []string {
	words := p.words
	p.words = nil
	return words
}

func (p *scriptParser) parse() Command {
	switch p.next() {
	case "sysctl":
		key, value, ok := strings.Cut(p.next(), "=")
		if !ok {
			p.fail("sysctl without a value")
		}
		return SysctlSet{key, value}
	case "ip":
	default:
		p.fail("neither ip nor sysctl")
	}
	var f rpdb.Family
	object := p.next()
	switch object {
	case "-4":
		f, object = rpdb.IPv4, p.next()
	case "-6":
		f, object = rpdb.IPv6, p.next()
	}
	verb := p.next()
	switch object {
	case "rule":
		return p.rule(f, verb)
	case "route":
		return p.route(f, RouteVerb(verb))
	case "link":
		return p.link(verb)
	case "addr":
		return p.address(verb)
	case "neigh":
		return p.neighbour(verb)
	case "nexthop":
		return p.nexthop(verb)
	}
	p.fail("unknown object %q", object)
	return nil
}

func (p *scriptParser) rule(f rpdb.Family, verb string) Command {
	var c RuleCommand
	var err error
	switch verb {
	case "add":
		c.Rule, c.Given, err = iproute2.ParseRule(f, p.rest(), rpdb.Names{})
	case "del":
		c.Delete = true
		c.Rule, c.Given, err = iproute2.ParseRuleDelete(f, p.rest(), rpdb.Names{})
	default:
		p.fail("unknown verb %q", verb)
	}
	if err != nil {
		p.fail("%w", err)
	}
	return c
}

func (p *scriptParser) route(f rpdb.Family, verb RouteVerb) Command {
	parse := iproute2.ParseRoute
	switch verb {
	case RouteAdd, RouteReplace, RouteChange, RouteAppend, RoutePrepend:
	case RouteDelete:
		parse = iproute2.ParseRouteDelete
	default:
		p.fail("unknown verb %q", verb)
	}
	r, err := parse(f, p.rest(), iproute2.RouteContext{LinkIndex: p.linkIndex})
	if err != nil {
		p.fail("%w", err)
	}
	return RouteCommand{Verb: verb, Route: r}
}

func (p *scriptParser) linkIndex(name rpdb.LinkName) (rpdb.LinkIndex, bool) {
	s, err := p.target.Snapshot(p.ctx)
	if err != nil {
		p.fail("%w", err)
		return 0, false
	}
	l, ok := s.LinkByName(name)
	return l.Index, ok
}

func (p *scriptParser) link(verb string) Command {
	name := rpdb.LinkName(p.next())
	switch verb {
	case "del":
		return LinkDelete{name}
	case "add":
		if words := p.rest(); len(words) == 5 && slices.Equal(words[:4], []string{"type", "veth", "peer", "name"}) {
			return LinkAdd{name, rpdb.LinkName(words[4])}
		}
		p.fail("only veth can be added")
		return nil
	case "set":
		return LinkSet{name, p.linkChange()}
	}
	p.fail("unknown verb %q", verb)
	return nil
}

func (p *scriptParser) linkChange() (ch kernel.LinkChange) {
	for len(p.words) > 0 {
		switch word := p.next(); word {
		case "up":
			ch.Up = true
		case "down":
			ch.Down = true
		case "group":
			ch.Group = rpdb.Some(p.number())
		case "mtu":
			ch.MTU = p.number()
		case "name":
			ch.NewName = rpdb.LinkName(p.next())
		default:
			p.fail("unknown word %q", word)
		}
	}
	return ch
}

func (p *scriptParser) number() uint32 {
	word := p.next()
	n, err := strconv.ParseUint(word, 0, 32)
	if err != nil {
		p.fail("not a number: %q", word)
	}
	return uint32(n)
}

func (p *scriptParser) addr() netip.Addr {
	a, err := netip.ParseAddr(p.next())
	if err != nil {
		p.fail("%w", err)
	}
	return a
}

func (p *scriptParser) address(verb string) Command {
	c := AddressAdd{}
	text := p.next()
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		p.fail("%w", err)
	}
	c.Prefix = prefix
	for len(p.words) > 0 {
		switch word := p.next(); word {
		case "dev":
			c.Link = rpdb.LinkName(p.next())
		case "nodad":
			c.Options.NoDAD = true
		case "noprefixroute":
			c.Options.NoPrefixRoute = true
		case "peer":
			c.Options.Peer = p.addr()
		default:
			p.fail("unknown word %q", word)
		}
	}
	switch verb {
	case "add":
		return c
	case "del":
		return AddressDelete{c.Link, c.Prefix}
	}
	p.fail("unknown verb %q", verb)
	return nil
}

func (p *scriptParser) neighbour(verb string) Command {
	c := NeighbourSet{Addr: p.addr(), State: rpdb.NeighbourPermanent}
	for len(p.words) > 0 {
		switch word := p.next(); word {
		case "dev":
			c.Link = rpdb.LinkName(p.next())
		case "lladdr":
			mac, err := net.ParseMAC(p.next())
			if err != nil {
				p.fail("%w", err)
			}
			c.LLAddr = mac
		case "nud":
			c.State = p.neighbourState()
		default:
			p.fail("unknown word %q", word)
		}
	}
	switch verb {
	case "add", "replace":
		return c
	case "del":
		return NeighbourDelete{c.Link, c.Addr}
	}
	p.fail("unknown verb %q", verb)
	return nil
}

func (p *scriptParser) neighbourState() rpdb.NeighbourState {
	switch word := p.next(); word {
	case "permanent":
		return rpdb.NeighbourPermanent
	case "reachable":
		return rpdb.NeighbourReachable
	case "stale":
		return rpdb.NeighbourStale
	case "failed":
		return rpdb.NeighbourFailed
	case "incomplete":
		return rpdb.NeighbourIncomplete
	case "noarp":
		return rpdb.NeighbourNoARP
	default:
		p.fail("unknown state %q", word)
	}
	return 0
}

func (p *scriptParser) nexthop(verb string) Command {
	n := rpdb.NexthopObject{Family: rpdb.IPv4}
	for len(p.words) > 0 {
		switch word := p.next(); word {
		case "id":
			n.ID = p.number()
		case "via":
			n.Nexthop.Via = p.addr()
			n.Family = rpdb.FamilyOf(n.Nexthop.Via)
		case "dev":
			name := rpdb.LinkName(p.next())
			index, ok := p.linkIndex(name)
			if !ok {
				p.fail("cannot find device %q", name)
			}
			n.Nexthop.Link = index
		case "blackhole":
			n.Blackhole = true
		case "group":
			n.Family, n.Group = 0, p.group()
		default:
			p.fail("unknown word %q", word)
		}
	}
	switch verb {
	case "add":
		return NexthopAdd{n}
	case "del":
		return NexthopDelete{n.ID}
	}
	p.fail("unknown verb %q", verb)
	return nil
}

// group reads "ID[,WEIGHT]/...".
func (p *scriptParser) group() (members []rpdb.GroupMember) {
	for word := range strings.SplitSeq(p.next(), "/") {
		id, weight, hasWeight := strings.Cut(word, ",")
		if !hasWeight {
			weight = "1"
		}
		n, err1 := strconv.ParseUint(id, 10, 32)
		w, err2 := strconv.ParseUint(weight, 10, 16)
		if err1 != nil || err2 != nil {
			p.fail("not a group member: %q", word)
		}
		members = append(members, rpdb.GroupMember{ID: uint32(n), Weight: uint32(w)})
	}
	return members
}
