package kernel

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// The kernel deletes IPv4 routes and nexthop objects with their interface and
// says nothing about them; the event of the interface even comes before. A
// snapshot shows all of them or none, and the interface accordingly.
func TestSnapshotWhileALinkGoes(t *testing.T) {
	ns, c := uplinks(t)
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	const many = 1500 // several datagrams
	eth0 := index(t, c, "eth0")
	fill := func() {
		must(t, other.SetLink("eth0", LinkChange{Up: true}))
		must(t, other.AddNexthop(rpdb.NexthopObject{ID: 9, Family: rpdb.IPv4, Nexthop: rpdb.Nexthop{Link: eth0, Via: addr("192.0.2.9")}}))
		for i := range many {
			r := rpdb.Route{
				Family: rpdb.IPv4, Table: 70, Dst: host4(i), Type: rpdb.RouteUnicast, Scope: rpdb.ScopeLink,
				Nexthops: []rpdb.Nexthop{{Link: eth0}},
			}
			must(t, other.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create, r), nil))
		}
	}
	both := map[bool]int{}
	for round := range 12 {
		fill()
		var down sync.WaitGroup
		down.Go(func() {
			time.Sleep(time.Duration(round) * time.Millisecond)
			if err := other.SetLink("eth0", LinkChange{Down: true}); err != nil {
				t.Error(err)
			}
		})
		for range 4 {
			s := snapshot(t, c)
			l, _ := s.LinkByName("eth0")
			want := map[bool]int{true: many, false: 0}[l.IsUp()]
			if got := len(s.Table(rpdb.IPv4, 70)); got != want {
				t.Errorf("up %v: %d routes of %d", l.IsUp(), got, many)
			}
			if got := len(s.Nexthops); got != min(want, 1) {
				t.Errorf("up %v: %d nexthop objects", l.IsUp(), got)
			}
			both[l.IsUp()]++
		}
		down.Wait()
	}
	t.Logf("%d snapshots before, %d after", both[true], both[false])
}

// host4 returns the i-th of many prefixes.
func host4(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 32)
}

// With its last address an interface loses its IPv4 routes, without an event
// of theirs.
func TestSnapshotWhileAnAddressGoes(t *testing.T) {
	ns, c := uplinks(t)
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	const many = 1500
	eth0 := index(t, c, "eth0")
	last := prefix("192.0.2.1/24")
	for round := range 12 {
		for i := range many {
			r := rpdb.Route{
				Family: rpdb.IPv4, Table: 70, Dst: host4(i), Type: rpdb.RouteUnicast,
				Nexthops: []rpdb.Nexthop{{Link: eth0, Via: addr("192.0.2.9")}},
			}
			must(t, other.nl.Execute(t.Context(), encodeRoute(unix.RTM_NEWROUTE, netlink.Create, r), nil))
		}
		var gone sync.WaitGroup
		gone.Go(func() {
			time.Sleep(time.Duration(round) * time.Millisecond)
			if err := other.DeleteAddress("eth0", last); err != nil {
				t.Error(err)
			}
		})
		for range 4 {
			s := snapshot(t, c)
			want := many * len(s.AddressesOf(rpdb.IPv4, eth0))
			if got := len(s.Table(rpdb.IPv4, 70)); got != want {
				t.Errorf("%d routes, want %d", got, want)
			}
		}
		gone.Wait()
		must(t, other.AddAddress("eth0", last, AddressOptions{}))
	}
}

// Several others change everything at once. A snapshot shows what never
// changes, exactly once, and pairs of rules that are added in one order and
// deleted in the other: never the second without the first.
func TestSnapshotAmongManyWriters(t *testing.T) {
	ns, c := uplinks(t)
	const stable = 700
	for i := range stable {
		for _, f := range rpdb.Families() {
			force(t, c, rpdb.Rule{Family: f, Priority: rpdb.Priority(30000 - i), Action: rpdb.ToTable(rpdb.TableID(i + 1))})
		}
	}
	stop := writers(t, ns)
	defer stop()
	good := 0
	for range 30 {
		s, err := c.Snapshot(t.Context())
		if errors.Is(err, unix.EAGAIN) {
			continue
		}
		must(t, err)
		good++
		for _, f := range rpdb.Families() {
			if n := countStable(s.RulesOf(f)); n != stable {
				t.Errorf("%v: %d of %d stable rules", f, n, stable)
			}
		}
		first, second := 0, 0
		for _, r := range s.Rules {
			switch {
			case r.Priority == 5 && r.Family == rpdb.IPv4:
				first++
			case r.Priority == 5:
				second++
			}
		}
		if second > first {
			t.Error("the second rule of a pair without the first")
		}
	}
	if good == 0 {
		t.Error("no snapshot came through")
	}
	t.Logf("%d of 30 good", good)
}

