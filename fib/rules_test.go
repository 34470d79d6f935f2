package fib_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
	"rpdb/internal/oracle"
)

// crowded returns a world with the rules of many worlds, so that there are many of
// each shape.
func crowded(seed uint64, worlds int) (*rpdb.Snapshot, *corpus.Generator) {
	g := corpus.New(seed)
	s := g.Snapshot()
	for range worlds {
		for _, r := range g.Snapshot().Rules {
			if r.Protocol != rpdb.ProtocolKernel {
				s.Rules = append(s.Rules, r)
			}
		}
	}
	slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
	return s, g
}

// Among many rules the engine finds those that its slow twin finds, which asks one
// after the other.
func TestManyRulesAgainstOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		s, g := crowded(seed, 1+2*int(seed))
		f := fib.Compile(s)
		for range 30 {
			for _, family := range rpdb.Families() {
				flow, _, _ := g.Aimed(family, s.Rules)
				got, want := f.Lookup(flow), oracle.Decide(s, flow)
				got.Note = ""
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, %d rules, %+v\nengine %+v\noracle %+v", seed, len(s.Rules), flow, got, want)
				}
			}
		}
	}
}

// Rules that come and go one by one lead to the same as compiling what is left, and
// leave alone what was compiled before.
func TestRulesComeAndGo(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		s, g := crowded(seed, 6)
		spare, _ := crowded(seed+1000, 3)
		f := fib.Compile(s)
		first, story := f, stories(f, g, s.Rules)
		for i := range 60 {
			var ok bool
			if add := len(spare.Rules) > 0 && (len(s.Rules) < 20 || g.Number(5) > 1); add {
				r := spare.Rules[0]
				spare.Rules = spare.Rules[1:]
				f = f.WithRule(r)
				at := 0
				for at < len(s.Rules) && s.Rules[at].Compare(r) <= 0 {
					at++
				}
				s.Rules = slices.Insert(slices.Clone(s.Rules), at, r)
			} else {
				gone := s.Rules[g.Number(len(s.Rules))]
				if f, ok = f.WithoutRule(gone); !ok {
					t.Fatalf("seed %d: no %v to take away", seed, gone)
				}
				at := slices.IndexFunc(s.Rules, func(r rpdb.Rule) bool { return r.Canonical() == gone.Canonical() })
				s.Rules = slices.Delete(slices.Clone(s.Rules), at, at+1)
			}
			if i%10 != 9 {
				continue
			}
			anew := *s
			anew.Custom4, anew.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
			want := fib.Compile(&anew)
			for range 10 {
				for _, family := range rpdb.Families() {
					flow, _, _ := g.Aimed(family, s.Rules)
					equal(t, f.Trace(flow), want.Trace(flow))
				}
			}
		}
		for _, trace := range story {
			equal(t, first.Trace(trace.Flow), trace)
		}
	}
}

func stories(f *fib.FIB, g *corpus.Generator, rules []rpdb.Rule) (list []fib.Trace) {
	for range 10 {
		for _, family := range rpdb.Families() {
			flow, _, _ := g.Aimed(family, rules)
			list = append(list, f.Trace(flow))
		}
	}
	return list
}

// equal compares traces by what they tell.
func equal(t *testing.T, got, want fib.Trace) {
	t.Helper()
	if !reflect.DeepEqual(got.Decision, want.Decision) || len(got.Lookups) != len(want.Lookups) {
		t.Fatalf("%+v\ngot  %+v\nwant %+v", got.Flow, got.Decision, want.Decision)
	}
	for i := range got.Lookups {
		if a, b := got.Lookups[i].Steps(), want.Lookups[i].Steps(); !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v\ngot  %+v\nwant %+v", got.Flow, a, b)
		}
	}
}

// A rule that is not there cannot be taken away.
func TestWithoutRuleThatIsNotThere(t *testing.T) {
	f := fib.Compile(&rpdb.Snapshot{Rules: rpdb.DefaultRules(rpdb.IPv4)})
	r := rpdb.DefaultRules(rpdb.IPv4)[1]
	r.Action = rpdb.Blackhole()
	if g, ok := f.WithoutRule(r); ok || g != f {
		t.Errorf("took %v away", r)
	}
}

