package faults

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
)

// allFaults is the long run of "make faults".
var allFaults = flag.Bool("faults", false, "injure each command at every system call, not one canonical apply alone")

// operation is one command, on a host that comes from a few before it.
type operation struct {
	name  string
	lines []string // foreign things on the host, from the beginning
	made  []string // policies that are applied, in order
	trial bool     // the last of them is on trial
	// meanwhile are foreign things that came after that.
	meanwhile []string
	args      []string
	// then are the policies that it may end in; the first is the one before, the
	// second where it ends if it succeeds and its trial is over.
	then [2]string
}

func operations() []operation {
	// A table in which others have a route is changed where it stands.
	shared := append(foreign(), "ip route add 203.0.113.99 via 192.0.2.9 table 82500 proto static")
	// What others put among our rules is no reason not to go back.
	among := []string{"ip rule add pref 10500 from 192.0.2.96 lookup 7", "ip rule add pref 20500 from 192.0.2.95 lookup 7"}
	return []operation{
		{name: "apply", lines: foreign(), made: []string{"A"}, args: []string{"apply", "B.yaml"}, then: [2]string{"A", "B"}},
		{name: "apply beside a foreign route", lines: shared, made: []string{"A"}, args: []string{"apply", "B.yaml"}, then: [2]string{"A", "B"}},
		{name: "apply with a pinned rule", lines: foreign(), made: []string{"A"}, args: []string{"apply", "C.yaml"}, then: [2]string{"A", "C"}},
		{name: "apply for trial", lines: foreign(), made: []string{"A"}, args: []string{"apply", "B.yaml", "--confirm", "1h"}, then: [2]string{"A", "A"}},
		{name: "confirm", lines: foreign(), made: []string{"A", "B"}, trial: true, args: []string{"confirm"}, then: [2]string{"A", "B"}},
		{name: "rollback of a trial", lines: foreign(), made: []string{"A", "B"}, trial: true, meanwhile: among, args: []string{"rollback"}, then: [2]string{"A", "A"}},
		{name: "rollback to a generation", lines: shared, made: []string{"A", "C"}, args: []string{"rollback", "--last", "1"}, then: [2]string{"C", "A"}},
		{name: "remove", lines: shared, made: []string{"A", "C"}, meanwhile: among, args: []string{"remove"}, then: [2]string{"C", ""}},
	}
}

// leave takes away what came meanwhile.
func (op operation) leave() (lines []string) {
	for _, line := range op.meanwhile {
		lines = append(lines, strings.Replace(line, " add ", " del ", 1))
	}
	return lines
}

// stage is a host on which one operation is made again and again.
type stage struct {
	*host
	op       operation
	before   *rpdb.Snapshot
	template string // of the state directory
	looks    map[string]look
	points   int
	// errors counts the messages of failed calls.
	errors counts
}

// newStage prepares a host for an operation.
func newStage(t *testing.T, op operation) *stage {
	t.Helper()
	s := &stage{host: newHost(t, op.lines...), op: op, looks: map[string]look{}, errors: counts{}}
	for i, name := range op.made {
		args := []string{"apply", name + ".yaml"}
		if op.trial && i == len(op.made)-1 {
			args = append(args, "--confirm", "1h")
		}
		s.want(t, 0, args...)
		s.looks[name] = s.look(t)
	}
	s.killGuards(t)
	s.script(t, op.meanwhile...)
	var err error
	if s.before, err = s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.template = s.state
	s.refer(t)
	return s
}

// refer makes the operation once as it should be, and remembers how the host
// then looks, and the look of the generation before.
func (s *stage) refer(t *testing.T) {
	t.Helper()
	s.reset(t)
	defer s.forget(t)
	foreign := s.look(t).foreign
	s.want(t, 0, s.op.args...)
	if after := s.look(t); after.foreign != foreign {
		t.Fatalf("without a fault, foreign things are\n%s\nand were\n%s", after.foreign, foreign)
	}
	s.run(t, "rollback", "--wait", "1m") // if it is on trial
	if got := policyInForce(s.record(t)); got != s.op.then[1] {
		t.Fatalf("without a fault it ends at %q, want %q", got, s.op.then[1])
	}
	s.looks[s.op.then[1]] = s.look(t)
}

