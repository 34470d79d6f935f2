package events

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/ifupdown"
	"rpdb/internal/networkdtest"
	"rpdb/kernel/kerneltest"
)

// export exports the confirmed policy, with what is lost.
func (l *lab) export(args ...string) (files []format.File, losses []format.Loss) {
	l.t.Helper()
	code, out := l.rpdb(append([]string{"export", "--lossy", "--json", "--state-dir", l.state}, args...)...)
	var doc struct {
		Files  []format.File `json:"files"`
		Losses []format.Loss `json:"losses"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != done {
		l.t.Fatalf("export: exit code %d, %v\n%s", code, err, out)
	}
	return doc.Files, doc.Losses
}

// ip runs the ip of the machine in a namespace, once for each line.
func (l *lab) ip(k *kerneltest.Kernel, script string) {
	l.t.Helper()
	for line := range strings.Lines(strings.TrimSpace(script)) {
		err := k.NetNS().Do(func() error { return exec.Command("ip", strings.Fields(line)...).Run() })
		if err != nil {
			l.t.Fatalf("ip %s: %v", strings.TrimSpace(line), err)
		}
	}
}

// leased is a host with the policy of [follows]: the second uplink has an address by
// DHCP, and of IPv6 a static one and a gateway by advertisement.
func leased(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.addFirstUplink()
	l.ip(l.host, `
		addr add 10.10.0.50/24 dev eth1 valid_lft 6000 preferred_lft 6000
		route add default via 10.10.0.1 dev eth1 metric 200 proto dhcp
		addr add 2001:db8:b::10/64 dev eth1 nodad
		-6 route add default via fe80::1 dev eth1 metric 1024 proto ra`)
	l.apply(follows("auto"))
	return l
}

// TestExportedLeases: a real systemd-networkd on the files of a host whose second
// uplink has a lease gives its table the gateway of the lease, and another one when
// the lease moves. The rule by the leased address is lost, and nothing else.
func TestExportedLeases(t *testing.T) {
	t.Parallel()
	version := networkdtest.Version(t)
	dnsmasq, radvd := need(t, "dnsmasq"), need(t, "radvd")
	files, losses := leased(t).export("networkd", "--for", strconv.Itoa(version))
	if len(losses) != 1 || !strings.HasPrefix(losses[0].Object, "ip -4 rule add pref 10030 from 10.10.0.50 lookup ") {
		t.Errorf("lost %v", losses)
	}

	l := newLab(t)
	l.run(l.net, `
		ip addr add 10.10.0.1/24 dev gw1
		ip addr add 10.20.0.1/24 dev gw1
		sysctl net.ipv6.conf.all.forwarding=1
		ip addr add fe80::1/64 dev gw1 nodad`)
	network, r := &lessor{l: l, dnsmasq: dnsmasq}, &router{l: l, radvd: radvd}
	network.leases("10.10.0.50", "10.10.0.1")
	r.advertise("fe80::1", "2001:db8:b::/64")
	networkdtest.StartOn(t, l.host.NetNS(), files)

	eth1 := func() rpdb.LinkIndex { link, _ := l.snapshot().LinkByName("eth1"); return link.Index }()
	// via reports whether a table has one default route by eth1, of this gateway and
	// metric; without a gateway that it has none.
	via := func(s *rpdb.Snapshot, f rpdb.Family, table rpdb.TableID, gateway string, metric uint32) bool {
		var got []rpdb.Nexthop
		for _, o := range s.Table(f, table) {
			if o.IsDefault() && o.Metric == metric && len(o.Nexthops) == 1 && o.Nexthops[0].Link == eth1 {
				got = append(got, o.Nexthops[0])
			}
		}
		return gateway == "" && len(got) == 0 || len(got) == 1 && got[0].Via.String() == gateway
	}
	follows := func(v4, v6 string) func(*rpdb.Snapshot) bool {
		return func(s *rpdb.Snapshot) bool {
			return via(s, rpdb.IPv4, 82001, v4, 0) && via(s, rpdb.IPv6, 82001, v6, 1024) && // the uplink's table
				via(s, rpdb.IPv4, rpdb.TableMain, v4, 200) && via(s, rpdb.IPv6, rpdb.TableMain, v6, 1024)
		}
	}
	l.eventually("both gateways in both tables", follows("10.10.0.1", "fe80::1"))
	l.eventually("all rules", func(s *rpdb.Snapshot) bool { return len(s.RulesOf(rpdb.IPv6)) == 5 })
	got := []string{}
	for _, r := range l.snapshot().Rules {
		if r.Protocol == rpdb.ProtocolStatic {
			r.Protocol, r.Priority = rpdb.ProtocolRPDB, 0
			got = append(got, ours(&rpdb.Snapshot{Rules: []rpdb.Rule{r}})...)
		}
	}
	slices.Sort(got)
	want := slices.DeleteFunc(expected([]door{door0, door1, door1v6}), func(line string) bool {
		return !strings.Contains(line, " rule ") || strings.Contains(line, door1.source)
	})
	if !slices.Equal(got, want) {
		t.Errorf("rules\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	bound := rpdb.Flow{OIF: "eth1", Dst: netip.MustParseAddr("203.0.113.1")}
	if d, err := l.host.RouteGet(t.Context(), bound); err != nil || d.Via.String() != "10.10.0.1" {
		t.Errorf("packets bound to eth1 leave via %v (%v)", d.Via, err)
	}
	l.eventually("the static address", func(s *rpdb.Snapshot) bool { return hasAddress(s, "eth1", "2001:db8:b::10/128") })
	l.leaves(door{"eth1", "2001:db8:b::10", "2001:db8:b::/64", "fe80::1"})

	network.leases("10.20.0.60", "10.20.0.1")
	l.eventually("the other gateway of the lease", follows("10.20.0.1", "fe80::1"))
	r.stop(syscall.SIGTERM) // it says that it goes
	l.eventually("no gateway of advertisements", follows("10.20.0.1", ""))
}

// TestExportedLeasesOfNetplan: what netplan and systemd-networkd make of the files
// for such a host. The gateway of the table is lost, and the routes that the lease and
// the advertisement bring into table main are as they were said to be.
func TestExportedLeasesOfNetplan(t *testing.T) {
	t.Parallel()
	networkdtest.Version(t)
	dnsmasq, radvd := need(t, "dnsmasq"), need(t, "radvd")
	files, losses := leased(t).export("netplan")
	var lost []string
	for _, l := range losses {
		if !strings.Contains(l.Object, " oif ") && !strings.Contains(l.Object, "suppress_prefixlength") { // which netplan never has
			lost = append(lost, l.Object)
		}
	}
	slices.Sort(lost)
	if want := []string{
		"ip -4 route add 10.10.0.0/24 dev eth1 src 10.10.0.50 table 82001 proto static",
		"ip -4 route add default via 10.10.0.1 dev eth1 table 82001 proto static",
		"ip -4 rule add pref 10030 from 10.10.0.50 lookup 82001 protocol static",
		"ip -6 route add default via fe80::1 dev eth1 table 82001 proto static",
		"the default route of table main by eth1 (IPv6)",
	}; !slices.Equal(lost, want) {
		t.Errorf("lost\n%s", strings.Join(lost, "\n"))
	}
	l := newLab(t)
	l.run(l.net, `
		ip addr add 10.10.0.1/24 dev gw1
		sysctl net.ipv6.conf.all.forwarding=1
		ip addr add fe80::1/64 dev gw1 nodad`)
	(&lessor{l: l, dnsmasq: dnsmasq}).leases("10.10.0.50", "10.10.0.1")
	(&router{l: l, radvd: radvd}).advertise("fe80::1", "2001:db8:b::/64")
	networkdtest.StartOn(t, l.host.NetNS(), networkdtest.Netplan(t, files))
	l.eventually("both gateways in table main, of one metric", func(s *rpdb.Snapshot) bool {
		metrics := 0
		for _, f := range rpdb.Families() {
			for _, r := range s.Table(f, rpdb.TableMain) {
				if r.IsDefault() && r.Metric == 200 {
					metrics++
				}
			}
		}
		return metrics == 2 && slices.Equal(mainVia(s, rpdb.IPv4, "eth1"), []string{"10.10.0.1"}) && slices.Equal(mainVia(s, rpdb.IPv6, "eth1"), []string{"fe80::1"})
	})
}

// shell is a shell on the host of a lab, with directories of its own in the place of
// those of the machine that programs of the network write to. What it starts ends with
// the test.
type shell struct {
	t       *testing.T
	in      *os.File
	answers *bufio.Scanner
}

// ownDirectories are what the shell mounts: from the directory $1, and empty.
const ownDirectories = `
for dir in etc/network etc/dhcp; do mount --bind "$1/$dir" "/$dir"; done
for dir in /run /var/lib/dhcp; do mount -t tmpfs tmpfs $dir; done
mkdir -p /run/network
cd /etc/network && mkdir if-pre-up.d if-up.d if-down.d if-post-down.d && cd /
while read -r command; do
	sh -c "$command" </dev/null >&2 && echo done || echo failed
done`

// startShell starts a shell on the host with files, which are below /etc/network or
// /etc/dhcp. A hook keeps dhclient from the file /etc/resolv.conf of the machine.
func (l *lab) startShell(files []format.File) *shell {
	l.t.Helper()
	dir := l.t.TempDir()
	files = append(files, format.File{Path: "/etc/dhcp/dhclient-enter-hooks.d/no-resolv-conf", Text: "make_resolv_conf() { :; }\n"})
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			l.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.Text), 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-euc", ownDirectories, "sh", dir)
	s := &shell{t: l.t}
	theirs, in, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	out, ours, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		l.t.Fatal(err)
	}
	s.in, s.answers = in, bufio.NewScanner(out)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, ours, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := l.host.NetNS().Do(cmd.Start); err != nil {
		l.t.Fatal(err)
	}
	theirs.Close()
	ours.Close()
	l.t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
		log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && l.t.Failed() {
			l.t.Logf("the shell says:\n%s", text)
		}
	})
	return s
}

// run runs a command, which must not fail.
func (s *shell) run(command string) {
	s.t.Helper()
	fmt.Fprintln(s.in, command)
	if !s.answers.Scan() || s.answers.Text() != "done" {
		s.t.Fatalf("%s: %s", command, s.answers.Text())
	}
}

// TestExportedHooks: real ifupdown and dhclient on the files of a host whose second
// uplink has a lease give its table the gateway and its rule the address of the lease,
// another one when the lease moves, and take both away with the interface.
func TestExportedHooks(t *testing.T) {
	t.Parallel()
	need(t, "ifup")
	need(t, "dhclient")
	kerneltest.NeedUID(t, 1)
	dnsmasq := need(t, "dnsmasq")
	files, losses := leased(t).export("ifupdown")
	if len(losses) != 1 || !strings.HasPrefix(losses[0].Object, "-6 route add default via fe80::1 dev eth1 ") {
		t.Errorf("lost %v", losses)
	}
	l := newLab(t)
	l.run(l.net, `
		ip addr add 10.10.0.1/24 dev gw1
		ip addr add 10.20.0.1/24 dev gw1`)
	network := &lessor{l: l, dnsmasq: dnsmasq}
	network.leases("10.10.0.50", "10.10.0.1")
	s := l.startShell(append(files, format.File{Path: "/etc/network/interfaces", Text: `
auto lo
iface lo inet loopback
auto eth0
iface eth0 inet static
    address 192.168.0.10/24
    gateway 192.168.0.1
auto eth1
iface eth1 inet dhcp
    metric 200
source ` + ifupdown.Path + "\n"},
		format.File{Path: "/etc/dhcp/dhclient.conf", Text: "request subnet-mask, routers;\ntimeout 60;\nretry 1;\ninitial-interval 1;\nbackoff-cutoff 1;\n"}))
	s.run("ifup lo eth0 eth1")
	last := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(last)
		}
	})
	holds := func(doors ...door) func(*rpdb.Snapshot) bool {
		return func(s *rpdb.Snapshot) bool {
			mine := *s
			mine.Rules, mine.Routes = slices.Clone(s.Rules), slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool { return r.Table == rpdb.TableMain || r.Family == rpdb.IPv6 })
			for i := range mine.Rules {
				if mine.Rules[i].Protocol == ifupdown.Protocol {
					mine.Rules[i].Protocol = rpdb.ProtocolRPDB
				}
			}
			for i := range mine.Routes {
				if mine.Routes[i].Protocol == rpdb.ProtocolStatic {
					mine.Routes[i].Protocol = rpdb.ProtocolRPDB
				}
			}
			mine.Rules = slices.DeleteFunc(mine.Rules, func(r rpdb.Rule) bool { return r.Family == rpdb.IPv6 })
			got := ours(&mine)
			// Main has the network of the lease, and the route by its gateway takes the
			// source from there.
			var want []string
			for _, line := range expected(doors) {
				if strings.Contains(line, "route 82001: 1") {
					continue
				}
				if strings.Contains(line, "route 82001: 0.0.0.0/0") {
					line, _, _ = strings.Cut(line, " src ")
				}
				want = append(want, line)
			}
			last = fmt.Sprintf("the host has\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			return slices.Equal(got, want)
		}
	}
	l.eventually("the rule and the gateway of the lease", holds(door0, door{"eth1", "10.10.0.50", "10.10.0.0/24", "10.10.0.1"}))
	l.leaves(door{"eth1", "10.10.0.50", "10.10.0.0/24", "10.10.0.1"})
	network.leases("10.20.0.60", "10.20.0.1")
	l.eventually("those of another lease", holds(door0, door{"eth1", "10.20.0.60", "10.20.0.0/24", "10.20.0.1"}))
	l.leaves(door{"eth1", "10.20.0.60", "10.20.0.0/24", "10.20.0.1"})
	s.run("ifdown eth1")
	l.eventually("nothing of the lease", func(s *rpdb.Snapshot) bool {
		return len(s.Table(rpdb.IPv4, 82001)) == 0 && !slices.ContainsFunc(s.Rules, func(r rpdb.Rule) bool {
			return r.Selector.From.Bits() == 32 && r.Selector.From.Addr() != netip.MustParseAddr(door0.source)
		})
	})
}
