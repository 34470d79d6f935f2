package apply_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"rpdb"
	"rpdb/apply"
	"rpdb/apply/journal"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
)

// bulkSite is a site whose kernel takes many rules at once. Each of them is a call
// that can stop or fail, as a program is stopped in the middle.
type bulkSite struct {
	*site
	single int // calls of Do
	routes int // those of them that delete a route
	added  int // those that do not delete
	// unable has the kernel refuse many rules at once; stuck leaves some of them.
	unable, stuck bool
	// between, if not nil, is called between any two of many: what packets see.
	between func()
	// halfway has it refuse a deletion, and make the others of the first half.
	halfway bool
	// overtaken has another program delete every other one of many first.
	overtaken bool
	readings  int // calls of Snapshot
}

func (s *bulkSite) Snapshot(ctx context.Context) (*rpdb.Snapshot, error) {
	s.readings++
	return s.site.Snapshot(ctx)
}

// overtake deletes one of many as another program does, if that is its turn.
func (s *bulkSite) overtake(ctx context.Context, i int, c rpdb.Change) bool {
	return s.overtaken && i%2 == 1 && s.Memory.Do(ctx, c) == nil
}

// someDeleted is what kernel.PartError is.
type someDeleted struct{ numbers []int }

func (someDeleted) Error() string    { return "refused, and some deleted" }
func (e someDeleted) Deleted() []int { return e.numbers }

func (s *bulkSite) Do(ctx context.Context, c rpdb.Change) error {
	s.single++
	if c.Op != rpdb.Delete {
		s.added++
	}
	if c.Route != nil && c.Op == rpdb.Delete {
		s.routes++
	}
	return s.site.Do(ctx, c)
}

func (s *bulkSite) DeleteRoutes(ctx context.Context, routes []rpdb.Route) error {
	if s.unable {
		return syscall.EIO
	}
	var made []int
	for i, r := range routes {
		if s.halfway && i%10 == 7 || s.overtake(ctx, i, rpdb.RouteChange(rpdb.Delete, r)) {
			continue
		}
		if err := s.faults.call(func() error { return s.Memory.Do(ctx, rpdb.RouteChange(rpdb.Delete, r)) }); err != nil {
			return fmt.Errorf("delete routes: %w", someDeleted{made})
		}
		made = append(made, i)
	}
	if len(made) < len(routes) {
		return fmt.Errorf("delete routes: %w", someDeleted{made})
	}
	return nil
}

// twoReasons is what kernel.LeftError is.
type twoReasons struct{}

func (twoReasons) Error() string   { return "refused, and left" }
func (twoReasons) Unwrap() []error { return []error{syscall.EIO, syscall.EPERM} }

func (s *bulkSite) AddRules(ctx context.Context, rules []rpdb.Rule) error {
	if s.unable {
		return syscall.EIO
	}
	order := slices.Clone(rules)
	slices.SortStableFunc(order, func(a, b rpdb.Rule) int { return cmp.Compare(b.Priority, a.Priority) })
	for i, r := range order {
		err := s.faults.call(func() error { return s.Memory.Do(ctx, rpdb.RuleChange(rpdb.Add, r)) })
		if s.between != nil {
			s.between()
		}
		if s.stuck && i == len(order)/2 {
			return twoReasons{}
		}
		if err != nil {
			for _, r := range order[:i+1] {
				_ = s.Memory.Do(ctx, rpdb.RuleChange(rpdb.Delete, r))
			}
			return err
		}
	}
	return nil
}

func (s *bulkSite) DeleteRules(ctx context.Context, rules []rpdb.Rule) error {
	if s.unable {
		return syscall.EIO
	}
	// As the kernel's does, those that go to another place first.
	var order, made []int
	for _, gotos := range []bool{true, false} {
		for i, r := range rules {
			if (r.Action.Type() == rpdb.ActionGoto) == gotos {
				order = append(order, i)
			}
		}
	}
	for _, i := range order {
		r := rules[i]
		switch {
		case s.halfway && i == 7, s.overtake(ctx, i, rpdb.RuleChange(rpdb.Delete, r)):
			continue
		case s.halfway && i == len(rules)/2:
			return fmt.Errorf("delete rules: %w", someDeleted{made})
		}
		if err := s.faults.call(func() error { return s.Memory.Do(ctx, rpdb.RuleChange(rpdb.Delete, r)) }); err != nil {
			return err
		}
		if s.between != nil {
			s.between()
		}
		made = append(made, i)
	}
	if len(made) < len(rules) {
		return fmt.Errorf("delete rules: %w", someDeleted{made})
	}
	return nil
}

