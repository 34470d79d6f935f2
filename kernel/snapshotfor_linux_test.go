package kernel

import (
	"fmt"
	"slices"
	"testing"

	"rpdb"
	"rpdb/fib"
)

// A snapshot for one flow decides as the whole one does, and holds next to
// nothing of a long table.
func TestSnapshotForAFlow(t *testing.T) {
	_, c := uplinks(t)
	eth0 := index(t, c, "eth0")
	add := func(dst, via string, table rpdb.TableID) {
		must(t, do(c, addRoute(rpdb.Route{
			Family: rpdb.FamilyOf(prefix(dst).Addr()), Table: table, Dst: prefix(dst), Type: rpdb.RouteUnicast,
			Protocol: rpdb.ProtocolRPDB, Nexthops: []rpdb.Nexthop{{Via: addr(via), Link: eth0}},
		})))
	}
	for i := range 300 {
		add(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), "192.0.2.254", rpdb.TableMain)
		add(fmt.Sprintf("2001:db8:%x::/48", 0x100+i), "2001:db8::fe", rpdb.TableMain)
	}
	add("10.0.0.0/8", "192.0.2.253", 100)
	must(t, do(c, rpdb.RuleChange(rpdb.Add, rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Selector: rpdb.Selector{Mark: rpdb.Mark{Value: 1, Mask: 1}}, Action: rpdb.ToTable(100)})))
	whole := fib.Compile(snapshot(t, c))
	for _, flow := range []rpdb.Flow{
		{Dst: addr("10.0.7.1")},
		{Dst: addr("10.0.7.1"), Mark: 1},
		{Dst: addr("172.16.0.1")},
		{Dst: addr("192.0.2.9"), Src: addr("192.0.2.1")},
		{Dst: addr("10.1.0.1"), Src: addr("10.0.9.1"), IIF: "eth0"},
		{Dst: addr("2001:db8:107::1")},
	} {
		s, err := c.SnapshotFor(t.Context(), flow)
		must(t, err)
		if len(s.Routes) > 8 {
			t.Errorf("%+v: holds %d routes", flow, len(s.Routes))
		}
		got, want := fib.Compile(s).Lookup(flow), whole.Lookup(flow)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%+v:\n got %+v\nwant %+v", flow, got, want)
		}
		if all := snapshot(t, c); !slices.Equal(all.Rules, s.Rules) || len(all.Links) != len(s.Links) || len(all.Addresses) != len(s.Addresses) {
			t.Errorf("%+v: the rest is not that of the whole snapshot", flow)
		}
	}
}
