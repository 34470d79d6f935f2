package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// module is the path of the module that the checks are about.
const module = "rpdb"

// Tree is the sources of a module: its Go files, parsed, and all other text.
// It is not modified after [Load] and safe for concurrent use.
type Tree struct {
	fset *token.FileSet
	// Files holds the Go files in the order of their paths.
	Files []*File
	// Texts holds every other text file, by path: documents, examples,
	// scripts, configuration. Files below a testdata folder are not in it.
	Texts map[string]string
	// Paths holds the paths of all files and folders, testdata included.
	Paths map[string]bool
}

// File is one Go file.
type File struct {
	Path   string // relative to the module, with slashes
	Source []byte
	Syntax *ast.File
}

// Dir returns the folder of the file's package, "." for the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// IsTest reports whether the file belongs to tests only.
func (f *File) IsTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Finding is one place that breaks a rule, and the rule's reason.
type Finding struct {
	Where string // path, or path:line
	What  string
}

// String returns "where: what".
func (f Finding) String() string { return f.Where + ": " + f.What }

// Load parses the module in fsys. Nested modules, folders whose name begins
// with a dot or underscore (but for .ci), and testdata are not parsed, as the
// go command leaves them out. A file that does not parse is an error.
func Load(fsys fs.FS) (*Tree, error) {
	t := &Tree{fset: token.NewFileSet(), Texts: map[string]string{}, Paths: map[string]bool{}}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		t.Paths[p] = true
		switch {
		case d.IsDir() && foreign(fsys, p):
			return fs.SkipDir
		case d.IsDir() || !d.Type().IsRegular() || strings.Contains("/"+p, "/testdata/"):
			return nil
		case p == ".git": // of a worktree: a file that says where the repository is
			return nil
		}
		return t.add(fsys, p)
	})
	return t, err
}

// foreign reports whether a folder is no part of the module.
func foreign(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if dir == "." || base == ".ci" {
		return false
	}
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "vendor" {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func (t *Tree) add(fsys fs.FS, p string) error {
	source, err := fs.ReadFile(fsys, p)
	if err != nil {
		return err
	}
	if path.Ext(p) != ".go" {
		if !bytes.ContainsRune(source, 0) { // else it is a built program
			t.Texts[p] = string(source)
		}
		return nil
	}
	syntax, err := parser.ParseFile(t.fset, p, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.Files = append(t.Files, &File{Path: p, Source: source, Syntax: syntax})
	return nil
}

// Sources returns the Go files that are not tests.
func (t *Tree) Sources() []*File {
	return slices.DeleteFunc(slices.Clone(t.Files), (*File).IsTest)
}

// Packages returns the files that are not tests by folder.
func (t *Tree) Packages() map[string][]*File {
	packages := map[string][]*File{}
	for _, f := range t.Sources() {
		packages[f.Dir()] = append(packages[f.Dir()], f)
	}
	return packages
}

// functions calls visit for every function and method with a body.
func (t *Tree) functions(files []*File, visit func(*File, *ast.FuncDecl)) {
	for _, f := range files {
		for _, d := range f.Syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				visit(f, fn)
			}
		}
	}
}

// find returns a finding at a node.
func (t *Tree) find(n ast.Node, format string, args ...any) Finding {
	pos := t.fset.Position(n.Pos())
	return Finding{Where: sprint("%s:%d", pos.Filename, pos.Line), What: sprint(format, args...)}
}

func sprint(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// lines returns how many lines a node spans.
func (t *Tree) lines(n ast.Node) int {
	return t.fset.Position(n.End()).Line - t.fset.Position(n.Pos()).Line + 1
}

// within reports whether a folder matches a pattern: "a" is that folder,
// "a/*" each folder in it, "a/..." it and everything below, "..." all.
func within(pattern, dir string) bool {
	if pattern == "..." {
		return true
	}
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == above || strings.HasPrefix(dir, above+"/")
	}
	ok, _ := path.Match(pattern, dir)
	return ok
}

// anyWithin reports whether one of the patterns matches.
func anyWithin(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return within(p, dir) })
}
