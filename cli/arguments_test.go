package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestWrongWordsSayWhat gives every command more words than it takes: what is said
// names the command and the word, and is none of a library's.
func TestWrongWordsSayWhat(t *testing.T) {
	tried := 0
	for _, cmd := range commandsOf((&app{}).rootCommand()) {
		if cmd.DisableFlagParsing || slices.Contains([]string{"adopt", "explain", "help"}, cmd.Name()) { // sentences
			continue
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		front := strings.Join(append([]string{"rpdb:"}, path...), " ") + ": "
		if len(path) == 0 {
			front = "rpdb: "
		}
		for words := range 3 {
			extra := []string{"mistake", "mistake", "mistake"}[:words+1]
			code, out, errs := call(t, nil, append(path[:len(path):len(path)], extra...)...)
			if missing := cmd.ValidateArgs(extra) == nil; missing {
				continue // it takes that many
			}
			tried++
			first, hint, _ := strings.Cut(errs, "\n")
			if code == exitOK || out != "" || !strings.HasPrefix(first, front) || !strings.HasPrefix(hint, "hint: ") || !strings.Contains(first, `"mistake"`) && !strings.Contains(first, "needed") && !strings.Contains(first, "missing") {
				t.Errorf("%q: exit code %d, stdout %q, stderr %q", append(path, extra...), code, out, errs)
			}
			for _, foreign := range []string{" for \"rpdb", "arg(s)", "accepts", "argument"} {
				if strings.Contains(errs, foreign) {
					t.Errorf("%q: %q has words of a library", append(path, extra...), errs)
				}
			}
		}
	}
	if tried < 60 {
		t.Errorf("%d command lines are too few", tried)
	}
}

// TestEmptyWords: what a variable that is not set leaves is told, and a time that
// nobody can wait.
func TestEmptyWords(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"plan", ""}, "rpdb: plan: the name of the FILE is empty\nhint: see \"rpdb plan --help\"\n"},
		{[]string{"snapshot", "save", ""}, "rpdb: snapshot save: the name of the FILE is empty\nhint: see \"rpdb snapshot save --help\"\n"},
		{[]string{"status", "--wait=-1s"}, "rpdb: --wait -1s: a negative time\n"},
		{[]string{"apply", "policy.yaml", "--wait", "-5m"}, "rpdb: --wait -5m0s: a negative time\n"},
	} {
		code, out, errs := call(t, nil, c.args...)
		if code != exitFailed || out != "" || errs != c.want {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q, want %q", c.args, code, out, errs, c.want)
		}
	}
}

func TestUnknownCommands(t *testing.T) {
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"status foo", "rpdb: status: \"foo\" is too many\nhint: see \"rpdb status --help\"\n", 1},
		{"check foo", "rpdb: check: \"foo\" is too many\nhint: see \"rpdb check --help\"\n", 2},
		{"statsu", "rpdb: unknown command \"statsu\"\nhint: perhaps \"status\" is meant; see \"rpdb --help\"\n", 1},
		{"frobnicate", "rpdb: unknown command \"frobnicate\"\nhint: see \"rpdb --help\"\n", 1},
		{"history 3", "rpdb: history: unknown command \"3\"\nhint: rpdb history show 3\n", 1},
		{"table lsit", "rpdb: table: unknown command \"lsit\"\nhint: perhaps \"list\" is meant; see \"rpdb table --help\"\n", 1},
		{"completion zhs", "rpdb: completion: unknown command \"zhs\"\nhint: perhaps \"zsh\" is meant; see \"rpdb completion --help\"\n", 1},
		{"completion zsh x", "rpdb: completion zsh: \"x\" is too many\nhint: see \"rpdb completion zsh --help\"\n", 1},
		{"help statsu", "rpdb: unknown command \"statsu\"\nhint: perhaps \"status\" is meant; see \"rpdb --help\"\n", 1},
		{"help table lsit", "rpdb: table: unknown command \"lsit\"\nhint: perhaps \"list\" is meant; see \"rpdb table --help\"\n", 1},
		{"help status x", "rpdb: status: \"x\" is too many\nhint: see \"rpdb status --help\"\n", 1},
	} {
		code, out, errs := call(t, nil, strings.Fields(c.args)...)
		if code != c.code || out != "" || errs != c.want {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q, want %d and %q", c.args, code, out, errs, c.code, c.want)
		}
	}
}

// TestHelpOfCommands: "rpdb help COMMAND" is what the command says with --help.
func TestHelpOfCommands(t *testing.T) {
	for _, cmd := range commandsOf((&app{}).rootCommand()) {
		if cmd.Name() == "ip" { // there --help is another program's
			continue
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		_, want, _ := call(t, nil, append(path[:len(path):len(path)], "--help")...)
		code, out, errs := call(t, nil, append([]string{"help"}, path...)...)
		if code != exitOK || out != want || errs != "" {
			t.Errorf("%q: exit code %d, stderr %q, want\n%s\ngot\n%s", path, code, errs, want, out)
		}
	}
	if words, _ := completeHelp((&app{}).rootCommand(), []string{"history"}, "s"); !slices.Equal(words, []cobra.Completion{"show\tone generation: who, when, why, each change, and its policy"}) {
		t.Errorf("offers %q", words)
	}
}
