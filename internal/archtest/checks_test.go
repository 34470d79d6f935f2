package archtest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// badTree is a small tree that breaks one rule, and what the check must say.
// An empty want is a tree that looks bad and is not.
type badTree struct {
	name  string
	check string // a key of checks
	files map[string]string
	want  []string // the start of each finding, in order of their places
}

// run loads the tree and compares the check's findings with the wanted ones.
func (b badTree) run(t *testing.T) {
	fsys := fstest.MapFS{}
	for path, text := range b.files {
		fsys[path] = &fstest.MapFile{Data: []byte(text)}
	}
	tree, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range checks()[b.check](tree) {
		got = append(got, f.String())
	}
	slices.Sort(got)
	if len(got) != len(b.want) {
		t.Fatalf("%d findings, want %d:\n%s", len(got), len(b.want), strings.Join(got, "\n"))
	}
	for i, want := range b.want {
		if !strings.HasPrefix(got[i], want) {
			t.Errorf("finding %q, want it to begin with %q", got[i], want)
		}
	}
}

func badTrees() []badTree {
	return slices.Concat(importTrees(), purityTrees(), globalTrees(), sizeTrees(), commentTrees(), textTrees(), commandTrees(), referenceTrees())
}

func TestChecks(t *testing.T) {
	for _, b := range badTrees() {
		t.Run(b.check+"/"+b.name, b.run)
	}
}

func referenceTrees() []badTree {
	document := func(name, text string, want ...string) badTree {
		return badTree{name, "References", map[string]string{
			"docs/a.md": text, "docs/b.md": "", "fib/match.go": "package fib\n", "testdata/x/cases.json": "{}",
		}, want}
	}
	return []badTree{
		document("links", "[b](b.md) [b](b.md#part) [up](../docs/b.md) [out](https://example.com/x.md)\n[c](c.md)\n", `docs/a.md:2: points to "c.md"`),
		document("paths", "`fib/match.go` `testdata/x/cases.json` `format/NAME/doc.go`\n`fib/mach.go`\n", `docs/a.md:2: points to "fib/mach.go"`),
	}
}

// TestEveryCheckIsTried keeps a check from standing in the list without a bad
// tree in which it finds something.
func TestEveryCheckIsTried(t *testing.T) {
	tried := map[string]bool{}
	for _, b := range badTrees() {
		tried[b.check] = tried[b.check] || len(b.want) > 0
	}
	for name := range checks() {
		if !tried[name] {
			t.Errorf("no bad tree for %s", name)
		}
	}
}

// one is a tree of one file.
func one(path, text string) map[string]string { return map[string]string{path: text} }

func importTrees() []badTree {
	return []badTree{
		{
			"the root imports nothing of ours", "Imports", one("a.go", "package rpdb\nimport \"rpdb/fib\"\n"),
			[]string{`a.go:2: package rpdb (root) may not import "rpdb/fib": the nouns are the leaf`},
		},
		{
			"a foreign module in the core", "Imports", one("fib/a.go", "package fib\nimport (\n\"fmt\"\n\"rpdb\"\n\"github.com/gaissmai/bart\"\n\"example.com/x\"\n)\n"),
			[]string{`fib/a.go:6: package fib may not import "example.com/x": the pure core`},
		},
		{
			"a module whose name only begins alike", "Imports", one("fib/a.go", "package fib\nimport \"github.com/gaissmai/bartender\"\n"),
			[]string{`fib/a.go:2: `},
		},
		{
			"the kernel's test kit in the product", "Imports", one("cli/a.go", "package cli\nimport \"rpdb/kernel/kerneltest\"\n"),
			[]string{`cli/a.go:2: `},
		},
		{
			"a folder without a row", "Imports", one("helpers/a.go", "package helpers\n"),
			[]string{`helpers/a.go:1: folder "helpers" is in no row`},
		},
		{
			"one notation does not know another", "Imports", one("format/a/a.go", "package a\nimport \"rpdb/format/b\"\n"),
			[]string{`format/a/a.go:2: package format/a may not import`},
		},
		{
			"a notation below another", "Imports", one("format/a/b/a.go", "package b\n"),
			[]string{`format/a/b/a.go:1: folder "format/a/b" is in no row`},
		},
		{"tests may compare", "TestImports", one("fib/a_test.go", "package fib\nimport \"github.com/google/go-cmp/cmp\"\n"), nil},
		{
			"tests may not assert", "TestImports", one("fib/a_test.go", "package fib\nimport \"github.com/stretchr/testify/assert\"\n"),
			[]string{`fib/a_test.go:2: tests of package fib may not import`},
		},
		{
			"the twin is for the kernel's tests", "TestImports", one("plan/a_test.go", "package plan\nimport \"github.com/mdlayher/netlink\"\n"),
			[]string{`plan/a_test.go:2: `},
		},
		{
			"a core test that needs Linux", "TestImports", one("fib/a_test.go", "package fib\nimport \"rpdb/kernel\"\n"),
			[]string{`fib/a_test.go:2: a test of the pure core imports "rpdb/kernel"`},
		},
		{"and says so in its name", "TestImports", one("fib/a_linux_test.go", "package fib\nimport \"rpdb/kernel\"\n"), nil},
		{"or in a constraint", "TestImports", one("fib/a_test.go", "// A comment.\n\n//go:build linux\n\npackage fib\nimport \"rpdb/kernel\"\n"), nil},
		{"a program outside cmd", "Programs", one("fib/a.go", "package main\n"), []string{`fib/a.go:1: package main in fib`}},
		{"a library in cmd", "Programs", one("cmd/x/y/a.go", "package y\n"), []string{`cmd/x/y/a.go:1: package y in cmd/x/y`}},
		{"a heavy small program", "Programs", map[string]string{
			"cmd/ip/a.go": "package main\nimport \"rpdb/cli/ip\"\n",
			"cli/ip/a.go": "package ip\nimport (\n\"rpdb/kernel\"\n\"github.com/spf13/cobra\"\n)\n",
			"kernel/a.go": "package kernel\nimport \"golang.org/x/sys/unix\"\n",
		}, []string{"cmd/ip: links github.com/spf13/cobra"}},
	}
}

