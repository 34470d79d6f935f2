package fib_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

// sourceWords writes the choice of the source of a trace's last lookup.
func sourceWords(tr fib.Trace) string {
	s, ok := tr.Lookups[len(tr.Lookups)-1].Source()
	if !ok {
		return "none"
	}
	text := fmt.Sprintf("%v %v", s.Addr, s.By)
	if s.Link != "" {
		text += " on " + string(s.Link)
	}
	for _, r := range s.Rivals {
		text += fmt.Sprintf("; not %v: %v", r.Addr, r)
	}
	return text
}

// anotherAddress puts an address on an interface.
func anotherAddress(link rpdb.LinkIndex, prefix string, flags rpdb.AddressFlags) func(*rpdb.Snapshot) {
	return func(s *rpdb.Snapshot) {
		s.Addresses = append(s.Addresses, rpdb.Address{Link: link, Prefix: netip.MustParsePrefix(prefix), Flags: flags})
	}
}

// noAddress takes the IPv4 addresses of an interface away.
func noAddress(link rpdb.LinkIndex) func(*rpdb.Snapshot) {
	return func(s *rpdb.Snapshot) {
		s.Addresses = slices.DeleteFunc(s.Addresses, func(a rpdb.Address) bool { return a.Link == link && a.Prefix.Addr().Is4() })
	}
}

