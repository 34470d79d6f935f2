package sandbox

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"rpdb"
)

// ip4 and ip6 write packets from the documentation's networks.
func ip4(protocol rpdb.IPProto, fragment uint16, options int, payload []byte) []byte {
	b := make([]byte, 20+options)
	b[0] = 0x40 | byte(5+options/4)
	binary.BigEndian.PutUint16(b[6:], fragment)
	b[9] = byte(protocol)
	copy(b[12:], []byte{192, 0, 2, 10, 203, 0, 113, 10})
	return append(b, payload...)
}

func ip6(protocol rpdb.IPProto, payload []byte) []byte {
	b := make([]byte, 40)
	b[0], b[6] = 0x60, byte(protocol)
	src, dst := netip.MustParseAddr("2001:db8:a::10").As16(), netip.MustParseAddr("2001:db8:ffff::10").As16()
	copy(b[8:], src[:])
	copy(b[24:], dst[:])
	return append(b, payload...)
}

func TestParsePacket(t *testing.T) {
	ports := []byte{0x30, 0x39, 0, 80, 0, 0, 0, 0}
	four, six := addrs("192.0.2.10", "203.0.113.10"), addrs("2001:db8:a::10", "2001:db8:ffff::10")
	request := echo{request: true, id: 77, data: []byte("x")}
	const dontFragment, moreFragments = 0x4000, 0x2000
	for name, c := range map[string]struct {
		bytes []byte
		want  packet
		ok    bool
	}{
		"TCP":               {ip4(rpdb.TCP, dontFragment, 0, ports), packet{four[0], four[1], rpdb.TCP, 12345, 80}, true},
		"UDP with options":  {ip4(rpdb.UDP, 0, 8, ports), packet{four[0], four[1], rpdb.UDP, 12345, 80}, true},
		"TCP over IPv6":     {ip6(rpdb.TCP, ports), packet{six[0], six[1], rpdb.TCP, 12345, 80}, true},
		"ping":              {ip4(rpdb.ICMP, 0, 0, request.append(rpdb.ICMP)), packet{four[0], four[1], rpdb.ICMP, 77, 0}, true},
		"pong":              {ip4(rpdb.ICMP, 0, 0, echo{id: 78}.append(rpdb.ICMP)), packet{four[0], four[1], rpdb.ICMP, 78, 0}, true},
		"ping over IPv6":    {ip6(rpdb.ICMPv6, request.append(rpdb.ICMPv6)), packet{six[0], six[1], rpdb.ICMPv6, 77, 0}, true},
		"pong over IPv6":    {ip6(rpdb.ICMPv6, echo{id: 7}.append(rpdb.ICMPv6)), packet{six[0], six[1], rpdb.ICMPv6, 7, 0}, true},
		"first fragment":    {ip4(rpdb.UDP, moreFragments, 0, ports), packet{}, false},
		"later fragment":    {ip4(rpdb.UDP, 1, 0, ports), packet{}, false},
		"cut ports":         {ip4(rpdb.UDP, 0, 0, ports[:7]), packet{}, false},
		"cut options":       {ip4(rpdb.UDP, 0, 8, nil)[:24], packet{}, false},
		"header too short":  {append([]byte{0x44}, make([]byte, 40)...), packet{}, false},
		"cut IPv6":          {ip6(rpdb.UDP, nil)[:39], packet{}, false},
		"unreachable":       {ip4(rpdb.ICMP, 0, 0, []byte{3, 1, 0, 0, 0, 77, 0, 0}), packet{}, false},
		"neighbour solicit": {ip6(rpdb.ICMPv6, []byte{135, 0, 0, 0, 0, 77, 0, 0}), packet{}, false},
		"IPv6 ping in IPv4": {ip4(rpdb.ICMP, 0, 0, request.append(rpdb.ICMPv6)), packet{}, false},
		"SCTP":              {ip4(132, 0, 0, ports), packet{}, false},
		"ARP":               {[]byte{0, 1, 8, 0, 6, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, packet{}, false},
		"nothing":           {nil, packet{}, false},
	} {
		got, ok := parsePacket(c.bytes)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: got %+v, %v", name, got, ok)
		}
	}
}

// TestChecksum checks a message against the definition: with its checksum in
// place the sum is all ones.
func TestChecksum(t *testing.T) {
	for _, data := range []string{"", "a", "ab", "abc", string(make([]byte, 300)) + "\xff\xff\xff"} {
		if sum := checksum(echo{request: true, id: 0xfffe, data: []byte(data)}.append(rpdb.ICMP)); sum != 0 {
			t.Errorf("%q: %#x is left", data, sum)
		}
	}
}

// FuzzParsePacket looks for packets that crash the parser, and for ones that
// it takes for what probes send although they are too short for it.
func FuzzParsePacket(f *testing.F) {
	f.Add(ip4(rpdb.TCP, 0, 4, make([]byte, 8)))
	f.Add(ip6(rpdb.ICMPv6, echo{id: 1}.append(rpdb.ICMPv6)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parsePacket(b)
		if ok && (len(b) < 28 || rpdb.FamilyOf(p.src) != rpdb.FamilyOf(p.dst) || p.protocol == 0) {
			t.Errorf("%x: got %+v", b, p)
		}
	})
}
