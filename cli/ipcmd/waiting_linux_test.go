package ipcmd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel/kerneltest"
)

// A batch with -force whose changes go together ends in the same kernel as ip's, and
// says the same in the same order.
func TestForcedBatch(t *testing.T) {
	w := newTwins(t, theirs(t), routeHost())
	var b strings.Builder
	for i := range 260 {
		fmt.Fprintf(&b, "rule add pref %d from 10.9.%d.%d lookup 7\n", 2000+i, i>>8, i&255)
		fmt.Fprintf(&b, "route add 10.%d.%d.0/24 via 192.0.2.77 table 7\n", 20+i>>8, i&255) // some host has no way there
		fmt.Fprintf(&b, "ro add blackhole 10.%d.%d.0/24 table 8\n", 20+i>>8, i&255)
		fmt.Fprintf(&b, "route add unreachable 2001:db8:%x::/48 table 8\n", i)
		switch i % 37 {
		case 3:
			fmt.Fprintf(&b, "rule add pref %d from 10.9.%d.%d lookup 7\n", 2000+i, i>>8, i&255)
		case 5:
			b.WriteString("rule del pref 1999\n")
		case 7:
			b.WriteString("rule add pref x\n")
		case 11:
			b.WriteString("rule show pref 2001\nroute show table 8 10.20.4.0/24\n")
		case 13:
			b.WriteString("route\\\n add 10.20.4.0/24 \\\n blackhole\n")
		case 17:
			b.WriteString("route add 10.0.0.0/8 dev nosuch0\nroute del blackhole 10.20.4.0/24 table 8\n")
		case 19:
			b.WriteString("rule add from 10.9.9.9 not\nroute append blackhole 10.20.6.0/24 table 8\n")
		}
	}
	file := filepath.Join(t.TempDir(), "batch")
	for _, text := range []string{b.String(), "rule del pref 1999\n", "rule add pref 7 table 9\n", b.String() + "rule add 'x\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"-force", "-batch", file},
			{"-6", "-force", "-b", file},
			{"-j", "-force", "-batch", file},
			{"-echo", "-force", "-batch", file},
			{"-batch", file},
		} {
			w.renew()
			if d := w.run(command{args: args}); d != "" {
				t.Errorf("%v: %s", args, d)
			}
		}
	}
}

// goodLines is a batch of a family whose lines succeed: many additions that wait for
// each other, to keys at which others are that a careless deletion would take, and
// what cannot wait between them.
func goodLines(family string) []string {
	if family == "-6" {
		return strings.Split(`route add 2001:db8:77::/48 via 2001:db8:1::2 metric 500
route add 2001:db8:77::/48 via 2001:db8:1::2 dev w0
route add unreachable 2001:db8:80::/48 dev v0 table 9
route add blackhole 2001:db8:81::/48 via 2001:db8:1::2 dev v0
route add blackhole 2001:db8:78::/48 metric 7 table 9
route add 2001:db8:78::/48 dev v0 table 9
route add unreachable 2001:db8:78::/48 metric 2000 table 9
route append 2001:db8:78::/48 dev w0 table 9
route add 2001:db8:79::7/48 dev w0 table 1000
route add 2001:db8:79::/48 dev w0 metric 0 table 1001
route add 2001:db8:79::/48 metric 9 metric 3 dev w0 table 1000
rule add pref 2000 from 2001:db8:2::/48 iif v0 lookup 9
rule add pref 2000 from 2001:db8:2::/48 lookup 9
rule add pref 2000 from 2001:db8:2::/48 fwmark 1 lookup 9
route add 2001:db8:7a::/48 via fe80::9 dev v0 onlink src 2001:db8::1 proto static
route add 2001:db8:7b::/48 nexthop via 2001:db8::7 nexthop via 2001:db8::8
route add 2001:db8:7c::/48 via 2001:db8::9 mtu lock 1400
route add 2001:db8:7d::/48 nhid 20
route add default via 2001:db8::fd metric 5
route show table 9
route add local 2001:db8:7e::1 dev lo table 255
route add prohibit default table 9
route del 2001:db8:79::/48 table 1001
route add throw 2001:db8:7f::/48 table 9`, "\n")
	}
	return strings.Split(`route add 10.77.0.0/16 via 10.0.0.9 metric 100
route add 10.77.0.0/16 via 10.0.0.9
route add 10.77.0.0/16 via 10.0.0.9 tos 8
route add 10.77.0.0/16 via 10.0.0.9 metric 50
route add 10.77.0.0/16 via 10.0.0.9 tos 8 metric 100
route append 10.77.0.0/16 via 10.0.0.8
route add blackhole 10.78.0.0/16 table 9
route add unreachable 10.78.0.0/16 metric 7 table 9
route add 10.79.0.0/16 dev v0 scope global metric 0 table 1000
route add 10.79.0.0/16 metric 3 metric 9 dev w0 src 10.0.1.1 table 1000
rule add pref 2000 from 10.9.0.0/16 iif v0 lookup 9
rule add pref 2000 from 10.9.0.0/16 lookup 9
rule add pref 2000 from 10.9.0.0/16 fwmark 1 lookup 9
route add 192.0.2.7 via 10.0.1.77 dev w0 onlink proto static
route add 10.80.0.0/16 nexthop via 10.0.0.7 nexthop via 10.0.1.7
route add 10.81.0.0/16 via 10.0.0.7 mtu lock 1400
route add 10.82.0.0/16 nhid 10
route add 10.83.0.0/16 via inet6 fe80::7 dev v0
route add default via 10.0.0.253 metric 5
route show table 9
route add local 10.84.0.1 dev lo table local
route add broadcast 10.84.0.255 dev v0 table local
route add 10.77.9.0/24 via 10.0.0.9 realms 5
route replace 10.79.0.0/16 dev v0 metric 9 table 1000
route add throw 10.85.0.0/16 table 9`, "\n")
}

