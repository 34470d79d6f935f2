package iproute2

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// randomText is made of pieces.
func randomText(r *rand.Rand, most int, pieces ...string) string {
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// What is read fast is what strtoul(3) reads.
func TestPlainUint(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 30_000 {
		s := randomText(r, 20, "0", "1", "9", "255", "7", "x", "a", "-", "+", " ", ".")
		for _, base := range []int{0, 10, 16} {
			n, ok := plainUint(s, base)
			slow, rest, overflow := strtoul(s, base)
			if ok && (n != slow || rest != "" || overflow) {
				t.Fatalf("%q, base %d: %d, strtoul has %d, %q, %v", s, base, n, slow, rest, overflow)
			}
		}
	}
}

// What is read fast is what everybody takes for an address of IPv4.
func TestPlainIPv4(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	read := 0
	for range 30_000 {
		s := randomText(r, 9, "0", "1.", "25", "255.", "256", ".", "7.", "00", "x")
		octets, ok := plainIPv4(s)
		want, err := netip.ParseAddr(s)
		if ok != (err == nil) || ok && netip.AddrFrom4(octets) != want {
			t.Fatalf("%q: %v, %v; netip has %v, %v", s, octets, ok, want, err)
		}
		if ok {
			read++
		}
	}
	if read < 10 {
		t.Errorf("%d addresses were read", read)
	}
}

// A lookup goes by the first letter.
func TestKeywordsBeginWithLetters(t *testing.T) {
	for _, table := range [][]keyword{
		addWords, otherWords, listWords, wideWords, routeTypeWords,
		routeAddWords, routeHopWords, routeGetWords, routeListWords, matchWords,
	} {
		for _, k := range table {
			if k.word == "" || k.word[0] <= '9' {
				t.Errorf("the keyword %q would never be found", k.word)
			}
		}
	}
}

// slowBatch cuts a whole batch into commands, in the plainest way.
func slowBatch(text string) (commands [][]string, lines []int, err error) {
	line := 0
	read := func() (string, bool) {
		if text == "" {
			return "", false
		}
		line++
		end := strings.Index(text, "\n") + 1
		if end == 0 {
			end = len(text)
		}
		s := text[:end]
		text = text[end:]
		if at := strings.IndexAny(s, "#\x00"); at >= 0 {
			s = s[:at]
		}
		return s, true
	}
	for {
		s, ok := read()
		if !ok {
			return commands, lines, nil
		}
		for strings.Contains(s, "\\\n") {
			next, ok := read()
			if s = strings.Replace(s, "\\\n", "", 1) + next; !ok {
				return commands, lines, &BatchError{Line: line, Text: "Missing continuation line"}
			}
		}
		words, err := slowWords(s, line)
		if err != nil {
			return commands, lines, err
		}
		if len(words) > 0 {
			commands, lines = append(commands, words), append(lines, line)
		}
	}
}

func slowWords(s string, line int) (words []string, err error) {
	const blanks = " \t\r\n"
	for s = strings.TrimLeft(s, blanks); s != ""; s = strings.TrimLeft(s, blanks) {
		if len(words) == maxBatchWords {
			return nil, &BatchError{Line: line, Text: "Too many arguments to command", ExitCode: exitFailed}
		}
		ends, quoted := blanks, s[0] == '\'' || s[0] == '"'
		if quoted {
			ends, s = s[:1], s[1:]
		}
		end := strings.IndexAny(s, ends)
		switch {
		case end >= 0:
			words, s = append(words, s[:end]), s[end+1:]
		case quoted:
			return nil, &BatchError{Line: line, Text: "Unterminated quoted string", ExitCode: exitFailed}
		default:
			words, s = append(words, s), ""
		}
	}
	return words, nil
}

// However a batch arrives, it has the same commands, and what is left behind each is
// what was not read of it.
func TestBatchAgainstPlainReading(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		text := randomText(r, 40, "route", "a", " ", " ", "\t", "\r", "\n", "\n", "\\\n", "\\", "#", "'", "\"", "\x00", strings.Repeat("x ", 300), strings.Repeat("long", 1500))
		commands, lines, err := slowBatch(text)
		for name, in := range map[string]io.Reader{
			"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)),
			"halves": iotest.HalfReader(strings.NewReader(text)), "end with data": iotest.DataErrReader(strings.NewReader(text)),
		} {
			heads := NewBatch(strings.NewReader(text))
			heads.Heads(2)
			b := NewBatch(in)
			for i, want := range commands {
				if !b.Next() || !slices.Equal(b.Words(), want) || b.Line() != lines[i] {
					t.Fatalf("%q, %s: command %d is %q of line %d, %v; want %q of line %d", text, name, i, b.Words(), b.Line(), b.Err(), want, lines[i])
				}
				if !heads.Next() || !slices.Equal(heads.Words(), want[:min(2, len(want))]) || heads.Line() != lines[i] {
					t.Fatalf("%q: the head of command %d is %q of line %d; want %q", text, i, heads.Words(), heads.Line(), want)
				}
			}
			stop := r.IntN(len(commands) + 1)
			var bad, wantBad *BatchError
			if b.Next() || errors.As(b.Err(), &bad) != errors.As(err, &wantBad) || bad != nil && *bad != *wantBad {
				t.Fatalf("%q, %s: %v behind the last command, want %v", text, name, b.Err(), err)
			}
			testRest(t, text, stop)
		}
	}
}

// testRest takes what is behind the first n commands.
func testRest(t *testing.T, text string, n int) {
	t.Helper()
	b := NewBatch(strings.NewReader(text))
	for range n {
		b.Next()
	}
	at := int(b.Offset())
	rest, err := io.ReadAll(b.Rest())
	if err != nil || string(rest) != text[at:] || b.Next() {
		t.Fatalf("%q: behind %d commands is %q, %v; want %q", text, n, rest, err, text[at:])
	}
}
