package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
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
		t.Run(name, func(t *testing.T) {
			host := kerneltest.Real(t)
			if err := kerneltest.Script(t.Context(), host, "ip link add eth0 type veth peer name gw0", "ip link set eth0 up", "ip link set gw0 up", "ip route add default dev eth0 table 100"); err != nil {
				t.Fatal(err)
			}
			before, err := host.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.setUp != nil {
				if _, err := exec.LookPath(c.setUp[0]); err != nil {
					t.Skip("needs the program nft: ", err)
				}
			}
			var stdout, stderr strings.Builder
			err = host.NetNS().Do(func() error {
				if c.setUp != nil {
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
				t.Errorf("%v, stdout %q", err, stdout.String())
			}
			for _, want := range c.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr lacks %q:\n%s", want, stderr.String())
				}
			}
			after, err := host.Snapshot(t.Context())
			if err != nil || !slices.Equal(after.Rules, before.Rules) || len(after.NATRules()) > 0 {
				t.Errorf("something was changed, %v", err)
			}
		})
	}
}

// TestNATRuleWithoutPrograms: where the kernel takes no programs, from this process or
// at all, a rule of IPv6 that translates is not made, in part neither, and it is said
// what it takes. Nor is one repaired; it can be deleted.
func TestNATRuleWithoutPrograms(t *testing.T) {
	host := kerneltest.Real(t)
	if err := kerneltest.Script(t.Context(), host, "sysctl net.ipv6.conf.default.addr_gen_mode=1", "ip link add eth0 type veth peer name gw0",
		"ip link set eth0 up", "ip link set gw0 up", "ip -6 addr add 2001:db8::10/64 dev eth0 nodad", "ip -6 route add default via 2001:db8::1 table 100"); err != nil {
		t.Fatal(err)
	}
	state := func() *rpdb.Snapshot {
		s, err := hostDoors{host.Conn}.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	root := t.TempDir()
	run := func(errno unix.Errno, words ...string) (stderr string, exit int) {
		var text strings.Builder
		cmd := program(t, words...)
		cmd.Stderr, cmd.Env = &text, append(os.Environ(), rootVariable+"="+root)
		started := make(chan error)
		go func() {
			started <- host.NetNS().Do(func() error { return withoutBPF(cmd, errno) })
		}()
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Fatal(err)
		}
		return text.String(), cmd.ProcessState.ExitCode()
	}
	add := []string{"rule", "add", "from", "fd00:1::/64", "table", "100", "nat", "2001:db8:c::"}
	const failed = "rpdb: rule add: add route default table 84500 (IPv6): operation not "
	for errno, want := range map[unix.Errno]string{
		unix.EPERM:  failed + "permitted: to load the program rpdb-nat-84500 takes CAP_BPF and CAP_NET_ADMIN in the first user namespace\nhint: translating IPv6 needs CAP_BPF ",
		unix.ENOSYS: failed + "supported: the program rpdb-nat-84500 takes a kernel with the options BPF_SYSCALL and LWTUNNEL_BPF\n",
	} {
		stderr, exit := run(errno, add...)
		if exit != exitFailed || !strings.HasPrefix(stderr, want) || strings.Contains(stderr, "CAP_NET_ADMIN: run it as root") {
			t.Errorf("%v: exit code %d: %s", errno, exit, stderr)
		}
		if s := state(); len(s.NATRules()) > 0 || !s.NAT.IsZero() {
			t.Errorf("%v: left are %+v, %+v", errno, s.NATRules(), s.NAT)
		}
	}
	if !kerneltest.FirstUserNamespace() {
		return
	}
	cmd := program(t, add...)
	cmd.Env = append(os.Environ(), rootVariable+"="+root)
	if err := host.NetNS().Do(cmd.Run); err != nil {
		t.Fatal(err)
	}
	if err := kerneltest.Script(t.Context(), host, "ip -6 route add 2001:db8:7::/48 via 2001:db8::2 table 100"); err != nil {
		t.Fatal(err)
	}
	before := state()
	if stderr, exit := run(unix.EPERM, "repair"); exit != exitFailed || !strings.Contains(stderr, "hint: translating IPv6 needs CAP_BPF") {
		t.Errorf("repair: exit code %d: %s", exit, stderr)
	}
	if is := state(); !reflect.DeepEqual(is.NATRules(), before.NATRules()) {
		t.Errorf("repaired to %+v from %+v", is.NATRules(), before.NATRules())
	}
	if stderr, exit := run(unix.EPERM, "rule", "del", "nat", "2001:db8:c::"); exit != 0 {
		t.Errorf("delete: exit code %d: %s", exit, stderr)
	}
	if s := state(); len(s.NATRules()) > 0 || !s.NAT.IsZero() {
		t.Errorf("deleted, there are %+v, %+v", s.NATRules(), s.NAT)
	}
}

// endingContext ends when it was asked so many times whether it has.
type endingContext struct {
	context.Context
	left int
}

func (c *endingContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestNATRuleInterrupted: wherever it is, nothing is left, and it is said that what had
// been done was taken back.
func TestNATRuleInterrupted(t *testing.T) {
	host := kerneltest.Real(t)
	if err := kerneltest.Script(t.Context(), host, "ip link add eth0 type veth peer name gw0", "ip link set eth0 up", "ip link set gw0 up", "ip addr add 198.51.100.10/24 dev eth0",
		"ip route add default via 198.51.100.1 table 100", "ip route add 198.18.0.0/16 via 198.51.100.1 table 100"); err != nil {
		t.Fatal(err)
	}
	back := 0
	for n := 0; ; n++ {
		a := &app{Streams: Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, root: t.TempDir()}
		err := host.NetNS().Do(func() error {
			return a.runRule(&endingContext{t.Context(), n}, strings.Fields("add from 10.1.0.0/24 table 100 nat 203.0.113.0 pref 500"))
		})
		s, readErr := hostDoors{host.Conn}.Snapshot(t.Context())
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err == nil {
			if len(s.NATRules()) != 1 {
				t.Errorf("made are %+v", s.NATRules())
			}
			break
		}
		if !errors.Is(err, context.Canceled) || len(s.NATRules()) > 0 || !s.NAT.IsZero() {
			t.Errorf("interrupted at %d: %v; left are %+v", n, err, s.NATRules())
		}
		if strings.Contains(err.Error(), "apply step") {
			t.Errorf("interrupted at %d: %v speaks of a plan that nobody has seen", n, err)
		}
		if strings.HasPrefix(err.Error(), "rule add: ") && strings.HasSuffix(err.Error(), ": what had been done was taken back") {
			back++
		}
	}
	if back < 3 {
		t.Errorf("in %d places it was said that what had been done was taken back", back)
	}
}