func purityTrees() []badTree {
	return []badTree{
		{
			"the machine in the core", "Purity", one("plan/a.go", "package plan\nimport (\n\"os\"\n\"net/netip\"\n\"net/http\"\n)\n"),
			[]string{`plan/a.go:3: package plan imports "os"`, `plan/a.go:5: package plan imports "net/http"`},
		},
		{"the machine at the edge", "Purity", one("kernel/a.go", "package kernel\nimport \"os\"\nfunc f() { go f() }\n"), nil},
		{
			"a goroutine and the clock", "Purity", one("policy/a.go", "package policy\nimport \"time\"\nfunc f() {\n go f()\n _ = time.Second\n _ = time.Now()\n}\n"),
			[]string{"policy/a.go:4: starts a goroutine", "policy/a.go:6: uses time.Now"},
		},
		{"a core for one system", "Purity", one("fib/a.go", "//go:build linux\n\npackage fib\n"), []string{"fib/a.go: is built on some systems only"}},
		{"a core for one system by name", "Purity", one("fib/a_linux.go", "package fib\n"), []string{"fib/a_linux.go: is built on some systems only"}},
		{"shelling out", "Processes", one("apply/a.go", "package apply\nimport \"os/exec\"\n"), []string{"apply/a.go:2: package apply starts processes"}},
		{"the rehearsal runs itself", "Processes", one("sandbox/a.go", "package sandbox\nimport \"os/exec\"\n"), nil},
		{"a library that exits", "Processes", one("cli/a.go", "package cli\nimport \"os\"\nfunc f() { os.Exit(1) }\n"), []string{"cli/a.go:3: ends the process"}},
		{"main may exit", "Processes", one("cmd/rpdb/a.go", "package main\nimport \"os\"\nfunc f() { os.Exit(1) }\n"), nil},
		{"a panic", "Panics", one("fib/a.go", "package fib\nfunc (t *T) f() { panic(1) }\n"), []string{"fib/a.go:2: T.f panics"}},
		{"Must may panic", "Panics", one("fib/a.go", "package fib\nfunc MustX() { panic(1) }\nfunc mustY() { panic(1) }\n"), nil},
		{
			"an arm that cannot be", "Panics", one("fib/a.go", "package fib\nfunc f(x int) {\n switch x {\n case 1:\n  panic(1)\n default:\n  panic(2)\n }\n}\n"),
			[]string{"fib/a.go:5: f panics"},
		},
	}
}

