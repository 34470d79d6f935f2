package kernel

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

func openSocket(t testing.TB, ns *NetNS) *Socket {
	t.Helper()
	s, err := OpenSocket(Options{NetNS: ns})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// payloadOf is a request that says of a rule all but its priority.
func payloadOf(r rpdb.Rule) []byte {
	b := encodeRule(unix.RTM_NEWRULE, 0, r).Payload()
	return append(b[:sizeofRuleHdr:sizeofRuleHdr], b[sizeofRuleHdr+8:]...)
}

// Without a priority the kernel chooses one, and the echo tells it; the first
// rule that agrees with a deletion goes.
func TestSocketSends(t *testing.T) {
	ns, _ := namespace(t)
	s := openSocket(t, ns)
	r := rpdb.Rule{Family: rpdb.IPv4, Action: rpdb.ToTable(100)}
	for _, want := range []rpdb.Priority{32765, 32764} {
		told, err := s.SendRule(t.Context(), RuleRequest{Echo: true, Payload: payloadOf(r)})
		must(t, err)
		if len(told) != 1 || told[0].Rule.Priority != want || told[0].Deleted() {
			t.Fatalf("added %+v, want priority %d", told, want)
		}
	}
	told, err := s.SendRule(t.Context(), RuleRequest{Delete: true, Echo: true, Payload: payloadOf(r)})
	must(t, err)
	if len(told) != 1 || told[0].Rule.Priority != 32764 || !told[0].Deleted() {
		t.Errorf("deleted %+v, want the first", told)
	}
	silent, err := s.SendRule(t.Context(), RuleRequest{Delete: true, Payload: payloadOf(r)})
	if err != nil || len(silent) != 0 {
		t.Errorf("without echo: %v, %v", silent, err)
	}
	_, err = s.SendRule(t.Context(), RuleRequest{Delete: true, Payload: payloadOf(r)})
	var refused *Refusal
	if !errors.As(err, &refused) || refused.Errno != unix.ENOENT {
		t.Errorf("deleting what is gone: %v", err)
	}
	if _, _, err := s.ListRules(t.Context(), unix.AF_MPLS); !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("a family without rules: %v", err)
	}
}

func TestFlushManyRules(t *testing.T) {
	ns, c := namespace(t)
	s := openSocket(t, ns)
	for i := range 3000 {
		force(t, c, rpdb.Rule{Family: rpdb.IPv6, Priority: rpdb.Priority(10 + i), Action: rpdb.ToTable(100)})
	}
	must(t, s.FlushRules(t.Context(), unix.AF_INET6, func(r *rpdb.Rule) bool { return r.Action.Table() == 100 }))
	rules, consistent, err := s.ListRules(t.Context(), unix.AF_INET6)
	must(t, err)
	if rules.Len() != 2 || !consistent {
		t.Errorf("%d rules are left, want the two of the kernel", rules.Len())
	}
}

// A chosen rule that the kernel cannot be made to delete without another one
// stays, and both stay in their order.
func TestFlushSparesWhatItCannotReach(t *testing.T) {
	ns, c := namespace(t)
	s := openSocket(t, ns)
	plain := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(1)}
	plain.Selector.From = prefix("192.0.2.0/24")
	inverted := plain
	inverted.Selector.Not = true
	force(t, c, plain)
	force(t, c, inverted)
	var other *OtherRuleError
	err := s.FlushRules(t.Context(), unix.AF_INET, func(r *rpdb.Rule) bool { return r.Selector.Not })
	if !errors.As(err, &other) || other.Hit != plain {
		t.Errorf("got %v", err)
	}
	if rules := snapshot(t, c).RulesOf(rpdb.IPv4); len(rules) != 5 {
		t.Errorf("left: %+v", rules)
	}
	must(t, s.FlushRules(t.Context(), unix.AF_INET, func(r *rpdb.Rule) bool { return r.Priority == 100 }))
	if rules := snapshot(t, c).RulesOf(rpdb.IPv4); len(rules) != 3 {
		t.Errorf("left: %+v", rules)
	}
}

func TestMonitorTellsOnlyWhatWasAsked(t *testing.T) {
	ns, c := namespace(t)
	w, err := Monitor(Options{NetNS: ns}, []EventType{EventRule, EventLink}, []rpdb.Family{rpdb.IPv6})
	must(t, err)
	defer w.Close()
	for _, f := range rpdb.Families() {
		must(t, do(c, addRule(rpdb.Rule{Family: f, Priority: 5, Action: rpdb.ToTable(100)})))
	}
	must(t, c.SetLink("lo", LinkChange{Down: true}))
	must(t, do(c, deleteRule(rpdb.Rule{Family: rpdb.IPv6, Priority: 5, Action: rpdb.ToTable(100)})))
	for _, deleted := range []bool{false, true} {
		ev, err := w.Next(t.Context())
		must(t, err)
		if ev.Type != EventRule || ev.Rule.Family != rpdb.IPv6 || ev.Deleted != deleted {
			t.Errorf("got %+v", ev)
		}
	}
	if groups := eventGroup(EventRoute, rpdb.IPv4) + eventGroup(EventRoute, rpdb.IPv6); groups != unix.RTNLGRP_IPV4_ROUTE+unix.RTNLGRP_IPV6_ROUTE {
		t.Errorf("groups of routes: %d", groups)
	}
}

