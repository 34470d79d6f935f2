package iproute2_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// listable removes what no listing shows and writes out what all readers do.
func listable(r rpdb.Rule) rpdb.Rule {
	r.Selector.SPort, r.Selector.DPort = full(r.Selector.SPort), full(r.Selector.DPort)
	if r.Action.Table() == 0 {
		r.Suppress = rpdb.Suppressor{}
	}
	r.Flags &^= rpdb.RulePermanent | rpdb.RuleFindSaddr
	return r
}

// state gives a rule flags that fit it.
func (g generator) state(r rpdb.Rule) rpdb.Rule {
	if r.Selector.IIF != "" && g.chance() {
		r.Flags |= rpdb.RuleIIFDetached
	}
	if r.Selector.OIF != "" && g.chance() {
		r.Flags |= rpdb.RuleOIFDetached
	}
	if r.Action.Type() == rpdb.ActionGoto && g.chance() {
		r.Flags |= rpdb.RuleUnresolved
	}
	return r
}

// building hands the fields of a listing to a builder.
type building struct{ *iproute2.RuleBuilder }

func (b building) Text(key string, value []byte) { b.String(key, "", string(value)) }

func (b building) Word(key string, word []byte) {
	switch word := string(word); word {
	case "null":
		b.Null(key, "")
	case "true", "false":
		b.Bool(key, "", word == "true")
	default:
		b.Number(key, "", word)
	}
}

func (b building) Open(string, byte) { panic("a rule has no parts") }
func (b building) End()              { panic("a rule has no parts") }

func TestListingRoundTrip(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(5, 6))}
	for range 4000 {
		want := listable(g.state(g.rule()))
		view := iproute2.RuleView{Names: shipped(), Details: true, Raw: true, Family: g.chance()}
		line := view.Rule(want)
		back, err := iproute2.RuleContext{Family: want.Family, Names: shipped()}.ParseListing(line)
		if err != nil || back != want {
			t.Fatalf("%q\n read %+v, %v\n want %+v", line, back, err, want)
		}
		b := iproute2.NewRuleBuilder(want.Family, shipped())
		view.Fields(want, building{b})
		if back, err := b.Rule(); err != nil || back != want {
			t.Fatalf("%q\n built %+v, %v\n want %+v", line, back, err, want)
		}
	}
}

func TestParseListingErrors(t *testing.T) {
	for _, line := range []string{
		"", "5:", "5: from all lookup main", "x:\tfrom all", "5:\tlookup main", "5:\tfrom", "5:\tfrom all from all", "5:\tfrom 192.0.2.0/33 lookup 5",
		"5:\tfrom all lookup nosuch", "5:\tfrom all lookup 0", "5:\tfrom all fwmark 5 lookup 5", "5:\tfrom all [detached] lookup 5",
		"5:\tfrom all nop blackhole", "5:\tfrom all  lookup 5", "5:\tfrom all lookup 5 ", "5:\tfrom 2001:db8::/32 to 192.0.2.1 nop",
		"5:\tfrom all sport 5/0xf nop", "5:\tfrom all sport 5- nop", "5:\tfrom all uidrange 5 nop", "5:\tfrom all ipproto 6 nop",
		"5:\tfrom all suppress_prefixlength 5 nop", "IPv5 5:\tfrom all nop", "5:\tfrom all lookup 5 proto nosuch", "5:\tfrom all goto 7 unresolved",
		"5:\tfrom ::1%lo nop", "5:\tfrom 0/8 nop", "5:\tfrom all dscp AF99 nop", "5:\tfrom all realms 1/ nop", "5:\tfrom all goto [unresolved]",
	} {
		if r, err := (iproute2.RuleContext{}).ParseListing(line); err == nil {
			t.Errorf("%q is read as %+v", line, r)
		}
	}
}

// The JSON of the reference's examples: key, value, and the form of the value.
type sink struct{ strings.Builder }

func (s *sink) Text(key string, value []byte) {
	s.WriteString(`,"` + key + `":"` + string(value) + `"`)
}
func (s *sink) Word(key string, word []byte) { s.WriteString(`,"` + key + `":` + string(word)) }
func (s *sink) Open(string, byte)            { panic("a rule has no parts") }
func (s *sink) End()                         { panic("a rule has no parts") }

