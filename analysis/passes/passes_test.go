package passes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/analysis"
)

// TestChecks runs each check alone on the hosts of its testdata folder.
func TestChecks(t *testing.T) {
	for _, a := range All() {
		files, err := filepath.Glob(filepath.Join(a.Name, "testdata", "*.txt"))
		if err != nil || len(files) == 0 {
			t.Errorf("check %s has no hosts in testdata (%v)", a.Name, err)
		}
		for _, file := range files {
			t.Run(a.Name+"/"+strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				runHost(t, file, []*analysis.Analyzer{a})
			})
		}
	}
}

// TestHosts runs all checks on whole hosts, which are as other programs set
// them up. None of them is wrong, so none has an error.
func TestHosts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d hosts in testdata: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			if found := runHost(t, file, All()); analysis.HasErrors(found) {
				t.Error("a host in order has errors")
			}
		})
	}
}

// runHost compares what the analyzers find with what the file expects, and
// tries every fix.
func runHost(t *testing.T, file string, analyzers []*analysis.Analyzer) []analysis.Diagnostic {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h := readHost(t, string(text))
	found, err := analysis.Run(&h.s, analyzers)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		if !h.takeWant(d) {
			t.Errorf("unexpected: %v %q about %q, reason %q, fixes %v", d.Severity, d.Message, d.Subject, d.Reason, d.Fixes)
		}
		if strings.ContainsFunc(d.Message+d.Reason, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q, %q: not printable ASCII", d.Message, d.Reason)
		}
		for _, fix := range d.Fixes {
			tryFix(t, h.s, analyzers, d, fix)
		}
	}
	for _, w := range h.wants {
		t.Errorf("missing: %v", w)
	}
	return found
}

// takeWant takes the expectation that a finding fulfils off the list.
func (h *host) takeWant(d analysis.Diagnostic) bool {
	i := slices.IndexFunc(h.wants, func(w *want) bool {
		fixed := w.fix == "" || slices.ContainsFunc(d.Fixes, func(f analysis.SuggestedFix) bool { return strings.Contains(f.Message, w.fix) })
		return fixed && w.severity == d.Severity && w.subject == d.Subject.String() &&
			strings.Contains(d.Message, w.message) && strings.Contains(d.Reason, w.reason)
	})
	if i < 0 {
		return false
	}
	h.wants = slices.Delete(h.wants, i, i+1)
	return true
}

// tryFix makes the changes of one fix and looks again: the finding must be
// gone, and no error may be new.
func tryFix(t *testing.T, s rpdb.Snapshot, analyzers []*analysis.Analyzer, d analysis.Diagnostic, fix analysis.SuggestedFix) {
	t.Helper()
	before, err := analysis.Run(&s, analyzers)
	if err != nil {
		t.Fatal(err)
	}
	after := s
	after.Rules = slices.Clone(s.Rules)
	for _, c := range fix.Changes {
		applyChange(t, &after, c)
	}
	left, err := analysis.Run(&after, analyzers)
	if err != nil {
		t.Fatal(err)
	}
	if times(left, d) >= times(before, d) {
		t.Errorf("%q is still found after the fix %q", d.Message, fix.Message)
	}
	for _, e := range left {
		if e.Severity == analysis.Error && times(before, e) == 0 {
			t.Errorf("the fix %q leads to %q", fix.Message, e.Message)
		}
	}
}

func times(found []analysis.Diagnostic, d analysis.Diagnostic) int {
	n := 0
	for _, e := range found {
		if e.Message == d.Message && e.Family == d.Family {
			n++
		}
	}
	return n
}

// applyChange does what the kernel does.
func applyChange(t *testing.T, s *rpdb.Snapshot, c rpdb.Change) {
	t.Helper()
	if c.Rule == nil {
		t.Fatalf("%v: no check changes routes", c)
	}
	if c.Op == rpdb.Add {
		s.Rules = append(s.Rules, *c.Rule)
		slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
		return
	}
	i := slices.IndexFunc(s.Rules, func(r rpdb.Rule) bool { return r.Canonical() == c.Rule.Canonical() })
	if i < 0 {
		t.Fatalf("%v: there is no such rule", c)
	}
	s.Rules = slices.Delete(s.Rules, i, i+1)
}

// TestDocumentation checks that each check documents itself: a title that fits
// on a line, and the name of its folder.
func TestDocumentation(t *testing.T) {
	if err := analysis.Validate(All()); err != nil {
		t.Fatal(err)
	}
	for _, a := range All() {
		title := analysis.Title(a)
		if len(title) < 20 || len(title) > 80 || !strings.HasPrefix(title, "reports ") {
			t.Errorf("check %s: title %q", a.Name, title)
		}
		if _, err := os.Stat(filepath.Join(a.Name, "doc.go")); err != nil {
			t.Errorf("check %s: %v", a.Name, err)
		}
	}
	folders, err := filepath.Glob("*/doc.go")
	if err != nil || len(folders) != len(All()) {
		t.Errorf("%d folders, %d checks listed (%v)", len(folders), len(All()), err)
	}
}
