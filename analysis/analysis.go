package analysis

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"rpdb"
	"rpdb/fib"
)

// Analyzer is one check. It is a value without state: one Analyzer may run on
// several snapshots at once.
type Analyzer struct {
	// Name is the name of the check and of its folder: lower case letters.
	Name string
	// Doc is the documentation of the check. Its first line stands alone in
	// lists; [Title] returns it.
	Doc string
	// Run looks and calls Pass.Report for each finding. An error means that
	// the check could not be made.
	Run func(*Pass) error
}

// Pass is what a check may see of one host, for the time of one Run. The
// snapshot and the FIB are only to be read.
type Pass struct {
	Snapshot *rpdb.Snapshot
	FIB      *fib.FIB // compiled from Snapshot
	// Report takes one finding and fills in its Check.
	Report func(Diagnostic)
}

// Validate returns an error unless every analyzer has a name of its own, a
// documentation and something to run.
func Validate(analyzers []*Analyzer) error {
	names := map[string]bool{}
	for _, a := range analyzers {
		switch {
		case a == nil || a.Name == "":
			return errors.New("validate analyzers: one has no name")
		case a.Doc == "" || a.Run == nil:
			return fmt.Errorf("validate analyzer %q: no documentation or nothing to run", a.Name)
		case names[a.Name]:
			return fmt.Errorf("validate analyzer %q: the name is taken", a.Name)
		}
		names[a.Name] = true
	}
	return nil
}

// Run compiles the snapshot and runs the analyzers on it: see [RunCompiled].
func Run(s *rpdb.Snapshot, analyzers []*Analyzer) ([]Diagnostic, error) {
	return RunCompiled(s, fib.Compile(s), analyzers)
}

// RunCompiled runs the analyzers on a snapshot and the FIB compiled from it.
// The findings stand in a fixed order: IPv4 before IPv6 before those of both
// families, then the most severe first, then in the order of the analyzers and
// of what each looked at. If some analyzers fail, the findings of the others
// are returned with the joined errors.
func RunCompiled(s *rpdb.Snapshot, f *fib.FIB, analyzers []*Analyzer) ([]Diagnostic, error) {
	if err := Validate(analyzers); err != nil {
		return nil, err
	}
	var found []Diagnostic
	var failed []error
	for _, a := range analyzers {
		pass := &Pass{Snapshot: s, FIB: f, Report: func(d Diagnostic) {
			d.Check = a.Name
			found = append(found, d)
		}}
		if err := a.Run(pass); err != nil {
			failed = append(failed, fmt.Errorf("run check %s: %w", a.Name, err))
		}
	}
	slices.SortStableFunc(found, func(a, b Diagnostic) int {
		// Family 0 is both, and wraps round to the end.
		return cmp.Or(cmp.Compare(a.Family-1, b.Family-1), cmp.Compare(b.Severity, a.Severity))
	})
	return found, errors.Join(failed...)
}
