package ipsave

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kind says what a stream holds; its number stands at the beginning.
type Kind uint32

// The kinds of streams.
const (
	Rules  Kind = 0x71706986
	Routes Kind = 0x45311224
)

// MaxMessage is the length of the longest message, header included, that a
// stream may hold; ip's own reader has a buffer of this size.
const MaxMessage = 16384

const headerLen = 16

// Message is one netlink message of a stream. The zero Message is an empty one
// of type 0.
type Message struct {
	// Offset is where the message begins in the stream. Writers ignore it.
	Offset int64
	Type   uint16
	Flags  uint16
	Seq    uint32 // of the dump that the message came from; no meaning is left
	PID    uint32 // likewise
	// Payload is what follows the header. That of a [Reader] is valid until
	// the next call of Next.
	Payload []byte
}

// Error says where a stream is not what it should be.
type Error struct {
	Offset int64  // of the message, or of the end of a stream that stops short
	Text   string // lower case
	stderr string // of ip
	behind bool   // ip says as well how far it has read, which is behind the header
	cause  error  // io.ErrUnexpectedEOF for a stream that stops short
}

// Error names the place and the reason.
func (e *Error) Error() string {
	return fmt.Sprintf("read saved messages: offset %d: %s", e.Offset, e.Text)
}

// Stderr returns what ip says about such a stream at the beginning of a file,
// with the newline.
func (e *Error) Stderr() string { return e.StderrAt(0) }

// StderrAt returns what ip says about a stream that begins somewhere in a file.
// It names places in the file; start is negative for a pipe, which has none.
func (e *Error) StderrAt(start int64) string {
	if !e.behind {
		return e.stderr + "\n"
	}
	at := uint64(1<<64 - 1)
	if start >= 0 {
		at = uint64(start + e.Offset + headerLen)
	}
	return fmt.Sprintf("%s @%d\n", e.stderr, at)
}

// Unwrap returns [io.ErrUnexpectedEOF] for a stream that stops short.
func (e *Error) Unwrap() error { return e.cause }

// Reader reads a stream message by message. It never holds more than one, and
// its memory grows only with bytes that are there, up to [MaxMessage]. The
// first error sticks. It reads no byte behind the last message it returned,
// but for those of the next header. It is not safe for concurrent use.
type Reader struct {
	in     io.Reader
	kind   Kind
	offset int64
	begun  bool
	buf    []byte
	m      Message
	err    error
}

// NewReader returns a reader of a stream of the kind.
func NewReader(r io.Reader, k Kind) *Reader { return &Reader{in: r, kind: k} }

// Next advances to the next message and reports whether there is one.
func (r *Reader) Next() bool {
	if r.err == nil && !r.begun {
		r.begun = true
		r.magic()
	}
	if r.err == nil {
		r.next()
	}
	return r.err == nil
}

// Message returns the current message.
func (r *Reader) Message() Message { return r.m }

// Err returns what made Next stop, nil at the regular end. It is of type
// *[Error] unless the underlying reader failed.
func (r *Reader) Err() error {
	if errors.Is(r.err, io.EOF) {
		return nil
	}
	return r.err
}

func (r *Reader) magic() {
	var b [4]byte
	n, err := io.ReadFull(r.in, b[:])
	found := binary.NativeEndian.Uint32(b[:])
	r.offset = int64(n)
	switch {
	case err != nil && !isEnd(err):
		r.err = err
	case err != nil:
		r.err = &Error{
			Offset: r.offset, Text: fmt.Sprintf("%d bytes, the magic number has 4", n),
			stderr: fmt.Sprintf("Magic mismatch (0 elems, %x magic)", found), cause: io.ErrUnexpectedEOF,
		}
	case Kind(found) != r.kind:
		r.err = &Error{Text: mismatch(Kind(found), r.kind), stderr: fmt.Sprintf("Magic mismatch (1 elems, %x magic)", found)}
	}
}

