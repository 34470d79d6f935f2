package iproute2_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// generator makes rules and routes with every part that a command can hold.
type generator struct{ *rand.Rand }

func (g generator) chance() bool { return g.IntN(3) == 0 }

func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

func (g generator) addr(f rpdb.Family) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	if f == rpdb.IPv4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	b[0] = 0x20
	return netip.AddrFrom16(b)
}

func (g generator) prefix(f rpdb.Family) netip.Prefix {
	return netip.PrefixFrom(g.addr(f), 1+g.IntN(f.Bits()))
}

func (g generator) ports() rpdb.Ports {
	first := uint16(g.Uint32())
	return pick(g, rpdb.Port(first|1), rpdb.PortRange(first|1, first&^1), rpdb.Ports{First: first, Last: first, Mask: 0xfff0})
}

func (g generator) selector(f rpdb.Family) (s rpdb.Selector) {
	s.Not = g.chance()
	if g.chance() {
		s.From = g.prefix(f)
	}
	if g.chance() {
		s.To = g.prefix(f)
	}
	if g.chance() {
		s.TOS = uint8(g.Uint32())
	} else if g.chance() {
		s.DSCP = rpdb.Some(rpdb.DSCP{Value: uint8(g.IntN(64)), Mask: pick[uint8](g, 0x3f, 0x38, 0)})
	}
	if g.chance() {
		s.Mark = rpdb.Mark{Value: g.Uint32N(3), Mask: pick[uint32](g, 0, 1, 0xff, 0xffffffff)}
	}
	s.IIF = pick[rpdb.LinkName](g, "", "", "lo", "eth0", "e;x", "\x1b[0m", "it's")
	s.OIF = pick[rpdb.LinkName](g, "", "", "v0", "\xff\xfe", `a\b`)
	if g.chance() {
		s.UIDRange = rpdb.Some(rpdb.UIDRange{First: g.Uint32(), Last: g.Uint32N(3)})
	}
	s.IPProto = rpdb.IPProto(pick[uint8](g, 0, 0, 6, 17, uint8(g.Uint32())))
	if g.chance() {
		s.SPort = g.ports()
	}
	if g.chance() {
		s.DPort = g.ports()
	}
	if g.chance() {
		s.FlowLabel = rpdb.FlowLabel{Value: g.Uint32N(3), Mask: pick[uint32](g, 0xfffff, 0xf, 0)}
	}
	if g.chance() {
		s.TunID = g.Uint64()
	}
	return s
}

func (g generator) rule() rpdb.Rule {
	f := pick(g, rpdb.IPv4, rpdb.IPv6)
	r := rpdb.Rule{Family: f, Priority: rpdb.Priority(g.Uint32()), Selector: g.selector(f)}
	table := rpdb.TableID(pick(g, 0, 100, 253, 254, 255, 300, g.Uint32()))
	r.Action = pick(g, rpdb.ToTable(table), rpdb.ToTable(table), rpdb.Goto(rpdb.Priority(g.Uint32())), rpdb.Nop(),
		rpdb.Blackhole(), rpdb.Unreachable(), rpdb.Prohibit(),
		rpdb.RawAction(rpdb.ActionType(pick[uint8](g, 0, 4, 5, 6, 9, 10, 11, 200)), table, 0))
	if r.Action == rpdb.ToTable(0) {
		r.Selector.L3MDev = g.chance()
	}
	if g.chance() {
		r.Suppress.PrefixLength = rpdb.Some(g.Int32N(129))
	}
	if g.chance() {
		r.Suppress.IfGroup = rpdb.Some(g.Uint32N(5))
	}
	if g.chance() {
		r.Realms = pick(g, rpdb.NewRealms(0, 5), rpdb.NewRealms(1, 2), rpdb.NewRealms(3, 0), rpdb.Realms(g.Uint32()))
	}
	r.Protocol = rpdb.Protocol(pick[uint8](g, 0, 2, 4, 82, uint8(g.Uint32())))
	return r
}

func (g generator) hop(f rpdb.Family) rpdb.Nexthop {
	n := rpdb.Nexthop{Link: rpdb.LinkIndex(1 + g.IntN(5))}
	if !g.chance() {
		n.Via = g.addr(pick(g, f, f, rpdb.IPv4, rpdb.IPv6))
	}
	if g.chance() {
		n.Flags = rpdb.NexthopOnlink
	}
	if g.chance() {
		n.EncapType, n.Encap = g.tunnel()
	}
	return n
}

