package ipcmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

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
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return s.runFile(name, f)
		}
	}
	return s.runLines(name, in, true)
}

// runFile runs a batch that can be looked at before.
func (s *session) runFile(name string, f *os.File) (code int, err error) {
	start, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return 0, fail(1, "ip: read %s: %v\n", name, errnoIn(err))
	}
	b := iproute2.NewBatch(bytes.NewReader(data))
	for b.Next() && !restores(b.Words()) {
		if !s.ours(b.Words()) {
			if _, err := f.Seek(start, io.SeekStart); err != nil {
				return 0, err
			}
			return 0, errHandOver
		}
	}
	return s.runLines(name, bytes.NewReader(data), false)
}

// restores reports whether a command reads what stands behind it in a batch.
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

// ours reports whether a command is for us, or wrong in a way that needs
// nobody else.
func (s *session) ours(words []string) bool {
	switch objectOf(words[0]) {
	case "rule":
		return true
	case "route":
		verb, err := iproute2.ParseRouteVerb(slices.Concat(words, []string{"list"})[1])
		return s.opts.hasRoutes() && (err != nil || verb != iproute2.RouteRestore)
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
	b := iproute2.NewBatch(rest)
	if !isTerminal(in) {
		s.Stdin = b.Rest()
	}
	for b.Next() {
		words := b.Words()
		if stream && !s.ours(words) {
			return s.passRest(name, code, rest)
		}
		err := s.line(words)
		rest.forget(b.Line())
		if stream {
			s.out.Flush() // who writes the lines one by one wants answers
		}
		if err == nil {
			continue
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
	return s.endOfBatch(code, b.Err())
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
