package ipcmd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// grammar is what the commands of one object are made from.
type grammar struct {
	object string
	// words makes a command behind the options, keyword any word that stands
	// before a value.
	words   func(g *generator, wrong bool) []string
	keyword func(g *generator) string
	// afterwards gives a command the files that it works with, nil for none.
	afterwards func(g *generator, c command, words []string) command
	options    []string
	host       host
}

// grammars returns those that the twin test compares.
func grammars() []grammar { return []grammar{ruleGrammar(), routeGrammar()} }

// generator makes command lines out of the grammar of an object, some of them
// wrong.
type generator struct {
	*rand.Rand
	release  // that has to understand the words
	grammar  grammar
	count    int
	batching bool
	dir      string

	family       int        // 4 or 6, of the command at hand, where the grammar cares
	optionFamily int        // as the options say, 0 if they do not
	wild         bool       // the command has words that make little sense
	recent       [][]string // routes: a destination, and sometimes its table
}

func newGenerator(gr grammar, seed, stream uint64, dir string) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, stream)), grammar: gr, dir: dir}
}

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// one reports true once in n times.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

// command makes one call: mostly a single command, sometimes a batch.
func (g *generator) command() command {
	g.count++
	if g.one(12) {
		return g.batch()
	}
	c := command{lines: 1}
	if g.one(4) {
		c.colors = pick(g, "15;0", "0;15", "15;default;8", "0;7", "7", ";", "15;06")
	}
	c.args = g.options()
	words := g.grammar.words(g, g.one(4))
	c.args = append(c.args, words...)
	if g.grammar.afterwards != nil {
		c = g.grammar.afterwards(g, c, words)
	}
	return c
}

// batch makes a file of 20 to 60 commands, few of them wrong: those end it.
func (g *generator) batch() command {
	g.batching = true
	defer func() { g.batching = false }()
	options := g.options()
	var b strings.Builder
	lines := 20 + g.IntN(40)
	for range lines {
		words := g.grammar.words(g, g.one(300))
		for i, w := range words {
			switch {
			case w == "" || strings.ContainsAny(w, " #") || g.one(40):
				words[i] = `"` + w + `"`
			}
		}
		line := strings.Join(words, pick(g, " ", " ", " ", "\t", "  "))
		if g.one(20) {
			line = strings.Replace(line, " ", " \\\n ", 1)
		}
		b.WriteString(line + pick(g, "\n", "\n", "\n", "\r\n", " # why\n", "\n\n", "\n# a comment\n"))
	}
	text := b.String()
	if g.one(30) {
		list := g.grammar.object + " show"
		text += pick(g, list+" \\", list+" \"0\n", list+strings.Repeat(" x", 600)+"\n", list)
	}
	args, stdin := []string{"-batch", "-"}, text
	if g.one(2) {
		args[1] = filepath.Join(g.dir, fmt.Sprintf("batch%d", g.IntN(4)))
		if err := os.WriteFile(args[1], []byte(text), 0o600); err != nil {
			panic(err) // a test directory that cannot be written
		}
		stdin = ""
	}
	if !g.one(4) {
		args = append([]string{"-force"}, args...)
	}
	return command{args: append(options, args...), stdin: stdin, text: text, lines: lines}
}

// options makes what stands before the object.
func (g *generator) options() []string {
	var o []string
	for g.one(3) {
		o = append(o, pick(g, g.grammar.options...))
	}
	if g.one(40) {
		o = append(o, pick(g, "-f inet6", "-fam inet", "-family inet6", "-f link", "-0", "-M", "-B", "-l 3", "-rc 70000", "-rc x",
			"-f foo", "-foo", "-ec", "-c=x", "-n nosuch", "--", "-f bridge", "-n .", "-N -d -j -p", "-x", "---"))
	}
	var words []string
	g.optionFamily = 0
	for _, w := range o {
		words = append(words, strings.Fields(w)...)
		switch w {
		case "-4", "-fam inet":
			g.optionFamily = 4
		case "-6", "--6", "-f inet6", "-family inet6":
			g.optionFamily = 6
		}
	}
	return words
}

// spoil makes one word wrong, or something else.
func (g *generator) spoil(words []string) {
	i := g.IntN(len(words))
	w := words[i]
	switch g.IntN(7) {
	case 0:
		words[i] = w[:g.IntN(len(w)+1)]
	case 1:
		words[i] = w + pick(g, "x", " ", "0", "/", "-", ",")
	case 2:
		words[i] = pick(g, "", "x", "-1", "help", "all", "any", "default", "0", "4294967296", "18446744073709551616", "0x", "08", "1 2", "*")
	case 3:
		words[i] = strings.ToUpper(w)
	case 4:
		words[i] = "-" + w
	case 5:
		words[i] = g.grammar.keyword(g)
	case 6:
		words[i] = pick(g, g.prefix(true), g.number(), g.name())
	}
}

func (g *generator) prefix(wrong bool) string {
	if wrong && g.one(2) {
		return pick(g, "1.2.3.4/33", "x", "256.1.1.1", "all/8", "1.2.3.4.5", "10.0.0.0/255.0.255.0", "::1/129", "", "1.2.3.4/", "/8", "1..2",
			"2001:db8::1%lo", "1.2.3.4/-1", "1.2.3.4/x", "::ffff:1.2.3.4", "2001:db8:::1", "1.2.3.4/8/8", "0x", "1.2.3.4/ 8", " 1.2.3.4",
			"default/0", "1.2.3.4/032", "1.2.3.4/0x8", "+1.2.3.4", "1.2.3.-4", "12345::", ":", "::/0x10", "any/0", "2001:db8::/ffff::")
	}
	return pick(g, "192.0.2.0/24", "192.0.2.1", "198.51.100.0/24", "10.0.0.0/8", "10.1.2.3/8", "all", "any", "default", "0/0", "10", "10.8",
		"010.0.0.1", "0x0a.1", "10.0.0.0/255.0.0.0", "0.0.0.0/0", "203.0.113.7/31", "192.0.2.1/32",
		"2001:db8::/32", "2001:db8::1", "::/0", "::1", "2001:DB8:0:0::1/64", "fe80::/10", "2001:db8::192.0.2.1")
}

func (g *generator) name() string {
	if g.batching {
		return pick(g, "lo", "lo", "eth0", "eth9", "a", "abcdefghijklmno")
	}
	return pick(g, "lo", "lo", "eth0", "eth9", "a", "abcdefghijklmno", "abcdefghijklmnop", "a b", "a/b", "", ".", "..", "x:y", "\x01", "%d", "-")
}

func (g *generator) number() string {
	return pick(g, fmt.Sprint(g.IntN(300)), fmt.Sprint(g.Uint32()), "0x"+fmt.Sprintf("%x", g.Uint32()), "0"+fmt.Sprintf("%o", g.IntN(300)))
}
