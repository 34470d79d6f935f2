package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
)

// madeSocket is a socket that a test made: what it asked for, and its inode.
type madeSocket struct {
	fd    int
	inode uint32
}

// inside makes a socket in a namespace and lets setUp prepare it.
func inside(t *testing.T, ns *NetNS, family, kind, proto int, setUp func(fd int) error) madeSocket {
	t.Helper()
	s := madeSocket{fd: -1}
	err := ns.Do(func() (err error) {
		if s.fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto); err != nil {
			return err
		}
		if setUp == nil {
			return nil
		}
		return setUp(s.fd)
	})
	if s.fd >= 0 {
		t.Cleanup(func() { unix.Close(s.fd) })
	}
	must(t, err)
	s.inode = inodeOf(t, s.fd)
	return s
}

func inodeOf(t *testing.T, fd int) uint32 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Fstat(fd, &st))
	return uint32(st.Ino)
}

// all runs steps until one fails.
func all(steps ...error) error { return errors.Join(steps...) }

func bindTo(fd int, a string) error    { return unix.Bind(fd, sockaddr(a)) }
func connectTo(fd int, a string) error { return unix.Connect(fd, sockaddr(a)) }
func option(fd, level, name, value int) error {
	return unix.SetsockoptInt(fd, level, name, value)
}

func sockaddr(a string) unix.Sockaddr {
	p := netip.MustParseAddrPort(a)
	if p.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(p.Port()), Addr: p.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(p.Port()), Addr: p.Addr().As16()}
}

// socketOf returns the socket with the inode out of what the kernel lists.
func socketOf(t *testing.T, c *Conn, inode uint32) InetSocket {
	t.Helper()
	list, err := c.InetSockets(t.Context())
	must(t, err)
	i := slices.IndexFunc(list, func(s InetSocket) bool { return s.Inode == inode })
	if i < 0 {
		t.Fatalf("the socket with inode %d is not among %+v", inode, list)
	}
	return list[i]
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// Sockets of all kinds are listed with what they were given.
func TestInetSockets(t *testing.T) {
	ns, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	uid := uint32(os.Geteuid())
	marked := rpdb.Some[uint32](0)
	for _, test := range []struct {
		name                string
		family, kind, proto int
		setUp               func(fd int) error
		want                InetSocket
	}{
		{
			"TCP, listening with a mark and a TOS", unix.AF_INET, unix.SOCK_STREAM, 0,
			func(fd int) error {
				return all(option(fd, unix.SOL_SOCKET, unix.SO_MARK, 0x1234), option(fd, unix.IPPROTO_IP, unix.IP_TOS, 0x48),
					bindTo(fd, "192.0.2.1:7001"), unix.Listen(fd, 1))
			},
			InetSocket{Family: rpdb.IPv4, Protocol: rpdb.TCP, State: SocketListen, Local: addrPort("192.0.2.1:7001"), Mark: rpdb.Some[uint32](0x1234), TOS: 0x48},
		},
		{
			"TCP, listening for both families on an interface", unix.AF_INET6, unix.SOCK_STREAM, 0,
			func(fd int) error {
				return all(unix.BindToDevice(fd, "eth0"), option(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 0xb8),
					bindTo(fd, "[::]:7002"), unix.Listen(fd, 1))
			},
			InetSocket{Family: rpdb.IPv6, Protocol: rpdb.TCP, State: SocketListen, Local: addrPort("[::]:7002"), Bound: eth0, Mark: marked, TClass: 0xb8},
		},
		{
			"TCP, listening for IPv6 alone", unix.AF_INET6, unix.SOCK_STREAM, 0,
			func(fd int) error {
				return all(option(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1), bindTo(fd, "[2001:db8::1]:7003"), unix.Listen(fd, 1))
			},
			InetSocket{Family: rpdb.IPv6, Protocol: rpdb.TCP, State: SocketListen, Local: addrPort("[2001:db8::1]:7003"), Mark: marked, V6Only: true},
		},
		{
			"TCP, connected to itself through mapped addresses", unix.AF_INET6, unix.SOCK_STREAM, 0,
			func(fd int) error {
				return all(bindTo(fd, "[::ffff:127.0.0.1]:7004"), connectTo(fd, "[::ffff:127.0.0.1]:7004"))
			},
			InetSocket{Family: rpdb.IPv6, Protocol: rpdb.TCP, State: SocketEstablished, Local: addrPort("127.0.0.1:7004"), Remote: addrPort("127.0.0.1:7004"), Mark: marked},
		},
		{
			"UDP, not connected", unix.AF_INET, unix.SOCK_DGRAM, 0,
			func(fd int) error {
				return all(option(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1), bindTo(fd, "0.0.0.0:7005"))
			},
			InetSocket{Family: rpdb.IPv4, Protocol: rpdb.UDP, State: SocketUnconnected, Local: addrPort("0.0.0.0:7005"), Mark: marked, AnySource: true},
		},
		{
			"UDP, connected from a source of its own choice", unix.AF_INET, unix.SOCK_DGRAM, 0,
			func(fd int) error {
				return all(bindTo(fd, "198.51.100.1:7006"), connectTo(fd, "192.0.2.9:53"))
			},
			InetSocket{Family: rpdb.IPv4, Protocol: rpdb.UDP, State: SocketEstablished, Local: addrPort("198.51.100.1:7006"), Remote: addrPort("192.0.2.9:53"), Mark: marked},
		},
		{
			"UDP of IPv6, connected to IPv4", unix.AF_INET6, unix.SOCK_DGRAM, 0,
			func(fd int) error { return connectTo(fd, "[::ffff:192.0.2.9]:7007") },
			InetSocket{Family: rpdb.IPv6, Protocol: rpdb.UDP, State: SocketEstablished, Local: addrPort("192.0.2.1:0"), Remote: addrPort("192.0.2.9:7007"), Mark: marked},
		},
		{
			// A source of IPv6 leaves no room for IPv4.
			"UDP-lite", unix.AF_INET6, unix.SOCK_DGRAM, protoUDPLite,
			func(fd int) error { return bindTo(fd, "[2001:db8::1]:7008") },
			InetSocket{Family: rpdb.IPv6, Protocol: protoUDPLite, State: SocketUnconnected, Local: addrPort("[2001:db8::1]:7008"), Mark: marked, V6Only: true},
		},
	} {
		if test.proto == protoUDPLite && !hasUDPLite() {
			continue
		}
		s := inside(t, ns, test.family, test.kind, test.proto, test.setUp)
		got := socketOf(t, c, s.inode)
		test.want.UID, test.want.Inode = uid, s.inode
		if test.want.Local.Port() == 0 {
			test.want.Local = netip.AddrPortFrom(test.want.Local.Addr(), got.Local.Port())
		}
		if got != test.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", test.name, got, test.want)
		}
		if got.IsConnected() != (test.want.Remote != netip.AddrPort{}) {
			t.Errorf("%s: connected: %v", test.name, got.IsConnected())
		}
	}
}