// tunnel makes a lightweight tunnel of any kind.
func (g generator) tunnel() (uint16, rpdb.Raw) {
	words := strings.Fields(g.tunnelWords())
	r, err := iproute2.ParseRoute(rpdb.IPv6, append(append([]string{"::/0", "encap"}, words...), "dev", "lo"), context())
	if err != nil {
		panic(fmt.Sprintf("%q: %v", words, err))
	}
	return r.Nexthops[0].EncapType, r.Nexthops[0].Encap
}

func (g generator) tunnelWords() string {
	v4, v6, n := g.addr(rpdb.IPv4), g.addr(rpdb.IPv6), g.IntN(256)
	maybe := func(format string, values ...any) string {
		return pick(g, "", " "+fmt.Sprintf(format, values...))
	}
	segs := strings.Repeat(v6.String()+",", g.IntN(3)) + g.addr(rpdb.IPv6).String()
	hmac := maybe("hmac %d", g.Uint32()|1)
	return pick(g,
		fmt.Sprintf("mpls %d", g.IntN(1<<20))+maybe("ttl %d", n),
		fmt.Sprintf("mpls %d/%d", g.IntN(1<<20), g.IntN(1<<20)),
		fmt.Sprintf("ip id %d", g.Uint64())+maybe("dst %v", v4)+maybe("src %v", v4)+maybe("tos %x", n)+maybe("ttl %d", n)+maybe("key")+maybe("csum")+maybe("seq")+
			pick(g, "", " vxlan_opts 7", " geneve_opts 1:2:abcd,3::", " erspan_opts 2::1:9", " erspan_opts 1:70000"),
		fmt.Sprintf("ip6 id %d", g.Uint64())+maybe("dst %v", v6)+maybe("src %v", v6)+maybe("tc %x", n)+maybe("hoplimit %d", n)+maybe("key csum seq"),
		fmt.Sprintf("ila %x:%x:%x:%x", n, n, n, n)+maybe("csum-mode neutral-map-auto")+maybe("ident-type luid")+maybe("hook-type input"),
		"seg6 mode "+pick(g, "inline", "encap", "encap.red", "l2encap", "l2encap.red")+" segs "+segs+hmac,
		"seg6local action "+pick(g, "End", "End.DT46", "End.B6", "End.B6.Encaps")+maybe("table %d", g.Uint32())+maybe("vrftable vpn")+maybe("nh4 %v", v4)+
			maybe("nh6 %v", v6)+maybe("iif v0")+maybe("oif w0")+maybe("count")+maybe("flavors psp,next-csid lblen %d nflen 16", n)+maybe("srh segs %s%s", segs, hmac),
		"rpl segs "+segs,
		"ioam6"+maybe("freq %d/%d", 1+n, 256+n)+pick(g, "", fmt.Sprintf(" mode encap tundst %v", v6), fmt.Sprintf(" mode auto tunsrc %v tundst %v", v6, v6))+
			fmt.Sprintf(" trace prealloc type %#x ns %d size %d", 1+g.IntN(1<<24-1), n, 4+4*g.IntN(61)),
		fmt.Sprintf("bpf headroom %d", 1+n),
		fmt.Sprintf("xfrm if_id %d", 1+n)+maybe("link_dev v0"),
	)
}

func (g generator) metrics() (list []rpdb.Metric) {
	lock := uint32(0)
	for t := rpdb.MetricMTU; t <= rpdb.MetricFastOpenNoCookie; t++ {
		m := rpdb.Metric{Type: t, Value: g.Uint32N(5000)}
		switch {
		case g.IntN(5) > 0:
			continue
		case t == rpdb.MetricCongCtl:
			m = rpdb.Metric{Type: t, Text: "cubic"}
		case t == rpdb.MetricHopLimit:
			m.Value = g.Uint32N(256)
		case t == rpdb.MetricQuickAck, t == rpdb.MetricFastOpenNoCookie:
			m.Value = g.Uint32N(2)
		case t == rpdb.MetricFeatures:
			m.Value = pick[uint32](g, 1, 16, 17)
		case t == rpdb.MetricRTOMin, t == rpdb.MetricMTU && g.chance():
			lock |= 1 << t
		}
		list = append(list, m)
	}
	if lock != 0 {
		list = slices.Insert(list, 0, rpdb.Metric{Type: rpdb.MetricLock, Value: lock})
	}
	return list
}

