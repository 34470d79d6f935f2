package differential

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/fib"
	"rpdb/kernel/kerneltest"
)

// What happens to a packet is part of the answer, and no route lookup tells it:
// the errno of a local sender, the ICMP error for a packet that came in, or the
// silence. So here packets are sent, and compared with what the engine says.

// packetHost is a host that forwards from e0 to e1. Rules 1 and table 200 keep the
// way of what it answers itself to senders at e0 what it is, whatever a case
// does to the others.
func packetHost() []string {
	return []string{
		"ip link set lo up",
		"ip link add e0 type veth peer name p0", "ip link add e1 type veth peer name p1",
		"sysctl net.ipv6.conf.p0.disable_ipv6=1", "sysctl net.ipv6.conf.p1.disable_ipv6=1",
		"sysctl net.ipv6.conf.e0.accept_dad=0", "sysctl net.ipv6.conf.e1.accept_dad=0",
		"sysctl net.ipv4.ip_forward=1", "sysctl net.ipv6.conf.all.forwarding=1",
		"sysctl net.ipv4.conf.all.rp_filter=0", "sysctl net.ipv4.conf.e0.rp_filter=0",
		"sysctl net.ipv4.icmp_ratelimit=0", "sysctl net.ipv6.icmp.ratelimit=0",
		"sysctl net.ipv4.icmp_ratemask=0", "sysctl net.ipv6.icmp.ratemask=255", // nor by how many all hosts send
		"ip link set e0 up", "ip link set e1 up", "ip link set p0 up", "ip link set p1 up",
		"ip addr add 192.0.2.1/24 dev e0", "ip addr add 198.51.100.1/24 dev e1",
		"ip addr add 2001:db8::1/64 dev e0 nodad", "ip addr add 2001:db8:1::1/64 dev e1 nodad",
		"ip neigh add 192.0.2.7 dev e0 lladdr 02:00:00:00:00:07 nud permanent",
		"ip neigh add 198.51.100.9 dev e1 lladdr 02:00:00:00:00:09 nud permanent",
		"ip neigh add 2001:db8::7 dev e0 lladdr 02:00:00:00:00:07 nud permanent",
		"ip neigh add fe80::7 dev e0 lladdr 02:00:00:00:00:07 nud permanent",
		"ip neigh add 2001:db8:1::9 dev e1 lladdr 02:00:00:00:00:09 nud permanent",
		"ip neigh add 10.9.9.9 dev e0 lladdr 02:00:00:00:00:0a nud permanent",
		"ip neigh add 10.9.9.9 dev e1 lladdr 02:00:00:00:00:0a nud permanent",
		"ip route add default via 198.51.100.9 dev e1", "ip -6 route add default via 2001:db8:1::9 dev e1",
		"ip neigh add 203.0.113.7 dev e0 lladdr 02:00:00:00:00:07 nud permanent",
		"ip neigh add 2001:db8:3::7 dev e0 lladdr 02:00:00:00:00:07 nud permanent",
		"ip rule add pref 1 iif lo to 192.0.2.0/24 lookup 200", "ip -6 rule add pref 1 iif lo to 2001:db8::/64 lookup 200",
		"ip rule add pref 1 iif lo to 203.0.113.0/24 lookup 200", "ip -6 rule add pref 1 iif lo to 2001:db8:3::/64 lookup 200",
		"ip -6 rule add pref 1 iif lo to fe80::/64 lookup 200",
		"ip route add default dev e0 table 200", "ip -6 route add default dev e0 table 200",
	}
}

