package iproute2_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// listedRoutes are the routes that the filters below select from, each with a
// letter. What ip 7.2 listed of them on a host is the expectation.
var listedRoutes = []string{
	"a default via 192.0.2.254 dev v0",
	"b 10.0.0.0/8 via 192.0.2.9 dev v0 proto static metric 5 src 192.0.2.1",
	"c 10.1.0.0/16 dev w0 tos 0x10 metric 7",
	"d 10.1.2.0/24 nexthop via 192.0.2.3 dev v0 nexthop via 198.51.100.3 dev w0 weight 3",
	"e 10.1.2.3 via inet6 fe80::9 dev v0",
	"f blackhole 10.9.0.0/16 proto 99",
	"g unreachable 10.10.0.0/16 scope 77",
	"h local 10.11.0.1 dev v0 table main",
	"i broadcast 10.11.0.2 dev v0 table main",
	"j throw 10.12.0.0/16 table 500",
	"k default via 198.51.100.254 dev w0 table 500 realms 3/4",
	"l 10.13.0.0/16 via 192.0.2.7 dev v0 realms 5",
	"A ::/0 via 2001:db8::fe dev v0 metric 1024",
	"B 2001:db8:5::/48 via fe80::5 dev v0 metric 5 pref high proto static",
	"C 2001:db8:6::/48 from 2001:db8::/64 dev w0 metric 1024",
	"D 2001:db8:7::/48 metric 1024 nexthop via fe80::5 dev v0 nexthop via fe80::6 dev w0",
	"E local 2001:db8:8::1 dev v0 table main metric 1024",
	"F unreachable ::/0 metric 4294967295 dev lo",
	"G blackhole 2001:db8:9::/48 table 500 metric 1024 dev lo",
	"H local 2001:db8::1 dev v0 proto kernel metric 0",
}

// selectedRoutes returns the letters of the routes that a filter selects of
// those that the kernel would list.
func selectedRoutes(t *testing.T, f iproute2.RouteFilter) string {
	t.Helper()
	list := ""
	for _, line := range listedRoutes {
		letter, words, _ := strings.Cut(line, " ")
		e := iproute2.RouteEntry{Route: mustRoute(t, 0, words)}
		if (f.Family() == 0 || f.Family() == e.Family) && f.Match(e) {
			list += letter
		}
	}
	return list
}

func parseFilter(t *testing.T, option rpdb.Family, verb iproute2.RouteVerb, typed string) iproute2.RouteFilter {
	t.Helper()
	c := context()
	c.Family = option
	f, err := c.ParseRouteFilter(verb, strings.Fields(typed))
	if err != nil {
		t.Fatalf("%q: %v", typed, err)
	}
	return f
}

// What list selects, without a family option, with -4 and with -6.
func TestRouteFilters(t *testing.T) {
	const main = "abcdefghil"
	for typed, want := range map[string][3]string{
		"":                         {main, main, "ABCDF"},
		"default":                  {"a", "a", "AF"},
		"all":                      {main, "a", "AF"},
		"0/0":                      {"a", "a", ""},
		"root all":                 {main, main, "ABCDF"},
		"root default":             {main, main, "ABCDF"},
		"match default":            {"a", "a", "AF"},
		"match 10.1.2.3":           {"abcde", "abcde", ""},
		"root 10.1.0.0/16":         {"cde", "cde", ""},
		"exact 10.1.0.0/16":        {"c", "c", ""},
		"10.1.0.0/16":              {"c", "c", ""},
		"to e 10.1.9.9/16":         {"c", "c", ""},
		"root 10/8 match 10.1/16":  {"bc", "bc", ""},
		"table all default":        {"akAF", "ak", "AF"},
		"table all ::/0":           {"AF", "", "AF"},
		"table all from ::/0":      {"ABDEFGH", "", "ABDEFGH"},
		"table all from default":   {"abcdefghijklABDEFGH", "abcdefghijkl", "ABDEFGH"},
		"table all f root all":     {"abcdefghijklABCDEFGH", "abcdefghijkl", "ABCDEFGH"},
		"from root 2001:db8::/32":  {"", "", "C"},
		"from match 2001:db8::/64": {"", "", "ABCDF"},
		"via default":              {main, "abcdfghil", "ABCDF"},
		"via all":                  {main, "abcdfghil", "ABCDF"},
		"via 0/0":                  {"abcdfghil", "abcdfghil", ""},
		"via 192.0.2.0/24":         {"abl", "abl", ""},
		"via 192.0.2.3":            {"", "", ""},
		"via inet6 fe80::9":        {"e", "e", ""},
		"via inet6 ::/0":           {"e", "e", "ABCDF"},
		"via inet6 fe80::/16":      {"e", "e", "B"},
		"vrf default":              {"abcdefgl", "abcdefgl", "ABCDF"},
		"dev v0":                   {"abdehil", "abdehil", "ABD"},
		"dev w0":                   {"cd", "cd", "CD"},
		"type local":               {"h", "h", ""},
		"ty 2":                     {"h", "h", ""},
		"vrf default type local":   {"h", "h", ""},
		"type unicast":             {"abcdel", "abcdel", "ABCD"},
		"realms 5":                 {"l", "l", ""},
		"realms 0":                 {"abcdefghi", "abcdefghi", "ABCDF"},
		"table 500 realms 3/":      {"k", "k", ""},
		"table 500 realms 4":       {"k", "k", ""},
		"table 500 realms 3/4":     {"k", "k", ""},
		"table 500 realms 3/5":     {"", "", ""},
		"src 192.0.2.1":            {"b", "b", ""},
		"src 0/0":                  {main, main, ""},
		"src all":                  {main, main, "ABCDF"},
		"metric 0":                 {"adefghil", "adefghil", ""},
		"m 5":                      {"b", "b", "B"},
		"scope global":             {"abdefl", "abdefl", "ABCDF"},
		"s 77":                     {"g", "g", ""},
		"scope all":                {main, main, "ABCDF"},
		"proto all":                {main, main, "ABCDF"},
		"proto static":             {"b", "b", "B"},
		"tos 0x10":                 {"c", "c", ""},
		"tos 0":                    {"abdefghil", "abdefghil", "ABCDF"},
		"table 500":                {"jk", "jk", "G"},
		"table all type local":     {"hEH", "h", "EH"},
		"table local":              {"", "", "H"},
		"cached":                   {"", "", ""},
		"table cache":              {"", "", ""},
		"iif lo":                   {"", "", ""},
		"mark 0":                   {main, main, "ABCDF"},
		"mark 5":                   {"", "", ""},
		"dev v0 dev w0":            {"cd", "cd", "CD"},
	} {
		for i, option := range []rpdb.Family{0, rpdb.IPv4, rpdb.IPv6} {
			if i == 2 && strings.Contains(typed, ".") && !strings.Contains(typed, "::") || i == 1 && strings.Contains(typed, "::") && !strings.Contains(typed, "inet6") ||
				i == 2 && strings.HasSuffix(typed, "0/0") {
				continue // of the other family: an error
			}
			f := parseFilter(t, option, iproute2.RouteList, typed)
			if got := selectedRoutes(t, f); got != want[i] {
				t.Errorf("%v list %q selects %q, want %q", option, typed, got, want[i])
			}
		}
	}
}

