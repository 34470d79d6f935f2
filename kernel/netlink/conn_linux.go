package netlink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say how a socket is opened. The zero value opens one of
// NETLINK_ROUTE in the calling thread's network namespace, without strict
// checks and groups.
type Options struct {
	// Protocol is the netlink protocol (NETLINK_*), 0 for NETLINK_ROUTE.
	Protocol int
	// NetNS is the descriptor of the network namespace to open the socket in,
	// 0 for the calling thread's. The descriptor is not kept.
	NetNS int
	// Strict asks the kernel to check requests strictly and to apply filters
	// to dumps (NETLINK_GET_STRICT_CHK). Kernels before 4.20 cannot: see
	// [Conn.Strict].
	Strict bool
	// Groups are the multicast groups to join (RTNLGRP_*).
	Groups []uint32
	// ReceiveBuffer is the size in bytes of the kernel's receive buffer; 0
	// leaves the default, which holds some 250 events.
	ReceiveBuffer int
}

// firstBuffer is the size of the read buffer at first. The kernel sizes the
// datagrams of a dump by the largest read it has seen, up to 32 KiB.
const firstBuffer = 64 << 10

// patience is how long an exchange waits for the next datagram. The kernel has
// carried a request out, and queued its answer, before the sending ends, and it
// makes the next part of a dump while the last is read: however long the work
// takes, it is not waited for here, and what has not come by now is lost.
const patience = 10 * time.Second

// Conn is a netlink socket, as a rule of NETLINK_ROUTE. Exchanges are made one
// at a time, whoever asks; it is safe for concurrent use. Close ends waiting
// calls. An exchange whose answer does not come ends in a [SilenceError].
type Conn struct {
	file   *os.File
	raw    syscall.RawConn
	port   uint32
	strict bool
	// patience is that of exchanges, which tests shorten.
	patience time.Duration

	turn chan struct{} // full during one exchange, which has all below
	seq  uint32
	buf  []byte
	rx   received
	// try and wait are readOnce in the shapes that RawConn wants, made once.
	try  func(uintptr)
	wait func(uintptr) bool
}

// received is the outcome of one recvmsg.
type received struct {
	n, flags int
	from     unix.Sockaddr
	err      error
}

// Dial opens a socket.
func Dial(o Options) (*Conn, error) {
	if o.NetNS == 0 {
		return dial(o)
	}
	var c *Conn
	err := InNetNS(o.NetNS, func() (err error) {
		c, err = dial(o)
		return err
	})
	return c, err
}

func dial(o Options) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, o.Protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &Conn{turn: make(chan struct{}, 1), buf: make([]byte, firstBuffer), seq: 1, patience: patience}
	if err := c.setUp(fd, o); err != nil {
		unix.Close(fd)
		return nil, err
	}
	c.file = os.NewFile(uintptr(fd), "netlink")
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c.try = func(fd uintptr) { c.readOnce(int(fd)) }
	c.wait = func(fd uintptr) bool {
		c.readOnce(int(fd))
		return c.rx.err != unix.EAGAIN
	}
	return c, nil
}

func (c *Conn) setUp(fd int, o Options) error {
	// Older kernels know neither of the first two; they are extras.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	if o.Strict {
		c.strict = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1) == nil
	}
	if n := o.ReceiveBuffer; n > 0 {
		// Without privilege the kernel caps the size, which is no error.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind netlink socket: %w", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("bind netlink socket: %w", err)
	}
	if sa, ok := name.(*unix.SockaddrNetlink); ok {
		c.port = sa.Pid
	}
	for _, g := range o.Groups {
		if err := join(fd, g); err != nil {
			return err
		}
	}
	return nil
}

func join(fd int, group uint32) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group)); err != nil {
		return fmt.Errorf("join netlink group %d: %w", group, err)
	}
	return nil
}

// leave undoes Join.
func (c *Conn) leave(group uint32) {
	_ = c.Control(func(fd int) { // events that come all the same are nobody's answer
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, int(group))
	})
}

// Join makes the socket a member of a multicast group (RTNLGRP_*). A kernel
// that does not know the group answers EINVAL.
func (c *Conn) Join(group uint32) error {
	var joined error
	if err := c.Control(func(fd int) { joined = join(fd, group) }); err != nil {
		return err
	}
	return joined
}

