package boot

import (
	"regexp"
	"slices"
)

// Installed is what of the files on record is there. The zero value is that
// nothing was installed.
type Installed struct {
	// Missing are files that somebody has removed, Edited those that are not as
	// they were installed, but for the policy.
	Missing, Edited []string
	// Watch says that the service that waits for events is there.
	Watch bool
	// Programs are what the files call, with the reason why they cannot be
	// called, if they cannot.
	Programs map[string]error
	// Enabled says that anything but the policy is there.
	Enabled bool
}

// repairCalls returns the programs that lines of a text call to repair, as those of
// all our files do.
func repairCalls(text string) (programs []string) {
	line := regexp.MustCompile(`(?m)^[^#\n]*?((?:/[A-Za-z0-9._+-]+)+) repair( |$)`) // not made when the program starts
	for _, call := range line.FindAllStringSubmatch(text, -1) {
		programs = append(programs, call[1])
	}
	return programs
}

// Installed looks at the files on record. Nothing is changed.
func (t *Tree) Installed() (Installed, error) {
	in := Installed{Programs: map[string]error{}}
	r, err := t.readRecord()
	if err != nil {
		return in, err
	}
	const watchPath = unitDir + "/" + WatchUnit
	var seen []string
	for _, e := range r.Files {
		if e.Path == PolicyPath || slices.Contains(seen, e.Path) {
			continue
		}
		seen = append(seen, e.Path)
		have, err := t.look(e.Path)
		switch {
		case err != nil:
			return in, err
		case !have.there:
			in.Missing = append(in.Missing, e.Path)
			continue
		case !r.has(entry{e.Path, have.sum()}):
			in.Edited = append(in.Edited, e.Path)
		}
		in.Enabled = true
		in.Watch = in.Watch || e.Path == watchPath
		for _, program := range repairCalls(have.text) {
			in.Programs[program] = t.CheckProgram(program)
		}
	}
	return in, nil
}
