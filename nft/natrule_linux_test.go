package nft_test

import (
	"slices"
	"testing"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
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
	for name, c := range map[string]struct {
		of      rpdb.Translation // but for its realm
		bits    int              // behind the address, -1 for none
		seen    string           // for what the translation does not tell
		block   []string         // two more addresses
		further string           // a route that the table gets later
	}{
		"block":       {translation(rpdb.TranslateBlock, "203.0.113.0/24"), -1, "", []string{"10.1.0.43", "10.1.0.99"}, "198.51.100.7"},
		"address":     {translation(rpdb.TranslateAddress, "203.0.113.9/32"), 32, "", []string{"10.1.0.43", "10.1.0.99"}, "198.51.100.7"},
		"masquerade":  {translation(rpdb.TranslateMasquerade, ""), 0, "192.0.2.1", []string{"10.1.0.43", "10.1.0.99"}, "198.51.100.7"},
		"block6":      {translation(rpdb.TranslateBlock, "2001:db8:5::/64"), -1, "", []string{"fd00:1::43", "fd00:1::99"}, "2001:db8:1::7"},
		"address6":    {translation(rpdb.TranslateAddress, "2001:db8:5::9/128"), 128, "", []string{"fd00:1::43", "fd00:1::99"}, "2001:db8:1::7"},
		"masquerade6": {six(translation(rpdb.TranslateMasquerade, "")), 0, "2001:db8::1", []string{"fd00:1::43", "fd00:1::99"}, "2001:db8:1::7"},
	} {
		t.Run(name, func(t *testing.T) {
			family := c.of.Family
			if family == rpdb.IPv6 {
				kerneltest.NeedPrograms(t)
			}
			w := newWorld(t)
			k, err := kernel.Open(kernel.Options{NetNS: w.router.ns})
			must(t, err)
			defer k.Close()
			rule := rpdb.Rule{Family: family, Priority: 60, Selector: rpdb.Selector{From: c.of.From}, Action: rpdb.ToTable(100), Protocol: rpdb.ProtocolBoot}
			nat, err := plan.SettleNAT(family, c.of.From, c.of.To.Addr(), c.bits)
			must(t, err)
			add := func(s *rpdb.Snapshot) (plan.Plan, error) { return plan.AddNATRule(s, rule, nat, rpdb.Names{}) }
			w.carryOut(k, add)
			nat.Realm, _ = rpdb.RealmOfCopy(rpdb.FirstHandCopy(family))
			server, _, _, _ := servers(family)
			w.outward(nat, c.seen)
			if nat.Inbound {
				w.inward(nat)
			}
			w.untouched(family)

			w.router.setUp(map[rpdb.Family]string{rpdb.IPv6: "-6 "}[family] + "route add unreachable " + c.further + " table 100")
			w.carryOut(k, plan.RepairNATRules)
			renewed, err := k.Snapshot(t.Context())
			must(t, err)
			if n := renewed.NATRules(); len(n) != 1 || len(n[0].Routes) != 2 {
				t.Errorf("after the table has changed: %+v", n)
			}
			w.expectSeen("renewed", server, c.block[0], w.sourceOf(nat, c.block[0], c.seen))

			w.carryOut(k, func(s *rpdb.Snapshot) (plan.Plan, error) {
				return plan.RemoveNATRules(s, slices.Concat(s.NATRules()[0].Rules)...)
			})
			w.expectSeen("deleted", server, c.block[1], c.block[1])
			s, err := k.Snapshot(t.Context())
			must(t, err)
			if is, err := w.nft.Read(t.Context()); err != nil || len(is.Translations)+len(is.Unknown) > 0 || len(s.NATRules()) > 0 {
				t.Errorf("deleted, %+v and %+v are left, %v", is, s.NATRules(), err)
			}
		})
	}
}
