package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
)

func follow(t testing.TB, c *Conn, buffer int) *Follower {
	t.Helper()
	f, err := c.follow(t.Context(), buffer)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// sees waits until the follower's snapshot is as it should be.
func sees(t *testing.T, f *Follower, what string, ok func(*rpdb.Snapshot) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var s *rpdb.Snapshot
	for s == nil || !ok(s) {
		next, err := f.Next(ctx, s)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		s = next
	}
}

// Each class of objects is followed, and what goes along with an interface is gone
// though nothing told of it.
func TestFollow(t *testing.T) {
	ns, c := uplinks(t)
	f := follow(t, c, watchBuffer)
	first := f.Snapshot()
	if want := snapshot(t, c); !slices.Equal(first.Rules, want.Rules) || len(first.Table(rpdb.IPv4, rpdb.TableLocal)) != len(want.Table(rpdb.IPv4, rpdb.TableLocal)) || first.Kernel == "" {
		t.Errorf("began with %+v\nwant %+v", first, want)
	}
	eth0 := index(t, c, "eth0")
	r := rpdb.Route{
		Family: rpdb.IPv4, Table: 70, Dst: prefix("203.0.113.0/24"), Type: rpdb.RouteUnicast, Scope: rpdb.ScopeLink,
		Nexthops: []rpdb.Nexthop{{Link: eth0}},
	}
	rule := rpdb.Rule{Family: rpdb.IPv6, Priority: 7, Selector: rpdb.Selector{IIF: "eth0"}, Action: rpdb.ToTable(70)}
	must(t, do(c, addRoute(r)))
	must(t, do(c, addRule(rule)))
	must(t, c.AddNexthop(rpdb.NexthopObject{ID: 9, Family: rpdb.IPv4, Nexthop: rpdb.Nexthop{Link: eth0, Via: addr("192.0.2.9")}}))
	must(t, c.SetNeighbour("eth0", addr("192.0.2.9"), []byte{2, 0, 0, 0, 0, 1}, rpdb.NeighbourPermanent))
	must(t, ns.SetSysctl("net.ipv4.conf.eth0.rp_filter", "2"))
	sees(t, f, "what was added", func(s *rpdb.Snapshot) bool {
		return slices.Contains(s.Rules, rule) && len(s.Table(rpdb.IPv4, 70)) == 1 && len(s.Nexthops) == 1 && s.Sysctls.Links["eth0"].RPFilter == 2 &&
			slices.Contains(s.Neighbours, rpdb.Neighbour{Link: eth0, Addr: addr("192.0.2.9"), State: rpdb.NeighbourPermanent})
	})
	if s := f.Snapshot(); s.Custom6 != rpdb.CustomisedYes || s.Custom4 != rpdb.CustomisedUnknown {
		t.Errorf("customised %v, %v", s.Custom4, s.Custom6)
	}
	must(t, c.DeleteLink("eth0"))
	rule.Flags |= rpdb.RuleIIFDetached
	sees(t, f, "what goes with an interface", func(s *rpdb.Snapshot) bool {
		_, there := s.LinkByName("eth0")
		return !there && slices.Contains(s.Rules, rule) && len(s.Table(rpdb.IPv4, 70)) == 0 && len(s.Nexthops) == 0 && len(s.AddressesOf(rpdb.IPv4, eth0)) == 0
	})
	if _, there := first.LinkByName("eth0"); !there || len(first.Table(rpdb.IPv4, 70)) != 0 || slices.ContainsFunc(first.Rules, func(r rpdb.Rule) bool { return r.Priority == 7 }) {
		t.Error("the first snapshot has changed")
	}
}

// What the kernel does not tell is seen by Refresh, also while somebody waits in
// Next, who then has it too.
func TestFollowRefresh(t *testing.T) {
	ns, c := uplinks(t)
	f := follow(t, c, watchBuffer)
	s, err := f.Refresh(t.Context())
	must(t, err)
	woken := make(chan *rpdb.Snapshot, 2)
	for range 2 {
		go func() {
			next, err := f.Next(t.Context(), s)
			if err != nil {
				t.Error(err)
			}
			woken <- next
		}()
	}
	time.Sleep(10 * time.Millisecond)
	must(t, ns.SetSysctl("net.ipv4.conf.eth0.accept_local", "1"))
	must(t, ns.SetSysctl("net.ipv4.fib_multipath_hash_seed", "77"))
	now, err := f.Refresh(t.Context())
	must(t, err)
	if !now.Sysctls.Links["eth0"].AcceptLocal || now.Sysctls.HashSeed != 77 {
		t.Errorf("settings %+v", now.Sysctls)
	}
	for range 2 {
		if next := <-woken; next == s || next == nil {
			t.Error("Next returned what was there")
		}
	}
}

// An overflow costs one reading of everything.
func TestFollowOverflow(t *testing.T) {
	ns, c := namespace(t)
	f := follow(t, c, 8<<10)
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	defer other.Close()
	for i := range 300 {
		must(t, do(other, addRule(rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(i + 1), Action: rpdb.Nop()})))
	}
	s, err := f.Next(t.Context(), f.Snapshot())
	must(t, err)
	if n := len(s.RulesOf(rpdb.IPv4)); n != 303 || f.Stats().Overflows == 0 {
		t.Errorf("%d rules, %+v", n, f.Stats())
	}
	late := rpdb.Rule{Family: rpdb.IPv4, Priority: 900, Action: rpdb.Nop()}
	must(t, do(other, addRule(late)))
	if s, err = f.Next(t.Context(), s); err != nil || !slices.Contains(s.Rules, late) {
		t.Errorf("after the overflow: %v", err)
	}
}

