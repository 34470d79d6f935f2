// Package guard starts this very program once more, so that it outlives whoever
// started it. What it does then is the program's business, see apply.Guard. There
// are two ways, which share nothing that could fail in both.
//
// [Start] starts a process, with or without systemd: in a session of its own, with
// nothing of the terminal, in the root directory. It needs nobody, and is there at
// once. What it cannot survive is being killed, and being ended on purpose together
// with a login session (KillUserProcesses=yes) or a service; of that it is told by
// SIGTERM before.
//
// [Timer] has systemd do it, at a time. It outlives sessions, services and a kill,
// but needs a first process that is systemd and sees the same files. It is asked
// through systemd-run(1), as an administrator would: a library for its bus costs
// every start of the program 0.1 ms and 1 MB, while the program that is there
// already costs 15 ms, once, where somebody waits for minutes; and it knows which
// of its buses to ask, and what to say if none answers.
package guard

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// Options say how to start a guard.
type Options struct {
	Args []string // behind the program's name
	// NetNS is the network namespace that the guard finds at [NetNSPath].
	NetNS uintptr
	// Log takes what the guard prints.
	Log *os.File
}

// The descriptors that a guard finds besides the standard ones.
const (
	netnsFD = 3
	readyFD = 4
)

// NetNSPath is where a guard finds the network namespace that it was given.
const NetNSPath = "/proc/self/fd/3"

// patience is how long a guard may take to be ready.
const patience = 10 * time.Second

// ready is what a guard writes when it is.
const ready = "ready\n"

// Start starts a guard, and returns its process id when it has called [Ready].
// The error holds what it said instead.
func Start(o Options) (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	netns, err := duplicate(o.NetNS)
	if err != nil {
		w.Close()
		return 0, err
	}
	defer netns.Close()
	process, err := os.StartProcess("/proc/self/exe", append([]string{os.Args[0]}, o.Args...), &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{null, o.Log, o.Log, netns, w},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		return 0, err
	}
	if err := wait(r); err != nil {
		_ = process.Kill()
		_, _ = process.Wait()
		return 0, err
	}
	pid = process.Pid
	return pid, process.Release()
}

// duplicate keeps the descriptor from being closed by two owners.
func duplicate(fd uintptr) (*os.File, error) {
	own, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return nil, fmt.Errorf("network namespace: %w", errno)
	}
	return os.NewFile(own, "network namespace"), nil
}

// wait reads what the guard says first.
func wait(r *os.File) error {
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	said, err := io.ReadAll(io.LimitReader(r, 1<<12))
	switch {
	case err != nil:
		return err
	case string(said) == ready:
		return nil
	case len(said) == 0:
		return errors.New("it ended at once")
	}
	return errors.New(strings.TrimSpace(string(said)))
}

// Ready tells whoever started this process that it is a guard now, or why it
// cannot be one. It must be called once, by a process that [Start] made.
func Ready(err error) error {
	f := os.NewFile(readyFD, "ready")
	if f == nil {
		return errors.New("not started by Start")
	}
	defer f.Close()
	syscall.CloseOnExec(netnsFD)
	if err != nil {
		_, _ = fmt.Fprintln(f, err)
		return err
	}
	_, err = io.WriteString(f, ready)
	return err
}