// The first rule that is added parts the tables of IPv4 that were one, as it does in
// the kernel.
func TestFirstRuleOfItsOwn(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		g := corpus.New(seed)
		s := g.Snapshot()
		s.Custom4, s.Custom6 = rpdb.CustomisedNo, rpdb.CustomisedNo
		s.Rules = append(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6)...)
		if seed%4 == 0 { // which is not known of main may be known of local
			s.MissingTables = []rpdb.TableRef{{Family: rpdb.IPv4, Table: rpdb.TableMain}}
			s.Routes = slices.DeleteFunc(s.Routes, func(r rpdb.Route) bool { return r.Family == rpdb.IPv4 && r.Table == rpdb.TableMain })
		}
		f := fib.Compile(s)
		for _, family := range rpdb.Families() {
			r := rpdb.Rule{Family: family, Priority: 5, Action: rpdb.ToTable(100)}
			s.Rules = append(s.Rules, r)
			f = f.WithRule(r)
		}
		slices.SortStableFunc(s.Rules, rpdb.Rule.Compare)
		s.Custom4, s.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
		want := fib.Compile(s)
		for range 40 {
			for _, family := range rpdb.Families() {
				flow := g.Flow(family)
				equal(t, f.Trace(flow), want.Trace(flow))
			}
		}
	}
}

// A rule that every namespace begins with can be taken away: from IPv4 that is a
// change like any other, and IPv6 goes on by all of them until a rule is added.
func TestBuiltInRuleTakenAway(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		g := corpus.New(seed)
		s := g.Snapshot()
		s.Custom4, s.Custom6 = rpdb.CustomisedNo, rpdb.CustomisedNo
		s.Rules = append(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6)...)
		for i, gone := range s.Rules {
			left := *s
			left.Rules = slices.Delete(slices.Clone(s.Rules), i, i+1)
			if gone.Family == rpdb.IPv4 {
				left.Custom4 = rpdb.CustomisedYes
			}
			f, ok := fib.Compile(s).WithoutRule(gone)
			if !ok {
				t.Fatalf("no %v to take away", gone)
			}
			if g, ok := f.WithoutRule(gone); ok || g != f {
				t.Errorf("took %v away twice", gone)
			}
			sameAs(t, g, f, &left)
			sameAs(t, g, fib.Compile(&left), &left)
			added := rpdb.Rule{Family: gone.Family, Priority: 5, Action: rpdb.ToTable(100)}
			if gone.Family == rpdb.IPv6 {
				left.Custom6 = rpdb.CustomisedYes
			}
			unread := fib.Compile(&left)
			left.Rules = append(slices.Clone(left.Rules), added)
			slices.SortStableFunc(left.Rules, rpdb.Rule.Compare)
			sameAs(t, g, f.WithRule(added), &left)
			sameAs(t, g, unread.WithRule(added), &left)
		}
	}
}

// sameAs compares what a FIB says with what the slow twin says of a snapshot.
func sameAs(t *testing.T, g *corpus.Generator, f *fib.FIB, s *rpdb.Snapshot) {
	t.Helper()
	for range 20 {
		for _, family := range rpdb.Families() {
			flow := g.Flow(family)
			got, want := f.Lookup(flow), oracle.Decide(s, flow)
			if got.Note = ""; !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v\nengine %+v\noracle %+v", flow, got, want)
			}
		}
	}
}

// A rule of neither family is not there, and one whose prefix is of the other fits
// nothing, or everything if it says not.
func TestRulesOfTheWrongFamily(t *testing.T) {
	plain := fib.Compile(world(t))
	if g := plain.WithRule(rpdb.Rule{Priority: 5, Action: rpdb.Prohibit()}); g != plain {
		t.Error("a rule of no family was added")
	}
	for _, c := range []struct {
		family       rpdb.Family
		prefix, flow string
	}{{rpdb.IPv4, "2001:db8::/32", "10.9.9.9"}, {rpdb.IPv6, "10.0.0.0/8", "2001:db8:9::9"}, {rpdb.IPv6, "::ffff:10.0.0.0/104", "2001:db8:9::9"}} {
		for _, not := range []bool{false, true} {
			f := plain
			for i := range 10 { // first compared, then hashed
				r := rpdb.Rule{Family: c.family, Priority: rpdb.Priority(5 + i), Action: rpdb.Prohibit()}
				r.Selector = rpdb.Selector{From: netip.MustParsePrefix(c.prefix), To: netip.MustParsePrefix(c.prefix), Not: not}
				f = f.WithRule(r)
				if got := f.Lookup(flow(t, c.flow)).Errno == rpdb.EACCES; got != not {
					t.Errorf("%d rules like %v: %v", i+1, r, got)
				}
			}
		}
	}
}

