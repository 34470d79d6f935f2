package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/analysis"
	"rpdb/analysis/passes"
)

// showDocument is the JSON of show: the snapshot is what --snapshot reads.
type showDocument struct {
	Version  int                   `json:"version"`
	Snapshot *rpdb.Snapshot        `json:"snapshot"`
	Findings []analysis.Diagnostic `json:"findings"`
}

func (a *app) showCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "the RPDB of this host, both families: rules, what each table holds, what is odd",
		Args:  noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, conn, err := a.state(cmd.Context())
			if err != nil {
				return err
			}
			if conn != nil {
				defer conn.Close()
			}
			findings, err := analysis.Run(s, passes.All())
			if err != nil {
				return err
			}
			findings = a.shownFindings(s, findings)
			if a.json {
				return a.printJSON(showDocument{Version: 1, Snapshot: s, Findings: list(findings)})
			}
			return a.viewShow(a.shownState(s), findings, all)
		},
	}
	a.rawFlag(cmd)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "list every route, also those of the local table and of long tables")
	a.snapshotFlag(cmd)
	return cmd
}

// longTable is how many routes of a table are listed without --all.
const longTable = 20

func (a *app) viewShow(s *rpdb.Snapshot, findings []analysis.Diagnostic, all bool) error {
	w := newPrinter(a.Out)
	v := newWords(s.LinkName, a.loadNames())
	v.nat = s.NAT.Translations
	for _, f := range rpdb.Families() {
		w.printf("%v rules\n", f)
		for _, r := range s.RulesOf(f) {
			w.printf("%7d  %s\n", r.Priority, v.rule(r))
		}
		routes := routesByTable(s, f)
		for _, t := range tablesOf(s, f) {
			if title := fmt.Sprintf("%v table %s", f, v.table(t)); s.Lacks(f, t) {
				w.printf("%s: not known\n", title)
			} else {
				w.table(v, title, routes[t], all)
			}
		}
		w.printf("\n")
	}
	w.nat(s)
	if len(findings) == 0 {
		w.printf("Nothing odd.\n")
		return w.err
	}
	w.printf("Odd\n")
	for _, d := range findings {
		w.finding(d)
	}
	return w.err
}

// tablesOf returns the tables that rules lead to or that hold routes, the ones
// that rules lead to first and in the order of the walk.
func tablesOf(s *rpdb.Snapshot, f rpdb.Family) []rpdb.TableID {
	var tables []rpdb.TableID
	seen := map[rpdb.TableID]bool{rpdb.TableUnspec: true}
	add := func(t rpdb.TableID) {
		if !seen[t] {
			seen[t] = true
			tables = append(tables, t)
		}
	}
	for _, r := range s.RulesOf(f) {
		if r.Action.Type() == rpdb.ActionTable {
			add(r.Action.Table())
		}
	}
	for _, t := range slices.Sorted(maps.Keys(routesByTable(s, f))) {
		add(t)
	}
	return tables
}

// routesByTable returns the routes of a family by their tables.
func routesByTable(s *rpdb.Snapshot, f rpdb.Family) map[rpdb.TableID][]rpdb.Route {
	tables := map[rpdb.TableID][]rpdb.Route{}
	for _, r := range s.Routes {
		if r.Family == f {
			tables[r.Table] = append(tables[r.Table], r)
		}
	}
	return tables
}

// table prints what a table holds. The local table is counted rather than
// listed, as its routes follow from the addresses.
func (p *printer) table(v words, title string, routes []rpdb.Route, all bool) {
	switch {
	case len(routes) == 0:
		p.printf("%s: empty\n", title)
		return
	case routes[0].Table == rpdb.TableLocal && !all:
		p.printf("%s: %d %s (--all lists them)\n", title, len(routes), plural(len(routes), "route", "routes"))
		return
	}
	p.printf("%s\n", title)
	for i, r := range routes {
		if !all && i == longTable && len(routes) > longTable+1 {
			p.printf("         ... and %d more (--all lists them)\n", len(routes)-i)
			return
		}
		p.printf("         %s\n", strings.ReplaceAll(v.route(r), "\n", "\n         "))
	}
}

func (p *printer) finding(d analysis.Diagnostic) {
	where := ""
	if d.Family != 0 {
		where = d.Family.String() + ": "
	}
	p.say(fmt.Sprintf("  %v: ", d.Severity), "%s%s", where, safe(d.Message))
	if d.Reason != "" {
		p.say("        ", "%s", safe(d.Reason))
	}
}
