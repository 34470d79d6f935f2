package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb/apply/journal"
	"rpdb/internal/systemdtest"
)

// booted is a machine that systemd has booted, with an uplink of both families from
// the boot on, and rpdb. Generation 1 is confirmed there, and a unit repairs it at each boot.
type booted struct {
	*systemdtest.Machine
}

const bootedProgram = "/usr/local/bin/rpdb-program"

func bootMachine(t *testing.T) booted {
	t.Helper()
	m := booted{systemdtest.New(t)}
	m.Install(bootedProgram, "/proc/self/exe", 0o755)
	uplink := "uplinks: [{interface: eth0, gateways: [192.168.0.1, '2001:db8::1']}]\n"
	m.Write("/etc/rpdb/one.yaml", uplink, 0o644)
	m.Write("/etc/rpdb/two.yaml", uplink+"rules: [{name: a, from: 10.9.0.0/16, lookup: main}, {name: a6, from: '2001:db8:9::/48', lookup: main}]\n", 0o644)
	m.Write("/usr/local/bin/uplink", `#!/bin/sh -e
ip link add eth0 type veth peer name gw0
ip link set eth0 up
ip link set gw0 up
ip addr add 192.168.0.10/24 dev eth0
ip addr add 2001:db8::10/64 dev eth0 nodad
`, 0o755)
	unit := "[Service]\nType=oneshot\nExecStart=%s\n"
	m.Write("/etc/systemd/system/uplink.service", fmt.Sprintf(unit, "/usr/local/bin/uplink"), 0o644)
	m.Write("/etc/systemd/system/repair.service", "[Unit]\nWants=uplink.service\nAfter=uplink.service\n"+fmt.Sprintf(unit, bootedProgram+" repair"), 0o644)
	m.Write("/etc/systemd/system/multi-user.target.d/repair.conf", "[Unit]\nWants=repair.service\n", 0o644)
	m.Boot()
	m.Run(bootedProgram, "apply", "/etc/rpdb/one.yaml")
	return m
}

// state reads the record of the machine.
func (m booted) state(t *testing.T) journal.State {
	t.Helper()
	j, err := journal.Open(m.Path("/var/lib/rpdb"), "", journal.Options{ReadOnly: true})
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

// trial puts two.yaml on trial.
func (m booted) trial(t *testing.T, confirm string) journal.Pending {
	t.Helper()
	out := m.Run(bootedProgram, "apply", "/etc/rpdb/two.yaml", "--confirm", confirm)
	s := m.state(t)
	if s.Pending == nil {
		t.Fatalf("nothing is on trial: %s", out)
	}
	m.wantRules(t, true)
	return *s.Pending
}

// wantRules wants the rules of one.yaml in both families, and those of two.yaml
// besides if it is on trial.
func (m booted) wantRules(t *testing.T, trial bool) {
	t.Helper()
	for family, words := range map[string][2]string{
		"-4": {"from 192.168.0.10 lookup 82000", "from 10.9.0.0/16 lookup main"},
		"-6": {"from 2001:db8::/64 lookup 82000", "from 2001:db8:9::/48 lookup main"},
	} {
		out := m.Run("ip", family, "rule")
		if !strings.Contains(out, words[0]) || strings.Contains(out, words[1]) != trial {
			t.Errorf("on trial: %v\n%s", trial, out)
		}
	}
}

// kill kills the processes whose command lines hold some words, one after the
// other, and returns how many there were.
func (m booted) kill(t *testing.T, sig syscall.Signal, words ...string) (n int) {
	t.Helper()
	for pid, line := range m.Processes() {
		if len(line) > len(words) && slices.Equal(line[1:1+len(words)], words) && strings.HasSuffix(line[0], "rpdb-program") {
			if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Fatal(err)
			}
			n++
		}
	}
	return n
}

// timers are the units of timers of rpdb that systemd knows.
func (m booted) timers() string {
	out, _ := m.Command("systemctl", "--plain", "--no-legend", "--all", "list-units", "rpdb-guard-*").Output()
	return string(out)
}

