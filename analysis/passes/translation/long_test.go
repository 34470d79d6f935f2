package translation_test

import (
	"net/netip"
	"testing"

	"rpdb"
	"rpdb/analysis"
	"rpdb/analysis/passes/translation"
)

// TestLongCopy: a copy of a long table is compared with it in the time that it takes
// to read both.
func TestLongCopy(t *testing.T) {
	realm, _ := rpdb.RealmOfCopy(84000)
	s := &rpdb.Snapshot{
		Sysctls: rpdb.Sysctls{IPv4Forward: true},
		Rules:   []rpdb.Rule{{Family: rpdb.IPv4, Priority: 500, Action: rpdb.ToTable(84000), Realms: rpdb.NewRealms(0, realm)}},
		NAT:     rpdb.NAT{Translations: []rpdb.Translation{{Family: rpdb.IPv4, Kind: rpdb.TranslateMasquerade, Realm: realm, Rule: 500, CopyOf: 100}}},
	}
	for i := range 50_000 {
		s.Routes = append(s.Routes, rpdb.Route{
			Family: rpdb.IPv4, Table: 100, Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24),
			Type: rpdb.RouteUnicast, Nexthops: []rpdb.Nexthop{{Link: 2}},
		})
	}
	copied, err := s.CopyTable(rpdb.IPv4, 100, 84000)
	if err != nil {
		t.Fatal(err)
	}
	s.Routes = append(s.Routes, copied...)
	found, err := analysis.Run(s, []*analysis.Analyzer{translation.Analyzer()})
	if err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}
