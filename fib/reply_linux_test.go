package fib_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/fib"
	"rpdb/format/pcap"
	"rpdb/kernel/kerneltest"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

// replyHost is a router whose default route leads back by lan0, to a neighbour
// behind which all senders are, and whose table 100 leads to w0.
func replyHost() []string {
	return []string{
		"sysctl net.ipv4.ip_forward=1", "sysctl net.ipv6.conf.all.forwarding=1", "sysctl net.ipv4.conf.all.rp_filter=0", "sysctl net.ipv4.conf.default.rp_filter=0",
		"sysctl net.ipv4.icmp_ratelimit=0", "sysctl net.ipv6.icmp.ratelimit=0",
		"ip link add lan0 type veth peer name pc0", "ip link set lan0 up", "ip link set pc0 up",
		"ip link add w0 type veth peer name f0", "ip link set w0 up", "ip link set f0 up",
		"ip addr add 10.0.0.1/24 dev lan0", "ip addr add 2001:db8:a::1/64 dev lan0 nodad",
		"ip addr add 10.1.0.1/24 dev w0", "ip addr add 2001:db8:b::1/64 dev w0 nodad",
		"ip neigh add 10.0.0.2 dev lan0 lladdr 02:00:00:00:00:99 nud permanent", "ip neigh add 2001:db8:a::2 dev lan0 lladdr 02:00:00:00:00:99 nud permanent",
		"ip neigh add 10.1.0.2 dev w0 lladdr 02:00:00:00:00:99 nud permanent", "ip neigh add 2001:db8:b::2 dev w0 lladdr 02:00:00:00:00:99 nud permanent",
		"ip route add default via 10.0.0.2", "ip -6 route add default via 2001:db8:a::2",
		"ip route add default via 10.1.0.2 table 100", "ip -6 route add default via 2001:db8:b::2 table 100",
		"ip rule add pref 50 to 203.0.113.66 prohibit", "ip -6 rule add pref 50 to 2001:db8:ffff::66 prohibit",
	}
}

// replyWorlds are rules of which each sees one thing of an answer.
func replyWorlds() map[rpdb.Family][]string {
	return map[rpdb.Family][]string{
		rpdb.IPv4: {
			"fwmark 5", "oif lan0", "ipproto icmp", "ipproto tcp", "ipproto tcp sport 80", "ipproto tcp dport 4000", "ipproto icmp dport 771", "ipproto icmp dport 770",
			"ipproto icmp dport 2816", "ipproto icmp dport 781", "dscp 46", "dscp 54", "tos 0x18", "from 10.0.0.1", "not from 10.0.0.1", "iif lo", "to 172.16.0.0/12",
		},
		rpdb.IPv6: {
			"fwmark 5", "oif lan0", "ipproto ipv6-icmp", "ipproto tcp", "ipproto tcp sport 80", "ipproto tcp dport 4000", "ipproto ipv6-icmp dport 260",
			"ipproto ipv6-icmp dport 1025", "ipproto ipv6-icmp dport 768", "ipproto ipv6-icmp dport 257", "ipproto ipv6-icmp dport 33024", "dscp 46", "dscp 54",
			"flowlabel 0x12345", "from 2001:db8:a::1", "not from 2001:db8:a::1", "iif lo", "to 2001:db8:c::/48",
		},
	}
}

// question is a packet that the host answers.
type question struct {
	kind    fib.Reply
	proto   rpdb.IPProto
	payload []byte
	ttl     uint8
	away    bool // not to this host
	refused bool // to where the host forwards nothing
}

func questions(f rpdb.Family) []question {
	segment := func(dport uint16, flags byte) []byte {
		b := binary.BigEndian.AppendUint16([]byte{0x0f, 0xa0}, dport)
		return append(b, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0)
	}
	datagram := []byte{0x0f, 0xa0, 0, 82, 0, 8, 0, 0}
	echo, icmp := []byte{8, 0, 0, 0, 0, 1, 0, 1}, rpdb.ICMP
	if f == rpdb.IPv6 {
		echo, icmp = []byte{128, 0, 0, 0, 0, 1, 0, 1}, rpdb.ICMPv6
	}
	return []question{
		{fib.ReplyEcho, icmp, echo, 64, false, false},
		{fib.ReplyReset, rpdb.TCP, segment(81, 2), 64, false, false},
		{fib.ReplySYNACK, rpdb.TCP, segment(80, 2), 64, false, false},
		{fib.ReplyUnreachable, rpdb.UDP, datagram, 64, false, false},
		{fib.ReplyUnreachable, 253, datagram, 64, false, false},
		{fib.ReplyError, rpdb.UDP, datagram, 1, true, false},
		{fib.ReplyError, rpdb.UDP, datagram, 64, true, true},
	}
}

