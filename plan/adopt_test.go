package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/plan"
)

// hand is a rule that somebody has made by hand.
func hand(p rpdb.Priority, prefix string, t rpdb.TableID) rpdb.Rule {
	r := at(p, from(prefix, t))
	r.Protocol = rpdb.ProtocolBoot
	return r
}

// adopting is the desire for the same rules, pinned and ours.
func adopting(rules ...rpdb.Rule) rpdb.Desired {
	var d rpdb.Desired
	for i, r := range rules {
		r.Protocol = rpdb.ProtocolRPDB
		d.Rules = append(d.Rules, rpdb.DesiredRule{
			Rule: r, Name: fmt.Sprintf("rule %d", i+1), Pinned: true, Adopts: []rpdb.Protocol{rpdb.ProtocolBoot},
		})
	}
	return d
}

func told(p plan.Plan) string {
	var lines []string
	for _, s := range p.Steps {
		c := s.Change
		who := rpdb.Protocol(0)
		if c.Rule != nil {
			who = c.Rule.Protocol
		} else {
			who = c.Route.Protocol
		}
		lines = append(lines, fmt.Sprintf("%s %v protocol %d", s.Phase, c, who))
	}
	return strings.Join(slices.Concat(lines, p.Transient, p.Notes), "\n")
}

// leads checks that a plan leads to what is desired, and that its inverse leads
// back.
func leads(t *testing.T, s *rpdb.Snapshot, d rpdb.Desired) plan.Plan {
	t.Helper()
	p := mustDiff(t, s, d)
	after := plan.After(s, p.Steps)
	if again := mustDiff(t, after, d); !again.Empty() {
		t.Errorf("after the plan there is still\n%s", told(again))
	}
	var back []plan.Step
	for _, step := range slices.Backward(p.Steps) {
		back = append(back, plan.Step{Change: step.Inverse})
	}
	undone := plan.After(after, back)
	if !slices.Equal(sortedRules(undone), sortedRules(s)) || !slices.EqualFunc(undone.Routes, s.Routes, rpdb.Route.Equal) {
		t.Errorf("undone there are %v and %v", undone.Rules, undone.Routes)
	}
	return p
}

func TestAdoptRules(t *testing.T) {
	mine, other := hand(100, "192.0.2.1/32", 100), hand(100, "192.0.2.2/32", 100)
	wide := hand(100, "192.0.2.0/24", 200)
	ours := mine
	ours.Protocol = rpdb.ProtocolRPDB
	unmarked := mine
	unmarked.Protocol = rpdb.ProtocolUnspec
	unspec := adopting(mine)
	unspec.Rules[0].Adopts = []rpdb.Protocol{rpdb.ProtocolUnspec}
	for _, c := range []struct {
		name    string
		there   []rpdb.Rule
		desired rpdb.Desired
		want    string
	}{
		{"one, and packets see nothing", []rpdb.Rule{mine}, adopting(mine), `
prepare add rule 100 (IPv4) protocol 82
clean delete rule 100 (IPv4) protocol 3`},
		{"the same twice", []rpdb.Rule{mine, mine}, adopting(mine), `
prepare add rule 100 (IPv4) protocol 82
clean delete rule 100 (IPv4) protocol 3
clean delete rule 100 (IPv4) protocol 3`},
		{"two of one number", []rpdb.Rule{mine, other}, adopting(mine, other), `
prepare add rule 100 (IPv4) protocol 82
prepare add rule 100 (IPv4) protocol 82
clean delete rule 100 (IPv4) protocol 3
clean delete rule 100 (IPv4) protocol 3`},
		{"made again by its script", []rpdb.Rule{ours, mine}, adopting(mine), `
clean delete rule 100 (IPv4) protocol 3`},
		{"made again without a protocol: the kernel would delete ours", []rpdb.Rule{ours, unmarked}, unspec, `
clean delete rule 100 (IPv4) protocol 82
clean add rule 100 (IPv4) protocol 82
clean delete rule 100 (IPv4) protocol 0`},
		{"one without a protocol behind another's: the kernel would delete that", []rpdb.Rule{foreign(mine), unmarked}, unspec, `
switch add rule 100 (IPv4) protocol 82
rule 100 (IPv4) of protocol 0 is not adopted: at the same priority one of protocol 4 stands before it, which the kernel would delete in its place`},
		{"one without a protocol before another's", []rpdb.Rule{unmarked, foreign(mine)}, unspec, `
prepare add rule 100 (IPv4) protocol 82
clean delete rule 100 (IPv4) protocol 0`},
		{"one with a rule behind it", []rpdb.Rule{mine, wide}, adopting(mine), `
switch add rule 100 (IPv4) protocol 82
rule 100 (IPv4) of protocol 3 is not adopted: at the same priority another rule stands behind it, which would come first`},
		{"of another protocol", []rpdb.Rule{foreign(mine)}, adopting(mine), `
switch add rule 100 (IPv4) protocol 82`},
		{"gone", nil, adopting(mine), `
switch add rule 100 (IPv4) protocol 82`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &rpdb.Snapshot{Rules: c.there}
			if got := told(leads(t, s, c.desired)); got != strings.TrimSpace(c.want) {
				t.Errorf("got\n%s\nwant%s", got, c.want)
			}
		})
	}
}

