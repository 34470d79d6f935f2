package iproute2

import (
	"fmt"
	"strings"
)

// ParseErrorKind tells apart the ways in which ip complains about a word,
// which differ in their text and exit code.
type ParseErrorKind uint8

// The kinds of parse errors. The zero kind is a bad value.
const (
	BadArgument   ParseErrorKind = iota // argument "x" is wrong: REASON
	BadPrefix                           // FAMILY prefix is expected rather than "x"
	BadAddress                          // FAMILY address is expected rather than "x"
	Incomplete                          // the value of the last word is missing
	UnknownDevice                       // no interface has the name
	BadCommand                          // the words cannot stand together; Reason is the whole text
	Usage                               // ip prints a usage, that of rules unless Reason is another: for "help", and for a route to nowhere
)

// Exit codes of ip.
const (
	exitFailed  = 1
	exitInvalid = 22 // EINVAL, by accident
	exitUsage   = 255
)

// ParseError says which word of a command is wrong and why. Reason is ip's
// own text, for BadPrefix and BadAddress the family it expects. Position is
// the index of the word in the words given; for Incomplete it is the index
// behind the last one.
type ParseError struct {
	Kind     ParseErrorKind
	Word     string
	Reason   string
	Position int

	blank   bool   // ip's text ends in an empty line
	exit    int    // the exit code, 0 for that of the kind
	warning string // what ip has printed before it saw the word
	trailer string // what ip prints after it
}

// Error returns the complaint in ip's words, in one line and without
// punctuation at its end.
func (e *ParseError) Error() string {
	switch e.Kind {
	case BadPrefix:
		return fmt.Sprintf("%s prefix is expected rather than %q", e.Reason, e.Word)
	case BadAddress:
		return fmt.Sprintf("%s address is expected rather than %q", e.Reason, e.Word)
	case Incomplete:
		return "command line is not complete"
	case UnknownDevice:
		return fmt.Sprintf("cannot find device %q", e.Word)
	case BadCommand:
		return strings.TrimPrefix(strings.TrimSuffix(e.Reason, "."), "Error: ")
	case Usage:
		if e.Word == "" {
			return "a destination is missing"
		}
		return fmt.Sprintf("%q is not part of it", e.Word)
	}
	return fmt.Sprintf("argument %q is wrong: %s", e.Word, e.Reason)
}

// Stderr returns what ip writes to its standard error for this, byte for byte:
// words as they were typed, every newline included, also warnings about words
// before this one.
func (e *ParseError) Stderr() string {
	text := ""
	switch e.Kind {
	case BadArgument:
		text = fmt.Sprintf("Error: argument \"%s\" is wrong: %s\n", e.Word, e.Reason)
	case BadPrefix:
		text = fmt.Sprintf("Error: %s prefix is expected rather than \"%s\".\n", e.Reason, e.Word)
	case BadAddress:
		text = fmt.Sprintf("Error: %s address is expected rather than \"%s\".\n", e.Reason, e.Word)
	case Incomplete:
		text = "Command line is not complete. Try option \"help\"\n"
	case UnknownDevice:
		text = fmt.Sprintf("Cannot find device \"%s\"\n", e.Word)
	case BadCommand:
		text = e.Reason + "\n"
	case Usage:
		if text = e.Reason; text == "" {
			text = RuleHelp()
		}
	}
	if e.blank {
		text += "\n"
	}
	return e.warning + text + e.trailer
}

// ExitCode returns the code with which ip ends: 1 for addresses, interfaces
// and missing arguments, 22 for an l3mdev rule with a table, else 255.
func (e *ParseError) ExitCode() int {
	switch {
	case e.exit != 0:
		return e.exit
	case e.Kind == BadPrefix, e.Kind == BadAddress, e.Kind == UnknownDevice:
		return exitFailed
	}
	return exitUsage
}
