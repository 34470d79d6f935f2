package events

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rpdb"
)

// follows is a policy whose second uplink has whichever gateway the host has.
func follows(gateways string) string {
	return fmt.Sprintf(`
uplinks:
  - {interface: eth0, gateways: [192.168.0.1]}
  - {interface: eth1, gateways: [%s]}
`, gateways)
}

// addFirstUplink gives eth0 what the policy of [follows] says.
func (l *lab) addFirstUplink() {
	l.t.Helper()
	l.run(l.host, `
		ip addr add 192.168.0.10/24 dev eth0
		ip route add default via 192.168.0.1`)
}

// TestWatchFollowsTheGateway: the service repairs by itself, also where nothing but
// a default route of table main changes.
func TestWatchFollowsTheGateway(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.addFirstUplink()
	l.run(l.host, `
		ip addr add 10.10.0.10/24 dev eth1
		ip route add default via 10.10.0.1 dev eth1 metric 200 proto dhcp`)
	l.apply(follows("auto4"))
	has := func(gateway string) func(*rpdb.Snapshot) bool {
		want := expected([]door{door0, {"eth1", "10.10.0.10", "10.10.0.0/24", gateway}})
		return func(s *rpdb.Snapshot) bool { return slices.Equal(ours(s), want) }
	}
	l.eventually("the policy is in force", has("10.10.0.1"))

	ctx, end := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		code, _, said := l.call(ctx, "repair", "--watch", "--wait", patience.String(), "--state-dir", l.state)
		if said != "" {
			t.Logf("repair --watch: %s", said)
		}
		ended <- code
	}()
	l.run(l.host, "ip route del default via 10.10.0.1 dev eth1 table 82001")
	l.eventually("it repairs", has("10.10.0.1"))
	l.run(l.host, "ip route replace default via 10.10.0.254 dev eth1 metric 200 proto dhcp")
	l.eventually("it follows the gateway", has("10.10.0.254"))
	l.rpdb("repair", "--wait", patience.String(), "--state-dir", l.state) // not before it has read back what it did
	end()
	if code := <-ended; code != done {
		t.Errorf("exit code %d", code)
	}
	l.inOrder(done)
}

// leaseScript is what dhclient calls, as small as it can be. The metric of the
// default route is in a file, if any, and without one it is added as a script does
// that knows of no second uplink.
const leaseScript = `#!/bin/sh
metric=$(cat "$0.metric" 2>/dev/null)
case $reason in
PREINIT) ip link set "$interface" up ;;
BOUND|RENEW|REBIND|REBOOT)
	[ -z "$old_ip_address" ] || [ "$old_ip_address" = "$new_ip_address" ] || ip -4 address flush dev "$interface"
	ip -4 address replace "$new_ip_address/24" dev "$interface" \
		valid_lft "$new_dhcp_lease_time" preferred_lft "$new_dhcp_lease_time"
	if [ -n "$metric" ]; then
		ip -4 route replace default via "$new_routers" dev "$interface" metric "$metric"
	else
		ip -4 route add default via "$new_routers" dev "$interface"
	fi ;;
EXPIRE|FAIL|RELEASE|STOP) ip -4 address flush dev "$interface" ;;
esac
exit 0
`

// lessor is a network with a DHCP server, which may be replaced by another.
type lessor struct {
	l       *lab
	dnsmasq string
	server  *program
}

// leases lets the network lease one address, with one router. Clients ask again
// after two seconds.
func (n *lessor) leases(address, router string) {
	n.l.t.Helper()
	if n.server != nil {
		n.server.stop(syscall.SIGTERM)
	}
	n.server = start(n.l.t, n.l.net.NetNS(), n.dnsmasq, "--no-daemon", "--conf-file=/dev/null", "--port=0",
		"--interface=gw1", "--bind-interfaces", "--dhcp-authoritative", "--no-ping",
		"--dhcp-leasefile="+filepath.Join(n.l.t.TempDir(), "leases"),
		"--dhcp-range="+address+","+address+",255.255.255.0,120",
		"--dhcp-option=option:router,"+router, "--dhcp-option=option:T1,2", "--dhcp-option=option:T2,3")
}

