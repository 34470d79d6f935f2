package kernel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
)

func TestRestoreRules(t *testing.T) {
	_, c := namespace(t)
	before := snapshot(t, c).Rules
	more := []rpdb.Rule{
		{Family: rpdb.IPv4, Priority: 0, Action: rpdb.ToTable(7)},
		{Family: rpdb.IPv4, Priority: 100, Action: rpdb.Goto(32766), Flags: rpdb.RuleUnresolved},
		{Family: rpdb.IPv6, Priority: 100, Action: rpdb.Blackhole()},
		{Family: rpdb.IPv6, Priority: 100, Action: rpdb.Blackhole()},
	}
	want := slices.Concat(before, more)
	want[len(before)+1].Flags = 0
	for round, what := range []Restored{{Added: 4, There: 5}, {There: 9}} {
		done, err := c.RestoreRules(t.Context(), slices.Concat(before, more))
		must(t, err)
		if done != what {
			t.Errorf("round %d: %+v, want %+v", round, done, what)
		}
		got := snapshot(t, c).Rules
		slices.SortStableFunc(want, rpdb.Rule.Compare)
		if !slices.Equal(got, want) {
			t.Errorf("round %d:\n got %+v\nwant %+v", round, got, want)
		}
	}
}

// A rule that the kernel refuses takes those before it back, also where the
// kernel would delete another one first.
func TestRestoreRulesAllOrNothing(t *testing.T) {
	_, c := namespace(t)
	first := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(1)}
	first.Selector.From, first.Selector.Not = prefix("192.0.2.0/24"), true
	force(t, c, first)
	force(t, c, rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.Nop()})
	before := snapshot(t, c).Rules
	same := first
	same.Selector.Not = false
	done, err := c.RestoreRules(t.Context(), []rpdb.Rule{
		{Family: rpdb.IPv6, Priority: 5, Action: rpdb.ToTable(9)},
		same,
		{Family: rpdb.IPv4, Priority: 200, Action: rpdb.Goto(100)},
	})
	var one *RestoreError
	if !errors.Is(err, unix.EINVAL) || !errors.As(err, &one) || one.Index != 2 || done != (Restored{}) {
		t.Errorf("got %+v, %v", done, err)
	}
	if got := snapshot(t, c).Rules; !slices.Equal(got, before) {
		t.Errorf("\n got %+v\nwant %+v", got, before)
	}
}

func TestRestoreRefusesBeforeItBegins(t *testing.T) {
	for what, r := range map[string]rpdb.Rule{
		"no family": {Priority: 1, Action: rpdb.Nop()},
		"no table":  {Family: rpdb.IPv4, Priority: 1, Action: rpdb.ToTable(0)},
	} {
		good := rpdb.Rule{Family: rpdb.IPv4, Priority: 1, Action: rpdb.Nop()}
		var one *RestoreError
		_, err := (&Conn{}).RestoreRules(t.Context(), []rpdb.Rule{good, r})
		if !errors.As(err, &one) || one.Index != 1 || !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What is written shall be short where little is out of order.
func TestRewritingTouchesLittle(t *testing.T) {
	rules := map[string]rpdb.Rule{}
	for i, name := range strings.Split("abcdx", "") {
		rules[name] = rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.ToTable(rpdb.TableID(10 + i))}
	}
	// n is not m, and deleting m takes what stands first of both.
	rules["m"] = rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()}
	rules["n"] = rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop(), Selector: rpdb.Selector{Not: true}}
	list := func(names string) (l []rpdb.Rule) {
		for _, name := range strings.Split(names, "") {
			if name != "" {
				l = append(l, rules[name])
			}
		}
		return l
	}
	names := func(l []rpdb.Rule) (s string) {
		for _, r := range l {
			for name, x := range rules {
				if same(r, x) {
					s += name
				}
			}
		}
		return s
	}
	for _, c := range []struct{ have, want, added, deleted string }{
		{"", "", "", ""},
		{"", "ab", "ab", ""},
		{"ab", "ab", "", ""},
		{"ab", "", "", ""},
		{"axb", "ab", "", ""},
		{"a", "ab", "b", ""},
		{"b", "ab", "ab", "b"},
		{"ac", "abc", "bc", "c"},
		{"axc", "abc", "bc", "c"},
		{"ba", "ab", "b", "b"},
		{"abab", "ab", "", ""},
		{"aabb", "ab", "", ""},
		{"ab", "abab", "ab", ""},
		{"bab", "ab", "b", "b"},
		{"xbx", "ab", "ab", "b"},
		{"dcba", "abcd", "bcd", "dcb"},
		{"nm", "mn", "n", "n"},
		{"nxm", "xmn", "n", "n"},
		{"mnx", "nxm", "m", "m"},
		{"ncm", "nmc", "c", "c"},
		{"ncmd", "cmdn", "n", "n"},
		{"nmxc", "nxcm", "nxcm", "nmxc"}, // deleting m would take n
		{"abca", "abca", "", ""},
	} {
		add, del := rewriting(list(c.have), restored(list(c.have), list(c.want)))
		if names(add) != c.added || names(del) != c.deleted {
			t.Errorf("from %q to have %q: adds %q and deletes %q, want %q and %q", c.have, c.want, names(add), names(del), c.added, c.deleted)
		}
	}
}

