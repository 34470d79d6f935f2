package cli

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/kerneltest"
	"rpdb/sandbox"
)

// afterPolicy runs try on a policy and returns what it says of the time after it.
func afterPolicy(t *testing.T, text string, args ...string) string {
	t.Helper()
	cmd := program(t, append([]string{"try", "-"}, args...)...)
	cmd.Stdin = strings.NewReader(text)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	_, after, ok := strings.Cut(string(out), "After the policy")
	if !ok {
		t.Fatalf("no table after the policy:\n%s", out)
	}
	for line := range strings.Lines(after) {
		if len(line) > 81 && !strings.Contains(line, "probes went as the engine said") {
			t.Errorf("line of %d bytes: %q", len(line), line)
		}
	}
	return after
}

// wantRows wants rows of a table, each with the interface that its packets left by,
// how many protocols were answered, and the note below it.
func wantRows(t *testing.T, text string, rows map[string]string) {
	t.Helper()
	lines := strings.Split(text, "\n")
	for name, want := range rows {
		link, rest, _ := strings.Cut(want, " ")
		answers, note, _ := strings.Cut(rest, " ")
		found := false
		for i, line := range lines {
			if strings.HasPrefix(line, "  "+name+" ") && strings.TrimSpace(lines[i+1]) == note {
				found = true
				if fields := strings.Fields(line[len(name)+2:]); fields[0] != link || strings.Join(fields[1:], ",") != answers {
					t.Errorf("%s: %q, want %s %s", name, line, link, answers)
				}
			}
		}
		if !found {
			t.Errorf("no row %q with the note %q in\n%s", name, note, text)
		}
	}
}

const allOK = "ok,ok,ok "

// TestTryNAT: the example's rules with nat are tried by inside hosts, in both
// directions and past the rule that keeps what stays inside as it is; as an
// ordinary user, too, and with every reverse-path filter.
func TestTryNAT(t *testing.T) {
	for _, filter := range []string{"0", "1", "2"} {
		out, err := program(t, "try", "../examples/nat.yaml", "--rp-filter", filter).Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		wantRows(t, string(out), map[string]string{
			"10.1.0.0 -> outside":               "eth1 " + allOK + "seen as 203.0.113.0 (rule servers)",
			"10.1.0.7 -> outside":               "eth1 " + allOK + "seen as 203.0.113.7 (rule servers)",
			"10.1.0.255 -> outside":             "eth1 " + allOK + "seen as 203.0.113.255 (rule servers)",
			"outside -> 203.0.113.0 by isp-b":   "eth1 " + allOK + "reaches 10.1.0.0 (rule servers)",
			"outside -> 203.0.113.7 by isp-b":   "eth1 " + allOK + "reaches 10.1.0.7 (rule servers)",
			"outside -> 203.0.113.255 by isp-b": "eth1 " + allOK + "reaches 10.1.0.255 (rule servers)",
			"10.1.0.7 -> 10.2.0.7":              "inside1 " + allOK + "untranslated (rule stays-inside)",
			"10.2.0.0 -> outside":               "eth1 " + allOK + "seen as 10.10.0.10 (rule guests)",
			"10.2.255.255 -> outside":           "eth1 " + allOK + "seen as 10.10.0.10 (rule guests)",
			"10.2.0.7 -> 10.1.0.7":              "inside0 " + allOK + "untranslated (rule stays-inside)",
		})
		if strings.Contains(string(out), "not tried") || !strings.Contains(string(out), "90 of 90 probes went as the engine said") {
			t.Errorf("rp_filter %s:\n%s", filter, out)
		}
	}
}

