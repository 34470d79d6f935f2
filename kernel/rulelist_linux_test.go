package kernel

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// The list that follows events is the list that a dump reads, whoever changes
// the rules and however.
func TestRuleListFollowsTheKernel(t *testing.T) {
	ns, c := namespace(t)
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	random := rand.New(rand.NewPCG(1, 2))
	shapes := selectors(rpdb.IPv4)
	for step := range 600 {
		r := rpdb.Rule{
			Family: rpdb.Families()[random.IntN(2)], Priority: rpdb.Priority(random.IntN(6)),
			Action: rpdb.ToTable(rpdb.TableID(1 + random.IntN(2))),
		}
		if r.Family == rpdb.IPv4 {
			shapes[random.IntN(len(shapes))](&r.Selector)
		}
		from := []*Conn{c, other}[random.IntN(2)]
		if random.IntN(3) > 0 {
			force(t, from, r)
		} else {
			_ = from.nl.Execute(t.Context(), encodeRule(unix.RTM_DELRULE, 0, r), nil)
		}
		if step%5 > 0 {
			continue
		}
		for _, f := range rpdb.Families() {
			got := listed(t, c, f)
			want, _, err := c.dumpRules(t.Context(), f)
			must(t, err)
			if !slices.EqualFunc(got, want, func(a, b rpdb.Rule) bool { return withoutState(a) == withoutState(b) }) {
				t.Fatalf("step %d: %v\n got %+v\nwant %+v", step, f, got, want)
			}
		}
	}
}

// An overflow makes the list read anew.
func TestRuleListAfterAnOverflow(t *testing.T) {
	ns, c := namespace(t)
	listed(t, c, rpdb.IPv4)
	var err error
	must(t, c.list.mon.Control(func(fd int) { err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) }))
	must(t, err)
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	for i := range 50 {
		e := encodeRule(unix.RTM_NEWRULE, netlink.Create, rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(i + 1), Action: rpdb.Nop()})
		must(t, other.nl.Execute(t.Context(), e, nil))
	}
	if rules := listed(t, c, rpdb.IPv4); len(rules) != 53 {
		t.Errorf("%d rules", len(rules))
	}
}

// listed returns a copy of the list that follows events.
func listed(t *testing.T, c *Conn, f rpdb.Family) (rules []rpdb.Rule) {
	t.Helper()
	must(t, c.withRules(t.Context(), f, func(known []rpdb.Rule) error {
		rules = slices.Clone(known)
		return nil
	}))
	return rules
}

// The list of Rules belongs to the caller, whatever is changed later, and says
// how things are, also what no rule event tells.
func TestRulesAreTheCallers(t *testing.T) {
	_, c := uplinks(t)
	for _, f := range rpdb.Families() {
		r := rpdb.Rule{Family: f, Priority: 7, Action: rpdb.Goto(9), Selector: rpdb.Selector{IIF: "eth0"}}
		must(t, do(c, addRule(r)))
		first, err := c.Rules(t.Context(), f)
		must(t, err)
		kept := slices.Clone(first)
		for p := range rpdb.Priority(20) {
			must(t, do(c, addRule(rpdb.Rule{Family: f, Priority: p + 100, Action: rpdb.Nop()})))
		}
		must(t, do(c, deleteRule(r)))
		must(t, do(c, addRule(r)))
		if !slices.Equal(first, kept) {
			t.Errorf("%v: the caller's list was changed", f)
		}
	}
	must(t, c.DeleteLink("eth0"))
	for _, f := range rpdb.Families() {
		rules, err := c.Rules(t.Context(), f)
		must(t, err)
		i := slices.IndexFunc(rules, func(r rpdb.Rule) bool { return r.Priority == 7 })
		if want := rpdb.RuleIIFDetached | rpdb.RuleUnresolved; i < 0 || rules[i].Flags != want {
			t.Errorf("%v: want flags %v: %+v", f, want, rules)
		}
	}
}

// Several callers delete over one connection, while others add.
func TestRuleListManyCallers(t *testing.T) {
	_, c := namespace(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 40 {
				r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(1000*(8-i) + n), Action: rpdb.ToTable(rpdb.TableID(n + 1))}
				if err := errors.Join(do(c, addRule(r)), do(c, deleteRule(r))); err != nil {
					t.Error(err)
				}
				if _, err := c.Rules(t.Context(), rpdb.IPv4); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if rules, err := c.Rules(t.Context(), rpdb.IPv4); err != nil || !slices.Equal(rules, rpdb.DefaultRules(rpdb.IPv4)) {
		t.Errorf("left: %v, %v", rules, err)
	}
}

// An event that comes late, of what a reading had already, does no harm.
func TestRuleListAndLateEvents(t *testing.T) {
	_, c := namespace(t)
	r := rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()}
	other := r
	other.Selector.Not = true
	event := func(typ uint16, r rpdb.Rule) {
		c.list.take(netlink.Message{Type: typ, Data: encodeRule(typ, 0, r).Payload()})
	}
	for what, late := range map[string]func(){
		"an addition":           func() { event(unix.RTM_NEWRULE, r) },
		"a deletion":            func() { event(unix.RTM_DELRULE, r); event(unix.RTM_NEWRULE, r) },
		"both, of what is gone": func() { event(unix.RTM_NEWRULE, other); event(unix.RTM_DELRULE, other) },
		"one of two alike":      func() { force(t, c, r); listed(t, c, rpdb.IPv4); event(unix.RTM_DELRULE, r) },
	} {
		force(t, c, r)
		listed(t, c, rpdb.IPv4)
		late()
		got := listed(t, c, rpdb.IPv4)
		want, err := c.Rules(t.Context(), rpdb.IPv4)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the list is %+v, want %+v", what, got, want)
		}
	}
}

// A list of several datagrams is read as it is, torn by nobody: what is there
// all the time is there once, whatever goes and comes.
func TestLongListsUnderChurn(t *testing.T) {
	ns, c := namespace(t)
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	const many = 1500
	var batch []rpdb.Rule
	for i := range many {
		batch = append(batch, rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(1000 + i), Action: rpdb.ToTable(100)})
	}
	for _, r := range batch {
		force(t, c, r)
	}
	done := make(chan struct{})
	var churn sync.WaitGroup
	churn.Go(func() {
		first := rpdb.Rule{Family: rpdb.IPv4, Priority: 1, Action: rpdb.Nop()}
		for range 400 {
			_ = other.nl.Execute(t.Context(), encodeRule(unix.RTM_NEWRULE, netlink.Create, first), nil)
			_ = other.nl.Execute(t.Context(), encodeRule(unix.RTM_DELRULE, 0, first), nil)
		}
		close(done)
	})
	for quiet := false; !quiet; {
		select {
		case <-done:
			quiet = true
		default:
		}
		list, err := c.Rules(t.Context(), rpdb.IPv4)
		told, merr := c.RuleMessages(t.Context(), rpdb.IPv4)
		var unstable *UnstableError
		if errors.As(errors.Join(err, merr), &unstable) && !quiet {
			continue // said, and not guessed
		}
		must(t, errors.Join(err, merr))
		n := 0
		for _, r := range list {
			if r.Priority >= 1000 && r.Priority < 1000+many {
				n++
			}
		}
		if n != many || told.Len() < many {
			t.Fatalf("%d rules and %d messages, want %d", n, told.Len(), many)
		}
	}
	churn.Wait()
	if n := len(listed(t, c, rpdb.IPv4)); n != many+3 {
		t.Errorf("%d rules, want %d", n, many+3)
	}
}
