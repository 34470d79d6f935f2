package pcap_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/fib"
	"rpdb/format/pcap"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

// uplinks is how many ways out the host of these tests has: w0, the default,
// and one for each table.
const uplinks = 10

// hostScript is a router with a rule for each thing that the kernel may see of
// a packet. What no rule wants leaves by w0.
func hostScript() []string {
	lines := []string{
		"sysctl net.ipv4.ip_forward=1", "sysctl net.ipv6.conf.all.forwarding=1", "sysctl net.ipv4.conf.all.rp_filter=0", "sysctl net.ipv4.conf.default.rp_filter=0",
		"ip link add lan0 type veth peer name pc0", "ip link set lan0 up", "ip link set pc0 up",
		"ip addr add 10.0.0.1/24 dev lan0", "ip addr add 2001:db8:a::1/64 dev lan0 nodad",
	}
	for i := range uplinks {
		lines = append(lines,
			fmt.Sprintf("ip link add w%d type veth peer name f%d", i, i), fmt.Sprintf("ip link set w%d up", i), fmt.Sprintf("ip link set f%d up", i),
			fmt.Sprintf("ip addr add 10.1.%d.1/24 dev w%d", i, i), fmt.Sprintf("ip addr add 2001:db8:b:%d::1/64 dev w%d nodad", i, i),
			fmt.Sprintf("ip neigh add 10.1.%d.2 dev w%d lladdr 02:00:00:00:00:99 nud permanent", i, i),
			fmt.Sprintf("ip neigh add 2001:db8:b:%d::2 dev w%d lladdr 02:00:00:00:00:99 nud permanent", i, i),
			fmt.Sprintf("ip route add default via 10.1.%d.2 dev w%d table %d", i, i, 100+i), fmt.Sprintf("ip -6 route add default via 2001:db8:b:%d::2 dev w%d table %d", i, i, 100+i))
	}
	for _, f := range []string{"-4", "-6"} {
		icmp := map[string]string{"-4": "icmp", "-6": "ipv6-icmp"}[f]
		for i, selector := range []string{
			"ipproto udp dport 2000", "ipproto tcp sport 1234", "ipproto " + icmp + " dport 1-65534", "ipproto udp", "ipproto 44",
			"ipproto sctp dport 2000", "ipproto esp sport 4386", "dscp 46", "ipproto ah dport 13124",
		} {
			lines = append(lines, fmt.Sprintf("ip %s rule add pref %d %s lookup %d", f, 1000+i, selector, 101+i))
		}
		lines = append(lines, fmt.Sprintf("ip %s rule add pref 2000 lookup 100", f))
	}
	return lines
}

// tap captures as "tcpdump -i any" does, with the same kind of socket.
type tap struct {
	fd   int
	file bytes.Buffer
}

func openTap(t *testing.T, ns *kernel.NetNS) *tap {
	t.Helper()
	c := &tap{}
	err := ns.Do(func() (err error) {
		c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0x0300) // ETH_P_ALL
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(c.fd) })
	c.file.Write([]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 20, 1, 0, 0}) // link type 276
	return c
}

