package archtest

import (
	"os"
	"testing"
)

// checks are all rules, by the name under which the test runs them.
func checks() map[string]func(*Tree) []Finding {
	return map[string]func(*Tree) []Finding{
		"Imports":         Imports,
		"TestImports":     TestImports,
		"Programs":        Programs,
		"Purity":          Purity,
		"Processes":       Processes,
		"Panics":          Panics,
		"Globals":         Globals,
		"FunctionLengths": FunctionLengths,
		"FileLengths":     FileLengths,
		"Parameters":      Parameters,
		"Interfaces":      Interfaces,
		"PackageComments": PackageComments,
		"Documentation":   Documentation,
		"Markers":         Markers,
		"Formatted":       Formatted,
		"ASCII":           ASCII,
		"Machines":        Machines,
		"Folders":         Folders,
		"Commands":        Commands,
		"References":      References,
	}
}

// TestModule runs every check on this module.
func TestModule(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tree.Packages()["."]; !ok {
		t.Fatal("the module's root has no sources: the checks looked at nothing")
	}
	for name, check := range checks() {
		t.Run(name, func(t *testing.T) {
			for _, f := range check(tree) {
				t.Error(f)
			}
		})
	}
}
