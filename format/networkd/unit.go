package networkd

import (
	"iter"
	"strings"
)

// assignment is one line of a section.
type assignment struct {
	key, value string
	line       int
}

// section is one section of a file.
type section struct {
	file        string
	name        string
	line        int
	assignments []assignment
}

// lines yields the lines of a file that are not comments, each with its number.
// A line that ends in a backslash is joined to the next, and has the number of
// the first.
func lines(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		joined, first, number := "", 0, 0
		for line := range strings.Lines(text) {
			number++
			line = strings.TrimSpace(line)
			if line == "" && joined == "" || line != "" && (line[0] == '#' || line[0] == ';') {
				continue
			}
			if joined == "" {
				first = number
			}
			if rest, ok := strings.CutSuffix(line, `\`); ok {
				joined += rest + " "
				continue
			}
			if !yield(first, strings.TrimSpace(joined+line)) {
				return
			}
			joined = ""
		}
		if joined != "" {
			yield(first, strings.TrimSpace(joined))
		}
	}
}

// sections reads a file as systemd.syntax(7) has it. What is no line of a
// section is an error.
func (r *reader) sections(path, text string) []section {
	var all []section
	for number, line := range lines(text) {
		if name, ok := strings.CutPrefix(line, "["); ok {
			name, ok = strings.CutSuffix(name, "]")
			if !ok || name == "" {
				r.refuse(path, number, "section", line, "it has no name in brackets")
			}
			all = append(all, section{file: path, name: name, line: number})
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		switch {
		case len(all) == 0:
			r.refuse(path, number, "line", line, "it stands in no section")
		case !ok:
			r.refuse(path, number, "line", line, "it is neither a section, nor KEY=VALUE, nor a comment")
		default:
			last := &all[len(all)-1]
			last.assignments = append(last.assignments, assignment{strings.TrimSpace(key), strings.TrimSpace(value), number})
		}
	}
	return all
}
