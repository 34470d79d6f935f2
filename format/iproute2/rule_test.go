package iproute2_test

import (
	"io"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

// shipped are names as the files of every distribution have them.
func shipped() rpdb.Names {
	return rpdb.Names{
		Tables:    map[rpdb.TableID]string{300: "vpn"},
		Protocols: map[rpdb.Protocol]string{82: "rpdb"},
		DSFields:  map[uint8]string{0x28: "AF11", 0x20: "CS1"},
	}
}

func mustRule(t testing.TB, f rpdb.Family, line string) rpdb.Rule {
	t.Helper()
	words, err := iproute2.Split(line)
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := iproute2.ParseRule(f, words, shipped())
	if err != nil {
		t.Fatalf("ParseRule(%q): %v", line, err)
	}
	return r
}

// What is added, and what ip 7.1 listed for it on Linux 6.18.
func TestRuleListing(t *testing.T) {
	for _, tt := range []struct {
		family rpdb.Family
		added  string
		line   string
	}{
		{4, "from 192.0.2.0/24 table 100", "100:\tfrom 192.0.2.0/24 lookup 100"},
		{4, "not from 192.0.2.0/24 table 100", "100:\tnot from 192.0.2.0/24 lookup 100"},
		{4, "from 192.0.2.0/24 to 198.51.100.1 table 100", "100:\tfrom 192.0.2.0/24 to 198.51.100.1 lookup 100"},
		{4, "from 192.0.2.3/8 table 100", "100:\tfrom 192.0.2.3/8 lookup 100"},
		{4, "from 0/0 to 0/0 table 100", "100:\tfrom all lookup 100"},
		{4, "tos 10 table 100", "100:\tfrom all tos 0x10 lookup 100"},
		{4, "tos AF11 table 100", "100:\tfrom all tos AF11 lookup 100"},
		{4, "dscp 10 table 100", "100:\tfrom all lookup 100 dscp AF11"},
		{4, "dscp 11 table 100", "100:\tfrom all lookup 100 dscp 11"},
		{4, "dscp 0 table 100", "100:\tfrom all lookup 100 dscp 0"},
		{4, "dscp 8/0x38 table 100", "100:\tfrom all lookup 100 dscp 0x8/0x38"},
		{4, "fwmark 0x10/0xff table 100", "100:\tfrom all fwmark 0x10/0xff lookup 100"},
		{4, "fwmark 0/0xff table 100", "100:\tfrom all fwmark 0/0xff lookup 100"},
		{4, "fwmark 5 table 100", "100:\tfrom all fwmark 0x5 lookup 100"},
		{4, "fwmark 0 table 100", "100:\tfrom all lookup 100"},
		{4, "l3mdev", "100:\tfrom all lookup [l3mdev-table]"},
		{4, "uidrange 1000-2000 table 100", "100:\tfrom all uidrange 1000-2000 lookup 100"},
		{4, "ipproto udp sport 53 table 100", "100:\tfrom all ipproto udp sport 53 lookup 100"},
		{4, "ipproto 200 table 100", "100:\tfrom all ipproto ipproto-200 lookup 100"},
		{4, "dport 80/0xfff0 table 100", "100:\tfrom all dport 0x50/0xfff0 lookup 100"},
		{4, "sport 1000-2000 table 100", "100:\tfrom all sport 1000-2000 lookup 100"},
		{4, "sport 7-7 table 100", "100:\tfrom all sport 7 lookup 100"},
		{4, "tun_id 0x100 table 100", "100:\tfrom all tun_id 256 lookup 100"},
		{4, "suppress_prefixlength 0 table main", "100:\tfrom all lookup main suppress_prefixlength 0"},
		{4, "suppress_ifgroup default table main", "100:\tfrom all lookup main suppress_ifgroup default"},
		{4, "realms 1/2 table 100", "100:\tfrom all lookup 100 realms 1/2"},
		{4, "realms 2 table 100", "100:\tfrom all lookup 100 realms 2"},
		{4, "from 192.0.2.1 blackhole", "100:\tfrom 192.0.2.1 blackhole"},
		{4, "from 192.0.2.1 table 100 unreachable", "100:\tfrom 192.0.2.1 lookup 100 unreachable"},
		{4, "from 192.0.2.1 goto 200", "100:\tfrom 192.0.2.1 goto 200"},
		{4, "from 192.0.2.1 nop", "100:\tfrom 192.0.2.1 nop"},
		{4, "from 192.0.2.1 throw", "100:\tfrom 192.0.2.1 throw"},
		{4, "from 192.0.2.1 type 0", "100:\tfrom 192.0.2.1 none"},
		{4, "from 192.0.2.1 nat 198.51.100.1", "100:\tfrom 192.0.2.1 lookup main masquerade"},
		{4, "protocol static table 100", "100:\tfrom all lookup 100 proto static"},
		{4, "protocol 82 table vpn", "100:\tfrom all lookup vpn proto rpdb"},
		{4, "protocol kernel", "100:\tfrom all lookup main"},
		{10, "flowlabel 0x12345 table 100", "100:\tfrom all lookup 100 flowlabel 0x12345"},
		{10, "flowlabel 0/0xf table 100", "100:\tfrom all lookup 100 flowlabel 0/0xf"},
		{10, "from 2001:DB8::/32 to 2001:db8::1/128 table 100", "100:\tfrom 2001:db8::/32 to 2001:db8::1 lookup 100"},
		{
			4, "protocol static suppress_prefixlength 1 table 100 realms 3 dscp CS1 tun_id 5 dport 1-2 sport 3-4 " +
				"ipproto tcp uidrange 1-2 oif lo iif lo fwmark 1/2 to 198.51.100.2 from 192.0.2.0/24 not",
			"100:\tnot from 192.0.2.0/24 to 198.51.100.2 fwmark 0x1/0x2 iif lo oif lo uidrange 1-2 ipproto tcp " +
				"sport 3-4 dport 1-2 tun_id 5 lookup 100 suppress_prefixlength 1 realms 3 proto static dscp CS1",
		},
	} {
		f := rpdb.IPv4
		if tt.family == 10 {
			f = rpdb.IPv6
		}
		if got := iproute2.Rule(mustRule(t, f, "pref 100 "+tt.added), shipped()); got != tt.line {
			t.Errorf("%s\n got %q\nwant %q", tt.added, got, tt.line)
		}
	}
}

func TestRuleState(t *testing.T) {
	r := mustRule(t, rpdb.IPv4, "pref 100 iif eth8 oif eth9 goto 200")
	r.Flags = rpdb.RuleUnresolved | rpdb.RuleIIFDetached | rpdb.RuleOIFDetached
	want := "100:\tfrom all iif eth8 [detached] oif eth9 [detached] goto 200 [unresolved]"
	if got := iproute2.Rule(r, rpdb.Names{}); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRuleNumericAndDetails(t *testing.T) {
	v := iproute2.RuleView{Names: shipped(), Numeric: true, Details: true}
	for added, want := range map[string]string{
		"pref 32766 protocol kernel":        "32766:\tfrom all lookup 254 proto 2",
		"pref 5 ipproto tcp blackhole":      "5:\tfrom all ipproto ipproto-6 6 proto 0",
		"pref 5 table 300 tos AF11 dscp 10": "5:\tfrom all tos 0x28 lookup 300 proto 0 dscp 10",
	} {
		if got := v.Rule(mustRule(t, rpdb.IPv4, added)); got != want {
			t.Errorf("%s: got %q, want %q", added, got, want)
		}
	}
	v.Numeric = false
	if got, want := v.Rule(mustRule(t, rpdb.IPv4, "pref 5")), "5:\tfrom all lookup main proto unspec"; got != want {
		t.Errorf("details: got %q, want %q", got, want)
	}
}

func TestRuleCommand(t *testing.T) {
	for _, tt := range []struct{ typed, command string }{
		{"pref 1001 from 192.0.2.10 table 1001 protocol 82", "ip -4 rule add pref 1001 from 192.0.2.10 lookup 1001 protocol rpdb"},
		{"pref 0 table local", "ip -4 rule add pref 0 lookup local"},
		{"pref 7 goto 200 ipproto 200", "ip -4 rule add pref 7 ipproto 200 goto 200"},
		{"pref 7 table 0", "ip -4 rule add pref 7 lookup 0"},
		{"pref 7 throw", "ip -4 rule add pref 7 type 9"},
		{"pref 7 fwmark 0/0xffffffff", "ip -4 rule add pref 7 fwmark 0/0xffffffff lookup main"},
		{"pref 7 realms 65836", "ip -4 rule add pref 7 lookup main realms 65836"},
		{"pref 7 l3mdev", "ip -4 rule add pref 7 l3mdev"},
		{"pref 7 suppress_ifgroup 3 suppress_prefixlength 0 blackhole", "ip -4 rule add pref 7 suppress_prefixlength 0 suppress_ifgroup 3 blackhole"},
	} {
		if got := iproute2.RuleCommand(rpdb.Add, mustRule(t, rpdb.IPv4, tt.typed), shipped()); got != tt.command {
			t.Errorf("%s\n got %q\nwant %q", tt.typed, got, tt.command)
		}
	}
	r := mustRule(t, rpdb.IPv6, "pref 7 from 2001:db8::/32 table 9")
	if got, want := iproute2.RuleCommand(rpdb.Delete, r, rpdb.Names{}), "ip -6 rule del pref 7 from 2001:db8::/32 lookup 9"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A name may not reach the terminal raw, nor be run by the shell it is pasted
// into.
func TestHostileInterfaceNames(t *testing.T) {
	for _, name := range []string{"\x1b[31mred", "a;reboot", "$(id)", "it's", "a\\x41", "caf\xc3\xa9", "'", "\"", "\x7f", "`id`", "a'\x01\\"} {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: 5, Action: rpdb.ToTable(9)}
		r.Selector.IIF = rpdb.LinkName(name)
		command, listing := iproute2.RuleCommand(rpdb.Add, r, rpdb.Names{}), iproute2.Rule(r, rpdb.Names{})
		for _, text := range []string{command, strings.Replace(listing, "\t", "", 1)} {
			if i := strings.IndexFunc(text, func(c rune) bool { return c < ' ' || c > '~' }); i >= 0 {
				t.Errorf("%q: byte %d of %q is not printable", name, i, text)
			}
		}
		words, err := iproute2.Split(command)
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := iproute2.ParseRule(rpdb.IPv4, words[4:], rpdb.Names{})
		if err != nil || back != r {
			t.Errorf("%q: read %q back as %+v, %v", name, command, back, err)
		}
		if raw := (iproute2.RuleView{Raw: true}).Rule(r); !strings.Contains(raw, name) {
			t.Errorf("raw listing %q does not hold %q", raw, name)
		}
	}
}

// A table named like a number takes that number's place, so the command must
// not use it.
func TestTableNamedLikeANumber(t *testing.T) {
	names := rpdb.Names{Tables: map[rpdb.TableID]string{5: "100", 254: "a b"}}
	for table, want := range map[rpdb.TableID]string{100: "lookup 0x64", 5: "lookup 100", 254: "lookup 254"} {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: 1, Action: rpdb.ToTable(table)}
		command := iproute2.RuleCommand(rpdb.Add, r, names)
		if !strings.HasSuffix(command, want) {
			t.Errorf("table %d: %q does not end in %q", table, command, want)
		}
		words, _ := iproute2.Split(command)
		if back, _, err := iproute2.ParseRule(rpdb.IPv4, words[4:], names); err != nil || back != r {
			t.Errorf("%q read back as %v, %v", command, back, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for line, want := range map[string]string{
		"":                      "",
		"  a  b\tc\n":           "a|b|c",
		`a'b c'd "e f" ''`:      "ab cd|e f|",
		`$'\x41\\\'' $HOME $ x`: `A\'|$HOME|$|x`,
	} {
		words, err := iproute2.Split(line)
		if got := strings.Join(words, "|"); err != nil || got != want {
			t.Errorf("Split(%q) = %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`a 'b`, `"`, `$'a`, `$'\n'`, `$'\x4`, `$'\xzz'`} {
		if words, err := iproute2.Split(line); err == nil {
			t.Errorf("Split(%q) = %q, want an error", line, words)
		}
	}
}

// A listing of a hundred thousand rules allocates as one of three does.
func TestRuleListingAllocates(t *testing.T) {
	v := iproute2.RuleView{Names: shipped(), State: &iproute2.NameState{}, Raw: true, Details: true}
	l := iproute2.NewRuleLister(v)
	w := ipjson.NewWriter(io.Discard, false)
	var b []byte
	for _, words := range []string{
		"from 192.0.2.0/24 to 198.51.100.1 table 100",
		"not from all tos CS1 fwmark 0x10/0xff iif lo oif eth0 uidrange 1000-2000 ipproto tcp sport 5000-6000 dport 8/0xff8 table 300",
		"from all dscp 10 realms 1/2 suppress_prefixlength 0 table main",
		"from all dscp 8/0x38 goto 30000",
	} {
		r := mustRule(t, rpdb.IPv4, "pref 20000 "+words)
		if allocs := testing.AllocsPerRun(50, func() { b = l.AppendText(b[:0], &r) }); allocs > 0 {
			t.Errorf("text of %s: %v allocations", words, allocs)
		}
		fields := func() {
			w.Begin()
			l.Fields(&r, w)
			w.End()
		}
		if allocs := testing.AllocsPerRun(50, fields); allocs > 0 {
			t.Errorf("fields of %s: %v allocations", words, allocs)
		}
	}
}

// What a rule is listed as does not depend on which rules came before it, whatever
// those lack or have.
func TestRuleListerForgets(t *testing.T) {
	var rules []rpdb.Rule
	for _, words := range []string{
		"table 100", "from 192.0.2.0/24 table 100", "from 192.0.2.1 table 100", "to 198.51.100.0/24 table 100", "to 198.51.100.1 table 100",
		"not from all table 100", "fwmark 1 table 100", "tos 4 table 100", "dscp 0 table 100", "iif lo table 100", "oif lo table 100",
		"uidrange 0-0 table 100", "ipproto tcp table 100", "tun_id 7 table 100", "l3mdev", "sport 7 table 100", "dport 7-8 table 100",
		"table 100 suppress_prefixlength 0", "realms 2 table 100", "goto 30000", "blackhole", "protocol static table 100",
	} {
		rules = append(rules, mustRule(t, rpdb.IPv4, "pref 20000 "+words))
	}
	for _, v := range []iproute2.RuleView{{}, {Family: true}, {Deleted: true, Details: true}} {
		l := iproute2.NewRuleLister(v)
		for _, before := range rules {
			for _, r := range rules {
				l.AppendText(nil, &before)
				if got, want := string(l.AppendText(nil, &r)), v.Rule(r); got != want {
					t.Fatalf("behind %q: %q, want %q", v.Rule(before), got, want)
				}
			}
		}
	}
}
