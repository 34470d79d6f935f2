package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// flowKey tells the probes apart in what the gateways see.
type flowKey struct {
	protocol   rpdb.IPProto
	remote     netip.Addr
	local      uint16 // port of the host, or identifier of the ping
	remotePort uint16 // 0 for a ping
}

// key returns the key of a prepared probe.
func (p Probe) key() flowKey {
	k := flowKey{protocol: p.Protocol, remote: p.Remote, local: p.LocalPort, remotePort: p.RemotePort}
	if p.isEcho() {
		k.remotePort = 0
	}
	return k
}

// tally is what has been seen of one probe.
type tally struct {
	departures []Departure // one for each tap
	source     netip.Addr
}

// tap is a packet socket on the host's side of a gateway.
type tap struct {
	fd       int
	uplink   string
	link     rpdb.LinkName
	filtered bool // whether the gateway looks at sources
	prefixes []netip.Prefix
}

// legal reports whether the gateway passes packets from the source on.
func (t *tap) legal(source netip.Addr) bool {
	return !t.filtered || slices.ContainsFunc(t.prefixes, func(p netip.Prefix) bool { return p.Contains(source) })
}

// ledger counts the host's packets at the gateways. Packets wait in the
// sockets until somebody asks: whoever has got an answer finds them there, as
// the gateway saw them before. It is safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	taps    []*tap
	tallies map[flowKey]*tally
	buffer  [2048]byte
}

// listen adds a tap on an interface of a gateway. It is for packets that come
// in there only.
func (l *ledger) listen(ns *kernel.NetNS, device rpdb.LinkName, t *tap) error {
	err := ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.fd = fd
		return bindTap(fd, device)
	})
	if err != nil {
		return fmt.Errorf("watch uplink %q: %w", t.uplink, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taps = append(l.taps, t)
	return nil
}

// bindTap lets a packet socket receive. The buffer is enlarged where that is
// allowed; the default one holds some hundred packets.
func bindTap(fd int, device rpdb.LinkName) error {
	index, err := linkIndex(device)
	if err != nil {
		return err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return err
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: int(index)})
}

// open starts counting for a probe. What was left in the sockets by an earlier
// one with the same key is thrown away.
func (l *ledger) open(k flowKey) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.drain(); err != nil {
		return err
	}
	t := &tally{departures: make([]Departure, len(l.taps))}
	for i, tap := range l.taps {
		t.departures[i] = Departure{Uplink: tap.uplink, Link: tap.link}
	}
	l.tallies[k] = t
	return nil
}

// closeEntry ends counting and returns what was seen: the interfaces with
// packets, and the source of the first one.
func (l *ledger) closeEntry(k flowKey) ([]Departure, netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.drain()
	t := l.tallies[k]
	delete(l.tallies, k)
	seen := slices.DeleteFunc(t.departures, func(d Departure) bool { return d.Legal+d.Spoofed == 0 })
	return seen, t.source, err
}

// drain counts all packets that wait in the sockets.
func (l *ledger) drain() error {
	for i, tap := range l.taps {
		for {
			n, err := unix.Read(tap.fd, l.buffer[:])
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENETDOWN) { // ENETDOWN is told once, when the link goes down
				return fmt.Errorf("watch uplink %q: %w", tap.uplink, err)
			}
			if err == nil {
				l.count(i, l.buffer[:n])
			}
		}
		if stats, err := unix.GetsockoptTpacketStats(tap.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil && stats.Drops > 0 {
			return fmt.Errorf("watch uplink %q: %d packets not counted: %w", tap.uplink, stats.Drops, unix.ENOBUFS)
		}
	}
	return nil
}

// count adds one packet, seen by the tap with the index, to its probe's tally.
func (l *ledger) count(i int, b []byte) {
	p, ok := parsePacket(b)
	if !ok {
		return
	}
	t := l.tallies[flowKey{protocol: p.protocol, remote: p.dst, local: p.sport, remotePort: p.dport}]
	if t == nil {
		return
	}
	if !t.source.IsValid() {
		t.source = p.src
	}
	if l.taps[i].legal(p.src) {
		t.departures[i].Legal++
	} else {
		t.departures[i].Spoofed++
	}
}

// close closes the sockets.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.taps {
		unix.Close(t.fd)
	}
	l.taps = nil
}
