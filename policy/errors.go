package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Position is a place in a policy file: line and column, both from 1, the
// column counted in characters. The zero Position is no place. It is
// comparable.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// String returns "line:column".
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// Error is one thing that is wrong with a policy file, or with the file on
// this host.
type Error struct {
	File     string   `json:"file"` // as it was passed to Parse
	Position Position `json:"position"`
	// Object is what the error is about: the key, or "rule", "syntax", ...
	Object string `json:"object"`
	// Text is the offending text, shortened if it is long; "" where something
	// is missing.
	Text string `json:"text,omitzero"`
	// Reason is a clause that says what is wrong, in printable ASCII.
	Reason string `json:"reason"`
	// Hint is a clause that says what to do, for a person to read; it is not
	// part of the message. "" if there is none.
	Hint string `json:"hint,omitzero"`
}

// Error returns `file:line:column: object "text": reason`, in printable ASCII
// but for the file name.
func (e *Error) Error() string {
	object := e.Object
	if e.Text != "" {
		object += " " + strconv.QuoteToASCII(e.Text)
	}
	return fmt.Sprintf("%s:%v: %s: %s", e.File, e.Position, object, e.Reason)
}

// ErrorList holds the errors of one file in the order of their positions. As
// an error it is never empty.
type ErrorList []*Error

// Error returns the messages, one on each line.
func (l ErrorList) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors one by one, each an [*Error].
func (l ErrorList) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// maxErrors bounds the list: behind a hundred, a person starts again anyway.
const maxErrors = 100

// reporter collects the errors of one file.
type reporter struct {
	file string
	errs ErrorList
}

// report adds an error, unless there are too many already.
func (r *reporter) report(e Error) {
	if len(r.errs) >= maxErrors {
		return
	}
	e.File, e.Text = r.file, shorten(e.Text)
	e.Reason, e.Hint = printable(e.Reason), printable(e.Hint)
	r.errs = append(r.errs, &e)
}

// err returns the errors in order, nil if there are none.
func (r *reporter) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column))
	})
	return r.errs
}

// shorten cuts a text after some 60 characters.
func shorten(s string) string {
	const limit = 60
	if len(s) <= limit {
		return s
	}
	for i := range s {
		if i > limit-4 {
			return s[:i] + "..."
		}
	}
	return s
}

// printable escapes what is not printable ASCII: reasons may hold names of
// interfaces, which may hold anything.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < ' ' || r > '~' {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// problem is why a text is not a value: the parts of an [Error] that do not
// depend on the place. The nil problem is none.
type problem struct{ reason, hint string }

func bad(format string, args ...any) *problem { return &problem{reason: fmt.Sprintf(format, args...)} }

func (p *problem) try(format string, args ...any) *problem {
	p.hint = fmt.Sprintf(format, args...)
	return p
}
