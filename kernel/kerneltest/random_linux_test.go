package kerneltest_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// randomRule makes a rule command out of few words, so that commands collide.
func randomRule(g *rand.Rand) string {
	words := []string{"ip"}
	add := func(list ...string) { words = append(words, list[g.IntN(len(list))]) }
	add("-4", "-4", "-6")
	six := words[1] == "-6"
	words = append(words, "rule")
	add("add", "add", "add", "del")
	if g.IntN(4) > 0 {
		add("pref 100", "pref 100", "pref 200", "pref 300", "pref 0")
	}
	add("", "", "", "not")
	if six {
		add("", "", "from 2001:db8::/32", "from 2001:db8::1/32", "to 2001:db8::/64")
		add("", "", "", "flowlabel 5", "flowlabel 5/0xf", "tos 0xe0")
	} else {
		add("", "", "from 192.0.2.0/24", "from 192.0.2.1/24", "to 192.0.2.0/25", "from 0/0")
		add("", "", "", "realms 7", "realms 1/7", "tos 0x10", "tos 0xe0")
	}
	add("", "", "", "fwmark 5", "fwmark 5/0xff", "fwmark 0/0xff", "fwmark 0")
	add("", "", "", "iif lo", "iif e9", "oif e9", "uidrange 0-0")
	add("", "", "", "dscp 8", "dscp 8/0x38", "dscp 9/0x38", "sport 80", "sport 80-81", "sport 80/0xf0", "dport 81-80")
	add("", "", "", "protocol static", "ipproto tcp", "tun_id 5")
	add("", "", "suppress_prefixlength 0", "suppress_ifgroup 0")
	add("", "table 100", "table 100", "table 300", "table 0", "goto 200", "goto 300", "nop", "blackhole", "table 100 prohibit", "goto 300 nop")
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// The kernel in memory does what the real one does with the same random
// commands: the same errors with the same texts, and the same lists.
func TestRandomRules(t *testing.T) {
	real, memory := kerneltest.Real(t), kerneltest.NewMemory()
	g := rand.New(rand.NewPCG(7, 11))
	refused := 0
	for i := range 1500 {
		line := randomRule(g)
		want, got := outcome(t, real, line), outcome(t, memory, line)
		if got != want {
			t.Fatalf("command %d: %s\nmemory: %+v\nkernel: %+v", i, line, got, want)
		}
		if want.errno != 0 {
			refused++
		}
		if i%10 != 9 {
			continue
		}
		a, b := snapshot(t, memory).Rules, snapshot(t, real).Rules
		if !slices.EqualFunc(a, b, func(x, y rpdb.Rule) bool { return x == y }) {
			t.Fatalf("after command %d\nmemory:\n%s\nkernel:\n%s", i, ruleList(a), ruleList(b))
		}
	}
	if n := len(snapshot(t, real).Rules); refused < 100 || n < 100 {
		t.Errorf("%d refusals and %d rules: the commands are too tame", refused, n)
	}
}

type result struct {
	errno syscall.Errno
	text  string
}

func outcome(t *testing.T, k kerneltest.Target, line string) result {
	t.Helper()
	var r result
	err := kerneltest.Script(context.Background(), k, line)
	if err == nil {
		return r
	}
	var op *kernel.OpError
	if !errors.As(err, &r.errno) || !errors.As(err, &op) {
		t.Fatal(err)
	}
	r.text = op.Message
	return r
}

func ruleList(rules []rpdb.Rule) string {
	var b strings.Builder
	for _, r := range rules {
		b.WriteString(r.Family.Flag() + " " + iproute2.Rule(r, rpdb.Names{}) + "\n")
	}
	return b.String()
}
