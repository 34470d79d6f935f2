package iptext

import (
	"fmt"
	"slices"
	"strings"

	"rpdb"
)

// Kind says what a listing lists. The zero value is nothing that matters here:
// the output of another ip command, which is passed over.
type Kind uint8

// The kinds of listings.
const (
	Other      Kind = iota
	Rules           // ip rule
	Routes          // ip route
	Links           // ip link, ip addr
	Neighbours      // ip neigh
	Nexthops        // ip nexthop
	Settings        // sysctl, ip netconf
	Names           // a file of names, such as rt_tables
)

// String returns the word of ip for the kind.
func (k Kind) String() string {
	return [...]string{"other", "rule", "route", "link", "neigh", "nexthop", "sysctl", "names"}[k]
}

// Error says where a text is not what the commands print.
type Error struct {
	Line, Column int    // from 1; a column counts bytes, a tab is one
	Text         string // what stands there
	Reason       string
}

// Error names the place, the reason and the text, without the file.
func (e *Error) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Reason)
	}
	return fmt.Sprintf("%d:%d: %s: %q", e.Line, e.Column, e.Reason, shorten(e.Text))
}

// longest is how much of a line an error quotes.
const longest = 80

func shorten(s string) string {
	if len(s) > longest {
		return s[:longest] + "..."
	}
	return s
}

// Command is the command line that stands before a listing, as far as it was
// understood. The zero value is none.
type Command struct {
	Line   int         // where it stands, 0 for none
	Text   string      // as it stands there
	Family rpdb.Family // of its options, 0 for none
	Table  string      // the one table of routes that it lists; "" for the main one, or none said
	All    bool        // it lists the routes of all tables
	// Part says that its words select some entries only.
	Part bool
	// Object is whether the listing is of addresses ("address"), links ("link"),
	// and so on; a file of names has its name here.
	Object string
}

// Entry is one entry of a listing with its place: of text all lines that belong
// to it, without what a paste has put before each; of JSON one array.
type Entry struct {
	Line, Column int
	Text         string
	indent       int // what was taken off before each of its lines
}

// Fail returns an error about a part of the entry that begins at a byte of its
// text.
func (e Entry) Fail(offset int, text, reason string) *Error {
	offset = max(min(offset, len(e.Text)), 0)
	before := e.Text[:offset]
	lines := strings.Count(before, "\n")
	column := e.Column + offset
	if lines > 0 {
		column = offset - strings.LastIndexByte(before, '\n') + e.indent
	}
	return &Error{Line: e.Line + lines, Column: column, Text: text, Reason: reason}
}

// FailWord is Fail for a word of the entry, or for the whole entry if the word
// does not stand in it.
func (e Entry) FailWord(word, reason string) *Error { return e.FailBehind(0, word, reason) }

// FailBehind is FailWord for what stands behind a byte of the entry, which is
// where an object of JSON begins.
func (e Entry) FailBehind(offset int, word, reason string) *Error {
	offset = max(min(offset, len(e.Text)), 0)
	for from := offset; word != ""; {
		i := strings.Index(e.Text[from:], word)
		if i < 0 {
			break
		}
		i += from
		if end := i + len(word); boundary(e.Text, i-1) && boundary(e.Text, end) {
			return e.Fail(i, word, reason)
		}
		from = i + 1
	}
	first, _, _ := strings.Cut(e.Text[offset:], "\n")
	return e.Fail(offset, first, reason)
}

// boundary reports whether no word goes on at a byte.
func boundary(s string, i int) bool {
	return i < 0 || i >= len(s) || strings.IndexByte(" \t\n\"/,", s[i]) >= 0
}

// Section is one listing, or several of a kind that nothing separates.
type Section struct {
	Kind    Kind
	Command Command
	JSON    bool // each entry is an array of objects
	Entries []Entry
}

// Bundle is a text, cut into its listings in their order.
type Bundle struct {
	Sections []Section
	// Interrupted are the lines in which ip says that what it printed may lack
	// something, for it changed meanwhile.
	Interrupted []int
}

