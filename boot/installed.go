package boot

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Installed is what of the files on record is there. The zero value is that
// nothing was installed.
type Installed struct {
	// Missing are files that somebody has removed, Edited those that are not as
	// they were installed, but for the policy.
	Missing, Edited []string
	// Outdated are files as another release of rpdb writes them.
	Outdated []string
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

// outdated reports whether a file that was installed is written otherwise now,
// whatever the host is like: that changes without a new release.
func outdated(name, text string) bool {
	found := false
	for _, program := range repairCalls(text) {
		for _, manual := range []bool{false, true} {
			for _, init := range []Init{Systemd, OpenRC, ""} {
				h := Host{Init: init, Manual: manual, Ifupdown: true, Dhclient: true, NetworkManager: true}
				if state, of := strings.CutPrefix(path.Dir(name), dispatcherDir+"/"); of {
					h.NetworkdDispatcher = []string{state}
				}
				for _, f := range Files(h, Options{Program: program}) {
					if f.Path == name && f.Text == text {
						return false
					}
					found = found || f.Path == name
				}
			}
		}
	}
	return found
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
		case have.link == "" && outdated(e.Path, have.text):
			in.Outdated = append(in.Outdated, e.Path)
		}
		in.Enabled = true
		in.Watch = in.Watch || e.Path == watchPath
		for _, program := range repairCalls(have.text) {
			in.Programs[program] = t.CheckProgram(program)
		}
	}
	return in, nil
}
