package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
)

// called is a command as errors name it: without the program's name, "" for that
// alone.
func called(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return ""
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ") + ": "
}

// seeHelp is the hint for words that are not understood.
func seeHelp(cmd *cobra.Command) string { return fmt.Sprintf("see \"%s --help\"", cmd.CommandPath()) }

// noWords refuses words behind a command that takes none but the names of those below
// it.
func noWords(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasAvailableSubCommands():
		return unknownCommand(cmd, args[0])
	}
	return &usageError{fmt.Sprintf("%s%q is too many", called(cmd), args[0]), seeHelp(cmd)}
}

// unknownCommand is an error about a word that is no command below another one, with
// the one that it may be a slip for.
func unknownCommand(cmd *cobra.Command, word string) error {
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	hint := seeHelp(cmd)
	if near := rpdb.NearWords(word, known); len(near) > 0 {
		hint = fmt.Sprintf("perhaps %q is meant; %s", near[0], hint)
	}
	return &usageError{fmt.Sprintf("%sunknown command %q", called(cmd), word), hint}
}

// takes checks the words behind a command against what they are called.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return &usageError{fmt.Sprintf("%s%s is missing", called(cmd), names[len(args)]), seeHelp(cmd)}
		case len(args) > len(names):
			return &usageError{fmt.Sprintf("%s%q is too many", called(cmd), args[len(names)]), seeHelp(cmd)}
		}
		return nil
	}
}

// oneFile checks that a command has one argument, a file.
func oneFile(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return &usageError{fmt.Sprintf("%sa %s is missing", called(cmd), what), seeHelp(cmd)}
		case len(args) > 1:
			return &usageError{fmt.Sprintf("%sone FILE at a time: %q is too many", called(cmd), args[1]), seeHelp(cmd)}
		case args[0] == "": // as from a variable that is not set
			return &usageError{called(cmd) + "the name of the FILE is empty", seeHelp(cmd)}
		}
		return nil
	}
}

// atMostOne checks that a command has one argument or none.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return &usageError{fmt.Sprintf("%s%s is enough: %q is too many", called(cmd), what, args[1]), seeHelp(cmd)}
		}
		return nil
	}
}
