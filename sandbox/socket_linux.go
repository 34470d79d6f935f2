package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// socketSpec describes a socket to open. The zero value of a field leaves
// things as the kernel has them.
type socketSpec struct {
	protocol rpdb.IPProto
	local    netip.AddrPort // its address decides the family; unspecified: not bound to an address
	device   rpdb.LinkName
	mark     uint32
	tos      uint8
	uid      rpdb.Opt[uint32] // owner
	listen   bool
}

// openSocket opens a socket in a namespace and sets its options. Sockets do
// not block.
func openSocket(ns *kernel.NetNS, s socketSpec) (int, error) {
	fd := -1
	err := ns.Do(func() error {
		return asUser(s.uid, func() error {
			var err error
			fd, err = unix.Socket(s.domain(), s.socketType()|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, s.kernelProtocol())
			return err
		})
	})
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := s.configure(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (s socketSpec) domain() int {
	if s.local.Addr().Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func (s socketSpec) socketType() int {
	switch s.protocol {
	case rpdb.TCP:
		return unix.SOCK_STREAM
	case rpdb.UDP:
		return unix.SOCK_DGRAM
	}
	return unix.SOCK_RAW
}

// kernelProtocol is the third argument of socket(2).
func (s socketSpec) kernelProtocol() int {
	if s.socketType() == unix.SOCK_RAW {
		return int(s.protocol)
	}
	return 0
}

// configure sets the options of a new socket.
func (s socketSpec) configure(fd int) error {
	for _, o := range s.options() {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("set socket option %d: %w", o.name, err)
		}
	}
	if s.protocol == rpdb.TCP { // close with a reset: no state stays behind, and the ports are free at once
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return fmt.Errorf("set socket option linger: %w", err)
		}
	}
	return nil
}

// bind binds a socket to its interface and address.
func (s socketSpec) bind(fd int) error {
	if s.device != "" {
		if err := unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, string(s.device)); err != nil {
			return fmt.Errorf("bind to device %q: %w", string(s.device), err)
		}
	}
	if err := patientBind(fd, sockaddr(s.local)); err != nil {
		return fmt.Errorf("bind to %v: %w", s.local, err)
	}
	if s.listen {
		return unix.Listen(fd, 8)
	}
	return nil
}

// patientBind waits a little for a port that is in use. A probe has its ports
// alone, but the socket that had one before may live on for a moment in a
// child process that has not yet come to execve.
func patientBind(fd int, local unix.Sockaddr) error {
	err := unix.Bind(fd, local)
	for look := 0; look < 300 && errors.Is(err, unix.EADDRINUSE); look++ {
		time.Sleep(time.Millisecond)
		err = unix.Bind(fd, local)
	}
	return err
}

type socketOption struct{ level, name, value int }

func (s socketSpec) options() []socketOption {
	var options []socketOption
	six := s.domain() == unix.AF_INET6
	if six && s.socketType() != unix.SOCK_RAW {
		options = append(options, socketOption{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1})
	}
	if s.protocol == rpdb.TCP {
		options = append(options, socketOption{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1})
	}
	if s.mark != 0 {
		options = append(options, socketOption{unix.SOL_SOCKET, unix.SO_MARK, int(s.mark)})
	}
	switch {
	case s.tos != 0 && six:
		options = append(options, socketOption{unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(s.tos)})
	case s.tos != 0:
		options = append(options, socketOption{unix.IPPROTO_IP, unix.IP_TOS, int(s.tos)})
	}
	return options
}

// sockaddr converts an address for a system call. Raw sockets have no ports.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// addrPort is the inverse of sockaddr, the zero value for other families.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// asUser runs f as another user in the one respect that counts: the kernel
// takes the owner of a socket from the file-system user id of the thread that
// makes it (setfsuid(2)), and routes by that owner. An absent id changes
// nothing.
func asUser(uid rpdb.Opt[uint32], f func() error) error {
	want, ok := uid.Get()
	if !ok {
		return f()
	}
	runtime.LockOSThread()
	before, err := unix.SetfsuidRetUid(int(want))
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	if fsuid() != want {
		runtime.UnlockOSThread()
		return fmt.Errorf("user id %d: %w", want, unix.EINVAL)
	}
	err = f()
	if _, back := unix.SetfsuidRetUid(before); back != nil || fsuid() != uint32(before) {
		// The thread is left locked: it ends with its goroutine.
		return errors.Join(err, fmt.Errorf("user id %d: %w", before, unix.EPERM))
	}
	runtime.UnlockOSThread()
	return err
}

// fsuid returns the file-system user id of the calling thread. The call with
// an id that does not exist changes nothing and tells the present one.
func fsuid() uint32 {
	id, _ := unix.SetfsuidRetUid(-1)
	return uint32(id)
}
