package nft_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
	"rpdb/kernel/netlink"
	"rpdb/nft"
)

// host is one of the three of a world: what it opens is opened in its namespace.
type host struct {
	t  *testing.T
	ns *kernel.NetNS
}

// world is an inside host that has addresses of two blocks of each family, a
// router, and an outside host that echoes, and knows the outside blocks behind the
// router. No interface computes checksums, so hosts compute and verify them all.
//
//	inside --in0/inside-- router --isp2/up0-- outside
type world struct {
	inside, router, outside host
	nft                     *nft.Conn
}

// What the blocks of a world are, and where the server is.
const (
	block4, other4, server4, uplink4 = "10.1.0.0/24", "10.2.0.0/24", "198.51.100.1", "192.0.2.254"
	block6, other6, server6, uplink6 = "fd00:1::/64", "fd00:2::/64", "2001:db8:1::1", "2001:db8::fe"
	echoPort, closedPort             = 7, 9
)

const (
	insideSetUp = `
		addr add 10.255.0.2/30 dev in0
		route add default via 10.255.0.1
		route add local 10.1.0.0/24 dev lo
		route add local 10.2.0.0/24 dev lo
		-6 addr add fd00:ff::2/64 dev in0 nodad
		-6 route add default via fd00:ff::1
		-6 addr add fd00:1::/128 dev lo nodad
		-6 addr add fd00:1::43/128 dev lo nodad
		-6 addr add fd00:1::99/128 dev lo nodad
		-6 addr add fd00:1::1:42/128 dev lo nodad
		-6 addr add fd00:1::ffff:1:2:3/128 dev lo nodad
		-6 addr add fd00:1::ffff:ffff:ffff:fffe/128 dev lo nodad
		-6 addr add fd00:2::42/128 dev lo nodad`
	routerSetUp = `
		addr add 10.255.0.1/30 dev inside
		addr add 192.0.2.1/24 dev isp2
		addr add 10.1.0.254/32 dev lo
		route add 10.1.0.0/24 via 10.255.0.2
		route add 10.2.0.0/24 via 10.255.0.2
		route add default via 192.0.2.254
		rule add pref 50 lookup main suppress_prefixlength 0
		-6 addr add fd00:ff::1/64 dev inside nodad
		-6 addr add 2001:db8::1/64 dev isp2 nodad
		-6 addr add fd00:1::aaaa/128 dev lo nodad
		-6 route add fd00:1::/64 via fd00:ff::2
		-6 route add fd00:2::/64 via fd00:ff::2
		-6 route add default via 2001:db8::fe
		-6 rule add pref 50 lookup main suppress_prefixlength 0`
	outsideSetUp = `
		addr add 192.0.2.254/24 dev up0
		addr add 198.51.100.1/32 dev lo
		route add default via 192.0.2.1
		-6 addr add 2001:db8::fe/64 dev up0 nodad
		-6 addr add 2001:db8:1::1/128 dev lo nodad
		-6 route add default via 2001:db8::1`
	// The rule of the translations leads to a copy of the uplink's table with a
	// realm or a program of its own, another rule to the table itself.
	ruleSetUp = `
		route add default via 192.0.2.254 realms 10010 table 10010
		route add default via 192.0.2.254 table 100
		rule add pref 10010 from 10.1.0.0/24 lookup 10010 realms 10010
		rule add pref 10011 from 10.2.0.0/24 lookup 100
		-6 route add default via 2001:db8::fe table 100
		-6 rule add pref 10010 from fd00:1::/64 lookup 82510
		-6 rule add pref 10011 from fd00:2::/64 lookup 100`
)

func newWorld(t *testing.T) *world {
	t.Helper()
	for _, p := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("needs the programs ip and nft: ", err)
		}
	}
	w := &world{}
	for _, h := range []*host{&w.inside, &w.router, &w.outside} {
		*h = host{t, kerneltest.Namespace(t)}
	}
	c, err := kernel.Open(kernel.Options{NetNS: w.router.ns})
	must(t, err)
	defer c.Close()
	must(t, c.AddVeth(kernel.VethEnd{Name: "inside"}, kernel.VethEnd{Name: "in0", NetNS: w.inside.ns}))
	must(t, c.AddVeth(kernel.VethEnd{Name: "isp2"}, kernel.VethEnd{Name: "up0", NetNS: w.outside.ns}))
	for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		must(t, w.router.ns.SetSysctl(key, "1"))
	}
	for _, h := range []host{w.inside, w.outside} {
		must(t, h.ns.SetSysctl("net.ipv4.icmp_ratelimit", "0"))
		must(t, h.ns.SetSysctl("net.ipv6.icmp.ratelimit", "0"))
	}
	w.inside.setUp(insideSetUp, "in0")
	w.router.setUp(routerSetUp, "inside", "isp2")
	w.outside.setUp(outsideSetUp, "up0")
	w.router.setUp(ruleSetUp)
	if kerneltest.FirstUserNamespace() {
		must(t, w.routeByProgram(82510, rpdb.Add, uplink6))
	}
	w.nft = open(t, w.router.ns)
	for _, server := range []string{server4, uplink4, server6, uplink6} {
		w.outside.echoUDP(server, echoPort)
		w.outside.echoTCP(server, echoPort)
	}
	return w
}

