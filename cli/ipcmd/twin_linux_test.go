package ipcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// The real ip and ours get the same commands in twin namespaces, and must
// answer with the same exit code and the same bytes on both outputs, and leave
// the same rules and routes in the kernel. Where they are meant to differ,
// [differences] says so.

// outcome is what a command did.
type outcome struct {
	code           int
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d\n--- stdout\n%s--- stderr\n%s", o.code, o.stdout, o.stderr)
}

// side is one of two namespaces.
type side struct {
	peer peer // the real ip
	ns   *kernel.NetNS
	sock *kernel.Socket
	// jobs are done by a thread that stays in the namespace: its children start
	// there.
	jobs  chan func()
	ended chan struct{}
}

func newSide(with peer) (s side, err error) {
	s = side{peer: with, jobs: make(chan func()), ended: make(chan struct{})}
	if s.ns, err = kernel.NewNetNS(); err != nil {
		return s, err
	}
	go func() {
		defer close(s.ended)
		_ = s.ns.Do(func() error {
			for job := range s.jobs {
				job()
			}
			return nil
		})
	}()
	s.sock, err = kernel.OpenSocket(kernel.Options{NetNS: s.ns})
	return s, err
}

func (s side) close() {
	close(s.jobs)
	<-s.ended
	s.sock.Close()
	s.ns.Close()
}

// do runs a function in the namespace.
func (s side) do(f func()) {
	done := make(chan struct{})
	s.jobs <- func() { defer close(done); f() }
	<-done
}

// real runs the real ip.
func (s side) real(c command) (o outcome) {
	stdin, done := c.input()
	defer done()
	s.do(func() {
		var out, errs bytes.Buffer
		cmd := exec.Command(s.peer.path, c.args...)
		cmd.Env = append(os.Environ(), "COLORFGBG="+s.peer.background(c.colors))
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			errs.WriteString(err.Error())
		}
		o = outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	})
	return o
}

