package ipcmd

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpdb/format/iproute2"
)

// batchText makes batches of which the text is odd and the commands are plain:
// quotes, continuations, comments, blanks and bytes of all kinds, long words and
// lines, and many words.
type batchText struct{ *generator }

// text returns a few lines, the last of which may lack its end.
func (g batchText) text() string {
	var b strings.Builder
	for range 1 + g.IntN(8) {
		b.WriteString(g.line())
	}
	if g.one(3) {
		return strings.TrimRight(b.String(), "\n")
	}
	return b.String()
}

func (g batchText) line() string {
	words := pick(g.generator,
		"rule add pref 7 table 9", "rule add pref 8 table 9", "rule add pref 9 from 192.0.2.0/24 table 9", "rule del pref 8",
		"rule list", "ru show pref 7", "rule list x7", "-x", "rule", "rule add pref")
	var b strings.Builder
	if g.one(10) {
		b.WriteString(g.blank())
	}
	for i, w := range strings.Fields(words) {
		if i == 0 {
			b.WriteString(pick(g.generator, w, w, w, w, `"`+w+`"`, "'"+w+"'", w[:1]+"\\\n"+w[1:]))
			continue
		}
		b.WriteString(g.blank() + g.word(w))
	}
	if g.one(30) {
		b.WriteString(strings.Repeat(" x", pick(g.generator, 100, 505, 506, 507, 508, 509, 510, 511)))
	}
	if g.one(30) {
		b.WriteString(" #" + strings.Repeat("z", pick(g.generator, 10, 4090, 33000)))
	}
	if g.one(2) {
		return b.String() + "\n"
	}
	return b.String() + pick(g.generator, "\r\n", " \n", " # c\n", "#c\\\n", "\n\n", "\n#c\n", " \\\n\n", "\x00\n", "\\\n#\n", "\r\r\n", "\t\\\n")
}

// blank returns what stands between words, or seems to.
func (g batchText) blank() string {
	if !g.one(3) {
		return " "
	}
	return pick(g.generator, "\t", "  ", " \t", " \\\n ", "\r", " \r ", " \\\n#x\n", "\\\n\\\n", "\\\n")
}

func (g batchText) word(w string) string {
	if !g.one(8) {
		return w
	}
	return pick(g.generator, `"`+w+`"`, "'"+w+"'", `"`+w, w+`"`, "'"+w, `"`+w+"'", `""`, "''", `"a b"`, `'a"b'`, w+"\x00", "\x00"+w,
		w+"\x0b", "\x0c"+w, w+"\xa0", w+"#x", "#"+w, w+`\`, `\`+w, w[:1]+"\\\n"+w[1:], w+`"`+w, `"`+w+`"`+w, `"`+w+"\nrule list\"",
		"\\\r\n", "\\", strings.Repeat("x", pick(g.generator, 4095, 4096, 4097, 32767, 32768, 70000)), `"`+strings.Repeat("y ", 300)+`"`)
}

// hasOtherObjects reports whether a batch has other objects, as it seems to ours: it is
// for the real ip then.
func hasOtherObjects(text string) bool {
	b := iproute2.NewBatch(strings.NewReader(text))
	for b.Heads(2); b.Next(); { // behind a line with too many words, or with a quote too few, too
		if word := b.Words()[0]; objectOf(word) != "rule" && word != "" && word[0] != '-' {
			return true
		}
	}
	return false
}

// Whatever the text of a batch is like, ours finds the same commands in it as ip.
func TestTwinBatchText(t *testing.T) {
	w := newTwins(t, theirs(t), host{})
	g := batchText{&generator{Rand: rand.New(rand.NewPCG(5, 0))}}
	file := filepath.Join(t.TempDir(), "batch")
	for i := range 300 {
		text := g.text()
		for hasOtherObjects(text) {
			text = g.text()
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := command{text: text}
		if g.one(2) {
			c.args = append(c.args, "-force")
		}
		switch c.args = append(c.args, "-batch"); g.IntN(3) {
		case 0:
			c.args = append(c.args, file)
		case 1:
			c.args, c.file = append(c.args, "-"), file
		case 2:
			c.args, c.stdin = append(c.args, "-"), text
		}
		if d := w.run(c); d != "" {
			t.Errorf("%q: %.2000s", text, d)
		}
		if i%20 == 19 {
			w.renew()
		}
	}
}
