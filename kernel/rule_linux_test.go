package kernel

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// everyAttribute lists rules that between them carry every attribute that the
// kernel knows, at the edges of its range.
func everyAttribute() []rpdb.Rule {
	var rules []rpdb.Rule
	add := func(f rpdb.Family, change func(*rpdb.Rule)) {
		r := rpdb.Rule{Family: f, Priority: rpdb.Priority(100 + len(rules)), Action: rpdb.ToTable(100)}
		change(&r)
		rules = append(rules, r)
	}
	for _, f := range rpdb.Families() {
		for _, change := range selectors(f) {
			add(f, func(r *rpdb.Rule) { change(&r.Selector) })
			add(f, func(r *rpdb.Rule) { change(&r.Selector); r.Selector.Not = true })
		}
		for _, change := range actions() {
			add(f, change)
		}
	}
	add(rpdb.IPv4, func(r *rpdb.Rule) { r.Realms = rpdb.NewRealms(1, 2) })
	add(rpdb.IPv6, func(r *rpdb.Rule) { r.Realms = rpdb.NewRealms(1, 2) })
	return rules
}

// lastUID returns the greatest user id that rules may name: the kernel refuses
// those that the user namespace does not map.
func lastUID() uint32 {
	if os.Getenv(inUserNS) != "" {
		return 0
	}
	return 4294967294
}

func selectors(f rpdb.Family) []func(*rpdb.Selector) {
	p := map[rpdb.Family][2]string{
		rpdb.IPv4: {"192.0.2.77/24", "198.51.100.1/32"},
		rpdb.IPv6: {"2001:db8::77/64", "2001:db8::1/128"},
	}[f]
	list := []func(*rpdb.Selector){
		func(s *rpdb.Selector) {},
		func(s *rpdb.Selector) { s.From = prefix(p[0]) },
		func(s *rpdb.Selector) { s.To = prefix(p[1]) },
		func(s *rpdb.Selector) { s.From, s.To = prefix(p[1]), prefix(p[0]) },
		func(s *rpdb.Selector) { s.TOS = 0x10 },
		func(s *rpdb.Selector) { s.DSCP = rpdb.Some(rpdb.DSCP{Value: 0, Mask: 0x3f}) },
		func(s *rpdb.Selector) { s.DSCP = rpdb.Some(rpdb.DSCP{Value: 46, Mask: 0x3f}) },
		func(s *rpdb.Selector) { s.DSCP = rpdb.Some(rpdb.DSCP{Value: 8, Mask: 0x38}) },
		func(s *rpdb.Selector) { s.DSCP = rpdb.Some(rpdb.DSCP{}) },
		func(s *rpdb.Selector) { s.DSCP = rpdb.Some(rpdb.DSCP{Value: 8, Mask: 0x3f}) },
		func(s *rpdb.Selector) { s.Mark = rpdb.Mark{Value: 0x10, Mask: 0xffffffff} },
		func(s *rpdb.Selector) { s.Mark = rpdb.Mark{Value: 0x105, Mask: 0xffff} },
		func(s *rpdb.Selector) { s.Mark = rpdb.Mark{Value: 0x105, Mask: 0xff} },
		func(s *rpdb.Selector) { s.Mark = rpdb.Mark{Value: 0, Mask: 1} },
		func(s *rpdb.Selector) { s.Mark = rpdb.Mark{Value: 7} },
		func(s *rpdb.Selector) { s.IIF = "lo" },
		func(s *rpdb.Selector) { s.OIF = "absent0" },
		func(s *rpdb.Selector) { s.IIF, s.OIF = "fifteen-bytes-1", "x" },
		func(s *rpdb.Selector) { s.UIDRange = rpdb.Some(rpdb.UIDRange{}) },
		func(s *rpdb.Selector) { s.UIDRange = rpdb.Some(rpdb.UIDRange{First: 0, Last: lastUID()}) },
		func(s *rpdb.Selector) { s.IPProto = rpdb.TCP },
		func(s *rpdb.Selector) { s.IPProto = 255 },
		func(s *rpdb.Selector) { s.SPort = rpdb.Port(53) },
		func(s *rpdb.Selector) { s.DPort = rpdb.PortRange(1, 65534) },
		func(s *rpdb.Selector) { s.DPort = rpdb.Ports{First: 443, Last: 443} },
		func(s *rpdb.Selector) { s.SPort = rpdb.Ports{First: 80, Last: 80, Mask: 0xfff0} },
		func(s *rpdb.Selector) { s.DPort = rpdb.Ports{First: 0x100, Last: 0x100, Mask: 0xff00} },
		func(s *rpdb.Selector) { s.SPort = rpdb.Port(80) },
		func(s *rpdb.Selector) { s.SPort, s.DPort = rpdb.Port(1), rpdb.Port(65534) },
		func(s *rpdb.Selector) { s.TunID = 1<<63 + 5 },
		func(s *rpdb.Selector) { s.TunID = 1<<64 - 1 },
		func(s *rpdb.Selector) { s.IIF = "\xff\x1b[31m\xfe" },
	}
	if f == rpdb.IPv6 {
		list = append(list,
			func(s *rpdb.Selector) { s.TOS = 0xb8 },
			func(s *rpdb.Selector) { s.FlowLabel = rpdb.FlowLabel{Value: 0xabcde, Mask: 0xfffff} },
			func(s *rpdb.Selector) { s.FlowLabel = rpdb.FlowLabel{Value: 0, Mask: 0xf} })
	}
	return list
}