// hasUDPLite reports whether the kernel has UDP-lite, which not all are built with.
func hasUDPLite() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, protoUDPLite)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// A connection has two ends, and each the mark of its own socket.
func TestInetSocketsOfAConnection(t *testing.T) {
	ns, c := uplinks(t)
	server := inside(t, ns, unix.AF_INET, unix.SOCK_STREAM, 0, func(fd int) error {
		return all(option(fd, unix.SOL_SOCKET, unix.SO_MARK, 7), bindTo(fd, "127.0.0.1:7100"), unix.Listen(fd, 1))
	})
	client := inside(t, ns, unix.AF_INET, unix.SOCK_STREAM, 0, func(fd int) error {
		return all(option(fd, unix.SOL_SOCKET, unix.SO_MARK, 9), connectTo(fd, "127.0.0.1:7100"))
	})
	accepted, _, err := unix.Accept4(server.fd, unix.SOCK_CLOEXEC)
	must(t, err)
	defer unix.Close(accepted)
	near, far := socketOf(t, c, client.inode), socketOf(t, c, inodeOf(t, accepted))
	if near.Local != far.Remote || near.Remote != far.Local || near.State != SocketEstablished || far.State != SocketEstablished {
		t.Errorf("%+v does not talk to %+v", near, far)
	}
	if near.Mark != rpdb.Some[uint32](9) || far.Mark != rpdb.Some[uint32](7) {
		t.Errorf("marks %v and %v", near.Mark, far.Mark)
	}
}

