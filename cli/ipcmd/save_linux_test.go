package ipcmd

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/format/ipsave"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// Streams of rules go from the real ip to ours and back.
func TestSaveAndRestoreWithTheirs(t *testing.T) {
	w := newTwins(t, theirs(t), host{})
	for _, line := range []string{
		"rule add pref 100 from 192.0.2.0/24 table 1000", "rule add pref 100 goto 200", "rule add pref 200 not iif lo nop",
		"rule add pref 0 fwmark 1/3 table 5",
	} {
		w.a.real(command{args: splitLine(line)})
	}
	saved := w.a.real(command{args: []string{"rule", "save"}})
	for range 2 { // what is there is not doubled
		if o := call(w.b.ns, []byte(saved.stdout), "rule restore"); o != (outcome{}) {
			t.Fatalf("restore: %v", o)
		}
	}
	if as, bs := w.state(w.a), w.state(w.b); as != bs {
		t.Errorf("the kernels differ\ntheirs:\n%sours:\n%s", as, bs)
	}
	ours := call(w.b.ns, nil, "rule save")
	if len(ours.stdout) != len(saved.stdout) {
		t.Errorf("we save %d bytes, theirs %d", len(ours.stdout), len(saved.stdout))
	}
	back := newTwins(t, w.peer, host{})
	back.a.real(command{args: []string{"rule", "flush"}})
	if o := back.a.real(command{args: []string{"rule", "restore"}, stdin: ours.stdout}); o != (outcome{}) {
		t.Errorf("their restore: %v", o)
	}
	if got := back.a.real(command{args: []string{"rule"}}).stdout; strings.Count(got, "\n") < 7 {
		t.Errorf("they restored\n%s", got)
	}
}

// A stream that is wrong changes nothing.
func TestRestoreRefuses(t *testing.T) {
	ns := kerneltest.Namespace(t)
	call(ns, nil, "rule add pref 100 table 7")
	good := call(ns, nil, "rule save").stdout
	call(ns, nil, "rule del pref 100")
	before := call(ns, nil, "rule").stdout
	for name, stream := range map[string]string{
		"empty": "", "wrong magic": "x" + good, "cut": good[:len(good)-3], "half a header": good[:10],
		"a gigabyte": good[:4] + "\xff\xff\xff\x3f" + good[8:], "no rule": good[:8] + "\x10" + good[9:],
		"a family without rules": good[:20] + "\x07" + good[21:],
	} {
		o := call(ns, []byte(stream), "rule restore")
		if o.code != 255 || o.stderr == "" {
			t.Errorf("%s: %v", name, o)
		}
		if after := call(ns, nil, "rule").stdout; after != before {
			t.Errorf("%s: the rules are now\n%s", name, after)
		}
	}
}

// savedRule is the message of one rule in a stream.
func savedRule(t testing.TB, r rpdb.Rule) string {
	t.Helper()
	payload, err := kernel.EncodeRule(r)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := ipsave.NewWriter(&b, ipsave.Rules).Write(ipsave.Message{Type: unix.RTM_NEWRULE, Flags: unix.NLM_F_MULTI, Payload: payload}); err != nil {
		t.Fatal(err)
	}
	return b.String()[4:]
}

