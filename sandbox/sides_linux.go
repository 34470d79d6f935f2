package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
)

// The asking side of an exchange, and below it the answering one.

// connect starts the handshake of a TCP client.
func (x *exchange) connect(fd int, e endpoint, target netip.AddrPort) error {
	x.await(fd, unix.POLLOUT, func(fd int) error { return x.connected(fd, e) })
	x.started = time.Now()
	err := unix.Connect(fd, sockaddr(target))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return e.blame(fmt.Errorf("connect: %w", err))
	}
	return nil
}

// connected sends the payload when the handshake is over, or ends the
// exchange when it failed. That the outside could not connect is no trouble.
func (x *exchange) connected(fd int, e endpoint) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if errno != 0 {
		x.finish(false)
		if e.onHost {
			x.errno = rpdb.Errno(errno)
		}
		return nil
	}
	x.await(fd, unix.POLLIN, func(fd int) error {
		if b, ended := receiveStream(fd); ended || len(b) > 0 {
			x.finish(string(b) == payload)
		}
		return nil
	})
	_, err = unix.Write(fd, []byte(payload))
	return e.blame(err)
}

// receiveStream reads once from a connection, nothing if there is nothing yet.
func receiveStream(fd int) (b []byte, ended bool) {
	b = make([]byte, 2*len(payload))
	n, err := unix.Read(fd, b)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil, false
	}
	return b[:max(n, 0)], n <= 0
}

// ask sends a datagram or an echo request and waits for its answer from the
// very address that was asked.
func (x *exchange) ask(fd int, e endpoint, target netip.AddrPort, message []byte) error {
	x.await(fd, unix.POLLIN, func(fd int) error {
		b, from, err := receive(fd)
		if err != nil {
			return e.blame(err)
		}
		if from == target && x.isAnswer(b) {
			x.finish(true)
		}
		return nil
	})
	x.started = time.Now()
	if err := unix.Sendto(fd, message, 0, sockaddr(target)); err != nil {
		return e.blame(fmt.Errorf("send: %w", err))
	}
	return nil
}

// isAnswer reports whether a datagram is what the question asked for.
func (x *exchange) isAnswer(b []byte) bool {
	if !x.probe.isEcho() {
		return string(b) == payload
	}
	m, ok := parseEcho(x.probe.Protocol, x.icmp(b))
	return ok && !m.request && m.id == x.probe.LocalPort && string(m.data) == payload
}

// icmp returns the message in what a raw socket received: IPv4 puts the IP
// header in front.
func (x *exchange) icmp(b []byte) []byte {
	if x.probe.Protocol != rpdb.ICMP || len(b) == 0 {
		return b
	}
	return b[min(int(b[0]&0xf)*4, len(b)):]
}

// receive reads one datagram. An empty one means that there was none.
func receive(fd int) ([]byte, netip.AddrPort, error) {
	b := make([]byte, 512)
	n, from, err := unix.Recvfrom(fd, b, 0)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil, netip.AddrPort{}, nil
	}
	if err != nil {
		return nil, netip.AddrPort{}, fmt.Errorf("receive: %w", err)
	}
	return b[:n], addrPort(from), nil
}

// serve opens the sockets of the answering side. The host and inside hosts answer
// pings by themselves; the outside has one socket for each gateway, so that answers return
// by the gateway that the question came through.
func (x *exchange) serve() error {
	if x.probe.Direction == Inbound {
		if x.probe.isEcho() {
			return nil
		}
		return x.serveOn(x.localSocket())
	}
	p := x.probe
	there := socketSpec{protocol: p.Protocol, local: netip.AddrPortFrom(p.Remote, x.port(p.RemotePort))}
	if g, ok := x.world.insideOf(p.Remote); ok {
		if p.isEcho() {
			return nil
		}
		return x.serveOn(endpoint{ns: g.ns, socketSpec: there})
	}
	for _, g := range x.world.gateways {
		there.device = g.outsideLink
		err := x.serveOn(endpoint{ns: x.world.outside.ns, socketSpec: there})
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *exchange) serveOn(e endpoint) error {
	e.listen = e.protocol == rpdb.TCP
	fd, err := x.open(e)
	if err != nil {
		return err
	}
	if e.listen {
		x.await(fd, unix.POLLIN, func(fd int) error { return x.accept(fd, e) })
		return nil
	}
	x.await(fd, unix.POLLIN, func(fd int) error { return x.answer(fd, e) })
	return nil
}

// accept takes a connection, as the owner of the listening socket, and sends
// back what comes.
func (x *exchange) accept(listener int, e endpoint) error {
	fd := -1
	err := asUser(e.uid, func() (err error) {
		fd, _, err = unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err
	})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	x.owned = append(x.owned, fd)
	x.await(fd, unix.POLLIN, func(fd int) error {
		b, ended := receiveStream(fd)
		if ended {
			x.ignore(fd)
		}
		if len(b) == 0 {
			return nil
		}
		_, err := unix.Write(fd, b)
		return e.blame(err)
	})
	return nil
}

// answer sends a datagram or an echo request of this probe back to its sender.
func (x *exchange) answer(fd int, e endpoint) error {
	b, from, err := receive(fd)
	if err != nil {
		return e.blame(err)
	}
	reply := b
	if x.probe.isEcho() {
		m, ok := parseEcho(x.probe.Protocol, x.icmp(b))
		if !ok || !m.request || m.id != x.probe.LocalPort {
			return nil
		}
		m.request = false
		reply = m.append(x.probe.Protocol)
	} else if string(b) != payload {
		return nil
	}
	if err := unix.Sendto(fd, reply, 0, sockaddr(from)); err != nil {
		return e.blame(fmt.Errorf("answer: %w", err))
	}
	return nil
}