// fakeKernel is a kernel as simple as can be, which fails one request.
type fakeKernel struct {
	list     []rpdb.Rule // of one family
	failAt   int         // the number of the request that fails, from 1
	late     bool        // it fails after it was carried out
	requests int
	never    []rpdb.Rule // what must never be missing
	t        *testing.T
}

var errFake = errors.New("this request fails")

func (k *fakeKernel) request(do func()) error {
	k.requests++
	failed := k.requests == k.failAt
	if !failed || k.late {
		do()
	}
	for _, r := range k.never {
		if !slices.ContainsFunc(k.list, func(c rpdb.Rule) bool { return c == r }) {
			k.t.Errorf("after request %d %v is missing", k.requests, r)
		}
	}
	if failed {
		return errFake
	}
	return nil
}

func (k *fakeKernel) rules(context.Context, rpdb.Family) ([]rpdb.Rule, error) {
	return slices.Clone(k.list), nil
}

func (k *fakeKernel) appendRule(_ context.Context, r rpdb.Rule) (stored []rpdb.Rule, err error) {
	err = k.request(func() {
		i := 0
		for i < len(k.list) && k.list[i].Priority <= r.Priority {
			i++
		}
		k.list = slices.Insert(k.list, i, r)
		stored = []rpdb.Rule{r}
	})
	if err != nil {
		return nil, err
	}
	return stored, nil
}

func (k *fakeKernel) addMany(_ context.Context, rules []rpdb.Rule, walk []int) (back func(context.Context) error, err error) {
	var fresh []rpdb.Rule
	for _, i := range walk {
		fresh = append(fresh, rules[i])
	}
	for _, r := range fresh {
		if slices.ContainsFunc(k.list, func(c rpdb.Rule) bool { return c.Priority == r.Priority }) {
			k.t.Errorf("%v is added to a place that is not free", r)
		}
	}
	err = k.request(func() {
		k.list = append(k.list, fresh...)
		slices.SortStableFunc(k.list, rpdb.Rule.Compare)
	})
	if err != nil && k.late {
		err = &LeftError{err, err}
	}
	return func(context.Context) error {
		k.list = without(k.list, fresh)
		return nil
	}, err
}

