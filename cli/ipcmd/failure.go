package ipcmd

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// failure is the end of a command that did not succeed: what goes to standard
// error, newline included, and the exit code.
type failure struct {
	text string
	code int
	// exits is set where ip ends the process, a batch included, at once.
	exits bool
}

// Error returns the text in one line.
func (f *failure) Error() string { return strings.TrimSpace(f.text) }

// errHandOver ends a command line that is for the system's ip.
var errHandOver = errors.New("not for us")

// ErrVersion ends a command line with the option -Version in it: whatever
// stands behind does not count.
var ErrVersion = errors.New("the version was asked for")

// exit is a failure that ends the process.
func exit(code int, format string, args ...any) error {
	return &failure{text: fmt.Sprintf(format, args...), code: code, exits: true}
}

// fail is a failure that a batch with -force survives.
func fail(code int, format string, args ...any) error {
	return &failure{text: fmt.Sprintf(format, args...), code: code}
}

// parseFailure is what ip says and does about a word that it cannot
// understand: it ends the process, but for a command without any words, for
// words that cannot stand together, and for interfaces that are not there.
func parseFailure(err error) error {
	var p *iproute2.ParseError
	if !errors.As(err, &p) {
		return err
	}
	code := p.ExitCode()
	refused := p.Kind == iproute2.BadCommand && !strings.HasPrefix(p.Reason, "Error: ")
	returns := code == 22 || code == 1 && (refused || p.Kind == iproute2.UnknownDevice)
	return &failure{text: p.Stderr(), code: code, exits: !returns}
}

// kernelText is what ip prints about an answer of the kernel.
func kernelText(err error) string {
	var refused *kernel.Refusal
	errors.As(err, &refused)
	if refused != nil && refused.Message != "" {
		text := "Error: " + refused.Message
		if !strings.HasSuffix(text, ".") {
			text += "."
		}
		text += "\n"
		if refused.Missing != 0 {
			text += fmt.Sprintf("Missing required attribute type %d\n", refused.Missing)
		}
		return text
	}
	var op *kernel.OpError
	if errors.As(err, &op) && op.Message != "" {
		return fmt.Sprintf("Error: %s.\n", strings.TrimSuffix(op.Message, "."))
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return fmt.Sprintf("RTNETLINK answers: %s\n", errnoText(errno))
	}
	return fmt.Sprintf("ip: %v\n", err)
}

// errnoText is the C library's text of an errno. Go's differs in its first
// letter only.
func errnoText(errno syscall.Errno) string {
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// errnoTextIn is errnoText of the errno inside err, or the text of err.
func errnoTextIn(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errnoText(errno)
	}
	return err.Error()
}