// TestTryNATForms tries every form, beside rules that take packets from their blocks
// away, and rules that no inside host can try.
func TestTryNATForms(t *testing.T) {
	after := afterPolicy(t, `
uplinks:
  - {interface: eth0, name: isp1, gateways: [192.0.2.1]}
  - {interface: eth1, name: isp2, gateways: [198.51.100.1]}
tables:
  - {name: special, routes: [{to: default, via: 198.51.100.1}]}
  - {name: vpn, routes: [{to: default, dev: wg0}, {to: 10.9.0.0/24, dev: lan0}]}
rules:
  - uplinks
  - {name: mail, from: 10.1.0.0/25, ipproto: tcp, dport: 25, lookup: isp1}
  - {name: no, from: 10.1.0.255, action: prohibit}
  - {name: stateless, from: 10.1.0.0/24, lookup: special, nat: {to: 203.0.113.0, stateless: true}}
  - {name: one-way, from: 10.2.0.0/29, lookup: isp2, nat: {to: 192.0.2.128, stateless: true, inbound: false}}
  - {name: untracked, from: 10.3.0.0/31, lookup: isp2, nat: {to: 198.51.100.64, stateless: true, notrack: true}}
  - {name: web, from: 10.9.0.0/24, iif: lan0, ipproto: tcp, sport: 5000, dport: 443, lookup: isp2, nat: 198.51.100.9/32}
  - {name: rest, from: 10.8.0.0/24, iif: lan0, lookup: vpn, nat: masquerade}
  - {name: single, from: 10.5.0.5, dscp: EF, lookup: isp2, nat: 198.51.100.77}
  - {name: marked, from: 10.6.0.0/24, fwmark: 5, lookup: isp2, nat: masquerade}
  - {name: from-uplink, from: 10.7.0.0/24, iif: eth0, lookup: isp2, nat: masquerade}
  - {name: late, from: 10.1.0.64/26, lookup: isp2, nat: masquerade}
`)
	const nothing = "- nothing,nothing,nothing it is refused with EACCES"
	wantRows(t, after, map[string]string{
		"10.1.0.7 -> outside":            "eth1 " + allOK + "seen as 203.0.113.7 (rule stateless)",
		"outside -> 203.0.113.7 by isp2": "eth1 " + allOK + "reaches 10.1.0.7 (rule stateless)",
		"rule mail (IPv4)":               "eth0 dropped untranslated (rule mail)",
		"rule no (IPv4)":                 nothing, "10.1.0.255 -> outside": nothing, "outside -> 203.0.113.255 by isp2": nothing,
		"10.2.0.7 -> outside":              "eth1 lost,lost,lost seen as 192.0.2.135 (rule one-way)",
		"10.3.0.1 -> outside":              "eth1 " + allOK + "seen as 198.51.100.65 (rule untracked)",
		"outside -> 198.51.100.65 by isp2": "eth1 " + allOK + "reaches 10.3.0.1 (rule untracked)",
		"10.9.0.0 -> outside":              "eth1 ok seen as 198.51.100.9 (rule web)",
		"10.8.0.255 -> outside":            "wg0 " + allOK + "seen as 198.18.6.10 (rule rest)",
		"10.5.0.5 -> outside":              "eth1 " + allOK + "seen as 198.51.100.77 (rule single)",
		"outside -> 198.51.100.77 by isp2": "eth1 " + allOK + "reaches 10.5.0.5 (rule single)",
		"10.1.0.71 -> outside":             "eth1 " + allOK + "seen as 203.0.113.71 (another rule decides, not late)",
		"10.8.0.7 -> 10.1.0.7":             "inside0 " + allOK + "untranslated (rule uplinks: main without default)",
	})
	for _, want := range []string{"rule marked (IPv4): it selects on a mark", "rule from-uplink (IPv4): no inside host is behind eth0"} {
		if !strings.Contains(after, "  not tried: "+want) {
			t.Errorf("not said: %s\n%s", want, after)
		}
	}
	if n := strings.Count(after, "not tried"); n != 2 {
		t.Errorf("%d rules are not tried\n%s", n, after)
	}
}

