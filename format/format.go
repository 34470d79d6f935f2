package format

import (
	"fmt"
	"strconv"
	"strings"

	"rpdb"
)

// File is one file of a configuration. Readers use the path in messages, and
// where a notation gives names a meaning; writers give it from the root
// directory, as in "/etc/systemd/network/10-eth0.network".
type File struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Loss is something that a notation cannot say.
type Loss struct {
	// Object is the rule or route in the words of ip(8), or what else is lost.
	Object string `json:"object"`
	// Reason is a clause that says why, and of which version, where it
	// depends on that.
	Reason string `json:"reason"`
}

// String returns "object: reason".
func (l Loss) String() string { return l.Object + ": " + l.Reason }

// Error is something in a file that cannot be read, or that has no meaning here.
type Error struct {
	File string `json:"file"` // as it was passed
	// Line and Column count from 1; 0 where they are not known.
	Line   int `json:"line"`
	Column int `json:"column,omitzero"`
	// Object is what the error is about: a key, a section, "rule", ...
	Object string `json:"object"`
	// Text is the offending text; "" where something is missing.
	Text string `json:"text,omitzero"`
	// Reason is a clause that says what is wrong.
	Reason string `json:"reason"`
}

// Error returns `file:line:column: object "text": reason`, without what is not
// known. It is printable ASCII but for the file name.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	for _, n := range []int{e.Line, e.Column} {
		if n > 0 {
			fmt.Fprintf(&b, ":%d", n)
		}
	}
	b.WriteString(": ")
	b.WriteString(e.Object)
	if e.Text != "" {
		b.WriteString(" ")
		b.WriteString(strconv.QuoteToASCII(shortened(e.Text)))
	}
	b.WriteString(": ")
	b.WriteString(e.Reason)
	return b.String()
}

// longest is as much of a text as a message quotes.
const longest = 80

func shortened(text string) string {
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return text
}

// Link returns the index of the interface with a name, which it adds, up, if the
// snapshot has none.
func Link(s *rpdb.Snapshot, name rpdb.LinkName) rpdb.LinkIndex {
	highest := rpdb.LinkIndex(1) // 1 is the loopback interface's
	for _, l := range s.Links {
		if l.Name == name {
			return l.Index
		}
		highest = max(highest, l.Index)
	}
	l := rpdb.Link{Index: highest + 1, Name: name, Flags: rpdb.LinkUp}
	if name == "lo" {
		l.Index, l.Flags = 1, rpdb.LinkUp|rpdb.LinkLoopback
	}
	s.Links = append(s.Links, l)
	return l.Index
}
