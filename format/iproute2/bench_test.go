package iproute2_test

import (
	"io"
	"net/netip"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

func BenchmarkRuleListing(b *testing.B) {
	r := rpdb.Rule{Family: rpdb.IPv4, Priority: 1000, Action: rpdb.ToTable(1000), Protocol: 4}
	r.Selector.Mark = rpdb.Mark{Value: 5, Mask: 0xff}
	v := iproute2.RuleView{Names: shipped(), State: &iproute2.NameState{}, Raw: true}
	b.Run("text", func(b *testing.B) {
		l := iproute2.NewRuleLister(v)
		var line []byte
		b.ReportAllocs()
		for b.Loop() {
			line = l.AppendText(line[:0], &r)
		}
	})
	b.Run("fields", func(b *testing.B) {
		l := iproute2.NewRuleLister(v)
		w := ipjson.NewWriter(io.Discard, false)
		b.ReportAllocs()
		for b.Loop() {
			w.Begin()
			l.Fields(&r, w)
			w.End()
		}
	})
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

func BenchmarkRouteListing(b *testing.B) {
	routes := []iproute2.RouteEntry{
		{Route: rpdb.Route{
			Family: rpdb.IPv4, Table: 254, Type: 1, Protocol: 186, Dst: netip.MustParsePrefix("192.0.2.0/24"),
			Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr("198.51.100.1"), Link: 2}},
		}},
		{Route: rpdb.Route{
			Family: rpdb.IPv6, Table: 1000, Type: 1, Protocol: 186, Dst: netip.MustParsePrefix("2001:db8:81::/48"), Metric: 1024,
			Nexthops: []rpdb.Nexthop{{Via: netip.MustParseAddr("fe80::1"), Link: 2}},
		}},
	}
	v := iproute2.RouteView{
		Names: shipped(), Raw: true, State: &iproute2.NameState{},
		LinkName: func(rpdb.LinkIndex) rpdb.LinkName { return "eth0" },
	}
	b.Run("text", func(b *testing.B) {
		l := iproute2.NewRouteLister(v)
		var line []byte
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			line = l.AppendText(line[:0], &routes[i%len(routes)])
		}
	})
	b.Run("fields", func(b *testing.B) {
		l := iproute2.NewRouteLister(v)
		w := ipjson.NewWriter(io.Discard, false)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			w.Begin()
			l.Fields(&routes[i%len(routes)], w)
			w.End()
		}
	})
}

// BenchmarkBatch cuts the lines of a batch of routes into words, reads them, and
// makes the payloads of messages.
func BenchmarkBatch(b *testing.B) {
	for _, line := range []string{"route add 192.0.2.0/24 via 198.51.100.1\n", "route add 2001:db8:81::/48 via 2001:db8::1 metric 7\n"} {
		b.Run(line[10:18], func(b *testing.B) {
			text := strings.Repeat(line, 1000)
			b.ReportAllocs()
			var p iproute2.RouteParser
			var payload []byte
			for b.Loop() {
				batch := iproute2.NewBatch(strings.NewReader(text))
				batch.Recycle()
				for batch.Next() {
					words := batch.Words()
					q, err := p.Parse(iproute2.RouteContext{}, iproute2.RouteAdd, words[2:])
					if err != nil {
						b.Fatal(err)
					}
					payload = q.AppendPayload(payload[:0])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/line")
		})
	}
}

// A batch of a million routes is a million times this.
func TestBatchAllocations(t *testing.T) {
	for line, most := range map[string]float64{
		"route add 192.0.2.0/24 via 198.51.100.1\n":             2.2, // the addresses of the request
		"route add 2001:db8:81::/48 via 2001:db8::1 metric 7\n": 2.2,
	} {
		text := strings.Repeat(line, 100)
		var p iproute2.RouteParser
		var payload []byte
		got := testing.AllocsPerRun(20, func() {
			batch := iproute2.NewBatch(strings.NewReader(text))
			batch.Recycle()
			for batch.Next() {
				q, err := p.Parse(iproute2.RouteContext{}, iproute2.RouteAdd, batch.Words()[2:])
				if err != nil {
					t.Fatal(err)
				}
				payload = q.AppendPayload(payload[:0])
			}
		}) / 100
		if got > most {
			t.Errorf("%q: %.2f allocations, at most %v", line, got, most)
		}
	}
}

// The words of a rule are few, and its request is new each time.
func TestRuleAllocations(t *testing.T) {
	words := strings.Fields("from 192.0.2.0/24 fwmark 5/0xff lookup 1000 pref 1000 protocol 4")
	c := iproute2.RuleContext{Family: rpdb.IPv4, Numbers: func(string, string) (uint32, bool) { return 0, false }}
	got := testing.AllocsPerRun(100, func() {
		q, err := c.ParseAdd(words)
		if err != nil {
			t.Fatal(err)
		}
		_ = q.Payload()
	})
	if got > 4 {
		t.Errorf("%v allocations, at most 4", got)
	}
}