// guards are what status says of them.
func (m booted) guards(t *testing.T) guards {
	t.Helper()
	out, _ := m.Command(bootedProgram, "status", "--json").Output() // ends with 4
	var d struct {
		Pending struct{ Guards guards }
	}
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return d.Pending.Guards
}

// TestTimerGoesBack where the process that watches is killed, and the apply that
// waits for an answer with it (E4).
func TestTimerGoesBack(t *testing.T) {
	t.Parallel()
	m := bootMachine(t)
	t.Run("both killed", func(t *testing.T) {
		p := m.unguarded(t)
		// What was killed has its files for some moments more.
		eventually(t, "the timer is the only guard", func() bool {
			g := m.guards(t)
			return !g.Process && g.Timer != ""
		})
		m.wantRolledBack(t, p, "not confirmed in time")
	})
	t.Run("units are loaded anew, others isolated", func(t *testing.T) {
		p := m.unguarded(t)
		m.Run("systemctl", "daemon-reload")
		m.Run("systemctl", "isolate", "multi-user.target")
		m.Run("systemctl", "daemon-reexec")
		m.wantRolledBack(t, p, "not confirmed in time")
	})
	t.Run("its service is killed, too", func(t *testing.T) {
		p, free := m.locked(t)
		eventually(t, "the service is killed", func() bool { return m.kill(t, syscall.SIGKILL, guardWord) > 0 })
		eventually(t, "it is restarted", func() bool { return len(m.ofGuards()) > 0 })
		free()
		m.wantRolledBack(t, p, "not confirmed in time")
	})
	t.Run("a namespace with a name", func(t *testing.T) {
		m.Run("ip", "netns", "add", "blue")
		m.Run("ip", "netns", "exec", "blue", "/usr/local/bin/uplink")
		_ = m.Run(bootedProgram, "-n", "blue", "apply", "/etc/rpdb/two.yaml", "--confirm", "10s")
		m.kill(t, syscall.SIGKILL, guardWord)
		eventually(t, "rolled back", func() bool {
			out, err := m.Command(bootedProgram, "-n", "blue", "status").Output()
			return err == nil && strings.HasPrefix(string(out), "Nothing was applied here.")
		})
		m.wantNoTimers(t)
	})
}

// unguarded puts a generation on trial from a terminal, kills the process that
// watches it and the one that asks, and returns the trial. That takes its time,
// so the trial is made longer until it is not over before.
func (m booted) unguarded(t *testing.T) journal.Pending {
	t.Helper()
	for confirm := 3 * time.Second; confirm < 2*time.Minute; confirm *= 2 {
		keyboard, screen := openTerminal(t)
		cmd := m.Command(bootedProgram, "apply", "/etc/rpdb/two.yaml", "--confirm", confirm.String())
		cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		screen.Close()
		p := &rpdbProcess{cmd: cmd}
		p.listen(keyboard)
		eventually(t, "it asks", func() bool {
			return strings.Contains(p.text(), "Enter keeps ") || strings.Contains(p.text(), "is rolled back")
		})
		killed := m.kill(t, syscall.SIGKILL, "apply") + m.kill(t, syscall.SIGKILL, guardWord)
		_, _ = p.wait()
		if s := m.state(t); s.Pending != nil && killed >= 2 {
			return *s.Pending
		}
		eventually(t, "it is over", func() bool { return m.state(t).Pending == nil })
	}
	t.Fatal("each trial was over before its guard could be killed")
	return journal.Pending{}
}

// locked is unguarded where another seems to write, which keeps any guard from
// going back until free is called.
func (m booted) locked(t *testing.T) (p journal.Pending, free func()) {
	t.Helper()
	for range 9 {
		p := m.unguarded(t)
		writer := m.Command("flock", "--exclusive", "--no-fork", "/var/lib/rpdb/lock", "sh", "-c", "echo locked; cat")
		in, err := writer.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := writer.StdoutPipe()
		if err == nil {
			err = writer.Start()
		}
		if err == nil {
			_, err = out.Read(make([]byte, 1))
		}
		if err != nil {
			t.Fatal(err)
		}
		free := func() {
			in.Close()
			_ = writer.Wait()
		}
		if s := m.state(t); s.Pending != nil {
			return p, free
		}
		free() // it took too long
	}
	t.Fatal("each trial was over before it could be locked")
	return p, nil
}

