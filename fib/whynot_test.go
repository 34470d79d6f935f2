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

// wish reads "NAME", "table N", "via ADDRESS" or "rule N".
func wish(t *testing.T, text string) fib.Wish {
	t.Helper()
	word, rest, _ := strings.Cut(text, " ")
	var number uint32
	if _, err := fmt.Sscan(rest, &number); err != nil && (word == "table" || word == "rule") {
		t.Fatalf("bad wish %q", text)
	}
	switch word {
	case "table":
		return fib.Wish{Table: rpdb.TableID(number)}
	case "rule":
		return fib.Wish{Rule: rpdb.Some(rpdb.Priority(number))}
	case "via":
		return fib.Wish{Via: netip.MustParseAddr(rest)}
	}
	return fib.Wish{Link: rpdb.LinkName(word)}
}

// answer writes an answer as people read it.
func answer(w fib.WhyNot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", w.Fulfilled, brief(w.Decision))
	for _, o := range w.Checks {
		fmt.Fprintf(&b, "  %s\n", obstacle(o))
	}
	for _, way := range w.Ways {
		fmt.Fprintf(&b, "  rule %d", way.Rule.Priority)
		for i, o := range way.Obstacles {
			fmt.Fprintf(&b, "%s %s", []string{":", ";"}[min(i, 1)], obstacle(o))
		}
		b.WriteString("\n")
	}
	for _, table := range w.Unasked {
		fmt.Fprintf(&b, "  no rule looks up table %d\n", table)
	}
	if w.Link != "" {
		fmt.Fprintf(&b, "  link %s\n", w.Link)
	}
	for _, c := range w.Changes {
		fmt.Fprintf(&b, "  with %s -> %s\n", changed(c), brief(c.Decision))
	}
	for _, r := range w.Without {
		fmt.Fprintf(&b, "  without %v%s -> %s\n", r.Rule, map[bool]string{true: "'s suppressor"}[r.Suppressor], brief(r.Decision))
	}
	return b.String()
}

func changed(c fib.FlowChange) string {
	f := c.Flow
	value := map[string]any{
		"mark": f.Mark, "from": f.Src, "oif": f.OIF, "uid": f.UID, "tos": f.TOS, "ipproto": f.IPProto,
		"dport": f.DPort, "sport": f.SPort, "iif": f.IIF, "flowlabel": f.FlowLabel, "tun_id": f.TunID,
	}
	var words []string
	for _, name := range c.Fields {
		words = append(words, fmt.Sprintf("%s %v", name, value[name]))
	}
	return strings.Join(words, ", ")
}

func obstacle(o fib.Obstacle) string {
	words := []string{string(o.Kind)}
	for i, s := range o.Selectors {
		words = append(words, []string{"", "and "}[min(i, 1)]+s.String())
	}
	if o.Rule != nil {
		words = append(words, fmt.Sprintf("by rule %d", o.Rule.Priority))
	}
	if o.Route != nil {
		words = append(words, fmt.Sprintf("%v %v", o.Route.Type, o.Route.Dst))
	}
	if o.Table != 0 {
		words = append(words, fmt.Sprintf("table %d", o.Table))
	}
	if o.Note != "" {
		words = append(words, "("+o.Note+")")
	}
	return strings.Join(words, " ")
}

// whyNotCase is a world, and a question about it.
type whyNotCase struct {
	name, wish, flow, want string
	commands               []string
}

func (c whyNotCase) run(t *testing.T) {
	w := fib.Compile(world(t, c.commands...)).WhyNot(flow(t, c.flow), wish(t, c.wish))
	if got := "\n" + answer(w); got != c.want {
		t.Errorf("got %s\nwant %s", got, c.want)
	}
}

