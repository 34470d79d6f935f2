package cli

import (
	"fmt"
	"io"
	"os"
)

// progress says on standard error what is going on: one line that is written
// over on a terminal, and a line each elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, terminal: isTerminal(w) && os.Getenv("TERM") != "dumb"}
}

func (p *progress) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s ...", text)
		return
	}
	fmt.Fprintf(p.w, "%s\n", text)
}

// clear takes the line away from a terminal.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
