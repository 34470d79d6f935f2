package cli

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/kernel/kerneltest"
	"rpdb/nft"
)

func TestPace(t *testing.T) {
	var p pace
	pauses := func(took time.Duration, changed bool, want time.Duration) {
		t.Helper()
		if got := p.after(took, changed); got != want {
			t.Errorf("a pause of %v, want %v", got, want)
		}
	}
	pauses(time.Millisecond, false, shortPause)
	pauses(time.Millisecond, true, shortPause)
	pauses(time.Millisecond, true, 2*shortPause)
	pauses(time.Millisecond, true, 4*shortPause)
	for range 100 {
		p.after(time.Millisecond, true)
	}
	pauses(time.Millisecond, true, longPause)
	pauses(time.Millisecond, false, shortPause)
	pauses(time.Second, false, pauseShare*time.Second)
}

// watchedHost is a host with an uplink, on which "rpdb repair --watch" runs.
type watchedHost struct {
	t      *testing.T
	kernel *kerneltest.Kernel
	dir    string
}

func newWatchedHost(t *testing.T) *watchedHost {
	h := &watchedHost{t, kerneltest.Real(t), t.TempDir()}
	endGuards(t, h.dir)
	h.script("sysctl net.ipv6.conf.default.addr_gen_mode=1", "ip link add eth0 type veth peer name gw0",
		"ip link set eth0 up", "ip link set gw0 up", "ip addr add 192.168.0.10/24 dev eth0", "ip addr add 2001:db8:a::10/64 dev eth0 nodad")
	for name, gateways := range map[string]string{"policy.yaml": "192.168.0.1, '2001:db8:a::1'", "two.yaml": "192.168.0.2, '2001:db8:a::2'"} {
		text := "uplinks: [{interface: eth0, gateways: [" + gateways + "]}]\n"
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *watchedHost) script(lines ...string) {
	h.t.Helper()
	if err := kerneltest.Script(h.t.Context(), h.kernel, lines...); err != nil {
		h.t.Fatal(err)
	}
}

// command is rpdb on the host.
func (h *watchedHost) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{"rpdb-program"}, append(args, "--state-dir", h.dir+"/state")...)
	cmd.Dir, cmd.Env = h.dir, append(os.Environ(), rootVariable+"="+h.dir)
	return cmd
}

func (h *watchedHost) run(args ...string) (string, error) {
	var out []byte
	err := h.kernel.NetNS().Do(func() (err error) {
		out, err = h.command(args...).CombinedOutput()
		return err
	})
	return string(out), err
}

// becomes waits until the status of the host says something.
func (h *watchedHost) becomes(what string) {
	h.t.Helper()
	var out string
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if out, _ = h.run("status"); strings.Contains(out, what) {
			return
		}
	}
	h.t.Fatalf("%q does not come; the status is\n%s", what, out)
}