// drain writes what has been captured to the file.
func (c *tap) drain(t *testing.T) {
	t.Helper()
	var b [4096]byte
	for {
		n, from, err := unix.Recvfrom(c.fd, b[:], unix.MSG_DONTWAIT)
		if err == unix.EAGAIN || err == unix.EINTR {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		at := from.(*unix.SockaddrLinklayer)
		record := binary.LittleEndian.AppendUint32(make([]byte, 8), uint32(n+20))
		record = binary.LittleEndian.AppendUint32(record, uint32(n+20))
		record = binary.LittleEndian.AppendUint16(record, at.Protocol) // in network order already
		record = binary.BigEndian.AppendUint32(append(record, 0, 0), uint32(at.Ifindex))
		record = binary.BigEndian.AppendUint16(record, at.Hatype)
		record = append(append(record, at.Pkttype, at.Halen), at.Addr[:]...)
		c.file.Write(append(record, b[:n]...))
	}
}

// captured is a packet of the capture and the interface that it was seen at.
type captured struct {
	ip        pcap.IP
	direction pcap.Direction
	link      rpdb.LinkName
}

// packets reads the capture, leaving out what is no IP packet.
func (c *tap) packets(t *testing.T, s *rpdb.Snapshot) (all []captured) {
	t.Helper()
	r, err := pcap.NewReader(bytes.NewReader(c.file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		f, ok := p.Frame()
		if !ok {
			t.Fatalf("packet %d has no link layer", p.Number)
		}
		if ip, err := f.IP(); err == nil {
			all = append(all, captured{ip, f.Direction, s.LinkName(f.Index)})
		}
	}
}

// packetCase is a packet that somebody sends through the host. Its source tells
// it from the others.
type packetCase struct {
	name string
	want rpdb.LinkName // the way out that the specification names
	raw  func(src, dst netip.Addr) []byte
}

// forwardedCases are packets of both families.
func forwardedCases() map[rpdb.Family][]packetCase {
	ports := func(sport, dport uint16) []byte {
		b := binary.BigEndian.AppendUint16(nil, sport)
		b = binary.BigEndian.AppendUint16(b, dport)
		return append(b, make([]byte, 28)...)
	}
	v4 := func(proto uint8, tos uint8, fragment uint16, payload []byte) func(src, dst netip.Addr) []byte {
		return func(src, dst netip.Addr) []byte { return ip4(src, dst, ip4Fields{proto, tos, fragment}, payload) }
	}
	v6 := func(next uint8, tos uint8, payload []byte) func(src, dst netip.Addr) []byte {
		return func(src, dst netip.Addr) []byte { return ip6(src, dst, next, tos, payload) }
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	udp2000, udpOther := ports(40000, 2000), ports(40000, 2001)
	hop := []byte{17, 0, 1, 4, 0, 0, 0, 0} // hop-by-hop or destination options: padding, then UDP
	hopToOptions := []byte{60, 0, 1, 4, 0, 0, 0, 0}
	first, later := []byte{17, 0, 0, 1, 0, 0, 0, 7}, []byte{17, 0, 0, 0x21, 0, 0, 0, 7}
	whole := []byte{17, 0, 0, 0, 0, 0, 0, 7} // an atomic fragment (RFC 6946)
	return map[rpdb.Family][]packetCase{
		rpdb.IPv4: {
			{"udp", "w1", v4(17, 0, 0, udp2000)},
			{"udp, other port", "w4", v4(17, 0, 0, udpOther)},
			{"udp, not to be fragmented", "w1", v4(17, 0, 0x4000, udp2000)},
			{"first fragment", "w4", v4(17, 0, 0x2000, udp2000)},
			{"later fragment", "w4", v4(17, 0, 0x0004, udp2000)},
			{"middle fragment", "w4", v4(17, 0, 0x2004, udp2000)},
			{"tcp", "w2", v4(6, 0, 0, ports(1234, 80))},
			{"tcp, first fragment", "w0", v4(6, 0, 0x2000, ports(1234, 80))},
			{"echo", "w0", v4(1, 0, 0, []byte{8, 0, 0, 0, 0, 1, 0, 1})},
			{"sctp", "w6", v4(132, 0, 0, ports(5, 2000))},
			{"esp", "w7", v4(50, 0, 0, ports(4386, 7))},
			{"ah", "w9", v4(51, 0, 0, join([]byte{17, 4, 0, 0}, ports(4386, 13124)))},
			{"dscp 46 and ECN", "w8", v4(47, 0xba, 0, ports(0, 0))},
			{"ip in ip", "w0", v4(4, 0, 0, ip4(netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), ip4Fields{17, 0, 0}, udp2000))},
			{"udp of two bytes", "w4", v4(17, 0, 0, []byte{0, 1})},
		},
		rpdb.IPv6: {
			{"udp", "w1", v6(17, 0, udp2000)},
			{"udp, other port", "w4", v6(17, 0, udpOther)},
			{"hop-by-hop", "w1", v6(0, 0, join(hop, udp2000))},
			{"destination options", "w1", v6(60, 0, join(hop, udp2000))},
			{"both options", "w1", v6(0, 0, join(hopToOptions, hop, udp2000))},
			{"first fragment", "w4", v6(44, 0, join(first, udp2000))},
			{"later fragment", "w4", v6(44, 0, join(later, udp2000))},
			{"atomic fragment", "w4", v6(44, 0, join(whole, udp2000))},
			{"tcp", "w2", v6(6, 0, ports(1234, 80))},
			{"echo", "w0", v6(58, 0, []byte{128, 0, 0, 0, 0, 1, 0, 1})},
			{"sctp", "w6", v6(132, 0, ports(5, 2000))},
			{"esp", "w7", v6(50, 0, ports(4386, 7))},
			{"ah", "w9", v6(51, 0, join([]byte{17, 4, 0, 0}, ports(4386, 13124)))},
			{"dscp 46 and ECN", "w8", v6(47, 0xba, ports(0, 0))},
			{"no next header", "w0", v6(59, 0, nil)},
			{"options that end early", "w4", v6(60, 0, []byte{17, 0, 1})},
			{"options of one byte", "w0", v6(60, 0, []byte{17})},
		},
	}
}

type ip4Fields struct {
	proto, tos uint8
	fragment   uint16
}

func ip4(src, dst netip.Addr, f ip4Fields, payload []byte) []byte {
	b := []byte{0x45, f.tos, 0, 0, 0, 1, 0, 0, 64, f.proto, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(b[6:], f.fragment)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum>>16+sum))
	return append(b, payload...)
}

func ip6(src, dst netip.Addr, next, tos uint8, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 6<<28|uint32(tos)<<20|0x12345)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(append(append(b, next, 64), src.AsSlice()...), dst.AsSlice()...)
	return append(b, payload...)
}

