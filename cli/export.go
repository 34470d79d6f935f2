package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format"
	"rpdb/format/ifupdown"
	"rpdb/format/ipbatch"
	"rpdb/format/netplan"
	"rpdb/format/networkd"
	"rpdb/format/nmkeyfile"
)

// notation is what a policy can be exported to.
type notation struct {
	name, about string
	// oldest and example are versions of the program that reads it, 0 where
	// none makes a difference.
	oldest, example int
	// whole says that it says all that an interface has. The others add to what
	// is there.
	whole bool
	// mainFirst says that it has words for a rule that looks up table main without
	// its default routes.
	mainFirst bool
	mode      fs.FileMode // of its files, but for names of tables beside them
	write     func(s *rpdb.Snapshot, n rpdb.Names, version int, leases []format.Lease) ([]format.File, []format.Loss)
}

func notations() []notation {
	return []notation{
		{
			name: "ifupdown", about: "stanzas of interfaces(5), to be read behind all others", mainFirst: true, mode: 0o644,
			write: func(s *rpdb.Snapshot, n rpdb.Names, _ int, leases []format.Lease) ([]format.File, []format.Loss) {
				return ifupdown.Write(s, n, ifupdown.Options{Leases: leases})
			},
		},
		{
			name: "ip-batch", about: "files for ip -batch", mainFirst: true, mode: 0o644,
			write: func(s *rpdb.Snapshot, n rpdb.Names, _ int, leases []format.Lease) ([]format.File, []format.Loss) {
				return ipbatch.Write(s, n, ipbatch.Options{Leases: leases})
			},
		},
		{
			name: "networkd", about: ".network files of systemd-networkd", oldest: networkd.Oldest, example: 257, whole: true, mainFirst: true, mode: 0o644,
			write: func(s *rpdb.Snapshot, n rpdb.Names, version int, leases []format.Lease) ([]format.File, []format.Loss) {
				return networkd.Write(s, n, networkd.Options{Version: version, Leases: leases})
			},
		},
		{
			name: "netplan", about: "YAML of netplan, rendered by systemd-networkd", whole: true, mode: 0o600,
			write: func(s *rpdb.Snapshot, n rpdb.Names, _ int, leases []format.Lease) ([]format.File, []format.Loss) {
				return netplan.Write(s, n, netplan.Options{Leases: leases})
			},
		},
		{
			name: "nmkeyfile", about: "profiles of NetworkManager 1.42 or later", whole: true, mainFirst: true, mode: 0o600,
			write: func(s *rpdb.Snapshot, n rpdb.Names, _ int, leases []format.Lease) ([]format.File, []format.Loss) {
				return nmkeyfile.Write(s, n, nmkeyfile.Options{Leases: leases})
			},
		},
	}
}

// notationWords are the names of all notations.
func notationWords() (words []string) {
	for _, n := range notations() {
		words = append(words, n.name)
	}
	return words
}

// completeVersions offers the versions that make a difference to the format.
func completeVersions(_ *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	o := offers{begun: begun}
	for _, n := range notations() {
		if n.oldest != 0 && (len(before) == 0 || before[0] == n.name) {
			o.add(strconv.Itoa(n.oldest), "the oldest of "+n.name)
			o.add(strconv.Itoa(n.example), n.name)
		}
	}
	return o.list, noFiles
}

// exportOptions are the options of export.
type exportOptions struct {
	policy, version, dir string
	lossy                bool
}

func (a *app) exportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export FORMAT",
		Short: "the confirmed policy in another system's words",
		Long: `export prints the files by which another system has the rules and routes of
the confirmed generation, as its policy means them here and now, or writes them
below a directory. FORMAT is one of:

` + notationTable() + `
The rules are a plain list, numbered from 10010, and all objects become static
(rules of ifupdown of the protocol 83, so that the lines which delete them hit no
other's): rpdb has no part in them. Systems that say all of an interface also get
its static addresses, its group where a rule needs it, and the routes of the main
table that somebody added by hand; the files take the place of those that
describe it now. Where addresses or gateways come by DHCP or router advertisement,
networkd and, for DHCP, ifupdown get what follows them, and the others what says
so.

What the format cannot say is never written as something else: each rule, route
or address that is lost is listed with the reason, and nothing is written but
with --lossy. Check what a rule that is lost means for those behind it.

Exit codes: 0 done; 1 an error, or something would be lost: nothing is written.`,
		Example: "  rpdb export networkd --for 257\n  rpdb export ip-batch -o backup\n  rpdb export networkd --policy new.yaml --snapshot host.json.gz",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{"export: one FORMAT is needed: " + strings.Join(notationWords(), ", "), `see "rpdb export --help"`}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.fromFile() && o.policy == "" {
				return &usageError{"export: of a state from a file no generation is recorded", "name a policy with --policy"}
			}
			return a.export(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().StringVar(&o.policy, "policy", "", "export the policy in `FILE`, not the one that is confirmed; - is standard input")
	cmd.Flags().StringVar(&o.version, "for", "", "write for `VERSION` of the program that reads it, or a newer one (default: the oldest that is known)")
	cmd.Flags().StringVarP(&o.dir, "output", "o", "", "write the files below `DIR`, which must have none of them, instead of printing them")
	cmd.Flags().BoolVar(&o.lossy, "lossy", false, "write what can be said, and list what is lost")
	a.snapshotFlag(cmd)
	a.stateFlag(cmd)
	return cmd
}

