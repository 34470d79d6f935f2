package archtest

import (
	"bytes"
	"go/format"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Formatted checks that the sources are as gofmt writes them.
func Formatted(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		want, err := format.Source(f.Source)
		if err != nil || !bytes.Equal(want, f.Source) {
			found = append(found, Finding{f.Path, "is not formatted: run gofmt -w " + f.Path})
		}
	}
	return found
}

// ASCII checks that sources and texts hold printable ASCII only, so that they
// read the same in every terminal. Other bytes are written as escapes.
func ASCII(t *Tree) []Finding {
	var found []Finding
	check := func(file, text string) {
		for i, line := range strings.Split(text, "\n") {
			if at := strings.IndexFunc(line, notPrintable); at >= 0 {
				found = append(found, Finding{sprint("%s:%d", file, i+1), sprint("column %d is not printable ASCII: write it as an escape", at+1)})
			}
		}
	}
	for _, f := range t.Files {
		check(f.Path, string(f.Source))
	}
	for _, file := range slices.Sorted(maps.Keys(t.Texts)) {
		check(file, t.Texts[file])
	}
	return found
}

func notPrintable(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }

// Machines checks that nothing in the tree names a place on somebody's machine
// or a host that packages come from: a clone works anywhere.
func Machines(t *Tree) []Finding {
	place := regexp.MustCompile(`(^|[^\w.])/(wo` + `rk|ro` + `ot)/|/ho` + `me/\w+|(proxy|sum)\.gol` + `ang\.org|registry\.npm` + `js|deb\.deb` + `ian\.org`)
	var found []Finding
	for _, f := range t.Files {
		for i, line := range strings.Split(string(f.Source), "\n") {
			if m := place.FindString(line); m != "" {
				found = append(found, Finding{sprint("%s:%d", f.Path, i+1), sprint("names %q, a place that another machine does not have", m)})
			}
		}
	}
	return append(found, t.grep(place, "names %q, a place that another machine does not have")...)
}

// Folders checks that the table of ARCHITECTURE.md names every package folder,
// or the folder it stands in followed by "/*", and no folder that is not there.
func Folders(t *Tree) []Finding {
	page, ok := t.Texts["ARCHITECTURE.md"]
	if !ok {
		return []Finding{{"ARCHITECTURE.md", "is missing"}}
	}
	packages := t.Packages()
	named := map[string]bool{}
	var found []Finding
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(page, -1) {
		for folder := range strings.SplitSeq(row[1], ", ") {
			folder = strings.Trim(folder, "`")
			named[folder] = true
			if !slices.ContainsFunc(slices.Collect(maps.Keys(packages)), func(dir string) bool { return within(folder, dir) }) {
				found = append(found, Finding{"ARCHITECTURE.md", sprint("explains the folder %q, which holds no package", folder)})
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if dir != "." && !named[dir] && !named[path.Dir(dir)+"/*"] {
			found = append(found, Finding{dir, "is not in ARCHITECTURE.md: say in its table what the folder is for"})
		}
	}
	return found
}
