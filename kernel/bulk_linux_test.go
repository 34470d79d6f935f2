package kernel

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// block returns n rules of each family at priorities from first on, per to each.
func block(first, n, per int) []rpdb.Rule {
	var rules []rpdb.Rule
	for _, f := range rpdb.Families() {
		for i := range n {
			a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			if f == rpdb.IPv6 {
				a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
			}
			rules = append(rules, rpdb.Rule{
				Family: f, Priority: rpdb.Priority(first + i/per), Protocol: rpdb.ProtocolRPDB, Action: rpdb.ToTable(100),
				Selector: rpdb.Selector{From: netip.PrefixFrom(a, a.BitLen())},
			})
		}
	}
	return rules
}

// rulesOf returns the rules of both families with a priority of a range.
func rulesOf(t testing.TB, c *Conn, from, to rpdb.Priority) []rpdb.Rule {
	t.Helper()
	var rules []rpdb.Rule
	for _, f := range rpdb.Families() {
		list, err := c.Rules(t.Context(), f)
		must(t, err)
		for _, r := range list {
			if from <= r.Priority && r.Priority <= to {
				rules = append(rules, r.Canonical())
			}
		}
	}
	return rules
}

// An error that is about no rule alone names those that are written, and not those of a
// restore that stand already.
func TestErrorOfManyRulesNamesThem(t *testing.T) {
	_, c := namespace(t)
	rules := block(10_000, 5, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		walk []int
		want string
	}{
		{walkOf(rules), "add 10 rules from rule 10000 (IPv4) on: context canceled"},
		{[]int{3, 4, 5}, "add 3 rules from rule 10003 (IPv4) on: context canceled"},
		{[]int{7}, "add rule 10002 (IPv6): context canceled"},
	} {
		if err := newBulk(c, rules, test.walk).write(ctx); err == nil || err.Error() != test.want {
			t.Errorf("%d rules: %v, want %s", len(test.walk), err, test.want)
		}
	}
}

// Rules are looked at where they stand at the head, a stretch at a time: behind few
// of others or many, and with more of one priority than a stretch has.
func TestManyRulesInStretches(t *testing.T) {
	for _, in := range []struct{ front, n, per int }{{0, 2*stretch + 1, 1}, {2000, stretch + 1, 7}, {0, stretch + 7, stretch + 2}} {
		_, c := namespace(t)
		if in.front > 0 {
			must(t, c.AddRules(t.Context(), block(100, in.front, 1)))
		}
		rules := block(10_000, in.n, in.per)
		must(t, c.AddRules(t.Context(), rules))
		if got := rulesOf(t, c, 10_000, 32_000); !slices.Equal(got, rules) {
			t.Errorf("%+v: %d rules stand there, and not as they should", in, len(got))
		}
	}
}

func TestStretches(t *testing.T) {
	rules := block(10, 6, 2) // three priorities in each family
	w := newBulk(nil, rules, walkOf(rules))
	for _, c := range []struct{ end, length, from int }{
		{12, 1, 10}, {12, 2, 10}, {12, 3, 8}, {12, 100, 6}, {10, 4, 6}, {6, 100, 0}, {6, 5, 0}, {6, 3, 2}, {2, 1, 0},
	} {
		if from := w.stretchBefore(c.end, c.length); from != c.from {
			t.Errorf("%+v: from %d", c, from)
		}
	}
}

// A look tells everything that is not as it should be at the head, and is no
// judgement of what stands behind.
func TestLookAtTheHead(t *testing.T) {
	_, c := namespace(t)
	rules := block(10, 6, 2)[:6]
	must(t, c.AddRules(t.Context(), rules))
	w := newBulk(c, rules, walkOf(rules))
	look := func(what string, want bool) {
		t.Helper()
		before, seen := w.look(t.Context(), w.walk[:4])
		if seen != want || want && before != 2 {
			t.Errorf("%s: seen %v behind %d", what, seen, before)
		}
	}
	look("as it was written", true)
	must(t, c.DeleteRules(t.Context(), rules[5:]))
	look("one behind is missing", true)
	extra := rules[3]
	extra.Action = rpdb.Nop()
	must(t, do(c, rpdb.RuleChange(rpdb.Add, extra)))
	look("one more at the last place", false)
	must(t, c.DeleteRules(t.Context(), []rpdb.Rule{extra}))
	look("as it was", true)
	must(t, c.DeleteRules(t.Context(), rules[1:2]))
	look("one is missing", false)
	must(t, do(c, rpdb.RuleChange(rpdb.Add, rpdb.Rule{Family: rpdb.IPv4, Priority: 10, Action: rpdb.Nop()})))
	look("another one in its place", false)
}

