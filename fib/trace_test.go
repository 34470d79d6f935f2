package fib_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/format/iproute2"
	"rpdb/internal/corpus"
)

// The story never disagrees with the verdict, and tells of every rule once, in
// order.
func TestTraceIsTheSameWalk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		g := corpus.New(seed)
		s := g.Snapshot()
		if seed%10 == 0 {
			neverChanged(s)
		}
		f := fib.Compile(s)
		for range 40 {
			for _, family := range rpdb.Families() {
				flow := g.Flow(family)
				flow.Socket = rpdb.SocketCall(g.Number(3))
				tr := f.Trace(flow)
				if d := f.Lookup(flow); !reflect.DeepEqual(tr.Decision, d) {
					t.Fatalf("seed %d, %+v\ntrace  %+v\nlookup %+v", seed, flow, tr.Decision, d)
				}
				checkSteps(t, s, family, tr)
			}
		}
	}
}

func checkSteps(t *testing.T, s *rpdb.Snapshot, family rpdb.Family, tr fib.Trace) {
	t.Helper()
	rules := s.RulesOf(family)
	if len(tr.Lookups) == 0 {
		t.Fatalf("%+v: no lookup", tr.Flow)
	}
	for _, l := range tr.Lookups {
		if len(l.Steps()) == 0 {
			continue // answered before the rules
		}
		if len(l.Steps()) != len(rules) {
			t.Fatalf("%+v: %d steps for %d rules", tr.Flow, len(l.Steps()), len(rules))
		}
		for i, step := range l.Steps() {
			if step.Rule.Canonical() != rules[i].Canonical() {
				t.Fatalf("%+v: step %d is of rule %v, want %v", tr.Flow, i, step.Rule, rules[i])
			}
		}
	}
}

// Compiling twice gives the same answers, and leaves the snapshot alone.
func TestCompileIsDeterministic(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		g, again := corpus.New(seed), corpus.New(seed)
		s, untouched := g.Snapshot(), again.Snapshot()
		a, b := fib.Compile(s), fib.Compile(s)
		if !reflect.DeepEqual(s, untouched) {
			t.Fatalf("seed %d: the snapshot was modified", seed)
		}
		for range 30 {
			flow := g.Flow(rpdb.IPv4)
			if x, y := asJSON(t, a.Trace(flow)), asJSON(t, b.Trace(flow)); x != y {
				t.Fatalf("seed %d, %+v:\n%s\n%s", seed, flow, x, y)
			}
		}
	}
}

// The FIB keeps nothing of the snapshot.
func TestCompileKeepsNoReference(t *testing.T) {
	s := world(t, "rule add pref 100 to 10.0.0.0/8 table 100")
	f := fib.Compile(s)
	tr := f.Trace(flow(t, "10.9.9.9"))
	before := asJSON(t, tr)
	clear(s.Rules)
	for i := range s.Routes {
		clear(s.Routes[i].Nexthops)
	}
	clear(s.Routes)
	clear(s.Links)
	clear(s.Addresses)
	clear(s.Sysctls.Links)
	for _, after := range []string{asJSON(t, tr), asJSON(t, f.Trace(flow(t, "10.9.9.9")))} {
		if after != before {
			t.Errorf("before %s\nafter  %s", before, after)
		}
	}
}

