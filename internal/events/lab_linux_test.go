package events

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/cli"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

// patience is how long something may take that takes seconds at most.
const patience = 2 * time.Minute

// lab is a host with two uplinks, eth0 and eth1, and the network that they lead
// to, in which their other ends are gw0 and gw1.
type lab struct {
	t         *testing.T
	host, net *kerneltest.Kernel
	state     string // of rpdb
}

// newLab wires the cables.
func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, host: kerneltest.Real(t), net: kerneltest.Real(t), state: t.TempDir()}
	for _, k := range []*kerneltest.Kernel{l.host, l.net} {
		l.run(k, "sysctl net.ipv6.conf.default.dad_transmits=0")
	}
	l.cable("eth0", "gw0")
	l.cable("eth1", "gw1")
	return l
}

// cable lays a cable and plugs both ends.
func (l *lab) cable(host, net rpdb.LinkName) {
	l.t.Helper()
	if err := l.host.AddVeth(kernel.VethEnd{Name: host}, kernel.VethEnd{Name: net, NetNS: l.net.NetNS()}); err != nil {
		l.t.Fatal(err)
	}
	l.run(l.net, fmt.Sprintf("ip link set %s up", net))
	l.run(l.host, fmt.Sprintf("ip link set %s up", host))
}

// run runs the command lines of a script.
func (l *lab) run(k *kerneltest.Kernel, script string) {
	l.t.Helper()
	if err := kerneltest.Script(l.t.Context(), k, strings.Split(script, "\n")...); err != nil {
		l.t.Fatal(err)
	}
}

// static gives both uplinks addresses of both families, as the howto has them, and
// applies a policy with their gateways.
func (l *lab) static() {
	l.t.Helper()
	l.run(l.host, `
		ip addr add 192.168.0.10/24 dev eth0
		ip addr add 2001:db8:a::10/64 dev eth0 nodad
		ip addr add 10.10.0.10/24 dev eth1
		ip addr add 2001:db8:b::10/64 dev eth1 nodad
		ip route add default via 192.168.0.1
		ip -6 route add default via 2001:db8:a::1`)
	l.apply(`
uplinks:
  - {interface: eth0, gateways: [192.168.0.1, "2001:db8:a::1"]}
  - {interface: eth1, gateways: [10.10.0.1, "2001:db8:b::1"]}
`)
	l.holds(door0, door0v6, door1, door1v6)
}

// The doors of the static host.
var (
	door0   = door{"eth0", "192.168.0.10", "192.168.0.0/24", "192.168.0.1"}
	door0v6 = door{"eth0", "2001:db8:a::10", "2001:db8:a::/64", "2001:db8:a::1"}
	door1   = door{"eth1", "10.10.0.10", "10.10.0.0/24", "10.10.0.1"}
	door1v6 = door{"eth1", "2001:db8:b::10", "2001:db8:b::/64", "2001:db8:b::1"}
)

// rpdb runs one command line on the host, and returns its exit code and output.
func (l *lab) rpdb(args ...string) (code int, out string) {
	l.t.Helper()
	code, out, said := l.call(l.t.Context(), args...)
	if said != "" {
		l.t.Logf("rpdb %s: %s", args, said)
	}
	return code, out
}