// packetCases are changes to that host, by what they are about.
func packetCases() map[string][]string {
	cases := map[string][]string{
		"nothing":                {},
		"end of the list":        {"ip route del default", "ip -6 route del default"},
		"forwarding off":         {"sysctl net.ipv4.ip_forward=0", "sysctl net.ipv6.conf.all.forwarding=0"},
		"forwarding off, denied": {"sysctl net.ipv4.ip_forward=0", "sysctl net.ipv6.conf.all.forwarding=0", "ip rule add pref 100 prohibit", "ip -6 rule add pref 100 prohibit"},
		"strict reverse path":    {"sysctl net.ipv4.conf.e0.rp_filter=1"},
		"loose reverse path":     {"sysctl net.ipv4.conf.e0.rp_filter=2"},
		"no way back": {
			"sysctl net.ipv4.conf.e0.rp_filter=2", "ip rule add pref 100 to 203.0.113.0/24 unreachable", "ip -6 rule add pref 100 to 2001:db8:3::/64 unreachable",
		},
		"local route": {"ip route add local 10.0.0.0/8 dev lo", "ip -6 route add local 2001:db9::/32 dev lo"},
		"sources": {
			"ip rule add pref 100 from 198.51.100.0/24 to 10.0.0.0/8 prohibit", "ip -6 rule add pref 100 from 2001:db8:1::/64 to 2001:db9::/32 prohibit",
		},
		"sources, no default": {
			"ip route del default", "ip -6 route del default", "ip route add default via 198.51.100.9 dev e1 table 300", "ip -6 route add default via 2001:db8:1::9 dev e1 table 300",
			"ip rule add pref 100 from 198.51.100.0/24 lookup 300", "ip -6 rule add pref 100 from 2001:db8:1::/64 lookup 300",
		},
		"broadcast route": {"ip route add broadcast 10.0.0.0/8 dev e1"},
		"nat rule":        {"ip rule add pref 100 to 10.0.0.0/8 nat 192.0.2.1", "ip -6 rule add pref 100 to 2001:db9::/32 nat 192.0.2.1"},
	}
	for _, action := range []string{"blackhole", "unreachable", "prohibit", "goto 30000"} {
		cases["rule "+action] = []string{"ip rule add pref 100 to 10.0.0.0/8 " + action, "ip -6 rule add pref 100 to 2001:db9::/32 " + action}
	}
	for _, kind := range []string{"blackhole", "unreachable", "prohibit", "throw"} {
		cases["route "+kind] = []string{fmt.Sprintf("ip route add %s 10.0.0.0/8", kind), fmt.Sprintf("ip -6 route add %s 2001:db9::/32", kind)}
	}
	return cases
}

// packetFlows are the packets: local ones by sockets that are bound or not and
// connected or not, and those that come in by e0.
func packetFlows() (list []rpdb.Flow) {
	for _, text := range []string{
		"10.9.9.9", "10.9.9.9 oif e1", "10.9.9.9 oif e0", "10.9.9.9 by 198.51.100.1", "10.9.9.9 by 192.0.2.1", "10.9.9.9 by 192.0.2.1 oif e0",
		"2001:db9::9", "2001:db9::9 oif e1", "2001:db9::9 oif e0", "2001:db9::9 by 2001:db8:1::1", "2001:db9::9 by 2001:db8::1", "2001:db9::9 by 2001:db8::1 oif e0",
		"10.9.9.9 from 192.0.2.7", "10.9.9.9 from 203.0.113.7", "10.9.9.9 from 198.51.100.1", "10.9.9.9 from 127.0.0.1", "10.9.9.9 from 0.0.0.0",
		"10.9.9.9 from 224.0.0.1", "10.9.9.9 from 255.255.255.255", "127.0.0.2 from 192.0.2.7", "0.0.0.0 from 192.0.2.7", "198.51.100.1 from 192.0.2.7",
		"2001:db9::9 from 2001:db8::7", "2001:db9::9 from 2001:db8:3::7", "2001:db9::9 from 2001:db8:1::1", "2001:db9::9 from ::1", "2001:db9::9 from ::",
		"2001:db9::9 from fe80::7", "2001:db9::9 from ff02::7", "::1 from 2001:db8::7", "2001:db8:1::1 from 2001:db8::7",
	} {
		words := strings.Fields(text)
		f := rpdb.Flow{Dst: netip.MustParseAddr(words[0]), IPProto: rpdb.UDP, SPort: 1000, DPort: packetPort, Socket: rpdb.SendTo}
		for i := 1; i < len(words); i += 2 {
			switch words[i] {
			case "oif":
				f.OIF = rpdb.LinkName(words[i+1])
			case "by":
				f.Src = netip.MustParseAddr(words[i+1])
			default:
				f.Src, f.IIF, f.Socket = netip.MustParseAddr(words[i+1]), "e0", rpdb.RouteGet
			}
		}
		list = append(list, f)
		if !f.IsInput() {
			f.Socket = rpdb.Connect
			list = append(list, f)
		}
	}
	return list
}

const packetPort = 2000

// TestPackets sends every flow in every case.
func TestPackets(t *testing.T) {
	for name, commands := range packetCases() {
		t.Run(name, func(t *testing.T) {
			k := kerneltest.Real(t)
			must(t, kerneltest.Script(context.Background(), k, packetHost()...))
			c := newCables(t, k)
			c.settle()
			must(t, kerneltest.Script(context.Background(), k, commands...))
			s, err := k.Snapshot(context.Background())
			must(t, err)
			s.Custom4, s.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
			engine := fib.Compile(s)
			for _, f := range packetFlows() {
				d := engine.Lookup(f)
				if got, want := fate(f, d), c.send(f); got != want && !unseen(s, f, d) {
					t.Errorf("%s %v\n engine %s\n kernel %s%s", question(f), f.Socket, got, want, steps(engine.Trace(f)))
				}
			}
		})
	}
}

