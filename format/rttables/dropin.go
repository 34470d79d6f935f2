package rttables

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// DropIn is a file of rt_tables.d that belongs to one program, between all the
// other files that name tables. Its methods say what the file should hold
// afterwards; writing it is the caller's business. The zero value is an empty
// file that nobody else's stands beside.
type DropIn struct {
	// Source is the file, as its own entries in All call it.
	Source string
	// Text is what it holds.
	Text []byte
	// All are the entries of every file that iproute2 reads, this one included,
	// in the order of reading.
	All []Entry
}

// NameError says why a table is not named, or keeps its name.
type NameError struct {
	Op     string // "name" or "unname"
	Object string // the table
	Reason string
	// Clash is the entry of a file that stands in the way, zero if none does.
	Clash Entry
}

// Error names operation, table and reason.
func (e *NameError) Error() string { return fmt.Sprintf("%s %s: %s", e.Op, e.Object, e.Reason) }

// UnknownNameError is a word that is the name or the number of no table in any
// file.
type UnknownNameError struct{ Word string }

// Error says that nothing has the name.
func (e *UnknownNameError) Error() string {
	return fmt.Sprintf("unname table %q: no file has this name", e.Word)
}

// Name returns the text that gives a table a name: a line more at the end, or
// the text as it is if the table has the name already, in whichever file.
// Everything else in the file stays.
//
// It refuses, by a [*NameError], what iproute2 could not read, or would read as
// something else; a name that another table has; and a second name.
func (d DropIn) Name(t rpdb.TableID, name string) ([]byte, error) {
	refuse := func(clash Entry, format string, args ...any) ([]byte, error) {
		object := fmt.Sprintf("table %d %q", t, name)
		return nil, &NameError{"name", object, fmt.Sprintf(format, args...), clash}
	}
	if why := refusedNumber(t); why != "" {
		return refuse(Entry{}, "%s", why)
	}
	if why := refusedName(name); why != "" {
		return refuse(Entry{}, "%s", why)
	}
	line := fmt.Sprintf("%d\t%s\n", t, name)
	if len(line) > maxLine {
		return refuse(Entry{}, "the line would have %d bytes, and iproute2 reads %d of one", len(line), maxLine)
	}
	named := false
	for _, e := range d.All {
		switch same := e.ID == uint32(t); {
		case e.Name == name && !same:
			return refuse(e, "%s:%d gives this name to table %d", e.Source, e.Line, e.ID)
		case e.Name != name && same:
			return refuse(e, "%s:%d names it %q", e.Source, e.Line, e.Name)
		case same:
			named = true
		}
	}
	if named {
		return d.Text, nil
	}
	text := slices.Clone(d.Text)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	text = append(text, line...)
	// iproute2 drops what stands behind a line that it does not understand.
	if _, err := Entries(Tables, d.Source, text); err != nil {
		return refuse(Entry{}, "it would not be read: %v", err)
	}
	return text, nil
}

// refusedNumber says why files cannot name a table, "" if they can.
func refusedNumber(t rpdb.TableID) string {
	switch builtin := (rpdb.Names{}).Table(t); {
	case t == rpdb.TableUnspec:
		return "0 stands for no table"
	case t >= rpdb.TableDefault && t <= rpdb.TableLocal:
		return fmt.Sprintf("table %d is %s, on every host", t, builtin)
	case t > math.MaxInt32:
		return fmt.Sprintf("iproute2 skips numbers above %d in its files, as it reads them as signed ones", math.MaxInt32)
	}
	return ""
}

// joiners are what may stand in a name beside letters and digits: every shell,
// and a batch of ip's, reads such a name as one word that means nothing else.
const joiners = "._-+:/@,%"

// refusedName says why a name will not do, "" if it will.
func refusedName(name string) string {
	if name == "" {
		return "the name is empty"
	}
	for _, r := range name {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(joiners, r)) {
			return fmt.Sprintf("a name has no %q in it, only letters, digits and any of %s", r, joiners)
		}
	}
	switch {
	case name[0] == '-':
		return "it looks like an option"
	case isNumber(name):
		return "it looks like a number"
	case slices.Contains(reservedNames(), name):
		return fmt.Sprintf("%q means something else where a table is named", name)
	}
	return ""
}

// reservedNames are the words that ip takes for something else than a name in a
// file, and the names that it has built in.
func reservedNames() []string {
	return []string{"all", "cache", "help", "unspec", "default", "main", "local"}
}

// isNumber reports whether ip could take the word for a number, right or wrong.
func isNumber(word string) bool {
	digits := strings.TrimLeft(word, "+-")
	if hex, ok := strings.CutPrefix(strings.ToLower(digits), "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// Unname returns the text without the lines that give the name, or that name
// the table of that number. A word that is both is a name, as it is for ip.
//
// It refuses, by a [*NameError], a name that only other files give, which keep
// it whatever this one says; and by an [*UnknownNameError] a word that none has.
func (d DropIn) Unname(word string) ([]byte, error) {
	var spans []span
	_ = parse(Tables, d.Source, d.Text, func(s span) { spans = append(spans, s) }) // what is read counts
	for _, is := range []func(Entry) bool{
		func(e Entry) bool { return e.Name == word },
		func(e Entry) bool { id, err := ParseNumber(word); return err == nil && e.ID == uint32(id) },
	} {
		if doomed := slices.DeleteFunc(slices.Clone(spans), func(s span) bool { return !is(s.Entry) }); len(doomed) > 0 {
			return cut(d.Text, doomed), nil
		}
		if i := slices.IndexFunc(d.All, is); i >= 0 {
			e := d.All[i]
			why := fmt.Sprintf("%s:%d gives its name, %q, and this edits %s alone", e.Source, e.Line, e.Name, d.Source)
			return nil, &NameError{"unname", fmt.Sprintf("table %d", e.ID), why, e}
		}
	}
	if t, ok := (rpdb.Names{}).TableByName(word); ok && (rpdb.Names{}).Table(t) != strconv.FormatUint(uint64(t), 10) {
		why := fmt.Sprintf("its name, %s, is built in", rpdb.Names{}.Table(t))
		return nil, &NameError{"unname", fmt.Sprintf("table %d", t), why, Entry{}}
	}
	return nil, &UnknownNameError{word}
}

// cut returns the text without some spans. What stands around them stays on
// lines of its own.
func cut(text []byte, spans []span) []byte {
	var kept []byte
	from := 0
	for _, s := range spans {
		kept = append(kept, text[from:s.start]...)
		from = s.end
		if n := len(kept); n > 0 && kept[n-1] != '\n' && from < len(text) {
			kept = append(kept, '\n')
		}
	}
	return append(kept, text[from:]...)
}

// ParseNumber reads the number of a table as ip reads it on a command line:
// decimal, or hexadecimal with 0x in front. With a zero in front it would be
// octal there and decimal in a file, and is refused.
func ParseNumber(word string) (rpdb.TableID, error) {
	base, digits := 10, word
	if hex, ok := strings.CutPrefix(strings.ToLower(word), "0x"); ok {
		base, digits = 16, hex
	} else if len(word) > 1 && word[0] == '0' {
		return 0, fmt.Errorf("table number %q: octal for ip, decimal in its files: leave the zero in front out", word)
	}
	n, err := strconv.ParseUint(digits, base, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("table number %q: tables have numbers up to %d", word, uint32(math.MaxUint32))
	case err != nil:
		return 0, fmt.Errorf("table number %q: not a number", word)
	}
	return rpdb.TableID(n), nil
}