// packet returns the IP packet of the question, with a checksum that the kernel
// accepts.
func (q question) packet(src, dst netip.Addr) []byte {
	payload := append([]byte(nil), q.payload...)
	at := map[rpdb.IPProto]int{rpdb.TCP: 16, rpdb.UDP: 6, rpdb.ICMP: 2, rpdb.ICMPv6: 2}[q.proto]
	if at != 0 {
		pseudo := append(append(append([]byte(nil), src.AsSlice()...), dst.AsSlice()...), 0, byte(len(payload)), 0, byte(q.proto))
		if q.proto == rpdb.ICMP {
			pseudo = nil
		}
		binary.BigEndian.PutUint16(payload[at:], checksum(append(pseudo, payload...)))
	}
	if dst.Is6() {
		b := binary.BigEndian.AppendUint32(nil, 6<<28|0xb8<<20|0x12345)
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
		b = append(append(append(b, byte(q.proto), q.ttl), src.AsSlice()...), dst.AsSlice()...)
		return append(b, payload...)
	}
	b := []byte{0x45, 0xb8, 0, byte(20 + len(payload)), 0, 1, 0, 0, q.ttl, byte(q.proto), 0, 0}
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, payload...)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// replyLab is a host with a cable to inject questions and a tap that sees by
// which interface answers leave.
type replyLab struct {
	*kerneltest.Kernel
	cable, tap int
	mac        net.HardwareAddr
	links      map[int]rpdb.LinkName
	next       map[rpdb.Family]netip.Addr // the source of the next question
}

func newReplyLab(ctx context.Context, t *testing.T) *replyLab {
	t.Helper()
	l := &replyLab{Kernel: kerneltest.Real(t), links: map[int]rpdb.LinkName{}, next: map[rpdb.Family]netip.Addr{
		rpdb.IPv4: netip.MustParseAddr("172.16.0.1"), rpdb.IPv6: netip.MustParseAddr("2001:db8:c::1"),
	}}
	if err := kerneltest.Script(ctx, l, replyHost()...); err != nil {
		t.Fatal(err)
	}
	err := l.NetNS().Do(func() (err error) {
		for _, name := range []string{"lan0", "w0"} {
			i, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			l.links[i.Index] = rpdb.LinkName(name)
			if name == "lan0" {
				l.mac = i.HardwareAddr
			}
		}
		pc, err := net.InterfaceByName("pc0")
		if err != nil {
			return err
		}
		if l.tap, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0x0300); err != nil {
			return err
		}
		if l.cable, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(l.cable, &unix.SockaddrLinklayer{Ifindex: pc.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(l.tap); unix.Close(l.cable) })
	l.listen(t)
	return l
}

// listen opens port 80 of both families.
func (l *replyLab) listen(t *testing.T) {
	t.Helper()
	for _, network := range []string{"tcp4", "tcp6"} {
		var socket net.Listener
		err := l.NetNS().Do(func() (err error) {
			socket, err = net.Listen(network, ":80")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { socket.Close() })
	}
}

// ask puts a packet on the cable until an answer leaves, and returns by which
// interface. Both ends of the cable are in one namespace, so the packet keeps
// the mark of the socket.
func (l *replyLab) ask(ctx context.Context, t *testing.T, packet []byte, src netip.Addr, mark uint32) rpdb.LinkName {
	t.Helper()
	if err := unix.SetsockoptInt(l.cable, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
		t.Fatal(err)
	}
	kind := []byte{0x08, 0x00}
	if src.Is6() {
		kind = []byte{0x86, 0xdd}
	}
	frame := append(append(append(append([]byte(nil), l.mac...), 2, 0, 0, 0, 0, 0xa2), kind...), packet...)
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := unix.Write(l.cable, frame); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if link, ok := l.answer(src); ok {
				return link
			}
			time.Sleep(time.Millisecond)
		}
	}
	t.Fatalf("no answer to %v", src)
	return ""
}