// wantRolledBack waits until a trial is over, logs how late that was, and wants
// nothing left of it.
func (m booted) wantRolledBack(t *testing.T, p journal.Pending, why string) {
	t.Helper()
	var late time.Duration
	eventually(t, "rolled back", func() bool {
		s := m.state(t)
		_, since, err := journal.Host{}.Boot()
		late = since - p.Deadline
		return err == nil && s.Pending == nil
	})
	t.Logf("rolled back %v after the deadline", late.Round(10*time.Millisecond))
	if late < 0 {
		t.Error("that was before the deadline")
	}
	if e, _ := m.state(t).Find(p.ID); e.Status != journal.RolledBack || e.Why != why {
		t.Errorf("generation %d is %s: %q, want %q", e.ID, e.Status, e.Why, why)
	}
	if out := m.Run(bootedProgram, "status"); !strings.HasPrefix(out, "Generation 1, confirmed,") {
		t.Error(out)
	}
	m.wantRules(t, false)
	m.wantNoTimers(t)
}

func (m booted) wantNoTimers(t *testing.T) {
	t.Helper()
	eventually(t, "the timers are gone", func() bool { return m.timers() == "" })
}

// TestTimerIsStopped when the trial is over, however that comes.
func TestTimerIsStopped(t *testing.T) {
	t.Parallel()
	m := bootMachine(t)
	wantTimer := func(t *testing.T, p journal.Pending) {
		t.Helper()
		g := m.guards(t)
		if !g.Process || !strings.Contains(m.timers(), g.Timer) {
			t.Errorf("guards %+v, and systemd has %q", g, m.timers())
		}
		if out := m.Run(bootedProgram, "history", "show", fmt.Sprint(p.ID)); !strings.Contains(out, "watched: by a process of rpdb, and "+g.Timer+" of systemd\n") {
			t.Error(out)
		}
	}
	for _, words := range [][]string{{"rollback"}, {"confirm"}} {
		t.Run(words[0], func(t *testing.T) {
			p := m.trial(t, "1h")
			wantTimer(t, p)
			m.Run(append([]string{bootedProgram}, words...)...)
			m.wantNoTimers(t)
			if e, _ := m.state(t).Find(p.ID); e.Status == journal.Trial {
				t.Errorf("it is on trial")
			}
		})
	}
	m.Run(bootedProgram, "apply", "/etc/rpdb/one.yaml")
	t.Run("it is over in time", func(t *testing.T) {
		p := m.trial(t, "10s")
		eventually(t, "rolled back", func() bool { return m.state(t).Pending == nil })
		m.wantNoTimers(t)
		if e, _ := m.state(t).Find(p.ID); e.Status != journal.RolledBack {
			t.Errorf("it is %s", e.Status)
		}
	})
}

// TestGuardsRelieveEachOther: one that is told to end, as the process is together
// with a login session, leaves the generation to the other (E13).
func TestGuardsRelieveEachOther(t *testing.T) {
	t.Parallel()
	m := bootMachine(t)
	p := m.trial(t, "1h")
	if n := m.kill(t, syscall.SIGTERM, guardWord); n != 1 {
		t.Fatalf("%d guards", n)
	}
	eventually(t, "the process is gone", func() bool { return !m.guards(t).Process })
	if s := m.state(t); s.Pending == nil || s.Pending.ID != p.ID {
		t.Fatalf("not on trial any more: %+v", s)
	}
	m.Run(bootedProgram, "rollback")

	p = m.trial(t, "1h")
	timer := m.guards(t).Timer
	m.Run("systemctl", "start", strings.TrimSuffix(timer, ".timer")+".service")
	eventually(t, "two guards", func() bool { return len(m.ofGuards()) == 2 })
	m.Run("systemctl", "stop", strings.TrimSuffix(timer, ".timer")+".service", timer)
	if s := m.state(t); s.Pending == nil || s.Pending.ID != p.ID {
		t.Fatalf("not on trial any more: %+v", s)
	}
	m.kill(t, syscall.SIGTERM, guardWord)
	eventually(t, "rolled back", func() bool { return m.state(t).Pending == nil })
	if e, _ := m.state(t).Find(p.ID); e.Why != "its guard was told to end" {
		t.Errorf("rolled back: %s", e.Why)
	}
}

