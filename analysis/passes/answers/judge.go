package answers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
	"rpdb/analysis"
	"rpdb/fib"
)

// judge holds what the verdicts on one family's addresses need.
type judge struct {
	s        *rpdb.Snapshot
	fib      *fib.FIB
	family   rpdb.Family
	to       netip.Addr
	rules    []rpdb.Rule
	defaults map[rpdb.LinkIndex][]rpdb.TableID // tables with a default by the link
	forwards bool
	marks    []rpdb.Rule // that select on a mark
}

func newJudge(s *rpdb.Snapshot, f *fib.FIB, family rpdb.Family, o Options) *judge {
	j := &judge{s: s, fib: f, family: family, to: o.To4, forwards: analysis.Forwards(s, family)}
	if family == rpdb.IPv6 {
		j.to = o.To6
	}
	if !j.to.IsValid() {
		j.to = Witness(s, family)
	}
	j.rules, j.defaults = s.RulesOf(family), analysis.DefaultsBy(s, family)
	for _, r := range j.rules {
		if r.Selector.Mark.Mask != 0 {
			j.marks = append(j.marks, r)
		}
	}
	return j
}

// door finds the way of answers from an address and judges it.
func (j *judge) door(a rpdb.Address, l rpdb.Link) Door {
	d := Door{Address: a, Link: l, To: j.to}
	uplink := j.isUplink(l, a)
	if why := idle(a, l); why != "" {
		d.Message = why
		d.Verdict = NotInUse
		if !uplink {
			d.Verdict = Inside
		}
		return d
	}
	d.vrf = j.vrf(l)
	d.Decision = j.fib.Lookup(d.flow())
	d.Rule = j.deciding(d.Decision)
	d.Verdict, d.Message = j.judge(d)
	switch d.Verdict {
	case NoRoute, Denied, Tunnel, WrongDoor:
		if !uplink {
			d.Verdict = Inside
			d.Reason = "no default route leads by " + analysis.Name(l.Name)
			return d
		}
	}
	d.Reason = reason(d)
	j.considerMarks(&d)
	return d
}

// vrf returns the VRF that a link belongs to, "" for none.
func (j *judge) vrf(l rpdb.Link) rpdb.LinkName {
	if master, ok := j.s.Link(l.Master); ok && master.VRFTable != 0 {
		return master.Name
	}
	return ""
}

// idle says why no answers can come from an address now, "" if they can.
func idle(a rpdb.Address, l rpdb.Link) string {
	switch {
	case !l.IsUp():
		return analysis.Name(l.Name) + " is down"
	case !l.HasCarrier():
		return analysis.Name(l.Name) + " has no carrier"
	case a.Flags&rpdb.AddressDADFailed != 0:
		return "another host has the address too (duplicate address detection)"
	case !a.Usable():
		return "duplicate address detection is not done yet"
	}
	return ""
}

// isUplink reports whether an address must answer by its own link: some table
// has a default route by it, or it looks like an uplink without one.
func (j *judge) isUplink(l rpdb.Link, a rpdb.Address) bool {
	if len(j.defaults[l.Index]) > 0 {
		return true
	}
	// A unique local IPv6 address is of no use outside.
	return !j.forwards && j.outsideKind(l) && (j.family == rpdb.IPv4 || !a.Prefix.Addr().IsPrivate())
}

// outsideKind reports whether links of this kind usually lead out of the host.
// In a container they are veths, and so are its default routes.
func (j *judge) outsideKind(l rpdb.Link) bool {
	switch l.Kind {
	case "", "vlan", "bond", "team", "macvlan", "ipvlan", "macsec", "hsr":
		return true
	case "veth":
		return slices.ContainsFunc(j.s.Links, func(o rpdb.Link) bool {
			return o.Kind == "veth" && len(j.defaults[o.Index]) > 0
		})
	}
	return false
}

// isTunnel reports whether a link carries packets inside others.
func isTunnel(l rpdb.Link) bool {
	switch l.Kind {
	case "tun", "wireguard", "ppp", "gre", "gretap", "ipip", "sit", "ip6tnl", "ip6gre", "vti", "vti6", "xfrm", "amneziawg":
		return true
	}
	return false
}

