package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// helperVariable tells the test binary to be a program that uses the sandbox.
const helperVariable = "RPDB_SANDBOX_TEST_HELPER"

// helper is that program. The words say what it does: a task, and an id to be.
func helper(words string) int {
	task, uid, _ := strings.Cut(words, " ")
	id, _ := strconv.ParseUint(uid, 10, 32)
	if task == "refused" && !limitNamespaces() {
		return 1
	}
	inside, code, err := Enter(context.Background(), EnterOptions{UID: uint32(id)})
	switch {
	case err != nil:
		fmt.Println(err)
		if errors.Is(err, ErrRefused) {
			return 42
		}
		return 1
	case !inside:
		return code
	case task == "id":
		fmt.Println(unix.Getuid(), fsuid(), os.Getenv(enterVariable), len(os.Args), os.Args[0])
		return 5
	}
	if err := rehearse(task, uint32(id)); err != nil {
		fmt.Println(err)
		return 1
	}
	return 7
}

// limitNamespaces forbids this user namespace to have network namespaces.
func limitNamespaces() bool {
	err := os.WriteFile("/proc/sys/user/max_net_namespaces", []byte("0"), 0)
	if err != nil {
		fmt.Println(err)
	}
	return err == nil
}

// rehearse builds a world, sends, and waits for the end of the world.
func rehearse(task string, uid uint32) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	w, err := Build(ctx, Spec{Uplinks: twoUplinks()})
	if err != nil {
		return err
	}
	conn, err := kernel.Open(kernel.Options{NetNS: w.Host()})
	if err != nil {
		return err
	}
	users := rpdb.Some(rpdb.UIDRange{First: uid, Last: uid})
	err = conn.Do(ctx, rpdb.RuleChange(rpdb.Add, rpdb.Rule{
		Family: rpdb.IPv4, Priority: 10, Action: rpdb.Prohibit(), Selector: rpdb.Selector{UIDRange: users},
	}))
	if err != nil {
		return err
	}
	for _, c := range []struct {
		f     rpdb.Family
		errno rpdb.Errno
	}{{rpdb.IPv4, rpdb.EACCES}, {rpdb.IPv6, 0}} {
		o, err := w.Send(ctx, Probe{Protocol: rpdb.TCP, Family: c.f})
		if err != nil {
			return err
		}
		if o.Errno != c.errno || o.Answered != (c.errno == 0) {
			return fmt.Errorf("got %+v", o)
		}
	}
	fmt.Println("ready", os.Getpid())
	if task == "hold" {
		<-ctx.Done()
	}
	return errors.Join(conn.Close(), w.Close())
}

// startHelper starts the program as an ordinary user: an id other than root's,
// without capabilities.
func startHelper(t *testing.T, words string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	return startHelperAs(t, words, 1000)
}

func startHelperAs(t *testing.T, words string, uid int) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	if refused != nil {
		t.Skip(refused)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVariable+"="+words)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getgid(), Size: 1}},
	}
	return cmd, start(t, cmd)
}

func start(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return bufio.NewReader(out)
}

// line reads one line of the helper's output.
func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", s, err)
	}
	return strings.TrimSpace(s)
}

// exitCode waits for the end of the helper.
func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// TestEnter enters as an ordinary user, as root of a namespace and as somebody
// else, and passes on what it should.
func TestEnter(t *testing.T) {
	t.Parallel()
	for _, uid := range []string{"0", "1000"} {
		cmd, out := startHelper(t, "id "+uid)
		if got, want := line(t, out), fmt.Sprintf("%s %s  1 /proc/self/exe", uid, uid); got != want {
			t.Errorf("inside: %q, want %q", got, want)
		}
		if code := exitCode(t, cmd); code != 5 {
			t.Errorf("exit code %d", code)
		}
	}
}

// TestRehearseAsUser builds a world and sends probes as an ordinary user who
// is root inside, and as one who is somebody else, under a rule on that id. The
// namespace that it is started in stays as it is.
func TestRehearseAsUser(t *testing.T) {
	t.Parallel()
	if refused != nil {
		t.Skip(refused)
	}
	before := ownNamespace(t)
	defer func() {
		if after := ownNamespace(t); !reflect.DeepEqual(before, after) {
			t.Errorf("own namespace before\n%+v\nafter\n%+v", before, after)
		}
	}()
	for _, uid := range []string{"0", "1000", "65534"} {
		cmd, out := startHelper(t, "rehearse "+uid)
		if got := line(t, out); !strings.HasPrefix(got, "ready ") {
			t.Errorf("user %s: %s", uid, got)
		}
		if code := exitCode(t, cmd); code != 7 {
			t.Errorf("user %s: exit code %d", uid, code)
		}
	}
}