// Real packets through a real router: the capture shows each as it comes in and
// as it goes out, and the flow made of the one must lead to the other.
func TestForwardedPackets(t *testing.T) {
	k := kerneltest.Real(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := kerneltest.Script(ctx, k, hostScript()...); err != nil {
		t.Fatal(err)
	}
	c := openTap(t, k.NetNS())
	wire := openWire(t, k.NetNS(), "pc0", "lan0")
	sources := map[netip.Addr]packetCase{}
	var frames [][]byte
	for family, cases := range forwardedCases() {
		src, dst := netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("203.0.113.1")
		if family == rpdb.IPv6 {
			src, dst = netip.MustParseAddr("2001:db8:a::10"), netip.MustParseAddr("2001:db8:ffff::1")
		}
		for _, p := range cases {
			sources[src] = p
			frames = append(frames, wire.frame(p.raw(src, dst)))
			src = src.Next()
		}
	}
	snap, err := k.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	left := map[netip.Addr]rpdb.LinkName{}
	for len(left) < len(sources) && ctx.Err() == nil {
		for _, f := range frames {
			if _, err := unix.Write(wire.fd, f); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Millisecond)
		c.drain(t)
		for _, p := range c.packets(t, snap) {
			if p.direction == pcap.Outgoing && p.link != "pc0" {
				left[p.ip.Src] = p.link
			}
		}
	}
	engine := fib.Compile(snap)
	seen := map[netip.Addr]bool{}
	for _, p := range c.packets(t, snap) {
		of, ok := sources[p.ip.Src]
		if !ok || p.direction != pcap.Incoming || p.link != "lan0" || seen[p.ip.Src] {
			continue
		}
		seen[p.ip.Src] = true
		flow := p.ip.Input(p.link)
		d := engine.Lookup(flow)
		if d.Link != left[p.ip.Src] || d.Link != of.want {
			t.Errorf("%v, %s: left by %q, explained by %q, want %q (flow %+v)", rpdb.FamilyOf(p.ip.Src), of.name, left[p.ip.Src], d.Link, of.want, flow)
		}
	}
	if len(seen) != len(sources) {
		t.Errorf("%d of %d packets came in", len(seen), len(sources))
	}
}

// localCase is what a program of this host sends. Its destination tells it from
// the others.
type localCase struct {
	name         string
	want         rpdb.LinkName // the way out that the specification names
	kind, proto  int
	sport, dport uint16
	tos          int
	payload      []byte
}

func localCases() map[rpdb.Family][]localCase {
	both := []localCase{
		{"udp", "w1", unix.SOCK_DGRAM, 0, 0, 2000, 0, make([]byte, 8)},
		{"udp, other port", "w4", unix.SOCK_DGRAM, 0, 0, 2001, 0, make([]byte, 8)},
		{"udp in fragments", "w1", unix.SOCK_DGRAM, 0, 0, 2000, 0, make([]byte, 4000)},
		{"tcp", "w2", unix.SOCK_STREAM, 0, 1234, 80, 0, nil},
		{"gre with dscp 46", "w8", unix.SOCK_RAW, 47, 0, 0, 0xb8, make([]byte, 8)},
		{"esp by a raw socket", "w0", unix.SOCK_RAW, 50, 0, 0, 0, []byte{0x11, 0x22, 0, 7, 0, 0, 0, 1}},
	}
	echo4 := localCase{"echo", "w3", unix.SOCK_RAW, 1, 0, 0, 0, []byte{8, 0, 0, 0, 0, 1, 0, 1}}
	echo6 := localCase{"echo", "w3", unix.SOCK_RAW, 58, 0, 0, 0, []byte{128, 0, 0, 0, 0, 1, 0, 1}}
	large := localCase{"echo in fragments", "w3", unix.SOCK_RAW, 1, 0, 0, 0, append([]byte{8, 0, 0, 0, 0, 1, 0, 2}, make([]byte, 3000)...)}
	return map[rpdb.Family][]localCase{rpdb.IPv4: append(both, echo4, large), rpdb.IPv6: append(both, echo6)}
}

// send sends the packet from a socket bound to src. The answer of connect(2) is
// not waited for.
func (c localCase) send(src, dst netip.Addr) error {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_TOS
	if dst.Is6() {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	fd, err := unix.Socket(family, c.kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, c.proto)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, level, option, c.tos); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, socketAddress(src, c.sport)); err != nil {
		return err
	}
	if c.kind == unix.SOCK_STREAM {
		if err := unix.Connect(fd, socketAddress(dst, c.dport)); err != unix.EINPROGRESS {
			return err
		}
		return nil
	}
	return unix.Sendto(fd, c.payload, 0, socketAddress(dst, c.dport))
}