// writers changes rules, routes, addresses and interfaces, each from a
// goroutine of its own, with pauses.
func writers(t *testing.T, ns *NetNS) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	begin := func(step func(c *Conn, i int)) {
		c, err := Open(Options{NetNS: ns})
		must(t, err)
		all.Go(func() {
			defer c.Close()
			for i := 0; ctx.Err() == nil; i++ {
				step(c, i)
				if i%10 == 9 {
					pause(ctx)
				}
			}
		})
	}
	four, six := rpdb.Rule{Family: rpdb.IPv4, Priority: 5, Action: rpdb.Nop()}, rpdb.Rule{Family: rpdb.IPv6, Priority: 5, Action: rpdb.Nop()}
	begin(func(c *Conn, _ int) {
		for _, ch := range []rpdb.Change{addRule(four), addRule(six), deleteRule(six), deleteRule(four)} {
			_ = do(c, ch)
		}
	})
	begin(func(c *Conn, i int) {
		r := rpdb.Route{Family: rpdb.IPv4, Table: 71, Dst: host4(i % 50), Type: rpdb.RouteBlackhole}
		_ = do(c, rpdb.RouteChange(rpdb.Replace, r))
		_ = do(c, delRoute(r))
	})
	begin(func(c *Conn, _ int) {
		_ = c.AddAddress("eth0", prefix("203.0.113.77/32"), AddressOptions{})
		_ = c.DeleteAddress("eth0", prefix("203.0.113.77/32"))
	})
	begin(func(c *Conn, _ int) {
		_ = c.AddVeth(VethEnd{Name: "tmp0"}, VethEnd{Name: "tmp1"})
		_ = c.DeleteLink("tmp0")
	})
	return func() {
		cancel()
		all.Wait()
	}
}

// An event that has nothing to do with what is read does not cut the time
// short in which the event of a change may still come.
func TestSettleIsNotCutShort(t *testing.T) {
	_, c := namespace(t)
	mon, err := c.monitor(0)
	must(t, err)
	defer mon.Close()
	must(t, do(c, addRule(rpdb.Rule{Family: rpdb.IPv6, Priority: 7, Action: rpdb.Nop()})))
	dirty := classSet(0)
	begin := time.Now()
	must(t, settle(t.Context(), mon, &dirty, classSet(0).with(classRules4)))
	if took := time.Since(begin); took < settleTime || dirty != classSet(0).with(classRules6) {
		t.Errorf("waited %v, heard %b", took, dirty)
	}
	must(t, do(c, addRule(rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()})))
	must(t, settle(t.Context(), mon, &dirty, classSet(0).with(classRules4)))
	if !dirty.has(classRules4) {
		t.Error("the event was not heard")
	}
}

// What goes without an event of its own is read again when its interface or
// address has one; skip_notify_on_dev_down keeps IPv6 routes from being told.
func TestEventsTouchWhatTheyTakeAlong(t *testing.T) {
	link := []class{classLinks, classNexthops, classRules4, classRules6, classRoutes4, classRoutes6}
	for _, f := range rpdb.Families() {
		data := make([]byte, 16)
		data[0] = byte(f)
		address := []class{classLinks, classAddresses, ofFamily(f, classRoutes4, classRoutes6)}
		for typ, want := range map[uint16][]class{
			unix.RTM_NEWLINK: link, unix.RTM_DELLINK: link, unix.RTM_NEWADDR: address, unix.RTM_DELADDR: address,
		} {
			got := touched(netlink.Message{Type: typ, Data: data})
			for _, cl := range want {
				if !got.has(cl) {
					t.Errorf("message %d (%v): %v are not read again", typ, f, cl)
				}
			}
		}
	}
}
