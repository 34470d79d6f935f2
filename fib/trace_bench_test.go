package fib_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rpdb"
	"rpdb/fib"
)

// uplinkWorld is a host with two uplinks whose last rules but main's are for
// one source each, and a table main of a number of prefixes.
func uplinkWorld(rules, prefixes int) *fib.FIB {
	s := &rpdb.Snapshot{Links: []rpdb.Link{{Index: 1, Name: "lo"}, {Index: 2, Name: "e0"}, {Index: 3, Name: "e1"}}}
	address := func(base, n uint32) netip.Addr {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, base+n)))
	}
	defaults := rpdb.DefaultRules(rpdb.IPv4)
	s.Rules = append(s.Rules, defaults[0])
	for i := range rules {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(100 + i), Action: rpdb.ToTable(100)}
		r.Selector.From = netip.PrefixFrom(address(10<<24, uint32(i)), 32)
		s.Rules = append(s.Rules, r)
	}
	s.Rules = append(s.Rules, defaults[1:]...)
	route := rpdb.Route{Family: rpdb.IPv4, Type: rpdb.RouteUnicast}
	add := func(table rpdb.TableID, dst netip.Prefix, link rpdb.LinkIndex) {
		route.Table, route.Dst = table, dst
		route.Nexthops = []rpdb.Nexthop{{Link: link, Via: address(192<<24|2<<8, uint32(link))}}
		s.Routes = append(s.Routes, route)
	}
	add(rpdb.TableLocal, netip.PrefixFrom(address(192<<24|2<<8, 100), 32), 2)
	add(rpdb.TableMain, netip.PrefixFrom(address(0, 0), 0), 2)
	add(100, netip.PrefixFrom(address(0, 0), 0), 3)
	for i := range uint32(prefixes) {
		add(rpdb.TableMain, netip.PrefixFrom(address(11<<24, i<<8), 24), rpdb.LinkIndex(2+i%2))
	}
	return fib.Compile(s)
}

// BenchmarkTrace compares what the story costs with what the bare decision
// costs: "lookups" is the ratio, which is to stay below 10. Both are measured in
// turns, and the medians count, so that other work on the machine does not.
func BenchmarkTrace(b *testing.B) {
	for _, world := range []struct {
		name            string
		rules, prefixes int
	}{
		{"few rules", 3, 0},
		{"1000 rules", 1000, 0},
		{"10000 rules", 10_000, 0},
		{"full table", 3, 1_000_000},
	} {
		b.Run(world.name, func(b *testing.B) {
			f := uplinkWorld(world.rules, world.prefixes)
			flows := []rpdb.Flow{flow(b, "11.7.7.7"), flow(b, "11.9.9.9 from 192.0.2.100"), flow(b, "203.0.113.7 mark 1")}
			var lookups, traces []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				for range 100 {
					for _, flow := range flows {
						f.Lookup(flow)
					}
				}
				middle := time.Now()
				for range 100 {
					for _, flow := range flows {
						f.Trace(flow)
					}
				}
				lookups, traces = append(lookups, middle.Sub(begin)), append(traces, time.Since(middle))
			}
			n := float64(100 * len(flows))
			lookup, trace := median(lookups), median(traces)
			b.ReportMetric(lookup/n, "ns/lookup")
			b.ReportMetric(trace/n, "ns/trace")
			b.ReportMetric(trace/lookup, "lookups")
		})
	}
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2])
}
