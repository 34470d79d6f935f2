package translation

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
	return &analysis.Analyzer{Name: "translation", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	s := p.Snapshot
	for _, n := range s.NATRules() {
		byHand(p, n)
	}
	for _, f := range rpdb.Families() {
		forwardsNothing(p, f)
	}
	for _, r := range s.Rules {
		if r.Family == rpdb.IPv4 && !isOwn(r.Action.Table(), r.Realms) {
			foreignRealm(p, analysis.OfRule(r), fmt.Sprintf("rule %d", r.Priority), r.Realms)
		}
	}
	for _, r := range s.Routes {
		if r.Family == rpdb.IPv6 {
			foreignProgram(p, r)
			continue
		}
		for _, realms := range append([]rpdb.Realms{r.Realms}, realmsOf(r.Nexthops)...) {
			if !isOwn(r.Table, realms) {
				foreignRealm(p, analysis.OfRoute(r), r.String(), realms)
				break
			}
		}
	}
	for _, a := range s.Addresses {
		for _, t := range s.NAT.Translations {
			if l, ok := s.Link(a.Link); ok && t.Inbound && t.To.Contains(a.Prefix.Addr()) {
				p.Report(analysis.Diagnostic{
					Severity: analysis.Error, Family: t.Family, Subject: analysis.OfAddress(a, l),
					Message: fmt.Sprintf("packets for %v, an address of %s, go to the inside: the block %v is mapped to %v", a.Prefix.Addr(), analysis.Name(l.Name), t.To, t.From),
					Reason:  "the host had no such address when the block was mapped",
				})
			}
		}
	}
	return nil
}

// forwardsNothing reports rules that translate on a host that forwards nothing.
func forwardsNothing(p *analysis.Pass, f rpdb.Family) {
	setting := p.Snapshot.ForwardsNothing(f)
	if setting == "" || !slices.ContainsFunc(p.Snapshot.NAT.Translations, func(t rpdb.Translation) bool { return t.Family == f }) {
		return
	}
	p.Report(analysis.Diagnostic{
		Severity: analysis.Warning, Family: f,
		Message: fmt.Sprintf("this host forwards no packets (%s), and translates only what it forwards", setting),
		Reason:  "rules that translate are for packets of others",
	})
}

func realmsOf(hops []rpdb.Nexthop) (all []rpdb.Realms) {
	for _, n := range hops {
		all = append(all, n.Realms)
	}
	return all
}

// isOwn reports whether realms are those that belong to a table, or none of ours.
func isOwn(t rpdb.TableID, realms rpdb.Realms) bool {
	own, ok := rpdb.RealmOfCopy(t)
	return ok && realms == rpdb.NewRealms(0, own) || !rpdb.IsCopyRealm(realms.From()) && !rpdb.IsCopyRealm(realms.To())
}

// foreignRealm reports a realm of ours at something that is not.
func foreignRealm(p *analysis.Pass, on analysis.Subject, what string, realms rpdb.Realms) {
	d := analysis.Diagnostic{
		Severity: analysis.Warning, Family: rpdb.IPv4, Subject: on,
		Message: fmt.Sprintf("%s has realms %d/%d, and those from 10500 to 12999 are of rules that translate", what, realms.From(), realms.To()),
		Reason:  "packets that it leads would be translated as those of such a rule",
	}
	for _, t := range p.Snapshot.NAT.Translations {
		if t.Realm != 0 && (t.Realm == realms.From() || t.Realm == realms.To()) {
			d.Severity, d.Reason = analysis.Error, fmt.Sprintf("its packets are translated: %v", t)
		}
	}
	p.Report(d)
}

