package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"rpdb/format/iproute2"
)

func TestCompletionOfRules(t *testing.T) {
	_, ns := completionHost(t)
	pressTabs(t, ns, []tab{
		{"rule ", "list add delete flush save restore ensure replace test help", "eth0 from"},
		{"rule a", "add", "list"},
		{"rule -", "-4 -6 -json -details -netns", "-batch -color"},
		{"ip -", "-4 -6 -json -details -netns -batch -color -oneline", ""},
		{"rule -6 ", "list add", "-4"},
		{"rule -f ", "inet inet6", "list"},
		{"rule -6 add ", "from flowlabel", "realms"},
		{"rule -4 add ", "from realms", "flowlabel"},
		{"rule add ", "not from to iif oif fwmark priority lookup goto blackhole suppress_prefixlength nat", "broadcast type help preference dev"},
		{"rule add nat ", "masquerade", "main"},
		{"rule -6 add ", "from nat", "realms"},
		{"rule -6 add nat ", "masquerade", "main"},
		{"ip -6 rule add ", "from", "nat"},
		{"rule add nat 203.0.113.0 ", "from lookup", "nat realms"},
		{"rule ensure ", "nat", ""},
		{"rule replace ", "from", "nat"},
		{"rule test ", "nat", ""},
		{"rule delete ", "nat", ""},
		{"ip rule add ", "from", "nat"},
		{"rule add pre", "preference", "priority"},
		{"rule add ta", "table", "lookup"},
		{"rule add d", "dscp dport", "delete"},
		{"rule add from ", "all 192.0.2.10 192.0.2.0/24 2001:db8:a::10 2001:db8:a::/64", "eth0"},
		{"rule -6 add from ", "all 2001:db8:a::10", "192.0.2.10"},
		{"rule add from 192.0.2.10 ", "to lookup", "from"},
		{"rule add from 2001:db8:a::10 ", "flowlabel", "realms"},
		{"rule add iif ", "lo eth0 gone0", "from"},
		{"rule add dev ", "eth0", "lookup"},
		{"rule add lookup ", "main local default 1001 1002 1003", "254 eth0"},
		{"rule add ta 2", "254 255 253", "main 1001"},
		{"rule add lookup main ", "suppress_prefixlength priority", "goto blackhole lookup"},
		{"rule add blackhole ", "from priority", "lookup prohibit"},
		{"rule add type ", "blackhole unreachable prohibit", "from"},
		{"rule add type prohibit ", "from", "blackhole"},
		{"rule add goto ", "100 200 300 32766", "0x10"},
		{"rule add priority ", "", "100"},
		{"rule add protocol ", "static boot bgp rpdb", "main"},
		{"rule add suppress_ifgroup ", "default", "main"},
		{"rule add suppress_prefixlength ", "0 8", "main"},
		{"rule add ipproto ", "tcp udp ipv6-icmp esp gre", "ip main"},
		{"rule add fwmark ", "0x10/0xff", "main"},
		{"rule add uidrange ", "0-0", "main"},
		{"rule add tun_id ", "7", "main"},
		{"rule add dport ", "443", "main"},
		{"rule ensure ", "from lookup", "ensure"},
		{"rule replace priority 100 ", "from lookup", "priority"},
		{"rule test ", "from lookup", "test"},
		{"rule replace priority ", "100 200", "from"},
		{"rule ensure priority ", "", "100"},
		{"rule delete priority ", "0 100 200 300 600 32766", "from"},
		{"rule -6 delete p ", "600 32766", "100"},
		{"rule d pref 1", "100", "200"},
		{"rule del from ", "192.0.2.0/24 all", "lookup"},
		{"rule list ", "from lookup protocol realms blackhole suppress_prefixlength", "type nat"},
		{"rule list 192.0.2.0/24 ", "from", "to"},
		{"rule sh s", "suppress_prefixlength sport src", "from"},
		{"rule flush protocol ", "rpdb static", "flush"},
		{"rule save ", "", "from"},
		{"rule nonsense ", "", "from"},
		{"ip ", "rule route monitor", "list"},
		{"ip -6 ru ", "list add delete", "ensure replace test"},
		{"ip rule add oif ", "eth0", ""},
		{"ip monitor ", "rule route", "list"},
	})
}

