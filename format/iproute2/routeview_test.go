package iproute2_test

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

// routeJSON is an entry as "ip -j route" writes it, without the brackets of
// the array.
func routeJSON(v iproute2.RouteView, e iproute2.RouteEntry) string {
	return object(func(w *ipjson.Writer) { v.EntryFields(e, w) })
}

func object(fields func(*ipjson.Writer)) string {
	var b bytes.Buffer
	w := ipjson.NewWriter(&b, false)
	w.Begin()
	fields(w)
	w.End()
	if err := w.Close(); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), "["), "]\n")
}

// rawView shows names as ip does.
func rawView() iproute2.RouteView {
	v := view()
	v.Raw = true
	return v
}

// entry is a route in the words of "ip route add".
func entry(t *testing.T, line string) iproute2.RouteEntry {
	t.Helper()
	return iproute2.RouteEntry{Route: mustRoute(t, 0, line)}
}

// What was added, and how ip listed it, for people and for programs.
func TestRouteLines(t *testing.T) {
	for _, c := range []struct{ added, text, json string }{
		{
			"default via 10.0.0.254 dev v0", "default via 10.0.0.254 dev v0 ",
			`{"dst":"default","gateway":"10.0.0.254","dev":"v0","flags":[]}`,
		},
		{
			"192.168.0.0/16 via 10.0.0.2 dev v0 proto static metric 100",
			"192.168.0.0/16 via 10.0.0.2 dev v0 proto static metric 100 ",
			`{"dst":"192.168.0.0/16","gateway":"10.0.0.2","dev":"v0","protocol":"static","metric":100,"flags":[]}`,
		},
		{
			"10.0.0.0/24 dev v0 proto kernel src 10.0.0.1", "10.0.0.0/24 dev v0 proto kernel scope link src 10.0.0.1 ",
			`{"dst":"10.0.0.0/24","dev":"v0","protocol":"kernel","scope":"link","prefsrc":"10.0.0.1","flags":[]}`,
		},
		{
			"198.51.100.0/24 nexthop via 10.0.0.3 dev v0 nexthop via 10.0.1.3 dev w0 weight 2 onlink",
			"198.51.100.0/24 \n\tnexthop via 10.0.0.3 dev v0 weight 1 \n\tnexthop via 10.0.1.3 dev w0 weight 2 onlink ",
			`{"dst":"198.51.100.0/24","flags":[],"nexthops":[{"gateway":"10.0.0.3","dev":"v0","weight":1,"flags":[]},` +
				`{"gateway":"10.0.1.3","dev":"w0","weight":2,"flags":["onlink"]}]}`,
		},
		{
			"198.51.102.0/24 via 10.0.0.3 dev v0 mtu lock 1400 hoplimit 10 initcwnd 20 rto_min 200 quickack 1 congctl cubic features ecn rtt 2s rttvar 1500ms",
			"198.51.102.0/24 via 10.0.0.3 dev v0 mtu lock 1400 rtt 2s rttvar 1.5s hoplimit 10 initcwnd 20 features ecn rto_min lock 200ms quickack 1 congctl cubic ",
			`{"dst":"198.51.102.0/24","gateway":"10.0.0.3","dev":"v0","flags":[],"metrics":[{"mtu":1400,"rtt":2000,"rttvar":1500,"hoplimit":10,` +
				`"initcwnd":20,"ecn":null,"rto_min":200,"quickack":1,"congestion":"cubic"}]}`,
		},
		{
			"198.51.104.0/24 via 10.0.0.3 dev v0 realms 1/2", "198.51.104.0/24 via 10.0.0.3 dev v0 realms 1/2 ",
			`{"dst":"198.51.104.0/24","gateway":"10.0.0.3","dev":"v0","flags":[],"flow":{"from":"1","to":"2"}}`,
		},
		{
			"198.51.104.0/24 via 10.0.0.3 dev v0 realms 5", "198.51.104.0/24 via 10.0.0.3 dev v0 realm 5 ",
			`{"dst":"198.51.104.0/24","gateway":"10.0.0.3","dev":"v0","flags":[],"flow":{"to":"5"}}`,
		},
		{
			"198.51.105.0/24 via inet6 fe80::1 dev v0", "198.51.105.0/24 via inet6 fe80::1 dev v0 ",
			`{"dst":"198.51.105.0/24","via":{"family":"inet6","host":"fe80::1"},"dev":"v0","flags":[]}`,
		},
		{"blackhole 203.0.113.0/24", "blackhole 203.0.113.0/24 ", `{"type":"blackhole","dst":"203.0.113.0/24","flags":[]}`},
		{
			"unreachable 203.0.114.0/24 metric 5", "unreachable 203.0.114.0/24 metric 5 ",
			`{"type":"unreachable","dst":"203.0.114.0/24","metric":5,"flags":[]}`,
		},
		{
			"default via 10.0.1.254 dev w0 table 100 onlink", "default via 10.0.1.254 dev w0 table 100 onlink ",
			`{"dst":"default","gateway":"10.0.1.254","dev":"w0","table":"100","flags":["onlink"]}`,
		},
		{
			"198.51.122.0/24 via 10.0.0.3 dev v0 tos 0x10 table 100", "198.51.122.0/24 tos 0x10 via 10.0.0.3 dev v0 table 100 ",
			`{"dst":"198.51.122.0/24","tos":"0x10","gateway":"10.0.0.3","dev":"v0","table":"100","flags":[]}`,
		},
		{
			"2001:db8:81::/48 via fe80::5 dev v0 metric 1024 expires 499 pref high",
			"2001:db8:81::/48 via fe80::5 dev v0 metric 1024 expires 499sec pref high",
			`{"dst":"2001:db8:81::/48","gateway":"fe80::5","dev":"v0","metric":1024,"flags":[],"expires":499,"pref":"high"}`,
		},
		{
			"unreachable default dev lo metric 9999 pref medium from 2001:db8::/64",
			"unreachable default from 2001:db8::/64 dev lo metric 9999 pref medium",
			`{"type":"unreachable","dst":"default","from":"2001:db8::/64","dev":"lo","metric":9999,"flags":[],"pref":"medium"}`,
		},
		{
			"local 2001:db8::1 dev v0 proto kernel", "local 2001:db8::1 dev v0 table local proto kernel metric 0 pref medium",
			`{"type":"local","dst":"2001:db8::1","dev":"v0","table":"local","protocol":"kernel","metric":0,"flags":[],"pref":"medium"}`,
		},
	} {
		e := entry(t, c.added)
		if got := rawView().Entry(e); got != c.text {
			t.Errorf("%s\n got %q\nwant %q", c.added, got, c.text)
		}
		if got := routeJSON(rawView(), e); got != c.json {
			t.Errorf("%s\n got %s\nwant %s", c.added, got, c.json)
		}
	}
}

