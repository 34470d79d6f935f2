package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// twoUplinks is a host with two cables to the rest of the world, which is a
// namespace of its own with the addresses 203.0.113.9 and 2001:db8:9::9. The
// default is by e0; table 101 leads out by e1. In the world TCP listens at 8080
// to 8089. The link-local addresses are what neighbours are asked from; nothing
// of IPv6 is put off, which would be a change of the kernel's own.
func twoUplinks(t *testing.T) (host, world *kerneltest.Kernel) {
	t.Helper()
	host, world = kerneltest.Real(t), kerneltest.Real(t)
	for _, k := range []*kerneltest.Kernel{host, world} {
		scripted(t, k, `sysctl net.ipv6.conf.default.addr_gen_mode=1
sysctl net.ipv4.conf.all.rp_filter=0
sysctl net.ipv4.conf.default.rp_filter=0
sysctl net.ipv6.conf.default.router_solicitation_delay=0
sysctl net.ipv6.conf.default.router_solicitations=0`)
	}
	for i := range 2 {
		near, far := rpdb.LinkName(fmt.Sprintf("e%d", i)), rpdb.LinkName(fmt.Sprintf("p%d", i))
		if err := host.AddVeth(kernel.VethEnd{Name: near}, kernel.VethEnd{Name: far, NetNS: world.NetNS()}); err != nil {
			t.Fatal(err)
		}
	}
	scripted(t, world, `ip link set p0 up
ip link set p1 up
ip addr add 192.0.2.1/24 dev p0
ip addr add 198.51.100.1/24 dev p1
ip addr add 203.0.113.9/32 dev lo
ip addr add fe80::1/64 dev p0 nodad
ip addr add 2001:db8:a::1/64 dev p0 nodad
ip addr add fe80::2/64 dev p1 nodad
ip addr add 2001:db8:b::1/64 dev p1 nodad
ip addr add 2001:db8:9::9/128 dev lo nodad`)
	scripted(t, host, `ip link set e0 up
ip link set e1 up
ip addr add 192.0.2.10/24 dev e0
ip addr add 198.51.100.10/24 dev e1
ip addr add fe80::11/64 dev e0 nodad
ip addr add 2001:db8:a::10/64 dev e0 nodad
ip addr add fe80::12/64 dev e1 nodad
ip addr add 2001:db8:b::10/64 dev e1 nodad
ip route add default via 192.0.2.1
ip route add default via 198.51.100.1 table 101
ip -6 route add default via 2001:db8:a::1
ip -6 route add default via 2001:db8:b::1 table 101`)
	for port := 8080; port < 8090; port++ {
		opened(t, world, unix.AF_INET6, unix.SOCK_STREAM, func(fd int) error {
			return errors.Join(unix.Bind(fd, sockaddr(fmt.Sprintf("[::]:%d", port))), unix.Listen(fd, 100)) // which nobody takes
		})
	}
	return host, world
}

