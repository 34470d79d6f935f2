package cli

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/kernel"
)

// A pattern means those sockets that ss prints so.
func TestSocketPatternMatches(t *testing.T) {
	links := func(i rpdb.LinkIndex) rpdb.LinkName { return map[rpdb.LinkIndex]rpdb.LinkName{2: "eth0"}[i] }
	at := netip.MustParseAddrPort
	four, six := rpdb.IPv4, rpdb.IPv6
	sockets := map[string]kernel.InetSocket{
		"ssh":    {Family: four, Protocol: rpdb.TCP, State: kernel.SocketEstablished, Local: at("10.0.0.5:22"), Remote: at("203.0.113.9:4242")},
		"mapped": {Family: six, Protocol: rpdb.TCP, State: kernel.SocketEstablished, Local: at("10.0.0.5:443"), Remote: at("203.0.113.9:4243")},
		"both":   {Family: six, Protocol: rpdb.TCP, State: kernel.SocketListen, Local: at("[::]:443")},
		"only6":  {Family: six, Protocol: rpdb.TCP, State: kernel.SocketListen, Local: at("[::]:444"), V6Only: true},
		"dns":    {Family: four, Protocol: rpdb.UDP, State: kernel.SocketUnconnected, Local: at("0.0.0.0:53")},
		"dns6":   {Family: six, Protocol: rpdb.UDP, State: kernel.SocketUnconnected, Local: at("[2001:db8::1]:53")},
		"dhcp":   {Family: four, Protocol: rpdb.UDP, State: kernel.SocketUnconnected, Local: at("0.0.0.0:68"), Bound: 2},
		"dhcp6":  {Family: six, Protocol: rpdb.UDP, State: kernel.SocketUnconnected, Local: at("[fe80::1]:546"), Bound: 2},
	}
	for _, tc := range []struct{ pattern, want string }{
		{"10.0.0.5:22", "ssh"},
		{"10.0.0.5:ssh", "ssh"},
		{"10.0.0.5:*", "mapped ssh"},
		{"10.0.0.5:22,203.0.113.9:4242", "ssh"},
		{"10.0.0.5:22 203.0.113.9:4242", "ssh"},
		{"tcp   10.0.0.5:22 , 203.0.113.9:4242", "ssh"},
		{"10.0.0.5:22 203.0.113.9:4243", ""},
		{"udp,10.0.0.5:22", ""},
		{":*,203.0.113.9:*", "mapped ssh"},
		{"[::ffff:10.0.0.5]:443", "mapped"},
		{":443", "both mapped"},
		{"*:443", "both"},
		{"*:443 *:*", "both"},
		{"[::]:443", "both"},
		{"0.0.0.0:443", ""},
		{"*:*", "both dhcp dns only6"},
		{":* *:*", "both dhcp dhcp6 dns dns6 only6"},
		{":* 0.0.0.0:*", "both dhcp dhcp6 dns dns6 only6"},
		{":53", "dns dns6"},
		{"*:domain", "dns"},
		{"[2001:db8::1]:53", "dns6"},
		{"0.0.0.0%eth0:68", "dhcp"},
		{"*%eth0:68", "dhcp"},
		{"%eth0:*", "dhcp dhcp6"},
		{"%eth1:*", ""},
		{"[fe80::1]%eth0:546", "dhcp6"},
		{"[fe80::1%eth0]:546", "dhcp6"},
		{"132,:*", ""},
	} {
		p, err := parseSocketPattern(tc.pattern)
		if err != nil {
			t.Errorf("%q: %v", tc.pattern, err)
			continue
		}
		var got []string
		for name, s := range sockets {
			if p.matches(s, links) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%q means %q, want %q", tc.pattern, got, tc.want)
		}
	}
	// What is printed of a socket means that socket.
	for name, s := range sockets {
		local, remote := endNames(s, links(s.Bound))
		p, err := parseSocketPattern(protocolName(s.Protocol) + " " + local + " " + remote)
		if err != nil || !p.matches(s, links) {
			t.Errorf("%s: %s %s does not mean it: %v", name, local, remote, err)
		}
	}
}

