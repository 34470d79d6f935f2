package archtest

import (
	"bytes"
	"go/format"
	"maps"
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
	check := func(path, text string) {
		for i, line := range strings.Split(text, "\n") {
			if at := strings.IndexFunc(line, notPrintable); at >= 0 {
				found = append(found, Finding{sprint("%s:%d", path, i+1), sprint("column %d is not printable ASCII: write it as an escape", at+1)})
			}
		}
	}
	for _, f := range t.Files {
		check(f.Path, string(f.Source))
	}
	for _, path := range slices.Sorted(maps.Keys(t.Texts)) {
		check(path, t.Texts[path])
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

// Folders checks that ARCHITECTURE.md names every package folder, or the
// folder it stands in followed by "/*".
func Folders(t *Tree) []Finding {
	page, ok := t.Texts["ARCHITECTURE.md"]
	if !ok {
		return []Finding{{"ARCHITECTURE.md", "is missing"}}
	}
	var found []Finding
	for _, dir := range slices.Sorted(maps.Keys(t.Packages())) {
		above, _, _ := strings.Cut(dir, "/")
		if dir != "." && !strings.Contains(page, "`"+dir+"`") && !strings.Contains(page, "`"+above+"/*`") {
			found = append(found, Finding{dir, "is not in ARCHITECTURE.md: say in its table what the folder is for"})
		}
	}
	return found
}
