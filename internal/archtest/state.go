package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// constructors are the functions whose result a package-level variable may
// hold: values that nothing can change afterwards.
func constructors() []string {
	return []string{
		"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "template.Must",
		"sync.OnceValue", "sync.OnceValues", "sync.OnceFunc",
		"netip.MustParseAddr", "netip.MustParsePrefix", "netip.AddrFrom4", "netip.AddrFrom16", "netip.PrefixFrom",
		"netip.IPv4Unspecified", "netip.IPv6Unspecified",
	}
}

// Globals checks that there is no global mutable state. A package-level
// variable may be a compile-time assertion, an embedded file, an error, a
// value that cannot change, or an unexported table or function that its
// package never writes to or takes the address of.
func Globals(t *Tree) []Finding {
	var found []Finding
	for _, files := range t.Packages() {
		written := writtenNames(files)
		for _, f := range files {
			for _, d := range f.Syntax.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR || embedded(g) {
					continue
				}
				for _, s := range g.Specs {
					found = append(found, t.globalsIn(s.(*ast.ValueSpec), written)...)
				}
			}
		}
	}
	return found
}

func (t *Tree) globalsIn(s *ast.ValueSpec, written map[string]bool) []Finding {
	var found []Finding
	for i, name := range s.Names {
		var value ast.Expr
		if i < len(s.Values) {
			value = s.Values[i]
		}
		if why := mutable(name.Name, value, written[name.Name]); why != "" {
			found = append(found, t.find(name, "package variable %s %s: no global mutable state; pass it, or return it from a function", name.Name, why))
		}
	}
	return found
}

// mutable says in what way a package-level variable can change, "" if it
// cannot.
func mutable(name string, value ast.Expr, written bool) string {
	if name == "_" {
		return ""
	}
	if written {
		return "is written to or its address is taken"
	}
	isErr := strings.HasPrefix(name, "Err") || strings.HasPrefix(name, "err")
	switch v := value.(type) {
	case nil:
		return "has no value of its own"
	case *ast.BasicLit:
		return "should be a constant"
	case *ast.CallExpr:
		if slices.Contains(constructors(), callee(v.Fun)) {
			return ""
		}
		return "is made by " + callee(v.Fun) + ", which is not in the list of constructors"
	case *ast.CompositeLit, *ast.FuncLit:
		if token.IsExported(name) && !isErr {
			return "is exported, so anybody can change it"
		}
		return ""
	case *ast.UnaryExpr:
		if isErr && v.Op == token.AND {
			return ""
		}
	}
	return "can change"
}

// callee returns "pkg.Name" or "Name" of what a call calls.
func callee(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return callee(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		return callee(e.X)
	}
	return "a function"
}

// embedded reports whether a declaration is filled by go:embed.
func embedded(g *ast.GenDecl) bool {
	return g.Doc != nil && slices.ContainsFunc(g.Doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// writtenNames returns the names that functions of a package assign to, or
// take the address of, without declaring them. A local variable thus hides a
// package-level one of its name, as long as the function declares it anywhere.
func writtenNames(files []*File) map[string]bool {
	written := map[string]bool{}
	for _, f := range files {
		for _, d := range f.Syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			local := declaredIn(fn)
			ast.Inspect(fn, func(n ast.Node) bool {
				for _, target := range targets(n) {
					if name := root(target); name != "" && !local[name] {
						written[name] = true
					}
				}
				return true
			})
		}
	}
	return written
}

// targets returns the expressions that a node writes to or takes the address
// of.
func targets(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if _, isLiteral := n.X.(*ast.CompositeLit); n.Op == token.AND && !isLiteral {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if slices.Contains([]string{"delete", "clear", "copy"}, callee(n.Fun)) && len(n.Args) > 0 {
			return n.Args[:1]
		}
	}
	return nil
}

// root returns the variable at the root of an expression: v of v.f[i].
func root(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	case *ast.StarExpr:
		return root(e.X)
	}
	return ""
}

// declaredIn returns the names that a function declares anywhere in it,
// its parameters and results included.
func declaredIn(fn *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			addNames(names, n.Names)
		case *ast.ValueSpec:
			addNames(names, n.Names)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					names[root(e)] = true
				}
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				names[root(n.Key)] = true
				if n.Value != nil {
					names[root(n.Value)] = true
				}
			}
		}
		return true
	})
	return names
}

func addNames(names map[string]bool, ids []*ast.Ident) {
	for _, id := range ids {
		names[id.Name] = true
	}
}
