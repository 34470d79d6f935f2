package archtest

import (
	"go/ast"
	"slices"
)

// The budgets. A function's length counts from its first line to its closing
// brace; tests may hold their tables in the function.
const (
	functionCeiling     = 80
	testFunctionCeiling = 120
	functionMedian      = 10
	functionP90         = 35
	fileCeiling         = 800
	testFileCeiling     = 1200
	fileP90             = 450
	parameterCeiling    = 5
	methodCeiling       = 4
)

// longFunctions are the functions that may be longer than the ceiling, by
// folder and name, with the length they have. The list only shrinks: an entry
// that is longer or no longer needed is a finding.
func longFunctions() map[string]int {
	return map[string]int{}
}

// FunctionLengths checks the ceilings, and over all sources the median and
// the ninetieth percentile.
func FunctionLengths(t *Tree) []Finding {
	var found []Finding
	var lengths []int
	exceptions := longFunctions()
	t.functions(t.Files, func(f *File, fn *ast.FuncDecl) {
		length, ceiling, key := t.lines(fn), functionCeiling, f.Dir()+"."+functionName(fn)
		if f.IsTest() {
			ceiling = testFunctionCeiling
		} else {
			lengths = append(lengths, length)
		}
		if known, ok := exceptions[key]; ok {
			delete(exceptions, key)
			if length <= ceiling || length > known {
				found = append(found, t.find(fn, "%s has %d lines and is listed with %d in longFunctions: the list only shrinks", key, length, known))
			}
		} else if length > ceiling {
			found = append(found, t.find(fn, "%s has %d lines, the ceiling is %d: split it where it changes the subject", key, length, ceiling))
		}
	})
	for key := range exceptions {
		found = append(found, Finding{"longFunctions", "lists " + key + ", which is gone: the list only shrinks"})
	}
	found = append(found, quantile("functions", lengths, 50, functionMedian)...)
	return append(found, quantile("functions", lengths, 90, functionP90)...)
}

// quantile checks that at least percent of the lengths stay within the limit.
func quantile(what string, lengths []int, percent, limit int) []Finding {
	slices.Sort(lengths)
	if len(lengths) == 0 {
		return nil
	}
	if at := lengths[(len(lengths)-1)*percent/100]; at > limit {
		return []Finding{{what, sprint("%d %% have up to %d lines, the budget is %d", percent, at, limit)}}
	}
	return nil
}

// functionName returns "Name", or "Type.Name" of a method.
func functionName(fn *ast.FuncDecl) string {
	if base := receiver(fn); base != "" {
		return base + "." + fn.Name.Name
	}
	return fn.Name.Name
}

// receiver returns the name of the type a method belongs to, "" for functions.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	return typeName(fn.Recv.List[0].Type)
}

// typeName returns the name of a type without star, package and parameters.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// FileLengths checks the ceilings, and over all sources the ninetieth
// percentile.
func FileLengths(t *Tree) []Finding {
	var found []Finding
	var lengths []int
	for _, f := range t.Files {
		length, ceiling := t.fset.File(f.Syntax.FileStart).LineCount(), fileCeiling
		if f.IsTest() {
			ceiling = testFileCeiling
		} else {
			lengths = append(lengths, length)
		}
		if length > ceiling {
			found = append(found, Finding{f.Path, sprint("has %d lines, the ceiling is %d: one concept per file", length, ceiling)})
		}
	}
	return append(found, quantile("files", lengths, 90, fileP90)...)
}

// Parameters checks that no function takes more than five parameters.
func Parameters(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Sources() {
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncType); ok && fn.Params.NumFields() > parameterCeiling {
				found = append(found, t.find(fn, "takes %d parameters, the ceiling is %d: pass a struct whose zero value works", fn.Params.NumFields(), parameterCeiling))
			}
			return true
		})
	}
	return found
}

// Interfaces checks that no interface has more than four methods. An embedded
// interface counts with its methods if it is declared in the same package, and
// as one method otherwise.
func Interfaces(t *Tree) []Finding {
	var found []Finding
	for _, files := range t.Packages() {
		known := map[string]*ast.InterfaceType{}
		for _, f := range files {
			eachType(f, func(_ *ast.GenDecl, s *ast.TypeSpec) {
				if i, ok := s.Type.(*ast.InterfaceType); ok {
					known[s.Name.Name] = i
				}
			})
		}
		for name, i := range known {
			if n := methods(i, known); n > methodCeiling {
				found = append(found, t.find(i, "interface %s has %d methods, the ceiling is %d: let each consumer declare what it uses", name, n, methodCeiling))
			}
		}
	}
	return found
}

func methods(i *ast.InterfaceType, known map[string]*ast.InterfaceType) int {
	n := 0
	for _, m := range i.Methods.List {
		switch e := m.Type.(type) {
		case *ast.FuncType:
			n += len(m.Names)
		case *ast.Ident:
			if embedded, ok := known[e.Name]; ok {
				n += methods(embedded, known)
			} else if e.Name != "any" && e.Name != "comparable" {
				n++
			}
		case *ast.SelectorExpr:
			n++
		}
	}
	return n
}

// eachType calls visit for every type declared at the top of a file.
func eachType(f *File, visit func(*ast.GenDecl, *ast.TypeSpec)) {
	for _, d := range f.Syntax.Decls {
		if g, ok := d.(*ast.GenDecl); ok {
			for _, s := range g.Specs {
				if s, ok := s.(*ast.TypeSpec); ok {
					visit(g, s)
				}
			}
		}
	}
}
