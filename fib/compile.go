package fib

import (
	"cmp"
	"net/netip"
	"slices"

	"rpdb"
)

// Compile prepares a snapshot for lookups. It is deterministic, takes time and
// memory linear in the number of rules and routes (but for routes of one prefix,
// which are compared with each other), and keeps no reference to the snapshot.
// Rules and routes of families other than the two, and host bits of their
// prefixes, are ignored.
func Compile(s *rpdb.Snapshot) *FIB {
	f := &FIB{
		byName: map[rpdb.LinkName]*link{}, byIndex: map[rpdb.LinkIndex]*link{}, local4: map[netip.Addr]bool{},
		sysctls: sysctls{
			hashPolicy4: s.Sysctls.HashPolicy4, hashPolicy6: s.Sysctls.HashPolicy6, hashSeed: s.Sysctls.HashSeed,
			useNeigh: s.Sysctls.UseNeigh, forward6: s.Sysctls.IPv6Forward,
			reflect4: s.Sysctls.ReflectMark4, reflect6: s.Sysctls.ReflectMark6, acceptMark: s.Sysctls.TCPMarkAccept,
		},
	}
	f.noteGaps(s)
	f.addLinks(s)
	f.addAddresses(s)
	f.v4 = newRuleset(s, rpdb.IPv4, s.Custom4)
	f.v6 = newRuleset(s, rpdb.IPv6, s.Custom6)
	c := newCompiler(f)
	c.index(s)
	for i := range s.Routes {
		c.addRoute(&s.Routes[i])
	}
	c.noteShared()
	c.finish(&f.v4)
	c.finish(&f.v6)
	f.v4.addGaps(s)
	f.v6.addGaps(s)
	f.addRules(&f.v4, s)
	f.addRules(&f.v6, s)
	f.splitForwarding6()
	return f
}

func (f *FIB) addLinks(s *rpdb.Snapshot) {
	for _, l := range s.Links {
		own, known := s.Sysctls.Links[l.Name]
		all := s.Sysctls.All
		if !known {
			own.Forwarding4 = s.Sysctls.IPv4Forward
		}
		n := &link{
			Link: l, forward4: own.Forwarding4, rpFilter: max(all.RPFilter, own.RPFilter),
			markSrc: all.SrcValidMark || own.SrcValidMark, acceptSelf: all.AcceptLocal || own.AcceptLocal,
			redirects: s.Sysctls.SendRedirects(l.Name),
			localnet:  all.RouteLocalnet || own.RouteLocalnet,
			ignore4:   all.IgnoreLinkdown4 || own.IgnoreLinkdown4, ignore6: own.IgnoreLinkdown6,
			unknown: unknownSettings(all, own, known),
		}
		f.links = append(f.links, n)
		f.byName[l.Name], f.byIndex[l.Index] = n, n
	}
	slices.SortStableFunc(f.links, func(a, b *link) int { return cmp.Compare(a.Index, b.Index) })
	for _, l := range f.links {
		if master := f.byIndex[l.Master]; l.isVRF() {
			l.vrf = l
		} else if master != nil && master.isVRF() {
			l.vrf = master
		} else if master != nil && master.Kind == "" && f.gaps.parts.Has(rpdb.PartMasters) {
			l.maybeVRF, master.maybeVRF = true, true
		}
		f.vrfs = f.vrfs || l.vrf != nil
	}
}

// addAddresses keeps the order of the snapshot on each interface, and goes
// through the interfaces by index, as the kernel does when it looks for a
// source.
func (f *FIB) addAddresses(s *rpdb.Snapshot) {
	byLink := map[rpdb.LinkIndex][]address6{}
	for _, a := range s.Addresses {
		l := f.byIndex[a.Link]
		if rpdb.FamilyOf(a.Prefix.Addr()) == rpdb.IPv4 {
			f.local4[a.Prefix.Addr()] = true
			if l != nil {
				l.addrs4 = append(l.addrs4, a)
			}
			continue
		}
		if n, ok := newAddress6(a, l); ok {
			byLink[a.Link] = append(byLink[a.Link], n)
		}
	}
	for _, l := range f.links {
		f.addrs6 = append(f.addrs6, byLink[l.Index]...)
	}
}