// mismatch says what a stream is instead.
func mismatch(found, want Kind) string {
	swapped := func(k Kind) bool {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], uint32(found))
		return Kind(binary.BigEndian.Uint32(b[:])) == k
	}
	switch {
	case found == Rules:
		return "the stream holds rules, not routes"
	case found == Routes:
		return "the stream holds routes, not rules"
	case swapped(want):
		return "the stream was written on a machine with the other byte order"
	}
	return fmt.Sprintf("magic number %#x, want %#x", uint32(found), uint32(want))
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// next reads one message with its padding.
func (r *Reader) next() {
	start := r.offset
	head, err := r.read(headerLen, r.buf[:0])
	r.buf = head
	if err != nil {
		if r.err = err; len(head) == 0 && isEnd(err) {
			r.err = io.EOF
		}
		return
	}
	length := binary.NativeEndian.Uint32(head)
	if length < headerLen || length > MaxMessage {
		r.err = &Error{
			Offset: start, Text: fmt.Sprintf("message of %d bytes, want %d to %d", length, headerLen, MaxMessage),
			stderr: fmt.Sprintf("!!!malformed message: len=%d", int32(length)), behind: true,
		}
		return
	}
	r.m = Message{
		Offset: start, Type: binary.NativeEndian.Uint16(head[4:]), Flags: binary.NativeEndian.Uint16(head[6:]),
		Seq: binary.NativeEndian.Uint32(head[8:]), PID: binary.NativeEndian.Uint32(head[12:]),
	}
	size := int(length) - headerLen
	if r.buf, err = r.read((size+3)&^3, r.buf[:0]); err != nil {
		r.err = err
		return
	}
	r.m.Payload = r.buf[:size:size]
}

// read appends n bytes of the stream to b.
func (r *Reader) read(n int, b []byte) ([]byte, error) {
	const piece = 512
	start := len(b)
	for len(b)-start < n {
		more := min(piece, n-(len(b)-start))
		b = append(b, make([]byte, more)...)
		got, err := io.ReadFull(r.in, b[len(b)-more:])
		r.offset += int64(got)
		b = b[:len(b)-more+got]
		if isEnd(err) {
			return b, &Error{
				Offset: r.offset, Text: "the stream ends inside a message",
				stderr: "rtnl-from_file: truncated message", cause: io.ErrUnexpectedEOF,
			}
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// Writer writes a stream. It does not buffer. The magic number goes out with
// the first message or on Close. It is not safe for concurrent use.
type Writer struct {
	out   io.Writer
	kind  Kind
	begun bool
}

// NewWriter returns a writer of a stream of the kind.
func NewWriter(w io.Writer, k Kind) *Writer { return &Writer{out: w, kind: k} }

// Write writes one message, padded. A message that no reader would take is an
// error, and nothing is written.
func (w *Writer) Write(m Message) error {
	if len(m.Payload) > MaxMessage-headerLen {
		return fmt.Errorf("save message: %d bytes, at most %d fit", len(m.Payload), MaxMessage-headerLen)
	}
	b := make([]byte, 0, headerLen+len(m.Payload)+3)
	b = binary.NativeEndian.AppendUint32(b, uint32(headerLen+len(m.Payload)))
	b = binary.NativeEndian.AppendUint16(b, m.Type)
	b = binary.NativeEndian.AppendUint16(b, m.Flags)
	b = binary.NativeEndian.AppendUint32(b, m.Seq)
	b = binary.NativeEndian.AppendUint32(b, m.PID)
	b = append(b, m.Payload...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	if err := w.begin(); err != nil {
		return err
	}
	_, err := w.out.Write(b)
	return err
}

// Close writes the magic number if nothing was written. It does not close the
// underlying writer.
func (w *Writer) Close() error { return w.begin() }

func (w *Writer) begin() error {
	if w.begun {
		return nil
	}
	w.begun = true
	_, err := w.out.Write(binary.NativeEndian.AppendUint32(nil, uint32(w.kind)))
	return err
}