// A batch of which a line fails, whichever it is, ends as ip's does: the same lines
// are in effect, and the same is said.
func TestBatchWithAFailingLine(t *testing.T) {
	w := newTwins(t, theirs(t), routeHost())
	for family, failing := range map[string][]string{
		"-4": {"route add 10.77.0.0/16 via 10.0.0.9 metric 100", "route add 10.1.0.0/16 via 192.0.2.99", "route add 10.1.0.0/16 dev nosuch0", "route add 10.1.0.0/16 via x", "rule del pref 1999", "route add 'x"},
		"-6": {"route add 2001:db8:77::/48 via 2001:db8::77 metric 500", "route add 2001:db8:1::1/64 via fe80::77", "route add table 9", "rule add pref 2000 from x", "route add x::"},
	} {
		good := goodLines(family)
		for i := range failing {
			for at := 1; at <= len(good); at++ {
				if at > 4 && (at+i)%len(failing) != 0 { // each place has its turn, those that wait at the beginning all
					continue
				}
				lines := append(append(append([]string{}, good[:at]...), failing[i]), good[at:]...)
				text := strings.Join(lines, "\n") + "\n"
				file := filepath.Join(t.TempDir(), "batch")
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				w.renew()
				c := command{args: []string{family, "-batch", file}, text: text}
				if at%2 == 0 {
					c = command{args: []string{family, "-batch", "-"}, stdin: text, text: text}
				}
				if d := w.run(c); d != "" {
					t.Errorf("line %d is %q: %v: %s", at+1, failing[i], c, d)
				}
			}
		}
	}
}

// ruleLines are lines of a batch that add rules, as many as go one by one before others
// go together, and then rules of all kinds, some of them at a place that is taken, and
// routes between them. They are ones that can be read; the kernel refuses some.
func ruleLines(g *generator, family rpdb.Family) []string {
	var lines []string
	numbers := func(string, string) (uint32, bool) { return 0, false }
	for i := range fewRules + 2 {
		lines = append(lines, fmt.Sprintf("rule add pref %d fwmark %d lookup 7", 3000+i, i))
	}
	for len(lines) < 150 {
		words := g.selector(false)
		if g.one(2) {
			words = append(words, g.selector(false)...)
		}
		if g.one(3) {
			words = append(words, g.action()...)
		}
		if !g.one(60) { // the kernel chooses
			words = append(words, "pref", fmt.Sprint(pick(g, 2900, 3100, 4000)+g.IntN(90)))
		}
		if _, err := (iproute2.RuleContext{Family: family, Numbers: numbers}).ParseAdd(words); err != nil || strings.ContainsAny(strings.Join(words, ""), " #") {
			continue
		}
		lines = append(lines, "rule add "+strings.Join(words, " "))
		if g.one(4) {
			lines = append(lines, fmt.Sprintf("route add blackhole 10.%d.0.0/16 table 7", g.IntN(250)))
		}
	}
	return lines
}

// Rules that are added together, of which the kernel refuses one, end as ip's do, and
// those of others stay as they are.
func TestBatchOfRulesOfAllKinds(t *testing.T) {
	w := newTwins(t, theirs(t), routeHost())
	g := newGenerator(ruleGrammar(), 5, 6, t.TempDir())
	g.release = w.peer.release
	file := filepath.Join(g.dir, "batch")
	for range 60 {
		family := pick(g, rpdb.IPv4, rpdb.IPv4, rpdb.IPv6)
		lines := ruleLines(g, family)
		// What a deletion that says less would take in the place of what was added.
		others := []string{"rule add pref 3100 fwmark 7 iif v0 lookup 7", "rule add pref 4003 fwmark 1 sport 7 lookup main"}
		text := strings.Join(append(others, lines...), "\n") + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w.renew()
		option := map[rpdb.Family]string{rpdb.IPv4: pick(g, "-4", "-N"), rpdb.IPv6: "-6"}[family] // IPv4 goes without saying
		c := command{args: []string{option, "-batch", file}, text: text}
		if d := w.run(c); d != "" {
			t.Errorf("%v: %s", c, d)
		}
	}
}

