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
		{"203.0.113.10 from 10.0.0.1 iif lan0 forwarded uid 0", rpdb.Flow{Dst: addr("203.0.113.10"), Src: addr("10.0.0.1"), IIF: "lan0"}},
		{"203.0.113.10 dscp 46", rpdb.Flow{Dst: addr("203.0.113.10"), TOS: 0xb8}},
		{"203.0.113.10 dscp EF", rpdb.Flow{Dst: addr("203.0.113.10"), TOS: 0xb8}},
		{"203.0.113.10 dscp af41", rpdb.Flow{Dst: addr("203.0.113.10"), TOS: 0x88}},
		{"203.0.113.10 dscp 0x3f", rpdb.Flow{Dst: addr("203.0.113.10"), TOS: 0xfc}},
		{"203.0.113.10 dscp cs1", rpdb.Flow{Dst: addr("203.0.113.10"), TOS: 0x20}},
		{"203.0.113.10 ipproto icmp dport 2048", rpdb.Flow{Dst: addr("203.0.113.10"), IPProto: rpdb.ICMP, DPort: 2048}},
		{"203.0.113.10 ipproto udplite dport 7", rpdb.Flow{Dst: addr("203.0.113.10"), IPProto: 136, DPort: 7}},
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
		{"203.0.113.1 from 2001:db8::1", `flow: word 3 "2001:db8::1": source 2001:db8::1 and destination 203.0.113.1 are of different families`},
		{"203.0.113.1 iif eth0", `flow: word 2 "iif": a packet that comes in by eth0 has a source: add "from ADDRESS"`},
		{"203.0.113.1 from 10.0.0.1 iif eth0 oif eth1", `flow: word 6 "oif": iif and oif exclude each other: a packet that comes in is bound to no interface`},
		{"203.0.113.1 flowlabel 1", `flow: word 2 "flowlabel": IPv4 packets have no flow label`},
		{"from 2001:db8::1 to 203.0.113.1", `flow: word 4 "203.0.113.1": source 2001:db8::1 and destination 203.0.113.1 are of different families`},
		{"src 2001:db8::1 203.0.113.1", `flow: word 3 "203.0.113.1": source 2001:db8::1 and destination 203.0.113.1 are of different families`},
		{"203.0.113.1 flowlabel 0", `flow: word 2 "flowlabel": IPv4 packets have no flow label`},
		{"203.0.113.1 forwarded", `flow: word 2 "forwarded": a packet that is forwarded comes in by an interface: add "iif NAME"`},
		{"203.0.113.1 forwarded from 10.0.0.1 iif lo", `flow: word 2 "forwarded": a packet that is forwarded comes in by an interface: add "iif NAME"`},
		{"203.0.113.1 forwarded connect", `flow: word 3 "connect": connect is for packets of this host, which are not forwarded`},
		{"203.0.113.1 oif eth0 forwarded", `flow: word 4 "forwarded": a packet that is forwarded is bound to no interface`},
		{"203.0.113.1 sendto iif eth0 from 10.0.0.1", `flow: word 3 "iif": sendto is for packets of this host, and iif for those that come in`},
		{"203.0.113.1 connect sendto", `flow: word 3 "sendto": connect or sendto is given twice`},
		{"203.0.113.1 tos 10 dscp 4", `flow: word 4 "dscp": tos and dscp are the same field of the packet`},
		{"203.0.113.1 dscp 64", `flow: word 3 "64": not a DSCP: 0 to 63, CS0 to CS7, AF11 to AF43, EF or LE`},
		{"203.0.113.1 dscp af44", `flow: word 3 "af44": not a DSCP: 0 to 63, CS0 to CS7, AF11 to AF43, EF or LE`},
		{"203.0.113.1 tos 100", `flow: word 3 "100": not a DS field from 00 to ff`},
		{"203.0.113.1 uid 4294967295", `flow: word 3 "4294967295": not a user id from 0 to 4294967294`},
		{"203.0.113.1 from 10.0.0.1 iif eth0 uid 7", `flow: word 7 "7": a packet that comes in has no user: rules see user 0`},
		{"203.0.113.1 ipproto 47 dport 80", `flow: word 4 "dport": packets of protocol 47 have no ports`},
		{"203.0.113.1 from 10.0.0.1 iif eth0 ipproto icmp sport 8", `flow: word 8 "sport": packets of protocol 1 have no ports`},
		{"203.0.113.1 colour red", `flow: word 2 "colour": neither a keyword of a flow nor an address`},
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
