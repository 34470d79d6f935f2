package networkd

import (
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
		for _, line := range lines(f.Text) {
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
	if value == "" {
		*to, *from = true, ""
	} else if b, err := boolean(value); err == nil {
		*to, *from = b, path
	}
}