// foreignProgram reports a program of ours on a route of a table that it is not of.
func foreignProgram(p *analysis.Pass, r rpdb.Route) {
	for _, n := range r.Nexthops {
		of, ok := n.CopyTable()
		if !ok || of == r.Table {
			continue
		}
		name, _ := rpdb.CopyProgram(of)
		d := analysis.Diagnostic{
			Severity: analysis.Warning, Family: r.Family, Subject: analysis.OfRoute(r),
			Message: fmt.Sprintf("%v carries the program %s, which is of the routes of table %d", r, name, of),
			Reason:  "the packets that it leads would be translated as those of the rule that has this table",
		}
		realm, _ := rpdb.RealmOfCopy(of)
		for _, t := range p.Snapshot.NAT.Translations {
			if t.Family == r.Family && t.Realm == realm {
				d.Severity, d.Reason = analysis.Error, fmt.Sprintf("its packets are translated: %v", t)
			}
		}
		p.Report(d)
		return
	}
}

// byHand reports what is wrong with a rule made by hand that translates.
func byHand(p *analysis.Pass, n rpdb.NATRule) {
	t, none := n.Translation, n.Translation == rpdb.Translation{}
	report := func(severity analysis.Severity, reason, format string, args ...any) {
		d := analysis.Diagnostic{Severity: severity, Family: n.Family, Message: fmt.Sprintf(format, args...), Reason: reason}
		if len(n.Rules) > 0 {
			d.Subject = analysis.OfRule(n.Rules[0])
			d.Message = fmt.Sprintf("rule %d translates, ", n.Rules[0].Priority) + d.Message
		}
		p.Report(d)
	}
	switch {
	case len(n.Rules) == 0 && t.Inbound:
		report(analysis.Error, "\"rpdb repair\" ends that", "packets for %v go to %v, and rule %d that this belongs to is gone", t.To, t.From, t.Rule)
	case len(n.Rules) == 0:
		report(analysis.Warning, "\"rpdb repair\" takes it away", "table %d is left of a rule that translated", n.Copy)
	case none && p.Snapshot.Missing.Has(rpdb.PartNAT):
	case none:
		report(analysis.Error, "delete it, and make it again: rpdb rule add ... nat ADDRESS",
			"and nftables knows nothing of it: its packets leave as they are")
	default:
		if t != n.Meant() {
			report(analysis.Warning, "\"rpdb repair\" maps them, unless another rule does", "and packets for %v are not mapped to the inside", t.To)
		}
		behind, err := fallenBehind(p.Snapshot, n)
		switch {
		case err != nil:
			report(analysis.Warning, "it has what the table had before", "and its copy of %s cannot be renewed: %v", analysis.Table(t.CopyOf), err)
		case behind != "":
			report(analysis.Warning, "\"rpdb repair\" renews it", "and its copy of %s has fallen behind: %s", analysis.Table(t.CopyOf), behind)
		}
	}
}

// fallenBehind says in what a copy differs from its table, "" if it does not or if
// that is not known. The error says why a copy of the table cannot be made.
func fallenBehind(s *rpdb.Snapshot, n rpdb.NATRule) (string, error) {
	if s.Lacks(n.Family, n.Copy) || s.Lacks(n.Family, n.Translation.CopyOf) {
		return "", nil
	}
	want, err := s.CopyTable(n.Family, n.Translation.CopyOf, n.Copy)
	if err != nil {
		return "", err
	}
	if r, lacks := lacking(n.Routes, want); lacks {
		return destination(r) + " is missing", nil
	}
	if r, lacks := lacking(want, n.Routes); lacks {
		return destination(r) + " is too much", nil
	}
	return "", nil
}

// lacking returns the first of some routes that a list does not have, and whether
// there is one.
func lacking(list, routes []rpdb.Route) (rpdb.Route, bool) {
	has := make(map[rpdb.RouteKey][]rpdb.Route, len(list))
	for _, r := range list {
		has[r.Key()] = append(has[r.Key()], r)
	}
	for _, r := range routes {
		if !slices.ContainsFunc(has[r.Key()], r.Equivalent) {
			return r, true
		}
	}
	return rpdb.Route{}, false
}

func destination(r rpdb.Route) string {
	if r.IsDefault() {
		return "the default route"
	}
	return r.Dst.String()
}