func actions() []func(*rpdb.Rule) {
	return []func(*rpdb.Rule){
		func(r *rpdb.Rule) { r.Action = rpdb.ToTable(1) },
		func(r *rpdb.Rule) { r.Action = rpdb.ToTable(255) },
		func(r *rpdb.Rule) { r.Action = rpdb.ToTable(256) },
		func(r *rpdb.Rule) { r.Action = rpdb.ToTable(4294967295) },
		func(r *rpdb.Rule) { r.Action = rpdb.Goto(32766) },
		func(r *rpdb.Rule) { r.Action = rpdb.Goto(4294967295) },
		func(r *rpdb.Rule) { r.Action = rpdb.Nop() },
		func(r *rpdb.Rule) { r.Action = rpdb.Blackhole() },
		func(r *rpdb.Rule) { r.Action = rpdb.Unreachable() },
		func(r *rpdb.Rule) { r.Action = rpdb.Prohibit() },
		func(r *rpdb.Rule) { r.Action = rpdb.RawAction(rpdb.ActionNop, 77, 0) },
		func(r *rpdb.Rule) { r.Action = rpdb.RawAction(200, 5, 0) },
		func(r *rpdb.Rule) { r.Suppress.PrefixLength = rpdb.Some[int32](0) },
		func(r *rpdb.Rule) { r.Suppress.PrefixLength = rpdb.Some[int32](-2) },
		func(r *rpdb.Rule) { r.Suppress.PrefixLength = rpdb.Some[int32](200) },
		func(r *rpdb.Rule) { r.Suppress.IfGroup = rpdb.Some[uint32](0) },
		func(r *rpdb.Rule) { r.Suppress.IfGroup = rpdb.Some[uint32](1 << 31) },
		func(r *rpdb.Rule) { r.Protocol = rpdb.ProtocolRPDB },
		func(r *rpdb.Rule) { r.Flags = rpdb.RuleFindSaddr },
		func(r *rpdb.Rule) { r.Priority = 0 },
		func(r *rpdb.Rule) { r.Priority = 4294967295 },
	}
}

func TestRuleCodecRoundTrip(t *testing.T) {
	for _, r := range everyAttribute() {
		got, err := decodeRule(encodeRule(unix.RTM_NEWRULE, 0, r).Payload())
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if got.Canonical() != r.Canonical() {
			t.Errorf("decode(encode(rule)) is another rule\n got %+v\nwant %+v", got, r)
		}
	}
}

func TestRuleKeepsUnknownAttributes(t *testing.T) {
	e := encodeRule(unix.RTM_NEWRULE, 0, rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()})
	e.Uint32(77, 0xdeadbeef)
	e.String(78, "odd")
	r, err := decodeRule(e.Payload())
	must(t, err)
	if len(r.Unknown) != 8+8 {
		t.Fatalf("unknown attributes are %q", r.Unknown)
	}
	again, err := decodeRule(encodeRule(unix.RTM_NEWRULE, 0, r).Payload())
	must(t, err)
	if again != r {
		t.Errorf("got %+v, want %+v", again, r)
	}
}