// reset makes the host what it was before the operation.
func (s *stage) reset(t *testing.T) {
	t.Helper()
	s.points++
	s.restore(t, s.before)
	s.state = filepath.Join(s.dir, fmt.Sprintf("state-%d", s.points))
	copyState(t, s.template, s.state)
}

// forget removes the state directory.
func (s *stage) forget(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(s.state); err != nil {
		t.Fatal(err)
	}
}

// injure makes the operation with an injury.
func (s *stage) injure(t *testing.T, i injury) (report, string) {
	t.Helper()
	said := s.output(t)
	defer said.Close()
	tr := tracer{injury: i, names: strings.NewReplacer(s.state, "STATE", said.Name(), "OUTPUT", s.dir, "DIR")}
	cmd := s.command(s.op.args...)
	var r report
	err := s.NetNS().Do(func() error { // keeps the thread, to which the program belongs
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		pid, err := syscall.ForkExec(cmd.Path, cmd.Args, &syscall.ProcAttr{
			Dir: cmd.Dir, Env: os.Environ(), Files: []uintptr{0, said.Fd(), said.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
		})
		if err != nil {
			return err
		}
		r, err = tr.trace(pid)
		return err
	})
	if errors.Is(err, unix.EPERM) && !r.reached && len(r.calls) == 0 {
		noTracing(t, err)
	}
	if err != nil {
		t.Fatalf("%v: %v", i, err)
	}
	return r, s.said(t, said)
}

// noTracing skips the test where programs cannot be traced, or fails it where
// skips are failures.
func noTracing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("RPDB_NO_SKIP") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// point makes the operation with an injury, lets the next command end what it
// left, and checks what is there then. It returns what the operation did and said.
func (s *stage) point(t *testing.T, i injury) (report, string) {
	t.Helper()
	s.reset(t)
	foreign := s.look(t).foreign
	r, said := s.injure(t, i)
	broke := strings.Contains(said, "goroutine ") || strings.Contains(said, "fatal error: ")
	if broke && !strings.Contains(said, "cannot open standard fds") { // before it has begun
		t.Errorf("%v: the program broke: %s", i, said)
	}
	next, _ := s.run(t, "rollback", "--wait", "1m") // mostly there is no trial
	record := s.record(t)
	in := policyInForce(record)
	now := s.look(t)
	s.script(t, s.op.leave()...)
	status, exit := s.run(t, "status")
	wrong := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%v: %s\nit said: %s\nthe next command said: %s\nstatus: %s", i, fmt.Sprintf(format, args...), said, next, status)
	}
	switch {
	case exit != 0:
		wrong("not in sync")
	case !slices.Contains(s.op.then[:], in):
		wrong("%q is in force", in)
	case now.ours != s.looks[in].ours:
		wrong("%q is in force, and of ours there is\n%s\ninstead of\n%s", in, now.ours, s.looks[in].ours)
	case now.torn != "":
		wrong("%s", now.torn)
	case now.foreign != foreign:
		wrong("foreign things are\n%s\nand were\n%s", now.foreign, foreign)
	case len(s.litter(t, record)) > 0:
		wrong("left in the state directory: %q", s.litter(t, record))
	case r.exit == 0 && in != s.op.then[1]:
		wrong("it said that it was done")
	case r.exit > 0 && in != s.op.then[0] && !admits(said):
		wrong("it failed, and %q is in force", in)
	case r.exit > 0 && said == "" && !strings.Contains(i.at.what, "write "):
		wrong("it failed and did not say why")
	}
	if i.errno != 0 && r.exit > 0 {
		s.errors[firstLine(said)]++
	}
	s.forgetIfOver(t)
	return r, said
}

// forgetIfOver removes the state directory unless a guard may look at it.
func (s *stage) forgetIfOver(t *testing.T) {
	t.Helper()
	if !slices.Contains(s.op.args, "--confirm") {
		s.forget(t)
	}
}