// takeRule compares like the kernel what the rules of this test have.
func (k *fakeKernel) takeRule(_ context.Context, r rpdb.Rule) (gone []rpdb.Rule, err error) {
	err = k.request(func() {
		i := slices.IndexFunc(k.list, func(c rpdb.Rule) bool {
			return (r.Priority == 0 || c.Priority == r.Priority) && c.Action.Type() == r.Action.Type() &&
				(r.Action.Table() == 0 || c.Action.Table() == r.Action.Table()) &&
				(!r.Selector.From.IsValid() || c.Selector.From == r.Selector.From)
		})
		if i >= 0 {
			gone = []rpdb.Rule{k.list[i]}
			k.list = slices.Delete(k.list, i, i+1)
		}
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// someRules makes a list of rules of which many agree with each other as far
// as the kernel looks, sorted as the kernel has them.
func someRules(r *rand.Rand, most int) []rpdb.Rule {
	var list []rpdb.Rule
	for range r.IntN(most + 1) {
		x := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(7 * r.IntN(2))}
		x.Action = []rpdb.Action{rpdb.ToTable(1), rpdb.ToTable(2), rpdb.Nop(), rpdb.Goto(100), rpdb.Goto(200)}[r.IntN(5)]
		x.Selector.Not = r.IntN(3) == 0
		if r.IntN(2) == 0 {
			x.Selector.From = prefix(fmt.Sprintf("192.0.2.%d/32", r.IntN(2)))
		}
		list = append(list, x)
	}
	slices.SortStableFunc(list, rpdb.Rule.Compare)
	return list
}

// Random lists are restored over random lists, with every request failing in
// turn, before and after it was carried out.
func TestRestoreOnPaper(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 800 {
		have, want := someRules(random, 7), someRules(random, 7)
		if n%3 == 0 { // a saved list, of which some rules were lost and others moved
			want = slices.Clone(have)
			random.Shuffle(len(have), func(i, j int) { have[i], have[j] = have[j], have[i] })
			have = have[:random.IntN(len(have)+1)]
			slices.SortStableFunc(have, rpdb.Rule.Compare)
		}
		many := []int{1, 3, 100}[n%3] // missing rules are added at once
		k := &fakeKernel{t: t, list: slices.Clone(have), never: have}
		done, err := (&restoration{kernel: k, rules: want, many: many}).run(t.Context())
		if err != nil {
			t.Fatalf("restoring %v over %v: %v", want, have, err)
		}
		checkRestored(t, have, want, k.list, done)
		for at := 1; at <= k.requests; at++ {
			for _, late := range []bool{false, true} {
				k := &fakeKernel{t: t, list: slices.Clone(have), never: have, failAt: at, late: late}
				done, err := (&restoration{kernel: k, rules: want, many: many}).run(t.Context())
				if err == nil && many < 100 && !late { // by many at once it failed, and one by one it went
					checkRestored(t, have, want, k.list, done)
					continue
				}
				if !errors.Is(err, errFake) || done != (Restored{}) || !slices.Equal(k.list, have) {
					t.Fatalf("restoring %+v over %+v, request %d failing (%v): %+v, %v, and left are %+v", want, have, at, late, done, err, k.list)
				}
			}
		}
	}
}

// checkRestored looks at what a restore left, in the plainest way.
func checkRestored(t *testing.T, have, want, left []rpdb.Rule, done Restored) {
	t.Helper()
	count := func(list []rpdb.Rule, r rpdb.Rule) (n int) {
		for _, x := range list {
			if x == r {
				n++
			}
		}
		return n
	}
	added := 0
	for _, r := range slices.Concat(have, want) {
		if n := max(count(have, r), count(want, r)); count(left, r) != n {
			t.Fatalf("restoring %+v over %+v: %d of %+v, want %d", want, have, count(left, r), r, n)
		}
	}
	at := 0 // every rule of want stands behind the one before, and no copy of a later one in front of it
	for i, r := range want {
		if i > 0 && want[i-1].Priority != r.Priority {
			at = slices.IndexFunc(left, func(x rpdb.Rule) bool { return x.Priority == r.Priority })
		}
		j := slices.Index(left[at:], r)
		if j < 0 {
			t.Fatalf("restoring %+v over %+v: out of order: %+v", want, have, left)
		}
		at += j + 1
		if first := slices.Index(left, r); slices.Index(want, r) == i {
			for _, before := range want[:i] {
				if slices.Index(left, before) > first {
					t.Fatalf("restoring %+v over %+v: %+v stands before %+v", want, have, r, before)
				}
			}
		}
		if count(want[:i+1], r) > count(have, r) {
			added++
		}
	}
	if done.Added != added || done.There != len(want)-added {
		t.Fatalf("restoring %+v over %+v: %+v", want, have, done)
	}
}

// failing is a real kernel of which one request fails.
type failing struct {
	ruleKeeper
	at, requests int
	late         bool
}

func (k *failing) fails(do func() ([]rpdb.Rule, error)) ([]rpdb.Rule, error) {
	k.requests++
	if k.requests != k.at {
		return do()
	}
	if k.late {
		_, _ = do()
	}
	return nil, errFake
}

func (k *failing) appendRule(ctx context.Context, r rpdb.Rule) ([]rpdb.Rule, error) {
	return k.fails(func() ([]rpdb.Rule, error) { return k.ruleKeeper.appendRule(ctx, r) })
}

func (k *failing) takeRule(ctx context.Context, r rpdb.Rule) ([]rpdb.Rule, error) {
	return k.fails(func() ([]rpdb.Rule, error) { return k.ruleKeeper.takeRule(ctx, r) })
}

// The same on a real kernel: saved rules in an order of their own, most of them
// lost or moved.
func TestRestoreOnAKernel(t *testing.T) {
	ns, c := namespace(t)
	s := openSocket(t, ns)
	random := rand.New(rand.NewPCG(3, 4))
	for range 12 {
		have, want := someRules(random, 6), someRules(random, 6)
		want = slices.Concat(want, have)
		random.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
		slices.SortStableFunc(want, rpdb.Rule.Compare)
		begin := func() {
			must(t, s.FlushRules(t.Context(), unix.AF_INET, func(*rpdb.Rule) bool { return true }))
			for _, r := range have {
				force(t, c, r)
			}
		}
		listed := func() []rpdb.Rule {
			list, err := c.rules(t.Context(), rpdb.IPv4)
			must(t, err)
			for i := range list {
				list[i] = withoutState(list[i])
			}
			return list
		}
		begin()
		k := &failing{ruleKeeper: c}
		done, err := (&restoration{kernel: k, rules: want, many: 100}).run(t.Context())
		must(t, err)
		checkRestored(t, have, want, listed(), done)
		for at := 1; at <= k.requests; at++ {
			begin()
			k := &failing{ruleKeeper: c, at: at, late: at%2 == 0}
			_, err := (&restoration{kernel: k, rules: want, many: 100}).run(t.Context())
			if left := listed(); !errors.Is(err, errFake) || !slices.Equal(left, have) {
				t.Fatalf("restoring %+v over %+v, request %d failing: %v, and left are %+v", want, have, at, err, left)
			}
		}
	}
}

// A long list comes back at once, and over what is left of it one by one.
func TestRestoreManyOnAKernel(t *testing.T) {
	_, c := namespace(t)
	rules := block(1000, 2*manyRestored, 2)
	must(t, c.AddRules(t.Context(), rules[:7]))
	done, err := c.RestoreRules(t.Context(), rules)
	must(t, err)
	if want := (Restored{Added: len(rules) - 7, There: 7}); done != want {
		t.Errorf("got %+v, want %+v", done, want)
	}
	if got := rulesOf(t, c, 1000, 2000); !slices.Equal(got, rules) {
		t.Errorf("%d rules stand there, and not in their order", len(got))
	}
	if done, err = c.RestoreRules(t.Context(), rules); err != nil || done.There != len(rules) {
		t.Errorf("once more: %+v, %v", done, err)
	}
	must(t, c.DeleteRules(t.Context(), rules))
	rules[300].Selector.TOS = 1
	var one *RestoreError
	if _, err := c.RestoreRules(t.Context(), rules); !errors.As(err, &one) || one.Index != 300 {
		t.Errorf("got %v", err)
	}
	if got := rulesOf(t, c, 1000, 2000); len(got) > 0 {
		t.Errorf("%d rules are left", len(got))
	}
}

// A list that is there as it should be, or gone, is not made anything of but numbers.
func TestSplittingAListAllocatesLittle(t *testing.T) {
	rules := block(1000, 1000, 4)
	for what, c := range map[string]struct {
		there []rpdb.Rule
		want  todo
	}{
		"whole": {slices.Clone(rules), todo{}},
		"gone":  {rpdb.DefaultRules(rpdb.IPv4), todo{all: walkOf(rules), fresh: walkOf(rules)}},
	} {
		r := restoration{rules: rules}
		var got todo
		if n := testing.AllocsPerRun(10, func() { got = r.split(c.there) }); n > 50 {
			t.Errorf("%s: %v allocations for %d rules", what, n, len(rules))
		}
		if !slices.Equal(got.all, c.want.all) || !slices.Equal(got.fresh, c.want.fresh) || len(got.rest) > 0 {
			t.Errorf("%s: to do are %d, %d of them fresh", what, len(got.all), len(got.fresh))
		}
	}
}

// What was added at once goes again if something else is refused.
func TestRestoreManyAndARefusal(t *testing.T) {
	_, c := namespace(t)
	there := rpdb.Rule{Family: rpdb.IPv4, Priority: 3000, Action: rpdb.Nop()}
	must(t, do(c, addRule(there)))
	before := rulesOf(t, c, 0, 1<<31)
	backwards := rpdb.Rule{Family: rpdb.IPv4, Priority: 3000, Action: rpdb.Goto(7)}
	rules := slices.Concat([]rpdb.Rule{there, backwards}, block(1000, 2*manyRestored, 2))
	var one *RestoreError
	if _, err := c.RestoreRules(t.Context(), rules); !errors.As(err, &one) || one.Index != 1 || !errors.Is(err, unix.EINVAL) {
		t.Errorf("got %v", err)
	}
	if got := rulesOf(t, c, 0, 1<<31); !slices.Equal(got, before) {
		t.Errorf("%d rules are there, want %d", len(got), len(before))
	}
}

// What others do meanwhile stays, and what they are in the way of is not done.
func TestRestoreAmongOthers(t *testing.T) {
	rule := func(table rpdb.TableID) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.ToTable(table)}
	}
	have, want := []rpdb.Rule{rule(2), rule(9)}, []rpdb.Rule{rule(1), rule(2), rule(3)}
	k := &fakeKernel{t: t, list: slices.Clone(have)}
	other := &intruder{k, func() {
		_, _ = k.appendRule(t.Context(), rule(8))
		_, _ = k.takeRule(t.Context(), rule(3)) // of ours, when it is there
		_, _ = k.takeRule(t.Context(), rule(9))
	}}
	_, err := (&restoration{kernel: other, rules: want, many: 100}).run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("got %v", err)
	}
	if left := []rpdb.Rule{rule(2), rule(8)}; !slices.Equal(k.list, left) {
		t.Errorf("left are %+v, want %+v", k.list, left)
	}
}

// intruder does something when the first rule is deleted.
type intruder struct {
	*fakeKernel
	meanwhile func()
}

func (k *intruder) takeRule(ctx context.Context, r rpdb.Rule) ([]rpdb.Rule, error) {
	gone, err := k.fakeKernel.takeRule(ctx, r)
	if do := k.meanwhile; do != nil {
		k.meanwhile = nil
		do()
	}
	return gone, err
}

// BenchmarkRestore restores a long list of saved rules after a flush.
func BenchmarkRestore(b *testing.B) {
	for _, n := range []int{1000, 10000, 50000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			_, c := namespace(b)
			rules := block(40000, n, 1)[:n]
			b.ReportAllocs()
			for b.Loop() {
				_, err := c.RestoreRules(b.Context(), rules)
				must(b, err)
				b.StopTimer()
				must(b, c.DeleteRules(b.Context(), rules))
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/rule")
		})
	}
}
