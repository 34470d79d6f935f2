package ipjson

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// Writer writes one array of objects, field by field, through a buffer. The
// first write error sticks and comes out of [Writer.Close]. The text that a
// field has in listings is not written. It is not safe for concurrent use; see
// [NewWriter].
type Writer struct {
	out    *bufio.Writer
	pretty bool
	depth  int
	levels []level // by depth
}

// level is an object or array that is open.
type level struct {
	bracket byte // that closes it
	filled  bool // something stands in it already
}

// NewWriter returns a writer that has opened the array.
func NewWriter(w io.Writer, pretty bool) *Writer {
	j := &Writer{out: bufio.NewWriter(w), pretty: pretty}
	j.open('[')
	return j
}

// Begin opens an object in the array that is open.
func (w *Writer) Begin() { w.Open("", '{') }

// Open opens an object or an array, as the bracket says: as the value of a
// key, or without a key as an element of the array that is open.
func (w *Writer) Open(key string, bracket byte) {
	w.key(key)
	w.open(bracket)
}

// End closes the object or array that was opened last.
func (w *Writer) End() { w.close() }

// next writes what stands in front of an element of an array.
func (w *Writer) next() {
	switch {
	case w.levels[w.depth-1].filled:
		w.out.WriteByte(',')
	case w.pretty:
		w.out.WriteByte(' ')
	}
	w.levels[w.depth-1].filled = true
}

// String writes a field whose value is a text. Here and below, what has no key
// is an element of the array that is open.
func (w *Writer) String(key, _, value string) {
	w.key(key)
	w.quote(value)
}

// Literal writes a field whose value is a number in digits, true, false or
// null.
func (w *Writer) Literal(key, _, word string) {
	w.key(key)
	w.out.WriteString(word)
}

// Number writes a field whose value is a number, which comes in digits.
func (w *Writer) Number(key, text, value string) { w.Literal(key, text, value) }

// Null writes a field that is merely there.
func (w *Writer) Null(key, text string) { w.Literal(key, text, "null") }

// Bool writes a field that is true or false.
func (w *Writer) Bool(key, text string, value bool) {
	w.Literal(key, text, strconv.FormatBool(value))
}

// Close ends the array with a newline, writes everything out, and returns the
// first error.
func (w *Writer) Close() error {
	w.close()
	w.out.WriteByte('\n')
	return w.out.Flush()
}

// open writes an opening bracket and goes one level down.
func (w *Writer) open(bracket byte) {
	w.out.WriteByte(bracket)
	w.depth++
	closing := byte(']')
	if bracket == '{' {
		closing = '}'
	}
	w.levels = append(w.levels[:w.depth-1], level{bracket: closing})
}

// close goes one level up. Pretty arrays end on the line of what stands last
// in them, objects on a line of their own.
func (w *Writer) close() {
	w.depth--
	l := w.levels[w.depth]
	switch {
	case !w.pretty:
	case l.bracket == ']':
		w.out.WriteByte(' ')
	case l.filled:
		w.newline()
	}
	w.out.WriteByte(l.bracket)
}

// key writes the key of a field, on a line of its own if pretty. Elements of
// an array have none.
func (w *Writer) key(key string) {
	l := &w.levels[w.depth-1]
	if l.bracket == ']' {
		w.next()
		return
	}
	if l.filled {
		w.out.WriteByte(',')
	}
	l.filled = true
	if w.pretty {
		w.newline()
	}
	w.quote(key)
	w.out.WriteByte(':')
	if w.pretty {
		w.out.WriteByte(' ')
	}
}

func (w *Writer) newline() {
	w.out.WriteByte('\n')
	w.out.WriteString(strings.Repeat("    ", w.depth))
}

// quote writes a string with the escapes of JSON that have two characters, and
// other control bytes as \u00xx.
func (w *Writer) quote(s string) {
	const digits = "0123456789abcdef"
	w.out.WriteByte('"')
	defer w.out.WriteByte('"')
	if isPlain(s) {
		w.out.WriteString(s)
		return
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			w.out.WriteByte('\\')
			w.out.WriteByte(c)
		case c >= 0x20 && c != 0x7f:
			w.out.WriteByte(c)
		case strings.IndexByte(controls, c) >= 0:
			w.out.WriteByte('\\')
			w.out.WriteByte(letters[strings.IndexByte(controls, c)])
		default:
			w.out.WriteString(`\u00`)
			w.out.WriteByte(digits[c>>4])
			w.out.WriteByte(digits[c&15])
		}
	}
}

// isPlain reports whether s needs no escape.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// The control bytes that have an escape of two characters, and its letter.
const (
	controls = "\b\f\n\r\t"
	letters  = "bfnrt"
)
