// Command testreport reads the stream of go test -json, prints what a person
// wants to see of it, and fails if a test failed or was skipped.
//
//	go test -json ./... | testreport -allow FILE
//
// A skipped test is a promise not kept, so each must be in the list of FILE:
// one per line, the test as PACKAGE.Test (with its subtests), then the reason
// why it may be missing. Lines that begin with # are remarks. The closing
// lines of go test come last, as go test prints them.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of the stream (go doc test2json).
type event struct {
	Action string
	testName
	Output string
}

// testName names a test, or with an empty Test a package.
type testName struct {
	Package string
	Test    string
}

func (n testName) String() string { return n.Package + "." + n.Test }

// report collects what the stream says.
type report struct {
	out     io.Writer
	output  map[testName]*strings.Builder // until the test or package ends
	skipped map[testName]string           // with what the test said
	failed  int
	passed  int
	closing []string
}

func main() {
	allow := flag.String("allow", "", "`file` that lists the tests which may be skipped")
	flag.Parse()
	allowed, err := readAllowed(*allow)
	if err == nil {
		err = run(os.Stdin, os.Stdout, allowed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}

// readAllowed reads the list of skips, by test with the reason.
func readAllowed(file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	allowed := map[string]string{}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		test, reason, _ := strings.Cut(line, " ")
		if strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s:%d: no reason is given for %s", file, i+1, test)
		}
		allowed[test] = strings.TrimSpace(reason)
	}
	return allowed, nil
}

func run(in io.Reader, out io.Writer, allowed map[string]string) error {
	r := &report{out: out, output: map[testName]*strings.Builder{}, skipped: map[testName]string{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // what the go command says beside the stream
			continue
		}
		r.add(e)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return r.close(allowed)
}

// add takes in one event.
func (r *report) add(e event) {
	key := e.testName
	switch e.Action {
	case "build-output": // of the compiler, and of no package in particular
		fmt.Fprint(r.out, e.Output)
		return
	case "output":
		if r.output[key] == nil {
			r.output[key] = &strings.Builder{}
		}
		r.output[key].WriteString(e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	said := ""
	if b := r.output[key]; b != nil {
		said = b.String()
		delete(r.output, key)
	}
	switch {
	case e.Test == "":
		r.closePackage(e, said)
	case e.Action == "fail":
		r.failed++
		fmt.Fprint(r.out, said)
	case e.Action == "skip":
		r.skipped[key] = said
	default:
		r.passed++
	}
}

// closePackage prints what a failed package said, and keeps its last line.
func (r *report) closePackage(e event, said string) {
	if e.Action == "fail" {
		r.failed++
		fmt.Fprint(r.out, said)
	}
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "FAIL\t") {
			r.closing = append(r.closing, strings.TrimSuffix(line, "\n")+"\n")
		}
	}
}

// close judges the run and prints its closing lines.
func (r *report) close(allowed map[string]string) error {
	refused := 0
	for test, said := range r.skipped {
		if reason, ok := mayBeSkipped(test, allowed); ok {
			fmt.Fprintf(r.out, "skipped, as listed: %v (%s)\n", test, reason)
			continue
		}
		refused++
		fmt.Fprintf(r.out, "SKIPPED: %v\n%s", test, said)
	}
	for _, b := range r.output { // tests that never ended
		fmt.Fprint(r.out, b.String())
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	slices.Sort(r.closing)
	fmt.Fprint(r.out, strings.Join(r.closing, ""))
	switch {
	case r.failed > 0:
		return fmt.Errorf("%d failures", r.failed)
	case refused > 0:
		return fmt.Errorf("%d tests were skipped that should run here", refused)
	case r.passed == 0:
		return fmt.Errorf("no test was run")
	}
	return nil
}

// mayBeSkipped looks a test, or one of the tests that it is part of, up in the
// list.
func mayBeSkipped(n testName, allowed map[string]string) (string, bool) {
	for {
		if reason, ok := allowed[n.String()]; ok {
			return reason, true
		}
		i := strings.LastIndexByte(n.Test, '/')
		if i < 0 {
			return "", false
		}
		n.Test = n.Test[:i]
	}
}
