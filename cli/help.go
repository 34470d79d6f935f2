package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// setHelp has the help of a command and of those below it fit the terminal.
func (a *app) setHelp(root *cobra.Command) {
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		w := newPrinter(cmd.OutOrStderr())
		w.usage(cmd, textWidth(a.Out))
		return w.err
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		w := newPrinter(cmd.OutOrStdout())
		w.help(cmd, textWidth(a.Out))
	})
}

// helpCommand prints the help of any command, as that does with --help.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "what a command does, and how it is called",
		Args: func(cmd *cobra.Command, words []string) error {
			if about, rest, err := cmd.Root().Find(words); err != nil || len(rest) > 0 && !about.DisableFlagParsing {
				return noWords(about, rest)
			}
			return nil
		},
		ValidArgsFunction: completeHelp,
		RunE: func(cmd *cobra.Command, words []string) error {
			about, rest, err := cmd.Root().Find(words)
			switch {
			case err != nil:
				return err
			case about.DisableFlagParsing && about.Name() != "ip": // its help is its own
				return about.RunE(cmd, append(rest, "--help"))
			}
			about.InitDefaultHelpFlag() // which --help has as well
			return about.Help()
		},
	}
}

// completeHelp offers the commands below what is typed.
func completeHelp(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	o := offers{begun: begun}
	if about, rest, err := cmd.Root().Find(before); err == nil && len(rest) == 0 {
		for _, c := range about.Commands() {
			if c.IsAvailableCommand() {
				o.add(c.Name(), c.Short)
			}
		}
	}
	return o.list, noFiles
}

// help prints what a command does, and how it is called.
func (p *printer) help(cmd *cobra.Command, width int) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	p.prose(text, width)
	p.printf("\n")
	p.usage(cmd, width)
}

// usage prints how a command is called.
func (p *printer) usage(cmd *cobra.Command, width int) {
	p.printf("Usage:\n")
	if cmd.Runnable() {
		p.fill("  ", strings.Fields(cmd.UseLine()), width)
	}
	if cmd.HasAvailableSubCommands() {
		p.fill("  ", []string{cmd.CommandPath(), "[command]"}, width)
	}
	if cmd.HasExample() {
		p.printf("\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		p.printf("\nAvailable Commands:\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() || c.Name() == "help" {
				p.fill(fmt.Sprintf("  %-*s ", c.NamePadding(), c.Name()), strings.Fields(c.Short), width)
			}
		}
	}
	if cmd.HasAvailableLocalFlags() {
		p.printf("\nFlags:\n%s", cmd.LocalFlags().FlagUsagesWrapped(width))
	}
	if cmd.HasAvailableInheritedFlags() {
		p.printf("\nGlobal Flags:\n%s", cmd.InheritedFlags().FlagUsagesWrapped(width))
	}
	if cmd.HasAvailableSubCommands() {
		p.printf("\n")
		p.prose(fmt.Sprintf("Use %q for more information about a command.", cmd.CommandPath()+" [command] --help"), width)
	}
}

// prose prints paragraphs, broken anew to fit. A paragraph that has an indented
// line stands as it is.
func (p *printer) prose(text string, width int) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			p.printf("\n")
		}
		if strings.HasPrefix(paragraph, " ") || strings.HasPrefix(paragraph, "\t") || strings.Contains(paragraph, "\n ") || strings.Contains(paragraph, "\n\t") {
			p.printf("%s\n", paragraph)
			continue
		}
		line := ""
		for _, word := range strings.Fields(paragraph) {
			switch {
			case line == "":
				line = word
			case len(line)+1+len(word) > width:
				p.printf("%s\n", line)
				line = word
			default:
				line += " " + word
			}
		}
		p.printf("%s\n", line)
	}
}