// streams are streams of saved rules, whole and hostile, in which nothing good
// stands before what is wrong.
func streams(t testing.TB) map[string]string {
	magic := string(binary.NativeEndian.AppendUint32(nil, uint32(ipsave.Rules)))
	first := savedRule(t, rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(7)})
	second := savedRule(t, rpdb.Rule{Family: rpdb.IPv6, Priority: 100, Action: rpdb.ToTable(300)})
	long := func(n uint32) string { return magic + string(binary.NativeEndian.AppendUint32(nil, n)) + first[4:] }
	routes := string(binary.NativeEndian.AppendUint32(nil, uint32(ipsave.Routes)))
	return map[string]string{
		"empty": "", "1 byte": magic[:1], "2 bytes": magic[:2], "3 bytes": magic[:3], "the magic number alone": magic,
		"whole": magic + first + second, "text": "rule add pref 7\n", "routes": routes + first, "other byte order": reversed(magic) + first,
		"our own magic number, then text": magic + "hello", "half a header": magic + first[:10], "cut": magic + first[:len(first)-3],
		"a gigabyte": long(1 << 30), "more than there are": long(1<<32 - 1), "no header": long(8), "longer than any": long(16385),
		"longest, cut": long(16384), "another family": magic + first[:16] + "\x07" + first[17:],
		"a goto backward": magic + savedRule(t, rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.Goto(5)}),
	}
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// Streams are restored and refused as by the real ip: from a pipe, from a file,
// and behind their command in a batch, of which they are the end. A batch has
// no other standard input.
func TestRestoreAsTheirs(t *testing.T) {
	w := newTwins(t, theirs(t), host{})
	file := filepath.Join(t.TempDir(), "stream")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, stream := range streams(t) {
		write(stream)
		for _, c := range []command{
			{args: []string{"rule", "restore"}, stdin: stream},
			{args: []string{"-j", "-6", "rule", "r", "extra", "words"}, file: file},
		} {
			w.renew()
			if d := w.run(c); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
		batch := "# a comment\nrule add pref 5 table 7\nrule del pref 77\nru r\n" + stream
		write(batch)
		for _, c := range []command{
			{args: []string{"-force", "-batch", file}},
			{args: []string{"-force", "-batch", "-"}, file: file},
			{args: []string{"-force", "-batch", "-"}, stdin: batch},
			{args: []string{"-batch", file}, stdin: stream},
		} {
			w.renew()
			if d := w.run(c); d != "" {
				t.Errorf("in a batch, %s: %s", name, d)
			}
		}
	}
}

func TestSavedRuleErrors(t *testing.T) {
	good := savedRule(t, rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(7)})
	all := streams(t)
	for name, want := range map[string]string{
		"empty":                  "byte 0: 0 bytes, the magic number has 4",
		"3 bytes":                "byte 3: 3 bytes, the magic number has 4",
		"routes":                 "byte 0: the stream holds routes, not rules",
		"a gigabyte":             "rule 2 of the stream, byte 48: message of 1073741824 bytes, want 16 to 16384",
		"half a header":          "rule 2 of the stream, byte 58: the stream ends inside a message",
		"another family":         "rule 2 of the stream, byte 48: family 7 has no rules",
		"no rule":                "rule 2 of the stream, byte 48: a message of type 16 is no rule",
		"an attribute cut short": "rule 2 of the stream, byte 48: decode rule: ",
	} {
		stream := all[name]
		switch {
		case name == "no rule":
			stream = all["whole"][:4] + good[:4] + "\x10" + good[5:]
		case name == "an attribute cut short":
			stream = all["whole"][:4] + good[:28] + "\xff" + good[29:]
		}
		if len(stream) > 4 && name != "routes" {
			stream = stream[:4] + good + stream[4:]
		}
		_, err := ReadSavedRules(strings.NewReader(stream))
		var bad *SavedRuleError
		if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	saved, err := ReadSavedRules(strings.NewReader(all["whole"]))
	if err != nil || len(saved.Rules) != 2 || saved.Offsets[1] != int64(4+len(good)) || saved.Rules[1].Family != rpdb.IPv6 {
		t.Errorf("read %+v, %v", saved, err)
	}
}

// Of a file nothing is held but the rules, and that once.
func TestReadingSavedRulesAllocatesLittle(t *testing.T) {
	const count = 2000
	rule := savedRule(t, rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Protocol: rpdb.ProtocolBoot, Action: rpdb.ToTable(7)})
	file := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte(streams(t)["whole"][:4]+strings.Repeat(rule, count)), 0o600); err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(5, func() {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		saved, err := ReadSavedRules(f)
		if err != nil || len(saved.Rules) != count || len(saved.Offsets) != count {
			t.Fatalf("%d rules, %v", len(saved.Rules), err)
		}
	})
	if got > 30 {
		t.Errorf("%v allocations for %d rules", got, count)
	}
}