func TestSocketPatternRefuses(t *testing.T) {
	for _, tc := range []struct{ pattern, want string }{
		{"", "--socket: the local end of the socket is missing"},
		{"tcp", "--socket: the local end of the socket is missing"},
		{"tpc,:22", `--socket: word 1 "tpc": neither ADDRESS:PORT nor an IP protocol such as tcp or udp`},
		{"10.0.0.5", `--socket: word 1 "10.0.0.5": a port must follow, as in 10.0.0.5:22`},
		{"10.0.0.5:", `--socket: word 1 "10.0.0.5:": "" is not a port: a number from 1 to 65535, the name of a service, or *`},
		{"10.0.0.5:0", `--socket: word 1 "10.0.0.5:0": "0" is not a port: a number from 1 to 65535, the name of a service, or *`},
		{"10.0.0.5:-1", `--socket: word 1 "10.0.0.5:-1": "-1" is not a port: a number from 1 to 65535, the name of a service, or *`},
		{"10.0.0.5:65536", `--socket: word 1 "10.0.0.5:65536": "65536" is not a port: a number from 1 to 65535, the name of a service, or *`},
		{"10.0.0.5:no-such-service", `--socket: word 1 "10.0.0.5:no-such-service": "no-such-service" is not a port: a number from 1 to 65535, the name of a service, or *`},
		{"2001:db8::1:443", `--socket: word 1 "2001:db8::1:443": an IPv6 address stands in brackets, as in [2001:db8::1]:443`},
		{"[2001:db8::1:443", `--socket: word 1 "[2001:db8::1:443": "[2001:db8::1" is not an IP address`},
		{"[10.0.0.5]:443", `--socket: word 1 "[10.0.0.5]:443": "[10.0.0.5]" is not an IP address`},
		{"10.0.0.300:22", `--socket: word 1 "10.0.0.300:22": "10.0.0.300" is not an IP address`},
		{"10.0.0.5%:22", `--socket: word 1 "10.0.0.5%:22": "" is not the name of an interface`},
		{":22 :23 :24", `--socket: word 3 ":24": a socket has two ends`},
		{"tcp :22 :23%eth0", `--socket: word 3 ":23%eth0": "23%eth0" is not a port: a number from 1 to 65535, the name of a service, or *`},
		{"tcp :22 10.0.0.1%eth0:23", `--socket: word 3 "10.0.0.1%eth0:23": the interface that a socket is bound to stands at its local end`},
	} {
		_, err := parseSocketPattern(tc.pattern)
		if err == nil || err.Error() != tc.want {
			t.Errorf("%q:\n got  %v\n want %s", tc.pattern, err, tc.want)
		}
		if h := hinter(nil); !errors.As(err, &h) || !strings.Contains(h.Hint(), "LOCAL") {
			t.Errorf("%q: no hint", tc.pattern)
		}
	}
}

// server is a host with two addresses of each family, and more that nobody asks
// from outside.
func server() *rpdb.Snapshot {
	s := emptyHost()
	for i, name := range []rpdb.LinkName{"lo", "eth0", "eth1"} {
		s.Links = append(s.Links, rpdb.Link{Index: rpdb.LinkIndex(i + 1), Name: name, Flags: rpdb.LinkUp | rpdb.LinkLowerUp})
	}
	for link, addrs := range map[rpdb.LinkIndex]string{
		1: "127.0.0.1/8 ::1/128",
		2: "192.0.2.10/24 2001:db8:a::10/64 fe80::1/64",
		3: "198.51.100.10/24 2001:db8:b::10/64 fe80::2/64 192.0.2.10/32",
	} {
		for a := range strings.FieldsSeq(addrs) {
			p := netip.MustParsePrefix(a)
			s.Addresses = append(s.Addresses, rpdb.Address{Link: link, Prefix: p})
			s.Routes = append(s.Routes, rpdb.Route{
				Family: rpdb.FamilyOf(p.Addr()), Table: rpdb.TableLocal, Type: rpdb.RouteLocal,
				Dst: netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), Nexthops: []rpdb.Nexthop{{Link: link}},
			})
		}
	}
	s.Addresses = append(s.Addresses, rpdb.Address{Link: 3, Prefix: netip.MustParsePrefix("2001:db8:c::1/64"), Flags: rpdb.AddressTentative})
	return s
}

