package iproute2_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// attrs reads a payload: the header as it stands, and for each attribute its
// number and value; the last one of a number counts, as for the kernel.
func attrs(t *testing.T, payload []byte) (header string, list map[uint16]string) {
	t.Helper()
	list = map[uint16]string{}
	if len(payload) < 12 || len(payload)%4 != 0 {
		t.Fatalf("payload of %d bytes", len(payload))
	}
	for b := payload[12:]; len(b) > 0; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			t.Fatalf("attribute of %d in %d bytes", n, len(b))
		}
		list[binary.NativeEndian.Uint16(b[2:])] = hex.EncodeToString(b[4:n])
		b = b[(n+3)&^3:]
	}
	return hex.EncodeToString(payload[:12]), list
}

func u32(n uint32) string { return hex.EncodeToString(binary.NativeEndian.AppendUint32(nil, n)) }

func u16(list ...uint16) string {
	var b []byte
	for _, n := range list {
		b = binary.NativeEndian.AppendUint16(b, n)
	}
	return hex.EncodeToString(b)
}

// What is sent for what is typed: the header is family, lengths of to and
// from, tos, table, two reserved bytes, action, flags.
func TestPayload(t *testing.T) {
	const stock = "02000000fe00000100000000" // IPv4, table main, to table
	invert := hex.EncodeToString(binary.NativeEndian.AppendUint32(nil, 2))
	for _, tt := range []struct {
		f      rpdb.Family
		typed  string
		header string
		attrs  map[uint16]string
	}{
		{0, "pref 5", stock, map[uint16]string{6: u32(5)}},
		{0, "table 100", "020000006400000100000000", nil},
		{0, "table 300", "020000000000000100000000", map[uint16]string{15: u32(300)}},
		{0, "table 300 table 5", "020000000500000100000000", map[uint16]string{15: u32(300)}},
		{0, "table 0", "020000000000000100000000", nil},
		{0, "type unicast", "020000000000000100000000", nil},
		{0, "type local", "020000000000000200000000", nil},
		{0, "broadcast", "020000000000000300000000", nil},
		{0, "throw", "020000000000000900000000", nil},
		{0, "type 200", "02000000000000c800000000", nil},
		{0, "goto 7", "020000000000000200000000", map[uint16]string{4: u32(7)}},
		{0, "goto 7 blackhole", "020000000000000600000000", map[uint16]string{4: u32(7)}},
		{0, "blackhole goto 7", "020000000000000200000000", map[uint16]string{4: u32(7)}},
		{0, "table 100 prohibit", "020000006400000800000000", nil},
		{0, "l3mdev", "020000000000000100000000", map[uint16]string{19: "01"}},
		{0, "nat 192.0.2.1", "02000000fe00000a00000000", map[uint16]string{5: "c0000201"}},
		{0, "not", "02000000fe000001" + invert, nil},
		{0, "from 192.0.2.0/24 to 198.51.100.1", "02201800fe00000100000000", map[uint16]string{2: "c0000200", 1: "c6336401"}},
		{0, "from all", stock, map[uint16]string{2: ""}},
		{0, "from default", stock, map[uint16]string{2: ""}},
		{rpdb.IPv4, "from default", stock, map[uint16]string{2: "00000000"}},
		{0, "from 0/0", stock, map[uint16]string{2: "00000000"}},
		{0, "from 192.0.2.1 from all", stock, map[uint16]string{2: ""}},
		{0, "from 2001:db8::/32", "02002000fe00000100000000", map[uint16]string{2: "20010db8" + strings.Repeat("00", 12)}},
		{rpdb.IPv6, "from 2001:db8::/32", "0a002000fe00000100000000", map[uint16]string{2: "20010db8" + strings.Repeat("00", 12)}},
		{0, "tos 10", "02000010fe00000100000000", nil},
		{0, "tos 0xfc", "020000fcfe00000100000000", nil},
		{0, "fwmark 5", stock, map[uint16]string{10: u32(5)}},
		{0, "fwmark 0", stock, map[uint16]string{10: u32(0)}},
		{0, "fwmark 1/0xff fwmark 2", stock, map[uint16]string{10: u32(2), 16: u32(255)}},
		{0, "realms 1/2", stock, map[uint16]string{11: u32(1<<16 | 2)}},
		{0, "realms 3/", stock, map[uint16]string{11: u32(3 << 16)}},
		{0, "realms 70000", stock, map[uint16]string{11: u32(70000)}},
		{0, "protocol static", stock, map[uint16]string{21: "04"}},
		{0, "tun_id -1", stock, map[uint16]string{12: "ffffffffffffffff"}},
		{0, "tun_id 5", stock, map[uint16]string{12: "0000000000000005"}},
		{0, "suppress_prefixlength 33", stock, map[uint16]string{14: u32(33)}},
		{0, "suppress_ifgroup default", stock, map[uint16]string{13: u32(0)}},
		{0, "iif lo oif eth0", stock, map[uint16]string{3: "6c6f00", 17: "6574683000"}},
		{0, "uidrange 1-2x", stock, map[uint16]string{20: u32(1) + u32(2)}},
		{0, "ipproto tcp", stock, map[uint16]string{22: "06"}},
		{0, "sport 53", stock, map[uint16]string{23: u16(53, 53)}},
		{0, "sport 53/0xffff", stock, map[uint16]string{23: u16(53, 53)}},
		{0, "dport 80/0xfff0", stock, map[uint16]string{24: u16(80, 80), 29: u16(0xfff0)}},
		{0, "dport 80/0xfff0 dport 5-9", stock, map[uint16]string{24: u16(5, 9), 29: u16(0xfff0)}},
		{0, "dscp 257", stock, map[uint16]string{25: "01"}},
		{0, "dscp 64", stock, map[uint16]string{25: "40"}},
		{0, "dscp 8/0x38", stock, map[uint16]string{25: "08", 30: "38"}},
		{0, "dscp 1/256", stock, map[uint16]string{25: "01", 30: "00"}},
		{rpdb.IPv6, "flowlabel 5", "0a000000fe00000100000000", map[uint16]string{26: "00000005", 27: "000fffff"}},
		{rpdb.IPv6, "flowlabel 5/0xf", "0a000000fe00000100000000", map[uint16]string{26: "00000005", 27: "0000000f"}},
		{28, "pref 5", "1c000000fe00000100000000", map[uint16]string{6: u32(5)}},
	} {
		q, err := iproute2.RuleContext{Family: tt.f}.ParseAdd(strings.Fields(tt.typed))
		if err != nil {
			t.Errorf("%q: %v", tt.typed, err)
			continue
		}
		if tt.attrs == nil {
			tt.attrs = map[uint16]string{}
		}
		checkPayload(t, tt.typed, q.Payload(), tt.header, tt.attrs)
	}
}