func globalTrees() []badTree {
	global := func(name, text string, want ...string) badTree {
		return badTree{name, "Globals", one("fib/a.go", "package fib\n"+text+"\n"), want}
	}
	return []badTree{
		global("a bare variable", "var x int", "fib/a.go:2: package variable x has no value"),
		global("a number", "var x = 1", "fib/a.go:2: package variable x should be a constant"),
		global("an assertion", "var _ I = T{}"),
		global("an error", "var ErrX = errors.New(\"x\")"),
		global("a typed error", "var errX = &OpError{}"),
		global("a pointer", "var x = &T{}", "fib/a.go:2: package variable x can change"),
		global("an expression", "var x = regexp.MustCompile(\"a\")"),
		global("a generic constructor", "var x = sync.OnceValue[int](f)"),
		global("an unknown constructor", "var x = newCache()", "fib/a.go:2: package variable x is made by newCache"),
		global("a table", "var x = map[int]string{}\nfunc f() string { return x[1] }"),
		global("an exported table", "var X = map[int]string{}", "fib/a.go:2: package variable X is exported"),
		global("a table that is written to", "var x = map[int]string{}\nfunc f() { x[1] = \"\" }", "fib/a.go:2: package variable x is written to"),
		global("a table that loses an entry", "var x = map[int]string{}\nfunc f() { delete(x, 1) }", "fib/a.go:2: "),
		global("a field that is counted up", "var x = T{}\nfunc f() { x.n++ }", "fib/a.go:2: "),
		global("an address that escapes", "var x = T{}\nfunc f() *T { return &x }", "fib/a.go:2: "),
		global("a local of the same name", "var x = T{}\nfunc f() { x := T{}\n x.n++ }"),
		global("a parameter of the same name", "var x = T{}\nfunc f(x *T) { x.n++ }"),
		global("an embedded file", "//go:embed a.txt\nvar x string"),
	}
}

func sizeTrees() []badTree {
	body := func(lines int) string { return "func f() {\n" + strings.Repeat("\tg()\n", lines-2) + "}\n" }
	many := "package fib\n" + strings.Repeat(body(3), 20)
	return []badTree{
		{"a long function", "FunctionLengths", one("fib/a.go", many+body(81)), []string{"fib/a.go:62: fib.f has 81 lines, the ceiling is 80"}},
		{"one at the ceiling", "FunctionLengths", one("fib/a.go", many+body(80)), nil},
		{
			"too many long ones", "FunctionLengths", one("fib/a.go", "package fib\n"+strings.Repeat(body(3), 8)+strings.Repeat(body(40), 3)),
			[]string{"functions: 90 % have up to 40 lines, the budget is 35"},
		},
		{"a test with its table", "FunctionLengths", one("fib/a_test.go", "package fib\n"+body(120)), nil},
		{"a longer test", "FunctionLengths", one("fib/a_test.go", "package fib\n"+body(121)), []string{"fib/a_test.go:2: fib.f has 121 lines"}},
		{"a long file", "FileLengths", one("fib/a.go", "package fib\n"+strings.Repeat("\n", 800)), []string{"fib/a.go: has 801 lines", "files: 90 %"}},
		{"a long test file", "FileLengths", one("fib/a_test.go", "package fib\n"+strings.Repeat("\n", 1100)), nil},
		{
			"parameters", "Parameters", one("fib/a.go", "package fib\nfunc f(a, b, c int, d, e string) {}\nfunc g(a, b, c int, d, e, f string) {}\n"),
			[]string{"fib/a.go:3: takes 6 parameters"},
		},
		{
			"a wide interface", "Interfaces", one("fib/a.go", "package fib\ntype I interface { a(); b(); c(); d() }\ntype J interface { I; e() }\n"),
			[]string{"fib/a.go:3: interface J has 5 methods"},
		},
		{"constraints are not methods", "Interfaces", one("fib/a.go", "package fib\ntype I interface { comparable; a(); b(); c(); ~int | ~string; d() }\n"), nil},
	}
}

func commentTrees() []badTree {
	documentation := func(name, text string, want ...string) badTree {
		return badTree{name, "Documentation", one("fib/a.go", "package fib\n"+text+"\n"), want}
	}
	return []badTree{
		{"no package comment", "PackageComments", one("fib/a.go", "package fib\n"), []string{"fib: has 0 package comments"}},
		{
			"two package comments", "PackageComments",
			map[string]string{"fib/a.go": "// Package fib is.\npackage fib\n", "fib/b.go": "// Package fib is.\npackage fib\n"},
			[]string{"fib: has 2 package comments"},
		},
		{"a strange beginning", "PackageComments", one("cmd/x/a.go", "// Package main is.\npackage main\n"), []string{`cmd/x/a.go:1: the package comment must begin with "Command "`}},
		documentation("functions", "// F is.\nfunc F() {}\nfunc G() {}\nfunc h() {}", "fib/a.go:4: G is exported"),
		documentation("methods", "func (T) M() {}\nfunc (*t) M() {}\n", "fib/a.go:2: T.M is exported"),
		documentation("types", "type T int\n// U is.\ntype U int\ntype (\n V int // V is\n)\n", "fib/a.go:2: T is", "fib/a.go:6: V is"),
		documentation("constants", "// The group.\nconst (\n A = 1\n B = 2\n)\nconst (\n C = 1\n D = 2 // is\n)\n", "fib/a.go:8: C is"),
		{"most is enough outside the core", "Documentation", one("cli/a.go", "package cli\n"+strings.Repeat("// F is.\nfunc F() {}\n", 19)+"func G() {}\n"), nil},
		{"half is not", "Documentation", one("cli/a.go", "package cli\n// F is.\nfunc F() {}\nfunc G() {}\n"), []string{"cli/a.go:4: G is"}},
		{"deferred work", "Markers", map[string]string{"fib/a.go": "package fib\n\n// TO" + "DO: later.\n", "a.md": "x\nFIX" + "ME\n"}, []string{"a.md:2: says FIX", "fib/a.go:3: comment says TO"}},
	}
}

