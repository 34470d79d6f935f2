package ipcmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"rpdb/format/iproute2"
)

// runBatch carries out the lines of a file, "-" for standard input. A file
// with lines for other objects is for the system's ip as a whole; of a stream,
// which cannot be read twice, the system's ip gets what is left.
func (s *session) runBatch(name string) (code int, err error) {
	in := s.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return 0, fail(1, "Cannot open file \"%s\" for reading: %s\n", name, errnoTextIn(err))
		}
		defer f.Close()
		in = f
	}
	if f, ok := in.(*os.File); ok {
		info, err := f.Stat()
		switch {
		case err == nil && info.Mode().IsRegular():
			return s.runFile(name, f)
		case err == nil && info.IsDir(): // of which ip reads nothing, and says so neither
			return 0, fail(1, "Cannot open file \"%s\" for reading: Is a directory\n", name)
		}
	}
	s.Stdin = &restOfBatch{from: in, start: noPlace}
	return s.runLines(name, in, true)
}

// fileBuffer is how much of a file is read at once.
const fileBuffer = 32 << 10

// runFile runs a batch that can be looked at before.
func (s *session) runFile(name string, f *os.File) (code int, err error) {
	start, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	b := iproute2.NewBatch(bufio.NewReaderSize(f, fileBuffer))
	b.Recycle()
	b.Heads(2)
	for b.Next() && !restores(b.Words()) {
		if !s.ours(b.Words()) {
			if _, err := f.Seek(start, io.SeekStart); err != nil {
				return 0, err
			}
			return 0, errHandOver
		}
	}
	var bad *iproute2.BatchError
	if err := b.Err(); err != nil && !errors.As(err, &bad) {
		return 0, fail(1, "ip: read %s: %v\n", name, errnoIn(err))
	}
	if _, err := f.Seek(start, io.SeekStart); err != nil {
		return 0, err
	}
	s.Stdin = &restOfBatch{from: f, start: start}
	return s.runLines(name, f, false)
}

// restores reports whether a command reads what stands behind it, to the end.
func restores(words []string) bool {
	if len(words) < 2 {
		return false
	}
	switch objectOf(words[0]) {
	case "rule":
		verb, err := iproute2.ParseRuleVerb(words[1])
		return err == nil && verb == iproute2.RuleRestore
	case "route":
		verb, err := iproute2.ParseRouteVerb(words[1])
		return err == nil && (verb == iproute2.RouteRestore || verb == iproute2.RouteShowDump)
	}
	return false
}

// noPlace is where a stream begins that has no places, such as a pipe.
const noPlace = -1

// restOfBatch is the standard input of a command in a batch: what stands behind
// the command, as ip's own is the batch, wherever that comes from.
type restOfBatch struct {
	batch *iproute2.Batch
	from  io.Reader
	start int64 // of the batch in its file
}

// Read reads what stands behind the current command.
func (r *restOfBatch) Read(p []byte) (int, error) { return r.batch.Rest().Read(p) }

// placeIn returns how far a file was read, [noPlace] for what is no file.
func placeIn(in io.Reader) int64 {
	switch in := in.(type) {
	case *os.File:
		if at, err := in.Seek(0, io.SeekCurrent); err == nil {
			return at
		}
	case *restOfBatch:
		if in.start != noPlace {
			return in.start + in.batch.Offset()
		}
	}
	return noPlace
}

// ours reports whether a command is for us, or wrong in a way that needs
// nobody else.
func (s *session) ours(words []string) bool {
	switch objectOf(words[0]) {
	case "rule":
		return true
	case "route":
		return s.opts.hasRoutes()
	case "monitor":
		_, err := parseMonitor(words[1:])
		return !errors.Is(err, errHandOver)
	}
	return words[0] == "" || words[0][0] == '-'
}

// runLines runs commands until one fails, or with -force to the end. One that
// ends the process ends the batch at once.
func (s *session) runLines(name string, in io.Reader, stream bool) (code int, err error) {
	rest := &recorder{from: in, keep: stream}
	text := io.Reader(bufio.NewReaderSize(rest, fileBuffer))
	if stream { // of which no more is taken than ip takes
		text = readAfter{s, rest}
	}
	b := iproute2.NewBatch(text)
	b.Recycle()
	if in, ok := s.Stdin.(*restOfBatch); ok {
		in.batch = b
	}
	s.wait(name)
	defer s.endWaiting()
	for b.Next() {
		words := b.Words()
		rest.keep = stream && !restores(words) // nothing is left behind a restore
		foreign := stream && !s.ours(words)
		if s.waiting != nil {
			s.waiting.line = b.Line()
		}
		if foreign || !s.waiting.mayWait(words) {
			if s.sendWaiting() != nil {
				return 1, nil
			}
		}
		if foreign {
			return s.passRest(name, s.failedSoFar(code), rest)
		}
		err := s.line(words)
		rest.forget(b.Line())
		if stream {
			s.out.Flush() // who writes the lines one by one wants answers
		}
		if err == nil {
			continue
		}
		if s.sendWaiting() != nil { // their errors come first
			return 1, nil
		}
		failed := s.report(err, 1)
		var f *failure
		if errors.As(err, &f) && f.exits {
			return failed, nil
		}
		code = 1
		fmt.Fprintf(s.Stderr, "Command failed %s:%d\n", name, b.Line())
		if !s.opts.Force {
			return code, nil
		}
	}
	if s.sendWaiting() != nil {
		return 1, nil
	}
	return s.endOfBatch(s.failedSoFar(code), b.Err())
}

// failedSoFar returns the exit code of a batch, of which code is that of the lines that
// did not wait.
func (s *session) failedSoFar(code int) int {
	if s.waiting != nil && s.waiting.fails {
		return 1
	}
	return code
}

// line carries out one command of a batch.
func (s *session) line(words []string) error {
	object := objectOf(words[0])
	if object == "" {
		return unknownObject(words[0])
	}
	return s.command(object, words[1:])
}

// endOfBatch says what is wrong with the text of the batch itself.
func (s *session) endOfBatch(code int, err error) (int, error) {
	var bad *iproute2.BatchError
	switch {
	case err == nil:
		return code, nil
	case errors.As(err, &bad):
		fmt.Fprintf(s.Stderr, "%s\n", bad.Text)
		return max(code, bad.ExitCode), nil
	}
	return 0, fail(1, "ip: read batch: %v\n", errnoIn(err))
}