// session is that of the site, with this kernel.
func (s *bulkSite) apply(t *testing.T, d rpdb.Desired, name string) (out apply.Outcome, stopped bool, err error) {
	t.Helper()
	c := s.config(t)
	c.Kernel = s
	defer c.Journal.Close()
	var session *apply.Session
	defer func() {
		if session != nil {
			session.Close()
		}
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			stopped = true
		}
	}()
	if session, err = apply.Begin(t.Context(), c); err != nil {
		return out, false, err
	}
	prop := s.proposal(t, name)
	prop.Desired = d
	out, err = session.Apply(t.Context(), prop)
	return out, false, err
}

// manyRules is a policy of n rules of each family, from an address on.
func manyRules(n int, first byte) rpdb.Desired {
	var d rpdb.Desired
	for i := range n {
		for _, f := range rpdb.Families() {
			a := netip.AddrFrom4([4]byte{10, first, byte(i >> 8), byte(i)})
			if f == rpdb.IPv6 {
				a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: first, 14: byte(i >> 8), 15: byte(i)})
			}
			d.Rules = append(d.Rules, rpdb.DesiredRule{
				Name: fmt.Sprint("rule-", i),
				Rule: rpdb.Rule{
					Family: f, Protocol: rpdb.ProtocolRPDB, Action: rpdb.ToTable(rpdb.TableMain),
					Selector: rpdb.Selector{From: netip.PrefixFrom(a, a.BitLen())},
				},
			})
		}
	}
	return d
}

func newBulkSite(t *testing.T) *bulkSite {
	t.Helper()
	s := newSite(t, t.TempDir())
	return &bulkSite{site: s}
}

// left is what a policy still lacks, and what of ours is there besides.
func (s *bulkSite) left(t *testing.T, d rpdb.Desired) []plan.Step {
	t.Helper()
	return must(plan.Diff(must(s.Memory.Snapshot(t.Context())), d)).Steps
}

// Long policies are written and cleared away at once, with the same outcome as one
// by one.
func TestManyRulesAtOnce(t *testing.T) {
	for _, unable := range []bool{false, true} {
		s := newBulkSite(t)
		s.unable = unable
		foreign := s.foreign(t)
		first, second := manyRules(100, 1), manyRules(120, 2)
		for i, d := range []rpdb.Desired{first, second, first} {
			s.single = 0
			out, _, err := s.apply(t, d, fmt.Sprint("policy ", i))
			if err != nil {
				t.Fatal(err)
			}
			if n := len(out.Result.Done); n < len(d.Rules) {
				t.Errorf("it says that %d steps were made", n)
			}
			if left := s.left(t, d); len(left) > 0 {
				t.Errorf("policy %d: still needed: %v", i, left)
			}
			if few := s.single < 20; few == unable {
				t.Errorf("policy %d: %d changes were made one by one", i, s.single)
			}
		}
		if now := s.foreign(t); now != foreign {
			t.Errorf("foreign:\n%s\nand before\n%s", now, foreign)
		}
	}
}

// Whatever order many rules are written and deleted in, packets see none of it: a
// gate in front of them stands before the first comes and until the last is gone.
func TestPacketsSeeNothingOfManyRules(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		s := newBulkSite(t)
		first, second := manyRules(80, 1), manyRules(90, 2)
		for _, d := range []rpdb.Desired{first, second, {}, first} {
			before := s.alive(t)
			seen := map[int]int{}
			s.between = func() { seen[s.alive(t)]++ }
			if refuse {
				s.refuse = func(c rpdb.Change) bool { // the message that leads packets there
					return c.Rule != nil && c.Op == rpdb.Add && c.Rule.Priority == plan.FirstPriority
				}
			}
			_, _, err := s.apply(t, d, fmt.Sprint(len(d.Rules), " rules"))
			if (err != nil) != (refuse && len(d.Rules) > 0) {
				t.Errorf("%d rules: %v", len(d.Rules), err)
			}
			s.between = nil
			delete(seen, before)
			delete(seen, len(d.Rules))
			if len(seen) > 0 {
				t.Errorf("refused %t, from %d rules to %d, packets could come to %v", refuse, before, len(d.Rules), seen)
			}
		}
	}
}

