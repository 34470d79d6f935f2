package faults

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFrozenOverTheDeadline holds an apply for trial at one of its calls for longer
// than the trial lasts, as SIGSTOP does, and lets it go on (E9): the generation
// before comes back all the same.
func TestFrozenOverTheDeadline(t *testing.T) {
	for _, at := range []call{
		{"write socket message 32", 3},    // the first rules
		{"renameat STATE/journal.tmp", 2}, // the record that all is written
	} {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			op := operations()[3]
			op.args = []string{"apply", "B.yaml", "--confirm", "1s"}
			s := newStage(t, op)
			s.reset(t)
			foreign := s.look(t).foreign
			r, said := s.injure(t, injury{at: at, forge: func(int, [6]uint64) error {
				time.Sleep(2500 * time.Millisecond)
				return nil
			}})
			if !r.reached {
				t.Fatalf("it never came to the call: %s", said)
			}
			eventually(t, "the trial is over", func() bool { return s.record(t).Pending == nil })
			s.alone(t) // the guard has nothing more to do
			s.judge(t, ended{"held at " + at.String(), r.exit, said, foreign})
		})
	}
}

// limited runs the operation under a limit of setrlimit(2), which holds from its
// first instruction and for its guard, too.
func (s *stage) limited(t *testing.T, what int, most uint64) (exit int, said string) {
	t.Helper()
	out := s.output(t)
	defer out.Close()
	cmd := s.command(s.op.args...)
	var status unix.WaitStatus
	err := s.NetNS().Do(func() error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		pid, err := syscall.ForkExec(cmd.Path, cmd.Args, &syscall.ProcAttr{
			Dir: cmd.Dir, Env: os.Environ(), Files: []uintptr{0, out.Fd(), out.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true},
		})
		if err != nil {
			return err
		}
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
			return err
		}
		if err := unix.Prlimit(pid, what, &unix.Rlimit{Cur: most, Max: most}, nil); err != nil {
			return err
		}
		if err := unix.PtraceDetach(pid); err != nil {
			return err
		}
		_, err = unix.Wait4(pid, &status, 0, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return status.ExitStatus(), s.said(t, out)
}

// TestFilesTooLarge gives an apply for trial too little room in a file, in every
// file that it writes (E10, D3): it is done as a whole, or nothing is changed.
func TestFilesTooLarge(t *testing.T) {
	s := newStage(t, operations()[3])
	ends := counts{}
	for _, most := range []uint64{0, 1, 500, 1000, 3000, 5000, 6000, 8000} {
		s.reset(t)
		foreign := s.look(t).foreign
		exit, said := s.limited(t, unix.RLIMIT_FSIZE, most)
		s.judge(t, ended{fmt.Sprintf("no file above %d bytes", most), exit, said, foreign})
		ends[strings.ReplaceAll(firstLine(said), s.state, "STATE")]++
	}
	s.alone(t)
	t.Logf("errors:%v", ends)
	if len(ends) < 2 {
		t.Error("no limit was felt")
	}
}
