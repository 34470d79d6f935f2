package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// behind starts rpdb on the host by another program, which changes what it runs
// with. Nothing is added to its arguments.
func (h *trialHost) behind(t *testing.T, other []string, args ...string) *rpdbProcess {
	t.Helper()
	link := filepath.Join(h.dir, "rpdb-program")
	if self, err := os.Executable(); err != nil {
		t.Fatal(err)
	} else if err := os.Symlink(self, link); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	p := &rpdbProcess{cmd: exec.Command(other[0], append(append(other[1:], link), args...)...)}
	p.cmd.Dir = h.dir
	p.cmd.Env = append(os.Environ(), rootVariable+"="+h.dir)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := h.NetNS().Do(p.cmd.Start); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSuspended: time in which the machine is suspended counts, as the clock of
// the boot does, and the one of timers does not (E8). The clocks of a time
// namespace are as if it had been suspended meanwhile.
func TestSuspended(t *testing.T) {
	if out, err := exec.Command("unshare", "--time", "--boottime", "7200", "true").CombinedOutput(); err != nil {
		t.Skipf("no time namespaces: %v: %s", err, out)
	}
	for _, test := range []struct {
		clock string
		over  bool
	}{{"--boottime", true}, {"--monotonic", false}} {
		t.Run(test.clock, func(t *testing.T) {
			t.Parallel()
			h := newTrialHost(t)
			if out, err := h.start(t, nil, "apply", "two.yaml", "--confirm", "1h").wait(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			first := h.guard(t)
			guard := h.behind(t, []string{"unshare", "--time", test.clock, "7200", "--fork", "--kill-child"},
				guardWord, "2", filepath.Join(h.dir, "state"), machinesOwn)
			if test.over {
				if out, err := guard.wait(); err != nil {
					t.Errorf("guard: %v: %s", err, out)
				}
				h.wantGeneration(t, 1)
				if e, _ := h.state(t).Find(2); e.Why != "not confirmed in time" {
					t.Errorf("rolled back: %q", e.Why)
				}
				return
			}
			status := h.behind(t, []string{"unshare", "--time", test.clock, "7200"}, "status", "--state-dir", "state")
			if out, _ := status.wait(); !strings.Contains(out, "Generation 2 is unconfirmed until ") {
				t.Errorf("status: %s", out)
			}
			if err := guard.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_, _ = guard.wait()
			if out, err := h.start(t, nil, "confirm", "2").wait(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			h.wantGeneration(t, 2)
			eventually(t, "the first guard ends", func() bool { return syscall.Kill(first, 0) != nil || zombie(first) })
		})
	}
}

// TestStopped: an apply and its guard that are both stopped while they wait, and go
// on after the deadline, find that it is over (E9).
func TestStopped(t *testing.T) {
	t.Parallel()
	h := newTrialHost(t)
	p, _ := h.onTerminal(t, "apply", "two.yaml", "--confirm", "8s")
	stopped := []int{p.cmd.Process.Pid}
	if s := h.state(t); s.Pending != nil {
		stopped = append(stopped, h.guard(t))
	}
	send(t, syscall.SIGSTOP, stopped...)
	eventually(t, "its time is over", func() bool {
		s := h.state(t)
		left, err := timeLeft(s.Pending)
		return err == nil && left <= 0
	})
	if out, err := h.start(t, nil, "confirm", "2").wait(); err == nil || !strings.Contains(out, "was rolled back (not confirmed in time)") {
		t.Errorf("confirm: %v: %s", err, out)
	}
	h.wantGeneration(t, 1)
	send(t, syscall.SIGCONT, stopped...)
	if out, err := p.wait(); err == nil {
		t.Errorf("apply ended with 0: %s", out)
	}
	for _, pid := range stopped {
		eventually(t, "it ends", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
	}
	h.wantGeneration(t, 1)
}

// send sends a signal to processes that may have ended.
func send(t *testing.T, sig syscall.Signal, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

// TestLimits: with too few descriptors, too little memory or too few processes an
// apply changes everything or nothing, and the next command finds the host in sync
// (E10).
func TestLimits(t *testing.T) {
	for name, limit := range map[string]struct {
		option         string
		from, to, step int
	}{
		"descriptors": {"nofile", 3, 24, 1},
		"memory":      {"as", 600 << 20, 1400 << 20, 50 << 20}, // the runtime takes most of it before it begins
		"processes":   {"nproc", 1, 41, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "processes" && os.Getenv("RPDB_KERNELTEST_CHILD") == "" {
				t.Skip("root is held to no limit of processes")
			}
			h := newTrialHost(t)
			var failed, done int
			for n, value := 0, limit.from; value <= limit.to; n, value = n+1, value+limit.step {
				limit := fmt.Sprintf("--%s=%d", limit.option, value)
				other := map[string]string{"one.yaml": "two.yaml", "two.yaml": "one.yaml"}
				args := []string{"apply", other[h.inForce(t)], "--state-dir", "state"}
				if n%3 == 2 {
					args = append(args, "--confirm", "1h")
				}
				out, err := h.behind(t, []string{"prlimit", limit}, args...).wait()
				if err != nil {
					failed++
					first, _, _ := strings.Cut(out, "\n")
					t.Logf("%s %s: %v: %s", limit, args[1], err, first)
				} else {
					done++
				}
				_, _ = h.start(t, nil, "rollback").wait() // of a trial, if there is one
				if out, err := h.start(t, nil, "status").wait(); err != nil {
					t.Fatalf("%s: status: %v: %s", limit, err, out)
				}
				if err == nil && n%3 != 2 && h.inForce(t) != args[1] {
					t.Errorf("%s: it said it was done, and %s is in force: %s", limit, h.inForce(t), out)
				}
			}
			t.Logf("%d failed, %d done", failed, done)
			if name == "descriptors" && (failed == 0 || done == 0) {
				t.Errorf("the limits are not what makes a difference: %d failed, %d done", failed, done)
			}
		})
	}
}