// A list of several datagrams is saved whole.
func TestSaveThousands(t *testing.T) {
	ns := kerneltest.Namespace(t)
	var batch strings.Builder
	for range 2000 {
		batch.WriteString("rule add table 100\n")
	}
	if o := call(ns, []byte(batch.String()), "-batch -"); o.code != 0 {
		t.Fatal(o)
	}
	saved, err := ReadSavedRules(strings.NewReader(call(ns, nil, "rule save").stdout))
	if err != nil || len(saved.Rules) != 2003 {
		t.Errorf("%d rules, %v", len(saved.Rules), err)
	}
}

// A list of several datagrams is what the lists of its rules are, one by one.
func TestListThousands(t *testing.T) {
	ns := kerneltest.Namespace(t)
	var batch, text strings.Builder
	var objects []string
	const many = 3000
	for i := range many {
		words := []string{
			fmt.Sprintf("from 10.0.%d.%d lookup 100", i/256, i%256), fmt.Sprintf("from all fwmark %#x lookup main", i+1),
			fmt.Sprintf("not from all to 10.1.0.0/%d goto 32766", 8+i%24), "from all iif lo blackhole",
		}[i%4]
		fmt.Fprintf(&batch, "rule add pref %d %s\n", i+1, strings.ReplaceAll(words, "from all", ""))
		fmt.Fprintf(&text, "%d:\t%s\n", i+1, words)
	}
	if o := call(ns, []byte(batch.String()), "-batch -"); o.code != 0 {
		t.Fatal(o)
	}
	o := call(ns, nil, "rule")
	if want := "0:\tfrom all lookup local\n" + text.String() + "32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n"; o.stdout != want || o.code != 0 {
		t.Errorf("%d bytes, want %d; code %d", len(o.stdout), len(want), o.code)
	}
	for line := range strings.Lines(o.stdout) {
		priority, _, _ := strings.Cut(line, ":")
		if len(objects) < 40 || len(objects) > many-40 {
			one := call(ns, nil, "-j rule list pref "+priority).stdout
			objects = append(objects, strings.TrimSuffix(strings.TrimPrefix(one, "["), "]\n"))
		} else {
			objects = append(objects, "")
		}
	}
	all := call(ns, nil, "-j rule").stdout
	if head, tail := "["+strings.Join(objects[:40], ",")+",", ","+strings.Join(objects[many-39:], ",")+"]\n"; !strings.HasPrefix(all, head) || !strings.HasSuffix(all, tail) {
		t.Errorf("JSON: %.200q", all)
	}
	var rules []map[string]any
	if err := json.Unmarshal([]byte(all), &rules); err != nil || len(rules) != many+3 {
		t.Errorf("JSON: %d rules, %v", len(rules), err)
	}
}

// A stream is read whole or refused at a rule and a byte in it, and what is read
// can be written again.
func FuzzSavedRules(f *testing.F) {
	for _, stream := range streams(f) {
		f.Add([]byte(stream))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		saved, err := ReadSavedRules(bytes.NewReader(data))
		var bad *SavedRuleError
		if err != nil {
			if !errors.As(err, &bad) || bad.Offset < 0 || bad.Offset > int64(len(data)) || bad.Reason == "" || len(saved.Rules) > 0 {
				t.Fatalf("%+v, %v", saved, err)
			}
			if text := savedText(err, 0); !strings.HasSuffix(text, "\n") {
				t.Fatalf("said %q", text)
			}
			return
		}
		for i, r := range saved.Rules {
			if at := saved.Offsets[i]; at < 4 || at >= int64(len(data)) {
				t.Fatalf("rule %d at %d of %d", i, at, len(data))
			}
			payload, err := kernel.EncodeRule(r)
			if err != nil {
				continue // no request could say it: a restore refuses it as well
			}
			if back, err := kernel.DecodeRule(payload); err == nil && back.State() != 0 {
				t.Fatalf("rule %d keeps the state %v", i, back.State())
			}
		}
	})
}
