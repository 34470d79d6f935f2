package duplicate

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
	return &analysis.Analyzer{Name: "duplicate", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	for _, f := range rpdb.Families() {
		rules := p.Snapshot.RulesOf(f)
		jumps := jumpsOf(rules)
		first := map[rpdb.Rule]int{}
		for i, at := range analysis.Walk(p.Snapshot, f) {
			if at.Asked == analysis.AskedNever || at.Rule.Action.Type() == rpdb.ActionNop {
				continue
			}
			k := meaning(at.Rule)
			j, seen := first[k]
			if !seen {
				first[k] = i
				continue
			}
			if !ownCopy(rules[j], at.Rule) && !reachedPast(jumps, j, i) {
				p.Report(diagnose(p, rules[j], at.Rule))
			}
		}
	}
	return nil
}

// meaning returns what two rules must share to give the same answers.
func meaning(r rpdb.Rule) rpdb.Rule {
	r = r.Canonical()
	r.Priority, r.Protocol, r.Flags = 0, 0, r.Flags&rpdb.RuleFindSaddr
	return r
}

// ownCopy reports whether the later rule is the kernel's own, which somebody
// else repeats further up.
func ownCopy(earlier, later rpdb.Rule) bool {
	return analysis.IsKernelRule(later) && earlier.Priority != later.Priority
}

// jump is a goto that works: the indexes of its rule and of its target.
type jump struct{ from, to int }

func jumpsOf(rules []rpdb.Rule) []jump {
	var jumps []jump
	for i, r := range rules {
		if r.Action.Type() != rpdb.ActionGoto {
			continue
		}
		if target := analysis.GotoTarget(rules, r); target >= 0 {
			jumps = append(jumps, jump{i, target})
		}
	}
	return jumps
}

// reachedPast reports whether a goto leads past rule i and not past rule j, so
// that flows reach the second without having been asked by the first.
func reachedPast(jumps []jump, i, j int) bool {
	return slices.ContainsFunc(jumps, func(g jump) bool { return g.from < i && i < g.to && g.to <= j })
}

func diagnose(p *analysis.Pass, earlier, later rpdb.Rule) analysis.Diagnostic {
	d := analysis.Diagnostic{
		Severity: analysis.Warning,
		Family:   later.Family,
		Subject:  analysis.OfRule(later),
		Message:  fmt.Sprintf("rule %d repeats rule %d", later.Priority, earlier.Priority),
		Fixes:    analysis.DeleteRule(p.Snapshot, later),
	}
	switch {
	case earlier.Protocol != later.Protocol:
		d.Severity = analysis.Note
		d.Reason = fmt.Sprintf("installed by different programs: protocols %d and %d", earlier.Protocol, later.Protocol)
	case earlier.Priority == later.Priority:
		d.Message = fmt.Sprintf("rule %d is there twice", later.Priority)
	}
	return d
}
