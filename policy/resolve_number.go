package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"rpdb"
)

// uplinkTables are the numbers of the uplinks' tables and of the others, in
// the order of the document.
type uplinkTables struct {
	uplinks []rpdb.TableID
	others  []rpdb.TableID
}

// numberTables gives every table of the document its number: the one written,
// else the one that the host's names know, else one of ours.
func (r *resolver) numberTables() {
	r.byName, r.ids = map[string]rpdb.TableID{}, map[rpdb.TableID]bool{}
	r.tables.uplinks = make([]rpdb.TableID, len(r.doc.Uplinks))
	r.tables.others = make([]rpdb.TableID, len(r.doc.Tables))
	for i, u := range r.doc.Uplinks {
		r.tables.uplinks[i] = r.knownNumber(u.Table)
	}
	for i, t := range r.doc.Tables {
		r.tables.others[i] = r.knownNumber(t.TableRef)
	}
	for i, u := range r.doc.Uplinks {
		if r.tables.uplinks[i] == 0 {
			r.tables.uplinks[i] = r.presentNumber(u)
		}
	}
	r.presentOthers()
	for i, u := range r.doc.Uplinks {
		r.tables.uplinks[i] = r.settle(u.Table, r.tables.uplinks[i], firstUplinkTable, lastUplinkTable)
	}
	for i, t := range r.doc.Tables {
		r.tables.others[i] = r.settle(t.TableRef, r.tables.others[i], firstOtherTable, lastOtherTable)
	}
}

// knownNumber returns the number that the document or the host's names give a
// table, 0 if neither does, and marks it as taken.
func (r *resolver) knownNumber(t TableRef) rpdb.TableID {
	id, named := t.Number, rpdb.TableID(0)
	if n, _ := r.names.TableByName(t.Name); r.names.Tables[n] == t.Name {
		named = n // and not a name that reads as a number, as that of an interface may
	}
	switch {
	case id == 0 && named == 0:
		return 0
	case id == 0:
		id = named
		if r.ids[id] || isKernelTable(id) {
			r.reportAt(t.Position, "table", t.Name, bad("the name of table %d on this host, which is another one in the policy", id).try("give the table another name, or a number of its own"))
		}
	case named != 0 && named != id:
		r.reportAt(t.Position, "table", t.Name, bad("number %d here, and number %d in the names of this host", id, named).try("use the number %d, or another name", named))
	}
	r.ids[id] = true
	return id
}

// presentNumber returns the table that a rule of ours on the host looks up for
// the uplink's interface, 0 if there is none or it is taken.
func (r *resolver) presentNumber(u Uplink) rpdb.TableID {
	want := rpdb.Selector{OIF: u.Interface}
	for _, rule := range r.host.Rules {
		t := logical(rule.Action.Table())
		ours := rule.Protocol == rpdb.ProtocolRPDB && rule.Action.Type() == rpdb.ActionTable && rule.Selector == want
		if ours && t >= firstUplinkTable && t <= lastUplinkTable && !r.ids[t] {
			r.ids[t] = true
			return t
		}
	}
	return 0
}

// ruleOnHost tells rules apart by family, selector, and by which of the rules
// with both it is, counted in the order of the walk.
type ruleOnHost struct {
	family   rpdb.Family
	selector rpdb.Selector
	nth      int
}

// presentOthers finds the numbers that tables other than those of uplinks have
// on the host: a rule of the document that stands there looks its table up.
// The number that most of a table's rules show is its own.
func (r *resolver) presentOthers() {
	there, count := map[ruleOnHost]rpdb.TableID{}, map[ruleOnHost]int{}
	for _, rule := range r.host.Rules {
		if rule.Protocol == rpdb.ProtocolRPDB && rule.Action.Type() == rpdb.ActionTable && !r.looksUpCopy(rule) {
			k := ruleOnHost{family: rule.Family, selector: rule.Selector.Canonical()}
			count[k]++
			there[ruleOnHost{k.family, k.selector, count[k]}] = logical(rule.Action.Table())
		}
	}
	index := map[string]int{}
	for i, t := range r.doc.Tables {
		if t.Name != "" && r.tables.others[i] == 0 {
			index[t.Name] = i
		}
	}
	type claim struct {
		table  int
		number rpdb.TableID
	}
	votes := map[claim]int{}
	clear(count)
	for _, rule := range r.doc.Rules {
		if rule.NAT.IsSet() { // it looks a copy up
			continue
		}
		for _, f := range rule.Families() {
			k := ruleOnHost{family: f, selector: rule.Selector.Canonical()}
			count[k]++
			t := there[ruleOnHost{f, k.selector, count[k]}]
			if i, ok := index[rule.Lookup.Value]; ok && t >= firstOtherTable && t <= lastOtherTable {
				votes[claim{i, t}]++
			}
		}
	}
	claims := slices.SortedFunc(maps.Keys(votes), func(a, b claim) int {
		return cmp.Or(cmp.Compare(votes[b], votes[a]), cmp.Compare(a.table, b.table), cmp.Compare(a.number, b.number))
	})
	for _, c := range claims {
		if r.tables.others[c.table] == 0 && !r.ids[c.number] {
			r.tables.others[c.table], r.ids[c.number] = c.number, true
		}
	}
}

// looksUpCopy reports whether a rule of the host has a table of its own, as one
// whose packets are translated. Of IPv6 the rule does not tell, but the routes of
// the table, and nftables.
func (r *resolver) looksUpCopy(rule rpdb.Rule) bool {
	table := rule.Action.Table()
	realm, ok := rpdb.RealmOfCopy(table)
	if !ok || rule.Family == rpdb.IPv4 {
		return ok && rule.Realms == rpdb.NewRealms(0, realm)
	}
	ofTable := func(t rpdb.Translation) bool { return t.Family == rpdb.IPv6 && t.Realm == realm }
	return slices.ContainsFunc(r.host.Routes, func(x rpdb.Route) bool { return x.Table == table && hasProgram(x, table) }) ||
		slices.ContainsFunc(r.host.NAT.Translations, ofTable)
}

// settle gives a table without a number a free one of a range, and adds the
// table to the result. A number that a rule of ours on the host still looks up
// is the last resort: its packets would see the new routes.
func (r *resolver) settle(t TableRef, id, first, last rpdb.TableID) rpdb.TableID {
	for _, spare := range []bool{true, false} {
		for n := first; id == 0 && n <= last; n++ {
			if !r.ids[n] && r.names.Tables[n] == "" && !(spare && r.looksUp(n)) {
				id = n
			}
		}
	}
	if id == 0 {
		r.reportAt(t.Position, "table", t.Name, bad("no free number from %d to %d", first, last).try("give the table a number"))
	}
	r.ids[id] = true
	if t.Name != "" {
		r.byName[t.Name] = id
	}
	r.out.Tables = append(r.out.Tables, rpdb.DesiredTable{ID: id, Name: t.Name})
	return id
}

// looksUp reports whether a rule of ours on the host looks a table up.
func (r *resolver) looksUp(t rpdb.TableID) bool {
	if r.looked == nil {
		r.looked = map[rpdb.TableID]bool{}
		for _, rule := range r.host.Rules {
			if rule.Protocol == rpdb.ProtocolRPDB && rule.Action.Type() == rpdb.ActionTable {
				r.looked[logical(rule.Action.Table())] = true
			}
		}
	}
	return r.looked[t]
}

// tableText names a table for messages.
func tableText(t TableRef, id rpdb.TableID) string {
	if t.Name != "" {
		return "table " + t.Name
	}
	return fmt.Sprintf("table %d", id)
}
