package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format/rttables"
)

// tableList is the JSON of "table list".
type tableList struct {
	Version int         `json:"version"`
	Tables  []tableInfo `json:"tables"`
}

// tableInfo is one table, and what has to do with it.
type tableInfo struct {
	tableHead
	Families []tableFamily `json:"families"`
}

// tableHead is a table without its rules and routes.
type tableHead struct {
	Table rpdb.TableID `json:"table"`
	// Name is absent if nothing names the table.
	Name     string   `json:"name,omitzero"`
	NameFrom nameFrom `json:"name_from"`
	// File and Line are where the name stands, absent unless a file gives it.
	File string `json:"file,omitzero"`
	Line int    `json:"line,omitzero"`
	// VRFs are the interfaces that are VRFs with this table.
	VRFs []rpdb.LinkName `json:"vrfs"`
}

// nameFrom says where the name of a table is from.
type nameFrom string

const (
	nameFromFile    nameFrom = "file"
	nameFromBuiltin nameFrom = "built in"
	nameFromNowhere nameFrom = "none"
)

// tableFamily is a table in one family.
type tableFamily struct {
	Family rpdb.Family `json:"family"`
	Routes int         `json:"routes"`
	// Rules are the priorities of the rules that look the table up, L3MDev those
	// of the rules that do it for packets of its VRF.
	Rules  []rpdb.Priority `json:"rules"`
	L3MDev []rpdb.Priority `json:"l3mdev_rules"`
	State  tableState      `json:"state"`
}

// tableState says whether rules and routes of a table have found each other.
type tableState string

const (
	tableInUse     tableState = "in use"
	tableEmpty     tableState = "empty"     // rules lead there, and it has no route
	tableUnreached tableState = "unreached" // it has routes, and no rule leads there
	tableUnknown   tableState = "unknown"   // what it holds is not told
)

func (f tableFamily) state() tableState {
	switch {
	case f.Routes == 0:
		return tableEmpty
	case len(f.Rules) == 0 && len(f.L3MDev) == 0:
		return tableUnreached
	}
	return tableInUse
}

func (a *app) tableListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "every table that rules, routes or VRFs use, and where its name comes from",
		Long: `list shows every table that a rule of either family leads to, that holds a route,
or that a VRF has: number, name, the file that the name is from, how many routes
it holds, and the priorities of the rules that lead to it.

A table that rules lead to and that has no route is "empty"; of one that has
routes and that no rule leads to, it says so.`,
		Args: takes(),
		RunE: a.withTables(func(ctx context.Context, r *tableReader) error {
			list, err := a.listTables(ctx, r)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(tableList{1, list})
			}
			return a.viewTables(list, a.width())
		}),
	}
	a.snapshotFlag(cmd)
	return cmd
}

// tablePlace is a table in one family.
type tablePlace struct {
	table  rpdb.TableID
	family rpdb.Family
}

// listTables finds all tables, the smallest number first. Routes are counted
// as they pass by.
func (a *app) listTables(ctx context.Context, r *tableReader) ([]tableInfo, error) {
	places := placesOf(r)
	for _, f := range rpdb.Families() {
		consistent, err := r.routes(ctx, f, 0, func(route rpdb.Route) error {
			placeAt(places, route.Table, f).Routes++
			return nil
		})
		if err != nil {
			return nil, err
		}
		a.noteTorn(consistent, f)
	}
	tables := map[rpdb.TableID]bool{}
	for at := range places {
		tables[at.table] = true
	}
	for _, l := range r.links {
		tables[l.VRFTable] = true
	}
	delete(tables, rpdb.TableUnspec) // of links that are no VRFs
	head := a.tableHeads(r.links)
	list := []tableInfo{}
	for _, t := range slices.Sorted(maps.Keys(tables)) {
		info := tableInfo{head(t), []tableFamily{}}
		for _, f := range rpdb.Families() {
			if p := places[tablePlace{t, f}]; p != nil {
				p.State = p.state()
				if !r.knows(f, t) {
					p.State = tableUnknown
				}
				info.Families = append(info.Families, *p)
			}
		}
		list = append(list, info)
	}
	return list, nil
}

// noteTorn says that a list of routes may not be the state of any moment.
func (a *app) noteTorn(consistent bool, f rpdb.Family) {
	if !consistent {
		fmt.Fprintf(a.Err, "rpdb: the %v routes changed while they were read: some may be missing, or here twice\n", f)
	}
}

