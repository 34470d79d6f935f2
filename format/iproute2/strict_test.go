package iproute2_test

import (
	"errors"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// What the name ip does and this program's own verbs refuse, with the reason.
func TestRefusals(t *testing.T) {
	for typed, reason := range map[string]string{
		"fwmark 0 table 5":                   "without a mask selects every packet",
		"fwmark 5/0 table 5":                 "its mask is empty",
		"fwmark 0x10/0xf table 5":            "selects what 0/0xf does",
		"table 0":                            "would make up a table",
		"type unicast":                       "would make up a table",
		"nat 192.0.2.1":                      "no route NAT",
		"dscp 257 table 5":                   "six bits",
		"dscp 64 table 5":                    "six bits",
		"dscp 1/0 table 5":                   "empty mask",
		"dscp b8 table 5":                    "write the six bits, 46",
		"uidrange 1-2x table 5":              `is read as 1-2`,
		"uidrange 4294967296-5 table 5":      `is read as 0-5`,
		"from 10.8 table 5":                  `is read as 10.8.0.0/32`,
		"from 010.0.0.1 table 5":             `is read as 8.0.0.1/32`,
		"to 0x0a.1.1.1 table 5":              `is read as 10.1.1.1/32`,
		"from 192.0.2.1/0 table 5":           "selects every address",
		"t 5":                                "not table",
		"b":                                  `stored as "nop"`,
		"br":                                 `stored as "nop"`,
		"local":                              `stored as "goto"`,
		"throw":                              `stored as "9"`,
		"anycast":                            `stored as "4"`,
		"x":                                  `stored as "11"`,
		"type 200":                           `stored as "200"`,
		"goto 9 blackhole":                   "one action: goto 9 or blackhole",
		"blackhole goto 9":                   "one action: blackhole or goto 9",
		"table 5 blackhole":                  "one action: blackhole or table 5",
		"goto 9 type prohibit table 300":     "one action: goto 9 or prohibit or table 300",
		"pref 9 goto 9":                      "leads backward",
		"goto 9 suppress_prefixlength 0":     "count only for rules that look a table up",
		"suppress_prefixlength 33 table 5":   "at most 32 bits",
		"table 300 table 5":                  "given twice",
		"from 192.0.2.1 from 192.0.2.2":      "given twice",
		"tun_id 0 table 5":                   "tun_id 0",
		"ipproto 0 table 5":                  "ipproto 0",
		"from 192.0.2.1 to 2001:db8::1":      "from is IPv4 and to is IPv6",
		"from 2001:db8::1 realms 5 table 5":  "realms are for IPv4",
		"from 2001:db8::1 flowlabel 5/0 nop": "its mask is empty",
	} {
		for _, parse := range []func([]string) (iproute2.RuleRequest, error){iproute2.RuleContext{}.ParseAdd, iproute2.RuleContext{}.ParseDelete} {
			q, err := parse(strings.Fields(typed))
			if err != nil {
				t.Errorf("%q: %v", typed, err)
				continue
			}
			r, err := q.Strict()
			var refusal *iproute2.RefusalError
			if !q.Delete && (!errors.As(err, &refusal) || !strings.Contains(err.Error(), reason)) {
				t.Errorf("%q: %+v, %v, want %q", typed, r, err, reason)
			}
		}
	}
}

// Each reason is given once.
func TestOneReason(t *testing.T) {
	for _, typed := range []string{
		"goto 400 nop", "nop goto 400", "goto 400 goto 500", "blackhole prohibit", "table 5 nop", "goto 400 table 300", "nop goto 400 table 5",
	} {
		q, err := iproute2.RuleContext{}.ParseAdd(strings.Fields(typed))
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.Strict()
		var refusal *iproute2.RefusalError
		if !errors.As(err, &refusal) || strings.Count(err.Error(), "one action")+strings.Count(err.Error(), "given twice") != 1 {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestStrict(t *testing.T) {
	for _, tt := range []struct {
		option rpdb.Family
		typed  string
		want   string
	}{
		{0, "from 192.0.2.0/24", "ip -4 rule add pref 0 from 192.0.2.0/24 lookup main"},
		{0, "pref 5 from 2001:db8::/32 table 300", "ip -6 rule add pref 5 from 2001:db8::/32 lookup vpn"},
		{rpdb.IPv6, "table 5", "ip -6 rule add pref 0 lookup 5"},
		{0, "l3mdev pref 1000", "ip -4 rule add pref 1000 l3mdev"},
		{0, "from 10/8 to 0/0 blackhole", "ip -4 rule add pref 0 from 10.0.0.0/8 blackhole"},
		{0, "from 10.1.2.3/24 table 5", "ip -4 rule add pref 0 from 10.1.2.3/24 lookup 5"},
		{0, "not not fwmark 0xca6c lookup 51820", "ip -4 rule add pref 0 not fwmark 0xca6c lookup 51820"},
		{0, "table main suppress_prefixlength 0", "ip -4 rule add pref 0 lookup main suppress_prefixlength 0"},
		{0, "pref 5 goto 6", "ip -4 rule add pref 5 goto 6"},
		{0, "goto 6", "ip -4 rule add pref 0 goto 6"},
		{0, "unr pref 7", "ip -4 rule add pref 7 unreachable"},
		{0, "dscp EF sport 5/0xf nop", "ip -4 rule add pref 0 dscp 46 sport 0x5/0xf nop"},
	} {
		q, err := iproute2.RuleContext{Family: tt.option, Names: shipped()}.ParseAdd(strings.Fields(tt.typed))
		if err != nil {
			t.Fatal(err)
		}
		r, err := q.Strict()
		if got := iproute2.RuleCommand(rpdb.Add, r, shipped()); err != nil || got != tt.want {
			t.Errorf("%q: %s, %v, want %s", tt.typed, got, err, tt.want)
		}
		if !q.Is(r) {
			t.Errorf("%q is not its own rule", tt.typed)
		}
	}
	if q, err := (iproute2.RuleContext{Family: 28}).ParseAdd([]string{"pref", "5"}); err != nil {
		t.Fatal(err)
	} else if _, err := q.Strict(); err == nil {
		t.Error("MPLS has rules")
	}
}

// Is compares everything; priority and protocol only if they were typed.
func TestIs(t *testing.T) {
	rule := mustRule(t, rpdb.IPv4, "pref 5 from 192.0.2.0/24 sport 5 table 100 protocol 82")
	for typed, want := range map[string]bool{
		"from 192.0.2.0/24 sport 5 table 100":             true,
		"from 192.0.2.7/24 sport 5-5 table 100":           true,
		"from 192.0.2.0/24 sport 5 table 100 pref 5":      true,
		"from 192.0.2.0/24 sport 5 table 100 protocol 82": true,
		"from 192.0.2.0/24 sport 5 table 100 pref 6":      false,
		"from 192.0.2.0/24 sport 5 table 100 protocol 4":  false,
		"from 192.0.2.0/24 table 100":                     false,
		"from 192.0.2.0/24 sport 5":                       false,
		"from 192.0.2.0/24 sport 5 table 101":             false,
		"not from 192.0.2.0/24 sport 5 table 100":         false,
		"pref 5":                              false,
		"from 192.0.2.0/24 sport 5 blackhole": false,
		"from 192.0.2.0/24 sport 5 table 100 iif lo":       false,
		"from 192.0.2.0/24 to 0/0 sport 5/65535 table 100": true,
	} {
		for _, parse := range []func([]string) (iproute2.RuleRequest, error){iproute2.RuleContext{}.ParseAdd, iproute2.RuleContext{}.ParseDelete} {
			q, err := parse(strings.Fields(typed))
			if err != nil || q.Is(rule) != want {
				t.Errorf("%q (delete %v): %v, %v, want %v", typed, q.Delete, q.Is(rule), err, want)
			}
		}
	}
	q, _ := iproute2.RuleContext{}.ParseAdd(strings.Fields("from 192.0.2.0/24 sport 5 table 100"))
	rule.Unknown = "\x04\x00\x63\x00"
	if q.Is(rule) {
		t.Error("a rule with unknown attributes is the one that was typed")
	}
}
