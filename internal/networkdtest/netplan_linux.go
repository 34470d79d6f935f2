package networkdtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rpdb/format"
)

// Netplan returns what "netplan generate" makes of files.
func Netplan(t testing.TB, files []format.File) []format.File {
	t.Helper()
	if _, err := exec.LookPath("netplan"); err != nil {
		need(t, err.Error())
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc/netplan"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(root, f.Path), []byte(f.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("netplan", "generate", "--root-dir", root).CombinedOutput(); err != nil {
		t.Fatalf("netplan generate: %v\n%s", err, out)
	}
	names, err := filepath.Glob(filepath.Join(root, "run/systemd/network/*.network"))
	if err != nil || len(names) == 0 {
		t.Fatalf("netplan made no .network files: %v", err)
	}
	var made []format.File
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, format.File{Path: "/run/systemd/network/" + filepath.Base(name), Text: string(text)})
	}
	return made
}