// Programs hold the sockets of MPTCP, and the kernel lists connections of TCP:
// they have the same inode.
func TestInetSocketsOfMPTCP(t *testing.T) {
	ns, c := uplinks(t)
	if _, err := ns.Sysctl("net.mptcp.enabled"); err != nil {
		return // a kernel without MPTCP
	}
	must(t, ns.SetSysctl("net.mptcp.enabled", "1"))
	server := inside(t, ns, unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_MPTCP, func(fd int) error {
		return all(bindTo(fd, "[::]:7400"), unix.Listen(fd, 1))
	})
	client := inside(t, ns, unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP, func(fd int) error {
		return all(option(fd, unix.SOL_SOCKET, unix.SO_MARK, 9), connectTo(fd, "127.0.0.1:7400"))
	})
	accepted, _, err := unix.Accept4(server.fd, unix.SOCK_CLOEXEC)
	must(t, err)
	defer unix.Close(accepted)
	if s := socketOf(t, c, server.inode); s.State != SocketListen || s.Local != addrPort("[::]:7400") {
		t.Errorf("the server is %+v", s)
	}
	near, far := socketOf(t, c, client.inode), socketOf(t, c, inodeOf(t, accepted))
	if near.Local != far.Remote || near.Remote != far.Local || near.Protocol != rpdb.TCP || near.Mark != rpdb.Some[uint32](9) {
		t.Errorf("%+v does not talk to %+v", near, far)
	}
}

// The sockets of this process are those that it made, in whatever namespace.
func TestProcessSockets(t *testing.T) {
	ns, _ := namespace(t)
	s := inside(t, ns, unix.AF_INET, unix.SOCK_DGRAM, 0, func(fd int) error { return bindTo(fd, "127.0.0.1:7200") })
	inodes, err := ProcessSockets(os.Getpid())
	must(t, err)
	if !inodes[s.inode] || inodes[0] {
		t.Errorf("inode %d is not among %v", s.inode, inodes)
	}
	own, err := ProcessNetNS(os.Getpid())
	must(t, err)
	defer own.Close()
	current, err := CurrentNetNS()
	must(t, err)
	defer current.Close()
	if same, err := own.Same(current); err != nil || !same {
		t.Errorf("the process does not live where it is: %v", err)
	}
	if same, err := own.Same(ns); err != nil || same {
		t.Errorf("two namespaces are the same: %v", err)
	}
	for _, pid := range []int{-1, 0, 1 << 30} { // above the largest that pid_max allows
		if _, err := ProcessSockets(pid); !errors.Is(err, unix.ESRCH) {
			t.Errorf("process %d: %v", pid, err)
		}
		if _, err := ProcessNetNS(pid); !errors.Is(err, unix.ESRCH) {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

// A raw socket has its protocol in the place of the port, and a message that is
// cut short is an error. No kernel is needed: this one may list no raw sockets.
func TestDecodeSocket(t *testing.T) {
	b := make([]byte, sizeofDiagMsg)
	b[0], b[1] = unix.AF_INET, byte(SocketUnconnected)
	binary.BigEndian.PutUint16(b[4:], 89) // OSPF
	copy(b[8:], []byte{192, 0, 2, 1})
	binary.NativeEndian.PutUint32(b[64:], 1000)
	binary.NativeEndian.PutUint32(b[68:], 4711)
	got, err := decodeSocket(b, protoRaw)
	want := InetSocket{Family: rpdb.IPv4, Protocol: 89, State: SocketUnconnected, Local: addrPort("192.0.2.1:0"), UID: 1000, Inode: 4711}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for n := range len(b) {
		if _, err := decodeSocket(b[:n], rpdb.TCP); err == nil {
			t.Errorf("%d bytes are taken for a socket", n)
		}
	}
	if _, err := decodeSocket(append(b, 9, 0, diagMark, 0, 1), rpdb.TCP); err == nil {
		t.Error("a mark that is cut short is taken")
	}
}

// markChild is the inode of the socket that the child of the next test looks for.
const markChild = "RPDB_TEST_MARKED_SOCKET"

// Without privilege in the namespace a mark is not told, and that is no mark 0.
func TestMarksNeedPrivilege(t *testing.T) {
	if inode, err := strconv.ParseUint(os.Getenv(markChild), 10, 32); err == nil {
		c, err := Open(Options{})
		must(t, err)
		defer c.Close()
		if s := socketOf(t, c, uint32(inode)); s.Mark.IsSet() || s.Local != addrPort("127.0.0.1:7300") {
			t.Errorf("got %+v", s)
		}
		return
	}
	ns, c := namespace(t)
	s := inside(t, ns, unix.AF_INET, unix.SOCK_DGRAM, 0, func(fd int) error {
		return all(option(fd, unix.SOL_SOCKET, unix.SO_MARK, 5), bindTo(fd, "127.0.0.1:7300"))
	})
	if got := socketOf(t, c, s.inode); got.Mark != rpdb.Some[uint32](5) {
		t.Errorf("got %+v", got)
	}
	var out []byte
	err := ns.Do(func() (err error) { // in another user namespace, but the same network
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestMarksNeedPrivilege$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", markChild, s.inode), inUserNS+"=1")
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestInetSocketsEndsWithItsContext(t *testing.T) {
	_, c := namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.InetSockets(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