// ours runs our ip in this process.
func (s side) ours(c command) outcome {
	stdin, done := c.input()
	defer done()
	var out, errs bytes.Buffer
	code := Call{
		slow: time.Hour, // on a busy machine rules wait for each other as they do on others
		Args: c.args, Stdin: stdin, Stdout: &out, Stderr: &errs, NetNS: s.ns,
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

// twins are two namespaces: the real ip works in a, and ours in b.
type twins struct {
	t    *testing.T
	peer peer
	host host
	a, b side
	// alike makes the real ip work in b too, which shows what differs where
	// nothing is wrong.
	alike bool
	// last is what the kernel of a had after the last command, changes are the
	// commands since the namespaces were made that changed it.
	last    string
	changes []string
}

func newTwins(t *testing.T, with peer, h host) *twins {
	t.Helper()
	kerneltest.Namespace(t) // skips where there are none
	w := &twins{t: t, peer: with, host: h}
	w.renew()
	t.Cleanup(w.close)
	return w
}

// renew makes two new namespaces, and makes them again if the kernel did not do
// the same in both: what it does about a new link, it does in its own time.
func (w *twins) renew() {
	for {
		w.close()
		w.changes = nil
		for _, s := range []*side{&w.a, &w.b} {
			var err error
			if *s, err = newSide(w.peer); err == nil {
				err = w.host.make(*s)
			}
			if err != nil {
				panic(err)
			}
		}
		w.last = w.state(w.a)
		if w.last == w.state(w.b) {
			return
		}
	}
}

func (w *twins) close() {
	if w.a.jobs != nil {
		w.a.close()
		w.b.close()
	}
}

// state is what a kernel has: the messages of all rules, and of the routes of a
// host that has some.
func (w *twins) state(s side) string {
	var b strings.Builder
	for _, f := range rpdb.Families() {
		rules, _, err := s.sock.ListRules(context.Background(), uint8(f))
		if err != nil {
			w.t.Fatal(err)
		}
		err = rules.Each(func(m *kernel.RuleMessage) error {
			fmt.Fprintf(&b, "%x\n", m.Payload)
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if w.host != (host{}) {
			b.WriteString(routeState(s, f))
		}
	}
	return b.String()
}

// command is one call of ip: its arguments and its standard input.
type command struct {
	args   []string
	colors string // COLORFGBG
	stdin  string
	file   string // that is standard input instead, "" for none
	keep   string // where what the real ip prints is written to, "" for nowhere
	text   string // of a batch, from wherever it is read
	lines  int    // of a batch, 1 for a plain command
}

func (c command) String() string {
	var words []string
	for _, a := range c.args {
		words = append(words, strconv.Quote(a))
	}
	s := "ip " + strings.Join(words, " ")
	if c.text != "" {
		s += " <<EOF\n" + c.text + "EOF"
	}
	return s
}

// input opens the standard input of a command. A file that is not there is
// empty.
func (c command) input() (stdin io.Reader, done func()) {
	if f, err := os.Open(c.file); err == nil {
		return f, func() { f.Close() }
	}
	return strings.NewReader(c.stdin), func() {}
}

// run gives a command to both and reports what differs. After a difference the
// namespaces are new ones: tables that IPv4 made up are never unmade.
func (w *twins) run(c command) (difference string) {
	b := w.b.ours
	if w.alike {
		b = w.b.real
	}
	theirs, ours := w.a.real(c), b(c)
	if c.keep != "" {
		if err := os.WriteFile(c.keep, []byte(theirs.stdout), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	as, bs := w.state(w.a), w.state(w.b)
	after := strings.Join(w.changes, "\n")
	if as != w.last {
		w.last, w.changes = as, append(w.changes, c.String())
	}
	if !w.alike {
		ours = withoutTrap(ours)
	}
	theirs, ours = w.peer.comparable(theirs), w.peer.comparable(ours)
	switch {
	case (theirs != ours || as != bs) && w.peer.meantToEndSo(c, theirs), as != bs && w.peer.meantToLeave(c, as, bs):
		w.renew()
		return ""
	case theirs != ours:
		a, b := differing(theirs.String(), ours.String())
		difference = fmt.Sprintf("theirs: %vours: %v", a, b)
	case as != bs:
		a, b := differing(as, bs)
		difference = fmt.Sprintf("the kernels differ\ntheirs:\n%sours:\n%s", a, b)
	default:
		return ""
	}
	w.renew()
	return fmt.Sprintf("%v\nafter\n%s\n%s", c, after, difference)
}

// differing returns two texts without the lines in which their beginnings, and
// their ends, are alike.
func differing(a, b string) (string, string) {
	as, bs := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	for len(as) > 1 && len(bs) > 1 && as[0] == bs[0] {
		as, bs = as[1:], bs[1:]
	}
	for len(as) > 1 && len(bs) > 1 && as[len(as)-1] == bs[len(bs)-1] {
		as, bs = as[:len(as)-1], bs[:len(bs)-1]
	}
	return strings.Join(as, ""), strings.Join(bs, "")
}

// campaign is a number of commands that a generator makes.
type campaign struct {
	grammar grammar
	seed    uint64
	n       int
	alike   bool // the real ip against itself
}

// run runs the commands on two threads.
func (c campaign) run(t *testing.T) {
	with := theirs(t)
	var mu sync.Mutex
	var failures []string
	ran := 0
	var workers sync.WaitGroup
	for worker := range uint64(2) {
		w := newTwins(t, with, c.grammar.host)
		w.alike = c.alike
		g := newGenerator(c.grammar, c.seed, worker, t.TempDir())
		g.release = with.release
		workers.Go(func() {
			for {
				mu.Lock()
				stop := ran >= c.n || len(failures) >= 10
				mu.Unlock()
				if stop {
					return
				}
				next := g.command()
				if with.meantToDiffer(next) != "" {
					continue
				}
				difference := w.run(next)
				if g.count%40 == 0 {
					w.renew()
				}
				mu.Lock()
				ran += next.lines
				if difference != "" {
					failures = append(failures, difference)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	for _, f := range failures {
		t.Errorf("seed %d: %s", c.seed, f)
	}
	t.Logf("%d commands, seed %d, iproute2 %v", ran, c.seed, with.release)
	if !t.Failed() && ran < c.n {
		t.Errorf("only %d commands of %d were run", ran, c.n)
	}
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
		t.Run(gr.object, func(t *testing.T) { campaign{grammar: gr, seed: seed, n: n}.run(t) })
	}
}

// The real ip does not differ from itself: what the twin test compares depends
// neither on time nor on chance.
func TestTheirsAlone(t *testing.T) {
	for _, gr := range grammars() {
		t.Run(gr.object, func(t *testing.T) { campaign{grammar: gr, seed: 3, n: 600, alike: true}.run(t) })
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
	w := newTwins(t, with, host{})
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
