package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Call is one operation on a file of the directory, as [Options].Fault sees it.
type Call struct {
	// Op is "stat", "open", "create", "read", "write", "sync", "close",
	// "rename", "remove", "list" or "sync directory".
	Op   string
	Name string // of the file in the directory
	// Done tells the call after the operation from the one before it.
	Done bool
}

// disk is the directory. Nothing outside it can be reached: it is an [os.Root].
type disk struct {
	root  *os.Root
	path  string // for messages
	fault func(Call) error
}

// do makes one operation, unless the fault before it refuses.
func (d *disk) do(op, name string, f func() error) error {
	if d.fault == nil {
		return f()
	}
	if err := d.fault(Call{Op: op, Name: name}); err != nil {
		return err
	}
	err := f()
	if fault := d.fault(Call{Op: op, Name: name, Done: true}); err == nil {
		err = fault
	}
	return err
}

// maxFile is how long a file may be, in bytes: some hundred thousand rules.
const maxFile = 256 << 20

// read returns what is in a file.
func (d *disk) read(name string) ([]byte, error) {
	f, err := d.open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var data []byte
	err = d.do("read", name, func() (err error) {
		data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
		return err
	})
	if err == nil && len(data) > maxFile {
		err = syscall.EFBIG
	}
	return data, err
}

var errReplaced = errors.New("it was replaced while it was opened")

// open opens a file that is there, and that nobody else can have planted. A
// FIFO is not waited for. Who reads has no lock, so that a writer may replace
// the file meanwhile; then the new one is opened.
func (d *disk) open(name string, flag int) (*os.File, error) {
	for range 9 {
		if f, err := d.openOnce(name, flag); !errors.Is(err, errReplaced) {
			return f, err
		}
	}
	return d.openOnce(name, flag)
}

func (d *disk) openOnce(name string, flag int) (*os.File, error) {
	var before fs.FileInfo
	err := d.do("stat", name, func() (err error) {
		before, err = d.root.Lstat(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := trusted(before, false); err != nil {
		return nil, err
	}
	var f *os.File
	err = d.do("open", name, func() (err error) {
		f, err = d.root.OpenFile(name, flag|syscall.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(before, now) {
		f.Close()
		return nil, errors.Join(errReplaced, err)
	}
	return f, nil
}

// tempSuffix ends the names of files that are not whole yet.
const tempSuffix = ".tmp"

// replace puts a file with new contents in the place of another, in one step
// that is on disk when replace returns. If it fails, either is there.
func (d *disk) replace(name string, data []byte) error {
	temp := name + tempSuffix
	if err := d.remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := d.writeNew(temp, data)
	if err == nil {
		err = d.do("rename", name, func() error { return d.root.Rename(temp, name) })
	}
	if err != nil {
		_ = d.remove(temp) // or the next replace does it
		return err
	}
	return d.sync()
}

// writeNew makes a file and syncs it. After an error of sync what is in it is
// unknown, and it must not be used: a second sync would not tell.
func (d *disk) writeNew(name string, data []byte) error {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	err = d.do("write", name, func() error {
		_, err := f.Write(data) // whole, or an error
		return err
	})
	if err == nil {
		err = d.do("sync", name, f.Sync)
	}
	closed := d.do("close", name, f.Close)
	if err != nil {
		_ = f.Close() // where the fault came before it
		return err
	}
	return closed
}

// fill makes a file anew. What is in it need not last.
func (d *disk) fill(name string, data []byte) error {
	if err := d.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := d.create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	err = d.do("write", name, func() error {
		_, err := f.Write(data)
		return err
	})
	if err != nil {
		_ = d.remove(name)
	}
	return err
}

func (d *disk) create(name string) (f *os.File, err error) {
	err = d.do("create", name, func() (err error) {
		f, err = d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil && f != nil {
		f.Close()
	}
	return f, err
}

func (d *disk) remove(name string) error {
	return d.do("remove", name, func() error { return d.root.Remove(name) })
}

// sync makes renames and removals last.
func (d *disk) sync() error {
	return d.do("sync directory", ".", func() error { return syncDir(d.root, ".") })
}

func syncDir(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// names lists the files of the directory.
func (d *disk) names() (names []string, err error) {
	err = d.do("list", ".", func() error {
		f, err := d.root.Open(".")
		if err != nil {
			return err
		}
		defer f.Close()
		names, err = f.Readdirnames(-1)
		return err
	})
	return names, err
}

// trusted says why a file or directory could be somebody else's work, nil if it
// could not.
func trusted(info fs.FileInfo, dir bool) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode()
	switch {
	case !ok:
		return errors.New("its owner cannot be told")
	case dir && !mode.IsDir():
		return fmt.Errorf("it is %s, not a directory", kindOf(mode))
	case !dir && !mode.IsRegular():
		return fmt.Errorf("it is %s, not a file", kindOf(mode))
	case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to user %d, neither to root nor to user %d, who asks", stat.Uid, os.Geteuid())
	case mode.Perm()&0o022 != 0:
		return fmt.Errorf("others can write to it: its mode is %04o", mode.Perm())
	case !dir && stat.Nlink > 1:
		return fmt.Errorf("it has %d names: somebody linked it", stat.Nlink)
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	}
	return "something special"
}
