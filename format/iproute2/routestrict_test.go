package iproute2_test

import (
	"errors"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// What the name ip does with routes, and this program's own verbs refuse, with
// the reason. The kernel's part was tried on Linux 6.18.
func TestRouteRefusals(t *testing.T) {
	for typed, reason := range map[string]string{
		"192.0.2.1/24 dev v0":                         "write 192.0.2.0/24",
		"2001:db8::1/32 dev v0":                       "write 2001:db8::/32",
		"192.0.2.1/0 dev v0":                          "write 0.0.0.0/0",
		"10.8 dev v0":                                 "is read as 10.8.0.0/32",
		"010.0.0.0/8 dev v0":                          "is read as 8.0.0.0/8",
		"default via 10.1 dev v0":                     "is read as 10.1.0.0",
		"default via 0x0a.1.1.1 dev v0":               "is read as 10.1.1.1",
		"default via 0.0.0.0 dev v0":                  "address of a gateway",
		"default via all dev v0":                      "address of a gateway",
		"default via link 0:11:22:33:44:55 dev v0":    "address of a gateway",
		"default dev if7":                             "the one with index 7",
		"default dev v0 src all":                      "src has to be an address",
		"default dev v0 dev w0":                       "given twice",
		"default dev v0 mtu 1400 mtu 1300":            "given twice",
		"default dev v0 metric 5 priority 6":          "given twice",
		"default dev v0 table 0":                      "would take main",
		"default dev v0 table 300 vrf default":        "one table",
		"default nhid 0":                              "nhid 0 is no nexthop",
		"default dev v0 as 192.0.2.1":                 "only MPLS",
		"default dev v0 ttl-propagate enabled":        "only MPLS",
		"default from 192.0.2.0/24 dev v0":            "no routes by source",
		"default dev v0 pref high":                    "pref: only IPv6",
		"default dev v0 expires 60":                   "expires: only IPv6",
		"2001:db8::/32 dev v0 realms 5":               "realms: IPv6 has none",
		"2001:db8::/32 dev v0 scope link":             "scope: IPv6 routes have none",
		"2001:db8::/32 dev v0 metric 0":               "make 1024",
		"2001:db8::/32 dev v0 expires 0":              "gone at once",
		"2001:db8::/32 dev v0 pref 7":                 "make medium",
		"unreachable 2001:db8::/32 pref high":         "keeps none for unreachable",
		"blackhole 2001:db8::/32 dev v0":              "leads nowhere",
		"throw 2001:db8::/32 via 2001:db8::1":         "leads nowhere",
		"default dev v0 mtu 65521":                    "make 65520",
		"default dev v0 advmss 65496":                 "make 65495",
		"default dev v0 mtu lock 0":                   "mtu 0 sets nothing",
		"default dev v0 rtt 1.5":                      "not a whole number",
		"default dev v0 rtt 9999999999s":              "not a whole number",
		"default dev v0 rtt -5":                       "not a whole number",
		"default nexthop via 192.0.2.1 weight 5":      "would forget the weight",
		"default via 192.0.2.9 nexthop via 192.0.2.1": "behind the words nexthop",
		"default onlink nexthop via 192.0.2.1":        "behind the words nexthop",
		"default encap ip id 5 nexthop via 192.0.2.1": "behind the words nexthop",
		"default nexthop via 192.0.2.1 via 192.0.2.2": "given twice in a nexthop",
		"default nexthop via 192.0.2.1 as 192.0.2.2":  "only MPLS",
		"2001:db8::/32 nexthop via fe80::1 dev v0 realms 5 nexthop via fe80::2 dev v0": "realms: IPv6 has none",
		"default encap ip id 5 dst 192.0.2.1 geneve_opts 1:2:ab dev v0":                "Linux 6.18 stops",
		"default encap ip id 5 dst 192.0.2.1 vxlan_opts 5 dev v0":                      "Linux 6.18 stops",
		"::/0 encap ip6 id 5 dst ::1 erspan_opts 2:0:1:2 dev v0":                       "Linux 6.18 stops",
		"default nexthop dev v0 encap ip vxlan_opts 5 nexthop dev w0":                  "Linux 6.18 stops",
		"::/0 encap seg6 mode encap segs ::1 hmac x dev v0":                            "sign nothing",
		"::/0 encap seg6 mode encap hmac 5 dev v0":                                     "without segs",
		"::/0 encap ioam6 trace prealloc type 0x1000000 ns 1 size 4 dev v0":            "beyond the 24",
	} {
		for _, verb := range []iproute2.RouteVerb{iproute2.RouteAdd, iproute2.RouteDelete} {
			q, err := context().ParseRequest(verb, strings.Fields(typed))
			if err != nil {
				t.Errorf("%q: %v", typed, err)
				continue
			}
			r, err := q.Strict()
			var refusal *iproute2.RefusalError
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), reason) {
				t.Errorf("%v %q: %+v, %v, want %q", verb, typed, r, err, reason)
			}
		}
	}
	c := iproute2.RouteContext{Family: 28}
	if q, err := c.ParseRequest(iproute2.RouteAdd, []string{"100", "dev", "if5"}); err != nil {
		t.Error(err)
	} else if _, err := q.Strict(); err == nil {
		t.Error("a route of MPLS is one of IP")
	}
}

