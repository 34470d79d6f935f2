package ipjson

import (
	"bufio"
	"io"
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
	filled []bool // by depth: something stands there already
}

// NewWriter returns a writer that has opened the array.
func NewWriter(w io.Writer, pretty bool) *Writer {
	j := &Writer{out: bufio.NewWriter(w), pretty: pretty}
	j.open('[')
	return j
}

// Begin opens an object in the array that is open.
func (w *Writer) Begin() {
	w.next()
	w.open('{')
}

// End closes the object that is open.
func (w *Writer) End() { w.close('}') }

// BeginObject opens an object as the value of a key.
func (w *Writer) BeginObject(key string) {
	w.key(key)
	w.open('{')
}

// EndObject closes the object that is open. The key is for the reader of the
// program.
func (w *Writer) EndObject(string) { w.close('}') }

// BeginArray opens an array as the value of a key.
func (w *Writer) BeginArray(key string) {
	w.key(key)
	w.open('[')
}

// EndArray closes the array that is open. The key is for the reader of the
// program.
func (w *Writer) EndArray(string) { w.close(']') }

// Item writes a text into the array that is open.
func (w *Writer) Item(value string) {
	w.next()
	w.quote(value)
}

// next writes what stands in front of an element of an array.
func (w *Writer) next() {
	switch {
	case w.filled[w.depth-1]:
		w.out.WriteByte(',')
	case w.pretty:
		w.out.WriteByte(' ')
	}
	w.filled[w.depth-1] = true
}

// String writes a field whose value is a text.
func (w *Writer) String(key, _, value string) {
	w.key(key)
	w.quote(value)
}

// Number writes a field whose value is a number, which comes in digits.
func (w *Writer) Number(key, _, value string) {
	w.key(key)
	w.out.WriteString(value)
}

// Null writes a field that is merely there.
func (w *Writer) Null(key, _ string) {
	w.key(key)
	w.out.WriteString("null")
}

// Bool writes a field that is true or false.
func (w *Writer) Bool(key, _ string, value bool) {
	w.key(key)
	if value {
		w.out.WriteString("true")
	} else {
		w.out.WriteString("false")
	}
}

// Close ends the array with a newline, writes everything out, and returns the
// first error.
func (w *Writer) Close() error {
	w.close(']')
	w.out.WriteByte('\n')
	return w.out.Flush()
}

// open writes an opening bracket and goes one level down.
func (w *Writer) open(bracket byte) {
	w.out.WriteByte(bracket)
	w.depth++
	w.filled = append(w.filled[:w.depth-1], false)
}

// close goes one level up. Pretty arrays end on the line of what stands last
// in them, objects on a line of their own.
func (w *Writer) close(bracket byte) {
	w.depth--
	switch {
	case !w.pretty:
	case bracket == ']':
		w.out.WriteByte(' ')
	case w.filled[w.depth]:
		w.newline()
	}
	w.out.WriteByte(bracket)
}

// key writes the key of a field, on a line of its own if pretty.
func (w *Writer) key(key string) {
	if w.filled[w.depth-1] {
		w.out.WriteByte(',')
	}
	w.filled[w.depth-1] = true
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
	w.out.WriteByte('"')
}

// The control bytes that have an escape of two characters, and its letter.
const (
	controls = "\b\f\n\r\t"
	letters  = "bfnrt"
)