func socketAddress(a netip.Addr, port uint16) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4(), Port: int(port)}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: int(port)}
}

// Packets that this host sends: the capture shows by which interface they left,
// and the flow made of each must lead there.
func TestLocalPackets(t *testing.T) {
	k := kerneltest.Real(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := kerneltest.Script(ctx, k, hostScript()...); err != nil {
		t.Fatal(err)
	}
	snap, err := k.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	engine := fib.Compile(snap)
	for family, cases := range localCases() {
		src, dst := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("203.0.113.1")
		if family == rpdb.IPv6 {
			src, dst = netip.MustParseAddr("2001:db8:a::1"), netip.MustParseAddr("2001:db8:ffff::1")
		}
		for _, of := range cases {
			c := openTap(t, k.NetNS())
			var sent []captured
			for len(sent) == 0 && ctx.Err() == nil {
				if err := k.NetNS().Do(func() error { return of.send(src, dst) }); err != nil {
					t.Fatalf("%v, %s: %v", family, of.name, err)
				}
				time.Sleep(2 * time.Millisecond)
				c.drain(t)
				sent = c.sentTo(t, snap, dst)
			}
			if len(sent) == 0 {
				t.Errorf("%v, %s: nothing was sent", family, of.name)
			}
			for _, p := range sent {
				d := engine.Lookup(p.ip.Output())
				if d.Link != p.link || d.Link != of.want {
					t.Errorf("%v, %s: left by %q, explained by %q, want %q (%+v)", family, of.name, p.link, d.Link, of.want, p.ip)
				}
			}
			dst = dst.Next()
		}
	}
}

// sentTo returns the packets to an address that had a lookup of their own.
func (c *tap) sentTo(t *testing.T, s *rpdb.Snapshot, dst netip.Addr) (sent []captured) {
	t.Helper()
	for _, p := range c.packets(t, s) {
		if p.direction == pcap.Outgoing && p.ip.Dst == dst && !p.ip.Later {
			sent = append(sent, p)
		}
	}
	return sent
}

// wire is the far end of a cable, and the address of the near end.
type wire struct {
	fd  int
	mac net.HardwareAddr
}

func openWire(t *testing.T, ns *kernel.NetNS, far, near string) wire {
	t.Helper()
	var w wire
	err := ns.Do(func() error {
		n, err := net.InterfaceByName(near)
		if err != nil {
			return err
		}
		f, err := net.InterfaceByName(far)
		if err != nil {
			return err
		}
		w.mac = n.HardwareAddr
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Bind(w.fd, &unix.SockaddrLinklayer{Ifindex: f.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

// frame puts a packet into a frame to the near end.
func (w wire) frame(packet []byte) []byte {
	f := append(append([]byte(nil), w.mac...), 2, 0, 0, 0, 0, 0xa2)
	if packet[0]>>4 == 6 {
		return append(append(f, 0x86, 0xdd), packet...)
	}
	return append(append(f, 0x08, 0x00), packet...)
}
