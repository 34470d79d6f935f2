package events

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"rpdb"
	"rpdb/kernel/kerneltest"
)

// TestLinkDownAndUpIsRepaired: the routes go with the link, and the IPv6 addresses;
// the rules stay, and the other uplink notices nothing.
func TestLinkDownAndUpIsRepaired(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	l.run(l.host, "ip link set eth1 down")
	gone1, gone1v6 := door1, door1v6
	gone1.gateway, gone1v6.gateway = "", ""
	l.repair(waits)
	l.holds(door0, door0v6, gone1, gone1v6)

	l.run(l.host, "ip link set eth1 up")
	l.repair(waits)
	l.holds(door0, door0v6, door1, gone1v6)

	l.run(l.host, "ip addr add 2001:db8:b::10/64 dev eth1 nodad")
	l.repair(done)
	l.holds(door0, door0v6, door1, door1v6)
}

// TestCarrierLostAndBack: everything stays, so there is nothing to repair.
func TestCarrierLostAndBack(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	carrier := func(want bool) {
		l.eventually(fmt.Sprintf("carrier of eth1: %v", want), func(s *rpdb.Snapshot) bool {
			link, _ := s.LinkByName("eth1")
			return link.HasCarrier() == want
		})
	}
	l.run(l.net, "ip link set gw1 down")
	carrier(false)
	l.inOrder(done)
	l.run(l.net, "ip link set gw1 up")
	carrier(true)
	l.inOrder(done)
	l.holds(door0, door0v6, door1, door1v6)
}

// TestOnlyAddressDeletedAndAdded: the IPv4 routes go with the address, without any
// event.
func TestOnlyAddressDeletedAndAdded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	l.run(l.host, `
		ip addr del 10.10.0.10/24 dev eth1
		ip addr del 2001:db8:b::10/64 dev eth1`)
	l.repair(waits)
	l.run(l.host, `
		ip addr add 10.10.0.10/24 dev eth1
		ip addr add 2001:db8:b::10/64 dev eth1 nodad`)
	l.repair(done)
	l.holds(door0, door0v6, door1, door1v6)
}

// TestAnotherAddressInItsPlace: rules and sources follow the live addresses, and
// nothing is left of the one before.
func TestAnotherAddressInItsPlace(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	l.run(l.host, `
		ip addr del 10.10.0.10/24 dev eth1
		ip addr add 10.10.0.99/24 dev eth1
		ip addr del 2001:db8:b::10/64 dev eth1
		ip addr add 2001:db8:b::99/64 dev eth1 nodad`)
	l.repair(done)
	l.holds(door0, door0v6, door{"eth1", "10.10.0.99", "10.10.0.0/24", "10.10.0.1"}, door{"eth1", "2001:db8:b::99", "2001:db8:b::/64", "2001:db8:b::1"})
}

// TestOneOfTwoAddressesDeleted: the routes stay and carry the dead source, in IPv4.
func TestOneOfTwoAddressesDeleted(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.run(l.host, `
		ip addr add 10.10.0.10/24 dev eth1
		ip addr add 10.20.0.10/24 dev eth1
		ip addr add 2001:db8:b::10/64 dev eth1 nodad
		ip addr add 2001:db8:c::10/64 dev eth1 nodad`)
	l.static2(`10.10.0.1, "2001:db8:b::1"`)
	second := door{"eth1", "10.20.0.10", "10.20.0.0/24", "10.10.0.1"}
	second6 := door{"eth1", "2001:db8:c::10", "2001:db8:c::/64", "2001:db8:b::1"}
	l.holds(door0, door0v6, door1, door1v6, second, second6)
	l.run(l.host, `
		ip addr del 10.20.0.10/24 dev eth1
		ip addr del 2001:db8:c::10/64 dev eth1`)
	l.repair(done)
	l.holds(door0, door0v6, door1, door1v6)
	l.run(l.host, `
		ip addr add 10.20.0.10/24 dev eth1
		ip addr add 2001:db8:c::10/64 dev eth1 nodad`)
	l.repair(done)
	l.holds(door0, door0v6, door1, door1v6, second, second6)
}

