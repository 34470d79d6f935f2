package ipcmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// call runs one command line in a namespace.
func call(ns *kernel.NetNS, stdin []byte, line string) outcome {
	var out, errs bytes.Buffer
	code := Call{
		Args: splitLine(line), Stdin: bytes.NewReader(stdin), Stdout: &out, Stderr: &errs, NetNS: ns,
		HandOver: func([]string) int { return -1 },
	}.Run()
	return outcome{code, out.String(), errs.String()}
}

// program runs this program as a process, which may hand over to the real ip.
func program(t *testing.T, ns *kernel.NetNS, stdin string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "ip"
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	_ = ns.Do(cmd.Run)
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// Nothing of ours is computed before the first word is read: tables are laid out
// by the compiler, or made when they are needed. Who lists three rules would wait
// for them.
func TestStartsWithoutInitialisers(t *testing.T) {
	ns := kerneltest.Namespace(t)
	cmd := exec.Command("/proc/self/exe", "-V")
	cmd.Env = append(os.Environ(), asProgram+"=1", "GODEBUG=inittrace=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := ns.Do(cmd.Run); err != nil {
		t.Fatal(err)
	}
	traced := false
	for line := range strings.Lines(errs.String()) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "init" {
			continue
		}
		traced = true
		switch path := words[1]; {
		case !strings.HasPrefix(path+"/", "rpdb/"):
		case path == "rpdb/cli/ipcmd", strings.HasPrefix(path, "rpdb/internal/"), path == "rpdb/kernel/kerneltest": // for the tests
		default:
			t.Errorf("%s has initialisers: %s", path, strings.TrimSpace(line))
		}
	}
	if !traced {
		t.Errorf("no trace in %q", errs.String())
	}
}