// startClient starts dhclient on eth1, with files of its own, and returns the file
// that holds the metric.
func (l *lab) startClient(path string) (metric string) {
	l.t.Helper()
	dir := l.t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			l.t.Fatal(err)
		}
		return name
	}
	script := file("script", leaseScript, 0o755)
	conf := file("conf", "timeout 60;\nretry 1;\ninitial-interval 1;\nbackoff-cutoff 1;\n", 0o644)
	start(l.t, l.host.NetNS(), path, "-4", "-d", "-cf", conf, "-sf", script,
		"-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), "eth1")
	return script + ".metric"
}

// TestDHCPMoves: a real server gives the second uplink its address and gateway, then
// another gateway, then another network. One repair follows each time.
func TestDHCPMoves(t *testing.T) {
	t.Parallel()
	client := need(t, "dhclient")
	network := &lessor{l: newLab(t), dnsmasq: need(t, "dnsmasq")}
	l := network.l
	l.addFirstUplink()
	l.run(l.net, `
		ip addr add 10.10.0.1/24 dev gw1
		ip addr add 10.20.0.1/24 dev gw1`)
	l.apply(follows("auto4"))
	l.repair(waits) // nobody has answered yet

	network.leases("10.10.0.50", "10.10.0.1")
	metric := l.startClient(client)
	l.eventually("a lease", func(s *rpdb.Snapshot) bool { return hasAddress(s, "eth1", "10.10.0.0/24") })
	// Main keeps the default route that it has, and says nothing.
	l.repair(waits)
	if _, out := l.rpdb("status", "--state-dir", l.state); !strings.Contains(out, "table main has no default route by eth1") {
		t.Errorf("status:\n%s", out)
	}

	if err := os.WriteFile(metric, []byte("200"), 0o644); err != nil {
		t.Fatal(err)
	}
	l.eventually("a default route with a metric", mainHas(rpdb.IPv4, "10.10.0.1"))
	l.repair(done)
	l.holds(door0, door{"eth1", "10.10.0.50", "10.10.0.0/24", "10.10.0.1"})
	if _, out := l.rpdb("init"); !strings.Contains(out, "interface: eth1\n    gateways: [auto4]") {
		t.Errorf("init takes the gateway for one that stays:\n%s", out)
	}

	network.leases("10.10.0.50", "10.10.0.254")
	l.eventually("another gateway", mainHas(rpdb.IPv4, "10.10.0.254"))
	l.repair(done)
	l.holds(door0, door{"eth1", "10.10.0.50", "10.10.0.0/24", "10.10.0.254"})

	network.leases("10.20.0.60", "10.20.0.1")
	l.eventually("another network", mainHas(rpdb.IPv4, "10.20.0.1"))
	l.repair(done)
	l.holds(door0, door{"eth1", "10.20.0.60", "10.20.0.0/24", "10.20.0.1"})
}

// mainHas reports whether table main has just this gateway by eth1.
func mainHas(f rpdb.Family, gateway string) func(*rpdb.Snapshot) bool {
	return func(s *rpdb.Snapshot) bool { return slices.Equal(mainVia(s, f, "eth1"), []string{gateway}) }
}

// isDeprecated reports whether all addresses of eth1 in a network are.
func isDeprecated(s *rpdb.Snapshot, network string) bool {
	n := netip.MustParsePrefix(network)
	return !slices.ContainsFunc(s.Addresses, func(a rpdb.Address) bool {
		return n.Contains(a.Prefix.Addr()) && a.Flags&rpdb.AddressDeprecated == 0
	})
}

// router is radvd on gw1.
type router struct {
	l     *lab
	radvd string
	*program
}

