package rttables_test

import (
	"errors"
	"maps"
	"strings"
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
		{rttables.Realms, "1 office\n0 cosmos\n256 large"},
		{rttables.DSFields, "0x0\tdefault\n0xB8\tEF\n0x28\tAF11\n"},
		{rttables.Groups, "0 default\n010 ten\n2147483648 large\n-1 negative\n0x7fffffff last\n"},
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
	check(t, "groups", n.Groups, map[uint32]string{0: "default", 10: "ten", 2147483647: "last"})
}

func check[K comparable](t *testing.T, kind string, got, want map[K]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s = %v, want %v", kind, got, want)
	}
}

// The rest of a file is dropped at a bad line, as iproute2 does.
func TestParseBadLine(t *testing.T) {
	for _, bad := range []string{"x main", "12", "--1 a", "\r", "bad line", "12  "} {
		var n rpdb.Names
		err := rttables.Parse(&n, rttables.Tables, "etc/rt_tables", []byte("7 a\n\n"+bad+"\n8 b\n"))
		var line *rttables.LineError
		if !errors.As(err, &line) || line.Line != 3 || line.Source != "etc/rt_tables" || line.Text != bad {
			t.Errorf("%q: error %v", bad, err)
		}
		check(t, bad, n.Tables, map[rpdb.TableID]string{7: "a"})
	}
}

// What iproute2 makes of odd lines, as observed with rt_tables.
func TestParseOddLines(t *testing.T) {
	for line, want := range map[string]map[rpdb.TableID]string{
		"12abc def":                         {12: "abc"},
		"0xzz a":                            {0: "xzz"},
		"8 #x":                              {8: "#x"},
		"+5 y":                              {5: "y"},
		"010 ten":                           {10: "ten"},
		"4294967396 wrapped":                {100: "wrapped"},
		"0x100000005 wrapped":               {5: "wrapped"},
		"2147483648 big":                    nil,
		"0x80000001 big":                    nil,
		"99999999999999999999999 big":       nil,
		"-5 negative":                       nil,
		"7 a\x00b":                          {7: "a"},
		"\x00 anything":                     nil,
		"7 " + strings.Repeat("n", 509-2+1): {7: strings.Repeat("n", 508)},
	} {
		var n rpdb.Names
		if err := rttables.Parse(&n, rttables.Tables, "f", []byte(line+"\n")); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		check(t, line, n.Tables, want)
	}
}

