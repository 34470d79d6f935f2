package cli

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/policy"
	"rpdb/sandbox"
)

// narrowUsers returns the policy as it can be rehearsed where only some users
// exist: the kernel refuses ranges of users that it does not know. A range is
// narrowed to the one user that exists in it. A rule for users none of whom
// exists selects nothing here and is left out, or selects everything if it is
// inverted. No packet that can be sent here notices; the notes say what was
// done.
func narrowUsers(doc *policy.Document, canBe func(uint32) bool) (*policy.Document, []string) {
	out := *doc
	out.Rules = nil
	var notes []string
	for i, r := range doc.Rules {
		users, ok := r.Selector.UIDRange.Get()
		switch {
		case !ok || canBe(users.First) && canBe(users.Last):
		case canBe(users.First):
			notes = append(notes, fmt.Sprintf("%s: of users %d-%d only %d can be rehearsed without root", r.Name, users.First, users.Last, users.First))
			r.Selector.UIDRange = rpdb.Some(rpdb.UIDRange{First: users.First, Last: users.First})
		default:
			notes = append(notes, fmt.Sprintf("%s: users %d-%d cannot be rehearsed without root", r.Name, users.First, users.Last))
			if !r.Selector.Not {
				if i < doc.UplinksAt {
					out.UplinksAt--
				}
				continue
			}
			r.Selector = rpdb.Selector{}
		}
		out.Rules = append(out.Rules, r)
	}
	return &out, notes
}

// ruleProbes makes probes for the rules that a policy adds to those of its
// uplinks: packets of this host that satisfy the rule's selector. An inverted
// rule lets just those pass. It also says which rules no such packet can stand
// for.
func ruleProbes(w *sandbox.World, desired rpdb.Desired, own []policy.Rule) (probes []namedProbe, untried []string) {
	names := map[string]bool{}
	for _, r := range own {
		names[r.Name] = true
	}
	for _, d := range desired.Rules {
		if !names[d.Name] {
			continue
		}
		if reason := untriable(w, d.Rule.Selector); reason != "" {
			untried = append(untried, fmt.Sprintf("rule %s (%v): %s", d.Name, d.Rule.Family, reason))
			continue
		}
		made, err := probesFor(w, d)
		if err != nil {
			untried = append(untried, fmt.Sprintf("rule %s (%v): %v", d.Name, d.Rule.Family, err))
			continue
		}
		probes = append(probes, made...)
	}
	return probes, untried
}

// probesFor makes the probes of one rule, one for each protocol; none for a
// rule that every packet satisfies, as the unbound probes stand for it.
func probesFor(w *sandbox.World, d rpdb.DesiredRule) ([]namedProbe, error) {
	s := d.Rule.Selector
	base := onTheWire(d.Rule)
	base.Mark = s.Mark.Value & s.Mark.Mask
	if users, ok := s.UIDRange.Get(); ok {
		base.UID = rpdb.Some(users.First)
	}
	if s.OIF != "lo" {
		base.Device = s.OIF
	}
	// The probes of the uplinks' addresses and the unbound ones stand for rules
	// that select on nothing else.
	if base == (sandbox.Probe{Family: d.Rule.Family}) && s.IPProto == 0 {
		return nil, nil
	}
	base.Local = addressIn(w, s.From)
	name := fmt.Sprintf("rule %s (%v)", d.Name, d.Rule.Family)
	if s.Not {
		name = fmt.Sprintf("past rule %s (%v)", d.Name, d.Rule.Family)
	}
	var probes []namedProbe
	for _, proto := range protocolsOf(s) {
		p := base
		p.Protocol = proto
		prepared, err := w.Prepare(p)
		if err != nil {
			return nil, err
		}
		probes = append(probes, namedProbe{name: name, probe: prepared})
	}
	return probes, nil
}

// onTheWire is a probe with what a rule selects on that a packet carries, but for
// its source.
func onTheWire(r rpdb.Rule) sandbox.Probe {
	s := r.Selector
	p := sandbox.Probe{Family: r.Family, TOS: s.TOS, LocalPort: s.SPort.First, RemotePort: s.DPort.First}
	if dscp, ok := s.DSCP.Get(); ok {
		p.TOS = dscp.Value << 2
	}
	if s.To.IsValid() && s.To.Bits() > 0 {
		p.Remote = inside(s.To)
	}
	return p
}

// untriable returns why no packet of this host can be made for a selector, ""
// if one can.
func untriable(w *sandbox.World, s rpdb.Selector) string {
	users, byUser := s.UIDRange.Get()
	switch {
	case s.From.IsValid() && s.From.Bits() > 0 && !addressIn(w, s.From).IsValid():
		return "it selects on the source, and this host has no such address"
	case s.IIF != "" && s.IIF != "lo":
		return "it selects packets that come in by " + safe(s.IIF)
	case s.L3MDev:
		return "it selects packets of a VRF"
	case s.TunID != 0:
		return "it selects packets of a tunnel id"
	case s.FlowLabel != rpdb.FlowLabel{}:
		return "it selects on the flow label"
	case byUser && !w.CanBe(users.First):
		return fmt.Sprintf("packets of user %d need root", users.First)
	case len(protocolsOf(s)) == 0:
		return fmt.Sprintf("no probe speaks protocol %d", s.IPProto)
	}
	return ""
}

// addressIn returns an address of the host that a prefix holds, the invalid
// one if there is none or the prefix selects nothing.
func addressIn(w *sandbox.World, p netip.Prefix) netip.Addr {
	if !p.IsValid() || p.Bits() == 0 {
		return netip.Addr{}
	}
	for _, u := range w.Spec().Uplinks {
		for _, a := range u.Addresses {
			if p.Contains(a.Addr()) {
				return a.Addr()
			}
		}
	}
	return netip.Addr{}
}

// protocolsOf returns the protocols to try a selector with.
func protocolsOf(s rpdb.Selector) []rpdb.IPProto {
	all := []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP}
	proto := s.IPProto
	if proto == rpdb.ICMPv6 {
		proto = rpdb.ICMP
	}
	hasPorts := (s.SPort != rpdb.Ports{}) || (s.DPort != rpdb.Ports{})
	switch {
	case slices.Contains(all, proto):
		return []rpdb.IPProto{proto}
	case proto != 0:
		return nil
	case hasPorts:
		return all[:2]
	}
	return all
}