// Split cuts a text into listings. The error is of type *[Error].
func Split(text string) (*Bundle, error) {
	s := splitter{lines: splitLines(text)}
	for s.at < len(s.lines) {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	s.close()
	return &Bundle{Sections: s.sections, Interrupted: s.interrupted}, nil
}

// textLine is a line without its end.
type textLine struct {
	text   string
	indent int // what was taken off in front
}

// splitLines cuts a text into lines, and takes off what a paste has put before
// each: as much white space as the first line of a block begins with, which no
// listing does. A block begins behind a heading and behind an empty line.
func splitLines(text string) []textLine {
	text = strings.TrimPrefix(text, "\ufeff")
	var lines []textLine
	base, begins := "", true
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(line, "\r")
		content := strings.TrimLeft(line, " \t")
		if begins || !strings.HasPrefix(line, base) {
			base = line[:len(line)-len(content)]
		}
		begins = strings.TrimSpace(content) == ""
		if !begins {
			_, _, begins = heading(content)
			lines = append(lines, textLine{line[len(base):], len(base)})
			continue
		}
		lines = append(lines, textLine{})
	}
	return lines
}

// splitter walks over the lines.
type splitter struct {
	lines       []textLine
	at          int
	sections    []Section
	open        Section // the one that is being read; no entries: none
	command     Command
	foreign     bool // the output of a command that is passed over
	other       bool // the output of a program that is not ip, whatever it prints
	interrupted []int
}

// next takes one line, or one array of JSON.
func (s *splitter) next() error {
	line := s.lines[s.at]
	if strings.TrimSpace(line.text) == "" {
		s.at++
		return nil
	}
	if c, typed, ok := heading(line.text); ok {
		s.heading(c)
		s.other = typed && c.Object == ""
		return nil
	}
	kind := s.kind(line.text)
	switch {
	case s.foreign:
		s.at++
		return nil
	case strings.HasPrefix(line.text, "Dump was interrupted"):
		s.interrupted = append(s.interrupted, s.at+1)
		s.at++
		return nil
	case isTableError(line.text):
		s.at++
		return nil
	case isArray(line.text):
		return s.array()
	case s.other && (kind == Other || strings.IndexByte(" \t", line.text[0]) >= 0):
		s.at++
		return nil
	case line.text[0] == ' ' || line.text[0] == '\t':
		return s.fail("the line belongs to no entry of a listing")
	case kind == Other:
		return s.fail("the line is of no listing of ip and no setting")
	}
	s.entry(kind)
	return nil
}

func (s *splitter) fail(reason string) error {
	l := s.lines[s.at]
	text := strings.TrimLeft(l.text, " \t")
	return &Error{Line: s.at + 1, Column: 1 + l.indent + len(l.text) - len(text), Text: text, Reason: reason}
}

// heading begins a new section. A heading that names no command of ours leaves
// the last one in force only inside of a file of names, where it is a comment.
func (s *splitter) heading(c Command) {
	c.Line = s.at + 1
	s.at++
	if c.Object == "" && s.command.Object != "" && isNames(s.command.Object) {
		return
	}
	s.close()
	s.command, s.foreign = c, c.Object != "" && !isOurs(c.Object)
	if kind := kindOf(c.Object); kind != Other { // an empty listing is one
		s.open = Section{Kind: kind, Command: c}
	}
}

func (s *splitter) close() {
	if s.open.Kind != Other && (len(s.open.Entries) > 0 || s.open.Command.Line != 0) {
		s.sections = append(s.sections, s.open)
	}
	s.open = Section{}
}

// add puts an entry into the section that is open, or into a new one.
func (s *splitter) add(kind Kind, json bool, e Entry) {
	if s.open.Kind != kind || len(s.open.Entries) > 0 && s.open.JSON != json {
		s.close()
		if kindOf(s.command.Object) != kind { // no heading says where its listing ends
			s.command = Command{}
		}
		s.open = Section{Kind: kind, Command: s.command}
	}
	s.open.JSON = json
	s.open.Entries = append(s.open.Entries, e)
}

// entry takes a line and those that belong to it, which begin with white space.
func (s *splitter) entry(kind Kind) {
	first := s.at
	var text strings.Builder
	for more := true; more; {
		if s.at > first {
			text.WriteByte('\n')
		}
		text.WriteString(s.lines[s.at].text)
		s.at++
		more = s.at < len(s.lines) && strings.TrimSpace(s.lines[s.at].text) != "" && strings.IndexByte(" \t", s.lines[s.at].text[0]) >= 0
	}
	indent := s.lines[first].indent
	s.add(kind, false, Entry{Line: first + 1, Column: 1 + indent, Text: text.String(), indent: indent})
}

// kind says what a line lists.
func (s *splitter) kind(line string) Kind {
	if isNames(s.command.Object) {
		return Names
	}
	kind := lineKind(line)
	if kind == Routes && s.command.Object == "neighbour" {
		return Neighbours
	}
	return kind
}

