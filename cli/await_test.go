package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/apply/journal"
	"rpdb/kernel/kerneltest"
)

// trialHost is a host where generation 1 is confirmed, and the files of the
// program.
type trialHost struct {
	*kerneltest.Kernel
	dir string
}

func newTrialHost(t *testing.T) *trialHost {
	t.Helper()
	h := &trialHost{kerneltest.Real(t), t.TempDir()}
	endGuards(t, h.dir)
	err := kerneltest.Script(t.Context(), h,
		"sysctl net.ipv6.conf.default.addr_gen_mode=1",
		"ip link add eth0 type veth peer name gw0", "ip link set eth0 up", "ip link set gw0 up",
		"ip addr add 192.168.0.10/24 dev eth0")
	if err != nil {
		t.Fatal(err)
	}
	uplink := "uplinks: [{interface: eth0, gateways: [192.168.0.1]}]\n"
	for name, text := range map[string]string{
		"one.yaml": uplink,
		"two.yaml": uplink + "rules: [{name: a, from: 10.9.0.0/16, lookup: main}]\n",
	} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := h.start(t, nil, "apply", "one.yaml").wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return h
}

// rpdbProcess is a process of rpdb, and what it has printed.
type rpdbProcess struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
	// read is closed when nothing more comes from its terminal; nil if it has none.
	read chan struct{}
}

// Write takes the output of the process.
func (p *rpdbProcess) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// listen takes what comes from a terminal.
func (p *rpdbProcess) listen(keyboard io.Reader) {
	p.read = make(chan struct{})
	go func() {
		defer close(p.read)
		buf := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buf)
			_, _ = p.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
}

func (p *rpdbProcess) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// wait returns what the process has printed until its end. The last of it may still
// be on the way from the terminal then, which somebody else may hold open.
func (p *rpdbProcess) wait() (string, error) {
	err := p.cmd.Wait()
	if p.read != nil {
		select {
		case <-p.read:
		case <-time.After(5 * time.Second):
		}
	}
	return p.text(), err
}

// start starts rpdb on the host, on a terminal if one is given.
func (h *trialHost) start(t *testing.T, terminal *os.File, args ...string) *rpdbProcess {
	t.Helper()
	p := &rpdbProcess{cmd: exec.Command("/proc/self/exe")}
	p.cmd.Args = append([]string{"rpdb-program"}, append(args, "--state-dir", "state")...)
	p.cmd.Dir = h.dir
	p.cmd.Env = append(os.Environ(), rootVariable+"="+h.dir)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if terminal != nil {
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = terminal, terminal, terminal
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}
	if err := h.NetNS().Do(p.cmd.Start); err != nil {
		t.Fatal(err)
	}
	return p
}

// onTerminal starts rpdb on a terminal of its own, and returns when it asks.
func (h *trialHost) onTerminal(t *testing.T, args ...string) (p *rpdbProcess, keyboard *os.File) {
	t.Helper()
	keyboard, screen := openTerminal(t)
	p = h.start(t, screen, args...)
	screen.Close()
	p.listen(keyboard)
	eventually(t, "it asks, or was too slow to ask", func() bool {
		return strings.Contains(p.text(), "Enter keeps ") || strings.Contains(p.text(), "is rolled back")
	})
	return p, keyboard
}

// openTerminal makes a terminal.
func openTerminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	conn, err := keyboard.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	err = conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return keyboard, screen
}

// eventually waits for something that happens within seconds, for as long as
// the slowest machine may take.
func eventually(t *testing.T, what string, happens func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if happens() {
			return
		}
	}
	t.Fatalf("it never came to this: %s", what)
}