// A filter that finds the members of multipath routes finds more by gateway.
func TestRouteFilterWithMembers(t *testing.T) {
	for typed, want := range map[string]string{
		"dev w0":                  "cd",
		"via 192.0.2.3":           "d",
		"via 198.51.100.3 dev v0": "",
		"via 198.51.100.3 dev w0": "d",
		"via 192.0.2.254":         "a",
		"metric 7":                "c",
	} {
		if got := selectedRoutes(t, parseFilter(t, 0, iproute2.RouteList, typed).WithMembers()); got != want {
			t.Errorf("%q selects %q, want %q", typed, got, want)
		}
	}
}

// Flush leaves alone what stands for no route, and selects cloned routes where
// list does.
func TestRouteFlushFilter(t *testing.T) {
	if got := selectedRoutes(t, parseFilter(t, rpdb.IPv6, iproute2.RouteFlush, "table main")); got != "ABCD" {
		t.Errorf("flush selects %q", got)
	}
	f := parseFilter(t, 0, iproute2.RouteFlush, "cache")
	if !f.Cached() || f.Table() != rpdb.TableMain {
		t.Errorf("flush cache: %+v", f)
	}
	cloned := iproute2.RouteEntry{Route: mustRoute(t, 0, "default dev v0")}
	cloned.RouteDetails.Flags = 0x200
	if !f.Match(cloned) || parseFilter(t, 0, iproute2.RouteFlush, "default").Match(cloned) {
		t.Error("cloned routes")
	}
	marked := iproute2.RouteEntry{Route: mustRoute(t, 0, "default dev v0")}
	marked.Mark, marked.IIF = 5, 1
	if !parseFilter(t, 0, iproute2.RouteList, "mark 5 iif lo").Match(marked) {
		t.Error("mark and iif")
	}
}

// A column that would say what the filter says is left out.
func TestHiddenColumns(t *testing.T) {
	for typed, want := range map[string]iproute2.RouteColumns{
		"":                           iproute2.ColumnTable,
		"table all":                  0,
		"table 0":                    0,
		"dev v0":                     iproute2.ColumnTable | iproute2.ColumnDev,
		"table all proto static":     iproute2.ColumnProtocol,
		"table all proto all":        0,
		"table all scope link":       iproute2.ColumnScope,
		"table all tos 0":            iproute2.ColumnTOS,
		"table all via 192.0.2.1":    iproute2.ColumnVia,
		"table all via 192.0.2.0/24": 0,
		"table all via all":          0,
		"table all src 192.0.2.1":    iproute2.ColumnSrc,
		"table all src ::1/128":      iproute2.ColumnSrc,
		"table all metric 5":         iproute2.ColumnMetric,
		"table all realms 5":         0,
		"table all realms 0/":        0,
		"table all realms 3/4":       iproute2.ColumnRealms,
		"table all type local":       0,
		"table all mark 5":           0,
	} {
		if got := parseFilter(t, 0, iproute2.RouteList, typed).Hidden(); got != want {
			t.Errorf("%q hides %b, want %b", typed, got, want)
		}
	}
}

// What the kernel is asked to filter by.
func TestRouteDump(t *testing.T) {
	for typed, want := range map[string]string{
		"":                              "020000000000000000000000" + attr32(15, u32(254)),
		"table all":                     "000000000000000000000000",
		"table all dev v0 proto static": "000000000004000000000000" + attr32(4, u32(2)),
		"cache table 300":               "0200000000000000" + u32(0x200) + attr32(15, u32(300)),
		"scope link type local tos 5":   "020000000000000000000000" + attr32(15, u32(254)),
	} {
		if got := hex.EncodeToString(parseFilter(t, 0, iproute2.RouteList, typed).Dump()); got != want {
			t.Errorf("%q: %s, want %s", typed, got, want)
		}
	}
	f := parseFilter(t, 28, iproute2.RouteList, "100")
	if got := f.Dump(); got[0] != 28 {
		t.Errorf("MPLS is asked for as %d", got[0])
	}
}

// attr32 writes an attribute of four bytes.
func attr32(typ uint16, value string) string { return u16(8, typ) + value }
