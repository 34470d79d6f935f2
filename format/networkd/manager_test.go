package networkd_test

import (
	"testing"

	"rpdb/format"
	"rpdb/format/networkd"
)

func TestManager(t *testing.T) {
	const no = "[Network]\nManageForeignRoutingPolicyRules=no\n"
	for _, c := range []struct {
		name  string
		files []string
		want  networkd.Manager
	}{
		{"no file", nil, networkd.Manager{ForeignRules: true, ForeignRoutes: true}},
		{"all commented out", []string{"[Network]\n#ManageForeignRoutingPolicyRules=no\n; ManageForeignRoutes=no\n"}, networkd.Manager{ForeignRules: true, ForeignRoutes: true}},
		{"rules are left alone", []string{no}, networkd.Manager{ForeignRoutes: true, RulesFrom: "a"}},
		{"both", []string{"[Network]\r\n ManageForeignRoutes = off\r\nManageForeignRoutingPolicyRules=False\r\n"}, networkd.Manager{RulesFrom: "a", RoutesFrom: "a"}},
		{"another section", []string{"[DHCPv4]\nManageForeignRoutingPolicyRules=no\n"}, networkd.Manager{ForeignRules: true, ForeignRoutes: true}},
		{"the later one counts", []string{no, "[Network]\nManageForeignRoutingPolicyRules=yes\n"}, networkd.Manager{ForeignRules: true, ForeignRoutes: true, RulesFrom: "b"}},
		{"back to the default", []string{no, "[Network]\nManageForeignRoutingPolicyRules=\n"}, networkd.Manager{ForeignRules: true, ForeignRoutes: true}},
		{"not a boolean", []string{no, "[Network]\nManageForeignRoutingPolicyRules=perhaps\n"}, networkd.Manager{ForeignRoutes: true, RulesFrom: "a"}},
		{"a line that goes on", []string{"[Network]\nManageForeignRoutingPolicyRules=\\\n# between\n no\n"}, networkd.Manager{ForeignRoutes: true, RulesFrom: "a"}},
		{"what is no assignment", []string{"ManageForeignRoutingPolicyRules=no\n[Network]\nManageForeignRoutes\n"}, networkd.Manager{ForeignRules: true, ForeignRoutes: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var files []format.File
			for i, text := range c.files {
				files = append(files, format.File{Path: string(rune('a' + i)), Text: text})
			}
			if got := networkd.ReadManager(files); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
