package kernel

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"rpdb"
)

// decisions is a namespace with a table, a rule and the answer for each thing
// that a decision can be.
func decisions(t *testing.T) *Conn {
	ns, c := uplinks(t)
	must(t, ns.SetSysctl("net.ipv4.ip_forward", "1"))
	must(t, ns.SetSysctl("net.ipv6.conf.all.forwarding", "1"))
	must(t, ns.SetSysctl("net.ipv4.conf.all.rp_filter", "0"))
	eth0, eth1 := index(t, c, "eth0"), index(t, c, "eth1")
	table := func(f rpdb.Family, id rpdb.TableID, dst, via string, link rpdb.LinkIndex) {
		r := rpdb.Route{
			Family: f, Table: id, Dst: prefix(dst), Type: rpdb.RouteUnicast,
			Nexthops: []rpdb.Nexthop{{Via: addr(via), Link: link}},
		}
		must(t, do(c, addRoute(r)))
	}
	for f, v := range map[rpdb.Family]struct{ dst, via0, via1 string }{
		rpdb.IPv4: {"0.0.0.0/0", "192.0.2.254", "198.51.100.254"},
		rpdb.IPv6: {"::/0", "2001:db8::fe", "2001:db8:1::fe"},
	} {
		table(f, 254, v.dst, v.via0, eth0)
		table(f, 100, v.dst, v.via1, eth1)
		for i, change := range []func(*rpdb.Rule){
			func(r *rpdb.Rule) { r.Selector.Mark = rpdb.Mark{Value: 1, Mask: 0xff} },
			func(r *rpdb.Rule) {
				r.Selector.UIDRange = rpdb.Some(rpdb.UIDRange{First: 0, Last: 0})
				r.Selector.TOS = 8
			},
			func(r *rpdb.Rule) { r.Selector.IPProto, r.Selector.DPort = rpdb.TCP, rpdb.Port(443) },
			func(r *rpdb.Rule) { r.Selector.SPort = rpdb.Port(53) },
			func(r *rpdb.Rule) { r.Selector.OIF = "eth1" },
			func(r *rpdb.Rule) { r.Selector.IIF = "eth1" },
			func(r *rpdb.Rule) { r.Selector.Mark, r.Action = rpdb.Mark{Value: 2, Mask: 0xff}, rpdb.Prohibit() },
			func(r *rpdb.Rule) { r.Selector.Mark, r.Action = rpdb.Mark{Value: 3, Mask: 0xff}, rpdb.Unreachable() },
			func(r *rpdb.Rule) { r.Selector.Mark, r.Action = rpdb.Mark{Value: 4, Mask: 0xff}, rpdb.Blackhole() },
		} {
			r := rpdb.Rule{Family: f, Priority: rpdb.Priority(100 + i), Action: rpdb.ToTable(100)}
			change(&r)
			must(t, do(c, addRule(r)))
		}
	}
	must(t, do(c, addRule(rpdb.Rule{
		Family: rpdb.IPv6, Priority: 200, Action: rpdb.ToTable(100),
		Selector: rpdb.Selector{FlowLabel: rpdb.FlowLabel{Value: 5, Mask: 0xfffff}},
	})))
	return c
}

