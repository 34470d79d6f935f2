package cli

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Our packages compute next to nothing before the first word is read: error values,
// and no patterns or tables, for which every command would wait. Cmd/ip computes
// nothing at all, see its own test.
func TestStartsWithFewInitialisers(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-V")
	cmd.Args[0] = "iprule"
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	const most = 10 // allocations of a package
	traced := false
	for line := range strings.Lines(errs.String()) { // init PATH @0.1 ms, 0.01 ms clock, 312 bytes, 7 allocs
		words := strings.Fields(line)
		if len(words) < 11 || words[0] != "init" {
			continue
		}
		traced = true
		allocs, err := strconv.Atoi(words[9])
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		switch path := words[1]; {
		case !strings.HasPrefix(path+"/", "rpdb/"):
		case path == "rpdb/cli", strings.HasPrefix(path, "rpdb/internal/"), path == "rpdb/kernel/kerneltest": // for the tests
		case allocs > most:
			t.Errorf("%s makes %d allocations: %s", path, allocs, strings.TrimSpace(line))
		}
	}
	if !traced {
		t.Errorf("no trace in %q", errs.String())
	}
}
