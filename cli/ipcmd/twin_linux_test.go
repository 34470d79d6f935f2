package ipcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// The real ip and ours get the same commands in twin namespaces, and must
// answer with the same exit code and the same bytes on both outputs, and leave
// the same rules in the kernel. Where they are meant to differ,
// [differences] says so.

// outcome is what a command did.
type outcome struct {
	code           int
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d\n--- stdout\n%s--- stderr\n%s", o.code, o.stdout, o.stderr)
}

// twins are two namespaces, and what runs commands in each.
type twins struct {
	t      *testing.T
	peer   peer
	a, b   *kernel.NetNS
	as, bs *kernel.Socket
	jobs   chan func()
	ended  chan struct{}
}

func newTwins(t *testing.T, with peer) *twins {
	t.Helper()
	kerneltest.Namespace(t) // skips where there are none
	w := &twins{t: t, peer: with}
	w.renew()
	t.Cleanup(w.close)
	return w
}

// renew makes two new namespaces.
func (w *twins) renew() {
	w.close()
	for _, x := range []struct {
		ns   **kernel.NetNS
		sock **kernel.Socket
	}{{&w.a, &w.as}, {&w.b, &w.bs}} {
		ns, err := kernel.NewNetNS()
		if err == nil {
			*x.ns = ns
			*x.sock, err = kernel.OpenSocket(kernel.Options{NetNS: ns})
		}
		if err != nil {
			panic(err)
		}
	}
	// One thread stays in the namespace of the real ip: its children start there.
	jobs, ended, ns := make(chan func()), make(chan struct{}), w.a
	go func() {
		defer close(ended)
		_ = ns.Do(func() error {
			for job := range jobs {
				job()
			}
			return nil
		})
	}()
	w.jobs, w.ended = jobs, ended
}

func (w *twins) close() {
	if w.jobs == nil {
		return
	}
	close(w.jobs)
	<-w.ended
	w.as.Close()
	w.bs.Close()
	w.a.Close()
	w.b.Close()
}

// real runs the real ip.
func (w *twins) real(stdin []byte, args []string) outcome { return w.realWith(nil, stdin, args) }

// realWith runs the real ip with more in its environment.
func (w *twins) realWith(env []string, stdin []byte, args []string) (o outcome) {
	done := make(chan struct{})
	w.jobs <- func() {
		defer close(done)
		var out, errs bytes.Buffer
		cmd := exec.Command(w.peer.path, args...)
		cmd.Env = append(os.Environ(), env...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			errs.WriteString(err.Error())
		}
		o = outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	}
	<-done
	return o
}

// ours runs our ip in this process.
func (w *twins) ours(c command) outcome {
	var out, errs bytes.Buffer
	code := Call{
		Args: c.args, Stdin: strings.NewReader(c.stdin), Stdout: &out, Stderr: &errs, NetNS: w.b,
		Getenv: func(key string) string {
			if key == "COLORFGBG" {
				return c.colors
			}
			return ""
		},
		HandOver: func(args []string) int { errs.WriteString("handed over\n"); return -1 },
	}.Run()
	return outcome{code, out.String(), errs.String()}
}

// state is what a kernel has: the messages of all rules.
func (w *twins) state(s *kernel.Socket) string {
	var b strings.Builder
	for _, f := range rpdb.Families() {
		rules, _, err := s.ListRules(context.Background(), uint8(f))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range rules {
			fmt.Fprintf(&b, "%x\n", m.Payload)
		}
	}
	return b.String()
}

// listing is what both kernels have, for a report.
func (w *twins) listing() string {
	var b strings.Builder
	for _, f := range rpdb.Families() {
		rules, _, err := w.bs.ListRules(context.Background(), uint8(f))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range rules {
			fmt.Fprintf(&b, "%v %s\n", f, iproute2.Rule(m.Rule, rpdb.Names{}))
		}
	}
	return b.String()
}

// command is one call of ip: its arguments and its standard input.
type command struct {
	args   []string
	colors string // COLORFGBG
	stdin  string
	text   string // of a batch, from wherever it is read
	lines  int    // of a batch, 1 for a plain command
}

