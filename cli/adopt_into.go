package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"rpdb"
	"rpdb/policy"
)

// intoFile is what became of the file that rules and tables were adopted into.
type intoFile struct {
	File string `json:"file"`
	// Written is whether anything in it is new.
	Written bool           `json:"written"`
	Tables  []rpdb.TableID `json:"tables"`
	Rules   []rpdb.Rule    `json:"rules"`
	// Present are the rules that it had already.
	Present []rpdb.Rule `json:"present"`
}

// adoptInto adds an adoption to a policy file, or writes it.
func (a *app) adoptInto(name string, s *rpdb.Snapshot, adoption policy.Adoption) error {
	data, info, err := readForChange(name)
	if err != nil {
		return err
	}
	var m policy.Merged
	if info != nil {
		m, err = policy.AdoptInto(safe(name), data, s, a.loadNames(), adoption)
	} else if len(adoption.Rules)+len(adoption.Tables) > 0 {
		m.Tables, m.Rules = adoption.Tables, adoption.Rules
		m.Text, err = policy.Adopt(s, a.loadNames(), adoption)
	}
	if err != nil {
		return a.viewLost(err, adoption, safe(name)+" stays as it is")
	}
	changed := len(m.Rules)+len(m.Tables) > 0
	if changed {
		if err := writeLike(name, info, m.Text); err != nil {
			return err
		}
	}
	if a.json {
		doc := newAdopted(m.Text, adoption)
		doc.Into = &intoFile{File: name, Written: changed, Tables: list(m.Tables), Rules: list(m.Rules), Present: list(m.Present)}
		return a.printJSON(doc)
	}
	return a.viewInto(safe(name), info != nil, m, adoption)
}

// readForChange reads a policy file that is to be changed. The information is nil
// if there is none.
func readForChange(name string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // whoever opens a pipe waits otherwise
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("read %s: it is no regular file", safe(name))
	}
	if err != nil {
		return nil, nil, err
	}
	data, err := readBounded(f, name, maxPolicy)
	return data, info, err
}

// writeLike replaces a file, with the mode and owner that it had, or writes one
// that everybody may read. A link stays one, be the file that it leads to there or not.
func writeLike(name string, had fs.FileInfo, text string) error {
	return replaceFile(endOfLinks(name), func(f *os.File) error {
		mode := fs.FileMode(0o644)
		if had != nil {
			mode = had.Mode().Perm()
			was, ok := had.Sys().(*syscall.Stat_t)
			if ok && (int(was.Uid) != os.Geteuid() || int(was.Gid) != os.Getegid()) {
				if err := f.Chown(int(was.Uid), int(was.Gid)); err != nil {
					return fmt.Errorf("keep its owner: %w", causeOf(err))
				}
			}
		}
		if err := f.Chmod(mode); err != nil {
			return err
		}
		_, err := f.WriteString(text)
		return err
	})
}

// endOfLinks returns the file that a name stands for, which need not be there. Links
// in a circle have been refused by who opened it.
func endOfLinks(name string) string {
	for range 40 { // as many as the kernel follows
		folder, err := filepath.EvalSymlinks(filepath.Dir(name))
		if err != nil {
			return name
		}
		name = filepath.Join(folder, filepath.Base(name))
		target, err := os.Readlink(name)
		switch {
		case err != nil:
			return name
		case filepath.IsAbs(target):
			name = target
		default:
			name = filepath.Join(folder, target)
		}
	}
	return name
}

// viewInto says in a line what became of the file.
func (a *app) viewInto(name string, there bool, m policy.Merged, adoption policy.Adoption) error {
	count := func(n int, one, many string) string { return fmt.Sprintf("%d %s", n, plural(n, one, many)) }
	what := count(len(m.Rules), "rule", "rules") + " and " + count(len(m.Tables), "table", "tables")
	has := ""
	if len(m.Present) > 0 {
		has = "; it had " + count(len(m.Present), "rule", "rules") + " already"
	}
	w := newPrinter(a.Out)
	switch {
	case !there && m.Text == "":
		w.wrap(name + ": not written, as there is nothing to take")
	case !there:
		w.wrap(name + ": written, with " + what)
	case len(m.Rules)+len(m.Tables) > 0:
		w.wrap(name + ": added " + what + has)
	case has != "":
		w.wrap(name + ": unchanged" + has)
	default:
		w.wrap(name + ": unchanged, as there is nothing to take")
	}
	noteLeft(newPrinter(a.Err), adoption.Left, "rpdb adopt lists them")
	return w.err
}