// Gotos that every flow follows are followed at once, and told of one by one.
func TestChainOfGotos(t *testing.T) {
	s := &rpdb.Snapshot{Rules: rpdb.DefaultRules(rpdb.IPv4)[:1], Custom4: rpdb.CustomisedYes}
	for i := range 100 {
		p := rpdb.Priority(100 + 2*i)
		s.Rules = append(s.Rules,
			rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: rpdb.Goto(p + 2)},
			rpdb.Rule{Family: rpdb.IPv4, Priority: p + 1, Action: rpdb.Blackhole()})
	}
	end := rpdb.Rule{Family: rpdb.IPv4, Priority: 300, Action: rpdb.Prohibit()}
	s.Rules = append(s.Rules, end)
	f := fib.Compile(s)
	lookup := func(f *fib.FIB) rpdb.Priority {
		p, _ := f.Lookup(flow(t, "192.0.2.1")).Rule.Get()
		return p
	}
	if got := lookup(f); got != 300 {
		t.Errorf("rule %d decided, not 300", got)
	}
	followed := 0
	for _, step := range f.Trace(flow(t, "192.0.2.1")).Lookups[0].Steps() {
		if _, ok := step.Detail.(fib.GotoFollowed); ok {
			followed++
		}
	}
	if followed != 100 {
		t.Errorf("the story tells of %d gotos", followed)
	}
	// Without its last rule the chain leads nowhere from its last goto on.
	broken, _ := f.WithoutRule(end)
	if got := lookup(broken); got != 299 {
		t.Errorf("rule %d decided, not 299", got)
	}
	if got := lookup(broken.WithRule(end)); got != 300 {
		t.Errorf("rule %d decided after all, not 300", got)
	}
}

// What a hash cannot tell is compared all the same, where there are many rules of a
// kind.
func TestManyRulesThatNoHashTellsApart(t *testing.T) {
	many := func(first int, rule func(i int) string) (list []string) {
		for i := range 12 {
			list = append(list, "rule add pref "+strconv.Itoa(first+i)+" "+rule(i))
		}
		return list
	}
	vrf := world(t, many(100, func(i int) string { return "iif red uidrange " + strconv.Itoa(i) + "-5000 table 100" })...)
	vrf.Links = append(vrf.Links, rpdb.Link{Index: 9, Name: "red", Kind: "vrf", VRFTable: 200, Flags: rpdb.LinkUp | rpdb.LinkLowerUp})
	vrf.Links[1].Master = 9
	gone := world(t, many(100, func(i int) string { return "oif gone" + strconv.Itoa(i) + " prohibit" })...)
	finds := world(t)
	for i := range 12 {
		s := rpdb.Selector{From: netip.PrefixFrom(netip.MustParseAddr("2001:db8:2::1"), 64)}
		finds.Rules = append(finds.Rules, rpdb.Rule{
			Family: rpdb.IPv6, Priority: rpdb.Priority(100 + i), Selector: s, Action: rpdb.ToTable(200), Flags: rpdb.RuleFindSaddr,
		})
	}
	slices.SortStableFunc(finds.Rules, rpdb.Rule.Compare)
	for _, c := range []struct {
		name  string
		world *rpdb.Snapshot
		flows []string
	}{
		{"the interfaces of a VRF", vrf, []string{"10.9.9.9 from 192.0.2.77 iif e0", "10.9.9.9 from 198.51.100.77 iif e1"}},
		{"interfaces that are not there", gone, []string{"10.9.9.9", "10.9.9.9 oif e1"}},
		{"a source that the rule finds", finds, []string{"2001:db8:9::9", "2001:db8:9::9 from 2001:db8:2::1", "2001:db8:9::9 from 2001:db8::1"}},
	} {
		for _, text := range c.flows {
			f := flow(t, text)
			got, want := fib.Compile(c.world).Lookup(f), oracle.Decide(c.world, f)
			if got.Note = ""; !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s\nengine %+v\noracle %+v", c.name, text, got, want)
			}
		}
	}
}

