package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/cli/bundle"
	"rpdb/format"
	"rpdb/format/ifupdown"
	"rpdb/format/ipbatch"
	"rpdb/format/netplan"
	"rpdb/format/networkd"
	"rpdb/format/nmkeyfile"
	"rpdb/policy"
)

// importer is a notation that a policy can be imported from.
type importer struct {
	name, about string
	read        func(a *app, files []format.File) (*rpdb.Snapshot, rpdb.Names, error)
}

func importers() []importer {
	of := func(read func([]format.File) (*rpdb.Snapshot, rpdb.Names, error)) func(*app, []format.File) (*rpdb.Snapshot, rpdb.Names, error) {
		return func(_ *app, files []format.File) (*rpdb.Snapshot, rpdb.Names, error) { return read(files) }
	}
	return []importer{
		{"ifupdown", "stanzas of interfaces(5)", of(ifupdown.Read)},
		{"ip", "what ip rule, ip route and their like list", (*app).readListing},
		{"ip-batch", "files for ip -batch", of(ipbatch.Read)},
		{"netplan", "YAML of netplan", of(netplan.Read)},
		{"networkd", ".network files of systemd-networkd", of(networkd.Read)},
		{"nmkeyfile", "connections of NetworkManager", of(nmkeyfile.Read)},
	}
}

// importWords are the names of all importers.
func importWords() (words []string) {
	for _, s := range importers() {
		words = append(words, s.name)
	}
	return words
}

func (a *app) importCommand() *cobra.Command {
	var table strings.Builder
	for _, s := range importers() {
		fmt.Fprintf(&table, "  %-10s %s\n", s.name, s.about)
	}
	cmd := &cobra.Command{
		Use:   "import FORMAT FILE...",
		Short: "write a policy of what the files of another system say",
		Long: "import prints a policy that means the rules and tables that the files of another\n" +
			"system describe. FILE may be - for standard input, and FORMAT is one of:\n\n" + table.String() + `
Rules keep their priorities, but for those from 10000 to 29999, which a policy
numbers itself, in the same order. Addresses and the routes of the tables main,
local and default are no part of a policy: they stay with whoever sets the
interfaces up. Files called rt_tables, and those of a directory rt_tables.d, say
what names tables have.

What is not understood is an error with file and line; what a policy cannot say
is listed with the reason; in both cases nothing is printed.

Exit codes: 0 done; 1 an error, or something cannot be said.`,
		Example: "  rpdb import networkd /etc/systemd/network/*.network > policy.yaml\n  rpdb import ip listing.txt",
		Args: func(_ *cobra.Command, args []string) error {
			hint := `see "rpdb import --help"`
			switch {
			case len(args) == 0:
				return &usageError{"import: one FORMAT is needed: " + strings.Join(importWords(), ", "), hint}
			case !slices.Contains(importWords(), args[0]):
				return &usageError{fmt.Sprintf("import: %q is no format", args[0]), "one of " + strings.Join(importWords(), ", ")}
			case len(args) == 1:
				return &usageError{"import: a FILE is missing", hint}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.importFiles(cmd.Context(), args[0], args[1:]); err != nil {
				return fmt.Errorf("import: %w", err)
			}
			return nil
		},
	}
	return cmd
}

func (a *app) importFiles(ctx context.Context, word string, paths []string) error {
	var files []format.File
	for _, p := range paths {
		if p == "-" && slices.ContainsFunc(files, func(f format.File) bool { return f.Path == inputName("-") }) {
			return &usageError{text: "standard input can be read once only"}
		}
		var data []byte
		err := a.withFile(ctx, p, func(r io.Reader) (err error) {
			data, err = readBounded(r, p, maxText)
			return err
		})
		if err != nil {
			return err
		}
		files = append(files, format.File{Path: inputName(p), Text: string(data)})
	}
	from := importers()[slices.Index(importWords(), word)]
	s, names, err := from.read(a, files)
	if err != nil {
		return err
	}
	adoption := policy.FromFiles(s)
	adoption.Head = append([]string{"What " + strings.Join(paths, ", ") + " " + plural(len(paths), "says", "say") + " (" + from.name + "): see rpdb-policy(5)."}, adoption.Head...)
	return a.viewAdopted(s, names, adoption)
}

// readListing reads what commands of ip have listed.
func (a *app) readListing(files []format.File) (*rpdb.Snapshot, rpdb.Names, error) {
	if len(files) > 1 {
		return nil, rpdb.Names{}, &usageError{"listings of ip are read from one file", "put them into one, one after the other"}
	}
	result, err := bundle.Read(files[0].Text, rpdb.Names{})
	if err != nil {
		return nil, rpdb.Names{}, &textError{files[0].Path, err}
	}
	for _, line := range result.Assumed {
		newPrinter(a.Err).wrap("assumed: " + safe(line))
	}
	return result.Snapshot, result.Names, nil
}

// completeImport offers formats, and files behind one.
func completeImport(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(before) > 0 {
		return anyFile(cmd, before, begun)
	}
	return completeWords(importWords()...)(cmd, before, begun)
}