// Control runs f with the socket's descriptor, for ioctl(2); f must not keep
// it.
func (c *Conn) Control(f func(fd int)) error {
	return closed(c.raw.Control(func(fd uintptr) { f(int(fd)) }))
}

// closed gives the runtime's error about a closed descriptor, which has no
// exported name, the one that it has elsewhere.
func closed(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("use netlink socket: %w", os.ErrClosed)
}

// Port returns the socket's port id, by which events tell who caused them.
func (c *Conn) Port() uint32 { return c.port }

// Strict reports whether the kernel checks the socket's requests strictly.
func (c *Conn) Strict() bool { return c.strict }

// Close closes the socket. Calls that wait return an error that is
// os.ErrClosed.
func (c *Conn) Close() error { return c.file.Close() }

// begin waits until no other exchange is under way, or ctx ends.
func (c *Conn) begin(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Conn) end() { <-c.turn }

// Execute sends the request that e holds, with Request and Ack set, and waits
// for the acknowledgement. What the kernel answers before that, such as the
// echo of a change, is given to each, which may be nil; the message is valid
// only during the call. The result is nil, an [*Error], or what went wrong
// underway. When ctx ends the wait, the change may have been made all the
// same.
func (c *Conn) Execute(ctx context.Context, e *Encoder, each func(Message) error) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.end()
	seq, err := c.send(ctx, e, Request|Ack)
	if err != nil {
		return err
	}
	var failed error
	for {
		ms, err := c.datagram(ctx)
		if err != nil {
			c.drain(seq) // a socket that overflowed gets nothing until it is empty
			return err
		}
		for ms.Next() {
			m := ms.Message()
			switch {
			case !c.answers(m, seq):
			case m.Type == typeError || m.Type == typeDone:
				if failed == nil {
					return parseAck(m)
				}
				return errors.Join(parseAck(m), failed)
			case each != nil && failed == nil:
				failed = each(m)
			}
		}
		if err := ms.Err(); err != nil {
			return err
		}
	}
}

// Dump sends the request that e holds, with Request and Dump set, and gives
// every message of the answer to each; the message is valid only during the
// call. An error of each ends the dump. Datagrams is the number of reads that
// brought objects: what fits one is consistent, what does not may not be. A
// dump that the kernel flags as inconsistent is given in full and ends in
// [InterruptedError].
func (c *Conn) Dump(ctx context.Context, e *Encoder, each func(Message) error) (datagrams int, err error) {
	return c.dump(ctx, e, oneByOne(each), func() {})
}

// oneByOne returns what gives each message of a part to each.
func oneByOne(each func(Message) error) func([]byte) error {
	return func(part []byte) error {
		ms := ParseMessages(part)
		for ms.Next() {
			if err := each(ms.m); err != nil {
				return err
			}
		}
		return ms.Err()
	}
}

// DumpWatched is [Conn.Dump] on a socket that hears the events of a group
// (RTNLGRP_*, 0 for none) meanwhile. Quiet reports that what was given is of one
// moment: it came in one datagram, or no event came before its end.
func (c *Conn) DumpWatched(ctx context.Context, e *Encoder, group uint32, each func(Message) error) (quiet bool, err error) {
	return c.DumpParts(ctx, e, group, oneByOne(each))
}

// DumpParts is [Conn.DumpWatched] that gives messages as they came, many behind each
// other as [ParseMessages] reads them: one who takes the next part while another
// reads the last does not look at each. A part is no longer than a datagram.
func (c *Conn) DumpParts(ctx context.Context, e *Encoder, group uint32, each func(part []byte) error) (quiet bool, err error) {
	if group == 0 {
		datagrams, err := c.dump(ctx, e, each, func() {})
		return datagrams <= 1 && err == nil, err
	}
	if err := c.Join(group); err != nil {
		return false, err
	}
	events := 0
	datagrams, err := c.dump(ctx, e, each, func() { events++ })
	c.leave(group)
	for { // what comes now is of this list: the next one would take it for its own
		more, perr := c.Poll(func(Message) error { events++; return nil })
		if perr != nil {
			events++
		}
		if !more {
			break
		}
	}
	return err == nil && (datagrams <= 1 || events == 0), err
}

// errEnough ends a dump of which the rest is not wanted.
var errEnough = errors.New("enough")

