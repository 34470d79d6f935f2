package iproute2_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"rpdb/format/iproute2"
)

// Options of a tunnel, whose bytes are made and never sent from here: the
// numbers are those of linux/lwtunnel.h.
func TestTunnelOptions(t *testing.T) {
	for typed, want := range map[string]string{
		"ip geneve_opts 0x1:2:abcd":       u16(32, 0x8008) + u16(28, 0x8001) + u16(6, 1) + "00010000" + u16(5, 2) + "02000000" + u16(6, 3) + "abcd0000",
		"ip geneve_opts 1::,:2:ab":        u16(36, 0x8008) + u16(12, 0x8001) + u16(6, 1) + "00010000" + u16(20, 0x8001) + u16(5, 2) + "02000000" + u16(5, 3) + "ab000000",
		"ip vxlan_opts 0x102":             u16(16, 0x8008) + u16(12, 0x8002) + u16(8, 1) + u32(0x102),
		"ip6 erspan_opts 1:0x10203":       u16(24, 0x8008) + u16(20, 0x8003) + u16(5, 1) + "01000000" + u16(8, 2) + "00010203",
		"ip6 erspan_opts 2::1:9 key":      u16(32, 0x8008) + u16(28, 0x8003) + u16(5, 1) + "02000000" + u16(5, 3) + "01000000" + u16(5, 4) + "09000000" + u16(6, 6) + "00040000",
		"ip geneve_opts :: dst 192.0.2.1": u16(8, 0x8008) + u16(4, 0x8001) + attr32(2, "c0000201"),
	} {
		q, err := context().ParseRequest(iproute2.RouteAdd, strings.Fields("198.51.100.0/24 encap "+typed+" dev v0"))
		if err != nil {
			t.Errorf("%s: %v", typed, err)
			continue
		}
		if got := hex.EncodeToString([]byte(q.Route().Nexthops[0].Encap)); got != want {
			t.Errorf("%s\n got %s\nwant %s", typed, got, want)
		}
	}
	for typed, word := range map[string]string{
		"ip geneve_opts 70000:1:ab": "70000:1:ab", "ip geneve_opts 1:256": "1:256", "ip geneve_opts 1:2:xy": "1:2:xy", "ip geneve_opts 1:2:ab:4": "1:2:ab:4",
		"ip vxlan_opts x": "x", "ip6 erspan_opts 1:2:3:4:5": "1:2:3:4:5", "ip6 erspan_opts 300": "300",
	} {
		kind := strings.Fields(typed)[1]
		_, err := context().ParseRequest(iproute2.RouteAdd, strings.Fields("198.51.100.0/24 encap "+typed+" dev v0"))
		checkComplaint(t, typed, err, "Error: argument \""+word+"\" is wrong: \""+kind+"\" value is invalid\n\n", 255)
	}
	_, err := context().ParseRequest(iproute2.RouteAdd, strings.Fields("default encap ip vxlan_opts 5 geneve_opts 1:2:ab dev v0"))
	checkComplaint(t, "two kinds", err, "Error: either \"opts\" is duplicate, or \"geneve_opts\" is garbage.\n", 255)
}

// Where ip drops words or stops short, nobody can want it to.
func TestTunnelsUnlikeIP(t *testing.T) {
	for typed, want := range map[string]string{
		"default encap xfrm if_id 5 dev v0 table 300":                             "default dev v0 table vpn encap xfrm if_id 5",
		"default nexthop encap xfrm if_id 5 dev v0 nexthop dev w0":                "default nexthop dev v0 weight 1 encap xfrm if_id 5 nexthop dev w0 weight 1",
		"2001:db8::/32 dev v0 encap seg6local action End.B6 srh segs 2001:db8::9": "2001:db8::/32 encap seg6local action End.B6 srh segs 2001:db8::9 dev v0",
	} {
		r := mustRoute(t, 0, typed)
		if _, got, _ := strings.Cut(iproute2.RouteCommand(0, r, view()), " add "); got != want {
			t.Errorf("%s is read as %s, want %s", typed, got, want)
		}
	}
	for _, typed := range []string{"bpf in obj x", "bpf xmit pinned /sys/fs/bpf/x", "seg6local action End.BPF endpoint obj x"} {
		_, err := context().ParseRequest(iproute2.RouteAdd, strings.Fields("default dev v0 encap "+typed))
		if err == nil || !strings.Contains(err.Error(), "loading BPF programs is not part of this program") {
			t.Errorf("%s: %v", typed, err)
		}
	}
}
