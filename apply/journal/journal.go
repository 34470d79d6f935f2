package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The files of the directory.
const (
	stateFile    = "journal"
	previousFile = "journal.previous"
	reserveFile  = "reserve"
	lockFile     = "lock"
	logFile      = "guard.log"
	bodyPrefix   = "generation-"
)

// Options say how a journal is opened. The zero value opens one to write to.
type Options struct {
	// ReadOnly leaves the directory as it is: one that is not there is an empty
	// journal.
	ReadOnly bool
	// Fault, if not nil, is called before and after each operation on a file of
	// the directory; an error before it stands for that of the operation, which
	// is then not made. Tests fail and stop the program there.
	Fault func(Call) error
}

// Journal is the state directory of one network namespace. Its methods must not
// be called at once; several processes may have the same directory open. The
// zero value is not ready: see [Open].
type Journal struct {
	disk *disk
	path string
	// settled is the record on disk if nothing is on trial there, which the next
	// Write keeps as journal.previous.
	settled []byte
}

// Open opens a directory, and makes it unless it is there. Below it may name one
// inside, as in "netns/blue"; it is made too, and both are checked: they must
// belong to root or to the caller, and nobody else may write to them.
func Open(dir, below string, o Options) (*Journal, error) {
	path := filepath.Join(dir, below)
	root, err := openRoot(dir, below, !o.ReadOnly)
	switch {
	case o.ReadOnly && errors.Is(err, fs.ErrNotExist):
		return &Journal{path: path}, nil
	case err != nil:
		var e *Error
		if errors.As(err, &e) {
			return nil, err
		}
		return nil, useError(path, cause(err))
	}
	return &Journal{disk: &disk{root: root, path: path, fault: o.Fault}, path: path}, nil
}

func useError(path string, err error) error {
	return &Error{Op: "use state directory", Path: path, Err: err, hint: "nothing was changed; another directory can be named with --state-dir"}
}

// openRoot opens the directory and the one below it.
func openRoot(dir, below string, create bool) (*os.Root, error) {
	if create {
		if err := makeDir(dir); err != nil {
			return nil, err
		}
	}
	info, err := os.Lstat(dir)
	if err == nil {
		err = trustedAt(dir, info)
	}
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if now, err := root.Stat("."); err != nil || !os.SameFile(info, now) {
		root.Close()
		return nil, useError(dir, errors.Join(errors.New("it was replaced while it was opened"), err))
	}
	for name := range strings.SplitSeq(below, "/") {
		if name == "" {
			continue
		}
		dir = filepath.Join(dir, name)
		inner, err := openBelow(root, name, dir, create)
		root.Close()
		if err != nil {
			return nil, err
		}
		root = inner
	}
	return root, nil
}