// answer looks for a packet to an address among those that left.
func (l *replyLab) answer(dst netip.Addr) (rpdb.LinkName, bool) {
	var b [2048]byte
	for {
		n, from, err := unix.Recvfrom(l.tap, b[:], unix.MSG_DONTWAIT)
		if err != nil {
			return "", false
		}
		at := from.(*unix.SockaddrLinklayer)
		link, near := l.links[at.Ifindex]
		if at.Pkttype != unix.PACKET_OUTGOING || !near {
			continue
		}
		f := pcap.Frame{Type: pcap.EtherType(at.Protocol>>8 | at.Protocol<<8), Payload: b[:n], Length: n}
		if ip, err := f.IP(); err == nil && ip.Dst == dst {
			return link, true
		}
	}
}

// Answers of the real kernel leave as the engine says of the flows that Reply
// makes: for every rule that sees one thing of an answer, with and without the
// settings that carry marks over.
func TestRepliesKernel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l := newReplyLab(ctx, t)
	for _, reflect := range []string{"0", "1"} {
		for _, key := range []string{"net.ipv4.fwmark_reflect", "net.ipv6.fwmark_reflect", "net.ipv4.tcp_fwmark_accept"} {
			if err := l.NetNS().SetSysctl(key, reflect); err != nil {
				t.Fatal(err)
			}
		}
		for f, rules := range replyWorlds() {
			for _, rule := range rules {
				l.try(ctx, t, f, rule, reflect)
			}
		}
	}
}

// try asks all questions of a family under one rule.
func (l *replyLab) try(ctx context.Context, t *testing.T, f rpdb.Family, rule, reflect string) {
	t.Helper()
	option := map[rpdb.Family]string{rpdb.IPv4: "-4", rpdb.IPv6: "-6"}[f]
	line := fmt.Sprintf("ip %s rule add pref 100 %s lookup 100", option, rule)
	if err := kerneltest.Script(ctx, l, line); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := kerneltest.Script(ctx, l, fmt.Sprintf("ip %s rule del pref 100", option)); err != nil {
			t.Fatal(err)
		}
	}()
	s, err := l.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	engine := fib.Compile(s)
	for _, q := range questions(f) {
		for _, mark := range []uint32{0, 5} {
			src := l.next[f]
			l.next[f] = src.Next()
			packet := q.packet(src, q.to(f))
			read, err := pcap.Frame{Type: map[rpdb.Family]pcap.EtherType{rpdb.IPv4: pcap.EtherIPv4, rpdb.IPv6: pcap.EtherIPv6}[f], Payload: packet, Length: len(packet)}.IP()
			if err != nil {
				t.Fatal(err)
			}
			flow := read.Input("lan0")
			flow.Mark = mark
			d := engine.Lookup(flow)
			if kinds := fib.Replies(flow, d); !slices.Contains(kinds, q.kind) {
				t.Errorf("%v to %v is %v: answered by %v, and not by %v", q.proto, flow.Dst, d.Disposition, kinds, q.kind)
				continue
			}
			reply := engine.Reply(flow, q.kind, d.ICMP)
			got, want := l.ask(ctx, t, packet, src, mark), engine.Lookup(reply)
			if got != want.Link {
				t.Errorf("%s, reflect %s, mark %d, %v of protocol %d (ttl %d): left by %s, engine says %s for %+v", line, reflect, mark, q.kind, q.proto, q.ttl, got, want.Link, reply)
			}
		}
	}
}

// to returns where the packet goes.
func (q question) to(f rpdb.Family) netip.Addr {
	switch {
	case q.refused && f == rpdb.IPv4:
		return netip.MustParseAddr("203.0.113.66")
	case q.refused:
		return netip.MustParseAddr("2001:db8:ffff::66")
	case q.away && f == rpdb.IPv4:
		return netip.MustParseAddr("203.0.113.1")
	case q.away:
		return netip.MustParseAddr("2001:db8:ffff::1")
	case f == rpdb.IPv4:
		return netip.MustParseAddr("10.0.0.1")
	}
	return netip.MustParseAddr("2001:db8:a::1")
}