func TestCorruptText(t *testing.T) {
	for data, want := range map[string]string{
		"5 x\n  7  \n6 y\n": "Database f is corrupted at 7  \n",
		"bad line":          "Database f is corrupted at bad line",
		"7 " + strings.Repeat("n", 509) + "rest\n8 a": "Database f is corrupted at rest\n",
	} {
		var n rpdb.Names
		var bad *rttables.LineError
		if err := rttables.Parse(&n, rttables.Tables, "f", []byte(data)); !errors.As(err, &bad) || bad.CorruptText() != want {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// Names that several numbers have, and numbers with several names.
func TestDatabase(t *testing.T) {
	var d rttables.Database
	if err := d.Add(rttables.Tables, "a", []byte("254 main\n105 dup\n104 dup\n300 b\n50 b\n512 c\n256 c\n100 one\n100 two\n")); err != nil {
		t.Fatal(err)
	}
	if err := d.Add(rttables.Tables, "b", []byte("254 hauptsache\n6 x\nbad")); err == nil {
		t.Fatal("no error")
	}
	d.AddProtocols([]byte("# c\nip 0 IP\ntcp 6 TCP # c\ntcp 7\nother +6 TCP\nbad x\nlarge 300\n"))
	for _, tt := range []struct {
		file, name string
		want       uint32
		ok         bool
	}{
		{"rt_tables", "dup", 104, true},
		{"rt_tables", "b", 300, true},
		{"rt_tables", "c", 256, true},
		{"rt_tables", "one", 100, true},
		{"rt_tables", "two", 100, true},
		{"rt_tables", "main", 254, true},
		{"rt_tables", "hauptsache", 254, true},
		{"rt_tables", "local", 255, true},
		{"rt_tables", "x", 6, true},
		{"rt_tables", "", 0, false},
		{"rt_tables", "254", 0, false},
		{"rt_tables", "nosuch", 0, false},
		{"rt_protos", "static", 4, true},
		{"rt_protos", "4", 0, false},
		{"group", "default", 0, true},
		{"rt_realms", "unknown", 0, true},
		{"rt_realms", "cosmos", 0, false},
		{"rt_dsfield", "EF", 0, false},
		{"rt_scopes", "link", 253, true},
		{"rt_scopes", "77", 0, false},
		{"protocols", "tcp", 6, true},
		{"protocols", "TCP", 6, true},
		{"protocols", "other", 6, true},
		{"protocols", "large", 300, true},
		{"nosuch", "a", 0, false},
	} {
		if got, ok := d.Number(tt.file, tt.name); got != tt.want || ok != tt.ok {
			t.Errorf("Number(%s, %q) = %d, %v", tt.file, tt.name, got, ok)
		}
	}
	if got := d.IPProto(6) + d.IPProto(0) + d.IPProto(7) + d.IPProto(9); got != "tcpiptcp" {
		t.Errorf("protocols %q", got)
	}
	check(t, "tables", d.Names().Tables, map[rpdb.TableID]string{
		254: "hauptsache", 105: "dup", 104: "dup", 300: "b", 50: "b", 512: "c", 256: "c", 100: "two", 6: "x",
	})
}

// Names that are built in, and files that say otherwise.
func TestDatabaseAndBuiltins(t *testing.T) {
	var d rttables.Database
	for k, data := range map[rttables.Kind]string{
		rttables.Tables:    "255 main\n510 local\n100 default\n",
		rttables.Groups:    "12 default\n12 lan\n256 other\n",
		rttables.Protocols: "12 first\n12 last\n183 first\n9 static\n77 unspec\n4 fixed\n",
		rttables.Realms:    "7 two\n5 two\n9 unknown\n",
		rttables.DSFields:  "0x20 a\n0x20 b\n0x10 b\n",
	} {
		if err := d.Add(k, "f", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		file, name string
		want       uint32
		ok         bool
	}{
		{"rt_tables", "main", 254, true},  // before 255
		{"rt_tables", "local", 510, true}, // before 255, and as large as 254 but read later
		{"rt_tables", "default", 100, true},
		{"group", "default", 0, true},
		{"group", "lan", 12, true},
		{"rt_protos", "first", 183, true},
		{"rt_protos", "last", 12, true},
		{"rt_protos", "bird", 0, false},
		{"rt_protos", "static", 9, true},
		{"rt_protos", "unspec", 0, true},
		{"rt_realms", "two", 5, true},
		{"rt_realms", "unknown", 0, true},
		{"rt_dsfield", "a", 0, false},
		{"rt_dsfield", "b", 0x10, true},
	} {
		if got, ok := d.Number(tt.file, tt.name); got != tt.want || ok != tt.ok {
			t.Errorf("Number(%s, %q) = %d, %v, want %d, %v", tt.file, tt.name, got, ok, tt.want, tt.ok)
		}
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

// A line always ends in an entry, a skip or a LineError, never in a panic, and
// every name that listings show can be typed.
func FuzzNames(f *testing.F) {
	f.Add("0x12 a\n# b\n12 c d")
	f.Fuzz(func(t *testing.T, data string) {
		for _, k := range rttables.Kinds() {
			var n rpdb.Names
			if err := rttables.Parse(&n, k, "f", []byte(data)); err != nil && !errors.As(err, new(*rttables.LineError)) {
				t.Error(err)
			}
			var d rttables.Database
			_ = d.Add(k, "f", []byte(data)) // the same error
			for id, name := range n.Tables {
				got, ok := d.Number("rt_tables", name)
				if !ok || (rpdb.TableID(got) != id && got%256 > uint32(id)%256) {
					t.Errorf("%q of %d is read as %d, %v", name, id, got, ok)
				}
			}
			d.AddProtocols([]byte(data))
		}
	})
}
