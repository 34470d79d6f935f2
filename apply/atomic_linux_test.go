package apply_test

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"rpdb"
	"rpdb/apply"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

var flips = flag.Int("flips", 40, "how many generations TestNoLookupSeesAThirdState makes")

// twoPolicies are policies under which every destination of flows leaves by the
// first interface or by the second one: by other tables, other routes in the same
// tables, gotos and another number of rules. A third interface has the default
// route of table main.
func twoPolicies(links [2]rpdb.LinkIndex) [2]rpdb.Desired {
	var both [2]rpdb.Desired
	for n := range both {
		d := &both[n]
		for i := range rpdb.TableID(2) {
			d.Tables = append(d.Tables, rpdb.DesiredTable{ID: 82000 + i})
		}
		for _, f := range rpdb.Families() {
			add := func(dst string, a rpdb.Action) int {
				r := rpdb.Rule{Family: f, Action: a, Protocol: rpdb.ProtocolRPDB}
				if dst != "" {
					r.Selector.To = netip.MustParsePrefix(dst)
				}
				d.Rules = append(d.Rules, rpdb.DesiredRule{Rule: r, Name: fmt.Sprintf("rule %v %d", f, len(d.Rules))})
				return len(d.Rules) - 1
			}
			routes := map[rpdb.Family][3]string{
				rpdb.IPv4: {"203.0.113.0/24", "198.51.100.0/24", "0.0.0.0/0"},
				rpdb.IPv6: {"2001:db8:1::/48", "2001:db8:2::/48", "::/0"},
			}[f]
			jump := add(routes[0], rpdb.Goto(0))
			for range n * 5 { // never match
				add(map[rpdb.Family]string{rpdb.IPv4: "192.0.2.0/24", rpdb.IPv6: "2001:db8:9::/48"}[f], rpdb.Prohibit())
			}
			d.Rules[jump].GotoName = d.Rules[add(routes[0], rpdb.ToTable(82000))].Name
			add("", rpdb.ToTable(82001))
			for i, dst := range routes {
				r := rpdb.Route{
					Family: f, Table: 82000 + rpdb.TableID(min(i, 1)), Dst: netip.MustParsePrefix(dst), Type: rpdb.RouteUnicast,
					Protocol: rpdb.ProtocolRPDB, Nexthops: []rpdb.Nexthop{{Link: links[n]}},
				}
				if f == rpdb.IPv4 {
					r.Scope = rpdb.ScopeLink
				}
				d.Routes = append(d.Routes, rpdb.DesiredRoute{Route: r, Name: "route"})
			}
		}
	}
	return both
}

// twoWays is a host on which packets leave by one of two interfaces, and two
// policies that say by which.
func twoWays(t *testing.T) (*kerneltest.Kernel, [2]rpdb.Desired) {
	t.Helper()
	k := kerneltest.Real(t)
	lines := []string{}
	for i, name := range []string{"a0", "b0", "c0"} {
		lines = append(lines, fmt.Sprintf("ip link add %s type veth peer name %c1", name, name[0]),
			fmt.Sprintf("ip link set %s up", name), fmt.Sprintf("ip link set %c1 up", name[0]),
			fmt.Sprintf("ip addr add 10.%d.0.1/24 dev %s", i, name), fmt.Sprintf("ip addr add 2001:db8:f%d::1/64 dev %s nodad", i, name))
	}
	lines = append(lines, "ip route add default dev c0", "ip -6 route add default dev c0")
	if err := kerneltest.Script(t.Context(), k, lines...); err != nil {
		t.Fatal(err)
	}
	s, err := k.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	index := func(name rpdb.LinkName) rpdb.LinkIndex { l, _ := s.LinkByName(name); return l.Index }
	return k, twoPolicies([2]rpdb.LinkIndex{index("a0"), index("b0")})
}

// changeTo carries out the plan to a policy, and returns it.
func changeTo(t *testing.T, k *kerneltest.Kernel, d rpdb.Desired, o apply.Options) plan.Plan {
	t.Helper()
	s, err := k.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Diff(s, d)
	if err != nil || len(p.Transient) > 0 {
		t.Fatal(err, p.Transient)
	}
	if _, err := apply.Run(t.Context(), k, p, d, o); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestNoLookupSeesAThirdState asks the kernel without pause for the ways of
// several packets, while generations take turns.
func TestNoLookupSeesAThirdState(t *testing.T) {
	k, policies := twoWays(t)
	change := func(n int) { changeTo(t, k, policies[n], apply.Options{}) }
	change(0)
	stop, seen := watchWays(t, k.NetNS())
	await(t, &seen[0])
	for i := range *flips {
		change((i + 1) % 2)
		if i == 0 {
			await(t, &seen[1])
		}
	}
	stop()
	tellWays(t, *flips, seen)
}

func tellWays(t *testing.T, flips int, seen *[3]atomic.Int64) {
	t.Helper()
	t.Logf("%d generations, %d lookups: %d by a0, %d by b0", flips, seen[0].Load()+seen[1].Load()+seen[2].Load(), seen[0].Load(), seen[1].Load())
	if seen[2].Load() > 0 || seen[0].Load() == 0 || seen[1].Load() == 0 {
		t.Errorf("by a0 %d, by b0 %d, otherwise %d", seen[0].Load(), seen[1].Load(), seen[2].Load())
	}
}

// TestNoLookupSeesAThirdStateOnTheWayBack: trials are rolled back, each by one
// message for each family, and nothing is written before.
func TestNoLookupSeesAThirdStateOnTheWayBack(t *testing.T) {
	k, policies := twoWays(t)
	changeTo(t, k, policies[0], apply.Options{})
	stop, seen := watchWays(t, k.NetNS())
	await(t, &seen[0])
	for i := range *flips / 2 {
		changeTo(t, k, policies[1], apply.Options{Keep: true})
		if i == 0 {
			await(t, &seen[1])
		}
		back := changeTo(t, k, policies[0], apply.Options{})
		count := map[plan.Phase]int{}
		for _, s := range back.Steps {
			count[s.Phase]++
		}
		if count[plan.Prepare] != 0 || count[plan.Switch] != 2 {
			t.Fatalf("going back takes %v", back.Steps)
		}
	}
	stop()
	tellWays(t, *flips, seen)
}

// await waits until a way was seen once, however busy the machine is.
func await(t *testing.T, seen *atomic.Int64) {
	t.Helper()
	for range 60_000 {
		if seen.Load() > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no lookup in a minute")
}

// watchWays counts by which interface packets leave, until stop: a0, b0, or
// anything else.
func watchWays(t *testing.T, ns *kernel.NetNS) (stop func(), seen *[3]atomic.Int64) {
	seen = new([3]atomic.Int64)
	c, err := kernel.Open(kernel.Options{NetNS: ns})
	if err != nil {
		t.Fatal(err)
	}
	var flows []rpdb.Flow
	for range 16 {
		for _, dst := range []string{"203.0.113.5", "198.51.100.5", "192.88.99.5", "2001:db8:1::5", "2001:db8:2::5", "2001:db8:3::5"} {
			flows = append(flows, rpdb.Flow{Dst: netip.MustParseAddr(dst)})
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			err := c.RouteGets(context.WithoutCancel(ctx), flows, false, func(_ int, d rpdb.Decision, _ error) error {
				switch d.Link {
				case "a0":
					seen[0].Add(1)
				case "b0":
					seen[1].Add(1)
				default:
					seen[2].Add(1)
				}
				return nil
			})
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.Close()
	}, seen
}
