package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"rpdb"
	"rpdb/plan"
)

func TestList(t *testing.T) {
	rule := func(name string, f rpdb.Family, a rpdb.Action) rpdb.DesiredRule {
		return rpdb.DesiredRule{Name: name, Rule: rpdb.Rule{Family: f, Action: a}}
	}
	jump := rule("jump", rpdb.IPv4, rpdb.Goto(0))
	jump.GotoName = "last"
	pinned := rule("pinned", rpdb.IPv6, rpdb.Nop())
	pinned.Pinned, pinned.Rule.Priority = true, 500
	rules, err := plan.List(rpdb.Desired{Rules: []rpdb.DesiredRule{
		rule("both", rpdb.IPv4, rpdb.ToTable(1)), rule("both", rpdb.IPv6, rpdb.ToTable(1)),
		jump, pinned,
		rule("from", rpdb.IPv4, rpdb.ToTable(2)), rule("from", rpdb.IPv4, rpdb.ToTable(3)), rule("from", rpdb.IPv6, rpdb.ToTable(3)),
		rule("last", rpdb.IPv4, rpdb.Blackhole()),
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rules {
		got = append(got, fmt.Sprintf("%v %d %v", r.Rule.Family, r.Rule.Priority, r.Rule.Action))
	}
	want := []string{
		"IPv4 10010 lookup 1", "IPv4 10020 goto 10050", "IPv4 10030 lookup 2", "IPv4 10040 lookup 3", "IPv4 10050 blackhole",
		"IPv6 500 nop", "IPv6 10010 lookup 1", "IPv6 10040 lookup 3",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestListRefuses(t *testing.T) {
	back := rpdb.Desired{Rules: []rpdb.DesiredRule{
		{Name: "first", Rule: rpdb.Rule{Family: rpdb.IPv4, Action: rpdb.Nop()}},
		{Name: "back", GotoName: "first", Rule: rpdb.Rule{Family: rpdb.IPv4, Action: rpdb.Goto(0)}},
	}}
	if _, err := plan.List(back); err == nil || !strings.Contains(err.Error(), `goto "first"`) {
		t.Errorf("a goto that leads back: %v", err)
	}
	many := rpdb.Desired{Rules: make([]rpdb.DesiredRule, plan.Capacity+1)}
	for i := range many.Rules {
		many.Rules[i] = rpdb.DesiredRule{Name: fmt.Sprint(i), Rule: rpdb.Rule{Family: rpdb.IPv4, Action: rpdb.Nop()}}
	}
	if _, err := plan.List(many); err == nil {
		t.Error("more rules than there is room for")
	}
	many.Rules = many.Rules[1:]
	if rules, err := plan.List(many); err != nil || rules[len(rules)-1].Rule.Priority > plan.LastPriority {
		t.Errorf("as many as there is room for: %v", err)
	}
}
