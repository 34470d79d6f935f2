package apply_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"rpdb/apply"
)

// TestStoppedWriterLeavesNoFiles looks into the state directory after the next
// session: no file is half written there, or of a generation that is none.
func TestStoppedWriterLeavesNoFiles(t *testing.T) {
	op := operations(t)[0]
	left := 0
	for n := 1; ; n++ {
		s := op.from.site(t)
		s.faults = faults{at: n}
		stopped, _ := s.session(t, func(session *apply.Session) error { return op.do(t, s, session) })
		if !stopped {
			break
		}
		if slices.ContainsFunc(must(os.ReadDir(s.dir)), func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".tmp") }) {
			left++
		}
		s.faults = faults{}
		_, err := s.session(t, func(session *apply.Session) error {
			needed := []string{"journal", "journal.previous", "lock", "seen"}
			for _, e := range session.State().Generations {
				needed = append(needed, fmt.Sprintf("generation-%d", e.ID))
			}
			for _, e := range must(os.ReadDir(s.dir)) {
				if !slices.Contains(needed, e.Name()) {
					t.Errorf("stopped at call %d: %s is left", n, e.Name())
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if left == 0 {
		t.Error("no stop left a file")
	}
}
