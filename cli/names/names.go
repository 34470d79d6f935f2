// Package names reads the files of iproute2 that give names to the numbers of
// tables, protocols, realms, DS fields and interface groups, in the places and
// with the precedence of iproute2 7.1: /etc before /usr/share, and for tables
// and protocols the *.conf files of the .d directories behind.
package names

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"

	"rpdb"
	"rpdb/format/rttables"
)

// The directories of iproute2. The first one that has a file counts.
const (
	etcDir = "etc/iproute2"
	usrDir = "usr/share/iproute2"
)

// Load reads the names of the machine. Files that are not there are no error;
// what cannot be read or understood comes back as the error, joined, beside
// the names that could.
func Load() (rpdb.Names, error) { return LoadFS(os.DirFS("/")) }

// LoadFS is Load below another root.
func LoadFS(root fs.FS) (rpdb.Names, error) {
	l := loader{root: root}
	for _, kind := range rttables.Kinds() {
		l.file(kind)
		l.directory(kind)
	}
	return l.names, errors.Join(l.errs...)
}

type loader struct {
	root  fs.FS
	names rpdb.Names
	errs  []error
}

// file reads the first of the two places in which the file is.
func (l *loader) file(kind rttables.Kind) {
	if !l.read(path.Join(etcDir, kind.File()), kind) {
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
	own := l.list(path.Join(etcDir, dir))
	for _, file := range l.list(path.Join(usrDir, dir)) {
		if !slices.Contains(own, file) {
			l.read(path.Join(usrDir, dir, file), kind)
		}
	}
	for _, file := range own {
		l.read(path.Join(etcDir, dir, file), kind)
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
		l.note(rttables.Parse(&l.names, kind, "/"+name, data))
	}
	return true
}

func (l *loader) note(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.errs = append(l.errs, err)
	}
}
