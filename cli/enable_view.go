package cli

import (
	"context"
	"strings"

	"rpdb/boot"
)

// systemctl asks a running systemd. If that fails it is for the user to do: the
// files are there, and the next boot reads them.
func (e *enabling) systemctl(ctx context.Context, args ...string) {
	line := "systemctl " + strings.Join(args, " ")
	if err := boot.Systemctl(ctx, args...); err != nil {
		e.note("to be done by hand, as it failed (%v): %s", err, line)
		return
	}
	e.note("done: %s", line)
}

func (e *enabling) view(on bool) error {
	if e.json {
		e.doc.Files = list(e.doc.Files)
		return e.printJSON(e.doc)
	}
	w := newPrinter(e.Out)
	signs := map[boot.Verb]string{boot.Write: "+", boot.Replace: "~", boot.Remove: "-", boot.Keep: "=", boot.Leave: "!"}
	for _, f := range e.doc.Files {
		what := f.What
		if f.Why != "" {
			what = f.Why
		}
		if what != "" {
			what = "  " + what
		}
		w.printf("  %s %s%s\n", signs[f.Do], f.Path, what)
	}
	switch n := e.doc.changes; {
	case n > 0 && e.dryRun:
		w.printf("%d %s; nothing was done.\n", n, plural(n, "file would be changed", "files would be changed"))
	case n > 0:
		w.printf("%d %s.\n", n, plural(n, "file was changed", "files were changed"))
	case on:
		w.printf("Nothing to change.\n")
	default:
		w.printf("Nothing to take away.\n")
	}
	for _, note := range e.doc.Notes {
		text, line, _ := strings.Cut(note, "\n") // a line for a file stands as it is
		w.wrap("note: " + safe(text))
		if line != "" {
			w.printf("      %s\n", safe(line))
		}
	}
	return w.err
}
