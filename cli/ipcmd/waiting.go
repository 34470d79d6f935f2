package ipcmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// waiting are changes of a batch that are not sent yet, so that many go together for
// the price of one exchange. With -force every line is carried out whatever became of
// those before, and all changes may wait. Without it no line behind one that fails may
// take effect: what waits are additions that can be revoked, and those behind the first
// that is refused are. Nothing waits while more lines have to be waited for.
type waiting struct {
	*kernel.Pipeline
	name  string // of the batch
	force bool
	lines []int // of the changes
	line  int   // that is carried out
	fails bool  // one of them was refused

	links map[rpdb.LinkName]rpdb.LinkIndex // that these lines have asked for
}

// mostWaiting is how many changes are sent together. More would hardly be faster.
const mostWaiting = 64

// errStopped ends a batch of which a line has failed, and was reported.
var errStopped = errors.New("a line of the batch has failed")

// wait has changes wait for each other, if nobody can see it: without -echo.
func (s *session) wait(name string) {
	if !s.opts.Echo {
		s.waiting = &waiting{name: name, force: s.opts.Force, links: map[rpdb.LinkName]rpdb.LinkIndex{}}
	}
}

// put adds a change to those that wait, by add, if it can wait, and reports whether it
// did. Of one that cannot, all before it are carried out.
func (s *session) put(sock *kernel.Socket, revocable func() bool, add func(*kernel.Pipeline) error) (bool, error) {
	w := s.waiting
	if w == nil {
		return false, nil
	}
	if !w.force && !revocable() {
		return false, s.sendWaiting()
	}
	if w.Pipeline == nil {
		w.Pipeline = sock.Pipeline()
	}
	if err := add(w.Pipeline); err != nil {
		return true, fail(2, "%s", kernelText(err))
	}
	w.lines = append(w.lines, w.line)
	if w.Len() >= mostWaiting {
		return true, s.sendWaiting()
	}
	return true, nil
}

// sendWaiting carries out the changes that wait, and says which were refused. It
// returns [errStopped] if that ends the batch, now or before.
func (s *session) sendWaiting() error {
	w := s.waiting
	switch {
	case w == nil:
		return nil
	case w.fails && !w.force:
		return errStopped
	}
	clear(w.links)
	if len(w.lines) == 0 {
		return nil
	}
	if w.force {
		s.sendForced()
	} else {
		s.sendInTurn()
	}
	w.lines = w.lines[:0]
	if w.fails && !w.force {
		return errStopped
	}
	return nil
}

func (s *session) sendForced() {
	w := s.waiting
	if err := w.Flush(context.Background(), s.complain); err != nil {
		s.complain(len(w.lines)-1, err)
	}
}

func (s *session) sendInTurn() {
	w := s.waiting
	refused, err := w.FlushInTurn(context.Background())
	if err == nil {
		return
	}
	s.complain(max(refused, 0), err)
	var stays *kernel.UnrevokedError
	switch last := len(w.lines) - 1; {
	case refused < 0 && last > 0: // the connection is broken
		fmt.Fprintf(s.Stderr, "ip: which of the lines %d to %d are in effect is not known\n", w.lines[0], w.lines[last])
	case errors.As(err, &stays):
		fmt.Fprintf(s.Stderr, "ip: line %d is in effect all the same: %v\n", w.lines[stays.Request], stays.Err)
	}
}

// complain says that a change that waited was refused.
func (s *session) complain(i int, err error) {
	w := s.waiting
	s.report(fail(2, "%s", kernelText(err)), 1)
	fmt.Fprintf(s.Stderr, "Command failed %s:%d\n", w.name, w.lines[i])
	w.fails = true
}

// inTurn is standard error for what is said while a line is read: what is wrong with
// the lines before it comes first, and may end the batch.
type inTurn struct{ s *session }

// Write writes a text, unless the batch has ended.
func (t inTurn) Write(p []byte) (int, error) {
	if t.s.sendWaiting() != nil {
		return len(p), nil
	}
	return t.s.Stderr.Write(p)
}

// readAfter is a reader of a batch that carries out what waits before it reads on, for
// which it may have to wait.
type readAfter struct {
	s    *session
	from io.Reader
}

// Read reads on, if the batch has not ended.
func (r readAfter) Read(p []byte) (int, error) {
	if err := r.s.sendWaiting(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}

// mayWait reports whether a command is a change that may wait, as far as its first
// words tell. What it says before it sends anything is in the way of nothing.
func (w *waiting) mayWait(words []string) bool {
	if w == nil || len(words) < 2 {
		return false
	}
	switch objectOf(words[0]) {
	case "rule":
		verb, err := iproute2.ParseRuleVerb(words[1])
		return w.force && err == nil && (verb == iproute2.RuleAdd || verb == iproute2.RuleDelete)
	case "route":
		verb, err := iproute2.ParseRouteVerb(words[1])
		return err == nil && (verb == iproute2.RouteAdd || w.force && iproute2.RouteAdd <= verb && verb <= iproute2.RouteDelete)
	}
	return false
}
