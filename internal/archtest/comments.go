package archtest

import (
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// documentedShare is the share of exported identifiers, in percent, that must
// have a comment outside the packages in which all must.
const documentedShare = 95

// PackageComments checks that each package has its comment in exactly one
// file, and that it begins as go doc expects.
func PackageComments(t *Tree) []Finding {
	var found []Finding
	packages := t.Packages()
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		var with []string
		for _, f := range packages[dir] {
			if f.Syntax.Doc == nil {
				continue
			}
			with = append(with, f.Path)
			begin := "Package " + f.Syntax.Name.Name + " "
			if f.Syntax.Name.Name == "main" {
				begin = "Command "
			}
			if !strings.HasPrefix(f.Syntax.Doc.Text(), begin) {
				found = append(found, t.find(f.Syntax.Doc, "the package comment must begin with %q", begin))
			}
		}
		if len(with) != 1 {
			found = append(found, Finding{dir, sprint("has %d package comments %v: one says what the package is, and everybody knows where", len(with), with)})
		}
	}
	return found
}

// mustDocumentAll reports whether every exported identifier of a folder must
// have a comment.
func mustDocumentAll(dir string) bool {
	return isPure(dir) || anyWithin([]string{"kernel/...", "nft", "bpf", "apply", "sandbox", "daemon/api"}, dir)
}

// Documentation checks that exported identifiers are documented. In a group of
// constants or variables the comment of the group, or one at the end of the
// line, is enough.
func Documentation(t *Tree) []Finding {
	var strict, lenient []Finding
	total := 0
	for _, f := range t.Sources() {
		exported(f, func(n ast.Node, name string, documented bool) {
			all := mustDocumentAll(f.Dir())
			if !all {
				total++
			}
			if documented {
				return
			}
			finding := t.find(n, "%s is exported and has no comment: say what it is, its zero value, who owns it, what it mirrors", name)
			if all {
				strict = append(strict, finding)
			} else {
				lenient = append(lenient, finding)
			}
		})
	}
	if len(lenient)*100 > total*(100-documentedShare) {
		strict = append(strict, lenient...)
	}
	return strict
}

// exported calls visit for each exported identifier that a file declares:
// functions, methods of exported types, types, constants and variables. What
// the methods of an interface promise stands at the interface.
func exported(f *File, visit func(n ast.Node, name string, documented bool)) {
	for _, d := range f.Syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if r := receiver(d); d.Name.IsExported() && (r == "" || token.IsExported(r)) {
				visit(d, functionName(d), d.Doc != nil)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				exportedSpec(d, s, visit)
			}
		}
	}
}

func exportedSpec(d *ast.GenDecl, s ast.Spec, visit func(n ast.Node, name string, documented bool)) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() {
				visit(name, name.Name, d.Doc != nil || s.Doc != nil || s.Comment != nil)
			}
		}
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			visit(s, s.Name.Name, s.Doc != nil || len(d.Specs) == 1 && d.Doc != nil)
		}
	}
}

// Markers checks that no comment or text defers work: what is missing is an
// issue, not a note in passing.
func Markers(t *Tree) []Finding {
	marker := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	var found []Finding
	for _, f := range t.Files {
		for _, group := range f.Syntax.Comments {
			for _, c := range group.List {
				if m := marker.FindString(c.Text); m != "" {
					found = append(found, t.find(c, "comment says %s: do it, or file it", m))
				}
			}
		}
	}
	return append(found, t.grep(marker, "says %s: do it, or file it")...)
}

// grep returns a finding for each line of a text file that the expression
// matches; format takes the match.
func (t *Tree) grep(re *regexp.Regexp, format string) []Finding {
	var found []Finding
	for _, path := range slices.Sorted(maps.Keys(t.Texts)) {
		for i, line := range strings.Split(t.Texts[path], "\n") {
			if m := re.FindString(line); m != "" {
				found = append(found, Finding{sprint("%s:%d", path, i+1), sprint(format, m)})
			}
		}
	}
	return found
}
