package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format/rttables"
)

func (a *app) tableCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "table",
		Short: "routing tables: which there are, what they are called, what leads to them",
		Long: `A table is a number that routes carry and rules lead to. It exists as soon as a
route is in it, for each family apart, and its name is only a line in a file.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.tableListCommand(), a.tableShowCommand(), a.tableNameCommand(), a.tableUnnameCommand())
	return cmd
}

func (a *app) tableNameCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "name NUMBER NAME",
		Short: "give a table a name, in a file of rpdb's own",
		Long: `name adds a line to rt_tables.d/rpdb.conf, which ip(8) reads too. No other file
is touched. A table that has the name already keeps it, and nothing is written.`,
		Example: "  rpdb table name 101 isp-a",
		Args:    takes("NUMBER", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			table, err := rttables.ParseNumber(args[0])
			if err != nil {
				hint := ""
				if _, swapped := rttables.ParseNumber(args[1]); swapped == nil {
					hint = "the number comes first"
				}
				return &usageError{"table name: " + err.Error(), hint}
			}
			return clashHint(a.files().DropIn(), a.files().NameTable(cmd.Context(), table, args[1]))
		},
	}
}

// clashHint adds to a refusal what can be done about it.
func clashHint(dropIn string, err error) error {
	var refused *rttables.NameError
	if errors.As(err, &refused) && refused.Op == "name" && refused.Clash.Source == dropIn {
		return &hintedError{err, fmt.Sprintf("\"rpdb table unname %s\" takes that name away", refused.Clash.Name)}
	}
	return err
}

// hintedError is an error with what to do about it.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// Hint says what to do.
func (e *hintedError) Hint() string { return e.hint }

func (a *app) tableUnnameCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unname NAME|NUMBER",
		Short:   "take a name away that \"table name\" gave",
		Long:    `unname removes a line of rt_tables.d/rpdb.conf. Names that other files give stay.`,
		Example: "  rpdb table unname isp-a",
		Args:    takes("NAME or NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.files().UnnameTable(cmd.Context(), args[0])
			if errors.As(err, new(*rttables.UnknownNameError)) {
				entries, _ := a.files().Tables()
				return &hintedError{err, nearHint(args[0], entryNames(entries))}
			}
			return err
		},
	}
}

// entryNames returns the names of entries, each once and in order.
func entryNames(entries []rttables.Entry) []string {
	var list []string
	for _, e := range entries {
		list = append(list, e.Name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// nearHint asks whether one of the names that are near was meant.
func nearHint(word string, known []string) string {
	near := rpdb.NearWords(word, known)
	if len(near) == 0 {
		return `"rpdb table list" shows the tables and their names`
	}
	quoted := make([]string, min(3, len(near)))
	for i := range quoted {
		quoted[i] = fmt.Sprintf("%q", near[i])
	}
	return "did you mean " + strings.Join(quoted, " or ") + "?"
}