// TestRepairWatch takes from a host what events take, and more; the watch puts
// it back. A trial whose guard is no more is ended, and a signal ends the watch.
func TestRepairWatch(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := newWatchedHost(t)
	var log bytes.Buffer
	watch := h.command("repair", "--watch", "--wait", "30s")
	watch.Stdout, watch.Stderr = &log, &log
	if err := h.kernel.NetNS().Do(watch.Start); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = watch.Process.Kill()
		_ = watch.Wait()
	}()
	if out, err := h.run("apply", "policy.yaml", "--wait", "30s"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const uplink6 = "ip addr add 2001:db8:a::10/64 dev eth0 nodad" // the kernel takes it with the link's going down
	for _, event := range [][]string{
		{"ip link set eth0 down", "ip link set eth0 up", uplink6},
		{"ip addr del 192.168.0.10/24 dev eth0", "ip addr add 192.168.0.11/24 dev eth0"},
		{"ip addr del 2001:db8:a::10/64 dev eth0", "ip addr add 2001:db8:a::11/64 dev eth0 nodad"},
		{"ip rule del pref 10010", "ip rule del pref 20010"},
		{"ip -6 rule del pref 10010", "ip -6 rule del pref 20010"},
		{"ip route flush table 82000", "ip route flush table 83000"},
		{"ip -6 route flush table 82000", "ip -6 route flush table 83000"},
		{"ip link del eth0", "ip link add eth0 type veth peer name gw0", "ip link set eth0 up", "ip link set gw0 up", "ip addr add 192.168.0.11/24 dev eth0", uplink6},
	} {
		if out, err := h.run("status"); err != nil {
			t.Fatalf("before %q: %v\n%s", event, err, out)
		}
		for _, line := range event { // what is gone already is no error
			_ = kerneltest.Script(t.Context(), h.kernel, line)
		}
		h.becomes(wholeUplink)
	}
	if out, err := h.run("apply", "two.yaml", "--confirm", "6s", "--wait", "30s"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	killGuard(t, h.dir+"/state")
	h.becomes("Generation 1, confirmed")
	if err := watch.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("the watch ends with %v", err)
	}
	if !strings.Contains(log.String(), "changes made and read back.") {
		t.Errorf("the watch says\n%s", log.String())
	}
}

