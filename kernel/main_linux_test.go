package kernel

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"rpdb"
)

// inUserNS marks the process that runs the tests inside a user namespace.
const inUserNS = "RPDB_TEST_IN_USER_NAMESPACE"

// TestMain runs the tests as they are for root, and otherwise once more inside
// a user namespace of which the ordinary user is root.
func TestMain(m *testing.M) {
	flag.Parse()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true"
	if os.Geteuid() == 0 || os.Getenv(inUserNS) != "" || fuzzing {
		before := descriptors()
		code := m.Run()
		if left := descriptors() - before; left > 0 && code == 0 && !fuzzing {
			fmt.Fprintf(os.Stderr, "%d sockets, namespaces and programs are left open\n", left)
			code = 1
		}
		os.Exit(code)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inUserNS+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintf(os.Stderr, "no user namespaces here, tests of the kernel are skipped: %v\n", err)
		os.Exit(m.Run())
	}
}

// descriptors counts the open sockets, namespaces and programs of the process.
func descriptors() (n int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "net:") || strings.HasSuffix(to, "bpf-prog") {
			n++
		}
	}
	return n
}

// namespace returns a new network namespace and a connection to it.
func namespace(t testing.TB) (*NetNS, *Conn) {
	t.Helper()
	ns, err := NewNetNS()
	if err != nil {
		t.Skipf("needs a network namespace: %v", err)
	}
	c, err := Open(Options{NetNS: ns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), ns.Close()); err != nil {
			t.Error(err)
		}
	})
	must(t, c.SetLink("lo", LinkChange{Up: true}))
	return ns, c
}

// uplinks is a namespace with two cables whose other ends lie in a second
// namespace: eth0 with 192.0.2.1/24 and 2001:db8::1/64, eth1 with
// 198.51.100.1/24 and 2001:db8:1::1/64.
func uplinks(t testing.TB) (*NetNS, *Conn) {
	t.Helper()
	ns, c := namespace(t)
	far, outside := namespace(t)
	for i, p := range []struct{ v4, v6 string }{
		{"192.0.2.1/24", "2001:db8::1/64"}, {"198.51.100.1/24", "2001:db8:1::1/64"},
	} {
		near := rpdb.LinkName(fmt.Sprintf("eth%d", i))
		peer := rpdb.LinkName(fmt.Sprintf("peer%d", i))
		must(t, c.AddVeth(VethEnd{Name: near}, VethEnd{Name: peer, NetNS: far}))
		must(t, outside.SetLink(peer, LinkChange{Up: true}))
		must(t, c.SetLink(near, LinkChange{Up: true}))
		must(t, c.AddAddress(near, netip.MustParsePrefix(p.v4), AddressOptions{}))
		must(t, c.AddAddress(near, netip.MustParsePrefix(p.v6), AddressOptions{NoDAD: true}))
	}
	return ns, c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func snapshot(t testing.TB, c *Conn) *rpdb.Snapshot {
	t.Helper()
	s, err := c.Snapshot(context.Background())
	must(t, err)
	return s
}

func index(t testing.TB, c *Conn, name rpdb.LinkName) rpdb.LinkIndex {
	t.Helper()
	i, err := c.linkIndex(name)
	must(t, err)
	return i
}

func addRule(r rpdb.Rule) rpdb.Change    { return rpdb.RuleChange(rpdb.Add, r) }
func deleteRule(r rpdb.Rule) rpdb.Change { return rpdb.RuleChange(rpdb.Delete, r) }
func addRoute(r rpdb.Route) rpdb.Change  { return rpdb.RouteChange(rpdb.Add, r) }
func delRoute(r rpdb.Route) rpdb.Change  { return rpdb.RouteChange(rpdb.Delete, r) }
func prefix(s string) netip.Prefix       { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr           { return netip.MustParseAddr(s) }
func do(c *Conn, ch rpdb.Change) error   { return c.Do(context.Background(), ch) }
