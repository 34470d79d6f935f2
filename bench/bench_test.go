package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rpdb"
)

// TestSmoke runs all rows in tiny sizes: whether each does what it says, not how fast.
func TestSmoke(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("network namespaces, BPF programs and full tables need root")
	}
	docs := t.TempDir()
	if err := os.WriteFile(filepath.Join(docs, "benchmarks-other.md"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var progress bytes.Buffer
	if err := run(t.Context(), []string{"-scale", "1000", "-rounds", "1", "-docs", docs}, io.Discard, &progress); err != nil {
		t.Errorf("%v\n%s", err, progress.String())
	}
	text, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| flush 10 rules [", "one IPv6 decision, 10 rules of 4 mask shapes", "not judged: other sizes", "Load averages", "[benchmarks-other.md](benchmarks-other.md)", "the kernel's deletions alone", "into a pipe"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"FAILED", "<no value>", "NaN", "Inf"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("the page has %q:\n%s", bad, text)
		}
	}
	plot, err := os.ReadFile(filepath.Join(docs, plotFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, curve := range []string{"fib.Lookup", "the kernel", "rpdb rule restore", "ip -batch", "netlink"} {
		if !bytes.Contains(plot, []byte(">"+curve+"</text>")) {
			t.Errorf("the plot lacks %q", curve)
		}
	}
}

// TestSeen: what was over too soon is measured again, from its beginning, and nothing
// else is.
func TestSeen(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		errs []error // of one measurement after the other, the last again and again
		want error
		runs int
	}{
		{[]error{nil}, nil, 1},
		{[]error{errUnseen, errUnseen, nil}, nil, 3},
		{[]error{errUnseen, broken}, broken, 2},
		{[]error{errUnseen}, errUnseen, 10},
	} {
		runs := 0
		_, err := seen(func() (float64, error) {
			runs++
			return 1, c.errs[min(runs, len(c.errs))-1]
		})()
		if !errors.Is(err, c.want) || runs != c.runs {
			t.Errorf("%v: %d runs, %v", c.errs, runs, err)
		}
	}
}

// TestFailingRow has a row fail and one panic: the others run, and the end says so.
func TestFailingRow(t *testing.T) {
	e := &env{ctx: t.Context(), scale: 1, log: func(string, ...any) {}}
	broken := errors.New("broken")
	lines := e.measure([]row{
		{"a", "a", func(*env) []Line { return fail("a", broken) }},
		{"b", "b", func(*env) []Line { panic("oops") }},
		{"c", "c", func(*env) []Line { return []Line{{What: "c", Ours: series(1)}} }},
	})
	if len(lines) != 3 || !errors.Is(lines[0].Err, broken) || lines[1].Err == nil || lines[2].Err != nil {
		t.Fatalf("lines %+v", lines)
	}
	if got := table(lines, true); strings.Count(got, "FAILED") != 2 {
		t.Errorf("table:\n%s", got)
	}
	if got := notes(lines); !strings.Contains(got, "a: broken") || !strings.Contains(got, "oops") {
		t.Errorf("notes:\n%s", got)
	}
	lines = append(lines, Line{What: "slow", Ours: series(2), Bar: Bar{kind: atMost, limit: 1}})
	for judge, want := range map[bool]string{
		true:  "0 of 1 bars are reached; 2 lines failed",
		false: "No bar is judged, as the sizes are others; 2 lines failed",
	} {
		if got := missed(lines, judge); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestInterrupted ends a run at various places: no row and no turn follows, and what
// was written for it is gone.
func TestInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	e := &env{ctx: ctx, scale: 1, log: func(string, ...any) {}}
	turns := 0
	var err error
	e.measure([]row{
		{"a", "a", func(e *env) []Line {
			_, err = e.contest(Seconds, 2, contestant{turn: func() (float64, error) { turns++; interrupt(); return 1, nil }})
			return nil
		}},
		{"b", "b", func(*env) []Line { t.Error("a row runs behind the end"); return nil }},
	})
	if turns != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d turns, %v", turns, err)
	}
	tmp, docs := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if err := run(ctx, []string{"-rows", "start", "-ip", "true", "-docs", docs}, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("a run ends with %v", err)
	}
	for _, dir := range []string{tmp, docs} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

// TestInterruptedCommand interrupts while a command runs in a world, which ends.
func TestInterruptedCommand(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("network namespaces, BPF programs and full tables need root")
	}
	ctx, interrupt := context.WithCancel(t.Context())
	e := &env{ctx: ctx, peer: "ip"}
	err := e.in(func(w *world) error {
		return w.stream(writing(interrupt), nil, "sh", "-c", "echo up; exec sleep 3600")
	})
	if err == nil || ctx.Err() == nil {
		t.Errorf("the command ends with %v", err)
	}
}

// writing is called with each write.
type writing func()

func (w writing) Write(b []byte) (int, error) { w(); return len(b), nil }

func series(values ...float64) Series { return Series{Name: "x", Unit: Seconds, Values: values} }

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name       string
		ours, peer Series
		bar        Bar
		ratio      string
		verdict    string
	}{
		{"aim reached", series(1, 2, 1), series(200, 200, 200), Bar{faster, 50, 100}, "200x", "yes, the aim too"},
		{"bar reached", series(1, 2, 1), series(60, 120, 70), Bar{faster, 50, 100}, "60.0x", "yes"},
		{"bar missed", series(1), series(49.9), Bar{faster, 50, 100}, "49.9x", "**no**"},
		{"paired rounds", series(1, 10, 100), series(2, 20, 200), Bar{kind: faster, limit: 2}, "2.00x", "yes"},
		{"fewer rounds of the peer", series(1, 2, 3), series(20), Bar{kind: faster, limit: 10}, "10.0x", "yes"},
		{"share", series(0.5), series(1), Bar{share, 0.6, 0.35}, "0.50x of its", "yes"},
		{"share missed", series(0.7), series(1), Bar{share, 0.6, 0.35}, "0.70x of its", "**no**"},
		{"at most", series(1e-3), Series{}, Bar{kind: atMost, limit: 1e-3}, "-", "yes"},
		{"too much", series(1.1e-3), Series{}, Bar{kind: atMost, limit: 1e-3}, "-", "**no**"},
		{"reported", series(1), series(3), Bar{}, "3.00x", "reported"},
	} {
		l := Line{What: c.name, Ours: c.ours, Peer: c.peer, Bar: c.bar}
		if _, ratio := l.ratio(); ratio != c.ratio {
			t.Errorf("%s: ratio %q, want %q", c.name, ratio, c.ratio)
		}
		if v := l.verdict(true); v != c.verdict {
			t.Errorf("%s: %q, want %q", c.name, v, c.verdict)
		}
		if v := l.verdict(false); c.bar.kind != noBar && v == c.verdict {
			t.Errorf("%s: judged in other sizes", c.name)
		}
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		unit Unit
		v    float64
		want string
	}{
		{Seconds, 96.04, "96.0 s"},
		{Seconds, 0.0125, "12.5 ms"},
		{Seconds, 1.5e-6, "1.50 us"},
		{Seconds, 42e-9, "42.0 ns"},
		{Seconds, 0.2e-9, "0.20 ns"},
		{Bytes, 3.65e9, "3.65 GB"},
		{Bytes, 469, "469 B"},
	} {
		if got := c.unit.show(c.v); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
	for n, want := range map[int]string{7: "7", 999: "999", 1000: "1,000", 901899: "901,899", 1000000: "1,000,000"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q", n, got)
		}
	}
	for p, want := range map[int]string{1: "10 s", 0: "1 s", -1: "100 ms", -3: "1 ms", -6: "1 us", -7: "100 ns", -9: "1 ns"} {
		if got := power(p); got != want {
			t.Errorf("power(%d) = %q, want %q", p, got, want)
		}
	}
	if got, want := (Bar{faster, 50, 100}).String(Seconds), "at least 50x, aim 100x"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := (Bar{atMost, 150e6, 32e6}).String(Bytes), "at most 150 MB, aim 32.0 MB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestTurns has contestants take turns in changing order, and one leave early.
