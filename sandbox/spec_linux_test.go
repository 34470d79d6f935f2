package sandbox

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
)

// TestComplete makes up what is missing, out of the way of what is there.
func TestComplete(t *testing.T) {
	for name, c := range map[string]struct {
		spec      Spec
		addresses [][]netip.Prefix // of the uplinks, then of the extra interfaces
		outside   []netip.Addr
	}{
		"nothing": {Spec{}, nil, addrs("203.0.113.10", "2001:db8:ffff::10")},
		"all given": {
			Spec{Uplinks: twoUplinks()},
			[][]netip.Prefix{prefixes("192.168.0.10/24", "2001:db8:a::10/64"), prefixes("10.10.0.10/24", "2001:db8:b::10/64")},
			addrs("203.0.113.10", "2001:db8:ffff::10"),
		},
		"gateways only": {
			Spec{Uplinks: []Uplink{{Link: "a", Gateways: addrs("192.0.2.1", "2001:db8:1::1")}, {Link: "b", Gateways: addrs("192.0.2.10", "fe80::1")}}},
			[][]netip.Prefix{prefixes("192.0.2.11/24", "2001:db8:1::10/64"), prefixes("192.0.2.12/24", "2001:db8:e000::10/64")},
			addrs("203.0.113.10", "2001:db8:ffff::10"),
		},
		"gateways that no network of 256 addresses has": {
			Spec{Uplinks: []Uplink{{Link: "a", Gateways: addrs("10.10.7.255")}, {Link: "b", Gateways: addrs("10.12.1.0")}}},
			[][]netip.Prefix{prefixes("10.10.0.10/20"), prefixes("10.12.0.10/23")},
			addrs("203.0.113.10", "2001:db8:ffff::10"),
		},
		"gateways that are on the link without a network": {
			Spec{Uplinks: []Uplink{
				{Link: "a", Gateways: addrs("172.31.1.1", "fe80::1"), Onlink: true},
				{Link: "b", Gateways: addrs("192.0.2.1", "2001:db8:1::1"), Onlink: true, Addresses: prefixes("198.51.100.7/28", "2001:db8:2::7/64")},
			}},
			[][]netip.Prefix{prefixes("198.18.0.10/32", "2001:db8:e000::10/128"), prefixes("198.51.100.7/28", "2001:db8:2::7/64")},
			addrs("203.0.113.10", "2001:db8:ffff::10"),
		},
		"gateways that the host learns": {
			Spec{Uplinks: []Uplink{
				{Link: "a", Learned: []rpdb.Family{rpdb.IPv4, rpdb.IPv6}},
				{Link: "b", Learned: []rpdb.Family{rpdb.IPv4}, Gateways: addrs("fe80::2"), Addresses: prefixes("192.0.2.1/30")},
				{Link: "c", Learned: []rpdb.Family{rpdb.IPv4}, Addresses: prefixes("192.0.2.9/32")},
			}},
			[][]netip.Prefix{prefixes("198.18.0.10/24", "2001:db8:e000::10/64"), prefixes("192.0.2.1/30", "2001:db8:e001::10/64"), prefixes("192.0.2.9/32")},
			addrs("203.0.113.10", "2001:db8:ffff::10"),
		},
		"outside's usual places in use": {
			Spec{
				Uplinks: []Uplink{{Link: "a", Gateways: addrs("203.0.113.1", "2001:db8:ffff::1")}},
				Avoid:   prefixes("198.51.100.0/25", "0.0.0.0/0", "::/0"), Outside: addrs("192.0.2.1", "2001:db8:f000::7", "192.0.2.1"),
			},
			[][]netip.Prefix{prefixes("203.0.113.10/24", "2001:db8:ffff::10/64")},
			addrs("198.19.0.10", "2001:db8:f001::10", "192.0.2.1", "2001:db8:f000::7"),
		},
		"blocks": {
			Spec{Uplinks: []Uplink{{Link: "a", Gateways: addrs("192.0.2.1"), Routed: prefixes("192.0.2.8/29", "203.0.113.0/28")}}, Extra: []Extra{{Link: "lan0", Inside: prefixes("198.18.0.0/24")}}},
			[][]netip.Prefix{prefixes("192.0.2.16/24"), prefixes("198.18.1.10/24", "2001:db8:e000::10/64")},
			addrs("198.51.100.10", "2001:db8:ffff::10"),
		},
		"tunnels": {
			Spec{Extra: []Extra{{Link: "wg0"}, {Link: "wg1", Gateways: addrs("10.8.0.1"), Addresses: prefixes("10.8.0.2/32")}}, Avoid: prefixes("198.18.0.0/24", "2001:db8:e000::/47")},
			[][]netip.Prefix{prefixes("198.18.1.10/24", "2001:db8:e002::10/64"), prefixes("10.8.0.2/32", "10.8.0.10/24", "2001:db8:e003::10/64")},
			addrs("203.0.113.10", "2001:db8:ffff::10"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.spec.complete()
			if err != nil {
				t.Fatal(err)
			}
			var addresses [][]netip.Prefix
			for _, u := range got.Uplinks {
				addresses = append(addresses, u.Addresses)
				if u.Name == "" {
					t.Errorf("uplink %s has no name", u.Link)
				}
			}
			for _, e := range got.Extra {
				addresses = append(addresses, e.Addresses)
			}
			if !slices.EqualFunc(addresses, c.addresses, slices.Equal) {
				t.Errorf("addresses %v, want %v", addresses, c.addresses)
			}
			if !slices.Equal(got.Outside, c.outside) {
				t.Errorf("outside %v, want %v", got.Outside, c.outside)
			}
		})
	}
}

