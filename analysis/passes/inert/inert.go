package inert

import (
	_ "embed"
	"fmt"
	"slices"

	"rpdb"
	"rpdb/analysis"
)

//go:embed doc.go
var doc string

// Analyzer returns the check.
func Analyzer() *analysis.Analyzer {
	return &analysis.Analyzer{Name: "inert", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	vrf := slices.ContainsFunc(p.Snapshot.Links, func(l rpdb.Link) bool { return l.VRFTable != 0 })
	for _, r := range p.Snapshot.Rules {
		for _, clause := range slices.Concat(selectorClauses(r, vrf), otherClauses(r)) {
			p.Report(analysis.Diagnostic{
				Severity: analysis.Warning,
				Family:   r.Family,
				Subject:  analysis.OfRule(r),
				Message:  fmt.Sprintf("rule %d %s", r.Priority, clause),
			})
		}
	}
	for _, r := range p.Snapshot.Routes {
		if r.Family == rpdb.IPv4 && r.TOS&^0x1c != 0 {
			p.Report(analysis.Diagnostic{
				Severity: analysis.Warning,
				Family:   r.Family,
				Subject:  analysis.OfRoute(r),
				Message:  fmt.Sprintf("%v is never chosen: lookups compare the bits 0x1c of tos 0x%02x alone", r, r.TOS),
			})
		}
	}
	return nil
}

// selectorClauses says what in a rule's selector has no effect.
func selectorClauses(r rpdb.Rule, vrf bool) (clauses []string) {
	s := r.Selector
	if k := s.Mark; k.Mask == 0 && k.Value != 0 {
		clauses = append(clauses, fmt.Sprintf("matches every mark: fwmark 0x%x has an empty mask", k.Value))
	}
	if d, ok := s.DSCP.Get(); ok && d.Mask == 0 {
		clauses = append(clauses, fmt.Sprintf("matches every DSCP: dscp %d has an empty mask", d.Value))
	}
	forwarded := s.IIF != "" && s.IIF != "lo"
	uids, byUser := s.UIDRange.Get()
	empty := analysis.WithoutInert(r).Selector == rpdb.Selector{} && r.Unknown == ""
	switch {
	case s.Not && empty:
		clauses = append(clauses, `never matches: "not" stands without a selector`)
	case s.Not:
	case forwarded && s.OIF != "" && !vrf:
		clauses = append(clauses, "never matches: packets that come in by an interface are bound to none")
	case forwarded && byUser && uids.First > 0:
		clauses = append(clauses, "never matches: packets that come in by an interface belong to user 0")
	}
	return clauses
}

// otherClauses says what of a rule besides its selector has no effect.
func otherClauses(r rpdb.Rule) (clauses []string) {
	length, byLength := r.Suppress.PrefixLength.Get()
	switch {
	case r.Action.Type() != rpdb.ActionTable && r.Suppress != rpdb.Suppressor{}:
		clauses = append(clauses, fmt.Sprintf("suppresses nothing: it looks up no table (%v)", r.Action))
	case byLength && length < -1:
		clauses = append(clauses, fmt.Sprintf("suppresses nothing: suppress_prefixlength %d is shorter than any route", length))
	case byLength && int(length) >= r.Family.Bits():
		clauses = append(clauses, fmt.Sprintf("suppresses every route: suppress_prefixlength %d", length))
	}
	if r.Family == rpdb.IPv6 && r.Realms != 0 {
		clauses = append(clauses, "sets no realms: IPv6 drops them")
	}
	return clauses
}
