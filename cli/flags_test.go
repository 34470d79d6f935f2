package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestWrongFlagsSayWhat gives every flag of every command a value that it cannot have,
// and none: the message is about the command line, and not about how it is read.
func TestWrongFlagsSayWhat(t *testing.T) {
	tried := 0
	try := func(args []string, name, wrong string, flag *pflag.Flag) {
		t.Helper()
		tried++
		code, out, errs := call(t, nil, args...)
		if code == exitOK || out != "" || !strings.HasPrefix(errs, "rpdb: "+name) {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, out, errs)
		}
		for _, foreign := range []string{"strconv", "flag", "argument", "invalid", "parsing"} {
			if strings.Contains(errs, foreign) {
				t.Errorf("%q, which is %s: %q has words of a library", args, flag.Value.Type(), errs)
			}
		}
		if wrong != "" && !strings.Contains(errs, wrong) {
			t.Errorf("%q: %q does not name the value %q", args, errs, wrong)
		}
	}
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if cmd.DisableFlagParsing || f.Name == "help" || f.Name == "version" {
				return
			}
			if f.NoOptDefVal == "" {
				try(append(path[:len(path):len(path)], "--"+f.Name), "--"+f.Name+": ", "", f)
			}
			switch f.Value.Type() {
			case "bool", "duration", "int", "uint8":
				try(append(path[:len(path):len(path)], "--"+f.Name+"=7x"), "--"+f.Name+" ", `"7x"`, f)
			case "stringSlice":
				try(append(path[:len(path):len(path)], "--"+f.Name+`=7"x`), "--"+f.Name+" ", `"7\"x"`, f)
			}
		})
		for _, c := range cmd.Commands() {
			walk(c, append(path[:len(path):len(path)], c.Name()))
		}
	}
	walk((&app{}).rootCommand(), nil)
	if tried < 60 {
		t.Errorf("%d flags are too few", tried)
	}
}

func TestUnknownFlags(t *testing.T) {
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"history --foo", "rpdb: history: unknown option --foo\nhint: see \"rpdb history --help\"\n", 1},
		{"history -x", "rpdb: history: unknown option -x\nhint: see \"rpdb history --help\"\n", 1},
		{"show -xa", "rpdb: show: unknown option -x in -xa\nhint: see \"rpdb show --help\"\n", 1},
		{"show -n", "rpdb: --netns: its value is missing\nhint: see \"rpdb show --help\"\n", 1},
		{"show --=x", "rpdb: show: no option: --=x\nhint: see \"rpdb show --help\"\n", 1},
		{"check --foo", "rpdb: check: unknown option --foo\nhint: see \"rpdb check --help\"\n", 2},
		{"check --cost=x", "rpdb: --cost \"x\": it is true or false\nhint: see \"rpdb check --help\"\n", 2},
		{"apply --confirm=5 x", "rpdb: --confirm \"5\": not a time such as 90s or 5m\nhint: see \"rpdb apply --help\"\n", 1},
		{"rollback --last=x", "rpdb: --last \"x\": not a whole number, or too large\nhint: see \"rpdb rollback --help\"\n", 1},
		{"try --rp-filter=300 x", "rpdb: --rp-filter \"300\": not a whole number, or too large\nhint: see \"rpdb try --help\"\n", 1},
		{"--foo", "rpdb: unknown option --foo\nhint: see \"rpdb --help\"\n", 1},
	} {
		code, out, errs := call(t, nil, strings.Fields(c.args)...)
		if code != c.code || out != "" || errs != c.want {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q, want %d and %q", c.args, code, out, errs, c.code, c.want)
		}
	}
}
