package cli

import (
	"fmt"
	"io"
	"strings"

	"rpdb"
	"rpdb/plan"
)

// printer writes the lines of a view and remembers the first error, so that a
// full disk under standard output is not taken for success.
type printer struct {
	w   io.Writer
	err error
}

func newPrinter(w io.Writer) *printer { return &printer{w: w} }

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// lineWidth is how long the lines of running text get.
const lineWidth = 79

// wrap prints running text, broken between words; further lines are indented.
func (p *printer) wrap(text string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > lineWidth {
			p.printf("%s\n", line)
			line = " "
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	p.printf("%s\n", line)
}

// step prints one step of a plan: sign, command, and behind it why.
func (p *printer) step(v words, s plan.Step) {
	sign := map[rpdb.ChangeOp]string{rpdb.Add: "+", rpdb.Replace: "~", rpdb.Delete: "-"}[s.Change.Op]
	p.printf("  %s %s\n", sign, v.change(s.Change))
	why := s.Reason
	if s.Name != "" {
		why = s.Name + ": " + why
	}
	p.printf("      # %s\n", safe(why))
}

func (p *printer) waiting(parts []rpdb.Waiting) {
	for _, w := range parts {
		p.printf("  waiting: %s: %s\n", safe(w.Name), safe(w.Reason))
	}
}

func (p *printer) notes(notes []string) {
	for _, n := range notes {
		p.printf("  note: %s\n", safe(n))
	}
}
