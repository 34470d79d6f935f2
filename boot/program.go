package boot

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// ProgramError says why a program cannot be called at boot.
type ProgramError struct {
	Path string
	Err  error
}

// Error names the program and the reason.
func (e *ProgramError) Error() string {
	return fmt.Sprintf("%s cannot be started at boot: %v", e.Path, e.Err)
}

// Unwrap returns the reason.
func (e *ProgramError) Unwrap() error { return e.Err }

// Hint says how to get one that can.
func (e *ProgramError) Hint() string {
	return "install it, as with \"install -m 755 rpdb /usr/local/sbin/\", and call that one; or name it with --program"
}

// isPlain reports whether units and shells read a path as it is.
func isPlain(p string) bool {
	return regexp.MustCompile(`^(/[A-Za-z0-9._+-]+)+$`).MatchString(p) // not made when the program starts
}

// CheckProgram checks that a program, an absolute path in the tree, will be there
// at boot, and that nobody but root can put another in its place.
func (t *Tree) CheckProgram(p string) error {
	if err := t.checkProgram(p); err != nil {
		return &ProgramError{p, err}
	}
	return nil
}

func (t *Tree) checkProgram(p string) error {
	if !isPlain(p) || path.Clean(p) != p {
		return errors.New("its path must be absolute, and of letters, digits and ._+- only")
	}
	// Either gone after a boot, or hidden from services.
	for _, dir := range []string{"/tmp", "/var/tmp", "/run", "/var/run", "/dev", "/proc", "/sys", "/home", "/root"} {
		if strings.HasPrefix(p, dir+"/") {
			return fmt.Errorf("what is in %s may be gone or hidden then", dir)
		}
	}
	name := below(p)
	info, err := t.root.Stat(name)
	switch {
	case err != nil:
		return cause(err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return errors.New("it is no file that can be run")
	}
	if err := owned(info, 0o002); err != nil { // a group is the administrator's business: /usr/local may have one
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		info, err := t.root.Stat(dir)
		if err == nil {
			err = owned(info, 0o002)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", dir, cause(err))
		}
	}
	return nil
}

// Calls reports whether a line of a file calls a program to repair, as the
// administrator has added it where [RCLocalLine] says so.
func (t *Tree) Calls(p, program string) bool {
	have, err := t.look(p)
	return err == nil && slices.ContainsFunc(strings.Split(have.text, "\n"), func(line string) bool {
		return !strings.HasPrefix(strings.TrimSpace(line), "#") && strings.Contains(line, program+" repair")
	})
}
