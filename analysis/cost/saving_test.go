package cost_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"rpdb"
	"rpdb/analysis/cost"
	"rpdb/fib"
	"rpdb/format/iproute2"
	"rpdb/internal/corpus"
)

// crowded makes a host of the corpus one of many rules that have much in common, of both
// families, with gotos and nops among them.
func crowded(g *corpus.Generator, random *rand.Rand) *rpdb.Snapshot {
	s := g.Snapshot()
	s.Custom4, s.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
	s.Rules = nil
	for _, f := range rpdb.Families() {
		rules := rpdb.DefaultRules(f)[:1]
		p := rpdb.Priority(1)
		style := random.IntN(3)
		for range 20 + random.IntN(120) {
			p += rpdb.Priority(random.IntN(3))
			if p < 2 || style > 0 {
				p++
			}
			r := rpdb.Rule{Family: f, Priority: p, Selector: randomSelector(random, f, style), Action: randomAction(random, p)}
			if r.Action.Type() == rpdb.ActionTable && random.IntN(12) == 0 {
				r.Suppress.PrefixLength = rpdb.Some(int32(random.IntN(2)))
			}
			rules = append(rules, r)
		}
		s.Rules = append(append(s.Rules, rules...), rpdb.DefaultRules(f)[1:]...)
	}
	return s
}

func randomSelector(random *rand.Rand, f rpdb.Family, style int) (x rpdb.Selector) {
	base := netip.MustParseAddr("10.0.0.0")
	if f == rpdb.IPv6 {
		base = netip.MustParseAddr("fd00::")
	}
	prefix := func() netip.Prefix {
		b := base.AsSlice()
		b[len(b)-1] = byte(random.IntN(16))
		if style == 2 {
			b[len(b)-2] = byte(random.IntN(256))
		}
		a, _ := netip.AddrFromSlice(b)
		return netip.PrefixFrom(a, f.Bits()-random.IntN(3)).Masked()
	}
	switch {
	case random.IntN(40) == 0:
		return x
	case style == 2 || random.IntN(3) > 0:
		x.From = prefix()
	default:
		x.To = prefix()
	}
	if style == 2 {
		return x
	}
	switch random.IntN(12) {
	case 0:
		x.Mark = rpdb.Mark{Value: uint32(random.IntN(4)), Mask: 3}
	case 1:
		x.IPProto, x.DPort = rpdb.TCP, rpdb.Port(uint16(80+random.IntN(4)))
	case 2:
		first := uint32(random.IntN(4) * 10)
		x.UIDRange = rpdb.Some(rpdb.UIDRange{First: first, Last: first + 9})
	case 3:
		x.Not = true
	case 4:
		x.From = netip.PrefixFrom(x.From.Addr(), 8)
		if x.From.IsValid() {
			x.From = x.From.Masked()
		}
	}
	return x
}

func randomAction(random *rand.Rand, p rpdb.Priority) rpdb.Action {
	switch random.IntN(24) {
	case 0:
		return rpdb.Goto(p + 1 + rpdb.Priority(random.IntN(20)))
	case 1:
		return rpdb.Nop()
	case 2:
		return rpdb.Blackhole()
	}
	return rpdb.ToTable([]rpdb.TableID{rpdb.TableMain, 100, 100, 100, 101}[random.IntN(5)])
}

// TestSavingsDecideAlike: no packet, however it is aimed, can tell that a saving was
// made. Among the worlds each way must be proposed often, or the test says little.
func TestSavingsDecideAlike(t *testing.T) {
	proposed := map[cost.Way]int{}
	for seed := range uint64(90) {
		g, random := corpus.New(seed), rand.New(rand.NewPCG(seed, 1))
		s := crowded(g, random)
		before := fib.Compile(s)
		for _, c := range cost.Of(s) {
			rules := s.RulesOf(c.Family)
			for _, x := range c.Savings {
				proposed[x.Way]++
				if x.After >= x.Before {
					t.Errorf("seed %d: %v saves nothing", seed, x)
				}
				changed := *s
				changed.Rules = append(s.RulesOf(other(c.Family)), cost.Apply(rules, x.Changes)...)
				after := fib.Compile(&changed)
				for range 70 {
					flow, _, _ := g.Aimed(c.Family, rules)
					a, b := before.Lookup(flow), after.Lookup(flow)
					if !alike(a, b) {
						t.Fatalf("seed %d, %s: %+v is decided as\n%+v, and after that as\n%+v\n%s", seed, x.Message, flow, a, b, story(rules, x))
					}
				}
			}
		}
	}
	for _, way := range []cost.Way{cost.Drop, cost.Merge, cost.Skip} {
		if proposed[way] < 20 {
			t.Errorf("%d times %s: says little", proposed[way], way)
		}
	}
}

func other(f rpdb.Family) rpdb.Family { return rpdb.IPv4 + rpdb.IPv6 - f }

// alike compares decisions but for the rule that made them, which may be another one.
func alike(a, b rpdb.Decision) bool {
	a.Rule, b.Rule = rpdb.Opt[rpdb.Priority]{}, rpdb.Opt[rpdb.Priority]{}
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func story(rules []rpdb.Rule, x cost.Saving) string {
	text := ""
	for _, r := range rules {
		text += iproute2.Change(rpdb.RuleChange(rpdb.Add, r), iproute2.RouteView{}) + "\n"
	}
	for _, c := range x.Changes {
		text += "change: " + iproute2.Change(c, iproute2.RouteView{}) + "\n"
	}
	return text
}
