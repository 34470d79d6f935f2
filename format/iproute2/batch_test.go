package iproute2_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"rpdb"
	"rpdb/format/iproute2"
)

// read returns the commands of a batch, "LINE: word|word", and the error.
func read(text string) (string, error) {
	var lines []string
	b := iproute2.NewBatch(strings.NewReader(text))
	for b.Next() {
		lines = append(lines, fmt.Sprintf("%d: %s", b.Line(), strings.Join(b.Words(), "|")))
	}
	return strings.Join(lines, "\n"), b.Err()
}

// As observed with ip -batch.
func TestBatch(t *testing.T) {
	for _, tt := range []struct{ text, want, complaint string }{
		{"", "", ""},
		{"rule add pref 5\n rule list\tpref 5 # c\r\n", "1: rule|add|pref|5\n2: rule|list|pref|5", ""},
		{"rule list \"a b\" 'c\"d' ''", "1: rule|list|a b|c\"d|", ""},
		{"\"list\"pref 5", "1: list|pref|5", ""},
		{"li\"st pr'ef", "1: li\"st|pr'ef", ""},
		{"a \\\n5\nb", "2: a|5\n3: b", ""},
		{"pr\\\nef 5 # \\\nfoo", "2: pref|5\n3: foo", ""},
		{"a \\\n# x\nb", "2: a\n3: b", ""},
		{"a\\\n\\\nb", "3: ab", ""},
		{"a \\ \nb \\", "1: a|\\\n2: b|\\", ""},
		{"\n\n#\nfoo", "4: foo", ""},
		{"a\x00 x y\nb", "1: a\n2: b", ""},
		{"a\nb \\\n", "1: a", "Missing continuation line"},
		{"a\n'b\nc", "1: a", "Unterminated quoted string"},
		{"a \"pref #\"", "", "Unterminated quoted string"},
		{strings.Repeat("a ", 511), "1: " + strings.Repeat("a|", 510) + "a", ""},
		{strings.Repeat("a ", 512), "", "Too many arguments to command"},
	} {
		got, err := read(tt.text)
		if got != tt.want {
			t.Errorf("%q:\n got %q\nwant %q", tt.text, got, tt.want)
		}
		var bad *iproute2.BatchError
		if tt.complaint == "" && err != nil || tt.complaint != "" && (!errors.As(err, &bad) || bad.Text != tt.complaint) {
			t.Errorf("%q: error %v, want %q", tt.text, err, tt.complaint)
		}
		if bad != nil && (bad.ExitCode != 1) != (bad.Text == "Missing continuation line") {
			t.Errorf("%q: exit code %d", tt.text, bad.ExitCode)
		}
	}
	broken := errors.New("broken")
	b := iproute2.NewBatch(iotest.ErrReader(broken))
	if b.Next() || !errors.Is(b.Err(), broken) {
		t.Errorf("error %v", b.Err())
	}
}

// What stands behind a restore is its stream, and no command.
func TestBatchRest(t *testing.T) {
	b := iproute2.NewBatch(strings.NewReader("rule list\nrule restore # now\n\x86 \"ipq\nmore"))
	for range 2 {
		if !b.Next() {
			t.Fatal(b.Err())
		}
	}
	at := b.Offset()
	rest, err := io.ReadAll(b.Rest())
	if string(rest) != "\x86 \"ipq\nmore" || err != nil || at != int64(len("rule list\nrule restore # now\n")) {
		t.Errorf("the rest is %q at %d, %v", rest, at, err)
	}
	if b.Next() || b.Err() != nil || b.Line() != 2 {
		t.Errorf("line %d: %q, %v", b.Line(), b.Words(), b.Err())
	}
}

// Commands are cut the same whole or read byte by byte, and words hold nothing
// that ends words.
func FuzzBatchSplit(f *testing.F) {
	f.Add("rule add pref 5 'a b' \\\nx # c\n\nb")
	f.Fuzz(func(t *testing.T, text string) {
		whole, err := read(text)
		var slow []string
		b := iproute2.NewBatch(iotest.OneByteReader(strings.NewReader(text)))
		last := 0
		for b.Next() {
			if len(b.Words()) == 0 || b.Line() <= last {
				t.Fatalf("line %d after %d: %q", b.Line(), last, b.Words())
			}
			last = b.Line()
			slow = append(slow, fmt.Sprintf("%d: %s", b.Line(), strings.Join(b.Words(), "|")))
			for _, w := range b.Words() {
				if strings.ContainsAny(w, "#\x00") {
					t.Fatalf("word %q", w)
				}
			}
		}
		if again := strings.Join(slow, "\n"); again != whole || fmt.Sprint(b.Err()) != fmt.Sprint(err) {
			t.Fatalf("read %q, %v\nand %q, %v", whole, err, again, b.Err())
		}
		if n := strings.Count(text, "\n") + 1; last > n {
			t.Fatalf("line %d of %d", last, n)
		}
	})
}

// Whatever is typed, a request is well formed, complaints have a text and a
// code, and what our own verbs take is what was typed.
func FuzzRuleArgs(f *testing.F) {
	for _, line := range []string{
		"not from 192.0.2.0/24 fwmark 1/2 dscp EF goto 5", "table 300 table 5 realms 1/2 iif lo", "from 10.8 uidrange 1-2x sport 5/0xf",
		"nat 192.0.2.1 type nop", "flowlabel 1/2 tun_id -1 suppress_ifgroup 4294967297", "t 5 b p 7 d 3",
	} {
		f.Add(line, uint8(0))
	}
	f.Fuzz(func(t *testing.T, line string, family uint8) {
		c := iproute2.RuleContext{Family: rpdb.Family(family), Names: shipped()}
		words := strings.Fields(line)
		_, listErr := c.ParseFilter(iproute2.RuleList, words)
		_, wideErr := c.ParseWideFilter(words)
		q, addErr := c.ParseAdd(words)
		_, delErr := c.ParseDelete(words)
		for _, err := range []error{listErr, wideErr, addErr, delErr} {
			var p *iproute2.ParseError
			if err != nil && (!errors.As(err, &p) || p.Stderr() == "" || p.ExitCode() == 0 || p.Position > len(words)) {
				t.Fatalf("%q: %#v", line, err)
			}
		}
		if addErr != nil {
			return
		}
		attrs(t, q.Payload())
		r, err := q.Strict()
		if err != nil {
			return
		}
		again, _ := iproute2.Split(iproute2.RuleCommand(rpdb.Add, r, shipped()))
		back, _, err := iproute2.ParseRule(r.Family, again[4:], shipped())
		if err != nil || back.Canonical() != r.Canonical() {
			t.Fatalf("%q: %q read back as %+v, %v, want %+v", line, again, back, err, r)
		}
	})
}
