package iproute2_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

var testLinks = map[rpdb.LinkName]rpdb.LinkIndex{"lo": 1, "v0": 2, "w0": 3, "e;x": 4, "\x1b[0m": 5}

func linkIndex(n rpdb.LinkName) (rpdb.LinkIndex, bool) { i, ok := testLinks[n]; return i, ok }

func linkName(i rpdb.LinkIndex) rpdb.LinkName {
	for n, j := range testLinks {
		if i == j {
			return n
		}
	}
	return ""
}

func context() iproute2.RouteContext {
	return iproute2.RouteContext{Names: shipped(), LinkIndex: linkIndex}
}

func view() iproute2.RouteView { return iproute2.RouteView{Names: shipped(), LinkName: linkName} }

func mustRoute(t *testing.T, f rpdb.Family, line string) rpdb.Route {
	t.Helper()
	r, err := iproute2.ParseRoute(f, strings.Fields(line), context())
	if err != nil {
		t.Fatalf("ParseRoute(%q): %v", line, err)
	}
	return r
}

// What is added and what ip listed for it; $ marks the end of a line.
func TestRouteListing(t *testing.T) {
	for _, tt := range []struct{ added, listed string }{
		{"default via 192.0.2.254 dev v0", "default via 192.0.2.254 dev v0 $"},
		{"0/0 via 192.0.2.254 dev v0 onlink table 100", "default via 192.0.2.254 dev v0 table 100 onlink $"},
		{"203.0.113.0/24 via 192.0.2.2 dev v0 proto static metric 100", "203.0.113.0/24 via 192.0.2.2 dev v0 proto static metric 100 $"},
		{"192.0.2.0/24 dev v0 proto kernel src 192.0.2.1", "192.0.2.0/24 dev v0 proto kernel scope link src 192.0.2.1 $"},
		{
			"198.51.100.0/24 nexthop via 192.0.2.3 dev v0 nexthop via 203.0.113.3 dev w0 weight 2",
			"198.51.100.0/24 \n\tnexthop via 192.0.2.3 dev v0 weight 1 \n\tnexthop via 203.0.113.3 dev w0 weight 2 $",
		},
		{
			"198.51.100.0/24 via 192.0.2.3 dev v0 quickack 1 rto_min 200 initcwnd 20 hoplimit 10 mtu lock 1400",
			"198.51.100.0/24 via 192.0.2.3 dev v0 mtu lock 1400 hoplimit 10 initcwnd 20 rto_min lock 200ms quickack 1 $",
		},
		{
			"198.51.100.0/24 via 192.0.2.3 dev v0 rtt 80ms rttvar 2s features ecn congctl lock cubic",
			"198.51.100.0/24 via 192.0.2.3 dev v0 rtt 80ms rttvar 2s features ecn congctl lock cubic $",
		},
		{"198.51.100.4 via 192.0.2.3 dev v0 realms 1/2", "198.51.100.4 via 192.0.2.3 dev v0 realms 1/2 $"},
		{"198.51.100.0/24 via 192.0.2.3 dev v0 realms 5", "198.51.100.0/24 via 192.0.2.3 dev v0 realm 5 $"},
		{"198.51.100.0/24 via inet6 fe80::1 dev v0", "198.51.100.0/24 via inet6 fe80::1 dev v0 $"},
		{"198.51.100.0/24 nhid 10", "198.51.100.0/24 nhid 10 $"},
		{"blackhole 203.0.113.0/24", "blackhole 203.0.113.0/24 $"},
		{"unreachable 203.0.113.0/24 metric 5 tos 0x10", "unreachable 203.0.113.0/24 tos 0x10 metric 5 $"},
		{"local 203.0.113.7 dev lo", "local 203.0.113.7 dev lo table local scope host $"},
		{"broadcast 203.0.113.255 dev v0 table 300", "broadcast 203.0.113.255 dev v0 table vpn scope link $"},
		{
			"2001:db8:81::/48 via fe80::5 dev v0 metric 1024 expires 499 pref high",
			"2001:db8:81::/48 via fe80::5 dev v0 metric 1024 expires 499sec pref high$",
		},
		{"2001:db8:81::/48 from 2001:db8::/64 via fe80::5 dev v0 metric 7", "2001:db8:81::/48 from 2001:db8::/64 via fe80::5 dev v0 metric 7 pref medium$"},
		{"unreachable 2001:db8::/32 dev lo metric 9999", "unreachable 2001:db8::/32 dev lo metric 9999 pref medium$"},
		{
			"2001:db8:9::/48 nexthop via fe80::5 dev v0 nexthop via fe80::6 dev w0",
			"2001:db8:9::/48 metric 0 pref medium\n\tnexthop via fe80::5 dev v0 weight 1 \n\tnexthop via fe80::6 dev w0 weight 1 $",
		},
	} {
		if got := iproute2.Route(mustRoute(t, 0, tt.added), view()) + "$"; got != tt.listed {
			t.Errorf("%s\n got %q\nwant %q", tt.added, got, tt.listed)
		}
	}
}

