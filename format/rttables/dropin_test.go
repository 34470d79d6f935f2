package rttables_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/rttables"
)

const (
	own   = "/etc/iproute2/rt_tables.d/rpdb.conf"
	other = "/etc/iproute2/rt_tables"
)

// dropIn is our file beside one of others.
func dropIn(t testing.TB, text, others string) rttables.DropIn {
	t.Helper()
	all, err := rttables.Entries(rttables.Tables, other, []byte(others))
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := rttables.Entries(rttables.Tables, own, []byte(text)) // what can be read counts
	return rttables.DropIn{Source: own, Text: []byte(text), All: append(all, mine...)}
}

func TestEntries(t *testing.T) {
	got, err := rttables.Entries(rttables.Tables, "f", []byte("# c\n7 a\n7 b\n\n0x10 a\nbad\n8 c\n"))
	want := []rttables.Entry{{7, "a", "f", 2}, {7, "b", "f", 3}, {16, "a", "f", 5}}
	if !slices.Equal(got, want) || err == nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestName(t *testing.T) {
	const others = "254 main\n100 office\n"
	for _, tt := range []struct {
		text  string
		table rpdb.TableID
		name  string
		want  string // "" for the text as it is
	}{
		{"", 101, "isp-a", "101\tisp-a\n"},
		{"# ours\n101 isp-a\n", 102, "isp-b", "# ours\n101 isp-a\n102\tisp-b\n"},
		{"# no newline", 102, "isp-b", "# no newline\n102\tisp-b\n"},
		{"101 isp-a\n", 101, "isp-a", ""},
		{"# ours", 100, "office", ""}, // as the other file has it
		{"", math.MaxInt32, "last", "2147483647\tlast\n"},
		{"", 1, "4g-uplink", "1\t4g-uplink\n"},
		{"", 1, "beef", "1\tbeef\n"},
		{"", 1, strings.Repeat("n", 508), "1\t" + strings.Repeat("n", 508) + "\n"},
	} {
		got, err := dropIn(t, tt.text, others).Name(tt.table, tt.name)
		if want := tt.want; err != nil || want != "" && string(got) != want || want == "" && string(got) != tt.text {
			t.Errorf("%q: name %d %q: %q, %v", tt.text, tt.table, tt.name, got, err)
		}
	}
}

func TestNameRefuses(t *testing.T) {
	for _, tt := range []struct {
		text  string
		table rpdb.TableID
		name  string
		why   string
	}{
		{"", 0, "a", "0 stands for no table"},
		{"", 253, "a", "table 253 is default"},
		{"", 254, "a", "table 254 is main"},
		{"", 255, "local", "table 255 is local"},
		{"", 1 << 31, "a", "skips numbers above 2147483647"},
		{"", math.MaxUint32, "a", "skips numbers above 2147483647"},
		{"", 1, "", "the name is empty"},
		{"", 1, "a b", "has no ' ' in it"},
		{"", 1, "a\tb", `has no '\t' in it`},
		{"", 1, "a\x1bb", `has no '\x1b' in it`},
		{"", 1, "#a", "has no '#' in it"},
		{"", 1, "a'", `has no '\'' in it`},
		{"", 1, "\u00fcber", "in it"},
		{"", 1, "a\xff", "in it"},
		{"", 1, "-n", "looks like an option"},
		{"", 1, "12", "looks like a number"},
		{"", 1, "012", "looks like a number"},
		{"", 1, "0x1F", "looks like a number"},
		{"", 1, "0x", "looks like a number"},
		{"", 1, "+7", "looks like a number"},
		{"", 1, "all", "means something else"},
		{"", 1, "cache", "means something else"},
		{"", 1, "unspec", "means something else"},
		{"", 1, "main", "means something else"},
		{"", 1, "local", "means something else"},
		{"", 1, "default", "means something else"},
		{"", 1, "help", "means something else"},
		{"", 1, strings.Repeat("n", 509), "the line would have 512 bytes, and iproute2 reads 511"},
		{"", 1, "office", other + ":2 gives this name to table 100"},
		{"# c\n7 lab\n", 1, "lab", own + ":2 gives this name to table 7"},
		{"", 100, "isp", other + `:2 names it "office"`},
		{"7 lab\n", 7, "isp", own + `:1 names it "lab"`},
		{"7 lab\nbroken\n", 8, "isp", "it would not be read: " + own + ":2: not a number and a name"},
	} {
		_, err := dropIn(t, tt.text, "254 main\n100 office\n").Name(tt.table, tt.name)
		var refused *rttables.NameError
		if !errors.As(err, &refused) || !strings.Contains(refused.Reason, tt.why) || !strings.HasPrefix(err.Error(), "name table ") {
			t.Errorf("%q: name %d %q: %v, want %q", tt.text, tt.table, tt.name, err, tt.why)
		}
		if wantClash := strings.HasPrefix(tt.why, "/"); refused != nil && wantClash != (refused.Clash != rttables.Entry{}) {
			t.Errorf("name %d %q: clash %v", tt.table, tt.name, refused.Clash)
		}
	}
}

func TestUnname(t *testing.T) {
	const text = "# uplinks\n101 isp-a # the first\n0x66 isp-b\n# names that are odd\n7 9\n9 nine\n7 seven\n8 office"
	for word, gone := range map[string][]string{
		"isp-a":  {"101 isp-a # the first\n"},
		"101":    {"101 isp-a # the first\n"},
		"102":    {"0x66 isp-b\n"},
		"0x66":   {"0x66 isp-b\n"},
		"9":      {"7 9\n"}, // a name first
		"7":      {"7 9\n", "7 seven\n"},
		"office": {"8 office"}, // though another file has it too
		"8":      {"8 office"},
	} {
		want := text
		for _, line := range gone {
			want = strings.Replace(want, line, "", 1)
		}
		got, err := dropIn(t, text, "100 office\n").Unname(word)
		if err != nil || string(got) != want {
			t.Errorf("unname %q: %q, %v", word, got, err)
		}
	}
}

func TestUnnameRefuses(t *testing.T) {
	for word, want := range map[string]string{
		"office": "unname table 100: " + other + ":2 gives its name, \"office\", and this edits " + own + " alone",
		"100":    "unname table 100: " + other + ":2 gives its name, \"office\", and this edits " + own + " alone",
		"main":   "unname table 254: its name, main, is built in",
		"253":    "unname table 253: its name, default, is built in",
		"4711":   `unname table "4711": no file has this name`,
		"nosuch": `unname table "nosuch": no file has this name`,
		"":       `unname table "": no file has this name`,
	} {
		_, err := dropIn(t, "101 isp-a\n", "# c\n100 office\n").Unname(word)
		if err == nil || err.Error() != want {
			t.Errorf("unname %q: %v, want %s", word, err, want)
		}
	}
}

func TestParseNumber(t *testing.T) {
	for word, want := range map[string]rpdb.TableID{"0": 0, "1": 1, "254": 254, "0x10": 16, "0Xff": 255, "4294967295": math.MaxUint32} {
		if got, err := rttables.ParseNumber(word); got != want || err != nil {
			t.Errorf("%q: %d, %v", word, got, err)
		}
	}
	for word, want := range map[string]string{
		"": "not a number", "a": "not a number", "0x": "not a number", "-1": "not a number", "+1": "not a number",
		" 1": "not a number", "1_000": "not a number", "0b1": "zero in front", "1.5": "not a number",
		"010": "octal for ip, decimal in its files", "00": "octal",
		"4294967296": "up to 4294967295", "99999999999999999999": "up to 4294967295", "0x100000000": "up to 4294967295",
	} {
		if n, err := rttables.ParseNumber(word); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %d, %v, want %q", word, n, err, want)
		}
	}
}

