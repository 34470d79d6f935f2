package iproute2_test

import (
	"fmt"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// filtered are the rules that the filters below select from, by priority.
func filtered(t *testing.T, f rpdb.Family) []rpdb.Rule {
	var rules []rpdb.Rule
	for i, words := range []string{
		"table local protocol kernel", "tos 0x10", "fwmark 1/0", "fwmark 0/5", "from 10.0.0.0/8", "from 10.1.1.1 to 10.2.0.0/16",
		"sport 5", "sport 5-9", "ipproto tcp", "tun_id 5", "uidrange 0-0", "iif lo", "l3mdev", "not oif eth0", "dscp 0", "dport 5/0xf table 300",
		"goto 90 protocol 82", "realms 1/2", "blackhole", "suppress_prefixlength 0 suppress_ifgroup 0", "nop table 5",
	} {
		if f == rpdb.IPv6 && strings.Contains(words, "10.") {
			continue
		}
		rules = append(rules, mustRule(t, f, fmt.Sprintf("pref %d %s", i, words)))
	}
	return rules
}

func selected(f iproute2.RuleFilter, rules []rpdb.Rule) string {
	var b strings.Builder
	for _, r := range rules {
		if f.Match(r) {
			fmt.Fprintf(&b, " %d", r.Priority)
		}
	}
	return strings.TrimPrefix(b.String(), " ")
}

const everyRule = "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"

// What list selects; most of it was observed with ip 6.1.
func TestFilters(t *testing.T) {
	rules := filtered(t, rpdb.IPv4)
	for typed, want := range map[string]string{
		"": everyRule, "all": everyRule, "0/0": everyRule, "default": everyRule, "f all": everyRule, "table unspec": everyRule,
		"fwmark 0": everyRule, "ipproto 0": everyRule, "tun_id 0": everyRule, "protocol all": everyRule, "protocol boot": everyRule,
		"tos 0x10": "1", "tos 0": "0 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
		"fwmark 1": "2", "fwmark 0/5": "3", "fwmark 1/0": "2", "fwmark 0/1": "",
		"from 10.0.0.0/7": "4 5", "from 10.1.0.0/16": "5", "src 10.1.1.1/8": "4 5", "to 10.2.0.0/16": "5", "10.2.0.0/16": "5",
		"10.2.0.0/16 10.3.0.0/16": "", "from 10.0.0.0/8 from all": everyRule, "d 10.2.0.0/8": "5", "t 5": "9",
		"sport 5": "6", "sport 5-9": "7", "sport 5-8": "", "dport 5": "", "dport 5/0xf": "15",
		"sport 5/0xffff": "6", "sport 5/0": everyRule, "dport 0/0": everyRule, "sport 5 sport 9/0": everyRule, "dport 0": "",
		"dscp 0/0x3f": "14", "dscp 9/0": everyRule, "dscp 0/0": everyRule, "dscp 0/256": "", "dscp 0/0x13f": "", "dscp 256": "",
		"flowlabel 5/0": everyRule, "flowlabel 0": "",
		"ipproto tcp": "8", "tun_id 5": "9", "uidrange 0-0x": "10", "iif lo": "11", "dev lo": "11", "iif lo iif eth0": "",
		"l3mdev": "12", "not": "13", "oif eth0": "13", "dscp 0": "14", "dscp 0/0x3": "", "table vpn": "15", "l local": "0",
		"pref 3": "3", "o 3 p 4": "4", "table 5 table 0 pref 1": "1",
	} {
		f, err := iproute2.RuleContext{Names: shipped()}.ParseFilter(iproute2.RuleList, strings.Fields(typed))
		if err != nil {
			t.Errorf("%q: %v", typed, err)
			continue
		}
		if got := selected(f, rules); got != want {
			t.Errorf("%q selects %q, want %q", typed, got, want)
		}
		if f.Empty() != (want == everyRule) {
			t.Errorf("%q: Empty is %v", typed, f.Empty())
		}
	}
	f, err := iproute2.RuleContext{Names: shipped()}.ParseFilter(iproute2.RuleFlush, strings.Fields("protocol kernel"))
	if got := selected(f, rules); err != nil || got != "0" {
		t.Errorf("flush protocol kernel selects %q, %v", got, err)
	}
}

func TestWideFilters(t *testing.T) {
	rules := filtered(t, rpdb.IPv4)
	for typed, want := range map[string]string{
		"": everyRule, "protocol kernel": "0", "protocol all": everyRule, "protocol rpdb": "16", "goto 90": "16", "goto 91": "",
		"realms 1/2": "17", "blackhole": "18", "type blackhole": "18", "type goto": "16", "nop": "20", "type nop table 5": "20",
		"suppress_prefixlength 0": "19", "suppress_ifgroup default": "19", "suppress_prefixlength 1": "", "type 9": "", "prohibit": "",
		"s 10.0.0.0/8": "4 5", // still from, as for ip
	} {
		f, err := iproute2.RuleContext{Names: shipped()}.ParseWideFilter(strings.Fields(typed))
		if got := selected(f, rules); err != nil || got != want {
			t.Errorf("%q selects %q, %v, want %q", typed, got, err, want)
		}
	}
}

func TestFilterComplaints(t *testing.T) {
	wrong := func(word, reason string) string { return "Error: argument \"" + word + "\" is wrong: " + reason + "\n" }
	for _, tt := range []struct {
		f      rpdb.Family
		typed  string
		stderr string
		code   int
	}{
		{0, "foo", "Error: inet prefix is expected rather than \"foo\".\n", 1},
		{0, "help", "Error: inet prefix is expected rather than \"help\".\n", 1},
		{0, "blackhole", "Error: inet prefix is expected rather than \"blackhole\".\n", 1},
		{0, "dsf 10", "Error: inet prefix is expected rather than \"dsf\".\n", 1},
		{rpdb.IPv6, "10.0.0.0/8", "Error: inet6 prefix is expected rather than \"10.0.0.0/8\".\n", 1},
		{0, "to", "Command line is not complete. Try option \"help\"\n", 255},
		{0, "lo", "Command line is not complete. Try option \"help\"\n", 255},
		{0, "pref x", wrong("x", "preference value is invalid\n"), 255},
		{0, "tos x", wrong("x", "TOS value is invalid\n"), 255},
		{0, "fwmark 1/x", wrong("x", "fwmask value is invalid\n"), 255},
		{0, "uidrange x", wrong("x", "invalid UID range\n"), 255},
		{0, "table all", wrong("all", "table id value is invalid\n"), 255},
		{0, "protocol x", wrong("x", "invalid \"protocol\"\n"), 255},
		{0, "ipproto x", wrong("x", "Invalid \"ipproto\" value\n"), 255},
		{0, "iif a/b", wrong("a/b", "\"iif\"/\"dev\" not a valid ifname"), 255},
		{0, "sport 1-x", wrong("x", "invalid port range end"), 255},
		{17, "all", "Error: \"all\" may be inet prefix, but it is not allowed in this context.\n", 1},
	} {
		_, err := iproute2.RuleContext{Family: tt.f}.ParseFilter(iproute2.RuleList, strings.Fields(tt.typed))
		checkComplaint(t, tt.typed, err, tt.stderr, tt.code)
	}
	_, err := iproute2.RuleContext{}.ParseWideFilter(strings.Fields("type foo"))
	checkComplaint(t, "type foo", err, wrong("foo", "Failed to parse rule type"), 255)
}

// A filter made of a rule's own words selects that rule.
func TestFilterSelectsItsRule(t *testing.T) {
	for _, f := range rpdb.Families() {
		for _, r := range filtered(t, f) {
			command, _ := iproute2.Split(iproute2.RuleCommand(rpdb.Add, r, shipped()))
			filter, err := iproute2.RuleContext{Family: f, Names: shipped()}.ParseWideFilter(command[4:])
			if err != nil || !filter.Match(r) {
				t.Errorf("%q: %v, match %v", command, err, err == nil && filter.Match(r))
			}
		}
	}
}
