package format_test

import (
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
)

func TestErrorSaysWhatIsKnown(t *testing.T) {
	for _, c := range []struct {
		err  format.Error
		want string
	}{
		{format.Error{File: "a", Object: "section", Reason: "missing"}, "a: section: missing"},
		{format.Error{File: "a", Line: 3, Object: "key", Text: "x\ty", Reason: "unknown"}, `a:3: key "x\ty": unknown`},
		{format.Error{File: "a", Line: 3, Column: 7, Object: "key", Text: strings.Repeat("\u00fc", 81), Reason: "unknown"}, `a:3:7: key "` + strings.Repeat(`\u00fc`, 80) + `...": unknown`},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestLinksAreFoundOrAdded(t *testing.T) {
	var s rpdb.Snapshot
	if got := format.Link(&s, "lo"); got != 1 {
		t.Errorf("lo is %d, want 1", got)
	}
	first, second := format.Link(&s, "eth0"), format.Link(&s, "eth1")
	if first != 2 || second != 3 || format.Link(&s, "eth0") != first || len(s.Links) != 3 {
		t.Errorf("eth0 is %d, eth1 %d, of %d links", first, second, len(s.Links))
	}
	if l, _ := s.LinkByName("lo"); !l.IsLoopback() || !l.IsUp() {
		t.Errorf("lo is %+v", l)
	}
}
