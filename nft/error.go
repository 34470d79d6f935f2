package nft

import (
	"errors"
	"fmt"
)

// What an [Error] may be for errors.Is.
var (
	// ErrForeign says that a table is called rpdb and is not ours. It is left as
	// it is.
	ErrForeign = errors.New("a table of this name is not ours")
	// ErrUnsupported says that the running kernel lacks nf_tables, or a part of
	// it. It is errors.ErrUnsupported too.
	ErrUnsupported = fmt.Errorf("not in this kernel: %w", errors.ErrUnsupported)
	// ErrTooMany says that what is to stand does not go into one transaction, as
	// this process may send it. Nothing is changed.
	ErrTooMany = errors.New("too many for one transaction")
	// ErrUnstable says that others kept changing nf_tables.
	ErrUnstable = errors.New("nf_tables changed during every attempt")
)

// Error is an operation on nf_tables that went wrong: its text is "operation
// object: cause". Unwrap gives the cause, which for what the kernel refuses is a
// syscall.Errno or one of the errors above.
type Error struct {
	Op     string // "read", "replace" or "delete"
	Object string
	Err    error // never nil
	// Message is what the kernel says besides, "" for nothing.
	Message string
}

// Error returns "operation object: cause", and the message if any.
func (e *Error) Error() string {
	s := e.Op + " " + e.Object + ": " + e.Err.Error()
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