func (g generator) route() rpdb.Route {
	f := pick(g, rpdb.IPv4, rpdb.IPv6)
	r := rpdb.Route{
		Family: f, Table: rpdb.TableID(pick(g, 100, 253, 254, 255, 300, 1+g.Uint32N(1<<31))),
		Dst: g.prefix(f), Type: rpdb.RouteType(1 + g.IntN(9)), TOS: pick[uint8](g, 0, 0, 0x10, 0xfc),
		Metric: pick(g, 0, 0, g.Uint32()), Protocol: rpdb.Protocol(pick[uint8](g, 0, 2, 3, 3, 82, 200)),
		Metrics: g.metrics(),
	}
	if g.chance() {
		r.Dst = f.Default()
	}
	if f == rpdb.IPv6 {
		r.Pref = pick(g, rpdb.PreferenceMedium, rpdb.PreferenceHigh, rpdb.PreferenceLow)
		if g.chance() {
			r.Src = g.prefix(f)
		}
	} else {
		r.Realms = rpdb.Realms(pick(g, 0, 0, g.Uint32()))
		r.Scope = pick(g, rpdb.ScopeGlobal, rpdb.ScopeSite, rpdb.ScopeLink, rpdb.ScopeHost, 77)
	}
	if g.chance() {
		r.PrefSrc = g.addr(f)
	}
	r.Unknown = pick(g, "", "", "", rpdb.Raw("\x05\x00\x1a\x00\x01\x00\x00\x00")) // ttl-propagate
	switch g.IntN(4) {
	case 0:
		r.NexthopID = g.Uint32()
	case 1:
		r.Nexthops = []rpdb.Nexthop{g.hop(f)}
	case 2:
		for range 2 + g.IntN(2) {
			n := g.hop(f)
			n.Weight = 1 + g.Uint32N(256)
			r.Nexthops = append(r.Nexthops, n)
		}
	}
	return r
}

func TestRuleRoundTrip(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	for range 4000 {
		r := g.rule()
		for _, op := range []rpdb.ChangeOp{rpdb.Add, rpdb.Delete} {
			line := iproute2.RuleCommand(op, r, shipped())
			words, err := iproute2.Split(line)
			if err != nil || words[0] != "ip" || words[1] != r.Family.Flag() || words[2] != "rule" {
				t.Fatalf("%s: %q, %v", line, words, err)
			}
			parse, want := iproute2.ParseRule, r
			if op == rpdb.Delete {
				parse = iproute2.ParseRuleDelete
				if r.Action.Type() == rpdb.ActionTable { // ip has no word for the action itself
					want.Action = rpdb.RawAction(rpdb.ActionUnspec, r.Action.Table(), 0)
				}
			}
			back, given, err := parse(r.Family, words[4:], shipped())
			want.Selector.SPort, want.Selector.DPort = full(want.Selector.SPort), full(want.Selector.DPort)
			if err != nil || back != want || !given.Priority {
				t.Fatalf("%s\n read %+v, %v\n want %+v", line, back, err, want)
			}
		}
	}
}

// full writes the mask of a single port out, as every reader of it does.
func full(p rpdb.Ports) rpdb.Ports {
	if p.First == p.Last && p.Mask == 0 && p.First != 0 {
		p.Mask = 0xffff
	}
	return p
}

func TestRouteRoundTrip(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(3, 4))}
	for range 4000 {
		r := g.route()
		line := iproute2.RouteCommand(rpdb.Add, r, view())
		words, err := iproute2.Split(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		back, err := iproute2.ParseRoute(r.Family, words[4:], context())
		if err != nil {
			t.Fatalf("%s\n of %+v: %v", line, r, err)
		}
		r.Dst, back.Dst = r.Dst.Masked(), back.Dst.Masked()
		if !back.Equal(r) || back.Expires != r.Expires {
			t.Fatalf("%s\n read %#v\n want %#v", line, back, r)
		}
	}
}

// Whatever is typed, reading it ends with a value or a ParseError.
func FuzzParse(f *testing.F) {
	f.Add("not from 192.0.2.0/24 fwmark 1/2 dscp EF goto 5")
	f.Add("default nexthop via 192.0.2.1 dev v0 weight 2 nexthop via inet6 fe80::1 dev w0")
	f.Fuzz(func(t *testing.T, line string) {
		words, err := iproute2.Split(line)
		if err != nil {
			return
		}
		if r, _, err := iproute2.ParseRule(rpdb.IPv4, words, shipped()); err == nil {
			again, _ := iproute2.Split(iproute2.RuleCommand(rpdb.Add, r, shipped()))
			back, _, err := iproute2.ParseRule(rpdb.IPv4, again[4:], shipped())
			if r.Action.Type() != rpdb.ActionGoto && r.Action.Target() != 0 {
				return // a target without goto has no words
			}
			if err != nil || back.Canonical() != r.Canonical() {
				t.Fatalf("%q: %q read back as %+v, %v, want %+v", line, again, back, err, r)
			}
		}
		_, _ = iproute2.ParseRoute(0, words, context())
	})
}
