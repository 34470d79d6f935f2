package policy

import (
	"fmt"

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
	if t.Name != "" {
		named, _ = r.names.TableByName(t.Name)
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
		t := rule.Action.Table()
		ours := rule.Protocol == rpdb.ProtocolRPDB && rule.Action.Type() == rpdb.ActionTable && rule.Selector == want
		if ours && t >= firstUplinkTable && t <= lastUplinkTable && !r.ids[t] {
			r.ids[t] = true
			return t
		}
	}
	return 0
}

// settle gives a table without a number the first free one of a range, and
// adds the table to the result.
func (r *resolver) settle(t TableRef, id, first, last rpdb.TableID) rpdb.TableID {
	for n := first; id == 0 && n <= last; n++ {
		if !r.ids[n] && r.names.Tables[n] == "" {
			id = n
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

// tableText names a table for messages.
func tableText(t TableRef, id rpdb.TableID) string {
	if t.Name != "" {
		return "table " + t.Name
	}
	return fmt.Sprintf("table %d", id)
}
