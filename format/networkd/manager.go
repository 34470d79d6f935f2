package networkd

import (
	"slices"
	"strings"

	"rpdb/format"
)

// Manager is what networkd does to what others made. The zero value is that of
// a configuration that says so: it leaves everything alone.
type Manager struct {
	// ForeignRules says that networkd deletes rules that it did not make: where
	// ManageForeignRoutingPolicyRules= is yes, which is the default.
	ForeignRules bool
	// ForeignRoutes says the same of routes: ManageForeignRoutes=.
	ForeignRoutes bool
	// RulesFrom and RoutesFrom are the files that say so, "" for the default.
	RulesFrom, RoutesFrom string
}

// ReadManager reads the files of networkd.conf(5) in the order in which they
// are applied: the later one counts. It is as lenient as networkd, which takes
// no notice of what it does not understand.
func ReadManager(files []format.File) Manager {
	m := Manager{ForeignRules: true, ForeignRoutes: true}
	for _, f := range files {
		section := ""
		for line := range assignments(f.Text) {
			if name, ok := strings.CutPrefix(line, "["); ok {
				section = strings.TrimSuffix(name, "]")
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if !ok || section != "Network" {
				continue
			}
			switch strings.TrimSpace(key) {
			case "ManageForeignRoutingPolicyRules":
				set(&m.ForeignRules, &m.RulesFrom, strings.TrimSpace(value), f.Path)
			case "ManageForeignRoutes":
				set(&m.ForeignRoutes, &m.RoutesFrom, strings.TrimSpace(value), f.Path)
			}
		}
	}
	return m
}

// set takes over a boolean of systemd.syntax(7). Nothing at all means the
// default.
func set(to *bool, from *string, value, path string) {
	switch word := strings.ToLower(value); {
	case value == "":
		*to, *from = true, ""
	case slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, word):
		*to, *from = true, path
	case slices.Contains([]string{"0", "no", "n", "false", "f", "off"}, word):
		*to, *from = false, path
	}
}

// assignments yields the lines of a file that are not comments, with lines that
// end in a backslash joined to the next.
func assignments(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		joined := ""
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' || line[0] == ';' {
				continue
			}
			if rest, ok := strings.CutSuffix(line, `\`); ok {
				joined += rest + " "
				continue
			}
			if !yield(joined + line) {
				return
			}
			joined = ""
		}
	}
}
