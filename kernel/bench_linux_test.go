package kernel

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// manyRules fills a namespace with rules.
func manyRules(b *testing.B, n int) *Conn {
	_, c := namespace(b)
	for i := range n {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(30000 - i), Protocol: rpdb.ProtocolRPDB, Action: rpdb.ToTable(100)}
		must(b, c.nl.Execute(b.Context(), encodeRule(unix.RTM_NEWRULE, netlink.Create, r), nil))
	}
	return c
}

func BenchmarkSnapshot(b *testing.B) {
	_, c := uplinks(b)
	for b.Loop() {
		snapshot(b, c)
	}
}

func BenchmarkDump10000Rules(b *testing.B) {
	c := manyRules(b, 10000)
	for b.Loop() {
		if _, _, err := c.dumpRules(context.Background(), rpdb.IPv4); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChange adds a rule and deletes it again, with others there.
func BenchmarkChange(b *testing.B) {
	for _, n := range []struct {
		name  string
		rules int
	}{{"alone", 0}, {"among1000", 1000}, {"among10000", 10000}} {
		b.Run(n.name, func(b *testing.B) {
			c := manyRules(b, n.rules)
			r := rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Protocol: rpdb.ProtocolRPDB, Action: rpdb.Nop()}
			for b.Loop() {
				must(b, do(c, addRule(r)))
				must(b, do(c, deleteRule(r)))
			}
		})
	}
}

func BenchmarkRouteGet(b *testing.B) {
	_, c := uplinks(b)
	f := rpdb.Flow{Dst: addr("192.0.2.9"), IPProto: rpdb.UDP}
	for b.Loop() {
		if _, err := c.RouteGet(context.Background(), f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeRule(b *testing.B) {
	r := rpdb.Rule{
		Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(1001),
		Selector: rpdb.Selector{From: prefix("192.0.2.0/24"), Mark: rpdb.Mark{Value: 1, Mask: 0xff}},
	}
	p := encodeRule(unix.RTM_NEWRULE, 0, r).Payload()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeRule(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeRoute(b *testing.B) {
	p := encodeRoute(unix.RTM_NEWROUTE, 0, gateway("203.0.113.0/24", 2)).Payload()
	var d RouteDecoder
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Decode(p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoutes10000 loads, lists and flushes a table; BenchmarkInternet does
// it with the table of the internet.
func BenchmarkRoutes10000(b *testing.B) {
	ns, c := uplinks(b)
	s := openSocket(b, ns)
	eth0 := index(b, c, "eth0")
	b.Run("list", func(b *testing.B) {
		load(b, c, 10000, func(i int) rpdb.Route { return numbered(rpdb.IPv4, i, eth0) })
		b.ReportAllocs()
		for b.Loop() {
			_, err := s.ListRoutes(b.Context(), dumpPayload(rpdb.IPv4, 100), func(RouteMessage) error { return nil })
			must(b, err)
		}
		_, err := s.FlushRoutes(b.Context(), dumpPayload(rpdb.IPv4, 100), func(RouteMessage) bool { return true })
		must(b, err)
	})
	b.Run("load and flush", func(b *testing.B) {
		for b.Loop() {
			load(b, c, 10000, func(i int) rpdb.Route { return numbered(rpdb.IPv4, i, eth0) })
			_, err := s.FlushRoutes(b.Context(), dumpPayload(rpdb.IPv4, 100), func(RouteMessage) bool { return true })
			must(b, err)
		}
	})
}
