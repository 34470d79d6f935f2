package kernel

import (
	"math/rand/v2"
	"slices"
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
		r := rpdb.Rule{Family: rpdb.Families()[random.IntN(2)], Priority: rpdb.Priority(random.IntN(6)),
			Action: rpdb.ToTable(rpdb.TableID(1 + random.IntN(2)))}
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
			got, err := c.rules(t.Context(), f)
			must(t, err)
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
	_, err := c.rules(t.Context(), rpdb.IPv4)
	must(t, err)
	must(t, c.list.mon.Control(func(fd int) { err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) }))
	must(t, err)
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	for i := range 50 {
		e := encodeRule(unix.RTM_NEWRULE, netlink.Create, rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(i + 1), Action: rpdb.Nop()})
		must(t, other.nl.Execute(t.Context(), e, nil))
	}
	if rules, err := c.rules(t.Context(), rpdb.IPv4); err != nil || len(rules) != 53 {
		t.Errorf("%d rules, %v", len(rules), err)
	}
}
