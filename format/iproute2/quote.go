package iproute2

import (
	"fmt"
	"strings"
)

// plainBytes are the bytes that a shell takes literally anywhere in a word.
const plainBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@%+,=/-"

func isPlain(s string) bool {
	return s != "" && strings.Trim(s, plainBytes) == ""
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// escape writes the bytes that a terminal might act on as \xNN, and leaves
// printable ASCII alone. It is for reading, not for typing back.
func escape(s string) string {
	if isPrintable(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// quote writes s as one word of a shell: as it is, in single quotes, or with
// the escapes of $'...' where it holds bytes that must not be printed.
func quote(s string) string {
	switch {
	case isPlain(s):
		return s
	case isPrintable(s) && !strings.Contains(s, "'"):
		return "'" + s + "'"
	}
	s = strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s)
	return "$'" + escape(s) + "'"
}

// Split cuts a command line into words as a shell does that knows nothing but
// blanks, '...', "..." without escapes in it, and $'...' with the escapes \\,
// \' and \xNN: all that the commands of this package contain. It returns an
// error for a quotation without end and for any other escape.
func Split(line string) ([]string, error) {
	var words []string
	for line = strings.TrimLeft(line, " \t\r\n"); line != ""; line = strings.TrimLeft(line, " \t\r\n") {
		word, rest, err := splitWord(line)
		if err != nil {
			return nil, fmt.Errorf("split command %q: %w", line, err)
		}
		words, line = append(words, word), rest
	}
	return words, nil
}

// splitWord takes the first word off a line that begins with one.
func splitWord(line string) (word, rest string, err error) {
	var b strings.Builder
	for line != "" && !strings.ContainsRune(" \t\r\n", rune(line[0])) {
		var part string
		switch {
		case strings.HasPrefix(line, "$'"):
			part, line, err = unescape(line[2:])
		case line[0] == '\'' || line[0] == '"':
			var closed bool
			if part, line, closed = strings.Cut(line[1:], line[:1]); !closed {
				err = fmt.Errorf("quotation without end")
			}
		default:
			part, line = line[:1], line[1:]
		}
		if err != nil {
			return "", "", err
		}
		b.WriteString(part)
	}
	return b.String(), line, nil
}

// unescape reads the inside of $'...' up to its closing quote.
func unescape(s string) (part, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\'':
			return b.String(), s[i+1:], nil
		case s[i] != '\\':
			b.WriteByte(s[i])
		case i+1 < len(s) && (s[i+1] == '\\' || s[i+1] == '\''):
			i++
			b.WriteByte(s[i])
		case i+3 < len(s) && s[i+1] == 'x':
			n, err := parseUint(s[i+2:i+4], 16, 8)
			if err != nil {
				return "", "", fmt.Errorf("unknown escape %q", s[i:i+4])
			}
			b.WriteByte(byte(n))
			i += 3
		default:
			return "", "", fmt.Errorf("unknown escape %q", s[i:])
		}
	}
	return "", "", fmt.Errorf("quotation without end")
}
