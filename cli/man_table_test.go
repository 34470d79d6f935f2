package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rpdb/kernel/kerneltest"
)

// TestTableManPageIsComplete looks for every command, its flags, the keys of
// its JSON, and the words that no table may be called.
func TestTableManPageIsComplete(t *testing.T) {
	page := manPage(t, "rpdb-table.8")
	table, _, err := manRoot().Find([]string{"table"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range table.Commands() {
		for _, block := range []string{"command table ", "flags table "} {
			if !strings.Contains(page, "\n"+`.\" made: `+block+cmd.Name()+"\n") {
				t.Errorf("no block %q", block+cmd.Name())
			}
		}
	}
	_, out, _ := call(t, vrfHost(), "table", "list", "--json")
	for line := range strings.Lines(out) {
		key, _, isKey := strings.Cut(strings.TrimSpace(line), `":`)
		if key = strings.Trim(key, `"`); isKey && !strings.Contains(page, key) {
			t.Errorf("no key %q", key)
		}
	}
	for _, word := range []string{"all", "cache", "default", "help", "local", "main", "unspec"} {
		var errs strings.Builder
		code := run(t.Context(), []string{"table", "name", "1", word}, Streams{Out: io.Discard, Err: &errs}, t.TempDir())
		if code != exitFailed || !strings.Contains(errs.String(), "means something else") {
			t.Errorf("name 1 %s: %s", word, &errs)
		}
	}
	if codes := exitCodesOf(page); !slices.Equal(codes, []string{"0", "1"}) {
		t.Errorf("exit codes %q", codes)
	}
}

// TestTableManPageExamples carries the examples out in their order, on a host
// of two uplinks that is also the namespace blue.
func TestTableManPageExamples(t *testing.T) {
	commands := exampleCommands(manPage(t, "rpdb-table.8"))
	host := kerneltest.Real(t)
	if err := kerneltest.Script(t.Context(), host, howtoHost()...); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	t.Chdir(root)
	blue := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), host.NetNS().FD())
	for _, line := range commands {
		line = strings.Replace(line, "--netns blue", "--netns "+blue, 1)
		line, file, _ := strings.Cut(line, " > ")
		var out, errs strings.Builder
		code := -1
		err := host.NetNS().Do(func() error {
			code = run(t.Context(), strings.Fields(line)[1:], Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, root)
			return nil
		})
		if err != nil || code != exitOK || errs.Len() > 0 {
			t.Errorf("$ %s: exit code %d, %v\n%s", line, code, err, &errs)
		}
		if wantsOutput := !strings.Contains(line, "name "); wantsOutput != (out.Len() > 0) {
			t.Errorf("$ %s: prints %q", line, out.String())
		}
		if file != "" {
			if err := os.WriteFile(filepath.Join(root, file), []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