// ofGuards are the command lines of guards.
func (m booted) ofGuards() (all [][]string) {
	for _, line := range m.Processes() {
		if len(line) > 1 && line[1] == guardWord {
			all = append(all, line)
		}
	}
	return all
}

// TestGuardsThatCannotStart: one is enough, and it is said that the other is not
// there; with none nothing is changed.
func TestGuardsThatCannotStart(t *testing.T) {
	t.Parallel()
	m := bootMachine(t)
	for _, test := range []struct {
		name, before, after string
		words               []string
		fails               bool
		says                []string
	}{
		{
			name: "no process", before: "mkdir -p /var/lib/rpdb/guard.log/x", after: "rm -r /var/lib/rpdb/guard.log",
			says: []string{"note: rpdb-guard-", ".timer of systemd watches generation ", " alone; a process of rpdb cannot: write /var/lib/rpdb/guard.log: "},
		},
		{
			name: "no timer", before: "mv /run/systemd/private /run/systemd/away", after: "mv /run/systemd/away /run/systemd/private",
			says: []string{"note: a process of rpdb watches generation ", " alone; a timer of systemd cannot: systemd-run: "},
		},
		{
			name: "neither", before: "rm /var/lib/rpdb/guard.log && mkdir -p /var/lib/rpdb/guard.log/x && mv /run/systemd/private /run/systemd/away",
			after: "mv /run/systemd/away /run/systemd/private && rm -r /var/lib/rpdb/guard.log", fails: true,
			says: []string{"Failed; nothing was changed.", "rpdb: start the guard that would roll back: ", "guard.log", "systemd-run: "},
		},
		{
			name: "a namespace without a name", words: []string{"unshare", "--net", "sh", "-c", `/usr/local/bin/uplink && exec "$@"`, "sh"},
			says: []string{"a timer of systemd cannot: the network namespace has no name by which it could be found\n"},
		},
		{
			name: "another file system", words: []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o mode=700 tmpfs /var/lib/rpdb && exec "$@"`, "sh"},
			says: []string{"a timer of systemd cannot: systemd does not see /var/lib/rpdb: this program has a file system of its own\n"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m.Run("sh", "-c", test.before)
			out, err := m.Command(append(test.words, bootedProgram, "apply", "/etc/rpdb/two.yaml", "--confirm", "1h")...).CombinedOutput()
			m.Run("sh", "-c", test.after)
			if (err != nil) != test.fails {
				t.Errorf("%v: %s", err, out)
			}
			for _, want := range test.says {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			n := len(m.ofGuards())
			if timers := m.timers(); (n == 0) != (test.fails || test.name == "no process") || (timers == "") == (test.name == "no process") {
				t.Errorf("%d guards, and timers %q", n, timers)
			}
			m.kill(t, syscall.SIGTERM, guardWord) // in whichever namespace
			eventually(t, "they are gone", func() bool { return len(m.ofGuards()) == 0 })
			if test.name == "no process" {
				m.Run(bootedProgram, "rollback")
			}
			m.Run(bootedProgram, "repair") // where there was no record of what is in force
			if out := m.Run(bootedProgram, "status"); !strings.HasPrefix(out, "Generation 1, confirmed,") {
				t.Error(out)
			}
		})
	}
}

// TestRebootInTheWindow: a unit that repairs at the boot leads to the generation
// that was confirmed (E5).
func TestRebootInTheWindow(t *testing.T) {
	t.Parallel()
	m := bootMachine(t)
	p := m.trial(t, "1h")
	m.Reboot()
	s := m.state(t)
	if e, _ := s.Find(p.ID); s.Pending != nil || e.Why != "the machine was booted before it was confirmed" {
		t.Errorf("after the boot: %+v", s)
	}
	if out := m.Run(bootedProgram, "status"); !strings.HasPrefix(out, "Generation 1, confirmed,") {
		t.Error(out)
	}
	m.wantRules(t, false)
	m.wantNoTimers(t)
}