// Of many deletions that are made in part, and then one by one, each is told and
// counted once.
func TestManyDeletionsHalfway(t *testing.T) {
	steps := func(halfway bool) (done []plan.Step) {
		s := newBulkSite(t)
		for i, d := range []rpdb.Desired{manyRules(100, 1), manyRules(120, 2)} {
			s.halfway, s.single = halfway && i == 1, 0
			out, _, err := s.apply(t, d, fmt.Sprint("policy ", i))
			if err != nil {
				t.Fatal(err)
			}
			if left := s.left(t, d); len(left) > 0 {
				t.Errorf("policy %d: still needed: %v", i, left)
			}
			done = out.Result.Done
		}
		if halfway && (s.single < 100 || s.single > 120) {
			t.Errorf("%d changes were made one by one", s.single)
		}
		return done
	}
	want, got := steps(false), steps(true)
	if len(got) != len(want) {
		t.Errorf("%d steps are told, want %d", len(got), len(want))
	}
}

// A program that is stopped or fails while many rules are written, or cleared away,
// leaves one of the two generations, as it does one by one.
func TestManyRulesAreStopped(t *testing.T) {
	first, second := manyRules(70, 1), manyRules(75, 2)
	made := newBulkSite(t)
	if _, _, err := made.apply(t, first, "first"); err != nil {
		t.Fatal(err)
	}
	reached := 0
	for _, errno := range []syscall.Errno{0, syscall.EIO} {
		for at := 1; ; at += 17 {
			s := newBulkSite(t)
			if _, _, err := s.apply(t, first, "first"); err != nil {
				t.Fatal(err)
			}
			foreign := s.foreign(t)
			s.faults = faults{at: at, errno: errno}
			_, stopped, err := s.apply(t, second, "second")
			if s.faults.calls < at {
				break
			}
			reached++
			s.faults = faults{}
			c := s.config(t)
			c.Kernel = s
			session, beginErr := apply.Begin(t.Context(), c)
			if beginErr != nil {
				t.Fatalf("call %d: %v", at, beginErr)
			}
			e, _ := session.State().Confirmed()
			session.Close()
			c.Journal.Close()
			want := map[string]rpdb.Desired{apply.PolicyHash("first"): first, apply.PolicyHash("second"): second}[e.PolicyHash]
			if left := s.left(t, want); len(left) > 0 {
				t.Errorf("call %d (stopped %v, %v): %d steps are left", at, stopped, err, len(left))
			}
			if !stopped && err == nil && e.PolicyHash != apply.PolicyHash("second") {
				t.Errorf("call %d: it said that it was done", at)
			}
			if now := s.foreign(t); now != foreign {
				t.Errorf("call %d: foreign:\n%s\nand before\n%s", at, now, foreign)
			}
		}
	}
	if reached < 20 {
		t.Errorf("only %d points were reached", reached)
	}
}

// What was written at once is taken back at once; and what is left of it when it
// could not be, one by one.
func TestManyRulesAreTakenBack(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		s := newBulkSite(t)
		s.stuck = stuck
		before := s.foreign(t)
		s.refuse = func(c rpdb.Change) bool { // the message that leads packets there
			return c.Rule != nil && c.Op == rpdb.Add && c.Rule.Priority == plan.FirstPriority
		}
		_, _, err := s.apply(t, manyRules(80, 1), "policy")
		if want := map[bool]error{false: syscall.EPERM, true: syscall.EIO}[stuck]; !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if n := s.ours(t); n > 0 {
			t.Errorf("%d of ours are left", n)
		}
		if now := s.foreign(t); now != before {
			t.Errorf("foreign:\n%s\nand before\n%s", now, before)
		}
		if few := s.single < 40; few == stuck {
			t.Errorf("stuck %v: %d changes were made one by one", stuck, s.single)
		}
	}
}

// manyRoutes is a policy of a rule and n routes, from an address on.
func manyRoutes(n int, first byte) rpdb.Desired {
	d := manyRules(1, first)
	d.Rules = d.Rules[:1]
	d.Rules[0].Rule.Action = rpdb.ToTable(82000)
	d.Tables = []rpdb.DesiredTable{{ID: 82000}}
	for i := range n {
		d.Routes = append(d.Routes, rpdb.DesiredRoute{Name: fmt.Sprint("route-", i), Route: rpdb.Route{
			Family: rpdb.IPv4, Table: 82000, Protocol: rpdb.ProtocolRPDB, Type: rpdb.RouteBlackhole,
			Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, first, byte(i), 0}), 24),
		}})
	}
	return d
}

