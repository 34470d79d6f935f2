package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/pcap"
)

// captureHost is a router with a bridge, a VLAN and a VRF.
func captureHost() *rpdb.Snapshot {
	up := rpdb.LinkUp | rpdb.LinkLowerUp
	s := &rpdb.Snapshot{
		Links: []rpdb.Link{
			{Index: 1, Name: "lo", Flags: up | rpdb.LinkLoopback},
			{Index: 2, Name: "eth0", Flags: up},
			{Index: 3, Name: "br0", Flags: up, Kind: "bridge"},
			{Index: 4, Name: "port0", Flags: up, Master: 3},
			{Index: 5, Name: "eth0.10", Flags: up, Kind: "vlan"},
			{Index: 6, Name: "red", Flags: up, Kind: "vrf", VRFTable: 1000},
			{Index: 7, Name: "eth1", Flags: up, Master: 6},
			{Index: 8, Name: "office20", Flags: up, Kind: "vlan"},
		},
		Addresses: []rpdb.Address{{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.2/24")}},
		Sysctls:   rpdb.Sysctls{IPv4Forward: true, Links: map[rpdb.LinkName]rpdb.LinkSysctls{}},
	}
	for _, l := range s.Links {
		s.Sysctls.Links[l.Name] = rpdb.LinkSysctls{Forwarding4: true}
	}
	s.Rules = []rpdb.Rule{{Family: rpdb.IPv4, Priority: 32766, Action: rpdb.ToTable(rpdb.TableMain)}}
	return s
}

// datagram is a UDP packet, with the header of a fragment if offset is not 0.
func datagram(src string, fragment uint16, ttl uint8) []byte {
	b := []byte{0x45, 0, 0, 28, 0, 1, 0, 0, ttl, 17, 0, 0}
	binary.BigEndian.PutUint16(b[6:], fragment)
	b = append(append(b, netip.MustParseAddr(src).AsSlice()...), 203, 0, 113, 10)
	return append(b, 0x0f, 0xa0, 0x07, 0xd0, 0, 8, 0, 0)
}

// cooked is the header of a packet that "tcpdump -i any" saw at an interface.
func cooked(index int, kind byte, packet []byte) []byte {
	h := []byte{8, 0, 0, 0, 0, 0, 0, byte(index), 0, 1, kind, 6, 2, 0, 0, 0, 0, 1, 0, 0}
	return append(h, packet...)
}

func tagged(vlans string, packet []byte) []byte {
	h, err := hex.DecodeString("020000000001020000000002" + vlans + "0800")
	if err != nil {
		panic(err)
	}
	return append(h, packet...)
}

func TestPlacePackets(t *testing.T) {
	theirs, ours := datagram("10.0.0.5", 0, 64), datagram("192.0.2.2", 0, 64)
	const in, foreign, out = 0, 3, 4
	for _, c := range []struct {
		name   string
		packet pcap.Packet
		words  string
		want   string
	}{
		{"cooked, coming in", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(2, in, theirs)}, "", "in by eth0"},
		{"cooked, of us", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(2, out, ours)}, "", "ours, at eth0"},
		{"cooked, of us without an address", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(2, out, datagram("0.0.0.0", 0, 64))}, "", "ours, at eth0"},
		{"cooked, going on", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(2, out, theirs)}, "", reasonLeaving},
		{"cooked, for another host", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(2, foreign, theirs)}, "", reasonForeign},
		{"cooked, our address from outside", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(2, in, ours)}, "", "in by eth0"},
		{"cooked, loopback", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(1, in, ours)}, "", "ours, at "},
		{"cooked, a port of a bridge", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(4, in, theirs)}, "", "at port0, a port of br0, where they are seen again"},
		{"cooked, a member of a VRF", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(7, in, theirs)}, "", "in by eth1"},
		{"cooked, unknown interface", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(99, in, theirs)}, "", "at interface 99, which does not exist here"},
		{"cooked, unknown interface, named", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(99, in, theirs)}, "iif eth1", "in by eth1"},
		{"cooked, another interface, named", pcap.Packet{Link: pcap.LinkSLL2, Data: cooked(2, in, theirs)}, "iif eth1", "at eth0, and not at eth1"},
		{"pcapng", pcap.Packet{Link: pcap.LinkRaw, Interface: "eth1", Data: theirs}, "", "in by eth1"},
		{"pcapng, a port of a bridge", pcap.Packet{Link: pcap.LinkRaw, Interface: "port0", Data: theirs}, "", "in by br0"},
		{"pcapng, leaving", pcap.Packet{Link: pcap.LinkRaw, Interface: "eth1", Direction: pcap.Outgoing, Data: ours}, "", "ours, at eth1"},
		{"pcapng, unknown interface", pcap.Packet{Link: pcap.LinkRaw, Interface: "en0", Data: theirs}, "", `at interface "en0", which does not exist here`},
		{"pcapng, unknown interface, named", pcap.Packet{Link: pcap.LinkRaw, Interface: "en0", Data: theirs}, "iif eth0", "in by eth0"},
		{"nobody says where", pcap.Packet{Link: pcap.LinkRaw, Data: theirs}, "", "error: " + errNoInterface{}.Error()},
		{"nobody says where, but it is ours", pcap.Packet{Link: pcap.LinkRaw, Data: ours}, "", "ours, at "},
		{"named", pcap.Packet{Link: pcap.LinkRaw, Data: theirs}, "iif eth0", "in by eth0"},
		{"named, and ours", pcap.Packet{Link: pcap.LinkRaw, Data: ours}, "iif eth0", "ours, at "},
		{"all ours", pcap.Packet{Link: pcap.LinkRaw, Data: theirs}, "local", "ours, at "},
		{"ours, later fragment", pcap.Packet{Link: pcap.LinkRaw, Data: datagram("192.0.2.2", 0x0004, 64)}, "", reasonLater},
		{"theirs, later fragment", pcap.Packet{Link: pcap.LinkRaw, Data: datagram("10.0.0.5", 0x0004, 64)}, "iif eth0", "in by eth0"},
		{"VLAN", pcap.Packet{Link: pcap.LinkEthernet, Data: tagged("8100000a", theirs)}, "iif eth0", "in by eth0.10"},
		{"VLAN by its own interface", pcap.Packet{Link: pcap.LinkEthernet, Data: tagged("81000014", theirs)}, "iif office20", "in by office20"},
		{"VLAN without interface", pcap.Packet{Link: pcap.LinkEthernet, Data: tagged("81000014", theirs)}, "iif eth0", "of VLAN 20, for which there is no interface eth0.20"},
		{"two tags", pcap.Packet{Link: pcap.LinkEthernet, Data: tagged("88a800648100000a", theirs)}, "iif eth0", "of VLAN 100.10, for which there is no interface eth0.100.10"},
		{"VLAN in pcapng", pcap.Packet{Link: pcap.LinkEthernet, Interface: "eth0", Data: tagged("8100000a", theirs)}, "", "in by eth0.10"},
		{"no interface tells VLANs", pcap.Packet{Link: pcap.LinkEthernet, Data: tagged("8100000a", theirs)}, "", "error: " + errNoInterface{}.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			words, err := parseCaptureWords(strings.Fields(c.words))
			if err != nil {
				t.Fatal(err)
			}
			x := newCaptureExplainer(captureHost(), nil, words)
			c.packet.Length = len(c.packet.Data)
			f, _ := c.packet.Frame()
			ip, err := f.IP()
			if err != nil {
				t.Fatal(err)
			}
			at, err := x.place(c.packet, f, ip)
			got := at.reason
			switch {
			case err != nil:
				got = "error: " + err.Error()
			case at.incoming:
				got = fmt.Sprintf("in by %s", at.link)
			case got == "":
				got = fmt.Sprintf("ours, at %s", at.seen)
			}
			if got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// What no packet carries comes from the words, for those packets that have it.
func TestCaptureFlows(t *testing.T) {
	words, err := parseCaptureWords(strings.Fields("mark 7 uid 1000 oif eth0 flowlabel 5 tun_id 9 connect"))
	if err != nil {
		t.Fatal(err)
	}
	x := newCaptureExplainer(captureHost(), nil, words)
	ip := pcap.IP{Src: netip.MustParseAddr("192.0.2.2"), Dst: netip.MustParseAddr("203.0.113.10"), Protocol: rpdb.UDP, SPort: 1, DPort: 2}
	out := rpdb.Flow{Dst: ip.Dst, Mark: 7, UID: 1000, OIF: "eth0", IPProto: rpdb.UDP, SPort: 1, DPort: 2, Socket: rpdb.Connect}
	if got := x.flow(ip, placed{}); got != out {
		t.Errorf("out: %+v\nwant %+v", got, out)
	}
	in := rpdb.Flow{Dst: ip.Dst, Src: ip.Src, IIF: "eth1", Mark: 7, TunID: 9, IPProto: rpdb.UDP, SPort: 1, DPort: 2}
	if got := x.flow(ip, placed{incoming: true, link: "eth1"}); got != in {
		t.Errorf("in: %+v\nwant %+v", got, in)
	}
}

// However many packets there are, what is kept of them is bounded, and it is
// said where it is.
func TestCaptureLimits(t *testing.T) {
	s := captureHost()
	for i := range 2 * maxGroups { // every route leads to another gateway
		s.Routes = append(s.Routes, rpdb.Route{
			Family: rpdb.IPv4, Table: rpdb.TableMain, Type: rpdb.RouteUnicast, Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), 32),
			Nexthops: []rpdb.Nexthop{{Link: 2, Via: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})}},
		})
	}
	x := newCaptureExplainer(s, nil, captureWords{flow: rpdb.Flow{IIF: "eth1"}})
	for i := range 2 * maxGroups {
		packet := datagram("10.0.0.5", 0x2000, 1)
		copy(packet[16:], []byte{11, 0, byte(i >> 8), byte(i)})
		if err := x.take(pcap.Packet{Number: int64(i + 1), Link: pcap.LinkRaw, Data: packet, Length: len(packet)}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := x.explanation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Groups) != maxGroups || len(c.LeftOut) != 1 || c.LeftOut[0].Packets != maxGroups || c.LeftOut[0].Examples[0] != maxGroups+1 {
		t.Errorf("%d groups, left out %+v", len(c.Groups), c.LeftOut)
	}
	if g := c.Groups[0]; g.Packets != 1 || g.Flows != 1 || g.Fragments != 1 || g.Expiring != 1 {
		t.Errorf("the first group: %+v", g)
	}
	for i := range 2 * maxReasons {
		x.leave(1, fmt.Sprint("reason ", i))
	}
	if len(x.reasons) != maxReasons+1 || x.reasons["for other reasons"].Packets == 0 {
		t.Errorf("%d reasons", len(x.reasons))
	}
}