// gotten is the answer to a question, as the kernel tells it.
func gotten(t *testing.T, line string, d rpdb.RouteDetails) iproute2.RouteEntry {
	e := entry(t, line)
	e.Protocol, e.Scope = 0, 0
	d.Flags |= 0x200
	e.RouteDetails = d
	return e
}

// The answers that "ip route get" prints, with options.
func TestRouteAnswers(t *testing.T) {
	root := rpdb.Some[uint32](0)
	onward := "203.0.113.8 via 10.0.0.254 dev v0 src 10.0.0.1"
	used := rpdb.Some(rpdb.RouteCache{Users: 1, Age: 250, Used: 7, Expires: 59900, Error: -101})
	for _, c := range []struct {
		entry      iproute2.RouteEntry
		view       func(*iproute2.RouteView)
		text, json string
	}{
		{
			gotten(t, onward, rpdb.RouteDetails{UID: root, Cache: rpdb.Some(rpdb.RouteCache{Users: 3})}), nil,
			"203.0.113.8 via 10.0.0.254 dev v0 src 10.0.0.1 uid 0 \n    cache ",
			`{"dst":"203.0.113.8","gateway":"10.0.0.254","dev":"v0","prefsrc":"10.0.0.1","flags":[],"uid":0,"cache":[]}`,
		},
		{
			gotten(t, "203.0.113.8 via 10.0.1.254 dev w0 table 100 src 10.0.1.1", rpdb.RouteDetails{UID: root, Mark: 1}), nil,
			"203.0.113.8 via 10.0.1.254 dev w0 table 100 src 10.0.1.1 mark 1 uid 0 \n    cache ",
			`{"dst":"203.0.113.8","gateway":"10.0.1.254","dev":"w0","table":"100","prefsrc":"10.0.1.1","flags":[],"mark":1,"uid":0,"cache":[]}`,
		},
		{
			gotten(t, onward, rpdb.RouteDetails{Mark: 100}), func(v *iproute2.RouteView) { v.OneLine = true },
			`203.0.113.8 via 10.0.0.254 dev v0 src 10.0.0.1 mark 0x64 \    cache `,
			`{"dst":"203.0.113.8","gateway":"10.0.0.254","dev":"v0","prefsrc":"10.0.0.1","flags":[],"mark":100,"cache":[]}`,
		},
		{
			gotten(t, "203.0.113.8 from 10.0.1.55 via 10.0.0.254 dev v0", rpdb.RouteDetails{IIF: 3}), nil,
			"203.0.113.8 from 10.0.1.55 via 10.0.0.254 dev v0 \n    cache iif w0 ",
			`{"dst":"203.0.113.8","from":"10.0.1.55","gateway":"10.0.0.254","dev":"v0","flags":[],"cache":[],"iif":"w0"}`,
		},
		{
			gotten(t, "local 10.0.0.1 dev lo src 10.0.0.1", rpdb.RouteDetails{Flags: 0x80000000, UID: root}), nil,
			"local 10.0.0.1 dev lo table local src 10.0.0.1 uid 0 \n    cache <local> ",
			`{"type":"local","dst":"10.0.0.1","dev":"lo","table":"local","prefsrc":"10.0.0.1","flags":[],"uid":0,"cache":["local"]}`,
		},
		{
			gotten(t, "broadcast 10.0.0.255 dev v0 src 10.0.0.1", rpdb.RouteDetails{Flags: 0x90000000}), nil,
			"broadcast 10.0.0.255 dev v0 table local src 10.0.0.1 \n    cache <local,brd> ",
			`{"type":"broadcast","dst":"10.0.0.255","dev":"v0","table":"local","prefsrc":"10.0.0.1","flags":[],"cache":["local","brd"]}`,
		},
		{ // a bit of the cache that is a flag of routes as well
			gotten(t, "multicast 224.0.0.5 dev v0 table main", rpdb.RouteDetails{Flags: 0x20000000}), nil,
			"multicast 224.0.0.5 dev v0 rt_offload_failed \n    cache <mc> ",
			`{"type":"multicast","dst":"224.0.0.5","dev":"v0","flags":["rt_offload_failed"],"cache":["mc"]}`,
		},
		{ // a bit that nobody knows
			gotten(t, onward, rpdb.RouteDetails{Flags: 0x82000000}), nil,
			"203.0.113.8 via 10.0.0.254 dev v0 src 10.0.0.1 \n    cache <local,2000000>",
			`{"dst":"203.0.113.8","gateway":"10.0.0.254","dev":"v0","prefsrc":"10.0.0.1","flags":[],"cache":["local","2000000"]}`,
		},
		{
			gotten(t, onward, rpdb.RouteDetails{Cache: used}), nil,
			"203.0.113.8 via 10.0.0.254 dev v0 src 10.0.0.1 \n    cache expires 599sec error 4294967195 ",
			`{"dst":"203.0.113.8","gateway":"10.0.0.254","dev":"v0","prefsrc":"10.0.0.1","flags":[],"cache":[],"expires":599,"error":4294967195}`,
		},
		{
			gotten(t, onward, rpdb.RouteDetails{Cache: used}), func(v *iproute2.RouteView) { v.Stats, v.Details = true, true },
			"unicast 203.0.113.8 via 10.0.0.254 dev v0 table main src 10.0.0.1 \n    cache expires 599sec error 4294967195 users 1 used 7 age 2sec ",
			`{"type":"unicast","dst":"203.0.113.8","gateway":"10.0.0.254","dev":"v0","table":"main","prefsrc":"10.0.0.1","flags":[],` +
				`"cache":[],"expires":599,"error":4294967195,"users":1,"used":7,"age":2}`,
		},
		{
			gotten(t, onward, rpdb.RouteDetails{Cache: rpdb.Some(rpdb.RouteCache{Expires: -250, ID: 0x1f, TS: 5, TSAge: 6})}), nil,
			"203.0.113.8 via 10.0.0.254 dev v0 src 10.0.0.1 \n    cache expires -2sec ipid 0x001f ts 0x5tsage 6sec ",
			`{"dst":"203.0.113.8","gateway":"10.0.0.254","dev":"v0","prefsrc":"10.0.0.1","flags":[],"cache":[],"expires":-2,"ipid":"0x1f","ts":"0x5","tsage":6}`,
		},
		{
			gotten(t, "multicast 224.1.2.3 table main nexthop dev v0 weight 2 nexthop dev w0 weight 9", rpdb.RouteDetails{}), nil,
			"multicast 224.1.2.3 \n    cache Oifs: v0  w0(ttl>8) ",
			`{"type":"multicast","dst":"224.1.2.3","flags":[],"cache":[],"nexthops":[{"dev":"v0","flags":[]},{"dev":"w0","ttl":8,"flags":[]}]}`,
		},
	} {
		v := rawView()
		if c.view != nil {
			c.view(&v)
		}
		if got := v.Entry(c.entry); got != c.text {
			t.Errorf("got %q\nwant %q", got, c.text)
		}
		if got := routeJSON(v, c.entry); got != c.json {
			t.Errorf("got %s\nwant %s", got, c.json)
		}
	}
}

