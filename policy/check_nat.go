package policy

import (
	"net/netip"

	"rpdb"
)

// checkNAT looks at the translation of a rule together with its other keys, and
// settles what it comes to.
func checkNAT(p *parser, m entries, r *Rule) {
	if r.nat == nil {
		return
	}
	at := r.nat.to
	fail := func(why *problem) { p.reportAt(at.Position, r.natKey(), at.Text, why) }
	before := len(p.errs)
	checkNATCompany(p, m, r)
	from, to := r.Selector.From, at.Value
	switch {
	case r.Family == 0:
		fail(bad("is for one family").try("write family: ipv4, or from"))
	case !to.addr.IsValid(): // masquerade
	case m.has("from") && !from.IsValid(): // reported already
		return
	case !from.IsValid():
		fail(bad("maps the block that from selects, and there is no from"))
	case rpdb.FamilyOf(to.addr) != r.Family:
		fail(bad("an %v address in a rule for %v", rpdb.FamilyOf(to.addr), r.Family))
	default:
		if why := r.settleBlock(); why != nil {
			fail(why)
		}
	}
	if len(p.errs) == before {
		r.NAT = Located[rpdb.Translation]{r.translation(), at.Position, at.Text}
	}
}

// natKey is the key by which the policy says what the rule translates to.
func (r *Rule) natKey() string {
	if r.nat == nil {
		return "nat"
	}
	return r.nat.key
}

// checkNATCompany refuses what a rule that translates cannot have besides.
func checkNATCompany(p *parser, m entries, r *Rule) {
	switch {
	case m.has("nat") && m.has("map-to"):
		p.fail(m.values["map-to"], "map-to", bad("the same as nat, which is there too"))
	case m.anyOf("lookup", "table") == "":
		p.reportAt(r.nat.to.Position, r.natKey(), r.nat.to.Text, bad("needs lookup, of an uplink or a table of the policy"))
	case m.has("realms"):
		p.fail(m.values["realms"], "realms", bad("a rule with nat has a realm of its own, by which its packets are known"))
	case m.has("adopt"):
		p.fail(m.values["adopt"], "adopt", bad("no rule of others means the same as one with nat"))
	case r.Selector.Not:
		p.fail(m.values["not"], "not", bad("what is not selected is no block, and cannot be translated"))
	}
	for _, k := range []string{"oif", "uidrange"} {
		if m.has(k) {
			p.fail(m.values[k], k, bad("selects packets of this host, and only forwarded packets are translated"))
		}
	}
	if r.Selector.IIF == "lo" {
		p.fail(m.values["iif"], "iif", bad("selects packets of this host, and only forwarded packets are translated"))
	}
}

// settleBlock finds the length of what from is mapped onto.
func (r *Rule) settleBlock() *problem {
	from, to := r.Selector.From, &r.nat.to.Value
	whole := to.addr.BitLen()
	if to.bits < 0 {
		to.bits = from.Bits()
	}
	block := netip.PrefixFrom(to.addr, to.bits)
	switch {
	case to.bits != from.Bits() && to.bits != whole:
		return bad("a block of length /%d cannot be mapped onto one of /%d", from.Bits(), to.bits).try("leave the length out, or write /%d for one address in the place of all", whole)
	case block != block.Masked():
		return bad("has bits behind the length /%d of from", to.bits).
			try("write %v for the block %v, or %v/%d for this one address in the place of all", block.Masked().Addr(), block.Masked(), to.addr, whole)
	case to.bits == from.Bits() && from.Bits() == 0:
		return bad("from selects everything, which is no block")
	case to.bits == from.Bits() && block.Overlaps(from):
		return bad("the block %v overlaps %v, which it would take the place of", block, from)
	case r.nat.neutral && r.Family == rpdb.IPv4:
		return bad("checksum-neutral is for IPv6: the addresses of IPv4 have no word to spare")
	case r.nat.neutral && to.bits > 64:
		return bad("checksum-neutral is for prefixes of at most /64, since it changes one word behind them")
	case to.bits == from.Bits():
		return nil
	case r.nat.stateless || r.nat.neutral:
		return bad("one address in the place of all takes connection tracking, and without state there is none")
	}
	if in, _ := r.nat.inbound.Get(); in {
		return bad("packets for one address cannot be mapped onto all of %v", from)
	}
	return nil
}

// translation is what the keys come to, but for the realm.
func (r *Rule) translation() rpdb.Translation {
	t := rpdb.Translation{Family: r.Family, Kind: rpdb.TranslateMasquerade, From: r.Selector.Canonical().From}
	to := r.nat.to.Value
	if !to.addr.IsValid() {
		return t
	}
	t.Kind, t.To = rpdb.TranslateBlock, netip.PrefixFrom(to.addr, to.bits)
	in, said := r.nat.inbound.Get()
	t.Inbound = in || !said
	switch {
	case to.bits != t.From.Bits(), t.To.IsSingleIP() && !t.Inbound && !r.nat.stateless:
		t.Kind, t.Inbound = rpdb.TranslateAddress, false
	case r.nat.neutral:
		t.Kind, t.NoTrack = rpdb.TranslateNeutral, r.nat.notrack
	case r.nat.stateless:
		t.Kind, t.NoTrack = rpdb.TranslateStateless, r.nat.notrack
	}
	return t
}

// checkNATs refuses translations that cannot stand beside each other: nftables
// tells packets that come in by their destination alone, and those that it does
// not track by their source alone.
func checkNATs(p *parser, d *draft) {
	var before []Rule
	for _, r := range d.Rules {
		if !r.NAT.IsSet() {
			continue
		}
		for _, o := range before {
			if why := notBeside(r.NAT.Value, o.NAT.Value, o.Name); why != nil {
				p.reportAt(r.NAT.Position, r.natKey(), r.NAT.Text, why)
				break
			}
		}
		before = append(before, r)
	}
}

func notBeside(t, o rpdb.Translation, name string) *problem {
	overlap := func(a, b netip.Prefix) bool { return !a.IsValid() || !b.IsValid() || a.Overlaps(b) }
	switch {
	case t.Family != o.Family:
	case t.Inbound && o.Inbound && t.To.Overlaps(o.To) && (t.To != o.To || t.From != o.From || t.Kind != o.Kind):
		return bad("the block %v overlaps %v, which rule %q maps: packets for it would come to one of the two only", t.To, o.To, name).
			try("write inbound: false for one of them")
	case (t.NoTrack && !o.Kind.Stateless() || o.NoTrack && !t.Kind.Stateless()) && overlap(t.From, o.From):
		return bad("one of this rule and %q takes its sources out of connection tracking, and the other needs that for some of them", name)
	}
	return nil
}
