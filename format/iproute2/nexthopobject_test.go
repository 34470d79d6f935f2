package iproute2_test

import (
	"net/netip"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/ipjson"
	"rpdb/format/iproute2"
)

func nexthopJSON(v iproute2.RouteView, o rpdb.NexthopObject) string {
	return object(func(w *ipjson.Writer) { v.NexthopFields(o, w) })
}

func single(id uint32, via string, link rpdb.LinkIndex) rpdb.NexthopObject {
	o := rpdb.NexthopObject{ID: id, Scope: rpdb.ScopeLink, Nexthop: rpdb.Nexthop{Link: link}}
	if via != "" {
		o.Nexthop.Via = netip.MustParseAddr(via)
	}
	return o
}

// Nexthop objects as "ip nexthop" lists them, with -d behind the bar.
func TestNexthopLines(t *testing.T) {
	onlink := single(11, "10.0.0.6", 2)
	onlink.Nexthop.Flags = rpdb.NexthopOnlink
	static := single(13, "", 3)
	static.Scope, static.Protocol = rpdb.ScopeHost, rpdb.ProtocolStatic
	fdb := single(22, "10.0.0.7", 0)
	fdb.FDB = true
	into := single(40, "10.0.0.9", 2)
	into.Nexthop.EncapType, into.Nexthop.Encap = encapMPLS, attr(1, be32(100<<12|1<<8))
	for _, c := range []struct {
		object              rpdb.NexthopObject
		text, details, json string
	}{
		{
			single(10, "10.0.0.5", 2), "id 10 via 10.0.0.5 dev v0 scope link ", "id 10 via 10.0.0.5 dev v0 scope link proto unspec ",
			`{"id":10,"gateway":"10.0.0.5","dev":"v0","scope":"link","flags":[]}`,
		},
		{
			onlink, "id 11 via 10.0.0.6 dev v0 scope link onlink ", "id 11 via 10.0.0.6 dev v0 scope link proto unspec onlink ",
			`{"id":11,"gateway":"10.0.0.6","dev":"v0","scope":"link","flags":["onlink"]}`,
		},
		{
			rpdb.NexthopObject{ID: 12, Blackhole: true},
			"id 12 blackhole ", "id 12 scope global blackhole proto unspec ",
			`{"id":12,"blackhole":null,"flags":[]}`,
		},
		{
			static, "id 13 dev w0 scope host proto static ", "id 13 dev w0 scope host proto static ",
			`{"id":13,"dev":"w0","scope":"host","protocol":"static","flags":[]}`,
		},
		{
			rpdb.NexthopObject{ID: 20, Group: []rpdb.GroupMember{{ID: 10, Weight: 3}, {ID: 11, Weight: 1}}},
			"id 20 group 10,3/11 ", "id 20 group 10,3/11 scope global proto unspec ", `{"id":20,"group":[{"id":10,"weight":3},{"id":11}],"flags":[]}`,
		},
		{
			rpdb.NexthopObject{ID: 21, Group: []rpdb.GroupMember{{ID: 10, Weight: 1}}, GroupType: 1, Resilient: rpdb.ResilientGroup{Buckets: 8, IdleTimer: 6000, UnbalancedTimer: 10050}},
			"id 21 group 10 type resilient buckets 8 idle_timer 60 unbalanced_timer 100.5 unbalanced_time 0 ",
			"id 21 group 10 type resilient buckets 8 idle_timer 60 unbalanced_timer 100.5 unbalanced_time 0 scope global proto unspec ",
			`{"id":21,"group":[{"id":10}],"type":"resilient","resilient_args":{"buckets":8,"idle_timer":60,"unbalanced_timer":100.5,"unbalanced_time":0},"flags":[]}`,
		},
		{
			rpdb.NexthopObject{ID: 24, Group: []rpdb.GroupMember{{ID: 10}}, GroupType: 2},
			"id 24 group 10 type <unknown type> ",
			"id 24 group 10 type <unknown type> scope global proto unspec ", `{"id":24,"group":[{"id":10}],"type":"<unknown type>","flags":[]}`,
		},
		{
			fdb, "id 22 via 10.0.0.7 scope link fdb", "id 22 via 10.0.0.7 scope link proto unspec fdb",
			`{"id":22,"gateway":"10.0.0.7","scope":"link","flags":[],"fdb":null}`,
		},
		{
			single(30, "2001:db8::7", 2), "id 30 via 2001:db8::7 dev v0 scope link ", "id 30 via 2001:db8::7 dev v0 scope link proto unspec ",
			`{"id":30,"gateway":"2001:db8::7","dev":"v0","scope":"link","flags":[]}`,
		},
		{
			into, "id 40  encap mpls  100 via 10.0.0.9 dev v0 scope link ", "id 40  encap mpls  100 via 10.0.0.9 dev v0 scope link proto unspec ",
			`{"id":40,"encap":{"encap_type":"mpls","dst":"100"},"gateway":"10.0.0.9","dev":"v0","scope":"link","flags":[]}`,
		},
	} {
		v := rawView()
		if got := v.NexthopObject(c.object); got != c.text {
			t.Errorf("got %q\nwant %q", got, c.text)
		}
		if got := nexthopJSON(v, c.object); got != c.json {
			t.Errorf("got %s\nwant %s", got, c.json)
		}
		v.Details = true
		if got := v.NexthopObject(c.object); got != c.details {
			t.Errorf("got %q\nwant %q", got, c.details)
		}
	}
}

