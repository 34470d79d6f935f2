package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

func main() {
	// A signal ends the command that is under way, and with it the row, so that the
	// worlds and the files end too: a full table is a hundred megabytes of them. A
	// second one ends all at once.
	signal.Ignore(unix.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rows, docs, root string
	list             bool
	env              env
}

func parse(args []string, complaints io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(complaints)
	f.StringVar(&o.rows, "rows", "", "run the rows whose names begin with this regular `expression` (default: all)")
	f.BoolVar(&o.list, "list", false, "list the rows and end")
	f.IntVar(&o.env.rounds, "rounds", 5, "turns of each contestant")
	f.IntVar(&o.env.scale, "scale", 1, "divide all sizes by this `number`")
	f.StringVar(&o.root, "root", "..", "the `folder` of the project, to build its programs in")
	f.StringVar(&o.env.data, "data", "", "the `folder` of bgp-prefixes.txt.gz (default: ../shared/data beside the project)")
	f.StringVar(&o.env.peer, "ip", "ip", "the `program` that is the peer")
	f.StringVar(&o.docs, "docs", "", "write benchmarks.md and its plot into this `folder`, whatever was run (default: docs of the project, if all was)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.env.rounds < 1 || o.env.scale < 1:
		return o, fmt.Errorf("-rounds and -scale must be at least 1")
	}
	if o.env.data == "" {
		o.env.data = filepath.Join(o.root, "..", "shared", "data")
	}
	if o.docs == "" && o.rows == "" && o.env.scale == 1 {
		o.docs = filepath.Join(o.root, "docs")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	some, err := selected(o.rows)
	if err != nil {
		return err
	}
	if o.list {
		for _, r := range some {
			fmt.Fprintf(out, "%-16s %s\n", r.name, r.about)
		}
		return nil
	}
	e := &o.env
	e.ctx = ctx
	e.log = func(format string, args ...any) { fmt.Fprintf(progress, format+"\n", args...) }
	if e.tmp, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	defer os.RemoveAll(e.tmp)
	if err := e.build(o.root); err != nil {
		return err
	}
	m := e.machine()
	lines := e.measure(some)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("interrupted, nothing is written: %w", err)
	}
	m.After = load()
	if err := e.report(o.docs, m, lines, out); err != nil {
		return err
	}
	if slices.ContainsFunc(lines, func(l Line) bool { return l.Err != nil }) {
		return fmt.Errorf("lines failed: see above")
	}
	return nil
}

// build builds what is measured, and finds the peer.
func (e *env) build(root string) error {
	peer, err := exec.LookPath(e.peer)
	if err != nil {
		return err
	}
	e.peer, e.ip, e.rpdb = peer, e.file("ip"), e.file("rpdb")
	for _, program := range []string{e.ip, e.rpdb} {
		if err := install(e.ctx, root, program); err != nil {
			return fmt.Errorf("build %s: %w", filepath.Base(program), err)
		}
	}
	return nil
}

// install builds a program as the Makefile does and copies it to its place, as
// install(1) would: what lies where the linker wrote it is in smaller pieces of the
// page cache, and starts a quarter slower.
func install(ctx context.Context, root, program string) error {
	linked := program + ".linked"
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", linked, "./cmd/"+filepath.Base(program))
	c.Dir = root
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	binary, err := os.ReadFile(linked)
	if err != nil {
		return err
	}
	return os.WriteFile(program, binary, 0o755)
}

// pagesOfOthers returns the pages beside ours that were put aside, each of another
// machine: what a list of rules costs the kernel differs more between them than between
// programs.
func pagesOfOthers(docs string) (names []string, err error) {
	names, err = filepath.Glob(filepath.Join(docs, "benchmarks-*.md"))
	for i, name := range names {
		names[i] = filepath.Base(name)
	}
	return names, err
}

// report writes the page and the plot, or without a folder for them the table.
func (e *env) report(docs string, m Machine, lines []Line, out io.Writer) error {
	if docs == "" {
		fmt.Fprintf(out, "%s\n%s", table(lines, e.scale == 1), notes(lines))
		return nil
	}
	others, err := pagesOfOthers(docs)
	if err != nil {
		return err
	}
	text, err := e.document(m, lines, others)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"benchmarks.md": text, plotFile: e.plot()} {
		if err := os.WriteFile(filepath.Join(docs, name), []byte(content), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(out, "written: %s\n", filepath.Join(docs, name))
	}
	return nil
}
