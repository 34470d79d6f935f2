package rpdb_test

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"rpdb"
)

// A rule is a plain value: made in one expression, compared with ==.
func ExampleRule() {
	rule := rpdb.Rule{
		Family:   rpdb.IPv4,
		Priority: 1001,
		Selector: rpdb.Selector{From: netip.MustParsePrefix("192.0.2.10/32")},
		Action:   rpdb.ToTable(1001),
		Protocol: rpdb.ProtocolRPDB,
	}
	form, _ := json.Marshal(rule)
	fmt.Println(rule)
	fmt.Println(rule.Action)
	fmt.Println(string(form))
	// Output:
	// rule 1001 (IPv4)
	// lookup 1001
	// {"family":"inet","priority":1001,"selector":{"from":"192.0.2.10/32"},"action":{"type":"table","table":1001},"protocol":82}
}

// Parsing keeps what was written; Canonical is what the kernel makes of it.
func ExampleRule_Canonical() {
	written := rpdb.Rule{Selector: rpdb.Selector{
		From:  netip.MustParsePrefix("192.0.2.77/24"),
		To:    netip.MustParsePrefix("0.0.0.0/0"),
		DPort: rpdb.PortRange(53, 53),
	}}
	listed := rpdb.Rule{Selector: rpdb.Selector{
		From:  netip.MustParsePrefix("192.0.2.0/24"),
		DPort: rpdb.Port(53),
	}}
	fmt.Println(written == listed, written.Canonical() == listed.Canonical())
	// Output: false true
}

// A rule with the zero Selector applies to every flow; fields for which zero
// is a real value say whether they are there.
func ExampleSome() {
	any := rpdb.Selector{}
	root := rpdb.Selector{UIDRange: rpdb.Some(rpdb.UIDRange{First: 0, Last: 0})}
	fmt.Println(any.UIDRange.IsSet(), root.UIDRange.IsSet(), any == root)
	// Output: false true false
}

// Two routes mean the same if the kernel would list them alike.
func ExampleRoute_Equal() {
	written := rpdb.Route{Family: rpdb.IPv6, Dst: netip.MustParsePrefix("2001:db8::1/64"), Nexthops: []rpdb.Nexthop{{Link: 2}}}
	listed := rpdb.Route{
		Family: rpdb.IPv6, Table: rpdb.TableMain, Dst: netip.MustParsePrefix("2001:db8::/64"), Type: rpdb.RouteUnicast, Metric: 1024,
		Nexthops: []rpdb.Nexthop{{Link: 2, Weight: 1, Flags: rpdb.NexthopLinkdown}},
	}
	fmt.Println(written.Equal(listed), written.Key() == listed.Key())
	fmt.Println(listed)
	// Output:
	// true true
	// route 2001:db8::/64 table 254 (IPv6)
}

// A decision that may go either way agrees with the kernel whichever it takes.
func ExampleDecision_Agrees() {
	a, b := rpdb.Hop{Link: "eth0"}, rpdb.Hop{Link: "eth1"}
	engine := rpdb.Decision{Disposition: rpdb.Sent, Type: rpdb.RouteUnicast, Table: rpdb.TableMain, Hop: a, Either: []rpdb.Hop{a, b}}
	kernel := rpdb.Decision{Disposition: rpdb.Sent, Type: rpdb.RouteUnicast, Table: rpdb.TableMain, Hop: b}
	fmt.Println(engine.Agrees(kernel))
	// Output: true
}

// Names are a value that is passed in; its own entries come before the names
// that ip(8) has built in.
func ExampleNames() {
	names := rpdb.Names{Tables: map[rpdb.TableID]string{1001: "isp-a"}}
	table, ok := names.TableByName("isp-a")
	fmt.Println(names.Table(1001), names.Table(rpdb.TableMain), names.Table(7))
	fmt.Println(table, ok)
	// Output:
	// isp-a main 7
	// 1001 true
}

// Messages about a change name its object as ip(8) would.
func ExampleChange() {
	fmt.Println(rpdb.RuleChange(rpdb.Add, rpdb.Rule{Family: rpdb.IPv4, Priority: 100}))
	fmt.Println(rpdb.RouteChange(rpdb.Delete, rpdb.Route{Family: rpdb.IPv6, Table: 1001, Dst: rpdb.IPv6.Default()}))
	// Output:
	// add rule 100 (IPv4)
	// delete route default table 1001 (IPv6)
}
