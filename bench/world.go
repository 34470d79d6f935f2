package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"rpdb/kernel"
)

// patience is how long one turn of a contestant may take.
const patience = 15 * time.Minute

// world is a network namespace of our own. When it is closed and its processes have
// ended the kernel takes it away.
type world struct {
	*kernel.NetNS
	ctx  context.Context // ends the commands that run in it
	peer string          // the system's ip
}

// newWorld makes a namespace with the interfaces d0 and d1, whose cables lead nowhere, and
// forwarding, so that all that a route needs is there.
func (e *env) newWorld() (*world, error) {
	ns, err := kernel.NewNetNS()
	if err != nil {
		return nil, err
	}
	w := &world{NetNS: ns, ctx: e.ctx, peer: e.peer}
	err = w.batch(
		"link set lo up",
		"link add d0 type veth peer name p0", "link add d1 type veth peer name p1",
		"address add 192.0.2.254/24 dev d0", "address add 198.51.100.254/24 dev d1",
		"address add 2001:db8:a::fe/64 dev d0 nodad", "address add 2001:db8:b::fe/64 dev d1 nodad",
		"link set p0 up", "link set p1 up", "link set d0 up", "link set d1 up",
	)
	for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err == nil {
			err = ns.SetSysctl(key, "1")
		}
	}
	if err != nil {
		ns.Close()
		return nil, err
	}
	return w, nil
}

// in makes a world for the time of f. Routes are taken away with their interfaces
// before the namespace is, since its end comes when nobody can wait for it, and would
// slow whatever is measured then.
func (e *env) in(f func(w *world) error) error {
	w, err := e.newWorld()
	if err != nil {
		return err
	}
	defer w.Close()
	err = f(w)
	if gone := w.batch("link delete d0", "link delete d1"); err == nil {
		err = gone
	}
	return err
}

// batch has the system's ip carry out lines.
func (w *world) batch(lines ...string) error { return w.optionBatch("-N", lines...) }

// optionBatch is batch with an option, which may be a family.
func (w *world) optionBatch(option string, lines ...string) error {
	in := strings.NewReader(strings.Join(lines, "\n") + "\n")
	_, err := w.output(in, w.peer, option, "-batch", "-")
	return err
}

// command prepares a command that is to run in the world.
func (w *world) command(ctx context.Context, in io.Reader, words ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Stdin = in
	c.Env = append(os.Environ(), "LC_ALL=C")
	return c
}

// output runs a command in the world and returns what it writes.
func (w *world) output(in io.Reader, words ...string) ([]byte, error) {
	var out bytes.Buffer
	err := w.stream(&out, in, words...)
	return out.Bytes(), err
}

func (w *world) stream(out io.Writer, in io.Reader, words ...string) error {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	var complaints bytes.Buffer
	c := w.command(ctx, in, words...)
	c.Stdout, c.Stderr = out, &complaints
	if err := w.Do(c.Start); err != nil {
		return err
	}
	return blame(c.Wait(), complaints.Bytes(), words)
}

func blame(err error, complaints []byte, words []string) error {
	if err == nil {
		return nil
	}
	first, _, _ := strings.Cut(string(complaints), "\n")
	return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, first)
}

// run runs a command in the world, its output thrown away and its input a file or
// none, and returns how long it took from its start to its end, in seconds.
func (w *world) run(input string, words ...string) (float64, error) {
	return w.started(input, words, func(c *exec.Cmd) error { return c.Wait() })
}

// piped is run with a pipe for the output, out of which it is read as it comes.
func (w *world) piped(words ...string) (float64, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer out.Close()
	defer in.Close()
	drained := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, out)
		drained <- err
	}()
	return w.startedTo(in, "", words, func(c *exec.Cmd) error {
		in.Close() // the command has it
		return errors.Join(c.Wait(), <-drained)
	})
}

// started starts a command and returns how long it took until wait returned.
func (w *world) started(input string, words []string, wait func(*exec.Cmd) error) (float64, error) {
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	return w.startedTo(out, input, words, wait)
}

func (w *world) startedTo(out *os.File, input string, words []string, wait func(*exec.Cmd) error) (float64, error) {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	in, err := os.Open(or(input, os.DevNull))
	if err != nil {
		return 0, err
	}
	defer in.Close()
	complaints, err := os.CreateTemp("", "bench-stderr")
	if err != nil {
		return 0, err
	}
	defer os.Remove(complaints.Name())
	defer complaints.Close()
	c := w.command(ctx, in, words...)
	c.Stdout, c.Stderr = out, complaints
	var took time.Duration
	err = w.Do(func() error {
		start := time.Now()
		if err := c.Start(); err != nil {
			return err
		}
		err := wait(c)
		took = time.Since(start)
		return err
	})
	if err != nil {
		text, _ := os.ReadFile(complaints.Name())
		return 0, blame(err, text, words)
	}
	return took.Seconds(), nil
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// peak runs a command as run does and returns the most memory that it had resident,
// by VmHWM of proc(5), read each millisecond. What wait(2) tells would count this
// program too, as it was when it started the command. If the command ended before it
// could be looked at the error is errUnseen.
func (w *world) peak(input string, words ...string) (most float64, err error) {
	_, err = w.started(input, words, func(c *exec.Cmd) error {
		status := fmt.Sprintf("/proc/%d/status", c.Process.Pid)
		most = highWater(status)
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		for {
			select {
			case err := <-ended:
				return err
			case <-time.After(time.Millisecond):
				most = max(most, highWater(status))
			}
		}
	})
	if err == nil && most == 0 {
		err = fmt.Errorf("%s: %w", strings.Join(words, " "), errUnseen)
	}
	return most, err
}

var errUnseen = errors.New("it ended before its memory could be read")

// seen measures again what errUnseen was the end of. The world that it was in is not
// what it was before.
func seen(measure func() (float64, error)) func() (float64, error) {
	return func() (most float64, err error) {
		for range 10 {
			if most, err = measure(); !errors.Is(err, errUnseen) {
				break
			}
		}
		return most, err
	}
}

func highWater(status string) float64 {
	text, err := os.ReadFile(status)
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	line, _, _ := strings.Cut(rest, "kB")
	kilobytes, _ := strconv.ParseFloat(strings.TrimSpace(line), 64)
	return kilobytes * 1024
}

// listing is what a list holds: how many lines, and a sum of all.
type listing struct {
	lines int
	sum   [sha256.Size]byte
}

// list has a program list something, and returns what came. The system's ip is the
// judge of what all contestants did.
func (w *world) list(words ...string) (listing, error) {
	sum, n := sha256.New(), &lineCounter{}
	err := w.stream(io.MultiWriter(sum, n), nil, words...)
	l := listing{lines: n.lines}
	sum.Sum(l.sum[:0])
	return l, err
}

func (w *world) rules(family string) (listing, error) {
	return w.list(w.peer, "-N", family, "rule", "show")
}

type lineCounter struct{ lines int }

func (c *lineCounter) Write(b []byte) (int, error) {
	c.lines += bytes.Count(b, []byte("\n"))
	return len(b), nil
}

// judge compares what contestants did: all must come to the same.
type judge struct {
	seen  bool
	first listing
}

// see takes what one contestant came to, with the number of lines that it must have.
func (j *judge) see(l listing, lines int) error {
	if l.lines != lines {
		return fmt.Errorf("not the same work: %d lines are listed, not %d", l.lines, lines)
	}
	if j.seen && l.sum != j.first.sum {
		return fmt.Errorf("not the same work: the %d lines that are listed are others than after the first contestant", lines)
	}
	j.seen, j.first = true, l
	return nil
}