// lineKind says what a line lists that stands alone.
func lineKind(line string) Kind {
	words := strings.Fields(line)
	first := words[0]
	if f := first; (f == "IPv4" || f == "IPv6") && len(words) > 1 {
		if isIndex(words[1]) {
			return Rules
		}
		words = words[1:] // of a listing of this program
		first = words[0]
	}
	switch {
	case isIndex(first) && len(words) > 1 && (words[1] == "from" || words[1] == "not"):
		return Rules
	case isIndex(first):
		return Links
	case first == "id" && len(words) > 2:
		return Nexthops
	case isSetting(line) || (first == "inet" || first == "inet6") && len(words) > 3 && words[2] == "forwarding":
		return Settings
	case isDestination(first) || len(words) > 1 && isRouteType(first) && isDestination(words[1]):
		return ofAddress(words)
	}
	return Other
}

// ofAddress tells neighbours from routes.
func ofAddress(words []string) Kind {
	last := words[len(words)-1]
	if neighbourState(last) != 0 || last == "NONE" || last == "proxy" || slices.Contains(words, "lladdr") {
		return Neighbours
	}
	return Routes
}

// isIndex reports whether a word is digits and a colon.
func isIndex(word string) bool {
	digits, ok := strings.CutSuffix(word, ":")
	return ok && isDigits(digits)
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// isDestination reports whether a word could be the destination of a route.
func isDestination(word string) bool {
	if word == "default" {
		return true
	}
	dots := strings.Count(word, ".")
	return strings.Trim(word, "0123456789abcdefABCDEF.:/") == "" && (dots > 0 && isDigits(word[:1]) || strings.Count(word, ":") > 1)
}

func isRouteType(word string) bool {
	var t rpdb.RouteType
	return t.UnmarshalText([]byte(word)) == nil && !isDigits(word)
}

// isTableError reports whether a line is what ip says of a table that does not
// exist, which is to say that it is empty.
func isTableError(line string) bool {
	line = strings.TrimSpace(line)
	return line == "Error: ipv4: FIB table does not exist." || line == "Error: ipv6: FIB table does not exist." || line == "Dump terminated"
}

func isArray(line string) bool {
	rest, ok := strings.CutPrefix(line, "[")
	rest = strings.TrimLeft(rest, " \t")
	return ok && (rest == "" || rest[0] == '{' || rest[0] == ']')
}

// array takes an array of JSON, and says what is in it: by its fields, or if
// it has none by the command.
func (s *splitter) array() error {
	first := s.at
	e := Entry{Line: first + 1, Column: 1 + s.lines[first].indent, indent: s.lines[first].indent}
	var text strings.Builder
	var scan bracketScanner
	for ; s.at < len(s.lines); s.at++ {
		if s.at > first {
			text.WriteByte('\n')
		}
		line := s.lines[s.at].text
		n, done := scan.line(line)
		text.WriteString(line[:n])
		if !done {
			continue
		}
		if rest := strings.TrimSpace(line[n:]); rest != "" {
			return &Error{s.at + 1, 1 + s.lines[s.at].indent + strings.Index(line[n:], rest) + n, rest, "text behind a JSON array"}
		}
		s.at++
		e.Text = text.String()
		return s.addArray(e)
	}
	return &Error{e.Line, e.Column, s.lines[first].text, "the JSON array has no end"}
}

func (s *splitter) addArray(e Entry) error {
	kind := arrayKind(e.Text)
	if kind == Other {
		kind = kindOf(s.command.Object)
	}
	switch {
	case kind == Names || kind == Other && strings.Trim(e.Text, "[]{}, \t\n") != "":
		first, _, _ := strings.Cut(e.Text, "\n")
		return e.Fail(0, first, "the JSON array is of no listing of ip")
	case kind != Other:
		s.add(kind, true, e)
	}
	return nil
}

// bracketScanner finds the end of an array.
type bracketScanner struct {
	depth  int
	quoted bool
}

// line scans a line and returns how much of it belongs to the array, and
// whether the array ends there.
func (b *bracketScanner) line(s string) (n int, done bool) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case b.quoted && c == '\\':
			i++
		case c == '"':
			b.quoted = !b.quoted
		case b.quoted:
		case c == '[' || c == '{':
			b.depth++
		case c == ']' || c == '}':
			if b.depth--; b.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(s), false
}