func scripted(t *testing.T, k *kerneltest.Kernel, lines string) {
	t.Helper()
	for line := range strings.SplitSeq(lines, "\n") {
		if err := kerneltest.Script(t.Context(), k, line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

// opened makes a socket on a host.
func opened(t *testing.T, k *kerneltest.Kernel, family, kind int, setUp func(fd int) error) (fd int) {
	t.Helper()
	err := k.NetNS().Do(func() (err error) {
		if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return setUp(fd)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func sockaddr(a string) unix.Sockaddr {
	p := netip.MustParseAddrPort(a)
	if p.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(p.Port()), Addr: p.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(p.Port()), Addr: p.Addr().As16()}
}

// connects makes a socket that a connection is tried with until it is there: a
// cable carries nothing in the first moment.
func connects(to string, options ...func(fd int) error) func(fd int) error {
	return func(fd int) error {
		for _, o := range options {
			if err := o(fd); err != nil {
				return err
			}
		}
		return unix.Connect(fd, sockaddr(to))
	}
}

func socketOption(level, name, value int) func(fd int) error {
	return func(fd int) error { return unix.SetsockoptInt(fd, level, name, value) }
}

func bound(a string) func(fd int) error {
	return func(fd int) error { return unix.Bind(fd, sockaddr(a)) }
}

// sentBy returns how many packets each of the cables has sent.
func sentBy(t *testing.T, k *kerneltest.Kernel) (e0, e1 int) {
	t.Helper()
	var data []byte
	err := k.NetNS().Do(func() (err error) {
		data, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		name, counts, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if fields := strings.Fields(counts); name == "e0" || name == "e1" {
			var n int
			if _, err := fmt.Sscan(fields[9], &n); err != nil {
				t.Fatal(err)
			}
			if name == "e0" {
				e0 = n
			} else {
				e1 = n
			}
		}
	}
	return e0, e1
}

// mostBy says which cable is meant, "" if that is not plain yet: the kernel has
// some packets of its own, which look for neighbours.
func mostBy(e0, e1 int) rpdb.LinkName {
	switch {
	case e0 >= 24 && e0 >= 3*e1:
		return "e0"
	case e1 >= 24 && e1 >= 3*e0:
		return "e1"
	}
	return ""
}

// goesBy writes into a connected socket until it is plain by which cable that
// leaves.
func goesBy(t *testing.T, k *kerneltest.Kernel, fd int) rpdb.LinkName {
	t.Helper()
	a0, a1 := sentBy(t, k)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := unix.SendmsgN(fd, []byte("x"), nil, nil, unix.MSG_DONTWAIT); err != nil && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		b0, b1 := sentBy(t, k)
		if by := mostBy(b0-a0, b1-a1); by != "" {
			return by
		}
	}
	t.Fatal("nothing leaves, or by both")
	return ""
}

// explainedSocket is what explain --json says of a connected socket of the host.
func explainedSocket(t *testing.T, k *kerneltest.Kernel, fd int) socketGroupJSON {
	t.Helper()
	local, remote := socketName(t, fd, unix.Getsockname), socketName(t, fd, unix.Getpeername)
	var out, errs bytes.Buffer
	args := []string{"-n", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), k.NetNS().FD()), "explain", "--json", "--socket", local + " " + remote, "--pid", fmt.Sprint(os.Getpid())}
	if code := Run(t.Context(), args, Streams{Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("%q: exit code %d: %s", args, code, &errs)
	}
	var e struct{ Flows []socketGroupJSON }
	if err := json.Unmarshal(out.Bytes(), &e); err != nil || len(e.Flows) != 1 || len(e.Flows[0].Sockets) != 1 {
		t.Fatalf("%s: %v, %d flows\n%s", local, err, len(e.Flows), &out)
	}
	return e.Flows[0]
}

// socketGroupJSON is a group of sockets as a program reads it.
type socketGroupJSON struct {
	Sockets []struct {
		Mark    *uint32
		Flow    rpdb.Flow
		Unknown map[string]string
	}
	Trace       struct{ Decision rpdb.Decision }
	Agrees      *bool
	Unasked     string
	UntilChange *rpdb.Decision `json:"until_change"`
}

func socketName(t *testing.T, fd int, name func(int) (unix.Sockaddr, error)) string {
	t.Helper()
	sa, err := name(fd)
	if err != nil {
		t.Fatal(err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port)).String()
	}
	t.Fatalf("%T", sa)
	return ""
}

// Packets of sockets leave as explain says, and where the kernel can be asked it
// says so too.
func TestSocketsGoAsExplained(t *testing.T) {
	host, _ := twoUplinks(t)
	scripted(t, host, `ip rule add pref 100 from 198.51.100.0/24 lookup 101
ip rule add pref 110 fwmark 0x7/0xf lookup 101
ip rule add pref 120 uidrange 0-0 dport 8082 lookup 101
ip rule add pref 130 ipproto tcp sport 7777 lookup 101
ip rule add pref 140 tos 0x10 lookup 101
ip rule add pref 150 dport 8083 lookup 101
ip -6 rule add pref 100 from 2001:db8:b::/64 lookup 101
ip -6 rule add pref 110 fwmark 0x7/0xf lookup 101
ip -6 rule add pref 120 tos 0x48 lookup 101`)
	mark := func(m int) func(int) error { return socketOption(unix.SOL_SOCKET, unix.SO_MARK, m) }
	toE1 := func(fd int) error { return unix.BindToDevice(fd, "e1") }
	tos := socketOption(unix.IPPROTO_IP, unix.IP_TOS, 0x10)
	class := socketOption(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 0x48)
	const v4, v6, tcp, udp = unix.AF_INET, unix.AF_INET6, unix.SOCK_STREAM, unix.SOCK_DGRAM
	for _, test := range []struct {
		name         string
		family, kind int
		setUp        func(int) error
		want         rpdb.LinkName
		unasked      string
	}{
		{"plain TCP", v4, tcp, connects("203.0.113.9:8080"), "e0", ""},
		{"TCP from an address of the other cable", v4, tcp, connects("203.0.113.9:8080", bound("198.51.100.10:0")), "e1", ""},
		{"TCP with a mark", v4, tcp, connects("203.0.113.9:8080", mark(0x17)), "e1", ""},
		{"TCP with a mark of no meaning", v4, tcp, connects("203.0.113.9:8080", mark(0x70)), "e0", ""},
		{"TCP to a port of root's", v4, tcp, connects("203.0.113.9:8082"), "e1", ""},
		{"TCP from a port", v4, tcp, connects("203.0.113.9:8080", bound("0.0.0.0:7777")), "e1", ""},
		{"UDP from that port", v4, udp, connects("203.0.113.9:8080", bound("0.0.0.0:7777")), "e0", ""},
		{"TCP with a TOS", v4, tcp, connects("203.0.113.9:8080", tos), "e1", ""},
		{"UDP with a TOS", v4, udp, connects("203.0.113.9:8080", tos), "e1", ""},
		{"UDP on an interface", v4, udp, connects("203.0.113.9:8080", toE1), "e1", ""},
		{"UDP of IPv6 to a port of IPv4", v6, udp, connects("[::ffff:203.0.113.9]:8083"), "e1", ""},
		{"TCP of IPv6 to IPv4, with a traffic class", v6, tcp, connects("[::ffff:203.0.113.9]:8080", class), "e0", ""},
		{"TCP of IPv6 to IPv4, with a TOS", v6, tcp, connects("[::ffff:203.0.113.9]:8080", tos), "e1", ""},
		{"plain TCP of IPv6", v6, tcp, connects("[2001:db8:9::9]:8080"), "e0", ""},
		{"TCP of IPv6 from an address of the other cable", v6, tcp, connects("[2001:db8:9::9]:8080", bound("[2001:db8:b::10]:0")), "e1", ""},
		{"UDP of IPv6 with a mark", v6, udp, connects("[2001:db8:9::9]:8080", mark(7)), "e1", ""},
		{"UDP of IPv6 with a traffic class", v6, udp, connects("[2001:db8:9::9]:8080", class), "e1", ""},
		{"UDP of IPv6 on an interface", v6, udp, connects("[2001:db8:9::9]:8080", toE1), "", "route get does not bind to an interface as a socket does"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.want == "" { // no route by it: the socket cannot even be connected
				scripted(t, host, "ip -6 route add default via 2001:db8:b::1 metric 2000")
				test.want = "e1"
			}
			fd := opened(t, host, test.family, test.kind, test.setUp)
			e := explainedSocket(t, host, fd)
			d := e.Trace.Decision
			if d.Disposition != rpdb.Sent || d.Link != test.want {
				t.Errorf("explained: %+v, want %s", d, test.want)
			}
			if by := goesBy(t, host, fd); by != d.Link {
				t.Errorf("packets leave by %s, explained: %+v", by, e)
			}
			if e.Unasked != test.unasked || (e.Agrees != nil) != (e.Unasked == "") || e.Agrees != nil && !*e.Agrees {
				t.Errorf("the kernel: %q, agrees %v", e.Unasked, e.Agrees)
			}
			if e.Sockets[0].Mark == nil || e.Sockets[0].Unknown["fwmark"] != "" {
				t.Errorf("no mark for root: %+v", e.Sockets[0])
			}
		})
	}
}

// A connection of IPv6 is made without a source and stays as it was made, until
// something changes: then rules see its source, and no traffic class.
func TestConnectionOfIPv6StaysUntilAChange(t *testing.T) {
	host, _ := twoUplinks(t)
	class := socketOption(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 0x48)
	for _, link := range []string{"e0", "e1"} { // a cable that comes up is a change too
		bind := func(fd int) error { return unix.BindToDevice(fd, link) }
		goesBy(t, host, opened(t, host, unix.AF_INET, unix.SOCK_DGRAM, connects("203.0.113.9:8080", bind)))
	}
	for _, test := range []struct {
		name, rule    string
		setUp         func(int) error
		before, after rpdb.LinkName
	}{
		{"a rule about its source", "pref 100 from 2001:db8:a::/64 lookup 101", connects("[2001:db8:9::9]:8080"), "e0", "e1"},
		{"a rule about its traffic class", "pref 100 tos 0x48 lookup 101", connects("[2001:db8:9::9]:8080", class), "e1", "e0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			scripted(t, host, "ip -6 rule add "+test.rule)
			var fd int
			var by rpdb.LinkName
			for range 5 { // the kernel may change something itself in between
				fd = opened(t, host, unix.AF_INET6, unix.SOCK_STREAM, test.setUp)
				if by = goesBy(t, host, fd); by == test.before {
					break
				}
			}
			if by != test.before {
				t.Errorf("packets leave by %s, want %s", by, test.before)
			}
			e := explainedSocket(t, host, fd)
			if e.Trace.Decision.Link != test.after || e.UntilChange == nil || e.UntilChange.Link != test.before {
				t.Errorf("explained: %+v, until a change: %+v", e.Trace.Decision, e.UntilChange)
			}
			scripted(t, host, "ip -6 rule add pref 300 from 2001:db8:77::/64 lookup 77\nip -6 rule del pref 300")
			if by := goesBy(t, host, fd); by != test.after {
				t.Errorf("after a change packets leave by %s, want %s", by, test.after)
			}
			scripted(t, host, "ip -6 rule del "+test.rule)
		})
	}
}

// Listening sockets answer as explain says, from each address that they are
// asked at, with their mark and without their traffic class.
func TestListenersAnswerAsExplained(t *testing.T) {
	host, world := twoUplinks(t)
	scripted(t, host, `ip rule add pref 100 from 198.51.100.0/24 lookup 101
ip rule add pref 110 fwmark 0x7 lookup 101
ip rule add pref 120 tos 0x10 lookup 101
ip -6 rule add pref 100 from 2001:db8:b::/64 lookup 101
ip -6 rule add pref 110 fwmark 0x7 lookup 101
ip -6 rule add pref 120 tos 0x48 lookup 101`)
	any6 := func(port int, options ...func(int) error) int {
		return opened(t, host, unix.AF_INET6, unix.SOCK_STREAM, func(fd int) error {
			for _, o := range append(options, bound(fmt.Sprintf("[::]:%d", port))) {
				if err := o(fd); err != nil {
					return err
				}
			}
			return unix.Listen(fd, 1000)
		})
	}
	any6(7001)
	any6(7002, socketOption(unix.SOL_SOCKET, unix.SO_MARK, 7))
	any6(7003, socketOption(unix.IPPROTO_IP, unix.IP_TOS, 0x10), socketOption(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 0x48))
	for _, test := range []struct {
		port  int
		asker string
		at    string
		by    rpdb.LinkName
		at2   string
		by2   rpdb.LinkName
	}{
		{7001, "203.0.113.9", "192.0.2.10", "e0", "198.51.100.10", "e1"},
		{7002, "203.0.113.9", "192.0.2.10", "e1", "198.51.100.10", "e1"},
		{7003, "203.0.113.9", "192.0.2.10", "e1", "198.51.100.10", "e1"},
		{7001, "2001:db8:9::9", "2001:db8:a::10", "e0", "2001:db8:b::10", "e1"},
		{7002, "2001:db8:9::9", "2001:db8:a::10", "e1", "2001:db8:b::10", "e1"},
		{7003, "2001:db8:9::9", "2001:db8:a::10", "e0", "2001:db8:b::10", "e1"},
	} {
		t.Run(fmt.Sprintf("port %d asked by %s", test.port, test.asker), func(t *testing.T) {
			told := answersTold(t, host, test.port, test.asker)
			for at, by := range map[string]rpdb.LinkName{test.at: test.by, test.at2: test.by2} {
				if told[at] != by {
					t.Errorf("explained: answers from %s leave by %q, want %s: %v", at, told[at], by, told)
				}
				if real := answersBy(t, host, world, netip.AddrPortFrom(netip.MustParseAddr(at), uint16(test.port)), test.asker); real != by {
					t.Errorf("answers from %s leave by %s, want %s", at, real, by)
				}
			}
			if len(told) != 2 {
				t.Errorf("explained: %v", told)
			}
		})
	}
}

// answersTold is by which cable explain has the answers of a listening socket
// leave, by the address that they come from.
func answersTold(t *testing.T, k *kerneltest.Kernel, port int, asker string) map[string]rpdb.LinkName {
	t.Helper()
	var out, errs bytes.Buffer
	args := []string{"-n", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), k.NetNS().FD()), "explain", "--json", "--socket", fmt.Sprintf("tcp,*:%d", port), "to", asker}
	if code := Run(t.Context(), args, Streams{Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("%q: exit code %d: %s", args, code, &errs)
	}
	var e struct{ Flows []socketGroupJSON }
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	told := map[string]rpdb.LinkName{}
	for _, g := range e.Flows {
		for _, s := range g.Sockets {
			told[s.Flow.Src.String()] = g.Trace.Decision.Link
		}
		if g.Agrees == nil || !*g.Agrees {
			t.Errorf("the kernel does not agree: %+v", g)
		}
	}
	return told
}

