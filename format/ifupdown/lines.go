package ifupdown

import (
	"path"
	"slices"
	"strings"

	"rpdb/format"
)

// line is a line of a file, with those that continue it.
type line struct {
	file   string
	number int // from 1, of its first line
	text   string
}

func (l line) fail(object, text, reason string) *format.Error {
	return &format.Error{File: l.file, Line: l.number, Object: object, Text: text, Reason: reason}
}

// lines cuts a file into lines that say something. A line that begins with # is a
// comment; one that ends in a backslash goes on in the next.
func lines(f format.File) []line {
	var list []line
	var open *line
	number := 0
	for text := range strings.Lines(f.Text) {
		number++
		text = strings.TrimRight(text, "\r\n")
		if open == nil {
			if trimmed := strings.TrimSpace(text); trimmed == "" || trimmed[0] == '#' {
				continue
			}
			list = append(list, line{file: f.Path, number: number})
			open = &list[len(list)-1]
		}
		body, more := strings.CutSuffix(text, `\`)
		open.text += body
		if !more {
			open = nil
		}
	}
	for i := range list {
		list[i].text = strings.TrimSpace(list[i].text)
	}
	return slices.DeleteFunc(list, func(l line) bool { return l.text == "" }) // backslashes alone
}

// sources puts the lines of files together in the order in which ifupdown reads
// them. Those that others name by source or source-directory are read there, the
// others one after the other.
type sources struct {
	files []format.File
	open  []string // the files that are being read
	done  map[string]bool
	lines []line
	errs  []error
}

func (s *sources) readAll() {
	named := map[string]bool{}
	s.done = map[string]bool{}
	for _, f := range s.files {
		for _, l := range lines(f) {
			for _, f := range s.named(l) {
				named[f.Path] = true
				if !takes(l, f) {
					s.done[f.Path] = true
					s.errs = append(s.errs, l.fail("source-directory", f.Path, "ifupdown does not read a file with such a name: letters, digits, _ and - may be in it"))
				}
			}
		}
	}
	for _, f := range s.files {
		if !named[f.Path] {
			s.read(f)
		}
	}
	for _, f := range s.files {
		if !s.done[f.Path] {
			s.errs = append(s.errs, &format.Error{File: f.Path, Object: "source", Reason: "only files that this one names name it"})
		}
	}
}

func (s *sources) read(f format.File) {
	s.open = append(s.open, f.Path)
	s.done[f.Path] = true
	defer func() { s.open = s.open[:len(s.open)-1] }()
	for _, l := range lines(f) {
		words := strings.Fields(l.text)
		if words[0] != "source" && words[0] != "source-directory" {
			s.lines = append(s.lines, l)
			continue
		}
		named := s.named(l)
		switch {
		case len(words) < 2:
			s.errs = append(s.errs, l.fail(words[0], "", "a file is missing behind it"))
		case len(named) == 0 && words[0] == "source" && !strings.ContainsAny(l.text, "*?["):
			s.errs = append(s.errs, l.fail(words[0], words[1], "this file is not among those that were given"))
		}
		for _, f := range named {
			if !takes(l, f) {
				continue
			}
			if slices.Contains(s.open, f.Path) {
				s.errs = append(s.errs, l.fail(words[0], f.Path, "the file reads itself"))
				continue
			}
			s.read(f)
		}
	}
}

// named returns the files that a line names, in the order of their names. A
// pattern is relative to the directory of the file that it stands in.
func (s *sources) named(l line) []format.File {
	words := strings.Fields(l.text)
	if words[0] != "source" && words[0] != "source-directory" {
		return nil
	}
	var list []format.File
	for _, pattern := range words[1:] {
		if !path.IsAbs(pattern) {
			pattern = path.Join(path.Dir(l.file), pattern)
		}
		if words[0] == "source-directory" {
			pattern = path.Join(pattern, "*")
		}
		for _, f := range s.files {
			ok, err := path.Match(pattern, f.Path)
			if err == nil && ok {
				list = append(list, f)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b format.File) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// takes reports whether a line takes a file that it names: source-directory does so
// if its name has letters, digits, underscores and hyphens.
func takes(l line, f format.File) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return !strings.HasPrefix(l.text, "source-directory") || strings.Trim(path.Base(f.Path), plain) == ""
}