func TestFollowEnds(t *testing.T) {
	_, c := namespace(t)
	f := follow(t, c, watchBuffer)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	s, err := f.Snapshot(), error(nil)
	for err == nil {
		s, err = f.Next(ctx, s)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := f.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	must(t, do(c, addRule(rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()})))
	if s, err := f.Next(t.Context(), f.Snapshot()); err != nil || len(s.RulesOf(rpdb.IPv4)) != 4 {
		t.Errorf("an event was lost: %v", err)
	}
	waits := make(chan error)
	go func() {
		s, err := f.Snapshot(), error(nil)
		for err == nil {
			s, err = f.Next(context.Background(), s)
		}
		waits <- err
	}()
	time.Sleep(10 * time.Millisecond)
	must(t, f.Close())
	if err := <-waits; !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := f.Next(t.Context(), nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if f.Snapshot() == nil {
		t.Error("the last snapshot is gone")
	}
	if _, err := c.Follow(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// While several others change everything at once, what never changes is there
// exactly once in every snapshot. When they have stopped the follower knows what
// is so.
func TestFollowAmongManyWriters(t *testing.T) {
	ns, c := uplinks(t)
	const stable = 300
	for i := range stable {
		for _, f := range rpdb.Families() {
			force(t, c, rpdb.Rule{Family: f, Priority: rpdb.Priority(30000 - i), Action: rpdb.ToTable(rpdb.TableID(i + 1))})
		}
	}
	f := follow(t, c, watchBuffer)
	stop := writers(t, ns)
	var readers sync.WaitGroup
	for reader := range 3 {
		readers.Go(func() {
			var s *rpdb.Snapshot
			for range 100 {
				next, err := f.Next(context.Background(), s)
				if reader == 0 {
					next, err = f.Refresh(context.Background())
				}
				if errors.Is(err, unix.EAGAIN) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				s = next
				for _, family := range rpdb.Families() {
					if n := countStable(s.RulesOf(family)); n != stable {
						t.Errorf("%v: %d of %d stable rules", family, n, stable)
					}
				}
			}
		})
	}
	readers.Wait()
	stop()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		s, err := f.Refresh(t.Context())
		must(t, err)
		fresh := snapshot(t, c)
		if slices.Equal(s.Rules, fresh.Rules) && slices.Equal(s.Links, fresh.Links) && len(s.Routes) == len(fresh.Routes) && len(s.Addresses) == len(fresh.Addresses) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the follower does not know what is so")
		}
	}
	t.Logf("%+v", f.Stats())
}

// BenchmarkFollow takes in one new route beside many, and one rule; and reads all
// anew, which is what that spares.
func BenchmarkFollow(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			_, c := namespace(b)
			for i := range n {
				r := rpdb.Route{Family: rpdb.IPv4, Table: 70, Dst: host4(i), Type: rpdb.RouteBlackhole}
				if i >= 1<<16 {
					r.Dst, r.Table = host4(i-1<<16), 71
				}
				must(b, c.nl.Execute(b.Context(), encodeRoute(unix.RTM_NEWROUTE, 0x400, r), nil))
			}
			f := follow(b, c, watchBuffer)
			s := f.Snapshot()
			b.Run("read", func(b *testing.B) {
				for b.Loop() {
					snapshot(b, c)
				}
			})
			r := rpdb.Route{Family: rpdb.IPv4, Table: 70, Dst: prefix("198.51.100.0/24"), Type: rpdb.RouteBlackhole}
			rule := rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()}
			for name, change := range map[string][2]rpdb.Change{"route": {addRoute(r), delRoute(r)}, "rule": {addRule(rule), deleteRule(rule)}} {
				b.Run(name, func(b *testing.B) {
					for i := 0; b.Loop(); i++ {
						b.StopTimer()
						must(b, do(c, change[i%2]))
						b.StartTimer()
						var err error
						s, err = f.Next(b.Context(), s)
						must(b, err)
					}
					if len(s.Table(rpdb.IPv4, 70))%2 == 1 {
						must(b, do(c, delRoute(r)))
					}
				})
			}
		})
	}
}
