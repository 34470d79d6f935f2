package ifupdown_test

import (
	"os/exec"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ifupdown"
	"rpdb/internal/formattest"
)

const wantHook = `# Rules and routes that hang on leases of DHCP, for dhclient-script(8), which
# reads this file after each change of a lease. Other clients do not. What is
# beside it for ifupdown is in /etc/network/interfaces.rpdb.

if [ "$interface" = eth1 ]; then
    case $reason in
    BOUND|RENEW|REBIND|REBOOT|TIMEOUT)
        gateway=${new_routers%% *}
        if [ -n "$new_rfc3442_classless_static_routes" ]; then
            gateway=$(ip -4 route show default dev eth1 | sed -n 's/^default via \([0-9.]*\).*/\1/p;q')
        fi
        if [ -n "$gateway" ]; then
            ip -4 route replace default via "$gateway" dev eth1 table 102 proto static
        else
            ip -4 route flush default table 102 dev eth1 proto static 2>/dev/null
        fi
        if [ "$old_ip_address" != "$new_ip_address" ]; then
            while ip -4 rule del pref 10030 protocol 83 2>/dev/null; do :; done
        fi
        ip -4 rule add pref 10030 from "$new_ip_address" lookup 102 protocol 83 2>/dev/null || :
        ;;
    EXPIRE|FAIL|RELEASE|STOP)
        while ip -4 rule del pref 10030 protocol 83 2>/dev/null; do :; done
        ip -4 route flush default table 102 dev eth1 proto static 2>/dev/null
        ;;
    esac
fi
`

// TestHook: what hangs on a lease of DHCP is in a hook of dhclient, but for the route
// to its network. Nothing acts on advertisements.
func TestHook(t *testing.T) {
	s, leases := formattest.Leased()
	files, losses := ifupdown.Write(s, rpdb.Names{}, ifupdown.Options{Leases: leases})
	if len(files) != 1 || files[0].Path != ifupdown.HookPath || files[0].Text != wantHook {
		t.Fatalf("got %v", files)
	}
	if out, err := exec.Command("sh", "-n", "-c", files[0].Text).CombinedOutput(); err != nil {
		t.Errorf("the shell: %v\n%s", err, out)
	}
	var lost []string
	for _, l := range losses {
		lost = append(lost, l.Object)
	}
	if got, want := strings.Join(lost, "\n"), `-4 route add 198.51.100.0/24 dev eth1 table 102 proto static scope global
-6 route add 2001:db8:b::/64 dev eth1 table 102 proto static
-6 route add default via fe80::1 dev eth1 table 102 proto static
-6 rule add pref 10030 from 2001:db8:b::/64 lookup 102 protocol static`; got != want {
		t.Errorf("lost\n%s", got)
	}
	leases[0].Rules[0].Selector.Not = true
	if files, losses := ifupdown.Write(s, rpdb.Names{}, ifupdown.Options{Leases: leases}); len(files) != 1 || strings.Contains(files[0].Text, " rule ") || len(losses) != 5 {
		t.Errorf("got %v, lost %v", files, losses)
	}
	s.Links[2].Name = "a b"
	if files, losses := ifupdown.Write(s, rpdb.Names{}, ifupdown.Options{Leases: leases}); len(files) != 0 || len(losses) != 6 {
		t.Errorf("got %v, lost %v", files, losses)
	}
}
