package cli

import (
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/analysis"
)

// TestSentencesFit: on a narrow terminal a sentence is broken between words, below where
// it began; in a file it is one line, whatever its length.
func TestSentencesFit(t *testing.T) {
	finding := analysis.Diagnostic{
		Severity: analysis.Warning, Family: rpdb.IPv4,
		Message: "no rule leads sockets bound to eth1 to its default route: ping -I eth1 will not leave the link",
		Reason:  "the route is in table 100",
	}
	var file strings.Builder
	newPrinter(&file).finding(finding)
	if want := "  warning: IPv4: " + finding.Message + "\n        " + finding.Reason + "\n"; file.String() != want {
		t.Errorf("in a file:\n%swant\n%s", &file, want)
	}

	keyboard, screen := openTerminal(t)
	defer screen.Close()
	const columns = 40
	if err := unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24}); err != nil {
		t.Fatal(err)
	}
	w := newPrinter(screen)
	w.finding(finding)
	w.say("", "end")
	var said strings.Builder
	eventually(t, "all is on the screen", func() bool {
		some := make([]byte, 4096)
		if n, err := keyboard.Read(some); err == nil || n > 0 {
			said.Write(some[:n])
		} else if err != io.EOF {
			t.Logf("%v", err)
		}
		return strings.Contains(said.String(), "end")
	})
	for line := range strings.Lines(said.String()) {
		if line = strings.TrimRight(line, "\r\n"); len(line) >= columns {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if want := append(strings.Fields(file.String()), "end"); !slices.Equal(strings.Fields(said.String()), want) {
		t.Errorf("on a narrow terminal:\n%s", &said)
	}
}