// answersBy connects from the world until it is plain by which cable the answers
// leave.
func answersBy(t *testing.T, host, world *kerneltest.Kernel, at netip.AddrPort, asker string) rpdb.LinkName {
	t.Helper()
	family := unix.AF_INET
	from := asker + ":0"
	if at.Addr().Is6() {
		family, from = unix.AF_INET6, "["+asker+"]:0"
	}
	a0, a1 := sentBy(t, host)
	for range 200 {
		if err := world.NetNS().Do(func() error { return handshake(family, from, at.String()) }); err != nil {
			t.Fatal(err)
		}
		b0, b1 := sentBy(t, host)
		if by := mostBy(b0-a0, b1-a1); by != "" {
			return by
		}
	}
	t.Fatalf("%v: nothing is answered, or by both", at)
	return ""
}

// handshake connects and breaks the connection off, which is not answered: of
// the other side there is one packet.
func handshake(family int, from, to string) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(connects(to, bound(from))(fd),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}), unix.Close(fd))
}

// A process in another namespace is explained there without being told where.
func TestProcessInAnotherNamespace(t *testing.T) {
	host, _ := twoUplinks(t)
	fd := opened(t, host, unix.AF_INET, unix.SOCK_DGRAM, connects("203.0.113.9:8080", bound("198.51.100.10:7400")))
	file := os.NewFile(uintptr(dup(t, fd)), "socket")
	defer file.Close()
	cmd := exec.Command("sleep", "60")
	cmd.ExtraFiles = []*os.File{file}
	if err := host.NetNS().Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	stop := func() { cmd.Process.Kill(); cmd.Wait() }
	defer stop()
	var out, errs bytes.Buffer
	args := []string{"explain", "--pid", fmt.Sprint(cmd.Process.Pid)}
	code := Run(t.Context(), args, Streams{Out: &out, Err: &errs})
	if code != 0 || !strings.HasPrefix(out.String(), fmt.Sprintf("process %d lives in another network namespace", cmd.Process.Pid)) ||
		!strings.Contains(out.String(), "udp ESTAB 198.51.100.10:7400 203.0.113.9:8080") {
		t.Errorf("exit code %d\n%s%s", code, &out, &errs)
	}
	stop()
	errs.Reset()
	if code := Run(t.Context(), args, Streams{Out: &out, Err: &errs}); code != 1 || !strings.Contains(errs.String(), "no such process") {
		t.Errorf("of a process that is gone: exit code %d, %s", code, &errs)
	}
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return copied
}