// What is not about rules is answered by the real ip, in a batch too, and lines
// keep their numbers.
func TestHandOver(t *testing.T) {
	w := newTwins(t, systems(t), host{})
	mixed := filepath.Join(t.TempDir(), "mixed")
	text := "rule add pref 5 table 7\n\n# links\nlink show lo\nrule show pref 5\nlink show nosuch\nrule show\n"
	const routes = "route add blackhole 10.1.0.0/16\nroute add blackhole 10.2.0.0/16\n" // which wait for each other
	if err := os.WriteFile(mixed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []command{
		{args: []string{"link", "show", "lo"}},
		{args: []string{}},
		{args: []string{"help"}},
		{args: []string{"nosuch"}},
		{args: []string{"route", "show", "table", "77"}},
		{args: []string{"-M", "route"}},
		{args: []string{"-r", "route", "list", "table", "local"}},
		{args: []string{"-r", "-batch", "-"}, stdin: "rule show\nroute list table local\nroute list nosuch\n"},
		{args: []string{"monitor", "nosuch"}},
		{args: []string{"-batch", "-"}, stdin: text},
		{args: []string{"-force", "-batch", "-"}, stdin: text},
		{args: []string{"-batch", mixed}},
		{args: []string{"-batch", "/dev/stdin"}, stdin: text},
		{args: []string{"-force", "-batch", "-"}, stdin: "rule del pref 77\nlink show lo\n"},
		{args: []string{"-batch", "-"}, stdin: routes + "link show lo\nroute add blackhole 10.3.0.0/16\nroute show\n"},
		{args: []string{"-batch", "-"}, stdin: routes + routes + "link show lo\n"},
		{args: []string{"-force", "-batch", "-"}, stdin: routes + routes + "link show lo\nroute show\n"},
		{args: []string{"-batch", "-"}, stdin: routes + "route show\n" + routes + "route show\n"},
	} {
		w.renew()
		a, b := w.a.real(c), program(t, w.b.ns, c.stdin, c.args...)
		if a != b {
			t.Errorf("%v\ntheirs: %v\nours: %v", c, a, b)
		}
		if as, bs := w.state(w.a), w.state(w.b); as != bs {
			t.Errorf("%v: the kernels differ\ntheirs:\n%sours:\n%s", c, as, bs)
		}
	}
}

// Thousands of rules go in one flush; those of priority 0 stay, as with ip.
func TestFlushThousands(t *testing.T) {
	ns := kerneltest.Namespace(t)
	var batch strings.Builder
	for range 3000 {
		batch.WriteString("rule add pref 1000 table 100\nrule del pref 1000\nrule add table 100\n")
	}
	if o := call(ns, []byte(batch.String()), "-batch -"); o.code != 0 {
		t.Fatal(o)
	}
	if o := call(ns, nil, "rule flush"); o != (outcome{}) {
		t.Errorf("flush: %v", o)
	}
	if got := call(ns, nil, "rule").stdout; got != "0:\tfrom all lookup local\n" {
		t.Errorf("left: %.200s", got)
	}
}

// The JSON of -echo is JSON, lists know protocols and actions, and a full disk
// is noticed.
func TestBetterThanTheirs(t *testing.T) {
	ns := kerneltest.Namespace(t)
	o := call(ns, nil, "-j -echo rule add pref 5 from 192.0.2.1 blackhole protocol static")
	var rules []map[string]any
	if err := json.Unmarshal([]byte(o.stdout), &rules); err != nil || len(rules) != 1 || rules[0]["action"] != "blackhole" {
		t.Errorf("echo: %v, %v", o, err)
	}
	call(ns, nil, "rule add pref 6 table 9 suppress_prefixlength 0 realms 1/2")
	for words, want := range map[string]string{
		"protocol static": "5:\tfrom 192.0.2.1 blackhole proto static\n", "blackhole": "5:\tfrom 192.0.2.1 blackhole proto static\n",
		"suppress_prefixlength 0": "6:\tfrom all lookup 9 suppress_prefixlength 0 realms 1/2\n",
		"realms 1/2":              "6:\tfrom all lookup 9 suppress_prefixlength 0 realms 1/2\n",
	} {
		if o := call(ns, nil, "rule list "+words); o.stdout != want || o.code != 0 {
			t.Errorf("list %s: %v", words, o)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	var errs bytes.Buffer
	code := Call{Args: []string{"rule"}, Stdout: full, Stderr: &errs, NetNS: ns}.Run()
	if code != 1 || errs.String() != "ip: write standard output: no space left on device\n" {
		t.Errorf("full disk: %d, %q", code, errs.String())
	}
}

// lines is a writer that hands over what is written.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

func TestMonitor(t *testing.T) {
	at := func() time.Time { return time.Date(2026, 11, 20, 23, 27, 6, 27230000, time.UTC) }
	for _, c := range []struct {
		line string
		want []string
	}{
		{"monitor rule", []string{"7:\tfrom all lookup 100\n", "Deleted 7:\tfrom all lookup 100\n"}},
		{"-6 monitor ru label", []string{"[RULE]8:\tfrom all nop\n"}},
		{"-ts -d monitor rule", []string{"[2026-11-20T23:27:06.027230] 7:\tfrom all lookup 100 proto unspec\n"}},
		{"-t monitor rule", []string{"Timestamp: Fri Nov 20 23:27:06 2026 27230 usec\n7:\tfrom all lookup 100\n"}},
		{"-j monitor rule", []string{
			`[{"priority":7,"src":"all","table":"100"}]` + "\n", `[{"deleted":true,"priority":7,"src":"all","table":"100"}]` + "\n",
		}},
		{"-j monitor route", []string{`[{"type":"blackhole","dst":"203.0.113.0/24","flags":[]}]` + "\n"}},
		{"monitor route", []string{"blackhole 203.0.113.0/24 \n"}},
	} {
		t.Run(c.line, func(t *testing.T) {
			host := kerneltest.Real(t)
			ns, out := host.NetNS(), make(lines)
			go Call{Args: splitLine(c.line), Stdout: out, Stderr: out, NetNS: ns, Now: at}.Run() // until the test binary ends
			awaitListener(t, ns, c.line)
			go func() {
				call(ns, nil, "rule add pref 7 table 100")
				call(ns, nil, "rule del pref 7")
				call(ns, nil, "-6 rule add pref 8 nop")
				_ = kerneltest.Script(context.Background(), host, "ip route add blackhole 203.0.113.0/24 proto boot")
			}()
			for _, want := range c.want {
				select {
				case got := <-out:
					if got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				case <-time.After(time.Minute):
					t.Fatalf("no %q", want)
				}
			}
		})
	}
}

// awaitListener waits until a socket of the namespace hears what a monitor of TestMonitor
// is asked to tell: what comes before is told to nobody.
func awaitListener(t *testing.T, ns *kernel.NetNS, line string) {
	t.Helper()
	group := unix.RTNLGRP_IPV4_RULE
	switch {
	case strings.HasPrefix(line, "-6 "):
		group = unix.RTNLGRP_IPV6_RULE
	case strings.HasSuffix(line, " route"):
		group = unix.RTNLGRP_IPV4_ROUTE
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var sockets []byte
		err := ns.Do(func() (err error) {
			sockets, err = os.ReadFile("/proc/thread-self/net/netlink")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(sockets)) {
			if f := strings.Fields(line); len(f) > 3 && f[1] == "0" { // NETLINK_ROUTE
				if groups, err := strconv.ParseUint(f[3], 16, 32); err == nil && groups>>(group-1)&1 == 1 {
					return
				}
			}
		}
	}
	t.Fatalf("%q listens to nothing", line)
}

// A monitor whose socket overflowed says so, and tells what it missed.
func TestMonitorOverflow(t *testing.T) {
	host := kerneltest.Real(t)
	var out, errs bytes.Buffer
	s := &session{Call: Call{Stdout: &out, Stderr: &errs, NetNS: host.NetNS()}}
	s.out = bufio.NewWriter(&out)
	defer s.close()
	all := rpdb.Families()
	events := make(chan kernel.Event)
	next := func(context.Context) (kernel.Event, error) {
		ev, ok := <-events
		if !ok {
			return ev, os.ErrClosed
		}
		return ev, nil
	}
	call(host.NetNS(), nil, "rule add pref 5 table 7")
	call(host.NetNS(), nil, "-6 rule add pref 5 table 7")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m := &tail{session: s, request: monitorRequest{rules: true}, families: all[:]}
		_ = m.follow(kernel.NewWatcher(next, func() error { return nil }))
	}()
	seen := rpdb.Rule{Family: rpdb.IPv4, Priority: 9, Action: rpdb.Nop()}
	call(host.NetNS(), nil, "rule add pref 9 nop")
	events <- kernel.Event{Type: kernel.EventRule, Rule: seen}
	call(host.NetNS(), nil, "rule del pref 5") // what the monitor does not hear of
	call(host.NetNS(), nil, "-6 rule add pref 6 table 8")
	events <- kernel.Event{Type: kernel.EventOverflow}
	close(events)
	<-ended
	s.out.Flush()
	want := "Deleted 5:\tfrom all lookup 7\n6:\tfrom all lookup 8\n"
	if got := out.String(); got != "9:\tfrom all nop\n"+want {
		t.Errorf("told %q, want %q", got, want)
	}
	if !strings.HasPrefix(errs.String(), "netlink receive error No buffer space available (105)\n") {
		t.Errorf("said %q", errs.String())
	}
}

// Two copies of this program in PATH do not hand a command to each other for
// ever, and without another ip they say so.
func TestNoSystemIP(t *testing.T) {
	own, err := os.Stat("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ip"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	copied, err := os.Stat(filepath.Join(dir, "ip"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	path, self, err := systemIP()
	if path != filepath.Join(dir, "ip") || self != identity(own) || err != nil {
		t.Errorf("found %q, %q, %v", path, self, err)
	}
	t.Setenv(passed, ":"+identity(copied))
	if path, _, _ := systemIP(); strings.HasPrefix(path, dir) {
		t.Errorf("handed back to %q", path)
	}
}
