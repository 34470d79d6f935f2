package rpdb_test

import (
	"testing"

	"rpdb"
)

// TestCopyProgram: the program of a nexthop tells the copy, and nothing else that
// looks like one does.
func TestCopyProgram(t *testing.T) {
	plain := rpdb.Nexthop{Via: addr("2001:db8::1"), Link: 3}
	for _, table := range []rpdb.TableID{82500, 82999, 83999, 84999} {
		n := plain.WithCopyProgram(table)
		if got, ok := n.CopyTable(); !ok || got != table {
			t.Errorf("of table %d: %d, %t", table, got, ok)
		}
		if n.EncapType = 0; n.Encap != "" {
			n.Encap = ""
		}
		if n != plain {
			t.Errorf("of table %d it becomes %+v", table, n)
		}
	}
	if n := plain.WithCopyProgram(82499); n != plain {
		t.Errorf("a table that is no copy: %+v", n)
	}
	good := plain.WithCopyProgram(82501)
	for name, change := range map[string]func(*rpdb.Nexthop){
		"nothing":        func(n *rpdb.Nexthop) { *n = plain },
		"another tunnel": func(n *rpdb.Nexthop) { n.EncapType = 2 },
		"no attributes":  func(n *rpdb.Nexthop) { n.Encap = "" },
		"cut short":      func(n *rpdb.Nexthop) { n.Encap = n.Encap[:len(n.Encap)-1] },
		"more behind":    func(n *rpdb.Nexthop) { n.Encap += "\x04\x00\x01\x00" },
		"as it comes in": func(n *rpdb.Nexthop) { n.Encap = n.Encap[:2] + "\x01\x00" + n.Encap[4:] },
		"a zero before":  func(n *rpdb.Nexthop) { n.Encap = n.Encap[:17] + "082501\x00" },
		"no copy":        func(n *rpdb.Nexthop) { n.Encap = n.Encap[:17] + "82499" + n.Encap[22:] },
		"another name":   func(n *rpdb.Nexthop) { n.Encap = n.Encap[:8] + "x" + n.Encap[9:] },
	} {
		n := good
		if change(&n); n == good {
			t.Fatalf("%s changes nothing", name)
		}
		if table, ok := n.CopyTable(); ok {
			t.Errorf("%s is taken for the program of table %d", name, table)
		}
	}
}

// TestMoveCopy: rules and routes of both families take what they are known by
// along into another table, and what is not the table's own stays.
func TestMoveCopy(t *testing.T) {
	hop4, hop6 := rpdb.Nexthop{Via: addr("192.0.2.1")}, rpdb.Nexthop{Via: addr("2001:db8::1")}
	route4 := rpdb.Route{Family: rpdb.IPv4, Dst: prefix("0.0.0.0/0"), Table: 82501, Realms: rpdb.NewRealms(0, 10501), Nexthops: []rpdb.Nexthop{hop4}}
	route6 := rpdb.Route{
		Family: rpdb.IPv6, Dst: prefix("::/0"), Table: 82501,
		Nexthops: []rpdb.Nexthop{hop6.WithCopyProgram(82501), hop6, hop6.WithCopyProgram(82502)},
	}
	before := route6.Nexthops[0]
	moved4, moved6 := route4.MoveCopy(83501), route6.MoveCopy(83501)
	if moved4.Table != 83501 || moved4.Realms != rpdb.NewRealms(0, 11501) || moved4.Nexthops[0] != hop4 {
		t.Errorf("IPv4: %+v", moved4)
	}
	want := []rpdb.Nexthop{hop6.WithCopyProgram(83501), hop6, hop6.WithCopyProgram(82502)}
	for i, n := range moved6.Nexthops {
		if n != want[i] {
			t.Errorf("IPv6: nexthop %d is %+v", i, n)
		}
	}
	if route6.Nexthops[0] != before {
		t.Error("the route that was moved has changed")
	}
}

// TestCopyPriority: every copy has a priority of its own, which stays away from the
// handles that people choose and from those that the kernel does.
func TestCopyPriority(t *testing.T) {
	seen := map[uint32]bool{}
	for table := rpdb.TableID(82500); table <= 84999; table++ {
		value, mask, ok := rpdb.CopyPriority(table)
		if !ok || value&^mask != 0 || value < 0x6000<<16 || value>>16 >= 0xffff || seen[value] {
			t.Fatalf("of table %d: %#x of %#x, %t", table, value, mask, ok)
		}
		seen[value] = true
		if got, ok := rpdb.CopyOfPriority(value | 0xf_ffff); !ok || got != table {
			t.Errorf("%#x is of table %d, %t", value, got, ok)
		}
	}
	for _, table := range []rpdb.TableID{0, 254, 82499, 85000} {
		if value, _, ok := rpdb.CopyPriority(table); ok {
			t.Errorf("of table %d: %#x", table, value)
		}
	}
	for _, p := range []uint32{0, 7, 0x1_0010, 0xffff_ffff, 0x5ff_fffff, 0xfc4_00000} {
		if table, ok := rpdb.CopyOfPriority(p); ok {
			t.Errorf("%#x is of table %d", p, table)
		}
	}
}