// ownNamespace reads the namespace that this process is in.
func ownNamespace(t *testing.T) *rpdb.Snapshot {
	t.Helper()
	conn, err := kernel.Open(kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := conn.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEnterRefused has no namespace left.
func TestEnterRefused(t *testing.T) {
	t.Parallel()
	cmd, out := startHelperAs(t, "refused", 0)
	want := "enter sandbox: new namespaces: no space left on device: needs root, or a kernel that allows unprivileged user namespaces"
	if got := line(t, out); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if code := exitCode(t, cmd); code != 42 {
		t.Errorf("exit code %d", code)
	}
}

// TestStrayMarker has a marker in its environment that no parent has set: it
// must not take its own namespace for a sandbox.
func TestStrayMarker(t *testing.T) {
	t.Parallel()
	here, err := namespaceID()
	if err != nil {
		t.Fatal(err)
	}
	for _, marker := range []string{
		"", "1", "1 4:4026531833", strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getpid()) + " " + here, "0 " + here,
	} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), helperVariable+"=id 0", enterVariable+"="+marker)
		out := start(t, cmd)
		if got := line(t, out); !strings.Contains(got, "not set by the parent process") {
			t.Errorf("%q: %s", marker, got)
		}
		if code := exitCode(t, cmd); code != 1 {
			t.Errorf("%q: exit code %d", marker, code)
		}
	}
}

// TestSignals interrupts a rehearsal in the polite ways: the program inside
// ends by itself, and its exit code is passed on.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		cmd, out := startHelper(t, "hold 0")
		inside := readyPID(t, out)
		watch := plant(t, inside)
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, cmd); code != 7 {
			t.Errorf("%v: exit code %d", s, code)
		}
		watch.gone(t)
	}
}

// TestKill ends a rehearsal without any chance to clean up, from outside and
// from inside: no process is left, and no namespace.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, outer := range []bool{true, false} {
		cmd, out := startHelper(t, "hold 0")
		inside := readyPID(t, out)
		watch := plant(t, inside)
		victim := inside
		if outer {
			victim = cmd.Process.Pid
		}
		if err := unix.Kill(victim, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		want := 128 + int(unix.SIGKILL)
		if outer {
			want = -1
		}
		if code := exitCode(t, cmd); code != want {
			t.Errorf("exit code %d, want %d", code, want)
		}
		watch.gone(t)
	}
}

func readyPID(t *testing.T, out *bufio.Reader) int {
	t.Helper()
	text := line(t, out)
	pid, err := strconv.Atoi(strings.TrimPrefix(text, "ready "))
	if err != nil {
		t.Fatalf("helper: %s", text)
	}
	return pid
}

// plants are interfaces in a namespace of the test, one for each namespace of
// a process: the kernel takes each away when the namespace with the cable's
// other end ends, and not before.
type plants struct {
	pid  int
	ns   *kernel.NetNS
	conn *kernel.Conn
	all  []rpdb.LinkName
}

// plant finds the namespaces of a process by its descriptors.
func plant(t *testing.T, pid int) plants {
	t.Helper()
	ns, err := kernel.NewNetNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	conn, err := kernel.Open(kernel.Options{NetNS: ns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := plants{pid: pid, ns: ns, conn: conn}
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, d := range append(descriptors, fmt.Sprintf("/proc/%d/ns/net", pid)) {
		if target, _ := os.Readlink(d); strings.HasPrefix(target, "net:") && !seen[target] {
			seen[target] = true
			p.add(t, d)
		}
	}
	if len(p.all) != 4 { // host, outside, two gateways
		t.Fatalf("found %d namespaces: %v", len(p.all), seen)
	}
	return p
}

func (p *plants) add(t *testing.T, path string) {
	t.Helper()
	other, err := kernel.OpenNetNS(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	name := rpdb.LinkName(fmt.Sprintf("plant%d", len(p.all)))
	if err := p.conn.AddVeth(kernel.VethEnd{Name: name}, kernel.VethEnd{Name: "plant", NetNS: other}); err != nil {
		t.Fatal(err)
	}
	p.all = append(p.all, name)
}

// gone waits until the process and all its namespaces are gone.
func (p plants) gone(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		s, err := p.conn.Snapshot(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for _, l := range s.Links {
			if strings.HasPrefix(string(l.Name), "plant") {
				left++
			}
		}
		alive := unix.Kill(p.pid, 0) == nil
		if left == 0 && !alive {
			return
		}
		if time.Now().After(deadline) {
			_ = unix.Kill(p.pid, unix.SIGKILL)
			t.Fatalf("%d of %d namespaces left, process alive: %v", left, len(p.all), alive)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestStartError(t *testing.T) {
	t.Parallel()
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSPC, unix.EINVAL} {
		err := startError(&os.PathError{Op: "fork/exec", Path: "/proc/self/exe", Err: errno})
		if !errors.Is(err, ErrRefused) || !errors.Is(err, errno) {
			t.Errorf("%v: got %v", errno, err)
		}
	}
	if err := startError(&os.PathError{Op: "fork/exec", Path: "/proc/self/exe", Err: unix.ENOENT}); errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
}

// TestEnterCancelled: who was interrupted before does not begin.
func TestEnterCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if inside, code, err := Enter(ctx, EnterOptions{}); inside || code != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("inside %v, code %d, %v", inside, code, err)
	}
}
