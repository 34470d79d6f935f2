package systemdtest

import (
	"bufio"
	"crypto/rand"
	_ "embed" // of boot.sh
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Machine is one machine. Its methods fail the test if they cannot do what they
// are for; they must be called by the test's goroutine, one at a time, but for
// Path and Command. The zero Machine is not ready: see [New] and [Start].
type Machine struct {
	t      testing.TB
	disk   string // the root, as long as it runs and after
	cgroup string
	boots  int
	pid    string // of systemd, "" while it is off
	holder *exec.Cmd
	// power is the standard input of the holder: the machine runs while it is
	// open.
	power io.Closer
}

// patience is how long a boot, and what should happen at once, may take.
const patience = 2 * time.Minute

//go:embed boot.sh
var bootScript string

// New returns a machine that is switched off, so that files can be installed
// before [Machine.Boot]. Its units are the targets and slices of systemd and those
// of the journal, and nothing else; it boots to multi-user.target. When the test
// ends, or its process is killed, nothing is left of it.
//
// Where there can be no machine the test is skipped with the reason: it takes
// root, systemd, and a cgroup of the second version to make another one in.
func New(t testing.TB) *Machine {
	t.Helper()
	parent, err := possible()
	if err != nil {
		t.Skipf("no machine with systemd: %v", err)
	}
	m := &Machine{t: t, disk: t.TempDir()}
	m.cgroup = filepath.Join(parent, fmt.Sprintf("systemdtest-%d%s", os.Getpid(), strings.ReplaceAll(m.disk, "/", "-")))
	if err := m.furnish(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Cut()
		if t.Failed() {
			t.Logf("the journal of the machine:\n%s", m.Journal())
		}
	})
	return m
}

// Start is New, and switches the machine on.
func Start(t testing.TB) *Machine {
	t.Helper()
	m := New(t)
	m.Boot()
	return m
}

// possible returns the cgroup of this process, or why there can be no machine.
func possible() (cgroup string, err error) {
	uids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return "", err
	}
	if os.Getuid() != 0 || strings.Join(strings.Fields(string(uids)), " ") != "0 0 4294967295" {
		return "", errors.New("only root can have one")
	}
	for _, file := range []string{systemd, "/usr/bin/systemctl", "/usr/bin/journalctl"} {
		if _, err := os.Stat(file); err != nil {
			return "", err
		}
	}
	for _, program := range []string{"sh", "find", "mount", "pivot_root", "unshare", "nsenter", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", err
		}
	}
	return ownCgroup()
}

const systemd = "/lib/systemd/systemd"

// ownCgroup returns the directory of the cgroup, of the second version, that this
// process is in.
func ownCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	memberships, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	below := ""
	for line := range strings.Lines(string(memberships)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			below = path
		}
	}
	for line := range strings.Lines(string(mounts)) {
		head, tail, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(head), strings.Fields(tail)
		if len(fields) < 5 || len(kind) == 0 || kind[0] != "cgroup2" || below == "" {
			continue
		}
		dir := filepath.Join(fields[4], strings.TrimPrefix(below, fields[3]))
		probe, err := os.MkdirTemp(dir, "systemdtest-probe-")
		if err != nil {
			return "", err
		}
		return dir, os.Remove(probe)
	}
	return "", errors.New("no cgroup of the second version is mounted here")
}

