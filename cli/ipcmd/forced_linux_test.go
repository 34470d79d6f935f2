package ipcmd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A batch with -force whose changes go together ends in the same kernel as ip's, and
// says the same in the same order.
func TestForcedBatch(t *testing.T) {
	w := newTwins(t, theirs(t), routeHost())
	var b strings.Builder
	for i := range 260 {
		fmt.Fprintf(&b, "rule add pref %d from 10.9.%d.%d lookup 7\n", 2000+i, i>>8, i&255)
		fmt.Fprintf(&b, "route add 10.%d.%d.0/24 via 192.0.2.77 table 7\n", 20+i>>8, i&255) // some host has no way there
		fmt.Fprintf(&b, "ro add blackhole 10.%d.%d.0/24 table 8\n", 20+i>>8, i&255)
		fmt.Fprintf(&b, "route add unreachable 2001:db8:%x::/48 table 8\n", i)
		switch i % 37 {
		case 3:
			fmt.Fprintf(&b, "rule add pref %d from 10.9.%d.%d lookup 7\n", 2000+i, i>>8, i&255)
		case 5:
			b.WriteString("rule del pref 1999\n")
		case 7:
			b.WriteString("rule add pref x\n")
		case 11:
			b.WriteString("rule show pref 2001\nroute show table 8 10.20.4.0/24\n")
		case 13:
			b.WriteString("route\\\n add 10.20.4.0/24 \\\n blackhole\n")
		case 17:
			b.WriteString("route add 10.0.0.0/8 dev nosuch0\nroute del blackhole 10.20.4.0/24 table 8\n")
		case 19:
			b.WriteString("rule add from 10.9.9.9 not\nroute append blackhole 10.20.6.0/24 table 8\n")
		}
	}
	file := filepath.Join(t.TempDir(), "batch")
	for _, text := range []string{b.String(), "rule del pref 1999\n", "rule add pref 7 table 9\n", b.String() + "rule add 'x\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"-force", "-batch", file},
			{"-6", "-force", "-b", file},
			{"-j", "-force", "-batch", file},
			{"-echo", "-force", "-batch", file},
			{"-batch", file},
		} {
			w.renew()
			if d := w.run(command{args: args}); d != "" {
				t.Errorf("%v: %s", args, d)
			}
		}
	}
}
