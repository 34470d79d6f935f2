package ifupdown_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ifupdown"
	"rpdb/format/iproute2"
	"rpdb/internal/formattest"
	"rpdb/kernel/kerneltest"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

// administrators is what a host has in /etc/network/interfaces before.
const administrators = `
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet static
    address 192.0.2.10/24
iface eth0 inet6 static
    address 2001:db8:a::10/64
    dad-attempts 0

auto eth1
iface eth1 inet static
    address 198.51.100.10/24
iface eth1 inet6 static
    address 2001:db8:b::10/64
    dad-attempts DAD

source ` + ifupdown.Path + "\n"

// network is a host with an /etc/network and a /run of its own.
type network struct {
	*formattest.Host
	dir string
}

func newNetwork(t *testing.T) network {
	if _, err := exec.LookPath("ifup"); err != nil {
		t.Skip("ifupdown is not installed")
	}
	n := network{formattest.NewHost(t), t.TempDir()}
	for _, dir := range []string{"run/network", "etc/if-up.d", "etc/if-down.d", "etc/if-pre-up.d", "etc/if-post-down.d"} {
		if err := os.MkdirAll(filepath.Join(n.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func (n network) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, "etc", name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs a command that sees the directories of the host.
func (n network) run(command string) string {
	return n.Shell("unshare -m sh -euc 'mount --bind " + n.dir + "/etc /etc/network; mount --bind " + n.dir + "/run /run; " + command + "'")
}

// Real ifupdown: up, three rounds of down and up, up once more by force, and the
// loopback interface down and up. Nothing is doubled, and nothing is left.
func TestRealIfupdown(t *testing.T) {
	kerneltest.NeedUID(t, 2999)
	n := newNetwork(t)
	want := formattest.Everything(t)
	files, losses := ifupdown.Write(want, rpdb.Names{}, ifupdown.Options{})
	// A rule of the administrator that has all that a rule of the file says, and more.
	foreign := want.RulesOf(rpdb.IPv4)[1]
	foreign.Selector.IIF, foreign.Protocol = "far0", rpdb.ProtocolStatic
	n.run("ip " + iproute2.RuleCommand(rpdb.Add, foreign, rpdb.Names{})[len("ip "):])
	want = ofProtocol(want)
	at := slices.IndexFunc(want.Rules, func(r rpdb.Rule) bool { return r.Family == rpdb.IPv4 && r.Priority == foreign.Priority })
	want.Rules = slices.Insert(want.Rules, at, foreign)
	if len(losses) != 0 || len(files) != 1 {
		t.Fatalf("%d files, losses %v", len(files), losses)
	}
	n.write(t, filepath.Base(ifupdown.Path), files[0].Text)
	n.write(t, "interfaces", strings.Replace(administrators, "DAD", "60", 1)) // waits, as it does by default

	up := func(what, command string) {
		t.Helper()
		n.run(command)
		formattest.Compare(t, formattest.Policy(n.Snapshot()), want)
		if t.Failed() {
			t.Fatal(what)
		}
	}
	up("after ifup -a", "ifup -a")
	n.write(t, "interfaces", strings.Replace(administrators, "DAD", "0", 1))
	rulesOnly := *want
	rulesOnly.Routes = slices.DeleteFunc(slices.Clone(want.Routes), func(r rpdb.Route) bool {
		return slices.ContainsFunc(r.Nexthops, func(h rpdb.Nexthop) bool { return h.Link > 1 })
	})
	for range 3 {
		n.run("ifdown eth1 eth0")
		formattest.Compare(t, formattest.Policy(n.Snapshot()), &rulesOnly)
		up("after ifdown and ifup", "ifup eth0 eth1")
	}
	up("after ifup --force", "ifup --force -a")
	n.run("ifdown lo")
	left := &rpdb.Snapshot{Rules: formattest.Policy(n.Snapshot()).Rules}
	formattest.Compare(t, left, &rpdb.Snapshot{Rules: []rpdb.Rule{foreign}})
	up("after lo is back", "ifup lo")
}