func TestRouteGet(t *testing.T) {
	c := decisions(t)
	for _, v := range []struct {
		dst, via0, via1, src0, src1, own, from string
	}{
		{"203.0.113.1", "192.0.2.254", "198.51.100.254", "192.0.2.1", "198.51.100.1", "192.0.2.1", "198.51.100.77"},
		{"2001:db8:a::1", "2001:db8::fe", "2001:db8:1::fe", "2001:db8::1", "2001:db8:1::1", "2001:db8::1", "2001:db8:1::77"},
	} {
		main := rpdb.Decision{
			Disposition: rpdb.Sent, Table: 254, Type: rpdb.RouteUnicast,
			Hop: rpdb.Hop{Link: "eth0", Via: addr(v.via0)}, Src: addr(v.src0),
		}
		other := rpdb.Decision{
			Disposition: rpdb.Sent, Table: 100, Type: rpdb.RouteUnicast,
			Hop: rpdb.Hop{Link: "eth1", Via: addr(v.via1)}, Src: addr(v.src1),
		}
		denied := func(e rpdb.Errno) rpdb.Decision { return rpdb.Decision{Disposition: rpdb.Refused, Errno: e} }
		for name, test := range map[string]struct {
			change func(*rpdb.Flow)
			want   rpdb.Decision
		}{
			"plain":       {func(f *rpdb.Flow) {}, main},
			"mark":        {func(f *rpdb.Flow) { f.Mark = 0x101 }, other},
			"user":        {func(f *rpdb.Flow) { f.TOS = 8 }, other},
			"other user":  {func(f *rpdb.Flow) { f.TOS, f.UID = 8, lastUID() }, map[bool]rpdb.Decision{true: main, false: other}[lastUID() != 0]},
			"port":        {func(f *rpdb.Flow) { f.IPProto, f.DPort = rpdb.TCP, 443 }, other},
			"port of udp": {func(f *rpdb.Flow) { f.DPort = 443 }, main},
			"source port": {func(f *rpdb.Flow) { f.SPort = 53 }, other},
			"bound":       {func(f *rpdb.Flow) { f.OIF = "eth1" }, other},
			"source":      {func(f *rpdb.Flow) { f.Src = addr(v.src0) }, main},
			"prohibit":    {func(f *rpdb.Flow) { f.Mark = 2 }, denied(rpdb.EACCES)},
			"unreachable": {func(f *rpdb.Flow) { f.Mark = 3 }, denied(rpdb.ENETUNREACH)},
			"blackhole":   {func(f *rpdb.Flow) { f.Mark = 4 }, denied(rpdb.EINVAL)},
			"local": {func(f *rpdb.Flow) { f.Dst = addr(v.own) }, rpdb.Decision{
				Disposition: rpdb.Local, Table: 255,
				Type: rpdb.RouteLocal, Hop: rpdb.Hop{Link: "lo"}, Src: addr(v.own),
			}},
			"forwarded": {func(f *rpdb.Flow) { f.IIF, f.Src = "eth0", addr(v.from) }, rpdb.Decision{
				Disposition: rpdb.Sent,
				Table:       254, Type: rpdb.RouteUnicast, Hop: main.Hop, Src: addr(v.from),
			}},
			"forwarded by iif": {func(f *rpdb.Flow) { f.IIF, f.Src = "eth1", addr(v.from) }, rpdb.Decision{
				Disposition: rpdb.Sent,
				Table:       100, Type: rpdb.RouteUnicast, Hop: other.Hop, Src: addr(v.from),
			}},
			"came in for us": {
				func(f *rpdb.Flow) { f.IIF, f.Src, f.Dst = "eth0", addr(v.from), addr(v.own) },
				rpdb.Decision{Disposition: rpdb.Local, Table: 255, Type: rpdb.RouteLocal, Hop: rpdb.Hop{Link: "lo"}, Src: addr(v.from)},
			},
			"forwarded into a blackhole": {
				func(f *rpdb.Flow) { f.IIF, f.Src, f.Mark = "eth0", addr(v.from), 4 },
				rpdb.Decision{Disposition: rpdb.Martian, Errno: rpdb.EINVAL},
			},
		} {
			flow := rpdb.Flow{Dst: addr(v.dst), IPProto: rpdb.UDP}
			test.change(&flow)
			got, err := c.RouteGet(t.Context(), flow)
			if err != nil {
				t.Errorf("%s, %s: %v", v.dst, name, err)
				continue
			}
			got.Note, got.Realms = "", 0
			if got.Disposition != test.want.Disposition || !got.Agrees(test.want) || !test.want.Agrees(got) || got.Src != test.want.Src {
				t.Errorf("%s, %s\n got %+v\nwant %+v", v.dst, name, got, test.want)
			}
		}
	}
}

func TestRouteGetFlowLabel(t *testing.T) {
	c := decisions(t)
	got, err := c.RouteGet(t.Context(), rpdb.Flow{Dst: addr("2001:db8:a::1"), FlowLabel: 5})
	if must(t, err); got.Table != 100 {
		t.Errorf("got %+v", got)
	}
}

func TestRouteGetTrouble(t *testing.T) {
	c := decisions(t)
	for _, test := range []struct {
		flow  rpdb.Flow
		errno syscall.Errno
		want  string
	}{
		{rpdb.Flow{}, syscall.EINVAL, "look up route to invalid IP: invalid argument"},
		{rpdb.Flow{Dst: addr("192.0.2.9"), OIF: "absent"}, syscall.ENODEV, "look up route to 192.0.2.9: no such device"},
		{rpdb.Flow{Dst: addr("192.0.2.9"), IIF: "absent"}, syscall.ENODEV, "look up route to 192.0.2.9: no such device"},
		{rpdb.Flow{Dst: addr("192.0.2.9"), Src: addr("::1")}, syscall.EINVAL, "look up route to 192.0.2.9: invalid argument"},
	} {
		if _, err := c.RouteGet(t.Context(), test.flow); !errors.Is(err, test.errno) || err.Error() != test.want {
			t.Errorf("%+v: got %v", test.flow, err)
		}
	}
}

// What cannot be asked is said.
func TestRouteGetNotes(t *testing.T) {
	c := decisions(t)
	for _, test := range []struct {
		flow rpdb.Flow
		want bool
	}{
		{rpdb.Flow{Dst: addr("192.0.2.9"), IPProto: rpdb.UDP}, false},
		{rpdb.Flow{Dst: addr("192.0.2.9")}, true},
		{rpdb.Flow{Dst: addr("192.0.2.9"), IPProto: 132}, true},
		{rpdb.Flow{Dst: addr("192.0.2.9"), IPProto: rpdb.ICMP}, false},
		{rpdb.Flow{Dst: addr("2001:db8::9")}, false},
		{rpdb.Flow{Dst: addr("2001:db8::9"), IPProto: rpdb.ICMP}, true},
		{rpdb.Flow{Dst: addr("2001:db8::9"), TunID: 7}, true},
		{rpdb.Flow{Dst: addr("192.0.2.9"), IPProto: rpdb.TCP, Socket: rpdb.Connect}, true},
	} {
		d, err := c.RouteGet(t.Context(), test.flow)
		if must(t, err); (d.Note != "") != test.want {
			t.Errorf("%+v: note %q", test.flow, d.Note)
		}
	}
}

// A bound IPv4 socket reaches the link even where the rules deny: the answer
// has no table.
func TestRouteGetFallback(t *testing.T) {
	c := decisions(t)
	d, err := c.RouteGet(t.Context(), rpdb.Flow{Dst: addr("203.0.113.1"), OIF: "eth0", Mark: 3, IPProto: rpdb.UDP})
	if must(t, err); d.Disposition != rpdb.Sent || d.Table != 0 || d.Via != (netip.Addr{}) || d.Link != "eth0" {
		t.Errorf("got %+v", d)
	}
}
