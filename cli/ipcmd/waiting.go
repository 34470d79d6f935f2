package ipcmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// waiting are changes of a batch that are not carried out yet, so that many go together
// for the price of one exchange, while the next lines are read. With -force every line
// is carried out whatever became of those before, and all changes may wait. Without it
// no line behind one that fails may take effect: what waits are additions that can be
// revoked, and those behind the first that is refused are. Nothing waits while more
// lines have to be waited for.
type waiting struct {
	name  string // of the batch
	force bool
	line  int  // that is carried out
	fails bool // one of those that waited was refused

	next       *chunk   // that is being filled, nil for none
	free       []*chunk // to be filled again
	work, done chan *chunk
	sent       int // chunks that are with the sender

	links map[rpdb.LinkName]rpdb.LinkIndex // that the lines of a chunk have asked for

	// Of rules that are added, of which only those may wait whose place was free.
	places *kernel.RulePlaces // nil as long as it is not known which are
	read   time.Time          // when they were
	alone  int                // how many of the last additions did not wait
	took   time.Duration      // the least that the kernel took for one of them
	slow   time.Duration      // with as much they do not begin to wait
}

// chunk are changes that go to the kernel together, and what became of them.
type chunk struct {
	*kernel.Pipeline
	lines    []int
	refusals []refusal
	err      error // of the connection
}

// refusal is what the kernel says about a change of a chunk.
type refusal struct {
	change int
	err    error
}

// A chunk is large enough that it costs little to have it carried out aside, and enough
// of them are read ahead that the kernel does not wait for us.
const (
	mostWaiting = 256
	mostChunks  = 4
)

// Which places are free the kernel has to be asked for, which is as much work as a few
// additions are. It pays for many, and as long as it has not so many rules that it looks
// through them for longer than it takes to ask and wait. What was free some time ago may
// not be any more.
const (
	fewRules     = 32
	slowAddition = 100 * time.Microsecond
	placesLast   = 200 * time.Millisecond
)

// errStopped ends a batch of which a line has failed, and was reported.
var errStopped = errors.New("a line of the batch has failed")

// wait has changes wait for each other, if nobody can see it: without -echo.
func (s *session) wait(name string) {
	if !s.opts.Echo {
		s.waiting = &waiting{name: name, force: s.opts.Force, links: map[rpdb.LinkName]rpdb.LinkIndex{}, slow: cmp.Or(s.slow, slowAddition)}
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
	if n := len(w.free); w.next == nil && n > 0 {
		w.next, w.free = w.free[n-1], w.free[:n-1]
	} else if w.next == nil {
		w.next = &chunk{Pipeline: sock.Pipeline()}
	}
	if err := add(w.next.Pipeline); err != nil {
		return true, fail(2, "%s", kernelText(err))
	}
	w.next.lines = append(w.next.lines, w.line)
	if len(w.next.lines) < mostWaiting {
		return true, nil
	}
	return true, s.sendAside()
}

// takes reports whether a request adds a rule that can be deleted again and no other
// with it, as one that is alone at its priority.
func (w *waiting) takes(sock *kernel.Socket, r kernel.RuleRequest) bool {
	if !r.HasPlace() || time.Since(w.read) > placesLast {
		w.places = nil // the kernel chooses a place that is not known, or others may have taken some
	}
	if w.places == nil && w.alone >= fewRules && r.HasPlace() {
		if w.took < w.slow {
			w.places, _ = sock.RulePlaces(context.Background(), r.Family()) // without them it goes alone
			w.read = time.Now()
		}
		w.alone = 0
	}
	return w.places != nil && w.places.Take(r)
}

// sentAlone notes how long a request took that did not wait.
func (w *waiting) sentAlone(r kernel.RuleRequest, took time.Duration) {
	if w == nil || r.Delete {
		return
	}
	if w.alone++; w.alone == 1 || took < w.took { // others had to wait for something else
		w.took = took
	}
}

// sendAside has the chunk that is full carried out while the next one is filled.
func (s *session) sendAside() error {
	w := s.waiting
	if w.work == nil {
		w.work, w.done = make(chan *chunk, mostChunks), make(chan *chunk, mostChunks)
		go w.send()
	}
	w.work <- w.next
	w.next = nil
	w.sent++
	clear(w.links)
	for w.sent == mostChunks || len(w.done) > 0 {
		if err := s.receive(); err != nil {
			return err
		}
	}
	return nil
}

// send carries chunks out, up to the first that ends the batch, until there are no more.
func (w *waiting) send() {
	defer close(w.done)
	ended := false
	for c := range w.work {
		if !ended {
			c.carryOut(w.force)
			ended = !w.force && c.fails()
		}
		w.done <- c
	}
}

// endWaiting ends the sender. What waits then is never carried out.
func (s *session) endWaiting() {
	if w := s.waiting; w != nil && w.work != nil {
		close(w.work)
		for range w.done {
		}
		w.work, w.sent = nil, 0
	}
}

// carryOut sends the changes, and keeps what the kernel says.
func (c *chunk) carryOut(force bool) {
	refused := func(i int, err error) { c.refusals = append(c.refusals, refusal{i, err}) }
	if force {
		c.err = c.Flush(context.Background(), refused)
		return
	}
	switch i, err := c.FlushInTurn(context.Background()); {
	case i >= 0:
		refused(i, err)
	default:
		c.err = err
	}
}

func (c *chunk) fails() bool { return c.err != nil || len(c.refusals) > 0 }

// receive waits for a chunk that the sender has, and tells of it.
func (s *session) receive() error {
	w := s.waiting
	c := <-w.done
	w.sent--
	w.free = append(w.free, c)
	return s.tell(c)
}

// sendWaiting carries out all changes that wait, and says which were refused. It
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
	for w.sent > 0 {
		if err := s.receive(); err != nil {
			return err
		}
	}
	if w.next == nil || len(w.next.lines) == 0 {
		return nil
	}
	w.next.carryOut(w.force)
	return s.tell(w.next)
}

// tell says what of a chunk was refused, and empties it. It returns [errStopped] if that
// ends the batch.
func (s *session) tell(c *chunk) error {
	w := s.waiting
	for _, r := range c.refusals {
		s.complain(c.lines[r.change], r.err)
	}
	if n := len(c.lines); c.err != nil {
		s.complain(c.lines[0], c.err)
		fmt.Fprintf(s.Stderr, "ip: which of the lines %d to %d are in effect is not known\n", c.lines[0], c.lines[n-1])
	}
	if c.fails() {
		w.fails = true
	}
	c.lines, c.refusals, c.err = c.lines[:0], c.refusals[:0], nil
	if w.fails && !w.force {
		return errStopped
	}
	return nil
}

// complain says that the change of a line was refused.
func (s *session) complain(line int, err error) {
	s.report(fail(2, "%s", kernelText(err)), 1)
	fmt.Fprintf(s.Stderr, "Command failed %s:%d\n", s.waiting.name, line)
	var stays *kernel.UnrevokedError
	if errors.As(err, &stays) {
		fmt.Fprintf(s.Stderr, "ip: lines behind it are in effect all the same: %v\n", stays.Err)
	}
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

// readAfter is a reader of a stream that carries out what waits before it reads on,
// which may be long.
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
		return err == nil && (verb == iproute2.RuleAdd || w.force && verb == iproute2.RuleDelete)
	case "route":
		verb, err := iproute2.ParseRouteVerb(words[1])
		return err == nil && (verb == iproute2.RouteAdd || w.force && iproute2.RouteAdd <= verb && verb <= iproute2.RouteDelete)
	}
	return false
}
