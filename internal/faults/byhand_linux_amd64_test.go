package faults

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/kerneltest"
)

// usualState is the state directory of commands that cannot be given another.
const usualState = "/var/lib/rpdb"

// byHand is a host on which one command makes or deletes a rule that translates, with
// all that belongs to it.
type byHand struct {
	*host
	family   rpdb.Family
	add, del []string
}

// newByHand makes the host. The usual state directory, whose lock such a command
// takes, is one of its own.
func newByHand(t *testing.T, f rpdb.Family) *byHand {
	t.Helper()
	h := newHost(t, append(foreign(),
		"ip route add default via 192.0.2.1 table 100", "ip route add 198.51.100.0/24 via 192.0.2.1 table 100",
		"ip -6 route add default via 2001:db8::1 table 100", "ip -6 route add 2001:db8:51::/48 via 2001:db8::1 table 100")...)
	h.mounts = newMounts(t, func() error { return unix.Mount("tmpfs", "/var/lib", "tmpfs", 0, "mode=755") }).enter
	from, to := "10.1.0.0/24", "203.0.113.0"
	if f == rpdb.IPv6 {
		from, to = "fd00:1::/64", "2001:db8:c::"
	}
	return &byHand{h, f, []string{"rule", "add", "pref", "500", "from", from, "table", "100", "nat", to}, []string{"rule", "del", "nat", to}}
}

// state says what there is of the rule.
func (b *byHand) state(t *testing.T) string {
	t.Helper()
	all := b.snapshot(t).NATRules()
	switch {
	case len(all) == 0:
		return "nothing"
	case len(all) > 1 || all[0].Family != b.family:
		return fmt.Sprintf("%d rules", len(all))
	}
	n := all[0]
	switch {
	case len(n.Rules) == 1 && len(n.Routes) == 2 && n.Translation.Inbound:
		return "whole"
	case len(n.Rules) == 0 && n.Translation.Inbound:
		return "packets that come in are mapped, and there is no rule"
	}
	return fmt.Sprintf("%d rules, %d routes, %v", len(n.Rules), len(n.Routes), n.Translation)
}

// foreign is what others have: the rule itself has no protocol number of ours.
func (b *byHand) foreign(t *testing.T) string {
	t.Helper()
	lines := strings.Split(b.look(t).foreign, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, `"priority":500,`) }), "\n")
}

// TestRuleThatTranslatesKilled kills the command that makes a single rule that
// translates, and the one that deletes it, before each call that leaves something, and
// fails each such call: packets that come in are mapped only while the rule is there,
// nobody else's things change, and "repair", or the same command, ends it.
func TestRuleThatTranslatesKilled(t *testing.T) {
	for _, f := range rpdb.Families() {
		for _, deletes := range []bool{false, true} {
			t.Run(f.String()+map[bool]string{false: " made", true: " deleted"}[deletes], func(t *testing.T) {
				if f == rpdb.IPv6 {
					kerneltest.NeedPrograms(t)
				}
				ruleKilled(t, newByHand(t, f), deletes)
			})
		}
	}
}

func ruleKilled(t *testing.T, b *byHand, deletes bool) {
	op, before, after := b.add, "nothing", "whole"
	if deletes {
		op, before, after = b.del, after, before
	}
	reset := func() {
		if is := b.state(t); is != before {
			b.want(t, 0, map[bool][]string{false: b.del, true: b.add}[deletes]...)
		}
	}
	b.want(t, 0, b.add...) // once, so that the state directory is there
	reset()
	foreign := b.foreign(t)
	r, said := b.injured(t, injury{}, usualState, op...)
	if is := b.state(t); r.exit != 0 || is != after {
		t.Fatalf("traced, it exits with %d and leaves %s: %s", r.exit, is, said)
	}
	points := 0
	for _, c := range r.calls {
		if !lasting(c) {
			continue
		}
		for _, errno := range []syscall.Errno{0, unix.ENOBUFS} {
			i := injury{at: c, errno: errno}
			reset()
			r, said := b.injured(t, i, usualState, op...)
			if !r.reached {
				continue
			}
			points++
			is := b.state(t)
			if strings.HasPrefix(is, "packets") || errno != 0 && r.exit > 0 && is != before && !strings.Contains(said, "cleared away") {
				t.Errorf("%v: %s; it said %s", i, is, said)
			}
			if points%2 == 0 {
				b.want(t, 0, "repair")
			} else {
				b.run(t, op...) // which refuses what is done already
			}
			now := b.foreign(t)
			if is := b.state(t); is != "whole" && is != "nothing" || points%2 == 1 && is != after {
				t.Errorf("%v: then %s", i, is)
			}
			if now != foreign {
				t.Errorf("%v: foreign things are\n%s\nand were\n%s", i, now, foreign)
			}
		}
	}
	t.Logf("%d points", points)
	if points < 8 {
		t.Errorf("only %d points", points)
	}
}
