package rttables

import (
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
)

// Kinds lists all kinds.
func Kinds() [5]Kind { return [5]Kind{Tables, Protocols, Realms, DSFields, Groups} }

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

// limit is the largest number that means something for the kind.
func (k Kind) limit() uint64 {
	switch k {
	case Protocols, DSFields:
		return math.MaxUint8
	case Realms:
		return math.MaxUint16
	}
	return math.MaxUint32
}

// LineError is a line that is not a number and a name. iproute2 drops the rest
// of the file there, and so does [Parse].
type LineError struct {
	Source string // the file, as the caller named it
	Line   int    // from 1
	Text   string // the line
}

// Error names file, line and text.
func (e *LineError) Error() string {
	return fmt.Sprintf("%s:%d: not a number and a name: %q", e.Source, e.Line, e.Text)
}

// Parse adds the entries of one file to n, which must not be nil; maps that
// are nil are made. A later entry takes the place of an earlier one with the
// same number, in the file and across calls. Lines that are empty or begin
// with # are skipped, and so are numbers that the kind has no room for. Names
// may hold any byte but white space.
//
// The error is of type *[LineError]; the entries before the bad line stay.
func Parse(n *rpdb.Names, k Kind, source string, data []byte) error {
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		id, ok := parseNumber(fields[0])
		if !ok || len(fields) < 2 || fields[1][0] == '#' {
			return &LineError{Source: source, Line: number, Text: line}
		}
		if id <= k.limit() {
			set(n, k, id, fields[1])
		}
	}
	return nil
}

// parseNumber reads 0xHEX or decimal; a leading 0 does not mean octal here.
func parseNumber(s string) (uint64, bool) {
	base, digits := 10, s
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		base, digits = 16, s[2:]
	}
	id, err := strconv.ParseUint(digits, base, 64)
	return id, err == nil
}

// set enters one name. The number fits the kind.
func set(n *rpdb.Names, k Kind, id uint64, name string) {
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
		put(&n.Groups, uint32(id), name)
	}
}

func put[K comparable](m *map[K]string, id K, name string) {
	if *m == nil {
		*m = map[K]string{}
	}
	(*m)[id] = name
}
