package passes

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/analysis"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

// harmless names the checks whose finding is a rule without effect: to delete
// it changes no decision.
func harmless(d analysis.Diagnostic) bool {
	if d.Subject.Rule != nil && d.Subject.Rule.Realms != 0 {
		return false // realms in use switch on checks of every incoming packet
	}
	switch d.Check {
	case "emptytable", "duplicate", "unresolved":
		return true
	case "detached":
		return !d.Subject.Rule.Selector.Not
	case "shadowed":
		// A last resort behind a default route is asked by bound flows.
		return !strings.Contains(d.Reason, "finds a default route")
	}
	return false
}

// TestWorlds runs every check on random worlds, of which many are absurd.
// Findings are the same each time and fit to print, and the rules that the
// checks call useless are.
func TestWorlds(t *testing.T) {
	g := corpus.New(7)
	deleted := map[string]int{}
	for range 100 {
		s := g.Snapshot()
		s.Custom4, s.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes // as after any change
		s.Kernel = ""                                                 // links that are not listed do not exist
		found, err := analysis.Run(s, All())
		if err != nil {
			t.Fatal(err)
		}
		again, err := analysis.Run(s, All())
		if err != nil || !reflect.DeepEqual(found, again) {
			t.Fatalf("a second run found something else (%v)", err)
		}
		engine := fib.Compile(s)
		for _, d := range found {
			if d.Check == "" || d.Message == "" || strings.ContainsFunc(d.Message+d.Reason, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%+v is not fit to print", d)
			}
			if !harmless(d) || len(d.Fixes) == 0 {
				continue
			}
			deleted[d.Check]++
			compare(t, g, s, engine, d)
		}
	}
	for _, check := range []string{"emptytable", "duplicate", "unresolved", "detached", "shadowed"} {
		if deleted[check] < 5 {
			t.Errorf("%s: only %d rules deleted: the test says nothing about it", check, deleted[check])
		}
	}
}

// compare deletes the rule that a finding is about and asks both engines about
// random flows.
func compare(t *testing.T, g *corpus.Generator, s *rpdb.Snapshot, engine *fib.FIB, d analysis.Diagnostic) {
	t.Helper()
	after := *s
	i := slices.Index(s.Rules, *d.Subject.Rule)
	if d.Check == "duplicate" {
		i = lastIndex(s.Rules, *d.Subject.Rule)
	}
	after.Rules = slices.Delete(slices.Clone(s.Rules), i, i+1)
	without := fib.Compile(&after)
	for range 8 {
		flow := g.Flow(d.Family)
		a, b := engine.Lookup(flow), without.Lookup(flow)
		if !a.Agrees(b) || !b.Agrees(a) {
			t.Errorf("%s: %s\n%+v\nbefore %+v\nafter  %+v", d.Check, d.Message, flow, a, b)
		}
	}
}

func lastIndex(rules []rpdb.Rule, r rpdb.Rule) int {
	last := -1
	for i := range rules {
		if rules[i] == r {
			last = i
		}
	}
	return last
}
