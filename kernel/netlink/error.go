package netlink

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"time"
)

// Error is the kernel's refusal of a request: the negative acknowledgement of
// netlink(7), or the status of the done message that ends a dump, with the
// extended report. Unwrap gives the errno.
type Error struct {
	Errno syscall.Errno
	// Message is the kernel's own text, "" if it gave none.
	Message string
	// Offset is where in the request, from the start of its header, the
	// attribute stands that the kernel complains of; 0 if it names none.
	Offset int
	// Missing is the type of an attribute that the request lacks, 0 if the
	// kernel names none.
	Missing int
}

// Error returns the text of the errno, and the kernel's own if there is one.
func (e *Error) Error() string {
	s := e.Errno.Error()
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Unwrap returns the errno.
func (e *Error) Unwrap() error { return e.Errno }

// OverflowError says that the receive buffer was full and messages are lost.
// Those that were queued before can still be read. Until they have been, the
// kernel drops all that comes, without a further error: whoever follows events
// must empty the socket and then read everything anew. It is ENOBUFS for
// errors.Is.
type OverflowError struct{}

// Error says what happened.
func (OverflowError) Error() string { return "receive buffer full: messages are lost" }

// Unwrap returns ENOBUFS.
func (OverflowError) Unwrap() error { return syscall.ENOBUFS }

// InterruptedError says that the kernel flagged a dump as inconsistent: what
// it lists changed meanwhile. It is EINTR for errors.Is.
type InterruptedError struct{}

// Error says what happened.
func (InterruptedError) Error() string { return "dump interrupted by a change" }

// Unwrap returns EINTR.
func (InterruptedError) Unwrap() error { return syscall.EINTR }

// SilenceError says that the answer to a request did not come, and no error
// either. What the request was to change may be changed. The socket may be used
// again; if it was a dump, the kernel may take it to be under way and refuse the
// next one, once (EBUSY). It is ETIMEDOUT for errors.Is.
type SilenceError struct {
	Waited time.Duration // since the last that came
}

// Error says how long nothing came.
func (e *SilenceError) Error() string {
	return fmt.Sprintf("no answer from the kernel for %v: it is lost", e.Waited)
}

// Unwrap returns ETIMEDOUT.
func (e *SilenceError) Unwrap() error { return syscall.ETIMEDOUT }

// Attributes of the extended report (NLMSGERR_ATTR_*).
const (
	extMessage     = 1
	extOffset      = 2
	extMissingType = 5
)

// parseAck returns what an error or done message says: nil for success.
func parseAck(m Message) error {
	if len(m.Data) < 4 {
		if m.Type == typeDone {
			return nil // the oldest kernels send no status
		}
		return fmt.Errorf("decode acknowledgement: %d bytes", len(m.Data))
	}
	status := int32(binary.NativeEndian.Uint32(m.Data))
	if status == 0 || (m.Type == typeDone && status > 0) {
		return nil // a positive status counts what was dumped
	}
	e := &Error{Errno: syscall.Errno(-status)}
	if m.Flags&extAttrs == 0 {
		return e
	}
	rest := m.Data[4:]
	if m.Type == typeError {
		// The header of the request stands in between, and the rest of it
		// unless the acknowledgement is capped.
		n := headerLen
		if m.Flags&capped == 0 && len(rest) >= headerLen {
			n = int(min(uint64(align(int(binary.NativeEndian.Uint32(rest)))), uint64(len(rest))))
		}
		rest = rest[min(n, len(rest)):]
	}
	d := NewDecoder(rest)
	for d.Next() {
		switch d.Type() {
		case extMessage:
			e.Message = d.String()
		case extOffset:
			e.Offset = int(d.Uint32())
		case extMissingType:
			e.Missing = int(d.Uint32())
		}
	}
	return e // a report that cannot be read does not hide the errno
}
