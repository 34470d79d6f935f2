package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/cli/bundle"
	"rpdb/internal/corpus"
)

// TestAdopt writes the policies of hosts that are given as ip lists them, or says
// what keeps it from that.
func TestAdopt(t *testing.T) {
	for _, file := range stories(t, "testdata/adopt/*.txt") {
		t.Run(file, func(t *testing.T) {
			story := readStory(t, file)
			read, err := bundle.Read(story["host"], rpdb.Names{})
			if err != nil {
				t.Fatal(err)
			}
			a := HandMade(read.Snapshot, nil, nil)
			text, err := Adopt(read.Snapshot, read.Names, a)
			if err != nil {
				story.check(t, file, err.Error()+"\n")
				return
			}
			story.check(t, file, text)
			means(t, read.Snapshot, read.Names, a, text)
		})
	}
}

// means checks that a text means the rules and routes that it was made of, each
// once and nothing else.
func means(t *testing.T, s *rpdb.Snapshot, n rpdb.Names, a Adoption, text string) {
	t.Helper()
	if at := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }); at >= 0 {
		t.Fatalf("byte %d is not printable ASCII:\n%q", at, text)
	}
	doc, err := Parse("policy.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got, err := doc.Resolve(s, n)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, f := range rpdb.Families() {
		sameWalk(t, f, a, got, text)
	}
	wanted := slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool {
		return !slices.Contains(a.Tables, r.Table) || a.Live && a.daemon(r.Protocol) != ""
	})
	for _, r := range wanted {
		r.Protocol = rpdb.ProtocolRPDB
		ways := slices.ContainsFunc(got.Waiting, func(w rpdb.Waiting) bool { return w.Table == r.Table && w.Dst == r.Dst && w.Family == r.Family })
		if !ways && !slices.ContainsFunc(got.Routes, func(w rpdb.DesiredRoute) bool { return w.Route.Equal(r) }) {
			t.Fatalf("%+v is not in it\n%s", r, text)
		}
	}
	if len(got.Routes)+len(got.Waiting) != len(wanted) {
		t.Fatalf("%d routes and %d that wait, of %d\n%s", len(got.Routes), len(got.Waiting), len(wanted), text)
	}
}

// sameWalk compares the rules of a family: at each priority the same ones, in any
// order.
func sameWalk(t *testing.T, f rpdb.Family, a Adoption, got rpdb.Desired, text string) {
	t.Helper()
	want := map[rpdb.Rule]bool{}
	for _, r := range a.Rules {
		if r.Family == f {
			want[r.Meaning()] = true
		}
	}
	count := 0
	for _, w := range got.Rules {
		if w.Rule.Family != f {
			continue
		}
		if count++; !w.Pinned || !want[w.Rule.Meaning()] {
			t.Fatalf("%+v is none of the rules\n%s", w.Rule, text)
		}
		if a.Live && len(w.Adopts) == 0 {
			t.Fatalf("%+v adopts nothing\n%s", w.Rule, text)
		}
	}
	if count != len(want) {
		t.Fatalf("%d %v rules of %d\n%s", count, f, len(want), text)
	}
}

// TestAdoptAnyHost adopts from hosts that chance makes, the same ones each time,
// rule by rule: what is refused is left out, and the rest means what it did.
func TestAdoptAnyHost(t *testing.T) {
	rules, routes, refused := 0, 0, map[string]int{}
	for seed := range uint64(25) {
		s := corpus.New(seed).Snapshot()
		a := HandMade(s, nil, nil)
		for try := 0; ; try++ {
			text, err := Adopt(s, rpdb.Names{}, a)
			var lost *AdoptError
			if err == nil {
				means(t, s, rpdb.Names{}, a, text)
				rules += len(a.Rules)
				for _, r := range s.Routes {
					if slices.Contains(a.Tables, r.Table) {
						routes++
					}
				}
				break
			}
			if !errors.As(err, &lost) || try > 40 {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for _, l := range lost.Losses {
				refused[l.Reason]++
			}
			a, s = without(s, a, lost)
		}
	}
	if rules < 100 || routes < 100 || len(refused) < 10 {
		t.Errorf("%d rules, %d routes, and refused for %d reasons say little: %v", rules, routes, len(refused), refused)
	}
}

// without leaves out what cannot be said.
func without(s *rpdb.Snapshot, a Adoption, lost *AdoptError) (Adoption, *rpdb.Snapshot) {
	w := adopter{Adoption: a, host: s}
	w.view.LinkName = s.LinkName
	objects := map[string]bool{}
	for _, l := range lost.Losses {
		objects[l.Object] = true
	}
	left := *s
	left.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool { return objects[w.routeObject(r)] })
	a.Rules = slices.DeleteFunc(slices.Clone(a.Rules), func(r rpdb.Rule) bool { return objects[w.ruleObject(r)] })
	return a, &left
}

// TestAdoptFromFiles numbers rules anew where a policy has to, and its gotos with
// them.
func TestAdoptFromFiles(t *testing.T) {
	rule := func(p rpdb.Priority, a rpdb.Action) rpdb.Rule {
		return rpdb.Rule{Family: rpdb.IPv4, Priority: p, Action: a, Selector: rpdb.Selector{IIF: "lan0"}}
	}
	s := &rpdb.Snapshot{Rules: slices.Concat(rpdb.DefaultRules(rpdb.IPv4), []rpdb.Rule{
		rule(100, rpdb.Goto(12000)), rule(11000, rpdb.ToTable(7)), rule(12000, rpdb.Nop()), rule(12000, rpdb.Prohibit()), rule(40000, rpdb.Blackhole()),
	})}
	text, err := Adopt(s, rpdb.Names{}, FromFiles(s))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want, err := doc.Resolve(s, rpdb.Names{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range want.Rules {
		got = append(got, fmt.Sprintf("%d %v %q %q", w.Rule.Priority, w.Rule.Action, w.Name, w.GotoName))
	}
	if want := []string{
		`100 goto 0 "rule 1" "at-12000-ipv4"`, `0 lookup 7 "rule 2" ""`, `0 nop "at-12000-ipv4" ""`, `0 prohibit "rule 4" ""`, `40000 blackhole "rule 5" ""`,
	}; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nof\n%s", strings.Join(got, "\n"), text)
	}
}