func TestAdoptRoutes(t *testing.T) {
	ours := route("198.51.100.0/24", "192.0.2.1", 2)
	ours.Table = 100
	theirs := ours
	theirs.Protocol = rpdb.ProtocolBoot
	d := rpdb.Desired{
		Tables: []rpdb.DesiredTable{{ID: 100}},
		Routes: []rpdb.DesiredRoute{{Route: ours, Name: "route", Adopts: []rpdb.Protocol{rpdb.ProtocolBoot}}},
	}
	s := &rpdb.Snapshot{Routes: []rpdb.Route{theirs}}
	p := leads(t, s, d)
	const want = "prepare replace route 198.51.100.0/24 table 100 (IPv4) protocol 82"
	if got := told(p); got != want || p.Kept != 0 {
		t.Errorf("got\n%s\nand %d kept, want\n%s", got, p.Kept, want)
	}
	// What differs is a conflict all the same.
	other := theirs
	other.Nexthops = []rpdb.Nexthop{{Via: netip.MustParseAddr("192.0.2.2"), Link: 2}}
	if _, err := plan.Diff(&rpdb.Snapshot{Routes: []rpdb.Route{other}}, d); err == nil {
		t.Error("a route that leads elsewhere is adopted")
	}
	// And one of another protocol stays its owner's.
	static := theirs
	static.Protocol = rpdb.ProtocolStatic
	if p := leads(t, &rpdb.Snapshot{Routes: []rpdb.Route{static}}, d); !p.Empty() || p.Kept != 1 {
		t.Errorf("a static route is touched:\n%s", told(p))
	}
}

// TestReturn: what was adopted is its maker's again.
func TestReturn(t *testing.T) {
	mine := hand(100, "192.0.2.1/32", 100)
	mine.Protocol = rpdb.ProtocolUnspec
	ours := mine
	ours.Protocol = rpdb.ProtocolRPDB
	way := route("198.51.100.0/24", "192.0.2.1", 2)
	way.Table = 100
	theirs := way
	theirs.Protocol = rpdb.ProtocolBoot
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{ours}, Routes: []rpdb.Route{way}}
	d := rpdb.Desired{ForeignRules: []rpdb.Rule{mine}, ForeignRoutes: []rpdb.Route{theirs}}
	p := leads(t, s, d)
	const want = `prepare add rule 100 (IPv4) protocol 0
prepare replace route 198.51.100.0/24 table 100 (IPv4) protocol 3`
	if got := told(p); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if p := leads(t, &rpdb.Snapshot{}, d); len(p.Steps) != 2 {
		t.Errorf("where nothing is there:\n%s", told(p))
	}
	again := adopting(mine)
	again.Rules[0].Adopts = []rpdb.Protocol{rpdb.ProtocolUnspec}
	again.ForeignRules = d.ForeignRules
	if p := leads(t, s, again); !p.Empty() {
		t.Errorf("a policy that adopts it gives it back:\n%s", told(p))
	}
}

