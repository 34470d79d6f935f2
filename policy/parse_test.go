package policy

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"rpdb"
	"rpdb/plan"
)

// TestBytes has what a text file cannot show: tabs, byte order marks, line
// ends, control characters, and what is too much.
func TestBytes(t *testing.T) {
	deep := strings.Repeat("[", 100)
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", `p.yaml:1:1: file: the document is empty`},
		{"blank", "\n\n", `p.yaml:1:1: file: the document is empty`},
		{"comment", "# nothing\n", `p.yaml:1:1: file: the document is empty`},
		{"marker", "---\n", `p.yaml:1:1: file: the document is empty`},
		{"null", "~\n", `p.yaml:1:1: file: the document is empty`},
		{"list", "- version: 1\n", `p.yaml:1:1: policy "- version: 1": a list where a mapping of keys and values should be`},
		{"text", "uplinks\n", `p.yaml:1:1: policy "uplinks": a single value where a mapping of keys and values should be`},
		{"no value", "rules:\n", `p.yaml:1:7: rules: has no value`},
		{"tab", "rules:\n\t- lookup: main\n", `p.yaml:2:1: syntax "\t- lookup: main": a tab cannot indent`},
		{"tab inside", "version: \t2\n", `p.yaml:1:11: version "2": not a version of the format`},
		{"bom", "\ufeffversion: 2\n", `p.yaml:1:10: version "2": not a version of the format`},
		{"bom inside", "version: 1 \ufeff\n", `p.yaml:1:12: text "\ufeff": a control character`},
		{"crlf", "version: 1\r\nrule: []\r\n", `p.yaml:2:1: key "rule": a policy has no such key`},
		{"cr", "version: 1\rrules: []\n", `p.yaml:1:11: text "\r": a carriage return without a line feed`},
		{"nel", "version: 1\u0085x: 2\n", `p.yaml:1:11: text "\u0085": a control character`},
		{"line separator", "# \u2028\n", `p.yaml:1:3: text "\u2028": a control character`},
		{"nul", "version: 1\x00\n", `p.yaml:1:11: text "\x00": a control character`},
		{"escape", "# \x1b[2J\n", `p.yaml:1:3: text "\x1b": a control character`},
		{"latin1", "# caf\xe9\n", `p.yaml:1:6: text "\xe9": not UTF-8`},
		{"utf16", "\xff\xfev\x00", `p.yaml:1:1: text "\xff": not UTF-8`},
		{"columns are characters", "# \u00e9\n\u00e9: 1\n", `p.yaml:2:1: key "\u00e9": a policy has no such key`},
		{"second document", "version: 1\n---\nversion: 1\n", `p.yaml:2:1: document "---": a second document begins here, and a policy is one`},
		{"second after end", "version: 1\n...\nrules: []\n", `p.yaml:3:1: document "rules: []": a second document begins here, and a policy is one`},
		{"broken second", "version: 1\n---\n@\n", `p.yaml:3:1: syntax "@": found character that cannot start any token`},
		{"open quote", "version: 1\nrules: \"\n\n", `p.yaml:2:8: syntax "\"": found unexpected end of stream`},
		{"open bracket", "rules: [\n", `p.yaml:2:1: syntax: did not find expected node content`},
		{"colon", "uplinks: a: b\n", `p.yaml:1:11: syntax ": b": mapping values are not allowed in this context`},
		{"address with colon", "uplinks: [{interface: e, gateways: [2001:db8::]}]\n", `p.yaml:1:37: gateway "2001:db8::]}]": a mapping where an address, auto, auto4 or auto6 should be`},
		{"unknown alias", "rules: *r\n", `p.yaml:1:8: syntax "*r": unknown anchor 'r' referenced`},
		{"deep", "rules: " + deep + "\n", `p.yaml:1:24: syntax "` + strings.Repeat("[", 57) + `...": nested more than 16 deep`},
		{"block text", "tables:\n  - name: |\n      vpn\n", `p.yaml:2:11: name "vpn\n": a block of text where a name should be`},
		{"interface with escape", "uplinks: [{interface: \"e\\eth 0\", gateways: [10.0.0.1]}]\n", `p.yaml:1:23: interface "e\x1bth 0": an interface name has no white space, slash or colon`},
		{"many documents", strings.Repeat("---\n", 1000), `p.yaml:1:1: file: the document is empty`},
	} {
		_, err := Parse("p.yaml", []byte(tt.text))
		var list ErrorList
		switch {
		case !errors.As(err, &list):
			t.Errorf("%s: %v", tt.name, err)
		case !slices.ContainsFunc(list, func(e *Error) bool { return e.Error() == tt.want }):
			t.Errorf("%s: got\n%v\nwant\n%s", tt.name, err, tt.want)
		}
	}
}

