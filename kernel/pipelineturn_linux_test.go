package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

const exclusive = netlink.Create | netlink.Excl

// Only what is one route, told from all others by what it was asked for with, can be
// revoked.
func TestRevocable(t *testing.T) {
	plain := gateway("203.0.113.0/24", 2)
	for name, tt := range map[string]struct {
		change func(r *rpdb.Route)
		typ    uint16
		flags  netlink.Flags
		want   bool
	}{
		"plain":        {func(*rpdb.Route) {}, unix.RTM_NEWROUTE, exclusive, true},
		"metric":       {func(r *rpdb.Route) { r.Metric = 7 }, unix.RTM_NEWROUTE, exclusive, true},
		"onlink":       {func(r *rpdb.Route) { r.Nexthops[0].Flags = rpdb.NexthopOnlink }, unix.RTM_NEWROUTE, exclusive, true},
		"no exclusion": {func(*rpdb.Route) {}, unix.RTM_NEWROUTE, netlink.Create, false},
		"append":       {func(*rpdb.Route) {}, unix.RTM_NEWROUTE, netlink.Create | netlink.Append, false},
		"replace":      {func(*rpdb.Route) {}, unix.RTM_NEWROUTE, netlink.Create | netlink.Replace, false},
		"delete":       {func(*rpdb.Route) {}, unix.RTM_DELROUTE, 0, false},
		"source":       {func(r *rpdb.Route) { *r = gateway("2001:db8:1::/48", 2); r.Src = prefix("2001:db8::/48") }, unix.RTM_NEWROUTE, exclusive, false},
		"two nexthops": {func(r *rpdb.Route) { r.Nexthops = append(r.Nexthops, r.Nexthops[0]) }, unix.RTM_NEWROUTE, exclusive, false},
		"object":       {func(r *rpdb.Route) { r.NexthopID, r.Nexthops = 7, nil }, unix.RTM_NEWROUTE, exclusive, false},
		"refuses": {func(r *rpdb.Route) {
			*r = gateway("2001:db8:1::/48", 2)
			r.Type, r.Nexthops = rpdb.RouteUnreachable, nil
		}, unix.RTM_NEWROUTE, exclusive, true},
		"expires": {func(r *rpdb.Route) { *r = gateway("2001:db8:1::/48", 2); r.Expires = 9 }, unix.RTM_NEWROUTE, exclusive, false},
	} {
		r := plain
		r.Nexthops = slices.Clone(plain.Nexthops)
		tt.change(&r)
		if got := Revocable(request(tt.typ, tt.flags, r)); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	refuses := gateway("2001:db8:1::/48", 2)
	refuses.Type, refuses.Nexthops = rpdb.RouteThrow, nil
	var e netlink.Encoder
	e.Reset(unix.RTM_NEWROUTE, exclusive, request(unix.RTM_NEWROUTE, exclusive, refuses).Payload)
	e.Uint32(unix.RTA_OIF, 2)
	if Revocable(RouteRequest{Type: unix.RTM_NEWROUTE, Flags: uint16(exclusive), Payload: e.Payload()}) {
		t.Error("a route of IPv6 that refuses packets, asked for with a link, can be revoked")
	}
	echoed := request(unix.RTM_NEWROUTE, exclusive, plain)
	echoed.Echo = true
	if Revocable(echoed) || Revocable(RouteRequest{Type: unix.RTM_NEWROUTE, Flags: uint16(exclusive), Payload: []byte{2}}) {
		t.Error("what is echoed, or no message, can be revoked")
	}
}

// Nothing behind the first request that is refused stays, and all before it does.
func TestFlushInTurn(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	eth0 := index(t, c, "eth0")
	for _, f := range rpdb.Families() {
		dst := func(i int) string {
			if f == rpdb.IPv6 {
				return fmt.Sprintf("2001:db8:a:%x::/64", i)
			}
			return fmt.Sprintf("203.0.%d.0/24", i)
		}
		p := s.Pipeline()
		flush := func(numbers ...int) (int, error) {
			for _, i := range numbers {
				must(t, p.AddRoute(request(unix.RTM_NEWROUTE, exclusive, gateway(dst(i), eth0))))
			}
			return p.FlushInTurn(t.Context())
		}
		if refused, err := flush(1, 2, 3); refused != -1 || err != nil {
			t.Errorf("%v: %d, %v", f, refused, err)
		}
		refused, err := flush(4, 2, 5, 1, 6, 6)
		if refused != 1 || !errors.Is(err, unix.EEXIST) || p.Len() != 0 {
			t.Errorf("%v: %d, %v, %d are left", f, refused, err, p.Len())
		}
		if refused, err := flush(); refused != -1 || err != nil {
			t.Errorf("%v: nothing at all: %d, %v", f, refused, err)
		}
		var got []string
		if _, err := s.ListRoutes(t.Context(), dumpPayload(f, 100), func(m RouteMessage) error {
			got = append(got, m.Route.Dst.String())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		if want := []string{dst(1), dst(2), dst(3), dst(4)}; !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", f, got, want)
		}
	}
}

// A batch of routes costs little beside what the kernel does.
func TestPipelineAllocations(t *testing.T) {
	ns, c := uplinks(t)
	s := openSocket(t, ns)
	r := request(unix.RTM_NEWROUTE, exclusive, gateway("203.0.113.0/24", index(t, c, "eth0")))
	p := s.Pipeline()
	got := testing.AllocsPerRun(20, func() {
		for range 64 {
			if !Revocable(r) {
				t.Fatal("cannot be revoked")
			}
			must(t, p.AddRoute(r))
		}
		p.batch.Reset()
	})
	if got > 2 {
		t.Errorf("%v allocations for 64 routes", got)
	}
	_, _ = p.FlushInTurn(context.Background())
}
