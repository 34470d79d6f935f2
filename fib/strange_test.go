package fib_test

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
	"rpdb/internal/oracle"
)

// Engine and slow twin decide alike where no kernel here can be asked: in
// worlds with VRFs, tunnels, settings of conf.all, addresses of every kind,
// groups of any type, and rules with flags and attributes that ip does not set.
func TestStrangeWorldsAgainstOracle(t *testing.T) {
	t.Parallel()
	worlds, flows := 250, 40
	if testing.Short() {
		worlds = 80
	}
	for seed := range uint64(worlds) {
		g := corpus.New(seed)
		s := g.Snapshot()
		strange(g, s)
		f := fib.Compile(s)
		for range flows {
			for _, family := range rpdb.Families() {
				flow := strangeFlow(g, family)
				got, want := f.Lookup(flow), oracle.Decide(s, flow)
				got.Note = ""
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, %+v\nengine %+v\noracle %+v\n%s", seed, flow, got, want, f.Trace(flow).Decision.Note)
				}
			}
		}
	}
}

// once is true once in n times.
func once(g *corpus.Generator, n int) bool { return g.Number(n) == 0 }

func strange(g *corpus.Generator, s *rpdb.Snapshot) {
	if once(g, 2) {
		addVRF(g, s)
	}
	strangeRules(g, s)
	strangeAddresses(g, s)
	strangeHops(g, s)
	y := &s.Sysctls
	if once(g, 3) {
		y.HashPolicy4, y.HashPolicy6 = uint8(g.Number(4)), uint8(g.Number(4))
	}
	y.All = rpdb.LinkSysctls{
		RPFilter: uint8(g.Number(5)) % 3, SrcValidMark: once(g, 4), AcceptLocal: once(g, 4), RouteLocalnet: once(g, 6), IgnoreLinkdown4: once(g, 4),
		NoSendRedirects: once(g, 2),
	}
	either := []rpdb.Customised{rpdb.CustomisedUnknown, rpdb.CustomisedYes}
	s.Custom4, s.Custom6 = either[g.Number(2)], either[g.Number(2)]
	for i := range s.Links {
		if i > 0 && once(g, 12) {
			s.Links[i].Flags &^= rpdb.LinkUp | rpdb.LinkRunning | rpdb.LinkLowerUp
		}
	}
}

// addVRF puts e2 into a VRF, whose table is known most of the time, and rules
// about it into both lists.
func addVRF(g *corpus.Generator, s *rpdb.Snapshot) {
	const up = rpdb.LinkUp | rpdb.LinkRunning | rpdb.LinkLowerUp
	vrf := rpdb.Link{Index: 5, Name: "vrf0", Kind: "vrf", Flags: up, VRFTable: 100}
	if once(g, 8) {
		vrf.VRFTable = 0
	}
	s.Links = append(s.Links, vrf)
	s.Links[3].Master = vrf.Index
	if once(g, 2) {
		s.Addresses = append(s.Addresses,
			rpdb.Address{Link: 5, Prefix: netip.MustParsePrefix("10.50.0.1/32")}, rpdb.Address{Link: 5, Prefix: netip.MustParsePrefix("2001:db8:50::1/128")})
	}
	s.Sysctls.Links[vrf.Name] = rpdb.LinkSysctls{Forwarding4: true, Forwarding6: true}
	for _, f := range rpdb.Families() {
		r := rpdb.Rule{Family: f, Priority: rpdb.Priority(g.Number(3) * 1000), Action: rpdb.ToTable(rpdb.TableUnspec)}
		r.Selector.L3MDev, r.Selector.Not = true, once(g, 6)
		s.Rules = append(s.Rules, r)
		if once(g, 3) {
			by := rpdb.Rule{Family: f, Priority: rpdb.Priority(1 + g.Number(100)), Action: rpdb.ToTable(200)}
			if by.Selector.IIF = "vrf0"; once(g, 2) {
				by.Selector = rpdb.Selector{OIF: "vrf0"}
			}
			s.Rules = append(s.Rules, by)
		}
	}
	slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
}

func strangeRules(g *corpus.Generator, s *rpdb.Snapshot) {
	for i := range s.Rules {
		r := &s.Rules[i]
		if r.Family == rpdb.IPv6 && once(g, 3) {
			r.Flags |= rpdb.RuleFindSaddr
		}
		if once(g, 12) {
			r.Selector.TunID = uint64(1 + g.Number(2))
		}
		if once(g, 30) {
			r.Unknown = "\x63\x00\x01"
		}
	}
}

func strangeAddresses(g *corpus.Generator, s *rpdb.Snapshot) {
	for i := range s.Addresses {
		a := &s.Addresses[i]
		switch g.Number(12) {
		case 0:
			a.Flags |= rpdb.AddressDeprecated
		case 1:
			a.Flags |= rpdb.AddressSecondary
		case 2:
			a.Flags |= rpdb.AddressTentative
		case 3:
			if a.Scope = rpdb.ScopeLink; once(g, 2) {
				a.Scope = rpdb.ScopeHost
			}
		case 4:
			a.Peer = a.Prefix.Addr().Next().Next()
		}
	}
}

func strangeHops(g *corpus.Generator, s *rpdb.Snapshot) {
	for i := range s.Nexthops {
		if len(s.Nexthops[i].Group) > 0 && once(g, 3) {
			s.Nexthops[i].GroupType = 1
		}
	}
	if len(s.Nexthops) > 0 && once(g, 4) {
		i := g.Number(len(s.Nexthops))
		s.Nexthops = slices.Delete(s.Nexthops, i, i+1)
	}
	for i := range s.Routes {
		r := &s.Routes[i]
		for j := range r.Nexthops {
			if once(g, 20) {
				r.Nexthops[j].Flags |= rpdb.NexthopDead
			}
			if once(g, 20) {
				r.Nexthops[j].Flags |= rpdb.NexthopLinkdown
			}
			if r.Family == rpdb.IPv4 && once(g, 6) {
				r.Nexthops[j].Realms = rpdb.NewRealms(uint16(g.Number(3)), uint16(g.Number(3)))
			}
		}
		if r.Type != rpdb.RouteUnicast || len(r.Nexthops) == 0 || r.Protocol == rpdb.ProtocolKernel {
			continue
		}
		switch g.Number(20) {
		case 0:
			r.Type = rpdb.RouteLocal
		case 1:
			r.Type = rpdb.RouteAnycast
		case 2:
			r.Type = rpdb.RouteBroadcast
		case 3:
			r.Type = rpdb.RouteNAT
		case 4:
			r.Type = rpdb.RouteMulticast
		}
	}
}

// strangeFlow is a flow with what no lookup can be asked.
func strangeFlow(g *corpus.Generator, f rpdb.Family) rpdb.Flow {
	flow := g.Flow(f)
	flow.Socket = rpdb.SocketCall(g.Number(3))
	flow.TunID = uint64(g.Number(3))
	if once(g, 6) {
		flow.FlowLabel |= 0x500000 // beyond the 20 bits
	}
	if once(g, 10) {
		flow.SPort, flow.DPort = 1000, 53 // whatever the protocol
	}
	if once(g, 10) {
		flow.IPProto = rpdb.IPProto([]uint8{0, 2, 47, 132}[g.Number(4)])
	}
	switch {
	case once(g, 30):
		flow.Src = f.Unspecified()
	case !flow.IsInput() && once(g, 8):
		flow.OIF = "vrf0"
	case flow.IsInput() && once(g, 8):
		flow.IIF = "vrf0"
	}
	return flow
}
