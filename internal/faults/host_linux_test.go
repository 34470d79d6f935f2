package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/kernel/kerneltest"
	"rpdb/nft"
	"rpdb/plan"
)

// rich is a policy whose rules and routes have each attribute that they can have
// together.
const rich = `
tables: [{name: t, number: 500, routes: [{to: 198.51.100.0/24, via: 192.0.2.1, src: 192.0.2.10, metric: 7, mtu: 1400},
  {to: 203.0.113.0/24, nexthops: [{via: 192.0.2.1, weight: 3}, {via: 192.0.2.2}]}, {to: 198.51.100.128/25, type: prohibit},
  {to: "2001:db8:51::/48", via: "2001:db8::1", src: "2001:db8::10", metric: 7, mtu: 1400}, {to: "2001:db8:52::/48", type: prohibit},
  {to: "2001:db8:53::/48", nexthops: [{via: "2001:db8::1", weight: 3}, {via: "2001:db8::2"}]}]}]
rules:
  - {name: a, from: 10.1.0.0/16, to: 10.2.0.0/16, fwmark: 5/7, iif: eth0, ipproto: tcp, sport: 100-200, dport: 25, dscp: EF, lookup: t, suppress_prefixlength: 8, realms: 1/2}
  - {name: b, to: "2001:db8::/32", oif: eth0, not: true, tun_id: 9, flowlabel: 0x5/0xff, lookup: main, suppress_ifgroup: 3}
`

// policies are the documents of the tests, of both families: what each has that others have not is
// added, changed or removed. B changes a table as a whole; C pins a rule outside
// our range, and has a table there. N and M translate the same
// blocks differently.
func policies() map[string]string {
	uplink := "uplinks: [{interface: eth0, gateways: [192.0.2.1, '2001:db8::1']}]\n"
	table := func(n int) string {
		return fmt.Sprintf("tables: [{name: t, routes: [{to: default, via: 192.0.2.%[1]d}, {to: 198.51.100.0/24, via: 192.0.2.%[1]d},\n"+
			"  {to: default, via: '2001:db8::%[1]d'}, {to: '2001:db8:51::/48', via: '2001:db8::%[1]d'}]}]\n", n)
	}
	natted := func(to, to6 string) string {
		six := ""
		if kerneltest.FirstUserNamespace() { // elsewhere the kernel takes no programs
			six = "{name: a6, from: 'fd00:1::/64', lookup: t, nat: {to: '" + to6 + "', checksum-neutral: true}}, "
		}
		return uplink + table(1) + "rules: [{name: a, from: 10.1.0.0/24, lookup: t, nat: " + to + "}, " + six + "{name: b, fwmark: 5, lookup: t}]\n"
	}
	return map[string]string{
		"N": natted("203.0.113.0", "2001:db8:5::"), "M": natted("198.18.5.0", "2001:db8:6::"),
		"A": uplink + table(1) + "rules: [{name: a, from: 10.1.0.0/16, lookup: t}, {name: a6, from: '2001:db8:a1::/48', lookup: t}, {name: b, fwmark: 5, lookup: t}]\n",
		"B": uplink + table(2) + "rules: [{name: b, fwmark: 5, lookup: eth0}, {name: a, from: 10.2.0.0/16, lookup: t}, {name: a6, from: '2001:db8:a2::/48', lookup: t}]\n",
		"C": uplink + "tables: [{number: 100, routes: [{to: default, via: 192.0.2.2}, {to: default, via: '2001:db8::2'}]}]\n" +
			"rules: [{name: pin, priority: 300, from: 10.3.0.0/16, lookup: 100}, {name: pin6, priority: 300, from: '2001:db8:a3::/48', lookup: 100},\n" +
			"  {name: a, from: 10.1.0.0/16, lookup: 100}, {name: a6, from: '2001:db8:a1::/48', lookup: 100}]\n",
		"rich": rich, "": "",
	}
}

// links are the interfaces of every host here.
func links() []string {
	return []string{
		"sysctl net.ipv6.conf.default.addr_gen_mode=1",
		"ip link add eth0 type veth peer name gw0", "ip link set eth0 up", "ip link set gw0 up",
		"ip addr add 192.0.2.10/24 dev eth0", "ip addr add 2001:db8::10/64 dev eth0 nodad",
	}
}

// foreign is what others have on the host: rules before, behind and with our
// protocol number, and routes in tables of theirs.
func foreign() []string {
	return []string{
		"ip rule add pref 9005 from 192.0.2.99 lookup 7", "ip rule add pref 301 from 192.0.2.98 lookup 7 protocol 82",
		"ip rule add pref 30500 from 192.0.2.97 lookup 7", "ip -6 rule add pref 9005 from 2001:db8::/32 lookup 7",
		"ip -6 rule add pref 301 from 2001:db8::98 lookup 7 protocol 82", "ip -6 rule add pref 30500 from 2001:db8::97 lookup 7",
		"ip route add 198.51.100.0/24 via 192.0.2.9 table 7", "ip route add 203.0.113.0/24 via 192.0.2.9 table 7 proto 82",
		"ip route add 2001:db8:51::/48 via 2001:db8::9 table 7", "ip route add 2001:db8:52::/48 via 2001:db8::9 table 7 proto 82",
	}
}

