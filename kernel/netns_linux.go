package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"rpdb/kernel/netlink"
)

// NetNS is a network namespace held open by a descriptor: it lives at least
// until Close. It is safe for concurrent use. The zero value is not a
// namespace.
type NetNS struct {
	file *os.File
}

// netnsDir is where ip-netns(8) keeps the namespaces that have names.
const netnsDir = "/run/netns/"

// CurrentNetNS returns the network namespace of the calling thread, which
// unless somebody switched it is the process's own.
func CurrentNetNS() (*NetNS, error) {
	return openNetNS("current", "/proc/thread-self/ns/net")
}

// OpenNetNS returns the network namespace of that name, as ip-netns(8) knows
// it, or if it contains a slash of that path, such as /proc/1/ns/net.
func OpenNetNS(nameOrPath string) (*NetNS, error) {
	path := nameOrPath
	if !strings.Contains(path, "/") {
		path = netnsDir + path // of "", "." and ".." too: folders, where there are any
	}
	return openNetNS(fmt.Sprintf("%q", nameOrPath), path)
}

func openNetNS(shown, path string) (*NetNS, error) {
	object := "network namespace " + shown
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for a writer
	if err != nil {
		return nil, &OpError{Op: "open", Object: object, Err: errnoOf(err)}
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Type != unix.NSFS_MAGIC {
		f.Close()
		return nil, &OpError{Op: "open", Object: object, Err: unix.EINVAL, Message: "not a namespace"}
	}
	// Kernels before 4.11 do not say; entering it will.
	if kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE); err == nil && kind != unix.CLONE_NEWNET {
		f.Close()
		return nil, &OpError{Op: "open", Object: object, Err: unix.EINVAL, Message: "not a network namespace"}
	}
	return &NetNS{file: f}, nil
}

// NewNetNS makes a network namespace without a name; it goes away with the
// last descriptor, socket and process in it. Its loopback interface is down.
// It needs CAP_SYS_ADMIN in the caller's user namespace.
func NewNetNS() (*NetNS, error) {
	own, err := CurrentNetNS()
	if err != nil {
		return nil, err
	}
	defer own.Close()
	var made *NetNS
	err = netlink.InNewNetNS(func() (err error) {
		made, err = CurrentNetNS()
		return err
	})
	if err != nil {
		return nil, opError("create", "network namespace", err)
	}
	return made, nil
}

// Do runs f on an operating system thread inside the namespace and returns
// its error. The thread is put back afterwards, or thrown away if that fails.
// f runs on a goroutine of its own; goroutines that it starts are outside
// again, and it must not call a test's Fatal.
func (n *NetNS) Do(f func() error) error {
	return netlink.InNetNS(n.FD(), f)
}

// FD returns the descriptor, which stays the namespace's own.
func (n *NetNS) FD() int { return int(n.file.Fd()) }

// Close gives the descriptor back.
func (n *NetNS) Close() error { return n.file.Close() }

// clone returns the same namespace under a descriptor of its own.
func (n *NetNS) clone() (*NetNS, error) {
	fd, err := unix.FcntlInt(uintptr(n.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, opError("open", "network namespace", err)
	}
	return &NetNS{file: os.NewFile(uintptr(fd), n.file.Name())}, nil
}

// errnoOf returns the errno inside err, or err.
func errnoOf(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
