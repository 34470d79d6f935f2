package missingdefault

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
	return &analysis.Analyzer{Name: "missingdefault", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	for _, f := range rpdb.Families() {
		if inUse(p.Snapshot, f) {
			checkFamily(p, f)
		}
	}
	return nil
}

// inUse reports whether the host has addresses or routes of a family.
func inUse(s *rpdb.Snapshot, f rpdb.Family) bool {
	return slices.ContainsFunc(s.Routes, func(r rpdb.Route) bool { return r.Family == f }) ||
		slices.ContainsFunc(s.Addresses, func(a rpdb.Address) bool { return rpdb.FamilyOf(a.Prefix.Addr()) == f })
}

func checkFamily(p *analysis.Pass, f rpdb.Family) {
	places := analysis.Walk(p.Snapshot, f)
	if len(places) == 0 {
		report(p, f, analysis.Diagnostic{
			Severity: analysis.Error,
			Message:  fmt.Sprintf("there are no %v rules", f),
			Reason:   "every lookup fails: network is unreachable",
			Fixes:    restore(f, rpdb.PriorityLocal, rpdb.PriorityMain),
		})
		return
	}
	local, sometimes := lookup(p.Snapshot, places, rpdb.TableLocal)
	switch {
	case local < 0 && sometimes:
		report(p, f, analysis.Diagnostic{
			Severity: analysis.Warning,
			Message:  "table local is not looked up for every packet",
			Reason:   "packets for the host's own addresses may be sent away",
			Fixes:    restore(f, rpdb.PriorityLocal),
		})
	case local < 0:
		report(p, f, analysis.Diagnostic{
			Severity: analysis.Error,
			Message:  "no rule looks up table local",
			Reason:   "the host answers nobody",
			Fixes:    restore(f, rpdb.PriorityLocal),
		})
	default:
		checkFirst(p, places[:local])
	}
	if main, _ := lookup(p.Snapshot, places, rpdb.TableMain); main < 0 {
		report(p, f, analysis.Diagnostic{
			Severity: analysis.Warning,
			Message:  "no rule looks up table main for every packet",
			Reason:   "the host's ordinary routes are not used",
			Fixes:    restore(f, rpdb.PriorityMain),
		})
	}
}

// lookup returns the index of the first rule that looks a table up for all
// flows and gives whatever it finds; -1 if there is none, and then whether
// there is one with a selector or a suppressor.
func lookup(s *rpdb.Snapshot, places []analysis.Place, t rpdb.TableID) (first int, sometimes bool) {
	for i, at := range places {
		if at.Asked == analysis.AskedNever || at.Rule.Action != rpdb.ToTable(t) {
			continue
		}
		if analysis.RuleMatch(s, at.Rule) == analysis.MatchesAll && at.Rule.Suppress == (rpdb.Suppressor{}) {
			return i, true
		}
		sometimes = true
	}
	return -1, sometimes
}

// checkFirst reports the first rule in front of local that may decide about
// packets for the host itself.
func checkFirst(p *analysis.Pass, before []analysis.Place) {
	for _, at := range before {
		r := at.Rule
		harmless := r.Selector.L3MDev || r.Action.Type() == rpdb.ActionNop || r.Action.Type() == rpdb.ActionGoto ||
			r.Action == rpdb.ToTable(rpdb.TableLocal) || analysis.RuleMatch(p.Snapshot, r) == analysis.MatchesNone
		if harmless {
			continue
		}
		p.Report(analysis.Diagnostic{
			Severity: analysis.Warning,
			Family:   r.Family,
			Subject:  analysis.OfRule(r),
			Message:  fmt.Sprintf("rule %d is asked before table local", r.Priority),
			Reason:   "packets for the host's own addresses may be sent away",
		})
		return
	}
}

// report reports what a family's list lacks; it is about the list as a whole.
func report(p *analysis.Pass, f rpdb.Family, d analysis.Diagnostic) {
	d.Family = f
	if f == rpdb.IPv6 && p.Snapshot.Custom6 == rpdb.CustomisedNo {
		d.Severity = min(d.Severity, analysis.Warning)
		d.Reason = "in force from the moment when any IPv6 rule is added; until then the kernel does not look at the list"
	}
	p.Report(d)
}

// restore returns the fix that adds the kernel's rules of these priorities.
func restore(f rpdb.Family, priorities ...rpdb.Priority) []analysis.SuggestedFix {
	fix := analysis.SuggestedFix{Message: "add the kernel's own rule again"}
	for _, r := range rpdb.DefaultRules(f) {
		if slices.Contains(priorities, r.Priority) {
			fix.Changes = append(fix.Changes, rpdb.RuleChange(rpdb.Add, r))
		}
	}
	return []analysis.SuggestedFix{fix}
}
