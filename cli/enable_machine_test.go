package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rpdb/boot"
	"rpdb/internal/systemdtest"
)

// bootedHost is a machine with systemd, an uplink of both families, and rpdb
// installed.
type bootedHost struct {
	*systemdtest.Machine
	t *testing.T
}

// wholeUplink is what status says of either policy of such a machine.
const wholeUplink = "In sync: 10 rules and routes"

// onMachine is where rpdb is on a machine: this test, which is rpdb by that name.
const onMachine = "/usr/local/sbin/rpdb-program"

func newBootedHost(t *testing.T) *bootedHost {
	h := &bootedHost{systemdtest.New(t), t}
	h.Install(onMachine, "/proc/self/exe", 0o755)
	h.Write("/usr/local/sbin/wires", `#!/bin/sh -e
ip link add eth0 type veth peer name gw0
ip link set eth0 up
ip link set gw0 up
ip addr add 192.168.0.10/24 dev eth0
ip addr add 2001:db8:a::10/64 dev eth0 nodad
`, 0o755)
	h.wires("Before=rpdb.service")
	if err := os.MkdirAll(h.Path("/etc/systemd/system/multi-user.target.wants"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../wires.service", h.Path("/etc/systemd/system/multi-user.target.wants/wires.service")); err != nil {
		t.Fatal(err)
	}
	h.Write("/etc/one.yaml", "uplinks: [{interface: eth0, gateways: [192.168.0.1, '2001:db8:a::1']}]\n", 0o644)
	h.Write("/etc/two.yaml", "uplinks: [{interface: eth0, gateways: [192.168.0.2, '2001:db8:a::2']}]\n", 0o644)
	return h
}

// wires makes a unit that makes the uplink when the machine boots.
func (h *bootedHost) wires(order string) {
	h.Write("/etc/systemd/system/wires.service",
		"[Unit]\nDefaultDependencies=no\n"+order+"\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/sbin/wires\n", 0o644)
}

// says checks what a command of rpdb on the machine prints.
func (h *bootedHost) says(want string, args ...string) {
	h.t.Helper()
	if out := h.Run(append([]string{onMachine}, args...)...); !strings.Contains(out, want) {
		h.t.Errorf("%s lacks %q:\n%s", strings.Join(args, " "), want, out)
	}
}

// becomes waits until the status of the machine says something.
func (h *bootedHost) becomes(want string) {
	h.t.Helper()
	var out []byte
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if out, _ = h.Command(onMachine, "status").CombinedOutput(); strings.Contains(string(out), want) {
			return
		}
	}
	h.t.Fatalf("%q does not come; the status is\n%s", want, out)
}

// unit waits until a unit of systemd is active, inactive and so on.
func (h *bootedHost) unit(name, want string) {
	h.t.Helper()
	var got string
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		out, _ := h.Command("systemctl", "show", "--value", "-p", "ActiveState", name).CombinedOutput()
		if got = strings.TrimSpace(string(out)); got == want {
			return
		}
	}
	h.t.Fatalf("%s is %s, want %s", name, got, want)
}

// refusesUsers checks that an ordinary user can enable nothing, and gets to know
// why.
func (h *bootedHost) refusesUsers(before string) {
	h.t.Helper()
	out, err := h.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", onMachine, "enable").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "permission denied") || !strings.Contains(string(out), "hint: this needs more rights: run it as root") || strings.Contains(string(out), "--state-dir") {
		h.t.Errorf("enable, by a user: %v\n%s", err, out)
	}
	if after := files(h.t, h.Path("/etc")); after != before {
		h.t.Errorf("left in /etc:\n%s\nbefore:\n%s", after, before)
	}
}

// caged checks that the watch may do what it needs to, and nothing else: so what
// it does is done in the cage that the unit describes.
func (h *bootedHost) caged() {
	h.t.Helper()
	pid := strings.TrimSpace(h.Run("systemctl", "show", "--value", "-p", "MainPID", "rpdb-watch.service"))
	status := h.Run("cat", "/proc/"+pid+"/status")
	for _, want := range []string{"CapEff:\t0000008000001000", "CapBnd:\t0000008000001000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want+"\n") {
			h.t.Errorf("the watch has not %q:\n%s", want, status)
		}
	}
	const bootID = "/proc/sys/kernel/random/boot_id"
	if got, want := h.Run("nsenter", "-t", pid, "-m", "cat", bootID), h.Run("cat", bootID); got != want {
		h.t.Errorf("the watch has the boot id %s, the machine %s", got, want)
	}
}

