package journal_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"rpdb/apply/journal"
)

func TestSeen(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	if s, ok := j.Seen(); ok {
		t.Errorf("nobody looked, and seen is %+v", s)
	}
	start := time.Unix(1800000000, 0).UTC()
	for _, c := range []struct {
		now, want journal.Seen
	}{
		{journal.Seen{ID: 1, Time: start}, journal.Seen{ID: 1, Time: start}},
		{journal.Seen{ID: 1, Time: start.Add(59 * time.Second)}, journal.Seen{ID: 1, Time: start}},
		{journal.Seen{ID: 1, Time: start.Add(time.Minute)}, journal.Seen{ID: 1, Time: start.Add(time.Minute)}},
		{journal.Seen{ID: 2, Time: start.Add(61 * time.Second)}, journal.Seen{ID: 2, Time: start.Add(61 * time.Second)}},
		{journal.Seen{ID: 2, Time: start}, journal.Seen{ID: 2, Time: start}}, // the clock was set back
	} {
		if err := j.Saw(c.now); err != nil {
			t.Fatal(err)
		}
		if got, ok := j.Seen(); !ok || got != c.want {
			t.Errorf("saw %+v, seen %+v, %v; want %+v", c.now, got, ok, c.want)
		}
	}
	file := filepath.Join(dir, "seen")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if s, ok := j.Seen(); ok {
		t.Errorf("damaged, and read as %+v", s)
	}
}