func TestCompletionOfRulesSaysWhat(t *testing.T) {
	_, ns := completionHost(t)
	for _, c := range []struct{ line, word, about string }{
		{"rule del pref ", "300", "from all ipproto tcp dport 443 tun_id 7 lookup main suppress_prefixlength 8"},
		{"rule add lookup ", "1001", "holds routes"},
		{"rule add lookup ", "1002", "rule 100"},
		{"rule add lookup ", "main", "rule 300, holds routes"},
		{"rule add table 25", "253", "default"},
		{"rule add ", "fwmark", "firewall mark"},
		{"rule add ", "nat", "translate the source of forwarded packets"},
		{"rule add from ", "192.0.2.0/24", "network of eth0"},
		{"rule -", "-details", "also show who installed the kernel's own rules"},
	} {
		got := pressTab(t, append([]string{"-n", ns}, strings.Split(c.line, " ")...)...)
		if about, ok := got.about[c.word]; !ok || about != c.about {
			t.Errorf("rpdb %s<TAB>: %s is said to be %q, want %q", c.line, c.word, about, c.about)
		}
	}
}

func TestCompletionOfRuleOptions(t *testing.T) {
	files := completed{directive: cobra.ShellCompDirectiveDefault}
	for line, want := range map[string]completed{
		"rule -batch ":         files,
		"ip -b ":               files,
		"ip -n ./":             files,
		"rule -n no-such ":     {directive: noFiles},
		"rule -n no-such add ": {directive: noFiles},
		"rule -family ":        {words: []string{"inet", "inet6"}, directive: noFiles},
		"rule -6 -nonsense ":   {directive: noFiles},
	} {
		got := pressTab(t, strings.Split(line, " ")...)
		if !slices.Equal(got.words, want.words) || got.directive != want.directive {
			t.Errorf("rpdb %s<TAB>: %q with directive %d, want %q with %d", line, got.words, got.directive, want.words, want.directive)
		}
	}
}

func TestCompletionOfRulesIsSafe(t *testing.T) {
	host, ns := completionHost(t)
	makeOddLinks(t, host)
	for _, line := range []string{"rule add oif ", "rule del pref ", "rule list oif ", "ip rule add iif "} {
		checkSafe(t, ns, line)
	}
}

// TestRuleWordsAreAll compares the words that are offered with the grammar. What
// is never offered stands here with its reason.
func TestRuleWordsAreAll(t *testing.T) {
	never := map[string]string{
		"type": "adds nothing to the action behind it", "help": "prints the usage",
		"local": "is no action", "broadcast": "becomes nop", "anycast": "is no action", "multicast": "is no action",
		"xresolve": "is no action", "unicast": "is what lookup says better", "throw": "is no action",
	}
	offered := map[string]string{}
	for _, w := range ruleWords() {
		offered[w.field] = w.words
	}
	for _, verb := range []iproute2.RuleVerb{iproute2.RuleAdd, iproute2.RuleDelete, iproute2.RuleList, iproute2.RuleFlush} {
		for _, k := range iproute2.RuleKeywords(verb) {
			words, isOffered := offered[k.Field]
			_, isNever := never[k.Field]
			switch {
			case isOffered == isNever:
				t.Errorf("%v %s: offered %v, and never offered %v", verb, k.Word, isOffered, isNever)
			case isOffered && !slices.Contains(strings.Fields(words), k.Word):
				t.Errorf("%v %s: is not among the words of %s: %q", verb, k.Word, k.Field, words)
			}
		}
	}
}
