package cli

import (
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"rpdb"
)

// completeTable offers one table, by name or number.
func (a *app) completeTable(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	v := a.newOffers(cmd.Context(), begun)
	if len(before) == 0 {
		v.addTables()
	}
	return v.list, noFiles
}

// completeTableName offers the numbers of tables that are in use and have no
// name. What they should be called is for the user to say.
func (a *app) completeTableName(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	v := a.newOffers(cmd.Context(), begun)
	if len(before) == 0 {
		tables := map[rpdb.TableID]string{}
		v.noteUse(tables)
		maps.DeleteFunc(tables, func(t rpdb.TableID, _ string) bool { return !isNumber(v.names.Table(t)) })
		addNumbered(v.offers, tables, v.names.Table)
	}
	return v.list, noFiles
}

// completeTableUnname offers the names that can go.
func (a *app) completeTableUnname(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	v := a.newOffers(cmd.Context(), begun)
	entries, _ := a.files().Tables() // what can be read is offered
	for _, e := range entries {
		if len(before) == 0 && e.Source == a.files().DropIn() {
			v.add(e.Name, fmt.Sprintf("table %d", e.ID))
		}
	}
	return v.list, noFiles
}
