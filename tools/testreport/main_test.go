package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stream is what go test -json says of one package with the given tests, each
// "ACTION NAME".
func stream(tests ...string) string {
	var b strings.Builder
	action := "pass"
	for _, t := range tests {
		verb, name, _ := strings.Cut(t, " ")
		b.WriteString(`{"Action":"run","Package":"m/p","Test":"` + name + `"}` + "\n")
		b.WriteString(`{"Action":"output","Package":"m/p","Test":"` + name + `","Output":"    said by ` + name + `\n"}` + "\n")
		b.WriteString(`{"Action":"` + verb + `","Package":"m/p","Test":"` + name + `"}` + "\n")
		if verb == "fail" {
			action = verb
		}
	}
	last := map[string]string{"pass": `ok  \tm/p\t0.01s\n`, "fail": `FAIL\tm/p\t0.01s\n`}[action]
	b.WriteString(`{"Action":"output","Package":"m/p","Output":"` + last + `"}` + "\n")
	b.WriteString(`{"Action":"` + action + `","Package":"m/p"}` + "\n")
	return b.String()
}

func TestRun(t *testing.T) {
	allowed := map[string]string{"m/p.TestVRF": "no driver", "m/p.TestA/10.0.0.0/8": "too big"}
	for _, c := range []struct {
		name, in  string
		err       string // part of the error, "" for none
		say, hush string // part of the output, and what must not be in it
	}{
		{"all pass", stream("pass TestA", "pass TestB"), "", "2 passed, 0 failed, 0 skipped\nok  \tm/p\t0.01s\n", "said by"},
		{"a failure", stream("pass TestA", "fail TestB"), "2 failures", "said by TestB", "said by TestA"},
		{"a skip", stream("pass TestA", "skip TestB"), "1 tests were skipped", "SKIPPED: m/p.TestB\n    said by TestB", ""},
		{"a listed skip", stream("pass TestA", "skip TestVRF"), "", "skipped, as listed: m/p.TestVRF (no driver)", "SKIPPED"},
		{"part of a listed skip", stream("pass TestA", "skip TestVRF/IPv6"), "", "skipped, as listed", "SKIPPED"},
		{"a listed subtest", stream("pass TestA", "skip TestA/10.0.0.0/8"), "", "too big", "SKIPPED"},
		{"its sister", stream("pass TestA", "skip TestA/10.0.0.0/9"), "1 tests were skipped", "SKIPPED", ""},
		{"a longer name", stream("pass TestA", "skip TestVRFs"), "1 tests were skipped", "SKIPPED", ""},
		{"nothing", stream(), "no test was run", "0 passed", ""},
		{"no stream at all", "go: no such package\n", "no test was run", "go: no such package", ""},
		{"a test that never ends", `{"Action":"output","Package":"m/p","Test":"TestA","Output":"panic: x\n"}` + "\n" + stream("fail TestB"), "failures", "panic: x", ""},
		{"a package that does not build", `{"Action":"build-output","ImportPath":"m/p","Output":"a.go:1: oops\n"}` + "\n" + `{"Action":"fail","Package":"m/p"}` + "\n", "1 failures", "oops", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			err := run(strings.NewReader(c.in), &out, allowed)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if !strings.Contains(out.String(), c.say) || c.hush != "" && strings.Contains(out.String(), c.hush) {
				t.Errorf("output %q, want %q and not %q", out.String(), c.say, c.hush)
			}
		})
	}
}

func TestReadAllowed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "skips")
	for text, ok := range map[string]bool{
		"# a remark\n\nm/p.TestA the driver is missing\n": true,
		"m/p.TestA\n":    false,
		"m/p.TestA   \n": false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		allowed, err := readAllowed(file)
		if (err == nil) != ok || ok && allowed["m/p.TestA"] != "the driver is missing" {
			t.Errorf("%q: %v, %v", text, allowed, err)
		}
	}
}
