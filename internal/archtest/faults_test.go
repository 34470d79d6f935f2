package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFaultsNameTests looks for every test, fuzz target and script that
// docs/faults.md says tries a fault.
func TestFaultsNameTests(t *testing.T) {
	page, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, f := range tree.Files {
		if !f.IsTest() {
			continue
		}
		source, err := os.ReadFile(filepath.Join("../..", f.Path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			there[m[1]] = true
		}
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(string(page), -1)
	if len(named) < 50 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, name := range named {
		if !there[name] {
			t.Errorf("docs/faults.md names %s, which is nowhere", name)
		}
	}
	for _, m := range regexp.MustCompile("`([a-z-]+[.]txtar)`").FindAllStringSubmatch(string(page), -1) {
		if _, err := os.Stat(filepath.Join("../../cli/testdata/script", m[1])); err != nil {
			t.Error(err)
		}
	}
	for _, row := range strings.Fields("A1 A21 B1 B12 C1 C10 D1 D11 E1 E14 G1 G7") {
		if !strings.Contains(string(page), "\n| "+row+" ") {
			t.Errorf("no row %s", row)
		}
	}
}

// TestEventsNameTests does the same for docs/events.md, and wants a row for every
// test of internal/events.
func TestEventsNameTests(t *testing.T) {
	page, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Z]\w+)\(`)
	there := map[string]bool{}
	for _, dir := range []string{"../events", "../../apply", "../../cli", "../../kernel", "../faults"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
				there[m[1]] = true
				if dir == "../events" && m[1] != "TestMain" && !strings.Contains(string(page), m[1]) {
					t.Errorf("docs/events.md does not name %s", m[1])
				}
			}
		}
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(page), -1) {
		if !there[name] {
			t.Errorf("docs/events.md names %s, which is nowhere", name)
		}
	}
}