// call is rpdb until ctx ends, and returns what it said on standard error, too. It
// may be called by another goroutine.
func (l *lab) call(ctx context.Context, args ...string) (code int, out, said string) {
	var stdout, stderr strings.Builder
	args = append([]string{"-n", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), l.host.NetNS().FD())}, args...)
	code = cli.Run(ctx, args, cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

// apply applies a policy, parts of which may wait.
func (l *lab) apply(policy string) {
	l.t.Helper()
	file := filepath.Join(l.t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o644); err != nil {
		l.t.Fatal(err)
	}
	if code, out := l.rpdb("apply", "--state-dir", l.state, file); code != done && code != waits {
		l.t.Fatalf("apply: exit code %d\n%s", code, out)
	}
}

// The exit codes of repair.
const (
	done  = 0
	waits = 3
)

// repair repairs once, and wants this exit code; then once more, which must send
// nothing and say nothing.
func (l *lab) repair(want int) (out string) {
	l.t.Helper()
	code, out := l.rpdb("repair", "--state-dir", l.state)
	if code != want {
		l.t.Errorf("repair: exit code %d, want %d\n%s", code, want, out)
	}
	l.inOrder(want)
	return out
}

// inOrder holds that nothing is left to repair: to do it says nothing, and sends
// no message.
func (l *lab) inOrder(want int) {
	l.t.Helper()
	if code, out := l.rpdb("repair", "--state-dir", l.state); code != want || out != "" {
		l.t.Errorf("repair in order: exit code %d, want %d; it says %q", code, want, out)
	}
	var doc struct {
		Result struct {
			Done int `json:"done"`
		} `json:"result"`
		Plan plan.Plan `json:"plan"`
	}
	_, out := l.rpdb("repair", "--state-dir", l.state, "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		l.t.Fatalf("%v\n%s", err, out)
	}
	if doc.Result.Done != 0 || len(doc.Plan.Steps) != 0 {
		l.t.Errorf("repair in order sends %d messages: %s", doc.Result.Done, out)
	}
}

// door is where packets with a source are to leave, and the network of that
// source. Gateway "" is a door that has no routes at the moment.
type door struct {
	link    rpdb.LinkName
	source  string
	network string
	gateway string
}

func (d door) family() rpdb.Family { return rpdb.FamilyOf(netip.MustParseAddr(d.source)) }

// rule is the selector that the uplink's rule has in a family.
func (d door) rule() string {
	if d.family() == rpdb.IPv6 {
		return d.network
	}
	return d.source + "/32"
}

// holds holds that the host has the rules and routes of these doors, once, and
// nothing else of ours, and that the kernel sends packets by them.
func (l *lab) holds(doors ...door) {
	l.t.Helper()
	s := l.snapshot()
	got, want := ours(s), expected(doors)
	if !slices.Equal(got, want) {
		l.t.Errorf("the host has\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	for _, d := range doors {
		l.leaves(d)
	}
}

// leaves holds that the kernel sends what has the source by the door.
func (l *lab) leaves(d door) {
	l.t.Helper()
	if d.gateway == "" {
		return
	}
	dst := netip.MustParseAddr("203.0.113.1")
	if d.family() == rpdb.IPv6 {
		dst = netip.MustParseAddr("2001:db8:ffff::1")
	}
	got, err := l.host.RouteGet(l.t.Context(), rpdb.Flow{Src: netip.MustParseAddr(d.source), Dst: dst})
	if err != nil || got.Link != d.link || got.Via != netip.MustParseAddr(d.gateway) {
		l.t.Errorf("packets from %s leave by %s via %v (%v), want %s via %s", d.source, got.Link, got.Via, err, d.link, d.gateway)
	}
}

func (l *lab) snapshot() *rpdb.Snapshot {
	l.t.Helper()
	s, err := l.host.Snapshot(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// tableOf is the number of an uplink's table in the policies of these tests.
func tableOf(link rpdb.LinkName) rpdb.TableID {
	if link == "eth0" {
		return 82000
	}
	return 82001
}

// expected lists what doors come to.
func expected(doors []door) []string {
	var all []string
	for _, d := range doors {
		f, t := d.family(), tableOf(d.link)
		src := ""
		if f == rpdb.IPv4 {
			src = " src " + d.source
		}
		all = append(all,
			fmt.Sprintf("%v rule lookup 254 suppress 0", f),
			fmt.Sprintf("%v rule from %s lookup %d", f, d.rule(), t),
			fmt.Sprintf("%v rule oif %s lookup %d", f, d.link, t))
		if d.gateway != "" {
			all = append(all,
				fmt.Sprintf("%v route %d: %s dev %s%s", f, t, d.network, d.link, src),
				fmt.Sprintf("%v route %d: %v via %s dev %s%s", f, t, f.Default(), d.gateway, d.link, defaultSource(doors, d)))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// defaultSource is the source of the default route: the first door of the uplink
// in the gateway's network has it.
func defaultSource(doors []door, d door) string {
	for _, o := range doors {
		if o.link == d.link && o.family() == rpdb.IPv4 && d.family() == rpdb.IPv4 && netip.MustParsePrefix(o.network).Contains(netip.MustParseAddr(d.gateway)) {
			return " src " + o.source
		}
	}
	return ""
}

// ours lists what the host has of a policy, each thing as often as it is there,
// without the gates of generations.
func ours(s *rpdb.Snapshot) []string {
	var all []string
	for _, r := range s.Rules {
		if r.Protocol != rpdb.ProtocolRPDB || r.Action.Type() == rpdb.ActionGoto || r.Action.Type() == rpdb.ActionNop {
			continue
		}
		text := fmt.Sprintf("%v rule", r.Family)
		if r.Selector.From.IsValid() {
			text += fmt.Sprintf(" from %v", r.Selector.From)
		}
		if r.Selector.OIF != "" {
			text += fmt.Sprintf(" oif %s", r.Selector.OIF)
		}
		text += fmt.Sprintf(" lookup %d", plan.LogicalTable(r.Action.Table()))
		if n, ok := r.Suppress.PrefixLength.Get(); ok {
			text += fmt.Sprintf(" suppress %d", n)
		}
		all = append(all, text)
	}
	for _, r := range s.Routes {
		if r.Protocol != rpdb.ProtocolRPDB {
			continue
		}
		text := fmt.Sprintf("%v route %d: %v", r.Family, plan.LogicalTable(r.Table), r.Dst)
		for _, n := range r.Nexthops {
			if n.Via.IsValid() {
				text += fmt.Sprintf(" via %v", n.Via)
			}
			text += fmt.Sprintf(" dev %s", s.LinkName(n.Link))
		}
		if r.PrefSrc.IsValid() {
			text += fmt.Sprintf(" src %v", r.PrefSrc)
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// eventually waits until something is so on the host.
func (l *lab) eventually(what string, is func(*rpdb.Snapshot) bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); !is(l.snapshot()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// hasAddress reports whether an interface has an address in a network that can be
// used.
func hasAddress(s *rpdb.Snapshot, name rpdb.LinkName, network string) bool {
	_, ok := addressIn(s, name, network)
	return ok
}

func addressIn(s *rpdb.Snapshot, name rpdb.LinkName, network string) (netip.Addr, bool) {
	link, _ := s.LinkByName(name)
	n := netip.MustParsePrefix(network)
	for _, a := range s.Addresses {
		if a.Link == link.Index && n.Contains(a.Prefix.Addr()) && a.Usable() {
			return a.Prefix.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// mainVia returns the gateways of the default routes that table main has by an
// interface.
func mainVia(s *rpdb.Snapshot, f rpdb.Family, name rpdb.LinkName) []string {
	var all []string
	link, _ := s.LinkByName(name)
	for _, r := range s.Table(f, rpdb.TableMain) {
		if r.IsDefault() && len(r.Nexthops) == 1 && r.Nexthops[0].Link == link.Index && r.Nexthops[0].Via.IsValid() {
			all = append(all, r.Nexthops[0].Via.String())
		}
	}
	return all
}

// need returns the path of a program, or ends the test where it is not there.
func need(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if os.Getenv("RPDB_NO_SKIP") == "1" {
		t.Fatalf("%s is not there, and RPDB_NO_SKIP=1", name)
	}
	t.Skipf("%s is not there", name)
	return ""
}

// program is a program that runs in a namespace until the test ends, or sooner.
type program struct {
	cmd   *exec.Cmd
	log   strings.Builder
	ended chan error
}

// start starts a program. It dies with the test, however that ends.
func start(t *testing.T, ns *kernel.NetNS, path string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(path, args...), ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	go func() {
		// The thread stays in the namespace until the program ends: it is the
		// parent whose death the kernel would tell it.
		p.ended <- ns.Do(func() error {
			err := p.cmd.Start()
			started <- err
			if err != nil {
				return err
			}
			return p.cmd.Wait()
		})
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(path), p.log.String())
		}
	})
	return p
}

// stop sends a signal to the program and what it started, and waits for its end.
func (p *program) stop(sig syscall.Signal) {
	select {
	case err := <-p.ended:
		p.ended <- err
		return
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, sig) // it may be gone
	err := <-p.ended
	p.ended <- err
}

// at does the same n times at once, and waits for all.
func (l *lab) at(n int, f func()) {
	var all sync.WaitGroup
	for range n {
		all.Go(f)
	}
	all.Wait()
}
