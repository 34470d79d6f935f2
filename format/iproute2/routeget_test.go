package iproute2_test

import (
	"net/netip"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

func vrfContext() iproute2.RouteContext {
	c := context()
	c.VRF = func(name string) (rpdb.TableID, bool) { return 1000, name == "w0" }
	return c
}

func mustGet(t *testing.T, typed string) iproute2.RouteGetRequest {
	t.Helper()
	g, err := vrfContext().ParseGet(strings.Fields(typed))
	if err != nil {
		t.Fatalf("%q: %v", typed, err)
	}
	return g
}

// The flow that a question is about, for whoever else can answer it.
func TestRouteGetFlow(t *testing.T) {
	dst := netip.MustParseAddr("192.0.2.1")
	for typed, want := range map[string]rpdb.Flow{
		"192.0.2.1":                                {Dst: dst, IPProto: rpdb.UDP},
		"192.0.2.1 ipproto tcp sport 5 dport 6":    {Dst: dst, IPProto: rpdb.TCP, SPort: 5, DPort: 6},
		"192.0.2.1 from 192.0.2.2 iif v0":          {Dst: dst, Src: netip.MustParseAddr("192.0.2.2"), IIF: "v0", IPProto: rpdb.UDP},
		"192.0.2.1 oif v0 mark 7 uid 1000 tos 10":  {Dst: dst, OIF: "v0", Mark: 7, UID: 1000, TOS: 0x10, IPProto: rpdb.UDP},
		"192.0.2.1 vrf w0":                         {Dst: dst, OIF: "w0", IPProto: rpdb.UDP},
		"192.0.2.9 to 192.0.2.1":                   {Dst: dst, IPProto: rpdb.UDP},
		"default":                                  {Dst: netip.IPv4Unspecified(), IPProto: rpdb.UDP},
		"2001:db8::1 flowlabel 0x12345":            {Dst: netip.MustParseAddr("2001:db8::1"), FlowLabel: 0x12345},
		"2001:db8::1 ipproto ipv6-icmp from ::/0":  {Dst: netip.MustParseAddr("2001:db8::1"), Src: netip.IPv6Unspecified(), IPProto: rpdb.ICMPv6},
		"192.0.2.1/24 mark 5 mark 0 fibmatch":      {Dst: dst, IPProto: rpdb.UDP},
		"192.0.2.1 oif v0 oif w0 notify connected": {Dst: dst, OIF: "w0", IPProto: rpdb.UDP},
	} {
		if got := mustGet(t, typed).Flow(); got != want {
			t.Errorf("%q\n got %+v\nwant %+v", typed, got, want)
		}
	}
}

func TestRouteGetVRF(t *testing.T) {
	if g := mustGet(t, "192.0.2.1 vrf w0"); g.OIF != 3 {
		t.Errorf("bound to %d", g.OIF)
	}
	_, err := vrfContext().ParseGet(strings.Fields("192.0.2.1 vrf default"))
	checkComplaint(t, "get vrf default", err, "Error: argument \"default\" is wrong: Invalid VRF\n\n", 255)
}

// "connected" asks again, unless a source was typed, and needs an answer that
// names one.
func TestRouteGetAgain(t *testing.T) {
	source := netip.MustParseAddr("192.0.2.1")
	for typed, want := range map[string]bool{
		"198.51.100.1":                          false,
		"198.51.100.1 connected":                true,
		"c 198.51.100.1 oif v0":                 true,
		"198.51.100.1 connected from 192.0.2.1": false,
		"198.51.100.1 connected from all":       false,
	} {
		for _, answer := range []rpdb.Route{{PrefSrc: source}, {Src: netip.PrefixFrom(source, 32)}, {}} {
			again, hasSource := mustGet(t, typed).Again(answer)
			if again != want || hasSource != (answer.PrefSrc.IsValid() || answer.Src.IsValid()) {
				t.Errorf("%q answered %v: again %v, source %v", typed, answer, again, hasSource)
			}
		}
	}
}

func TestRouteGetWarnings(t *testing.T) {
	const warning = "Warning: /24 as prefix is invalid, only /32 (or none) is supported."
	if w := mustGet(t, "192.0.2.0/24").Warnings(); len(w) != 1 || w[0] != warning {
		t.Errorf("warnings %q", w)
	}
	_, err := context().ParseGet(strings.Fields("192.0.2.0/24 uid x"))
	checkComplaint(t, "get", err, warning+"\nError: argument \"x\" is wrong: invalid UID\n\n", 255)
}
