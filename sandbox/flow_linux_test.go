package sandbox

import (
	"fmt"
	"testing"

	"rpdb"
)

// TestFlowIsWhatTheKernelAsks turns each field of a probe's Flow into a rule
// that leads the host's packets to another interface: the rule must match,
// and must not with another value in the field.
func TestFlowIsWhatTheKernelAsks(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1], Extra: []Extra{{Link: "wg0"}}})
	const table = 100
	for _, f := range rpdb.Families() {
		do(t, w, rpdb.RouteChange(rpdb.Add, rpdb.Route{
			Family: f, Table: table, Dst: f.Default(), Type: rpdb.RouteUnicast, Scope: wg0Scope(f),
			Nexthops: []rpdb.Nexthop{{Link: index(t, w, "wg0")}},
		}))
	}
	for _, p := range flowProbes(w) {
		p, err := w.Prepare(p)
		if err != nil {
			t.Fatal(err)
		}
		flow := p.Flow()
		for _, s := range selectors(flow) {
			t.Run(fmt.Sprintf("%v/%s", p, s.name), func(t *testing.T) {
				if by := linkUnder(t, w, p, rule(p.Family, s.same, table)); by != "wg0" {
					t.Errorf("flow %+v: a rule on its %s did not match: left by %q", flow, s.name, by)
				}
				if by := linkUnder(t, w, p, rule(p.Family, s.other, table)); by != "eth0" {
					t.Errorf("flow %+v: a rule on another %s matched: left by %q", flow, s.name, by)
				}
			})
		}
	}
}

func wg0Scope(f rpdb.Family) rpdb.Scope {
	if f == rpdb.IPv4 {
		return rpdb.ScopeLink
	}
	return rpdb.ScopeGlobal
}

func rule(f rpdb.Family, s rpdb.Selector, table rpdb.TableID) rpdb.Rule {
	return rpdb.Rule{Family: f, Priority: 50, Selector: s, Action: rpdb.ToTable(table)}
}

// linkUnder sends the probe under a rule, takes the rule away, and returns by
// which interface the host's packets left.
func linkUnder(t *testing.T, w *World, p Probe, r rpdb.Rule) rpdb.LinkName {
	t.Helper()
	do(t, w, rpdb.RuleChange(rpdb.Add, r))
	defer do(t, w, rpdb.RuleChange(rpdb.Delete, r))
	return send(t, w, p).Link()
}

// flowProbes are probes of every kind, but for those bound to an interface.
func flowProbes(w *World) []Probe {
	var probes []Probe
	for _, protocol := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP} {
		for _, a := range globals(w.Spec().Uplinks[0].Addresses) {
			f := rpdb.FamilyOf(a)
			probes = append(probes,
				Probe{Protocol: protocol, Family: f},
				Probe{Protocol: protocol, Local: a, Mark: 5, TOS: 0x10},
				Probe{Protocol: protocol, Local: a, Direction: Inbound, Uplink: "isp-a"})
			if protocol != rpdb.ICMP {
				probes = append(probes, Probe{Protocol: protocol, Local: a, Direction: Inbound, Uplink: "isp-a", Mark: 5, TOS: 0x10})
			}
		}
	}
	if canBe(1000) {
		for _, p := range probes {
			if p.Mark != 0 {
				p.UID = rpdb.Some(uint32(1000))
				probes = append(probes, p)
			}
		}
	}
	return probes
}

// selectorPair is a selector that matches a flow and one that does not for one
// field.
type selectorPair struct {
	name        string
	same, other rpdb.Selector
}

func selectors(flow rpdb.Flow) []selectorPair {
	user := func(u uint32) rpdb.Selector {
		return rpdb.Selector{UIDRange: rpdb.Some(rpdb.UIDRange{First: u, Last: u})}
	}
	pairs := []selectorPair{
		{"to", rpdb.Selector{To: single(flow.Dst)}, rpdb.Selector{To: single(flow.Dst.Next())}},
		{"protocol", rpdb.Selector{IPProto: flow.IPProto}, rpdb.Selector{IPProto: flow.IPProto + 1}},
		{"mark", rpdb.Selector{Mark: rpdb.Mark{Value: flow.Mark, Mask: 0xff}}, rpdb.Selector{Mark: rpdb.Mark{Value: flow.Mark + 1, Mask: 0xff}}},
	}
	if flow.UID == noUID {
		pairs = append(pairs, selectorPair{"uid", rpdb.Selector{Not: true, UIDRange: user(fsuid()).UIDRange}, user(fsuid())})
	} else if canBe(flow.UID + 1) {
		pairs = append(pairs, selectorPair{"uid", user(flow.UID), user(flow.UID + 1)})
	}
	if flow.Src.IsValid() {
		pairs = append(pairs, selectorPair{"from", rpdb.Selector{From: single(flow.Src)}, rpdb.Selector{From: single(flow.Src.Next())}})
	}
	port := func(p uint16) (same, other rpdb.Ports) {
		if p == 0 { // a selector cannot ask for none: none but ports from 1 on
			return rpdb.Ports{}, rpdb.PortRange(1, 65534)
		}
		return rpdb.Port(p), rpdb.Port(p + 1)
	}
	same, other := port(flow.SPort)
	pairs = append(pairs, selectorPair{"source port", rpdb.Selector{SPort: same}, rpdb.Selector{SPort: other}})
	same, other = port(flow.DPort)
	pairs = append(pairs, selectorPair{"destination port", rpdb.Selector{DPort: same}, rpdb.Selector{DPort: other}})
	if flow.TOS != 0 {
		pairs = append(pairs, selectorPair{"tos", rpdb.Selector{TOS: flow.TOS}, rpdb.Selector{TOS: 0x08}})
	} else {
		pairs = append(pairs, selectorPair{"tos", rpdb.Selector{}, rpdb.Selector{TOS: 0x10}})
	}
	if flow.OIF != "" {
		pairs = append(pairs, selectorPair{"oif", rpdb.Selector{OIF: flow.OIF}, rpdb.Selector{OIF: "wg0"}})
	}
	return pairs
}
