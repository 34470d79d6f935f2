package rttables_test

import (
	"errors"
	"maps"
	"testing"

	"rpdb"
	"rpdb/format/rttables"
)

func TestParse(t *testing.T) {
	var n rpdb.Names
	files := []struct {
		kind rttables.Kind
		data string
	}{
		{rttables.Tables, "#\n# reserved values\n#\n255\tlocal\n254\tmain\n253\tdefault\n0\tunspec\n\n  100 isp-a trailing words # too\r\n0x12C vpn"},
		{rttables.Tables, "100 uplink\n"},
		{rttables.Protocols, "82 rpdb\n256 large\n"},
		{rttables.Realms, "1 office\n0 cosmos\n65536 large"},
		{rttables.DSFields, "0x0\tdefault\n0xB8\tEF\n0x28\tAF11\n"},
		{rttables.Groups, "0 default\n010 ten\n4294967295 last\n4294967296 large\n"},
	}
	for _, f := range files {
		if err := rttables.Parse(&n, f.kind, f.kind.File(), []byte(f.data)); err != nil {
			t.Errorf("%s: %v", f.kind.File(), err)
		}
	}
	check(t, "tables", n.Tables, map[rpdb.TableID]string{255: "local", 254: "main", 253: "default", 0: "unspec", 100: "uplink", 300: "vpn"})
	check(t, "protocols", n.Protocols, map[rpdb.Protocol]string{82: "rpdb"})
	check(t, "realms", n.Realms, map[uint16]string{0: "cosmos", 1: "office"})
	check(t, "dsfields", n.DSFields, map[uint8]string{0: "default", 0xb8: "EF", 0x28: "AF11"})
	check(t, "groups", n.Groups, map[uint32]string{0: "default", 10: "ten", 4294967295: "last"})
}

func check[K comparable](t *testing.T, kind string, got, want map[K]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s = %v, want %v", kind, got, want)
	}
}

// The rest of a file is dropped at a bad line, as iproute2 does.
func TestParseBadLine(t *testing.T) {
	for _, bad := range []string{"x main", "12", "0x", "0xg a", "-1 a", "1 #", "1main"} {
		var n rpdb.Names
		err := rttables.Parse(&n, rttables.Tables, "etc/rt_tables", []byte("7 a\n\n"+bad+"\n8 b\n"))
		var line *rttables.LineError
		if !errors.As(err, &line) || line.Line != 3 || line.Source != "etc/rt_tables" || line.Text != bad {
			t.Errorf("%q: error %v", bad, err)
		}
		check(t, bad, n.Tables, map[rpdb.TableID]string{7: "a"})
	}
}

func TestFilesAndDirectories(t *testing.T) {
	for _, k := range rttables.Kinds() {
		if k.File() == "" {
			t.Errorf("kind %d has no file", k)
		}
	}
	if rttables.Kind(0).File() != "" || rttables.Realms.Directory() != "" || rttables.Protocols.Directory() != "rt_protos.d" {
		t.Error("wrong directory")
	}
	for name, want := range map[string]bool{"a.conf": true, ".conf": false, ".a.conf": false, "a.conf~": false, "a": false} {
		if rttables.Counts(name) != want {
			t.Errorf("Counts(%q) = %v", name, !want)
		}
	}
}

// A line always ends in an entry, a skip or a LineError, never in a panic.
func FuzzParse(f *testing.F) {
	f.Add("0x12 a\n# b\n12 c d")
	f.Fuzz(func(t *testing.T, data string) {
		for _, k := range rttables.Kinds() {
			var n rpdb.Names
			if err := rttables.Parse(&n, k, "f", []byte(data)); err != nil && !errors.As(err, new(*rttables.LineError)) {
				t.Error(err)
			}
		}
	})
}