// TestCompleteRefuses lists specs whose parts do not fit.
func TestCompleteRefuses(t *testing.T) {
	uplink := func(gateways, addresses string) Spec {
		u := Uplink{Link: "eth0"}
		if gateways != "" {
			u.Gateways = addrs(strings.Fields(gateways)...)
		}
		if addresses != "" {
			u.Addresses = prefixes(strings.Fields(addresses)...)
		}
		return Spec{Uplinks: []Uplink{u}}
	}
	for want, s := range map[string]Spec{
		`rp_filter 3: not 0, 1 or 2`:                               {RPFilter: 3},
		`interface "": not a name`:                                 {Uplinks: []Uplink{{}}},
		`interface "a/b": not a name`:                              {Extra: []Extra{{Link: "a/b"}}},
		`interface "eth%d": not a name`:                            {Extra: []Extra{{Link: "eth%d"}}},
		`interface "sixteen-letters-": not a name`:                 {Extra: []Extra{{Link: "sixteen-letters-"}}},
		`interface "lo": taken`:                                    {Uplinks: []Uplink{{Link: "lo"}}},
		`interface "eth0": taken`:                                  {Uplinks: []Uplink{{Link: "eth0"}}, Extra: []Extra{{Link: "eth0"}}},
		`uplink "x": name taken`:                                   {Uplinks: []Uplink{{Name: "x", Link: "eth0"}, {Name: "x", Link: "eth1"}}},
		`gateway 10.0.0.1: in no network of the interface`:         uplink("10.0.0.1", "192.0.2.10/24"),
		`gateway 2001:db8::1: in no network`:                       uplink("2001:db8::1", "192.0.2.10/24 2001:db8:1::1/64"),
		`gateway 192.0.2.10: is an address of the host`:            uplink("192.0.2.10", "192.0.2.10/24"),
		`gateway 192.0.2.2: there is one of IPv4 already`:          uplink("192.0.2.1 192.0.2.2", ""),
		`gateway ff02::1: not the address of a host`:               uplink("ff02::1", ""),
		`gateway fe80::1%eth0: not the address of a host`:          uplink("fe80::1%eth0", ""),
		`address invalid Prefix: not valid`:                        {Uplinks: []Uplink{{Link: "eth0", Addresses: []netip.Prefix{{}}}}},
		`uplink "eth0": gateway 192.0.2.1: there is one of`:        {Uplinks: []Uplink{{Link: "eth0", Gateways: addrs("192.0.2.2"), Addresses: prefixes("192.0.2.10/24"), Learned: []rpdb.Family{rpdb.IPv4}}}},
		`outside address 192.0.2.7: in the connected network`:      {Uplinks: uplink("192.0.2.1", "").Uplinks, Outside: addrs("192.0.2.7")},
		`outside address 127.0.0.1: not an address of the`:         {Outside: addrs("127.0.0.1")},
		`outside address 203.0.113.7: in the block 203.0.113.0/28`: {Uplinks: []Uplink{{Link: "a", Routed: prefixes("203.0.113.0/28")}}, Outside: addrs("203.0.113.7")},
		`block 10.1.0.1/24: not one that can be routed`:            {Extra: []Extra{{Link: "a", Inside: prefixes("10.1.0.1/24")}}},
		`all networks from 203.0.113.0/24 to 198.19.60.0/24 are i`: {Avoid: prefixes("203.0.0.0/8", "198.0.0.0/8", "192.0.0.0/8")},
	} {
		if _, err := s.complete(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestLinkName allows what the kernel does: any other bytes, UTF-8 or not.
func TestLinkName(t *testing.T) {
	for name, want := range map[rpdb.LinkName]bool{"eth0.5": true, "a\xff\x1b": true, "caf\u00e9": true, "a\xa0": false, "a:1": false, "..": false} {
		if isLinkName(name) != want {
			t.Errorf("%q: got %v", name, !want)
		}
	}
}

// TestCompleteKeepsItsInput changes nothing in the slices it was given.
func TestCompleteKeepsItsInput(t *testing.T) {
	s := Spec{Uplinks: []Uplink{{Link: "eth0", Gateways: addrs("192.0.2.1")}}, Outside: make([]netip.Addr, 0, 8)}
	if _, err := s.complete(); err != nil {
		t.Fatal(err)
	}
	if s.Uplinks[0].Addresses != nil || s.Uplinks[0].Name != "" {
		t.Errorf("got %+v", s)
	}
}

func TestProbeText(t *testing.T) {
	local := netip.MustParseAddr("192.0.2.10")
	for want, p := range map[string]Probe{
		"inbound TCP to 192.0.2.10 by isp-a":                                {Direction: Inbound, Protocol: rpdb.TCP, Local: local, Uplink: "isp-a"},
		"outbound UDP from 192.0.2.10":                                      {Protocol: rpdb.UDP, Local: local},
		`outbound ping (IPv6) by device "eth\x1b" with mark 0x10 as user 7`: {Protocol: rpdb.ICMPv6, Family: rpdb.IPv6, Device: "eth\x1b", Mark: 16, UID: rpdb.Some(uint32(7))},
	} {
		if got := p.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	p := Probe{Direction: Inbound, Protocol: rpdb.TCP, Local: local, Uplink: "isp-a", UID: rpdb.Some(uint32(0))}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Probe
	if err := json.Unmarshal(text, &back); err != nil || back != p {
		t.Errorf("%s: got %+v, %v", text, back, err)
	}
	var d Direction
	if err := d.UnmarshalText([]byte("sideways")); err == nil {
		t.Error("read a direction that is none")
	}
}
