package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"rpdb"
	"rpdb/plan"
)

// longList is a policy of n rules of IPv4.
func longList(n int) rpdb.Desired {
	var d rpdb.Desired
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		d.Rules = append(d.Rules, rpdb.DesiredRule{
			Name: fmt.Sprint("rule-", i),
			Rule: rpdb.Rule{
				Family: rpdb.IPv4, Protocol: rpdb.ProtocolRPDB, Action: rpdb.ToTable(rpdb.TableMain),
				Selector: rpdb.Selector{From: netip.PrefixFrom(a, 32)},
			},
		})
	}
	return d
}

// BenchmarkLongList plans a long policy for an empty host, for one that has it, and
// for one that has another one.
func BenchmarkLongList(b *testing.B) {
	empty := &rpdb.Snapshot{Rules: slices.Concat(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6))}
	for _, n := range []int{100, 1000, plan.Capacity} {
		d := longList(n)
		p, err := plan.Diff(empty, d)
		if err != nil {
			b.Fatal(err)
		}
		there := *empty
		for _, s := range p.Steps {
			there.Rules = append(there.Rules, *s.Change.Rule)
		}
		slices.SortStableFunc(there.Rules, rpdb.Rule.Compare)
		other := d
		other.Rules = slices.Clone(d.Rules)
		slices.Reverse(other.Rules)
		for _, c := range []struct {
			name    string
			actual  *rpdb.Snapshot
			desired rpdb.Desired
		}{{"write", empty, d}, {"nothing", &there, d}, {"replace", &there, other}} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := plan.Diff(c.actual, c.desired); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/rule")
			})
		}
	}
}
