package sandbox

import (
	"context"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// The functions of this file are netdevice(7) requests. Those that take no
// namespace work in the calling thread's.

// ioctl makes a request about an interface.
func ioctl(device rpdb.LinkName, f func(fd int, request *unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(string(device))
	if err != nil {
		return err
	}
	return f(fd, request)
}

// linkIndex returns the index of an interface.
func linkIndex(device rpdb.LinkName) (index rpdb.LinkIndex, err error) {
	err = ioctl(device, func(fd int, request *unix.Ifreq) error {
		err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
		index = rpdb.LinkIndex(request.Uint32())
		return err
	})
	return index, err
}

// linkFlags returns the flags of an interface, up to date.
func linkFlags(device rpdb.LinkName) (flags uint16, err error) {
	err = ioctl(device, func(fd int, request *unix.Ifreq) error {
		if err := askCarrier(fd, device); err != nil {
			return err
		}
		err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request)
		flags = request.Uint16()
		return err
	})
	return flags, err
}

// pointToPoint makes an Ethernet interface that is down behave like a tunnel:
// without neighbour resolution it addresses all frames to its own hardware
// address, so both ends get the same one.
func pointToPoint(device rpdb.LinkName, address [6]byte) error {
	return ioctl(device, func(fd int, request *unix.Ifreq) error {
		if err := setHardwareAddress(fd, device, address); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
			return err
		}
		request.SetUint16(request.Uint16() | unix.IFF_NOARP)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
	})
}

// setHardwareAddress is SIOCSIFHWADDR, whose argument unix.Ifreq cannot hold.
func setHardwareAddress(fd int, device rpdb.LinkName, address [6]byte) error {
	var request struct {
		name    [unix.IFNAMSIZ]byte
		family  uint16
		address [14]byte
		_       [8]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	request.family = unix.ARPHRD_ETHER
	copy(request.address[:], address[:])
	return rawIoctl(fd, unix.SIOCSIFHWADDR, unsafe.Pointer(&request))
}

// askCarrier asks an interface for its carrier (ETHTOOL_GLINK), which makes the
// kernel act on a change of it now; since Linux 6.8. By itself it may take a
// second over it.
func askCarrier(fd int, device rpdb.LinkName) error {
	_, err := ethtool(fd, device, unix.ETHTOOL_GLINK)
	return err
}

// computeChecksums has the kernel compute the checksums of what it sends by an
// interface. Otherwise it leaves them to the interface, which does nothing about
// them in a cable between namespaces, and whoever receives verifies nothing.
func computeChecksums(device rpdb.LinkName) error {
	return ioctl(device, func(fd int, _ *unix.Ifreq) error {
		_, err := ethtool(fd, device, unix.ETHTOOL_STXCSUM)
		return err
	})
}

// ethtool sends a command of ethtool with a value of 0, and returns the answer.
func ethtool(fd int, device rpdb.LinkName, command uint32) (answer uint32, err error) {
	value := struct{ command, data uint32 }{command: command}
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	request.data = unsafe.Pointer(&value)
	err = rawIoctl(fd, unix.SIOCETHTOOL, unsafe.Pointer(&request))
	return value.data, err
}

func rawIoctl(fd int, number uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), number, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// settleLooks is how often the kernel is looked at, a millisecond or more apart,
// for what it does behind the back of the call that asked for it. Looks count,
// not seconds: a machine with much to do may let both sleep.
const settleLooks = 3000

// eventually repeats f until it reports true.
func eventually(ctx context.Context, what string, f func() (bool, error)) error {
	for range settleLooks {
		if ok, err := f(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	return fmt.Errorf("wait for %s: %w", what, unix.ETIMEDOUT)
}

// awaitRunning waits until an interface can send, or no longer can: the kernel
// attaches its queue a moment after the carrier came.
func awaitRunning(ctx context.Context, ns *kernel.NetNS, device rpdb.LinkName, want bool) error {
	return eventually(ctx, fmt.Sprintf("interface %q", string(device)), func() (settled bool, err error) {
		err = ns.Do(func() error {
			flags, err := linkFlags(device)
			settled = flags&unix.IFF_RUNNING != 0 == want
			return err
		})
		return settled, err
	})
}