// state is what is recorded.
func (h *trialHost) state(t *testing.T) journal.State {
	t.Helper()
	j, err := journal.Open(filepath.Join(h.dir, "state"), "", journal.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	s, err := j.Read()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantGeneration wants a generation confirmed, and its rules in the kernel.
func (h *trialHost) wantGeneration(t *testing.T, id uint64) {
	t.Helper()
	if e, _ := h.state(t).Confirmed(); e.ID != id {
		t.Errorf("generation %d is confirmed, want %d", e.ID, id)
	}
	if has := h.inForce(t) == "two.yaml"; has != (id == 2) {
		t.Errorf("the rule of generation 2 is there: %v", has)
	}
}

// inForce returns the policy that the kernel has the rules of.
func (h *trialHost) inForce(t *testing.T) string {
	t.Helper()
	s, err := h.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.RulesOf(rpdb.IPv4) {
		if r.Selector.From.IsValid() && r.Selector.From.String() == "10.9.0.0/16" {
			return "two.yaml"
		}
	}
	return "one.yaml"
}

func (h *trialHost) rolledBack(t *testing.T) func() bool {
	return func() bool {
		s := h.state(t)
		e, ok := s.Find(2)
		return ok && e.Status == journal.RolledBack && s.Pending == nil
	}
}

func TestEnterConfirms(t *testing.T) {
	for _, key := range []string{"\n", "y\n", "what?\nYES\n"} {
		h := newTrialHost(t)
		p, keyboard := h.onTerminal(t, "apply", "two.yaml", "--confirm", "1h")
		if _, err := keyboard.WriteString(key); err != nil {
			t.Fatal(err)
		}
		if out, err := p.wait(); err != nil {
			t.Errorf("%q: %v: %s", key, err, out)
		}
		h.wantGeneration(t, 2)
	}
}

func TestCtrlCTakesBack(t *testing.T) {
	for _, key := range []string{"\x03", "n\n"} {
		h := newTrialHost(t)
		p, keyboard := h.onTerminal(t, "apply", "two.yaml", "--confirm", "1h")
		if _, err := keyboard.WriteString(key); err != nil {
			t.Fatal(err)
		}
		if out, err := p.wait(); err == nil {
			t.Errorf("%q: ended with 0: %s", key, out)
		}
		h.wantGeneration(t, 1)
	}
}

// TestEndOfInput leaves the trial to its guard, and says so: whoever typed it still sits
// there.
func TestEndOfInput(t *testing.T) {
	h := newTrialHost(t)
	p, keyboard := h.onTerminal(t, "apply", "two.yaml", "--confirm", "1h")
	if _, err := keyboard.WriteString("\x04"); err != nil {
		t.Fatal(err)
	}
	out, err := p.wait()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !regexp.MustCompile(`note: generation 2 stays on trial for [0-9hms]+; keep it with: rpdb confirm 2 --state-dir state\r?\n`).MatchString(out) {
		t.Errorf("%v: %s", err, out)
	}
	if s := h.state(t); s.Pending == nil || s.Pending.ID != 2 {
		t.Errorf("on trial is %+v", s.Pending)
	}
	if out, err := h.start(t, nil, "confirm", "2").wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestConfirmFromElsewhere ends the waiting, too.
func TestConfirmFromElsewhere(t *testing.T) {
	h := newTrialHost(t)
	p, _ := h.onTerminal(t, "apply", "two.yaml", "--confirm", "1h")
	if out, err := h.start(t, nil, "confirm", "2").wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := p.wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	h.wantGeneration(t, 2)
}

// TestTakeBackTooLate: somebody has confirmed the generation while its terminal
// waits for the lock, and another one is on trial, which goes on.
func TestTakeBackTooLate(t *testing.T) {
	h := newTrialHost(t)
	p, keyboard := h.onTerminal(t, "apply", "two.yaml", "--confirm", "1h")
	j, err := journal.Open(filepath.Join(h.dir, "state"), "", journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	unlock, err := j.Lock(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := keyboard.WriteString("n\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits for the lock", func() bool {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
		return slices.ContainsFunc(files, func(file string) bool {
			to, _ := os.Readlink(file)
			return to == filepath.Join(j.Path(), "lock")
		})
	})
	s, err := j.Read()
	if err != nil {
		t.Fatal(err)
	}
	second, _ := s.Find(2)
	body, err := j.Body(second)
	if err != nil {
		t.Fatal(err)
	}
	third := second
	if third.BodyHash, err = j.WriteBody(3, body); err != nil {
		t.Fatal(err)
	}
	if err := j.Write(s.Confirm().Begin(third, *s.Pending).Written()); err != nil {
		t.Fatal(err)
	}
	unlock()
	out, _ := p.wait()
	if now := h.state(t).Pending; now == nil || now.ID != 3 || !strings.Contains(out, "Generation 2 is confirmed.") {
		t.Errorf("on trial is %+v after: %s", now, out)
	}
}

// TestNobodyConfirms in various ways: the guard goes back (E4, E13).
func TestNobodyConfirms(t *testing.T) {
	for name, end := range map[string]func(p *rpdbProcess, keyboard *os.File) error{
		"time":    func(*rpdbProcess, *os.File) error { return nil },
		"kill -9": func(p *rpdbProcess, _ *os.File) error { return p.cmd.Process.Kill() },
		"hangup":  func(_ *rpdbProcess, keyboard *os.File) error { return keyboard.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTrialHost(t)
			p, keyboard := h.onTerminal(t, "apply", "two.yaml", "--confirm", "5s")
			if err := end(p, keyboard); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			if out, err := p.wait(); err == nil {
				t.Errorf("ended with 0: %s", out)
			}
			eventually(t, "rolled back", h.rolledBack(t))
			h.wantGeneration(t, 1)
		})
	}
	t.Run("no terminal", func(t *testing.T) {
		t.Parallel()
		h := newTrialHost(t)
		if out, err := h.start(t, nil, "apply", "two.yaml", "--confirm", "5s").wait(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		eventually(t, "rolled back", h.rolledBack(t))
		h.wantGeneration(t, 1)
		e, _ := h.state(t).Find(2)
		if e.Why != "not confirmed in time" {
			t.Errorf("rolled back: %s", e.Why)
		}
	})
}

// kills is how often TestKilledAnywhere kills.
var kills = flag.Int("kills", 12, "how often a real apply is killed at a random moment")

// TestKilledAnywhere kills a real apply at a random moment, then asks the next
// one to end what it left (E1): the host is in sync with what is recorded as
// confirmed, which is the one policy or the other.
func TestKilledAnywhere(t *testing.T) {
	h := newTrialHost(t)
	rng := rand.New(rand.NewPCG(9, 29))
	cut := 0
	for n := range *kills {
		p := h.start(t, nil, "apply", []string{"two.yaml", "one.yaml"}[n%2])
		time.Sleep(time.Duration(rng.Int64N(int64(60 * time.Millisecond))))
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		if _, err := p.wait(); err != nil {
			cut++
		}
		before := h.state(t)
		_, _ = h.start(t, nil, "confirm").wait() // nothing to confirm; it ends what was left
		if out, err := h.start(t, nil, "status").wait(); err != nil {
			t.Fatalf("kill %d, left %+v: %v: %s", n, before.Pending, err, out)
		}
		if s := h.state(t); s.Pending != nil {
			t.Fatalf("kill %d: still on trial: %+v", n, s.Pending)
		}
	}
	t.Logf("%d of %d were killed before they ended", cut, *kills)
}

// TestGuardIsToldToEnd, as with the login session that it was started in.
func TestGuardIsToldToEnd(t *testing.T) {
	h := newTrialHost(t)
	if out, err := h.start(t, nil, "apply", "two.yaml", "--confirm", "1h").wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid := h.guard(t)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "rolled back", h.rolledBack(t))
	h.wantGeneration(t, 1)
	eventually(t, "gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
}

// endGuards ends, with the test, the processes that guard a state below dir: one that
// has just rolled back would still write there while the directory is removed.
func endGuards(t *testing.T, dir string) {
	t.Helper()
	t.Cleanup(func() {
		found, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Error(err)
		}
		for _, file := range found {
			line, err := os.ReadFile(file)
			if err != nil || !bytes.Contains(line, []byte("\x00"+guardWord+"\x00")) || !bytes.Contains(line, []byte("\x00"+dir+"/")) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Error(err)
				continue
			}
			_ = syscall.Kill(pid, syscall.SIGKILL)
			eventually(t, "the guard is gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
		}
	})
}

// guard finds the process that guards this host's generation 2.
func (h *trialHost) guard(t *testing.T) int {
	t.Helper()
	want := []byte("\x00" + guardWord + "\x002\x00" + filepath.Join(h.dir, "state") + "\x00")
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		if line, err := os.ReadFile(file); err == nil && bytes.HasSuffix(line, want) {
			var pid int
			if _, err := fmt.Sscanf(file, "/proc/%d/", &pid); err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("no guard runs")
	return 0
}

// zombie reports whether a process has ended, and nobody has asked how.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}