func TestSource(t *testing.T) {
	for _, c := range []struct {
		name, commands string
		change         func(*rpdb.Snapshot)
		flow, want     string
	}{
		{"given", "", nil, "10.9.9.9 from 192.0.2.1", "192.0.2.1 given on e0"},
		{"the network of the gateway", "", anotherAddress(2, "192.0.2.200/24", 0), "10.9.9.9", "192.0.2.1 network on e0"},
		{"the network of the gateway, not the first address", "route add 20.0.0.0/8 via 203.0.114.9 dev e2 onlink", anotherAddress(4, "203.0.114.1/24", 0), "20.0.0.1", "203.0.114.1 network on e2"},
		{"primary", "route add 20.0.0.0/8 dev e2", nil, "20.0.0.1", "203.0.113.1 primary on e2"},
		{"of the route", "route add 20.0.0.0/8 dev e2 src 192.0.2.1", nil, "20.0.0.1", "192.0.2.1 route on e0"},
		{"of another interface", "route add 20.0.0.0/8 dev e2", noAddress(4), "20.0.0.1", "192.0.2.1 other-interface on e0"},
		{"to itself", "route flush 255; route add local 198.51.100.1 dev e1 table local", nil, "198.51.100.1", "198.51.100.1 destination on e1"},
		{"bound, without a route", "route flush 254", nil, "10.9.9.9 oif e1", "198.51.100.1 primary on e1"},
		{"connect keeps the first reason", "", nil, "10.9.9.9 connect", "192.0.2.1 network on e0"},
		{"refused", "rule add pref 5 prohibit", nil, "10.9.9.9", "none"},
		{"came in", "", nil, "10.9.9.9 from 203.0.113.77 iif e2", "none"},
		{"cannot be told", "route add 20.0.0.0/8 nexthop dev e0 nexthop dev e1", nil, "20.0.0.1", "none"},
		{"IPv6, by interface", "", nil, "2001:db9::1", "2001:db8::1 rfc6724 on e0; not ::1: rule 2, appropriate scope; not 2001:db8:1::1: rule 5, on the outgoing interface; not 2001:db8:2::1: rule 5, on the outgoing interface"},
		{"IPv6, by prefix", "", anotherAddress(2, "2001:db9::5/64", 0), "2001:db9::1", "2001:db9::5 rfc6724 on e0; not ::1: rule 2, appropriate scope; not 2001:db8::1: rule 8, longest matching prefix; not 2001:db8:1::1: rule 5, on the outgoing interface; not 2001:db8:2::1: rule 5, on the outgoing interface"},
		{"IPv6, deprecated", "", anotherAddress(2, "2001:db9::5/64", rpdb.AddressDeprecated), "2001:db9::1", "2001:db8::1 rfc6724 on e0; not ::1: rule 2, appropriate scope; not 2001:db9::5: rule 3, not deprecated; not 2001:db8:1::1: rule 5, on the outgoing interface; not 2001:db8:2::1: rule 5, on the outgoing interface"},
		{"IPv6, label", "-6 route add 2002::/16 dev e0", anotherAddress(2, "2002:1::5/64", 0), "2002:2::1", "2002:1::5 rfc6724 on e0; not ::1: rule 2, appropriate scope; not 2001:db8::1: rule 6, label of the destination; not 2001:db8:1::1: rule 5, on the outgoing interface; not 2001:db8:2::1: rule 5, on the outgoing interface"},
		{"IPv6, first of equals", "", anotherAddress(2, "2001:db8::2/64", 0), "2001:db9::1", "2001:db8::1 rfc6724 on e0; not ::1: rule 2, appropriate scope; not 2001:db8::2: first of equals; not 2001:db8:1::1: rule 5, on the outgoing interface; not 2001:db8:2::1: rule 5, on the outgoing interface"},
		{"IPv6, of the route", "-6 route add 2001:db9::/32 dev e0 src 2001:db8:2::1", nil, "2001:db9::1", "2001:db8:2::1 route on e2"},
		{"IPv6, asked again", "rule flush; -6 rule add pref 5 from 2001:db8::/32 lookup main; -6 route flush 255", nil, "2001:db9::1 sendto", "2001:db8::1 rfc6724 on e0; not ::1: rule 2, appropriate scope; not 2001:db8:1::1: first of equals; not 2001:db8:2::1: first of equals"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var commands []string
			if c.commands != "" {
				commands = strings.Split(c.commands, "; ")
			}
			s := world(t, commands...)
			if c.change != nil {
				c.change(s)
			}
			if got := sourceWords(fib.Compile(s).Trace(flow(t, c.flow))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// rpFilter sets the mode of all interfaces.
func rpFilter(mode uint8) func(*rpdb.Snapshot) {
	return func(s *rpdb.Snapshot) { s.Sysctls.All.RPFilter = mode }
}

func TestReverseChecks(t *testing.T) {
	const e2 = "203.0.113.77"
	for _, c := range []struct {
		name, commands string
		change         func(*rpdb.Snapshot)
		flow           string
		want           fib.ReverseCheck
	}{
		{"strict, the same way", "", rpFilter(1), "10.9.9.9 from " + e2 + " iif e2", fib.ReverseCheck{
			RPFilter: 1, Ingress: "e2", Egress: "e0", Reason: fib.ReverseSame, Asked: true, Back: []rpdb.LinkName{"e2"},
		}},
		{"strict, another way", "", rpFilter(1), "10.9.9.9 from " + e2 + " iif e1", fib.ReverseCheck{
			RPFilter: 1, Ingress: "e1", Egress: "e0", Verdict: fib.ReverseDrop, Reason: fib.ReverseOther, Asked: true, Back: []rpdb.LinkName{"e2"},
		}},
		{"loose, another way", "", rpFilter(2), "10.9.9.9 from " + e2 + " iif e1", fib.ReverseCheck{
			RPFilter: 2, Ingress: "e1", Egress: "e0", Reason: fib.ReverseOther, Asked: true, Back: []rpdb.LinkName{"e2"},
		}},
		{"delivered here", "", rpFilter(2), "192.0.2.1 from " + e2 + " iif e1", fib.ReverseCheck{
			RPFilter: 2, Ingress: "e1", Reason: fib.ReverseOther, Asked: true, Back: []rpdb.LinkName{"e2"},
		}},
		{"no way back", "rule add pref 5 iif e0 prohibit", rpFilter(2), "10.9.9.9 from " + e2 + " iif e1", fib.ReverseCheck{
			RPFilter: 2, Ingress: "e1", Egress: "e0", Verdict: fib.ReverseDrop, Reason: fib.ReverseNoRoute, Asked: true,
		}},
		{"no way back, and off", "rule add pref 5 iif e0 prohibit", nil, "10.9.9.9 from " + e2 + " iif e1", fib.ReverseCheck{
			Ingress: "e1", Egress: "e0", Reason: fib.ReverseNoRoute, Asked: true,
		}},
		{"own source", "", nil, "10.9.9.9 from 192.0.2.1 iif e1", fib.ReverseCheck{
			Ingress: "e1", Egress: "e0", Verdict: fib.ReverseDrop, Reason: fib.ReverseOwnSource, Asked: true, Back: []rpdb.LinkName{"e0"},
		}},
		{"own source, accepted", "", func(s *rpdb.Snapshot) { s.Sysctls.All.AcceptLocal = true }, "10.9.9.9 from 192.0.2.1 iif e1", fib.ReverseCheck{
			Ingress: "e1", Egress: "e0", Reason: fib.ReverseOff, AcceptLocal: true,
		}},
		{"own source, accepted, by the same interface", "", func(s *rpdb.Snapshot) { s.Sysctls.All.AcceptLocal = true }, "10.9.9.9 from 192.0.2.1 iif e0", fib.ReverseCheck{
			Ingress: "e0", Egress: "e0", Reason: fib.ReverseSame, Asked: true, Back: []rpdb.LinkName{"e0"}, AcceptLocal: true, SendRedirects: true,
		}},
		{"broadcast source, accept_local, by the same interface", "", func(s *rpdb.Snapshot) { s.Sysctls.All.AcceptLocal = true }, "10.9.9.9 from 192.0.2.255 iif e0", fib.ReverseCheck{
			Ingress: "e0", Egress: "e0", Verdict: fib.ReverseDrop, Reason: fib.ReverseBroadcast, Asked: true, Back: []rpdb.LinkName{"e0"}, AcceptLocal: true, SendRedirects: true,
		}},
		{"broadcast source, accept_local, by the same interface without send_redirects", "", func(s *rpdb.Snapshot) {
			s.Sysctls.All = rpdb.LinkSysctls{AcceptLocal: true, NoSendRedirects: true}
			s.Sysctls.Links = map[rpdb.LinkName]rpdb.LinkSysctls{"e0": {Forwarding4: true, NoSendRedirects: true}}
		}, "10.9.9.9 from 192.0.2.255 iif e0", fib.ReverseCheck{
			Ingress: "e0", Egress: "e0", Reason: fib.ReverseOff, AcceptLocal: true,
		}},
		{"no address", "", func(s *rpdb.Snapshot) { noAddress(3)(s); rpFilter(2)(s) }, "10.9.9.9 from " + e2 + " iif e1", fib.ReverseCheck{
			RPFilter: 2, Ingress: "e1", Egress: "e0", Verdict: fib.ReverseDrop, Reason: fib.ReverseNoAddress, Asked: true, Back: []rpdb.LinkName{"e2"},
		}},
		{"the mark counts", "rule add pref 5 fwmark 7 lookup 100", func(s *rpdb.Snapshot) { s.Sysctls.All.SrcValidMark = true; rpFilter(1)(s) }, "10.9.9.9 from " + e2 + " iif e1 mark 7", fib.ReverseCheck{
			RPFilter: 1, Ingress: "e1", Egress: "e1", Reason: fib.ReverseSame, Asked: true, Back: []rpdb.LinkName{"e1"}, SrcValidMark: true, SendRedirects: true,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var commands []string
			if c.commands != "" {
				commands = strings.Split(c.commands, "; ")
			}
			s := world(t, commands...)
			if c.change != nil {
				c.change(s)
			}
			tr := fib.Compile(s).Trace(flow(t, c.flow))
			if len(tr.ReverseChecks) != 1 || !reflect.DeepEqual(tr.ReverseChecks[0], c.want) {
				t.Errorf("got  %+v\nwant %+v", tr.ReverseChecks, c.want)
			}
			if dropped := tr.Decision.Disposition == rpdb.Martian; dropped != (c.want.Verdict == fib.ReverseDrop) {
				t.Errorf("the decision is %+v", tr.Decision)
			}
		})
	}
}

// In random worlds the facts agree with the decision they belong to.
func TestFactsOfRandomWorlds(t *testing.T) {
	t.Parallel()
	sources, checks := 0, 0
	for seed := range uint64(50) {
		g := corpus.New(seed)
		f := fib.Compile(g.Snapshot())
		for range 60 {
			for _, family := range rpdb.Families() {
				flow := g.Flow(family)
				tr := f.Trace(flow)
				asked := 0
				for _, l := range tr.Lookups {
					if s, ok := l.Source(); ok {
						sources++
						if s.Addr != l.Decision.Src || s.By == fib.SourceNone || flow.IsInput() {
							t.Fatalf("seed %d, %+v: %+v, decision %+v", seed, flow, s, l.Decision)
						}
					}
					if l.Purpose == fib.ReversePath {
						asked++
					}
				}
				for _, c := range tr.ReverseChecks {
					checks++
					if c.Asked {
						asked--
					}
					if c.Verdict != fib.ReversePass && tr.Decision.Disposition.Delivered() {
						t.Fatalf("seed %d, %+v: %+v, decision %+v", seed, flow, c, tr.Decision)
					}
				}
				if asked != 0 {
					t.Fatalf("seed %d, %+v: %d lookups of the way back without a check", seed, flow, asked)
				}
			}
		}
	}
	if sources < 1000 || checks < 300 {
		t.Errorf("%d sources and %d checks", sources, checks)
	}
}
