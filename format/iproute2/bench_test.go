package iproute2_test

import (
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

func BenchmarkRuleListing(b *testing.B) {
	r := rpdb.Rule{Family: rpdb.IPv4, Priority: 1000, Action: rpdb.ToTable(1000), Protocol: 4}
	r.Selector.Mark = rpdb.Mark{Value: 5, Mask: 0xff}
	var state iproute2.NameState
	v := iproute2.RuleView{Names: shipped(), State: &state, Raw: true}
	b.ReportAllocs()
	for b.Loop() {
		_ = v.Rule(r)
	}
}

func BenchmarkParseAdd(b *testing.B) {
	words := []string{"from", "192.0.2.0/24", "fwmark", "5/0xff", "lookup", "1000", "pref", "1000", "protocol", "static"}
	c := iproute2.RuleContext{Family: rpdb.IPv4, Names: shipped()}
	b.ReportAllocs()
	for b.Loop() {
		q, err := c.ParseAdd(words)
		if err != nil {
			b.Fatal(err)
		}
		_ = q.Payload()
	}
}
