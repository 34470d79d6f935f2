package policy

import (
	"fmt"
	"slices"

	"rpdb"
)

// translated returns a rule that looks up a copy of its table, by whose realm, or
// in IPv6 program, nftables knows its packets, and adds the routes of the copy. What the table
// waits for, the copy waits for too.
func (r *resolver) translated(doc Rule, want rpdb.DesiredRule) rpdb.DesiredRule {
	from := want.Rule.Action.Table()
	if why := r.notTranslated(doc, want.Rule.Family, from); why != nil {
		r.reportAt(doc.NAT.Position, doc.natKey(), doc.NAT.Text, why)
		return want
	}
	t := doc.NAT.Value
	to := r.copyNumber(want.Rule, t)
	if to == 0 {
		r.reportAt(doc.NAT.Position, doc.natKey(), doc.NAT.Text, bad("no free number from %d to %d for the copy of its table", firstOtherTable, lastOtherTable))
		return want
	}
	r.ids[to] = true
	r.out.Tables = append(r.out.Tables, rpdb.DesiredTable{ID: to})
	want.Translation, want.CopyOf = t, from
	want.Rule.Action = rpdb.ToTable(to)
	if want.Rule.Family == rpdb.IPv4 {
		realm, _ := rpdb.RealmOfCopy(to)
		want.Rule.Realms = rpdb.NewRealms(0, realm)
	}
	r.copyRoutes(doc.Name, want.Rule.Family, from, to)
	return want
}

// copyRoutes adds the routes of a table to another one, each by nexthops of its
// own, as realms make them.
func (r *resolver) copyRoutes(rule string, f rpdb.Family, from, to rpdb.TableID) {
	for _, w := range slices.Clone(r.out.Routes) {
		if w.Route.Table != from || w.Route.Family != f {
			continue
		}
		w.Name = fmt.Sprintf("%s: copy of %s", rule, w.Name)
		w.Adopts = nil
		w.Route = w.Route.AsCopy(to)
		r.out.Routes = append(r.out.Routes, w)
	}
	for _, w := range slices.Clone(r.out.Waiting) {
		if w.Table == from && (w.Family == 0 || w.Family == f) {
			w.Name = fmt.Sprintf("%s: copy of %s", rule, w.Name)
			w.Family, w.Table = f, to
			r.out.Waiting = append(r.out.Waiting, w)
		}
	}
}

// hasProgram reports whether a route carries the program of a copy.
func hasProgram(route rpdb.Route, of rpdb.TableID) bool {
	return slices.ContainsFunc(route.Nexthops, func(n rpdb.Nexthop) bool {
		t, ok := n.CopyTable()
		return ok && t == of
	})
}

// notTranslated says why the packets of a rule cannot be translated on this
// host, nil if they can.
func (r *resolver) notTranslated(doc Rule, f rpdb.Family, table rpdb.TableID) *problem {
	own := func(t rpdb.DesiredTable) bool { return t.ID == table }
	if !slices.ContainsFunc(r.out.Tables, own) {
		if table == 0 { // unknown, and reported
			return nil
		}
		return bad("its packets are known by a table of their own, made of that of an uplink or of one under tables, and %s is neither", doc.Lookup.Text).
			try("list the routes that it needs under tables")
	}
	if r.inForce { // what others have done since then is for "check" to tell
		return nil
	}
	if t := doc.NAT.Value; t.Kind.Maps() {
		for _, a := range r.host.Addresses {
			if t.To.Contains(a.Prefix.Addr()) {
				why := bad("the block %v holds %v, an address of this host on %s, whose packets it would take", t.To, a.Prefix.Addr(), r.host.LinkName(a.Link))
				if t.To.IsSingleIP() {
					return why.try("write inbound: false for the source alone")
				}
				return why.try("take a block without it, or write %v/%d for that one address in the place of all", a.Prefix.Addr(), a.Prefix.Addr().BitLen())
			}
		}
	}
	for _, route := range r.host.Routes {
		adopted := func(w rpdb.DesiredRoute) bool {
			return slices.Contains(w.Adopts, route.Protocol) && w.Route.Key() == route.Key()
		}
		if route.Family == f && route.Table == table && route.Protocol != rpdb.ProtocolRPDB && !slices.ContainsFunc(r.out.Routes, adopted) {
			return foreignInCopy(route, doc.Lookup.Text)
		}
	}
	return nil
}

// foreignInCopy says why a route of others in a table keeps it from being copied.
func foreignInCopy(route rpdb.Route, table string) *problem {
	dst := destinationText(route)
	if route.Realms != 0 || slices.ContainsFunc(route.Nexthops, func(n rpdb.Nexthop) bool { return n.Realms != 0 }) {
		return bad("the route %s in table %s has realms of its own, and nftables could not tell the packets of this rule from others", dst, table)
	}
	return bad("the route %s in table %s is of protocol %d: the copy that its packets need would not have it", dst, table, route.Protocol).
		try("list the route in the policy, with adopt, or in another table")
}

// copyNumber chooses the table that a rule has for itself: the one that the same
// rule looks up on the host, unless that is known for another translation, which
// packets would have before the rule is there; else a free one, from the last
// down, as those of the policy are numbered from the first up.
func (r *resolver) copyNumber(rule rpdb.Rule, t rpdb.Translation) rpdb.TableID {
	for _, have := range r.host.Rules {
		n := logical(have.Action.Table())
		same := have.Protocol == rpdb.ProtocolRPDB && have.Family == rule.Family && have.Selector.Canonical() == rule.Selector.Canonical()
		if same && r.looksUpCopy(have) && n >= firstOtherTable && n <= lastOtherTable && !r.ids[n] && r.fits(have.Action.Table(), t) {
			return n
		}
	}
	for n := lastOtherTable; n >= firstOtherTable; n-- {
		if !r.ids[n] && r.names.Tables[n] == "" && !r.looksUp(n) && r.fits(n, t) && r.fits(n+twinDistance, t) && !r.realmUsed(n) {
			return n
		}
	}
	return 0
}

// fits reports whether nftables does not know the realm of a table for something
// else than a translation.
func (r *resolver) fits(table rpdb.TableID, t rpdb.Translation) bool {
	t.Realm, _ = rpdb.RealmOfCopy(table)
	return !slices.ContainsFunc(r.host.NAT.Translations, func(o rpdb.Translation) bool {
		o.Inbound = t.Inbound
		return o.Realm == t.Realm && o != t
	})
}

// realmUsed reports whether others use the realm of a table or of its twin, as
// either half, or its program.
func (r *resolver) realmUsed(table rpdb.TableID) bool {
	one, _ := rpdb.RealmOfCopy(table)
	two, _ := rpdb.RealmOfCopy(table + twinDistance)
	uses := func(of rpdb.Realms) bool {
		return of.To() == one || of.To() == two || of.From() == one || of.From() == two
	}
	for _, rule := range r.host.Rules {
		if rule.Protocol != rpdb.ProtocolRPDB && uses(rule.Realms) {
			return true
		}
	}
	return slices.ContainsFunc(r.host.Routes, func(route rpdb.Route) bool {
		return route.Protocol != rpdb.ProtocolRPDB && (uses(route.Realms) || hasProgram(route, table) || hasProgram(route, table+twinDistance) || slices.ContainsFunc(route.Nexthops, func(n rpdb.Nexthop) bool { return uses(n.Realms) }))
	})
}
