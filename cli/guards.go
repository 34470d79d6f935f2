package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rpdb/apply"
	"rpdb/apply/guard"
	"rpdb/apply/journal"
)

// guardWord is the first word of a guard's command line, which no person types.
const guardWord = "guard-of-a-generation"

// timerDelay is how much later than the deadline the timer of systemd elapses:
// the process that watches too has gone back by then, and the timer is gone.
const timerDelay = time.Second

// startGuards starts what rolls a generation back if this process cannot: a
// process, and where systemd runs a timer of it. One of them is enough; that the
// other could not be started is said.
func (s *site) startGuards(p journal.Pending) error {
	process, timer := s.startProcess(p), s.startTimer(p)
	switch {
	case process != nil && errors.Is(timer, guard.ErrNoSystemd):
		return process
	case process != nil && timer != nil:
		return fmt.Errorf("%w; and a timer of systemd: %w", process, timer)
	case process != nil:
		s.app.note("%s.timer of systemd watches generation %d alone; a process of rpdb cannot: %v", s.timer(p).Unit, p.ID, process)
	case timer != nil && !errors.Is(timer, guard.ErrNoSystemd):
		s.app.note("a process of rpdb watches generation %d alone; a timer of systemd cannot: %v", p.ID, timer)
	}
	return nil
}

// startProcess starts the process that rolls a generation back.
func (s *site) startProcess(p journal.Pending) error {
	log, err := s.journal.Log()
	if err != nil {
		return err
	}
	defer log.Close()
	_, err = guard.Start(guard.Options{
		Args:  []string{guardWord, strconv.FormatUint(p.ID, 10), s.journal.Path()},
		NetNS: uintptr(s.conn.NetNS().FD()), Log: log,
	})
	return err
}

// timer is the timer of a generation. Its name follows from the record, so that
// everyone who ends the trial knows it; and no two trials have the same.
func (s *site) timer(p journal.Pending) guard.Timer {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d", s.journal.Path(), p.Deadline))
	return guard.Timer{Root: s.app.root, Unit: fmt.Sprintf("rpdb-guard-%d-%x", p.ID, sum[:4])}
}

// startTimer starts the timer of systemd that rolls a generation back.
func (s *site) startTimer(p journal.Pending) error {
	if err := guard.Systemd(s.app.root); err != nil {
		return err
	}
	name, found := namespaceName(s.netns)
	if !found {
		return errors.New("the network namespace has no name by which it could be found")
	}
	_, since, err := journal.Host{}.Boot()
	if err != nil {
		return err
	}
	e := guard.Elapse{
		After: p.Deadline - since + timerDelay, Now: journal.Host{}.Now(),
		Args:  []string{guardWord, strconv.FormatUint(p.ID, 10), s.journal.Path(), machinesOwn},
		Paths: []string{s.journal.Path()},
		About: fmt.Sprintf("rpdb: take generation %d back unless it is confirmed", p.ID),
	}
	if name != "" {
		e.Args[3] = filepath.Join(netnsDir, name)
		e.Paths = append(e.Paths, e.Args[3])
	}
	return s.timer(p).Start(e)
}

// machinesOwn stands for the machine's own network namespace, in the words of a
// guard.
const machinesOwn = "-"

// netnsDir is where network namespaces have names.
const netnsDir = "/run/netns"

// namespaceName returns the name of a network namespace, "" for the machine's
// own; found says that it is either.
func namespaceName(netns uint64) (name string, found bool) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/1/ns/net", &st); err == nil && st.Ino == netns {
		return "", true
	}
	for _, name := range namespaces() {
		if err := unix.Stat(filepath.Join(netnsDir, name), &st); err == nil && st.Ino == netns {
			return name, true
		}
	}
	return "", false
}

// trialEnded stops the timer of a generation that is on trial no more. If that
// fails the timer finds nothing to do.
func (s *site) trialEnded(p journal.Pending) {
	if p.Deadline != 0 {
		_ = s.timer(p).Stop()
	}
}

// guards are what watches a generation, as found now.
type guards struct {
	// Process is a process of rpdb, and Timer the name of a timer of systemd, ""
	// for none.
	Process bool   `json:"process"`
	Timer   string `json:"timer,omitzero"`
}

func (s *site) guards(p journal.Pending) guards {
	g := guards{Process: s.journal.Logging()}
	if t := s.timer(p); t.Waits() {
		g.Timer = t.Unit + ".timer"
	}
	return g
}

// watchers are the guards of a generation on trial, nil if there is none.
func (s *site) watchers(p *journal.Pending) *guards {
	if p == nil {
		return nil
	}
	g := s.guards(*p)
	return &g
}

// String names them, "" for none.
func (g guards) String() string {
	switch {
	case g.Process && g.Timer != "":
		return "a process of rpdb, and " + g.Timer + " of systemd"
	case g.Process:
		return "a process of rpdb"
	case g.Timer != "":
		return g.Timer + " of systemd"
	}
	return ""
}

// guard is the process of a guard, or the service that a timer has started. It
// ends with the trial, or sooner if the state directory goes away. If it is told
// to end before, it leaves the generation to the other guard where that watches.
func (a *app) guard(ctx context.Context, words []string) error {
	s, id, err := a.openGuard(words)
	process := len(words) == 2
	if process {
		err = guard.Ready(err)
	}
	if err != nil {
		return err
	}
	defer s.close()
	c := s.config()
	c.Relieved = func(p journal.Pending) bool { return process && s.timer(p).Waits() || !process && s.journal.Logging() }
	return apply.Guard(ctx, c, id)
}

// openGuard opens what a guard watches. Its words are the number of the
// generation, the state directory, and where a timer started it the namespace.
func (a *app) openGuard(words []string) (*site, uint64, error) {
	if len(words) != 2 && len(words) != 3 {
		return nil, 0, &usageError{text: "a guard is started by rpdb itself"}
	}
	id, err := strconv.ParseUint(words[0], 10, 64)
	if err != nil {
		return nil, 0, err
	}
	a.stateDir, a.netns = words[1], guard.NetNSPath
	if len(words) == 3 {
		a.netns = strings.TrimPrefix(words[2], machinesOwn)
	}
	s, err := a.openSite(false)
	return s, id, err
}
