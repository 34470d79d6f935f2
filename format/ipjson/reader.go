package ipjson

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Sink takes the fields of one object in the order in which they are written.
// text is always empty.
type Sink interface {
	String(key, text, value string)
	Number(key, text, value string)
	Null(key, text string)
	Bool(key, text string, value bool)
}

// Tree takes the fields of one object in which there are other objects and
// arrays, in the order in which they are written. A literal is a number, true,
// false or null, as it is spelled. Open begins an object or an array, as the
// bracket says, and End ends it; elements of an array have no key. text is
// always empty.
type Tree interface {
	String(key, text, value string)
	Literal(key, text, word string)
	Open(key string, bracket byte)
	End()
}

// SyntaxError says where the text is not what ip writes.
type SyntaxError struct {
	Offset int // of the byte, from 0
	Text   string
}

// Error names the place and the reason.
func (e *SyntaxError) Error() string { return fmt.Sprintf("read JSON: byte %d: %s", e.Offset, e.Text) }

// Read reads an array of flat objects: for each it asks begin for a sink,
// gives it the fields, and calls end. It is strict: nothing may follow the
// array but white space, values that are objects or arrays are refused, and so
// are fractions and exponents. Strings may hold bytes that are not UTF-8, as
// ip writes them. Keys that come twice are given twice.
//
// An empty object, which ip writes for a rule that a filter hid in old
// releases, is skipped. The error is of type *[SyntaxError], or what end
// returns, with the offset of the object in front.
func Read(data []byte, begin func() Sink, end func(Sink) error) error {
	r := reader{s: string(data)}
	return r.array(func() Tree { return flat{begin()} }, func(t Tree) error { return end(t.(flat).Sink) })
}

// deepest is how many objects and arrays may stand in each other. ip's own are
// five.
const deepest = 8

// ReadTrees reads an array of objects as [Read] does, but its values may be
// objects and arrays themselves, and numbers may have fractions.
func ReadTrees(data []byte, begin func() Tree, end func(Tree) error) error {
	r := reader{s: string(data), depth: deepest}
	return r.array(begin, end)
}

// flat makes a Sink a Tree that nothing is opened in.
type flat struct{ Sink }

func (f flat) Literal(key, text, word string) {
	switch word {
	case "null":
		f.Null(key, text)
	case "true", "false":
		f.Bool(key, text, word == "true")
	default:
		f.Number(key, text, word)
	}
}

func (f flat) Open(string, byte) {} // the reader refuses it

func (f flat) End() {}

// reader walks over the text. Its error sticks.
type reader struct {
	s     string
	pos   int
	depth int // how many values may still be opened in each other; 0: flat
	err   *SyntaxError
}

// array reads all of the text: one array of objects.
func (r *reader) array(begin func() Tree, end func(Tree) error) error {
	r.expect('[')
	for more := !r.accept(']'); more && r.err == nil; {
		r.space()
		start := r.pos
		tree := begin()
		fields := r.object(tree)
		if r.err == nil && fields > 0 {
			if err := end(tree); err != nil {
				return fmt.Errorf("read JSON: object at byte %d: %w", start, err)
			}
		}
		if more = r.accept(','); !more {
			r.expect(']')
		}
	}
	r.space()
	if r.pos < len(r.s) {
		r.fail("text behind the array")
	}
	if r.err != nil {
		return r.err
	}
	return nil
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &SyntaxError{Offset: r.pos, Text: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) space() {
	for r.pos < len(r.s) && strings.IndexByte(" \t\r\n", r.s[r.pos]) >= 0 {
		r.pos++
	}
}

// accept takes a byte if it comes next, behind white space.
func (r *reader) accept(c byte) bool {
	r.space()
	if r.err != nil || r.pos >= len(r.s) || r.s[r.pos] != c {
		return false
	}
	r.pos++
	return true
}

func (r *reader) expect(c byte) {
	if !r.accept(c) {
		r.fail("want %q", c)
	}
}

// object gives the fields of an object to a sink and returns how many there
// were.
func (r *reader) object(to Tree) (fields int) {
	r.expect('{')
	for more := r.err == nil && !r.accept('}'); more && r.err == nil; fields++ {
		r.space()
		key := r.text()
		r.expect(':')
		r.space()
		r.value(key, to)
		if more = r.accept(','); !more {
			r.expect('}')
		}
	}
	return fields
}

// value reads one value and hands it over.
func (r *reader) value(key string, to Tree) {
	rest := r.s[r.pos:]
	switch {
	case r.err != nil:
	case strings.HasPrefix(rest, `"`):
		if v := r.text(); r.err == nil {
			to.String(key, "", v)
		}
	case r.depth > 1 && (strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, "[")):
		r.nested(key, rest[0], to)
	default:
		word := literal(rest, r.depth > 0)
		if word == "" {
			r.fail("want a text, an integer, null, true or false")
			return
		}
		r.pos += len(word)
		to.Literal(key, "", word)
	}
}

