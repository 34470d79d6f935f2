package networkdtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// Program is the systemd-networkd that is started: RPDB_NETWORKD, or the
// machine's own.
func Program() string {
	if p := os.Getenv("RPDB_NETWORKD"); p != "" {
		return p
	}
	return "/lib/systemd/systemd-networkd"
}

// Version returns the version of systemd that the program is of. The test is
// skipped where the machine has none.
func Version(t testing.TB) int {
	t.Helper()
	if _, err := os.Stat(Program()); err != nil {
		need(t, fmt.Sprintf("no systemd-networkd: %v", err))
	}
	out, err := exec.Command(Program(), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out))
	if len(fields) < 2 {
		t.Fatalf("%s --version says %q", Program(), out)
	}
	digits, _, _ := strings.Cut(fields[1], ".")
	version, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatalf("%s --version says %q", Program(), out)
	}
	return version
}

// need skips the test, or fails it where nothing may be missing.
func need(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("RPDB_NO_SKIP") == "1" {
		t.Fatalf("RPDB_NO_SKIP=1: %s", reason)
	}
	t.Skip(reason)
}

// Networkd is one that runs, until the test ends.
type Networkd struct {
	t    testing.TB
	ns   *kernel.NetNS
	conn *kernel.Conn
	log  *buffer
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// script becomes networkd, in the mount namespace that it furnishes from the
// directory $1.
const script = `
for dir in /run /etc/systemd /var/lib/systemd; do
	[ ! -d $dir ] || mount -t tmpfs -o mode=755 tmpfs $dir
done
mount -t sysfs -o ro sysfs /sys
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network:systemd-network /run/systemd/netif
cp -r "$1"/. /
exec "$2"
`

// Start starts networkd on files, whose paths are below /etc/systemd or /run, in
// a namespace with the interfaces of these names, all of which are up and lead
// to another each. The package's TestMain must call [kerneltest.Main].
func Start(t testing.TB, links []rpdb.LinkName, files []format.File) *Networkd {
	t.Helper()
	Version(t)
	n := prepare(t, kerneltest.Namespace(t))
	for i, name := range links {
		other := rpdb.LinkName(fmt.Sprintf("peer%d", i))
		if err := n.conn.AddVeth(kernel.VethEnd{Name: name}, kernel.VethEnd{Name: other}); err != nil {
			t.Fatal(err)
		}
		for _, l := range []rpdb.LinkName{name, other} {
			if err := n.conn.SetLink(l, kernel.LinkChange{Up: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.run(files)
	return n
}

// StartOn does so in a namespace of the test, with the interfaces that it has.
func StartOn(t testing.TB, ns *kernel.NetNS, files []format.File) *Networkd {
	t.Helper()
	Version(t)
	n := prepare(t, ns)
	n.run(files)
	return n
}

// prepare opens a namespace for networkd, or skips the test where it cannot run.
func prepare(t testing.TB, ns *kernel.NetNS) *Networkd {
	t.Helper()
	owner, err := user.Lookup("systemd-network")
	if err != nil {
		need(t, err.Error())
	}
	uid, err := strconv.ParseUint(owner.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.NeedUID(t, uint32(uid)) // networkd becomes that user
	n := &Networkd{t: t, ns: ns, log: &buffer{}}
	if n.conn, err = kernel.Open(kernel.Options{NetNS: ns}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.conn.Close() })
	return n
}

func (n *Networkd) run(files []format.File) {
	n.t.Helper()
	dir := n.t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			n.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.Text), 0o644); err != nil {
			n.t.Fatal(err)
		}
	}
	cmd := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), n.ns.FD()),
		"unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", dir, Program())
	cmd.Stdout, cmd.Stderr = n.log, n.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if n.t.Failed() {
			n.t.Logf("networkd says:\n%s", n.log)
		}
	})
}

// patience is how long networkd may take, on a machine that has much to do.
const patience = 90 * time.Second

// complaints are words of networkd about what it does not do with its files.
var complaints = regexp.MustCompile(`ignoring|Unknown key|Failed to parse|Could not|Invalid`)

// complains reports whether networkd found fault with its files.
func (n *Networkd) complains() bool {
	for line := range strings.Lines(n.log.String()) {
		if complaints.MatchString(line) && !strings.Contains(line, "cgroup path") { // there is no init system
			return true
		}
	}
	return false
}

// Expect waits until the kernel has the rules, routes, addresses and groups that
// a snapshot says, and no others but its own, and fails the test if that does
// not come about, or if networkd complains.
func (n *Networkd) Expect(want *rpdb.Snapshot) {
	n.t.Helper()
	wanted := Meaning(want)
	var got []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		s, err := n.conn.Snapshot(context.Background())
		if err != nil {
			n.t.Fatal(err)
		}
		if got = Meaning(s); slices.Equal(got, wanted) || n.complains() {
			break
		}
	}
	if !slices.Equal(got, wanted) {
		n.t.Errorf("networkd makes something else of it.\nonly there: %s\nonly here: %s", without(got, wanted), without(wanted, got))
	}
	if n.complains() || n.t.Failed() {
		n.t.Errorf("networkd says:\n%s", n.log)
	}
}

func without(a, b []string) string {
	a = slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	return "\n  " + strings.Join(a, "\n  ")
}

// Meaning returns what a snapshot says, one line for each thing, sorted: without
// what the kernel makes itself, and without differences that decide nothing.
func Meaning(s *rpdb.Snapshot) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	view := iproute2.RouteView{LinkName: s.LinkName}
	for _, r := range s.Rules {
		if r.Protocol == rpdb.ProtocolKernel {
			continue
		}
		r = r.Canonical()
		r.Protocol = rpdb.ProtocolUnspec
		if t := r.Action.Type(); t != rpdb.ActionTable { // networkd writes "main" beside
			r.Action = rpdb.RawAction(t, 0, r.Action.Target())
		}
		add("%s", iproute2.RuleCommand(rpdb.Add, r, rpdb.Names{}))
	}
	for _, r := range s.Routes {
		if r.Protocol != rpdb.ProtocolKernel {
			add("%s", iproute2.RouteCommand(rpdb.Add, r.Canonical(), view))
		}
	}
	for _, a := range s.Addresses {
		if ip := a.Prefix.Addr(); !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			add("address %v peer %v dev %s scope %v deprecated %t", a.Prefix, a.Peer, s.LinkName(a.Link), a.Scope, a.Flags&rpdb.AddressDeprecated != 0)
		}
	}
	for _, l := range s.Links {
		if l.Group != 0 {
			add("group %d dev %s", l.Group, l.Name)
		}
	}
	slices.Sort(lines)
	return lines
}
