package cli

import (
	"strings"
	"testing"
)

// TestEnableTranslations: rules that translate, of a policy and made by hand, are kept by
// the services of a machine as others are, in their cage: those of IPv6 need programs.
func TestEnableTranslations(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := newBootedHost(t)
	h.Write("/etc/nat.yaml", `uplinks: [{interface: eth0, name: isp, gateways: [192.168.0.1, "2001:db8:a::1"]}]
rules:
  - {name: four, from: 10.1.0.0/24, lookup: isp, nat: 203.0.113.0}
  - {name: six, from: "fd00:1::/64", lookup: isp, nat: "2001:db8:c::"}
  - uplinks
`, 0o644)
	h.Boot()
	h.says("made and read back", "apply", "/etc/nat.yaml")
	h.says("note: done: systemctl daemon-reload", "enable")
	h.unit("rpdb-watch.service", "active")
	whole := func(when string) {
		t.Helper()
		h.becomes("In sync: ")
		out := h.Run(onMachine, "show")
		for _, want := range []string{"lookup 82999 realms 10999 proto rpdb nat 203.0.113.0/24", "lookup 82998 proto rpdb nat 2001:db8:c::/64", "encap bpf out rpdb-nat-82998 via 2001:db8:a::1"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not there:\n%s", when, want, out)
			}
		}
	}
	whole("applied")
	for _, table := range []string{"82998", "83998"} { // one of the two is in use
		_ = h.Command("ip", "-6", "route", "flush", "table", table).Run()
	}
	whole("repaired by the watch")

	h.says("translation nat 2001:db8:d::/64", "rule", "add", "from", "fd00:2::/64", "table", "82000", "nat", "2001:db8:d::", "pref", "500")
	h.Run("ip", "-6", "route", "flush", "table", "84500")
	eventually(t, "the copy of a rule made by hand has its routes again", func() bool {
		out, _ := h.Command("ip", "-6", "route", "show", "table", "84500").CombinedOutput()
		return strings.Contains(string(out), "encap bpf out rpdb-nat-84500 via 2001:db8:a::1")
	})
	h.says("", "rule", "del", "nat", "2001:db8:d::")

	h.Reboot()
	h.unit("rpdb.service", "active")
	whole("booted")
}
