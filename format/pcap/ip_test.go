package pcap_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/pcap"
)

// bytesOf reads hexadecimal with spaces.
func bytesOf(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

const (
	udp4 = "4500 0024 0001 0000 4011 0000 0a000005 cb00710a 9c40 07d0 0010 0000 6162636465666768"
	udp6 = "6001 2345 0010 1140 20010db8000a00000000000000000005 20010db8ffff00000000000000000001 9c40 07d0 0010 0000 6162636465666768"
)

// Every link layer leads to the same packet.
func TestLinkLayers(t *testing.T) {
	for _, c := range []struct {
		name  string
		link  pcap.LinkType
		frame string
		want  pcap.Frame // without the payload
	}{
		{"ethernet", pcap.LinkEthernet, "020000000001 020000000002 0800" + udp4, pcap.Frame{}},
		{"vlan", pcap.LinkEthernet, "020000000001 020000000002 8100 a00a 0800" + udp4, pcap.Frame{VLANs: [2]uint16{10}}},
		{"priority only", pcap.LinkEthernet, "020000000001 020000000002 8100 a000 0800" + udp4, pcap.Frame{}},
		{"two tags", pcap.LinkEthernet, "020000000001 020000000002 88a8 0064 8100 000a 0800" + udp4, pcap.Frame{VLANs: [2]uint16{100, 10}}},
		{"cooked, in", pcap.LinkSLL, "0000 0001 0006 0200000000020000 0800" + udp4, pcap.Frame{Direction: pcap.Incoming}},
		{"cooked, out", pcap.LinkSLL, "0004 0001 0006 0200000000020000 0800" + udp4, pcap.Frame{Direction: pcap.Outgoing}},
		{"cooked, tagged", pcap.LinkSLL, "0001 0001 0006 0200000000020000 8100 000a 0800" + udp4, pcap.Frame{Direction: pcap.Incoming, VLANs: [2]uint16{10}}},
		{"cooked v2, foreign", pcap.LinkSLL2, "0800 0000 00000007 0001 03 06 0200000000020000" + udp4, pcap.Frame{Direction: pcap.Foreign, Index: 7}},
		{"cooked v2, to a group", pcap.LinkSLL2, "0800 0000 00000007 0001 02 06 0200000000020000" + udp4, pcap.Frame{Direction: pcap.Incoming, Index: 7}},
		{"raw", pcap.LinkRaw, udp4, pcap.Frame{}},
		{"raw IPv4", pcap.LinkIPv4, udp4, pcap.Frame{}},
		{"null of a little-endian host", pcap.LinkNull, "02000000" + udp4, pcap.Frame{}},
		{"loop", pcap.LinkLoop, "00000002" + udp4, pcap.Frame{}},
	} {
		p := pcap.Packet{Link: c.link, Data: bytesOf(c.frame)}
		p.Length = len(p.Data)
		f, ok := p.Frame()
		ip, err := f.IP()
		if !ok || err != nil || ip.SPort != 40000 || ip.DPort != 2000 || ip.Src.String() != "10.0.0.5" {
			t.Errorf("%s: %v, %v: %+v", c.name, ok, err, ip)
		}
		if f.Direction != c.want.Direction || f.Index != c.want.Index || f.VLANs != c.want.VLANs || f.Length != 36 {
			t.Errorf("%s: %+v, want %+v", c.name, f, c.want)
		}
		for n := range len(p.Data) - len(f.Payload) {
			p.Data = p.Data[:n]
			if _, ok := p.Frame(); ok {
				t.Errorf("%s: a link layer in %d bytes", c.name, n)
			}
		}
	}
}

func TestNotIP(t *testing.T) {
	for frame, want := range map[string]string{
		"ffffffffffff 020000000002 0806 0001": "ARP", "ffffffffffff 020000000002 88cc 0001": "LLDP", "ffffffffffff 020000000002 0026 4242": "802.2",
		"ffffffffffff 020000000002 1234 0001": "ethertype 0x1234", "ffffffffffff 020000000002 8100 0001 8100 0002 8100 0003 0800 00": "VLAN tag",
	} {
		p := pcap.Packet{Link: pcap.LinkEthernet, Data: bytesOf(frame)}
		f, ok := p.Frame()
		_, err := f.IP()
		if !ok || !errors.Is(err, pcap.ErrNotIP) || f.Type.String() != want {
			t.Errorf("%s: %v, %v, %v, want %s", frame, ok, f.Type, err, want)
		}
	}
	p := pcap.Packet{Link: pcap.LinkSLL2, Data: bytesOf("0800 0000 00000007 0338 04 06 0200000000020000" + udp4)} // netlink
	if f, _ := p.Frame(); f.Type != 0 || f.Type.String() != "no network packet" {
		t.Errorf("netlink messages are of type %v", f.Type)
	}
}

// A packet that the capture cut says so where the kernel would see more, and
// only there.
func TestCut(t *testing.T) {
	hop := "6001 2345 0018 0040 20010db8000a00000000000000000005 20010db8ffff00000000000000000001 1100 0104 0000 0000 9c40 07d0 0010 0000 6162636465666768"
	for _, c := range []struct {
		name, packet string
		header       int  // bytes of the IP header
		ports        int  // bytes with which the ports are there
		padded       bool // padding follows
	}{
		{"IPv4", udp4, 20, 24, false},
		{"IPv4 with padding", udp4, 20, 24, true},
		{"IPv6", udp6, 40, 44, false},
		{"IPv6 with options", hop, 40, 52, false},
	} {
		whole := bytesOf(c.packet)
		f := pcap.Frame{Type: pcap.EtherIPv4, Length: len(whole)}
		if whole[0]>>4 == 6 {
			f.Type = pcap.EtherIPv6
		}
		if c.padded {
			f.Length += 8
		}
		for n := range len(whole) + 1 {
			f.Payload = whole[:n]
			ip, err := f.IP()
			switch {
			case n < c.header:
				if !errors.Is(err, pcap.ErrCut) {
					t.Errorf("%s, %d bytes: %v", c.name, n, err)
				}
			case err != nil || ip.Cut != (n < c.ports) || (ip.DPort == 2000) != (n >= c.ports):
				t.Errorf("%s, %d bytes: %v %+v", c.name, n, err, ip)
			}
		}
	}
}

func TestDamaged(t *testing.T) {
	for name, c := range map[string]struct {
		packet string
		typ    pcap.EtherType
	}{
		"header of 16 bytes":            {"4400" + udp4[4:], pcap.EtherIPv4},
		"more than there was":           {"4500 0100" + udp4[9:], pcap.EtherIPv4},
		"less than its header":          {"4500 0010" + udp4[9:], pcap.EtherIPv4},
		"IPv6 in an IPv4 frame":         {udp6, pcap.EtherIPv4},
		"IPv4 in an IPv6 frame":         {udp4, pcap.EtherIPv6},
		"IPv6 with more than there was": {"6001 2345 0110" + udp6[14:], pcap.EtherIPv6},
		"IPv6 of 39 bytes":              {udp6[:85], pcap.EtherIPv6},
		"IPv4 of 19 bytes":              {"4500 0013 0001 0000 4011 0000 0a000005 cb0071", pcap.EtherIPv4},
	} {
		b := bytesOf(c.packet)
		if _, err := (pcap.Frame{Type: c.typ, Payload: b, Length: len(b)}).IP(); !errors.Is(err, pcap.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestICMPErrors(t *testing.T) {
	want := map[rpdb.IPProto]string{rpdb.ICMP: "[3 4 5 11 12]", rpdb.ICMPv6: "[1 2 3 4]", rpdb.UDP: "[]"}
	for proto, types := range want {
		got := []int{}
		for i := range 256 {
			if (pcap.IP{Protocol: proto, Type: uint8(i)}).IsICMPError() {
				got = append(got, i)
			}
		}
		if fmt.Sprint(got) != types {
			t.Errorf("protocol %d: %v are errors, want %s", proto, got, types)
		}
	}
	if (pcap.IP{Protocol: rpdb.ICMP, Type: 3, Later: true}).IsICMPError() {
		t.Error("a later fragment is an error")
	}
}

// What the capture does not carry is not made up, and what the kernel does not
// look at is not told.
func TestFlows(t *testing.T) {
	read := func(packet string) pcap.IP {
		b := bytesOf(packet)
		f := pcap.Frame{Type: pcap.EtherIPv4, Payload: b, Length: len(b)}
		if b[0]>>4 == 6 {
			f.Type = pcap.EtherIPv6
		}
		ip, err := f.IP()
		if err != nil {
			t.Fatal(err)
		}
		return ip
	}
	a4, b4 := read(udp4).Src, read(udp4).Dst
	a6, b6 := read(udp6).Src, read(udp6).Dst
	for name, c := range map[string]struct{ got, want rpdb.Flow }{
		"in":                                     {read(udp4).Input("lan0"), rpdb.Flow{Src: a4, Dst: b4, IIF: "lan0", IPProto: rpdb.UDP, SPort: 40000, DPort: 2000}},
		"out":                                    {read(udp4).Output(), rpdb.Flow{Src: a4, Dst: b4, IPProto: rpdb.UDP, SPort: 40000, DPort: 2000}},
		"IPv6 in":                                {read(udp6).Input("lan0"), rpdb.Flow{Src: a6, Dst: b6, IIF: "lan0", IPProto: rpdb.UDP, SPort: 40000, DPort: 2000, FlowLabel: 0x12345}},
		"IPv6 out, with a label of the kernel's": {read(udp6).Output(), rpdb.Flow{Src: a6, Dst: b6, IPProto: rpdb.UDP, SPort: 40000, DPort: 2000}},
		"first fragment in": {
			read(strings.Replace(udp4, "0001 0000", "0001 2000", 1)).Input("lan0"),
			rpdb.Flow{Src: a4, Dst: b4, IIF: "lan0", IPProto: rpdb.UDP},
		},
		"first fragment out": {
			read(strings.Replace(udp4, "0001 0000", "0001 2000", 1)).Output(),
			rpdb.Flow{Src: a4, Dst: b4, IPProto: rpdb.UDP, SPort: 40000, DPort: 2000},
		},
		"echo in": {
			read(strings.Replace(strings.Replace(udp4, "4011", "4001", 1), "9c40", "0800", 1)).Input("lan0"),
			rpdb.Flow{Src: a4, Dst: b4, IIF: "lan0", IPProto: rpdb.ICMP},
		},
		"echo out": {
			read(strings.Replace(strings.Replace(udp4, "4011", "4001", 1), "9c40", "0800", 1)).Output(),
			rpdb.Flow{Src: a4, Dst: b4, IPProto: rpdb.ICMP, DPort: 2048},
		},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v\nwant %+v", name, c.got, c.want)
		}
	}
}
