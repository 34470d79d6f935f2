package kerneltest_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// installedNames reads the names that ip of this machine uses.
func installedNames(t *testing.T) (n rpdb.Names) {
	t.Helper()
	for _, k := range rttables.Kinds() {
		for _, dir := range []string{"/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"} {
			path := filepath.Join(dir, k.File())
			data, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			if err := rttables.Parse(&n, k, path, data); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	return n
}

// ip runs the ip of this machine in a namespace.
func ip(t *testing.T, ns *kernel.NetNS, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	err := ns.Do(func() error {
		cmd := exec.Command("ip", args...)
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	if err != nil {
		t.Errorf("ip %q: %v\n%s", args, err, &out)
	}
	return out.String()
}

// The real ip takes the commands that this module prints, and lists what they
// made in the same bytes, but for what its version does not know (dscp, flow
// labels, port masks before 6.15).
func TestTwinIP(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed")
	}
	k := kerneltest.Real(t)
	names := installedNames(t)
	var made []rpdb.Change
	build(t, k, []string{
		"ip link add e0 type veth peer name p0", "ip link set e0 up", "ip link set p0 up",
		"ip addr add 192.0.2.1/24 dev e0", "ip addr add 2001:db8::1/64 dev e0 nodad",
	})
	for _, line := range []string{
		"ip route add default via 192.0.2.9 dev e0 table 100 proto static metric 5 src 192.0.2.1",
		"ip route add 203.0.113.0/24 tos 0x10 via 192.0.2.9 realms 1/2",
		"ip route add 203.0.113.0/25 nexthop via 192.0.2.8 weight 2 nexthop via 192.0.2.9", "ip route add throw 203.0.113.9 table 100",
		"ip route add 198.18.0.0/15 via 10.1.1.1 dev e0 onlink proto 82", "ip route add local 198.51.100.0/24 dev lo table 100",
		"ip -6 route add default via fe80::9 dev e0 pref high metric 7", "ip -6 route add prohibit 2001:db8:9::/48 table 100",
		"ip -6 route add 2001:db8:8::/48 from 2001:db8::/64 via 2001:db8::9",
		"ip rule add pref 1 not from 192.0.2.0/24 to 198.51.100.1 tos 0x10 fwmark 0x105/0xff iif lo oif eth9 uidrange 0-0 ipproto tcp sport 3-4 dport 53 tun_id 5 table 100 suppress_prefixlength 1 suppress_ifgroup 0 realms 1/2 protocol static",
		"ip rule add pref 2 goto 900", "ip rule add pref 3 from 192.0.2.7/8 blackhole", "ip rule add pref 4 table 100 prohibit",
		"ip rule add pref 5 fwmark 0/0xff table 4000000000 protocol 82", "ip rule add pref 6 ipproto 200 nop", "ip rule add pref 7 type 9",
		"ip rule add pref 8 fwmark 0/0xffffffff realms 5 table default", "ip rule add pref 9 table 300 realms 65837 protocol bgp",
		"ip -6 rule add pref 1 from 2001:db8::/32 tos 0xe0 table 100", "ip -6 rule add pref 2 unreachable",
	} {
		c, err := kerneltest.Parse(context.Background(), k, line)
		if err != nil {
			t.Fatal(err)
		}
		view := iproute2.RouteView{Names: names, LinkName: snapshot(t, k).LinkName}
		change := rpdb.Change{Op: rpdb.Add}
		switch c := c.(type) {
		case kerneltest.RuleCommand:
			change.Rule = &c.Rule
		case kerneltest.RouteCommand:
			change.Route = &c.Route
		}
		paste(t, k, iproute2.Change(change, view))
		change.Op = rpdb.Delete
		made = append(made, change)
	}
	s := snapshot(t, k)
	for _, f := range rpdb.Families() {
		var rules, routes []string
		for _, r := range s.RulesOf(f) {
			rules = append(rules, iproute2.Rule(r, names))
		}
		for _, r := range s.Routes {
			if r.Family == f {
				routes = append(routes, iproute2.Route(r, iproute2.RouteView{Names: names, LinkName: s.LinkName, OneLine: true}))
			}
		}
		sameLines(t, rules, ip(t, k.NetNS(), f.Flag(), "rule", "show"))
		sameLines(t, routes, ip(t, k.NetNS(), f.Flag(), "-o", "route", "show", "table", "all"))
	}
	for _, change := range slices.Backward(made) {
		paste(t, k, iproute2.Change(change, iproute2.RouteView{Names: names, LinkName: s.LinkName}))
	}
	after := snapshot(t, k)
	if len(after.Rules) != 5 || len(after.Routes) != len(s.Routes)-9 {
		t.Errorf("after the deletions %d rules and %d routes are left", len(after.Rules), len(after.Routes))
	}
}

// paste runs a command that this module printed.
func paste(t *testing.T, k *kerneltest.Kernel, command string) {
	t.Helper()
	words, err := iproute2.Split(command)
	if err != nil {
		t.Fatal(err)
	}
	ip(t, k.NetNS(), words[1:]...)
}

// sameLines compares lines without regard to order and to the blanks at their
// ends, in which versions of ip differ.
func sameLines(t *testing.T, ours []string, theirs string) {
	t.Helper()
	want := strings.Split(strings.TrimSpace(theirs), "\n")
	for _, lines := range [][]string{ours, want} {
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " ")
		}
		slices.Sort(lines)
	}
	if !slices.Equal(ours, want) {
		t.Errorf("we list\n%s\nip lists\n%s", strings.Join(ours, "\n"), strings.Join(want, "\n"))
	}
}
