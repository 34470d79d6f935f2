package fib_test

import (
	"fmt"
	"strings"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

// ignoreLinkdown makes links without carrier ignored, and takes that of e0.
func ignoreLinkdown(s *rpdb.Snapshot) {
	s.Sysctls.All.IgnoreLinkdown4 = true
	for i := range s.Links {
		l := &s.Links[i]
		own := s.Sysctls.Links[l.Name]
		own.IgnoreLinkdown6 = true
		s.Sysctls.Links[l.Name] = own
		if l.Name == "e0" {
			l.Flags &^= rpdb.LinkRunning | rpdb.LinkLowerUp
		}
	}
}

func host6(s *rpdb.Snapshot) { s.Sysctls.IPv6Forward = false }

// deadNexthop takes the first nexthop of the last route.
func deadNexthop(s *rpdb.Snapshot) {
	s.Routes[len(s.Routes)-1].Nexthops[0].Flags |= rpdb.NexthopDead
}

func seeded(s *rpdb.Snapshot) { s.Sysctls.HashSeed = 7 }

// listedTwice lists the last route a second time.
func listedTwice(s *rpdb.Snapshot) { s.Routes = append(s.Routes, s.Routes[len(s.Routes)-1]) }

// candidateTest is a world, a flow, and what the last rule that was asked
// considered: one line for each candidate, and the answer.
type candidateTest struct {
	name     string
	commands string // by semicolons
	change   func(*rpdb.Snapshot)
	flow     string
	want     string
}

func candidateTests4() []candidateTest {
	return []candidateTest{
		{"the only one", "", nil, "10.9.9.9", `
default in table 254: via 192.0.2.9 dev "e0"`},
		{"by another device", "route add 20.0.0.0/8 via 192.0.2.7 dev e0; route add default via 198.51.100.9 dev e1 metric 9", nil, "20.0.0.1 oif e1", `
20.0.0.0/8 192.0.2.7: device: wrong device: the sender is bound to "e1"
default 192.0.2.9: device: wrong device: the sender is bound to "e1"
default in table 254: via 198.51.100.9 dev "e1"`},
		{"TOS", "route add 20.0.0.0/8 tos 0x10 via 192.0.2.7 dev e0; route add 20.0.0.0/8 via 192.0.2.8 dev e0", nil, "20.0.0.1", `
20.0.0.0/8 192.0.2.7: tos: tos 0x10, packet has 0x0
20.0.0.0/8 in table 254: via 192.0.2.8 dev "e0"`},
		{"TOS that is the packet's", "route add 20.0.0.0/8 tos 0x10 via 192.0.2.7 dev e0; route add 20.0.0.0/8 via 192.0.2.8 dev e0", nil, "20.0.0.1 tos 16", `
20.0.0.0/8 192.0.2.8: tos: tos 0x0, behind 0x10
20.0.0.0/8 in table 254: via 192.0.2.7 dev "e0"`},
		{"metrics", "route add 20.0.0.0/8 via 192.0.2.7 dev e0 metric 5; route add 20.0.0.0/8 via 198.51.100.7 dev e1 metric 3; route append 20.0.0.0/8 via 192.0.2.6 dev e0 metric 3", nil, "20.0.0.1", `
20.0.0.0/8 192.0.2.6: order: equal, listed behind
20.0.0.0/8 192.0.2.7: metric: metric 5, behind 3
20.0.0.0/8 in table 254: via 198.51.100.7 dev "e1"`},
		{"the same one twice", "route add 20.0.0.0/8 via 192.0.2.7 dev e0", listedTwice, "20.0.0.1", `
20.0.0.0/8 192.0.2.7: order: equal, listed behind
20.0.0.0/8 in table 254: via 192.0.2.7 dev "e0"`},
		{"no carrier", "route add 20.0.0.0/8 via 192.0.2.7 dev e0; route add 20.0.0.0/8 via 198.51.100.7 dev e1 metric 3", ignoreLinkdown, "20.0.0.1", `
20.0.0.0/8 192.0.2.7: linkdown: no carrier, and ignore_routes_with_linkdown is set
20.0.0.0/8 in table 254: via 198.51.100.7 dev "e1"`},
		{"a miss says why", "route add 20.0.0.0/8 via 192.0.2.7 dev e0; rule flush; rule add pref 5 lookup main; route flush 999", ignoreLinkdown, "20.0.0.1", `
20.0.0.0/8 192.0.2.7: linkdown: no carrier, and ignore_routes_with_linkdown is set
default 192.0.2.9: linkdown: no carrier, and ignore_routes_with_linkdown is set
no route in table 254`},
		{"suppressed", "route add default via 198.51.100.9 dev e1 metric 9; rule flush; rule add pref 5 lookup main suppress_prefixlength 0", nil, "20.0.0.1", `
default 198.51.100.9: metric: metric 9, behind 0
default in table 254 refused by suppress_prefixlength`},
		{"equal defaults", "route append default via 198.51.100.9 dev e1; neigh 192.0.2.9 dev e0 failed; neigh 198.51.100.9 dev e1 reachable", nil, "20.0.0.1", `
default 192.0.2.9: turns: equal: gateways are tried by the state of their neighbours, this is FAILED
default in table 254: via 198.51.100.9 dev "e1"`},
		{"members", "route add 20.0.0.0/8 nexthop via 192.0.2.7 dev e0 weight 3 nexthop via 198.51.100.7 dev e1", seeded, "20.0.0.1", `
20.0.0.0/8 192.0.2.7: taken: weight 3, taken 75%
20.0.0.0/8 198.51.100.7: hash: weight 1, the hash leads elsewhere 25%
20.0.0.0/8 in table 254: via 192.0.2.7 dev "e0"`},
		{"members that cannot be foreseen", "route add 20.0.0.0/8 nexthop via 192.0.2.7 dev e0 weight 3 nexthop via 198.51.100.7 dev e1", nil, "20.0.0.1", `
20.0.0.0/8 192.0.2.7: either: weight 3, the hash cannot be foreseen 75%
20.0.0.0/8 198.51.100.7: either: weight 1, the hash cannot be foreseen 25%
20.0.0.0/8 in table 254: via 192.0.2.7 dev "e0", one of 2`},
		{"a member without carrier", "route add 20.0.0.0/8 nexthop via 192.0.2.7 dev e0 nexthop via 198.51.100.7 dev e1", ignoreLinkdown, "20.0.0.1", `
20.0.0.0/8 192.0.2.7: linkdown: weight 1, no carrier, and ignore_routes_with_linkdown is set
20.0.0.0/8 198.51.100.7: taken: weight 1, taken 100%
20.0.0.0/8 in table 254: via 198.51.100.7 dev "e1"`},
		{"a dead member", "route add 20.0.0.0/8 nexthop via 192.0.2.7 dev e0 nexthop via 198.51.100.7 dev e1", deadNexthop, "20.0.0.1", `
20.0.0.0/8 192.0.2.7: dead: weight 1, dead nexthop
20.0.0.0/8 198.51.100.7: taken: weight 1, taken 100%
20.0.0.0/8 in table 254: via 198.51.100.7 dev "e1"`},
		{"a dead nexthop", "route add 20.0.0.0/8 via 192.0.2.7 dev e0", deadNexthop, "20.0.0.1", `
20.0.0.0/8 192.0.2.7: dead: dead nexthop
default in table 254: via 192.0.2.9 dev "e0"`},
		{"members for a bound sender", "route add 20.0.0.0/8 nexthop via 192.0.2.7 dev e0 nexthop via 198.51.100.7 dev e1", nil, "20.0.0.1 oif e1", `
20.0.0.0/8 192.0.2.7: device: weight 1, wrong device: the sender is bound to "e1" 50%
20.0.0.0/8 198.51.100.7: taken: weight 1, taken 50%
20.0.0.0/8 in table 254: via 198.51.100.7 dev "e1"`},
		{"a throw route", "route add throw 20.0.0.0/8; route add 20.0.0.0/8 via 192.0.2.7 dev e0 metric 5; rule flush; rule add pref 5 lookup main", nil, "20.0.0.1", `
throw 20.0.0.0/8 in table 254`},
	}
}

func candidateTests6() []candidateTest {
	return []candidateTest{
		{"metrics", "-6 route add 2001:db9::/32 via 2001:db8::7 dev e0 metric 5; -6 route add 2001:db9::/32 via 2001:db8:1::7 dev e1 metric 3", nil, "2001:db9::1", `
2001:db9::/32 2001:db8::7: metric: metric 5, behind 3
2001:db9::/32 in table 254: via 2001:db8:1::7 dev "e1"`},
		{"preferences", "-6 route add 2001:db9::/32 via 2001:db8::7 dev e0 pref low; -6 route append 2001:db9::/32 via 2001:db8:1::7 dev e1 pref high; -6 route append 2001:db9::/32 via 2001:db8:1::8 dev e1 pref high", nil, "2001:db9::1", `
2001:db9::/32 2001:db8::7: preference: preference low, behind high
2001:db9::/32 2001:db8:1::8: order: equal, listed behind
2001:db9::/32 in table 254: via 2001:db8:1::7 dev "e1"`},
		{"the interface it came in by is preferred", "-6 route add 2001:db9::/32 dev e0; -6 route append 2001:db9::/32 dev e2", nil, "2001:db9::1 from 2001:db8:2::7 iif e2", `
2001:db9::/32 invalid IP: device: not by "e2", which is preferred
2001:db9::/32 in table 254: dev "e2"`},
		{"a bound sender", "-6 route add 2001:db9::/32 dev e0; rule flush; -6 rule add pref 5 lookup main", nil, "2001:db9::1 oif e1 sendto", `
2001:db9::/32 invalid IP: device: wrong device: the sender is bound to "e1"
default 2001:db8::9: device: wrong device: the sender is bound to "e1"
no route in table 254`},
		{"a dead gateway", "-6 route add 2001:db9::/32 via 2001:db8::7 dev e0; -6 route add 2001:db9::/32 via 2001:db8:1::7 dev e1 metric 2000; neigh 2001:db8::7 dev e0 failed", host6, "2001:db9::1", `
2001:db9::/32 2001:db8::7: neighbour: neighbour FAILED
2001:db9::/32 in table 254: via 2001:db8:1::7 dev "e1"`},
		{"nothing but a dead gateway", "rule flush; -6 rule add pref 5 lookup main; neigh 2001:db8::9 dev e0 failed", host6, "2001:db9::1", `
default 2001:db8::9: last-resort: taken though its neighbour is FAILED: nothing else is left
default in table 254: via 2001:db8::9 dev "e0"`},
		{"sources", "-6 route add 2001:db9::/32 from 2001:db8:1::/64 dev e1; -6 route add 2001:db9::/32 dev e2", nil, "2001:db9::1 from 2001:db8::1", `
2001:db9::/32 from 2001:db8:1::/64 invalid IP: source: only for sources in 2001:db8:1::/64
2001:db9::/32 invalid IP: hidden: hidden by routes of the same prefix for other sources
default in table 254: via 2001:db8::9 dev "e0"`},
		{"default routes for sources", "-6 route add default from 2001:db8:1::/64 via 2001:db8:1::9 dev e1", nil, "2001:db9::1 from 2001:db8::1", `
default from 2001:db8:1::/64 2001:db8:1::9: source: only for sources in 2001:db8:1::/64
default in table 254: via 2001:db8::9 dev "e0"`},
		{"members", "-6 route add 2001:db9::/32 nexthop via 2001:db8::7 dev e0 nexthop via 2001:db8:1::7 dev e1", seeded, "2001:db9::1", `
2001:db9::/32 2001:db8::7: hash: weight 1, the hash leads elsewhere 50%
2001:db9::/32 2001:db8:1::7: taken: weight 1, taken 50%
2001:db9::/32 in table 254: via 2001:db8:1::7 dev "e1"`},
		{"no carrier", "-6 route add 2001:db9::/32 dev e0; -6 route append 2001:db9::/32 dev e1", ignoreLinkdown, "2001:db9::1", `
2001:db9::/32 invalid IP: linkdown: no carrier, and ignore_routes_with_linkdown is set
2001:db9::/32 in table 254: dev "e1"`},
	}
}

func TestCandidates(t *testing.T) {
	for family, tests := range map[rpdb.Family][]candidateTest{rpdb.IPv4: candidateTests4(), rpdb.IPv6: candidateTests6()} {
		for _, c := range tests {
			t.Run(fmt.Sprint(family, " ", c.name), func(t *testing.T) {
				var commands []string
				if c.commands != "" {
					commands = strings.Split(c.commands, "; ")
				}
				s := world(t, commands...)
				if c.change != nil {
					c.change(s)
				}
				l := fib.Compile(s).Trace(flow(t, c.flow)).Lookups[0]
				if got := "\n" + considered(l); got != c.want {
					t.Errorf("got %s\nwant %s", got, c.want)
				}
			})
		}
	}
}

// considered writes the candidates of the last rule that was asked, and what it
// answered.
func considered(l fib.LookupTrace) string {
	var last fib.Step
	for _, step := range l.Steps() {
		if _, ok := step.Detail.(fib.NotAsked); !ok {
			last = step
		}
		if _, ok := step.Detail.(fib.Chosen); ok {
			break
		}
	}
	var b strings.Builder
	for _, c := range last.Candidates {
		prefix, why, _ := strings.Cut(c.String(), ": ")
		fmt.Fprintf(&b, "%s %v: %s: %s", prefix, c.Hop.Via, c.Reason, why)
		if c.Share > 0 {
			fmt.Fprintf(&b, " %.0f%%", c.Share*100)
		}
		b.WriteByte('\n')
	}
	b.WriteString(last.Detail.String())
	return b.String()
}

// The route that was taken is never told to have been passed over, and random
// worlds make every kind of candidate but two, which are rare.
func TestCandidatesOfRandomWorlds(t *testing.T) {
	t.Parallel()
	seen := map[fib.Reason]int{}
	for seed := range uint64(110) {
		g := corpus.New(seed)
		f := fib.Compile(g.Snapshot())
		for range 40 {
			for _, family := range rpdb.Families() {
				for _, l := range f.Trace(g.Flow(family)).Lookups {
					for _, step := range l.Steps() {
						checkCandidates(t, step, seen)
					}
				}
			}
		}
	}
	for _, reason := range []fib.Reason{
		fib.ReasonTOS, fib.ReasonLinkdown, fib.ReasonDevice, fib.ReasonNeighbour, fib.ReasonPreference, fib.ReasonMetric,
		fib.ReasonOrder, fib.ReasonSource, fib.ReasonHidden, fib.ReasonObject, fib.ReasonTaken, fib.ReasonHash,
		fib.ReasonEither, fib.ReasonTurns,
	} {
		if seen[reason] == 0 {
			t.Errorf("no candidate is ever %s", reason)
		}
	}
}

func checkCandidates(t *testing.T, step fib.Step, seen map[fib.Reason]int) {
	t.Helper()
	chosen, isChosen := step.Detail.(fib.Chosen)
	taken, share := 0, 0.0
	for _, c := range step.Candidates {
		seen[c.Reason]++
		share += c.Share
		if c.Why == "" {
			t.Errorf("%s: no words", c.Reason)
		}
		if c.Reason == fib.ReasonTaken {
			taken++
		}
	}
	if share > 1.000001 || taken > 1 || taken > 0 && (!isChosen || len(chosen.Either) > 0) {
		t.Errorf("%d taken, shares %v: %v %v", taken, share, step.Detail, step.Candidates)
	}
}
