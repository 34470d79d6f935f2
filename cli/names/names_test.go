package names_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpdb"
	"rpdb/cli/names"
	"rpdb/format/rttables"
)

// machine makes files below a root of their own, each from its path and text.
func machine(t *testing.T, files map[string]string) names.Files {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return names.Files{Root: root}
}

func TestPlacesAndPrecedence(t *testing.T) {
	n, err := machine(t, map[string]string{
		"usr/share/iproute2/rt_tables":               "1 hidden-by-etc\n",
		"etc/iproute2/rt_tables":                     "255 local\n1 rt2\n",
		"usr/share/iproute2/rt_tables.d/vendor.conf": "7 vendor\n8 both\n",
		"usr/share/iproute2/rt_tables.d/hidden.conf": "9 hidden\n",
		"etc/iproute2/rt_tables.d/hidden.conf":       "10 shown\n",
		"etc/iproute2/rt_tables.d/z-last.conf":       "8 last\n",
		"etc/iproute2/rt_tables.d/.dot.conf":         "11 dot\n",
		"etc/iproute2/rt_tables.d/readme.txt":        "12 text\n",
		"usr/share/iproute2/rt_protos":               "82 rpdb\n",
		"usr/share/iproute2/rt_realms":               "3 cosmos\n",
		"usr/share/iproute2/rt_dsfield":              "0xb8 EF\n",
		"usr/share/iproute2/group":                   "7 lan\n",
	}).Load()
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

// Kinds that nobody needs are not read, and those that are come in any order.
func TestReader(t *testing.T) {
	r := machine(t, map[string]string{
		"etc/iproute2/rt_tables": "7 seven\n", "etc/iproute2/rt_protos": "82 rpdb\n", "etc/iproute2/group": "3 lan\n",
	}).Reader()
	if !r.Need(rttables.Protocols) || r.Need(rttables.Protocols) {
		t.Error("a kind is read once")
	}
	if n := r.Names(); n.Protocol(82) != "rpdb" || n.Table(7) != "7" || n.Group(3) != "3" {
		t.Errorf("with protocols: %+v", n)
	}
	r.Need(rttables.Tables)
	r.Need(rttables.DSFields)
	if n := r.Names(); n.Protocol(82) != "rpdb" || n.Table(7) != "seven" || n.Group(3) != "3" {
		t.Errorf("with tables: %+v", n)
	}
}

func TestNoFilesIsNoError(t *testing.T) {
	n, err := machine(t, nil).Load()
	if err != nil || n.Table(254) != "main" {
		t.Errorf("%v, main is %q", err, n.Table(254))
	}
}

func TestBadLineKeepsWhatCameBefore(t *testing.T) {
	n, err := machine(t, map[string]string{"etc/iproute2/rt_tables": "1 rt2\nnonsense\n2 rt3\n"}).Load()
	if err == nil || !strings.HasPrefix(err.Error(), "/etc/iproute2/rt_tables:2:") {
		t.Errorf("got %v", err)
	}
	if n.Table(1) != "rt2" || n.Table(2) != "2" {
		t.Errorf("names %v", n.Tables)
	}
}