// Where the kernel chooses a nexthop by what is not in the flow, none is named.
func TestCaptureMultipath(t *testing.T) {
	s := captureHost()
	s.Sysctls.HashSeed = 7
	s.Routes = []rpdb.Route{{
		Family: rpdb.IPv4, Table: rpdb.TableMain, Type: rpdb.RouteUnicast, Dst: netip.MustParsePrefix("0.0.0.0/0"),
		Nexthops: []rpdb.Nexthop{{Link: 2, Via: netip.MustParseAddr("192.0.2.1"), Weight: 1}, {Link: 2, Via: netip.MustParseAddr("192.0.2.9"), Weight: 1}},
	}}
	x := newCaptureExplainer(s, nil, captureWords{flow: rpdb.Flow{IIF: "eth1"}})
	for i, first := range [][]byte{{0x0f, 0xa0}, {11, 0}, {8, 0}} { // a port, time exceeded, an echo request
		packet := datagram("10.0.0.5", 0, 64)
		copy(packet[20:], first)
		if i > 0 {
			packet[9] = byte(rpdb.ICMP)
		}
		if err := x.take(pcap.Packet{Number: int64(i + 1), Link: pcap.LinkRaw, Data: packet, Length: len(packet)}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := x.explanation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Groups) != 2 {
		t.Fatalf("%d groups, want 2", len(c.Groups))
	}
	for _, g := range c.Groups {
		either := len(g.Explanation.Trace.Decision.Either)
		if want := map[int64]int{1: 0, 2: 2}[g.Examples[0]]; either != want {
			t.Errorf("packets %v: one of %d nexthops, want %d", g.Examples, either, want)
		}
	}
}

// A large capture is read in one pass, and its memory does not grow with it.
func TestCaptureIsStreamed(t *testing.T) {
	x := newCaptureExplainer(captureHost(), nil, captureWords{flow: rpdb.Flow{IIF: "eth1"}})
	var file bytes.Buffer
	file.Write([]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0})
	packet := datagram("10.0.0.5", 0, 64)
	head := binary.LittleEndian.AppendUint32(make([]byte, 8), uint32(len(packet)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(packet)))
	for range 1000 {
		file.Write(head)
		file.Write(packet)
	}
	once := file.Bytes()
	allocs := func(n int) float64 {
		return testing.AllocsPerRun(1, func() {
			for range n {
				if err := x.read(t.Context(), bytes.NewReader(once)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if n := allocs(1); n > 500 { // the buffer, the reader, and nothing for each packet
		t.Errorf("%v allocations for 1000 packets of one flow", n)
	}
	if x.packets < 1000 || len(x.groups) != 1 {
		t.Errorf("%d packets in %d groups", x.packets, len(x.groups))
	}
}
