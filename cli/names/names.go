// Package names reads the files of iproute2 that give names to the numbers of
// tables, protocols, realms, DS fields and interface groups, in the places and
// with the precedence of iproute2 7.1: /etc before /usr/share, and for tables
// and protocols the *.conf files of the .d directories behind. It writes one
// file of its own among them, for tables.
package names

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format/rttables"
)

// The directories of iproute2 below the root. The first one that has a file
// counts.
const (
	etcDir = "etc/iproute2"
	usrDir = "usr/share/iproute2"
)

// netnsDir has directories of network namespaces; what is in one stands in the
// place of its namesake in /etc for programs that ip-netns(8) starts there.
const netnsDir = "etc/netns"

// Files are the name files of a machine, or those that "ip -n NAME" reads. The
// zero value is those of this machine. It may be copied and used concurrently.
type Files struct {
	// Root is the directory that stands for "/", "" for that itself.
	Root string
	// NetNS is the name of a network namespace. If /etc/netns/NAME/iproute2 is
	// there, it takes the place of /etc/iproute2. A path, and a namespace
	// without that directory, have the names of the machine.
	NetNS string
}

// fs returns the file system that the files are in.
func (f Files) fs() fs.FS { return os.DirFS(cmp.Or(f.Root, "/")) }

// own reports whether the namespace has names of its own.
func (f Files) own() bool {
	if !f.hasNetNSName() {
		return false
	}
	info, err := fs.Stat(f.fs(), f.ownDir())
	return err == nil && info.IsDir()
}

// hasNetNSName reports whether a namespace was given by its name.
func (f Files) hasNetNSName() bool {
	return f.NetNS != "" && f.NetNS != "." && f.NetNS != ".." && !strings.Contains(f.NetNS, "/")
}

func (f Files) ownDir() string { return path.Join(netnsDir, f.NetNS, path.Base(etcDir)) }

// etc returns the directory that comes before /usr/share, without the slash in
// front.
func (f Files) etc() string {
	if f.own() {
		return f.ownDir()
	}
	return etcDir
}

// Load reads the names. Files that are not there are no error; what cannot be
// read or understood comes back as the error, joined, beside the names that
// could.
func (f Files) Load() (rpdb.Names, error) {
	r := f.Reader()
	for _, kind := range rttables.Kinds() {
		r.Need(kind)
	}
	return r.names, errors.Join(r.files.errs...)
}

// Reader reads names kind by kind, as they are needed. It is not safe for
// concurrent use; see [Files.Reader].
type Reader struct {
	names rpdb.Names
	files *loader
	read  [rttables.Scopes + 1]bool // by kind
}

// Reader returns a reader that has read nothing.
func (f Files) Reader() *Reader {
	r := &Reader{}
	r.files = f.loader(func(kind rttables.Kind, source string, data []byte) error {
		return rttables.Parse(&r.names, kind, source, data)
	})
	return r
}

// Need reads the names of a kind, as far as they can be, and reports whether it
// did: it does once.
func (r *Reader) Need(kind rttables.Kind) bool {
	if r.read[kind] {
		return false
	}
	r.read[kind] = true
	r.files.kind(kind)
	return true
}

// Names returns the names that were read. They are not to be changed, and those of
// another kind are not in them when it is read.
func (r *Reader) Names() rpdb.Names { return r.names }

// Tables returns every line that names a table, in the order of reading: the
// last one of a number is what listings show. The error is as for [Files.Load].
func (f Files) Tables() ([]rttables.Entry, error) {
	entries, errs := f.tables()
	return entries, errors.Join(errs...)
}

func (f Files) tables() (entries []rttables.Entry, errs []error) {
	l := f.loader(func(kind rttables.Kind, source string, data []byte) error {
		more, err := rttables.Entries(kind, source, data)
		entries = append(entries, more...)
		return err
	})
	l.kind(rttables.Tables)
	return entries, l.errs
}

// loader finds the files that count and gives each to parse.
type loader struct {
	root  fs.FS
	etc   string
	parse func(kind rttables.Kind, source string, data []byte) error
	errs  []error
}

func (f Files) loader(parse func(rttables.Kind, string, []byte) error) *loader {
	return &loader{root: f.fs(), etc: f.etc(), parse: parse}
}

// kind reads all files of a kind.
func (l *loader) kind(kind rttables.Kind) {
	l.file(kind)
	l.directory(kind)
}

// file reads the first of the two places in which the file is.
func (l *loader) file(kind rttables.Kind) {
	if !l.read(path.Join(l.etc, kind.File()), kind) {
		l.read(path.Join(usrDir, kind.File()), kind)
	}
}

// directory reads the .d directory of both places, for kinds that have one; a
// file in /etc hides the one of the same name in /usr/share.
func (l *loader) directory(kind rttables.Kind) {
	dir := kind.Directory()
	if dir == "" {
		return
	}
	own := l.list(path.Join(l.etc, dir))
	for _, file := range l.list(path.Join(usrDir, dir)) {
		if !slices.Contains(own, file) {
			l.read(path.Join(usrDir, dir, file), kind)
		}
	}
	for _, file := range own {
		l.read(path.Join(l.etc, dir, file), kind)
	}
}

// list returns the *.conf files of a directory in order of their names.
func (l *loader) list(dir string) []string {
	entries, err := fs.ReadDir(l.root, dir)
	l.note(err)
	var files []string
	for _, e := range entries {
		if rttables.Counts(e.Name()) {
			files = append(files, e.Name())
		}
	}
	return files
}

// read reports whether the file exists.
func (l *loader) read(name string, kind rttables.Kind) bool {
	data, err := fs.ReadFile(l.root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	l.note(err)
	if err == nil {
		l.note(l.parse(kind, "/"+name, data))
	}
	return true
}

func (l *loader) note(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.errs = append(l.errs, err)
	}
}
