package ipjson

import (
	"io"
	"strconv"
	"strings"
)

// Writer writes one array of objects, field by field, through a buffer. The
// first write error sticks and comes out of [Writer.Close]. The text that a
// field has in listings is not written. It is not safe for concurrent use; see
// [NewWriter].
type Writer struct {
	to     io.Writer
	err    error
	buf    []byte
	pretty bool
	depth  int
	levels []level // by depth
	start  int     // of the element of the array that was begun last, in buf
	cut    bool    // a part of that was written out
	object []byte  // the last one that was closed
}

// level is an object or array that is open.
type level struct {
	bracket byte // that closes it
	filled  bool // something stands in it already
}

// full is the length from which on the buffer is written out.
const full = 16 << 10

// NewWriter returns a writer that has opened the array.
func NewWriter(w io.Writer, pretty bool) *Writer {
	j := &Writer{to: w, pretty: pretty, buf: make([]byte, 0, full+full/4)}
	j.open('[')
	return j
}

// flush writes the buffer out.
func (w *Writer) flush() {
	if w.err == nil {
		_, w.err = w.to.Write(w.buf)
	}
	w.buf = w.buf[:0]
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
func (w *Writer) End() {
	w.close()
	if w.depth == 1 {
		w.object = w.buf[w.start:] // stays there when the buffer is written out
		if w.cut {
			w.object = nil
		}
	}
	if len(w.buf) >= full {
		w.flush()
		w.start, w.cut = 0, true
	}
}

// Last returns the object that was closed last, as it stands in the array: what
// [Writer.Again] puts there once more. It is valid until something is written, and
// nil for one of which a part was written out before its end, as of the longest.
func (w *Writer) Last() []byte { return w.object }

// Again writes an object that was written before, by this or an equal writer.
func (w *Writer) Again(object []byte) {
	w.next()
	w.buf = append(w.buf, object...)
	if len(w.buf) >= full {
		w.flush()
	}
}

// next writes what stands in front of an element of an array.
func (w *Writer) next() {
	switch {
	case w.levels[w.depth-1].filled:
		w.buf = append(w.buf, ',')
	case w.pretty:
		w.buf = append(w.buf, ' ')
	}
	w.levels[w.depth-1].filled = true
	if w.depth == 1 {
		w.start, w.cut = len(w.buf), false
	}
}

// String writes a field whose value is a text. Here and below, what has no key
// is an element of the array that is open.
func (w *Writer) String(key, _, value string) {
	w.key(key)
	w.buf = quote(w.buf, value)
}

// Text is String for bytes, which are not kept.
func (w *Writer) Text(key string, value []byte) {
	w.key(key)
	w.buf = quote(w.buf, value)
}

// Literal writes a field whose value is a number in digits, true, false or
// null.
func (w *Writer) Literal(key, _, word string) {
	w.key(key)
	w.buf = append(w.buf, word...)
}

// Word is Literal for bytes, which are not kept.
func (w *Writer) Word(key string, word []byte) {
	w.key(key)
	w.buf = append(w.buf, word...)
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
	w.buf = append(w.buf, '\n')
	w.flush()
	return w.err
}

// open writes an opening bracket and goes one level down.
func (w *Writer) open(bracket byte) {
	w.buf = append(w.buf, bracket)
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
		w.buf = append(w.buf, ' ')
	case l.filled:
		w.newline()
	}
	w.buf = append(w.buf, l.bracket)
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
		w.buf = append(w.buf, ',')
	}
	l.filled = true
	if w.pretty {
		w.newline()
	}
	w.buf = append(quote(w.buf, key), ':')
	if w.pretty {
		w.buf = append(w.buf, ' ')
	}
}

func (w *Writer) newline() {
	w.buf = append(w.buf, '\n')
	for range w.depth {
		w.buf = append(w.buf, "    "...)
	}
}

// quote appends a string with the escapes of JSON that have two characters, and
// other control bytes as \u00xx.
func quote[T ~string | ~[]byte](b []byte, s T) []byte {
	b = append(b, '"')
	if isPlain(s) {
		b = append(b, s...)
		return append(b, '"')
	}
	const digits = "0123456789abcdef"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20 && c != 0x7f:
			b = append(b, c)
		case strings.IndexByte(controls, c) >= 0:
			b = append(b, '\\', letters[strings.IndexByte(controls, c)])
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(b, '"')
}

// isPlain reports whether s needs no escape.
func isPlain[T ~string | ~[]byte](s T) bool {
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