func TestRouteViews(t *testing.T) {
	r := mustRoute(t, 0, "default via 192.0.2.254 dev v0")
	r.Nexthops[0].Flags = rpdb.NexthopDead | rpdb.NexthopLinkdown
	r.Flags = 0x4000
	v := view()
	if got, want := iproute2.Route(r, v), "default via 192.0.2.254 dev v0 dead linkdown rt_offload "; got != want {
		t.Errorf("flags: %q, want %q", got, want)
	}
	r.Nexthops[0].Flags, r.Flags = 0, 0
	v.Details = true
	if got, want := iproute2.Route(r, v), "unicast default via 192.0.2.254 dev v0 table main proto boot scope global "; got != want {
		t.Errorf("details: %q, want %q", got, want)
	}
	v.Hide = iproute2.ColumnTable
	if got, want := iproute2.Route(r, v), "unicast default via 192.0.2.254 dev v0 proto boot scope global "; got != want {
		t.Errorf("details of one table: %q, want %q", got, want)
	}
	everything := mustRoute(t, 0, "192.0.2.0/24 via 192.0.2.254 dev v0 table 100 proto static scope link src 192.0.2.1 metric 5 tos 0x10 realms 4")
	v.Hide = iproute2.ColumnProtocol | iproute2.ColumnScope | iproute2.ColumnTOS | iproute2.ColumnVia | iproute2.ColumnDev
	if got, want := iproute2.Route(everything, v), "unicast 192.0.2.0/24 table 100 src 192.0.2.1 metric 5 realm 4 "; got != want {
		t.Errorf("hidden columns: %q, want %q", got, want)
	}
	v.Hide = iproute2.ColumnSrc | iproute2.ColumnMetric | iproute2.ColumnRealms
	if got, want := iproute2.Route(everything, v), "unicast 192.0.2.0/24 tos 0x10 via 192.0.2.254 dev v0 table 100 proto static scope link "; got != want {
		t.Errorf("other hidden columns: %q, want %q", got, want)
	}
	n := mustRoute(t, 0, "blackhole 203.0.113.0/24 table 300 proto 82")
	if got, want := iproute2.Route(n, iproute2.RouteView{Numeric: true}), "6 203.0.113.0/24 table 300 proto 82 "; got != want {
		t.Errorf("numeric: %q, want %q", got, want)
	}
	if got, want := iproute2.Route(r, iproute2.RouteView{}), "default via 192.0.2.254 dev if2 "; got != want {
		t.Errorf("no link names: %q, want %q", got, want)
	}
	m := mustRoute(t, 0, "198.51.100.0/24 nexthop dev v0 nexthop dev w0 onlink")
	if got, want := iproute2.Route(m, iproute2.RouteView{OneLine: true, LinkName: linkName}),
		`198.51.100.0/24 `+`\`+"\tnexthop dev v0 weight 1 "+`\`+"\tnexthop dev w0 weight 1 onlink "; got != want {
		t.Errorf("one line: %q, want %q", got, want)
	}
}

func TestRouteCommand(t *testing.T) {
	r := mustRoute(t, 0, "default via 192.0.2.254 dev v0 table 1001 proto 82")
	for op, want := range map[rpdb.ChangeOp]string{
		rpdb.Add:     "ip -4 route add default via 192.0.2.254 dev v0 table 1001 proto rpdb",
		rpdb.Replace: "ip -4 route replace default via 192.0.2.254 dev v0 table 1001 proto rpdb",
		rpdb.Delete:  "ip -4 route del default via 192.0.2.254 dev v0 table 1001 proto rpdb",
	} {
		if got := iproute2.Change(rpdb.RouteChange(op, r), view()); got != want {
			t.Errorf("%v: %q, want %q", op, got, want)
		}
	}
	rule := rpdb.Rule{Family: rpdb.IPv6, Priority: 9, Action: rpdb.Prohibit()}
	if got, want := iproute2.Change(rpdb.RuleChange(rpdb.Add, rule), view()), "ip -6 rule add pref 9 prohibit"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := iproute2.Change(rpdb.Change{}, view()); !strings.HasPrefix(got, "#") {
		t.Errorf("a change of nothing is %q, want a comment", got)
	}
	r.Nexthops[0].Link = 4
	if got, want := iproute2.RouteCommand(rpdb.Add, r, view()), "dev 'e;x' "; !strings.Contains(got, want) {
		t.Errorf("%q does not hold %q", got, want)
	}
}

func TestRouteDefaults(t *testing.T) {
	for typed, want := range map[string]rpdb.Route{
		"192.0.2.0/24 dev v0":               {Table: 254, Type: 1, Scope: 253, Protocol: 3},
		"192.0.2.0/24 via 192.0.2.1 dev v0": {Table: 254, Type: 1, Scope: 0, Protocol: 3},
		"192.0.2.0/24 nhid 4":               {Table: 254, Type: 1, Scope: 0, Protocol: 3},
		"local 192.0.2.1 dev v0":            {Table: 255, Type: 2, Scope: 254, Protocol: 3},
		"local 192.0.2.1 dev v0 table 7":    {Table: 7, Type: 2, Scope: 254, Protocol: 3},
		"broadcast 192.0.2.1 dev v0":        {Table: 255, Type: 3, Scope: 253, Protocol: 3},
		"prohibit 192.0.2.1":                {Table: 254, Type: 8, Scope: 0, Protocol: 3},
		"2001:db8::/32 dev v0":              {Table: 254, Type: 1, Scope: 0, Protocol: 3},
		"192.0.2.0/24 dev v0 table 0":       {Table: 254, Type: 1, Scope: 253, Protocol: 3},
	} {
		r := mustRoute(t, 0, typed)
		if r.Table != want.Table || r.Type != want.Type || r.Scope != want.Scope || r.Protocol != want.Protocol {
			t.Errorf("%s: table %d type %v scope %v proto %d", typed, r.Table, r.Type, r.Scope, r.Protocol)
		}
	}
	r, err := iproute2.ParseRouteDelete(0, []string{"default"}, context())
	if err != nil || r.Type != 0 || r.Protocol != 0 || r.Scope != rpdb.ScopeNowhere || r.Dst != rpdb.IPv4.Default() || r.Table != 254 {
		t.Errorf("delete default: %+v, %v", r, err)
	}
}

func TestRouteAbbreviations(t *testing.T) {
	for short, long := range map[string]string{
		"default dev v0 m 5":               "0.0.0.0/0 dev v0 metric 5",
		"to default dev v0 preference 5":   "all oif v0 priority 5",
		"any 192.0.2.1 dev v0":             "anycast 192.0.2.1 dev v0", // not the prefix "any"
		"bl 192.0.2.0/24 ta 9 pro 4":       "blackhole 192.0.2.0/24 table 9 protocol static",
		"10/8 dev v0":                      "10.0.0.0/8 dev v0",
		"2001:db8::/32 dev v0 pref low":    "2001:db8::/32 dev v0 pref 3",
		"192.0.2.0/24 dev v0 rtt 10ms":     "192.0.2.0/24 dev v0 rtt 80",
		"192.0.2.0/24 dev v0 rttvar 2s":    "192.0.2.0/24 dev v0 rttvar 8000",
		"192.0.2.0/24 dev v0 d 10":         "192.0.2.0/24 dev v0 tos 0x10",
		"192.0.2.0/24 dev v0 mtu 9 mtu 10": "192.0.2.0/24 dev v0 mtu 10",
	} {
		got, want := mustRoute(t, 0, short), mustRoute(t, 0, long)
		if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
			t.Errorf("%q = %s\nwant %s", short, a, b)
		}
	}
}

func TestRouteErrors(t *testing.T) {
	for _, tt := range []struct{ typed, text string }{
		{"", "a destination is missing"},
		{"dev v0", "a destination is missing"},
		{"default via", "command line is not complete"},
		{"default dev nosuch", `cannot find device "nosuch"`},
		{"default via x", `any valid address is expected rather than "x"`},
		{"192.0.2.0/24 via 2001:db8::1", `inet address is expected rather than "2001:db8::1"`},
		{"192.0.2.0/40", `any valid prefix is expected rather than "192.0.2.0/40"`},
		{"default table nosuch", `argument "nosuch" is wrong: "table" value is invalid`},
		{"default proto nosuch", `argument "nosuch" is wrong: "protocol" value is invalid`},
		{"default metric x", `argument "x" is wrong: "metric" value is invalid`},
		{"default scope x", `argument "x" is wrong: invalid "scope" value`},
		{"default via 192.0.2.1 via 192.0.2.2", `argument "via" is wrong: use nexthop syntax to specify multiple via`},
		{"default 192.0.2.1", `either "to" is duplicate, or "192.0.2.1" is garbage`},
		{"default nexthop via 192.0.2.1 weight 0", `argument "0" is wrong: "weight" is invalid`},
		{"default nexthop via 192.0.2.1 weight 257", `argument "257" is wrong: "weight" is invalid`},
		{"default nexthop via 192.0.2.1 foo", `"nexthop" or end of line is expected instead of "foo"`},
		{"default dev v0 mtu x", `argument "x" is wrong: "mtu" value is invalid`},
		{"default dev v0 features x", `argument "x" is wrong: "features" value not valid`},
		{"default dev v0 rtt 5m", `argument "5m" is wrong: "rtt" value is invalid`},
		{"default dev v0 features", "command line is not complete"},
		{"default dev v0 pref x", `argument "x" is wrong: "pref" value is invalid`},
	} {
		_, err := iproute2.ParseRoute(0, strings.Fields(tt.typed), context())
		var pe *iproute2.ParseError
		if !errors.As(err, &pe) || pe.Error() != tt.text {
			t.Errorf("%q: %v\nwant %s", tt.typed, err, tt.text)
		}
	}
}

// Scopes have names of their own files, in all three directions.
func TestScopeNames(t *testing.T) {
	n := rpdb.Names{Scopes: map[rpdb.Scope]string{77: "town", 253: "near", 5: "host"}}
	c, v := context(), view()
	c.Names, v.Names = n, n
	for typed, want := range map[string]struct {
		scope   rpdb.Scope
		listed  string
		written string
	}{
		"default dev v0 scope town":    {77, "default dev v0 scope town ", "scope town"},
		"default dev v0 scope 0x4d":    {77, "default dev v0 scope town ", "scope town"},
		"default dev v0 scope near":    {253, "default dev v0 scope near ", "dev v0"},
		"default dev v0 scope link":    {253, "default dev v0 scope near ", "dev v0"},
		"default dev v0 scope host":    {5, "default dev v0 scope host ", "scope host"},
		"default dev v0 scope 254":     {254, "default dev v0 scope host ", "scope 254"},
		"default dev v0 scope site":    {200, "default dev v0 scope site ", "scope site"},
		"default dev v0 scope nowhere": {255, "default dev v0 scope nowhere ", "scope nowhere"},
	} {
		r, err := iproute2.ParseRoute(0, strings.Fields(typed), c)
		if err != nil || r.Scope != want.scope {
			t.Errorf("%s: scope %d, %v", typed, r.Scope, err)
		}
		if got := iproute2.Route(r, v); got != want.listed {
			t.Errorf("%s: listed %q, want %q", typed, got, want.listed)
		}
		if got := iproute2.RouteCommand(rpdb.Add, r, v); !strings.HasSuffix(got, want.written) {
			t.Errorf("%s: written %s, want %s", typed, got, want.written)
		}
	}
}

// A process of ip knows five scopes without reading its file, which may call
// them otherwise.
func TestScopeNamesBeforeTheFile(t *testing.T) {
	v := view()
	v.Names, v.State = rpdb.Names{Scopes: map[rpdb.Scope]string{77: "town", 253: "near"}}, new(iproute2.NameState)
	near, town := mustRoute(t, 0, "default dev v0"), mustRoute(t, 0, "default dev v0 scope 77")
	got := iproute2.Route(near, v) + iproute2.Route(town, v) + iproute2.Route(near, v)
	if want := "default dev v0 scope link default dev v0 scope town default dev v0 scope near "; got != want {
		t.Errorf("listed %q, want %q", got, want)
	}
}