func TestEveryRuleAttributeThroughTheKernel(t *testing.T) {
	_, c := namespace(t)
	for _, r := range everyAttribute() {
		must(t, do(c, addRule(r)))
	}
	s := snapshot(t, c)
	for _, r := range everyAttribute() {
		if !slices.ContainsFunc(s.Rules, func(x rpdb.Rule) bool { return x.Canonical() == r.Canonical() }) {
			t.Errorf("not in the dump: %+v", r)
		}
	}
	if !slices.IsSortedFunc(s.Rules, rpdb.Rule.Compare) {
		t.Error("the rules are not in order")
	}
	if s.Custom4 != rpdb.CustomisedYes || s.Custom6 != rpdb.CustomisedYes {
		t.Errorf("customised is %v, %v", s.Custom4, s.Custom6)
	}
	for _, r := range everyAttribute() {
		must(t, do(c, deleteRule(r)))
	}
	want := slices.Concat(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6))
	if got := snapshot(t, c).Rules; !slices.Equal(got, want) {
		t.Errorf("after deletion the rules are %+v", got)
	}
}

func TestRuleStateIsShown(t *testing.T) {
	_, c := namespace(t)
	for _, f := range rpdb.Families() {
		must(t, do(c, addRule(rpdb.Rule{Family: f, Priority: 10, Action: rpdb.Goto(20)})))
		must(t, do(c, addRule(rpdb.Rule{Family: f, Priority: 11, Selector: rpdb.Selector{IIF: "gone0", OIF: "gone1"}, Action: rpdb.Nop()})))
	}
	for _, r := range snapshot(t, c).Rules {
		var want rpdb.RuleFlags
		switch r.Priority {
		case 10:
			want = rpdb.RuleUnresolved
		case 11:
			want = rpdb.RuleIIFDetached | rpdb.RuleOIFDetached
		}
		if r.State() != want {
			t.Errorf("%v has the state %#x, want %#x", r, r.State(), want)
		}
	}
}

func TestTableZeroIsAllotted(t *testing.T) {
	_, c := namespace(t)
	r := rpdb.Rule{Family: rpdb.IPv4, Priority: 10, Action: rpdb.ToTable(0)}
	must(t, do(c, addRule(r)))
	if got := snapshot(t, c).Rules[1].Action.Table(); got == 0 {
		t.Error("the rule has no table")
	}
	r.Family = rpdb.IPv6
	if err := do(c, addRule(r)); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("IPv6 took table 0: %v", err)
	}
}

func TestErrorTexts(t *testing.T) {
	_, c := namespace(t)
	rule := func(change func(*rpdb.Rule)) rpdb.Rule {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(100)}
		change(&r)
		return r
	}
	plain := rule(func(*rpdb.Rule) {})
	must(t, do(c, addRule(plain)))
	for _, test := range []struct {
		change rpdb.Change
		errno  syscall.Errno
		want   string
	}{
		{addRule(plain), syscall.EEXIST, "add rule 100 (IPv4): file exists"},
		{
			addRule(rule(func(r *rpdb.Rule) { r.Selector.Not = true })), syscall.EEXIST,
			"add rule 100 (IPv4): file exists: another rule of this priority is the same in all that the kernel compares",
		},
		{
			addRule(rule(func(r *rpdb.Rule) { r.Selector.TOS = 1 })), syscall.EINVAL,
			"add rule 100 (IPv4): invalid argument: Invalid dsfield (tos): ECN bits must be 0",
		},
		{
			addRule(rule(func(r *rpdb.Rule) { r.Action = rpdb.Goto(5) })), syscall.EINVAL,
			"add rule 100 (IPv4): invalid argument: Backward goto not supported",
		},
		{
			deleteRule(rule(func(r *rpdb.Rule) { r.Priority = 5 })), syscall.ENOENT,
			"delete rule 5 (IPv4): no such file or directory",
		},
		{rpdb.RuleChange(rpdb.Replace, plain), syscall.EINVAL, "replace rule 100 (IPv4): invalid argument: no such operation"},
		{
			addRule(rule(func(r *rpdb.Rule) { r.Suppress.PrefixLength = rpdb.Some[int32](-1) })), syscall.EINVAL,
			"add rule 100 (IPv4): invalid argument: suppress_prefixlength -1 means none",
		},
		{
			addRule(rule(func(r *rpdb.Rule) { r.Selector.From = prefix("2001:db8::/32") })), syscall.EINVAL,
			"add rule 100 (IPv4): invalid argument: decode rule: decode attribute 2: 16 bytes, want 4",
		},
		{
			delRoute(rpdb.Route{Family: rpdb.IPv4, Dst: prefix("203.0.113.0/24"), Table: 99}), syscall.ESRCH,
			"delete route 203.0.113.0/24 table 99 (IPv4): no such process",
		},
		{rpdb.Change{Op: rpdb.Add}, syscall.EINVAL, "add nothing: invalid argument: a change is about one rule or one route"},
	} {
		err := do(c, test.change)
		var op *OpError
		if err == nil || err.Error() != test.want || !errors.Is(err, test.errno) || !errors.As(err, &op) {
			t.Errorf("%v\n got %v\nwant %s", test.change, err, test.want)
		}
	}
}