// DumpHead is [Conn.Dump] of as much as each wants, which returns whether it wants
// more: the beginning of a long list costs what it is long, where the kernel walks
// from there again for every part that it gives. The kernel holds the rest for the
// connection, which is good for nothing but Close from then on.
func (c *Conn) DumpHead(ctx context.Context, e *Encoder, each func(Message) (more bool, err error)) error {
	_, err := c.dump(ctx, e, oneByOne(func(m Message) error {
		more, err := each(m)
		if err == nil && !more {
			err = errEnough
		}
		return err
	}), func() {})
	if err == errEnough {
		return nil
	}
	return err
}

// dump is Dump that gives the messages in parts, and calls other for every message
// that belongs to no answer of the dump.
func (c *Conn) dump(ctx context.Context, e *Encoder, each func(part []byte) error, other func()) (datagrams int, err error) {
	if err := c.begin(ctx); err != nil {
		return 0, err
	}
	defer c.end()
	seq, err := c.send(ctx, e, Request|Dump)
	if err != nil {
		return 0, err
	}
	d := dumping{port: c.port, seq: seq, each: each, other: other}
	for {
		ms, err := c.datagram(ctx)
		if err == nil {
			err = ctx.Err()
		}
		done := false
		if err == nil {
			done, err = d.add(ms)
		}
		switch {
		case !done && err != nil && err != errEnough, done && errors.Is(err, unix.EBUSY):
			c.drain(seq) // the rest of this dump, or of one whose answer was lost
		case done && err == nil && d.interrupted:
			err = InterruptedError{}
		}
		if done || err != nil {
			return d.datagrams, err
		}
	}
}

// dumping is a dump under way.
type dumping struct {
	port, seq   uint32
	each        func(part []byte) error
	other       func()
	datagrams   int // that brought objects
	interrupted bool
}

// add takes a datagram. Done is true at the end of the dump, with its error.
func (d *dumping) add(ms Messages) (done bool, err error) {
	all := ms.rest
	from, to := 0, 0 // objects that were not given yet
	counted := false
	for !done && ms.Next() {
		m := &ms.m
		next := len(all) - len(ms.rest)
		isAnswer := m.Seq == d.seq && m.PID == d.port && m.Type != typeNoop
		d.interrupted = d.interrupted || isAnswer && m.Flags&DumpInterrupted != 0
		if done = isAnswer && (m.Type == typeDone || m.Type == typeError); isAnswer && !done {
			to = next
			if !counted {
				counted = true
				d.datagrams++
			}
			continue
		}
		if err := d.give(all[from:to]); err != nil {
			return false, err
		}
		from, to = next, next
		if !done {
			d.other()
		}
	}
	if done {
		return true, parseAck(ms.m)
	}
	if err := d.give(all[from:to]); err != nil {
		return false, err
	}
	return false, ms.Err()
}

func (d *dumping) give(part []byte) error {
	if len(part) == 0 {
		return nil
	}
	return d.each(part)
}

// Receive waits for one datagram and gives its messages to each; they are
// valid only during the call. [OverflowError] says that messages were lost;
// the next call works.
func (c *Conn) Receive(ctx context.Context, each func(Message) error) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.end()
	ms, err := c.next(ctx, 0) // an event may come at any time
	if err != nil {
		return err
	}
	return eachOf(ms, each)
}

// Poll is Receive that does not wait: it reports whether there was a datagram,
// or an overflow.
func (c *Conn) Poll(each func(Message) error) (bool, error) {
	c.turn <- struct{}{}
	defer c.end()
	for {
		if err := closed(c.raw.Control(c.try)); err != nil {
			return false, err
		}
		if c.rx.err == unix.EAGAIN {
			return false, nil
		}
		ms, ok, err := c.accept()
		if err != nil {
			return true, err
		}
		if ok {
			return true, eachOf(ms, each)
		}
	}
}

func eachOf(ms Messages, each func(Message) error) error {
	for ms.Next() {
		if m := ms.Message(); m.Type >= 16 {
			if err := each(m); err != nil {
				return err
			}
		}
	}
	return ms.Err()
}

// answers reports whether m belongs to the exchange with the number seq.
func (c *Conn) answers(m Message, seq uint32) bool {
	return m.Seq == seq && m.PID == c.port && m.Type != typeNoop
}