// A flush of more rules than one datagram of a list holds leaves none of them, and
// takes none of those between them.
func TestFlushOfManyRules(t *testing.T) {
	ns, c := namespace(t)
	s := openSocket(t, ns)
	rules := block(1000, 3000, 2)
	must(t, c.AddRules(t.Context(), rules))
	var foreign []rpdb.Rule
	for _, r := range rules {
		if r.Selector.From.Addr().AsSlice()[r.Family.Bits()/8-1]%7 == 0 {
			foreign = append(foreign, r)
		}
	}
	chosen := func(r *rpdb.Rule) bool {
		return !slices.Contains(foreign, r.Canonical()) && r.Protocol == rpdb.ProtocolRPDB
	}
	for _, f := range []uint8{unix.AF_INET, unix.AF_INET6} {
		must(t, s.FlushRules(t.Context(), f, chosen))
	}
	if got := rulesOf(t, c, 1000, 10000); !slices.Equal(got, foreign) {
		t.Errorf("%d rules are left, want %d", len(got), len(foreign))
	}
}

// A list of several stretches is deleted from its head: what stays there is in the way
// of each further stretch, and what cannot be reached is told at the end.
func TestFlushFromTheHead(t *testing.T) {
	ns, c := namespace(t)
	s := openSocket(t, ns)
	plain := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(1)}
	plain.Selector.From = prefix("192.0.2.0/24")
	inverted := plain
	inverted.Selector.Not = true
	force(t, c, plain)
	force(t, c, inverted)
	kept := []rpdb.Rule{plain, inverted}
	rules := block(1000, 2*stretch+1000, 1)[:2*stretch+1000]
	rules[len(rules)-5].Action = rpdb.Goto(32766)
	must(t, c.AddRules(t.Context(), rules))
	for i := 0; i < len(rules); i += 50 {
		kept = append(kept, rules[i])
	}
	err := s.FlushRules(t.Context(), unix.AF_INET, func(r *rpdb.Rule) bool {
		return r.Selector.Not || r.Protocol == rpdb.ProtocolRPDB && (r.Priority-1000)%50 != 0
	})
	var other *OtherRuleError
	if !errors.As(err, &other) || other.Hit != plain {
		t.Errorf("got %v", err)
	}
	if got := rulesOf(t, c, 100, 32000); !slices.Equal(got, kept) {
		t.Errorf("%d rules are left, want %d", len(got), len(kept))
	}
}

// A list that others have torn may lack the very rules that are to go.
func TestFlushLooksAgain(t *testing.T) {
	type look struct {
		deleted int
		whole   bool
	}
	for _, c := range []struct {
		name  string
		told  bool
		looks []look // the last again and again
		want  int
		done  bool
	}{
		{"nothing to do", true, []look{{0, true}}, 1, true},
		{"torn, and nothing in it", true, []look{{0, false}, {3, true}}, 2, true},
		{"torn for ever", true, []look{{0, false}}, flushRounds, false},
		{"a family without events", false, []look{{3, false}, {0, false}}, 2, true},
	} {
		looked := 0
		done, err := flush(c.told, func() (int, bool, error) {
			l := c.looks[min(looked, len(c.looks)-1)]
			looked++
			return l.deleted, l.whole, nil
		})
		if looked != c.want || done != c.done || err != nil {
			t.Errorf("%s: done %t after %d looks, %v", c.name, done, looked, err)
		}
	}
}

// BenchmarkFlush deletes the rules of a list.
func BenchmarkFlush(b *testing.B) {
	for _, n := range []int{1000, 10000, 50000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ns, c := namespace(b)
			s := openSocket(b, ns)
			rules := block(40000, n, 1)[:n]
			for b.Loop() {
				b.StopTimer()
				must(b, c.AddRules(b.Context(), rules))
				b.StartTimer()
				must(b, s.FlushRules(b.Context(), unix.AF_INET, func(r *rpdb.Rule) bool { return r.Protocol == rpdb.ProtocolRPDB }))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/rule")
		})
	}
}

// A list of several datagrams that an event comes into is not of one moment; one that
// nobody disturbs is, and so is a short one.
func TestDumpWatchedIsDisturbed(t *testing.T) {
	ns, c := namespace(t)
	s := openSocket(t, ns)
	watch := func(meanwhile func()) bool {
		t.Helper()
		n := 0
		quiet, err := s.nl.DumpWatched(t.Context(), dumpOfRules(unix.AF_INET), unix.RTNLGRP_IPV4_RULE, func(netlink.Message) error {
			if n++; n == 1 {
				meanwhile()
			}
			return nil
		})
		if err != nil && !errors.Is(err, netlink.InterruptedError{}) {
			t.Error(err)
		}
		return quiet
	}
	other := rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()}
	disturb := func() { must(t, do(c, addRule(other))); must(t, do(c, deleteRule(other))) }
	nothing := func() {}
	if !watch(disturb) {
		t.Error("a list of one datagram is of no one moment")
	}
	must(t, c.AddRules(t.Context(), block(1000, 1200, 1)))
	if !watch(nothing) {
		t.Error("a list that nobody disturbs is of no one moment")
	}
	if watch(disturb) {
		t.Error("a list that was disturbed is of one moment")
	}
	if !watch(nothing) {
		t.Error("what disturbed a list disturbs the next one")
	}
	if quiet, err := s.nl.DumpWatched(t.Context(), dumpOfRules(unix.AF_INET), 0, func(netlink.Message) error { return nil }); quiet || err != nil {
		t.Errorf("a long list without a group to hear is of one moment: %v, %v", quiet, err)
	}
}
