package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rpdb/apply"
	"rpdb/apply/journal"
)

// interactive reports whether somebody is there to ask: a terminal on both
// sides, and no program that reads JSON.
func (a *app) interactive() bool {
	in, ok := a.In.(*interruptible)
	return ok && !a.json && isTerminal(in.r) && isTerminal(a.Err)
}

// await asks to confirm a generation until it is confirmed, taken back, or the
// time is over. If the terminal goes away it leaves the generation to its guard:
// whoever sat there may be logging in again.
func (s *site) await(ctx context.Context, id uint64) error {
	ctx = context.WithoutCancel(ctx)
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	answers := readLines(s.app.In.(*interruptible).r, done)
	show := newProgress(s.app.Err)
	defer show.clear()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	asked := false // once, where lines cannot be written over
	for {
		left, entry, err := s.trial(id)
		switch {
		case err != nil:
			return err
		case entry.Status == journal.Trial && left <= 0:
			return s.giveUp(ctx, id, show)
		case entry.Status != journal.Trial:
			return s.ended(entry, show)
		}
		if show.terminal || !asked {
			show.say("%s", s.app.question(id, left.Round(time.Second)))
			asked = true
		}
		select {
		case <-tick.C:
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				return &codeError{code: exitFailed}
			}
			return s.takeBack(ctx, id, show)
		case answer, ok := <-answers:
			switch answer = strings.ToLower(strings.TrimSpace(answer)); {
			case !ok:
				show.clear()
				s.app.note("generation %d stays on trial for %v; keep it with: %s", id, left.Round(time.Second), s.app.callAgain("confirm", strconv.FormatUint(id, 10)))
				return &codeError{code: exitFailed}
			case answer == "" || answer == "y" || answer == "yes":
				return s.confirm(ctx, id, show)
			case answer == "n" || answer == "no":
				return s.takeBack(ctx, id, show)
			}
		}
	}
}

// question is what is asked, in one line of the terminal.
func (a *app) question(id uint64, left time.Duration) string {
	text := fmt.Sprintf("Enter keeps generation %d, Ctrl-C takes it back; by itself in %v", id, left)
	if len(text)+len(" ...") > a.width() {
		text = fmt.Sprintf("Enter keeps %d, Ctrl-C: back (%v)", id, left)
	}
	return text
}

// readLines reads the lines of a terminal until it ends or nobody listens.
func readLines(r io.Reader, done <-chan struct{}) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(r); in.Scan(); {
			select {
			case lines <- in.Text():
			case <-done:
				return
			}
		}
	}()
	return lines
}

// trial returns how long a generation can still be confirmed.
func (s *site) trial(id uint64) (time.Duration, journal.Entry, error) {
	state, err := s.journal.Read()
	if err != nil {
		return 0, journal.Entry{}, err
	}
	entry, ok := state.Find(id)
	if !ok {
		return 0, entry, fmt.Errorf("generation %d is not recorded any more", id)
	}
	left, err := timeLeft(state.Pending)
	return left, entry, err
}

// timeLeft is how long a trial lasts, 0 or less if it is over.
func timeLeft(p *journal.Pending) (time.Duration, error) {
	boot, since, err := journal.Host{}.Boot()
	if err != nil || p == nil || p.BootID != boot {
		return 0, err
	}
	return p.Deadline - since, nil
}

// beginSoon is begin for somebody who has waited long enough: what else may have
// the lock is a guard, or another confirm, and they are quick.
func (s *site) beginSoon(ctx context.Context) (*apply.Session, error) {
	c := s.config()
	c.Wait = max(c.Wait, 10*time.Second)
	return apply.Begin(ctx, c)
}

// confirm keeps the generation.
func (s *site) confirm(ctx context.Context, id uint64, show *progress) error {
	session, err := s.beginSoon(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	show.clear()
	entry, err := session.Confirm(ctx, id)
	if err != nil {
		return err
	}
	s.app.noteUncleared(session)
	s.noteDrift(ctx, session)
	s.makeLast(session)
	return s.ended(entry, show)
}

// takeBack rolls the generation back at once, unless somebody has ended its trial:
// another one may have begun since.
func (s *site) takeBack(ctx context.Context, id uint64, show *progress) error {
	session, err := s.beginSoon(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	show.clear()
	p := session.State().Pending
	if p == nil || p.ID != id {
		entry, _ := session.State().Find(id)
		return s.ended(entry, show)
	}
	old := p.Old
	if _, err := session.RollBack(ctx, "by "+author()); err != nil {
		return err
	}
	s.app.noteUncleared(session)
	w := newPrinter(s.app.Out)
	w.printf("Rolled back: %s.\n", isInForce(old))
	if w.err != nil {
		return w.err
	}
	return &codeError{code: exitFailed}
}

// giveUp ends a trial whose time is over, unless its guard was faster.
func (s *site) giveUp(ctx context.Context, id uint64, show *progress) error {
	session, err := s.beginSoon(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	entry, _ := session.State().Find(id)
	return s.ended(entry, show)
}

// ended says how a trial ended.
func (s *site) ended(entry journal.Entry, show *progress) error {
	show.clear()
	if entry.Status == journal.Confirmed {
		return s.app.viewConfirmed(entry)
	}
	w := newPrinter(s.app.Out)
	w.printf("Generation %d is %s: %s.\n", entry.ID, entry.Status, safe(entry.Why))
	if w.err != nil {
		return w.err
	}
	return &codeError{code: exitFailed}
}

func isInForce(id uint64) string {
	if id == 0 {
		return "nothing of ours is left"
	}
	return fmt.Sprintf("generation %d is in force", id)
}
