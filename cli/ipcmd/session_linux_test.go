package ipcmd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// TestSessions runs the files of testdata/session, which read like a terminal:
// a command behind "$ ip", what it prints (standard output, then standard
// error), and its exit code in brackets unless it is 0. Each file has a new
// host; "# new host" makes another one, and "# needs user ids" says that rules are
// about some. Empty lines stay where a text has them.
//
// UPDATE_GOLDEN=1 rewrites the expected texts.
func TestSessions(t *testing.T) {
	files, err := filepath.Glob("testdata/session/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), "\n# needs user ids\n") {
				kerneltest.NeedUID(t, 2000)
			}
			got := replay(t, string(data))
			switch {
			case got == string(data):
			case os.Getenv("UPDATE_GOLDEN") != "":
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			default:
				reportSession(t, string(data), got)
			}
		})
	}
}

// replay runs the commands of a session and returns it with what they print.
func replay(t *testing.T, session string) string {
	var b strings.Builder
	var ns *kernel.NetNS
	for line := range strings.Lines(session) {
		line = strings.TrimSuffix(line, "\n")
		words, isCommand := strings.CutPrefix(line, "$ ip")
		if ns == nil || line == "# new host" {
			ns = kerneltest.Namespace(t)
		}
		if strings.HasPrefix(line, "# ") {
			b.WriteString(line + "\n")
		}
		if !isCommand {
			continue
		}
		o := call(ns, nil, words)
		fmt.Fprintf(&b, "%s\n%s%s", line, o.stdout, o.stderr)
		if o.code != 0 {
			fmt.Fprintf(&b, "[%d]\n", o.code)
		}
	}
	return b.String()
}

// reportSession names the commands that print something else.
func reportSession(t *testing.T, want, got string) {
	wants, gots := strings.Split("\n"+want, "\n$ ip"), strings.Split("\n"+got, "\n$ ip")
	for i := range min(len(wants), len(gots)) {
		if wants[i] != gots[i] {
			t.Errorf("$ ip%s\nprints\n$ ip%s", wants[i], gots[i])
		}
	}
	if len(wants) != len(gots) {
		t.Errorf("%d commands of %d", len(gots), len(wants))
	}
}
