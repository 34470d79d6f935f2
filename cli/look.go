package cli

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// look is what the reader of a view can show.
type look struct {
	// width is how long lines may get, 0 for any length: what is not for a
	// terminal is one line for each thing, for other programs.
	width int
	// arrows says that lines may be drawn in other characters than ASCII.
	arrows bool
	// color only repeats what the words say.
	color bool
	// all lists what is folded otherwise.
	all bool
}

// look returns how the answer is shown: on a terminal as that and the locale
// have it, else plain.
func (a *app) look() look {
	l := look{all: a.all}
	var file *os.File
	if out, ok := a.Out.(*answer); ok {
		file, _ = out.w.(*os.File)
	}
	terminal := file != nil && isTerminal(file)
	if terminal {
		l.width = columns(file)
		l.arrows = isUTF8(os.Getenv)
	}
	l.color = a.color == "always" || a.color == "auto" && terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return l
}

// checkColor refuses what --color does not know.
func (a *app) checkColor() error {
	switch a.color {
	case "auto", "always", "never":
		return nil
	}
	return &usageError{fmt.Sprintf("--color: %q is not auto, always or never", a.color), ""}
}

// columns is the length of the lines of a terminal, one less than it has, since
// some of them break a full one. 0: it does not say.
func columns(terminal *os.File) int {
	size, err := unix.IoctlGetWinsize(int(terminal.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 0
	}
	return int(size.Col) - 1
}

// isUTF8 reports whether the characters of the locale are UTF-8 (setlocale(3)).
func isUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(getenv(name)); value != "" {
			return strings.HasSuffix(value, "utf-8") || strings.HasSuffix(value, "utf8")
		}
	}
	return false
}

// The attributes of a terminal (ECMA-48, SGR).
const (
	strong = "1"
	faint  = "2"
	alarm  = "1;31"
)

// paint gives a line an attribute.
func (l look) paint(attribute, line string) string {
	if !l.color || attribute == "" || line == "" {
		return line
	}
	return "\x1b[" + attribute + "m" + line + "\x1b[0m"
}

// breakLines breaks text between words into lines of at most width, 0 for any.
// A word that is longer has a line of its own.
func breakLines(text string, width int) []string {
	if width <= 0 || columnsOf(text) <= width {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case columnsOf(line)+1+columnsOf(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// columnsOf is how many columns text takes, for all letters that take one.
func columnsOf(text string) int { return utf8.RuneCountInString(text) }

// padded is text with blanks behind it.
func padded(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-columnsOf(text)))
}
