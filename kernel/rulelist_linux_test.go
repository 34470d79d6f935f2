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
