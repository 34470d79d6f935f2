package rpdb_test

import (
	"encoding/json"
	"testing"

	"rpdb"
)

// Sets are lists of words in JSON, in the order of their bits.
func TestSetsInJSON(t *testing.T) {
	for want, v := range map[string]any{
		`["routes_ipv6","neighbours"]`: rpdb.PartRoutes6 | rpdb.PartNeighbours,
		`["rp_filter"]`:                rpdb.SettingRPFilter,
		`[]`:                           rpdb.Settings(0),
		`["disable_ipv6","15"]`:        rpdb.SettingDisableIPv6 | 1<<15,
	} {
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("%v: got %s, %v, want %s", v, got, err, want)
		}
	}
	for _, text := range []string{`["rules"]`, `["16"]`, `["-1"]`, `"links"`, `[1]`, `{}`} {
		var p rpdb.Parts
		if err := json.Unmarshal([]byte(text), &p); err == nil || p != 0 {
			t.Errorf("%s: read as %v", text, p)
		}
	}
}

// A table is missing if it is named, or if its family is and nothing of it is
// there.
func TestLacks(t *testing.T) {
	s := &rpdb.Snapshot{
		Missing: rpdb.PartRoutes6, MissingTables: []rpdb.TableRef{{Family: rpdb.IPv4, Table: 7}},
		Routes: []rpdb.Route{{Family: rpdb.IPv6, Table: 8, Dst: prefix("2001:db8::/32")}},
	}
	for ref, want := range map[rpdb.TableRef]bool{
		{Family: rpdb.IPv4, Table: 7}: true, {Family: rpdb.IPv4, Table: 8}: false,
		{Family: rpdb.IPv6, Table: 7}: true, {Family: rpdb.IPv6, Table: 8}: false,
	} {
		if got := s.Lacks(ref.Family, ref.Table); got != want {
			t.Errorf("%+v: %v", ref, got)
		}
	}
}
