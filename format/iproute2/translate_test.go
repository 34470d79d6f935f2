package iproute2_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// TestTranslate: where nat translates, the rule is one that looks a table up, and
// what stands behind nat is kept for whoever makes the translation.
func TestTranslate(t *testing.T) {
	c := iproute2.RuleContext{Translate: true}
	for line, want := range map[string]string{
		"from 10.1.0.0/24 table 7 nat 203.0.113.0":     "table 7, 203.0.113.0 -1 at 5",
		"from 10.1.0.0/24 map-to 203.0.113.0/24":       "table 254, 203.0.113.0 24 at 3",
		"nat 203.0.113.7/32 table 7":                   "table 7, 203.0.113.7 32 at 1",
		"nat masquerade table 7":                       "table 7, invalid IP -1 at 1",
		"nat 0 table 7":                                "table 7, invalid IP -1 at 1",
		"nat 0.0.0.0 table 7":                          "table 7, invalid IP -1 at 1",
		"nat 2001:db8::/64 table 7":                    "table 7, 2001:db8:: 64 at 1",
		"nat 203.0.113.0/33":                           "the length behind the address is wrong",
		"nat 203.0.113.0/x":                            "the length behind the address is wrong",
		"nat 0.0.0.0/0":                                "table 254, 0.0.0.0 0 at 1",
		"nat 203.0.113":                                "neither an address nor the word masquerade",
		"nat fe80::1%eth0":                             "neither an address nor the word masquerade",
		"nat":                                          "not complete",
		"nat 203.0.113.0 blackhole":                    "name the table, and no other action",
		"nat 203.0.113.0 goto 7":                       "name the table, and no other action",
		"nat 203.0.113.0 l3mdev":                       "name the table, and no other action",
		"nat 203.0.113.0 table 7 realms 3":             "a realm of its own",
		"nat 203.0.113.0 nat 203.0.113.0 table 7":      "given twice",
		"nat 203.0.113.0 table 0":                      "without an action",
		"from 10.1.0.0/24 table 7 nat 203.0.113.0 foo": "foo",
	} {
		q, err := c.ParseAdd(strings.Fields(line))
		var rule rpdb.Rule
		if err == nil {
			rule, err = q.Strict()
		}
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", line, err, want)
			}
			continue
		}
		n, _ := q.NAT.Get()
		if got := fmt.Sprintf("table %d, %v %d at %d", rule.Action.Table(), n.Addr, n.Bits, n.Position); got != want || len(q.Warnings()) > 0 {
			t.Errorf("%s: %s, want %s; warnings %q", line, got, want, q.Warnings())
		}
	}
	for line, want := range map[string]rpdb.Family{
		"nat 2001:db8:c:: table 7":                  rpdb.IPv6,
		"nat :: table 7":                            rpdb.IPv6,
		"nat 0 table 7":                             rpdb.IPv4,
		"nat 203.0.113.0 table 7":                   rpdb.IPv4,
		"from fd00:1::/64 nat masquerade table 7":   rpdb.IPv6,
		"from 10.1.0.0/24 nat 2001:db8:c:: table 7": rpdb.IPv4, // for others to refuse
	} {
		q, err := c.ParseAdd(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		rule, err := q.Strict()
		if err != nil || rule.Family != want {
			t.Errorf("%s: a rule of %v, %v, want %v", line, rule.Family, err, want)
		}
	}
	without, err := c.ParseAdd([]string{"table", "7"})
	with, errWith := c.ParseAdd([]string{"nat", "203.0.113.0", "table", "7"})
	if err := errors.Join(err, errWith); err != nil || !slices.Equal(with.Payload(), without.Payload()) {
		t.Errorf("nat is sent: %v", err)
	}
}
