package journal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// watchFile is locked by those who watch the namespace. It is never removed, as
// the file of [Journal.Lock].
const watchFile = "watching"

// Watch tells others, until the caller closes what it returns or ends, that it
// watches the namespace and repairs it. Several may.
func (j *Journal) Watch() (io.Closer, error) {
	f, err := j.openOrCreate(watchFile)
	if err == nil {
		// Whoever asks at this moment has it for a moment only.
		for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
			err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
		}
		if err == nil {
			return f, nil
		}
		f.Close()
	}
	return nil, &Error{Op: "lock", Path: filepath.Join(j.path, watchFile), Err: cause(err)}
}

// Watched reports whether somebody watches the namespace, and repairs it with each
// change.
func (j *Journal) Watched() bool {
	if j.disk == nil {
		return false
	}
	f, err := j.disk.open(watchFile, os.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