func (c command) String() string {
	var words []string
	for _, a := range c.args {
		words = append(words, strconv.Quote(a))
	}
	s := "ip " + strings.Join(words, " ")
	if c.colors != "" {
		s = fmt.Sprintf("COLORFGBG=%q %s", c.colors, s)
	}
	if c.text != "" {
		s += " <<EOF\n" + c.text + "EOF"
	}
	return s
}

// run gives a command to both and reports what differs. After a difference the
// namespaces are new ones: tables that IPv4 made up are never unmade.
func (w *twins) run(c command) (difference string) {
	before := w.listing()
	a := w.realWith([]string{"COLORFGBG=" + w.peer.background(c.colors)}, []byte(c.stdin), c.args)
	b := w.ours(c)
	as, bs := w.state(w.as), w.state(w.bs)
	a, b = w.peer.comparable(a), w.peer.comparable(b)
	switch {
	case (a != b || as != bs) && w.peer.meantToEndSo(a):
		w.renew()
		return ""
	case a != b:
		difference = fmt.Sprintf("theirs: %v\nours: %v", a, b)
	case as != bs:
		difference = fmt.Sprintf("the kernels differ\ntheirs:\n%sours:\n%s", as, bs)
	default:
		return ""
	}
	w.renew()
	return fmt.Sprintf("%v\nwith the rules\n%s%s", c, before, difference)
}

// campaign runs n commands that a generator makes, on two threads, and returns
// how many were run.
func campaign(t *testing.T, gr grammar, seed uint64, n int) int {
	with := theirs(t)
	var mu sync.Mutex
	var failures []string
	ran := 0
	var workers sync.WaitGroup
	for worker := range uint64(2) {
		w := newTwins(t, with)
		g := newGenerator(gr, seed, worker, t.TempDir())
		g.release = with.release
		workers.Go(func() {
			for {
				mu.Lock()
				stop := ran >= n || len(failures) >= 10
				mu.Unlock()
				if stop {
					return
				}
				c := g.command()
				if with.meantToDiffer(c) != "" {
					continue
				}
				difference := w.run(c)
				if g.count%40 == 0 {
					w.renew()
				}
				mu.Lock()
				ran += c.lines
				if difference != "" {
					failures = append(failures, difference)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	for _, f := range failures {
		t.Errorf("seed %d: %s", seed, f)
	}
	return ran
}

// TestTwin runs 6,000 commands of each object, or RPDB_TWIN_N, from the seed
// RPDB_TWIN_SEED, through the ip of this machine, or RPDB_TWIN_IP, and ours.
func TestTwin(t *testing.T) {
	n, seed := 6000, uint64(1)
	if v, err := strconv.Atoi(os.Getenv("RPDB_TWIN_N")); err == nil {
		n = v
	}
	if v, err := strconv.ParseUint(os.Getenv("RPDB_TWIN_SEED"), 10, 64); err == nil {
		seed = v
	}
	for _, gr := range grammars() {
		t.Run(gr.object, func(t *testing.T) {
			ran := campaign(t, gr, seed, n)
			t.Logf("%d commands, seed %d, iproute2 %v", ran, seed, theirs(t).release)
			if !t.Failed() && ran < n {
				t.Errorf("only %d commands of %d were run", ran, n)
			}
		})
	}
}

// TestTwinByHand runs the sequences of testdata/twin: files of command lines,
// each line without "ip" in front, as in a batch but with options. Each file
// begins with the rules of a new host.
func TestTwinByHand(t *testing.T) {
	with := theirs(t)
	files, err := filepath.Glob("testdata/twin/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sequences: %v", err)
	}
	w := newTwins(t, with)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w.renew()
		for line := range strings.Lines(string(data)) {
			args := splitLine(line)
			if len(args) == 0 {
				continue
			}
			if d := w.run(command{args: args, lines: 1}); d != "" {
				t.Errorf("%s: %s", file, d)
			}
		}
	}
}

// splitLine cuts a line into words. Two quotes are the empty word, and # ends the
// line.
func splitLine(line string) []string {
	line, _, _ = strings.Cut(line, "#")
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}