func TestExtendedReportHasAnOffset(t *testing.T) {
	_, c := namespace(t)
	r := rpdb.Rule{Family: rpdb.IPv6, Priority: 100, Action: rpdb.ToTable(1), Selector: rpdb.Selector{
		FlowLabel: rpdb.FlowLabel{Value: 1, Mask: 0x1fffff},
	}}
	var op *OpError
	if err := do(c, addRule(r)); !errors.As(err, &op) || op.Message != "Invalid flow label mask" || op.Offset == 0 {
		t.Errorf("got %#v", op)
	}
}

// What went wrong first stays in sight when the kernel refuses to mend it.
func TestErrorsBehindErrors(t *testing.T) {
	hit := rpdb.Rule{Family: rpdb.IPv4, Priority: 7}
	refused := &netlink.Error{Errno: syscall.EPERM, Message: "no"}
	err := opError("delete", "rule 7 (IPv4)", fmt.Errorf("%w, and did: %w", &OtherRuleError{Hit: hit}, refused))
	var other *OtherRuleError
	if !errors.As(err, &other) || other.Hit != hit || !errors.Is(err, syscall.EPERM) || !errors.Is(err, syscall.EBUSY) {
		t.Errorf("got %#v", err)
	}
	want := "delete rule 7 (IPv4): the kernel would delete another rule 7 (IPv4) before it, and did: operation not permitted: no"
	if err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// The kernel takes attributes that it does not know and stores the rest, which
// is a broader rule.
func TestDroppedAttributeIsTakenBack(t *testing.T) {
	_, c := namespace(t)
	for _, f := range rpdb.Families() {
		e := netlink.NewEncoder(nil, 0, 0, nil)
		e.Uint32(60, 7)
		r := rpdb.Rule{Family: f, Priority: 100, Action: rpdb.ToTable(5), Unknown: rpdb.Raw(e.Payload())}
		err := do(c, addRule(r))
		var lost *UnsupportedError
		if !errors.As(err, &lost) || !errors.Is(err, errors.ErrUnsupported) || lost.Feature != "attribute 60" {
			t.Errorf("got %v", err)
		}
		want := "add rule 100 (" + f.String() + "): the kernel ignores attribute 60"
		if err != nil && err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if rules := snapshot(t, c).RulesOf(f); !slices.Equal(rules, rpdb.DefaultRules(f)) {
			t.Errorf("left behind: %+v", rules)
		}
	}
}

func TestMissingFeatureIsNamed(t *testing.T) {
	for _, change := range selectors(rpdb.IPv6) {
		var meant, stored rpdb.Rule
		change(&meant.Selector)
		feature, since := missingInRule(meant, stored)
		known := meant.Selector.From.IsValid() || meant.Selector.To.IsValid() || meant.Selector.TOS != 0 ||
			meant.Selector.Mark != (rpdb.Mark{}) || meant.Selector == (rpdb.Selector{}) ||
			meant.Selector.IIF != "" && meant.Selector.OIF == ""
		if !known && (since == "" || feature == "an attribute of the rule") {
			t.Errorf("%+v: got %q, %q", meant.Selector, feature, since)
		}
	}
	meant := rpdb.Rule{Selector: rpdb.Selector{DSCP: rpdb.Some(rpdb.DSCP{Value: 8, Mask: 0x38})}}
	stored := rpdb.Rule{Selector: rpdb.Selector{DSCP: rpdb.Some(rpdb.DSCP{Value: 8, Mask: 0x3f})}}
	if feature, since := missingInRule(meant, stored); feature != "the mask of dscp" || since != "6.15" {
		t.Errorf("got %q, %q", feature, since)
	}
}

// What the kernel compares on deletion is not the whole rule: these pairs
// would be mixed up.
func TestDeletionNeverHitsAnotherRule(t *testing.T) {
	_, c := namespace(t)
	rule := func(change func(*rpdb.Rule)) rpdb.Rule {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(100)}
		change(&r)
		return r
	}
	plain := rule(func(r *rpdb.Rule) {})
	for name, foreign := range map[string]rpdb.Rule{
		"from":     rule(func(r *rpdb.Rule) { r.Selector.From = prefix("192.0.2.0/24") }),
		"not":      rule(func(r *rpdb.Rule) { r.Selector.Not, r.Selector.From = true, prefix("192.0.2.0/24") }),
		"protocol": rule(func(r *rpdb.Rule) { r.Protocol = rpdb.ProtocolStatic }),
		"mark":     rule(func(r *rpdb.Rule) { r.Selector.Mark = rpdb.Mark{Value: 1, Mask: 1} }),
		"suppress": rule(func(r *rpdb.Rule) { r.Suppress.PrefixLength = rpdb.Some[int32](0) }),
		"dscp":     rule(func(r *rpdb.Rule) { r.Selector.DSCP = rpdb.Some(rpdb.DSCP{Value: 0, Mask: 0x3f}) }),
	} {
		must(t, do(c, addRule(foreign)))
		force(t, c, plain)
		before := snapshot(t, c).Rules
		err := do(c, deleteRule(plain))
		var other *OtherRuleError
		if !errors.As(err, &other) || other.Hit.Canonical() != foreign.Canonical() || !errors.Is(err, syscall.EBUSY) {
			t.Errorf("%s: got %v", name, err)
		}
		if after := snapshot(t, c).Rules; !slices.Equal(before, after) {
			t.Errorf("%s: the rules changed", name)
		}
		must(t, do(c, deleteRule(foreign))) // the first of the two can go
		must(t, do(c, deleteRule(plain)))
	}
}

