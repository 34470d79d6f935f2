package ipjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

func names() rpdb.Names {
	return rpdb.Names{
		Tables: map[rpdb.TableID]string{300: "vpn"}, Protocols: map[rpdb.Protocol]string{82: "rpdb"},
		DSFields: map[uint8]string{0x28: "AF11", 0x20: "CS1"}, Realms: map[uint16]string{0: "cosmos", 7: "office"},
	}
}

// write writes rules as ip -j rule does.
func write(rules []rpdb.Rule, pretty bool) string {
	var b bytes.Buffer
	w := ipjson.NewWriter(&b, pretty)
	v := iproute2.RuleView{Names: names(), Details: true, Raw: true}
	for _, r := range rules {
		w.Begin()
		v.Fields(r, w)
		w.End()
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// read reads the rules of ip -j rule.
func read(f rpdb.Family, text string) (rules []rpdb.Rule, err error) {
	var b *iproute2.RuleBuilder
	err = ipjson.Read([]byte(text), func() ipjson.Sink {
		b = iproute2.NewRuleBuilder(f, names())
		return b
	}, func(ipjson.Sink) error {
		r, err := b.Rule()
		rules = append(rules, r)
		return err
	})
	return rules, err
}

// An object that is written again is the same, wherever the first one went and
// however it is laid out.
func TestAgain(t *testing.T) {
	object := func(w *ipjson.Writer, size int) {
		w.Begin()
		w.String("dst", "", "default")
		w.Open("flags", '[')
		for range size {
			w.Open("", '{')
			w.Literal("n", "", "1")
			w.End()
		}
		w.End()
		w.End()
	}
	for _, pretty := range []bool{false, true} {
		var b, wanted bytes.Buffer
		w, want := ipjson.NewWriter(&b, pretty), ipjson.NewWriter(&wanted, pretty)
		cut := 0
		for i := range 3000 {
			size := i % 5
			if i%500 == 499 {
				size = 5000 // more than any buffer holds
			}
			object(w, size)
			object(want, size)
			last := bytes.Clone(w.Last())
			if last == nil {
				cut++
				continue
			}
			w.Again(last)
			object(want, size)
		}
		if err := errors.Join(w.Close(), want.Close()); err != nil || b.String() != wanted.String() || !json.Valid(b.Bytes()) {
			t.Errorf("pretty %v: %d bytes, want %d, %v", pretty, b.Len(), wanted.Len(), err)
		}
		if cut < 6 || cut > 60 {
			t.Errorf("pretty %v: %d objects were not whole, want those six that are too long, and few others", pretty, cut)
		}
	}
}

func TestCompact(t *testing.T) {
	var b bytes.Buffer
	w := ipjson.NewWriter(&b, false)
	v := iproute2.RuleView{}
	for _, r := range rpdb.DefaultRules(rpdb.IPv4) {
		w.Begin()
		v.Fields(r, w)
		w.End()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want := `[{"priority":0,"src":"all","table":"local"},{"priority":32766,"src":"all","table":"main"},{"priority":32767,"src":"all","table":"default"}]` + "\n"
	if b.String() != want {
		t.Errorf("got %s\nwant %s", &b, want)
	}
}

// The layout of ip -j -p, as observed.
func TestPretty(t *testing.T) {
	var b bytes.Buffer
	w := ipjson.NewWriter(&b, true)
	v := iproute2.RuleView{Deleted: true}
	for _, r := range rpdb.DefaultRules(rpdb.IPv6) {
		w.Begin()
		v.Fields(r, w)
		w.End()
	}
	w.Begin()
	w.Open("flags", '[')
	w.String("", "", "a")
	w.String("", "", "b")
	w.End()
	w.Open("cache", '[')
	w.End()
	w.Open("via", '{')
	w.Null("host", "")
	w.End()
	w.Open("hops", '[')
	for range 2 {
		w.Begin()
		w.Bool("up", "", false)
		w.End()
	}
	w.End()
	w.End()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want := `[ {
        "deleted": true,
        "priority": 0,
        "src": "all",
        "table": "local"
    },{
        "deleted": true,
        "priority": 32766,
        "src": "all",
        "table": "main"
    },{
        "flags": [ "a","b" ],
        "cache": [ ],
        "via": {
            "host": null
        },
        "hops": [ {
                "up": false
            },{
                "up": false
            } ]
    } ]
`
	if b.String() != want {
		t.Errorf("got %s\nwant %s", &b, want)
	}
}

func TestEmpty(t *testing.T) {
	for pretty, want := range map[bool]string{false: "[]\n", true: "[ ]\n"} {
		if got := write(nil, pretty); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Two-character escapes where JSON has them, \u00xx for other control bytes,
// everything else raw.
func TestEscapes(t *testing.T) {
	var b bytes.Buffer
	w := ipjson.NewWriter(&b, false)
	w.Begin()
	w.String("k", "", "\"\\/'\b\f\n\r\t\x00\x01\x1f\x7f\xff\xc3\xa9")
	w.End()
	_ = w.Close() // cannot fail
	want := `[{"k":"\"\\/'\b\f\n\r\t\u0000\u0001\u001f\u007f` + "\xff\xc3\xa9" + "\"}]\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errors.New("device full")
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	for _, left := range []int{0, 4096} {
		w := ipjson.NewWriter(&brokenWriter{left}, false)
		for range 1000 {
			w.Begin()
			w.Number("n", "", "1")
			w.End()
		}
		if err := w.Close(); err == nil {
			t.Errorf("%d bytes fit: no error", left)
		}
	}
}

// random makes rules with every field that JSON shows.
func random(g *rand.Rand) rpdb.Rule {
	some := func() bool { return g.IntN(3) == 0 }
	f := rpdb.Families()[g.IntN(2)]
	text := map[rpdb.Family]string{rpdb.IPv4: "192.0.2.0/24", rpdb.IPv6: "2001:db8::/32"}[f]
	words := []string{"pref", fmt.Sprint(g.Uint32())}
	add := func(format string, args ...any) {
		if some() {
			words = append(words, strings.Fields(fmt.Sprintf(format, args...))...)
		}
	}
	add("not")
	add("from %s", text)
	add("to %s", strings.TrimRight(strings.Split(text, "/")[0], ":")+map[rpdb.Family]string{rpdb.IPv4: "", rpdb.IPv6: "::1:1"}[f])
	add("tos 0x%x", g.Uint32N(256))
	add("fwmark %d/%d", g.Uint32(), g.Uint32())
	add("fwmark %d", 1+g.Uint32N(9))
	add("iif e%d", g.IntN(99))
	add("oif \x01\xff\"\\")
	add("uidrange %d-%d", g.Uint32(), g.Uint32())
	add("ipproto %d", g.IntN(256))
	add("sport %d/%d", g.IntN(65536), 1+g.IntN(65535))
	add("dport %d-%d", g.IntN(3), g.IntN(65536))
	add("tun_id %d", g.Uint64())
	add("dscp %d/%d", g.IntN(64), g.IntN(64))
	add("flowlabel %d/%d", g.IntN(1<<20), g.IntN(1<<20))
	add("realms %d", g.Uint32())
	add("protocol %d", g.IntN(256))
	switch g.IntN(4) {
	case 0:
		words = append(words, "goto", fmt.Sprint(1+g.Uint32N(1<<31)))
	case 1:
		words = append(words, "type", fmt.Sprint([]int{0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 255}[g.IntN(12)]))
		add("table %d", g.Uint32())
	case 2:
		words = append(words, "l3mdev")
	default:
		words = append(words, "table", fmt.Sprint(1+g.Uint32N(1<<31)))
		add("suppress_prefixlength %d", g.IntN(129))
		add("suppress_ifgroup %d", g.IntN(5))
	}
	r, _, err := iproute2.ParseRule(f, words, names())
	if err != nil {
		panic(err)
	}
	if r.Selector.IIF != "" && some() {
		r.Flags |= rpdb.RuleIIFDetached
	}
	if r.Action.Type() == rpdb.ActionGoto && some() {
		r.Flags |= rpdb.RuleUnresolved
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	g := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		var rules []rpdb.Rule
		f := rpdb.Families()[g.IntN(2)]
		for range g.IntN(12) {
			r := random(g)
			if r.Family == f {
				rules = append(rules, r)
			}
		}
		for _, pretty := range []bool{false, true} {
			text := write(rules, pretty)
			back, err := read(f, text)
			if err != nil || len(back) != len(rules) {
				t.Fatalf("%s\n%d rules of %d, %v", text, len(back), len(rules), err)
			}
			for i, r := range back {
				if r != rules[i] {
					t.Fatalf("%s\n read %+v\n want %+v", text, r, rules[i])
				}
			}
			if !json.Valid([]byte(strings.ReplaceAll(text, "\xff", ""))) {
				t.Fatalf("not JSON: %s", text)
			}
		}
	}
}

// What ip never writes is refused, with the place.
func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "byte 0: want '['",
		"[":                                  "byte 1: want '{'",
		"{}":                                 "byte 0: want '['",
		"[{},]":                              "byte 4: want '{'",
		"[{}]x":                              "byte 4: text behind",
		"[{\"a\"}]":                          "byte 5: want ':'",
		"[{\"a\":}]":                         "byte 6: want a text",
		"[{\"a\":1.5}]":                      "byte 6: want a text, an integer",
		"[{\"a\":1e5}]":                      "byte 6:",
		"[{\"a\":01}]":                       "byte 6:",
		"[{\"a\":-}]":                        "byte 6:",
		"[{\"a\":[]}]":                       "byte 6:",
		"[{\"a\":{}}]":                       "byte 6:",
		"[{\"a\":\"x}]":                      "byte 10: text without end",
		"[{\"a\":\"\\":                       "text without end",
		"[{\"a\":\"\\q\"}]":                  "byte 7: unknown escape",
		"[{\"a\":\"\\u12\"}]":                "byte 7: unknown escape",
		"[{\"a\":\"\\ud800\"}]":              "byte 7: unknown escape",
		"[{\"a\":\"\\ud83d\\u0041\"}]":       "byte 7: unknown escape",
		"[{\"a\":\"\\ude00\\ud83d\"}]":       "byte 7: unknown escape",
		"[{\"a\":\"\\ud83dxude00\"}]":        "byte 7: unknown escape",
		"[{\"a\":\"\n\"}]":                   "byte 7: control byte",
		"[{\"a\":1,}]":                       "byte 8: want a text",
		"[{{\"priority\":1}]":                "byte 2: want a text", // -echo of ip
		`[{"priority":1,"src":"all","x":1}]`: `object at byte 1: read rule: field "x": unknown`,
		`[{"priority":"1","src":"all"}]`:     "wrong kind",
		`[{"priority":1,"priority":1}]`:      "given twice",
		`[{"priority":4294967296}]`:          "bad value",
		`[{"priority":1}]`:                   `field "src" is missing`,
		`[{"src":"all"}]`:                    `field "priority" is missing`,
		`[{"priority":1,"src":"192.0.2.1","srclen":33}]`:               "length 33",
		`[{"priority":1,"src":"all","srclen":8}]`:                      "length without an address",
		`[{"priority":1,"src":"2001:db8::1"}]`:                         "IPv6 in a rule of IPv4",
		`[{"priority":1,"src":"all","nop":null,"action":"blackhole"}]`: "more than one action",
		`[{"priority":1,"src":"all","nat_gateway":"192.0.2.1"}]`:       `field "nat_gateway": unknown`,
		`[{"priority":1,"src":"all","fwmark":"16"}]`:                   "bad value",
		`[{"priority":1,"src":"all","sport":1,"sport_start":1}]`:       "neither a port nor a range",
		`[{"priority":1,"src":"all","deleted":false}]`:                 "unknown",
		`[{"priority":1,"src":"all","unresolved":null}]`:               `field "goto" is missing`,
		`[{"priority":1,"src":"all","action":"nop"}]`:                  "bad value",
		`[{"priority":1,"src":"all","table":"nosuch"}]`:                "bad value",
	} {
		rules, err := read(rpdb.IPv4, text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", text, rules, err, want)
		}
	}
}

// What other releases of ip write is read too.
func TestReadOthers(t *testing.T) {
	for text, want := range map[string]string{
		`[{},{"priority":5,"src":"all","table":"vpn"},{ }]`:                                           "5:\tfrom all lookup vpn",
		"\n[\n{\"priority\":5 ,\t\"src\":\"\\u0061ll\",\"goto\":\"none\"}]\n":                         "5:\tfrom all goto none",
		`[{"priority":5,"src":"all","iif":"\ud83d\ude00","table":"main"}]`:                            `5:	from all iif \xf0\x9f\x98\x80 lookup main`,
		`[{"deleted":true,"priority":5,"src":"all","sport":53,"table":"main"}]`:                       "5:\tfrom all sport 53 lookup main",
		`[{"family":"inet","priority":5,"src":"all","flow_from":"9","flow_to":"unknown","nop":null}]`: "5:\tfrom all realms 9/cosmos nop",
		`[{"priority":5,"src":"all","dscp":"10","table":"1"}]`:                                        "5:\tfrom all lookup 1 dscp AF11",
	} {
		rules, err := read(rpdb.IPv4, text)
		if err != nil || len(rules) != 1 {
			t.Errorf("%s: %d rules, %v", text, len(rules), err)
			continue
		}
		if got := iproute2.Rule(rules[0], names()); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// What is read is written back to the same rules.
func FuzzRuleJSON(f *testing.F) {
	g := rand.New(rand.NewPCG(9, 9))
	for range 20 {
		f.Add(write([]rpdb.Rule{random(g)}, g.IntN(2) == 0))
	}
	f.Add(`[{"priority":5,"src":"all","dscp":"10","table":"1"},{}]`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, family := range rpdb.Families() {
			rules, err := read(family, text)
			if err != nil {
				continue
			}
			again := write(rules, false)
			back, err := read(family, again)
			if err != nil || len(back) != len(rules) {
				t.Fatalf("%q: %v", again, err)
			}
			for i := range back {
				if back[i] != rules[i] {
					t.Fatalf("%q\n read %+v\n want %+v", again, back[i], rules[i])
				}
			}
		}
	})
}

// calls is a Tree that writes down what it is given.
type calls []string

func (c *calls) String(key, _, value string) { *c = append(*c, key+"="+strconv.Quote(value)) }

func (c *calls) Literal(key, _, word string) { *c = append(*c, key+"="+word) }

func (c *calls) Open(key string, bracket byte) { *c = append(*c, key+string(bracket)) }

func (c *calls) End() { *c = append(*c, "end") }

func readTrees(text string) (all []string, err error) {
	err = ipjson.ReadTrees([]byte(text), func() ipjson.Tree { return new(calls) }, func(t ipjson.Tree) error {
		all = append(all, strings.Join(*t.(*calls), " "))
		return nil
	})
	return all, err
}

func TestReadTrees(t *testing.T) {
	got, err := readTrees(` [ {"a":1,"b":{"c":null,"d":{}},"e":[ "x",2.50,-3,true,[],{"f":false} ]} ,{},{"g":""}]`)
	want := []string{`a=1 b{ c=null d{ end end e[ ="x" =2.50 =-3 =true [ end { f=false end end`, `g=""`}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}

func TestReadTreesRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9)
	for text, offset := range map[string]int{
		`[{"a":[1,]}]`: 9, `[{"a":[1}]`: 8, `[{"a":{"b"}}]`: 10, `[{"a":1.}]`: 6, `[{"a":.5}]`: 6, `[{"a":1.5e3}]`: 6, `[{"a":01.5}]`: 6,
		`[{"a":{`: 7, `[{"a":[`: 7, `[{"a":["b"`: 10, "[" + deep + "]": 41,
	} {
		_, err := readTrees(text)
		var bad *ipjson.SyntaxError
		if !errors.As(err, &bad) || bad.Offset != offset {
			t.Errorf("%s: %v, want an error at byte %d", text, err, offset)
		}
	}
	if got, err := readTrees("[" + deep[5:len(deep)-1] + "]"); err != nil {
		t.Errorf("as deep as may be: %q, %v", got, err)
	}
}