// Rules stand in the way, by their selectors or by their order.
func TestWhyNotForRules(t *testing.T) {
	for _, c := range []whyNotCase{
		{"one routing table for two uplinks", "e1", "10.9.9.9 from 198.51.100.1", `
no: sent dev e0 via 192.0.2.9 src 198.51.100.1 table 254 rule 32766
  no rule looks up table 100
`, nil},
		{"no rule for the flow's address", "e1", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1001: selector from: packet has none yet, rule wants 198.51.100.1
  rule 1002: selector oif: packet is bound to none, rule wants "e1"
  with from 198.51.100.1 -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1001
  with oif e1 -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1002
`, []string{
			"rule add pref 1000 lookup main suppress_prefixlength 0", "rule add pref 1001 from 198.51.100.1 lookup 100",
			"rule add pref 1002 oif e1 lookup 100",
		}},
		{"it does already", "e1", "10.9.9.9 from 198.51.100.1", `
yes: sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1001
`, []string{"rule add pref 1001 from 198.51.100.1 lookup 100"}},
		{"a VPN that takes everything but its own packets", "e0", "10.9.9.9", `
no: sent dev e2 via 203.0.113.9 src 203.0.113.1 table 200 rule 1000
  rule 32766: taken by rule 1000
  with mark 51820 -> sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  with oif e0 -> sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  without rule 1000 (IPv4) -> sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
`, []string{
			"rule add pref 1000 not fwmark 0xca6c lookup 200",
		}},
		{"a kill switch", "e0", "10.9.9.9 mark 1", `
no: refused EACCES rule 1000
  rule 32766: taken by rule 1000
  with mark 51820 -> sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  without rule 1000 (IPv4) -> sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
`, []string{
			"rule add pref 1000 not fwmark 0xca6c prohibit",
		}},
		{"a mark with bits of others", "table 100", "10.9.9.9 mark 0x1001", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1000: selector fwmark: packet has 0x1001, rule wants 0x20/0xf0
  with mark 4129 -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1000
`, []string{"rule add pref 1000 fwmark 0x20/0xf0 lookup 100"}},
		{"a user", "table 200", "2001:db9::1", `
no: sent dev e0 via 2001:db8::9 src 2001:db8::1 table 254 rule 32766
  rule 1000: selector uidrange: packet has 0, rule wants 1000-1999
  with uid 1000 -> sent dev e2 via 2001:db8:2::9 src 2001:db8:2::1 table 200 rule 1000
`, []string{"-6 rule add pref 1000 uidrange 1000-1999 lookup 200"}},
		{"another rule first", "e2", "10.9.9.9 mark 7 dport 53 proto 17", `
no: sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1000
  rule 1001: taken by rule 1000
  with oif e2 -> sent dev e2 via 203.0.113.9 src 203.0.113.1 table 200 rule 1001
  with ipproto 6 -> sent dev e2 via 203.0.113.9 src 203.0.113.1 table 200 rule 1001
  with dport 52 -> sent dev e2 via 203.0.113.9 src 203.0.113.1 table 200 rule 1001
  without rule 1000 (IPv4) -> sent dev e2 via 203.0.113.9 src 203.0.113.1 table 200 rule 1001
`, []string{
			"rule add pref 1000 ipproto udp dport 53 lookup 100", "rule add pref 1001 fwmark 7 lookup 200",
		}},
		{"suppressed", "e0", "10.9.9.9", `
no: refused EACCES rule 1001
  rule 1000: suppressed unicast 0.0.0.0/0 table 254 (suppress_prefixlength)
  rule 32766: taken by rule 1001
  without rule 1000 (IPv4)'s suppressor -> sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 1000
  without rule 1001 (IPv4) -> sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
`, []string{
			"rule add pref 1000 lookup main suppress_prefixlength 0", "rule add pref 1001 prohibit",
		}},
		{"goto over it", "e1", "10.9.9.9 uid 7", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1001: jumped by rule 1000
  with uid 0 -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1001
  without rule 1000 (IPv4) -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1001
`, []string{
			"rule add pref 1000 uidrange 5-9 goto 1002", "rule add pref 1001 lookup 100", "rule add pref 1002 nop",
		}},
	} {
		t.Run(c.name, c.run)
	}
}

// Routes stand in the way, or several things at once.
func TestWhyNotForRoutes(t *testing.T) {
	for _, c := range []whyNotCase{
		{"a more specific route", "e1", "10.9.9.9", `
no: sent dev e2 via 203.0.113.9 src 203.0.113.1 table 100 rule 1000
  rule 1000: other-route unicast 10.0.0.0/8 table 100
  with oif e1 -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1000
`, []string{
			"route add 10.0.0.0/8 via 203.0.113.9 dev e2 table 100", "rule add pref 1000 lookup 100",
		}},
		{"a throw route", "e1", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1000: throw throw 10.0.0.0/8 table 100
`, []string{
			"route add throw 10.0.0.0/8 table 100", "rule add pref 1000 lookup 100",
		}},
		{"a source of somebody else", "e1", "10.9.9.9 from 10.1.1.1", `
no: refused ENETUNREACH
  check (the source is not an address of this host)
  rule 1000
  with from invalid IP -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1000
`, []string{"rule add pref 1000 lookup 100"}},
		{"two selectors", "e1", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1000: selector fwmark: packet has 0x0, rule wants 0x7 and from: packet has none yet, rule wants 198.51.100.0/24
  with mark 7, from 198.51.100.1 -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1000
`, []string{"rule add pref 1000 from 198.51.100.0/24 fwmark 7 lookup 100"}},
		{"three, and one more that nothing can change", "e1", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1000: selector fwmark: packet has 0x0, rule wants 0x7 and uidrange: packet has 0, rule wants 1000-1000 and from: packet has none yet, rule wants 198.51.100.0/24
  rule 1001: selector to: packet has 10.9.9.9, rule wants 11.0.0.0/8
  rule 1002: selector iif: packet has "lo", rule wants "e2"
  with mark 7, from 198.51.100.1, uid 1000 -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1000
`, []string{
			"rule add pref 1000 from 198.51.100.0/24 fwmark 7 uidrange 1000-1000 lookup 100",
			"rule add pref 1001 to 11.0.0.0/8 lookup 100", "rule add pref 1002 iif e2 lookup 100",
		}},
		{"coming in, from the wrong network", "e1", "10.9.9.9 from 10.1.1.1 iif e2", `
no: sent dev e0 via 192.0.2.9 src 10.1.1.1 table 254 rule 32766
  rule 1000: selector from: packet has 10.1.1.1, rule wants 203.0.113.0/24
  with from 203.0.113.2 -> sent dev e1 via 198.51.100.9 src 203.0.113.2 table 100 rule 1000
`, []string{"rule add pref 1000 from 203.0.113.0/24 iif e2 lookup 100"}},
		{"a table that is empty, and a rule that is not there", "table 300", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1000: no-table table 300
`, []string{"rule add pref 1000 lookup 300"}},
		{"no such rule", "rule 77", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
`, nil},
		{"a rule that denies", "rule 1000", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1000: selector fwmark: packet has 0x0, rule wants 0x1
  with mark 1 -> refused EACCES rule 1000
`, []string{"rule add pref 1000 fwmark 1 prohibit"}},
		{"a gateway", "via 203.0.113.9", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1000: selector tos: packet has 0x0, rule wants 0x10
  with tos 16 -> sent dev e2 via 203.0.113.9 src 203.0.113.1 table 200 rule 1000
`, []string{"rule add pref 1000 tos 0x10 lookup 200"}},
		{"perhaps already", "e1", "10.9.9.9", `
maybe: sent dev e0 via 192.0.2.9 table 400 rule 1000 either e0,e1
  rule 1000: either
  no rule looks up table 100
  with from 198.51.100.1 -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 400 rule 1000
  with oif e1 -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 400 rule 1000
`, []string{
			"rule add pref 1000 lookup 400", "route add default table 400 nexthop via 192.0.2.9 dev e0 nexthop via 198.51.100.9 dev e1",
		}},
		{"the source is found only by connect", "e1", "10.9.9.9 connect", `
yes: sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1001
`, []string{"rule add pref 1000 from 192.0.2.1 lookup 200", "rule add pref 1001 lookup 100"}},
	} {
		t.Run(c.name, c.run)
	}
}

