package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"rpdb"
)

// TestHelpFits asks every command for its help: no line is longer than those of a
// terminal, and no word of what is to be said is lost.
func TestHelpFits(t *testing.T) {
	commands := [][]string{{"rule", "help"}, {"route", "help"}}
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		if cmd.Name() == "ip" {
			return // which becomes the system's
		}
		commands = append(commands, append(slices.Clone(path), "--help"))
		for _, c := range cmd.Commands() {
			walk(c, append(slices.Clone(path), c.Name()))
		}
	}
	walk((&app{}).rootCommand(), nil)
	if len(commands) < 35 {
		t.Errorf("%d commands are too few", len(commands))
	}
	const columns = 80
	for _, args := range commands {
		code, out, errs := call(t, nil, args...)
		if code != exitOK || out == "" || errs != "" {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, out, errs)
		}
		for line := range strings.Lines(out) {
			if line = strings.TrimSuffix(line, "\n"); len(line) > columns {
				t.Errorf("%q: %d columns: %s", args, len(line), line)
			}
		}
	}
}

// TestHelpIsBroken: on a narrow terminal the help of each command says what it
// says on a wide one.
func TestHelpIsBroken(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		said := func(width int) []string {
			var b strings.Builder
			w := newPrinter(&b)
			w.help(cmd, width)
			for line := range strings.Lines(b.String()) {
				if line = strings.TrimSuffix(line, "\n"); len(line) > width && !strings.Contains(cmd.Long+"\n"+cmd.Example, line) {
					t.Errorf("%s: more than %d columns: %s", cmd.CommandPath(), width, line)
				}
			}
			return strings.Fields(b.String())
		}
		wide, narrow := said(1000), said(59)
		if !slices.Equal(wide, narrow) {
			t.Errorf("%s: the words differ:\n%q\n%q", cmd.CommandPath(), wide, narrow)
		}
		if long := strings.Fields(cmd.Long); len(long) > 0 && !slices.Equal(long, narrow[:len(long)]) {
			t.Errorf("%s: it does not begin with what is to be said:\n%q", cmd.CommandPath(), narrow)
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk((&app{}).rootCommand())
}

// TestFiltersInHelp: the words that the help gives as examples of a filter are one.
func TestFiltersInHelp(t *testing.T) {
	tried := 0
	for _, text := range []string{(&app{}).adoptCommand().Long, ruleUsage} {
		for _, m := range regexp.MustCompile(`"((?:table|pref|protocol|from) [a-z0-9./ -]+)"`).FindAllStringSubmatch(text, -1) {
			tried++
			if code, _, errs := call(t, &rpdb.Snapshot{}, append([]string{"rule", "list"}, strings.Fields(m[1])...)...); code != exitOK {
				t.Errorf("%q: exit code %d: %s", m[1], code, errs)
			}
		}
	}
	if tried < 5 {
		t.Errorf("%d examples are too few", tried)
	}
}
