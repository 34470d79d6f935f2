package cli

import (
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"rpdb"
)

// vrfHost is a host with a VRF that is in use, one that nothing leads to, and
// many rules to one table.
func vrfHost() *rpdb.Snapshot {
	s := &rpdb.Snapshot{
		Links: []rpdb.Link{{Index: 1, Name: "lo"}, {Index: 2, Name: "red", VRFTable: 10}, {Index: 3, Name: "blue", VRFTable: 20}},
		Rules: []rpdb.Rule{{Family: rpdb.IPv4, Priority: 1000, Selector: rpdb.Selector{L3MDev: true}, Action: rpdb.ToTable(0)}},
	}
	for i := range 25 {
		s.Rules = append(s.Rules, rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(2000 + i), Action: rpdb.ToTable(4000000000)})
	}
	for _, t := range []rpdb.TableID{10, 10, 4000000000} {
		s.Routes = append(s.Routes, rpdb.Route{Family: rpdb.IPv4, Table: t, Dst: rpdb.IPv4.Default(), Type: rpdb.RouteBlackhole})
	}
	s.Routes = append(s.Routes, rpdb.Route{Family: rpdb.IPv6, Table: 10, Dst: rpdb.IPv6.Default(), Type: rpdb.RouteBlackhole})
	return s
}