func openBelow(root *os.Root, name, path string, create bool) (*os.Root, error) {
	if create {
		err := root.Mkdir(name, 0o700)
		if err == nil {
			err = syncDir(root, ".")
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	info, err := root.Lstat(name)
	if err == nil {
		err = trustedAt(path, info)
	}
	if err != nil {
		return nil, err
	}
	return root.OpenRoot(name)
}

func trustedAt(path string, info fs.FileInfo) error {
	if err := trusted(info, true); err != nil {
		return useError(path, err)
	}
	return nil
}

// makeDir makes a directory and those above it, each on disk at once.
func makeDir(dir string) error {
	if _, err := os.Lstat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Path is the directory, for messages.
func (j *Journal) Path() string { return j.path }

// Close gives the directory back.
func (j *Journal) Close() error {
	if j.disk == nil {
		return nil
	}
	return j.disk.root.Close()
}

// Read returns the record. If there is none that is the zero State, but for Next
// where files of generations are left: their numbers are not given again. A
// record that is damaged, or of another version, is an [*Error] that says what
// can be done.
func (j *Journal) Read() (State, error) {
	if j.disk == nil {
		return State{}, nil
	}
	data, err := j.disk.read(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		j.settled = nil
		return j.lost()
	}
	var s State
	if err == nil {
		_, err = decode(data, kindState, &s)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return State{}, j.readError(stateFile, err)
	}
	j.remember(s, data)
	return s, nil
}

// lost is the State where there is no record, or none any more.
func (j *Journal) lost() (s State, err error) {
	names, err := j.disk.names()
	switch {
	case errors.Is(err, fs.ErrNotExist): // nor a directory
		return s, nil
	case err != nil:
		return s, j.readError(stateFile, err)
	}
	for _, name := range names {
		if id, ok := bodyID(strings.TrimSuffix(name, tempSuffix)); ok {
			s.Next = max(s.Next, id)
		}
	}
	return s, nil
}

func (j *Journal) remember(s State, data []byte) {
	j.settled = data
	if s.Pending != nil {
		j.settled = nil
	}
}

// check says why the parts of a record do not fit together.
func (s State) check() error {
	if p := s.Pending; p != nil && !slices.Contains([]Phase{Writing, Waiting, Returning}, p.Phase) {
		return fmt.Errorf("%w: phase %q is unknown", errOther, p.Phase)
	}
	last, trial, confirmed := uint64(0), 0, 0
	for _, e := range s.Generations {
		if e.ID <= last || e.ID > s.Next {
			return errDamaged
		}
		last = e.ID
		switch e.Status {
		case Trial:
			trial++
			if s.Pending == nil || s.Pending.ID != e.ID {
				return errDamaged
			}
		case Confirmed:
			confirmed++
		case RolledBack, Superseded:
		default:
			return fmt.Errorf("%w: status %q is unknown", errOther, e.Status)
		}
	}
	if confirmed > 1 || (trial == 1) != (s.Pending != nil) {
		return errDamaged
	}
	return nil
}

func (j *Journal) readError(name string, err error) error {
	e := &Error{Op: "read", Path: filepath.Join(j.path, name), Err: cause(err)}
	switch {
	case errors.Is(err, errOther):
		e.hint = "nothing was changed; use the newer rpdb that wrote it"
	case errors.Is(err, errDamaged) && name == stateFile && !j.hasPrevious():
		e.hint = fmt.Sprintf("nothing was changed; there is no record before it; to begin anew with what is in the kernel: mv %s %s.damaged", e.Path, e.Path)
	case errors.Is(err, errDamaged) && name == stateFile:
		e.hint = fmt.Sprintf("nothing was changed; %s beside it is the record before, and takes its place with: mv %s %s",
			previousFile, filepath.Join(j.path, previousFile), filepath.Join(j.path, stateFile))
	case errors.Is(err, errDamaged):
		e.hint = fmt.Sprintf("nothing was changed; apply a policy instead of this generation, and if it is the one to go back to, first: mv %s %s",
			filepath.Join(j.path, previousFile), filepath.Join(j.path, stateFile))
	}
	return e
}

func (j *Journal) hasPrevious() bool {
	_, err := j.disk.root.Lstat(previousFile)
	return err == nil
}

func (j *Journal) writeError(name string, err error) error {
	return &Error{Op: "write", Path: filepath.Join(j.path, name), Err: cause(err)}
}

// Write replaces the record, and keeps the one before beside it unless that has
// a generation on trial: what is kept is the last one that was settled. It must
// be called under [Journal.Lock], with what was made of the State that Read
// returned.
//
// As long as a generation is on trial, the room is kept on the disk that its next
// record will need, so that a full disk is an error before anything is changed.
func (j *Journal) Write(s State) error {
	s.Generations = append([]Entry{}, s.Generations...) // never null
	data, _, err := encode(kindState, s)
	if err != nil {
		return j.writeError(stateFile, err)
	}
	if s.Pending != nil && s.Pending.Phase == Writing {
		if err := j.reserve(data); err != nil {
			return j.writeError(reserveFile, err)
		}
	} else {
		_ = j.disk.remove(reserveFile) // most often there is none
	}
	name, err := previousFile, error(nil)
	if j.settled != nil {
		err = j.disk.replace(previousFile, j.settled)
	}
	if err == nil {
		name, err = stateFile, j.disk.replace(stateFile, data)
	}
	if err != nil {
		_ = j.disk.remove(reserveFile)
		return j.writeError(name, err)
	}
	if s.Pending != nil && s.Pending.Phase != Writing {
		_ = j.reserve(data) // in the room of the record before
	}
	j.remember(s, data)
	return nil
}

// spare is how many bytes more than the one before it a record may have: what
// ended a trial is told in it.
const spare = 4 << 10

// reserve takes room for one more record like data.
func (j *Journal) reserve(data []byte) error {
	return j.disk.fill(reserveFile, make([]byte, len(data)+spare))
}

// WriteBody stores the unchanging part of a generation, and returns the
// checksum for its [Entry].
func (j *Journal) WriteBody(id uint64, b Body) (sum string, err error) {
	name := bodyName(id)
	data, sum, err := encode(kindBody, b)
	if err == nil {
		err = j.disk.replace(name, data)
	}
	if err != nil {
		return "", j.writeError(name, err)
	}
	return sum, nil
}

// Body returns the unchanging part of a generation.
func (j *Journal) Body(e Entry) (Body, error) {
	name := bodyName(e.ID)
	if j.disk == nil {
		return Body{}, j.readError(name, fs.ErrNotExist)
	}
	data, err := j.disk.read(name)
	if err != nil {
		return Body{}, j.readError(name, err)
	}
	var b Body
	sum, err := decode(data, kindBody, &b)
	if err == nil && sum != e.BodyHash {
		err = errDamaged
	}
	if err != nil {
		return Body{}, j.readError(name, err)
	}
	return b, nil
}

// Prune removes what the record does not need: the files of generations that it
// does not hold, unless it is none that was ever written, and what was left half
// written. It must be called under
// [Journal.Lock]. What cannot be removed does no harm, and is left to the next
// time.
func (j *Journal) Prune(s State) {
	names, err := j.disk.names()
	if err != nil {
		return
	}
	for _, name := range names {
		whole := strings.TrimSuffix(name, tempSuffix)
		id, isBody := bodyID(whole)
		_, held := s.Find(id)
		half := whole != name && (isBody || whole == stateFile || whole == previousFile || whole == seenFile)
		gone := isBody && !held && len(s.Generations) > 0
		if half || gone || name == reserveFile && s.Pending == nil {
			_ = j.disk.remove(name)
		}
	}
}

// Log returns an empty file for what a guard has to say; the caller closes it. It
// is locked as long as anybody has it open.
func (j *Journal) Log() (*os.File, error) {
	err := j.disk.remove(logFile)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		var f *os.File
		if f, err = j.disk.create(logFile); err == nil {
			// Whoever asks at this moment has it for a moment only.
			for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
				err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			}
			if err == nil {
				return f, nil
			}
			f.Close()
		}
	}
	return nil, j.writeError(logFile, err)
}

// Logging reports whether a guard lives that has the file of [Journal.Log] open:
// the last one that was started here.
func (j *Journal) Logging() bool {
	if j.disk == nil {
		return false
	}
	f, err := j.disk.open(logFile, os.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

func bodyName(id uint64) string { return bodyPrefix + strconv.FormatUint(id, 10) }

// bodyID is the generation whose file has a name.
func bodyID(name string) (uint64, bool) {
	number, ok := strings.CutPrefix(name, bodyPrefix)
	id, err := strconv.ParseUint(number, 10, 64)
	return id, ok && err == nil
}