// routeByProgram changes the default route of IPv6 in a copy of the uplink's table.
func (w *world) routeByProgram(table rpdb.TableID, op rpdb.ChangeOp, via ...string) error {
	t := w.router.t
	t.Helper()
	c, err := kernel.Open(kernel.Options{NetNS: w.router.ns})
	must(t, err)
	defer c.Close()
	r := rpdb.Route{Family: rpdb.IPv6, Table: table, Dst: netip.MustParsePrefix("::/0")}
	for _, v := range via {
		r.Nexthops = append(r.Nexthops, rpdb.Nexthop{Via: netip.MustParseAddr(v)}.WithCopyProgram(table))
	}
	return c.Do(t.Context(), rpdb.RouteChange(op, r))
}

// in runs f in the namespace of the host.
func (h host) in(f func() error) {
	h.t.Helper()
	must(h.t, netlink.InNetNS(h.ns.FD(), f))
}

func (h host) setUp(batch string, links ...rpdb.LinkName) {
	h.t.Helper()
	c, err := kernel.Open(kernel.Options{NetNS: h.ns})
	must(h.t, err)
	defer c.Close()
	for _, l := range links {
		h.in(func() error { return withoutChecksums(string(l)) })
		must(h.t, h.ns.SetSysctl("net.ipv6.conf."+string(l)+".accept_dad", "0")) // which takes a second
		must(h.t, c.SetLink(l, kernel.LinkChange{Up: true}))
	}
	lines := map[string]string{"-4": "", "-6": ""}
	for line := range strings.Lines(batch) {
		line, six := strings.CutPrefix(strings.TrimSpace(line), "-6 ")
		if six {
			lines["-6"] += line + "\n"
		} else {
			lines["-4"] += line + "\n"
		}
	}
	for family, batch := range lines {
		h.in(func() error {
			cmd := exec.Command("ip", family, "-batch", "-")
			cmd.Stdin = strings.NewReader(batch)
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("ip %s: %w: %s", family, err, out)
			}
			return nil
		})
	}
}

// withoutChecksums has the stack compute checksums that it would leave to the
// interface, which a cable within the kernel never does.
func withoutChecksums(link string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ command, data uint32 }{command: 0x17} // ETHTOOL_STXCSUM
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:], link)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return fmt.Errorf("checksums of %s: %w", link, errno)
	}
	return nil
}

// echoUDP answers each datagram with the address it came from, a blank, and what
// was in it.
func (h host) echoUDP(at string, port uint16) {
	h.t.Helper()
	c := h.listenUDP(at, port)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				continue // an error of an earlier answer
			}
			_, _ = c.WriteToUDPAddrPort(append([]byte(from.Addr().Unmap().String()+" "), buf[:n]...), from)
		}
	}()
}

func (h host) listenUDP(at string, port uint16) (c *net.UDPConn) {
	h.t.Helper()
	h.in(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(at), port)))
		return err
	})
	h.t.Cleanup(func() { c.Close() })
	return c
}

func (h host) echoTCP(at string, port uint16) {
	h.t.Helper()
	var l net.Listener
	h.in(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr(at), port).String())
		return err
	})
	h.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				from, _ := netip.ParseAddrPort(c.RemoteAddr().String())
				_, _ = fmt.Fprint(c, from.Addr().String()+" ")
				buf := make([]byte, 1<<16)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					_, _ = c.Write(buf[:n])
				}
			}()
		}
	}()
}

// patience ends a test in which nothing comes; nothing that comes waits for it.
const patience = 20 * time.Second

// dialUDP returns a socket from an address to a port.
func (h host) dialUDP(from, to string, port uint16) (c *net.UDPConn) {
	h.t.Helper()
	h.in(func() (err error) {
		c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)),
			net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), port)))
		return err
	})
	h.t.Cleanup(func() { c.Close() })
	return c
}

