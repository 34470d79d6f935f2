package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpdb/apply/journal"
)

// TestHintOfADamagedRecord names the record before only where there is one.
func TestHintOfADamagedRecord(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(dir, "", journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for i, want := range []string{"there is no record before it", "mv " + filepath.Join(dir, "journal.previous")} {
		if err := j.Write(journal.State{Next: uint64(i)}); err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(filepath.Join(dir, "journal"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, "journal"), 40); err != nil {
			t.Fatal(err)
		}
		_, err = j.Read()
		var e *journal.Error
		if !errors.As(err, &e) || !strings.Contains(e.Hint(), want) {
			t.Errorf("%d: got %v, want a hint with %q", i, err, want)
		}
		if err := os.WriteFile(filepath.Join(dir, "journal"), good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
