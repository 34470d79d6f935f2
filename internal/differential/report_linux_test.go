package differential

import (
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rpdb"
	"rpdb/internal/corpus"
)

// run is a row of docs/fidelity.csv: worlds of consecutive seeds that were
// compared, all of them or, if something was found, up to there.
type run struct {
	generator   string // fingerprint of what made the worlds
	kernel      string
	first, last uint64   // seeds
	lookups     [2]int64 // of IPv4 and IPv6
	worlds      int64
	torn        int64    // worlds left out
	open        [2]int64 // of the lookups: the engine named several ways or none
	least       string   // what was tried least, and how often
	tried       int64
	mismatches  int64
	seconds     float64
}

func (r *run) perSecond() float64 { return float64(r.lookups[0]+r.lookups[1]) / max(r.seconds, 1e-9) }

// columns names the columns of the file.
func columns() []string {
	return strings.Fields("generator kernel first_seed last_seed ipv4 ipv6 worlds torn open4 open6 tried_least times mismatches seconds")
}

func (r *run) record() []string {
	list := []string{r.generator, r.kernel, strconv.FormatUint(r.first, 10), strconv.FormatUint(r.last, 10)}
	for _, n := range []int64{r.lookups[0], r.lookups[1], r.worlds, r.torn, r.open[0], r.open[1]} {
		list = append(list, strconv.FormatInt(n, 10))
	}
	return append(list, r.least, strconv.FormatInt(r.tried, 10), strconv.FormatInt(r.mismatches, 10), strconv.FormatFloat(r.seconds, 'f', 0, 64))
}

// parseRun reads what record writes.
func parseRun(record []string) (r run, err error) {
	if len(record) != len(columns()) {
		return run{}, fmt.Errorf("%d columns, not %d", len(record), len(columns()))
	}
	r.generator, r.kernel, r.least = record[0], record[1], record[10]
	for i, to := range []*uint64{&r.first, &r.last} {
		if *to, err = strconv.ParseUint(record[2+i], 10, 64); err != nil {
			return run{}, err
		}
	}
	numbers := []*int64{&r.lookups[0], &r.lookups[1], &r.worlds, &r.torn, &r.open[0], &r.open[1], nil, &r.tried, &r.mismatches}
	for i, to := range numbers {
		if to == nil {
			continue
		}
		if *to, err = strconv.ParseInt(record[4+i], 10, 64); err != nil {
			return run{}, err
		}
	}
	r.seconds, err = strconv.ParseFloat(record[13], 64)
	return r, err
}

// fingerprint tells generators apart: the same seed is the same world only of
// one of them.
func fingerprint() string {
	hash := sha256.New()
	for seed := range uint64(4) {
		g := corpus.New(seed)
		s := g.Snapshot()
		list := []any{s}
		for range 50 {
			for _, f := range rpdb.Families() {
				flow, _, _ := g.Aimed(f, s.Rules)
				list = append(list, flow, g.Flow(f))
			}
		}
		if err := json.NewEncoder(hash).Encode(list); err != nil {
			panic(err) // values of the model always can be written
		}
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:4])
}

// nextSeed is the first seed after all that a generator was run with.
func nextSeed(runs []run, generator string) uint64 {
	next := uint64(1)
	for _, r := range runs {
		if r.generator == generator {
			next = max(next, r.last+1)
		}
	}
	return next
}

func readRuns(t *testing.T, dir string) []run {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, "fidelity.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var runs []run
	for i, record := range records {
		if i == 0 {
			continue // names
		}
		r, err := parseRun(record)
		if err != nil {
			t.Fatalf("fidelity.csv, line %d: %v", i+1, err)
		}
		runs = append(runs, r)
	}
	return runs
}

// appendRun writes a run down, and puts the totals into the page.
func appendRun(t *testing.T, dir string, r run) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(dir, "fidelity.csv"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	w := csv.NewWriter(file)
	must(t, w.Write(r.record()))
	w.Flush()
	must(t, w.Error())
	must(t, file.Close())
	name := filepath.Join(dir, "fidelity.md")
	page, err := os.ReadFile(name)
	must(t, err)
	text, err := withTotals(string(page), readRuns(t, dir))
	must(t, err)
	must(t, os.WriteFile(name, []byte(text), 0o644))
}

// The marks of the part of the page that is computed.
const (
	totalsBegin = "<!-- computed from fidelity.csv -->\n"
	totalsEnd   = "<!-- end -->\n"
)

// withTotals replaces the computed part of a page.
func withTotals(page string, runs []run) (string, error) {
	before, rest, ok := strings.Cut(page, totalsBegin)
	_, after, end := strings.Cut(rest, totalsEnd)
	if !ok || !end {
		return "", fmt.Errorf("fidelity.md lacks the line %q or %q", totalsBegin, totalsEnd)
	}
	return before + totalsBegin + totals(runs) + totalsEnd + after, nil
}

