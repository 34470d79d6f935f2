package boot

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestScriptsRun runs what is placed as the first process of a machine, or another
// program, runs it: by itself, by a shell that ends with the first error, twice,
// with an rpdb that fails, and with none. It calls rpdb as it says, and nothing
// keeps the machine from booting on.
func TestScriptsRun(t *testing.T) {
	files := slicesOf(
		Files(Host{Init: OpenRC}, Options{Program: "/usr/sbin/rpdb"}),
		Files(Host{}, Options{Program: "/usr/sbin/rpdb"}),
		Files(Host{Init: OpenRC, Ifupdown: true, Dhclient: true, NetworkManager: true, NetworkdDispatcher: []string{"off.d"}}, Options{Program: "/usr/sbin/rpdb"})[1:],
	)
	if len(files) != 7 {
		t.Fatalf("files: %q", Paths(files))
	}
	for _, f := range files {
		t.Run(strings.ReplaceAll(f.Path[1:], "/", "-"), func(t *testing.T) {
			w := newScriptWorld(t, f)
			const call = "repair --wait 30s --dad 5s\n"
			w.runs("the first time", call)
			w.runs("the second time", call+call)
			w.program("exit 1")
			w.runs("with an rpdb that fails", call)
			w.program("kill -9 $$")
			w.runs("with an rpdb that is killed", call)
			w.program("exit 0")
			if err := os.Rename(w.rpdb, w.rpdb+"-elsewhere"); err != nil {
				t.Fatal(err)
			}
			w.runs("with rpdb at another place", "")
		})
	}
}

func slicesOf(lists ...[]File) (all []File) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// scriptWorld is a script, and the rpdb that it calls.
type scriptWorld struct {
	t                   *testing.T
	file                File
	script, rpdb, calls string
}

func newScriptWorld(t *testing.T, f File) *scriptWorld {
	dir := t.TempDir()
	w := &scriptWorld{t, f, filepath.Join(dir, "script"), filepath.Join(dir, "rpdb"), filepath.Join(dir, "calls")}
	if err := os.WriteFile(w.script, []byte(strings.ReplaceAll(f.Text, "/usr/sbin/rpdb", w.rpdb)), f.Mode); err != nil {
		t.Fatal(err)
	}
	w.program("exit 0")
	return w
}

// program makes an rpdb that notes how it was called, and ends so.
func (w *scriptWorld) program(end string) {
	w.t.Helper()
	_ = os.Remove(w.calls)
	if err := os.WriteFile(w.rpdb, []byte("#!/bin/sh\necho \"$@\" >>"+w.calls+"\n"+end+"\n"), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// runs runs the script with what there is when a machine boots, and holds that it
// ends well, goes on, and has called rpdb so.
func (w *scriptWorld) runs(when, calls string) {
	w.t.Helper()
	sourced := w.file.Mode&0o111 == 0
	cmd := exec.Command(w.script, "eth1", "up") // the words of NetworkManager; others have none
	if sourced {
		cmd = exec.Command("/bin/sh", "-uc", ". "+w.script+"; echo on")
	}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/sbin:/usr/sbin:/bin:/usr/bin", "IFACE=eth1", "reason=BOUND", "interface=eth1"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil || sourced && !strings.HasSuffix(out.String(), "on\n") {
		w.t.Errorf("%s: %v: %s", when, err, out.String())
	}
	got, err := os.ReadFile(w.calls)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	if string(got) != calls {
		w.t.Errorf("%s: rpdb was called with %q, want %q", when, got, calls)
	}
}

// TestLineForRCLocal: a script of the administrator that ends with the first error
// goes on behind the line, whatever becomes of it.
func TestLineForRCLocal(t *testing.T) {
	for _, program := range []string{"/bin/false", "/nonexistent/rpdb"} {
		out, err := exec.Command("/bin/sh", "-euc", RCLocalLine(program)+"\necho on").Output()
		if err != nil || string(out) != "on\n" {
			t.Errorf("%s: %v: %q", program, err, out)
		}
	}
}
