package kernel

import (
	"fmt"
	"syscall"

	"rpdb"
	"rpdb/kernel/netlink"
)

// OpError is an operation on the kernel that went wrong. Its text is
// "operation object: cause", with the kernel's own words behind if there are
// any: "add rule 100 (IPv4): invalid argument: Invalid tos". Unwrap gives the
// cause, which for whatever the kernel refused is a syscall.Errno:
// errors.Is(err, syscall.EPERM) is the question for privilege.
type OpError struct {
	Op     string // what was to be done, as in "add"
	Object string // to what, as in "rule 100 (IPv4)"
	Err    error  // the cause, never nil
	// Message is the kernel's own text (extended acknowledgement), or what
	// this package knows beyond the errno; "" for nothing.
	Message string
	// Offset is where in the request, from the start of its netlink header,
	// the attribute stands that the kernel complains of; 0 if it names none.
	Offset int
}

// Error returns "operation object: cause" and the message, if any.
func (e *OpError) Error() string {
	s := e.Op + " " + e.Object + ": " + e.Err.Error()
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// UnsupportedError says that the running kernel does not know an attribute of
// a rule or route: it acknowledged the change and stored something broader,
// which has been taken away again. It is EOPNOTSUPP and errors.ErrUnsupported
// for errors.Is.
type UnsupportedError struct {
	// Feature is what the kernel dropped, in the words of ip(8).
	Feature string
	// Since is the first version of Linux that knows it, "" if that is not
	// known here.
	Since string
}

// Error names the feature, and the version of Linux that it needs.
func (e *UnsupportedError) Error() string {
	if e.Since == "" {
		return fmt.Sprintf("the kernel ignores %s", e.Feature)
	}
	return fmt.Sprintf("the kernel ignores %s, which needs Linux %s", e.Feature, e.Since)
}

// Unwrap returns EOPNOTSUPP.
func (e *UnsupportedError) Unwrap() error { return syscall.EOPNOTSUPP }

// OtherRuleError says that a deletion was refused because the kernel, which
// deletes the first rule that the request matches and cannot be asked about
// "not" or the target of a goto, would have deleted another rule. It is EBUSY
// for errors.Is.
type OtherRuleError struct {
	Hit rpdb.Rule // what would have been deleted
}

// Error names the other rule.
func (e *OtherRuleError) Error() string {
	return fmt.Sprintf("the kernel would delete another %v before it", e.Hit)
}

// Unwrap returns EBUSY.
func (e *OtherRuleError) Unwrap() error { return syscall.EBUSY }

// OtherRouteError is [OtherRuleError] for a route.
type OtherRouteError struct {
	Hit rpdb.Route // what would have been deleted
}

// Error names the other route.
func (e *OtherRouteError) Error() string {
	return fmt.Sprintf("the kernel would delete another %v before it", e.Hit)
}

// Unwrap returns EBUSY.
func (e *OtherRouteError) Unwrap() error { return syscall.EBUSY }

// UnstableError says that a consistent reading was not possible: others kept
// changing what was read. It is EAGAIN for errors.Is.
type UnstableError struct {
	Class    string // what kept changing, as in "rules (IPv4)"
	Attempts int    // how often it was read
}

// Error names what kept changing.
func (e *UnstableError) Error() string {
	return fmt.Sprintf("%s changed during each of %d readings", e.Class, e.Attempts)
}

// Unwrap returns EAGAIN.
func (e *UnstableError) Unwrap() error { return syscall.EAGAIN }

// opError returns err as an OpError, nil for nil. A refusal by the kernel is
// taken apart; one that is only a part of what went wrong is left where it is.
func opError(op, object string, err error) error {
	if err == nil {
		return nil
	}
	refused, ok := err.(*netlink.Error)
	if !ok {
		return &OpError{Op: op, Object: object, Err: err}
	}
	e := &OpError{Op: op, Object: object, Err: refused.Errno, Message: refused.Message, Offset: refused.Offset}
	if e.Message == "" && refused.Missing != 0 {
		e.Message = fmt.Sprintf("attribute %d is missing", refused.Missing)
	}
	return e
}