// names lists what a text names, without the lines.
func names(text []byte) []rttables.Entry {
	list, _ := rttables.Entries(rttables.Tables, own, text)
	for i := range list {
		list[i].Line = 0
	}
	return list
}

// FuzzDropIn: a name that was taken is read back behind what was there, and
// goes again without a trace; and whichever name goes, all others stay.
func FuzzDropIn(f *testing.F) {
	f.Add("# c\n7 lab\n", uint32(8), "isp")
	f.Add("#"+strings.Repeat("c", 510)+"7 lab\n8 b", uint32(9), "isp")
	f.Add("7 a"+strings.Repeat(" ", 508)+"8 b\nbad\n9 c\n", uint32(9), "isp")
	f.Fuzz(func(t *testing.T, text string, id uint32, name string) {
		d := dropIn(t, text, "")
		old := names(d.Text)
		if named, err := d.Name(rpdb.TableID(id), name); err == nil && string(named) != text {
			if got := names(named); !slices.Equal(got, append(slices.Clone(old), rttables.Entry{ID: id, Name: name, Source: own})) {
				t.Fatalf("named: %v", got)
			}
			back, err := dropIn(t, string(named), "").Unname(name)
			if err != nil || strings.TrimSuffix(string(back), "\n") != strings.TrimSuffix(text, "\n") {
				t.Fatalf("named and unnamed: %q, %v", back, err)
			}
		}
		for _, e := range old {
			less, err := d.Unname(e.Name)
			if err != nil {
				t.Fatalf("unname %q: %v", e.Name, err)
			}
			want := slices.DeleteFunc(slices.Clone(old), func(o rttables.Entry) bool { return o.Name == e.Name })
			if got := names(less); !slices.Equal(got, want) {
				t.Fatalf("without %q: %v, want %v", e.Name, got, want)
			}
		}
	})
}
