package stalesource

import (
	_ "embed"
	"fmt"
	"net/netip"

	"rpdb"
	"rpdb/analysis"
)

//go:embed doc.go
var doc string

// Analyzer returns the check.
func Analyzer() *analysis.Analyzer {
	return &analysis.Analyzer{Name: "stalesource", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	if p.Snapshot.Missing.Has(rpdb.PartAddresses) {
		return nil
	}
	local := map[netip.Addr]bool{{}: true} // no preferred source is no fault
	for _, r := range p.Snapshot.Routes {
		own, known := local[r.PrefSrc]
		if !known {
			own = analysis.IsLocal(p.Snapshot, r.PrefSrc)
			local[r.PrefSrc] = own
		}
		if own {
			continue
		}
		p.Report(analysis.Diagnostic{
			Severity: analysis.Warning,
			Family:   r.Family,
			Subject:  analysis.OfRoute(r),
			Message:  fmt.Sprintf("%v prefers the source %v, which no interface has", r, r.PrefSrc),
			Reason:   "connections without a source of their own that it carries fail",
		})
	}
	for _, f := range rpdb.Families() {
		if analysis.Forwards(p.Snapshot, f) {
			continue
		}
		for _, r := range p.Snapshot.RulesOf(f) {
			checkRule(p, r)
		}
	}
	return nil
}

func checkRule(p *analysis.Pass, r rpdb.Rule) {
	from := r.Selector.From
	forwarded := r.Selector.IIF != "" && r.Selector.IIF != "lo"
	if !from.IsValid() || !from.IsSingleIP() || r.Selector.Not || forwarded || analysis.IsLocal(p.Snapshot, from.Addr()) {
		return
	}
	neighbours := connected(p.Snapshot, from.Addr())
	if len(neighbours) == 0 {
		return
	}
	link := p.Snapshot.LinkName(neighbours[0].Link)
	p.Report(analysis.Diagnostic{
		Severity: analysis.Warning,
		Family:   r.Family,
		Subject:  analysis.OfRule(r),
		Message:  fmt.Sprintf("rule %d is for %v, which no interface has", r.Priority, from.Addr()),
		Reason:   fmt.Sprintf("%s has %v in the same network", analysis.Name(link), neighbours[0].Prefix.Addr()),
		Fixes:    renew(p.Snapshot, r, neighbours),
	})
}

// connected returns the addresses of the host in whose network the address
// lies.
func connected(s *rpdb.Snapshot, a netip.Addr) []rpdb.Address {
	var found []rpdb.Address
	for _, own := range s.Addresses {
		if !own.Prefix.IsSingleIP() && own.Prefix.Contains(a) && !a.IsLoopback() {
			found = append(found, own)
		}
	}
	return found
}

// renew returns the fix that puts the host's only address in the network into
// the rule.
func renew(s *rpdb.Snapshot, r rpdb.Rule, neighbours []rpdb.Address) []analysis.SuggestedFix {
	fixes := analysis.DeleteRule(s, r)
	if len(fixes) == 0 || len(neighbours) != 1 {
		return fixes
	}
	a := neighbours[0].Prefix.Addr()
	fresh := r
	fresh.Selector.From = netip.PrefixFrom(a, a.BitLen())
	for _, other := range s.Rules {
		if other.Canonical() == fresh.Canonical() {
			return fixes
		}
	}
	return append([]analysis.SuggestedFix{{
		Message: fmt.Sprintf("put %v into rule %d", a, r.Priority),
		Changes: []rpdb.Change{rpdb.RuleChange(rpdb.Add, fresh), rpdb.RuleChange(rpdb.Delete, r)},
	}}, fixes...)
}
