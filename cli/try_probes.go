package cli

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/policy"
	"rpdb/sandbox"
)

// namedProbe is a probe, the row of the table that it belongs to, and whether
// a policy that works must have it answered.
type namedProbe struct {
	name     string
	probe    sandbox.Probe
	required bool
}

// trySpec says which host to build for a policy: its uplinks, and as tunnels
// the other interfaces that its tables lead to or its rules name.
func trySpec(doc *policy.Document) sandbox.Spec {
	var spec sandbox.Spec
	uplinks := map[rpdb.LinkName]bool{"lo": true}
	for _, u := range doc.Uplinks {
		uplinks[u.Interface] = true
		spec.Uplinks = append(spec.Uplinks, sandbox.Uplink{
			Name: u.Name, Link: u.Interface, Gateways: values(u.Gateways), Addresses: values(u.Addresses),
		})
	}
	for _, name := range doc.Interfaces() {
		if !uplinks[name] {
			spec.Extra = append(spec.Extra, sandbox.Extra{Link: name, Gateways: gatewaysBy(doc, name)})
		}
	}
	for _, t := range doc.Tables {
		for _, r := range t.Routes {
			if r.To.IsValid() {
				spec.Avoid = append(spec.Avoid, r.To)
			}
		}
	}
	for _, r := range doc.Rules {
		if to := r.Selector.To; to.IsValid() && to.Bits() > 0 {
			spec.Outside = append(spec.Outside, inside(to))
			spec.Avoid = append(spec.Avoid, to)
		}
	}
	return spec
}

func values[T any](located []policy.Located[T]) []T {
	var out []T
	for _, l := range located {
		out = append(out, l.Value)
	}
	return out
}

// gatewaysBy returns the gateways that a policy's routes use by an interface.
func gatewaysBy(doc *policy.Document, link rpdb.LinkName) []netip.Addr {
	var gateways []netip.Addr
	for _, t := range doc.Tables {
		for _, r := range t.Routes {
			for _, h := range r.Hops {
				if h.Dev == link && h.Via.IsSet() && !slices.Contains(gateways, h.Via.Value) {
					gateways = append(gateways, h.Via.Value)
				}
			}
		}
	}
	return gateways
}

// inside returns an address of a prefix that can stand for it: the last but
// one, which is neither network nor broadcast where there is a choice.
func inside(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr()
	if p.Bits() == a.BitLen() {
		return a
	}
	b := a.AsSlice()
	for i := p.Bits(); i < a.BitLen()-1; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// standardProbes names the probes that every host is tried with.
func standardProbes(w *sandbox.World) []namedProbe {
	var named []namedProbe
	for _, p := range w.Probes() {
		required := p.Direction == sandbox.Inbound || p.Local.IsValid()
		named = append(named, namedProbe{name: probeName(p), probe: p, required: required})
	}
	return named
}

func inboundOnly(probes []namedProbe) []namedProbe {
	return slices.DeleteFunc(probes, func(p namedProbe) bool { return p.probe.Direction != sandbox.Inbound })
}

// probeName says what a standard probe stands for, the same for TCP, UDP and
// ping.
func probeName(p sandbox.Probe) string {
	switch {
	case p.Direction == sandbox.Inbound:
		return fmt.Sprintf("outside -> %v by %s", p.Local, p.Uplink)
	case p.Device != "":
		return fmt.Sprintf("device %s -> outside (%v)", p.Device, p.Family)
	case p.Local.IsValid():
		return fmt.Sprintf("%v -> outside", p.Local)
	}
	return fmt.Sprintf("unbound -> outside (%v)", p.Family)
}

// ruleProbes makes probes for the rules that a policy adds to those of its
// uplinks: local packets that the rule selects. It also says which rules no
// packet of this host can stand for.
func ruleProbes(w *sandbox.World, desired rpdb.Desired, own []policy.Rule) (probes []namedProbe, untried []string) {
	names := map[string]bool{}
	for _, r := range own {
		names[r.Name] = true
	}
	for _, d := range desired.Rules {
		if !names[d.Name] {
			continue
		}
		made, reason := ruleProbe(w, d.Rule)
		if reason != "" {
			untried = append(untried, fmt.Sprintf("%s (%v): %s", d.Name, d.Rule.Family, reason))
			continue
		}
		for _, p := range made {
			probes = append(probes, namedProbe{name: fmt.Sprintf("rule %s (%v)", d.Name, d.Rule.Family), probe: p})
		}
	}
	return probes, untried
}

// ruleProbe makes the probes of one rule, or says why there are none.
func ruleProbe(w *sandbox.World, r rpdb.Rule) ([]sandbox.Probe, string) {
	if reason := untriable(w, r.Selector); reason != "" {
		return nil, reason
	}
	base := sandbox.Probe{Family: r.Family, Mark: selectedMark(r.Selector), TOS: r.Selector.TOS, Device: r.Selector.OIF}
	if d, ok := r.Selector.DSCP.Get(); ok {
		base.TOS = d.Value << 2
	}
	if uids, ok := r.Selector.UIDRange.Get(); ok {
		base.UID = rpdb.Some(uids.First)
	}
	if to := r.Selector.To; to.IsValid() && to.Bits() > 0 {
		base.Remote = inside(to)
	}
	base.LocalPort, base.RemotePort = r.Selector.SPort.First, r.Selector.DPort.First
	var probes []sandbox.Probe
	for _, proto := range protocolsOf(r.Selector) {
		p := base
		p.Protocol = proto
		prepared, err := w.Prepare(p)
		if err != nil {
			return nil, err.Error()
		}
		probes = append(probes, prepared)
	}
	return probes, ""
}

// untriable returns why no packet of this host can be made for a selector.
func untriable(w *sandbox.World, s rpdb.Selector) string {
	uids, byUser := s.UIDRange.Get()
	switch {
	case s.Not && s.From.IsValid(), s.From.IsValid() && s.From.Bits() > 0:
		return "it selects on the source; the probes of the uplinks' addresses show it"
	case s.IIF != "" && s.IIF != "lo":
		return "it selects packets that come in by " + safe(s.IIF)
	case s.L3MDev:
		return "it selects packets of a VRF"
	case s.TunID != 0:
		return "it selects packets of a tunnel id"
	case s.FlowLabel != rpdb.FlowLabel{}:
		return "it selects on the flow label"
	case byUser && !w.CanBe(uids.First):
		return fmt.Sprintf("packets of user %d need root", uids.First)
	case s.IPProto != 0 && len(protocolsOf(s)) == 0:
		return fmt.Sprintf("no probe speaks protocol %d", s.IPProto)
	}
	return ""
}

// selectedMark returns a mark that the selector matches, and for an inverted
// one a mark that makes the whole rule match: none.
func selectedMark(s rpdb.Selector) uint32 {
	if s.Not {
		return 0
	}
	return s.Mark.Value & s.Mark.Mask
}

// protocolsOf returns the protocols to try a selector with.
func protocolsOf(s rpdb.Selector) []rpdb.IPProto {
	switch s.IPProto {
	case rpdb.TCP, rpdb.UDP, rpdb.ICMP:
		return []rpdb.IPProto{s.IPProto}
	case rpdb.ICMPv6:
		return []rpdb.IPProto{rpdb.ICMP}
	case 0:
		if (s.SPort != rpdb.Ports{}) || (s.DPort != rpdb.Ports{}) {
			return []rpdb.IPProto{rpdb.TCP, rpdb.UDP}
		}
		return []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP}
	}
	return nil
}
