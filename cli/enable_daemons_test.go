package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newServedHost is a machine with a message bus and these units, whose uplink
// leads to another namespace, "world", for serve to play the provider in.
func newServedHost(t *testing.T, units ...string) *bootedHost {
	t.Helper()
	h := newBootedHost(t)
	for _, unit := range append([]string{"dbus.service", "dbus.socket"}, units...) {
		file := filepath.Join("/lib/systemd/system", unit)
		if _, err := os.Stat(file); err != nil {
			t.Skipf("not installed: %v", err)
		}
		h.Install(file, file, 0o644)
	}
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("dnsmasq is not installed")
	}
	h.Write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:997:997::/:/usr/sbin/nologin\nsystemd-network:x:998:998::/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n", 0o644)
	h.Write("/etc/group", "root:x:0:\nmessagebus:x:997:\nsystemd-network:x:998:\nsystemd-journal:x:101:\nnogroup:x:65534:\n", 0o644)
	h.Write("/usr/local/sbin/wires", `#!/bin/sh -e
ip netns add world
ip netns exec world sysctl -q net.ipv6.conf.default.dad_transmits=0 net.ipv6.conf.default.forwarding=1
ip link add eth0 type veth peer name gw0 netns world
ip -n world link set gw0 up
ip -n world addr add 192.168.0.1/24 dev gw0
ip -n world addr add 192.168.0.2/24 dev gw0
ip -n world addr add 2001:db8:a::1/64 dev gw0
ip -n world addr add 2001:db8:c::1/64 dev gw0
`, 0o755)
	h.Write("/usr/local/sbin/serve", `#!/bin/sh -e
# serve ADDRESS GATEWAY PREFIX: what the uplink gets from now on, to be asked for
# again every few seconds.
[ ! -e /run/served ] || { kill "$(cat /run/served)" && while [ -e /run/served ]; do sleep 0.1; done; }
exec ip netns exec world dnsmasq --conf-file=/dev/null --port=0 --user=root --group=root --pid-file=/run/served --leasefile-ro \
	--interface=gw0 --bind-interfaces --dhcp-authoritative --no-ping --dhcp-range="$1,$1,255.255.255.0,2m" \
	--dhcp-option-force=option:router,"$2" --dhcp-option-force=58,5s --dhcp-option-force=59,10s \
	--enable-ra --dhcp-range="$3,ra-only,64,2m"
`, 0o755)
	return h
}

// serve has the provider give another address, gateway and IPv6 network.
func (h *bootedHost) serve(address, gateway, network string) {
	h.t.Helper()
	h.Run("/usr/local/sbin/serve", address, gateway, network)
}

// applyWaiting applies a policy that has to wait for its addresses, and enables it
// without what sees changes by itself.
func (h *bootedHost) applyWaiting(policy, hook string) {
	h.t.Helper()
	h.Write("/etc/policy.yaml", policy, 0o644)
	if out, _ := h.Command(onMachine, "apply", "/etc/policy.yaml").CombinedOutput(); !strings.Contains(string(out), "waiting: uplink eth0") {
		h.t.Fatalf("apply: %s", out)
	}
	h.says(hook, "enable", "--no-watch")
	h.unit("rpdb.service", "active")
}

// leads waits until packets from a source leave by the uplink's table, and that by
// the gateway.
func (h *bootedHost) leads(when, source, gateway string) {
	h.t.Helper()
	if state := h.leadsWithin(2*time.Minute, source, gateway); state != "" {
		h.t.Fatalf("%s: packets from %s do not leave via %s:\n%s", when, source, gateway, state)
	}
}

// leadsWithin is leads for a time of its own, and returns what there is if they do not.
func (h *bootedHost) leadsWithin(limit time.Duration, source, gateway string) string {
	h.t.Helper()
	family := "-4"
	if strings.Contains(gateway, ":") {
		family = "-6"
	}
	var rules, routes string
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		rules = h.Run("ip", family, "rule", "list")
		routes = h.Run("ip", family, "route", "list", "table", "all")
		for _, table := range []string{"82000", "83000"} { // whichever it is in at the time
			if strings.Contains(rules, "from "+source+" lookup "+table) && strings.Contains(routes, "default via "+gateway+" dev eth0 table "+table+" ") {
				return ""
			}
		}
	}
	return rules + routes
}

