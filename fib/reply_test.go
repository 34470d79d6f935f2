package fib_test

import (
	"net/netip"
	"slices"
	"testing"

	"rpdb"
	"rpdb/fib"
)

// Which answers there are depends on what becomes of the packet.
func TestReplies(t *testing.T) {
	in := func(proto rpdb.IPProto) rpdb.Flow {
		return rpdb.Flow{Dst: netip.MustParseAddr("192.0.2.2"), Src: netip.MustParseAddr("203.0.113.9"), IIF: "eth0", IPProto: proto}
	}
	local := rpdb.Decision{Disposition: rpdb.Local, Type: rpdb.RouteLocal}
	own, nobody := in(rpdb.UDP), in(rpdb.UDP)
	own.IIF, nobody.Src = "", netip.IPv4Unspecified()
	for name, c := range map[string]struct {
		flow rpdb.Flow
		d    rpdb.Decision
		want []fib.Reply
	}{
		"echo":               {in(rpdb.ICMP), local, []fib.Reply{fib.ReplyEcho}},
		"tcp":                {in(rpdb.TCP), local, []fib.Reply{fib.ReplyReset, fib.ReplySYNACK}},
		"udp":                {in(rpdb.UDP), local, []fib.Reply{fib.ReplyUnreachable, fib.ReplyBound, fib.ReplyUnbound}},
		"gre":                {in(47), local, []fib.Reply{fib.ReplyUnreachable}},
		"going on":           {in(rpdb.TCP), rpdb.Decision{Disposition: rpdb.Sent}, []fib.Reply{fib.ReplyError}},
		"refused":            {in(rpdb.TCP), rpdb.Decision{Disposition: rpdb.Refused, ICMP: rpdb.ICMPError{Type: 3}}, []fib.Reply{fib.ReplyError}},
		"dropped in silence": {in(rpdb.TCP), rpdb.Decision{Disposition: rpdb.Refused}, nil},
		"martian":            {in(rpdb.TCP), rpdb.Decision{Disposition: rpdb.Martian}, nil},
		"broadcast":          {in(rpdb.UDP), rpdb.Decision{Disposition: rpdb.Local, Type: rpdb.RouteBroadcast}, nil},
		"of this host":       {own, local, nil},
		"from nobody":        {nobody, local, nil},
	} {
		if got := fib.Replies(c.flow, c.d); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What the kernels of the other tests cannot show: VRFs, and addresses that mean
// something only on a link.
func TestReplyLinks(t *testing.T) {
	f := fib.Compile(&rpdb.Snapshot{Links: []rpdb.Link{
		{Index: 1, Name: "lo", Flags: rpdb.LinkLoopback},
		{Index: 2, Name: "red", Kind: "vrf", VRFTable: 1000},
		{Index: 3, Name: "eth0", Master: 2},
		{Index: 4, Name: "eth1"},
	}})
	for _, c := range []struct {
		src, dst string
		iif      rpdb.LinkName
		kind     fib.Reply
		want     rpdb.LinkName
	}{
		{"203.0.113.9", "192.0.2.2", "eth1", fib.ReplyEcho, ""},
		{"203.0.113.9", "192.0.2.2", "eth0", fib.ReplyEcho, "red"},
		{"203.0.113.9", "192.0.2.2", "eth0", fib.ReplyError, "red"},
		{"2001:db8::9", "2001:db8::2", "eth0", fib.ReplyReset, "red"},
		{"2001:db8::9", "2001:db8::2", "eth1", fib.ReplyEcho, "eth1"},
		{"2001:db8::9", "2001:db8::2", "eth1", fib.ReplyUnreachable, ""},
		{"fe80::9", "fe80::2", "eth1", fib.ReplyReset, "eth1"},
		{"fe80::9", "2001:db8::2", "eth1", fib.ReplyUnreachable, "eth1"},
	} {
		flow := rpdb.Flow{Src: netip.MustParseAddr(c.src), Dst: netip.MustParseAddr(c.dst), IIF: c.iif}
		if got := f.Reply(flow, c.kind, rpdb.ICMPError{}); got.OIF != c.want || got.IsInput() || got.Dst != flow.Src {
			t.Errorf("%v to %v by %s: %+v, want oif %q", c.kind, c.src, c.iif, got, c.want)
		}
	}
}
