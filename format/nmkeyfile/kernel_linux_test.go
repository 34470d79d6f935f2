package nmkeyfile_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/format"
	"rpdb/format/nmkeyfile"
	"rpdb/internal/formattest"
	"rpdb/kernel/kerneltest"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

// profiles are those of everything that NetworkManager can say, with an address of
// lo.
func profiles(t *testing.T) ([]format.File, *rpdb.Snapshot) {
	t.Helper()
	s := formattest.Everything(t)
	s.Addresses = append(s.Addresses, rpdb.Address{Link: 1, Prefix: netip.MustParsePrefix("203.0.113.7/32"), Flags: rpdb.AddressPermanent})
	files, _ := nmkeyfile.Write(s, rpdb.Names{}, nmkeyfile.Options{})
	want, _, err := nmkeyfile.Read(files)
	if err != nil {
		t.Fatal(err)
	}
	return files, want
}

// NetworkManager reads every line and writes it in the same way.
func TestCanonical(t *testing.T) {
	if _, err := exec.LookPath("nmcli"); err != nil {
		t.Skip("NetworkManager is not installed")
	}
	files, _ := profiles(t)
	for _, f := range files {
		cmd := exec.Command("nmcli", "--offline", "connection", "modify", "connection.autoconnect", "yes")
		cmd.Stdin = strings.NewReader(f.Text)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		for line := range strings.Lines(f.Text) {
			if !slices.Contains(strings.Split(string(out), "\n"), strings.TrimSpace(line)) {
				t.Errorf("%s: %s is not in\n%s", f.Path, strings.TrimSpace(line), out)
			}
		}
	}
}

// daemons runs a bus and NetworkManager with the profiles in the first argument, in
// namespaces of their own: what they write goes to directories in memory.
const daemons = `
mount -t sysfs -o ro sysfs /sys
for dir in /run /etc/NetworkManager /var/lib/NetworkManager; do mount -t tmpfs tmpfs $dir; done
mkdir -p /run/dbus /etc/NetworkManager
cp -r $1 /etc/NetworkManager/system-connections
chown -R root /etc/NetworkManager/system-connections
chmod 600 /etc/NetworkManager/system-connections/*
cat >/run/bus.conf <<END
<busconfig>
 <type>system</type>
 <listen>unix:path=/run/dbus/system_bus_socket</listen>
 <auth>EXTERNAL</auth>
 <policy context="default">
  <allow user="*"/> <allow own="*"/>
  <allow send_type="method_call"/> <allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/> <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/> <allow receive_type="signal"/>
  <allow receive_type="method_return"/> <allow receive_type="error"/>
 </policy>
</busconfig>
END
cat >/run/nm.conf <<END
[main]
plugins=keyfile
dns=none
rc-manager=unmanaged
systemd-resolved=false
no-auto-default=*
auth-polkit=false
END
dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done
exec NetworkManager --no-daemon --config /run/nm.conf --log-level=INFO
`

// startManager starts NetworkManager on a host, until the test ends.
func startManager(t *testing.T, h *formattest.Host, files []format.File) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "profiles")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f.Path)), []byte(f.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-euc", daemons, "sh", dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it, all that it has started
		_ = cmd.Wait()
		log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s", text)
		}
	})
}

// await waits until a condition holds; the comparison that follows says what is
// wrong if it never does.
func await(done func() bool) {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && !done(); {
		time.Sleep(200 * time.Millisecond)
	}
}

// The real NetworkManager makes what the profiles say, and keeps the rules when an
// interface loses its carrier and with it its routes.
func TestRealNetworkManager(t *testing.T) {
	for _, program := range []string{"NetworkManager", "dbus-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	kerneltest.NeedUID(t, 2999)
	h := formattest.NewHost(t)
	files, want := profiles(t)
	startManager(t, h, files)
	await(func() bool {
		return slices.Equal(formattest.Meaning(formattest.Policy(h.Snapshot())), formattest.Meaning(want))
	})
	got := formattest.Policy(h.Snapshot())
	formattest.Compare(t, got, want)
	formattest.CompareAddresses(t, got, want)

	h.Shell("ip link set far1 down")
	routes := func() []rpdb.Route { return h.Snapshot().Table(rpdb.IPv4, 102) }
	await(func() bool { return len(routes()) == 0 })
	if left := routes(); len(left) != 0 {
		t.Errorf("routes stay without carrier: %v", left)
	}
	for _, f := range rpdb.Families() {
		got, want := formattest.Policy(h.Snapshot()).RulesOf(f), want.RulesOf(f)
		if len(got) != len(want) {
			t.Errorf("%d rules of %v are left, want %d", len(got), f, len(want))
		}
	}
}
