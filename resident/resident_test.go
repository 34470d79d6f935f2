package resident

import (
	"slices"
	"testing"

	"rpdb"
)

// TestOn finds a program by an interface, by a rule of its, and not by a rule
// of ours that looks like one.
func TestOn(t *testing.T) {
	mesh := rpdb.Rule{Family: rpdb.IPv4, Priority: 5270, Action: rpdb.ToTable(52), Protocol: rpdb.ProtocolBoot}
	ours := mesh
	ours.Protocol = rpdb.ProtocolRPDB
	for name, c := range map[string]struct {
		host rpdb.Snapshot
		want []string
	}{
		"nothing":   {},
		"rule":      {host: rpdb.Snapshot{Rules: []rpdb.Rule{mesh}}, want: []string{"Tailscale"}},
		"ours":      {host: rpdb.Snapshot{Rules: []rpdb.Rule{ours}}},
		"interface": {host: rpdb.Snapshot{Links: []rpdb.Link{{Index: 2, Name: "cali12"}}}, want: []string{"Calico"}},
		"FRR":       {host: rpdb.Snapshot{Rules: []rpdb.Rule{{Family: rpdb.IPv6, Priority: 300, Action: rpdb.ToTable(10000), Protocol: zebra}}}, want: []string{"FRR"}},
	} {
		var got []string
		for _, p := range On(&c.host) {
			got = append(got, p.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
	}
}

// TestTakes asks a program for the ends of its ranges.
func TestTakes(t *testing.T) {
	at := slices.IndexFunc(known(), func(p Program) bool { return p.Name == "Tailscale" })
	p := known()[at]
	for n, want := range map[rpdb.Priority]bool{1309: false, 1310: true, 5209: false, 5210: true, 5270: true, 5271: false} {
		if p.HasPriority(n) != want {
			t.Errorf("priority %d: %v", n, !want)
		}
	}
	if !p.HasTable(52) || p.HasTable(53) || !p.HasLink("tailscale0") || p.HasLink("tail") {
		t.Error("its table is 52, and its interfaces begin with tailscale")
	}
	if (Program{}).Lives(rpdb.Rule{}) || (Program{}).HasLink("eth0") || (Program{}).HasTable(0) {
		t.Error("the zero program takes something")
	}
}