// furnish fills the disk as far as systemd needs that.
func (m *Machine) furnish() error {
	for _, dir := range []string{"etc/systemd/system", "etc/systemd/journald.conf.d", "root", "units", "usr/local/bin", "var/lib", "var/log/journal", "var/tmp"} {
		if err := os.MkdirAll(filepath.Join(m.disk, dir), 0o755); err != nil {
			return err
		}
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	for name, text := range map[string]string{
		"boot.sh":        bootScript,
		"etc/machine-id": hex.EncodeToString(id) + "\n",
		"etc/passwd":     "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"etc/group":      "root:x:0:\nsystemd-journal:x:101:\nnogroup:x:65534:\n",
		"etc/systemd/journald.conf.d/machine.conf": "[Journal]\nAudit=no\nReadKMsg=no\nStorage=persistent\nSyncIntervalSec=0\nRateLimitBurst=0\n",
	} {
		if err := os.WriteFile(filepath.Join(m.disk, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	_ = m.copy("/etc/ld.so.cache", "etc/ld.so.cache") // not everywhere is one
	if err := m.copyUnits(); err != nil {
		return err
	}
	for link, to := range map[string]string{
		"var/run":                           "/run",
		"var/lock":                          "/run/lock",
		"etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
		"units/sysinit.target.wants/systemd-journald.service":        "../systemd-journald.service",
		"units/sysinit.target.wants/systemd-journal-flush.service":   "../systemd-journal-flush.service",
		"units/sockets.target.wants/systemd-journald.socket":         "../systemd-journald.socket",
		"units/sockets.target.wants/systemd-journald-dev-log.socket": "../systemd-journald-dev-log.socket",
	} {
		link = filepath.Join(m.disk, link)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(to, link); err != nil {
			return err
		}
	}
	return nil
}

// copyUnits installs the units of systemd that only order others, and the journal.
func (m *Machine) copyUnits() error {
	for _, pattern := range []string{"*.target", "*.slice", "systemd-journal*.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"} {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(systemd), "system", pattern))
		if err != nil {
			return err
		}
		for _, file := range found {
			if err := m.copy(file, filepath.Join("units", filepath.Base(file))); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy copies a file, or a link that leads to one in the same directory, to the
// disk.
func (m *Machine) copy(from, to string) error {
	to = filepath.Join(m.disk, to)
	if link, err := os.Readlink(from); err == nil {
		return os.Symlink(link, to)
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}

// Path is where a file of the machine is found from outside, whether it runs or
// not: one of the disk. /run, /tmp, /dev, /proc and /sys are not on it, and of
// /usr only /usr/local and the units of /lib/systemd/system.
func (m *Machine) Path(file string) string {
	for _, units := range []string{"/lib/systemd/system", "/usr/lib/systemd/system"} {
		if below, ok := strings.CutPrefix(file, units); ok {
			return filepath.Join(m.disk, "units", below)
		}
	}
	return filepath.Join(m.disk, file)
}

// Write writes a file of the disk, and the directories that it needs.
func (m *Machine) Write(file, text string, mode fs.FileMode) {
	m.t.Helper()
	path := m.Path(file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

// Install copies a file of the machine that the test runs on to the disk.
func (m *Machine) Install(file, from string, mode fs.FileMode) {
	m.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		m.t.Fatal(err)
	}
	m.Write(file, string(data), mode)
}

// Boot switches the machine on, and returns when it has booted: everything that
// multi-user.target wants is started, or has failed, which is not looked at. /run
// and /tmp are empty, there is no interface but lo, and the boot id is new.
func (m *Machine) Boot() {
	m.t.Helper()
	if m.pid != "" {
		m.t.Fatal("the machine is on already")
	}
	m.boots++
	var said strings.Builder
	m.holder = exec.Command("/bin/sh", filepath.Join(m.disk, "boot.sh"), m.disk, fmt.Sprintf("%s-%d", m.cgroup, m.boots))
	m.holder.Stderr = &said
	power, err := m.holder.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := m.holder.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	m.holder.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := m.holder.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.power = power
	line, err := bufio.NewReader(out).ReadString('\n')
	if m.pid = strings.TrimSpace(line); err != nil || m.pid == "" {
		m.Cut()
		m.t.Fatalf("boot: %v: %s", err, said.String())
	}
	m.await()
}

// await waits until the machine has booted.
func (m *Machine) await() {
	m.t.Helper()
	var out []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		out, _ = m.Command("systemctl", "is-system-running").CombinedOutput()
		switch strings.TrimSpace(string(out)) {
		case "running", "degraded":
			return
		}
	}
	m.t.Fatalf("boot: not done after %v: %s", patience, out)
}

// Cut switches the machine off as a power cut does: all its processes are killed,
// and what is in /run and /tmp is lost. If it is off, nothing happens.
func (m *Machine) Cut() {
	if m.power == nil {
		return
	}
	m.power.Close()
	_ = m.holder.Wait()
	m.pid, m.power = "", nil
}

// Reboot is Cut and Boot.
func (m *Machine) Reboot() {
	m.t.Helper()
	m.Cut()
	m.Boot()
}

// Command returns a command that runs in the machine as root, in no unit, and
// that the caller starts. A signal to it reaches nsenter(1), and not the program;
// it ends with the machine.
func (m *Machine) Command(words ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.t.Context(), "nsenter", append([]string{"-t", m.pid, "-m", "-p", "-n", "-i", "-u", "-C", "--"}, words...)...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME=/root", "LANG=C.UTF-8", "SYSTEMD_PAGER="}
	return cmd
}

// Run runs a command in the machine, which must succeed, and returns what it
// printed.
func (m *Machine) Run(words ...string) string {
	m.t.Helper()
	out, err := m.Command(words...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// Journal returns what the journal of the machine holds of all its boots, whether
// it runs or not.
func (m *Machine) Journal() string {
	out, err := exec.Command("journalctl", "--no-pager", "-q", "-o", "short-monotonic", "-D", m.Path("/var/log/journal")).CombinedOutput()
	if err != nil {
		return err.Error() + "\n" + string(out)
	}
	return string(out)
}

// Processes returns the command lines of the processes of the machine, by their
// ids outside of it, as a signal needs them.
func (m *Machine) Processes() map[int][]string {
	m.t.Helper()
	own, err := os.Readlink("/proc/" + m.pid + "/ns/pid")
	if err != nil {
		m.t.Fatal(err)
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		m.t.Fatal(err)
	}
	all := map[int][]string{}
	for _, dir := range dirs {
		if ns, err := os.Readlink(dir + "/ns/pid"); err != nil || ns != own {
			continue // or it has ended meanwhile
		}
		line, err := os.ReadFile(dir + "/cmdline")
		pid, numberErr := strconv.Atoi(filepath.Base(dir))
		if err == nil && numberErr == nil && len(line) > 0 {
			all[pid] = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		}
	}
	return all
}
