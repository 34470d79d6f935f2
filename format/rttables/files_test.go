package rttables_test

import (
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/rttables"
)

func TestNamesStandBesideOtherFiles(t *testing.T) {
	names, rest, err := rttables.Beside([]format.File{
		{Path: "/etc/iproute2/rt_tables", Text: "1 rt2\n"},
		{Path: "/etc/network/interfaces", Text: "auto lo\n"},
		{Path: "/etc/iproute2/rt_tables.d/isp.conf", Text: "101 isp-a\n"},
		{Path: "/etc/iproute2/rt_tables.d/README", Text: "not read\n"},
	})
	if err != nil || len(rest) != 2 || names.Tables[1] != "rt2" || names.Tables[101] != "isp-a" || len(names.Tables) != 2 {
		t.Errorf("names %v, rest %v, error %v", names.Tables, rest, err)
	}
	_, _, err = rttables.Beside([]format.File{{Path: "rt_tables", Text: "1 rt2\nx y\n"}})
	if want := `rt_tables:2: table name "x y": not a number and a name`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestCompanionNamesWhatIsUsed(t *testing.T) {
	s := &rpdb.Snapshot{
		Rules:  []rpdb.Rule{{Action: rpdb.ToTable(1001)}, {Action: rpdb.ToTable(rpdb.TableMain)}, {Action: rpdb.ToTable(7)}},
		Routes: []rpdb.Route{{Table: 101}},
	}
	names := rpdb.Names{Tables: map[rpdb.TableID]string{1001: "isp-b", 101: "isp-a", 7: "two words", 8: "unused"}}
	f, ok := rttables.Companion(s, names)
	if want := "101\tisp-a\n1001\tisp-b\n"; !ok || f.Text != want {
		t.Errorf("got %q, want %q", f.Text, want)
	}
	if back, _, err := rttables.Beside([]format.File{f}); err != nil || len(back.Tables) != 2 {
		t.Errorf("read back: %v, error %v", back.Tables, err)
	}
	if _, ok := rttables.Companion(s, rpdb.Names{}); ok {
		t.Error("a file without names")
	}
}