// What a route is looked up by, for sockets of all kinds.
func TestSocketFlows(t *testing.T) {
	at := netip.MustParseAddrPort
	nine, nine6 := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8:9::9")
	zero, seven := rpdb.Some[uint32](0), rpdb.Some[uint32](7)
	addr := netip.MustParseAddr
	for _, tc := range []struct {
		name, words string
		socket      kernel.InetSocket
		mark        bool // tcp_fwmark_accept
		want        []rpdb.Flow
		unknown     string
	}{
		{
			name:   "a connection of IPv4, marked, on an interface",
			socket: kernel.InetSocket{Family: rpdb.IPv4, Protocol: rpdb.TCP, State: kernel.SocketEstablished, Local: at("192.0.2.10:22"), Remote: at("203.0.113.9:4242"), Bound: 3, UID: 1000, Mark: seven, TOS: 0x10, TClass: 0x48},
			want:   []rpdb.Flow{{Dst: nine, Src: addr("192.0.2.10"), OIF: "eth1", Mark: 7, UID: 1000, TOS: 0x10, IPProto: rpdb.TCP, SPort: 22, DPort: 4242, Socket: rpdb.SendTo}},
		},
		{
			name:   "a connection of IPv6: no traffic class",
			socket: kernel.InetSocket{Family: rpdb.IPv6, Protocol: rpdb.TCP, State: kernel.SocketEstablished, Local: at("[2001:db8:a::10]:22"), Remote: at("[2001:db8:9::9]:4242"), Mark: zero, TOS: 0x10, TClass: 0x48},
			want:   []rpdb.Flow{{Dst: nine6, Src: addr("2001:db8:a::10"), IPProto: rpdb.TCP, SPort: 22, DPort: 4242, Socket: rpdb.SendTo}}, unknown: "flowlabel",
		},
		{
			name: "connected UDP of IPv6: a traffic class, and a label if it is said", words: "flowlabel 5",
			socket: kernel.InetSocket{Family: rpdb.IPv6, Protocol: rpdb.UDP, State: kernel.SocketEstablished, Local: at("[2001:db8:a::10]:1000"), Remote: at("[2001:db8:9::9]:53"), Mark: zero, TClass: 0x48},
			want:   []rpdb.Flow{{Dst: nine6, Src: addr("2001:db8:a::10"), TOS: 0x48, FlowLabel: 5, IPProto: rpdb.UDP, SPort: 1000, DPort: 53, Socket: rpdb.SendTo}}, unknown: "flowlabel",
		},
		{
			name: "without privilege: no mark", words: "",
			socket: kernel.InetSocket{Family: rpdb.IPv4, Protocol: rpdb.UDP, State: kernel.SocketEstablished, Local: at("192.0.2.10:1000"), Remote: at("203.0.113.9:53")},
			want:   []rpdb.Flow{{Dst: nine, Src: addr("192.0.2.10"), IPProto: rpdb.UDP, SPort: 1000, DPort: 53, Socket: rpdb.SendTo}}, unknown: "fwmark",
		},
		{
			name: "without privilege: the mark that is said", words: "mark 9",
			socket: kernel.InetSocket{Family: rpdb.IPv4, Protocol: rpdb.UDP, State: kernel.SocketEstablished, Local: at("192.0.2.10:1000"), Remote: at("203.0.113.9:53")},
			want:   []rpdb.Flow{{Dst: nine, Src: addr("192.0.2.10"), Mark: 9, IPProto: rpdb.UDP, SPort: 1000, DPort: 53, Socket: rpdb.SendTo}},
		},
		{
			name: "a server of both families asked by IPv4: from each address once", words: "to 203.0.113.9",
			socket: kernel.InetSocket{Family: rpdb.IPv6, Protocol: rpdb.TCP, State: kernel.SocketListen, Local: at("[::]:443"), Mark: zero, TOS: 0x10},
			want: []rpdb.Flow{
				{Dst: nine, Src: addr("192.0.2.10"), TOS: 0x10, IPProto: rpdb.TCP, SPort: 443, Socket: rpdb.SendTo},
				{Dst: nine, Src: addr("198.51.100.10"), TOS: 0x10, IPProto: rpdb.TCP, SPort: 443, Socket: rpdb.SendTo},
			},
		},
		{
			name: "a server asked from its own interface's link-local address", words: "to fe80::9 oif eth1",
			socket: kernel.InetSocket{Family: rpdb.IPv6, Protocol: rpdb.TCP, State: kernel.SocketListen, Local: at("[::]:443"), Mark: zero, V6Only: true},
			want:   []rpdb.Flow{{Dst: addr("fe80::9"), Src: addr("fe80::2"), OIF: "eth1", IPProto: rpdb.TCP, SPort: 443, Socket: rpdb.SendTo}}, unknown: "flowlabel",
		},
		{
			name: "a server on an address, which answers with the mark it was asked with", words: "to 203.0.113.9 dport 5000", mark: true,
			socket: kernel.InetSocket{Family: rpdb.IPv4, Protocol: rpdb.TCP, State: kernel.SocketListen, Local: at("192.0.2.10:443"), Mark: zero},
			want:   []rpdb.Flow{{Dst: nine, Src: addr("192.0.2.10"), IPProto: rpdb.TCP, SPort: 443, DPort: 5000, Socket: rpdb.SendTo}}, unknown: "fwmark",
		},
		{
			name: "unconnected UDP leaves the source to the route", words: "to 203.0.113.9",
			socket: kernel.InetSocket{Family: rpdb.IPv4, Protocol: rpdb.UDP, State: kernel.SocketUnconnected, Local: at("0.0.0.0:53"), Mark: seven},
			want:   []rpdb.Flow{{Dst: nine, Mark: 7, IPProto: rpdb.UDP, SPort: 53, Socket: rpdb.SendTo}},
		},
		{
			name: "unconnected UDP that is about to connect, by an interface", words: "to 203.0.113.9 oif eth0 from 192.0.2.10 connect",
			socket: kernel.InetSocket{Family: rpdb.IPv4, Protocol: rpdb.UDP, State: kernel.SocketUnconnected, Local: at("0.0.0.0:53"), Mark: zero},
			want:   []rpdb.Flow{{Dst: nine, Src: addr("192.0.2.10"), OIF: "eth0", IPProto: rpdb.UDP, SPort: 53, Socket: rpdb.Connect}},
		},
		{
			name: "TCP that is bound can only connect", words: "to 2001:db8:9::9",
			socket: kernel.InetSocket{Family: rpdb.IPv6, Protocol: rpdb.TCP, State: kernel.SocketBound, Local: at("[::]:7000"), Mark: zero, TClass: 0x48},
			want:   []rpdb.Flow{{Dst: nine6, TOS: 0x48, IPProto: rpdb.TCP, SPort: 7000, Socket: rpdb.Connect}}, unknown: "flowlabel",
		},
		{
			name:   "IPv6 may send from anywhere",
			socket: kernel.InetSocket{Family: rpdb.IPv6, Protocol: rpdb.UDP, State: kernel.SocketEstablished, Local: at("[2001:db8:77::7]:53"), Remote: at("[2001:db8:9::9]:53"), Mark: zero, AnySource: true},
			want:   []rpdb.Flow{{Dst: nine6, Src: addr("2001:db8:77::7"), IPProto: rpdb.UDP, SPort: 53, DPort: 53, Socket: rpdb.SendTo}}, unknown: "flowlabel",
		},
	} {
		s := server()
		s.Sysctls.TCPMarkAccept = tc.mark
		words, err := parseSocketWords(strings.Fields(tc.words))
		if err != nil {
			t.Fatal(err)
		}
		flows, reason := flowMaker{s, words}.flowsOf(tc.socket)
		var got []rpdb.Flow
		for _, f := range flows {
			got = append(got, f.flow)
			for _, name := range []string{"fwmark", "flowlabel", "tos or dscp", "uid", "ipproto"} {
				if f.knows(name) != (name != tc.unknown) {
					t.Errorf("%s: %s is known: %v", tc.name, name, f.knows(name))
				}
			}
		}
		slices.SortFunc(got, func(a, b rpdb.Flow) int { return a.Src.Compare(b.Src) })
		if reason != "" || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %s\n got  %+v\n want %+v", tc.name, reason, got, tc.want)
		}
	}
}

