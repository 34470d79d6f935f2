package cli

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/kernel"
	"rpdb/policy"
	"rpdb/sandbox"
)

// What nat does it does to forwarded packets: behind the host to build there are
// inside hosts with the blocks that its rules select, and the providers route the
// blocks that these are mapped onto to the host.

// anyInside are blocks for rules that select no source.
func anyInside(f rpdb.Family) netip.Prefix {
	if f == rpdb.IPv4 {
		return netip.MustParsePrefix("198.18.200.0/24")
	}
	return netip.MustParsePrefix("2001:db8:e0c8::/64")
}

// insideBlock is the block of inside hosts that the packets of a rule come from.
func insideBlock(f rpdb.Family, s rpdb.Selector) netip.Prefix {
	if s.From.IsValid() && s.From.Bits() > 0 {
		return s.From.Masked()
	}
	return anyInside(f)
}

// natSpec adds to a spec with uplinks what the rules with nat need. Blocks that
// overlap are behind one interface; each other one has its own, so that inside
// hosts can ask each other through the host.
func natSpec(doc *policy.Document, spec *sandbox.Spec) {
	for _, r := range doc.Rules {
		if !r.NAT.IsSet() {
			continue
		}
		t := r.NAT.Value
		block := insideBlock(t.Family, r.Selector)
		if _, ok := behindLink(*spec, block); !ok {
			addInside(doc, spec, r.Selector.IIF, block)
		}
		for i, u := range spec.Uplinks {
			if t.To.IsValid() && leadsTo(doc, r.Lookup.Value, doc.Uplinks[i]) && !slices.Contains(u.Routed, t.To) {
				spec.Uplinks[i].Routed = append(u.Routed, t.To)
			}
		}
	}
}

// translatable returns nil if the namespaces of a rehearsal can have what a policy
// translates. An ordinary user's take no programs, by which the packets of rules of
// IPv6 are known.
func translatable(doc *policy.Document) error {
	i := slices.IndexFunc(doc.Rules, func(r policy.Rule) bool { return r.NAT.IsSet() && r.NAT.Value.Family == rpdb.IPv6 })
	if i < 0 {
		return nil
	}
	if err := kernel.CopyPrograms(); err != nil {
		return fmt.Errorf("rule %s translates IPv6: %w", safe(doc.Rules[i].Name), err)
	}
	return nil
}

// addInside puts a block behind an interface, without a name behind a new one.
// There is no inside host behind an uplink.
func addInside(doc *policy.Document, spec *sandbox.Spec, link rpdb.LinkName, block netip.Prefix) {
	if slices.ContainsFunc(doc.Uplinks, func(u policy.Uplink) bool { return u.Interface == link }) {
		return
	}
	named := func(e sandbox.Extra) bool { return e.Link == link }
	if link == "" {
		link = freeName(doc, spec)
	}
	i := slices.IndexFunc(spec.Extra, named)
	if i < 0 {
		i = len(spec.Extra)
		spec.Extra = append(spec.Extra, sandbox.Extra{Link: link, Gateways: gatewaysBy(doc, link)})
	}
	spec.Extra[i].Inside = append(spec.Extra[i].Inside, block)
}

// freeName returns the name of an interface that nobody has.
func freeName(doc *policy.Document, spec *sandbox.Spec) rpdb.LinkName {
	taken := doc.Interfaces()
	for _, e := range spec.Extra {
		taken = append(taken, e.Link)
	}
	for n := 0; ; n++ {
		if name := rpdb.LinkName(fmt.Sprintf("inside%d", n)); !slices.Contains(taken, name) {
			return name
		}
	}
}

// behindLink returns the interface behind which inside hosts have addresses of a
// prefix.
func behindLink(spec sandbox.Spec, p netip.Prefix) (rpdb.LinkName, bool) {
	for _, e := range spec.Extra {
		if slices.ContainsFunc(e.Inside, p.Overlaps) {
			return e.Link, true
		}
	}
	return "", false
}

func singlePrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// leadsTo reports whether a table, by its name or number, is an uplink's or has a
// route by it.
func leadsTo(doc *policy.Document, table string, u policy.Uplink) bool {
	is := func(r policy.TableRef) bool { return r.Name == table || fmt.Sprint(r.Number) == table }
	if u.Name == table || is(u.Table) {
		return true
	}
	by := func(h policy.Hop) bool {
		return h.Dev == u.Interface || slices.ContainsFunc(u.Gateways, func(g policy.Located[policy.Gateway]) bool {
			return h.Via.IsSet() && g.Value.Addr == h.Via.Value
		})
	}
	return slices.ContainsFunc(doc.Tables, func(t policy.Table) bool {
		return is(t.TableRef) && slices.ContainsFunc(t.Routes, func(r policy.Route) bool { return slices.ContainsFunc(r.Hops, by) })
	})
}

// natProber makes the probes of rules that translate.
type natProber struct {
	world   *sandbox.World
	engine  predictor
	desired rpdb.Desired
	doc     *policy.Document
	// tried has the names of rules of the policy that inside hosts have tried.
	tried map[string]bool
}