// tables lists the tables of a snapshot as a terminal of some width shows them.
func tables(t *testing.T, s *rpdb.Snapshot, width int) string {
	t.Helper()
	var out strings.Builder
	a := &app{Streams: Streams{Out: &out, Err: io.Discard}, root: t.TempDir()}
	list, err := a.listTables(t.Context(), snapshotTables(s))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.viewTables(list, width); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTablesOfVRFs(t *testing.T) {
	const want = `10 (no name) VRF red
  IPv4  2 routes  l3mdev rule 1000
  IPv6   1 route  no rule leads here
20 (no name) VRF blue
  IPv4     empty  l3mdev rule 1000
4000000000 (no name)
  IPv4   1 route  rules 2000 2001 2002 2003 2004 2005 2006 2007 2008 2009 2010
                  2011 2012 2013 2014 2015 2016 2017 2018 2019 and 5 more
`
	if got := tables(t, vrfHost(), 79); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTablesOfAnIdleVRF(t *testing.T) {
	s := vrfHost()
	s.Rules, s.Routes = nil, nil
	const want = "10 (no name) VRF red\n  no route, and no rule leads here\n20 (no name) VRF blue\n  no route, and no rule leads here\n"
	if got := tables(t, s, 79); got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestTablesInANarrowTerminal: no line is longer than the terminal, as long as
// words fit at all, and nothing is left out.
func TestTablesInANarrowTerminal(t *testing.T) {
	wide := strings.Fields(tables(t, vrfHost(), 79))
	for _, width := range []int{30, 40, 50} {
		text := tables(t, vrfHost(), width)
		for line := range strings.Lines(text) {
			if len(strings.TrimRight(line, "\n")) > width {
				t.Errorf("at %d: %q", width, line)
			}
		}
		if got := strings.Fields(text); !slices.Equal(got, wide) {
			t.Errorf("at %d: %q", width, got)
		}
	}
}

// TestShowOfAVRF: the rule for all VRFs leads to the table of each.
func TestShowOfAVRF(t *testing.T) {
	code, out, errs := call(t, vrfHost(), "table", "show", "10")
	if code != exitOK || !strings.Contains(out, "IPv4 rules\n   1000  from all lookup [l3mdev-table]\nIPv4 routes\n") {
		t.Errorf("%s%s", out, errs)
	}
}

func TestListsOfTablesAreLists(t *testing.T) {
	_, out, errs := call(t, vrfHost(), "table", "list", "--json")
	if strings.Contains(out, "null") || !strings.Contains(out, `"vrfs": [
        "red"
      ]`) || !strings.Contains(out, `"l3mdev_rules": [
            1000
          ]`) {
		t.Errorf("%s%s", out, errs)
	}
	if _, out, _ := call(t, &rpdb.Snapshot{}, "table", "list", "--json"); !strings.Contains(out, `"tables": []`) {
		t.Errorf("of nothing: %s", out)
	}
}

// TestCountingHoldsNoRoutes: a hundred times as many routes take no more
// memory.
func TestCountingHoldsNoRoutes(t *testing.T) {
	a := &app{Streams: Streams{Out: io.Discard, Err: io.Discard}, root: t.TempDir()}
	allocations := func(count int) float64 {
		r := snapshotTables(&rpdb.Snapshot{})
		r.routes = func(_ context.Context, f rpdb.Family, _ rpdb.TableID, each func(rpdb.Route) error) (bool, error) {
			for i := range count {
				if err := each(rpdb.Route{Family: f, Table: rpdb.TableID(1 + i%4), Dst: netip.PrefixFrom(f.Unspecified(), i%32)}); err != nil {
					return false, err
				}
			}
			return true, nil
		}
		return testing.AllocsPerRun(5, func() {
			list, err := a.listTables(t.Context(), r)
			if err != nil || len(list) != 4 || list[0].Families[0].Routes != count/4 {
				t.Fatalf("%+v, %v", list, err)
			}
		})
	}
	if few, many := allocations(400), allocations(40000); many > few {
		t.Errorf("%v allocations for 400 routes, %v for 40000", few, many)
	}
}

// TestTornListsAreTold on standard error, beside the answer.
func TestTornListsAreTold(t *testing.T) {
	var out, errs strings.Builder
	a := &app{Streams: Streams{Out: &out, Err: &errs}, root: t.TempDir()}
	r := snapshotTables(vrfHost())
	whole := r.routes
	r.routes = func(ctx context.Context, f rpdb.Family, t rpdb.TableID, each func(rpdb.Route) error) (bool, error) {
		_, err := whole(ctx, f, t, each)
		return f != rpdb.IPv4, err
	}
	if err := a.viewTable(t.Context(), r, 10); err != nil || strings.Count(errs.String(), "the IPv4 routes changed") != 1 || strings.Contains(errs.String(), "IPv6") {
		t.Errorf("%v, %s", err, &errs)
	}
}

// TestWidthIsTheTerminals, one column short of it.
func TestWidthIsTheTerminals(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	a := &app{Streams: Streams{Out: &answer{w: terminal}}}
	for columns, want := range map[uint16]int{0: lineWidth, 40: 39, 200: 199} {
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24}); err != nil {
			t.Fatal(err)
		}
		if got := a.width(); got != want {
			t.Errorf("%d columns: %d", columns, got)
		}
		// Running text fits too, on standard error as well, and is no wider than usual.
		if out, err := textWidth(a.Out), textWidth(terminal); out != min(want, lineWidth) || err != out {
			t.Errorf("%d columns: running text of %d and %d", columns, out, err)
		}
	}
	a.Out = &answer{w: io.Discard}
	if got := a.width(); got != lineWidth {
		t.Errorf("no terminal: %d", got)
	}
}

// TestFilesThatCannotBeWritten: the error says what was tried, on what, and
// why; nobody may make files there, not even root.
func TestFilesThatCannotBeWritten(t *testing.T) {
	var errs strings.Builder
	code := run(t.Context(), []string{"table", "name", "101", "isp-a"}, Streams{Out: io.Discard, Err: &errs}, "/proc/self/fdinfo")
	if got := errs.String(); code != exitFailed || !strings.HasPrefix(got, `rpdb: name table 101 "isp-a": mkdir /proc/self/fdinfo/etc: `) {
		t.Errorf("exit code %d, %s", code, got)
	}
}

func TestTableCompletion(t *testing.T) {
	_, ns := completionHost(t)
	for line, want := range map[string]string{
		"table show m":        "main",
		"table show 100":      "1001 1002 1003",
		"table show main ":    "",
		"table name 1":        "1001 1002 1003",
		"table name 1001 ":    "",
		"table unname nosuch": "",
		"table list ":         "",
		"table ":              "list show name unname",
		"nexthop ":            "list",
		"nexthop list ":       "",
	} {
		got := pressTab(t, append([]string{"-n", ns}, strings.Split(line, " ")...)...)
		slices.Sort(got.words)
		words := strings.Fields(want)
		slices.Sort(words)
		if !slices.Equal(got.words, words) {
			t.Errorf("rpdb %s<TAB>: %q, want %q", line, got.words, words)
		}
	}
	if got := pressTab(t, "-n", ns, "table", "show", "1001"); got.about["1001"] != "holds routes" {
		t.Errorf("1001 is said to be %q", got.about["1001"])
	}
	if got := pressTab(t, "table", "list", "--snapshot", ""); got.directive != cobra.ShellCompDirectiveDefault {
		t.Errorf("no files for --snapshot: %d", got.directive)
	}
}

// TestUnnameCompletes the names of our own file.
func TestUnnameCompletes(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{"rt_tables": "7 lab\n", "rt_tables.d/rpdb.conf": "101 isp-a\n102 isp-b\n"} {
		file = filepath.Join(root, "etc/iproute2", file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	code := run(t.Context(), []string{cobra.ShellCompRequestCmd, "table", "unname", ""}, Streams{Out: &out, Err: io.Discard}, root)
	if got := out.String(); code != 0 || !strings.HasPrefix(got, "isp-a\ttable 101\nisp-b\ttable 102\n:") {
		t.Errorf("%d: %q", code, got)
	}
}
