package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

func (a *app) nexthopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nexthop",
		Short: "nexthop objects and groups, and what uses them",
		Long: `A nexthop object is a gateway, an interface or a group of them under a number of
its own (nhid) that many routes can share. "ip nexthop" makes and deletes them.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.nexthopListCommand())
	return cmd
}

func (a *app) nexthopListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "every nexthop object and group, and the groups and tables that use it",
		Long: `list prints nexthop objects in the words of "ip nexthop", and below each how many
routes of which table use it and which groups it is in.`,
		Args: takes(),
		RunE: a.withTables(func(ctx context.Context, r *tableReader) error {
			uses, err := a.nexthopUses(ctx, r)
			if err != nil {
				return err
			}
			if a.json {
				return a.nexthopJSON(r, uses)
			}
			return a.viewNexthops(r, uses)
		}),
	}
	a.snapshotFlag(cmd)
	return cmd
}

// nexthopUse is what uses a nexthop object: groups, and routes by their table
// and family.
type nexthopUse struct {
	groups []uint32
	routes map[tablePlace]int
}

// places returns the tables of a family whose routes use the object, the
// smallest first.
func (u *nexthopUse) places(f rpdb.Family) []tablePlace {
	list := slices.SortedFunc(maps.Keys(u.routes), func(a, b tablePlace) int { return cmp.Compare(a.table, b.table) })
	return slices.DeleteFunc(list, func(p tablePlace) bool { return p.family != f })
}

// nexthopUses finds out what uses each object. Routes are counted as they pass
// by, and not read at all where there are no objects.
func (a *app) nexthopUses(ctx context.Context, r *tableReader) (map[uint32]*nexthopUse, error) {
	uses := map[uint32]*nexthopUse{}
	for _, o := range r.nexthops {
		uses[o.ID] = &nexthopUse{routes: map[tablePlace]int{}}
	}
	for _, o := range r.nexthops {
		for _, m := range o.Group {
			if u := uses[m.ID]; u != nil {
				u.groups = append(u.groups, o.ID)
			}
		}
	}
	for _, f := range rpdb.Families() {
		if len(uses) == 0 {
			break
		}
		consistent, err := r.routes(ctx, f, 0, func(route rpdb.Route) error {
			if u := uses[route.NexthopID]; u != nil {
				u.routes[tablePlace{route.Table, f}]++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		a.noteTorn(consistent, f)
	}
	return uses, nil
}

// viewNexthops prints each object as ip does, and below it what uses it.
func (a *app) viewNexthops(r *tableReader, uses map[uint32]*nexthopUse) error {
	w := newPrinter(a.Out)
	names := a.loadNames()
	view := iproute2.RouteView{Names: names, LinkName: r.linkName()}
	if len(r.nexthops) == 0 {
		w.printf("There are no nexthop objects.\n")
	}
	for _, o := range r.nexthops {
		w.printf("%s\n", safe(strings.TrimRight(view.NexthopObject(o), " ")))
		w.fill("    used by ", uses[o.ID].words(names), a.width())
	}
	return w.err
}

// words lists what uses an object.
func (u *nexthopUse) words(names rpdb.Names) []string {
	var parts [][]string
	for _, f := range rpdb.Families() {
		for _, p := range u.places(f) {
			n := u.routes[p]
			parts = append(parts, []string{
				fmt.Sprint(n), f.String(), plural(n, "route", "routes"), "of", "table", safe(names.Table(p.table)),
			})
		}
	}
	for i, id := range u.groups {
		part := []string{fmt.Sprint(id)}
		if i == 0 {
			part = []string{plural(len(u.groups), "group", "groups"), part[0]}
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return []string{"nothing"}
	}
	for _, part := range parts[:len(parts)-1] {
		part[len(part)-1] += ","
	}
	return slices.Concat(parts...)
}

// nexthopJSON writes the objects in ip's own form, each with what uses it under
// a key of ours.
func (a *app) nexthopJSON(r *tableReader, uses map[uint32]*nexthopUse) error {
	names := a.loadNames()
	view := iproute2.RouteView{Names: names, LinkName: r.linkName(), Exact: true}
	p := newPrinter(a.Out)
	p.printf("{\"version\":1,\"nexthops\":")
	w := ipjson.NewWriter(a.Out, false)
	for _, o := range r.nexthops {
		w.Begin()
		view.NexthopFields(o, w)
		uses[o.ID].fields(names, w)
		w.End()
	}
	if err := w.Close(); err != nil {
		return err
	}
	p.printf("}\n")
	return p.err
}

// fields writes what uses an object.
func (u *nexthopUse) fields(names rpdb.Names, w *ipjson.Writer) {
	w.Open("used_by", '{')
	w.Open("groups", '[')
	for _, id := range u.groups {
		w.Number("", "", fmt.Sprint(id))
	}
	w.End()
	w.Open("tables", '[')
	for _, f := range rpdb.Families() {
		for _, p := range u.places(f) {
			family, _ := f.MarshalText() // no family fails
			w.Begin()
			w.String("family", "", string(family))
			w.Number("table", "", fmt.Sprint(p.table))
			if name := names.Table(p.table); !isNumber(name) {
				w.String("name", "", name)
			}
			w.Number("routes", "", fmt.Sprint(u.routes[p]))
			w.End()
		}
	}
	w.End()
	w.End()
}
