package nft_test

import (
	"slices"
	"testing"

	"rpdb"
	"rpdb/kernel"
	"rpdb/plan"
)

// carryOut makes a plan for the router and carries it out.
func (w *world) carryOut(c *kernel.Conn, of func(*rpdb.Snapshot) (plan.Plan, error)) {
	t := w.router.t
	t.Helper()
	s, err := c.Snapshot(t.Context())
	must(t, err)
	is, err := w.nft.Read(t.Context())
	must(t, err)
	s.NAT = rpdb.NAT{Translations: rpdb.SortTranslations(is.Translations), Foreign: is.Foreign, Unknown: is.Unknown}
	p, err := of(s)
	must(t, err)
	for _, step := range p.Steps {
		if step.Change.NAT != nil {
			must(t, w.nft.Replace(t.Context(), step.Change.NAT.Translations))
		} else {
			must(t, c.Do(t.Context(), step.Change))
		}
	}
}

// sourceOf is the address that the world sees.
func (w *world) sourceOf(of rpdb.Translation, from, masquerade string) string {
	if a, ok := of.Source(addr(from)); ok {
		return a.String()
	}
	return masquerade
}

// TestRuleByHand: real packets of a rule made by hand. What it routes is translated,
// both ways, and what another rule routes by the same gateway is not, also when its
// copy has followed the table; and deleted, it translates nothing.
func TestRuleByHand(t *testing.T) {
	for _, bits := range []int{-1, 32, 0} {
		w := newWorld(t)
		c, err := kernel.Open(kernel.Options{NetNS: w.router.ns})
		must(t, err)
		defer c.Close()
		rule := rpdb.Rule{Family: rpdb.IPv4, Priority: 60, Selector: rpdb.Selector{From: prefix(block4)}, Action: rpdb.ToTable(100), Protocol: rpdb.ProtocolBoot}
		to, seen := addr("203.0.113.0"), ""
		switch bits {
		case 32:
			to = addr("203.0.113.9")
		case 0:
			to, seen = addr("0.0.0.0").Prev(), "192.0.2.1" // none: masquerade
		}
		nat, err := plan.SettleNAT(rule.Selector.From, to, bits)
		must(t, err)
		add := func(s *rpdb.Snapshot) (plan.Plan, error) { return plan.AddNATRule(s, rule, nat, rpdb.Names{}) }
		w.carryOut(c, add)
		nat.Realm = 12000
		w.outward(nat, seen)
		if nat.Inbound {
			w.inward(nat)
		}
		w.untouched(rpdb.IPv4)

		w.router.setUp("route add unreachable 198.51.100.7 table 100")
		w.carryOut(c, plan.RepairNATRules)
		renewed, err := c.Snapshot(t.Context())
		must(t, err)
		if n := renewed.NATRules(); len(n) != 1 || len(n[0].Routes) != 2 {
			t.Errorf("%v: after the table has changed: %+v", nat, n)
		}
		w.expectSeen("renewed", server4, "10.1.0.43", w.sourceOf(nat, "10.1.0.43", seen))

		w.carryOut(c, func(s *rpdb.Snapshot) (plan.Plan, error) {
			return plan.RemoveNATRules(s, slices.Concat(s.NATRules()[0].Rules)...)
		})
		w.expectSeen("deleted", server4, "10.1.0.99", "10.1.0.99")
		s, err := c.Snapshot(t.Context())
		must(t, err)
		if is, err := w.nft.Read(t.Context()); err != nil || len(is.Translations)+len(is.Unknown) > 0 || len(s.NATRules()) > 0 {
			t.Errorf("deleted, %+v and %+v are left, %v", is, s.NATRules(), err)
		}
	}
}