func TestFields(t *testing.T) {
	for _, tt := range []struct{ added, fields string }{
		{"from 10.0.0.0/8 table 100", `"src":"10.0.0.0","srclen":8,"table":"100"`},
		{"not from 10.0.0.0/8 table 100", `"not":null,"src":"10.0.0.0","srclen":8,"table":"100"`},
		{"from 10.0.0.0/8 to 192.168.1.1 table 100", `"src":"10.0.0.0","srclen":8,"dst":"192.168.1.1","table":"100"`},
		{"tos 10 table 100", `"src":"all","tos":"0x10","table":"100"`},
		{"dscp 10 table 100", `"src":"all","table":"100","dscp":"AF11","dscp_mask":"0x3f"`},
		{"dscp 8/0x38 table 100", `"src":"all","table":"100","dscp":"CS1","dscp_mask":"0x38"`},
		{"fwmark 0x10/0xff table 100", `"src":"all","fwmark":"0x10","fwmask":"0xff","table":"100"`},
		{"fwmark 0/0xff table 100", `"src":"all","fwmark":"0","fwmask":"0xff","table":"100"`},
		{"fwmark 5 table 100", `"src":"all","fwmark":"0x5","table":"100"`},
		{"l3mdev", `"src":"all","l3mdev":null`},
		{"uidrange 1000-2000 table 100", `"src":"all","uid_start":1000,"uid_end":2000,"table":"100"`},
		{"ipproto udp sport 53 table 100", `"src":"all","ipproto":"udp","sport":53,"sport_mask":"0xffff","table":"100"`},
		{"ipproto 200 table 100", `"src":"all","ipproto":"ipproto-200","table":"100"`},
		{"dport 80/0xfff0 table 100", `"src":"all","dport":80,"dport_mask":"0xfff0","table":"100"`},
		{"sport 1000-2000 table 100", `"src":"all","sport_start":1000,"sport_end":2000,"table":"100"`},
		{"tun_id -1 table 100", `"src":"all","tun_id":18446744073709551615,"table":"100"`},
		{"suppress_prefixlength 0 table main", `"src":"all","table":"main","suppress_prefixlen":0`},
		{"suppress_ifgroup default table main", `"src":"all","table":"main","suppress_ifgroup":"default"`},
		{"realms 1/2 table 100", `"src":"all","table":"100","flow_from":"1","flow_to":"2"`},
		{"from 1.1.1.1 blackhole", `"src":"1.1.1.1","action":"blackhole"`},
		{"from 1.1.1.1 table 100 prohibit", `"src":"1.1.1.1","table":"100","action":"prohibit"`},
		{"from 1.1.1.1 goto 200", `"src":"1.1.1.1","goto":200`},
		{"from 1.1.1.1 nop", `"src":"1.1.1.1","nop":null`},
		{"nat 10.0.0.1", `"src":"all","table":"main","masquerade":null`},
		{"protocol static table 100", `"src":"all","table":"100","protocol":"static"`},
		{"type 0", `"src":"all","action":"none"`},
	} {
		var s sink
		iproute2.RuleView{Names: shipped()}.Fields(mustRule(t, rpdb.IPv4, "pref 100 "+tt.added), &s)
		if got := s.Builder.String(); got != `,"priority":100,`+tt.fields {
			t.Errorf("%s\n got %s\nwant %s", tt.added, got, tt.fields)
		}
	}
	var s sink
	r := mustRule(t, rpdb.IPv6, "pref 100 iif eth8 oif eth9 goto 200 flowlabel 0x12345")
	r.Flags = rpdb.RuleUnresolved | rpdb.RuleIIFDetached | rpdb.RuleOIFDetached
	iproute2.RuleView{Deleted: true, Family: true}.Fields(r, &s)
	want := `,"deleted":true,"family":"inet6","priority":100,"src":"all","iif":"eth8","iif_detached":null,"oif":"eth9","oif_detached":null,` +
		`"goto":200,"unresolved":null,"flowlabel":"0x12345","flowlabel_mask":"0xfffff"`
	if got := s.Builder.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// Only addresses and interface names have colours.
func TestColors(t *testing.T) {
	r4 := mustRule(t, rpdb.IPv4, "pref 5 from 192.0.2.0/24 to 198.51.100.1 iif lo oif eth0 table 100")
	r6 := mustRule(t, rpdb.IPv6, "pref 5 to 2001:db8::/32 table 100")
	for _, tt := range []struct {
		p    iproute2.Palette
		r    rpdb.Rule
		want string
	}{
		{iproute2.DarkBackground, r4, "5:\tfrom <1;35>192.0.2.0<0>/24 to <1;35>198.51.100.1<0> iif <1;36>lo<0> oif <1;36>eth0<0> lookup 100"},
		{iproute2.LightBackground, r4, "5:\tfrom <35>192.0.2.0<0>/24 to <35>198.51.100.1<0> iif <36>lo<0> oif <36>eth0<0> lookup 100"},
		{iproute2.DarkBackground, r6, "5:\tfrom all to <1;94>2001:db8::<0>/32 lookup 100"},
		{iproute2.LightBackground, r6, "5:\tfrom all to <34>2001:db8::<0>/32 lookup 100"},
		{iproute2.NoColor, r6, "5:\tfrom all to 2001:db8::/32 lookup 100"},
	} {
		want := strings.NewReplacer("<", "\x1b[", ">", "m").Replace(tt.want)
		if got := (iproute2.RuleView{Color: tt.p}).Rule(tt.r); got != want {
			t.Errorf("palette %d: got %q, want %q", tt.p, got, want)
		}
	}
}

// Addresses are printed as inet_ntop(3) prints them.
func TestAddresses(t *testing.T) {
	for typed, want := range map[string]string{
		"::1.2.3.4": "::1.2.3.4", "::ffff:1.2.3.4": "::ffff:1.2.3.4", "::1:2": "::0.1.0.2", "::1": "::1", "::2:0:0/96": "::2:0:0/96",
		"1:0:0:2::/64": "1:0:0:2::/64", "2001:db8::/255.255.0.0": "2001:db8::/16", "2001:DB8:0:1:0:0:0:1": "2001:db8:0:1::1",
	} {
		r := mustRule(t, rpdb.IPv6, "pref 5 nop from "+typed)
		if got := iproute2.RuleText(r, rpdb.Names{}); got != "from "+want+" nop" {
			t.Errorf("%s: got %q, want %q", typed, got, want)
		}
	}
}

// The same rule is named differently depending on what ip has read so far.
func TestNameState(t *testing.T) {
	names := rpdb.Names{DSFields: map[uint8]string{0: "default", 0x28: "AF11"}, Realms: map[uint16]string{0: "cosmos"}, Protocols: map[rpdb.Protocol]string{4: "fixed", 200: "mine"}}
	var state iproute2.NameState
	v := iproute2.RuleView{Names: names, State: &state}
	for _, tt := range []struct{ added, want string }{
		{"dscp 0", "from all lookup main dscp 0"},
		{"dscp 10", "from all lookup main dscp AF11"},
		{"dscp 0", "from all lookup main dscp default"},
		{"realms 65536000", "from all lookup main realms 1000/unknown"},
		{"realms 1/0", "from all lookup main realms 1/cosmos"},
		{"realms 65536000", "from all lookup main realms 1000/cosmos"},
		{"protocol 4", "from all lookup main proto static"},
		{"protocol 200", "from all lookup main proto mine"},
		{"protocol 4", "from all lookup main proto fixed"},
	} {
		if got := v.Text(mustRule(t, rpdb.IPv4, tt.added)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.added, got, tt.want)
		}
	}
	v.State = new(iproute2.NameState)
	for _, file := range []string{"rt_dsfield", "rt_realms", "rt_protos", "rt_tables"} {
		v.State.Read(file) // for a name that was typed
	}
	for added, want := range map[string]string{
		"dscp 0": "dscp default", "realms 65536000": "realms 1000/cosmos", "protocol 4": "proto fixed",
	} {
		if got := v.Text(mustRule(t, rpdb.IPv4, added)); got != "from all lookup main "+want {
			t.Errorf("%s: got %q once the files were read", added, got)
		}
	}
	v.State = nil
	if got, want := v.Text(mustRule(t, rpdb.IPv4, "dscp 0")), "from all lookup main dscp default"; got != want {
		t.Errorf("without state: got %q, want %q", got, want)
	}
	v.IPProto = func(p rpdb.IPProto) string { return map[rpdb.IPProto]string{6: "TCP"}[p] }
	if got, want := v.Text(mustRule(t, rpdb.IPv4, "ipproto 6")), "from all ipproto TCP lookup main"; got != want {
		t.Errorf("protocols of a file: got %q, want %q", got, want)
	}
	if got, want := v.Text(mustRule(t, rpdb.IPv4, "ipproto 17")), "from all ipproto ipproto-17 lookup main"; got != want {
		t.Errorf("protocols of a file: got %q, want %q", got, want)
	}
}

// Whatever stands in a line, it is refused or comes back.
func FuzzListing(f *testing.F) {
	f.Add("100:\tnot from 192.0.2.0/24 to 198.51.100.2 fwmark 0x1/0x2 iif lo oif lo uidrange 1-2 ipproto tcp sport 3-4 tun_id 5 lookup 100 proto static dscp 1")
	f.Add("IPv6 5:\tfrom all iif a [detached] lookup [l3mdev-table] realms 1/2 goto 7 [unresolved] flowlabel 0/0xf")
	f.Fuzz(func(t *testing.T, line string) {
		c := iproute2.RuleContext{Names: shipped()}
		r, err := c.ParseListing(line)
		if err != nil {
			return
		}
		again := iproute2.RuleView{Names: shipped(), Raw: true, Details: slices.Contains(strings.Fields(line), "proto")}.Rule(r)
		if back, err := (iproute2.RuleContext{Family: r.Family, Names: shipped()}).ParseListing(again); err != nil || back != r {
			t.Fatalf("%q\n printed %q\n read back %+v, %v\n want %+v", line, again, back, err, r)
		}
	})
}