// IPv6 answers are no clones, and say where the question came from.
func TestRouteAnswerIPv6(t *testing.T) {
	e := entry(t, "2001:db8::5 from ::/128 dev v0 proto kernel src 2001:db8::1 metric 256")
	e.Cache = rpdb.Some(rpdb.RouteCache{Users: 2, Used: 4, Age: 1000})
	v := rawView()
	if got, want := v.Entry(e), "2001:db8::5 from :: dev v0 proto kernel src 2001:db8::1 metric 256 pref medium"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	v.Stats = true
	if got, want := v.Entry(e), "2001:db8::5 from :: dev v0 proto kernel src 2001:db8::1 metric 256 users 2 used 4 age 10sec pref medium"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What no kernel sends today, and ip would print.
func TestRouteOddities(t *testing.T) {
	for _, c := range []struct {
		change func(*iproute2.RouteEntry)
		text   string
	}{
		{func(e *iproute2.RouteEntry) { e.Deleted = true }, "Deleted 192.0.2.0/24 dev lo "},
		{func(e *iproute2.RouteEntry) { e.Type = 0 }, "none 192.0.2.0/24 dev lo "},
		{func(e *iproute2.RouteEntry) { e.Type = 12 }, "12 192.0.2.0/24 dev lo "},
		{func(e *iproute2.RouteEntry) { e.Protocol, e.Scope = 0, 9 }, "192.0.2.0/24 dev lo proto unspec scope 9 "},
		{func(e *iproute2.RouteEntry) { e.Table = 0 }, "192.0.2.0/24 dev lo "},
		{func(e *iproute2.RouteEntry) { e.Realms = 0x01000005 }, "192.0.2.0/24 dev lo realms 256/5 "},
		{func(e *iproute2.RouteEntry) { e.Nexthops[0].Link = 77 }, "192.0.2.0/24 dev if77 "},
		{func(e *iproute2.RouteEntry) { e.RouteDetails.Flags = 0xdf }, "192.0.2.0/24 dev lo dead onlink pervasive offload trap linkdown "},
		{
			func(e *iproute2.RouteEntry) { e.RouteDetails.Flags = 0x2000c120 },
			"192.0.2.0/24 dev lo notify unresolved rt_offload rt_trap rt_offload_failed ",
		},
		{
			func(e *iproute2.RouteEntry) { e.Unknown = attr(19, "\xc0\x00\x02\x09") + attr(26, "\x01") },
			"192.0.2.0/24 as to 192.0.2.9 dev lo ttl-propogate enabled",
		},
		{func(e *iproute2.RouteEntry) { e.Unknown = attr(26, "\x00") }, "192.0.2.0/24 dev lo ttl-propogate disabled"},
		{
			func(e *iproute2.RouteEntry) {
				e.Metrics = []rpdb.Metric{
					{Type: rpdb.MetricLock, Value: 1<<rpdb.MetricMTU | 1<<rpdb.MetricSSThresh},
					{Type: rpdb.MetricWindow, Value: 4},
					{Type: rpdb.MetricRTT, Value: 8 * 1234567},
					{Type: rpdb.MetricHopLimit, Value: 0xffffffff},
					{Type: rpdb.MetricFeatures, Value: 0x31},
					{Type: 18, Value: 5},
				}
			},
			"192.0.2.0/24 dev lo mtu lock 0 window 4 rtt 1234.57s ssthresh lock 0 features ecn tcp_usec_ts 0x31 metric 18 5 ",
		},
		{func(e *iproute2.RouteEntry) { e.Family, e.Pref = rpdb.IPv6, 2 }, "192.0.2.0/24 dev lo metric 0 2"},
		{func(e *iproute2.RouteEntry) { e.Nexthops = make([]rpdb.Nexthop, 2) }, "192.0.2.0/24 \n\tnexthop dev * weight 1 \n\tnexthop dev * weight 1 "},
	} {
		e := entry(t, "192.0.2.0/24 dev lo scope global")
		c.change(&e)
		if got := rawView().Entry(e); got != c.text {
			t.Errorf("got %q\nwant %q", got, c.text)
		}
	}
}

func TestRouteColors(t *testing.T) {
	v := rawView()
	v.Color = iproute2.DarkBackground
	for added, want := range map[string]string{
		"default via 10.0.1.254 dev w0 table 100 onlink": "default via M10.0.1.254 0dev Cw0 0table 100 onlink ",
		"10.0.0.0/24 dev v0 proto kernel src 10.0.0.1":   "M10.0.0.0/24 0dev Cv0 0proto kernel scope link src M10.0.0.1 0",
		"198.51.105.0/24 via inet6 fe80::1 dev v0":       "M198.51.105.0/24 0via inet6 Bfe80::1 0dev Cv0 0",
		"198.51.100.0/24 nexthop via 10.0.0.3 dev v0 nexthop dev w0": "M198.51.100.0/24 0\n\tnexthop via M10.0.0.3 0dev v0 weight 1 " +
			"\n\tnexthop dev w0 weight 1 ",
		"2001:db8:83::/48 from 2001:db8:5::/64 via fe80::5 dev v0 metric 1": "B2001:db8:83::/48 0Bfrom 2001:db8:5::/64 0via Bfe80::5 0dev Cv0 0metric 1 pref medium",
	} {
		got := strings.NewReplacer("\x1b[1;35m", "M", "\x1b[1;36m", "C", "\x1b[1;94m", "B", "\x1b[0m", "0").Replace(v.Entry(entry(t, added)))
		want = strings.NewReplacer("10.0.", "10.0.").Replace(want)
		if got != want {
			t.Errorf("%s\n got %q\nwant %q", added, got, want)
		}
	}
	v.Color = iproute2.LightBackground
	if got, want := v.Entry(entry(t, "default via 10.0.1.254 dev w0")), "default via \x1b[35m10.0.1.254 \x1b[0mdev \x1b[36mw0 \x1b[0m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Names of hosts stand for addresses, but not for prefixes and our own.
func TestRouteHostNames(t *testing.T) {
	v := rawView()
	v.HostName = func(a netip.Addr) string {
		return map[string]string{"192.0.2.1": "gw.example", "192.0.2.8": "host.example"}[a.String()]
	}
	v.Color = iproute2.LightBackground
	e := entry(t, "192.0.2.8 via 192.0.2.1 dev v0 src 192.0.2.8")
	if got, want := v.Entry(e), "\x1b[35mhost.example \x1b[0mvia \x1b[35mgw.example \x1b[0mdev \x1b[36mv0 \x1b[0msrc \x1b[35m192.0.2.8 \x1b[0m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	v.Color = iproute2.NoColor
	if got, want := v.Entry(entry(t, "192.0.2.8/31 via 192.0.2.9 dev v0")), "192.0.2.8/31 via 192.0.2.9 dev v0 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Our own keys tell programs what ip does not.
func TestRouteExact(t *testing.T) {
	v := rawView()
	v.Family, v.Exact = true, true
	e := entry(t, "192.0.2.0/24 dev v0 mtu lock 1400 rtt 83")
	e.Unknown = attr(99, "abcd")
	if got, want := v.Entry(e), "IPv4 192.0.2.0/24 dev v0 scope link mtu lock 1400 rtt 10ms "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := routeJSON(v, e), `{"family":"inet","dst":"192.0.2.0/24","dev":"v0","scope":"link","flags":[],`+
		`"metrics":[{"mtu":1400,"rtt":10,"lock":4,"rtt_raw":83}],"unknown":"`+base64Of(e.Unknown)+`"}`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// Only a raw view gives a name to the terminal as it is; programs always get
// it as it is.
func TestRouteSafeNames(t *testing.T) {
	e := entry(t, "192.0.2.0/24 via 192.0.2.1")
	e.Nexthops[0].Link = 5
	if got, want := view().Entry(e), `192.0.2.0/24 via 192.0.2.1 dev \x1b[0m `; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := rawView().Entry(e), "192.0.2.0/24 via 192.0.2.1 dev \x1b[0m "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := routeJSON(view(), e), `{"dst":"192.0.2.0/24","gateway":"192.0.2.1","dev":"\u001b[0m","flags":[]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A listing is as long as the internet: no entry costs an allocation.
func TestRouteListingAllocates(t *testing.T) {
	lines := map[string]iproute2.RouteEntry{
		"plain":     entry(t, "192.168.0.0/16 via 10.0.0.2 dev v0 proto static metric 100 table 1000"),
		"multipath": entry(t, "198.51.100.0/24 nexthop via 10.0.0.3 dev v0 nexthop via 10.0.1.3 dev w0 weight 2 onlink"),
		"IPv6":      entry(t, "2001:db8:81::/48 via fe80::5 dev v0 metric 1024 pref high mtu lock 1400 rtt 5s"),
		"answer":    gotten(t, "203.0.113.8 via 10.0.0.254 dev v0 src 10.0.0.1", rpdb.RouteDetails{Mark: 100, Flags: 0x80000000}),
	}
	v := rawView()
	v.LinkName = func(rpdb.LinkIndex) rpdb.LinkName { return "v0" }
	v.State = &iproute2.NameState{}
	l := iproute2.NewRouteLister(v)
	w := ipjson.NewWriter(io.Discard, false)
	var b []byte
	for name, e := range lines {
		text := func() { b = l.AppendText(b[:0], &e) }
		if allocs := testing.AllocsPerRun(50, text); allocs > 0 && name != "answer" || allocs > 1 {
			t.Errorf("text of %s: %v allocations", name, allocs)
		}
		fields := func() {
			w.Begin()
			l.Fields(&e, w)
			w.End()
		}
		if allocs := testing.AllocsPerRun(50, fields); allocs > 0 && name != "answer" || allocs > 1 {
			t.Errorf("fields of %s: %v allocations", name, allocs)
		}
	}
}

// A file may name scopes, also those that have a name; ip asks it only when a
// scope has none.
func TestRouteScopeNames(t *testing.T) {
	v := rawView()
	v.Names.Scopes = map[rpdb.Scope]string{253: "wire", 100: "region"}
	link, region := entry(t, "192.0.2.0/24 dev v0"), entry(t, "192.0.2.0/24 dev v0 scope 100")
	if got, want := v.Entry(link)+v.Entry(region), "192.0.2.0/24 dev v0 scope wire 192.0.2.0/24 dev v0 scope region "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	v.State = &iproute2.NameState{}
	got := v.Entry(link) + v.Entry(region) + v.Entry(link)
	if want := "192.0.2.0/24 dev v0 scope link 192.0.2.0/24 dev v0 scope region 192.0.2.0/24 dev v0 scope wire "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c := context()
	c.Names = v.Names
	for _, word := range []string{"wire", "region", "site", "7"} {
		e, err := c.ParseListing("192.0.2.0/24 dev v0 scope " + word)
		if want := map[string]rpdb.Scope{"wire": 253, "region": 100, "site": 200, "7": 7}[word]; err != nil || e.Scope != want {
			t.Errorf("%s: scope %d, %v, want %d", word, e.Scope, err, want)
		}
	}
}