// exchange sends n bytes and returns the address that the other side saw. The
// answer must have the bytes; the hosts have verified all checksums by then. A
// datagram is sent again after a quarter of the patience: on a busy machine one may
// be lost, which is nobody's fault.
func exchange(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	text := strings.Repeat("0123456789abcdef", n/16+1)[:n]
	_, datagrams := c.(*net.UDPConn)
	wait, tries := patience, 1
	if datagrams {
		wait, tries = patience/4, 4
	}
	var got string
	var err error
	for range tries {
		if got, err = answer(c, text, wait); !datagrams || !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	if err != nil {
		t.Fatalf("%v to %v, %d bytes: %v after %d bytes", c.LocalAddr(), c.RemoteAddr(), len(text), err, len(got))
	}
	seen, _, _ := strings.Cut(got, " ")
	return seen
}

// answer sends a text and reads until it has come back.
func answer(c net.Conn, text string, wait time.Duration) (got string, err error) {
	if _, err := c.Write([]byte(text)); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return "", err
	}
	buf := make([]byte, 1<<16)
	for len(got) < len(text)+len("a ") || !strings.HasSuffix(got, text) {
		n, err := c.Read(buf)
		if err != nil {
			return got, err
		}
		got += string(buf[:n])
	}
	return got, nil
}

// seen is the source that the outside sees of a packet from an address.
func (w *world) seen(from, to string) string {
	w.inside.t.Helper()
	return exchange(w.inside.t, w.inside.dialUDP(from, to, echoPort), 64)
}

// tcp makes a connection from an address and returns what the other side saw.
func (h host) tcp(from, to string, port uint16) string {
	h.t.Helper()
	var c net.Conn
	h.in(func() (err error) {
		d := net.Dialer{
			Timeout:   patience,
			LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)),
		}
		c, err = d.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr(to), port).String())
		return err
	})
	defer c.Close()
	return exchange(h.t, c, 100_000)
}

// refused sends to a port that nobody listens at, and wants the error back at the
// socket: the kernel gives it to one only if the header within fits it.
func (h host) refused(from, to string) {
	h.t.Helper()
	c := h.dialUDP(from, to, closedPort)
	_, err := c.Write([]byte("is anybody there"))
	must(h.t, err)
	must(h.t, c.SetReadDeadline(time.Now().Add(patience)))
	if _, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNREFUSED) {
		h.t.Errorf("%s to a closed port of %s: %v", from, to, err)
	}
}

// ping sends an ICMP echo request from an address, waits for the answer, and
// returns the source that the other host saw.
func (w *world) ping(from, to string) string {
	t := w.inside.t
	t.Helper()
	network, request, reply, proto := "ip4:icmp", byte(8), byte(0), byte(1)
	if strings.Contains(from, ":") {
		network, request, reply, proto = "ip6:ipv6-icmp", 128, 129, 58
	}
	mine, theirs := w.inside.listenRaw(network, from), w.outside.listenRaw(network, to)
	m := []byte{request, 0, 0, 0, 0x52, 0x50, 0, 1, 'd', 'b'}
	if proto == 1 {
		binary.BigEndian.PutUint16(m[2:], ^sum16(m))
	}
	_, err := mine.WriteTo(m, &net.IPAddr{IP: net.ParseIP(to)})
	must(t, err)
	peer := await(t, theirs, proto, request)
	if got := await(t, mine, proto, reply); got != netip.MustParseAddr(to) {
		t.Errorf("%s pings %s, and %v answers", from, to, got)
	}
	return peer.String()
}

func (h host) listenRaw(network, at string) (c net.PacketConn) {
	h.t.Helper()
	h.in(func() (err error) {
		c, err = net.ListenPacket(network, at)
		return err
	})
	h.t.Cleanup(func() { c.Close() })
	return c
}

// await reads until there is an ICMP message of our own of a type, with a right
// checksum, and returns who sent it. In IPv6 the kernel has verified it.
func await(t *testing.T, c net.PacketConn, proto, typ byte) netip.Addr {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 2000)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatalf("no ICMP message of type %d: %v", typ, err)
		}
		m := buf[:n]
		if len(m) < 10 || m[0] != typ || string(m[6:]) != "\x00\x01db" { // the id may be translated, too
			continue
		}
		if proto == 1 && sum16(m) != 0xffff {
			t.Errorf("a wrong checksum in %x", m)
		}
		a, _ := netip.ParseAddr(from.String())
		return a
	}
}

// sum16 is the ones' complement sum of 16-bit words (RFC 1071).
func sum16(b []byte) uint16 {
	var n uint32
	for i := 0; i+1 < len(b); i += 2 {
		n += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for n > 0xffff {
		n = n&0xffff + n>>16
	}
	return uint16(n)
}
