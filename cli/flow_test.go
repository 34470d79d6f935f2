package cli

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"rpdb"
)

func TestParseFlow(t *testing.T) {
	addr := netip.MustParseAddr
	tests := []struct {
		words string
		want  rpdb.Flow
	}{
		{"203.0.113.10", rpdb.Flow{Dst: addr("203.0.113.10")}},
		{"to 203.0.113.10", rpdb.Flow{Dst: addr("203.0.113.10")}},
		{"from 10.10.0.10 203.0.113.10", rpdb.Flow{Dst: addr("203.0.113.10"), Src: addr("10.10.0.10")}},
		{"2001:db8::1 oif eth1 mark 0x10 uid 1000", rpdb.Flow{Dst: addr("2001:db8::1"), OIF: "eth1", Mark: 16, UID: 1000}},
		{"203.0.113.10 from 10.0.0.1 iif lan0", rpdb.Flow{Dst: addr("203.0.113.10"), Src: addr("10.0.0.1"), IIF: "lan0"}},
		{"203.0.113.10 ipproto tcp dport 443 sport 4000 connect", rpdb.Flow{Dst: addr("203.0.113.10"), IPProto: 6, DPort: 443, SPort: 4000, Socket: rpdb.Connect}},
		{"203.0.113.10 ipproto 47 tos 10 sendto", rpdb.Flow{Dst: addr("203.0.113.10"), IPProto: 47, TOS: 0x10, Socket: rpdb.SendTo}},
		{"2001:db8::1 flowlabel 0xfffff tun_id 7", rpdb.Flow{Dst: addr("2001:db8::1"), FlowLabel: 0xfffff, TunID: 7}},
		{"203.0.113.10 dev eth0", rpdb.Flow{Dst: addr("203.0.113.10"), OIF: "eth0"}},
	}
	for _, tc := range tests {
		got, err := ParseFlow(strings.Fields(tc.words))
		if err != nil || got != tc.want {
			t.Errorf("%s: %+v, %v", tc.words, got, err)
		}
	}
}

func TestParseFlowRefuses(t *testing.T) {
	tests := []struct {
		words, want string
	}{
		{"", "flow: a destination address is missing"},
		{"from 10.0.0.1", "flow: a destination address is missing"},
		{"203.0.113.300", `flow: word 1 "203.0.113.300": neither a keyword of a flow nor an address`},
		{"203.0.113.1 203.0.113.2", `flow: word 2 "203.0.113.2": to is given twice`},
		{"203.0.113.1 mark", `flow: word 2 "mark": a value must follow`},
		{"203.0.113.1 mark 0x100000000", `flow: word 3 "0x100000000": not a number of 32 bits`},
		{"203.0.113.1 dport 70000", `flow: word 3 "70000": not a number of 16 bits`},
		{"203.0.113.1 oif sixteen-letters-", `flow: word 3 "sixteen-letters-": not the name of an interface`},
		{"203.0.113.1 from 2001:db8::1", "flow: source 2001:db8::1 and destination 203.0.113.1 are of different families"},
		{"203.0.113.1 iif eth0", `flow: a packet that comes in by eth0 has a source: add "from ADDRESS"`},
		{"203.0.113.1 from 10.0.0.1 iif eth0 oif eth1", "flow: iif and oif exclude each other: a forwarded packet is bound to no interface"},
		{"203.0.113.1 flowlabel 1", "flow: IPv4 packets have no flow label"},
		{"fe80::1%eth0", `flow: word 1 "fe80::1%eth0": neither a keyword of a flow nor an address`},
		{"203.0.113.1 mark 1 fwmark 2", `flow: word 4 "fwmark": mark is given twice`},
	}
	for _, tc := range tests {
		_, err := ParseFlow(strings.Fields(tc.words))
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s:\n got  %v\n want %s", tc.words, err, tc.want)
		}
	}
	_, err := ParseFlow([]string{"x"})
	if h := hinter(nil); !errors.As(err, &h) || !strings.Contains(h.Hint(), "ADDRESS") {
		t.Errorf("no hint for %v", err)
	}
}

func TestSafeKeepsControlBytesFromTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"eth0":          "eth0",
		"wg-home.100":   "wg-home.100",
		"\x1b[31mred":   `"\x1b[31mred"`,
		"a\nb":          `"a\nb"`,
		"tab\there":     `"tab\there"`,
		"bad\xff":       `"bad\xff"`,
		"b\u202eidi":    `"b\u202eidi"`,
		"\u00e4 prints": "\u00e4 prints",
	} {
		if got := safe(in); got != want {
			t.Errorf("safe(%q) = %s, want %s", in, got, want)
		}
	}
}
