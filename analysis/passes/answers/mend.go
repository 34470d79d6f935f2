package answers

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/analysis"
	"rpdb/fib"
)

// mender proposes rules that lead flows to a default route by their own link,
// and keeps those of which the engine says that they do.
type mender struct {
	snapshot  *rpdb.Snapshot // a copy, with the proposed rules
	defaults  uplinks
	proposals []proposal
	compiled  *fib.FIB
}

// proposal is a rule that should lead a flow out by a link.
type proposal struct {
	flow rpdb.Flow
	link rpdb.LinkName
	rule rpdb.Rule
}

func newMender(s *rpdb.Snapshot, defaults uplinks) *mender {
	fresh := *s
	fresh.Rules = slices.Clone(s.Rules)
	fresh.Custom4, fresh.Custom6 = rpdb.CustomisedYes, rpdb.CustomisedYes
	return &mender{snapshot: &fresh, defaults: defaults}
}

// answers proposes a rule for the answers of a wrong door: by address in IPv4,
// by prefix in IPv6, where a host's addresses come and go.
func (m *mender) answers(d Door) {
	if d.Verdict != WrongDoor && d.Verdict != NoRoute {
		return
	}
	from := netip.PrefixFrom(d.Address.Prefix.Addr(), d.Address.Prefix.Addr().BitLen())
	if d.Family() == rpdb.IPv6 {
		from = d.Address.Prefix.Masked()
	}
	m.propose(d.flow(), d.Link, rpdb.Selector{From: from})
}

// bound proposes a rule for sockets that are bound to an uplink.
func (m *mender) bound(u unbound) {
	m.propose(u.flow(), u.link, rpdb.Selector{OIF: u.link.Name})
}

// propose adds a rule with the selector that looks up the first table with a
// default route by the link. Table main is asked by everybody already.
func (m *mender) propose(flow rpdb.Flow, l rpdb.Link, sel rpdb.Selector) {
	family := flow.Family()
	tables := m.defaults[family][l.Index]
	i := slices.IndexFunc(tables, func(t rpdb.TableID) bool { return t != rpdb.TableMain })
	if i < 0 {
		return
	}
	rule := rpdb.Rule{Family: family, Selector: sel, Action: rpdb.ToTable(tables[i])}
	for _, p := range m.proposals {
		rule.Priority = p.rule.Priority
		if rule == p.rule {
			m.proposals = append(m.proposals, proposal{flow, l.Name, rule})
			return
		}
	}
	var ok bool
	if rule.Priority, ok = m.place(family); !ok {
		return
	}
	m.proposals = append(m.proposals, proposal{flow, l.Name, rule})
	i = slices.IndexFunc(m.snapshot.Rules, func(r rpdb.Rule) bool { return rule.Compare(r) < 0 })
	if i < 0 {
		i = len(m.snapshot.Rules)
	}
	m.snapshot.Rules = slices.Insert(m.snapshot.Rules, i, rule)
}

// place returns the last free priority before the first rule that ends every
// walk, main as a rule, and not before local; false if there is none.
func (m *mender) place(f rpdb.Family) (rpdb.Priority, bool) {
	used := map[rpdb.Priority]bool{}
	before := rpdb.PriorityMain
	for _, at := range analysis.Walk(m.snapshot, f) {
		used[at.Rule.Priority] = true
		for _, e := range at.Enders {
			before = min(before, e.Priority)
		}
	}
	for p := before; p > 1; p-- {
		if !used[p-1] {
			return p - 1, true
		}
	}
	return 0, false
}

// verify compiles the snapshot with all proposed rules. Each selects its own
// source or device, so that one does not decide about the flow of another.
func (m *mender) verify() {
	if len(m.proposals) > 0 {
		m.compiled = fib.Compile(m.snapshot)
	}
}

// fixes returns the fix for a flow, if there is one that works.
func (m *mender) fixes(flow rpdb.Flow) []analysis.SuggestedFix {
	for _, p := range m.proposals {
		if p.flow != flow {
			continue
		}
		if d := m.compiled.Lookup(flow); d.Disposition != rpdb.Sent || d.Link != p.link || d.Table != p.rule.Action.Table() {
			return nil
		}
		return []analysis.SuggestedFix{{
			Message: fmt.Sprintf("add rule %d, which leads them to %s", p.rule.Priority, analysis.Table(p.rule.Action.Table())),
			Changes: []rpdb.Change{rpdb.RuleChange(rpdb.Add, p.rule)},
		}}
	}
	return nil
}
