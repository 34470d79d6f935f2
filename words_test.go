package rpdb_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"rpdb"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// word is a number that is spelled in words.
type word[T any] interface {
	*T
	encoding.TextMarshaler
	encoding.TextUnmarshaler
}

// checkWords tries every number of one kind: its text must read back, the
// numbers listed must have the words listed, and no other may have one.
func checkWords[T ~uint8 | ~uint16, P word[T]](t *testing.T, words map[T]string) {
	t.Run(fmt.Sprintf("%T", T(0)), func(t *testing.T) {
		for n := range 1 << 16 {
			v := T(n)
			if int(v) != n {
				break
			}
			text, err := P(&v).MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			want, ok := words[v]
			if !ok {
				want = fmt.Sprint(n)
			}
			if string(text) != want {
				t.Errorf("%d is written %q, want %q", n, text, want)
			}
			var back T
			if err := P(&back).UnmarshalText(text); err != nil || back != v {
				t.Errorf("%q is read as %d, %v, want %d", text, back, err, n)
			}
		}
		for _, bad := range []string{"nonesuch", "65536", "-1", "+1", "0x1", " 1", "1 "} {
			var v T
			if err := P(&v).UnmarshalText([]byte(bad)); err == nil || v != 0 {
				t.Errorf("%q is read as %d", bad, v)
			}
		}
	})
}

