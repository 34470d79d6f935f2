package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWriteLike replaces a file that others must not read, by a link to it, and
// writes one that was not there, also by links.
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
	// A link to a link, in another folder, to a file that is still to be written.
	later, sub := filepath.Join(dir, "later"), filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{later: "sub/on", filepath.Join(sub, "on"): "../new"}
	for from, to := range links {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, there string
		mode        os.FileMode
	}{{link, file, 0o640}, {fresh, fresh, 0o644}, {later, filepath.Join(dir, "new"), 0o644}} {
		_, had, err := readForChange(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeLike(c.name, had, "new"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(c.there)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != c.mode {
			t.Fatalf("%s has mode %v, want %v", c.there, info.Mode(), c.mode)
		}
		if text, err := os.ReadFile(c.name); err != nil || string(text) != "new" {
			t.Fatalf("%s holds %q (%v)", c.name, text, err)
		}
	}
	links[link] = "policy"
	for from, to := range links {
		if target, err := os.Readlink(from); err != nil || target != to {
			t.Fatalf("the link leads to %q, not %q (%v)", target, to, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 6 {
		t.Fatalf("%v is left (%v)", left, err)
	}
}
