package journal_test

import (
	"testing"

	"rpdb/apply/journal"
)

func TestWatched(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	reader := open(t, dir, journal.Options{ReadOnly: true})
	is := func(when string, want bool) {
		t.Helper()
		for _, j := range []*journal.Journal{j, reader} {
			if j.Watched() != want {
				t.Errorf("%s: watched is %v", when, !want)
			}
		}
	}
	is("nobody has watched", false)
	one, err := j.Watch()
	if err != nil {
		t.Fatal(err)
	}
	two, err := j.Watch()
	if err != nil {
		t.Fatal(err)
	}
	is("two watch", true)
	one.Close()
	is("one has ended", true)
	two.Close()
	is("both have ended", false)
}
