package netplan_test

import (
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/netplan"
	"rpdb/internal/networkdtest"
)

// TestNetworkd has the kernel show what netplan and systemd-networkd make of
// files: of those that somebody wrote, as they are read, and of those that are
// written.
func TestNetworkd(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []format.File
	}{
		{"dual uplink", dualUplink(t)},
		{"everything", []format.File{{Path: "/etc/netplan/10-all.yaml", Text: everything}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := read(t, c.files)
			written, losses := netplan.Write(s, rpdb.Names{}, netplan.Options{})
			for _, l := range losses {
				t.Errorf("lost %v", l)
			}
			links := []rpdb.LinkName{"eth0", "eth1"}
			t.Run("read", func(t *testing.T) {
				t.Parallel()
				networkdtest.Start(t, links, networkdtest.Netplan(t, c.files)).Expect(s)
			})
			t.Run("written", func(t *testing.T) {
				t.Parallel()
				networkdtest.Start(t, links, networkdtest.Netplan(t, written)).Expect(s)
			})
		})
	}
}

// everything is a host with all that netplan has words for.
const everything = `network:
  version: 2
  renderer: networkd
  ethernets:
    lo:
      routes:
        - {to: 10.0.0.0/8, type: unreachable, table: 103}
        - {to: 0.0.0.0/0, type: local, table: 104}
        - {to: "2001:db8:9::/48", type: blackhole, table: 103, metric: 7}
      routing-policy:
        - {from: 0.0.0.0/0, mark: 2147483647, table: 101, priority: 0, type-of-service: 28}
        - {to: 10.0.0.0/8, mark: 1, table: 2147483647, priority: 2147483647}
        - {from: 10.0.0.1, to: 10.0.0.0/8, table: 254, priority: 5}
        - {from: "::/0", priority: 6, table: 7}
        - {from: "2001:db8::/32", priority: 7}
    eth0:
      dhcp4: false
      accept-ra: false
      addresses:
        - 192.0.2.10/24
        - 10.9.1.1/24: {lifetime: 0, label: x}
        - "2001:db8::5/64"
      routes:
        - {to: default, via: 192.0.2.1, on-link: true, metric: 100, table: 101}
        - {to: 192.0.2.0/24, scope: link, table: 101, from: 192.0.2.10}
        - {to: "::/0", via: "2001:db8::1", mtu: 1400, congestion-window: 10, advertised-receive-window: 20, table: 101}
        - {to: "2001:db8::/64", scope: link, table: 101}
        - {to: 0.0.0.0/0, scope: link, table: 102}
        - {to: 10.4.0.1, type: local, table: 102}
        - {to: 10.8.0.0/16, type: throw, table: 102, metric: 9}
        - {to: 10.9.0.0/16, via: 192.0.2.1}
    second:
      match: {name: eth1}
      addresses: [198.51.100.10/24]
      routing-policy:
        - {from: 198.51.100.10, table: 105, priority: 100}
`
