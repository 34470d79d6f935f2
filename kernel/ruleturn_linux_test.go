package kernel

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
)

// ruleRequest adds a rule.
func ruleRequest(t *testing.T, r rpdb.Rule) RuleRequest {
	t.Helper()
	b, err := EncodeRule(r)
	must(t, err)
	return RuleRequest{Payload: b}
}

// A place can be taken once, where no rule stands, by an addition that says it.
func TestRulePlaces(t *testing.T) {
	ns, c := namespace(t)
	force(t, c, rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(1)})
	force(t, c, rpdb.Rule{Family: rpdb.IPv6, Priority: 200, Action: rpdb.ToTable(1)})
	places, err := openSocket(t, ns).RulePlaces(t.Context(), rpdb.IPv4)
	must(t, err)
	at := func(p rpdb.Priority) RuleRequest {
		return ruleRequest(t, rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: rpdb.ToTable(1)})
	}
	deletion, echoed, nowhere, ipv6 := at(300), at(300), at(300), ruleRequest(t, rpdb.Rule{Family: rpdb.IPv6, Priority: 300, Action: rpdb.ToTable(1)})
	deletion.Delete, echoed.Echo = true, true
	nowhere.Payload = nowhere.Payload[:sizeofRuleHdr]
	twice := at(400)
	twice.Payload = append(slices.Clip(twice.Payload), at(100).Payload[sizeofRuleHdr:]...)
	for _, tt := range []struct {
		name string
		r    RuleRequest
		want bool
	}{
		{"taken", at(100), false},
		{"taken in IPv6", at(200), true},
		{"deletion", deletion, false},
		{"echoed", echoed, false},
		{"nowhere", nowhere, false},
		{"IPv6", ipv6, false},
		{"no request", RuleRequest{}, false},
		{"two priorities, of which the last counts", twice, false},
		{"free", at(300), true},
		{"free no more", at(300), false},
		{"of the kernel", at(32766), false},
	} {
		if got := places.Take(tt.r); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if nowhere.HasPlace() || !at(0).HasPlace() {
		t.Error("who has a place")
	}
}

// Nothing behind the first rule that is refused stays, unless somebody has put one at
// its priority meanwhile that the kernel would delete in its place: then both stay, and
// the error says so.
func TestFlushRulesInTurn(t *testing.T) {
	for _, f := range rpdb.Families() {
		ns, c := namespace(t)
		s := openSocket(t, ns)
		rule := func(p rpdb.Priority) rpdb.Rule {
			return rpdb.Rule{Family: f, Priority: p, Action: rpdb.ToTable(1)}
		}
		places, err := s.RulePlaces(t.Context(), f)
		must(t, err)
		p := s.Pipeline()
		add := func(r rpdb.Rule) {
			t.Helper()
			req := ruleRequest(t, r)
			if !places.Take(req) {
				t.Fatalf("%v is taken", r)
			}
			must(t, p.AddRule(req))
		}
		backward := rule(200)
		backward.Action = rpdb.Goto(1)
		add(rule(100))
		add(backward)
		add(rule(300))
		add(rule(400))
		if refused, err := p.FlushInTurn(t.Context()); refused != 1 || !errors.Is(err, unix.EINVAL) {
			t.Errorf("%v: %d, %v", f, refused, err)
		}
		backward.Priority = 201
		add(backward)
		add(rule(500))
		add(rule(600))
		narrow := rule(500)
		narrow.Selector.IIF = "eth0"
		force(t, c, narrow)
		refused, err := p.FlushInTurn(t.Context())
		var stays *UnrevokedError
		var other *OtherRuleError
		if refused != 0 || !errors.As(err, &stays) || stays.Request != 1 || !errors.As(err, &other) || other.Hit.Selector != narrow.Selector {
			t.Errorf("%v: %d, %v", f, refused, err)
		}
		var got []rpdb.Priority
		for _, r := range snapshot(t, c).RulesOf(f) {
			if r.Priority != 0 && r.Priority < 1000 {
				got = append(got, r.Priority)
			}
		}
		if want := []rpdb.Priority{100, 500, 500}; !slices.Equal(got, want) {
			t.Errorf("%v: rules at %v, want %v", f, got, want)
		}
	}
}
