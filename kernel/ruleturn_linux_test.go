package kernel

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// ruleRequest adds a rule.
func ruleRequest(t *testing.T, r rpdb.Rule) RuleRequest {
	t.Helper()
	b, err := EncodeRule(r)
	must(t, err)
	return RuleRequest{Payload: b}
}

// withoutAttr returns a request without an attribute.
func withoutAttr(payload []byte, attr uint16) []byte {
	b := slices.Clone(payload[:sizeofRuleHdr])
	d := netlink.NewDecoder(payload[sizeofRuleHdr:])
	for d.Next() {
		if d.Type() != attr {
			b = d.Raw(b)
		}
	}
	return b
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
	makes, makesToo := at(500), at(501)
	makes.Payload[4] = 0
	makes.Payload = withoutAttr(makes.Payload, fraTable)
	makesToo.Payload = slices.Concat(withoutAttr(makesToo.Payload, fraTable), []byte{8, 0, fraTable, 0, 0, 0, 0, 0})
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
		{"a table of its own, which stays", makes, false},
		{"a table of its own, in more words", makesToo, false},
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
			// What ip says of a rule is less than what the kernel makes of it.
			req.Payload = withoutAttr(req.Payload, fraFwmask)
			if r.Selector.From == (netip.Prefix{}) {
				req.Payload = append(req.Payload, 4, 0, fraSrc, 0)
			}
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
		marked := rule(700)
		marked.Selector.Mark = rpdb.Mark{Value: 7, Mask: 0xffffffff}
		add(marked)
		narrow := rule(500)
		narrow.Selector.IIF = "eth0"
		force(t, c, narrow)
		otherMask := marked // which the kernel would not delete in its place
		otherMask.Selector.Mark.Mask = 0xff
		force(t, c, otherMask)
		refused, err := p.FlushInTurn(t.Context())
		var stays *UnrevokedError
		var other *OtherRuleError
		if refused != 0 || !errors.As(err, &stays) || stays.Request != 1 || !errors.As(err, &other) || other.Hit.Selector != narrow.Selector {
			t.Errorf("%v: %d, %v", f, refused, err)
		}
		if !slices.ContainsFunc(snapshot(t, c).Rules, func(r rpdb.Rule) bool { return r.Selector == otherMask.Selector }) {
			t.Errorf("%v: the rule of somebody else is gone", f)
		}
		var got []rpdb.Priority
		for _, r := range snapshot(t, c).RulesOf(f) {
			if r.Priority != 0 && r.Priority < 1000 {
				got = append(got, r.Priority)
			}
		}
		if want := []rpdb.Priority{100, 500, 500, 700}; !slices.Equal(got, want) {
			t.Errorf("%v: rules at %v, want %v", f, got, want)
		}
	}
}