func TestWords(t *testing.T) {
	checkWords(t, map[rpdb.Family]string{0: "", rpdb.IPv4: "inet", rpdb.IPv6: "inet6"})
	checkWords(t, map[rpdb.ActionType]string{
		0: "unspec", 1: "table", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit", 10: "nat",
	})
	checkWords(t, map[rpdb.RouteType]string{
		0: "none", 1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast",
		6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw", 10: "nat", 11: "xresolve",
	})
	checkWords(t, map[rpdb.Scope]string{0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"})
	checkWords(t, map[rpdb.RouterPreference]string{0: "medium", 1: "high", 3: "low"})
	checkWords(t, map[rpdb.SocketCall]string{0: "route-get", 1: "sendto", 2: "connect"})
	checkWords(t, map[rpdb.Disposition]string{0: "unknown", 1: "sent", 2: "local", 3: "refused", 4: "martian"})
	checkWords(t, map[rpdb.Customised]string{0: "unknown", 1: "no", 2: "yes"})
	checkWords(t, map[rpdb.ChangeOp]string{0: "none", 1: "add", 2: "replace", 3: "delete"})
	checkWords(t, map[rpdb.Errno]string{
		0: "", 1: "EPERM", 2: "ENOENT", 13: "EACCES", 17: "EEXIST", 18: "EXDEV", 19: "ENODEV", 22: "EINVAL", 99: "EADDRNOTAVAIL",
		100: "ENETDOWN", 101: "ENETUNREACH", 113: "EHOSTUNREACH",
	})
}

// TestStrings checks how values name themselves in messages.
func TestStrings(t *testing.T) {
	rule := rpdb.Rule{Family: rpdb.IPv4, Priority: 100}
	route := rpdb.Route{Family: rpdb.IPv6, Table: 1001, Dst: prefix("::/0")}
	for want, v := range map[string]fmt.Stringer{
		"IPv4":                                   rpdb.IPv4,
		"IPv6":                                   rpdb.IPv6,
		"family 0":                               rpdb.Family(0),
		"lookup 254":                             rpdb.ToTable(rpdb.TableMain),
		"goto 32766":                             rpdb.Goto(rpdb.PriorityMain),
		"nop":                                    rpdb.Nop(),
		"blackhole":                              rpdb.Blackhole(),
		"unreachable":                            rpdb.Unreachable(),
		"prohibit":                               rpdb.Prohibit(),
		"unspec":                                 rpdb.Action{},
		"77":                                     rpdb.RawAction(77, 5, 0),
		"rule 100 (IPv4)":                        rule,
		"route default table 1001 (IPv6)":        route,
		"throw":                                  rpdb.RouteThrow,
		"link":                                   rpdb.ScopeLink,
		"high":                                   rpdb.PreferenceHigh,
		"connect":                                rpdb.Connect,
		"martian":                                rpdb.Martian,
		"ENETUNREACH":                            rpdb.ENETUNREACH,
		"3/13":                                   rpdb.ICMPError{Type: 3, Code: 13},
		"":                                       rpdb.ICMPError{},
		"add":                                    rpdb.Add,
		"add rule 100 (IPv4)":                    rpdb.RuleChange(rpdb.Add, rule),
		"delete route default table 1001 (IPv6)": rpdb.RouteChange(rpdb.Delete, route),
		"none nothing":                           rpdb.Change{},
	} {
		if got := v.String(); got != want {
			t.Errorf("%T: %q, want %q", v, got, want)
		}
	}
	route.Dst = prefix("2001:db8::/32")
	if got, want := route.String(), "route 2001:db8::/32 table 1001 (IPv6)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFamily(t *testing.T) {
	for _, c := range []struct {
		family  rpdb.Family
		bits    int
		any     string
		flag    string
		members []string
	}{
		{rpdb.IPv4, 32, "0.0.0.0/0", "-4", []string{"0.0.0.0", "192.0.2.1", "255.255.255.255"}},
		{rpdb.IPv6, 128, "::/0", "-6", []string{"::", "2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.1"}},
	} {
		if got := c.family.Bits(); got != c.bits {
			t.Errorf("%v has %d bits, want %d", c.family, got, c.bits)
		}
		if got := c.family.Default(); got != prefix(c.any) || c.family.Unspecified() != got.Addr() {
			t.Errorf("%v: default %v, unspecified %v", c.family, got, c.family.Unspecified())
		}
		if got := c.family.Flag(); got != c.flag {
			t.Errorf("%v: flag %q, want %q", c.family, got, c.flag)
		}
		for _, m := range c.members {
			if got := rpdb.FamilyOf(addr(m)); got != c.family {
				t.Errorf("%s is %v, want %v", m, got, c.family)
			}
		}
	}
	var none rpdb.Family
	if none.Bits() != 0 || none.Unspecified().IsValid() || none.Default().IsValid() || none.Flag() != "" || rpdb.FamilyOf(netip.Addr{}) != none {
		t.Error("no family has addresses")
	}
	if got := rpdb.Families(); got != [2]rpdb.Family{rpdb.IPv4, rpdb.IPv6} {
		t.Errorf("families %v", got)
	}
}

func TestOpt(t *testing.T) {
	var none rpdb.Opt[uint32]
	if v, ok := none.Get(); ok || v != 0 || none.IsSet() {
		t.Error("the zero Opt is present")
	}
	zero := rpdb.Some[uint32](0)
	if v, ok := zero.Get(); !ok || v != 0 || !zero.IsSet() {
		t.Error("zero is not present")
	}
	if none == zero || zero != rpdb.Some[uint32](0) || zero == rpdb.Some[uint32](1) {
		t.Error("== does not tell absent, 0 and 1 apart")
	}
	for in, want := range map[string]rpdb.Opt[uint32]{"null": none, "0": zero, "7": rpdb.Some[uint32](7)} {
		got := rpdb.Some[uint32](99) // what was there must not show through
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("%s is read as %v, %v", in, got, err)
		}
		if out, err := json.Marshal(want); err != nil || string(out) != in {
			t.Errorf("%v is written %s, %v, want %s", want, out, err, in)
		}
	}
	broken := rpdb.Some[uint32](99)
	if err := json.Unmarshal([]byte(`"7"`), &broken); err == nil || broken.IsSet() {
		t.Errorf("a string is read as %v, %v", broken, err)
	}
}

func TestRaw(t *testing.T) {
	for raw, want := range map[rpdb.Raw]string{"": "", "\x00": "AA==", "\xff\xfe\xfd": "//79"} {
		text, err := raw.MarshalText()
		if err != nil || string(text) != want {
			t.Errorf("%q is written %q, %v", string(raw), text, err)
		}
		var back rpdb.Raw
		if err := back.UnmarshalText(text); err != nil || back != raw {
			t.Errorf("%q is read as %q, %v", text, string(back), err)
		}
	}
	kept := rpdb.Raw("kept")
	if err := kept.UnmarshalText([]byte("not base64")); err == nil || kept != "kept" {
		t.Errorf("%q, %v", string(kept), err)
	}
}