func textTrees() []badTree {
	return []badTree{
		{"unformatted", "Formatted", one("a.go", "package  rpdb\n"), []string{"a.go: is not formatted"}},
		{"formatted", "Formatted", one("a.go", "package rpdb\n"), nil},
		{"an arrow", "ASCII", one("a.md", "a\nb \u2192 c\n"), []string{"a.md:2: column 3 is not printable"}},
		{"a control byte", "ASCII", one("a.go", "package rpdb // \x1b[m\n"), []string{"a.go:1: column 17"}},
		{"test data may hold anything", "ASCII", one("testdata/a.txt", "\u2192"), nil},
		{"a place on a machine", "Machines", one("a.md", "see /wo"+"rk/main\nand a/wo"+"rk/b\n"), []string{`a.md:1: names " /wo`}},
		{"a registry", "Machines", one("a.go", "package rpdb // proxy.gol"+"ang.org\n"), []string{"a.go:1: names"}},
		{
			"a folder nobody explains, and one that is gone", "Folders",
			map[string]string{
				"ARCHITECTURE.md": "a `plan` in the text\n\n| folder | what |\n|---|---|\n| `fib`, `format/*` | x |\n| `web` | x |\n",
				"a.go":            "package rpdb\n", "fib/a.go": "package fib\n", "format/x/a.go": "package x\n", "plan/a.go": "package plan\n",
			},
			[]string{`ARCHITECTURE.md: explains the folder "web"`, "plan: is not in ARCHITECTURE.md"},
		},
		{"no page", "Folders", one("a.go", "package rpdb\n"), []string{"ARCHITECTURE.md: is missing"}},
	}
}

func commandTrees() []badTree {
	document := func(name, text string, want ...string) badTree {
		return badTree{name, "Commands", map[string]string{
			"README.md":          text,
			"Makefile":           "check:\n\ttrue\n",
			"cli/a.go":           "package cli\nvar _ = \"try FILE\"\nvar _ = \"show\"\n",
			"cmd/rpdb/a.go":      "package main\n",
			"examples/good.yaml": "",
		}, want}
	}
	return []badTree{
		document("make targets", "```sh\nmake check\nmake N=1 chekc\n```\n", `README.md:3: tells the reader to type "make N=1 chekc"`),
		document("packages", "```sh\ngo test ./...\ngo test ./cli ./clx/...\n```\n", "README.md:3: "),
		document("verbs", "```console\n$ rpdb show\n$ rpdb shwo\n0: from all lookup local\n# sudo A=1 rpdb shwo\n```\n", "README.md:3: ", "README.md:5: "),
		document("examples", "```sh\ngo run ./cmd/rpdb try examples/good.yaml  # takes a moment\ngo run ./cmd/rpdb try examples/bad.yaml\n```\n", "README.md:3: "),
		document("other blocks are not commands", "make it so\n```\nmake it so\n```\n```yaml\nmake: it so\n```\n"),
	}
}

func TestLoadRefusesWhatDoesNotParse(t *testing.T) {
	if _, err := Load(fstest.MapFS{"a.go": {Data: []byte("pakcage rpdb\n")}}); err == nil {
		t.Error("no error")
	}
}

func TestLoadLeavesOutTheFileOfAWorktree(t *testing.T) {
	tree, err := Load(fstest.MapFS{".git": {Data: []byte("gitdir: ../x/.git\n")}})
	if err != nil || len(tree.Texts) != 0 {
		t.Errorf("texts: %v, %v", tree.Texts, err)
	}
}

func TestLoadLeavesOut(t *testing.T) {
	tree, err := Load(fstest.MapFS{
		"a.go":             {Data: []byte("package rpdb\n")},
		"tools/go.mod":     {Data: []byte("module rpdb/tools\n")},
		"tools/a.go":       {Data: []byte("package tools\n")},
		"fib/testdata/a.c": {Data: []byte("package broken {\n")},
		"_x/a.go":          {Data: []byte("package x\n")},
		".git/config":      {Data: []byte("x")},
		".ci/run":          {Data: []byte("#!/bin/bash\n")},
		"rpdb":             {Data: []byte("\x7fELF\x00")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Files) != 1 || tree.Files[0].Path != "a.go" {
		t.Errorf("files: %v", tree.Files)
	}
	if got := slices.Sorted(maps.Keys(tree.Texts)); !slices.Equal(got, []string{".ci/run"}) {
		t.Errorf("texts: %v", got)
	}
}
