package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockPoll is how often a waiting writer tries again.
const lockPoll = 20 * time.Millisecond

// Lock makes the caller the only writer until it calls unlock. If another
// process has the lock, it waits so long for it, 0 for not at all, and returns a
// [*LockedError] that names the other. The lock is the kernel's (flock): it ends
// with the process that has it, however that ends, so there is no stale one.
func (j *Journal) Lock(ctx context.Context, wait time.Duration) (unlock func(), err error) {
	f, err := j.openOrCreate(lockFile)
	if err != nil {
		return nil, &Error{Op: "lock", Path: filepath.Join(j.path, lockFile), Err: cause(err)}
	}
	var waited time.Duration
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, &Error{Op: "lock", Path: filepath.Join(j.path, lockFile), Err: err}
		}
		if onlyAsked(f) {
			continue
		}
		if waited >= wait {
			pid := holder(f)
			f.Close()
			return nil, &LockedError{PID: pid}
		}
		select {
		case <-ctx.Done():
			by := holder(f)
			f.Close()
			return nil, fmt.Errorf("%v: %w", &LockedError{PID: by}, context.Cause(ctx)) // no hint to wait
		case <-time.After(lockPoll):
			waited += lockPoll
		}
	}
	// For others to read; that it cannot be written is no reason to stop.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return func() { f.Close() }, nil
}

// onlyAsked reports whether nobody has the lock any more, or who does only asks
// whether somebody has it, see [Journal.Locked].
func onlyAsked(f *os.File) bool {
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		return false
	}
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	time.Sleep(time.Millisecond) // it has it for a moment only
	return true
}

// Locked names the process that has the lock; nil if none has, or that cannot be told.
func (j *Journal) Locked() *LockedError {
	if j.disk == nil {
		return nil
	}
	f, err := j.disk.open(lockFile, os.O_RDONLY)
	if err != nil {
		return nil
	}
	defer f.Close()
	if !errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return nil
	}
	return &LockedError{PID: holder(f)}
}

// openOrCreate opens a file that is locked. It is never removed: whoever waits for
// a file that is gone would wait beside those who lock the new one.
func (j *Journal) openOrCreate(name string) (*os.File, error) {
	for {
		f, err := j.disk.open(name, os.O_RDWR)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		f, err = j.disk.create(name)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// holder reads who has the lock.
func holder(f *os.File) int {
	data := make([]byte, 32)
	n, _ := f.ReadAt(data, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data[:n])))
	return pid
}
