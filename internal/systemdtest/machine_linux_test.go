package systemdtest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMachine boots twice, with a unit of the test.
func TestMachine(t *testing.T) {
	m := New(t)
	m.Write("/usr/local/bin/count-boots", "#!/bin/sh\ncat /proc/sys/kernel/random/boot_id >>/var/lib/boots\n", 0o755)
	m.Write("/etc/systemd/system/count-boots.service",
		"[Service]\nType=oneshot\nExecStart=/usr/local/bin/count-boots\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	start := time.Now()
	m.Boot()
	t.Logf("booted in %v", time.Since(start).Round(time.Millisecond))
	m.Run("systemctl", "enable", "--now", "count-boots.service")
	m.Run("sh", "-c", "echo lost >/run/what-is-lost; echo kept >/var/lib/what-is-kept")
	m.Reboot()
	if err := m.Command("test", "-e", "/run/what-is-lost").Run(); err == nil {
		t.Error("/run is what it was")
	}
	if got := m.Run("cat", "/var/lib/what-is-kept"); got != "kept\n" {
		t.Errorf("/var/lib: %q", got)
	}
	boots := strings.Fields(read(t, m.Path("/var/lib/boots")))
	own := strings.TrimSpace(read(t, "/proc/sys/kernel/random/boot_id"))
	if len(boots) != 2 || boots[0] == boots[1] || boots[0] == own || boots[1] == own {
		t.Errorf("boots %q, and here %q", boots, own)
	}
	m.Cut()
	if log := m.Journal(); !strings.Contains(log, "count-boots.service") {
		t.Errorf("the journal says nothing of the unit:\n%s", log)
	}
}

// TestTimer is what the machine is for.
func TestTimer(t *testing.T) {
	t.Parallel()
	m := Start(t)
	m.Run("systemd-run", "--on-active=100ms", "--timer-property=AccuracySec=1ms", "touch", "/var/lib/touched")
	eventually(t, "the timer has elapsed", func() bool { return exists(m.Path("/var/lib/touched")) })
}

// TestInsideAnother runs TestTimer in a service of such a machine: where systemd is
// the first process already, cgroups are of the second version alone, and that of
// the service is one of many.
func TestInsideAnother(t *testing.T) {
	t.Parallel()
	m := New(t)
	m.Install("/usr/local/bin/systemdtest.test", "/proc/self/exe", 0o755)
	m.Write("/etc/systemd/system/inside.service", `[Service]
Type=oneshot
Environment=TMPDIR=/var/tmp
ExecStart=/usr/local/bin/systemdtest.test -test.run ^TestTimer$ -test.v
StandardOutput=append:/var/lib/inside
StandardError=append:/var/lib/inside
`, 0o644)
	m.Boot()
	m.Run("systemctl", "start", "inside.service")
	if out := read(t, m.Path("/var/lib/inside")); !strings.Contains(out, "--- PASS: TestTimer") {
		t.Error(out)
	}
}

// TestSecluded: nothing of the machine that the test runs on can be reached.
func TestSecluded(t *testing.T) {
	t.Parallel()
	m := Start(t)
	for _, file := range []string{"/proc/sys/kernel/hostname", "/proc/sys/vm/swappiness", "/sys/kernel/uevent_seqnum", "/usr/bin/dpkg", "/lib/os-release"} {
		// Opened for writing, and nothing written. A program that runs would be busy first.
		if out, err := m.Command("sh", "-c", ": >>"+file).CombinedOutput(); err == nil || !strings.Contains(string(out), "Read-only") {
			t.Errorf("%s: %v: %s", file, err, out)
		}
	}
	for _, file := range []string{"/dev/kmsg", "/dev/mem", "/dev/disk", "/old/etc", "/var/lib/dpkg"} {
		if m.Command("test", "-e", file).Run() == nil {
			t.Errorf("%s is there", file)
		}
	}
	if got := m.Run("sh", "-c", "ls /sys/class/net"); got != "lo\n" {
		t.Errorf("interfaces %q", got)
	}
	if got := m.Run("cat", "/proc/1/comm"); got != "systemd\n" {
		t.Errorf("the first process is %q", got)
	}
	if all, err := net.Interfaces(); err != nil || len(all) == 0 {
		t.Errorf("interfaces here: %v, %v", all, err)
	}
}

// childVariable makes a test the process that is killed.
const childVariable = "RPDB_SYSTEMDTEST_CHILD"

// TestNothingIsLeft when the process of a test is killed.
func TestNothingIsLeft(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		m := Start(t)
		fmt.Printf("%s %s-%d\n", m.pid, m.cgroup, m.boots)
		select {}
	}
	if _, err := possible(); err != nil {
		t.Skipf("no machine with systemd: %v", err)
	}
	mounts := read(t, "/proc/self/mountinfo")
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestNothingIsLeft$")
	cmd.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, cgroup, _ := strings.Cut(strings.TrimSpace(line), " ")
	if killErr := cmd.Process.Kill(); err != nil || killErr != nil {
		t.Fatalf("%v, %v: %q", err, killErr, line)
	}
	_ = cmd.Wait()
	eventually(t, "its processes are gone", func() bool { return !exists(filepath.Join("/proc", pid)) })
	eventually(t, "its cgroup is gone", func() bool { return !exists(cgroup) })
	if got := read(t, "/proc/self/mountinfo"); got != mounts {
		t.Errorf("mounts before:\n%s\nand after:\n%s", mounts, got)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not even after %v: %s", patience, what)
		}
	}
}
