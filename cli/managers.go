package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"rpdb/analysis"
	"rpdb/analysis/passes/residents"
	"rpdb/format"
	"rpdb/format/networkd"
	"rpdb/plan"
)

// managers reports programs on this host that are known to delete rules and
// routes of others. Only the namespace that the command was started in is asked
// about: programs of another one are not known.
func (a *app) managers() ([]analysis.Diagnostic, error) {
	if a.netns != "" {
		return nil, nil
	}
	root := os.DirFS(path.Join("/", a.root)) // which follows links: a file is masked by one to /dev/null
	if _, err := fs.Stat(root, "run/systemd/netif/state"); err != nil {
		return nil, nil // networkd writes it as long as it runs
	}
	files, err := networkdFiles(root)
	if err != nil {
		return nil, err
	}
	var found []analysis.Diagnostic
	report := func(what, key, from string) {
		reason := "the default of " + key + ", which no file changes"
		if from != "" {
			reason = key + " in " + from
		}
		found = append(found, analysis.Diagnostic{
			Check: "networkd", Severity: analysis.Warning,
			Message: fmt.Sprintf("systemd-networkd runs here, and deletes %s that it did not make when it configures an interface anew", what),
			Reason:  reason + `; "` + key + `=no" below [Network] in a file of /etc/systemd/networkd.conf.d keeps it from that`,
		})
	}
	m := networkd.ReadManager(files)
	if m.ForeignRules {
		report("rules", "ManageForeignRoutingPolicyRules", m.RulesFrom)
	}
	if m.ForeignRoutes {
		report("routes", "ManageForeignRoutes", m.RoutesFrom)
	}
	return found, nil
}

// networkdFiles returns the configuration of networkd in the order in which it
// is applied: of each name the file of the first folder that has it, the main
// file before the others.
func networkdFiles(root fs.FS) ([]format.File, error) {
	folders := []string{"etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"}
	var main string
	parts := map[string]string{}
	for _, dir := range folders {
		if _, err := fs.Stat(root, path.Join(dir, "networkd.conf")); err == nil && main == "" {
			main = path.Join(dir, "networkd.conf")
		}
		entries, err := fs.ReadDir(root, path.Join(dir, "networkd.conf.d"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".conf") && parts[e.Name()] == "" {
				parts[e.Name()] = path.Join(dir, "networkd.conf.d", e.Name())
			}
		}
	}
	var paths []string
	if main != "" {
		paths = append(paths, main)
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		paths = append(paths, parts[name])
	}
	var files []format.File
	for _, p := range paths {
		text, err := fs.ReadFile(root, p)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a link to nowhere
		}
		if err != nil {
			return nil, err
		}
		files = append(files, format.File{Path: "/" + p, Text: string(text)})
	}
	return files, nil
}

// warnings says what else lives on the host of a plan and is in the way of the
// policy, or the policy in its way. Live says that the host is this one.
func (a *app) warnings(p planned, live bool) ([]analysis.Diagnostic, error) {
	if len(p.desired.Rules) == 0 {
		return nil, nil
	}
	var found []analysis.Diagnostic
	if live {
		var err error
		if found, err = a.managers(); err != nil {
			return nil, err
		}
	}
	others, err := analysis.Run(plan.After(p.before, p.plan.Steps), []*analysis.Analyzer{residents.Analyzer()})
	return append(found, others...), err
}
