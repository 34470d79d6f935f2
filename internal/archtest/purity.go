package archtest

import (
	"go/ast"
	"slices"
	"strings"
)

// impureImports are the standard packages that the pure core must not use: the
// machine, the network, the clock's companions, and randomness without a seed.
func impureImports() []string {
	return []string{
		"context", "crypto/rand", "io/ioutil", "log", "math/rand", "net", "os",
		"plugin", "runtime", "syscall", "testing", "unsafe",
	}
}

// Purity checks that the pure core has no way to the machine: no system calls,
// clock, environment or goroutines. The same values in must give the same
// values out, on any system and at any time.
func Purity(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Sources() {
		if !isPure(f.Dir()) {
			continue
		}
		for _, i := range importsOf(f) {
			if i.path != "net/netip" && slices.ContainsFunc(impureImports(), func(p string) bool { return ofModule(p, i.path) }) {
				found = append(found, t.find(i.spec, "%s imports %q: %s", title(f.Dir()), i.path, pure))
			}
		}
		if constraint(f) != "" || strings.HasSuffix(f.Path, "_linux.go") {
			found = append(found, Finding{f.Path, "is built on some systems only: the pure core is the same everywhere"})
		}
		found = append(found, t.impureNodes(f)...)
	}
	return found
}

// impureNodes finds goroutines and readings of the clock.
func (t *Tree) impureNodes(f *File) []Finding {
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local"}
	var found []Finding
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, t.find(n, "starts a goroutine: the core decides, the edges wait"))
		case *ast.SelectorExpr:
			if isPackage(n.X, "time") && slices.Contains(clock, n.Sel.Name) {
				found = append(found, t.find(n, "uses time.%s: time arrives as a value", n.Sel.Name))
			}
		}
		return true
	})
	return found
}

// isPackage reports whether an expression is the plain name of a package.
func isPackage(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// Processes checks that only what re-executes this very program starts
// processes, and that nothing but a program ends one. The product never shells
// out to ip, nft or sysctl; what it needs from the kernel it asks the kernel. A
// running systemd is asked by its own programs, in the packages boot and apply/guard
// alone. What only tests import is no part of it.
func Processes(t *Tree) []Finding {
	reexec := []string{"sandbox", "kernel/kerneltest/..."}
	systemctl := []string{"boot", "apply/guard"}
	forTests := []string{"internal/formattest", "internal/networkdtest", "internal/systemdtest"}
	var found []Finding
	for _, f := range t.Sources() {
		for _, i := range importsOf(f) {
			if i.path == "os/exec" && !anyWithin(slices.Concat(reexec, systemctl, forTests), f.Dir()) {
				found = append(found, t.find(i.spec, "%s starts processes: only %v do, and only themselves, and boot systemctl", title(f.Dir()), reexec))
			}
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || within("cmd/*", f.Dir()) {
				return true
			}
			if isPackage(s.X, "os") && s.Sel.Name == "Exit" || isPackage(s.X, "log") && strings.HasPrefix(s.Sel.Name, "Fatal") {
				found = append(found, t.find(s, "ends the process: a library returns an error, and main decides"))
			}
			return true
		})
	}
	return found
}

// panicking are the functions outside Must* that may panic, by folder and
// name, with the reason.
func panicking() map[string]string {
	return map[string]string{
		"kernel/netlink.onThread": "passes on the panic of the function it was given, from one goroutine to another",
		"policy.Schema":           "maps, words and numbers always marshal",
	}
}

// Panics checks that libraries do not panic, but for functions called Must...,
// and for the default arm of a switch that no value reaches.
func Panics(t *Tree) []Finding {
	var found []Finding
	t.functions(t.Sources(), func(f *File, fn *ast.FuncDecl) {
		if _, ok := panicking()[f.Dir()+"."+functionName(fn)]; ok || strings.HasPrefix(strings.ToLower(fn.Name.Name), "must") {
			return
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CaseClause:
				if n.List == nil { // default
					return false
				}
			case *ast.CallExpr:
				if isPackage(n.Fun, "panic") {
					found = append(found, t.find(n, "%s panics: return an error; a case that cannot be belongs in the default arm of a switch", functionName(fn)))
				}
			}
			return true
		})
	})
	return found
}
