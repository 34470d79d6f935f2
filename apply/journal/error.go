package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

var (
	errDamaged = errors.New("damaged: the checksum does not fit")
	errOther   = errors.New("written by another version of rpdb")
)

// Error is a state directory, or a file in it, that cannot be used or was not
// stored. It unwraps to the cause.
type Error struct {
	Op   string // what was tried: "read", "write", "lock", "use"
	Path string
	Err  error
	hint string
}

// Error says what was tried with which file, and why it was not done.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what can be done about it, "" where the cause says it all.
func (e *Error) Hint() string { return e.hint }

// Damaged reports whether an error says that a file is not what this program
// wrote, or what no version wrote.
func Damaged(err error) bool { return errors.Is(err, errDamaged) || errors.Is(err, errOther) }

// LockedError says that another process is changing the same namespace.
type LockedError struct {
	PID int // of the other process, 0 if it has not said so yet
}

// Error names the other process.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return "another rpdb is changing this namespace"
	}
	return fmt.Sprintf("another rpdb is changing this namespace: process %d", e.PID)
}

// Hint says how to wait for it.
func (e *LockedError) Hint() string { return "wait for it with --wait 30s" }

// cause returns what is inside an error of package os, whose own text repeats
// the name of the file.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