// asJSON is all that a trace tells.
func asJSON(t *testing.T, tr fib.Trace) string {
	t.Helper()
	data, err := json.Marshal(tr)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// tell writes a trace as people read it.
func tell(tr fib.Trace) string {
	var b strings.Builder
	for _, l := range tr.Lookups {
		src := "no source"
		if l.Flow.Src.IsValid() {
			src = "from " + l.Flow.Src.String()
		}
		fmt.Fprintf(&b, "%s: %v %s\n", l.Purpose, l.Flow.Dst, src)
		for _, step := range l.Steps() {
			fmt.Fprintf(&b, "  %d: %s: %v\n", step.Rule.Priority, iproute2.RuleText(step.Rule, rpdb.Names{}), step.Detail)
		}
		fmt.Fprintf(&b, "  %s\n", brief(l.Decision))
	}
	return b.String()
}

// Two uplinks, after the recipe of the howto: main without its default, the
// uplink's addresses, the uplink itself. The story of four questions.
func TestTraceOfTwoUplinks(t *testing.T) {
	s := world(t,
		"rule add pref 1000 lookup main suppress_prefixlength 0",
		"rule add pref 1001 from 198.51.100.1 lookup 100",
		"rule add pref 1002 oif e1 lookup 100")
	f := fib.Compile(s)
	for _, c := range []struct{ name, flow, want string }{
		{"an answer from the second uplink's address", "10.9.9.9 from 198.51.100.1", `
output: 10.9.9.9 from 198.51.100.1
  0: from all lookup local: no route in table 255
  1000: from all lookup main suppress_prefixlength 0: default in table 254 refused by suppress_prefixlength
  1001: from 198.51.100.1 lookup 100: default in table 100: via 198.51.100.9 dev "e1"
  1002: from all oif e1 lookup 100: not asked
  32766: from all lookup main: not asked
  32767: from all lookup default: not asked
  sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1001
`},
		{"a connection of the host's own", "10.9.9.9 connect", `
output: 10.9.9.9 no source
  0: from all lookup local: no route in table 255
  1000: from all lookup main suppress_prefixlength 0: default in table 254 refused by suppress_prefixlength
  1001: from 198.51.100.1 lookup 100: from: packet has none yet, rule wants 198.51.100.1
  1002: from all oif e1 lookup 100: oif: packet is bound to none, rule wants "e1"
  32766: from all lookup main: default in table 254: via 192.0.2.9 dev "e0"
  32767: from all lookup default: not asked
  sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
repeat: 10.9.9.9 from 192.0.2.1
  0: from all lookup local: no route in table 255
  1000: from all lookup main suppress_prefixlength 0: default in table 254 refused by suppress_prefixlength
  1001: from 198.51.100.1 lookup 100: from: packet has 192.0.2.1, rule wants 198.51.100.1
  1002: from all oif e1 lookup 100: oif: packet is bound to none, rule wants "e1"
  32766: from all lookup main: default in table 254: via 192.0.2.9 dev "e0"
  32767: from all lookup default: not asked
  sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
`},
		{"bound to the interface", "10.9.9.9 oif e1 sendto", `
output: 10.9.9.9 no source
  0: from all lookup local: no route in table 255
  1000: from all lookup main suppress_prefixlength 0: no route in table 254
  1001: from 198.51.100.1 lookup 100: from: packet has none yet, rule wants 198.51.100.1
  1002: from all oif e1 lookup 100: default in table 100: via 198.51.100.9 dev "e1"
  32766: from all lookup main: not asked
  32767: from all lookup default: not asked
  sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1002
`},
		{"a packet to be forwarded, and the way back", "10.9.9.9 from 203.0.113.77 iif e2", `
input: 10.9.9.9 from 203.0.113.77
  0: from all lookup local: no route in table 255
  1000: from all lookup main suppress_prefixlength 0: default in table 254 refused by suppress_prefixlength
  1001: from 198.51.100.1 lookup 100: from: packet has 203.0.113.77, rule wants 198.51.100.1
  1002: from all oif e1 lookup 100: oif: packet is bound to none, rule wants "e1"
  32766: from all lookup main: default in table 254: via 192.0.2.9 dev "e0"
  32767: from all lookup default: not asked
  sent dev e0 via 192.0.2.9 src 203.0.113.77 table 254 rule 32766
reverse-path: 203.0.113.77 from 10.9.9.9
  0: from all lookup local: no route in table 255
  1000: from all lookup main suppress_prefixlength 0: 203.0.113.0/24 in table 254: dev "e2"
  1001: from 198.51.100.1 lookup 100: not asked
  1002: from all oif e1 lookup 100: not asked
  32766: from all lookup main: not asked
  32767: from all lookup default: not asked
  sent dev e2 table 254 rule 1000
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := "\n" + tell(f.Trace(flow(t, c.flow))); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// Every kind of step is told in words of its own.
func TestStepsInWords(t *testing.T) {
	s := world(t,
		"rule add pref 1 nop", "rule add pref 2 goto 4", "rule add pref 3 prohibit", "rule add pref 4 goto 99",
		"rule add pref 5 not to 10.0.0.0/8 table 100", "rule add pref 6 table 500",
		"route add throw 10.0.0.0/8 table 300", "rule add pref 7 table 300",
		"route add blackhole 10.9.0.0/16 table 400", "rule add pref 8 table 400", "rule add pref 9 blackhole")
	var got []string
	for _, step := range fib.Compile(s).Trace(flow(t, "10.9.9.9")).Lookups[0].Steps() {
		got = append(got, step.Detail.String())
	}
	want := []string{
		"no route in table 255", "does nothing", "goes on at 4", "not asked", "no rule 99 to go on at",
		"everything matches, and the rule says not", "table 500 is empty", "throw 10.0.0.0/8 in table 300",
		"blackhole 10.9.0.0/16 in table 400: denied with EINVAL", "not asked", "not asked", "not asked",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A rule with attributes that are not understood decides nothing that is
// claimed to be known.
func TestUnknownAttributes(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"rule add pref 100 table 100", "unknown rule 100"},
		{"rule add pref 100 prohibit", "unknown rule 100"},
		{"rule add pref 100 goto 32767", "unknown rule 100"},
		{"rule add pref 100 to 11.0.0.0/8 prohibit", byMain4},
		{"rule add pref 100 table 300", byMain4},
		{"rule add pref 100 nop", byMain4},
		{"rule add pref 100 table 100 suppress_prefixlength 0", byMain4},
	} {
		s := world(t, c.rule)
		for i := range s.Rules {
			if s.Rules[i].Priority == 100 {
				s.Rules[i].Unknown = "\x08\x00\x63\x00\x01\x00\x00\x00"
			}
		}
		if got := brief(fib.Compile(s).Lookup(flow(t, "10.9.9.9"))); got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}
