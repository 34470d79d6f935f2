package archtest

import (
	"go/ast"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// layer is one row of the import table: what the packages in a folder may
// import besides the standard library, and why no more.
type layer struct {
	dir    string   // pattern of [within]; the first row that matches counts
	ours   []string // patterns of folders of this module
	others []string // modules of others
	why    string
}

const (
	xsys   = "golang.org/x/sys"
	pure   = "the pure core is values in, values out: what it may import is what a laptop without Linux can run"
	anEdge = "each edge owns one door to the machine, and no other edge"
)

// importTable returns the table, specific folders before general ones. A new
// package starts with a row here.
func importTable() []layer {
	return []layer{
		{".", nil, nil, "the nouns are the leaf that everything else stands on"},
		{"fib", []string{"."}, []string{"github.com/gaissmai/bart"}, pure},
		{"headerspace", []string{"."}, nil, pure},
		{"analysis", []string{".", "fib", "headerspace"}, nil, pure},
		{"analysis/passes", []string{"analysis", "analysis/passes/*"}, nil, "the list of all checks knows the checks and nothing else"},
		{"analysis/cost", []string{".", "analysis"}, nil, pure},
		{"resident", []string{"."}, nil, "what is known of other programs is knowledge, and whoever needs it looks it up"},
		{"analysis/passes/*", []string{".", "fib", "headerspace", "analysis", "resident"}, nil, pure},
		{"policy", []string{".", "resident", "format", "format/iproute2"}, []string{"go.yaml.in/yaml/v4"}, "values in, values out; a policy that is written for a host quotes its rules in the words of ip"},
		{"plan", []string{".", "fib", "headerspace"}, nil, pure},
		{"format", []string{"."}, nil, "what notations share stands below all of them"},
		{"format/networkd", []string{".", "format", "format/iproute2"}, nil, "what it has no words for it says in those of ip"},
		{"format/netplan", []string{".", "format", "format/iproute2"}, []string{"go.yaml.in/yaml/v4"}, "what it has no words for it says in those of ip, and its own are YAML"},
		{"format/ifupdown", []string{".", "format", "format/iproute2", "format/rttables"}, nil, "ifupdown has no words of its own: its lines are commands of ip, whose tables have names in a file"},
		{"format/ipbatch", []string{".", "format", "format/iproute2", "format/rttables"}, nil, "a batch is commands of ip, whose tables have names in a file"},
		{"format/nmkeyfile", []string{".", "format", "format/iproute2", "format/rttables"}, nil, "NetworkManager writes rules in words like those of ip"},
		{"format/*", []string{".", "format"}, nil, "a notation knows the nouns and itself, so that each can be read and left out alone"},

		{"kernel/netlink", nil, []string{xsys}, "transport and attributes know messages, not rules"},
		{"kernel/kerneltest/...", []string{".", "fib", "format/*", "kernel/..."}, []string{xsys}, "the in-memory kernel is judged beside the real one, and speaks the words of ip"},
		{"kernel", []string{".", "kernel/netlink"}, []string{xsys}, anEdge},
		{"nft/nfttest", []string{".", "nft"}, nil, "the twin in memory keeps the values, and none of how they are written"},
		{"nft", []string{".", "kernel/netlink"}, []string{xsys}, "it owns the door to nf_tables, and shares the transport with the door to routing"},
		{"bpf", []string{".", "fib"}, []string{"github.com/cilium/ebpf"}, anEdge},
		{"apply/journal", []string{"."}, []string{xsys}, "it owns the door to the state directory, and decides nothing about what is in it"},
		{"apply/guard", nil, nil, "it starts this program once more, and knows nothing of what that does"},
		{"boot", nil, nil, "it owns the door to the folders of other programs, whose files call rpdb; of rules it knows nothing"},
		{"apply", []string{".", "plan", "fib", "apply/journal"}, nil, "a transaction declares the kernel it needs, so it can be tested, and fail, without one"},
		{"sandbox", []string{".", "kernel"}, []string{xsys}, "the rehearsal builds a world and sends packets; what they should do is the engine's business"},

		{"daemon/api", []string{"."}, nil, "the daemon's clients must not link the daemon"},
		{
			"daemon",
			[]string{".", "daemon/api", "apply", "plan", "policy", "analysis/...", "fib"},
			[]string{"github.com/coreos/go-systemd/v22", "github.com/prometheus/client_golang"},
			"the daemon wires decisions to a watch and decides nothing itself",
		},
		{"fleet", []string{".", "policy", "plan"}, []string{"go.etcd.io/etcd"}, "etcd stays where only those who ask for it link it"},
		{"web", []string{"daemon/api"}, nil, "the pages see what any client of the daemon sees"},
		{
			"cli/...",
			[]string{".", "fib", "headerspace", "analysis/...", "policy", "plan", "format/...", "kernel", "nft", "bpf", "apply/...", "boot", "sandbox", "daemon/api", "cli/..."},
			[]string{"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term", xsys},
			"commands never link the daemon, the fleet or the pages: it costs every start",
		},
		{"cmd/*", []string{"..."}, []string{xsys}, "here things are wired together; what is worth a library of others is worth a package of ours"},

		{"internal/oracle", []string{"."}, nil, "the slow twin shares no code with the engine that it judges"},
		{"internal/corpus", []string{"."}, nil, "generators make nouns, whoever consumes them"},
		{"internal/archtest", nil, nil, "the guard depends on nothing that it guards"},
		{"internal/systemdtest", nil, nil, "it boots systemd for whoever has something to run there, and knows nothing of that"},
		{"internal/...", []string{"..."}, nil, "helpers of the house; the product's libraries belong to a package with a name"},
	}
}

// testImports returns the modules that only test files may import, and where.
func testImports() map[string]string {
	return map[string]string{
		"github.com/google/go-cmp":              "...",
		"pgregory.net/rapid":                    "...",
		"go.uber.org/goleak":                    "...",
		"github.com/rogpeppe/go-internal":       "...",
		"github.com/santhosh-tekuri/jsonschema": "...",
		"github.com/invopop/jsonschema":         "...", // at generate time
		"github.com/mdlayher/netlink":           "kernel/...",
		xsys:                                    "...",
	}
}

// isPure reports whether the packages of a folder belong to the pure core.
func isPure(dir string) bool {
	return anyWithin([]string{".", "fib", "headerspace", "resident", "analysis/...", "policy", "plan", "format/..."}, dir)
}

// imported is one import of a file, already sorted out.
type imported struct {
	spec *ast.ImportSpec
	path string
	ours string // folder in this module, "" if it is not ours
	std  bool
}

func importsOf(f *File) []imported {
	var all []imported
	for _, spec := range f.Syntax.Imports {
		i := imported{spec: spec}
		i.path, _ = strconv.Unquote(spec.Path.Value)
		first, rest, _ := strings.Cut(i.path, "/")
		switch {
		case i.path == module:
			i.ours = "."
		case first == module:
			i.ours = rest
		default:
			i.std = !strings.Contains(first, ".")
		}
		all = append(all, i)
	}
	return all
}

// ofModule reports whether an import path lies in a module, in any of its
// major versions.
func ofModule(module, path string) bool {
	return path == module || strings.HasPrefix(path, module+"/")
}

// Imports checks every source against the import table.
func Imports(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Sources() {
		l, ok := layerOf(f.Dir())
		if !ok {
			found = append(found, t.find(f.Syntax.Name, "folder %q is in no row of the import table: decide what it may import", f.Dir()))
			continue
		}
		for _, i := range importsOf(f) {
			if !l.allows(i) {
				found = append(found, t.find(i.spec, "%s may not import %q: %s", title(f.Dir()), i.path, l.why))
			}
		}
	}
	return found
}

func layerOf(dir string) (layer, bool) {
	for _, l := range importTable() {
		if within(l.dir, dir) {
			return l, true
		}
	}
	return layer{}, false
}

func (l layer) allows(i imported) bool {
	if i.std {
		return true
	}
	if i.ours != "" {
		return anyWithin(l.ours, i.ours)
	}
	return slices.ContainsFunc(l.others, func(m string) bool { return ofModule(m, i.path) })
}

// title is how a message calls the package in a folder.
func title(dir string) string {
	if dir == "." {
		return "package " + module + " (root)"
	}
	return "package " + dir
}

// TestImports checks what test files import from others, and that a test of
// the pure core that needs Linux says so in its name or a build constraint:
// the rest of its tests must run anywhere.
func TestImports(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		if !f.IsTest() {
			continue
		}
		l, _ := layerOf(f.Dir())
		for _, i := range importsOf(f) {
			switch {
			case i.ours != "":
				if isPure(f.Dir()) && anyWithin([]string{"kernel/...", "sandbox", "nft", "bpf"}, i.ours) && !linuxOnly(f) {
					found = append(found, t.find(i.spec, "a test of the pure core imports %q: give the file a name ending in _linux_test.go, the others run on any system", i.path))
				}
			case !i.std && !l.allows(i) && !allowedInTests(f.Dir(), i.path):
				found = append(found, t.find(i.spec, "tests of %s may not import %q: the list is in testImports", title(f.Dir()), i.path))
			}
		}
	}
	return found
}

