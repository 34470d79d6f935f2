package iproute2_test

import (
	"net/netip"
	"slices"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// TestOrderCounts: it does of rules that may select one flow and do something else
// with it, of each of them, and of none that has its priority or its flows for itself;
// and of rules that the kernel takes for one another.
func TestOrderCounts(t *testing.T) {
	rule := func(p rpdb.Priority, from string, table rpdb.TableID) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: rpdb.ToTable(table), Selector: rpdb.Selector{From: netip.MustParsePrefix(from)}}
	}
	marked := func(value uint32) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: 3, Action: rpdb.ToTable(7), Selector: rpdb.Selector{Mark: rpdb.Mark{Value: value, Mask: 3}}}
	}
	twin := rule(4, "10.0.0.0/8", 1)
	twin.Protocol = rpdb.ProtocolStatic
	not := rule(5, "10.0.0.0/8", 1)
	not.Selector.Not = true
	to := rule(7, "10.0.0.0/8", 1)
	to.Selector.From, to.Selector.To = to.Selector.To, to.Selector.From
	taken := rule(8, "10.0.0.0/8", 1)
	taken.Selector.Not = true
	six := rpdb.Rule{Family: rpdb.IPv6, Priority: 1, Action: rpdb.ToTable(1)}
	rules := []rpdb.Rule{
		rule(1, "10.0.0.0/8", 1), rule(1, "10.1.0.0/16", 2), rule(1, "192.0.2.0/24", 3),
		rule(2, "10.0.0.0/8", 1),
		marked(0), marked(1),
		rule(4, "10.0.0.0/8", 1), twin,
		not, rule(5, "10.0.0.0/8", 2),
		rule(7, "10.0.0.0/8", 1), to, rule(7, "10.1.0.0/16", 1),
		rule(8, "10.0.0.0/8", 1), taken,
		six,
	}
	want := []bool{true, true, false, false, false, false, false, true, true, true, false, false, false, true, true, false}
	if got := iproute2.OrderCounts(rules); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