// killGuard kills the process that is to end the trial in a state directory, if
// it has not done so.
func killGuard(t *testing.T, state string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, _ := os.ReadFile(file)
		words := strings.Split(string(data), "\x00")
		if len(words) < 4 || words[1] != guardWord || words[3] != state {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// TestWritersWaitForEachOther: nobody fails because a hook, or the service that
// repairs, is writing for a moment; but not for ever, and not who will not wait.
func TestWritersWaitForEachOther(t *testing.T) {
	h := newWatchedHost(t)
	if out, err := h.run("apply", "policy.yaml"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lock, err := os.OpenFile(filepath.Join(h.dir, "state/lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, wait := range []string{"0", "20ms"} {
		if out, err := h.run("apply", "two.yaml", "--wait", wait); err == nil || !strings.Contains(out, "another rpdb is changing this namespace") {
			t.Errorf("--wait %s: %v\n%s", wait, err, out)
		}
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN) })
	if out, err := h.run("apply", "two.yaml"); err != nil {
		t.Errorf("by default: %v\n%s", err, out)
	}
}

// TestRepairThatWasTakenBack: the state that was read back after it is no work of it.
func TestRepairThatWasTakenBack(t *testing.T) {
	var out strings.Builder
	a := &app{Streams: Streams{Out: &out, Err: io.Discard}}
	failed := apply.Result{RolledBack: true, After: &rpdb.Snapshot{}}
	if err := a.viewRepair(apply.Outcome{}, failed, nil); err != nil || out.String() != "" {
		t.Errorf("%v, said %q", err, out.String())
	}
}

// TestRepairByHandInTurns: a watch repairs rules made by hand that translate, too. What it
// does for them counts as work, so that it slows down against who undoes it; and what
// it cannot put right it says once, and again only when that was over.
func TestRepairByHandInTurns(t *testing.T) {
	h := newWatchedHost(t)
	var log strings.Builder
	a := &app{Streams: Streams{Out: &log, Err: &log}, stateDir: h.dir + "/state", root: h.dir}
	var before repairTurn
	turn := func(changes bool, want string, script ...string) {
		t.Helper()
		h.script(script...)
		log.Reset()
		err := h.kernel.NetNS().Do(func() (err error) {
			before, err = a.repairOnce(t.Context(), before.notes)
			return err
		})
		if err != nil || before.changed() != changes || (want == "") != (log.String() == "") || !strings.Contains(log.String(), want) {
			t.Errorf("after %q: %v, changed %v, said %q, want %q", script, err, before.changed(), log.String(), want)
		}
	}
	const note = "nftables translates nothing for it"
	turn(false, "")
	turn(false, note, "ip rule add from 10.9.0.0/24 pref 500 table 84007")
	turn(false, "")
	turn(false, note, "ip rule add from 10.10.0.0/24 pref 501 table 84008")
	turn(false, "")
	turn(true, "1 part put right", "ip route add blackhole 10.11.0.0/16 table 84009 proto 82")
	turn(false, "", "ip rule del pref 500", "ip rule del pref 501")
	turn(false, note, "ip rule add from 10.9.0.0/24 pref 500 table 84007")
}

// TestStatusWhileAnotherWrites: the middle of a change is neither drift nor damage. It is
// waited for, or else said who is at it.
func TestStatusWhileAnotherWrites(t *testing.T) {
	h := newWatchedHost(t)
	if out, err := h.run("apply", "policy.yaml"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	status := func(code int, want string, args ...string) {
		t.Helper()
		out, err := h.run(append([]string{"status"}, args...)...)
		exit := 0
		if e, ok := err.(*exec.ExitError); ok {
			exit = e.ExitCode()
		}
		if exit != code || !strings.Contains(out, want) || strings.Contains(want, "Being") && strings.Contains(out, "rift") {
			t.Errorf("status %q: %v, want exit code %d and %q:\n%s", args, err, code, want, out)
		}
	}
	lock, err := os.OpenFile(filepath.Join(h.dir, "state/lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	status(exitOK, "In sync: ", "--wait", "0") // what a writer has not begun
	h.script("ip rule del pref 10010")
	status(exitOpen, "Being changed: another rpdb is changing this namespace: process ", "--wait", "20ms")
	status(exitOpen, `"state": "being changed"`, "--wait", "0", "--json")
	time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN) })
	status(exitWaiting, "1 change would put it right")

	// A trial that is being written.
	record := func(to string) {
		t.Helper()
		err := h.kernel.NetNS().Do(func() error {
			j, err := journal.Open(h.dir+"/state", "", journal.Options{})
			if err != nil {
				return err
			}
			defer j.Close()
			s, err := j.Read()
			if err != nil {
				return err
			}
			s.Pending.Phase = journal.Phase(to)
			return j.Write(s)
		})
		if err != nil {
			t.Error(err)
		}
	}
	if out, err := h.run("apply", "two.yaml", "--confirm", "10m"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	record("writing")
	status(exitOpen, "Generation 2 is being written.", "--wait", "0")
	time.AfterFunc(300*time.Millisecond, func() {
		record("waiting")
		_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN)
	})
	status(exitOpen, "In sync: ")
	if out, err := h.run("confirm"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestWatchOfTranslations: who flushes nftables, as its service does when it starts, takes
// our translations along, and nothing else changes. The watch puts them back.
func TestWatchOfTranslations(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := newWatchedHost(t)
	text := "uplinks: [{interface: eth0, name: isp, gateways: [192.168.0.1]}]\nrules: [{name: a, from: 10.1.0.0/24, lookup: isp, nat: 203.0.113.0}, uplinks]\n"
	if err := os.WriteFile(filepath.Join(h.dir, "nat.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := h.run("apply", "nat.yaml"); !strings.Contains(out, "made and read back") {
		t.Fatalf("%v\n%s", err, out)
	}
	var log bytes.Buffer
	watch := h.command("repair", "--watch", "--wait", "30s")
	watch.Stdout, watch.Stderr = &log, &log
	if err := h.kernel.NetNS().Do(watch.Start); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = watch.Process.Kill()
		_ = watch.Wait()
	}()
	h.becomes("A watch repairs it with each change.")
	tables, err := nft.Open(nft.Options{NetNS: h.kernel.NetNS().FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Close()
	for range 2 {
		if err := tables.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the translation is there again", func() bool {
			s, err := tables.Read(t.Context())
			return err == nil && len(s.Translations) == 1
		})
	}
	if err := watch.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("the watch ends with %v: %s", err, log.String())
	}
}
