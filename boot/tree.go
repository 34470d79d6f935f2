package boot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Tree is the root directory of a host. Nothing outside it can be reached. Its
// methods must not be called at once, and two processes must not change the same
// tree at once: what calls them has a lock.
type Tree struct {
	root *os.Root
	path string
}

// OpenTree opens the directory that stands for "/". The caller closes it.
func OpenTree(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &Error{"open", dir, cause(err)}
	}
	return &Tree{root: root, path: dir}, nil
}

// Close gives the directory back.
func (t *Tree) Close() error { return t.root.Close() }

// Error is a file or folder that cannot be used, or what failed with it. It
// unwraps to the cause.
type Error struct {
	Op   string // "open", "read", "write", "remove", "use"
	Path string
	Err  error
}

// Error says what was tried with which file, and why it was not done.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what can be done about it, "" where the cause says it all.
func (e *Error) Hint() string {
	if errors.Is(e.Err, fs.ErrPermission) {
		return "this needs more rights: run it as root"
	}
	return ""
}

func (t *Tree) error(op, p string, err error) error {
	return &Error{op, filepath.Join(t.path, p), cause(err)}
}

// cause returns what is inside an error of package os, whose own text repeats
// the name of the file.
func cause(err error) error {
	var file *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &file):
		return file.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// below is a path as os.Root takes it.
func below(p string) string { return strings.TrimPrefix(path.Clean(p), "/") }

func (t *Tree) has(name string) bool {
	_, err := t.root.Lstat(name)
	return err == nil
}

// maxFile is how long a file may be that is compared, in bytes.
const maxFile = 16 << 20

// found is what is there under a name; the zero value is nothing.
type found struct {
	there bool
	text  string
	link  string
	mode  fs.FileMode
}

// sum is what a record knows a file by.
func (f found) sum() string {
	kind, text := fmt.Sprintf("file %04o\n", f.mode.Perm()), f.text
	if f.link != "" {
		kind, text = "link\n", f.link
	}
	sum := sha256.Sum256([]byte(kind + text))
	return hex.EncodeToString(sum[:])
}

// made is a file as it is when it was just written.
func (f File) made() found { return found{there: true, text: f.Text, link: f.Link, mode: f.Mode} }

// look reads what is there. The folders on the way must not be somebody else's.
func (t *Tree) look(p string) (found, error) {
	if _, err := t.folders(path.Dir(p)); err != nil {
		return found{}, err
	}
	name := below(p)
	info, err := t.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found{}, nil
	case err != nil:
		return found{}, t.error("read", p, err)
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := t.root.Readlink(name)
		if err != nil {
			return found{}, t.error("read", p, err)
		}
		return found{there: true, link: link}, nil
	case !info.Mode().IsRegular():
		return found{}, t.error("use", p, errors.New("it is neither a file nor a link"))
	}
	text, err := t.read(name)
	if err != nil {
		return found{}, t.error("read", p, err)
	}
	return found{there: true, text: text, mode: info.Mode()}, nil
}

func (t *Tree) read(name string) (string, error) {
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = syscall.EFBIG
	}
	return string(data), err
}

// folders checks the folders down to a path, and returns those that are missing:
// a link, or a folder that others can write to, could lead what is written
// astray.
func (t *Tree) folders(dir string) (missing []string, err error) {
	p := ""
	for part := range strings.SplitSeq(below(dir), "/") {
		p = path.Join(p, part)
		info, err := t.root.Lstat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, "/"+p)
			continue
		case err == nil:
			err = trusted(info)
		}
		if err != nil {
			return nil, t.error("use", p, err)
		}
	}
	return missing, nil
}

// trusted says why a folder could be somebody else's work, nil if it could not.
func trusted(info fs.FileInfo) error {
	if info.Mode()&fs.ModeSymlink != 0 {
		return errors.New("it is a symbolic link, and not followed")
	}
	if !info.IsDir() {
		return errors.New("it is not a folder")
	}
	return owned(info, 0o022)
}

// owned says why somebody else than root can write to a file or folder, by the
// bits of its mode that count, nil if nobody can.
func owned(info fs.FileInfo, others fs.FileMode) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return errors.New("its owner cannot be told")
	case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to user %d, not to root", stat.Uid)
	case info.Mode().Perm()&others != 0:
		return fmt.Errorf("others can write to it: its mode is %04o", info.Mode().Perm())
	}
	return nil
}

// write puts a file, or a link, in the place of another in one step, on disk
// when it returns. The folder must be there.
func (t *Tree) write(p string, f found) error {
	name := below(p)
	temp := path.Join(path.Dir(name), "."+path.Base(name)+".rpdb-new")
	err := t.root.Remove(temp)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = t.create(temp, f)
	}
	if err == nil {
		err = t.root.Rename(temp, name)
	}
	if err == nil {
		err = t.sync(path.Dir(name))
	}
	if err != nil {
		_ = t.root.Remove(temp) // or the next write does
		return t.error("write", p, err)
	}
	return nil
}

func (t *Tree) create(name string, f found) error {
	if f.link != "" {
		return t.root.Symlink(f.link, name)
	}
	file, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(f.text)
	if err == nil {
		err = file.Chmod(f.mode.Perm())
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (t *Tree) remove(p string) error {
	name := below(p)
	err := t.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = t.sync(path.Dir(name))
	}
	if err != nil {
		return t.error("remove", p, err)
	}
	return nil
}

// sync makes renames and removals in a folder last.
func (t *Tree) sync(dir string) error {
	f, err := t.root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
