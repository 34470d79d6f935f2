package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

func (a *app) tableShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME|NUMBER",
		Short: "one table: the rules that lead there, and its routes",
		Long: `show prints, for each family, the rules that lead to a table and the routes that
are in it, in the words of ip(8).`,
		Example: "  rpdb table show main",
		Args:    takes("NAME or NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.openTables(cmd.Context())
			if err != nil {
				return err
			}
			defer r.close()
			t, err := a.tableOf(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.tableJSON(cmd.Context(), r, t)
			}
			return a.viewTable(cmd.Context(), r, t)
		},
	}
	a.snapshotFlag(cmd)
	return cmd
}

// leadsTo reports whether a rule leads to a table.
func (r *tableReader) leadsTo(rule rpdb.Rule, t rpdb.TableID) bool {
	if rule.Action.Type() != rpdb.ActionTable {
		return false
	}
	if !rule.Selector.L3MDev {
		return rule.Action.Table() == t
	}
	for _, l := range r.links {
		if l.VRFTable == t {
			return true
		}
	}
	return false
}

// rulesTo returns the rules of a family that lead to a table.
func (r *tableReader) rulesTo(f rpdb.Family, t rpdb.TableID) []rpdb.Rule {
	var list []rpdb.Rule
	for _, rule := range r.rules {
		if rule.Family == f && r.leadsTo(rule, t) {
			list = append(list, rule)
		}
	}
	return list
}

// viewTable prints a table, its routes as they come.
func (a *app) viewTable(ctx context.Context, r *tableReader, t rpdb.TableID) error {
	out := bufio.NewWriter(a.Out) // of which a million lines may come
	w := newPrinter(out)
	w.fill("table ", a.tableHeads(r.links)(t).title(), a.width())
	v := newWords(r.linkName(), a.loadNames())
	for _, f := range rpdb.Families() {
		w.rulesTo(v, r.rulesTo(f, t), f)
		count := 0
		consistent, err := r.routes(ctx, f, t, func(route rpdb.Route) error {
			if count++; count == 1 {
				w.printf("%v routes\n", f)
			}
			w.printf("         %s\n", strings.ReplaceAll(v.route(route), "\n", "\n         "))
			return w.err
		})
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		a.noteTorn(consistent, f)
		switch {
		case count == 0 && !r.knows(f, t):
			w.printf("%v: routes not known\n", f)
		case count == 0:
			w.printf("%v: no route\n", f)
		}
	}
	return cmp.Or(w.err, out.Flush())
}

// rulesTo prints the rules of a family that lead to a table.
func (p *printer) rulesTo(v words, rules []rpdb.Rule, f rpdb.Family) {
	if len(rules) == 0 {
		p.printf("%v: no rule leads here\n", f)
		return
	}
	p.printf("%v rules\n", f)
	for _, rule := range rules {
		p.printf("%7d  %s\n", rule.Priority, v.rule(rule))
	}
}

// tableJSON writes a table as JSON: what it is called, and rules and routes in
// ip's own form, each with its family. Routes are written as they come.
func (a *app) tableJSON(ctx context.Context, r *tableReader, t rpdb.TableID) error {
	head, err := json.Marshal(struct {
		Version int `json:"version"`
		tableHead
	}{1, a.tableHeads(r.links)(t)})
	if err != nil {
		return err
	}
	w := newPrinter(a.Out)
	w.printf("%s,\"rules\":", strings.TrimSuffix(string(head), "}"))
	names := a.loadNames()
	view := iproute2.RuleView{Names: names, Family: true}
	rules := ipjson.NewWriter(a.Out, false)
	for _, f := range rpdb.Families() {
		for _, rule := range r.rulesTo(f, t) {
			rules.Begin()
			view.Fields(rule, rules)
			rules.End()
		}
	}
	if err := rules.Close(); err != nil {
		return err
	}
	w.printf(",\"routes\":")
	routes := ipjson.NewWriter(a.Out, false)
	lister := iproute2.NewRouteLister(iproute2.RouteView{Names: names, LinkName: r.linkName(), Exact: true})
	for _, f := range rpdb.Families() {
		consistent, err := r.routes(ctx, f, t, func(route rpdb.Route) error {
			routes.Begin()
			lister.Fields(&iproute2.RouteEntry{Route: route}, routes)
			routes.End()
			return nil
		})
		if err != nil {
			return err
		}
		a.noteTorn(consistent, f)
	}
	if err := routes.Close(); err != nil {
		return err
	}
	w.printf("}\n")
	return w.err
}
