package iproute2_test

import (
	"errors"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// The abbreviations mean what the order of ip's own comparisons makes of them.
func TestRuleAbbreviations(t *testing.T) {
	for short, long := range map[string]string{
		"p 5": "pref 5", "o 5": "pref 5", "prio 5": "pref 5", "r 3": "realms 3", "pro 4": "protocol static",
		"t 5": "tun_id 5", "ta 5": "table 5", "s 5": "suppress_prefixlength 5", "sup_pl 5": "suppress_prefixlength 5",
		"sup_group 5": "suppress_ifgroup 5", "dev lo": "iif lo", "d 10": "tos 10", "ds 10": "tos 10",
		"g 9": "goto 9", "n": "nop", "b": "nop", "br": "nop", "bl": "blackhole", "u": "unreachable", "proh": "prohibit",
		"a": "type 4", "x": "type 11", "type x": "type 11", "m 192.0.2.1": "nat 192.0.2.1", "unic": "type 1", "local": "type 2",
		"pref 010": "pref 8", "pref 0x10": "pref 16", "pref +5": "pref 5", "from 192.0.2": "from 192.0.2.0/32",
		"from 010.0.0.1": "from 8.0.0.1", "from 10.8/16": "from 10.8.0.0/16", "from 10.1.2.3/255.0.0.0": "from 10.1.2.3/8",
		"from any": "from all", "to default": "to all", "uidrange 4294967296-4294967297": "uidrange 0-1",
		"uidrange 1-2x": "uidrange 1-2", "tun_id -1": "tun_id 18446744073709551615", "dscp 257": "dscp 1",
		"dscp EF": "dscp 46", "dscp CS0": "dscp 0", "dscp AF43/0x3f": "dscp 38", "dscp cs1 ": "",
		"dscp b8": "dscp 46", "dscp 08": "dscp 2", "dscp ef/0x3f": "dscp 59", "dscp 1g": "", "dscp 0b8": "dscp 46", "dscp 0b11": "dscp 3",
		"pref 0b11": "pref 3", "pref 0B11": "pref 3", "pref 0b12": "", "pref 0b": "", "tos 0b1": "tos b1", "ipproto 0b1": "", "dscp 1b8": "",
		"ipproto 06": "ipproto tcp", "ipproto TCP": "ipproto 6", "ipproto IP-ENCAP": "ipproto 4", "ipproto IPv6-ICMP": "ipproto 58",
		"fwmark 1/0xff fwmark 2": "fwmark 2/0xff", "fwmark 0x5": "fwmark 5/0xffffffff", "sport 0x35": "sport 53",
		"table 300 table 5": "table 300", "table 5 table 300": "table 300", "realms X/": "", "realms 3/": "realms 3/0",
		"realms 300": "realms 300", "table vpn": "table 300", "blackhole goto 900": "goto 900",
		"l3mdev l3mdev": "l3mdev", "table 100 lookup main": "table 254",
	} {
		got, _, err := iproute2.ParseRule(rpdb.IPv4, strings.Fields(short), shipped())
		if long == "" {
			if err == nil {
				t.Errorf("%q: read as %v, want an error", short, got)
			}
			continue
		}
		want, _, wantErr := iproute2.ParseRule(rpdb.IPv4, strings.Fields(long), shipped())
		if err != nil || wantErr != nil || got != want {
			t.Errorf("%q = %+v, %v\nwant as %q = %+v, %v", short, got, err, long, want, wantErr)
		}
	}
}

func TestRuleActions(t *testing.T) {
	for typed, want := range map[string]rpdb.Action{
		"":                     rpdb.ToTable(254),
		"table 100":            rpdb.ToTable(100),
		"type unicast":         rpdb.ToTable(0),
		"l3mdev":               rpdb.ToTable(0),
		"blackhole":            rpdb.Blackhole(),
		"table 100 prohibit":   rpdb.RawAction(rpdb.ActionProhibit, 100, 0),
		"goto 200":             rpdb.Goto(200),
		"goto 200 blackhole":   rpdb.RawAction(rpdb.ActionBlackhole, 0, 200),
		"nat 192.0.2.1":        rpdb.RawAction(rpdb.ActionNAT, 254, 0),
		"broadcast":            rpdb.Nop(),
		"to 192.0.2.0/24 type": {},
	} {
		r, _, err := iproute2.ParseRule(rpdb.IPv4, strings.Fields(typed), rpdb.Names{})
		if want == (rpdb.Action{}) {
			if err == nil {
				t.Errorf("%q: no error", typed)
			}
			continue
		}
		if err != nil || r.Action != want {
			t.Errorf("%q: action %+v, %v, want %+v", typed, r.Action, err, want)
		}
	}
}

func TestRuleDeleteKeepsWhatWasTyped(t *testing.T) {
	for typed, want := range map[string]struct {
		action rpdb.Action
		given  iproute2.Given
	}{
		"pref 5":                    {rpdb.Action{}, iproute2.Given{Priority: true}},
		"from 192.0.2.1 table 100":  {rpdb.RawAction(0, 100, 0), iproute2.Given{Table: true}},
		"goto 200":                  {rpdb.Goto(200), iproute2.Given{Action: true, Goto: true}},
		"not from 192.0.2.0/24":     {rpdb.Action{}, iproute2.Given{}},
		"pref 0 table 0 blackhole":  {rpdb.Blackhole(), iproute2.Given{Priority: true, Table: true, Action: true}},
		"protocol 82 table default": {rpdb.RawAction(0, 253, 0), iproute2.Given{Table: true}},
	} {
		r, given, err := iproute2.ParseRuleDelete(rpdb.IPv4, strings.Fields(typed), rpdb.Names{})
		if err != nil || r.Action != want.action || given != want.given {
			t.Errorf("%q: %+v %+v %v, want %+v", typed, r.Action, given, err, want)
		}
	}
}

func TestRuleErrors(t *testing.T) {
	for _, tt := range []struct {
		family   rpdb.Family
		typed    string
		position int
		text     string
	}{
		{0, "foo", 0, `argument "foo" is wrong: Failed to parse rule type`},
		{0, "from", 1, `command line is not complete`},
		{0, "from x", 1, `any valid prefix is expected rather than "x"`},
		{0, "from 192.0.2.0/33", 1, `any valid prefix is expected rather than "192.0.2.0/33"`},
		{0, "from 1.2.3.4.5", 1, `any valid prefix is expected rather than "1.2.3.4.5"`},
		{0, "from 256.1.1.1", 1, `any valid prefix is expected rather than "256.1.1.1"`},
		{0, "from 10.0.0.0/255.0.255.0", 1, `any valid prefix is expected rather than "10.0.0.0/255.0.255.0"`},
		{0, "from all/8", 1, `any valid prefix is expected rather than "all/8"`},
		{rpdb.IPv6, "from 192.0.2.1", 1, `inet6 prefix is expected rather than "192.0.2.1"`},
		{rpdb.IPv4, "to 2001:db8::1", 1, `inet prefix is expected rather than "2001:db8::1"`},
		{0, "pref x", 1, `argument "x" is wrong: preference value is invalid`},
		{0, "pref -1", 1, `argument "-1" is wrong: preference value is invalid`},
		{0, "pref 4294967296", 1, `argument "4294967296" is wrong: preference value is invalid`},
		{0, "table nosuch", 1, `argument "nosuch" is wrong: invalid table ID`},
		{0, "table 4294967296", 1, `argument "4294967296" is wrong: invalid table ID`},
		{0, "tos 256", 1, `argument "256" is wrong: TOS value is invalid`},
		{0, "dscp zz", 1, `argument "zz" is wrong: invalid dscp`},
		{0, "dscp 1/zz", 1, `argument "zz" is wrong: invalid dscp mask`},
		{0, "fwmark x", 1, `argument "x" is wrong: fwmark value is invalid`},
		{0, "fwmark 1/", 1, `argument "" is wrong: fwmask value is invalid`},
		{0, "realms /2", 1, `argument "/2" is wrong: invalid realms`},
		{0, "realms 300/2", 1, `argument "300/2" is wrong: invalid realms`},
		{0, "protocol 256", 1, `argument "256" is wrong: "protocol" value is invalid`},
		{0, "tun_id x", 1, `argument "x" is wrong: "tun_id" value is invalid`},
		{0, "suppress_prefixlength -1", 1, `argument "-1" is wrong: suppress_prefixlength value is invalid`},
		{0, "suppress_ifgroup x", 1, `argument "x" is wrong: Invalid "suppress_ifgroup" value`},
		{0, "iif averyveryverylongname", 1, `argument "averyveryverylongname" is wrong: "iif"/"dev" not a valid ifname`},
		{0, "dev a/b", 1, `argument "a/b" is wrong: "iif"/"dev" not a valid ifname`},
		{0, "oif .", 1, `argument "." is wrong: "oif" not a valid ifname`},
		{0, "uidrange 1", 1, `argument "1" is wrong: invalid UID range`},
		{0, "ipproto 0x6", 1, `argument "0x6" is wrong: Invalid "ipproto" value`},
		{0, "sport 65536", 1, `argument "65536" is wrong: invalid port`},
		{0, "dport x-3", 1, `argument "x" is wrong: invalid port range start`},
		{0, "dport 3-", 1, `argument "" is wrong: invalid port range end`},
		{0, "dport 3/x", 1, `argument "x" is wrong: invalid mask`},
		{0, "pref 9 goto x", 3, `argument "x" is wrong: invalid target`},
		{0, "nat x", 1, `an IP address is expected rather than "x"`},
		{0, "l3mdev table 100", 2, `table can not be specified for l3mdev rules`},
		{rpdb.IPv6, "flowlabel 1/x", 1, `argument "x" is wrong: invalid flowlabel mask`},
		{0, "lo lo", 0, `argument "lo" is wrong: Failed to parse rule type`},
		{0, "fr 192.0.2.1", 0, `argument "fr" is wrong: Failed to parse rule type`},
		{0, "look 5", 0, `argument "look" is wrong: Failed to parse rule type`},
		{0, "to 192.0.2.1 pref 1 table", 5, `command line is not complete`},
	} {
		_, _, err := iproute2.ParseRule(tt.family, strings.Fields(tt.typed), rpdb.Names{})
		var pe *iproute2.ParseError
		if !errors.As(err, &pe) {
			t.Errorf("%q: error %v, want %s", tt.typed, err, tt.text)
			continue
		}
		if pe.Error() != tt.text || pe.Position != tt.position {
			t.Errorf("%q: word %d: %v\nwant word %d: %s", tt.typed, pe.Position, pe, tt.position, tt.text)
		}
	}
}

// ip sends an IPv4 rule whatever the addresses are, when no family was named.
func TestRuleFamilyIsNotInferred(t *testing.T) {
	r, _, err := iproute2.ParseRule(0, []string{"from", "2001:db8::/32"}, rpdb.Names{})
	if err != nil || r.Family != rpdb.IPv4 || r.Selector.From.String() != "2001:db8::/32" {
		t.Errorf("got %+v, %v", r, err)
	}
}