// fate is what a decision says will be seen.
func fate(f rpdb.Flow, d rpdb.Decision) string {
	switch {
	case d.Disposition == rpdb.DispositionUnknown:
		return "unknown: " + d.Note
	case d.Disposition == rpdb.Sent:
		return "sent by " + string(d.Link)
	case d.Disposition == rpdb.Local:
		return "local"
	case !f.IsInput():
		return d.Errno.String()
	case d.ICMP != rpdb.ICMPError{}:
		return "icmp " + d.ICMP.String()
	}
	return "dropped"
}

// unseen reports whether what becomes of a packet does not show on the cables:
// errors go to the sender, who may be this host or nobody, and for a broadcast
// there are none.
func unseen(s *rpdb.Snapshot, f rpdb.Flow, d rpdb.Decision) bool {
	own := slices.ContainsFunc(s.Addresses, func(a rpdb.Address) bool { return a.Prefix.Addr() == f.Src })
	silent := own || f.Src.IsUnspecified() || d.Type == rpdb.RouteBroadcast
	return f.IsInput() && silent && (d.Disposition == rpdb.Local || d.ICMP != rpdb.ICMPError{} && own)
}

// cables are the far ends of e0 and e1, and the way to put packets onto the one
// of e0. All is done on one CPU, since only there the kernel keeps the order of
// packets that come in.
type cables struct {
	t   *testing.T
	k   *kerneltest.Kernel
	fds map[rpdb.LinkName]int
	mac net.HardwareAddr // of e0
}

func newCables(t *testing.T, k *kerneltest.Kernel) *cables {
	t.Helper()
	c := &cables{t: t, k: k, fds: map[rpdb.LinkName]int{}}
	must(t, k.NetNS().Do(func() error {
		for near, far := range map[rpdb.LinkName]string{"e0": "p0", "e1": "p1"} {
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				return err
			}
			c.fds[near] = fd
			end, err := net.InterfaceByName(far)
			if err != nil {
				return err
			}
			if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: end.Index}); err != nil { // ETH_P_ALL
				return err
			}
		}
		near, err := net.InterfaceByName("e0")
		if err == nil {
			c.mac = near.HardwareAddr
		}
		return err
	}))
	t.Cleanup(func() {
		for _, fd := range c.fds {
			unix.Close(fd)
		}
	})
	return c
}

// settle waits until the host is ready: the kernel starts interfaces and adds
// local routes some time after it was told to.
func (c *cables) settle() {
	c.t.Helper()
	for _, to := range []string{"198.51.100.9", "2001:db8:1::9"} {
		f := rpdb.Flow{Dst: netip.MustParseAddr(to), DPort: packetPort, Socket: rpdb.SendTo}
		for began := time.Now(); c.send(f) != "sent by e1"; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				c.t.Fatalf("no packet to %s leaves by e1", to)
			}
		}
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		s, err := c.k.Snapshot(context.Background())
		must(c.t, err)
		if settled(s) && !torn(s) {
			return
		}
		if time.Since(began) > time.Minute {
			c.t.Fatal("the addresses do not become usable")
		}
	}
}

// send sends the packet of a flow, and then asks for an echo. What is seen
// before that comes back is all that became of the packet.
func (c *cables) send(f rpdb.Flow) string {
	c.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	release, err := pin()
	must(c.t, err)
	defer release()
	c.echo(f.Family()) // the cables carry, and nothing old is left on them
	if f.IsInput() {
		c.inject(packet(f.Src, f.Dst, f.IPProto, udp(f)))
	} else if err := c.local(f); err != nil {
		var errno unix.Errno
		if !errors.As(err, &errno) {
			c.t.Fatal(err)
		}
		return rpdb.Errno(errno).String()
	}
	seen := c.echo(f.Family())
	slices.Sort(seen)
	switch seen = slices.Compact(seen); {
	case len(seen) > 0:
		return strings.Join(seen, ", ")
	case f.IsInput():
		return "dropped"
	}
	return "local" // nobody listens, and the sender does not wait for the error
}

// pin keeps the thread on one CPU until it is released.
func pin() (release func(), err error) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, err
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	return func() { _ = unix.SchedSetaffinity(0, &all) }, unix.SchedSetaffinity(0, &one)
}

// echo asks the host for an echo until it comes, and returns what else was seen
// meanwhile.
func (c *cables) echo(family rpdb.Family) (seen []string) {
	src, dst, proto, kind := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.1"), rpdb.ICMP, byte(8)
	if family == rpdb.IPv6 {
		src, dst, proto, kind = netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db8::1"), rpdb.ICMPv6, 128
	}
	for began := time.Now(); time.Since(began) < time.Minute; {
		c.inject(packet(src, dst, proto, []byte{kind, 0, 0, 0, 0, 1, 0, 1}))
		for asked := time.Now(); time.Since(asked) < 200*time.Millisecond; {
			c.wait()
			list, back := c.receive()
			seen = append(seen, list...)
			if back {
				return seen
			}
		}
	}
	c.t.Fatal("no echo")
	return nil
}

