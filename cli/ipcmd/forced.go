package ipcmd

import (
	"context"
	"fmt"

	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// forced are changes of a batch with -force that are not sent yet. With it every
// line is carried out whatever became of those before, so the kernel ends in the
// same state if a hundred go together; without it a line behind one that fails must
// not be sent, and each is waited for.
type forced struct {
	*kernel.Pipeline
	name  string // of the batch
	lines []int  // of the changes
	line  int    // that is carried out
	fails bool   // one of them was refused
}

// mostForced is how many changes are sent together.
const mostForced = 100

// force has changes wait for each other, if nobody can see it: without -echo, and in
// a file, whose writer does not wait for an answer to each line.
func (s *session) force(name string, stream bool) {
	if s.opts.Force && !s.opts.Echo && !stream {
		s.forced = &forced{name: name}
	}
}

// put adds a change to those that wait, by add, and reports whether it did.
func (s *session) put(sock *kernel.Socket, add func(*kernel.Pipeline) error) (bool, error) {
	f := s.forced
	if f == nil {
		return false, nil
	}
	if f.Pipeline == nil {
		f.Pipeline = sock.Pipeline()
	}
	if err := add(f.Pipeline); err != nil {
		return true, fail(2, "%s", kernelText(err))
	}
	f.lines = append(f.lines, f.line)
	if f.Len() >= mostForced {
		s.sendForced()
	}
	return true, nil
}

// sendForced sends the changes that wait, and says which were refused.
func (s *session) sendForced() {
	f := s.forced
	if f == nil || len(f.lines) == 0 {
		return
	}
	complain := func(i int, err error) {
		s.report(fail(2, "%s", kernelText(err)), 1)
		fmt.Fprintf(s.Stderr, "Command failed %s:%d\n", f.name, f.lines[i])
		f.fails = true
	}
	if err := f.Flush(context.Background(), complain); err != nil {
		complain(len(f.lines)-1, err)
	}
	f.lines = f.lines[:0]
}

// changes reports whether a command is a change of a rule or a route, which can
// wait. What it says before it sends anything is in the way of nothing.
func changes(words []string) bool {
	if len(words) < 2 {
		return false
	}
	switch objectOf(words[0]) {
	case "rule":
		verb, err := iproute2.ParseRuleVerb(words[1])
		return err == nil && (verb == iproute2.RuleAdd || verb == iproute2.RuleDelete)
	case "route":
		verb, err := iproute2.ParseRouteVerb(words[1])
		return err == nil && iproute2.RouteAdd <= verb && verb <= iproute2.RouteDelete
	}
	return false
}
