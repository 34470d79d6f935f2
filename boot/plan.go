package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Verb is what becomes of a file. The zero value is none.
type Verb string

// What is to be done with a file, or why nothing is.
const (
	Write   Verb = "write"
	Replace Verb = "replace" // one that was installed before, and is as it was
	Remove  Verb = "remove"
	Keep    Verb = "keep"  // it is there already
	Leave   Verb = "leave" // somebody edited it, or it is somebody else's: see Why
)

// Step is one file of a [Plan].
type Step struct {
	File
	Do Verb
	// Why says in a clause why a file is left.
	Why string

	before found
}

// Plan is what [Tree.Plan] has found out; [Plan.Do] does it.
type Plan struct {
	Steps []Step

	tree      *Tree
	old, next record
	made      []string // folders to be made
}

// Plan compares the files that are to be there with those that are. What was
// installed before and is not wanted any more is to be removed, as is whatever of
// known is there to the letter, if the record of it was lost. A file of somebody
// else in the place of a wanted one is an error, unless that Yields. Nothing is
// changed.
func (t *Tree) Plan(want, known []File) (*Plan, error) {
	p := &Plan{tree: t}
	var err error
	if p.old, err = t.readRecord(); err != nil {
		return nil, err
	}
	var errs []error
	for _, f := range want {
		if err := p.want(f); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	wanted := Paths(want)
	for _, e := range p.old.Files {
		known = append(known, File{Path: e.Path})
	}
	for _, f := range known {
		if slices.Contains(wanted, f.Path) {
			continue
		}
		wanted = append(wanted, f.Path)
		if err := p.drop(f); err != nil {
			errs = append(errs, err)
		}
	}
	p.next.Folders = append(slices.Clone(p.old.Folders), p.made...)
	return p, errors.Join(errs...)
}

// want plans one file that is to be there.
func (p *Plan) want(f File) error {
	have, err := p.tree.look(f.Path)
	if err != nil {
		return err
	}
	step := Step{File: f, Do: Write, before: have}
	ours := p.old.has(entry{f.Path, have.sum()})
	recognised := f.Link != "" || strings.Contains(f.Text, Marker)
	switch same := have.sum() == f.made().sum(); {
	case !have.there:
	case same && (ours || recognised):
		step.Do, ours = Keep, true
	case same, f.Yields && have.text == f.Text && have.link == "":
		step.Do, ours = Keep, false
	case ours:
		step.Do = Replace
	case p.old.names(f.Path) || isEdited(have):
		step.Do, step.Why = Leave, "it was edited since"
	case f.Yields:
		step.Do, step.Why = Leave, "it is not ours"
	default:
		return p.tree.error("write", f.Path, inTheWay(have))
	}
	switch {
	case step.Do == Write || ours:
		p.next.Files = append(p.next.Files, entry{f.Path, f.made().sum()})
	case step.Do == Leave: // and known as edited the next time, too
		p.next.Files = append(p.next.Files, p.old.of(f.Path)...)
	}
	p.Steps = append(p.Steps, step)
	missing, err := p.tree.folders(path.Dir(f.Path))
	for _, dir := range missing {
		if !slices.Contains(p.made, dir) {
			p.made = append(p.made, dir)
		}
	}
	return err
}

// isEdited reports whether a file in the place of one of ours is one that somebody
// has edited, though the record of it is gone, as after a removal that left it: it
// has our marker still, or calls us.
func isEdited(have found) bool {
	return strings.Contains(have.text, Marker) || len(repairCalls(have.text)) > 0
}

// errOccupied is a place where something stands that is not ours.
type errOccupied struct{ text string }

func (e *errOccupied) Error() string { return e.text }

// Hint says how to go on.
func (*errOccupied) Hint() string {
	return "nothing was changed; move what is there away, and try again"
}

func inTheWay(have found) error {
	switch {
	case have.link == "/dev/null":
		return &errOccupied{"it is masked, by a link to /dev/null"}
	case have.link != "":
		return &errOccupied{fmt.Sprintf("a link to %q is there, which is not ours", have.link)}
	}
	return &errOccupied{"another file is there, which is not ours"}
}

// drop plans one file that is not to be there any more.
func (p *Plan) drop(f File) error {
	have, err := p.tree.look(f.Path)
	if err != nil {
		return err
	}
	ours := p.old.has(entry{f.Path, have.sum()})
	recognised := f.Link != "" || strings.Contains(f.Text, Marker)
	step := Step{File: f, Do: Remove, before: have}
	switch {
	case !have.there:
		return nil
	case ours || recognised && have.sum() == f.made().sum():
	case p.old.names(f.Path) || strings.Contains(have.text, Marker):
		step.Do, step.Why = Leave, "it was edited since"
	default:
		return nil // somebody else's
	}
	p.Steps = append(p.Steps, step)
	return nil
}

// Changes counts the files that are written or removed.
func (p *Plan) Changes() (n int) {
	for _, s := range p.Steps {
		if s.Do != Keep && s.Do != Leave {
			n++
		}
	}
	return n
}

// Recorded reports whether the record says already what will be there, as it does
// not where somebody has removed files by hand, or the record itself.
func (p *Plan) Recorded() bool {
	if len(p.next.Files) == 0 {
		return p.old.empty()
	}
	return len(p.old.Files) == len(p.next.Files) && len(p.old.with(p.next).Files) == len(p.old.Files)
}

// Do carries the plan out. What will be there is on record before it is there. If
// something fails, what was done is undone, and the error says what could not be.
func (p *Plan) Do() error {
	var undo []func() error
	err := p.do(&undo)
	if err == nil {
		return nil
	}
	var left []error
	for _, back := range slices.Backward(undo) {
		if err := back(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left = append(left, err)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%w; and what was done could not all be undone: %w", err, errors.Join(left...))
	}
	return err
}

func (p *Plan) do(undo *[]func() error) error {
	t := p.tree
	if err := t.mkdir(path.Dir(recordPath), 0o700, undo); err != nil {
		return err
	}
	*undo = append(*undo, func() error { return t.writeRecord(p.old) })
	if err := t.writeRecord(p.old.with(p.next)); err != nil {
		return err
	}
	for _, dir := range p.made {
		if err := t.mkdir(dir, 0o755, undo); err != nil {
			return err
		}
	}
	for _, s := range p.Steps {
		if s.Do == Keep || s.Do == Leave {
			continue
		}
		*undo = append(*undo, func() error { return p.undo(s) })
		if err := p.step(s); err != nil {
			return err
		}
	}
	return t.writeRecord(p.tidy())
}

func (p *Plan) step(s Step) error {
	if s.Do == Remove {
		return p.tree.remove(s.Path)
	}
	return p.tree.write(s.Path, s.made())
}

// undo undoes a step, if it was done.
func (p *Plan) undo(s Step) error {
	now, err := p.tree.look(s.Path)
	done := err == nil && (s.Do == Remove && !now.there || s.Do != Remove && now.sum() == s.made().sum())
	switch {
	case !done:
		return nil
	case !s.before.there:
		return p.tree.remove(s.Path)
	}
	return p.tree.write(s.Path, s.before)
}

// Enabled reports whether files are installed.
func (t *Tree) Enabled() bool { return t.has(below(recordPath)) }

// Update makes one file what it is to be now, if it was installed and is as it
// was, and leaves it otherwise. It reports whether the file is what it is to be.
func (t *Tree) Update(f File) (current bool, err error) {
	r, err := t.readRecord()
	if err != nil {
		return false, err
	}
	have, err := t.look(f.Path)
	if err != nil || have.text == f.Text && have.there {
		return err == nil, err
	}
	if !r.has(entry{f.Path, have.sum()}) {
		return false, nil
	}
	if err := t.writeRecord(r.with(record{Files: []entry{{f.Path, f.made().sum()}}})); err != nil {
		return false, err
	}
	return true, t.write(f.Path, f.made())
}

// tidy removes folders that were made and hold nothing any more, and returns the
// record of what is there.
func (p *Plan) tidy() record {
	left := p.next
	left.Folders = nil
	for _, dir := range slices.Backward(slices.Sorted(slices.Values(p.next.Folders))) {
		if err := p.tree.root.Remove(below(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left.Folders = append(left.Folders, dir)
		}
	}
	if len(left.Files) == 0 {
		left.Folders = nil // what is in them is somebody's
	}
	return left
}

// mkdir makes a folder, and those above it, unless they are there.
func (t *Tree) mkdir(dir string, mode fs.FileMode, undo *[]func() error) error {
	missing, err := t.folders(dir)
	if err != nil {
		return err
	}
	for _, dir := range missing {
		if err := t.root.Mkdir(below(dir), mode); err != nil {
			return t.error("make", dir, err)
		}
		*undo = append(*undo, func() error { return t.root.Remove(below(dir)) })
		err := t.root.Chmod(below(dir), mode) // whatever the umask: who reads hooks may refuse it otherwise
		if err == nil {
			err = t.sync(path.Dir(below(dir)))
		}
		if err != nil {
			return t.error("make", dir, err)
		}
	}
	return nil
}