// judge returns the verdict on a decision and the way in words, as if the
// address were one of an uplink.
func (j *judge) judge(d Door) (Verdict, string) {
	switch d.Decision.Disposition {
	case rpdb.Sent:
		hops := d.Decision.Either
		if len(hops) == 0 {
			hops = []rpdb.Hop{d.Decision.Hop}
		}
		return j.judgeHops(d, hops), "answers leave by " + way(hops)
	case rpdb.Refused:
		if denies(d) {
			return Denied, fmt.Sprintf("answers are refused (%v)", d.Decision.Errno)
		}
		return NoRoute, "no route leads answers to the outside"
	}
	return Unknown, "the way of answers is unknown"
}

// denies reports whether a rule or route refused on purpose.
func denies(d Door) bool {
	return d.Decision.Type.IsError() || d.Rule != nil && analysis.Denies(d.Rule.Action)
}

func (j *judge) judgeHops(d Door, hops []rpdb.Hop) Verdict {
	verdict := OK
	for _, hop := range hops {
		l, _ := j.s.LinkByName(hop.Link)
		switch {
		case j.sameNetwork(d, l):
		case isTunnel(l) && !isTunnel(d.Link):
			verdict = max(verdict, Tunnel)
		default:
			verdict = max(verdict, WrongDoor)
		}
	}
	return verdict
}

// sameNetwork reports whether a link leads out of the same network as the
// address's own: it is the same, its master, or has an address there too.
func (j *judge) sameNetwork(d Door, l rpdb.Link) bool {
	own, network := d.Link, d.Address.Prefix
	if l.Index == own.Index || l.Index == own.Master && l.VRFTable == 0 {
		return true
	}
	return !network.IsSingleIP() && slices.ContainsFunc(j.s.AddressesOf(j.family, l.Index), func(b rpdb.Address) bool {
		return b.Prefix.Masked() == network.Masked()
	})
}

// way spells hops, as in "eth0 via 192.168.0.1 or eth1".
func way(hops []rpdb.Hop) string {
	words := make([]string, len(hops))
	for i, h := range hops {
		words[i] = analysis.Name(h.Link)
		if h.Via.IsValid() {
			words[i] += fmt.Sprintf(" via %v", h.Via)
		}
	}
	return strings.Join(words, " or ")
}

// reason explains the verdict.
func reason(d Door) string {
	var clauses []string
	if d.Rule != nil {
		clauses = append(clauses, fmt.Sprintf("decided by rule %d", d.Rule.Priority))
	}
	switch d.Verdict {
	case OK, Inside, NotInUse:
		return ""
	case WrongDoor:
		dropper := "the provider there"
		if d.Decision.Via.IsValid() && len(d.Decision.Either) == 0 {
			dropper = d.Decision.Via.String()
		}
		clauses = append(clauses, dropper+" may drop them")
	case NoRoute, Denied, Tunnel, Unknown:
		if d.Decision.Note != "" {
			clauses = append(clauses, d.Decision.Note)
		}
	}
	return strings.Join(clauses, "; ")
}

// deciding returns the rule that made a decision, nil if none did. Where the
// kernel did not walk its list, because it was never changed, it is the first
// one for the table.
func (j *judge) deciding(d rpdb.Decision) *rpdb.Rule {
	priority, known := d.Rule.Get()
	if !known && d.Table == 0 {
		return nil
	}
	var found *rpdb.Rule
	for _, r := range j.rules {
		fits := r.Action == rpdb.ToTable(d.Table) || d.Table == 0 && analysis.Denies(r.Action)
		switch {
		case known && r.Priority != priority:
		case fits:
			return &r
		case known && found == nil:
			found = &r
		}
	}
	return found
}

// considerMarks takes back a verdict that a firewall mark would turn: which
// packets are marked is written in no snapshot.
func (j *judge) considerMarks(d *Door) {
	if d.Verdict < NoRoute {
		return
	}
	for _, r := range j.marks {
		flow := d.flow()
		flow.Mark = r.Selector.Mark.Value & r.Selector.Mark.Mask
		decision := j.fib.Lookup(flow)
		if decision.Disposition != rpdb.Sent || decision.Link != d.Link.Name || len(decision.Either) > 0 {
			continue
		}
		d.Verdict = Unknown
		d.Reason = fmt.Sprintf("with the mark 0x%x (rule %d) they leave by %s", flow.Mark, r.Priority, way([]rpdb.Hop{decision.Hop}))
		return
	}
}