// nested reads an object or an array that is a value.
func (r *reader) nested(key string, bracket byte, to Tree) {
	r.depth--
	to.Open(key, bracket)
	if bracket == '{' {
		r.object(to)
	} else {
		r.elements(to)
	}
	if r.err == nil {
		to.End()
	}
	r.depth++
}

func (r *reader) elements(to Tree) {
	r.expect('[')
	for more := !r.accept(']'); more && r.err == nil; {
		r.space()
		r.value("", to)
		if more = r.accept(','); !more {
			r.expect(']')
		}
	}
}

// literal returns the word that s begins with, "" if it begins with none.
func literal(s string, fractions bool) string {
	for _, word := range []string{"null", "true", "false"} {
		if strings.HasPrefix(s, word) {
			return word
		}
	}
	n := number(s)
	if n == 0 && fractions {
		n = fraction(s)
	}
	return s[:n]
}

// fraction returns the length of the number with a fraction, but without an
// exponent, that s begins with, 0 if it begins with none.
func fraction(s string) int {
	whole, rest, _ := strings.Cut(s, ".")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	if number(whole) != len(whole) || whole == "" || digits == 0 || strings.IndexByte(".eE", (rest + " ")[digits]) >= 0 {
		return 0
	}
	return len(whole) + 1 + digits
}

// number returns the length of the integer that s begins with, 0 if it begins
// with none.
func number(s string) int {
	digits := strings.TrimPrefix(s, "-")
	n := len(digits) - len(strings.TrimLeft(digits, "0123456789"))
	if n == 0 || (n > 1 && digits[0] == '0') || strings.IndexByte(".eE", (digits + " ")[n]) >= 0 {
		return 0
	}
	return len(s) - len(digits) + n
}

// text reads a string with its quotes.
func (r *reader) text() string {
	if r.pos >= len(r.s) || r.s[r.pos] != '"' {
		r.fail("want a text")
		return ""
	}
	r.pos++
	var b strings.Builder
	for r.pos < len(r.s) && r.err == nil {
		c := r.s[r.pos]
		switch {
		case c == '"':
			r.pos++
			return b.String()
		case c < 0x20:
			r.fail("control byte %#x in a text", c)
		case c == '\\':
			r.escape(&b)
		default:
			b.WriteByte(c)
			r.pos++
		}
	}
	r.fail("text without end")
	return ""
}

// escape reads one escape.
func (r *reader) escape(b *strings.Builder) {
	rest := r.s[r.pos:]
	if len(rest) < 2 {
		r.fail("text without end")
		return
	}
	if i := strings.IndexByte(`"\/`+letters, rest[1]); i >= 0 {
		b.WriteByte((`"\/` + controls)[i])
		r.pos += 2
		return
	}
	code, ok := hex4(rest)
	length := 6
	if utf16.IsSurrogate(code) { // the first of two that are one character
		var low rune
		low, ok = hex4(rest[length:])
		code = utf16.DecodeRune(code, low)
		ok = ok && code != utf8.RuneError
		length *= 2
	}
	if !ok {
		r.fail("unknown escape %q", rest[:2])
		return
	}
	// ip never writes more than \u007f; what others write is a character.
	b.WriteRune(code)
	r.pos += length
}

// hex4 reads \uXXXX, which may be half of a pair.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	code := rune(0)
	for i := range 4 {
		d := strings.IndexByte("0123456789abcdef", s[2+i]|0x20)
		if d < 0 || s[2+i] < '0' {
			return 0, false
		}
		code = code<<4 | rune(d)
	}
	return code, true
}
