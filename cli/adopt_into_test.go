package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWriteLike replaces a file that others must not read, by a link to it, and
// writes one that was not there.
func TestWriteLike(t *testing.T) {
	dir := t.TempDir()
	file, link, fresh := filepath.Join(dir, "policy"), filepath.Join(dir, "link"), filepath.Join(dir, "fresh")
	if err := os.WriteFile(file, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("policy", link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, there string
		mode        os.FileMode
	}{{link, file, 0o640}, {fresh, fresh, 0o644}} {
		_, had, err := readForChange(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeLike(c.name, had, "new"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(c.there)
		if err != nil || info.Mode() != c.mode {
			t.Fatalf("%s has mode %v, want %v (%v)", c.there, info.Mode(), c.mode, err)
		}
		if text, err := os.ReadFile(c.name); err != nil || string(text) != "new" {
			t.Fatalf("%s holds %q (%v)", c.name, text, err)
		}
	}
	if target, err := os.Readlink(link); err != nil || target != "policy" {
		t.Fatalf("the link leads to %q (%v)", target, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Fatalf("%v is left (%v)", left, err)
	}
}