// static2 gives eth0 its addresses, and applies a policy with these gateways of
// eth1, which has its addresses.
func (l *lab) static2(gateways string) {
	l.t.Helper()
	l.run(l.host, `
		ip addr add 192.168.0.10/24 dev eth0
		ip addr add 2001:db8:a::10/64 dev eth0 nodad
		ip route add default via 192.168.0.1
		ip -6 route add default via 2001:db8:a::1`)
	l.apply(fmt.Sprintf(`
uplinks:
  - {interface: eth0, gateways: [192.168.0.1, "2001:db8:a::1"]}
  - {interface: eth1, gateways: [%s]}
`, gateways))
}

// TestPrimaryDeletedWithASecondary: the secondary goes too, or is promoted.
func TestPrimaryDeletedWithASecondary(t *testing.T) {
	second := door{"eth1", "10.10.0.11", "10.10.0.0/24", "10.10.0.1"}
	for _, promote := range []int{0, 1} {
		t.Run(fmt.Sprintf("promote_secondaries=%d", promote), func(t *testing.T) {
			l := newLab(t)
			l.run(l.host, fmt.Sprintf(`
				sysctl net.ipv4.conf.eth1.promote_secondaries=%d
				ip addr add 10.10.0.10/24 dev eth1
				ip addr add 10.10.0.11/24 dev eth1`, promote))
			l.static2("10.10.0.1")
			first := door1 // whose network has one route
			l.leaves(first)
			l.leaves(second)
			l.run(l.host, "ip addr del 10.10.0.10/24 dev eth1")
			if promote == 1 {
				l.repair(done)
				l.holds(door0, door0v6, second)
				return
			}
			l.repair(waits)
			l.run(l.host, "ip addr add 10.10.0.11/24 dev eth1")
			l.repair(done)
			l.holds(door0, door0v6, second)
		})
	}
}

// TestInterfaceMadeAgain has another index under the same name.
func TestInterfaceMadeAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	before, _ := l.snapshot().LinkByName("eth1")
	l.run(l.host, "ip link del eth1")
	l.repair(waits)
	l.run(l.host, "ip link add other type veth peer name other2") // or the index may be the same
	l.cable("eth1", "gw1")
	if after, _ := l.snapshot().LinkByName("eth1"); after.Index == before.Index {
		t.Fatalf("index %d again", after.Index)
	}
	l.run(l.host, `
		ip addr add 10.10.0.10/24 dev eth1
		ip addr add 2001:db8:b::10/64 dev eth1 nodad`)
	l.repair(done)
	l.holds(door0, door0v6, door1, door1v6)
}

// TestRenamedAwayAndBack: a policy goes by names. While the name is nowhere the
// uplink waits; another interface of that name is the uplink; and so is the first
// one, when it has its name again.
func TestRenamedAwayAndBack(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	l.run(l.host, `
		ip link set eth1 down
		ip link set eth1 name old1
		ip link set old1 up`)
	l.repair(waits)

	l.cable("eth1", "gw2")
	l.run(l.host, `
		ip addr add 10.30.0.10/24 dev eth1
		ip addr add 2001:db8:b::10/64 dev eth1 nodad`)
	l.repair(waits)
	// It has IPv6 as the policy says, and in IPv4 another network.
	l.leaves(door0)
	l.leaves(door1v6)

	l.run(l.host, `
		ip link del eth1
		ip link set old1 down
		ip link set old1 name eth1
		ip link set eth1 up
		ip addr add 2001:db8:b::10/64 dev eth1 nodad`)
	l.repair(done)
	l.holds(door0, door0v6, door1, door1v6)
}

