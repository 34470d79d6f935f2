package netlink

import (
	"bytes"
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	twin "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

func open(t *testing.T, o Options) *Conn {
	t.Helper()
	c, err := Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// requests are questions that need no privilege and whose answer holds still.
func requests() map[string]struct {
	typ   uint16
	fixed []byte
} {
	return map[string]struct {
		typ   uint16
		fixed []byte
	}{
		"rules of IPv4":          {unix.RTM_GETRULE, append([]byte{2}, make([]byte, 11)...)},
		"rules of IPv6":          {unix.RTM_GETRULE, append([]byte{10}, make([]byte, 11)...)},
		"rules of an odd family": {unix.RTM_GETRULE, append([]byte{77}, make([]byte, 11)...)},
		"rules, strictly wrong":  {unix.RTM_GETRULE, append([]byte{2, 9}, make([]byte, 10)...)},
		"routes of IPv4":         {unix.RTM_GETROUTE, append([]byte{2}, make([]byte, 11)...)},
		"addresses":              {unix.RTM_GETADDR, make([]byte, 8)},
		"nothing the kernel has": {200, make([]byte, 12)},
	}
}

// The same requests through both sockets give the same answers.
func TestTwinDumps(t *testing.T) {
	for _, strict := range []bool{false, true} {
		ours := open(t, Options{Strict: strict})
		theirs, err := twin.Dial(unix.NETLINK_ROUTE, &twin.Config{Strict: strict})
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		for name, r := range requests() {
			var got [][]byte
			_, err := ours.Dump(t.Context(), NewEncoder(nil, r.typ, 0, r.fixed), func(m Message) error {
				got = append(got, bytes.Clone(m.Data))
				return nil
			})
			msgs, twinErr := theirs.Execute(twin.Message{
				Header: twin.Header{Type: twin.HeaderType(r.typ), Flags: twin.Request | twin.Dump}, Data: r.fixed,
			})
			var errno, twinErrno syscall.Errno
			errors.As(err, &errno)
			errors.As(twinErr, &twinErrno)
			if errno != twinErrno || (err == nil) != (twinErr == nil) {
				t.Errorf("%s, strict %v: %v, the twin says %v", name, strict, err, twinErr)
			}
			var mine *Error
			var op *twin.OpError
			if errors.As(err, &mine) && errors.As(twinErr, &op) && mine.Message != op.Message {
				t.Errorf("%s: text %q, the twin says %q", name, mine.Message, op.Message)
			}
			if err != nil {
				continue
			}
			if len(got) != len(msgs) {
				t.Errorf("%s: %d messages, the twin has %d", name, len(got), len(msgs))
				continue
			}
			for i, m := range msgs {
				if !bytes.Equal(got[i], m.Data) {
					t.Errorf("%s: message %d differs\nours   %x\ntheirs %x", name, i, got[i], m.Data)
				}
			}
		}
	}
}

func TestDoneCarriesTheErrorOfADump(t *testing.T) {
	c := open(t, Options{Strict: true})
	if !c.Strict() {
		t.Skip("the kernel has no strict checks (before 4.20)")
	}
	_, err := c.Dump(t.Context(), NewEncoder(nil, unix.RTM_GETRULE, 0, append([]byte{2, 9}, make([]byte, 10)...)),
		func(Message) error { return nil })
	var refused *Error
	if !errors.As(err, &refused) || refused.Errno != unix.EINVAL || refused.Message == "" {
		t.Errorf("got %v", err)
	}
}

func rulesRequest() *Encoder {
	return NewEncoder(nil, unix.RTM_GETRULE, 0, append([]byte{2}, make([]byte, 11)...))
}

// An abandoned dump leaves the socket fit for the next one.
func TestAbandonedDump(t *testing.T) {
	c := open(t, Options{})
	stop := errors.New("enough")
	for range 10 {
		if _, err := c.Dump(t.Context(), rulesRequest(), func(Message) error { return stop }); err != stop {
			t.Fatalf("got %v", err)
		}
		n := 0
		if _, err := c.Dump(t.Context(), rulesRequest(), func(Message) error { n++; return nil }); err != nil || n == 0 {
			t.Fatalf("%d messages, %v", n, err)
		}
	}
}

// The head of a dump is as much as is wanted, to all of it; an error is the
// caller's.
func TestDumpHead(t *testing.T) {
	all := 0
	if _, err := open(t, Options{}).Dump(t.Context(), rulesRequest(), func(Message) error { all++; return nil }); err != nil || all < 2 {
		t.Fatalf("%d rules, %v", all, err)
	}
	failed := errors.New("failed")
	for _, want := range []int{1, 2, all, all + 1} {
		n := 0
		err := open(t, Options{}).DumpHead(t.Context(), rulesRequest(), func(Message) (bool, error) { n++; return n < want, nil })
		if err != nil || n != min(want, all) {
			t.Errorf("of %d messages %d were wanted: %d, %v", all, want, n, err)
		}
		err = open(t, Options{}).DumpHead(t.Context(), rulesRequest(), func(Message) (bool, error) { return false, failed })
		if err != failed {
			t.Errorf("got %v", err)
		}
	}
}

// The end of a context ends a dump that is under way, and the wait for an
// exchange that somebody else makes.
func TestContextEnds(t *testing.T) {
	c := open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	links := NewEncoder(nil, unix.RTM_GETLINK, 0, make([]byte, unix.SizeofIfInfomsg)) // its end comes in a datagram of its own
	n, err := c.Dump(ctx, links, func(Message) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%d datagrams, %v", n, err)
	}
	waiting := make(chan error)
	go func() { waiting <- c.Receive(context.Background(), func(Message) error { return nil }) }()
	for len(c.turn) == 0 { // until it is its turn
		time.Sleep(time.Millisecond)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	second := make(chan error, 1)
	go func() { second <- c.Execute(ctx, rulesRequest(), nil) }()
	select {
	case err := <-second:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("waits for the other exchange")
	}
	c.Close()
	<-waiting
}

func TestWaitingEnds(t *testing.T) {
	c := open(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	nothing := func(Message) error { return nil }
	if err := c.Receive(ctx, nothing); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	if _, err := c.Dump(t.Context(), rulesRequest(), nothing); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if more, err := c.Poll(nothing); more || err != nil {
		t.Errorf("poll: %v, %v", more, err)
	}
	if err := c.Execute(ctx, rulesRequest(), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended before: %v", err)
	}
	closed := make(chan error)
	go func() { closed <- c.Receive(context.Background(), nothing) }()
	time.Sleep(5 * time.Millisecond)
	c.Close()
	if err := <-closed; !errors.Is(err, os.ErrClosed) {
		t.Errorf("close: %v", err)
	}
}

// Another process may send to our port; only the kernel is believed.
func TestForeignSendersAreIgnored(t *testing.T) {
	c := open(t, Options{})
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	forged := NewEncoder(nil, unix.RTM_NEWRULE, Multi, make([]byte, 12))
	b, _ := forged.Message()
	for seq := range 8 { // whatever number the next request has
		b[8] = byte(seq)
		err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: c.Port()})
		if errors.Is(err, unix.EPERM) {
			t.Skip("an ordinary user cannot send to other processes")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	if _, err := c.Dump(t.Context(), rulesRequest(), func(m Message) error {
		if len(m.Data) == 12 {
			t.Error("a forged message came through")
		}
		n++
		return nil
	}); err != nil || n == 0 {
		t.Errorf("%d messages, %v", n, err)
	}
}

// What does not fit is an overflow, never half a message, and fits next time.
func TestTruncationGrowsTheBuffer(t *testing.T) {
	c := open(t, Options{})
	c.buf = make([]byte, 64)
	nothing := func(Message) error { return nil }
	overflows := 0
	for range 20 {
		_, err := c.Dump(t.Context(), rulesRequest(), nothing)
		if err == nil {
			break
		}
		if !errors.Is(err, OverflowError{}) || !errors.Is(err, unix.ENOBUFS) {
			t.Fatalf("got %v", err)
		}
		overflows++
	}
	if overflows == 0 || len(c.buf) <= 64 {
		t.Errorf("%d overflows, buffer of %d bytes", overflows, len(c.buf))
	}
	if _, err := c.Dump(t.Context(), rulesRequest(), nothing); err != nil {
		t.Error(err)
	}
}

func TestUnknownGroup(t *testing.T) {
	c := open(t, Options{})
	if err := c.Join(4000); !errors.Is(err, unix.EINVAL) {
		t.Errorf("got %v", err)
	}
	if _, err := Dial(Options{Groups: []uint32{4000}}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("got %v", err)
	}
}

func TestOwnNamespaceNeedsNoPrivilege(t *testing.T) {
	own, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	ran := false
	if err := InNetNS(int(own.Fd()), func() error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("got %v", err)
	}
	open(t, Options{NetNS: int(own.Fd())})
	if err := InNetNS(int(os.Stdin.Fd()), func() error { return nil }); err == nil {
		t.Error("entered what is no namespace")
	}
}

func TestPanicCrossesTheNamespace(t *testing.T) {
	own, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	defer func() {
		if r := recover(); r != "boom" {
			t.Errorf("recovered %v", r)
		}
	}()
	_ = InNetNS(int(own.Fd()), func() error { panic("boom") })
}

func TestAllocationsOfAnExchange(t *testing.T) {
	c := open(t, Options{})
	nothing := func(Message) error { return nil }
	e := rulesRequest()
	n := testing.AllocsPerRun(100, func() {
		if _, err := c.Dump(context.Background(), e, nothing); err != nil {
			t.Fatal(err)
		}
	})
	if n > 6 { // the sender's address of each read
		t.Errorf("%v allocations for a dump", n)
	}
}

func BenchmarkDumpRules(b *testing.B) {
	c, err := Dial(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	e := rulesRequest()
	for b.Loop() {
		if _, err := c.Dump(context.Background(), e, func(Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// What the guard refuses does not leave the socket, nor does it harm it.
func TestGuardedRequestIsNotSent(t *testing.T) {
	c := open(t, Options{})
	e := NewEncoder(nil, unix.RTM_NEWROUTE, Create, make([]byte, 12))
	tunnel(e, 21, 22, 2, 8)
	seq := c.seq
	err := c.Execute(t.Context(), e, nil)
	var refused *Error
	if !errors.As(err, &refused) || refused.Message == "" || c.seq != seq {
		t.Errorf("got %v, %d requests were sent", err, c.seq-seq)
	}
	if _, err := c.Dump(t.Context(), rulesRequest(), func(Message) error { return nil }); err != nil {
		t.Error(err)
	}
}

// A socket that overflowed gets nothing until it is empty, so an exchange whose
// answers are lost must not leave any to the next, which would wait for ever.
func TestExchangeAfterLostAnswers(t *testing.T) {
	c := open(t, Options{ReceiveBuffer: 1})
	link := make([]byte, unix.SizeofIfInfomsg)
	link[4] = 1 // loopback, about which there is much to say
	nothing := func(Message) error { return nil }
	if err := c.Execute(t.Context(), NewEncoder(nil, unix.RTM_GETLINK, 0, link), nothing); !errors.Is(err, OverflowError{}) {
		t.Errorf("got %v", err)
	}
	if err := c.Execute(t.Context(), NewEncoder(nil, 200, 0, make([]byte, 12)), nil); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("the next request: %v", err)
	}
	var b Batch
	for range 3 {
		if err := b.Add(NewEncoder(nil, unix.RTM_GETLINK, 0, link)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.ExecuteBatch(t.Context(), &b, func(int, error) error { return nil }); !errors.Is(err, OverflowError{}) {
		t.Errorf("a batch: %v", err)
	}
	if err := c.Execute(t.Context(), NewEncoder(nil, 200, 0, make([]byte, 12)), nil); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("the next request after a batch: %v", err)
	}
}

// An answer that is lost without an error ends the exchange, and nothing but it:
// the socket works when answers come again, and who waits for events goes on
// waiting.
func TestSilence(t *testing.T) {
	c := open(t, Options{})
	c.patience = time.Millisecond
	filter := func(f func(fd int) error) {
		t.Helper()
		var err error
		if cerr := c.Control(func(fd int) { err = f(fd) }); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
	}
	nothing := func(Message) error { return nil }
	none := []unix.SockFilter{{Code: unix.BPF_RET}} // keep 0 bytes: the kernel drops what it sends
	for range 2 {
		filter(func(fd int) error {
			return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &none[0]})
		})
		var b Batch
		if err := b.Add(NewEncoder(nil, 200, 0, make([]byte, 12))); err != nil {
			t.Fatal(err)
		}
		for name, ask := range map[string]func() error{
			"dump": func() error {
				_, err := c.Dump(t.Context(), NewEncoder(nil, unix.RTM_GETLINK, 0, make([]byte, unix.SizeofIfInfomsg)), nothing)
				return err
			},
			"request": func() error { return c.Execute(t.Context(), NewEncoder(nil, 200, 0, make([]byte, 12)), nil) },
			"batch": func() error {
				_, err := c.ExecuteBatch(t.Context(), &b, func(int, error) error { return nil })
				return err
			},
		} {
			var silence *SilenceError
			if err := ask(); !errors.As(err, &silence) || !errors.Is(err, unix.ETIMEDOUT) || silence.Waited != c.patience {
				t.Errorf("%s: %v", name, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := c.Receive(ctx, nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an event: %v", err)
		}
		cancel()
		filter(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) })
		n, err := c.Dump(t.Context(), rulesRequest(), nothing)
		if errors.Is(err, unix.EBUSY) { // the lost one is under way
			n, err = c.Dump(t.Context(), rulesRequest(), nothing)
		}
		if err != nil || n == 0 {
			t.Errorf("the next dump: %d datagrams, %v", n, err)
		}
	}
}

// An answer that came while the process stood still has not failed to come.
func TestAnswerIsThereAfterAll(t *testing.T) {
	c := open(t, Options{})
	b, err := rulesRequest().Message()
	if err == nil {
		b[6] |= byte(Request | Ack)
		err = c.write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.await(t.Context(), time.Nanosecond); err != nil || c.rx.n == 0 {
		t.Errorf("%v, %d bytes", err, c.rx.n)
	}
}
