package fib_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"rpdb"
	"rpdb/fib"
)

// crowd is a host with many rules: n of them, the i-th by rule, and behind them
// main with a number of prefixes.
func crowd(n, prefixes int, rule func(i int) rpdb.Rule) *rpdb.Snapshot {
	s := &rpdb.Snapshot{
		Custom4: rpdb.CustomisedYes,
		Links:   []rpdb.Link{{Index: 1, Name: "lo"}, {Index: 2, Name: "e0"}, {Index: 3, Name: "e1"}},
	}
	defaults := rpdb.DefaultRules(rpdb.IPv4)
	s.Rules = append(s.Rules, defaults[0])
	for i := range n {
		r := rule(i)
		r.Family, r.Priority = rpdb.IPv4, rpdb.Priority(100+i)
		if r.Action == (rpdb.Action{}) {
			r.Action = rpdb.ToTable(100)
		}
		s.Rules = append(s.Rules, r)
	}
	for _, r := range defaults[1:] {
		r.Priority += 1 << 20
		s.Rules = append(s.Rules, r)
	}
	add := func(table rpdb.TableID, dst netip.Prefix, link rpdb.LinkIndex) {
		s.Routes = append(s.Routes, rpdb.Route{
			Family: rpdb.IPv4, Type: rpdb.RouteUnicast, Table: table, Dst: dst,
			Nexthops: []rpdb.Nexthop{{Link: link, Via: number(192<<24 | 2<<8 | uint32(link))}},
		})
	}
	add(rpdb.TableLocal, netip.PrefixFrom(number(192<<24|2<<8|100), 32), 2)
	add(rpdb.TableMain, netip.PrefixFrom(number(0), 0), 2)
	add(100, netip.PrefixFrom(number(0), 0), 3)
	for i := range uint32(prefixes) {
		add(rpdb.TableMain, netip.PrefixFrom(number(11<<24+i<<8), 24), rpdb.LinkIndex(2+i%2))
	}
	return s
}

func number(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// kinds returns rules of a number of mask shapes, each for its own bits of destination
// and mark.
func kinds(shapes int) func(i int) rpdb.Rule {
	return func(i int) (r rpdb.Rule) {
		shape := i % shapes
		r.Selector.To = netip.PrefixFrom(number(11<<24|uint32(i)<<6), 32-shape%6).Masked()
		if shape >= 6 {
			r.Selector.Mark = rpdb.Mark{Value: uint32(i), Mask: ^uint32(0) >> (shape / 6)}
		}
		return r
	}
}

// BenchmarkCrowd is one decision among many rules, by what they look at. Half of the
// flows are to destinations that rules are for.
func BenchmarkCrowd(b *testing.B) {
	ranges := func(i int) (r rpdb.Rule) {
		first := uint16(i * 6)
		r.Selector.IPProto, r.Selector.DPort = rpdb.TCP, rpdb.PortRange(first+1, first+5)
		return r
	}
	users := func(i int) (r rpdb.Rule) {
		r.Selector.UIDRange = rpdb.Some(rpdb.UIDRange{First: uint32(i * 100), Last: uint32(i*100 + 98)})
		return r
	}
	inverted := func(i int) (r rpdb.Rule) {
		r.Selector.Not, r.Selector.To = true, netip.PrefixFrom(number(10<<24|uint32(i)), 32)
		r.Action = rpdb.Nop()
		return r
	}
	chain := func(i int) (r rpdb.Rule) {
		r.Action = rpdb.Goto(rpdb.Priority(101 + i))
		return r
	}
	gotos := func(i int) rpdb.Rule {
		r := kinds(1)(i)
		r.Action = rpdb.Goto(rpdb.PriorityMain + 1<<20)
		return r
	}
	for _, c := range []struct {
		name  string
		rules int
		rule  func(i int) rpdb.Rule
	}{
		{"no rules", 0, nil},
		{"1 shape, 100 rules", 100, kinds(1)},
		{"1 shape, 10000 rules", 10_000, kinds(1)},
		{"1 shape, 100000 rules", 100_000, kinds(1)},
		{"4 shapes, 10000 rules", 10_000, kinds(4)},
		{"16 shapes, 10000 rules", 10_000, kinds(16)},
		{"32 shapes, 10000 rules", 10_000, kinds(32)},
		{"port ranges, 10000 rules", 10_000, ranges},
		{"uid ranges, 10000 rules", 10_000, users},
		{"inverted rules that fit, 10000", 10_000, inverted},
		{"gotos of which one fits, 10000", 10_000, gotos},
		{"a chain of 10000 gotos", 10_000, chain},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := fib.Compile(crowd(c.rules, 1000, c.rule))
			flows := make([]rpdb.Flow, 1024)
			for i := range flows {
				at := uint32(i * max(c.rules, 1) / len(flows))
				flows[i] = rpdb.Flow{
					Dst: number(11<<24 | at<<6), Mark: at, IPProto: rpdb.TCP, DPort: uint16(at * 6), UID: at*100 + 99*uint32(i%2),
				}
				if i%2 == 1 {
					flows[i].Dst = number(12<<24 | at)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f.Lookup(flows[i%len(flows)])
			}
		})
	}
}

// BenchmarkWithRule is a rule more in a version of a hundred thousand rules and a full
// table, and one less.
func BenchmarkWithRule(b *testing.B) {
	s := crowd(100_000, 900_000, kinds(4))
	f := fib.Compile(s)
	r := kinds(4)(7777)
	r.Family, r.Priority, r.Action = rpdb.IPv4, 50_000, rpdb.ToTable(100)
	b.Run("with", func(b *testing.B) {
		for b.Loop() {
			f.WithRule(r)
		}
	})
	b.Run("without", func(b *testing.B) {
		g := f.WithRule(r)
		for b.Loop() {
			g.WithoutRule(r)
		}
	})
}

// BenchmarkCompile is all anew, with what each rule and each route takes of memory.
func BenchmarkCompile(b *testing.B) {
	for _, c := range []struct{ rules, prefixes int }{{100_000, 0}, {0, 900_000}, {100_000, 900_000}} {
		b.Run(fmt.Sprintf("%d rules, %d routes", c.rules, c.prefixes), func(b *testing.B) {
			s := crowd(c.rules, c.prefixes, kinds(4))
			var f *fib.FIB
			before := heap()
			for b.Loop() {
				f = fib.Compile(s)
			}
			b.ReportMetric(float64(heap()-before)/float64(max(c.rules, 1)+c.prefixes), "B/object")
			runtime.KeepAlive(f)
			runtime.KeepAlive(s)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
