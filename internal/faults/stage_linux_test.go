package faults

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rpdb"
)

// allFaults is the long run of "make faults".
var allFaults = flag.Bool("faults", false, "injure each command at every system call, not one canonical apply alone")

// operation is one command, on a host that comes from a few before it.
type operation struct {
	name  string
	lines []string // foreign things on the host, from the beginning
	made  []string // policies that are applied, in order
	trial bool     // the last of them is on trial
	// meanwhile are foreign things that came after that.
	meanwhile []string
	args      []string
	// then are the policies that it may end in; the first is the one before, the
	// second where it ends if it succeeds and its trial is over.
	then [2]string
}

func operations() []operation {
	// A table in which others have a route is changed where it stands.
	shared := append(foreign(), "ip route add 203.0.113.99 via 192.0.2.9 table 82500 proto static",
		"ip route add 2001:db8:99::/48 via 2001:db8::9 table 82500 proto static")
	// What others put among our rules is no reason not to go back.
	among := []string{
		"ip rule add pref 10500 from 192.0.2.96 lookup 7", "ip rule add pref 20500 from 192.0.2.95 lookup 7",
		"ip -6 rule add pref 10500 from 2001:db8::96 lookup 7", "ip -6 rule add pref 20500 from 2001:db8::95 lookup 7",
	}
	return []operation{
		{name: "apply", lines: foreign(), made: []string{"A"}, args: []string{"apply", "B.yaml"}, then: [2]string{"A", "B"}},
		{name: "apply beside a foreign route", lines: shared, made: []string{"A"}, args: []string{"apply", "B.yaml"}, then: [2]string{"A", "B"}},
		{name: "apply with a pinned rule", lines: foreign(), made: []string{"A"}, args: []string{"apply", "C.yaml"}, then: [2]string{"A", "C"}},
		{name: "apply for trial", lines: foreign(), made: []string{"A"}, args: []string{"apply", "B.yaml", "--confirm", "1h"}, then: [2]string{"A", "A"}},
		{name: "confirm", lines: foreign(), made: []string{"A", "B"}, trial: true, args: []string{"confirm"}, then: [2]string{"A", "B"}},
		{name: "rollback of a trial", lines: foreign(), made: []string{"A", "B"}, trial: true, meanwhile: among, args: []string{"rollback"}, then: [2]string{"A", "A"}},
		{name: "rollback to a generation", lines: shared, made: []string{"A", "C"}, args: []string{"rollback", "--last", "1"}, then: [2]string{"C", "A"}},
		{name: "remove", lines: shared, made: []string{"A", "C"}, meanwhile: among, args: []string{"remove"}, then: [2]string{"C", ""}},
		{name: "apply a translation", lines: foreign(), made: []string{"A"}, args: []string{"apply", "N.yaml"}, then: [2]string{"A", "N"}},
		{name: "apply another translation", lines: foreign(), made: []string{"N"}, args: []string{"apply", "M.yaml"}, then: [2]string{"N", "M"}},
		{name: "apply another translation for trial", lines: foreign(), made: []string{"N"}, args: []string{"apply", "M.yaml", "--confirm", "1h"}, then: [2]string{"N", "N"}},
		{name: "confirm a translation", lines: foreign(), made: []string{"N", "M"}, trial: true, args: []string{"confirm"}, then: [2]string{"N", "M"}},
		{name: "rollback of a translation", lines: foreign(), made: []string{"N", "M"}, trial: true, args: []string{"rollback"}, then: [2]string{"N", "N"}},
		{name: "remove a translation", lines: foreign(), made: []string{"N"}, args: []string{"remove"}, then: [2]string{"N", ""}},
	}
}

// leave takes away what came meanwhile.
func (op operation) leave() (lines []string) {
	for _, line := range op.meanwhile {
		lines = append(lines, strings.Replace(line, " add ", " del ", 1))
	}
	return lines
}

// stage is a host on which one operation is made again and again.
type stage struct {
	*host
	op       operation
	before   *rpdb.Snapshot
	template string // of the state directory
	looks    map[string]look
	points   int
	// errors counts the messages of failed calls.
	errors counts
}

