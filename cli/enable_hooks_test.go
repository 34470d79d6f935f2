package cli

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"rpdb/boot"
)

// newHookedHost is a machine with a second uplink that ifupdown configures, a
// policy for both, and hooks alone to keep it.
func newHookedHost(t *testing.T) *bootedHost {
	for _, program := range []string{"ifup", "dhclient", "NetworkManager", "flock"} {
		if _, err := exec.LookPath(program); err != nil {
			if _, err = os.Stat("/usr/sbin/" + program); err != nil {
				t.Skipf("%s is not installed", program)
			}
		}
	}
	h := newBootedHost(t)
	h.Write("/etc/network/interfaces", `iface eth1 inet static
	address 10.10.0.10/24
iface eth1 inet6 static
	address 2001:db8:b::10/64
	dad-attempts 0
`, 0o644)
	for _, dir := range []string{"network/if-pre-up.d", "network/if-up.d", "network/if-down.d", "network/if-post-down.d", "dhcp/dhclient-exit-hooks.d", "NetworkManager/dispatcher.d"} {
		if err := os.MkdirAll(h.Path("/etc/"+dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.Write("/etc/both.yaml", "uplinks:\n"+
		"  - {interface: eth0, gateways: [192.168.0.1]}\n"+
		"  - {interface: eth1, gateways: [10.10.0.1, \"2001:db8:b::1\"]}\n", 0o644)
	h.Boot()
	h.Run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "gw1")
	h.Run("ip", "link", "set", "gw1", "up")
	if out, _ := h.Command(onMachine, "apply", "/etc/both.yaml").CombinedOutput(); !strings.Contains(string(out), "changes made") {
		t.Fatalf("apply: %s", out)
	}
	out := h.Run(onMachine, "enable", "--no-watch")
	for _, hook := range []string{"if-up.d/rpdb", "if-post-down.d/rpdb", "dhclient-exit-hooks.d/rpdb", "dispatcher.d/90-rpdb"} {
		if !strings.Contains(out, hook) {
			t.Errorf("enable installs no %s:\n%s", hook, out)
		}
	}
	h.unit("rpdb.service", "active")
	return h
}

// rules counts the rules that are about something, of both families.
func (h *bootedHost) rules(about string) int {
	h.t.Helper()
	return strings.Count(h.Run("ip", "-4", "rule")+h.Run("ip", "-6", "rule"), about)
}

// inSync checks that the hook that was called just now has done it all.
func (h *bootedHost) inSync(when string) {
	h.t.Helper()
	if out, _ := h.Command(onMachine, "status").CombinedOutput(); !strings.Contains(string(out), "In sync: ") {
		h.t.Errorf("%s:\n%s", when, out)
	}
}

// TestHooksOfIfupdown brings an interface up and down by the real ifupdown, again
// and again: no rule is doubled, none of an address that is gone for good is left, and
// ifup never fails because of rpdb.
func TestHooksOfIfupdown(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := newHookedHost(t)
	for range 3 {
		h.Run("ifup", "eth1")
		h.inSync("after ifup")
		for about, want := range map[string]int{"from 10.10.0.10 lookup": 1, "from 2001:db8:b::/64 lookup": 1, "oif eth1": 2, "from 192.168.0.10 lookup": 1} {
			if n := h.rules(about); n != want {
				t.Errorf("after ifup: %d rules %q, want %d", n, about, want)
			}
		}
		h.Run("ifdown", "eth1")
		h.inSync("after ifdown")
		// What the uplink has stays for when it comes back, and is not doubled.
		if n := h.rules("from 10.10.0.10 lookup"); n > 1 {
			t.Errorf("after ifdown: %d rules of eth1\n%s", n, h.Run("ip", "rule"))
		}
	}

	// It comes back with another address: no rule of the old one is left.
	h.Run("sed", "-i", "s/10.10.0.10/10.10.0.11/", "/etc/network/interfaces")
	h.Run("ifup", "eth1")
	h.inSync("after ifup with another address")
	if before, after := h.rules("from 10.10.0.10 lookup"), h.rules("from 10.10.0.11 lookup"); before != 0 || after != 1 {
		t.Errorf("%d rules of the old address, %d of the new one:\n%s", before, after, h.Run("ip", "rule"))
	}
	h.Run("ifdown", "eth1")

	// Somebody else is writing meanwhile: the hook waits for it.
	other := h.Command("flock", "/var/lib/rpdb/lock", "sh", "-c", "echo locked; sleep 1")
	locked, err := other.StdoutPipe()
	if err == nil {
		err = other.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locked.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	h.Run("ifup", "eth1")
	h.inSync("after ifup that had to wait")
	_ = other.Wait()

	// The record is damaged, and then rpdb is gone: the interface comes up all the
	// same.
	h.Run("ifdown", "eth1")
	h.Write("/var/lib/rpdb/journal", "nonsense\n", 0o600)
	if out := h.Run("ifup", "eth1"); !strings.Contains(out, "rpdb: read /var/lib/rpdb/journal: damaged") {
		t.Errorf("ifup does not say what is wrong:\n%s", out)
	}
	h.Run("ifdown", "eth1")
	h.Run("rm", onMachine)
	h.Run("ifup", "eth1")
	if out := h.Run("ifquery", "--state"); !strings.Contains(out, "eth1") {
		t.Errorf("ifupdown takes eth1 for not configured:\n%s", out)
	}
}

// TestOtherHooks calls the other hooks as those call them that they are for.
func TestOtherHooks(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := newHookedHost(t)
	h.Run("ifup", "eth1")
	for _, f := range boot.Files(boot.Host{NetworkdDispatcher: []string{"routable.d"}}, boot.Options{Program: onMachine}) {
		h.Write(f.Path, f.Text, f.Mode)
	}
	const manager, dispatcher = "/etc/NetworkManager/dispatcher.d/90-rpdb", "/etc/networkd-dispatcher/routable.d/rpdb"
	for _, test := range []struct {
		name    string
		command []string
		repairs bool
	}{
		{"NetworkManager, up", []string{"env", "-i", manager, "eth1", "up"}, true},
		{"NetworkManager, a lease", []string{"env", "-i", manager, "eth1", "dhcp4-change"}, true},
		{"NetworkManager, a host name", []string{"env", "-i", manager, "none", "hostname"}, false},
		{"NetworkManager, connectivity", []string{"env", "-i", manager, "eth1", "connectivity-change"}, false},
		{"networkd-dispatcher", []string{"env", "-i", "IFACE=eth1", "STATE=routable", "OperationalState=routable", dispatcher}, true},
		{"networkd-dispatcher, lo", []string{"env", "-i", "IFACE=lo", "STATE=carrier", dispatcher}, false},
		{"ifup, lo", []string{"env", "-i", "IFACE=lo", "MODE=start", "PHASE=post-up", "/etc/network/if-up.d/rpdb"}, false},
	} {
		h.Run("ip", "route", "del", "default", "table", "82001")
		h.Run(test.command...)
		out, _ := h.Command(onMachine, "status").CombinedOutput()
		if got := strings.Contains(string(out), "In sync: "); got != test.repairs {
			t.Errorf("%s: repaired: %v\n%s", test.name, got, out)
		}
		_ = h.Command(onMachine, "repair").Run()
	}

	// dhclient's own script gives the interface an address, and sources the hook.
	lease := []string{"env", "interface=eth1", "reason=BOUND", "new_ip_address=10.10.0.20", "new_subnet_mask=255.255.255.0", "new_broadcast_address=10.10.0.255"}
	h.Run(slices.Concat(lease, []string{"/sbin/dhclient-script"})...)
	h.inSync("after a lease")
	if n := h.rules("from 10.10.0.20 lookup"); n != 1 {
		t.Errorf("%d rules of the address that dhclient set:\n%s", n, h.Run("ip", "rule"))
	}

	// A burst of hooks.
	h.Run("sh", "-c", "ip route del default table 82001; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do IFACE=eth1 /etc/network/if-up.d/rpdb & done; wait")
	h.inSync("after a burst")
}