// advertise lets the router advertise a prefix under a link-local address, every few
// seconds anew. What it has advertised is good for so long that a router that waits
// for its turn on a busy machine is not silent yet, and no longer, since the test
// waits for the end of it.
func (r *router) advertise(address, prefix string) {
	r.l.t.Helper()
	dir := r.l.t.TempDir()
	conf := filepath.Join(dir, "radvd.conf")
	text := fmt.Sprintf(`interface gw1 {
	AdvSendAdvert on;
	MinRtrAdvInterval 3;
	MaxRtrAdvInterval 4;
	AdvDefaultLifetime 25;
	AdvRASrcAddress { %s; };
	prefix %s { AdvValidLifetime 30; AdvPreferredLifetime 10; };
};
`, address, prefix)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		r.l.t.Fatal(err)
	}
	r.program = start(r.l.t, r.l.net.NetNS(), r.radvd, "--nodaemon", "--config", conf, "--pidfile", filepath.Join(dir, "pid"), "--logmethod", "stderr")
}

// TestRouterAdvertisements: a real router gives the second uplink its prefix and its
// gateway, takes the gateway back, another one comes with another prefix, the first
// prefix runs out, and in the end the router is silent.
func TestRouterAdvertisements(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := &router{l: l, radvd: need(t, "radvd")}
	l.addFirstUplink()
	l.run(l.net, `
		sysctl net.ipv6.conf.all.forwarding=1
		ip addr add fe80::1/64 dev gw1 nodad
		ip addr add fe80::2/64 dev gw1 nodad`)
	l.apply(follows("auto6"))
	l.repair(waits)
	first, second := "2001:db8:b::/64", "2001:db8:c::/64"
	doorOf := func(network, gateway string) door {
		a, ok := addressIn(l.snapshot(), "eth1", network)
		if !ok {
			t.Fatalf("no address in %s any more", network)
		}
		return door{"eth1", a.String(), network, gateway}
	}

	r.advertise("fe80::1", first)
	l.eventually("an address and a gateway", func(s *rpdb.Snapshot) bool {
		return hasAddress(s, "eth1", first) && mainHas(rpdb.IPv6, "fe80::1")(s)
	})
	l.repair(done)
	l.holds(door0, doorOf(first, "fe80::1"))

	r.stop(syscall.SIGTERM) // it says that it goes
	l.eventually("the gateway goes", func(s *rpdb.Snapshot) bool { return len(mainVia(s, rpdb.IPv6, "eth1")) == 0 })
	l.repair(waits)

	r.advertise("fe80::2", second)
	l.eventually("another prefix and gateway", func(s *rpdb.Snapshot) bool {
		return hasAddress(s, "eth1", second) && mainHas(rpdb.IPv6, "fe80::2")(s)
	})
	l.eventually("the first prefix is deprecated", func(s *rpdb.Snapshot) bool { return !hasAddress(s, "eth1", first) || isDeprecated(s, first) })
	if code, out := l.rpdb("repair", "--state-dir", l.state); code != done {
		t.Errorf("repair: exit code %d\n%s", code, out)
	}
	l.leaves(doorOf(second, "fe80::2"))
	if has := ours(l.snapshot()); hasAddress(l.snapshot(), "eth1", first) && !slices.Contains(has, "IPv6 rule from "+first+" lookup 82001") {
		t.Errorf("connections of the deprecated prefix lose their door:\n%s", strings.Join(has, "\n"))
	}

	l.eventually("the first prefix runs out", func(s *rpdb.Snapshot) bool { return !hasAddress(s, "eth1", first) })
	l.repair(done)
	l.holds(door0, doorOf(second, "fe80::2"))

	r.stop(syscall.SIGKILL) // it is silent
	l.eventually("the gateway's life time is over", func(s *rpdb.Snapshot) bool { return len(mainVia(s, rpdb.IPv6, "eth1")) == 0 })
	l.repair(waits)
}