// TestLimits gives documents that are too much of something. Each must be
// refused, and with less memory than a small host has to spare. A parser that
// is quadratic in any of them would not come back before the test's own end.
func TestLimits(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	rules := strings.Repeat("  - {lookup: main}\n", maxRules+1)
	for _, tt := range []struct{ name, text, want string }{
		{"bytes", strings.Repeat("#", maxSize+1), "are more than"},
		{"values", "rules: [" + strings.Repeat("a,", maxMarks) + "]\n", "more values"},
		{"just below", "rules: [" + strings.Repeat("{a,b},", maxMarks/3-10) + "]\n", "items are more than the limit"},
		{"rules", "rules:\n" + rules, fmt.Sprintf("%d items are more than the limit of %d", maxRules+1, maxRules)},
		{"alias bomb", bomb, "anchors are not part"},
		{"nesting", strings.Repeat("- ", 10_000), "nested more than 16 deep"},
		{"long key", strings.Repeat("k", maxSize-10) + ": 1\n", "no such key"},
		{"long value", "version: " + strings.Repeat("1", maxSize-20) + "\n", "greater than 1"},
		{"many gotos", "rules:\n" + strings.Repeat("  - {goto: "+strings.Repeat("g", 60)+"}\n", maxRules), "no rule has this name"},
		{"many errors", "rules:\n" + strings.Repeat("  - {lookup: 0}\n", 500), "less than 1"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse("p.yaml", []byte(tt.text))
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 128<<20 {
			t.Errorf("%s: %d MiB", tt.name, used>>20)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %.300v", tt.name, err)
		}
		if list, ok := err.(ErrorList); ok && len(list) > maxErrors {
			t.Errorf("%s: %d errors", tt.name, len(list))
		}
	}
}

// checkErrors is what every error of every input must be like.
func checkErrors(t *testing.T, text []byte, err error) {
	t.Helper()
	if err == nil {
		return
	}
	list, ok := err.(ErrorList)
	if !ok || len(list) == 0 {
		t.Fatalf("%T %v", err, err)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	lines := strings.Split(string(text), "\n")
	for i, e := range list {
		switch {
		case e.Position.Line < 1 || e.Position.Line > len(lines):
			t.Errorf("%v: line is not in the file of %d lines", e, len(lines))
		case e.Position.Column < 1 || e.Position.Column > utf8.RuneCountInString(lines[e.Position.Line-1])+1:
			t.Errorf("%v: column is not in the line %q", e, lines[e.Position.Line-1])
		case e.Reason == "" || e.Object == "" || e.File == "":
			t.Errorf("%#v says too little", e)
		case strings.ContainsFunc(e.Error(), func(r rune) bool { return r < ' ' || r > '~' }):
			t.Errorf("%q is not plain text", e.Error())
		}
		if i > 0 && (list[i-1].Position.Line > e.Position.Line) {
			t.Errorf("%v stands behind %v", e, list[i-1])
		}
	}
}

// TestTruncated cuts and damages good and bad documents at every place.
func TestTruncated(t *testing.T) {
	for name, text := range seeds(t) {
		for i := 0; i <= len(text); i += 1 + len(text)/12 {
			for _, damaged := range []string{text[:i], text[i:], text[:i] + "\t" + text[i:], text[:i] + ": [" + text[i:]} {
				_, err := Parse("p.yaml", []byte(damaged))
				checkErrors(t, []byte(damaged), err)
				if t.Failed() {
					t.Fatalf("%s damaged at %d:\n%s", name, i, damaged)
				}
			}
		}
	}
}

// seeds are all documents of the tests, good and bad.
func seeds(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	if tt, ok := t.(*testing.T); ok {
		all = goodFiles(tt)
		for _, file := range stories(tt, "testdata/bad/*.txt") {
			all[file] = readStory(tt, file)["policy.yaml"]
		}
	}
	return all
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"", "version: 1\n", "rules: [{lookup: main}]\n", "\ufeffrules:\r\n  - uplinks\r\n",
		"uplinks: [{interface: eth0, gateways: [10.0.0.1, 'fe80::1'], addresses: [10.0.0.10/24], table: {name: a, number: 5}}]\n",
		"tables:\n  - name: vpn\n    routes:\n      - {to: default, dev: wg0}\n      - {to: 10.0.0.0/8, nexthops: [{via: 10.0.0.1, weight: 2}, {dev: eth0}]}\n",
		"rules:\n  - {name: a, not: true, from: 10.0.0.0/8, fwmark: 0x10/0xff, dscp: EF, goto: b}\n  - {name: b, priority: 40000, uidrange: 1-2, dport: 80/0xfff0, action: nop}\n",
		"a: &a [*a]\n", "? [a]\n: b\n", "--- !!map {}\n...\n---\n", "rules: [[[[[[[[[[[[[[[[[[[[[[",
	} {
		f.Add([]byte(text))
	}
	snapshot := &rpdb.Snapshot{Links: []rpdb.Link{{Index: 1, Name: "eth0", Flags: rpdb.LinkUp}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse("p.yaml", text)
		if (d == nil) != (err != nil) {
			t.Fatalf("document %v and error %v", d, err)
		}
		checkErrors(t, text, err)
		if d == nil {
			return
		}
		desired, err := d.Resolve(snapshot, rpdb.Names{})
		checkErrors(t, text, err)
		if err == nil {
			checkDesired(t, desired)
		}
	})
}

// checkDesired is what every result must be like, whatever the document.
func checkDesired(t *testing.T, d rpdb.Desired) {
	t.Helper()
	for _, r := range d.Rules {
		target := slices.ContainsFunc(d.Rules, func(o rpdb.DesiredRule) bool { return o.Name == r.GotoName && o.Rule.Family == r.Rule.Family })
		switch {
		case r.Rule.Protocol != rpdb.ProtocolRPDB || r.Name == "" || r.Rule.Family.Bits() == 0:
			t.Errorf("rule %+v", r)
		case r.Pinned == (r.Rule.Priority == 0):
			t.Errorf("rule %+v: pinned at 0, or not pinned at a number", r)
		case r.Rule.Action.Type() == rpdb.ActionUnspec:
			t.Errorf("rule %+v has no action", r)
		case r.GotoName != "" && !target:
			t.Errorf("rule %+v leads nowhere", r)
		}
	}
	tables := map[rpdb.TableID]bool{}
	for _, table := range d.Tables {
		if tables[table.ID] || table.ID == 0 || isKernelTable(table.ID) {
			t.Errorf("table %+v is doubled or the kernel's", table)
		}
		tables[table.ID] = true
	}
	for _, r := range d.Routes {
		if !tables[r.Route.Table] || r.Route.Protocol != rpdb.ProtocolRPDB || rpdb.FamilyOf(r.Route.Dst.Addr()) != r.Route.Family {
			t.Errorf("route %+v", r)
		}
	}
}

// TestRangesAgree compares our ranges with those of the plan, which the import
// table keeps apart.
func TestRangesAgree(t *testing.T) {
	if firstPriority != plan.FirstPriority || lastPriority != plan.LastPriority {
		t.Errorf("priorities %d-%d, the plan's are %d-%d", firstPriority, lastPriority, plan.FirstPriority, plan.LastPriority)
	}
	if firstUplinkTable != plan.FirstTable || lastOtherTable != plan.LastTable || lastUplinkTable >= firstOtherTable {
		t.Errorf("tables %d-%d and %d-%d, the plan's are %d-%d", firstUplinkTable, lastUplinkTable, firstOtherTable, lastOtherTable, plan.FirstTable, plan.LastTable)
	}
	if most := plan.Capacity; maxRules+3*maxUplinks > most {
		t.Errorf("a policy may have %d rules, and the plan has room for %d", maxRules, most)
	}
}

// TestHostileNames has an interface whose name would clear a terminal.
func TestHostileNames(t *testing.T) {
	const name = "e\x1b[2J\u00e9"
	s := &rpdb.Snapshot{
		Links:     []rpdb.Link{{Index: 1, Name: name, Flags: rpdb.LinkUp}},
		Addresses: []rpdb.Address{{Link: 1, Prefix: netip.MustParsePrefix("192.168.0.10/24")}},
	}
	text := []byte("uplinks: [{interface: \"e\\e[2J\u00e9\", gateways: [10.0.0.1]}]\n")
	d, err := Parse("p.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Resolve(s, rpdb.Names{})
	checkErrors(t, text, err)
	if want := `in no network of e\x1b[2J\u00e9, which has 192.168.0.0/24`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want ... %s", err, want)
	}
	s.Links[0].Flags, s.Addresses = 0, nil
	desired, err := d.Resolve(s, rpdb.Names{})
	if err != nil || len(desired.Waiting) != 1 || desired.Waiting[0].Reason != `interface e\x1b[2J\u00e9 is down` {
		t.Errorf("%+v, %v", desired.Waiting, err)
	}
	if got := d.Interfaces(); len(got) != 1 || got[0] != name {
		t.Errorf("interfaces %q", got)
	}
}

func TestErrorListUnwraps(t *testing.T) {
	_, err := Parse("p.yaml", []byte("version: 2\nrule: []\n"))
	var one *Error
	if !errors.As(err, &one) || one.Object != "version" || one.Position != (Position{1, 10}) || one.Text != "2" {
		t.Errorf("the first error is %+v", one)
	}
	if n := len(err.(ErrorList).Unwrap()); n != 2 {
		t.Errorf("%d errors, want 2: %v", n, err)
	}
}
