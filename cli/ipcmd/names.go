package ipcmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
)

// The directories of iproute2. The first one that has a file counts.
const (
	etcDir = "/etc/iproute2"
	usrDir = "/usr/share/iproute2"
)

// protocolsFile has the names of IP protocols (protocols(5)).
const protocolsFile = "/etc/protocols"

// nameFiles reads the files of names when the first name is asked for, each
// once in the life of a process, as ip does: most commands need one or none.
type nameFiles struct {
	db     rttables.Database
	loaded [rttables.Scopes + 1]bool // by kind; 0 for the protocols of IP
	state  iproute2.NameState

	noProtocols bool // they have no file that can be read

	last lookedUp // that most lines of a batch share

	netns string            // that was entered
	own   map[string]string // what of /etc is elsewhere for it
}

// lookedUp is a name that was looked up in a file, and its number.
type lookedUp struct {
	file, name string
	number     uint32
	ok         bool
}

// enter takes the files that a namespace has of its own in place of those of
// /etc. It is to complain where ip, which mounts them there, would fail to.
func (n *nameFiles) enter(netns string, stderr io.Writer) {
	if n.own != nil && n.netns == netns {
		return
	}
	n.netns, n.own = netns, map[string]string{}
	dir := "/etc/netns/" + netns
	entries, _ := os.ReadDir(dir) // most namespaces have none
	for _, e := range entries {
		from, to := dir+"/"+e.Name(), "/etc/"+e.Name()
		if err := mountable(from, to); err != nil {
			fmt.Fprintf(stderr, "Bind %s -> %s failed: %s\n", from, to, errnoTextIn(err))
			continue
		}
		n.own[to] = from
	}
}

// mountable reports why one file cannot stand in for another, nil if it can.
func mountable(from, to string) error {
	a, err := os.Stat(from)
	if err != nil {
		return err
	}
	b, err := os.Stat(to)
	if err == nil && a.IsDir() != b.IsDir() {
		err = syscall.ENOTDIR
	}
	return err
}

// path returns where a file of /etc is.
func (n *nameFiles) path(file string) string {
	for to, from := range n.own {
		if rest, ok := strings.CutPrefix(file, to); ok && (rest == "" || rest[0] == '/') {
			return from + rest
		}
	}
	return file
}

// number returns the function that looks a name up in one of the files.
// Complaints about a file go to stderr.
func (n *nameFiles) number(stderr io.Writer) func(file, name string) (uint32, bool) {
	return func(file, name string) (uint32, bool) {
		last := &n.last
		if last.file != file || last.name != name {
			n.load(kindOf(file), stderr)
			*last = lookedUp{file: file, name: name}
			last.number, last.ok = n.db.Number(file, name)
		}
		n.state.Read(file)
		return last.number, last.ok
	}
}

// ipProtocols is in the place of the kind of the database of protocols.
const ipProtocols rttables.Kind = 0

// kindOf returns the kind of a main file.
func kindOf(file string) rttables.Kind {
	for _, kind := range rttables.Kinds() {
		if kind.File() == file {
			return kind
		}
	}
	return ipProtocols
}

// ipProto returns the function that names an IP protocol. Built-in names stand
// in for a file that is not there.
func (n *nameFiles) ipProto(stderr io.Writer) func(rpdb.IPProto) string {
	return func(p rpdb.IPProto) string {
		n.load(ipProtocols, stderr)
		if n.noProtocols {
			return iproute2.IPProto(p)
		}
		return n.db.IPProto(p)
	}
}

// load reads the files of one kind, in the order that decides which name
// counts, and reports whether it did: it does once.
func (n *nameFiles) load(kind rttables.Kind, stderr io.Writer) bool {
	switch {
	case n.loaded[kind]:
		return false
	case kind != ipProtocols:
		n.loadKind(kind, stderr)
	default:
		data, err := readFile(n.path(protocolsFile))
		n.noProtocols = err != nil
		n.db.AddProtocols(data)
	}
	n.loaded[kind] = true
	return true
}

func (n *nameFiles) loadKind(kind rttables.Kind, stderr io.Writer) {
	if !n.read(filepath.Join(etcDir, kind.File()), kind, stderr) {
		n.read(filepath.Join(usrDir, kind.File()), kind, stderr)
	}
	dir := kind.Directory()
	if dir == "" {
		return
	}
	for _, name := range list(filepath.Join(usrDir, dir)) {
		if _, err := os.Lstat(n.path(filepath.Join(etcDir, dir, name))); err != nil {
			n.read(filepath.Join(usrDir, dir, name), kind, stderr)
		}
	}
	for _, name := range list(n.path(filepath.Join(etcDir, dir))) {
		n.read(filepath.Join(etcDir, dir, name), kind, stderr)
	}
}

// list returns the files of a directory that count, in the order in which the
// directory has them.
func list(dir string) []string {
	var files []string
	for _, name := range readDir(dir) {
		if rttables.Counts(name) {
			files = append(files, name)
		}
	}
	return files
}

// read adds the names of a file and reports whether it exists.
func (n *nameFiles) read(path string, kind rttables.Kind, stderr io.Writer) bool {
	data, err := readFile(n.path(path))
	if err == unix.ENOENT {
		return false
	}
	var bad *rttables.LineError
	if err == nil && errors.As(n.db.Add(kind, path, data), &bad) {
		fmt.Fprintf(stderr, "%s\n", bad.CorruptText())
	}
	return true
}

// readFile is os.ReadFile without what the runtime does for files that others
// may wait for, which takes longer than reading a file of names.
func readFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var data []byte
	for {
		if len(data) == cap(data) {
			data = slices.Grow(data, 2<<10)
		}
		m, err := unix.Read(fd, data[len(data):cap(data)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case m == 0:
			return data, nil
		default:
			data = data[:len(data)+m]
		}
	}
}

// readDir returns the names of what is in a directory, as far as they can be
// read, in the order of the directory.
func readDir(dir string) (names []string) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	entries := make([]byte, 1<<10)
	for {
		n, err := unix.ReadDirent(fd, entries)
		if err != nil || n <= 0 {
			return names
		}
		_, _, names = unix.ParseDirent(entries[:n], -1, names)
	}
}
