package cli

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// answer is standard output. It remembers the first error.
type answer struct {
	w   io.Writer
	err error
}

// Write writes, unless that failed before.
func (a *answer) Write(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.w.Write(p)
	a.err = err
	return n, err
}

// interruptible is standard input, on which nothing may ever come: its Read
// ends with ctx, and what comes later is lost.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

// untilEnd returns standard input as what its reading ends with ctx. That of a file
// ends by itself.
func untilEnd(ctx context.Context, in io.Reader) io.Reader {
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return in
		}
	}
	return &interruptible{ctx, in}
}

// Read reads into a buffer of its own, since a reading that was given up may
// still end.
func (i *interruptible) Read(p []byte) (int, error) {
	type reading struct {
		data []byte
		err  error
	}
	done := make(chan reading, 1)
	go func() {
		data := make([]byte, len(p))
		n, err := i.r.Read(data)
		done <- reading{data[:n], err}
	}()
	select {
	case got := <-done:
		return copy(p, got.data), got.err
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	}
}

// isTerminal reports whether a stream is one. Other devices, such as /dev/null,
// are not.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