// send completes and sends a request and returns its sequence number.
func (c *Conn) send(ctx context.Context, e *Encoder, flags Flags) (uint32, error) {
	b, err := e.Message()
	if err != nil {
		return 0, err
	}
	if err := Guard(binary.NativeEndian.Uint16(b[4:]), b[headerLen:]); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c.seq++
	if c.seq == 0 { // events that nobody asked for carry 0
		c.seq = 1
	}
	binary.NativeEndian.PutUint16(b[6:], binary.NativeEndian.Uint16(b[6:])|uint16(flags))
	binary.NativeEndian.PutUint32(b[8:], c.seq)
	binary.NativeEndian.PutUint32(b[12:], c.port)
	return c.seq, c.write(b)
}

// write sends one datagram.
func (c *Conn) write(b []byte) error {
	var sent error
	err := c.raw.Write(func(fd uintptr) bool {
		for {
			if _, sent = unix.Write(int(fd), b); sent != unix.EINTR {
				return sent != unix.EAGAIN
			}
		}
	})
	if err = errors.Join(closed(err), sent); err != nil {
		return fmt.Errorf("send netlink message: %w", err)
	}
	return nil
}

// datagram waits for the next datagram of an exchange.
func (c *Conn) datagram(ctx context.Context) (Messages, error) { return c.next(ctx, c.patience) }

// next waits for the next datagram from the kernel, no longer than patience
// unless that is 0. The kernel works inside the send call, so as a rule the
// answer is there already and the runtime's poller is not asked.
func (c *Conn) next(ctx context.Context, patience time.Duration) (Messages, error) {
	for {
		if err := closed(c.raw.Control(c.try)); err != nil {
			return Messages{}, err
		}
		if c.rx.err == unix.EAGAIN {
			if err := c.await(ctx, patience); err != nil {
				return Messages{}, err
			}
		}
		if ms, ok, err := c.accept(); ok || err != nil {
			return ms, err
		}
	}
}

// await reads when there is something to read, or returns when ctx ends or
// patience does.
func (c *Conn) await(ctx context.Context, patience time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if patience > 0 {
		_ = c.file.SetReadDeadline(time.Now().Add(patience))
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = c.file.SetReadDeadline(time.Unix(1, 0))
	})
	err := closed(c.raw.Read(c.wait))
	ended := !stop()
	if ended {
		<-woken
	}
	if ended || patience > 0 {
		_ = c.file.SetReadDeadline(time.Time{})
	}
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case ended:
		return ctx.Err()
	}
	// It may have come while this process stood still, and not the kernel.
	if err := closed(c.raw.Control(c.try)); err != nil {
		return err
	}
	if c.rx.err == unix.EAGAIN {
		return &SilenceError{Waited: patience}
	}
	return nil
}

// readOnce makes one recvmsg into the buffer. MSG_TRUNC makes the kernel tell
// the full length of a datagram that did not fit.
func (c *Conn) readOnce(fd int) {
	for {
		n, _, flags, from, err := unix.Recvmsg(fd, c.buf, nil, unix.MSG_TRUNC)
		c.rx = received{n, flags, from, err}
		if err != unix.EINTR {
			return
		}
	}
}

// accept judges what readOnce read: messages from the kernel, nothing (ok is
// false) if another process sent it, or an error.
func (c *Conn) accept() (ms Messages, ok bool, err error) {
	rx := c.rx
	switch {
	case rx.err == unix.ENOBUFS:
		return ms, false, OverflowError{}
	case rx.err != nil:
		return ms, false, fmt.Errorf("receive netlink message: %w", rx.err)
	}
	if sa, isNetlink := rx.from.(*unix.SockaddrNetlink); !isNetlink || sa.Pid != 0 {
		return ms, false, nil
	}
	if rx.flags&unix.MSG_TRUNC != 0 || rx.n > len(c.buf) {
		c.buf = make([]byte, max(2*len(c.buf), align(rx.n)))
		return ms, false, OverflowError{} // what did not fit is lost; it will next time
	}
	return ParseMessages(c.buf[:rx.n]), true, nil
}

// drain reads an abandoned dump to its end, so that the kernel takes the next
// one. The kernel makes the next part of a dump while the last is read, so
// this never waits.
func (c *Conn) drain(seq uint32) {
	for {
		if c.raw.Control(c.try) != nil || c.rx.err == unix.EAGAIN {
			return
		}
		ms, _, err := c.accept()
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		for ms.Next() {
			m := ms.Message()
			if c.answers(m, seq) && (m.Type == typeDone || m.Type == typeError) {
				return
			}
		}
	}
}
