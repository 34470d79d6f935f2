package iproute2

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// maxBatchWords is how many words a command in a batch may have.
const maxBatchWords = 511

// BatchError is a line of a batch that cannot be cut into words. Text is what
// ip prints, without the newline; ExitCode is what it then ends with, 0 for a
// batch that stops in a continuation.
type BatchError struct {
	Line     int
	Text     string
	ExitCode int
}

// Error returns the text.
func (e *BatchError) Error() string { return e.Text }

// Batch reads the commands of "ip -batch", as they are asked for: one on each
// line, without the leading "ip". A # begins a comment, inside of quotes too; a
// backslash at the end of a line joins the next one to it, without a blank. A
// word that begins with ' or " runs to the next one, and there are no escapes.
// Use [NewBatch]; it is not safe for concurrent use.
type Batch struct {
	in    *bufio.Reader
	line  int
	bytes int64
	words []string
	ahead string // whole lines that in has
	keep  []byte // what was read of a line that does not fit the reader's buffer
	reuse bool
	limit int // of words that are wanted, 0 for all
	err   error
}

// NewBatch returns a reader of the commands in r.
func NewBatch(r io.Reader) *Batch { return &Batch{in: bufio.NewReader(r)} }

// Recycle has Next use the memory of [Batch.Words] again, which are then valid
// until it is called; the words themselves are kept. It is for batches of a million
// lines.
func (b *Batch) Recycle() { b.reuse = true }

// Heads has Words hold no more than the first n words of a command, n being at least
// 1, for who wants to know what a batch is about.
func (b *Batch) Heads(n int) { b.limit = n }

// Next advances to the next command and reports whether there is one. Lines
// without words are skipped.
func (b *Batch) Next() bool {
	for b.err == nil {
		text := b.command()
		if b.err != nil {
			return false
		}
		if b.words = b.split(text); len(b.words) > 0 && b.err == nil {
			return true
		}
	}
	return false
}

// Words returns the words of the current command, at least one.
func (b *Batch) Words() []string { return b.words }

// Line returns the number of the last line of the current command, from 1.
func (b *Batch) Line() int { return b.line }

// Rest returns what stands behind the current command, which need not be
// commands: a saved stream follows a restore. What is read of it, Next does not
// see.
func (b *Batch) Rest() io.Reader {
	b.ahead = ""
	return b.in
}

// Offset returns where [Batch.Rest] begins, in bytes, while nothing is read of
// it.
func (b *Batch) Offset() int64 { return b.bytes }

// Err returns what made Next stop, nil at the end of the input: a *[BatchError],
// or an error of the reader.
func (b *Batch) Err() error {
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// command reads a line and those that continue it.
func (b *Batch) command() string {
	text := b.read()
	for b.err == nil && strings.HasSuffix(text, "\\\n") {
		next := b.read()
		if b.err == io.EOF {
			b.err = &BatchError{Line: b.line, Text: "Missing continuation line"}
		}
		text = text[:len(text)-2] + next
	}
	return text
}

// read reads one line without its comment. A NUL byte ends it as well.
func (b *Batch) read() string {
	line, err := b.readLine()
	b.bytes += int64(len(line))
	if err != nil && (err != io.EOF || line == "") {
		b.err = err
		return ""
	}
	b.line++
	if at := strings.IndexByte(line, '#'); at >= 0 {
		line = line[:at]
	}
	if at := strings.IndexByte(line, 0); at >= 0 {
		line = line[:at]
	}
	return line
}

// readLine is ReadString, with one allocation for all lines that have arrived.
func (b *Batch) readLine() (string, error) {
	if end := strings.IndexByte(b.ahead, '\n') + 1; end > 0 {
		line := b.ahead[:end]
		b.ahead = b.ahead[end:]
		_, err := b.in.Discard(end)
		return line, err
	}
	part, err := b.in.ReadSlice('\n')
	if err == nil {
		return string(part), b.lookAhead()
	}
	if err != bufio.ErrBufferFull {
		return string(part), err
	}
	b.keep = b.keep[:0]
	for err == bufio.ErrBufferFull {
		b.keep = append(b.keep, part...)
		part, err = b.in.ReadSlice('\n')
	}
	return string(append(b.keep, part...)), err
}

// lookAhead takes the whole lines that have arrived behind the current one. They are
// still to be read.
func (b *Batch) lookAhead() error {
	more, err := b.in.Peek(b.in.Buffered())
	b.ahead = string(more[:bytes.LastIndexByte(more, '\n')+1])
	return err
}

// blank reports whether a byte stands between words.
func blank(c byte) bool {
	const blanks uint64 = 1<<' ' | 1<<'\n' | 1<<'\t' | 1<<'\r'
	return c <= ' ' && blanks>>c&1 != 0
}

// split cuts a command into words.
func (b *Batch) split(text string) (words []string) {
	if words = b.words[:0]; !b.reuse {
		words = nil
	}
	fail := func(reason string) []string {
		b.err = &BatchError{Line: b.line, Text: reason, ExitCode: exitFailed}
		return nil
	}
	for at := 0; ; {
		for at < len(text) && blank(text[at]) {
			at++
		}
		if at == len(text) || b.limit > 0 && len(words) == b.limit {
			return words
		}
		if len(words) == maxBatchWords {
			return fail("Too many arguments to command")
		}
		start := at
		if quote := text[at]; quote == '\'' || quote == '"' {
			start++
			length := strings.IndexByte(text[start:], quote)
			if length < 0 {
				return fail("Unterminated quoted string")
			}
			at = start + length
		} else {
			for at < len(text) && !blank(text[at]) {
				at++
			}
		}
		words = append(words, text[start:at])
		at = min(at+1, len(text))
	}
}
