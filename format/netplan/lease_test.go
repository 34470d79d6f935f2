package netplan_test

import (
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/netplan"
	"rpdb/internal/formattest"
)

// TestWriteLeases: netplan says who gives the addresses, and which metric the gateway
// has in table main. What hangs on a lease is lost.
func TestWriteLeases(t *testing.T) {
	s, leases := formattest.Leased()
	const head = "network:\n  version: 2\n  ethernets:\n    eth1:\n      renderer: networkd\n"
	files, losses := netplan.Write(s, rpdb.Names{}, netplan.Options{Leases: leases})
	if len(files) != 1 || files[0].Text != head+"      dhcp4: true\n      accept-ra: true\n      dhcp4-overrides: {route-metric: 200}\n" {
		t.Errorf("got %v", files)
	}
	// The metric of DHCP is that of advertisements too.
	if len(losses) != 7 || losses[0].Object != "the default route of table main by eth1 (IPv6)" || !strings.HasSuffix(losses[0].Reason, " metric 200") {
		t.Errorf("lost %v", losses)
	}
	leases[0].Default = false
	files, _ = netplan.Write(s, rpdb.Names{}, netplan.Options{Leases: leases[:1]})
	if len(files) != 1 || files[0].Text != head+"      dhcp4: true\n      dhcp4-overrides: {use-routes: false}\n" {
		t.Errorf("got %v", files)
	}
	files, losses = netplan.Write(s, rpdb.Names{}, netplan.Options{Leases: leases[1:]})
	if len(files) != 1 || files[0].Text != head+"      accept-ra: true\n" || len(losses) != 3 {
		t.Errorf("got %v, lost %v", files, losses)
	}
}
