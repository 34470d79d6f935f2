package boot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnitsAreAccepted asks systemd what it thinks of the units: it finds no
// fault, and their exposure is at most 2.0 of 10.
func TestUnitsAreAccepted(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, manual := range []bool{false, true} {
		for _, f := range Files(Host{Init: Systemd, Manual: manual}, Options{Program: "/usr/bin/env"}) {
			if named := strings.Contains(f.Text, "\nDocumentation=man:rpdb(8)\n"); f.Link == "" && named != manual {
				t.Errorf("%s names the manual: %v, and that it is installed is %v", f.Path, named, manual)
			}
		}
	}
	dir := t.TempDir()
	var units []string
	for _, f := range Files(Host{Init: Systemd}, Options{Program: "/usr/bin/env"}) {
		if f.Link != "" {
			continue
		}
		name := filepath.Join(dir, filepath.Base(f.Path))
		if err := os.WriteFile(name, []byte(f.Text), f.Mode); err != nil {
			t.Fatal(err)
		}
		units = append(units, name)
	}
	if len(units) != 2 {
		t.Fatalf("units: %q", units)
	}
	analyse := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), analyze, args...)
		cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := analyse(append([]string{"verify"}, units...)...); err != nil || strings.Contains(out, dir) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	for _, unit := range units {
		if out, err := analyse("security", "--offline=yes", "--threshold=20", unit); err != nil {
			t.Errorf("systemd-analyze security: %v\n%s", err, out)
		}
		if out, err := analyse("security", "--offline=yes", "--threshold=1", unit); err == nil {
			t.Errorf("the threshold means nothing:\n%s", out)
		}
	}
}
