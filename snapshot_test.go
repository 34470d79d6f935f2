package rpdb_test

import (
	"slices"
	"testing"

	"rpdb"
)

// host is a namespace with two uplinks.
func host() *rpdb.Snapshot {
	return &rpdb.Snapshot{
		Rules: append(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6)...),
		Routes: []rpdb.Route{
			{Family: rpdb.IPv4, Table: 254, Dst: prefix("0.0.0.0/0"), Metric: 1},
			{Family: rpdb.IPv6, Table: 254, Dst: prefix("::/0")},
			{Family: rpdb.IPv4, Table: 1001, Dst: prefix("0.0.0.0/0")},
			{Family: rpdb.IPv4, Table: 254, Dst: prefix("0.0.0.0/0"), Metric: 2},
		},
		Links: []rpdb.Link{
			{Index: 1, Name: "lo", Flags: rpdb.LinkUp | rpdb.LinkLoopback},
			{Index: 2, Name: "eth0", Flags: rpdb.LinkUp | rpdb.LinkLowerUp},
			{Index: 5, Name: "eth1"},
		},
		Addresses: []rpdb.Address{
			{Link: 2, Prefix: prefix("192.0.2.10/24")},
			{Link: 2, Prefix: prefix("2001:db8::10/64"), Flags: rpdb.AddressTentative},
			{Link: 5, Prefix: prefix("198.51.100.10/24")},
			{Link: 2, Prefix: prefix("192.0.2.11/24"), Flags: rpdb.AddressSecondary},
		},
		Sysctls: rpdb.Sysctls{
			All:   rpdb.LinkSysctls{RPFilter: 1},
			Links: map[rpdb.LinkName]rpdb.LinkSysctls{"eth0": {RPFilter: 2}, "eth1": {}},
		},
	}
}

func TestSnapshotLinks(t *testing.T) {
	s := host()
	for _, l := range s.Links {
		if got, ok := s.Link(l.Index); !ok || got != l {
			t.Errorf("link %d: %v, %v", l.Index, got, ok)
		}
		if got, ok := s.LinkByName(l.Name); !ok || got != l {
			t.Errorf("link %q: %v, %v", l.Name, got, ok)
		}
		if got := s.LinkName(l.Index); got != l.Name {
			t.Errorf("link %d is called %q", l.Index, got)
		}
	}
	if l, ok := s.Link(0); ok || l != (rpdb.Link{}) {
		t.Errorf("link 0: %v", l)
	}
	if l, ok := s.LinkByName("eth2"); ok || l != (rpdb.Link{}) {
		t.Errorf("link eth2: %v", l)
	}
	if got := s.LinkName(4); got != "" {
		t.Errorf("link 4 is called %q", got)
	}
}

func TestSnapshotParts(t *testing.T) {
	s := host()
	if got := s.RulesOf(rpdb.IPv6); !slices.Equal(got, rpdb.DefaultRules(rpdb.IPv6)) {
		t.Errorf("IPv6 rules: %v", got)
	}
	var metrics []uint32
	for _, r := range s.Table(rpdb.IPv4, 254) {
		metrics = append(metrics, r.Metric)
	}
	if !slices.Equal(metrics, []uint32{1, 2}) {
		t.Errorf("metrics of table main in order: %v", metrics)
	}
	if got := s.Table(rpdb.IPv6, 1001); len(got) != 0 {
		t.Errorf("the families share table 1001: %v", got)
	}
	if got := s.AddressesOf(rpdb.IPv4, 2); !slices.Equal(got, []rpdb.Address{s.Addresses[0], s.Addresses[3]}) {
		t.Errorf("IPv4 addresses of eth0: %v", got)
	}
	if got := s.AddressesOf(rpdb.IPv6, 5); len(got) != 0 {
		t.Errorf("IPv6 addresses of eth1: %v", got)
	}
	if empty := new(rpdb.Snapshot); empty.RulesOf(rpdb.IPv4) != nil || empty.Table(rpdb.IPv4, 254) != nil || empty.AddressesOf(rpdb.IPv4, 1) != nil {
		t.Error("the zero Snapshot holds something")
	}
}

// TestRPFilter: the larger of conf.all and conf.NAME is in force.
func TestRPFilter(t *testing.T) {
	s := host().Sysctls
	for name, want := range map[rpdb.LinkName]uint8{"eth0": 2, "eth1": 1, "no such": 1} {
		if got := s.RPFilter(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	s.All.RPFilter = 0
	if got := s.RPFilter("eth1"); got != 0 {
		t.Errorf("eth1: %d, want 0", got)
	}
}

func TestLinkFlags(t *testing.T) {
	for flags, want := range map[rpdb.LinkFlags][3]bool{
		0:                                        {false, false, false},
		rpdb.LinkUp:                              {true, false, false},
		rpdb.LinkLowerUp:                         {false, false, false}, // carrier counts only while up
		rpdb.LinkUp | rpdb.LinkLowerUp:           {true, true, false},
		rpdb.LinkUp | rpdb.LinkLoopback:          {true, false, true},
		rpdb.LinkRunning | rpdb.LinkNoARP | 0x40: {false, false, false},
	} {
		l := rpdb.Link{Flags: flags}
		if got := [3]bool{l.IsUp(), l.HasCarrier(), l.IsLoopback()}; got != want {
			t.Errorf("%#x: up, carrier, loopback %v, want %v", uint32(flags), got, want)
		}
	}
}

func TestAddressUsable(t *testing.T) {
	for flags, want := range map[rpdb.AddressFlags]bool{
		0: true, rpdb.AddressPermanent: true, rpdb.AddressSecondary: true, rpdb.AddressDeprecated: true, rpdb.AddressNoDAD: true,
		rpdb.AddressTentative: false, rpdb.AddressTentative | rpdb.AddressPermanent: false, rpdb.AddressDADFailed: false,
	} {
		if got := (rpdb.Address{Flags: flags}).Usable(); got != want {
			t.Errorf("%#x: %v", uint32(flags), got)
		}
	}
}

func TestNeighbourValid(t *testing.T) {
	for state, want := range map[rpdb.NeighbourState]bool{
		0: false, rpdb.NeighbourIncomplete: false, rpdb.NeighbourFailed: false,
		rpdb.NeighbourReachable: true, rpdb.NeighbourStale: true, rpdb.NeighbourDelay: true,
		rpdb.NeighbourProbe: true, rpdb.NeighbourNoARP: true, rpdb.NeighbourPermanent: true,
	} {
		if got := state.Valid(); got != want {
			t.Errorf("%#x: %v", uint16(state), got)
		}
	}
}

// TestChange: a change owns its value.
func TestChange(t *testing.T) {
	rule, route := rpdb.Rule{Family: rpdb.IPv4, Priority: 5}, viaGateway()
	a, b := rpdb.RuleChange(rpdb.Add, rule), rpdb.RouteChange(rpdb.Replace, route)
	rule.Priority, route.Table = 6, 7
	if a.Op != rpdb.Add || a.Route != nil || a.Rule.Priority != 5 {
		t.Errorf("%+v", a)
	}
	if b.Op != rpdb.Replace || b.Rule != nil || b.Route.Table != 1001 {
		t.Errorf("%+v", b)
	}
}