// placesOf returns the tables that rules lead to.
func placesOf(r *tableReader) map[tablePlace]*tableFamily {
	places := map[tablePlace]*tableFamily{}
	for _, rule := range r.rules {
		switch {
		case rule.Action.Type() != rpdb.ActionTable:
		case rule.Selector.L3MDev:
			for _, l := range r.links {
				if l.VRFTable != 0 {
					p := placeAt(places, l.VRFTable, rule.Family)
					p.L3MDev = append(p.L3MDev, rule.Priority)
				}
			}
		case rule.Action.Table() != rpdb.TableUnspec:
			p := placeAt(places, rule.Action.Table(), rule.Family)
			p.Rules = append(p.Rules, rule.Priority)
		}
	}
	return places
}

func placeAt(places map[tablePlace]*tableFamily, t rpdb.TableID, f rpdb.Family) *tableFamily {
	at := tablePlace{t, f}
	p := places[at]
	if p == nil {
		p = &tableFamily{Family: f, Rules: []rpdb.Priority{}, L3MDev: []rpdb.Priority{}}
		places[at] = p
	}
	return p
}

// tableHeads returns the function that tells what tables are called, and which
// interfaces are VRFs with them. Lines that cannot be read are told on standard
// error.
func (a *app) tableHeads(links []rpdb.Link) func(rpdb.TableID) tableHead {
	entries, err := a.files().Tables()
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(a.Err, "rpdb: note: %s\n", safe(strings.TrimRight(line, "\n")))
		}
	}
	last := map[rpdb.TableID]rttables.Entry{}
	for _, e := range entries {
		last[rpdb.TableID(e.ID)] = e
	}
	return func(t rpdb.TableID) tableHead {
		h := tableHead{Table: t, NameFrom: nameFromNowhere, VRFs: []rpdb.LinkName{}}
		if e, ok := last[t]; ok {
			h.Name, h.NameFrom, h.File, h.Line = e.Name, nameFromFile, e.Source, e.Line
		} else if name := (rpdb.Names{}).Table(t); !isNumber(name) {
			h.Name, h.NameFrom = name, nameFromBuiltin
		}
		for _, l := range links {
			if l.VRFTable == t {
				h.VRFs = append(h.VRFs, l.Name)
			}
		}
		return h
	}
}

// title names a table, and where its name is from.
func (t tableHead) title() []string {
	words := []string{fmt.Sprint(t.Table)}
	switch t.NameFrom {
	case nameFromFile:
		words = append(words, safe(t.Name), "("+safe(t.File)+")")
	case nameFromBuiltin:
		words = append(words, t.Name, "(built in)")
	default:
		words = append(words, "(no name)")
	}
	for _, name := range t.VRFs {
		words = append(words, "VRF "+safe(name))
	}
	return words
}

// viewTables prints each table with a line for each family that it is in.
func (a *app) viewTables(list []tableInfo, width int) error {
	w := newPrinter(a.Out)
	count := 0
	for _, t := range list {
		for _, f := range t.Families {
			count = max(count, len(f.content()))
		}
	}
	for _, t := range list {
		w.fill("", t.title(), width)
		if len(t.Families) == 0 {
			w.printf("  no route, and no rule leads here\n")
		}
		for _, f := range t.Families {
			w.fill(fmt.Sprintf("  %v  %*s  ", f.Family, count, f.content()), f.leads(), width)
		}
	}
	return w.err
}

func (f tableFamily) content() string {
	switch {
	case f.State == tableUnknown:
		return "not known"
	case f.Routes == 0:
		return "empty"
	}
	return fmt.Sprintf("%d %s", f.Routes, plural(f.Routes, "route", "routes"))
}

// manyRules is how many rules of a table are named.
const manyRules = 20

// leads lists the rules that lead to a table.
func (f tableFamily) leads() []string {
	var words []string
	add := func(kind string, list []rpdb.Priority) {
		if len(list) == 0 {
			return
		}
		words = append(words, kind+plural(len(list), "rule", "rules"))
		for i, p := range list {
			if i == manyRules && len(list) > manyRules+1 {
				words = append(words, fmt.Sprintf("and %d more", len(list)-i))
				return
			}
			words = append(words, fmt.Sprint(p))
		}
	}
	add("", f.Rules)
	add("l3mdev ", f.L3MDev)
	if len(words) == 0 {
		words = strings.Fields("no rule leads here")
	}
	return words
}
