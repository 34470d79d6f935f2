package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// sysctlPath returns the file of a kernel setting. Dots divide the key, but
// for those in the name of an interface behind conf. or neigh.; slashes may
// stand for the dots, as in sysctl(8), and then dots divide nothing.
func sysctlPath(key string) (string, error) {
	parts := strings.Split(key, "/")
	if len(parts) == 1 {
		parts = splitKey(key)
	}
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || strings.ContainsRune(p, '/') {
			return "", unix.EINVAL
		}
	}
	if parts[0] != "net" || len(parts) < 2 {
		return "", unix.EINVAL // only these belong to a network namespace
	}
	return filepath.Join(append([]string{"/proc/sys"}, parts...)...), nil
}

// splitKey splits a key at its dots, and keeps the name of an interface whole:
// net.ipv4.conf.eth0.5.rp_filter is about eth0.5.
func splitKey(key string) []string {
	head, tail, ok := cutAny(key, ".conf.", ".neigh.")
	if !ok {
		return strings.Split(key, ".")
	}
	i := strings.LastIndexByte(tail, '.')
	if i < 0 {
		return append(strings.Split(head, "."), tail)
	}
	return append(strings.Split(head, "."), tail[:i], tail[i+1:])
}

// cutAny cuts s behind the first of the separators that it contains; head
// keeps the separator's word.
func cutAny(s string, seps ...string) (head, tail string, ok bool) {
	for _, sep := range seps {
		if h, t, found := strings.Cut(s, sep); found {
			return h + strings.TrimSuffix(sep, "."), t, true
		}
	}
	return s, "", false
}

// Sysctl returns a kernel setting of the namespace, such as
// "net.ipv4.conf.eth0.rp_filter", without the newline. Dots in the name of an
// interface need no escape. Only keys that begin with "net" exist here.
func (n *NetNS) Sysctl(key string) (string, error) {
	var value string
	err := n.withSysctl(key, func(path string) error {
		b, err := os.ReadFile(path)
		value = strings.TrimRight(string(b), "\n")
		return err
	})
	return value, sysctlError("read", key, err)
}

// SetSysctl changes a kernel setting of the namespace; see [NetNS.Sysctl] for
// the key. It needs CAP_NET_ADMIN.
func (n *NetNS) SetSysctl(key, value string) error {
	err := n.withSysctl(key, func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if _, err := f.WriteString(value + "\n"); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	})
	return sysctlError("set", key, err)
}

func (n *NetNS) withSysctl(key string, f func(path string) error) error {
	path, err := sysctlPath(key)
	if err != nil {
		return err
	}
	return n.Do(func() error { return f(path) })
}

func sysctlError(op, key string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Object: fmt.Sprintf("sysctl %q", key), Err: errnoOf(err)}
}
