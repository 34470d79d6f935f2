package cli

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"rpdb/boot"
)

// lasting says what makes a generation last.
type lasting struct {
	// Enabled is set where something is installed that brings it back at boot;
	// absent where there is no boot to speak of, as in a namespace of its own.
	Enabled *bool `json:"enabled,omitempty"`
	// Watched is set while a "rpdb repair --watch" runs here, whoever started it.
	Watched bool `json:"watched"`
	// Problems say what of it cannot do what it is for.
	Problems []string `json:"problems,omitempty"`
}

// lasting looks what makes the generation of this namespace last.
func (s *site) lasting() lasting {
	l := lasting{Watched: s.journal.Watched()}
	root := filepath.Join("/", s.app.root)
	if s.journal.Path() != filepath.Join(root, defaultStateDir) {
		return l
	}
	tree, err := boot.OpenTree(root)
	if err != nil {
		l.problem("%v", err)
		return l
	}
	defer tree.Close()
	in, err := tree.Installed()
	if err != nil {
		l.problem("%v", err)
		return l
	}
	l.Enabled = &in.Enabled
	for _, path := range in.Missing {
		l.problem("%s is gone: \"rpdb enable\" writes it anew", path)
	}
	for _, path := range in.Edited {
		l.problem("%s was edited since it was installed", path)
	}
	if n := len(in.Outdated); n > 0 {
		l.problem("%s %s as another release of rpdb writes %s: \"rpdb enable\" writes %s anew", strings.Join(in.Outdated, ", "), plural(n, "is", "are"), plural(n, "it", "them"), plural(n, "it", "them"))
	}
	for _, program := range slices.Sorted(maps.Keys(in.Programs)) {
		if err := in.Programs[program]; err != nil {
			l.problem("%v", err)
		}
	}
	if in.Watch && !l.Watched {
		l.problem("%s is installed, and does not run", boot.WatchUnit)
	}
	return l
}

func (l *lasting) problem(format string, args ...any) {
	l.Problems = append(l.Problems, fmt.Sprintf(format, args...))
}

// lasting says in a line what makes a generation last, and then what does not.
func (p *printer) lasting(l lasting, applied bool) {
	switch on := l.Enabled; {
	case on != nil && *on && l.Watched:
		p.wrap("Enabled: it comes back at boot, and a watch repairs it with each change.")
	case on != nil && *on:
		p.wrap("Enabled: it comes back at boot, and hooks repair it; no watch runs.")
	case on != nil && l.Watched && applied:
		p.wrap("Not enabled: it is gone after a boot. Until then a watch repairs it with each change.")
	case on != nil && applied:
		p.wrap("Not enabled: it is gone after a boot, and nothing repairs it when a link or an address changes. \"rpdb enable\" sees to both.")
	case l.Watched:
		p.wrap("A watch repairs it with each change.")
	}
	for _, text := range l.Problems {
		p.wrap("Problem: " + safe(text))
	}
}
