package faults

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const networkd = "/usr/lib/systemd/systemd-networkd"

// managed is a host on which systemd-networkd runs: the daemon itself, without a
// first process, a bus and udev, which it takes a read-only /sys for. It manages
// eth1 when that comes, and has nothing to do with eth0.
type managed struct {
	*host
	daemon *exec.Cmd
}

// manage starts the daemon with a configuration.
func manage(t *testing.T, h *host, conf string) managed {
	t.Helper()
	uid, gid := networkUser(t)
	err := h.NetNS().Do(func() error { // /sys shows the namespace that it is mounted from
		fd, err := unshareMounts(func() error { return furnish(conf, uid, gid) })
		if err == nil {
			t.Cleanup(func() { unix.Close(fd) })
			h.mounts = mounts{fd}.enter
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m := managed{h, exec.Command(networkd)}
	m.daemon.Env = []string{"SYSTEMD_LOG_LEVEL=err"}
	said := h.output(t)
	t.Cleanup(func() { said.Close() })
	m.daemon.Stdout, m.daemon.Stderr = said, said
	err = h.NetNS().Do(func() error {
		if err := h.mounts(); err != nil {
			return err
		}
		return m.daemon.Start()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = m.daemon.Process.Kill()
		_ = m.daemon.Wait()
		if t.Failed() {
			t.Logf("networkd said: %s", h.said(t, said))
		}
	})
	m.await(t, "eth0", "unmanaged")
	return m
}

// furnish makes a new mount namespace fit for the daemon, which is to find nothing
// of this machine's configuration, and to leave nothing on it.
func furnish(conf string, uid, gid int) error {
	for _, dir := range []string{"/run", "/etc/systemd", "/var/lib/systemd"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("cover %s: %w", dir, err)
		}
	}
	network := "[Match]\nName=eth1\n[Network]\nAddress=198.51.100.10/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
	for file, text := range map[string]string{
		"/etc/systemd/networkd.conf":           conf,
		"/run/systemd/network/eth1.network":    network,
		"/run/systemd/netif/links/.nothing":    "",
		"/run/systemd/netif/leases/.nothing":   "",
		"/var/lib/systemd/network/.nothing":    "",
		"/run/systemd/netif/lldp/.nothing":     "",
		"/run/systemd/netif/routes.d/.nothing": "",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	err := filepath.WalkDir("/run/systemd", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	})
	if err != nil {
		return err
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("cover /sys: %w", err)
	}
	return nil
}

// networkUser is whom the daemon runs as. Where it cannot run, the test is
// skipped.
func networkUser(t *testing.T) (uid, gid int) {
	t.Helper()
	if _, err := os.Stat(networkd); err != nil {
		t.Skip(err)
	}
	if !mapped(t, 0, 65534) {
		t.Skip("only root can start systemd-networkd: it becomes somebody else")
	}
	users, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(users)) {
		if f := strings.Split(line, ":"); f[0] == "systemd-network" {
			uid, _ = strconv.Atoi(f[2])
			gid, _ = strconv.Atoi(f[3])
			return uid, gid
		}
	}
	t.Skip("there is no user systemd-network")
	return 0, 0
}

// mapped reports whether all of these users exist in this user namespace.
func mapped(t *testing.T, first, last uint64) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	var inside, outside, count uint64
	_, err = fmt.Sscan(string(data), &inside, &outside, &count)
	return err == nil && inside <= first && last < inside+count
}

// await waits until an interface is in a state of the daemon.
func (m managed) await(t *testing.T, name, want string) {
	t.Helper()
	s, err := m.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range s.Links {
		if string(l.Name) == name {
			file := fmt.Sprintf("/proc/%d/root/run/systemd/netif/links/%d", m.daemon.Process.Pid, l.Index)
			eventually(t, name+" is "+want, func() bool {
				state, err := os.ReadFile(file)
				return err == nil && bytes.Contains(state, []byte("ADMIN_STATE="+want))
			})
			return
		}
	}
	t.Fatalf("there is no %s", name)
}

// plug brings an interface that the daemon configures.
func (m managed) plug(t *testing.T) {
	t.Helper()
	m.script(t, "ip link add eth1 type veth peer name gw1", "ip link set eth1 up", "ip link set gw1 up")
	m.await(t, "eth1", "configured")
}

// TestNetworkdDeletesRules of others when an interface comes (C4). rpdb has warned
// of that, sees it, and puts right what was its own.
func TestNetworkdDeletesRules(t *testing.T) {
	h := newHost(t)
	h.want(t, 0, "apply", "A.yaml")
	before := h.look(t)
	m := manage(t, h, "[Network]\nManageForeignRoutes=no\n")
	for _, args := range [][]string{{"check"}, {"plan", "B.yaml"}} {
		if said := h.want(t, 0, args...); !strings.Contains(said, "systemd-networkd runs here, and deletes rules") {
			t.Errorf("%q does not warn: %s", args, said)
		}
	}
	if h.look(t) != before {
		t.Error("its start alone has changed our rules")
	}
	m.plug(t)
	eventually(t, "it deletes our rules, or the warning is about nothing", func() bool { return h.look(t).ours != before.ours })
	if said := h.want(t, 3, "status"); !strings.Contains(said, "Drifted") {
		t.Errorf("status: %s", said)
	}
	t.Log(h.want(t, 0, "repair"))
	h.want(t, 0, "status")
	if now := h.look(t); now.ours != before.ours || now.torn != "" {
		t.Errorf("after repair there is of ours\n%s\ninstead of\n%s; %s", now.ours, before.ours, now.torn)
	}
}

// TestNetworkdLeavesRules where it is told to, and nobody is warned.
func TestNetworkdLeavesRules(t *testing.T) {
	h := newHost(t)
	h.want(t, 0, "apply", "A.yaml")
	before := h.look(t)
	m := manage(t, h, "[Network]\nManageForeignRoutingPolicyRules=no\nManageForeignRoutes=no\n")
	if said := h.want(t, 0, "check"); strings.Contains(said, "systemd-networkd runs here") {
		t.Errorf("it warns: %s", said)
	}
	m.plug(t)
	if h.look(t).ours != before.ours {
		t.Errorf("of ours there is\n%s\ninstead of\n%s", h.look(t).ours, before.ours)
	}
	h.want(t, 0, "status")
}
