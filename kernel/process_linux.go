package kernel

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ProcessSockets returns the inodes of the sockets that a process holds, of all
// kinds, each once, as [InetSocket] has them. Descriptors that it opens or closes
// meanwhile may be missing. For a process of another user it needs
// CAP_SYS_PTRACE; without, the error is EACCES. There is no such process: ESRCH.
func ProcessSockets(pid int) (map[uint32]bool, error) {
	object := fmt.Sprintf("sockets of process %d", pid)
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, opError("read", object, processError(err))
	}
	inodes := map[uint32]bool{}
	var denied error
	for _, e := range entries {
		link, err := os.Readlink(dir + "/" + e.Name())
		switch {
		case errors.Is(err, os.ErrNotExist): // closed meanwhile
		case err != nil:
			denied = err
		}
		if inode, ok := socketInode(link); ok {
			inodes[inode] = true
		}
	}
	if denied != nil && len(inodes) == 0 {
		return nil, opError("read", object, processError(denied))
	}
	return inodes, nil
}

// socketInode reads "socket:[N]".
func socketInode(link string) (uint32, bool) {
	digits, ok := strings.CutPrefix(link, "socket:[")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 32)
	return uint32(n), err == nil
}

// ProcessNetNS returns the network namespace that a process lives in. Sockets
// that it made elsewhere stay where they were made. It needs what
// [ProcessSockets] needs, and its errors are the same.
func ProcessNetNS(pid int) (*NetNS, error) {
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	ns, err := openNetNS(fmt.Sprintf("of process %d", pid), path)
	if errors.Is(err, unix.ENOENT) {
		return nil, opError("open", fmt.Sprintf("network namespace of process %d", pid), unix.ESRCH)
	}
	return ns, err
}

// processError is the errno of reading a folder of /proc that belongs to a
// process; that it is missing means that there is no process.
func processError(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return unix.ESRCH
	}
	return errnoOf(err)
}

// Same reports whether both are the same network namespace.
func (n *NetNS) Same(other *NetNS) (bool, error) {
	var a, b unix.Stat_t
	if err := errors.Join(unix.Fstat(n.FD(), &a), unix.Fstat(other.FD(), &b)); err != nil {
		return false, opError("compare", "network namespaces", err)
	}
	return a.Dev == b.Dev && a.Ino == b.Ino, nil
}
