package differential

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/kernel/kerneltest"
)

// wayBackSettings are all values of the settings that decide whether the kernel
// looks at the way back of an IPv4 packet that came in by e0.
func wayBackSettings() (all [][]string) {
	for rp := range 3 {
		for bits := range 8 {
			all = append(all, []string{
				fmt.Sprintf("sysctl net.ipv4.conf.e0.rp_filter=%d", rp),
				fmt.Sprintf("sysctl net.ipv4.conf.e0.accept_local=%d", bits&1),
				fmt.Sprintf("sysctl net.ipv4.conf.e0.send_redirects=%d", bits>>1&1),
				fmt.Sprintf("sysctl net.ipv4.conf.all.send_redirects=%d", bits>>2),
			})
		}
	}
	return all
}

// wayBackFlows are packets that turn back at e0, go on by e1 or are for this
// host, from every kind of source.
func wayBackFlows() (all []rpdb.Flow) {
	for _, dst := range []string{"198.51.100.7", "203.0.113.7", "192.0.2.1"} {
		for _, src := range []string{"192.0.2.7", "192.0.2.1", "192.0.2.255", "192.0.2.0", "10.0.0.1", "10.1.0.1", "10.2.0.1", "10.0.0.255", "172.16.0.9"} {
			all = append(all, rpdb.Flow{Dst: netip.MustParseAddr(dst), Src: netip.MustParseAddr(src), IIF: "e0", IPProto: rpdb.UDP})
		}
	}
	return all
}

// wayBackHost forwards between e0 and e1, and has broadcast and prohibited
// sources besides its own.
func wayBackHost() []string {
	return []string{
		"ip link set lo up", "ip link add e0 type veth peer name p0", "ip link add e1 type veth peer name p1",
		"ip link set e0 up", "ip link set p0 up", "ip link set e1 up", "ip link set p1 up",
		"ip addr add 192.0.2.1/24 dev e0", "ip addr add 10.0.0.1/24 dev e1",
		"sysctl net.ipv4.ip_forward=1", "sysctl net.ipv4.conf.all.rp_filter=0", "sysctl net.ipv4.conf.all.accept_local=0",
		"ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:09 dev e0 nud permanent",
		"ip neigh replace 10.0.0.9 lladdr 02:00:00:00:00:0a dev e1 nud permanent",
		"ip route add 198.51.100.0/24 via 192.0.2.9", "ip route add 203.0.113.0/24 via 10.0.0.9",
		"ip route add prohibit 10.1.0.0/24", "ip route add broadcast 10.2.0.0/24 dev e1",
	}
}

// Whether the way back of a packet is looked at depends on seven things, which
// random worlds seldom have all together: every combination of them is put to the
// engine and to the kernel.
func TestWayBackIsLookedAtWhereTheKernelDoes(t *testing.T) {
	for _, c := range []struct {
		name     string
		custom   rpdb.Customised
		commands []string // one after the other, each with all settings
	}{
		{"rules as they came", rpdb.CustomisedNo, []string{"sysctl net.ipv4.ip_forward=1", "ip route add 192.168.7.0/24 dev e1 realms 3"}},
		{"rules", rpdb.CustomisedYes, []string{
			"ip rule add pref 5 iif e1 to 192.0.2.7 prohibit", "ip route add local 172.16.0.0/24 dev lo", "ip rule add pref 6 to 192.168.7.0/24 lookup 7 realms 3",
		}},
		{"a local route", rpdb.CustomisedNo, []string{"ip route add local 172.16.0.0/24 dev lo"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := kerneltest.Real(t)
			must(t, kerneltest.Script(context.Background(), k, wayBackHost()...))
			turned := map[bool]int{}
			for _, command := range c.commands {
				must(t, kerneltest.Script(context.Background(), k, command))
				for _, settings := range wayBackSettings() {
					must(t, kerneltest.Script(context.Background(), k, settings...))
					compareWayBack(t, k, c.custom, fmt.Sprintf("%s, %q", command, settings), turned)
				}
			}
			if turned[false] == 0 || turned[true] == 0 {
				t.Errorf("of the packets that turn back without a filter, %v were looked at", turned)
			}
		})
	}
}

// compareWayBack puts the flows to the kernel and to the engine, and counts of
// those that turn back without rp_filter whether the rules were asked again.
func compareWayBack(t *testing.T, k *kerneltest.Kernel, custom rpdb.Customised, state string, turned map[bool]int) {
	t.Helper()
	s, err := k.Snapshot(context.Background())
	must(t, err)
	s.Custom4 = custom
	engine, flows := fib.Compile(s), wayBackFlows()
	must(t, k.RouteGets(context.Background(), flows, false, func(i int, want rpdb.Decision, err error) error {
		if got := engine.Lookup(flows[i]); err == nil && !agree(flows[i], got, want, false) {
			t.Errorf("%s\n%s\nengine %s\nkernel %s", state, question(flows[i]), js(got), js(want))
		}
		if c := engine.Trace(flows[i]).ReverseChecks; len(c) == 1 && c[0].Egress == "e0" && c[0].RPFilter == 0 {
			turned[c[0].Asked]++
		}
		return err
	}))
}