// leavesTrials checks that the watch repairs what is on trial, and does not end it.
func (h *bootedHost) leavesTrials() {
	h.t.Helper()
	h.says("is unconfirmed", "apply", "/etc/two.yaml", "--confirm", "1h")
	for _, family := range []string{"-4", "-6"} {
		for _, table := range []string{"82000", "83000"} { // one of the two is in use
			_ = h.Command("ip", family, "route", "flush", "table", table).Run()
		}
	}
	h.becomes(wholeUplink)
	h.becomes("Generation 2, trial,")
	h.says("is rolled back", "rollback")
}

// TestEnableOnAMachine enables a policy on a machine with a real systemd, which
// boots again and again.
func TestEnableOnAMachine(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := newBootedHost(t)
	h.Boot()
	before := files(t, h.Path("/etc"))
	h.says("note: generation 1 is gone after a boot, unless", "apply", "/etc/one.yaml", "-m", "one")
	h.refusesUsers(before)
	h.says("Not enabled: it is gone after a boot, and nothing repairs it", "status")
	h.says("note: done: systemctl daemon-reload", "enable")
	h.unit("rpdb.service", "active")
	h.unit("rpdb-watch.service", "active")
	h.caged()

	// Who does without the watch has none that runs on without its file.
	h.says("note: done: systemctl --no-block stop rpdb-watch.service", "enable", "--no-watch")
	h.unit("rpdb-watch.service", "inactive")
	h.unit("rpdb.service", "active")
	h.says(wholeUplink, "status")
	h.says("Enabled: it comes back at boot, and hooks repair it; no watch runs.", "status")
	h.says("note: done: systemctl --no-block restart ", "enable")
	h.unit("rpdb-watch.service", "active")
	h.becomes("Enabled: it comes back at boot, and a watch repairs it with each change.")

	// The watch, in its cage, puts right what an event takes.
	h.Run("ip", "link", "set", "eth0", "down")
	h.Run("ip", "link", "set", "eth0", "up")
	h.becomes("uplink eth0 (IPv6): no IPv6 address on eth0") // the kernel takes that
	h.Run("ip", "addr", "add", "2001:db8:a::10/64", "dev", "eth0", "nodad")
	h.becomes(wholeUplink)
	h.leavesTrials()

	// A boot ends the trial, and brings back what was confirmed before anything
	// asks for it.
	h.says("Generation 3 is unconfirmed", "apply", "/etc/two.yaml", "--confirm", "1h")
	h.Reboot()
	h.unit("rpdb.service", "active")
	h.becomes(wholeUplink)
	h.says("Generation 1, confirmed", "status")
	h.says("the machine was booted before it was confirmed", "history", "show", "3")
	for family, gateway := range map[string]string{"-4": "192.168.0.1", "-6": "2001:db8:a::1"} {
		if out := h.Run("ip", family, "route", "show", "table", "82000"); !strings.Contains(out, "default via "+gateway+" ") {
			t.Errorf("table 82000 has\n%s", out)
		}
	}

	// The interface comes after the boot unit, for which that is no failure.
	h.wires("After=network.target")
	h.Reboot()
	h.unit("rpdb.service", "active")
	h.becomes(wholeUplink)
	if out := h.Run("systemctl", "--failed", "--plain", "--no-legend"); strings.Contains(out, "rpdb") {
		t.Errorf("failed:\n%s", out)
	}

	// What is confirmed is what the file says.
	policy := func(want string) {
		t.Helper()
		if have, wanted := h.Run("cat", "/etc/rpdb/policy.yaml"), h.Run("cat", want); have != wanted {
			t.Errorf("the policy is\n%s\nand not\n%s", have, wanted)
		}
	}
	policy("/etc/one.yaml")
	h.says("changes made", "apply", "/etc/two.yaml")
	policy("/etc/two.yaml")
	h.says("is unconfirmed", "apply", "/etc/one.yaml", "--confirm", "1h")
	policy("/etc/two.yaml")
	h.says("is confirmed", "confirm")
	policy("/etc/one.yaml")

	// Nothing is left, neither now nor after a boot.
	h.says("note: done: systemctl --no-block stop rpdb.service rpdb-watch.service", "disable")
	h.unit("rpdb.service", "inactive")
	h.unit("rpdb-watch.service", "inactive")
	h.becomes("Not enabled: it is gone after a boot, and nothing repairs it")
	if after := files(t, h.Path("/etc")); after != before {
		t.Errorf("left in /etc:\n%s\nbefore:\n%s", after, before)
	}
	h.Reboot()
	h.unit("rpdb.service", "inactive")
	h.unit("rpdb-watch.service", "inactive")
	if out := h.Run("ip", "rule") + h.Run("ip", "-6", "rule"); strings.Contains(out, "82000") {
		t.Errorf("rules after disable and a boot:\n%s", out)
	}
}