// TestTakenAgain: what was given back goes, or the policy's takes its place.
func TestTakenAgain(t *testing.T) {
	mine := hand(100, "192.0.2.1/32", 100)
	way := route("198.51.100.0/24", "192.0.2.1", 2)
	way.Table = 100
	theirs := way
	theirs.Protocol = rpdb.ProtocolBoot
	ours := way
	ours.Nexthops = []rpdb.Nexthop{{Via: netip.MustParseAddr("192.0.2.2"), Link: 2}}
	s := &rpdb.Snapshot{Rules: []rpdb.Rule{mine}, Routes: []rpdb.Route{theirs}}
	gone := rpdb.Desired{GoneRules: s.Rules, GoneRoutes: s.Routes}
	if got, want := told(leads(t, s, gone)), `switch delete route 198.51.100.0/24 table 100 (IPv4) protocol 3
switch delete rule 100 (IPv4) protocol 3
rule 100 (IPv4) goes by itself, after the others`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	gone.Tables = []rpdb.DesiredTable{{ID: 100}}
	gone.Routes = []rpdb.DesiredRoute{{Route: ours, Name: "route"}}
	if got := told(leads(t, s, gone)); !strings.HasPrefix(got, "prepare replace route 198.51.100.0/24 table 100 (IPv4) protocol 82\nswitch delete rule 100") {
		t.Errorf("where the policy has one:\n%s", got)
	}
	again := adopting(mine)
	again.GoneRules = s.Rules
	if got, want := told(leads(t, s, again)), told(leads(t, s, adopting(mine))); got != want {
		t.Errorf("where the policy adopts it:\n%s\nwant\n%s", got, want)
	}
	// The kernel would delete the narrow one in the place of the other, and it is
	// not ours to move.
	wide, narrow := mine, mine
	wide.Selector.From = netip.Prefix{}
	both := &rpdb.Snapshot{Rules: []rpdb.Rule{narrow, wide}}
	if got, want := told(leads(t, both, rpdb.Desired{GoneRules: []rpdb.Rule{wide}})),
		"rule 100 (IPv4) was given back and stays: at the same priority one of protocol 3 stands before it, which the kernel would delete in its place"; got != want {
		t.Errorf("behind a rule of others:\n%s\nwant\n%s", got, want)
	}
	if got, want := told(leads(t, both, rpdb.Desired{GoneRules: []rpdb.Rule{wide, narrow}})), `switch delete rule 100 (IPv4) protocol 3
switch delete rule 100 (IPv4) protocol 3`; !strings.HasPrefix(got, want) {
		t.Errorf("behind one that goes, too:\n%s\nwant\n%s", got, want)
	}
	both.Rules = []rpdb.Rule{wide, narrow}
	if got, want := told(leads(t, both, rpdb.Desired{GoneRules: []rpdb.Rule{wide}})),
		"switch delete rule 100 (IPv4) protocol 3\nrule 100 (IPv4) goes by itself, after the others"; got != want {
		t.Errorf("before a rule of others:\n%s\nwant\n%s", got, want)
	}
	changed := mine
	changed.Action = rpdb.ToTable(7)
	if p := leads(t, &rpdb.Snapshot{Rules: []rpdb.Rule{changed}}, rpdb.Desired{GoneRules: s.Rules}); !p.Empty() {
		t.Errorf("another one goes:\n%s", told(p))
	}
}