// Many routes go at once, as many as can, when they are not wanted any more and when
// they are taken back.
func TestManyRoutesGoAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		unable, halfway bool
		least, most     int // of the routes that go one by one
	}{
		"at once":    {most: 0},
		"some":       {halfway: true, least: 9, most: 12},
		"one by one": {unable: true, least: 100, most: 120},
	} {
		s := newBulkSite(t)
		s.unable, s.halfway = c.unable, c.halfway
		gone := func(what string, most int) {
			t.Helper()
			if s.routes < c.least || s.routes > most {
				t.Errorf("%s, %s: %d routes went one by one, want %d to %d", name, what, s.routes, c.least, most)
			}
			s.routes = 0
		}
		first, second := manyRoutes(110, 1), manyRoutes(100, 2)
		_, _, err := s.apply(t, first, "first")
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := s.apply(t, second, "second")
		if err != nil {
			t.Fatal(err)
		}
		if left := s.left(t, second); len(left) > 0 {
			t.Errorf("%s: still needed: %v", name, left)
		}
		if n := len(out.Result.Done); n < 210 {
			t.Errorf("%s: it says that %d steps were made", name, n)
		}
		gone("not wanted", c.most)

		before := s.foreign(t)
		s.refuse = func(c rpdb.Change) bool { // the message that leads packets there
			return c.Rule != nil && c.Op == rpdb.Add && c.Rule.Priority == plan.FirstPriority
		}
		if _, _, err := s.apply(t, manyRoutes(100, 3), "third"); !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: got %v", name, err)
		}
		if now := s.foreign(t); now != before {
			t.Errorf("foreign:\n%s\nand before\n%s", now, before)
		}
		if left := s.left(t, second); len(left) > 0 {
			t.Errorf("%s: not taken back: %v", name, left)
		}
		gone("taken back", c.most)
	}
}

// Where another program deletes many first, the host is read once for all of them.
func TestManyThatOthersDelete(t *testing.T) {
	for name, want := range map[string]func(int, byte) rpdb.Desired{"rules": manyRules, "routes": manyRoutes} {
		s := newBulkSite(t)
		if _, _, err := s.apply(t, want(100, 1), "first"); err != nil {
			t.Fatal(err)
		}
		s.overtaken, s.single, s.added, s.readings = true, 0, 0, 0
		second := want(100, 2)
		out, _, err := s.apply(t, second, "second")
		if err != nil {
			t.Fatal(err)
		}
		if left := s.left(t, second); len(left) > 0 {
			t.Errorf("%s: still needed: %v", name, left)
		}
		if n, most := len(out.Result.Done), len(second.Rules)+len(second.Routes)+len(second.Rules)/2+len(second.Routes)/2+20; n > most {
			t.Errorf("%s: it says that %d steps were made, want at most %d", name, n, most)
		}
		few := func(when string) {
			t.Helper()
			if s.single-s.added > 20 || s.readings > 12 {
				t.Errorf("%s, %s: %d deletions were made one by one, and the host read %d times", name, when, s.single-s.added, s.readings)
			}
			s.single, s.added, s.readings = 0, 0, 0
		}
		few("not wanted")
		s.refuse = func(c rpdb.Change) bool { // the message that leads packets there
			return c.Rule != nil && c.Op == rpdb.Add && c.Rule.Priority == plan.FirstPriority
		}
		if _, _, err := s.apply(t, want(100, 3), "third"); !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: got %v", name, err)
		}
		if left := s.left(t, second); len(left) > 0 {
			t.Errorf("%s: not taken back: %v", name, left)
		}
		few("taken back")
	}
}