// probes makes those of all rules, and says which ones cannot be tried.
func (n natProber) probes() (probes []namedProbe, untried []string) {
	for _, d := range n.desired.Rules {
		if d.Translation == (rpdb.Translation{}) {
			continue
		}
		d.Translation.Realm, _ = rpdb.RealmOfCopy(d.Rule.Action.Table())
		made, err := n.of(d)
		if err != nil {
			untried = append(untried, fmt.Sprintf("rule %s (%v): %v", d.Name, d.Rule.Family, err))
		}
		probes = append(probes, made...)
	}
	return probes, untried
}

// of makes the probes of one rule: from addresses of its block to the outside, to
// the addresses that they are mapped onto, and one more that another rule decides.
func (n natProber) of(d rpdb.DesiredRule) (probes []namedProbe, err error) {
	block := insideBlock(d.Rule.Family, d.Rule.Selector)
	link, err := n.insideLink(d.Rule.Selector, block)
	if err != nil {
		return nil, err
	}
	base := onTheWire(d.Rule)
	base.Inside = link
	addresses := addressesOf(block)
	if t := d.Translation; !t.Kind.Maps() && base.LocalPort != 0 && base.RemotePort != 0 {
		addresses = addresses[:1] // all look alike from outside, and the ports of the others change
	}
	for _, a := range addresses {
		p := base
		p.Local = a
		made, err := n.row(p, d, fmt.Sprintf("%v -> outside", a))
		if err != nil {
			return nil, err
		}
		probes = append(probes, made...)
	}
	inbound, err := n.inbound(base, d, addresses)
	if err != nil {
		return nil, err
	}
	return slices.Concat(probes, inbound, n.past(base, d, block)), nil
}

// insideLink returns the interface behind which a rule's packets come from.
func (n natProber) insideLink(s rpdb.Selector, block netip.Prefix) (rpdb.LinkName, error) {
	link, ok := behindLink(n.world.Spec(), block)
	switch {
	case !ok || s.IIF != "" && s.IIF != link:
		return "", fmt.Errorf("no inside host is behind %s", safe(s.IIF))
	case s.Mark != rpdb.Mark{}:
		return "", fmt.Errorf("it selects on a mark, and packets come in without one")
	}
	if reason := untriable(n.world, rpdb.Selector{L3MDev: s.L3MDev, TunID: s.TunID, FlowLabel: s.FlowLabel, IPProto: s.IPProto}); reason != "" {
		return "", fmt.Errorf("%s", reason)
	}
	return link, nil
}

