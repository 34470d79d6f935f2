package ifupdown_test

import (
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format"
	"rpdb/format/ifupdown"
	"rpdb/internal/corpus"
	"rpdb/internal/formattest"
)

const wantHead = `# Rules and routes of policy routing, for ifupdown. This file has to be read
# behind all stanzas of its interfaces, by the last line of
# /etc/network/interfaces:
#     source /etc/network/interfaces.rpdb
# and never from interfaces.d, if that is read before the addresses are there.
# The rules are those of lo, so that they are there before the first interface,
# and stay when one goes.

`

func TestWrite(t *testing.T) {
	s := corpus.DualUplink()
	s.Rules = slices.DeleteFunc(s.Rules, func(r rpdb.Rule) bool { return r.Priority > 1010 || r.Family == rpdb.IPv6 })
	s.Routes = slices.DeleteFunc(s.Routes, func(r rpdb.Route) bool { return r.Table == 102 || r.Table == rpdb.TableMain || r.Family == rpdb.IPv6 })
	files, losses := ifupdown.Write(s, rpdb.Names{Tables: map[rpdb.TableID]string{101: "isp-a"}}, ifupdown.Options{})
	want := wantHead + `iface lo inet manual
    up   ip -4 rule del pref 1000 lookup main suppress_prefixlength 0 protocol 83 2>/dev/null || true
    up   ip -4 rule add pref 1000 lookup main suppress_prefixlength 0 protocol 83
    up   ip -4 rule del pref 1010 from 192.0.2.10 lookup 101 protocol 83 2>/dev/null || true
    up   ip -4 rule add pref 1010 from 192.0.2.10 lookup 101 protocol 83
    down ip -4 rule del pref 1000 lookup main suppress_prefixlength 0 protocol 83 || true
    down ip -4 rule del pref 1010 from 192.0.2.10 lookup 101 protocol 83 || true

# eth0 has to have 192.0.2.10/24.
iface eth0 inet manual
    up   ip -4 route replace 192.0.2.0/24 dev eth0 src 192.0.2.10 table 101 proto static || true
    up   ip -4 route replace default via 192.0.2.1 dev eth0 table 101 proto static || true
    down ip -4 route del 192.0.2.0/24 dev eth0 src 192.0.2.10 table 101 proto static 2>/dev/null || true
    down ip -4 route del default via 192.0.2.1 dev eth0 table 101 proto static 2>/dev/null || true
`
	if len(losses) != 0 || len(files) != 2 || files[0].Path != ifupdown.Path || files[0].Text != want {
		t.Errorf("losses %v, got\n%v\nwant\n%s", losses, files, want)
	}
	if files, _ := ifupdown.Write(&rpdb.Snapshot{}, rpdb.Names{}, ifupdown.Options{}); len(files) != 0 {
		t.Errorf("nothing makes %v", files)
	}
}

// ofProtocol gives rules the protocol that they are written with.
func ofProtocol(s *rpdb.Snapshot) *rpdb.Snapshot {
	c := *s
	c.Rules = slices.Clone(s.Rules)
	for i := range c.Rules {
		c.Rules[i].Protocol = ifupdown.Protocol
	}
	return &c
}

func TestRoundTrip(t *testing.T) {
	worlds := []*rpdb.Snapshot{corpus.DualUplink(), formattest.AllActions(t)}
	for seed := range uint64(20) {
		worlds = append(worlds, corpus.New(seed).Snapshot())
	}
	kept := 0
	for i, world := range worlds {
		files, losses := ifupdown.Write(world, rpdb.Names{}, ifupdown.Options{})
		got, _, err := ifupdown.Read(files)
		if err != nil {
			t.Fatalf("world %d: %v", i, err)
		}
		want, back := formattest.Meaning(ofProtocol(world)), formattest.Meaning(got)
		for _, line := range back {
			if !slices.Contains(want, line) {
				t.Errorf("world %d: not wanted: %s", i, line)
			}
		}
		if len(back)+len(losses) < len(want) || i < 2 && len(losses) > 0 {
			t.Errorf("world %d: %d objects, %d read back, %d lost: %v", i, len(want), len(back), len(losses), losses)
		}
		kept += len(back)
	}
	if kept < 1000 {
		t.Errorf("only %d objects were kept", kept)
	}
}

func TestLosses(t *testing.T) {
	links := []rpdb.Link{{Index: 1, Name: "lo"}, {Index: 2, Name: "eth0"}, {Index: 3, Name: "eth1"}, {Index: 4, Name: "eth0:1"}, {Index: 5, Name: "\x1b"}}
	route := func(hops ...rpdb.Nexthop) *rpdb.Snapshot {
		r := rpdb.Route{Family: rpdb.IPv6, Table: 7, Type: rpdb.RouteUnicast, Metric: 5, Nexthops: hops}
		r.Dst = corpus.DualUplink().Addresses[3].Prefix.Masked()
		return &rpdb.Snapshot{Links: links, Routes: []rpdb.Route{r}}
	}
	via := corpus.DualUplink().Addresses[3].Prefix.Addr()
	for _, c := range []struct {
		s    *rpdb.Snapshot
		want string
	}{
		{route(rpdb.Nexthop{Link: 2, Via: via}, rpdb.Nexthop{Link: 3, Via: via}), "it leads to eth0 and eth1, and ifupdown brings up one interface after the other"},
		{route(rpdb.Nexthop{Link: 4}), "ifupdown takes the name of the interface for something else"},
		{route(rpdb.Nexthop{Link: 5}), "the shell that ifupdown uses cannot spell"},
		{route(rpdb.Nexthop{Link: 9}), "no interface is called"},
	} {
		files, losses := ifupdown.Write(c.s, rpdb.Names{}, ifupdown.Options{})
		if len(files) != 0 || len(losses) != 1 || !strings.Contains(losses[0].Reason, c.want) {
			t.Errorf("files %v, losses %v, want %q", files, losses, c.want)
		}
	}
}

// FuzzRead: what is read can be written, and means the same when it is read again.
func FuzzRead(f *testing.F) {
	// Short ones: long ones keep the engine busy with making them shorter.
	f.Add("auto e\niface e inet static\naddress 10.0.0.1/24\ngateway 10.0.0.2\nmetric 5\nup ip rule del pref 1 2>/dev/null || true; ip rule add pref 1 from 10.0.0.1 table 7\ndown ip -4 route flush table 7 || :\n")
	f.Add("iface e inet6 static\naddress 2001:db8::1/64\ngateway 2001:db8::2\ndad-attempts 0\nup ip -6 route replace default via 2001:db8::2 dev e table 7 && /sbin/ip -6 rule add pref 1 table 7\n")
	f.Add("iface e inet dhcp\nup ip link set dev e mtu 1400\n")
	f.Add("iface a inet6 manual\nup ip rule add not iif 'x y' lookup 7;ip -6 route append ::/0 dev $IFACE || true\n")
	f.Add("auto lo\niface lo inet static\naddress 10.0.0.1\nnetmask 255.0.0.0\nscope 200\nup ip ro a 10.0.0.0/8 \\\n via 10.0.0.2\ndown ip ro flush main")
	f.Fuzz(func(t *testing.T, text string) {
		s, names, err := ifupdown.Read([]format.File{file("interfaces", text)})
		if err != nil {
			return
		}
		files, losses := ifupdown.Write(s, names, ifupdown.Options{})
		back, _, err := ifupdown.Read(files)
		if err != nil {
			t.Fatalf("%v\n%v", err, files)
		}
		if len(losses) == 0 {
			formattest.Compare(t, back, ofProtocol(s))
		}
	})
}