func TestManyRulesStandInOrder(t *testing.T) {
	_, c := namespace(t)
	before := rulesOf(t, c, 0, 1<<31)
	for _, per := range []int{1, 3, 250} { // of one priority
		rules := block(1000, 750, per)
		must(t, c.AddRules(t.Context(), rules))
		if got := rulesOf(t, c, 1000, 2000); !slices.Equal(got, rules) {
			t.Errorf("%d of a priority: %d rules stand there, and not in their order", per, len(got))
		}
		must(t, c.DeleteRules(t.Context(), rules))
		if got := rulesOf(t, c, 0, 1<<31); !slices.Equal(got, before) {
			t.Errorf("%d of a priority: %d rules are left, want %d", per, len(got), len(before))
		}
	}
	must(t, c.AddRules(t.Context(), nil))
	must(t, c.DeleteRules(t.Context(), nil))
}

func TestEveryAttributeOfManyRules(t *testing.T) {
	_, c := namespace(t)
	rules := slices.DeleteFunc(everyAttribute(), func(r rpdb.Rule) bool { return r.Priority == 0 }) // local stands there
	slices.SortStableFunc(rules, rpdb.Rule.Compare)
	must(t, c.AddRules(t.Context(), rules))
	all := rulesOf(t, c, 1, 1<<32-1)
	for _, r := range rules {
		if !slices.Contains(all, r.Canonical()) {
			t.Errorf("not there: %+v", r)
		}
	}
	must(t, c.DeleteRules(t.Context(), rules))
	if got := rulesOf(t, c, 1, 32765); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

// Rules that the kernel takes for one another stand beside each other, and each is
// deleted by itself.
func TestManyRulesThatTheKernelConfuses(t *testing.T) {
	_, c := namespace(t)
	var rules []rpdb.Rule
	for _, f := range rpdb.Families() {
		for i := range 4 {
			r := rpdb.Rule{Family: f, Priority: 500, Action: rpdb.Goto(rpdb.Priority(600 + i/2))}
			r.Selector.Mark = rpdb.Mark{Value: 1, Mask: 1}
			r.Selector.Not = i%2 == 0
			rules = append(rules, r)
		}
	}
	must(t, c.AddRules(t.Context(), rules))
	if got := rulesOf(t, c, 500, 500); !slices.Equal(got, rules) {
		t.Errorf("got %v", got)
	}
	var other *OtherRuleError
	if err := c.DeleteRules(t.Context(), rules[1:2]); !errors.As(err, &other) || other.Hit.Canonical() != rules[0] {
		t.Errorf("got %v", err)
	}
	if got := rulesOf(t, c, 500, 500); !slices.Equal(got, rules) {
		t.Errorf("after a refusal: %v", got)
	}
	must(t, c.DeleteRules(t.Context(), rules))
}

func TestManyRulesOrNone(t *testing.T) {
	_, c := namespace(t)
	occupied := rpdb.Rule{Family: rpdb.IPv6, Priority: 1100, Action: rpdb.Nop()}
	must(t, do(c, addRule(occupied)))
	before := rulesOf(t, c, 0, 1<<31)
	none := func(what string, err error, check func(error) bool) {
		t.Helper()
		if err == nil || !check(err) {
			t.Errorf("%s: got %v", what, err)
		}
		if got := rulesOf(t, c, 0, 1<<31); !slices.Equal(got, before) {
			t.Errorf("%s: there are %d rules, want %d", what, len(got), len(before))
		}
	}
	var place *OccupiedError
	none("an occupied place", c.AddRules(t.Context(), block(1000, 300, 1)), func(err error) bool {
		return errors.As(err, &place) && place.Rule == occupied && errors.Is(err, syscall.EEXIST)
	})
	var one *BulkError
	rules := block(2000, 300, 1)
	rules[70].Selector.TOS = 1
	none("a refusal", c.AddRules(t.Context(), rules), func(err error) bool {
		return errors.As(err, &one) && one.Index == 70 && errors.Is(err, syscall.EINVAL) &&
			err.Error() == "add rule 2070 (IPv4): invalid argument: Invalid dsfield (tos): ECN bits must be 0"
	})
	rules = block(2000, 300, 1)
	rules[9].Selector.From = netip.MustParsePrefix("2001:db8::/32")
	none("a rule that cannot be said", c.AddRules(t.Context(), rules), func(err error) bool {
		return errors.As(err, &one) && one.Index == 9 && errors.Is(err, syscall.EINVAL)
	})
	e := netlink.NewEncoder(nil, 0, 0, nil)
	e.Uint32(60, 7)
	rules = block(2000, 300, 1)
	rules[400].Unknown = rpdb.Raw(e.Payload())
	none("an attribute that the kernel does not know", c.AddRules(t.Context(), rules), func(err error) bool {
		return errors.As(err, &one) && one.Index == 400 && errors.Is(err, syscall.EOPNOTSUPP)
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	none("an end", c.AddRules(ctx, block(2000, 300, 1)), func(err error) bool { return errors.Is(err, context.Canceled) })
	none("a rule that is not there", c.DeleteRules(t.Context(), []rpdb.Rule{occupied, block(3000, 1, 1)[0]}), func(err error) bool {
		return errors.As(err, &one) && one.Index == 1 && errors.Is(err, syscall.ENOENT)
	})
}

// What a race makes the kernel delete in the place of others comes back.
func TestManyRulesSlippedIn(t *testing.T) {
	_, c := namespace(t)
	plain := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(1)}
	foreign := plain
	foreign.Selector.From = prefix("192.0.2.7/24")
	force(t, c, plain)
	s := strike{conn: c, rules: []rpdb.Rule{plain}, rest: map[rpdb.Family][]rpdb.Rule{rpdb.IPv4: {foreign}}}
	var other *OtherRuleError
	if err := s.verify(t.Context(), true); !errors.As(err, &other) || other.Hit != foreign {
		t.Errorf("got %v", err)
	}
	if got := rulesOf(t, c, 100, 100); !slices.Equal(got, []rpdb.Rule{plain, foreign.Canonical()}) {
		t.Errorf("got %v", got)
	}
}

// BenchmarkManyRules writes rules into a free block, reads them back, and deletes
// them, which is read back, too: at a priority each, and all at one, of which the
// kernel walks the list to the end for each.
func BenchmarkManyRules(b *testing.B) {
	for _, c := range []struct {
		name   string
		n, per int
	}{{"distinct/1000", 1000, 1}, {"distinct/10000", 10000, 1}, {"distinct/50000", 50000, 1}, {"distinct/100000", 100000, 1}, {"equal/10000", 10000, 10000}} {
		b.Run(c.name, func(b *testing.B) {
			_, k := namespace(b)
			rules := block(40000, c.n, c.per)[:c.n]
			b.ReportAllocs()
			for b.Loop() {
				must(b, k.AddRules(b.Context(), rules))
				must(b, k.DeleteRules(b.Context(), rules))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.n), "ns/rule")
		})
	}
}

// Of writing and deleting a list little grows with it but what it is read into.
func TestManyRulesAllocations(t *testing.T) {
	_, c := namespace(t)
	rules := block(1000, 1000, 1)
	got := testing.AllocsPerRun(5, func() {
		must(t, c.AddRules(t.Context(), rules))
		must(t, c.DeleteRules(t.Context(), rules))
	}) / float64(len(rules))
	if got > 0.5 {
		t.Errorf("%.2f allocations for each rule", got)
	}
}

// Where the kernel refuses one, it is known what went: those behind it that were
// sent together with it, too, and nothing later.
func TestManyRulesOfWhichSomeGo(t *testing.T) {
	_, c := namespace(t)
	rules := block(1000, 250, 1)
	for _, i := range []int{60, 70} {
		rules[i].Flags |= rpdb.RulePermanent
	}
	must(t, c.AddRules(t.Context(), rules))
	err := c.DeleteRules(t.Context(), rules)
	var one *BulkError
	var part *PartError
	if !errors.As(err, &one) || one.Index != 60 || !errors.Is(err, syscall.EPERM) || !errors.As(err, &part) {
		t.Fatalf("got %v", err)
	}
	left := slices.Clone(rules)
	for _, i := range part.Deleted() {
		left[i].Family = 0
	}
	left = slices.DeleteFunc(left, func(r rpdb.Rule) bool { return r.Family == 0 })
	if got := rulesOf(t, c, 1000, 2000); !slices.Equal(got, left) || len(left) != len(rules)-98 {
		t.Errorf("%d rules are left, and %d by the error", len(got), len(left))
	}
	// Of those that are refused at the first none is deleted.
	if err := c.DeleteRules(t.Context(), rules[60:61]); errors.As(err, &part) || !errors.Is(err, syscall.EPERM) {
		t.Errorf("got %v", err)
	}
}

// Rules that go elsewhere are deleted first, in their order among each other, and
// each of the others is found where it stands.
func TestManyRulesWithGotos(t *testing.T) {
	ns, c := namespace(t)
	s := openSocket(t, ns)
	for _, flush := range []bool{false, true} {
		var rules []rpdb.Rule
		for i := range 240 {
			r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(1000 + i/12), Action: rpdb.ToTable(100)}
			switch i % 4 {
			case 1:
				r.Action = rpdb.Goto(2000)
			case 2:
				r.Action, r.Selector.Not = rpdb.Goto(3000), true
				r.Selector.Mark = rpdb.Mark{Value: 1, Mask: 1}
			case 3:
				r.Action, r.Selector.Mark = rpdb.RawAction(rpdb.ActionUnspec, 100, 0), rpdb.Mark{Value: 1, Mask: 1}
			}
			rules = append(rules, r)
		}
		target := rpdb.Rule{Family: rpdb.IPv4, Priority: 2000, Action: rpdb.Nop()}
		must(t, c.AddRules(t.Context(), append(rules, target)))
		if flush {
			must(t, s.FlushRules(t.Context(), unix.AF_INET, func(r *rpdb.Rule) bool { return 1000 <= r.Priority && r.Priority < 2000 }))
		} else {
			must(t, c.DeleteRules(t.Context(), rules))
		}
		if got := rulesOf(t, c, 1000, 2000); !slices.Equal(got, []rpdb.Rule{target}) {
			t.Errorf("flush %v: left are %v", flush, got)
		}
		must(t, c.DeleteRules(t.Context(), []rpdb.Rule{target}))
	}
}
