package journal_test

import (
	"os"
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

// TestLocked: whoever asks learns who writes, and keeps nobody from it, also who will
// not wait.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	j, asker := open(t, dir, journal.Options{}), open(t, dir, journal.Options{ReadOnly: true})
	if by := asker.Locked(); by != nil {
		t.Errorf("before there is a file: %v", by)
	}
	unlock, err := j.Lock(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if by := asker.Locked(); by == nil || by.PID != os.Getpid() {
		t.Errorf("locked by %v, want %d", by, os.Getpid())
	}
	unlock()
	if by := asker.Locked(); by != nil {
		t.Errorf("unlocked, and locked by %v", by)
	}
	over := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-over:
				return
			default:
				asker.Locked()
			}
		}
	}()
	for range 500 {
		unlock, err := j.Lock(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	}
	close(over)
	<-done
}
