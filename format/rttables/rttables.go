package rttables

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"rpdb"
)

// Kind says which names a file holds. The zero value is no kind.
type Kind uint8

// The kinds of files, and what iproute2 calls them.
const (
	Tables    Kind = 1 + iota // rt_tables, rt_tables.d
	Protocols                 // rt_protos, rt_protos.d
	Realms                    // rt_realms
	DSFields                  // rt_dsfield
	Groups                    // group
	Scopes                    // rt_scopes
)

// Kinds lists all kinds.
func Kinds() [6]Kind { return [6]Kind{Tables, Protocols, Realms, DSFields, Groups, Scopes} }

// File returns the name of the main file of a kind, as in "rt_tables", and ""
// for no kind.
func (k Kind) File() string {
	switch k {
	case Tables:
		return "rt_tables"
	case Protocols:
		return "rt_protos"
	case Realms:
		return "rt_realms"
	case DSFields:
		return "rt_dsfield"
	case Groups:
		return "group"
	case Scopes:
		return "rt_scopes"
	}
	return ""
}

// Directory returns the name of the directory with further files of a kind, as
// in "rt_tables.d", and "" for kinds that have none.
func (k Kind) Directory() string {
	if k == Tables || k == Protocols {
		return k.File() + ".d"
	}
	return ""
}

// Counts reports whether a file of that name in a directory of [Kind.Directory]
// is read: it ends in ".conf", is longer than that, and is not hidden.
func Counts(name string) bool {
	return strings.HasSuffix(name, ".conf") && len(name) > len(".conf") && name[0] != '.'
}

// limit is the largest number that means something for the kind. iproute2
// keeps numbers as signed ones, so the upper half of the tables and groups
// cannot be named, and it has names for the first 256 realms only.
func (k Kind) limit() uint64 {
	switch k {
	case Tables, Groups:
		return math.MaxInt32
	}
	return math.MaxUint8
}

// LineError is a line that is not a number and a name. iproute2 drops the rest
// of the file there, and so does [Parse].
type LineError struct {
	Source string // the file, as the caller named it
	Line   int    // from 1
	Text   string // the line without blanks in front and without its newline
	rest   string // the newline, if the line had one
}

// Error names file, line and text.
func (e *LineError) Error() string {
	return fmt.Sprintf("%s:%d: not a number and a name: %q", e.Source, e.Line, e.Text)
}

// CorruptText returns what iproute2 prints about the line, but for the newline
// at its very end; the one of the line itself is in it.
func (e *LineError) CorruptText() string {
	return fmt.Sprintf("Database %s is corrupted at %s%s", e.Source, e.Text, e.rest)
}

// Parse adds the entries of one file to n, which must not be nil; maps that
// are nil are made. A later entry takes the place of an earlier one with the
// same number, in the file and across calls. Lines that are empty or begin
// with # are skipped, and so are numbers that the kind has no room for. Names
// may hold any byte but white space; what follows the name is ignored.
//
// A line is read as iproute2 reads it, by scanf(3): no blank is needed between
// number and name, and what is not 0x and hexadecimal digits is decimal. A
// line of more than 511 bytes counts as several.
//
// The error is of type *[LineError]; the entries before the bad line stay.
func Parse(n *rpdb.Names, k Kind, source string, data []byte) error {
	return parse(k, source, data, func(e span) { set(n, k, e.ID, e.Name) })
}

// Entry is one name of one number, and where it stands. The zero value is no
// entry.
type Entry struct {
	ID     uint32
	Name   string
	Source string // the file, as the caller named it
	Line   int    // from 1
}

// Entries returns what [Parse] reads of one file, in its order, also what later
// entries displace. The error is that of [Parse], and what came before the bad
// line is returned beside it.
func Entries(k Kind, source string, data []byte) ([]Entry, error) {
	var list []Entry
	err := parse(k, source, data, func(e span) { list = append(list, e.Entry) })
	return list, err
}

// span is an entry with the bytes of the file that it takes, its newline
// included.
type span struct {
	Entry
	start, end int
}

// maxLine is how much of a line iproute2 reads at once.
const maxLine = 511

// parse reads one file and gives its entries to enter.
func parse(k Kind, source string, data []byte, enter func(span)) error {
	number, offset := 0, 0
	for line := range strings.Lines(string(data)) {
		number++
		for ; line != ""; line = line[min(maxLine, len(line)):] {
			start := offset
			offset += min(maxLine, len(line))
			text, _, _ := strings.Cut(line[:min(maxLine, len(line))], "\x00")
			text = strings.TrimLeft(text, " \t")
			if text == "" || text[0] == '\n' || text[0] == '#' {
				continue
			}
			id, name, ok := scan(text)
			if !ok {
				bare := strings.TrimSuffix(text, "\n")
				return &LineError{Source: source, Line: number, Text: bare, rest: text[len(bare):]}
			}
			if 0 <= id && uint64(id) <= k.limit() {
				enter(span{Entry{uint32(id), name, source, number}, start, offset})
			}
		}
	}
	return nil
}

// scan reads a number and a name.
func scan(line string) (id int32, name string, ok bool) {
	if hex, isHex := strings.CutPrefix(line, "0x"); isHex {
		id, rest, found := scanNumber(hex, 16)
		if fields := strings.FieldsFunc(rest, isSpace); found && len(fields) > 0 {
			return id, fields[0], true
		}
	}
	id, rest, found := scanNumber(line, 10)
	if fields := strings.FieldsFunc(rest, isSpace); found && len(fields) > 0 {
		return id, fields[0], true
	}
	return 0, "", false
}

// isSpace is isspace(3) in the C locale.
func isSpace(c rune) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// scanNumber reads an integer and cuts it to 32 bits as scanf(3) does: white
// space in front is skipped, and a number that does not fit 64 bits becomes the
// largest first.
func scanNumber(s string, base int) (id int32, rest string, ok bool) {
	const hexDigits = "0123456789abcdefABCDEF"
	s = strings.TrimLeftFunc(s, isSpace)
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 {
		return 0, s, false
	}
	rest = strings.TrimLeft(digits, hexDigits[:10])
	if base == 16 {
		rest = strings.TrimLeft(digits, hexDigits)
	}
	digits = digits[:len(digits)-len(rest)]
	n, err := strconv.ParseUint(digits, base, 63)
	if errors.Is(err, strconv.ErrRange) {
		n = math.MaxInt64
	}
	if strings.HasPrefix(s, "-") {
		n = -n
	}
	return int32(n), rest, digits != ""
}

// set enters one name. The number fits the kind.
func set(n *rpdb.Names, k Kind, id uint32, name string) {
	switch k {
	case Tables:
		put(&n.Tables, rpdb.TableID(id), name)
	case Protocols:
		put(&n.Protocols, rpdb.Protocol(id), name)
	case Realms:
		put(&n.Realms, uint16(id), name)
	case DSFields:
		put(&n.DSFields, uint8(id), name)
	case Groups:
		put(&n.Groups, id, name)
	case Scopes:
		put(&n.Scopes, rpdb.Scope(id), name)
	}
}

func put[K comparable](m *map[K]string, id K, name string) {
	if *m == nil {
		*m = map[K]string{}
	}
	(*m)[id] = name
}
