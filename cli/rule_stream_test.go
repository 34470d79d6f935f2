package cli

import (
	"strings"
	"testing"

	"rpdb"
	"rpdb/kernel"
)

// A flush that the kernel refuses at one rule says how many went, those included that
// were sent together with it.
func TestFlushSaysHowManyWent(t *testing.T) {
	host, _ := completionHost(t)
	conn, err := kernel.Open(kernel.Options{NetNS: host.NetNS()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var rules []rpdb.Rule
	for i := range 50 {
		rules = append(rules, rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(1000 + i), Action: rpdb.ToTable(77)})
	}
	rules[20].Flags = rpdb.RulePermanent
	if err := conn.AddRules(t.Context(), rules); err != nil {
		t.Fatal(err)
	}
	_, complaint, code := onHost(t, host, nil, "rule flush table 77")
	if want := "rpdb: rule flush, after 49: delete rule 1020 (IPv4): operation not permitted"; code != exitFailed || !strings.HasPrefix(complaint, want) {
		t.Errorf("code %d: %s", code, complaint)
	}
	if out, _, _ := onHost(t, host, nil, "rule list table 77"); strings.Count(out, "\n") != 1 || !strings.Contains(out, " 1020:") {
		t.Errorf("left is %q", out)
	}
}