// counted returns the runs that add up: joined where one goes on where another
// ended, and without those that try seeds again.
func counted(runs []run) (list []run, again int) {
	sorted := slices.Clone(runs)
	slices.SortStableFunc(sorted, func(a, b run) int {
		return cmp.Or(cmp.Compare(a.generator, b.generator), cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last))
	})
	ends := map[string]uint64{}
	for _, r := range sorted {
		end, seen := ends[r.generator]
		if seen && r.first <= end {
			again++
			continue
		}
		ends[r.generator] = r.last
		if n := len(list); n > 0 && list[n-1].follows(r) {
			list[n-1].join(r)
			continue
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b run) int {
		return cmp.Compare(place(runs, a.generator), place(runs, b.generator))
	})
	return list, again
}

func place(runs []run, generator string) int {
	return slices.IndexFunc(runs, func(r run) bool { return r.generator == generator })
}

// follows reports whether another run goes on where this one ended.
func (r *run) follows(o run) bool {
	return r.generator == o.generator && r.kernel == o.kernel && o.first == r.last+1
}

func (r *run) join(o run) {
	r.last = o.last
	for i := range r.lookups {
		r.lookups[i] += o.lookups[i]
		r.open[i] += o.open[i]
	}
	r.worlds, r.torn, r.mismatches, r.seconds = r.worlds+o.worlds, r.torn+o.torn, r.mismatches+o.mismatches, r.seconds+o.seconds
	if o.tried < r.tried {
		r.least, r.tried = o.least, o.tried
	}
}

// blind is the generator of the first runs, which threw most disagreements away.
// They are listed, and add nothing up.
const blind = "first"

// totals is the computed part: a line for each run, and their sum.
func totals(runs []run) string {
	list, again := counted(runs)
	var b strings.Builder
	var sum run
	b.WriteString("| generator, seeds | kernel | IPv4 | IPv6 | worlds, torn | open | tried least in a run | disagreed | seconds |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range list {
		fmt.Fprintf(&b, "| %s, %d to %d | %s | %s | %s | %s, %s | %s | %s, %s | %d | %s |\n", r.generator, r.first, r.last, r.kernel,
			thousands(r.lookups[0]), thousands(r.lookups[1]), thousands(r.worlds), thousands(r.torn), share(&r), r.least, thousands(r.tried),
			r.mismatches, thousands(int64(r.seconds)))
		if r.generator != blind {
			sum.join(r)
		}
	}
	fmt.Fprintf(&b, "| all | | %s | %s | %s, %s | | | %d | %s |\n",
		thousands(sum.lookups[0]), thousands(sum.lookups[1]), thousands(sum.worlds), thousands(sum.torn), sum.mismatches, thousands(int64(sum.seconds)))
	if again > 0 {
		fmt.Fprintf(&b, "\nRuns that tried seeds again, and are not counted: %d.\n", again)
	}
	return b.String()
}

// share is how much of a run the engine could not foresee, unknown for the
// first ones.
func share(r *run) string {
	open := r.open[0] + r.open[1]
	if open == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*float64(open)/float64(r.lookups[0]+r.lookups[1]))
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// TestReport keeps the page what the file says, and seeds from being counted
// twice.
func TestReport(t *testing.T) {
	const dir = "../../docs"
	page, err := os.ReadFile(filepath.Join(dir, "fidelity.md"))
	must(t, err)
	text, err := withTotals(string(page), readRuns(t, dir))
	must(t, err)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		must(t, os.WriteFile(filepath.Join(dir, "fidelity.md"), []byte(text), 0o644))
	} else if text != string(page) {
		t.Error("the figures of docs/fidelity.md are not those of docs/fidelity.csv: UPDATE_GOLDEN=1 go test ./internal/differential -run TestReport")
	}
	for _, r := range readRuns(t, dir) {
		if r.first > r.last || r.seconds < 0 {
			t.Errorf("docs/fidelity.csv: %v", r.record())
		}
	}
}

func TestRunsAddUp(t *testing.T) {
	runs := []run{
		{generator: "b", first: 1, last: 10, lookups: [2]int64{4000, 3000}, tried: 7, least: "x"},
		{generator: "a", first: 1, last: 5, lookups: [2]int64{100, 100}},
		{generator: "b", first: 5, last: 20, lookups: [2]int64{9999, 9999}}, // again
		{generator: "b", first: 11, last: 20, lookups: [2]int64{4000, 3000}, tried: 3, least: "y"},
		{generator: "b", first: 30, last: 31, lookups: [2]int64{50, 60}},
	}
	list, again := counted(runs)
	want := []run{
		{generator: "b", first: 1, last: 20, lookups: [2]int64{8000, 6000}, tried: 3, least: "y"},
		{generator: "b", first: 30, last: 31, lookups: [2]int64{50, 60}},
		{generator: "a", first: 1, last: 5, lookups: [2]int64{100, 100}},
	}
	if !slices.Equal(list, want) || again != 1 {
		t.Errorf("%d again\n got %+v\nwant %+v", again, list, want)
	}
	if got := nextSeed(runs, "b"); got != 32 {
		t.Errorf("next seed %d", got)
	}
	for _, r := range runs {
		if got, err := parseRun(r.record()); err != nil || got != r {
			t.Errorf("got %+v, %v, want %+v", got, err, r)
		}
	}
	if text := totals(runs); !strings.Contains(text, "| all | | 8,150 | 6,160 |") {
		t.Error(text)
	}
}
