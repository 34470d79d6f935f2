package ipcmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

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
	loaded map[string]bool
	state  iproute2.NameState

	netns string            // that was entered
	own   map[string]string // what of /etc is elsewhere for it
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
		n.load(file, stderr)
		n.state.Read(file)
		return n.db.Number(file, name)
	}
}

// ipProto returns the function that names an IP protocol, nil for the built-in
// names, which stand in for a file that is not there.
func (n *nameFiles) ipProto(stderr io.Writer) func(rpdb.IPProto) string {
	if _, err := os.Stat(n.path(protocolsFile)); err != nil {
		return nil
	}
	return func(p rpdb.IPProto) string {
		n.load("protocols", stderr)
		return n.db.IPProto(p)
	}
}

// namesFor returns the names that a listing of the rules needs, and reads their
// files in the order in which ip would. It reads those of tables and groups for
// numbers as well.
func (n *nameFiles) namesFor(rules []rpdb.Rule, numeric bool, stderr io.Writer) rpdb.Names {
	for _, r := range rules {
		dscp, _ := r.Selector.DSCP.Get()
		table := r.Action.Table() != 0
		for _, x := range []struct {
			kind  rttables.Kind
			needs bool
		}{
			{rttables.DSFields, r.Selector.TOS != 0 && !numeric},
			{rttables.Tables, table},
			{rttables.Groups, table && r.Suppress.IfGroup.IsSet()},
			{rttables.Realms, (isByte(r.Realms.From()) || isByte(r.Realms.To())) && !numeric},
			{rttables.Protocols, !builtinName(r.Protocol) && !numeric},
			{rttables.DSFields, dscp.Value != 0 && !numeric},
		} {
			if x.needs {
				n.load(x.kind.File(), stderr)
			}
		}
	}
	if numeric {
		return rpdb.Names{}
	}
	return n.db.Names()
}

// isByte reports whether a realm may have a name in a file.
func isByte(realm uint16) bool { return 0 < realm && realm <= 255 }

// builtinName reports whether a protocol has a name without a file.
func builtinName(p rpdb.Protocol) bool {
	name := rpdb.Names{}.Protocol(p)
	return name[0] < '0' || name[0] > '9'
}

// load reads the files of one kind, in the order that decides which name
// counts.
func (n *nameFiles) load(file string, stderr io.Writer) {
	if n.loaded[file] {
		return
	}
	if n.loaded == nil {
		n.loaded = map[string]bool{}
	}
	n.loaded[file] = true
	if file == "protocols" {
		if data, err := os.ReadFile(n.path(protocolsFile)); err == nil {
			n.db.AddProtocols(data)
		}
		return
	}
	for _, kind := range rttables.Kinds() {
		if kind.File() == file {
			n.loadKind(kind, stderr)
		}
	}
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
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1) // what could be read counts
	var files []string
	for _, name := range names {
		if rttables.Counts(name) {
			files = append(files, name)
		}
	}
	return files
}

// read adds the names of a file and reports whether it exists.
func (n *nameFiles) read(path string, kind rttables.Kind, stderr io.Writer) bool {
	data, err := os.ReadFile(n.path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	var bad *rttables.LineError
	if err == nil && errors.As(n.db.Add(kind, path, data), &bad) {
		fmt.Fprintf(stderr, "%s\n", bad.CorruptText())
	}
	return true
}
