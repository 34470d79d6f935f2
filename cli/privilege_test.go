package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rpdb"
	"rpdb/kernel/kerneltest"
)

// TestApplyWithoutPrivilege runs apply in a host that belongs to another user
// namespace: all but nf_tables can be read, and nothing changed.
func TestApplyWithoutPrivilege(t *testing.T) {
	host := kerneltest.Real(t)
	err := kerneltest.Script(t.Context(), host,
		"sysctl net.ipv6.conf.default.addr_gen_mode=1",
		"ip link add eth0 type veth peer name gw0", "ip link set eth0 up", "ip link set gw0 up",
		"ip addr add 192.168.0.10/24 dev eth0")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	text := "uplinks: [{interface: eth0, gateways: [192.168.0.1]}]\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	before, err := host.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	err = host.NetNS().Do(func() error {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{"rpdb-program", "apply", file}
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Env = append(os.Environ(), rootVariable+"="+filepath.Dir(file))
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		return cmd.Run()
	})
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitFailed {
		t.Fatalf("apply: %v\n%s", err, stderr.String())
	}
	for _, want := range []string{"operation not permitted", "hint: changing rules and routes needs CAP_NET_ADMIN"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr lacks %q:\n%s", want, stderr.String())
		}
	}
	if stdout.Len() > 0 { // it came to no plan
		t.Errorf("stdout %q", stdout.String())
	}
	after, err := host.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The kernel itself may still add routes of the interface that came up.
	ours := func(r rpdb.Route) bool { return r.Protocol == rpdb.ProtocolRPDB }
	if !slices.Equal(after.Rules, before.Rules) || slices.ContainsFunc(after.Routes, ours) {
		t.Error("something was changed")
	}
}