// addressesOf returns the first address of a block, another one, and the last.
func addressesOf(block netip.Prefix) []netip.Addr {
	first := block.Addr().AsSlice()
	other, last := slices.Clone(first), slices.Clone(first)
	for i := block.Bits(); i < block.Addr().BitLen(); i++ {
		last[i/8] |= 1 << (7 - i%8)
		if i >= block.Addr().BitLen()-3 {
			other[i/8] |= 1 << (7 - i%8)
		}
	}
	var all []netip.Addr
	for _, b := range [][]byte{first, other, last} {
		if a, _ := netip.AddrFromSlice(b); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// row makes the probes of one row, one for each protocol. The policy must have them
// answered if it is the rule that decides them.
func (n natProber) row(p sandbox.Probe, d rpdb.DesiredRule, name string) ([]namedProbe, error) {
	var row []namedProbe
	for _, proto := range protocolsOf(d.Rule.Selector) {
		p.Protocol = proto
		q, err := n.world.Prepare(p)
		if err != nil {
			return nil, err
		}
		decides := n.decides(d, q.Flow())
		required := decides && (d.Translation.Inbound || !d.Translation.Kind.Stateless()) && !unmapped(d.Translation, p.Local)
		row = append(row, namedProbe{name: name, probe: q, required: required, rule: d.Name, elsewhere: !decides})
	}
	return row, nil
}

// unmapped reports whether a checksum-neutral map drops an address.
func unmapped(t rpdb.Translation, a netip.Addr) bool {
	_, ok := t.Source(a)
	return t.Kind == rpdb.TranslateNeutral && !ok
}

// inbound makes probes to the addresses that an inbound map has.
func (n natProber) inbound(base sandbox.Probe, d rpdb.DesiredRule, addresses []netip.Addr) (probes []namedProbe, err error) {
	door := n.door(d)
	if !d.Translation.Inbound || door == "" {
		return nil, nil
	}
	for _, a := range addresses {
		asked, ok := d.Translation.Source(a)
		if !ok {
			continue
		}
		p := base
		p.Direction, p.Uplink, p.Local, p.Asked = sandbox.Inbound, door, a, asked
		made, err := n.row(p, d, fmt.Sprintf("outside -> %v by %s", asked, door))
		if err != nil {
			return nil, err
		}
		probes = append(probes, made...)
	}
	return probes, nil
}

// door returns the uplink that a rule's packets leave by, "" if there is none.
func (n natProber) door(d rpdb.DesiredRule) string {
	for _, r := range n.doc.Rules {
		if r.Name != d.Name {
			continue
		}
		for _, u := range n.doc.Uplinks {
			if leadsTo(n.doc, r.Lookup.Value, u) {
				return u.Name
			}
		}
	}
	return ""
}

// decides reports whether it is a rule that decides a flow.
func (n natProber) decides(d rpdb.DesiredRule, flow rpdb.Flow) bool {
	decision := n.engine.fib.Lookup(flow)
	priority, ok := decision.Rule.Get()
	if !ok {
		return false
	}
	want := d.Rule.Meaning()
	want.Priority = priority
	return slices.ContainsFunc(n.engine.snap.Rules, func(r rpdb.Rule) bool { return r.Priority == priority && r.Meaning() == want })
}

// past makes rows of packets that come from the block of a rule and that other rules
// decide: those of the policy that select on a source of the block, and if there is
// none the first that leads such packets on, an answered one before others. They
// leave the packets as they are.
func (n natProber) past(base sandbox.Probe, d rpdb.DesiredRule, block netip.Prefix) (rows []namedProbe) {
	var any []namedProbe
	for _, o := range n.desired.Rules {
		if o.Rule.Family != d.Rule.Family || o.Translation != (rpdb.Translation{}) || !forwardable(o.Rule.Selector, base.Inside) {
			continue
		}
		row := n.decidedBy(o, n.candidates(base, o, block))
		switch from := o.Rule.Selector.From; {
		case len(row) == 0 || n.tried[o.Name]:
		case from.IsValid() && from.Bits() > 0 && n.isOwn(o):
			n.tried[o.Name] = true
			for i := range row {
				row[i].name = fmt.Sprintf("rule %s (%v)", o.Name, o.Rule.Family)
			}
			rows = append(rows, row...)
		case any == nil || n.answers(row) && !n.answers(any):
			any = row
		}
	}
	if rows == nil && n.leaves(any) {
		return any
	}
	return rows
}

// decidedBy makes a row of the first probe that a rule decides and that is answered,
// or else of the first that it decides.
func (n natProber) decidedBy(o rpdb.DesiredRule, probes []sandbox.Probe) (best []namedProbe) {
	for _, p := range probes {
		row, _ := n.row(p, o, fmt.Sprintf("%v -> %s", p.Local, placeOf(p.Remote))) // what cannot be sent is no candidate
		row = slices.DeleteFunc(row, func(p namedProbe) bool { return !n.decides(o, p.probe.Flow()) })
		for i := range row {
			row[i].required = false
		}
		if len(row) > 0 && (best == nil || n.answers(row) && !n.answers(best)) {
			best = row
		}
	}
	return best
}

func (n natProber) answers(row []namedProbe) bool {
	return n.engine.predict(row[0].probe).Answered
}

func (n natProber) leaves(row []namedProbe) bool {
	return len(row) > 0 && len(n.engine.predict(row[0].probe).Links) > 0
}

// isOwn reports whether a rule is one that the policy lists itself.
func (n natProber) isOwn(d rpdb.DesiredRule) bool {
	return slices.ContainsFunc(n.doc.Rules, func(r policy.Rule) bool { return r.Name == d.Name })
}

// candidates are probes that a rule may decide, from an address of another one's
// block: to the outside, and to other inside hosts.
func (n natProber) candidates(base sandbox.Probe, o rpdb.DesiredRule, block netip.Prefix) (all []sandbox.Probe) {
	p := onTheWire(o.Rule)
	p.Inside = base.Inside
	if from := o.Rule.Selector.From; from.IsValid() && from.Bits() > block.Bits() && block.Overlaps(from) {
		block = from.Masked()
	}
	p.Local = middle(block)
	all = append(all, p)
	for _, e := range n.world.Spec().Extra {
		for _, b := range e.Inside {
			to := o.Rule.Selector.To
			if p.Remote = middle(b); e.Link != base.Inside && rpdb.FamilyOf(p.Remote) == p.Family && (!to.IsValid() || to.Contains(p.Remote)) {
				all = append(all, p)
			}
		}
	}
	return all
}

// middle is an address of a block that is not its first, if there is one.
func middle(block netip.Prefix) netip.Addr {
	all := addressesOf(block)
	return all[len(all)/2]
}

// forwardable reports whether a probe of an inside host can satisfy a selector.
func forwardable(s rpdb.Selector, link rpdb.LinkName) bool {
	return !s.Not && (s.IIF == "" || s.IIF == link) && s.OIF == "" && s.Mark == rpdb.Mark{} && !s.UIDRange.IsSet() &&
		!s.L3MDev && s.TunID == 0 && s.FlowLabel == rpdb.FlowLabel{}
}

// placeOf says where a probe goes, "outside" for the usual address of it.
func placeOf(remote netip.Addr) string {
	if !remote.IsValid() {
		return "outside"
	}
	return remote.String()
}