func checkPayload(t *testing.T, typed string, payload []byte, header string, want map[uint16]string) {
	t.Helper()
	gotHeader, got := attrs(t, payload)
	if gotHeader != header {
		t.Errorf("%q: header %s, want %s", typed, gotHeader, header)
	}
	for typ, value := range want {
		if v, ok := got[typ]; !ok || v != value {
			t.Errorf("%q: attribute %d = %q, want %q", typed, typ, v, value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%q: attributes %v, want %v", typed, got, want)
	}
}

// A delete sends the action and the table only if they were typed.
func TestPayloadOfDelete(t *testing.T) {
	for typed, header := range map[string]string{
		"pref 5":              "020000000000000000000000",
		"table main":          "02000000fe00000000000000",
		"from all":            "020000000000000000000000",
		"blackhole":           "020000000000000600000000",
		"nat 192.0.2.1":       "020000000000000a00000000",
		"l3mdev":              "020000000000000000000000",
		"table 5 type unicas": "020000000500000100000000",
	} {
		q, err := iproute2.RuleContext{}.ParseDelete(strings.Fields(typed))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := attrs(t, q.Payload()); got != header || !q.Delete {
			t.Errorf("%q: header %s, want %s", typed, got, header)
		}
	}
}

// What ip writes to standard error, and its exit code.
func TestRuleComplaints(t *testing.T) {
	wrong := func(word, reason string) string { return "Error: argument \"" + word + "\" is wrong: " + reason + "\n" }
	const incomplete = "Command line is not complete. Try option \"help\"\n"
	for _, tt := range []struct {
		f      rpdb.Family
		typed  string
		stderr string
		code   int
	}{
		{0, "", "\"ip rule add\" requires arguments.\n", 1},
		{0, "foo", wrong("foo", "Failed to parse rule type"), 255},
		{0, "from", incomplete, 255},
		{0, "type", incomplete, 255},
		{0, "from x", "Error: any valid prefix is expected rather than \"x\".\n", 1},
		{0, "from 10.0.0.0/255", "Error: any valid prefix is expected rather than \"10.0.0.0/255\".\n", 1},
		{0, "from all/8", "Error: any valid prefix is expected rather than \"all/8\".\n", 1},
		{rpdb.IPv6, "from 1.2.3.4", "Error: inet6 prefix is expected rather than \"1.2.3.4\".\n", 1},
		{rpdb.IPv6, "from fe80::1%lo", "Error: inet6 prefix is expected rather than \"fe80::1%lo\".\n", 1},
		{28, "from x", "Error: mpls prefix is expected rather than \"x\".\n", 1},
		{28, "from all", "Error: mpls prefix is expected rather than \"all\".\n", 1},
		{7, "from x", "Error: bridge prefix is expected rather than \"x\".\n", 1},
		{17, "from 1.1.1.1", "Error: \"1.1.1.1\" may be inet prefix, but it is not allowed in this context.\n", 1},
		{0, "pref x", wrong("x", "preference value is invalid\n"), 255},
		{0, "table nosuch", wrong("nosuch", "invalid table ID\n"), 255},
		{0, "tos 256", wrong("256", "TOS value is invalid\n"), 255},
		{0, "tos 0x+10", wrong("0x+10", "TOS value is invalid\n"), 255},
		{0, "dscp zz", wrong("zz", "invalid dscp"), 255},
		{0, "dscp 1/zz", wrong("zz", "invalid dscp mask"), 255},
		{0, "fwmark x", wrong("x", "fwmark value is invalid\n"), 255},
		{0, "fwmark 1/", wrong("", "fwmask value is invalid\n"), 255},
		{0, "realms /2", wrong("/2", "invalid realms\n"), 255},
		{0, "realms 1//2", wrong("1//2", "invalid realms\n"), 255},
		{0, "realms 300/2", wrong("300/2", "invalid realms\n"), 255},
		{0, "protocol 256", wrong("256", "\"protocol\" value is invalid\n"), 255},
		{0, "tun_id x", wrong("x", "\"tun_id\" value is invalid\n"), 255},
		{0, "suppress_prefixlength -1", wrong("-1", "suppress_prefixlength value is invalid\n"), 255},
		{0, "suppress_ifgroup -1", wrong("-1", "Invalid \"suppress_ifgroup\" value\n"), 255},
		{0, "suppress_ifgroup 2147483648", wrong("2147483648", "Invalid \"suppress_ifgroup\" value\n"), 255},
		{0, "dev a/b", wrong("a/b", "\"iif\"/\"dev\" not a valid ifname"), 255},
		{0, "oif .", wrong(".", "\"oif\" not a valid ifname"), 255},
		{0, "uidrange 1", wrong("1", "invalid UID range\n"), 255},
		{0, "ipproto 0x6", wrong("0x6", "Invalid \"ipproto\" value\n"), 255},
		{0, "sport 65536", wrong("65536", "invalid port"), 255},
		{0, "sport x-3", wrong("x", "invalid port range start"), 255},
		{0, "dport 3-", wrong("", "invalid port range end"), 255},
		{0, "dport 3/x", wrong("x", "invalid mask"), 255},
		{0, "dport x/y", wrong("y", "invalid mask"), 255},
		{0, "dscp zz/y", wrong("zz", "invalid dscp"), 255},
		{0, "goto x", wrong("x", "invalid target\n"), 255},
		{0, "nat x", "Warning: route NAT is deprecated\nError: an IP address is expected rather than \"x\"\n", 1},
		{0, "nat 192.0.2.1 foo", "Warning: route NAT is deprecated\n" + wrong("foo", "Failed to parse rule type"), 255},
		{0, "nat", incomplete, 255},
		{0, "m 192.0.2.1 nat x", "Warning: route NAT is deprecated\nWarning: route NAT is deprecated\nError: an IP address is expected rather than \"x\"\n", 1},
		{0, "suppress_prefixlength -18446744073709551612", wrong("-18446744073709551612", "suppress_prefixlength value is invalid\n"), 255},
		{28, "from 1048576", "Error: mpls prefix is expected rather than \"1048576\".\n", 1},
		{28, "from 5/21", "Error: mpls prefix is expected rather than \"5/21\".\n", 1},
		{0, "l3mdev table 100", "table can not be specified for l3mdev rules\n", 22},
		{rpdb.IPv6, "flowlabel x", wrong("x", "invalid flowlabel"), 255},
		{rpdb.IPv6, "flowlabel 1/x", wrong("x", "invalid flowlabel mask"), 255},
		{0, "help", iproute2.RuleHelp(), 255},
		{0, "type h", iproute2.RuleHelp(), 255},
		{0, "pref 5 h", iproute2.RuleHelp(), 255},
	} {
		_, err := iproute2.RuleContext{Family: tt.f}.ParseAdd(strings.Fields(tt.typed))
		checkComplaint(t, tt.typed, err, tt.stderr, tt.code)
	}
	_, err := iproute2.RuleContext{}.ParseDelete(nil)
	checkComplaint(t, "del", err, "\"ip rule del\" requires arguments.\n", 1)
	for _, word := range []string{"foo", "", "remove", "lists"} {
		_, err = iproute2.ParseRuleVerb(word)
		checkComplaint(t, word, err, "Command \""+word+"\" is unknown, try \"ip rule help\".\n", 255)
	}
	_, err = iproute2.RuleContext{}.ParseAdd([]string{"iif", "a b"})
	checkComplaint(t, "iif", err, wrong("a b", "\"iif\"/\"dev\" not a valid ifname"), 255)
	_, err = iproute2.RuleContext{}.ParseAdd([]string{""})
	checkComplaint(t, "empty", err, wrong("", "Failed to parse rule type"), 255)
}

func checkComplaint(t *testing.T, typed string, err error, stderr string, code int) {
	t.Helper()
	var p *iproute2.ParseError
	if !errors.As(err, &p) {
		t.Errorf("%q: error %v", typed, err)
		return
	}
	if p.Stderr() != stderr || p.ExitCode() != code {
		t.Errorf("%q:\n got %q, %d\nwant %q, %d", typed, p.Stderr(), p.ExitCode(), stderr, code)
	}
}

func TestRuleVerbs(t *testing.T) {
	for word, want := range map[string]string{
		"l": "list", "ls": "list", "lst": "list", "s": "list", "sh": "list", "sa": "save", "r": "restore", "re": "restore",
		"a": "add", "d": "delete", "del": "delete", "f": "flush", "h": "help",
	} {
		if v, err := iproute2.ParseRuleVerb(word); err != nil || v.String() != want {
			t.Errorf("%q is %v, %v, want %s", word, v, err, want)
		}
	}
}

// The names of a caller's files count alone.
func TestNumbersOfTheCaller(t *testing.T) {
	c := iproute2.RuleContext{Numbers: func(file, name string) (uint32, bool) {
		return uint32(len(file)), name == "x"
	}}
	q, err := c.ParseAdd(strings.Fields("table x protocol x realms x/x suppress_ifgroup x tos x ipproto x"))
	if err != nil {
		t.Fatal(err)
	}
	want := rpdb.Rule{
		Family: rpdb.IPv4, Action: rpdb.ToTable(9), Protocol: 9, Realms: rpdb.NewRealms(9, 9),
		Suppress: rpdb.Suppressor{IfGroup: rpdb.Some[uint32](5)}, Selector: rpdb.Selector{TOS: 10, IPProto: 9},
	}
	if got := q.Rule(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, word := range []string{"table main", "dscp CS1", "ipproto tcp", "protocol static", "suppress_ifgroup default"} {
		if _, err := c.ParseAdd(strings.Fields(word)); err == nil {
			t.Errorf("%q: no error", word)
		}
	}
}

// Every keyword is reachable in full, has a meaning, and is explained.
func TestKeywords(t *testing.T) {
	for _, verb := range []iproute2.RuleVerb{iproute2.RuleAdd, iproute2.RuleDelete, iproute2.RuleList, iproute2.RuleFlush} {
		words := iproute2.RuleKeywords(verb)
		if len(words) < 20 {
			t.Errorf("%v has %d keywords", verb, len(words))
		}
		for _, k := range words {
			if k.Help == "" || k.Field == "" {
				t.Errorf("%v %s: field %q, help %q", verb, k.Word, k.Field, k.Help)
			}
		}
	}
	for _, word := range []string{"uidrange", "ipproto", "dscp", "DSCP[/MASK]", "flowlabel", "sport [ NUMBER[/MASK]", "tun_id"} {
		if !strings.Contains(iproute2.RuleHelp(), word) {
			t.Errorf("the usage does not say %q", word)
		}
	}
	if iproute2.RuleKeywords(iproute2.RuleSave) != nil || len(iproute2.WideFilterKeywords()) == 0 {
		t.Error("wrong keywords")
	}
}