// The object that a route refers to stands behind the route, on a line of its
// own even where a line is all there is.
func TestNexthopInfo(t *testing.T) {
	v := rawView()
	v.Nexthop = func(id uint32) (rpdb.NexthopObject, bool) {
		return rpdb.NexthopObject{ID: 20, Group: []rpdb.GroupMember{{ID: 10, Weight: 3}, {ID: 11, Weight: 1}}}, id == 20
	}
	e := entry(t, "198.51.100.0/24 nhid 20")
	e.Nexthops = []rpdb.Nexthop{{Via: netip.MustParseAddr("10.0.0.5"), Link: 2, Weight: 3}, {Via: netip.MustParseAddr("10.0.0.6"), Link: 2, Weight: 1}}
	members := "nexthop via 10.0.0.5 dev v0 weight 3 %\tnexthop via 10.0.0.6 dev v0 weight 1 "
	if got, want := v.Entry(e), "198.51.100.0/24 nhid 20 \n\t"+strings.ReplaceAll(members, "%", "\n"); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	v.Details, v.OneLine = true, true
	if got, want := v.Entry(e), "unicast 198.51.100.0/24 nhid 20 table main proto boot scope global \n\tnh_info id 20 group 10,3/11 scope global proto unspec \\\t"+
		strings.ReplaceAll(members, "%", `\`); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got, want := routeJSON(v, e), `{"type":"unicast","dst":"198.51.100.0/24","nhid":20,"table":"main","protocol":"boot","scope":"global","flags":[],`+
		`"nh_info":{"id":20,"group":[{"id":10,"weight":3},{"id":11}],"scope":"global","protocol":"unspec","flags":[]},`+
		`"nexthops":[{"gateway":"10.0.0.5","dev":"v0","weight":3,"flags":[]},{"gateway":"10.0.0.6","dev":"v0","weight":1,"flags":[]}]}`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	e.NexthopID, v.OneLine = 21, false // an object that is gone by now
	if got, want := v.Entry(e), "unicast 198.51.100.0/24 nhid 21 table main proto boot scope global \n\t"+strings.ReplaceAll(members, "%", "\n"); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// IPv6 lists a group of one member as a list.
func TestNexthopGroupOfOne(t *testing.T) {
	e := entry(t, "2001:db8:31::/48 nhid 31 metric 1024")
	e.Nexthops = []rpdb.Nexthop{{Via: netip.MustParseAddr("2001:db8::7"), Link: 2, Weight: 1}}
	if got, want := rawView().Entry(e), "2001:db8:31::/48 nhid 31 metric 1024 pref medium\n\tnexthop via 2001:db8::7 dev v0 weight 1 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	e.Nexthops[0].Weight = 0 // a plain object
	if got, want := rawView().Entry(e), "2001:db8:31::/48 nhid 31 via 2001:db8::7 dev v0 metric 1024 pref medium"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