// notationTable lists the notations for --help.
func notationTable() string {
	var b strings.Builder
	for _, n := range notations() {
		fmt.Fprintf(&b, "  %-10s %s", n.name, n.about)
		if n.oldest != 0 {
			fmt.Fprintf(&b, "; --for %d or later", n.oldest)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// choose returns the notation that was asked for, and the version.
func (o exportOptions) choose(word string) (notation, int, error) {
	all := notations()
	at := slices.IndexFunc(all, func(n notation) bool { return n.name == word })
	if at < 0 {
		return notation{}, 0, &usageError{fmt.Sprintf("export: %q is no format", word), "one of " + strings.Join(notationWords(), ", ")}
	}
	n := all[at]
	if o.version == "" {
		return n, 0, nil
	}
	if n.oldest == 0 {
		return n, 0, &usageError{fmt.Sprintf("export: --for: %s is the same for all versions", n.name), "leave it out"}
	}
	version, err := strconv.Atoi(o.version)
	if err != nil || version < n.oldest {
		return n, 0, &usageError{fmt.Sprintf("export: --for: %q is no version that %s is written for", o.version, n.name), fmt.Sprintf("%d or later, as in --for %d", n.oldest, n.example)}
	}
	return n, version, nil
}

// exported is the JSON of export.
type exported struct {
	Version int    `json:"version"`
	Format  string `json:"format"`
	// Generation is the one that was exported, 0 for a policy file.
	Generation uint64        `json:"generation,omitzero"`
	Files      []format.File `json:"files"`
	Losses     []format.Loss `json:"losses"`
	// Refused says that nothing was written, because of what would be lost.
	Refused bool `json:"refused"`
}

func (a *app) export(ctx context.Context, word string, o exportOptions) error {
	to, version, err := o.choose(word)
	if err != nil {
		return err
	}
	what, err := a.exportable(ctx, o.policy)
	if err != nil {
		return err
	}
	out, err := what.set(to)
	if err != nil {
		return err
	}
	files, lost := to.write(out.snapshot, what.names, version, out.leases)
	doc := exported{Version: 1, Format: to.name, Generation: what.generation, Files: list(files), Losses: list(append(out.losses, lost...))}
	if doc.Refused = len(doc.Losses) > 0 && !o.lossy; doc.Refused {
		doc.Files = list[format.File](nil)
	}
	if o.dir != "" {
		if err := writeBelow(o.dir, doc.Files, to.mode); err != nil {
			return err
		}
	}
	return errors.Join(a.viewExport(doc, o), a.refusal(doc))
}

// refusal is the error of an export that would lose something.
func (a *app) refusal(doc exported) error {
	switch {
	case !doc.Refused:
		return nil
	case a.json:
		return &codeError{code: exitFailed}
	}
	n := len(doc.Losses)
	return &usageError{
		fmt.Sprintf("export: %d %s cannot be said in %s: nothing is written", n, plural(n, "thing", "things"), doc.Format),
		"--lossy writes the rest",
	}
}

func (a *app) viewExport(doc exported, o exportOptions) error {
	if a.json {
		return a.printJSON(doc)
	}
	e := newPrinter(a.Err)
	for _, l := range doc.Losses {
		e.printf("lost: %s\n      %s\n", safe(l.Object), safe(l.Reason))
	}
	w := newPrinter(a.Out)
	for i, f := range doc.Files {
		switch {
		case o.dir != "":
			w.printf("%s\n", safe(filepath.Join(o.dir, f.Path)))
			continue
		case i > 0:
			w.printf("\n")
		}
		w.printf("# %s\n%s", safe(f.Path), f.Text)
	}
	if len(doc.Files) == 0 && !doc.Refused {
		e.printf("note: there is nothing to write\n")
	}
	return errors.Join(w.err, e.err)
}

// writeBelow writes files below a directory, all or none: it makes nothing if
// one of them is there already.
func writeBelow(dir string, files []format.File, mode fs.FileMode) error {
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = fmt.Errorf("write %s: it is there already", path)
			}
			return err
		}
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := mode
		if strings.HasPrefix(f.Path, "/etc/iproute2/") { // which everybody's ip reads
			mode = 0o644
		}
		if err := writeNew(path, f.Text, mode); err != nil {
			return err
		}
	}
	return nil
}

// writeNew writes a file that must not be there.
func writeNew(path, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