// newRuleset decides whether lookups go through the rule list.
func newRuleset(s *rpdb.Snapshot, family rpdb.Family, custom rpdb.Customised) ruleset {
	rs := ruleset{v6: family == rpdb.IPv6, tables: map[rpdb.TableID]*table{}}
	rs.pristine = custom == rpdb.CustomisedNo ||
		custom == rpdb.CustomisedUnknown && isDefault(s.RulesOf(family), family)
	if rs.pristine && !rs.v6 {
		rs.merged = newTable(rpdb.TableMain, false)
	}
	return rs
}

// isDefault reports whether rules are those of a new namespace.
func isDefault(rules []rpdb.Rule, family rpdb.Family) bool {
	return slices.EqualFunc(rules, rpdb.DefaultRules(family), func(a, b rpdb.Rule) bool {
		return a.Canonical() == b.Canonical()
	})
}

// newTable makes a table without routes.
func newTable(id rpdb.TableID, v6 bool) *table {
	t := &table{id: id, numbered: []*route{nil}}
	t.finish(v6)
	return t
}

// tableFor returns the table that routes of a table go into, making it.
func (rs *ruleset) tableFor(id rpdb.TableID) *table {
	if rs.merged != nil && (id == rpdb.TableLocal || id == rpdb.TableMain) {
		return rs.merged
	}
	t := rs.tables[id]
	if t == nil {
		t = newTable(id, rs.v6)
		rs.tables[id] = t
	}
	return t
}

// addRules compiles the rules of one family; its tables are complete.
func (f *FIB) addRules(rs *ruleset, s *rpdb.Snapshot) {
	family := rpdb.IPv4
	if rs.v6 {
		family = rpdb.IPv6
	}
	rules := s.RulesOf(family)
	if !rs.pristine {
		f.setRules(rs, rules)
		return
	}
	f.setRules(rs, rpdb.DefaultRules(family))
	for r := range rs.rules.from(0) {
		if rs.v6 && !slices.ContainsFunc(rules, func(have rpdb.Rule) bool { return have.Canonical() == r.Canonical() }) {
			rs.absent = append(rs.absent, r.at)
		}
	}
}

// newRule compiles a rule; of is where its terms are to be.
func (f *FIB) newRule(rs *ruleset, r rpdb.Rule, of *terms) rule {
	of.Rule = r
	n := rule{
		terms: of, v6: rs.v6, prefixLen: -1,
		does: r.Action.Type(), target: r.Action.Target(), realms: r.Realms, unknown: r.Unknown != "",
	}
	n.from, n.to = selective(r.Selector.From), selective(r.Selector.To)
	n.iif, n.oif = f.ifmatch(r.Selector.IIF), f.ifmatch(r.Selector.OIF)
	n.uids, n.hasUID = r.Selector.UIDRange.Get()
	n.dscp, n.hasDSCP = r.Selector.DSCP.Get()
	n.table = rs.tables[r.Action.Table()]
	if rs.merged != nil && (r.Action.Table() == rpdb.TableLocal || r.Action.Table() == rpdb.TableMain) {
		n.table = &table{id: r.Action.Table()}
	}
	n.isVRFLookup = r.Selector.L3MDev
	if length, ok := r.Suppress.PrefixLength.Get(); ok {
		n.prefixLen = length
	}
	n.ifGroup, n.hasIfGroup = r.Suppress.IfGroup.Get()
	n.idle = r.Action.Type() == rpdb.ActionNop ||
		r.Action.Type() == rpdb.ActionTable && !n.isVRFLookup && n.table == nil && !rs.lacks(nil)
	n.fit = n.newFit()
	return n
}

// selective drops prefixes that match everything.
func selective(p netip.Prefix) netip.Prefix {
	if !p.IsValid() || p.Bits() == 0 {
		return netip.Prefix{}
	}
	return p.Masked()
}

func (f *FIB) ifmatch(name rpdb.LinkName) ifmatch {
	if name == "" {
		return ifmatch{}
	}
	l := f.byName[name]
	if l == nil {
		return ifmatch{set: true}
	}
	return ifmatch{set: true, index: l.Index, vrf: l.isVRF()}
}