// TestTryNAT6 tries every form of IPv6, beside rules that take packets from their
// blocks away to the same uplink.
func TestTryNAT6(t *testing.T) {
	kerneltest.NeedPrograms(t)
	out := afterPolicy(t, `
uplinks:
  - {interface: eth0, name: isp1, gateways: ["2001:db8:a::1"]}
  - {interface: eth1, name: isp2, gateways: ["2001:db8:b::1"]}
tables:
  - {name: special, routes: [{to: default, via: "2001:db8:b::1"}]}
rules:
  - {name: stays, to: "fd00::/8", lookup: main}
  - {name: mail, from: "fd00:1::/65", ipproto: tcp, dport: 25, lookup: isp2}
  - {name: block, from: "fd00:1::/64", lookup: isp2, nat: "2001:db8:51::"}
  - {name: neutral, from: "fd00:2::/64", lookup: isp2, nat: {to: "2001:db8:52::", checksum-neutral: true}}
  - {name: site, from: "fd00:22::/48", lookup: special, nat: {to: "2001:db8:53::", checksum-neutral: true, notrack: true}}
  - {name: stateless, from: "fd00:3::/64", lookup: isp2, nat: {to: "2001:db8:54::", stateless: true}}
  - {name: one, from: "fd00:4::/64", lookup: isp2, nat: "2001:db8:55::9/128"}
  - {name: masq, from: "fd00:5::/64", lookup: isp2, nat: masquerade}
  - uplinks
`)
	wantRows(t, out, map[string]string{
		"fd00:1:: -> outside":                    "eth1 " + allOK + "seen as 2001:db8:51:: (rule block)",
		"fd00:1::7 -> outside":                   "eth1 " + allOK + "seen as 2001:db8:51::7 (rule block)",
		"fd00:1::ffff:ffff:ffff:ffff -> outside": "eth1 " + allOK + "seen as 2001:db8:51:0:ffff:ffff:ffff:ffff (rule block)",
		"outside -> 2001:db8:51::7 by isp2":      "eth1 " + allOK + "reaches fd00:1::7 (rule block)",
		"rule mail (IPv6)":                       "eth1 dropped untranslated (rule mail)",
		"fd00:2::7 -> outside":                   "eth1 " + allOK + "seen as 2001:db8:52:0:cef7::7 (rule neutral)",
		"fd00:2::ffff:ffff:ffff:ffff -> outside": "- nothing,nothing,nothing its address cannot be mapped without a change of checksums",
		"fd00:22::7 -> outside":                  "eth1 " + allOK + "seen as 2001:db8:53:cf16::7 (rule site)",
		"fd00:3::7 -> outside":                   "eth1 " + allOK + "seen as 2001:db8:54::7 (rule stateless)",
		"outside -> 2001:db8:54:: by isp2":       "eth1 " + allOK + "reaches fd00:3:: (rule stateless)",
		"fd00:4::ffff:ffff:ffff:ffff -> outside": "eth1 " + allOK + "seen as 2001:db8:55::9 (rule one)",
		"fd00:5::7 -> outside":                   "eth1 " + allOK + "seen as 2001:db8:b::10 (rule masq)",
		"fd00:2::7 -> fd00:1::7":                 "inside0 " + allOK + "untranslated (rule stays)",
	})
	if !strings.Contains(out, "reaches fd00:2::7 (rule neutral)") || strings.Contains(out, "FAILED") || strings.Contains(out, "not tried") {
		t.Error(out)
	}
}

// TestTryNATWithoutSource: where a rule selects no source, anybody inside has one.
func TestTryNATWithoutSource(t *testing.T) {
	wantRows(t, afterPolicy(t, `
uplinks:
  - {interface: eth0, gateways: [192.0.2.1]}
rules:
  - {name: all, family: ipv4, iif: lan0, lookup: eth0, nat: masquerade}
  - uplinks
`), map[string]string{"198.18.200.7 -> outside": "eth0 " + allOK + "seen as 192.0.2.10 (rule all)"})
}

// TestPredictionOfASource: another source than the foretold one is a disagreement.
func TestPredictionOfASource(t *testing.T) {
	a, b := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("10.1.0.7")
	seen := sandbox.Outcome{Answered: true, Source: a, Departures: []sandbox.Departure{{Link: "eth1", Legal: 1}}}
	for source, want := range map[netip.Addr]bool{a: true, b: false, {}: true} {
		q := prediction{Links: []rpdb.LinkName{"eth1"}, Answered: true, Source: source}
		if q.agrees(seen) != want {
			t.Errorf("foretold %v, seen %v: agrees %v", source, a, !want)
		}
	}
	text := translatedWords(tryResult{Rule: "servers", Probe: sandbox.Probe{Local: b}, Outcome: sandbox.Outcome{Source: b}})
	if said := foretold(prediction{Links: []rpdb.LinkName{"eth1"}, Source: a}); text != "untranslated (rule servers)" || said != "leaves by eth1 as 203.0.113.7, not answered" {
		t.Errorf("%q, %q", text, said)
	}
}

