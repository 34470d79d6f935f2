package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format/snapshot"
)

// The values of --redact.
const (
	redactAddresses = "addresses"
	redactNames     = "names"
)

func (a *app) snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "keep the state of a host in a file, for questions elsewhere or later",
		Args:  noWords,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.snapshotSaveCommand())
	return cmd
}

func (a *app) snapshotSaveCommand() *cobra.Command {
	var redact string
	cmd := &cobra.Command{
		Use:   "save FILE",
		Short: "write rules, tables, links, addresses, neighbours, nexthops and settings to a file",
		Long: `save packs everything that routing decisions depend on into one compressed
file. Every command with --snapshot reads it, on any machine, and answers as it
would have answered here and now.

With --redact the file is fit for strangers: every address is replaced, in the
same way everywhere, so that the engine decides as before; tunnels and unknown
attributes are blanked. The replacements are not written down, and are others
each time. --redact=names replaces the names of interfaces too.`,
		Example: "  rpdb snapshot save host.rpdb\n  rpdb explain 203.0.113.10 --snapshot host.rpdb\n  rpdb snapshot save --redact - > for-the-list.rpdb",
		Args:    oneFile("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.saveSnapshot(cmd.Context(), args[0], redact)
		},
	}
	cmd.Flags().StringVar(&redact, "redact", "", "replace addresses, or with `WHAT`=names addresses and interface names")
	cmd.Flags().Lookup("redact").NoOptDefVal = redactAddresses
	a.snapshotFlag(cmd)
	return cmd
}

func completeRedact(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{
		cobra.CompletionWithDesc(redactAddresses, "replace every address"),
		cobra.CompletionWithDesc(redactNames, "the names of interfaces too"),
	}, noFiles
}

func (a *app) saveSnapshot(ctx context.Context, name, redact string) error {
	if redact != "" && redact != redactAddresses && redact != redactNames {
		return &usageError{fmt.Sprintf("--redact: %q is neither %q nor %q", redact, redactAddresses, redactNames), `see "rpdb snapshot save --help"`}
	}
	if name == "-" && isTerminal(a.Out.(*answer).w) {
		return &usageError{"snapshot save: not writing a binary file to the terminal", "name a file, or direct the output to one"}
	}
	s, conn, err := a.state(ctx)
	if err != nil {
		return err
	}
	if conn != nil {
		defer conn.Close()
	}
	if redact != "" {
		var key snapshot.Key
		_, _ = rand.Read(key[:]) // never fails
		s = snapshot.NewRedactor(key, redact == redactNames).Snapshot(s)
	}
	if name == "-" {
		return snapshot.Write(a.Out, s)
	}
	if err := writeWhole(name, func(w io.Writer) error { return snapshot.Write(w, s) }); err != nil {
		return err
	}
	return a.viewSaved(name, s)
}

// viewSaved says what is in the file.
func (a *app) viewSaved(name string, s *rpdb.Snapshot) error {
	w := newPrinter(a.Out)
	count := func(n int, one, many string) string { return fmt.Sprintf("%d %s", n, plural(n, one, many)) }
	w.wrap(fmt.Sprintf("saved to %s: %s, %s, %s, %s, %s, %s", safe(name),
		count(len(s.Rules), "rule", "rules"), count(len(s.Routes), "route", "routes"), count(len(s.Links), "interface", "interfaces"),
		count(len(s.Addresses), "address", "addresses"), count(len(s.Neighbours), "neighbour", "neighbours"),
		count(len(s.Nexthops), "nexthop object", "nexthop objects")))
	return w.err
}

// writeWhole writes a file that nobody but its owner reads, and that is there
// whole or, as long as the writing fails, as it was before.
func writeWhole(name string, write func(io.Writer) error) error {
	return replaceFile(name, func(f *os.File) error { return write(f) })
}

// replaceFile is writeWhole for a file whose mode and owner are set by write.
func replaceFile(name string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // of mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", safe(name), causeOf(err))
	}
	defer os.Remove(f.Name()) // nothing is there after the renaming
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", safe(name), causeOf(err))
	}
	return nil
}

// causeOf returns what is inside an error of the file system, whose own text
// names a file that nobody knows.
func causeOf(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
