package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// exchange carries one probe out: a loop over the sockets of both sides, the
// host's and the outside's, until the answer is there or the time is over.
type exchange struct {
	world  *World
	probe  Probe
	owned  []int // descriptors to close
	polled []unix.PollFd
	react  []func(fd int) error // what to do when the socket of the same index is ready

	done     bool
	answered bool
	errno    rpdb.Errno // of the host's own calls
	started  time.Time  // when the question was sent
	rtt      time.Duration
}

// payload is what is sent and must come back.
const payload = "rpdb try"

// localError is an error of the host's own socket call: an outcome, not
// trouble.
type localError struct{ err error }

func (e localError) Error() string { return e.err.Error() }
func (e localError) Unwrap() error { return e.err }

// run sends the question and waits for the answer. An error is trouble of the
// world or the end of the context. The sockets stay open until close: what the
// host's kernel says about closed ones is not to be counted.
func (x *exchange) run(ctx context.Context) error {
	stop, err := x.wakeOn(ctx)
	if err != nil {
		return err
	}
	defer stop()
	err = x.start()
	if err == nil {
		err = x.loop()
	}
	var local localError
	var errno unix.Errno
	if errors.As(err, &local) && errors.As(err, &errno) {
		x.errno, err = rpdb.Errno(errno), nil
	}
	return err
}

// wakeOn makes the loop wake up when the context ends. The function returned
// ends that, and must be called before close.
func (x *exchange) wakeOn(ctx context.Context) (stop func(), err error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	x.owned = append(x.owned, fd)
	x.await(fd, unix.POLLIN, func(int) error { return context.Cause(ctx) })
	woken := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // cannot fail: the counter is 0
	})
	return func() {
		if !cancel() {
			<-woken
		}
	}, nil
}

// await sets what the loop waits for on a socket, and what it does then.
func (x *exchange) await(fd int, events int16, react func(fd int) error) {
	for i := range x.polled {
		if x.polled[i].Fd == int32(fd) {
			x.polled[i].Events, x.react[i] = events, react
			return
		}
	}
	x.polled = append(x.polled, unix.PollFd{Fd: int32(fd), Events: events})
	x.react = append(x.react, react)
}

// ignore takes a socket out of the loop: poll(2) skips negative descriptors.
func (x *exchange) ignore(fd int) {
	for i := range x.polled {
		if x.polled[i].Fd == int32(fd) {
			x.polled[i].Fd = -1
		}
	}
}

// close closes all sockets.
func (x *exchange) close() {
	for _, fd := range x.owned {
		unix.Close(fd)
	}
}

// slice is the longest time that counts for one look at the sockets. On a
// machine with more to do than it can, a thread may sleep for longer, and the
// packets with it, which the kernel carries on such threads too: that is no
// silence.
const slice = 20 * time.Millisecond

// loop waits for the answer until the sockets have been silent for the time of
// the probe. What has come is looked at however late it is, unless it goes on
// and on.
func (x *exchange) loop() error {
	const endless = 10
	for waited := time.Duration(0); !x.done; {
		wait := max(min(slice, x.probe.Timeout-waited), 0)
		begin := time.Now()
		n, err := unix.Poll(x.polled, int((wait+time.Millisecond-1)/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("poll: %w", err)
		}
		if n > 0 {
			if err := x.reactAll(); err != nil {
				return err
			}
		}
		waited += min(time.Since(begin), slice)
		if waited >= x.probe.Timeout && (n == 0 || waited >= endless*x.probe.Timeout) {
			return nil
		}
	}
	return nil
}

func (x *exchange) reactAll() error {
	for i := 0; i < len(x.polled) && !x.done; i++ { // reactions may add sockets, with nothing to do yet
		if x.polled[i].Revents == 0 {
			continue
		}
		if err := x.react[i](int(x.polled[i].Fd)); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the loop; answered says with which result.
func (x *exchange) finish(answered bool) {
	x.done, x.answered = true, answered
	if answered {
		x.rtt = time.Since(x.started)
	}
}

// start opens the sockets of the answering side, then of the asking side, and
// sends the question.
func (x *exchange) start() error {
	if err := x.serve(); err != nil {
		return err
	}
	client, target := x.outsideSocket(), netip.AddrPortFrom(x.probe.Asks(), x.probe.LocalPort)
	if x.probe.Direction == Outbound {
		client, target = x.localSocket(), netip.AddrPortFrom(x.probe.Remote, x.probe.RemotePort)
	}
	fd, err := x.open(client)
	if err != nil {
		return err
	}
	switch x.probe.Protocol {
	case rpdb.TCP:
		return x.connect(fd, client, target)
	case rpdb.UDP:
		return x.ask(fd, client, target, []byte(payload))
	}
	request := echo{request: true, id: x.probe.LocalPort, data: []byte(payload)}
	return x.ask(fd, client, netip.AddrPortFrom(target.Addr(), 0), request.append(x.probe.Protocol))
}

// endpoint is a socket to open, and where.
type endpoint struct {
	socketSpec
	ns     *kernel.NetNS
	onHost bool
}

// blame marks an error of the host's side as an outcome.
func (e endpoint) blame(err error) error {
	if err != nil && e.onHost {
		return localError{err}
	}
	return err
}

// localSocket describes the socket of the host or of an inside host, asking or
// answering.
func (x *exchange) localSocket() endpoint {
	p := x.probe
	local := p.Local
	if !local.IsValid() {
		local = p.Family.Unspecified()
	}
	e := endpoint{ns: x.world.host.ns, onHost: true, socketSpec: socketSpec{
		protocol: p.Protocol, local: netip.AddrPortFrom(local, x.port(p.LocalPort)),
		device: p.Device, mark: p.Mark, tos: p.TOS, uid: p.UID,
	}}
	if g, ok := x.world.insideOf(p.Local); ok && p.Inside != "" {
		e.ns, e.onHost = g.ns, false
	}
	return e
}

// outsideSocket describes the outside's asking socket. Its mark chooses the
// gateway by which the question goes; the answer may come by any. An inside host
// answers pings with the DS field that they came with.
func (x *exchange) outsideSocket() endpoint {
	p := x.probe
	e := endpoint{ns: x.world.outside.ns, socketSpec: socketSpec{
		protocol: p.Protocol, local: netip.AddrPortFrom(p.Remote, x.port(p.RemotePort)),
		mark: x.world.gatewayMark(p.Uplink),
	}}
	if p.Inside != "" && p.isEcho() {
		e.tos = p.TOS
	}
	return e
}

// port returns the port to bind to; raw sockets have none.
func (x *exchange) port(n uint16) uint16 {
	if x.probe.isEcho() {
		return 0
	}
	return n
}

func (x *exchange) open(e endpoint) (int, error) {
	fd, err := openSocket(e.ns, e.socketSpec)
	if err != nil {
		return -1, err
	}
	x.owned = append(x.owned, fd)
	return fd, e.blame(e.bind(fd))
}