// Sockets that cannot be explained say why.
func TestSocketFlowsRefuse(t *testing.T) {
	at := netip.MustParseAddrPort
	for _, tc := range []struct {
		words, want string
		socket      kernel.InetSocket
	}{
		{"", `it has no destination of its own: add "to ADDRESS"`, kernel.InetSocket{Family: rpdb.IPv4, Local: at("0.0.0.0:1")}},
		{"to 2001:db8::1", "it speaks IPv4 alone", kernel.InetSocket{Family: rpdb.IPv4, Local: at("0.0.0.0:1")}},
		{"to 2001:db8::1", "it speaks IPv4 alone", kernel.InetSocket{Family: rpdb.IPv6, Local: at("192.0.2.10:1")}},
		{"to 203.0.113.9", "it speaks IPv6 alone", kernel.InetSocket{Family: rpdb.IPv6, Local: at("[::]:1"), V6Only: true}},
		{"to 203.0.113.9", "it speaks IPv6 alone", kernel.InetSocket{Family: rpdb.IPv6, Local: at("[2001:db8:a::10]:1")}},
		{"to fe80::9", "a link-local address means nothing without an interface", kernel.InetSocket{Family: rpdb.IPv6, Local: at("[::]:1")}},
		{"to fe80::9 oif lo", "this host has no address that it could answer fe80::9 from", kernel.InetSocket{Family: rpdb.IPv6, State: kernel.SocketListen, Local: at("[::]:1")}},
		{"", "it is bound to interface 9, which is gone", kernel.InetSocket{Family: rpdb.IPv4, Local: at("192.0.2.10:1"), Remote: at("203.0.113.9:1"), Bound: 9}},
		{"", "it sends from 192.0.2.99, which is not an address of this host", kernel.InetSocket{Family: rpdb.IPv4, Local: at("192.0.2.99:1"), Remote: at("203.0.113.9:1"), AnySource: true}},
	} {
		words, err := parseSocketWords(strings.Fields(tc.words))
		if err != nil {
			t.Fatal(err)
		}
		flows, reason := flowMaker{server(), words}.flowsOf(tc.socket)
		if len(flows) != 0 || !strings.HasPrefix(reason, tc.want) {
			t.Errorf("%q: %d flows, %q, want %q", tc.words, len(flows), reason, tc.want)
		}
	}
}

func TestSocketWordsRefuse(t *testing.T) {
	for _, tc := range []struct{ words, want string }{
		{"x", `flow: word 1 "x": neither a keyword of a flow nor an address`},
		{"to", `flow: word 1 "to": a value must follow`},
		{"to 10.0.0.1 10.0.0.2", `flow: word 3 "10.0.0.2": to is given twice`},
		{"to 10.0.0.1 dev eth0 iif eth1", `flow: word 5 "iif": that is for packets that come in, and a socket sends`},
		{"sport 7", `flow: word 1 "sport": a socket has that of its own`},
		{"dsfield 7", `flow: word 1 "dsfield": a socket has that of its own`},
		{"to 10.0.0.1 from ::1", "flow: source ::1 and destination 10.0.0.1 are of different families"},
		{"to 10.0.0.1 flowlabel 7", "flow: IPv4 packets have no flow label"},
		{"from 10.0.0.1", `flow: "from" says where answers come from, and "to" is missing that says where they go`},
	} {
		_, err := parseSocketWords(strings.Fields(tc.words))
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s:\n got  %v\n want %s", tc.words, err, tc.want)
		}
	}
}
