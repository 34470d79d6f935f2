package faults

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEachReceiveFails by itself (A8, A13): what the kernel had to say is lost, or
// comes late. The short run takes a few.
func TestEachReceiveFails(t *testing.T) {
	s := newStage(t, operations()[0])
	for i, errno := range []syscall.Errno{syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR} {
		for _, after := range []bool{false, true} {
			if after && errno == syscall.EINTR { // says that nothing came
				continue
			}
			points, missed := s.every(t, injury{errno: errno, after: after}, func(c call) bool {
				return c.what == "recvmsg socket" && (*allFaults || c.nth%40 == 2*i+boolToInt(after))
			})
			if points == 0 || missed > 1 {
				t.Errorf("%v, after %v: %d receives were reached, %d were not", errno, after, points, missed)
			}
		}
	}
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tear sets the flag of the kernel by which a list says that it changed while it
// was read.
func tear(tid int, args [6]uint64) error {
	var head, vector [32]byte // struct msghdr, struct iovec
	if _, err := peek(tid, args[1], head[:]); err != nil {
		return err
	}
	if _, err := peek(tid, binary.NativeEndian.Uint64(head[16:]), vector[:16]); err != nil {
		return err
	}
	at := binary.NativeEndian.Uint64(vector[:])
	for {
		var message [16]byte // struct nlmsghdr
		if _, err := peek(tid, at, message[:]); err != nil {
			return err
		}
		length, flags := binary.NativeEndian.Uint32(message[:]), binary.NativeEndian.Uint16(message[6:])
		if length < 16 || flags&unix.NLM_F_MULTI == 0 {
			return nil // an answer, or what an earlier read left in the buffer
		}
		binary.NativeEndian.PutUint16(message[6:], flags|unix.NLM_F_DUMP_INTR)
		if err := poke(tid, at, message[:]); err != nil {
			return err
		}
		at += uint64(length+3) &^ 3
	}
}

// TestTornLists are read once more where one is torn, and where each is, nothing
// is changed (A6).
func TestTornLists(t *testing.T) {
	s := newStage(t, operations()[0])
	points, _ := s.every(t, injury{after: true, forge: tear}, func(c call) bool {
		return c.what == "recvmsg socket" && (*allFaults || c.nth%20 == 3)
	})
	if points == 0 {
		t.Error("no list was torn")
	}
	s.reset(t)
	before := s.look(t)
	w, err := s.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, said := s.injure(t, injury{at: call{what: "recvmsg socket"}, after: true, forge: tear})
	if r.exit != 1 || !strings.Contains(said, "rpdb: ") {
		t.Errorf("exit code %d: %s", r.exit, said)
	}
	if told := s.changes(t, w); len(told) > 0 || s.look(t) != before {
		t.Errorf("changed: %q", told)
	}
	t.Log(firstLine(said))
}

// drop returns a forgery that takes the n-th attribute out of a request as the
// kernel sees it: its type becomes one that no kernel knows.
func drop(n int, dropped *string) func(int, [6]uint64) error {
	return func(tid int, args [6]uint64) error {
		request := make([]byte, args[2])
		if _, err := peek(tid, args[1], request); err != nil {
			return err
		}
		const head = 16 + 12 // struct nlmsghdr, struct fib_rule_hdr or rtmsg
		at := head
		for ; n > 0 && at+4 <= len(request); n-- {
			at += (int(binary.NativeEndian.Uint16(request[at:])) + 3) &^ 3
		}
		if at+4 > len(request) {
			return nil
		}
		*dropped = fmt.Sprintf("attribute %d of message %d", binary.NativeEndian.Uint16(request[at+2:]), binary.NativeEndian.Uint16(request[4:]))
		return poke(tid, args[1]+uint64(at)+2, []byte{0xf0, 0x03})
	}
}

// TestMutatedRequests drops each attribute of each request that makes a rule or a
// route, as an error in the encoder would (A17). What the kernel then makes is
// another rule, often one that catches all; it is seen, and taken away. The short
// run drops every fourth.
func TestMutatedRequests(t *testing.T) {
	s := newStage(t, operation{
		name: "apply", lines: foreign(), made: []string{"A"}, args: []string{"apply", "rich.yaml"}, then: [2]string{"A", "rich"},
	})
	r, _ := s.reference(t)
	caught, points := counts{}, 0
	for _, c := range r.calls {
		if c.what != "write socket message 24" && c.what != "write socket message 32" {
			continue
		}
		for n := 0; ; n++ {
			if points++; points%4 != 0 && !*allFaults && n < 20 {
				continue
			}
			var dropped string
			r, said := s.point(t, injury{at: c, forge: drop(n, &dropped)})
			switch {
			case dropped == "":
			case r.exit != 0:
				caught[dropped+": "+firstLine(said)]++
			case !needless(dropped):
				t.Errorf("%s: without it the kernel makes the same, says %s", dropped, said)
			}
			if dropped == "" {
				break
			}
		}
	}
	t.Logf("%d points; caught:%v", points, caught)
	if len(caught) < 5 {
		t.Errorf("only %d were caught", len(caught))
	}
}

// needless reports whether the kernel makes the same rule or route without an
// attribute: what the header of the message or another attribute says, too.
func needless(dropped string) bool {
	switch dropped {
	case "attribute 15 of message 32", // the table of a rule, where it fits the header
		"attribute 30 of message 32", // the mask of a port that stands for all of its bits
		"attribute 4 of message 24":  // the interface of a route, which its gateway implies
		return true
	}
	return false
}
