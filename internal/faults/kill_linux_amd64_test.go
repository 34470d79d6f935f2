package faults

import (
	"errors"
	"flag"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// injure makes the operation with an injury.
func (s *stage) injure(t *testing.T, i injury) (report, string) {
	t.Helper()
	return s.injured(t, i, s.state, s.op.args...)
}

// injured runs rpdb, which uses a state directory, with an injury, and returns what it
// did and said.
func (h *host) injured(t *testing.T, i injury, state string, args ...string) (report, string) {
	t.Helper()
	said := h.output(t)
	defer said.Close()
	tr := tracer{injury: i, names: strings.NewReplacer(state, "STATE", said.Name(), "OUTPUT", h.dir, "DIR")}
	cmd := h.command(args...)
	var r report
	err := h.NetNS().Do(func() error { // keeps the thread, to which the program belongs
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if h.mounts != nil {
			if err := h.mounts(); err != nil {
				return err
			}
		}
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
	return r, h.said(t, said)
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
	s.judge(t, ended{i.String(), r.exit, said, foreign})
	if r.exit > 0 && said == "" && !strings.Contains(i.at.what, "write ") {
		t.Errorf("%v: it failed and did not say why", i)
	}
	if i.errno != 0 && r.exit > 0 {
		s.errors[firstLine(said)]++
	}
	s.forgetIfOver(t)
	return r, said
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
		} else if !strings.Contains(c.what, "/proc/PID/") { // of the programs above, which may have ended
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
		case "socket message 24", "socket message 25", "socket message 32", "socket message 33", // route and rule, new and del
			"socket message 16": // the begin of a transaction of nf_tables
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

// lastingOnly makes the long run shorter.
var lastingOnly = flag.Bool("lasting", false, "kill each command before the calls alone that leave something")

// TestKilledAtEverySystemCall kills a real process before each of its system calls
// (E1, E2, D6), in the short run before those that leave something.
func TestKilledAtEverySystemCall(t *testing.T) {
	for _, op := range operations() {
		if !*allFaults && !slices.Contains([]string{"apply", "apply another translation"}, op.name) {
			continue
		}
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			chosen := lasting
			if *allFaults && !*lastingOnly {
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

// possible reports whether a call can fail with nothing done. A pipe is always read:
// where that fails, os.StartProcess waits for the end of the program that it started.
// And what is closed is closed, whatever close says: were the writing end of that
// pipe left open, os.StartProcess would wait for ever.
func possible(c call) bool { return c.what != "read pipe" && !strings.HasPrefix(c.what, "close ") }

// errorsEach makes the long run shorter.
var errorsEach = flag.Int("errors", 5, "how many of the five errors each system call fails with, in turn")

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
			for i, errno := range errnos {
				n := 0
				turn := func() bool { // whether this error is among those of a call
					n++
					return (n+i)%len(errnos) < *errorsEach
				}
				p, m := s.every(t, injury{errno: errno}, func(c call) bool { return (c.nth == 1 || lasting(c)) && possible(c) && turn() })
				points, missed = points+p, missed+m
				if errno == syscall.EINTR { // says that nothing was done
					continue
				}
				p, m = s.every(t, injury{errno: errno, after: true}, func(c call) bool { return lasting(c) && turn() })
				points, missed = points+p, missed+m
			}
			t.Logf("%d points, %d not reached; messages:%v", points, missed, s.errors)
			if missed > points/10 {
				t.Errorf("%d points were reached, %d were not", points, missed)
			}
		})
	}
}
