package archtest

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Commands checks that what the documents tell a reader to type exists: in
// fenced blocks marked sh or console, make targets, packages and files named
// by go commands, and the subcommands of rpdb. A console block shows a prompt,
// and output between the commands; an sh block holds commands only.
func Commands(t *Tree) []Finding {
	var found []Finding
	for _, doc := range slices.Sorted(maps.Keys(t.Texts)) {
		if path.Ext(doc) != ".md" {
			continue
		}
		for _, c := range commandsIn(t.Texts[doc]) {
			if what := t.missing(c.words); what != "" {
				found = append(found, Finding{sprint("%s:%d", doc, c.line), sprint("tells the reader to type %q, but %s", strings.Join(c.words, " "), what)})
			}
		}
	}
	return found
}

// References checks that the files that documents point to exist: the targets
// of links, and paths of files in backquotes. A path with a capital letter in a
// folder's place (NAME) stands for many and is not looked up.
func References(t *Tree) []Finding {
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
	quoted := regexp.MustCompile("`([a-z0-9_.-]*/[a-z0-9_./-]*\\.[a-z]+)`")
	var found []Finding
	for _, doc := range slices.Sorted(maps.Keys(t.Texts)) {
		if path.Ext(doc) != ".md" {
			continue
		}
		for i, line := range strings.Split(t.Texts[doc], "\n") {
			for _, m := range slices.Concat(link.FindAllStringSubmatch(line, -1), quoted.FindAllStringSubmatch(line, -1)) {
				if !t.Paths[path.Clean(m[1])] && !t.Paths[path.Join(path.Dir(doc), m[1])] {
					found = append(found, Finding{sprint("%s:%d", doc, i+1), sprint("points to %q, which is not there", m[1])})
				}
			}
		}
	}
	return found
}

// command is one command line of a document.
type command struct {
	line  int
	words []string
}

func commandsIn(text string) []command {
	var all []command
	language := "" // of the block we are in
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch fence, isFence := strings.CutPrefix(trimmed, "```"); {
		case isFence && language == "":
			language = strings.TrimSpace(fence) + " "
		case isFence:
			language = ""
		case language == "sh " && trimmed != "" && !strings.HasPrefix(trimmed, "#"):
			all = append(all, command{i + 1, typed(trimmed)})
		case language == "console ":
			if typedLine, ok := prompted(trimmed); ok {
				all = append(all, command{i + 1, typed(typedLine)})
			}
		}
	}
	return all
}

// prompted returns what follows a "$ " or "# " prompt.
func prompted(line string) (string, bool) {
	for _, prompt := range []string{"$ ", "# "} {
		if rest, ok := strings.CutPrefix(line, prompt); ok {
			return rest, true
		}
	}
	return "", false
}

// typed returns the words of a command without a remark at the end, and
// without the variables and the sudo in front of it.
func typed(line string) []string {
	line, _, _ = strings.Cut(line, " #")
	words := strings.Fields(line)
	for len(words) > 0 && (strings.Contains(words[0], "=") || words[0] == "sudo") {
		words = words[1:]
	}
	return words
}

// missing says what a command needs and the tree does not have, "" if nothing.
func (t *Tree) missing(words []string) string {
	if len(words) == 0 {
		return ""
	}
	switch words[0] {
	case "make":
		return t.missingTargets(words[1:])
	case "go":
		return t.missingForGo(words[1:])
	case "rpdb":
		return t.missingVerb(words[1:])
	}
	return ""
}

func (t *Tree) missingTargets(words []string) string {
	for _, w := range words {
		if !strings.Contains(w, "=") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(w)+`:`).MatchString(t.Texts["Makefile"]) {
			return sprint("the Makefile has no target %q", w)
		}
	}
	return ""
}

func (t *Tree) missingForGo(words []string) string {
	for i, w := range words {
		dir, isPath := strings.CutPrefix(w, "./")
		switch {
		case isPath && !t.hasPackage(strings.TrimSuffix(dir, "/")):
			return sprint("there is no package in %q", w)
		case isPath && path.Clean(dir) == "cmd/rpdb" && words[0] == "run":
			return t.missingVerb(words[i+1:])
		}
	}
	return ""
}

func (t *Tree) hasPackage(dir string) bool {
	for _, f := range t.Files {
		if within(dir, f.Dir()) {
			return true
		}
	}
	return false
}

// missingVerb checks a subcommand of rpdb, and that example files it is given
// exist.
func (t *Tree) missingVerb(words []string) string {
	if len(words) == 0 {
		return ""
	}
	if verb := words[0]; !strings.HasPrefix(verb, "-") && !t.cliSays(verb) {
		return sprint("no file of cli holds the verb %q", verb)
	}
	for _, w := range words[1:] {
		if _, ok := t.Texts[w]; strings.HasPrefix(w, "examples/") && !ok {
			return sprint("there is no file %q", w)
		}
	}
	return ""
}

// cliSays reports whether a string in the sources of cli begins with the word.
func (t *Tree) cliSays(verb string) bool {
	literal := regexp.MustCompile("[\"`]" + regexp.QuoteMeta(verb) + "[\"` ]")
	for _, f := range t.Sources() {
		if within("cli/...", f.Dir()) && literal.Match(f.Source) {
			return true
		}
	}
	return false
}
