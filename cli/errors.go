package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"rpdb/apply/journal"
	"rpdb/kernel"
	"rpdb/policy"
)

// hinter is an error that knows what to do about it.
type hinter interface{ Hint() string }

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

// Unwrap returns the error.
func (e *hinted) Unwrap() error { return e.error }

// Hint says what to do.
func (e *hinted) Hint() string { return e.hint }

// printError writes an error, one line for each of several, and a hint where
// there is one.
func (a *app) printError(err error) {
	text := err.Error()
	walk(err, func(e error) {
		if isSignal(e) {
			text = strings.ReplaceAll(text, e.Error(), "interrupted")
		}
	})
	for line := range strings.Lines(text) {
		fmt.Fprintf(a.Err, "rpdb: %s\n", safe(strings.TrimRight(line, "\n")))
	}
	for _, hint := range hints(err) {
		fmt.Fprintf(a.Err, "hint: %s\n", safe(hint))
	}
}

// isSignal reports whether an error says that a command was canceled, which only a
// signal does, and wraps no other.
func isSignal(err error) bool {
	switch err.(type) {
	case interface{ Unwrap() error }, interface{ Unwrap() []error }:
		return false
	}
	return errors.Is(err, context.Canceled)
}

// hints collects what can be said to help, each once.
func hints(err error) []string {
	var found []string
	add := func(h string) {
		if h != "" && !strings.Contains(strings.Join(found, "\n"), h) {
			found = append(found, h)
		}
	}
	var list policy.ErrorList
	errors.As(err, &list)
	walk(err, func(e error) {
		switch h := e.(type) {
		case hinter:
			add(h.Hint())
		case *policy.Error:
			if h.Hint != "" && len(list) > 1 {
				add(fmt.Sprintf("%s:%v: %s", h.File, h.Position, h.Hint))
			} else {
				add(h.Hint)
			}
		}
	})
	var op *kernel.OpError
	var program *kernel.ProgramError
	var file *fs.PathError
	var state *journal.Error
	switch {
	case errors.Is(err, fs.ErrPermission) && errors.As(err, &state):
		add("this needs more rights: run it as root")
	case errors.Is(err, fs.ErrPermission) && errors.As(err, &file):
		add("this needs more rights: run it as root")
	case errors.Is(err, syscall.EPERM) && errors.As(err, &op) && op.Op == "open":
		add("entering another network namespace needs CAP_SYS_ADMIN: run it as root")
	case errors.Is(err, syscall.EPERM) && errors.As(err, &program):
		add("translating IPv6 needs CAP_BPF (before Linux 5.8 CAP_SYS_ADMIN) in the first user namespace, which the root of a container may lack: run it as root of the machine")
	case errors.Is(err, syscall.EPERM):
		add("changing rules and routes needs CAP_NET_ADMIN: run it as root, or rehearse it with \"rpdb try\"")
	}
	return found
}

// walk visits an error and everything that it wraps.
func walk(err error, visit func(error)) {
	if err == nil {
		return
	}
	visit(err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			walk(inner, visit)
		}
	}
}
