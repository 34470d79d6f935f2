package cli

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rpdb"
)

func TestFlowOfAnSSHConnection(t *testing.T) {
	host := &rpdb.Snapshot{Addresses: []rpdb.Address{
		{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.10/24")},
		{Link: 2, Prefix: netip.MustParsePrefix("2001:db8::10/64")},
		{Link: 2, Prefix: netip.MustParsePrefix("fe80::10/64")},
	}}
	flow := func(dst, src string) rpdb.Flow {
		return rpdb.Flow{Dst: netip.MustParseAddr(dst), Src: netip.MustParseAddr(src), IPProto: rpdb.TCP, SPort: 22, DPort: 50000}
	}
	local := flow("fe80::5", "fe80::10")
	local.OIF = "eth0"
	for connection, want := range map[string]rpdb.Flow{
		"203.0.113.5 50000 192.0.2.10 22":      flow("203.0.113.5", "192.0.2.10"),
		"2001:db8:f::5 50000 2001:db8::10 22":  flow("2001:db8:f::5", "2001:db8::10"),
		"fe80::5%eth0 50000 fe80::10%eth0 22":  local,
		"203.0.113.5 50000 192.0.2.11 22":      {},
		"203.0.113.5 50000 192.0.2.10":         {},
		"203.0.113.5 500000 192.0.2.10 22":     {},
		"somewhere 50000 192.0.2.10 22":        {},
		"203.0.113.5 50000 192.0.2.10 22 more": {},
		"":                                     {},
	} {
		got, ok := sshFlow(connection, host)
		if ok != want.Dst.IsValid() || ok && got != want {
			t.Errorf("%q: %+v, %v", connection, got, ok)
		}
	}
}

// TestSudoHidesTheConnection: the process above has it.
func TestSudoHidesTheConnection(t *testing.T) {
	h := newTrialHost(t)
	text := "rules: [{name: cut, from: 192.168.0.10, action: prohibit}]\n"
	if err := os.WriteFile(filepath.Join(h.dir, "cut.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd := exec.Command("sh", "-c", "env -u SSH_CONNECTION rpdb-program apply cut.yaml --state-dir state; exit $?")
	cmd.Dir, cmd.Stderr = h.dir, &stderr
	cmd.Env = append(os.Environ(), rootVariable+"="+h.dir, "SSH_CONNECTION=192.168.0.1 50000 192.168.0.10 22")
	err := h.NetNS().Do(cmd.Run)
	if err == nil || !strings.Contains(stderr.String(), "refused: the flow to 192.168.0.1 from 192.168.0.10 is cut") {
		t.Errorf("%v: %s", err, &stderr)
	}
}
