package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

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

// lineWidth is how long the lines of running text get where there is room.
const lineWidth = 79

// wrap prints running text, broken between words and as the terminal is wide if
// it is narrow; further lines are indented.
func (p *printer) wrap(text string) { p.fill("", strings.Fields(text), textWidth(p.w)) }

// textWidth is how long the lines of running text get that go to w.
func textWidth(w io.Writer) int { return min(widthOf(w), lineWidth) }

// fill prints words behind a head, broken between words to fit the width.
// Further lines begin below the first word, or less far to the right where the
// head takes up most of the line.
func (p *printer) fill(head string, words []string, width int) {
	indent := len(head)
	if head == "" || indent > width/2 {
		indent = 2
	}
	line, empty := head, true
	for _, word := range words {
		if !empty && len(line)+1+len(word) > width {
			p.printf("%s\n", line)
			line, empty = strings.Repeat(" ", indent), true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	p.printf("%s\n", strings.TrimRight(line, " "))
}

// width is how long lines may get: as the terminal has it, or as running text
// has it where there is none.
func (a *app) width() int { return widthOf(a.Out) }

func widthOf(w io.Writer) int {
	if width, ok := terminalWidth(w); ok {
		return width
	}
	return lineWidth
}

// terminalWidth is how long the lines of a terminal get, false where w is none.
func terminalWidth(w io.Writer) (int, bool) {
	if out, ok := w.(*answer); ok {
		w = out.w
	}
	file, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 0, false
	}
	return int(size.Col) - 1, true
}

// say prints a sentence behind a head: on a terminal that is not as wide broken
// between words, further lines below its first word; elsewhere in one line, which a
// program can look for.
func (p *printer) say(head, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if width, ok := terminalWidth(p.w); ok && len(head)+len(text) > width {
		p.fill(head, strings.Fields(text), width)
		return
	}
	p.printf("%s%s\n", head, text)
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
		p.say("  waiting: ", "%s: %s", safe(w.Name), safe(w.Reason))
	}
}

func (p *printer) notes(notes []string) {
	for _, n := range notes {
		p.say("  note: ", "%s", safe(n))
	}
}