func TestTurns(t *testing.T) {
	var order []string
	turn := func(name string, rounds int) contestant {
		return contestant{name: name, rounds: rounds, turn: func() (float64, error) {
			order = append(order, name)
			return float64(len(order)), nil
		}}
	}
	got, err := (&env{ctx: t.Context()}).contest(Seconds, 3, turn("a", 0), turn("b", 2))
	if err != nil {
		t.Fatal(err)
	}
	if want := "a b b a a"; strings.Join(order, " ") != want {
		t.Errorf("turns %v, want %v", order, want)
	}
	if !slices.Equal(got[0].Values, []float64{1, 4, 5}) || !slices.Equal(got[1].Values, []float64{2, 3}) {
		t.Errorf("series %+v", got)
	}
}

// TestJudge shows other work to the judge.
func TestJudge(t *testing.T) {
	var j judge
	if err := j.see(listing{lines: 2, sum: [32]byte{1}}, 2); err != nil {
		t.Error(err)
	}
	if err := j.see(listing{lines: 2, sum: [32]byte{2}}, 2); err == nil {
		t.Error("another list passes")
	}
	if err := j.see(listing{lines: 1, sum: [32]byte{1}}, 2); err == nil {
		t.Error("a shorter list passes")
	}
}

// TestGeneratedTable is what is measured with where there is no real table.
func TestGeneratedTable(t *testing.T) {
	a, err := loadTables(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rpdb.Families() {
		found := map[int]int{}
		all := a.prefixes[f]
		for i, p := range all {
			found[p.Bits()]++
			if p != p.Masked() || i > 0 && all[i-1] == p {
				t.Fatalf("%v at %d", p, i)
			}
		}
		for bits, n := range lengths(f) {
			if found[bits] != n {
				t.Errorf("%v: %d prefixes of %d bits, want %d", f, found[bits], bits, n)
			}
		}
	}
	b, err := loadTables(t.TempDir(), 1)
	if err != nil || !slices.Equal(a.prefixes[rpdb.IPv4], b.prefixes[rpdb.IPv4]) {
		t.Errorf("not the same table each time (%v)", err)
	}
	if !strings.Contains(a.source, "random") {
		t.Errorf("the source is %q", a.source)
	}
}

// TestPlot draws curves and reads what came as XML.
func TestPlot(t *testing.T) {
	e := new(env)
	for _, plot := range []string{"decide", "apply"} {
		for n := 10; n <= 100_000; n *= 10 {
			e.point(plot, "a<b", n, float64(n)*1e-8)
			e.point(plot, "a<b", n, float64(n)*1e-7)
			e.point(plot, "flat", n, 60e-9)
		}
	}
	for _, drawn := range []string{e.plot(), new(env).plot()} {
		d := xml.NewDecoder(strings.NewReader(drawn))
		for {
			_, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, drawn)
			}
		}
	}
	if got, want := strings.Count(e.plot(), "<circle"), 2*2*5; got != want {
		t.Errorf("%d points, want %d", got, want)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-rows", "("}, {"-rows", "nosuch"}, {"-rounds", "0"}, {"-scale", "0"}, {"more"}, {"-nosuch"}} {
		if err := run(t.Context(), append(args, "-list"), io.Discard, io.Discard); err == nil {
			t.Errorf("%q passes", args)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-list", "-rows", "apply-10k|start"}, &out, io.Discard); err != nil || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v: %q", err, out.String())
	}
	// A part of the rows, or other sizes, must not pass for the whole.
	for _, c := range []struct{ args, docs string }{
		{"-root .", "docs"},
		{"-root . -rows start", ""},
		{"-root . -scale 10", ""},
		{"-root . -scale 10 -docs x", "x"},
	} {
		if o, err := parse(strings.Fields(c.args), io.Discard); err != nil || o.docs != c.docs {
			t.Errorf("%s: %q, %v", c.args, o.docs, err)
		}
	}
}
