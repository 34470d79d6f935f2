package policy

import (
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/cli/bundle"
)

// TestAdoptInto adds what was made by hand on the host of a story to documents.
func TestAdoptInto(t *testing.T) {
	read, err := bundle.Read(readStory(t, "testdata/adopt/hand-made.txt")["host"], rpdb.Names{})
	if err != nil {
		t.Fatal(err)
	}
	a := HandMade(read.Snapshot, func(r rpdb.Rule) bool { return r.Priority == 1002 || r.Priority == 1100 }, nil)
	for file, story := range mergeStories(t) {
		t.Run(file, func(t *testing.T) {
			old := strings.NewReplacer("<CR>", "\r", "<END>\n", "").Replace(story["policy.yaml"])
			m, err := AdoptInto("policy.yaml", []byte(old), read.Snapshot, read.Names, a)
			if err != nil {
				story.check(t, file, err.Error()+"\n")
				return
			}
			kept := m.Text
			for line := range strings.Lines(old) {
				_, rest, ok := strings.Cut(kept, strings.TrimRight(line, "\r\n"))
				if !ok {
					t.Fatalf("the line %q is not there, or not in its place:\n%s", line, m.Text)
				}
				kept = rest
			}
			story.check(t, file, strings.ReplaceAll(m.Text, "\r", "<CR>"))
			again, err := AdoptInto("policy.yaml", []byte(m.Text), read.Snapshot, read.Names, a)
			if err != nil || again.Text != m.Text || len(again.Rules)+len(again.Tables) != 0 || len(again.Present) != len(a.Rules) {
				t.Fatalf("a second time: %d rules and %d tables, %d there, %v\n%s", len(again.Rules), len(again.Tables), len(again.Present), err, again.Text)
			}
		})
	}
}

func mergeStories(t *testing.T) map[string]story {
	t.Helper()
	all := map[string]story{}
	for _, file := range stories(t, "testdata/merge/*.txt") {
		all[file] = readStory(t, file)
	}
	return all
}

// TestApart takes one list out of another: whatever is lost, moved or changed shows
// as more than was added.
func TestApart(t *testing.T) {
	for _, c := range []struct{ list, others, want string }{
		{"a b c", "a b c", ""},
		{"x a y b", "a b", "x y"},
		{"a a b", "a b", "a"},
		{"b a x", "a b", "b x b"}, // another order
		{"a x", "a b", "x b"},     // one is lost
		{"x", "", "x"},
	} {
		if got := apart(strings.Fields(c.list), strings.Fields(c.others)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%q without %q is %q, want %q", c.list, c.others, got, c.want)
		}
	}
}