// What drops a packet before or after the rules, and what makes a route
// useless, is named.
func TestWhyNotOutsideTheRules(t *testing.T) {
	for _, c := range []struct {
		name, wish, flow, want string
		change                 func(*rpdb.Snapshot)
	}{
		{"no carrier", "e1", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1000: unusable (e1 has no carrier, and such routes are ignored)
  link no carrier
`, func(s *rpdb.Snapshot) {
			s.Links[2].Flags &^= rpdb.LinkLowerUp
			s.Sysctls.All.IgnoreLinkdown4 = true
		}},
		{"down", "e1", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  link down
`, func(s *rpdb.Snapshot) {
			s.Links[2].Flags &^= rpdb.LinkUp | rpdb.LinkLowerUp
			s.Routes = slices.DeleteFunc(s.Routes, func(r rpdb.Route) bool { return r.Nexthops[0].Link == 3 })
		}},
		{"dead", "e1", "2001:db9::1", `
no: sent dev e0 via 2001:db8::9 src 2001:db8::1 table 254 rule 32766
  rule 1000: unusable (the nexthop is dead)
`, func(s *rpdb.Snapshot) {
			for i := range s.Routes {
				if s.Routes[i].Table == 100 {
					s.Routes[i].Nexthops[0].Flags |= rpdb.NexthopDead
				}
			}
		}},
		{"bound to another", "e1", "10.9.9.9 oif e2", `
no: sent dev e2 src 203.0.113.1
  rule 1000: unusable (the sender is bound to e2)
  with oif  -> sent dev e1 via 198.51.100.9 src 198.51.100.1 table 100 rule 1000
`, nil},
		{"forwarding off", "e1", "10.9.9.9 from 203.0.113.5 iif e2", `
no: martian EHOSTUNREACH
  check (forwarding is off on the ingress interface)
  rule 1000
  with iif e1 -> sent dev e1 via 198.51.100.9 src 203.0.113.5 table 100 rule 1000
`, func(s *rpdb.Snapshot) { s.Sysctls.Links["e2"] = rpdb.LinkSysctls{} }},
		{"reverse path", "e1", "10.9.9.9 from 10.1.1.1 iif e2", `
no: martian EINVAL
  reverse-path by rule 1000 unicast 0.0.0.0/0 table 100 (reverse-path check: the route to the source leaves by another interface)
  rule 1000
  with iif e1 -> sent dev e1 via 198.51.100.9 src 10.1.1.1 table 100 rule 1000
`, func(s *rpdb.Snapshot) { s.Sysctls.All.RPFilter = 1 }},
		{"a VRF", "e2", "10.9.9.9", `
no: sent dev e0 via 192.0.2.9 src 192.0.2.1 table 254 rule 32766
  rule 1000: selector l3mdev: packet is in no VRF
  with oif e2 -> sent dev e2 via 203.0.113.9 src 203.0.113.1 table 200 rule 1000
`, func(s *rpdb.Snapshot) {
			s.Links = append(s.Links, rpdb.Link{Index: 5, Name: "red", Kind: "vrf", VRFTable: 200, Flags: s.Links[1].Flags})
			s.Links[3].Master = 5
			s.Rules[1].Action, s.Rules[1].Selector.L3MDev = rpdb.ToTable(0), true
		}},
		{"unknown attributes", "e1", "10.9.9.9", `
unknown: unknown rule 1000
  unknown (the deciding rule has attributes that this program does not know)
  rule 1000: unknown (the deciding rule has attributes that this program does not know)
`, func(s *rpdb.Snapshot) { s.Rules[1].Unknown = "\x08\x00\x63\x00\x01\x00\x00\x00" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := world(t, "rule add pref 1000 lookup 100", "-6 rule add pref 1000 lookup 100")
			if c.change != nil {
				c.change(s)
			}
			w := fib.Compile(s).WhyNot(flow(t, c.flow), wish(t, c.wish))
			if got := "\n" + answer(w); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// In random worlds every change that is named is decided as wished, and where
// trying every value at the border of a selector finds a change of one field,
// so does the engine.
func TestWhyNotIsRightAndSmallest(t *testing.T) {
	t.Parallel()
	worlds, flows := 30, 6
	if testing.Short() {
		worlds = 15
	}
	counts := map[int]int{}
	for seed := range uint64(worlds) {
		g := corpus.New(seed)
		s := g.Snapshot()
		f := fib.Compile(s)
		for range flows {
			for _, family := range rpdb.Families() {
				flow := g.Flow(family)
				flow.Socket = rpdb.SocketCall(g.Number(3))
				w := randomWish(g, s)
				got := f.WhyNot(flow, w)
				checkWhyNot(t, s, f, flow, got)
				if t.Failed() {
					t.Fatalf("seed %d, flow %+v, wish %+v:\n%s", seed, flow, w, answer(got))
				}
				if got.Fulfilled != fib.FulfilledYes {
					counts[size(got)]++
				}
				if size(got) == 1 || got.Fulfilled == fib.FulfilledYes {
					continue
				}
				for _, one := range neighbours(s, flow) {
					if d := f.Lookup(one); fulfils(w, d, s) {
						t.Fatalf("seed %d, wish %+v\nflow    %+v\nbetter  %+v\ndecided %+v\n%s", seed, w, flow, one, d, answer(got))
					}
				}
			}
		}
	}
	t.Logf("answers by the number of fields: %v", counts)
	for n := range 3 {
		if counts[n] == 0 {
			t.Errorf("no answer changes %d fields: %v", n, counts)
		}
	}
}

func size(w fib.WhyNot) int {
	if len(w.Changes) == 0 || w.Maybe {
		return 0
	}
	return len(w.Changes[0].Fields)
}

func randomWish(g *corpus.Generator, s *rpdb.Snapshot) fib.Wish {
	switch g.Number(5) {
	case 0:
		return fib.Wish{Table: []rpdb.TableID{100, 200, 70000, rpdb.TableMain, rpdb.TableLocal, rpdb.TableDefault, 300}[g.Number(7)]}
	case 1:
		return fib.Wish{Rule: rpdb.Some(s.Rules[g.Number(len(s.Rules))].Priority)}
	}
	return fib.Wish{Link: []rpdb.LinkName{"lo", "e0", "e1", "e2"}[g.Number(4)]}
}

// fulfils is the plain reading of a wish.
func fulfils(w fib.Wish, d rpdb.Decision, s *rpdb.Snapshot) bool {
	if d.Disposition == rpdb.DispositionUnknown || strings.HasPrefix(d.Note, "no route: assumed") {
		return false
	}
	// While the rules were never changed, the kernel names main for local.
	pristine := s.Custom4 == rpdb.CustomisedUnknown && slices.Equal(s.RulesOf(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv4))
	if pristine && d.Table == rpdb.TableMain && d.Rule == rpdb.Some(rpdb.PriorityLocal) {
		d.Table = rpdb.TableLocal
	}
	if w.Table != 0 && w.Table != d.Table || w.Rule.IsSet() && w.Rule != d.Rule {
		return false
	}
	if w.Link == "" {
		return true
	}
	for _, h := range d.Either {
		if h.Link != w.Link {
			return false
		}
	}
	return d.Disposition.Delivered() && d.Link == w.Link
}

func checkWhyNot(t *testing.T, s *rpdb.Snapshot, f *fib.FIB, flow rpdb.Flow, got fib.WhyNot) {
	t.Helper()
	if d := f.Lookup(flow); !reflect.DeepEqual(d, got.Decision) {
		t.Errorf("decision %+v, want %+v", got.Decision, d)
	}
	for _, c := range got.Changes {
		if d := f.Lookup(c.Flow); !reflect.DeepEqual(d, c.Decision) || !got.Maybe && !fulfils(got.Wish, d, s) {
			t.Errorf("%s: decided %+v", changed(c), d)
		}
		if len(c.Fields) != len(got.Changes[0].Fields) || c.Flow.Dst != flow.Dst || c.Flow.Socket != flow.Socket || c.Flow.IsInput() != flow.IsInput() {
			t.Errorf("%s is no change like the first", changed(c))
		}
	}
	for _, r := range got.Without {
		few := *s
		few.Custom4, few.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
		few.Rules = nil
		for _, rule := range s.Rules {
			switch {
			case rule != r.Rule:
			case r.Suppressor:
				rule.Suppress = rpdb.Suppressor{}
			default:
				continue
			}
			few.Rules = append(few.Rules, rule)
		}
		if d := fib.Compile(&few).Lookup(flow); !reflect.DeepEqual(d, r.Decision) || !fulfils(got.Wish, d, s) {
			t.Errorf("without %+v: decided %+v, want %+v", r.Rule, d, r.Decision)
		}
	}
}

// neighbours are the flows that differ from one in one field, by a value at
// the border of a selector.
func neighbours(s *rpdb.Snapshot, flow rpdb.Flow) (list []rpdb.Flow) {
	add := func(change func(*rpdb.Flow)) {
		f := flow
		change(&f)
		noPorts := f.IPProto != 0 && f.IPProto != rpdb.TCP && f.IPProto != rpdb.UDP
		if f != flow && !(noPorts && (f.SPort != 0 || f.DPort != 0)) {
			list = append(list, f)
		}
	}
	for _, n := range []uint32{0, 1, 999, 1000, 1001, 1002, 4294967294} {
		if !flow.IsInput() {
			add(func(f *rpdb.Flow) { f.UID = n })
		}
	}
	for _, r := range s.RulesOf(flow.Family()) {
		sel := r.Selector
		set := flow.Mark&^sel.Mark.Mask | sel.Mark.Value&sel.Mark.Mask
		add(func(f *rpdb.Flow) { f.Mark = set })
		add(func(f *rpdb.Flow) { f.Mark = set ^ sel.Mark.Mask&-sel.Mark.Mask })
		if d, ok := sel.DSCP.Get(); ok {
			add(func(f *rpdb.Flow) { f.TOS = f.TOS&^(d.Mask<<2) | (d.Value&d.Mask)<<2 })
		}
		add(func(f *rpdb.Flow) { f.TOS = f.TOS&3 | sel.TOS })
		if sel.IPProto != 0 {
			add(func(f *rpdb.Flow) { f.IPProto = sel.IPProto })
		}
		for _, p := range []rpdb.Ports{sel.SPort, sel.DPort} {
			if p == (rpdb.Ports{}) {
				continue
			}
			for _, n := range []uint16{p.First, p.Last, p.First - 1, p.Last + 1} {
				if p == sel.SPort {
					add(func(f *rpdb.Flow) { f.SPort = n })
				}
				if p == sel.DPort {
					add(func(f *rpdb.Flow) { f.DPort = n })
				}
			}
		}
		if p := sel.From; p.IsValid() && flow.IsInput() {
			p = p.Masked()
			add(func(f *rpdb.Flow) { f.Src = p.Addr() })
			add(func(f *rpdb.Flow) { f.Src = p.Addr().Next() })
		}
	}
	for _, a := range s.Addresses {
		if a.Prefix.Addr().Is4() == flow.Dst.Is4() && !flow.IsInput() {
			add(func(f *rpdb.Flow) { f.Src = a.Prefix.Addr() })
		}
	}
	if !flow.IsInput() {
		add(func(f *rpdb.Flow) { f.Src = netip.Addr{} })
	}
	for _, l := range s.Links {
		switch {
		case flow.IsInput() && l.Name != "lo":
			add(func(f *rpdb.Flow) { f.IIF = l.Name })
		case !flow.IsInput():
			add(func(f *rpdb.Flow) { f.OIF = l.Name })
		}
	}
	return list
}

// manyRules is a host with n rules of many users and marks that all lead to
// one table, and n of others.
func manyRules(t testing.TB, n int) *rpdb.Snapshot {
	s := &rpdb.Snapshot{Custom4: rpdb.CustomisedYes, Links: []rpdb.Link{{Index: 1, Name: "lo", Flags: 0x10049}}}
	for i := range 3 {
		name := rpdb.LinkName(fmt.Sprintf("e%d", i))
		s.Links = append(s.Links, rpdb.Link{Index: rpdb.LinkIndex(i + 2), Name: name, Flags: 0x10041})
		p := netip.MustParsePrefix(fmt.Sprintf("192.0.%d.1/24", i))
		s.Addresses = append(s.Addresses, rpdb.Address{Link: rpdb.LinkIndex(i + 2), Prefix: p})
		s.Routes = append(s.Routes, rpdb.Route{
			Family: rpdb.IPv4, Table: rpdb.TableID(100 + i), Dst: netip.MustParsePrefix("0.0.0.0/0"), Type: rpdb.RouteUnicast,
			Nexthops: []rpdb.Nexthop{{Link: rpdb.LinkIndex(i + 2), Via: p.Addr().Next()}},
		})
	}
	for i := range n {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(i), Action: rpdb.ToTable(rpdb.TableID(100 + i%2))}
		switch i % 3 {
		case 0:
			r.Selector.Mark = rpdb.Mark{Value: uint32(i + 1), Mask: 0xffffffff}
		case 1:
			r.Selector.UIDRange = rpdb.Some(rpdb.UIDRange{First: uint32(1000 + i), Last: uint32(1000 + i)})
		case 2:
			r.Selector.From = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
			r.Selector.DPort = rpdb.Port(uint16(i))
		}
		s.Rules = append(s.Rules, r)
	}
	last := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(n), Action: rpdb.ToTable(102)}
	s.Rules = append(s.Rules, last)
	if len(s.Rules) != n+1 {
		t.Fatal("wrong number of rules")
	}
	return s
}

// BenchmarkWhyNot asks with many rules for what one change gives, and for what
// nothing gives, so that every bound is reached.
func BenchmarkWhyNot(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		f := fib.Compile(manyRules(b, n))
		for name, w := range map[string]fib.Wish{"found": {Link: "e1"}, "impossible": {Table: 4711}} {
			b.Run(fmt.Sprintf("%d rules/%s", n, name), func(b *testing.B) {
				for b.Loop() {
					f.WhyNot(rpdb.Flow{Dst: netip.MustParseAddr("203.0.113.1")}, w)
				}
			})
		}
	}
}