// admits reports whether an error says that the new generation stands.
func admits(said string) bool {
	return strings.Contains(said, "and stand; to say so") || strings.Contains(said, "is in force") || strings.Contains(said, "is confirmed")
}

func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "rpdb: ") {
			return strings.TrimSpace(line)
		}
	}
	return "(nothing)"
}

// every makes an operation once for each of its calls that are chosen, and
// injures it there.
func (s *stage) every(t *testing.T, i injury, chosen func(call) bool) (points, missed int) {
	t.Helper()
	r, _ := s.reference(t)
	for _, c := range r.calls {
		if !chosen(c) {
			continue
		}
		i.at = c
		if r, _ := s.point(t, i); r.reached {
			points++
		} else {
			missed++
		}
	}
	s.alone(t)
	return points, missed
}

// lasting reports whether a call changes something that is there when the program
// has ended: a rule, a route, a file, a lock or a process. What is killed before
// any other call leaves the same as what is killed before the next of these.
func lasting(c call) bool {
	name, about, _ := strings.Cut(c.what, " ")
	switch name {
	case "clone", "fsync", "ftruncate", "unlinkat", "renameat", "linkat", "mkdirat", "flock", "pwrite64":
		return true
	case "openat":
		return strings.HasSuffix(about, ".tmp")
	case "write":
		switch about {
		case "socket message 24", "socket message 25", "socket message 32", "socket message 33": // route and rule, new and del
			return true
		}
		return strings.HasPrefix(about, "STATE/")
	}
	return false
}

// reference traces the operation without an injury.
func (s *stage) reference(t *testing.T) (report, string) {
	t.Helper()
	s.reset(t)
	r, said := s.injure(t, injury{})
	if r.exit != 0 {
		t.Fatalf("traced, it fails: %s", said)
	}
	s.run(t, "rollback", "--wait", "1m")
	s.forgetIfOver(t)
	return r, said
}

// TestKilledAtEverySystemCall kills a real process before each of its system calls
// (E1, E2, D6), in the short run before those that leave something.
func TestKilledAtEverySystemCall(t *testing.T) {
	for n, op := range operations() {
		if n > 0 && !*allFaults {
			break
		}
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			chosen := lasting
			if *allFaults {
				chosen = func(call) bool { return true }
			}
			points, missed := newStage(t, op).every(t, injury{}, chosen)
			t.Logf("%d points, %d not reached", points, missed)
			if points < 5 || missed > points/10 {
				t.Errorf("%d points were reached, %d were not", points, missed)
			}
		})
	}
}

// TestEverySystemCallFails lets each system call of a real process fail once, and
// those that leave something also after they have done so (A9, A10, A12, A13, D3,
// D4). The short run takes every fourth of these, with one error each.
func TestEverySystemCallFails(t *testing.T) {
	errnos := []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.ENOBUFS, syscall.EPERM, syscall.EINTR}
	if !*allFaults {
		s, n := newStage(t, operations()[0]), 0
		for i, errno := range errnos {
			points, _ := s.every(t, injury{errno: errno, after: i%2 == 1}, func(c call) bool {
				if lasting(c) {
					n++
				}
				return lasting(c) && n%20 == 4*i
			})
			if points == 0 {
				t.Errorf("%v: no call was reached", errno)
			}
		}
		return
	}
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, op)
			points, missed := 0, 0
			for _, errno := range errnos {
				p, m := s.every(t, injury{errno: errno}, func(c call) bool { return c.nth == 1 || lasting(c) })
				points, missed = points+p, missed+m
				if errno == syscall.EINTR { // says that nothing was done
					continue
				}
				p, m = s.every(t, injury{errno: errno, after: true}, lasting)
				points, missed = points+p, missed+m
			}
			t.Logf("%d points, %d not reached; messages:%v", points, missed, s.errors)
			if missed > points/10 {
				t.Errorf("%d points were reached, %d were not", points, missed)
			}
		})
	}
}
