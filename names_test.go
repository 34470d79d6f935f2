package rpdb_test

import (
	"testing"

	"rpdb"
)

// files are names as an administrator's files would give them: one table
// renamed, one name for two tables, one that looks like a number.
func files() rpdb.Names {
	return rpdb.Names{
		Tables:    map[rpdb.TableID]string{254: "principal", 1001: "isp-a", 1003: "isp", 1002: "isp", 7: "42"},
		Protocols: map[rpdb.Protocol]string{82: "rpdb", 4: "manual"},
		Realms:    map[uint16]string{10: "customers"},
		Groups:    map[uint32]string{3: "wan"},
		Scopes:    map[rpdb.Scope]string{77: "town", 200: "campus"},
	}
}

func TestNumbersToNames(t *testing.T) {
	n, none := files(), rpdb.Names{}
	for _, c := range []struct{ got, want string }{
		{none.Table(254), "main"},
		{none.Table(255), "local"},
		{none.Table(253), "default"},
		{none.Table(0), "0"}, // "unspec" stands only in the file
		{none.Table(4294967295), "4294967295"},
		{n.Table(254), "principal"},
		{n.Table(1001), "isp-a"},
		{n.Table(255), "local"},
		{none.Protocol(0), "unspec"},
		{none.Protocol(2), "kernel"},
		{none.Protocol(17), "17"},
		{none.Protocol(82), "82"},
		{n.Protocol(82), "rpdb"},
		{n.Protocol(4), "manual"},
		{none.Realm(10), "10"},
		{n.Realm(10), "customers"},
		{none.Scope(0), "global"},
		{none.Scope(77), "77"},
		{n.Scope(77), "town"},
		{n.Scope(200), "campus"},
		{none.Group(0), "default"},
		{none.Group(3), "3"},
		{n.Group(3), "wan"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// Listings ask for the name of every rule and route.
func TestNamesAllocateNothing(t *testing.T) {
	n, none := files(), rpdb.Names{}
	for name, f := range map[string]func() string{
		"table":          func() string { return none.Table(rpdb.TableMain) },
		"named table":    func() string { return n.Table(1001) },
		"protocol":       func() string { return none.Protocol(rpdb.ProtocolKernel) },
		"named protocol": func() string { return n.Protocol(82) },
	} {
		if allocs := testing.AllocsPerRun(100, func() { _ = f() }); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

// lookup is one of the functions from names to numbers.
func lookup[T ~uint8 | ~uint16 | ~uint32](t *testing.T, find func(string) (T, bool), want map[string]T, unknown ...string) {
	t.Helper()
	for name, number := range want {
		if got, ok := find(name); !ok || got != number {
			t.Errorf("%q is %d, %v, want %d", name, got, ok, number)
		}
	}
	for _, name := range unknown {
		if got, ok := find(name); ok {
			t.Errorf("%q is %d", name, got)
		}
	}
}

func TestNamesToNumbers(t *testing.T) {
	n, none := files(), rpdb.Names{}
	notNumbers := []string{"", "-1", "+1", " 1", "1_000", "0b1", "0o7", "08", "0x", "1e3", "4294967296", "18446744073709551616", "Main", "unspec"}
	lookup(t, none.TableByName, map[string]rpdb.TableID{
		"main": 254, "local": 255, "default": 253, "0": 0, "1001": 1001, "0x10": 16, "0XfF": 255, "010": 8, "4294967295": 4294967295,
	}, append(notNumbers, "isp-a")...)
	lookup(t, n.TableByName, map[string]rpdb.TableID{
		"isp-a": 1001, "principal": 254,
		"main": 254,  // the built-in name goes on working beside the file's
		"isp":  1002, // of two, the smaller
		"42":   7,    // a name comes before a number
	}, notNumbers...)
	lookup(t, none.ProtocolByName, map[string]rpdb.Protocol{"kernel": 2, "dhcp": 16, "babel": 42, "255": 255}, "256", "rpdb", "")
	lookup(t, n.ProtocolByName, map[string]rpdb.Protocol{"rpdb": 82, "manual": 4, "static": 4})
	lookup(t, none.RealmByName, map[string]uint16{"10": 10, "65535": 65535}, "65536", "customers")
	lookup(t, n.RealmByName, map[string]uint16{"customers": 10})
	lookup(t, none.GroupByName, map[string]uint32{"default": 0, "3": 3}, "wan")
	lookup(t, n.GroupByName, map[string]uint32{"wan": 3, "default": 0})
}

// TestNamesReadBack: what a number is called, calls that number, unless the
// files use one name twice or call a table by another's number.
func TestNamesReadBack(t *testing.T) {
	n := rpdb.Names{Tables: map[rpdb.TableID]string{1001: "isp-a"}, Protocols: map[rpdb.Protocol]string{82: "rpdb"}}
	eachRound(t, func(t *testing.T, g generator) {
		table, protocol := rpdb.TableID(g.number(32)), rpdb.Protocol(g.number(8))
		if back, ok := n.TableByName(n.Table(table)); !ok || back != table {
			t.Errorf("table %d is called %q, which is %d", table, n.Table(table), back)
		}
		if back, ok := n.ProtocolByName(n.Protocol(protocol)); !ok || back != protocol {
			t.Errorf("protocol %d is called %q, which is %d", protocol, n.Protocol(protocol), back)
		}
	})
}