// force adds a rule without asking whether the kernel sees one like it.
func force(t *testing.T, c *Conn, r rpdb.Rule) {
	t.Helper()
	must(t, c.nl.Execute(t.Context(), encodeRule(unix.RTM_NEWRULE, netlink.Create, r), nil))
}

func TestDeletionTellsTwinsApart(t *testing.T) {
	_, c := namespace(t)
	from := rpdb.Rule{
		Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(1),
		Selector: rpdb.Selector{From: prefix("192.0.2.0/24")},
	}
	not := from
	not.Selector.Not = true
	goto1 := rpdb.Rule{Family: rpdb.IPv4, Priority: 200, Action: rpdb.Goto(1000)}
	goto2 := goto1
	goto2.Action = rpdb.Goto(2000)
	hosts := rpdb.Rule{
		Family: rpdb.IPv4, Priority: 300, Action: rpdb.ToTable(1),
		Selector: rpdb.Selector{From: prefix("192.0.2.7/24")},
	}
	for _, r := range []rpdb.Rule{from, not, goto1, goto2, hosts} {
		force(t, c, r)
	}
	var other *OtherRuleError
	for _, r := range []rpdb.Rule{not, goto2} {
		if err := do(c, deleteRule(r)); !errors.As(err, &other) {
			t.Errorf("delete %v: got %v", r, err)
		}
	}
	// Host bits are stored and compared, but mean nothing.
	hosts.Selector.From = prefix("192.0.2.0/24")
	for _, r := range []rpdb.Rule{from, not, goto1, goto2, hosts} {
		must(t, do(c, deleteRule(r)))
	}
}

// A list with the same rule twice loses one at a time.
func TestDeletionOfDuplicates(t *testing.T) {
	_, c := namespace(t)
	r := rpdb.Rule{Family: rpdb.IPv6, Priority: 100, Action: rpdb.Blackhole()}
	force(t, c, r)
	force(t, c, r)
	for want := 3; want >= 2; want-- {
		must(t, do(c, deleteRule(r)))
		if got := len(snapshot(t, c).RulesOf(rpdb.IPv6)); got != want {
			t.Errorf("%d rules, want %d", got, want)
		}
	}
	if err := do(c, deleteRule(r)); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("got %v", err)
	}
}