func allowedInTests(dir, path string) bool {
	for m, where := range testImports() {
		if ofModule(m, path) && within(where, dir) {
			return true
		}
	}
	return false
}

// linuxOnly reports whether a file is built on Linux alone.
func linuxOnly(f *File) bool {
	if strings.HasSuffix(strings.TrimSuffix(f.Path, "_test.go"), "_linux") {
		return true
	}
	return constraint(f) == "linux"
}

// constraint returns the build constraint of a file, "" if it has none.
func constraint(f *File) string {
	for _, group := range f.Syntax.Comments {
		for _, c := range group.List {
			if expr, ok := strings.CutPrefix(c.Text, "//go:build "); ok && c.Pos() < f.Syntax.Package {
				return expr
			}
		}
	}
	return ""
}

// Programs checks that programs are in cmd and nothing else is, and that the
// small one stays small: linking a package costs start-up time even when it is
// not used.
func Programs(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Sources() {
		if inCmd := within("cmd/...", f.Dir()); inCmd != (f.Syntax.Name.Name == "main") {
			found = append(found, t.find(f.Syntax.Name, "package %s in %s: programs live in cmd, and cmd holds nothing else", f.Syntax.Name.Name, f.Dir()))
		}
	}
	for _, path := range t.linked("cmd/ip") {
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !ofModule(xsys, path) || path == "net/http" || path == "os/exec" {
			found = append(found, Finding{"cmd/ip", "links " + path + ": this program must start as fast as the C one"})
		}
	}
	return found
}

// linked returns the import paths that a package links, through packages of
// this module, in order.
func (t *Tree) linked(dir string) []string {
	packages := t.Packages()
	paths, visited := map[string]bool{}, map[string]bool{}
	var visit func(string)
	visit = func(dir string) {
		if visited[dir] {
			return
		}
		visited[dir] = true
		for _, f := range packages[dir] {
			for _, i := range importsOf(f) {
				paths[i.path] = true
				if i.ours != "" {
					visit(i.ours)
				}
			}
		}
	}
	visit(dir)
	return slices.Sorted(maps.Keys(paths))
}
