package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestManagers has systemd-networkd on hosts that are folders.
func TestManagers(t *testing.T) {
	const no = "[Network]\nManageForeignRoutingPolicyRules=no\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string // parts of the findings
	}{
		{"not there", map[string]string{"etc/systemd/networkd.conf": no}, nil},
		{"as installed", map[string]string{"run/systemd/netif/state": ""}, []string{
			"deletes rules that it did not make|the default of ManageForeignRoutingPolicyRules, which no file changes",
			"deletes routes that it did not make|the default of ManageForeignRoutes",
		}},
		{"told to leave rules alone", map[string]string{
			"run/systemd/netif/state":                 "",
			"usr/lib/systemd/networkd.conf":           "[Network]\nManageForeignRoutes=no\n",
			"usr/lib/systemd/networkd.conf.d/10.conf": "[Network]\nManageForeignRoutingPolicyRules=yes\n",
			"etc/systemd/networkd.conf.d/50.conf":     no,
		}, nil},
		{"a file of the administrator hides the distribution's", map[string]string{
			"run/systemd/netif/state":                 "",
			"usr/lib/systemd/networkd.conf":           no,
			"etc/systemd/networkd.conf":               "[Network]\nManageForeignRoutes=no\n",
			"usr/lib/systemd/networkd.conf.d/10.conf": no,
			"run/systemd/networkd.conf.d/10.conf":     "[Network]\nManageForeignRoutingPolicyRules=yes\n",
		}, []string{"deletes rules that it did not make|ManageForeignRoutingPolicyRules in /run/systemd/networkd.conf.d/10.conf"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range c.files {
				file := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			a := &app{root: root}
			found, err := a.managers()
			if err != nil || len(found) != len(c.want) {
				t.Fatalf("got %v, %v", found, err)
			}
			for i, d := range found {
				message, reason, _ := strings.Cut(c.want[i], "|")
				if !strings.Contains(d.Message, message) || !strings.Contains(d.Reason, reason) {
					t.Errorf("got %q, %q", d.Message, d.Reason)
				}
			}
		})
	}
}

// TestManagersFollowLinks: a drop-in is masked by a link to /dev/null, and the
// main file can be a link as well.
func TestManagersFollowLinks(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"run/systemd/netif/state", "usr/lib/systemd/networkd.conf.d", "etc/systemd/networkd.conf.d"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := "[Network]\nManageForeignRoutingPolicyRules=no\nManageForeignRoutes=no\n"
	for _, name := range []string{"static.conf", "usr/lib/systemd/networkd.conf.d/10.conf"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		text = "[Network]\nManageForeignRoutes=yes\n"
	}
	for link, to := range map[string]string{
		"networkd.conf": filepath.Join(root, "static.conf"), "networkd.conf.d/10.conf": "/dev/null", "networkd.conf.d/20.conf": "nowhere",
	} {
		if err := os.Symlink(to, filepath.Join(root, "etc/systemd", link)); err != nil {
			t.Fatal(err)
		}
	}
	a := &app{root: root}
	if found, err := a.managers(); err != nil || len(found) > 0 {
		t.Errorf("got %v, %v", found, err)
	}
}