// Versions that come from one do not see each other's rules.
func TestVersionsApart(t *testing.T) {
	f := fib.Compile(world(t))
	rule := func(p rpdb.Priority, mark uint32, a rpdb.Action) rpdb.Rule {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: a}
		r.Selector.Mark = rpdb.Mark{Value: mark, Mask: ^uint32(0)}
		return r
	}
	for p := range rpdb.Priority(40) {
		f = f.WithRule(rule(100+p, 1, rpdb.Goto(30000)))
		a, b := f.WithRule(rule(200, 1, rpdb.Prohibit())), f.WithRule(rule(200, 1, rpdb.Unreachable()))
		marked := flow(t, "10.9.9.9 mark 1")
		for _, c := range []struct {
			f    *fib.FIB
			want rpdb.Errno
		}{{f, 0}, {a, rpdb.EACCES}, {b, rpdb.ENETUNREACH}} {
			if got := c.f.Lookup(marked).Errno; got != c.want {
				t.Fatalf("%d rules: %v, want %v", p+1, got, c.want)
			}
			if n := len(c.f.Trace(marked).Lookups[0].Steps()); c.want == 0 && n != 4+int(p) {
				t.Fatalf("%d rules: the story has %d", p+1, n)
			}
		}
	}
}

// The table of a shape grows rule by rule and finds each, and finds those that are left
// when every second has gone.
func TestOneShapeGrows(t *testing.T) {
	const n = 700
	rule := func(i int) rpdb.Rule {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(100 + i), Action: rpdb.Prohibit()}
		r.Selector.Mark = rpdb.Mark{Value: uint32(i), Mask: ^uint32(0)}
		return r
	}
	finds := func(f *fib.FIB, i int) bool {
		packet := flow(t, "10.9.9.9")
		packet.Mark = uint32(i)
		return f.Lookup(packet).Errno == rpdb.EACCES
	}
	f := fib.Compile(world(t))
	for i := 1; i < n; i++ {
		before := f
		if f = f.WithRule(rule(i)); !finds(f, i) || finds(before, i) {
			t.Fatalf("rule %d: found %v, and before it came %v", i, finds(f, i), finds(before, i))
		}
	}
	for i := 1; i < n; i += 2 {
		f, _ = f.WithoutRule(rule(i))
	}
	for i := range n + 100 {
		if want := i > 0 && i < n && i%2 == 0; finds(f, i) != want {
			t.Errorf("rule %d: found %v", i, !want)
		}
	}
}

// The last rule that asks for ports takes with it that packets are looked into.
func TestPortsAreAskedForNoMore(t *testing.T) {
	s := world(t, "rule add pref 100 iif lo ipproto udp prohibit")
	s.Sysctls.Links["e0"] = rpdb.LinkSysctls{Forwarding4: true, RPFilter: 1}
	asks := rpdb.Rule{Family: rpdb.IPv4, Priority: 50, Action: rpdb.ToTable(999)}
	asks.Selector.DPort = rpdb.Port(1)
	f, packet := fib.Compile(s), flow(t, "192.0.2.1 from 192.0.2.77 iif e0 proto 17 sport 7 dport 8")
	with := f.WithRule(asks)
	without, _ := with.WithoutRule(asks)
	if got := with.Lookup(packet).Disposition; got != rpdb.Martian {
		t.Fatalf("with a rule for ports: %v", got)
	}
	for _, g := range []*fib.FIB{f, without} {
		if got := g.Lookup(packet).Disposition; got != rpdb.Local {
			t.Errorf("without: %v", got)
		}
	}
}

// Rules that say not of one selector fit together or not at all, wherever they stand;
// those that do nothing are told of and not asked.
func TestManyInvertedRules(t *testing.T) {
	s := world(t)
	for i := range 50 {
		words := "pref " + strconv.Itoa(100+2*i) + " not from 192.0.2.0/24 "
		switch {
		case i == 30:
			words += "lookup 100"
		case i%2 == 0:
			words += "lookup 999"
		default: // which leads nowhere
			words += "goto 30000"
		}
		run(t, s, "rule add "+words, "rule add pref "+strconv.Itoa(101+2*i)+" not fwmark 1 nop")
	}
	f := fib.Compile(s)
	for _, text := range []string{"10.9.9.9 from 192.0.2.1", "10.9.9.9 from 198.51.100.1", "10.9.9.9 from 198.51.100.1 mark 1", "10.9.9.9"} {
		packet := flow(t, text)
		got, want := f.Lookup(packet), oracle.Decide(s, packet)
		if got.Note = ""; !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nengine %+v\noracle %+v", text, got, want)
		}
	}
	told := map[string]int{}
	for _, step := range f.Trace(flow(t, "10.9.9.9 from 198.51.100.1")).Lookups[0].Steps() {
		told[fmt.Sprintf("%T", step.Detail)]++
	}
	want := map[string]int{"fib.Miss": 1, "fib.NoTable": 15, "fib.GotoUnresolved": 15, "fib.NopPassed": 30, "fib.Chosen": 1, "fib.NotAsked": 41}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("the story tells of %v, want %v", told, want)
	}
}
