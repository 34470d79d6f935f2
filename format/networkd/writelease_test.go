package networkd_test

import (
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/networkd"
	"rpdb/internal/formattest"
)

// TestWriteLeases: gateways of leases have words, rules by their addresses and routes
// to their networks have none. A lease without a default route in table main keeps
// none.
func TestWriteLeases(t *testing.T) {
	s, leases := formattest.Leased()
	n := rpdb.Names{Tables: map[rpdb.TableID]string{102: "isp-b"}}
	files, losses := networkd.Write(s, n, networkd.Options{Leases: leases})
	const want = `-- /etc/systemd/network/10-eth1.network --
[Match]
Name=eth1

[Network]
DHCP=ipv4
IPv6AcceptRA=yes

[DHCPv4]
RouteMetric=200

[Route]
Gateway=_dhcp4
Metric=0
Table=isp-b

[Route]
Gateway=_ipv6ra
Metric=1024
Table=isp-b
-- /etc/systemd/networkd.conf.d/10-route-tables.conf --
[Network]
RouteTable=isp-b:102
`
	if got := bundle(files); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var lost []string
	for _, l := range losses {
		lost = append(lost, l.String())
	}
	if got, want := strings.Join(lost, "\n"), `ip -4 route add 198.51.100.0/24 dev eth1 table isp-b proto static scope global: its network is one that eth1 has for a time, and networkd has no word for whichever it is
ip -4 rule add pref 10030 from 198.51.100.50 lookup isp-b protocol static: it selects by an address that eth1 has for a time, and networkd has no word for whichever it is
ip -6 route add 2001:db8:b::/64 dev eth1 table isp-b proto static: its network is one that eth1 has for a time, and networkd has no word for whichever it is
ip -6 rule add pref 10030 from 2001:db8:b::/64 lookup isp-b protocol static: it selects by an address that eth1 has for a time, and networkd has no word for whichever it is`; got != want {
		t.Errorf("lost\n%s", got)
	}

	leases[0].Default, leases[0].Rules, leases[0].Routes = false, nil, nil
	files, losses = networkd.Write(s, n, networkd.Options{Leases: leases[:1]})
	if got := bundle(files); !strings.HasSuffix(got, "[Network]\nDHCP=ipv4\n\n[DHCPv4]\nUseGateway=no\n") || len(losses) > 0 {
		t.Errorf("got\n%s\nlost %v", got, losses)
	}
	s.Links[2].Name = "a*"
	if files, losses := networkd.Write(s, n, networkd.Options{Leases: leases}); len(files) != 0 || len(losses) < 2 || losses[0].Object != `the leases of "a*" (IPv4)` {
		t.Errorf("got\n%s\nlost %v", bundle(files), losses)
	}
}
