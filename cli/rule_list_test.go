package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// Only what lists the rules of the host and nothing else goes without signals.
func TestListsRules(t *testing.T) {
	for words, want := range map[string]bool{
		"": true, "list": true, "show": true, "l": true, "-4 list from 192.0.2.1": true, "-j": true,
		"add": false, "ensure table 7": false, "test table 7": false, "replace": false, "flush": false, "save": false, "restore": false, "delete": false,
		"list --snapshot -": false, "--snapshot -": false, "list --from-text=-": false, "-batch x": false, "help": false, "nonsense": false,
	} {
		if got := listsRules(strings.Fields(words)); got != want {
			t.Errorf("%q: %v", words, got)
		}
	}
}

// A list of thousands in both families is what the lists of the families are, and
// costs no allocation for each rule.
func TestRuleListOfThousands(t *testing.T) {
	k := kerneltest.Real(t)
	conn, err := kernel.Open(kernel.Options{NetNS: k.NetNS()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const many = 1500
	var rules []rpdb.Rule
	for _, f := range rpdb.Families() {
		for i := range many {
			r := rpdb.Rule{Family: f, Priority: rpdb.Priority(i + 1), Action: rpdb.ToTable(rpdb.TableID(1000 + i)), Protocol: rpdb.ProtocolRPDB}
			if i%3 == 0 {
				r.Selector.IIF = "lo"
			}
			rules = append(rules, r)
		}
	}
	if err := conn.AddRules(t.Context(), rules); err != nil {
		t.Fatal(err)
	}
	list := func(to io.Writer, words ...string) {
		t.Helper()
		args := append([]string{"-n", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), k.NetNS().FD()), "rule"}, words...)
		if code := Run(context.Background(), args, Streams{In: strings.NewReader(""), Out: to, Err: to}); code != exitOK {
			t.Fatalf("%v: exit code %d", words, code)
		}
	}
	var all, four, six bytes.Buffer
	list(&all)
	list(&four, "-4")
	list(&six, "-6")
	var want strings.Builder
	for line := range strings.Lines(four.String()) {
		want.WriteString("IPv4 " + line)
	}
	for line := range strings.Lines(six.String()) {
		want.WriteString("IPv6 " + line)
	}
	if n := strings.Count(all.String(), "\n"); all.String() != want.String() || n != 2*many+5 {
		t.Errorf("%d lines, want those of the families: %.300s", n, all.String())
	}
	if line := "IPv6 1:\tfrom all iif lo lookup 1000 proto rpdb\n"; !strings.Contains(all.String(), line) {
		t.Errorf("%q is not in %.300s", line, all.String())
	}
	for _, words := range [][]string{nil, {"-j"}, {"list", "iif", "lo"}} {
		if n := testing.AllocsPerRun(3, func() { list(io.Discard, words...) }); n > many/2 {
			t.Errorf("%v: %v allocations", words, n)
		}
	}
}
