package sandbox

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
)

// insideWorld is the two uplinks with two inside hosts: the provider of the second
// routes the blocks of the first one here, so no translation is needed.
func insideWorld(t *testing.T) *World {
	t.Helper()
	up := twoUplinks()
	up[1].Routed = prefixes("10.1.0.0/24", "2001:db8:1::/64")
	return buildWorld(t, Spec{Uplinks: up, Extra: []Extra{
		{Link: "lan0", Inside: prefixes("10.1.0.0/24", "2001:db8:1::/64")}, {Link: "lan1", Inside: prefixes("10.2.0.0/16", "2001:db8:2::/64")},
	}})
}

// TestInside: an inside host asks the outside and another one through the host, and
// is asked, with the first, the last and another address of its blocks.
func TestInside(t *testing.T) {
	t.Parallel()
	w := insideWorld(t)
	for i, f := range rpdb.Families() {
		do(t, w, rpdb.RouteChange(rpdb.Add, rpdb.Route{
			Family: f, Table: 100, Dst: f.Default(), Type: rpdb.RouteUnicast,
			Nexthops: []rpdb.Nexthop{{Via: w.Spec().Uplinks[1].Gateways[i], Link: index(t, w, "eth1")}},
		}), rpdb.RuleChange(rpdb.Add, rpdb.Rule{
			Family: f, Priority: 200, Action: rpdb.ToTable(rpdb.TableMain), Suppress: rpdb.Suppressor{PrefixLength: rpdb.Some(int32(0))},
		}), rpdb.RuleChange(rpdb.Add, rpdb.Rule{
			Family: f, Priority: 201, Action: rpdb.ToTable(100), Selector: rpdb.Selector{IIF: "lan0"},
		}))
	}
	others := map[rpdb.Family]string{rpdb.IPv4: "10.2.255.255", rpdb.IPv6: "2001:db8:2::7"}
	var probes []Probe
	for _, protocol := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP} {
		for _, a := range addrs("10.1.0.0", "10.1.0.7", "10.1.0.255", "2001:db8:1::", "2001:db8:1::7", "2001:db8:1:0:ffff:ffff:ffff:ffff") {
			p := Probe{Protocol: protocol, Inside: "lan0", Local: a}
			in, across := p, p
			in.Direction, in.Uplink = Inbound, "isp-b"
			across.Remote = netip.MustParseAddr(others[rpdb.FamilyOf(a)])
			probes = append(probes, p, in, across)
		}
	}
	for _, o := range sendAll(t, w, probes) {
		want := rpdb.LinkName("eth1")
		if o.Probe.Remote != w.Outside(o.Probe.Family) {
			want = "lan1"
		}
		if !o.Answered || o.Link() != want || o.Spoofed() || o.Source != o.Probe.Local {
			t.Errorf("%v: want an answer by %s with its own source, got %+v", o.Probe, want, o)
		}
	}
	// By the other uplink its source is not legal.
	for _, a := range addrs("10.2.0.7", "2001:db8:2::7") {
		if o := send(t, w, Probe{Protocol: rpdb.UDP, Inside: "lan1", Local: a}); o.Answered || !o.Spoofed() || o.Source != a || o.Link() != "eth0" {
			t.Errorf("got %+v", o)
		}
	}
}

// TestInsideSurvivesItsInterface: what led inside is put back with the interface.
func TestInsideSurvivesItsInterface(t *testing.T) {
	t.Parallel()
	w := insideWorld(t)
	p := Probe{Protocol: rpdb.TCP, Inside: "lan0", Local: netip.MustParseAddr("10.1.0.7"), Remote: netip.MustParseAddr("10.2.0.7")}
	if err := w.LinkDown("lan1"); err != nil {
		t.Fatal(err)
	}
	if o := send(t, w, p); o.Answered {
		t.Errorf("down: got %+v", o)
	}
	if err := w.LinkUp(t.Context(), "lan1"); err != nil {
		t.Fatal(err)
	}
	if o := send(t, w, p); !o.Answered || o.Link() != "lan1" {
		t.Errorf("up: got %+v", o)
	}
}

// TestChecksumsAreOnTheWire: those that a translation has broken are found, since
// receivers verify what was computed before.
func TestChecksumsAreOnTheWire(t *testing.T) {
	t.Parallel()
	w := insideWorld(t)
	for _, end := range []plug{{w.gateways[2].place, lan}, {w.outside, w.gateways[0].outsideLink}} {
		var left uint32
		err := end.ns.Do(func() error {
			return ioctl(end.link, func(fd int, _ *unix.Ifreq) (err error) {
				left, err = ethtool(fd, end.link, unix.ETHTOOL_GTXCSUM)
				return err
			})
		})
		if left != 0 || err != nil {
			t.Errorf("%s: checksums are left to the interface: %d, %v", end.link, left, err)
		}
	}
}

// TestPrepareInsideRefuses lists probes of inside hosts that make no sense.
func TestPrepareInsideRefuses(t *testing.T) {
	t.Parallel()
	w := insideWorld(t)
	local, other := netip.MustParseAddr("10.1.0.7"), netip.MustParseAddr("10.2.0.7")
	for want, p := range map[string]Probe{
		`interface "lan9": not in this world`:               {Protocol: rpdb.TCP, Inside: "lan9", Local: local},
		`no inside host behind "lan0" has it`:               {Protocol: rpdb.TCP, Inside: "lan0", Local: other},
		`no inside host behind "eth0" has it`:               {Protocol: rpdb.TCP, Inside: "eth0", Local: netip.MustParseAddr("192.168.0.10")},
		`its mark, device and user`:                         {Protocol: rpdb.TCP, Inside: "lan0", Local: local, Mark: 1},
		`address 10.1.0.9: not one of the outside`:          {Protocol: rpdb.TCP, Inside: "lan0", Local: local, Remote: netip.MustParseAddr("10.1.0.9")},
		`address 10.2.0.7: not one of the outside`:          {Protocol: rpdb.TCP, Local: netip.MustParseAddr("192.168.0.10"), Remote: other},
		`address 192.0.2.9: not one to ask by`:              {Protocol: rpdb.TCP, Inside: "lan0", Local: local, Asked: netip.MustParseAddr("192.0.2.9")},
		`address 192.0.2.8: only an inside host is asked b`: {Protocol: rpdb.TCP, Direction: Inbound, Uplink: "isp-a", Local: netip.MustParseAddr("192.168.0.10"), Asked: netip.MustParseAddr("192.0.2.8")},
	} {
		if _, err := w.Prepare(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", p, err, want)
		}
	}
	p, err := w.Prepare(Probe{Protocol: rpdb.UDP, Inside: "lan0", Local: local, Direction: Inbound, Uplink: "isp-b", Asked: netip.MustParseAddr("192.0.2.9")})
	if err != nil || p.String() != "inbound UDP to 192.0.2.9 by isp-b behind lan0" {
		t.Errorf("got %v, %v", p, err)
	}
	if again, err := w.Prepare(p); err != nil || again != p {
		t.Errorf("prepared again: %+v, %v; before %+v", again, err, p)
	}
}