// TestMovedWithoutItsGateway: an uplink that moved to a network without the gateway
// of the policy waits, and keeps no other from being repaired.
func TestMovedWithoutItsGateway(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	l.run(l.host, `
		ip addr del 10.10.0.10/24 dev eth1
		ip addr add 10.99.0.10/24 dev eth1
		ip link set eth0 down
		ip link set eth0 up
		ip addr add 2001:db8:a::10/64 dev eth0 nodad
		ip route add default via 192.168.0.1
		ip -6 route add default via 2001:db8:a::1`)
	l.repair(waits)
	for _, d := range []door{door0, door0v6, door1v6} {
		l.leaves(d)
	}
	if code, out := l.rpdb("status", "--state-dir", l.state); code == done || !strings.Contains(out, "gateway 10.10.0.1 is in no network of eth1, which has 10.99.0.0/24") {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	l.run(l.host, `
		ip addr del 10.99.0.10/24 dev eth1
		ip addr add 10.10.0.10/24 dev eth1`)
	l.repair(done)
	l.holds(door0, door0v6, door1, door1v6)
}

// TestDuplicateAddressDetection: while it runs the uplink waits; when it has ended
// one repair does the rest; an address that another host has is waited for.
func TestDuplicateAddressDetection(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	l.run(l.host, `
		ip addr del 2001:db8:b::10/64 dev eth1
		sysctl net.ipv6.conf.all.accept_dad=1
		sysctl net.ipv6.conf.eth1.accept_dad=1
		sysctl net.ipv6.conf.eth1.dad_transmits=2
		sysctl net.ipv6.conf.eth1.router_solicitation_delay=0
		ip addr add 2001:db8:b::10/64 dev eth1`)
	tentative := func() bool { return !hasAddress(l.snapshot(), "eth1", "2001:db8:b::/64") }
	before := tentative()
	code, out := l.rpdb("repair", "--state-dir", l.state)
	if before && tentative() { // and meanwhile
		if code != waits {
			t.Errorf("tentative: exit code %d\n%s", code, out)
		}
	}
	l.eventually("duplicate address detection ends", func(*rpdb.Snapshot) bool { return !tentative() })
	l.repair(done)
	l.holds(door0, door0v6, door1, door1v6)

	l.run(l.net, "ip addr add 2001:db8:b::20/64 dev gw1 nodad")
	l.run(l.host, `
		ip addr del 2001:db8:b::10/64 dev eth1
		ip addr add 2001:db8:b::20/64 dev eth1`)
	failed := netip.MustParseAddr("2001:db8:b::20")
	l.eventually("another host has the address", func(s *rpdb.Snapshot) bool {
		for _, a := range s.Addresses {
			if a.Prefix.Addr() == failed && a.Flags&rpdb.AddressDADFailed != 0 {
				return true
			}
		}
		return false
	})
	l.repair(waits)
	if _, out := l.rpdb("status", "--state-dir", l.state); !strings.Contains(out, "another host has it") {
		t.Errorf("status:\n%s", out)
	}
}

// TestRebootIsRepaired: another namespace, in which nothing is but the interfaces.
func TestRebootIsRepaired(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	fresh := newLab(t)
	fresh.state = l.state
	fresh.repair(waits)
	fresh.run(fresh.host, `
		ip addr add 192.168.0.10/24 dev eth0
		ip addr add 2001:db8:a::10/64 dev eth0 nodad
		ip addr add 10.10.0.10/24 dev eth1
		ip addr add 2001:db8:b::10/64 dev eth1 nodad`)
	fresh.repair(done)
	fresh.holds(door0, door0v6, door1, door1v6)
}

// TestBurstOfRepairs: hooks call repair for every event, and several at once. They
// wait for each other, the first does what is to be done, and the others nothing.
func TestBurstOfRepairs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	l.run(l.host, `
		ip link set eth1 down
		ip link set eth1 up
		ip addr add 2001:db8:b::10/64 dev eth1 nodad`)
	said := make(chan string, 20)
	l.at(20, func() {
		code, out := l.rpdb("repair", "--wait", patience.String(), "--state-dir", l.state)
		if code != done {
			t.Errorf("exit code %d\n%s", code, out)
		}
		said <- out
	})
	close(said)
	spoke := 0
	for out := range said {
		if out != "" {
			spoke++
		}
	}
	if spoke != 1 {
		t.Errorf("%d of 20 did something", spoke)
	}
	l.inOrder(done)
	l.holds(door0, door0v6, door1, door1v6)
}

// TestEventsDuringRepairs: addresses and links change while repairs run, as they do
// when a host comes up. The last repair leads to the state that the policy means.
func TestEventsDuringRepairs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.static()
	for i := range 8 {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			l.rpdb("repair", "--wait", patience.String(), "--state-dir", l.state)
		}()
		err := kerneltest.Script(t.Context(), l.host,
			"ip link set eth1 down", "ip link set eth1 up",
			fmt.Sprintf("ip addr add 10.10.0.%d/24 dev eth1", 20+i), fmt.Sprintf("ip addr del 10.10.0.%d/24 dev eth1", 20+i),
			"ip addr add 2001:db8:b::10/64 dev eth1 nodad")
		if err != nil {
			t.Error(err)
		}
		<-ended
	}
	if code, out := l.rpdb("repair", "--state-dir", l.state); code != done {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.inOrder(done)
	l.holds(door0, door0v6, door1, door1v6)
}
