package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// route adds a default route by the second uplink to a table.
func (h *natHost) route(table rpdb.TableID, via ...string) {
	h.t.Helper()
	c, err := kernel.Open(kernel.Options{NetNS: h.world.Host()})
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	for _, v := range via {
		gateway := netip.MustParseAddr(v)
		f := rpdb.FamilyOf(gateway)
		r := rpdb.Route{
			Family: f, Table: table, Dst: f.Default(), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic,
			Nexthops: []rpdb.Nexthop{{Via: gateway}},
		}
		if err := c.Do(h.t.Context(), rpdb.RouteChange(rpdb.Add, r)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// rule runs "rpdb rule" on the router.
func (h *natHost) rule(args ...string) {
	h.t.Helper()
	cmd := program(h.t, append([]string{"rule"}, args...)...)
	cmd.Env = append(os.Environ(), rootVariable+"="+h.dir)
	var out []byte
	err := h.world.Host().Do(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		h.t.Fatalf("rpdb rule %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestNATRuleFromCommandToPackets follows rules that translate, made by one command
// each, through their life, in packets of both families: made, beside a rule that
// leads others by the same way, after a policy has come and gone, repaired, deleted.
func TestNATRuleFromCommandToPackets(t *testing.T) {
	blocks, policy := natBlocks{"203.0.113.0", "2001:db8:5::"}, natBlocks{"198.51.100.0", "2001:db8:6::"}
	h := newNATHost(t, blocks, policy)
	h.route(100, "10.10.0.1", "2001:db8:b::1")
	h.rule("add", "from", "10.2.0.0/24", "table", "100", "pref", "600")
	h.rule("add", "from", "fd00:2::/64", "table", "100", "pref", "600")
	h.rule("add", "from", "10.1.0.0/24", "table", "100", "nat", blocks.four, "pref", "500")
	if natFamilies() == 2 {
		h.rule("add", "from", "fd00:1::/64", "table", "100", "nat", blocks.six, "pref", "500")
	}
	h.wantSeen("made", blocks, "eth1", true)

	h.rpdb("apply", policy.file())
	h.wantSeen("beside a policy that comes behind", blocks, "eth1", true)
	h.rpdb("remove")
	h.wantSeen("the policy removed", blocks, "eth1", true)
	if s := h.table(); len(s.Translations) != natFamilies() || len(s.Unknown) > 0 {
		t.Errorf("the policy removed: nftables has %+v", s)
	}

	router := kernelOf(t, h)
	for _, r := range router.routes(rpdb.FirstHandCopy(rpdb.IPv4), rpdb.FirstHandCopy(rpdb.IPv6)) {
		if err := router.Do(t.Context(), rpdb.RouteChange(rpdb.Delete, r)); err != nil {
			t.Fatal(err)
		}
	}
	h.rpdb("repair")
	h.wantSeen("the copy repaired", blocks, "eth1", true)

	h.rule("del", "nat", blocks.four)
	if natFamilies() == 2 {
		h.rule("del", "nat", blocks.six)
	}
	h.rule("add", "from", "10.1.0.0/24", "table", "100", "pref", "500")
	h.rule("add", "from", "fd00:1::/64", "table", "100", "pref", "500")
	h.wantSeen("deleted", servers(), "eth1", false)
	if s := h.table(); len(s.Translations)+len(s.Unknown) > 0 {
		t.Errorf("deleted: nftables has %+v", s)
	}
}

// hostKernel reads and changes the router of a test.
type hostKernel struct {
	*kernel.Conn
	t *testing.T
}

func kernelOf(t *testing.T, h *natHost) hostKernel {
	t.Helper()
	c, err := kernel.Open(kernel.Options{NetNS: h.world.Host()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return hostKernel{c, t}
}

func (k hostKernel) routes(tables ...rpdb.TableID) (all []rpdb.Route) {
	k.t.Helper()
	s, err := k.Snapshot(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	for _, table := range tables {
		for _, f := range rpdb.Families() {
			all = append(all, s.Table(f, table)...)
		}
	}
	return all
}

// TestErrorsOfNATRuleComeBack: ICMP errors about the packets of rules that translate,
// made by one command each, find the socket that they are about, as the header in
// them is translated back: on the inside, and outside on the way in.
func TestErrorsOfNATRuleComeBack(t *testing.T) {
	inside, router, outside := kerneltest.Real(t), kerneltest.Real(t), kerneltest.Real(t)
	cables := []struct {
		name rpdb.LinkName
		to   *kerneltest.Kernel
	}{{"lan0", inside}, {"eth1", outside}}
	for _, c := range cables {
		if err := router.AddVeth(kernel.VethEnd{Name: c.name}, kernel.VethEnd{Name: "eth0", NetNS: c.to.NetNS()}); err != nil {
			t.Fatal(err)
		}
	}
	for host, lines := range map[*kerneltest.Kernel][]string{
		router: {
			"sysctl net.ipv4.ip_forward=1", "sysctl net.ipv6.conf.all.forwarding=1", "ip link set lan0 up", "ip link set eth1 up",
			"ip addr add 10.1.0.1/24 dev lan0", "ip -6 addr add fd00:1::1/64 dev lan0 nodad",
			"ip addr add 198.51.100.10/24 dev eth1", "ip -6 addr add 2001:db8:b::10/64 dev eth1 nodad",
			"ip route add default via 198.51.100.1 table 100", "ip -6 route add default via 2001:db8:b::1 table 100",
		},
		inside: {
			"ip link set eth0 up", "ip addr add 10.1.0.7/24 dev eth0", "ip -6 addr add fd00:1::7/64 dev eth0 nodad",
			"ip route add default via 10.1.0.1", "ip -6 route add default via fd00:1::1",
		},
		outside: {
			"ip link set eth0 up", "ip addr add 198.51.100.1/24 dev eth0", "ip -6 addr add 2001:db8:b::1/64 dev eth0 nodad",
			"ip route add 203.0.113.0/24 via 198.51.100.10", "ip -6 route add 2001:db8:c::/64 via 2001:db8:b::10",
		},
	} {
		if err := kerneltest.Script(t.Context(), host, append(lines, "ip link set lo up")...); err != nil {
			t.Fatal(err)
		}
	}
	for _, words := range []string{"from 10.1.0.0/24 table 100 nat 203.0.113.0", "from fd00:1::/64 table 100 nat 2001:db8:c::"}[:natFamilies()] {
		cmd := program(t, append([]string{"rule", "add"}, strings.Fields(words)...)...)
		cmd.Env = append(os.Environ(), rootVariable+"="+t.TempDir())
		err := router.NetNS().Do(func() error {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		})
		if err != nil {
			t.Fatalf("rule add %s: %v", words, err)
		}
	}
	for _, c := range []struct {
		at       *kerneltest.Kernel
		from, to string
	}{
		{inside, "10.1.0.7", "198.51.100.1"},
		{outside, "198.51.100.1", "203.0.113.7"},
		{inside, "fd00:1::7", "2001:db8:b::1"},
		{outside, "2001:db8:b::1", "2001:db8:c::7"},
	}[:2*natFamilies()] {
		err := c.at.NetNS().Do(func() error { return unreachable(c.from, c.to) })
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s to a port of %s that nobody listens at: %v", c.from, c.to, err)
		}
	}
}

// unreachable sends to a port that nobody listens at, and returns what comes back. It
// sends again, since one datagram may be lost, and errors are limited in number.
func unreachable(from, to string) error {
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)),
		net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), 9)))
	if err != nil {
		return err
	}
	defer c.Close()
	for range 10 {
		if _, err = c.Write([]byte("is anybody there")); err != nil {
			return err
		}
		if err = c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		if _, err = c.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return err
}