// wait waits until something arrives, though not for long.
func (c *cables) wait() {
	var list []unix.PollFd
	for _, fd := range c.fds {
		list = append(list, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if _, err := unix.Poll(list, 100); err != nil && !errors.Is(err, unix.EINTR) {
		c.t.Fatal(err)
	}
}

// receive says what the host has sent: the packet of a flow, an error, or that
// it answers to an echo.
func (c *cables) receive() (seen []string, echo bool) {
	var b [2048]byte
	for near, fd := range c.fds {
		for {
			n, from, err := unix.Recvfrom(fd, b[:], 0)
			if err != nil {
				break
			}
			if sll, ok := from.(*unix.SockaddrLinklayer); !ok || sll.Pkttype == unix.PACKET_OUTGOING || n < 14+28 || b[14]>>4 == 6 && n < 14+48 {
				continue
			}
			p, proto := b[14+20:n], rpdb.IPProto(b[14+9])
			if b[14]>>4 == 6 {
				p, proto = b[14+40:n], rpdb.IPProto(b[14+6])
			}
			switch e := (rpdb.ICMPError{Type: p[0], Code: p[1]}); {
			case proto == rpdb.UDP && binary.BigEndian.Uint16(p[2:]) == packetPort:
				seen = append(seen, "sent by "+string(near))
			case proto == rpdb.ICMP && e.Type == 0, proto == rpdb.ICMPv6 && e.Type == 129:
				echo = true
			case proto == rpdb.ICMP && e == rpdb.ICMPError{Type: 3, Code: 3}, proto == rpdb.ICMPv6 && e == rpdb.ICMPError{Type: 1, Code: 4}:
				seen = append(seen, "local") // the port is closed
			case proto == rpdb.ICMP && e.Type == 3, proto == rpdb.ICMPv6 && e.Type == 1:
				seen = append(seen, "icmp "+e.String())
			}
		}
	}
	return seen, echo
}

func (c *cables) inject(ip []byte) {
	ethertype := []byte{0x08, 0x00}
	if ip[0]>>4 == 6 {
		ethertype = []byte{0x86, 0xdd}
	}
	frame := slices.Concat([]byte(c.mac), []byte{2, 0, 0, 0, 0, 7}, ethertype, ip)
	if _, err := unix.Write(c.fds["e0"], frame); err != nil {
		c.t.Fatal(err)
	}
}

// local sends a datagram as the socket of the flow does.
func (c *cables) local(f rpdb.Flow) error {
	return c.k.NetNS().Do(func() error { // on a thread of its own
		release, err := pin()
		if err != nil {
			return err
		}
		defer release()
		family := unix.AF_INET
		if f.Dst.Is6() {
			family = unix.AF_INET6
		}
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
			return err
		}
		if f.OIF != "" {
			if err := unix.BindToDevice(fd, string(f.OIF)); err != nil {
				return err
			}
		}
		if f.Src.IsValid() {
			if err := unix.Bind(fd, sockaddr(f.Src, f.SPort)); err != nil {
				return err
			}
		}
		if f.Socket != rpdb.Connect {
			return unix.Sendto(fd, []byte("rpdb"), 0, sockaddr(f.Dst, f.DPort))
		}
		if err := unix.Connect(fd, sockaddr(f.Dst, f.DPort)); err != nil {
			return err
		}
		_, err = unix.Write(fd, []byte("rpdb"))
		return err
	})
}

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: int(port), Addr: a.As16()}
}

func udp(f rpdb.Flow) []byte {
	b := binary.BigEndian.AppendUint16(nil, f.SPort)
	b = binary.BigEndian.AppendUint16(b, f.DPort)
	return append(b, 0, 12, 0, 0, 'r', 'p', 'd', 'b')
}

// packet makes a packet with the checksums that it needs.
func packet(src, dst netip.Addr, proto rpdb.IPProto, payload []byte) []byte {
	at := 2 // of the checksum in the payload
	if proto == rpdb.UDP {
		at = 6
	}
	pseudo := slices.Concat(src.AsSlice(), dst.AsSlice(), []byte{0, byte(proto), 0, byte(len(payload))})
	if proto == rpdb.ICMP {
		pseudo = nil
	}
	binary.BigEndian.PutUint16(payload[at:], checksum(append(pseudo, payload...)))
	if src.Is6() {
		return slices.Concat([]byte{0x60, 0, 0, 0, 0, byte(len(payload)), byte(proto), 64}, src.AsSlice(), dst.AsSlice(), payload)
	}
	h := slices.Concat([]byte{0x45, 0, 0, byte(20 + len(payload)), 0, 1, 0, 0, 64, byte(proto), 0, 0}, src.AsSlice(), dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, payload...)
}

// checksum is that of RFC 1071, of an even number of bytes.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum>>16 + sum)
}