// withoutNFT starts a program that gets no connection to netfilter, with an error.
func withoutNFT(cmd *exec.Cmd, errno unix.Errno) error {
	return filtered(cmd, []unix.SockFilter{
		{Code: seccompLoad, K: seccompNumber},
		{Code: seccompEqual, Jf: 5, K: unix.SYS_SOCKET},
		{Code: seccompLoad, K: seccompArguments},
		{Code: seccompEqual, Jf: 3, K: unix.AF_NETLINK},
		{Code: seccompLoad, K: seccompArguments + 16},
		{Code: seccompEqual, Jf: 1, K: unix.NETLINK_NETFILTER},
		{Code: seccompGive, K: seccompRefuse | uint32(errno)},
		{Code: seccompGive, K: seccompAllow},
	})
}

// withoutBPF starts a program for which the kernel has no bpf(2), or refuses it.
func withoutBPF(cmd *exec.Cmd, errno unix.Errno) error {
	return filtered(cmd, []unix.SockFilter{
		{Code: seccompLoad, K: seccompNumber},
		{Code: seccompEqual, Jf: 1, K: unix.SYS_BPF},
		{Code: seccompGive, K: seccompRefuse | uint32(errno)},
		{Code: seccompGive, K: seccompAllow},
	})
}

// The instructions of a filter of system calls, where it finds what the call is about,
// in struct seccomp_data, and what it answers.
const (
	seccompLoad  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	seccompEqual = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	seccompGive  = unix.BPF_RET | unix.BPF_K

	seccompNumber, seccompArguments = 0, 16 // each argument has 8 bytes
	seccompRefuse, seccompAllow     = 0x00050000, 0x7fff0000
)

// filtered starts a program behind a filter of its system calls.
func filtered(cmd *exec.Cmd, filter []unix.SockFilter) error {
	runtime.LockOSThread() // and ends with the goroutine: the thread stays as it is
	f := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&f)), 0, 0); err != nil {
		return err
	}
	return cmd.Start()
}

// TestNATWithoutNFTables: a kernel without nf_tables rehearses and applies no policy
// with nat, says why, and has nothing changed.
func TestNATWithoutNFTables(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the arguments of system calls are elsewhere on " + runtime.GOARCH)
	}
	host := kerneltest.Real(t)
	before, err := host.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := kerneltest.Script(t.Context(), host, "ip link add eth0 type veth peer name gw0", "ip link add eth1 type veth peer name gw1",
		"ip link set eth0 up", "ip link set gw0 up", "ip link set eth1 up", "ip link set gw1 up",
		"ip addr add 192.168.0.10/24 dev eth0", "ip addr add 10.10.0.10/24 dev eth1"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"try", "../examples/nat.yaml"}, {"apply", "../examples/nat.yaml", "--state-dir", t.TempDir()}} {
		cmd := program(t, args...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		started := make(chan error)
		go func() {
			started <- host.NetNS().Do(func() error { return withoutNFT(cmd, unix.EPROTONOSUPPORT) })
		}()
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		if !errors.As(err, new(*exec.ExitError)) || !strings.Contains(stderr.String(), "connection to nf_tables: not in this kernel") {
			t.Errorf("%s: %v: %s", args[0], err, stderr.String())
		}
	}
	after, err := host.Snapshot(t.Context())
	if err != nil || len(after.Rules) != len(before.Rules) {
		t.Errorf("%d rules, %d before: %v", len(after.Rules), len(before.Rules), err)
	}
	for _, r := range after.Routes {
		if r.Protocol == rpdb.ProtocolRPDB {
			t.Errorf("left: %v", r)
		}
	}
}

// TestTryNAT6WithoutPrograms: where a rehearsal may load no programs, as the root of a
// container, that is said before it builds anything.
func TestTryNAT6WithoutPrograms(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	text := `
uplinks: [{interface: eth0, name: isp, gateways: ["2001:db8:a::1"]}]
rules:
  - {name: servers, from: 10.1.0.0/24, lookup: isp, nat: masquerade}
  - {name: servers6, from: "fd00:1::/64", lookup: isp, nat: masquerade}
  - uplinks
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "try", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitFailed {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "rpdb: try " + file + ": rule servers6 translates IPv6: operation not permitted: to load the program rpdb-nat-84500 takes CAP_BPF"
	if !strings.HasPrefix(string(out), want) || !strings.Contains(string(out), "\nhint: translating IPv6 needs CAP_BPF") || strings.Count(string(out), "\n") != 2 {
		t.Errorf("%s", out)
	}
}
