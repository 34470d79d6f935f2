package unresolved

import (
	_ "embed"
	"fmt"

	"rpdb"
	"rpdb/analysis"
)

//go:embed doc.go
var doc string

// Analyzer returns the check.
func Analyzer() *analysis.Analyzer {
	return &analysis.Analyzer{Name: "unresolved", Doc: analysis.PackageDoc(doc), Run: run}
}

func run(p *analysis.Pass) error {
	for _, f := range rpdb.Families() {
		rules := p.Snapshot.RulesOf(f)
		for _, r := range rules {
			if r.Action.Type() != rpdb.ActionGoto || analysis.GotoTarget(rules, r) >= 0 {
				continue
			}
			p.Report(analysis.Diagnostic{
				Severity: analysis.Warning,
				Family:   f,
				Subject:  analysis.OfRule(r),
				Message:  fmt.Sprintf("rule %d jumps to %d, where no rule is", r.Priority, r.Action.Target()),
				Reason:   "the goto does nothing and the next rule is asked",
				Fixes:    analysis.DeleteRule(p.Snapshot, r),
			})
		}
	}
	return nil
}