// A rule does not wait behind others if one stands at its priority, whoever chose that:
// what waits has to be deleted again, and the kernel would delete the other.
func TestRulesAtTakenPlaces(t *testing.T) {
	w := newTwins(t, theirs(t), routeHost())
	first := ruleLines(newGenerator(ruleGrammar(), 1, 2, ""), rpdb.IPv4)[:fewRules+2]
	for name, lines := range map[string][]string{
		"taken before":             {"rule add pref 4000 nop", "rule add pref 9 goto 7", "rule add pref 100 nop", "rule add pref 100 lookup 100"},
		"taken by a line":          {"rule add pref 4000 fwmark 3 nop", "rule add pref 9 goto 7", "rule add pref 4000 nop"},
		"chosen by the kernel":     {"rule add fwmark 5 nop", "rule add pref 9 goto 7", "rule add pref 99 nop"},
		"taken by what it deleted": {"rule del pref 100", "rule add pref 100 fwmark 1 nop", "rule add pref 9 goto 7", "rule add pref 100 nop"},
		"all of the other family":  {"rule add pref 9 goto 7", "rule add pref 5000 from ::/0 nop", "rule add pref 5001 to ::/0 table 0"},
		"of routes too":            {"route add blackhole 10.1.0.0/16 table 7", "rule add pref 9 goto 7", "rule add pref 5000 nop", "route add blackhole 10.2.0.0/16 table 7"},
	} {
		text := strings.Join(append(append([]string{}, first...), lines...), "\n") + "\n"
		c := command{args: []string{"-batch", "-"}, stdin: text, text: text}
		w.renew()
		if d := w.run(c); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// Where the lines that go together end, and a line before or behind it fails.
func TestFailingLineAmongMany(t *testing.T) {
	w := newTwins(t, theirs(t), routeHost())
	const many = (mostChunks + 1) * mostWaiting / 2 // of each family
	for _, at := range []int{0, 31, 32, mostWaiting/2 - 1, mostWaiting / 2, mostWaiting, 2*mostWaiting - 1, many - 1} {
		for _, force := range []bool{false, true} {
			var b strings.Builder
			for i := range many {
				fmt.Fprintf(&b, "route add 10.%d.%d.0/24 via 10.0.0.9 dev v0 table 7\n", 20+i>>8, i&255)
				fmt.Fprintf(&b, "route add 2001:db8:%x::/48 via 2001:db8::9 dev v0 table 7\n", i+32)
				if i == at {
					fmt.Fprintf(&b, "route add 10.20.%d.0/24 via 10.0.0.7 dev v0 table 7\n", min(i/2, 255))
				}
			}
			c := command{args: []string{"-batch", "-"}, stdin: b.String()}
			if force {
				c.args = append(c.args, "-force")
			}
			w.renew()
			if d := w.run(c); d != "" {
				t.Errorf("line %d, %v: %s", at, c.args, d)
			}
		}
	}
}

// Who writes a batch line by line sees each carried out before the next is written,
// however they are cut on their way, and the batch ends with the first that fails
// though more could come.
func TestBatchLineByLine(t *testing.T) {
	ns := kerneltest.Namespace(t)
	if o := call(ns, nil, "rule add pref 7 nop"); o != (outcome{}) {
		t.Fatal(o)
	}
	cmd := exec.Command("/proc/self/exe", "-batch", "-")
	cmd.Args[0] = "ip"
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err == nil {
		err = ns.Do(cmd.Start)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	write := func(text string) {
		t.Helper()
		if _, err := in.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	await := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			o := call(ns, nil, "route show table 7 type blackhole")
			if strings.Count(o.stdout, "\n") == n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d routes are awaited: %v", n, o)
			}
		}
	}
	write("route add blackhole 10.1.0.0/16 table 7\n")
	await(1)
	write("route add blackhole 10.2.0.0/16 table 7\n# a comment\n\nroute add blackhole 10.3.0.0/16 \\\n")
	await(2)
	write("table 7\nroute add blackhole 10.4")
	await(3)
	write(".0.0/16 table 7\n")
	await(4)
	write("route add blackhole 10.5.0.0/16 table 7\nroute add blackhole 10.1.0.0/16 table 7\nroute add blackhole 10.6.0.0/16 table 7\n")
	err = cmd.Wait()
	await(5)
	if want := "RTNETLINK answers: File exists\nCommand failed -:9\n"; cmd.ProcessState.ExitCode() != 1 || errs.String() != want {
		t.Errorf("%v: %q, want %q", err, errs.String(), want)
	}
}