// routerOf is the address that the provider's router advertises itself by.
func (h *bootedHost) routerOf() string {
	h.t.Helper()
	out := h.Run("ip", "-n", "world", "-6", "-br", "addr", "show", "dev", "gw0", "scope", "link")
	for _, word := range strings.Fields(out) {
		if address, _, ok := strings.Cut(word, "/"); ok {
			return address
		}
	}
	h.t.Fatalf("gw0 has no address:\n%s", out)
	return ""
}

// newManagedHost is one whose uplink a real NetworkManager configures, as the
// settings of IPv6 say, and with IPv4 by DHCP.
func newManagedHost(t *testing.T, ipv6 string) *bootedHost {
	t.Helper()
	h := newServedHost(t, "NetworkManager.service", "NetworkManager-dispatcher.service")
	if err := os.Symlink("/lib/systemd/system/NetworkManager-dispatcher.service", h.Path("/etc/systemd/system/dbus-org.freedesktop.nm-dispatcher.service")); err != nil {
		t.Fatal(err)
	}
	h.Write("/etc/NetworkManager/NetworkManager.conf", "[main]\nplugins=keyfile\ndns=none\nrc-manager=unmanaged\nno-auto-default=*\nauth-polkit=false\n", 0o644)
	h.Write("/etc/NetworkManager/system-connections/uplink.nmconnection",
		"[connection]\nid=uplink\ntype=ethernet\ninterface-name=eth0\nautoconnect=false\n[ipv4]\nmethod=auto\ndhcp-timeout=2147483647\n[ipv6]\n"+ipv6, 0o600)
	for _, dir := range []string{"/etc/NetworkManager/dispatcher.d", "/var/lib/NetworkManager"} {
		if err := os.MkdirAll(h.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.Boot()
	h.Run("systemctl", "start", "dbus.socket", "NetworkManager.service")
	return h
}

// TestHookOfNetworkManager has a real NetworkManager call the hook, through its
// dispatcher: nothing else repairs.
func TestHookOfNetworkManager(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := newManagedHost(t, "method=manual\naddress1=2001:db8:a::10/64,2001:db8:a::1\n")
	h.applyWaiting("uplinks: [{interface: eth0, gateways: [auto4, \"2001:db8:a::1\"]}]\n", "+ /etc/NetworkManager/dispatcher.d/90-rpdb")

	// It is up with one family, and the other one comes later.
	h.Run("nmcli", "connection", "up", "uplink")
	h.leads("up", "2001:db8:a::/64", "2001:db8:a::1")
	h.serve("192.168.0.20", "192.168.0.1", "2001:db8:c::")
	h.leads("dhcp4-change", "192.168.0.20", "192.168.0.1")

	// What somebody has taken away comes with the next event.
	h.Run("ip", "-4", "route", "flush", "table", "all", "proto", "82")
	h.Run("ip", "-6", "route", "flush", "table", "all", "proto", "82")
	h.Run("nmcli", "device", "reapply", "eth0")
	h.leads("reapply", "192.168.0.20", "192.168.0.1")
	h.leads("reapply", "2001:db8:a::/64", "2001:db8:a::1")

	h.Run("nmcli", "connection", "down", "uplink")
	h.becomes("waiting: uplink eth0 (IPv4): ")
	h.becomes("waiting: uplink eth0 (IPv6): ")
	h.serve("192.168.0.30", "192.168.0.2", "2001:db8:c::")
	h.Run("nmcli", "connection", "up", "uplink")
	h.leads("up again", "192.168.0.30", "192.168.0.2")
	h.leads("up again", "2001:db8:a::/64", "2001:db8:a::1")
	if n := h.rules("from 192.168.0.20 lookup"); n != 0 {
		t.Errorf("%d rules of the address before:\n%s", n, h.Run("ip", "rule"))
	}
}

// TestLeaseUnderNetworkManager: what NetworkManager (1.42) does not tell its
// dispatcher, a router advertisement and a lease of another address, is what the
// service sees that "rpdb enable" installs.
func TestLeaseUnderNetworkManager(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := newManagedHost(t, "method=auto\naddr-gen-mode=eui64\n")
	h.applyWaiting("uplinks: [{interface: eth0, gateways: [auto]}]\n", "NetworkManager tells of connections that come and go, and not of each")
	h.says("/etc/systemd/system/rpdb-watch.service", "enable")
	h.unit("rpdb-watch.service", "active")
	h.serve("192.168.0.20", "192.168.0.1", "2001:db8:a::")
	h.Run("nmcli", "connection", "up", "uplink")
	h.leads("up", "192.168.0.20", "192.168.0.1")
	h.leads("an advertisement", "2001:db8:a::/64", h.routerOf())
	h.serve("192.168.0.30", "192.168.0.2", "2001:db8:c::")
	h.leads("another lease", "192.168.0.30", "192.168.0.2")
	h.leads("another advertisement", "2001:db8:c::/64", h.routerOf())
}

// newDispatchedHost is one whose uplink a real systemd-networkd configures, of which a
// real networkd-dispatcher tells the hook: nothing else repairs. It has a first lease.
// What is in /etc before rpdb is there is returned, too.
func newDispatchedHost(t *testing.T) (h *bootedHost, before string) {
	t.Helper()
	h = newServedHost(t, "systemd-networkd.service", "systemd-networkd.socket", "networkd-dispatcher.service")
	h.Write("/etc/systemd/network/10-eth0.network", "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=yes\nConfigureWithoutCarrier=no\n", 0o644)
	h.Write("/etc/systemd/networkd.conf.d/rpdb.conf", "[Network]\nManageForeignRoutingPolicyRules=no\nManageForeignRoutes=no\n", 0o644)
	for _, dir := range []string{"routable.d", "degraded.d", "carrier.d", "no-carrier.d", "off.d"} { // as its package has them
		if err := os.MkdirAll(h.Path("/etc/networkd-dispatcher/"+dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.Boot()
	before = files(t, h.Path("/etc"))
	h.applyWaiting("uplinks: [{interface: eth0, gateways: [auto]}]\n", "+ /etc/networkd-dispatcher/configured.d/rpdb")
	h.serve("192.168.0.20", "192.168.0.1", "2001:db8:a::")
	h.Run("systemctl", "start", "dbus.socket", "networkd-dispatcher.service", "systemd-networkd.service")
	h.leads("routable", "192.168.0.20", "192.168.0.1")
	h.leads("routable", "2001:db8:a::/64", h.routerOf())
	return h, before
}

// TestHookOfNetworkdDispatcher has the hook called when leases, advertisements and the
// link change.
func TestHookOfNetworkdDispatcher(t *testing.T) {
	t.Parallel() // it waits most of the time
	h, before := newDispatchedHost(t)

	// It stays routable, with another address, gateway and network. Also where there is
	// no rpdb, networkd (252) stays at "configuring" then on one of some thirty machines,
	// and has nothing to tell: another machine has to show it.
	const machines = 6
	for machine := 1; ; machine++ {
		h.serve("192.168.0.30", "192.168.0.2", "2001:db8:c::")
		if h.leadsWithin(30*time.Second, "192.168.0.30", "192.168.0.2") == "" {
			break
		}
		links, _ := h.Command("networkctl", "list").CombinedOutput()
		if machine == machines || !strings.Contains(string(links), "configuring") {
			h.leads("another lease", "192.168.0.30", "192.168.0.2")
			break
		}
		t.Logf("machine %d: networkd does not end to configure the link:\n%s", machine, links)
		h, before = newDispatchedHost(t)
	}
	h.leads("another advertisement", "2001:db8:c::/64", h.routerOf())
	if n := h.rules("from 192.168.0.20 lookup"); n != 0 {
		t.Errorf("%d rules of the address before:\n%s", n, h.Run("ip", "rule"))
	}

	// The link flaps, and is pulled out and plugged in again.
	h.Run("ip", "link", "set", "eth0", "down")
	h.Run("ip", "link", "set", "eth0", "up")
	h.leads("off, and routable", "192.168.0.30", "192.168.0.2")
	h.leads("off, and routable", "2001:db8:c::/64", h.routerOf())
	h.Run("sh", "-ec", "kill $(cat /run/served); ip link del eth0; ip netns del world; rm -f /run/served; /usr/local/sbin/wires")
	h.serve("192.168.0.40", "192.168.0.1", "2001:db8:a::")
	h.leads("plugged in", "192.168.0.40", "192.168.0.1")
	h.leads("plugged in", "2001:db8:a::/64", h.routerOf())

	h.says("- /etc/networkd-dispatcher/configured.d/rpdb", "disable")
	if after := files(t, h.Path("/etc")); strings.ReplaceAll(after, h.Path("/etc/policy.yaml")+"\n", "") != before {
		t.Errorf("left in /etc:\n%s\nbefore:\n%s", after, before)
	}
}