// files lists the files below a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// TestEnableBesideNetworkd has a real systemd-networkd configure the uplink, which
// deletes the rules of others then and calls no hook: the watch puts them back.
func TestEnableBesideNetworkd(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := newBootedHost(t)
	for _, file := range []string{"/lib/systemd/system/systemd-networkd.service", "/lib/systemd/system/systemd-networkd.socket"} {
		if _, err := os.Stat(file); err != nil {
			t.Skip("systemd-networkd is not installed")
		}
		h.Install(file, file, 0o644)
	}
	h.Write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nsystemd-network:x:998:998::/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n", 0o644)
	h.Write("/etc/group", "root:x:0:\nsystemd-network:x:998:\nsystemd-journal:x:101:\nnogroup:x:65534:\n", 0o644)
	h.Write("/usr/local/sbin/wires", "#!/bin/sh -e\nip link add eth0 type veth peer name gw0\nip link set gw0 up\n", 0o755)
	h.Write("/etc/systemd/network/10-eth0.network", "[Match]\nName=eth0\n[Network]\nAddress=192.168.0.10/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"+
		"[Address]\nAddress=2001:db8:a::10/64\nDuplicateAddressDetection=none\n", 0o644)
	h.Boot()
	h.Run("systemctl", "enable", "--now", "systemd-networkd.service")
	if out, _ := h.Command(onMachine, "apply", "/etc/one.yaml").CombinedOutput(); len(out) == 0 {
		t.Fatal("apply says nothing")
	}
	h.says("note: systemd-networkd runs here, and deletes rules", "enable")
	h.becomes(wholeUplink)
	for _, event := range [][]string{
		{"sh", "-c", "ip link del eth0; /usr/local/sbin/wires"}, // hot-plugged
		{"systemctl", "restart", "systemd-networkd.service"},
	} {
		h.Run(event...)
		time.Sleep(100 * time.Millisecond) // for networkd to begin; sooner or later is no failure
		h.becomes(wholeUplink)
	}
	h.Reboot()
	h.becomes(wholeUplink)
}

// TestRCLocalBoots boots machines by the script that is placed where there is no
// systemd, as systemd runs rc.local for those who still have one.
func TestRCLocalBoots(t *testing.T) {
	t.Parallel() // it waits most of the time
	const unit = "/lib/systemd/system/rc-local.service"
	if _, err := os.Stat(unit); err != nil {
		t.Skip("systemd has no rc-local.service here")
	}
	h := newBootedHost(t)
	h.wires("Before=rc-local.service")
	h.Install(unit, unit, 0o644)
	if err := os.Symlink(unit, h.Path("/etc/systemd/system/multi-user.target.wants/rc-local.service")); err != nil {
		t.Fatal(err)
	}
	for _, f := range boot.Files(boot.Host{}, boot.Options{Program: onMachine}) {
		h.Write(f.Path, f.Text, f.Mode)
	}
	h.Boot() // with nothing applied
	h.unit("rc-local.service", "active")
	h.says("made and read back", "apply", "/etc/one.yaml")

	h.Reboot()
	h.unit("rc-local.service", "active")
	h.says(wholeUplink, "status")
	h.Run("/etc/rc.local", "start")
	h.says(wholeUplink, "status")
	if n := h.rules("from 192.168.0.10 lookup"); n != 1 {
		t.Errorf("%d rules:\n%s", n, h.Run("ip", "rule"))
	}

	// It cannot do what it is for, and the machine boots all the same.
	h.Write("/var/lib/rpdb/journal", "nonsense\n", 0o600)
	h.Reboot()
	h.unit("rc-local.service", "active")
	h.Run("mv", onMachine, onMachine+"-elsewhere")
	h.Reboot()
	h.unit("rc-local.service", "active")
	if out := h.Run("ip", "rule"); strings.Contains(out, "82000") {
		t.Errorf("rules, and nobody was there to make them:\n%s", out)
	}
}