// What was made at once is taken back whatever ends the run among it.
func TestEndAmongMany(t *testing.T) {
	for name, c := range map[string]struct {
		first, second rpdb.Desired
		end           func(*bulkSite, context.CancelFunc)
	}{
		"interrupted while rules are written": {second: manyRules(80, 1), end: func(s *bulkSite, cancel context.CancelFunc) { s.between = cancel }},
		"refused while routes are deleted": {first: manyRoutes(100, 1), second: manyRoutes(0, 1), end: func(s *bulkSite, _ context.CancelFunc) {
			s.halfway = true
			s.refuse = func(c rpdb.Change) bool { return c.Route != nil && c.Op == rpdb.Delete }
		}},
	} {
		s := newBulkSite(t)
		if _, _, err := s.apply(t, c.first, "first"); err != nil {
			t.Fatal(err)
		}
		actual := must(s.Memory.Snapshot(t.Context()))
		p := must(plan.Diff(actual, c.second))
		ctx, cancel := context.WithCancel(t.Context())
		c.end(s, cancel)
		if _, err := apply.Run(ctx, s, p, c.second, apply.Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
		cancel()
		s.refuse = nil
		if left := s.left(t, c.first); len(left) > 0 {
			t.Errorf("%s: %d steps would still be needed to go back, first %v", name, len(left), left[0].Change)
		}
	}
}

// What could not be cleared away is told without what was, at once, behind it.
func TestLeftOfManyHalfway(t *testing.T) {
	s := newBulkSite(t)
	if _, _, err := s.apply(t, manyRoutes(110, 1), "first"); err != nil {
		t.Fatal(err)
	}
	s.halfway = true
	s.refuse = func(c rpdb.Change) bool { // of the first
		return c.Route != nil && c.Op == rpdb.Delete && c.Route.Dst.Addr().As4()[1] == 1
	}
	second := manyRules(1, 2)
	_, err := apply.Run(t.Context(), s, must(plan.Diff(must(s.Memory.Snapshot(t.Context())), second)), second, apply.Options{})
	var failed *apply.CleanError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v", err)
	}
	if want := s.left(t, second); len(failed.Left) != len(want) {
		t.Errorf("it says that %d are left, and %d are", len(failed.Left), len(want))
	}
}

// BenchmarkApply is the whole of an apply but for the policy's text: reading,
// planning, the record, writing, reading back. It takes everything away again,
// which is not measured.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1000, 5000, plan.Capacity} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := kerneltest.Real(b)
			d := manyRules(n, 1)
			d.Rules = slices.DeleteFunc(d.Rules, func(w rpdb.DesiredRule) bool { return w.Rule.Family == rpdb.IPv6 })
			machine := clock{boot: "boot 1"}
			for b.Loop() {
				b.StopTimer()
				j := must(journal.Open(b.TempDir(), "", journal.Options{}))
				b.StartTimer()
				session := must(apply.Begin(b.Context(), apply.Config{Kernel: k, Journal: j, Machine: &machine, NetNS: 7}))
				must(session.Apply(b.Context(), apply.Proposal{Policy: "many", Desired: d, Before: must(k.Snapshot(b.Context()))}))
				b.StopTimer()
				must(session.Apply(b.Context(), apply.Proposal{Before: must(k.Snapshot(b.Context()))}))
				session.Close()
				j.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/rule")
		})
	}
}

// endingContext ends when it was asked so many times whether it has.
type endingContext struct {
	context.Context
	left int
}

func (c *endingContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestInterruptedAnywhere: wherever an apply is interrupted, one of the two generations
// is there, whole, also where many steps are made at once.
func TestInterruptedAnywhere(t *testing.T) {
	both := func(first byte) rpdb.Desired {
		d, routes := manyRules(70, first), manyRoutes(70, first)
		d.Rules, d.Routes, d.Tables = append(d.Rules, routes.Rules...), routes.Routes, routes.Tables
		return d
	}
	first, second := both(1), both(2)
	for n, step := 0, 1; ; n += step {
		s := newBulkSite(t)
		if _, _, err := s.apply(t, first, "first"); err != nil {
			t.Fatal(err)
		}
		c := s.config(t)
		c.Kernel = s
		session := must(apply.Begin(t.Context(), c))
		prop := s.proposal(t, "second")
		prop.Desired = second
		_, err := session.Apply(&endingContext{t.Context(), n}, prop)
		session.Close()
		c.Journal.Close()
		if err == nil {
			if left := s.left(t, second); len(left) > 0 {
				t.Errorf("done, and %d steps are left", len(left))
			}
			if n < 70 {
				t.Errorf("done after %d looks", n)
			}
			break
		}
		if left := s.left(t, first); !errors.Is(err, context.Canceled) || len(left) > 0 {
			t.Errorf("interrupted at %d: %v, and %d steps are left", n, err, len(left))
		}
		if n > 4 {
			step = 9
		}
	}
}