func TestFirstHitIsWhatTheKernelDeletes(t *testing.T) {
	_, c := namespace(t)
	// Every rule at one priority, so that only the attributes tell them apart.
	var rules []rpdb.Rule
	for _, change := range selectors(rpdb.IPv4) {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(100)}
		change(&r.Selector)
		rules = append(rules, r)
	}
	for i := range rules {
		list := append([]rpdb.Rule{}, rules...)
		list[0], list[i] = list[i], list[0] // each comes first once
		for _, r := range list {
			force(t, c, r)
		}
		for _, r := range list {
			stored := snapshot(t, c).RulesOf(rpdb.IPv4)
			j := slices.IndexFunc(stored, func(x rpdb.Rule) bool { return x.Canonical() == r.Canonical() })
			if j < 0 {
				continue // hit in the place of another before
			}
			want, _ := firstHit(stored[j], stored)
			gone, err := echoed(t.Context(), c.nl, encodeRuleDeletion(stored[j]), unix.RTM_DELRULE, decodeRule)
			if err != nil || len(gone) != 1 || gone[0] != want {
				t.Fatalf("delete %+v\nthe kernel deleted %+v, %v\nexpected %+v", stored[j], gone, err, want)
			}
		}
		for _, r := range snapshot(t, c).RulesOf(rpdb.IPv4) {
			if r.Priority == 100 {
				must(t, c.nl.Execute(t.Context(), encodeRuleDeletion(r), nil))
			}
		}
	}
}

// Of two rules of one priority, the deletion of the second takes away the
// second or is refused, whatever tells them apart.
func TestDeletionOfTheSecondOfEveryPair(t *testing.T) {
	_, c := namespace(t)
	for _, f := range rpdb.Families() {
		var rules []rpdb.Rule
		for _, change := range selectors(f) {
			r := rpdb.Rule{Family: f, Priority: 100, Action: rpdb.ToTable(100)}
			change(&r.Selector)
			rules = append(rules, r.Canonical())
		}
		refused := 0
		for _, first := range rules {
			for _, second := range rules {
				if first == second {
					continue
				}
				force(t, c, first)
				force(t, c, second)
				err := do(c, deleteRule(second))
				var other *OtherRuleError
				left := rulesAt(t, c, f, 100)
				switch {
				case err == nil && (len(left) != 1 || left[0] != first):
					t.Errorf("%+v\nbehind %+v: left %+v", second.Selector, first.Selector, left)
				case errors.As(err, &other):
					refused++
					if len(left) != 2 || left[0] != first || other.Hit.Canonical() != first {
						t.Errorf("%+v\nbehind %+v: left %+v, %v", second.Selector, first.Selector, left, err)
					}
				case err != nil:
					t.Errorf("%+v: %v", second.Selector, err)
				}
				for range left {
					must(t, do(c, deleteRule(rulesAt(t, c, f, 100)[0])))
				}
			}
		}
		if refused == 0 {
			t.Errorf("%v: no deletion was refused", f)
		}
	}
}

// rulesAt returns the canonical forms of the rules of one priority.
func rulesAt(t *testing.T, c *Conn, f rpdb.Family, p rpdb.Priority) (at []rpdb.Rule) {
	t.Helper()
	for _, r := range listed(t, c, f) {
		if r.Priority == p {
			at = append(at, r.Canonical())
		}
	}
	return at
}

// Masks make rules differ, also for the kernel's check of what exists.
func TestMasksTellRulesApart(t *testing.T) {
	_, c := namespace(t)
	for _, f := range rpdb.Families() {
		for _, mask := range []uint8{0x38, 0x3f, 0x08} {
			r := rpdb.Rule{Family: f, Priority: 100, Action: rpdb.ToTable(7)}
			r.Selector.DSCP = rpdb.Some(rpdb.DSCP{Value: 8, Mask: mask})
			must(t, do(c, addRule(r)))
		}
	}
}

// One connection serves many callers at once.
func TestManyCallers(t *testing.T) {
	_, c := namespace(t)
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			r := rpdb.Rule{Family: rpdb.Families()[i%2], Priority: rpdb.Priority(100 + i), Action: rpdb.ToTable(9)}
			for range 20 {
				if err := errors.Join(do(c, addRule(r)), do(c, deleteRule(r))); err != nil {
					t.Error(err)
				}
				if _, err := c.RouteGet(t.Context(), rpdb.Flow{Dst: addr("192.0.2.1")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := len(snapshot(t, c).Rules); got != 5 {
		t.Errorf("%d rules are left", got)
	}
}
