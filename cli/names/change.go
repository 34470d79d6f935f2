package names

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/format/rttables"
)

// dropIn is the file of ours among those that name tables.
const dropIn = "rpdb.conf"

// header begins a new file.
const header = "# Names of routing tables, see rpdb-table(8). \"rpdb table name\" adds lines to\n# this file, and leaves those that are here alone.\n"

// DropIn returns the path of the file that names are written to.
func (f Files) DropIn() string { return "/" + f.dropIn() }

func (f Files) dropIn() string { return path.Join(f.etc(), rttables.Tables.Directory(), dropIn) }

// SharedError is a change of names asked for one network namespace that has
// none of its own.
type SharedError struct {
	NetNS string
	Dir   string // where they would be, "" for a namespace without a name
}

// Error says whose names they are.
func (e *SharedError) Error() string {
	if e.Dir == "" {
		return fmt.Sprintf("network namespace %q has the names of the machine", e.NetNS)
	}
	return fmt.Sprintf("network namespace %q has the names of the machine, as %s is not there", e.NetNS, e.Dir)
}

// Hint says how it is done.
func (e *SharedError) Hint() string { return "without --netns it is done for the whole machine" }

// NameTable gives a table a name, in [Files.DropIn], and does nothing if it has
// that name already. What it refuses, and why, is told by [rttables.NameError].
// Readers see the file as it was or as it is afterwards, also after a crash;
// several calls at once wait for each other.
func (f Files) NameTable(ctx context.Context, t rpdb.TableID, name string) error {
	err := f.change(ctx, func(d rttables.DropIn) ([]byte, error) { return d.Name(t, name) })
	return wrap(fmt.Sprintf("name table %d %q", t, name), err)
}

// UnnameTable takes a name away that [Files.DropIn] gives, or those of the
// table with that number. It is as careful as [Files.NameTable].
func (f Files) UnnameTable(ctx context.Context, word string) error {
	err := f.change(ctx, func(d rttables.DropIn) ([]byte, error) { return d.Unname(word) })
	return wrap(fmt.Sprintf("unname table %q", word), err)
}

// wrap says what was tried, unless the error says so itself.
func wrap(what string, err error) error {
	switch {
	case err == nil, errors.As(err, new(*rttables.NameError)), errors.As(err, new(*rttables.UnknownNameError)):
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// change replaces the text of our file.
func (f Files) change(ctx context.Context, edit func(rttables.DropIn) ([]byte, error)) error {
	if f.NetNS != "" && !f.own() {
		shared := &SharedError{NetNS: f.NetNS}
		if f.hasNetNSName() {
			shared.Dir = "/" + f.ownDir()
		}
		return shared
	}
	// To find that nothing is to be done, or may be, takes no rights.
	if _, changed, err := f.edited(edit); err != nil || !changed {
		return err
	}
	dir := filepath.Join("/", f.Root, path.Dir(f.dropIn()))
	if err := makeDir(dir); err != nil {
		return err
	}
	held, err := lock(ctx, dir)
	if err != nil {
		return err
	}
	defer held.Close()
	text, changed, err := f.edited(edit)
	if err != nil || !changed {
		return err
	}
	return replace(held, text)
}

// edited reads all files, and returns what ours should hold and whether that is
// something else than it does.
func (f Files) edited(edit func(rttables.DropIn) ([]byte, error)) (text []byte, changed bool, err error) {
	d := rttables.DropIn{Source: f.DropIn()}
	var errs []error
	d.All, errs = f.tables()
	for _, err := range errs {
		// A line that cannot be read hides the rest of its file from ip too.
		if !errors.As(err, new(*rttables.LineError)) {
			return nil, false, err
		}
	}
	if d.Text, err = f.readDropIn(); err != nil {
		return nil, false, err
	}
	text, err = edit(d)
	return text, !bytes.Equal(text, d.Text), err
}

// readDropIn returns what our file holds. The first time it would hide a
// namesake in /usr/share, and so begins with what that holds.
func (f Files) readDropIn() ([]byte, error) {
	file := filepath.Join("/", f.Root, f.dropIn())
	switch info, err := os.Lstat(file); {
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file, and only such a one is replaced", f.DropIn())
	case err == nil:
		return os.ReadFile(file)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	text, err := fs.ReadFile(f.fs(), path.Join(usrDir, rttables.Tables.Directory(), dropIn))
	if errors.Is(err, fs.ErrNotExist) {
		return []byte(header), nil
	}
	return text, err
}

// makeDir makes a directory, and those that it is in, for everybody to read
// whatever the umask is.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return nil // somebody else was faster
	} else if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	p, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(p.Sync(), p.Close())
}

// Somebody who holds the lock is done within milliseconds.
const (
	lockTime = 10 * time.Second
	lockPoll = 5 * time.Millisecond
)

// lock locks a directory until it is closed. The lock is on the directory
// itself, so that no further file is needed.
func lock(ctx context.Context, dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lockTime, errors.New("somebody else has had it locked for too long"))
	defer cancel()
	for {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			d.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		select {
		case <-ctx.Done():
			d.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, context.Cause(ctx))
		case <-time.After(lockPoll):
		}
	}
}

// replace writes our file into a locked directory: under another name first,
// which no reader takes for one of the files, and on the disk before it takes
// the place of what was there.
func replace(dir *os.File, text []byte) error {
	file := filepath.Join(dir.Name(), dropIn)
	temporary := filepath.Join(dir.Name(), "."+dropIn+".new")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // what a crash left
	}
	if err := write(temporary, text); err != nil {
		_ = os.Remove(temporary) // it may be there or not
		return err
	}
	if err := os.Rename(temporary, file); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return dir.Sync()
}

// write makes a file that everybody may read, and waits until the disk has it.
func write(file string, text []byte) error {
	w, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	if err == nil {
		err = w.Chmod(0o644) // whatever the umask is
	}
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}
