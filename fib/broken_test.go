package fib_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

// breaker spoils snapshots as no kernel would: a file may say anything.
type breaker struct{ *corpus.Generator }

func spoil[T any](g breaker, v *T, values ...T) {
	if g.Number(25) == 0 {
		*v = values[g.Number(len(values))]
	}
}

func (g breaker) addr(a *netip.Addr) {
	spoil(g, a, netip.Addr{}, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("255.255.255.255"),
		netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("fe80::1%eth9"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"))
}

func (g breaker) prefix(p *netip.Prefix) {
	a := p.Addr()
	if g.addr(&a); a != p.Addr() {
		*p = netip.PrefixFrom(a, g.Number(140))
	}
	spoil(g, p, netip.Prefix{}, netip.PrefixFrom(a, 0))
}

func (g breaker) nexthop(n *rpdb.Nexthop) {
	g.addr(&n.Via)
	spoil(g, &n.Link, 0, 1, 99, ^rpdb.LinkIndex(0))
	spoil(g, &n.Weight, 0, ^uint32(0))
	spoil(g, &n.Flags, ^rpdb.NexthopFlags(0))
	spoil(g, &n.Encap, "\x01", "\xff\xff\xff\xff")
	spoil(g, &n.EncapType, 1, 0xffff)
}

func (g breaker) snapshot(s *rpdb.Snapshot) {
	for i := range s.Links {
		l := &s.Links[i]
		spoil(g, &l.Index, 0, 1, 2, ^rpdb.LinkIndex(0))
		spoil(g, &l.Name, "", "lo", "e1")
		spoil(g, &l.Master, 1, 2, l.Index, 99)
		spoil(g, &l.Kind, "vrf")
		spoil(g, &l.VRFTable, 1, 100, 254, ^rpdb.TableID(0))
		spoil(g, &l.Flags, 0, ^rpdb.LinkFlags(0))
	}
	for i := range s.Addresses {
		a := &s.Addresses[i]
		g.prefix(&a.Prefix)
		g.addr(&a.Peer)
		spoil(g, &a.Link, 0, 99)
		spoil(g, &a.Scope, 7, 255)
	}
	for i := range s.Neighbours {
		g.addr(&s.Neighbours[i].Addr)
		spoil(g, &s.Neighbours[i].State, 0xffff)
	}
	for i := range s.Nexthops {
		o := &s.Nexthops[i]
		g.nexthop(&o.Nexthop)
		spoil(g, &o.ID, 0, 1)
		spoil(g, &o.GroupType, 1, 9)
		spoil(g, &o.Group, nil, []rpdb.GroupMember{{ID: o.ID}}, []rpdb.GroupMember{{ID: 4000}, {ID: 4000}})
	}
	for i := range s.Routes {
		g.route(&s.Routes[i])
	}
	for i := range s.Rules {
		g.rule(&s.Rules[i])
	}
	y := &s.Sysctls
	spoil(g, &y.HashPolicy4, 2, 3, 255)
	spoil(g, &y.HashPolicy6, 2, 3, 255)
	spoil(g, &y.All.RPFilter, 3, 255)
	spoil(g, &y.All.Unknown, rpdb.AllSettings, 1<<15)
	spoil(g, &y.Links, nil)
	spoil(g, &s.Missing, 1<<15, rpdb.PartAddresses|rpdb.PartMasters, rpdb.PartRoutes4)
	spoil(g, &s.MissingTables, []rpdb.TableRef{{}, {Family: rpdb.IPv4, Table: 254}, {Family: rpdb.IPv6, Table: 255}})
	spoil(g, &s.Custom4, rpdb.CustomisedNo, 9)
	spoil(g, &s.Custom6, rpdb.CustomisedNo, 9)
}

func (g breaker) route(r *rpdb.Route) {
	r.Nexthops = slices.Clone(r.Nexthops)
	for j := range r.Nexthops {
		g.nexthop(&r.Nexthops[j])
	}
	spoil(g, &r.Nexthops, nil, []rpdb.Nexthop{{}}, append(r.Nexthops, r.Nexthops...))
	g.prefix(&r.Dst)
	g.prefix(&r.Src)
	g.addr(&r.PrefSrc)
	spoil(g, &r.Family, 0, rpdb.IPv4, rpdb.IPv6, 99)
	spoil(g, &r.Type, 0, rpdb.RouteLocal, rpdb.RouteBroadcast, rpdb.RouteThrow, 99, 255)
	spoil(g, &r.Table, 0, 255, ^rpdb.TableID(0))
	spoil(g, &r.NexthopID, 0, 1, 4000)
	spoil(g, &r.TOS, 0xff)
	spoil(g, &r.Scope, 255)
	spoil(g, &r.Pref, 2, 255)
}

func (g breaker) rule(r *rpdb.Rule) {
	g.prefix(&r.Selector.From)
	g.prefix(&r.Selector.To)
	spoil(g, &r.Family, 0, rpdb.IPv4, rpdb.IPv6, 99)
	spoil(g, &r.Priority, 0, ^rpdb.Priority(0))
	spoil(g, &r.Action, rpdb.Action{}, rpdb.Goto(0), rpdb.Goto(r.Priority), rpdb.ToTable(0), rpdb.RawAction(99, 7, 9))
	spoil(g, &r.Selector.IIF, "lo", "nobody")
	spoil(g, &r.Selector.L3MDev, true)
	spoil(g, &r.Suppress.PrefixLength, rpdb.Some[int32](-1<<31), rpdb.Some[int32](1<<31-1))
	spoil(g, &r.Flags, ^rpdb.RuleFlags(0))
}

func (g breaker) flow(f *rpdb.Flow) {
	g.addr(&f.Dst)
	g.addr(&f.Src)
	spoil(g, &f.IIF, "", "lo", "nobody")
	spoil(g, &f.OIF, "", "lo", "nobody")
	spoil(g, &f.Socket, 9)
	spoil(g, &f.IPProto, 0, 255)
	spoil(g, &f.FlowLabel, ^uint32(0))
}

// Whatever a file says that is no state of any kernel, there is an answer to every
// question, and the story agrees with it.
func TestBrokenSnapshotsAreAnswered(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		g := breaker{corpus.New(seed)}
		s := g.Snapshot()
		g.snapshot(s)
		f := fib.Compile(s)
		for i := range 30 {
			flow := g.Flow(rpdb.Families()[i%2])
			g.flow(&flow)
			trace := f.Trace(flow)
			if d := f.Lookup(flow); !reflect.DeepEqual(d, trace.Decision) {
				t.Fatalf("seed %d, %+v: %+v, and the story says %+v", seed, flow, d, trace.Decision)
			}
			if _, err := json.Marshal(trace); err != nil {
				t.Fatalf("seed %d, %+v: %v", seed, flow, err)
			}
			if i < 4 {
				f.WhyNot(flow, fib.Wish{Link: "e1"})
				f.Reply(flow, []fib.Reply{fib.ReplyEcho, fib.ReplyUnbound, fib.ReplyError, "no such answer"}[i], rpdb.ICMPError{Type: 3})
			}
		}
	}
}

// A flow between two families is unknown, and why it is not decided otherwise too,
// also where a choice by hash would look at its addresses.
func TestFlowOfTwoFamilies(t *testing.T) {
	s := world(t)
	s.Sysctls.HashSeed, s.Sysctls.HashPolicy6 = 7, 1
	s.Routes = append(s.Routes, rpdb.Route{
		Family: rpdb.IPv6, Table: rpdb.TableMain, Type: rpdb.RouteUnicast, Dst: netip.MustParsePrefix("2001:db8:9::/48"), Metric: 1024,
		Nexthops: []rpdb.Nexthop{{Link: 2, Via: netip.MustParseAddr("2001:db8::9")}, {Link: 3, Via: netip.MustParseAddr("2001:db8:1::9")}},
	})
	mixed := rpdb.Flow{Dst: netip.MustParseAddr("2001:db8:9::9"), Src: netip.MustParseAddr("192.0.2.1")}
	got := fib.Compile(s).WhyNot(mixed, fib.Wish{Link: "e1"})
	if got.Fulfilled != fib.FulfilledUnknown || got.Decision.Note == "" || got.Ways != nil || got.Changes != nil {
		t.Errorf("got %+v", got)
	}
}
