package cli

import (
	"strconv"
	"strings"
	"unicode"
)

// safe returns text as it may reach a terminal: printable text as it is,
// anything else quoted with escapes. The kernel takes almost any byte in the
// name of an interface.
func safe[T ~string](text T) string {
	s := string(text)
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// safeLines is safe for text of several lines, which it keeps apart.
func safeLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = safe(l)
	}
	return strings.Join(lines, "\n")
}