// What is not refused is the route that was typed.
func TestRouteStrict(t *testing.T) {
	for typed, want := range map[string]string{
		"default via 192.0.2.1 dev v0":                                 "default via 192.0.2.1 dev v0",
		"10/8 dev v0":                                                  "10.0.0.0/8 dev v0",
		"192.0.2.7 via 192.0.2.1":                                      "192.0.2.7 via 192.0.2.1",
		"bl 192.0.2.0/24 ta vpn":                                       "blackhole 192.0.2.0/24 table vpn",
		"unreachable 2001:db8::/32 dev lo metric 9":                    "unreachable 2001:db8::/32 dev lo metric 9",
		"2001:db8::/32 from 2001:db8::/48 dev v0 pref low":             "2001:db8::/32 from 2001:db8::/48 dev v0 pref low",
		"default dev v0 rtt 1.5s mtu lock 1400 quickack 0":             "default dev v0 mtu lock 1400 rtt 12000 quickack 0",
		"default nexthop via 192.0.2.1 nexthop via 192.0.2.2 weight 2": "default nexthop via 192.0.2.1 weight 1 nexthop via 192.0.2.2 weight 2",
		"198.51.100.0/24 via inet6 fe80::1 dev v0":                     "198.51.100.0/24 via inet6 fe80::1 dev v0",
		"2001:db8::/32 dev v0 scope global":                            "2001:db8::/32 dev v0",
		"default vrf default dev v0":                                   "default dev v0",
	} {
		q, err := context().ParseRequest(iproute2.RouteReplace, strings.Fields(typed))
		if err != nil {
			t.Fatal(err)
		}
		r, err := q.Strict()
		got := iproute2.RouteCommand(rpdb.Add, r, view())
		if _, words, _ := strings.Cut(got, " add "); err != nil || words != want {
			t.Errorf("%q: %s, %v, want %s", typed, got, err, want)
		}
		if !q.Is(r) {
			t.Errorf("%q is not its own route", typed)
		}
	}
}

// Is compares everything; metric, protocol and scope only if they were typed,
// and the type of a delete.
func TestRouteIs(t *testing.T) {
	route := mustRoute(t, 0, "198.51.100.0/24 via 192.0.2.1 dev v0 metric 5 proto static mtu 1400")
	for typed, want := range map[string]bool{
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400":                  true,
		"198.51.100.7/24 via 192.0.2.1 dev v0 mtu 1400":                  true,
		"unicast 198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 metric 5": true,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 metric 6":         false,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 proto static":     true,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 proto boot":       false,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 scope link":       false,
		"198.51.100.0/24 via 192.0.2.1 dev v0":                           false,
		"198.51.100.0/24 via 192.0.2.2 dev v0 mtu 1400":                  false,
		"198.51.100.0/24 via 192.0.2.1 dev w0 mtu 1400":                  false,
		"198.51.100.0/25 via 192.0.2.1 dev v0 mtu 1400":                  false,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 table 5":          false,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 tos 0x10":         false,
		"198.51.100.0/24":           false,
		"blackhole 198.51.100.0/24": false,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 src 192.0.2.9":          false,
		"198.51.100.0/24 encap mpls 5 via 192.0.2.1 dev v0 mtu 1400":           false,
		"198.51.100.0/24 nexthop via 192.0.2.1 dev v0":                         false,
		"198.51.100.0/24 mtu 1400 metric 5 nexthop via 192.0.2.1 dev v0":       true,
		"198.51.100.0/24 mtu 1400 nhid 5":                                      false,
		"to 198.51.100.0/24 oif v0 via inet 192.0.2.1 mtu 1400 protocol 4":     true,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu lock 1400":                   false,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 onlink":                 false,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 realms 5":               false,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 table main":             true,
		"198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400 ttl-propagate disabled": false,
	} {
		for _, verb := range []iproute2.RouteVerb{iproute2.RouteAdd, iproute2.RouteDelete} {
			q, err := context().ParseRequest(verb, strings.Fields(typed))
			if err != nil || q.Is(route) != want {
				t.Errorf("%v %q: %v, %v, want %v", verb, typed, q.Is(route), err, want)
			}
		}
	}
	q, _ := context().ParseRequest(iproute2.RouteDelete, strings.Fields("198.51.100.0/24 via 192.0.2.1 dev v0 mtu 1400"))
	route.Unknown = "\x04\x00\x63\x00"
	if q.Is(route) {
		t.Error("a route with unknown attributes is the one that was typed")
	}
}

// The kernel lists a tunnel with attributes that nobody asked for.
func TestRouteIsWithTunnel(t *testing.T) {
	const typed = "198.51.100.0/24 encap ip id 5 dst 192.0.2.1 dev v0"
	q, err := context().ParseRequest(iproute2.RouteAdd, strings.Fields(typed))
	if err != nil {
		t.Fatal(err)
	}
	listed := mustRoute(t, 0, "198.51.100.0/24 encap ip src 0.0.0.0 dst 192.0.2.1 ttl 0 tos 0 id 5 dev v0")
	if !q.Is(listed) {
		t.Error("the order and the zeros of attributes make a difference")
	}
	for _, other := range []string{"encap ip id 6 dst 192.0.2.1", "encap ip id 5 dst 192.0.2.1 key", "encap ip6 id 5", "encap ip id 5"} {
		if q.Is(mustRoute(t, 0, "198.51.100.0/24 "+other+" dev v0")) {
			t.Errorf("%s is %s", other, typed)
		}
	}
	counts := mustRoute(t, 0, "2001:db8::/32 encap seg6local action End count dev v0")
	q, _ = context().ParseRequest(iproute2.RouteAdd, strings.Fields("2001:db8::/32 encap seg6local count action End dev v0"))
	counts.Nexthops[0].Encap = rpdb.Raw(strings.ReplaceAll(string(counts.Nexthops[0].Encap), strings.Repeat("\x00", 8), "\x01\x02\x03\x04\x05\x06\x07\x08"))
	if !q.Is(counts) {
		t.Error("counted packets make a difference")
	}
}