// host is a network namespace with the files of its policies.
type host struct {
	*kerneltest.Kernel
	dir   string
	state string // the state directory
	nft   *nft.Conn
	// mounts, if not nil, prepares the thread that starts a program.
	mounts func() error
}

func newHost(t *testing.T, lines ...string) *host {
	t.Helper()
	h := &host{Kernel: kerneltest.Real(t), dir: t.TempDir()}
	h.state = filepath.Join(h.dir, "state")
	t.Cleanup(func() { h.killGuards(t) }) // one may still be about to write where the directory is removed
	var err error
	if h.nft, err = nft.Open(nft.Options{NetNS: h.NetNS().FD()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.nft.Close() })
	h.script(t, slices.Concat(links(), lines)...)
	for name, text := range policies() {
		if err := os.WriteFile(filepath.Join(h.dir, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *host) script(t *testing.T, lines ...string) {
	t.Helper()
	if err := kerneltest.Script(t.Context(), h, lines...); err != nil {
		t.Fatal(err)
	}
}

// command is rpdb on the host, not started yet.
func (h *host) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{programName}, args...)
	if args[0] != "check" && args[0] != "rule" { // which ask for no record, or for the usual one
		cmd.Args = append(cmd.Args, "--state-dir", h.state)
	}
	cmd.Dir = h.dir
	return cmd
}

// run runs rpdb, and returns what it says and its exit code, -1 if it was killed.
// What it says is taken from a file, as a guard may go on with a pipe.
func (h *host) run(t *testing.T, args ...string) (out string, exit int) {
	t.Helper()
	cmd := h.command(args...)
	said := h.output(t)
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	err := h.NetNS().Do(func() error {
		if h.mounts != nil {
			if err := h.mounts(); err != nil {
				return err
			}
		}
		return cmd.Start()
	})
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return h.said(t, said), cmd.ProcessState.ExitCode()
}

// want runs rpdb and wants an exit code.
func (h *host) want(t *testing.T, exit int, args ...string) (out string) {
	t.Helper()
	out, got := h.run(t, args...)
	if got != exit {
		t.Fatalf("rpdb %s: exit code %d, want %d: %s", strings.Join(args, " "), got, exit, out)
	}
	return out
}

func (h *host) output(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(h.dir, "output")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// said reads an output once, and removes it.
func (h *host) said(t *testing.T, f *os.File) string {
	t.Helper()
	text, err := os.ReadFile(f.Name())
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// record is the journal.
func (h *host) record(t *testing.T) journal.State {
	t.Helper()
	j, err := journal.Open(h.state, "", journal.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	s, err := j.Read()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// policyInForce is the name of the policy that the journal says is confirmed.
func policyInForce(s journal.State) string {
	e, ok := s.Confirmed()
	if !ok {
		return "none"
	}
	for name, text := range policies() {
		if e.PolicyHash == apply.PolicyHash(text) {
			return name
		}
	}
	return "another"
}

// look is what is on a host, in words that do not depend on which of two blocks
// or of two tables is in use, and which number an interface has.
type look struct {
	ours    string // by meaning
	foreign string // to the last bit
	// torn says what of ours does not fit together, "" for nothing.
	torn string
}

func (h *host) look(t *testing.T) look {
	t.Helper()
	s := h.snapshot(t)
	var ours, others, torn []string
	blocks := map[rpdb.Family]rpdb.Priority{}
	for _, r := range s.Rules {
		switch {
		case r.Protocol != rpdb.ProtocolRPDB || r.Priority == 301:
			others = append(others, words(t, r))
		case plan.IsScaffold(r):
		case !plan.IsOwnRule(r):
			ours = append(ours, words(t, r))
		default:
			block := r.Priority / 10000
			if had, ok := blocks[r.Family]; ok && had != block {
				torn = append(torn, fmt.Sprintf("rules in both blocks: %v", r))
			}
			blocks[r.Family] = block
			r.Priority = 0 // the order says it
			ours = append(ours, words(t, firstTwinRule(r)))
		}
	}
	rules := len(ours)
	for _, r := range s.Routes {
		if r.Protocol != rpdb.ProtocolRPDB || r.Table == 7 {
			others = append(others, words(t, r))
			continue
		}
		r = r.MoveCopy(firstTwinTable(r.Table))
		r.Nexthops = slices.Clone(r.Nexthops)
		for i, n := range r.Nexthops {
			if s.LinkName(n.Link) == "eth0" {
				r.Nexthops[i].Link = 1 // whichever it is today
			}
		}
		ours = append(ours, words(t, r))
	}
	for _, translation := range s.NAT.Translations {
		translation.Realm, translation.Rule = firstTwinRealm(translation.Realm), 0
		ours = append(ours, words(t, translation))
	}
	torn = append(torn, s.NAT.Unknown...)
	slices.Sort(ours[rules:])
	return look{strings.Join(ours, "\n"), strings.Join(others, "\n"), strings.Join(torn, "; ")}
}

// words is all of a rule or route.
func words(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// firstTwinTable is the table of a policy: 83000 to 83999 are those that 82000 to
// 82999 take turns with.
func firstTwinTable(t rpdb.TableID) rpdb.TableID {
	if t >= 83000 && t < 84000 {
		return t - 1000
	}
	return t
}

// firstTwinRule is a rule that looks up the table of its policy, or leads to the
// rule at the same place of the first block.
func firstTwinRule(r rpdb.Rule) rpdb.Rule {
	switch r.Action.Type() {
	case rpdb.ActionTable:
		return r.MoveCopy(firstTwinTable(r.Action.Table()))
	case rpdb.ActionGoto:
		r.Action = rpdb.Goto(r.Action.Target() % 10000)
	}
	return r
}

// firstTwinRealm is the realm of the table of a policy.
func firstTwinRealm(realm uint16) uint16 {
	for table := rpdb.TableID(83000); table < 84000; table++ {
		if of, _ := rpdb.RealmOfCopy(table); of == realm {
			realm, _ = rpdb.RealmOfCopy(firstTwinTable(table))
			return realm
		}
	}
	return realm
}

// litter lists the files of the state directory that no record needs.
func (h *host) litter(t *testing.T, s journal.State) []string {
	t.Helper()
	entries, err := os.ReadDir(h.state)
	if err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{"journal": true, "journal.previous": true, "lock": true, "seen": true, "guard.log": true}
	for _, e := range s.Generations {
		needed[fmt.Sprintf("generation-%d", e.ID)] = true
	}
	var litter []string
	for _, e := range entries {
		if !needed[e.Name()] {
			litter = append(litter, e.Name())
		}
	}
	return litter
}

// processes are those that work on a state directory of this host.
func (h *host) processes(t *testing.T) (pids []int) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte("\x00"+h.dir+"/")) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/", &pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// killGuards ends the processes of a trial, so that it is left to the next
// command.
func (h *host) killGuards(t *testing.T) {
	t.Helper()
	for _, pid := range h.processes(t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	h.alone(t)
}

// alone waits until no process works on the host any more.
func (h *host) alone(t *testing.T) {
	t.Helper()
	eventually(t, "no process is left", func() bool { return len(h.processes(t)) == 0 })
}

// eventually waits for something that happens within seconds, for as long as the
// slowest machine may take.
func eventually(t *testing.T, what string, happens func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if happens() {
			return
		}
	}
	t.Fatalf("it never came to this: %s", what)
}

// snapshot is what the kernel has, in nf_tables too.
func (h *host) snapshot(t *testing.T) *rpdb.Snapshot {
	t.Helper()
	s, err := h.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	is, err := h.nft.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.NAT = rpdb.NAT{Translations: rpdb.SortTranslations(is.Translations), Foreign: is.Foreign, Unknown: is.Unknown}
	return s
}

// restore makes the rules, routes and translations of the host what a snapshot has.
func (h *host) restore(t *testing.T, to *rpdb.Snapshot) {
	t.Helper()
	now := h.snapshot(t)
	var changes []rpdb.Change
	for _, r := range now.Rules {
		if !slices.Contains(to.Rules, r) {
			changes = append(changes, rpdb.RuleChange(rpdb.Delete, r))
		}
	}
	for _, r := range now.Routes {
		if !slices.ContainsFunc(to.Routes, r.Equal) {
			changes = append(changes, rpdb.RouteChange(rpdb.Delete, r))
		}
	}
	for _, r := range to.Routes {
		if !slices.ContainsFunc(now.Routes, r.Equal) {
			changes = append(changes, rpdb.RouteChange(rpdb.Add, r))
		}
	}
	for _, r := range to.Rules {
		if !slices.Contains(now.Rules, r) {
			changes = append(changes, rpdb.RuleChange(rpdb.Add, r))
		}
	}
	for _, c := range changes {
		if err := h.Do(t.Context(), c); err != nil {
			t.Fatalf("restore the host: %v: %v", c, err)
		}
	}
	if err := h.nft.Replace(t.Context(), to.NAT.Translations); err != nil {
		t.Fatalf("restore the host: %v", err)
	}
}

// copyState copies a state directory.
func copyState(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chmod(filepath.Join(to, e.Name()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// counts is how often something was seen.
type counts map[string]int

func (c counts) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "\n%5d %s", c[what], what)
	}
	return b.String()
}

func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "rpdb: ") {
			return strings.TrimSpace(line)
		}
	}
	return "(nothing)"
}
