package cli

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rpdb/kernel/kerneltest"
)

// TestNATRuleThatCannotBe: without privilege, and beside a table of nftables that has
// our name and is not ours, nothing is made, and the reason is said. A rule that
// translates nothing is none of their business.
func TestNATRuleThatCannotBe(t *testing.T) {
	words := []string{"rule", "add", "from", "10.1.0.0/24", "table", "100", "nat", "203.0.113.0"}
	for name, c := range map[string]struct {
		setUp []string
		attr  *syscall.SysProcAttr
		want  []string
	}{
		"without privilege": {nil, &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}, []string{"rpdb: rule add: nftables shows itself only to those who may change it: operation not permitted", "hint: changing rules and routes needs CAP_NET_ADMIN"}},
		"table of others": {[]string{"nft", "add table ip rpdb"}, nil, []string{"the table rpdb of nftables is not ours: table ip rpdb"}},
	} {
		host := kerneltest.Real(t)
		if err := kerneltest.Script(t.Context(), host, "ip link add eth0 type veth peer name gw0", "ip link set eth0 up", "ip link set gw0 up", "ip route add default dev eth0 table 100"); err != nil {
			t.Fatal(err)
		}
		before, err := host.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr strings.Builder
		err = host.NetNS().Do(func() error {
			if c.setUp != nil {
				if _, err := exec.LookPath(c.setUp[0]); err != nil {
					t.Skip("needs the program nft: ", err)
				}
				if err := exec.Command(c.setUp[0], c.setUp[1:]...).Run(); err != nil {
					return err
				}
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Args = append([]string{"rpdb-program"}, words...)
			cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &stdout, &stderr, c.attr
			cmd.Env = append(os.Environ(), rootVariable+"="+t.TempDir())
			return cmd.Run()
		})
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitFailed || stdout.Len() > 0 {
			t.Errorf("%s: %v, stdout %q", name, err, stdout.String())
		}
		for _, want := range c.want {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%s: stderr lacks %q:\n%s", name, want, stderr.String())
			}
		}
		after, err := host.Snapshot(t.Context())
		if err != nil || !slices.Equal(after.Rules, before.Rules) || len(after.NATRules()) > 0 {
			t.Errorf("%s: something was changed, %v", name, err)
		}
	}
}