// newStage prepares a host for an operation.
func newStage(t *testing.T, op operation) *stage {
	t.Helper()
	s := &stage{host: newHost(t, op.lines...), op: op, looks: map[string]look{}, errors: counts{}}
	for i, name := range op.made {
		args := []string{"apply", name + ".yaml"}
		if op.trial && i == len(op.made)-1 {
			args = append(args, "--confirm", "1h")
		}
		s.want(t, 0, args...)
		s.looks[name] = s.look(t)
	}
	s.killGuards(t)
	s.script(t, op.meanwhile...)
	s.before = s.snapshot(t)
	s.template = s.state
	s.refer(t)
	return s
}

// refer makes the operation once as it should be, and remembers how the host
// then looks, and the look of the generation before.
func (s *stage) refer(t *testing.T) {
	t.Helper()
	s.reset(t)
	defer s.forget(t)
	foreign := s.look(t).foreign
	s.want(t, 0, s.op.args...)
	if after := s.look(t); after.foreign != foreign {
		t.Fatalf("without a fault, foreign things are\n%s\nand were\n%s", after.foreign, foreign)
	}
	s.run(t, "rollback", "--wait", "1m") // if it is on trial
	if got := policyInForce(s.record(t)); got != s.op.then[1] {
		t.Fatalf("without a fault it ends at %q, want %q", got, s.op.then[1])
	}
	s.looks[s.op.then[1]] = s.look(t)
}

// reset makes the host what it was before the operation.
func (s *stage) reset(t *testing.T) {
	t.Helper()
	s.points++
	s.restore(t, s.before)
	s.state = filepath.Join(s.dir, fmt.Sprintf("state-%d", s.points))
	copyState(t, s.template, s.state)
}

// forget removes the state directory.
func (s *stage) forget(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(s.state); err != nil {
		t.Fatal(err)
	}
}

// forgetIfOver removes the state directory unless a guard may look at it.
func (s *stage) forgetIfOver(t *testing.T) {
	t.Helper()
	if !slices.Contains(s.op.args, "--confirm") {
		s.forget(t)
	}
}

// ended is how an operation ended that something was done to.
type ended struct {
	what    string // was done
	exit    int    // -1 if it was killed
	said    string
	foreign string // what others had before
}

// judge lets the next command end what an operation left, and checks what is there
// then: exactly one generation, in sync; the new one if the operation said so.
func (s *stage) judge(t *testing.T, e ended) {
	t.Helper()
	next, _ := s.run(t, "rollback", "--wait", "1m") // mostly there is no trial
	record := s.record(t)
	in := policyInForce(record)
	now := s.look(t)
	s.script(t, s.op.leave()...)
	status, exit := s.run(t, "status")
	wrong := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%v: %s\nit said: %s\nthe next command said: %s\nstatus: %s", e.what, fmt.Sprintf(format, args...), e.said, next, status)
	}
	switch {
	case exit != 0:
		wrong("not in sync")
	case !slices.Contains(s.op.then[:], in):
		wrong("%q is in force", in)
	case now.ours != s.looks[in].ours:
		wrong("%q is in force, and of ours there is\n%s\ninstead of\n%s", in, now.ours, s.looks[in].ours)
	case now.torn != "":
		wrong("%s", now.torn)
	case now.foreign != e.foreign:
		wrong("foreign things are\n%s\nand were\n%s", now.foreign, e.foreign)
	case len(s.litter(t, record)) > 0:
		wrong("left in the state directory: %q", s.litter(t, record))
	case e.exit == 0 && in != s.op.then[1]:
		wrong("it said that it was done")
	case e.exit > 0 && in != s.op.then[0] && !admits(e.said):
		wrong("it failed, and %q is in force", in)
	}
}

// admits reports whether an error says that the new generation stands.
func admits(said string) bool {
	return strings.Contains(said, "and stand; to say so") || strings.Contains(said, "is in force") || strings.Contains(said, "is confirmed")
}
