package names_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"rpdb"
	"rpdb/cli/names"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestPlacesAndPrecedence(t *testing.T) {
	n, err := names.LoadFS(fstest.MapFS{
		"usr/share/iproute2/rt_tables":               file("1 hidden-by-etc\n"),
		"etc/iproute2/rt_tables":                     file("255 local\n1 rt2\n"),
		"usr/share/iproute2/rt_tables.d/vendor.conf": file("7 vendor\n8 both\n"),
		"usr/share/iproute2/rt_tables.d/hidden.conf": file("9 hidden\n"),
		"etc/iproute2/rt_tables.d/hidden.conf":       file("10 shown\n"),
		"etc/iproute2/rt_tables.d/z-last.conf":       file("8 last\n"),
		"etc/iproute2/rt_tables.d/.dot.conf":         file("11 dot\n"),
		"etc/iproute2/rt_tables.d/readme.txt":        file("12 text\n"),
		"usr/share/iproute2/rt_protos":               file("82 rpdb\n"),
		"usr/share/iproute2/rt_realms":               file("3 cosmos\n"),
		"usr/share/iproute2/rt_dsfield":              file("0xb8 EF\n"),
		"usr/share/iproute2/group":                   file("7 lan\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uint32]string{1: "rt2", 7: "vendor", 8: "last", 9: "9", 10: "shown", 11: "11", 12: "12", 254: "main"} {
		if got := n.Table(rpdb.TableID(id)); got != want {
			t.Errorf("table %d is %q, want %q", id, got, want)
		}
	}
	if n.Protocol(82) != "rpdb" || n.Realm(3) != "cosmos" || n.Group(7) != "lan" || n.DSFields[0xb8] != "EF" {
		t.Errorf("other names: %+v", n)
	}
}

func TestNoFilesIsNoError(t *testing.T) {
	n, err := names.LoadFS(fstest.MapFS{})
	if err != nil || n.Table(254) != "main" {
		t.Errorf("%v, main is %q", err, n.Table(254))
	}
}

func TestBadLineKeepsWhatCameBefore(t *testing.T) {
	n, err := names.LoadFS(fstest.MapFS{"etc/iproute2/rt_tables": file("1 rt2\nnonsense\n2 rt3\n")})
	if err == nil || !strings.HasPrefix(err.Error(), "/etc/iproute2/rt_tables:2:") {
		t.Errorf("got %v", err)
	}
	if n.Table(1) != "rt2" || n.Table(2) != "2" {
		t.Errorf("names %v", n.Tables)
	}
}
